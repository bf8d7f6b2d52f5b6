"""Choose a cut or a window before looking at data: the best value and the whole objective curve.

* ``punzi``: smallest signal that would be discovered or excluded, whatever its size. The usual choice for a search.
* ``expected_limit``: median expected upper limit, with method and systematics. What is quoted, but moves in steps with n.
* ``s_over_sqrt_b``: for a signal of known size and much background only; it favours tiny efficiencies without background.

The first two are divided by the efficiency and small is good; the last is large where good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.limits import checks
from belle2dark.limits.bands import expected_median
from belle2dark.limits.punzi import punzi_events

Array = NDArray[np.float64]
Objective = Literal["punzi", "expected_limit", "s_over_sqrt_b"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutScan:
    """The objective at every value tried.

    ``objective`` is the figure of merit (m,): events / efficiency for ``punzi`` and ``expected_limit`` (small is good, inf
    where nothing is left), dimensionless for ``s_over_sqrt_b`` (large is good). ``best`` is the middle of the values within
    ``flat`` of the optimum, ``index`` the optimum itself.
    """

    name: Objective
    values: Array
    efficiency: Array
    background: Array
    objective: Array
    best: float
    index: int


def kept(x: ArrayLike, weights: ArrayLike | None, values: ArrayLike, keep: str) -> tuple[Array, Array]:
    """Sum of weights and of squared weights (m,) of the events with x below or above each of the ``values`` (m,).

    Raises ``ValueError`` for lengths that differ, NaN, and an unknown ``keep``.
    """
    checks.one_of("keep", keep, ("below", "above"))
    variable = np.asarray(x, dtype=float)
    w = np.ones(len(variable)) if weights is None else np.asarray(weights, dtype=float)
    if variable.ndim != 1 or w.shape != variable.shape:
        raise ValueError(f"weights has shape {w.shape}, expected that of the variable, {variable.shape}")
    if not (np.isfinite(variable).all() and np.isfinite(w).all()):
        raise ValueError("x and weights must be finite numbers: found NaN or inf")
    order = np.argsort(variable, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(w[order])]), np.concatenate([[0.0], np.cumsum(w[order] ** 2)])
    place = np.searchsorted(variable[order], np.asarray(values, dtype=float), side="left")
    below = sums[0][place], sums[1][place]
    return below if keep == "below" else (sums[0][-1] - below[0], sums[1][-1] - below[1])


def objective_values(name: Objective, efficiency: Array, background: Array, *, a: float = 3.0, b: float = 1.28155,
                     signal: float = 1.0, expected: Callable[[Array], Array] | None = None) -> Array:  # fmt: skip
    """The figure of merit for ``efficiency`` and ``background`` [events], any shape: see :class:`CutScan`.

    ``expected`` gives median expected limits for backgrounds (m,), by default at 90 %, Bayesian, without systematics. Raises
    ``ValueError`` for an unknown name.
    """
    checks.one_of("objective", name, OBJECTIVES)
    if name == "s_over_sqrt_b":
        some = background > 0
        empty = np.where(efficiency > 0, np.inf, 0.0)
        return np.where(some, signal * efficiency / np.sqrt(np.where(some, background, 1.0)), empty)
    if name == "punzi":
        events = punzi_events(background, a=a, b=b)
    else:
        median = expected_median if expected is None else expected
        events = np.asarray(median(background.ravel())).reshape(background.shape)
    return np.where(efficiency > 0, events / np.where(efficiency > 0, efficiency, 1.0), np.inf)


def optimise_cut(signal: ArrayLike, background: ArrayLike, values: ArrayLike, *, signal_weights: ArrayLike | None = None,
                 background_weights: ArrayLike | None = None, keep: Literal["below", "above"] = "below",
                 objective: Objective = "punzi", generated: float | None = None, scale: float = 1.0, flat: float = 0.01,
                 min_effective: float = 0.0, **settings: Any) -> CutScan:  # fmt: skip
    """Best of ``values`` (m,) for a cut on one variable, given signal and background events.

    ``signal`` and ``background`` are the cut variable of the events that pass everything else, with their weights;
    ``generated`` is the sum of signal weights before any cut (default: that of the events given), ``scale`` turns background
    weights into expected events. Values that leave fewer than ``min_effective`` effective background events are not eligible
    (their background is not known). ``settings`` go to :func:`objective_values`. Raises ``ValueError`` naming the argument,
    and if no value is eligible.
    """
    tried = np.asarray(values, dtype=float)
    if tried.ndim != 1 or not len(tried) or not np.isfinite(tried).all():
        raise ValueError("values: must be a list of finite numbers")
    passed, _ = kept(signal, signal_weights, tried, keep)
    total = generated if generated is not None else float(kept(signal, signal_weights, [np.inf], "below")[0][0])
    if not total > 0:
        raise ValueError(f"generated = {total}: sum of signal weights must be positive")
    expected, squares = kept(background, background_weights, tried, keep)
    efficiency, count = np.maximum(passed / total, 0.0), np.maximum(expected * scale, 0.0)
    merit = objective_values(objective, efficiency, count, **settings)
    cost = -merit if objective == "s_over_sqrt_b" else merit
    effective = np.where(squares > 0, expected**2 / np.where(squares > 0, squares, 1.0), 0.0)
    eligible = (efficiency > 0) & (effective >= min_effective)
    if not eligible.any():
        raise ValueError(f"values: none keeps signal and {min_effective:g} effective background events")
    cost = np.where(eligible, cost, np.inf)
    index = int(np.argmin(cost))
    limit = cost[index] + flat * abs(cost[index]) if np.isfinite(cost[index]) else cost[index]
    plateau = tried[eligible & (cost <= limit)]
    return CutScan(name=objective, values=tried, efficiency=efficiency, background=count, objective=merit,
                   best=float(plateau.mean()), index=index)  # fmt: skip


def optimise_window(signal: ArrayLike, background: ArrayLike, half_widths: ArrayLike, *, centre: float,
                    **settings: Any) -> CutScan:  # fmt: skip
    """Best of ``half_widths`` (m,) for a window around ``centre``: :func:`optimise_cut` on the distance from it."""
    distance = [np.abs(np.asarray(x, dtype=float) - centre) for x in (signal, background)]
    return optimise_cut(distance[0], distance[1], half_widths, keep="below", **settings)
