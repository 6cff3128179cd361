"""A shard is marked as in use from its first moment to its last."""

from __future__ import annotations

import errno
import fcntl
import os
import threading

import pytest

from sprint_eval.errors import StoreError
from sprint_eval.outcomes import Process, shard
from sprint_eval.outcomes.shard import ShardWriter, is_locked, shard_paths


def test_a_shard_that_is_looked_at_as_it_is_made_is_locked(toy, monkeypatch):
    """Another process is inside is_locked() of the new file, which it holds for a moment."""
    store = toy.store()
    lock = shard.lock

    def looked_at(descriptor):
        other = os.open(shard_paths(store.folder)[0], os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_SH)
        threading.Timer(0.1, os.close, [other]).start()
        lock(descriptor)

    monkeypatch.setattr(shard, "lock", looked_at)
    with store.writer(Process()) as writer:
        assert is_locked(writer.path)
        with pytest.raises(StoreError, match="another sweep is writing"):
            store.writer(Process())
    assert not is_locked(writer.path)


def test_a_shard_that_cannot_be_begun_is_not_left_behind(toy, monkeypatch):
    store = toy.store()

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreError, match="No space left"):
            ShardWriter(store.folder, store.manifest, Process())
    assert shard_paths(store.folder) == []
