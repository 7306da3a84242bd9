"""Why does BERT put [MASK] in the input, rather than block attention scores as the Transformer does?

bert 的 mask 为何不学习 transformer 在 attention 处进行屏蔽 score 的技巧？
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import collate
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.evaluation.probes import influence
from clearhead.experiments.claims import Claim, above, below, change, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.finding import Found, opened
from clearhead.models.transformer import BLOCKED
from clearhead.text.corpora import Corpus
from clearhead.text.marked import marked_sentences
from clearhead.text.synthetic import MarkovLanguage
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

SYMBOLS, LENGTH = 16, 7
LANGUAGE = MarkovLanguage(1, SYMBOLS, concentration=0.3)
# What place i, whose word is asked for, starts its residual and its first query from, what is blocked, what keys read.
ARMS = {
    "blocked": "residual:word query:word block:column keys:states",
    "blocked, no residual": "residual:place query:word block:column keys:states",
    "blocked, blank query": "residual:word query:place block:column keys:states",
    "blocked, both blank": "residual:place query:place block:column keys:states",
    "diagonal, both blank": "residual:place query:place block:diagonal keys:states",
    "query stream": "residual:place query:place block:diagonal keys:words",
    "[MASK]": "residual:mask query:mask block:nothing keys:states",
    "causal, next word": "residual:word query:word block:future keys:states",
}


class Reader(nn.Module):
    """One-head attention layers over words (B, n, D) and places (n, D); place i of each row must name a word.

    Which one: its own, or the next behind a causal mask.
    """

    def __init__(self, arm: str, symbols: int, length: int, width: int, depth: int) -> None:
        super().__init__()
        self.way = dict(choice.split(":") for choice in arm.split())
        self.words = nn.Embedding(symbols + 1, width)  # the last is [MASK]
        self.places = nn.Embedding(length, width)
        self.projections = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(4 * depth))
        self.feedforwards = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(depth)
        )
        self.head = nn.Linear(width, symbols)

    def forward(self, ids: Tensor, hole: Tensor) -> Tensor:
        """The last states (B, n, D) for ids (B, n) and the asked place of each row, `hole` (B,)."""
        here = torch.arange(ids.shape[1]) == hole[:, None]  # (B, n)
        if self.way["residual"] == "mask":
            ids = ids.masked_fill(here, self.words.num_embeddings - 1)
        words = self.words(ids) + self.places.weight
        blank = torch.where(here[..., None], self.places.weight, words)
        state = blank if self.way["residual"] == "place" else words
        query = blank if self.way["query"] == "place" else words
        read, blocked = words, self._blocked(here)
        for layer, feedforward in enumerate(self.feedforwards):
            ask, tell, give, out = self.projections[4 * layer : 4 * layer + 4]
            scores = ask(query) @ tell(read).mT / math.sqrt(words.shape[-1])
            state = state + out(scores.masked_fill(blocked, -math.inf).softmax(-1) @ give(read))
            state = state + feedforward(state)
            query, read = state, words if self.way["keys"] == "words" else state
        return state

    def _blocked(self, here: Tensor) -> Tensor:
        """Which query may not see which key (B, n, n)."""
        n = here.shape[1]
        column, row = here[:, None, :].expand(-1, n, -1), here[:, :, None].expand(-1, -1, n)
        future = torch.ones(n, n, dtype=torch.bool).triu(1).expand_as(column)
        return {
            "column": column, "diagonal": column & row, "future": future, "nothing": torch.zeros_like(column)
        }[self.way["block"]]


def asked_and_answer(arm: str, rng: torch.Generator, count: int, length: int) -> tuple[Tensor, Tensor]:
    """The place that is asked in each of `count` rows, not at the ends, and the place of the word it must name."""
    hole = torch.randint(1, length - 1, (count,), generator=rng)
    return hole, hole + 1 if "future" in arm else hole


def dependence(arm: str, seed: int, depth: int) -> Measured:
    """In an untrained net in float64, how much the asked place depends on its answer and on other words, and how much
    the others depend on the answer."""
    torch.manual_seed(seed)
    net = Reader(arm, LENGTH, LENGTH, 16, depth).double()
    hole, answer = asked_and_answer(arm, torch.Generator().manual_seed(seed), 1, LENGTH)
    ids = torch.arange(LENGTH)[None]

    def states(words: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(net, {"words.weight": words}, (ids, hole))
        return found[0]

    matrix = influence(states, net.words.weight)[:, :LENGTH]
    others = torch.arange(LENGTH) != hole
    return {
        "on_the_answer": float(matrix[hole, answer] / matrix.sum(1).mean()),
        "others_on_it": float(matrix[others][:, hole].sum() / matrix.sum()),
    }


def leak(arm: str, seed: int, depth: int, steps: int, width: int = 32, length: int = 5) -> Measured:
    """Bits of the answer (of 4) that a trained net gets where words are fair dice: an honest net gets none."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    net = Reader(arm, SYMBOLS, length, width, depth)

    def loss(count: int) -> Tensor:
        ids = torch.randint(SYMBOLS, (64 * count, length), generator=rng)
        hole, answer = asked_and_answer(arm, rng, len(ids), length)
        at = torch.arange(len(ids))
        return F.cross_entropy(net.head(net(ids, hole)[at, hole]), ids[at, answer]) / math.log(2)

    descend(torch.optim.Adam(net.parameters(), 1e-2, fused=True), lambda: loss(1), steps, schedule="linear", clip=1.0)
    with torch.no_grad():
        return {"leaked": math.log2(SYMBOLS) - loss(32).item()}


def fill(
    arm: str, seed: int, steps: int, learning_rate: float, characters: int = 0, corpus: Corpus | None = None,
    width: int = 32,
) -> Measured:
    """Bits to fill a hole, as training sees it and with the hidden word replaced by another: really absent.

    The words are a Markov source's, and the bits those above the best that can be done; or characters of the text.
    """
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    numbers = np.random.default_rng(seed)
    windows = None if corpus is None else character_windows(corpus, LENGTH, characters=characters)
    symbols = SYMBOLS if windows is None else windows.symbols
    net = Reader(arm, symbols, LENGTH, width, depth=2)

    def draw(count: int, held_out: bool = False) -> tuple[Tensor, Tensor]:
        if windows is None:
            ids = torch.from_numpy(LANGUAGE.sample(numbers, count, LENGTH))
        else:
            text = torch.from_numpy(windows.held_out if held_out else windows.train)
            ids = text[torch.randint(len(text), (count,), generator=rng)]
        return ids, torch.randint(1, LENGTH - 1, (count,), generator=rng)

    def bits(shown: Tensor, ids: Tensor, hole: Tensor) -> Tensor:
        at = torch.arange(len(ids))
        return F.cross_entropy(net.head(net(shown, hole)[at, hole]), ids[at, hole]) / math.log(2)

    def loss() -> Tensor:
        ids, hole = draw(64)
        return bits(ids, ids, hole)

    descend(torch.optim.Adam(net.parameters(), learning_rate, fused=True), loss, steps, schedule="linear", clip=1.0)
    with torch.no_grad():
        ids, hole = draw(2000, held_out=True)
        best = 0.0 if windows is not None else least_bits(ids, hole)
        other = torch.randint(symbols, (len(ids), 1), generator=rng)
        absent = ids.scatter(1, hole[:, None], other)
        return {"as_trained": bits(ids, ids, hole).item() - best, "absent": bits(absent, ids, hole).item() - best}


def least_bits(ids: Tensor, hole: Tensor) -> float:
    """Bits of the word at `hole` under P(word | its two neighbours), which no guess can better on the mean."""
    step = torch.from_numpy(LANGUAGE.transitions)
    at = torch.arange(len(ids))
    chances = step[ids[at, hole - 1]] * step[:, ids[at, hole + 1]].T  # (B, V)
    return float(-(chances[at, ids[at, hole]] / chances.sum(-1)).log2().mean())


def word_of_a_bert(arm: str, seed: int, corpus: Corpus, checkpoint: Found, words: int = 10) -> Measured:
    """In a real BERT with the scores of one word blocked, each of ten words in turn: how far the other places' states
    move, and how often the state of that word's own place tells which of the ten it was; a number a sentence.

    A state is read by the nearest of the ten words' mean states over all other sentences.
    """
    model, tokenizer = opened(checkpoint)
    sentences = [torch.from_numpy(row) for row in marked_sentences(corpus, tokenizer, 24, shortest=6, longest=10)]
    candidates = torch.tensor(sorted({int(row[2]) for row in sentences})[:words])
    count, own, others = len(candidates), [], []
    for row in sentences:
        variants = row.repeat(count, 1)
        variants[:, 2] = candidates
        hidden = (torch.arange(variants.numel()) % len(row) == 2).long()[:, None]
        batch = replace(collate(list(variants), packed=False), features={BLOCKED: hidden})
        with torch.no_grad():
            states = model(batch).hidden.view(count, len(row), -1)
        own.append(states[:, 2])
        elsewhere = states[:, torch.arange(len(row)) != 2]
        others.append(float((elsewhere - elsewhere[:1]).abs().max()))
    states = torch.stack(own)  # (sentences, words, D)
    means = (states.sum(0) - states) / (len(states) - 1)
    read = torch.cdist(states - states.mean(1, keepdim=True), means - means.mean(1, keepdim=True)).argmin(-1)
    right = read.eq(torch.arange(count)).float().mean(-1)
    return {
        "read_back": Along("sentence", dict(enumerate(right.tolist()))),
        "others_move": Along("sentence", dict(enumerate(others))),
    }


def arms(*names: str) -> dict[str, str]:
    return {name: ARMS[name] for name in names}


EXACT, SEEDS = BySize((4,), (8,)), BySize((5,), (6, 12))
REACH, BERT = "dependence", "word_of_a_bert"
NO_RESIDUAL, DIAGONAL, STREAM, MASK = "blocked, no residual", "diagonal, both blank", "query stream", "[MASK]"

EXPERIMENTS = [
    Experiment(REACH, dependence, ARMS, {"depth": (1, 2, 3)}, seeds=EXACT),
    Experiment(
        "leak", leak, arms("blocked", NO_RESIDUAL, DIAGONAL, MASK), {"depth": (1, 2)}, seeds=SEEDS,
        settings=BySize({"steps": 60}, {"steps": 200}), transfer={"width": 48},
    ),
    Experiment(
        "fill", fill, arms("blocked", MASK, STREAM), seeds=SEEDS, settings=BySize({"steps": 120}, {"steps": 350}),
        tune=Tune("learning_rate", (3e-3, 1e-2, 3e-2), "as_trained", settings=BySize({"steps": 50}, {"steps": 100})),
        transfer={"width": 48},
    ),
    Experiment(
        "text", fill, arms("blocked", MASK), seeds=SEEDS, needs_text=True,
        settings=BySize(
            {"steps": 70, "characters": 200_000, "learning_rate": 1e-2},
            {"steps": 300, "characters": 1_000_000, "learning_rate": 1e-2},
        ),
    ),
    Experiment(BERT, word_of_a_bert, ("blocked",), seeds=BySize((1,), (1,)), needs_text=True, needs_checkpoint=True),
]

CLAIMS = [
    Claim(
        "trick_would_do", difference("fill", "absent", "blocked", MASK), below(0.1), "bits",
        Bilingual("BERT could use the Transformer's trick: block the scores of the words that it is to predict",
                  "BERT 可以用 Transformer 的技巧：屏蔽待预测词的注意力 score"),
        Bilingual("Blocking the scores served as well as [MASK] here.", "这里屏蔽 score 与 [MASK] 一样好。"),
        Bilingual(
            "BERT cannot just block the scores of a word it must predict: once that word was really absent, such a net "
            "was {trick_would_do.effect:.0f} bits worse than one with [MASK].",
            "BERT 不能只屏蔽待预测词的 score：一旦这个词真的不在输入里，这样训练的网络比用 [MASK] 的差 "
            "{trick_would_do.effect:.0f} 比特。",
        ), by="folk",
    ),
    Claim(
        "hidden_from_others", every(REACH, "others_on_it", "blocked"), exactly(0), "of the influence",
        Bilingual("a blocked word is hidden from all other places, at any depth", "屏蔽后，任何深度上其他位置都看不到这个词"), kind="exact",
    ),
    Claim(
        "not_from_itself", every(REACH, "on_the_answer", "blocked"), above(0.01), "of a state's influence",
        Bilingual("it is not hidden from its own place, where it must be predicted", "但它自己的位置仍看得到它，而预测正是在这里做的"),
        Bilingual("Blocking hides it from the other places, not from its own, where it is predicted.",
                  "屏蔽只让别的位置看不到它，它自己的位置仍看得到，而预测正是在那里做的。"), kind="exact",
    ),
    Claim(
        "looks_impossible", value("fill", "as_trained", "blocked"), below(0), "bits",
        Bilingual("in training it seems better than the best possible: it copies", "训练中看上去比理论最优还好：它在抄答案"),
    ),
    Claim(
        "only_the_residual", every(REACH, "on_the_answer", NO_RESIDUAL), exactly(0), "of a state's influence",
        Bilingual("the word leaks through the residual connection alone", "泄漏只经过残差连接，去掉残差就没有泄漏"),
        Bilingual("It leaks through the residual connection alone.", "泄漏只经过残差连接。"),
        Bilingual("The residual is not the only leak: without it the word's own query betrays it.",
                  "泄漏不只经过残差：去掉残差，它自己的 query 仍会泄露。"),
        kind="exact", by="folk",
    ),
    Claim(
        "query_tells", value("leak", "leaked", NO_RESIDUAL, depth=1), above(1), "bits of 4",
        Bilingual("without the residual, over 1 bit of 4 gets through by the query", "去掉残差后，query 仍泄露 1 比特以上（共 4 比特）"),
    ),
    Claim(
        "diagonal_would_do", every(REACH, "on_the_answer", DIAGONAL, depth=2), exactly(0), "of a state's influence",
        Bilingual("with residual and query blank, blocking the diagonal alone will do (two layers)",
                  "残差和 query 都清空后，只屏蔽对角线就够了（两层）"),
        Bilingual("With both blank, blocking the diagonal was enough.", "两者都清空后，只屏蔽对角线就够了。"),
        Bilingual("With both blank, blocking only the diagonal leaks back through the neighbours at layer 2.",
                  "两者都清空而只屏蔽对角线，第 2 层起又经邻居绕回来。"),
        kind="exact", by="folk",
    ),
    Claim(
        "diagonal_at_one_layer", every(REACH, "on_the_answer", DIAGONAL, depth=1), exactly(0), "of a state's influence",
        Bilingual("in one layer it does", "只有一层时确实够"), kind="exact",
    ),
    Claim(
        "diagonal_with_depth", change("leak", "leaked", DIAGONAL, over="depth", high=2, low=1), above(1), "bits of 4",
        Bilingual("a second layer lets over 1 bit of 4 back", "加第二层就漏回 1 比特以上（共 4 比特）"),
    ),
    Claim(
        "all_routes_cut", every(REACH, "on_the_answer", MASK, "blocked, both blank"), exactly(0), "of a state's influence",
        Bilingual("[MASK] cuts all routes at every depth, as blanking residual and query and blocking the column does",
                  "[MASK] 在任何深度切断所有路径；清空残差与 query 并屏蔽整列也可以"),
        Bilingual("[MASK] in the input cuts all routes at once.", "在输入端换成 [MASK]，一次切断所有路径。"), kind="exact",
    ),
    Claim(
        "mask_is_honest", value("leak", "leaked", MASK, depth=2), near(0, 0.1), "bits of 4",
        Bilingual("with [MASK] nothing leaks in training (control)", "用 [MASK] 训练，没有泄漏（对照）"),
    ),
    Claim(
        "causal_is_safe", every(REACH, "on_the_answer", "causal, next word"), exactly(0), "of a state's influence",
        Bilingual("a causal mask is safe at any depth: what a place must name is the next word, not its own",
                  "因果 mask 在任何深度都安全：每个位置要预测的是下一个词，而不是自己"),
        Bilingual("A causal mask is safe because a place must name the next word, not its own.",
                  "因果 mask 安全，是因为每个位置要预测的是下一个词，而不是自己。"), kind="exact",
    ),
    Claim(
        "no_way_by_blocking", difference("fill", "absent", STREAM, MASK), above(0.1), "bits",
        Bilingual(
            "no way of blocking scores can replace [MASK]: even a query stream that starts from the place alone is worse "
            "by over 0.1 bits", "怎样屏蔽 score 都代替不了 [MASK]：即使 query 流只从位置出发，也要差 0.1 比特以上",
        ),
        Bilingual("A query stream that starts from the place alone was {no_way_by_blocking.effect:.2f} bits worse.",
                  "只从位置出发的 query 流差了 {no_way_by_blocking.effect:.2f} 比特。"),
        Bilingual("A query stream that starts from the place alone (XLNet's idea) can block safely "
                  "({no_way_by_blocking.effect:+.2f} bits beside [MASK]).",
                  "让 query 流只从位置出发（XLNet 的思路），就可以安全地屏蔽（与 [MASK] 相比 {no_way_by_blocking.effect:+.2f} 比特）。"), by="folk",
    ),
    Claim(
        "stream_is_clean", every(REACH, "on_the_answer", STREAM), exactly(0), "of a state's influence",
        Bilingual("such a stream, which reads bare words, is clean at any depth", "这样的 query 流只读原始词向量，任何深度都不泄漏"),
        kind="exact",
    ),
    Claim(
        "text_too", difference("text", "absent", "blocked", MASK), above(0.1), "bits",
        Bilingual("on this text too, blocking is worse by over 0.1 bits once the character is absent",
                  "在这段文本上也一样：字符真的不在时，屏蔽 score 差 0.1 比特以上"),
    ),
    Claim(
        "bert_tells", value(BERT, "read_back", "blocked", items=True), above(0.5), "share",
        Bilingual(
            "in a real BERT a word with attention_mask 0 can be read from its own place over half the time (chance 1/10)",
            "真实 BERT 中，attention_mask 为 0 的词从它自己的位置有一半以上能读出（随机 1/10）",
        ),
        Bilingual("In a real BERT, the own place of a word with attention_mask 0 told which of ten it was in "
                  "{bert_tells.effect:.0%} of cases.",
                  "真实 BERT 把某词的 attention_mask 置 0，从它自己的位置仍能以 {bert_tells.effect:.0%} 的正确率读出是十个词中的哪一个。"),
        Bilingual("In a real BERT it was read from its own place {bert_tells.effect:.0%} of the time.",
                  "真实 BERT 中从它自己的位置读出的正确率为 {bert_tells.effect:.0%}。"),
    ),
    Claim(
        "bert_others_are_still", value(BERT, "others_move", "blocked", items=True), near(0, 1e-5), "",
        Bilingual("while the other places do not move", "而其他位置丝毫不变"),
    ),
]

LABELS = {
    "blocked": Bilingual("scores blocked", "屏蔽 score"), NO_RESIDUAL: Bilingual("blocked, no residual", "屏蔽，去残差"),
    DIAGONAL: Bilingual("diagonal, rest blank", "只屏蔽对角线，其余清空"), MASK: same("[MASK]"),
    STREAM: Bilingual("query stream", "query 流"), "1": Bilingual("one layer", "一层"), "2": Bilingual("two layers", "两层"),
    "as_trained": Bilingual("as training sees it", "训练时所见"), "absent": Bilingual("word really absent", "词真的不在"),
}

FIGURES = [
    View(
        "leak", "bars", "leak", ("leaked",), Axis("arm", same("")),
        Axis("value", Bilingual("bits of the hidden word that get through", "被遮的词泄漏的比特数")),
        Bilingual("How much of a hidden word its own place still knows", "被遮的词，自己的位置还知道多少"),
        Bilingual("Fair dice: without the word nobody can know anything.", "词均匀随机：看不到它就不可能知道任何信息。"),
        colour="depth", labels=LABELS, rules={4.0: Bilingual("all", "全部"), 0.0: Bilingual("honest", "诚实")},
    ),
    View(
        "fill", "bars", "fill", ("as_trained", "absent"), Axis("arm", same("")),
        Axis("value", Bilingual("bits above the best possible", "高出理论最优的比特数")),
        Bilingual("A hole filled in training, and with the word really absent", "填空：训练时，以及词真的不在时"),
        Bilingual("A Markov language whose optimum is known; below 0 is copying.", "最优值已知的马尔可夫语言；低于 0 就是在抄。"),
        colour="measure", labels=LABELS, rules={0.0: Bilingual("optimum", "最优")},
    ),
]

QUESTION = Question(
    number=7, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "Blocking a column of the score matrix keeps a word's key and value from all queries. But BERT predicts word i at "
        "place i, and that place holds the word in three more ways: its residual, its own query, which decides whom it "
        "looks at, and, from layer 2 on, whatever neighbours that saw it pass back. The Transformer's masks never meet "
        "this: a pad is not scored, and a causal row names the next word, so that what is visible stays visible-only "
        "under composition (j ≤ i of j ≤ i is j ≤ i).\n\n"
        "Replacing the word in the input by [MASK] cuts all of it in one pass for all layers. The price: a symbol that "
        "fine-tuning never shows. XLNet pays otherwise: a second stream of queries that start from the place alone.",
        "屏蔽 score 矩阵的一列，只是让所有 query 都取不到这个词的 key 和 value。但 BERT 在位置 i 预测词 i，而该位置还以三种方式带着它："
        "残差；它自己的 query（决定它看谁）；从第 2 层起，看过它的邻居还会把它传回来。Transformer 的 mask 碰不到这个问题："
        "pad 不计损失，因果行预测的是下一个词，而且“不晚于”经过多层复合仍是“不晚于”。\n\n"
        "在输入端换成 [MASK]，一遍前向就在所有层切断这一切。代价是微调时不会出现的符号。XLNet 付的是另一种代价：再开一条只从位置出发的 query 流。",
    ),
    formula="h_i = x_i + Σ_{j≠i} softmax_j(q(x_i)·k(x_j)) v(x_j):  x_i is in the residual and in q, though j = i is blocked",
    held_equal=Bilingual(
        "One small attention net (width 32, two layers unless said) in every arm, one hidden word a row, equal steps, "
        "batches and parameters, paired seeds; on the Markov language a learning rate for each arm from the same sweep. "
        "'Absent' replaces the hidden word by one at random. Bits that leak depend on the training; the exact zeros do "
        "not. A small net at a short budget: which of [MASK] and the query stream is better at scale is not said.",
        "各组是同一个小注意力网络（宽 32，未注明时两层），每行遮一个词，步数、批次、参数量相同，种子配对；"
        "马尔可夫语言上每组由同一扫描各自选学习率。“真的不在”指把被遮的词换成随机词。泄漏的比特数取决于训练，严格为 0 的结论则不取决于训练。"
        "小网络、短训练：大规模下 [MASK] 与 query 流孰优，这里不作结论。",
    ),
    sources=[
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805"),
        Source("Yang et al.", 2019, "XLNet: Generalized Autoregressive Pretraining", "arXiv:1906.08237, section 2.3"),
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, section 3.2.3"),
    ],
)
