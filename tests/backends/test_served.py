"""What served engines share: order, cuts, adapters on disk, and that these belong to the checkpoint."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sprint_eval.backends.served import Adapters, cut_generation, cut_text, served_model, serving_order
from sprint_eval.engine.request import Request
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, DataError, MismatchError
from sprint_eval.export import export_heads
from sprint_eval.export.verify import check_checkpoint
from sprint_eval.heads import HeadPool, HeadSet

ONE = HeadSet.parse("L1H2")


def _export(model: Any, out: Path) -> Path:
    export_heads(model, HeadPool((ONE,)), out, model_name="tiny", say=lambda line: None)
    return out


def test_order_keeps_adapters_together() -> None:
    sets = [HeadSet(), ONE, HeadSet(), ONE]
    requests = [Request((9 - n, 1), heads) for n, heads in enumerate(sets)]
    assert serving_order(requests) == [3, 1, 2, 0]


def test_tokens_are_cut_where_the_built_in_engine_ends(tiny_pair: tuple[Any, Any]) -> None:
    tokenizer = tiny_pair[1]
    settings = DecodingSettings((tokenizer.eos_token_id,))
    request = Request((1,), max_new_tokens=20, stop=("\n\n",))
    answer, more = tokenizer.encode(" 12 apples\n\n"), tokenizer.encode("Question: and then")
    cut = cut_generation(tokenizer, settings, request, answer + more, True)
    assert (cut.text, cut.tokens, cut.finish_reason) == (" 12 apples", tuple(answer), "stop")
    ended = cut_generation(tokenizer, settings, request, [*more, tokenizer.eos_token_id], True)
    assert (ended.text, ended.finish_reason) == ("Question: and then", "stop")
    assert ended.tokens[-1] == tokenizer.eos_token_id
    assert cut_generation(tokenizer, settings, request, more, False).finish_reason == "length"


def test_texts_are_cut_like_tokens() -> None:
    settings = DecodingSettings((), "</think>")
    assert cut_text("hm 1</think> 12\n\nmore", ("\n\n",), settings) == "12"
    assert cut_text("12 STOP 13", ("STOP",), DecodingSettings(())) == "12 "
    assert cut_text("", (), DecodingSettings((), 7)) == ""
    with pytest.raises(ArgumentError, match=r"think_end_token = 7: .*give the token's text"):
        cut_text("hm 1</think> 12", (), DecodingSettings((), 7))


def test_adapters_on_disk(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    adapters = Adapters.load(_export(tiny_model("llama"), tmp_path))
    assert adapters.module_names() == ["o_proj"]
    adapters.check([ONE, HeadSet()])
    with pytest.raises(ArgumentError, match=r"no adapter for L0H0; add what is missing: sprint-eval export"):
        adapters.check([HeadSet.parse("L0H0"), ONE])
    shutil.rmtree(tmp_path / "L1H2")
    with pytest.raises(DataError, match="the adapter of L1H2 is missing"):
        Adapters.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adapters": None}, "adapters is None, expected a list"),
        ({"adapters": ["L1H2"]}, "an adapter is 'L1H2', expected a head set and the name"),
        ({"adapters": [{"heads": "L1H2"}]}, "an adapter is {'heads': 'L1H2'}"),
        ({"adapters": [{"heads": ["L1H2"], "name": "L1H2"}]}, "an adapter is {'heads': "),
        ({"adapters": [{"heads": "second", "name": "L1H2"}]}, "an adapter is {'heads': 'second'"),
        ({"adapters": [{"heads": "L1H2", "name": "../out/L1H2"}]}, "'name': '../out/L1H2'}"),
        ({"adapters": [{"heads": "L1H2", "name": ".."}]}, "'name': '..'}"),
        ({"null_adapter": 3}, "null_adapter is 3, expected a text"),
        ({"null_adapter": "/tmp"}, "'name': '/tmp'}"),
        ({"model_fingerprint": None}, "model_fingerprint is None"),
        ({"max_rank": True}, "max_rank is True, expected a whole number"),
        ({"vllm_max_lora_rank": "16"}, "vllm_max_lora_rank is '16', expected a whole number or null"),
    ],
)
def test_malformed_manifests(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    manifest = {
        "schema_version": 1,
        "model": "tiny",
        "model_fingerprint": "feed",
        "dtype": "float32",
        "max_rank": 16,
        "vllm_max_lora_rank": 16,
        "null_adapter": "base",
        "adapters": [],
    }
    (tmp_path / "heads.json").write_text(json.dumps(manifest | change))
    with pytest.raises(DataError, match=re.escape(message)):
        Adapters.load(tmp_path)


def test_adapters_whose_config_lists_no_modules(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"target_modules": 5}')
    with pytest.raises(DataError, match="target_modules is 5, expected a list"):
        Adapters(tmp_path, {}, {"L1H2": tmp_path}).module_names()


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gpt_neox"])
def test_adapters_are_compared_with_the_checkpoint(
    model_type: str, tiny_model: Callable[..., Any], tmp_path: Path
) -> None:
    model = tiny_model(model_type)
    adapter = _export(model, tmp_path / "adapters") / "L1H2"
    model.save_pretrained(tmp_path / "same")
    model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    model.to(torch.bfloat16).save_pretrained(tmp_path / "rounded")
    tiny_model(model_type, seed=1).save_pretrained(tmp_path / "other")
    assert check_checkpoint(adapter, str(tmp_path / "same"))
    assert (tmp_path / "shards" / "model.safetensors.index.json").exists()
    assert check_checkpoint(adapter, str(tmp_path / "shards"))
    with pytest.raises(MismatchError, match="made from other weights"):
        check_checkpoint(adapter, str(tmp_path / "other"))
    with pytest.raises(MismatchError):
        check_checkpoint(adapter, str(tmp_path / "rounded"))
    (tmp_path / "empty").mkdir()
    assert not check_checkpoint(adapter, str(tmp_path / "empty"))
    assert not check_checkpoint(adapter, "nobody/no-such-model")


def test_a_served_model_knows_its_generation_config(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.generation_config.repetition_penalty = 1.5
    model.save_pretrained(tmp_path)
    assert served_model(model.config, str(tmp_path)).generation_config.repetition_penalty == 1.5
    (tmp_path / "generation_config.json").unlink()
    bare = served_model(model.config, str(tmp_path))
    assert (
        bare.generation_config.eos_token_id
        == json.loads((tmp_path / "config.json").read_text())["eos_token_id"]
    )
