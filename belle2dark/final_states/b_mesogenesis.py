"""Final states of B -> baryon + nothing seen, opposite to a B meson that is reconstructed in hadronic modes (the tag).

"b_to_proton": a proton. "b_to_lambda": a proton and a pion from a displaced point. "b_to_lambda_c": proton, kaon and pion.
"b_to_lambda_c_pi": the same and another pion of opposite charge. No other track, any photons: their energy and that of clusters
of the beams is ``extra_energy``. The tag stays a slot of the events (``x_2``) that is not simulated; its direction is smeared,
its energy is half the collision energy and its mass that of a B, so that what is missing beside tag and baryon is sharp.

Stored momenta are those of the tag and of the tracks; the extra energy is stored as the one photon, along z. Not included: what
a wrong tag leaves over (in its number only), interactions of antineutrons beyond those of neutrons, kinks, fits of the vertex.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial

import numpy as np

from belle2dark.constants import M_B0, M_BPLUS, M_KAON, M_LAMBDA, M_LAMBDA_C, M_PION, M_PROTON
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.detector.multitrack import four_momenta
from belle2dark.detector.observed import Observed, observe
from belle2dark.detector.response import EVERY_ASSIGNMENT, Reconstruction
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, square
from belle2dark.simulation.beams import to_cms, to_lab
from belle2dark.simulation.decays.mesons import tag_efficiency
from belle2dark.simulation.events import REST, Array, Events
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers

NUMBERS = load_numbers("b_mesogenesis")
#: a baryon, or baryon and pion, and the masses of its tracks; the first is the proton
MASSES = {"proton": (M_PROTON,), "lambda": (M_PROTON, M_PION), "lambda_c": (M_PROTON, M_KAON, M_PION),
          "lambda_c_pi": (M_PROTON, M_KAON, M_PION, M_PION)}  # fmt: skip
#: nominal mass of the baryon, how many of the tracks it is, and whether the B is charged
BARYON = {"proton": (M_PROTON, 1, True), "lambda": (M_LAMBDA, 2, False), "lambda_c": (M_LAMBDA_C, 3, True),
          "lambda_c_pi": (M_LAMBDA_C, 3, False)}  # fmt: skip
#: the place of the proton among the hypotheses is that of the electron, which is not used here
_PROTON, _PION, _KAON = "electron", "pion", "kaon"
_HYPOTHESES = {_PROTON: 0, "muon": 1, _PION: 2, _KAON: 3}
#: the charge of a charged B is known from its tag, whether a neutral one is B0 is not
_WANTED = {
    "proton": Wanted(hypotheses=(_PROTON,), charges=(1,)),
    "lambda": Wanted(hypotheses=(_PROTON, _PION), charges=(1, -1), conjugate=True),
    "lambda_c": Wanted(hypotheses=(_PROTON, _KAON, _PION), charges=(1, -1, 1)),
    "lambda_c_pi": Wanted(hypotheses=(_PROTON, _KAON, _PION, _PION), charges=(1, -1, 1, -1), conjugate=True),
}
#: production points closer than this [cm] are one
_SAME_POINT = 0.01

MEANINGS = {
    "missing_mass_squared": (r"M^2_\mathrm{miss}", "GeV^2"),
    "missing_mass": (r"M_\mathrm{miss}", "GeV"),
    "extra_energy": (r"E_\mathrm{extra}", "GeV"),
    "p_baryon": (r"p^B_\mathrm{baryon}", "GeV"),
    "m_baryon": (r"M_\mathrm{baryon}", "GeV"),
    "missing_cos_theta_lab": (r"\cos\theta_\mathrm{miss}", ""),
    "p_proton_lab": (r"p_p", "GeV"),
}


def missing_columns(tracks: Array, extra: Array, detector: Detector, baryon: str) -> dict[str, Array]:
    """The columns :data:`MEANINGS`, each ``(n,)``, of tag and tracks ``(n, 1 + k, 3)`` and extra energy ``(n, 1, 4)`` [GeV].

    ``p_baryon`` is the momentum of what is seen at rest of the other B, which two-body decays fix.
    """
    beams, (nominal, own, charged) = detector.beams, BARYON[baryon]
    m_b = M_BPLUS if charged else M_B0
    tag, p = four_momenta(tracks[:, :1], (m_b,))[:, 0], four_momenta(tracks[:, 1:], MASSES[baryon])
    found = p[:, :own].sum(axis=1)
    mass = np.sqrt(np.maximum(square(found), 0.0))
    # the known mass of the baryon is sharper than the measured one
    found = np.concatenate([np.sqrt((found[:, 1:] ** 2).sum(axis=1) + nominal**2)[:, None], found[:, 1:]], axis=1)
    seen, signal = found + p[:, own:].sum(axis=1), beams.nominal - tag
    missing = signal - seen
    squared = square(missing)
    product = signal[:, 0] * seen[:, 0] - (signal[:, 1:] * seen[:, 1:]).sum(axis=1)
    energy = product / np.sqrt(np.maximum(square(signal), 1e-300))
    size = np.sqrt((missing[:, 1:] ** 2).sum(axis=1))
    return {
        "missing_mass_squared": squared,
        "missing_mass": np.sign(squared) * np.sqrt(np.abs(squared)),
        "extra_energy": extra[:, 0, 0],
        "p_baryon": np.sqrt(np.maximum(energy**2 - square(seen), 0.0)),
        "m_baryon": mass,
        "missing_cos_theta_lab": missing[:, 3] / np.maximum(size, 1e-300),
        "p_proton_lab": np.sqrt((tracks[:, 1] ** 2).sum(axis=1)),
    }


def measured_tag(tag_lab: Array, charged: bool, detector: Detector, key: int) -> Array:
    """Measured momenta ``(n, 3)`` [GeV] in the lab of tags ``(n, 4)`` [GeV]: the direction is smeared, the size is known.

    A share of the tags has particles too many or too few, and a worse direction.
    """
    rng, beams, m_b = np.random.default_rng(make_key(key, "tag")), detector.beams, M_BPLUS if charged else M_B0
    core, tail, share = (float(NUMBERS[f"tag_{name}"]) for name in ("resolution", "resolution_tail", "tail_share"))
    p = to_cms(tag_lab, beams)[:, 1:]
    width = np.where(rng.random(len(p)) < share, tail, core)
    p = p + width[:, None] * rng.standard_normal(p.shape)
    size = math.sqrt(max(0.25 * beams.sqrt_s**2 - m_b**2, 0.0))
    p = p * (size / np.maximum(np.sqrt((p**2).sum(axis=1)), 1e-300))[:, None]
    cms = np.concatenate([np.full((len(p), 1), 0.5 * beams.sqrt_s), p], axis=1)
    return np.asarray(to_lab(cms, beams)[:, 1:])


def tagged(charged: bool, detector: Detector) -> float:
    """Probability that the other B, of that charge, is found as a tag at the working point of the experiment."""
    largest = tag_efficiency(charged) if detector.name == BELLE2.name else _published_tag(charged, detector)
    return largest * float(NUMBERS[f"tag_working_point_{short_name(detector)}"])


def short_name(detector: Detector) -> str:
    """How the numbers call an experiment: belle2, belle or babar."""
    return detector.name.lower().replace(" ii", "2")


def _published_tag(charged: bool, detector: Detector) -> float:
    """Efficiency per B, from the share of events in which one is found: of all B pairs (Belle) or of those of that charge."""
    kind, experiment = ("charged" if charged else "neutral"), short_name(detector)
    found = float(NUMBERS[f"tag_{experiment}_{kind}"])
    fraction = float(load_numbers("mesons")[f"{kind}_b_fraction"]) if experiment == "belle" else 1.0
    return found / (2.0 * fraction)


def extra_energy(seen: Observed, detector: Detector, key: int) -> Array:
    """Energy ``(n,)`` [GeV] of clusters of neither tag nor tracks: neutral particles of the events, and of the beams."""
    rng, (n, k) = np.random.default_rng(make_key(key, "extra")), seen.clusters.efficiency.shape
    energy = seen.clusters.momenta_lab[..., 0]
    neutral = (seen.tracks.charge == 0) & (energy > float(NUMBERS["cluster_energy"]))
    found = rng.random((n, k)) < seen.clusters.efficiency
    quiet, mean = float(NUMBERS["beam_quiet"]), float(NUMBERS["beam_energy"])
    beam = np.where(rng.random(n) < quiet, 0.0, mean * rng.standard_exponential(n))
    return np.asarray((energy * (neutral & found)).sum(axis=1) + beam)


@cache
def _soft(detector: Detector) -> Detector:
    """The same detector with soft tracks, which slow baryons decay to."""
    return detector.vary(tracking_turn_on=NUMBERS["soft_turn_on"].values)


def _seen(events: Events, detector: Detector, key: int, baryon: str) -> Observed:
    """What the detector sees, with the hypotheses of these final states, and with neutral particles that veto nothing."""
    seen = observe(events, _soft(detector), key)
    kind, p = np.abs(seen.pdg), seen.tracks.momenta_lab
    own = seen.identified.copy()
    known = own[:, :, 0]
    fakes = {211: "proton_fake_pion", 321: "proton_fake_kaon", 11: "proton_fake_lepton", 13: "proton_fake_lepton"}
    proton = np.where(kind == 2212, float(NUMBERS["proton_id"]), 0.0)
    for code, name in fakes.items():
        proton = np.where(kind == code, float(NUMBERS[name]), proton)
    fast = np.sqrt((p**2).sum(axis=-1)) > float(NUMBERS["proton_momentum"])
    known[..., 0] = proton * fast
    if baryon == "lambda":  # the displaced point says enough of the pion
        known[..., _HYPOTHESES[_PION]] = 1.0
    clusters = replace(seen.clusters, unseen=np.ones_like(seen.clusters.unseen), merged=np.full_like(seen.clusters.merged, -1))
    return replace(seen, identified=own, clusters=clusters, klm=np.zeros_like(seen.klm))


def _displaced(seen: Observed, tracks: Array, key: int) -> Array:
    """Whether proton and pion ``(n, 2, 3)`` [GeV] come from one point in the range of radii, ``(n,)``."""
    slots = [(seen.tracks.momenta_lab == tracks[:, j : j + 1]).all(axis=-1).argmax(axis=1) for j in range(2)]
    first, second = (seen.vertices_cm[np.arange(len(seen)), slot] for slot in slots)
    radius = np.hypot(*(first - seen.points_cm).T[:2])
    radius = radius + float(NUMBERS["radius_error"]) * np.random.default_rng(make_key(key, "radius")).standard_normal(len(seen))
    low, high = NUMBERS["lambda_radius"].values
    return np.asarray((np.abs(first - second).max(axis=1) < _SAME_POINT) & (radius > low) & (radius < high))


def reconstruct(events: Events, detector: Detector, key: int, baryon: str) -> Reconstruction:
    """The events as tag and ``baryon`` and no other track, one row each; random numbers from ``key``.

    Raises ``ValueError`` for events without the slot of the tag.
    """
    if REST not in events.momenta_lab:
        raise ValueError(f"events need the slot {REST!r} with the tag; they have {', '.join(events.momenta_lab)}")
    seen, wanted, charged = _seen(events, detector, key, baryon), _WANTED[baryon], BARYON[baryon][2]
    found = exclusive(seen, replace(wanted, neutrals=True) if wanted.many else wanted, lambda _t, _p, _which: {}, detector.beams,
                      key)  # fmt: skip
    # one factor, because the sum over the ways to identify an event as this final state belongs to both
    alone = found.factors["identification"] * found.factors["nothing else"] * found.factors.get(EVERY_ASSIGNMENT, 1.0)
    factors = {"acceptance": found.factors["acceptance"], "tracking": found.factors["tracking"],
               "identification, no other track": alone}  # fmt: skip
    if baryon == "lambda":
        factors["displaced vertex"] = _displaced(seen, found.tracks_lab, key).astype(float)
    factors["hadronic tag"] = np.full(len(seen), tagged(charged, detector))
    tag = measured_tag(events.momenta_lab[REST], charged, detector, key)
    tracks = np.concatenate([tag[:, None], found.tracks_lab], axis=1)
    extra = np.zeros((len(seen), 1, 4))
    extra[:, 0, 0] = extra[:, 0, 3] = extra_energy(seen, detector, key)
    return Reconstruction(tracks_lab=tracks, weights=events.weights, factors=factors, clusters_lab=extra,
                          columns=missing_columns(tracks, extra, detector, baryon))  # fmt: skip


def _loose(columns: Columns, _detector: Detector, baryon: str) -> Mask:
    """Near the mass of the baryon, little extra energy, and a missing mass that can be."""
    window = float(NUMBERS[f"template_mass_{baryon}"]) if f"template_mass_{baryon}" in NUMBERS else math.inf
    near = np.abs(columns["m_baryon"] - BARYON[baryon][0]) < window
    return np.asarray(near & (columns["extra_energy"] < float(NUMBERS["template_energy"])) & (columns["missing_mass"] > -1.0))


def _quiet(columns: Columns, _detector: Detector) -> Mask:
    return np.asarray(columns["extra_energy"] < float(NUMBERS["quiet_energy"]))


def _state(baryon: str, title: str) -> FinalState:
    # the first place is that of the tag, the photon that of the extra energy
    own = _WANTED[baryon]
    stored = Wanted(hypotheses=("muon", *own.hypotheses), charges=(1, *own.charges), photons=1)
    return FinalState(
        name=f"b_to_{baryon}", title=title, wanted=stored, meanings=MEANINGS,
        columns=partial(missing_columns, baryon=baryon),
        loose=partial(_loose, baryon=baryon), axes=(Axis(column="missing_mass", low=0.0, high=4.4, bins=22),), dense=_quiet,
        fast=partial(reconstruct, baryon=baryon),
    )  # fmt: skip


STATES = (
    _state("proton", "a proton opposite to a tag and no other track"),
    _state("lambda", "a Lambda opposite to a tag and no other track"),
    _state("lambda_c", "a Lambda_c opposite to a tag and no other track"),
    _state("lambda_c_pi", "a Lambda_c and a pion opposite to a tag and no other track"),
)
