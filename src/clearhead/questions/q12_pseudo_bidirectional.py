"""Why is ELMo called pseudo-bidirectional and BERT truly so, and where does the difference come from?

为什么说 ELMo 是伪双向，BERT 是真双向？差异从何而来？
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch, collate
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.evaluation.metrics import held_out
from clearhead.evaluation.probes import mixed_derivative
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured, Scalar
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.finding import Found, opened
from clearhead.models import elmo, transformer_encoder
from clearhead.models.elmo import Elmo
from clearhead.models.states import States
from clearhead.models.transformer import Transformer
from clearhead.objectives import bidirectional_lm
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.marked import marked_sentences
from clearhead.text.synthetic import modular_hole
from clearhead.text.tokenizers import Vocabulary
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend
from clearhead.training.loop import fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

ARMS = ("LSTM, apart", "LSTM, both", "attention, apart", "attention, both")
WIDTH, MODULUS = 32, 8
SYMBOLS, BLOCK = 48, 400


def trunk(arm: str, vocabulary: int, width: int = WIDTH) -> Elmo | Transformer:
    """Two layers that read apart (ELMo's way) or both sides at once: a deep bidirectional LSTM, BERT's encoder."""
    if arm == "attention, both":
        spec = transformer_encoder.Spec(hidden_size=width, norm_place="post", fused=False, initializer_range=0.2)
        return transformer_encoder.build(spec, Inventory(Vocabulary(vocabulary), 16))
    cell, way = arm.split(", ")
    directions = {"apart": "apart", "both": "mixed"}[way]
    reading = elmo.Spec.model_validate(
        {"hidden_size": width, "cell": cell.lower(), "directions": directions, "fused": False}
    )
    return elmo.build(reading, Inventory(Vocabulary(vocabulary), 16))


def interaction(arm: str, seed: int, layer: int) -> Measured:
    """The largest second derivative of a middle state by a left and a right word, in float64, untrained."""
    torch.manual_seed(seed)
    model = trunk(arm, 5).double()
    model.eval()
    words = model.get_parameter("token_embedding.weight").detach().clone()
    batch = collate([torch.arange(5)], packed=True)
    direction = torch.randn(model.width, dtype=torch.float64)

    def state(left: Tensor, right: Tensor) -> Tensor:
        weight = torch.cat([left[None], words[1:4], right[None]])
        states: States = torch.func.functional_call(model, {"token_embedding.weight": weight}, (batch,))
        return states.layers[layer][2] @ direction

    return {"mixed_derivative": mixed_derivative(state, words[0], words[4]).abs().max().item()}


def hole(arm: str, seed: int, learning_rate: float, steps: int, head: str = "linear", width: int = WIDTH) -> Measured:
    """Bits to fill l2 l1 [hole] r1 r2 where hole = (l1 + r1) mod 8: no sum of a left and a right guess beats 3."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = trunk(arm, MODULUS + 1, width)
    width = model.width
    hidden = [nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, MODULUS)]
    readout = nn.Linear(width, MODULUS) if head == "linear" else nn.Sequential(*hidden)
    parameters = [*model.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, learning_rate, fused=True)

    def loss_on(count: int) -> tuple[Tensor, Tensor]:
        inputs, answers = (torch.from_numpy(x) for x in modular_hole(rng, count, modulus=MODULUS))
        states = model(collate(list(inputs), packed=True)).hidden.view(count, 5, width)[:, 2]
        logits, answer = readout(states), answers.flatten()
        return F.cross_entropy(logits, answer) / math.log(2), logits.argmax(-1).eq(answer).float().mean()

    descend(optimizer, lambda: loss_on(64)[0], steps, schedule="linear", warmup=0.1, clip=1.0)
    with torch.no_grad():
        loss, right = loss_on(2000)
    return {"bits": loss.item(), "accuracy": right.item(), "parameters": float(sum(p.numel() for p in parameters))}


def language_model(arm: str, seed: int, steps: int, width: int = WIDTH) -> Measured:
    """Bits a token of a two-way language model on fair dice: an honest one needs 3, one that sees its answer fewer."""
    torch.manual_seed(seed)
    model = trunk(arm, MODULUS, width)
    objective = bidirectional_lm.build(bidirectional_lm.Spec(), model, Inventory(Vocabulary(MODULUS), 16))
    rng = np.random.default_rng(seed)

    def batches() -> Iterator[Batch]:
        while True:
            yield collate(list(rng.integers(0, MODULUS, (32, 8))), packed=True)

    task, dice = Task(model, objective), batches()
    for _ in fit(task, dice, TrainingSpec(steps=steps, learning_rate=1e-2), seed=seed):
        pass
    return {"bits": held_out(task, [next(dice) for _ in range(20)], seed=0).mean / math.log(2)}


def one_character_each_side(arm: str, seed: int, corpus: Corpus, characters: int) -> Measured:
    """Bits to guess a character of held-out text from its two neighbours, a mean for each block of 400 guesses.

    left, right: one side alone; multiplied: two language models, p(m|l) p(m|r) / p(m); additive: the best model whose
    logits are f(l) + g(r), to its convex optimum; joint: the table of both sides, resting on the additive model.
    """
    windows = character_windows(corpus, 3, symbols=SYMBOLS + 1, characters=characters)
    train, held = (part[:, [0, 2, 1]] for part in (windows.train, windows.held_out))
    counts = torch.zeros((SYMBOLS + 1,) * 3, dtype=torch.float64)  # left, right, middle
    places, asked = (torch.from_numpy(triples).unbind(1) for triples in (train, held))
    counts.index_put_(places, torch.ones((), dtype=torch.float64), accumulate=True)
    bits = -_model(arm, counts)[asked].numpy() / math.log(2)
    whole = bits[: len(bits) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(1)
    return {"bits": Along("block", dict(enumerate(whole.tolist())))}


def _model(arm: str, counts: Tensor) -> Tensor:
    """log p(middle | left, right) (V, V, V), by maximum likelihood with half a count of smoothing."""
    if arm in {"left", "right", "multiplied"}:
        left, right = ((counts.sum(side) + 0.5) / (counts.sum(side) + 0.5).sum(-1, True) for side in (1, 0))
        alone = (counts.sum((0, 1)) + 0.5) / (counts.sum((0, 1)) + 0.5).sum()
        both = {"left": left[:, None].log(), "right": right[None].log()}
        product = left[:, None].log() + right[None].log() - alone.log()
        return both.get(arm, product.log_softmax(-1)).expand_as(counts)
    additive = _additive(counts)
    if arm == "additive":
        return additive
    prior = 8.0
    return ((counts + prior * additive.exp()) / (counts.sum(-1, True) + prior)).log()


def _additive(counts: Tensor) -> Tensor:
    f, g = (torch.zeros(counts.shape[1:], dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.LBFGS([f, g], max_iter=200, history_size=20, line_search_fn="strong_wolfe")

    def negative_log_likelihood() -> Tensor:
        optimizer.zero_grad()
        log_p = (f[:, None] + g[None]).log_softmax(-1)
        loss = -(counts * log_p).sum() / counts.sum() + 1e-5 * (f.square().sum() + g.square().sum()) / len(f)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(negative_log_likelihood)  # type: ignore[no-untyped-call]
    return (f[:, None] + g[None]).log_softmax(-1).detach()


def swapped_words(arm: str, seed: int, corpus: Corpus, checkpoint: Found) -> Measured:
    """In a real BERT, how far a middle word's state is from a sum of what its left and its right word do, a number a
    sentence: |f(l, r) - f(l, r') - f(l', r) + f(l', r')| over |f(l, r) - f(l', r')|, the words from other sentences."""
    model, tokenizer = opened(checkpoint)
    rows = marked_sentences(corpus, tokenizer, 40, shortest=9, longest=24)
    found: dict[Scalar, float] = {}
    for number, row in enumerate(rows):
        other = rows[(number + 1) % len(rows)]
        middle = len(row) // 2
        variants = np.tile(row, (4, 1))
        variants[2:, middle - 1] = other[2]
        variants[1::2, middle + 1] = other[4]
        with torch.no_grad():
            states = model(collate(list(torch.from_numpy(variants)), packed=True)).hidden
        f = states.view(4, len(row), -1)[:, middle]
        whole = (f[0] - f[3]).norm()
        if whole > 0:
            found[number] = float((f[0] - f[1] - f[2] + f[3]).norm() / whole)
    return {"interaction": Along("sentence", found)}


TEXT = "one_character_each_side"
SEEDS = BySize((3, 6), (6, 12))
HALF = BySize({"steps": 100}, {"steps": 500})

EXPERIMENTS = [
    Experiment("interaction", interaction, ARMS, {"layer": (1, 2)}, seeds=BySize((10,), (20,))),
    Experiment(
        "hole", hole, ARMS, seeds=SEEDS, transfer={"width": 48}, settings=BySize({"steps": 200}, {"steps": 1000}),
        tune=Tune("learning_rate", (5e-3, 1e-2), "bits", settings=HALF),
    ),
    Experiment(
        "nonlinear_head", hole, ("attention, apart",), seeds=BySize((3,), (6, 12)), transfer={"width": 48},
        settings=BySize({"steps": 250, "head": "nonlinear"}, {"steps": 1000, "head": "nonlinear"}),
        tune=Tune("learning_rate", (2.5e-3, 5e-3), "bits", settings=HALF),
    ),
    Experiment(
        "language_model", language_model, ("LSTM, apart", "LSTM, both", "attention, both"), seeds=SEEDS,
        transfer={"width": 48},
        settings=BySize({"steps": 80}, {"steps": 400}),
    ),
    Experiment(
        "swapped_words", swapped_words, ("BERT",), seeds=BySize((1,), (1,)), needs_text=True, needs_checkpoint=True,
    ),
    Experiment(
        TEXT, one_character_each_side, ("left", "right", "multiplied", "additive", "joint"), seeds=BySize((1,), (1,)),
        settings=BySize({"characters": 500_000}, {"characters": 2_000_000}), needs_text=True,
    ),
]

CLAIMS = [
    Claim(
        "apart_never_interacts", every("interaction", "mixed_derivative", "LSTM, apart", "attention, apart"),
        exactly(0), "",
        Bilingual(
            "in ELMo's way of reading, left and right never interact, at any layer",
            "按 ELMo 的读法，左右两侧在任何一层都不交互",
        ),
        Bilingual(
            "ELMo joins a state that has read the left with one that has read the right: inside it the two never "
            "interact (the mixed second derivative is exactly 0 at both layers).",
            "ELMo 把只读过左边的状态与只读过右边的状态拼接：内部左右从不交互（两层的混合二阶导都恰为 0）。",
        ),
        Bilingual("Left and right did interact in ELMo's reading here.", "这里 ELMo 的读法中左右有交互。"),
        kind="exact",
    ),
    Claim(
        "bert_interacts_at_once", every("interaction", "mixed_derivative", "attention, both", layer=1), above(1e-9), "",
        Bilingual("in BERT's encoder left and right interact from layer 1 on", "在 BERT 的编码器中，左右从第 1 层起就交互"),
        Bilingual("In BERT's encoder they interact from layer 1 on.", "在 BERT 的编码器中，从第 1 层起就交互。"),
        kind="exact",
    ),
    Claim(
        "deep_lstm_from_layer_two", every("interaction", "mixed_derivative", "LSTM, both", layer=2), above(1e-9), "",
        Bilingual("in a deep bidirectional LSTM they interact at layer 2", "深层双向 LSTM 的左右在第 2 层交互"), kind="exact",
    ),
    Claim(
        "first_layer_is_joined", every("interaction", "mixed_derivative", "LSTM, both", layer=1), exactly(0), "",
        Bilingual("its first layer is itself a mere concatenation", "它的第 1 层本身只是拼接"), kind="exact",
    ),
    Claim(
        "elmo_is_blind", value("hole", "bits", "LSTM, apart"), near(3, 0.1), "bits",
        Bilingual(
            "what both sides fix together stays at chance (3 bits) for ELMo",
            "左右合看才能确定的词，ELMo 停在随机水平（3 比特）",
        ),
        Bilingual(
            "A word that only both sides together fix (left + right mod 8) stayed at chance for it, "
            "{elmo_is_blind.effect:.2f} bits of 3.",
            "左右合看才能确定的词（左＋右 mod 8），它停在随机水平：{elmo_is_blind.effect:.2f}（共 3 比特）。",
        ),
        Bilingual("ELMo's reading was not at chance.", "ELMo 的读法并未停在随机水平。"),
        by="paper",
    ),
    Claim(
        "bert_is_not", value("hole", "bits", "attention, both"), below(1), "bits",
        Bilingual("BERT's encoder reads it off", "BERT 的编码器能读出来"),
        Bilingual(
            "BERT's encoder took it to {bert_is_not.effect:.2f} bits.", "BERT 的编码器降到 {bert_is_not.effect:.2f} 比特。"
        ),
        Bilingual("BERT's encoder did not solve it at this budget.", "BERT 的编码器在此预算下没有解出。"),
    ),
    Claim(
        "transformer_would_help", value("hole", "bits", "attention, apart"), below(1), "bits",
        Bilingual(
            "the cause is the LSTM: two one-way Transformers would see it",
            "原因在 LSTM：换成两个单向 Transformer 就能看见",
        ),
        Bilingual("Two one-way Transformers solved it.", "两个单向 Transformer 解出了它。"),
        Bilingual(
            "The cause is not the LSTM: two one-way Transformers were just as blind "
            "({transformer_would_help.effect:.2f} bits).",
            "原因不在 LSTM：两个单向 Transformer 同样看不见（{transformer_would_help.effect:.2f} 比特）。",
        ),
        by="folk",
    ),
    Claim(
        "lstm_cannot", value("hole", "bits", "LSTM, both"), above(2), "bits",
        Bilingual("no LSTM that must fill a hole can", "LSTM 无论如何都做不到"),
        Bilingual("A deep bidirectional LSTM could not.", "深层双向 LSTM 也做不到。"),
        Bilingual(
            "A deep bidirectional LSTM trained to fill the hole did ({lstm_cannot.effect:.2f} bits).",
            "用填空训练的深层双向 LSTM 可以（{lstm_cannot.effect:.2f} 比特）。",
        ),
        by="folk",
    ),
    Claim(
        "honest_apart", value("language_model", "bits", "LSTM, apart"), near(3, 0.05), "bits",
        Bilingual("on fair dice, ELMo's language model is honest: 3 bits", "对均匀随机词，ELMo 是诚实的：3 比特"),
    ),
    Claim(
        "leak_lstm", value("language_model", "bits", "LSTM, both"), below(2), "bits",
        Bilingual("a language model whose LSTM layers see both sides cheats", "各层都看两边的 LSTM 语言模型会偷看"),
        Bilingual(
            "The cause is the objective: let the layers of a language model see both sides and it reads its own answer "
            "({leak_lstm.effect:.2f} bits on fair dice, where honest is 3).",
            "原因在训练目标：让语言模型的各层看两边，它就会读到答案"
            "（均匀随机词上 {leak_lstm.effect:.2f} 比特，诚实应为 3）。",
        ),
        Bilingual("Seeing both sides did not leak the answer.", "看两边并没有泄漏答案。"),
    ),
    Claim(
        "leak_attention", value("language_model", "bits", "attention, both"), below(2), "bits",
        Bilingual("a language model whose attention sees both sides cheats", "注意力看两边的语言模型也会偷看"),
        Bilingual(
            "So a language model must keep its directions apart; BERT hides the word in the input instead, and then "
            "every layer may use both sides.",
            "所以语言模型只能让两个方向各走各的；BERT 则在输入端把词藏起来，于是每层都可用两边。",
        ),
    ),
    Claim(
        "pseudo_is_useless", value("nonlinear_head", "bits", "attention, apart"), above(2), "bits",
        Bilingual(
            "'pseudo' means lost: no head on top brings the halves together",
            "“伪”即无用：上面接什么都合不起来",
        ),
        Bilingual("A nonlinear head on top did not bring the halves together.", "上面接非线性层也没能把两半合起来。"),
        Bilingual(
            "'Pseudo' is not useless: a nonlinear head on the joined halves brought them "
            "together ({pseudo_is_useless.effect:.2f} bits).",
            "“伪”不等于没用：在拼接之上接非线性层就合起来了（{pseudo_is_useless.effect:.2f} 比特）。",
        ),
        by="folk",
    ),
    Claim(
        "a_real_bert_interacts", value("swapped_words", "interaction", "BERT", items=True), above(0.1), "of the change",
        Bilingual(
            "in a real BERT a word's two neighbours act together, by over a tenth of what they change (a sum would be 0)",
            "在真实的 BERT 里，左右邻词合起来的作用超过其改变量的十分之一（若只是相加则为 0）",
        ),
        Bilingual(
            "In a real BERT {a_real_bert_interacts.effect:.2f} of what two neighbours change is interaction.",
            "真实 BERT 中，左右邻词带来的改变有 {a_real_bert_interacts.effect:.2f} 来自二者的交互。",
        ),
    ),
    Claim(
        "interaction_is_worth", difference(TEXT, "bits", "additive", "joint", items=True), above(0.05), "bits",
        Bilingual(
            "on this text, reading both neighbours together is worth over 0.05 bits a character",
            "在这段文本上，左右合看每个字符值 0.05 比特以上",
        ),
        Bilingual(
            "On this text, knowing both neighbouring characters together rather than as a sum of two guesses was worth "
            "{interaction_is_worth.effect:.2f} bits a character.",
            "在这段文本上，左右邻字合看（而非两个猜测相加）每个字符值 {interaction_is_worth.effect:.2f} 比特。",
        ),
        Bilingual(
            "On this text one neighbouring character on each side, taken together, was worth only "
            "{interaction_is_worth.effect:.2f} bits.",
            "在这段文本上，左右各一个邻字合看只值 {interaction_is_worth.effect:.2f} 比特。",
        ),
    ),
    Claim(
        "two_models_multiplied", difference(TEXT, "bits", "multiplied", "additive", items=True), above(0), "bits",
        Bilingual("two language models multiplied fall short of the best sum", "两个语言模型相乘不如最优加性模型"),
    ),
]

NAMES = {
    "LSTM, apart": Bilingual("LSTM, apart (ELMo)", "LSTM，分开（ELMo）"),
    "LSTM, both": Bilingual("LSTM, both", "LSTM，双侧"),
    "attention, apart": Bilingual("attention, apart", "注意力，分开"),
    "attention, both": Bilingual("attention, both (BERT)", "注意力，双侧（BERT）"),
    "left": Bilingual("left", "左"), "right": Bilingual("right", "右"), "joint": Bilingual("both together", "合看"),
    "multiplied": Bilingual("two multiplied", "两者相乘"), "additive": Bilingual("best sum", "最优加性"),
}

FIGURES = [
    View(
        "hole", "bars", "hole", ("bits",), Axis("arm", same("")),
        Axis("value", Bilingual("bits to fill the hole", "填空所需比特")),
        Bilingual("What counts is reading both sides, not the cell", "关键在是否双侧阅读，不在单元种类"),
        Bilingual("hole = (left + right) mod 8, after equal training.", "空 =（左＋右）mod 8，同等训练之后。"),
        labels=NAMES, rules={3.0: Bilingual("chance", "随机")},
    ),
    View(
        "text", "bars", TEXT, ("bits",), Axis("arm", same("")),
        Axis("value", Bilingual("bits a character, held out", "每字符比特（留出文本）")),
        Bilingual("On this text, two sides together tell more than their sum", "在这段文本上，两侧合看多于相加"),
        Bilingual("A character guessed from one neighbour on each side.", "由左右各一个邻字猜中间的字。"), labels=NAMES,
    ),
]

QUESTION = Question(
    number=12,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "A language model may not see the word it predicts. A state that has read the left can predict the next word, "
        "one that has read the right the previous; a layer that mixes them has, at the neighbour's place, already read "
        "the answer. So ELMo trains two stacks that never meet and joins them at the end: h = [f(left); g(right)], "
        "whose second derivative by a left and a right word is 0. A linear readout of it is a sum of two guesses.\n\n"
        "BERT takes the word out of the input ([MASK]). Nothing can leak, so every layer may read both sides.",
        "语言模型不能看到要预测的词。读过左边的状态可以预测下一个词，读过右边的可以预测上一个词；若某层把两者混合，"
        "邻位的状态就已读到答案。所以 ELMo 训练两个互不相通的栈，最后才拼接：h = [f(左); g(右)]，"
        "它对左词和右词的混合二阶导为 0，其线性读出只是两个猜测之和。\n\n"
        "BERT 把词从输入中拿掉（[MASK]），无从泄漏，于是每层都可以读两边。",
    ),
    formula="h = [f(x₁…xₜ₋₁); g(xₜ₊₁…xₙ)]   ⇒   ∂²h / ∂x_left ∂x_right = 0",
    held_equal=Bilingual(
        "Two layers of width 32 a direction in every arm; the encoder that reads both sides has the fewest parameters. "
        "Equal steps and batches, paired seeds, a learning rate of its own for every arm from the same sweep. The text "
        "measurement counts characters (the 48 commonest and one for all others) and has no training noise.",
        "各组都是两层、每方向宽 32；双侧编码器的参数最少。步数、批次相同，种子配对，学习率在同一扫描中各自选取。"
        "文本测量是对字符计数（最常见的 48 个，其余并为一类），没有训练噪声。",
    ),
    sources=[
        Source("Peters et al.", 2018, "Deep contextualized word representations", "arXiv:1802.05365, section 3.1"),
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805, 3.1"),
    ],
)
