"""sprint-eval: attention-head pruning for lm-evaluation-harness.

Importing this package is cheap: nothing heavy is loaded before it is used.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
