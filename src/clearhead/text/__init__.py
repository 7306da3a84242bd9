"""From raw text to token ids, and back: corpora, splits, tokenizers, tokenized text, and synthetic languages.

A text is read as a stream and checked while it is read; what trains and what validates is parted before a tokenizer
is trained, and by whole stretches of text. No torch, no masks, no padding here.
"""
