"""The record of a final state: what is reconstructed, stored and derived for signals and background templates alike.

:mod:`belle2dark.final_states` lists them. Tracks and photons are in the order of the record, photons hardest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector import photons
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.observed import observe
from belle2dark.detector.response import Reconstruction
from belle2dark.simulation.events import Array, Events

Columns = Mapping[str, Array]
Mask = NDArray[np.bool_]
Where = Callable[[Columns, Detector], Mask]
#: name -> (LaTeX symbol, unit) of columns
Meanings = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """``bins`` equal strata of a column between ``low`` and ``high`` (None: the collision energy); beyond are the outermost.

    ``root`` takes the signed square root first: squared masses, whose windows are narrow where the mass is large. A ``power``
    below 1 of what is then left makes strata narrower towards zero.
    """

    column: str
    low: float
    high: float | None
    bins: int
    root: bool = False
    power: float = 1.0

    def place(self, columns: Columns, detector: Detector) -> NDArray[np.int32]:
        """Stratum ``(n,)`` of each event."""
        x = columns[self.column]
        if self.root:
            x = np.sign(x) * np.sqrt(np.abs(x))
        high = detector.beams.sqrt_s if self.high is None else self.high
        low, top, x = (np.sign(v) * np.abs(v) ** self.power for v in (self.low, high, x))
        return np.clip((x - low) / (top - low) * self.bins, 0, self.bins - 1).astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinalState:
    """What a final state is: ``wanted`` tracks and photons and nothing else.

    ``columns(tracks (n, k, 3), photons (n, m, 4), detector)`` derives the quantities ``meanings`` [GeV], each ``(n,)``,
    from measured momenta; with ``wanted.alternatives`` its fourth argument says which one each event is, ``(n,)``.
    ``loose`` is the pre-selection of a template; ``axes``, ``dense`` (where searches look) and ``rare``
    (what a strong selection leaves over) are the strata of its thinning; ``fast`` replaces the general reconstruction.
    With ``flags`` it also draws a flag of each event, stored and given to ``columns`` in the place of the alternative.
    ``rows`` is the length of the second axis of ``tracks`` if not the number of wanted tracks (vertices and their errors).
    """

    name: str
    title: str
    wanted: Wanted
    columns: Callable[..., dict[str, Array]]
    meanings: Meanings
    loose: Where
    axes: tuple[Axis, ...]
    dense: Where
    rare: Where | None = None
    fast: Callable[[Events, Detector, int], Reconstruction] | None = None
    flags: bool = False
    rows: int | None = None

    @property
    def marked(self) -> bool:
        """Whether each event carries a number beside its momenta: which alternative it is, or a flag."""
        return self.flags or bool(self.wanted.alternatives)

    def reconstruct(self, events: Events, detector: Detector, key: int) -> Reconstruction:
        """The events as this final state, one row each, with its columns; random numbers from ``key``."""
        if self.fast:
            return self.fast(events, detector, key)
        observed = observe(events, detector, key)
        return exclusive(observed, self.wanted, lambda t, p, which: self.derive(t, p, which, detector), detector.beams, key)

    def derive(self, tracks: Array, clusters: Array, alternative: NDArray[np.signedinteger[Any]],
               detector: Detector) -> dict[str, Array]:  # fmt: skip
        """The columns of measured tracks (n, k, 3), photons (n, m, 4) [GeV] and, where there are any, alternatives (n,)."""
        which = (alternative,) if self.marked else ()
        return self.columns(tracks, clusters, detector, *which)

    def cells(self, columns: Columns, detector: Detector) -> NDArray[np.int32]:
        """Stratum of the thinning of each event, ``(n,)``; modulo 3 it is 1 where searches look and 2 for what is rare."""
        cell = np.zeros(len(next(iter(columns.values()))), dtype=np.int32)
        for axis in self.axes:
            cell = cell * axis.bins + axis.place(columns, detector)
        kind = self.dense(columns, detector).astype(np.int32)
        if self.rare:
            kind[self.rare(columns, detector)] = 2
        return np.asarray(cell * 3 + kind, dtype=np.int32)


def between(column: str, part: str, margin: float = 0.0) -> Where:
    """Whether the direction whose cosine is in ``column`` lies ``margin`` [deg] inside the polar range ``part``."""

    def inside(columns: Columns, detector: Detector) -> Mask:
        low, high = detector.numbers[part].values
        cosine = columns[column]
        return (cosine > math.cos(math.radians(high - margin))) & (cosine < math.cos(math.radians(low + margin)))

    return inside


def in_barrel(column: str) -> Where:
    """Whether a direction points to the barrel of the calorimeter."""
    return between(column, "ecl_barrel_theta")


def in_tracker(column: str) -> Where:
    """Whether a direction is well inside the drift chamber: at its edges electrons lose their tracks and look like photons."""
    return between(column, "cdc_theta", margin=2.0)


def cos_theta(p: Array) -> Array:
    return np.asarray(p[..., 3] / np.maximum(np.sqrt((p[..., 1:] ** 2).sum(axis=-1)), 1e-300))


def square(p: Array) -> Array:
    return photons.mass_squared(p)
