"""Final states of B -> K(*) + nothing seen, opposite to a B meson that is reconstructed in hadronic modes (the tag).

"b_to_k_missing": a kaon. "b_to_kstar_missing": a kaon and a pion of opposite charge with about the mass of the K*0. No other
track, any photons: their energy and that of clusters of the beams is ``extra_energy``. What is missing is known twice:
``q2_tagged`` uses the direction of the tag; ``q2_inclusive`` takes the signal B at rest in the centre of mass, all that an
inclusive tag allows, and is ten times wider.

Stored momenta are those of the tag and of the tracks; the extra energy is stored as the one photon, along z, as in
:mod:`belle2dark.final_states.b_mesogenesis`, from where tag and clusters are. Not included: what a wrong tag leaves over (in its
number only), clusters that hadrons of the tag split off, the shape variables and the classifiers of the publication.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from belle2dark.constants import M_B0, M_BPLUS, M_KAON, M_KSTAR0, M_PION
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.multitrack import four_momenta
from belle2dark.detector.observed import observe
from belle2dark.detector.response import Reconstruction
from belle2dark.final_states.b_mesogenesis import extra_energy, measured_tag
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, square
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.decays.mesons import tag_efficiency
from belle2dark.simulation.events import REST, Array, Events
from belle2dark.sourced import load_numbers

NUMBERS = load_numbers("b_to_k_invisible")
#: masses of the tracks, whether the B is charged
MODES = {"kplus": ((M_KAON,), True), "kstar0": ((M_KAON, M_PION), False)}
_WANTED = {
    # the tag knows the charge of the signal B, which is always a B+ here; the flavour of a B0 it does not
    "kplus": Wanted(hypotheses=("kaon",), charges=(1,)),
    "kstar0": Wanted(hypotheses=("kaon", "pion"), charges=(1, -1), conjugate=True),
}

MEANINGS = {
    "q2_tagged": (r"q^2", "GeV^2"),
    "q2_inclusive": (r"q^2_\mathrm{rec}", "GeV^2"),
    "missing_mass": (r"M_\mathrm{miss}", "GeV"),
    "extra_energy": (r"E_\mathrm{extra}", "GeV"),
    "m_kpi": (r"M_{K\pi}", "GeV"),
    "energy_kaon_cms": (r"E^*_{K^{(*)}}", "GeV"),
    "missing_cos_theta_lab": (r"\cos\theta_\mathrm{miss}", ""),
}


def missing_columns(tracks: Array, extra: Array, detector: Detector, mode: str) -> dict[str, Array]:
    """The columns :data:`MEANINGS`, each ``(n,)``, of tag and tracks ``(n, 1 + k, 3)`` and extra energy ``(n, 1, 4)`` [GeV]."""
    beams, (masses, charged) = detector.beams, MODES[mode]
    tag = four_momenta(tracks[:, :1], (M_BPLUS if charged else M_B0,))[:, 0]
    seen = four_momenta(tracks[:, 1:], masses).sum(axis=1)
    missing, energy = beams.nominal - tag - seen, to_cms(seen, beams)[:, 0]
    q2, mass = square(missing), square(seen)
    size = np.sqrt((missing[:, 1:] ** 2).sum(axis=1))
    return {
        "q2_tagged": q2,
        "q2_inclusive": 0.25 * beams.sqrt_s**2 + mass - beams.sqrt_s * energy,
        "missing_mass": np.sign(q2) * np.sqrt(np.abs(q2)),
        "extra_energy": extra[:, 0, 0],
        "m_kpi": np.sqrt(np.maximum(mass, 0.0)),
        "energy_kaon_cms": energy,
        "missing_cos_theta_lab": missing[:, 3] / np.maximum(size, 1e-300),
    }


def reconstruct(events: Events, detector: Detector, key: int, mode: str) -> Reconstruction:
    """The events as tag, the kaon side of ``mode`` and no other track, one row each; random numbers from ``key``.

    Raises ``ValueError`` for events without the slot of the tag.
    """
    if REST not in events.momenta_lab:
        raise ValueError(f"events need the slot {REST!r} with the tag; they have {', '.join(events.momenta_lab)}")
    seen, charged = observe(events, detector, key), MODES[mode][1]
    # neutral particles veto nothing here: their energy is a column, to which photons add that are seen and not identified
    apart, efficiency = np.full_like(seen.clusters.merged, -1), np.maximum(seen.clusters.efficiency, 1.0 - seen.clusters.unseen)
    clusters = replace(seen.clusters, efficiency=efficiency, unseen=np.ones_like(efficiency), merged=apart)
    alone = replace(seen, clusters=clusters, klm=np.zeros_like(seen.klm))
    found = exclusive(alone, _WANTED[mode], lambda _t, _p, _which: {}, detector.beams, key)
    factors = {name: factor for name, factor in found.factors.items() if name != "photons"}
    factors["hadronic tag"] = np.full(len(seen), tag_efficiency(charged))
    tag = measured_tag(events.momenta_lab[REST], charged, detector, key)
    tracks = np.concatenate([tag[:, None], found.tracks_lab], axis=1)
    extra = np.zeros((len(seen), 1, 4))
    extra[:, 0, 0] = extra[:, 0, 3] = extra_energy(alone, detector, key)
    return Reconstruction(tracks_lab=tracks, weights=events.weights, factors=factors, clusters_lab=extra,
                          columns=missing_columns(tracks, extra, detector, mode))  # fmt: skip


def _loose(columns: Columns, _detector: Detector, mode: str) -> Mask:
    """Little extra energy, about the mass of the K*0 where there is one, and something missing that can be."""
    near = mode == "kplus" or np.abs(columns["m_kpi"] - M_KSTAR0) < float(NUMBERS["template_kstar_mass"])
    return np.asarray(near & (columns["extra_energy"] < float(NUMBERS["template_energy"])) & (columns["q2_tagged"] > -3.0))


def _quiet(columns: Columns, _detector: Detector) -> Mask:
    """Where searches look: little extra energy, and a missing momentum that points to the tracker."""
    low, high = NUMBERS["missing_cosine"].values
    cosine = columns["missing_cos_theta_lab"]
    return np.asarray((columns["extra_energy"] < float(NUMBERS["extra_energy"])) & (cosine > low) & (cosine < high))


def _state(name: str, mode: str, title: str) -> FinalState:
    return FinalState(
        name=name, title=title, wanted=replace(_WANTED[mode], photons=1), meanings=MEANINGS,
        columns=partial(missing_columns, mode=mode), loose=partial(_loose, mode=mode), dense=_quiet,
        axes=(Axis(column="q2_tagged", low=0.0, high=23.0, bins=10),), fast=partial(reconstruct, mode=mode),
        rows=1 + len(MODES[mode][0]),
    )  # fmt: skip


STATES = (
    _state("b_to_k_missing", "kplus", "a kaon opposite to a tag and no other track"),
    _state("b_to_kstar_missing", "kstar0", "a K*0 opposite to a tag and no other track"),
)
