"""The likelihood of a shape fit in compiled form, made from counts, shapes and systematics.

Systematics are :class:`Nuisance` records. Their size is relative; a name makes one parameter, so that one record that acts
on signal and background moves both together. A resolution uncertainty changes the width of the signal shape by a parabola
through -1, 0 and +1 sigma. :func:`build` makes the model, :func:`build_linearised` also finds where to expand an exponential.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.limits import shapes
from belle2dark.limits.asymptotic import fit_once
from belle2dark.limits.background_shapes import Background, Exponential, Templates, columns, exponential_columns
from belle2dark.limits.shapes import SHAPES, Array, Shape, widened

_RESOLUTION = "signal resolution"
_SLOPE = "slope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuisance:
    """A systematic uncertainty of normalisations: relative effect of +1 sigma on the signal and on each background component.

    ``background`` is one number for all components or a tuple. Log-normal factors (1 + size)^theta, or Gaussian ones
    1 + size theta. Raises ``ValueError`` for sizes outside [-1, 1] ([-0.5, 1] if log-normal).
    """

    name: str
    signal: float = 0.0
    background: float | tuple[float, ...] = 0.0
    constraint: Literal["log_normal", "gaussian"] = "log_normal"

    def __post_init__(self) -> None:
        if self.constraint not in ("log_normal", "gaussian"):
            raise ValueError(f"constraint = {self.constraint!r}: must be log_normal or gaussian")
        low = -0.5 if self.constraint == "log_normal" else -1.0
        for value in (self.signal, *np.atleast_1d(self.background)):
            if not low <= value <= 1.0:
                raise ValueError(f"nuisance {self.name}: relative size {value} must lie in [{low}, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitModel:
    """A likelihood in compiled form: ``arrays`` of the kernels, names of the parameters, which are fixed, where to start."""

    counts: Array
    arrays: tuple[Any, ...]
    names: tuple[str, ...]
    fixed: NDArray[np.bool_]
    start: Array

    @property
    def components(self) -> int:
        """Number of amplitudes: the signal and the background's."""
        return int(self.arrays[0].shape[0])


def check_shape_counts(counts: ArrayLike, *, whole: bool = False) -> Array:
    """Bin contents as floats; ``ValueError`` unless finite and not negative (and whole numbers if ``whole``)."""
    n = np.asarray(counts, dtype=float)
    if n.size == 0 or not (np.isfinite(n) & (n >= 0) & (n <= 1e12)).all():
        raise ValueError("counts: bin contents must be finite numbers from 0 to 1e12")
    if whole and (n != np.floor(n)).any():
        raise ValueError("counts: observed events must be whole numbers")
    return n


def _signal(signal: Shape | ArrayLike, edges: Array | None, shape: tuple[int, ...], width: float) -> tuple[Array, Array, Array]:
    """Signal bin contents, and first and second derivative in units of the resolution uncertainty ``width``."""
    if isinstance(signal, SHAPES):
        if edges is None:
            raise ValueError("edges: needed for a signal shape")
        middle = shapes.fractions(signal, edges)
        if middle.sum() < 1e-6:
            raise ValueError(f"signal: less than 1e-6 of it lies between {edges[0]:g} and {edges[-1]:g}")
        up, down = (shapes.fractions(widened(signal, 1.0 + sign * width), edges) for sign in (1, -1))
        return middle, 0.5 * (up - down), up - 2.0 * middle + down
    middle = np.asarray(signal, dtype=float)
    if middle.shape != shape:
        raise ValueError(f"signal: template has shape {middle.shape}, counts have {shape}")
    if not np.isfinite(middle).all() or (middle < 0).any() or middle.sum() <= 0:
        raise ValueError("signal: template must be finite, not negative and not all zero")
    if width > 0:
        raise ValueError("resolution_uncertainty: needs a signal shape, not a template")
    flat = middle.ravel()
    return flat, np.zeros_like(flat), np.zeros_like(flat)


class _Builder:
    """Collects parameters while a model is made."""

    def __init__(self, components: int, bins: int) -> None:
        self.components, self.bins = components, bins
        self.names = ["signal", *(f"background_{k}" for k in range(components - 1))]
        self.kappa: list[Array] = []
        self.first: list[Array] = []
        self.second: list[Array] = []
        self.centre: list[float] = []
        self.mean = [0.0] * components
        self.precision = [0.0] * components
        self.fixed = [False] * components
        self.theta: list[tuple[float, float]] = []  # start, precision

    def nuisance(self, name: str, kappa: Array | None = None, first: Array | None = None, second: Array | None = None,
                 centre: float = 0.0, precision: float = 1.0) -> None:  # fmt: skip
        """Add one parameter with constraint 0 +- 1/sqrt(precision)."""
        if name in self.names:
            raise ValueError(f"nuisances: the name {name!r} is used twice")
        empty = np.zeros((self.components, self.bins))
        self.names.append(name)
        self.kappa.append(np.zeros(self.components) if kappa is None else kappa)
        self.first.append(empty if first is None else first)
        self.second.append(empty if second is None else second)
        self.centre.append(centre)
        self.theta.append((centre if precision == 0.0 else 0.0, precision))


def _normalisations(build: _Builder, background: Templates) -> None:
    """Constraints of simulated components: fixed, floating, Gaussian amplitude or log-normal nuisance."""
    for k, size in enumerate(background.uncertainties, start=1):
        build.mean[k] = 1.0
        if math.isinf(size):
            continue
        if size > 0 and background.gaussian:
            build.precision[k] = size**-2
            continue
        build.fixed[k] = True
        if size > 0:
            kappa = np.zeros(build.components)
            kappa[k] = math.log1p(size)
            build.nuisance(f"normalisation_{k - 1}", kappa=kappa)


def _add_nuisance(build: _Builder, item: Nuisance, t: Array) -> None:
    sizes = np.zeros(build.components)
    sizes[0] = item.signal
    if np.ndim(item.background) and np.size(item.background) != build.components - 1:
        raise ValueError(f"nuisance {item.name}: {np.size(item.background)} background sizes for "
                         f"{build.components - 1} components")  # fmt: skip
    sizes[1:] = item.background
    if item.constraint == "log_normal":
        build.nuisance(item.name, kappa=np.log1p(sizes))
    else:
        build.nuisance(item.name, first=sizes[:, None] * t)


def build(counts: ArrayLike, edges: ArrayLike | None, signal: Shape | ArrayLike, background: Background, *,
          nuisances: Sequence[Nuisance] = (), resolution_uncertainty: float = 0.0) -> FitModel:  # fmt: skip
    """The likelihood of ``counts`` (...) for a signal over a background; arguments as for :func:`.fit`."""
    n = check_shape_counts(counts)
    x = None if edges is None else shapes.check_edges(edges)
    if x is not None and n.shape != (len(x) - 1,):
        raise ValueError(f"counts: shape {n.shape} does not fit {len(x) - 1} bins of edges")
    if x is None and not isinstance(background, Templates):
        raise ValueError("edges: needed for a background shape")
    if not 0.0 <= resolution_uncertainty <= 0.5:
        raise ValueError(f"resolution_uncertainty = {resolution_uncertainty}: relative width error must lie in [0, 0.5]")
    if isinstance(background, Templates) and np.shape(background.contents)[1:] != n.shape:
        raise ValueError(f"background: templates have shape {np.shape(background.contents)[1:]}, counts have {n.shape}")
    s, s1, s2 = _signal(signal, x, n.shape, resolution_uncertainty)
    cols = columns(background, () if x is None else x)
    t = np.ascontiguousarray(np.vstack([s, cols]))
    stat = np.zeros(0)
    if isinstance(background, Templates) and background.statistical is not None:
        stat = np.ascontiguousarray(np.asarray(background.statistical, dtype=float).ravel())
    used: NDArray[np.bool_] = np.asarray((t > 0).any(axis=0))
    if (n.ravel()[~used] > 0).any():
        stray = int((n.ravel()[~used] > 0).sum())
        raise ValueError(f"counts: {stray} bins have events where neither signal nor background expects any")
    make = _Builder(len(t), t.shape[1])
    if isinstance(background, Templates):
        _normalisations(make, background)
    elif isinstance(background, Exponential):
        _, one, two = exponential_columns((x - x[0]) / (x[-1] - x[0]), background.slope)  # type: ignore[operator,index]
        zero = np.zeros_like(s)
        make.nuisance(_SLOPE, first=np.stack([zero, one]), second=np.stack([zero, two]), centre=background.slope, precision=0.0)
    if resolution_uncertainty > 0:
        zeros = np.zeros_like(cols)
        make.nuisance(_RESOLUTION, first=np.vstack([s1, zeros]), second=np.vstack([s2, zeros]))
    for item in nuisances:
        _add_nuisance(make, item, t)
    return _assemble(make, n, t, stat, used)


def _assemble(make: _Builder, n: Array, t: Array, stat: Array, used: NDArray[np.bool_]) -> FitModel:
    shape = (len(make.kappa), make.components, t.shape[1])
    first = np.array(make.first).reshape(shape)[:, :, used]
    second = np.array(make.second).reshape(shape)[:, :, used]
    arrays = (
        np.ascontiguousarray(t[:, used]),
        np.ascontiguousarray(first),
        np.ascontiguousarray(second),
        np.array(make.kappa).reshape(shape[:2]),
        np.array([*make.mean, *(0.0 for _ in make.theta)]),
        np.array([*make.precision, *(weight for _, weight in make.theta)]),
        np.array(make.centre),
        np.ascontiguousarray(stat[used]) if len(stat) else stat,
    )
    fixed = np.array([*make.fixed, *(False for _ in make.theta)])
    start = np.array([*make.mean, *(value for value, _ in make.theta)])
    return FitModel(counts=n.ravel()[used].copy(), arrays=arrays, names=tuple(make.names), fixed=fixed, start=start)


def _slope_of(counts: Array, edges: Array) -> float:
    """Slope of an exponential with the mean of the histogram."""
    u = (edges - edges[0]) / (edges[-1] - edges[0])
    if counts.sum() == 0:
        return 0.0
    mean = float(np.clip(counts @ (0.5 * (u[1:] + u[:-1])) / counts.sum(), 0.03, 0.97))
    slope = 0.0
    for _ in range(30):
        if abs(slope) < 1e-3:
            value, rate = 0.5 - slope / 12.0, -1.0 / 12.0
        else:
            value = 1.0 / slope - 1.0 / math.expm1(slope)
            rate = -1.0 / slope**2 + math.exp(slope) / math.expm1(slope) ** 2
        slope = float(np.clip(slope - (value - mean) / rate, -40.0, 40.0))
    return slope


def build_linearised(counts: ArrayLike, edges: ArrayLike | None, signal: Shape | ArrayLike, background: Background,
                     **options: Any) -> FitModel:  # fmt: skip
    """:func:`build`, with the slope of an exponential expanded about its best fit."""
    model = build(counts, edges, signal, background, **options)
    if not isinstance(background, Exponential):
        return model
    n, x = np.asarray(counts, dtype=float), np.asarray(edges, dtype=float)
    slope = background.slope if background.slope != 0.0 else _slope_of(n, x)
    start: Array | None = None
    for _ in range(20):
        model = build(n, x, signal, Exponential(slope=slope), **options)
        p = model.start.copy() if start is None else start
        where = model.names.index(_SLOPE)
        p[where] = slope
        _, _, status, _, _ = fit_once(model.arrays, model.counts, model.fixed, p, 1e-10)
        if status >= 2:
            break
        moved = float(np.clip(p[where], slope - 1.0, slope + 1.0))
        done = abs(moved - slope) < 1e-9
        slope, start = float(np.clip(moved, -45.0, 45.0)), p
        if done:
            break
    return model
