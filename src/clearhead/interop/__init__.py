"""Other people's folders of weights <-> our models: an explicit map of names, and a sentence for all that does not fit.

No library of theirs is needed to read them.
"""
