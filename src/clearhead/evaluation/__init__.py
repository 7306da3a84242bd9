"""Numbers from trained or untrained modules: scores with every item kept, probes, and the statistics over them.

`metrics` scores held-out text; `probes` reads what a named submodule puts out and how outputs depend on inputs;
`design_effect` says how many independent tokens a batch is worth; `statistics` turns items or seeds into intervals.
Nothing here trains, claims or draws.
"""
