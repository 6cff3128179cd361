"""Who the engine is compared with, and how a run of each is measured."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from engine_workload import Workload, synchronize

from sprint_eval.engine import Engine
from sprint_eval.engine.plain import PlainEngine
from sprint_eval.engine.request import Request
from sprint_eval.heads import HeadSet
from sprint_eval.masking import HeadMasker


@dataclass
class Measurement:
    """One timed run.

    Attributes:
        seconds: wall clock.
        cpu_seconds: processor time of the process, which other work on the machine moves less.
        texts: the answers.
        token_forwards: tokens times the share of layers they need; for peers without padding.
        counters: the engine's, for ours.
    """

    seconds: float
    cpu_seconds: float
    texts: list[str]
    token_forwards: float
    counters: dict[str, float]

    def summary(self) -> dict[str, Any]:
        row = asdict(self)
        row["answers"] = len(row.pop("texts"))
        return row


def timed(device: str, work: Callable[[], list[str]]) -> Measurement:
    synchronize(device)
    started, cpu = time.perf_counter(), time.process_time()
    texts = work()
    synchronize(device)
    return Measurement(time.perf_counter() - started, time.process_time() - cpu, texts, 0.0, {})


def run_ours(workload: Workload, requests: Sequence[Request], **options: Any) -> Measurement:
    engine = Engine(workload.lm.model, workload.lm.tokenizer, **options)
    engine.why_plain()
    result = timed(str(workload.lm.device), lambda: [g.text for g in engine.generate(requests)])
    result.counters = engine.counters.as_dict()
    result.token_forwards = engine.counters.token_forwards
    return result


def run_plain(workload: Workload, requests: Sequence[Request], batch_size: int) -> Measurement:
    """(b): ``transformers`` generate, a head set a row, large batches."""
    engine = PlainEngine(workload.lm.model, workload.lm.tokenizer, batch_size=batch_size)
    result = timed(str(workload.lm.device), lambda: [g.text for g in engine.generate(requests)])
    result.counters = engine.counters.as_dict()
    result.token_forwards = needed_token_forwards(engine.counters.as_dict())
    return result


def run_hflm(
    workload: Workload, head_sets: Sequence[HeadSet], batch_size: int, **gen_kwargs: Any
) -> Measurement:
    """(a): lm-eval's ``HFLM.generate_until``, one head set masked at a time.

    Texts come question by question within a head set, as :func:`by_head_set` orders requests.
    """
    lm, masker = workload.lm, HeadMasker(workload.lm.model)
    lm.batch_size_per_gpu = batch_size
    instances = [copy.copy(instance) for instance in workload.instances]
    for instance in instances:
        text, given = instance.args
        instance.arguments = (text, {**given, **gen_kwargs})

    def work() -> list[str]:
        texts: list[str] = []
        for heads in head_sets:
            with masker.every_row(heads), torch.no_grad():
                texts += lm.generate_until(instances, disable_tqdm=True)
        return texts

    return timed(str(lm.device), work)


def by_head_set(workload: Workload, pool: Sequence[HeadSet]) -> list[Request]:
    """Requests in the order of :func:`run_hflm`'s texts."""
    return [
        workload.settings.request(prompt, heads, number)
        for heads in pool
        for number, prompt in enumerate(workload.prompts)
    ]


def needed_token_forwards(counters: dict[str, float]) -> float:
    """What decoding one by one needs: every prompt token and every answer token but the last."""
    return counters["prompt_tokens"] + counters["generated_tokens"] - counters["requests"]
