"""Numbers as people read them: as many digits as the interval bears, powers of ten for the very small and large."""

from __future__ import annotations

import math

SMALLEST_FIXED = 1e-3
LARGEST_FIXED = 1e6
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(value: float | None, digits: int = 4) -> str:
    """The shortest writing with at most `digits` significant digits: `0.1`, `118,204`, `6.5×10⁻⁵`; `–` for None."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if not SMALLEST_FIXED <= abs(value) < LARGEST_FIXED:
        return _scientific(value, min(digits, 3))
    if float(value).is_integer():
        return _signed(f"{value:,.0f}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return _signed(_stripped(f"{value:,.{decimals}f}"))


def whole(value: int) -> str:
    """A count with every digit: `1,204,224`."""
    return f"{value:,}"


def compact(value: int) -> str:
    """A count in a narrow place: `640`, `118k`, `1.2M`."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{plain(value / size, 3 if value >= 100 * size else 2)}{letter}"
    return str(value)


def with_interval(effect: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """`("1.14", "[0.69, 1.59]")`: effect and interval with the digits that its width bears; `""` for no interval."""
    known = [number for number in (effect, low, high) if number is not None and math.isfinite(number)]
    if effect is None or low is None or high is None or len(known) < 3:
        bounds = "" if low is None and high is None else f"[{_bound(low, '−∞')}, {_bound(high, '∞')}]"
        return plain(effect, 3), bounds
    largest, half = max(map(abs, known)), (high - low) / 2
    if half <= 1e-6 * largest or not SMALLEST_FIXED <= largest < LARGEST_FIXED:
        return plain(effect), f"[{plain(low, 3)}, {plain(high, 3)}]"
    decimals = min(4, max(0, 1 - math.floor(math.log10(half))))
    shown = [_signed(f"{number:,.{decimals}f}") for number in (effect, low, high)]
    return shown[0], f"[{shown[1]}, {shown[2]}]"


def difference(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """As `with_interval`, with a plus before what is positive."""
    effect, bounds = with_interval(value, low, high)
    return ("+" + effect if value is not None and value > 0 else effect), bounds


def duration(seconds: float) -> str:
    """`0.4 s`, `24 s`, `3:05 min`, `1:02 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def probability(p: float | None) -> str:
    """A p-value: `0.031`, `< 0.0001`."""
    if p is None or math.isnan(p):
        return "–"
    return "< 0.0001" if p < 1e-4 else plain(p, 2) if p >= SMALLEST_FIXED else f"{p:.4f}"


def _bound(value: float | None, missing: str) -> str:
    return missing if value is None else plain(value, 3)


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return _signed(f"{_stripped(mantissa)}×10{power}")


def _stripped(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _signed(text: str) -> str:
    negative = text.startswith("-") and any(character in "123456789" for character in text)
    return text.replace("-", "−", 1) if negative else text.removeprefix("-")
