"""Which heads go, when, and how they are really removed (DPKD, arXiv 2511.17577)."""

from sprint_eval.pruning.checkpoint import load_pruned, save_pruned
from sprint_eval.pruning.dense import export_dense
from sprint_eval.pruning.surgery import cut

__all__ = ["cut", "export_dense", "load_pruned", "save_pruned"]
