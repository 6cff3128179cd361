"""What a comparison's runs would be refused for, looked at before the first of them starts.

The models check the same and more, each when its turn comes; by then others may have run for hours.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from sprint_eval.compare.methods import parse_method
from sprint_eval.compare.plan import Comparison
from sprint_eval.errors import DataError
from sprint_eval.prompt_facts import check_prompt_facts, prompt_facts
from sprint_eval.questions import count_known

_INSTEAD = "compare on others"
_SOME_TEMPLATE = "a template that only the model knows"


def check_inputs(comparison: Comparison) -> None:
    """Compare routers and outcomes with the prompts and questions of the tasks that they are for.

    Heads that ``cover`` and ``best`` choose reach the model as a mere list, so that here alone it is
    seen whether they were chosen on the test.

    Raises:
        MismatchError: other prompts than these, or the very questions, in a router's training or in the
            outcomes that heads are chosen by.
        ArgumentError, DataError: a task cannot be loaded.
    """
    specs = [parse_method(name) for name in comparison.methods]
    routed = any(spec.needs_router for spec in specs)
    chosen = any(spec.needs_outcomes and spec.kind != "oracle" for spec in specs)
    if not (routed or chosen):
        return
    for name in comparison.tasks:
        task = _load(name, comparison)
        if task is None:
            continue
        facts = _facts(task, comparison)
        keys = [str(doc["question_key"]) for doc in list(task.eval_docs)[: comparison.limit]]
        if routed:
            _check_routers(comparison, name, facts, keys)
        if chosen:
            _check_outcomes(comparison, name, facts, keys)


def _load(name: str, comparison: Comparison) -> Any:
    """The task as lm_eval will load it; ``None`` for one that is not ours, whose documents are unknown."""
    from lm_eval.utils import simple_parse_args_string

    from sprint_eval.tasks import load_task, set_num_fewshot, task_files

    if name not in task_files():
        return None
    pairs = ",".join(f"{key}={value}" for key, value in comparison.metadata.items())
    metadata = dict(simple_parse_args_string(pairs))
    task = load_task(name, metadata, split=str(metadata.get("split", "test")))
    set_num_fewshot(task, _options(comparison.extra).num_fewshot)
    return task


def _facts(task: Any, comparison: Comparison) -> dict[str, Any]:
    """The prompts' format, as the command and the model's tokenizer decide it."""
    options = _options(comparison.extra)
    chat = options.apply_chat_template
    multiturn = bool(chat if options.fewshot_as_multiturn is None else options.fewshot_as_multiturn)
    told = prompt_facts(int(task.get_config("num_fewshot") or 0), options.system_instruction, multiturn)
    return {**told, "chat_template": _template(comparison, chat)}


def _template(comparison: Comparison, asked: bool | str) -> str | None:
    """The hash that a model gives of its chat template; ``None`` where none is applied."""
    if not asked:
        return None
    from lm_eval.api.model import TemplateLM

    from sprint_eval.export.loading import load_tokenizer
    from sprint_eval.outcomes.manifest import text_hash

    given = comparison.model_args
    if "revision" in given:
        return _SOME_TEMPLATE
    trusted = given.get("trust_remote_code", "").lower() == "true"
    try:
        tokenizer = load_tokenizer(given.get("tokenizer", comparison.model), trusted)
        # lm-eval's own choice among a tokenizer's templates, which asks its model for no more than that.
        template = TemplateLM.chat_template(SimpleNamespace(tokenizer=tokenizer), asked)
    except (DataError, ValueError):  # the model says better what is wrong with its tokenizer
        return _SOME_TEMPLATE
    return text_hash(template or "")


def _check_format(made: Mapping[str, Any], facts: dict[str, Any], whose: str, instead: str) -> None:
    if facts["chat_template"] == _SOME_TEMPLATE and made.get("chat_template") is not None:
        facts = {name: fact for name, fact in facts.items() if name != "chat_template"}
    check_prompt_facts(made, facts, whose, instead)


def _yes(text: str) -> bool:
    """A truth value as lm_eval reads it."""
    return text.lower() in ("true", "1", "yes")


def _options(extra: Sequence[str]) -> argparse.Namespace:
    """lm_eval's options that decide prompts, among its further arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--num_fewshot", "-f", type=int)
    parser.add_argument("--system_instruction")
    parser.add_argument("--apply_chat_template", nargs="?", const=True, default=False)
    parser.add_argument("--fewshot_as_multiturn", nargs="?", const=True, type=_yes)
    try:
        return parser.parse_known_args(list(extra))[0]
    except argparse.ArgumentError:  # lm_eval says better what is wrong with its own options
        return parser.parse_args([])


def _check_routers(comparison: Comparison, task: str, facts: dict[str, Any], keys: Sequence[str]) -> None:
    from sprint_eval.routing import Router

    for folder in comparison.routers.get(task, comparison.routers.get("", ())):
        card = Router.load(folder).card
        trained = f"the router {folder} was trained on"
        _check_format(card.prompt_format, facts, trained, "train a router on this one")
        where = f"in the training of the router {folder}"
        count_known(keys, card.question_keys, where, allow=False, instead=_INSTEAD)


def _check_outcomes(comparison: Comparison, task: str, facts: dict[str, Any], keys: Sequence[str]) -> None:
    from sprint_eval.outcomes import Outcomes

    folder = comparison.outcomes.get(task, comparison.outcomes.get(""))
    if folder is None:
        return
    outcomes = Outcomes.load(folder)
    made = f"the outcomes in {folder} are of"
    _check_format(outcomes.manifest.prompt_format, facts, made, "sweep this one")
    known = {question.key for question in outcomes.questions}
    where = f"in the outcomes {folder} that choose the heads"
    count_known(keys, known, where, allow=False, instead=_INSTEAD)
