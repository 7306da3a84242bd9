"""Over-fitting: what do penalties, dropout, unsupervised pre-training and transfer learning do about it?

过拟合：正则化、Dropout、无监督预训练、迁移学习各起什么作用？
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.errors import TooLittleError
from clearhead.experiments.claims import Claim, above, below, change, difference, every, exactly, value
from clearhead.experiments.evidence import Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.models import autoencoder, rbm
from clearhead.objectives import contrastive_divergence, reconstruction
from clearhead.objectives.loss import Objective
from clearhead.text.corpora import Corpus, documents
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.descent import descend
from clearhead.training.task import Task

WORDS, TOPICS, LONG, SPECIAL, OWN = 200, 6, 12, 5, 25
COMMON, KNOWN, PARTS, BLOCK = 50, 300, 4, 8
Ids = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Documents:
    """Documents (n, 12) of word numbers with a class each: few to learn from, more without labels, and to test on."""

    train: Ids
    labels: Ids
    unlabelled: Ids
    test: Ids
    answers: Ids
    classes: int


def linear(arm: str, seed: int, samples: int, noise: float = 0.5) -> Measured:
    """Ridge regression with 40 weights in closed form: log10 of the excess risk, averaged over 20 draws of data.

    A penalty of 0; the best of a grid in hindsight; the one of the same grid that the marginal likelihood picks.
    """
    rng, features, risks = np.random.default_rng(seed), 40, []
    for _ in range(20):
        w = rng.normal(size=features) / np.sqrt(features)
        x = rng.normal(size=(samples, features))
        y = x @ w + noise * rng.normal(size=samples)
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        grid = np.array([0.0]) if arm == "least squares" else np.logspace(-2, 4, 25)
        shrunk = s / (s**2 + grid[:, None])  # (penalties, rank)
        risk = np.square((shrunk * (u.T @ y)) @ vt - w).sum(1)
        spread = np.pad(np.broadcast_to(s**2, (len(grid), len(s))), ((0, 0), (0, samples - len(s)))) + grid[:, None]
        inside = np.square(u.T @ y)
        fit = (inside / (s**2 + grid[:, None])).sum(1) + (y @ y - inside.sum()) / grid.clip(1e-9)
        evidence = samples * np.log(fit) + np.log(spread.clip(1e-300)).sum(1)  # -2 log p(y | penalty), noise profiled
        risks.append(risk[evidence.argmin()] if arm == "evidence" else risk.min())
    return {"log_risk": float(np.log10(np.mean(risks)))}


def dropout_on_linear(arm: str, seed: int) -> Measured:
    """The mean squared error over all 2^8 dropout masks, less the error without masks plus an L2 penalty (Wager 2013).

    The penalty is p / (1 - p) times the sum over features of w_j^2 and the feature's energy.
    """
    rng = torch.Generator().manual_seed(seed)
    x, y, w = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((20, 8), (20,), (8,)))
    masks, p = torch.tensor(list(itertools.product((0.0, 1.0), repeat=8)), dtype=torch.float64), 0.3
    chance = (masks * (1 - p) + (1 - masks) * p).prod(1)  # (256,)
    masked = (y - (x * (masks / (1 - p))[:, None]) @ w).square().sum(1) @ chance
    penalised = (y - x @ w).square().sum() + p / (1 - p) * (x.square().sum(0) @ w.square())
    return {"gap": (masked - penalised).abs().item()}


def decay_or_penalty(arm: str, seed: int, steps: int = 50) -> Measured:
    """The largest difference of weights after training with l2 w in the gradient, and with weights shrunk by lr l2."""
    rng = torch.Generator().manual_seed(seed)
    x, y, start = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((20, 8), (20,), (8,)))
    ends = []
    for penalty, decay in ((0.1, 0.0), (0.0, 0.1)):
        w = nn.Parameter(start.clone())
        optimizer = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}[arm]([w], lr=0.05)

        def loss(w: Tensor = w, penalty: float = penalty) -> Tensor:
            return (x @ w - y).square().mean() + penalty / 2 * w.square().sum()

        for _ in range(steps):
            before = w.detach().clone()
            descend(optimizer, loss, 1)
            w.data -= 0.05 * decay * before
        ends.append(w.detach())
    return {"gap": (ends[0] - ends[1]).abs().max().item()}


def bags(documents: Ids, words: int) -> Tensor:
    """Whether a word is there (n, V)."""
    bag = torch.zeros(len(documents), words)
    return bag.scatter_(1, torch.from_numpy(documents), 1.0)


def pretrained(kind: str, unlabelled: Ids, words: int, width: int, steps: int, seed: int) -> list[nn.Linear]:
    """Two layers, trained one by one on documents without labels: as denoising auto-encoders or Boltzmann machines."""
    torch.manual_seed(seed)
    inventory = Inventory(Vocabulary(words + SPECIAL), LONG)
    make = rbm if kind == "RBM" else autoencoder
    model = make.build(make.Spec(hidden_sizes=(width, width)), inventory)
    layout = Layout(torch.full((64,), LONG), LONG, packed=True)
    rng, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    for layer in (0, 1) if kind in PASSES else ():
        if kind == "RBM":
            divergence = contrastive_divergence.Spec(layer=layer)
            objective: Objective = contrastive_divergence.build(divergence, model, inventory)
        else:
            objective = reconstruction.build(reconstruction.Spec(layer=layer, noise=0.3), model, inventory)
        task = Task(model, objective)

        def loss(task: Task = task) -> Tensor:
            chosen = torch.from_numpy(unlabelled[rng.integers(len(unlabelled), size=64)] + SPECIAL)
            found = task(task.ask(Batch(chosen.reshape(-1), layout), draws))
            return torch.as_tensor(found.total / 64)

        optimizer = torch.optim.Adam(task.parameters(), lr=3e-2, fused=True)
        descend(optimizer, loss, PASSES[kind] * steps // 2, schedule="linear")
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)][:2]


PASSES = {"auto-encoder": 3, "RBM": 8}  # halves of the steps on labels, a layer
SETTINGS = {
    "L1": (3e-6, 3e-5, 1e-4, 3e-4), "L2": (1e-5, 1e-4, 1e-3, 3e-3), "dropout": (0.1, 0.3, 0.5, 0.7),
    "rate": (8e-2, 4e-2, 2e-2, 5e-3),
}  # fmt: skip


def classified(arm: str, seed: int, data: Documents, words: int, width: int, steps: int, setting: float,
               below: list[nn.Linear]) -> dict[str, float]:  # fmt: skip
    """Trains two sigmoid layers and a new top on the labelled documents; every arm has the same number of settings.

    Those of a penalty or of dropout are its strength, those of all others the learning rate.
    """
    torch.manual_seed(seed)
    layers = [*below, nn.Linear(width, data.classes)]
    matrices, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    strength = SETTINGS[arm][int(setting)] if arm in SETTINGS else 0.0
    rate = SETTINGS["rate"][1 if arm in {*SETTINGS, "by heart"} else int(setting)]
    x, y = bags(data.train, words), torch.from_numpy(data.labels)

    def scores(x: Tensor, share: float) -> Tensor:
        for layer in layers[:2]:
            x = F.dropout(torch.sigmoid(layer(x)), share)
        top: Tensor = layers[2](x)
        return top

    def loss() -> Tensor:
        chosen = torch.randint(len(x), (32,))
        found = F.cross_entropy(scores(x[chosen], strength if arm == "dropout" else 0.0), y[chosen])
        if arm not in {"L1", "L2"}:
            return found
        return found + strength * torch.stack([(w.abs() if arm == "L1" else w.square()).sum() for w in matrices]).sum()

    descend(torch.optim.Adam([*matrices, *biases], lr=rate, fused=True), loss, steps, schedule="linear")
    with torch.no_grad():
        test, answers = scores(bags(data.test, words), 0.0), torch.from_numpy(data.answers)
        right = test.argmax(1).eq(answers).float().mean().item()
        known = scores(x, 0.0).argmax(1).eq(y).float().mean().item()
    return {"accuracy": right, "error": 1 - right, "gap": known - right}


def drawn(rng: np.random.Generator, common: Shares, topics: Shares, count: int) -> tuple[Ids, Ids]:
    """Documents of 12 words and their topics, each topic equally often; a third of the words are of a common stock."""
    labels, words = rng.permutation(np.arange(count) % len(topics)), (common + 2 * topics) / 3
    return np.stack([rng.choice(WORDS, LONG, p=words[label]) for label in labels]), labels


def topics(
    arm: str, seed: int, setting: float, steps: int, labels: int = 12, wrong: float = 0.0, width: int = 48
) -> Measured:
    """Documents of six known topics over 200 words; of the labels a share `wrong` is drawn at random.

    Transfer: a net that first learns 1,000 labelled documents of a field whose topics are half the same, or all others.
    """
    rng = np.random.default_rng(seed)
    common, own, other = (
        np.stack([rng.permutation(WORDS) < OWN for _ in range(n)]) / OWN for n in (1, TOPICS, TOPICS)
    )  # each topic has 25 words of its own, and so has the common stock
    (train, y), (test, answers), (more, _) = (drawn(rng, common, own, n) for n in (labels, 1000, 1000))
    y = np.where(rng.random(labels) < wrong, rng.integers(TOPICS, size=labels), y)
    below = pretrained(arm, more, WORDS, width, steps, seed)
    if arm.startswith("transfer"):
        field = other if "unrelated" in arm else (own + other) / 2
        source = Documents(*drawn(rng, common, field, 1000), more, test, answers, TOPICS)
        classified("plain", seed, source, WORDS, width, steps, 1, below)
    return classified(arm, seed, Documents(train, y, more, test, answers, TOPICS), WORDS, width, steps, setting, below)


@functools.lru_cache(maxsize=2)
def windows(corpus: Corpus, characters: int) -> tuple[Ids, Ids, Ids]:
    """Windows of 12 less common words (Chinese: characters), which of four parts of the text each is from, its block."""
    written = ""
    for document in documents(corpus):
        written += document
        if len(written) > characters:
            break
    found = re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+", written[:characters].lower())
    kept = {w: i for i, (w, _) in enumerate(Counter(found).most_common(COMMON + KNOWN)[COMMON:])}
    ids = np.array([kept[w] for w in found if w in kept], dtype=np.int64)
    rows = len(ids) // LONG
    if rows < 4 * PARTS:
        raise TooLittleError(f"{corpus.source}: {rows} windows of 12 words, too few to learn from; give a longer text")
    number = np.arange(rows)
    return ids[: rows * LONG].reshape(rows, LONG), number * PARTS // rows, number // min(BLOCK, max(1, rows // 32))


def text(
    arm: str, seed: int, corpus: Corpus, characters: int, setting: float, steps: int, labels: int = 40
) -> Measured:
    """From which quarter of the text does a window come? Learnt from few labelled windows; blocks of windows held out."""
    rows, part, block = windows(corpus, characters)
    rng = np.random.default_rng(seed)
    held_out = rng.random(block.max() + 1)[block] < 1 / 3
    train, test = (rng.permutation(np.flatnonzero(chosen)) for chosen in (~held_out, held_out))
    few = train[: min(labels, len(train) // 2)]
    data = Documents(rows[few], part[few], rows[train], rows[test], part[test], PARTS)
    below = pretrained(arm, data.unlabelled, KNOWN, 48, steps, seed)
    return classified(arm, seed, data, KNOWN, 48, steps, setting, below)


RISKS = ("least squares", "best", "evidence")
NETS = ("plain", "L1", "L2", "dropout", "transfer, related", "transfer, unrelated")
EXACT, SEEDS, STEPS = BySize((4,), (8,)), BySize((6,), (6, 12)), BySize({"steps": 70}, {"steps": 140})

EXPERIMENTS = [
    Experiment("dropout_on_linear", dropout_on_linear, ("dropout",), seeds=EXACT),
    Experiment("decay_or_penalty", decay_or_penalty, ("SGD", "Adam"), seeds=EXACT),
    Experiment(
        "linear", linear, RISKS, {"samples": (20, 40, 80, 320)}, seeds=BySize((6,), (8, 16)), transfer={"noise": 1.0}
    ),
    Experiment(
        "few", topics, NETS, seeds=SEEDS, settings=STEPS, tune=Tune("setting", (0, 1, 2), "error"), transfer={"width": 96}
    ),
    Experiment(
        "unsupervised", topics, ("plain", "auto-encoder", "RBM"), seeds=BySize((5,), (6, 12)), transfer={"width": 96},
        settings=BySize({"steps": 70, "setting": 1}, {"steps": 140, "setting": 1}),
    ),
    Experiment(
        "many", topics, ("plain", "auto-encoder"), seeds=BySize((5,), (6, 12)), transfer={"width": 96},
        settings=BySize({"steps": 70, "setting": 1, "labels": 480}, {"steps": 140, "setting": 1, "labels": 480}),
    ),
    Experiment(
        "noisy", topics, ("by heart", "plain", "dropout"), seeds=SEEDS, transfer={"width": 96},
        settings=BySize({"steps": 150, "labels": 240, "wrong": 0.4}, {"steps": 300, "labels": 240, "wrong": 0.4}),
        tune=Tune("setting", (1, 2, 3), "error"),
    ),
    Experiment(
        "text", text, ("plain", "dropout", "auto-encoder"), seeds=BySize((5,), (8, 16)), needs_text=True,
        settings=BySize({"steps": 70, "characters": 200_000}, {"steps": 140, "characters": 500_000}),
        tune=Tune("setting", (0, 1, 2), "error"),
    ),
]  # fmt: skip

CLAIMS = [
    Claim("little_data", value("few", "gap", "plain"), above(0.05), "accuracy",
        Bilingual("with little data (12 labels) training accuracy exceeds test accuracy by over 0.05",
                  "数据少（12 个标注）会过拟合：训练准确率比测试高 0.05 以上"),
        Bilingual("With 12 labels a small net was {little_data.effect:.2f} more accurate in training than in test.",
                  "只有 12 个标注时，小网络的训练准确率比测试高 {little_data.effect:.2f}。"),
        Bilingual("A small net with 12 labels did not over-fit.", "只有 12 个标注的小网络没有过拟合。"), by="textbook"),
    Claim("more_data", value("many", "gap", "plain"), below(0.05), "accuracy",
        Bilingual("with 480 labels the gap is below 0.05", "有 480 个标注时差距小于 0.05"),
        Bilingual("With 480 labels the gap was {more_data.effect:.2f}: the first cure is more data.",
                  "有 480 个标注时差距只有 {more_data.effect:.2f}：首要办法是增加数据。"),
        Bilingual("It over-fits with 480 labels as well.", "480 个标注时仍然过拟合。")),
    Claim("worst_where_it_just_fits", change("linear", "log_risk", "least squares", over="samples", high=40, low=20),
        above(0.3), "powers of ten",
        Bilingual("least squares is worst where the data just fix the weights (n = p), not with the least data",
                  "最小二乘最差是在样本数等于参数数时，而不是数据最少时")),
    Claim("ridge_repairs", difference("linear", "log_risk", "best", "least squares", samples=40), below(-0.3),
        "powers of ten",
        Bilingual("there an L2 penalty halves the risk of a linear model or better", "此时 L2 惩罚使线性模型的风险至少减半"),
        Bilingual("An L2 penalty does repair a linear model with as many weights as samples.",
                  "L2 惩罚确实能救样本数等于参数数的线性模型。"),
        Bilingual("An L2 penalty did not repair a linear model.", "L2 惩罚没能救线性模型。"), by="textbook"),
    Claim("penalty_in_a_net", difference("few", "accuracy", "L2", "plain"), above(0.01), "accuracy",
        Bilingual("a penalty added to the loss suppresses a net's over-fitting: test accuracy rises by over 0.01",
                  "在损失后加正则项可以抑制网络过拟合：测试准确率提高 0.01 以上"),
        Bilingual("In a net with few labels an L2 term gave {penalty_in_a_net.effect:+.2f} accuracy.",
                  "在标注很少的网络里，L2 项使准确率 {penalty_in_a_net.effect:+.2f}。"),
        Bilingual("A penalty is no cure by itself: with few clean labels an L2 term changed a net's accuracy by "
                  "{penalty_in_a_net.effect:+.3f}.",
                  "加正则项不一定管用：标注少而干净时，L2 项使网络的测试准确率变化 {penalty_in_a_net.effect:+.3f}。"),
        by="textbook"),
    Claim("by_hand", difference("linear", "log_risk", "evidence", "best", samples=80), above(0.1), "powers of ten",
        Bilingual("its strength must be set by hand: a formula ends over a quarter (0.1 powers of ten) above the best",
                  "其强度须手动调：用公式选会比最优差四分之一（0.1 个数量级）以上"),
        None,
        Bilingual("Nor must its strength be set by hand: a formula came to {by_hand.times:.2f} times the least risk.",
                  "正则强度也不必手调：用公式（边缘似然）选出的风险是最小值的 {by_hand.times:.2f} 倍。"),
        by="textbook"),
    Claim("decay_is_a_penalty", every("decay_or_penalty", "gap", "SGD"), exactly(0), "",
        Bilingual("under plain SGD an L2 penalty and weight decay are the same", "在朴素 SGD 下，L2 惩罚与权重衰减相同"),
        kind="exact", by="folk"),
    Claim("not_under_adam", every("decay_or_penalty", "gap", "Adam"), above(1e-6), "",
        Bilingual("under Adam they are not", "在 Adam 下则不同"), kind="exact", by="paper"),
    Claim("dropout_is_a_penalty", every("dropout_on_linear", "gap", "dropout"), exactly(0, 1e-9), "",
        Bilingual("dropout is a regulariser too: on a linear model it is an L2 penalty weighted by feature energy",
                  "Dropout 也是正则化：对线性模型它恰是按特征能量加权的 L2"),
        kind="exact", by="textbook"),
    Claim("dropout_with_clean_labels", difference("few", "accuracy", "dropout", "plain"), above(0.01), "accuracy",
        Bilingual("dropout suppresses over-fitting with few clean labels as well", "标注少而干净时，Dropout 也能抑制过拟合"),
        by="textbook"),
    Claim("dropout_against_learning_by_heart", difference("noisy", "accuracy", "dropout", "by heart"), above(0.02), "accuracy",
        Bilingual("where 40 % of the labels are random and a net learns them by heart, dropout helps",
                  "40 % 标注随机、网络硬记它们时，Dropout 有效"),
        Bilingual("Dropout pays where a net learns wrong labels by heart: {dropout_against_learning_by_heart.effect:+.2f}.",
                  "网络硬记错误标注时，Dropout 有效：{dropout_against_learning_by_heart.effect:+.2f}。"),
        Bilingual("Wrong labels did not make dropout pay.", "标注有误时 Dropout 也没有效果。")),
    Claim("dropout_against_a_tuned_step", difference("noisy", "accuracy", "dropout", "plain"), above(0.02), "accuracy",
        Bilingual("there it also beats a net whose learning rate was tuned alike", "此时它也胜过同样调过学习率的网络"), by="folk"),
    Claim("boltzmann_machines", difference("unsupervised", "accuracy", "RBM", "plain"), above(0.02), "accuracy",
        Bilingual("pre-training layer by layer with RBMs on unlabelled documents, then fine-tuning, helps with 12 labels",
                  "用 RBM 逐层无监督预训练再微调，12 个标注时有益"),
        Bilingual("RBM pre-training on unlabelled documents gave {boltzmann_machines.effect:+.2f} with 12 labels.",
                  "RBM 无监督预训练在 12 个标注时 {boltzmann_machines.effect:+.2f}。"),
        Bilingual("RBM pre-training did not help here.", "这里 RBM 预训练没有帮助。"), by="textbook"),
    Claim("auto_encoders", difference("unsupervised", "accuracy", "auto-encoder", "plain"), above(0.02), "accuracy",
        Bilingual("so does pre-training with auto-encoders", "用自编码器逐层预训练也有益"),
        by="textbook"),
    Claim("nothing_left_with_many", difference("many", "accuracy", "auto-encoder", "plain"), below(0.02), "accuracy",
        Bilingual("with 480 labels they gain less than 0.02", "有 480 个标注时，其收益不到 0.02")),
    Claim("transfer", difference("few", "accuracy", "transfer, related", "plain"), above(0.02), "accuracy",
        Bilingual("a net that learnt labelled data of a related field does better with few labels of its own",
                  "先在相关领域的有标注数据上学过，再用少量标注会更好"),
        Bilingual("Labels of a related field gave {transfer.effect:+.2f}.", "相关领域的标注带来 {transfer.effect:+.2f}。"),
        Bilingual("Labels of a related field did not help.", "相关领域的标注没有帮助。"), by="textbook"),
    Claim("any_field_will_do", difference("few", "accuracy", "transfer, unrelated", "plain"), above(0.02), "accuracy",
        Bilingual("data of any other field that are easy to get will do", "从任何其他领域容易得到的数据都行"),
        Bilingual("Even labels of an unrelated field helped.", "无关领域的标注也有帮助。"),
        Bilingual("Labels of an unrelated field did not help ({any_field_will_do.effect:+.2f}).",
                  "无关领域的标注没有帮助（{any_field_will_do.effect:+.2f}）。"), by="textbook"),
    Claim("on_this_text", difference("text", "accuracy", "auto-encoder", "plain"), above(0), "accuracy",
        Bilingual("on this text pre-training helps to tell its four quarters apart from 40 labelled windows",
                  "在这段文本上，预训练有助于用 40 个标注窗口分辨它的四个部分"), by="textbook"),
    Claim("dropout_on_this_text", difference("text", "accuracy", "dropout", "plain"), above(0.01), "accuracy",
        Bilingual("dropout helps there by over 0.01", "Dropout 在此提高 0.01 以上"), by="textbook"),
]  # fmt: skip

LABELS = {
    **{name: same(name) for name in ("L1", "L2", "dropout", "RBM")}, "plain": Bilingual("plain", "无"),
    "transfer, related": Bilingual("transfer, related", "迁移，相关"), "best": Bilingual("best in hindsight", "事后最优"),
    "auto-encoder": Bilingual("auto-encoder", "自编码器"), "transfer, unrelated": Bilingual("transfer, unrelated", "迁移，无关"), "evidence": Bilingual("evidence", "边缘似然"),
    "least squares": Bilingual("no penalty", "无惩罚"),
}  # fmt: skip

FIGURES = [
    View("few", "bars", "few", ("accuracy",), Axis("arm", same("")),
        Axis("value", Bilingual("test accuracy", "测试准确率")),
        Bilingual("12 labelled documents of known topics: what each cure gives", "12 个标注、主题已知：各种办法的效果"),
        Bilingual("Guessing: 1/6. Each at the best of three settings.", "随机为 1/6。各取三种设置中最好的。"), labels=LABELS,
        rules={1 / 6: Bilingual("guessing", "随机")}),
    View("unsupervised", "bars", "unsupervised", ("accuracy",), Axis("arm", same("")),
        Axis("value", Bilingual("test accuracy", "测试准确率")),
        Bilingual("12 labelled documents, and 1,000 without labels to pre-train on", "12 个标注，另有 1000 个无标注文档供预训练"),
        Bilingual("Two layers pre-trained one by one, then fine-tuned.", "两层逐层预训练，再微调。"), labels=LABELS),
    View("linear", "lines", "linear", ("log_risk",), Axis("samples", Bilingual("samples (40 weights)", "样本数（40 个参数）"), log=True),
        Axis("value", Bilingual("log10 of the excess risk", "超额风险的 log10")),
        Bilingual("Linear regression with and without an L2 penalty", "有无 L2 惩罚的线性回归"),
        Bilingual("A penalty picked by a formula, or in hindsight.", "惩罚由公式选，或事后选。"), labels=LABELS),
]  # fmt: skip

QUESTION = Question(
    number=23, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "Over-fitting is to learn what does not repeat. Where the data leave directions of the weights open, noise decides "
        "them; a penalty pulls those directions to 0, which helps where noise is large there. If labels are clean and the "
        "net is stopped or stepped well, little noise is left to keep out.\n\n"
        "What is missing with few labels is information. Unlabelled documents hold it if what makes them alike is what the "
        "label names; labelled ones of another field if they share the features. Otherwise they cost or give nothing.",
        "过拟合就是学进了不会重复的东西。数据没有定下来的权重方向由噪声决定；惩罚把这些方向拉向 0，噪声大时有用。"
        "若标注干净、步长和停止得当，就没有多少噪声可挡。\n\n"
        "标注少时缺的是信息。无标注文档若其相似之处正是标签所指，就含有这种信息；其他领域的标注若共用特征也有。否则无益甚至有害。",
    ),
    formula="E_mask |y − (x∘m/(1−p)) w|² = |y − xw|² + p/(1−p) Σ_j w_j² Σ_i x_ij²",
    held_equal=Bilingual(
        "One net of two sigmoid layers and a top for all arms, equal steps on the labels, paired seeds; each arm the best "
        "of three settings on another seed (its strength, else the learning rate: that is early stopping in disguise), "
        "chosen with 1,000 test documents, more than a user has. Pre-training and source training cost extra steps, which "
        "are not held equal. Dense layers; the convolutional form of the textbook is not measured. Text: windows of 12 "
        "less common words, the quarter of the text as label, whole blocks of windows held out.",
        "各组是同一个网络（两层 sigmoid 加输出层），有标注部分步数相同、种子配对；各组在另一种子上从三种设置中选最好的"
        "（强度，或学习率：后者是变相的早停），选择用了 1000 个测试文档，比用户实际拥有的多。预训练与源任务另需步数，未计入相等。"
        "用全连接层，没有测教科书说的卷积形式。文本：12 个较少见词的窗口，标签是它在文本的哪个四分之一，整块留出。",
    ),
    sources=[
        Source("Wager, Wang & Liang", 2013, "Dropout Training as Adaptive Regularization", "arXiv:1307.1493"),
        Source("Erhan et al.", 2010, "Why Does Unsupervised Pre-training Help Deep Learning?", "JMLR 11"),
        Source("Loshchilov & Hutter", 2017, "Decoupled Weight Decay Regularization", "arXiv:1711.05101"),
    ],
)  # fmt: skip
