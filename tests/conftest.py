"""Fixtures that every part's tests share: tiny random models of each architecture."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

TINY_SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
TINY_EXTRA: dict[str, dict[str, Any]] = {
    "gptj": {"rotary_dim": 4},
    "opt": {"word_embed_proj_dim": 32, "ffn_dim": 48},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "gemma3_text": {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
}


def build_tiny_model(model_type: str, seed: int = 0, **overrides: Any) -> Any:
    """A random causal LM of 3 layers x 4 heads; fields that a config does not know are left out."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config_class = CONFIG_MAPPING[model_type]
    if model_type == "gemma3":
        return _build_tiny_gemma3(seed)
    wanted = TINY_SHAPE | TINY_EXTRA.get(model_type, {}) | overrides
    known = set(config_class().to_dict()) | set(config_class.attribute_map)
    known |= set(TINY_EXTRA.get(model_type, {})) | set(overrides)
    config = config_class(**{key: value for key, value in wanted.items() if key in known})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        # Spread the weights: at the usual 0.02 a masked head would hardly move the logits.
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.3 if "embed" in name or "wte" in name else 0.15)
    return model


def _build_tiny_gemma3(seed: int) -> Any:
    """The multimodal wrapper, whose text model is nested: its vision half is as small as it can be."""
    import torch
    from transformers import AutoModelForImageTextToText, Gemma3Config

    text = TINY_SHAPE | TINY_EXTRA["gemma3_text"]
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(text_config=text, vision_config=vision | {"image_size": 28, "patch_size": 14})
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.model.language_model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.2)
    return model


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Any]:
    """``tiny_model("llama", seed=0, **config)``: a random model, built anew at each call."""
    return build_tiny_model


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, smollm2: str) -> str:
    """Folder of a random llama of 3 layers x 4 heads with SmolLM2's tokenizer: for whole lm_eval runs."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    model = build_tiny_model(
        "llama", vocab_size=len(tokenizer), max_position_embeddings=2048, tie_word_embeddings=True
    )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    folder = tmp_path_factory.mktemp("tiny-checkpoint")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real questions; tests that need it skip where it is absent, but not in CI."""
    folder = SHARED / "data"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is missing and CI must run these tests")
        pytest.skip(f"{folder} is absent")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> str:
    """Folder of the real SmolLM2-135M-Instruct in float32."""
    from sprint_eval.models import resolve_model_path

    return resolve_model_path("smollm2-135m-instruct")
