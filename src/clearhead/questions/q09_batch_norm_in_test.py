"""Are batch norm's parameters the same in training and in test?

BN 训练和测试时的参数一样吗？
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments import claims
from clearhead.experiments.claims import Claim, above, below, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.text.corpora import Corpus
from clearhead.text.windows import Windows, character_windows
from clearhead.training.descent import descend

BATCH, WIDTH, SEEN = 64, 48, 20_000
MOMENTA = ("0.1", "0.01", "0.001")
TEST_BATCHES = (2, 8, 32, 128)


def in_both_modes(arm: str, seed: int) -> Measured:
    """torch's own layer against the formulas: whose mean and variance it takes, and what it stores."""
    rng = torch.Generator().manual_seed(seed)
    batches = 2 * torch.randn(5, 16, 8, generator=rng, dtype=torch.float64) + torch.arange(8.0, dtype=torch.float64)
    norm = nn.BatchNorm1d(8).double().requires_grad_(False)
    norm.weight.normal_(generator=rng)
    norm.bias.normal_(generator=rng)

    def formula(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return norm.weight * (x - mean) / (var + norm.eps).sqrt() + norm.bias

    mean, var = torch.zeros(8, dtype=torch.float64), torch.ones(8, dtype=torch.float64)
    for x in batches:
        in_training, by_batch = norm(x), formula(x, x.mean(0), x.var(0, correction=0))
        mean, var = 0.9 * mean + 0.1 * x.mean(0), 0.9 * var + 0.1 * x.var(0, correction=1)
    norm.eval()
    in_test, by_store = norm(x), formula(x, mean, var)
    total, within = batches.flatten(0, 1).var(0, correction=0), batches.var(1, correction=0).mean(0)
    return {
        "training_gap": (in_training - by_batch).abs().max().item(),
        "test_gap": (in_test - by_store).abs().max().item(),
        "modes_differ": float((in_test - in_training).norm() / in_training.norm()),
        "alone_gap": (torch.cat([norm(row[None]) for row in x]) - in_test).abs().max().item(),
        "between_batches": (total - within - batches.mean(1).var(0, correction=0)).abs().max().item(),
    }


def predicting(arm: str, seed: int) -> Measured:
    """How far a layer's parameters and stored statistics move when a trained layer predicts, without gradients."""
    rng = torch.Generator().manual_seed(seed)
    norm = nn.BatchNorm1d(8).double()
    norm(torch.randn(64, 8, generator=rng, dtype=torch.float64))
    norm.train(arm == "left in train()")
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items() if tensor.is_floating_point()}
    with torch.no_grad():
        norm(5 + torch.randn(16, 8, generator=rng, dtype=torch.float64))
    moved = {name: (norm.state_dict()[name] - old).abs().max().item() for name, old in before.items()}
    return {"moved": max(moved.values())}


class BatchNorm(nn.Module):
    """Batch norm that keeps several moving averages side by side. `use` names the one that it takes, None the batch's
    own statistics; `updates` those that a batch goes into, each by its momentum ("whole" by 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.kept = {name: (torch.zeros(width), torch.ones(width)) for name in (*MOMENTA, "whole")}
        self.use: str | None = None
        self.updates: tuple[str, ...] = MOMENTA

    def forward(self, x: Tensor) -> Tensor:
        if self.use is not None:
            return F.batch_norm(x, *self.kept[self.use], self.weight, self.bias)
        for name in self.updates:
            self._remember(name, x.detach())
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True)

    def _remember(self, name: str, x: Tensor) -> None:
        rate = 1.0 if name == "whole" else float(name)
        for kept, now in zip(self.kept[name], torch.var_mean(x, 0)[::-1], strict=True):
            kept.lerp_(now, rate)


def network(norm: str, symbols: int) -> nn.Sequential:
    """A feed-forward net for the next character given seven."""
    layers: list[nn.Module] = [nn.Embedding(symbols, 12), nn.Flatten()]
    for width in (7 * 12, WIDTH):
        layers += [nn.Linear(width, WIDTH), BatchNorm(WIDTH) if norm == "batch" else nn.LayerNorm(WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, symbols))


def norms(net: nn.Sequential) -> list[BatchNorm]:
    return [layer for layer in net if isinstance(layer, BatchNorm)]


@torch.no_grad()
def nats(net: nn.Sequential, asked: Tensor, use: str | None) -> float:
    """The loss of predicting the last character of each window, with these statistics in use; nothing is updated."""
    for norm in norms(net):
        norm.use, norm.updates = use, ()
    loss = F.cross_entropy(net(asked[:, :-1]), asked[:, -1]).item()
    for norm in norms(net):
        norm.use, norm.updates = None, MOMENTA
    return loss


@torch.no_grad()
def take_whole_set(net: nn.Sequential, train: Tensor) -> None:
    """Stores the statistics of the whole training set under the present weights, each layer's given the one below."""
    for norm in norms(net):
        norm.updates = ("whole",)
    net(train[:, :-1])
    for norm in norms(net):
        norm.updates = MOMENTA


def data(windows: Windows, seed: int, asked: int) -> tuple[Tensor, Tensor, torch.Generator]:
    """A training set of up to 20,000 windows and a held-out one, drawn from the text, and a generator for batches."""
    rng = torch.Generator().manual_seed(seed)
    train, held_out = (torch.from_numpy(part) for part in (windows.train, windows.held_out))
    return train[torch.randperm(len(train), generator=rng)[:SEEN]], held_out[
        torch.randperm(len(held_out), generator=rng)[:asked]
    ], rng


def stored(arm: str, seed: int, corpus: Corpus, steps: int) -> Measured:
    """Held-out nats as training goes on: stored averages of three momenta against the whole training set's."""
    windows = character_windows(corpus, 8)
    train, asked, rng = data(windows, seed, 3000)
    torch.manual_seed(seed)
    net = network("batch", windows.symbols)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, fused=True)

    def loss() -> Tensor:
        batch = train[torch.randint(len(train), (BATCH,), generator=rng)]
        return F.cross_entropy(net(batch[:, :-1]), batch[:, -1])

    curves: dict[str, dict[float | int | str, float]] = {name: {} for name in (*MOMENTA, "whole")}
    checks = [5, max(6, steps // 8), max(7, steps // 3), max(8, steps)]
    for before, step in zip([0, *checks], checks, strict=False):
        descend(optimizer, loss, step - before)
        take_whole_set(net, train)
        for name, curve in curves.items():
            curve[step] = nats(net, asked, name)
    (mean, _), (true_mean, true_var) = norms(net)[0].kept["0.1"], norms(net)[0].kept["whole"]
    first, last = checks[0], checks[-1]
    return {
        **{f"by {name}": Along("step", curve) for name, curve in curves.items()},
        "early": curves["0.1"][first] - curves["whole"][first],
        "late": curves["0.1"][last] - curves["whole"][last],
        "slow": curves["0.001"][last] - curves["whole"][last],
        "distance": float(((mean - true_mean).abs() / true_var.sqrt()).mean()),
        **batch_statistics(net, asked[:1024]),
    }


def batch_statistics(net: nn.Sequential, asked: Tensor) -> Measured:
    """Held-out nats where each test batch is normalised by itself: drawn at random, or sorted by what comes next."""
    by_store = nats(net, asked, "0.1")

    def curve(rows: Tensor) -> dict[float | int | str, float]:
        whole = {size: rows[: len(rows) // size * size].view(-1, size, rows.shape[-1]) for size in TEST_BATCHES}
        return {size: sum(nats(net, batch, None) for batch in parts) / len(parts) for size, parts in whole.items()}

    drawn, in_order = curve(asked), curve(asked[asked[:, -1].argsort()])
    return {
        "stored": Along("test_batch", dict.fromkeys(TEST_BATCHES, by_store)),
        "random batches": Along("test_batch", drawn),
        "sorted batches": Along("test_batch", in_order),
        "pairs": drawn[2] - by_store,
        "sorted_harm": in_order[32] - by_store,
    }


def grouped(arm: str, seed: int, corpus: Corpus, batches: str, learning_rate: float, steps: int) -> Measured:
    """Held-out nats, with the whole training set's statistics in test, after training on random batches or on batches
    of one kind: windows that all end in the same character before the one asked for."""
    windows = character_windows(corpus, 8)
    train, asked, rng = data(windows, seed, 3000)
    train = train[train[:, -2].argsort()]
    counts = torch.bincount(train[:, -2], minlength=windows.symbols)
    starts = counts.cumsum(0) - counts
    torch.manual_seed(seed)
    net = network(arm, windows.symbols)

    def loss() -> Tensor:
        kind = train[torch.randint(len(train), (1,), generator=rng), -2]
        first, among = (starts[kind], counts[kind]) if batches == "one kind" else (0, len(train))
        batch = train[first + (torch.rand(BATCH, generator=rng) * among).long()]
        return F.cross_entropy(net(batch[:, :-1]), batch[:, -1])

    descend(torch.optim.Adam(net.parameters(), lr=learning_rate, fused=True), loss, steps, schedule="linear")
    take_whole_set(net, train)
    return {"held_out": nats(net, asked, "whole")}


STORED = "stored"
EXACT, SEEDS = BySize((4,), (8,)), BySize((6,), (6, 12))

EXPERIMENTS = [
    Experiment("in_both_modes", in_both_modes, ("BatchNorm1d",), seeds=EXACT),
    Experiment("predicting", predicting, ("eval()", "left in train()"), seeds=EXACT),
    Experiment(
        STORED, stored, ("batch",), seeds=SEEDS, settings=BySize({"steps": 200}, {"steps": 1000}), needs_text=True
    ),
    Experiment(
        "grouped", grouped, ("batch", "layer"), {"batches": ("random", "one kind")}, SEEDS,
        BySize({"steps": 160}, {"steps": 800}), needs_text=True,
        tune=Tune(
            "learning_rate", (3e-3, 1e-2, 3e-2, 1e-1), "held_out", settings=BySize({"steps": 80}, {"steps": 300})
        ),
    ),
]

CLAIMS = [
    Claim(
        "batch_in_training", every("in_both_modes", "training_gap", "BatchNorm1d"), exactly(0, 1e-9), "",
        Bilingual("in training the mean and variance are those of each batch", "训练时用的是每一批数据的均值和方差"),
        Bilingual(
            "In training batch norm takes the mean and variance of the present batch.", "训练时，BN 用当前这一批的均值和方差。"
        ),
        Bilingual("In training it did not take the batch's statistics.", "训练时它用的并不是当前批的统计量。"),
        kind="exact", by="textbook",
    ),
    Claim(
        "stored_in_test", every("in_both_modes", "test_gap", "BatchNorm1d"), exactly(0, 1e-9), "",
        Bilingual(
            "in test they are stored moving averages of past batches; gamma and beta are the same as in training",
            "测试时用保存下来的历史各批的滑动平均，gamma 和 beta 与训练时相同",
        ),
        Bilingual(
            "In test it takes stored moving averages of past batches; only gamma and beta are the same.",
            "测试时用保存下来的历史各批的滑动平均；相同的只有 gamma 和 beta。",
        ),
        Bilingual("In test it did something else.", "测试时并非如此。"), kind="exact",
    ),
    Claim(
        "modes_differ", every("in_both_modes", "modes_differ", "BatchNorm1d"), above(0.01), "relative",
        Bilingual("so one batch comes out differently in training and in test", "所以同一批数据在训练和测试时输出不同"), kind="exact",
    ),
    Claim(
        "one_case_in_test", every("in_both_modes", "alone_gap", "BatchNorm1d"), exactly(0), "",
        Bilingual(
            "in test there is no notion of a batch: one sample gets what it gets among others",
            "测试时没有 batch 的概念：单独预测一个样本，结果与放在一批里相同",
        ),
        kind="exact", by="textbook",
    ),
    Claim(
        "whole_training_set", value(STORED, "distance", "batch"), near(0, 0.01), "std",
        Bilingual(
            "the mean in test is that of the whole training set (within 0.01 standard deviations)",
            "测试时用的是全量训练数据的均值（相差不超过 0.01 个标准差）",
        ),
        Bilingual(
            "On this text the stored mean was that of the whole training set.", "在这段文本上，保存的均值就是全量训练数据的均值。"
        ),
        Bilingual(
            "The textbook's 'mean and variance of the whole training set' is not what is stored: the stored means lay "
            "{whole_training_set.effect:.3f} standard deviations off.",
            "教科书说测试时用“全量训练数据的均值和方差”，但保存的并不是它：均值相差 {whole_training_set.effect:.3f} 个标准差。",
        ),
        by="textbook",
    ),
    Claim(
        "moving_average_will_do", value(STORED, "late", "batch"), near(0, 0.02), "nats",
        Bilingual(
            "a moving average obtains them: it predicts as well as the whole set's (within 0.02 nats)",
            "可以用移动平均求得：预测效果与全量统计量相当（差不超过 0.02 nat）",
        ),
        Bilingual(
            "At the end of training they predicted as well as the whole training set's ({moving_average_will_do.effect:+.3f} "
            "nats).",
            "训练结束时，用它预测与用全量训练集的统计量一样好（{moving_average_will_do.effect:+.3f} nat）。",
        ),
        Bilingual(
            "Even at the end of training the moving averages cost {moving_average_will_do.effect:+.3f} nats.",
            "到训练结束，移动平均仍使损失变化 {moving_average_will_do.effect:+.3f} nat。",
        ),
        by="textbook",
    ),
    Claim(
        "early_average_lags", value(STORED, "early", "batch"), above(0.05), "nats",
        Bilingual("after 5 steps the moving average costs over 0.05 nats", "只训练 5 步时，移动平均的代价超过 0.05 nat"),
    ),
    Claim(
        "slow_average_lags", value(STORED, "slow", "batch"), above(0.05), "nats",
        Bilingual("with momentum 0.001 it still does after the whole of a short training",
                  "momentum 取 0.001 时，短训练结束后代价仍超过 0.05 nat"),
    ),
    Claim(
        "fixed_once_trained", every("predicting", "moved", "eval()"), exactly(0), "",
        Bilingual(
            "once a model is trained, all of it is fixed: mean, variance, gamma and beta",
            "模型训练完成后，所有参数都确定了，包括均值、方差、gamma 和 beta",
        ),
        kind="exact", by="textbook",
    ),
    Claim(
        "not_if_left_in_train", every("predicting", "moved", "left in train()"), above(0.01), "",
        Bilingual("left in train(), a prediction moves mean and variance, with gradients off too",
                  "若停留在 train()，即使关闭梯度，预测也会改动均值和方差"),
        Bilingual(
            "All is fixed in eval() only: a model left in train() goes on moving them as it predicts.",
            "只有在 eval() 下才全部固定：停留在 train() 的模型，预测时仍会改动它们。",
        ),
        Bilingual("Even in train() predicting moved nothing.", "即使在 train() 下，预测也没有改动任何参数。"), kind="exact",
    ),
    Claim(
        "pairs_in_test", value(STORED, "pairs", "batch"), above(0.1), "nats",
        Bilingual("predicting with the statistics of test batches of 2 costs over 0.1 nats",
                  "测试时改用 2 个样本一批的统计量，损失增加 0.1 nat 以上"),
        Bilingual(
            "Test batches' own statistics, from batches of 2, cost {pairs_in_test.effect:.2f} nats.",
            "测试时若改用 2 个样本一批的统计量，损失增加 {pairs_in_test.effect:.2f} nat。",
        ),
        Bilingual("Test batches of 2 cost less than 0.1 nats.", "2 个样本一批的测试统计量，代价不到 0.1 nat。"),
    ),
    Claim(
        "sorted_in_test", value(STORED, "sorted_harm", "batch"), above(0.1), "nats",
        Bilingual("so does it with batches of 32 that were sorted by their answer", "32 个一批、但按答案排过序，也会增加 0.1 nat 以上"),
    ),
    Claim(
        "variance_between_batches", every("in_both_modes", "between_batches", "BatchNorm1d"), exactly(0, 1e-9), "",
        Bilingual("what the average of batch variances misses is the variance of the batch means",
                  "各批方差的平均所漏掉的，正是批均值之间的方差"),
        kind="exact",
    ),
    Claim(
        "right_statistics_suffice",
        claims.interaction("grouped", "held_out", "batch", "layer", over="batches", high="one kind", low="random"),
        below(0.05), "nats",
        Bilingual(
            "with the whole set's statistics in test, it does not matter what the training batches were like: batches of "
            "one kind cost batch norm no more than layer norm",
            "只要测试时统计量正确，训练时怎样分批无所谓：同类成批对 BN 的损害不比 LN 大",
        ),
        Bilingual(
            "With the right statistics, training batches of one kind cost batch norm no more than layer norm.",
            "统计量正确时，训练时同类成批对 BN 的损害不比 LN 大。",
        ),
        Bilingual(
            "Right statistics do not mend odd training batches: batches of one kind cost batch norm "
            "{right_statistics_suffice.effect:.2f} nats more than layer norm, so shuffle.",
            "统计量正确也救不了分批不当：训练时同类成批，BN 比 LN 多损失 {right_statistics_suffice.effect:.2f} nat，所以要打乱。",
        ),
        by="folk",
    ),
]

LABELS = {
    "by 0.1": Bilingual("momentum 0.1 (usual)", "momentum 0.1（常用）"), "by 0.01": same("momentum 0.01"),
    "by 0.001": same("momentum 0.001"), "by whole": Bilingual("whole training set", "全量训练集"),
    "stored": Bilingual("stored averages", "保存的滑动平均"),
    "random batches": Bilingual("the test batch's own, drawn at random", "测试批自己的，随机成批"),
    "sorted batches": Bilingual("the test batch's own, sorted by answer", "测试批自己的，按答案排序"),
}
NATS = Axis("value", Bilingual("held-out loss, nats a character", "留出损失，nat/字符"))

FIGURES = [
    View(
        "stored", "lines", STORED, ("by whole", "by 0.1", "by 0.01", "by 0.001"),
        Axis("step", Bilingual("training step", "训练步"), log=True), NATS,
        Bilingual("Stored averages against the whole training set's", "保存的滑动平均与全量训练集统计量"),
        Bilingual("The same net at the same steps; only the statistics in test differ.", "同一网络、同一步；只有测试用的统计量不同。"),
        colour="measure", labels=LABELS,
    ),
    View(
        "test_batches", "lines", STORED, ("stored", "random batches", "sorted batches"),
        Axis("test_batch", Bilingual("cases in a test batch", "测试批的样本数"), log=True), NATS,
        Bilingual("With a test batch's own statistics the batch decides", "用测试批自己的统计量，结果取决于批"),
        Bilingual("One trained net; stored averages give one answer whatever the batch.", "同一个训练好的网络；用保存的平均则与批无关。"),
        colour="measure", labels=LABELS,
    ),
]

QUESTION = Question(
    number=9,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "In training the batch's mean and variance are part of the function: gradients flow through them, and every case "
        "depends on its batch mates. In test one case must get one answer, so fixed numbers stand in: averages over past "
        "batches, each weighing 0.1 and the older ones less and less, seen by weights that have moved on since. That is an "
        "estimate of the training set's statistics under the present weights, good once the weights move slowly.\n\n"
        "It stands for the training batches as they were. The average of batch variances misses the variance between "
        "batches: total = E[batch variance] + Var[batch mean]; the stored one is corrected by m/(m-1), which mends it for "
        "independent cases only. And weights that have grown used to odd batches do not fit any fixed statistics.",
        "训练时，批的均值和方差是函数的一部分：梯度会流过它们，每个样本都依赖同批的其他样本。测试时一个样本只能有一个答案，"
        "于是用固定的数代替：历史各批的平均，每批权重 0.1、越旧越轻，而且那时的权重与现在不同。"
        "它是“当前权重下训练集统计量”的估计，权重变化慢下来之后就足够好。\n\n"
        "它代表的是训练时的那些批。各批方差的平均漏掉了批与批之间的方差：总方差 = E[批内方差] + Var[批均值]；"
        "保存时乘的 m/(m−1) 只对独立样本补得准。若训练的批本身不正常，权重已适应了它们，换什么固定统计量都不合适。",
    ),
    formula="training: y = γ (x − μ_B) / √(σ²_B + ε) + β\ntest:     y = γ (x − μ̂) / √(σ̂² + ε) + β\n"
    "μ̂ ← 0.9 μ̂ + 0.1 μ_B,   σ̂² ← 0.9 σ̂² + 0.1 σ²_B · m/(m−1)",
    held_equal=Bilingual(
        "A feed-forward net (two layers of 48) for the next character given seven, batches of 64, up to 20,000 training "
        "windows. All averages are kept side by side in one training run and touch nothing in it. Random batches and "
        "batches of one kind (the same last character): equal steps, paired seeds, a learning rate for each norm and kind "
        "of batch from one sweep. Small net, short training: longer training brings slow averages nearer.",
        "由前七个字符预测下一个字符的前馈网络（两层，宽 48），每批 64 个，训练窗口至多 20,000 个。"
        "几种滑动平均在同一次训练中并排保存，不影响训练。随机批与同类批（末字符相同）：步数相同，种子配对，"
        "每种归一化、每种分批由同一扫描各自选学习率。小网络、短训练：训练更久，慢的平均会更接近。",
    ),
    sources=[
        Source("Ioffe & Szegedy", 2015, "Batch Normalization", "arXiv:1502.03167, section 3.1, algorithm 2"),
        Source("Wu & Johnson", 2021, "Rethinking \"Batch\" in BatchNorm", "arXiv:2105.07576"),
    ],
)
