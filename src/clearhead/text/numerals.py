"""Whole numbers below a hundred million -> English words and Chinese numerals: a translation with one right answer."""

from __future__ import annotations

LARGEST = 99_999_999

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")


def english(number: int) -> str:
    """The number in English words, with "and" as in British use: 704 -> seven hundred and four."""
    _check(number)
    parts = []
    for size, name in ((1_000_000, "million"), (1_000, "thousand")):
        if number >= size:
            parts.append(f"{_below_thousand(number // size)} {name}")
            number %= size
    if number or not parts:
        between = ["and"] if parts and number < 100 else []
        parts += [*between, _below_thousand(number)]
    return " ".join(parts)


def chinese(number: int) -> str:
    """The number in Chinese numerals: 704 -> 七百零四, 10 -> 十, 100500 -> 十万零五百.

    One 零 stands for any run of empty places between two others, and none at the end.
    """
    _check(number)
    if not number:
        return _DIGITS[0]
    myriads, rest = divmod(number, 10_000)
    written = ""
    if myriads:
        written = _below_myriad(myriads) + "万"
        if rest and rest < 1_000:
            written += _DIGITS[0]
    written += _below_myriad(rest)
    return written.removeprefix("一") if written.startswith("一十") else written


def _check(number: int) -> None:
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{number} is not between 0 and {LARGEST}")


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    parts = [f"{_SMALL[hundreds]} hundred"] if hundreds else []
    if rest or not hundreds:
        parts += ["and"] if hundreds else []
        tens, ones = divmod(rest, 10)
        parts.append(_SMALL[rest] if rest < 20 else _TENS[tens] + (f"-{_SMALL[ones]}" if ones else ""))
    return " ".join(parts)


def _below_myriad(number: int) -> str:
    """The numerals of 1 ... 9999 (nothing for 0), 10 as 一十."""
    written = ""
    for place in (3, 2, 1, 0):
        digit = number // 10**place % 10
        if digit:
            skipped = written and number // 10 ** (place + 1) % 10 == 0
            written += (_DIGITS[0] if skipped else "") + _DIGITS[digit] + _PLACES[place]
    return written
