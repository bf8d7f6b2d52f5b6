"""Decay chains of arrays of moving particles: two- and three-body decays, and flight from a proper lifetime.

Every step takes four-momenta in one frame and returns four-momenta in the same frame, so chains of any depth are sequences
of calls; masses are those of the momenta, so that resonances keep the mass they were given. Use :func:`decay_two_body`
with ``alignment`` for decays of polarised particles, :func:`decay_three_body` with a matrix element for weights, and
:func:`fly` for production points. For many bodies at rest there is :mod:`belle2dark.simulation.phase_space`.

Not included: correlations between the spins of different particles, curved flight of charged parents in the field,
interactions on the way.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
from scipy.integrate import quad

from belle2dark._jit import jit
from belle2dark.simulation.events import Array
from belle2dark.simulation.kinematics import around, boost, unit
from belle2dark.simulation.rng import BLOCK, direction, make_key, seed_block, uniform

#: a parent may be this much lighter than its daughters [GeV]: rounding, not physics
_ROUNDING = 1e-7


class ThreeBody(NamedTuple):
    """Daughters, (n, 4) [GeV] each, and the matrix element squared of each event, (n,), in the caller's units."""

    first: Array
    second: Array
    third: Array
    weights: Array


def mass(momenta: Array) -> Array:
    """Invariant mass (...,) [GeV] of four-momenta (..., 4); rounding below zero gives 0."""
    p = np.asarray(momenta)
    return np.sqrt(np.maximum(p[..., 0] ** 2 - np.sum(p[..., 1:] ** 2, axis=-1), 0.0))


def two_body_momentum(m: Array | float, m1: Array | float, m2: Array | float) -> Array:
    """Momentum [GeV] of both daughters at rest of a parent of mass ``m`` [GeV]; 0 at and below threshold."""
    m, m1, m2 = np.asarray(m, dtype=np.float64), np.asarray(m1, dtype=np.float64), np.asarray(m2, dtype=np.float64)
    square = (m - m1 - m2) * (m + m1 + m2) * (m - m1 + m2) * (m + m1 - m2)
    return np.sqrt(np.where(m > m1 + m2, np.maximum(square, 0.0), 0.0)) / (2.0 * m)


def _checked(parents: Array, masses: tuple[Array | float, ...], key: int) -> tuple[Array, list[Array]]:
    """Parents and daughter masses as arrays of one length; raises ``ValueError`` for shapes, negative or too large masses."""
    if not 0 <= key < 2**64:
        raise ValueError(f"key = {key}: allowed 0 to 2^64 - 1; make one with rng.make_key")
    momenta = np.ascontiguousarray(parents, dtype=np.float64)
    if momenta.ndim != 2 or momenta.shape[1] != 4:
        raise ValueError(f"parents: shape {momenta.shape}, expected (n, 4)")
    daughters = [np.broadcast_to(np.asarray(m, dtype=np.float64), len(momenta)) for m in masses]
    for i, m in enumerate(daughters):
        if not np.all((m >= 0.0) & (m < math.inf)):
            raise ValueError(f"mass of daughter {i + 1}: must be finite and not negative [GeV]")
    gap = mass(momenta) - np.sum(daughters, axis=0)
    if np.any(gap < -_ROUNDING) or not np.all(np.isfinite(momenta)):
        raise ValueError(f"closed decay: the parent's mass is {-np.min(gap):.4g} GeV below the sum of the daughters' masses")
    return momenta, daughters


def decay_two_body(
    parents: Array, m1: Array | float, m2: Array | float, key: int, *, alignment: Array | float = 0.0, about: Array | None = None
) -> tuple[Array, Array]:
    """Both daughters (n, 4) [GeV] of ``parents`` (n, 4), with masses ``m1``, ``m2`` [GeV], numbers or (n,).

    The cosine of the first daughter about the direction of ``about`` (n, 4), both seen at rest of the parent, has density
    1 + a (3 cos^2 - 1) with the ``alignment`` a: 0 isotropic, 1 cos^2 (helicity 0 to two spinless), -1/2 sin^2
    (helicity 1 to two spinless, also Upsilon(4S) -> B Bbar about the beam), 1/4 1 + cos^2. The sum of the daughters is
    the parent to rounding. Raises ``ValueError`` for a closed decay, a bad shape or key, or an alignment outside -1/2
    to 1 or without ``about``.
    """
    momenta, (mass1, mass2) = _checked(parents, (m1, m2), key)
    n = len(momenta)
    a = np.broadcast_to(np.asarray(alignment, dtype=np.float64), n)
    if not np.all((a >= -0.5) & (a <= 1.0)):
        raise ValueError(f"alignment = {alignment}: allowed -1/2 to 1")
    if about is None and np.any(a != 0.0):
        raise ValueError("alignment without about: give the four-momenta whose direction is the axis")
    axis = momenta if about is None else np.ascontiguousarray(about, dtype=np.float64)
    if axis.shape != momenta.shape:
        raise ValueError(f"about: shape {axis.shape}, expected {momenta.shape}")
    first, second = np.empty((n, 4)), np.empty((n, 4))
    _two_body(np.uint64(key), momenta, mass1, mass2, a, axis, about is not None, first, second)
    return first, second


@jit(parallel=True)
def _two_body(key, parents, mass1, mass2, alignment, axis, aligned, first, second):
    n = parents.shape[0]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            s0, s1, x, y, z = direction(s0, s1)
            if aligned:
                s0, s1, x, y, z = _aligned(s0, s1, parents[i], axis[i], alignment[i])
            _split(parents[i], mass1[i], mass2[i], x, y, z, first[i], second[i])


@jit()
def _aligned(s0, s1, parent, axis, alignment):
    """A direction with density 1 + a (3 cos^2 - 1) about ``axis`` as seen at rest of ``parent``."""
    m = math.sqrt(max(parent[0] ** 2 - parent[1] ** 2 - parent[2] ** 2 - parent[3] ** 2, 1e-300))
    _, ax, ay, az = boost(axis[0], axis[1], axis[2], axis[3], parent[0], -parent[1], -parent[2], -parent[3], m)
    nx, ny, nz = unit(ax, ay, az)
    largest = max(1.0 + 2.0 * alignment, 1.0 - alignment)
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        c = 2.0 * u - 1.0
        if v * largest < 1.0 + alignment * (3.0 * c * c - 1.0):
            break
    s0, s1, u = uniform(s0, s1)
    x, y, z = around(nx, ny, nz, c, 2.0 * math.pi * u)
    return s0, s1, x, y, z


@jit()
def _split(parent, m1, m2, x, y, z, first, second):
    """Two daughters back to back along (x, y, z) at rest of the parent, written in the parent's frame."""
    m = math.sqrt(max(parent[0] ** 2 - parent[1] ** 2 - parent[2] ** 2 - parent[3] ** 2, 1e-300))
    m = max(m, m1 + m2)
    p = math.sqrt(max((m - m1 - m2) * (m + m1 + m2) * (m - m1 + m2) * (m + m1 - m2), 0.0)) / (2.0 * m)
    e1 = 0.5 * (m + (m1 - m2) * (m1 + m2) / m)
    a, b, c, d = boost(e1, p * x, p * y, p * z, parent[0], parent[1], parent[2], parent[3], m)
    first[0], first[1], first[2], first[3] = a, b, c, d
    a, b, c, d = boost(m - e1, -p * x, -p * y, -p * z, parent[0], parent[1], parent[2], parent[3], m)
    second[0], second[1], second[2], second[3] = a, b, c, d


def decay_three_body(
    parents: Array,
    masses: tuple[float, float, float],
    key: int,
    matrix_element: Callable[[Array, Array, Array], Array] | None = None,
) -> ThreeBody:
    """Three daughters of ``parents`` (n, 4), flat in phase space, with ``masses`` [GeV] and weights.

    ``matrix_element`` takes the squared masses s12, s13, s23 (n,) [GeV^2] and returns |M|^2 (n,), which becomes the
    weight (1 without it); the partial width is the mean weight times :func:`three_body_volume` / (2 M). Raises
    ``ValueError`` for a closed decay, a bad shape or key, or a |M|^2 that is negative or not finite.
    """
    momenta, _ = _checked(parents, masses, key)
    n = len(momenta)
    out = np.empty((3, n, 4))
    _three_body(np.uint64(key), momenta, *(float(m) for m in masses), out)
    weights = np.ones(n)
    if matrix_element is not None:
        s12, s13, s23 = (mass(out[a] + out[b]) ** 2 for a, b in ((0, 1), (0, 2), (1, 2)))
        weights = np.asarray(matrix_element(s12, s13, s23), dtype=np.float64)
        if weights.shape != (n,) or not np.all(np.isfinite(weights) & (weights >= 0.0)):
            raise ValueError("matrix_element: must return a finite number that is not negative per event")
    return ThreeBody(out[0], out[1], out[2], weights)


@jit(parallel=True)
def _three_body(key, parents, m1, m2, m3, out):
    n = parents.shape[0]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _three_body_block(key, block, n, parents, m1, m2, m3, out)


@jit(inline=True)
def _breakup(m, m1, m2):
    return math.sqrt(max((m - m1 - m2) * (m + m1 + m2) * (m - m1 + m2) * (m + m1 - m2), 0.0)) / (2.0 * m)


@jit()
def _three_body_block(key, block, n, parents, m1, m2, m3, out):
    s0, s1 = seed_block(key, block)
    pair = np.empty(4)
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        m = math.sqrt(max(parents[i, 0] ** 2 - parents[i, 1] ** 2 - parents[i, 2] ** 2 - parents[i, 3] ** 2, 1e-300))
        m = max(m, m1 + m2 + m3)
        low, width = m1 + m2, m - m1 - m2 - m3
        # the two breakup momenta are largest at opposite ends of the pair mass
        largest = _breakup(m - m3, m1, m2) * _breakup(m, low, m3)
        while True:
            s0, s1, u = uniform(s0, s1)
            s0, s1, v = uniform(s0, s1)
            m12 = low + u * width
            if v * largest <= _breakup(m12, m1, m2) * _breakup(m, m12, m3):
                break
        s0, s1, x, y, z = direction(s0, s1)
        _split(parents[i], m3, m12, x, y, z, out[2, i], pair)
        s0, s1, x, y, z = direction(s0, s1)
        _split(pair, m1, m2, x, y, z, out[0, i], out[1, i])


def three_body_volume(m: float, m1: float, m2: float, m3: float) -> float:
    """Three-body phase space Int prod d^3p / ((2 pi)^3 2E) (2 pi)^4 delta^4 [GeV^2]; 0 when closed."""
    if m <= m1 + m2 + m3:
        return 0.0

    def rate(m12: float) -> float:
        return float(two_body_momentum(m12, m1, m2) * two_body_momentum(m, m12, m3))

    return quad(rate, m1 + m2, m - m3, epsabs=0.0, epsrel=1e-8, limit=200)[0] / ((2.0 * math.pi) ** 3 * 2.0 * m)


def _check_length(name: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise ValueError(f"{name} = {value} cm: must be positive and finite")


def fly(momenta: Array, vertices_cm: Array | None, ctau_cm: float, key: int) -> Array:
    """Decay points (n, 3) [cm] of particles made at ``vertices_cm`` (n, 3) (None: the origin) with ``ctau_cm`` [cm].

    Raises ``ValueError`` for a c tau that is not positive, massless particles, or a bad key.
    """
    return fly_within(momenta, vertices_cm, ctau_cm, math.inf, key)[0]


def fly_within(momenta: Array, vertices_cm: Array | None, ctau_cm: float, reach_cm: float, key: int) -> tuple[Array, Array]:
    """Decay points (n, 3) [cm] before a flight path of ``reach_cm`` [cm], and the probability of that, (n,).

    Multiply the event weights with it: a long-lived particle then costs no events that decay outside. Raises
    ``ValueError`` as :func:`fly`, or for a reach that is not positive.
    """
    p, m, start = _started(momenta, vertices_cm, key)
    _check_length("ctau_cm", ctau_cm)
    if not reach_cm > 0.0:
        raise ValueError(f"reach_cm = {reach_cm} cm: must be positive")
    flight = p[:, 1:] * (ctau_cm / m)[:, None]
    length = np.linalg.norm(flight, axis=1)
    inside = -np.expm1(-reach_cm / np.maximum(length, 1e-300))
    u = np.empty(len(p))
    _uniforms(np.uint64(make_key(key, "flight")), u)
    return start - np.log1p(-u * inside)[:, None] * flight, inside


def _started(momenta: Array, vertices_cm: Array | None, key: int) -> tuple[Array, Array, Array]:
    """Four-momenta (n, 4), masses (n,) and starting points (n, 3) of particles that can decay."""
    p, _ = _checked(momenta, (), key)
    m = mass(p)
    if np.any(m <= 0.0):
        raise ValueError("momenta: a massless particle does not decay")
    start = np.zeros((len(p), 3)) if vertices_cm is None else np.asarray(vertices_cm, dtype=np.float64)
    if start.shape != (len(p), 3):
        raise ValueError(f"vertices_cm: shape {start.shape}, expected ({len(p)}, 3)")
    return p, m, start


def fly_broadly(momenta: Array, vertices_cm: Array | None, key: int, *, near_cm: float = 0.01,
                far_cm: float = 300.0) -> tuple[Array, Array]:  # fmt: skip
    """Decay points (n, 3) [cm] that serve any lifetime, and the flights (n, 2): proper length [cm] and its density [1/cm].

    The path L in the lab has the density 1 / ((L + ``near_cm``) ln(1 + far / near)) up to ``far_cm`` [cm]: as many decays in
    every decade. Give an event the factor :func:`lifetime_factor`, and it stands for decays at that c tau; those beyond
    ``far_cm`` are not there, and sums of factors lack them. Raises ``ValueError`` as :func:`fly`, or for a distance that is
    not positive.
    """
    p, m, start = _started(momenta, vertices_cm, key)
    _check_length("near_cm", near_cm)
    _check_length("far_cm", far_cm)
    decades = math.log1p(far_cm / near_cm)
    path = near_cm * np.expm1(decades * uniforms(len(p), make_key(key, "flight")))
    momentum = np.linalg.norm(p[:, 1:], axis=1)
    proper = m / np.maximum(momentum, 1e-300)  # proper length per path
    density = 1.0 / ((path + near_cm) * decades) / proper
    return start + p[:, 1:] * (path / np.maximum(momentum, 1e-300))[:, None], np.column_stack([path * proper, density])


def lifetime_factor(flights: Array, ctau_cm: float) -> Array:
    """Factors (n,) that turn ``flights`` (n, 2) of :func:`fly_broadly` into decays at ``ctau_cm`` [cm].

    Raises ``ValueError`` for a c tau that is not positive.
    """
    _check_length("ctau_cm", ctau_cm)
    return np.asarray(np.exp(-flights[:, 0] / ctau_cm) / (ctau_cm * flights[:, 1]))


@jit(parallel=True)
def _uniforms(key, out):
    n = out.shape[0]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            s0, s1, out[i] = uniform(s0, s1)


def uniforms(n: int, key: int) -> Array:
    """n uniform numbers in (0, 1), the same for any number of threads."""
    out = np.empty(n)
    _uniforms(np.uint64(key), out)
    return out


def proper_length(momenta: Array, start_cm: Array, end_cm: Array) -> Array:
    """Proper flight length c t (n,) [cm] of particles with ``momenta`` (n, 4) between two points (n, 3) [cm]."""
    p = np.linalg.norm(np.asarray(momenta)[:, 1:], axis=1)
    return np.linalg.norm(np.asarray(end_cm) - np.asarray(start_cm), axis=1) * mass(momenta) / np.maximum(p, 1e-300)


def draw(n: int, key: int, x: Array, density: Array) -> Array:
    """n numbers (n,) with the ``density`` tabulated at the increasing nodes ``x``, linear in between.

    Raises ``ValueError`` for a density that is negative, not finite or zero everywhere.
    """
    x, f = np.asarray(x, dtype=np.float64), np.asarray(density, dtype=np.float64)
    if x.shape != f.shape or not np.all(np.isfinite(f) & (f >= 0.0)) or not np.any(f > 0.0) or np.any(np.diff(x) <= 0.0):
        raise ValueError("density: must be finite, not negative, not zero everywhere, at increasing x")
    area = 0.5 * (f[1:] + f[:-1]) * np.diff(x)
    edges = np.concatenate([[0.0], np.cumsum(area)])
    target = uniforms(n, key) * edges[-1]
    cell = np.clip(np.searchsorted(edges, target, side="right") - 1, 0, len(area) - 1)
    share = (target - edges[cell]) / area[cell]
    # solve f0 t + (f1 - f0) t^2 / 2 = share (f0 + f1) / 2 in the stable form
    f0, f1 = f[cell], f[cell + 1]
    t = share * (f0 + f1) / (f0 + np.sqrt(f0 * f0 + (f1 * f1 - f0 * f0) * share))
    return x[cell] + t * (x[cell + 1] - x[cell])
