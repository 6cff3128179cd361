"""Speed of a model with heads cut out against the same model whole, and FLOPs against the formula.

    python benchmarks/pruned_speed.py --ratio 0.3 --out docs/results/pruned-speed
    python benchmarks/pruned_speed.py --ratio 0.3 --quantize int8 --out docs/results/pruned-speed-int8

Both models run in turn in one process on the same random tokens; a ratio above 1 means that the cut model is
faster. Heads are chosen by a seed, uneven key/value groups included; weights do not matter to speed.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sprint_eval.architectures import attention_layout
from sprint_eval.distillation.report import machine
from sprint_eval.files import write_json
from sprint_eval.heads import HeadSet
from sprint_eval.models import resolve_model_path
from sprint_eval.pruning.checkpoint import load_pruned
from sprint_eval.pruning.cost import cost_of, reductions
from sprint_eval.pruning.quantize import quantize_linear, stored_bytes
from sprint_eval.pruning.schedule import lowest_heads, pruned_count
from sprint_eval.pruning.speed import SHAPES, SpeedPoint, measure
from sprint_eval.pruning.surgery import cut


def main() -> None:
    """Measure and write ``speed.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument(
        "--student", help="a folder of 'sprint-eval distill', in place of heads chosen by a seed"
    )
    parser.add_argument("--ratio", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--quantize", choices=("int8",), help="the cut model with int8 linear layers")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--budget", type=float, default=90.0, help="seconds a point")
    parser.add_argument("--shapes", default="", help="batch:context,… (default: 1 and 16 at 256 and 1,024)")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    base, small = load(args)
    before, after = cost_of(base), cost_of(small)
    groups = [getattr(layer, "kv_groups", ()) for layer in attention_layout(small).attentions]
    if args.quantize:
        small = quantize_linear(small)
    pairs = [text.partition(":") for text in args.shapes.split(",") if text]
    shapes = [(int(batch), int(context)) for batch, _, context in pairs] or list(SHAPES)
    points = measure(base, small, shapes, pairs=args.pairs, budget_seconds=args.budget, progress=show)
    write_json(
        Path(args.out) / "speed.json",
        {
            "arguments": vars(args),
            "machine": machine(base.device),
            "uneven_layers": sum(len(set(group)) > 1 for group in groups),
            "base": before.to_dict(),
            "cut": after.to_dict(),
            "reductions_percent": reductions(before, after),
            "stored_bytes": {"base": stored_bytes(base), "cut": stored_bytes(small)},
            "slowest_ratio": min(point.ratio for point in points),
            "points": [point.to_dict() for point in points],
        },
    )


def load(args: argparse.Namespace) -> tuple[Any, Any]:
    """The whole model and the cut one."""
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, args.dtype)
    base = AutoModelForCausalLM.from_pretrained(resolve_model_path(args.model), dtype=dtype).eval()
    if torch.cuda.is_available() and not args.quantize:  # int8 linear layers run on the CPU alone
        base = base.to("cuda")
    if args.student:
        return base, load_pruned(args.student, dtype=dtype).eval()
    layout = attention_layout(base).heads
    scores = np.random.default_rng(args.seed).random(layout.num_heads)
    heads: HeadSet = lowest_heads(scores, layout, pruned_count(args.ratio, layout.num_heads))
    return base, cut(copy.deepcopy(base), heads)


def show(point: SpeedPoint) -> None:
    """One line a point."""
    print(
        f"{point.what:8} batch {point.batch:3} context {point.context:5}: "
        f"base {point.base_tokens_per_second:9.1f}, cut {point.cut_tokens_per_second:9.1f} tokens/s, "
        f"ratio {point.ratio:.3f} ({point.low:.3f} to {point.high:.3f}), {point.pairs} pairs",
        flush=True,
    )


if __name__ == "__main__":
    main()
