"""What people do with a trained task: one file a job, from a file of examples to items, to metrics, to predictions.

A job has `prepare(data, text, ...)` (files -> items to train and score on, and the encoder that made them), `read`
(a file of examples), `measure` (a task's metrics on examples), `predict` (lines in, lines out) and an `Encoder`, which
is all that must be kept beside the weights: tokenizer, labels, features. It never trains.
"""
