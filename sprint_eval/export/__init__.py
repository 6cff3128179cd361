"""Head sets for engines that know nothing of heads: LoRA adapters, and plain dense checkpoints.

Pruning heads of a layer is a low-rank change of its output projection, ``W' = W + B A``: A selects
the input columns of the heads (rows of the identity), B is minus those columns of W.
"""

from sprint_eval.export.adapters import AdapterPlan, adapter_name, plan_adapter, plan_adapters
from sprint_eval.export.dense import export_dense, write_dense
from sprint_eval.export.folder import ExportReport, export_heads, read_manifest
from sprint_eval.export.ranks import VLLM_RANKS, vllm_rank

__all__ = [
    "VLLM_RANKS",
    "AdapterPlan",
    "ExportReport",
    "adapter_name",
    "export_dense",
    "export_heads",
    "plan_adapter",
    "plan_adapters",
    "read_manifest",
    "vllm_rank",
    "write_dense",
]
