"""Test questions of ``rg_math`` that the first reports did not use, as ``lm_eval --samples`` takes them.

    python benchmarks/fresh_questions.py rg_math_pass_at_n_fewshot --train-size 1200 --used 1000 --of 2000

prints, of the ``--of`` first test questions, the places of those that are not among the ``--used`` first.
"""

from __future__ import annotations

import argparse
import json

from sprint_eval.tasks import load_task


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task")
    parser.add_argument("--train-size", type=int, required=True)
    parser.add_argument("--used", type=int, required=True)
    parser.add_argument("--of", type=int, required=True)
    args = parser.parse_args()
    used = set(test_keys(args.task, args.train_size, args.used))
    keys = test_keys(args.task, args.train_size, args.of)
    fresh = [place for place, key in enumerate(keys) if key not in used]
    if len(fresh) != args.of - args.used:
        raise SystemExit(f"{len(fresh)} of {args.of} questions are new, expected {args.of - args.used}")
    print(json.dumps({args.task: fresh}, separators=(",", ":")))


def test_keys(task: str, train_size: int, test_size: int) -> list[str]:
    """The ``question_key`` of each test question, in the order of lm_eval."""
    sizes = {"train_size": train_size, "test_size": test_size}
    return [str(doc["question_key"]) for doc in load_task(task, sizes, split="test").eval_docs]


if __name__ == "__main__":
    main()
