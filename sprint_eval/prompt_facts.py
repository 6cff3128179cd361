"""How a task built its prompts, told to the model with each request.

Heads that were chosen on prompts of one format are refused on another. What the model itself
decides (its chat template) it knows; what the task decides it is told here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from sprint_eval.errors import MismatchError

ATTRIBUTE = "sprint_prompt_facts"
"""Attribute of a request in which our tasks leave them."""
APPLIED = "apply_chat_template"
"""Whether a chat template was applied: the task says so, and the model which one (``chat_template``)."""
TEMPLATE_ARGS = "chat_template_args"
"""What a template was applied with besides the messages; not known of what was made before it was kept."""
GENERATION = "generation"
"""The one fact that is no part of the prompt: settings that decide a text."""
MULTITURN = "fewshot_as_multiturn"
"""The fact that is there only with worked examples."""
END_TOKENS = "end_tokens"
"""The setting that not everyone knows: neither what was made before it was kept, nor a served engine."""
TOKEN_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of the answer's token limit in ``gen_kwargs``; of several the first counts, as in lm-eval."""

_LOGGER = logging.getLogger(__name__)


def prompt_facts(
    num_fewshot: int,
    system_instruction: str | None,
    multiturn: bool | None = None,
    applied: bool | None = None,
) -> dict[str, Any]:
    """The facts by the names that ``router.json`` has them under.

    Args:
        num_fewshot: worked examples in a prompt.
        system_instruction: the text before everything, ``None`` where there is none.
        multiturn: whether the examples are turns of a chat, ``None`` where that is not known; told only
            where there are examples.
        applied: whether the model's chat template was applied; told where that is known.
    """
    text = system_instruction
    system = None if not text else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    facts: dict[str, Any] = {"num_fewshot": num_fewshot, "system_instruction": system}
    if num_fewshot and multiturn is not None:
        facts[MULTITURN] = bool(multiturn)
    if applied is not None:
        facts[APPLIED] = applied
    return facts


def template_args(lm: Any) -> dict[str, Any]:
    """What lm-eval's model gives its chat template besides the messages, such as ``enable_thinking``.

    Args:
        lm: lm-eval's ``hf``; any other model gives nothing.

    Returns:
        JSON values by name, in order; without those that are ``None``.
    """
    given = getattr(lm, TEMPLATE_ARGS, None) or {}
    told: dict[str, Any] = json.loads(json.dumps(given, sort_keys=True, default=str))
    return {name: value for name, value in told.items() if value is not None}


def check_prompt_facts(made: Mapping[str, Any], found: Mapping[str, Any], whose: str, instead: str) -> None:
    """Refuse prompts of another format than those that something was made from.

    Only facts and settings known on both sides are compared. Other generation settings (stop strings,
    the token limit, sampling) are warned of: a choice of heads may survive them.

    Args:
        made: facts of the prompts that it was made from.
        found: facts of these prompts.
        whose: what it is, for the message: "the router was trained on".
        instead: what else there is to do: "train a router on this one".

    Raises:
        MismatchError: names the fact that differs.
    """
    for name, before in made.items():
        if name not in found or found[name] == before:
            continue
        if name == GENERATION:
            if changed := _differences(before, found[name]):
                _LOGGER.warning(
                    "%s answers decoded with %s; that choice of heads may not hold for these", whose, changed
                )
            continue
        raise MismatchError(
            f"{whose} prompts with {name} = {before!r}, these have {found[name]!r}; "
            f"use the same prompt format, or {instead}"
        )


def _differences(before: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    changed = [name for name in before if name in here and before[name] != here[name]]
    return ", ".join(f"{name} = {before[name]!r} (here {here[name]!r})" for name in changed)
