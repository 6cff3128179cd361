"""A whole sweep of a tiny model on a real task: the same prompts, texts and grades as an lm-eval run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sprint_eval.cli import main
from sprint_eval.errors import ArgumentError, DataError, HeadError, MismatchError
from sprint_eval.outcomes import BASE_COLUMN, Outcomes, Process
from sprint_eval.sweep import SweepConfig, dry_run, run_sweep
from sprint_eval.sweep.model import load_model
from sprint_eval.sweep.prepare import prepare

TASK = "rg_math_pass_at_n_fewshot"
POOL = "L0H0/L1H1+L2H0/base/L2H3"


@pytest.fixture(scope="module")
def config(tiny_checkpoint, tmp_path_factory) -> SweepConfig:
    out = str(tmp_path_factory.mktemp("sweep") / "z")
    return SweepConfig(
        model=tiny_checkpoint, task=TASK, out=out, pool=POOL, limit=3, dtype="float32", engine="plain"
    )


@pytest.fixture(scope="module")
def model(config):
    return load_model(config)


@pytest.fixture(scope="module")
def swept(config, model) -> Outcomes:
    said: list[str] = []
    result = run_sweep(config, model=model, show=said.append)
    assert said == ["3 questions x (4 head sets + base), 0 of 12 cells done before"]
    assert (result.written, result.missing) == (12, 0)
    return result.outcomes


def test_worked_examples_are_turns_where_lm_eval_makes_them_turns(config, model):
    """The lm_eval command turns fewshot_as_multiturn on with a chat template, and so does a sweep."""
    import lm_eval
    from lm_eval.config.evaluate_config import EvaluatorConfig

    default = EvaluatorConfig(tasks=[TASK], apply_chat_template=True)
    default._validate_arguments()
    args = {"pretrained": config.model, "dtype": "float32", "device": "cpu", "engine": "plain"}
    results = lm_eval.simple_evaluate(
        model="pruned-head",
        model_args={**args, "heads": "L0H0"},
        tasks=[TASK],
        limit=1,
        log_samples=True,
        apply_chat_template=True,
        fewshot_as_multiturn=default.fewshot_as_multiturn,
        metadata={"n": 1, "split": "train"},
        bootstrap_iters=0,
    )
    (sample,) = results["samples"][TASK]
    asked = sample["arguments"][0][0]
    chat = prepare(replace(config, apply_chat_template=True), model)
    assert model.lm.tokenizer.decode(chat.prompts[0]) == asked
    assert chat.manifest.prompt_format["fewshot_as_multiturn"] is True
    one_turn = prepare(replace(config, apply_chat_template=True, fewshot_as_multiturn=False), model)
    assert model.lm.tokenizer.decode(one_turn.prompts[0]) != asked


def test_arguments_of_the_template_are_told_and_an_older_store_resumes(config, model, tmp_path, monkeypatch):
    """They are no part of the run: a store from before they were kept is of the same run."""
    chat = replace(config, apply_chat_template=True, limit=2, pool="L0H0", out=str(tmp_path))
    plain = prepare(chat, model).manifest
    assert plain.prompt_format["chat_template_args"] == {}
    with monkeypatch.context() as patch:
        patch.setattr(model.lm, "chat_template_args", {"enable_thinking": False, "date": None})
        given = prepare(chat, model).manifest  # of a template that has no use for them
    assert given.prompt_format["chat_template_args"] == {"enable_thinking": False}
    assert given.run_hash() == plain.run_hash()
    run_sweep(chat, model=model, process=Process(0, 2), show=lambda text: None)
    path = tmp_path / "manifest.json"
    older = json.loads(path.read_text())
    del older["facts"]["chat_template_args"]
    path.write_text(json.dumps(older))
    resumed = run_sweep(chat, model=model, show=lambda text: None)
    assert (resumed.written, resumed.missing) == (2, 0)
    assert "chat_template_args" not in resumed.outcomes.manifest.prompt_format
    assert "chat_template_args" not in prepare(config, model).manifest.prompt_format


def test_nothing_is_left_to_do_afterwards(config, model, swept):
    assert run_sweep(config, model=model, show=lambda text: None).written == 0


def test_the_same_as_lm_eval_finds(config, swept):
    """Candidate k of pruned-head on the same split is column k: prompt, text, verdict and tokens."""
    import lm_eval

    args = {"pretrained": config.model, "pool": POOL, "dtype": "float32", "device": "cpu", "engine": "plain"}
    results = lm_eval.simple_evaluate(
        model="pruned-head",
        model_args=args,
        tasks=[TASK],
        limit=3,
        log_samples=True,
        metadata={"n": 4, "split": "train"},
        bootstrap_iters=0,
    )
    samples = sorted(results["samples"][TASK], key=lambda sample: sample["doc_id"])
    texts = set()
    for i, sample in enumerate(samples):
        assert sample["doc_hash"] == swept.questions[i].doc_hash
        assert sample["doc"] == swept.doc(i)
        assert sample["doc"]["question_key"] == swept.questions[i].key
        for k, record in enumerate(sample["candidates"]):
            cell = swept.cell(i, k)
            assert cell.text == sample["resps"][0][k]
            assert cell.correct == record["correct"] == swept.z[i, k]
            assert (cell.extracted, cell.status) == (record["extracted"], record["status"])
            assert (cell.tokens, cell.truncated) == (record["tokens"], record["truncated"])
            texts.add(cell.text)
    assert len(texts) > 6  # heads and questions do differ


def test_two_processes_make_the_same_matrix(config, model, swept, tmp_path):
    halves = replace(config, out=str(tmp_path / "halves"))
    for k in range(2):
        last = run_sweep(halves, model=model, process=Process(k, 2), show=lambda text: None)
    assert last.missing == 0
    assert (last.outcomes.z == swept.z).all()
    for i in range(3):
        for j in range(BASE_COLUMN, 4):
            assert last.outcomes.cell(i, j) == swept.cell(i, j)


def test_another_run_is_refused_by_name(config, model, swept):
    with pytest.raises(MismatchError, match="num_questions is 3 there and 2"):
        run_sweep(replace(config, limit=2), model=model)
    with pytest.raises(MismatchError, match="pool is"):
        run_sweep(replace(config, pool="L0H0"), model=model)
    with pytest.raises(MismatchError, match="generation is"):
        run_sweep(replace(config, gen_kwargs={"max_gen_toks": 4}), model=model)
    with pytest.raises(MismatchError, match=r"num_fewshot is \d there and 2"):
        run_sweep(replace(config, num_fewshot=2), model=model)


def test_other_end_tokens_are_another_run(config, model, swept, monkeypatch):
    """The fingerprint is of config and weights: ``generation_config`` is not in it."""
    (end,) = swept.manifest.generation["end_tokens"]
    monkeypatch.setattr(model.lm.model.generation_config, "eos_token_id", [end, 7])
    with pytest.raises(MismatchError, match=rf"\{{'end_tokens': \[{end}\]\}} there and"):
        run_sweep(config, model=model)


def test_dry_run(config, model, swept, tmp_path):
    fresh = dry_run(replace(config, out=str(tmp_path / "new")), model=model, processes=2)
    assert not (tmp_path / "new").exists()
    assert (fresh.cells, fresh.done) == (12, 0)
    tokens = int(swept.tokens[:, [0, 1, 3, 4]].sum())
    assert 0.5 * tokens < fresh.generated_tokens < 2 * tokens
    assert fresh.seconds > 0
    assert fresh.bytes > 12 * 40
    assert "on 2 processes like this one" in fresh.lines()[2]
    assert dry_run(config, model=model).done == 12


def test_what_is_refused(config, model, tmp_path):
    fresh = replace(config, out=str(tmp_path / "new"))
    with pytest.raises(HeadError, match="layers 0 to 2"):
        run_sweep(replace(fresh, pool="L3H0"), model=model)
    with pytest.raises(ArgumentError, match="unknown task 'rg_maths"):
        run_sweep(replace(fresh, task="rg_maths_pass_at_n"), model=model)
    with pytest.raises(ArgumentError, match="samples"):
        run_sweep(replace(fresh, gen_kwargs={"do_sample": True, "temperature": 0.6}), model=model)
    with pytest.raises(DataError, match="model '/no/such/model' cannot be loaded"):
        run_sweep(replace(fresh, model="/no/such/model"))
    assert not (tmp_path / "new").exists()


def test_the_command_line(config, tmp_path, capsys):
    out = str(tmp_path / "z")
    common = [
        "--model",
        config.model,
        "--task",
        TASK,
        "--limit",
        "2",
        "--dtype",
        "float32",
        "--engine",
        "plain",
    ]
    assert main(["sweep", *common, "--layers", "1", "--out", out]) == 0
    assert "complete: 2 questions x (4 head sets + base)" in capsys.readouterr().out
    assert main(["outcomes", "show", out]) == 0
    assert "10 of 10 (100.0%)" in capsys.readouterr().out
    assert main(["outcomes", "check", out]) == 0
    assert main(["regrade", out]) == 0
    assert "10 cells graded\nnow right: 0, now wrong: 0" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["sweep", *common, "--layers", "7", "--out", out])
    assert end.value.code == 2
    assert "layer 7 is out of range: the model has layers 0 to 2" in capsys.readouterr().err
    manifest = json.loads((tmp_path / "z" / "manifest.json").read_text())
    assert manifest["dtype"] == "float32"
    assert manifest["facts"]["engine"] == "plain"
