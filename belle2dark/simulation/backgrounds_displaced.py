"""What looks like a displaced pair beside a photon or another pair, with something missing.

For :mod:`belle2dark.final_states.displaced_photon`: K_S beside a photon (from phi -> K_S K_L, whose K_L is easily missed, and
from hadronic events), photons that convert in material, prompt pairs whose vertex is measured far from where it is, prongs of
taus, and prompt tracks that cross by chance. For :mod:`belle2dark.final_states.dark_higgs_displaced`: tau pairs, muon pairs and
hadronic events with a converted photon, and the latter with K_S. How often tracks cross is a choice (``mesons.yaml``); their
harder one comes from the beam line, so an impact parameter vetoes them.

After all vetoes and before a window in the recoil mass the template of a photon and a pair has 0.008 fb inside the beam pipe, all
of it prongs of taus (3 events in 365 fb^-1, 400 in 50 ab^-1, known to 40 %), and less than 1e-6 fb in the chamber; without a
window the two pairs have 0.03 fb, hadrons with K_S or charm.

Events that no detector could take are dropped before they are measured, and the others measured several times: what is left after
vetoes depends on tails of the measurement. Not included: K_S K_L without the phi (a tenth more, in the uncertainty), decays of
strange baryons, beam-gas interactions, tails of track errors beyond a Gaussian, electrons from interactions in material that open
by more than multiple scattering does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import CTAU_TAU
from belle2dark.simulation.backgrounds import EE_GAMMA, GAMMA_GAMMA_CONVERTED, MUMU_GAMMA_HARD, TAU_1X3, Background
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.simulation.bhabha import generate_ee_gamma
from belle2dark.simulation.decays.chain import fly_broadly, lifetime_factor
from belle2dark.simulation.decays.tau import decay_taus
from belle2dark.simulation.displaced import convert, crossing_tracks
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.gamma_dilepton import generate_gamma_kshort
from belle2dark.simulation.rng import make_key
from belle2dark.simulation.tau_pairs import generate_tau_pairs, generate_taus
from belle2dark.sourced import load_numbers

Generator = Callable[[int, int, Beams], Events]
#: least energy of the photon [GeV] in the centre of mass and angle [rad, lab] to the beams: looser than any search
_SOFTEST, _STEEPEST = 0.45, 0.28
#: radii [cm] where a vertex may be measured in a region, and least transverse momentum of its tracks [GeV]
_RADII, _SLOWEST = ((0.03, 1.3), (13.5, 64.0)), 0.06
#: radius [cm] within which a track, that of a tau as well, is prompt
_PROMPT = 0.1
#: radius of curvature [cm] of 1 GeV in the solenoid of Belle II
_CURVATURE = 100.0 / (0.299792458 * 1.5)
#: least energy [GeV] of a photon that converts to two tracks
_CONVERTED = 0.25
#: distances [cm] of the flights of taus as :func:`.fly_broadly` takes them: beyond a centimetre there are none
_FLIGHT = (0.02, 2.0)
#: photons kept of tau pairs
_PHOTONS = 6


def _photon(events: Events, beams: Beams) -> NDArray[np.bool_]:
    """Whether there is a photon to be seen, (n,)."""
    found = np.zeros(len(events), dtype=bool)
    for name in events.photons:
        p = events.momenta_lab[name]
        found |= (np.abs(p[:, 3]) < math.cos(_STEEPEST) * p[:, 0]) & (to_cms(p, beams)[:, 0] > _SOFTEST)
    return found


def _displaced(events: Events, beams: Beams, slots: tuple[str, str]) -> NDArray[np.bool_]:
    """Whether there is a photon and the pair in ``slots`` starts in a region with enough momentum, (n,)."""
    radius, keep = np.hypot(*events.vertices_cm[slots[0]][:, :2].T), _photon(events, beams)
    keep &= np.any([(radius > low) & (radius < high) for low, high in _RADII], axis=0)
    for name in slots:
        keep &= np.hypot(events.momenta_lab[name][:, 1], events.momenta_lab[name][:, 2]) > _SLOWEST
    return keep


def _used_again(generate: Generator, wanted: Callable[[Events, Beams], NDArray[np.bool_]], times: float, n: int, key: int,
                beams: Beams) -> Events:  # fmt: skip
    """n events of the part of a process that is ``wanted``, out of n times ``times`` that are made, each as often as needed."""
    made = generate(max(1, round(n * times)), key, beams)
    kept = made.select(wanted(made, beams))
    if not len(kept):
        raise ValueError(f"n = {n}: too few, none of the events made is wanted")
    # like weights are used alike, so each event counts n / len(kept) times to less than one
    chosen = kept.select(np.arange(n) * len(kept) // n)
    counts = np.bincount(np.arange(n) * len(kept) // n, minlength=len(kept))
    return replace(chosen, weights=(kept.weights / np.maximum(counts, 1))[np.arange(n) * len(kept) // n])


def prompt_crossing(events: Events, first: str, second: str, key: int) -> Events:
    """Two prompt tracks put at one displaced point, as :func:`.crossing_tracks`, on the true circle of the harder one.

    That one then comes from the beam line within its measurement. Weights carry the (chosen) probability; they are 0 where the
    two are not opposite prompt tracks. Raises ``ValueError`` for an unknown slot.
    """
    made = crossing_tracks(events, first, second, key)
    a, b = (events.momenta_lab[name] for name in (first, second))
    charge = np.where(a[:, 0] > b[:, 0], _charge(events, first), _charge(events, second))
    harder = np.where((a[:, 0] > b[:, 0])[:, None], a, b)
    point, pt = made.vertices_cm[first], np.hypot(harder[:, 1], harder[:, 2])
    radius = np.hypot(point[:, 0], point[:, 1])
    # a positive particle turns clockwise: it is half its turn ahead of the direction in which it moves
    half = charge * np.arcsin(np.minimum(0.5 * radius / np.maximum(_CURVATURE * pt, 1e-9), 1.0))
    cosine, sine = np.cos(half), np.sin(half)
    turned = np.column_stack([cosine * point[:, 0] - sine * point[:, 1], sine * point[:, 0] + cosine * point[:, 1], point[:, 2]])
    origin = [np.hypot(*events.vertices_cm[name][:, :2].T) < _PROMPT for name in (first, second) if name in events.vertices_cm]
    prompt = np.all([_charge(events, first) * _charge(events, second) < 0, radius < 2.0 * _CURVATURE * pt, *origin], axis=0)
    return replace(made, weights=made.weights * prompt, vertices_cm={**made.vertices_cm, first: turned, second: turned})


def _charge(events: Events, name: str) -> Array:
    """Charge of what is in a slot (leptons and mesons), (n,)."""
    code = events.pdg(name)
    return np.where(np.abs(code) < 20, -np.sign(code), np.sign(code)).astype(float)


def _taus(n: int, key: int, beams: Beams) -> Events:
    """Tau pairs with a prong each."""
    return generate_tau_pairs(n, key, beams, "1prong", "1prong", photons=_PHOTONS)


def _far_taus(n: int, key: int, beams: Beams) -> Events:
    """Tau pairs with a prong each and a photon to be seen; prongs start as far as taus rarely fly, with weights for it."""
    taus = generate_taus(n, key, beams)
    events = decay_taus(taus, key, "1prong", "1prong", parent="vector", photons=_PHOTONS)
    weights, points = events.weights, {}
    for tau, prong in (("tau-", "prong_1"), ("tau+", "prong_4")):
        own = make_key(key, tau)
        points[prong], flights = fly_broadly(taus.momenta_lab[tau], None, own, near_cm=_FLIGHT[0], far_cm=_FLIGHT[1])
        weights = weights * lifetime_factor(flights, CTAU_TAU)
    moved = replace(events, weights=weights, vertices_cm={**events.vertices_cm, **points})
    # flights of hundreds of lifetimes stand for nothing
    return moved.select(_photon(moved, beams) & (weights > 1e-9 * weights.max()))


def _tau_crossing(n: int, key: int, beams: Beams) -> Events:
    """Tau pairs with a prong each that cross."""
    return prompt_crossing(_taus(n, key, beams), "prong_1", "prong_4", make_key(key, "crossing"))


def _hadron_crossing(n: int, key: int, beams: Beams) -> Events:
    """Hadronic events whose two hardest prongs cross."""
    return prompt_crossing(TAU_1X3[3].generate(n, key, beams), "prong_1", "prong_2", make_key(key, "crossing"))


def _record(name: str, generate: Generator, approximations: str) -> Background:
    numbers = load_numbers("inelastic_sample")
    return Background(name=name, generate=generate, cross_section=numbers[f"{name}_cross_section"],
                      relative_uncertainty=numbers[f"{name}_uncertainty"], approximations=approximations)  # fmt: skip


GAMMA_KSHORT = _record(
    "gamma_kshort", partial(_used_again, generate_gamma_kshort, partial(_displaced, slots=("pi-", "pi+")), 2.0),
    "through the phi; the part with a photon and pions that may be seen; each event is measured many times",
)  # fmt: skip
CONVERTED = replace(
    GAMMA_GAMMA_CONVERTED, generate=partial(_used_again, GAMMA_GAMMA_CONVERTED.generate, _photon, 0.8),
    approximations="material of Belle II; pairs open by multiple scattering alone",
)  # fmt: skip
EE_GAMMA_PROMPT = replace(
    EE_GAMMA, generate=partial(generate_ee_gamma, energy_min=0.45, theta_photon=(0.2, 2.92), theta_electron=(0.25, 2.87)),
    approximations="tree level with one photon; Gaussian track errors",
)  # fmt: skip
HADRONS = replace(TAU_1X3[3], approximations="Pythia's default tune; few events, used many times over; K_S among the prongs")
TAU_PRONGS = _record("tautau_prongs", _far_taus, "one prong each, no photons off taus; taus fly")
TAU_CROSSING = _record("tautau_crossing", _tau_crossing, "how often tracks cross is a choice")
HADRON_CROSSING = _record("hadrons_crossing", _hadron_crossing, "how often tracks cross is a choice; Pythia's default tune")


def _converted(generate: Generator, n: int, key: int, beams: Beams) -> Events:
    """Events of a process with their first photon converted, if they have one that can be seen."""
    events = generate(n, key, beams)
    p = events.momenta_lab["gamma_1"]
    seen = (p[:, 0] > _CONVERTED) & (np.abs(p[:, 3]) < math.cos(_STEEPEST) * p[:, 0])
    return convert(events.select(seen), "gamma_1", make_key(key, "material"))


_MATERIAL = "one photon converts, in the material of Belle II; pairs open by multiple scattering alone"
TAU_CONVERTED = _record("tautau_converted", partial(_converted, _taus), _MATERIAL)
HADRONS_CONVERTED = _record("hadrons_converted", partial(_converted, HADRONS.generate), _MATERIAL + "; Pythia's default tune")
MUMU_CONVERTED = _record("mumu_gamma_converted", partial(_converted, MUMU_GAMMA_HARD.generate), _MATERIAL)
DARK_HIGGS_DISPLACED = (TAU_CONVERTED, MUMU_CONVERTED, HADRONS_CONVERTED, HADRONS)
DISPLACED_PHOTON = (GAMMA_KSHORT, CONVERTED, EE_GAMMA_PROMPT, HADRONS, TAU_PRONGS, TAU_CROSSING, HADRON_CROSSING)
