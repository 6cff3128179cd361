"""Which runs of lm_eval a comparison is, each with everything that decides it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sprint_eval.compare.inputs import files_fact
from sprint_eval.compare.methods import MethodSpec, parse_method
from sprint_eval.errors import ArgumentError, DataError
from sprint_eval.files import refuse_file

SAMPLING = "do_sample=True,temperature={:g},top_k=40,top_p=0.95"


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        model: folder, hub name or packaged model.
        tasks: names of Pass@N tasks; each is run on its own, so that costs are a task's own.
        methods: names, see :data:`sprint_eval.compare.methods.NAMES`.
        out: folder of everything that is made.
        n: candidates a question.
        outcomes: the training questions' outcomes of each task; ``""`` stands for every task.
        routers: the routers of each task, one a seed.
        seeds: of draws and sampling; each makes a run of its own.
        model_args: arguments for every model, e.g. ``{"dtype": "float32"}``.
        metadata: the tasks' metadata.
        limit: questions a task, the first; ``None`` for all.
        extra: further arguments of ``lm_eval``.
        store: whether answers are kept and shared between runs.
    """

    model: str
    tasks: Sequence[str]
    methods: Sequence[str]
    out: Path
    n: int = 8
    outcomes: Mapping[str, Path] = field(default_factory=dict)
    routers: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    model_args: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    extra: Sequence[str] = ()
    store: bool = True

    def __post_init__(self) -> None:
        if self.n < 1 or (self.limit is not None and self.limit < 1):
            raise ArgumentError(f"n = {self.n}, limit = {self.limit}: expected 1 or more")
        for task in self.tasks:
            if Path(task).name != task:
                raise ArgumentError(
                    f"'{task}' is a path: give the task's name, and its folder by -- --include_path DIR"
                )
        if "n" in self.metadata:
            raise ArgumentError("--metadata names n, the candidates a question: give them by --n")
        for name in self.model_args:
            if name in ("pretrained", "store"):
                raise ArgumentError(f"--model_args names {name}, which compare sets itself")


@dataclass(frozen=True)
class Run:
    """One run of lm_eval.

    Attributes:
        task, method: what is run; ``label`` tells runs of one method apart.
        folder: where lm_eval writes its results.
        arguments: of lm_eval.
        depends: what the arguments only name: fingerprints of routers and outcomes, and the state of
            the model's folder and of the task's files.
        oracle: a run over the whole pool, which no leaderboard should rank.
    """

    task: str
    method: str
    label: str
    folder: Path
    arguments: tuple[str, ...]
    depends: tuple[str, ...] = ()
    oracle: bool = False


def plan(comparison: Comparison) -> list[Run]:
    """Every run, in the order of tasks and methods; the oracle, which fills the store, first.

    Raises:
        ArgumentError: a method is unknown, needs a router or outcomes that are not given, or N is
            larger than the pool.
        DataError, StoreError: a router or an outcome store cannot be read; ``out`` is a file.
    """
    refuse_file(comparison.out)
    specs = [parse_method(name) for name in dict.fromkeys(comparison.methods)]
    specs.sort(key=lambda spec: spec.kind != "oracle")
    files = files_fact([comparison.model, *comparison.model_args.values(), *comparison.metadata.values()])
    runs = [
        replace(run, depends=(*run.depends, *files))
        for task in comparison.tasks
        for spec in specs
        for run in _runs(comparison, task, spec)
    ]
    if not runs:
        raise ArgumentError("nothing to compare: give at least one task and one method")
    return runs


def _runs(comparison: Comparison, task: str, spec: MethodSpec) -> Iterator[Run]:
    if spec.needs_router:
        routers = _given(comparison.routers, task, f"method '{spec.name}' on {task} needs --router")
        for number, folder in enumerate(routers):
            label = spec.name if len(routers) == 1 else f"{spec.name}-{number}"
            own = {"router": str(folder), "selection": spec.kind}
            yield _run(comparison, task, spec, label, "sprint-router", own, (_router_facts(folder),))
        return
    if spec.needs_outcomes:
        yield from _outcome_runs(comparison, task, spec)
        return
    if spec.kind == "greedy":
        yield _run(comparison, task, spec, spec.name, "pruned-head", {"heads": "base"})
        return
    for seed in comparison.seeds:
        assert spec.temperature is not None  # parse_method saw to it
        more = ["--gen_kwargs", SAMPLING.format(spec.temperature)]
        own = {"heads": "base", "draw_seed": str(seed)}
        yield _run(comparison, task, spec, _seeded(comparison, spec, seed), "pruned-head", own, (), more)


def _outcome_runs(comparison: Comparison, task: str, spec: MethodSpec) -> Iterator[Run]:
    from sprint_eval.outcomes import Outcomes
    from sprint_eval.routing import best_single_head, fixed_cover

    folder = _given(comparison.outcomes, task, f"method '{spec.name}' on {task} needs --outcomes")
    outcomes = Outcomes.load(folder)
    if spec.kind == "random":
        facts = (outcomes.manifest.run_hash(), hashlib.sha256(outcomes.z.tobytes()).hexdigest()[:16])
        for seed in comparison.seeds:
            own = {"outcomes": str(folder), "draw_seed": str(seed)}
            label = _seeded(comparison, spec, seed)
            yield _run(comparison, task, spec, label, "random-heads", own, facts)
        return
    # These are lists of heads: the arguments say all, whatever the outcomes' folder becomes.
    if spec.kind in ("cover", "mixed-cover"):
        chosen = fixed_cover(outcomes, comparison.n, all_candidates=spec.kind == "mixed-cover")
        own = {"pool": "/".join(map(str, chosen))}
    elif spec.kind == "best":
        own = {"heads": str(best_single_head(outcomes))}
    else:
        own = {"pool": str(outcomes.pool)}
    own["made_on"] = f"model-{outcomes.manifest.model_fingerprint}"  # digits alone would be read as a number
    yield _run(
        comparison, task, spec, spec.name, "pruned-head", own, n=_candidates(spec, comparison, outcomes)
    )


def _candidates(spec: MethodSpec, comparison: Comparison, outcomes: Any) -> int:
    return len(outcomes.pool) if spec.kind == "oracle" else comparison.n


def _run(
    comparison: Comparison,
    task: str,
    spec: MethodSpec,
    label: str,
    model: str,
    own: Mapping[str, str],
    depends: tuple[str, ...] = (),
    more: Sequence[str] = (),
    n: int | None = None,
) -> Run:
    oracle = spec.kind == "oracle"
    model_args = {"pretrained": comparison.model, **comparison.model_args, **own}
    if comparison.store:
        model_args["store"] = str(comparison.out / "store")
    folder = comparison.out / ("oracle" if oracle else "results") / task / label
    metadata = {**comparison.metadata, "n": str(n or comparison.n)}
    arguments = ["--model", model, "--model_args", _joined(model_args), "--tasks", task]
    arguments += ["--metadata", _joined(metadata), "--output_path", str(folder), "--log_samples", *more]
    if comparison.limit is not None:
        arguments += ["--limit", str(comparison.limit)]
    return Run(task, spec.name, label, folder, (*arguments, *comparison.extra), depends, oracle)


def _seeded(comparison: Comparison, spec: MethodSpec, seed: int) -> str:
    # A label names files: no colon.
    name = spec.name.replace(":", "-")
    return name if len(comparison.seeds) == 1 else f"{name}-{seed}"


def _given(values: Mapping[str, Any], task: str, message: str) -> Any:
    found = values.get(task, values.get(""))
    if not found:
        raise ArgumentError(f"{message} (DIR, or {task}=DIR)")
    return found


def _router_facts(folder: Path) -> str:
    from sprint_eval.routing import Router

    return Router.load(folder).fingerprint


def _joined(values: Mapping[str, str]) -> str:
    """``key=value,…`` as lm-eval reads it.

    Raises:
        DataError: a value holds a comma, at which lm-eval would split it.
    """
    for name, value in values.items():
        if "," in value:
            raise DataError(
                f"{name} = '{value}' holds a comma, which lm_eval would split it at; use another path"
            )
    return ",".join(f"{name}={value}" for name, value in values.items())
