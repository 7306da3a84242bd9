from __future__ import annotations

import pytest

from clearhead.report.words import OUTCOMES, WORDS, effect_words, printable, region_words, replicates

BOTH_TELL = {"kind": "measured", "seeds": 16, "effect": 1.14, "low": 0.69, "high": 1.59, "unit": "nats"}


@pytest.mark.parametrize(
    ("region", "english", "chinese"),
    [
        ((0.1, None), "≥ 0.1", "≥ 0.1"),
        ((None, -2), "≤ −2", "≤ −2"),
        ((0.98, 1.02), "1 ± 0.02", "1 ± 0.02"),
        ((-1e-12, 1e-12), "exactly 0", "恰为 0"),
        ((0.1, 0.35), "0.1 to 0.35", "0.1 至 0.35"),
        ((None, None), "any", "不限"),
    ],
)
def test_regions_in_words(region: tuple[float | None, float | None], english: str, chinese: str) -> None:
    assert region_words(region).as_dict() == {"en": english, "zh": chinese}


def test_effects_and_replicates() -> None:
    assert effect_words(BOTH_TELL).en.replace("\u00a0", " ") == "1.14 nats [0.69, 1.59]"
    assert effect_words({**BOTH_TELL, "effect": None}).zh == "未测量"
    assert replicates({**BOTH_TELL, "smallest_detectable": 0.4}).en == "16 seeds"
    assert replicates({**BOTH_TELL, "smallest_detectable": None}).en == "16 items"
    assert replicates({**BOTH_TELL, "kind": "exact", "seeds": 1}).en == "1 draw"


def test_nothing_that_steers_a_terminal_or_breaks_xml_is_printable() -> None:
    hostile = "a\x1b[31mb\x00c\u202ed\ud800e\ufffff"
    assert printable(hostile) == "a\ufffd[31mb\ufffdc\ufffdd\ufffde\ufffdf"
    assert printable("tab\tand\nline 中文") == "tab\tand\nline 中文"


def test_every_outcome_has_mark_word_and_colour_of_its_own() -> None:
    assert len({words.mark for words in OUTCOMES.values()}) == len(OUTCOMES)
    assert all(text.en and text.zh for text in [*WORDS.values(), *(words.word for words in OUTCOMES.values())])
