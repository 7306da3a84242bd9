"""`nn.Module`s and functions that map a stream (N, D) to a stream (N, D): one idea a file, a menu at its foot.

Layers take plain values and each other, never a spec. Only attention, recurrence and per-position statistics fold the
stream by its layout. A new variant is a class and its line in the menu; the contract tests find it there.
"""
