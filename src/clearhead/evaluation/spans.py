"""Gold tags and said tags -> precision, recall and F1 of the spans that they mark, under a scheme that is named.

A span is right when its first token, its last token and its type are. Strict: spans are those that the scheme writes
(seqeval's strict mode); lenient: those of conlleval (Tjong Kim Sang and Buchholz 2000), which forgives a wrong
beginning or end. Counts are kept, so that scores of parts can be added up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clearhead.evaluation.counts import Counts, counts_by_name
from clearhead.text.examples import Scheme
from clearhead.text.tag_schemes import faults, spans


@dataclass(frozen=True)
class SpanScores:
    """The counts of all spans (`micro`) and of every type that is gold or was said, and how they were counted.

    `rule` names scheme and mode ("strict bio", "conlleval (lenient) bio"). `faults` counts the said tags that break the
    scheme. `accuracy` is the share of tokens whose tag is right, 0 where there are none.
    """

    rule: str
    micro: Counts
    types: Mapping[str, Counts]
    faults: int
    accuracy: float


def span_scores(
    gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]], scheme: Scheme, *, lenient: bool = False
) -> SpanScores:
    """The scores of said tags against gold ones, sentence by sentence; types that were never trained on count too.

    Raises `InputError` for a tag that is none of the scheme, `ValueError` where sentences differ in length.
    """
    right: Counter[str] = Counter()
    claimed: Counter[str] = Counter()
    true: Counter[str] = Counter()
    same = tokens = broken = 0
    for expected, answered in zip(gold, said, strict=True):
        same += sum(a == b for a, b in zip(expected, answered, strict=True))
        tokens += len(expected)
        broken += len(faults(answered, scheme))
        found, wanted = (set(spans(tags, scheme, lenient=lenient)) for tags in (answered, expected))
        right.update(span.type for span in found & wanted)
        claimed.update(span.type for span in found)
        true.update(span.type for span in wanted)
    return SpanScores(
        f"{'conlleval (lenient)' if lenient else 'strict'} {scheme}",
        Counts(right.total(), claimed.total(), true.total()),
        counts_by_name(right, claimed, true),
        broken,
        same / tokens if tokens else 0.0,
    )
