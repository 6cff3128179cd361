"""What ``engine=vllm`` refuses before it starts an engine."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sprint_eval.backends.serving import Serving
from sprint_eval.errors import ArgumentError, MismatchError
from sprint_eval.export import export_heads
from sprint_eval.heads import HeadSet

HF = ("pretrained", "dtype", "tokenizer", "max_length", "peft")


def _take(adapters: Path, **given: Any) -> Serving:
    serving = Serving.take("vllm", {"adapters": str(adapters), **given}, HF)
    assert serving is not None
    return serving


def test_vllms_own_arguments_pass(adapters: Path) -> None:
    serving = _take(adapters, gpu_memory_utilization=0.8, tensor_parallel_size=2, max_model_len=512)
    assert serving.arguments == {"gpu_memory_utilization": 0.8, "tensor_parallel_size": 2, "max_length": 512}
    assert metadata.version("vllm"), "lm-eval's vLLM model asks for it"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data_parallel_size": 2}, "sends one adapter to all requests then; start 'vllm serve"),
        ({"gpu_memory_utilisation": 0.5}, "unknown to vLLM.*did you mean 'gpu_memory_utilization'"),
        ({"enable_lora": False}, "'enable_lora' is set by engine=vllm itself"),
        ({"lora_local_path": "x"}, "'lora_local_path' is set by engine=vllm itself"),
        ({"peft": "some/lora"}, "peft is not possible with engine=vllm"),
    ],
)
def test_what_would_prune_wrongly_is_refused(given: dict[str, Any], message: str, adapters: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        _take(adapters, **given)


def test_adapters_of_other_weights_are_refused(
    tiny_model: Callable[..., Any], adapters: Path, smollm2: str, tmp_path: Path
) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(smollm2)
    assert _take(adapters).model(config, smollm2, "main", False).config is config
    export_heads(tiny_model("llama"), [HeadSet.parse("L1H2")], tmp_path, model_name="tiny")
    with pytest.raises(MismatchError, match="made from other weights"):
        _take(tmp_path).model(config, smollm2, "main", False)


def test_ranks_beyond_vllms_largest_are_refused(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model = tiny_model("llama", head_dim=256)
    export_heads(model, [HeadSet.parse("L0H0+L0H1+L0H2")], tmp_path, model_name="tiny")
    backend: Any = _take(tmp_path).backend("tiny", None, None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="rank 768, beyond vLLM's largest"):
        _ = backend.lm
