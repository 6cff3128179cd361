"""``sprint-eval train-router``: a router from the outcomes of a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = "train a router on a sweep's outcomes: which heads to prune for which question"
EXAMPLES = """\
examples:
  sprint-eval train-router runs/outcomes --out runs/router
  sprint-eval train-router runs/outcomes --out runs/router --selection coverage --seed 1

then:
  lm_eval --model sprint-router --model_args pretrained=MODEL,router=runs/router --tasks gsm8k_pass_at_n
"""

# Fields of RouterConfig that are options of the same name; their defaults stay there.
_OPTIONS = (
    ("dimension", int, "p, the width of the vectors that questions and heads share"),
    ("spread", float, "weight of the loss's second term, over all pairs of heads"),
    ("learning_rate", float, "of AdamW"),
    ("weight_decay", float, "of AdamW"),
    ("epochs", int, "full-batch steps at most"),
    ("patience", int, "steps without a better validation loss before training stops; 0 never stops"),
    (
        "validation_fraction",
        float,
        "part of the questions held back for early stopping, at most 0.5, rounded up; 0 for none",
    ),
    ("max_norm", float, "bound on the length of a head's vector"),
    ("seed", int, "of the start, the validation split and the folds"),
    ("folds", int, "of the cross-validation that chooses hyperparameters of coverage and mixed"),
    ("select_for", int, "largest N that this cross-validation looks at"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from sprint_eval.routing.config import SELECTIONS, RouterConfig

    defaults = RouterConfig()
    parser.add_argument(
        "outcomes", type=Path, metavar="OUTCOMES", help="folder that 'sprint-eval sweep' wrote"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the router's folder; one that is there is replaced",
    )
    parser.add_argument(
        "--selection",
        default=defaults.selection,
        metavar="RULE",
        help=f"rule that ranks heads unless selection= says otherwise: {', '.join(SELECTIONS)} "
        "(default: %(default)s; all are trained)",
    )
    parser.add_argument(
        "--embedder",
        default=None,
        metavar="NAME",
        help="a sentence-transformers model: name or folder (default: all-MiniLM-L6-v2)",
    )
    parser.add_argument(
        "--embedder-dtype",
        default="auto",
        metavar="DTYPE",
        help="what the embedder computes in, now and when the router routes: float32, bfloat16, or auto: "
        "bfloat16 where this processor multiplies in it (default: %(default)s)",
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="let cross-validation on these questions choose dimension, spread and learning rate",
    )
    for name, kind, text in _OPTIONS:
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=getattr(defaults, name),
            metavar="N" if kind is int else "X",
            help=f"{text} (default: %(default)s)",
        )


def run(args: argparse.Namespace) -> int:
    from sprint_eval.routing.config import RouterConfig

    options: dict[str, Any] = {name: getattr(args, name) for name, _, _ in _OPTIONS}
    config = RouterConfig(selection=args.selection, tune=args.tune, **options)

    from sprint_eval.outcomes import Outcomes
    from sprint_eval.outcomes.manifest import refuse_store
    from sprint_eval.routing import DEFAULT_EMBEDDER, SentenceEmbedder, train_router

    refuse_store(args.out)
    embedder = SentenceEmbedder(args.embedder or DEFAULT_EMBEDDER, dtype=args.embedder_dtype)
    router = train_router(Outcomes.load(args.outcomes), config, embedder)
    router.save(args.out)
    for line in _summary(router.card.counts, router.card.metrics, len(router.pool)):
        print(line)
    print(f"router: {args.out} (selection {config.selection}, {router.fingerprint})")
    return 0


def _summary(counts: Any, metrics: Any, candidates: int) -> list[str]:
    left_out = [f"{counts[name]} {name}" for name in ("repeated", "incomplete") if counts[name]]
    lines = [
        f"questions: {counts['used']} used of {counts['offered']}"
        + (f" (left out: {', '.join(left_out)})" if left_out else "")
        + f", {counts['solvable']} solved by at least one of {candidates} candidates"
    ]
    base = f"base {metrics['base_rate']:.3f}, " if metrics["base_rate"] is not None else ""
    lines.append(
        f"on these questions: {base}mean head {metrics['mean_head_rate']:.3f}, "
        f"best head {metrics['best_head_rate']:.3f}, any head {metrics['oracle_rate']:.3f}"
    )
    held = metrics["validation_loss"]
    lines.append(
        f"trained in {metrics['training_seconds']:.1f} s: "
        f"step {metrics['epoch']} of {metrics['epochs_run']}, loss {metrics['train_loss']:.4f}"
        + (f", validation {held:.4f}" if held is not None else "")
    )
    return lines
