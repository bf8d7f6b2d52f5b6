"""The final state of tau -> l + nothing seen against tau -> 3 pi: a lepton, three more tracks and no photon.

The lepton is the track that the thrust axis leaves alone; an event whose axis does so with none keeps its hardest track in
that place, with ``lepton_alone`` 0. ``x`` is the energy of the lepton in the pseudo-rest frame, 2 E_l / m_tau: that of a tau
with half the collision energy that flies opposite to the three pions. The angle between tau and pions, not the resolution,
smears it, and it reaches beyond 1. Not included: a pi0 on the tag side, other ways to guess the direction of the tau.

Source: thrust as the largest |sum of +- momenta|, which is exact for few tracks; frame as in ARGUS, Z. Phys. C 68 (1995) 25.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_ELECTRON, M_MUON, M_PION, M_TAU
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.multitrack import four_momenta
from belle2dark.detector.observed import observe
from belle2dark.detector.particle_id import index
from belle2dark.detector.response import Reconstruction
from belle2dark.final_states.record import Axis, FinalState
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key

#: sides of the thrust axis that four tracks are on, up to the direction of the axis
_SIDES = np.array([(1.0, *rest) for rest in product((-1.0, 1.0), repeat=3)])
#: the track that is alone on its side (-1: none)
_ALONE = np.array([next((k for k in range(4) if abs(side.sum() - 2.0 * side[k]) == 4.0), -1) for side in _SIDES])
#: any four tracks: which of them is the lepton is seen from their directions
_TRACKS = Wanted(hypotheses=("any",) * 4, charges=(-1, -1, 1, 1))


def thrust(momenta: Array) -> tuple[Array, NDArray[np.intp]]:
    """Thrust ``(n,)`` of four momenta ``(n, 4, 3)`` and which of them its axis has alone on one side, ``(n,)`` (-1: none)."""
    sums = np.sqrt((np.einsum("pk,nkc->npc", _SIDES, momenta) ** 2).sum(axis=-1))
    total = np.sqrt((momenta**2).sum(axis=-1)).sum(axis=1)
    return sums.max(axis=1) / np.maximum(total, 1e-300), _ALONE[sums.argmax(axis=1)]


def reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    """The events as a lepton against three tracks and nothing else, one row each; random numbers from ``key``.

    Electron or muon is drawn by the probabilities of either identification, and the event carries their sum.
    """
    observed = observe(events, detector, key)
    found = exclusive(observed, _TRACKS, lambda tracks, _photons, _which: {"x": tracks[:, 0, 0]}, detector.beams, key)
    tracks, rows = found.tracks_lab, np.arange(len(events))[:, None]
    momenta = to_cms(four_momenta(tracks, (M_PION,) * 4), detector.beams)[..., 1:]
    alone, hardest = thrust(momenta)[1], (momenta**2).sum(axis=-1).argmax(axis=1)
    lepton = np.where(alone < 0, hardest, alone)
    others = np.argsort(np.arange(4) == lepton[:, None], axis=1, kind="stable")  # the lepton last
    tracks = tracks[rows, others[:, [3, 0, 1, 2]]]
    slot = (observed.tracks.momenta_lab == tracks[:, :1]).all(axis=-1).argmax(axis=1)
    electron, muon = (observed.identified[(rows[:, 0], slot, *index(name))] for name in ("electron", "muon"))
    known = np.minimum(electron + muon, 1.0)
    drawn = np.random.default_rng(make_key(key, "lepton")).random(len(events)) * (electron + muon) >= electron
    alternative = drawn.astype(np.int8)
    none = np.zeros((len(events), 0, 4))
    return Reconstruction(tracks_lab=tracks, weights=found.weights, factors={**found.factors, "identification": known},
                          columns=tau_columns(tracks, none, detector, alternative), clusters_lab=none,
                          alternative=alternative)  # fmt: skip


def pseudo_rest_energy(lepton_cms: Array, tag_cms: Array, sqrt_s: float) -> Array:
    """Energy ``(n,)`` [GeV] of leptons ``(n, 4)`` in the frame of a tau of energy ``sqrt_s``/2 opposite to ``tag_cms`` (n, 4).

    Both momenta are in the centre-of-mass frame [GeV].
    """
    gamma = 0.5 * sqrt_s / M_TAU
    tag = tag_cms[:, 1:]
    along = -(lepton_cms[:, 1:] * tag).sum(axis=1) / np.maximum(np.sqrt((tag**2).sum(axis=1)), 1e-300)
    return np.asarray(gamma * lepton_cms[:, 0] - math.sqrt(gamma**2 - 1.0) * along)


def tau_columns(tracks: Array, _photons: Array, detector: Detector, alternative: NDArray[np.int8]) -> dict[str, Array]:
    """The columns ``MEANINGS``, each ``(n,)``, of a lepton and three pions ``(n, 4, 3)`` [GeV] in the lab; ``alternative``
    ``(n,)`` is 0 for an electron and 1 for a muon."""
    beams, muon = detector.beams, np.asarray(alternative) == 1
    momenta = four_momenta(tracks, (M_ELECTRON, M_PION, M_PION, M_PION))
    momenta[:, 0, 0] = np.where(muon, np.sqrt((tracks[:, 0] ** 2).sum(axis=1) + M_MUON**2), momenta[:, 0, 0])
    cms = to_cms(momenta, beams)
    tag = cms[:, 1:].sum(axis=1)
    missing = beams.nominal - momenta.sum(axis=1)
    size = np.sqrt((missing[:, 1:] ** 2).sum(axis=1))
    found, alone = thrust(cms[..., 1:])
    return {
        "x": 2.0 * pseudo_rest_energy(cms[:, 0], tag, beams.sqrt_s) / M_TAU,
        "p_lab": np.sqrt((tracks[:, 0] ** 2).sum(axis=1)),
        "is_muon": muon.astype(float),
        "thrust": found,
        "lepton_alone": (alone == 0).astype(float),
        "m_tag": np.sqrt(np.maximum(tag[:, 0] ** 2 - (tag[:, 1:] ** 2).sum(axis=1), 0.0)),
        "energy_tag_cms": tag[:, 0],
        "energy_visible_cms": cms[..., 0].sum(axis=1),
        "missing_cos_theta_lab": missing[:, 3] / np.maximum(size, 1e-300),
        "pt_min_lab": np.hypot(tracks[..., 0], tracks[..., 1]).min(axis=1),
    }


MEANINGS = {
    "x": (r"x = 2E_\ell / m_\tau", ""),
    "p_lab": (r"p_\ell", "GeV"),
    "is_muon": (r"\ell = \mu", ""),
    "thrust": ("T", ""),
    "lepton_alone": (r"1 \times 3", ""),
    "m_tag": (r"M_{3\pi}", "GeV"),
    "energy_tag_cms": (r"E^*_{3\pi}", "GeV"),
    "energy_visible_cms": (r"E^*_\mathrm{vis}", "GeV"),
    "missing_cos_theta_lab": (r"\cos\theta_\mathrm{miss}", ""),
    "pt_min_lab": (r"\min p_T", "GeV"),
}

STATE = FinalState(
    name="tau_1x3",
    title="a lepton against three tracks and nothing else",
    wanted=Wanted(hypotheses=("electron", "any", "any", "any"), charges=(-1, -1, 1, 1), conjugate=True,
                  alternatives=(("muon", "any", "any", "any"),)),
    columns=tau_columns,
    meanings=MEANINGS,
    loose=lambda c, _detector: (c["lepton_alone"] > 0) & (c["thrust"] > 0.9) & (c["m_tag"] < 1.7) & (c["x"] < 2.0),
    axes=(Axis(column="x", low=0.0, high=1.6, bins=40), Axis(column="is_muon", low=0.0, high=1.0, bins=2)),
    dense=lambda c, _detector: c["x"] < 1.6,
    fast=reconstruct,
)  # fmt: skip
