"""Folders that hold no whole model are one error of ours, whoever decodes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sprint_eval.errors import DataError
from sprint_eval.sweep import SweepConfig
from sprint_eval.sweep.model import load_model

WIDE = b'{"model_type": "llama", "hidden_size": "wide"}'
SERVED = {"base_url": "http://127.0.0.1:1/v1", "fingerprint": "feed"}


@pytest.mark.parametrize(
    ("engine", "model_args", "file", "content", "what"),
    [
        ("sprint", {}, "model.safetensors", b"half", "model"),
        ("sprint", {}, "config.json", b"{", "model"),
        ("sprint", {}, "config.json", WIDE, "model"),
        ("openai", SERVED, "config.json", WIDE, "the config or tokenizer of"),
    ],
)
def test_broken_folders_are_one_error(
    tiny_checkpoint: str,
    tmp_path: Path,
    engine: str,
    model_args: dict[str, Any],
    file: str,
    content: bytes,
    what: str,
) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "broken")
    (folder / file).write_bytes(content)
    config = SweepConfig(str(folder), "t", "out", pool="L0H0", engine=engine, model_args=model_args)
    with pytest.raises(DataError, match=rf"{what} '.*broken' cannot be loaded: "):
        load_model(config)
