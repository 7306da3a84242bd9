"""What is the difference between a language model (LM) and a masked language model (MLM)?

语言模型（LM）和掩码语言模型（MLM）有什么区别？
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, title_of
from clearhead.evaluation.probes import influence
from clearhead.experiments.claims import Claim, above, difference, every, exactly, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.models import transformer_decoder, transformer_encoder
from clearhead.models.states import States
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.synthetic import HiddenMarkovLanguage, MarkovLanguage, hidden_markov_language
from clearhead.text.tokenizers import Vocabulary
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

LM, MLM = "LM", "MLM"
SPARSE, SHORT = "LM, loss on 15 %", "LM, 15 % of the steps"
MASKED, LENGTH, SYMBOLS = 0.15, 12, 12
Predictor = Callable[[Tensor, Tensor], Tensor]  # tokens (B, n), where they are hidden (B, n) -> log p (B, n, V)


class Net(nn.Module):
    """Two layers over seven places each: the seven up to a token's own (LM), or three on each side of it (MLM)."""

    def __init__(self, arm: str, symbols: int, width: int = 32) -> None:
        super().__init__()
        self.left_only = arm != MLM
        self.extra = symbols  # begins the sentence (LM), or stands for a hidden token (MLM)
        self.embedding = nn.Embedding(symbols + 1, width)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 7) for _ in range(2))
        self.head = nn.Linear(width, symbols)

    def states(self, tokens: Tensor, hidden: Tensor) -> list[Tensor]:
        """Each layer's states (B, n, D); an LM's have one place more, before the first token."""
        begun = torch.cat([torch.full_like(tokens[:, :1], self.extra), tokens], 1)
        ids = begun if self.left_only else tokens.masked_fill(hidden, self.extra)
        found = [self.embedding(ids)]
        for layer in self.layers:
            padded = F.pad(found[-1].transpose(1, 2), (6, 0) if self.left_only else (3, 3))
            found.append(found[-1] + F.gelu(layer(padded)).transpose(1, 2))
        return found

    def forward(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        log_p: Tensor = self.head(self.states(tokens, hidden)[-1][:, : tokens.shape[1]]).log_softmax(-1)
        return log_p

    def features(self, tokens: Tensor) -> Tensor:
        """All layers' states of every token, once it has been read: (B, n, F)."""
        return torch.cat(self.states(tokens, torch.zeros_like(tokens, dtype=torch.bool)), -1)[:, -tokens.shape[1] :]


def best(language: HiddenMarkovLanguage, left_only: bool) -> Predictor:
    """What a perfect model says: forward and backward over the hidden states, hidden tokens left out."""
    start, moves, writes = (torch.from_numpy(x) for x in (language.start, language.transitions, language.emissions))

    def log_p(tokens: Tensor, hidden: Tensor) -> Tensor:
        seen = torch.where(hidden[..., None] & (not left_only), 1.0, writes.T[tokens])  # P(token | state), (B, n, K)
        before, after = [start.expand(len(tokens), -1)], [torch.ones_like(seen[:, 0])]
        for place in range(tokens.shape[1] - 1):
            before.append((before[-1] * seen[:, place]) @ moves)
            after.append((after[-1] * seen[:, -1 - place]) @ moves.T)
        states = torch.stack(before, 1) * (1.0 if left_only else torch.stack(after[::-1], 1))
        return ((states / states.sum(-1, keepdim=True)) @ writes).log()

    return log_p


def opened(predict: Predictor, tokens: Tensor, order: Tensor, passes: int) -> Tensor:
    """log q of whole sentences (B,), their places opened in this order, so many at a time that `passes` suffice."""
    hidden, total = torch.ones_like(tokens, dtype=torch.bool), torch.zeros(len(tokens), dtype=torch.float64)
    for places in order.chunk(passes):
        chosen = predict(tokens, hidden)[:, places].gather(2, tokens[:, places, None])
        total += chosen.sum((1, 2))
        hidden[:, places] = False
    return total


def one_hidden(tokens: Tensor, place: int) -> Tensor:
    return (torch.arange(tokens.shape[1]) == place).expand_as(tokens)


def sees(arm: str, seed: int, place: int = 3, length: int = 6) -> Measured:
    """How much an untrained Transformer's state that predicts token 3 depends on those left and right, in float64."""
    torch.manual_seed(seed)
    make = transformer_decoder if arm == LM else transformer_encoder
    spec = make.Spec(hidden_size=16, initializer_range=0.3, fused=False)
    model = make.build(spec, Inventory(Vocabulary(length + 1), length)).double()
    ids = torch.arange(length)
    if arm == MLM:
        ids[place] = length  # [MASK]
    layout = Layout(torch.tensor([length]), length, packed=True)

    def state(embeddings: Tensor) -> Tensor:
        weights = {"token_embedding.weight": embeddings}
        states: States = torch.func.functional_call(model, weights, (Batch(ids, layout),))
        return states.hidden[place - 1 if arm == LM else place, None]

    depends = influence(state, model.token_embedding.weight)[0, :length]
    sides = {"left": depends[:place], "itself": depends[place], "right": depends[place + 1 :]}
    return {side: (part.sum() / depends.sum()).item() for side, part in sides.items()}


def sums(arm: str, seed: int, symbols: int = 3, length: int = 4) -> Measured:
    """What the probabilities of all 81 sentences sum to: places one after another, and each from all others."""
    torch.manual_seed(seed)
    chain_of = MarkovLanguage(1, symbols, concentration=0.5, seed=seed)
    language = HiddenMarkovLanguage(chain_of.stationary, chain_of.transitions, np.eye(symbols))
    predict = best(language, left_only=False) if arm == "the truth" else Net(arm, symbols, 16).double()
    tokens = torch.tensor(list(itertools.product(range(symbols), repeat=length)))
    order = torch.arange(length) if arm == LM else torch.randperm(length)
    with torch.no_grad():
        chain = opened(predict, tokens, order, 1 if arm == LM else length)
        one_pass = opened(predict, tokens, order, 1)
        each = sum((predict(tokens, one_hidden(tokens, k))[:, k].gather(1, tokens[:, k, None])[:, 0]
                    for k in range(length)), torch.zeros(len(tokens)))
    p = chain.exp()
    return {
        "chain": p.sum().item(), "pseudo": each.exp().sum().item(),
        "nats_saved": (p * (each - chain)).sum().item() / length,
        "one_pass_costs": (p * (chain - one_pass)).sum().item() / length,
    }


def learned(
    arm: str, seed: int, learning_rate: float, steps: int, queries: int, width: int = 32, symbols: int = SYMBOLS
) -> Measured:
    """A small net on a language whose best predictions are known: what it lacks of them, in nats a token."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    language = hidden_markov_language(4, symbols)
    net = Net(arm, symbols, width)
    steps = max(1, round(MASKED * steps)) if arm == SHORT else steps
    texts = iter(torch.split(torch.from_numpy(language.sample(rng, 32 * steps, LENGTH)[1]), 32))
    optimizer = torch.optim.Adam(net.parameters(), learning_rate, fused=True)

    def loss() -> Tensor:
        tokens = next(texts)
        drawn = torch.rand(tokens.shape) < MASKED
        asked = drawn if arm in (MLM, SPARSE) else torch.ones_like(drawn)
        return F.nll_loss(net(tokens, drawn)[asked], tokens[asked])

    descend(optimizer, loss, steps, schedule="linear", warmup=0.1, clip=1.0)
    states, tokens = (torch.from_numpy(x) for x in language.sample(rng, queries, LENGTH))
    with torch.no_grad():
        return {**against_the_best(net, language, tokens), "tags": tags(net, language, states, tokens)}


def against_the_best(net: Net, language: HiddenMarkovLanguage, tokens: Tensor) -> dict[str, float | Along]:
    """The excess over the best model: on its own task, on one hole, and on whole sentences in some number of passes."""
    both = best(language, left_only=False)
    hidden = torch.rand(tokens.shape) < MASKED
    hidden[:, 0] |= ~hidden.any()
    asked = torch.ones_like(hidden) if net.left_only else hidden
    own = kl(best(language, net.left_only)(tokens, hidden), net(tokens, hidden))[asked].mean()

    middle = LENGTH // 2
    hole = one_hidden(tokens, middle)
    truth, order, n = both(tokens, hole)[:, middle], torch.randperm(LENGTH), torch.arange(LENGTH)
    candidates = tokens.repeat_interleave(net.extra, 0)
    candidates[:, middle] = torch.arange(net.extra).repeat(len(tokens))
    whole = opened(both, tokens, n, LENGTH)
    filled = kl(truth, net(tokens, hole)[:, middle]).mean().item()
    found: dict[str, float | Along] = {"excess": own.item(), "hole": filled}
    if net.left_only:
        scored = opened(net, candidates, n, 1).view(-1, net.extra).log_softmax(-1)
        return found | {"hole_by_bayes": kl(truth, scored).mean().item(),
                        "whole": (whole - opened(net, tokens, n, 1)).mean().item() / LENGTH}
    models: dict[str, Predictor] = {"in_passes": net, "best_in_passes": both}
    for name, model in models.items():
        costs = [(whole - opened(model, tokens, order, k)).mean().item() / LENGTH for k in (1, 3, LENGTH)]
        found[name] = Along("passes", dict(zip((1, 3, LENGTH), costs, strict=True)))
    return found | {"whole": (whole - opened(net, tokens, order, LENGTH)).mean().item() / LENGTH}


def kl(truth: Tensor, said: Tensor) -> Tensor:
    """KL(truth || said) over the last axis of log-probabilities."""
    return (truth.exp() * (truth - said)).sum(-1)


def tags(net: Net, language: HiddenMarkovLanguage, states: Tensor, tokens: Tensor) -> float:
    """The share of hidden states that a ridge regression reads off the frozen net."""
    half = len(tokens) // 2
    x, y = net.features(tokens).double(), F.one_hot(states, len(language.start)).double()
    x = torch.cat([x, torch.ones_like(x[..., :1])], -1)
    a, b = x[:half].flatten(0, 1), y[:half].flatten(0, 1)
    weights = torch.linalg.solve(a.T @ a + torch.eye(a.shape[1], dtype=a.dtype), a.T @ b)
    return float((x[half:] @ weights).argmax(-1).eq(states[half:]).double().mean())


def on_the_text(arm: str, seed: int, learning_rate: float, steps: int, corpus: Corpus, characters: int) -> Measured:
    """Bits a character of held-out text, guessed by one small net from eight characters: left, or four each side."""
    torch.manual_seed(seed)
    windows = character_windows(corpus, 9, characters=characters)
    asked = 8 if arm == LM else 4
    around = [place for place in range(9) if place != asked]
    train, held = (torch.from_numpy(part) for part in (windows.train, windows.held_out))
    held = held[:: max(1, len(held) // 4000)]
    n = windows.symbols
    net = nn.Sequential(nn.Embedding(n, 16), nn.Flatten(), nn.Linear(128, 96), nn.ReLU(), nn.Linear(96, n))
    optimizer = torch.optim.Adam(net.parameters(), learning_rate, fused=True)

    def bits(rows: Tensor) -> Tensor:
        return F.cross_entropy(net(rows[:, around]), rows[:, asked]) / math.log(2)

    descend(optimizer, lambda: bits(train[torch.randint(len(train), (128,))]), steps, schedule="linear", warmup=0.1)
    with torch.no_grad():
        return {"bits": bits(held).item()}


SHORTER = ({"steps": 100, "queries": 100}, {"steps": 300, "queries": 300})
EXACT, SEEDS = BySize((4,), (8,)), BySize((5,), (6, 12))
EXPERIMENTS = [
    Experiment("sees", sees, (LM, MLM), seeds=EXACT),
    Experiment("sums", sums, (LM, MLM, "the truth"), seeds=EXACT),
    Experiment(
        "learned", learned, (LM, SPARSE, SHORT, MLM), {}, SEEDS,
        BySize({"steps": 250, "queries": 300}, {"steps": 600, "queries": 600}),
        tune=Tune("learning_rate", (5e-3, 1e-2, 2e-2, 4e-2, 8e-2), "excess", settings=BySize(*SHORTER)),
        transfer={"symbols": 20},
    ),
    Experiment(
        "on_the_text", on_the_text, (LM, MLM), seeds=SEEDS, needs_text=True,
        settings=BySize({"steps": 500, "characters": 300_000}, {"steps": 1500, "characters": 500_000}),
        tune=Tune("learning_rate", (1e-3, 3e-3, 1e-2, 3e-2, 0.1), "bits",
                  settings=BySize({"steps": 150, "characters": 300_000}, {"steps": 500, "characters": 500_000})),
    ),
]

CLAIMS = [
    Claim(
        "lm_is_blind", every("sees", "right", LM), exactly(0, 0), "share",
        Bilingual("an LM's prediction of a token does not depend on the tokens to its right", "LM 预测一个词时，完全不依赖它右边的词"),
        Bilingual(
            "An LM predicts every token from its left (influence of the right exactly 0), an MLM hidden tokens from "
            "both sides.",
            "LM 用左边预测每个词（右侧的影响恰为 0）；MLM 用两侧预测被遮住的词。",
        ), kind="exact",
    ),
    Claim(
        "mlm_is_not", every("sees", "right", MLM), above(0.01), "share",
        Bilingual("an MLM's prediction depends on both sides", "MLM 的预测依赖两侧"), kind="exact",
    ),
    Claim(
        "lm_sums_to_one", every("sums", "chain", LM), exactly(1, 1e-9), "",
        Bilingual("an LM's probabilities of all sentences sum to one", "LM 给所有句子的概率之和为 1"), kind="exact",
    ),
    Claim(
        "pseudo_is_none", every("sums", "pseudo", "the truth"), above(1.001), "",
        Bilingual(
            "each token's probability given all others, multiplied, is no probability: the true ones sum to over 1",
            "把每个词在其余词给定下的概率相乘，得到的不是概率：真值的总和大于 1",
        ), kind="exact",
    ),
    Claim(
        "pseudo_is_lower", every("sums", "nats_saved", "the truth"), above(1e-4), "nats a token",
        Bilingual("by pseudo-perplexity the very same language scores lower", "同一个语言，用伪困惑度算出来更低"),
        Bilingual(
            "An LM's product is a probability; an MLM's pseudo-likelihood is none: the same language scores better by it.",
            "LM 的连乘是概率；MLM 的伪似然不是：同一个语言用它打分会更好看。",
        ), kind="exact",
    ),
    Claim(
        "as_if_independent", every("sums", "one_pass_costs", "the truth"), above(1e-4), "nats a token",
        Bilingual(
            "tokens hidden together are predicted as if independent, which costs even a perfect model",
            "一起被遮住的词按相互独立来预测，即使完美模型也有损失",
        ), kind="exact",
    ),
    Claim(
        "as_slow_as_its_share", difference("learned", "excess", SPARSE, SHORT), above(0), "nats a token",
        Bilingual(
            "learning from 15 % of the tokens is 6.7 times slower: no better than all tokens for 15 % of the steps",
            "只从 15% 的词学习就慢 6.7 倍：不比用全部词、走 15% 的步数更好",
        ),
        Bilingual(
            "Asking only 15 % of the tokens was as slow as 15 % of the steps, or slower.", "只问 15% 的词，和只走 15% 的步数一样慢，甚至更慢。"
        ),
        Bilingual("Asking only 15 % of the tokens did not make an LM 6.7 times slower.", "只问 15% 的词，并没有让 LM 学得慢 6.7 倍。"),
        by="folk",
    ),
    Claim(
        "fewer_signals_cost", difference("learned", "excess", SPARSE, LM), above(0), "nats a token",
        Bilingual("after equal steps an LM asked 15 % of the tokens is behind one asked all", "步数相同时，只问 15% 的词的 LM 落后于问全部的"),
    ),
    Claim(
        "two_sides_cost", difference("learned", "excess", MLM, SPARSE), above(0), "nats a token",
        Bilingual(
            "asked equally many tokens, an MLM is further from its own optimum than an LM: both sides are harder",
            "问同样多的词，MLM 离自己的最优更远：两侧预测更难",
        ),
        Bilingual(
            "Asked equally many tokens, the MLM stayed {two_sides_cost.effect:.3f} nats further from its optimum.",
            "问同样多的词，MLM 离自己的最优比 LM 远 {two_sides_cost.effect:.3f} nat。",
        ),
    ),
    Claim(
        "mlm_cannot_write", value("learned", "whole", MLM), above(0.1), "nats a token",
        Bilingual(
            "an MLM cannot generate: opened one by one, it is over 0.1 nats a token from the optimum",
            "MLM 不能生成：逐个填空时，每词离最优差 0.1 nat 以上",
        ),
        Bilingual("As a generator the MLM was {mlm_cannot_write.effect:.2f} nats a token off.", "用于生成，MLM 每词差 {mlm_cannot_write.effect:.2f} nat。"),
        Bilingual(
            "An MLM can generate, one place at a time ({mlm_cannot_write.effect:.2f} nats off).",
            "MLM 也能生成：逐个位置填（每词离最优 {mlm_cannot_write.effect:.2f} nat）。",
        ), by="folk",
    ),
    Claim(
        "lm_cannot_fill", value("learned", "hole_by_bayes", LM), above(0.1), "nats",
        Bilingual(
            "an LM cannot use what is to the right: filling a hole it stays over 0.1 nats from the optimum",
            "LM 用不上右边：填空时离最优差 0.1 nat 以上",
        ),
        Bilingual("An LM stayed {lm_cannot_fill.effect:.2f} nats off in filling a hole.", "LM 填空时差 {lm_cannot_fill.effect:.2f} nat。"),
        Bilingual(
            "An LM can fill holes, at a pass a candidate ({lm_cannot_fill.effect:.2f} nats off).",
            "LM 能填空：对每个候选词给整句打分（差 {lm_cannot_fill.effect:.2f} nat）。",
        ), by="folk",
    ),
    Claim(
        "better_features", difference("learned", "tags", MLM, LM), above(0), "accuracy",
        Bilingual(
            "where tags depend on both sides, a tagger reads more off a frozen MLM than off a frozen LM",
            "当标签取决于两侧时，从冻结的 MLM 读出的标签比 LM 更准",
        ),
        Bilingual(
            "Where tags depend on both sides, the MLM's frozen states gave {better_features.effect:.2f} more accuracy.",
            "当标签取决于两侧时，MLM 的冻结状态让正确率高 {better_features.effect:.2f}。",
        ),
        Bilingual("The MLM's frozen states gave a tagger no more than the LM's.", "MLM 的冻结状态对标注并不比 LM 更好。"), by="paper",
    ),
    Claim(
        "two_sides_of_the_text", difference("on_the_text", "bits", LM, MLM), above(0.1), "bits",
        Bilingual(
            "on this text, four characters on each side save over 0.1 bits a character against eight to the left",
            "在这段文本上，左右各四字比左边八字每字省 0.1 比特以上",
        ),
        Bilingual(
            "On this text, four characters on each side beat eight to the left by {two_sides_of_the_text.effect:.1f} bits.",
            "在这段文本上，用左右各四字猜一个字，比用左边八字省 {two_sides_of_the_text.effect:.1f} 比特。",
        ),
        Bilingual(
            "On this text, four characters on each side saved no 0.1 bits against eight to the left.",
            "在这段文本上，左右各四字并不比左边八字省 0.1 比特。",
        ),
    ),
]

LABELS = {
    "in_passes": Bilingual("MLM, trained", "MLM（训练后）"), "best_in_passes": Bilingual("a perfect MLM", "完美的 MLM"),
}

FIGURES = [
    View(
        "passes", "lines", "learned", ("in_passes", "best_in_passes"),
        Axis("passes", Bilingual("passes for a sentence of 12 tokens", "写 12 个词的句子所用的遍数"), log=True),
        Axis("value", Bilingual("nats a token above the true language", "每词比真实语言多的 nat")),
        Bilingual("What an MLM pays for opening many places at once", "MLM 一次填多个空的代价"),
        Bilingual(
            "Places opened together are drawn as if independent; an LM writes one token a pass by nature.",
            "同一遍填的空按独立处理；LM 天然是一遍一个词。",
        ),
        colour="measure", labels=LABELS, arms=(MLM,),
    ),
]

QUESTION = Question(
    number=25, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "An LM factors the sentence from left to right, so every token is a training signal, the product of its "
        "predictions is a probability, and it can write. No state may see its own future. An MLM hides some tokens "
        "(15 % in BERT) and predicts only those, each from everything that is not hidden, so its states may read both "
        "sides.\n\n"
        "The price: fewer signals a step, a harder task, and predictions that may each be right but are no joint "
        "probability. Opening the places one after another repairs this, at a pass a token; Bayes' rule lets an LM use "
        "the right side, at a pass a candidate.",
        "LM 从左到右分解句子，所以每个词都是训练信号，预测的连乘就是概率，也能写句子；但任何状态都不能看到自己的未来。"
        "MLM 遮住一部分词（BERT 为 15%），只预测这些词，每个词都可用未遮住的一切，所以状态可以读两侧。\n\n"
        "代价是：每步信号少、任务更难；各个预测即使单独都对，也不是联合概率。"
        "逐个位置填空可以补救，每词一遍；LM 则可用贝叶斯公式利用右侧，每个候选一遍。",
    ),
    formula="LM: p(x) = Π p(xₜ | x₁…xₜ₋₁)\nMLM: p(xₘ | the rest) for hidden m;   Π p(xₜ | all others) ≠ p(x)",
    held_equal=Bilingual(
        "A language of hidden states (4 states, 12 symbols, 12 tokens a sentence) whose best predictions are computed; "
        "two convolutional layers of equal size for LM and MLM, equal steps of 32 new sentences, paired seeds, a step "
        "size for each arm from the same sweep. Losses are not compared, only what each lacks of its own optimum. On "
        "the text: one small net, eight characters. Influence: untrained Transformers, float64. Small nets, short "
        "training: BERT's gain on real tasks is not tested here.",
        "一个隐状态语言（4 个状态，12 个符号，每句 12 词），最优预测可以算出；LM 与 MLM 都是同样大小的两层卷积网，"
        "步数相同，每步 32 个新句子，种子配对，各自在同一扫描中选学习率。不直接比较损失，只比较各自离自己最优的差距。"
        "文本部分：同一个小网络，都看八个字符。影响一项用未训练的 Transformer（float64）。网络小、训练短：这里没有检验 BERT 在真实任务上的收益。",
    ),
    sources=[
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805"),
        Source("Yang et al.", 2019, "XLNet: Generalized Autoregressive Pretraining", "arXiv:1906.08237"),
        Source("Salazar et al.", 2019, "Masked Language Model Scoring", "arXiv:1910.14659"),
    ],
)
