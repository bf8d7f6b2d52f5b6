"""Final state "a pair of electrons or muons and two other tracks": tau+ tau- phi with phi -> e+e- or mu+mu-, one track per tau.

The peak is in the mass of the pair, whose tracks are identified; the other two are anything but an identified kaon, any neutrals
may be there, a further track may not. Below 0.3 GeV pairs may be of electrons, above the threshold of muons; which one an entry
is is in ``is_muon``, and the search chooses by mass. All columns follow from what is stored and the nominal beams: the four
tracks and two more rows of three numbers that sum up the photons. The other two tracks have the mass of a pion. Not included:
recovery of bremsstrahlung, beam background among the photons, the vertex of the pair, a veto of conversions and of K_S0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from belle2dark.classifier import load_network
from belle2dark.constants import M_ELECTRON, M_MUON, M_PION, M_PION0
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.multitrack import four_momenta
from belle2dark.detector.observed import observe
from belle2dark.detector.response import Reconstruction
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask
from belle2dark.simulation.backgrounds_tautau_dilepton import ELECTRON_PAIRS, MUON_PAIRS
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key

#: pre-selection: least missing energy in the centre of mass [GeV], largest |cos| of the missing momentum in the lab and its
#: smallest angle to a track [rad]. Beyond it nothing is missing, or a photon along a beam or off an electron.
MISSING_ENERGY, BEAM_COSINE, TRACK_ANGLE = 0.8, 0.98, 0.03
#: distances of pair and photon from the pi0 are not told apart beyond [GeV]
FAR = 0.06
#: smallest mass of what recoils against the pair in whose rest frame the other two are seen [GeV]
_LEAST = 1.0

#: name -> (LaTeX symbol, unit) of every column
COLUMNS = {
    "m_pair": (r"M_{\ell\ell}", "GeV"),
    "is_muon": (r"\ell = \mu", ""),
    # the pair and what recoils against it
    "pair_energy_cms": (r"E^*_{\ell\ell}", "GeV"),
    "pair_cos_theta_cms": (r"\cos\theta^*_{\ell\ell}", ""),
    "pair_cos_helicity": (r"|\cos\theta_\mathrm{hel}|", ""),
    "pair_angle_lab": (r"\angle_{\ell\ell}", "rad"),
    "p_min_lab": (r"\min p_\ell", "GeV"),
    "recoil_mass": (r"M_\mathrm{recoil}", "GeV"),
    # the other two, in the rest frame of the recoil
    "x_harder": (r"x_3 = 2E_3/M_\mathrm{recoil}", ""),
    "x_softer": (r"x_4", ""),
    "cos_others": (r"\cos\angle_{34}", ""),
    "m_others": (r"M_{34}", "GeV"),
    # three and four tracks
    "m_three_low": (r"\min M(\ell\ell\,t)", "GeV"),
    "m_three_high": (r"\max M(\ell\ell\,t)", "GeV"),
    "m_mixed_low": (r"\min M(\ell^\pm t^\mp)", "GeV"),
    "m_mixed_high": (r"\max M(\ell^\pm t^\mp)", "GeV"),
    "pair_pt_nearest": (r"p^*_{\ell\ell\perp\mathrm{nearest}}", "GeV"),
    "cos_pair_nearest": (r"\max\cos\angle(\ell\ell, t)", ""),
    "m_total": (r"M_{4}", "GeV"),
    "thrust": (r"T", ""),
    # photons
    "photon_energy_cms": (r"E^*_\gamma", "GeV"),
    "photon_hardest_lab": (r"E_{\gamma,1}", "GeV"),
    "pion_distance": (r"\min|M(\ell\ell\gamma) - m_{\pi^0}|", "GeV"),
    # what is missing beside tracks and photons
    "missing_energy_cms": (r"E^*_\mathrm{miss}", "GeV"),
    "missing_mass_squared": (r"M^2_\mathrm{miss}", "GeV^2"),
    "missing_pt_cms": (r"p^*_{T,\mathrm{miss}}", "GeV"),
    "missing_cos_theta_lab": (r"\cos\theta_\mathrm{miss}", ""),
    "missing_angle_nearest": (r"\min\angle(\mathrm{miss}, t)", "rad"),
}

#: what the network of the leptophilic-scalar search looks at: everything but the mass itself
INPUTS = ("pair_energy_cms", "pair_cos_theta_cms", "pair_cos_helicity", "p_min_lab", "x_harder", "x_softer", "cos_others",
          "m_others", "m_three_low", "m_three_high", "m_mixed_low", "m_mixed_high", "pair_pt_nearest", "cos_pair_nearest",
          "m_total", "thrust", "photon_energy_cms", "photon_hardest_lab", "pion_distance", "missing_energy_cms",
          "root:missing_mass_squared", "missing_pt_cms", "missing_cos_theta_lab", "missing_angle_nearest")  # fmt: skip


def tautau_dilepton_columns(rows: Array, is_muon: NDArray[np.bool_], detector: Detector) -> dict[str, Array]:
    """The columns :data:`COLUMNS`, each ``(n,)``, of ``rows`` ``(n, 6, 3)`` [GeV].

    Rows are the tracks l-, l+, other - and other +, the sum of the photons' momenta, and three numbers: the sum of their
    energies, that of the hardest (in the lab), and how near to the pi0 the pair and a photon come. ``is_muon`` ``(n,)`` says
    which mass l has. Raises ``ValueError`` for another shape.
    """
    if rows.shape[1:] != (6, 3):
        raise ValueError(f"rows: shape {rows.shape}, expected (n, 6, 3)")
    beams, tracks_lab = detector.beams, rows[:, :4]
    lab = four_momenta(tracks_lab, (0.0, 0.0, M_PION, M_PION))
    masses = np.where(is_muon, M_MUON, M_ELECTRON)
    lab[:, :2, 0] = np.sqrt((tracks_lab[:, :2] ** 2).sum(axis=-1) + masses[:, None] ** 2)
    p, whole = to_cms(lab, beams), np.array([beams.sqrt_s, 0.0, 0.0, 0.0])
    pair, total = p[:, 0] + p[:, 1], p.sum(axis=1)
    out = {"m_pair": _root(_square(lab[:, 0] + lab[:, 1])), "is_muon": is_muon.astype(np.float64)}
    out |= _pair(p, pair, lab) | _others(p, whole - pair) | _together(p, pair, total)
    photons = np.column_stack([rows[:, 5, 0], rows[:, 4]])
    unseen = beams.nominal - lab.sum(axis=1) - photons
    missing, axis = to_cms(unseen, beams), to_cms(beams.electron[None], beams)[0, 1:]
    along = missing[:, 1:] @ (axis / np.linalg.norm(axis))
    return out | {
        "photon_energy_cms": to_cms(photons, beams)[:, 0],
        "photon_hardest_lab": rows[:, 5, 1],
        "pion_distance": rows[:, 5, 2],
        "missing_energy_cms": missing[:, 0],
        "missing_mass_squared": _square(missing),
        "missing_pt_cms": np.sqrt(np.maximum((missing[:, 1:] ** 2).sum(axis=1) - along**2, 0.0)),
        "missing_cos_theta_lab": unseen[:, 3] / np.maximum(_size(unseen), 1e-12),
        "missing_angle_nearest": np.arccos(np.max([_cosine(unseen, lab[:, j]) for j in range(4)], axis=0)),
    }


def _pair(p: Array, pair: Array, lab: Array) -> dict[str, Array]:
    """Columns of the pair; ``p`` are all tracks in the centre of mass."""
    mass, (first, second) = np.maximum(_root(_square(pair)), 1e-6), (p[:, 0], p[:, 1])
    # |cos| of l- about the pair's flight, seen at rest of the pair: from the energies alone
    momentum = 0.5 * np.sqrt(np.maximum(mass**2 - 4.0 * _square(first), 1e-12))
    helicity = 0.5 * np.abs(first[:, 0] - second[:, 0]) * mass / np.maximum(_size(pair) * momentum, 1e-12)
    return {
        "pair_energy_cms": pair[:, 0],
        "pair_cos_theta_cms": pair[:, 3] / np.maximum(_size(pair), 1e-12),
        "pair_cos_helicity": np.minimum(helicity, 1.0),
        "pair_angle_lab": np.arccos(_cosine(lab[:, 0], lab[:, 1])),
        "p_min_lab": np.minimum(_size(lab[:, 0]), _size(lab[:, 1])),
    }


def _others(p: Array, recoil: Array) -> dict[str, Array]:
    """Columns of the other two tracks, seen at rest of the ``recoil`` against the pair."""
    mass = np.sqrt(np.maximum(_square(recoil), _LEAST**2))
    velocity = recoil.copy()
    velocity[:, 0] = np.sqrt((recoil[:, 1:] ** 2).sum(axis=1) + mass**2)
    third, fourth = (_at_rest(p[:, j], velocity, mass) for j in (2, 3))
    energies = 2.0 * np.stack([third[:, 0], fourth[:, 0]]) / mass
    return {
        "recoil_mass": _signed_root(_square(recoil)),
        "x_harder": energies.max(axis=0),
        "x_softer": energies.min(axis=0),
        "cos_others": _cosine(third, fourth),
        "m_others": _root(_square(p[:, 2] + p[:, 3])),
    }


def _together(p: Array, pair: Array, total: Array) -> dict[str, Array]:
    """Columns of three and four tracks: the pair with either other track, the other opposite pairs, all."""
    three = np.stack([_root(_square(pair + p[:, j])) for j in (2, 3)])
    mixed = np.stack([_root(_square(p[:, 0] + p[:, 3])), _root(_square(p[:, 1] + p[:, 2]))])
    nearest = np.max([_cosine(pair, p[:, j]) for j in (2, 3)], axis=0)
    # the thrust axis of few tracks is the sum of those on one side: try all eight ways to split them
    signs = np.array([[1.0 if k >> j & 1 else -1.0 for j in range(4)] for k in range(8)])
    sums = np.einsum("kj,njc->nkc", signs, p[..., 1:])
    size = np.sqrt((p[..., 1:] ** 2).sum(axis=-1)).sum(axis=1)
    return {
        "m_three_low": three.min(axis=0),
        "m_three_high": three.max(axis=0),
        "m_mixed_low": mixed.min(axis=0),
        "m_mixed_high": mixed.max(axis=0),
        "pair_pt_nearest": _size(pair) * np.sqrt(np.maximum(1.0 - nearest**2, 0.0)),
        "cos_pair_nearest": nearest,
        "m_total": _root(_square(total)),
        "thrust": np.sqrt((sums**2).sum(axis=-1).max(axis=1)) / np.maximum(size, 1e-12),
    }


def _square(p: Array) -> Array:
    return np.asarray(p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1))


def _root(square: Array) -> Array:
    return np.sqrt(np.maximum(square, 0.0))


def _signed_root(square: Array) -> Array:
    return np.copysign(np.sqrt(np.abs(square)), square)


def _size(p: Array) -> Array:
    return np.sqrt((p[..., 1:] ** 2).sum(axis=-1))


def _cosine(p: Array, q: Array) -> Array:
    """Cosine of the angle between two momenta."""
    product = (p[..., 1:] * q[..., 1:]).sum(axis=-1) / np.maximum(_size(p) * _size(q), 1e-24)
    return np.asarray(np.clip(product, -1.0, 1.0))


def _at_rest(p: Array, frame: Array, mass: Array) -> Array:
    """Momenta ``p`` (n, 4) as seen at rest of ``frame`` (n, 4) of ``mass`` (n,)."""
    energy = (p[:, 0] * frame[:, 0] - (p[:, 1:] * frame[:, 1:]).sum(axis=1)) / mass
    factor = (p[:, 0] + energy) / (frame[:, 0] + mass)
    return np.column_stack([energy, p[:, 1:] - factor[:, None] * frame[:, 1:]])


def _columns(rows: Array, _photons: Array, detector: Detector, alternative: NDArray[np.int8]) -> dict[str, Array]:
    if rows.shape[1] == 4:  # tracks only: no photons
        none = np.tile([[0.0, 0.0, 0.0], [0.0, 0.0, FAR]], (len(rows), 1, 1))
        rows = np.concatenate([rows, none], axis=1)
    return tautau_dilepton_columns(rows, alternative == 0, detector)


def _reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    """The general reconstruction, with the photons summed up in two more rows."""
    observed = observe(events, detector, key)
    reco = exclusive(observed, WANTED, lambda _tracks, _photons, _which: {}, detector.beams, key)
    clusters = observed.clusters
    odds = np.random.default_rng(make_key(key, "photons")).random(clusters.efficiency.shape)
    least = detector.number("photon_veto_threshold")
    found = (np.abs(observed.pdg) == 22) & (clusters.momenta_lab[..., 0] > least) & (odds < clusters.efficiency)
    photons = clusters.momenta_lab * found[..., None]
    pair = four_momenta(reco.tracks_lab[:, :2], (M_ELECTRON, M_ELECTRON)).sum(axis=1)
    distance = np.abs(_root(_square(pair[:, None] + photons)) - M_PION0)
    nearest = np.where(found, np.minimum(distance, FAR), FAR).min(axis=1, initial=FAR)
    total, hardest = photons.sum(axis=1), photons[..., 0].max(axis=1, initial=0.0)
    numbers = np.column_stack([total[:, 0], hardest, nearest])
    rows = np.concatenate([reco.tracks_lab, total[:, None, 1:], numbers[:, None]], axis=1)
    return replace(reco, tracks_lab=rows, columns=tautau_dilepton_columns(rows, reco.alternative == 0, detector))


def _loose(columns: Columns, _detector: Detector) -> Mask:
    """A pair that can be a signal of its flavour, and something missing that is not along a beam or a track."""
    mass, muon = columns["m_pair"], columns["is_muon"] > 0.5
    low, high = (np.where(muon, MUON_PAIRS[k], ELECTRON_PAIRS[k]) for k in (0, 1))
    missing = (columns["missing_energy_cms"] > MISSING_ENERGY) & (np.abs(columns["missing_cos_theta_lab"]) < BEAM_COSINE)
    return np.asarray((mass > low) & (mass < high) & missing & (columns["missing_angle_nearest"] > TRACK_ANGLE))


def _flavour(columns: Columns, _detector: Detector) -> Mask:
    """Pairs of the flavour that is searched for at their mass: of electrons below the threshold of muons."""
    return np.asarray((columns["m_pair"] > MUON_PAIRS[0]) == (columns["is_muon"] > 0.5))


def _chosen(columns: Columns, detector: Detector) -> Mask:
    """What the network of the search keeps."""
    return np.asarray(_flavour(columns, detector) & (load_network("leptophilic_scalar").score(columns) > 0.5))


WANTED = Wanted(hypotheses=("muon", "muon", "pion", "pion"), alternatives=(("electron", "electron", "pion", "pion"),),
                charges=(-1, 1, -1, 1), neutrals=True)  # fmt: skip
STATE = FinalState(
    name="tautau_dilepton", title="a pair of electrons or muons and two other tracks, with any neutrals",
    wanted=WANTED, fast=_reconstruct,
    columns=_columns, meanings=COLUMNS, loose=_loose,
    # the resolution grows from 0.3 to 30 MeV: fine strata where it is small
    axes=(Axis(column="m_pair", low=0.2, high=7.3, bins=142), Axis(column="m_pair", low=0.03, high=0.33, bins=10),
          Axis(column="is_muon", low=0.0, high=2.0, bins=2)),
    dense=_flavour, rare=_chosen,
)  # fmt: skip
