"""The task class through lm-eval's own evaluator, with a model that says what it is told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from sprint_eval.candidate import Candidate, CandidateFacts
from sprint_eval.errors import ArgumentError, CommandExit, DataError
from sprint_eval.grading import Verdict
from sprint_eval.tasks import load_task, task_files
from sprint_eval.tasks.pass_at_n import score

REPOSITORY = Path(__file__).parents[2]
SHARED = REPOSITORY.parent / "shared" / "data"
FACTS = CandidateFacts(heads="L1H2", tokens=7, truncated=False, weight=0.25, logprob=-1.5)


class Scripted(LM):
    """Answers the k-th of a question's identical requests with ``say(doc, k)``."""

    def __init__(self, say: Callable[[dict, int], str]) -> None:
        super().__init__()
        self.say = say
        self.requests: list[Any] = []

    def generate_until(self, requests, disable_tqdm: bool = False) -> list[str]:
        self.requests = list(requests)
        seen: Counter[str] = Counter()
        answers = []
        for request in requests:
            key = request.doc["question"]
            answers.append(self.say(request.doc, seen[key]))
            seen[key] += 1
        return answers

    def loglikelihood(self, requests):
        raise NotImplementedError

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError


def evaluate(model: LM, name: str, data_dir: Path, **more: Any) -> dict[str, Any]:
    metadata = {"data_dir": str(data_dir), **more.pop("metadata", {})}
    manager = TaskManager(include_defaults=False, metadata=metadata)
    arguments = {"limit": 6, "bootstrap_iters": 0, **more}
    path = str(task_files()[name])
    return lm_eval.simple_evaluate(model=model, tasks=[path], task_manager=manager, **arguments)


def naive_unbiased(correct: list[bool], k: int) -> float:
    """The chance that k draws without replacement hold a right one, by counting every draw."""
    from itertools import combinations

    draws = list(combinations(correct, k))
    return sum(any(draw) for draw in draws) / len(draws)


def test_metrics_of_every_k_against_their_definitions() -> None:
    def verdict(answer: str | None, correct: bool) -> Verdict:
        return Verdict(correct, answer, "exact", "ok")

    verdicts = [verdict("3", False), verdict("5", True), verdict("5.0", True), verdict(None, False)]
    found = score(["a", "b", "c", "d"], verdicts)
    correct = [verdict.correct for verdict in verdicts]
    for k in range(1, 5):
        assert found[f"pass@{k}"] == float(any(correct[:k]))
        assert found[f"pass@{k}_unbiased"] == pytest.approx(naive_unbiased(correct, k))
    # 3 and 5 tie at k = 2 and the first given wins; 5 and 5.0 are one answer.
    assert [found[f"maj@{k}"] for k in range(1, 5)] == [0.0, 0.0, 1.0, 1.0]
    forms = ("pass@{}", "pass@{}_unbiased", "maj@{}")
    assert set(found) == {form.format(k) for form in forms for k in range(1, 5)} | {"candidates"}


def test_results_and_samples_of_a_run(data_dir: Path) -> None:
    def say(doc: dict, k: int) -> str:
        text = f"So \\boxed{{{doc['answer'] if k == 1 else 'x+1'}}}"
        return Candidate(text, FACTS) if k < 2 else text

    model = Scripted(say)
    found = evaluate(model, "gsm8k_pass_at_n", data_dir, metadata={"n": 3, "pretrained": "some/model"})
    results = found["results"]["gsm8k_pass_at_n"]
    assert [results[f"pass@{k},none"] for k in (1, 2, 3)] == [0.0, 1.0, 1.0]
    assert results["pass@1_unbiased,none"] == pytest.approx(1 / 3)
    assert results["maj@3,none"] == 0.0
    assert results["candidates,none"] == 18
    config = found["configs"]["gsm8k_pass_at_n"]
    assert config["repeats"] == 3
    assert config["metadata"]["data_source"] == "local"
    assert found["versions"]["gsm8k_pass_at_n"] == config["metadata"]["version"]
    json.dumps(config["metadata"])
    assert len(model.requests) == 18
    for sample in found["samples"]["gsm8k_pass_at_n"]:
        assert {"question", "answer", "subject", "question_key"} <= set(sample["doc"])
        assert len(sample["resps"][0]) == len(sample["filtered_resps"][0]) == len(sample["candidates"]) == 3
        right, plain = sample["candidates"][1], sample["candidates"][2]
        assert right == {
            **{
                "correct": True,
                "extracted": sample["doc"]["answer"],
                "status": "ok",
                "heads": "L1H2",
                "tokens": 7,
            },
            **{"truncated": False, "weight": 0.25, "logprob": -1.5, "score": None},
        }
        assert plain["correct"] is False
        facts = ("heads", "tokens", "truncated", "weight", "logprob", "score")
        assert [plain[key] for key in facts] == [None] * 6
        json.dumps(sample["candidates"])
    assert lm_eval.utils.make_table(found)


# Candidates 0 to 3 of every question: answers (right or not), the router's weights, a scorer's scores.
VOTES = [(False, 0.2, -3.0), (False, 0.2, -2.0), (True, 0.9, -1.0), (False, 0.3, -0.5)]


def said(doc: dict, k: int, weighted: bool = True, scored: bool = True) -> str:
    right, weight, value = VOTES[k]
    facts = CandidateFacts(weight=weight if weighted else None, score=value if scored else None)
    return Candidate(f"The answer is {doc['answer'] if right else -1 - k // 3}.", facts)


def test_weighted_votes_and_scored_answers(data_dir: Path) -> None:
    found = evaluate(Scripted(said), "gsm8k_pass_at_n", data_dir, metadata={"n": 4}, bootstrap_iters=10)
    results = found["results"]["gsm8k_pass_at_n"]
    assert [results[f"maj@{k},none"] for k in range(1, 5)] == [0.0, 0.0, 0.0, 0.0]
    # 0.2 + 0.2 for -1, 0.9 for the right one, 0.3 for -2.
    assert [results[f"wmaj@{k},none"] for k in range(1, 5)] == [0.0, 0.0, 1.0, 1.0]
    assert [results[f"best@{k},none"] for k in range(1, 5)] == [0.0, 0.0, 1.0, 0.0]
    assert results["wmaj@3_stderr,none"] == 0.0
    assert {"wmaj@4", "best@4"} <= set(found["higher_is_better"]["gsm8k_pass_at_n"])
    sample = found["samples"]["gsm8k_pass_at_n"][0]
    assert [record["score"] for record in sample["candidates"]] == [value for _, _, value in VOTES]
    assert sample["wmaj@3"] == 1.0
    assert lm_eval.utils.make_table(found)


@pytest.mark.parametrize(("weighted", "scored"), [(True, False), (False, True), (False, False)])
def test_what_a_model_does_not_say_makes_no_metric(data_dir: Path, weighted: bool, scored: bool) -> None:
    model = Scripted(lambda doc, k: said(doc, k, weighted, scored))
    found = evaluate(model, "gsm8k_pass_at_n", data_dir, metadata={"n": 2})
    names = set(found["results"]["gsm8k_pass_at_n"])
    listed = set(found["higher_is_better"]["gsm8k_pass_at_n"])
    for metric, there in (("wmaj@2", weighted), ("best@2", scored)):
        assert (f"{metric},none" in names) is there
        assert (metric in listed) is there


def test_one_candidate_without_a_weight_leaves_the_vote_out_for_all(data_dir: Path) -> None:
    silent: list[str] = []

    def say(doc: dict, k: int) -> str:
        if not silent:
            silent.append(doc["question"])
        return said(doc, k, weighted=doc["question"] != silent[0])

    found = evaluate(Scripted(say), "gsm8k_pass_at_n", data_dir, metadata={"n": 2})
    samples = found["samples"]["gsm8k_pass_at_n"]
    assert "wmaj@1,none" not in found["results"]["gsm8k_pass_at_n"]
    assert all("best@1" in sample and "wmaj@1" not in sample for sample in samples)


@pytest.mark.parametrize("name", sorted(task_files()))
def test_every_task_runs_with_plain_strings(name: str, data_dir: Path) -> None:
    model = Scripted(lambda doc, k: f"The answer is {doc['answer']}.")
    found = evaluate(model, name, data_dir, metadata={"n": 2, "test_size": 12, "train_size": 24}, limit=2)
    assert found["results"][name]["pass@2,none"] == 1.0
    few_shot = name.endswith("_fewshot")
    prompt = model.requests[0].args[0]
    question = model.requests[0].doc["question"]
    if few_shot:
        assert prompt.count("Question:") + prompt.count("题目：") == found["n-shot"][name] + 1 >= 5
        assert prompt.rstrip().endswith(("Answer:", "解答："))
    else:
        instruction = "Please reason step by step, and put your final answer within \\boxed{}."
        assert prompt == f"{instruction}\n\n{question}"
    settings = model.requests[0].args[1]
    assert settings["do_sample"] is False
    assert settings["max_gen_toks"] >= 16
    assert ("\n\n" in settings["until"]) is few_shot


def test_the_instruction_is_the_system_message_of_a_chat(data_dir: Path) -> None:
    class Chat(Scripted):
        tokenizer_name = "toy"

        def apply_chat_template(self, history, add_generation_prompt: bool = True) -> str:
            return json.dumps([[turn["role"], turn["content"]] for turn in history])

        def chat_template(self, chat_template=False) -> str:
            return "toy"

    model = Chat(lambda doc, k: "1")
    evaluate(model, "math500_pass_at_n", data_dir, metadata={"n": 1}, apply_chat_template=True)
    turns = json.loads(model.requests[0].args[0])
    assert turns == [
        ["system", "Please reason step by step, and put your final answer within \\boxed{}."],
        ["user", model.requests[0].doc["question"]],
    ]


def test_splits_texts_and_versions(data_dir: Path) -> None:
    metadata = {"data_dir": str(data_dir)}
    test = load_task("asdiv_pass_at_n", metadata)
    train = load_task("asdiv_pass_at_n", metadata, split="train")
    validation = load_task("asdiv_pass_at_n", metadata, split="validation")
    keys = [{doc["question_key"] for doc in task.eval_docs} for task in (test, train, validation)]
    assert not keys[0] & keys[1] | keys[0] & keys[2] | keys[1] & keys[2]
    assert len({test.VERSION, train.VERSION, validation.VERSION}) == 3
    assert load_task("asdiv_pass_at_n_fewshot", metadata).VERSION == test.VERSION
    other = data_dir / "asdiv_a_fold3.jsonl"
    other.write_text("\n".join(other.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    assert load_task("asdiv_pass_at_n", metadata).VERSION != test.VERSION
    assert {"equation", "numbers"} <= set(train.eval_docs[0])


def test_grading_of_a_task_is_that_of_its_metrics(data_dir: Path) -> None:
    task = load_task("asdiv_pass_at_n", {"data_dir": str(data_dir), "n": 2})
    doc = task.eval_docs[0]
    texts = [f"The answer is {doc['answer']}", "The answer is -1"]
    verdicts = task.grade(doc, texts)
    assert [verdict.correct for verdict in verdicts] == [True, False]
    assert task.grade_many([(doc, text) for text in texts]) == verdicts
    assert [record["correct"] for record in task.process_results(doc, [texts])["candidates"]] == [True, False]


def with_responses(data_dir: Path, counts: list[int], world_size: int = 1) -> Any:
    task = load_task("gsm8k_pass_at_n", {"data_dir": str(data_dir), "n": 2})
    task.build_all_requests(limit=len(counts), rank=0, world_size=1)
    task._world_size = world_size
    for instance, count in zip(task.instances, counts, strict=True):
        instance.resps = [f"answer {k}" for k in range(count)]
    return task


def test_padding_clones_of_the_last_question_are_cut_off(data_dir: Path) -> None:
    task = with_responses(data_dir, [2, 2, 6], world_size=2)
    task.apply_filters()
    assert [len(instance.filtered_resps["none"]) for instance in task.instances] == [2, 2, 2]


@pytest.mark.parametrize(
    ("counts", "world_size"), [([2, 2, 4], 1), ([2, 4, 2], 2), ([2, 1, 2], 2), ([2, 2, 1], 2)]
)
def test_any_other_number_of_responses_is_refused(
    data_dir: Path, counts: list[int], world_size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    task = with_responses(data_dir, counts, world_size)
    with pytest.raises(CommandExit):
        task.apply_filters()
    assert "candidates, expected n=2" in capsys.readouterr().err


@pytest.mark.parametrize("settings", ["temperature=0.7", "top_p=0.9", "temperature=0.7,do_sample=False"])
def test_sampling_that_would_stay_greedy_is_refused(
    data_dir: Path, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandExit) as caught:
        evaluate(Scripted(lambda doc, k: "1"), "gsm8k_pass_at_n", data_dir, gen_kwargs=settings)
    assert caught.value.code == 2
    assert "without do_sample=True stays greedy" in capsys.readouterr().err


def test_sampling_settings_reach_the_model(data_dir: Path) -> None:
    model = Scripted(lambda doc, k: "1")
    evaluate(
        model, "gsm8k_pass_at_n", data_dir, gen_kwargs="do_sample=True,temperature=0.6,top_k=40,top_p=0.95"
    )
    settings = model.requests[0].args[1]
    assert (settings["do_sample"], settings["temperature"], settings["top_k"], settings["top_p"]) == (
        True,
        0.6,
        40,
        0.95,
    )
    assert len(model.requests) == 6 * 8


def test_predict_only_computes_no_metric(data_dir: Path) -> None:
    found = evaluate(Scripted(lambda doc, k: "1"), "gsm8k_pass_at_n", data_dir, predict_only=True)
    assert len(found["samples"]["gsm8k_pass_at_n"]) == 6


def test_cached_requests_are_those_of_the_same_questions(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path / "cache"))
    seen = []
    for metadata in ({"n": 1}, {"n": 2}, {"n": 1, "split": "train"}, {"n": 1}):
        model = Scripted(lambda doc, k: doc["answer"])
        found = evaluate(model, "gsm8k_pass_at_n", data_dir, metadata=metadata, cache_requests=True)
        assert found["results"]["gsm8k_pass_at_n"]["pass@1,none"] == 1.0
        seen.append([request.doc["question"] for request in model.requests])
    assert seen[1][::2] == seen[0] == seen[3]
    assert not set(seen[2]) & set(seen[0])


def test_too_many_worked_examples_are_refused(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandExit):
        evaluate(Scripted(lambda doc, k: "1"), "asdiv_pass_at_n_fewshot", data_dir, num_fewshot=40)
    assert "worked examples, num_fewshot=40 asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"data_dir": "/no/such/folder"}, "data folder not found: /no/such/folder"),
        ({"n": "many"}, "metadata n='many'"),
        ({"datadir": "x"}, "did you mean 'data_dir'"),
        ({"split": "dev"}, "expected one of test, validation, train"),
    ],
)
def test_bad_metadata_is_one_line_and_exit_2(
    metadata: dict, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(task_files()["gsm8k_pass_at_n"])
    with pytest.raises(CommandExit) as caught:
        TaskManager(include_defaults=False, metadata=metadata).load([path])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    with pytest.raises((DataError, ArgumentError), match=message.split(":")[0]):
        load_task("gsm8k_pass_at_n", metadata, split=metadata.get("split", "test"))
    assert capsys.readouterr().err == ""


def test_load_task_finds_included_and_refuses_unknown_tasks(tmp_path: Path) -> None:
    rows = [{"q": f"{i}?", "a": str(i)} for i in range(4)]
    for split in ("train", "test"):
        lines = "\n".join(json.dumps({**row, "s": split}) for row in rows)
        (tmp_path / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    config = {
        **{
            "task": "toy_for_load_task",
            "dataset_path": "json",
            "training_split": "train",
            "test_split": "test",
        },
        **{"output_type": "generate_until", "doc_to_text": "q", "doc_to_target": "a"},
        "dataset_kwargs": {"data_files": {split: f"{tmp_path}/{split}.jsonl" for split in ("train", "test")}},
        "generation_kwargs": {"until": ["x"]},
    }
    (tmp_path / "toy.yaml").write_text(json.dumps(config), encoding="utf-8")
    task = load_task("toy_for_load_task", split="train", include_path=tmp_path)
    assert {doc["s"] for doc in task.eval_docs} == {"train"}
    with pytest.raises(ArgumentError, match="has no validation split"):
        load_task("toy_for_load_task", split="validation", include_path=tmp_path)
    with pytest.raises(ArgumentError, match=r"unknown task 'asdiv_pass_at'.*did you mean 'asdiv_pass_at_n'"):
        load_task("asdiv_pass_at")


@pytest.mark.slow
def test_a_missing_data_folder_out_of_stock_lm_eval_is_one_line_and_exit_2(tmp_path: Path) -> None:
    arguments = ["--model", "dummy", "--tasks", "asdiv_pass_at_n", "--metadata", f"data_dir={tmp_path}/no"]
    command = [sys.executable, "-m", "lm_eval", *arguments, "--include_path", str(REPOSITORY / "tasks")]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert f"data folder not found: {tmp_path}/no" in run.stderr


def shingles(text: str) -> set[str]:
    """Pairs of neighbouring characters, numbers masked: two questions with most in common are near-twins."""
    plain = "".join("#" if sign.isdigit() else sign for sign in text.lower() if sign.isalnum())
    return {plain[i : i + 3] for i in range(len(plain) - 2)}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data folder")
@pytest.mark.parametrize("name", ["asdiv", "gsm8k", "math23k", "math500"])
def test_no_worked_example_is_a_near_twin_of_any_question(name: str) -> None:
    task = load_task(f"{name}_pass_at_n_fewshot", {"data_dir": str(SHARED)})
    questions = [doc["question"] for part in ("train", "validation", "test") for doc in task.parts.part(part)]
    known = [shingles(question) for question in questions]
    for example in task.fewshot_docs():
        mine = shingles(example["question"])
        nearest = max(range(len(known)), key=lambda i: len(mine & known[i]) / len(mine | known[i]))
        overlap = len(mine & known[nearest]) / len(mine | known[nearest])
        assert overlap < 0.5, (example["question"], questions[nearest])
        verdict = task.grade({"answer": example["worked"].split()[-1].strip(".")}, [example["worked"]])
        assert verdict[0].status == "ok"


def test_worked_examples_of_rg_math_are_in_no_part_and_right() -> None:
    pytest.importorskip("reasoning_gym")
    from sprint_eval.questions import question_hash
    from sprint_eval.tasks.rg_math import KINDS, part_of

    task = load_task("rg_math_pass_at_n_fewshot", {"test_size": 60, "train_size": 60})
    examples = task.fewshot_docs()
    assert Counter(example["subject"] for example in examples) == {kind.subject: 4 for kind in KINDS}
    assert {part_of(question_hash(example["question"])) for example in examples} == {"worked"}
    task.build_all_requests(limit=12, rank=0, world_size=1)
    for instance in task.instances:
        mine = [example for example in examples if example["subject"] == instance.doc["subject"]]
        assert all(example["question"] in instance.args[0] for example in mine)
        assert instance.args[0].count("Question:") == 5
