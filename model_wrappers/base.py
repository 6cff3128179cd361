"""What our lm-eval models share: they are HFLM, but every candidate carries a head set."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from functools import partial
from typing import Any

from lm_eval.api.instance import Instance

import sprint_eval
from sprint_eval.architectures import architecture_of, attention_layout, head_layout_of_config
from sprint_eval.backends import Backend, check_engine_name, local_backend
from sprint_eval.backends.serving import Serving
from sprint_eval.engine.counters import Counters
from sprint_eval.engine.request import Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, exit_on_error
from sprint_eval.fingerprint import model_fingerprint
from sprint_eval.heads import HeadLayout, HeadSet
from sprint_eval.hf_arguments import hf_arguments, refuse_mixed_precision
from sprint_eval.loading import loading
from sprint_eval.masking import HeadMasker
from sprint_eval.model_wrappers.answers import Decoded, Variant
from sprint_eval.model_wrappers.arguments import as_int, check_unknown
from sprint_eval.model_wrappers.candidates import Question, group_requests
from sprint_eval.model_wrappers.scoring import Scoring, ScoringArguments
from sprint_eval.model_wrappers.stored import remove_empty_cache, stored_backend, stored_scorer
from sprint_eval.model_wrappers.templated import TemplatedLM
from sprint_eval.models import resolve_model_path
from sprint_eval.processes import allow_group_on_cpu, start_processes_asked_for
from sprint_eval.prompts import GenerationSettings, encode_prompts


class HeadSetLM(TemplatedLM, abc.ABC):
    """HFLM whose candidate k of a question runs under a head set that the method chooses.

    Everything of ``--model hf`` keeps working: chat templates, dtype, device_map, peft, and, for
    a method with one fixed head set, log-likelihood tasks.

    Args of every method:
        pretrained: folder, hub name, or a short name of ``sprint-eval model --list``.
        engine: who decodes; ``sprint`` (default), ``plain``, or an engine that loads the weights
            itself, ``vllm`` or ``openai``, with arguments of its own.
        draw_seed: seed of draws, where sampling is asked for.
        store: folder where answers are kept: a later run with the same model, prompts and settings
            takes them from there, whatever its method, and reports no seconds for them.
        score: ``base_logprob`` has each distinct answer scored by the unpruned model: ``best@k``.
        reward_model: folder or hub name of a reward model that scores instead.
    """

    METHOD: str
    OWN_ARGS: tuple[str, ...] = ()

    def __init__(
        self,
        pretrained: Any,
        *,
        engine: str = "sprint",
        draw_seed: int | str = 0,
        store: str | int | None = None,
        score: str | None = None,
        reward_model: str | None = None,
        **kwargs: Any,
    ) -> None:
        with exit_on_error():
            check_engine_name(engine)
            own = {"engine", "draw_seed", "store", "score", "reward_model", *self.OWN_ARGS}
            self._serving = Serving.take(engine, kwargs, hf_arguments() | own)
            check_unknown(self.METHOD, own, kwargs)
            refuse_mixed_precision(kwargs)
            if store is not None and self._serving is not None:
                raise ArgumentError(f"store= keeps answers of the built-in engines, not of engine={engine}")
            wanted = ScoringArguments.read(score, reward_model, engine, self._serving is not None)
            self._store = None if store is None else str(store)  # lm-eval makes a number of digits
            self._engine_name = engine
            self._draw_seed = as_int("draw_seed", draw_seed)
            path = resolve_model_path(pretrained) if isinstance(pretrained, str) else pretrained
            start_processes_asked_for()
            allow_group_on_cpu()
            with loading(f"model '{pretrained}'" if isinstance(pretrained, str) else "the model"):
                super().__init__(path, **kwargs)
            self._take_process_index()
            self._masker = HeadMasker(self.model) if self._serving is None else None
            self._backend_in_use: Backend | None = None
            self._counters = Counters()
            self._shares: list[int] = []
            self._n: int | None = None
            self._sampled = False
            self._fingerprint: str | None = None
            self.prepare(self._layout())
            self._scoring: Scoring | None = wanted.load(
                self.model, self.device, partial(stored_scorer, self, self._store)
            )

    # What a method must say.

    @abc.abstractmethod
    def check_config(self, layout: HeadLayout) -> None:
        """Refuse arguments that do not fit the model, from its config: before weights are loaded."""

    @abc.abstractmethod
    def prepare(self, layout: HeadLayout) -> None:
        """Read pool, router or outcomes, now that the model is loaded."""

    @abc.abstractmethod
    def choose(self, questions: Sequence[Question]) -> list[list[Variant]]:
        """The head set of each candidate: a list of ``question.n`` variants a question."""

    @abc.abstractmethod
    def method_info(self) -> dict[str, Any]:
        """What the method adds to the results' ``config``: at least ``pool``."""

    def changed_weights(self) -> dict[str, Any]:
        """What the method did to the weights that the fingerprint does not tell, for keys of ``store=``."""
        return {}

    def gather_facts(self) -> None:
        """Bring what :meth:`method_info` says together on rank 0; called in every process."""

    def fixed_head_set(self) -> HeadSet | None:
        """The one head set of every candidate, for methods that have one."""
        return None

    # What lm-eval calls.

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Decode each question's N candidates, each under its own head set.

        Returns:
            A :class:`~sprint_eval.candidate.Candidate` a request, in the requests' order.
        """
        with exit_on_error():
            questions = group_requests(requests)
            variants = self.choose(questions)
            self._n = max((question.n for question in questions), default=None)
            decoded = self._decode(questions, variants, disable_tqdm)
            scores = iter(self._scores(questions, decoded, disable_tqdm))
            answers: list[str] = [""] * len(requests)
            for question, row in zip(questions, decoded, strict=True):
                for places, found in zip(question.positions, row, strict=True):
                    candidate = found.candidate(next(scores))
                    for place in places:
                        answers[place] = candidate
            self._gather_counters()
            return answers

    def _model_call(self, inps: Any, attn_mask: Any = None, labels: Any = None) -> Any:
        if self._masker is None:
            raise ArgumentError(f"engine={self._engine_name} has no model in this process to score with")
        with self._masker.every_row(self._require_fixed()):
            return super()._model_call(inps, attn_mask, labels)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """HFLM's, under the fixed head set; refused where candidates have different head sets."""
        with exit_on_error():
            scorer = self._scorer(self._require_fixed())
        if scorer is not None:
            return list(scorer.loglikelihood(requests, disable_tqdm))
        return super().loglikelihood(requests, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """HFLM's, under the fixed head set; refused where candidates have different head sets."""
        with exit_on_error():
            scorer = self._scorer(self._require_fixed())
        if scorer is not None:
            return list(scorer.loglikelihood_rolling(requests, disable_tqdm))
        return super().loglikelihood_rolling(requests, disable_tqdm)

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Refuse ``--use_cache``: its key has no candidate, so N candidates would come back as one."""
        remove_empty_cache(cache_hook)
        with exit_on_error():
            raise ArgumentError(
                "--use_cache is refused: its key has no candidate index, so a second run would give "
                "one answer N times; use --model_args store=FOLDER, which knows it and resumes"
            )

    def get_model_info(self) -> dict[str, Any]:
        """HFLM's facts and ours, for the results' ``config``; called on rank 0 alone."""
        info: dict[str, Any] = super().get_model_info()
        info.update(
            sprint_eval_version=sprint_eval.__version__,
            method=self.METHOD,
            engine=self._engine_name,
            n=self._n,
            model_fingerprint=self.fingerprint,
            deterministic=self.fixed_head_set() is not None and not self._sampled,
            counters=self._counters.published(),
            requests_by_process=self._shares,
        )
        served = self._serving.info() if self._serving is not None else {}
        scored = self._scoring.info() if self._scoring is not None else {}
        return info | served | scored | self.method_info()

    # How it is done.

    @property
    def fingerprint(self) -> str:
        """The loaded model's fingerprint; of a served one what its adapters or its user say."""
        if self._fingerprint is None:
            served = self._serving
            self._fingerprint = model_fingerprint(self.model) if served is None else served.fingerprint
        return self._fingerprint

    def _create_model(self, pretrained: str, *args: Any, **kwargs: Any) -> None:
        architecture_of(self.config)
        self.check_config(head_layout_of_config(self.config))
        if self._serving is None:
            super()._create_model(pretrained, *args, **kwargs)
        else:
            where = {name: kwargs[name] for name in ("revision", "trust_remote_code")}
            self._model = self._serving.model(self.config, pretrained, **where)

    def _layout(self) -> HeadLayout:
        if self._serving is not None:
            return head_layout_of_config(self.config)
        return attention_layout(self.model).heads

    def _scorer(self, heads: HeadSet) -> Any:
        """Who scores log-likelihoods in our stead: a served engine's lm-eval model; ``None`` for HFLM."""
        if self._serving is None:
            return None
        score = getattr(self._backend(), "use_for_loglikelihood", None)
        if score is None:
            raise ArgumentError(
                f"engine={self._engine_name} scores no log-likelihoods; use the built-in engine"
            )
        return score(heads)

    def _take_process_index(self) -> None:
        """HFLM splits work only over GPUs, by their local index; take accelerate's on any device."""
        accelerator = getattr(self, "accelerator", None)
        if accelerator is not None:
            self._rank = accelerator.process_index
            self._world_size = accelerator.num_processes

    def _backend(self) -> Backend:
        if self._backend_in_use is None:
            settings = DecodingSettings.from_model(self.model, self.tokenizer, self.think_end_token)
            if self._serving is not None:
                self._backend_in_use = self._serving.backend(self.pretrained, self.tokenizer, settings)
                return self._backend_in_use
            size = self.batch_size if isinstance(self.batch_size, int) and self.batch_size > 1 else None
            backend = local_backend(self._engine_name, self.model, self.tokenizer, settings, size)
            if self._store is not None:
                facts = (self.fingerprint, self._engine_name, settings)
                backend = stored_backend(backend, self._store, self, *facts)
            self._backend_in_use = backend
        return self._backend_in_use

    def _decode(
        self, questions: list[Question], variants: list[list[Variant]], disable_tqdm: bool
    ) -> list[list[Decoded]]:
        """The answers of every question's candidates; equal requests are decoded once."""
        from tqdm import tqdm

        unique: dict[Request, int] = {}
        wanted: list[list[tuple[Variant, Request]]] = []
        for index, (question, chosen) in enumerate(zip(questions, variants, strict=True)):
            settings = GenerationSettings.from_gen_kwargs(question.gen_kwargs, self.model, self.tokenizer)
            self._sampled |= settings.sampling.do_sample
            room = self.max_length - settings.max_new_tokens
            prompt = encode_prompts(self.tokenizer, [question.prompt], room, self.add_bos_token)[0]
            wanted.append([])
            for k, variant in enumerate(chosen):
                seed = (self._draw_seed, question.prompt, k)
                request = settings.request(prompt, variant.heads, index, *seed, draw_seed=self._draw_seed)
                unique.setdefault(request, len(unique))
                wanted[-1].append((variant, request))
        hidden = disable_tqdm or self.rank != 0
        with tqdm(total=len(unique), disable=hidden, desc=f"{self.METHOD}: decoding") as bar:
            generations = self._backend().generate(list(unique), progress=bar.update)
        return [
            [Decoded(variant, request, generations[unique[request]]) for variant, request in row]
            for row in wanted
        ]

    def _scores(
        self, questions: list[Question], decoded: list[list[Decoded]], disable_tqdm: bool
    ) -> list[float] | list[None]:
        """A score a candidate, question by question; ``None`` each where no scorer is asked for."""
        if self._scoring is None:
            return [None] * sum(map(len, decoded))
        answers = [
            found.answer(question) for question, row in zip(questions, decoded, strict=True) for found in row
        ]
        return self._scoring.scores(answers, disable_tqdm or self.rank != 0)

    def _require_fixed(self) -> HeadSet:
        fixed = self.fixed_head_set()
        if fixed is None:
            raise ArgumentError(
                f"{self.METHOD} gives every candidate its own head set, so log-likelihood tasks have no "
                "one model to score; use --model pruned-head with heads= and one head set"
            )
        return fixed

    def _gather_counters(self) -> None:
        parts = self.gather_object(self._backend().counters.as_dict())
        if self.rank == 0:
            self._counters = Counters.total(parts)
            self._shares = [int(part["requests"]) for part in parts]
        if self._scoring is not None:
            costs = self.gather_object(self._scoring.cost())
            if self.rank == 0:
                self._scoring.total(costs)
        self.gather_facts()
