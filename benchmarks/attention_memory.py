"""Memory and time of one forward and backward pass against sequence length, as a table and a figure.

    python benchmarks/attention_memory.py [--lengths 512 1024 2048 4096 8192] [--width 256] [--heads 4] [--no-figure]

Attention through the fused kernel against attention in the open, which holds its weights (T, T) and their gradients;
and a whole Transformer layer against an LSTM of the same width. One sequence of random states in float32, one thread,
so that CPU seconds are what a clock shows on an idle machine.

Each cell of the table is a process of its own. Its memory is the most that it ever held (`ru_maxrss`) less what it
held just before the first pass over the whole length, when everything was loaded and 16 tokens had been run; its time
is the best of up to three passes after that one, begun within ten seconds. `-`: the process was killed, which is
what happens when memory does not suffice. The figure is docs/figures/attention_memory.svg. What only the table and the
figure need is imported where they are made, so that it is no part of what a cell holds.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from clearhead.batches.layout import Layout
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.feedforward import feedforward
from clearhead.layers.normalization import LayerNorm
from clearhead.layers.recurrent import LSTM
from clearhead.layers.transformer import Block

LENGTHS = (512, 1024, 2048, 4096, 8192)
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "attention_memory.svg"
MEMORY, SECONDS = "peak memory, MB", "CPU seconds"
WARM, PASSES, PATIENCE = 16, 3, 10.0
Cells = dict[tuple[str, int], dict[str, float] | None]


def block(width: int, heads: int) -> Block:
    return Block(
        MultiHeadAttention(width, heads),
        feedforward(width, None, "gelu"),
        functools.partial(LayerNorm, width),
        norm_place="pre",
        dropout=0.0,
    )


KINDS: dict[str, Callable[[int, int], nn.Module]] = {
    "attention, in the open": lambda width, heads: MultiHeadAttention(width, heads, fused=False),
    "attention, fused": MultiHeadAttention,
    "Transformer layer": block,
    "LSTM layer": lambda width, heads: LSTM(width, width),
}


def run(module: nn.Module, x: Tensor) -> float:
    """CPU seconds of one pass forward and backward over x (T, D) as one sequence."""
    layout = Layout(torch.tensor([len(x)]), len(x), packed=True)
    began = time.process_time()
    module(x, layout).square().sum().backward()
    return time.process_time() - began


def held() -> int:
    """Bytes that this process holds now; where the system does not tell, the most that it ever held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return most_held()


def most_held() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(kind: str, length: int, width: int, heads: int) -> dict[str, float]:
    """One cell: this process must have done nothing large before."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    module = KINDS[kind](width, heads)
    run(module, torch.randn(WARM, width, requires_grad=True))
    before = held()
    x = torch.randn(length, width, requires_grad=True)
    first = run(module, x)
    peak = most_held() - before
    seconds: list[float] = []
    while len(seconds) < PASSES and sum(seconds, first) < PATIENCE:
        seconds.append(run(module, x))
    return {MEMORY: peak / 1e6, SECONDS: min(seconds, default=first)}


def measured_apart(kind: str, length: int, width: int, heads: int) -> dict[str, float] | None:
    """`measure` in a process of its own; None where it was killed."""
    command = [sys.executable, __file__, "--cell", kind, str(length), "--width", str(width), "--heads", str(heads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return None
    done.check_returncode()
    cell: dict[str, float] = json.loads(done.stdout)
    return cell


def show(cells: Cells, lengths: list[int]) -> None:
    """Prints the table."""
    from rich.console import Console
    from rich.table import Table

    shown = Table("", *(str(length) for length in lengths), title="one pass, by tokens in the sequence")
    for measure_name, digits in ((MEMORY, 0), (SECONDS, 3)):
        shown.add_section()
        for kind in KINDS:
            row = (cells[kind, length] for length in lengths)
            numbers = ("-" if cell is None else f"{cell[measure_name]:,.{digits}f}" for cell in row)
            shown.add_row(f"{kind}: {measure_name}", *numbers)
    Console().print(shown)


def figure(cells: Cells, lengths: list[int]) -> str:
    """The SVG: a panel for memory, a panel for time, both axes logarithmic."""
    import altair as alt

    from clearhead.report.figures import svg
    from clearhead.report.palette import DASHES, SERIES, SHAPES, config

    rows = [
        {"tokens": length, "layer": kind, "measure": name, "value": float(f"{cell[name]:.4g}")}
        for (kind, length), cell in cells.items()
        if cell is not None
        for name in (MEMORY, SECONDS)
    ]
    kinds = list(KINDS)
    x = alt.X("tokens:Q", title="tokens in the sequence", scale=alt.Scale(type="log", base=2))
    x = x.axis(values=lengths, format=",d")
    y = alt.Y("value:Q", title=None, scale=alt.Scale(type="log")).axis(format="~g")
    base = alt.Chart().encode(
        x=x,
        y=y,
        color=alt.Color("layer:N", title=None, sort=kinds).scale(domain=kinds, range=SERIES[: len(kinds)]),
        shape=alt.Shape("layer:N", title=None, sort=kinds).scale(domain=kinds, range=SHAPES[: len(kinds)]),
        strokeDash=alt.StrokeDash("layer:N", title=None, sort=kinds).scale(domain=kinds, range=DASHES[: len(kinds)]),
    )
    layers = alt.layer(base.mark_line(), base.mark_point(filled=True, size=45)).properties(width=270, height=240)
    chart = layers.facet(facet=alt.Facet("measure:N", title=None), columns=2, data=alt.Data(values=rows))
    drawn = chart.resolve_scale(y="independent").to_dict()
    return svg({**drawn, "config": config()})


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    options.add_argument("--width", type=int, default=256)
    options.add_argument("--heads", type=int, default=4)
    options.add_argument("--no-figure", action="store_true", help="print the table only")
    options.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.cell:
        print(json.dumps(measure(chosen.cell[0], int(chosen.cell[1]), chosen.width, chosen.heads)))
        return
    cells = {
        (kind, length): measured_apart(kind, length, chosen.width, chosen.heads)
        for kind in KINDS
        for length in chosen.lengths
    }
    show(cells, chosen.lengths)
    if not chosen.no_figure:
        FIGURE.parent.mkdir(parents=True, exist_ok=True)
        FIGURE.write_text(figure(cells, chosen.lengths), encoding="utf-8")


if __name__ == "__main__":
    main()
