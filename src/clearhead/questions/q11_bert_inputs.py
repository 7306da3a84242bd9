"""What are BERT's inputs, which are required, and what are the defaults of positions, token types and attention mask?

BERT 的输入是什么，哪些是必须的，为什么 position id 不用给，type_id 和 attention_mask 没有给定时默认是什么？
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from clearhead.batches.batch import Item, collate
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.errors import InputError
from clearhead.experiments.claims import Claim, above, below, every, exactly, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.finding import Found, opened
from clearhead.models import bert
from clearhead.models.bert import Bert, read_inputs
from clearhead.models.states import States
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.marked import marked_sentences
from clearhead.text.tokenizers import Vocabulary

POSITIONS, TYPES = "encoder.position_embedding.table.weight", "encoder.token_type_embedding.weight"
LENGTH, PADS = 8, 3
Ids = NDArray[np.int64]


def small_bert(seed: int) -> tuple[Bert, Ids]:
    """An untrained BERT in float64 that reads up to 16 tokens, and two rows of 8 words (0 is the pad)."""
    torch.manual_seed(seed)
    spec = bert.Spec(hidden_size=16, initializer_range=0.3)
    model = bert.build(spec, Inventory(Vocabulary(20, pad=0), 2 * LENGTH)).double().eval()
    return model, np.random.default_rng(seed).integers(1, 20, (2, LENGTH))


def left_out(arm: str, seed: int) -> Measured:
    """The largest difference that an input makes when it is given at its default value instead of left out."""
    model, ids = small_bert(seed)
    defaults: dict[str, Any] = {
        "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids),
        "position_ids": np.arange(LENGTH)[None].repeat(2, 0),
    }
    given = defaults if arm == "all three" else {arm: defaults[arm]}
    alone, explicit = (model(read_inputs(model, ids, **inputs)).hidden for inputs in ({}, given))
    return {"difference": (explicit - alone).abs().max().item()}


def refused(arm: str, seed: int) -> Measured:
    """Whether the model refuses rows (1) or reads them (0)."""
    model, ids = small_bert(seed)
    pads = np.zeros((2, PADS), np.int64)
    behind, before = np.concatenate([ids, pads], 1), np.concatenate([pads, ids], 1)
    inputs: dict[str, Any] = {
        "tokens alone": {"input_ids": ids},
        "no tokens": {"input_ids": ids[:, :0]},
        "too many tokens": {"input_ids": np.tile(ids, 3)},
        "other positions": {"input_ids": ids, "position_ids": np.arange(LENGTH)[::-1][None]},
        "pads without a mask": {"input_ids": behind},
        "pads on the left": {"input_ids": before, "attention_mask": before > 0},
    }[arm]
    try:
        read_inputs(model, **inputs)
    except InputError:
        return {"refused": 1.0}
    return {"refused": 0.0}


def in_the_states(arm: str, seed: int) -> Measured:
    """How far the states of the words move, relative to their size, from those of the rows alone."""
    model, ids = small_bert(seed)
    pads = np.zeros((2, PADS), np.int64)
    behind, before = np.concatenate([ids, pads], 1), np.concatenate([pads, ids], 1)
    counted = np.maximum(np.arange(before.shape[1]) - PADS, 0)[None].repeat(2, 0)
    weights = {TYPES: torch.zeros_like(model.get_parameter(TYPES))} if arm == "token type 0 taken away" else {}
    batch = {
        "pads and mask": lambda: read_inputs(model, behind, behind > 0, packed=False),
        "pads as tokens": lambda: read_inputs(model, behind, np.ones_like(behind)),
        "left pads, counted positions": lambda: read_inputs(model, before, before > 0, None, counted, packed=False),
        "token type 0 taken away": lambda: read_inputs(model, ids),
    }[arm]()
    right = model(read_inputs(model, ids)).hidden
    found: States = functional_call(model, weights, (batch,))
    kept = found.hidden.reshape(2, -1, 16)[:, :LENGTH].flatten(0, 1)
    return {"change": ((kept - right).norm() / right.norm()).item()}


@functools.lru_cache(maxsize=4)
def sentences(corpus: Corpus, checkpoint: Found, count: int, longest: int) -> list[Ids]:
    """Some sentences of the text between their marks, as the checkpoint reads them."""
    return marked_sentences(corpus, opened(checkpoint)[1], count, shortest=8, longest=longest)


def sentence_states(model: Bert, rows: list[Ids], **weights: Tensor) -> Tensor:
    """The mean state of each sentence (n, D), each read by itself; `weights` take the place of the model's."""
    batch = collate([torch.from_numpy(row) for row in rows], packed=True)
    with torch.no_grad():
        found: States = functional_call(model, weights, (batch,))
    return torch.stack([states.mean(0) for states in torch.split(found.hidden, batch.layout.sizes)])


def each(name: str, right: Tensor, wrong: Tensor) -> Along:
    return Along(name, dict(enumerate(F.cosine_similarity(right, wrong).tolist())))


def pads_read(arm: str, seed: int, corpus: Corpus, checkpoint: Found, pads: int, queries: int) -> Measured:
    """The cosine of a sentence's mean state (its pads left out) in a real BERT to the right one, by number of pads."""
    model, _ = opened(checkpoint)
    rows = sentences(corpus, checkpoint, queries, 20)
    right = sentence_states(model, rows)
    if arm == "left pads":  # the mask is right, and the default positions have counted the pads
        wrong = sentence_states(model, rows, **{POSITIONS: model.get_parameter(POSITIONS).detach().roll(-pads, 0)})
    else:
        ids, real = rectangle(rows, model.pad, pads)
        exact = [np.pad(row, (0, pads), constant_values=model.pad) for row in rows]
        with torch.no_grad():
            batch = read_inputs(model, ids, real) if arm == "mask given" else collate(exact, packed=True)
            states = torch.split(model(batch).hidden, batch.layout.sizes)
        wrong = torch.stack([found[: len(row)].mean(0) for found, row in zip(states, rows, strict=True)])
    return {"cosine": each("sentence", right, wrong)}


def rectangle(rows: list[Ids], pad: int, more: int = 0) -> tuple[Ids, Ids]:
    """The rows filled up to the longest and `more`, and their mask."""
    width = max(map(len, rows)) + more
    ids = np.stack([np.pad(row, (0, width - len(row)), constant_values=pad) for row in rows])
    return ids, np.stack([np.arange(width) < len(row) for row in rows]).astype(np.int64)


def in_batches(arm: str, seed: int, corpus: Corpus, checkpoint: Found, queries: int) -> Measured:
    """Sentences in one padded batch without a mask: are they nearest to the same other sentence as they should be?"""
    model, _ = opened(checkpoint)
    rows = sentences(corpus, checkpoint, queries, 32)
    ids, real = rectangle(rows, model.pad)
    seen = real if arm == "mask given" else np.ones_like(ids)
    with torch.no_grad():
        batch = read_inputs(model, ids, seen, packed=False)
        states = model(batch).hidden.reshape(*ids.shape, -1)
    counted = torch.from_numpy(np.ones_like(ids) if arm == "forgotten twice" else real)[..., None]
    found, right = (states * counted).sum(1) / counted.sum(1), sentence_states(model, rows)
    kept = (nearest(found) == nearest(right)).double().tolist()
    return {"neighbour_kept": Along("sentence", dict(enumerate(kept))), "cosine": each("sentence", right, found)}


def nearest(vectors: Tensor) -> Tensor:
    unit = F.normalize(vectors, dim=1)
    return (unit @ unit.T).fill_diagonal_(-2).argmax(1)


def types(arm: str, seed: int, corpus: Corpus, checkpoint: Found, queries: int) -> Measured:
    """A real BERT without the type vector that is there by default, and pairs whose second sentence is of type 0."""
    model, _ = opened(checkpoint)
    rows = sentences(corpus, checkpoint, queries, 20)
    if arm == "type 0 taken away":
        nothing = torch.zeros_like(model.get_parameter(TYPES))
        without = sentence_states(model, rows, **{TYPES: nothing})
        return {"cosine": each("sentence", sentence_states(model, rows), without)}
    pairs = [np.concatenate([a, b[1:]]) for a, b in pairwise(rows)]
    kinds = [(np.arange(len(pair)) >= len(a)).astype(np.int64) for pair, a in zip(pairs, rows, strict=False)]
    with torch.no_grad():
        batch = collate([Item(pair, kind) for pair, kind in zip(pairs, kinds, strict=True)], packed=True)
        told = torch.stack([states.mean(0) for states in torch.split(model(batch).hidden, batch.layout.sizes)])
    return {"cosine": each("sentence", told, sentence_states(model, pairs))}


READ, BATCH = "pads_read", "in_batches"
EXACT, ONCE = BySize((4,), (8,)), BySize((1,), (1,))
SENTENCES = BySize({"queries": 40}, {"queries": 200})
REFUSED = (
    "tokens alone", "no tokens", "too many tokens", "other positions", "pads without a mask", "pads on the left"
)
CHANGES = ("pads and mask", "pads as tokens", "left pads, counted positions", "token type 0 taken away")

EXPERIMENTS = [
    Experiment("left_out", left_out, ("attention_mask", "token_type_ids", "position_ids", "all three"), seeds=EXACT),
    Experiment("refused", refused, REFUSED, seeds=EXACT),
    Experiment("in_the_states", in_the_states, CHANGES, seeds=EXACT),
    Experiment(
        READ, pads_read, ("mask given", "mask forgotten", "left pads"), {"pads": (1, 16, 32)}, ONCE, SENTENCES,
        needs_text=True, needs_checkpoint=True,
    ),
    Experiment(
        BATCH, in_batches, ("mask given", "mask forgotten", "forgotten twice"), {}, ONCE,
        BySize({"queries": 64}, {"queries": 200}), needs_text=True, needs_checkpoint=True,
    ),
    Experiment(
        "types", types, ("type 0 taken away", "pair without types"), {}, ONCE, SENTENCES,
        needs_text=True, needs_checkpoint=True,
    ),
]

CLAIMS = [
    Claim(
        "defaults_are_these", every("left_out", "difference", "attention_mask", "token_type_ids", "all three"),
        exactly(0, 0), "",
        Bilingual("left out, the mask is 1 everywhere and token types are 0: given so, every number stays the same",
                  "不给时 attention_mask 全为 1，token_type_ids 全为 0：照此给出，每个数都不变"),
        Bilingual("BERT reads token ids, token type ids, an attention mask and position ids. Left out, the mask is "
                  "all 1 and the types all 0 (equal bit for bit).",
                  "BERT 的输入：token id、token_type_ids、attention_mask 和 position_ids。不给时 mask 全 1、type 全 0（逐比特相等）。"),
        Bilingual("The defaults were others here.", "这里的默认值不是这样。"), kind="exact",
    ),
    Claim(
        "tokens_suffice", every("refused", "refused", "tokens alone"), exactly(0), "",
        Bilingual("tokens alone are enough", "只给 token 就够了"),
        Bilingual("Only the tokens are required.", "必须给的只有 token。"), kind="exact",
    ),
    Claim(
        "tokens_are_required", every("refused", "refused", "no tokens"), exactly(1), "",
        Bilingual("without tokens nothing can be read", "没有 token 就什么也读不了"), kind="exact",
    ),
    Claim(
        "positions_need_not_be_given", every("left_out", "difference", "position_ids"), exactly(0, 0), "",
        Bilingual("positions need not be given: they are always 0, 1, 2, ...", "position id 不用给：它永远是 0、1、2……"),
        Bilingual("Positions need not be given: they are always 0, 1, 2, ...", "position id 不用给：它永远是 0、1、2……"),
        kind="exact",
    ),
    Claim(
        "no_other_positions", every("refused", "refused", "other positions"), exactly(1), "",
        Bilingual("as in the original code, positions of one's own are not accepted", "与原版代码一样，不接受别的位置"), kind="exact",
    ),
    Claim(
        "no_longer_than_the_table", every("refused", "refused", "too many tokens"), exactly(1), "",
        Bilingual("more tokens than the table has rows (512 in BERT) are refused", "token 数超过位置表行数（BERT 是 512）会被拒绝"),
        kind="exact",
    ),
    Claim(
        "mask_hides_pads", every("in_the_states", "change", "pads and mask", "left pads, counted positions"),
        exactly(0, 1e-9), "relative",
        Bilingual("with a mask (and, for pads on the left, counted positions) pads change nothing",
                  "给了 mask（左侧补齐时再给按 token 计数的位置），pad 不改变任何结果"), kind="exact",
    ),
    Claim(
        "pads_are_read", every("in_the_states", "change", "pads as tokens"), above(0.01), "relative",
        Bilingual("without one, pads are read as words and change the states of the real ones",
                  "不给 mask，pad 被当作词读入，改变真实词的状态"), kind="exact",
    ),
    Claim(
        "missing_mask_is_refused", every("refused", "refused", "pads without a mask", "pads on the left"), exactly(1),
        "",
        Bilingual("this BERT refuses pads that come without a mask, and pads on the left without counted positions",
                  "本库的 BERT 会拒绝没有 mask 的 pad，以及没有计数位置的左侧 pad"), kind="exact",
    ),
    Claim(
        "forgotten_is_harmless", value(READ, "cosine", "mask forgotten", items=True, pads=16), above(0.99), "cosine",
        Bilingual("a forgotten mask is harmless: with 16 pads a sentence keeps its states (cosine over 0.99)",
                  "忘给 mask 无妨：16 个 pad 时句子表示不变（余弦大于 0.99）"),
        Bilingual("With 16 pads a forgotten mask was harmless.", "16 个 pad 时忘给 mask 无妨。"),
        Bilingual("A forgotten mask is not harmless: in a real BERT 16 pads took sentences to cosine "
                  "{forgotten_is_harmless.effect:.2f} of what they should be.",
                  "忘给 mask 有害：真实的 BERT 里，16 个 pad 使句子表示与应有的余弦降到 {forgotten_is_harmless.effect:.2f}。"),
        by="folk",
    ),
    Claim(
        "few_pads_little_harm", value(READ, "cosine", "mask forgotten", items=True, pads=1), above(0.98), "cosine",
        Bilingual("a single pad that is read does little (cosine over 0.98)", "只读入一个 pad 影响很小（余弦大于 0.98）"),
    ),
    Claim(
        "given_is_right", value(READ, "cosine", "mask given", items=True, pads=32), above(0.9999), "cosine",
        Bilingual("with the mask even 32 pads do nothing to a real BERT", "给了 mask，32 个 pad 对真实的 BERT 也毫无影响"),
    ),
    Claim(
        "neighbours_are_kept", value(BATCH, "neighbour_kept", "mask forgotten", items=True), above(0.9), "share",
        Bilingual("in a padded batch without a mask over 90 % of sentences still find the same nearest one",
                  "成批补齐而不给 mask，90% 以上的句子仍找到同一个最近邻"),
        Bilingual("In a padded batch sentences still found the same nearest one.", "成批补齐时句子仍找到同一个最近邻。"),
        Bilingual("In a padded batch without a mask {neighbours_are_kept.effect:.0%} kept their nearest neighbour.",
                  "成批补齐而不给 mask，只有 {neighbours_are_kept.effect:.0%} 的句子最近邻不变。"), by="folk",
    ),
    Claim(
        "default_means_unused", value("types", "cosine", "type 0 taken away", items=True), above(0.99), "cosine",
        Bilingual("token types that are not given are not used: without the vector of type 0 nothing changes "
                  "(cosine over 0.99)", "不给 token_type_ids 就是不用：去掉 type 0 的向量，结果不变（余弦大于 0.99）"),
        Bilingual("The vector of type 0 made no difference.", "type 0 的向量没有影响。"),
        Bilingual("A default is not 'unused': the vector of type 0 is still added (without it: cosine "
                  "{default_means_unused.effect:.2f}).",
                  "默认不等于“没用”：type 0 的向量照样加上（去掉它：余弦 {default_means_unused.effect:.2f}）。"), by="folk",
    ),
    Claim(
        "positions_heed_the_mask", value(READ, "cosine", "left pads", items=True, pads=16), above(0.99), "cosine",
        Bilingual("the default positions heed the mask: 16 pads on the left do no harm (cosine over 0.99)",
                  "默认位置会看 mask：左侧 16 个 pad 无妨（余弦大于 0.99）"),
        Bilingual("Pads on the left did no harm.", "左侧的 pad 无妨。"),
        Bilingual("Default positions count pads: with 16 on the left, mask given, the cosine is "
                  "{positions_heed_the_mask.effect:.2f}.",
                  "默认位置会把 pad 也数进去：左侧 16 个 pad，给了 mask 余弦也只有 {positions_heed_the_mask.effect:.2f}。"), by="folk",
    ),
    Claim(
        "pairs_need_types", value("types", "cosine", "pair without types", items=True), below(0.99), "cosine",
        Bilingual("a pair of sentences needs its types: all left at 0 its states are others (cosine below 0.99)",
                  "句对必须给 token_type_ids：全用默认的 0，表示就变了（余弦低于 0.99）"), by="folk",
    ),
]

LABELS = {
    "mask given": Bilingual("mask given", "给了 mask"), "mask forgotten": Bilingual("mask forgotten", "忘给 mask"),
    "left pads": Bilingual("left, positions default", "左补，默认位置"),
    "forgotten twice": Bilingual("mask forgotten, pads averaged too", "忘给 mask，平均时也计入 pad"),
}

FIGURES = [
    View(
        "pads", "lines", READ, ("cosine",), Axis("pads", Bilingual("pads beside each sentence", "每句的 pad 数"), log=True),
        Axis("value", Bilingual("cosine to the right sentence vector", "与正确句向量的余弦")),
        Bilingual("What pads do to sentences of this text", "pad 对这段文本的句子的影响"),
        Bilingual("A real BERT; the mean over a sentence's own tokens.", "真实的 BERT；只对句子自己的 token 求平均。"), labels=LABELS,
    ),
    View(
        "neighbours", "bars", BATCH, ("neighbour_kept",), Axis("arm", same("")),
        Axis("value", Bilingual("share of sentences with the right nearest neighbour", "最近邻正确的句子比例")),
        Bilingual("Sentences of this text in one padded batch", "这段文本的句子，成批补齐"),
        Bilingual("A real BERT, neighbours by cosine.", "真实的 BERT，按余弦取最近邻。"), labels=LABELS, band="none",
    ),
]

QUESTION = Question(
    number=11,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "The first layer sums three vectors, of the word, of its place and of its segment, and normalises. The word is "
        "what the user knows; the place is the index in the row, so the model counts it itself; a single sentence is "
        "segment 0 throughout. The mask takes no part in the sum: it decides which keys attention may see.\n\n"
        "So a default is a value, not an absence. Mask 1 at a pad means that each real word attends to it; type 0 "
        "means that row 0 is added; default places start at the first column, pad or not. With one unpadded sentence "
        "all defaults are right. A batch needs the mask, a pair the types, pads on the left the positions.",
        "第一层把词、位置、句段三种向量相加并归一化。词是用户给的；位置就是行内下标，模型自己会数；单句全是句段 0。"
        "mask 不参与相加，它决定注意力能看哪些 key。\n\n"
        "所以默认是一个值，不是“没有”：pad 处 mask 为 1，意味着每个真实词都会注意到它；type 为 0，意味着加上第 0 行；"
        "默认位置从第一列数起，不管那里是不是 pad。只有一句、没有 pad 时，默认全对；成批要给 mask，句对要给 type，左侧补齐要给位置。",
    ),
    formula="x = LayerNorm(E_word[ids] + E_position[0 … T−1] + E_type[types or 0])\nscores + (mask or 1 ? 0 : −∞)",
    held_equal=Bilingual(
        "No training. Bit-for-bit equality, refusals and pads are tried on this library's BERT, untrained, in float64. "
        "Cosines are those of one real checkpoint and a fixed set of sentences of the text: the mean over a sentence's "
        "own tokens, beside the same sentence read alone. Pads on the left are the table moved by as many places. "
        "Other checkpoints differ in size, above all in what types do: this one may never have been trained on pairs. "
        "Models of other families count positions otherwise.",
        "没有训练。逐比特相等、拒绝与 pad 的论断在本库未训练的 BERT 上（float64）检验。余弦来自一个真实检查点和文本中固定的一组句子，"
        "对句子自己的 token 求平均，与单独读这一句比较。左侧补齐等于把位置表平移同样多位。其他检查点数值不同，句段的作用尤其如此："
        "这个检查点可能没有用句对训练过。其他系列的模型数位置的方式不同。",
    ),
    sources=[
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805, 3"),
        Source("Devlin et al.", 2018, "The code of BERT", "github.com/google-research/bert, modeling.py"),
    ],
)
