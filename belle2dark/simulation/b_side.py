"""Decays of one B meson of a pair, the other being reconstructed as a tag: a shipped weighted list for searches with a tag.

The list holds decays of B+ and B0 that can look like a kaon, a K*0, a proton, a Lambda or a Lambda_c and little else at
Belle II, Belle or BaBar: tracks, photons and neutral hadrons that could be seen at any of them, in the centre of mass, so
that one list serves all beams. It was made with Pythia 8 by :mod:`belle2dark.produce.b_side`; reading it needs only numpy.

Not in it: detector effects, beam-energy spread, decays with more than five charged particles, mixing, what the tag leaves
behind. Pythia's tables of B decays are not fitted to the rare corner that is left here (``choice``: a factor of about 2).
"""

from __future__ import annotations

import io
import json
from functools import cache

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_B0, M_BPLUS, M_ELECTRON, M_KAON, M_KSHORT, M_MUON, M_NEUTRON, M_PION, M_PROTON
from belle2dark.simulation.beams import Beams, to_lab
from belle2dark.simulation.decays.mesons import TAG
from belle2dark.simulation.events import Array, Codes, Events
from belle2dark.sourced import data_file, load_numbers, nearest

#: what a decay may look like: what the list was thinned for
CANDIDATES = ("kaon", "kstar", "proton", "lambda", "lambda_c")
#: steps of the stored integers: momenta [GeV], points [cm], cosine and azimuth (in units of pi) of the B
MOMENTUM_STEP, VERTEX_STEP, ANGLE_STEP = 2e-4, 5e-3, 1.0 / 32000
#: most particles of a kind per decay
MAX_TRACKS, MAX_PHOTONS, MAX_NEUTRALS = 5, 8, 3
CHARGES = ("charged", "neutral")
_MASS = {11: M_ELECTRON, 13: M_MUON, 22: 0.0, 211: M_PION, 321: M_KAON, 2212: M_PROTON, 130: M_KSHORT, 2112: M_NEUTRON}
_SLOTS = ("prong", "gamma", "neutral")


@cache
def _read() -> dict[str, NDArray]:
    with np.load(io.BytesIO(data_file("b_side.npz").read_bytes())) as arrays:
        return {column: arrays[column] for column in arrays.files}


def generated() -> int:
    """Decays of each charge that the list was made from."""
    return int(json.loads(str(_read()["about"]))["generated"])


def load_b_side(beams: Beams, charge: str) -> Events:
    """The decays of "charged" or "neutral" B mesons in the lab of ``beams``, weights in fb adding up to a part of 2 sigma f.

    The sum over all decays would be the cross-section of B mesons of that charge, 2 sigma(B Bbar) f, before any tag. Slots
    ``prong_1`` ... (charged, hardest in the centre of mass first), ``gamma_1`` ... and ``neutral_1`` ... (K_L or neutron),
    the first and the last with ``species``; ``x_2`` is the tag, the momentum of the other B. Production points of tracks
    are from the collision. Momenta are rounded to 0.2 MeV and points to 50 um. Raises ``ValueError`` for another charge.
    """
    if charge not in CHARGES:
        raise ValueError(f"charge {charge!r}: not one of {', '.join(CHARGES)}; nearest: {nearest(charge, CHARGES)}")
    arrays = _read()
    chosen = arrays["charged"] == (charge == "charged")
    counts, n = arrays["counts"].astype(np.int64), int(chosen.sum())
    per_event = counts.sum(axis=1)
    event = np.repeat(np.arange(len(counts)), per_event)
    place = np.arange(len(event)) - np.repeat(np.cumsum(per_event) - per_event, per_event)
    momenta, points = to_lab(_four_momenta(arrays), beams), np.zeros((len(event), 3))
    points[place < counts[event, 0]] = to_lab(arrays["vertices"] * VERTEX_STEP, beams)[:, 1:]
    slots: dict[str, Array] = {}
    codes: dict[str, Codes] = {}
    vertices: dict[str, Array] = {}
    before, at = np.zeros(len(counts), dtype=np.int64), np.cumsum(chosen) - 1
    for kind, slot in enumerate(_SLOTS):
        for k in range(int(counts[chosen, kind].max(initial=0))):
            rows = np.flatnonzero((place == before[event] + k) & (k < counts[event, kind]) & chosen[event])
            where, label = at[event[rows]], f"{slot}_{k + 1}"
            slots[label] = np.zeros((n, 4))
            slots[label][where] = momenta[rows]
            if slot == "prong":
                vertices[label] = np.zeros((n, 3))
                vertices[label][where] = points[rows]
            if slot != "gamma":
                codes[label] = np.zeros(n, dtype=np.int32)
                codes[label][where] = arrays["pdg"][rows]
        before += counts[:, kind]
    slots[TAG] = _tags(arrays["direction"][chosen], beams, charge)
    numbers = load_numbers("mesons")
    rate = 2.0 * float(numbers["bb_cross_section"]) * float(numbers[f"{charge}_b_fraction"]) / generated()
    weights = rate / arrays["share"][chosen].astype(np.float64)
    return Events(momenta_lab=slots, weights=weights, vertices_cm=vertices, species=codes)


def _four_momenta(arrays: dict[str, NDArray]) -> Array:
    """Four-momenta (m, 4) [GeV] of all particles in the centre of mass."""
    p = arrays["momenta"] * MOMENTUM_STEP
    mass = np.array([_MASS[code] for code in np.abs(arrays["pdg"]).tolist()])
    return np.column_stack([np.sqrt(mass**2 + (p**2).sum(axis=1)), p])


def _tags(direction: NDArray, beams: Beams, charge: str) -> Array:
    """Four-momenta (n, 4) [GeV] of the other B in the lab, opposite to the B whose ``direction`` is stored."""
    cosine, phi = direction[:, 0] * ANGLE_STEP, direction[:, 1] * ANGLE_STEP * np.pi
    m, energy = (M_BPLUS if charge == "charged" else M_B0), 0.5 * beams.sqrt_s
    sine, size = np.sqrt(1.0 - cosine**2), np.sqrt(energy**2 - m**2)
    cms = np.stack([np.full(len(cosine), energy), -size * sine * np.cos(phi), -size * sine * np.sin(phi), -size * cosine], axis=1)
    return to_lab(cms, beams)
