"""Layers put together into trunks: one file a model, and the file's name is the model's name.

Such a file has a `Spec` (what may be chosen), `build(spec, inventory)` and gives a module that maps a
`Batch` to `States`, with `width` (the D of its states) and `token_embedding`. It knows of no loss and no text.
"""
