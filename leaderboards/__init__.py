"""Leaderboards: lm-eval result folders in, tables, statistics and a site out; no torch needed.

The stages, one module each: :mod:`discover` finds files, :mod:`results_file` and :mod:`samples`
read them, :mod:`methods` names what ran, :mod:`tables` puts comparable runs side by side,
:mod:`scores` and :mod:`statistics` say who wins and by how much, and the rest writes it down.
"""
