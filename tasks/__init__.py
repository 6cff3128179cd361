"""Pass@N tasks for lm-evaluation-harness: YAMLs, and the few helpers they name.

>>> from sprint_eval.tasks import load_task
>>> task = load_task("rg_math_pass_at_n_fewshot", {"n": 4}, split="train")
"""

from sprint_eval.tasks.loading import load_task, set_num_fewshot, task_files

__all__ = ["load_task", "set_num_fewshot", "task_files"]
