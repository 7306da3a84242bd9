"""How does BERT differ from the Transformer's encoder, and what are the differences for?

BERT 和 Transformer Encoder 的差异有哪些？做出这些差异化的目的是什么？
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch, collate
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.finding import Found, opened
from clearhead.layers.normalization import LayerNorm
from clearhead.layers.positions import SinusoidalPositions
from clearhead.models import bert, transformer_encoder
from clearhead.models.bert import Bert
from clearhead.models.transformer import Transformer
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.marked import marked_sentences
from clearhead.text.synthetic import MarkovLanguage
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.descent import descend

LANGUAGE = MarkovLanguage(order=1, symbols=8, concentration=0.3)
TABLE = "position_embedding.table.weight"
VASWANI = {"hidden_act": "relu", "positions": "sinusoidal", "scale_embedding": True, "initialization": "xavier"}
SWITCHES: dict[str, dict[str, Any]] = {
    "Transformer": {},
    "GELU": {"hidden_act": "gelu"},
    "learned positions": {"positions": "learned"},
    "norm on embeddings": {"embedding_norm": True},
    "start of 0.02": {"initialization": "normal", "initializer_range": 0.02},
}
BERTS = {name: value for switch in SWITCHES.values() for name, value in switch.items()}


def encoder(arm: str, seed: int, symbols: int, length: int, width: int) -> Transformer:
    """The encoder of Vaswani et al. with no, one or all of BERT's changes; sqrt(d) goes when all are made."""
    torch.manual_seed(seed)
    changes = {**BERTS, "scale_embedding": False} if arm == "BERT" else SWITCHES[arm]
    common = {"hidden_size": width, "norm_place": "post", "initializer_range": width**-0.5}
    spec = transformer_encoder.Spec.model_validate({**common, **VASWANI, **changes})
    return transformer_encoder.build(spec, Inventory(Vocabulary(symbols), length))


def states_of(model: Transformer, rows: Tensor) -> Tensor:
    """The states (n * T, D) of rows (n, T) without pads."""
    layout = Layout(torch.full((len(rows),), rows.shape[1]), rows.shape[1], packed=False)
    states: Tensor = model(Batch(rows.flatten(), layout)).hidden
    return states


def torch_encoder(model: Bert) -> nn.TransformerEncoder:
    """torch's own encoder, post-norm with GELU, with the weights of the blocks."""
    blocks, norm = model.encoder.layers, model.encoder.layers[0].attention_norm
    inner, _ = model.get_parameter("encoder.blocks.0.feedforward.inner.weight").shape
    assert isinstance(norm, LayerNorm)
    layer = nn.TransformerEncoderLayer(
        model.width, blocks[0].attention.heads, inner, 0.0, "gelu", norm.eps, batch_first=True, norm_first=False
    )
    theirs = nn.TransformerEncoder(layer, len(blocks), enable_nested_tensor=False).to(norm.weight)
    with torch.no_grad():
        for block, copy in zip(blocks, theirs.layers, strict=True):
            pairs = [
                (copy.self_attn.out_proj, block.attention.output), (copy.linear1, block.feedforward.inner),
                (copy.linear2, block.feedforward.outer), (copy.norm1, block.attention_norm),
                (copy.norm2, block.feedforward_norm),
            ]  # fmt: skip
            for new, old in pairs:
                new.load_state_dict(old.state_dict())
            copy.self_attn.in_proj_weight.copy_(block.attention.projection.weight)
            copy.self_attn.in_proj_bias.copy_(block.attention.projection.bias)
    return theirs.eval()


@torch.no_grad()
def off_torch(model: Bert, row: Tensor) -> float:
    """How far torch's encoder, given BERT's embeddings of one row, is from BERT's states, relative to their size."""
    states = model(collate([row], packed=True))
    theirs = torch_encoder(model)(states.layers[0][None])[0]
    return float((theirs - states.hidden).norm() / states.hidden.norm())


def sinusoids(length: int, width: int) -> Tensor:
    return SinusoidalPositions().at(torch.zeros(length, width, dtype=torch.float64), torch.arange(length), length)


@torch.no_grad()
def same_function(arm: str, seed: int, width: int = 16) -> Measured:
    """The relative difference of two float64 encoders that one of BERT's changes parts, the weights moved over."""
    torch.manual_seed(seed)
    inventory, row = Inventory(Vocabulary(20), 8), torch.randint(20, (8,))
    if arm == "block":
        return {"difference": off_torch(bert.build(bert.Spec(hidden_size=width), inventory).double().eval(), row)}
    pairs: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "positions": ({"positions": "learned"}, {"positions": "sinusoidal", "scale_embedding": False}),
        "segment": ({"type_vocab_size": 2}, {}), "sqrt(d)": ({"scale_embedding": True}, {"scale_embedding": False}),
    }
    specs = [transformer_encoder.Spec.model_validate({"hidden_size": width, **fields}) for fields in pairs[arm]]
    one, two = (transformer_encoder.build(spec, inventory).double() for spec in specs)
    one.load_state_dict(two.state_dict(), strict=False)
    if arm == "positions":
        one.get_parameter(TABLE).copy_(sinusoids(8, width))
    elif arm == "segment":
        two.get_parameter(TABLE).add_(one.get_parameter("token_type_embedding.weight")[0])
    else:
        two.token_embedding.weight *= math.sqrt(width)
    a, b = (model(collate([row], packed=True)).hidden for model in (one, two))
    return {"difference": float((a - b).norm() / b.norm())}


FLIPS = ("GELU", "learned positions", "segment", "norm on embeddings", "no sqrt(d)")
FINE = ("GELU's formula", "epsilon")


def flip(name: str, model: Transformer) -> None:
    """Takes one of BERT's differences back; the weights stay."""
    if name in {"GELU", "GELU's formula"}:
        for block in model.layers:
            block.feedforward.activation = nn.ReLU() if name == "GELU" else nn.GELU("tanh")
    elif name == "learned positions":
        table = model.get_parameter(TABLE)
        waves = sinusoids(*table.shape).to(table)
        table.copy_(waves * (table.norm() / waves.norm()))
    elif name == "segment":
        model.token_type_embedding = None
    elif name == "norm on embeddings":
        model.embedding_norm = None
    elif name == "no sqrt(d)":
        model.embedding_scale = math.sqrt(model.width)
    else:
        for norm in [part for part in model.modules() if isinstance(part, LayerNorm)]:
            norm.eps = 1e-5


@torch.no_grad()
def flipped(arm: str, seed: int, corpus: Corpus, checkpoint: Found, queries: int) -> Measured:
    """A real BERT with one difference taken back: the mean cosine of a sentence's token states to the right ones.

    `mildest`: the cosine under that of the five flips which moves the sentence least; `finest`: of two details (tanh's
    approximation of GELU, 1e-5 for 1e-12) that which moves it most. `off_torch`: what torch's own encoder differs by.
    """
    model, tokenizer = opened(checkpoint)
    rows = [torch.from_numpy(row) for row in marked_sentences(corpus, tokenizer, queries, longest=24)]
    batch = collate(rows, packed=True)
    right, found = model(batch).hidden, {}
    for name in (*FLIPS, *FINE):
        wrong = copy.deepcopy(model)
        flip(name, wrong.encoder)
        cosines = F.cosine_similarity(wrong(batch).hidden, right, dim=-1)
        found[name] = torch.stack([part.mean() for part in torch.split(cosines, batch.layout.sizes)])
    measures = {
        **{f"cosine, {name}": cosines for name, cosines in found.items()},
        "mildest": torch.stack([found[name] for name in FLIPS]).amax(0),
        "finest": torch.stack([found[name] for name in FINE]).amin(0),
        "off_torch": torch.tensor([off_torch(model, row) for row in rows]),
    }
    return {name: Along("sentence", dict(enumerate(numbers.tolist()))) for name, numbers in measures.items()}


def fill_in(model: Transformer, head: nn.Linear, rows: Tensor) -> Tensor:
    """The head's logits at the middle one of five symbols, which is hidden."""
    logits: Tensor = head(states_of(model, rows.index_fill(1, torch.tensor([2]), 8))[2::5])
    return logits


def optimum(rows: Tensor) -> Tensor:
    """p(middle | all others), exact: p(m | left) p(right | m), normalised (n, 8)."""
    chain = torch.from_numpy(LANGUAGE.transitions)
    fits = chain[rows[:, 1]] * chain[:, rows[:, 3]].T
    return fits / fits.sum(1, keepdim=True)


def drawn(rng: np.random.Generator, count: int) -> Tensor:
    return torch.from_numpy(LANGUAGE.sample(rng, count, 5))


def learn(model: Transformer, head: nn.Linear, rate: float, steps: int, draw: Callable[[], tuple[Tensor, Tensor]]) -> None:
    """Adam on rows and the answers at their middle."""

    def loss() -> Tensor:
        rows, answers = draw()
        return F.cross_entropy(fill_in(model, head, rows), answers)

    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], rate, fused=True)
    descend(optimizer, loss, steps, schedule="linear", warmup=0.1, clip=1.0)


def masked_lm(model: Transformer, rate: float, steps: int, rng: np.random.Generator) -> nn.Linear:
    """Teaches the model to fill in the middle one of five symbols; no labels beside the symbols themselves."""
    head = nn.Linear(model.width, 8)

    def draw() -> tuple[Tensor, Tensor]:
        rows = drawn(rng, 64)
        return rows, rows[:, 2]

    learn(model, head, rate, steps, draw)
    return head


@torch.no_grad()
def excess_bits(logits: Tensor, best: Tensor, answers: Tensor) -> float:
    """Bits of a guess above those of the best probabilities."""
    nats = F.cross_entropy(logits, answers) + best.gather(1, answers[:, None]).log().mean()
    return float(nats) / math.log(2)


def bits_over_optimum(arm: str, seed: int, learning_rate: float, steps: int, width: int = 32) -> Measured:
    """Bits above the exact optimum of an encoder trained to fill the middle one of five symbols of a Markov chain."""
    rng, model = np.random.default_rng(seed), encoder(arm, seed, 9, 5, width)
    head, rows = masked_lm(model, learning_rate, steps, rng), drawn(rng, 4000)
    return {"excess": excess_bits(fill_in(model, head, rows), optimum(rows), rows[:, 2])}


def few_labels(arm: str, seed: int, learning_rate: float, steps: int, width: int = 32) -> Measured:
    """Bits above the optimum of another task, whether the hidden symbol is one of the first four, learned from 50
    labelled rows: from scratch, or after masked language modelling of the chain, which takes no labels."""
    name, way = arm.split(", ")
    rng, model = np.random.default_rng(seed), encoder(name, seed, 9, 5, width)
    labelled, rows, tag = drawn(rng, 50), drawn(rng, 4000), nn.Linear(width, 2)
    if way == "pre-trained":
        masked_lm(model, 5e-3, 4 * steps, rng)

    def draw() -> tuple[Tensor, Tensor]:
        some = labelled[torch.from_numpy(rng.integers(50, size=32))]
        return some, (some[:, 2] < 4).long()

    learn(model, tag, learning_rate, steps, draw)
    first = optimum(rows)[:, :4].sum(1, keepdim=True)
    return {"excess": excess_bits(fill_in(model, tag, rows), torch.cat([1 - first, first], 1), (rows[:, 2] < 4).long())}


EXACT, SWITCH, LABELS = BySize((3,), (6,)), "bits_over_optimum", "few_labels"

EXPERIMENTS = [
    Experiment("same_function", same_function, ("block", "positions", "segment", "sqrt(d)"), seeds=EXACT),
    Experiment(
        "flipped", flipped, ("BERT",), seeds=BySize((1,), (1,)), settings=BySize({"queries": 24}, {"queries": 100}),
        needs_text=True, needs_checkpoint=True,
    ),
    Experiment(
        SWITCH, bits_over_optimum, ("Transformer", "GELU", "learned positions", "BERT"),
        seeds=BySize((5,), (6, 12)), settings=BySize({"steps": 200}, {"steps": 1000}), transfer={"width": 48},
        tune=Tune("learning_rate", (5e-3, 1.5e-2, 4.5e-2), "excess", settings=BySize({"steps": 100}, {"steps": 300})),
    ),
    Experiment(
        LABELS, few_labels, ("Transformer, from scratch", "BERT, from scratch", "BERT, pre-trained"),
        seeds=BySize((5,), (6, 12)), settings=BySize({"steps": 50}, {"steps": 150}), transfer={"width": 48},
        tune=Tune("learning_rate", (2e-4, 7e-4, 2e-3), "excess", settings=BySize({"steps": 50}, {"steps": 100})),
    ),
]

CLAIMS = [
    Claim(
        "same_block", every("same_function", "difference", "block"), exactly(0, 1e-9), "relative",
        Bilingual("BERT's blocks are the Transformer's (post-norm), with GELU", "BERT 的块就是 Transformer 的块（post-norm），只是用 GELU"),
        Bilingual("The block is the same: torch's own Transformer encoder with BERT's weights gives BERT's states.",
                  "编码块本身相同：把 BERT 的权重装进 torch 自带的 Transformer encoder，输出一致。"),
        Bilingual("torch's own Transformer encoder gave other states than BERT.", "torch 自带的 Transformer encoder 给出了不同的输出。"), kind="exact", by="paper",
    ),
    Claim(
        "real_block", value("flipped", "off_torch", "BERT", items=True), below(1e-4), "relative",
        Bilingual("so do a real BERT's weights, to rounding", "真实 BERT 的权重也一样，只差舍入误差"),
    ),
    Claim(
        "flips_show", value("flipped", "mildest", "BERT", items=True), below(0.95), "cosine",
        Bilingual(
            "taking any one of five differences back (GELU, learned positions, segment, norm on embeddings, no √d) turns "
            "a real BERT's states",
            "把五处差异（GELU、可学习位置、句段向量、词嵌入后的 LN、不乘 √d）中任何一处改回去，真实 BERT 的状态都会偏转",
        ),
        Bilingual(
            "Around it BERT has learned positions, a segment embedding, a norm on the embeddings instead of ×√d, and "
            "GELU for ReLU; in a real BERT taking back even the mildest left a cosine of {flips_show.effect:.2f}, so "
            "they matter for loading weights.",
            "外围的差异：可学习位置、句段向量、词嵌入后加 LN 而不乘 √d、GELU 代替 ReLU；在真实 BERT 中改回影响最小的一处，"
            "余弦也只剩 {flips_show.effect:.2f}，所以加载权重时不能错。",
        ),
        Bilingual("In a real BERT some difference could be taken back unnoticed.", "在真实 BERT 中，有的差异改回去几乎没有影响。"),
    ),
    Claim(
        "fine_print_does_not", value("flipped", "finest", "BERT", items=True), above(0.999), "cosine",
        Bilingual("GELU's tanh formula and an epsilon of 1e-5 do not", "GELU 的 tanh 近似和 1e-5 的 epsilon 则不会"),
    ),
    Claim(
        "tables_hold_sinusoids", every("same_function", "difference", "positions"), exactly(0, 1e-9), "relative",
        Bilingual("a learned table of positions can hold the sinusoids", "可学习的位置表可以恰好等于正弦位置"), kind="exact",
    ),
    Claim(
        "segment_is_for_pairs", every("same_function", "difference", "segment"), exactly(0, 1e-9), "relative",
        Bilingual("for a single sentence the segment embedding is nothing that the positions could not hold",
                  "只有一句时，句段向量可以并入位置向量，没有新东西"),
        Bilingual("For one sentence the segment embedding adds nothing that positions could not hold: it is for pairs.",
                  "只有一句时，句段向量完全可以并入位置向量：它是为句对准备的。"), kind="exact",
    ),
    Claim(
        "root_d_is_a_start", every("same_function", "difference", "sqrt(d)"), exactly(0, 1e-9), "relative",
        Bilingual("×√d is the same function with larger embeddings", "乘 √d 只相当于更大的词嵌入"), kind="exact",
    ),
    Claim(
        "changes_are_why", difference(SWITCH, "excess", "BERT", "Transformer"), below(-0.05), "bits",
        Bilingual("these changes are why BERT works: made together they save over 0.05 bits", "BERT 靠这些结构改动取胜：合起来省 0.05 比特以上"),
        Bilingual("Made together in a small encoder these changes saved {changes_are_why.effect:.2f} bits (negative is less loss).",
                  "小编码器上同时作这些改动，损失变化 {changes_are_why.effect:.2f} 比特（负为更好）。"),
        Bilingual("Made together in a small encoder these changes saved nothing ({changes_are_why.effect:+.2f} bits of loss).",
                  "小编码器上同时作这些改动并没有降低损失（{changes_are_why.effect:+.2f} 比特）。"), by="folk",
    ),
    Claim(
        "gelu_is_why", difference(SWITCH, "excess", "GELU", "Transformer"), below(-0.05), "bits",
        Bilingual("GELU is better than ReLU here by over 0.05 bits", "GELU 比 ReLU 好 0.05 比特以上"), by="folk",
    ),
    Claim(
        "learned_positions_are_why", difference(SWITCH, "excess", "learned positions", "Transformer"), below(-0.05),
        "bits", Bilingual("positions are learned because that is better, here by over 0.05 bits", "位置改为可学习是因为更好：好 0.05 比特以上"), by="folk",
    ),
    Claim(
        "objective_is_why", difference(LABELS, "excess", "BERT, from scratch", "BERT, pre-trained"), above(0.05), "bits",
        Bilingual(
            "the purpose lies in the objective: pre-training without labels saves over 0.05 bits where labels are few",
            "目的在训练目标：标注很少时，无标注预训练省 0.05 比特以上",
        ),
        Bilingual(
            "The purpose lies in the objective, pre-training without labels and then fine-tuning: with 50 labelled "
            "examples of another task it saved {objective_is_why.effect:.2f} bits.",
            "目的在于训练目标——先无标注预训练再微调：另一任务只有 50 个标注样本时，省 {objective_is_why.effect:.2f} 比特。",
        ),
        Bilingual("With 50 labelled examples pre-training saved only {objective_is_why.effect:+.2f} bits.",
                  "只有 50 个标注样本时，预训练只省 {objective_is_why.effect:+.2f} 比特。"), by="paper",
    ),
    Claim(
        "structure_alone", difference(LABELS, "excess", "Transformer, from scratch", "BERT, from scratch"), above(0.05),
        "bits", Bilingual("BERT's structure without its pre-training saves as much over a Transformer's", "不预训练，仅 BERT 的结构就比 Transformer 省这么多"),
        Bilingual("Its structure alone saved {structure_alone.effect:.2f}.", "仅结构就省 {structure_alone.effect:.2f}。"),
        Bilingual("Its structure alone saved {structure_alone.effect:+.2f}.", "仅结构只省 {structure_alone.effect:+.2f}。"), by="folk",
    ),
]

NAMES = {
    "Transformer": same("Transformer"), "GELU": same("GELU"), "BERT": Bilingual("all of BERT's", "BERT 的全部"),
    "learned positions": Bilingual("learned positions", "可学习位置"),
    "BERT, pre-trained": Bilingual("BERT, pre-trained", "BERT，预训练"),
    "BERT, from scratch": Bilingual("BERT, from scratch", "BERT，从头"),
    "Transformer, from scratch": Bilingual("Transformer, from scratch", "Transformer，从头"),
    "cosine, GELU": Bilingual("ReLU for GELU", "GELU→ReLU"), "cosine, segment": Bilingual("no segment", "去掉句段"),
    "cosine, learned positions": Bilingual("sinusoids", "改正弦位置"), "cosine, no sqrt(d)": Bilingual("times √d", "乘 √d"),
    "cosine, norm on embeddings": Bilingual("no norm on embeddings", "去掉嵌入 LN"),
}

FIGURES = [
    View(
        "switches", "bars", SWITCH, ("excess",), Axis("arm", same("")),
        Axis("value", Bilingual("loss minus the Transformer's, bits", "损失减去 Transformer 的，比特")),
        Bilingual("What each change does to the loss", "每处改动对损失的影响"),
        Bilingual("The middle one of five symbols of a Markov chain; equal steps.", "补出马尔可夫链五个符号的中间一个；步数相同。"),
        labels=NAMES, baseline="Transformer",
    ),
    View(
        "few_labels", "bars", LABELS, ("excess",), Axis("arm", same("")),
        Axis("value", Bilingual("bits above the optimum", "高于最优的比特")),
        Bilingual("With 50 labels: the structure and the objective", "只有 50 个标注：结构与目标"),
        Bilingual("Is the hidden symbol one of the first four?", "被遮的符号是否属于前四个？"),
        labels=NAMES,
    ),
    View(
        "flipped", "bars", "flipped", tuple(f"cosine, {name}" for name in FLIPS), Axis("measure", same("")),
        Axis("value", Bilingual("cosine to the right states", "与正确状态的余弦")),
        Bilingual("One difference taken back in a real BERT: not merit, but compatibility", "真实 BERT 中改回一处：说明兼容性，不说明优劣"),
        Bilingual("The weights stay as they are.", "权重不变。"), colour="measure", labels=NAMES,
    ),
]

QUESTION = Question(
    number=13, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "The Transformer's encoder was made to feed a decoder and is trained with it on translations. BERT takes the "
        "encoder alone and gives it an objective that needs no labels: hidden words (and whether two sentences follow "
        "each other). What stands around the blocks serves that: [CLS] with a pooler for tasks on whole texts, [SEP] and "
        "segments for pairs, a head (dense, GELU, norm, tied to the embeddings) for hidden words, larger sizes.\n\n"
        "Most other changes do not enlarge what can be computed: a table of positions can hold the sinusoids, √d can be "
        "moved into the embeddings. They are choices about where training starts, so weights trained with one do not fit "
        "the other. A flip on trained weights shows that, not which choice is better.",
        "Transformer 的编码器是为解码器服务的，与它一起用翻译数据训练。BERT 只取编码器，配上不需标注的目标：猜被遮的词"
        "（以及两句是否相接）。块外的部件都为此服务：[CLS]+pooler 供整句任务，[SEP] 与句段向量供句对，MLM 头"
        "（dense、GELU、LN，与词嵌入共享）用来猜词，规模也更大。\n\n"
        "其余改动大多并不扩大可计算的函数：位置表可以等于正弦，√d 可以并入词嵌入。它们只决定训练的起点，"
        "因此按一种训练的权重不适用于另一种。在训练好的权重上改回去，说明的是这一点，而不是哪种更好。",
    ),
    formula="Transformer: x = √d·E[token] + sinusoid(t)\nBERT: x = LN(E[token] + P[t] + S[segment])",
    held_equal=Bilingual(
        "Two layers, width 32, post-norm; equal steps and batches within an experiment, paired seeds, a learning rate for "
        "each arm from the same sweep. BERT there means GELU, learned positions, a norm on the embeddings, N(0, 0.02) as "
        "a start and no √d, not the larger size. The Markov chain's optimum is exact. Few labels: all arms see the same "
        "50 labelled rows for as many steps; pre-training adds four times as many steps on rows without labels, which is "
        "what it is for. Small nets: size and amount of data, which differ too, are not tested, nor is next sentence "
        "prediction.",
        "两层、宽 32、post-norm；同一实验内步数与批次相同，种子配对，各组由同一扫描选学习率。其中 BERT 指 GELU、可学习位置、"
        "嵌入后 LN、N(0, 0.02) 初始化、不乘 √d，不含更大的规模。马尔可夫链的最优值精确可知。少量标注：各组用同样的 50 个标注样本、"
        "同样的步数；预训练另加四倍步数的无标注数据，这正是它的用处。都是小网络：规模与数据量的差异以及 NSP 未作检验。",
    ),
    sources=[
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, sections 3.4, 3.5"),
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805"),
    ],
)
