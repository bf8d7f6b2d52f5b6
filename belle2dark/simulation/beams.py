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

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import normal
from belle2dark.sourced import load_numbers

BeamTuple = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beams:
    """Beam energies and Gaussian energy spreads [GeV], crossing angle [rad]; ``spread`` switches the spread on."""

    electron_energy: float
    positron_energy: float
    crossing_angle: float
    electron_spread: float = 0.0
    positron_spread: float = 0.0
    spread: bool = True

    def __post_init__(self) -> None:
        for name in ("electron_energy", "positron_energy"):
            if not 0.1 <= getattr(self, name) <= 1e3:
                raise ValueError(f"{name} = {getattr(self, name)} GeV: outside the allowed range 0.1 to 1000 GeV")
        if not 0.0 <= self.crossing_angle < 1.0:
            raise ValueError(f"crossing_angle = {self.crossing_angle} rad: outside the allowed range 0 to 1 rad")
        for name, energy in (("electron_spread", self.electron_energy), ("positron_spread", self.positron_energy)):
            if not 0.0 <= getattr(self, name) <= 0.02 * energy:
                raise ValueError(f"{name} = {getattr(self, name)} GeV: outside the allowed range 0 to {0.02 * energy:g} GeV")

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


@cache
def belle2_beams(spread: bool = True) -> Beams:
    """SuperKEKB at the Upsilon(4S), with beam-energy spread or without; numbers in ``data/beams.yaml``."""
    numbers = load_numbers("beams")
    return Beams(**{name: float(number) for name, number in numbers.items()}, spread=spread)


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
