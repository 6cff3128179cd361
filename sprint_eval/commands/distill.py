"""``sprint-eval distill``: prune heads while distilling, round by round, and cut them out."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

HELP = "fine-tune a teacher on a task, prune and distil it round by round, cut the heads out"
EXAMPLES = """\
examples:
  sprint-eval distill --model smollm2-135m-instruct --task asdiv_pass_at_n_fewshot --num-fewshot 0 \\
      --ratio 0.3 --rounds 3 --out runs/asdiv-30
  lm_eval --model distilled-pruned --model_args pretrained=runs/asdiv-30/student \\
      --tasks asdiv_pass_at_n_fewshot --num_fewshot 0
  accelerate launch --num_processes 8 -m sprint_eval distill --model ... --mixed-precision bf16 ...

Give the evaluation the prompt options of the training (--num-fewshot, --apply-chat-template). Stopped at any
moment, the same command goes on where it was. The run's folder holds teacher/, round-1/ …, student/ (the last
round), a log a phase, report.json and report.md.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    add = parser.add_argument
    add("--model", required=True, help="folder, hub name, or a short name of 'sprint-eval model --list'")
    add("--task", required=True, help="a task of sprint-eval, e.g. asdiv_pass_at_n_fewshot")
    add("--out", required=True, metavar="DIR", help="the run's folder; an unfinished run in it goes on")
    _task_arguments(parser)
    _prune_arguments(parser)
    _training_arguments(parser)
    add("--no-speed", action="store_true", help="leave the speed measurements out of the report")
    add("--dense", action="store_true", help="write a dense zero-filled copy too, for any stock loader")
    add("--device", choices=("cpu",), help="cpu: leave a GPU alone (default: accelerate's choice)")


def _task_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--metadata", default="", help="the task's metadata: key=value,… or a JSON object")
    add("--num-fewshot", type=int, metavar="N", help="worked examples in the prompt (default: the task's)")
    add("--apply-chat-template", action="store_true", help="as the evaluation will")
    add(
        "--targets", default="steps", choices=("steps", "expression", "answer"), help="how answers are taught"
    )
    add("--limit", type=int, metavar="K", help="the first K training questions (default: all)")
    add("--max-tokens", type=int, default=1024, metavar="T", help="leave longer texts out (default: 1024)")


def _prune_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--ratio", type=float, help="share of heads to remove (default: 0.3)")
    add("--rounds", type=int, help="recursive rounds, of equal parts of the ratio (default: 3)")
    add(
        "--stages",
        metavar="R/R/…",
        help="in place of --ratio and --rounds: shares of heads gone after each round, as 0.1/0.2/0.3",
    )
    add("--power", type=float, default=3.0, help="n of the schedule (default: 3)")
    add(
        "--score",
        default="taylor",
        choices=("dpkd", "taylor", "causal"),
        help="what heads are chosen by: first order (taylor, the default), the paper's, or an outcome matrix",
    )
    add("--alpha", type=float, help="share of the weight norm in the dpkd score (default: 0.5)")
    add("--direction", choices=("focused", "diffuse"), help="which entropy dpkd keeps (default: focused)")
    add("--outcomes", metavar="DIR", help="an outcome store of all heads, for --score causal")
    add("--refresh-every", type=int, default=10, metavar="S", help="steps between scores (default: 10)")
    add("--calibration", type=int, default=64, metavar="K", help="texts scores are measured on (default: 64)")
    add("--allow-empty-layers", action="store_true", help="let layers lose all of their heads")
    add(
        "--also",
        choices=("ffn",),
        help="ffn: remove feed-forward neurons too, to the paper's share of parameters",
    )
    add("--ffn-ratio", type=float, default=0.0, help="with --also ffn: this share of neurons")


def _training_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--teacher", metavar="DIR", help="a model taught already, in place of fine-tuning")
    add("--no-training", action="store_true", help="prune only: students are not trained")
    add("--teacher-epochs", type=int, default=3, help="epochs of the fine-tuning (default: 3)")
    add("--epochs", type=int, default=1, help="epochs of each round (default: 1)")
    add("--lr", type=float, default=3e-5, help="peak learning rate of the rounds (default: 3e-5)")
    add("--teacher-lr", type=float, default=1e-4, help="of the teacher's fine-tuning (default: 1e-4)")
    add(
        "--batch-size",
        type=int,
        default=16,
        metavar="B",
        help="texts a step, over all processes (default: 16)",
    )
    add(
        "--accumulate", type=int, default=1, metavar="M", help="micro-batches a step and process (default: 1)"
    )
    add("--distill-weight", type=float, default=1.0, metavar="L1", help="lambda 1 (default: 1)")
    add("--task-weight", type=float, default=1.0, metavar="L2", help="lambda 2 (default: 1)")
    add("--attention-weight", type=float, default=1.0, help="of the attention term (default: 1; 0: spare it)")
    add("--temperature", type=float, default=2.0, help="tau (default: 2)")
    add("--mixed-precision", default="no", choices=("no", "bf16", "fp16"), help="default: no")
    add("--seed", type=int, default=0, help="of the order of texts (default: 0)")
    add(
        "--save-every",
        type=int,
        default=0,
        metavar="S",
        help="steps between checkpoints (default: an epoch or 100)",
    )


def run(args: argparse.Namespace) -> int:
    """Run it, and say what to do next."""
    from sprint_eval.distillation.run import distill
    from sprint_eval.processes import start_processes_asked_for

    request = request_of(args)
    start_processes_asked_for()
    report = distill(request)
    if report:
        reduced = report["reductions_percent"]
        print(
            f"removed {reduced['heads']:.1f} % of heads, {reduced['parameters']:.1f} % of all parameters; "
            f"student in {args.out}/student, report in {args.out}/report.md"
        )
        print(f"next: {_evaluation(args)}")
    return 0


def _evaluation(args: argparse.Namespace) -> str:
    """The command that evaluates the student on prompts of the format that it was trained on."""
    command = ["lm_eval", "--model", "distilled-pruned", "--model_args", f"pretrained={args.out}/student"]
    command += ["--tasks", args.task]
    if args.num_fewshot is not None:
        command += ["--num_fewshot", str(args.num_fewshot)]
    if args.metadata:
        command += ["--metadata", args.metadata]
    if args.apply_chat_template:
        command += ["--apply_chat_template"]
    return shlex.join(command)


def _dpkd(args: argparse.Namespace) -> dict[str, Any]:
    """α and the direction, where they are given.

    Raises:
        ArgumentError: they are, and nothing would be scored by them.
    """
    from sprint_eval.errors import ArgumentError

    given = {name: getattr(args, name) for name in ("alpha", "direction") if getattr(args, name) is not None}
    if given and args.score == "taylor":
        raise ArgumentError(f"--{next(iter(given))} shapes the dpkd score alone; add --score dpkd")
    if given and args.score == "causal" and args.also != "ffn":
        raise ArgumentError(
            f"--{next(iter(given))} shapes the dpkd score alone, by which --score causal takes neurons; add "
            "--score dpkd or --also ffn"
        )
    return given


def _stages(args: argparse.Namespace) -> dict[str, Any]:
    """Ratio, rounds and stages of the pruning.

    Raises:
        ArgumentError: stages that are no numbers, or beside a ratio or rounds.
    """
    from sprint_eval.errors import ArgumentError

    if args.stages is None:
        ratio = 0.3 if args.ratio is None else args.ratio
        return {"ratio": ratio, "rounds": 3 if args.rounds is None else args.rounds}
    if args.ratio is not None or args.rounds is not None:
        raise ArgumentError(
            "--stages says how much is removed in which round: leave out --ratio and --rounds"
        )
    try:
        stages = tuple(float(part) for part in args.stages.split("/"))
    except ValueError:
        raise ArgumentError(f"--stages {args.stages}: expected shares such as 0.1/0.2/0.3") from None
    return {"ratio": stages[-1], "rounds": len(stages), "stages": stages}


def request_of(args: argparse.Namespace) -> Any:
    """The library's request for these arguments.

    Raises:
        ArgumentError: a value that cannot be used.
    """
    from dataclasses import replace

    from sprint_eval.commands.sweep import key_values
    from sprint_eval.distillation.config import DistillConfig, PruneSettings, TrainSettings
    from sprint_eval.distillation.data import TaskSource
    from sprint_eval.distillation.run import DistillRequest

    training = TrainSettings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        accumulate=args.accumulate,
        lr=args.lr,
        distill_weight=args.distill_weight,
        task_weight=args.task_weight,
        attention_weight=args.attention_weight,
        temperature=args.temperature,
        mixed_precision=args.mixed_precision,
        seed=args.seed,
        save_every=args.save_every,
    )
    prune = PruneSettings(
        **_stages(args),
        power=args.power,
        score=args.score,
        **_dpkd(args),
        refresh_every=args.refresh_every,
        calibration=args.calibration,
        floor=0 if args.allow_empty_layers else 1,
        ffn_ratio=args.ffn_ratio,
    )
    taught = replace(training, epochs=args.teacher_epochs, lr=args.teacher_lr)
    teach = None if args.teacher else taught
    source = TaskSource(
        task=args.task,
        metadata=key_values("--metadata", args.metadata),
        num_fewshot=args.num_fewshot,
        apply_chat_template=args.apply_chat_template,
        style=args.targets,
        max_tokens=args.max_tokens,
    )
    return DistillRequest(
        model=args.model,
        source=source,
        out=args.out,
        config=DistillConfig(teach, training, prune, train=not args.no_training),
        teacher=args.teacher,
        limit=args.limit,
        outcomes=args.outcomes,
        also_ffn=args.also == "ffn",
        speed=not args.no_speed,
        dense=args.dense,
        device=args.device,
    )
