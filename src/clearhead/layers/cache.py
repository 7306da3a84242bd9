"""`Cache`: what has been written so far, kept so that the next token of each row is one step and not a whole run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.layers.masks import CAUSAL, Mask
from clearhead.layers.positions import Alibi

FIRST_STEPS = 32  # room at first; doubled whenever it is full


class Cache:
    """Keys and values of R rows, a layer a time, in G groups of k = R / G rows that began as one (beams of a source).

    A group has one store of S slots, a token a slot, and `owned` (R, S) says which slots are a row's own past. So
    reordering the rows of a group moves no key, what they share is kept once, and the source is read once a group.
    Letters as everywhere; `layers` is how many attention layers write, `prompts` the layout of what has been written
    before the first step (None: nothing), of which no row may see what is `blocked` (N,).
    """

    def __init__(
        self,
        rows: int,
        layers: int,
        *,
        groups: int,
        device: torch.device,
        prompts: Layout | None = None,
        blocked: Tensor | None = None,
    ) -> None:
        self.rows, self.groups = rows, groups
        self.longest = self.used = 0 if prompts is None else prompts.longest
        self.layers: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self.source: list[tuple[Tensor, Tensor]] = []
        self.source_seen: Tensor | None = None
        self.places = torch.zeros(rows, dtype=torch.int64, device=device)  # of the next token
        self._slot_places = torch.arange(self.used, device=device).repeat(groups, 1)  # (G, S)
        self._owned = torch.ones(rows, self.used, dtype=torch.bool, device=device)
        self._all_owned = True  # then no mask is needed
        self._memo: dict[Mask | Alibi, Tensor | None] = {}
        if prompts is not None:
            real = _seen(prompts, blocked)
            self.places = prompts.lengths.repeat_interleave(self.beams)
            self._owned &= real.repeat_interleave(self.beams, 0)
            self._all_owned = bool(real.all())

    @property
    def beams(self) -> int:
        """k, the rows of a group."""
        return self.rows // self.groups if self.groups else 1

    def fill(self, number: int, key: Tensor, value: Tensor, prompts: Layout) -> None:
        """Layer `number` has written the prompts: keys and values, (N, H, d) each."""
        self.layers[number] = _grids(key, value, prompts)

    def read(self, keys_values: Sequence[tuple[Tensor, Tensor]], source: Layout, blocked: Tensor | None) -> None:
        """The source of each group: keys and values a layer, (M, H, d) each, computed once for all rows and steps."""
        self.source = [_grids(key, value, source) for key, value in keys_values]
        if source.has_pads or blocked is not None:
            self.source_seen = _seen(source, blocked)[:, None, None, :]  # (G, 1, 1, S)

    def open(self) -> None:
        """Makes room for a token of every row; it is at `places`, and sees itself."""
        first, self.used, self.longest = self.used, self.used + self.beams, self.longest + 1
        self._memo.clear()
        if self.used > self._owned.shape[1]:
            room = max(2 * self._owned.shape[1], self.used + (FIRST_STEPS - 1) * self.beams)
            self._owned = _wider(self._owned, 1, room, first)
            self._slot_places = _wider(self._slot_places, 1, room, first)
        self._slot_places[:, first : self.used] = self.places[:: self.beams, None]
        own = torch.eye(self.beams, dtype=torch.bool, device=self._owned.device)
        self._owned.view(self.groups, self.beams, -1)[:, :, first : self.used] = own
        self._all_owned = self._all_owned and self.beams == 1

    def append(self, number: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Layer `number` writes (R, H, d) each; keys and values of all slots so far, (G, H, S, d) each."""
        first, room = self.used - self.beams, self._owned.shape[1]
        store = self.layers[number]
        if store is None:
            empty = key.new_empty(self.groups, key.shape[1], room, key.shape[2])
            store = self.layers[number] = (empty, torch.empty_like(empty))
        elif store[0].shape[2] < self.used:
            store = self.layers[number] = (_wider(store[0], 2, room, first), _wider(store[1], 2, room, first))
        keys, values = store
        keys[:, :, first : self.used] = self.grouped(key)
        values[:, :, first : self.used] = self.grouped(value)
        return keys[:, :, : self.used], values[:, :, : self.used]

    def close(self) -> None:
        """Every layer has written: the next token stands one place further."""
        self.places = self.places + 1

    def grouped(self, x: Tensor) -> Tensor:
        """(R, H, d) -> (G, H, k, d)."""
        return x.reshape(self.groups, self.beams, *x.shape[1:]).transpose(1, 2)

    def ungrouped(self, x: Tensor) -> Tensor:
        """(G, H, k, d) -> (R, H, d)."""
        return x.transpose(1, 2).flatten(0, 1)

    def allowed(self, mask: Mask) -> Tensor | None:
        """Which row may see which slot behind a mask that never looks ahead: (G, 1, k, S) bool, None for all."""
        if mask not in self._memo:
            owned = None if self._all_owned else self._owned[:, : self.used]
            if mask != CAUSAL:
                near = mask(self.places[:, None], self._places_of_slots())  # (R, S)
                owned = near if owned is None else owned & near
            self._memo[mask] = None if owned is None else owned.reshape(self.groups, 1, self.beams, -1)
        return self._memo[mask]

    def bias(self, bias: Alibi | None, dtype: torch.dtype) -> Tensor | None:
        """What a bias by distance adds to the scores of each row on each slot: (G, H, k, S)."""
        if bias is None:
            return None
        if bias not in self._memo:
            added = bias.at(self.places, self._places_of_slots(), dtype)  # (R, H, S)
            self._memo[bias] = self.grouped(added)
        return self._memo[bias]

    def _places_of_slots(self) -> Tensor:
        return self._slot_places[:, : self.used].repeat_interleave(self.beams, 0)  # (R, S)

    def select(self, rows: Tensor) -> None:
        """Row i goes on from what row `rows[i]` has written, (R',). Rows may be left out, repeated and reordered.

        Nothing but marks is moved as long as rows stay among those of their group; else the stores of whole groups
        are. Rows that come from one group should stand side by side, so that they go on sharing a store.
        """
        homes = rows // self.beams
        self._owned = self._owned.index_select(0, rows)
        self.places = self.places.index_select(0, rows)
        self.rows = len(rows)
        self._memo.clear()
        moved = _groups_of(homes.cpu().numpy())
        if moved.size == self.groups and (moved == np.arange(self.groups)).all():
            return
        kept = torch.from_numpy(moved).to(rows.device)
        self.groups = len(moved)
        self._slot_places = self._slot_places.index_select(0, kept)
        self.layers = [None if store is None else _taken(store, kept) for store in self.layers]
        self.source = [_taken(store, kept) for store in self.source]
        self.source_seen = None if self.source_seen is None else self.source_seen.index_select(0, kept)


def _seen(layout: Layout, blocked: Tensor | None) -> Tensor:
    """True where a sequence of the grid has a key that may be seen, (G, S)."""
    return layout.real_grid if blocked is None else layout.real_grid & ~layout.grid(blocked)


def _grids(key: Tensor, value: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Two streams (N, H, d) as (G, H, S, d)."""
    one, other = (layout.grid(x).transpose(1, 2).contiguous() for x in (key, value))
    return one, other


def _wider(x: Tensor, dim: int, size: int, used: int) -> Tensor:
    """`x` with `size` places along `dim`, of which the first `used` are filled."""
    shape = list(x.shape)
    shape[dim] = size
    wide = x.new_zeros(shape) if x.dtype == torch.bool else x.new_empty(shape)
    wide.narrow(dim, 0, used).copy_(x.narrow(dim, 0, used))
    return wide


def _taken(store: tuple[Tensor, Tensor], groups: Tensor) -> tuple[Tensor, Tensor]:
    return store[0].index_select(0, groups), store[1].index_select(0, groups)


def _groups_of(homes: np.ndarray) -> np.ndarray:
    """The old group of each new one, where row i comes from group `homes[i]`, with as many rows a group as can be.

    Every group must have equally many rows: the greatest common divisor of how many stand side by side.
    """
    starts = np.flatnonzero(np.concatenate(([True], homes[1:] != homes[:-1]))) if homes.size else np.empty(0, np.int64)
    runs = np.diff(np.append(starts, homes.size))
    beams = int(np.gcd.reduce(runs)) if runs.size else 1
    return homes[::beams].copy()
