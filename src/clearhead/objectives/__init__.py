"""What is asked of a trunk, and how wrong its answer is.

An objective is one file: `Spec` (what may be chosen), `build(spec, model, inventory)` (the head that it needs) and a
module with two methods. `ask(batch, generator)` hides what must be hidden and writes what is asked into `labels`
(-100 = not asked); `loss(states, batch)` gives a `Loss`, a sum and a count, with `each` in the order of `labels`: map
after map, asked token after asked token. It never learns on which trunk it stands.
"""
