"""e+e- -> e+e- gamma with both electrons lost along the beams: the hardest photon that can be left alone.

Electrons inside cones around the beams have little transverse momentum, so a photon at a wide angle that is balanced by them
is soft: below a recoil mass nothing of this background is left, and where that is depends on how far down the veto reaches. The
formula is exact for massless electrons in the centre of mass; rates are those of :mod:`belle2dark.photon_veto`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def cms_angle(theta_lab: float, beta: float) -> float:
    """Polar angle [rad] in the centre of mass, which moves with ``beta`` along z, of a massless particle at ``theta_lab`` [rad].

    Raises ``ValueError`` for an angle outside 0 to pi or a speed of 1 and more.
    """
    if not (0.0 <= theta_lab <= math.pi and abs(beta) < 1.0):
        raise ValueError(f"theta_lab = {theta_lab} rad, beta = {beta}: need 0 to pi and |beta| < 1")
    cosine = math.cos(theta_lab)
    return math.acos((cosine - beta) / (1.0 - beta * cosine))


def hardest_photon(cos_theta: ArrayLike, sqrt_s: float, forward: float, backward: float) -> Array:
    """Largest E* [GeV] of a photon at ``cos_theta`` (shape of the result) with both electrons within cones around the beams.

    One electron is within ``forward`` [rad] of +z, the other within ``backward`` of -z, all in the centre of mass. At the limit
    both are at the rim, opposite to the photon in azimuth: E* = sqrt(s) / (1 + (sin(theta - b) + sin(theta + f)) / sin(f + b)).
    Raises ``ValueError`` for a photon inside a cone or cones that are not below pi/2.
    """
    cosine = np.asarray(cos_theta, dtype=float)
    theta = np.arccos(cosine)
    if not (0.0 < forward < math.pi / 2 and 0.0 < backward < math.pi / 2):
        raise ValueError(f"forward = {forward}, backward = {backward} rad: must be above 0 and below pi/2")
    if not np.all((theta > backward) & (theta < math.pi - forward) & (theta > forward) & (theta < math.pi - backward)):
        raise ValueError(f"cos_theta = {cosine}: the photon must be outside both cones, {forward} and {backward} rad")
    electrons = (np.sin(theta - backward) + np.sin(theta + forward)) / math.sin(forward + backward)
    return np.asarray(sqrt_s / (1.0 + electrons))


def onset_mass(cos_max: float, sqrt_s: float, forward: float, backward: float) -> float:
    """Recoil mass [GeV] below which photons within |cos theta*| < ``cos_max`` have no such background. Raises as
    :func:`hardest_photon`."""
    hardest = float(hardest_photon(np.array([-cos_max, cos_max]), sqrt_s, forward, backward).max())
    return math.sqrt(max(0.0, sqrt_s * (sqrt_s - 2.0 * hardest)))
