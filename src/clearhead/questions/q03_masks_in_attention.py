"""What are the masks in attention for, and how do they differ between encoder, decoder and cross-attention?

关于 mask 机制，在 Transformer 中有 attention、encoder 和 decoder 中不同的应用区别是什么？
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch, collate
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.evaluation.probes import influence
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.finding import Found, opened
from clearhead.layers import cross_attention
from clearhead.layers.pairing import Pairing
from clearhead.models import encoder_decoder, transformer_decoder
from clearhead.models.transformer import BLOCKED
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.marked import marked_sentences
from clearhead.text.tokenizers import Vocabulary
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

WORDS, PADS = 4, 2  # of source and of target in the exact measurements
SYMBOLS, LONGEST, KEEPS = 16, 8, 0.9  # the language of the trained nets
BEGIN = SYMBOLS + 1
RIGHT = KEEPS + (1 - KEEPS) / SYMBOLS  # the best that any decoder can get right
FLOOR = -RIGHT * math.log(RIGHT) - (1 - RIGHT) * math.log((1 - RIGHT) / (SYMBOLS - 1))  # entropy, nats
MASKS = {
    "all masks": "encoder cross decoder causal", "no causal mask": "encoder cross decoder",
    "no encoder mask": "cross decoder causal", "no cross mask": "encoder decoder causal",
    "no decoder padding mask": "encoder cross causal", "no padding masks": "causal",
}


class Net(nn.Module):
    """An encoder-decoder whose three attentions each have their padding mask or not, as `masks` says."""

    def __init__(self, masks: str, ids: int, width: int, layers: int, positions: str, spread: float) -> None:
        super().__init__()
        side = Inventory(Vocabulary(ids), 64)
        spec = encoder_decoder.Spec(
            hidden_size=width, num_hidden_layers=layers, positions=positions, initializer_range=spread,
            norm_place="pre", mask="causal" if "causal" in masks else "full", fused=False,
        )
        self.model = encoder_decoder.build(spec, replace(side, source=side))
        self.masks = masks

    def forward(self, source: Tensor, source_pads: Tensor, target: Tensor, target_pads: Tensor) -> tuple[Tensor, Tensor]:
        """The states of both sides (B, S, D) and (B, T, D) for ids (B, S) and (B, T)."""
        told = rows(source, source_pads if "encoder" in self.masks else None)
        asked = rows(target, target_pads if "decoder" in self.masks else None)
        memory = self.model.encoder(told).hidden
        keys = source_pads.flatten() if "cross" in self.masks else None
        read = cross_attention.Source(memory, Pairing(asked.layout, told.layout), keys)
        hidden = self.model.decoder(asked, read).hidden
        return memory.view(*source.shape, -1), hidden.view(*target.shape, -1)


def rows(ids: Tensor, hidden_keys: Tensor | None) -> Batch:
    """Ids (B, T) as a batch that takes pads for tokens like all others, but for the keys that a mask hides (B, T)."""
    layout = Layout(torch.full((len(ids),), ids.shape[1]), ids.shape[1], packed=False)
    features = {} if hidden_keys is None else {BLOCKED: hidden_keys.long().view(-1, 1)}
    return Batch(ids.flatten(), layout, features=features)


@functools.lru_cache(maxsize=32)
def derivatives(masks: str, seed: int, pads: str) -> tuple[Tensor, Tensor]:
    """How much each state depends on each input (source, then target, both ways), and which are pads.

    An untrained net in float64; every place has an embedding of its own, so that it can be differentiated by.
    """
    torch.manual_seed(seed)
    size = WORDS + PADS
    net = Net(masks, 2 * size, width=8, layers=2, positions="none", spread=0.3).double()
    is_pad = torch.arange(size) >= WORDS if pads == "right" else torch.arange(size) < PADS
    source, target = torch.arange(2 * size).view(2, 1, size)

    def states(embeddings: Tensor) -> Tensor:
        weights = {f"model.{side}.token_embedding.weight": embeddings for side in ("encoder", "decoder")}
        found = torch.func.functional_call(net, weights, (source, is_pad[None], target, is_pad[None]))
        return torch.cat(found, 1)[0]

    return influence(states, torch.randn(2 * size, 8, dtype=torch.float64)), is_pad


def dependence(arm: str, seed: int, pads: str) -> Measured:
    """Shares of what the states of real words depend on: pads, and a target word's own future."""
    matrix, is_pad = derivatives(arm, seed, pads)
    size, real = len(is_pad), ~is_pad
    encoder, cross, decoder = matrix[:size, :size][real], matrix[size:, :size][real], matrix[size:, size:][real]
    future = torch.arange(size) > torch.arange(size)[real][:, None]
    return {
        "encoder_pads": float(encoder[:, is_pad].sum() / encoder.sum()),
        "cross_pads": float(cross[:, is_pad].sum() / cross.sum()),
        "decoder_pads": float(decoder[:, is_pad].sum() / decoder.sum()),
        "decoder_future": float(decoder[future & real].sum() / decoder.sum()),
        "least_source_word": float(cross[:, real].min() / cross[:, real].mean()),
    }


def who_sees_whom(arm: str, seed: int, query: int) -> Measured:
    """One row of the three maps of dependence, all masks on: the share of each input, pads at the right."""
    matrix, is_pad = derivatives(MASKS["all masks"], seed, "right")
    size = len(is_pad)
    down, across = {"encoder": (0, 0), "decoder": (size, size), "cross": (size, 0)}[arm]
    row = matrix[down + query - 1, across : across + size]
    return {"share": Along("key", {place + 1: round(float(share), 2) for place, share in enumerate(row / row.sum())})}


def one_pass(arm: str, seed: int, length: int = 6) -> Measured:
    """All places in one pass against one prefix at a time: how far states and the gradient of a summed loss differ."""
    torch.manual_seed(seed)
    spec = transformer_decoder.Spec(hidden_size=16, mask=arm, fused=False, initializer_range=0.3)
    model = transformer_decoder.build(spec, Inventory(Vocabulary(9), length)).double()
    ids, readout = torch.randint(9, (length,)), torch.randn(length, 16, dtype=torch.float64)

    def states(n: int) -> Tensor:
        found: Tensor = model(collate([ids[:n]], packed=True)).hidden
        return found

    def gradient(hidden: Tensor) -> Tensor:
        found = torch.autograd.grad((hidden * readout).tanh().sum(), list(model.parameters()), materialize_grads=True)
        return torch.cat([part.flatten() for part in found])

    whole, stepwise = states(length), torch.stack([states(n)[-1] for n in range(1, length + 1)])
    ours, theirs = gradient(whole), gradient(stepwise)
    return {"gap": max((whole - stepwise).abs().max().item(), float((ours - theirs).norm() / theirs.norm()))}


def where_the_mask_goes(arm: str, seed: int, keys: int = 8) -> Measured:
    """One softmax over eight scores, three of them forbidden: what still gets through."""
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randn(keys, generator=rng, dtype=torch.float64, requires_grad=True)
    values = torch.randn(keys, generator=rng, dtype=torch.float64)
    forbidden = torch.arange(keys) >= keys - 3
    before = scores.masked_fill(forbidden, -math.inf).softmax(-1)
    after = scores.softmax(-1) * ~forbidden
    (gradient,) = torch.autograd.grad((before if arm == "before" else after) @ values, scores)
    return {"forbidden_gradient": float(gradient[forbidden].abs().sum() / gradient.abs().sum())}


def translation(arm: str, seed: int, steps: int, width: int = 32) -> Measured:
    """A trained encoder-decoder: target i is a fixed word for source i, but one of 16 at random a tenth of the time."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    net = Net(arm, BEGIN + 1, width, layers=1, positions="sinusoidal", spread=0.1)
    head = nn.Linear(width, SYMBOLS)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], 5e-3, fused=True)
    places = torch.arange(LONGEST)

    def draw(count: int) -> tuple[Tensor, Tensor, Tensor]:
        pads = places >= torch.randint(3, LONGEST + 1, (count, 1), generator=rng)
        words = torch.randint(SYMBOLS, (count, LONGEST), generator=rng)
        noise = torch.rand(words.shape, generator=rng) > KEEPS
        written = torch.where(noise, torch.randint(SYMBOLS, words.shape, generator=rng), (5 * words + 3) % SYMBOLS)
        return words, written, pads

    def logits(words: Tensor, prefix: Tensor, pads: Tensor) -> Tensor:
        begun = F.pad((prefix + 1).masked_fill(pads[:, : prefix.shape[1]], 0), (1, 0), value=BEGIN)
        target_pads = F.pad(pads[:, : prefix.shape[1]], (1, 0), value=False)
        found: Tensor = head(net((words + 1).masked_fill(pads, 0), pads, begun, target_pads)[1])
        return found

    def loss(count: int) -> Tensor:
        words, written, pads = draw(count)
        asked = logits(words, written[:, :-1], pads)
        return F.cross_entropy(asked[~pads], written[~pads])

    descend(optimizer, lambda: loss(32), steps, schedule="linear", warmup=0.1, clip=1.0)
    with torch.no_grad():
        words, written, pads = draw(500)
        prefix = words[:, :0]
        for _ in range(LONGEST):
            prefix = torch.cat([prefix, logits(words, prefix, pads)[:, -1:].argmax(-1)], 1)
        return {"loss": loss(2000).item(), "decoded_right": prefix.eq(written)[~pads].float().mean().item()}


def next_character(
    arm: str, seed: int, corpus: Corpus, steps: int, characters: int, width: int = 32, window: int = 12
) -> Measured:
    """A decoder on the text: bits a character as training sees them, and of one whose past alone is given."""
    windows = character_windows(corpus, window, characters=characters)
    train, held_out = (torch.from_numpy(part) for part in (windows.train, windows.held_out))
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    inventory = Inventory(Vocabulary(windows.symbols), window)
    spec = transformer_decoder.Spec(hidden_size=width, mask=arm, num_hidden_layers=1, initializer_range=0.1)
    model, head = transformer_decoder.build(spec, inventory), nn.Linear(width, windows.symbols)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], 5e-3, fused=True)

    def logits(text: Tensor) -> Tensor:
        found: Tensor = head(model(rows(text, None)).hidden.view(*text.shape, width))
        return found

    def bits(count: int, text: Tensor) -> Tensor:
        drawn = text[torch.randint(len(text), (count,), generator=rng)]
        return F.cross_entropy(logits(drawn)[:, :-1].flatten(0, 1), drawn[:, 1:].flatten()) / math.log(2)

    descend(optimizer, lambda: bits(32, train), steps, schedule="linear", warmup=0.1, clip=1.0)
    with torch.no_grad():
        past, asked = held_out[:3000, : window // 2], held_out[:3000, window // 2]
        honest = F.cross_entropy(logits(past)[:, -1], asked) / math.log(2)
        return {"as_trained": bits(1000, held_out).item(), "honest": honest.item()}


def padded_sentences(arm: str, seed: int, corpus: Corpus, checkpoint: Found, longest: int = 48) -> Measured:
    """A real BERT on sentences padded to 48, with and without the mask: the mean of the real words' states beside that
    of the sentence alone, and whether the nearest of the other sentences is still the same; a number a sentence."""
    model, tokenizer = opened(checkpoint)
    sentences = [torch.from_numpy(row) for row in marked_sentences(corpus, tokenizer, 30, longest=longest // 2)]
    pad = tokenizer.vocabulary.pad
    with torch.no_grad():
        alone = torch.stack([model(collate([row], packed=True)).hidden.mean(0) for row in sentences])
        padded = torch.stack([F.pad(row, (0, longest - len(row)), value=pad) for row in sentences])
        states = model(rows(padded, padded == pad if arm == "mask given" else None)).hidden.view(*padded.shape, -1)
    vectors = torch.stack([row[: len(ids)].mean(0) for row, ids in zip(states, sentences, strict=True)])
    found = {"cosine": F.cosine_similarity(vectors, alone), "neighbour_kept": _nearest(vectors).eq(_nearest(alone))}
    return {name: Along("sentence", dict(enumerate(numbers.float().tolist()))) for name, numbers in found.items()}


def _nearest(vectors: Tensor) -> Tensor:
    unit = F.normalize(vectors, dim=-1)
    return (unit @ unit.T).fill_diagonal_(-1).argmax(-1)


EXACT, SEEDS = BySize((4,), (8,)), BySize((5,), (6, 12))
WHO, ALL, NO_CAUSAL, UNPADDED = "dependence", "all masks", "no causal mask", "no padding masks"
BERT = "padded_sentences"

EXPERIMENTS = [
    Experiment(WHO, dependence, MASKS, {"pads": ("right", "left")}, seeds=EXACT),
    Experiment(
        "who_sees_whom", who_sees_whom, ("encoder", "decoder", "cross"),
        {"query": tuple(range(1, WORDS + 1))}, seeds=BySize((1,), (1,)),
    ),
    Experiment("one_pass", one_pass, ("causal", "full"), seeds=EXACT),
    Experiment("where_it_goes", where_the_mask_goes, ("before", "after"), seeds=EXACT),
    Experiment(
        "translation", translation, {name: MASKS[name] for name in (ALL, NO_CAUSAL, UNPADDED)}, seeds=SEEDS,
        settings=BySize({"steps": 120}, {"steps": 400}), transfer={"width": 48},
    ),
    Experiment(
        "next_character", next_character, ("causal", "full"), seeds=SEEDS, needs_text=True,
        settings=BySize({"steps": 120, "characters": 300_000}, {"steps": 400, "characters": 1_000_000}),
    ),
    Experiment(
        BERT, padded_sentences, ("mask given", "mask forgotten"), seeds=BySize((1,), (1,)), needs_text=True,
        needs_checkpoint=True,
    ),
]

CLAIMS = [
    Claim(
        "masked_pads_are_nothing", every(WHO, "encoder_pads", ALL), exactly(0), "of the influence",
        Bilingual("in the encoder, masked pads have no influence on real words", "编码器中，屏蔽后的 pad 对真实词没有影响"),
        Bilingual("A mask sets forbidden scores to -inf before the softmax. The encoder masks pads, whose influence is then 0.", "mask 就是在 softmax 之前把不允许的分数置为 −inf。编码器只屏蔽 pad，屏蔽后其影响严格为 0。"), kind="exact",
    ),
    Claim(
        "open_pads_act", every(WHO, "encoder_pads", "no encoder mask"), above(0.01), "of the influence",
        Bilingual("without the encoder's mask pads act on real words", "编码器不屏蔽时，pad 会影响真实词"), kind="exact",
    ),
    Claim(
        "causal_hides_the_future", every(WHO, "decoder_future", ALL), exactly(0), "of the influence",
        Bilingual("in the decoder, the causal mask shuts out the own future", "解码器中，因果 mask 使自己的未来没有影响"), kind="exact",
    ),
    Claim(
        "training_cheats", value("translation", "loss", NO_CAUSAL), below(FLOOR / 2), "nats",
        Bilingual(f"without the causal mask the training loss falls below half the language's entropy ({FLOOR:.3f} nats)", f"没有因果 mask，训练损失会降到语言熵（{FLOOR:.3f} nat）的一半以下"),
        Bilingual(
            f"The decoder masks the future: unmasked, the loss fell to {{training_cheats.effect:.2f}} nats, below the "
            f"language's entropy ({FLOOR:.2f}): the answer is copied.",
            f"解码器屏蔽未来：不屏蔽则损失降到 {{training_cheats.effect:.2f}} nat，低于语言的熵 {FLOOR:.2f}，说明在抄答案。",
        ),
        Bilingual("Without the causal mask the loss was {training_cheats.effect:.2f} nats, not below half the entropy.", "没有因果 mask 时损失为 {training_cheats.effect:.2f} nat，没有低于熵的一半。"),
    ),
    Claim(
        "cheats_decode_badly", difference("translation", "decoded_right", NO_CAUSAL, ALL), below(-0.3), "accuracy",
        Bilingual("trained without it, decoding word by word gets over 30 points fewer right", "不带因果 mask 训练，逐词解码的正确率低 30 个百分点以上"),
        Bilingual("Word by word such a net decoded worse (accuracy {cheats_decode_badly.effect:+.2f}).", "这样的网络逐词解码更差（正确率 {cheats_decode_badly.effect:+.2f}）。"),
        Bilingual("Word by word such a net lost less than 0.3 in accuracy.", "这样的网络逐词解码，正确率下降不到 0.3。"),
    ),
    Claim(
        "one_pass_is_stepwise", every("one_pass", "gap", "causal"), exactly(0, 1e-10), "",
        Bilingual("behind the causal mask one pass gives the states and gradient of all prefixes", "有因果 mask 时，一遍前向的状态与梯度等于所有前缀各跑一遍"),
        Bilingual("Behind the causal mask one pass equals all prefixes, so every place trains in parallel.", "有因果 mask，一遍前向就等于所有前缀各跑一遍，各位置可以并行训练。"), kind="exact",
    ),
    Claim(
        "right_pads_need_no_mask", every(WHO, "decoder_pads", "no decoder padding mask", pads="right"), exactly(0),
        "of the influence",
        Bilingual("the decoder needs no padding mask for pads at the right: the causal mask hides them", "pad 在右侧时，解码器自注意力不需要 padding mask：因果 mask 已把它挡住"),
        Bilingual("The causal mask hides pads at the right as well.", "右侧的 pad 也被因果 mask 挡住，不必另加。"), kind="exact",
    ),
    Claim(
        "left_pads_do", every(WHO, "decoder_pads", "no decoder padding mask", pads="left"), above(0.01),
        "of the influence", Bilingual("for pads at the left, as in batched generation, it does", "pad 在左侧（批量生成时）则需要"),
        Bilingual("Pads at the left need a padding mask.", "pad 在左侧时则需要 padding mask。"), kind="exact",
    ),
    Claim(
        "cross_sees_every_word", every(WHO, "least_source_word", ALL), above(0.001), "of the mean",
        Bilingual("in cross-attention every target place sees every source word", "交叉注意力中，每个目标位置都能看到每个源词"),
        Bilingual("Cross-attention masks the source's pads only: every target place sees every source word.", "交叉注意力只屏蔽源端的 pad：每个目标位置都能看到全部源词。"), kind="exact",
    ),
    Claim(
        "cross_needs_its_own", every(WHO, "cross_pads", "no cross mask"), above(0.01), "of the influence",
        Bilingual("cross-attention needs the source's mask again, though the encoder had it", "即使编码器已屏蔽，交叉注意力仍要再用一次源端的 padding mask"), kind="exact",
    ),
    Claim(
        "after_the_softmax_leaks", every("where_it_goes", "forbidden_gradient", "after"), above(0.001), "of the gradient",
        Bilingual("multiplied in after the softmax, forbidden scores still act through the denominator", "在 softmax 之后才乘 mask，被禁的分数仍通过分母起作用"), kind="exact",
    ),
    Claim(
        "spoiled_without", difference("translation", "decoded_right", UNPADDED, ALL), below(-0.05), "accuracy",
        Bilingual("a net trained without padding masks is spoiled: over 5 points fewer right", "训练时不加 padding mask，网络就学坏了：正确率低 5 个百分点以上"),
        Bilingual("Trained without padding masks it lost accuracy ({spoiled_without.effect:+.2f}).", "不加 padding mask 训练，正确率变化 {spoiled_without.effect:+.2f}。"),
        Bilingual(
            "Training without padding masks did no such harm on this task ({spoiled_without.effect:+.2f} accuracy).",
            "在这个任务上，训练时不加 padding mask 并无这样的损害（正确率 {spoiled_without.effect:+.2f}）。",
        ), by="folk",
    ),
    Claim(
        "text_cheats", value("next_character", "as_trained", "full"), below(0.5), "bits",
        Bilingual("on this text, a decoder without the causal mask seems nearly perfect: under 0.5 bits a character", "在这段文本上，没有因果 mask 的解码器看上去近乎完美：每字符不到 0.5 比特"),
    ),
    Claim(
        "text_unmasked", difference("next_character", "honest", "full", "causal"), above(0.5), "bits",
        Bilingual("given the past alone, it is worse by over 0.5 bits a character", "只给过去时，它每字符差 0.5 比特以上"),
    ),
    Claim(
        "forgotten_mask_moves_vectors", value(BERT, "cosine", "mask forgotten", items=True), below(0.9), "cosine",
        Bilingual("in a real BERT a forgotten attention_mask moves sentence vectors to a cosine under 0.9", "真实的 BERT 忘了给 attention_mask，句向量与原来的余弦降到 0.9 以下"),
        Bilingual("In a real BERT, forgetting the mask moved sentence vectors to a cosine of "
                  "{forgotten_mask_moves_vectors.effect:.2f}.",
                  "真实 BERT 忘加 mask，句向量与原来的余弦只有 {forgotten_mask_moves_vectors.effect:.2f}。"),
        Bilingual("In a real BERT, forgetting the mask left sentence vectors at a cosine of "
                  "{forgotten_mask_moves_vectors.effect:.2f}.",
                  "真实 BERT 忘加 mask，句向量与原来的余弦仍有 {forgotten_mask_moves_vectors.effect:.2f}。"),
    ),
    Claim(
        "given_mask_does_not", value(BERT, "cosine", "mask given", items=True), near(1, 1e-3), "cosine",
        Bilingual("with the mask, padding moves nothing (control)", "给了 mask，padding 不改变任何结果（对照）"),
    ),
    Claim(
        "neighbours_lost", value(BERT, "neighbour_kept", "mask forgotten", items=True), below(0.9), "kept",
        Bilingual("and over a tenth of the sentences get another nearest neighbour", "而且一成以上的句子换了最近邻"),
    ),
]

LABELS = {
    ALL: Bilingual("all masks", "全部 mask"), NO_CAUSAL: Bilingual("no causal mask", "无因果 mask"),
    UNPADDED: Bilingual("no padding masks", "无 padding mask"),
    "encoder": Bilingual("encoder", "编码器"), "decoder": Bilingual("decoder", "解码器"),
    "cross": Bilingual("target from source", "目标看源"),
    "loss": Bilingual("training loss, nats", "训练损失，nat"),
    "decoded_right": Bilingual("decoded right, share", "逐词解码的正确率"),
}

FIGURES = [
    View(
        "maps", "tiles", "who_sees_whom", ("share",),
        Axis("key", Bilingual("place seen", "被看的位置")),
        Axis("value", Bilingual("share of the influence", "影响的占比")),
        Bilingual("Who sees whom: three attentions, two masks", "谁能看见谁：三处注意力，两种 mask"),
        Bilingual("Down: the place that looks. Places 5 and 6 are pads. Derivatives of an untrained net of two layers, all masks on.", "纵向为观看的位置；5、6 是 pad。两层未训练网络的导数，所有 mask 都在。"),
        colour="query", facet="arm", labels=LABELS, band="none",
    ),
    View(
        "translation", "bars", "translation", ("loss", "decoded_right"), Axis("arm", same("")),
        Axis("value", Bilingual("loss (nats) and accuracy", "损失（nat）与正确率")),
        Bilingual("Training loss beside honest decoding", "训练损失与老实解码的对照"),
        Bilingual(
            "An honest net cannot get below the entropy, nor above the best accuracy.", "老实的网络，损失不会低于熵，正确率不会高于上限。"
        ),
        colour="measure", labels=LABELS,
        rules={round(FLOOR, 3): Bilingual("entropy", "熵"), round(RIGHT, 3): Bilingual("best accuracy", "正确率上限")},
    ),
]

QUESTION = Question(
    number=3, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "Every mask is one operation: forbidden scores become -inf, so the softmax gives them weight 0 and the others "
        "share 1 among them. There are two reasons to forbid. Pads are no words: without a mask the result of a "
        "sentence depends on how long its batch mates are. And what a decoder is to predict must not be in its input.\n\n"
        "Where each belongs follows from the keys. Encoder self-attention: the source's pads. Decoder self-attention: "
        "the future, and pads if they stand at the left. Cross-attention: the source's pads again, since its keys are "
        "the source; the source is known whole, so nothing there is future. The loss skips pads as well.",
        "所有 mask 都是同一个操作：不允许的分数变成 −inf，softmax 给它权重 0，其余的权重之和仍为 1。屏蔽的理由有两个："
        "pad 不是词，不屏蔽则一句话的结果取决于同批句子有多长；解码器要预测的词不能出现在它的输入里。\n\n"
        "用哪一种，看 key 是谁：编码器自注意力屏蔽源端的 pad；解码器自注意力屏蔽未来，pad 在左侧时再加 padding mask；"
        "交叉注意力的 key 是源端，所以再次屏蔽源端的 pad，而源句整体已知，没有“未来”可言。算损失时同样跳过 pad。",
    ),
    formula="softmax(q kᵀ/√d + M) v,  M = −inf at pads (all attentions' keys), at j > i (decoder self-attention), else 0",
    held_equal=Bilingual(
        "The exact claims are derivatives of untrained nets in float64, two pads in six places. Trained nets: one layer a "
        "side, width 32, the same steps, batches and learning rate in every arm, paired seeds. Target i depends on source "
        "i, so a missing padding mask is easy to learn around there; that the damage is small is said of this task only. "
        "The real BERT's sentences are padded to 48, and real words alone are averaged.",
        "精确论断是未训练网络的 float64 导数，六个位置中两个是 pad。训练的网络每侧一层，宽 32，各组步数、批次、学习率相同，"
        "种子配对。第 i 个目标词只依赖第 i 个源词，所以缺 padding mask 也容易学会绕开；“损害很小”只就此任务而言。"
        "真实 BERT 的句子补到 48，只对真实词取平均。",
    ),
    sources=[
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, section 3.2.3"),
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805"),
    ],
)
