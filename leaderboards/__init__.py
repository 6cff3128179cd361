"""Leaderboards made from lm-eval results: read, compare, render. Needs no torch."""
