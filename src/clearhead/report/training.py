"""A training run while it goes, on standard error, and what came of it: lines for a terminal or a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from clearhead.bilingual import Bilingual, Language
from clearhead.report.numbers import duration, plain, whole
from clearhead.report.terminal import INDENT, QUIET
from clearhead.report.words import WORDS, printable

REFRESH = 0.2  # seconds between two pictures of the live line
METRICS: Mapping[str, Bilingual] = {
    "accuracy": Bilingual("accuracy", "准确率"),
    "bits_per_byte": Bilingual("bits per byte", "比特／字节"),
    "bleu": Bilingual("BLEU", "BLEU"),
    "chrf": Bilingual("chrF", "chrF"),
    "f1": Bilingual("span F1", "片段 F1"),
    "macro_f1": Bilingual("macro F1", "宏平均 F1"),
    "nats_per_token": Bilingual("nats a token", "nat／token"),
    "nats_per_text": Bilingual("nats a text", "nat／文本"),
    "perplexity": Bilingual("perplexity", "困惑度"),
    "precision": Bilingual("precision", "精确率"),
    "recall": Bilingual("recall", "召回率"),
    "scheme": Bilingual("scheme", "标注方案"),
    "signature": Bilingual("signature", "签名"),
    "token_accuracy": Bilingual("token accuracy", "token 准确率"),
}
ENDED: Mapping[str, Bilingual] = {
    "interrupted": Bilingual("stopped by hand: what had been learnt by then is kept", "手动停止：已保存当时学到的权重"),
    "patience": Bilingual("stopped early: no better for a while", "提前停止：指标已不再改善"),
}
DATA, STEPS = Bilingual("data", "数据"), Bilingual("steps", "步数")
KEPT = Bilingual("run", "结果")


class Step(Protocol):
    @property
    def number(self) -> int: ...

    @property
    def loss(self) -> float: ...

    @property
    def tokens(self) -> int: ...

    @property
    def seconds(self) -> float: ...


class Staged(Protocol):
    """A step of one of the stages of a training run."""

    @property
    def stage(self) -> int: ...

    @property
    def stages(self) -> int: ...

    @property
    def step(self) -> Step: ...


def watched(events: Iterator[Any], stream: TextIO) -> dict[str, Any]:
    """The record at the end of a training run, with its steps as one live line where somebody watches."""
    live, shown = Console(file=stream).is_terminal, 0.0
    width = 0
    for event in events:
        if isinstance(event, dict):
            if width:
                stream.write(f"\r{'':{width}}\r")
            return event
        if live and time.monotonic() - shown >= REFRESH:
            shown = time.monotonic()
            line = progress_line(event)
            stream.write(f"\r{line:<{width}}")
            width = max(width, cell_len(line))
            stream.flush()
    raise RuntimeError("the run ended without a result")


def progress_line(staged: Staged) -> str:
    """`    step 1,200    loss 0.412    18,300 tokens/s    0:42`."""
    step = staged.step
    rate = whole(int(step.tokens / step.seconds)) if step.seconds else "0"
    stage = f"stage {staged.stage + 1}/{staged.stages}    " if staged.stages > 1 else ""
    return (
        f"    {stage}step {whole(step.number)}    loss {step.loss:.4g}    {rate} tokens/s    {duration(step.seconds)}"
    )


def show_run(record: Mapping[str, Any], console: Console, languages: Sequence[Language] = ("en",)) -> None:
    """The record of `clearhead train` or `clearhead evaluate`: what, on which data, how good, where it lies."""
    language = languages[0]
    console.print(Text(printable(record["recipe"]), style="bold"))
    rows = [(DATA, printable(record["data"]["source"]))]
    rows.append((WORDS["parameters"], whole(record["parameters"])))
    if record.get("steps"):
        rows.append((STEPS, f"{whole(record['steps'])}, {whole(record['tokens'])} {WORDS['tokens'][language]}"))
    rows.append((WORDS["seconds"], duration(record["seconds"])))
    _rows(console, [(name[language], value) for name, value in rows], QUIET)
    console.print()
    _rows(console, [(_metric(name, language), _number(value)) for name, value in record["metrics"].items()], "")
    ended = record.get("ended", "budget")
    notes = [*record["data"]["notes"], *([ENDED[ended][language]] if ended in ENDED else [])]
    if notes:
        console.print()
    for note in notes:
        console.print(Text(f"{'':{INDENT}}{printable(note)}", style=QUIET))
    console.print()
    _rows(console, [(KEPT[language], printable(record["run"]))], QUIET)


def _metric(name: str, language: Language) -> str:
    return METRICS[name][language] if name in METRICS else name.replace("_", " ")


def _number(value: object) -> str:
    return plain(value) if isinstance(value, int | float) else printable(value)


def _rows(console: Console, rows: Sequence[tuple[str, str]], style: str) -> None:
    """Names in a column, values beside them."""
    widest = max((cell_len(name) for name, _ in rows), default=0)
    for name, value in rows:
        gap = " " * (widest - cell_len(name) + 2)
        console.print(Text.assemble(" " * INDENT, (name, QUIET), gap, (value, style)))
