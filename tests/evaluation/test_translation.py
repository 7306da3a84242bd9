"""Translations are scored by sacrebleu under a tokenisation that is said, and the signature says it again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clearhead.evaluation.translation import translation_scores


def test_the_right_answer_is_a_hundred_and_nothing_is_nought() -> None:
    said = ["the cat sat on the mat ."] * 2
    scores = translation_scores(said, said, tokenize="13a")
    assert (round(scores.bleu, 9), round(scores.chrf, 9)) == (100.0, 100.0)
    for said, references in ([], []), ([""], ["a cat"]):
        nothing = translation_scores(said, references, tokenize="13a")
        assert (nothing.bleu, nothing.chrf) == (0.0, 0.0)


def test_chinese_needs_its_tokenisation_and_the_signature_names_it() -> None:
    said, references = ["七百零四万三千"], ["七百零五万三千"]
    characters = translation_scores(said, references, tokenize="zh")
    blanks = translation_scores(said, references, tokenize="13a")
    assert 20 < characters.bleu < 100 and blanks.bleu == 0.0
    assert "tok:zh" in characters.bleu_signature and "tok:13a" in blanks.bleu_signature
    assert "version:" in characters.bleu_signature and "nc:6" in characters.chrf_signature


def test_unlike_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="1 translations for 0 references"):
        translation_scores(["a"], [], tokenize="none")


def test_sacrebleu_is_imported_only_when_it_is_asked() -> None:
    code = "import sys, clearhead.evaluation.translation; sys.exit('sacrebleu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
