"""Which photons, from where: the one page to read before adding radiation to a process.

===================================================  ================================================================
what is needed                                       use
===================================================  ================================================================
a total cross-section with initial-state radiation   :func:`radiated_cross_section` (collinear radiator, quadrature)
a signal whose photons only slow the beams           :func:`.isr.radiator` as a weight, v = u^(1/beta) (as in
                                                     :mod:`.higgsstrahlung`)
photons that are lost, vetoed or carry pT            :func:`.isr.radiate` in the event kernel (angles, any number)
a lepton pair through one photon                     :func:`.pair.radiated_pair` (the former, with running alpha)
photons off the final state, inside a kernel         :func:`.fsr.shower`
photons off the final state of finished events       :func:`radiate_final`, here
===================================================  ================================================================

Nothing is counted twice: the radiator and :func:`.isr.radiate` are two forms of the same correction (never both), final-
state photons never change a rate, and no result depends on the energies below which photons are not made. Interference
of initial and final state, odd in the charge of the leptons, is in neither.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON, M_KAON, M_MUON, M_PION, M_TAU
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.fsr import MAX_FINAL, OTHER, SCALAR, VECTOR, shower
from belle2dark.simulation.isr import beta_isr, radiate, radiator, virtual_factor
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import BLOCK, make_key, seed_block
from belle2dark.sourced import nearest

__all__ = ["beta_isr", "radiate", "radiate_final", "radiated_cross_section", "radiator", "virtual_factor"]

_PARENTS = {"vector": VECTOR, "scalar": SCALAR, "other": OTHER}
#: mass [GeV] and charge of what radiates, by |PDG code|; the sign is that of the positive code
_CHARGED = {11: (M_ELECTRON, -1.0), 13: (M_MUON, -1.0), 15: (M_TAU, -1.0), 211: (M_PION, 1.0), 321: (M_KAON, 1.0)}
_NODES = 200


def radiated_cross_section(born: Callable[[Array], Array], sqrt_s: float, threshold: float) -> float:
    """Cross-section [fb] at ``sqrt_s`` [GeV] with initial-state radiation, from ``born``: s' [GeV^2] -> fb, array to array.

    ``threshold`` is the least sqrt(s') [GeV]; above it ``born`` must be smooth (put narrow resonances in as their own
    process). Raises ``ValueError`` for a threshold outside 0 to ``sqrt_s``.
    Source: Kuraev and Fadin, Sov. J. Nucl. Phys. 41 (1985) 466.
    """
    if not 0.0 < threshold < sqrt_s:
        raise ValueError(f"threshold = {threshold} GeV: must lie between 0 and sqrt_s = {sqrt_s} GeV")
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    node, weight = 0.5 * (node + 1.0), 0.5 * weight
    beta, s = beta_isr(sqrt_s), sqrt_s**2
    least = (threshold / sqrt_s) ** 2
    # v = u^(1/beta) takes out the soft singularity, ln(1 - v) the rise towards small s'
    middle = min(0.5, 1.0 - least)
    v = (middle**beta * node) ** (1.0 / beta)
    total = float(weight @ (radiator(v, sqrt_s) * v ** (1.0 - beta) / beta * born(s * (1.0 - v)))) * middle**beta
    if middle < 1.0 - least:
        length = np.log((1.0 - middle) / least)
        left = least * np.exp(length * node)
        total += float(weight @ (radiator(1.0 - left, sqrt_s) * left * born(s * left))) * float(length)
    return total


def radiate_final(
    events: Events, key: int, system: Sequence[str], *, parent: str = "other", x_min: float = 1e-3, max_photons: int = 2
) -> Events:
    """The events with photons off the charged particles of one decaying system, each four-momentum of it conserved.

    ``system`` names all the slots that the system decayed to (neutrinos included); ``parent`` is "vector" or "scalar" for
    a pair of spin-1/2 particles, "other" for the rest (a charged parent is recognised by the sum of charges). Photons of
    more than ``x_min`` times half the system's mass, in its rest frame, fill the first empty photon slots, of which
    ``max_photons`` are added; more photons than there are slots are not emitted. They start where their emitters do.
    Events without a photon are unchanged bit by bit. Raises ``ValueError`` for an unknown slot or parent, fewer than two
    slots, or cuts out of range.
    """
    check_request(len(events), key)
    for name in system:
        if name not in events.momenta_lab:
            raise ValueError(f"system: no slot {name!r}; nearest: {nearest(name, events.momenta_lab)}")
    if parent not in _PARENTS:
        raise ValueError(f"parent = {parent!r}: must be one of {', '.join(_PARENTS)}")
    if len(set(system)) < 2 or len(set(system)) != len(system):
        raise ValueError(f"system = {tuple(system)}: needs at least two different slots")
    if not (1e-9 < x_min < 0.5 and 1 <= max_photons <= MAX_FINAL):
        raise ValueError(f"x_min = {x_min}, max_photons = {max_photons}: allowed 1e-9 < x_min < 0.5, 1 to {MAX_FINAL} photons")
    momenta = np.stack([events.momenta_lab[name] for name in system], axis=1)
    masses, charges, half = _properties(events, system, momenta)
    photons, weights = np.zeros((len(events), max_photons, 4)), events.weights.copy()
    _kernel(np.uint64(make_key(key, "final-state photons")), momenta, masses, charges, half, _PARENTS[parent], x_min,
            photons, weights)  # fmt: skip
    changed = dict(events.momenta_lab) | {name: momenta[:, j].copy() for j, name in enumerate(system)}
    return _with_photons(replace(events, momenta_lab=changed, weights=weights), system, photons)


def _properties(events: Events, system: Sequence[str], momenta: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Masses [GeV], charges and "spin 1/2" of the system's particles, each (n, slots); empty slots are neutral."""
    codes = np.stack([events.pdg(name) for name in system], axis=1)
    square = momenta[..., 0] ** 2 - (momenta[..., 1:] ** 2).sum(axis=-1)
    masses, charges = np.sqrt(np.maximum(square, 0.0)), np.zeros(codes.shape)
    for code, (mass, charge) in _CHARGED.items():
        here = (np.abs(codes) == code) & (momenta[..., 0] > 0.0)
        masses[here] = mass
        charges[here] = charge * np.sign(codes[here])
    return masses, charges, (np.abs(codes) < 20) & (charges != 0.0)


def _with_photons(events: Events, system: Sequence[str], photons: Array) -> Events:
    """The events with the photons (n, k, 4) in their first empty photon slots; k slots are added."""
    momenta, vertices = dict(events.momenta_lab), dict(events.vertices_cm)
    old = list(events.photons)
    numbers = [int(name.rpartition("_")[2]) for name in old if "_" in name]
    names = old + [f"gamma_{max([*numbers, len(old)], default=0) + 1 + i}" for i in range(photons.shape[1])]
    table = np.zeros((len(events), len(names), 4))
    for j, name in enumerate(old):
        table[:, j] = momenta[name]
    starts = [vertices[name] for name in system if name in vertices]
    rows = np.arange(len(events))
    places = np.zeros((len(events), len(names), 3))
    for j, name in enumerate(old):
        places[:, j] = vertices.get(name, 0.0)
    for j in range(photons.shape[1]):
        # the number of filled slots is the first empty one, as photon slots are filled from the front
        at = (table[..., 0] > 0.0).sum(axis=1)
        made = photons[:, j, 0] > 0.0
        table[rows[made], at[made]] = photons[made, j]
        if starts:
            places[rows[made], at[made]] = starts[0][made]
    for j, name in enumerate(names):
        momenta[name] = table[:, j].copy()
        if starts or name in vertices:
            vertices[name] = places[:, j].copy()
    return replace(events, momenta_lab=momenta, vertices_cm=vertices)


@jit(parallel=True)
def _kernel(key, momenta, masses, charges, half, parent, x_min, photons, weights):
    n = len(weights)
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, momenta, masses, charges, half, parent, x_min, photons, weights)


@jit()
def _block(key, block, momenta, masses, charges, half, parent, x_min, photons, weights):
    s0, s1 = seed_block(key, block)
    work = (np.empty((momenta.shape[1] + 1, 4)), np.empty((MAX_FINAL, 3)))
    for i in range(block * BLOCK, min(len(weights), (block + 1) * BLOCK)):
        s0, s1, _, weight = shower(
            s0, s1, momenta[i], masses[i], charges[i], half[i], parent, x_min, work, photons[i], 0
        )  # fmt: skip
        weights[i] *= weight
