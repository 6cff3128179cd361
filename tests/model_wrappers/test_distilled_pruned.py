"""``distilled-pruned`` on a random model with heads cut out."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sprint_eval.candidate import facts_of
from sprint_eval.errors import CommandExit
from sprint_eval.heads import HeadSet
from sprint_eval.model_wrappers.distilled_pruned import DistilledPrunedLM
from sprint_eval.model_wrappers.pruned_head import PrunedHeadLM

HEADS = "L0H1+L1H2+L1H3+L2H0"


def instances(n: int, questions: int = 3, **gen_kwargs: Any) -> list[Any]:
    made = []
    for number in range(questions):
        doc = {"question": f"What is {number} + 7?", "answer": "secret", "question_key": f"{number:016x}"}
        args = (f"Q: {doc['question']}\nA:", {"until": ["\n\n"], "max_gen_toks": 6} | gen_kwargs)
        made += [SimpleNamespace(args=args, doc=doc, repeats=n, task_name="t")] * n
    return made


@pytest.fixture(scope="module")
def cut_checkpoint(tiny_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sprint_eval.pruning.checkpoint import save_pruned
    from sprint_eval.pruning.surgery import cut

    model = cut(AutoModelForCausalLM.from_pretrained(tiny_checkpoint), HeadSet.parse(HEADS))
    folder = tmp_path_factory.mktemp("cut") / "model"
    return str(save_pruned(model, folder, AutoTokenizer.from_pretrained(tiny_checkpoint)))


def build(folder: str, **arguments: Any) -> DistilledPrunedLM:
    return DistilledPrunedLM(folder, device="cpu", dtype="float32", **arguments)


@pytest.mark.parametrize("engine", ["plain", "sprint"])
def test_answers_are_those_of_the_masked_model(
    tiny_checkpoint: str, cut_checkpoint: str, engine: str
) -> None:
    masked = PrunedHeadLM(tiny_checkpoint, heads=HEADS, device="cpu", dtype="float32", engine="plain")
    model = build(cut_checkpoint, engine=engine)
    answers = model.generate_until(instances(4), disable_tqdm=True)
    assert answers == masked.generate_until(instances(4), disable_tqdm=True)
    assert all(len(set(answers[i : i + 4])) == 1 for i in range(0, 12, 4)), (
        "one answer a question, whatever N"
    )
    assert len(set(answers)) > 1
    info = model.get_model_info()
    assert info["counters"]["requests"] == 3
    assert info["method"] == "distilled-pruned"
    assert info["deterministic"]
    assert info["pool"] == [HEADS]
    assert info["removed_heads_share"] == pytest.approx(4 / 12)
    assert info["parameters"] == sum(p.numel() for p in model.model.parameters())
    assert facts_of(answers[0]).heads == "base"


def test_loglikelihood_tasks_work(tiny_checkpoint: str, cut_checkpoint: str) -> None:
    request = SimpleNamespace(args=("What is 3 + 4?", " 7"), task_name="t")
    masked = PrunedHeadLM(tiny_checkpoint, heads=HEADS, device="cpu", dtype="float32")
    expected = masked.loglikelihood([request], disable_tqdm=True)[0]
    found = build(cut_checkpoint).loglikelihood([request], disable_tqdm=True)[0]
    assert found[0] == pytest.approx(expected[0], abs=1e-4)
    assert found[1] == expected[1]


def test_int8_runs_and_is_near(cut_checkpoint: str) -> None:
    request = SimpleNamespace(args=("What is 3 + 4?", " 7"), task_name="t")
    exact, rounded = build(cut_checkpoint), build(cut_checkpoint, quantize="int8")
    assert rounded.fingerprint == exact.fingerprint
    first, second = (m.loglikelihood([request], disable_tqdm=True)[0][0] for m in (exact, rounded))
    assert first != second
    assert second == pytest.approx(first, rel=0.1)
    assert rounded.get_model_info()["quantize"] == "int8"
    assert len(rounded.generate_until(instances(1), disable_tqdm=True)) == 3
    assert exact.get_model_info()["quantize"] is None
    assert rounded._backend().why_plain() is not None


def test_a_store_tells_int8_from_the_weights_as_they_are(cut_checkpoint: str, tmp_path: Path) -> None:
    exact = build(cut_checkpoint, store=str(tmp_path))
    exact.generate_until(instances(1), disable_tqdm=True)
    for expected in (0, 3):
        rounded = build(cut_checkpoint, store=str(tmp_path), quantize="int8")
        rounded.generate_until(instances(1), disable_tqdm=True)
        assert rounded.get_model_info()["counters"].get("from_store", 0) == expected


def test_from_pretrained_arguments_reach_the_model(cut_checkpoint: str) -> None:
    model = DistilledPrunedLM(cut_checkpoint, device="cpu", dtype="bfloat16", attn_implementation="eager")
    assert model.model.dtype == torch.bfloat16
    assert model.model.config._attn_implementation == "sprint_cut_eager"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": "L0H0"}, "model argument 'heads' is unknown to distilled-pruned"),
        ({"quantize": "int4"}, "quantize=int4: expected int8"),
        (
            {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "fingerprint": "0123456789abcdef"},
            "not with engine=openai; serve a dense",
        ),
        ({"attn_implementation": "flash_attention_2"}, "runs with attn_implementation=sdpa or eager"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(
    arguments: dict[str, Any], message: str, cut_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandExit) as refusal:
        build(cut_checkpoint, **arguments)
    assert refusal.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("content", [b"half", None])
def test_a_broken_folder_is_one_line_and_exit_2(
    content: bytes | None, cut_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "broken"
    if content is not None:
        shutil.copytree(cut_checkpoint, folder)
        (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CommandExit) as refusal:
        build(str(folder))
    assert refusal.value.code == 2
    assert "broken' cannot be loaded: " in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_model_that_was_never_cut_is_refused(
    tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandExit):
        build(tiny_checkpoint)
    assert "nothing was cut out of this model" in capsys.readouterr().err


def test_stock_loaders_do_not_take_a_cut_folder_for_a_whole_one(cut_checkpoint: str) -> None:
    from transformers import AutoModelForCausalLM

    with pytest.raises(RuntimeError, match="size"):
        AutoModelForCausalLM.from_pretrained(cut_checkpoint)
    assert not list(Path(cut_checkpoint).glob("*.py"))
