"""The errors a user can meet, and the one place that turns them into a line and exit code 2."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Iterable, Iterator


class SprintError(Exception):
    """Base of every error this project raises on purpose.

    The message is one line: what was wrong, what was found, what to do.
    """


class HeadError(SprintError):
    """A head, head set or pool that cannot be read or does not fit the model."""


class UnsupportedModelError(SprintError):
    """An architecture, cache or setting that a method cannot work on."""


class ArgumentError(SprintError):
    """A command-line or ``model_args`` value that cannot be used."""


class MismatchError(SprintError):
    """Two things that must belong together (model, router, outcomes, task) and do not."""


class DataError(SprintError):
    """Questions, results or other input files that are missing, empty or malformed."""


class StoreError(SprintError):
    """An outcome store that cannot be read or written."""


class TrainingError(SprintError):
    """Training that has nothing to learn from, or that diverged."""


class GenerationError(SprintError):
    """Decoding that could not be finished."""


class CommandExit(SystemExit):
    """Exit code 2 after one line on standard error, also out of a stock ``lm_eval`` run.

    ``lm_eval`` lets exceptions of a model reach the user as a traceback; a ``SystemExit``
    passes through it untouched.
    """

    def __init__(self, message: str) -> None:
        super().__init__(2)
        self.message = message

    def __str__(self) -> str:
        return self.message


def one_line(text: object) -> str:
    """The text with every run of white space, line breaks included, as one space."""
    return " ".join(str(text).split())


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn a :class:`SprintError` into one line on standard error and exit code 2."""
    try:
        yield
    except SprintError as error:
        message = f"sprint-eval: error: {one_line(error)}"
        print(message, file=sys.stderr, flush=True)
        raise CommandExit(message) from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
