"""Two processes train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import copy, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from accelerate import Accelerator
from conftest import build_tiny_model
from sprint_eval.distillation.config import PruneSettings, TrainSettings
from sprint_eval.distillation.data import TrainingText
from sprint_eval.distillation.pruner import Pruned, Pruner
from sprint_eval.distillation.scoring import Scorer
from sprint_eval.distillation.trainer import PhaseTrainer, Teacher, phase_steps

texts = [
    TrainingText((1, 3 + n % 5, 10 + n % 7), (30 + n % 5, *((40 + n % 7,) * (n % 3)), 2), str(n))
    for n in range(15)
]
teacher = build_tiny_model("llama", seed=3)
student = copy.deepcopy(teacher)
settings = TrainSettings(epochs=2, batch_size=5, accumulate=2, lr=1e-3)
prune = PruneSettings(ratio=0.5, rounds=1, calibration=8, refresh_every=2)
pruner = Pruner(prune, Scorer(prune, texts[:8]), student, Pruned(), 1, phase_steps(len(texts), settings))
accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == int(sys.argv[3])
folder = Path(sys.argv[2])
PhaseTrainer(accelerator, student, texts, settings, folder, "phase", Teacher(teacher), pruner).run()
"""


def launch(folder: Path, processes: int) -> list[dict[str, float]]:
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(SCRIPT)
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [
            sys.executable,
            *(many if processes > 1 else []),
            str(script),
            str(tests),
            str(folder),
            str(processes),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (folder / "phase.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tmp_path):
    one, two = launch(tmp_path / "one", 1), launch(tmp_path / "two", 2)
    assert len(one) == len(two) == 6
    for name in ("loss", "task", "kl", "attention", "grad_norm"):
        assert [line[name] for line in two] == pytest.approx([line[name] for line in one], rel=1e-3), name
    assert [line["pruned_heads"] for line in two] == [line["pruned_heads"] for line in one]
    assert [line["tokens"] for line in two] == [line["tokens"] for line in one]
