"""The fit of :mod:`.kinematic_fit` for tracks of one mass and photons, compiled: a microsecond an event, for columns of searches.

Use it where whole templates and scans are fitted; :func:`.kinematic_fit.fit_to_beams` is the reference that tests compare with
and knows tracks of different masses. Not included: unmeasured particles, the beams' angular spread.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.detector.experiments import Detector
from belle2dark.detector.kinematic_fit import Fitted, beam_covariance, errors_at
from belle2dark.detector.tracks import measure_tracks
from belle2dark.simulation.events import Array, Particles
from belle2dark.simulation.rng import BLOCK

_STEPS = 3
#: square of the least error of the sum of momenta [GeV^2]: keeps the system solvable without beam-energy spread
_LEAST = 1e-10
#: "mass" that says photon to the kernel: its size is the energy, not pT
PHOTON = -1.0
#: chi2 of an event that misses more than ``gap`` and is left as measured
OPEN = 1e6


def prompt_errors(tracks_lab: Array, mass: float, detector: Detector) -> Array:
    """Errors ``(n, k, 3)`` of pT (relative), polar and azimuthal angle [rad] of tracks ``(n, k, 3)`` [GeV] from the beam line.

    Those of :func:`belle2dark.detector.tracks.measure_tracks` at the measured momenta of particles of ``mass`` [GeV].
    """
    n, k = tracks_lab.shape[:2]
    energy = np.sqrt((tracks_lab**2).sum(axis=-1, keepdims=True) + mass**2)
    particles = Particles(np.concatenate([energy, tracks_lab], axis=-1), np.full((n, k), 13, dtype=np.int32), np.zeros((n, k, 3)))
    return measure_tracks(particles, detector, 0).errors


def fit_tracks(tracks_lab: Array, mass: float, detector: Detector, gap: float = np.inf,
               photons_lab: Array | None = None) -> Fitted:  # fmt: skip
    """Tracks ``(n, k, 3)`` [GeV] of one ``mass`` [GeV], and photons ``(n, m, 4)`` [GeV], fitted to the beams as in the reference.

    Events whose total energy differs from the beams' by more than ``gap`` [GeV] are left as measured with chi2 = :data:`OPEN`.
    """
    n, k = tracks_lab.shape[:2]
    photons = np.zeros((n, 0, 4)) if photons_lab is None else photons_lab
    momenta = np.ascontiguousarray(np.concatenate([tracks_lab, photons[..., 1:]], axis=1))
    out, chi2 = np.empty(momenta.shape), np.empty(n)
    errors = np.concatenate([prompt_errors(tracks_lab, mass, detector), errors_at(photons, detector)], axis=1)
    masses = np.append(np.full(k, mass), np.full(photons.shape[1], PHOTON))
    beams = detector.beams
    _fit(momenta, errors, masses, beams.nominal, beam_covariance(beams), gap, out, chi2)
    energies = np.sqrt((out[:, k:] ** 2).sum(axis=-1, keepdims=True))
    return Fitted(tracks_lab=out[:, :k], photons_lab=np.concatenate([energies, out[:, k:]], axis=-1), chi2=chi2)


@jit(parallel=True)
def _fit(tracks, errors, masses, nominal, own, gap, out, chi2):
    n = len(chi2)
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(block, tracks, errors, masses, nominal, own, gap, out, chi2)


@jit()
def _block(block, tracks, errors, masses, nominal, own, gap, out, chi2):
    k = tracks.shape[1]
    start, x, slopes = np.empty((k, 3)), np.empty((k, 3)), np.empty((k, 3, 4))
    miss, system = np.empty(4), np.empty((4, 5))
    for i in range(block * BLOCK, min(len(chi2), (block + 1) * BLOCK)):
        energy = -nominal[0]
        for j in range(k):
            px, py, pz, mass = tracks[i, j, 0], tracks[i, j, 1], tracks[i, j, 2], max(masses[j], 0.0)
            pt = max(math.sqrt(px * px + py * py), 1e-9)
            size = pt if masses[j] >= 0.0 else math.sqrt(pt * pt + pz * pz)
            start[j, 0], start[j, 1], start[j, 2] = math.log(size), math.atan2(pt, pz), math.atan2(py, px)
            energy += math.sqrt(px * px + py * py + pz * pz + mass * mass)
            for c in range(3):
                x[j, c], out[i, j, c] = start[j, c], tracks[i, j, c]
        chi2[i] = OPEN
        if abs(energy) > gap:
            continue
        for _ in range(_STEPS):
            _linearise(x, start, masses, nominal, slopes, miss)
            chi2[i] = _step(x, start, errors[i], slopes, miss, own, system)
        for j in range(k):
            pt = math.exp(x[j, 0]) * (1.0 if masses[j] >= 0.0 else math.sin(x[j, 1]))
            out[i, j, 0], out[i, j, 1] = pt * math.cos(x[j, 2]), pt * math.sin(x[j, 2])
            out[i, j, 2] = pt / math.tan(x[j, 1])


@jit()
def _linearise(x, start, masses, nominal, slopes, miss):
    """Slopes of the sum of momenta at ``x``, and what it misses, extrapolated to ``start``."""
    for c in range(4):
        miss[c] = -nominal[c]
    for j in range(len(x)):
        photon, mass, cosine, sine = masses[j] < 0.0, max(masses[j], 0.0), math.cos(x[j, 1]), math.sin(x[j, 1])
        pt = math.exp(x[j, 0]) * (sine if photon else 1.0)
        px, py, pz = pt * math.cos(x[j, 2]), pt * math.sin(x[j, 2]), pt * cosine / sine
        p2 = pt * pt + pz * pz
        energy = math.sqrt(p2 + mass * mass)
        lean = -pt / (sine * sine)
        miss[0] += energy
        miss[1] += px
        miss[2] += py
        miss[3] += pz
        slopes[j, 0, 0], slopes[j, 0, 1], slopes[j, 0, 2], slopes[j, 0, 3] = p2 / energy, px, py, pz
        slopes[j, 1, 0], slopes[j, 1, 1], slopes[j, 1, 2], slopes[j, 1, 3] = lean * pz / energy, 0.0, 0.0, lean
        if photon:  # polar angle at fixed energy, not at fixed pT
            turn = cosine / sine
            slopes[j, 1, 0], slopes[j, 1, 1], slopes[j, 1, 2], slopes[j, 1, 3] = 0.0, px * turn, py * turn, -pt
        slopes[j, 2, 0], slopes[j, 2, 1], slopes[j, 2, 2], slopes[j, 2, 3] = 0.0, -py, px, 0.0
        for a in range(3):
            for c in range(4):
                miss[c] += slopes[j, a, c] * (start[j, a] - x[j, a])


@jit()
def _step(x, start, errors, slopes, miss, own, system):
    """Move ``x`` to the solution of the linear system; returns chi2."""
    for c in range(4):
        for d in range(4):
            system[c, d] = own[c, d] + (_LEAST if c == d else 0.0)
        system[c, 4] = miss[c]
    for j in range(len(x)):
        for a in range(3):
            variance = errors[j, a] * errors[j, a]
            for c in range(4):
                for d in range(4):
                    system[c, d] += slopes[j, a, c] * variance * slopes[j, a, d]
    for c in range(4):  # the matrix is positive definite: elimination needs no pivots
        for d in range(c + 1, 4):
            f = system[d, c] / system[c, c]
            for e in range(c, 5):
                system[d, e] -= f * system[c, e]
    chi2 = 0.0
    for c in range(3, -1, -1):
        for d in range(c + 1, 4):
            system[c, 4] -= system[c, d] * system[d, 4]
        system[c, 4] /= system[c, c]
        chi2 += system[c, 4] * miss[c]
    for j in range(len(x)):
        for a in range(3):
            move = 0.0
            for c in range(4):
                move += slopes[j, a, c] * system[c, 4]
            # events that do not fit at all must not run away: at most a factor e and a radian
            x[j, a] = start[j, a] - min(1.0, max(-1.0, errors[j, a] * errors[j, a] * move))
        x[j, 1] = min(math.pi - 1e-3, max(1e-3, x[j, 1]))
    return chi2
