"""Spin-0 particles that couple to charged leptons in proportion to their mass: a scalar and an axion-like particle.

:data:`LEPTOPHILIC` is a scalar with the Yukawa couplings xi m_l / v of the leptonic Higgs portal; :data:`LEPTON_ALP` a
pseudoscalar with the same derivative coupling C / Lambda to all three leptons, which for their decays is a Yukawa coupling
C m_l / Lambda. Both also decay to two photons through lepton loops: a fifth of the decays just below twice the muon mass,
less than 2e-3 above. The photon coupling of the ALP at high scales is zero, as in the searches for it. Not included: decays
to hadrons (there are no quark couplings), to l+ l- gamma, and electroweak loops.

For the muon's g - 2 with these couplings use :mod:`.g_minus_2`, for cross-sections
:func:`belle2dark.simulation.lepton_pair_x_rate.cross_section` with an electron coupling as well.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import ALPHA, HIGGS_VEV, M_ELECTRON, M_MUON, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory.models import Channel, Couplings, Model

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_LEPTONS = {"ee": (M_ELECTRON, "e"), "mumu": (M_MUON, r"\mu"), "tautau": (M_TAU, r"\tau")}
#: GeV in a TeV: couplings to derivatives are in TeV^-1
TEV = 1000.0
#: below this mass^2 / (2 m_l)^2 the loops are expanded
_LIGHT = 1e-3


def scalar_to_fermions(mass: ArrayLike, m_fermion: float, coupling_squared: ArrayLike) -> Array:
    """Width [GeV] of a scalar of ``mass`` [GeV] with Yukawa coupling y into a Dirac pair, y^2 given; 0 below threshold.

    Source: Gamma = y^2 m/(8 pi) (1 - 4 m_f^2/m^2)^(3/2), standard.
    """
    m = np.asarray(mass, dtype=float)
    return np.asarray(coupling_squared) * m / (8 * np.pi) * np.clip(1 - (2 * m_fermion / m) ** 2, 0, None) ** 1.5


def pseudoscalar_to_fermions(mass: ArrayLike, m_fermion: float, coupling_squared: ArrayLike) -> Array:
    """Width [GeV] of a pseudoscalar of ``mass`` [GeV] with Yukawa coupling y into a Dirac pair, y^2 given; 0 below threshold.

    Source: Gamma = y^2 m/(8 pi) sqrt(1 - 4 m_f^2/m^2), standard.
    """
    m = np.asarray(mass, dtype=float)
    return np.asarray(coupling_squared) * m / (8 * np.pi) * np.sqrt(np.clip(1 - (2 * m_fermion / m) ** 2, 0, None))


def _triangle(t: Array) -> Complex:
    """arcsin^2 of sqrt(t), t = mass^2 / (2 m_l)^2, continued above threshold, where the leptons in the loop are real.

    Source: Djouadi, hep-ph/0503172, Eq. (2.47).
    """
    below, above = np.minimum(t, 1.0), np.maximum(t, 1.0)
    log = 2 * np.arccosh(np.sqrt(above)) - 1j * np.pi
    return np.asarray(np.where(t <= 1.0, np.arcsin(np.sqrt(below)) ** 2 + 0j, -0.25 * log**2))


def scalar_loop(t: ArrayLike) -> Complex:
    """Amplitude of a scalar to two photons through a fermion, t = (mass / 2 m_f)^2: 4/3 for a heavy one, 0 for a light one.

    Source: Djouadi, hep-ph/0503172, Eq. (2.46).
    """
    t = np.asarray(t, dtype=float)
    safe = np.maximum(t, _LIGHT)
    exact = 2 * (safe + (safe - 1) * _triangle(safe)) / safe**2
    return np.asarray(np.where(t < _LIGHT, 4 / 3 + 14 / 45 * t + 8 / 63 * t**2, exact))


def axion_loop(t: ArrayLike) -> Complex:
    """Amplitude of a derivatively coupled pseudoscalar to two photons, t = (mass / 2 m_f)^2: 1 for a light fermion, -t/3 heavy.

    Source: Bauer, Neubert, Thamm, arXiv:1708.00443, function B_1.
    """
    t = np.asarray(t, dtype=float)
    safe = np.maximum(t, _LIGHT)
    return np.asarray(np.where(t < _LIGHT, -t / 3 - 8 / 45 * t**2, 1 - _triangle(safe) / safe))


def _squared(couplings: Couplings, name: str, scale: float) -> Array:
    """(coupling / scale)^2 [GeV^-2]: what multiplies the squared lepton mass."""
    return (np.asarray(couplings[name], dtype=float) / scale) ** 2


def _scalar_width(mass: Array, couplings: Couplings, m_lepton: float) -> Array:
    return scalar_to_fermions(mass, m_lepton, m_lepton**2 * _squared(couplings, "xi", HIGGS_VEV))


def _axion_width(mass: Array, couplings: Couplings, m_lepton: float) -> Array:
    return pseudoscalar_to_fermions(mass, m_lepton, m_lepton**2 * _squared(couplings, "c_over_lambda", TEV))


def _scalar_photons(mass: Array, couplings: Couplings) -> Array:
    """Source: Djouadi, hep-ph/0503172, Eq. (2.45), with charged leptons alone."""
    loops = sum(scalar_loop((mass / (2 * m)) ** 2) for m, _ in _LEPTONS.values())
    return ALPHA["thomson"] ** 2 * mass**3 / (256 * np.pi**3) * _squared(couplings, "xi", HIGGS_VEV) * np.abs(loops) ** 2


def _axion_photons(mass: Array, couplings: Couplings) -> Array:
    """Source: Bauer, Neubert, Thamm, arXiv:1708.00443, width to photons with the coupling from loops alone."""
    loops = sum(axion_loop((mass / (2 * m)) ** 2) for m, _ in _LEPTONS.values())
    return ALPHA["thomson"] ** 2 * mass**3 / (64 * np.pi**3) * _squared(couplings, "c_over_lambda", TEV) * np.abs(loops) ** 2


def _xi_squared(couplings: Couplings) -> Array:
    return _squared(couplings, "xi", 1.0)


def _c_squared(couplings: Couplings) -> Array:
    return _squared(couplings, "c_over_lambda", 1.0)


_REFERENCES = load_numbers("leptophilic").references

LEPTOPHILIC = Model(
    name="leptophilic",
    title="Leptophilic scalar",
    mass="m_phi",
    reference_couplings=(("xi", 1.0),),
    channels=(
        *(Channel(name=n, symbol=f"{s}^+{s}^-", width=partial(_scalar_width, m_lepton=m)) for n, (m, s) in _LEPTONS.items()),
        Channel(name="gammagamma", symbol=r"\gamma\gamma", width=_scalar_photons),
    ),
    production_scale=_xi_squared,
    references=(_REFERENCES["Batell:2016ove"], _REFERENCES["Djouadi:2005gi"]),
)
LEPTON_ALP = Model(
    name="lepton_alp",
    title="Axion-like particle with lepton couplings",
    mass="m_alp",
    reference_couplings=(("c_over_lambda", 1.0),),
    channels=(
        *(Channel(name=n, symbol=f"{s}^+{s}^-", width=partial(_axion_width, m_lepton=m)) for n, (m, s) in _LEPTONS.items()),
        Channel(name="gammagamma", symbol=r"\gamma\gamma", width=_axion_photons),
    ),
    production_scale=_c_squared,
    references=(_REFERENCES["Bauer:2017ris"],),
)
