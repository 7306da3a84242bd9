"""`train`, `evaluate`, `predict`: every shipped recipe from a user's files to a number and back to words."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearhead.experiments.recipe import recipe_names

Run = Callable[..., Any]
NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal")
PLACES = ("Rome", "Oslo", "Lima", "Bonn", "Cork", "Bern")
VERBS = ("went to", "left", "loves", "saw", "painted", "mapped")


def tagged(first: int, last: int) -> str:
    """CoNLL columns; a lone TAB and an empty line part sentences in turn."""
    blocks = []
    for i in range(first, last):
        words = [(NAMES[i % 8], "B-PER"), *((word, "O") for word in VERBS[i % 6].split()), (PLACES[i % 6], "B-LOC")]
        blocks.append("\n".join(f"{word}\t{tag}" for word, tag in [*words, (".", "O")]))
    return "".join(block + ("\n\t\n" if i % 2 else "\n\n") for i, block in enumerate(blocks))


def labelled(first: int, last: int) -> str:
    lines = (
        f"{('good', 'bad')[i % 2]}\ta {('fine', 'dull')[i % 2]} film about {NAMES[i % 8]} in {PLACES[i % 6]} {i}"
        for i in range(first, last)
    )
    return "".join(f"{line}\n" for line in lines)


def paired(first: int, last: int) -> str:
    return "".join(
        f"{NAMES[i % 8]} sees {PLACES[i % 6]}\t{PLACES[i % 6]} {NAMES[i % 8]} gesehen\n" for i in range(first, last)
    )


def prose() -> str:
    sentences = [f"{NAMES[i % 8]} {VERBS[i % 6]} {PLACES[i % 5]} on day {i} of the year." for i in range(200)]
    return "\n\n".join(" ".join(sentences[i : i + 5]) for i in range(0, 200, 5))


MAKERS = {"tag": (tagged, "conll"), "classify": (labelled, "tsv"), "translate": (paired, "tsv")}
SMALL = {
    "bert": ["model.hidden_size=16", "text.vocabulary_size=300"],
    "elmo": ["model.hidden_size=16", "text.vocabulary_size=300"],
    "lm-lstm": ["model.hidden_size=16", "text.vocabulary_size=300"],
    "translate-transformer": ["model.hidden_size=16", "model.intermediate_size=32", "text.vocabulary_size=300"],
    "translate-rnn": ["model.hidden_size=16", "text.vocabulary_size=300"],
}


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    def make(recipe: str) -> tuple[Path, Path]:
        maker, suffix = MAKERS.get(recipe.split("-")[0], (None, "txt"))
        train, dev = tmp_path / f"train.{suffix}", tmp_path / f"dev.{suffix}.gz"
        train.write_text(maker(0, 60) if maker else prose(), encoding="utf-8")
        with gzip.open(dev, "wt", encoding="utf-8") as file:
            file.write(maker(60, 76) if maker else prose()[:3000])
        return train, dev

    return make


def few_steps(recipe: str) -> list[str]:
    stages = 2 if recipe in {"classify-autoencoder", "classify-rbm"} else 0
    return [*(f"pretrain.{i}.training.steps=2" for i in range(stages)), "training.steps=3"]


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_goes_from_files_to_a_number_and_back(
    recipe: str, files: Callable[[str], tuple[Path, Path]], clearhead: Run, tmp_path: Path
) -> None:
    train, dev = files(recipe)
    out = tmp_path / "run"
    changes = [f"data.train={train}", f"data.dev={dev}", *few_steps(recipe), *SMALL.get(recipe, [])]
    done = clearhead("train", recipe, *changes, "--out", str(out), "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["recipe"] == recipe
    assert record["parameters"] > 0
    assert record["metrics"]
    assert all(isinstance(value, int | float | str) for value in record["metrics"].values())
    scored = json.loads(clearhead("evaluate", str(out), "--data", str(dev), "--json").out)
    for name, value in record["metrics"].items():
        assert scored["metrics"][name] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value), name


EXPECTED = {
    "tag-crf": ("Ada went to Rome\n", "Ada\t"),
    "classify-lstm": ("a fine film\n", "\t0."),
    "translate-rnn": ("Ada sees Rome\n", ""),
    "lm-lstm": ("Ada went\n", "Ada went"),
    "bert": ("Ada went to [MASK] on day 3.\n", "Ada went to"),
}


@pytest.mark.parametrize("recipe", EXPECTED)
def test_a_run_speaks_about_new_lines(
    recipe: str,
    files: Callable[[str], tuple[Path, Path]],
    clearhead: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, _ = files(recipe)
    out = tmp_path / "run"
    changes = [f"data.train={train}", *few_steps(recipe), *SMALL.get(recipe, [])]
    assert clearhead("train", recipe, *changes, "--out", str(out)).code == 0
    asked, shown = EXPECTED[recipe]
    monkeypatch.setattr("sys.stdin", io.StringIO(asked))
    said = clearhead("predict", str(out))
    assert said.code == 0, said.err
    assert shown in said.out
    again = tmp_path / "asked.txt"
    again.write_text(asked, encoding="utf-8")
    assert clearhead("predict", str(out), str(again)).out == said.out


def test_a_tagger_starts_from_a_pretrained_run(
    files: Callable[[str], tuple[Path, Path]], clearhead: Run, tmp_path: Path
) -> None:
    text, _ = files("bert")
    train, dev = files("tag-bert")
    before, after = tmp_path / "before", tmp_path / "after"
    small = ["model.hidden_size=16", "training.steps=2"]
    assert (
        clearhead("train", "bert", f"data.train={text}", "text.vocabulary_size=300", *small, "--out", str(before)).code
        == 0
    )
    changes = [f"data.train={train}", f"data.dev={dev}", f"init={before}", *small]
    done = clearhead("train", "tag-bert", *changes, "--out", str(after), "--json")
    assert done.code == 0, done.err
    refused = clearhead("train", "tag-bert", *changes, "model.hidden_size=32", "--out", str(tmp_path / "other"))
    assert refused.code == 2
    assert "same sizes" in refused.err


BAD = {
    "an unknown recipe": (["train", "tag-crv"], "did you mean 'tag-crf'"),
    "an unknown key": (["train", "tag-crf", "data.trian=x"], "did you mean 'train'"),
    "no such file": (["train", "tag-crf", "data.train=nowhere.conll"], "there is no such file"),
    "a field of another job": (["train", "tag-crf", "data.label=intent"], "belongs to classification"),
    "not key=value": (["train", "tag-crf", "fast"], "key=value"),
    "dev without train": (["train", "tag-crf", "data.dev=x.conll"], "give data.train"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case: str, clearhead: Run, tmp_path: Path) -> None:
    arguments, shown = BAD[case]
    done = clearhead(*arguments, "--out", str(tmp_path / "run"))
    assert done.code == 2
    assert shown in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_and_no_run_is_said_to_be_none(clearhead: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = clearhead("train", "tag-hmm", "--out", str(tmp_path / "mine"))
    assert (done.code, "not overwritten" in done.err) == (2, True)
    done = clearhead("evaluate", str(tmp_path / "mine"), "--data", "x")
    assert (done.code, "not a run" in done.err) == (2, True)
