"""What is the difference between batch norm and layer norm?

BN 和 LN 有什么区别？
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.bilingual import Bilingual, same, title_of
from clearhead.evaluation.probes import influence
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.text.corpora import Corpus
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

CASES, BATCH = 32, 64


def standardised(x: Tensor, axis: int) -> Tensor:
    """(x - mean) / std: batch norm over the cases (axis -2), layer norm over the features (axis -1)."""
    return (x - x.mean(axis, keepdim=True)) * x.var(axis, correction=0, keepdim=True).rsqrt()


class GroupedBatchNorm(nn.Module):
    """Batch norm whose training statistics are taken over groups of a batch, as when devices share its cases.

    Each group has running averages of its own; evaluation takes their mean, so those of the whole batch.
    """

    def __init__(self, width: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.of_groups = nn.BatchNorm1d(BATCH // group * width, affine=False)
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        norm, width = self.of_groups, x.shape[-1]
        if self.training:
            columns = x.view(-1, self.group, width).transpose(0, 1)  # (group, groups, width)
            normed: Tensor = norm(columns.reshape(self.group, -1)).view_as(columns).transpose(0, 1).reshape(x.shape)
            return normed * self.weight + self.bias
        assert norm.running_mean is not None and norm.running_var is not None
        mean, var = (running.view(-1, width).mean(0) for running in (norm.running_mean, norm.running_var))
        return (x - mean) * (var + norm.eps).rsqrt() * self.weight + self.bias


def formula(arm: str, seed: int) -> Measured:
    """torch's own layers: whose statistics they take, what depends on whom, and what is left of very few cases."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(CASES, 8, generator=rng, dtype=torch.float64) * 3 + torch.arange(8.0, dtype=torch.float64)
    layer = (nn.BatchNorm1d(8) if arm == "batch" else nn.LayerNorm(8)).double().requires_grad_(False)
    in_training = layer(x)
    axis = -2 if arm == "batch" else -1
    matrix = influence(lambda table: standardised(table, axis), x)
    layer.eval()
    pair = standardised(x[:2], axis)
    return {
        "gap_to_transposed_layer_norm": (in_training - F.layer_norm(x.T, (CASES,)).T).abs().max().item(),
        "other_cases": float((matrix.sum() - matrix.diagonal().sum()) / matrix.diagonal().sum()),
        "two_modes": float((layer(x) - in_training).norm() / in_training.norm()),
        "state": float(sum(b.numel() for name, b in layer.named_buffers() if name.startswith("running"))),
        "distance_from_signs": (pair.abs() - 1).abs().max().item(),
    }


def changes(arm: str, seed: int, change: str) -> Measured:
    """How far the normalised outputs of a linear layer move, relative to their size, when its input or weights do."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(CASES, 8, generator=rng, dtype=torch.float64) + 1
    w = torch.randn(16, 8, generator=rng, dtype=torch.float64)
    vector = torch.randn(8, generator=rng, dtype=torch.float64)

    def normalised(x: Tensor, w: Tensor) -> Tensor:
        y = x @ w.T
        by_size = y / y.square().mean(-1, keepdim=True).sqrt()
        return {"batch": standardised(y, -2), "layer": standardised(y, -1), "rms": by_size}[arm]

    one_case, one_unit = torch.ones(CASES, 1).double(), torch.ones(16, 1).double()
    one_case[0] = one_unit[0] = 5.0
    x_new, w_new = {
        "all cases x5": (x * 5, w), "all cases + a vector": (x + 3 * vector, w), "one case x5": (x * one_case, w),
        "all weights x5": (x, w * 5), "all units + a vector": (x, w + 3 * vector), "one unit x5": (x, w * one_unit),
    }[change]
    before = normalised(x, w)
    return {"moved": float((normalised(x_new, w_new) - before).norm() / before.norm())}


def at_test(arm: str, seed: int) -> Measured:
    """Whether linear layer and norm, in evaluation, are one affine map: f(a) + f(b) = f(a + b) + f(0)."""
    torch.manual_seed(seed)
    linear = nn.Linear(8, 16)
    norm: nn.Module = nn.BatchNorm1d(16) if arm == "batch" else nn.LayerNorm(16)
    net = nn.Sequential(linear, norm).double().requires_grad_(False)
    for _ in range(5):
        net(torch.randn(CASES, 8, dtype=torch.float64))
    net.eval()
    a, b = torch.randn(2, CASES, 8, dtype=torch.float64)
    residual = net(a) + net(b) - net(a + b) - net(torch.zeros_like(a))
    folded = net(torch.zeros(1, 8).double()) + a @ (net(torch.eye(8).double()) - net(torch.zeros(1, 8).double()))
    return {
        "not_affine": float(residual.norm() / net(a).norm()),
        "folding_error": float((folded - net(a)).norm() / net(a).norm()),
    }


def norm_of(arm: str, width: int) -> nn.Module:
    """The norm of an arm: none, layer, or batch with statistics over so many cases ("batch of 4")."""
    if arm.startswith("batch"):
        return GroupedBatchNorm(width, int(arm.removeprefix("batch of ")))
    return nn.LayerNorm(width) if arm == "layer" else nn.Identity()


def what_is_lost(arm: str, seed: int, task: str, learning_rate: float, steps: int, features: int = 16) -> Measured:
    """Accuracy of a small net whose input is normalised, on two-class tasks that need what a norm may take away.

    length: is x long; tiny features: the class is in features 3000 times smaller; new contrast: every test case comes
    times a gain and plus an offset of its own, which training has not seen and the class does not depend on.
    """
    rng = torch.Generator().manual_seed(seed)
    truth = torch.randn(features // 2, generator=rng)

    def draw(n: int, test: bool) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, features, generator=rng)
        direction = x * math.sqrt(features) / x.norm(dim=-1, keepdim=True)
        if task == "length":
            log_length = torch.randn(n, 1, generator=rng)
            return direction * log_length.exp(), (log_length > 0).squeeze(1).float()
        if task == "tiny features":
            y = x[:, : features // 2] @ truth > 0
            return torch.cat([x[:, : features // 2] / 3000, x[:, features // 2 :]], -1), y.float()
        gain, offset = torch.randn(2, n, 1, generator=rng) * test
        return direction * gain.exp() + offset, (x[:, 0] * x[:, 1] > 0).float()

    torch.manual_seed(seed)
    hidden = [nn.Linear(features, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1)]
    net = nn.Sequential(norm_of(arm, features), *hidden)

    def loss() -> Tensor:
        x, y = draw(BATCH, test=False)
        return F.binary_cross_entropy_with_logits(net(x).squeeze(1), y)

    descend(torch.optim.Adam(net.parameters(), lr=learning_rate, fused=True), loss, steps, schedule="linear")
    net.eval()
    with torch.no_grad():
        x, y = draw(2000, test=True)
        right = (net(x).squeeze(1) > 0).float().eq(y).float().mean().item()
    return {"accuracy": right, "error": 1 - right}


def next_character(arm: str, seed: int, corpus: Corpus, learning_rate: float, steps: int) -> Measured:
    """Held-out nats of the next character given seven, by a feed-forward net of three layers with a norm in each."""
    windows = character_windows(corpus, 8)
    train, held_out = (torch.from_numpy(part) for part in (windows.train, windows.held_out))
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Embedding(windows.symbols, 12), nn.Flatten()]
    for width in (7 * 12, 48, 48):
        layers += [nn.Linear(width, 48), norm_of(arm, 48), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(48, windows.symbols))
    rng = torch.Generator().manual_seed(seed)

    def loss() -> Tensor:
        batch = train[torch.randint(len(train), (BATCH,), generator=rng)]
        return F.cross_entropy(net(batch[:, :-1]), batch[:, -1])

    descend(torch.optim.Adam(net.parameters(), lr=learning_rate, fused=True), loss, steps, schedule="linear")
    net.eval()
    with torch.no_grad():
        asked = held_out[torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[:4000]]
        return {"held_out": F.cross_entropy(net(asked[:, :-1]), asked[:, -1]).item()}


EXACT = BySize((4,), (8,))
SEEDS = BySize((6,), (6, 12))
TASKS = ("length", "tiny features", "new contrast")
CHANGES = (
    "one case x5", "all units + a vector", "one unit x5", "all cases + a vector", "all cases x5", "all weights x5"
)
LOST, TEXT = "what_is_lost", "next_character"

EXPERIMENTS = [
    Experiment("formula", formula, ("batch", "layer"), seeds=EXACT),
    Experiment("changes", changes, ("batch", "layer", "rms"), {"change": CHANGES}, EXACT),
    Experiment("at_test", at_test, ("batch", "layer"), seeds=EXACT),
    Experiment(
        LOST, what_is_lost, ("none", "layer", "batch of 64"), {"task": TASKS}, SEEDS,
        BySize({"steps": 160}, {"steps": 400}), transfer={"features": 32},
        tune=Tune("learning_rate", (3e-3, 1e-2, 3e-2), "error", settings=BySize({"steps": 60}, {"steps": 120})),
    ),
    Experiment(
        TEXT, next_character, ("none", "layer", "batch of 64", "batch of 8", "batch of 2"),
        seeds=SEEDS, settings=BySize({"steps": 200}, {"steps": 700}), needs_text=True,
        tune=Tune(
            "learning_rate", (3e-3, 1e-2, 3e-2, 1e-1, 3e-1), "held_out", settings=BySize({"steps": 100}, {"steps": 200})
        ),
    ),
]

CLAIMS = [
    Claim(
        "same_formula", every("formula", "gap_to_transposed_layer_norm", "batch"), exactly(0, 1e-9), "",
        Bilingual("in training, batch norm is layer norm of the transposed table", "训练时，BN 就是对转置后的表做 LN"),
        Bilingual(
            "One formula, two axes: batch norm takes mean and variance of each feature over the cases, layer norm of each "
            "case over its features.",
            "公式相同、方向不同：BN 对每个特征在一批样本上求均值和方差，LN 对每个样本在自己的特征上求。",
        ),
        Bilingual("The two are not one formula here.", "这里两者不是同一个公式。"), kind="exact",
    ),
    Claim(
        "batch_norm_ties_cases", every("formula", "other_cases", "batch"), above(0.01), "of own",
        Bilingual("in training, a case's output of batch norm depends on the other cases", "训练时，BN 的输出依赖同批其他样本"),
        Bilingual("So in training batch norm ties a case to its batch mates.", "所以训练时 BN 让样本依赖同批的其他样本。"),
        Bilingual("Batch norm did not tie cases together here.", "这里 BN 没有让样本互相依赖。"), kind="exact",
    ),
    Claim(
        "batch_norm_has_two_modes", every("formula", "two_modes", "batch"), above(0.01), "relative",
        Bilingual("the same cases leave batch norm otherwise in evaluation than in training", "同样的数据，BN 在推理与训练时输出不同"),
        Bilingual(
            "In evaluation batch norm is another function, of running averages that it keeps.",
            "推理时 BN 是另一个函数，用的是保存下来的滑动平均。",
        ),
        kind="exact",
    ),
    Claim(
        "layer_norm_does_not", every("formula", "other_cases", "layer"), exactly(0), "of own",
        Bilingual("a case's output of layer norm depends on no other case", "LN 的输出不依赖任何其他样本"),
        Bilingual("Layer norm looks at one case alone.", "LN 只看一个样本自己。"),
        Bilingual("Layer norm let other cases in here.", "这里 LN 受到了其他样本的影响。"), kind="exact",
    ),
    Claim(
        "layer_norm_has_one", every("formula", "two_modes", "layer"), exactly(0), "relative",
        Bilingual("layer norm computes the same in both", "LN 在两种模式下完全相同"), kind="exact",
    ),
    Claim(
        "two_cases_leave_signs", every("formula", "distance_from_signs", "batch"), exactly(0, 1e-9), "",
        Bilingual("of two cases batch norm keeps only which is larger: it puts out +1 and -1",
                  "一批只有两个样本时，BN 只留下谁大谁小：输出只有 +1 和 −1"),
        kind="exact",
    ),
    Claim(
        "case_scale", every("changes", "moved", "layer", change="one case x5"), exactly(0, 1e-9), "relative",
        Bilingual("layer norm does not see the scale of a case", "LN 看不到单个样本的尺度"), kind="exact", by="paper",
    ),
    Claim(
        "unit_scale", every("changes", "moved", "batch", change="one unit x5"), exactly(0, 1e-9), "relative",
        Bilingual("batch norm does not see the scale of a feature", "BN 看不到单个特征的尺度"), kind="exact", by="paper",
    ),
    Claim(
        "batch_norm_folds", every("at_test", "folding_error", "batch"), exactly(0, 1e-9), "relative",
        Bilingual("in evaluation batch norm folds into the linear layer before it", "推理时 BN 可并入前面的线性层"), kind="exact",
    ),
    Claim(
        "layer_norm_does_not_fold", every("at_test", "not_affine", "layer"), above(0.01), "relative",
        Bilingual("layer norm does not: it stays nonlinear", "LN 不能：它始终是非线性的"), kind="exact",
    ),
    Claim(
        "length_is_lost", value(LOST, "accuracy", "layer", task="length"), near(0.5, 0.05), "accuracy",
        Bilingual("with layer norm at the input, a net cannot learn whether x is long", "输入端用 LN，网络学不会“x 长不长”"),
        Bilingual(
            "Layer norm loses a case's own scale: asked whether x is long, it stayed at "
            "chance ({length_is_lost.effect:.2f}).",
            "LN 丢掉样本自身的尺度：问“x 长不长”，停在随机水平（{length_is_lost.effect:.2f}）。",
        ),
        Bilingual("Layer norm did learn whether x is long.", "用 LN 也学会了“x 长不长”。"),
    ),
    Claim(
        "length_is_kept", value(LOST, "accuracy", "batch of 64", task="length"), above(0.75), "accuracy",
        Bilingual("with batch norm it can", "用 BN 学得会"),
    ),
    Claim(
        "tiny_is_lost", value(LOST, "accuracy", "layer", task="tiny features"), near(0.5, 0.05), "accuracy",
        Bilingual("with layer norm, features 3000 times smaller than others stay unread",
                  "用 LN，比别的特征小 3000 倍的特征读不出来"),
    ),
    Claim(
        "tiny_is_found", value(LOST, "accuracy", "batch of 64", task="tiny features"), above(0.75), "accuracy",
        Bilingual("with batch norm they are read", "用 BN 读得出来"),
        Bilingual(
            "Batch norm loses a feature's scale, and so could read tiny features ({tiny_is_found.effect:.2f}).",
            "BN 丢掉特征的尺度，因而能读出极小的特征（{tiny_is_found.effect:.2f}）。",
        ),
        Bilingual("Batch norm did not read tiny features.", "BN 没能读出极小的特征。"),
    ),
    Claim(
        "contrast", difference(LOST, "accuracy", "layer", "batch of 64", task="new contrast"), above(0.05), "accuracy",
        Bilingual("when test cases come with a contrast of their own, layer norm is more accurate by over 0.05",
                  "测试样本各带自己的对比度与亮度时，LN 的准确率高 0.05 以上"),
        Bilingual(
            "With a new contrast for every test case, layer norm was {contrast.effect:.2f} more accurate.",
            "测试样本各带新的对比度时，LN 的准确率高 {contrast.effect:.2f}。",
        ),
        Bilingual("A new contrast for every test case did not set them apart.", "测试样本各带新的对比度，两者没有拉开差距。"),
    ),
    Claim(
        "few_cases_harm", difference(TEXT, "held_out", "batch of 2", "layer"), above(0.1), "nats",
        Bilingual("with statistics over 2 cases, batch norm is worse than layer norm by over 0.1 nats",
                  "统计量只取自 2 个样本时，BN 比 LN 差 0.1 nat 以上"),
        Bilingual(
            "On this text batch norm with statistics over 2 cases lost to layer norm by {few_cases_harm.effect:.2f} nats "
            "a character.",
            "在这段文本上，统计量只取 2 个样本的 BN 每字符比 LN 差 {few_cases_harm.effect:.2f} nat。",
        ),
        Bilingual(
            "Statistics over only 2 cases did not cost batch norm 0.1 nats on this text.",
            "在这段文本上，统计量只取 2 个样本也没有让 BN 差出 0.1 nat。",
        ),
    ),
    Claim(
        "many_cases_win", difference(TEXT, "held_out", "batch of 64", "layer"), below(0), "nats",
        Bilingual("with statistics over many cases, batch norm learns a feed-forward net better than layer norm does",
                  "统计量取自足够多样本时，前馈网络用 BN 学得比 LN 好"),
        Bilingual(
            "With statistics over 64 cases batch norm did better ({many_cases_win.effect:+.2f} nats).",
            "统计量取自 64 个样本时 BN 更好（{many_cases_win.effect:+.2f} nat）。",
        ),
        Bilingual(
            "Statistics over 64 cases did not make batch norm the better ({many_cases_win.effect:+.2f} nats).",
            "统计量取自 64 个样本，BN 也没有更好（{many_cases_win.effect:+.2f} nat）。",
        ),
        by="folk",
    ),
]

LABELS = {
    "none": Bilingual("no norm", "无归一化"), "layer": same("layer norm"), "batch": same("batch norm"), "rms": same("RMS norm"),
    "batch of 64": Bilingual("batch norm over 64 cases", "BN，64 个样本"),
    "batch of 8": Bilingual("batch norm over 8", "BN，8 个样本"), "batch of 2": Bilingual("batch norm over 2", "BN，2 个样本"),
    "one case x5": Bilingual("one case x5", "一个样本 x5"), "one unit x5": Bilingual("one unit's weights x5", "一个单元的权重 x5"),
    "all units + a vector": Bilingual("all units' weights + a vector", "所有单元权重＋同一向量"),
    "all cases + a vector": Bilingual("all cases + a vector", "所有样本＋同一向量"),
    "all cases x5": Bilingual("all cases x5", "所有样本 x5"), "all weights x5": Bilingual("all weights x5", "所有权重 x5"),
    "length": Bilingual("is x long?", "x 长不长"), "tiny features": Bilingual("tiny features", "极小的特征"),
    "new contrast": Bilingual("new contrast at test", "测试时对比度改变"),
}

FIGURES = [
    View(
        "lost", "tiles", LOST, ("accuracy",), Axis("task", Bilingual("task", "任务")),
        Axis("value", Bilingual("accuracy", "准确率")),
        Bilingual("What each norm throws away", "各自丢掉了什么"),
        Bilingual("A small net with the norm at its input; chance is 0.50.", "小网络，归一化放在输入端；随机水平 0.50。"),
        labels=LABELS,
    ),
    View(
        "changes", "tiles", "changes", ("moved",), Axis("arm", same("")),
        Axis("value", Bilingual("how far the output moves, relative", "输出的相对变化")),
        Bilingual("What each norm does not see (0 up to rounding)", "各自看不见什么（除舍入外为 0）"),
        Bilingual("A linear layer and a norm, float64.", "线性层加归一化，float64。"),
        colour="change", labels=LABELS,
    ),
    View(
        "text", "bars", TEXT, ("held_out",), Axis("arm", same("")),
        Axis("value", Bilingual("held-out loss minus layer norm's, nats", "留出损失减去 LN 的，nat")),
        Bilingual("It depends on how many cases a statistic is taken over", "取决于统计量取自多少样本"),
        Bilingual("Next character; 64 cases a step in every arm.", "预测下一个字符；每组每步都是 64 个样本。"),
        labels=LABELS, baseline="layer",
    ),
]

QUESTION = Question(
    number=8,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "Write a batch as a table, a row a case and a column a feature. Batch norm standardises the columns, layer norm "
        "the rows; a learned gain and bias for each feature follow in both. (With pictures batch norm pools the pixels "
        "of all pictures too, with sequences the positions.) A column is made of many cases, so batch norm needs a "
        "batch, noisy if it is small, and averages in its place for evaluation. A row is there whenever a case is.\n\n"
        "What is standardised is gone: layer norm deletes the size and offset of a case, batch norm those of a feature. "
        "So which one is right depends on which of the two is noise in the task, and on the batches one can afford: "
        "batch norm where they are large and cases are of one size, layer norm for sequences, for few cases, and where "
        "one case is served at a time.",
        "把一批数据写成表：一行一个样本，一列一个特征。BN 标准化每一列，LN 标准化每一行；之后都有逐特征的可学习增益与偏置。"
        "（图像的 BN 还把所有图片的像素合在一起，序列则把各位置合在一起。）一列由许多样本组成，所以 BN 离不开批：批小则噪声大，"
        "推理时要用滑动平均代替。一行则随样本而在。\n\n"
        "被标准化的信息就没有了：LN 抹去样本的大小与偏移，BN 抹去特征的。因此该用谁，取决于任务中哪一种是噪声，"
        "以及用得起多大的批：批大、样本尺度一致时用 BN；序列、小批量、逐条在线推理用 LN。",
    ),
    formula="y = γ ⊙ (x − μ) / √(σ² + ε) + β\nBN: μ, σ over the cases, for each feature\n"
    "LN: μ, σ over the features, for each case",
    held_equal=Bilingual(
        "The same data, 64 cases a step, equal steps and initial weights in every arm, paired seeds; each arm has its own "
        "learning rate from one sweep on a seed that is not measured on. On the text (feed-forward, three layers of 48) "
        "the arms of batch norm differ only in how many of the 64 cases share a statistic, as when devices share a batch; "
        "their running averages are taken over all 64. Small nets, short training. Transformers on text are question 1.",
        "各组数据相同，每步 64 个样本，步数与初始权重相同，种子配对；每组在同一扫描中、用不参与测量的种子各自选学习率。"
        "文本任务（三层宽 48 的前馈网络）中各 BN 组只差在 64 个样本里多少个共用一份统计量（如同多卡分摊一批），"
        "滑动平均都取自全部 64 个。小网络、短训练。Transformer 上的文本见第 1 题。",
    ),
    sources=[
        Source("Ioffe & Szegedy", 2015, "Batch Normalization", "arXiv:1502.03167"),
        Source("Ba, Kiros & Hinton", 2016, "Layer Normalization", "arXiv:1607.06450, table 1"),
        Source("Wu & He", 2018, "Group Normalization", "arXiv:1803.08494"),
    ],
)
