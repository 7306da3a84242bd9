"""Questions: one file each, `q<nn>_<word>.py`, a declaration of what is measured, claimed, shown and said.

A file's docstring is its title, in English and in Chinese; its `QUESTION` is found by the folder's listing (`menu`).
Loops over seeds, statistics and drawing belong to other rooms.
"""
