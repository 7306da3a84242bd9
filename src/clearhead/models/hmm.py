"""The hidden Markov model of symbols (Rabiner 1989, "A tutorial on hidden Markov models", II): a chain of states that
nobody sees, each of which writes one token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.initialization import built
from clearhead.layers.structured import Chain, sample
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

ROW_TOLERANCE = 1e-4  # how far from 1 a row of given probabilities may add up


class Spec(SpecModel):
    """`num_states` (None): one a label. Each row starts from Dirichlet(`concentration`, ...): the larger, the nearer to
    uniform; exactly uniform rows would stay so, since EM cannot tell the states apart.

    A word outside the vocabulary is the symbol [UNK], which has a probability of its own in each state. It is learnt
    from the words that the vocabulary leaves out of the training text: those seen once, where it asks for two
    (`text.min_frequency`). Without such, only the smoothing of EM gives it any.
    """

    num_states: int | None = Field(default=None, ge=1)
    concentration: float = Field(default=10.0, ge=0.1, allow_inf_nan=False)


class HMM(nn.Module):
    """`Batch` -> `States` (N, K): log p(token | state). Nothing is said of where a sequence ends: lengths are given.

    `start` (K,), `transition` (K, K) from row to column, and `emission` (K, V) are log-probabilities: the last
    dimension of every parameter is a distribution (`distributions`), which the optimizer `em` keeps it. They are held
    in float64, since expected counts over a large text need more digits than float32 has.
    """

    distributions = True

    def __init__(self, start: Tensor, transition: Tensor, emission: Tensor) -> None:
        """From probabilities, which are where training starts. Raises `InputError` for a row that is no distribution,
        and for shapes that do not fit."""
        super().__init__()
        states = len(start)
        if start.shape != (states,) or transition.shape != (states, states) or emission.shape[:-1] != (states,):
            raise InputError(
                f"an HMM of K states needs start (K,), transition (K, K) and emission (K, V); got "
                f"{tuple(start.shape)}, {tuple(transition.shape)} and {tuple(emission.shape)}"
            )
        self.width = states
        self.start = _log_probabilities("start", start)
        self.transition = _log_probabilities("transition", transition)
        self.emission = _log_probabilities("emission", emission)

    def forward(self, batch: Batch) -> States:
        """Raises `InputError` for a token that is no symbol of the model."""
        symbols = self.emission.shape[1]
        if not bool(((batch.token_ids >= 0) & (batch.token_ids < symbols)).all()):
            raise InputError(
                f"the tokens {int(batch.token_ids.min())} to {int(batch.token_ids.max())} are not all among the "
                f"model's {symbols} symbols; write those that it does not know as the vocabulary's unknown one"
            )
        hidden = F.embedding(batch.token_ids, self.emission.mT)  # (N, K)
        return States(hidden, batch.layout, (hidden,))

    @torch.no_grad()
    def sample(self, lengths: Sequence[int], generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Sentences as the model would write them: states (n,) and tokens (n,), one pair a length of at least 1."""
        layout = Layout(torch.tensor(lengths, dtype=torch.int64), max(lengths, default=0), packed=True)
        unseen = self.transition.new_zeros((layout.tokens, self.width))
        states = sample(Chain(unseen, self.transition, layout, start=self.start), generator)  # the prior: nothing seen
        tokens = torch.empty_like(states)
        for state, row in enumerate(self.emission.exp()):
            here = states == state
            if bool(here.any()):
                tokens[here] = torch.multinomial(row, int(here.sum()), replacement=True, generator=generator)
        return list(zip(torch.split(states, list(lengths)), torch.split(tokens, list(lengths)), strict=True))


def build(spec: Spec, inventory: Inventory) -> HMM:
    """An HMM over the vocabulary of `inventory`, near-uniform. Raises `InputError` for no states."""
    states = spec.num_states or len(inventory.labels)
    if not states:
        raise InputError("model.num_states: the data has no labels to be states; say how many there are")

    def make() -> HMM:
        return HMM(*(torch.full(shape, 1 / shape[-1]) for shape in _shapes(states, inventory.vocabulary.size)))

    def initialize(model: HMM, seed: int) -> None:
        rng = np.random.default_rng(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                rows = parameter.numel() // parameter.shape[-1]
                drawn = rng.dirichlet(np.full(parameter.shape[-1], spec.concentration), size=rows)
                parameter.copy_(torch.from_numpy(drawn).reshape(parameter.shape).log())

    return built(make, initialize)


def _shapes(states: int, symbols: int) -> tuple[tuple[int, ...], ...]:
    return (states,), (states, states), (states, symbols)


def _log_probabilities(name: str, given: Tensor) -> nn.Parameter:
    """The logarithms of rows of probabilities, made to add up to 1 exactly; 0 becomes -inf, and stays out of reach."""
    rows = given.detach().to(torch.float64)
    sums = rows.sum(-1, keepdim=True)
    wrong = ~((rows >= 0).all(-1) & ((sums.squeeze(-1) - 1).abs() <= ROW_TOLERANCE))
    if bool(wrong.any()):
        place = int(wrong.reshape(-1).nonzero()[0])
        where = f"row {place} of {name}" if rows.dim() > 1 else name
        raise InputError(
            f"{where} is no distribution: it must hold numbers of at least 0 that add up to 1, got a sum of "
            f"{float(sums.reshape(-1)[place]):g}"
        )
    return nn.Parameter((rows / sums).log())
