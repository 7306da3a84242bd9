"""Is b at least a?

b 不小于 a 吗？
"""

from __future__ import annotations

from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments.claims import Claim, above, difference
from clearhead.experiments.evidence import Measured
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.question import Question
from clearhead.experiments.views import Axis, View


def measured(arm: str, seed: int) -> Measured:
    """A number that depends on the seed alone, and two more for b."""
    return {"level": seed % 5 / 10 + (2.0 if arm == "b" else 0.0) + seed * 1e-6 * (arm == "b")}


QUESTION = Question(
    title=title_of(__doc__),
    experiments=[Experiment("own", measured, ("a", "b"), seeds=BySize((3,), (3,)))],
    claims=[
        Claim(
            "b_above_a", difference("own", "level", "b", "a"), above(1), "units", Bilingual("b above a", "b 高于 a"),
            Bilingual("By {b_above_a.effect:.1f}.", "高 {b_above_a.effect:.1f}。"),
        ),
    ],
    figures=[
        View(
            "own", "bars", "own", ("level",), Axis("arm", same("")), Axis("value", Bilingual("level", "水平")),
            Bilingual("b above a", "b 高于 a"), Bilingual("Means.", "平均。"),
        ),
    ],
    mechanism=Bilingual("It was put there.", "是放上去的。"),
    held_equal=Bilingual("All else.", "其余一切。"),
)
