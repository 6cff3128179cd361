"""The task class behind every ``…_pass_at_n`` YAML: N candidates a question, graded, scored Pass@k."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from datasets import Dataset, DatasetDict
from lm_eval.api.metrics import mean
from lm_eval.api.samplers import FirstNSampler
from lm_eval.api.task import ConfigurableTask
from lm_eval.api.utils import maybe_delimit

from sprint_eval.candidate import CandidateFacts, facts_of
from sprint_eval.errors import ArgumentError, GenerationError, exit_on_error
from sprint_eval.grading import GRADER_VERSION, Verdict, canonical, default_grader
from sprint_eval.passk import best_scored, majority_vote, pass_at_k, pass_at_k_unbiased
from sprint_eval.prompt_facts import ATTRIBUTE, prompt_facts, template_args
from sprint_eval.questions import question_hash
from sprint_eval.tasks import rg_math
from sprint_eval.tasks.documents import Doc, Parts, fingerprint
from sprint_eval.tasks.loading import errors_reach_the_caller
from sprint_eval.tasks.options import TaskOptions
from sprint_eval.tasks.sources import SOURCES, load_parts

CANDIDATES = "candidates"
WEIGHTED, BEST = "wmaj@{}", "best@{}"  # metrics of models that say what they are made from
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p")


class PassAtNTask(ConfigurableTask):
    """A generative task with ``repeats: N``, its own data loading, grading and metrics.

    Metadata keys are those of :class:`~sprint_eval.tasks.options.TaskOptions`. Metrics, for each
    k = 1..N, under the filter name ``none``: ``pass@k`` (any of the first k candidates is right),
    ``pass@k_unbiased`` (Chen et al. 2021) and ``maj@k`` (the vote of the first k); ``wmaj@k`` (the
    weighted vote) and ``best@k`` (the answer that a scorer without gold puts first) where the model
    gives every candidate of every question a weight, or a score. Beside them each sample has
    ``candidates``, a record a candidate; its value in the results is their number.

    Attributes:
        options: the metadata as read.
        parts: all documents, of every split.
    """

    def __init__(
        self,
        data_dir: str | None = None,
        cache_dir: str | None = None,
        download_mode: Any = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if errors_reach_the_caller():
            self._set_up(dict(config or {}))
        else:
            with exit_on_error():
                self._set_up(dict(config or {}))

    def _set_up(self, config: dict[str, Any]) -> None:
        metadata = dict(config.get("metadata") or {})
        self.options = TaskOptions.from_metadata(metadata)
        source = config["dataset_kwargs"]["source"]
        self.parts: Parts = (
            rg_math.load_parts(self.options)
            if source == "rg_math"
            else load_parts(SOURCES[source], self.options)
        )
        config.pop("class", None)
        config.update(_settings(self.options, self.parts, metadata))
        super().__init__(config=config)
        self._world_size = 1
        self._told = frozenset((WEIGHTED, BEST))
        self._made: frozenset[str] = frozenset()

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Give lm-eval the parts that were loaded before its constructor ran."""
        names = ("train", "validation", "test")
        columns = list(self.parts.part(self.options.split)[0])
        self.dataset = DatasetDict({name: _dataset(self.parts.part(name), columns) for name in names})

    def fewshot_docs(self) -> list[dict[str, Any]]:
        """The YAML's worked examples; never training questions, which a router may learn from."""
        samples = self.fewshot_cfg.samples
        return list(samples) if isinstance(samples, list) else []

    def set_config(self, key: str, value: Any, update: bool = False) -> None:
        """As lm-eval's, but sampling settings that would silently stay greedy are refused."""
        super().set_config(key, value, update)
        if key == "generation_kwargs" and update:
            with exit_on_error():
                _check_sampling(self.config.generation_kwargs or {})

    def build_all_requests(self, **kwargs: Any) -> None:
        """As lm-eval's; few-shot examples that do not exist are refused first."""
        self._world_size = int(kwargs.get("world_size", 1))
        wanted = self.config.num_fewshot or 0
        examples = min(len(self._examples(subject)) for subject in set(self.eval_docs["subject"]))
        if wanted > examples:
            with exit_on_error():
                raise ArgumentError(
                    f"{self.task_name} has {examples} worked examples, num_fewshot={wanted} asked for"
                )
        # --cache_requests keys its files by task and tokenizer name, and would serve the questions of
        # another folder, split, n, sampling or thinking mode: what decides ours goes into that name.
        asked = template_args(getattr(kwargs.get("chat_template"), "__self__", None))
        ours = [self.VERSION, self.options.n, self.config.generation_kwargs, asked]
        decides = json.dumps(ours, default=str)
        kwargs["tokenizer_name"] = f"{kwargs.get('tokenizer_name', '')}-{question_hash(decides)}"
        super().build_all_requests(**kwargs)
        # A router is refused on prompts that are built otherwise than those of its training.
        applied = bool(kwargs.get("apply_chat_template"))
        multiturn = applied and bool(kwargs.get("fewshot_as_multiturn"))
        facts = prompt_facts(wanted, kwargs.get("system_instruction"), multiturn, applied)
        for instance in self.instances:
            setattr(instance, ATTRIBUTE, facts)

    def fewshot_context(self, doc: Doc, num_fewshot: int, **kwargs: Any) -> Any:
        """As lm-eval's, with a blank line after the instruction where it is no chat message of its own."""
        context = ConfigurableTask.fewshot_context(self._with_examples_for(doc), doc, num_fewshot, **kwargs)
        description = self.config.description
        if kwargs.get("apply_chat_template") or not description or description[-1].isspace():
            return context
        head = maybe_delimit(kwargs.get("system_instruction"), description, self.config.fewshot_delimiter)
        return f"{head}\n\n{context[len(head) :]}" if context.startswith(head) else context

    def _with_examples_for(self, doc: Doc) -> PassAtNTask:
        """This task, or where its examples name subjects a copy that has those of the doc's subject."""
        examples = self._examples(doc["subject"])
        if len(examples) == len(self.sampler.df):
            return self
        copied = copy(self)
        copied.sampler = FirstNSampler(examples)
        return copied

    def _examples(self, subject: str) -> list[dict[str, Any]]:
        """The worked examples that the YAML gives for a subject; those without one are for every subject."""
        return [example for example in self.fewshot_docs() if example.get("subject", subject) == subject]

    def apply_filters(self) -> Any:
        """Check that each question has its N candidates, keep these, and grade all of them at once."""
        with exit_on_error():
            _check_responses(self.instances, self.options.n, self._world_size)
        filtered = super().apply_filters()
        if "bypass" not in self._metric_fn_list:
            # One large batch keeps every worker busy; process_results then finds the verdicts known.
            pairs = [
                (text, instance.doc["answer"])
                for instance in self.instances
                for text in instance.resps[: self.options.n]
            ]
            default_grader().grade(pairs)
            # lm-eval averages a metric over the documents that have it: all have one, or none has.
            self._told = told_of([facts_of(text) for one in self.instances for text in one.resps])
        return filtered

    def grade(self, doc: Mapping[str, Any], texts: Sequence[str]) -> list[Verdict]:
        """The verdict on each text as an answer to ``doc``; what the metrics are made from."""
        return default_grader().grade([(text, doc["answer"]) for text in texts])

    def grade_many(self, pairs: Iterable[tuple[Mapping[str, Any], str]]) -> list[Verdict]:
        """Verdicts on ``(doc, text)`` pairs of any questions, in one batch."""
        return default_grader().grade([(text, doc["answer"]) for doc, text in pairs])

    def process_results(self, doc: Doc, results: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Metrics of one question, and its candidates' records.

        Args:
            doc: the document.
            results: one list with the N candidates' texts, in rank order.
        """
        if "bypass" in self._metric_fn_list:  # --predict_only
            return {"bypass": None}
        texts = list(results[0])
        told = self._told & told_of([facts_of(text) for text in texts])
        self._made |= told
        return score(texts, self.grade(doc, texts), told)

    def aggregation(self) -> dict[str, Any]:
        """lm-eval's, with the metrics that some models make possible."""
        return super().aggregation() | dict.fromkeys(self._optional((WEIGHTED, BEST)), mean)

    def higher_is_better(self) -> dict[str, bool]:
        """lm-eval's, with those of these metrics that were made."""
        return super().higher_is_better() | dict.fromkeys(self._optional(self._made), True)

    def _optional(self, forms: Iterable[str]) -> list[str]:
        return [form.format(k) for form in sorted(forms) for k in range(1, self.options.n + 1)]


def told_of(facts: Sequence[CandidateFacts]) -> frozenset[str]:
    """Which of ``wmaj@{}`` and ``best@{}`` can be made from what is said of all these candidates."""
    told = {
        WEIGHTED: all(fact.weight is not None for fact in facts),
        BEST: all(fact.score is not None for fact in facts),
    }
    return frozenset(form for form, complete in told.items() if complete)


def score(texts: Sequence[str], verdicts: Sequence[Verdict], told: Collection[str] = ()) -> dict[str, Any]:
    """The metrics of one question for every k, and ``candidates``: pure arithmetic, no model.

    Args:
        texts: its N answers, in rank order.
        verdicts: one an answer.
        told: see :func:`told_of`.
    """
    facts = [facts_of(text) for text in texts]
    correct = [verdict.correct for verdict in verdicts]
    votes = [None if verdict.extracted is None else canonical(verdict.extracted) for verdict in verdicts]
    n, right = len(correct), sum(correct)
    metrics: dict[str, Any] = {}
    for k in range(1, n + 1):
        winner = majority_vote(votes[:k])
        metrics[f"pass@{k}"] = pass_at_k(correct, k)
        metrics[f"pass@{k}_unbiased"] = pass_at_k_unbiased(n, right, k)
        metrics[f"maj@{k}"] = float(winner is not None and correct[winner])
        if WEIGHTED in told:
            winner = majority_vote(votes[:k], [fact.weight for fact in facts[:k]])
            metrics[WEIGHTED.format(k)] = float(winner is not None and correct[winner])
        if BEST in told:
            best = best_scored([fact.score for fact in facts[:k]])
            metrics[BEST.format(k)] = float(best is not None and correct[best])
    metrics[CANDIDATES] = [_record(text, verdict) for text, verdict in zip(texts, verdicts, strict=True)]
    return metrics


def count_candidates(records: Sequence[Sequence[Any]]) -> int:
    """Aggregation of ``candidates``: how many there are in all."""
    return sum(len(record) for record in records)


def _record(text: str, verdict: Verdict) -> dict[str, Any]:
    facts = facts_of(text)
    return {
        "correct": verdict.correct,
        "extracted": verdict.extracted,
        "status": verdict.status,
        "heads": facts.heads,
        "tokens": facts.tokens,
        "truncated": facts.truncated,
        "weight": facts.weight,
        "logprob": facts.logprob,
        "score": facts.score,
    }


def _settings(options: TaskOptions, parts: Parts, metadata: dict[str, Any]) -> dict[str, Any]:
    """The part of a task's config that follows from its metadata."""
    part = "" if options.split == "test" else f"{options.split}-"
    metadata["version"] = f"{metadata.get('version', '0')}-{part}{fingerprint(parts.part(options.split))}"
    metadata["data_source"] = parts.source
    metadata["dropped_training_twins"] = parts.twins
    metadata["grader_version"] = GRADER_VERSION
    metadata["n"] = options.n
    metadata["split"] = options.split
    ks = range(1, options.n + 1)
    forms = ("pass@{}", "pass@{}_unbiased", "maj@{}")
    metrics = [form.format(k) for form in forms for k in ks]
    metric_list = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in metrics]
    metric_list.append({"metric": CANDIDATES, "aggregation": count_candidates, "higher_is_better": True})
    return {
        "metadata": metadata,
        "repeats": options.n,
        "training_split": "train",
        "validation_split": "validation",
        "test_split": options.split,
        "metric_list": metric_list,
        # lm-eval would look the metrics up in its registry if nothing said that we make them.
        "process_results": "sprint_eval.tasks.pass_at_n.PassAtNTask.process_results",
        # The default filter keeps the first candidate alone.
        "filter_list": [{"name": "none", "filter": [{"function": "take_first_k", "k": options.n}]}],
    }


def _dataset(docs: Sequence[Doc], columns: Sequence[str]) -> Dataset:
    return Dataset.from_list(list(docs)) if docs else Dataset.from_dict({column: [] for column in columns})


def _check_sampling(settings: Mapping[str, Any]) -> None:
    """A task that says ``do_sample: false`` keeps greedy whatever temperature comes beside it."""
    given = [f"{name}={settings[name]}" for name in _SAMPLING if settings.get(name)]
    if given and not settings.get("do_sample"):
        raise ArgumentError(
            f"gen_kwargs {', '.join(given)} without do_sample=True stays greedy: add do_sample=True"
        )


def _check_responses(instances: Sequence[Any], n: int, world_size: int) -> None:
    """N responses a question; under data parallelism the last may have clones that padded its rank."""
    for index, instance in enumerate(instances):
        count = len(instance.resps)
        padded = world_size > 1 and index == len(instances) - 1 and count > n
        if count != n and not padded:
            raise GenerationError(
                f"question {instance.doc_id} has {count} candidates, expected n={n}: a model must answer "
                "every request once, and --cache_requests must not hold requests of another n"
            )
