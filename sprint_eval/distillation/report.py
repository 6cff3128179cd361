"""The report of a run: what was removed, what it saves, and what it cost to train."""

from __future__ import annotations

import dataclasses
import os
import platform
from typing import TYPE_CHECKING, Any

from sprint_eval.files import read_json, write_atomic, write_json
from sprint_eval.pruning.cost import CONTEXTS, PREFILL, Cost, cost_of, head_share, reductions

if TYPE_CHECKING:
    from sprint_eval.distillation.rounds import Run
    from sprint_eval.distillation.run import DistillRequest

_PAPER = {"parameters": 18.7, "flops": 19.3, "speed": 27.5}  # DPKD, at 30 % of heads


def write_report(request: DistillRequest, run: Run, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Write ``report.json`` and ``report.md``."""
    from sprint_eval.pruning.checkpoint import load_pruned
    from sprint_eval.pruning.dense import export_dense

    if finished := _finished(request, run):
        return finished
    cut_model = load_pruned(run.folder.round(request.config.prune.rounds))
    if request.dense and not (run.folder.path / "dense").exists():
        export_dense(cut_model, run.folder.path / "dense", run.tokenizer)
    base, cut = cost_of(run.model), cost_of(cut_model)
    report: dict[str, Any] = {
        "schema_version": 1,
        "model": request.model,
        "task": request.source.task,
        "training_questions": len(run.texts),
        "held_out_questions": len(run.held_out),
        "settings": dataclasses.asdict(request.config),
        "teacher": run.folder.facts("teacher"),
        "rounds": rounds,
        "base": base.to_dict(),
        "student": cut.to_dict(),
        "reductions_percent": reductions(base, cut),
        "all_heads_percent": head_share(run.model),
        "paper_percent": _PAPER,
        "machine": machine(run.accelerator.device),
    }
    _write(run, report, base, cut)
    if request.speed:
        from sprint_eval.pruning.speed import SHAPES, fitting, measure

        run.model.to(run.accelerator.device)  # it may never have trained here
        shapes = fitting(run.model)
        points = measure(run.model, cut_model, shapes)
        report["speed"] = [point.to_dict() for point in points]
        report["speed_left_out"] = sorted({context for _, context in set(SHAPES) - set(shapes)})
        _write(run, report, base, cut)
    return report


def _write(run: Run, report: dict[str, Any], base: Cost, cut: Cost) -> None:
    write_json(run.folder.path / "report.json", report)
    write_atomic(run.folder.path / "report.md", markdown(report, base, cut))


def _finished(request: DistillRequest, run: Run) -> dict[str, Any] | None:
    """The report of a run that is over, if nothing more is asked for now than was then."""
    path = run.folder.path / "report.json"
    if not path.exists() or (request.dense and not (run.folder.path / "dense").exists()):
        return None
    report: dict[str, Any] = read_json(path, "the run's report")
    return report if "speed" in report or not request.speed else None


def machine(device: Any) -> dict[str, Any]:
    """Where figures were measured."""
    import torch

    gpu = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else None
    return {
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "torch": torch.__version__,
    }


def markdown(report: dict[str, Any], base: Cost, cut: Cost) -> str:
    """The report as text."""
    parts = [
        f"# Distilled and pruned: {report['model']} on {report['task']}",
        f"{report['training_questions']} training questions; perplexities on {report['held_out_questions']} "
        "questions that nothing was trained on.",
        "## Training",
        _training_table(report),
        "## What every round saves",
        "Percent less than the base model's figure of the same name.",
        _rounds_table(report, base),
        "## Cost",
        "Every percentage is of the base model's figure in the same line.",
        _cost_table(report, base, cut),
        _arithmetic(report),
    ]
    if "speed" in report:
        parts += ["## Speed", _speed_table(report)]
    facts = report["machine"]
    parts.append(
        f"Machine: {facts['platform']}, {facts['cpus']} CPUs, {facts['threads']} threads, "
        f"GPU {facts['gpu'] or 'none'}, torch {facts['torch']}."
    )
    return "\n\n".join(parts) + "\n"


def _training_table(report: dict[str, Any]) -> str:
    phases = ([report["teacher"]] if report["teacher"] else []) + report["rounds"]
    lines = [
        "| phase | heads gone | steps | tokens | seconds | PFLOPs | last loss | held-out perplexity |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for phase in phases:
        cost = phase.get("cost")
        gone = report["base"]["heads"] - cost["heads"] if cost else 0
        cells = [
            phase["phase"], gone, _number(phase.get("steps")), _number(phase.get("tokens")),
            _number(phase.get("seconds"), 0), f"{phase['flops'] / 1e15:.3g}",
            _number(phase.get("loss"), 3), _number(phase.get("held_out_perplexity"), 3),
        ]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    total = sum(phase["flops"] for phase in phases)
    if report["teacher"]:
        share = total / report["teacher"]["flops"]
        lines += ["", f"The whole run takes {share:.2f} times the operations of the fine-tuning alone."]
    return "\n".join(lines)


_SAVED = {
    "heads": "heads",
    "key/value heads": "key_value_heads",
    "parameters": "parameters",
    "attention parameters": "attention_parameters",
    f"FLOPs, prefill of {PREFILL}": f"prefill_flops@{PREFILL}",
    **{f"FLOPs, decoding at {c}": f"decode_flops@{c}" for c in CONTEXTS},
    "weights": "weight_bytes",
    f"KV cache, {CONTEXTS[-1]}": f"cache_bytes@{CONTEXTS[-1]}",
}


def _rounds_table(report: dict[str, Any], base: Cost) -> str:
    lines = ["| phase | " + " | ".join(_SAVED) + " |", "|---" * (len(_SAVED) + 1) + "|"]
    for phase in report["rounds"]:
        saved = reductions(base, Cost.from_dict(phase["cost"]))
        cells = [f"{saved[key]:.2f}" for key in _SAVED.values()]
        lines.append(f"| {phase['phase']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cost_table(report: dict[str, Any], base: Cost, cut: Cost) -> str:
    reduced = report["reductions_percent"]
    rows: list[tuple[str, float, float, str]] = [
        ("query heads", base.heads, cut.heads, "heads"),
        ("key/value heads", base.key_value_heads, cut.key_value_heads, "key_value_heads"),
        ("parameters, all", base.parameters, cut.parameters, "parameters"),
        (
            "parameters, attention only",
            base.attention_parameters,
            cut.attention_parameters,
            "attention_parameters",
        ),
        (
            f"FLOPs a token, prefill of {PREFILL}",
            base.prefill_flops,
            cut.prefill_flops,
            f"prefill_flops@{PREFILL}",
        ),
    ]
    for c in CONTEXTS:
        flops = (f"FLOPs a token, decoding at {c}", base.decode_flops[c], cut.decode_flops[c])
        rows.append((*flops, f"decode_flops@{c}"))
    rows.append(("bytes of weights", base.weight_bytes, cut.weight_bytes, "weight_bytes"))
    for c in CONTEXTS:
        cache = (f"bytes of KV cache, {c} tokens", base.cache_bytes[c], cut.cache_bytes[c])
        rows.append((*cache, f"cache_bytes@{c}"))
    lines = ["| | base | student | less by |", "|---|---|---|---|"]
    for name, before, after, key in rows:
        lines.append(f"| {name} | {before:,.0f} | {after:,.0f} | {reduced[key]:.2f} % |")
    return "\n".join(lines)


def _arithmetic(report: dict[str, Any]) -> str:
    ratio = report["settings"]["prune"]["ratio"]
    every = report["all_heads_percent"]
    share = every["parameters"]
    return (
        f"All {report['base']['heads']} query heads (rows of the query projections, columns of the output "
        f"projections) hold {share:.1f} % of this model's parameters, so that {ratio:.0%} of them can save "
        f"{ratio * share:.1f} %, and {ratio * every['decode_flops@1024']:.1f} % of the FLOPs of decoding at "
        "1,024 tokens; key/value heads that go with their last query head come on top. The paper's "
        f"{_PAPER['parameters']} % of parameters at 30 % of heads would need heads that hold "
        f"{_PAPER['parameters'] / 0.3:.1f} %: not of heads alone in a model of this shape."
    )


def _speed_table(report: dict[str, Any]) -> str:
    lines = [
        "Base and student in turn, in one process; a ratio above 1 means that the student is faster. "
        "In brackets a 95 % bootstrap interval of the median of paired ratios.",
        "",
        "| what | batch | context | base tokens/s | student tokens/s | speed ratio | pairs |",
        "|---|---|---|---|---|---|---|",
    ]
    for point in report["speed"]:
        rates = [point[f"{which}_tokens_per_second"] for which in ("base", "cut")]
        lines.append(
            f"| {point['what']} | {point['batch']} | {point['context']} | {rates[0]:,.1f} | {rates[1]:,.1f} "
            f"| {point['ratio']:.3f} ({point['low']:.3f} to {point['high']:.3f}) | {point['pairs']} |"
        )
    if contexts := report.get("speed_left_out"):
        left_out = " and ".join(f"{context:,}" for context in contexts)
        lines += ["", f"Not measured: contexts of {left_out} tokens, for which the model has no positions."]
    return "\n".join(lines)


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
