"""The averaged likelihood of several channels with one signal strength, and the limits solved from it."""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from belle2dark._jit import jit
from belle2dark.limits.nodes import flatten, shared_factors
from belle2dark.limits.special import log_pmf
from belle2dark.limits.systematics import Channel, nuisances

Array = NDArray[np.float64]

_OUTCOMES = 2_000_000
_EMPTY = 1e-6  # events: a background of zero would give one event an infinite weight
_X8, _W8 = np.polynomial.legendre.leggauss(8)


@dataclass(frozen=True, slots=True)
class Joint:
    """Nodes of m channels for each of q variations of what they share.

    ``a``, ``b``, ``w`` hold all nodes; those of variation k and channel i are ``start[k, i]`` to ``start[k, i + 1]``.
    """

    n: NDArray[np.int64]
    signal: Array
    background: Array
    shared: Array
    start: NDArray[np.int64]
    a: Array
    b: Array
    w: Array


def joint(channels: tuple[Channel, ...], counts: tuple[int, ...]) -> Joint:
    """Vary what channels share in an outer product, and the rest channel by channel."""
    found = nuisances(channels)
    shared = [item for item in found if len(item.channels) > 1]
    factors = [np.ones((1, 1 + len(channel.background))) for channel in channels]
    weights = np.ones(1)
    for item in shared:
        x, p = shared_factors(item, channels, counts)
        factors = [(old[:, None, :] * new).reshape(-1, old.shape[1]) for old, new in zip(factors, x, strict=True)]
        weights = (weights[:, None] * p).ravel()
    if len(weights) > 20_000:
        raise ValueError("systematics: too many combinations shared by the channels; merge those that act on the same targets")
    start = np.zeros((len(weights), len(channels) + 1), np.int64)
    parts, position = [], 0
    for k in range(len(weights)):
        for i, channel in enumerate(channels):
            own = tuple(item for item in found if item.channels == (i,))
            a, b, w = flatten(channel, counts[i], own, i, factors[i][k])
            parts.append((a * channel.signal, b, w))
            start[k, i] = position
            position += len(w)
        start[k, -1] = position
    a, b, w = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    background = np.array([channel.total for channel in channels])
    signal = np.array([channel.signal for channel in channels])
    return Joint(np.array(counts), signal, background, weights, start, a, b, w)


@jit()
def likelihoods(s, n, shared, start, a, b, w):
    """Averaged likelihood at each signal strength ``s``."""
    out = np.zeros(len(s))
    for t in range(len(s)):
        for k in range(len(shared)):
            product = shared[k]
            for i in range(len(n)):
                total = 0.0
                for j in range(start[k, i], start[k, i + 1]):
                    total += w[j] * math.exp(log_pmf(n[i], a[j] * s[t] + b[j]))
                product *= total
            out[t] += product
    return out


@jit()
def probabilities(s, size, k, i, start, a, b, w):
    """Averaged probability of 0 .. size - 1 events in channel i at variation k."""
    out = np.zeros(size)
    for j in range(start[k, i], start[k, i + 1]):
        mean = a[j] * s + b[j]
        for c in range(size):
            out[c] += w[j] * math.exp(log_pmf(c, mean))
    return out


def _posterior(model: Joint, t: Array, prior: str) -> Array:
    """Posterior density in t = sqrt(s), not normalised."""
    s = t * t
    density = likelihoods(s, model.n, model.shared, model.start, model.a, model.b, model.w)
    if prior == "sqrt":
        return density
    if prior == "reference":
        mean = np.maximum(model.signal * s[:, None] + model.background, 1e-300)
        return density * 2.0 * t * np.sqrt((model.signal**2 / mean).sum(axis=1))
    return density * 2.0 * t


def posterior_upper(model: Joint, cl: float, prior: str) -> float:
    """The signal strength below which the posterior holds ``cl``."""
    scale = math.sqrt(float(model.signal.max()))
    moved = np.sqrt(model.n + 1.0) + np.abs(model.n - model.background)
    top = math.sqrt(float((moved / np.maximum(model.signal, 1e-300)).min())) * 2.0 + 1.0 / scale
    while True:
        # A Poisson likelihood has a width of one half in sqrt(s x signal).
        t = np.linspace(top * 1e-6, top, min(int(5.0 * top * scale * math.sqrt(len(model.n))) + 200, 200_000))
        density = _posterior(model, t, prior)
        peak = density.max()
        if peak > 0 and density[-1] < 1e-14 * peak:
            break
        top *= 1.5
        if top * top * scale**2 > 1e12:
            raise ValueError("channels: their counts contradict each other so much that no likelihood can be computed")
    inside = np.flatnonzero(density > 1e-16 * peak)
    low = float(t[max(inside[0] - 1, 0)]) if inside[0] > 1 else 0.0
    edges = np.linspace(low, float(t[min(inside[-1] + 1, len(t) - 1)]), 81)
    half = 0.5 * np.diff(edges)
    nodes = edges[:-1, None] + half[:, None] * (_X8 + 1.0)
    pieces = (_posterior(model, nodes.ravel(), prior).reshape(nodes.shape) * _W8).sum(axis=1) * half
    sums = np.concatenate([[0.0], np.cumsum(pieces)])
    goal = cl * sums[-1]
    k = min(int(np.searchsorted(sums, goal)) - 1, len(pieces) - 1)
    left, right = float(edges[k]), float(edges[k + 1])
    for _ in range(60):
        middle = 0.5 * (left + right)
        h = 0.5 * (middle - float(edges[k]))
        part = float((_posterior(model, float(edges[k]) + h * (_X8 + 1.0), prior) * _W8).sum()) * h
        left, right = (middle, right) if sums[k] + part < goal else (left, middle)
        if right - left < 1e-12 * right:
            break
    return right * right


def _order(model: Joint, s: float) -> Array:
    """Weight of one event per channel: ln(1 + s_i / b_i)."""
    return np.log1p(model.signal * s / np.maximum(model.background, _EMPTY))


def _exact(model: Joint, s: float, order: Array, sizes: list[int]) -> float:
    """P(ordering statistic <= observed) at signal strength ``s``, by summing over the outcomes."""
    last = len(sizes) - 1
    seen = float(order @ model.n)
    partial = np.zeros(1)
    for i in range(last):
        partial = (partial[:, None] + order[i] * np.arange(sizes[i])).ravel()
    room = seen - partial + 1e-9 * (1.0 + abs(seen))
    if order[last] > 0:
        index = np.clip(np.floor(room / order[last]), -1, sizes[last] - 1).astype(np.int64)
    else:
        index = np.where(room >= 0, sizes[last] - 1, -1)
    total = 0.0
    for k, weight in enumerate(model.shared):
        product = np.ones(1)
        for i in range(last):
            p = probabilities(s, sizes[i], k, i, model.start, model.a, model.b, model.w)
            product = (product[:, None] * p).ravel()
        p = probabilities(s, sizes[last], k, last, model.start, model.a, model.b, model.w)
        cumulative = np.concatenate([[0.0], np.cumsum(p)])
        total += weight * float(product @ cumulative[index + 1])
    return total


def _thrown(model: Joint, s: float, order: Array, n_toys: int, seed: int) -> float:
    """The same from toys."""
    rng = np.random.default_rng(seed)
    k = rng.choice(len(model.shared), n_toys, p=model.shared / model.shared.sum())
    statistic = np.zeros(n_toys)
    for i in range(len(model.n)):
        # one node per toy, by its weight: position in the running sum of all weights
        first, last = model.start[k, i], model.start[k, i + 1]
        running = np.concatenate([[0.0], np.cumsum(np.maximum(model.w, 0.0))])
        u = running[first] + rng.random(n_toys) * (running[last] - running[first])
        j = np.clip(np.searchsorted(running, u, side="right") - 1, first, last - 1)
        # the same uniform numbers at every s: more signal never gives fewer events
        statistic += order[i] * stats.poisson.ppf(rng.random(n_toys), model.a[j] * s + model.b[j])
    seen = float(order @ model.n)
    return float((statistic <= seen + 1e-9 * (1.0 + abs(seen))).mean())


def cls_upper(model: Joint, cl: float, n_toys: int, seed: int) -> tuple[float, bool]:
    """Upper limit by CLs, and whether toys were thrown."""
    rest = np.argsort(-(model.background + model.n))  # the largest channel last: it is summed, not enumerated
    order_of = np.concatenate([rest[1:], rest[:1]])
    model = _reordered(model, order_of)
    start = float((np.maximum(model.n - model.background, 0.0).sum() + 3.0 * math.sqrt(model.n.sum() + 1.0)) / model.signal.sum())
    thrown = False

    def ratio(s: float) -> float:
        nonlocal thrown
        order = _order(model, s)
        mean = model.background * 1.5 + model.signal * s * 1.5 + model.n
        sizes = [int(m + 7.0 * math.sqrt(m) + 12) for m in mean]
        if math.prod(sizes[:-1]) * len(model.shared) <= _OUTCOMES:
            return _exact(model, s, order, sizes) / max(_exact(model, 0.0, order, sizes), 1e-300)
        thrown = True
        return _thrown(model, s, order, n_toys, seed) / max(_thrown(model, 0.0, order, n_toys, seed), 0.5 / n_toys)

    low, high = 0.0, start
    while ratio(high) > 1.0 - cl:
        low, high = high, 2.0 * high
    tolerance = 1e-9
    while high - low > tolerance * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if ratio(middle) > 1.0 - cl else (low, middle)
        tolerance = 1e-4 if thrown else 1e-9
    return 0.5 * (low + high), thrown


def _reordered(model: Joint, order: NDArray[np.intp]) -> Joint:
    """The same channels in another order."""
    parts, start, position = [], np.zeros_like(model.start), 0
    for k in range(len(model.shared)):
        for place, i in enumerate(order):
            rows = slice(model.start[k, i], model.start[k, i + 1])
            parts.append(rows)
            start[k, place] = position
            position += rows.stop - rows.start
        start[k, -1] = position
    a, b, w = (np.concatenate([column[rows] for rows in parts]) for column in (model.a, model.b, model.w))
    return Joint(model.n[order], model.signal[order], model.background[order], model.shared, start, a, b, w)
