"""How do the encoder and the decoder of a Transformer interact, and how does that differ from plain seq2seq?

Transformer 的 Encoder 端和 Decoder 端是如何交互的？和一般的 seq2seq 有什么差别？
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.evaluation.probes import watch
from clearhead.experiments import claims
from clearhead.experiments.claims import Claim, above, below, change, difference, every, exactly, value
from clearhead.experiments.evidence import Along, Measured, Scalar
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.models import encoder_decoder, rnn_seq2seq
from clearhead.models.encoder_decoder import EncoderDecoder
from clearhead.models.rnn_seq2seq import RNNSeq2Seq
from clearhead.models.states import States
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.descent import descend

PLAIN, ATTENTION, TRANSFORMER = "plain LSTM", "LSTM + attention", "Transformer"
ARMS = (PLAIN, ATTENTION, TRANSFORMER)
SYMBOLS, BEGIN = 16, 16


def two_sides(arm: str, width: int, vocabulary: int = SYMBOLS + 1, layers: int = 1) -> EncoderDecoder | RNNSeq2Seq:
    """An encoder and a decoder with about equally many parameters in every arm."""
    side = Inventory(Vocabulary(vocabulary), 128)
    both = replace(side, source=side)
    if arm == TRANSFORMER:
        return encoder_decoder.build(
            encoder_decoder.Spec(
                hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, norm_place="pre",
                initializer_range=0.1, fused=False,
            ),
            both,
        )
    attention = "general" if arm == ATTENTION else "none"
    width = width * 9 // 8  # 16 w^2 weights in two LSTMs, 20 w^2 in the two sides of the Transformer
    return rnn_seq2seq.build(rnn_seq2seq.Spec(hidden_size=width, encoder_direction="forward", attention=attention), both)


def pairs(source: Tensor, target: Tensor) -> Batch:
    """Sentences (B, n) and their translations (B, n), which the decoder reads one place late."""
    rows, length = source.shape
    layout = Layout(torch.full((rows,), length), length, packed=True)
    seen = torch.cat([torch.full((rows, 1), BEGIN), target[:, :-1]], 1)
    return Batch(seen.flatten(), layout, source=Batch(source.flatten(), layout))


def drawn(seed: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """A source sentence and two targets, all at random, (1, length) each."""
    rng = torch.Generator().manual_seed(seed)
    source, target, other = torch.randint(SYMBOLS, (3, 1, length), generator=rng)
    return source, target, other


def link(arm: str, seed: int, length: int = 8) -> Measured:
    """What passes between the sides of an untrained Transformer with three layers each, in float64."""
    torch.manual_seed(seed)
    model = two_sides(arm, 16, layers=3).double()
    assert isinstance(model, EncoderDecoder)
    source, target, _ = drawn(seed, length)
    order = torch.randperm(length).roll(1)

    def states(source: Tensor, through: Callable[[Tensor], Tensor] = lambda memory: memory) -> Tensor:
        """The decoder's states, when `through` stands between the encoder and the decoder."""
        hook = model.encoder.register_forward_hook(lambda _, __, out: replace(out, hidden=through(out.hidden)))
        hidden: Tensor = model(pairs(source, target)).hidden
        hook.remove()
        return hidden

    def source_gradient(through: Callable[[Tensor], Tensor]) -> float:
        model.zero_grad()
        states(source, through).square().sum().backward()  # type: ignore[no-untyped-call]
        grad = model.encoder.token_embedding.weight.grad
        return 0.0 if grad is None else grad.abs().max().item()

    keys_from = [f"decoder.blocks.{i}.cross.key_value" for i in range(3)]
    queries_from = [f"decoder.blocks.{i}.cross.query" for i in range(3)]
    with watch(model, [*keys_from, *queries_from], side="input") as read, watch(model, ["encoder"]) as wrote:
        plain = states(source)
    memory: Tensor = wrote["encoder"][0].hidden
    queries = [read[name][0] for name in queries_from]
    size = plain.norm()
    return {
        "from_last_layer": max((read[name][0] - memory).abs().max().item() for name in keys_from),
        "between_queries": min((a - b).abs().max().item() for a, b in pairwise(queries)),
        "source_with_memory_held": source_gradient(Tensor.detach),
        "source": source_gradient(Tensor.clone),
        "memory_shuffled": ((states(source, lambda memory: memory[order]) - plain).norm() / size).item(),
        "source_shuffled": ((states(source[:, order]) - plain).norm() / size).item(),
    }


def structure(arm: str, seed: int, length: int) -> Measured:
    """What an untrained encoder hands over, and the longest chain of operations that wait for one another."""
    torch.manual_seed(seed)
    model = two_sides(arm, 16).double()
    source, target, other = drawn(seed, length)

    def handed_over(target: Tensor) -> tuple[Tensor, Tensor]:
        name = "encoder" if arm == TRANSFORMER else "source_layers.0"
        with watch(model, [name]) as seen:
            states: States = model(pairs(source, target))
        if arm == TRANSFORMER:
            return seen[name][0].hidden.flatten(), states.hidden
        read, (hidden, cell) = seen[name][0]
        parts = (read, cell) if arm == ATTENTION else (hidden, cell)  # the last row of `read` is `hidden`
        return torch.cat([part.flatten() for part in parts]), states.hidden

    (handed, states), (again, _) = handed_over(target), handed_over(other)
    return {
        "numbers": float(handed.numel()),
        "moved_by_target": (handed - again).abs().max().item(),
        "operations": float(longest_chain(states)),
    }


def longest_chain(output: Tensor) -> int:
    """The most operations that lie one after another behind `output` in the graph that autograd has kept."""
    assert output.grad_fn is not None
    depth: dict[object, int] = {}
    stack = [output.grad_fn]
    while stack:
        before = [node for node, _ in stack[-1].next_functions if node is not None]
        unknown = [node for node in before if node not in depth]
        stack += unknown
        if not unknown:
            depth[stack.pop()] = 1 + max((depth[node] for node in before), default=0)
    return depth[output.grad_fn]


def reach(arm: str, seed: int, length: int, width: int = 32) -> Measured:
    """log10 of the gradient from a target place to the source word it translates, untrained, a mean of some places."""
    torch.manual_seed(seed)
    model = two_sides(arm, width, vocabulary=length + 1).double()
    table = "encoder.token_embedding.weight" if arm == TRANSFORMER else "source_embedding.weight"
    words = model.get_parameter(table).detach().clone().requires_grad_()
    places = torch.arange(length)
    rows = Layout(torch.tensor([length]), length, packed=True)
    batch = Batch(places, rows, source=Batch(places, rows))
    states: States = torch.func.functional_call(model, {table: words}, (batch,))
    seen = (states.hidden @ torch.randn(model.width, dtype=torch.float64)).unbind()
    asked = places[:: max(1, length // 8)].tolist()
    gradients = [torch.autograd.grad(seen[t], words, retain_graph=True)[0][t].norm() for t in asked]
    return {"log10_gradient": torch.stack(gradients).log10().mean().item()}


def translation(
    arm: str, seed: int, learning_rate: float, steps: int, times: int = 1, longest: int = 12, width: int = 32
) -> Measured:
    """Words right after training on y_t = cipher(x_t): words are fair dice, so all that is right came by the link."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = two_sides(arm, width)
    head = nn.Linear(model.width, SYMBOLS)
    parameters = [*model.parameters(), *head.parameters()]
    cipher = torch.randperm(SYMBOLS, generator=rng)

    def predicted(rows: int, length: int) -> tuple[Tensor, Tensor]:
        source = torch.randint(SYMBOLS, (rows, length), generator=rng)
        target = cipher[source]
        return head(model(pairs(source, target)).hidden), target.flatten()

    def loss() -> Tensor:
        return F.cross_entropy(*predicted(64, 2 * int(torch.randint(1, longest // 2 + 1, (), generator=rng))))

    optimizer = torch.optim.Adam(parameters, learning_rate, fused=True)
    losses = descend(optimizer, loss, steps * times, schedule="linear", warmup=0.1, clip=1.0)
    right: dict[Scalar, float] = {}
    with torch.no_grad():
        for words in (2, 4, 8, longest, 2 * longest):
            logits, target = predicted(200, words)
            share = logits.argmax(-1).eq(target).double().mean().item()
            right[words] = share if math.isfinite(losses[-1]) else math.nan
    return {
        "right": Along("words", right), "right_longest": right[longest], "wrong_longest": 1 - right[longest],
        "fall": right[2] - right[longest], "fall_beyond": right[longest] - right[2 * longest],
        "parameters": float(sum(p.numel() for p in parameters)),
    }


EXACT = BySize((4,), (8,))
RATES = (1e-2, 2e-2, 4e-2, 8e-2, 0.16)

EXPERIMENTS = [
    Experiment("link", link, (TRANSFORMER,), seeds=EXACT),
    Experiment("structure", structure, ARMS, {"length": (4, 16)}, EXACT),
    Experiment("reach", reach, ARMS, {"length": (4, 16, 64)}, BySize((6,), (8, 16)), transfer={"width": 48}),
    Experiment(
        "translation", translation, ARMS, seeds=BySize((5,), (6, 12)), settings=BySize({"steps": 100}, {"steps": 300}),
        tune=Tune("learning_rate", RATES, "wrong_longest", settings=BySize({"steps": 50}, {"steps": 150})),
        transfer={"width": 48},
    ),
    Experiment(
        "longer", translation, (PLAIN,), {"times": (1, 4)}, BySize((4,), (5, 10)),
        BySize({"steps": 100, "learning_rate": 4e-2}, {"steps": 200, "learning_rate": 4e-2}), transfer={"width": 48},
    ),
]

CLAIMS = [
    Claim(
        "keys_from_last_layer", every("link", "from_last_layer", TRANSFORMER), exactly(0, 0), "",
        Bilingual(
            "every decoder layer takes its keys and values from the encoder's last layer, bit for bit",
            "解码器每一层的 K、V 都取自编码器最后一层，逐位相同",
        ),
        Bilingual(
            "Through cross-attention: every decoder layer asks with its own queries; keys and values come from the "
            "encoder's last layer.",
            "靠交叉注意力：解码器每一层用自己的 Q 去问，K、V 都来自编码器最后一层的输出。",
        ), kind="exact",
    ),
    Claim(
        "own_queries", every("link", "between_queries", TRANSFORMER), above(1e-3), "",
        Bilingual("queries differ from one decoder layer to the next", "解码器各层的 Q 来自不同的状态"), kind="exact",
    ),
    Claim(
        "only_link", every("link", "source_with_memory_held", TRANSFORMER), exactly(0, 0), "gradient",
        Bilingual(
            "with the encoder's output held, the decoder depends on the source in no other way: without the link it is "
            "a language model of the target",
            "固定编码器输出后，解码器与源句再无任何依赖：去掉这条链路，它就只是目标端的语言模型",
        ),
        Bilingual(
            "That is the only way in: with it held, the source's gradient is exactly 0.", "这是唯一的通路：固定它之后，源句的梯度恰为 0。"
        ), kind="exact",
    ),
    Claim(
        "encoder_is_blind", every("structure", "moved_by_target", *ARMS), exactly(0, 0), "",
        Bilingual("the encoder knows nothing of the target, in all three models", "三种模型的编码器都对目标端一无所知"), kind="exact",
    ),
    Claim(
        "a_set", every("link", "memory_shuffled", TRANSFORMER), exactly(0, 1e-9), "relative",
        Bilingual(
            "the decoder reads the encoder's rows as a set: shuffled, they give the same output",
            "解码器把编码器的各行当作集合来读：打乱行序，输出不变",
        ), kind="exact",
    ),
    Claim(
        "fixed_vector", change("structure", "numbers", PLAIN, over="length", high=16, low=4), exactly(0, 0), "numbers",
        Bilingual(
            "a plain seq2seq hands over equally many numbers however long the sentence", "一般 seq2seq 无论句子多长，交出的数目不变"
        ), kind="exact",
    ),
    Claim(
        "plain_falls", value("translation", "fall", PLAIN), above(0.2), "accuracy",
        Bilingual(
            "a plain seq2seq gets over 0.2 fewer of its words right at 12 words than at 2",
            "一般 seq2seq 在 12 词时的正确率比 2 词时低 0.2 以上",
        ),
        Bilingual(
            "A plain seq2seq hands over one vector of fixed size: from 2 words to 12 its accuracy fell by "
            "{plain_falls.effect:.2f}.",
            "一般 seq2seq 只交出一个定长向量：从 2 词到 12 词，正确率掉了 {plain_falls.effect:.2f}。",
        ),
        Bilingual(
            "A plain seq2seq, which hands over one vector, lost only {plain_falls.effect:.2f} from 2 words to 12.",
            "只交出一个向量的一般 seq2seq，从 2 词到 12 词只掉了 {plain_falls.effect:.2f}。",
        ),
    ),
    Claim(
        "vector_too_small", change("longer", "right_longest", PLAIN, over="times", high=4, low=1), below(0.1),
        "accuracy",
        Bilingual(
            "the vector is too small: trained four times as long, accuracy at 12 words rises by less than 0.1",
            "原因是向量装不下：训练 4 倍步数，12 词的正确率上升不到 0.1",
        ),
        Bilingual(
            "Training four times as long hardly helped it ({vector_too_small.effect:+.2f}).",
            "训练 4 倍步数也没有多少改善（{vector_too_small.effect:+.2f}）。",
        ),
        Bilingual(
            "Not only for want of room: four times the steps gave {vector_too_small.effect:+.2f}.",
            "不只是装不下：向量大小不变，4 倍步数就带来 {vector_too_small.effect:+.2f}。",
        ), by="folk",
    ),
    Claim(
        "attention_carries_it", difference("translation", "right_longest", ATTENTION, PLAIN), above(0.2), "accuracy",
        Bilingual(
            "an LSTM decoder with attention gets over 0.2 more words right at 12 words",
            "给 LSTM 解码器加上注意力，12 词时正确率高 0.2 以上",
        ),
    ),
    Claim(
        "attention_sets_it_apart",
        claims.both_ways("translation", "right_longest", (TRANSFORMER, ATTENTION), (ATTENTION, PLAIN)), above(0),
        "accuracy",
        Bilingual(
            "attention is what the Transformer adds to seq2seq: an LSTM with attention is nearer to one without",
            "Transformer 比 seq2seq 多的就是注意力：带注意力的 LSTM 更接近不带的",
        ),
        Bilingual("An LSTM with attention was nearer to one without.", "带注意力的 LSTM 更接近不带的，而不是 Transformer。"),
        Bilingual(
            "Attention is not what the Transformer adds: attention alone gave the LSTM "
            "{attention_carries_it.effect:+.2f}, most of the gain.",
            "注意力不是 Transformer 独有：LSTM 只加注意力就有 {attention_carries_it.effect:+.2f}，占了提升的大半。",
        ), by="folk",
    ),
    Claim(
        "no_recurrence", change("structure", "operations", TRANSFORMER, over="length", high=16, low=4), exactly(0, 0),
        "operations",
        Bilingual(
            "in training, the Transformer's longest chain of operations does not grow with the sentence",
            "训练时，Transformer 最长的运算链不随句长增长",
        ),
        Bilingual(
            "New is that the Transformer recurs nowhere: in training its longest chain of operations does not grow with the sentence.",
            "真正新的是没有循环：训练时 Transformer 最长的运算链不随句长增长。",
        ), kind="exact",
    ),
    Claim(
        "recurrence", change("structure", "operations", ATTENTION, over="length", high=16, low=4), above(24),
        "operations",
        Bilingual(
            "with LSTMs on both sides it grows by two or more operations a word, with attention too",
            "两端是 LSTM 时，即使有注意力，每个词也至少增加两步",
        ), kind="exact",
    ),
    Claim(
        "attention_frees_from_length", value("translation", "fall_beyond", TRANSFORMER), below(0.1), "accuracy",
        Bilingual(
            "attention frees from length: at twice the longest trained length the Transformer loses less than 0.1",
            "注意力不受句长限制：在训练最长句的两倍长度上，Transformer 掉不到 0.1",
        ),
        Bilingual(
            "At twice the trained length the Transformer lost only {attention_frees_from_length.effect:.2f}.",
            "在训练长度的两倍处，Transformer 只掉了 {attention_frees_from_length.effect:.2f}。",
        ),
        Bilingual(
            "Attention does not free from length: at twice the trained length this small Transformer lost "
            "{attention_frees_from_length.effect:.2f}.",
            "注意力并不保证适应任意长度：在训练长度的两倍处，这个小 Transformer 掉了 {attention_frees_from_length.effect:.2f}。",
        ), by="folk",
    ),
    Claim(
        "short_path", claims.interaction("reach", "log10_gradient", ATTENTION, PLAIN, over="length", high=64, low=4),
        above(1), "powers of 10",
        Bilingual(
            "from 4 to 64 words the gradient to the word translated falls over 10 times further without attention",
            "从 4 词到 64 词，没有注意力时，到所译之词的梯度多衰减 10 倍以上",
        ),
    ),
]

LABELS = {
    PLAIN: Bilingual("plain LSTM seq2seq", "一般 LSTM seq2seq"),
    ATTENTION: Bilingual("LSTM with attention", "LSTM 加注意力"), TRANSFORMER: same("Transformer"),
}

FIGURES = [
    View(
        "length", "lines", "translation", ("right",),
        Axis("words", Bilingual("words in the sentence (trained on 2 to 12)", "句子词数（训练时为 2 到 12）")),
        Axis("value", Bilingual("share of words right", "正确率")),
        Bilingual("Accuracy against the length of the sentence", "正确率随句长的变化"),
        Bilingual(
            "Words are fair dice, so the target's own past says nothing: all that is right came from the encoder.",
            "词是均匀随机的，目标端的前文毫无信息：答对的都来自编码器。",
        ),
        labels=LABELS, rules={1 / SYMBOLS: Bilingual("guessing", "瞎猜")},
    ),
    View(
        "reach", "lines", "reach", ("log10_gradient",),
        Axis("length", Bilingual("words in the sentence", "句子词数"), log=True),
        Axis("value", Bilingual("log10 of the gradient to the word translated", "到所译之词的梯度（log10）")),
        Bilingual("How much of a source word arrives where it is translated", "源词的信号有多少到达译出它的位置"),
        Bilingual("Untrained models, the mean over all words.", "未训练的模型，对各词取平均。"), labels=LABELS,
    ),
]

QUESTION = Question(
    number=15, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "The encoder runs once and gives a row for each source word. Every decoder layer first looks at its own past "
        "(masked self-attention), then at these rows (cross-attention), then comes a feed-forward layer. Queries are "
        "made from the layer's own state; keys and values are made of the rows, once for a sentence, and serve every "
        "step of generation.\n\n"
        "In a plain seq2seq the encoder's last state starts the decoder. A word must pass through every step between "
        "where it is read and where it is written, and the gradient must come back the same way. Attention is a short "
        "cut, and RNNs had it first (Bahdanau et al.). The Transformer then dropped the recurrence. In generation all "
        "of them still write one word after another.",
        "编码器只算一次，每个源词得到一行。解码器的每一层先看自己已写的部分（带掩码的自注意力），再看这些行（交叉注意力），"
        "然后过前馈层。K、V 来自编码器最后一层，Q 来自该层解码器自己的状态，所以 K、V 每句只需算一次，生成的每一步都能用。\n\n"
        "一般 seq2seq 用编码器的最后状态作解码器的初始状态。一个词从读入到译出，要穿过其间的每一步，梯度也得原路返回。"
        "注意力是一条捷径，RNN 先有了它（Bahdanau 等）；Transformer 则进一步去掉了循环。生成时三者仍都是逐词写出。",
    ),
    formula="softmax(x W_Q (M W_K)ᵀ / √d_k) M W_V\nx: states of a decoder layer, M: output of the last encoder layer",
    held_equal=Bilingual(
        "One layer on each side in training (about 23,000 parameters; attention adds 4,000 to the LSTM), three in the "
        "test of the wiring. Equal steps of 64 sentences, even lengths 2 to 12, a cipher over 16 symbols (optimum: all "
        "right), paired seeds, a learning rate for each model from the same sweep. Exact claims: untrained models in "
        "float64; operations are counted in the graph that autograd keeps. Tiny models: nothing is said of real "
        "translation.",
        "训练时两端各一层（约 2.3 万参数；LSTM 加注意力多 4 千），检验连线时各三层。步数相同，每步 64 句，"
        "长度为 2 到 12 的偶数，16 个符号的替换密码（最优为全对），种子配对，每个模型在同一扫描中各自选学习率。"
        "精确论断用未训练模型的 float64 计算；运算数在自动求导保留的图上数出。模型很小，不代表真实翻译。",
    ),
    sources=[
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, section 3.2.3"),
        Source("Sutskever et al.", 2014, "Sequence to Sequence Learning with Neural Networks", "arXiv:1409.3215"),
        Source("Bahdanau et al.", 2014, "Neural MT by Jointly Learning to Align and Translate", "arXiv:1409.0473"),
    ],
)
