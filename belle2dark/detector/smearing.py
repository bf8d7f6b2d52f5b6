"""Small helpers that all response kernels share: turning a measured track or photon, smooth steps, charges.

Inlined into kernels, so they stay short. For arrays use the modules that call them.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

from belle2dark._jit import jit


@jit(inline=True)
def turn_on(x, low, inverse_width):
    """Smooth step from 0 at ``low`` to 1 a width above."""
    t = min(1.0, max(0.0, (x - low) * inverse_width))
    return t * t * (3.0 - 2.0 * t)


@jit(inline=True)
def smear_track(px, py, pz, pt, inverse_pt, relative, a, b):
    """A momentum with its pT changed by the fraction ``relative``, polar angle by ``a`` and azimuth by ``b`` [rad].

    The tracker measures curvature (pT), dip angle and azimuth; expanded in milliradians: azimuth to first order,
    cotangent of the polar angle to second (errors of 1e-6 and 1e-9).
    """
    cos_phi, sin_phi, cot_theta = px * inverse_pt, py * inverse_pt, pz * inverse_pt
    slope = 1.0 + cot_theta * cot_theta
    new_pt = pt * (1.0 + relative)
    new_pz = new_pt * (cot_theta - a * slope * (1.0 - a * cot_theta))
    return new_pt * (cos_phi - b * sin_phi), new_pt * (sin_phi + b * cos_phi), new_pz


@jit(inline=True)
def turn(x, y, z, a, b):
    """A unit vector turned by the small angles ``a`` (polar) and ``b`` (across), exactly of length 1."""
    across = math.sqrt(x * x + y * y) + 1e-300
    c, s = x / across, y / across
    nx, ny, nz = x + a * z * c - b * s, y + a * z * s + b * c, z - a * across
    inverse = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz)
    return nx * inverse, ny * inverse, nz * inverse


@jit(inline=True)
def charge_of(pdg):
    """Charge of a stable particle by PDG code, 0 for neutral and unknown ones."""
    kind = abs(pdg)
    if kind == 11 or kind == 13:
        return -1 if pdg > 0 else 1
    if kind == 211 or kind == 321 or kind == 2212:
        return 1 if pdg > 0 else -1
    return 0
