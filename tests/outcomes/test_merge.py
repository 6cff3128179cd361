"""A merge into a folder that is not its own, and stores that do not belong together."""

from __future__ import annotations

import pytest

from sprint_eval.cli import main
from sprint_eval.errors import ArgumentError, MismatchError, StoreError
from sprint_eval.outcomes import Outcomes, merge
from sprint_eval.outcomes.merge import merge_stores, select_store


def test_a_merge_that_comes_second_leaves_the_first_alone(toy, monkeypatch):
    """Both saw an empty folder; the other was faster."""
    for name, start in (("a", 0), ("b", 6), ("c", 12)):
        toy.fill(toy.store(name, start=start))
    a, b, c, out = (toy.folder / name for name in ("a", "b", "c", "out"))
    write = merge._write_store

    def late(*args):
        monkeypatch.setattr(merge, "_write_store", write)
        merge_stores([a, b], out)
        write(*args)

    monkeypatch.setattr(merge, "_write_store", late)
    with pytest.raises(StoreError, match=r"cannot write to .*out: File exists"):
        merge_stores([a, c], out)
    outcomes = Outcomes.load(out)
    assert outcomes.complete
    assert [question.key for question in outcomes.questions][6] == "key0006"


def test_a_merge_that_fails_leaves_nothing(toy, monkeypatch):
    toy.fill(toy.store("a"))
    out = toy.folder / "out"

    def full(manifest, folder):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sprint_eval.outcomes.manifest.Manifest.save", full)
        with pytest.raises(StoreError, match="No space left"):
            merge_stores([toy.folder / "a"], out)
    assert not [path for path in out.rglob("*") if path.is_file()]
    assert merge_stores([toy.folder / "a"], out).complete


def test_a_merge_into_a_file(toy, capsys):
    toy.fill(toy.store("a"))
    file = toy.folder / "file"
    file.write_text("mine")
    with pytest.raises(SystemExit) as end:
        main(["outcomes", "merge", str(toy.folder / "a"), "--out", str(file)])
    assert end.value.code == 2
    assert f"{file} is a file; name a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("field", "one", "two"),
    [
        ("system_instruction", "Be brief.", None),
        ("fewshot_as_multiturn", True, False),
        ("chat_template_args", {"enable_thinking": False}, {}),
    ],
)
def test_prompts_of_another_format(toy, field, one, two):
    """With other questions no hash of a prompt can tell."""
    for name, start, facts in (("a", 0, {field: one}), ("b", 6, {field: two}), ("old", 12, {})):
        toy.fill(toy.store(name, start=start, facts=facts, num_fewshot=2))
    a, b, old = (toy.folder / name for name in ("a", "b", "old"))
    for stores in ([a, b], [old, a, b]):
        with pytest.raises(MismatchError, match=f"{field} is {one!r} in the first and .* in the second"):
            merge_stores(stores, toy.folder / "out")
    assert len(merge_stores([a, old], toy.folder / "out").questions) == 12
    assert len(merge_stores([old, b], toy.folder / "out2").questions) == 12


def test_without_worked_examples_they_are_no_turns_either(toy):
    for name, start, turns in (("a", 0, True), ("b", 6, False)):
        toy.fill(toy.store(name, start=start, facts={"fewshot_as_multiturn": turns}))
    assert len(merge_stores([toy.folder / "a", toy.folder / "b"], toy.folder / "out").questions) == 12


def test_stores_are_compared_with_each_other(toy):
    """What one store does not know, two others may know differently."""
    old = toy.manifest().generation
    for name, start, tokens in (
        ("old", 0, {}),
        ("a", 6, {"end_tokens": [2]}),
        ("b", 12, {"end_tokens": [7]}),
    ):
        toy.fill(toy.store(name, start=start, generation={**old, **tokens}))
    merge_stores([toy.folder / "old", toy.folder / "a"], toy.folder / "two")
    with pytest.raises(MismatchError, match="end_tokens"):
        merge_stores([toy.folder / name for name in ("old", "a", "b")], toy.folder / "three")


@pytest.mark.parametrize("limit", [-2, 0])
def test_a_limit_that_keeps_nothing_or_drops_the_last(toy, limit):
    toy.fill(toy.store())
    with pytest.raises(ArgumentError, match=f"--limit {limit}: expected at least 1 question"):
        select_store(toy.folder / "z", toy.folder / "part", limit=limit)
    assert not (toy.folder / "part").exists()
