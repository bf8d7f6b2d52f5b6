"""The final state of e+e- -> gamma a, a -> gamma gamma: three photons and nothing else, any of which may recoil.

Photon 1 recoils, 2 and 3 are the pair (harder first). Each photon of an event may be the recoil photon: one assignment is
drawn and carries the weight of all three, so that sums over events count every combination, as the search does.
``gamma_gamma_veto`` is the high-level trigger's veto of photon pairs from e+e- -> gamma gamma. Not included: photons that
merged, a kinematic fit.
"""

from __future__ import annotations

import numpy as np

from belle2dark.detector.exclusive import Wanted
from belle2dark.detector.experiments import Detector
from belle2dark.detector.photons import COLUMNS, three_photon_columns
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, in_barrel
from belle2dark.simulation.events import Array
from belle2dark.sourced import load_numbers
from belle2dark.trigger.hlt import pair_veto

MEANINGS = {**COLUMNS, "gamma_gamma_veto": (r"\gamma\gamma\ \mathrm{veto}", "")}
_NUMBERS = load_numbers("final_state_three_photons")


def columns(_tracks: Array, clusters: Array, detector: Detector) -> dict[str, Array]:
    """The columns :data:`MEANINGS` of three photons ``(n, 3, 4)`` [GeV], each ``(n,)``; the veto is 1 where it fires."""
    veto = pair_veto(clusters, detector.beams)
    return three_photon_columns(clusters, detector.beams) | {"gamma_gamma_veto": veto.astype(np.float64)}


def _inside(columns: Columns, detector: Detector, name: str) -> Mask:
    """Whether all photons are in the barrel, hard, apart, and make up the collision's energy, within the numbers ``name``."""
    energy, low, high, apart = _NUMBERS[name].values
    total = columns["m_total"] / detector.beams.sqrt_s
    barrel = [in_barrel(f"cos_theta_lab_{k}")(columns, detector) for k in (1, 2, 3)]
    hard = (columns["energy_min_lab"] > energy) & (columns["dtheta_close"] > apart)
    return np.asarray(np.all(barrel, axis=0) & hard & (total > low) & (total < high))


def _loose(columns: Columns, detector: Detector) -> Mask:
    return _inside(columns, detector, "loose")


def _dense(columns: Columns, detector: Detector) -> Mask:
    return _inside(columns, detector, "dense")


def _light(columns: Columns, detector: Detector) -> Mask:
    """The same with a light pair: there are few, but the resolution is best."""
    return np.asarray(_dense(columns, detector) & (columns["m_pair"] < float(_NUMBERS["light"])))


STATE = FinalState(
    name="three_photons",
    title="three photons and nothing else",
    wanted=Wanted(photons=3, ordered=True),
    columns=columns,
    meanings=MEANINGS,
    loose=_loose,
    # windows of 20 resolutions are 0.6 to 2.5 GeV wide in the mass: strata of 0.1 GeV
    axes=(Axis(column="mass_squared", low=0.0, high=None, bins=106, root=True),),
    dense=_dense,
    rare=_light,
)
