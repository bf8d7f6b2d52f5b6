"""Selection steps and the cutflow: which fraction of the events is left after each stage, L1 included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.response import EVERY_ASSIGNMENT, Reconstruction
from belle2dark.sourced import nearest

Columns = Mapping[str, NDArray[np.float64]]
Mask = NDArray[np.bool_]


class NamedColumns(dict[str, NDArray[np.float64]]):
    """Columns whose ``KeyError`` names the nearest one."""

    def __missing__(self, name: str) -> NDArray[np.float64]:
        raise KeyError(f"no column {name!r}; nearest: {nearest(name, self)}; known: {', '.join(self)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One selection step: name, ``keep(columns) -> (n,) bool`` and the reason it is made."""

    name: str
    keep: Callable[[Columns], Mask]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a cutflow: fraction of the generated weight left after it, and relative to the step before."""

    name: str
    fraction: float
    relative: float
    reason: str = ""


def passes(cuts: Sequence[Cut], columns: Columns) -> Mask:
    """Events ``(n,)`` that pass every cut."""
    keep = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for cut in cuts:
        keep &= cut.keep(columns)
    return keep


def cutflow(reco: Reconstruction, fired: NDArray[np.float64], cuts: Sequence[Cut], window: Mask,
            generated: float | None = None) -> tuple[Step, ...]:  # fmt: skip
    """Steps from generated events to the signal window.

    ``fired`` ``(n,)`` is the probability that the L1 lines in use keep each event, ``window`` ``(n,)`` which events lie in
    the signal window. ``generated`` is the weight of everything produced (default: of the events). The fractions can only fall;
    a sample without weight gives zeros.
    """
    weights = reco.weights.copy()
    total = float(weights.sum()) if generated is None else generated
    steps = [Step(name="generated", fraction=1.0 if total > 0 else 0.0, relative=1.0)]

    def add(name: str, factor: NDArray[np.float64] | Mask, reason: str = "") -> None:
        nonlocal weights
        weights = weights * factor
        fraction = float(weights.sum()) / total if total > 0 else 0.0
        before = steps[-1].fraction
        steps.append(Step(name=name, fraction=fraction, relative=fraction / before if before > 0 else 0.0, reason=reason))

    for name, factor in reco.factors.items():
        if name != EVERY_ASSIGNMENT:
            add(name, factor)
    add("L1", fired, "at least one of the L1 lines in use fired")
    # where an event counts once for every way to assign its tracks, the cuts mean something only for the right one
    several = reco.factors.get(EVERY_ASSIGNMENT)
    if several is not None:
        add("signal window", window * several, "inside the window of this mass hypothesis, every assignment counted")
    for cut in cuts:
        add(cut.name, cut.keep(reco.columns), cut.reason)
    if several is None:
        add("signal window", window, "inside the window of this mass hypothesis")
    return tuple(steps)
