"""Lepton pairs from virtual photons: a real photon of any sample replaced by l+ l-, and pi0 -> e+ e- gamma.

:func:`inner_pair` turns a radiated photon into a pair of a mass (tau+ tau- e+ e-, wide-angle e+ e- l+ l-): the process without
the pair times the probability that the photon splits. Right in the leading order of mass over energy of the photon, that is to
some 10 % for electron pairs below 0.3 GeV and to a factor of two when mass and energy are alike; it knows neither exchange of
identical leptons nor pairs off other lines, so use :mod:`.four_leptons` and :mod:`.two_photon` where they have the process.
:func:`dalitz_pair` replaces one pi0 (two photons of its mass); for pairs made in material see :func:`.displaced.convert`.

Not included: form factor of the pi0 (1 % of the rate), double decays, eta -> l+ l- gamma.

Source: Kroll and Wada, Phys. Rev. 98 (1955) 1355.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, count

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_PION0
from belle2dark.simulation.decays.chain import decay_two_body, uniforms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import nearest

Mask = NDArray[np.bool_]
_MASSES = {"e": M_ELECTRON, "mu": M_MUON}
_RATE = ALPHA["thomson"] / (3.0 * math.pi)
#: two photons this near to the mass of a pi0 [GeV] are one: rounding of stored lists
_NEAR = 1e-3
#: alignment of a pair with a transverse photon, 1 + cos^2, as ``decay_two_body`` takes it
_TRANSVERSE = 0.25


def inner_pair(events: Events, slot: str, key: int, lepton: str, low: float, high: float) -> Events:
    """The events with the photon of ``slot`` as a pair of "e" or "mu" with a mass between ``low`` and ``high`` [GeV].

    The last slots hold the pair, "e-_1" and "e+_1" or the next free number; weights [fb] are multiplied with the probability,
    0 without a photon or without room for the mass. Energy and momentum are conserved: what recoils against the photon keeps
    its mass and direction. Raises ``ValueError`` for an unknown slot or lepton and an empty range.
    """
    n, mass = len(events), _mass(lepton)
    check_request(max(1, n), key)
    if slot not in events.photons:
        raise ValueError(f"slot = {slot!r}: not a photon of these events; nearest: {nearest(slot, events.photons)}")
    if not 2.0 * mass <= low < high:
        raise ValueError(f"low = {low}, high = {high} GeV: need {2.0 * mass:.4g} <= low < high")
    photon = events.momenta_lab[slot]
    others = [name for name in events.momenta_lab if name != slot]
    rest = np.sum([events.momenta_lab[name] for name in others], axis=0)
    total, inside = rest + photon, photon[:, 0] > 0.0
    whole, recoil = _root(total), _root(rest)
    q = low * (high / low) ** uniforms(n, make_key(key, "pair mass"))
    inside &= whole > (recoil + q) * (1.0 + 1e-9)
    q = np.where(inside, q, low)
    weight = 2.0 * math.log(high / low) * _RATE * (1.0 + 2.0 * (mass / q) ** 2) * np.sqrt(1.0 - (2.0 * mass / q) ** 2)
    fraction, virtual, new_rest = _recoil(photon, total, whole, recoil, q, inside)
    first, second = decay_two_body(virtual, mass, mass, make_key(key, "pair"), alignment=_TRANSVERSE, about=total)
    momenta = {name: _moved(events.momenta_lab[name], rest, new_rest, recoil, inside) for name in others}
    chance = np.where(inside, weight * fraction, 0.0)
    made = replace(events, momenta_lab=momenta | {slot: np.zeros((n, 4))}, weights=events.weights * chance)
    return _with_pair(made, lepton, np.where(inside[:, None], first, 0.0), np.where(inside[:, None], second, 0.0),
                      events.vertices_cm.get(slot))  # fmt: skip


def _recoil(photon: Array, total: Array, whole: Array, recoil: Array, q: Array, inside: Mask) -> tuple[Array, Array, Array]:
    """Two bodies of masses ``q`` and ``recoil`` instead of 0 and ``recoil``, in the same direction in the rest frame of
    ``total``: (momentum over the old one, virtual photon, what recoils)."""
    seen = _boosted(photon, total, whole)
    old = np.sqrt((seen[:, 1:] ** 2).sum(axis=1))
    square = (whole**2 - (recoil + q) ** 2) * (whole**2 - (recoil - q) ** 2)
    new = np.sqrt(np.where(inside, square, 0.0)) / (2.0 * whole)
    fraction = new / np.maximum(old, 1e-12)
    back = total * np.array([1.0, -1.0, -1.0, -1.0])
    virtual = np.column_stack([np.sqrt(new**2 + q**2), seen[:, 1:] * fraction[:, None]])
    virtual = _boosted(virtual, back, whole)
    return fraction, virtual, total - virtual


def dalitz_pair(events: Events, key: int, low: float) -> Events:
    """The events with one pi0 (two photons of its mass) as e+ e- gamma with M(ee) above ``low`` [GeV].

    Weights [fb] are multiplied with the number of pi0 and the probability for each, 0 without one. Slots as in
    :func:`inner_pair`; one photon keeps its slot, the other's is empty. Raises ``ValueError`` for a ``low`` out of range.
    """
    n = len(events)
    check_request(max(1, n), key)
    if not 2.0 * M_ELECTRON <= low < M_PION0:
        raise ValueError(f"low = {low} GeV: allowed {2.0 * M_ELECTRON:.4g} to {M_PION0:.4g} GeV")
    pion, which, number = _one_pion(events, key)
    q = low * (M_PION0 / low) ** uniforms(n, make_key(key, "pair mass"))
    ratio = (2.0 * M_ELECTRON / q) ** 2
    weight = 4.0 * _RATE * math.log(M_PION0 / low) * (1.0 - (q / M_PION0) ** 2) ** 3 * (1.0 + 0.5 * ratio) * np.sqrt(1.0 - ratio)
    some = number > 0
    parent = np.where(some[:, None], pion, np.array([M_PION0, 0.0, 0.0, 0.0]))
    photon, virtual = decay_two_body(parent, 0.0, np.minimum(q, _root(parent) * (1.0 - 1e-9)), make_key(key, "pi0"))
    first, second = decay_two_body(virtual, M_ELECTRON, M_ELECTRON, make_key(key, "pair"), alignment=_TRANSVERSE, about=parent)
    momenta, start = dict(events.momenta_lab), np.zeros((n, 3))
    for j, name in enumerate(events.photons):
        kept, gone = which[:, 0] == j, which[:, 1] == j
        momenta[name] = np.where(kept[:, None], photon, np.where(gone[:, None], 0.0, momenta[name]))
        start = np.where(gone[:, None], events.vertices_cm.get(name, 0.0), start)
    made = replace(events, momenta_lab=momenta, weights=events.weights * np.where(some, number * weight, 0.0))
    return _with_pair(made, "e", np.where(some[:, None], first, 0.0), np.where(some[:, None], second, 0.0), start)


def _one_pion(events: Events, key: int) -> tuple[Array, NDArray[np.int_], NDArray[np.int_]]:
    """One pi0 of each event at random: (its momentum (n, 4), its two photons (n, 2), how many pi0 there are)."""
    n, chosen = len(events), uniforms(len(events), make_key(key, "which"))
    photons = np.stack([events.momenta_lab[name] for name in events.photons])
    number, free, found = np.zeros(n, dtype=int), photons[:, :, 0] > 0.0, []
    for i, j in combinations(range(len(photons)), 2):
        rows = np.flatnonzero(free[i] & free[j])
        rows = rows[np.abs(_root(photons[i, rows] + photons[j, rows]) - M_PION0) < _NEAR]
        free[i, rows] = free[j, rows] = False
        found.append((i, j, rows, number[rows]))
        number[rows] += 1
    pion, which, wanted = np.zeros((n, 4)), np.full((n, 2), -1), np.floor(chosen * number)
    for i, j, rows, rank in found:
        rows = rows[rank == wanted[rows]]
        pion[rows], which[rows] = photons[i, rows] + photons[j, rows], (i, j)
    return pion, which, number


def _with_pair(events: Events, lepton: str, first: Array, second: Array, start: Array | None) -> Events:
    number = next(k for k in count(1) if not {f"{lepton}-_{k}", f"{lepton}+_{k}"} & set(events.momenta_lab))
    names = (f"{lepton}-_{number}", f"{lepton}+_{number}")
    vertices = {} if start is None else dict.fromkeys(names, np.asarray(start))
    return replace(events, momenta_lab={**events.momenta_lab, names[0]: first, names[1]: second},
                   vertices_cm={**events.vertices_cm, **vertices})  # fmt: skip


def _mass(lepton: str) -> float:
    if lepton not in _MASSES:
        raise ValueError(f"lepton = {lepton!r}: must be one of {', '.join(_MASSES)}; nearest: {nearest(lepton, _MASSES)}")
    return _MASSES[lepton]


def _root(p: Array) -> Array:
    return np.sqrt(np.maximum(p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1), 0.0))


def _boosted(p: Array, frame: Array, mass: Array) -> Array:
    """Momenta ``p`` (n, 4) as seen at rest of ``frame`` (n, 4) of ``mass`` (n,)."""
    energy = (p[:, 0] * frame[:, 0] - (p[:, 1:] * frame[:, 1:]).sum(axis=1)) / mass
    factor = (p[:, 0] + energy) / (frame[:, 0] + mass)
    return np.column_stack([energy, p[:, 1:] - factor[:, None] * frame[:, 1:]])


def _moved(p: Array, old: Array, new: Array, mass: Array, inside: Mask) -> Array:
    """Momenta ``p`` of a system boosted from ``old`` to ``new`` (both of ``mass``), where ``inside``."""
    some = inside & (p[:, 0] > 0.0)
    at_rest = _boosted(p[some], old[some], mass[some])
    out = p.copy()
    out[some] = _boosted(at_rest, new[some] * np.array([1.0, -1.0, -1.0, -1.0]), mass[some])
    return out
