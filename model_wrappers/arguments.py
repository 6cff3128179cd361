"""Checks of ``model_args`` before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sprint_eval.errors import ArgumentError, MismatchError, did_you_mean
from sprint_eval.hf_arguments import hf_arguments


def check_unknown(method: str, own: Iterable[str], given: Mapping[str, Any]) -> None:
    """Refuse arguments that neither the method, HFLM nor ``from_pretrained`` knows.

    Raises:
        ArgumentError: names the argument, the nearest known one and the method's own.
    """
    known = hf_arguments() | set(own)
    for name in given:
        if name not in known:
            raise ArgumentError(
                f"model argument '{name}' is unknown to {method}{did_you_mean(name, known)}; "
                f"its own are: {', '.join(sorted(own))} (and those of --model hf)"
            )


def check_made_on(made_on: str, fingerprint: str, found: str) -> None:
    """Refuse heads that were chosen by what another model solved.

    Args:
        made_on: fingerprint of the model whose outcomes they come from.
        fingerprint: this model's.
        found: what is of which model, for the message.

    Raises:
        MismatchError: it is another model.
    """
    if made_on != fingerprint:
        raise MismatchError(f"{found}, this model is {fingerprint}; sweep this model's own")


def as_bool(name: str, value: Any) -> bool:
    """A yes-or-no argument, whatever spelling lm-eval's parser left it in."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no", "none"):
        return False
    raise ArgumentError(f"{name} = {value!r}: expected True or False")


def as_int(name: str, value: Any) -> int:
    """A whole-number argument."""
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} = {value!r}: expected a whole number") from None
