"""Decays of taus that some process has made: taus in, prongs, photons and neutrinos out, spins correlated if wanted.

Use :func:`decay_taus` on any events with slots ``tau-`` and ``tau+`` (or one of them); for e+e- -> tau+ tau- itself use
``tau_pairs.generate_tau_pairs``. Modes are in ``tau_modes``. Included: Michel spectra with lepton masses, currents for one
and two mesons and three pions, flat phase space for the rest, pi0 and eta -> 2 gamma, K0 -> K_S0 or K_L0, K_S0 -> 2 pi,
flights of tau and K_S0. Photons off the daughters: ``radiation.radiate_final(events, key, ("prong_1", "nu_1"))`` on the
result. Not included: pi0 Dalitz decays, the curvature of tau tracks, flights of charged pions and kaons, K_L0 decays.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_TAU
from belle2dark.simulation.decays import tau_spin
from belle2dark.simulation.decays.tau_kernels import MAX_BODIES, decay
from belle2dark.simulation.decays.tau_modes import Alpha, choose, kernel_modes
from belle2dark.simulation.decays.tau_slots import MAX_PHOTONS, PRONGS, Slots, sort_photons, write
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.kinematics import unit
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import BLOCK, seed_block, uniform
from belle2dark.sourced import load_numbers, nearest

PARENTS = MappingProxyType({"none": tau_spin.NONE, "scalar": tau_spin.SCALAR, "pseudoscalar": tau_spin.PSEUDOSCALAR,
                            "vector": tau_spin.VECTOR_PARENT})  # fmt: skip
_STREAM = 0x7461755F64656361  #: decays draw other random numbers than the process with the same key
_ALPHA = Alpha()


def decay_taus(
    events: Events,
    key: int,
    minus: str | tuple[str, ...] = "all",
    plus: str | tuple[str, ...] = "all",
    *,
    parent: str = "none",
    axis_lab: Array | None = None,
    alpha: Alpha = _ALPHA,
    photons: int = 8,
) -> Events:
    """Events with the slots ``tau-`` and ``tau+`` replaced by what they decay to, weights [fb] times branching fractions.

    ``minus`` and ``plus`` are modes, groups or tuples of them (see ``tau_modes``), chosen in proportion to the branching
    fractions. Slots added: charged daughters ``prong_1..3`` (tau-) and ``prong_4..6`` (tau+) with ``species``; all photons
    of an event, old and new, in ``gamma_1..photons`` by falling lab energy (softer ones are dropped); ``neutral_1`` and
    ``neutral_2`` for a K_L0 (or a K_S0 whose pions find no free prong); ``nu_1`` and ``nu_2``, all that tau- and tau+ lose
    to neutrinos, alpha, and a second K_L0 together (not massless). ``vertices_cm`` are the decay points of tau and K_S0.

    ``parent`` correlates the spins: "scalar", "pseudoscalar" or "vector" (unpolarised, or with its spin along +-
    ``axis_lab`` (n, 4), a unit four-vector across the momentum of the pair); "none" leaves both taus unpolarised.
    Raises ``ValueError`` for unknown names and for events without taus or with slots of those names.
    """
    check_request(max(1, len(events)), key)
    sides = [name for name in ("tau-", "tau+") if name in events.momenta_lab]
    _check(events, sides, parent, axis_lab, photons)
    n = len(events)
    chosen = [choose(modes, alpha) for modes in (minus, plus)]
    weights = events.weights.copy()
    for side, fractions in zip(("tau-", "tau+"), chosen, strict=True):
        weights *= fractions.sum() if side in sides else 1.0
    taus, starts = np.zeros((2, n, 4)), np.zeros((2, n, 3))
    for i, side in enumerate(("tau-", "tau+")):
        if side in sides:
            taus[i] = events.momenta_lab[side]
            starts[i] = events.vertices_cm.get(side, 0.0)
    made = tau_spin.BEAMS if axis_lab is not None else PARENTS[parent]
    rows = 2 * PRONGS + 2
    out = Slots(np.zeros((rows, n, 4)), np.zeros((rows, n, 3)), np.zeros((rows, n), np.int32), np.zeros((photons, n, 4)),
                np.zeros((photons, n, 3)), np.zeros((2, n, 4)))  # fmt: skip
    axis = np.zeros((0, 4)) if axis_lab is None else np.ascontiguousarray(axis_lab)
    chances = np.stack([np.cumsum(fractions) / fractions.sum() for fractions in chosen])
    charged = float(load_numbers("tau_decays")["kshort_to_charged"])
    old = _stack_photons(events)
    _kernel(np.uint64(key ^ _STREAM), taus, starts, axis, made, kernel_modes(alpha), chances, charged, old, out)
    return _assemble(events, sides, weights, out)


def _check(events: Events, sides: list[str], parent: str, axis_lab: Array | None, photons: int) -> None:
    if not sides:
        raise ValueError(f"events have no slot 'tau-' or 'tau+', only {', '.join(events.momenta_lab)}")
    if parent not in PARENTS:
        raise ValueError(f"parent = {parent!r}: not known, nearest: {nearest(parent, PARENTS)}; allowed: {', '.join(PARENTS)}")
    if parent != "none" and len(sides) < 2:
        raise ValueError(f"parent = {parent!r}: needs both taus, events have only {sides[0]!r}")
    if axis_lab is not None and (parent != "vector" or axis_lab.shape != (len(events), 4)):
        raise ValueError(f"axis_lab: for parent = 'vector' only, shape ({len(events)}, 4); got {axis_lab.shape}")
    if not 1 <= photons <= MAX_PHOTONS:
        raise ValueError(f"photons = {photons}: number of slots, allowed 1 to {MAX_PHOTONS}")
    taken = [name for name in events.momenta_lab if name.rpartition("_")[0] in ("prong", "neutral", "nu")]
    if taken:
        raise ValueError(f"slot {taken[0]!r}: name needed for the decays of the taus, rename it")


def _stack_photons(events: Events) -> Array:
    """The photons that are already there with their vertices, (k, n, 7)."""
    old = np.zeros((len(events.photons), len(events), 7))
    for slot, name in enumerate(events.photons):
        old[slot, :, :4] = events.momenta_lab[name]
        old[slot, :, 4:] = events.vertices_cm.get(name, 0.0)
    return old


def hardest_photons(events: Events, photons: int) -> Events:
    """The events with their ``photons`` most energetic photons, hardest in the lab first; the others are dropped."""
    old = _stack_photons(events)
    order = np.argsort(-old[:, :, 0], axis=0, kind="stable")[:photons]
    old = np.take_along_axis(old, order[:, :, None], axis=0)
    momenta = {name: p for name, p in events.momenta_lab.items() if name not in events.photons}
    vertices = {name: v for name, v in events.vertices_cm.items() if name not in events.photons}
    for i, photon in enumerate(old):
        momenta[f"gamma_{i + 1}"], vertices[f"gamma_{i + 1}"] = photon[:, :4].copy(), photon[:, 4:].copy()
    return replace(events, momenta_lab=momenta, vertices_cm=vertices)


def _assemble(events: Events, sides: list[str], weights: Array, out: Slots) -> Events:
    """The new events: untouched slots first, then prongs, photons, neutral kaons and neutrinos."""
    gone = {*events.photons, *sides}
    momenta = {name: p for name, p in events.momenta_lab.items() if name not in gone}
    vertices = {name: v for name, v in events.vertices_cm.items() if name not in gone}
    species = {name: s for name, s in events.species.items() if name not in gone}
    of_side = {side: [*range(i * PRONGS, (i + 1) * PRONGS), 2 * PRONGS + i] for i, side in enumerate(("tau-", "tau+"))}
    names = [*(f"prong_{i + 1}" for i in range(2 * PRONGS)), "neutral_1", "neutral_2"]
    for row in sorted(row for side in sides for row in of_side[side]):
        momenta[names[row]], vertices[names[row]], species[names[row]] = out.momenta[row], out.vertices[row], out.codes[row]
    for i in range(len(out.photons)):
        momenta[f"gamma_{i + 1}"], vertices[f"gamma_{i + 1}"] = out.photons[i], out.photon_vertices[i]
    for i, side in enumerate(("tau-", "tau+")):
        if side in sides:
            momenta[f"nu_{i + 1}"] = out.neutrinos[i]
    return Events(momenta_lab=momenta, weights=weights, vertices_cm=vertices, species=species)


@jit(parallel=True)
def _kernel(key, taus, starts, axis, made, modes, chances, charged, old, out):
    n = taus.shape[1]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, taus, starts, axis, made, modes, chances, charged, old, out)


@jit()
def _block(key, block, taus, starts, axis, made, modes, chances, charged, old, out):
    s0, s1 = seed_block(key, block)
    bodies, h, work = np.zeros((2, MAX_BODIES, 4)), np.zeros((2, 3)), np.zeros(MAX_BODIES)
    found, choice = np.zeros((MAX_PHOTONS + 1, 7)), np.zeros(2, dtype=np.int64)
    for i in range(block * BLOCK, min(taus.shape[1], (block + 1) * BLOCK)):
        for side in range(2):
            s0, s1, u = uniform(s0, s1)
            choice[side] = np.searchsorted(chances[side], u, side="right")
            s0, s1, h[side, 0], h[side, 1], h[side, 2] = decay(s0, s1, choice[side], modes, bodies[side], work)
            if side == 1:
                for b in range(modes.bodies[choice[1]]):
                    for c in range(1, 4):
                        bodies[1, b, c] = -bodies[1, b, c]
        if made != tau_spin.NONE:
            s0, s1, u = uniform(s0, s1)
            a = (axis[i, 0], axis[i, 1], axis[i, 2], axis[i, 3]) if made == tau_spin.BEAMS else (0.0, 0.0, 0.0, 0.0)
            first, second = _row(taus, 0, i), _row(taus, 1, i)
            c = tau_spin.pair_correlation(made, (h[0, 0], h[0, 1], h[0, 2]), (h[1, 0], h[1, 1], h[1, 2]), first, second, a, M_TAU)
            if 2.0 * u > 1.0 + c:
                _turn(h[0], bodies[0], modes.bodies[choice[0]])
        count = 0
        for side in range(2):
            tau = _row(taus, side, i)
            if tau[0] > 0.0:
                m = choice[side]
                s0, s1, count = write(
                    s0, s1, side, i, tau, starts, bodies[side], modes.codes[m], modes.bodies[m], charged, found, count, out,
                )  # fmt: skip
        for slot in range(len(old)):
            if old[slot, i, 0] > 0.0 and count < MAX_PHOTONS:
                found[count, :] = old[slot, i, :]
                count += 1
        sort_photons(found, count, out, i)


@jit(inline=True)
def _row(table, side, i):
    return table[side, i, 0], table[side, i, 1], table[side, i, 2], table[side, i, 3]


@jit()
def _turn(h, bodies, n):
    """Turn a decay by 180 degrees about an axis across h, so that h becomes -h.

    A decay of an unpolarised tau looks the same from everywhere: where a pair weight 1 + c would reject the decay, the
    turned one has the weight 1 - c. Keeping it instead gives exactly the density 1 + c, and no event is thrown away.
    """
    # any axis across h will do if -h gives the same one
    if abs(h[0]) < abs(h[1]):
        ax, ay, az = unit(0.0, -h[2], h[1])
    else:
        ax, ay, az = unit(h[2], 0.0, -h[0])
    for b in range(n):
        f = 2.0 * (ax * bodies[b, 1] + ay * bodies[b, 2] + az * bodies[b, 3])
        bodies[b, 1], bodies[b, 2], bodies[b, 3] = f * ax - bodies[b, 1], f * ay - bodies[b, 2], f * az - bodies[b, 3]
