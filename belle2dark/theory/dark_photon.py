"""The dark photon A': couples to electric charge with strength epsilon e, so it decays as a virtual photon would.

Decays to a lighter dark sector are not in :data:`DARK_PHOTON`; where they dominate, the branching fractions below are
those of what remains visible. The fine-structure constant of the widths is the one at zero momentum; a running one
would shorten lifetimes by 3 % and leaves branching fractions alone.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory.models import Channel, Couplings, Model, vector_to_fermions
from belle2dark.theory.r_ratio import r_ratio

Array = NDArray[np.float64]


def _charge_squared(couplings: Couplings) -> Array:
    """g^2 of the coupling to a unit charge: 4 pi alpha epsilon^2."""
    return 4 * np.pi * ALPHA["thomson"] * np.asarray(couplings["epsilon"], dtype=float) ** 2


def lepton_width(mass: Array, couplings: Couplings, m_lepton: float) -> Array:
    """Width [GeV] of an A' of ``mass`` [GeV] into a lepton pair of ``m_lepton`` [GeV]; 0 below threshold."""
    return vector_to_fermions(mass, m_lepton, _charge_squared(couplings))


def hadron_width(mass: Array, couplings: Couplings) -> Array:
    """Width [GeV] of an A' of ``mass`` [GeV] into hadrons: that into massless muons times R; ``ValueError`` beyond R."""
    return vector_to_fermions(mass, 0.0, _charge_squared(couplings)) * r_ratio(mass)


def _production(couplings: Couplings) -> Array:
    return np.asarray(couplings["epsilon"], dtype=float) ** 2


DARK_PHOTON = Model(
    name="dark_photon",
    title="Dark photon, kinetic mixing",
    mass="m_aprime",
    reference_couplings=(("epsilon", 1.0),),
    channels=(
        Channel(name="ee", symbol=r"e^+e^-", width=partial(lepton_width, m_lepton=M_ELECTRON)),
        Channel(name="mumu", symbol=r"\mu^+\mu^-", width=partial(lepton_width, m_lepton=M_MUON)),
        Channel(name="tautau", symbol=r"\tau^+\tau^-", width=partial(lepton_width, m_lepton=M_TAU)),
        Channel(name="hadrons", symbol=r"\mathrm{hadrons}", width=hadron_width),
    ),
    production_scale=_production,
    references=(load_numbers("r_ratio").references["Ilten:2018crw"],),
)
