"""Verdicts and evidence -> words (English, Chinese), lines in a terminal, figures, pages. Nothing is measured here.

`terminal`, `progress` and what they import need neither torch nor numpy, so that an answer on disk shows at once.
"""
