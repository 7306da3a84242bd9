"""What are the advantages of self-attention over an LSTM?

self-attention 相比 LSTM 的优点是什么？
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, title_of
from clearhead.experiments import claims
from clearhead.experiments.claims import Claim, above, difference, every, exactly, log_ratio, slope, value
from clearhead.experiments.evidence import Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.layers.initialization import FORGET_GATE
from clearhead.models import lstm, transformer_decoder, transformer_encoder
from clearhead.models.lstm import StackedLSTM
from clearhead.models.transformer import Transformer
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

BATCH = 32
BLOCKS, LAYERS = 2, 3  # of equal width d, these have as many weights: 2 * 12 d^2 = 3 * 8 d^2
PRODUCTS = ("MmBackward0", "AddmmBackward0", "BmmBackward0")


def attention(width: int, blocks: int, vocabulary: int, longest: int, fused: bool = False) -> Transformer:
    """Blocks of causal self-attention and a feed-forward layer, with weights of a size that keeps signals alive."""
    spec = transformer_decoder.Spec.model_validate({
        "hidden_size": width, "num_hidden_layers": blocks, "fused": fused,
        "initialization": "xavier", "initializer_range": 0.3,
    })
    return transformer_decoder.build(spec, Inventory(Vocabulary(vocabulary), longest))


def recurrent(width: int, layers: int, vocabulary: int, forget_bias: float) -> StackedLSTM:
    model = lstm.build(lstm.Spec(hidden_size=width, num_hidden_layers=layers), Inventory(Vocabulary(vocabulary), 1))
    for name, values in model.named_parameters():
        if "bias_ih" in name:
            nn.init.constant_(values.data.chunk(4)[FORGET_GATE], forget_bias)
    return model


def batch_of(ids: Tensor) -> Batch:
    """Rows of ids (B, T) as a batch."""
    return Batch(ids.flatten(), Layout(torch.full((len(ids),), ids.shape[1]), ids.shape[1], packed=False))


def read_by(model: nn.Module, x: Tensor) -> Tensor:
    """The states of one sequence of vectors x (T, D): they take the place of the embeddings."""
    batch = batch_of(torch.arange(len(x))[None])
    hidden: Tensor = torch.func.functional_call(model, {"token_embedding.weight": x}, (batch,)).hidden
    return hidden


def cells(x: Tensor, layers: list[nn.LSTMCell], states: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Three LSTM layers cell by cell, so that nothing waits but for what it needs; `states` goes along."""
    outputs = []
    for word in x:
        now = word[None]
        for number, layer in enumerate(layers):
            states[number] = layer(now, states[number])
            now = states[number][0]
        outputs.append(now[0])
    return outputs


def waiting(arm: str, seed: int, length: int) -> Measured:
    """The longest row of matrix products of which each waits for the one before, in three LSTM layers or two blocks.

    Reading: all words are given. Writing: each word is the output for the word before.
    """
    torch.manual_seed(seed)
    x = torch.randn(length, 8)
    if arm.startswith("LSTM"):
        layers = [nn.LSTMCell(8, 8) for _ in range(LAYERS)]
        states = [(torch.zeros(1, 8), torch.zeros(1, 8))] * LAYERS
        rows = list(x) if arm == "LSTM, reading" else list(x[:1])
        outputs = cells(torch.stack(rows), layers, states)
        while len(outputs) < length:
            outputs += cells(outputs[-1][None], layers, states)
        return {"products": float(longest_chain(outputs[-1]))}
    model = attention(8, BLOCKS, length, length)
    if arm == "attention, reading":
        return {"products": float(longest_chain(read_by(model, x)[-1]))}
    written = x[:1]
    for _ in range(length - 1):
        written = torch.cat((written, read_by(model, written)[-1:]))
    return {"products": float(longest_chain(read_by(model, written)[-1]))}


def longest_chain(output: Tensor) -> int:
    """The most matrix products on one path of the graph that autograd has kept."""
    root = output.grad_fn
    assert root is not None
    longest: dict[Node, int] = {}
    stack = [root]
    while stack:
        node = stack[-1]
        before = [n for n, _ in node.next_functions if n is not None]
        missing = [n for n in before if n not in longest]
        if missing:
            stack += missing
            continue
        longest[stack.pop()] = max((longest[n] for n in before), default=0) + (node.name() in PRODUCTS)
    return longest[root]


def counted(arm: str, seed: int, length: int, width: int = 16) -> Measured:
    """Multiplications to read `length` words, a word, and the numbers to keep in order to write the next one."""
    torch.manual_seed(seed)
    model: StackedLSTM | Transformer
    batch = batch_of(torch.randint(5, (1, length)))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if arm == "attention":
            model = attention(width, BLOCKS, 5, length)
            model(batch)
        else:
            model = recurrent(width, LAYERS, 5, 1.0)
            layers = [nn.LSTMCell(width, width) for _ in range(LAYERS)]
            cells(model.token_embedding(batch.token_ids), layers, [(torch.zeros(1, width),) * 2] * LAYERS)
    kept = model.begin(batch, 1)
    tensors = kept.states if isinstance(kept, lstm.Cache) else [pair for pair in kept.layers if pair is not None]
    numbers = sum(part.numel() for pair in tensors for part in pair)
    return {"multiplications": counter.get_total_flops() / 2 / length, "kept": float(numbers)}


def shuffled(arm: str, seed: int) -> Measured:
    """How far the outputs for shuffled words are from the shuffled outputs, for a block without a mask."""
    torch.manual_seed(seed)
    spec = transformer_encoder.Spec.model_validate({"positions": arm, "fused": False, "initializer_range": 0.3})
    model = transformer_encoder.build(spec, Inventory(Vocabulary(9), 9)).double()
    order = torch.randperm(9)
    with torch.no_grad():
        moved = model(batch_of(order[None])).hidden - model(batch_of(torch.arange(9)[None])).hidden[order]
    return {"moved": moved.abs().max().item()}


def speed(arm: str, seed: int, width: int, length: int = 1024) -> Measured:
    """Time of three LSTM layers over that of two blocks, to read one sequence on one thread: medians, by turns."""
    torch.manual_seed(seed)
    batch = batch_of(torch.randint(5, (1, length)))
    models = [recurrent(width, LAYERS, 5, 1.0), attention(width, BLOCKS, 5, length, fused=True)]
    spent: list[list[float]] = [[], []]
    with torch.inference_mode():
        for _ in range(4):
            for model, times in zip(models, spent, strict=True):
                start = time.perf_counter()
                model(batch)
                times.append(time.perf_counter() - start)
    ours, theirs = (statistics.median(times[1:]) for times in spent)  # the first is a warm-up
    return {"ratio": ours / theirs}


def reach(arm: str, seed: int, distance: int, width: int = 32) -> Measured:
    """The gradient of the last state by a word at a `distance`, over that by the last word itself, untrained."""
    torch.manual_seed(seed)
    model = one_layer(arm, width, distance + 1, distance + 1).double()
    shares = []
    for _ in range(4):
        x = torch.randn(distance + 1, width, dtype=torch.float64).requires_grad_()
        (gradient,) = torch.autograd.grad(read_by(model, x)[-1] @ torch.randn(width, dtype=torch.float64), x)
        shares.append((gradient[0].norm() / gradient[-1].norm()).item())
    return {"gradient": statistics.geometric_mean(shares)}


def one_layer(arm: str, width: int, vocabulary: int, longest: int) -> StackedLSTM | Transformer:
    if arm == "attention":
        return attention(width, 1, vocabulary, longest)
    return recurrent(width, 1, vocabulary, float(arm.split()[-1]))


def first_character(
    arm: str, seed: int, corpus: Corpus, length: int, learning_rate: float, steps: int, characters: int, width: int = 32
) -> Measured:
    """A net reads `length` characters of the text and says which came first; read on held-out sentences.

    recalled: 1 - loss / loss of guessing by how common the characters are; 1 is perfect, 0 is guessing.
    """
    windows = character_windows(corpus, length, characters=characters)
    train, held = torch.from_numpy(windows.train), torch.from_numpy(windows.held_out)
    torch.manual_seed(seed)
    width = width if arm == "attention" else round(width * 1.22)  # 12 d^2 weights each
    model = one_layer(arm, width, windows.symbols, length)
    head = nn.Linear(model.width, windows.symbols)
    rng = torch.Generator().manual_seed(seed)

    def loss_on(rows: Tensor) -> Tensor:
        last = model(batch_of(rows)).hidden.view(*rows.shape, -1)[:, -1]
        return F.cross_entropy(head(last), rows[:, 0])

    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    descend(
        optimizer, lambda: loss_on(train[torch.randint(len(train), (BATCH,), generator=rng)]), steps,
        schedule="linear", warmup=0.1, clip=1.0,
    )
    asked = held[torch.randperm(len(held), generator=rng)[:2000]]
    with torch.no_grad():
        loss = loss_on(asked).item()
    shares = (torch.bincount(train[:, 0], minlength=windows.symbols) + 0.5).log().log_softmax(0)
    guessing = -shares[asked[:, 0]].mean().item()
    return {"recalled": 1 - loss / guessing, "loss": loss, "parameters": float(sum(p.numel() for p in parameters))}


CHAIN, TEXT, FAR = "waiting", "first_character", 24
EXACT, SEEDS = BySize((3,), (6,)), BySize((5,), (6, 12))
HALF = BySize({"steps": 50, "characters": 500_000}, {"steps": 150, "characters": 500_000})

EXPERIMENTS = [
    Experiment(
        CHAIN, waiting, ("LSTM, reading", "attention, reading", "LSTM, writing", "attention, writing"),
        {"length": (4, 12, 32)}, seeds=BySize((2,), (2,)),
    ),
    Experiment("counted", counted, ("LSTM", "attention"), {"length": (16, 96)}, seeds=BySize((2,), (2,))),
    Experiment("shuffled", shuffled, ("none",), seeds=EXACT),
    Experiment(
        "reach", reach, ("LSTM 0", "LSTM 1", "LSTM 3", "attention"), {"distance": (1, 3, 7, 15, 31)},
        seeds=BySize((6,), (8, 16)), transfer={"width": 64},
    ),
    Experiment(
        TEXT, first_character, ("LSTM 0", "LSTM 3", "attention"), {"length": (8, FAR)}, seeds=SEEDS,
        settings=BySize({"steps": 120, "characters": 500_000}, {"steps": 300, "characters": 500_000}), needs_text=True,
        tune=Tune("learning_rate", (5e-3, 1.5e-2, 4.5e-2, 0.135), "loss", at={"length": FAR}, settings=HALF),
    ),
    Experiment("speed", speed, ("one thread",), {"width": (32, 64, 128, 256)}, seeds=SEEDS, transfer={"length": 512}),
]

CLAIMS = [
    Claim(
        "lstm_waits", every(CHAIN, "products", "LSTM, reading", length=32), exactly(32 + LAYERS - 1), "products",
        Bilingual(
            "in an LSTM each word waits for the one before: for 32 words in three layers 34 matrix products in a row",
            "LSTM 中后一个时间步要等前一个算完：三层读 32 个词，要依次做 34 次矩阵乘",
        ), kind="exact", by="textbook",
    ),
    Claim(
        "layer_after_layer", every(CHAIN, "products", "LSTM, reading", length=32), exactly(32 * LAYERS), "products",
        Bilingual(
            "a stacked LSTM goes from left to right and layer after layer: 32 words in three layers wait 32 x 3 times",
            "多层 LSTM 从左到右、从上到下依次计算：三层读 32 个词，要依次等 32×3 次",
        ),
        Bilingual("A stacked LSTM waits for each layer in turn.", "多层 LSTM 要逐层依次等待。"),
        Bilingual(
            "An LSTM waits word by word but not layer by layer: layers can overlap, so n words in L layers need "
            "n + L - 1 matrix products in a row, not n x L.",
            "LSTM 逐词等待，但不必逐层等待：各层可以错位重叠，n 个词、L 层只需依次 n+L−1 次矩阵乘，而不是 n×L 次。",
        ), kind="exact", by="textbook",
    ),
    Claim(
        "all_at_once", every(CHAIN, "products", "attention, reading"), exactly(6 * BLOCKS), "products",
        Bilingual(
            "self-attention computes all places in parallel: two blocks need 12 products in a row at any length",
            "自注意力对所有位置并行计算：无论多长，两个块都只需依次 12 次矩阵乘",
        ),
        Bilingual(
            "Self-attention reads all places in parallel: two blocks need {all_at_once.effect:.0f} in a row at any "
            "length.",
            "自注意力并行读入所有位置：无论多长，两个块都只需依次 {all_at_once.effect:.0f} 次矩阵乘。",
        ), kind="exact", by="textbook",
    ),
    Claim(
        "writing_waits", every(CHAIN, "products", "attention, writing", length=32), exactly(32 * 6 * BLOCKS),
        "products",
        Bilingual("when it writes, self-attention waits for every word like an LSTM", "逐词生成时，自注意力与 LSTM 一样要等"),
        Bilingual("Writing word by word is sequential for both.", "逐词生成时二者都是串行的。"), kind="exact",
    ),
    Claim(
        "needs_positions", every("shuffled", "moved", "none"), exactly(0, 1e-9), "",
        Bilingual(
            "self-attention needs position embeddings: without them shuffled words give the same outputs, shuffled",
            "自注意力要与位置编码一起用：没有位置编码，打乱词序只会得到同样打乱的输出",
        ), kind="exact", by="textbook",
    ),
    Claim(
        "twice_the_work", log_ratio("counted", "multiplications", "attention", "LSTM", length=96),
        exactly(0.30102999566398, 1e-9), "powers of ten",
        Bilingual(
            "at equal width and weights attention computes more, not less: at n = 6d twice as much a word",
            "宽度与参数相同时，注意力的计算量更大而不是更小：n = 6d 时每个词是两倍",
        ), kind="exact",
    ),
    Claim(
        "cache_grows", slope("counted", "kept", "attention", over="length"), exactly(1, 1e-6), "",
        Bilingual("to write on, attention keeps numbers in proportion to the length", "继续生成时，注意力要保存的数与长度成正比"),
        kind="exact",
    ),
    Claim(
        "reaches_far", log_ratio("reach", "gradient", "attention", "LSTM 0", distance=31), above(3), "powers of ten",
        Bilingual(
            "31 words back, attention's gradient at the start is over 1000 times that of an LSTM with forget bias 0",
            "相隔 31 个词，初始时注意力的梯度是遗忘门偏置为 0 的 LSTM 的 1000 倍以上",
        ),
        Bilingual(
            "31 words back its gradient at the start was {reaches_far.effect:.1f} powers of ten above that of "
            "PyTorch's default LSTM.",
            "相隔 31 个词，训练前它的梯度比 PyTorch 默认的 LSTM 大 {reaches_far.effect:.1f} 个数量级。",
        ),
        Bilingual("Far back its gradient was not much larger at the start.", "初始时它对远处的梯度并没有大很多。"),
    ),
    Claim(
        "diluted", slope("reach", "gradient", "attention", over="distance"), above(-1.5), "log-log slope",
        Bilingual("attention's gradient is diluted, no faster than distance^-1.5", "注意力的梯度只是被稀释，不快于距离的 −1.5 次方"),
    ),
    Claim(
        "recalls", value(TEXT, "recalled", "attention", length=FAR), above(0.9), "share",
        Bilingual("attention learns to recall a character of this text 23 places back", "注意力学会回忆本文本中 23 个位置之前的字符"),
    ),
    Claim(
        "bias_repairs", difference(TEXT, "recalled", "LSTM 3", "LSTM 0", length=FAR), above(0.1), "share",
        Bilingual("there a forget bias of 3 gives the LSTM back over 0.1", "此时遗忘门偏置取 3 能让 LSTM 多回忆 0.1 以上"),
        Bilingual(
            "A forget bias of 3 gave the LSTM back {bias_repairs.effect:.2f}.",
            "遗忘门偏置取 3，LSTM 可补回 {bias_repairs.effect:.2f}。",
        ),
        Bilingual("A forget bias of 3 did not help the LSTM here.", "这里遗忘门偏置取 3 对 LSTM 没有帮助。"),
    ),
    Claim(
        "distance_decides", claims.interaction(TEXT, "recalled", "attention", "LSTM 3", over="length", high=FAR, low=8),
        above(0.1), "share",
        Bilingual("its lead over an LSTM with forget bias 3 grows with the distance", "距离越远，它对遗忘门偏置为 3 的 LSTM 领先越大"),
        Bilingual(
            "In recalling a character of this text its lead over an LSTM with forget bias 3 grew by "
            "{distance_decides.effect:.2f} from 7 to 23 places back.",
            "回忆这段文本中的字符时，从相隔 7 个位置到 23 个，它对遗忘门偏置为 3 的 LSTM 的领先扩大了 "
            "{distance_decides.effect:.2f}。",
        ),
    ),
    Claim(
        "faster", value("speed", "ratio", "one thread", width=32), above(1), "times",
        Bilingual(
            "being parallel, self-attention is faster, also on one thread for 1024 words at width 32",
            "自注意力是并行的，所以更快，单线程、1024 个词、宽 32 时也是",
        ),
        Bilingual("It was faster on one thread as well.", "单线程上它也更快。"),
        Bilingual(
            "Parallel is not always faster: for 1024 words at width 32 on one thread the LSTM took "
            "{faster.effect:.2f} of its time.",
            "并行不等于更快：单线程、1024 个词、宽 32 时，LSTM 只用它 {faster.effect:.2f} 倍的时间。",
        ), by="folk",
    ),
    Claim(
        "faster_when_wide", value("speed", "ratio", "one thread", width=256), above(1), "times",
        Bilingual("one sequence of 1024 words at width 256: it is faster", "单条 1024 个词、宽 256 时，它更快"),
        Bilingual("At width 256 self-attention was faster.", "宽 256 时自注意力更快。"),
    ),
]

NAMES = {
    "LSTM 0": Bilingual("LSTM, forget bias 0", "LSTM，遗忘门偏置 0"), "attention": Bilingual("self-attention", "自注意力"),
    "LSTM 3": Bilingual("LSTM, forget bias 3", "LSTM，遗忘门偏置 3"), "one thread": Bilingual("one thread", "单线程"),
}

FIGURES = [
    View(
        "recall", "bars", TEXT, ("recalled",), Axis("length", Bilingual("characters read", "读入的字符数")),
        Axis("value", Bilingual("share recalled of the first", "首字符的回忆比例")),
        Bilingual("How much of the first character is recalled", "首字符能回忆出多少"),
        Bilingual("1 is perfect, 0 is guessing by frequency; this text, held out.", "1 为全对，0 为按频率猜；本文本的留出部分。"),
        labels=NAMES, rules={0.0: Bilingual("guessing", "瞎猜")},
    ),
    View(
        "speed", "lines", "speed", ("ratio",), Axis("width", Bilingual("width d", "宽度 d"), log=True),
        Axis("value", Bilingual("LSTM's time / attention's", "LSTM 用时 / 注意力用时"), log=True),
        Bilingual("Is self-attention faster? By width", "自注意力更快吗？随宽度的变化"),
        Bilingual("One sequence of 1024 words, one thread, equal weights.", "单条 1024 个词，单线程，参数相同。"),
        labels=NAMES, rules={1.0: Bilingual("equal", "相同")},
    ),
]

QUESTION = Question(
    number=6,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "An LSTM hands one state on from word to word. A word's state needs that of the word before, so n words take n "
        "steps one after another, and a gradient that goes back n words is multiplied n times, mostly by the forget "
        "gate. Self-attention joins any two words directly: all pairs are one matrix product, and the way back is one "
        "step, at the price of a weight of about 1/n when attention is still even.\n\n"
        "What it costs: n x n scores (n²d against nd²), positions that have to be added, and a cache of all words when "
        "it writes. In training the gain is that n small products become one large one; where the machine is busy "
        "anyway, on one thread, with many sequences or with long narrow ones, little or nothing of it is left.",
        "LSTM 把一个状态逐词传下去。后一个词的状态要用前一个词的状态，所以 n 个词要依次走 n 步；"
        "梯度往回传 n 个词，就要连乘 n 次，主要乘的是遗忘门。自注意力让任意两个词直接相连："
        "所有词对只是一次矩阵乘，回传也只有一步，代价是注意力还均匀时权重约为 1/n。\n\n"
        "它的代价是：n×n 的分数（n²d 对 nd²）、必须另加位置信息、生成时要缓存所有词。训练时的好处在于把 n 次小矩阵乘变成一次大的；"
        "如果机器本来就忙满了（单线程、多条序列、又长又窄的序列），这个好处就所剩无几。",
    ),
    formula="LSTM: hₜ = f(xₜ, hₜ₋₁)   ·   attention: hₜ = Σₛ softmaxₛ(qₜ·kₛ/√d) vₛ",
    held_equal=Bilingual(
        "Two blocks against three LSTM layers of the same width: 24d² weights each. Recall: one block against one "
        "layer of as many weights, equal steps and batches, paired seeds, a learning rate for every arm from the "
        "same sweep. Waiting counts matrix products in autograd's graph; time is that of reading one sequence, without "
        "gradients, medians taken in turns; it holds for one thread of this machine, not for a GPU.",
        "两个块对三层同宽的 LSTM：参数都是 24d²。回忆任务：一个块对一层参数同样多的 LSTM，步数、批次相同，种子配对，"
        "学习率在同一扫描中各自选取。等待数的是 autograd 图中的矩阵乘；时间是不求梯度读一条序列的用时，交替测量取中位数，"
        "只对这台机器的单线程成立，不代表 GPU。",
    ),
    sources=[
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, table 1"),
        Source("Hochreiter & Schmidhuber", 1997, "Long Short-Term Memory"),
        Source("Jozefowicz et al.", 2015, "An Empirical Exploration of Recurrent Network Architectures"),
    ],
)
