"""Token ids -> `Batch`: one flat stream of N tokens, and the `Layout` that says where its sequences lie.

Dense keeps pads in the stream, packed has none. Whoever needs sequences as rows folds the stream by the layout and
folds it back; nobody else can tell the two apart, and nobody compares ids with a pad id.
"""
