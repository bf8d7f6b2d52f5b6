"""What the pair-production generators share: cross-section, polar angle, photon slots, request check."""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, GEV2_FB
from belle2dark.simulation.beams import cms_to_lab
from belle2dark.simulation.rng import uniform


def check_request(n: int, key: int) -> None:
    """Raise ``ValueError`` unless n is a positive number of events and ``key`` fits 64 unsigned bits."""
    if n < 1:
        raise ValueError(f"n = {n}: the number of events must be at least 1")
    if not 0 <= key < 2**64:
        raise ValueError(f"key = {key}: allowed 0 to 2^64 - 1; make one with rng.make_key")


def pair_cross_section(s: float, mass: float) -> float:
    """Tree-level e+e- -> l+l- cross-section [fb] for leptons of ``mass`` [GeV] at ``s`` [GeV^2], alpha at q^2 = 0."""
    rho = 4.0 * mass * mass / s
    if rho >= 1.0:
        return 0.0
    return 4.0 * math.pi * ALPHA["thomson"] ** 2 / (3.0 * s) * GEV2_FB * math.sqrt(1.0 - rho) * (1.0 + 0.5 * rho)


@jit(inline=True)
def one_plus_cos2(s0, s1, beta2):
    """cos theta from (2 - beta^2) + beta^2 cos^2, the tree-level angle of a fermion pair with velocity beta."""
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        c = 2.0 * u - 1.0
        if 2.0 * v < 2.0 - beta2 * (1.0 - c * c):
            return s0, s1, c


@jit(inline=True)
def write_photons(photons, k, frame, out, first, i):
    """Write the most energetic of k photons to out[first:], hardest (in the CMS) first, and leave the other slots zero."""
    for slot in range(min(k, len(out) - first)):
        best = slot
        for j in range(slot + 1, k):
            if photons[j, 0] > photons[best, 0]:
                best = j
        for c in range(4):
            photons[slot, c], photons[best, c] = photons[best, c], photons[slot, c]
        out[first + slot, i, :] = cms_to_lab(frame, photons[slot, 0], photons[slot, 1], photons[slot, 2], photons[slot, 3])
