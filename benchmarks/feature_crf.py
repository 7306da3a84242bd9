"""Seconds to train a CRF on sparse features to the same penalised likelihood: clearhead against CRFsuite.

    python benchmarks/feature_crf.py [--data FILE] [--dev FILE] [--sentences N] [--iterations N] [--threads N ...]

Both sides get the same words, feature templates, labels and L2 penalty, and run L-BFGS in one process, one after the
other. CRFsuite does so many iterations, on one thread, which is all it uses: with a weight for every pair of feature
and label (the same function that clearhead minimises), and with its default, only those pairs that the text shows (a
smaller model). clearhead then trains until its own penalised likelihood is at least as good. Only the iterations are
timed, on either side: not the reading of features, which CRFsuite's `train` call would add as much again for. Seconds
are those of the clock, and of the processor, which other work on the machine disturbs less. The accuracy is that on
--dev, or on the text itself. Files are CoNLL-U; without --data the text is drawn from an HMM.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycrfsuite
import torch
from rich.console import Console
from rich.table import Table

from clearhead.batches.batch import Batch, Item, collate
from clearhead.models import hmm, sparse_features
from clearhead.objectives import tagging
from clearhead.text.conllu import read_conllu
from clearhead.text.inventory import Inventory
from clearhead.text.templates import FeatureIndex, TemplateSpec, feature_names, index_features, templates
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

Sentences = list[tuple[tuple[str, ...], tuple[str, ...]]]
SPEC = TemplateSpec()
C2 = 1.0
HISTORY = 6  # CRFsuite's
MOST_STEPS = 10


@dataclass(frozen=True)
class Trained:
    """What one side came to: seconds of iterations, how many, c2 |w|^2 - log-likelihood, numbers learned, accuracy."""

    name: str
    seconds: float
    processor: float
    iterations: int
    objective: float
    weights: int
    accuracy: float


def read(path: Path) -> Sentences:
    """The words and universal tags of a CoNLL-U file, gzipped or not."""
    if path.suffix == ".gz":
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, path.stem)
            plain.write_bytes(gzip.decompress(path.read_bytes()))
            return read(plain)
    found = [sentence.tagged() for sentence in read_conllu(path)]
    return [(sentence.words, sentence.tags) for sentence in found]


def drawn(sentences: int, seed: int) -> Sentences:
    """Sentences of an HMM of 17 labels, each with a few hundred words of its own and its share of common ones."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size)) for size in rng.integers(1, 9, 6000)]
    rows = [rng.dirichlet(np.full(size, 0.05), 17) for size in (17, len(words))]
    model = hmm.HMM(*(torch.from_numpy(part) for part in (rng.dirichlet(np.ones(17)), *rows)))
    lengths = np.random.default_rng(seed).integers(3, 30, sentences).tolist()
    written = model.sample(lengths, torch.Generator().manual_seed(seed))
    return [(tuple(words[w] for w in tokens), tuple(f"L{k}" for k in states)) for states, tokens in written]


class Timed(pycrfsuite.Trainer):  # type: ignore[misc]
    """CRFsuite's trainer, with the seconds `spent` on iterations, by the clock and by the processor."""

    began = spent = (0.0, 0.0)

    def message(self, message: str) -> None:
        super().message(message)
        now = time.perf_counter(), time.process_time()
        if message.startswith("L-BFGS optimization"):
            self.began = now
        elif message.startswith("Seconds required for this iteration"):
            self.spent = now[0] - self.began[0], now[1] - self.began[1]


def by_crfsuite(name: str, train: Sentences, dev: Sentences, iterations: int, *, every_pair: bool) -> Trained:
    trainer = Timed(algorithm="lbfgs", verbose=False)
    trainer.set_params({"c1": 0, "c2": C2, "max_iterations": iterations, "epsilon": 0.0, "delta": 0.0})
    trainer.set_params({"feature.possible_states": every_pair, "feature.possible_transitions": True})
    for words, tags in train:
        trainer.append(feature_names(words, templates(SPEC)), tags)
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(str(Path(folder, "model")))
        tagger = pycrfsuite.Tagger()
        tagger.open(str(Path(folder, "model")))
        said = [tagger.tag(feature_names(words, templates(SPEC))) for words, _ in dev]
    log = trainer.logparser
    right = [one == tag for path, (_, tags) in zip(said, dev, strict=True) for one, tag in zip(path, tags, strict=True)]
    loss = float(log.last_iteration["loss"])
    weights = int(log.featgen_num_features or 0)
    return Trained(name, *trainer.spent, len(log.iterations), loss, weights, float(np.mean(right)))


def batch_of(sentences: Sentences, index: FeatureIndex, labels: list[str]) -> Batch:
    numbers = {label: number for number, label in enumerate(labels)}
    encoded = index.encode([words for words, _ in sentences])
    items = [
        Item(ids[:, 0], labels={"tags": np.array([numbers.get(tag, -1) for tag in tags])}, features={"templates": ids})
        for (_, tags), ids in zip(sentences, encoded, strict=True)
    ]
    return collate(items, packed=True)


def by_clearhead(name: str, train: Sentences, dev: Sentences, target: float, iterations: int) -> Trained:
    """Training until c2 |w|^2 - log-likelihood is at most `target`, or for ten times as many iterations."""
    labels = sorted({tag for _, tags in train for tag in tags})
    index = index_features([words for words, _ in train], SPEC)
    inventory = Inventory(Vocabulary(len(index)), 1, labels=tuple(labels), features=len(index))
    model = sparse_features.build(sparse_features.Spec(), inventory)
    objective = tagging.build(tagging.Spec(output="crf"), model, inventory)
    for edge in (objective.start, objective.end):
        edge.requires_grad_(False)  # CRFsuite has none
    task = Task(model, objective)
    batch = batch_of(train, index, labels)
    tokens = len(batch.token_ids)
    optimizer = {"name": "lbfgs", "tolerance": 0.0, "history": HISTORY}
    spec = TrainingSpec(optimizer=optimizer, steps=MOST_STEPS * iterations, l2=2 * C2 / tokens)
    weights = [model.weight, objective.transition]
    processor, started = 0.0, time.process_time()
    for step in fit(task, iter([batch]), spec, seed=0):
        processor += time.process_time() - started
        value = step.loss * tokens + C2 * sum(float(weight.detach().double().square().sum()) for weight in weights)
        if value <= target:
            break
        started = time.process_time()
    with torch.inference_mode():
        unseen = batch_of(dev, index, labels)
        answers = np.concatenate(objective.answer(model(unseen), unseen))
    accuracy = float((answers == unseen.labels["tags"].numpy()).mean())
    size = sum(weight.numel() for weight in weights)
    return Trained(name, step.seconds, processor, step.number, value, size, accuracy)


def as_table(rows: list[Trained], title: str) -> Table:
    table = Table(title=title)
    for column in ("", "clock s", "processor s", "iterations", "objective", "weights", "accuracy"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        cells = f"{row.seconds:.1f}", f"{row.processor:.1f}", str(row.iterations), f"{row.objective:.1f}"
        table.add_row(row.name, *cells, f"{row.weights:,}", f"{row.accuracy:.4f}")
    return table


def parsed() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description="Seconds to train a feature CRF to the same likelihood.")
    arguments.add_argument("--data", type=Path, help="CoNLL-U, gzipped or not (default: drawn from an HMM)")
    arguments.add_argument("--dev", type=Path, help="where accuracy is measured (default: the training text)")
    arguments.add_argument("--sentences", type=int, default=3000)
    arguments.add_argument("--iterations", type=int, default=60, help="of CRFsuite")
    arguments.add_argument("--threads", type=int, nargs="+", default=[1], help="of clearhead, each in turn")
    return arguments.parse_args()


def main() -> None:
    chosen = parsed()
    torch.set_flush_denormal(True)
    train = read(chosen.data)[: chosen.sentences] if chosen.data else drawn(chosen.sentences, seed=1)
    dev = read(chosen.dev) if chosen.dev else drawn(500, seed=2) if not chosen.data else train
    warm = train[:20]
    by_clearhead("", warm, warm, 0.0, 1)  # compiles the loops
    console = Console()
    for every_pair, pairs in ((True, "every pair of feature and label"), (False, "pairs that the text shows")):
        theirs = by_crfsuite(f"CRFsuite, {pairs}", train, dev, chosen.iterations, every_pair=every_pair)
        rows = [theirs]
        for threads in chosen.threads:
            torch.set_num_threads(threads)
            name = f"clearhead, {threads} thread{'s' * (threads > 1)}"
            rows.append(by_clearhead(name, train, dev, theirs.objective, chosen.iterations))
        tokens = sum(len(words) for words, _ in train)
        console.print(as_table(rows, f"{len(train):,} sentences, {tokens:,} tokens; {pairs}"))
        for row in rows[1:]:
            clock, processor = row.seconds / theirs.seconds, row.processor / theirs.processor
            console.print(f"{row.name} over CRFsuite: {clock:.2f} of the clock, {processor:.2f} of the processor")


if __name__ == "__main__":
    main()
