"""Read one ``results_<time>.json`` into a :class:`RunHeader` a task, trusting nothing in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sprint_eval.errors import DataError
from sprint_eval.leaderboards.discover import Found, stamp_of
from sprint_eval.leaderboards.fields import (
    clean,
    count_or_none,
    mapping,
    masked,
    number,
    number_or_none,
    text_or_none,
)
from sprint_eval.leaderboards.records import Problem, RunHeader

# A results file holds configuration and a handful of numbers a task; this is far beyond any real one.
MAX_BYTES = 512 * 2**20


def read_results(path: Path, found: Found) -> tuple[list[RunHeader], list[Problem]]:
    """The tasks of one results file, and those of its tasks that are malformed.

    Raises:
        DataError: the file is not a results file of lm-eval, or is damaged as a whole.
    """
    record = _load(path)
    if "results" not in record or "configs" not in record:
        raise DataError("no results of lm-eval (no 'results' and 'configs' in it)")
    results = mapping(record["results"], "results")
    configs = mapping(record["configs"], "configs")
    tasks = [name for name in results if name in configs]
    if not tasks:
        raise DataError("it names no task that was run")
    headers: list[RunHeader] = []
    problems: list[Problem] = []
    for task in tasks:
        try:
            headers.append(_header(path, record, task, len(tasks), found))
        except DataError as error:
            problems.append(Problem(path, f"task {clean(task)}: {error}"))
    return headers, problems


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"over {MAX_BYTES >> 20} MiB, too large for a results file")
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})") from None
    except RecursionError:
        raise DataError("not JSON that can be read (nested too deeply)") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"not JSON, or cut short ({error})") from None
    if not isinstance(record, dict):
        raise DataError(f"holds a {type(record).__name__}, not the object that lm-eval writes")
    return record


def _header(path: Path, record: dict[str, Any], task: str, tasks: int, found: Found) -> RunHeader:
    config = mapping(record.get("config"), "config")
    settings = mapping(mapping(record["configs"], "configs")[task], f"configs.{task}")
    metrics, stderrs = _metrics(mapping(mapping(record["results"], "results")[task], f"results.{task}"))
    stamp = stamp_of(path) or ""
    samples = found.samples.get((path.parent, _sanitized(task), stamp))
    higher = mapping(
        mapping(record.get("higher_is_better"), "higher_is_better").get(task), "higher_is_better"
    )
    counts = mapping(mapping(record.get("n-samples"), "n-samples").get(task), f"n-samples.{task}")
    shots = mapping(record.get("n-shot"), "n-shot").get(task)
    model = text_or_none(config.get("model"), "config.model") or text_or_none(
        record.get("model_source"), "model_source"
    )
    if not model:
        raise DataError("the run does not say which model it is of (config.model)")
    return RunHeader(
        path=path,
        samples_path=samples,
        stamp=stamp,
        date=number_or_none(record.get("date"), "date") or 0.0,
        task=clean(task),
        version=clean(str(mapping(record.get("versions"), "versions").get(task, "")))[:200],
        model=model,
        model_args=model_args(config.get("model_args")),
        info=_info(config),
        generation=mapping(settings.get("generation_kwargs"), "generation_kwargs"),
        repeats=max(1, count_or_none(settings.get("repeats"), "repeats") or 1),
        num_fewshot=count_or_none(shots if shots is not None else settings.get("num_fewshot"), "n-shot"),
        limit=number_or_none(config.get("limit"), "config.limit"),
        questions=count_or_none(counts.get("effective"), "n-samples.effective"),
        chat_template=text_or_none(record.get("chat_template_sha"), "chat_template_sha"),
        system_prompt=text_or_none(record.get("system_instruction_sha"), "system_instruction_sha"),
        multiturn=bool(record.get("fewshot_as_multiturn")),
        seeds=tuple(
            _scalar(config.get(name)) for name in ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
        ),
        metrics=metrics,
        stderrs=stderrs,
        lower_is_better=frozenset(clean(name) for name, better in higher.items() if better is False),
        total_seconds=_seconds(record.get("total_evaluation_time_seconds")),
        tasks_in_run=tasks,
        dataset=_dataset(settings),
        grader=_own(settings, "grader_version"),
        harness=text_or_none(record.get("lm_eval_version"), "lm_eval_version"),
    )


def _metrics(values: dict[str, Any]) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """lm-eval's ``"metric,filter"`` keys, split; what is not a number (``alias``, "N/A") is left out."""
    metrics: dict[tuple[str, str], float] = {}
    stderrs: dict[tuple[str, str], float] = {}
    for key, value in values.items():
        name, comma, filtered = clean(key).partition(",")
        if not comma or isinstance(value, (str, list, dict, bool)) or value is None:
            continue
        target, name = (stderrs, name[: -len("_stderr")]) if name.endswith("_stderr") else (metrics, name)
        target[(name, filtered)] = number(value, f"results.{key}")
    return metrics, stderrs


def model_args(value: object) -> dict[str, str]:
    """``model_args`` as a mapping: lm-eval keeps the string of the command line, or a mapping.

    Values under names that look like credentials are masked.
    """
    pairs: dict[str, str] = {}
    if isinstance(value, dict):
        pairs = {clean(str(key)): clean(str(item)) for key, item in value.items()}
    elif isinstance(value, str):
        for part in clean(value).split(","):
            key, _, item = part.partition("=")
            if key.strip():
                pairs[key.strip()] = item.strip()
    elif value is not None:
        raise DataError("config.model_args is neither a text nor an object")
    return {key: masked(key, item) for key, item in pairs.items()}


def _info(config: dict[str, Any]) -> dict[str, Any]:
    """What the model said of itself; the harness's own keys are left out."""
    own = {"model", "model_args", "batch_size", "batch_sizes", "device", "use_cache", "limit"}
    own |= {"bootstrap_iters", "gen_kwargs", "random_seed", "numpy_seed", "torch_seed", "fewshot_seed"}
    return {clean(key): value for key, value in config.items() if key not in own}


def _scalar(value: object) -> object:
    return value if isinstance(value, (int, str, type(None))) else str(value)


def _seconds(value: object) -> float | None:
    """lm-eval writes the total time as a text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    seconds = number_or_none(value, "total_evaluation_time_seconds")
    return seconds if seconds is None or seconds >= 0 else None


def _own(settings: dict[str, Any], name: str) -> str | None:
    """What one of our tasks says of itself in its metadata."""
    value = mapping(settings.get("metadata"), "metadata").get(name)
    return None if value is None else clean(str(value))[:80]


def _dataset(settings: dict[str, Any]) -> str | None:
    if _own(settings, "data_source") not in (None, "hub"):
        return None  # the same task on files of one's own is not the hub's data set
    path = settings.get("dataset_path")
    return clean(path) if isinstance(path, str) and path else None


def _sanitized(task: str) -> str:
    """The task's name as lm-eval puts it into a file name."""
    return re.sub(r"\W", "_", task)
