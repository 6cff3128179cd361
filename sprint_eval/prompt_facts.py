"""How a task built its prompts, told to the model with each request.

A router is refused on prompts of another format than those of its training. What the model itself
decides (its chat template) it knows; what the task decides it is told here.
"""

from __future__ import annotations

import hashlib
from typing import Any

ATTRIBUTE = "sprint_prompt_facts"
"""Attribute of a request in which our tasks leave them."""


def prompt_facts(num_fewshot: int, system_instruction: str | None) -> dict[str, Any]:
    """The facts by the names that ``router.json`` has them under.

    Args:
        num_fewshot: worked examples in a prompt.
        system_instruction: the text before everything, ``None`` where there is none.
    """
    text = system_instruction
    system = None if not text else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return {"num_fewshot": num_fewshot, "system_instruction": system}
