"""A candidate is a string that keeps its facts."""

from __future__ import annotations

import json
from copy import deepcopy
from multiprocessing.reduction import ForkingPickler

from sprint_eval.candidate import Candidate, CandidateFacts, facts_of

CANDIDATE = Candidate("The answer is 7.", CandidateFacts(heads="L1H2", tokens=6, truncated=False, weight=0.5))


def test_it_is_the_text_to_everyone_else() -> None:
    assert CANDIDATE == "The answer is 7."
    assert json.dumps([CANDIDATE]) == '["The answer is 7."]'
    assert facts_of("plain") == CandidateFacts()


def test_its_facts_survive_copies_and_processes() -> None:
    assert facts_of(deepcopy(CANDIDATE)) == CANDIDATE.facts
    import pickle

    assert facts_of(pickle.loads(bytes(ForkingPickler.dumps(CANDIDATE)))) == CANDIDATE.facts
