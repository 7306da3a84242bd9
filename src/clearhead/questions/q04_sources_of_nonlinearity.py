"""Where does BERT's nonlinearity come from?

BERT 的非线性来源在哪里？
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import collate
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.evaluation.probes import mixed_derivative
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.finding import Found, opened
from clearhead.layers.attention import MultiHeadAttention
from clearhead.models import bert
from clearhead.models.bert import Bert
from clearhead.models.states import States
from clearhead.objectives import masked_lm
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.marked import marked_sentences
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.descent import descend

MODULUS, LENGTH = 7, 16


class Encoder(nn.Module):
    """BERT's blocks (post-norm) with three switches, (B, T, D) -> (B, T, D). A source that is not in `on` is made
    affine: GELU is left out, attention's weights are learned for each pair of places, LayerNorm only centres."""

    def __init__(self, on: str, width: int, length: int, layers: int = 2) -> None:
        super().__init__()
        self.on = on
        self.place = nn.Parameter(torch.randn(length, width) * 0.5)
        self.table = nn.Parameter(torch.zeros(layers, length, length))
        shapes = ((width, 3 * width), (width, 2 * width), (2 * width, width))
        self.linear = nn.ModuleList(nn.Linear(a, b) for _ in range(layers) for a, b in shapes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x + self.place)
        for layer, table in enumerate(self.table):
            project, inner, outer = self.linear[3 * layer : 3 * layer + 3]
            q, k, v = project(x).chunk(3, -1)
            scores = q @ k.mT / math.sqrt(x.shape[-1]) if "attention" in self.on else table
            x = self.norm(x + scores.softmax(-1) @ v)
            hidden = inner(x)
            x = self.norm(x + outer(F.gelu(hidden) if "GELU" in self.on else hidden))
        return x

    def norm(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:]) if "LayerNorm" in self.on else x - x.mean(-1, keepdim=True)


def far_from_affine(function: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """|f(.3x + .7y) - .3f(x) - .7f(y)| over |f(x) - f(y)|: 0 where f is affine."""
    with torch.no_grad():
        gap = function(0.3 * x + 0.7 * y) - 0.3 * function(x) - 0.7 * function(y)
        return float(gap.norm() / (function(x) - function(y)).norm())


def switches(arm: str, seed: int, width: int = 16, length: int = 5) -> Measured:
    """How far an untrained encoder with only these sources is from affine, in float64."""
    torch.manual_seed(seed)
    x, y = torch.randn(2, length, width, dtype=torch.float64)
    return {"residual": far_from_affine(Encoder(arm, width, length).double(), x, y)}


def around_the_blocks(arm: str, seed: int, width: int = 16) -> Measured:
    """The same of what stands beside those three in the real thing: linear layers with dropout at test and a residual
    sum, the pooler, the transform of the masked language model's head."""
    torch.manual_seed(seed)
    inventory = Inventory(Vocabulary(20), 8)
    model = bert.build(bert.Spec(hidden_size=width, initializer_range=0.3), inventory).double().eval()
    head = masked_lm.build(masked_lm.Spec(), model, inventory).double()
    block = model.encoder.layers[0]
    parts: dict[str, Callable[[Tensor], Tensor]] = {
        "linear, residual, dropout": lambda x: x + block.dropout(block.feedforward.outer(block.feedforward.inner(x))),
        "pooler": model.pooler,
        "head": lambda x: head.norm(F.gelu(head.dense(x))),
    }
    x, y = torch.randn(2, width, dtype=torch.float64)
    return {"residual": far_from_affine(parts[arm], x, y)}


def one_attention(arm: str, seed: int, layers: int, width: int = 8) -> Measured:
    """Attention alone (no bias, no residual), three tokens. `degree` is k in |f(2x)| = 2^k |f(x)|; `together` is the
    second derivative of the third token's output by the first and the second token: 0 where it adds up what it reads.

    Scores are given numbers, linear in the key, or the dot product; "softmax" where they go through it.
    """
    torch.manual_seed(seed)
    w_q, w_k, w_v = torch.randn(3, width, width, dtype=torch.float64) / math.sqrt(width)
    direction, given = torch.randn(width, dtype=torch.float64), torch.rand(3, 3, dtype=torch.float64)

    def attend(x: Tensor) -> Tensor:
        for _ in range(layers):
            linear, product = (x @ direction).expand(3, 3), (x @ w_q) @ (x @ w_k).T / math.sqrt(width)
            scores = given if "given" in arm else linear if "linear" in arm else product
            x = (scores.softmax(-1) if "softmax" in arm else scores) @ x @ w_v
        return x

    x, y = torch.randn(2, 3, width, dtype=torch.float64)
    mixed = mixed_derivative(lambda a, b: attend(torch.stack([a, b, x[2]]))[2] @ direction, x[0], x[1])
    return {
        "degree": float((attend(2 * x).norm() / attend(x).norm()).log2()),
        "together": mixed.abs().max().item(),
        "residual": far_from_affine(attend, x, y),
    }


def modular_sum(arm: str, seed: int, steps: int, width: int = 32) -> Measured:
    """Loss of a trained encoder on a _ b -> (a + b) mod 7, read off the middle; all 49 pairs at every step.

    An affine encoder's logits are f(a) + g(b): no such sum is better than the even answer, ln 7 = 1.9459 nats.
    """
    torch.manual_seed(seed)
    a, b = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS)).T
    rows = torch.stack([a, torch.full_like(a, MODULUS), b], 1)
    words, net, readout = nn.Embedding(MODULUS + 1, width), Encoder(arm, width, 3), nn.Linear(width, MODULUS)

    def loss() -> Tensor:
        return F.cross_entropy(readout(net(words(rows))[:, 1]), (a + b) % MODULUS)

    parameters = [*words.parameters(), *net.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01, fused=True)
    descend(optimizer, loss, steps, schedule="linear", warmup=0.1, clip=1.0)
    return {"loss": loss().item()}


@torch.no_grad()
def made_affine(arm: str, seed: int, corpus: Corpus, checkpoint: Found, queries: int) -> Measured:
    """A real BERT with one source replaced in all its layers by its best affine map, fitted layer by layer to what the
    source does to the states that reach it, on two thirds of the text's stretches; measured on the others.

    `moved`: the squared error of a stretch's last states, in parts of their variance. `affine_share`: the part of the
    variance of the source's own output that its affine map explains, a mean over layers (or a number a layer).
    """
    model, tokenizer = opened(checkpoint)
    stretches = equal_stretches(marked_sentences(corpus, tokenizer, queries, longest=2 * LENGTH))[:queries]
    batch = collate(list(stretches), packed=True)
    fitted = len(stretches) * 2 // 3 * LENGTH
    states = model(batch)
    wrong, shares = replaced(model, states, arm, fitted)
    moved = _parts(states.hidden[fitted:], wrong[fitted:])
    return {
        "moved": Along("stretch", dict(enumerate(moved.tolist()))),
        "affine_share": Along("stretch", dict(enumerate(shares.mean(0).tolist()))),
        "affine_share_by_layer": Along("layer", {n + 1: share for n, share in enumerate(shares.mean(1).tolist())}),
    }


def equal_stretches(rows: list[np.ndarray]) -> np.ndarray:
    """The sentences end to end, cut into rows [CLS] ... [SEP] of equal length, in an order drawn once (n, LENGTH)."""
    words = np.concatenate([row[1:-1] for row in rows])
    inside = words[: len(words) // (LENGTH - 2) * (LENGTH - 2)].reshape(-1, LENGTH - 2)
    marks = [np.full((len(inside), 1), rows[0][place]) for place in (0, -1)]
    return np.random.default_rng(0).permutation(np.concatenate([marks[0], inside, marks[1]], axis=1))


def replaced(model: Bert, states: States, source: str, fitted: int) -> tuple[Tensor, Tensor]:
    """The last states with `source` affine in all layers, and the share of its output explained (layers, stretches)."""
    shares: list[Tensor] = []

    def swap(name: str, seen: Tensor, made: Tensor) -> Tensor:
        if name != source:
            return made
        new = _best_affine(seen[:fitted], made[:fitted])(seen)
        shares.append(1 - _parts(made[fitted:], new[fitted:]))
        return new

    x, layout = states.layers[0], states.layout
    for block in model.encoder.layers:
        mixed = _with_mean_weights(block.attention, x, fitted) if source == "attention" else x
        x = x + swap("attention", mixed, block.attention(x, layout))
        x = swap("LayerNorm", x, block.attention_norm(x, layout))
        x = x + swap("feed-forward", x, block.feedforward(x))
        x = swap("LayerNorm", x, block.feedforward_norm(x, layout))
    return x, torch.stack(shares)


def _with_mean_weights(attention: MultiHeadAttention, x: Tensor, fitted: int) -> Tensor:
    """Values mixed by the mean weights of each head and pair of places: affine in x (N, D)."""
    q, k, v = attention.projection(x).view(-1, LENGTH, 3, attention.heads, x.shape[-1] // attention.heads).unbind(2)
    weights = torch.einsum("bthd,bshd->bhts", q, k).div(math.sqrt(q.shape[-1])).softmax(-1)
    return torch.einsum("hts,bshd->bthd", weights[: fitted // LENGTH].mean(0), v).reshape(x.shape)


def _best_affine(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """Least squares from x (n, D) to y (n, E) with the ridge that predicts the last quarter of the rows best."""

    def fit(x: Tensor, y: Tensor, ridge: float) -> Callable[[Tensor], Tensor]:
        centre, mean = x.mean(0), y.mean(0)
        gram = (x - centre).T @ (x - centre)
        gram += ridge * gram.trace() / len(gram) * torch.eye(len(gram))
        weight = torch.linalg.solve(gram, (x - centre).T @ (y - mean))
        return lambda z: (z - centre) @ weight + mean

    part = len(x) * 3 // 4
    errors = {r: float((fit(x[:part], y[:part], r)(x[part:]) - y[part:]).square().sum()) for r in (1e-3, 1e-2, 0.1, 1.0)}
    return fit(x, y, min(errors, key=lambda ridge: errors[ridge]))


def _parts(right: Tensor, wrong: Tensor) -> Tensor:
    """The squared error of each stretch over the mean variance of a stretch: (n,)."""
    error, spread = (gap.square().view(-1, LENGTH * gap.shape[-1]).sum(1) for gap in (wrong - right, right - right.mean(0)))
    return error / spread.mean()


ALL, NONE, CHECKPOINT = "GELU+attention+LayerNorm", "none", "made_affine"
SWITCHES = (ALL, "GELU+attention", "GELU", "attention", "LayerNorm", NONE)
EXACT, TRAINED = BySize((4,), (8,)), BySize((4,), (6, 12))

EXPERIMENTS = [
    Experiment("switches", switches, SWITCHES, seeds=EXACT),
    Experiment("around_the_blocks", around_the_blocks, ("linear, residual, dropout", "pooler", "head"), seeds=EXACT),
    Experiment(
        "one_attention", one_attention, ("given", "linear", "linear, softmax", "dot product", "dot product, softmax"),
        {"layers": (1, 2)}, seeds=EXACT,
    ),
    Experiment(
        "modular_sum", modular_sum, ("GELU", "attention", "LayerNorm", NONE), seeds=TRAINED,
        settings=BySize({"steps": 250}, {"steps": 600}), transfer={"width": 48},
    ),
    Experiment(
        CHECKPOINT, made_affine, ("feed-forward", "attention", "LayerNorm"), seeds=BySize((1,), (1,)),
        settings=BySize({"queries": 180}, {"queries": 600}), needs_text=True, needs_checkpoint=True,
    ),
]

CLAIMS = [
    Claim(
        "gelu_is_nonlinear", every("switches", "residual", "GELU"), above(1e-3), "of the change",
        Bilingual("the GELU of the feed-forward layer is a source of nonlinearity", "前馈层的 GELU 是非线性来源"),
        Bilingual("GELU is a source of nonlinearity.", "GELU 是非线性来源。"), kind="exact", by="textbook",
    ),
    Claim(
        "attention_is_nonlinear", every("switches", "residual", "attention"), above(1e-3), "of the change",
        Bilingual("self-attention is nonlinear", "self-attention 是非线性的"),
        Bilingual("Self-attention is a source of nonlinearity.", "self-attention 是非线性来源。"), kind="exact", by="textbook",
    ),
    Claim(
        "these_two_are_all", every("switches", "residual", "LayerNorm"), exactly(0), "of the change",
        Bilingual("these two are where it comes from: without GELU and attention's own weights the encoder is affine", "来源就是这两处：去掉 GELU 和注意力的动态权重，编码器就是仿射的"),
        Bilingual("These two are all.", "来源只有这两处。"),
        Bilingual("The usual answer forgets one: LayerNorm, which divides each token by its own spread.",
                  "常见答案漏了一处：LayerNorm，它把每个 token 除以自己的标准差。"), kind="exact", by="textbook",
    ),
    Claim(
        "three_are_all", every("switches", "residual", NONE), exactly(0), "of the change",
        Bilingual("without GELU, attention's own weights and LayerNorm's division the blocks are affine",
                  "去掉 GELU、注意力的动态权重和 LayerNorm 的除法，各层就是仿射的"),
        Bilingual("With these three switched off the blocks are affine to rounding.", "三处全关，各层在舍入误差内是仿射的。"),
        Bilingual("With these three off the blocks are still not affine.", "三处全关，各层仍不是仿射的。"), kind="exact",
    ),
    Claim(
        "heads_add_theirs", every("around_the_blocks", "residual", "pooler", "head"), above(1e-3), "of the change",
        Bilingual("the pooler's tanh and the masked LM head add their own", "pooler 的 tanh 和 MLM 头也各有非线性"), kind="exact",
    ),
    Claim(
        "the_rest_is_affine", every("around_the_blocks", "residual", "linear, residual, dropout"), exactly(0),
        "of the change",
        Bilingual("linear layers, the residual sum and dropout at test are affine", "线性层、残差相加、推理时的 dropout 是仿射的"), kind="exact",
    ),
    Claim(
        "dot_product_is_cubic", every("one_attention", "degree", "dot product", layers=1), exactly(3, 1e-9), "degree",
        Bilingual("self-attention is nonlinear because of the dot product of its scores: of degree 3 even without softmax",
                  "self-attention 的非线性来自 score 的点积：不加 softmax 已是三次"),
        Bilingual("Attention's dot product makes it nonlinear even without softmax: its output is then of degree 3.",
                  "注意力的点积不加 softmax 就已非线性：输出是输入的三次式。"),
        Bilingual("Without softmax the dot product was not of degree 3.", "不加 softmax 时点积不是三次。"), kind="exact", by="textbook",
    ),
    Claim(
        "weights_given_is_linear", every("one_attention", "residual", "given", layers=1), exactly(0), "of the change",
        Bilingual("with its weights given, attention is linear", "权重给定时，注意力是线性的"), kind="exact",
    ),
    Claim(
        "without_product_linear", every("one_attention", "residual", "linear, softmax", layers=1), exactly(0),
        "of the change",
        Bilingual("without a dot product (scores linear in the key) attention would be linear",
                  "没有点积（score 对 key 线性）时，注意力就是线性的"),
        Bilingual("Without the product it is linear.", "没有点积就是线性的。"),
        Bilingual("The product is not needed for that: any weights that depend on the input do it.",
                  "但点积并非必需：只要权重依赖输入，就是非线性的。"), kind="exact", by="folk",
    ),
    Claim(
        "product_adds_up", every("one_attention", "together", "dot product", layers=1), exactly(0), "",
        Bilingual("without softmax, two words that one layer reads never act together", "不加 softmax 时，单层所读的两个词从不共同起作用"),
        Bilingual("One layer without softmax only adds up what it reads; softmax's shared denominator couples the words.",
                  "单层若不加 softmax，只是把所读各词相加；softmax 的公共分母才让它们相互作用。"), kind="exact",
    ),
    Claim(
        "softmax_couples", every("one_attention", "together", "dot product, softmax", layers=1), above(1e-9), "",
        Bilingual("through softmax they do, in one layer", "经过 softmax，单层内就会"), kind="exact",
    ),
    Claim(
        "affine_is_stuck", value("modular_sum", "loss", NONE), near(math.log(MODULUS), 0.01), "nats",
        Bilingual("an affine encoder cannot learn (a + b) mod 7: it stays at ln 7", "仿射编码器学不会 (a+b) mod 7：停在 ln 7"),
    ),
    Claim(
        "gelu_learns", value("modular_sum", "loss", "GELU"), below(1), "nats",
        Bilingual("with GELU alone it learns it", "只留 GELU 就能学会"),
    ),
    Claim(
        "attention_learns", value("modular_sum", "loss", "attention"), below(1), "nats",
        Bilingual("with attention alone it learns it", "只留注意力也能学会"),
    ),
    Claim(
        "layer_norm_learns", value("modular_sum", "loss", "LayerNorm"), below(1), "nats",
        Bilingual("with LayerNorm alone it learns it", "只留 LayerNorm 也能学会"),
        Bilingual(
            "LayerNorm alone learned (a + b) mod 7, to {layer_norm_learns.effect:.2f} nats; without any source the "
            "encoder stood at {affine_is_stuck.effect:.3f}.",
            "只靠 LayerNorm 也学会了 (a+b) mod 7（{layer_norm_learns.effect:.2f} nat）；"
            "三处全关停在 {affine_is_stuck.effect:.3f} nat。",
        ),
        Bilingual("LayerNorm alone did not learn (a + b) mod 7 here.", "这里只靠 LayerNorm 没有学会 (a+b) mod 7。"),
    ),
    Claim(
        "feedforward_is_flattest",
        difference(CHECKPOINT, "affine_share", "feed-forward", "attention", items=True), above(0.1), "of the variance",
        Bilingual("in a real BERT each feed-forward layer is nearer to affine than each attention",
                  "真实 BERT 中，单看每层，前馈层比注意力更接近仿射"),
    ),
    Claim(
        "feedforward_matters_most", difference(CHECKPOINT, "moved", "feed-forward", "attention", items=True), above(0),
        "of the variance",
        Bilingual("GELU matters most: making all feed-forward layers affine moves a real BERT more than attention",
                  "GELU 最重要：把真实 BERT 的前馈层全换成仿射，比换注意力影响更大"),
        Bilingual("In a real BERT making the feed-forward layers affine does more than doing it to attention.",
                  "在真实 BERT 中，把前馈层变成仿射的影响大于注意力。"),
        Bilingual("In a real BERT making attention affine does as much as doing it to the feed-forward layers.",
                  "在真实 BERT 中，把注意力变成仿射的影响不小于前馈层。"), by="folk",
    ),
    Claim(
        "layer_norm_matters", value(CHECKPOINT, "moved", "LayerNorm", items=True), above(0.05), "of the variance",
        Bilingual("an affine LayerNorm moves a real BERT's states by over a twentieth of their variance",
                  "LayerNorm 变成仿射，真实 BERT 的状态改变超过方差的二十分之一"),
    ),
]

NAMES = {
    ALL: Bilingual("all three", "三处全开"), NONE: Bilingual("none", "全关"), "LayerNorm": same("LayerNorm"),
    "GELU+attention": Bilingual("GELU, attention", "GELU、注意力"), "GELU": same("GELU"),
    "attention": Bilingual("attention", "注意力"), "feed-forward": Bilingual("feed-forward", "前馈层"),
}
ONLY = Axis("arm", Bilingual("sources left on", "保留的来源"))

FIGURES = [
    View(
        "switches", "bars", "switches", ("residual",), ONLY,
        Axis("value", Bilingual("distance from affine, of the change", "偏离仿射的程度（占变化量）"), log=True),
        Bilingual("Three sources; with all off, only rounding is left", "三处来源；全关后只剩舍入误差"),
        Bilingual("An untrained encoder of two blocks, float64.", "未训练的两层编码器，float64。"),
        labels=NAMES, band="none",
    ),
    View(
        "modular_sum", "bars", "modular_sum", ("loss",), ONLY, Axis("value", Bilingual("loss, nats", "损失，nat")),
        Bilingual("(a + b) mod 7 after training", "训练后的 (a+b) mod 7"),
        Bilingual("All 49 pairs; no affine encoder can be under ln 7.", "全部 49 对；仿射编码器不可能低于 ln 7。"),
        labels=NAMES, rules={math.log(MODULUS): same("ln 7")},
    ),
    View(
        "layers", "lines", CHECKPOINT, ("affine_share_by_layer",),
        Axis("layer", Bilingual("layer of a real BERT", "真实 BERT 的层")),
        Axis("value", Bilingual("variance explained by the best affine map", "最佳仿射映射解释的方差比例")),
        Bilingual("Layer by layer: how affine each source is", "逐层看：各来源有多接近仿射"),
        Bilingual("Share of each source's own output, on held-out stretches.", "各来源自身输出中的比例，留出的片段。"),
        labels=NAMES,
    ),
]

QUESTION = Question(
    number=4, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "A linear layer, a residual sum, dropout at test, and a mean of values with given weights are affine, and "
        "affine maps in a row are one affine map. Three parts of a block are not. GELU bends every hidden feature. "
        "Attention's weights are themselves made from the input: scores are products of two projections, a softmax "
        "follows, and the result multiplies a third. LayerNorm divides a token by its own standard deviation.\n\n"
        "Without softmax a token's output is a sum over the tokens read, each term made of two tokens only; the shared "
        "denominator (or a second layer) lets two of them act together. In front of everything stands a look-up of "
        "embeddings, which is any function of one word: only what needs two words tells the sources apart. How much of "
        "a part's variance is affine does not say how much depends on the rest.",
        "线性层、残差相加、推理时的 dropout、权重给定的加权平均都是仿射的，仿射接仿射仍是仿射。每个块里有三处不是："
        "GELU 弯折每个隐藏特征；注意力的权重由输入算出（两个投影相乘得 score，再过 softmax，再乘第三个投影）；"
        "LayerNorm 把每个 token 除以自己的标准差。\n\n"
        "不加 softmax 时，一个 token 的输出是对所读各 token 求和，每一项只涉及两个 token；公共分母（或第二层）才使其中两个"
        "共同起作用。最前面的词嵌入查表可以是单个词的任意函数，所以只有需要两个词的任务才能区分这些来源。"
        "一个部件的方差有多少是仿射的，并不说明其余部分有多重要。",
    ),
    formula="GELU(x) = x Φ(x)\nAttention(X) = softmax(X W_q W_kᵀ Xᵀ / √d) X W_v\nLN(x) = (x − mean(x)) / std(x)",
    held_equal=Bilingual(
        "The encoder with switches has BERT's post-norm blocks (two layers, one head, width 16 or 32) and, whatever is "
        "on, the same parameters, initial weights, data and steps. A switched-off source keeps its affine part. In the "
        "real checkpoint every source is replaced "
        "in all layers in the same way: by least squares on the same stretches, fitted to the states that reach it "
        "(attention: its mean weights, then a fitted map). Nothing is trained afterwards; a model trained without a "
        "source could make up for it.",
        "带开关的编码器是 BERT 的 post-norm 块（两层、单头、宽 16 或 32）；无论开哪几处，参数、初始权重、数据与步数都相同，"
        "关掉的来源保留其仿射部分。真实检查点中，每种来源都以同样方式在所有层替换："
        "在同样的片段上、对实际到达它的状态做最小二乘（注意力：取平均权重，再拟合一个映射）。替换后不再训练；"
        "若从头训练，模型也许能弥补。",
    ),
    sources=[
        Source("Hendrycks & Gimpel", 2016, "Gaussian Error Linear Units (GELUs)", "arXiv:1606.08415"),
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762"),
        Source("Zhao et al.", 2021, "Of Non-Linearity and Commutativity in BERT", "arXiv:2101.04547"),
    ],
)
