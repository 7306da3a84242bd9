"""The restricted Boltzmann machine: energies, conditionals, Gibbs sampling, and what it can honestly report."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.layout import Layout
from clearhead.layers.two_way import TwoWay

Units = Literal["bernoulli", "gaussian", "softmax"]
CELLS = 2**22  # numbers that the pseudo-likelihood holds at a time


class BoltzmannMachine(nn.Module):
    """Visible v (n, I), hidden h (n, O) in {0, 1}, p(v, h) proportional to exp(-E(v, h)) (Smolensky 1986):

    E = -b v - c h - h W v for `units` bernoulli (v in {0, 1}) and softmax (v one of I), and with |v - b|^2 / 2 in place
    of -b v for gaussian ones of variance 1 (Hinton & Salakhutdinov 2006, supporting material). `layer` is W and c; rows
    are sequences, or the tokens of a layout where its weights reach over windows.
    """

    def __init__(self, layer: TwoWay, units: Units) -> None:
        super().__init__()
        self.layer = layer
        self.units = units
        self.visible_bias = nn.Parameter(torch.zeros(layer.input_size))  # b

    def forward(self, v: Tensor, layout: Layout) -> Tensor:
        """p(h = 1 | v) = sigmoid(c + W v) (n, O)."""
        probabilities: Tensor = self.layer(v, layout)
        return probabilities

    def free_energy(self, v: Tensor, layout: Layout) -> Tensor:
        """F(v) = -log sum_h exp(-E(v, h)), each row's own part of it (n,)."""
        hidden = F.softplus(self.layer.scores(v, layout)).sum(-1)
        if self.units == "gaussian":
            return 0.5 * (v - self.visible_bias).square().sum(-1) - hidden
        return -(v @ self.visible_bias) - hidden

    def sample_hidden(self, v: Tensor, layout: Layout) -> Tensor:
        """h ~ p(h | v) (n, O), from torch's default generator."""
        return _bernoulli(self(v, layout))

    def sample_visible(self, h: Tensor, layout: Layout) -> Tensor:
        """v ~ p(v | h) (n, I), from torch's default generator."""
        scores = self.visible_bias + self.layer.down(h, layout)
        if self.units == "gaussian":
            return scores + torch.randn_like(scores)
        if self.units == "bernoulli":
            return _bernoulli(torch.sigmoid(scores))
        gumbel = -torch.log(torch.empty_like(scores).exponential_())
        return F.one_hot((scores + gumbel).argmax(-1), scores.shape[-1]).to(scores.dtype)

    def gibbs(self, h: Tensor, layout: Layout, steps: int) -> tuple[Tensor, Tensor]:
        """`steps` times v ~ p(v | h), h ~ p(h | v): the last of both."""
        for _ in range(steps):
            v = self.sample_visible(h, layout)
            h = self.sample_hidden(v, layout)
        return v, h

    def reconstruction_nats(self, v: Tensor, layout: Layout) -> Tensor:
        """-log p(v | h) (n,) at h = p(h = 1 | v); without the constant of a density for gaussian units."""
        scores = self.visible_bias + self.layer.down(self(v, layout), layout)
        if self.units == "gaussian":
            return 0.5 * (v - scores).square().sum(-1)
        if self.units == "softmax":
            return -(v * scores.log_softmax(-1)).sum(-1)
        return F.binary_cross_entropy_with_logits(scores, v, reduction="none").sum(-1)

    def conditional_nats(self, v: Tensor, layout: Layout, chosen: Tensor) -> Tensor:
        """-log p(v_i | all other v) of the `chosen` bernoulli units (n, U), the rows being sequences: (n, U).

        A v_i between 0 and 1 counts as both values, weighted.
        """
        value = v.gather(1, chosen)  # (n, U)
        weight = self.layer.linear.weight.T[chosen]  # (n, U, O)
        scores = self.layer.scores(v, layout)[:, None]  # (n, 1, O)
        on = F.softplus(scores + (1 - value)[..., None] * weight).sum(-1)
        off = F.softplus(scores - value[..., None] * weight).sum(-1)
        return F.binary_cross_entropy_with_logits(self.visible_bias[chosen] + on - off, value, reduction="none")

    def pseudo_nats(self, v: Tensor, layout: Layout) -> Tensor:
        """Minus the pseudo-log-likelihood (n,) of bernoulli units, sum_i -log p(v_i | all other v) (Besag 1975)."""
        rows, visible = v.shape
        units = torch.arange(visible, device=v.device)
        each = max(1, CELLS // (max(1, rows) * self.layer.linear.out_features))
        parts = [self.conditional_nats(v, layout, some.expand(rows, -1)).sum(-1) for some in torch.split(units, each)]
        return torch.stack(parts).sum(0)


def _bernoulli(probabilities: Tensor) -> Tensor:
    return (torch.rand_like(probabilities) < probabilities).to(probabilities.dtype)
