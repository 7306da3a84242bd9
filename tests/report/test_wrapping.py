from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from clearhead.report.wrapping import wrap

TEXT = st.text(st.sampled_from("ab c。，中文（）—1.\u00a0é"), max_size=120)


@given(TEXT, st.integers(4, 40))
def test_no_line_is_too_wide_and_nothing_is_lost(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_chinese_breaks_between_characters_and_never_before_a_stop() -> None:
    lines = wrap("不缩放时典型的梯度变小。于是学不动", 12)
    assert lines == ["不缩放时典型", "的梯度变小。", "于是学不动"]
    assert not any(line.startswith(tuple("，。）")) for line in wrap("一二三四五，六七八九十。" * 4, 10))


def test_words_stay_whole_and_hard_spaces_hold() -> None:
    assert wrap("aaa bbb ccc", 7) == ["aaa bbb", "ccc"]
    assert wrap("aaa bbb\u00a0ccc", 7) == ["aaa", "bbb\u00a0ccc"]
