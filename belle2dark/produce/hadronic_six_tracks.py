"""Make the shipped list of hadronic events that look like three pairs of equal mass, with Pythia 8 (extra ``gen``).

    python -m belle2dark.produce.hadronic_six_tracks [--scale 0.01] [--folder DIR]

One file, ``hadronic_six_tracks.npz``, read by :mod:`belle2dark.simulation.backgrounds_six_tracks`: continuum events with
exactly six charged particles that carry nearly all of the energy ("six"), and sets of four tracks from any event whose two
pairs and recoil have about one mass ("four"). Momenta are in the centre of mass, so that one list serves every experiment.
Not simulated: the detector, B mesons (they leave more than six tracks), hadron production below 4 GeV after radiation.

Source: Bierlich et al., SciPost Phys. Codebases 8 (2022) (Pythia 8.3).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import argparse
import os
from importlib.resources import as_file
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_PION
from belle2dark.produce.hadronic import Batch, continuum
from belle2dark.simulation.backgrounds_six_tracks import MOMENTUM_STEP
from belle2dark.simulation.events import Array
from belle2dark.simulation.hadronic import PROCESSES
from belle2dark.sourced import data_file

#: events generated at scale 1, and energy of the collision [GeV]
EVENTS, SQRT_S = 1_400_000, 10.58
_CHARGED = (11, 13, 211, 321, 2212)
#: six tracks: least mass of all, as pions, and largest difference of the three pair masses [GeV]
SIX = (9.4, 0.5)
#: four tracks: least mean mass of the pairs, largest difference of the two and of the recoil mass to their mean [GeV]
FOUR = (0.9, 0.2, 0.6)
#: kept: six-track events at most, and four-track sets without a lepton; a lepton makes a set this much more likely to be kept
KEPT, SHARE, FAVOUR = 2600, 0.12, 8.0


@jit()
def _mass(p, a, b):
    """Mass of tracks a and b as pions."""
    e, x, y, z = 0.0, 0.0, 0.0, 0.0
    for i in (a, b):
        e += np.sqrt(M_PION**2 + p[i, 0] ** 2 + p[i, 1] ** 2 + p[i, 2] ** 2)
        x, y, z = x + p[i, 0], y + p[i, 1], z + p[i, 2]
    return np.sqrt(max(e * e - x * x - y * y - z * z, 0.0))


@jit()
def _smallest_spread(p):
    """Smallest difference of the largest and the smallest of three pair masses, over the six pairings of tracks (3 -, 3 +)."""
    best = 1e9
    for first in range(3):
        for second in range(3):
            third = 3 - first - second
            if first == second:
                continue
            a, b, c = _mass(p, 0, 3 + first), _mass(p, 1, 3 + second), _mass(p, 2, 3 + third)
            best = min(best, max(a, b, c) - min(a, b, c))
    return best


@jit()
def _four(p, charge, limits, root, out):
    """Rows (-, +, -, +) of tracks (k, 3) whose pairs, and what recoils against them, have about one mass; returns how many."""
    k, found = len(p), 0
    for a in range(k):
        for b in range(a + 1, k):
            for c in range(k):
                for d in range(k):
                    if c == d or charge[a] > 0 or charge[b] > 0 or charge[c] < 0 or charge[d] < 0:
                        continue
                    first, second = _mass(p, a, c), _mass(p, b, d)
                    mean = 0.5 * (first + second)
                    if mean < limits[0] or abs(first - second) > limits[1]:
                        continue
                    e, x, y, z = root, 0.0, 0.0, 0.0
                    for i in (a, b, c, d):
                        e -= np.sqrt(M_PION**2 + p[i, 0] ** 2 + p[i, 1] ** 2 + p[i, 2] ** 2)
                        x, y, z = x + p[i, 0], y + p[i, 1], z + p[i, 2]
                    square = e * e - x * x - y * y - z * z
                    if e > 0.0 and square > 0.0 and abs(np.sqrt(square) - mean) < limits[2] and found < len(out):
                        out[found, 0], out[found, 1], out[found, 2], out[found, 3] = a, c, b, d
                        found += 1
    return found


def _tracks(batch: Batch) -> tuple[Any, Any, Array, Any]:
    """Rows of charged particles by event, negative ones first: codes, momenta (m, 3) and event; and their charges."""
    rows = np.flatnonzero(np.isin(np.abs(batch.pdg), _CHARGED))
    pdg = batch.pdg[rows]
    charge = np.where(np.abs(pdg) < 20, -np.sign(pdg), np.sign(pdg))
    order = np.lexsort((charge, batch.event[rows]))
    rows = rows[order]
    return batch.event[rows], batch.pdg[rows], batch.momenta[rows, 1:], charge[order]


def select(batch: Batch, random: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """Events of a batch for the two lists: entries (codes, momenta, process) and (the same, share)."""
    event, pdg, p, charge = _tracks(batch)
    six, four, rows = [], [], np.empty((4000, 4), dtype=np.int64)
    edges = np.searchsorted(event, np.arange(len(batch.process) + 1))
    for k, (low, high) in enumerate(pairwise(edges)):
        own, codes = p[low:high], pdg[low:high]
        if high - low == 6 and charge[low:high].sum() == 0:
            energy = np.sqrt(M_PION**2 + (own**2).sum(axis=1)).sum()
            mass = np.sqrt(max(energy**2 - (own.sum(axis=0) ** 2).sum(), 0.0))
            if mass > SIX[0] and _smallest_spread(own) < SIX[1]:
                six.append((codes, own, batch.process[k]))
        if high - low >= 4:
            for row in rows[: _four(own, charge[low:high], np.array(FOUR), SQRT_S, rows)]:
                leptons = np.isin(np.abs(codes[row]), (11, 13)).sum()
                share = min(1.0, SHARE * FAVOUR**leptons)
                if random.random() < share:
                    four.append((codes[row], own[row], batch.process[k], share))
    return six, four


def make(folder: Path, scale: float = 1.0) -> Path:
    """Write the list into ``folder``, whole or not at all; ``scale`` multiplies the number of events."""
    random, generated = np.random.default_rng(20011), np.zeros(len(PROCESSES), dtype=np.int64)
    six: list[Any] = []
    four: list[Any] = []
    for batch in continuum(max(1000, int(EVENTS * scale)), SQRT_S):
        generated += np.bincount(batch.process, minlength=len(PROCESSES))
        more = select(batch, random)
        six, four = six + more[0], four + more[1]
    share = min(1.0, KEPT / max(len(six), 1))
    six = [six[i] for i in np.sort(random.permutation(len(six))[:KEPT])]
    arrays: dict[str, Any] = {"generated": generated, "six_share": np.array(share),
                              "four_share": np.array([x[3] for x in four], dtype=np.float32)}  # fmt: skip
    for name, made in (("six", six), ("four", four)):
        arrays[f"{name}_pdg"] = np.array([x[0] for x in made], dtype=np.int16)
        arrays[f"{name}_momenta"] = np.rint(np.array([x[1] for x in made]) / MOMENTUM_STEP).astype(np.int16)
        arrays[f"{name}_process"] = np.array([x[2] for x in made], dtype=np.uint8)
    target, temporary = folder / "hadronic_six_tracks.npz", folder / ".hadronic_six_tracks.npz"
    np.savez_compressed(temporary, **arrays)
    os.replace(temporary, target)
    return target


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="statistics relative to the shipped file")
    parser.add_argument("--folder", type=Path, help="where to write (default: the package's data folder)")
    options = parser.parse_args()
    with as_file(data_file("README.md")) as readme:
        print(make(options.folder or readme.parent, options.scale))


if __name__ == "__main__":
    main()
