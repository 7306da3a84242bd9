"""What is gradient descent for neural networks, and what do its variants change?

介绍一下神经网络的梯度下降：各种变体改变了什么？
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments import claims
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, slope, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.text.corpora import Corpus
from clearhead.text.windows import Windows, character_windows
from clearhead.training.descent import descend


def batch_gradient(arm: str, seed: int, batch: int, width: int = 8) -> Measured:
    """Gradients of random batches of a small net on 512 examples, against that of all examples, in float64."""
    torch.manual_seed(seed)
    x, y = torch.randn(512, 10, dtype=torch.float64), torch.randn(512, 1, dtype=torch.float64)
    net = nn.Sequential(nn.Linear(10, width), nn.Tanh(), nn.Linear(width, 1)).double()

    def gradient(rows: Tensor) -> Tensor:
        found = torch.autograd.grad(F.mse_loss(net(x[rows]), y[rows]), list(net.parameters()))
        return torch.cat([g.flatten() for g in found])

    full = gradient(torch.arange(512))
    epoch = torch.stack([gradient(rows) for rows in torch.split(torch.randperm(512), batch)])
    drawn = torch.stack([gradient(torch.randint(512, (batch,))) for _ in range(200)])
    size = full.square().sum()
    noise = ((drawn - full).square().sum(1).mean() / size).item()
    return {"epoch_gap": ((epoch.mean(0) - full).square().sum() / size).sqrt().item(), "noise": noise}


def largest_step(arm: str, seed: int, curvature: float, size: int = 8) -> Measured:
    """The largest step at which gradient descent on a random bowl still shrinks, in units of 2 / its largest curvature."""
    rng = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(size, size, generator=rng, dtype=torch.float64))[0]
    bowl = turn @ torch.diag(torch.linspace(1, curvature, size, dtype=torch.float64)) @ turn.T
    start = torch.randn(size, generator=rng, dtype=torch.float64)
    low, high = 0.0, 10 / curvature
    for _ in range(40):
        step = (low + high) / 2
        after = torch.linalg.matrix_power(torch.eye(size, dtype=torch.float64) - step * bowl, 2**15) @ start
        low, high = (step, high) if after.norm() < start.norm() else (low, step)
    return {"times_two_over_curvature": low * curvature / 2}


def steps_needed(arm: str, seed: int, condition: float) -> Measured:
    """Steps until the distance to the floor of a bowl is 1e-10 of the start's, with the best constants of each arm."""
    curvatures = np.geomspace(1, condition, 10)
    x = before = start = np.random.default_rng(seed).standard_normal(10)
    root = math.sqrt(condition)
    step, beta = (2 / (1 + condition), 0.0) if arm == "GD" else (4 / (1 + root) ** 2, ((root - 1) / (root + 1)) ** 2)
    steps = 0
    while x @ x > 1e-20 * (start @ start):
        x, before, steps = x - step * curvatures * x + beta * (x - before), x, steps + 1
    return {"steps": float(steps)}


def bent_bowl(arm: str, seed: int, steps: int, condition: float = 25.0) -> Measured:
    """Distance from the floor of a convex function of one number whose curvature is 25, but 1 between 1 and 2."""
    x = before = np.random.default_rng(seed).uniform(3.1, 3.4)
    root = math.sqrt(condition)
    step, beta = (2 / (1 + condition), 0.0) if arm == "GD" else (4 / (1 + root) ** 2, ((root - 1) / (root + 1)) ** 2)
    path = []
    for _ in range(steps):
        gradient = condition * x if x < 1 else x + condition - 1 if x < 2 else condition * x - condition + 1
        x, before = x - step * gradient + beta * (x - before), x
        path.append(abs(x))
    return {"distance": float(np.mean(path[-12:]))}


def optimizer_of(arm: str, weights: list[Tensor], rate: float, eps: float = 1e-8) -> torch.optim.Optimizer:
    if arm == "Adam":
        return torch.optim.Adam(weights, rate, eps=eps)
    return torch.optim.SGD(weights, rate)


def rescaled(arm: str, seed: int, steps: int) -> Measured:
    """How far the path on a bowl moves, relative to its length, when the loss is multiplied by 4."""
    rng = torch.Generator().manual_seed(seed)
    start, curvatures = torch.randn(6, generator=rng, dtype=torch.float64), torch.logspace(-1, 0, 6, dtype=torch.float64)

    def end(scale: float) -> Tensor:
        x = start.clone().requires_grad_()
        descend(optimizer_of(arm, [x], 0.05, eps=0.0), lambda: scale * (curvatures * x.square()).sum() / 2, steps)
        return x.detach()

    once, scaled = end(1.0), end(4.0)
    return {"gap": ((scaled - once).norm() / (once - start).norm()).item()}


def turned_bowl(arm: str, seed: int, axes: str, steps: int, size: int = 10) -> Measured:
    """The loss that is left on a bowl of condition 1e4 whose axes are those of the coordinates, or turned at random."""
    rng = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(size, size, generator=rng, dtype=torch.float64))[0]
    turn = turn if axes == "turned" else torch.eye(size, dtype=torch.float64)
    curvatures = torch.logspace(0, 4, size, dtype=torch.float64)
    x = (turn.T @ torch.randn(size, generator=rng, dtype=torch.float64)).requires_grad_()
    optimizer = optimizer_of(arm, [x], 0.1 if arm == "Adam" else 1.9e-4)
    loss = descend(optimizer, lambda: (curvatures * (turn @ x).square()).sum() / 2, steps, schedule="linear")[-1]
    return {"loss": loss, "log10_loss": math.log10(loss)}


def exclusive_or(arm: str, seed: int, units: int, steps: int, starts: int = 60) -> Measured:
    """XOR from 60 starts: the share unsolved, and of these the share with no direction that curves down (a minimum)."""
    torch.manual_seed(seed)
    x = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)
    y = torch.tensor([-1.0, 1, 1, -1], dtype=torch.float64)
    w = torch.randn(starts, 4 * units + 1, dtype=torch.float64, requires_grad=True)

    def loss(w: Tensor) -> Tensor:
        hidden = torch.tanh(x @ w[..., : 2 * units].reshape(*w.shape[:-1], 2, units) + w[..., None, 2 * units : 3 * units])
        read = (hidden @ w[..., 3 * units : -1, None])[..., 0]
        return (read + w[..., -1:] - y).square().mean(-1)

    descend(torch.optim.SGD([w], 0.3), lambda: loss(w).sum(), steps)
    stuck = w.detach()[loss(w) > 0.1]
    least = torch.linalg.eigvalsh(torch.func.vmap(torch.func.hessian(loss))(stuck))[:, 0] if len(stuck) else stuck.sum(1)
    return {"unsolved": len(stuck) / starts, "in_a_minimum": (least > 0).double().mean().item()}


def reader(windows: Windows, seed: int, width: int = 64) -> nn.Sequential:
    """A small net that guesses a character from the four before it."""
    torch.manual_seed(seed)
    embedding, read = nn.Embedding(windows.symbols, 16), nn.Linear(width, windows.symbols)
    return nn.Sequential(embedding, nn.Flatten(), nn.Linear(64, width), nn.Tanh(), read)


def loss_on(net: nn.Sequential, rows: Tensor) -> Tensor:
    return F.cross_entropy(net(rows[:, :-1]), rows[:, -1])


def trained(arm: str, seed: int, rate: float, batch: int, steps: int, corpus: Corpus, characters: int) -> float:
    """Held-out nats after so many steps of one size."""
    windows = character_windows(corpus, 5, characters=characters)
    train, held_out = torch.from_numpy(windows.train), torch.from_numpy(windows.held_out)
    net = reader(windows, seed)
    optimizer = optimizer_of(arm, list(net.parameters()), rate)
    descend(optimizer, lambda: loss_on(net, train[torch.randint(len(train), (batch,))]), steps)
    with torch.no_grad():
        return loss_on(net, held_out[:: max(1, len(held_out) // 4000)]).item()


def batches(arm: str, seed: int, batch: int, rate: float, steps: int, corpus: Corpus, characters: int) -> Measured:
    """SGD with small and large batches: after as many examples, or as many updates."""
    updates = steps * 128 // batch if arm == "equal examples" else steps
    return {"nats": trained("SGD", seed, rate, batch, updates, corpus, characters)}


def optimizers(arm: str, seed: int, step_size: str, rate: float, steps: int, corpus: Corpus, characters: int) -> Measured:
    """Held-out nats of each optimiser, at the library's own step size (0.001) or the best of a sweep."""
    sweep = {"Adam": 0.01, "SGD": 1.0}[arm] * rate
    rate = sweep if step_size == "tuned" else 0.001
    return {"nats": trained(arm, seed, rate, 128, steps, corpus, characters)}


def edge(arm: str, seed: int, rate: float, steps: int, corpus: Corpus, characters: int) -> Measured:
    """Full-batch descent on 256 windows: the largest curvature along the way, in units of 2 / step."""
    windows = character_windows(corpus, 5, characters=characters)
    rows = torch.from_numpy(windows.train)[:: max(1, len(windows.train) // 256)][:256]
    net = reader(windows, seed, 32)
    weights = list(net.parameters())
    optimizer = torch.optim.SGD(weights, rate)
    direction = [torch.randn_like(w) for w in weights]
    curve: dict[float | int | str, float] = {}
    losses = []
    for part in range(13):
        now = loss_on(net, rows)
        gradient = torch.autograd.grad(now, weights, create_graph=True)
        for _ in range(25):  # power iteration on the Hessian
            direction = list(torch.autograd.grad(gradient, weights, direction, retain_graph=True))
            size = torch.stack([d.square().sum() for d in direction]).sum().sqrt()
            direction = [d / size for d in direction]
        curve[part * steps // 12] = size.item() * rate / 2
        losses.append(now.item())
        if part < 12:
            descend(optimizer, lambda: loss_on(net, rows), max(1, steps // 12))
    above = [loss for loss, curvature in zip(losses, curve.values(), strict=False) if curvature > 1]
    return {
        "curvature": Along("step", curve), "curvature_at_end": list(curve.values())[-1], "loss": losses[-1],
        "rise_once_above": math.log10(losses[-1] / above[0]) if above else math.nan,
    }


BATCH, BOWL, SIZES, TEXT, EDGE = "batch_gradient", "steps_needed", "batches", "optimizers", "edge"
EXACT = BySize((3,), (6,))
SEEDS = BySize((6, 8), (6, 12))

EXPERIMENTS = [
    Experiment(BATCH, batch_gradient, ("SGD",), {"batch": (1, 8, 64)}, BySize((5,), (8,)), transfer={"width": 24}),
    Experiment("largest_step", largest_step, ("GD",), {"curvature": (10.0, 100.0)}, EXACT),
    Experiment(BOWL, steps_needed, ("GD", "momentum"), {"condition": (10.0, 100.0, 1000.0)}, EXACT),
    Experiment(
        "bent_bowl", bent_bowl, ("GD", "momentum"), seeds=BySize((5,), (8,)), settings=BySize({"steps": 600}, {"steps": 600}),
        transfer={"steps": 6000},
    ),
    Experiment("rescaled", rescaled, ("SGD", "Adam"), seeds=EXACT, settings=BySize({"steps": 50}, {"steps": 200})),
    Experiment(
        "turned_bowl", turned_bowl, ("SGD", "Adam"), {"axes": ("coordinates", "turned")}, BySize((5,), (8,)),
        BySize({"steps": 300}, {"steps": 600}), transfer={"size": 20},
    ),
    Experiment(
        "exclusive_or", exclusive_or, ("GD",), {"units": (2, 8)}, BySize((5,), (6, 12)),
        BySize({"steps": 600}, {"steps": 2000}), transfer={"starts": 120},
    ),
    Experiment(
        EDGE, edge, ("GD",), {"rate": (2.0, 4.0)}, BySize((5,), (6, 12)),
        BySize({"steps": 240, "characters": 300_000}, {"steps": 480, "characters": 1_000_000}), needs_text=True,
    ),
    Experiment(
        SIZES, batches, ("equal examples", "equal updates"), {"batch": (8, 128)}, SEEDS,
        BySize({"steps": 50, "characters": 300_000}, {"steps": 150, "characters": 1_000_000}),
        tune=Tune("rate", (0.03, 0.1, 0.3, 1.0, 3.0), "nats"), needs_text=True,
    ),
    Experiment(
        TEXT, optimizers, ("Adam", "SGD"), {"step_size": ("default", "tuned")}, SEEDS,
        BySize({"steps": 250, "characters": 300_000}, {"steps": 800, "characters": 1_000_000}),
        tune=Tune("rate", (0.1, 0.3, 1.0, 3.0, 10.0), "nats", at={"step_size": "tuned"}), needs_text=True,
    ),
]

CLAIMS = [
    Claim(
        "batches_are_unbiased", every(BATCH, "epoch_gap", "SGD"), exactly(0, 1e-10), "relative",
        Bilingual("the gradients of an epoch's batches average to the gradient of all examples", "一轮中各批梯度的平均就是全体样本的梯度"),
        Bilingual(
            "Gradient descent repeats w ← w − step × gradient; mini-batches give it right on average.",
            "梯度下降反复做 w ← w − 步长 × 梯度。小批量的梯度平均起来就是全体样本的梯度。",
        ),
        Bilingual("Batch gradients did not average to the full one here.", "这里各批梯度的平均并不等于全体梯度。"), kind="exact",
    ),
    Claim(
        "noise_falls_with_batch", slope(BATCH, "noise", "SGD", over="batch"), near(-1, 0.1), "slope",
        Bilingual("the variance of a batch's gradient falls as 1/B", "批梯度的方差按 1/B 下降"),
    ),
    Claim(
        "small_batches_per_example", claims.change(SIZES, "nats", "equal examples", over="batch", high=128, low=8), above(0.05), "nats",
        Bilingual(
            "after equally many examples, batches of 8 are ahead of 128 by over 0.05 nats", "样本数相同时，批量 8 比 128 好 0.05 nat 以上"
        ),
        Bilingual(
            "Per example batches of 8 were {small_batches_per_example.effect:.2f} nats ahead of 128.",
            "样本数相同时，批量 8 比 128 好 {small_batches_per_example.effect:.2f} nat。",
        ),
        Bilingual("Per example batches of 8 were not ahead of 128.", "样本数相同时，批量 8 并不领先于 128。"),
    ),
    Claim(
        "large_batches_per_update", claims.change(SIZES, "nats", "equal updates", over="batch", high=128, low=8), below(-0.05), "nats",
        Bilingual(
            "after equally many updates, batches of 128 are ahead of 8 by over 0.05 nats", "更新次数相同时，批量 128 比 8 好 0.05 nat 以上"
        ),
        Bilingual("Per update 128 was ahead.", "更新次数相同时，批量 128 领先。"),
        Bilingual("Per update 128 was not ahead.", "更新次数相同时，批量 128 并不领先。"),
    ),
    Claim(
        "limit_is_two_over_curvature", every("largest_step", "times_two_over_curvature", "GD"), exactly(1, 1e-3), "of 2/L",
        Bilingual("on a bowl the largest step that converges is 2 / largest curvature", "在二次函数上，收敛的最大步长是 2 / 最大曲率"),
        Bilingual("On a bowl of curvature L the step must stay below 2/L.", "二次函数上步长须小于 2/L（L 为最大曲率）。"),
        kind="exact",
    ),
    Claim(
        "net_diverges_above_it", value(EDGE, "rise_once_above", "GD", rate=4.0), above(0), "powers of 10",
        Bilingual(
            "once a net's curvature exceeds 2 / step its loss rises from there", "一旦网络的曲率超过 2/步长，损失就会从此上升"
        ),
        Bilingual("A net whose curvature passed 2/step ended higher in loss.", "网络的曲率超过 2/步长后，损失上升了。"),
        Bilingual(
            "In a net the loss still fell {net_diverges_above_it.times:.0f}-fold after its curvature passed 2/step.",
            "网络则不同：曲率超过 2/步长之后，损失仍降到 1/{net_diverges_above_it.times:.0f}。",
        ),
        by="folk",
    ),
    Claim(
        "curvature_settles_there", value(EDGE, "curvature_at_end", "GD", rate=4.0), near(1, 0.3), "of 2/step",
        Bilingual("under full-batch descent a net's largest curvature ends near 2 / step", "全批量下降时，网络的最大曲率最终停在 2/步长 附近"),
    ),
    Claim(
        "gd_pays_condition", slope(BOWL, "steps", "GD", over="condition"), near(1, 0.1), "slope",
        Bilingual("the steps of gradient descent grow as the condition number", "梯度下降的步数与条件数成正比"), kind="exact",
    ),
    Claim(
        "momentum_pays_root", slope(BOWL, "steps", "momentum", over="condition"), near(0.5, 0.1), "slope",
        Bilingual("with momentum they grow as its square root", "加动量后，步数与条件数的平方根成正比"),
        Bilingual(
            "On a bowl steps grow as condition^{gd_pays_condition.effect:.2f}, with momentum ^{momentum_pays_root.effect:.2f}.",
            "加动量后，步数随条件数的 {momentum_pays_root.effect:.2f} 次方增长，不加则为 {gd_pays_condition.effect:.2f} 次方。",
        ),
        Bilingual("Momentum's steps did not grow as its root here.", "这里动量的步数没有按平方根增长。"), kind="exact",
    ),
    Claim(
        "momentum_always_helps", difference("bent_bowl", "distance", "momentum", "GD"), below(0), "distance",
        Bilingual("momentum always helps: with such constants it is nearer the floor of any convex function",
                  "动量总有好处：用这样的常数，在任何凸函数上都离最低点更近"),
        Bilingual("It helped on a bent bowl, too.", "在弯折的凸函数上动量也有帮助。"),
        Bilingual("Momentum can circle where plain descent converges.", "在普通梯度下降能收敛的凸函数上，动量也可能一直绕圈。"),
        by="folk",
    ),
    Claim(
        "adam_ignores_scale", every("rescaled", "gap", "Adam"), exactly(0, 1e-9), "relative",
        Bilingual("a loss times 4 leaves Adam's path as it is (eps = 0)", "损失乘以 4，Adam 的路径不变（eps=0）"), kind="exact",
    ),
    Claim(
        "adam_only_coordinates", claims.log_ratio("turned_bowl", "loss", "Adam", "SGD", axes="coordinates"), below(-1), "powers of 10",
        Bilingual("on a bowl along the coordinates Adam ends over ten times lower than SGD", "碗的主轴与坐标轴一致时，Adam 的损失比 SGD 低十倍以上"),
    ),
    Claim(
        "adam_turned", claims.interaction("turned_bowl", "log10_loss", "Adam", "SGD", over="axes", high="turned", low="coordinates"), above(1),
        "powers of 10",
        Bilingual("on the same bowl turned it loses over a factor of ten of that lead", "把同一个碗旋转后，这一优势缩小十倍以上"),
        Bilingual("Adam rescales coordinates: turn the bowl and its lead is gone.", "Adam 按坐标缩放：把碗旋转，它的优势就没了。"),
        Bilingual("Turning a bowl did not cost Adam its lead.", "把碗旋转没有让 Adam 失去优势。"),
    ),
    Claim(
        "bad_local_minima", value("exclusive_or", "in_a_minimum", "GD", units=2), above(0.5), "share of stalled runs",
        Bilingual("runs that stall are stuck in bad local minima (XOR, two units)", "停滞的训练是卡在坏的局部极小值（异或，两个单元）"),
        Bilingual("Runs stalled on XOR mostly stood in bad minima.", "异或任务上停滞的训练多在坏的局部极小。"),
        Bilingual("Runs stalled on XOR mostly stood in no minimum.", "异或任务上停滞的训练多半不在极小点。"), by="folk",
    ),
    Claim(
        "width_frees", claims.change("exclusive_or", "unsolved", "GD", over="units", high=8, low=2), below(-0.05), "share of starts",
        Bilingual("with eight units fewer runs stall than with two", "八个单元时停滞的训练比两个单元时少"),
    ),
    Claim(
        "adam_beats_sgd", difference(TEXT, "nats", "SGD", "Adam", step_size="tuned"), above(0.05), "nats",
        Bilingual("Adam beats SGD by over 0.05 nats, each at its best step size", "各用最佳步长时，Adam 比 SGD 好 0.05 nat 以上"),
        Bilingual("On this text Adam beat tuned SGD by {adam_beats_sgd.effect:.2f} nats.",
                  "在这段文本上，调好步长后 Adam 比 SGD 好 {adam_beats_sgd.effect:.2f} nat。"),
        Bilingual("On this text tuned SGD was within 0.05 nats of Adam ({adam_beats_sgd.effect:+.2f}).",
                  "在这段文本上，调好步长的 SGD 与 Adam 相差不到 0.05 nat（{adam_beats_sgd.effect:+.2f}）。"),
        by="folk",
    ),
    Claim(
        "most_is_tuning", claims.interaction(TEXT, "nats", "SGD", "Adam", over="step_size", high="default", low="tuned"), above(0.1), "nats",
        Bilingual("at the library's step (0.001 for both) Adam's lead is larger by over 0.1 nats", "用库的默认步长（都是 0.001）时，它的领先多 0.1 nat 以上"),
        Bilingual("At the library's step size Adam's lead is {most_is_tuning.effect:.2f} larger.",
                  "用库的默认步长时，Adam 的领先要再多 {most_is_tuning.effect:.2f} nat。"),
    ),
]

LABELS = {
    "GD": Bilingual("gradient descent", "梯度下降"), "momentum": Bilingual("momentum", "动量"), "SGD": same("SGD"),
    "Adam": same("Adam"),
    "default": Bilingual("library's (0.001)", "库默认（0.001）"), "tuned": Bilingual("best of a sweep", "扫描取最佳"),
    "2.0": Bilingual("step 2", "步长 2"), "4.0": Bilingual("step 4", "步长 4"),
}

FIGURES = [
    View(
        "edge", "lines", EDGE, ("curvature",), Axis("step", Bilingual("step", "步")),
        Axis("value", Bilingual("largest curvature / (2 / step size)", "最大曲率 /（2/步长）")),
        Bilingual("A net's curvature against the limit of a bowl", "网络的曲率与二次函数的界限"),
        Bilingual("Full-batch descent on 256 stretches of the text.", "在 256 段文本上做全批量下降。"),
        colour="rate", labels=LABELS, rules={1.0: Bilingual("limit of a bowl", "二次函数的界限")},
    ),
    View(
        "optimizers", "bars", TEXT, ("nats",), Axis("step_size", Bilingual("step size", "步长")),
        Axis("value", Bilingual("held-out nats a character", "留出文本上每字符 nat")),
        Bilingual("Optimisers at the library's step size and at their own best", "优化器：库默认步长与各自最佳步长"),
        Bilingual("The same small net, equal steps.", "同一个小网络，步数相同。"), labels=LABELS,
    ),
]

QUESTION = Question(
    number=22,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "The gradient says which way the loss rises fastest for a small change of the weights; one steps the other way. "
        "Batch descent takes it over all examples, SGD over one, mini-batch descent over B: the same on average, "
        "noisier when B is small. Across a valley the step is bounded by the steepest direction, along it one needs "
        "as many steps as the ratio of the two. Momentum sums past gradients, which cancel across and add up along.\n\n"
        "AdaGrad, RMSprop and Adam divide each coordinate by the size of its own past gradients, Adam with momentum "
        "on top. That cures unequal scales of coordinates, not valleys that lie askew. A constant step with noisy "
        "gradients ends in a cloud around the minimum; a falling step size shrinks the cloud.",
        "梯度给出损失上升最快的方向，于是朝反方向走一小步。批量下降用全部样本，SGD 用一个，小批量用 B 个：平均相同，B 越小噪声越大。"
        "在狭长的谷里，步长受最陡方向限制，沿谷底则要走“两者之比”那么多步。动量累加过去的梯度：横向相互抵消，纵向累积。\n\n"
        "AdaGrad、RMSprop、Adam 把每个坐标除以它自己过去梯度的大小，Adam 再加动量。这能治坐标尺度不一，治不了斜着的谷。"
        "步长不变而梯度有噪声时，最后停在极小值周围的一团里；逐渐减小步长可让这一团缩小。",
    ),
    formula="w ← w − η g      momentum: v ← β v + g, w ← w − η v      Adam: w ← w − η m̂ / (√v̂ + ε)",
    held_equal=Bilingual(
        "Bowls have known constants and each method its best ones. On the text: the same small net (a character from "
        "the four before it), equal steps (or equal examples, as said), batches of 128 unless said, a constant step "
        "size, chosen for each arm from the same number of trials on a seed of its own. A ranking belongs to its "
        "budget: at most 800 steps here.",
        "二次函数的常数已知，每种方法用各自的最佳常数。文本上：同一个小网络（由前四个字符猜下一个），步数相同（或注明样本数相同），"
        "未注明时批量 128，步长不变，各组用同样次数的试验在另外的种子上选取。名次只属于给定的预算：这里至多 800 步。",
    ),
    sources=[
        Source("Polyak", 1964, "Some methods of speeding up the convergence of iteration methods"),
        Source("Lessard, Recht & Packard", 2016, "Analysis and Design of Optimization Algorithms via Integral Quadratic Constraints", "arXiv:1408.3595"),
        Source("Kingma & Ba", 2014, "Adam: A Method for Stochastic Optimization", "arXiv:1412.6980"),
        Source("Cohen et al.", 2021, "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability", "arXiv:2103.00065"),
        Source("Choi et al.", 2019, "On Empirical Comparisons of Optimizers for Deep Learning", "arXiv:1910.05446"),
    ],
)
