"""Training a pruned student from its teacher, round by round (DPKD, arXiv 2511.17577)."""
