"""Masses of the final states with three or more tracks: all opposite pairs, the total, and what recoils against a pair.

No kinematic fit and no choice of a best pair: every opposite-sign pair is an entry, as the searches count them.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from belle2dark.simulation.beams import Beams
from belle2dark.simulation.events import Array


def four_momenta(tracks_lab: Array, masses: tuple[float, ...]) -> Array:
    """Four-momenta ``(n, k, 4)`` [GeV] of tracks ``(n, k, 3)`` [GeV] with one mass [GeV] per track.

    Raises ``ValueError`` if the numbers of tracks and masses differ.
    """
    if tracks_lab.ndim != 3 or tracks_lab.shape[1] != len(masses):
        raise ValueError(f"masses: {len(masses)} given for tracks of shape {tracks_lab.shape}, expected (n, {len(masses)}, 3)")
    energy = np.sqrt((tracks_lab**2).sum(axis=-1) + np.asarray(masses) ** 2)
    return np.concatenate([energy[..., None], tracks_lab], axis=-1)


def multitrack_columns(tracks_lab: Array, charges: tuple[int, ...], masses: tuple[float, ...], beams: Beams) -> dict[str, Array]:
    """Columns of k tracks ``(n, k, 3)`` [GeV], each ``(n,)``: ``m_total`` and ``recoil_mass_squared`` of all tracks; for each
    pair i, j of opposite ``charges`` (counted from 1) ``m_ij`` [GeV] and ``recoil_mass_squared_ij`` [GeV^2].

    Raises ``ValueError`` if the numbers of tracks, charges and masses differ.
    """
    if len(charges) != len(masses):
        raise ValueError(f"charges: {len(charges)} given for {len(masses)} masses")
    momenta = four_momenta(tracks_lab, masses)
    total = momenta.sum(axis=1)
    out = {"m_total": _mass(total), "recoil_mass_squared": _square(beams.nominal - total)}
    for i, j in combinations(range(len(masses)), 2):
        if charges[i] * charges[j] < 0:
            pair = momenta[:, i] + momenta[:, j]
            out[f"m_{i + 1}{j + 1}"] = _mass(pair)
            out[f"recoil_mass_squared_{i + 1}{j + 1}"] = _square(beams.nominal - pair)
    return out


def _square(p: Array) -> Array:
    return np.asarray(p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1))


def _mass(p: Array) -> Array:
    return np.asarray(np.sqrt(np.maximum(_square(p), 0.0)))
