"""From an lm-eval task to the rows of a store and the prompts of its requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sprint_eval.engine.request import Request
from sprint_eval.errors import ArgumentError, DataError
from sprint_eval.heads import HeadSet
from sprint_eval.outcomes.manifest import Manifest, StoredQuestion, text_hash
from sprint_eval.prompt_facts import TEMPLATE_ARGS, template_args
from sprint_eval.prompts import GenerationSettings, encode_prompts, generation_facts
from sprint_eval.sweep.config import SweepConfig
from sprint_eval.sweep.fill import Pairs
from sprint_eval.sweep.model import LoadedModel

_FIELDS = ("question", "answer", "subject", "question_key")


@dataclass(frozen=True)
class Prepared:
    """A task's questions, ready to be decoded.

    Attributes:
        task: the lm-eval task, which also grades.
        questions: the rows.
        prompts: token ids, one prompt a row.
        settings: the task's generation settings.
        manifest: the run.
    """

    task: Any
    questions: list[StoredQuestion]
    prompts: list[tuple[int, ...]]
    settings: GenerationSettings
    manifest: Manifest

    def request(self, question: int, heads: HeadSet) -> Request:
        """The request for a question under a head set; variants of a question are one group."""
        return self.settings.request(self.prompts[question], heads, question)

    def grade(self, pairs: Pairs) -> Sequence[Any]:
        """The task's own verdicts on answers to documents."""
        verdicts: Sequence[Any] = self.task.grade_many(pairs)
        return verdicts


def prepare(config: SweepConfig, model: LoadedModel, task: Any = None) -> Prepared:
    """Build the requests exactly as an evaluation of the task would.

    Raises:
        DataError: the task has no questions, or documents without our fields.
        ArgumentError: the task samples, or its settings cannot be carried out.
    """
    task = task if task is not None else load_task(config)
    lm = model.lm
    instances = _instances(config, task, lm)
    settings = _settings(config, instances, lm)
    room = lm.max_length - settings.max_new_tokens
    prompts = encode_prompts(lm.tokenizer, [i.args[0] for i in instances], room, lm.add_bos_token)
    questions = [_question(i.doc, prompt, config) for i, prompt in zip(instances, prompts, strict=True)]
    manifest = _manifest(config, model, task, settings).with_questions(questions)
    return Prepared(task, questions, prompts, settings, manifest)


def load_task(config: SweepConfig) -> Any:
    """The lm-eval task over the questions of the split, set up as ``lm_eval``'s options would."""
    from sprint_eval.tasks import load_task as load
    from sprint_eval.tasks import set_num_fewshot

    task = load(config.task, dict(config.metadata), split=config.split)
    if config.gen_kwargs:
        task.set_config(key="generation_kwargs", value=dict(config.gen_kwargs), update=True)
    set_num_fewshot(task, config.num_fewshot)
    task.set_fewshot_seed(seed=1234)  # lm-eval's default
    return task


def _instances(config: SweepConfig, task: Any, lm: Any) -> list[Any]:
    """One request a question, the first of the task's repeats."""
    chat = config.apply_chat_template
    try:
        task.build_all_requests(
            limit=config.limit,
            rank=0,
            world_size=1,
            system_instruction=config.system_instruction,
            apply_chat_template=bool(chat),
            fewshot_as_multiturn=config.multiturn,
            chat_template=lm.apply_chat_template if chat else None,
            tokenizer_name=lm.chat_template(chat) if chat else "",
        )
    except ValueError as error:
        raise DataError(
            f"task {config.task} gives no requests for split '{config.split}': {error}"
        ) from error
    first = {instance.doc_id: instance for instance in reversed(task.instances)}
    wrong = next((i for i in first.values() if i.request_type != "generate_until"), None)
    if wrong is not None:
        raise DataError(f"task {config.task} asks for {wrong.request_type}; a sweep decodes answers")
    return [first[doc_id] for doc_id in sorted(first)]


def _settings(config: SweepConfig, instances: list[Any], lm: Any) -> GenerationSettings:
    gen_kwargs = dict(instances[0].args[1])
    settings = GenerationSettings.from_gen_kwargs(gen_kwargs, lm.model, lm.tokenizer)
    if settings.sampling.do_sample:
        raise ArgumentError(
            f"task {config.task} samples (do_sample), an outcome matrix is greedy; "
            "add --gen-kwargs do_sample=False (and --draws for sampled answers beside the greedy ones)"
        )
    return settings


def _question(doc: Mapping[str, Any], prompt: tuple[int, ...], config: SweepConfig) -> StoredQuestion:
    from lm_eval.utils import handle_non_serializable, hash_string

    lacking = [name for name in _FIELDS if name not in doc]
    if lacking:
        raise DataError(
            f"documents of task {config.task} lack {', '.join(lacking)}; take a task of sprint-eval "
            "(lm_eval ls tasks | grep pass_at_n)"
        )
    # The hash that lm-eval writes to its samples, so that the two can be joined.
    text = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    return StoredQuestion(
        doc_hash=hash_string(text),
        question=str(doc["question"]),
        subject=str(doc["subject"]),
        key=str(doc["question_key"]),
        prompt_hash=text_hash(" ".join(map(str, prompt))),
        doc=json.loads(json.dumps(doc, default=handle_non_serializable)),
    )


def _manifest(config: SweepConfig, model: LoadedModel, task: Any, settings: GenerationSettings) -> Manifest:
    from sprint_eval.grading import GRADER_VERSION

    chat = config.apply_chat_template
    asked = {TEMPLATE_ARGS: template_args(model.lm)} if chat else {}
    return Manifest(
        model=config.model,
        model_fingerprint=model.fingerprint,
        dtype=model.dtype,
        task=config.task,
        task_version=str(task.VERSION),
        split=config.split,
        metadata=dict(config.metadata),
        num_fewshot=int(task.get_config("num_fewshot") or 0),
        chat_template=text_hash(model.lm.chat_template(chat) or "") if chat else None,
        generation=generation_facts(settings, model.lm),
        pool=tuple(config.head_pool(model.layout).names()),
        grader_version=GRADER_VERSION,
        facts=_facts(config) | model.facts | asked,
    )


def _facts(config: SweepConfig) -> dict[str, Any]:
    import platform
    import time

    import lm_eval
    import torch
    import transformers

    import sprint_eval

    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "sprint_eval": sprint_eval.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "lm_eval": lm_eval.__version__,
        "platform": platform.platform(),
        "engine": config.engine,
        "limit": config.limit,
        "apply_chat_template": config.apply_chat_template,
        "system_instruction": config.system_instruction,
        "fewshot_as_multiturn": config.multiturn,
        "gen_kwargs": dict(config.gen_kwargs),
        "model_args": {key: str(value) for key, value in config.model_args.items()},
    }
