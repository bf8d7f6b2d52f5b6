"""Boosts and rotations for event kernels: small numba helpers on plain floats, four-vectors as (E, px, py, pz) [GeV].

They are inlined into kernels; analysis code works on arrays with :mod:`belle2dark.simulation.beams` instead.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

from belle2dark._jit import jit


@jit(inline=True)
def boost(e, x, y, z, be, bx, by, bz, bm):
    """The vector (e, x, y, z), given in the rest frame of b (mass ``bm``), in the frame where b is (be, bx, by, bz) [GeV].

    With (be, -bx, -by, -bz) it goes the other way, into the rest frame of b.
    """
    boosted = (e * be + x * bx + y * by + z * bz) / bm
    f = (e + boosted) / (be + bm)
    return boosted, x + f * bx, y + f * by, z + f * bz


@jit(inline=True)
def to_axis(nx, ny, nz, x, y, z):
    """(x, y, z), given relative to the unit axis n as its z axis, in the frame where the axis is (nx, ny, nz).

    The azimuth is arbitrary but continuous except at n_z = 0.
    Source: Duff et al., J. Comput. Graph. Tech. 6 (2017) 1 (branch-free orthonormal basis).
    """
    sign = math.copysign(1.0, nz)
    a = -1.0 / (sign + nz)
    b = nx * ny * a
    return (
        x * (1.0 + sign * nx * nx * a) + y * b + z * nx,
        x * sign * b + y * (sign + ny * ny * a) + z * ny,
        -x * sign * nx - y * ny + z * nz,
    )


@jit(inline=True)
def unit(x, y, z):
    """The unit vector along (x, y, z); the z axis for a null vector."""
    length = math.sqrt(x * x + y * y + z * z)
    if length <= 0.0:
        return 0.0, 0.0, 1.0
    return x / length, y / length, z / length


@jit(inline=True)
def around(nx, ny, nz, cos_theta, phi):
    """The unit vector at polar angle theta and azimuth ``phi`` [rad] about the unit axis n."""
    s = math.sqrt(max(0.0, 1.0 - cos_theta * cos_theta))
    return to_axis(nx, ny, nz, s * math.cos(phi), s * math.sin(phi), cos_theta)
