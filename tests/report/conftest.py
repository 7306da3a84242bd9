from __future__ import annotations

import math
from typing import Any

import pytest

from clearhead.bilingual import Bilingual, same
from clearhead.experiments.evidence import Evidence, Row
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View

DOSES = (4, 32, 256)


def rows_for(arms: tuple[str, ...], seeds: int = 4) -> list[Row]:
    """A loss that grows with the dose and the arm's place, and a learning curve; exact, with a small seed effect."""
    rows = []
    for place, arm in enumerate(arms):
        for seed in range(seeds):
            for dose in DOSES:
                value = 0.1 + place * math.log(dose) + 0.04 * seed
                rows.append(Row("recall", arm, {"d_k": dose}, seed, "loss", value))
            rows += [
                Row("train", arm, {}, seed, "loss", 3 + place + 1 / (step + 1) + 0.01 * seed, ("step", step))
                for step in range(300)
            ]
    return rows


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(tuple(rows_for(("scaled", "unscaled"))))


@pytest.fixture
def dose_view() -> View:
    return View(
        "recall",
        "lines",
        "recall",
        ("loss",),
        Axis("d_k", same("d_k"), log=True),
        Axis("value", Bilingual("loss, nats", "损失，nat")),
        Bilingual("Wide heads suffer", "宽头受损"),
        Bilingual("Associative recall.", "联想记忆。"),
        labels={"scaled": Bilingual("scaled", "缩放"), "unscaled": Bilingual("unscaled", "不缩放")},
    )


def claim(outcome: str = "supported", **changes: Any) -> dict[str, Any]:
    return {
        "id": "harm",
        "kind": "measured",
        "statement": {"en": "unscaled attention learns worse at d_k 256", "zh": "d_k=256 时不缩放学得更差"},
        "measure": "loss",
        "unit": "nats",
        "region": [0.1, None],
        "effect": 1.14,
        "low": 0.69,
        "high": 1.59,
        "level": 0.95,
        "seeds": 16,
        "outcome": outcome,
        "reason": "",
        "reason_zh": "",
        "smallest_detectable": 0.4,
        **changes,
    }


@pytest.fixture
def record() -> dict[str, Any]:
    unmeasured = {"effect": None, "low": None, "high": None, "seeds": 0, "smallest_detectable": None}
    return {
        "version": 1,
        "question": 5,
        "title": {"en": "Why are dot products scaled?", "zh": "为什么点积要缩放？"},
        "answer": {"en": "Because q·k varies as d_k.", "zh": "因为 q·k 的方差是 d_k。"},
        "claims": [
            claim(),
            claim("refuted", region=[0.98, 1.02], unit="slope"),
            claim(
                "undecided",
                low=-0.03,
                high=0.17,
                effect=0.07,
                region=[-0.1, 0.1],
                reason="the interval lies astride the border: about 30 seeds would decide",
                reason_zh="区间跨在界线上：约需 30 个种子才能判定",
            ),
            claim(kind="exact", effect=0.0, low=0.0, high=0.0, region=[-1e-12, 1e-12], smallest_detectable=None),
            claim("out_of_scope", reason="no checkpoint given", reason_zh="没有给出检查点", **unmeasured),
        ],
        "figures": [],
        "corpus": {"name": "Python documentation", "sha256": "3f2a9c", "tokens": 118204},
        "facts": {
            "versions": {"torch": "2.13.0"},
            "threads": 1,
            "budget": "quick",
            "command": "clearhead ask 5 --seed 0",
            "looks": {"recall": [4, 8, 16]},
            "tuned": [{"experiment": "recall", "arm": "scaled", "learning_rate": 0.003, "at_edge": True}],
        },
        "evidence": "runs/ask-05/evidence.jsonl",
        "report": "runs/ask-05/report.html",
        "seconds": 24.2,
    }


@pytest.fixture
def question(dose_view: View) -> Question:
    return Question(
        number=5,
        title=Bilingual("Why are dot products scaled?", "为什么点积要缩放？"),
        experiments=[],
        claims=[],
        figures=[dose_view],
        mechanism=Bilingual("The variance is `d_k`.\n\nSo it saturates.", "方差是 `d_k`。"),
        formula="softmax(QKᵀ/√d_k)V",
        held_equal=Bilingual("Data order and seeds.", "数据顺序与种子。"),
        sources=[Source("A. Vaswani et al.", 2017, "Attention Is All You Need", "arXiv:1706.03762")],
    )


def arm(name: str, outcome: str, value: float, difference: float | None) -> dict[str, Any]:
    around = (None, None) if difference is None else (difference - 0.05, difference + 0.05)
    return {
        "name": name,
        "changes": {},
        "parameters": 1204224,
        "tokens": 200000,
        "learning_rate": 0.003,
        "value": value,
        "low": value - 0.03,
        "high": value + 0.03,
        "difference": difference,
        "difference_low": around[0],
        "difference_high": around[1],
        "p_holm": None if difference is None else 0.0004,
        "outcome": outcome,
        "seconds": 12.4,
    }


@pytest.fixture
def comparison() -> dict[str, Any]:
    return {
        "recipe": "lm-transformer",
        "metric": "held-out loss, nats per token",
        "margin": 0.02,
        "budget": "quick",
        "seeds": 5,
        "arms": [
            arm("norm=layer", "baseline", 3.41, None),
            arm("norm=batch", "worse", 3.8, 0.39),
            arm("norm=rms", "undecided", 3.42, 0.01),
        ],
        "smallest_detectable": 0.031,
        "tuning_seconds": 44.0,
        "seconds": 120.0,
        "facts": {"command": "clearhead compare lm-transformer --vary model.norm=layer,batch,rms --seeds 5"},
        "report": "runs/compare/report.html",
    }
