"""What is the difference between self-attention and attention?

self-attention 与 attention 有什么区别？
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import collate
from clearhead.bilingual import Bilingual, title_of
from clearhead.evaluation.probes import influence, watch
from clearhead.experiments.claims import Claim, above, difference, every, exactly, value
from clearhead.experiments.evidence import Along, Measured, Scalar
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.finding import Found, opened
from clearhead.text.corpora import Corpus
from clearhead.text.marked import marked_sentences
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

PAIRS, KEYS, TAGS, VALUES = 6, 12, 8, 12
WINDOW = 8


class Attention(nn.Module):
    """Queries from x, keys and values from `memory`: softmax(q k^T / sqrt(d)) v. Self-attention where memory is x."""

    def __init__(self, width: int, uniform: bool = False) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.uniform = uniform

    def weights(self, x: Tensor, memory: Tensor, allowed: Tensor | None = None) -> Tensor:
        scores: Tensor = self.query(x) @ self.key(memory).transpose(-1, -2) / math.sqrt(x.shape[-1])
        scores = scores * 0 if self.uniform else scores
        seen = scores if allowed is None else scores.masked_fill(~allowed, -math.inf)
        return seen.softmax(-1)

    def forward(self, x: Tensor, memory: Tensor, allowed: Tensor | None = None) -> Tensor:
        mixed: Tensor = self.output(self.weights(x, memory, allowed) @ self.value(memory))
        return mixed


class Decoder(nn.Module):
    """A block of self-attention in the target, cross-attention to the source and a feed-forward layer (pre-norm).

    An arm leaves one of the two out, or gives it even weights, or joins source and target to `one stream` of
    self-attention. A word is the sum of the symbols that it is made of.
    """

    def __init__(self, arm: str, width: int, source: int, target: int, answers: int) -> None:
        super().__init__()
        self.arm = arm
        self.source, self.target, self.places = (nn.Embedding(n, width) for n in (source, target, 2 * PAIRS))
        for table in (self.source, self.target, self.places):
            nn.init.normal_(table.weight, std=0.3)
        self.inside, self.across = Attention(width), Attention(width, uniform=arm == "even cross")
        self.feedforward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.head = nn.Linear(width, answers)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Symbols (B, S, k) and (B, T, k) -> logits (B, T, answers)."""
        memory, x = self.source(source).sum(2), self.target(target).sum(2) + self.places.weight[: target.shape[1]]
        if self.arm == "one stream":
            x = torch.cat((memory, x), 1)
        if self.arm != "no self":
            x = x + self.inside(_normed(x), _normed(x))
        if self.arm not in {"no cross", "one stream"}:
            x = x + self.across(_normed(x), _normed(memory))
        x = x + self.feedforward(_normed(x))
        logits: Tensor = self.head(_normed(x[:, -target.shape[1] :]))
        return logits

    def learn(
        self, draw: Callable[[], tuple[Tensor, Tensor, Tensor]], asked: slice, learning_rate: float, steps: int
    ) -> None:
        """Trains on drawn sources, targets and the answers at the places that are asked."""

        def loss() -> Tensor:
            source, target, answers = draw()
            return F.cross_entropy(self(source, target)[:, asked].flatten(0, 1), answers.flatten())

        optimizer = torch.optim.Adam(self.parameters(), lr=learning_rate, fused=True)
        descend(optimizer, loss, steps, schedule="linear", warmup=0.1, clip=1.0)


def _normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def lookups(rng: torch.Generator, count: int, task: str) -> tuple[Tensor, Tensor, Tensor]:
    """Source: pairs (key, value). Target: slots (key, tag), then queries. Asked: across, the value of a key; inside,
    the key that stands with a tag. A word is the sum of two
    symbols: source (B, 6, 2), target (B, 12, 2), answers (B, 6)."""
    keys = torch.rand(count, KEYS, generator=rng).argsort(1)[:, :PAIRS]
    values = torch.randint(VALUES, (count, PAIRS), generator=rng)
    slots = keys.gather(1, torch.rand(count, PAIRS, generator=rng).argsort(1))
    tags = torch.rand(count, TAGS, generator=rng).argsort(1)[:, :PAIRS]
    asked = torch.randint(PAIRS, (count, PAIRS), generator=rng)
    queries = keys.gather(1, asked) if task == "across" else KEYS + tags.gather(1, asked)
    blank = torch.full_like(queries, KEYS + TAGS)
    target = torch.stack((torch.cat((slots, queries), 1), torch.cat((KEYS + tags, blank), 1)), 2)
    return torch.stack((keys, KEYS + values), 2), target, (values if task == "across" else slots).gather(1, asked)


def letters(windows: Tensor, rng: torch.Generator, count: int, hidden: int) -> tuple[Tensor, Tensor, Tensor]:
    """Source: the letters of a stretch of text, sorted. Target: the stretch, every other letter hidden and asked."""
    rows = windows[torch.randint(len(windows), (count,), generator=rng)]
    target = rows.clone()
    target[:, 1::2] = hidden
    return rows.sort(1).values[..., None], target[..., None], rows[:, 1::2]


def wiring(arm: str, seed: int, width: int = 16) -> Measured:
    """The largest gap between cross-attention and self-attention with the same weights, in float64.

    copy: the memory is a copy of x. masked: self-attention over memory and x, where only the memory may be seen.
    """
    torch.manual_seed(seed)
    attend = Attention(width).double()
    x, memory = torch.randn(5, width, dtype=torch.float64), torch.randn(7, width, dtype=torch.float64)
    with torch.no_grad():
        if arm == "copy":
            return {"gap": (attend(x, x.clone()) - attend(x, x)).abs().max().item()}
        joined = torch.cat((memory, x))
        masked = attend(joined, joined, torch.arange(12) < 7)
        return {"gap": (masked[7:] - attend(x, memory)).abs().max().item()}


def reaches(arm: str, seed: int, width: int = 8) -> Measured:
    """How much a target place depends on the other target places, as a share of what it depends on of itself."""
    torch.manual_seed(seed)
    x, memory = torch.randn(6, width, dtype=torch.float64), torch.randn(7, width, dtype=torch.float64)
    attend, cell = Attention(width).double(), nn.LSTMCell(width, width).double()

    def states(x: Tensor) -> Tensor:
        if arm == "self":
            mixed: Tensor = attend(x, x)
            return mixed
        queries, h, c = [], x.new_zeros(width), x.new_zeros(width)
        for word in x:
            h, c = cell(word, (h, c))
            queries.append(h)
        read: Tensor = attend(torch.stack(queries) if arm == "cross, recurrent decoder" else x, memory)
        return read

    found = influence(states, x)
    return {"others": ((found.sum(1) - found.diagonal()).max() / found.diagonal().max()).item()}


def shuffled_memory(arm: str, seed: int, width: int = 16) -> Measured:
    """How far the output of cross-attention moves when its memory is shuffled, and when its queries are."""
    torch.manual_seed(seed)
    attend = Attention(width).double()
    x, memory = torch.randn(5, width, dtype=torch.float64), torch.randn(7, width, dtype=torch.float64)
    order = torch.randperm(7 if arm == "memory" else 5)
    with torch.no_grad():
        whole = attend(x, memory)
        moved = attend(x, memory[order]) - whole if arm == "memory" else attend(x[order], memory) - whole[order]
    return {"moved": moved.abs().max().item()}


def lookup(arm: str, seed: int, task: str, learning_rate: float, steps: int, width: int = 32) -> Measured:
    """The share of links found after equal training, across two sequences or inside one."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = Decoder(arm, width, KEYS + VALUES, KEYS + TAGS + 1, max(KEYS, VALUES))
    model.learn(lambda: lookups(rng, 32, task), slice(PAIRS, None), learning_rate, steps)
    source, target, answers = lookups(rng, 500, task)
    with torch.no_grad():
        logits = model(source, target)[:, PAIRS:]
    right = (logits.argmax(-1) == answers).float().mean().item()
    loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten()).item()
    return {"accuracy": right, "loss": loss}


def hidden_letters(
    arm: str, seed: int, corpus: Corpus, learning_rate: float, steps: int, characters: int, width: int = 32
) -> Measured:
    """Bits for a hidden letter of held-out text: its neighbours stand in the target, all letters in the source."""
    windows = character_windows(corpus, WINDOW, characters=characters)
    train, held_out = torch.from_numpy(windows.train), torch.from_numpy(windows.held_out)
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = Decoder(arm, width, windows.symbols, windows.symbols + 1, windows.symbols)
    odd, hidden = slice(1, None, 2), windows.symbols  # the id that stands in the place of a hidden letter
    model.learn(lambda: letters(train, rng, 32, hidden), odd, learning_rate, steps)
    source, target, answers = letters(held_out, torch.Generator().manual_seed(0), 1000, hidden)
    with torch.no_grad():
        loss = F.cross_entropy(model(source, target)[:, odd].flatten(0, 1), answers.flatten())
    return {"bits": loss.item() / math.log(2)}


def on_itself(arm: str, seed: int, corpus: Corpus, checkpoint: Found) -> Measured:
    """The attention weight of words on themselves, over that of even weights, in every layer and head of a real BERT.

    A mean for each of up to 40 sentences of the text; the marks at both ends do not ask, but may be seen.
    """
    model, tokenizer = opened(checkpoint, fused=False)
    names = [f"encoder.blocks.{number}.attention.weights" for number in range(len(model.encoder.layers))]
    shares: dict[Scalar, float] = {}
    for number, row in enumerate(marked_sentences(corpus, tokenizer, 40)):
        with torch.no_grad(), watch(model, names) as seen:
            model(collate([row], packed=True))
        weights = torch.stack([layer[0][0] for layer in seen.values()])  # (layers, heads, T, T)
        own = weights.diagonal(dim1=-2, dim2=-1)[..., 1:-1]
        shares[number] = (own.mean() * len(row)).item()
    return {"times_even": Along("sentence", shares)}


ARMS = ("self + cross", "no self", "no cross", "even cross", "one stream")
RATES = (5e-3, 1e-2, 2e-2)
EXACT = BySize((4,), (8,))

EXPERIMENTS = [
    Experiment("wiring", wiring, ("copy", "masked"), seeds=EXACT),
    Experiment("reaches", reaches, ("self", "cross", "cross, recurrent decoder"), seeds=EXACT),
    Experiment("shuffled_memory", shuffled_memory, ("memory", "queries"), seeds=EXACT),
    Experiment(
        "lookup", lookup, ARMS, {"task": ("across", "inside")}, seeds=BySize((4,), (6, 12)), transfer={"width": 48},
        settings=BySize({"steps": 70}, {"steps": 200}),
        tune=Tune("learning_rate", RATES, "loss", settings=BySize({"steps": 30}, {"steps": 100})),
    ),
    Experiment(
        "hidden_letters", hidden_letters, ("self + cross", "no self", "no cross"), seeds=BySize((5,), (6, 12)),
        settings=BySize({"steps": 150, "characters": 500_000}, {"steps": 500, "characters": 500_000}), needs_text=True,
        tune=Tune(
            "learning_rate", RATES, "bits",
            settings=BySize({"steps": 60, "characters": 500_000}, {"steps": 200, "characters": 500_000}),
        ),
    ),
    Experiment("on_itself", on_itself, ("BERT",), seeds=BySize((1,), (1,)), needs_text=True, needs_checkpoint=True),
]

CLAIMS = [
    Claim(
        "same_weights_same_output", every("wiring", "gap", "copy"), exactly(0), "",
        Bilingual(
            "self-attention takes queries, keys and values from one sequence: it is attention to a copy of x",
            "self-attention 的 Q、K、V 来自同一序列：对 x 的拷贝做 attention 就是 self-attention",
        ),
        Bilingual(
            "In self-attention queries, keys and values come from one sequence; in attention queries come from the "
            "target, keys and values from the source.",
            "self-attention 的 Q、K、V 来自同一序列；attention 的 Q 来自目标端，K、V 来自源端。",
        ), kind="exact",
    ),
    Claim(
        "two_mechanisms", every("wiring", "gap", "masked"), above(1e-3), "",
        Bilingual("self-attention and attention are two different mechanisms", "self-attention 与 attention 是两种不同的机制"),
        Bilingual("They are two different mechanisms.", "二者是两种不同的机制。"),
        Bilingual(
            "It is one operation, wired differently: attention equals self-attention over both sequences in which only "
            "the source may be seen.",
            "二者是同一种运算，只是接线不同：attention 等于在两个序列上一起做、但只许看源端的 self-attention。",
        ), kind="exact", by="folk",
    ),
    Claim(
        "cross_links_no_places", every("reaches", "others", "cross"), exactly(0), "of itself",
        Bilingual("attention to a source links no two places of the target", "对源端的 attention 不让目标端任何两个位置相通"),
        Bilingual(
            "Attention alone links no two places of the target, so a decoder needs both.",
            "只有 attention 时，目标端各位置互不相通，所以解码器两者都要。",
        ), kind="exact",
    ),
    Claim(
        "attention_is_sequential", every("reaches", "others", "cross"), above(1e-3), "of itself",
        Bilingual(
            "self-attention is parallel and attention sequential: its queries need the target places before",
            "self-attention 并行而 attention 串行：它的查询要等目标端前面的位置",
        ),
        Bilingual("Attention is sequential by itself.", "attention 本身是串行的。"),
        Bilingual("What is sequential is the RNN around Bahdanau's attention.", "串行的是 Bahdanau 注意力外面的 RNN。"),
        kind="exact", by="folk",
    ),
    Claim(
        "recurrence_waits", every("reaches", "others", "cross, recurrent decoder"), above(1e-3), "of itself",
        Bilingual("with a recurrent decoder the queries do need the places before", "解码器是 RNN 时，查询确实要等前面的位置"),
        kind="exact",
    ),
    Claim(
        "memory_is_a_set", every("shuffled_memory", "moved", "memory", "queries"), exactly(0), "",
        Bilingual(
            "the order of the source does not matter to attention, and shuffled queries give shuffled outputs",
            "attention 不受源端次序影响，打乱查询只会同样打乱输出",
        ), kind="exact",
    ),
    Claim(
        "across_needs_cross", difference("lookup", "accuracy", "self + cross", "no cross", task="across"), above(0.5),
        "share",
        Bilingual("links to the source need attention to it, over 0.5 of them", "跨序列的查找离不开 attention：差 0.5 以上"),
        Bilingual(
            "Trained without attention to the source, it lost {across_needs_cross.effect:.2f} of the lookups across.",
            "训练时去掉对源端的 attention，跨序列查找的正确率少 {across_needs_cross.effect:.2f}。",
        ),
    ),
    Claim(
        "inside_needs_self", difference("lookup", "accuracy", "self + cross", "no self", task="inside"), above(0.5),
        "share",
        Bilingual("links inside the target need self-attention, over 0.5 of them", "序列内的查找离不开 self-attention：差 0.5 以上"),
        Bilingual(
            "Trained without self-attention, it lost {inside_needs_self.effect:.2f} of those inside.",
            "训练时去掉 self-attention，序列内查找的正确率少 {inside_needs_self.effect:.2f}。",
        ),
    ),
    Claim(
        "selection_works", difference("lookup", "accuracy", "self + cross", "even cross", task="across"), above(0.3),
        "share", Bilingual("with even weights over 0.3 of the lookups are lost", "权重取平均会丢掉 0.3 以上的查找"),
    ),
    Claim(
        "one_stream_does_both", value("lookup", "accuracy", "one stream", task="across"), above(0.9), "share",
        Bilingual(
            "self-attention over source and target together finds the links to the source (decoder-only)",
            "在源端与目标端上一起做 self-attention 也能找到跨序列的联系（decoder-only）",
        ),
    ),
    Claim(
        "text_needs_cross", difference("hidden_letters", "bits", "no cross", "self + cross"), above(0.1), "bits",
        Bilingual(
            "hidden letters of this text are guessed better by over 0.1 bits with attention to the bag of letters",
            "猜这段文本中隐去的字符，有对字符袋的 attention 要好 0.1 比特以上",
        ),
    ),
    Claim(
        "text_needs_self", difference("hidden_letters", "bits", "no self", "self + cross"), above(0.1), "bits",
        Bilingual("and by over 0.1 bits with self-attention to their neighbours", "有对邻字的 self-attention 也要好 0.1 比特以上"),
        Bilingual(
            "Without self-attention to their neighbours, hidden letters of this text cost {text_needs_self.effect:.2f} "
            "bits more.",
            "不能用 self-attention 看邻字时，这段文本中隐去的每个字符多花 {text_needs_self.effect:.2f} 比特。",
        ),
    ),
    Claim(
        "self_means_itself", value("on_itself", "times_even", "BERT", items=True), above(2), "times even",
        Bilingual(
            "\"self\" means that a word mostly attends to itself: over twice as much as with even weights",
            "“self”指词主要看自己：权重是平均值的两倍以上",
        ),
        Bilingual(
            "In a real BERT a word gave itself {self_means_itself.effect:.1f} times the even weight.",
            "真实的 BERT 中，词给自己的权重是平均值的 {self_means_itself.effect:.1f} 倍。",
        ),
        Bilingual(
            "\"Self\" is the sequence, not the word: in a real BERT a word gave itself "
            "{self_means_itself.effect:.1f} times the even weight.",
            "“self”指同一序列，不是词自己：真实的 BERT 中，词给自己的权重只有平均值的 {self_means_itself.effect:.1f} 倍。",
        ), by="folk",
    ),
]

NAMES = {
    "self + cross": Bilingual("self + cross", "自 + 交叉"), "no self": Bilingual("no self-attention", "无自注意力"),
    "no cross": Bilingual("no cross-attention", "无交叉注意力"), "even cross": Bilingual("even cross weights", "交叉权重取平均"),
    "one stream": Bilingual("one stream", "合成一个序列"), "across": Bilingual("across", "跨序列"),
    "inside": Bilingual("inside", "序列内"),
}

FIGURES = [
    View(
        "lookup", "bars", "lookup", ("accuracy",), Axis("task", Bilingual("where the link lies", "联系在哪里")),
        Axis("value", Bilingual("share found", "查找正确率")),
        Bilingual("Links across two sequences and inside one", "跨序列的联系与序列内的联系"),
        Bilingual("Equal training. Guessing: 0.08 across, 0.17 inside.", "同等训练。瞎猜：跨序列 0.08，序列内 0.17。"),
        labels=NAMES,
    ),
    View(
        "letters", "bars", "hidden_letters", ("bits",), Axis("arm", Bilingual("attention kept", "保留的注意力")),
        Axis("value", Bilingual("bits a hidden letter, held out", "每个隐去字符的比特（留出文本）")),
        Bilingual("Hidden letters of this text, from neighbours and a bag of letters", "由邻字和字符袋猜这段文本中隐去的字符"),
        Bilingual("Every other letter is hidden; the source holds all of them, sorted.", "隔一个隐去一个；源端是全部字符，已排序。"),
        labels=NAMES,
    ),
]

QUESTION = Question(
    number=17,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "Attention answers a query with an average of values, weighted by how well each key fits. Nothing in it says "
        "where query and keys come from. Bahdanau's attention took the query from a recurrent decoder and the keys "
        "from the encoded source; a Transformer keeps that as cross-attention and adds self-attention, with all three "
        "from one sequence. So the scores are target x source in the one, n x n in the other.\n\n"
        "What differs is who can reach whom. Cross-attention brings the source to each target place, but target places "
        "learn nothing of one another; self-attention joins the places of one sequence and knows of no other. Put both "
        "sequences in one stream and self-attention can do both (decoder-only), if it learns to.",
        "注意力用值的加权平均来回答查询，权重是查询与各个键的匹配程度；它本身并不规定查询和键来自哪里。"
        "Bahdanau 的注意力，查询来自 RNN 解码器，键来自编码后的源端；Transformer 把它保留为交叉注意力，"
        "并加上三者都来自同一序列的自注意力。所以前者的分数矩阵是 目标×源，后者是 n×n。\n\n"
        "真正的差别是谁能看到谁。交叉注意力把源端带给每个目标位置，但目标位置之间互不知情；"
        "自注意力让同一序列的位置相通，却不知道别的序列。把两个序列接成一个，自注意力也能兼做两件事（decoder-only），前提是学得会。",
    ),
    formula="softmax(Q Kᵀ / √d) V      self: Q, K, V ← x      attention: Q ← target, K, V ← source",
    held_equal=Bilingual(
        "One block of width 32 with one head of each kind (three parts: self, cross, feed-forward); an arm leaves one "
        "out, so it has fewer weights. Equal steps and batches, paired seeds, a learning rate of its own for every arm "
        "from the same sweep. No translation, and no trained cross-attention of real size, was measured.",
        "一个宽 32 的块，自注意力、交叉注意力各一个头，再加前馈层；各组去掉其中之一，参数因此较少。步数、批次相同，种子配对，"
        "学习率在同一扫描中各自选取。没有测翻译，也没有测真实规模的交叉注意力。",
    ),
    sources=[
        Source(
            "Bahdanau et al.", 2015, "Neural Machine Translation by Jointly Learning to Align and Translate",
            "arXiv:1409.0473",
        ),
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, section 3.2.3"),
    ],
)
