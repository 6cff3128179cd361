"""Metadata: our keys are read, everyone else's are left alone, ours misspelt are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprint_eval.errors import ArgumentError
from sprint_eval.tasks.options import TaskOptions


def test_defaults_and_values() -> None:
    assert TaskOptions.from_metadata(None) == TaskOptions()
    read = TaskOptions.from_metadata({"n": 16, "data_dir": "some/where", "split": "train", "rg_seed": 3})
    assert (read.n, read.data_dir, read.split, read.rg_seed) == (16, Path("some/where"), "train", 3)
    assert read.local
    assert not TaskOptions().local


def test_arguments_of_models_are_not_ours() -> None:
    models = {
        **{
            "pretrained": "x",
            "dtype": "float32",
            "device": "cpu",
            "seed": 7,
            "max_length": 2048,
            "revision": "main",
        },
        **{
            "batch_size": 8,
            "trust_remote_code": True,
            "cache_dir": "x",
            "download_dir": "y",
            "tokenizer": "t",
        },
        **{
            "heads": "L1H2",
            "pool": "5:*",
            "router": "runs/r",
            "outcomes": "runs/z",
            "draw_seed": 1,
            "engine": "torch",
        },
        **{
            "tensor_parallel_size": 2,
            "gpu_memory_utilization": 0.9,
            "data_parallel_size": 2,
            "version": "1.0",
        },
        **{
            "selection": "nearest",
            "parallelize": False,
            "max_memory_per_gpu": None,
            "config_source": "x.yaml",
        },
    }
    assert TaskOptions.from_metadata(models) == TaskOptions()


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("data-dir", "data_dir"),
        ("datadir", "data_dir"),
        ("data_dirs", "data_dir"),
        ("Test_File", "test_file"),
        ("testsize", "test_size"),
        ("train_sizes", "train_size"),
        ("N", "n"),
        ("rgseed", "rg_seed"),
    ],
)
def test_a_misspelt_key_is_refused_by_name(key: str, meant: str) -> None:
    with pytest.raises(ArgumentError, match=f"'{key}'.*'{meant}'"):
        TaskOptions.from_metadata({key: 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n", 0),
        ("n", -1),
        ("n", "many"),
        ("n", 2.5),
        ("n", True),
        ("n", 5000),
        ("split", "dev"),
        ("split", 3),
        ("data_dir", ""),
        ("train_file", 3),
        ("test_size", 0),
        ("rg_seed", -1),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=f"metadata {key}="):
        TaskOptions.from_metadata({key: value})
