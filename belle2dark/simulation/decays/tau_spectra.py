"""Mass spectra of the hadrons in tau decays, by quadrature: what the tables of the decay kernels are made from.

dGamma/dQ^2 ~ (1 - Q^2/M^2)^2 (1 + 2 Q^2/M^2) v(Q^2): for two mesons v = (p/Q)^3 |F|^2, for three pions |a1|^2 times the
Dalitz integral of the current, for other modes the volume of phase space times a
resonance (a model; for four pions the rho' of the pion form factor, for K pi pi the K1(1400)).

Source: Kuehn and Santamaria, Z. Phys. C 48 (1990) 445, with the a1 width computed from the same Dalitz integral.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_PION, M_PION0, M_TAU
from belle2dark.simulation.decays.tau_kernels import AXIAL, VECTOR
from belle2dark.simulation.events import Array
from belle2dark.sourced import load_numbers

Complex = NDArray[np.complex128]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def momentum(mass: Array | float, m1: Array | float, m2: Array | float) -> Array:
    """Momentum of two bodies in the rest frame of ``mass`` [GeV], 0 below threshold."""
    mass = np.asarray(mass, dtype=np.float64)
    square = (mass**2 - (m1 + m2) ** 2) * (mass**2 - (m1 - m2) ** 2)
    return 0.5 * np.sqrt(np.where(mass > m1 + m2, np.maximum(square, 0.0), 0.0)) / mass


def resonance(s: Array, mass: float, width: float, m1: float, m2: float) -> Complex:
    """Complex p-wave Breit-Wigner with running width at s [GeV^2], 1 at s = 0."""
    running = width * mass**2 / s * (momentum(np.sqrt(s), m1, m2) / momentum(mass, m1, m2)) ** 3
    return mass**2 / (mass**2 - s - 1j * np.sqrt(s) * running)


def parameters(name: str) -> tuple[float, ...]:
    """Mass and width [GeV] of a resonance, for the rho also those of the rho' and its share."""
    numbers = load_numbers("tau_decays")
    kinds = ("mass", "width", "prime_mass", "prime_width", "prime_share") if name == "rho" else ("mass", "width")
    return tuple(float(numbers[f"{name}_{kind}"]) for kind in kinds)


def form_factor(s: Array, name: str, m1: float, m2: float) -> Complex:
    """Complex form factor of two mesons at s [GeV^2]: rho with rho', or one resonance."""
    mass, width, *prime = parameters(name)
    if not prime:
        return resonance(s, mass, width, m1, m2)
    return (resonance(s, mass, width, m1, m2) + prime[2] * resonance(s, prime[0], prime[1], m1, m2)) / (1.0 + prime[2])


def current_squared(q: Array, sa: Array, sb: Array, like: float, odd: float) -> Array:
    """|J|^2 of three pions without the a1 factor, 0 outside the Dalitz plot (all broadcast).

    From scalar products in the rest frame of the hadrons: J = F(sb) (q1 - q3) + F(sa) (q2 - q3), space components.
    """
    e1, e2 = 0.5 * (q**2 + like**2 - sa) / q, 0.5 * (q**2 + like**2 - sb) / q
    p1, p2, p3 = e1**2 - like**2, e2**2 - like**2, (q - e1 - e2) ** 2 - odd**2
    dot = 0.5 * (p3 - p1 - p2)
    inside = (p1 > 0.0) & (p2 > 0.0) & (q - e1 - e2 > odd) & (dot**2 < p1 * p2)
    fa, fb = form_factor(sa, "rho", like, odd), form_factor(sb, "rho", like, odd)
    one, two, mixed = 4.0 * p1 + p2 + 4.0 * dot, 4.0 * p2 + p1 + 4.0 * dot, 2.0 * p1 + 2.0 * p2 + 5.0 * dot
    square = np.abs(fb) ** 2 * one + np.abs(fa) ** 2 * two + 2.0 * (fa * fb.conj()).real * mixed
    return np.where(inside, square, 0.0)


def dalitz_integral(q: Array, like: float, odd: float) -> Array:
    """Integral of |J|^2 ds_a ds_b over the Dalitz plot at each hadronic mass ``q`` (n,) [GeV]."""
    q = np.asarray(q, dtype=np.float64)[:, None, None]
    low, high = (like + odd) ** 2, (q - like) ** 2
    sa = low + 0.5 * (_NODES[:, None] + 1.0) * (high - low)
    # range of sb at sa: the odd pion and the second like one recoil against the first
    root = np.sqrt(sa)
    e_odd, e_like = 0.5 * (sa + odd**2 - like**2) / root, 0.5 * (q**2 - sa - like**2) / root
    p_odd, p_like = np.sqrt(np.maximum(e_odd**2 - odd**2, 0.0)), np.sqrt(np.maximum(e_like**2 - like**2, 0.0))
    half = 2.0 * p_odd * p_like
    sb = like**2 + odd**2 + 2.0 * e_odd * e_like + _NODES * half
    square = current_squared(q, sa, sb, like, odd)
    return 0.5 * (high - low)[:, 0, 0] * ((square * half) @ _WEIGHTS @ _WEIGHTS)


def largest_square(q: Array, like: float, odd: float) -> Array:
    """Largest |J|^2 in the Dalitz plot at each ``q`` (n,) [GeV], from a grid and with a margin of 5 %."""
    q = np.asarray(q, dtype=np.float64)[:, None, None]
    low, high = (like + odd) ** 2, (q - like) ** 2
    grid = np.linspace(0.0, 1.0, 80)
    square = current_squared(q, low + grid[:, None] * (high - low), low + grid * (high - low), like, odd)
    return 1.05 * square.max(axis=(1, 2))


@cache
def _tabulated(like: float, odd: float) -> tuple[Array, Array, Array]:
    """Masses [GeV], Dalitz integrals over q^6 and largest |J|^2 over q^2, smooth enough to be interpolated."""
    q = np.linspace(2.0 * like + odd + 1e-6, M_TAU, 160)
    return q, dalitz_integral(q, like, odd) / q**6, largest_square(q, like, odd) / q**2


def a1_width(q: Array) -> Array:
    """g(Q^2) of the a1, Dalitz integral over Q^2 for three charged pions, at masses ``q`` [GeV] (any normalisation)."""
    table = _tabulated(M_PION, M_PION)
    return np.interp(q, table[0], table[1]) * q**4


def phase_space(q: Array, masses: tuple[float, ...]) -> Array:
    """Volume of n-body phase space at masses ``q`` [GeV], any normalisation."""
    if len(masses) == 2:
        return momentum(q, *masses) / q
    low = sum(masses[:-1])
    inner = np.linspace(low, M_TAU, 200)
    volume = phase_space(inner, masses[:-1])
    top = np.maximum(np.asarray(q) - masses[-1] - low, 0.0)[:, None]
    mu = low + 0.5 * (_NODES + 1.0) * top
    values = 2.0 * mu * np.interp(mu, inner, volume) * momentum(np.asarray(q)[:, None], mu, masses[-1])
    return 0.5 * top[:, 0] * (values @ _WEIGHTS) / q


def spectrum(kind: int, masses: tuple[float, ...], name: str, q: Array) -> tuple[Array, Array]:
    """dGamma/dQ (any normalisation) at hadronic masses ``q`` [GeV], and an upper bound of |J|^2 (three pions only)."""
    x = (q / M_TAU) ** 2
    lepton = q * (1.0 - x) ** 2 * (1.0 + 2.0 * x)
    bound = np.zeros(len(q))
    if kind == VECTOR:
        # the rho is as wide as its decay to pions makes it, also where it makes kaons
        daughters = (M_PION, M_PION0) if name == "rho" else masses
        return lepton * (momentum(q, *masses) / q) ** 3 * np.abs(form_factor(q**2, name, *daughters)) ** 2, bound
    if kind == AXIAL:
        mass, width = parameters(name)
        table = _tabulated(masses[0], masses[2])
        running = width * a1_width(q) / a1_width(np.array(mass))
        pole = mass**2 / (mass**2 - q**2 - 1j * mass * running)
        dalitz, bound = np.interp(q, table[0], table[1]) * q**2, np.interp(q, table[0], table[2]) * q**2
        return lepton * np.abs(pole) ** 2 * dalitz, bound
    shape = np.ones(len(q))
    if name:
        mass, width = parameters(name)
        shape = 1.0 / ((mass**2 - q**2) ** 2 + (mass * width) ** 2)
    return lepton * shape * phase_space(q, masses) / q**2, bound
