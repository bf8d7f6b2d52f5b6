"""Three pairs of one mass: six tracks and nothing missing, or four leptons and a third pair that is what recoils against them.

Tracks are (-, +) three times, first the pair beside the h', then those of the h'. Every way to make pairs of the tracks, to
call them ee, mumu or pipi and to say which pair stands beside the h' is an entry, once each (the sum of weights counts all of
them), if the masses are equal within :data:`LOOSE`. A track is an electron, a muon or, if neither and no kaon, a pion. A pair
of leptons has an identified one and another that is not identified as something else; where there are two pion pairs, or only
four tracks, both are identified. Four leptons count whatever else is seen, unless all tracks make three pairs: no event is in
both classes by the same tracks. A pair that is not seen has two zeros for tracks.

Not included: a fit to the beams, a common vertex, recovery of photons off electrons, events with more than six tracks.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import numba
import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON, M_MUON, M_PION
from belle2dark.detector.exclusive import ANY, Wanted
from belle2dark.detector.experiments import Detector
from belle2dark.detector.observed import Observed, observe
from belle2dark.detector.particle_id import index
from belle2dark.detector.response import EVERY_ASSIGNMENT, Reconstruction
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, square
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import BLOCK, make_key

#: kinds of pairs; a code counts them in base 4, first pair first, with MISSING for the one that is not seen
PAIRS = ("ee", "mumu", "pipi")
MISSING = 3
_MASSES = (M_ELECTRON, M_MUON, M_PION)
#: the ten ways to make three pairs of them, ordered by kind, and last four leptons with something else
MODES = (*combinations_with_replacement(PAIRS, 3), ("lepton pair", "lepton pair", "anything"))
INCLUSIVE = len(MODES) - 1
#: loose pre-selection [GeV]: largest difference of pair masses, energy missing of six tracks; mean mass of four leptons,
#: difference of their pairs, and of the recoil mass to their mean
LOOSE = (0.12, 1.2, 0.9, 0.12, 0.6)
#: how much more often ways with 0 to 3 pairs of leptons, and with four leptons, are drawn for events with fewer than two
#: leptons, whose weights make up for it: statistics where hadrons are taken for leptons, not physics
_FAVOUR = np.array([1.0, 60.0, 30.0, 200.0, 1e4])
_ELSE = 1e-3  # where there is no way at all: a mass that no search looks at [GeV]
MEANINGS = {
    "m_aprime": (r"M_{A'}", "GeV"),
    "m_hprime": (r"M_{h'}", "GeV"),
    "mass_spread": (r"\Delta M_{A'}", "GeV"),
    "m_total": (r"M_\mathrm{total}", "GeV"),
    "recoil_difference": (r"M_\mathrm{recoil} - M_{A'}", "GeV"),
    "mode": (r"\mathrm{mode}", ""),
    "pt_min_lab": (r"\min p_T", "GeV"),
}


def kinds_of(code: NDArray[np.int8]) -> NDArray[np.int64]:
    """Kinds of the three pairs (n, 3) behind codes (n,)."""
    c = np.asarray(code, dtype=np.int64)
    return np.stack([c // 16, c // 4 % 4, c % 4], axis=1)


def _mode_table() -> NDArray[np.int64]:
    """Number in :data:`MODES` of every code, -1 for one that cannot be."""
    table = np.full(64, -1)
    for code in range(64):
        kinds = (code // 16, code // 4 % 4, code % 4)
        if MISSING not in kinds:
            table[code] = MODES.index(tuple(PAIRS[k] for k in sorted(kinds)))
        elif kinds.count(MISSING) == 1:
            table[code] = INCLUSIVE
    return table


_MODE = _mode_table()


def columns(tracks: Array, _photons: Array, detector: Detector, code: NDArray[np.int8]) -> dict[str, Array]:
    """The quantities :data:`MEANINGS` of tracks ``(n, 6, 3)`` [GeV] in pairs of the kinds of ``code`` ``(n,)``; -1: no way."""
    kinds, none = kinds_of(np.maximum(code, 0)), np.asarray(code) < 0
    mass = np.array([*_MASSES, 0.0])[kinds].repeat(2, axis=1)
    energy = np.sqrt((tracks**2).sum(axis=-1) + mass**2)
    each = np.concatenate([energy[..., None], tracks], axis=-1)
    pairs = each[:, 0::2] + each[:, 1::2]
    missing = kinds == MISSING
    total = pairs.sum(axis=1)
    recoil = detector.beams.nominal - total
    pairs = np.where(missing[..., None], recoil[:, None], pairs)
    squares = square(pairs)
    masses = np.sign(squares) * np.sqrt(np.abs(squares))
    seen = np.where(missing, np.nan, masses)
    mean = np.nanmean(seen, axis=1)
    pt = np.hypot(tracks[..., 0], tracks[..., 1])
    out = {
        "m_aprime": mean,
        "m_hprime": np.sqrt(np.maximum(square(pairs[:, 1] + pairs[:, 2]), 0.0)),
        "mass_spread": np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1),
        "m_total": np.sqrt(np.maximum(square(total), 0.0)),
        "recoil_difference": np.where(missing.any(axis=1), np.where(missing, masses, 0.0).sum(axis=1) - mean, 0.0),
        "pt_min_lab": np.where(pt > 0.0, pt, np.inf).min(axis=1, initial=99.0),
        "mode": _MODE[np.maximum(code, 0)].astype(float),
    }
    return {name: np.where(none, -1.0 if name == "mode" else _ELSE, values) for name, values in out.items()}


def _classes(observed: Observed, columns_: NDArray[np.intp]) -> Array:
    """Probabilities (n, 6, 3) to be taken for an electron, a muon or a pion, which exclude each other."""
    rows = np.arange(len(observed))[:, None]
    electron, muon, pion = (observed.identified[(rows, columns_, *index(name))] for name in ("electron", "muon", "pion"))
    return np.stack([electron, (1.0 - electron) * muon, (1.0 - electron) * (1.0 - muon) * pion], axis=-1)


def reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    """The events as three pairs, one row each; of the ways of an event one is drawn and stands for all."""
    observed = observe(events, detector, key)
    n, tracks = len(observed), observed.tracks
    possible = (tracks.efficiency > 0.0) & (tracks.charge != 0)
    slots, found = [], []
    for sign in (-1, 1):  # three slots of each charge, those that can be tracks first
        here = possible & (tracks.charge == sign)
        order = np.argsort(~here, axis=1, kind="stable")[:, :3]
        slots.append(order)
        found.append(np.where(np.take_along_axis(here, order, axis=1), np.take_along_axis(tracks.efficiency, order, axis=1), 0.0))
        found[-1][here.sum(axis=1) > 3] = 0.0
    places, probabilities = np.concatenate(slots, axis=1), np.ascontiguousarray(np.concatenate(found, axis=1))
    momenta = np.ascontiguousarray(tracks.momenta_lab[np.arange(n)[:, None], places])
    dice = np.random.default_rng(make_key(key, "way")).random(n)
    total, drawn, way = np.zeros(n), np.ones((n, 3)), np.full((n, 7), -1, dtype=np.int64)
    hadronic = np.isin(np.abs(observed.pdg), (11, 13)).sum(axis=1) < 2
    _ways(momenta, probabilities, _classes(observed, places), np.array(_MASSES), detector.beams.nominal, np.array(LOOSE),
          np.where(hadronic[:, None], _FAVOUR, 1.0), dice, total, drawn, way)  # fmt: skip
    there = np.maximum(way[:, :6], 0)
    chosen = np.where((way[:, :6] >= 0)[..., None], np.take_along_axis(momenta, there[..., None], axis=1), 0.0)
    code = way[:, 6].astype(np.int8)
    enough = ((probabilities[:, :3] > 0).sum(axis=1) >= 2) & ((probabilities[:, 3:] > 0).sum(axis=1) >= 2)
    factors = {
        "four tracks": enough.astype(float),
        "tracking": drawn[:, 0],
        "identification": drawn[:, 1],
        EVERY_ASSIGNMENT: np.divide(total, drawn.prod(axis=1), out=np.zeros(n), where=total > 0.0),
    }
    nothing = np.zeros((n, 0, 4))
    return Reconstruction(tracks_lab=chosen, weights=observed.weights, factors=factors, clusters_lab=nothing, alternative=code,
                          columns=columns(chosen, nothing, detector, code))  # fmt: skip


@jit()
def _pair_table(p, q, classes, masses, four, mass, strict, either):
    """Of every (-, +, kind): four-momentum, mass and probability to be identified, strictly and with one lepton that is none."""
    for i in range(3):
        for j in range(3):
            for t in range(3):
                e = 0.0
                for k in (i, 3 + j):
                    e += math.sqrt(masses[t] ** 2 + p[k, 0] ** 2 + p[k, 1] ** 2 + p[k, 2] ** 2)
                four[i, j, t, 0] = e
                for c in range(3):
                    four[i, j, t, 1 + c] = p[i, c] + p[3 + j, c]
                mass[i, j, t] = math.sqrt(max(_square(four[i, j, t], q), 0.0))
                a, b = classes[i, t], classes[3 + j, t]
                strict[i, j, t] = a * b
                either[i, j, t] = a * b if t == 2 else a * b + a * classes[3 + j, 2] + classes[i, 2] * b


@jit(inline=True)
def _square(p, q):
    """Squared mass of p - q."""
    e, x, y, z = p[0] - q[0], p[1] - q[1], p[2] - q[2], p[3] - q[3]
    return e * e - x * x - y * y - z * z


@jit()
def _note(way, a, b, c, d, e, f, code):
    way[0], way[1], way[2], way[3], way[4], way[5], way[6] = a, b, c, d, e, f, code


@jit()
def _six(found, four, mass, strict, either, beams, loose, favour, target, way, drawn):
    """Sum of the probabilities, times what favours them, of all ways to three pairs.

    Stops at the one where the sum passes ``target`` and notes it, with the probabilities to be found and identified and the
    favour.
    """
    total, all_found = 0.0, 1.0
    for k in range(6):
        all_found *= found[k]
    if all_found <= 0.0:
        return total
    s, least = _square(beams, np.zeros(4)), math.sqrt(_square(beams, np.zeros(4))) - loose[1]
    for f in range(3):
        for g in range(3):
            if f == g or s <= 0.0:
                continue
            h = 3 - f - g
            for code in range(27):
                t, u, v = code // 9, code // 3 % 3, code % 3
                x, y, z = mass[0, f, t], mass[1, g, u], mass[2, h, v]
                if max(x, y, z) - min(x, y, z) > loose[0]:
                    continue
                if (t == 2) + (u == 2) + (v == 2) > 1:  # a single pair of leptons, many hadrons
                    known = strict[0, f, t] * strict[1, g, u] * strict[2, h, v]
                else:
                    known = either[0, f, t] * either[1, g, u] * either[2, h, v]
                whole = four[0, f, t] + four[1, g, u] + four[2, h, v]
                if known <= 0.0 or _square(whole, np.zeros(4)) < least * least:
                    continue
                much = favour[(1 if t < 2 else 0) + (1 if u < 2 else 0) + (1 if v < 2 else 0)]
                drawn[0], drawn[1], drawn[2] = all_found, known, much
                for first in range(3):  # which pair stands beside the h'
                    total += all_found * known * much
                    if total >= target:
                        b, c = 1 if first == 0 else 0, 1 if first == 2 else 2
                        plus, kind = (f, g, h), (t, u, v)
                        _note(
                            way, first, 3 + plus[first], b, 3 + plus[b], c, 3 + plus[c], 16 * kind[first] + 4 * kind[b] + kind[c]
                        )
                        return total
    return total


@jit()
def _four(found, four, mass, strict, either, beams, loose, favour, target, way, drawn):
    """The same for two pairs of identified leptons and a recoil of their mass, whatever else is seen."""
    total = 0.0
    for left_minus in range(3):
        for left_plus in range(3):
            a, b = (1 if left_minus == 0 else 0), (1 if left_minus == 2 else 2)
            c, d = (1 if left_plus == 0 else 0), (1 if left_plus == 2 else 2)
            seen = found[a] * found[b] * found[3 + c] * found[3 + d]
            if seen <= 0.0:
                continue
            rest = either[left_minus, left_plus, 0] + either[left_minus, left_plus, 1] + either[left_minus, left_plus, 2]
            # three pairs are another class
            seen *= 1.0 - found[left_minus] * found[3 + left_plus] * min(rest, 1.0)
            for code in range(8):
                i, j, t, u = (c if code < 4 else d), (d if code < 4 else c), code // 2 % 2, code % 2
                known = strict[a, i, t] * strict[b, j, u]
                mean = 0.5 * (mass[a, i, t] + mass[b, j, u])
                if known <= 0.0 or mean < loose[2] or abs(mass[a, i, t] - mass[b, j, u]) > loose[3]:
                    continue
                recoil = _square(beams, four[a, i, t] + four[b, j, u])
                if recoil <= 0.0 or abs(math.sqrt(recoil) - mean) > loose[4]:
                    continue
                drawn[0], drawn[1], drawn[2] = seen, known, favour[4]
                for first in range(3):
                    total += seen * known * favour[4]
                    if total >= target:
                        if first == 0:  # the recoil stands beside the h'
                            _note(way, -1, -1, a, 3 + i, b, 3 + j, 48 + 4 * t + u)
                        elif first == 1:
                            _note(way, a, 3 + i, b, 3 + j, -1, -1, 16 * t + 4 * u + 3)
                        else:
                            _note(way, b, 3 + j, a, 3 + i, -1, -1, 16 * u + 4 * t + 3)
                        return total
    return total


@jit(parallel=True)
def _ways(momenta, found, classes, masses, beams, loose, favour, dice, total, drawn, way):
    n = len(dice)
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        zero, four, mass = np.zeros(4), np.empty((3, 3, 3, 4)), np.empty((3, 3, 3))
        strict, either = np.empty((3, 3, 3)), np.empty((3, 3, 3))
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            if (found[i] > 0.0).sum() < 4:
                continue
            _pair_table(momenta[i], zero, classes[i], masses, four, mass, strict, either)
            six = _six(found[i], four, mass, strict, either, beams, loose, favour[i], np.inf, way[i], drawn[i])
            total[i] = six + _four(found[i], four, mass, strict, either, beams, loose, favour[i], np.inf, way[i], drawn[i])
            target = dice[i] * total[i]
            beyond = (target - six) * (1.0 - 1e-12)
            if total[i] <= 0.0:
                drawn[i] = 1.0
            elif target <= six and six > 0.0:
                _six(found[i], four, mass, strict, either, beams, loose, favour[i], target, way[i], drawn[i])
            else:
                _four(found[i], four, mass, strict, either, beams, loose, favour[i], beyond, way[i], drawn[i])


def _equal(c: Columns, _detector: Detector) -> Mask:
    """Where searches look: nearly equal masses, nothing or one of them missing."""
    return np.asarray((c["mass_spread"] < 0.05 + 0.02 * c["m_aprime"]) & (np.abs(c["recoil_difference"]) < 0.4))


def _leptonic(c: Columns, detector: Detector) -> Mask:
    """Six tracks with a pair of leptons: pions alone are many times as frequent."""
    return np.asarray(_equal(c, detector) & (c["mode"] != MODES.index(("pipi",) * 3)) & (c["mode"] != INCLUSIVE))


STATE = FinalState(
    name="six_tracks",
    title="three pairs of equal mass",
    wanted=Wanted(hypotheses=(ANY,) * 6, charges=(-1, 1) * 3, neutrals=True),
    columns=columns,
    meanings=MEANINGS,
    loose=lambda c, _detector: c["mode"] >= 0.0,
    axes=(Axis(column="m_hprime", low=0.0, high=None, bins=20), Axis(column="m_aprime", low=0.0, high=3.5, bins=14, power=0.5)),
    dense=_equal,
    rare=_leptonic,
    fast=reconstruct,
    flags=True,
)
