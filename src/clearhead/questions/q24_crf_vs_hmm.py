"""What is the difference between a CRF and an HMM?

CRF 和 HMM 的区别是什么？
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.errors import TooLittleError
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, interaction, value
from clearhead.experiments.evidence import Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.layers.structured import Chain, log_partition, marginals, score
from clearhead.models import sparse_features
from clearhead.models.hmm import HMM
from clearhead.objectives import generative_tagging, tagging
from clearhead.objectives.loss import UNKNOWN
from clearhead.objectives.tagging import normalised_step_by_step
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.splits import split_corpus
from clearhead.text.synthetic import hidden_markov_language, rib_rob
from clearhead.text.templates import TemplateSpec, index_features
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.expectation_maximization import EM
from clearhead.training.lbfgs import LBFGS
from clearhead.training.task import Task

STATES, SYMBOLS, LONGEST = 5, 60, 40
Ids = NDArray[np.int64]


def batch_of(lengths: list[int], features: Ids, tags: Ids) -> Batch:
    """Sentences end to end: a row of feature ids (N, M) and a label (N,) for every token; the first id is its word."""
    ids, layout = torch.from_numpy(features), Layout(torch.tensor(lengths), max(lengths), packed=True)
    return Batch(ids[:, 0].clamp_min(0), layout, labels={"tags": torch.from_numpy(tags)}, features={"templates": ids})


def inventory_of(features: int, labels: int) -> Inventory:
    return Inventory(Vocabulary(max(features, 5)), LONGEST, labels=tuple(map(str, range(labels))), features=features)


def tagger(output: str, features: int, labels: int) -> Task:
    """Scores that are sums of feature weights, under one normalisation a sentence (crf), a step (memm), a token."""
    inventory = inventory_of(features, labels)
    model = sparse_features.build(sparse_features.Spec(), inventory).double()
    spec = tagging.Spec.model_validate({"output": output})
    return Task(model, tagging.build(spec, model, inventory).double())


@torch.no_grad()
def count(task: Task, batch: Batch, smoothing: float) -> None:
    """An HMM in a CRF's clothes: weights are logarithms of counted shares, each template's features by themselves."""
    tags, ids, one = batch.labels["tags"], batch.features["templates"], torch.ones((), dtype=torch.float64)
    weight = task.get_parameter("model.weight")
    start, step = (task.get_parameter(f"objectives.0.{name}") for name in ("start", "transition"))
    template, counts = torch.zeros(len(weight), dtype=torch.int64), torch.full_like(weight, smoothing)
    for column, seen in enumerate(ids.T):
        template[seen[seen >= 0]] = column
        counts.index_put_((seen[seen >= 0], tags[seen >= 0]), one, accumulate=True)
    totals = counts.new_zeros(ids.shape[1], counts.shape[1]).index_add(0, template, counts)
    weight.copy_((counts / totals[template]).log())
    inner = batch.layout.position_ids.nonzero().squeeze(1)
    steps = torch.full_like(step, smoothing).index_put((tags[inner - 1], tags[inner]), one, accumulate=True)
    step.copy_((steps / steps.sum(1, keepdim=True)).log())
    starts = torch.bincount(tags[batch.layout.position_ids == 0], minlength=len(start)) + smoothing
    start.copy_((starts / starts.sum()).log())


def fit(task: Task, batch: Batch, l2: float, steps: int) -> None:
    """Minimises -log p(tags | words) + l2 / 2 |w|^2, a convex loss, by L-BFGS."""
    weights = list(task.parameters())
    optimizer = LBFGS(weights, 10, 5e-3 * len(batch.token_ids) ** 0.5)

    def closure() -> float:
        optimizer.zero_grad()
        loss = task(batch).total + l2 / 2 * torch.stack([w.square().sum() for w in weights]).sum()
        loss.backward()
        return float(loss.item())

    for _ in range(steps):
        optimizer.step(closure)
        if optimizer.converged:
            break


@torch.no_grad()
def right(task: Task, batch: Batch) -> float:
    """The share of tokens whose likeliest label, given the whole sentence, is the right one."""
    objective: Any = task.objective
    posterior = marginals(objective.chain(task.model(batch), batch))
    share: float = posterior.argmax(1).eq(batch.labels["tags"]).double().mean().item()
    return share


def taught(
    arm: str, train: Batch, test: Batch, features: int, labels: int, strength: float, steps: int
) -> dict[str, float]:
    """Accuracy, and -log p(tags | words) a token, of an HMM that was counted or of another tagger that was fitted.

    `strength` is what is added to every count, or the L2 penalty.
    """
    task = tagger("crf" if arm == "HMM" else arm.lower(), features, labels)
    if arm == "HMM":
        count(task, train, strength)
    else:
        fit(task, train, strength, steps)
    with torch.no_grad():
        nats, accuracy = float(task(test).total) / len(test.token_ids), right(task, test)
    return {"accuracy": accuracy, "error": 1 - accuracy, "nats": nats}


def sentences_of(seed: int, counts: tuple[int, ...], repeats: float, length: int, copies: int = 1) -> list[Batch]:
    """Batches of a language that an HMM writes (repeats 0), a new one for every seed; each symbol `copies` times."""
    language, rng = hidden_markov_language(STATES, SYMBOLS, repeats=repeats, seed=seed), np.random.default_rng(seed)
    drawn = [language.sample(rng, number, length) for number in counts]
    shift = SYMBOLS * np.arange(copies)
    return [batch_of([length] * len(y), x.reshape(-1, 1) + shift, y.reshape(-1)) for y, x in drawn]


def language(
    arm: str, seed: int, strength: float, steps: int, sentences: int = 24, repeats: float = 0.0, copies: int = 1,
    length: int = 20,
) -> Measured:  # fmt: skip
    """Labelled sentences of a language whose states write symbols: as an HMM says (repeats 0), or with repeats."""
    test, train = sentences_of(seed, (300, sentences), repeats, length, copies)
    return taught(arm, train, test, SYMBOLS * copies, STATES, strength, steps)


def label_bias(arm: str, seed: int, steps: int, noise: float = 3 / 32) -> Measured:
    """Rib and rob, misspelt (Lafferty et al. 2001, section 5.1): the share of states wrong beyond the optimum."""
    automaton, rng = rib_rob(noise), np.random.default_rng(seed)
    both = [automaton.sample(rng, number, 3) for number in (500, 2000)]
    train, test = (batch_of([3] * len(y), x.reshape(-1, 1), y.reshape(-1)) for y, x in both)
    return {"excess_error": automaton.best_accuracy(both[1][1]) - taught(arm, train, test, 4, 5, 0.3, steps)["accuracy"]}


@functools.lru_cache(maxsize=2)
def units(corpus: Corpus, characters: int) -> tuple[list[list[str]], list[list[str]]]:
    """The text's sentences as runs of letters and digits: words where it has spaces, phrases where it has none."""
    split = split_corpus(corpus, max_characters=characters)
    train, held_out = ([kept for s in part if len(kept := _runs(s)) > 1] for part in (split.train, split.validation))
    if len(train) < 4 or len(held_out) < 2:
        raise TooLittleError(f"{corpus.source}: too few sentences with two words or phrases; give a longer text")
    return train, held_out


def _runs(sentence: str) -> list[str]:
    runs = re.findall(r"[^\W_]+", sentence)
    ends = itertools.accumulate(map(len, runs))
    return [run for run, end in zip(runs, ends, strict=True) if end <= LONGEST]


def drawn(seed: int, corpus: Corpus, characters: int, *counts: int) -> list[list[list[str]]]:
    """Held-out sentences, at most half of them, and then disjoint parts of the training sentences, drawn by seed."""
    train, held_out = units(corpus, characters)
    rng = np.random.default_rng(seed)
    chosen = [held_out[i] for i in rng.permutation(len(held_out))[: min(120, len(held_out) // 2)]]
    share = min(1.0, len(train) / 2 / sum(counts))  # half of them at most, so that seeds differ
    ends = np.cumsum([max(1, int(share * number)) for number in counts])
    return [chosen, *([train[i] for i in part] for part in np.split(rng.permutation(len(train)), ends)[:-1])]


def laid(part: list[list[str]], features: Callable[[list[list[str]]], Any]) -> Batch:
    """The characters of sentences without what stood between their runs; tags B 0, M 1, E 2, S 3 tell the runs."""
    texts = [list("".join(runs)) for runs in part]
    sizes = [len(run) for runs in part for run in runs]
    tags = [tag for size in sizes for tag in ([3] if size == 1 else [0] + [1] * (size - 2) + [2])]
    return batch_of([len(text) for text in texts], np.concatenate(features(texts)).astype(np.int64), np.array(tags))


def segmentation(arm: str, seed: int, corpus: Corpus, strength: float, steps: int, characters: int) -> Measured:
    """Finds where the words (or phrases) of the text began after its spaces and punctuation were taken out.

    One feature a character (itself), or twelve that overlap: the characters around it, their pairs, its kind.
    """
    kind, features = arm.split(", ")
    test, train = drawn(seed, corpus, characters, 50)
    index = index_features([list("".join(runs)) for runs in train], TemplateSpec(kind="character", window=2))
    if features == "one":
        index = replace(index, templates=("word[0]",))
    return taught(kind, laid(train, index.encode), laid(test, index.encode), len(index), 4, strength, steps)


def unlabelled(
    arm: str, seed: int, world: str, corpus: Corpus, strength: float, rounds: int, characters: int
) -> Measured:
    """An HMM counted from few labelled sentences, then EM with many unlabelled ones beside them: what that changes."""
    states, symbols = STATES, SYMBOLS
    if world == "text":
        parts = drawn(seed, corpus, characters, 20, 200)
        known = {c: 1 + i for i, c in enumerate(sorted({c for runs in parts[1] + parts[2] for c in "".join(runs)}))}
        states, symbols = 4, len(known) + 1
        batches = [laid(part, lambda texts: [[[known.get(c, 0)] for c in t] for t in texts]) for part in parts]
    else:
        batches = sentences_of(seed, (300, 8, 400), float(world == "HMM false") / 2, 20)
    test, few, more = batches
    model = HMM(*(torch.full(shape, 1 / shape[-1]) for shape in ((states,), (states, states), (states, symbols))))
    objective = generative_tagging.build(generative_tagging.Spec(), model, inventory_of(symbols, states))
    task, optimizer, accuracy = Task(model, objective), EM(model.parameters(), strength), []
    for done in range(rounds + 1):
        optimizer.zero_grad()
        for batch in [few, hidden(more)] if done else [few]:
            task(batch).total.backward()
        optimizer.step()
        accuracy.append(right(task, test))
    return {"gain": accuracy[-1] - accuracy[0], "error": 1 - accuracy[-1]}


def hidden(batch: Batch) -> Batch:
    return replace(batch, labels={"tags": torch.full_like(batch.token_ids, UNKNOWN)})


def rewritten(arm: str, seed: int) -> Measured:
    """The largest difference of p(tags | words) over all 3^5 taggings: by Bayes' rule of an HMM, and of a CRF.

    The CRF's weights are the HMM's probabilities; or the HMM is made from any CRF, with a probability of stopping.
    """
    rng = np.random.default_rng(seed)
    sizes = ((1, 3), (3, 3), (3, 4), (1, 3))
    free = arm == "CRF as HMM"
    start, step, emit, end = (np.exp(rng.normal(size=s)) if free else rng.dirichlet(np.ones(s[1]), s[0]) for s in sizes)
    words, tags = rng.integers(4, size=5), np.array(list(itertools.product(range(3), repeat=5)))
    logs = [torch.from_numpy(np.log(x)) for x in (np.tile(emit[:, words].T, (len(tags), 1)), step, start[0], end[0])]
    chain = Chain(logs[0], logs[1], Layout(torch.full((len(tags),), 5), 5, packed=True), logs[2], logs[3])
    posterior = (score(chain, torch.from_numpy(tags.reshape(-1))) - log_partition(chain)).exp().numpy()
    if free:
        inflow = step * emit.sum(1)  # what a step weighs with whatever word stands behind it
        inflow *= 0.5 / np.abs(np.linalg.eigvals(inflow)).max()
        ahead = np.linalg.solve(np.eye(3) - inflow, end[0])  # the weight of all that can follow a state
        start, step, end = start * emit.sum(1) * ahead, inflow * ahead / ahead[:, None], end / ahead
        start, emit = start / start.sum(), emit / emit.sum(1, keepdims=True)
        assert np.allclose(step.sum(1) + end[0], 1)  # steps and stopping: an HMM
    steps = step[tags[:, :-1], tags[:, 1:]].prod(1)
    joint = start[0, tags[:, 0]] * emit[tags, words].prod(1) * steps * end[0, tags[:, -1]]
    return {"gap": float(np.abs(joint / joint.sum() - posterior).max())}


def foresight(arm: str, seed: int) -> Measured:
    """How much a MEMM's log p(first tag | words) moves with the scores of later words: the largest derivative."""
    rng = torch.Generator().manual_seed(seed)
    scores, step, start = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((4, 3), (3, 3), (3,)))
    chain = Chain(scores.requires_grad_(), step, Layout(torch.tensor([4]), 4, packed=True), start)
    posterior = marginals(normalised_step_by_step(chain), fused=False)
    (gradient,) = torch.autograd.grad(posterior[0, 0].log(), scores)
    return {"derivative": gradient[1:].abs().max().item()}


def silence(arm: str, seed: int) -> Measured:
    """The largest gradient that ten sentences without labels give the weights of a CRF."""
    rng = np.random.default_rng(seed)
    task = tagger("crf", 6, 3)
    with torch.no_grad():
        for weight in task.parameters():
            weight.copy_(torch.from_numpy(rng.normal(size=weight.shape)))
    task(hidden(batch_of([8] * 10, rng.integers(6, size=(80, 1)), np.zeros(80, np.int64)))).total.backward()
    return {"gradient": max(float(w.grad.abs().max()) for w in task.parameters() if w.grad is not None)}


GRID = (0.1, 0.3, 1.0, 3.0)
SEEDS = BySize((6,), (6, 12))
EXACT, STEPS = BySize((4,), (8,)), BySize({"steps": 40}, {"steps": 100})
TAGGERS = ("HMM, one", "MEMM, one", "CRF, one", "HMM, many", "softmax, many", "CRF, many")

EXPERIMENTS = [
    Experiment("rewritten", rewritten, ("HMM as CRF", "CRF as HMM"), seeds=EXACT),
    Experiment("foresight", foresight, ("MEMM",), seeds=EXACT),
    Experiment("silence", silence, ("CRF",), seeds=EXACT),
    Experiment("label_bias", label_bias, ("HMM", "CRF", "MEMM"), seeds=SEEDS, settings=STEPS, transfer={"noise": 0.2}),
    Experiment(
        "language", language, ("HMM", "CRF"), {"sentences": (4, 24, 128), "repeats": (0.0, 0.5)}, seeds=SEEDS,
        settings=STEPS, tune=Tune("strength", GRID, "nats"), transfer={"length": 40},
    ),
    Experiment(
        "overlap", language, ("HMM", "CRF"), {"copies": (1, 8)}, seeds=SEEDS, transfer={"length": 40},
        settings=STEPS, tune=Tune("strength", (*GRID, 10.0, 30.0), "nats"),
    ),
    Experiment(
        "segmentation", segmentation, TAGGERS, seeds=SEEDS,
        settings=BySize({"steps": 40, "characters": 300_000}, {"steps": 100, "characters": 1_000_000}),
        tune=Tune("strength", (0.001, 0.1, 1.0, 3.0), "error"), needs_text=True,
    ),
    Experiment(
        "unlabelled", unlabelled, ("HMM",), {"world": ("HMM true", "HMM false", "text")}, seeds=SEEDS,
        settings=BySize({"rounds": 10, "characters": 300_000}, {"rounds": 20, "characters": 1_000_000}),
        tune=Tune("strength", (0.01, 0.1, 1.0, 10.0), "error"), needs_text=True,
    ),
]  # fmt: skip

CLAIMS = [
    Claim("hmm_is_a_crf", every("rewritten", "gap", "HMM as CRF"), exactly(0), "",
        Bilingual("an HMM's p(tags | words) is a CRF's with log-probabilities as weights", "HMM 的后验就是以对数概率为权重的 CRF"),
        Bilingual("An HMM counts words and tags together; a CRF fits tags given words, normalised over the sentence.",
                  "HMM 靠计数对词与标签联合建模；CRF 在整句上归一化，直接拟合给定词的标签。"),
        kind="exact", by="textbook"),
    Claim("crf_is_an_hmm", every("rewritten", "gap", "CRF as HMM"), exactly(0), "",
        Bilingual("and a CRF of one feature a word is an HMM that can stop: it is no larger family",
                  "每词一个特征的 CRF 也是一个带终止概率的 HMM：并不是更大的模型族"),
        Bilingual("With one feature a word, each can be rewritten as the other exactly.", "每词一个特征时，两者可以精确互换。"),
        kind="exact"),
    Claim("memm_cannot_look_ahead", every("foresight", "derivative", "MEMM"), exactly(0), "nats",
        Bilingual("in a MEMM, later words cannot move the probability of earlier tags", "在 MEMM 中，后面的词改变不了前面的标签"),
        kind="exact", by="paper"),
    Claim("unlabelled_is_silent", every("silence", "gradient", "CRF"), exactly(0), "nats",
        Bilingual("text without tags gives a CRF no gradient", "无标注文本给 CRF 的梯度严格为零"), kind="exact"),
    Claim("hmm_has_label_bias", value("label_bias", "excess_error", "HMM"), above(0.1), "error",
        Bilingual("label bias is the HMM's: on rib and rob over 0.1 of its tags are needlessly wrong",
                  "标注偏置是 HMM 的毛病：在 rib/rob 上它有 0.1 以上的标签本可不错"),
        Bilingual("The HMM showed label bias.", "HMM 表现出标注偏置。"),
        Bilingual("Label bias is not the HMM's defect: it was at most {hmm_has_label_bias.high:.2f} from the optimum.",
                  "标注偏置不是 HMM 的毛病：它与最优至多差 {hmm_has_label_bias.high:.2f}。"),
        by="folk"),
    Claim("memm_has_it", value("label_bias", "excess_error", "MEMM"), above(0.1), "error",
        Bilingual("a MEMM, normalised step by step, has it", "逐步归一化的 MEMM 有标注偏置"),
        Bilingual("The MEMM, normalised step by step, has it ({memm_has_it.effect:+.2f}).",
                  "逐步归一化的 MEMM 才有（{memm_has_it.effect:+.2f}）。"),
        Bilingual("The MEMM did not show it here.", "这里 MEMM 没有表现出来。"), by="paper"),
    Claim("memm_on_text", difference("segmentation", "accuracy", "CRF, one", "MEMM, one"), above(0.01), "accuracy",
        Bilingual("with one feature, a CRF finds this text's words better than a MEMM", "只用一个特征时，CRF 分词好于 MEMM")),
    Claim("few_labels", difference("language", "nats", "CRF", "HMM", sentences=4, repeats=0.0), above(0), "nats",
        Bilingual("where an HMM is true, it is better with 4 labelled sentences", "HMM 假设成立、只有 4 句标注时，HMM 更好"),
        Bilingual("With 4 sentences of a language that is an HMM, counting was {few_labels.effect:.2f} nats better.",
                  "语言本身是 HMM、只有 4 句标注时，计数好 {few_labels.effect:.2f} nat。"),
        by="paper"),
    Claim("false_assumption", difference("language", "nats", "CRF", "HMM", sentences=128, repeats=0.5), below(0), "nats",
        Bilingual("where it is false (symbols repeat), a CRF is better with 128", "假设不成立（符号会重复）、128 句时，CRF 更好"),
        Bilingual("Where its assumption fails and 128 are labelled, the CRF was better ({false_assumption.effect:+.2f} nats).",
                  "假设不成立、有 128 句标注时，CRF 更好（{false_assumption.effect:+.2f} nat）。"),
        by="paper"),
    Claim("hmm_counts_twice", interaction("overlap", "nats", "HMM", "CRF", over="copies", high=8, low=1), above(0.1), "nats",
        Bilingual("to be told each symbol eight times costs an HMM over 0.1 nats a tag more than a CRF",
                  "每个符号重复八遍，HMM 每个标签比 CRF 多损失 0.1 nat 以上"),
        by="textbook"),
    Claim("overlap_on_text", difference("segmentation", "accuracy", "CRF, many", "HMM, many"), above(0), "accuracy",
        Bilingual("a CRF makes more of twelve overlapping features on this text than an HMM",
                  "在这段文本上，十二个重叠特征 CRF 比 HMM 用得更好"),
        Bilingual("With twelve overlapping features the CRF found this text's words {overlap_on_text.effect:.3f} better.",
                  "用十二个重叠特征还原这段文本的分词，CRF 比 HMM 高 {overlap_on_text.effect:.3f}。"),
        Bilingual("Overlapping features served the HMM as well on this text.", "在这段文本上，重叠特征对 HMM 同样好用。"),
        by="textbook"),
    Claim("transitions_are_it", difference("segmentation", "accuracy", "CRF, one", "softmax, many"), above(0), "accuracy",
        Bilingual("transitions make the CRF: with one feature it beats a softmax with twelve and no transitions",
                  "CRF 好在转移：只用一个特征也胜过没有转移、用十二个特征的 softmax"),
        by="folk"),
    Claim("em_where_true", value("unlabelled", "gain", "HMM", world="HMM true"), above(0), "accuracy",
        Bilingual("unlabelled sentences help an HMM where it is the true model", "HMM 是真模型时，无标注句子有益"),
        Bilingual("Where an HMM is true, unlabelled sentences gave {em_where_true.effect:+.2f}; a CRF cannot use them.",
                  "HMM 是真模型时，无标注句子带来 {em_where_true.effect:+.2f}；CRF 用不上它们。")),
    Claim("em_on_text", value("unlabelled", "gain", "HMM", world="text"), above(0), "accuracy",
        Bilingual("an HMM gets better by learning from unlabelled text, this one too", "HMM 能靠无标注文本变好，这段文本也是"),
        Bilingual("On this text they helped as well: {em_on_text.effect:+.2f}.", "在这段文本上也有益：{em_on_text.effect:+.2f}。"),
        Bilingual("An HMM can learn from unlabelled text, but on this one EM changed its accuracy by {em_on_text.effect:+.2f}.",
                  "HMM 可以从无标注文本学习，但在这段文本上 EM 使准确率变化 {em_on_text.effect:+.2f}。"),
        by="folk"),
]  # fmt: skip

FIGURES = [
    View(
        "segmentation", "bars", "segmentation", ("accuracy",), Axis("arm", same("")),
        Axis("value", Bilingual("labels right, held-out text", "标签准确率（留出文本）")),
        Bilingual("Words of this text found again: features and normalisation", "还原这段文本的分词：特征与归一化"),
        Bilingual("One feature a character, or twelve that overlap.", "每字一个特征，或十二个互相重叠的特征。"),
        labels={name: Bilingual(name, name.replace(", one", "，一个特征").replace(", many", "，十二个")) for name in TAGGERS},
    ),
    View(
        "language", "lines", "language", ("nats",), Axis("sentences", Bilingual("labelled sentences", "标注句数"), log=True),
        Axis("value", Bilingual("nats a tag, the CRF's minus the HMM's", "每标签 nat，CRF 减去 HMM")),
        Bilingual("CRF against HMM, by labels and by whether the HMM is true", "CRF 与 HMM：看标注量，看 HMM 假设是否成立"),
        Bilingual("Known languages; each at its best strength.", "已知语言；各取最佳强度。"), colour="repeats", baseline="HMM",
        labels={"0.0": Bilingual("HMM is true", "假设成立"), "0.5": Bilingual("HMM is false", "假设不成立")},
    ),
]  # fmt: skip

QUESTION = Question(
    number=24, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "Both weigh a tagging by steps between neighbouring tags and by how tag and word fit. The HMM's weights are "
        "probabilities, so it must say how words arise: features that repeat one another are counted twice. The CRF takes "
        "words as given and only shares out weight between taggings, so features may overlap, and words without tags "
        "teach it nothing.\n\nA MEMM normalises each step by itself: a state with one way on passes all its weight on, "
        "whatever the next word says. That is label bias. HMM and CRF compare whole taggings: a later word can take weight "
        "away.",
        "两者都用相邻标签的转移、标签与词的契合给整条标注打分。HMM 的权重是概率，必须说明词如何产生，互相重复的特征会被重复"
        "计数。CRF 把词当作已知，只在各种标注之间分配权重，所以特征可以重叠，而没有标注的词教不了它什么。\n\n"
        "MEMM 每一步单独归一化：只有一条出路的状态无论下一个词是什么都把权重全部传下去，这就是标注偏置。"
        "HMM 和 CRF 比较整条标注，后面的词可以把权重收回。",
    ),
    formula="HMM: p(x, y) = Π p(yₜ | yₜ₋₁) p(xₜ | yₜ)\nCRF: p(y | x) = exp(Σ A[yₜ₋₁, yₜ] + w·f(yₜ, x)) / Z(x)\n"
    "MEMM: p(y | x) = Π exp(A[yₜ₋₁, yₜ] + w·f(yₜ, x)) / Zₜ(yₜ₋₁, x)",
    held_equal=Bilingual(
        "All taggers are one module: sums of feature weights and a transition matrix, the likeliest tag of each token. The "
        "same sentences for all arms of a seed; smoothing or penalty from one sweep on another draw. Known languages: 5 "
        "states, 60 symbols, a new one each seed. Text: 50 labelled sentences of up to 40 characters, tags B M E S of the "
        "runs between spaces and punctuation, so any language will do (in Chinese the runs are phrases). Small models, "
        "few labels; neural scores are not measured.",
        "所有标注器是同一个模块：特征权重之和加转移矩阵，逐词取最可能的标签。同一种子的各组用同样的句子，平滑或惩罚强度由同一"
        "扫描在另一次抽样上选取。已知语言：5 个状态、60 个符号，每个种子一种。文本：50 句标注，每句至多 40 个字符，标签是空格与"
        "标点之间各段的 B M E S，任何语言都能用（中文里各段是短语）。都是少量标注的小模型，没有测神经网络打分。",
    ),
    sources=[
        Source("Lafferty, McCallum & Pereira", 2001, "Conditional Random Fields", "ICML"),
        Source("Ng & Jordan", 2001, "On Discriminative vs. Generative Classifiers", "NIPS 14"),
        Source("Merialdo", 1994, "Tagging English Text with a Probabilistic Model", "Computational Linguistics 20"),
    ],
)  # fmt: skip
