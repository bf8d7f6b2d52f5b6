"""What looks like three pairs of equal mass: six hadrons and nothing else, and four leptons, or hadrons taken for them, with
a recoil.

Six tracks that carry all of the energy are u, d, s, c quarks: mostly six pions, of which some are taken for leptons. They
come from a shipped list made with Pythia 8 (:mod:`belle2dark.produce.hadronic_six_tracks`); copies are turned about the beam
and their tracks turned a little, at equal mass and momentum of the whole, so that few events make no peaks. For two lepton
pairs and a recoil there are four tracks of any hadronic event whose masses fit (the list again), four muons with photons off
the beams and mu mu tau tau.

Not included: six leptons of QED (some 1e-3 fb before masses are compared), four leptons with electrons and a recoil (as many as
four muons, which are not seen), converted photons and pi0 -> e e gamma (pairs below 0.14 GeV), B mesons.
"""

from __future__ import annotations

import io
from functools import cache, partial
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_ELECTRON, M_KAON, M_MUON, M_PION, M_PROTON
from belle2dark.simulation.backgrounds import FOUR_MUONS, MUMUTAUTAU, Background
from belle2dark.simulation.beams import Beams, to_lab
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.hadronic import PROCESSES, cross_sections
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file, load_numbers, nearest

#: step of the stored momenta [GeV]
MOMENTUM_STEP = 2.0e-3
LISTS = ("six", "four")
_MASS = {11: M_ELECTRON, 13: M_MUON, 211: M_PION, 321: M_KAON, 2212: M_PROTON}
#: copies of an event have their tracks turned by angles of this spread [rad]
_TURN = 0.05
#: copies of six tracks whose pairs differ by more, as pions and whichever way they are paired, are left out [GeV]
_SPREAD = 0.2
#: odds that a hadron is taken for a lepton, roughly: sets of four with leptons are copied more often
_FAKE = 0.02


@cache
def _read() -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(data_file("hadronic_six_tracks.npz").read_bytes())) as arrays:
        return {name: arrays[name] for name in arrays.files}


def load_tracks(name: str) -> tuple[Array, NDArray[np.int32], Array]:
    """A shipped list: momenta (n, k, 4) in the centre of mass [GeV], PDG codes (n, k) and weights (n,) [fb].

    ``six`` are all charged particles of an event, ``four`` sets (-, +, -, +) of four tracks. Raises ``ValueError`` for
    another name.
    """
    if name not in LISTS:
        raise ValueError(f"list {name!r}: not one of {', '.join(LISTS)}; nearest: {nearest(name, LISTS)}")
    arrays = _read()
    pdg = arrays[f"{name}_pdg"].astype(np.int32)
    p = arrays[f"{name}_momenta"] * MOMENTUM_STEP
    mass = np.array([_MASS[code] for code in np.abs(pdg).ravel().tolist()]).reshape(pdg.shape)
    momenta = np.concatenate([np.sqrt(mass**2 + (p**2).sum(axis=-1))[..., None], p], axis=-1)
    rates = np.array([cross_sections()[process] for process in PROCESSES]) / np.maximum(arrays["generated"], 1)
    return momenta, pdg, np.asarray(rates[arrays[f"{name}_process"]] / arrays[f"{name}_share"].astype(float))


def turned(momenta: Array, rng: np.random.Generator) -> Array:
    """Momenta (n, k, 4) with every track turned a little, then the whole boosted and scaled to the mass and momentum it had."""
    total = momenta.sum(axis=1)
    root = np.sqrt(total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(axis=1))
    size = np.sqrt((momenta[..., 1:] ** 2).sum(axis=-1, keepdims=True))
    square = momenta[..., 0] ** 2 - size[..., 0] ** 2
    p = momenta[..., 1:] + _TURN * size * rng.standard_normal(momenta[..., 1:].shape)
    p *= size / np.maximum(np.sqrt((p**2).sum(axis=-1, keepdims=True)), 1e-12)  # one in thousands is at rest
    own = np.concatenate([np.sqrt(square + (p**2).sum(axis=-1))[..., None], p], axis=-1)
    own = _boosted(own, own.sum(axis=1), -1.0)
    for _ in range(8):  # scale momenta until the energies add up
        energy = np.sqrt(square + (own[..., 1:] ** 2).sum(axis=-1))
        slope = ((own[..., 1:] ** 2).sum(axis=-1) / energy).sum(axis=1)
        own[..., 1:] *= (1.0 + (root - energy.sum(axis=1)) / slope)[:, None, None]
    own[..., 0] = np.sqrt(square + (own[..., 1:] ** 2).sum(axis=-1))
    return _boosted(own, total, 1.0)


def _boosted(p: Array, frame: Array, sign: float) -> Array:
    """Momenta (n, k, 4) from the rest frame of ``frame`` (n, 4), or with sign -1 into it."""
    mass = np.sqrt(frame[:, 0] ** 2 - (frame[:, 1:] ** 2).sum(axis=1))[:, None]
    axis = sign * frame[:, None, 1:]
    energy = (frame[:, :1] * p[..., 0] + (p[..., 1:] * axis).sum(axis=-1)) / mass
    f = (p[..., 0] + energy) / (frame[:, :1] + mass)
    return np.concatenate([energy[..., None], p[..., 1:] + f[..., None] * axis], axis=-1)


def generate_hadron_tracks(name: str, n: int, key: int, beams: Beams) -> Events:
    """Copies of a list's events, turned, seen from any beams: ``prong_1`` ... with ``species``; weights in fb.

    Of n copies of "six" those with pairs of nearly one mass, of "four" all. Raises ``ValueError`` for an unknown list, n < 1 and
    a bad key.
    """
    check_request(n, key)
    momenta, pdg, weights = load_tracks(name)
    rng = np.random.default_rng(make_key(key, "copies", name))
    lepton = np.where(np.isin(np.abs(pdg), (11, 13)), 1.0, _FAKE).prod(axis=1)
    share = weights * lepton ** (1.0 if name == "four" else 0.3)
    share = 0.5 / len(weights) + 0.5 * share / share.sum()
    which = np.searchsorted(np.cumsum(share), (np.arange(n) + rng.random()) / n * share.sum()).clip(max=len(weights) - 1)
    p = turned(momenta[which], rng)
    keep = smallest_spread(p) < _SPREAD if name == "six" else np.ones(n, dtype=bool)
    p, which = p[keep], which[keep]
    phi = 2.0 * np.pi * rng.random((len(p), 1))
    p[..., 1], p[..., 2] = np.cos(phi) * p[..., 1] - np.sin(phi) * p[..., 2], np.sin(phi) * p[..., 1] + np.cos(phi) * p[..., 2]
    slots = [f"prong_{k + 1}" for k in range(p.shape[1])]
    return Events(momenta_lab={slot: to_lab(p[:, k], beams) for k, slot in enumerate(slots)},
                  species={slot: np.ascontiguousarray(pdg[which, k]) for k, slot in enumerate(slots)},
                  weights=weights[which] / (n * share[which]))  # fmt: skip


def smallest_spread(momenta: Array) -> Array:
    """Largest less smallest mass of three pairs (n,) [GeV] of tracks (n, 6, 4), three negative ones first, as pions.

    The smallest over the six ways to pair them.
    """
    p = momenta[..., 1:]
    energy = np.sqrt(M_PION**2 + (p**2).sum(axis=-1))
    square = (energy[:, :3, None] + energy[:, None, 3:]) ** 2 - ((p[:, :3, None] + p[:, None, 3:]) ** 2).sum(axis=-1)
    mass = np.sqrt(np.maximum(square, 0.0))
    ways = [np.stack([mass[:, k, plus] for k, plus in enumerate(order)]) for order in permutations(range(3))]
    return np.asarray(np.min([np.ptp(way, axis=0) for way in ways], axis=0))


def _record(name: str, tracks: str, approximations: str) -> Background:
    numbers = load_numbers("backgrounds")
    return Background(name=name, generate=partial(generate_hadron_tracks, tracks), cross_section=numbers[f"{name}_cross_section"],
                      relative_uncertainty=numbers[f"{name}_uncertainty"], approximations=approximations)  # fmt: skip


SIX_TRACKS = (
    _record("hadrons_six", "six", "Pythia's default tune; few events, turned and copied"),
    _record("hadrons_pairs", "four", "Pythia's default tune; few events, turned and copied; what recoils is not seen"),
    FOUR_MUONS,
    MUMUTAUTAU,
)
