"""The folder of adapters: sizes first, whole or nothing, continued and never mixed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sprint_eval.errors import DataError, MismatchError
from sprint_eval.export import export_heads, folder, read_manifest
from sprint_eval.heads import HeadLayout, HeadPool

LAYOUT = HeadLayout.uniform(3, 4)


def _export(model: Any, pool: str, out: Path, **options: Any) -> Any:
    said: list[str] = []
    report = export_heads(
        model, HeadPool.parse(pool, LAYOUT), out, model_name="tiny", say=said.append, **options
    )
    return report, said


def test_sizes_are_said_before_anything_is_written(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    out, seen = tmp_path / "adapters", []

    def say(line: str) -> None:
        seen.append((line, out.exists()))

    export_heads(tiny_model("llama"), HeadPool.parse("1:*", LAYOUT), out, model_name="tiny", say=say)
    # Rank 16 on a 64 -> 32 projection in float32: 16 * 96 * 4 bytes each.
    assert seen == [(f"4 adapters of rank up to 16, 24.6 kB in {out}", False)]
    written = sum(path.stat().st_size for path in out.glob("L*/adapter_model.safetensors"))
    assert 24576 < written < 24576 + 4 * 1024  # headers beside the weights


def test_dry_run_writes_nothing(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    report, said = _export(tiny_model("llama"), "1:*", tmp_path / "a", dry_run=True)
    assert len(report.written) == 4
    assert len(said) == 1
    assert not (tmp_path / "a").exists()


def test_manifest(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    from sprint_eval.fingerprint import model_fingerprint

    model = tiny_model("llama")
    _export(model, "L1H2/base/L0H1+L0H3", tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest["model_fingerprint"] == model_fingerprint(model)
    assert manifest["dtype"] == "float32"
    assert manifest["pool"] == ["L1H2", "base", "L0H1+L0H3"]
    assert [entry["name"] for entry in manifest["adapters"]] == ["L1H2", "L0H1+L0H3"]
    assert manifest["max_rank"] == manifest["vllm_max_lora_rank"] == 32
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "L0H1+L0H3",
        "L1H2",
        "base",
        "heads.json",
    ]


def test_a_wider_pool_continues_the_folder(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model = tiny_model("llama")
    _export(model, "1:0-1", tmp_path)
    before = (tmp_path / "L1H0" / "adapter_model.safetensors").stat().st_mtime_ns
    report, said = _export(model, "1:1-3", tmp_path)
    assert report.kept == ("L1H1",)
    assert report.written == ("L1H2", "L1H3")
    assert "1 are there already" in said[0]
    assert (tmp_path / "L1H0" / "adapter_model.safetensors").stat().st_mtime_ns == before
    names = [entry["name"] for entry in read_manifest(tmp_path)["adapters"]]
    assert names == ["L1H0", "L1H1", "L1H2", "L1H3"]


def test_an_export_beside_another_keeps_its_entries(
    tiny_model: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce = folder._announce

    def overtaken(*args: Any) -> None:
        monkeypatch.setattr(folder, "_announce", announce)
        _export(tiny_model("llama"), "1:1", tmp_path)
        announce(*args)

    monkeypatch.setattr(folder, "_announce", overtaken)
    _export(tiny_model("llama"), "1:0", tmp_path)
    assert {entry["name"] for entry in read_manifest(tmp_path)["adapters"]} == {"L1H0", "L1H1"}


def test_files_have_ordinary_permissions(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    _export(tiny_model("llama"), "1:0", tmp_path)
    (tmp_path / "ordinary").write_text("")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "L1H0").iterdir()}
    assert modes == {(tmp_path / "ordinary").stat().st_mode & 0o777}


def test_an_interrupted_export_leaves_no_part_and_resumes(
    tiny_model: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = tiny_model("llama"), 0
    write_json = folder.write_json

    def interrupted(path: Path, value: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        write_json(path, value)

    monkeypatch.setattr(folder, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _export(model, "1:*", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == [
        "L1H0",
        "L1H1",
        "base",
    ]
    (tmp_path / ".partial-killed").mkdir()  # what a kill would have left
    report, _ = _export(model, "1:*", tmp_path)
    assert report.kept == ("L1H0", "L1H1")
    assert not list(tmp_path.glob(".partial-*"))
    assert len(read_manifest(tmp_path)["adapters"]) == 4


@pytest.mark.parametrize("remove_manifest", [False, True])
def test_adapters_of_another_model_are_not_mixed_in(
    remove_manifest: bool, tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    _export(tiny_model("llama"), "1:0", tmp_path)
    if remove_manifest:  # as after a kill: the adapters' own marks are enough
        (tmp_path / "heads.json").unlink()
    with pytest.raises(MismatchError, match="model_fingerprint"):
        _export(tiny_model("llama", seed=1), "1:0-1", tmp_path)
    with pytest.raises(MismatchError, match=r"dtype float32, now it would be bfloat16"):
        _export(tiny_model("llama").to(torch.bfloat16), "1:0-1", tmp_path)
    with pytest.raises(MismatchError, match="padded"):
        _export(tiny_model("llama"), "1:0-1", tmp_path, pad=False)


def test_damaged_folders_and_full_disks(
    tiny_model: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama")
    _export(model, "1:0", tmp_path)
    (tmp_path / "L1H0" / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="not a readable adapter"):
        _export(model, "1:0", tmp_path)
    (tmp_path / "heads.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(DataError, match="schema version 99"):
        read_manifest(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DataError, match="0 bytes free"):
        _export(model, "1:0", tmp_path / "new")
    (tmp_path / "file").write_text("")
    monkeypatch.undo()
    with pytest.raises(DataError, match="cannot be written"):
        _export(model, "1:0", tmp_path / "file" / "adapters")


def test_ranks_beyond_vllm_are_said(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model = tiny_model("llama", head_dim=256)
    report, said = _export(model, "L0H0+L0H1+L0H2", tmp_path)
    assert report.max_rank == 768
    assert "beyond vLLM's largest" in said[1]
    assert read_manifest(tmp_path)["vllm_max_lora_rank"] is None
