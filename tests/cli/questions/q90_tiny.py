"""Does b lie above a?

b 比 a 高吗？
"""

from __future__ import annotations

import tiny_measurements

from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments.claims import Claim, above, difference, every, near, value
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View

QUESTION = Question(
    number=90,
    title=title_of(__doc__),
    experiments=[
        Experiment("shift", tiny_measurements.shifted, ("a", "b"), {"width": (1, 2)}, BySize((3, 6), (4, 8))),
    ],
    claims=[
        Claim(
            "b_above_a", difference("shift", "level", "b", "a"), above(0.2), "units",
            Bilingual("b lies above a", "b 比 a 高"),
            Bilingual("b lies {b_above_a.effect:.1f} above a.", "b 比 a 高 {b_above_a.effect:.1f}。"),
        ),
        Claim("a_is_half", value("shift", "level", "a"), near(0.5, 0.1), "units", same("a ~ 0.5")),
        Claim("a_is_tight", value("shift", "level", "a"), near(0, 0.001), "units", same("|a| < 0.001")),
        Claim("all_small", every("shift", "level", "a", "b"), near(0, 9), "units", same("|x| < 9"), kind="exact"),
    ],
    figures=[
        View(
            "shift", "bars", "shift", ("level",), Axis("arm", same("")), Axis("value", Bilingual("level", "水平")),
            Bilingual("b above a", "b 高于 a"), Bilingual("Means over seeds.", "各种子的平均。"),
        ),
    ],
    mechanism=Bilingual("It was put there.", "是放上去的。"),
    formula="b = a + 1",
    held_equal=Bilingual("Everything else.", "其余一切。"),
    sources=[Source("Nobody", 2024, "Nothing")],
)
