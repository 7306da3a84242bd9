"""Experiments: arms, doses and seeds in; evidence, claims and verdicts out. The room that puts all others together.

An `Experiment` is run cell by cell (`runner`, `fanout`), leaves rows in `Evidence`, and `Claim`s written before the run
are judged on it (`verdict`). Here is no HTML, no argument parsing, and nothing about one question.
"""
