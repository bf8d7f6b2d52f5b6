"""Four muons and nothing else: columns of a pair, of the other pair, and how much they look like mu mu X, X -> mu mu.

Tracks are -, +, -, +: the candidate pair first. Every opposite pair of an event is a candidate (the sum of weights counts
all four), and three identified muons are enough. Momenta are fitted to the four-momentum of the beams
(:mod:`belle2dark.detector.track_fit`): masses of pairs get up to four times sharper. Events that lost a photon do not close:
``chi2`` says so, and the masses as measured are there as well.

``likeness_vector`` and ``likeness_scalar`` are logarithms of a ratio of squared matrix elements: the graphs in which the
candidate comes off a muon through a boson of its mass, over all graphs of QED (the boson's own peak is divided out). Not
included: photons in the fit and in the matrix elements.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark import classifier
from belle2dark._jit import jit
from belle2dark.constants import ALPHA, M_MUON
from belle2dark.detector.exclusive import Wanted
from belle2dark.detector.experiments import Detector
from belle2dark.detector.multitrack import four_momenta, multitrack_columns
from belle2dark.detector.track_fit import OPEN, fit_tracks
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, cos_theta, square
from belle2dark.simulation.amplitudes.four_leptons import PHOTON, model, scalar_boson, squared, vector_boson, workspace
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import BLOCK

_CHARGES = (-1, 1, -1, 1)
#: events that miss more energy [GeV] are not fitted
_GAP = 1.0
#: width over mass of the boson in the likenesses: other graphs off its mass shell are this much smaller, squared
_NARROW = 1e-4
_ROLES = ("minus", "plus", "other_minus", "other_plus")
MEANINGS = {
    "m_total": (r"M_{4\mu}", "GeV"),
    "recoil_mass_squared": (r"M^2_\mathrm{recoil}", "GeV^2"),
    "chi2": (r"\chi^2", ""),
    "m_pair": (r"M_{\mu\mu}", "GeV"),
    "reduced_mass": (r"M_R", "GeV"),
    "m_pair_raw": (r"M_{\mu\mu}^\mathrm{measured}", "GeV"),
    "reduced_mass_raw": (r"M_R^\mathrm{measured}", "GeV"),
    "m_other": (r"M_{\mu\mu}^\mathrm{other}", "GeV"),
    "m_cross_minus": (r"M(\mu^-, \mu^+_\mathrm{other})", "GeV"),
    "m_cross_plus": (r"M(\mu^+, \mu^-_\mathrm{other})", "GeV"),
    "m_lowest": (r"\min M_{\mu\mu}", "GeV"),
    "pt_min_lab": (r"\min p_T", "GeV"),
    **{f"energy_{role}_cms": (rf"E^*_\mathrm{{{role.replace('_', ' ')}}}", "GeV") for role in _ROLES},
    "pair_cos_theta_cms": (r"\cos\theta^*_{\mu\mu}", ""),
    "helicity": (r"\cos\theta_\mathrm{h}", ""),
    "other_helicity": (r"\cos\theta_\mathrm{h}^\mathrm{other}", ""),
    "likeness_vector": (r"\ln L_V", ""),
    "likeness_scalar": (r"\ln L_S", ""),
}


def reduced(mass: Array) -> Array:
    """Reduced mass sqrt(m^2 - 4 m_mu^2) [GeV] of pairs of ``mass`` [GeV], 0 below threshold."""
    return np.asarray(np.sqrt(np.maximum(mass * mass - 4.0 * M_MUON * M_MUON, 0.0)))


def columns(tracks: Array, _photons: Array, detector: Detector) -> dict[str, Array]:
    """The quantities :data:`MEANINGS` of tracks ``(n, 4, 3)`` [GeV], each ``(n,)``."""
    beams, masses = detector.beams, (M_MUON,) * 4
    raw = multitrack_columns(tracks, _CHARGES, masses, beams)
    fitted = fit_tracks(tracks, M_MUON, detector, _GAP)
    cms = to_cms(four_momenta(fitted.tracks_lab, masses), beams)
    pair, other = cms[:, 0] + cms[:, 1], cms[:, 2] + cms[:, 3]
    m = {f"{i}{j}": _mass(cms[:, i] + cms[:, j]) for i in (0, 2) for j in (1, 3)}
    likeness = _likenesses(cms, m["01"], fitted.chi2)
    return {
        "m_total": raw["m_total"],
        "recoil_mass_squared": raw["recoil_mass_squared"],
        "chi2": fitted.chi2,
        "m_pair": m["01"],
        "reduced_mass": reduced(m["01"]),
        "m_pair_raw": raw["m_12"],
        "reduced_mass_raw": reduced(raw["m_12"]),
        "m_other": m["23"],
        "m_cross_minus": m["03"],
        "m_cross_plus": m["21"],
        "m_lowest": np.min(list(m.values()), axis=0),
        "pt_min_lab": np.hypot(tracks[..., 0], tracks[..., 1]).min(axis=1),
        **{f"energy_{role}_cms": cms[:, k, 0] for k, role in enumerate(_ROLES)},
        "pair_cos_theta_cms": cos_theta(pair),
        "helicity": _helicity(cms[:, 0], pair),
        "other_helicity": _helicity(cms[:, 2], other),
        "likeness_vector": likeness[:, 0],
        "likeness_scalar": likeness[:, 1],
    }


def _mass(p: Array) -> Array:
    return np.asarray(np.sqrt(np.maximum(square(p), 0.0)))


def _helicity(minus: Array, pair: Array) -> Array:
    """Cosine of the negative muon to the flight of its ``pair``, in the pair's frame: both muons have one mass."""
    mass, momentum = _mass(pair), np.sqrt((pair[:, 1:] ** 2).sum(axis=1))
    half = 0.5 * np.sqrt(np.maximum(mass**2 - 4.0 * M_MUON**2, 1e-12))  # momentum of a muon there
    # the muon has half of the pair's energy plus momentum x half x cosine / mass
    return np.clip((minus[:, 0] - 0.5 * pair[:, 0]) * mass / np.maximum(momentum * half, 1e-12), -1.0, 1.0)


def _likenesses(cms: Array, masses: Array, chi2: Array) -> Array:
    """Logarithms (n, 2) of the two ratios at momenta ``cms`` (n, 4, 4) [GeV]; 0 for events that were not fitted."""
    out = np.zeros((len(cms), 2))
    coupling = (math.sqrt(4.0 * math.pi * ALPHA["thomson"]), 0.0)  # that of the photon
    tables = [model((boson,)) for boson in (vector_boson(1.0, _NARROW, coupling, coupling),
                                            scalar_boson(1.0, _NARROW, coupling, coupling), PHOTON)]  # fmt: skip
    _ratios(np.ascontiguousarray(cms), masses, chi2, *tables, out)
    return out


@jit(parallel=True)
def _ratios(cms, masses, chi2, vector, scalar, photon, out):
    n = len(masses)
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(block, cms, masses, chi2, vector, scalar, photon, out)


@jit()
def _block(block, cms, masses, chi2, vector, scalar, photon, out):
    work, momenta, muons, bosons = workspace(), np.empty((4, 4)), np.array([M_MUON, M_MUON]), np.empty_like(vector)
    for i in range(block * BLOCK, min(len(masses), (block + 1) * BLOCK)):
        if chi2[i] >= OPEN or masses[i] <= 2.0 * M_MUON:
            continue
        for j in range(4):  # the candidate is the second pair of the amplitude, which the first one emits
            for c in range(4):
                momenta[j, c] = cms[i, (j + 2) % 4, c]
        whole = squared(momenta, muons, True, photon, work)
        for which in range(2):
            bosons[:] = vector if which == 0 else scalar
            bosons[0, 1], bosons[0, 2] = masses[i], _NARROW * masses[i]
            part = squared(momenta, muons, False, bosons, work)
            out[i, which] = math.log(max(_NARROW * _NARROW * part / whole, 1e-30))


def _closed(columns: Columns, detector: Detector) -> Mask:
    """Where searches look: nothing is missing."""
    return np.asarray(np.abs(columns["m_total"] - detector.beams.sqrt_s) < 0.5)


def _muon_resonance(columns: Columns, detector: Detector) -> Mask:
    """What the network of the four-muon search keeps: a tenth of the pairs."""
    return _closed(columns, detector) & (classifier.load_network("dimuon_resonance").score(columns) > 0.5)


STATE = FinalState(
    name="four_muons",
    title="four muons and nothing else",
    wanted=Wanted(hypotheses=("muon",) * 4, charges=_CHARGES, least=3, ordered=True),
    columns=columns,
    meanings=MEANINGS,
    loose=lambda c, detector: c["m_total"] > detector.beams.sqrt_s - 1.0,
    axes=(Axis(column="reduced_mass", low=0.0, high=3.25, bins=500, root=True),),
    dense=_closed,
    rare=_muon_resonance,
)
