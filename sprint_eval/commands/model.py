"""``sprint-eval model``: print the folder of a packaged model, converting it where needed."""

from __future__ import annotations

import argparse

HELP = "print the folder of a small packaged model that any loader can read"
EXAMPLES = """\
examples:
  sprint-eval model smollm2-135m-instruct
  sprint-eval model --list
  lm_eval --model hf --model_args pretrained=$(sprint-eval model smollm2-135m-instruct) --tasks gsm8k

The folder is made once, in $SPRINT_EVAL_CACHE or the user's cache, and found again later. The models of
sprint-eval also take the short name itself: --model_args pretrained=smollm2-135m-instruct
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", metavar="NAME", help="short name of a packaged model")
    which.add_argument("--list", action="store_true", help="list the packaged models and which are installed")


def run(args: argparse.Namespace) -> int:
    """Print one folder, or the table of known models."""
    from sprint_eval import models

    if not args.list:
        print(models.convert(models.packaged_model(args.name)))
        return 0
    width = max(map(len, models.PACKAGED))
    for model in models.PACKAGED.values():
        version = model.version()
        state = f"installed ({version})" if version else f"not installed: pip install {model.install}"
        print(f"{model.name:{width}}  {model.about}\n{'':{width}}  {state}")
    return 0
