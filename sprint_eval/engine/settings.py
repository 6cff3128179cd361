"""What a model's own files say about how it must be decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sprint_eval.errors import UnsupportedModelError

# Fields of a generation config that change what is decoded and that no backend here carries out,
# with the values that leave decoding as it is.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "num_beams": (None, 1),
    "penalty_alpha": (None, 0.0),
    "dola_layers": (None,),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1, 1.0),
    "bad_words_ids": (None, []),
    "sequence_bias": (None, {}),
    "suppress_tokens": (None, []),
    "begin_suppress_tokens": (None, []),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "exponential_decay_length_penalty": (None,),
    "guidance_scale": (None, 1, 1.0),
    "watermarking_config": (None,),
    "min_p": (None, 0.0),
    "typical_p": (None, 1.0),
    "epsilon_cutoff": (None, 0.0),
    "eta_cutoff": (None, 0.0),
    "top_h": (None,),
    "stop_strings": (None, []),
    "max_time": (None,),
}


@dataclass(frozen=True)
class DecodingSettings:
    """Properties of the model that every request to it shares.

    Attributes:
        end_tokens: token ids that end an answer.
        think_end_token: string or token id after which a thinking model's answer begins; what
            stands before its last occurrence is dropped from the text.
    """

    end_tokens: tuple[int, ...]
    think_end_token: str | int | None = None

    @classmethod
    def from_model(
        cls, model: Any, tokenizer: Any, think_end_token: str | int | None = None
    ) -> DecodingSettings:
        """Read a loaded model's ``generation_config``.

        What it says of sampling and of a repetition penalty is not read here: both are a request's.

        Raises:
            UnsupportedModelError: names a field that would change the text and is not carried out.
        """
        config = model.generation_config
        for name, neutral in _NEUTRAL.items():
            value = getattr(config, name, None)
            if value not in neutral:
                raise UnsupportedModelError(
                    f"the model's generation_config sets {name} = {value!r}, which is not supported here; "
                    "remove it from generation_config.json or use plain --model hf"
                )
        ends = config.eos_token_id if config.eos_token_id is not None else tokenizer.eos_token_id
        if ends is None:
            return cls((), think_end_token)
        return cls(tuple(ends) if isinstance(ends, list | tuple) else (int(ends),), think_end_token)
