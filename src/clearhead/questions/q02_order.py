"""How does a Transformer capture order, and how do position embeddings differ from position encodings?

Transformer 如何捕获序列的顺序？position embedding 与 position encoding 有何不同？
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.errors import InputError
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.layers.positions import LearnedPositions, SinusoidalPositions
from clearhead.models import transformer_decoder, transformer_encoder
from clearhead.models.transformer import Transformer
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

SYMBOLS, COPIED, LAG = 8, 0.9, 2
OFF = (1 - COPIED) / SYMBOLS  # the chance of each symbol that is not the renamed one
ENTROPY = -(COPIED + OFF) * math.log(COPIED + OFF) - (SYMBOLS - 1) * OFF * math.log(OFF)
GUESSING = math.log(SYMBOLS) - ENTROPY  # nats that guessing lies above the optimum
SINUSOIDS_RMS = 0.5**0.5


def batch_of(ids: Tensor) -> Batch:
    """Rows (B, T) of equal length as one batch."""
    return Batch(ids.flatten(), Layout(torch.full((len(ids),), ids.shape[1]), ids.shape[1], packed=False))


def shuffled(arm: str, seed: int, length: int = 12) -> Measured:
    """An untrained encoder in float64: how far its outputs are from being merely shuffled when its input is."""
    torch.manual_seed(seed)
    spec = transformer_encoder.Spec(hidden_size=32, positions=arm, initializer_range=0.3)
    model = transformer_encoder.build(spec, Inventory(Vocabulary(SYMBOLS), length)).double()
    x, order = torch.randint(SYMBOLS, (1, length)), torch.randperm(length)
    with torch.no_grad():
        before, after = model(batch_of(x)).hidden, model(batch_of(x[:, order])).hidden
    return {"change": float((after - before[order]).norm() / before.norm())}


def shuffled_past(arm: str, seed: int, layers: int, length: int = 12) -> Measured:
    """A causal net without positions: how far the last state moves when all tokens before it are shuffled."""
    torch.manual_seed(seed)
    spec = transformer_decoder.Spec(hidden_size=32, positions=arm, num_hidden_layers=layers, initializer_range=0.3)
    model = transformer_decoder.build(spec, Inventory(Vocabulary(length), length)).double()
    x = torch.randperm(length)[None]
    y = torch.cat([x[:, :-1].roll(3, 1), x[:, -1:]], 1)
    with torch.no_grad():
        before, after = model(batch_of(x)).hidden[-1], model(batch_of(y)).hidden[-1]
    return {"change": float((after - before).norm() / before.norm())}


def vectors(arm: str, seed: int, width: int = 32, places: int = 96, shift: int = 5) -> Measured:
    """A table of place vectors: what one fixed matrix, fitted on even places, misses of the step from p to p + 5."""
    torch.manual_seed(seed)
    table = torch.randn(places, width, dtype=torch.float64)
    if arm == "sinusoidal":
        nowhere = torch.zeros(places, width, dtype=torch.float64)
        table = SinusoidalPositions().at(nowhere, torch.arange(places), places)
    here, there = table[:-shift], table[shift:]
    matrix = torch.linalg.lstsq(here[::2], there[::2], rcond=1e-12, driver="gelsd").solution
    missed = here[1::2] @ matrix - there[1::2]
    return {"shift_error": float(missed.norm() / there[1::2].norm())}


def table(arm: str, seed: int, length: int = 8, trained: int = 5) -> Measured:
    """A learned table of 8 rows after one gradient of sentences of 5 tokens, and a sentence of 9 tokens."""
    torch.manual_seed(seed)
    spec = transformer_decoder.Spec(hidden_size=16, positions=arm, initializer_range=0.3)
    model = transformer_decoder.build(spec, Inventory(Vocabulary(SYMBOLS), length)).double()
    refused = 0.0
    try:
        model(batch_of(torch.randint(SYMBOLS, (1, length + 1))))
    except InputError:
        refused = 1.0
    if not isinstance(model.position_embedding, LearnedPositions):
        return {"refused": refused}
    model(batch_of(torch.randint(SYMBOLS, (4, trained)))).hidden.pow(3).sum().backward()
    gradient = model.position_embedding.table.weight.grad
    assert gradient is not None
    rows = gradient.norm(dim=1)
    return {"refused": refused, "seen_rows": rows[:trained].min().item(), "unseen_rows": rows[trained:].max().item()}


def decoder(arm: str, seed: int, vocabulary: int, width: int, longest: int) -> nn.ModuleDict:
    """A causal net of two layers; both tables start at the size of sinusoids, and only the learned one is trained."""
    torch.manual_seed(seed)
    spec = transformer_decoder.Spec(
        hidden_size=width, intermediate_size=2 * width, positions="learned" if arm == "sinusoidal" else arm,
        initializer_range=width**-0.5,
    )
    trunk = transformer_decoder.build(spec, Inventory(Vocabulary(vocabulary), longest))
    nn.init.normal_(trunk.token_embedding.weight, std=SINUSOIDS_RMS)
    head = nn.Linear(width, vocabulary)
    if isinstance(trunk.position_embedding, LearnedPositions):
        rows = trunk.position_embedding.table.weight
        nn.init.normal_(rows, std=SINUSOIDS_RMS)
        if arm == "sinusoidal":
            rows.requires_grad_(False)
            rows.copy_(SinusoidalPositions().at(torch.zeros(longest, width), torch.arange(longest), longest))
    return nn.ModuleDict({"trunk": trunk, "head": head})


def log_p(net: nn.ModuleDict, ids: Tensor) -> Tensor:
    """log P(next symbol) (B, T, V) after each of the symbols (B, T)."""
    logits: Tensor = net["head"](net["trunk"](batch_of(ids)).hidden)
    return logits.log_softmax(-1).view(*ids.shape, -1)


def echo(rng: torch.Generator, count: int, length: int, renamed: Tensor, lag: int) -> Tensor:
    """Symbols (count, length): mostly the one `lag` places back under another name, else any at all."""
    x = torch.randint(SYMBOLS, (count, length), generator=rng)
    copied = torch.rand(count, length, generator=rng) < COPIED
    for t in range(lag, length):
        x[:, t] = torch.where(copied[:, t], renamed[x[:, t - lag]], x[:, t])
    return x


def echoes(arm: str, seed: int, learning_rate: float, steps: int, length: int = 16, lag: int = LAG) -> Measured:
    """Nats above the optimum, by place, of a net trained on `length` symbols and read on four times as many.

    `shifted`: the trained length put at places never trained, which only a table of place vectors notices.
    """
    net = decoder(arm, seed, SYMBOLS, 32, 4 * length)
    rng = torch.Generator().manual_seed(seed)
    renamed = torch.randperm(SYMBOLS, generator=rng)

    def loss() -> Tensor:
        x = echo(rng, 16, length + 1, renamed, lag)
        return -log_p(net, x[:, :-1])[:, lag - 1 :].gather(-1, x[:, lag:, None]).mean()

    trained = [p for p in net.parameters() if p.requires_grad]
    descend(torch.optim.Adam(trained, learning_rate, fused=True), loss, steps, schedule="linear", warmup=0.1, clip=1.0)
    x = echo(rng, 200, 4 * length, renamed, lag)

    def excess(x: Tensor) -> Tensor:
        """KL(truth | net) at each place that has a symbol `lag` places back: (T - lag + 1,)."""
        found, known = log_p(net, x)[:, lag - 1 :], renamed[x[:, : x.shape[1] - lag + 1]]
        truth = torch.full(found.shape, OFF).scatter_(-1, known[..., None], COPIED + OFF)
        return (truth * (truth.log() - found)).sum(-1).mean(0)

    with torch.no_grad():
        curve = excess(x)
        inside, twice, far = (curve[a:b].mean().item() for a, b in _ends(length, lag))
        measured: dict[str, float | Along] = {
            "trained": inside, "twice_cost": twice - inside, "far_cost": far - inside,
            "excess": Along("place", {place + lag: v for place, v in enumerate(curve.tolist())}),
        }
        trunk = net["trunk"]
        assert isinstance(trunk, Transformer)
        if isinstance(trunk.position_embedding, LearnedPositions):
            rows = trunk.position_embedding.table.weight
            rows.copy_(rows.roll(-length, 0))
            measured["shift_cost"] = excess(x[:, :length]).mean().item() - inside
    return measured


def _ends(length: int, lag: int) -> list[tuple[int, int]]:
    """Where the trained places, the next as many, and the last half of four times as many lie on the curve."""
    first = 1 - lag
    return [(0, length + first), (length + first, 2 * length + first), (2 * length + first, 4 * length + first)]


def characters(arm: str, seed: int, corpus: Corpus, steps: int, characters: int, length: int = 12) -> Measured:
    """Nats a character on held-out text at twice the trained length, and how much more than at trained places."""
    windows = character_windows(corpus, 2 * length, characters=characters)
    net = decoder(arm, seed, windows.symbols, 32, 2 * length)
    train, held = torch.from_numpy(windows.train), torch.from_numpy(windows.held_out)
    rng = torch.Generator().manual_seed(seed)

    def nats(x: Tensor) -> Tensor:
        return -log_p(net, x[:, :-1]).gather(-1, x[:, 1:, None]).squeeze(-1)

    def loss() -> Tensor:
        start = int(torch.randint(length, (), generator=rng))
        return nats(train[torch.randint(len(train), (32,), generator=rng), start : start + length + 1]).mean()

    trained = [p for p in net.parameters() if p.requires_grad]
    descend(torch.optim.Adam(trained, 1e-2, fused=True), loss, steps, schedule="linear", warmup=0.1, clip=1.0)
    with torch.no_grad():
        curve = nats(held[torch.linspace(0, len(held) - 1, 400).long()]).mean(0)  # (2 * length - 1,)
    inside, beyond = curve[length // 2 : length].mean().item(), curve[length:].mean().item()
    return {"beyond": beyond, "inside": inside, "growth": beyond - inside}


ECHO, TEXT = "echoes", "characters"
SCHEMES = ("learned", "sinusoidal", "rotary", "alibi", "none")
EXACT, HALF = BySize((4,), (8,)), BySize({"steps": 50}, {"steps": 120})
HANDLED = 0.5  # nats more than at trained places: a third of what guessing costs

EXPERIMENTS = [
    Experiment("shuffled", shuffled, SCHEMES, seeds=EXACT),
    Experiment("shuffled_past", shuffled_past, ("none",), {"layers": (1, 2)}, EXACT),
    Experiment("vectors", vectors, ("sinusoidal", "random"), seeds=EXACT),
    Experiment("table", table, ("learned", "sinusoidal"), seeds=EXACT),
    Experiment(
        ECHO, echoes, SCHEMES, seeds=BySize((5,), (6, 12)), settings=BySize({"steps": 100}, {"steps": 250}),
        tune=Tune("learning_rate", (5e-3, 1e-2, 2e-2, 4e-2, 8e-2), "trained", settings=HALF),
        transfer={"length": 24},
    ),
    Experiment(
        TEXT, characters, ("sinusoidal", "alibi"), seeds=BySize((6,), (6, 12)), needs_text=True,
        settings=BySize({"steps": 120, "characters": 300_000}, {"steps": 250, "characters": 1_000_000}),
    ),
]

CLAIMS = [
    Claim(
        "order_blind", every("shuffled", "change", "none"), exactly(0, 1e-9), "relative",
        Bilingual("without positions, an encoder given shuffled input gives its output, shuffled",
                  "没有位置信息的编码器：打乱输入，输出只是跟着打乱"),
        Bilingual(
            "Self-attention alone is blind to order: shuffle the input and the output is merely shuffled (exact).",
            "自注意力本身不知道顺序：打乱输入，输出只是跟着打乱（严格成立）。",
        ),
        Bilingual("Self-attention alone told orders apart here.", "这里自注意力自己就能分辨顺序。"), kind="exact",
    ),
    Claim(
        "any_scheme_tells", every("shuffled", "change", *SCHEMES[:4]), above(0.01), "relative",
        Bilingual("with any of four schemes it is not", "加上四种位置方案中的任何一种就不再如此"), kind="exact",
    ),
    Claim(
        "adding_gives_order", difference(ECHO, "trained", "none", "learned"), above(0.1), "nats",
        Bilingual(
            "a sequence of place vectors, as long as the input and added to it, gives the net the order: "
            "without it a causal net is over 0.1 nats worse",
            "创建与输入等长、含顺序信息的序列，与输入相加，模型就能捕获顺序：不加则因果网络差 0.1 nat 以上",
        ),
        Bilingual(
            "A vector added per place gives it order: without, a causal net lost {adding_gives_order.effect:.2f} nats.",
            "给每个位置加一个向量就有了顺序：不加，因果网络多损失 {adding_gives_order.effect:.2f} nat。",
        ),
        Bilingual("Adding a vector per place made less than 0.1 nats of difference.",
                  "给每个位置加向量带来的差别不到 0.1 nat。"),
        by="textbook",
    ),
    Claim(
        "only_by_adding", difference(ECHO, "trained", "rotary", "learned"), above(0.05), "nats",
        Bilingual("order has to be added to the input: rotary positions, which add nothing, are over 0.05 nats worse",
                  "顺序必须加在输入上：什么也不加的旋转位置（RoPE）差 0.05 nat 以上"),
        Bilingual("Rotary positions, which add nothing, did worse.", "什么也不加的 RoPE 更差。"),
        Bilingual("Nothing need be added, though: rotary positions, which turn queries and keys, did as well.",
                  "但并非只能相加：旋转 q、k 的 RoPE 同样好。"),
        by="folk",
    ),
    Claim(
        "mask_tells_from_two_layers", every("shuffled_past", "change", "none", layers=2), above(0.01), "relative",
        Bilingual("a causal mask alone breaks the symmetry of two layers: shuffling the past moves the last state",
                  "仅凭因果 mask，两层网络就打破了对称：打乱之前的 token 会改变最后的状态"),
        Bilingual("A causal mask alone also tells some order, from two layers on.", "两层起，因果 mask 本身也透露一些顺序。"),
        kind="exact",
    ),
    Claim(
        "mask_tells_nothing_to_one", every("shuffled_past", "change", "none", layers=1), exactly(0, 1e-9), "relative",
        Bilingual("but not of one layer", "一层则不会"), kind="exact",
    ),
    Claim(
        "embeddings_are_learned", every("table", "seen_rows", "learned"), above(1e-9), "gradient",
        Bilingual(
            "position embeddings: a vector for every place, which the model learns (each row in use gets a gradient)",
            "position embedding：每个位置一个向量，由模型学习得到（用到的每一行都有梯度）",
        ),
        kind="exact", by="textbook",
    ),
    Claim(
        "rows_beyond_learn_nothing", every("table", "unseen_rows", "learned"), exactly(0), "gradient",
        Bilingual("a row of a place that no training sentence reached gets no gradient at all",
                  "训练句子没有到达的位置，其行得不到任何梯度"), kind="exact",
    ),
    Claim(
        "equal_where_trained", difference(ECHO, "trained", "sinusoidal", "learned"), near(0, 0.1), "nats",
        Bilingual("at trained places sinusoids and learned vectors do nearly equally well (within 0.1 nats)",
                  "在训练过的位置上，正弦编码与学习式向量几乎一样好（相差不到 0.1 nat）"),
        Bilingual("At trained places learned vectors (embeddings) and sinusoids (encodings) were within 0.1 nats.",
                  "在训练过的位置上，学习式（embedding）与正弦（encoding）相差不到 0.1 nat。"),
        Bilingual("Learned vectors and sinusoids differed at trained places.", "在训练过的位置上，学习式与正弦有差别。"),
        by="paper",
    ),
    Claim(
        "function_handles_unseen", value(ECHO, "shift_cost", "sinusoidal"), below(HANDLED), "nats",
        Bilingual(
            "with a well-chosen function of position (sinusoids) the network can handle positions never seen in "
            "training: the trained length, put there, costs under 0.5 nats",
            "选择得好的位置函数（正弦）能让网络处理训练中没见过的位置：同样长的序列放到那里，代价不到 0.5 nat",
        ),
        Bilingual("A function of position let this net handle places never seen in training.",
                  "位置函数让这个网络能处理训练中没见过的位置。"),
        Bilingual(
            "Refuted: 'a good function of position handles unseen places'. Sinusoids have a value there, but this net "
            f"cannot read it: {{function_handles_unseen.effect:.1f}} nats worse, where guessing costs {GUESSING:.1f}.",
            "不成立：“选得好的位置函数能处理没见过的位置”。正弦在那里有值，但这个网络不会读："
            f"差 {{function_handles_unseen.effect:.1f}} nat，而瞎猜也只差 {GUESSING:.1f}。",
        ),
        by="textbook",
    ),
    Claim(
        "function_can_be_tested", every("table", "refused", "sinusoidal"), exactly(0), "",
        Bilingual("a function at least can be tested directly at positions never seen", "至少，没见过的位置可以直接拿函数来测试"),
        kind="exact", by="textbook",
    ),
    Claim(
        "table_ends", every("table", "refused", "learned"), exactly(1), "",
        Bilingual("a learned table ends: a longer input is refused", "学习式的表有尽头：更长的输入会被拒绝"), kind="exact",
    ),
    Claim(
        "rotary_at_twice", value(ECHO, "twice_cost", "rotary"), below(HANDLED), "nats",
        Bilingual("rotary positions handle twice the trained length", "RoPE 能处理两倍于训练的长度"),
        Bilingual("Rotary positions held to twice the trained length.", "RoPE 能撑到训练长度的两倍。"),
        Bilingual("Rotary positions failed at twice the trained length.", "RoPE 在训练长度的两倍处失效。"),
    ),
    Claim(
        "rotary_anywhere", value(ECHO, "far_cost", "rotary"), below(HANDLED), "nats",
        Bilingual("relative schemes handle any length: rotary positions at two to four times",
                  "相对位置方案能处理任意长度：RoPE 在两到四倍处"),
        by="folk",
    ),
    Claim(
        "alibi_at_four_times", value(ECHO, "far_cost", "alibi"), below(HANDLED), "nats",
        Bilingual("ALiBi handles two to four times the trained length", "ALiBi 能处理两到四倍于训练的长度"),
        Bilingual("ALiBi held to four times.", "ALiBi 能撑到四倍。"),
        Bilingual("ALiBi failed before four times.", "ALiBi 到四倍也失效。"),
    ),
    Claim(
        "on_this_text", difference(TEXT, "growth", "sinusoidal", "alibi"), above(0.05), "nats",
        Bilingual("on this text, places beyond the trained length cost sinusoids over 0.05 nats more than ALiBi",
                  "在这段文本上，超出训练长度的位置让正弦编码每字符比 ALiBi 多损失 0.05 nat 以上"),
    ),
    Claim(
        "shift_is_a_matrix", every("vectors", "shift_error", "sinusoidal"), exactly(0, 1e-6), "relative",
        Bilingual("sinusoids: moving on by 5 places is one fixed matrix, whatever the place",
                  "正弦编码：移动 5 位是同一个固定矩阵，与位置无关"),
        kind="exact", by="paper",
    ),
    Claim(
        "not_of_any_table", every("vectors", "shift_error", "random"), above(0.1), "relative",
        Bilingual("of a random table it is not", "随机的表则不是"), kind="exact",
    ),
]

LABELS = {
    "learned": Bilingual("learned (embedding)", "学习式（embedding）"), "alibi": same("ALiBi"), "rotary": same("RoPE"),
    "sinusoidal": Bilingual("sinusoids (encoding)", "正弦（encoding）"),
    "none": Bilingual("causal mask only", "只有因果 mask"),
}

FIGURES = [
    View(
        "places", "lines", ECHO, ("excess",), Axis("place", Bilingual("place in the sequence", "在序列中的位置")),
        Axis("value", Bilingual("nats above the optimum", "高于最优值，nat")),
        Bilingual("Trained on 16 places, read on 64", "在 16 个位置上训练，读到第 64 个"),
        Bilingual("A language whose optimum is known: a symbol mostly renames the one two places back.",
                  "最优值已知的语言：每个符号大多是两位之前那个的改名。"),
        labels=LABELS, rules={round(GUESSING, 2): Bilingual("guessing", "瞎猜")},
    ),
    View(
        "text", "bars", TEXT, ("growth",), Axis("arm", same("")),
        Axis("value", Bilingual("nats a character, unseen places minus trained ones", "每字符 nat，未训练位置减训练过的位置")),
        Bilingual("The same on this text", "在这段文本上"),
        Bilingual("Trained on 12 characters, read on 24, held-out text.", "训练 12 个字符，读 24 个，留出文本。"), labels=LABELS,
    ),
]

QUESTION = Question(
    number=2,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "Attention is a weighted sum over a set: rename the places and the sums stay the same. So the place must enter "
        "somewhere: in the token's vector (a learned row, or a function's value, is added), in the product of query "
        "and key (rotary turns both by an angle), or as a bias on the scores (ALiBi: minus the distance). A causal "
        "mask also counts: the first token sees one token, the fifth five, and the next layer can use that.\n\n"
        "A learned row is trained only by tokens at its own place. A sinusoid needs no training, but the weights that "
        "read it do, and they have met its values only at trained places. That a shift is a fixed matrix makes "
        "distances easy to read there; it makes no new value familiar. Rotary and ALiBi use distances alone, so a new "
        "place is nothing new; a new distance still is, and ALiBi makes far tokens fade.",
        "注意力是对一个集合加权求和：换一种位置编号，和不变。所以位置必须从某处进入：加到 token 的向量里（学到的一行，"
        "或函数的值），或进入 q 与 k 的乘积（RoPE 把两者各转一个角度），或作为分数的偏置（ALiBi：减去距离）。因果 mask 也有作用："
        "第 1 个 token 只看到 1 个，第 5 个看到 5 个，下一层就能利用这一点。\n\n"
        "学习式的一行只由处在该位置的 token 训练。正弦本身不用训练，但读它的权重要训练，而这些权重只见过训练位置上的值；"
        "“平移是固定矩阵”让相对距离容易读出，却不会让新值变得熟悉。RoPE 和 ALiBi 只用距离，新位置不算新；"
        "但新的距离仍是新的，ALiBi 则让远处的 token 淡出。",
    ),
    formula=(
        "f(Px) = P f(x) without positions\n"
        "embedding: xₜ + E[t], E learned      encoding: xₜ + PE(t), PE(t+k) = R(k) PE(t)\n"
        "rotary: q'ₜ·k'ₛ = qᵀ R(s−t) k      ALiBi: qₜ·kₛ/√d − m|t−s|"
    ),
    held_equal=Bilingual(
        "One causal Transformer (2 layers, width 32, 4 heads, pre-norm), equal steps and batches, paired seeds, common "
        "initial weights, a learning rate for every scheme from the same sweep. Sinusoids and the learned table start "
        "at the same size; only the learned one is trained (it has that many more weights). Loss is the exact distance "
        "to the optimum. On the text both schemes share one learning rate. Short training of a small net on short "
        "sequences: how far a scheme reaches depends on them. Shuffling is exact (float64, untrained nets).",
        "同一个因果 Transformer（2 层，宽 32，4 头，pre-norm），步数与批次相同，种子配对，初始权重一致，每种方案在同一扫描中各选学习率。"
        "正弦与学习式的表起始大小相同，只有学习式参与训练（因此参数多出一张表）。损失是到最优值的精确距离。文本实验共用一个学习率。"
        "这是小网络、短序列、短训练：各方案能撑多远与此有关。关于打乱的论断是精确的（float64，未训练）。",
    ),
    sources=[
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, section 3.5, table 3 row E"),
        Source("Press, Smith & Lewis", 2021, "Train Short, Test Long (ALiBi)", "arXiv:2108.12409"),
        Source("Su et al.", 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", "arXiv:2104.09864"),
        Source("Haviv et al.", 2022, "Transformer LMs without Positional Encodings Still Learn Positional Information",
               "arXiv:2203.16634"),
    ],
)
