"""Verdicts: the table of cases, independence of order and workers, limits, processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sprint_eval.grading import GRADER_VERSION, Grader, Verdict, canonical, default_grader, extract_answer

CASES = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))
TOWER = "\\boxed{5^{5^{5^{5^5}}}}"
SECONDS = 0.6


@pytest.fixture(scope="module")
def grader():
    grader = Grader(workers=2, cpu_seconds=SECONDS)
    yield grader
    grader.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_case(grader: Grader, case: dict) -> None:
    verdict = grader.grade([(case["text"], case["gold"])])[0]
    found = {key: getattr(verdict, key) for key in ("correct", "how", "status", "extracted") if key in case}
    assert found == {key: case[key] for key in found}


def test_the_table_is_large_and_has_both_kinds() -> None:
    assert len(CASES) >= 80
    assert sum(case["correct"] for case in CASES) >= 40
    assert sum(not case["correct"] for case in CASES) >= 40
    assert isinstance(GRADER_VERSION, str)


def test_same_verdicts_in_any_order_and_on_any_number_of_workers(grader: Grader) -> None:
    pairs = [(case["text"], case["gold"]) for case in CASES]
    expected = grader.grade(pairs)
    order = list(range(len(pairs)))
    random.Random(3).shuffle(order)
    with_three = Grader(workers=3, cpu_seconds=SECONDS)
    try:
        shuffled = with_three.grade([pairs[i] for i in order])
    finally:
        with_three.close()
    assert dict(zip(order, shuffled, strict=True)) == dict(enumerate(expected))


def test_a_hanging_answer_spoils_no_other_and_ends_at_its_limit() -> None:
    grader = Grader(workers=1, cpu_seconds=SECONDS)
    try:
        start = time.monotonic()
        verdicts = grader.grade([(TOWER, "24"), ("\\boxed{1+y}", "y+1"), ("\\boxed{y}", "y+1")])
        assert time.monotonic() - start < 12 * SECONDS + 20  # the machine may be busy
    finally:
        grader.close()
    assert [verdict.status for verdict in verdicts] == ["timeout", "ok", "ok"]
    assert [verdict.correct for verdict in verdicts] == [False, True, False]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space limits")
def test_memory_and_crashes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from sprint_eval.grading import worker

    reader, writer = os.pipe()

    def end(compare) -> str:
        monkeypatch.setattr(worker, "compare", compare)
        return worker._in_child("1", "1", 5.0, 1 << 36, reader)

    assert end(lambda gold, answer: bool(bytearray(1 << 37))) == "memory"
    assert end(lambda gold, answer: os.kill(os.getpid(), signal.SIGKILL)) == "memory"
    assert end(lambda gold, answer: os.kill(os.getpid(), signal.SIGTERM)) == "error"
    assert end(lambda gold, answer: 1 / 0) == "error"
    assert end(lambda gold, answer: gold == answer) == "equal"
    os.close(reader)
    os.close(writer)


def test_hundred_thousand_characters_are_fast(grader: Grader) -> None:
    texts = ["1" * 100_000, "\\boxed{" * 14_000, "{" * 100_000, "the answer is " * 7_000, "1," * 50_000]
    texts += ["\\boxed{" + "x+" * 50_000 + "1}", "$" * 100_000, "1/" * 50_000, "答" * 100_000, "-" * 100_000]
    texts += ["a " * 50_000, "\\boxed{5 " + "a " * 190 + "7}", "\\frac{" * 16_000, "(" * 100_000 + "1"]
    texts += [
        "result: " * 12_000 + ". 5",
        "the answer is we are. " * 4_500 + "5",
        "答：因为。" * 20_000 + "5",
    ]
    texts += ["= - " * 25_000, "$5 + " * 20_000, "\\boxed{" + "\\! " * 33_000 + "}"]
    start = time.monotonic()
    verdicts = grader.grade([(text, "24") for text in texts])
    assert time.monotonic() - start < 10.0
    assert not any(verdict.correct for verdict in verdicts)
    assert all(len(verdict.extracted or "") <= 1_000 for verdict in verdicts)


def test_a_killed_worker_is_replaced_and_its_pair_decided(grader: Grader) -> None:
    victim = Grader(workers=1, cpu_seconds=SECONDS)
    try:
        assert victim.grade([("\\boxed{a+b}", "b+a")])[0].correct
        os.kill(victim._pool._workers[0].process.pid, signal.SIGKILL)
        assert victim.grade([("\\boxed{a+c}", "c+a")])[0].correct
        threading.Timer(0.3, lambda: os.kill(victim._pool._workers[0].process.pid, signal.SIGKILL)).start()
        verdicts = victim.grade([(TOWER, "z+1"), ("\\boxed{a+d}", "d+a")])
    finally:
        victim.close()
    assert [verdict.status for verdict in verdicts] == ["timeout", "ok"]
    assert verdicts[1].correct


def test_works_from_several_threads(grader: Grader) -> None:
    found: dict[int, list[Verdict]] = {}

    def work(index: int) -> None:
        found[index] = grader.grade([(f"\\boxed{{{index}+t}}", f"t+{index}"), (f"\\boxed{{{index}}}", "t+1")])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all([verdict.correct for verdict in found[index]] == [True, False] for index in range(6))


def test_a_memory_emptied_by_another_thread_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread waits for its comparisons, another may have begun the memory anew."""
    grader = Grader(workers=1)
    monkeypatch.setattr("sprint_eval.grading.grader._CACHE_SIZE", 1)

    def compare(pairs: list[tuple[str, str]]) -> list[str]:
        if pairs == [("c+1", "d+1")]:
            monkeypatch.setattr(grader._pool, "compare", lambda pairs: ["equal"] * len(pairs))
            grader.grade([("\\boxed{e+1}", "f+1"), ("\\boxed{g+1}", "h+1")])
        return ["equal"] * len(pairs)

    monkeypatch.setattr(grader._pool, "compare", compare)
    first = ("\\boxed{b+1}", "a+1")
    grader.grade([first])
    assert [v.correct for v in grader.grade([first, ("\\boxed{d+1}", "c+1")])] == [True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_works_in_a_forked_process_without_disturbing_the_parent(grader: Grader) -> None:
    assert grader.grade([("\\boxed{p+q}", "q+p")])[0].correct
    child = os.fork()
    if child == 0:
        right = grader.grade([("\\boxed{p+r}", "r+p")])[0].correct
        grader.close()
        os._exit(0 if right else 1)
    assert grader.grade([("\\boxed{p+s}", "s+p")])[0].correct
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_workers_start_late_stay_light_and_die_with_their_parent() -> None:
    script = (
        "import sys, time, os\n"
        "from sprint_eval.grading import Grader\n"
        "g = Grader(workers=1)\n"
        "g.grade([('the answer is 5', '5'), ('6', '5')])\n"
        "assert not g._pool._workers, 'started for numbers'\n"
        "g.grade([('\\\\boxed{a+b}', 'b+a')])\n"
        "heavy = {'torch', 'sympy', 'math_verify'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(g._pool._workers[0].process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    maps = Path(f"/proc/{worker}/maps")
    if maps.exists():
        assert "torch" not in maps.read_text(encoding="utf-8")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:  # a zombie whose new parent has not collected it yet has ended all the same
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("24", "24.0"),
        ("1,234", "\\$1234"),
        ("0.5", "\\frac{1}{2}"),
        ("50\\%", "0.50"),
        ("\\text{Yes}", "yes"),
        ("x + 1", "x+1"),
        ("\\left(1, 2\\right)", "(1,2)"),
        ("3 apples", "3"),
        ("３", "3"),
        ("0.3333333333333333", "0.333333333333333333"),
    ],
)
def test_canonical_strings_of_equal_answers_are_equal(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"), [("24", "25"), ("x+1", "x-1"), ("5", "-5"), ("50\\%", "50"), ("(1,2)", "(2,1)")]
)
def test_canonical_strings_of_different_answers_differ(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


PIECES = r"\boxed{ } { \frac{1}{2} 答： #### $ ^ _ % 1/2 - = \text{ x 7 1,000 \sqrt{ ( ) [ 万 ． \\"
PIECE = st.sampled_from([*PIECES.split(), " ", "\n", "\x00", "\ud800", "the answer is "])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=300), st.lists(PIECE, max_size=25).map("".join)), data=st.data())
def test_any_text_and_any_gold_give_a_verdict(grader: Grader, text: str, data: st.DataObject) -> None:
    gold = data.draw(st.one_of(st.text(max_size=40), st.lists(PIECE, max_size=6).map("".join)))
    start = time.monotonic()
    verdict = grader.grade([(text, gold)])[0]
    assert time.monotonic() - start < 12 * SECONDS + 20
    assert isinstance(verdict, Verdict)
    assert (verdict.extracted is None) == (verdict.status == "no_answer")
    if verdict.correct:
        assert verdict.status == "ok"
    assert grader.grade([(text, gold)])[0] == verdict
    if verdict.extracted is not None:
        assert isinstance(canonical(verdict.extracted), str)


@settings(max_examples=200, deadline=None)
@given(st.fractions(max_denominator=10**6))
def test_a_boxed_fraction_is_found_and_equal_to_itself(value) -> None:
    text = f"\\boxed{{\\frac{{{value.numerator}}}{{{value.denominator}}}}}"
    verdict = default_grader().grade([(text, str(value))])[0]
    assert verdict.correct
    assert canonical(verdict.extracted or "") == str(value)


@given(st.integers(-(10**9), 10**9))
def test_an_integer_is_found_in_every_form(value: int) -> None:
    forms = (f"\\boxed{{{value}}}", f"The answer is {value}.", f"#### {value:,}", f"答案是{value}。")
    for text in (*forms, f"So {value} apples"):
        assert default_grader().grade([(text, str(value))])[0].correct, text


def test_extraction_prefers_box_then_phrase_then_number() -> None:
    text = "It is 1. The answer is 2. \\boxed{3} 4"
    assert extract_answer(text) == "3"
    assert extract_answer(text.replace("\\boxed{3}", "")) == "2"
    assert extract_answer("It is 1, 4") == "4"
