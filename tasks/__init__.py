"""Pass@N tasks for lm-evaluation-harness: YAMLs and the few helpers they name."""
