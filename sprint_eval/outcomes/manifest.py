"""What an outcome store holds: the run that made it, and the questions that are its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sprint_eval.errors import DataError, HeadError, MismatchError, StoreError
from sprint_eval.files import read_json, refuse_file, write_json
from sprint_eval.heads import HeadPool
from sprint_eval.prompt_facts import END_TOKENS, GENERATION, MULTITURN, TEMPLATE_ARGS, prompt_facts

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
QUESTIONS_FILE = "questions.jsonl"

# What must be equal for cells to belong to one matrix, in the order in which a difference is named.
# A model's name and the metadata (paths, N) are not here: the fingerprint, the prompts' hash and the
# questions' hash say what they amount to.
IDENTITY_FIELDS = (
    "schema_version",
    "model_fingerprint",
    "dtype",
    "task",
    "task_version",
    "split",
    "chat_template",
    "num_fewshot",
    "generation",
    "num_questions",
    "prompt_hash",
    "questions_hash",
    "pool",
    "grader_version",
)
# What a merge brings together may differ in: each store may hold other questions and other heads.
MERGEABLE_FIELDS = frozenset({"num_questions", "prompt_hash", "questions_hash", "pool"})
_ADVICE = {
    "num_questions": "use the same --limit and data, or another --out folder",
    "prompt_hash": "prompts, few-shot examples or chat template changed; use another --out folder",
    "questions_hash": "the questions or their answers changed; use another --out folder",
    "pool": "use the same --pool, or sweep into another folder and join the two by 'outcomes merge'",
    "grader_version": "bring the store up to date first: sprint-eval regrade FOLDER",
    "schema_version": "the store was written by another version of sprint-eval",
}


@dataclass(frozen=True)
class OutcomeQuestion:
    """One row of Z. The gold answer is not here: see :meth:`StoredQuestion.doc`.

    Attributes:
        doc_hash: identity of the task's document, gold included.
        question: the question's text.
        subject: its subject.
        key: identity of the question for guards of train against test.
    """

    doc_hash: str
    question: str
    subject: str
    key: str


@dataclass(frozen=True)
class StoredQuestion(OutcomeQuestion):
    """A row with what only grading and merging need.

    Attributes:
        prompt_hash: hash of the prompt's token ids.
        doc: the task's document, gold answer included.
    """

    prompt_hash: str = ""
    doc: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Everything that decides the content of an outcome matrix, and some facts beside it.

    Attributes:
        model: name or path as the user gave it (a fact, not compared).
        model_fingerprint: see :func:`sprint_eval.fingerprint.model_fingerprint`.
        dtype: of the weights while decoding, e.g. ``"float32"``.
        task: name of the lm-eval task; ``task_version`` its version, as text.
        split: the split whose documents are the rows.
        metadata: the task's metadata as given (a fact, not compared).
        num_fewshot: worked examples in a prompt; ``None`` where it is not known.
        chat_template: hash of the chat template, or ``None`` where none was applied.
        generation: settings that decide a text, e.g. stop strings and the token limit.
        pool: text form of each column, in order; the base is measured beside them.
        grader_version: of the verdicts.
        num_questions, prompt_hash, questions_hash: of all rows, filled in by :meth:`with_questions`.
        verdict_files: files with verdicts of a later grader, in force over those in the shards.
        facts: versions, machine and the like (not compared).
    """

    model: str
    model_fingerprint: str
    dtype: str
    task: str
    task_version: str
    split: str
    generation: dict[str, Any]
    pool: tuple[str, ...]
    grader_version: str
    metadata: dict[str, Any] = field(default_factory=dict)
    num_fewshot: int | None = 0
    chat_template: str | None = None
    num_questions: int = 0
    prompt_hash: str = ""
    questions_hash: str = ""
    verdict_files: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @cached_property
    def head_pool(self) -> HeadPool:
        """The columns as head sets."""
        return HeadPool.from_names(self.pool)

    @cached_property
    def prompt_format(self) -> dict[str, Any]:
        """How a question was put to the model, and how it answered, as far as that is known."""
        told: dict[str, Any] = {}
        facts = self.facts
        if self.num_fewshot is not None:
            told = prompt_facts(self.num_fewshot, facts.get("system_instruction"), facts.get(MULTITURN))
        if self.chat_template is not None and TEMPLATE_ARGS in facts:
            told[TEMPLATE_ARGS] = facts[TEMPLATE_ARGS]
        return {"chat_template": self.chat_template, **told, GENERATION: self.generation}

    def with_questions(self, questions: Sequence[StoredQuestion]) -> Manifest:
        """The same manifest for these rows."""
        prompts = _digest(question.prompt_hash for question in questions)
        docs = _digest(question.doc_hash for question in questions)
        return replace(self, num_questions=len(questions), prompt_hash=prompts, questions_hash=docs)

    def identity(self) -> dict[str, Any]:
        """The fields that two parts of one matrix share."""
        values = json.loads(json.dumps({name: getattr(self, name) for name in IDENTITY_FIELDS}))
        values["pool"] = f"{len(self.pool)} head sets, {_digest(self.pool)}"
        return values

    def run_hash(self) -> str:
        """16 hexadecimal digits of the identity, without the grader: cells outlive a grader."""
        values = self.identity()
        values.pop("grader_version")
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def check_same(self, other: Manifest, where: str, ignore: Iterable[str] = ()) -> None:
        """Refuse ``other``, the run at hand, when it does not fit this store at ``where``.

        Raises:
            MismatchError: names the first field that differs, both values and what to do; of
                ``generation`` the settings that differ.
        """
        mine, theirs = self.identity(), other.identity()
        there, here = mine[GENERATION], theirs[GENERATION]
        mine[GENERATION], theirs[GENERATION] = _settings_apart(there, here), _settings_apart(here, there)
        skipped = set(ignore)
        for name in IDENTITY_FIELDS:
            if name not in skipped and mine[name] != theirs[name]:
                advice = _ADVICE.get(name, "use another --out folder")
                raise MismatchError(
                    f"{where} belongs to another run: {name} is {mine[name]!r} there and "
                    f"{theirs[name]!r} in this run; {advice}"
                )

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "sprint-eval outcomes", **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Manifest:
        """Read a manifest's JSON object.

        Raises:
            StoreError: a newer schema, a field that is missing or of the wrong type.
        """
        version = values.get("schema_version")
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            raise StoreError(
                f"{where} has schema_version {version!r}, this sprint-eval reads up to {SCHEMA_VERSION}; "
                "update sprint-eval"
            )
        known = {item.name for item in fields(cls)}
        given = {name: value for name, value in values.items() if name in known}
        try:
            for name in ("pool", "verdict_files"):
                given[name] = tuple(given.get(name, ()))
            manifest = cls(**given)
            manifest.head_pool  # noqa: B018 - a pool that cannot be read is found here, not later
            for name in ("generation", "metadata", "facts"):
                if not isinstance(given.get(name, {}), dict):
                    raise TypeError(f"its {name} is {given[name]!r}, expected a JSON object")
        except (TypeError, HeadError, AttributeError) as error:
            raise StoreError(f"{where} is not a manifest of an outcome store: {error}") from error
        return manifest

    def save(self, folder: Path) -> None:
        write_json(folder / MANIFEST_FILE, self.to_dict())

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read a store's manifest.

        Raises:
            StoreError: there is none, or it cannot be read.
        """
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise StoreError(
                f"{folder} holds no outcomes: no {MANIFEST_FILE} there; make them by 'sprint-eval sweep'"
            )
        try:
            return cls.from_dict(read_json(path, "manifest"), str(path))
        except DataError as error:
            raise StoreError(str(error)) from error


def questions_text(questions: Sequence[StoredQuestion]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(asdict(question), sort_keys=True, default=str) + "\n" for question in questions)


def load_questions(folder: Path, manifest: Manifest) -> list[StoredQuestion]:
    """Read a store's rows and check them against its manifest.

    Raises:
        StoreError: the file is missing, damaged or not the manifest's.
    """
    path = folder / QUESTIONS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        questions = [StoredQuestion(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"the questions of the outcome store cannot be read: {path}: {error}") from error
    rows = manifest.with_questions(questions)
    for name in ("num_questions", "questions_hash", "prompt_hash"):
        if getattr(rows, name) != getattr(manifest, name):
            raise StoreError(
                f"{path} does not belong to its manifest: {name} is {getattr(rows, name)!r}, "
                f"expected {getattr(manifest, name)!r}; restore the file from where the store came from"
            )
    return questions


def refuse_store(folder: str | Path) -> None:
    """For a folder that something other than outcomes is to be written to.

    Raises:
        StoreError: an outcome store or a file is there.
    """
    refuse_file(folder)
    if (Path(folder) / MANIFEST_FILE).exists():
        raise StoreError(f"{folder} holds an outcome store; choose another folder to write to")


def text_hash(text: str) -> str:
    """16 hexadecimal digits of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _settings_apart(these: Mapping[str, Any], those: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that ``those`` have otherwise or lack; end tokens that they lack are just not known."""
    return {
        name: value
        for name, value in these.items()
        if (those[name] != value if name in those else name != END_TOKENS)
    }


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:16]
