"""chi2 -> chi1 and a pair of leptons or hadrons through an off-shell dark photon: the displaced decay of inelastic dark matter.

The dark current is purely off-diagonal, g_D A'_mu chi2bar gamma^mu chi1 with both masses positive (pseudo-Dirac), and charges
couple with epsilon e; lepton and mediator masses are kept. Use :func:`decay_chi2` for events of one lepton,
:func:`decay_chi2_any` for all channels in the ratio of their widths, and :mod:`belle2dark.theory.inelastic` for rates and
lifetimes. Events have unit weights.

Not included: spin of the chi2, an A' light enough to be on shell, hadrons other than pi+ pi- as they are (their rate and mass are
those of R less the pions', their particles always pi+ pi- pi0), decays of tau pairs (counted among the other hadrons).

Source: matrix element derived here; the small-splitting limit 4 epsilon^2 alpha alpha_D Delta^5 / (15 pi m^4) is the usual
one, e.g. Izaguirre, Krnjaic and Shuve, arXiv:1508.03050.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from belle2dark.constants import M_ELECTRON, M_MUON, M_PION, M_PION0, M_TAU
from belle2dark.simulation.decays.chain import decay_three_body, decay_two_body, draw, uniforms
from belle2dark.simulation.decays.tau_spectra import form_factor
from belle2dark.simulation.events import Array, Codes
from belle2dark.simulation.rng import make_key
from belle2dark.theory.inelastic import check_decay, currents, hadron_spectrum, spectrum
from belle2dark.theory.r_ratio import r_ratio

_NODES = 2001
#: mass of hadrons [GeV] from which the tail of the omega makes three pions; below, R is two pions
_THREE_PIONS = 0.72
#: channels of :func:`decay_chi2_any`, with the mass [GeV] from which they are open, and whether they are pairs of leptons
CHANNELS = {"ee": 2.0 * M_ELECTRON, "mumu": 2.0 * M_MUON, "pipi": 2.0 * M_PION, "other": _THREE_PIONS}
_LEPTONS = ("ee", "mumu")


class Products(NamedTuple):
    """Products of n decays: ``chi1``, ``minus`` and ``plus`` (n, 4) [GeV], ``photons`` (n, 2, 4) of a pi0, and codes.

    ``species`` (n, 2) are the PDG codes of ``minus`` and ``plus``; photons are four zeros where there is no pi0.
    """

    chi1: Array
    minus: Array
    plus: Array
    photons: Array
    species: Codes


def _nodes(low: float, high: float) -> Array:
    """Pair masses [GeV], dense at both ends, where densities have square roots."""
    return np.asarray(low + (high - low) * np.sin(np.linspace(0.0, 0.5 * math.pi, _NODES)) ** 2)


def _lepton_alignment(pair_mass: Array, m_lepton: Array | float, m_chi1: float, m_chi2: float) -> Array:
    """Alignment, as ``decay_two_body`` takes it, of l- about the chi2: L (1 - beta^2 c^2) + T (2 - beta^2 (1 - c^2))."""
    along, across = currents(pair_mass**2, m_chi1, m_chi2)
    beta2 = np.maximum(1.0 - 4.0 * np.asarray(m_lepton) ** 2 / pair_mass**2, 0.0)
    return _as_alignment(along + (2.0 - beta2) * across, beta2 * (across - along))


def _pion_alignment(pair_mass: Array, m_chi1: float, m_chi2: float) -> Array:
    """The same for two spinless particles: L c^2 + T (1 - c^2)."""
    along, across = currents(pair_mass**2, m_chi1, m_chi2)
    return _as_alignment(across, along - across)


def _as_alignment(constant: Array, slope: Array) -> Array:
    """``constant`` + ``slope`` c^2 written as 1 + a (3 c^2 - 1): a."""
    return np.asarray(np.clip(slope / np.maximum(3.0 * constant + slope, 1e-300), -0.5, 1.0))


def decay_chi2(
    parents: Array, m_chi1: float, m_chi2: float, m_aprime: float, key: int, m_lepton: float = M_ELECTRON
) -> tuple[Array, Array, Array]:
    """chi1, l- and l+ (n, 4) [GeV] from unpolarised chi2 ``parents`` (n, 4) of mass ``m_chi2`` [GeV].

    The lepton-pair mass follows :func:`spectrum` and the lepton angle the longitudinal and transverse shares of the
    matrix element. Raises ``ValueError`` as :func:`belle2dark.theory.inelastic.width`.
    """
    check_decay(m_chi1, m_chi2, m_aprime, m_lepton)
    high = m_chi2 - m_chi1
    q = _nodes(2.0 * m_lepton, high)
    density = spectrum(q**2, m_chi1, m_chi2, m_aprime, m_lepton) * q
    # rounding must not put the pair above what the parent, itself rounded, can give
    pair_mass = np.minimum(draw(len(parents), make_key(key, "pair mass"), q, density), high)
    alignment = _lepton_alignment(pair_mass, m_lepton, m_chi1, m_chi2)
    chi1, pair = decay_two_body(parents, m_chi1, pair_mass, make_key(key, "chi1"))
    minus, plus = decay_two_body(pair, m_lepton, m_lepton, make_key(key, "leptons"), alignment=alignment, about=parents)
    return chi1, minus, plus


def pion_share(q: Array) -> Array:
    """Share of pi+ pi- in all hadrons of mass ``q`` [GeV] that a photon goes to, same shape; 1 below the omega.

    The spectrum of the pion form factor over R, as far as the table of R allows.
    """
    q = np.maximum(np.asarray(q, dtype=np.float64), 2.0 * M_PION * (1.0 + 1e-9))
    pions = 0.25 * (1.0 - (2.0 * M_PION / q) ** 2) ** 1.5 * np.abs(form_factor(q * q, "rho", M_PION, M_PION)) ** 2
    return np.where(q < _THREE_PIONS, 1.0, np.minimum(pions / r_ratio(q), 1.0))


@lru_cache(maxsize=64)
def _densities(m_chi1: float, m_chi2: float, m_aprime: float) -> dict[str, tuple[Array, Array]]:
    """Nodes in the pair mass and densities over epsilon^2 alpha_D there, by open channel of :data:`CHANNELS`."""
    found, masses = {}, (m_chi1, m_chi2, m_aprime)
    for name, low in CHANNELS.items():
        if m_chi2 - m_chi1 <= low:
            continue
        q = _nodes(low, m_chi2 - m_chi1)
        if name in _LEPTONS:
            density = spectrum(q**2, *masses, 0.5 * low)
        else:
            share = pion_share(q)
            density = hadron_spectrum(q**2, *masses) * (share if name == "pipi" else 1.0 - share)
            if name == "other" and m_chi2 - m_chi1 > 2.0 * M_TAU:
                density = density + spectrum(q**2, *masses, M_TAU)
        found[name] = (q, 2.0 * q * density)
    return found


def channel_fractions(m_chi1: float, m_chi2: float, m_aprime: float) -> dict[str, float]:
    """Branching fractions of the chi2 by open channel of :data:`CHANNELS`, adding up to 1.

    Raises ``ValueError`` as :func:`belle2dark.theory.inelastic.width`.
    """
    check_decay(m_chi1, m_chi2, m_aprime, M_ELECTRON)
    widths = {name: float(np.trapezoid(density, q)) for name, (q, density) in _densities(m_chi1, m_chi2, m_aprime).items()}
    return {name: width / sum(widths.values()) for name, width in widths.items()}


def decay_chi2_any(parents: Array, m_chi1: float, m_chi2: float, m_aprime: float, key: int) -> Products:
    """Decays of unpolarised chi2 ``parents`` (n, 4) [GeV] of mass ``m_chi2`` [GeV] by all channels, as often as they occur.

    "other" stands for all hadrons but pi+ pi-: pi+ pi- pi0 of their mass, even in phase space. Raises ``ValueError`` as
    :func:`belle2dark.theory.inelastic.width`.
    """
    fractions, n = channel_fractions(m_chi1, m_chi2, m_aprime), len(parents)
    names = list(fractions)
    which = np.searchsorted(np.cumsum(list(fractions.values()))[:-1], uniforms(n, make_key(key, "channel")), side="right")
    rows = {name: which == k for k, name in enumerate(names)}
    pair_mass, masses, alignment = np.zeros(n), np.zeros(n), np.zeros(n)
    codes, photons = np.zeros((n, 2), dtype=np.int32), np.zeros((n, 2, 4))
    for name, (q, density) in _densities(m_chi1, m_chi2, m_aprime).items():
        here = rows[name]
        pair_mass[here] = np.minimum(draw(n, make_key(key, "pair mass"), q, density), m_chi2 - m_chi1)[here]
        if name in _LEPTONS:
            masses[here] = 0.5 * CHANNELS[name]
            alignment[here] = _lepton_alignment(pair_mass[here], 0.5 * CHANNELS[name], m_chi1, m_chi2)
            codes[here] = (11, -11) if name == "ee" else (13, -13)
        else:
            masses[here] = M_PION
            alignment[here] = _pion_alignment(pair_mass[here], m_chi1, m_chi2)
            codes[here] = (-211, 211)
    chi1, pair = decay_two_body(parents, m_chi1, pair_mass, make_key(key, "chi1"))
    minus, plus = decay_two_body(pair, masses, masses, make_key(key, "leptons"), alignment=alignment, about=parents)
    if "other" in rows and rows["other"].any():
        here = rows["other"]
        three = decay_three_body(pair[here], (M_PION, M_PION, M_PION0), make_key(key, "pions"))
        minus[here], plus[here] = three.first, three.second
        photons[here] = np.stack(decay_two_body(three.third, 0.0, 0.0, make_key(key, "photons")), axis=1)
    return Products(chi1, minus, plus, photons, codes)
