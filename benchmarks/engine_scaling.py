"""Seconds and token-forwards against the number of heads, and against the number of questions.

python benchmarks/engine_scaling.py [--heads 9 45 135 270] [--questions 16 64 256]

Growth must be no worse than linear, and a head must get cheaper as the pool grows.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from engine import DATA, describe_machine, result_file, shown
from engine_peers import run_ours
from engine_workload import Workload, load_lm, load_workload

from sprint_eval.files import write_json
from sprint_eval.heads import HeadSet


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, nargs="*", default=[9, 45, 135, 270])
    parser.add_argument("--questions", type=int, nargs="*", default=[16, 64, 256])
    parser.add_argument("--fixed-questions", type=int, default=8, help="while heads vary")
    parser.add_argument("--fixed-heads", type=int, default=9, help="while questions vary")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="or shape:qwen2.5-math-1.5b")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--split", default="train", choices=["test", "train"])
    parser.add_argument("--data-dir", default=str(DATA))
    parser.add_argument("--out", type=Path, help="default: a file of the device's and the shape's own")
    args = parser.parse_args()
    shape = args.model.partition("shape:")[2]
    args.out = args.out or result_file("_".join(filter(None, ["engine_scaling", shape])), args.device)
    lm = load_lm(args.model, args.device, args.dtype)
    most = max([args.fixed_questions, *args.questions])
    workload = load_workload(lm, args.data_dir, args.split, most, "*:*")
    sizes = [(args.fixed_questions, heads) for heads in args.heads]
    sizes += [(questions, args.fixed_heads) for questions in args.questions]
    report = {"machine": describe_machine(args.device), "arguments": shown(args), "rows": []}
    for questions, heads in sizes:
        report["rows"].append(row(workload, questions, heads))
        write_json(args.out, report)


def row(workload: Workload, questions: int, heads: int) -> dict[str, Any]:
    """One measurement; ``heads`` are spread evenly over all of the model's."""
    every = workload.pool[1:]
    pool = [HeadSet(), *(every[place * len(every) // heads] for place in range(heads))]
    found = run_ours(workload, workload.requests(questions, pool))
    answers = questions * len(pool)
    row = {
        "questions": questions,
        "heads": heads,
        "seconds": found.seconds,
        "cpu_seconds": found.cpu_seconds,
        "token_forwards": found.token_forwards,
        "cpu_ms_an_answer": 1e3 * found.cpu_seconds / answers,
        "token_forwards_an_answer": found.token_forwards / answers,
        "counters": found.counters,
    }
    print({key: value for key, value in row.items() if key != "counters"}, flush=True)
    return row


if __name__ == "__main__":
    main()
