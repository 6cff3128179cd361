"""Who does what in a run of several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sprint_eval.errors import ArgumentError
from sprint_eval.processes import (
    Process,
    allow_group_on_cpu,
    asked_of_launcher,
    start_processes_asked_for,
    this_process,
    torchrun_arguments,
)


def test_process_of_a_launcher() -> None:
    assert this_process({}) == Process(0, 1)
    assert this_process({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == Process(3, 8)
    assert this_process({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}) == Process(1, 2)
    with pytest.raises(ArgumentError, match="RANK"):
        this_process({"RANK": "3", "WORLD_SIZE": "2"})
    with pytest.raises(ArgumentError, match="WORLD_SIZE='two' is no number"):
        this_process({"RANK": "1", "WORLD_SIZE": "two"})


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
        ("accelerate launch --cpu --num_processes 2 --num_machines 1 -m lm_eval", 2),
        ("accelerate launch --cpu --num_processes 2 --num-machines=2 -m lm_eval", 1),  # not ours to number
        ("accelerate launch --cpu --num_processes 0 -m lm_eval", 1),
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


def test_a_command_becomes_one_of_torchrun() -> None:
    arguments = torchrun_arguments(2, ["-m", "lm_eval", "--limit", "4"])
    assert arguments[:2] == ["-m", "torch.distributed.run"]
    assert arguments[-6:] == ["--nproc_per_node", "2", "-m", "lm_eval", "--limit", "4"]


def test_nothing_is_started_anew_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.execv", lambda *arguments: pytest.fail("became another program"))
    asking = ["accelerate", "launch", "--cpu", "--num_processes", "2"]
    start_processes_asked_for()
    monkeypatch.setattr("sprint_eval.processes._command_of_parent", lambda: asking)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    start_processes_asked_for()


@pytest.mark.slow
def test_accelerate_on_cpus_starts_as_many_processes_as_asked_for(tmp_path: Path) -> None:
    script = tmp_path / "part.py"
    script.write_text(
        "import sys\nfrom sprint_eval.processes import start_processes_asked_for, this_process\n"
        "start_processes_asked_for()\n"
        f"open({str(tmp_path)!r} + f'/{{this_process()}}', 'w').write(sys.argv[1])\n",
        encoding="utf-8",
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "3"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", str(script), "x y"]
    subprocess.run(launch, check=True)
    script.unlink()
    assert {path.name for path in tmp_path.iterdir()} == {str(Process(i, 3)) for i in range(3)}
    assert {path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"x y"}
