"""BERT replaces the tokens that it asks for in three ways, 80/10/10: what is each of them for?

在 BERT 中，token 分 3 种情况做 mask，分别的作用是什么？
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments.claims import Claim, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.models import transformer_encoder
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.synthetic import HiddenMarkovLanguage, hidden_markov_language
from clearhead.text.tokenizers import Vocabulary
from clearhead.text.windows import character_windows
from clearhead.training.descent import descend

STATES, SYMBOLS, LENGTH = 5, 16, 8
ASKED = 0.3  # of the tokens; BERT asks for 0.15
LANGUAGE = hidden_markov_language(STATES, SYMBOLS, concentration=0.25, seed=1)
# Of the tokens that are asked for: the shares that become [MASK], stay, and become a random token.
RECIPES = {
    "80/10/10": "0.8 0.1 0.1",
    "all [MASK]": "1 0 0",
    "no random": "0.8 0.2 0",
    "no keep": "0.8 0 0.2",
    "all keep": "0 1 0",
}
BINS = (0.0, 0.05, 0.15, 0.4, 1.01)  # of P(word | all others), and what they are shown at
CENTRES = (0.02, 0.1, 0.25, 0.6)


class Net(nn.Module):
    """A small BERT for ids (B, T) of `symbols` and [MASK], which is the id `symbols`."""

    def __init__(self, symbols: int, width: int) -> None:
        super().__init__()
        self.symbols = symbols
        spec = transformer_encoder.Spec(hidden_size=width, num_hidden_layers=1, initializer_range=0.1)
        self.encoder = transformer_encoder.build(spec, Inventory(Vocabulary(symbols + 1), LENGTH))
        self.head = nn.Linear(width, symbols)

    def states(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D)."""
        layout = Layout(torch.full((len(ids),), ids.shape[1]), ids.shape[1], packed=False)
        found: Tensor = self.encoder(Batch(ids.flatten(), layout)).hidden
        return found.view(*ids.shape, -1)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V)."""
        logits: Tensor = self.head(self.states(ids))
        return logits


def corrupted(words: Tensor, recipe: str, symbols: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """What the net is shown, and which tokens it is asked for, (B, T) each."""
    mask, keep, _ = map(float, recipe.split())
    asked = torch.rand(words.shape, generator=rng) < ASKED
    kind = torch.rand(words.shape, generator=rng)
    other = torch.randint(symbols, words.shape, generator=rng)
    shown = torch.where(kind < mask, symbols, torch.where(kind < mask + keep, words, other))
    return torch.where(asked, shown, words), asked


def pretrained(recipe: str, seed: int, symbols: int, rows: Tensor, steps: int, learning_rate: float, width: int) -> Net:
    """A net trained on the asked tokens of `rows` (n, T), 64 rows a step."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    net = Net(symbols, width)

    def loss() -> Tensor:
        words = rows[torch.randint(len(rows), (64,), generator=rng)]
        shown, asked = corrupted(words, recipe, symbols, rng)
        return F.cross_entropy(net(shown)[asked], words[asked])

    optimizer = torch.optim.Adam(net.parameters(), learning_rate, fused=True)
    descend(optimizer, loss, steps, schedule="linear", warmup=0.1, clip=1.0)
    return net


@torch.no_grad()
def what_it_says(net: Net, words: Tensor, place: Tensor, seed: int) -> dict[str, Tensor]:
    """For one place of each row (B,): the probability of its word as it stands there clean, and of a wrong word that
    stands there in its stead, and the bits to fill it as a hole."""
    at, true = torch.arange(len(words)), words.gather(1, place[:, None])[:, 0]
    others = torch.randint(1, net.symbols, true.shape, generator=torch.Generator().manual_seed(seed))
    wrong = (true + others) % net.symbols

    def nats(shown: Tensor, answer: Tensor) -> Tensor:
        found: Tensor = net(words.scatter(1, place[:, None], shown[:, None])).log_softmax(-1)[at, place, answer]
        return found

    hole = -nats(torch.full_like(true, net.symbols), true) / math.log(2)
    return {"copies": nats(true, true).exp(), "believes_wrong": nats(wrong, wrong).exp(), "hole": hole}


def synthetic(arm: str, seed: int, steps: int, learning_rate: float = 1e-2, width: int = 32) -> Measured:
    """A net trained by one recipe on a language of hidden states: what it says of words, and what its states know.

    `hole` is in bits above the best possible, `copies_at` goes along P(word | all others) of the true language.
    """
    tags, words = (torch.from_numpy(x) for x in LANGUAGE.sample(np.random.default_rng(seed), 11_200, LENGTH))
    net = pretrained(arm, seed, SYMBOLS, words[1200:], steps, learning_rate, width)
    tags, words = tags[:1200], words[:1200]
    held_out = words[600:]
    place = torch.arange(600) % LENGTH
    said, chance = what_it_says(net, held_out, place, seed), from_context(held_out, place)
    bins = [(chance >= low) & (chance < high) for low, high in itertools.pairwise(BINS)]
    along = [said["copies"][part].mean().item() for part in bins]
    with torch.no_grad():
        states = net.states(words).flatten(0, 1)
    return {
        **{name: found.mean().item() for name, found in said.items()},
        "hole": (said["hole"] + chance.log2()).mean().item(),
        "copies_at": Along("context", dict(zip(CENTRES, along, strict=True))),
        "word_in_state": probed(states, words.flatten()), "tag_in_state": probed(states, tags.flatten()),
        "fine_tuned": fine_tuned(net, words, tags, seed),
    }


def from_context(words: Tensor, place: Tensor) -> Tensor:
    """P(the word at `place` | all others) under the true language (B,)."""
    unseen = np.concatenate([LANGUAGE.emissions, np.ones((STATES, 1))], 1)  # a hole says nothing of the state
    language = HiddenMarkovLanguage(LANGUAGE.start, LANGUAGE.transitions, unseen)
    at, hidden = np.arange(len(words)), words.scatter(1, place[:, None], SYMBOLS).numpy()
    chances = torch.from_numpy(language.posteriors(hidden)[at, place.numpy()] @ LANGUAGE.emissions)
    return chances.gather(1, words.gather(1, place[:, None]))[:, 0]


def probed(states: Tensor, labels: Tensor) -> float:
    """How often a linear read-out (ridge) of frozen states, fitted on the first half, is right on the second."""
    half = len(states) // 2
    x, y = F.pad(states, (0, 1), value=1.0).double(), F.one_hot(labels).double()
    weights = torch.linalg.solve(x[:half].T @ x[:half] + 0.1 * torch.eye(x.shape[1]), x[:half].T @ y[:half])
    right: Tensor = (x[half:] @ weights).argmax(-1).eq(labels[half:])
    return right.double().mean().item()


def fine_tuned(net: Net, words: Tensor, tags: Tensor, seed: int, sentences: int = 64, rounds: int = 30) -> float:
    """How often hidden states are told right after the whole net is fine-tuned on a few tagged sentences."""
    torch.manual_seed(seed)
    head = nn.Linear(net.head.in_features, STATES)

    def loss() -> Tensor:
        return F.cross_entropy(head(net.states(words[:sentences])).flatten(0, 1), tags[:sentences].flatten())

    descend(torch.optim.Adam([*net.parameters(), *head.parameters()], 2e-3, fused=True), loss, rounds, schedule="linear")
    with torch.no_grad():
        right: Tensor = head(net.states(words[600:])).argmax(-1).eq(tags[600:])
        return right.double().mean().item()


def on_text(
    arm: str, seed: int, corpus: Corpus, steps: int, characters: int, learning_rate: float = 2e-2, width: int = 32
) -> Measured:
    """The same net trained by one recipe on the characters of the text; bits are whole."""
    windows = character_windows(corpus, LENGTH, characters=characters)
    train, held_out = (torch.from_numpy(part) for part in (windows.train, windows.held_out))
    rng = torch.Generator().manual_seed(seed)
    net = pretrained(arm, seed, windows.symbols, train, steps, learning_rate, width)
    rows = held_out[torch.randint(len(held_out), (1000,), generator=rng)]
    said = what_it_says(net, rows, torch.randint(LENGTH, (1000,), generator=rng), seed)
    return {name: found.mean().item() for name, found in said.items()}


def best_answer(arm: str, seed: int, symbols: int = 5) -> Measured:
    """What the best possible model says at an asked place, by Bayes' rule over all words of a random language of three:
    how far its belief in a visible word is from the context's, from certainty and from a closed form."""
    rng = np.random.default_rng(seed)
    mask, keep, random = map(float, arm.split())
    language = torch.from_numpy(rng.dirichlet(np.ones(symbols**3)).reshape(symbols, symbols, symbols))  # before, w, after
    channel = torch.full((symbols, symbols + 1), random / symbols, dtype=torch.float64)  # w -> what is shown
    channel[:, :symbols] += keep * torch.eye(symbols, dtype=torch.float64)
    channel[:, symbols] = mask
    joint = language[..., None] * channel[None, :, None]  # before, w, after, shown
    belief = joint / joint.sum(1, keepdim=True)
    context = language / language.sum(1, keepdim=True)
    copies = torch.stack([belief[:, w, :, w] for w in range(symbols)], 1)  # before, w, after
    closed = context * (keep + random / symbols) / (keep * context + random / symbols)
    return {
        "copy_minus_context": (copies - context).abs().max().item(), "one_minus_copy": (1 - copies).abs().max().item(),
        "gap_to_closed_form": (copies - closed).abs().max().item(),
        "hole_minus_context": (belief[..., symbols] - context).abs().max().item(),
    }


ALL, MIXED, NO_RANDOM, NO_KEEP, ALL_KEEP = "all [MASK]", "80/10/10", "no random", "no keep", "all keep"


def recipes(*names: str) -> dict[str, str]:
    return {name: RECIPES[name] for name in names}


EXPERIMENTS = [
    Experiment("best_answer", best_answer, recipes(MIXED, NO_RANDOM, NO_KEEP), seeds=BySize((5,), (10,))),
    Experiment(
        "synthetic", synthetic, RECIPES, seeds=BySize((5,), (6, 12)), settings=BySize({"steps": 150}, {"steps": 350}),
        transfer={"width": 48, "learning_rate": 5e-3},
    ),
    Experiment(
        "text", on_text, recipes(MIXED, ALL, NO_RANDOM), seeds=BySize((5,), (6, 12)), needs_text=True,
        settings=BySize({"steps": 150, "characters": 200_000}, {"steps": 350, "characters": 1_000_000}),
    ),
]

CLAIMS = [
    Claim(
        "mask_makes_a_cloze", difference("synthetic", "hole", ALL_KEEP, MIXED), above(1), "bits",
        Bilingual("[MASK] makes the place a cloze: all kept, filling a hole is over 1 bit worse", "[MASK] 使该位置成为完形填空：若全部保持不变，填空差 1 比特以上"),
        Bilingual("[MASK] makes the place a cloze that cannot be copied: with every token kept, filling a hole was "
                  "{mask_makes_a_cloze.effect:.1f} bits worse.",
                  "[MASK] 使该位置成为无法抄写的完形填空：若全部保持不变，填空差 {mask_makes_a_cloze.effect:.1f} 比特。"),
        Bilingual("With every token kept, filling a hole was not over 1 bit worse.", "全部保持不变时，填空并没有差 1 比特以上。"),
        by="paper",
    ),
    Claim(
        "keep_learns_to_copy", value("synthetic", "copies", ALL_KEEP), above(0.9), "probability",
        Bilingual("with every token kept a net learns to copy", "若全部保持不变，网络只学会抄写"),
    ),
    Claim(
        "keep_leans_to_the_word", difference("synthetic", "copies", MIXED, ALL), above(0.1), "probability",
        Bilingual("kept tokens bias the output towards the word that is seen: by over 0.1 beside [MASK] alone",
                  "保持不变的 10% 使输出偏向实际看到的词：比全用 [MASK] 高 0.1 以上"),
        Bilingual(
            "Kept tokens lean the output to the word that is seen (its probability {keep_leans_to_the_word.effect:+.2f} "
            "beside [MASK] alone).",
            "“保持不变”使输出偏向看到的词（其概率比全用 [MASK] 时 {keep_leans_to_the_word.effect:+.2f}）。",
        ),
        Bilingual("Kept tokens did not lean the output to the word seen by 0.1.", "“保持不变”没有让输出向所见的词偏 0.1。"), by="paper",
    ),
    Claim(
        "random_breeds_doubt", difference("synthetic", "believes_wrong", NO_RANDOM, MIXED), above(0.2), "probability",
        Bilingual("random tokens teach doubt: without them a wrong word is believed more, by over 0.2",
                  "随机词教会怀疑：没有随机词，错词被相信的概率高 0.2 以上"),
        Bilingual(
            "Random tokens teach doubt: without them a wrong word was believed with {random_breeds_doubt.effect:.2f} more.",
            "“随机”教会怀疑：没有它，错词被相信的概率高 {random_breeds_doubt.effect:.2f}。",
        ),
        Bilingual("Without random tokens wrong words were not believed 0.2 more.", "没有随机词，错词被相信的概率并没有高 0.2。"),
        by="paper",
    ),
    Claim(
        "random_alone_would_do", difference("synthetic", "copies", NO_KEEP, MIXED), near(0, 0.1), "probability",
        Bilingual("random tokens alone would do, without kept ones: visible words are trusted as much (within 0.1)",
                  "只要随机、不要保持不变也行：对可见词的信任相同（差 0.1 以内）"),
        Bilingual("Without kept tokens visible words were trusted as much.", "没有“保持不变”，对可见词的信任相同。"),
        Bilingual("Random without kept tokens takes trust in what is seen away "
                  "({random_alone_would_do.effect:+.2f}).",
                  "只有随机而无保持不变，对所见词的信任就没了（{random_alone_would_do.effect:+.2f}）。"), by="folk",
    ),
    Claim(
        "ignoring_is_best", every("best_answer", "copy_minus_context", NO_KEEP), exactly(0), "probability",
        Bilingual("without kept tokens the best model ignores the word that it sees", "没有保持不变时，最优模型完全无视所见的词"),
        kind="exact",
    ),
    Claim(
        "copying_is_best", every("best_answer", "one_minus_copy", NO_RANDOM), exactly(0), "probability",
        Bilingual("without random tokens the best model copies blindly", "没有随机词时，最优模型盲目抄写"), kind="exact",
    ),
    Claim(
        "weighing_is_best", every("best_answer", "gap_to_closed_form", MIXED), exactly(0), "probability",
        Bilingual(
            "with both it weighs the word against its context: (p + p/V) / (p + 1/V), p the context's probability",
            "两者都有时，它在所见与上下文之间权衡：(p + p/V) / (p + 1/V)，p 为上下文给该词的概率",
        ),
        Bilingual(
            "With both, the best model copies with (p + p/V) / (p + 1/V): p how well the word fits, V the vocabulary size.", "两者份额相等时，最优的抄写概率是 (p + p/V) / (p + 1/V)：p 为该词与上下文的相符度，V 为词表大小。",
        ), kind="exact",
    ),
    Claim(
        "hole_is_the_same", every("best_answer", "hole_minus_context", MIXED, NO_RANDOM, NO_KEEP), exactly(0), "probability",
        Bilingual("what is best at [MASK] is the same under every recipe", "在 [MASK] 处的最优答案与配比无关"), kind="exact",
    ),
    Claim(
        "keeps_contextual_states", difference("synthetic", "tag_in_state", NO_RANDOM, MIXED), below(0), "accuracy",
        Bilingual(
            "random tokens keep every token's state contextual: without them hidden tags are read worse from frozen states",
            "随机词迫使每个词的表示保留上下文：没有它，从冻结的状态里读隐藏标签更差",
        ),
        Bilingual("Without random tokens frozen states knew less of the context.", "没有随机词，冻结的状态里上下文信息更少。"),
        Bilingual("Without random tokens frozen states knew no less of the context.", "没有随机词，冻结的状态里上下文信息并不更少。"),
        by="paper",
    ),
    Claim(
        "no_harm", difference("synthetic", "hole", MIXED, ALL), below(0.1), "bits",
        Bilingual(
            "random and kept tokens do the cloze no harm of 0.1 bits beside [MASK] alone", "随机词与保持不变对填空的损害不到 0.1 比特（与全用 [MASK] 相比）"
        ),
        Bilingual("Random and kept tokens cost the cloze less than 0.1 bits.", "随机与保持不变对填空的代价不到 0.1 比特。"),
        Bilingual("Random and kept tokens cost the cloze {no_harm.effect:.2f} bits.", "随机与保持不变使填空差了 {no_harm.effect:.2f} 比特。"), by="paper",
    ),
    Claim(
        "mismatch_spoils", difference("synthetic", "fine_tuned", ALL, MIXED), below(-0.05), "accuracy",
        Bilingual(
            "[MASK] alone spoils fine-tuning, which never sees [MASK]: over 5 points worse", "全用 [MASK] 会毁掉微调（微调时没有 [MASK]）：差 5 个百分点以上"
        ),
        Bilingual(
            "[MASK] alone cost fine-tuning {mismatch_spoils.effect:+.2f} of accuracy.", "全用 [MASK]，微调后正确率 {mismatch_spoils.effect:+.2f}。"
        ),
        Bilingual("[MASK] alone cost fine-tuning less than 5 points ({mismatch_spoils.effect:+.2f}).",
                  "全用 [MASK] 对微调的损害不到 5 个百分点（{mismatch_spoils.effect:+.2f}）。"), by="folk",
    ),
    Claim(
        "forgets_the_word", value("synthetic", "word_in_state", NO_KEEP), below(0.5), "accuracy",
        Bilingual("without kept tokens a state forgets its own word: a linear read-out gets under half of them",
                  "没有保持不变，状态会忘掉自己的词：线性读出不到一半"), by="folk",
    ),
    Claim(
        "text_leans", difference("text", "copies", MIXED, ALL), above(0.1), "probability",
        Bilingual("on this text too, kept tokens lean the output to the character seen", "在这段文本上，保持不变同样使输出偏向所见的字符"),
    ),
    Claim(
        "text_doubts", difference("text", "believes_wrong", NO_RANDOM, MIXED), above(0.2), "probability",
        Bilingual("on this text too, without random tokens a wrong character is believed more, by over 0.2",
                  "在这段文本上，没有随机词，错字被相信的概率也高 0.2 以上"),
    ),
]

LABELS = {
    MIXED: Bilingual("80/10/10", "80/10/10"), ALL: Bilingual("all [MASK]", "全 [MASK]"),
    NO_RANDOM: Bilingual("no random (80/0/20)", "无随机（80/0/20）"), NO_KEEP: Bilingual("no keep (80/20/0)", "无保持（80/20/0）"),
    ALL_KEEP: Bilingual("all kept", "全保持"),
    "tag_in_state": Bilingual("frozen states", "冻结的状态"), "fine_tuned": Bilingual("fine-tuned", "微调"),
}

FIGURES = [
    View(
        "copies", "lines", "synthetic", ("copies_at",),
        Axis("context", Bilingual("probability that the context gives the word", "上下文给该词的概率")),
        Axis("value", Bilingual("probability that the net gives the word it sees", "网络给所见词的概率")),
        Bilingual("How far a net trusts the word that it sees", "网络有多相信它看到的词"),
        Bilingual("Clean tokens of a language whose context probabilities are known. Shares are mask/random/keep.",
                  "上下文概率已知的语言，未被改动的词。配比为 mask/随机/保持。"),
        labels=LABELS, arms=(MIXED, ALL, NO_RANDOM, NO_KEEP),
    ),
    View(
        "states", "bars", "synthetic", ("tag_in_state", "fine_tuned"), Axis("arm", same("")),
        Axis("value", Bilingual("hidden tags told right", "隐藏标签的正确率")),
        Bilingual("What it is worth afterwards", "之后有什么用"),
        Bilingual("Tags read from clean words: by a linear read-out, and after fine-tuning on 64 sentences.",
                  "从干净的词读标签：线性读出，以及用 64 句微调之后。"),
        colour="measure", labels=LABELS,
    ),
]

QUESTION = Question(
    number=10, title=title_of(__doc__), experiments=EXPERIMENTS, claims=CLAIMS, figures=FIGURES,
    mechanism=Bilingual(
        "BERT asks for 15 % of the tokens; of these 80 % become [MASK], 10 % a random token and 10 % stay. At [MASK] "
        "nothing can be copied, so context must be used. But fine-tuning shows no [MASK], only visible words, and on "
        "these a model trained with [MASK] alone was never asked anything.\n\n"
        "The other two cases ask there. If every visible asked word were right, copying would be best; if every one were "
        "random, ignoring it would be. Mixed, the model must weigh what it sees against what the context expects. With a "
        "large vocabulary 1/V is tiny, so that a word that fits at all is nearly copied.",
        "BERT 预测 15% 的 token，其中 80% 换成 [MASK]，10% 换成随机词，10% 不变。[MASK] 处无从抄写，只能用上下文。"
        "但微调时没有 [MASK]，只有可见的词，而只用 [MASK] 训练的模型从未在可见词上被提问。\n\n"
        "另外两种情况就是在可见词上提问：若被问的可见词全是对的，最优就是照抄；若全是随机的，最优就是无视；"
        "两者混合，模型必须在所见与上下文之间权衡。词表很大时 1/V 很小，只要还算合乎上下文的词几乎都会照抄。",
    ),
    formula="P(copy) = p·(keep + random/V) / (p·keep + random/V),  p = P(word | context)",
    held_equal=Bilingual(
        "One encoder (one layer, width 32) in every arm, the same steps, batches, learning rate and places asked for "
        "(30 % of 8), paired seeds; the recipe alone differs. The language has 5 hidden states and 16 symbols, so a "
        "visible word is doubted far more often than in a vocabulary of 30,000. Tags are the hidden states. Short "
        "training of a small net: sizes of effects are its own.",
        "各组是同一个编码器（一层，宽 32），步数、批次、学习率、被问的位置（8 个中的 30%）都相同，种子配对，只有配比不同。"
        "语言有 5 个隐状态、16 个符号，可见词受怀疑的程度远高于三万词的词表。标签就是隐状态。小网络、短训练：效应大小只属于它自己。",
    ),
    sources=[
        Source("Devlin et al.", 2018, "BERT: Pre-training of Deep Bidirectional Transformers", "arXiv:1810.04805, 3.1, A.1, C.2"),
        Source("Wettig et al.", 2022, "Should You Mask 15% in Masked Language Modeling?", "arXiv:2202.08005"),
    ],
)
