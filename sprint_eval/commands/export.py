"""``sprint-eval export``: head sets as LoRA adapters, or one pruned head set as a plain checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sprint_eval.commands import examples_of

HELP = "write head sets as LoRA adapters for any engine, or one as a plain checkpoint"
EXAMPLES = """\
examples:
  sprint-eval export heads --model Qwen/Qwen2.5-Math-1.5B-Instruct --pool '5/10/15/20/25:*' --out adapters
  sprint-eval export heads --model smollm2-135m-instruct --pool 15:0-3 --out adapters --dry-run
  sprint-eval export dense --model smollm2-135m-instruct --heads L15H0+L15H3 --out pruned
  sprint-eval export dense --model runs/distilled/student --out student-dense

An adapter folder goes to vLLM (--lora-modules L15H0=adapters/L15H0), to SGLang or to peft:
see docs/serving.md. Run the first command again with a wider pool to add adapters.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="{heads,dense}")

    def add(kind: str, text: str) -> argparse.ArgumentParser:
        return kinds.add_parser(
            kind,
            help=text,
            description=text,
            epilog=examples_of(EXAMPLES, f"export {kind}"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    heads = add("heads", "one LoRA adapter a head set")
    heads.add_argument("--pool", required=True, help="head sets, e.g. '5/10/15:*' or 'L5H0/L5H1+L6H2'")
    heads.add_argument(
        "--exact-rank", action="store_true", help="do not round ranks up to those that vLLM takes"
    )
    heads.add_argument("--dry-run", action="store_true", help="say sizes, write nothing")
    dense = add("dense", "one head set pruned for good")
    dense.add_argument(
        "--heads", help="the head set, e.g. 'L15H0+L15H3'; not needed where heads were cut out already"
    )
    for kind in (heads, dense):
        kind.add_argument("--model", required=True, help="folder, hub name, or a name of 'sprint-eval model'")
        kind.add_argument("--out", required=True, type=Path, help="folder to write")
        kind.add_argument("--dtype", default="auto", help="auto (default), float32, bfloat16, float16")
        kind.add_argument(
            "--trust-remote-code", action="store_true", help="run modeling code that comes with the model"
        )


def run(args: argparse.Namespace) -> int:
    """Load the model and write what was asked for."""
    from sprint_eval.errors import ArgumentError, did_you_mean
    from sprint_eval.export.loading import DTYPES, cut_out, load_model

    if args.dtype not in DTYPES:
        hint = did_you_mean(args.dtype, DTYPES)
        raise ArgumentError(f"--dtype {args.dtype} is unknown{hint}; known are: {', '.join(DTYPES)}")
    if args.kind == "heads" and cut_out(args.model, args.trust_remote_code):
        raise ArgumentError(
            f"heads were cut out of {args.model}, so serving engines cannot load it; write it as a plain "
            "checkpoint first (sprint-eval export dense) and export the heads of that"
        )
    model = load_model(args.model, args.dtype, args.trust_remote_code)
    return _heads(args, model) if args.kind == "heads" else _dense(args, model)


def _heads(args: argparse.Namespace, model: Any) -> int:
    from sprint_eval.architectures import attention_layout
    from sprint_eval.export import export_heads
    from sprint_eval.heads import HeadPool
    from sprint_eval.models import resolve_model_path
    from sprint_eval.outcomes.manifest import refuse_store

    refuse_store(args.out)
    pool = HeadPool.parse(args.pool, attention_layout(model).heads)
    report = export_heads(
        model,
        pool,
        args.out,
        model_name=resolve_model_path(args.model),
        pad=not args.exact_rank,
        dry_run=args.dry_run,
    )
    if not args.dry_run:
        print(f"{len(report.written)} written, {len(report.kept)} kept; manifest: {args.out / 'heads.json'}")
    return 0


def _dense(args: argparse.Namespace, model: Any) -> int:
    from sprint_eval.errors import ArgumentError
    from sprint_eval.export import export_dense
    from sprint_eval.export.loading import cut_out, load_tokenizer
    from sprint_eval.heads import HeadSet

    cut = cut_out(args.model, args.trust_remote_code)
    if args.heads is None and not cut:
        raise ArgumentError(f"no heads are cut out of {args.model}: say which to prune, --heads L15H0+L15H3")
    heads = HeadSet.parse(args.heads or "base")
    tokenizer = load_tokenizer(args.model, args.trust_remote_code)
    export_dense(model, tokenizer, heads, args.out, model_name=args.model)
    what = (f" without {heads}" if heads else "") + (", its cut heads as zeros" if cut else "")
    print(f"{args.out}: {args.model}{what}")
    return 0
