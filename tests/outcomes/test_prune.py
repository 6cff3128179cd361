"""Pruning takes out only what is known not to fit, and whole files not for good."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from sprint_eval.cli import main
from sprint_eval.errors import StoreError
from sprint_eval.outcomes import Outcomes, Process
from sprint_eval.outcomes.check import check_store
from sprint_eval.outcomes.prune import prune_store
from sprint_eval.outcomes.shard import shard_paths

CELLS = 6 * 13


def test_a_shard_that_cannot_be_read_is_left_alone(toy, monkeypatch):
    """An I/O error says nothing of what the file holds."""
    store = toy.store()
    toy.fill(store)
    (shard,) = shard_paths(store.folder)
    opened = Path.open

    def unreadable(path, *args, **kwargs):
        if path == shard:
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", unreadable)
        with pytest.raises(StoreError, match=r"cannot read .*Input/output error"):
            prune_store(store.folder)
    assert Outcomes.load(store.folder).complete


def test_a_shard_with_a_damaged_header_is_moved_and_can_be_mended(toy):
    store = toy.store()
    for k in range(2):
        toy.fill(store, Process(k, 2))
    broken, other = shard_paths(store.folder)
    toy.flip(broken, b'"run"')
    data = broken.read_bytes()
    with pytest.raises(StoreError, match="has no header"):
        Outcomes.load(store.folder)
    assert prune_store(store.folder, dry_run=True).foreign == [broken.name]
    assert broken.exists()
    assert prune_store(store.folder).foreign == [broken.name]
    moved = store.folder / "removed" / broken.name
    assert moved.read_bytes() == data
    assert Outcomes.load(store.folder).done.sum() == CELLS // 2
    assert check_store(store.folder).sound
    # As docs/outcomes.md says: the header of another shard of the store.
    header = other.read_bytes().split(b"\n", 1)[0]
    broken.write_bytes(header + b"\n" + moved.read_bytes().split(b"\n", 1)[1])
    outcomes = Outcomes.load(store.folder)
    assert outcomes.complete
    assert all(outcomes.cell(i, j) == toy.cell(i, j) for i in range(6) for j in range(12))


def test_files_of_one_name_are_all_kept(toy, capsys):
    """A shard without a whole header, then one of another run under the same name."""
    store, other = toy.store(), toy.store("other", task="other")
    toy.fill(store)
    toy.fill(other)
    path = store.folder / "shards" / "zz.jsonl"
    path.write_bytes(b"0123")
    assert main(["outcomes", "prune", str(store.folder)]) == 0
    assert f"zz.jsonl moved to {store.folder}/removed" in capsys.readouterr().out
    shutil.copy(shard_paths(other.folder)[0], path)
    assert prune_store(store.folder).foreign == ["zz.jsonl"]
    removed = list((store.folder / "removed").iterdir())
    assert {file.read_bytes() for file in removed} == {
        b"0123",
        shard_paths(other.folder)[0].read_bytes(),
    }
    assert Outcomes.load(store.folder).complete


def test_a_rewritten_shard_with_a_damaged_header_is_not_in_the_way(toy):
    """The next rewritten shard needs another name than the one that is moved away afterwards."""
    store = toy.store()
    toy.fill(store)
    (shard,) = shard_paths(store.folder)
    shutil.copy(shard, shard.with_name("zz.jsonl"))
    prune_store(store.folder)
    (rewritten,) = shard_paths(store.folder)
    toy.flip(rewritten, b'"run"')
    rewritten.rename(store.folder.parent / "away")
    toy.fill(store)
    (shard,) = shard_paths(store.folder)
    shutil.copy(shard, shard.with_name("zz.jsonl"))
    (store.folder.parent / "away").rename(rewritten)
    report = prune_store(store.folder)
    assert (report.foreign, report.duplicates) == ([rewritten.name], CELLS)
    assert Outcomes.load(store.folder).complete
