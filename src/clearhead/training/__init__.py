"""From a task and a stream of batches to trained weights, one yielded step at a time.

`fit` is a generator: whoever wants early stopping, logging, a probe every ten steps or a picture writes a `for` loop.
It alone divides a total by a count, over all parts of a step. There are no callbacks.
"""
