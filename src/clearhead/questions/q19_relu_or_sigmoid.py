"""Why does ReLU fight vanishing gradients better than the sigmoid?

为什么 ReLU 比 sigmoid 更能缓解梯度消失？
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments import claims
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.text.corpora import Corpus
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid, "centred": lambda x: torch.sigmoid(x) - 0.5, "tanh": torch.tanh, "ReLU": torch.relu,
}
BATCH, LAYERS, CONTEXT, CODE = 64, 24, 3, 16


def derivative(arm: str, seed: int) -> Measured:
    """The largest derivative of an activation at random places, and how far its derivatives are from both 0 and 1."""
    x = 3 * torch.randn(10_000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[0] = 0.0
    x.requires_grad_()
    (slope,) = torch.autograd.grad(ACTIVATIONS[arm](x).sum(), x)
    return {"largest": slope.max().item(), "off_zero_and_one": torch.minimum(slope.abs(), (slope - 1).abs()).max().item()}


class Deep(nn.Module):
    """Layers of one width, h <- phi(W h + b). An arm is an activation, then words after commas.

    gain √2: W's standard deviation is √(2 / width) (He), not √(1 / width) (Glorot). residual: h + phi(W h + b).
    as tanh: the tanh net A in the activation's own coordinates, tanh(z) = 2 sigmoid(2z) - 1: W = 4A (2A at either
    end), with b = -2A1 where the activation is not centred; Adam's steps are as many times larger.
    """

    def __init__(
        self, arm: str, inputs: int, width: int, depth: int, outputs: int, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        name, *self.words = arm.split(", ")
        self.phi = ACTIVATIONS[name]
        sizes = [inputs, *[width] * depth, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b, dtype=dtype) for a, b in itertools.pairwise(sizes))
        self.scales: list[tuple[nn.Parameter, float]] = []
        for place, layer in enumerate(self.layers):
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            gain = math.sqrt(2) if "gain √2" in self.words and place < depth else 1.0
            nn.init.normal_(weight, std=gain / math.sqrt(weight.shape[1]))
            nn.init.zeros_(bias)
            inside = 2.0 if "as tanh" in self.words and place > 0 else 1.0
            outside = 2.0 if "as tanh" in self.words and place < depth else 1.0
            with torch.no_grad():
                if inside > 1 and name == "sigmoid":
                    bias.sub_(outside * weight.sum(1))
                weight.mul_(inside * outside)
            self.scales += [(weight, inside * outside), (bias, outside)]

    def forward(self, x: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        for layer in self.layers[:-1]:
            before = layer(x)
            after = self.phi(before)
            x = x + after if "residual" in self.words and x.shape == after.shape else after
            if kept is not None:
                kept += [before, x]
        logits: Tensor = self.layers[-1](x)
        return logits

    def adam(self, learning_rate: float) -> torch.optim.Adam:
        """Adam with an epsilon of 1e-20, so that the size of a gradient does not matter to it."""
        groups = [{"params": [parameter], "lr": learning_rate * scale} for parameter, scale in self.scales]
        return torch.optim.Adam(groups, eps=1e-20, fused=True)


def at_the_start(arm: str, seed: int, width: int = 64) -> Measured:
    """24 layers at initialisation, in float64: the factor by which a layer shrinks a gradient that goes back through it.

    law: gain x root mean square of the activation's derivative, at the same pre-activations. cosine: between different
    inputs after the last layer.
    """
    torch.manual_seed(seed)
    net = Deep(arm, width, width, LAYERS, 8, torch.float64)
    kept: list[Tensor] = []
    out = net(torch.randn(32, width, dtype=torch.float64), kept)
    before, after = kept[::2], kept[1::2]
    gradients = torch.autograd.grad((out * torch.randn_like(out)).sum(), after)
    sizes = [g.norm().item() for g in gradients]
    spread = [layer.get_parameter("weight").std().item() * math.sqrt(width) for layer in list(net.layers)[1:LAYERS]]
    slopes = [_slope(net.phi, z) for z in before[1:]]
    law = sum(math.log(s * g) for s, g in zip(slopes, spread, strict=True)) / len(slopes)
    factor = math.log(sizes[0] / sizes[-1]) / (LAYERS - 1)
    direction = F.normalize(after[-1].detach(), dim=-1)
    cosine = (direction @ direction.T).sum() - len(direction)
    return {
        "gradient": Along("layer", {place + 1: size / sizes[-1] for place, size in enumerate(sizes)}),
        "factor": math.exp(factor),
        "off_the_law": math.exp(factor - law) - 1,
        "cosine": float(cosine / (len(direction) * (len(direction) - 1))),
    }


def _slope(phi: Callable[[Tensor], Tensor], z: Tensor) -> float:
    """The root mean square of phi' at these places."""
    z = z.detach().requires_grad_()
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    return slope.square().mean().sqrt().item()


def same_net(arm: str, seed: int) -> Measured:
    """A net in tanh's coordinates against the tanh net itself: at the start, and in the loss curves of one training."""
    rng = torch.Generator().manual_seed(seed)
    x, target = torch.randn(64, 16, generator=rng, dtype=torch.float64), torch.randint(8, (64,), generator=rng)

    def start_and_curve(name: str) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed)
        net = Deep(name, 16, 16, 6, 8, torch.float64)
        start = net(x).detach()
        losses = descend(net.adam(3e-3), lambda: F.cross_entropy(net(x), target), 20)
        return start, torch.tensor(losses, dtype=torch.float64)

    (start, curve), (tanh_start, tanh_curve) = start_and_curve(arm), start_and_curve("tanh")
    return {
        "start_gap": (start - tanh_start).abs().max().item(),
        "curve_gap": (curve - tanh_curve).abs().max().item(),
    }


def next_character(arm: str, seed: int, corpus: Corpus, depth: int, learning_rate: float, steps: int) -> Measured:
    """Held-out nats of the next character given three, by a net of this depth, and the share of silent units."""
    windows = character_windows(corpus, CONTEXT + 1)
    train, asked = (torch.from_numpy(part) for part in (windows.train, windows.held_out))
    rng = torch.Generator().manual_seed(seed)
    asked = asked[torch.randperm(len(asked), generator=rng)[:3000]]
    torch.manual_seed(seed)
    table = torch.randn(windows.symbols, CODE)  # fixed codes of the characters, so that arms differ in their layers alone
    net = Deep(arm, CONTEXT * CODE, 48, depth, windows.symbols)

    def nats(rows: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        return F.cross_entropy(net(table[rows[:, :-1]].flatten(1), kept), rows[:, -1])

    def loss() -> Tensor:
        return nats(train[torch.randint(len(train), (BATCH,), generator=rng)])

    descend(net.adam(learning_rate), loss, steps, schedule="linear")
    kept: list[Tensor] = []
    with torch.no_grad():
        held_out = nats(asked, kept).item()
    counts = torch.bincount(train[:, -1], minlength=windows.symbols) + 0.5
    frequencies = -(counts / counts.sum()).log()[asked[:, -1]].mean().item()
    silent = torch.stack([(states == 0).all(0).float().mean() for states in kept[1::2]]).mean().item()
    return {"held_out": held_out, "learnt": frequencies - held_out, "silent": silent}


START, TEXT = "at_the_start", "next_character"
EXACT = BySize((4,), (8,))

EXPERIMENTS = [
    Experiment("derivative", derivative, ("sigmoid", "tanh", "ReLU"), seeds=EXACT),
    Experiment("same_net", same_net, ("sigmoid, as tanh", "centred, as tanh"), seeds=EXACT),
    Experiment(
        START, at_the_start, ("sigmoid", "sigmoid, as tanh", "tanh", "ReLU", "ReLU, gain √2"),
        seeds=BySize((8,), (12,)), transfer={"width": 128},
    ),
    Experiment(
        TEXT, next_character,
        ("sigmoid", "sigmoid, as tanh", "sigmoid, residual", "tanh", "ReLU, gain √2"), {"depth": (2, 10)},
        BySize((6,), (6, 12)), BySize({"steps": 170}, {"steps": 500}), needs_text=True,
        tune=Tune(
            "learning_rate", (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), "held_out",
            settings=BySize({"steps": 70}, {"steps": 150}),
        ),
    ),
]

CLAIMS = [
    Claim(
        "sigmoid_slope", every("derivative", "largest", "sigmoid"), exactly(0.25), "",
        Bilingual("the sigmoid's derivative is at most 1/4", "sigmoid 的导数最大是 1/4"),
        Bilingual("Backpropagation multiplies by the activation's derivative at every layer; the sigmoid's is at most 1/4.",
                  "反向传播每过一层就乘一次激活函数的导数；sigmoid 的导数最大只有 1/4。"),
        Bilingual("The sigmoid's derivative is not at most 1/4.", "sigmoid 的导数并非最大 1/4。"), kind="exact",
    ),
    Claim(
        "relu_slope", every("derivative", "off_zero_and_one", "ReLU"), exactly(0), "",
        Bilingual("ReLU's derivative is 1 where it is on and 0 where it is off", "ReLU 的导数在激活处为 1，否则为 0"),
        Bilingual("ReLU's is 1 where it is on.", "ReLU 在激活处导数为 1。"),
        Bilingual("ReLU's is neither 0 nor 1.", "ReLU 的导数不是 0 或 1。"), kind="exact",
    ),
    Claim(
        "sigmoid_shrinks", value(START, "factor", "sigmoid"), near(0.25, 0.05), "times a layer",
        Bilingual("with the usual start, each sigmoid layer leaves about a quarter of the gradient",
                  "常规初始化下，每层 sigmoid 使梯度只剩约四分之一"),
        Bilingual(
            "So at the usual start a sigmoid layer leaves {sigmoid_shrinks.effect:.2f} of the gradient that goes back "
            "through it.",
            "所以常规初始化下，梯度每往回经过一层 sigmoid 只剩 {sigmoid_shrinks.effect:.2f} 倍。",
        ),
        Bilingual("A sigmoid layer left {sigmoid_shrinks.effect:.2f}.", "每层 sigmoid 剩 {sigmoid_shrinks.effect:.2f} 倍。"),
    ),
    Claim(
        "relu_keeps", value(START, "factor", "ReLU"), near(1, 0.05), "times a layer",
        Bilingual("ReLU passes the gradient on undiminished, whatever the start", "无论怎样初始化，ReLU 都让梯度原样传回"),
        Bilingual("ReLU passed it on undiminished.", "ReLU 让梯度原样传回。"),
        Bilingual(
            "ReLU at that start does not keep it whole ({relu_keeps.effect:.2f}).", "同样初始化下只换成 ReLU 也保不全（{relu_keeps.effect:.2f}）。"
        ),
        by="folk",
    ),
    Claim(
        "he_keeps", value(START, "factor", "ReLU, gain √2"), near(1, 0.05), "times a layer",
        Bilingual("with weights √2 larger (He's start) ReLU does pass it on", "权重放大 √2（He 初始化）时，ReLU 能让梯度原样传回"),
        Bilingual(
            "ReLU with weights √2 larger (He) does: {he_keeps.effect:.2f}.",
            "ReLU 加上放大 √2 的权重（He 初始化）才行：{he_keeps.effect:.2f}。",
        ),
        Bilingual("ReLU with He's start left {he_keeps.effect:.2f}.", "ReLU 加 He 初始化剩 {he_keeps.effect:.2f} 倍。"),
    ),
    Claim(
        "law_of_sigmoid", value(START, "off_the_law", "sigmoid"), near(0, 0.05), "relative",
        Bilingual("the factor of a sigmoid layer is weight gain x rms derivative", "sigmoid 每层的倍数 = 权重增益 × 导数的均方根"),
    ),
    Claim(
        "law_of_relu", value(START, "off_the_law", "ReLU, gain √2"), near(0, 0.05), "relative",
        Bilingual("so is that of a ReLU layer", "ReLU 每层的倍数也是"),
    ),
    Claim(
        "sigmoid_must_vanish", value(START, "factor", "sigmoid, as tanh"), below(0.5), "times a layer",
        Bilingual("a deep sigmoid net must lose its gradients", "深层 sigmoid 网络的梯度必然消失"),
        Bilingual("No start saves a sigmoid net's gradients.", "怎样初始化都救不了 sigmoid 的梯度。"),
        Bilingual(
            "A sigmoid net need not lose it: weights 4 times larger and shifted biases keep "
            "{sigmoid_must_vanish.effect:.2f}.",
            "sigmoid 也并非必然消失：权重取 4 倍并平移偏置，每层保留 {sigmoid_must_vanish.effect:.2f}。",
        ),
        by="folk",
    ),
    Claim(
        "it_is_the_tanh_net", every("same_net", "start_gap", "sigmoid, as tanh"), exactly(0, 1e-9), "",
        Bilingual("with W = 4A and b = -2A1 it is the tanh net A, number for number", "取 W = 4A、b = −2A1，它逐数等于 tanh 网络 A"),
        kind="exact",
    ),
    Claim(
        "but_trains_otherwise", every("same_net", "curve_gap", "sigmoid, as tanh"), above(0.001), "nats",
        Bilingual("but it does not train as that net does", "但训练过程与后者不同"), kind="exact",
    ),
    Claim(
        "centred_trains_the_same", every("same_net", "curve_gap", "centred, as tanh"), exactly(0, 1e-6), "nats",
        Bilingual("less 1/2, it does: what differs is the mean of its outputs", "减去 1/2 就相同：差别在于输出的均值"), kind="exact",
    ),
    Claim(
        "sigmoid_fails", difference(TEXT, "held_out", "sigmoid", "ReLU, gain √2", depth=10), above(0.1), "nats",
        Bilingual("ten sigmoid layers learn worse than ten of ReLU (He), by over 0.1 nats",
                  "10 层 sigmoid 比 10 层 ReLU（He）差 0.1 nat 以上"),
        Bilingual(
            "On this text ten layers of sigmoid ended {sigmoid_fails.effect:.2f} nats above ten of ReLU (He).",
            "在这段文本上，10 层 sigmoid 比 10 层 ReLU（He）差 {sigmoid_fails.effect:.2f} nat。",
        ),
        Bilingual(
            "On this text ten layers of sigmoid were no worse than ReLU by 0.1 nats.",
            "在这段文本上，10 层 sigmoid 并不比 ReLU 差 0.1 nat。",
        ),
    ),
    Claim(
        "depth_decides",
        claims.interaction(TEXT, "held_out", "sigmoid", "ReLU, gain √2", over="depth", high=10, low=2), above(0.05),
        "nats", Bilingual("at two layers the gap is smaller by over 0.05 nats", "只有两层时，差距小 0.05 nat 以上"),
    ),
    Claim(
        "size_is_all", difference(TEXT, "held_out", "sigmoid, as tanh", "tanh", depth=10), below(0.1), "nats",
        Bilingual(
            "the gradient's size is the whole trouble: started as the very tanh net, under an optimizer that ignores size, "
            "ten sigmoid layers learn as well (within 0.1 nats)",
            "问题全在梯度大小：从同一个 tanh 网络出发、用不看梯度大小的优化器，10 层 sigmoid 学得一样好（差不到 0.1 nat）",
        ),
        Bilingual("With the gradient's size mended the sigmoid learned as well as tanh.", "梯度大小修好后，sigmoid 学得与 tanh 一样好。"),
        Bilingual(
            "Size is not all: begun as the very tanh net, under Adam, the sigmoid lost {size_is_all.effect:.2f} nats to tanh.",
            "大小不是全部：从同一个 tanh 网络出发、用 Adam，sigmoid 仍比 tanh 差 {size_is_all.effect:.2f} nat。",
        ),
        by="folk",
    ),
    Claim(
        "inputs_run_together", value(START, "cosine", "sigmoid, as tanh"), above(0.9), "cosine",
        Bilingual("through 24 sigmoid layers different inputs come to one direction (cosine above 0.9)",
                  "经过 24 层 sigmoid，不同输入挤到同一方向（余弦大于 0.9）"),
    ),
    Claim(
        "tanh_keeps_them_apart", value(START, "cosine", "tanh"), near(0, 0.2), "cosine",
        Bilingual("tanh keeps them apart, with the same function behind it", "tanh 则不会，尽管后面的函数相同"),
    ),
    Claim(
        "saturation", difference(TEXT, "held_out", "ReLU, gain √2", "tanh", depth=10), below(0), "nats",
        Bilingual("what counts is that ReLU does not saturate, so it beats tanh", "关键在 ReLU 不饱和，所以胜过 tanh"),
        Bilingual("ReLU beat tanh ({saturation.effect:+.2f}).", "ReLU 胜过 tanh（{saturation.effect:+.2f}）。"),
        Bilingual(
            "Saturation is not the point: ReLU did not beat tanh ({saturation.effect:+.2f}).",
            "关键不在饱和：ReLU 没有胜过 tanh（{saturation.effect:+.2f}）。",
        ),
        by="folk",
    ),
    Claim(
        "residual_rescues", difference(TEXT, "held_out", "sigmoid, residual", "sigmoid", depth=10), below(-0.1), "nats",
        Bilingual("residual connections rescue the sigmoid by over 0.1 nats", "残差连接能挽救 sigmoid，超过 0.1 nat"),
        Bilingual(
            "Residual connections rescue the sigmoid too ({residual_rescues.effect:+.2f}).",
            "残差连接同样能挽救 sigmoid（{residual_rescues.effect:+.2f}）。",
        ),
        Bilingual("Residual connections did not rescue the sigmoid.", "残差连接没能挽救 sigmoid。"),
    ),
    Claim(
        "silent_units", value(TEXT, "silent", "ReLU, gain √2", depth=10), above(0.02), "of units",
        Bilingual("over 2 % of a ReLU net's units are silent on every held-out input", "ReLU 网络中 2% 以上的单元对所有留出输入都不激活"),
        Bilingual("ReLU's price: {silent_units.effect:.0%} of its units were on for no held-out input.", "ReLU 的代价：{silent_units.effect:.0%} 的单元对所有留出输入都不激活。"),
        Bilingual("Few ReLU units were silent.", "不激活的 ReLU 单元很少。"),
    ),
]

LABELS = {
    "sigmoid": same("sigmoid"), "tanh": same("tanh"), "ReLU": Bilingual("ReLU, gain 1", "ReLU，增益 1"),
    "ReLU, gain √2": Bilingual("ReLU, gain √2 (He)", "ReLU，增益 √2（He）"),
    "sigmoid, as tanh": Bilingual("sigmoid, begun as the tanh net", "sigmoid，以 tanh 网络为起点"),
    "sigmoid, residual": Bilingual("sigmoid, residual", "sigmoid，残差"),
}

FIGURES = [
    View(
        "gradient", "lines", START, ("gradient",), Axis("layer", Bilingual("layer (the loss is behind 24)", "层（损失在第 24 层之后）")),
        Axis("value", Bilingual("gradient, relative to layer 24", "梯度（相对第 24 层）"), log=True),
        Bilingual("Going back from layer 24 to layer 1", "从第 24 层往回到第 1 层"),
        Bilingual("At initialisation, width 64, float64.", "初始化时，宽 64，float64。"), labels=LABELS,
    ),
    View(
        "text", "lines", TEXT, ("learnt",), Axis("depth", Bilingual("layers", "层数")),
        Axis("value", Bilingual("nats learnt beyond letter frequencies", "比字符频率多学到的 nat")),
        Bilingual("What ten layers learn that two can", "两层能学会的，十层学到多少"),
        Bilingual("Next character, held out; learning rates tuned.", "预测下一个字符（留出文本），学习率各自调过。"),
        labels=LABELS, rules={0.0: Bilingual("letter frequencies", "字符频率")},
    ),
]

QUESTION = Question(
    number=19,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "Going back through a layer multiplies the gradient by Wᵀ and by the activation's derivative: in size by about "
        "(weight gain) x (rms derivative). The sigmoid's derivative is at most 1/4, so with a gain of 1 the gradient falls "
        "geometrically. ReLU's is 1 on the half that is on, 1/√2 in rms, and a gain of √2 makes the product 1. So it is "
        "activation and start together.\n\n"
        "The sigmoid has a second fault: its outputs have mean 1/2. All inputs share a large common part, which layer after "
        "layer pulls together, and every step of the weights moves that part first. Subtract 1/2 and the sigmoid is tanh in "
        "other units. ReLU's outputs are not centred either, but the part that differs between inputs fades more slowly.",
        "梯度往回经过一层，要乘 Wᵀ 和激活函数的导数，大小约乘“权重增益 × 导数的均方根”。sigmoid 的导数不超过 1/4，增益为 1 时梯度按几何级数衰减；"
        "ReLU 在激活的一半上导数为 1，均方根 1/√2，配上增益 √2 乘积正好是 1。所以是激活函数与初始化共同决定。\n\n"
        "sigmoid 还有第二个毛病：输出均值是 1/2。所有输入都带着很大的公共部分，逐层把它们拉到一起，而权重每更新一步，首先动的就是这部分。"
        "减去 1/2，sigmoid 只是换了单位的 tanh。ReLU 的输出也不以零为中心，但不同输入之间的差异消失得慢些。",
    ),
    formula="‖∂L/∂h_{l−1}‖ ≈ gain · rms(φ′) · ‖∂L/∂h_l‖\nσ′ = σ(1 − σ) ≤ 1/4,   ReLU′ ∈ {0, 1},   tanh(z) = 2σ(2z) − 1",
    held_equal=Bilingual(
        "At the start: 24 layers of width 64, the same random draws in every arm. On the text: width 48, the next "
        "character from fixed codes of three, equal steps and batches, paired seeds; every arm at every depth has its own "
        "learning rate from one sweep on a seed that is not measured on. Adam with an epsilon of 1e-20, so that a small "
        "gradient alone cannot stop it. Small nets, short training, plain layers without norms.",
        "起点测量：24 层、宽 64，各组随机数相同。文本：宽 48，由前三个字符的固定编码预测下一个，步数与批次相同，种子配对；"
        "每组在每个深度由同一扫描、用不参与测量的种子各自选学习率。Adam 的 epsilon 取 1e-20，单凭梯度小挡不住它。"
        "小网络、短训练、无归一化的普通层。",
    ),
    sources=[
        Source("Glorot & Bengio", 2010, "Understanding the difficulty of training deep feedforward neural networks", "AISTATS"),
        Source("Glorot, Bordes & Bengio", 2011, "Deep Sparse Rectifier Neural Networks", "AISTATS"),
        Source("He et al.", 2015, "Delving Deep into Rectifiers", "arXiv:1502.01852"),
    ],
)
