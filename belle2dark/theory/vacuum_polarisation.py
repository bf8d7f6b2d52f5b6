"""Running of the fine-structure constant at time-like momenta: by how much vacuum polarisation raises s-channel rates.

Leptons in one loop with their masses; hadrons by a dispersion integral over the R ratio of :mod:`.r_ratio`, the narrow
charm and bottom vectors added as poles. The amplitude is averaged over 0.1 GeV of sqrt(s) (a tenth of it below 1 GeV):
poles then act on the continuum next to them but their own peaks are absent; add a resonance as its own process. The omega
and phi have the width the table gives them. Not included: two loops (1e-4 of the rate).

Use :func:`running_factor` for e+e- -> l+l- through one photon. Where both vacuum polarisation and photon exchange with
another virtuality enter (Bhabha, two-photon processes), use :func:`delta_alpha` for each virtuality.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_PION, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory.r_ratio import perturbative_r, r_ratio

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_ALPHA = ALPHA["thomson"]
_TABLE_END = 12.2  # GeV: R is tabulated up to here, perturbative beyond
_WIDER = 20.0  # GeV: above, the average is over a fixed fraction of sqrt(s), four nodes of the integral
_NODES = 8000  # of the dispersion integral; spaced by 0.003 in ln(s), a third of the averaging width at 10.58 GeV


def _checked(s: ArrayLike) -> Complex:
    """``s`` [GeV^2] as complex numbers; positive ones moved off the cut by the averaging width."""
    values = np.asarray(s, dtype=float)
    if not np.all(np.isfinite(values) & (values != 0.0)):
        raise ValueError(f"s = {values} GeV^2: must be finite and not zero")
    energy = np.sqrt(np.abs(values))
    width = float(load_numbers("vacuum_polarisation")["averaging_width"]) * np.maximum(np.minimum(energy, 1.0), energy / _WIDER)
    off = (energy + 0.5j * width) ** 2
    return np.asarray(np.where(values > 0.0, off, values + 0j))


def leptonic(s: ArrayLike) -> Complex:
    """Leptonic part of 1 - alpha(0)/alpha(s) at ``s`` [GeV^2] (negative: space-like), same shape, one loop, complex.

    Raises ``ValueError`` for s = 0 and for values that are not finite.
    """
    at = _checked(s)
    total: Complex = np.zeros(at.shape, dtype=complex)
    for mass in (M_ELECTRON, M_MUON, M_TAU):
        rho = 4.0 * mass**2 / at
        root = np.sqrt(1.0 - rho)
        # root - 1 written so that nothing cancels for light leptons; far below threshold everything does
        log = np.log((root + 1.0) ** 2 / -rho)
        small = at / mass**2
        series = -small / 5.0 - 3.0 / 140.0 * small**2
        total += np.where(np.abs(small) < 1e-3, series, -5.0 / 3.0 - rho + (1.0 + 0.5 * rho) * root * log)
    return np.asarray(_ALPHA / (3.0 * np.pi) * total)


@cache
def _r_nodes() -> tuple[Array, Array]:
    """Nodes s' [GeV^2] of the dispersion integral and R ds'/s' there (trapezoidal in ln s')."""
    end = float(load_numbers("vacuum_polarisation")["perturbative_end"])
    log_s = np.linspace(2.0 * np.log(2.0 * M_PION), 2.0 * np.log(end), _NODES)
    energy = np.exp(0.5 * log_s)
    table = energy < _TABLE_END
    r = np.concatenate([r_ratio(energy[table]), perturbative_r(energy[~table])])
    r[[0, -1]] *= 0.5
    return np.exp(log_s), r * (log_s[1] - log_s[0])


def hadronic(s: ArrayLike) -> Complex:
    """Hadronic part of 1 - alpha(0)/alpha(s) at ``s`` [GeV^2] (negative: space-like), same shape, complex.

    Raises ``ValueError`` for s = 0 and for values that are not finite.
    Source: dispersion relation, e.g. Eidelman and Jegerlehner, Z. Phys. C 67 (1995) 585, Eq. (2).
    """
    at = _checked(s)
    nodes, r = _r_nodes()
    integral = (r / (nodes - at.reshape(-1, 1))).sum(axis=-1).reshape(at.shape)
    given = load_numbers("vacuum_polarisation")
    poles: Complex = np.zeros(at.shape, dtype=complex)
    for mass, width in zip(given["masses"].values, given["electron_widths"].values, strict=True):
        poles += 3.0 * width / (_ALPHA * mass) * at / (at - mass**2)
    return np.asarray(poles - _ALPHA / (3.0 * np.pi) * at * integral)


def delta_alpha(s: ArrayLike) -> Complex:
    """1 - alpha(0)/alpha(s) at ``s`` [GeV^2], leptons and hadrons, same shape; the coupling is alpha(0)/(1 - this).

    Raises ``ValueError`` for s = 0 and for values that are not finite.
    """
    return leptonic(s) + hadronic(s)


def running_factor(s: ArrayLike) -> Array:
    """|alpha(s)/alpha(0)|^2 at ``s`` [GeV^2], same shape: what multiplies a tree-level cross-section through one photon.

    Raises ``ValueError`` for s = 0 and for values that are not finite.
    """
    return np.asarray(1.0 / np.abs(1.0 - delta_alpha(s)) ** 2, dtype=np.float64)
