"""HFLM that can say under which chat template its prompts were built."""

from __future__ import annotations

from typing import Any

from lm_eval.models.huggingface import HFLM

from sprint_eval.outcomes.manifest import text_hash
from sprint_eval.prompt_facts import TEMPLATE_ARGS, template_args


class TemplatedLM(HFLM):
    """HFLM that remembers which chat template lm-eval asked it for, and whether it was applied."""

    _template_name: bool | str = True
    _template_applied = False

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """HFLM's; the name asked for is kept for :meth:`prompt_facts`."""
        self._template_name = chat_template or True
        template: str | None = super().chat_template(chat_template)
        return template

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """HFLM's; that it was applied is kept for :meth:`prompt_facts`."""
        self._template_applied = True
        return super().apply_chat_template(chat_history, add_generation_prompt)

    def prompt_facts(self, applied: bool | None = None) -> dict[str, Any]:
        """What a router compares with the prompts of its training, once requests have been built.

        Args:
            applied: whether they were built with the chat template. ``None`` where the task does not say:
                then it counts whether this model was asked for it, which requests out of
                ``--cache_requests`` never do.
        """
        if not (self._template_applied if applied is None else applied):
            return {"chat_template": None}
        template = super().chat_template(self._template_name) or ""
        return {"chat_template": text_hash(template), TEMPLATE_ARGS: template_args(self)}
