"""What a sweep is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sprint_eval.draws import with_draws
from sprint_eval.errors import ArgumentError
from sprint_eval.heads import HeadLayout, HeadPool


@dataclass(frozen=True)
class SweepConfig:
    """One sweep.

    Attributes:
        model: folder, hub name, or short name of a packaged model.
        task: name of a task of sprint-eval.
        out: the store's folder.
        layers: layers all of whose heads make the pool, e.g. ``"5/10"``; or
        pool: the pool's text form, e.g. ``"5/10:*"``. Neither: every head of the model.
        draws: sampled answers of the base that join the pool, for the router's rule ``mixed``;
            temperature, top_k, top_p: how they are sampled.
        limit: number of questions, the task's first; ``None`` for all.
        split: the task's split whose questions are swept.
        metadata: the task's metadata, e.g. ``{"data_dir": ...}``.
        num_fewshot: worked examples; ``None`` for the task's own number.
        apply_chat_template: as lm-eval's option: ``True``, or the name of a template.
        system_instruction, gen_kwargs: as lm-eval's options.
        fewshot_as_multiturn: as lm_eval's option: worked examples are turns of their own, by default
            where a chat template is applied.
        model_args: further arguments of ``--model hf``.
        dtype, device, batch_size: as lm-eval's.
        engine: who decodes: ``"sprint"``, ``"plain"``, ``"vllm"`` or ``"openai"``; the latter two
            take arguments of their own in ``model_args``.
        cells_at_once: answers decoded before they are graded and written: what a kill can cost.
    """

    model: str
    task: str
    out: str
    layers: str | None = None
    pool: str | None = None
    draws: int = 0
    temperature: float = 0.6
    top_k: int = 40
    top_p: float = 0.95
    limit: int | None = None
    split: str = "train"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    num_fewshot: int | None = None
    apply_chat_template: bool | str = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    model_args: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "auto"
    device: str | None = None
    batch_size: int | None = None
    engine: str = "sprint"
    cells_at_once: int = 512

    def __post_init__(self) -> None:
        if self.layers is not None and self.pool is not None:
            raise ArgumentError("--layers and --pool both name the pool; give one of them")
        if self.limit is not None and self.limit < 1:
            raise ArgumentError(f"--limit {self.limit}: expected at least 1 question")
        if self.draws < 0:
            raise ArgumentError(f"--draws {self.draws}: expected 0 or more")
        if self.cells_at_once < 1:
            raise ArgumentError(f"cells_at_once = {self.cells_at_once}: expected 1 or more")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise ArgumentError("--fewshot-as-multiturn needs turns: add --apply-chat-template")

    @property
    def multiturn(self) -> bool:
        """Whether worked examples are turns of their own."""
        return bool(
            self.apply_chat_template if self.fewshot_as_multiturn is None else self.fewshot_as_multiturn
        )

    def head_pool(self, layout: HeadLayout) -> HeadPool:
        """The pool for a model of this layout, the draws last.

        Raises:
            HeadError: it cannot be read, names a head that the model lacks, or has draws that cannot
                be sampled.
        """
        layers = (self.layers or "*").strip().replace(",", "/").strip("/")
        pool = HeadPool.parse(self.pool if self.pool is not None else f"{layers}:*", layout)
        return with_draws(pool, self.draws, self.temperature, self.top_k, self.top_p)
