"""Why are attention's dot products scaled, and why do other softmaxes go without?

为什么注意力的点积要缩放，而其他 softmax 不用？
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.batches.batch import collate
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.evaluation.probes import watch
from clearhead.experiments import claims
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, log_ratio, near, slope, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.bert import read_checkpoint
from clearhead.interop.finding import Found, opened
from clearhead.models import bert
from clearhead.text.corpora import Corpus
from clearhead.text.marked import marked_sentences
from clearhead.training.descent import descend

SYMBOLS = 32


def at_initialisation(arm: str, seed: int, d_k: int, queries: int, keys: int = 32) -> Measured:
    """One attention layer with independent unit-variance q and k, and a random gradient arriving at its weights."""
    rng = torch.Generator().manual_seed(seed)
    q, k = torch.randn(queries, 1, d_k, generator=rng), torch.randn(queries, keys, d_k, generator=rng)
    scale = d_k**-0.5 if arm == "scaled" else 1.0
    logits = (q * k).sum(-1) * scale
    weights = logits.softmax(-1)
    at_logits = _through_softmax(weights, torch.randn(queries, keys, generator=rng)).unsqueeze(-1)
    at_query = (at_logits * k).sum(1) * scale
    return {
        "variance": logits.var().item(),
        "top_weight": weights.max(-1).values.mean().item(),
        "median_gradient_at_logits": at_logits.norm(dim=1).median().item(),
        "mean_gradient_at_query": at_query.norm(dim=1).mean().item(),
    }


def _through_softmax(weights: Tensor, upstream: Tensor) -> Tensor:
    """The gradient at the logits: p * (g - p.g), the softmax Jacobian applied to g."""
    return weights * (upstream - (weights * upstream).sum(-1, keepdim=True))


def recall(arm: str, seed: int, d_k: int, learning_rate: float, steps: int, pairs: int = 12) -> Measured:
    """A one-head net learns to recall the value of a key among some pairs (optimum 0 nats, guessing ln 32)."""
    root = math.sqrt(d_k)
    on_start, scale = {
        "scaled": (1, 1 / root), "unscaled": (1, 1), "small start": (1 / root, 1), "small steps": (root, 1 / root)
    }[arm]  # what W_q's start is multiplied by, and the logits: the spread at the start, and the size of the steps
    rng = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(SYMBOLS, d_k, generator=rng) for _ in range(2))
    w_q, w_k, w_out = (torch.randn(d_k, n, generator=rng) / root for n in (d_k, d_k, SYMBOLS))
    w_q *= on_start
    parameters = [p.requires_grad_() for p in (keys, values, w_q, w_k, w_out)]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)

    def run(batch: int) -> tuple[Tensor, Tensor, Tensor]:
        order = torch.rand(batch, SYMBOLS, generator=rng).argsort(-1)[:, :pairs]
        held = torch.randint(SYMBOLS, (batch, pairs), generator=rng)
        asked = torch.randint(pairs, (batch, 1), generator=rng)
        scores = (keys @ w_q) @ (keys @ w_k).T * scale
        logits = scores[order.gather(1, asked), order]
        weights = logits.softmax(-1)
        read = (weights.unsqueeze(-1) * (values @ w_out)[held]).sum(1)
        loss = F.cross_entropy(read, held.gather(1, asked).squeeze(1))
        return loss, weights.gather(1, asked).mean(), logits.std(-1).mean()

    descend(optimizer, lambda: run(64)[0], steps)
    with torch.no_grad():
        loss, right, spread = run(1000)
    return {"loss": loss.item(), "weight_on_right_key": right.item(), "logit_std": spread.item()}


def moved_into_weights(arm: str, seed: int, d_k: int, steps: int) -> Measured:
    """The largest difference of two loss curves: scaled, and unscaled with the factor in W_q's start and step size."""
    root = math.sqrt(d_k)
    rng = torch.Generator().manual_seed(seed)
    w_q, w_k = (torch.randn(d_k, d_k, generator=rng, dtype=torch.float64) / root for _ in range(2))
    x, target = torch.randn(64, d_k, generator=rng, dtype=torch.float64), torch.randint(64, (64,), generator=rng)

    def curve(start: Tensor, scale: float, lr: float, eps: float) -> Tensor:
        w = start.clone().requires_grad_()
        optimizer = torch.optim.SGD([w], lr) if arm.startswith("sgd") else torch.optim.Adam([w], lr, eps=eps)
        losses = descend(optimizer, lambda: F.cross_entropy((x @ w) @ (x @ w_k).T * scale, target), steps)
        return torch.tensor(losses, dtype=torch.float64)

    lr, eps = (0.5, 0.0) if arm.startswith("sgd") else (0.01, 1e-8)
    slower = 1.0 if arm == "sgd, start only" else d_k if arm == "sgd" else root
    gap = (curve(w_q, 1 / root, lr, eps) - curve(w_q / root, 1.0, lr / slower, eps * root)).abs().max()
    return {"largest_gap": gap.item()}


def other_softmaxes(arm: str, seed: int, width: int, symbols: int = 1000) -> Measured:
    """The spread of the logits at the start, for three uses of softmax and for tied output embeddings."""
    rng = torch.Generator().manual_seed(seed)
    hidden, table = torch.randn(256, width, generator=rng), torch.randn(symbols, width, generator=rng)
    if arm == "dot product":
        logits = hidden @ table.T
    elif arm == "additive":
        v = torch.empty(width).uniform_(-1, 1, generator=rng) / math.sqrt(width)
        logits = torch.tanh((hidden[:, None] + table[None, :32]) / math.sqrt(2)) @ v
    elif arm == "output layer":
        logits = hidden @ (torch.empty(symbols, width).uniform_(-1, 1, generator=rng) / math.sqrt(width)).T
    else:
        logits = hidden @ table.T * (width**-0.5 if arm == "tied, scaled" else 1.0)
    target = torch.randint(logits.shape[-1], (256,), generator=rng)
    excess = F.cross_entropy(logits, target).item() - math.log(logits.shape[-1])
    return {"logit_std": logits.std(-1).mean().item(), "start_loss_above_guessing": excess}


def gradient_by_use(arm: str, seed: int, logit_std: float, classes: int = 32) -> Measured:
    """The typical gradient at the logits of one softmax under three losses behind it."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(4000, classes, generator=rng) * logit_std
    p, y = logits.softmax(-1), F.one_hot(torch.randint(classes, (4000,), generator=rng), classes).float()
    gradient = {
        "cross-entropy": p - y,
        "squared error": _through_softmax(p, 2 * (p - y)),
        "attention": _through_softmax(p, torch.randn(4000, classes, generator=rng)),
    }[arm]
    return {"median_gradient": gradient.norm(dim=-1).median().item()}


def classifier(arm: str, seed: int, logit_std: float, learning_rate: float, steps: int, width: int = 64) -> Measured:
    """Accuracy of a linear softmax classifier (32 classes) trained from logits of a given spread, by SGD."""
    rng = torch.Generator().manual_seed(seed)
    truth = torch.randn(width, SYMBOLS, generator=rng)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, width, generator=rng)
        return x, (x @ truth + 2 * torch.randn(n, SYMBOLS, generator=rng)).argmax(-1)

    w = (torch.randn(width, SYMBOLS, generator=rng) * logit_std / math.sqrt(width)).requires_grad_()

    def loss() -> Tensor:
        x, y = draw(128)
        if arm == "cross-entropy":
            return F.cross_entropy(x @ w, y)
        return ((x @ w).softmax(-1) - F.one_hot(y, SYMBOLS)).square().sum(-1).mean()

    descend(torch.optim.SGD([w], learning_rate), loss, steps)
    x, y = draw(4000)
    return {"error": 1 - (x @ w).argmax(-1).eq(y).float().mean().item()}


def heads_of_a_bert(arm: str, seed: int, corpus: Corpus, checkpoint: Found) -> Measured:
    """The spread over the keys of each head's logits in a real BERT on sentences of the text, trained or fresh."""
    model, tokenizer = opened(checkpoint, fused=False)
    read = read_checkpoint(checkpoint.folder)
    if arm == "fresh":
        torch.manual_seed(seed)
        model = bert.build(read.spec.model_copy(update={"fused": False}), read.inventory).eval()
    names = [f"encoder.blocks.{i}.attention.weights" for i in range(read.spec.num_hidden_layers)]
    spreads = []
    with torch.no_grad(), watch(model, names, side="input") as logits:
        for row in marked_sentences(corpus, tokenizer, 24, shortest=12, longest=32):
            model(collate([torch.from_numpy(row)], packed=True))
            spreads.append(torch.cat([logits[name].pop()[0] for name in names]).std(-1).mean(-1))  # (heads,)
    heads = torch.stack(spreads).mean(0)
    unscaled = heads * math.sqrt(model.width / read.spec.num_attention_heads)
    return {
        "logit_std": Along("head", dict(enumerate(heads.tolist()))),
        "unscaled_logit_std": Along("head", dict(enumerate(unscaled.tolist()))),
    }


START, USES, HEADS = "at_initialisation", "gradient_by_use", "heads_of_a_bert"
STEPS, HALF = BySize({"steps": 200}, {"steps": 600}), BySize({"steps": 100}, {"steps": 300})
SEEDS = BySize((6, 10), (8, 16, 32))

EXPERIMENTS = [
    Experiment(
        START, at_initialisation, ("scaled", "unscaled"), {"d_k": (4, 16, 64, 256, 1024)}, SEEDS,
        BySize({"queries": 250}, {"queries": 2000}), transfer={"keys": 128},
    ),
    Experiment(
        "moved_into_weights", moved_into_weights, ("sgd", "adam", "sgd, start only"), {"d_k": (64, 256)},
        BySize((4,), (8,)), BySize({"steps": 40}, {"steps": 100}),
    ),
    Experiment(
        "other_softmaxes", other_softmaxes, ("dot product", "output layer", "additive", "tied", "tied, scaled"),
        {"width": (16, 64, 256, 1024)}, SEEDS, transfer={"symbols": 4000},
    ),
    Experiment(
        USES, gradient_by_use, ("cross-entropy", "squared error", "attention"),
        {"logit_std": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)}, transfer={"classes": 128},
    ),
    Experiment(
        "classifier", classifier, ("cross-entropy", "squared error"), {"logit_std": (1.0, 16.0)},
        settings=BySize({"steps": 300}, {"steps": 1000}), transfer={"width": 32},
        tune=Tune("learning_rate", (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0), "error"),
    ),
    Experiment(
        HEADS, heads_of_a_bert, ("trained", "fresh"), seeds=BySize((1,), (1,)), needs_text=True, needs_checkpoint=True,
    ),
    Experiment(
        "recall", recall, ("scaled", "unscaled"), {"d_k": (4, 32, 256)}, SEEDS, STEPS,
        tune=Tune("learning_rate", (1e-3, 3e-3, 1e-2, 3e-2), "loss", settings=HALF),
        transfer={"pairs": 8},
    ),
    Experiment(
        "start_and_steps", recall, ("scaled", "unscaled", "small start", "small steps"), {"d_k": (256,)}, SEEDS, STEPS,
        tune=Tune("learning_rate", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "loss", settings=HALF),
        transfer={"pairs": 8},
    ),
]

CLAIMS = [
    Claim(
        "variance_is_dk", slope(START, "variance", "unscaled", over="d_k"), near(1, 0.02), "slope",
        Bilingual("the variance of q·k grows as d_k (log-log slope 1)", "q·k 的方差与 d_k 成正比（双对数斜率 1）"),
        Bilingual(
            "With independent unit-variance entries the variance of q·k grows as d_k "
            "(slope {variance_is_dk.effect:.2f}).",
            "q、k 各分量独立且方差为 1 时，q·k 的方差与 d_k 成正比（斜率 {variance_is_dk.effect:.2f}）。",
        ),
        Bilingual("The variance of q·k did not grow as d_k here.", "这里 q·k 的方差没有与 d_k 成正比。"),
    ),
    Claim(
        "scaled_variance_is_one", value(START, "variance", "scaled", d_k=1024), near(1, 0.05), "",
        Bilingual("divided by √d_k, its variance at the start is 1", "除以 √d_k 后，起点的方差为 1"),
    ),
    Claim(
        "typical_gradient_vanishes",
        log_ratio(START, "median_gradient_at_logits", "unscaled", "scaled", d_k=1024), below(-2), "powers of 10",
        Bilingual("unscaled at d_k 1024, the median gradient at the logits is over 100 times smaller", "d_k=1024 不缩放时，logit 处梯度的中位数小 100 倍以上"),
        Bilingual(
            "Unscaled at d_k 1024, the median gradient at the logits was {typical_gradient_vanishes.times:,.0f} times "
            "smaller than when scaled.",
            "d_k=1024 不缩放时，logit 处梯度的中位数比缩放时小 {typical_gradient_vanishes.times:,.0f} 倍。",
        ),
        Bilingual("The median gradient did not fall a hundredfold.", "梯度的中位数没有降到百分之一以下。"),
    ),
    Claim(
        "mean_gradient_shrinks",
        log_ratio(START, "mean_gradient_at_query", "unscaled", "scaled", d_k=1024), below(0), "powers of 10",
        Bilingual("unscaled, gradients vanish: the mean gradient at the query shrinks as well", "不缩放则梯度消失：query 处梯度的平均值也变小"),
        Bilingual("Unscaled, the mean gradient at the query shrank as well.", "不缩放时 query 处梯度的平均值也变小了。"),
        Bilingual("Unscaled, the mean gradient at the query did not shrink: a few queries get very large ones, most get none.",
                  "不缩放时 query 处梯度的平均值并没有变小：少数 query 的梯度极大，多数几乎没有。"),
        by="textbook",
    ),
    Claim(
        "harm_when_wide", difference("recall", "loss", "unscaled", "scaled", d_k=256), above(0.1), "nats",
        Bilingual("large dot products make learning hard: unscaled attention learns worse at d_k 256", "点积过大使收敛困难：d_k=256 时不缩放学得更差"),
        Bilingual(
            "On associative recall the unscaled net lost {harm_when_wide.effect:.2f} nats at d_k 256, its learning "
            "rate tuned as well.",
            "联想记忆任务上，d_k=256 不缩放多损失 {harm_when_wide.effect:.2f} nat（学习率也各自调过）。",
        ),
        Bilingual("At d_k 256 the unscaled net was no worse by 0.1 nats.", "d_k=256 不缩放并没有差出 0.1 nat。"),
        by="textbook",
    ),
    Claim(
        "no_harm_when_narrow", difference("recall", "loss", "unscaled", "scaled", d_k=4), near(0, 0.1), "nats",
        Bilingual("at d_k 4 scaling makes no difference", "d_k=4 时缩放与否没有差别"),
        Bilingual("At d_k 4 it made no difference.", "d_k=4 时没有差别。"),
        Bilingual("Even at d_k 4 it made a difference.", "d_k=4 时也有差别。"),
    ),
    Claim(
        "saturated_start_harms", difference("start_and_steps", "loss", "small steps", "scaled"), above(0.1), "nats",
        Bilingual("a saturated start alone does harm (steps as when scaled)", "仅起点饱和（步长同缩放时）就有损害"),
    ),
    Claim(
        "large_steps_harmless", difference("start_and_steps", "loss", "small start", "scaled"), near(0, 0.1), "nats",
        Bilingual("larger steps alone do no harm once the learning rate is tuned", "仅步长变大，调好学习率后没有损害"),
    ),
    Claim(
        "variance_stays_one", value("recall", "logit_std", "scaled", d_k=256), near(1, 0.5), "std",
        Bilingual("scaling keeps the spread at 1 while the net trains", "训练中缩放使 logit 的标准差保持为 1"),
        Bilingual("Training kept the logits near unit spread.", "训练中 logit 的标准差保持在 1 附近。"),
        Bilingual(
            "Scaling is about the start: training took scaled logits to a standard deviation of "
            "{variance_stays_one.effect:.1f}.",
            "缩放只关乎起点：训练后，缩放过的 logit 标准差到了 {variance_stays_one.effect:.1f}。",
        ),
        by="textbook",
    ),
    Claim(
        "trained_heads_stay_at_one", value(HEADS, "logit_std", "trained", items=True), near(1, 0.25), "std",
        Bilingual("in a trained BERT scaling holds the logits of its heads at spread 1", "在训练好的 BERT 里，缩放使各头 logit 的标准差保持为 1"),
        None,
        Bilingual("In a trained BERT that deviation averages {trained_heads_stay_at_one.effect:.1f} over the heads.",
                  "训练好的 BERT 各头平均为 {trained_heads_stay_at_one.effect:.1f}。"),
        by="textbook",
    ),
    Claim(
        "small_start_needs_none", value(HEADS, "unscaled_logit_std", "fresh", items=True), below(1.5), "std",
        Bilingual("at BERT's own start (weights of spread 0.02) the logits are small even unscaled", "按 BERT 自己的初始化（权重标准差 0.02），不缩放 logit 也很小"),
    ),
    Claim(
        "same_as_weights", every("moved_into_weights", "largest_gap", "sgd", "adam"), exactly(0, 1e-9), "nats",
        Bilingual("the factor moved into W_q's start and step size gives the same training run", "把因子移入 W_q 的初始化与步长，训练过程完全相同"),
        Bilingual("Moved into W_q's start and step size the factor gives the same run, number for number.", "把因子移入 W_q 的初始化与步长，训练逐数相同。"),
        Bilingual("Moved into W_q the factor gave another run.", "把因子移入 W_q 后，训练并不相同。"), kind="exact",
    ),
    Claim(
        "start_alone_is_another_run", every("moved_into_weights", "largest_gap", "sgd, start only"), above(0.01), "nats",
        Bilingual("moved into the start alone, the factor gives another run", "只移入初始化则是另一个训练"), kind="exact",
    ),
    Claim(
        "dot_product_grows", slope("other_softmaxes", "logit_std", "dot product", over="width"), near(0.5, 0.02),
        "slope", Bilingual("a dot product's logits spread as √width", "点积 logit 的标准差随 √宽度 增长"),
    ),
    Claim(
        "output_layer_does_not", slope("other_softmaxes", "logit_std", "output layer", over="width"), near(0, 0.05),
        "slope", Bilingual("an output layer's logits do not: its weights start at 1/√width", "输出层的 logit 不会：权重初值约 1/√宽度"),
    ),
    Claim(
        "additive_does_not", slope("other_softmaxes", "logit_std", "additive", over="width"), near(0, 0.1), "slope",
        Bilingual("nor do the logits of additive attention", "加性注意力的 logit 也不会"),
    ),
    Claim(
        "cross_entropy_keeps_gradient",
        log_ratio(USES, "median_gradient", "attention", "cross-entropy", logit_std=32.0), below(-2), "powers of 10",
        Bilingual("at logit std 32, attention's gradient is over 100 times below cross-entropy's", "logit 标准差为 32 时，注意力的梯度比交叉熵小 100 倍以上"),
        Bilingual(
            "Other softmaxes usually go without because their logits do not grow with the width, and because "
            "cross-entropy's gradient p - y survives saturation, where attention's is "
            "{cross_entropy_keeps_gradient.times:,.0f} times smaller.",
            "其他 softmax 通常不需要：logit 不随宽度增大，而且饱和时交叉熵的梯度 p−y 仍在，注意力的梯度比它小 "
            "{cross_entropy_keeps_gradient.times:,.0f} 倍。",
        ),
        Bilingual("Attention's gradient was not a hundredfold below.", "注意力的梯度没有小百倍以上。"),
    ),
    Claim(
        "cross_entropy_recovers",
        claims.change("classifier", "error", "cross-entropy", over="logit_std", high=16.0, low=1.0), below(0.1),
        "error", Bilingual("cross-entropy recovers from a saturated start", "交叉熵能从饱和起点恢复"),
    ),
    Claim(
        "squared_error_does_not",
        claims.change("classifier", "error", "squared error", over="logit_std", high=16.0, low=1.0), above(0.1),
        "error", Bilingual("squared error on the same softmax does not recover", "同一个 softmax 配平方误差不能恢复"),
    ),
    Claim(
        "others_never_need_it", value("other_softmaxes", "start_loss_above_guessing", "tied", width=1024), below(1),
        "nats",
        Bilingual("other softmaxes never need it: tied N(0,1) embeddings start near guessing", "其他 softmax 从不需要：N(0,1) 的共享词嵌入起点也接近猜测"),
        Bilingual("Even tied N(0,1) embeddings started near guessing.", "共享 N(0,1) 词嵌入的起点也接近猜测。"),
        Bilingual(
            "Where logits do grow they are scaled too: tied N(0,1) embeddings at width 1024 start "
            "{others_never_need_it.effect:.0f} nats above guessing.",
            "logit 会增大时同样要缩放：宽 1024 的共享 N(0,1) 词嵌入，"
            "起点比猜测高 {others_never_need_it.effect:.0f} nat。",
        ),
        by="textbook",
    ),
]

LABELS = {
    "scaled": Bilingual("scaled by 1/√d_k", "缩放 1/√d_k"), "unscaled": Bilingual("unscaled", "不缩放"),
    "cross-entropy": Bilingual("cross-entropy", "交叉熵"), "squared error": Bilingual("squared error", "平方误差"),
    "attention": Bilingual("attention", "注意力"),
}
GRADIENT = Axis("value", Bilingual("median gradient at the logits", "logit 处梯度的中位数"), log=True)

FIGURES = [
    View(
        "gradient", "lines", START, ("median_gradient_at_logits",), Axis("d_k", same("d_k"), log=True), GRADIENT,
        Bilingual("Unscaled, the typical gradient falls off a cliff", "不缩放时，典型梯度断崖式下降"),
        Bilingual("One attention layer at initialisation, the median query.", "初始化时的单层注意力，中位 query。"),
        labels=LABELS,
    ),
    View(
        "uses", "lines", USES, ("median_gradient",),
        Axis("logit_std", Bilingual("standard deviation of the logits", "logit 的标准差"), log=True), GRADIENT,
        Bilingual("One softmax, three losses: one flat line, two cliffs", "同一个 softmax：一条平线，两处断崖"),
        Bilingual("Cross-entropy undoes the exponential, so its gradient p - y stays near 1 however saturated it is.",
                  "交叉熵抵消了指数，梯度 p−y 无论多饱和都接近 1。"),
        labels=LABELS,
    ),
    View(
        "recall", "lines", "recall", ("loss",), Axis("d_k", same("d_k"), log=True),
        Axis("value", Bilingual("loss after training, nats (0 is perfect)", "训练后的损失，nat（0 为完美）")),
        Bilingual("Narrow heads do not care; wide heads do", "窄头无所谓，宽头有所谓"),
        Bilingual("Associative recall of 12 pairs, learning rates tuned.", "12 对键值的联想记忆，学习率各自调过。"),
        labels=LABELS,
    ),
]

QUESTION = Question(
    number=5, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "A sum of d_k independent products of unit-variance entries has variance d_k. The softmax of such logits is "
        "nearly one-hot once d_k is large, and its Jacobian, diag(p) - p pᵀ, then nearly vanishes: the typical query "
        "gets no gradient, and a few that sit between two keys get a huge one.\n\n"
        "At the output the same softmax is followed by a logarithm. The gradient of cross-entropy is p - y: it does "
        "not pass through that Jacobian, so a confidently wrong output still learns. Learned output weights also "
        "start at 1/√width, so their logits do not grow with the width to begin with.",
        "d_k 个独立的单位方差乘积之和，方差为 d_k。d_k 大时，softmax 接近 one-hot，其雅可比 diag(p) − p pᵀ 几乎为零："
        "典型的 query 得不到梯度，而恰好处在两个 key 之间的少数 query 梯度极大。\n\n"
        "在输出层，softmax 之后还有对数：交叉熵的梯度是 p − y，不经过那个雅可比，所以“自信地错”时仍能学习；"
        "而且输出层权重的初值约为 1/√宽度，logit 本来就不随宽度增大。",
    ),
    formula="Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V\nVar(q·k) = d_k\n∂L/∂z = (diag(p) − p pᵀ) ∂L/∂p",
    held_equal=Bilingual(
        "All arms of an experiment share seeds, initial draws, data and steps. Each arm (at each width) has its own "
        "learning rate, the best of the same small sweep on a seed that is not measured on. The tasks are synthetic, "
        "with a known optimum, since the claims are about the layer: they do not depend on the text asked about.",
        "同一实验的各组共享种子、初始随机数、数据与步数。每组（每个宽度）在同一个小扫描中、用不参与测量的种子各自选学习率。"
        "任务是最优值已知的合成任务，因为这些论断关乎该层本身：不依赖所问的文本。",
    ),
    sources=[
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, section 3.2.1, footnote 4"),
        Source("Britz et al.", 2017, "Massive Exploration of NMT Architectures", "arXiv:1703.03906"),
        Source("Raffel et al.", 2019, "Exploring the Limits of Transfer Learning (T5)", "arXiv:1910.10683"),
    ],
)
