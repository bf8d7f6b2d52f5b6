"""Backgrounds with two muons, real or not, and two other tracks: what imitates e+e- -> mu+ mu- X, X -> tau+ tau-.

The same processes as in :mod:`.backgrounds`, made only where they have four tracks: tau pairs with three prongs or a K_S0,
hadronic events with four prongs, two-photon events with both electrons at wide angles, and final-state photons where
nothing else would be missing. Use the records of :mod:`.backgrounds` for other final states. Not included: events with
five tracks and more that lose some of them, converted photons, mu mu pi pi and other hadrons from virtual photons, electron
pairs off the final muons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from belle2dark.simulation.backgrounds import EEMUMU, EETAUTAU, FOUR_MUONS, MUMUTAUTAU, TAUTAU_INCLUSIVE, Background
from belle2dark.simulation.beams import Beams, to_cms, to_lab
from belle2dark.simulation.decays.tau import decay_taus
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.four_leptons import generate_four_muons
from belle2dark.simulation.hadronic import load_hadronic
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import make_key
from belle2dark.simulation.tau_pairs import generate_tau_pairs
from belle2dark.simulation.two_photon import generate_eemumu, generate_eetautau
from belle2dark.sourced import load_numbers

#: photons kept of an event with two decayed taus
PHOTONS = 12
#: modes with one prong and a K_S0 that can make two more
_KSHORT = ("pi_K0", "K_K0", "pi_K0_pi0", "K_K0_pi0", "pi_K0_2pi0", "pi_2K0", "pi_2K0_pi0")
#: modes of tau- and tau+, and how often they are made: for three prongs and one, of either charge; both three; K_S0
_TAU_PAIRS: tuple[tuple[str | tuple[str, ...], str, float, float], ...] = (
    ("3prong", "1prong", 2.0, 0.8),
    ("3prong", "3prong", 1.0, 0.1),
    (_KSHORT, "1prong", 2.0, 0.1),
)
#: electrons of two-photon events that can make a track: cosine of the polar angle in the lab
_WIDE = (-0.90, 0.97)
#: two-photon events tried at a time, and how many of them for each that is kept
_BATCH, _TRIES = 250_000, 40
#: hadronic events are few: all momenta in the centre of mass are scaled by about this share, and turned about the beams
SCALE = 0.04
#: events with a true muon are drawn this much more often, for less weight: few, but identified a dozen times as well as pions
FAVOUR = 8.0


def _joined(parts: list[Events]) -> Events:
    """Events of several samples with the same slots, one after the other."""
    first = parts[0]
    return Events(
        momenta_lab={name: np.concatenate([part.momenta_lab[name] for part in parts]) for name in first.momenta_lab},
        weights=np.concatenate([part.weights for part in parts]),
        vertices_cm={name: np.concatenate([part.vertices_cm[name] for part in parts]) for name in first.vertices_cm},
        species={name: np.concatenate([part.species[name] for part in parts]) for name in first.species},
    )


def generate_four_track_taus(n: int, key: int, beams: Beams) -> Events:
    """n or a few more weighted tau pairs [fb] with four prongs or more; a K_S0 counts as the two prongs it may decay to."""
    parts = []
    for index, (minus, plus, charges, share) in enumerate(_TAU_PAIRS):
        stream = make_key(key, "modes", str(index))
        part = generate_tau_pairs(max(1, round(share * n)), stream, beams, minus, plus, photons=PHOTONS)
        parts.append(replace(part, weights=charges * part.weights))
    return _joined(parts)


def generate_four_prong_hadrons(n: int, key: int, beams: Beams, half: int | None = None) -> Events:
    """n weighted hadronic events with four prongs [fb] from the shipped list, each used many times as its neighbours.

    Events are drawn as often as they weigh (those with muons more often, for less). All momenta in the centre of mass are
    scaled by one factor (normal, 1 +- :data:`SCALE`) and turned about the beams by one angle: fragmentation hardly depends on
    the energy, and a smooth spectrum stays what it is. ``half`` takes every other event of the list (0 or 1) for both, so
    that a network can be trained on one half and tested with the other. Raises ``ValueError`` for n < 1 and other halves.
    """
    if n < 1:
        raise ValueError(f"n = {n}: number of events, at least 1")
    if half not in (None, 0, 1):
        raise ValueError(f"half = {half}: must be 0, 1 or None")
    rng = np.random.default_rng(make_key(key, "hadrons"))
    listed = load_hadronic("low_multiplicity")
    listed = listed.select(listed.momenta_lab["prong_4"][:, 0] > 0.0)
    total = float(listed.weights.sum())
    if half is not None:
        listed = listed.select(np.arange(len(listed)) % 2 == half)
    muons = np.any([np.abs(listed.species[f"prong_{k}"]) == 13 for k in range(1, 5)], axis=0)
    favour = np.where(muons, FAVOUR, 1.0)
    running = np.cumsum(listed.weights * favour)
    # evenly spaced in the running sum of weights: every event as often as it weighs, up to one
    drawn = np.searchsorted(running, (np.arange(n) + rng.random()) / n * running[-1])
    chosen = listed.select(drawn)
    scale, turn = 1.0 + SCALE * np.clip(rng.standard_normal(n), -3.0, 3.0), rng.uniform(0.0, 2.0 * np.pi, n)
    momenta = {name: _turned(p, beams, scale, turn) for name, p in chosen.momenta_lab.items()}
    return replace(chosen, momenta_lab=momenta, weights=total / (1.0 / favour[drawn]).sum() / favour[drawn])


def _turned(lab: Array, beams: Beams, scale: Array, turn: Array) -> Array:
    """Momenta (n, 4) in the lab, scaled and turned by angles (n,) about the beams in the centre of mass; empty slots stay."""
    cms = to_cms(lab, beams)
    mass2 = np.maximum(cms[:, 0] ** 2 - (cms[:, 1:] ** 2).sum(axis=1), 0.0)
    x, y, z = (scale * cms[:, c] for c in (1, 2, 3))
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    new = to_lab(np.column_stack([np.sqrt(x * x + y * y + z * z + mass2), x, y, z]), beams)
    return np.asarray(np.where(lab[:, :1] > 0.0, new, 0.0))


def _wide(generate: Callable[[int, int, Beams], Events], n: int, key: int, beams: Beams) -> Events:
    """About n weighted events [fb] with both beam electrons at wide angles; those of smaller angles are not in the sum."""
    parts = []
    for index in range(max(1, round(n * _TRIES / _BATCH))):
        made = generate(min(_BATCH, n * _TRIES), make_key(key, "wide", str(index)), beams)
        keep = np.ones(len(made), dtype=bool)
        for name in ("e-", "e+"):
            p = made.momenta_lab[name]
            cosine = p[:, 3] / np.sqrt((p[:, 1:] ** 2).sum(axis=1))
            keep &= (cosine > _WIDE[0]) & (cosine < _WIDE[1])
        parts.append(made.select(keep))
    events = _joined(parts)
    return replace(events, weights=events.weights / len(parts))


def _eemumu(n: int, key: int, beams: Beams) -> Events:
    return radiate_final(_wide(generate_eemumu, n, key, beams), key, ("e-", "e+", "mu-", "mu+"))


def _four_muons(n: int, key: int, beams: Beams) -> Events:
    return radiate_final(generate_four_muons(n, key, beams), key, ("mu-_1", "mu+_1", "mu-_2", "mu+_2"))


def _eetautau(n: int, key: int, beams: Beams) -> Events:
    return decay_taus(generate_eetautau(n, key, beams), key, photons=PHOTONS)


def _hadrons() -> Background:
    """The half of the list that no network was trained on."""
    numbers = load_numbers("backgrounds")
    return Background(name="hadrons", generate=partial(generate_four_prong_hadrons, half=1),
                      cross_section=numbers["hadrons_cross_section"], relative_uncertainty=numbers["hadrons_uncertainty"],
                      approximations="Pythia's default tune; 16,000 different events, smeared by 4 % in energy")  # fmt: skip


_ELECTRONS = "equivalent photons: no pair radiated off one electron, no annihilation, no initial-state radiation"
#: the backgrounds of the final state "ditau", by falling rate
DITAU = (
    _hadrons(),
    replace(TAUTAU_INCLUSIVE, generate=generate_four_track_taus,
            approximations="only pairs with four prongs or more; no converted photons, no weak bosons"),
    replace(EEMUMU, generate=_eemumu, approximations=f"{_ELECTRONS}; both electrons at wide angles"),
    replace(FOUR_MUONS, generate=_four_muons, approximations="tree level: no vector mesons in the pairs; photons off the muons"),
    MUMUTAUTAU,
    replace(EETAUTAU, generate=_eetautau, approximations=f"{_ELECTRONS}; taus decay without spin correlation"),
)  # fmt: skip
