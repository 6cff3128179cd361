"""The base model and its tokenizer, for an export."""

from __future__ import annotations

from typing import Any

from sprint_eval.architectures import architecture_of
from sprint_eval.loading import loading
from sprint_eval.models import resolve_model_path

DTYPES = ("auto", "float32", "bfloat16", "float16")


def load_model(name: str, dtype: str = "auto", trust_remote_code: bool = False) -> Any:
    """Load a causal LM on the CPU, in its checkpoint's dtype unless told otherwise.

    A folder whose heads were cut out (a distilled student) gives the full-size model that computes the
    same, with zeros where the heads were.

    Raises:
        UnsupportedModelError: its architecture is not in the table; told before weights are read.
        DataError: it cannot be found or loaded.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    from sprint_eval.pruning.checkpoint import is_pruned, load_pruned
    from sprint_eval.pruning.dense import dense_model

    path = resolve_model_path(name)
    logging.disable_progress_bar()
    try:
        with loading(f"model '{name}'"):
            config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
            architecture_of(config)
            if is_pruned(config):
                return dense_model(load_pruned(path, dtype=dtype)).eval()
            model = AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, trust_remote_code=trust_remote_code
            )
    finally:
        logging.enable_progress_bar()
    return model.eval()


def cut_out(name: str, trust_remote_code: bool = False) -> bool:
    """Whether heads were cut out of this model, by its config.

    Raises:
        DataError: it has no config that can be read.
    """
    from transformers import AutoConfig

    from sprint_eval.pruning.checkpoint import is_pruned

    with loading(f"model '{name}'"):
        return is_pruned(
            AutoConfig.from_pretrained(resolve_model_path(name), trust_remote_code=trust_remote_code)
        )


def load_tokenizer(name: str, trust_remote_code: bool = False) -> Any:
    """The tokenizer that belongs to a model.

    Raises:
        DataError: it cannot be found or loaded.
    """
    from transformers import AutoTokenizer

    with loading(f"the tokenizer of '{name}'"):
        return AutoTokenizer.from_pretrained(resolve_model_path(name), trust_remote_code=trust_remote_code)
