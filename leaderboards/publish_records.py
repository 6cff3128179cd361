"""Records in the every_eval_ever format (schema 0.3.0): one JSON a run, one line a question.

The run's identity holds the method, so that methods on one checkpoint do not collide, and each
question keeps all N candidates.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprint_eval.files import write_json
from sprint_eval.leaderboards.answers import MAX_TEXT, cut, question_of, row_places, workers
from sprint_eval.leaderboards.board import Board, iso, score_name
from sprint_eval.leaderboards.fields import clean, masked
from sprint_eval.leaderboards.records import PASS
from sprint_eval.leaderboards.samples import candidate_texts, read_row
from sprint_eval.leaderboards.standing import Standing
from sprint_eval.prompt_facts import TOKEN_LIMITS

SCHEMA = "0.3.0"
_PARALLEL_ROWS = 20_000


@dataclass(frozen=True)
class _Rows:
    """What is needed to write one run's question lines in another process."""

    path: Path
    source: Path
    places: list[tuple[int, int]]
    keys: list[str]
    common: dict[str, Any]
    score: str
    candidates: int
    k: int
    lower: bool


def write_records(folder: Path, board: Board, instances: bool = True) -> int:
    """Write ``data/<task>/<developer>/<model>/<uuid>.json`` with ``<uuid>_samples.jsonl`` beside it.

    Args:
        instances: whether to write the question lines, which hold all texts.

    Returns:
        How many runs were written.
    """
    jobs = []
    count = 0
    for standing in board.standings:
        for index in range(len(standing.rows)):
            jobs.append(_write_run(folder, board, standing, index, instances))
            count += 1
    found = [job for job in jobs if job is not None]
    if sum(len(job.keys) for job in found) > _PARALLEL_ROWS and workers() > 1:
        with ProcessPoolExecutor(workers()) as pool:
            list(pool.map(_write_rows, found))
    else:
        for job in found:
            _write_rows(job)
    return count


def _write_run(folder: Path, board: Board, standing: Standing, index: int, instances: bool) -> _Rows | None:
    row, table = standing.rows[index], standing.table
    developer, model = _model_id(row.run.header.model_args.get("pretrained", ""), row.method.model)
    stamp = f"{row.run.header.date:.0f}"
    identity = f"{table.id}/{developer}/{model}/{row.method.id}/{row.candidates}/{stamp}"
    uuid = uuid_of(identity)
    place = Path("data") / _safe(table.task) / _safe(developer) / _safe(model)
    record = _record(board, standing, index, f"{developer}/{model}", identity, stamp)
    samples = place / f"{uuid}_samples.jsonl"
    has_rows = instances and row.run.sampled is not None and row.order is not None
    if has_rows:
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": samples.as_posix(),
            "total_rows": table.questions or 0,
        }
    write_json(folder / place / f"{uuid}.json", record)
    if not has_rows or row.run.sampled is None or row.order is None:
        return None
    k = table.k if row.deterministic else min(table.k, row.candidates)
    return _Rows(
        path=folder / samples,
        source=row.run.sampled.path,
        places=row_places(row),
        keys=list(table.keys or []),
        common={
            "schema_version": SCHEMA,
            "evaluation_id": identity,
            "model_id": f"{developer}/{model}",
            "evaluation_name": table.title,
            "evaluation_result_id": _result_id(identity, score_name(standing, standing.headline, k)),
        },
        score=table.score,
        candidates=row.candidates,
        k=k,
        lower=table.lower_is_better,
    )


def uuid_of(text: str) -> str:
    """A version-4-shaped UUID made from a hash: the same run has the same name in every build."""
    digits = list(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32])
    digits[12] = "4"
    digits[16] = "89ab"[int(digits[16], 16) % 4]
    text = "".join(digits)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _model_id(pretrained: str, name: str | None) -> tuple[str, str]:
    """Developer and model: of a hub name both, of a path only the last part."""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", pretrained) and not pretrained.startswith("."):
        developer, model = pretrained.split("/")
        return developer, model
    return "unknown", name or "unknown"


def _safe(name: str) -> str:
    """A name for a folder; cut, since a file system takes 255 bytes. The UUID tells files apart."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:120].strip(".") or "unknown"


def _result_id(identity: str, name: str) -> str:
    return f"{identity}#{name}"


def _record(
    board: Board, standing: Standing, index: int, model_id: str, identity: str, stamp: str
) -> dict[str, Any]:
    row = standing.rows[index]
    header = row.run.header
    record: dict[str, Any] = {
        "schema_version": SCHEMA,
        "evaluation_id": identity,
        "retrieved_timestamp": stamp,
        "source_metadata": {
            "source_name": "lm-evaluation-harness",
            "source_type": "evaluation_run" if row.run.sampled is not None else "documentation",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "lm_eval", "version": header.harness or "unknown"},
        "model_info": {
            "name": f"{row.method.model or 'unknown'} with {row.name}",
            "id": model_id,
            "inference_engine": {"name": header.model},
            "additional_details": {
                "deployment_type": "unknown",
                "model_availability": "unknown",
                "method": row.name,
                "method_id": row.method.id,
                **{f"method: {key}": value for key, value in row.method.details},
                **({"notes": "; ".join(row.notes)} if row.notes else {}),
            },
        },
        "evaluation_results": list(_results(board, standing, index, identity)),
    }
    if iso(header.date):
        record["evaluation_timestamp"] = iso(header.date)
    return record


def _results(board: Board, standing: Standing, index: int, identity: str) -> Iterator[dict[str, Any]]:
    table, header = standing.table, standing.rows[index].run.header
    for name, family in standing.families.items():
        for k in range(1, family.mean.shape[1] + 1):
            value = float(family.mean[index, k - 1])
            if math.isnan(value):
                continue
            label = score_name(standing, name, k)
            score: dict[str, Any] = {"score": value}
            low, high = float(family.low[index, k - 1]), float(family.high[index, k - 1])
            if not math.isnan(low):
                score["uncertainty"] = {
                    "confidence_interval": {
                        "lower": low,
                        "upper": high,
                        "confidence_level": 0.95,
                        "method": "percentile bootstrap over questions",
                    },
                    "num_samples": table.questions,
                    "num_bootstrap_samples": board.draws,
                }
            yield {
                "evaluation_result_id": _result_id(identity, label),
                "evaluation_name": table.title,
                "source_data": _source(header.dataset, table.task),
                "metric_config": _metric(label, k, table.lower_is_better, table.score == PASS),
                "score_details": score,
                "generation_config": _generation(header.generation, standing.rows[index].candidates),
            }


def _metric(label: str, k: int, lower: bool, bounded: bool) -> dict[str, Any]:
    config: dict[str, Any] = {"metric_name": label, "metric_parameters": {"k": k}, "lower_is_better": lower}
    if bounded:
        config |= {"score_type": "continuous", "min_score": 0, "max_score": 1, "metric_unit": "proportion"}
    return config


def _source(dataset: str | None, task: str) -> dict[str, Any]:
    if dataset and re.fullmatch(r"[\w.-]+/[\w.-]+", dataset):
        return {"dataset_name": task, "source_type": "hf_dataset", "hf_repo": dataset}
    return {"dataset_name": task, "source_type": "other"}


def _generation(settings: dict[str, Any], candidates: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, key in (("temperature", "temperature"), ("top_p", "top_p"), ("top_k", "top_k")):
        value = settings.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            arguments[name] = value
    limit = next((settings[name] for name in TOKEN_LIMITS if settings.get(name) is not None), None)
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1:
        arguments["max_tokens"] = limit
    rest = {key: value for key, value in settings.items() if key not in arguments}
    details = {key: clean(masked(key, str(value)))[:500] for key, value in rest.items()}
    return {"generation_args": arguments, "additional_details": details | {"candidates": str(candidates)}}


def _write_rows(job: _Rows) -> None:
    job.path.parent.mkdir(parents=True, exist_ok=True)
    with job.source.open("rb", buffering=0) as handle, job.path.open("w", encoding="utf-8") as target:
        for key, place in zip(job.keys, job.places, strict=True):
            row = read_row(handle, *place)
            target.write(json.dumps(_instance(job, key, row), ensure_ascii=False) + "\n")


def _instance(job: _Rows, key: str, row: dict[str, Any]) -> dict[str, Any]:
    """One question: text and gold, the N answers, what was extracted, and if one of the first k is right."""
    question = question_of(row)
    candidates = row.get("candidates") if job.score == PASS else None
    facts = candidates[: job.candidates] if isinstance(candidates, list) else []
    texts = [cut(text, MAX_TEXT) for text in candidate_texts(row)]
    texts = texts[: job.candidates] if facts else texts
    right = [bool(fields["correct"]) for fields in facts]
    value = row.get(job.score)
    score = float(any(right[: job.k])) if facts else float(value) if isinstance(value, (int, float)) else 0.0
    digest = hashlib.sha256((question["q"] + question["a"]).encode("utf-8", "replace")).hexdigest()
    metadata = {"subject": question["s"]} if question["s"] else {}
    if facts:
        metadata["correct"] = "".join("1" if flag else "0" for flag in right)
        metadata["heads pruned"] = " ".join(str(fields.get("heads") or "-") for fields in facts)
    return {
        **job.common,
        "sample_id": key,
        "sample_hash": digest,
        "interaction_type": "single_turn",
        "input": {"raw": question["q"], "reference": [question["a"]]},
        "output": {"raw": texts},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": f"output.raw[{place}]",
                "extracted_value": cut(fields["extracted"], 400),
                "extraction_method": "the task's own grader",
                "is_terminal": True,
            }
            for place, fields in enumerate(facts)
            if isinstance(fields.get("extracted"), str)
        ],
        "evaluation": {"score": score, "is_correct": score == (0.0 if job.lower else 1.0)},
        "metadata": {name: clean(str(item))[:4_000] for name, item in metadata.items()},
    }
