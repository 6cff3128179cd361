"""Which heads go, when, and how they are really removed (DPKD, arXiv 2511.17577)."""
