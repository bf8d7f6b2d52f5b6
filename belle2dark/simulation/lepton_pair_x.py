"""e+e- -> l1- l2+ X with photons off the beams: the signal of every search for a new particle beside two leptons.

X is a vector, axial vector, scalar or pseudoscalar of any mass, coupled to any pair of leptons (also of different
flavour) and to electrons; it stays as the slot ``x`` or decays to a pair of leptons with full spin correlations. The
tree-level amplitude (:mod:`.amplitudes.lepton_pair_x`) is evaluated behind the photons, at the reduced energy and in the
reduced frame. Not included: photons off the final leptons (:func:`.radiation.radiate_final` adds them), the Z,
interference of identical leptons when X decays to the flavour it is made with. With an electron in the final state,
electrons closer than ``electron_cone`` to their beam are left out: nobody sees them, and their rate is another subject
(equivalent photons).

For total cross-sections use :func:`belle2dark.simulation.lepton_pair_x_rate.cross_section`, which is smooth and faster.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import GEV2_FB, M_ELECTRON
from belle2dark.simulation.amplitudes.couplings import MASSES, NONE, LeptonCoupling
from belle2dark.simulation.amplitudes.lepton_pair_x import (
    Process,
    decay_currents,
    polarisations,
    process,
    squared,
    workspace,
)
from belle2dark.simulation.amplitudes.spinors import get, put
from belle2dark.simulation.beams import Beams, cms_to_lab, event_frame
from belle2dark.simulation.events import Events
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS, beam_axis, radiate, radiation, recoil, virtual_factor
from belle2dark.simulation.kinematics import boost, to_axis
from belle2dark.simulation.lepton_pair_x_rate import tree_level
from belle2dark.simulation.lepton_pair_x_sampling import BEAMS, FINAL, MINUS, PLUS, density, isotropic_decay, sample
from belle2dark.simulation.pair import check_request, write_photons
from belle2dark.simulation.rng import BLOCK, seed_block, uniform
from belle2dark.sourced import nearest

#: fractions of events made with 0, 1, 2, 3 hard initial-state photons
SHARES = (0.55, 0.30, 0.12, 0.03)
SLOTS = 4
#: least energy above the threshold [GeV]: of nearer masses nothing is left after radiation and rounding
LEAST = 1e-5
#: a line shape is cut off this many widths from its peak, and below this fraction of the peak
WIDTHS, LOWEST = 20.0, 0.25


class Decay(NamedTuple):
    """Whether X decays, the mass of the leptons [GeV] and the chiral couplings to them."""

    on: bool
    mass: float
    left: complex
    right: complex


class LineShape(NamedTuple):
    """Pole mass and width of X [GeV], and the range of the Breit-Wigner angle."""

    mass: float
    width: float
    low: float
    range: float


def generate_lepton_pair_x(
    n: int, key: int, beams: Beams, *, mass: float, coupling: LeptonCoupling, leptons: tuple[str, str] = ("mu", "mu"),
    electron_coupling: LeptonCoupling = NONE, polarisation: tuple[float, float] = (0.0, 0.0), decay: str | None = None,
    decay_coupling: LeptonCoupling | None = None, width: float = 0.0, isr: bool = True, alpha: str = "physical",
    electron_cone: float = 0.05,
) -> Events:  # fmt: skip
    """n weighted events of e+e- -> l1- l2+ X (n gamma): ``mu-``, ``mu+``, ``x``, ``gamma_1`` .. ``gamma_4`` in the lab [GeV].

    ``mass`` and ``width`` of X in GeV (a width spreads the mass as a Breit-Wigner); ``leptons`` are the negative and the
    positive one ("e", "mu", "tau"); ``decay`` names the lepton pair X decays to (``decay_coupling``: ``coupling``), whose
    slots then take the place of ``x``: ``tau-``, ``tau+``, or ``mu-_1`` (beside X) and ``mu-_2`` (from X) if the flavour
    is the same. Weights [fb] add up to the cross-section, without the branching fraction of the decay. ``isr=False``
    makes no photons. ``electron_cone`` [rad] is the smallest CMS angle of an electron to its beam. Raises
    ``ValueError`` for impossible values and closed kinematics.
    """
    check_request(n, key)
    proc = process(mass, coupling, leptons=leptons, electron_coupling=electron_coupling, polarisation=polarisation, alpha=alpha)
    threshold = mass + proc.m_minus + proc.m_plus
    if threshold > beams.sqrt_s - LEAST:
        raise ValueError(f"mass = {mass:g} GeV: closed, must be below {beams.sqrt_s - proc.m_minus - proc.m_plus - LEAST:g} GeV")
    if not 0.0 < electron_cone < 1.5:
        raise ValueError(f"electron_cone = {electron_cone} rad: outside the allowed range 0 to 1.5 rad")
    pair = _decay(proc, mass, decay, decay_coupling or coupling)
    shape = _line_shape(proc, mass, width, pair, beams.sqrt_s)
    lightest = threshold if width == 0.0 else _lowest_mass(proc, mass, width, pair) + proc.m_minus + proc.m_plus
    room = 1.0 - (lightest / beams.sqrt_s) ** 2
    x_hard = min(0.01, 0.1 * room)
    rad = radiation(beams.sqrt_s, lightest, SHARES, x_soft=0.01 * x_hard, x_hard=x_hard)
    first = 4 if pair.on else 3
    out, weights = np.zeros((first + SLOTS, n, 4)), np.empty(n)
    _kernel(np.uint64(key), n, beams.kernel, rad, isr, proc, _shares(proc, beams.sqrt_s), 1.0 - math.cos(electron_cone), pair,
            shape, out, weights)  # fmt: skip
    weights *= GEV2_FB / n * (virtual_factor(beams.sqrt_s) if isr else 1.0)
    names = (*_names(leptons, decay), *(f"gamma_{i}" for i in range(1, SLOTS + 1)))
    return Events(momenta_lab=dict(zip(names, out, strict=True)) if isr else dict(zip(names[:first], out, strict=False)),
                  weights=weights)  # fmt: skip


def _decay(proc: Process, mass: float, decay: str | None, coupling: LeptonCoupling) -> Decay:
    """Check the decay and put it into the form of the kernel."""
    if decay is None:
        return Decay(False, 0.0, *coupling.chiral)
    if decay not in MASSES:
        raise ValueError(f"decay = {decay!r}: must be one of {', '.join(MASSES)}; nearest: {nearest(decay, MASSES)}")
    if coupling.is_zero or coupling.is_vector != proc.vector:
        raise ValueError(f"decay_coupling = {coupling}: must not be zero and be of the kind of coupling")
    if 2.0 * MASSES[decay] >= mass:
        raise ValueError(f"mass = {mass:g} GeV: must be above {2.0 * MASSES[decay]:g} GeV for the decay to {decay}")
    return Decay(True, MASSES[decay], *coupling.chiral)


def _lowest_mass(proc: Process, mass: float, width: float, pair: Decay) -> float:
    """Where the line shape is cut off on the low side [GeV]."""
    floor = max(2.0 * pair.mass, abs(proc.m_minus - proc.m_plus)) * 1.0001
    return max(mass - WIDTHS * width, LOWEST * mass, floor)


def _line_shape(proc: Process, mass: float, width: float, pair: Decay, sqrt_s: float) -> LineShape:
    """Check the width and put it into the form of the kernel."""
    if not (math.isfinite(width) and 0.0 <= width < 0.5 * mass):
        raise ValueError(f"width = {width} GeV: outside the allowed range 0 to {0.5 * mass:g} GeV")
    if width == 0.0:
        return LineShape(mass, 0.0, 0.0, math.pi)
    low = _lowest_mass(proc, mass, width, pair)
    high = min(mass + WIDTHS * width, sqrt_s - proc.m_minus - proc.m_plus)
    a, b = (math.atan((m * m - mass * mass) / (mass * width)) for m in (low, high))
    return LineShape(mass, width, a, b - a)


def _shares(proc: Process, sqrt_s: float) -> tuple[float, float, float, float]:
    """Fractions of events in each sampling channel: as the cross-sections where they are known."""
    final, off_beams = tree_level(proc, sqrt_s) if proc.m_minus == proc.m_plus else (1.0, 0.0)
    share = min(0.9, max(0.1, off_beams / (final + off_beams))) if proc.off_beams and proc.off_final else float(proc.off_beams)
    exchanges = proc.exchange_minus + proc.exchange_plus
    rest = 0.4 if exchanges else 1.0
    each = (1.0 - rest) / max(1, exchanges)
    return (1.0 - share) * rest, share * rest, each * proc.exchange_minus, each * proc.exchange_plus


def _names(leptons: tuple[str, str], decay: str | None) -> tuple[str, ...]:
    """Slot names: the leptons beside X, then X or its daughters."""
    minus, plus = f"{leptons[0]}-", f"{leptons[1]}+"
    if decay is None:
        return minus, plus, "x"
    first, second = f"{decay}-", f"{decay}+"
    return (minus if minus != first else f"{minus}_1", plus if plus != second else f"{plus}_1",
            first if minus != first else f"{first}_2", second if plus != second else f"{second}_2")  # fmt: skip


@jit(parallel=True)
def _kernel(key, n, beam, rad, isr, proc, shares, cone, pair, shape, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, isr, proc, shares, cone, pair, shape, out, weights)


@jit()
def _block(key, block, n, beam, rad, isr, proc, shares, cone, pair, shape, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 1, COLUMNS))
    work = workspace()
    first = 4 if pair.on else 3
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame = event_frame(beam, s0, s1)
        s0, s1, u = uniform(s0, s1)
        m2 = shape.mass * (shape.mass + shape.width * math.tan(shape.low + u * shape.range)) if shape.width > 0.0 else 0.0
        m = math.sqrt(m2) if shape.width > 0.0 else shape.mass
        lowest = m + proc.m_minus + proc.m_plus
        e, x, y, z, root, k, weight, r1, r2 = frame[0], 0.0, 0.0, 0.0, frame[0], 0, shape.range / math.pi, 1.0, 1.0
        if isr:
            s0, s1, k, radiated, r1, r2 = radiate(s0, s1, rad, frame[0], photons)
            e, x, y, z, s_prime = recoil(photons, k, frame[0])
            weight *= radiated
            root = math.sqrt(max(0.0, s_prime))
        if root <= lowest * (1.0 + 1e-9) or weight <= 0.0:  # closed: no weight, momenta of an event without radiation
            e, x, y, z, k, weight, r1, r2 = frame[0], 0.0, 0.0, 0.0, 0, 0.0, 1.0, 1.0
            root = max(frame[0], lowest * (1.0 + 1e-6))
            e = root
        s0, s1, ax, ay, az = beam_axis(s0, s1, e, x, y, z, root, frame[0], r1, r2)
        s0, s1, p, q, kx, square = _tree(s0, s1, proc, shares, cone, m, root, work, pair, out, i)
        weights[i] = weight * square
        system = (e, x, y, z, root)
        put(out[0], i, _to_lab(p, (ax, ay, az), system, frame))
        put(out[1], i, _to_lab(q, (ax, ay, az), system, frame))
        if pair.on:
            for j in range(2, 4):
                put(out[j], i, _to_lab(get(out[j], i), (ax, ay, az), system, frame))
        else:
            put(out[2], i, _to_lab(kx, (ax, ay, az), system, frame))
        if isr:
            write_photons(photons, k, frame, out, first, i)


@jit(inline=True)
def _to_lab(p, axis, system, frame):
    """A vector of the rest frame with the electron along z, in the lab."""
    x, y, z = to_axis(axis[0], axis[1], axis[2], p[1], p[2], p[3])
    e, x, y, z = boost(p[0], x, y, z, *system)
    return cms_to_lab(frame, e, x, y, z)


@jit()
def _tree(s0, s1, proc, shares, cone, m, root, work, pair, out, i):
    """One tree-level event: (s0, s1, l1, l2, X, cross-section [GeV^-2]); daughters of X go to ``out[2:4, i]``."""
    s0, s1, u = uniform(s0, s1)
    channel = FINAL
    while channel < PLUS and u >= shares[channel]:
        u -= shares[channel]
        channel += 1
    s0, s1, minus, plus, k = sample(s0, s1, channel, proc, m, root, cone)
    total = 0.0
    for c in (FINAL, BEAMS, MINUS, PLUS):
        if shares[c] > 0.0:
            total += shares[c] * density(c, proc, m, root, cone, minus, plus, k)
    eps = work[3]
    if pair.on:
        s0, s1, d1, d2 = isotropic_decay(s0, s1, k, m, pair.mass)
        count = decay_currents(proc.vector, (pair.left, pair.right), k, m, d1, d2, pair.mass, eps)
        put(out[2], i, d1)
        put(out[3], i, d2)
    else:
        count = polarisations(proc.vector, k, m, eps)
    pe = math.sqrt(0.25 * root * root - M_ELECTRON * M_ELECTRON)
    # electrons inside the cone are not part of the sample
    lost = (proc.exchange_minus and _inside(minus, 1.0, cone)) or (proc.exchange_plus and _inside(plus, -1.0, cone))
    if lost or not total > 0.0:
        return s0, s1, minus, plus, k, 0.0
    square = squared(proc, (0.5 * root, 0.0, 0.0, pe), (0.5 * root, 0.0, 0.0, -pe), minus, plus, k, count, eps, work)
    return s0, s1, minus, plus, k, square / (2.0 * root * root * total)


@jit(inline=True)
def _inside(p, side, cone):
    """Whether a particle is within 1 - cos = ``cone`` of the beam on a side."""
    return side * p[3] > (1.0 - cone) * math.sqrt(p[1] * p[1] + p[2] * p[2] + p[3] * p[3])


def unweight(events: Events, key: int, quantile: float = 1.0) -> tuple[Events, float]:
    """Events of equal weight, drawn from weighted ones, and the fraction kept.

    The largest weight allowed is that ``quantile`` of the weights; heavier events keep their excess as a weight, so the
    sum stays unbiased. Raises ``ValueError`` for a quantile outside (0, 1] or one whose weight is not positive, and for
    negative weights.
    """
    if not 0.0 < quantile <= 1.0:
        raise ValueError(f"quantile = {quantile}: must lie in (0, 1]")
    top = float(np.quantile(events.weights, quantile))
    if not (events.weights.min() >= 0.0 and top > 0.0):
        raise ValueError(f"weights: from {events.weights.min():g} to {top:g} fb (quantile {quantile}), must be positive there")
    keep = np.random.default_rng(key).random(len(events)) * top < events.weights
    kept = events.select(keep)
    return replace(kept, weights=np.maximum(kept.weights, top)), float(keep.mean())
