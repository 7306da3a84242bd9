"""The LSTM trunk and the projected LSTM against torch's own, with copied weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from clearhead.batches.batch import Batch, collate
from clearhead.batches.layout import Layout
from clearhead.layers.recurrent import LSTM
from clearhead.models import lstm
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

E, H, LAYERS = 8, 6, 3
BOTH = pytest.mark.parametrize("bidirectional", [False, True])


def pair(bidirectional: bool, dtype: torch.dtype) -> tuple[lstm.StackedLSTM, nn.LSTM]:
    """Our trunk, and torch's stack with its weights."""
    torch.manual_seed(0)
    spec = lstm.Spec(hidden_size=H, num_hidden_layers=LAYERS, embedding_size=E, bidirectional=bidirectional)
    ours = lstm.build(spec, Inventory(Vocabulary(30), 16)).to(dtype)
    theirs = nn.LSTM(E, H, LAYERS, batch_first=True, bidirectional=bidirectional).to(dtype)
    directions = [("", ours.forward_layers), ("_reverse", ours.backward_layers)]
    weights = {
        name.replace("_l0", f"_l{number}") + suffix: value
        for suffix, layers in directions
        for number, layer in enumerate(layers)
        for name, value in layer.cell.state_dict().items()  # type: ignore[union-attr]
    }
    theirs.load_state_dict(weights)
    return ours, theirs


def batch_of(lengths: list[int], *, packed: bool) -> Batch:
    rng = np.random.default_rng(1)
    return collate([rng.integers(5, 30, length) for length in lengths], packed=packed)


def packed_run(theirs: nn.LSTM, embedded: Tensor, layout: Layout) -> Tensor:
    """Torch's states on packed sequences, real tokens alone (n, H)."""
    sequences = pack_padded_sequence(layout.grid(embedded), layout.lengths, batch_first=True, enforce_sorted=False)
    padded, _ = pad_packed_sequence(theirs(sequences)[0], batch_first=True, total_length=layout.longest)
    return padded[layout.real_grid]


@BOTH
@pytest.mark.parametrize("packed", [True, False])
def test_the_stack_is_torchs_on_packed_sequences(bidirectional: bool, packed: bool) -> None:
    ours, theirs = pair(bidirectional, torch.float64)
    batch = batch_of([4, 1, 12, 7], packed=packed)
    states = ours(batch)
    expected = packed_run(theirs, ours.token_embedding(batch.token_ids), batch.layout)
    torch.testing.assert_close(batch.layout.take_real(states.hidden), expected, rtol=0, atol=1e-12)
    gradients = [
        torch.autograd.grad(hidden.square().sum(), ours.token_embedding.weight)[0]
        for hidden in (batch.layout.take_real(states.hidden), expected)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


@BOTH
def test_the_same_kernel_gives_the_same_bits(bidirectional: bool) -> None:
    """One sequence alone, in float32: torch runs the same products in the same order."""
    ours, theirs = pair(bidirectional, torch.float32)
    batch = batch_of([11], packed=True)
    expected = theirs(ours.token_embedding(batch.token_ids)[None])[0][0]
    assert torch.equal(ours(batch).hidden, expected)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("backward", [False, True])
def test_the_projected_lstm_is_torchs(packed: bool, backward: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.LSTM(E, 9, batch_first=True, bidirectional=True, proj_size=4).double()
    ours = LSTM(E, 4, cell_size=9, backward=backward).double()
    suffix = "_reverse" if backward else ""
    ours.cell.load_state_dict({name: theirs.state_dict()[name + suffix] for name in ours.cell.state_dict()})
    layout = batch_of([4, 1, 12, 7], packed=packed).layout
    x = torch.randn(layout.tokens, E, dtype=torch.float64)
    expected = packed_run(theirs, x, layout)[:, 4:] if backward else packed_run(theirs, x, layout)[:, :4]
    torch.testing.assert_close(layout.take_real(ours(x, layout)), expected, rtol=0, atol=1e-12)
