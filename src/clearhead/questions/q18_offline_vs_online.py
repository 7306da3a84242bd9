"""Why do test metrics and online metrics differ, and how can one tell?

测试指标与线上指标为什么会有差异？怎样分析？
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clearhead.bilingual import Bilingual, title_of
from clearhead.evaluation import audit as causes
from clearhead.evaluation.audit import Live, Offline, accuracy, audit, label_weights, macro_f1
from clearhead.experiments.claims import Claim, above, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View

Rows = NDArray[np.float64]
Ids = NDArray[np.int64]
NOTHING, TWO = "nothing", "two that cancel"
INJECTED = (causes.LEAKAGE, causes.METRIC, causes.LABELS, causes.INPUTS, causes.CONCEPT, causes.SKEW, causes.SELECTION)
TEST, LIVE = 2000, 4000


@dataclass(frozen=True)
class World:
    """Three classes of texts as counts of words; `mix` of the classes, mean `length`, and a share of class 0 whose
    label is another one (`renamed`): the rule that a concept change changes."""

    words: Rows  # P(word | class, topic) (3, 4, V)
    mix: tuple[float, float, float] = (0.6, 0.25, 0.15)
    length: float = 14.0
    renamed: float = 0.0

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Rows, Ids]:
        y = rng.choice(3, size=n, p=np.array(self.mix) / sum(self.mix))
        lengths = 1 + rng.poisson(rng.gamma(2, self.length / 2, n))
        counts = rng.multinomial(lengths, self.words[y, rng.integers(4, size=n)])
        return counts.astype(float), np.where((y == 0) & (rng.random(n) < self.renamed), 1, y)


def model_of(counts: Rows, y: Ids) -> Tensor:
    """A softmax classifier (V + 1, 3) of the words that occur, trained until it knows its few examples by heart."""
    x, w = seen(counts), torch.zeros(counts.shape[1] + 1, 3, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        now = F.cross_entropy(x @ w, torch.from_numpy(y)) + 1e-3 * w.square().sum()
        now.backward()  # type: ignore[no-untyped-call]
        return now

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return w.detach()


def seen(counts: Rows) -> Tensor:
    return torch.from_numpy(np.concatenate([np.minimum(counts, 1), np.ones((len(counts), 1))], axis=1)).float()


@dataclass(frozen=True)
class Deployed:
    """A world, a model of it, and what is wrong between its test and its life: the names of the injected causes."""

    world: World
    train: tuple[Rows, Ids]
    model: Tensor
    wrong: tuple[str, ...]

    def probabilities(self, counts: Rows) -> Rows:
        found: Rows = (seen(counts) @ self.model).softmax(-1).numpy().astype(float)
        return found

    def features(self, counts: Rows) -> Rows:
        """Where inputs may shift: the model's two log-odds and the length."""
        log_p = np.log(self.probabilities(counts).clip(1e-6))
        return np.column_stack([log_p[:, 1] - log_p[:, 0], log_p[:, 2] - log_p[:, 0], counts.sum(1)])

    def test_rows(self, rng: np.random.Generator, n: int) -> tuple[Rows, Ids, NDArray[np.bool_]]:
        counts, y = self.world.draw(rng, n)
        repeated = rng.random(n) < (0.3 if causes.LEAKAGE in self.wrong else 0.0)
        copied = rng.integers(len(self.train[1]), size=n)
        counts = np.where(repeated[:, None], self.train[0][copied], counts)
        return counts, np.where(repeated, self.train[1][copied], y), repeated

    def live_rows(self, rng: np.random.Generator, n: int) -> tuple[Rows, Rows, Ids, Rows]:
        """Counts, the counts that serving sees, labels, and the probability that a row gets its label."""
        world = self.world
        world = replace(world, mix=(0.6, 0.25, 0.6)) if causes.LABELS in self.wrong else world
        world = replace(world, length=7.0) if causes.INPUTS in self.wrong else world
        world = replace(world, renamed=0.15) if causes.CONCEPT in self.wrong else world
        counts, y = world.draw(rng, n)
        served = counts.copy()
        if causes.SKEW in self.wrong:
            served[:, ::3] = 0  # every third word is lost on the way
        sure = self.probabilities(served).max(1)
        by_sureness = np.where(sure > np.quantile(sure, 0.5), 0.6, 0.1)
        return counts, served, y, by_sureness if causes.SELECTION in self.wrong else np.full(n, 0.35)

    def says(self, counts: Rows) -> Ids:
        """The class that the model gives each row."""
        chosen: Ids = self.probabilities(counts).argmax(1)
        return chosen


def deployed(seed: int, arm: str, words: int) -> tuple[Deployed, np.random.Generator]:
    """A world and a model trained on 500 texts of it; `arm` says what goes wrong."""
    rng = np.random.default_rng([seed, sum(map(ord, arm))])
    topics = rng.dirichlet(np.full(words, 0.3), size=(3, 4))
    world = World(0.45 * topics + 0.55 * rng.dirichlet(np.full(words, 1.0)))
    train = world.draw(rng, 500)
    wrong = (causes.LABELS, causes.SELECTION) if arm == TWO else (arm,)
    return Deployed(world, train, model_of(*train), wrong), rng


def tables(one: Deployed, rng: np.random.Generator) -> tuple[Offline, Live, Rows, Rows]:
    """The two tables that an audit is given, and the words of both."""
    counts, y, repeated = one.test_rows(rng, TEST)
    tested = Offline(one.features(counts), y, one.says(counts), repeated)
    live_counts, served, truth, chance = one.live_rows(rng, LIVE)
    labels = np.where(rng.random(LIVE) < chance, truth, causes.UNLABELLED)
    never = np.zeros(LIVE, dtype=bool)
    live = Live(one.features(live_counts), one.says(served), one.says(live_counts), labels, never, chance)
    return tested, live, counts, served


def true_effect(one: Deployed, rng: np.random.Generator) -> tuple[float, float]:
    """What the one injected cause does to the metric, and the true live accuracy, on 10 000 rows of each side."""
    counts, y, repeated = one.test_rows(rng, 10_000)
    fresh, every_row = (~repeated).astype(float), np.ones(10_000)
    _, served, truth, chance = one.live_rows(rng, 10_000)
    before, after = accuracy(y, one.says(counts), fresh), accuracy(truth, one.says(served), every_row)
    effect = {
        causes.LEAKAGE: before - accuracy(y, one.says(counts), every_row),
        causes.METRIC: before - macro_f1(y, one.says(counts), every_row),
        causes.SELECTION: accuracy(truth, one.says(served), chance) - after,
    }
    return effect.get(one.wrong[0], after - before), after


def columns_flagged(test: Rows, live: Rows) -> float:
    """A drift report: the share of words whose frequency differs at p < .05."""
    a, b = np.minimum(test, 1), np.minimum(live, 1)
    error = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b)).clip(1e-12)
    return float((np.abs(a.mean(0) - b.mean(0)) > 1.96 * error).mean())


def confidence(one: Deployed, tested: Offline, test: Rows, live: Rows) -> float:
    """Accuracy without labels: the accuracy that the test set had at the confidence that live rows have (20 bins)."""
    sure, there = one.probabilities(test).max(1), one.probabilities(live).max(1)
    edges = np.quantile(sure, np.linspace(0, 1, 21)[1:-1])
    bins = np.searchsorted(edges, sure)
    right = np.bincount(bins, tested.labels == tested.predictions, 20) / np.bincount(bins, minlength=20).clip(1)
    return float(right[np.searchsorted(edges, there)].mean())


def unpicked(arm: str, seed: int, resamples: int, words: int = 150) -> Measured:
    """One deployment in which `arm` goes wrong, audited; and what is said by ways that need no audit or no labels."""
    one, rng = deployed(seed, arm, words)
    tested, live, test, served = tables(one, rng)
    found = audit(tested, live, offline=macro_f1 if arm == causes.METRIC else accuracy, resamples=resamples, seed=seed)
    effect, truth = true_effect(one, rng)
    gap, bars = found.online - found.offline, found.bars
    weights = label_weights(tested.labels, tested.predictions, live.served, 3)[tested.labels]
    measured = {
        "gap": abs(gap), "noise": found.noise, "named": float(len(found.named)), "named_first": float(found.named[:1] == [arm]),
        "columns_flagged": columns_flagged(test, served),
        "confidence_error": confidence(one, tested, test, served) - truth,
        "without_labels_error": accuracy(tested.labels, tested.predictions, weights) - truth,
        "hidden": max(abs(bars[cause].effect) for cause in found.named or causes.CAUSES) - abs(gap),
    }
    if arm in INJECTED:
        measured["error"] = bars[arm].effect - effect
    return {**measured, "size": Along("cause", {cause: round(abs(bars[cause].effect), 3) for cause in causes.CAUSES})}


def ledger(arm: str, seed: int) -> Measured:
    """Whether the bars add up, and what a change of the rule changes: in the labels, and in all that needs none."""
    one, rng = deployed(seed, NOTHING, 60)
    tested, live, test, served = tables(one, rng)
    renamed = np.where((live.labels == live.served) & (rng.random(LIVE) < 0.2), (live.labels + 1) % 3, live.labels)
    other = replace(live, labels=np.where(live.labelled, renamed, live.labels))
    found, changed = (audit(tested, table, resamples=2) for table in (live, other))

    def unlabelled(table: Live) -> Rows:
        weights = label_weights(tested.labels, tested.predictions, table.served, 3)
        return np.array([columns_flagged(test, served), confidence(one, tested, test, served), *weights, table.features.sum()])

    return {
        "left_over": abs(sum(bar.effect for bar in found.bars.values()) - (found.online - found.offline)),
        "accuracy_lost": found.online - changed.online,
        "unlabelled_change": float(np.abs(unlabelled(live) - unlabelled(other)).max()),
    }


AUDIT = "unpicked"
EXPERIMENTS = [
    Experiment(
        AUDIT, unpicked, (NOTHING, *INJECTED, TWO), seeds=BySize((7,), (8, 16)),
        settings=BySize({"resamples": 30}, {"resamples": 50}), transfer={"words": 300},
    ),
    Experiment("ledger", ledger, ("any",), seeds=BySize((3,), (6,))),
]

CLAIMS = [
    Claim(
        "noise_first", value(AUDIT, "noise", NOTHING), above(0.02), "accuracy",
        Bilingual("with 2000 test rows and about 1400 live labels, sampling alone makes gaps of 0.02 and more likely",
                  "测试 2000 条、线上约 1400 个标签时，单是抽样就容易造成 0.02 以上的差距"),
        Bilingual("First rule out chance: with 2000 test rows and 1400 live labels gaps up to ±{noise_first.effect:.3f} are noise.",
                  "先排除偶然：测试 2000 条、线上 1400 个标签时，±{noise_first.effect:.3f} 以内都可能是抽样误差。"),
        Bilingual("Sampling noise was under 0.02 here.", "这里的抽样误差不到 0.02。"),
    ),
    Claim(
        "cause_named_first", every(AUDIT, "named_first", *INJECTED), above(0.7), "share of runs",
        Bilingual("an audit with live labels names the injected cause first in over 0.7 of runs",
                  "有线上标签的审计在七成以上的运行中把注入的原因排第一"),
        Bilingual(
            "Then compare: repeated training rows, definition of the metric, the mix of labels, inputs, the rule, serving "
            "against replay, who got labels. Taken apart so, {cause_named_first.effect:.0%} of runs named the injected "
            "cause first.",
            "再逐项对比：与训练集重复的行、指标定义、标签比例、输入分布、规则本身、线上与离线回放、谁有标签。"
            "这样拆分，{cause_named_first.effect:.0%} 的运行把注入的原因排在第一。",
        ),
        Bilingual("The audit named the injected cause first in only {cause_named_first.effect:.0%} of runs.",
                  "审计只在 {cause_named_first.effect:.0%} 的运行中把注入的原因排第一。"),
    ),
    Claim(
        "effect_recovered", every(AUDIT, "error", *INJECTED), near(0, 0.015), "accuracy",
        Bilingual("its bar is the true effect, within 0.015 on average", "对应的柱平均与真实效应相差不到 0.015"),
    ),
    Claim(
        "bars_add_up", every("ledger", "left_over", "any"), exactly(0, 1e-9), "accuracy",
        Bilingual("the bars add up to the gap", "各柱之和恰为差距"), kind="exact",
    ),
    Claim(
        "small_gap_no_problem", value(AUDIT, "hidden", TWO), near(0, 0.02), "accuracy",
        Bilingual("no gap, no problem: no cause is larger than the gap by 0.02", "没有差距就没有问题：没有原因比差距大 0.02 以上"),
        Bilingual("No cause was hidden behind a small gap.", "小差距背后没有隐藏的原因。"),
        Bilingual("A small gap proves nothing: two opposed causes hid one {small_gap_no_problem.effect:.2f} larger than the gap.",
                  "差距小不说明没问题：两个相反的原因相互抵消，其中一个比差距还大 {small_gap_no_problem.effect:.2f}。"),
        by="folk",
    ),
    Claim(
        "drift_report_tells", difference(AUDIT, "columns_flagged", causes.CONCEPT, NOTHING), above(0.1), "share of columns",
        Bilingual("a drift report shows what is wrong: it flags a tenth more columns when the rule has changed",
                  "漂移报告能看出问题：规则改变时多报一成以上的列"),
        Bilingual("A drift report saw a changed rule.", "漂移报告看出了规则的改变。"),
        Bilingual("A drift report does not see a changed rule ({drift_report_tells.effect:+.0%} columns flagged).",
                  "规则变了，漂移报告看不出来（报警的列 {drift_report_tells.effect:+.0%}）。"),
        by="folk",
    ),
    Claim(
        "confidence_replaces_labels", value(AUDIT, "confidence_error", causes.CONCEPT), near(0, 0.03), "accuracy",
        Bilingual("calibrated confidence replaces live labels, within 0.03, also when the rule has changed",
                  "校准过的置信度可以代替线上标签：规则改变时也只差 0.03 以内"),
        Bilingual("Calibrated confidence was right even where the rule had changed.", "规则改变时，校准过的置信度仍然准确。"),
        Bilingual("Where the rule changed, calibrated confidence was {confidence_replaces_labels.effect:+.3f} off.",
                  "规则改变时，校准过的置信度偏了 {confidence_replaces_labels.effect:+.3f}。"),
        by="folk",
    ),
    Claim(
        "rule_change_is_invisible", every("ledger", "unlabelled_change", "any"), exactly(0), "",
        Bilingual("a change of the rule leaves all that is computed without live labels as it was", "规则改变时，不用线上标签算出的一切都不变"),
        Bilingual("Without live labels a changed rule cannot be seen: every unlabelled number stays the same.",
                  "没有线上标签就看不到规则的改变：不用标签的数字全都不变。"),
        kind="exact",
    ),
    Claim(
        "though_accuracy_falls", every("ledger", "accuracy_lost", "any"), above(0.02), "accuracy",
        Bilingual("though accuracy falls by over 0.02", "而准确率下降了 0.02 以上"), kind="exact",
    ),
    Claim(
        "label_shift_needs_none", value(AUDIT, "without_labels_error", causes.LABELS), near(0, 0.04), "accuracy",
        Bilingual("label shift alone can be corrected without live labels, within 0.04", "仅有标签偏移时，不用线上标签也能校正到 0.04 以内"),
        Bilingual("Label shift alone can be corrected without live labels.", "仅有标签偏移时，没有线上标签也能校正。"),
        Bilingual("Label shift alone was not corrected without live labels.", "仅有标签偏移时，不用标签也没能校正。"),
    ),
]

WORDS = {
    NOTHING: Bilingual("nothing", "无"), TWO: Bilingual("labels + selection", "标签偏移＋选择"),
    causes.LEAKAGE: Bilingual("leakage", "泄漏"), causes.METRIC: Bilingual("metric", "指标定义"),
    causes.LABELS: Bilingual("labels", "标签偏移"), causes.INPUTS: Bilingual("inputs", "协变量偏移"),
    causes.CONCEPT: Bilingual("rule", "规则改变"), causes.SKEW: Bilingual("serving", "线上特征"),
    causes.SELECTION: Bilingual("selection", "标签选择"),
}

FIGURES = [
    View(
        "bars", "tiles", AUDIT, ("size",), Axis("cause", Bilingual("bar of the audit", "审计给出的柱")),
        Axis("value", Bilingual("size of the bar", "柱的大小")),
        Bilingual("What was injected (rows), what was found", "注入的原因（行）与找到的原因（列）"),
        Bilingual("Mean size of each step from the offline to the online metric; rule: its change, and all that is unexplained.", "从离线指标到线上指标每一步的平均大小；“规则改变”包括一切未能解释的部分。"),
        labels=WORDS,
    ),
    View(
        "drift", "bars", AUDIT, ("columns_flagged",), Axis("arm", Bilingual("what was injected", "注入的原因")),
        Axis("value", Bilingual("share of columns a drift report flags", "漂移报告报警的列的比例")),
        Bilingual("What a drift report hears of each cause", "漂移报告对每种原因的反应"),
        Bilingual("Words whose frequency differs at p < .05; chance is one in twenty.", "频率差异 p < .05 的词；偶然水平为二十分之一。"),
        labels=WORDS, rules={0.05: Bilingual("chance", "偶然")},
    ),
]

QUESTION = Question(
    number=18,
    title=title_of(__doc__),
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=FIGURES,
    mechanism=Bilingual(
        "A test metric equals the online one only if both mean the same thing: fresh rows, one definition, the same mix "
        "of labels and inputs, the same rule from input to label, the same features in serving, and labels for a fair "
        "sample. Each of these can fail alone, and each is checked by changing just that one: drop repeated rows, apply "
        "one metric to both, reweight, replay live inputs offline, weight labelled rows by 1 / P(labelled).\n\n"
        "Written one after another these steps are a telescoping sum, so they add up to the gap. How much each gets "
        "depends on the order. Label and input shift are told apart by what a classifier of test against live rows "
        "needs: the label alone, the features alone, or both together (then the rule has changed). That needs live labels.",
        "测试指标与线上指标相等，要求两边说的是同一件事：数据没见过、定义相同、标签与输入的分布相同、输入到标签的规则相同、"
        "线上特征一致、有标签的是公平样本。每一条都可能单独失效，也都可以只改这一条来检查：去掉重复行、两边用同一指标、重新加权、"
        "把线上输入在离线回放、对有标签的行按 1/P(有标签) 加权。\n\n"
        "依次写下就是一个首尾相消的和，加起来恰为差距；各占多少取决于顺序。标签偏移与输入偏移靠“区分测试行与线上行的分类器”来分辨："
        "只需标签、只需特征，还是两者的乘积都要（说明规则变了）。这需要线上标签。",
    ),
    formula="online − offline = Σ (leakage, metric, label shift, covariate shift, concept change, skew, selection)",
    held_equal=Bilingual(
        "Simulated texts of three classes (150 words, four topics a class), a softmax classifier trained on 500; 2000 "
        "test rows, 4000 live rows, 1400 live labels; one cause injected a run, its true effect measured on 10 000 rows. "
        "Repeats, replays and labelling probabilities are given, not searched for; users who react to the model are "
        "not simulated. Intervals are bootstraps with the chosen shifts held fixed.",
        "模拟的三类文本（150 个词，每类四个主题），用 500 条训练的 softmax 分类器；测试 2000 条，线上 4000 条，其中约 1400 条有标签；"
        "每次注入一个原因，真实效应在 10 000 条上测得。重复行、回放与标注概率是给定的；没有模拟用户对模型的反应。"
        "区间为自助法，所选的偏移类型固定。",
    ),
    sources=[
        Source("Lipton, Wang & Smola", 2018, "Detecting and Correcting for Label Shift with Black Box Predictors", "arXiv:1802.03916"),
        Source("Shimodaira", 2000, "Improving predictive inference under covariate shift by weighting the log-likelihood function"),
        Source("Horvitz & Thompson", 1952, "A Generalization of Sampling Without Replacement from a Finite Universe"),
        Source("Garg et al.", 2022, "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", "arXiv:2201.04234"),
    ],
)
