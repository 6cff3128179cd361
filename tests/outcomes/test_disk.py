"""A disk that fills up and a folder that cannot be written: a clear line, and no wrong Z."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys

import pytest

from sprint_eval.errors import StoreError
from sprint_eval.outcomes import Outcomes, OutcomeStore, Process
from sprint_eval.outcomes.shard import shard_paths


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 64 kB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this process may not mount a tmpfs; the file size limit stands in for it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill_up(store: OutcomeStore, toy) -> int:
    """Write until the store refuses; the number of cells that were reported as safe."""
    safe, said = 0, "the disk was large enough"
    with store.writer(Process()) as writer:
        for i, columns in store.missing(Process()):
            try:
                writer.append(toy.cell(i, j) for j in columns)
            except StoreError as error:
                said = str(error)
                break
            safe = writer.cells
    assert f"the {safe} cells written before are safe; make room" in said
    return safe


def test_a_full_disk(toy, small_disk):
    store = OutcomeStore(small_disk / "z", toy.manifest(), toy.questions(60))
    safe = fill_up(store, toy)
    assert 0 < safe < 60 * 13
    outcomes = Outcomes.load(store.folder)  # its index does not fit, and need not
    assert outcomes.done.sum() == safe
    assert outcomes.health.torn == 0
    # Still full: a new process cannot even begin, and says so.
    with pytest.raises(StoreError, match="cannot write"):
        fill_up(store, toy)
    shutil.copytree(small_disk / "z", toy.folder / "roomy")
    roomy = OutcomeStore(toy.folder / "roomy", toy.manifest(), toy.questions(60))
    assert toy.fill(roomy) == 60 * 13 - safe
    outcomes = Outcomes.load(roomy.folder)
    assert outcomes.complete
    assert all(outcomes.cell(i, 5) == toy.cell(i, 5) for i in range(60))


def test_a_file_that_may_not_grow(toy):
    """The same by a limit on file size, which needs no rights: a batch is written in part."""
    store = toy.store(questions=60)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        safe = fill_up(store, toy)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < safe < 60 * 13
    outcomes = Outcomes.load(store.folder)
    assert outcomes.done.sum() == safe
    assert outcomes.health.torn == 0  # the half-written batch was taken back
    assert toy.fill(store) == 60 * 13 - safe
    assert Outcomes.load(store.folder).complete


READ_ONLY = """
import os, sys
from pathlib import Path
import sprint_eval.draws  # what is imported late otherwise: nobody may not read the code
from sprint_eval.errors import StoreError
from sprint_eval.outcomes import Outcomes, OutcomeStore, Process
from sprint_eval.outcomes.manifest import load_questions
folder = Path(sys.argv[1])
if os.geteuid() == 0:  # root may write anywhere: go on as nobody
    os.setgid(65534)
    os.setuid(65534)
outcomes = Outcomes.load(folder)
print("read", int(outcomes.done.sum()))
rows = load_questions(folder, outcomes.manifest)
for work in (lambda: OutcomeStore(folder, outcomes.manifest, rows).writer(Process()),
             lambda: OutcomeStore(folder.parent / "new", outcomes.manifest, rows)):
    try:
        work()
        print("written")
    except StoreError as error:
        print("refused", error)
"""


def test_a_read_only_folder(toy):
    """It can be read, without an index, and is refused in one line where it would be written."""
    store = toy.store()
    toy.fill(store)
    shutil.rmtree(store.folder / "index")
    folders = [toy.folder, store.folder, store.folder / "shards"]
    try:
        for parent in [toy.folder, *toy.folder.parents]:
            if parent.stat().st_uid == os.geteuid() and parent.stat().st_mode & 0o005 != 0o005:
                parent.chmod(parent.stat().st_mode | 0o005)
        for folder in folders:
            folder.chmod(0o555)
        command = [sys.executable, "-c", READ_ONLY, str(store.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "read 78"
    assert [line.split(":")[0] for line in lines[1:]] == [
        f"refused cannot write to the outcome store {store.folder}",
        f"refused cannot write to the outcome store {toy.folder / 'new'}",
    ]
    assert "Permission denied" in lines[1]
    assert not (store.folder / "index").exists()
    assert len(shard_paths(store.folder)) == 1
