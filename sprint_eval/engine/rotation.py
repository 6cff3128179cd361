"""Rotary embeddings that depend on how long the longest text of a forward is."""

from __future__ import annotations

from typing import Any


def rotation_threshold(model: Any) -> int | None:
    """Tokens beyond which a text changes the rotation of all texts of its forward; ``None`` for no such.

    ``transformers`` chooses the frequencies of ``longrope`` and ``dynamic`` embeddings from the largest
    position of the whole forward, so that a short text beside a long one is not what it is alone.
    """
    text = model.config.get_text_config()
    found: list[int] = []
    for settings in _rotations(text):
        kind = str(settings.get("rope_type", settings.get("type", "default")))
        if kind == "longrope" or "dynamic" in kind:
            trained = settings.get("original_max_position_embeddings") or getattr(
                text, "original_max_position_embeddings", None
            )
            found.append(int(trained or text.max_position_embeddings))
    return min(found) if found else None


def forget_longer_texts(model: Any) -> None:
    """Turn texts as if none had come before: ``dynamic`` embeddings keep to the longest text so far.

    Without it what a long text becomes depends on those decoded before it.
    """
    for module in model.modules():
        trained = getattr(module, "original_max_seq_len", None)
        if trained is None:
            continue
        for name in [name for name in vars(module) if name.endswith("max_seq_len_cached")]:
            kind = name.removesuffix("max_seq_len_cached")  # of layers, or none
            if int(getattr(module, name)) > int(trained):
                now, first = getattr(module, f"{kind}inv_freq"), getattr(module, f"{kind}original_inv_freq")
                module.register_buffer(f"{kind}inv_freq", first.to(now.device), persistent=False)
                setattr(module, name, trained)


def _rotations(text: Any) -> list[dict[str, Any]]:
    """The rotary settings of a config: one for all layers, or one a kind of layer."""
    settings = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    nested = [value for value in settings.values() if isinstance(value, dict)]
    return nested or [dict(settings)]
