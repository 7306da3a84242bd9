"""In NLP, why is layer norm preferred to batch norm?

在 NLP 领域中，为什么 LN 比 BN 更合适？
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, collate
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.evaluation.design_effect import design_effect
from clearhead.evaluation.probes import influence
from clearhead.experiments import claims
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.trained import Trained, Workbench
from clearhead.experiments.views import Axis, View
from clearhead.models import transformer_decoder
from clearhead.models.states import States
from clearhead.models.transformer import Transformer
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

SENTENCES, LENGTH = 3, 6


def decoder(norm: str, seed: int) -> Transformer:
    """An untrained causal net in float64 and training mode; its token ids are places, so embeddings can be put in."""
    torch.manual_seed(seed)
    spec = transformer_decoder.Spec(hidden_size=16, norm=norm, fused=False, initializer_range=0.3)
    return transformer_decoder.build(spec, Inventory(Vocabulary(SENTENCES * LENGTH), 32)).double()


def who_depends_on_whom(arm: str, seed: int) -> Measured:
    """How much a token's state depends on other sentences and on its own future, as shares of its own past."""
    model = decoder(arm, seed)
    batch = collate(list(torch.arange(SENTENCES * LENGTH).view(SENTENCES, LENGTH)), packed=False)

    def states(embeddings: Tensor) -> Tensor:
        found: States = torch.func.functional_call(model, {"token_embedding.weight": embeddings}, (batch,))
        return found.hidden

    matrix = influence(states, model.token_embedding.weight)
    own = batch.layout.sequence_ids[:, None] == batch.layout.sequence_ids
    past = own & (batch.layout.position_ids[:, None] >= batch.layout.position_ids)
    total = matrix[past].sum()
    return {
        "other_sentences": float(matrix[~own].sum() / total),
        "own_future": float(matrix[own & ~past].sum() / total),
    }


def nine_pads(arm: str, seed: int) -> Measured:
    """How far the states of real tokens move, relative to their size, when every sentence gets nine more pads."""
    model = decoder(arm, seed)
    rng = torch.Generator().manual_seed(seed)
    words = [torch.randint(1, SENTENCES * LENGTH, (n,), generator=rng) for n in (4, 6, 9)]
    tight = collate(words, packed=False)
    loose = collate([*words, torch.ones(18, dtype=torch.int64)], packed=False)
    rows = torch.arange(len(words)).repeat_interleave(18)
    trimmed = Batch(loose.token_ids[: len(rows)], Layout(tight.layout.lengths, 18, packed=False))
    before, after = (model(batch).hidden[batch.layout.real].detach() for batch in (tight, trimmed))
    return {"change": float((after - before).norm() / before.norm())}


def standard_layer(arm: str, seed: int) -> Measured:
    """The largest mean, over the sentences, that one position has after torch's own BatchNorm1d on (B, C, T)."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(64, 8, 10, generator=rng, dtype=torch.float64) + torch.arange(10.0, dtype=torch.float64)
    y = nn.BatchNorm1d(8).double()(x)
    return {"mean_of_a_position": y.mean(0).abs().max().item(), "mean_of_a_feature": y.mean((0, 2)).abs().max().item()}


def words_are_alike(bench: Workbench) -> Measured:
    """The design effect of a batch at the last norm's input: how many words count as one in the batch's mean.

    Begin and end marks are left out. Sentences drawn at random, runs of eight neighbouring ones, and shuffled words.
    """
    if bench.recipe.model["norm"] != "layer" or bench.recipe.batches.sequences != 16:
        return {}
    sentences = bench.data.dev
    batch = collate([sentences[i] for i in range(min(len(sentences), 400))], packed=True)
    with torch.no_grad():
        states = bench.task.model(batch).layers[-1]
    layout = batch.layout
    words = (layout.position_ids > 0) & (layout.position_ids < layout.lengths[layout.sequence_ids] - 1)
    sentence = layout.sequence_ids[words]
    shuffled = sentence[torch.randperm(len(sentence), generator=torch.Generator().manual_seed(bench.seed))]
    groups = {"sentences": sentence, "neighbours": sentence // 8, "shuffled": shuffled}
    return {f"design_effect_{name}": design_effect(states[words], group) for name, group in groups.items()}


RUN = Trained(
    {
        "text": {"vocabulary_size": 512, "max_length": 24},
        "batches": {"sequences": 16},
        "model": {"name": "transformer_decoder", "hidden_size": 48, "intermediate_size": 96},
        "objective": {"name": "causal_lm"},
        "training": {"steps": 100},
    },
    keys={"sentences": "batches.sequences"},
    probes=(words_are_alike,),
)
NORMS = {
    "layer": "model.norm=layer", "batch": "model.norm=batch", "rms": "model.norm=rms",
    "batch, pads counted": "model.norm=batch_padded batches.layout=dense",
    "batch, each position": "model.norm=batch_position",
    "layer, bucketed": "model.norm=layer batches.bucketed=true",
    "batch, bucketed": "model.norm=batch batches.bucketed=true",
    "batch, pads counted, bucketed": "model.norm=batch_padded batches.layout=dense batches.bucketed=true",
}
STEPS = BySize({"steps": 60}, {"steps": 400})
TUNE = Tune("learning_rate", (5e-3, 1.5e-2, 4.5e-2), "held_out", settings=BySize({"steps": 20}, {"steps": 120}))
SEEDS = BySize((6,), (6, 12))
EXACT = BySize((4,), (8,))

EXPERIMENTS = [
    Experiment("influence", who_depends_on_whom, ("layer", "rms", "batch", "batch_position"), seeds=EXACT),
    Experiment("padding", nine_pads, ("layer", "batch", "batch_position", "batch_padded"), seeds=EXACT),
    Experiment("standard_layer", standard_layer, ("BatchNorm1d",), seeds=EXACT),
    Experiment(
        "batch_size", RUN, {name: NORMS[name] for name in ("layer", "batch")}, {"sentences": (1, 4, 16)},
        seeds=SEEDS, settings=STEPS, tune=TUNE, needs_text=True,
    ),
    Experiment("norms", RUN, NORMS, {"sentences": (16,)}, seeds=BySize((4,), (6, 12)), settings=STEPS, tune=TUNE, needs_text=True),
]

CLAIMS = [
    Claim(
        "layer_norm_is_alone", every("influence", "other_sentences", "layer", "rms"), exactly(0), "of own past",
        Bilingual(
            "with layer (or RMS) norm a sentence does not depend on its batch mates", "用 LN（或 RMS），句子不依赖同批句子"
        ),
        Bilingual(
            "Layer norm uses only the token itself, so a sentence's result depends neither on its batch mates nor, in "
            "a decoder, on its future: both exactly 0.",
            "LN 只用当前 token 自己的特征，所以一句话的结果不依赖同批句子，在解码器中也看不到未来：两者都严格为 0。",
        ),
        Bilingual("Layer norm let other sentences in here.", "这里 LN 受到了其他句子的影响。"), kind="exact",
    ),
    Claim(
        "batch_norm_ties_sentences", every("influence", "other_sentences", "batch"), above(0.01), "of own past",
        Bilingual("with batch norm a sentence depends on its batch mates", "用 BN，句子依赖同批句子"),
        Bilingual(
            "With batch norm other sentences weighed {batch_norm_ties_sentences.effect:.2f} or more of a token's own past.",
            "用 BN 时，其他句子的影响至少是自身历史的 {batch_norm_ties_sentences.effect:.2f} 倍。",
        ),
        kind="exact",
    ),
    Claim(
        "no_future_in_layer_norm", every("influence", "own_future", "layer", "rms"), exactly(0), "of own past",
        Bilingual("layer norm keeps a decoder's future out", "LN 不让解码器看到未来"), kind="exact",
    ),
    Claim(
        "future_leaks_in_batch_norm", every("influence", "own_future", "batch"), above(0.001), "of own past",
        Bilingual("batch norm lets a decoder's own future in", "BN 让解码器看到自己的未来"),
        Bilingual("Its own future leaked in as well.", "自己的未来也泄漏进来。"), kind="exact",
    ),
    Claim(
        "each_position_by_itself", every("standard_layer", "mean_of_a_position", "BatchNorm1d"), exactly(0, 1e-6), "",
        Bilingual(
            "batch norm normalises each position by itself: all first words together",
            "BN 对每个位置单独归一化：所有首词一起",
        ),
        Bilingual("Batch norm does normalise each position by itself.", "BN 确实对每个位置单独归一化。"),
        Bilingual(
            "The textbook is wrong on one point: the standard layer pools batch and time, it does not normalise each "
            "position by itself.",
            "教科书有一点不对：标准 BN 层把批与时间合在一起统计，并不是对每个位置单独归一化。",
        ),
        kind="exact", by="textbook",
    ),
    Claim(
        "pads_move_outputs", every("padding", "change", "batch_padded"), above(0.01), "relative",
        Bilingual("pads that are counted move the outputs of real words", "计入 pad 会改变真实词的输出"), kind="exact",
    ),
    Claim(
        "masking_cures_it", every("padding", "change", "layer", "batch", "batch_position"), exactly(0, 1e-9), "relative",
        Bilingual("with statistics over real tokens only, pads move nothing", "统计只用真实 token 时，pad 不改变任何输出"),
        Bilingual(
            "The error that padding makes is real but has a cure of one line: statistics over real tokens move nothing.",
            "padding 的误差确实存在，但一行就能解决：统计时屏蔽 pad，输出丝毫不变。",
        ),
        kind="exact",
    ),
    Claim(
        "padding_is_the_reason", difference("norms", "held_out", "batch, pads counted", "batch"), above(0.05), "nats",
        Bilingual("counting pads costs batch norm over 0.05 nats", "计入 pad 使 BN 差 0.05 nat 以上"),
        Bilingual(
            "Counting pads cost {padding_is_the_reason.effect:.2f} nats.",
            "计入 pad 的代价是 {padding_is_the_reason.effect:.2f} nat。",
        ),
        Bilingual(
            "Counting pads cost it {padding_is_the_reason.effect:+.2f} nats, less than 0.05.",
            "计入 pad 只让它变化 {padding_is_the_reason.effect:+.2f} nat，不到 0.05。",
        ),
        by="textbook",
    ),
    Claim(
        "bucketing_removes_it",
        difference("norms", "held_out", "batch, pads counted, bucketed", "batch, bucketed"), near(0, 0.05), "nats",
        Bilingual(
            "with sentences of like length together, counting pads changes the loss by less than 0.05 nats",
            "长度相近的句子同批（分桶）时，计入 pad 对损失的影响小于 0.05 nat",
        ),
        by="folk",
    ),
    Claim(
        "bucketing_saves_batch_norm",
        claims.both_ways("norms", "held_out", ("batch, bucketed", "layer, bucketed"), ("batch", "layer")), below(0),
        "nats",
        Bilingual("bucketing by length makes batch norm better beside layer norm", "按长度分桶让 BN 相对 LN 变好"),
        by="folk",
    ),
    Claim(
        "position_against_language", difference("norms", "held_out", "batch, each position", "layer"), above(0), "nats",
        Bilingual(
            "normalising each position contradicts language, so it loses to layer norm",
            "对每个位置归一化不合语言规律，所以不如 LN",
        ),
        by="textbook",
    ),
    Claim(
        "words_are_alike", value("batch_size", "design_effect_sentences", "layer", sentences=16), above(1), "words",
        Bilingual(
            "words of one sentence are alike: in a batch's mean more than one count as one",
            "同句的词彼此相似：在批均值中不止一个词才抵一个",
        ),
        Bilingual(
            "On this text the words of a sentence are alike: in a batch's mean {words_are_alike.effect:.1f} of them "
            "counted as one, {neighbours_more_so.effect:.1f} where neighbouring sentences stand together.",
            "在这段文本上同一句的词彼此相似：在批均值中 {words_are_alike.effect:.1f} 个词只抵一个独立的词，"
            "相邻句子同批时则是 {neighbours_more_so.effect:.1f} 个。",
        ),
    ),
    Claim(
        "neighbours_more_so", value("batch_size", "design_effect_neighbours", "layer", sentences=16), above(1), "words",
        Bilingual("words of neighbouring sentences are alike as well", "相邻句子的词也彼此相似"),
    ),
    Claim(
        "shuffled_are_not", value("batch_size", "design_effect_shuffled", "layer", sentences=16), near(1, 0.25),
        "words", Bilingual("shuffled words count one for one (control)", "打乱的词一个抵一个（对照）"),
    ),
    Claim(
        "layer_norm_learns_better", difference("batch_size", "held_out", "layer", "batch", sentences=16), below(0), "nats",
        Bilingual("layer norm reaches a lower loss at 16 sentences a batch", "每批 16 句时 LN 的损失更低"),
        Bilingual(
            "At 16 sentences a batch layer norm did better, by {layer_norm_learns_better.effect:+.2f} nats.",
            "每批 16 句时 LN 更好：{layer_norm_learns_better.effect:+.2f} nat。",
        ),
        Bilingual(
            "Layer norm is not always lower in loss: at 16 sentences a batch this small model was "
            "{layer_norm_learns_better.effect:.2f} nats worse with it.",
            "LN 的损失不总是更低：每批 16 句时，这个小模型用 LN 反而差 {layer_norm_learns_better.effect:.2f} nat。",
        ),
        by="textbook",
    ),
    Claim(
        "batch_norm_fails_alone", difference("batch_size", "held_out", "batch", "layer", sentences=1), above(0), "nats",
        Bilingual("with one sentence a batch, batch norm is worse", "每批 1 句时 BN 更差"),
        Bilingual(
            "With one sentence a batch, batch norm was {batch_norm_fails_alone.effect:.2f} nats worse.",
            "每批 1 句时，BN 差 {batch_norm_fails_alone.effect:.2f} nat。",
        ),
        Bilingual(
            "Even with one sentence a batch, batch norm was no worse ({batch_norm_fails_alone.effect:+.2f} nats).",
            "即使每批 1 句，BN 也不更差（{batch_norm_fails_alone.effect:+.2f} nat）。",
        ),
    ),
    Claim(
        "batch_size_decides",
        claims.interaction("batch_size", "held_out", "batch", "layer", over="sentences", high=1, low=16), above(0.1),
        "nats", Bilingual("small batches cost batch norm more than layer norm", "小批量对 BN 的损害大于 LN"),
        Bilingual(
            "Shrinking the batch from 16 sentences to one cost batch norm {batch_size_decides.effect:.2f} nats more than "
            "layer norm.",
            "批量从 16 句缩到 1 句，BN 比 LN 多损失 {batch_size_decides.effect:.2f} nat。",
        ),
        Bilingual("The size of the batch did not decide between them here.", "这里批量大小并不决定二者高下。"),
    ),
    Claim(
        "rms_is_as_good", difference("norms", "held_out", "rms", "layer"), near(0, 0.05), "nats",
        Bilingual("RMS norm does as well as layer norm", "RMS norm 与 LN 相当"),
    ),
]

LABELS = {
    "layer": same("layer norm"), "batch": same("batch norm"), "rms": same("RMS norm"),
    "batch, pads counted": Bilingual("batch, pads counted", "BN，计入 pad"),
    "batch, each position": Bilingual("batch, each position", "BN，逐位置"),
    "layer, bucketed": Bilingual("layer, by length", "LN，分桶"), "batch, bucketed": Bilingual("batch, by length", "BN，分桶"),
    "batch, pads counted, bucketed": Bilingual("batch, pads, by length", "BN，计入 pad，分桶"),
}

FIGURES = [
    View(
        "batch_size", "lines", "batch_size", ("held_out",),
        Axis("sentences", Bilingual("sentences per batch", "每批句数"), log=True),
        Axis("value", Bilingual("held-out loss minus layer norm's, nats", "留出损失减去 LN 的，nat")),
        Bilingual("It depends on the size of the batch", "取决于批量大小"),
        Bilingual("Equal steps, each arm with its own learning rate.", "步数相同，各自调学习率。"),
        labels=LABELS, baseline="layer",
    ),
    View(
        "norms", "bars", "norms", ("held_out",), Axis("arm", same("")),
        Axis("value", Bilingual("held-out loss minus layer norm's, nats", "留出损失减去 LN 的，nat")),
        Bilingual("Norms at 16 sentences a batch", "每批 16 句时的各种归一化"),
        Bilingual("The same small causal language model.", "同一个小型因果语言模型。"),
        labels=LABELS, baseline="layer",
    ),
]

QUESTION = Question(
    number=1,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "Layer norm takes mean and variance over the features of one token. Batch norm takes them, for every feature, "
        "over all tokens of the batch, and remembers a running average for evaluation. So with batch norm every output "
        "is a function of the whole batch: of the other sentences, of the own future, of pads if they are counted; and "
        "training and serving compute different functions, the further apart the noisier the batch statistics are. "
        "Words of one sentence are correlated, so a batch of text is worth fewer independent words than it holds.",
        "LN 对单个 token 的各特征求均值和方差。BN 对每个特征在整批的所有 token 上求，并记住滑动平均供推理使用。"
        "所以用 BN 时每个输出都是整批的函数：其他句子、自己的未来、计入统计的 pad；训练与推理也不是同一个函数，"
        "批统计量越吵差得越远。同一句的词彼此相关，一批文本的有效独立词数少于其词数。",
    ),
    formula="LN: (x − mean_d x) / σ_d\nBN: (x − mean_{batch, time} x) / σ_{batch, time}, running averages in use",
    held_equal=Bilingual(
        "One pre-norm causal Transformer (2 layers, width 48) on the text; equal steps for the two norms at every batch "
        "size, paired seeds, the same initial weights and sentences in the same order, a learning rate for every arm at "
        "every batch size from the same short sweep. Held-out loss with running statistics. The exact claims are "
        "derivatives of an untrained net in float64. Short training of a small model: nothing is said of large ones "
        "(PowerNorm reports batch norm behind at full scale).",
        "同一个 pre-norm 因果 Transformer（2 层，宽 48）在该文本上训练；每种批量下两种归一化步数相同，种子配对，初始权重与句子顺序相同，"
        "每组在每种批量下由同一个短扫描各自选学习率；留出损失用滑动统计量。精确论断是未训练网络的 float64 导数。"
        "这是小模型的短训练，不代表大模型（PowerNorm 报告大规模下 BN 落后）。",
    ),
    sources=[
        Source("Ioffe & Szegedy", 2015, "Batch Normalization", "arXiv:1502.03167"),
        Source("Ba, Kiros & Hinton", 2016, "Layer Normalization", "arXiv:1607.06450"),
        Source("Shen et al.", 2020, "PowerNorm: Rethinking Batch Normalization in Transformers", "arXiv:2003.07845"),
        Source("Wang et al.", 2022, "Understanding the Failure of Batch Normalization for Transformers in NLP", "NeurIPS"),
    ],
)
