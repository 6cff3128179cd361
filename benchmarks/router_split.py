"""Halve ASDiv-A's training folds by question: one half tunes the model, the other trains the router.

    python benchmarks/router_split.py DATA_DIR OUT_DIR

Writes ``tune.jsonl`` and ``route.jsonl``. Questions that differ only in their numbers stay together, and
the half is decided by the key's hash alone, so that any machine makes the same halves.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sprint_eval.files import write_atomic
from sprint_eval.questions import masked_question_hash

FOLDS = (0, 1, 2)


def main() -> None:
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    halves: dict[str, list[str]] = {"tune": [], "route": []}
    for fold in FOLDS:
        for line in (data / f"asdiv_a_fold{fold}.jsonl").read_text(encoding="utf-8").splitlines():
            key = masked_question_hash(json.loads(line)["question"])
            halves["tune" if int(key, 16) % 2 else "route"].append(line)
    for name, lines in halves.items():
        path, content = out / f"{name}.jsonl", ("\n".join(lines) + "\n").encode()
        if not path.exists() or path.read_bytes() != content:  # else what was made from it would begin anew
            write_atomic(path, content)
        print(f"{name}: {len(lines)} questions")


if __name__ == "__main__":
    main()
