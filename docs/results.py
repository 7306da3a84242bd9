"""Trains recipes on public data sets through the command line, keeps what they reach, and writes docs/results.md.

    python docs/results.py DATA [--only WORD] [--workers N]    # train what has no result yet, then write the page
    python docs/results.py --page                              # write the page from the results that are kept

DATA is a folder with the data sets, each in a folder of its own (see ROWS). A result is kept as a small JSON file in
docs/results; delete it to train it again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "results.md"


@dataclass(frozen=True)
class DataSet:
    """A data set: its files under DATA, the test file, what is measured, and what others reach on it."""

    title: str
    train: str
    dev: str
    test: str
    metric: str
    others: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A recipe on a data set, with its changes."""

    data: str
    recipe: str
    changes: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        return "-".join(filter(None, [self.data, self.recipe, self.label]))


SETS = {
    "ewt": DataSet(
        "UD English-EWT 2.16, UPOS, accuracy of words",
        *(f"ud-english-ewt/{part}.conllu.gz" for part in ("train", "dev", "test")),
        "accuracy",
        "CRFsuite with word, affix, shape and neighbour features 0.9417 (measured beside it); BiLSTM taggers 0.95 to "
        "0.96, BERT-size encoders 0.97 to 0.98 (pre-trained on billions of words)",
    ),
    "wnut": DataSet(
        "WNUT-17, emerging entities, strict span F1",
        *(f"wnut17-ner/{part}.conll.gz" for part in ("train", "dev", "test")),
        "f1",
        "plain CRFsuite 0.1104; the shared task's systems, with embeddings and gazetteers, 0.2630 to 0.4186 "
        "(Derczynski et al. 2017)",
        ("data.scheme=bio",),
    ),
    "weibo": DataSet(
        "Weibo NER, Chinese characters, strict span F1",
        *(f"weibo-ner-zh/{part}.conll.gz" for part in ("train", "dev", "test")),
        "f1",
        "character CRF 0.5088; Peng & Dredze 2016, with embeddings of 112 million messages, 0.5899",
        ("data.characters=true", "data.scheme=bio"),
    ),
    "snips-slots": DataSet(
        "SNIPS, slots, strict span F1",
        "snips-nlu/train.conll.gz",
        "",
        "snips-nlu/test.conll.gz",
        "f1",
        "CRFsuite 0.9239; slot-gated LSTM 0.888 (Goo et al. 2018); BERT 0.970 (Chen et al. 2019)",
        ("data.scheme=bio",),
    ),
    "snips-intents": DataSet(
        "SNIPS, seven intents, accuracy",
        "snips-nlu/train.conll.gz",
        "",
        "snips-nlu/test.conll.gz",
        "accuracy",
        "TF-IDF and logistic regression 0.9786; slot-gated LSTM 0.970 (Goo et al. 2018); BERT 0.986 (Chen et al. 2019)",
        ("data.format=conll", "data.label=intent"),
    ),
    "mr": DataSet(
        "MR, sentence polarity, accuracy",
        *(f"mr-sentence-polarity/{part}.tsv.gz" for part in ("train", "dev", "test")),
        "accuracy",
        "TF-IDF of words and pairs and logistic regression 0.7812; CNN on 100 billion words' word2vec 0.815 (Kim 2014)",
    ),
    "tatoeba": DataSet(
        "Tatoeba English to Chinese, BLEU (sacrebleu, characters: zh) on its dev part",
        "tatoeba-cmn-eng/train.tsv.gz",
        "",
        "tatoeba-cmn-eng/dev.tsv.gz",
        "bleu",
        "no published figure is known",
        ("data.bleu_tokenizer=zh", "text.validation_fraction=0.02"),
    ),
    "wikitext": DataSet(
        "WikiText-2, trained on its validation part alone, bits per byte of its test part",
        "wikitext-2-valid-test/valid.txt.gz",
        "",
        "wikitext-2-valid-test/test.txt.gz",
        "bits_per_byte",
        "Witten-Bell character 6-gram 2.0143 bits a character",
        ("text.unit=line", "text.max_length=128"),
    ),
}
ROWS = (
    *(Row("ewt", f"tag-{kind}") for kind in ("hmm", "memm", "crf", "lstm", "lstm-crf", "bert-crf")),
    *(Row("wnut", f"tag-{kind}") for kind in ("hmm", "memm", "crf", "lstm-crf", "bert-crf")),
    Row("weibo", "tag-hmm"),
    Row("weibo", "tag-crf", ("text.templates=character",)),
    Row("weibo", "tag-lstm-crf", ("model.input=tokens", "text.characters=false")),
    Row("weibo", "tag-bert-crf", ("text.max_length=256",)),
    *(Row("snips-slots", f"tag-{kind}") for kind in ("hmm", "crf", "lstm-crf", "bert-crf")),
    *(Row("snips-intents", f"classify-{kind}") for kind in ("lstm", "transformer", "autoencoder", "rbm")),
    *(Row("mr", f"classify-{kind}") for kind in ("lstm", "transformer", "autoencoder", "rbm")),
    *(Row("tatoeba", f"translate-{kind}") for kind in ("rnn", "transformer")),
    *(Row("wikitext", f"lm-{kind}") for kind in ("hmm", "lstm", "transformer")),
)


def command(row: Row, data: str, out: str) -> list[str]:
    """The command that trains a row."""
    files = SETS[row.data]
    dev = [f"data.dev={data}/{files.dev}"] if files.dev else []
    return ["train", row.recipe, f"data.train={data}/{files.train}", *dev, *files.changes, *row.changes, "--out", out]


def run(row: Row, data: Path) -> None:
    """Trains a row, scores it on the test file, and keeps the figures."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder, "run"))
        trained = _clearhead([*command(row, str(data), out), "--json"])
        scored = _clearhead(["evaluate", out, "--data", str(data / SETS[row.data].test), "--json"])
    record = {
        "recipe": row.recipe,
        "command": shlex.join(["clearhead", *command(row, "DATA", "RUN")]),
        "test": scored["metrics"],
        "dev": trained["metrics"],
        "parameters": trained["parameters"],
        "seconds": trained["seconds"],
        "steps": trained["steps"],
    }
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{row.name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    figure = scored["metrics"][SETS[row.data].metric]
    print(f"{row.name}: {SETS[row.data].metric} {figure:.4f} in {trained['seconds']} s", flush=True)


def _clearhead(arguments: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "clearhead", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(arguments)}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def page() -> str:
    """The page of results, from the kept ones."""
    parts = [
        "# What the recipes reach",
        "",
        "Every row is one run of one command with the shipped recipe, on one core of an AMD EPYC without bf16 "
        "instructions, from random weights: no pre-trained embeddings, no other text. `DATA` is the folder of the data "
        "sets, `RUN` a new folder; `clearhead evaluate RUN --data TEST` gives the figure. Written by "
        "`python docs/results.py DATA`.",
    ]
    for key, about in SETS.items():
        files = [(row, KEPT / f"{row.name}.json") for row in ROWS if row.data == key]
        rows = [(row, json.loads(file.read_text(encoding="utf-8"))) for row, file in files if file.is_file()]
        if not rows:
            continue
        parts += ["", f"## {about.title}", "", f"Others: {about.others}.", ""]
        parts += ["| recipe | test | dev | parameters | seconds | command |", "|---|---|---|---|---|---|"]
        for row, found in rows:
            test, dev = (_shown(found[side][about.metric]) for side in ("test", "dev"))
            figures = f"{test} | {dev} | {found['parameters']:,} | {found['seconds']:.0f}"
            parts.append(f"| {row.recipe} | {figures} | `{found['command']}` |")
    return "\n".join(parts) + "\n"


def _shown(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if not asked.page:
        todo = [row for row in ROWS if asked.only in row.name and not (KEPT / f"{row.name}.json").is_file()]
        with ThreadPoolExecutor(asked.workers) as pool:
            for done in [pool.submit(run, row, asked.data) for row in todo]:
                if fault := done.exception():
                    print(fault, file=sys.stderr, flush=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
