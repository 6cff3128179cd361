"""``sprint-eval sweep``: decode every question with every head set of a pool into an outcome store."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from sprint_eval.errors import ArgumentError

if TYPE_CHECKING:
    from sprint_eval.sweep import SweepConfig

HELP = "decode questions under every head set of a pool into an outcome store that resumes"
EXAMPLES = """\
examples:
  sprint-eval sweep --model smollm2-135m-instruct --task rg_math_pass_at_n_fewshot --layers 5/10 \\
      --limit 64 --out runs/z
  sprint-eval sweep --model Qwen/Qwen2.5-Math-1.5B-Instruct --task gsm8k_pass_at_n --apply-chat-template \\
      --pool '5/10/15/20/25:*' --limit 1500 --dtype bfloat16 --out runs/z-gsm8k --dry-run
  accelerate launch --num_processes 8 -m sprint_eval sweep --model ... --task ... --out /shared/z
  torchrun --nproc_per_node 2 -m sprint_eval sweep ...   # on CPUs, where accelerate starts one process

Killed at any moment, the same command goes on where it was, with any number of processes. Questions come
from the task's training split, so that a router never sees what it is tested on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    add = parser.add_argument
    add("--model", required=True, help="folder, hub name, or a short name of 'sprint-eval model --list'")
    add("--task", required=True, help="a task of sprint-eval, e.g. gsm8k_pass_at_n")
    add("--out", required=True, metavar="DIR", help="the store's folder; an unfinished one is resumed")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--layers", help="all heads of these layers, e.g. 5/10 or 5,10 (default: all layers)")
    which.add_argument("--pool", help="head sets, e.g. '5/10:*' or 'L5H0/L5H1+L6H2'")
    add("--draws", type=int, default=0, metavar="D", help="add D sampled answers of the base to the pool")
    add("--temperature", type=float, help="with --draws: how they are sampled (default: 0.6)")
    add("--top-k", type=int, metavar="K", help="with --draws: how they are sampled (default: 40)")
    add("--top-p", type=float, metavar="P", help="with --draws: how they are sampled (default: 0.95)")
    add("--limit", type=int, metavar="K", help="the first K questions of the split (default: all)")
    add("--split", default="train", choices=("train", "test"), help="questions to sweep (default: train)")
    add("--metadata", default="", help="the task's metadata: key=value,… or a JSON object")
    add("--num-fewshot", type=int, metavar="N", help="worked examples (default: the task's)")
    add("--apply-chat-template", nargs="?", const=True, default=False, metavar="NAME", help="as in lm_eval")
    add("--system-instruction", metavar="TEXT", help="as in lm_eval")
    add(
        "--fewshot-as-multiturn",
        action=argparse.BooleanOptionalAction,
        help="as in lm_eval: worked examples are turns (default: with --apply-chat-template)",
    )
    add("--gen-kwargs", default="", help="override the task's generation settings, e.g. max_gen_toks=512")
    add("--model-args", default="", help="further arguments of lm_eval's hf model: key=value,…")
    add("--dtype", default="auto", help="float32, bfloat16, … (default: the checkpoint's)")
    add("--device", help="cpu, cuda, cuda:1, … (default: this process's)")
    add("--batch-size", type=int, metavar="B", help="rows of a batch (default: the engine's choice)")
    add("--engine", default="sprint", help="who decodes: sprint (default), plain, vllm, openai")
    add(
        "--cells-at-once",
        type=int,
        default=512,
        metavar="C",
        help="answers between writes (default: 512)",
    )
    add("--dry-run", action="store_true", help="say cells, tokens, time and disk, and stop")
    add("--processes", type=int, metavar="P", help="with --dry-run: reckon with P processes")


def run(args: argparse.Namespace) -> int:
    """Run the sweep, or estimate it."""
    from sprint_eval.processes import start_processes_asked_for
    from sprint_eval.sweep import dry_run, run_sweep

    config = config_of(args)
    _check_processes(args)
    if args.dry_run:
        print("\n".join(dry_run(config, processes=args.processes).lines()))
        return 0
    start_processes_asked_for()
    result = run_sweep(config)
    outcomes = result.outcomes
    if result.missing:
        print(f"wrote {result.written} cells; {result.missing} are missing: other processes may be at work")
    else:
        rows, columns = outcomes.z.shape
        print(f"complete: {rows} questions x ({columns} head sets + base) in {args.out}")
        print(f"next: sprint-eval outcomes show {args.out}")
    return 0


def config_of(args: argparse.Namespace) -> SweepConfig:
    """What the arguments ask for.

    Raises:
        ArgumentError: a value that cannot be used, or settings of draws without draws.
    """
    from sprint_eval.sweep import SweepConfig

    settings = {"temperature": args.temperature, "top_k": args.top_k, "top_p": args.top_p}
    given = {name: value for name, value in settings.items() if value is not None}
    if given and not args.draws:
        option = "--" + next(iter(given)).replace("_", "-")
        raise ArgumentError(f"{option} is of sampled answers, of which there are none: add --draws D")
    return SweepConfig(
        model=args.model,
        task=args.task,
        out=args.out,
        layers=args.layers,
        pool=args.pool,
        draws=args.draws,
        limit=args.limit,
        split=args.split,
        metadata=key_values("--metadata", args.metadata),
        num_fewshot=args.num_fewshot,
        apply_chat_template=args.apply_chat_template,
        system_instruction=args.system_instruction,
        fewshot_as_multiturn=args.fewshot_as_multiturn,
        gen_kwargs=key_values("--gen-kwargs", args.gen_kwargs),
        model_args=key_values("--model-args", args.model_args),
        dtype=args.dtype,
        device=args.device,
        batch_size=args.batch_size,
        engine=args.engine,
        cells_at_once=args.cells_at_once,
        **given,
    )


def _check_processes(args: argparse.Namespace) -> None:
    if args.processes is None:
        return
    if not args.dry_run:
        raise ArgumentError(
            f"--processes {args.processes} is for the estimate of --dry-run and starts none; "
            f"start them by: torchrun --nproc_per_node {args.processes} -m sprint_eval sweep …"
        )
    if args.processes < 1:
        raise ArgumentError(f"--processes {args.processes}: expected 1 or more")


def key_values(option: str, text: str) -> dict[str, Any]:
    """``key=value,key=value`` as lm-eval reads it, or a JSON object.

    Raises:
        ArgumentError: names the option and what it holds.
    """
    if not text.strip():
        return {}
    try:
        if text.lstrip().startswith("{"):
            return dict(json.loads(text))
        from lm_eval.utils import simple_parse_args_string

        return dict(simple_parse_args_string(text))
    except (ValueError, TypeError, AttributeError):
        raise ArgumentError(f"{option} {text!r}: expected key=value,key=value or a JSON object") from None
