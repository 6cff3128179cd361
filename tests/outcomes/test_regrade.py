"""Regrading needs the texts alone: no earlier verdicts, and no store without damage."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from sprint_eval.cli import main
from sprint_eval.errors import StoreError
from sprint_eval.outcomes import Manifest, Outcomes
from sprint_eval.outcomes.prune import prune_store
from sprint_eval.outcomes.regrade import regrade_store
from sprint_eval.outcomes.shard import shard_paths

CELLS = 6 * 13


def right(how):
    """A grader to which every answer is right."""
    verdict = SimpleNamespace(correct=True, extracted="9", how=how, status="ok")
    return lambda doc, texts: [verdict for _ in texts]


def how(folder) -> set[str]:
    """How the cells that are there were graded."""
    outcomes = Outcomes.load(folder)
    done = outcomes.done[:, :-1]
    return {outcomes.cell(i, j).how for i, row in enumerate(done) for j, there in enumerate(row) if there}


def damaged(path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def headless(path) -> None:
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])


def torn(path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def gone(path) -> None:
    path.unlink()


@pytest.mark.parametrize("spoil", [damaged, headless, torn, gone])
def test_verdicts_that_cannot_be_used_are_made_again(toy, spoil):
    store = toy.store()
    toy.fill(store)
    regrade_store(store.folder, right("second"), "2")
    (verdicts,) = (store.folder / "verdicts").iterdir()
    spoil(verdicts)
    for work in (Outcomes.load, prune_store):
        with pytest.raises(StoreError, match=f"{verdicts.name} cannot be used.*regrade {store.folder}$"):
            work(store.folder)
    report = regrade_store(store.folder, right("third"), "2")
    assert (report.cells, report.lost_verdicts) == (CELLS, True)
    assert how(store.folder) == {"third"}
    assert not regrade_store(store.folder, right("fourth"), "2").lost_verdicts


def test_verdicts_that_are_damaged_after_reading(toy):
    store = toy.store()
    toy.fill(store)
    regrade_store(store.folder, right("second"), "2")
    outcomes = Outcomes.load(store.folder)
    (verdicts,) = (store.folder / "verdicts").iterdir()
    verdicts.write_bytes(verdicts.read_bytes().replace(b"second", b"seconx"))
    with pytest.raises(StoreError, match="sprint-eval regrade"):
        outcomes.cell(0, 0)


def test_a_damaged_line_beside_stale_verdicts(toy, capsys):
    store, old = toy.store(grader_version="2"), toy.store("old", grader_version="1")
    toy.fill(store, only=lambda i, j: i < 2)
    toy.fill(old)
    path = store.folder / "shards" / "old.jsonl"
    shutil.copy(shard_paths(old.folder)[0], path)
    toy.flip(path, b"of cell (3, 4)")
    (store.folder / "shards" / "zz.jsonl").write_bytes(path.read_bytes().split(b"\n", 1)[1])
    with pytest.raises(StoreError, match="first run: sprint-eval regrade"):
        prune_store(store.folder)
    report = regrade_store(store.folder, right("third"), "3")
    assert (report.cells, report.damaged, report.foreign) == (CELLS - 1, 1, ["zz.jsonl"])
    assert main(["regrade", str(store.folder), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "1 damaged lines, 1 files of another run or without a header; take them out: sprint-eval " in said
    report = prune_store(store.folder)
    assert (report.damaged, report.foreign) == (1, ["zz.jsonl"])
    assert how(store.folder) == {"third"}
    assert toy.fill(toy.store(grader_version="3")) == 1


def test_the_same_grader_again(toy):
    """Its verdicts are in force over the shards', and later cells keep theirs."""
    store = toy.store()
    toy.fill(store, only=lambda i, j: i < 3)
    report = regrade_store(store.folder, right("again"), "1")
    assert report.to_right > 0
    assert (Outcomes.load(store.folder).z[:3] == 1).all()
    assert how(store.folder) == {"again"}
    toy.fill(store)
    for _ in range(2):  # the second time without the verdict file
        outcomes = Outcomes.load(store.folder)
        assert [outcomes.cell(i, 4).how for i in range(6)] == ["again"] * 3 + ["exact"] * 3
        prune_store(store.folder)
        assert not list((store.folder / "verdicts").iterdir())


def test_an_answer_decoded_again_keeps_its_own_verdict(toy):
    """The verdict file is about the text in the shard that has been lost."""
    store = toy.store()
    toy.fill(store)
    regrade_store(store.folder, right("again"), "1")
    shard_paths(store.folder)[0].unlink()
    toy.fill(store)
    assert how(store.folder) == {"exact"}


def test_no_other_maintenance_while_regrading(toy, monkeypatch):
    """The second would delete the verdicts that the first is putting in force, or the cells they are of."""
    store = toy.store()
    toy.fill(store)
    save, refused = Manifest.save, []

    def save_late(manifest, folder):
        monkeypatch.setattr(Manifest, "save", save)
        for work in (lambda: regrade_store(folder, right("other"), "2"), lambda: prune_store(folder)):
            try:
                work()
            except StoreError as error:
                refused.append(str(error))
        save(manifest, folder)

    monkeypatch.setattr(Manifest, "save", save_late)
    regrade_store(store.folder, right("mine"), "2")
    assert how(store.folder) == {"mine"}
    assert len(refused) == 2
    assert all("is at work" in text for text in refused)
    regrade_store(store.folder, right("next"), "2")
    assert how(store.folder) == {"next"}
