"""Phase space of two to six particles of any masses, pieces of it for kernels, and a small adaptive integrator.

Use :func:`phase_space` for arrays of events that fill phase space evenly (weighted, or unweighted), :func:`n_body`
inside kernels, :func:`two_body` and :func:`flatten` where propagators must become flat, and :func:`integrate` for
integrals of a few dimensions whose integrand peaks along the axes. Not included: matrix elements, spins.

Events follow the sequential decay picture, with the kinetic energy shared between the steps like the squared lengths of
Gaussian three-vectors, whose directions are those of the decays. Non-relativistic phase space comes out with equal weights;
in general the weight is a product of smooth factors without poles, so it is bounded and nothing cancels at threshold.

Source: Byckling and Kajantie, Particle Kinematics (1973), chapter VI (recurrence of phase space); the sharing with
Gaussian vectors is derived here.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numba
import numpy as np
from scipy.optimize import minimize

from belle2dark._jit import jit
from belle2dark.simulation.events import Array
from belle2dark.simulation.kinematics import boost
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import BLOCK, normal, seed_block, uniform

MAX_PARTICLES = 6
#: 1 / (pi^(k-2) (4 pi)^(k-1)) of the recurrence times the inverse normalisation of the sharing, by number of particles
_NORM = np.array(
    [0.0, 0.0]
    + [
        math.gamma(1.5) ** (k - 1) / math.gamma(1.5 * (k - 1)) / (math.pi ** (k - 2) * (4.0 * math.pi) ** (k - 1))
        for k in range(2, MAX_PARTICLES + 1)
    ]
)
#: below this ratio of the two parts of a propagator, an angle is drawn flat
_FLAT = 1e-4


class PhaseSpace(NamedTuple):
    """Four-momenta (n, k, 4) [GeV] in the rest frame of the whole, weights (n,), mean over largest weight.

    The weights average to the phase-space volume Int prod d^3p_i / ((2 pi)^3 2 E_i) (2 pi)^4 delta^4(P - sum p_i)
    [GeV^(2k-4)]; unweighted events have equal ones.
    """

    momenta: Array
    weights: Array
    efficiency: float


def phase_space(n: int, key: int, total_mass: float, masses: Sequence[float], unweighted: bool = False) -> PhaseSpace:
    """n events of ``total_mass`` [GeV] decaying to 2 to 6 particles of ``masses`` [GeV], evenly in phase space.

    Raises ``ValueError`` for n < 1, a key outside 64 bits, another number of particles, a negative mass, or a
    ``total_mass`` at or below the sum of the masses.
    """
    check_request(n, key)
    if not 2 <= len(masses) <= MAX_PARTICLES:
        raise ValueError(f"masses: {len(masses)} particles, allowed 2 to {MAX_PARTICLES}")
    if not all(0.0 <= mass < math.inf for mass in masses):
        raise ValueError(f"masses = {tuple(masses)} GeV: each must be finite and not negative")
    if not sum(masses) < total_mass < math.inf:
        raise ValueError(f"total_mass = {total_mass} GeV: must be finite and above the sum of the masses, {sum(masses):g} GeV")
    m = np.array(masses, dtype=np.float64)
    momenta, weights, tries = np.empty((n, len(m), 4)), np.empty(n), np.empty(n, dtype=np.int64)
    bound = largest_weight(total_mass, masses)
    _kernel(np.uint64(key), n, total_mass, m, bound if unweighted else 0.0, momenta, weights, tries)
    if not unweighted:
        return PhaseSpace(momenta, weights, float(weights.mean() / bound))
    efficiency = n / float(tries.sum())
    return PhaseSpace(momenta, np.full(n, bound * efficiency), efficiency)


def largest_weight(total_mass: float, masses: Sequence[float]) -> float:
    """The largest weight of :func:`n_body` for ``total_mass`` and ``masses`` [GeV]."""
    m = np.array(masses, dtype=np.float64)
    kinetic = total_mass - math.fsum(masses)

    def minus_log(logits: Array) -> float:
        share = np.exp(logits - logits.max())
        step = kinetic * share / share.sum()
        parent = np.cumsum(np.append(m[0], m[1:] + step))
        rest, parent = parent[:-1], parent[1:]
        q2 = (parent + m[1:] + rest) * (step + 2.0 * m[1:]) * (step + 2.0 * rest) / (4.0 * parent * parent)
        return float(-0.5 * np.sum(np.log(q2)))

    # the logarithm is smooth with one maximum; the margin covers the tolerance of the search
    found = minimize(minus_log, np.zeros(len(m) - 1), method="BFGS")
    return float(1.0001 * _NORM[len(m)] * kinetic ** (1.5 * len(m) - 2.5) / total_mass * math.exp(-found.fun))


@jit(parallel=True)
def _kernel(key, n, total_mass, masses, bound, momenta, weights, tries):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, total_mass, masses, bound, momenta, weights, tries)


@jit()
def _block(key, block, n, total_mass, masses, bound, momenta, weights, tries):
    s0, s1 = seed_block(key, block)
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        tries[i] = 0
        while True:
            s0, s1, weights[i] = n_body(s0, s1, total_mass, masses, momenta[i])
            tries[i] += 1
            s0, s1, u = uniform(s0, s1)
            if u * bound < weights[i]:
                break


@jit()
def n_body(s0, s1, total_mass, masses, momenta):
    """Fill ``momenta`` (k, 4) [GeV] for ``masses`` (k,) in the rest frame of ``total_mass``: (s0, s1, weight).

    Nothing is checked: ``total_mass`` must not be below the sum of the masses, k must be 2 to 6.
    """
    k = len(masses)
    kinetic, total, rest = total_mass, 0.0, masses[0]
    for j in range(k):
        kinetic -= masses[j]
    for j in range(1, k):
        s0, s1, x = normal(s0, s1)
        s0, s1, y = normal(s0, s1)
        s0, s1, z = normal(s0, s1)
        momenta[j, 0], momenta[j, 1], momenta[j, 2], momenta[j, 3] = x * x + y * y + z * z, x, y, z
        total += momenta[j, 0]
    weight = _NORM[k] * kinetic ** (1.5 * k - 2.5) / total_mass
    unit = math.sqrt(kinetic / total)
    for j in range(1, k):  # from the inside: mass of the first j + 1 particles, breakup momentum
        m, step = masses[j], kinetic * momenta[j, 0] / total
        parent = rest + m + step
        # breakup momentum over the root of the kinetic energy set free in this step
        q = math.sqrt((parent + m + rest) * (step + 2.0 * m) * (step + 2.0 * rest)) / (2.0 * parent)
        weight *= q
        for c in range(1, 4):
            momenta[j, c] *= q * unit
        momenta[j, 0], rest = rest, parent
    e, x, y, z = rest, 0.0, 0.0, 0.0
    for j in range(k - 1, 0, -1):  # from the outside: into the frame of the whole
        inner, px, py, pz = momenta[j, 0], momenta[j, 1], momenta[j, 2], momenta[j, 3]
        p2 = px * px + py * py + pz * pz
        a, b, c, d = boost(math.sqrt(masses[j] ** 2 + p2), px, py, pz, e, x, y, z, rest)
        momenta[j, 0], momenta[j, 1], momenta[j, 2], momenta[j, 3] = a, b, c, d
        e, x, y, z = boost(math.sqrt(inner * inner + p2), -px, -py, -pz, e, x, y, z, rest)
        rest = inner
    momenta[0, 0], momenta[0, 1], momenta[0, 2], momenta[0, 3] = e, x, y, z
    return s0, s1, weight


@jit(inline=True)
def two_body(total, m1, m2):
    """Momentum [GeV] of two particles of masses ``m1``, ``m2`` [GeV] in the rest frame of their ``total`` mass [GeV].

    Phase space of two is Phi_2 = p / (4 pi W), of more d Phi_n = dq^2/(2 pi) Phi_2(W; q, m) d Phi_(n-1)(q).
    """
    product = (total - m1 - m2) * (total + m1 + m2) * (total - m1 + m2) * (total + m1 - m2)
    return 0.5 * math.sqrt(max(0.0, product)) / total


@jit(inline=True)
def flatten(u, a1, a2, b):
    """cos in (-1, 1) from ``u`` in (0, 1) with density ~ 1/((a1 - b cos)(a2 + b cos)), for 0 <= b < a1, a2."""
    if b <= _FLAT * min(a1, a2):
        return 2.0 * u - 1.0
    low = (a2 - b) / (a1 + b)
    r = low * math.exp(u * math.log((a2 + b) / (a1 - b) / low))
    return min(1.0, max(-1.0, (a1 * r - a2) / (b * (1.0 + r))))


@jit(inline=True)
def flatten_density(cosine, a1, a2, b):
    """Normalised density in cos of :func:`flatten`."""
    if b <= _FLAT * min(a1, a2):
        return 0.5
    length = math.log((a2 + b) / (a1 - b) * (a1 + b) / (a2 - b))
    return b * (a1 + a2) / ((a1 - b * cosine) * (a2 + b * cosine) * length)


class Integral(NamedTuple):
    """Value and statistical error of an integral, and chi^2 per degree of freedom of the iterations.

    Points are spread evenly over each axis, so the error is an upper bound and chi2 may be far below 1; well above 1 it
    says that a peak was missed at first.
    """

    value: float
    error: float
    chi2: float


def integrate(
    function: Callable[[Array], Array], dimension: int, key: int, n: int = 10_000, iterations: int = 8, bins: int = 64
) -> Integral:
    """Integral of ``function``, points (n, dimension) to values (n,), over the unit cube, by adaptive importance sampling.

    Each axis has ``bins`` intervals that shrink where |function| is large; two more iterations at the start only adapt.
    Raises ``ValueError`` for a bad key, fewer than 1000 points, fewer than 2 iterations or a function that is not finite.
    Source: Lepage, J. Comput. Phys. 27 (1978) 192.
    """
    check_request(n, key)
    if n < 1000 or iterations < 2 or dimension < 1:
        raise ValueError(f"n = {n}, iterations = {iterations}, dimension = {dimension}: need at least 1000, 2 and 1")
    random = np.random.Generator(np.random.Philox(key=key))
    edges = np.tile(np.linspace(0.0, 1.0, bins + 1), (dimension, 1))
    axes = np.arange(dimension)
    values, variances = np.empty(iterations + 2), np.empty(iterations + 2)
    for iteration in range(iterations + 2):
        # one point in each of n equal slices of every axis, independently shuffled
        u = (random.permuted(np.tile(np.arange(n), (dimension, 1)), axis=1).T + random.random((n, dimension))) / n * bins
        cell = np.minimum(u.astype(np.int64), bins - 1)
        width = edges[axes, cell + 1] - edges[axes, cell]
        f = np.asarray(function(edges[axes, cell] + (u - cell) * width)) * np.prod(width * bins, axis=1)
        if not np.all(np.isfinite(f)):
            raise ValueError("function: returned NaN or infinity inside the unit cube")
        values[iteration], variances[iteration] = f.mean(), max(f.var() / n, np.finfo(float).tiny)
        for axis in axes:
            edges[axis] = _adapted(edges[axis], np.bincount(cell[:, axis], f * f, minlength=bins).astype(np.float64))
    values, variances = values[2:], variances[2:]
    weights = 1.0 / variances
    mean = float(np.sum(weights * values) / np.sum(weights))
    return Integral(mean, float(np.sum(weights) ** -0.5), float(np.sum(weights * (values - mean) ** 2) / (iterations - 1)))


def _adapted(edges: Array, squares: Array) -> Array:
    """New edges (bins + 1,) that share the damped, smoothed sum of squares (bins,) equally."""
    smooth = np.convolve(np.pad(squares, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    share = smooth / smooth.sum() if smooth.sum() > 0.0 else np.full(len(smooth), 1.0 / len(smooth))
    # damping as in the source, and a floor so that no interval is ever left without points
    damped = np.full_like(share, 1e-3)
    inside = (share > 0.0) & (share < 1.0)
    damped[inside] += ((1.0 - share[inside]) / -np.log(share[inside])) ** 1.5
    cumulative = np.concatenate([[0.0], np.cumsum(damped)])
    return np.interp(np.linspace(0.0, cumulative[-1], len(edges)), cumulative, edges)
