"""What is the difference between MSE and cross-entropy?

MSE 与交叉熵有什么区别？
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, log_ratio, near, value
from clearhead.experiments.evidence import Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.text.corpora import Corpus
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

CE, MSE, MAE = "cross-entropy", "MSE", "MAE"
Loss = Callable[[Tensor, Tensor], Tensor]


def one_hot(log_p: Tensor, target: Tensor) -> Tensor:
    return F.one_hot(target, log_p.shape[-1]).to(log_p.dtype)


LOSSES: dict[str, Loss] = {  # of log-probabilities (N, K) and the right classes (N,), a number a row
    CE: lambda log_p, target: -log_p.gather(1, target[:, None])[:, 0],
    MSE: lambda log_p, target: (log_p.exp() - one_hot(log_p, target)).square().sum(-1),
    MAE: lambda log_p, target: (log_p.exp() - one_hot(log_p, target)).abs().sum(-1),
}


def looked_at(loss: Loss, logits: Tensor, target: Tensor, where: str) -> dict[str, float]:
    """What a loss's gradient asks of the classes, at the probabilities (its value) or at the logits (what trains).

    `on_wrong`: the share of its L1 norm on wrong classes. `uneven`: how far gradient / (p - y) differs over classes.
    `wrong_up`: the share of the wrong classes whose score a step would raise.
    """
    logits = logits.detach().double()
    point = (logits.softmax(-1) if where == "probabilities" else logits).requires_grad_()
    log_p = point.log() if where == "probabilities" else point.log_softmax(-1)
    (gradient,) = torch.autograd.grad(loss(log_p, target).sum(), point)
    y = one_hot(logits, target)
    pull, wrong = gradient / (logits.softmax(-1) - y), y == 0
    return {
        "on_wrong": (gradient[wrong].abs().sum() / gradient.abs().sum()).item(),
        "uneven": (pull.std(-1) / pull.abs().mean(-1)).mean().item(),
        "wrong_up": (gradient[wrong] < 0).double().mean().item(),
    }


def which_classes(arm: str, seed: int, where: str, classes: int = 10) -> Measured:
    """`looked_at` for random logits, and how far the value moves when what the wrong classes have is shared anew."""
    rng = torch.Generator().manual_seed(seed)
    logits, other = (torch.randn(200, classes, generator=rng, dtype=torch.float64) * 2 for _ in range(2))
    target = torch.zeros(200, dtype=torch.int64)
    log_p = logits.log_softmax(-1)
    wrong = other[:, 1:].log_softmax(-1) + log_p[:, 1:].logsumexp(-1, keepdim=True)
    moved = LOSSES[arm](torch.cat([log_p[:, :1], wrong], 1), target) - LOSSES[arm](log_p, target)
    return {"moved": moved.abs().mean().item(), **looked_at(LOSSES[arm], logits, target, where)}


def margin(arm: str, seed: int, wrong_by: float, classes: int = 10) -> Measured:
    """The gradient where a wrong class leads the right one, and the steps (of 1) until the right one leads."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(1, classes, generator=rng, dtype=torch.float64)
    z[0, 0], z[0, 1] = 6 - wrong_by / 2, 6 + wrong_by / 2
    target = torch.zeros(1, dtype=torch.int64)

    def slope(z: Tensor) -> Tensor:
        point = z.clone().requires_grad_()
        return torch.autograd.grad(LOSSES[arm](point.log_softmax(-1), target).sum(), point)[0]

    first, steps = slope(z).norm().item(), 1
    z = z - slope(z)
    while z[0].argmax() != 0 and steps < 5000:
        z, steps = z - slope(z), steps + 1
    return {"gradient": first, "steps_until_right": float(steps)}


def curvature(arm: str, seed: int, classes: int = 10) -> Measured:
    """The share of random logits at which the loss bends down somewhere: a negative eigenvalue of its Hessian."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(100, classes, generator=rng, dtype=torch.float64) * 2
    target = torch.zeros(1, dtype=torch.int64)
    hessian = torch.func.hessian(lambda z: LOSSES[arm](z[None].log_softmax(-1), target).sum())
    least = torch.linalg.eigvalsh(torch.func.vmap(hessian)(logits))[:, 0]
    return {"bends_down": (least < -1e-9).double().mean().item()}


def true_probabilities(arm: str, seed: int, classes: int = 10) -> Measured:
    """How far the q that minimises the expected loss under labels drawn from p lies from p."""
    rng = torch.Generator().manual_seed(seed)
    p = torch.randn(classes, generator=rng, dtype=torch.float64).softmax(-1)
    z = torch.zeros(1, classes, dtype=torch.float64, requires_grad=True)
    search = "strong_wolfe"
    optimizer = torch.optim.LBFGS([z], 1, 500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn=search)

    def expected() -> Tensor:
        optimizer.zero_grad()
        loss = LOSSES[arm](z.log_softmax(-1).expand(classes, classes), torch.arange(classes)) @ p
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(expected)  # type: ignore[no-untyped-call]
    return {"gap": (z.softmax(-1) - p).abs().max().item()}


def needs_data(arm: str, seed: int, slope: float, queries: int, examples: int = 500) -> Measured:
    """The squared error of the slope fitted to labels that a logistic rule drew, over many samples of `examples`."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(queries, examples, generator=rng, dtype=torch.float64)
    y = (torch.rand(queries, examples, generator=rng, dtype=torch.float64) < torch.sigmoid(slope * x)).double()
    w = torch.full((queries, 1), slope, dtype=torch.float64)
    for _ in range(30):  # Gauss-Newton
        p = torch.sigmoid(w * x)
        weight = torch.ones_like(p) if arm == CE else p * (1 - p)
        change = (weight * (p - y) * x).sum(1, keepdim=True) / (weight * p * (1 - p) * x.square()).sum(1, keepdim=True)
        w = (w - change.clamp(-0.5, 0.5)).clamp(0, 10 * slope)
    return {"squared_error": (w - slope).square().mean().item()}


def wrong_labels(arm: str, seed: int, steps: int, noise: float, classes: int = 10) -> Measured:
    """Error on clean data of a net trained until it fits its 800 examples, a share of whose labels is drawn anew."""
    torch.manual_seed(seed)
    centres = torch.randn(classes, 40)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(classes, (n,))
        return centres[y] + 1.5 * torch.randn(n, 40), y

    (x, y), (x_new, y_new) = draw(800), draw(4000)
    given = torch.where(torch.rand(800) < noise, torch.randint(classes, (800,)), y)
    net = nn.Sequential(nn.Linear(40, 256), nn.ReLU(), nn.Linear(256, classes))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3, fused=True)

    def loss() -> Tensor:
        rows = torch.randint(800, (200,))
        return LOSSES[arm](net(x[rows]).log_softmax(-1), given[rows]).mean()

    descend(optimizer, loss, steps)
    with torch.no_grad():
        error, fitted = net(x_new).argmax(-1).ne(y_new), net(x).argmax(-1).eq(given)
    return {"error": error.float().mean().item(), "wrong_labels_fitted": fitted[given != y].float().mean().item()}


def next_character(
    arm: str, seed: int, optimizer: str, rate: float, steps: int, corpus: Corpus, characters: int
) -> Measured:
    """A small net guesses the next character from four: its errors, its scores, and what its loss looks at."""
    torch.manual_seed(seed)
    windows = character_windows(corpus, 5, characters=characters)
    train, held_out = torch.from_numpy(windows.train), torch.from_numpy(windows.held_out)
    held_out = held_out[:: max(1, len(held_out) // 4000)]
    embedding, read = nn.Embedding(windows.symbols, 16), nn.Linear(96, windows.symbols)
    net = nn.Sequential(embedding, nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), read)
    chosen = (
        torch.optim.Adam(net.parameters(), 0.01 * rate, fused=True) if optimizer == "Adam"
        else torch.optim.SGD(net.parameters(), 0.3 * rate, momentum=0.9)
    )

    def loss() -> Tensor:
        rows = train[torch.randint(len(train), (128,))]
        return LOSSES[arm](net(rows[:, :-1]).log_softmax(-1), rows[:, -1]).mean()

    descend(chosen, loss, steps, schedule="linear", warmup=0.1)
    with torch.no_grad():
        logits, target = net(held_out[:, :-1]), held_out[:, -1]
    log_p = logits.log_softmax(-1)
    return {
        "error": logits.argmax(-1).ne(target).double().mean().item(),
        "log_loss": LOSSES[CE](log_p, target).mean().item(),
        "squared_loss": LOSSES[MSE](log_p, target).mean().item(),
        **looked_at(LOSSES[arm], logits[:500], target[:500], "logits"),
    }


CLASSES, TEXT, NOISE = "which_classes", "next_character", "wrong_labels"
EXACT = BySize((4,), (8,))
SEEDS = BySize((5, 8), (6, 12))

EXPERIMENTS = [
    Experiment(CLASSES, which_classes, (CE, MSE), {"where": ("probabilities", "logits")}, EXACT),
    Experiment("margin", margin, (CE, MSE), {"wrong_by": (-8.0, -4.0, 0.0, 4.0, 8.0)}, EXACT),
    Experiment("curvature", curvature, (CE, MSE), seeds=EXACT),
    Experiment("true_probabilities", true_probabilities, (CE, MSE), seeds=BySize((5,), (8,)), transfer={"classes": 30}),
    Experiment(
        "needs_data", needs_data, (CE, MSE), {"slope": (1.0, 4.0)}, SEEDS, BySize({"queries": 300}, {"queries": 1000}),
        transfer={"examples": 1000},
    ),
    Experiment(
        NOISE, wrong_labels, (CE, MSE, MAE), {"noise": (0.4,)}, SEEDS, BySize({"steps": 300}, {"steps": 500}),
        transfer={"classes": 5},
    ),
    Experiment(
        TEXT, next_character, (CE, MSE), {"optimizer": ("Adam", "SGD")}, SEEDS,
        BySize({"steps": 300, "characters": 300_000}, {"steps": 1000, "characters": 1_000_000}),
        tune=Tune("rate", (0.1, 0.3, 1.0, 3.0, 10.0), "error"), needs_text=True,
    ),
]

CLAIMS = [
    Claim(
        "ce_right_only_in_value", every(CLASSES, "moved", CE), exactly(0), "nats",
        Bilingual(
            "cross-entropy looks only at the probability of the right class: the others do not move its value",
            "交叉熵关注的是正确类别的预测概率：其余类别怎么变，它的值都不变",
        ),
        Bilingual(
            "In its value one-hot cross-entropy depends on the right class alone.", "就损失值而言，one-hot 交叉熵只取决于正确类。"
        ),
        Bilingual("Wrong classes moved cross-entropy's value here.", "这里错误类改变了交叉熵的值。"), kind="exact", by="textbook",
    ),
    Claim(
        "mse_alike_in_value", every(CLASSES, "uneven", MSE, where="probabilities"), exactly(0), "relative spread",
        Bilingual(
            "MSE looks at all classes alike: in its value every difference p − y counts the same",
            "MSE 无差别地关注全部类别上预测概率与真实概率的差：就损失值而言，每个 p−y 的分量相同",
        ),
        Bilingual("In its value MSE counts every class's error alike.", "就损失值而言，MSE 对每个类别的误差一视同仁。"),
        Bilingual("The value of MSE did not count classes alike here.", "这里 MSE 的值并未对各类别一视同仁。"),
        kind="exact", by="textbook",
    ),
    Claim(
        "ce_right_only_in_training", value(TEXT, "on_wrong", CE, optimizer="Adam"), below(0.1), "share",
        Bilingual(
            "cross-entropy looks only at the right class in the gradient that trains, too",
            "在训练所用的梯度里，交叉熵同样只关注正确类别",
        ),
        Bilingual("The gradient at the logits looks at the right class as well.", "它对 logit 的梯度也只看正确类。"),
        Bilingual(
            "What trains is the gradient at the logits: there cross-entropy does not look at the right class alone, "
            "{ce_right_only_in_training.effect:.0%} of it lies on the wrong ones (it is p − y).",
            "训练靠的是对 logit 的梯度：在这里交叉熵并不只看正确类，{ce_right_only_in_training.effect:.0%} 落在错误类上"
            "（梯度就是 p−y）。",
        ),
        by="textbook",
    ),
    Claim(
        "mse_alike_in_training", value(TEXT, "uneven", MSE, optimizer="Adam"), near(0, 0.1), "relative spread",
        Bilingual(
            "MSE looks at all classes alike in the gradient that trains, too", "在训练所用的梯度里，MSE 同样无差别地关注全部类别"
        ),
        Bilingual("At the logits MSE treated all classes alike.", "对 logit 的梯度，MSE 也一视同仁。"),
        Bilingual(
            "At the logits MSE is not alike to all classes: its pull per error varied by "
            "{mse_alike_in_training.effect:.0%} over them.",
            "对 logit 的梯度，MSE 并不一视同仁：单位误差受到的拉力在各类之间相差 {mse_alike_in_training.effect:.0%}"
            "（相对标准差）。",
        ),
        by="textbook",
    ),
    Claim(
        "ce_alike_at_logits", every(CLASSES, "uneven", CE, where="logits"), exactly(0), "relative spread",
        Bilingual(
            "at the logits it is cross-entropy that treats all classes alike: its gradient is p − y",
            "对 logit 一视同仁的反而是交叉熵：梯度就是 p−y",
        ),
        kind="exact",
    ),
    Claim(
        "sure_and_wrong", log_ratio("margin", "gradient", MSE, CE, wrong_by=8.0), below(-2), "powers of 10",
        Bilingual(
            "surely wrong (by 8 logits), MSE's gradient is over 100 times below cross-entropy's",
            "自信地错（差 8 个 logit）时，MSE 的梯度比交叉熵小 100 倍以上",
        ),
        Bilingual(
            "Surely wrong by 8 logits, MSE behind a softmax has a gradient {sure_and_wrong.times:,.0f} times smaller than "
            "cross-entropy's.",
            "“自信地错” 8 个 logit 时，softmax 之后的 MSE 梯度只有交叉熵的 1/{sure_and_wrong.times:,.0f}。",
        ),
        Bilingual("Surely wrong, MSE's gradient was not a hundredfold smaller.", "自信地错时，MSE 的梯度没有小百倍以上。"),
        kind="exact",
    ),
    Claim(
        "mse_not_convex", difference("curvature", "bends_down", MSE, CE), above(0.5), "share of points",
        Bilingual(
            "at most random logits MSE after a softmax bends down somewhere, more often than cross-entropy by over a half",
            "在多数随机 logit 处，softmax 之后的 MSE 有向下弯的方向，比例比交叉熵高一半以上",
        ),
        kind="exact",
    ),
    Claim(
        "mse_gives_no_probabilities", value("true_probabilities", "gap", MSE), above(0.01), "probability",
        Bilingual("MSE is no loss for probabilities: its best answer is not the true one", "MSE 不适合概率：它的最优解不是真实概率"),
        Bilingual("MSE's best answer missed the true probabilities.", "MSE 的最优解偏离了真实概率。"),
        Bilingual("Both are least at the true probabilities.", "两者的最优解都是真实概率。"), by="folk",
    ),
    Claim(
        "mse_needs_more_data", log_ratio("needs_data", "squared_error", MSE, CE, slope=4.0), above(0.1), "powers of 10",
        Bilingual(
            "where labels follow a steep logistic rule, MSE's fit errs as if a fifth of the data were missing",
            "标签服从陡峭的 logistic 规律时，MSE 的拟合误差相当于少了五分之一的数据",
        ),
    ),
    Claim(
        "mse_resists_wrong_labels", difference(NOISE, "error", MSE, CE, noise=0.4), below(-0.02), "error",
        Bilingual(
            "MSE resists wrong labels: trained to the end on 40 % drawn anew, its net errs less than cross-entropy's by 0.02",
            "MSE 抗错误标签：40% 的标签重抽、训练到底时，它的错误率比交叉熵低 0.02 以上",
        ),
        Bilingual("With wrong labels MSE's net erred less.", "有错误标签时，MSE 的错误率更低。"),
        Bilingual(
            "With many wrong labels MSE was not 0.02 better ({mse_resists_wrong_labels.effect:+.3f} error).",
            "错误标签很多时，MSE 并没有好 0.02（错误率 {mse_resists_wrong_labels.effect:+.3f}）。",
        ),
        by="folk",
    ),
    Claim(
        "mae_resists_them", difference(NOISE, "error", MAE, CE, noise=0.4), below(-0.02), "error",
        Bilingual("MAE does (control)", "MAE 能抗（对照）"),
    ),
    Claim(
        "ce_better_by_sgd", difference(TEXT, "error", MSE, CE, optimizer="SGD"), above(0.01), "error",
        Bilingual("cross-entropy classifies better by 0.01 when SGD trains", "用 SGD 训练时，交叉熵的错误率低 0.01 以上"),
        Bilingual(
            "MSE's error on this text was {ce_better_by_sgd.effect:.3f} higher under SGD.",
            "在这段文本上，用 SGD 时 MSE 的错误率高 {ce_better_by_sgd.effect:.3f}。",
        ),
        Bilingual(
            "Under SGD MSE's error on this text was not 0.01 higher.", "在这段文本上，用 SGD 时 MSE 的错误率并没有高出 0.01。"
        ),
        by="folk",
    ),
    Claim(
        "ce_better_by_adam", difference(TEXT, "error", MSE, CE, optimizer="Adam"), above(0.01), "error",
        Bilingual("cross-entropy classifies better by 0.01 when Adam trains", "用 Adam 训练时，交叉熵的错误率低 0.01 以上"),
        Bilingual("Under Adam MSE's was {ce_better_by_adam.effect:.3f} higher.", "用 Adam 时 MSE 高 {ce_better_by_adam.effect:.3f}。"),
        Bilingual("Under Adam MSE's was not 0.01 higher.", "用 Adam 时 MSE 没有高出 0.01。"), by="folk",
    ),
]

LABELS = {CE: Bilingual("cross-entropy", "交叉熵"), MSE: same("MSE"), MAE: same("MAE"), "Adam": same("Adam"), "SGD": same("SGD")}

FIGURES = [
    View(
        "margin", "lines", "margin", ("gradient",),
        Axis("wrong_by", Bilingual("lead of a wrong class over the right one, logits", "错误类领先正确类的幅度，logit")),
        Axis("value", Bilingual("size of the gradient at the logits", "对 logit 的梯度大小"), log=True),
        Bilingual("How hard each loss pulls, from surely right to surely wrong", "从“自信地对”到“自信地错”，两种损失的拉力"),
        Bilingual("Ten classes, the other eight at random; exact gradients.", "十个类别，其余八个随机；精确梯度。"), labels=LABELS,
    ),
    View(
        "text", "bars", TEXT, ("error",), Axis("optimizer", Bilingual("optimiser", "优化器")),
        Axis("value", Bilingual("share of next characters guessed wrong", "下一个字符猜错的比例")),
        Bilingual("What it does to accuracy on this text", "在这段文本上对准确率的影响"),
        Bilingual(
            "The same small net, each loss and optimiser at its own best step size.", "同一个小网络，每种损失与优化器各用最佳步长。"
        ),
        labels=LABELS,
    ),
]

QUESTION = Question(
    number=20,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "The logarithm of cross-entropy undoes the exponential of the softmax: what is left at the logits is p − y, "
        "the plain error of every class. MSE has no logarithm, so the slope of the softmax stays in its gradient: "
        "where p is near 0 or 1 it is nearly 0, whether the net is right or wrong, and a wrong class may even be "
        "pushed up.\n\n"
        "Behind both stands a likelihood: cross-entropy is that of a class, MSE (up to a constant) that of a number "
        "with Gaussian noise. So MSE on an output without softmax has the same gradient, output − target: for "
        "regression it is the matching loss. What hurts is MSE behind a softmax or sigmoid.",
        "交叉熵的对数正好抵消 softmax 的指数，对 logit 只剩 p−y，即每一类的误差本身。MSE 没有对数，softmax 的斜率留在梯度里："
        "p 接近 0 或 1 时，不论对错梯度都接近 0，错误类甚至可能被往上推。\n\n"
        "两者背后都是似然：交叉熵对应类别，MSE（相差常数）对应带高斯噪声的数值。所以不经 softmax 的 MSE，梯度同样是“输出−目标”，"
        "用于回归正合适；出问题的是 softmax 或 sigmoid 之后的 MSE。",
    ),
    formula="∂CE/∂z_k = p_k − y_k        ∂MSE/∂z_k = 2 p_k [(p_k − y_k) − Σ_j p_j (p_j − y_j)]",
    held_equal=Bilingual(
        "MSE is the sum over classes of (p − y)², after the same softmax. Same nets, steps, batches and seeds for both; "
        "on the text each loss and optimiser at the best of the same step sizes, chosen by error on a seed of its own; with "
        "wrong labels all at one rate. Small nets, at most a thousand steps; intervals cover the randomness of training, not the choice of text.",
        "MSE 为各类 (p−y)² 之和，用同一个 softmax。两者的网络、步数、批次、种子相同；文本上每种损失与优化器在同一组步长中按错误率各取最佳"
        "（用另外的种子），错误标签实验用同一步长。都是小网络，至多一千步；区间只含训练的随机性，不含文本的选择。",
    ),
    sources=[
        Source("Hui & Belkin", 2020, "Evaluation of Neural Architectures Trained with Square Loss vs Cross-Entropy in Classification Tasks", "arXiv:2006.07322"),
        Source("Ghosh, Kumar & Sastry", 2017, "Robust Loss Functions under Label Noise for Deep Neural Networks", "arXiv:1712.09482"),
        Source("Gneiting & Raftery", 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation", "JASA 102, 359-378"),
    ],
)
