"""From a channel and its nuisance parameters to nodes: signal factors, backgrounds and weights of every combination.

A full product of the nodes of all nuisances where it has at most 400 thousand points, 131 thousand Sobol points beyond (more than
two uncertainties much wider than the Poisson error; errors of a limit of about 2e-4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import qmc

from belle2dark.limits.averaged import capped_background
from belle2dark.limits.constraints import Nodes, correlated_factors, factor, sum_of
from belle2dark.limits.general import tail
from belle2dark.limits.nuisance import EFFICIENCY_FLOOR
from belle2dark.limits.systematics import Channel, Nuisance

Array = NDArray[np.float64]

_LARGEST_PRODUCT = 400_000
_POINTS = 1 << 17
_WIDEST = 300.0  # Poisson errors: a background more uncertain than that, and above n, counts as lower
_CREDIBLE = 1e-12
_FINE = 30.0  # Sobol points lie between nodes: this dense, their variance is right to 1e-4


def floors(count: int) -> Array:
    """Lowest factors of (signal, component, ...) with a Gaussian constraint."""
    out = np.zeros(count)
    out[0] = EFFICIENCY_FLOOR
    return out


def _typical(channel: Channel, n: int, total: float, found: tuple[Nuisance, ...], index: int) -> tuple[Array, float]:
    """Mean events that a relative shift of (signal, component, ...) moves, and the Poisson error."""
    moved = sum(float((item.sizes[index][1:] @ np.fromiter(channel.background.values(), float)) ** 2) for item in found)
    poisson = math.sqrt(n + 1.0)
    signal = max(n - total, 0.0) + 2.0 * math.sqrt(n + 1.0 + moved)
    return np.concatenate([[signal], np.fromiter(channel.background.values(), float)]), poisson


def _shift(size_times_mean: float, poisson: float, deficit: float, size: float) -> float:
    """How far one standard deviation moves the mean, in Poisson errors; at least one where a deficit pulls the factor along."""
    return max(size_times_mean / poisson, 1.0 if size * deficit > 0.8 else 0.0)


def shared_factors(item: Nuisance, channels: tuple[Channel, ...], counts: tuple[int, ...]) -> tuple[list[Array], Array]:
    """Factors per channel (nodes, 1 + components) and weights (nodes,) of one nuisance."""
    ratio = 0.0
    for i, channel in enumerate(channels):
        mean, poisson = _typical(channel, counts[i], channel.total, (item,), i)
        deficit = channel.total - counts[i]
        ratio = max(ratio, _shift(float(item.sizes[i] @ mean), poisson, deficit, float(item.sizes[i][1:].max(initial=0.0))))
    flat = np.concatenate(item.sizes)
    low = np.concatenate([floors(len(sizes)) for sizes in item.sizes])
    x, w = correlated_factors(item.constraint, flat, low, ratio)
    cuts = np.cumsum([len(sizes) for sizes in item.sizes])[:-1]
    return np.split(x, cuts, axis=1), w


def flatten(channel: Channel, n: int, found: tuple[Nuisance, ...], index: int = 0,
            given: Array | None = None) -> tuple[Array, Array, Array]:  # fmt: skip
    """Signal factors, backgrounds [events] and weights of every combination of variations of one channel, (nodes,) each.

    ``found`` are the nuisances to vary here (column ``index`` of their sizes), ``given`` fixed factors (1 + components,) of
    those varied elsewhere.
    """
    fixed = np.ones(1 + len(channel.background)) if given is None else given
    expected = np.fromiter(channel.background.values(), float) * fixed[1:]
    errors = np.array([channel.template_error.get(name, 0.0) for name in channel.background])
    total = float(expected.sum())
    mean, poisson = _typical(channel, n, total, found, index)
    if total > n:  # as the fast kernels: no credit for the far tails of the assumed constraints
        moved = sum(float(item.sizes[index][1:] @ expected) ** 2 for item in found) + float(((errors * expected) ** 2).sum())
        relative = math.sqrt(moved) / total
        known = min(capped_background(n, total, 0.0, 0.0, relative), max(_WIDEST * poisson / max(relative, 1e-9), float(n)))
        expected = expected * (known / total)
    mean[1:] = expected
    deficit = float(expected.sum()) - n
    base = np.concatenate([fixed[:1], expected])
    shifts = [_shift(float(item.sizes[index] @ mean), poisson, deficit, float(item.sizes[index][1:].max(initial=0.0)))
              for item in found]  # fmt: skip
    error_shifts = np.array([_shift(error * m, poisson, deficit, error) for error, m in zip(errors, mean[1:], strict=True)])
    common, own = _variations(found, index, errors, shifts, error_shifts)
    single = [_product(parts) for parts in own]
    back, _ = sum_of([(base[1 + c] * x, p) for c, (x, p) in enumerate(single[1:])], poisson)
    if math.prod(len(w) for _, w in common) * len(single[0][1]) * len(back) > _LARGEST_PRODUCT:
        fine = _variations(found, index, errors, np.maximum(shifts, _FINE), np.full(len(errors), _FINE))
        return _credible(n, *_sobol(base, *fine))
    return _credible(n, *_tensor(base, common, single, poisson))


def _credible(n: int, a: Array, b: Array, w: Array) -> tuple[Array, Array, Array]:
    """The nodes, with backgrounds lowered until a count of ``n`` or less has a probability of 1e-12."""
    if len(w) == 1 or tail(n, 0.0, a, b, w, False) >= _CREDIBLE:
        return a, b, w
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if tail(n, 0.0, a, middle * b, w, False) >= _CREDIBLE else (low, middle)
    return a, low * b, w


def _variations(found: tuple[Nuisance, ...], index: int, errors: Array, shifts: Sequence[float] | Array,
                error_shifts: Array) -> tuple[list[tuple[Array, Array]], list[list[Nodes]]]:  # fmt: skip
    """Nodes of what moves several targets, and for each target of what moves it alone; ``shifts`` in Poisson errors."""
    common: list[tuple[Array, Array]] = []
    own: list[list[Nodes]] = [[] for _ in range(1 + len(errors))]
    low = floors(1 + len(errors))
    for item, shift in zip(found, shifts, strict=True):
        sizes = item.sizes[index]
        touched = np.flatnonzero(sizes)
        if len(touched) == 1:
            t = int(touched[0])
            own[t].append(factor(item.constraint, float(sizes[t]), float(low[t]), float(shift)))
        elif len(touched):
            common.append(correlated_factors(item.constraint, sizes, low, float(shift)))
    for c, error in enumerate(errors):
        if error > 0:
            own[1 + c].append(factor("gamma", float(error), 0.0, float(error_shifts[c])))
    return common, own


def _product(parts: list[Nodes]) -> Nodes:
    """Product of independent factors."""
    x, w = np.ones(1), np.ones(1)
    for px, pw in parts:
        x, w = (x[:, None] * px).ravel(), (w[:, None] * pw).ravel()
    return x, w


def _tensor(base: Array, common: list[tuple[Array, Array]], single: list[Nodes], poisson: float) -> tuple[Array, Array, Array]:
    """Every combination of common variations with those that each target has for itself."""
    factors, w = base[None, :], np.ones(1)
    for x, p in common:
        factors, w = (factors[:, None, :] * x).reshape(-1, len(base)), (w[:, None] * p).ravel()
    e, we = single[0]
    if all(len(p) == 1 for _, p in single[2:]):  # one uncertain component at most: no sums to compress
        x, p = single[1] if len(single) > 1 else (np.ones(1), np.ones(1))
        rest = factors[:, 2:].sum(axis=1)
        b = factors[:, 1:2] * x + rest[:, None] if factors.shape[1] > 1 else np.zeros((len(w), 1))
        signals = np.broadcast_to((factors[:, :1] * e)[:, :, None], (len(w), len(e), b.shape[1]))
        weights = w[:, None, None] * we[:, None] * p
        return signals.ravel(), np.broadcast_to(b[:, None, :], signals.shape).ravel(), weights.ravel()
    signals_, backgrounds, weights_ = [], [], []
    for row, weight in zip(factors, w, strict=True):
        b, wb = sum_of([(row[1 + c] * x, p) for c, (x, p) in enumerate(single[1:])], poisson)
        signals_.append(np.repeat(row[0] * e, len(b)))
        backgrounds.append(np.tile(b, len(e)))
        weights_.append(weight * (we[:, None] * wb).ravel())
    return np.concatenate(signals_), np.concatenate(backgrounds), np.concatenate(weights_)


def _sobol(base: Array, common: list[tuple[Array, Array]], own: list[list[Nodes]]) -> tuple[Array, Array, Array]:
    """The same on equally weighted Sobol points, each factor through its inverse cumulative distribution."""
    count = len(common) + sum(len(parts) for parts in own)
    points = qmc.Sobol(d=count, scramble=False).random_base2(_POINTS.bit_length() - 1) + 0.5 / _POINTS
    coordinates = iter(points.T)
    factors = np.repeat(base[None, :], _POINTS, axis=0)

    def quantile(u: Array, x: Array, p: Array) -> Array:
        """Inverse cumulative distribution, linear between nodes on the scale where a Gaussian is a straight line."""
        middle = np.clip(np.cumsum(p) - 0.5 * p, 1e-300, 1.0 - 1e-16)
        return np.interp(special.ndtri(u), special.ndtri(middle), x)

    for x, p in common:
        u = next(coordinates)
        for t in range(x.shape[1]):
            factors[:, t] *= quantile(u, x[:, t], p)
    for t, parts in enumerate(own):
        for x, p in parts:
            factors[:, t] *= quantile(next(coordinates), x, p)
    return factors[:, 0].copy(), factors[:, 1:].sum(axis=1), np.full(_POINTS, 1.0 / _POINTS)
