"""Initial values: one function a family of models. Every parameter draws by its own name.

Two models built from equal seeds therefore start with equal weights wherever names and shapes agree, whatever else
one of them has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.cross_attention import CrossAttention
from clearhead.layers.scores import Additive

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


def initialize_transformer(module: nn.Module, seed: int, *, std: float, matrices: str = "normal") -> None:
    """Embeddings from N(0, std^2), biases 0, matrices by the rule of that name in `INITIALIZATIONS`; "normal" takes
    the same N(0, std^2) (as the code of Devlin et al. 2018, where std is 0.02). Norms stay at their 1 and 0.

    Matrices that lie in one parameter (queries, keys, values) are drawn as if each stood alone.
    """
    draw = INITIALIZATIONS[matrices]
    stacked = _stacked(module)
    for name, part in module.named_modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=std, generator=_generator(seed, name))
        elif isinstance(part, nn.Linear):
            generator = _generator(seed, name)
            for matrix in part.weight.data.chunk(stacked.get(part, 1)):
                draw(matrix, std, generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, Additive):
            nn.init.normal_(part.vector, std=part.vector.shape[1] ** -0.5, generator=_generator(seed, name))


def _stacked(module: nn.Module) -> dict[nn.Module, int]:
    """How many matrices lie in the weight of a layer, where there is more than one."""
    parts: dict[nn.Module, int] = {}
    for part in module.modules():
        if isinstance(part, MultiHeadAttention):
            parts[part.projection] = 3
        elif isinstance(part, CrossAttention):
            parts[part.key_value] = 2
    return parts


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


def normal(matrix: Tensor, std: float, generator: torch.Generator) -> None:
    """N(0, std^2), whatever the size."""
    nn.init.normal_(matrix, std=std, generator=generator)


def xavier(matrix: Tensor, std: float, generator: torch.Generator) -> None:
    """U(-a, a), a = sqrt(6 / (fan in + fan out)) (Glorot & Bengio 2010, eq. 16)."""
    nn.init.xavier_uniform_(matrix, generator=generator)


def kaiming(matrix: Tensor, std: float, generator: torch.Generator) -> None:
    """N(0, 2 / fan in) (He et al. 2015, arXiv:1502.01852, eq. 10)."""
    nn.init.kaiming_normal_(matrix, nonlinearity="relu", generator=generator)


def orthogonal(matrix: Tensor, std: float, generator: torch.Generator) -> None:
    """A random matrix whose shorter side is orthonormal (Saxe et al. 2013, arXiv:1312.6120)."""
    nn.init.orthogonal_(matrix, generator=generator)


INITIALIZATIONS: dict[str, Callable[[Tensor, float, torch.Generator], None]] = {
    "normal": normal,
    "xavier": xavier,
    "kaiming": kaiming,
    "orthogonal": orthogonal,
}
