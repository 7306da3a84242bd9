"""Norms: what a token's features are centred and scaled by.

Every norm is made by `norm(hidden_size, eps=...)` and maps a stream x (N, D) and its layout to a stream (N, D).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.layout import Layout
from clearhead.errors import InputError

EPS = 1e-5
PLACES_KEPT = 512
RATE = 0.1
LEAST_VARIANCE = 0.01


class LayerNorm(nn.Module):
    """w (x - mean) / sqrt(var + eps) + b, over the features of each token (Ba et al. 2016, arXiv:1607.06450, eq. 4)."""

    def __init__(self, hidden_size: int, *, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """w x / sqrt(mean(x^2) + eps), over the features of each token (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4)."""

    def __init__(self, hidden_size: int, *, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class BatchNorm(nn.Module):
    """w (x - mean) / sqrt(var + eps) + b, for each feature over all real tokens of the batch (Ioffe & Szegedy 2015,
    arXiv:1502.03167, algorithm 1). Pads count for nothing and come out as zeros.

    Evaluation takes running averages (torch's: each batch weighs 0.1; mean 0 and variance 1 before the first). So does
    a training batch of a single token, which has no variance; it leaves the averages as they are.
    """

    def __init__(self, hidden_size: int, *, eps: float = EPS) -> None:
        super().__init__()
        self.over_tokens = nn.BatchNorm1d(hidden_size, eps, momentum=RATE)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        return layout.put_real(_over_rows(self.over_tokens, layout.take_real(x)))


class BatchNormPadded(nn.Module):
    """Batch norm with the pads counted as if they were tokens: what `nn.BatchNorm1d` does to a padded (B, D, T).

    Raises `InputError` for a packed layout, which has no pads to count.
    """

    def __init__(self, hidden_size: int, *, eps: float = EPS) -> None:
        super().__init__()
        self.over_tokens = nn.BatchNorm1d(hidden_size, eps, momentum=RATE)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        if layout.packed:
            raise InputError(
                "model.norm: batch_padded counts pads, and packed batches have none; set batches.layout to dense, "
                "or take batch"
            )
        return _over_rows(self.over_tokens, x)


def _over_rows(norm: nn.BatchNorm1d, rows: Tensor) -> Tensor:
    if len(rows) > 1:
        normed: Tensor = norm(rows)
        return normed
    return F.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


class BatchNormPerPosition(nn.Module):
    """w (x - mean_t) / sqrt(var_t + eps) + b, for each feature and each position t over the sequences that reach t, as
    in recurrent nets (Cooijmans et al. 2016, arXiv:1603.09025, 3). w and b are shared by all positions.

    A position has no statistics of its own, and takes those of all real tokens, where one sequence of the batch alone
    reaches it, or where all tokens are alike: their variance, averaged over features, is below 1 % of that of all real
    tokens. At a begin token it would be 0, and dividing by it blows up what the running mean lags behind the mean. For
    the same reason no feature's var_t is taken below 1 % of its variance over all real tokens.

    Evaluation takes running averages for each of the first 512 positions (all batches weigh alike until a batch's
    weight has fallen to 0.1); a position that training has not met takes the averages over all tokens.
    """

    running_mean: Tensor  # (P, D)
    running_var: Tensor
    batches_seen: Tensor  # (P, 1)
    pooled_mean: Tensor  # (D,)
    pooled_var: Tensor
    pooled_seen: Tensor

    def __init__(self, hidden_size: int, *, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        self.register_buffer("running_mean", torch.zeros(PLACES_KEPT, hidden_size))
        self.register_buffer("running_var", torch.ones(PLACES_KEPT, hidden_size))
        self.register_buffer("batches_seen", torch.zeros(PLACES_KEPT, 1))
        self.register_buffer("pooled_mean", torch.zeros(hidden_size))
        self.register_buffer("pooled_var", torch.ones(hidden_size))
        self.register_buffer("pooled_seen", torch.zeros(()))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        grid = layout.grid(x)  # (B, T, D)
        mean, var = self._of_batch(grid, x, layout) if self.training else self._running(layout.longest)  # (T, D) each
        return layout.flat((grid - mean) * (var + self.eps).rsqrt() * self.weight + self.bias)

    def _of_batch(self, grid: Tensor, x: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        real = layout.real_grid.unsqueeze(-1)  # (B, T, 1)
        count = real.sum(0, dtype=self.running_mean.dtype)  # (T, 1)
        mean = (grid * real).sum(0) / count.clamp(min=1)  # (T, D)
        var = ((grid - mean) * real).square().sum(0) / count.clamp(min=1)
        tokens = layout.take_real(x)
        pooled_mean, pooled_var = tokens.mean(0), tokens.var(0, correction=0)  # (D,)
        with torch.no_grad():
            self._remember(mean, var, count)
            self._remember_pooled(pooled_mean, pooled_var, len(tokens))
        return _guarded(mean, var, count > 1, pooled_mean, pooled_var)

    def _remember(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        kept = min(len(mean), PLACES_KEPT)
        mean, var, count = mean[:kept], var[:kept], count[:kept]
        seen = self.batches_seen[:kept] + 1
        weight = torch.where(count > 1, (1 / seen).clamp(min=RATE), 0.0)  # (kept, 1)
        unbiased = var * (count / (count - 1).clamp(min=1))
        self.running_mean[:kept] += weight * (mean - self.running_mean[:kept])
        self.running_var[:kept] += weight * (unbiased - self.running_var[:kept])
        self.batches_seen[:kept] += count > 1

    def _remember_pooled(self, mean: Tensor, var: Tensor, count: int) -> None:
        if count < 2:
            return
        self.pooled_seen += 1
        weight = (1 / self.pooled_seen).clamp(min=RATE)
        self.pooled_mean += weight * (mean - self.pooled_mean)
        self.pooled_var += weight * (var * count / (count - 1) - self.pooled_var)

    def _running(self, length: int) -> tuple[Tensor, Tensor]:
        places = torch.arange(length, device=self.running_mean.device)
        kept = places.clamp(max=PLACES_KEPT - 1)
        known = (self.batches_seen[kept] > 0) & (places < PLACES_KEPT).unsqueeze(-1)  # (T, 1)
        return _guarded(self.running_mean[kept], self.running_var[kept], known, self.pooled_mean, self.pooled_var)


def _guarded(
    mean: Tensor, var: Tensor, known: Tensor, pooled_mean: Tensor, pooled_var: Tensor
) -> tuple[Tensor, Tensor]:
    """Statistics per position (T, D), the pooled ones (D,) where none are `known` (T, 1) or all tokens are alike."""
    own = known & (var.mean(-1, keepdim=True) > LEAST_VARIANCE * pooled_var.mean())  # (T, 1)
    var = torch.where(own, torch.maximum(var, LEAST_VARIANCE * pooled_var), pooled_var)
    return torch.where(own, mean, pooled_mean), var


class NoNorm(nn.Module):
    """x, as it is."""

    def __init__(self, hidden_size: int, *, eps: float = EPS) -> None:
        super().__init__()

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        return x


NORMS: dict[str, Callable[..., nn.Module]] = {
    "layer": LayerNorm,
    "rms": RMSNorm,
    "batch": BatchNorm,
    "batch_padded": BatchNormPadded,
    "batch_position": BatchNormPerPosition,
    "none": NoNorm,
}
