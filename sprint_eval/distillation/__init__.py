"""Training a pruned student from its teacher, round by round (DPKD, arXiv 2511.17577)."""

from sprint_eval.distillation.config import DistillConfig, PruneSettings, TrainSettings
from sprint_eval.distillation.data import TaskSource
from sprint_eval.distillation.run import DistillRequest, distill

__all__ = ["DistillConfig", "DistillRequest", "PruneSettings", "TaskSource", "TrainSettings", "distill"]
