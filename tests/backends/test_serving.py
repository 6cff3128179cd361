"""From the arguments of a served engine to its backend: what is taken, what is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint_eval.backends.serving import Serving
from sprint_eval.errors import ArgumentError
from sprint_eval.export import export_heads
from sprint_eval.heads import HeadSet

HF = ("pretrained", "dtype", "tokenizer", "max_length", "peft", "gguf_file")
URL = {"base_url": "http://127.0.0.1:1/v1"}
without_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is not None, reason="for an environment without vLLM"
)


@pytest.fixture
def adapters(tiny_model: Callable[..., Any], tmp_path: Path) -> str:
    export_heads(
        tiny_model("llama"), [HeadSet.parse("L1H2")], tmp_path, model_name="tiny", say=lambda _: None
    )
    return str(tmp_path)


def test_built_in_engines_are_none_of_it() -> None:
    given = {"base_url": "x"}
    assert Serving.take("sprint", given, HF) is None
    assert given == {"base_url": "x"}


def test_own_arguments_are_taken_and_the_others_stay(adapters: str) -> None:
    given: dict[str, Any] = {**URL, "adapters": adapters, "retries": "2", "dtype": "float32", "odd": 1}
    serving = Serving.take("openai", given, HF)
    assert serving is not None
    assert given == {"dtype": "float32", "odd": 1}
    assert serving.options == {**URL, "retries": "2"}
    assert serving.adapters is not None
    assert serving.fingerprint == serving.adapters.fingerprint
    assert serving.info() == {"model_fingerprint_declared": True, **URL}


def test_what_the_user_declares_goes_before_the_adapters(adapters: str) -> None:
    serving = Serving.take("openai", {**URL, "adapters": adapters, "fingerprint": "feed"}, HF)
    assert serving is not None
    assert serving.fingerprint == "feed"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fingerprint": "feed"}, r"needs base_url=…, for instance http"),
        (URL, r"adapters=FOLDER, or the base's fingerprint=…"),
        ({**URL, "peft": "some/lora"}, r"peft is not possible with engine=openai.*merge_and_unload"),
        ({**URL, "gguf_file": "x.gguf"}, "gguf_file is not possible"),
    ],
)
def test_what_a_server_cannot_do_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Serving.take("openai", dict(given), HF)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", "soon"),
        ("retries", -1),
        ("retries", "inf"),
        ("retries", 2.5),
        ("concurrency", "inf"),
        ("patience", "nan"),
    ],
)
def test_numbers_are_checked(name: str, value: Any) -> None:
    serving = Serving.take("openai", {**URL, "fingerprint": "feed", name: value}, HF)
    assert serving is not None
    with pytest.raises(ArgumentError, match=f"{name} = {value!r}: expected"):
        serving.backend("tiny", None, None)  # type: ignore[arg-type]


def test_vllm_needs_adapters() -> None:
    with pytest.raises(ArgumentError, match="engine=vllm needs adapters=FOLDER, made by: sprint-eval"):
        Serving.take("vllm", {"tensor_parallel_size": 2}, HF)


def test_vllm_runs_in_one_process(adapters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ArgumentError, match="engine=vllm runs in one process"):
        Serving.take("vllm", {"adapters": adapters}, HF)


@without_vllm
def test_vllm_that_is_not_installed_is_said(adapters: str) -> None:
    with pytest.raises(ArgumentError, match=r"engine=vllm needs vLLM, which is not installed here; see docs"):
        Serving.take("vllm", {"adapters": adapters, "dtype": "float32"}, HF)
