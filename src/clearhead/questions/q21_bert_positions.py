"""What is BERT's positional encoding?

BERT 的位置编码是什么？
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from clearhead.batches.batch import Batch, collate
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.errors import InputError
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.interop.finding import Found, opened
from clearhead.layers.positions import LearnedPositions, SinusoidalPositions
from clearhead.models import bert
from clearhead.models.bert import Bert
from clearhead.models.states import States
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.marked import marked_sentences
from clearhead.text.tokenizers import Vocabulary
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

TABLE = "encoder.position_embedding.table.weight"
START = 0.02  # the spread of words and positions at BERT's start
MASKED = 0.15


def table_of(model: Bert) -> nn.Parameter:
    """The rows (places, D) that a BERT adds to its words."""
    table = model.get_parameter(TABLE)
    assert isinstance(table, nn.Parameter)
    return table


def sinusoids(rows: Tensor) -> Tensor:
    """The formula of the Transformer, every row as long as that of `rows` is on average."""
    places = torch.arange(len(rows))
    formula: Tensor = SinusoidalPositions().at(torch.zeros_like(rows), places, len(rows))
    scaled: Tensor = formula / formula.norm(dim=1, keepdim=True) * rows.norm(dim=1).median()
    return scaled


def states(model: Bert, batch: Batch, table: Tensor) -> Tensor:
    """The last states (N, D) with `table` in the place of the model's own."""
    found: States = functional_call(model, {TABLE: table}, (batch,))
    return found.hidden


def untrained(arm: str, seed: int, length: int = 8) -> Measured:
    """What BERT's embedding layer adds, and what shuffling its input does with the table and without (float64)."""
    torch.manual_seed(seed)
    spec = bert.Spec(hidden_size=16, initializer_range=0.3, positions=arm)
    model = bert.build(spec, Inventory(Vocabulary(16), length)).double().eval()
    ids, order = torch.randint(16, (length,)), torch.randperm(length)
    refused = 0.0
    try:
        model(collate([torch.zeros(length + 1, dtype=torch.int64)], packed=True))
    except InputError:
        refused = 1.0
    before, after = (model(collate([x], packed=True)) for x in (ids, ids[order]))
    measured = {
        "refused": refused,
        "shuffled": ((after.hidden - before.hidden[order]).norm() / before.hidden.norm()).item(),
        "weights": sum(p.numel() for name, p in model.named_parameters() if "position" in name) / (16 * length),
    }
    if arm == "learned":
        encoder, types = model.encoder, model.get_parameter("encoder.token_type_embedding.weight")
        total = encoder.token_embedding.weight[ids] + table_of(model) + types[0]
        normed = F.layer_norm(total, (16,), eps=spec.layer_norm_eps)
        model(collate([ids[:5]], packed=True)).hidden.pow(3).sum().backward()
        rows = table_of(model).grad
        assert rows is not None
        measured["sum_error"] = (before.layers[0] - normed).abs().max().item()
        measured["seen_rows"], measured["unseen_rows"] = rows[:5].norm(dim=1).min().item(), rows[5:].abs().max().item()
    return measured


def similarity(arm: str, seed: int, checkpoint: Found, rows: int = 512) -> Measured:
    """How alike the rows of a real BERT's table are, beside the sinusoids and a random table of the same shape."""
    model, _ = opened(checkpoint)
    learned = table_of(model).detach()[:rows]
    fresh = torch.randn(learned.shape, generator=torch.Generator().manual_seed(seed))
    table = {"learned": learned, "sinusoids": sinusoids(learned), "random": fresh}[arm].double()
    unit = F.normalize(table, dim=1)
    cosine, places = unit @ unit.T, torch.arange(len(table))
    distance = (places[:, None] - places).abs()
    nearest = cosine.masked_fill(distance == 0, -math.inf).argmax(1)
    by_distance = torch.stack([cosine.diagonal(d).mean() for d in range(len(table))])
    apart = distance > 0
    missed = (cosine - by_distance[distance]).masked_fill(~apart, 0).square()
    spread = (cosine - cosine[apart].mean()).masked_fill(~apart, 0).square()
    bands = zip(torch.split(missed, 32), torch.split(spread, 32), strict=True)
    told = [1 - (left.sum() / whole.sum()).item() for left, whole in bands]
    return {
        "beside_its_neighbour": Along("row", dict(enumerate((nearest - places).abs().eq(1).double().tolist()))),
        "told_by_distance": Along("band", dict(enumerate(told))),
        "cosine": Along("distance", {2**d: by_distance[2**d].item() for d in range(9) if 2**d < len(table)}),
    }


def replaced(arm: str, seed: int, corpus: Corpus, checkpoint: Found, sentences: int = 32) -> Measured:
    """The cosine between a sentence's mean state in a real BERT and the same with another table of positions."""
    model, tokenizer = opened(checkpoint)
    table = table_of(model).detach()
    if arm in {"none", "sinusoids"}:
        other = torch.zeros_like(table) if arm == "none" else sinusoids(table)
    else:
        other = table.roll(-int(arm), 0)  # the sentence begins at place 1, 64 or 256 instead of 0
    rows = marked_sentences(corpus, tokenizer, sentences, shortest=8, longest=48)
    batch = collate([torch.from_numpy(row) for row in rows], packed=True)
    with torch.no_grad():
        read = [torch.split(states(model, batch, rows), batch.layout.sizes) for rows in (table, other)]
    right, wrong = (torch.stack([sentence.mean(0) for sentence in found]) for found in read)
    return {"cosine": Along("sentence", dict(enumerate(F.cosine_similarity(right, wrong).tolist())))}


def small_bert(arm: str, vocabulary: int, longest: int) -> Bert:
    """One layer of width 32 whose table of positions is learned, fixed sinusoids, or not there."""
    spec = bert.Spec(
        hidden_size=32, num_hidden_layers=1, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
        initialization="xavier", initializer_range=START, positions="none" if arm == "none" else "learned",
    )
    model = bert.build(spec, Inventory(Vocabulary(vocabulary), longest))
    if arm == "sinusoids":
        with torch.no_grad():
            table_of(model).copy_(sinusoids(table_of(model))).requires_grad_(False)
    return model


def masked_characters(
    arm: str, seed: int, corpus: Corpus, learning_rate: float, steps: int, characters: int, length: int = 8
) -> Measured:
    """Bits a hidden character of held-out text costs a small BERT, at the places it was trained on and at others.

    `unseen`: the same windows, put at the next 8 places. All tables start at the size of the words, as BERT's do.
    """
    windows = character_windows(corpus, length, characters=characters)
    torch.manual_seed(seed)
    model, readout = small_bert(arm, windows.symbols + 1, 2 * length), nn.Linear(32, windows.symbols)
    rng = torch.Generator().manual_seed(seed)

    def bits(text: Tensor) -> Tensor:
        hidden = torch.rand(text.shape, generator=rng) < MASKED
        shown = text.masked_fill(hidden, windows.symbols).flatten()
        batch = Batch(shown, Layout(torch.full((len(text),), length), length, packed=False))
        found = readout(model(batch).hidden[hidden.flatten()])
        return F.cross_entropy(found, text[hidden]) / math.log(2)

    train, held = torch.from_numpy(windows.train), torch.from_numpy(windows.held_out)
    weights = [p for p in (*model.parameters(), *readout.parameters()) if p.requires_grad]
    descend(
        torch.optim.Adam(weights, learning_rate, fused=True),
        lambda: bits(train[torch.randint(len(train), (64,), generator=rng)]),
        steps, schedule="linear", warmup=0.1, clip=1.0,
    )
    asked = held[torch.linspace(0, len(held) - 1, 1500).long()]
    rng.manual_seed(seed)
    with torch.no_grad():
        measured = {"bits": bits(asked).item()}
        if isinstance(model.encoder.position_embedding, LearnedPositions):
            table = table_of(model)
            unit = F.normalize(table[:length], dim=1)
            cosine = unit @ unit.T
            near_by, far = cosine.diagonal(1).mean(), cosine.triu(4).sum() / cosine.triu(4).count_nonzero()
            measured["neighbours_closer"] = (near_by - far).item()
            table.copy_(table.roll(-length, 0))
        rng.manual_seed(seed)
        measured["unseen"] = bits(asked).item()
    return measured


TEXT, ALIKE, OTHER = "masked_characters", "similarity", "replaced"
EXACT, ONCE = BySize((4,), (8,)), BySize((1,), (1,))

EXPERIMENTS = [
    Experiment("untrained", untrained, ("learned", "none"), seeds=EXACT),
    Experiment(
        ALIKE, similarity, ("learned", "sinusoids", "random"), seeds=ONCE, needs_checkpoint=True, transfer={"rows": 128}
    ),
    Experiment(
        OTHER, replaced, ("1", "64", "256", "sinusoids", "none"), seeds=ONCE, needs_text=True, needs_checkpoint=True
    ),
    Experiment(
        TEXT, masked_characters, ("learned", "sinusoids", "none"), seeds=BySize((5,), (6, 12)), needs_text=True,
        settings=BySize({"steps": 260, "characters": 300_000}, {"steps": 500, "characters": 1_000_000}),
        tune=Tune("learning_rate", (2e-3, 4e-3, 8e-3), "bits", settings=BySize({"steps": 200}, {"steps": 400})),
    ),
]

CLAIMS = [
    Claim(
        "a_row_is_added", every("untrained", "sum_error", "learned"), exactly(0, 1e-9), "",
        Bilingual("BERT adds row i of a table to the word and segment vectors at place i, before its LayerNorm",
                  "BERT 在 LayerNorm 之前把表的第 i 行加到位置 i 的词向量与句段向量上"),
        Bilingual("BERT's positions are a table: row i is added to the word and segment vectors at place i.",
                  "BERT 的位置编码是一张表：第 i 行加到位置 i 的词向量与句段向量上。"),
        Bilingual("BERT added something else here.", "这里 BERT 加的是别的东西。"), kind="exact",
    ),
    Claim(
        "a_weight_each", every("untrained", "weights", "learned"), exactly(1), "weights per number",
        Bilingual("every number of that table is a weight of its own: nothing is computed from the place",
                  "表中每个数都是独立的参数：不由位置算出"),
        Bilingual("All of it is learned.", "其中每个数都是学出来的，没有公式。"), kind="exact",
    ),
    Claim(
        "blind_without", every("untrained", "shuffled", "none"), exactly(0, 1e-9), "relative",
        Bilingual("without the table BERT is order blind: shuffled input gives its output, shuffled",
                  "没有这张表，BERT 不知顺序：打乱输入，输出只是跟着打乱"),
        Bilingual("Without it BERT is blind to order (exact).", "没有它，BERT 不知顺序（严格成立）。"), kind="exact",
    ),
    Claim(
        "sees_order_with_it", every("untrained", "shuffled", "learned"), above(0.01), "relative",
        Bilingual("with it BERT is not", "有这张表则不然"), kind="exact",
    ),
    Claim(
        "masked_words_need_it", difference(TEXT, "bits", "none", "learned"), above(0.05), "bits",
        Bilingual("on this text a small BERT without it is over 0.05 bits worse at hidden characters",
                  "在这段文本上，没有它的小 BERT 猜被遮的字符差 0.05 比特以上"),
        Bilingual("On this text a small BERT without it lost {masked_words_need_it.effect:.2f} bits a character.",
                  "在这段文本上，没有它的小 BERT 每个被遮字符多损失 {masked_words_need_it.effect:.2f} 比特。"),
        Bilingual("On this text a small BERT hardly needed it at this budget.", "在此预算下，小 BERT 在这段文本上几乎用不到它。"),
    ),
    Claim(
        "neighbours_found", value(ALIKE, "beside_its_neighbour", "learned", items=True), above(0.9), "share of rows",
        Bilingual("nobody says that 5 follows 4, yet in a trained BERT over 90 % of rows are nearest to a neighbour",
                  "没人告诉它 5 在 4 之后，但训练好的 BERT 中 90% 以上的行与相邻行最相近"),
        Bilingual("Nobody tells it that rows are ordered, yet in a trained BERT {neighbours_found.effect:.1%} of rows "
                  "are nearest to a neighbour.",
                  "没人告诉它行有先后，但训练好的 BERT 中 {neighbours_found.effect:.1%} 的行与相邻行最相近。"),
        Bilingual("In this BERT rows are not always nearest to a neighbour.", "这个 BERT 的行并不总与相邻行最相近。"),
    ),
    Claim(
        "order_from_this_text", value(TEXT, "neighbours_closer", "learned"), above(0.1), "cosine",
        Bilingual("on this text as well training draws neighbouring rows together (cosine 0.1 above that of far rows)",
                  "在这段文本上训练也会让相邻行靠近（余弦比远处的行高 0.1 以上）"),
    ),
    Claim(
        "becomes_sinusoids", value(ALIKE, "told_by_distance", "learned", items=True), above(0.9), "R²",
        Bilingual("it becomes like the sinusoids: how alike two rows are depends on distance alone (R² over 0.9)",
                  "它学成了正弦那样：两行的相似度只取决于距离（R² 大于 0.9）"),
        Bilingual("How alike two rows are depends on their distance alone, as with sinusoids.",
                  "两行的相似度只取决于距离，与正弦一样。"),
        Bilingual("It does not become the sinusoids: distance explains {becomes_sinusoids.effect:.0%} of how alike two "
                  "rows are (theirs: all).",
                  "它没有变成正弦：距离只解释相似度的 {becomes_sinusoids.effect:.0%}（正弦是全部）。"), by="folk",
    ),
    Claim(
        "sinusoids_cannot_stand_in", value(OTHER, "cosine", "sinusoids", items=True), below(0.9), "cosine",
        Bilingual("put in their place, sinusoids change a trained BERT's sentence states (cosine below 0.9)",
                  "换成正弦会改变训练好的 BERT 的句子表示（余弦低于 0.9）"),
    ),
    Claim(
        "only_relative", value(OTHER, "cosine", "64", items=True), above(0.99), "cosine",
        Bilingual("absolute numbers do not matter: a sentence moved by 64 places keeps its states (cosine over 0.99)",
                  "绝对位置号无所谓：整句平移 64 位，句子表示不变（余弦大于 0.99）"),
        Bilingual("A sentence moved by 64 places kept its states.", "整句平移 64 位，句子表示不变。"),
        Bilingual("It stays absolute: moved 64 places, a sentence gets new states (cosine {only_relative.effect:.2f}).",
                  "它仍是绝对位置：整句平移 64 位，句子表示就变了（余弦 {only_relative.effect:.2f}）。"), by="folk",
    ),
    Claim(
        "as_good_as_sinusoids", difference(TEXT, "bits", "sinusoids", "learned"), near(0, 0.2), "bits",
        Bilingual("learned vectors and sinusoids are nearly equally good (within 0.2 bits)",
                  "学习式与正弦几乎一样好（相差不到 0.2 比特）"),
        Bilingual("In loss learned rows and sinusoids were within 0.2 bits.", "损失上，学习式与正弦相差不到 0.2 比特。"),
        Bilingual("In loss learned rows and sinusoids differed here.", "损失上，学习式与正弦在这里有差别。"), by="paper",
    ),
    Claim(
        "no_place_beyond", every("untrained", "refused", "learned"), exactly(1), "",
        Bilingual("a sentence longer than the table (512 rows in BERT) cannot be read", "比表长的句子（BERT 是 512 行）读不了"),
        Bilingual("The price: no place beyond the last row (512 in BERT).", "代价：最后一行（BERT 是 512）之后没有位置。"),
        kind="exact",
    ),
    Claim(
        "rows_learn_from_their_place", every("untrained", "unseen_rows", "learned"), exactly(0), "gradient",
        Bilingual("a row that no sentence reaches gets no gradient", "没有句子到达的行得不到梯度"), kind="exact",
    ),
    Claim(
        "untrained_rows_harm", difference(TEXT, "unseen", "learned", "none"), above(0), "bits",
        Bilingual("at places never trained its rows are worse than no positions", "在没训练过的位置上，这些行比没有位置还差"),
        Bilingual("Rows never trained were worse than none.", "没训练过的行比没有位置还差。"),
        Bilingual("Rows never trained were no worse than none.", "没训练过的行并不比没有位置差。"),
    ),
    Claim(
        "sinusoids_would_extend", difference(TEXT, "unseen", "sinusoids", "none"), below(0), "bits",
        Bilingual("sinusoids would do better: at places never trained they still help", "换成正弦会更好：没训练过的位置上仍有帮助"),
        by="folk",
    ),
]

LABELS = {
    "learned": Bilingual("BERT's table", "BERT 的表"), "sinusoids": Bilingual("sinusoids", "正弦"),
    "random": Bilingual("random table", "随机表"), "none": Bilingual("no positions", "无位置"),
    "bits": Bilingual("trained places", "训练过的位置"), "unseen": Bilingual("places never trained", "没训练过的位置"),
}

FIGURES = [
    View(
        "similarity", "lines", ALIKE, ("cosine",),
        Axis("distance", Bilingual("distance of two places", "两个位置的距离"), log=True),
        Axis("value", Bilingual("mean cosine of their rows", "两行的平均余弦")),
        Bilingual("Rows of a trained BERT's table by distance", "训练好的 BERT：位置表各行的相似度随距离变化"),
        Bilingual("A real checkpoint beside the sinusoids and a random table.", "真实检查点，与正弦和随机表对照。"), labels=LABELS,
    ),
    View(
        "text", "bars", TEXT, ("bits", "unseen"), Axis("arm", same("")),
        Axis("value", Bilingual("bits a hidden character, held out", "每个被遮字符的比特数（留出）")),
        Bilingual("A small BERT on this text, at trained places and at new ones", "这段文本上的小 BERT：训练过的位置与新位置"),
        Bilingual("The same windows of 8 characters, put at the next 8 places.", "同样的 8 字符窗口，放到其后的 8 个位置。"),
        colour="measure", labels=LABELS,
    ),
]

QUESTION = Question(
    number=21,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "Attention and feed-forward treat all places alike, so the place must come in with the input. BERT gives every "
        "absolute place a vector of its own and lets gradients shape it, like a word's. Words that stand near each "
        "other depend on each other much alike at all places, so nearby rows end up alike though nothing says that "
        "they are near.\n\n"
        "A row is trained only by tokens that stand there. So rows that training sentences seldom reach stay close to "
        "their random start, and there is none beyond the last. The paper trains a tenth of its steps on sentences of "
        "512 tokens for the sake of these rows. It gives no reason for learning them rather than taking sinusoids.",
        "注意力与前馈层对所有位置一视同仁，所以位置必须随输入进来。BERT 给每个绝对位置一个自己的向量，像词向量一样由梯度塑造。"
        "相邻的词在各处都以相似的方式相互依赖，所以邻近的行会变得相像，尽管没人说它们相邻。\n\n"
        "一行只由处在该位置的 token 训练：训练句子很少到达的位置，行停留在随机初值附近；最后一行之后则没有位置。"
        "论文用十分之一的步数在 512 长的句子上训练，就是为了这些行。至于为什么学而不用正弦，论文没有给理由。",
    ),
    formula="xᵢ = LayerNorm(E_word[wᵢ] + E_position[i] + E_segment[sᵢ]),   E_position: 512 × H, learned",
    held_equal=Bilingual(
        "Masked characters: a BERT of one layer (width 32), windows of 8 characters from random places of the text, "
        "15 % hidden; equal steps and batches, paired seeds, a learning rate for each from the same sweep. All tables "
        "start at the size of the words, as in BERT; sinusoids are not trained and have that many fewer weights. A "
        "small net, shortly trained: sizes of effects are its own. What is said of a trained BERT is of the one "
        "checkpoint on this machine, with its table moved or replaced and nothing trained again.",
        "遮字符：单层 BERT（宽 32），文本随机处的 8 字符窗口，遮住 15%；步数与批次相同，种子配对，各自在同一扫描中选学习率。"
        "所有表的起始大小与词向量相同（同 BERT）；正弦不训练，参数因此更少。这是小网络的短训练，效应大小只属于它。"
        "关于训练好的 BERT 的说法只针对本机的那个检查点：移动或替换它的表，不再训练。",
    ),
    sources=[
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805, A.2"),
        Source("Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762, table 3 row E"),
    ],
)
