"""A model that says what it is told to, and lm-eval's own evaluator around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from sprint_eval.tasks import task_files


class Scripted(LM):
    """Answers the k-th of a question's identical requests with ``say(doc, k)``."""

    def __init__(self, say: Callable[[dict, int], str]) -> None:
        super().__init__()
        self.say = say
        self.requests: list[Any] = []

    def generate_until(self, requests, disable_tqdm: bool = False) -> list[str]:
        self.requests = list(requests)
        seen: Counter[str] = Counter()
        answers = []
        for request in requests:
            key = request.doc["question"]
            answers.append(self.say(request.doc, seen[key]))
            seen[key] += 1
        return answers

    def loglikelihood(self, requests):
        raise NotImplementedError

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError


def evaluate(model: LM, name: str, data_dir: Path, **more: Any) -> dict[str, Any]:
    metadata = {"data_dir": str(data_dir), **more.pop("metadata", {})}
    manager = TaskManager(include_defaults=False, metadata=metadata)
    arguments = {"limit": 6, "bootstrap_iters": 0, **more}
    path = str(task_files()[name])
    return lm_eval.simple_evaluate(model=model, tasks=[path], task_manager=manager, **arguments)
