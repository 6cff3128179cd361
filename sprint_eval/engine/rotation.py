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


def _rotations(text: Any) -> list[dict[str, Any]]:
    """The rotary settings of a config: one for all layers, or one a kind of layer."""
    settings = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    nested = [value for value in settings.values() if isinstance(value, dict)]
    return nested or [dict(settings)]
