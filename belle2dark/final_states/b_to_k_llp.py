"""B+ -> K+ S and B0 -> K*0 S with S -> two tracks from a displaced vertex: one final state per kaon side and pair.

Tracks are in the order kaon, pion of the K*0, the daughter of S with the charge opposite to the kaon's, the other daughter;
events have them in their first slots in that order. The rest of the event is not simulated and may be anything, so nothing
is asked of it but its shape: the Fox-Wolfram ratio R2 is that of the hadronic event a background was made of, or drawn from
simulated B pairs. Vertex and event shape are not momenta: an integer of each event carries them in steps, see :data:`_FLAGS`.

Not included: a fit of the decay chain (masses are those of the measured tracks), candidates with the two kaons of S -> K K
exchanged (their vertex is elsewhere), a choice among several candidates of an event, what else the other B may tell.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_D0, M_ELECTRON, M_KAON, M_KSHORT, M_LAMBDA, M_MUON, M_PION, M_PROTON
from belle2dark.detector.exclusive import Wanted
from belle2dark.detector.experiments import Detector
from belle2dark.detector.multitrack import four_momenta
from belle2dark.detector.observed import observe
from belle2dark.detector.particle_id import index
from belle2dark.detector.response import Reconstruction
from belle2dark.detector.vertexing import Vertices, pair_mass, two_track_vertex, with_loss_added_back
from belle2dark.final_states.record import Axis, Columns, FinalState
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.decays.mesons import EVENT_SHAPE, KAON_MODES, beam_constrained
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.hadronic import fox_wolfram
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers

#: what S decays to: hypothesis of the identification and mass [GeV]
PAIRS = {"ee": ("electron", M_ELECTRON), "mumu": ("muon", M_MUON), "pipi": ("pion", M_PION), "kk": ("kaon", M_KAON)}
#: least transverse distance of the vertex from the beam line [cm]: an edge of its steps
DISPLACED = 0.05


class _Part(NamedTuple):
    """A quantity stored in steps: of its logarithm between ``low`` and ``high``, or of itself."""

    low: float
    high: float
    steps: int
    log: bool

    def store(self, values: Array) -> NDArray[np.int32]:
        low, high = (np.log(self.low), np.log(self.high)) if self.log else (self.low, self.high)
        x = np.log(np.maximum(values, 1e-300)) if self.log else values
        return np.clip((x - low) / (high - low) * self.steps, 0, self.steps - 1).astype(np.int32)

    def load(self, stored: NDArray[np.int32]) -> Array:
        share = (stored + 0.5) / self.steps
        return np.asarray(self.low * (self.high / self.low) ** share if self.log else self.low + share * (self.high - self.low))


#: the flag, smallest part first: 23 bits; edges at a distance of 0.05 cm and a significance of 3
_FLAGS = {
    "r2": _Part(0.0, 1.0, 32, False),
    "pointing": _Part(1e-4, np.pi, 16, True),
    "dr_significance": _Part(3.0 * 1.25**-8, 3.0 * 1.25**24, 32, True),
    "dr": _Part(DISPLACED * 1.02**-110, DISPLACED * 1.02**402, 512, True),
}


def _flag(values: dict[str, Array]) -> NDArray[Any]:
    """One integer per event, (n,)."""
    out = np.zeros(len(values["dr"]), dtype=np.int32)
    for name, part in reversed(_FLAGS.items()):
        out = out * part.steps + part.store(values[name])
    return out


def _unflag(flag: NDArray[Any]) -> dict[str, Array]:
    left, out = np.asarray(flag, dtype=np.int32), {}
    for name, part in _FLAGS.items():
        left, stored = np.divmod(left, part.steps)
        out[name] = part.load(stored)
    return out


@cache
def _b_pair_shapes() -> Array:
    """R2 of simulated B pairs, sorted."""
    return np.sort(np.concatenate([fox_wolfram(name, "bb") for name in ("k_v0", "kstar_v0")]))


def event_shape(n: int, key: int) -> Array:
    """R2 ``(n,)`` of events with two B mesons, of which only one was simulated: from the lists of hadronic events."""
    shapes = _b_pair_shapes()
    return np.interp(np.random.default_rng(key).random(n) * (len(shapes) - 1), np.arange(len(shapes)), shapes)


def reconstruct(events: Events, detector: Detector, key: int, *, mode: str, pair: str) -> Reconstruction:
    """The events as a kaon side and a displaced ``pair``, one row each; random numbers from ``key``."""
    observed = observe(events, detector, key)
    names = observed.slots[: 4 if mode == "kstar0" else 3]
    side, daughters = names[:-2], names[-2:]
    hypothesis, mass = PAIRS[pair]
    vertices = two_track_vertex(observed, daughters[0], daughters[1], make_key(key, "vertex"))
    columns = [observed.slot(name) for name in side]
    found = observed.tracks.efficiency[:, columns].prod(axis=1)
    known = np.ones(len(events))
    for name, wanted in zip(names, _hypotheses(mode, hypothesis), strict=True):
        known *= observed.identified[(slice(None), observed.slot(name), *index(wanted))]
    numbers = load_numbers("mesons")
    near, near_z = numbers["kaon_impact"].values
    impact = np.abs(observed.tracks.impact[:, columns])
    good = (vertices.chi2 < float(numbers["vertex_chi2"])) & (impact < (near, near_z)).all(axis=(1, 2))
    momenta = np.concatenate([observed.momenta(*side), with_loss_added_back(vertices, (mass, mass))], axis=1)
    if EVENT_SHAPE in events.momenta_lab:
        shape = events.momenta_lab[EVENT_SHAPE][:, 0]
    else:
        shape = event_shape(len(events), make_key(key, "event shape"))
    flag = _flag({"r2": shape, **_distances(vertices, momenta[:, -2:].sum(axis=1))})
    none = np.zeros((len(events), 0, 4))
    found_all = found * vertices.efficiency
    factors = {"acceptance": (found_all > 0.0).astype(float), "tracking": found_all, "identification": known,
               "vertex": good.astype(float)}  # fmt: skip
    return Reconstruction(tracks_lab=momenta, weights=observed.weights, factors=factors, clusters_lab=none, alternative=flag,
                          columns=b_columns(momenta, none, detector, flag, mode=mode, pair=pair))  # fmt: skip


def _distances(vertices: Vertices, momentum: Array) -> dict[str, Array]:
    """What the vertices tell beside the mass of S, whose ``momentum`` is (n, 3) [GeV]."""
    # across the beams only: along them the interaction point is not known well enough
    place, flight = vertices.positions_cm[:, :2], momentum[:, :2]
    cosine = (place * flight).sum(axis=1) / np.maximum(vertices.radius * np.hypot(flight[:, 0], flight[:, 1]), 1e-300)
    return {
        "dr": vertices.radius,
        "dr_significance": vertices.radius / np.maximum(vertices.radius_error, 1e-9),
        "pointing": np.arccos(np.clip(cosine, -1.0, 1.0)),
    }


def _hypotheses(mode: str, pair: str) -> tuple[str, ...]:
    return ("kaon", *(("pion",) if mode == "kstar0" else ()), pair, pair)


def _nearest_mass(daughters: Array, first: float, second: float, to: float) -> Array:
    """Mass ``(n,)`` [GeV] of two tracks with either assignment of two masses, whichever is nearer to a third."""
    masses = np.stack([pair_mass(daughters, first, second), pair_mass(daughters, second, first)])
    return np.asarray(np.take_along_axis(masses, np.abs(masses - to).argmin(axis=0)[None], axis=0)[0])


def b_columns(tracks: Array, _photons: Array, detector: Detector, flag: NDArray[Any], *, mode: str,
              pair: str) -> dict[str, Array]:  # fmt: skip
    """The columns :func:`meanings`, each ``(n,)``, of tracks ``(n, 3 or 4, 3)`` [GeV] in the lab and the flag ``(n,)``."""
    mass = PAIRS[pair][1]
    side = (M_KAON, M_PION) if mode == "kstar0" else (M_KAON,)
    momenta = four_momenta(tracks, (*side, mass, mass))
    m_bc, delta_e = beam_constrained(to_cms(momenta.sum(axis=1), detector.beams), detector.beams.sqrt_s)
    daughters = tracks[:, -2:]
    m_s = pair_mass(daughters, mass, mass)
    out = {
        "m_s": m_s,
        "reduced_mass": np.sqrt(np.maximum(m_s**2 - 4.0 * mass**2, 0.0)),
        "m_bc": m_bc,
        "delta_e": delta_e,
        "m_pipi": pair_mass(daughters, M_PION, M_PION),
        "m_lambda": _nearest_mass(daughters, M_PROTON, M_PION, M_LAMBDA),
        "m_d0": _nearest_mass(daughters, M_KAON, M_PION, M_D0),
        "m_kpi": pair_mass(tracks[:, [0, -2]], M_KAON, M_PION),
        "pt_kaon_lab": np.hypot(tracks[:, 0, 0], tracks[:, 0, 1]),
    }
    if mode == "kstar0":
        out["m_kstar"] = pair_mass(tracks[:, :2], M_KAON, M_PION)
    return out | _unflag(flag)


def meanings(mode: str) -> dict[str, tuple[str, str]]:
    """Symbols and units of the columns."""
    kstar = {"m_kstar": (r"M_{K\pi}", "GeV")} if mode == "kstar0" else {}
    return {
        "m_s": ("M_S", "GeV"),
        "reduced_mass": (r"M'_S", "GeV"),
        "m_bc": (r"M_\mathrm{bc}", "GeV"),
        "delta_e": (r"\Delta E", "GeV"),
        "m_pipi": (r"M_{\pi\pi}", "GeV"),
        "m_lambda": (r"M_{p\pi}", "GeV"),
        "m_d0": (r"M(S \to K\pi)", "GeV"),
        "m_kpi": (r"M_{K^+\pi^-}", "GeV"),
        "pt_kaon_lab": (r"p_T(K)", "GeV"),
        **kstar,
        "r2": ("R_2", ""),
        "pointing": (r"\alpha", "rad"),
        "dr_significance": (r"d_r / \sigma", ""),
        "dr": ("d_r", "cm"),
    }


def _loose(columns: Columns, _detector: Detector) -> NDArray[np.bool_]:
    low, high = load_numbers("mesons")["kstar_window"].values
    near = (columns["m_kstar"] > low) & (columns["m_kstar"] < high) if "m_kstar" in columns else True
    b_like = (columns["m_bc"] > 5.25) & (np.abs(columns["delta_e"]) < 0.15)
    return np.asarray(b_like & near & (columns["dr"] > DISPLACED) & (columns["pt_kaon_lab"] > 0.1))


def _box(columns: Columns, _detector: Detector) -> NDArray[np.bool_]:
    return np.asarray((columns["m_bc"] > 5.27) & (np.abs(columns["delta_e"]) < 0.05))


def clear(columns: Columns, detector: Detector) -> NDArray[np.bool_]:
    """What looks like a B in an event of B mesons, and neither like a K_S nor like a Lambda or D0, ``(n,)``."""
    out = _box(columns, detector) & (columns["r2"] < 0.5)
    for name, mass, width in (("m_pipi", M_KSHORT, 0.01), ("m_lambda", M_LAMBDA, 0.005), ("m_d0", M_D0, 0.02)):
        out &= np.abs(columns[name] - mass) > width
    return np.asarray(out)


def _vetoed(columns: Columns, detector: Detector) -> NDArray[np.bool_]:
    return np.asarray(_box(columns, detector) & ~clear(columns, detector))


def _state(mode: str, pair: str) -> FinalState:
    side = {"kplus": "a charged kaon", "kstar0": "a K*0"}[mode]
    mass = PAIRS[pair][1]
    charges = (1, -1, 1) if mode == "kplus" else (1, -1, -1, 1)
    return FinalState(
        name=f"b_{mode}_{pair}",
        title=f"{side} and two {PAIRS[pair][0]}s from a displaced vertex",
        wanted=Wanted(hypotheses=_hypotheses(mode, PAIRS[pair][0]), charges=charges, conjugate=True),
        meanings=meanings(mode),
        loose=_loose,
        # electron pairs crowd at the masses of converted photons: nearly logarithmic strata
        axes=(Axis(column="m_s", low=2.0 * mass, high=4.8, bins=100, power=0.02 if pair == "ee" else 0.7),),
        dense=clear,
        rare=_vetoed,
        flags=True,
        columns=partial(b_columns, mode=mode, pair=pair),
        fast=partial(reconstruct, mode=mode, pair=pair),
    )


STATES = tuple(_state(mode, pair) for mode in KAON_MODES for pair in PAIRS)
