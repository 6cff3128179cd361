"""The work that the engine and its peers are measured on: few-shot word problems under many heads."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sprint_eval.engine.request import Request
from sprint_eval.heads import HeadPool, HeadSet
from sprint_eval.models import resolve_model_path
from sprint_eval.prompts import GenerationSettings, encode_prompts
from sprint_eval.tasks import load_task

TASK = "asdiv_pass_at_n_fewshot"
SAMPLE_SEED = 20


@dataclass(frozen=True)
class Workload:
    """Questions of a task behind its worked examples, and a pool.

    Attributes:
        lm: lm-eval's ``hf`` around the model.
        instances: lm-eval's requests, one a question.
        prompts: their token ids.
        settings: the task's generation settings.
        pool: head sets, the base first.
    """

    lm: Any
    instances: list[Any]
    prompts: list[tuple[int, ...]]
    settings: GenerationSettings
    pool: list[HeadSet]

    def requests(self, questions: int | None = None, pool: list[HeadSet] | None = None) -> list[Request]:
        """Every question under every head set."""
        return [
            self.settings.request(prompt, heads, number)
            for number, prompt in enumerate(self.prompts[:questions])
            for heads in (pool if pool is not None else self.pool)
        ]


def load_lm(model: str, device: str, dtype: str) -> Any:
    """lm-eval's own ``hf`` model; ``shape:NAME`` for one of :data:`SHAPES` with random weights."""
    from lm_eval.models.huggingface import HFLM

    if not model.startswith("shape:"):
        return HFLM(resolve_model_path(model), device=device, dtype=dtype, batch_size=16)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model_path("smollm2-135m-instruct"))
    config = SHAPES[model.removeprefix("shape:")]()
    torch.manual_seed(0)
    with torch.device(device):
        shaped = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()
    return HFLM(shaped, tokenizer=tokenizer, device=device, batch_size=16)


def _qwen_math(**narrower: Any) -> Any:
    """Qwen2.5-Math-1.5B without its weights: 28 layers of 12 query and 2 key/value heads."""
    from transformers import Qwen2Config

    shape = {
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    }
    return Qwen2Config(**shape | narrower)


def _narrow_qwen_math() -> Any:
    """The same layers and heads, with next to nothing to compute in them.

    Weights so large that siblings' answers agree about as often as the wide model's do, and drafts are
    tried as often: much smaller ones repeat one token, larger ones agree on nothing.
    """
    return _qwen_math(hidden_size=48, intermediate_size=16, vocab_size=49152, initializer_range=0.22)


SHAPES: dict[str, Callable[[], Any]] = {
    "qwen2.5-math-1.5b": _qwen_math,
    "qwen2.5-math-1.5b-narrow": _narrow_qwen_math,
}
"""Models that a machine without a hub can time: how long a token takes does not depend on the weights."""


def load_workload(lm: Any, data_dir: str, split: str, questions: int, layers: str) -> Workload:
    """A shuffled sample of a split; ``layers`` is a pool's text form, ``5/10/15:*``."""
    task = load_task(TASK, {"data_dir": data_dir}, split=split)
    task.set_fewshot_seed(seed=1234)
    task.build_all_requests(limit=None, rank=0, world_size=1)
    first = {instance.doc_id: instance for instance in reversed(task.instances)}
    sample = random.Random(SAMPLE_SEED).sample(sorted(first), min(questions, len(first)))
    instances = [first[doc_id] for doc_id in sample]
    settings = GenerationSettings.from_gen_kwargs(dict(instances[0].args[1]), lm.model, lm.tokenizer)
    room = lm.max_length - settings.max_new_tokens
    prompts = encode_prompts(lm.tokenizer, [i.args[0] for i in instances], room, lm.add_bos_token)
    from sprint_eval.architectures import attention_layout

    pool = HeadPool.parse(layers, attention_layout(lm.model).heads)
    return Workload(lm, instances, prompts, settings, [HeadSet(), *pool])


def synchronize(device: str) -> None:
    """Wait for a GPU before a clock is read."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
