"""tau -> l alpha, alpha a light spin-0 particle that couples to leptons with a change of flavour: width and branching fraction.

The coupling is d_mu alpha / (2 f) l-bar gamma^mu (c_V + c_A gamma5) tau + h.c. with real c_V, c_A. Use it for limits on c/f;
how the lepton flies relative to the spin of the tau is in :class:`belle2dark.simulation.decays.tau_modes.Alpha`. Not
included: radiation, decays of the alpha, and the change of the tau's total width (which the published one contains).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import CTAU_TAU, HBAR_C, M_ELECTRON, M_MUON, M_TAU
from belle2dark.sourced import nearest

Array = NDArray[np.float64]
MASSES = {"e": M_ELECTRON, "mu": M_MUON}


def _lepton_mass(lepton: str) -> float:
    if lepton not in MASSES:
        raise ValueError(f"lepton = {lepton!r}: must be e | mu; nearest: {nearest(lepton, MASSES)}")
    return MASSES[lepton]


def lepton_energy(mass: ArrayLike, lepton: str) -> Array:
    """Energy [GeV] of the lepton in the rest frame of the tau, of the shape of ``mass`` [GeV].

    Raises ``ValueError`` for another lepton.
    """
    m = _lepton_mass(lepton)
    return np.asarray(0.5 * (M_TAU**2 + m**2 - np.asarray(mass, dtype=float) ** 2) / M_TAU)


def width(mass: ArrayLike, lepton: str, vector: float = 1.0, axial: float = 0.0) -> Array:
    """Width [GeV^3] at f = 1 GeV of the shape of ``mass`` [GeV]: divide by f^2; 0 where the decay is closed.

    Raises ``ValueError`` for another lepton. Source: own trace; the form of Bauer et al., JHEP 09 (2022) 056, Eq. (3.2).
    """
    m, a = _lepton_mass(lepton), np.asarray(mass, dtype=float)
    plus, minus = M_TAU + m, M_TAU - m
    squares = axial**2 * plus**2 * (minus**2 - a**2) + vector**2 * minus**2 * (plus**2 - a**2)
    root = np.sqrt(np.maximum((plus**2 - a**2) * (minus**2 - a**2), 0.0))
    return np.where(a < minus, squares * root / (64.0 * np.pi * M_TAU**3), 0.0)


def branching_fraction(mass: ArrayLike, lepton: str, vector: float = 1.0, axial: float = 0.0) -> Array:
    """The same as a branching fraction at 1/f = 1 TeV^-1; it grows with the square of the coupling.

    Raises ``ValueError`` for another lepton.
    """
    return np.asarray(width(mass, lepton, vector, axial) * 1.0e-6 / (HBAR_C / CTAU_TAU))
