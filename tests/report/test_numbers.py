from __future__ import annotations

import math

import pytest

from clearhead.report.numbers import compact, difference, duration, plain, probability, with_interval


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (0.0, "0"),
        (0.1, "0.1"),
        (118204, "118,204"),
        (6.5e-5, "6.5×10⁻⁵"),
        (-3400000.0, "−3.4×10⁶"),
        (-0.25, "−0.25"),
        (1 / 3, "0.3333"),
    ],
)
def test_plain(value: float | None, shown: str) -> None:
    assert plain(value) == shown


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((1.14, 0.69, 1.59), ("1.14", "[0.69, 1.59]")),
        ((0.07, -0.03, 0.17), ("0.07", "[−0.03, 0.17]")),
        ((-0.0001, -0.004, 0.004), ("−0.0001", "[−0.0040, 0.0040]")),
        ((1234.0, 1100.0, 1368.0), ("1,234", "[1,100, 1,368]")),
        ((6.5e-5, 6e-5, 7e-5), ("6.5×10⁻⁵", "[6×10⁻⁵, 7×10⁻⁵]")),
        ((1.0, None, 2.0), ("1", "[−∞, 2]")),
        ((None, None, None), ("–", "")),
    ],
)
def test_an_interval_decides_the_digits(numbers: tuple[float | None, ...], shown: tuple[str, str]) -> None:
    assert with_interval(*numbers) == shown


def test_no_minus_before_zero() -> None:
    assert with_interval(-0.001, -0.4, 0.4)[0] == "0.00"


def test_a_difference_carries_its_sign() -> None:
    assert difference(0.39, 0.34, 0.44) == ("+0.390", "[0.340, 0.440]")
    assert difference(-0.39, -0.44, -0.34)[0] == "−0.390"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.44, "0.4 s"), (24.2, "24 s"), (59.7, "1:00 min"), (185, "3:05 min"), (3720, "1:02 h")]
)
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_probability_and_compact_counts() -> None:
    assert [probability(p) for p in (0.031, 0.0004, 1e-7, None)] == ["0.031", "0.0004", "< 0.0001", "–"]
    assert [compact(n) for n in (640, 118204, 1204224)] == ["640", "118k", "1.2M"]
