"""The sentences beside a figure that are computed from its numbers: what line and band are, what was left out."""

from __future__ import annotations

from collections.abc import Mapping

from clearhead.bilingual import Bilingual, Language
from clearhead.experiments.evidence import Scalar
from clearhead.experiments.views import View
from clearhead.report.numbers import plain, with_interval
from clearhead.report.summaries import Summary
from clearhead.report.words import printable, read

MOST_READ = 4


def notes(view: View, summary: Summary, language: Language) -> list[str]:
    """What is drawn, in order: centre and band, differences, numbers without a place, thinning."""
    said = [_centre_words(view, summary)]
    if view.baseline:
        name = view.labels.get(view.baseline)
        english, chinese = (read(name, "en"), read(name, "zh")) if name else (view.baseline, view.baseline)
        said.append(Bilingual(f"Differences to {english}, paired by seed.", f"与“{chinese}”之差，按种子配对。"))
    if summary.dropped:
        shown = plain(summary.dropped)
        said.append(
            Bilingual(
                f"Left out: {shown} numbers at or below zero, which have no place on a log axis.",
                f"略去 {shown} 个不大于零的数：对数轴上没有它们的位置。",
            )
        )
    if summary.thinned:
        said.append(Bilingual("Evenly spaced places of longer curves.", "只画出较长曲线上均匀选取的点。"))
    return [printable(text[language]) for text in said]


def _centre_words(view: View, summary: Summary) -> Bilingual:
    least, most = summary.seeds
    seeds = Bilingual(
        f"{least} seed{'' if most == 1 else 's'}" if least == most else f"{least} to {most} seeds",
        f"{least} 个种子" if least == most else f"{least} 至 {most} 个种子",
    )
    centre, band = _CENTRES["spread" if view.band == "spread" else "log" if view.y.log else "mean"], _BANDS[view.band]
    if most < 2 or view.band == "none" or view.kind == "tiles":
        return Bilingual(f"{centre.en} of {seeds.en}.", f"{seeds.zh}的{centre.zh}。")
    if view.kind == "bars" or len(summary.places) < 2:
        return Bilingual(
            f"{centre.en} of {seeds.en}; whisker: {band.en}; dots: the seeds.",
            f"{seeds.zh}的{centre.zh}；须线：{band.zh}；圆点：各个种子。",
        )
    return Bilingual(f"{centre.en} of {seeds.en}; band: {band.en}.", f"{seeds.zh}的{centre.zh}；色带：{band.zh}。")


_CENTRES: Mapping[str, Bilingual] = {
    "mean": Bilingual("Mean", "均值"),
    "log": Bilingual("Geometric mean", "几何均值"),
    "spread": Bilingual("Median", "中位数"),
}
_BANDS: Mapping[str, Bilingual] = {
    "interval": Bilingual("95 % interval (Student's t)", "95% 区间（学生 t）"),
    "spread": Bilingual("10 to 90 % quantiles", "10% 至 90% 分位数"),
    "none": Bilingual("", ""),
}


def reading(view: View, summary: Summary, names: Mapping[Scalar, str], language: Language) -> str:
    """What the lines say at their last place, in a sentence: empty for bars, facets and many lines."""
    last = summary.places[-1] if summary.places else ""
    ends = [mark for mark in summary.marks if mark.x == last]
    few = 1 <= len(ends) <= MOST_READ and len(summary.facets) == 1 and len(summary.places) > 1
    if view.kind != "lines" or not few or isinstance(last, str):
        return ""
    ends.sort(key=lambda mark: summary.series.index(mark.series))
    colon = "：" if language == "zh" else ": "
    parts = []
    for mark in ends:
        shown = " ".join(filter(None, with_interval(mark.centre, mark.low, mark.high)))
        parts.append(colon.join(filter(None, (names[mark.series], shown))))
    axis = read(view.x.title, language)
    if language == "zh":
        return f"{axis} = {plain(last)} 时，{'；'.join(parts)}。"
    return f"At {axis} {plain(last)}, {'; '.join(parts)}."
