"""`Chain`: the log-potentials of linear chains over a stream, what may be taken out, and what may not be in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.errors import InputError


@dataclass(frozen=True, eq=False)
class Chain:
    """Log-potentials of one linear chain per sequence of `layout`: a path y_1 ... y_T weighs
    exp(start[y_1] + sum_t emissions[t, y_t] + sum_{t>1} transition[y_{t-1}, y_t] + end[y_T]).

    `transition` is (K, K), [i, j] from i to j, or (N, K, K), the step into each token; that of a first token is not
    read. Nor is anything at a pad. A sequence of length 0 has one path, the empty one, which weighs 1.
    """

    emissions: Tensor  # (N, K)
    transition: Tensor  # (K, K) or (N, K, K)
    layout: Layout
    start: Tensor | None = None  # (K,)
    end: Tensor | None = None  # (K,)

    @property
    def dtype(self) -> torch.dtype:
        """That of what is computed: the emissions', float32 at least."""
        return torch.promote_types(self.emissions.dtype, torch.float32)


def keep(chain: Chain, kept: Tensor) -> Chain:
    """The chain of the steps that are `kept` (N,) alone, packed: the others are taken out, as if never written.

    A hole joins its neighbours: the step into the token behind it comes from the last kept one. A sequence of which
    nothing is kept stays, with length 0: log Z and score are 0, and no path is written. What goes with the tokens goes
    along as `tags[kept & layout.real]`. (A label that is unknown is another thing: see `allow`.)
    """
    kept = kept & chain.layout.real
    lengths = torch.zeros_like(chain.layout.lengths)
    lengths = lengths.index_add(0, chain.layout.sequence_ids, kept.to(lengths.dtype))
    layout = Layout(lengths, max(lengths.tolist(), default=0), packed=True)
    transition = chain.transition[kept] if chain.transition.dim() == 3 else chain.transition
    return replace(chain, emissions=chain.emissions[kept], transition=transition, layout=layout)


def allow(chain: Chain, allowed: Tensor) -> Chain:
    """The chain with only the `allowed` (N, K) labels possible: one a token where the label is known, all where not.

    log Z of this chain less that of `chain` is log p(what is known) (partial labels; Täckström et al. 2013).
    """
    return replace(chain, emissions=chain.emissions.masked_fill(~allowed, -torch.inf))


def packed_layout(chain: Chain) -> Layout:
    """The layout of the stream without pads."""
    if chain.layout.packed:
        return chain.layout
    return Layout(chain.layout.lengths, chain.layout.longest, packed=True)


def ends(layout: Layout) -> tuple[Tensor, Tensor]:
    """The places (b,) of the first and of the last tokens in a packed stream, of the sequences that have any."""
    some = layout.lengths > 0
    after = layout.lengths.cumsum(0)[some]
    return after - layout.lengths[some], after - 1


def plain(chain: Chain) -> Chain:
    """The same chain without pads and with its start and end weights in the first and last emissions, in float64.

    Raises `InputError` for NaN and +inf.
    """
    refuse_infinite(chain)
    layout = packed_layout(chain)
    exact = torch.float32 if chain.emissions.device.type == "mps" else torch.float64
    emissions = chain.layout.take_real(chain.emissions).to(exact)
    for weights, places in zip((chain.start, chain.end), ends(layout), strict=True):
        if weights is not None:
            emissions = emissions.index_add(0, places, weights.to(exact).expand(len(places), -1))
    return Chain(emissions, real_transition(chain, layout).to(exact), layout)


def real_transition(chain: Chain, layout: Layout) -> Tensor:
    """(K, K) as it is; (N, K, K) without pads, and 0 at first tokens, where it is not read: (n, K, K)."""
    if chain.transition.dim() == 2:
        return chain.transition
    firsts, _ = ends(layout)
    return chain.layout.take_real(chain.transition).index_fill(0, firsts, 0.0)


@torch.no_grad()
def refuse_infinite(chain: Chain) -> None:
    """Raises `InputError` for NaN and +inf, with its sequence and position; -inf stands for what is impossible."""
    parts = [part for part in (chain.emissions, chain.transition, chain.start, chain.end) if part is not None]
    if all(float(part.sum()) < torch.inf for part in parts):  # the usual case, in one reading
        return
    layout = packed_layout(chain)
    steps, emissions = real_transition(chain, layout), chain.layout.take_real(chain.emissions)
    for name, part in (("start", chain.start), ("end", chain.end), ("transition", steps), ("emission", emissions)):
        wrong = [] if part is None else (~(part < torch.inf)).nonzero().tolist()
        if part is not None and wrong:
            place, where = wrong[0], ""
            value = float(part[tuple(place)])
            if name == "emission" or part.dim() == 3:
                token, *place = place
                where = f" at position {int(layout.position_ids[token])} of sequence {int(layout.sequence_ids[token])}"
            raise InputError(
                f"chain: {name} {place}{where} is {value}; expected is the logarithm of a weight, -inf where it is "
                "impossible; look for the step that made it infinite, a diverged model or a division by 0"
            )
