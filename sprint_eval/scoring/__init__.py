"""Scores of answers that need no gold: what ``best@k`` chooses by."""

from sprint_eval.scoring.base import Answer, Scorer
from sprint_eval.scoring.base_logprob import BaseLogprob
from sprint_eval.scoring.reward import RewardModel

__all__ = ["Answer", "BaseLogprob", "RewardModel", "Scorer"]
