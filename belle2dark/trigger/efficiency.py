"""How efficient L1 lines are: turn-on curves, the reference-trigger recipe of data, and what each line adds to the others.

All take weighted events and the patterns of :meth:`belle2dark.trigger.menu.Menu.evaluate`. Errors are binomial (Wilson
intervals at 68 %) with the effective number of events, (sum w)^2 / sum w^2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.trigger.menu import Bits, Menu

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """An efficiency with its 68 % interval and the effective number of events it is from (0 to 1 if there are none)."""

    value: float
    low: float
    high: float
    n_effective: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TurnOn:
    """Efficiency in bins of a variable: ``edges`` (m + 1,), the rest (m,); an empty bin has efficiency 0 and interval 0 to 1."""

    edges: Array
    efficiency: Array
    low: Array
    high: Array
    n_effective: Array

    @property
    def centres(self) -> Array:
        """Middle of each bin, (m,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def plateau(self, start: float) -> float:
        """Efficiency of all bins above ``start`` together, each weighted with its effective events."""
        use = self.edges[:-1] >= start
        total = self.n_effective[use].sum()
        return float((self.efficiency * self.n_effective)[use].sum() / total) if total > 0 else 0.0


def _interval(value: Array, n: Array) -> tuple[Array, Array]:
    """Wilson interval at one standard deviation."""
    n = np.maximum(n, 1e-12)
    middle = (value + 0.5 / n) / (1.0 + 1.0 / n)
    half = np.sqrt(value * (1.0 - value) / n + 0.25 / n**2) / (1.0 + 1.0 / n)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def turn_on(fired: ArrayLike, values: ArrayLike, edges: Sequence[float] | Array, weights: ArrayLike | None = None) -> TurnOn:
    """Efficiency of a line against a variable: ``fired`` (n,) bool (or the probability that it keeps the event), ``values`` (n,).

    Raises ``ValueError`` for edges that do not increase or arrays of different length.
    """
    bins = np.asarray(edges, dtype=float)
    if bins.ndim != 1 or len(bins) < 2 or not (np.diff(bins) > 0).all():
        raise ValueError(f"edges = {edges}: at least two, strictly increasing")
    p, x = np.asarray(fired, dtype=float), np.asarray(values, dtype=float)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=float)
    if not p.shape == x.shape == w.shape:
        raise ValueError(f"fired {p.shape}, values {x.shape} and weights {w.shape}: expected the same shape (n,)")
    where = np.digitize(x, bins) - 1
    use = (where >= 0) & (where < len(bins) - 1)
    total, passed, squares = (np.bincount(where[use], y[use], len(bins) - 1) for y in (w, w * p, w * w))
    n = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    value = np.clip(np.divide(passed, total, out=np.zeros_like(total), where=total > 0), 0.0, 1.0)
    low, high = _interval(value, n)
    low, high = np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)
    return TurnOn(edges=bins, efficiency=value, low=low, high=high, n_effective=n)


def efficiency(fired: ArrayLike, weights: ArrayLike | None = None) -> Efficiency:
    """Weighted fraction of events with ``fired`` (n,)."""
    p = np.asarray(fired, dtype=float)
    curve = turn_on(p, np.zeros(len(p)), [-1.0, 1.0], weights)
    low, high, n = float(curve.low[0]), float(curve.high[0]), float(curve.n_effective[0])
    return Efficiency(value=float(curve.efficiency[0]), low=low, high=high, n_effective=n)


def reference_trigger_efficiency(
    menu: Menu, bits: Bits, line: str, reference: Iterable[str], weights: ArrayLike | None = None
) -> Efficiency:
    """Efficiency of ``line`` as data measure it: N(line and reference) / N(reference).

    A fair estimate only if line and reference share no detector: CDC and KLM lines with hie or c4 as the reference, ECL
    lines with tracks. Raises ``ValueError`` for unknown lines, no reference, or a line that is its own reference.
    Source: basf2, trg documentation.
    """
    names = menu.check(reference)
    if not names or line in names:
        raise ValueError(f"reference = {', '.join(names) or 'none'}: at least one line other than {line!r}")
    use = menu.fired(bits, names)
    w = np.ones(len(bits)) if weights is None else np.asarray(weights, dtype=float)
    return efficiency(menu.fired(bits, [line])[use], w[use])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """``union`` of the lines in use; per line of the menu what it keeps ``alone`` and what is lost without it (``unique``)."""

    union: float
    alone: dict[str, float]
    unique: dict[str, float]


def contributions(menu: Menu, bits: Bits, weights: Array, lines: Sequence[str], experiment: str = "Belle II") -> Contributions:
    """Shares of the total weight that lines of an experiment keep, prescales and efficiencies included.

    Lines not in use have nothing unique.
    """
    seen = weights > 0
    # few patterns occur: everything else is done on them
    patterns, index = np.unique(bits[seen], return_inverse=True)
    share = np.bincount(index, weights[seen], len(patterns))
    total = share.sum()

    def kept(names: Sequence[str]) -> float:
        return float((share * menu.keep_probability(patterns, names)).sum() / total) if total > 0 else 0.0

    union, names = kept(lines), menu.names_of(experiment)
    return Contributions(
        union=union,
        alone={name: kept([name]) for name in names},
        unique={name: union - kept([n for n in lines if n != name]) if name in lines else 0.0 for name in names},
    )
