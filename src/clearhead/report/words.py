"""The fixed words of every face, in both languages: outcomes, wanted regions, labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearhead.bilingual import Bilingual, Language
from clearhead.report.numbers import difference, duration, plain, whole, with_interval

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
ROUNDING = 1e-9


@dataclass(frozen=True)
class OutcomeWords:
    """A mark, a word and the name of a colour: always shown together, so that colour alone says nothing."""

    mark: str
    word: Bilingual
    colour: str


OUTCOMES: Mapping[str, OutcomeWords] = {
    "supported": OutcomeWords("✔", Bilingual("supported", "成立"), "green"),
    "refuted": OutcomeWords("✘", Bilingual("refuted", "不成立"), "red"),
    "undecided": OutcomeWords("?", Bilingual("undecided", "未定"), "yellow"),
    "out_of_scope": OutcomeWords("–", Bilingual("out of scope", "未测"), "bright_black"),
    "baseline": OutcomeWords("·", Bilingual("baseline", "基线"), "default"),
    "better": OutcomeWords("▲", Bilingual("better", "更好"), "green"),
    "worse": OutcomeWords("▼", Bilingual("worse", "更差"), "red"),
    "equivalent": OutcomeWords("=", Bilingual("equivalent", "相当"), "cyan"),
}

WORDS: Mapping[str, Bilingual] = {
    "again": Bilingual("again", "重做"),
    "answer": Bilingual("In short", "简而言之"),
    "answered_before": Bilingual(
        "from the evidence on disk; --fresh measures anew", "取自磁盘上的证据；--fresh 重新测量"
    ),
    "arm": Bilingual("arm", "分组"),
    "arms": Bilingual("arms", "分组"),
    "auto": Bilingual("auto", "自动"),
    "budget": Bilingual("budget", "预算"),
    "claim": Bilingual("claim", "论断"),
    "claims": Bilingual("Claims", "论断"),
    "code": Bilingual("The question as code", "问题的源码"),
    "compared": Bilingual("Arms compared", "分组比较"),
    "corpus": Bilingual("text", "文本"),
    "dark": Bilingual("dark", "深色"),
    "detectable": Bilingual("smallest detectable", "最小可检出"),
    "difference": Bilingual("difference", "差值"),
    "dose": Bilingual("levels", "水平"),
    "effect": Bilingual("effect", "效应"),
    "exact": Bilingual("exact", "精确"),
    "experiment": Bilingual("experiment", "实验"),
    "experiments": Bilingual("What was run", "做了什么"),
    "figures": Bilingual("Figures", "图"),
    "held_equal": Bilingual("What was held equal", "保持一致的条件"),
    "holm": Bilingual("p (Holm)", "p（Holm）"),
    "interval": Bilingual("interval", "区间"),
    "language": Bilingual("Language", "语言"),
    "learning_rate": Bilingual("learning rate", "学习率"),
    "learning_rates": Bilingual("Learning rates found", "搜索到的学习率"),
    "light": Bilingual("light", "浅色"),
    "margin": Bilingual("margin", "等价界限"),
    "measured": Bilingual("How it was measured", "如何测得"),
    "measures": Bilingual("measures", "测量量"),
    "mechanism": Bilingual("Why", "为什么"),
    "metric": Bilingual("metric", "指标"),
    "not_measured": Bilingual("not measured", "未测量"),
    "parameters": Bilingual("parameters", "参数量"),
    "question": Bilingual("Question", "问题"),
    "reason": Bilingual("what would decide", "如何判定"),
    "recipe": Bilingual("recipe", "配方"),
    "report": Bilingual("report", "报告"),
    "reproduce": Bilingual("To repeat it", "如何重复"),
    "runs": Bilingual("runs", "运行次数"),
    "seconds": Bilingual("time", "用时"),
    "seeds": Bilingual("seeds", "种子"),
    "sources": Bilingual("Sources", "来源"),
    "theme": Bilingual("Colours", "颜色"),
    "tokens": Bilingual("tokens", "词元"),
    "tuning": Bilingual("tuning", "调参"),
    "verdict": Bilingual("verdict", "判定"),
    "versions": Bilingual("Versions and digests", "版本与摘要"),
    "wanted": Bilingual("wanted", "要求"),
    "would_change": Bilingual("What these seeds could show", "这些种子能分辨什么"),
}


def printable(text: object) -> str:
    """`text` with control, surrogate and direction-changing characters shown as U+FFFD: safe in XML and terminals."""
    return _UNPRINTABLE.sub("\ufffd", str(text))


def count(number: int, one: str, many: str, chinese: str) -> Bilingual:
    """`1 seed`, `16 seeds`, `16 个种子`."""
    shown = whole(number)
    return Bilingual(f"{shown} {one if number == 1 else many}", f"{shown} {chinese}")


def replicates(claim: Mapping[str, Any]) -> Bilingual:
    """How many independent numbers a verdict stands on; only over seeds is there a smallest detectable effect."""
    if claim["kind"] == "exact":
        return count(claim["seeds"], "draw", "draws", "次抽样")
    if claim["smallest_detectable"] is None and claim["effect"] is not None:
        return count(claim["seeds"], "item", "items", "个样本")
    return count(claim["seeds"], "seed", "seeds", "个种子")


def region_words(region: Sequence[float | None]) -> Bilingual:
    """`1 ± 0.02`, `≥ 0.1`, `exactly 0`: where a number had to lie."""
    low, high = region
    if low is None or high is None:
        bound = f"≥ {plain(low)}" if low is not None else f"≤ {plain(high)}" if high is not None else "any"
        return Bilingual(bound, "不限" if bound == "any" else bound)
    centre, margin = (low + high) / 2, (high - low) / 2
    if margin <= ROUNDING * max(1.0, abs(centre)):
        return Bilingual(f"exactly {plain(centre)}", f"恰为 {plain(centre)}")
    if len(plain(centre) + plain(margin)) <= len(plain(low) + plain(high)):
        return Bilingual(f"{plain(centre)} ± {plain(margin)}", f"{plain(centre)} ± {plain(margin)}")
    return Bilingual(f"{plain(low)} to {plain(high)}", f"{plain(low)} 至 {plain(high)}")


SAID_BY: Mapping[str, Bilingual] = {
    "textbook": Bilingual("textbook", "教科书"),
    "folk": Bilingual("common saying", "常见说法"),
    "paper": Bilingual("paper", "论文"),
}


def statement_words(claim: Mapping[str, Any]) -> Bilingual:
    """The statement, with whose sentence it is where it is not ours."""
    statement, by = claim["statement"], SAID_BY.get(claim.get("by", "ours"))
    if by is None:
        return Bilingual(statement["en"], statement["zh"])
    return Bilingual(f"{statement['en']} ({by.en})", f"{statement['zh']}（{by.zh}）")


def transfer_words(claim: Mapping[str, Any]) -> Bilingual:
    """What the repeat at a second size or on a second text said of the verdict."""
    transfer = claim["transfer"]
    effect, bounds = with_interval(transfer["effect"], transfer["low"], transfer["high"])
    shown = " ".join(filter(None, (effect, printable(claim["unit"]), bounds)))
    held = Bilingual("holds", "仍成立") if transfer["held"] else Bilingual("does not hold", "不成立")
    where = transfer["where"]
    return Bilingual(
        f"elsewhere ({printable(where['en'])}) the verdict {held.en}: {shown}",
        f"换一处（{printable(where['zh'])}）此判定{held.zh}：{shown}",
    )


def effect_words(claim: Mapping[str, Any]) -> Bilingual:
    """`1.14 nats [0.69, 1.59]`: an exact claim shows the range over its draws."""
    if claim["effect"] is None:
        return WORDS["not_measured"]
    effect, bounds = with_interval(claim["effect"], claim["low"], claim["high"])
    if claim["kind"] == "exact" and claim["low"] == claim["high"]:
        bounds = ""
    shown = " ".join(filter(None, (effect, printable(claim["unit"]), bounds.replace(" ", "\u00a0"))))
    return Bilingual(shown, shown)


def difference_words(arm: Mapping[str, Any]) -> str:
    """`+0.49 [0.41, 0.57]` for an arm of a comparison, empty for the baseline."""
    if arm["difference"] is None:
        return ""
    return " ".join(difference(arm["difference"], arm["difference_low"], arm["difference_high"])).strip()


def value_words(arm: Mapping[str, Any]) -> str:
    """`3.412 [3.380, 3.444]` for an arm of a comparison."""
    return " ".join(with_interval(arm["value"], arm["low"], arm["high"])).strip()


def outcome_counts(outcomes: Sequence[str]) -> list[tuple[OutcomeWords, str, int]]:
    """How often each outcome occurs, in the order of `OUTCOMES`."""
    return [(OUTCOMES[name], name, outcomes.count(name)) for name in OUTCOMES if name in outcomes]


def budget_words(budget: object) -> Bilingual:
    """`quick`, `30 s` for a budget in seconds, `300 steps` for one of a comparison."""
    if isinstance(budget, Mapping):
        units = {"steps": "步", "tokens": "词元", "seconds": "秒"}
        return Bilingual(
            ", ".join(f"{plain(amount, 12)} {printable(name)}" for name, amount in budget.items()),
            "，".join(f"{plain(amount, 12)} {units.get(name, printable(name))}" for name, amount in budget.items()),
        )
    if isinstance(budget, int | float):
        return Bilingual(duration(budget), duration(budget))
    chinese = {"quick": "快速", "standard": "标准"}
    return Bilingual(printable(budget), chinese.get(str(budget), printable(budget)))


def left_out_words(left_out: Mapping[str, int]) -> Bilingual:
    """What the clock did not allow: experiments and how many of their cells."""
    named = ", ".join(f"{printable(name)} ({count})" for name, count in left_out.items())
    return Bilingual(
        f"The clock left cells out: {named}. The same command with a larger --budget goes on from those that are done.",
        f"时间用尽，未做的单元：{named}。加大 --budget 再问一次，会从已完成的继续。",
    )


def read(text: Mapping[str, str] | Bilingual, language: Language) -> str:
    """One language of a bilingual text that may come from JSON, made printable."""
    return printable(text[language])
