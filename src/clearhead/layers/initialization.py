"""Initial values: one function a family of models. Every parameter draws by its own name.

Two models built from equal seeds therefore start with equal weights wherever names and shapes agree, whatever else
one of them has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)
SEEDS = 2**31
FORGET_GATE = 1  # torch lays the gates out as input, forget, cell, output


def built(make: Callable[[], M], initialize: Callable[[M, int], None]) -> M:
    """What `make` gives, with initial values by `initialize(module, seed)`.

    Exactly one number, the seed, is drawn from torch's generator, so what is built next does not depend on `make`.
    """
    seed = int(torch.randint(SEEDS, ()))
    with torch.random.fork_rng(devices=[]):
        module = make()
        initialize(module, seed)
    return module


def initialize_transformer(module: nn.Module, seed: int, *, std: float) -> None:
    """Matrices and embeddings from N(0, std^2), biases 0 (as the code of Devlin et al. 2018, where std is 0.02).

    Norms stay at their 1 and 0.
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=std, generator=_generator(seed, name))
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


def initialize_lstm(module: nn.Module, seed: int) -> None:
    """LSTM matrices from U(-1/sqrt(H), 1/sqrt(H)), as torch does; biases 0, but 1 at the forget gate (Jozefowicz et al.
    2015, "An empirical exploration of recurrent network architectures", 3.3)."""
    for name, part in module.named_modules():
        if not isinstance(part, nn.LSTM):
            continue
        for weight, values in part.named_parameters():
            if values.ndim == 2:
                bound = part.hidden_size**-0.5
                nn.init.uniform_(values, -bound, bound, generator=_generator(seed, f"{name}.{weight}"))
            else:
                nn.init.zeros_(values)
                if weight.startswith("bias_ih"):
                    nn.init.ones_(values.data.chunk(4)[FORGET_GATE])


def initialize_embeddings(module: nn.Module, seed: int, *, std: float) -> None:
    """Embeddings from N(0, std^2)."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=std, generator=_generator(seed, name))


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=4).digest()  # torch's CPU generator reads 32 bits
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))
