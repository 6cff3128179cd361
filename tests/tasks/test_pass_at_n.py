"""The task class through lm-eval's own evaluator, with a model that says what it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import lm_eval
import pytest
from scripted import Scripted, evaluate

from sprint_eval.candidate import Candidate, CandidateFacts
from sprint_eval.errors import ArgumentError
from sprint_eval.grading import Verdict
from sprint_eval.tasks import load_task, task_files
from sprint_eval.tasks.pass_at_n import score

FACTS = CandidateFacts(heads="L1H2", tokens=7, truncated=False, weight=0.25, logprob=-1.5)


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


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_yaml_by_its_path_or_in_a_folder_gives_the_split_asked_for(
    data_dir: Path, tmp_path: Path, split: str
) -> None:
    """Else a model would be trained on the test, under the name of the training split."""
    metadata = {"data_dir": str(data_dir)}
    wanted = load_task("asdiv_pass_at_n", metadata, split=split)
    path = task_files()["asdiv_pass_at_n"]
    own = path.read_text(encoding="utf-8").replace("task: asdiv_pass_at_n", "task: own_pass_at_n")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.yaml").write_text(
        own.replace("../_zero_shot", str(path.parents[1] / "_zero_shot")), encoding="utf-8"
    )
    by_path = load_task(str(path), metadata, split=split)
    included = load_task("own_pass_at_n", metadata, split=split, include_path=tmp_path / "own")
    assert wanted.VERSION == by_path.VERSION == included.VERSION
    assert list(wanted.eval_docs) == list(by_path.eval_docs) == list(included.eval_docs)
    with pytest.raises(ArgumentError, match="metadata names split"):
        load_task(str(path), {**metadata, "split": "dev"}, split=split)


def test_grading_of_a_task_is_that_of_its_metrics(data_dir: Path) -> None:
    task = load_task("asdiv_pass_at_n", {"data_dir": str(data_dir), "n": 2})
    doc = task.eval_docs[0]
    texts = [f"The answer is {doc['answer']}", "The answer is -1"]
    verdicts = task.grade(doc, texts)
    assert [verdict.correct for verdict in verdicts] == [True, False]
    assert task.grade_many([(doc, text) for text in texts]) == verdicts
    assert [record["correct"] for record in task.process_results(doc, [texts])["candidates"]] == [True, False]
