"""What the engine's own Python takes beside a model of the size: scheduling, planning, deciding.

    python benchmarks/engine_host.py [--heads 9 45 135 270] [--questions 8]

A model of the layers and heads of ``shape:qwen2.5-math-1.5b``, but so narrow that its arithmetic is
little, decodes the work of ``engine_scaling.py`` under the limits of a GPU. A GPU waits while this is
done: what a forward asks for is known only when the one before it is decided. Counted on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from engine import DATA, describe_machine, result_file, shown
from engine_workload import Workload, load_lm, load_workload

from sprint_eval.engine import Engine
from sprint_eval.engine.attention import _span_lengths
from sprint_eval.engine.call import Call
from sprint_eval.engine.limits import default_limits
from sprint_eval.engine.plan import Planner, StepPlan
from sprint_eval.engine.runner import Runner
from sprint_eval.engine.scheduler import Scheduler
from sprint_eval.engine.varlen import Joined, OwnPasts
from sprint_eval.files import write_json
from sprint_eval.heads import HeadSet

PARTS = {
    "schedule": (Scheduler, "next_step"),
    "plan": (Planner, "plan"),
    "decide": (Call, "_decide"),
}
SHAPE = "shape:qwen2.5-math-1.5b-narrow"
QUESTIONS_DRAWN = 256  # of which engine_scaling.py takes the first, too
# Of the wide model: its width says whether copies are small enough to be made.
_QUERY = torch.empty(1, 12, 128, dtype=torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, nargs="*", default=[9, 45, 135, 270])
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--data-dir", default=str(DATA))
    parser.add_argument("--out", type=Path, default=result_file("engine_host", "cpu"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    lm = load_lm(SHAPE, "cpu", "float32")
    workload = load_workload(lm, args.data_dir, "train", QUESTIONS_DRAWN, "*:*")
    report: dict[str, Any] = {"machine": describe_machine("cpu"), "arguments": shown(args), "rows": []}
    for heads in args.heads:
        report["rows"].append(row(workload, args.questions, heads))
        write_json(args.out, report)


def row(workload: Workload, questions: int, heads: int) -> dict[str, Any]:
    """One measurement; ``heads`` are spread evenly over all of the model's."""
    every = workload.pool[1:]
    pool = [HeadSet(), *(every[place * len(every) // heads] for place in range(heads))]
    engine = Engine(workload.lm.model, workload.lm.tokenizer, limits=default_limits(torch.device("cuda")))
    engine.why_plain()
    spent: dict[str, float] = defaultdict(float)
    shape = {"rows": 0, "runs": 0}
    with measured(spent, shape):
        answers = engine.generate(workload.requests(questions, pool))
    spent["decide"] -= spent.pop("argmax")
    counters = engine.counters.as_dict()
    forwards = counters["forwards"]
    found = {
        "questions": questions,
        "heads": heads,
        "answers": len(answers),
        "forwards": forwards,
        "requests_a_forward": shape["rows"] / forwards,
        "requests_times_segments_a_forward": shape["runs"] / forwards,
        "ms_an_answer": {name: 1e3 * seconds / len(answers) for name, seconds in spent.items()},
        "ms_a_forward": {name: 1e3 * seconds / forwards for name, seconds in spent.items()},
        "counters": counters,
    }
    print({name: value for name, value in found.items() if name != "counters"}, flush=True)
    return found


@contextmanager
def measured(spent: dict[str, float], shape: dict[str, int]) -> Iterator[None]:
    """Add up processor seconds of each part, and of what a GPU's attention is told of each stage."""
    run = Runner.run

    def forward(self: Runner, plan: StepPlan) -> torch.Tensor:
        shape["rows"] += len(plan.decisions)
        with clocked(spent, "boundaries"):
            for stage in plan.stages:
                if stage.runs:
                    shape["runs"] += len(stage.runs)
                    if Joined.of(stage, _QUERY) is None:
                        OwnPasts.of(stage)
                        _span_lengths(stage, [span for span in stage.spans if len(span.prefix)], 6)
        with clocked(spent, "model"):
            logits = run(self, plan)
        with clocked(spent, "argmax"):  # deciding begins with it, and it is the device's work
            logits.argmax(-1)
        return logits

    with ExitStack() as stack:
        for name, (owner, method) in PARTS.items():
            timed = _timed(getattr(owner, method), spent, name)
            stack.enter_context(mock.patch.object(owner, method, timed))
        stack.enter_context(mock.patch.object(Runner, "run", forward))
        yield


def _timed(function: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        with clocked(spent, name):
            return function(*args)

    return call


@contextmanager
def clocked(spent: dict[str, float], name: str) -> Iterator[None]:
    """Add the processor's seconds inside the block."""
    started = time.process_time()
    try:
        yield
    finally:
        spent[name] += time.process_time() - started


if __name__ == "__main__":
    main()
