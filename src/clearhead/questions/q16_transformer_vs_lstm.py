"""What is the structure of a Transformer, and how does it differ from an LSTM?

Transformer 的结构是什么？它与 LSTM 有什么区别？
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly
from clearhead.experiments.evidence import Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.layers.cross_attention import CrossAttention
from clearhead.models import lstm, transformer_decoder
from clearhead.models.lstm import StackedLSTM
from clearhead.models.transformer import Transformer
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

LONGEST, WINDOW = 64, 32
KEYS, VALUES, PAIRS = 10, 8, 8


class Nothing(nn.Module):
    """A sublayer that adds nothing to its residual connection."""

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor:
        return x * 0


class Pass(nn.Module):
    """A sublayer that hands on what it is given, where there is no residual connection to do so."""

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor:
        return x


def transformer(arm: str, width: int, blocks: int, vocabulary: int, **spec: object) -> Transformer:
    """A Transformer of pre-norm blocks, without the part that the arm leaves out."""
    residual = arm not in {"no residual", "attention alone"}
    made = transformer_decoder.Spec.model_validate({
        "hidden_size": width, "num_hidden_layers": blocks, "residual": residual, "initialization": "xavier",
        "initializer_range": 0.3, "norm": "none" if arm == "attention alone" else "layer", "positions": "alibi", **spec,
    })
    model = transformer_decoder.build(made, Inventory(Vocabulary(vocabulary), LONGEST))
    for block in model.layers:
        if arm == "no attention":
            block.register_module("attention", Nothing())
        elif arm == "attention alone":
            block.register_module("feedforward", Pass())
    return model


def trunk(arm: str, width: int, vocabulary: int) -> Transformer | StackedLSTM:
    """Two blocks, or two LSTM layers of about as many weights (12 d^2 and 8 d^2 a layer)."""
    if arm == "LSTM":
        return lstm.build(lstm.Spec(hidden_size=round(width * 1.22)), Inventory(Vocabulary(vocabulary), LONGEST))
    return transformer(arm, width, 2, vocabulary)


def batch_of(ids: Tensor) -> Batch:
    """Rows of ids (B, T) as a batch."""
    return Batch(ids.flatten(), Layout(torch.full((len(ids),), ids.shape[1]), ids.shape[1], packed=False))


def parts(arm: str, seed: int, width: int) -> Measured:
    """The weights (biases and norms left out) of one block in units of d^2, and the share of its feed-forward layer."""
    block = transformer("whole", width, 1, 2).layers[0]
    counts = {name: sum(p.numel() for p in part.parameters() if p.ndim > 1) for name, part in block.named_children()}
    cross = sum(p.numel() for p in CrossAttention(width, 4).parameters() if p.ndim > 1) if arm == "decoder" else 0
    whole = sum(counts.values()) + cross
    return {"weights": whole / width**2, "feedforward_share": counts["feedforward"] / whole}


def alike(arm: str, seed: int, blocks: int) -> Measured:
    """How far the words' states differ after untrained blocks: |X - its mean row| / |X|; 0: all words look the same."""
    torch.manual_seed(seed)
    model = transformer(arm, 32, blocks, 16, positions="none", mask="full").double()
    with torch.no_grad():
        states = model(batch_of(torch.arange(16)[None])).layers[-1]
    return {"differ": ((states - states.mean(0)).norm() / states.norm()).item()}


def order_told(arm: str, seed: int, blocks: int) -> Measured:
    """How far the last state moves when the words before it are shuffled; the Transformer is told no positions."""
    torch.manual_seed(seed)
    spec = lstm.Spec(hidden_size=32, num_hidden_layers=blocks)
    model: Transformer | StackedLSTM = lstm.build(spec, Inventory(Vocabulary(12), LONGEST))
    if arm != "LSTM":
        model = transformer("whole", 32, blocks, 12, positions="none", mask=arm)
    words = torch.arange(12)
    with torch.no_grad():
        orders = words, torch.cat((words[:11].flip(0), words[11:]))
        before, after = (model.double()(batch_of(row[None])).hidden[-1] for row in orders)
    return {"moved": ((after - before).norm() / before.norm()).item()}


class Reader(nn.Module):
    """A trunk and a linear head: ids (B, T) -> logits (B, T, answers)."""

    def __init__(self, arm: str, width: int, vocabulary: int, answers: int) -> None:
        super().__init__()
        self.trunk = trunk(arm, width, vocabulary)
        self.head = nn.Linear(self.trunk.width, answers)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(batch_of(ids)).hidden)
        return logits.view(*ids.shape, -1)

    def learn(self, draw: Callable[[], tuple[Tensor, Tensor]], learning_rate: float, steps: int) -> None:
        """Trains on drawn ids (B, T) and the answers (B, t) to the last t of them."""

        def loss() -> Tensor:
            ids, answers = draw()
            return F.cross_entropy(self(ids)[:, -answers.shape[1] :].flatten(0, 1), answers.flatten())

        optimizer = torch.optim.Adam(self.parameters(), lr=learning_rate, fused=True)
        descend(optimizer, loss, steps, schedule="linear", warmup=0.1, clip=1.0)


def recall_task(rng: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Eight words, each a key with its value, then eight keys whose values are asked; guessing is right in 1/8."""
    keys = torch.rand(count, KEYS, generator=rng).argsort(1)[:, :PAIRS]
    values = torch.randint(VALUES, (count, PAIRS), generator=rng)
    asked = torch.randint(PAIRS, (count, PAIRS), generator=rng)
    return torch.cat((keys * VALUES + values, KEYS * VALUES + keys.gather(1, asked)), 1), values.gather(1, asked)


def parity_task(rng: torch.Generator, count: int, length: int) -> tuple[Tensor, Tensor]:
    """Bits, and at every place whether the ones so far are odd; guessing is right in 1/2."""
    bits = torch.randint(2, (count, length), generator=rng)
    return bits, bits.cumsum(1) % 2


def skill(arm: str, seed: int, task: str, learning_rate: float, steps: int, width: int = 32) -> Measured:
    """The share right after equal training: recall by key, or parity at trained places (1-16) and beyond (17-32)."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    symbols, answers = (2, 2) if task == "parity" else (KEYS * VALUES + KEYS, VALUES)
    reader = Reader(arm, width, symbols, answers)

    def draw(count: int, length: int) -> tuple[Tensor, Tensor]:
        return parity_task(rng, count, length) if task == "parity" else recall_task(rng, count)

    reader.learn(lambda: draw(16, 16), learning_rate, steps)
    ids, right = draw(400, 32)
    with torch.no_grad():
        logits = reader(ids)[:, -right.shape[1] :]
    hits = (logits.argmax(-1) == right).float().mean(0)
    loss = F.cross_entropy(logits[:, :16].flatten(0, 1), right[:, :16].flatten())
    found = {"accuracy": hits[:16].mean().item(), "loss": loss.item(), "parameters": _size(reader)}
    return {**found, "beyond": hits[16:].mean().item()} if task == "parity" else found


def text(arm: str, seed: int, corpus: Corpus, learning_rate: float, steps: int, characters: int) -> Measured:
    """Bits for the next character of held-out text, after equal training on windows of 32 characters."""
    windows = character_windows(corpus, WINDOW + 1, characters=characters)
    train, held_out = torch.from_numpy(windows.train), torch.from_numpy(windows.held_out)
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    reader = Reader(arm, 32, windows.symbols, windows.symbols)

    def draw() -> tuple[Tensor, Tensor]:
        rows = train[torch.randint(len(train), (16,), generator=rng)]
        return rows[:, :-1], rows[:, 1:]

    reader.learn(draw, learning_rate, steps)
    asked = held_out[torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[:300]]
    with torch.no_grad():
        loss = F.cross_entropy(reader(asked[:, :-1]).flatten(0, 1), asked[:, 1:].flatten())
    return {"bits": loss.item() / math.log(2), "parameters": _size(reader)}


def _size(module: nn.Module) -> float:
    return float(sum(p.numel() for p in module.parameters()))


EXACT = BySize((3,), (6,))
SEEDS = BySize((4,), (6, 12))
RATES = (1e-2, 2e-2, 4e-2)
SHORT = BySize({"steps": 40, "characters": 500_000}, {"steps": 200, "characters": 500_000})

EXPERIMENTS = [
    Experiment("parts", parts, ("encoder", "decoder"), {"width": (16, 32)}, seeds=EXACT),
    Experiment("alike", alike, ("whole", "no residual", "attention alone"), {"blocks": (1, 2, 4, 6)}, seeds=EXACT),
    Experiment("order_told", order_told, ("full", "causal", "LSTM"), {"blocks": (1, 2)}, seeds=EXACT),
    Experiment(
        "skill", skill, ("whole", "LSTM"), {"task": ("recall", "parity")}, seeds=SEEDS, transfer={"width": 48},
        settings=BySize({"steps": 120}, {"steps": 500}),
        tune=Tune("learning_rate", RATES[:2], "loss", settings=BySize({"steps": 30}, {"steps": 200})),
    ),
    Experiment(
        "text", text, ("whole", "no residual", "no attention", "LSTM"), seeds=BySize((5,), (6, 12)), needs_text=True,
        settings=BySize({"steps": 140, "characters": 500_000}, {"steps": 600, "characters": 500_000}),
        tune=Tune("learning_rate", RATES, "bits", settings=SHORT),
    ),
]

CLAIMS = [
    Claim(
        "two_thirds", every("parts", "feedforward_share", "encoder"), exactly(2 / 3), "of weights",
        Bilingual(
            "an encoder block is self-attention (4d²) and a feed-forward layer (8d²), two thirds of the weights",
            "编码器块由自注意力（4d²）和前馈层（8d²）组成，前馈层占三分之二的权重",
        ),
        Bilingual(
            "A Transformer block is self-attention, which mixes places, and a feed-forward layer on each place (two "
            "thirds of the weights), each with a residual connection and a norm.",
            "Transformer 块由两部分组成：自注意力混合各位置，前馈层逐位置计算（占三分之二的权重），各带残差连接和归一化。",
        ), kind="exact",
    ),
    Claim(
        "decoder_block", every("parts", "weights", "decoder"), exactly(16), "d²",
        Bilingual("a decoder block adds cross-attention: 16d² weights, not 12d²", "解码器块再加交叉注意力：权重是 16d² 而非 12d²"),
        Bilingual("A decoder block adds cross-attention.", "解码器的块再加交叉注意力。"), kind="exact",
    ),
    Claim(
        "attention_is_all", every("alike", "differ", "attention alone", blocks=6), above(0.01), "relative",
        Bilingual(
            "attention is all you need, read literally: blocks of attention alone keep words apart",
            "“注意力就是一切”按字面理解：只有注意力的块也能让各个词保持区别",
        ),
        Bilingual("Blocks of attention alone kept words apart.", "只有注意力的块也让各个词保持了区别。"),
        Bilingual(
            "Attention alone is not enough: six untrained blocks of it make all words look the same.",
            "光有注意力不够：六个未训练的纯注意力块会让所有词变得一样。",
        ), kind="exact", by="folk",
    ),
    Claim(
        "alike_without_residual", every("alike", "differ", "no residual", blocks=6), below(1e-6), "relative",
        Bilingual("norm and feed-forward layers alone do not prevent that", "仅有归一化和前馈层挡不住这一点"), kind="exact",
    ),
    Claim(
        "whole_keeps_apart", every("alike", "differ", "whole", blocks=6), above(0.1), "relative",
        Bilingual("with residual connections words stay apart after six blocks", "有残差连接，六个块之后各个词仍有区别"), kind="exact",
    ),
    Claim(
        "causal_knows_no_order", every("order_told", "moved", "causal", blocks=2), exactly(0, 1e-9), "relative",
        Bilingual(
            "without positions a Transformer does not know the order of words, a causal one neither",
            "没有位置信息，Transformer 就不知道词序，有因果掩码也一样",
        ), kind="exact", by="folk",
    ),
    Claim(
        "order_built_in", every("order_told", "moved", "LSTM"), above(1e-3), "relative",
        Bilingual("an LSTM has the order built in", "LSTM 天生带有顺序"), kind="exact",
    ),
    Claim(
        "residual_matters", difference("text", "bits", "no residual", "whole"), above(0.3), "bits",
        Bilingual("leaving out residual connections costs over 0.3 bits a character", "去掉残差使每字符差 0.3 比特以上"),
        Bilingual(
            "On this text a net without residual connections was {residual_matters.effect:.2f} bits a character worse.",
            "在这段文本上，去掉残差每字符差 {residual_matters.effect:.2f} 比特。",
        ),
        Bilingual("Leaving out residual connections cost little on this text.", "在这段文本上去掉残差代价不大。"),
    ),
    Claim(
        "attention_matters", difference("text", "bits", "no attention", "whole"), above(0.05), "bits",
        Bilingual("leaving out attention costs over 0.05 bits", "去掉注意力差 0.05 比特以上"),
        Bilingual(
            "Without attention it was {attention_matters.effect:.2f} bits worse.",
            "去掉注意力每字符差 {attention_matters.effect:.2f} 比特。",
        ),
    ),
    Claim(
        "recalls_by_key", difference("skill", "accuracy", "whole", "LSTM", task="recall"), above(0.3), "share",
        Bilingual(
            "a Transformer recalls by key better than an LSTM, by over 0.3: it keeps every word, the LSTM one state",
            "按键回忆时 Transformer 比 LSTM 高 0.3 以上：它保留每个词，LSTM 只有一个状态",
        ),
        Bilingual(
            "A Transformer keeps every word: it recalled a value by its key {recalls_by_key.effect:.2f} more often "
            "than an LSTM of as many weights.",
            "Transformer 保留每个词：按键回忆的正确率比参数同样多的 LSTM 高 {recalls_by_key.effect:.2f}。",
        ),
        Bilingual("It did not recall by key much better than an LSTM here.", "这里它按键回忆并不比 LSTM 好多少。"), by="paper",
    ),
    Claim(
        "tracks_state", difference("skill", "beyond", "LSTM", "whole", task="parity"), above(0.3), "share",
        Bilingual(
            "an LSTM tracks a state better: parity beyond the trained length, by over 0.3",
            "LSTM 更会跟踪状态：超出训练长度的奇偶校验高 0.3 以上",
        ),
        Bilingual(
            "An LSTM carries one state on: at parity beyond the trained length it was right "
            "{tracks_state.effect:.2f} more often than the Transformer.",
            "LSTM 逐步更新一个状态：在超出训练长度的奇偶校验上正确率比 Transformer 高 {tracks_state.effect:.2f}。",
        ),
        Bilingual("The LSTM did not track parity much better here.", "这里 LSTM 跟踪奇偶并不好多少。"), by="paper",
    ),
    Claim(
        "better_language_model", difference("text", "bits", "LSTM", "whole"), above(0), "bits",
        Bilingual("the Transformer is the better language model", "Transformer 是更好的语言模型"),
        Bilingual(
            "On this text, at this budget, the Transformer was the better language model by "
            "{better_language_model.effect:.2f} bits.",
            "作为这段文本的语言模型，在此预算下 Transformer 好 {better_language_model.effect:.2f} 比特。",
        ),
        Bilingual(
            "On this text, at this budget, the LSTM was the better language model "
            "({better_language_model.effect:+.2f} bits).",
            "作为这段文本的语言模型，在此预算下 LSTM 更好（{better_language_model.effect:+.2f} 比特）。",
        ), by="folk",
    ),
]

NAMES = {
    "whole": Bilingual("Transformer", "Transformer（完整）"), "LSTM": same("LSTM"),
    "no residual": Bilingual("no residual", "无残差"), "no attention": Bilingual("no attention", "无注意力"),
    "recall": Bilingual("recall by key", "按键回忆"),
    "parity": Bilingual("parity", "奇偶校验"),
}

FIGURES = [
    View(
        "skill", "bars", "skill", ("accuracy",), Axis("task", Bilingual("task", "任务")),
        Axis("value", Bilingual("share right", "正确率")),
        Bilingual("Recall by key, and parity at trained lengths", "按键回忆与（训练长度内的）奇偶校验"),
        Bilingual("Equal weights and steps. Guessing: 0.125 and 0.5.", "参数与步数相同。瞎猜：0.125 与 0.5。"), labels=NAMES,
    ),
    View(
        "parts", "bars", "text", ("bits",), Axis("arm", same("")),
        Axis("value", Bilingual("bits a character above the whole Transformer's, held out", "每字符比完整 Transformer 多的比特")),
        Bilingual("A part left out, and an LSTM, on this text", "在这段文本上：去掉一部分，以及 LSTM"),
        Bilingual("After equal training; fewer bits are better.", "同等训练之后；比特越少越好。"),
        labels=NAMES, baseline="whole",
    ),
]

QUESTION = Question(
    number=16,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "Embeddings and positions go through a stack of blocks. Self-attention is the only part where words meet; it "
        "is an average, so repeated it makes words alike. The residual connection carries each word past it, the "
        "feed-forward layer computes on each word by itself, the norm keeps sizes in hand. An encoder sees both sides; "
        "a decoder sees the past only, and in translation reads the encoder's output by cross-attention.\n\n"
        "An LSTM has one vector that each word rewrites. That is a running state, so a rule applied word by word "
        "(parity) is natural to it and holds at any length, but what it must remember has to fit into that vector. A "
        "Transformer keeps every word and looks up what it needs, with a fixed number of layers for any length.",
        "词向量加位置信息后，经过一叠相同的块。词与词只在自注意力中相遇；注意力是加权平均，叠多了各个词会变得一样。"
        "残差连接让每个词自己的信息绕过它，前馈层对每个词单独计算，归一化控制数值大小。编码器能看两边；"
        "解码器只看过去，做翻译时再用交叉注意力读编码器的输出。\n\n"
        "LSTM 只有一个由每个词不断改写的向量。它就是运行中的状态，所以逐词套用的规则（如奇偶）对它很自然，任意长度都成立；"
        "但要记住的东西必须装进这个向量。Transformer 保留每个词、按需查找，但无论多长层数都固定。",
    ),
    formula="x ← x + Attention(Norm(x));   x ← x + W₂ f(W₁ Norm(x))      LSTM: c ← f∘c + i∘c̃,  h = o∘tanh c",
    held_equal=Bilingual(
        "Two blocks of width 32 (positions as a recency bias, ALiBi) against two LSTM layers of width 39: 24d² weights "
        "each, the rest alike. Equal steps and batches, paired seeds, a learning rate of its own for every arm from "
        "the same sweep. What is left out of a block is not made up for in weights. Small models, little training: "
        "nothing is said here of large ones.",
        "两个宽 32 的块（位置用近因偏置 ALiBi）对两层宽 39 的 LSTM：权重都约为 24d²，其余相同。步数、批次相同，种子配对，"
        "学习率在同一扫描中各自选取。块中去掉的部分不以参数补回。模型小、训练短，不能推及大模型。",
    ),
    sources=[
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762"),
        Source(
            "Dong et al.", 2021,
            "Attention is Not All You Need: Pure Attention Loses Rank Doubly Exponentially with Depth",
            "arXiv:2103.03404",
        ),
        Source(
            "Jelassi et al.", 2024, "Repeat After Me: Transformers are Better than State Space Models at Copying",
            "arXiv:2402.01032",
        ),
        Source("Liu et al.", 2023, "Transformers Learn Shortcuts to Automata", "arXiv:2210.10749"),
    ],
)
