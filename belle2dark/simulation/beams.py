"""The colliding beams: energies, crossing angle, energy spread, and the exact way between centre of mass and lab.

Lab: z is the detector axis, the electron flies towards +z and the positron towards -z, both tilted towards +x by half
the crossing angle. CMS: z is the electron's direction after the boost, y is the lab's y. Kernels use :func:`event_frame`
(the frame of one collision, with energy spread) and :func:`cms_to_lab`; analysis uses :func:`to_cms`, which only knows
the nominal beams, as an experiment does.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import BLOCK, make_key, normal, seed_block
from belle2dark.sourced import load_numbers, nearest

BeamTuple = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beams:
    """Beam energies and Gaussian energy spreads [GeV], crossing angle [rad]; ``spread`` switches the spread on.

    ``luminous`` are the Gaussian sizes (x, y, z) of the luminous region [cm], used by :func:`interaction_points` only.
    """

    electron_energy: float
    positron_energy: float
    crossing_angle: float
    electron_spread: float = 0.0
    positron_spread: float = 0.0
    spread: bool = True
    luminous: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("electron_energy", "positron_energy"):
            if not 0.1 <= getattr(self, name) <= 1e3:
                raise ValueError(f"{name} = {getattr(self, name)} GeV: outside the allowed range 0.1 to 1000 GeV")
        if not 0.0 <= self.crossing_angle < 1.0:
            raise ValueError(f"crossing_angle = {self.crossing_angle} rad: outside the allowed range 0 to 1 rad")
        for name, energy in (("electron_spread", self.electron_energy), ("positron_spread", self.positron_energy)):
            if not 0.0 <= getattr(self, name) <= 0.02 * energy:
                raise ValueError(f"{name} = {getattr(self, name)} GeV: outside the allowed range 0 to {0.02 * energy:g} GeV")
        if len(self.luminous) != 3 or not all(0.0 <= size < 10.0 for size in self.luminous):
            raise ValueError(f"luminous = {self.luminous} cm: three sizes (x, y, z) in the allowed range 0 to 10 cm")

    @property
    def kernel(self) -> BeamTuple:
        """What kernels take: both energies, both spreads (0 when off) [GeV], sine and cosine of half the crossing angle."""
        on = 1.0 if self.spread else 0.0
        half = 0.5 * self.crossing_angle
        return (self.electron_energy, self.positron_energy, on * self.electron_spread, on * self.positron_spread,
                math.sin(half), math.cos(half))  # fmt: skip

    @property
    def electron(self) -> Array:
        """Nominal electron four-momentum in the lab, (4,) [GeV]."""
        p = math.sqrt(self.electron_energy**2 - M_ELECTRON**2)
        return np.array([self.electron_energy, p * math.sin(self.crossing_angle / 2), 0.0, p * math.cos(self.crossing_angle / 2)])

    @property
    def positron(self) -> Array:
        """Nominal positron four-momentum in the lab, (4,) [GeV]."""
        p = math.sqrt(self.positron_energy**2 - M_ELECTRON**2)
        return np.array(
            [self.positron_energy, p * math.sin(self.crossing_angle / 2), 0.0, -p * math.cos(self.crossing_angle / 2)]
        )

    @property
    def nominal(self) -> Array:
        """Four-momentum of the nominal initial state in the lab, (4,) [GeV]."""
        return self.electron + self.positron

    @property
    def sqrt_s(self) -> float:
        """Nominal centre-of-mass energy [GeV]."""
        p = self.nominal
        return math.sqrt(p[0] ** 2 - p[1] ** 2 - p[2] ** 2 - p[3] ** 2)

    @property
    def boost(self) -> Array:
        """Velocity of the centre of mass in the lab, (3,), in units of c."""
        return self.nominal[1:] / self.nominal[0]

    @property
    def axes(self) -> Array:
        """Unit four-vectors of the CMS (rows: time, x, y, z) in lab components, (4, 4): p_lab = p_cms @ axes."""
        _, te, tx, tz, xe, xx, xz, ze, zx, zz = _frame.py_func(self.electron_energy, self.positron_energy, *self.kernel[4:])
        return np.array([[te, tx, 0.0, tz], [xe, xx, 0.0, xz], [0.0, 0.0, 1.0, 0.0], [ze, zx, 0.0, zz]])


COLLIDERS = ("superkekb", "kekb", "pep2")


def settings(collider: str) -> tuple[str, ...]:
    """The energy settings of a collider, e.g. "4s" and "4s_off"; raises ``ValueError`` for an unknown collider."""
    if collider not in COLLIDERS:
        raise ValueError(f"collider {collider!r}: not one of {', '.join(COLLIDERS)}; nearest: {nearest(collider, COLLIDERS)}")
    names = (name.removeprefix(f"{collider}_") for name in load_numbers("beams") if name.startswith(f"{collider}_"))
    return tuple(name for name in names if name[0].isdigit())


@cache
def collider_beams(collider: str, setting: str = "4s", *, spread: bool = True, luminous: str = "run") -> Beams:
    """Beams of "superkekb", "kekb" or "pep2" at an Upsilon resonance ("4s", "3s", ...) or below it ("4s_off").

    ``luminous`` is "run" (as in data taking) or, for SuperKEKB, "design"; numbers in ``data/beams.yaml``.
    Raises ``ValueError`` for a collider, setting or luminous region that is not in that file.
    """
    numbers, known = load_numbers("beams"), settings(collider)
    if setting not in known:
        raise ValueError(f"setting {setting!r} of {collider}: not one of {', '.join(known)}; nearest: {nearest(setting, known)}")
    regions = [n.removeprefix(f"{collider}_luminous_") for n in numbers if n.startswith(f"{collider}_luminous_")]
    if luminous not in regions:
        raise ValueError(
            f"luminous {luminous!r} of {collider}: not one of {', '.join(regions)}; nearest: {nearest(luminous, regions)}"
        )
    (e1, e2), (s1, s2) = numbers[f"{collider}_{setting}"].values, numbers[f"{collider}_spread"].values
    x, y, z = numbers[f"{collider}_luminous_{luminous}"].values
    return Beams(electron_energy=e1, positron_energy=e2, crossing_angle=float(numbers[f"{collider}_crossing_angle"]),
                 electron_spread=s1, positron_spread=s2, spread=spread, luminous=(x, y, z))  # fmt: skip


def belle2_beams(spread: bool = True) -> Beams:
    """SuperKEKB at the Upsilon(4S), with beam-energy spread or without."""
    return collider_beams("superkekb", spread=spread)


def interaction_points(beams: Beams, n: int, key: int) -> Array:
    """Interaction points of ``n`` collisions, ``(n, 3)`` [cm]: Gaussian about the origin with the luminous region's size.

    The x and z coordinates are taken as independent (the design region is tilted by 11 mrad) and the run's mean
    position is the origin. Raises ``ValueError`` for a negative number or key.
    """
    if n < 0:
        raise ValueError(f"n = {n}: the number of collisions must not be negative")
    points = np.empty((n, 3))
    _points(np.uint64(make_key(key, "interaction point")), np.array(beams.luminous), points)
    return points


@jit(parallel=True)
def _points(key, sizes, points):
    n = points.shape[0]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            for j in range(3):
                s0, s1, g = normal(s0, s1)
                points[i, j] = sizes[j] * g


def to_cms(momenta_lab: Array, beams: Beams) -> Array:
    """Four-momenta (..., 4) [GeV] from the lab into the nominal centre-of-mass frame."""
    metric = np.array([1.0, -1.0, -1.0, -1.0])
    # components along orthonormal axes: E* = p.e_t and p*_i = -p.e_i with the Minkowski product
    return np.asarray(momenta_lab) @ (metric[:, None] * beams.axes.T * metric[None, :])


def to_lab(momenta_cms: Array, beams: Beams) -> Array:
    """Four-momenta (..., 4) [GeV] from the nominal centre-of-mass frame into the lab."""
    return np.asarray(momenta_cms) @ beams.axes


@jit(inline=True)
def _frame(e1, e2, sine, cosine):
    """Centre-of-mass energy and lab components (E, x, z) of the unit time, x and z axes of the centre of mass."""
    p1 = math.sqrt(e1 * e1 - M_ELECTRON * M_ELECTRON)
    p2 = math.sqrt(e2 * e2 - M_ELECTRON * M_ELECTRON)
    e, x, z = e1 + e2, (p1 + p2) * sine, (p1 - p2) * cosine
    m = math.sqrt(2.0 * (M_ELECTRON * M_ELECTRON + e1 * e2 + p1 * p2 * (cosine * cosine - sine * sine)))
    te, tx, tz = e / m, x / m, z / m
    # electron in the centre of mass, still with axes parallel to the lab's
    ecm = e1 * te - p1 * (sine * tx + cosine * tz)
    f = (e1 + ecm) / (te + 1.0)
    nx, nz = p1 * sine - f * tx, p1 * cosine - f * tz
    length = math.sqrt(nx * nx + nz * nz)
    nx, nz = nx / length, nz / length
    az, ax = (tx * nx + tz * nz), (tx * nz - tz * nx)
    fz, fx = az / (te + 1.0), ax / (te + 1.0)
    return m, te, tx, tz, ax, nz + fx * tx, -nx + fx * tz, az, nx + fz * tx, nz + fz * tz


@jit(inline=True)
def event_frame(beam, s0, s1):
    """Frame of one collision of the :attr:`Beams.kernel` tuple with energy spread: (s0, s1, frame); frame[0] is sqrt(s).

    Two normal numbers are used up whether or not the spread is on, so switching it keeps all other random numbers.
    """
    s0, s1, g1 = normal(s0, s1)
    s0, s1, g2 = normal(s0, s1)
    return s0, s1, _frame(beam[0] + beam[2] * g1, beam[1] + beam[3] * g2, beam[4], beam[5])


@jit(inline=True)
def cms_to_lab(frame, e, x, y, z):
    """Four-vector of the collision's centre of mass (z along the electron) in the lab, exact."""
    return (
        frame[1] * e + frame[4] * x + frame[7] * z,
        frame[2] * e + frame[5] * x + frame[8] * z,
        y,
        frame[3] * e + frame[6] * x + frame[9] * z,
    )
