"""From a task and a stream of batches to trained weights, one yielded step at a time.

`fit` is a generator: whoever wants early stopping, logging, a probe every ten steps or a picture writes a `for` loop.
There are no callbacks. A step is a draw (`draws`), the gradient of its mean loss (`gradients`, which alone divides a
total by a count, over all parts of a step) and a move (`optimizers`). What is done to inputs, losses and weights on
the way has a file each: `token_noise`, `mixup`, `r_drop`, `penalties`.
"""
