"""Who does what in a run of several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sprint_eval.errors import ArgumentError
from sprint_eval.processes import Process, allow_group_on_cpu, asked_of_launcher, this_process


def test_process_of_a_launcher() -> None:
    assert this_process({}) == Process(0, 1)
    assert this_process({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == Process(3, 8)
    assert this_process({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}) == Process(1, 2)
    with pytest.raises(ArgumentError, match="RANK"):
        this_process({"RANK": "3", "WORLD_SIZE": "2"})


def test_processes_own_every_question_once() -> None:
    parts = [[i for i in range(7) if Process(k, 3).owns(i)] for k in range(3)]
    assert sorted(question for part in parts for question in part) == list(range(7))


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("python accelerate launch --cpu --num_processes 2 -m lm_eval", 2),
        ("accelerate launch --num-processes=4 --cpu -m lm_eval", 4),
        ("accelerate launch --num_processes 4 -m lm_eval", 1),  # GPUs: as many as asked for are started
        ("python -m accelerate.commands.launch --cpu --num_processes 3 run.py", 3),
        ("accelerate launch --cpu -m lm_eval", 1),
        ("accelerate launch --cpu --num_processes", 1),
        ("bash", 1),
    ],
)
def test_processes_asked_of_accelerate(command: str, asked: int) -> None:
    assert asked_of_launcher(command.split()) == asked


def test_a_group_on_the_cpu_is_asked_for_only_among_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    for variables, expected in (({}, None), ({"RANK": "1", "WORLD_SIZE": "2"}, "true")):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.delenv("ACCELERATE_USE_CPU", raising=False)
            allow_group_on_cpu()
            assert os.environ.get("ACCELERATE_USE_CPU") == expected


@pytest.mark.slow
def test_one_process_in_place_of_many_is_said(tmp_path: Path) -> None:
    script = tmp_path / "part.py"
    script.write_text(
        "from sprint_eval.processes import this_process\nprint(this_process())\n", encoding="utf-8"
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "3"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", str(script)]
    done = subprocess.run(launch, capture_output=True, text=True, check=True)
    started = done.stdout.count("Process(")
    assert started == 3 or "starts one process, not the 3 asked for" in done.stderr
