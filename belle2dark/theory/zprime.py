"""The gauge boson Z' of a difference of lepton numbers: :data:`L_MU_TAU`, :data:`L_E_MU` and their loop-induced mixing.

A Z' couples with g' times the charge to charged leptons (vector) and to their left-handed neutrinos; decays into neutrinos
are the channel ``invisible``. Where it decays mostly into a lighter dark sector, use ``invisible`` = 1 instead: that is a
choice of a search, not a width here. Not included: the decay to e+e- or hadrons through the photon (kinetic mixing from
lepton loops, 2e-5 of the width to neutrinos), right-handed neutrinos, and B - L, whose hadronic width is not that of R.

For the contribution to g - 2 use :mod:`.g_minus_2`, for couplings that change flavour :mod:`.lepton_flavour`, for
e+e- -> l+ l- Z' :func:`belle2dark.simulation.lepton_pair_x_rate.cross_section`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory.models import Channel, Couplings, Model, vector_to_fermions

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_LEPTONS = {"e": (M_ELECTRON, "e"), "mu": (M_MUON, r"\mu"), "tau": (M_TAU, r"\tau")}


def _squared(couplings: Couplings) -> Array:
    return np.asarray(couplings["g_prime"], dtype=float) ** 2


def _lepton_width(mass: Array, couplings: Couplings, m_lepton: float, charge: float) -> Array:
    return vector_to_fermions(mass, m_lepton, charge**2 * _squared(couplings))


def _neutrino_width(mass: Array, couplings: Couplings, charges_squared: float) -> Array:
    """One chirality: half of a massless charged lepton, for each flavour."""
    return 0.5 * vector_to_fermions(mass, 0.0, charges_squared * _squared(couplings))


def gauged(name: str, title: str, charges: Mapping[str, float]) -> Model:
    """The Z' of a gauged combination of lepton numbers, charges by flavour ("e", "mu", "tau").

    Raises ``ValueError`` for an unknown flavour or if there is none.
    Source: He et al., Phys. Rev. D 44, 2118; widths as in the model file of Belle II.
    """
    unknown = [flavour for flavour in charges if flavour not in _LEPTONS]
    if unknown or not charges:
        raise ValueError(f"{name}: charges {dict(charges)}: flavours must be {' | '.join(_LEPTONS)}, at least one")
    widths: list[tuple[str, str, Callable[[Array, Couplings], Array]]] = []
    for flavour, charge in charges.items():
        m_lepton, symbol = _LEPTONS[flavour]
        width = partial(_lepton_width, m_lepton=m_lepton, charge=charge)
        widths.append((flavour * 2, f"{symbol}^+{symbol}^-", width))
    neutrinos = partial(_neutrino_width, charges_squared=sum(charge**2 for charge in charges.values()))
    widths.append(("invisible", r"\nu\bar\nu", neutrinos))
    references = load_numbers("zprime").references
    return Model(
        name=name,
        title=title,
        mass="m_zprime",
        reference_couplings=(("g_prime", 1.0),),
        channels=tuple(Channel(name=channel, symbol=symbol, width=width) for channel, symbol, width in widths),
        production_scale=_squared,
        references=tuple(references[key] for key in ("He:1991qd", "Shuve:2014doa", "Altmannshofer:2016jzy")),
    )


L_MU_TAU = gauged("l_mu_tau", "Gauged L_mu - L_tau", {"mu": 1.0, "tau": -1.0})
L_E_MU = gauged("l_e_mu", "Gauged L_e - L_mu", {"e": 1.0, "mu": -1.0})


def kinetic_mixing(q_squared: ArrayLike, g_prime: ArrayLike = 1.0) -> Complex:
    """Mixing epsilon of the L_mu - L_tau Z' with the photon at ``q_squared`` [GeV^2], complex, broadcast shape.

    One loop of muons minus one of taus: the Z' couples to a charge Q as epsilon e Q. Finite without any choice of scale;
    the overall sign is a convention (positive at q^2 = 0). Time-like q^2 has the imaginary part of the open lepton pair.
    Raises ``ValueError`` if q^2 or the coupling is not finite.
    Source: vacuum polarisation in one loop, e.g. Peskin and Schroeder, Eq. (7.90), with e^2 replaced by e g' q_mu, e g' q_tau.
    """
    q2, g = np.asarray(q_squared, dtype=float), np.asarray(g_prime, dtype=float)
    if not (np.all(np.isfinite(q2)) and np.all(np.isfinite(g))):
        raise ValueError(f"q_squared = {q2} GeV^2, g_prime = {g}: must be finite")
    charge = np.sqrt(4 * np.pi * ALPHA["thomson"])
    loops = np.log((M_TAU / M_MUON) ** 2) / 6 + _polarisation(q2 / M_TAU**2) - _polarisation(q2 / M_MUON**2)
    return np.asarray(charge * g / (2 * np.pi**2) * loops)


def _polarisation(t: Array) -> Complex:
    """Integral of x (1 - x) ln(1 - x (1 - x) t) over 0 < x < 1, for t = q^2/m^2 just above the real axis."""
    small = np.abs(t) < 1e-3
    above = np.where(small, 1.0, t) * (1 + 1e-14j)
    rho = 4 / above
    root = np.sqrt(1 - rho)
    closed = (-5 / 3 - rho + (1 + 0.5 * rho) * root * np.log((root + 1) ** 2 / -rho)) / 6
    return np.asarray(np.where(small, -t / 30 - t**2 / 280, closed))
