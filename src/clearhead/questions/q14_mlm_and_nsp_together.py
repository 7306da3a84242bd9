"""Are BERT's two tasks, masked LM and next sentence prediction, trained one after the other or in alternation?

BERT 的两个任务 Masked LM 和 Next Sentence Prediction 是先后训练的还是交替训练的？
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch, Item, collate
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, title_of
from clearhead.errors import TooLittleError
from clearhead.evaluation.probes import watch
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, value
from clearhead.experiments.evidence import Along, Measured, Scalar
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.models import bert
from clearhead.objectives import masked_lm, next_sentence
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.splits import units_of
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.descent import descend
from clearhead.training.task import Task

TOPICS, WORDS, SEGMENT, POINTS = 3, 12, 5, 4
MASK, CLS, SEP = WORDS, WORDS + 1, WORDS + 2
SAYS = 0.8 * np.eye(TOPICS).repeat(WORDS // TOPICS, 1) * TOPICS / WORDS + 0.2 / WORDS  # four words each, mostly
PAIRS = np.where(np.eye(TOPICS), 0.5 / TOPICS, 0.5 / (TOPICS * (TOPICS - 1)))  # P(topic of A, topic of B)
TYPES = torch.tensor([0] * (SEGMENT + 2) + [1] * (SEGMENT + 1))
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def one_batch(arm: str, seed: int, width: int = 16) -> Measured:
    """A batch of pairs through an untrained BERT with both heads, in float64: runs of the trunk, how far the gradient
    of the summed mean losses is from the sum of their gradients, and the share of the trunk that each task reaches."""
    torch.manual_seed(seed)
    inventory = Inventory(Vocabulary(30, pad=0, unknown=1, begin=2, end=3, mask=4), 16)
    spec = bert.Spec.model_validate({"hidden_size": width, **NO_DROPOUT})
    model = bert.build(spec, inventory)
    heads = (masked_lm.build(masked_lm.Spec(), model, inventory), next_sentence.build(next_sentence.Spec(), model, inventory))
    task = Task(model, *heads).double()
    types = torch.tensor([0] * 8 + [1] * 7)
    words = torch.randint(5, 30, (16, 15)).index_fill_(1, torch.tensor([7, 14]), 3).index_fill_(1, torch.tensor([0]), 2)
    batch = task.ask(collate([Item(row, types) for row in words], packed=True), torch.Generator().manual_seed(seed))
    with watch(task, ["model"]) as seen:
        masked, follows = (found.total / found.count for found in task.losses(batch) if found is not None)
    weights = dict(task.named_parameters())

    def gradient(loss: Tensor) -> list[Tensor]:
        grads = torch.autograd.grad(loss, list(weights.values()), retain_graph=True, materialize_grads=True)
        return list(grads)

    one, two, both = gradient(masked), gradient(follows), gradient(masked + follows)
    gap = max(float((a + b - c).abs().max()) for a, b, c in zip(one, two, both, strict=True))
    trunk = [n for n, name in enumerate(weights) if name.startswith("model.encoder.")]
    reached = [bool(one[n].any()) and bool(two[n].any()) for n in trunk]
    return {
        "trunk_runs": float(len(seen["model"])),
        "gap": gap / max(float(c.abs().max()) for c in both),
        "trunk_reached_by_both": sum(reached) / len(reached),
    }


def draw(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs [CLS] A [SEP] B [SEP] of five words each (n, 13), which words are hidden (n, 13), and 1 where B is of
    A's topic: it "follows". A topic is drawn for each text, and its words independently from the topic's."""
    first, follows = rng.integers(TOPICS, size=count), rng.random(count) < 0.5
    second = np.where(follows, first, (first + rng.integers(1, TOPICS, size=count)) % TOPICS)
    topics = np.stack([first, second], 1).repeat(SEGMENT, 1)
    words = (rng.random((*topics.shape, 1)) > SAYS.cumsum(1)[topics]).sum(-1).clip(max=WORDS - 1)
    hidden = rng.random(words.shape) < 0.15
    blank = [np.full((count, 1), mark) for mark in (CLS, SEP, SEP)]
    rows = np.concatenate([blank[0], words[:, :SEGMENT], blank[1], words[:, SEGMENT:], blank[2]], 1)
    places = np.zeros(rows.shape, bool)
    places[:, 1 : SEGMENT + 1], places[:, SEGMENT + 2 : -1] = hidden[:, :SEGMENT], hidden[:, SEGMENT:]
    return torch.from_numpy(rows), torch.from_numpy(places), torch.from_numpy(follows)


def optimum(rows: Tensor, places: Tensor, follows: Tensor) -> tuple[float, float]:
    """The least nats of a hidden word and of a verdict that any model can have on these pairs: by Bayes' rule."""
    sides = [(rows[:, 1 : SEGMENT + 1].numpy(), places[:, 1 : SEGMENT + 1].numpy())]
    sides.append((rows[:, SEGMENT + 2 : -1].numpy(), places[:, SEGMENT + 2 : -1].numpy()))
    likely = [np.exp((np.log(SAYS).T[words] * ~hidden[..., None]).sum(1)) for words, hidden in sides]  # (n, topics)
    joint = PAIRS * likely[0][:, :, None] * likely[1][:, None, :]
    joint /= joint.sum((1, 2), keepdims=True)
    nats = [
        -np.log((joint.sum(3 - axis)[:, None] * SAYS.T[words]).sum(-1))[hidden]
        for axis, (words, hidden) in enumerate(sides, 1)
    ]
    same = np.trace(joint, axis1=1, axis2=2)
    return float(np.concatenate(nats).mean()), float(-np.log(np.where(follows.numpy(), same, 1 - same)).mean())


def schedule(arm: str, seed: int, steps: int, width: int = 32, learning_rate: float = 5e-3) -> Measured:
    """Both tasks after training under a schedule: bits of a hidden word above the optimum, and the share of pairs judged
    right. `*_curve`: along the share of the training. "twice the sequences" sees twice as many as the other arms."""
    torch.manual_seed(seed)
    spec = bert.Spec.model_validate({"hidden_size": width, "initialization": "xavier", **NO_DROPOUT})
    model = bert.build(spec, Inventory(Vocabulary(WORDS + 3), 2 * SEGMENT + 3))
    heads = nn.ModuleList([nn.Linear(width, WORDS), nn.Sequential(model.pooler, nn.Linear(width, 2))])
    rng, test = np.random.default_rng(seed), draw(np.random.default_rng([seed, 1]), 500)
    best, done, total = optimum(*test), 0, steps * (2 if "twice" in arm else 1)
    curves: tuple[dict[Scalar, float], dict[Scalar, float]] = ({}, {})

    def losses(rows: Tensor, places: Tensor, follows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        layout = Layout(torch.full((len(rows),), rows.shape[1]), rows.shape[1], packed=False)
        states = model(Batch(rows.masked_fill(places, MASK).flatten(), layout, TYPES.repeat(len(rows)))).hidden
        masked = F.cross_entropy(heads[0](states[places.flatten()]), rows[places])
        verdict = heads[1](states[:: rows.shape[1]])
        return masked, F.cross_entropy(verdict, follows.long()), verdict.argmax(-1).eq(follows).float().mean()

    def look(share: float) -> None:
        with torch.no_grad():
            masked, _, right = losses(*test)
        curves[0][share], curves[1][share] = (masked.item() - best[0]) / math.log(2), right.item()

    def loss() -> Tensor:
        nonlocal done
        if done % max(1, total // POINTS) == 0:
            look(done / total)
        share, turn = done / total, done % 2
        done += 1
        masked, judged, _ = losses(*draw(rng, 24))
        first, second = (masked, judged) if share < 0.5 else (judged, masked)
        taken = {"joint": masked + judged, "MLM then NSP": first, "NSP then MLM": second}
        return taken.get(arm, judged if turn else masked)

    optimizer = torch.optim.Adam(nn.ModuleList([model, heads]).parameters(), learning_rate, fused=True)
    descend(optimizer, loss, total, schedule="linear", warmup=0.1, clip=1.0)
    look(1.0)
    (mlm, nsp), (mlm_end, nsp_end) = curves, (curve[1.0] for curve in curves)
    return {"mlm": mlm_end, "nsp": nsp_end, "mlm_curve": Along("share", mlm), "nsp_curve": Along("share", nsp)}


def shared_words(arm: str, seed: int, corpus: Corpus) -> Measured:
    """How well overlap alone tells a text's next stretch from a random one: the share right of each ten pairs.

    A stretch is two sentences; the score of a pair is the cosine of its tf-idf vectors over pairs of characters, the
    threshold is fitted on every other pair. `swapped`: how far the score moves when the two stretches change places.
    """
    sentences = units_of(corpus, "sentence")[:6000]
    stretches = [" ".join(sentences[n : n + 2]).lower() for n in range(0, len(sentences) - 1, 2)][-1200:]
    if len(stretches) < 24:
        raise TooLittleError(f"{corpus.source}: {len(sentences)} sentences, where 48 are the least; give a longer text")
    counts = [Counter(map("".join, itertools.pairwise(text))) for text in stretches]
    seen = Counter(bigram for count in counts for bigram in count)
    vectors = [{b: n * math.log(len(counts) / seen[b]) for b, n in count.items()} for count in counts]
    lengths = [math.sqrt(sum(w * w for w in vector.values())) or 1.0 for vector in vectors]

    def cosine(a: int, b: int) -> float:
        return sum(w * vectors[b].get(bigram, 0.0) for bigram, w in vectors[a].items()) / lengths[a] / lengths[b]

    rng = np.random.default_rng(seed)
    pairs = [(n, n + 1 if n % 2 else int(rng.integers(len(counts)))) for n in range(len(counts) - 1)]
    scores, true = np.array([cosine(a, b) for a, b in pairs]), np.arange(len(pairs)) % 2 == 1
    swapped = np.abs(scores - [cosine(b, a) for a, b in pairs]).max()
    fitted = np.arange(len(pairs)) % 4 < 2
    bars = np.unique(scores[fitted])
    bar = bars[np.argmax([((scores[fitted] >= b) == true[fitted]).mean() for b in bars])]
    right = ((scores >= bar) == true)[~fitted]
    tens = right[: len(right) // 10 * 10].reshape(-1, 10).mean(1)
    return {"right": Along("ten_pairs", dict(enumerate(tens.tolist()))), "swapped": float(swapped)}


BOTH, TWICE = "schedule", "alternating, twice the sequences"
ARMS = ("joint", TWICE, "MLM then NSP", "NSP then MLM")

EXPERIMENTS = [
    Experiment("one_batch", one_batch, ("joint",), seeds=BySize((4,), (8,))),
    Experiment(
        BOTH, schedule, ARMS, seeds=BySize((6,), (6, 12)), settings=BySize({"steps": 180}, {"steps": 800}),
        transfer={"width": 48, "learning_rate": 2.5e-3},
    ),
    Experiment("shared_words", shared_words, ("tf-idf",), seeds=BySize((1,), (1,)), needs_text=True),
]

CLAIMS = [
    Claim(
        "one_pass", every("one_batch", "trunk_runs", "joint"), exactly(1), "runs",
        Bilingual("together: one run of the encoder on one batch gives both losses", "同时训练：同一批次一次前向，同时得到两个损失"),
        Bilingual(
            "Neither: they are trained together. One run of the encoder on a batch of sentence pairs gives the loss at the "
            "hidden words and the loss at [CLS]; their means are added, then one backward pass.",
            "都不是，是同时训练：对一批句对做一次前向，同时得到被遮词处的损失和 [CLS] 处的损失，两个均值相加后反传一次。",
        ),
        Bilingual("The two losses needed runs of their own here.", "这里两个损失各需一次前向。"), kind="exact", by="paper",
    ),
    Claim(
        "gradients_add", every("one_batch", "gap", "joint"), exactly(0, 1e-9), "relative",
        Bilingual("the gradient of the summed loss is the sum of both tasks' gradients", "总损失的梯度就是两个任务梯度之和"), kind="exact",
    ),
    Claim(
        "trunk_is_shared", every("one_batch", "trunk_reached_by_both", "joint"), exactly(1), "of the tensors",
        Bilingual("both tasks reach every tensor of the encoder in every update", "每次更新，两个任务的梯度都到达编码器的每个张量"),
        Bilingual("Both gradients reach every tensor of the encoder.", "两个梯度都到达编码器的每个张量。"),
        Bilingual("Some tensors of the encoder were reached by one task only.", "编码器有的张量只有一个任务的梯度。"), kind="exact",
    ),
    Claim(
        "nsp_first_ends_behind", difference(BOTH, "nsp", "NSP then MLM", "joint"), below(-0.05), "accuracy",
        Bilingual("NSP first and MLM after it ends over 5 points behind joint training in NSP", "先 NSP 后 MLM，NSP 比同时训练低 5 个点以上"),
        Bilingual("In a small BERT, NSP first and MLM after it left NSP's accuracy at {nsp_first_ends_behind.effect:+.2f} of joint training's.",
                  "小型 BERT 上，先 NSP 后 MLM，NSP 的准确率比同时训练变化 {nsp_first_ends_behind.effect:+.2f}。"),
        Bilingual("In a small BERT, NSP first and MLM after it did NSP no such harm.", "小型 BERT 上，先 NSP 后 MLM 对 NSP 没有这种损害。"),
    ),
    Claim(
        "mlm_first_ends_behind", difference(BOTH, "mlm", "MLM then NSP", "joint"), above(0.05), "bits",
        Bilingual("MLM first and NSP after it ends over 0.05 bits behind joint training in MLM", "先 MLM 后 NSP，MLM 比同时训练差 0.05 比特以上"),
        Bilingual("MLM first and NSP after it cost MLM {mlm_first_ends_behind.effect:.2f} bits beside joint training.",
                  "先 MLM 后 NSP，MLM 比同时训练差 {mlm_first_ends_behind.effect:.2f} 比特。"),
        Bilingual("MLM first and NSP after it cost MLM nothing like that.", "先 MLM 后 NSP 没有让 MLM 变差这么多。"),
    ),
    Claim(
        "alternating_harms", difference(BOTH, "mlm", TWICE, "joint"), above(0.05), "bits",
        Bilingual("alternating batches is harmful: with as many updates for each task it costs MLM over 0.05 bits",
                  "逐批交替有害：每个任务更新次数相同时，MLM 差 0.05 比特以上"),
        Bilingual("Alternating cost MLM {alternating_harms.effect:.2f} bits, even with as many updates for each task.",
                  "即使每个任务的更新次数相同，交替训练也使 MLM 差 {alternating_harms.effect:.2f} 比特。"),
        Bilingual("Alternating did no harm once each task had as many updates ({alternating_harms.effect:+.2f} bits): it takes "
                  "twice the sequences.",
                  "每个任务更新次数相同时，交替训练并无损害（{alternating_harms.effect:+.2f} 比特），只是要用两倍的样本。"),
        by="folk",
    ),
    Claim(
        "alternating_harms_nsp", difference(BOTH, "nsp", TWICE, "joint"), below(-0.05), "accuracy",
        Bilingual("and NSP over 5 points", "NSP 低 5 个点以上"), by="folk",
    ),
    Claim(
        "overlap_solves_nsp", value("shared_words", "right", "tf-idf", items=True), above(0.55), "accuracy",
        Bilingual("on this text overlap alone tells the next stretch from a random one in over 55 of 100 pairs",
                  "在这段文本上，仅凭用词重叠就能分辨下文与随机片段，正确率超过 55%"),
        Bilingual("NSP is partly a question of topic: on this text overlap of characters alone was right in {overlap_solves_nsp.effect:.2f} of "
                  "the pairs.", "NSP 部分只是主题判断：在这段文本上，仅凭字符重叠就有 {overlap_solves_nsp.effect:.2f} 的正确率。"),
        Bilingual("On this text overlap of characters alone did not solve NSP.", "在这段文本上，仅凭字符重叠解不了 NSP。"),
    ),
    Claim(
        "overlap_has_no_order", every("shared_words", "swapped", "tf-idf"), exactly(0, 1e-9), "cosine",
        Bilingual("overlap cannot tell which of two stretches comes first", "重叠程度分不出两段谁先谁后"), kind="exact",
    ),
]

NAMES = {
    "joint": Bilingual("joint (BERT)", "同时（BERT）"),
    TWICE: Bilingual("alternating, twice the sequences", "交替，两倍样本"),
    "MLM then NSP": Bilingual("MLM, then NSP", "先 MLM 后 NSP"), "NSP then MLM": Bilingual("NSP, then MLM", "先 NSP 后 MLM"),
}
SHARE = Axis("share", Bilingual("share of the training", "训练进度"))

FIGURES = [
    View(
        "mlm", "lines", BOTH, ("mlm_curve",), SHARE,
        Axis("value", Bilingual("hidden word: bits above the optimum", "被遮词：高于最优的比特")),
        Bilingual("MLM under four schedules", "四种安排下的 MLM"),
        Bilingual("One after the other, the task changes at one half.", "先后训练在一半处换任务。"), labels=NAMES,
    ),
    View(
        "nsp", "lines", BOTH, ("nsp_curve",), SHARE, Axis("value", Bilingual("pairs judged right", "句对判断正确率")),
        Bilingual("NSP under four schedules", "四种安排下的 NSP"),
        Bilingual("One after the other, the task changes at one half.", "先后训练在一半处换任务。"),
        labels=NAMES, rules={0.5: Bilingual("guessing", "猜测")},
    ),
]

QUESTION = Question(
    number=14, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "Every example is a pair of stretches with some of its words hidden, so it carries the questions of both tasks. "
        "The encoder runs once; the MLM head reads the states at the hidden words, the pooler and a classifier read [CLS]. "
        "A gradient of a sum is the sum of the gradients, so each update serves both. While only one task is trained, "
        "nothing holds the encoder to the other, and it drifts away.\n\n"
        "What BERT does train one after the other is the length: 90 % of the steps on sequences of 128 tokens, then 10 % "
        "on 512 (Devlin et al., A.2). Later work (RoBERTa) reports that NSP can be left out.",
        "每个样本都是遮住部分词的一对片段，所以同时带有两个任务的问题。编码器只跑一次：MLM 头读被遮词处的状态，pooler 加分类器读 "
        "[CLS]。和的梯度等于梯度的和，所以每次更新同时服务两个任务。若只训练其中一个，就没有什么约束编码器保住另一个，它会漂走。\n\n"
        "BERT 真正分先后训练的是长度：前 90% 的步用 128 个 token，后 10% 用 512（Devlin 等，附录 A.2）。"
        "后来的工作（RoBERTa）报告 NSP 可以去掉。",
    ),
    formula="L = mean over hidden words of −log p(word) + mean over pairs of −log p(is next)\n∇L = ∇L_MLM + ∇L_NSP",
    held_equal=Bilingual(
        "One small BERT (two layers, width 32), both heads, on synthetic pairs whose optimum is exact: two stretches of "
        "one topic or of two. All schedules share the seed's initial weights, the learning rate and its schedule over the "
        "whole run, and the number of sequences; only alternating gets twice the sequences, so that each task has as many "
        "updates as in joint training. The falling learning rate makes later steps smaller, so forgetting is "
        "rather under- than overstated. Nothing is said of large models, or of whether NSP is worth having.",
        "同一个小型 BERT（两层、宽 32）带两个头，用最优值精确可知的合成句对：两段出自同一主题或两个主题。各种安排共享初始权重、"
        "学习率及其贯穿全程的调度、样本数；只有交替训练用两倍样本，使每个任务的更新次数与同时训练相同。"
        "学习率逐步下降，后半程步子更小，所以遗忘只会被低估。这里不涉及大模型，也不判断 NSP 是否值得。",
    ),
    sources=[
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805, 3.1, A.2"),
        Source("Liu et al.", 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach", "arXiv:1907.11692"),
    ],
)
