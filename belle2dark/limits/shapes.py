"""Shapes of signals and backgrounds, as bin contents.

A signal shape is a record with a ``mean`` and a ``sigma`` that scale the axis, u = (x - mean)/sigma, and is normalised to 1
over all x. Three functions take any of them:

    density(shape, x)          probability density
    cdf(shape, x)              integral up to x
    fractions(shape, edges)    what falls into each bin: differences of ``cdf``

``Gaussian`` for a narrow peak; ``DoubleGaussian`` for a core with wide tails on both sides; ``CrystalBall`` for one
power-law tail (radiation, shower leakage; ``mirrored`` puts it on the high side, as for a recoil mass);
``DoubleCrystalBall`` for two; ``Template`` for a simulated histogram, initial-state radiation included.

Backgrounds are in :mod:`.background_shapes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]

_SQRT_HALF_PI = math.sqrt(0.5 * math.pi)


def check_fields(record: object, **ranges: tuple[float, float]) -> None:
    """Raise ``ValueError`` unless each named field of ``record`` is finite and strictly inside its range."""
    for item in fields(record):  # type: ignore[arg-type]
        value = getattr(record, item.name)
        if isinstance(value, (int, float)) and not math.isfinite(value):
            raise ValueError(f"{item.name} = {value}: must be finite")
    for name, (low, high) in ranges.items():
        if not low < getattr(record, name) < high:
            raise ValueError(f"{name} = {getattr(record, name)}: must lie between {low} and {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian:
    """A normal distribution."""

    mean: float = 0.0
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, sigma=(0.0, math.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleGaussian:
    """Two Gaussians of one mean: ``fraction`` of width ``sigma``, the rest ``ratio`` times as wide."""

    mean: float = 0.0
    sigma: float = 1.0
    fraction: float = 0.8
    ratio: float = 2.5

    def __post_init__(self) -> None:
        check_fields(self, sigma=(0.0, math.inf), ratio=(0.0, math.inf))
        if not 0.0 <= self.fraction <= 1.0:
            raise ValueError(f"fraction = {self.fraction}: must lie between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrystalBall:
    """A Gaussian with a power-law tail |u|^-n below u = -``alpha`` (above +``alpha`` if ``mirrored``).

    Source: Gaiser, SLAC-R-255 (1982), appendix F.
    """

    mean: float = 0.0
    sigma: float = 1.0
    alpha: float = 1.5
    n: float = 3.0
    mirrored: bool = False

    def __post_init__(self) -> None:
        check_fields(self, sigma=(0.0, math.inf), alpha=(0.0, math.inf), n=(1.0, math.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleCrystalBall:
    """A Gaussian with power-law tails below -``alpha_low`` and above +``alpha_high``."""

    mean: float = 0.0
    sigma: float = 1.0
    alpha_low: float = 1.5
    n_low: float = 3.0
    alpha_high: float = 1.5
    n_high: float = 3.0

    def __post_init__(self) -> None:
        check_fields(self, sigma=(0.0, math.inf), alpha_low=(0.0, math.inf), n_low=(1.0, math.inf))
        check_fields(self, alpha_high=(0.0, math.inf), n_high=(1.0, math.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A histogram: ``contents`` (bins,) between ``edges`` (bins + 1,) in u = (x - mean)/sigma, flat inside its bins.

    With the defaults of ``mean`` and ``sigma``, u is x. The contents are normalised.
    """

    edges: tuple[float, ...]
    contents: tuple[float, ...]
    mean: float = 0.0
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, sigma=(0.0, math.inf))
        contents = np.asarray(self.contents, dtype=float)
        check_edges(self.edges)
        if contents.shape != (len(self.edges) - 1,):
            raise ValueError(f"contents has {contents.size} entries for {len(self.edges) - 1} bins")
        if not (np.isfinite(contents).all() and (contents >= 0).all() and contents.sum() > 0):
            raise ValueError("contents: must be finite, not negative and not all zero")


Shape = Gaussian | DoubleGaussian | CrystalBall | DoubleCrystalBall | Template
SHAPES = (Gaussian, DoubleGaussian, CrystalBall, DoubleCrystalBall, Template)


def check_edges(edges: ArrayLike) -> Array:
    """Bin edges as an array; ``ValueError`` unless there are at least two, finite and increasing."""
    array = np.asarray(edges, dtype=float)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all() or not (np.diff(array) > 0).all():
        raise ValueError("edges: must be at least two finite, increasing numbers")
    return array


def _tail_area(distance: Array, alpha: float, n: float) -> Array:
    """Integral of the power law from -infinity to -``distance`` (>= alpha), in units where the core is exp(-u^2/2).

    The tail is exp(-alpha^2/2) (1 + (d - alpha) alpha/n)^-n at distance d.
    """
    return n / (alpha * (n - 1.0)) * math.exp(-0.5 * alpha**2) * (1.0 + (distance - alpha) * alpha / n) ** (1.0 - n)


def _double_tail(u: Array, alpha_low: float, n_low: float, alpha_high: float, n_high: float, density: bool) -> Array:
    """Density or integral of a Gaussian core with power-law tails; an infinite alpha means no tail."""
    low = float(_tail_area(np.float64(alpha_low), alpha_low, n_low)) if math.isfinite(alpha_low) else 0.0  # type: ignore[arg-type]
    high = float(_tail_area(np.float64(alpha_high), alpha_high, n_high)) if math.isfinite(alpha_high) else 0.0  # type: ignore[arg-type]
    start = special.ndtr(-alpha_low)
    core = 2.0 * _SQRT_HALF_PI * (special.ndtr(alpha_high) - start)
    total = low + core + high
    out = np.exp(-0.5 * u * u) if density else low + 2.0 * _SQRT_HALF_PI * (special.ndtr(u) - start)
    for sign, alpha, n in ((-1.0, alpha_low, n_low), (1.0, alpha_high, n_high)):
        if not math.isfinite(alpha):
            continue
        outside = sign * u > alpha
        distance = np.where(outside, sign * u, alpha)
        if density:
            tail = math.exp(-0.5 * alpha**2) * (1.0 + (distance - alpha) * alpha / n) ** -n
        else:
            tail = _tail_area(distance, alpha, n)
            tail = tail if sign < 0 else total - tail
        out = np.where(outside, tail, out)
    return out / total


def _tails(shape: CrystalBall | DoubleCrystalBall) -> tuple[float, float, float, float]:
    """(alpha_low, n_low, alpha_high, n_high) of either kind."""
    if isinstance(shape, DoubleCrystalBall):
        return shape.alpha_low, shape.n_low, shape.alpha_high, shape.n_high
    if shape.mirrored:
        return math.inf, 2.0, shape.alpha, shape.n
    return shape.alpha, shape.n, math.inf, 2.0


def standard_cdf(shape: Shape, u: ArrayLike) -> Array:
    """Integral of the shape up to u = (x - mean)/sigma, any array shape."""
    v = np.asarray(u, dtype=float)
    if isinstance(shape, Gaussian):
        return special.ndtr(v)
    if isinstance(shape, DoubleGaussian):
        return shape.fraction * special.ndtr(v) + (1.0 - shape.fraction) * special.ndtr(v / shape.ratio)
    if isinstance(shape, Template):
        total = np.concatenate([[0.0], np.cumsum(shape.contents)])
        return np.interp(v, shape.edges, total / total[-1])
    return _double_tail(v, *_tails(shape), density=False)


def cdf(shape: Shape, x: ArrayLike) -> Array:
    """Integral of the shape up to ``x``, in units of x."""
    return standard_cdf(shape, (np.asarray(x, dtype=float) - shape.mean) / shape.sigma)


def density(shape: Shape, x: ArrayLike) -> Array:
    """Probability density at ``x``, per unit of x."""
    u = (np.asarray(x, dtype=float) - shape.mean) / shape.sigma
    if isinstance(shape, Template):
        edges, contents = np.asarray(shape.edges), np.asarray(shape.contents, dtype=float)
        height = contents / contents.sum() / np.diff(edges)
        inside = (u >= edges[0]) & (u < edges[-1])
        return np.where(inside, height[np.clip(np.searchsorted(edges, u, "right") - 1, 0, len(height) - 1)], 0.0) / shape.sigma
    if isinstance(shape, CrystalBall | DoubleCrystalBall):
        return _double_tail(u, *_tails(shape), density=True) / shape.sigma
    core = np.exp(-0.5 * u * u)
    if isinstance(shape, DoubleGaussian):
        core = shape.fraction * core + (1.0 - shape.fraction) / shape.ratio * np.exp(-0.5 * (u / shape.ratio) ** 2)
    return core / (2.0 * _SQRT_HALF_PI * shape.sigma)


def fractions(shape: Shape, edges: ArrayLike) -> Array:
    """Fraction of the signal in each bin (bins,); sums to 1 only if the edges contain all of it."""
    return np.diff(cdf(shape, check_edges(edges)))


def widened(shape: Shape, factor: float) -> Shape:
    """The same shape with ``sigma`` multiplied by ``factor``."""
    return replace(shape, sigma=shape.sigma * factor)
