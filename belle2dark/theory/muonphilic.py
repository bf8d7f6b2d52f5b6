"""The muonphilic scalar: a Yukawa coupling g_s to muons and to nothing else, :data:`MUONPHILIC`.

It decays to two muons or, through the muon loop, to two photons: always below twice the muon mass, a few per mille just
above it and less than 1e-4 from 0.25 GeV on. Not included: couplings to other leptons (:mod:`.leptophilic` has those in
proportion to their mass) and a photon coupling of its own.

For its contribution to g - 2 use :func:`.g_minus_2.scalar`, for e+e- -> mu+ mu- S
:func:`belle2dark.simulation.lepton_pair_x_rate.cross_section` with a scalar coupling.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import ALPHA, M_MUON
from belle2dark.theory.leptophilic import scalar_loop, scalar_to_fermions
from belle2dark.theory.models import Channel, Couplings, Model

Array = NDArray[np.float64]


def _squared(couplings: Couplings) -> Array:
    return np.asarray(couplings["g_s"], dtype=float) ** 2


def _muons(mass: Array, couplings: Couplings) -> Array:
    return scalar_to_fermions(mass, M_MUON, _squared(couplings))


def _photons(mass: Array, couplings: Couplings) -> Array:
    """Source: Djouadi, hep-ph/0503172, Eq. (2.45), with muons alone and g_s in place of m_mu / v."""
    loop = np.abs(scalar_loop((mass / (2 * M_MUON)) ** 2)) ** 2
    return np.asarray(_squared(couplings) * ALPHA["thomson"] ** 2 * mass**3 / (256 * np.pi**3 * M_MUON**2) * loop)


MUONPHILIC = Model(
    name="muonphilic",
    title="Muonphilic scalar",
    mass="m_s",
    reference_couplings=(("g_s", 1.0),),
    channels=(
        Channel(name="mumu", symbol=r"\mu^+\mu^-", width=_muons),
        Channel(name="gammagamma", symbol=r"\gamma\gamma", width=_photons),
    ),
    production_scale=_squared,
)
