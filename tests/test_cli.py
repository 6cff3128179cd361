"""The command line as its users meet it: help, errors, exit codes, and what a start costs."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
import types
from typing import Any

import pytest

from sprint_eval import __version__, cli
from sprint_eval.errors import DataError

COMMANDS = dict(cli.SUBCOMMANDS)


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """``sprint-eval`` in a process of its own."""
    command = [sys.executable, "-m", "sprint_eval", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.fixture
def fake_command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a subcommand ``fake`` whose run() is the function given."""

    def install(function: Any) -> None:
        module = types.ModuleType("fake_command")
        module.HELP = "a command for tests"  # type: ignore
        module.EXAMPLES = "examples:\n  sprint-eval fake"  # type: ignore
        module.add_arguments = lambda parser: parser.add_argument("--count", type=int)  # type: ignore
        module.run = function  # type: ignore
        monkeypatch.setitem(sys.modules, "fake_command", module)
        monkeypatch.setattr(cli, "SUBCOMMANDS", (*cli.SUBCOMMANDS, ("fake", "fake_command")))

    return install


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_subcommand(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for name, module in COMMANDS.items():
        assert f"  {name} " in shown
        assert importlib.import_module(module).HELP in shown
    assert "examples:" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_subcommand_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: sprint-eval {name}")
    assert f"sprint-eval {name}" in shown.split("usage:", 1)[1].split("\n", 1)[1], "no example of its own"


ACTIONS = {"outcomes": ("show", "check", "merge", "export", "prune"), "export": ("heads", "dense")}


@pytest.mark.parametrize("command", [f"{name} {action}" for name in ACTIONS for action in ACTIONS[name]])
def test_help_of_an_action_has_examples_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--help"])
    assert ended.value.code == 0
    usage, _, examples = capsys.readouterr().out.partition("examples:\n")
    assert usage.startswith(f"usage: sprint-eval {command}")
    assert examples.splitlines()
    assert all(line.startswith(f"  sprint-eval {command} ") for line in examples.splitlines())


def test_actions_are_all_there_are() -> None:
    """A new action is not forgotten above."""
    for name, module in COMMANDS.items():
        parser = argparse.ArgumentParser()
        importlib.import_module(module).add_arguments(parser)
        found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        assert tuple(found[0].choices if found else ()) == ACTIONS.get(name, ()), name


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sprint-eval {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["modle"], "unknown subcommand 'modle' (did you mean 'model'?)"),
        (["frobnicate"], "unknown subcommand 'frobnicate'; see: sprint-eval --help"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["model"], "one of the arguments NAME --list is required; see: sprint-eval model --help"),
        (["model", "a", "b"], "unrecognized arguments: b"),
        (["model", "smollm2-135m"], "unknown model 'smollm2-135m' (did you mean 'smollm2-135m-instruct'?)"),
        (["fake", "--count", "many"], "argument --count: invalid int value: 'many'"),
        (["fake", "--coun", "1"], "unrecognized arguments: --coun 1"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    arguments: list[str], expected: str, fake_command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_command(lambda args: 0)
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert shown.out == ""
    assert shown.err.startswith("sprint-eval: error: ")
    assert expected in shown.err
    assert shown.err.count("\n") == 1


def test_error_of_a_command_is_one_line_and_exit_2(
    fake_command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: Any) -> int:
        raise DataError("no questions in\n  questions.jsonl")

    fake_command(fail)
    with pytest.raises(SystemExit) as ended:
        cli.main(["fake"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "sprint-eval: error: no questions in questions.jsonl\n"


def test_exit_code_of_a_command_is_returned(fake_command: Any) -> None:
    fake_command(lambda args: args.count)
    assert cli.main(["fake", "--count", "3"]) == 3


def test_interrupt_exits_130_without_traceback(fake_command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(args: Any) -> int:
        raise KeyboardInterrupt

    fake_command(interrupted)
    assert cli.main(["fake"]) == 130
    assert capsys.readouterr().err == "sprint-eval: interrupted\n"


@pytest.mark.parametrize("arguments", [["--help"], ["model", "--list"]])
def test_reader_that_has_gone_is_no_error(arguments: list[str]) -> None:
    code = "import sys, time; time.sleep(0.2); from sprint_eval.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 141)  # argparse keeps the failure of --help to itself
    assert errors == ""


def test_help_is_fast_and_light() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        done = run("--help")
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0
        assert done.stderr == ""
    assert min(seconds) < 0.3, f"sprint-eval --help took {min(seconds):.2f} s at best"


def test_commands_import_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "lm_eval", "numpy", "pandas", "matplotlib", "sentence_transformers")
    code = (
        "import importlib, sys\n"
        f"for module in {sorted(COMMANDS.values())!r}: importlib.import_module(module)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_script_is_installed() -> None:
    script = f"{sys.exec_prefix}/bin/sprint-eval"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"sprint-eval {__version__}\n"
