"""Result folders in lm-eval 0.4.13's format, made up from a seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sprint_eval.leaderboards.board import Board

TASK = "gsm8k_pass_at_n"
SUBJECTS = ("one step", "two steps", "three steps", "four or more steps")
PROMPT = "Solve the problem. End with 'The answer is X.'\n\n"


@dataclass
class FakeRun:
    """One run to write; ``skill`` is the mean chance that a candidate is right."""

    model: str = "hf"
    args: str = "pretrained=org/tiny-model"
    info: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    skill: float = 0.4
    n: int = 4
    questions: int = 40
    task: str = TASK
    seed: int = 0
    date: float = 1_760_000_000.0
    limit: int | None = None
    version: int = 1
    num_fewshot: int = 0
    facts: bool = True
    heads: Sequence[str] = ()
    deterministic: bool = False
    other_prompts: int = 0  # so many of the first questions are asked in other words
    extra: Mapping[str, Any] = field(default_factory=dict)


def question(index: int, hostile: Mapping[int, str] | None = None) -> dict[str, str]:
    """The document of a question."""
    text = f"A shelf holds {index + 3} boxes of {index % 7 + 2} pens. How many? $x = {index}\\cdot 2$"
    text = (hostile or {}).get(index, text)
    return {
        "question": text,
        "answer": str((index + 3) * (index % 7 + 2)),
        "subject": SUBJECTS[index % len(SUBJECTS)],
        "question_key": hashlib.sha256(text.encode()).hexdigest()[:16],
    }


def sha(text: str) -> str:
    """lm-eval's hash of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def outcomes(run: FakeRun) -> np.ndarray:
    """``[questions, n]`` 0/1: some questions are hard for everyone, so that runs go together."""
    hardness = np.random.default_rng(7).normal(size=run.questions)
    rng = np.random.default_rng(run.seed)
    chance = 1 / (1 + np.exp(-(np.log(run.skill / (1 - run.skill)) - hardness)))
    correct = rng.random((run.questions, run.n)) < chance[:, None]
    return np.repeat(correct[:, :1], run.n, axis=1) if run.deterministic else correct


def rows(
    run: FakeRun, correct: np.ndarray, texts: Mapping[tuple[int, int], str] | None = None
) -> list[dict[str, Any]]:
    """The lines of the samples file."""
    made = []
    for index in range(run.questions):
        doc = question(index)
        answers = []
        candidates = []
        for k in range(run.n):
            right = bool(correct[index, k])
            value = (
                doc["answer"] if right else str(int(doc["answer"]) + 1 + (0 if run.deterministic else k % 3))
            )
            text = f"We need $({index} + 3) \\times {index % 7 + 2} = \\frac{{{value}}}{{1}}$. "
            text += f"The answer is {value}."
            answers.append((texts or {}).get((index, k), text))
            candidates.append(
                {
                    "correct": right,
                    "extracted": value,
                    "status": "ok",
                    "heads": run.heads[k % len(run.heads)] if run.heads else None,
                    "tokens": 24 + k if run.facts else None,
                    "truncated": False if run.facts else None,
                    "weight": None,
                    "logprob": None,
                }
            )
        made.append(_row(run, index, doc, answers, candidates, correct[index]))
    return made


def _row(
    run: FakeRun,
    index: int,
    doc: dict[str, str],
    answers: list[str],
    candidates: list[dict[str, Any]],
    right: np.ndarray,
) -> dict[str, Any]:
    metrics: dict[str, Any] = {"candidates": candidates}
    for k in range(1, run.n + 1):
        metrics[f"pass@{k}"] = float(right[:k].any())
    dumped = json.dumps(doc, indent=2, ensure_ascii=False)
    prompt = ("Think first. " if index < run.other_prompts else "") + PROMPT + doc["question"]
    return {
        "doc_id": index,
        "doc": doc,
        "target": doc["answer"],
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": ["\n\n"], "do_sample": False}}},
        "resps": [answers],
        "filtered_resps": [answers],
        "filter": "none",
        "metrics": list(metrics),
        "doc_hash": sha(dumped),
        "prompt_hash": sha(prompt),
        "target_hash": sha(doc["answer"]),
        **metrics,
    }


def results(run: FakeRun, correct: np.ndarray) -> dict[str, Any]:
    """The results file."""
    reached = np.maximum.accumulate(correct, axis=1).mean(axis=0)
    figures: dict[str, Any] = {"alias": run.task}
    for k in range(1, run.n + 1):
        figures[f"pass@{k},none"] = float(reached[k - 1])
        figures[f"pass@{k}_stderr,none"] = "N/A"
    generation = {"until": ["\n\n"], "max_gen_toks": 256, "do_sample": False, **run.generation}
    return {
        "results": {run.task: figures},
        "group_subtasks": {run.task: []},
        "configs": {
            run.task: {"task": run.task, "repeats": run.n, "generation_kwargs": generation, "num_fewshot": 0}
        },
        "versions": {run.task: run.version},
        "n-shot": {run.task: run.num_fewshot},
        "higher_is_better": {run.task: {f"pass@{k}": True for k in range(1, run.n + 1)}},
        "n-samples": {run.task: {"original": 1319, "effective": run.questions}},
        "config": {
            "model": run.model,
            "model_args": run.args,
            **run.info,
            "batch_size": 8,
            "device": "cpu",
            "limit": run.limit,
            "gen_kwargs": None,
            "random_seed": 0,
            "numpy_seed": 1234,
            "torch_seed": 1234,
            "fewshot_seed": 1234,
        },
        "git_hash": None,
        "date": run.date,
        "chat_template_sha": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "total_evaluation_time_seconds": str(60 + 10 * run.skill),
        **run.extra,
    }


def stamp(date: float) -> str:
    """The time as lm-eval puts it into file names."""
    from datetime import datetime, timezone

    return datetime.fromtimestamp(date, tz=timezone.utc).replace(tzinfo=None).isoformat().replace(":", "-")


def write_run(
    folder: Path, run: FakeRun, texts: Mapping[tuple[int, int], str] | None = None, samples: bool = True
) -> Path:
    """Write a run as lm-eval would; returns the results file."""
    correct = outcomes(run)
    folder.mkdir(parents=True, exist_ok=True)
    name = stamp(run.date)
    path = folder / f"results_{name}.json"
    path.write_text(json.dumps(results(run, correct), indent=2), encoding="utf-8")
    if samples:
        with (folder / f"samples_{run.task}_{name}.jsonl").open("w", encoding="utf-8") as handle:
            for row in rows(run, correct, texts):
                handle.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def five_methods(folder: Path, questions: int = 40, n: int = 4) -> list[Path]:
    """Greedy, sampling, random heads, one head pruned and routed heads on one task."""
    pool = [f"L{layer}H{head}" for layer in (5, 15) for head in range(n)]
    counters = {
        "decode_seconds": 41.5,
        "generated_tokens": 9_200,
        "forwards": 2_500,
        "peak_memory_bytes": 700 << 20,
    }

    def own(method: str, scale: float, **more: Any) -> dict[str, Any]:
        scaled = {key: value * scale for key, value in counters.items()}
        return {
            "method": method,
            "pool": pool,
            "model_num_parameters": 134_515_008,
            "counters": scaled,
            **more,
        }

    sampling = {"do_sample": True, "temperature": 0.6, "top_k": 40, "top_p": 0.95}
    base = "pretrained=org/tiny-model"
    runs = [
        FakeRun(
            skill=0.30, seed=1, facts=False, deterministic=True, info={"model_num_parameters": 134_515_008}
        ),
        FakeRun(
            skill=0.27, seed=2, facts=False, generation=sampling, info={"model_num_parameters": 134_515_008}
        ),
        FakeRun(
            "random-heads",
            f"{base},outcomes=runs/z",
            own("random-heads", 1.0),
            skill=0.34,
            seed=3,
            heads=pool,
        ),
        FakeRun(
            "pruned-head",
            f"{base},heads=L15H2",
            {**own("pruned-head", 0.3), "pool": ["L15H2"], "deterministic": True},
            skill=0.33,
            seed=4,
            heads=["L15H2"],
            deterministic=True,
        ),
        FakeRun(
            "sprint-router",
            f"{base},router=runs/router",
            own("sprint-router", 1.1),
            skill=0.45,
            seed=5,
            heads=pool,
        ),
    ]
    paths = []
    for index, run in enumerate(runs):
        run.questions, run.n, run.date = questions, n, run.date + 100 * index
        paths.append(write_run(folder / "org__tiny-model", run))
    return paths


def board_of(folder: Path, *runs: FakeRun) -> Board:
    """The board of these runs, each a second newer than the one before."""
    from sprint_eval.leaderboards.board import make_board

    for index, run in enumerate(runs):
        write_run(folder / str(index), replace(run, date=run.date + index))
    return make_board([folder])


def foreign(
    folder: Path,
    model: str,
    values: Sequence[float],
    filters: tuple[str, ...] = ("strict", "flexible"),
    metric: str = "exact_match",
    lower: bool = False,
) -> None:
    """A run of a task that knows nothing of candidates: one metric, a row a document and filter."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, figures = [], {}
    for name in filters:
        figures[f"{metric},{name}"] = sum(values) / len(values)
        figures[f"{metric}_stderr,{name}"] = 0.1
        for index, value in enumerate(values):
            lines.append(
                {
                    "doc_id": index,
                    "doc": {"question": f"{index}?", "answer": f"so #### {index}"},
                    "target": f"so #### {index}",
                    "arguments": {"gen_args_0": {"arg_0": f"{index}?", "arg_1": {}}},
                    "resps": [[f"it is {index}"]],
                    "filtered_resps": [str(index)],
                    "filter": name,
                    "metrics": [metric],
                    "doc_hash": sha(str(index)),
                    metric: float(value),
                }
            )
    record = {
        "results": {"gsm8k": {"alias": "gsm8k", **figures}},
        "configs": {
            "gsm8k": {"repeats": 1, "generation_kwargs": {"do_sample": False}, "dataset_path": "openai/gsm8k"}
        },
        "versions": {"gsm8k": 3.0},
        "n-shot": {"gsm8k": 5},
        "higher_is_better": {"gsm8k": {metric: not lower}},
        "n-samples": {"gsm8k": {"original": 1319, "effective": len(values)}},
        "config": {"model": "hf", "model_args": f"pretrained=org/{model}"},
        "date": 1.76e9,
        "total_evaluation_time_seconds": "12.5",
    }
    (folder / "results_2026-01-01T00-00-00.000001.json").write_text(json.dumps(record), encoding="utf-8")
    text = "\n".join(map(json.dumps, lines))
    (folder / "samples_gsm8k_2026-01-01T00-00-00.000001.jsonl").write_text(text, encoding="utf-8")
