"""A Z' whose couplings change lepton flavour: rates of rare lepton decays and of e+e- -> l l' at tree level.

Everything is our own calculation from the formulae cited. The Z' is a real vector field with pure vector couplings,
Z'_alpha g_ij l_i-bar gamma^alpha l_j, real and symmetric; the electron mass is neglected in muon decays. Rates that need the
coupling to electrons or quarks of an L_mu - L_tau Z' take that of a loop of muons minus taus; photon penguins of the same
order are not included (a factor of 2 in the coupling).

What these rates and their experimental limits leave of the couplings is in :mod:`.lepton_flavour_bounds`; a Z' beside two
leptons in :mod:`belle2dark.simulation.lepton_pair_x`. Not included: corrections to l -> l' nu nu (they need couplings to
neutrinos), tau -> 3 l, radiation.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import ALPHA, C_LIGHT, CTAU_TAU, GEV2_FB, HBAR_C, M_ELECTRON, M_MUON, M_TAU, WIDTH_MUON
from belle2dark.sourced import load_numbers, nearest
from belle2dark.theory.zprime import kinetic_mixing

Array = NDArray[np.float64]

_ALPHA = ALPHA["thomson"]
_CHARGE = float(np.sqrt(4 * np.pi * _ALPHA))
_NUMBERS = load_numbers("lepton_flavour")
_MASSES = {"e": M_ELECTRON, "mu": M_MUON, "tau": M_TAU}
#: Couplings by name; each stands for both orders of its flavours.
PAIRS = ("ee", "mumu", "tautau", "emu", "etau", "mutau")
#: Pairs of different flavour by their two flavours.
MIXED = {"emu": ("e", "mu"), "etau": ("e", "tau"), "mutau": ("mu", "tau")}


@cache
def _nodes(n: int) -> tuple[Array, Array]:
    """Gauss nodes and weights on (0, 1)."""
    x, w = np.polynomial.legendre.leggauss(n)
    return 0.5 * (x + 1), 0.5 * w


def _positive(mass: ArrayLike, above: float = 0.0) -> Array:
    m = np.asarray(mass, dtype=float)
    if not np.all((m > above) & np.isfinite(m)):
        raise ValueError(f"mass = {m} GeV: must be finite and above {above:.6g} GeV")
    return m


def dipole(mass: ArrayLike, internal: str = "mu") -> Array:
    """F in the transition moment a = g_emu g F / 8 pi^2 with a muon or an electron in the loop, shape of ``mass`` [GeV].

    The moment is that of L = -(e a / 4 m_mu) e-bar sigma F mu; g is g_mumu or g_ee. Heavy Z': F -> 4/3 and -2/3 of
    (m_mu/M)^2; light Z' with a muon: pi^2/3 - 1. Only the metric part of the propagator contributes, since one of the two
    vertices conserves its current. With an electron the Z' must be heavier than the muon. Raises ``ValueError`` for another
    lepton or a bad mass. Source: own loop integral, that of g - 2 with a massless lepton going out.
    """
    if internal not in ("mu", "e"):
        raise ValueError(f"internal = {internal!r}: must be mu | e; nearest: {nearest(internal, ('mu', 'e'))}")
    m = _positive(mass, 0.0 if internal == "mu" else M_MUON)
    r = (m[..., None] / M_MUON) ** 2
    node, weight = _nodes(200)
    if internal == "e":
        return np.asarray(-2 * ((1 - node) ** 2 / (r - node)) @ weight)
    # x, y: the muon before and after the photon; F = int 2 (1 - y - x^2 - x y) / (x^2 + x y + y + (1 - x - y) r), y done exactly
    x, weight = node**3, 3 * node**2 * weight
    start, slope = x**2 + (1 - x) * r, 1 + x - r
    q = slope * (1 - x) / start
    near = np.abs(q) < 1e-3
    safe = np.where(near, 1.0, q)
    first = np.where(near, 1 - q / 2 + q**2 / 3 - q**3 / 4, np.log1p(safe) / safe)
    second = np.where(near, 1 / 2 - q / 3 + q**2 / 4 - q**3 / 5, (1 - first) / safe)
    inner = (1 - x) / start * ((1 - x**2) * first - (1 + x) * (1 - x) * second)
    return np.asarray(2 * inner @ weight)


def mu_to_e_gamma(mass: ArrayLike, g_emu: ArrayLike, g_mumu: ArrayLike, g_ee: ArrayLike = 0.0) -> Array:
    """Branching fraction of mu -> e gamma at ``mass`` [GeV], broadcast shape. Raises ``ValueError`` as :func:`dipole`.

    Source: width alpha a^2 m_mu / 8 of the moment a, e.g. Kuno and Okada, hep-ph/9909265.
    """
    coupled = np.asarray(g_mumu) * dipole(mass, "mu")
    if np.any(np.asarray(g_ee) != 0):
        coupled = coupled + np.asarray(g_ee) * dipole(mass, "e")
    moment = np.asarray(g_emu) * coupled / (8 * np.pi**2)
    return np.asarray(_ALPHA * moment**2 * M_MUON / (8 * WIDTH_MUON))


def mu_to_3e(mass: ArrayLike, g_emu: ArrayLike, g_ee: ArrayLike) -> Array:
    """Branching fraction of mu -> 3 e by a Z' of ``mass`` [GeV] above the muon mass, broadcast shape.

    Both ways to attach the two equal electrons, propagators exact. Raises ``ValueError`` for a mass not above the muon mass.
    Source: own calculation; contact limit as Kuno and Okada, hep-ph/9909265, with equal vector couplings g_3 to g_6.
    """
    r = (_positive(mass, M_MUON)[..., None] / M_MUON) ** 2
    s, weight = _nodes(100)
    rest = 1 - s
    squares = 1 / (r - rest) - 1 / r
    product = 2 / (2 * r - rest) * np.log(r / (r - rest))
    # equal helicities interfere, opposite ones do not; s (1 - s) is the spin sum
    total = (s * rest * (2 * squares + 2 * product + 2 * squares)) @ weight
    rate = (np.asarray(g_emu) * np.asarray(g_ee)) ** 2 * 1.5 * total
    return np.asarray(rate * M_MUON / (192 * np.pi**3 * WIDTH_MUON))


def conversion_gold(mass: ArrayLike, g_emu: ArrayLike, g_mumu: ArrayLike) -> Array:
    """Rate of mu -> e conversion in gold over capture at ``mass`` [GeV], through loop-induced mixing, broadcast shape.

    Raises ``ValueError`` for a bad mass. Source: Kitano, Koike, Okada, hep-ph/0203110, vector operators, both
    electron helicities.
    """
    m = _positive(mass)
    mixing = np.abs(kinetic_mixing(-(M_MUON**2), g_mumu))
    contact = np.asarray(g_emu) * mixing * _CHARGE / (m**2 + M_MUON**2)
    rate = 8 * contact**2 * float(_NUMBERS["overlap_gold"]) ** 2 * M_MUON**5
    capture = float(_NUMBERS["capture_gold"]) * 1e-9 * HBAR_C / C_LIGHT
    return np.asarray(rate / capture)


def decay_to_zprime(pair: str, mass: ArrayLike, coupling: ArrayLike) -> Array:
    """Branching fraction of l -> l' Z' on shell, the heavier lepton of ``pair`` to the lighter, at ``mass`` [GeV], broadcast.

    0 where closed; with all masses. Raises ``ValueError`` for an unknown pair or a bad mass.
    """
    m, (child, parent) = _positive(mass), (_MASSES[flavour] for flavour in flavours(pair))
    total = WIDTH_MUON if pair == "emu" else HBAR_C / CTAU_TAU
    a, r = (child / parent) ** 2, (m / parent) ** 2
    kallen = (1 - (np.sqrt(a) + np.sqrt(r)) ** 2) * (1 - (np.sqrt(a) - np.sqrt(r)) ** 2)
    momentum = np.where(m + child < parent, np.sqrt(np.clip(kallen, 0, None)), 0.0)
    spins = (1 - a) ** 2 / r + 1 + a - 2 * r - 6 * np.sqrt(a)
    return np.asarray(np.asarray(coupling) ** 2 * parent / (16 * np.pi) * momentum * spins / total)


def flavours(pair: str) -> tuple[str, str]:
    """The two flavours of a mixed pair, the lighter first. Raises ``ValueError`` for an unknown one."""
    if pair not in MIXED:
        raise ValueError(f"pair {pair!r}: must be one of {' | '.join(MIXED)}; nearest: {nearest(pair, MIXED)}")
    return MIXED[pair]


def _couplings(couplings: Mapping[str, float]) -> dict[str, float]:
    known = dict.fromkeys(PAIRS, 0.0)
    for name, value in couplings.items():
        if name not in known or not np.isfinite(value):
            raise ValueError(f"coupling {name!r} = {value}: must be finite and one of {' | '.join(PAIRS)}; "
                             f"nearest: {nearest(name, PAIRS)}")  # fmt: skip
        known[name] = float(value)
    return known


def width(mass: ArrayLike, couplings: Mapping[str, float]) -> Array:
    """Width [GeV] of the Z' into charged leptons at ``mass`` [GeV], both charges of mixed pairs, shape of ``mass``.

    Raises ``ValueError`` for a bad mass or coupling.
    """
    m, total = _positive(mass), np.zeros(np.shape(mass))
    for name, g in _couplings(couplings).items():
        first, second = MIXED.get(name, (name[: len(name) // 2],) * 2)
        a, b = (_MASSES[first] / m) ** 2, (_MASSES[second] / m) ** 2
        kallen = np.clip((1 - (np.sqrt(a) + np.sqrt(b)) ** 2) * (1 - (np.sqrt(a) - np.sqrt(b)) ** 2), 0, None)
        momentum = np.where(np.sqrt(a) + np.sqrt(b) < 1, np.sqrt(kallen), 0.0)
        spins = 1 - (a + b) / 2 - (a - b) ** 2 / 2 + 3 * np.sqrt(a * b)
        total = total + (2 if name in MIXED else 1) * g**2 * m / (12 * np.pi) * momentum * spins
    return np.asarray(total)


def cross_section(
    pair: str, mass: ArrayLike, couplings: Mapping[str, float], sqrt_s: float = 10.58, *, other_width: float = 0.0,
    cos_max: float = 1.0,
) -> Array:  # fmt: skip
    """sigma(e+e- -> l l') [fb] of a mixed ``pair`` ("emu", "etau", "mutau"), both charges, shape of ``mass`` [GeV].

    Tree level, s and t channel with interference, leptons massless, |cos theta*| < ``cos_max``; ``other_width`` [GeV] adds
    decays not into charged leptons. Raises ``ValueError`` for an unknown pair or coupling, a bad mass, energy, width or angle.
    Source: helicity amplitudes of Bhabha scattering with a massive boson.
    """
    mixed = flavours(pair)
    if not (sqrt_s > 0 and other_width >= 0 and 0 < cos_max <= 1 and np.isfinite([sqrt_s, other_width]).all()):
        raise ValueError(f"sqrt_s = {sqrt_s} GeV, other_width = {other_width} GeV, cos_max = {cos_max}: "
                         "must be positive, not negative, and in 0 to 1")  # fmt: skip
    m, g, s = _positive(mass), _couplings(couplings), sqrt_s**2
    one, two = (g["ee"] if flavour == "e" else g[f"e{flavour}"] for flavour in mixed)
    decay = width(m, couplings) + other_width
    pole = s - m**2 + 1j * m * decay
    if np.any(np.abs(pole) == 0):
        raise ValueError(f"mass = {m} GeV: equal to sqrt_s = {sqrt_s} GeV without a width")
    annihilation = (g["ee"] * g[pair] / pole)[..., None]
    # nodes in ln(M^2 - t), where the exchange is smooth
    node, weight = _nodes(64)
    low, high = np.log(m**2 + s * (1 - cos_max) / 2), np.log(m**2 + s * (1 + cos_max) / 2)
    distance = np.exp(low[..., None] + (high - low)[..., None] * node)
    t = m[..., None] ** 2 - distance
    exchange = -one * two / distance
    square = (s + t) ** 2 * np.abs(annihilation + exchange) ** 2 + t**2 * np.abs(annihilation) ** 2 + s**2 * exchange**2
    integral = (square * distance) @ weight * (high - low) * 2 / s  # over cos theta*
    return np.asarray(2 * integral / (16 * np.pi * s) * GEV2_FB)
