"""Sums of rows: compiled loops, torch's own, and the definition."""

from __future__ import annotations

import pytest
import torch

from clearhead.errors import InputError
from clearhead.layers import feature_sums
from clearhead.layers.feature_sums import sum_rows

F, K = 12, 5
IDS = torch.tensor([[0, 3, -1], [3, 3, 11], [-1, -1, -1], [7, 0, 2]])


def weight(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(F, K, generator=torch.Generator().manual_seed(0), dtype=dtype).requires_grad_()


@pytest.mark.parametrize("fused", [True, False])
def test_the_definition(fused: bool) -> None:
    rows = weight()
    summed = sum_rows(rows, IDS, fused=fused)
    for token, ids in zip(summed, IDS.tolist(), strict=True):
        expected = sum((rows[i] for i in ids if i >= 0), torch.zeros(K, dtype=torch.float64))
        torch.testing.assert_close(token, expected, rtol=0, atol=1e-15)
    assert torch.autograd.gradcheck(lambda x: sum_rows(x, IDS, fused=fused), rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_fused_twin(dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_sums, "_threads", lambda ids, labels: threads)
    ids = torch.randint(-1, F, (50, 7), generator=torch.Generator().manual_seed(1))
    rows = [weight(dtype), weight(dtype)]
    sums = [sum_rows(one, ids, fused=fused) for one, fused in zip(rows, (True, False), strict=True)]
    torch.testing.assert_close(sums[0], sums[1])
    for one in sums:
        (one.sin().sum()).backward()
    torch.testing.assert_close(rows[0].grad, rows[1].grad)


@pytest.mark.parametrize("fused", [True, False])
def test_no_token_and_no_feature(fused: bool) -> None:
    assert sum_rows(weight(), IDS[:0], fused=fused).shape == (0, K)
    assert torch.equal(sum_rows(weight(), IDS[2:3], fused=fused), torch.zeros(1, K, dtype=torch.float64))


@pytest.mark.parametrize("wrong", [F, -2])
@pytest.mark.parametrize("fused", [True, False])
def test_an_id_that_is_no_row(wrong: int, fused: bool) -> None:
    with pytest.raises(InputError, match=r"must lie between -1 \(none\) and 11"):
        sum_rows(weight(), torch.tensor([[wrong]]), fused=fused)
