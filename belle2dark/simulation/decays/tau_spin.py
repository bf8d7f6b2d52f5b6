"""Spins of taus: polarimeters of decays to leptons and to a hadronic current, and how the spins of a pair are correlated.

For a pair the rate is 1 + c with c bilinear in the polarimeters h (tau-) and g (tau+), each in the rest frame of its tau
as reached from the rest frame of the pair without rotation. Not included: single-spin terms (weak bosons, CP violation).

Source: pair states derived here in the non-covariant form; a spin triplet polarised along e gives h.g - 2 h.e g.e, the
singlet -h.g. A scalar makes the triplet with e along the taus, a pseudoscalar the singlet, a vector e = T v with its own
polarisation v.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

from belle2dark._jit import jit
from belle2dark.constants import M_TAU
from belle2dark.simulation.kinematics import boost, unit
from belle2dark.simulation.rng import uniform

#: how a pair was made, see :func:`pair_correlation`
NONE, SCALAR, PSEUDOSCALAR, VECTOR_PARENT, BEAMS = range(5)


@jit(inline=True)
def michel(s0, s1, mass):
    """Energy fraction x = E/E_max and polarisation analysing power of a lepton of ``mass`` [GeV], in the tau rest frame."""
    x0 = 2.0 * M_TAU * mass / (M_TAU * M_TAU + mass * mass)
    while True:
        s0, s1, u = uniform(s0, s1)
        s0, s1, v = uniform(s0, s1)
        x = x0 + u * (1.0 - x0)
        root = math.sqrt(x * x - x0 * x0)
        flat = x * (1.0 - x) + (4.0 * x * x - 3.0 * x - x0 * x0) / 6.0
        if v < 6.0 * root * flat:
            polarised = root / 3.0 * (1.0 - x + 0.5 * (4.0 * x - 4.0 + math.sqrt(1.0 - x0 * x0)))
            return s0, s1, x, polarised / flat


@jit()
def polarimeter(n, r, i):
    """(w, hx, hy, hz): rate and polarimeter of a tau- to a neutrino n and the hadronic current J = r + i*i, tau rest frame.

    K = 2 Re(n.J* J) - n J.J* - 2 eps(n, r, i) is light-like, the rate is proportional to K_0 + s.K for spin direction s.
    """
    nr = n[0] * r[0] - n[1] * r[1] - n[2] * r[2] - n[3] * r[3]
    ni = n[0] * i[0] - n[1] * i[1] - n[2] * i[2] - n[3] * i[3]
    jj = r[0] * r[0] - r[1] * r[1] - r[2] * r[2] - r[3] * r[3] + i[0] * i[0] - i[1] * i[1] - i[2] * i[2] - i[3] * i[3]
    cx, cy, cz = r[2] * i[3] - r[3] * i[2], r[3] * i[1] - r[1] * i[3], r[1] * i[2] - r[2] * i[1]
    w = 2.0 * (nr * r[0] + ni * i[0]) - n[0] * jj - 2.0 * (n[1] * cx + n[2] * cy + n[3] * cz)
    ax = n[0] * cx + r[0] * (i[2] * n[3] - i[3] * n[2]) + i[0] * (n[2] * r[3] - n[3] * r[2])
    ay = n[0] * cy + r[0] * (i[3] * n[1] - i[1] * n[3]) + i[0] * (n[3] * r[1] - n[1] * r[3])
    az = n[0] * cz + r[0] * (i[1] * n[2] - i[2] * n[1]) + i[0] * (n[1] * r[2] - n[2] * r[1])
    hx = 2.0 * (nr * r[1] + ni * i[1]) - n[1] * jj - 2.0 * ax
    hy = 2.0 * (nr * r[2] + ni * i[2]) - n[2] * jj - 2.0 * ay
    hz = 2.0 * (nr * r[3] + ni * i[3]) - n[3] * jj - 2.0 * az
    return w, hx / w, hy / w, hz / w


@jit(inline=True)
def _across(nx, ny, nz, tx, ty, tz, inverse_gamma):
    """T n: the component of n along the unit vector t shrunk by 1/gamma."""
    f = (inverse_gamma - 1.0) * (nx * tx + ny * ty + nz * tz)
    return nx + f * tx, ny + f * ty, nz + f * tz


@jit(inline=True)
def spin_correlation(h, g, axis, tau, beta2):
    """Spin part h.g - 2 h.D.g/tr D of the pair weight, for polarimeters h (tau-) and g (tau+); unit beam and tau- axes.

    D = T (1 - n n) T with the beam axis n; T is 1 across the tau direction and 1/gamma along it.
    """
    shrink = math.sqrt(1.0 - beta2)
    ax, ay, az = _across(axis[0], axis[1], axis[2], tau[0], tau[1], tau[2], shrink)
    hx, hy, hz = _across(h[0], h[1], h[2], tau[0], tau[1], tau[2], shrink)
    gx, gy, gz = _across(g[0], g[1], g[2], tau[0], tau[1], tau[2], shrink)
    trace = 2.0 + shrink * shrink - (ax * ax + ay * ay + az * az)
    tensor = hx * gx + hy * gy + hz * gz - (h[0] * ax + h[1] * ay + h[2] * az) * (g[0] * ax + g[1] * ay + g[2] * az)
    return h[0] * g[0] + h[1] * g[1] + h[2] * g[2] - 2.0 * tensor / trace


@jit(inline=True)
def _into(v, b, bm):
    """The four-vector v in the rest frame of b (mass ``bm``)."""
    return boost(v[0], v[1], v[2], v[3], b[0], -b[1], -b[2], -b[3], bm)


@jit()
def pair_correlation(made, h, g, minus, plus, axis, m):
    """Spin part c of the pair weight 1 + c for taus of mass ``m`` with lab four-momenta ``minus`` and ``plus`` [GeV].

    h and g are the polarimeters in the rest frames reached from the lab; ``made`` is how the pair was made (BEAMS: by a
    virtual photon whose spin is along +- ``axis``, a unit four-vector in the lab across the pair's momentum;
    VECTOR_PARENT: by an unpolarised vector).
    """
    pair = (minus[0] + plus[0], minus[1] + plus[1], minus[2] + plus[2], minus[3] + plus[3])
    mass2 = pair[0] ** 2 - pair[1] ** 2 - pair[2] ** 2 - pair[3] ** 2
    mass = math.sqrt(mass2)
    first, second = _into(minus, pair, mass), _into(plus, pair, mass)
    hh = _into(_into(boost(0.0, h[0], h[1], h[2], *minus, m), pair, mass), first, m)[1:]
    gg = _into(_into(boost(0.0, g[0], g[1], g[2], *plus, m), pair, mass), second, m)[1:]
    tau = unit(first[1], first[2], first[3])
    dot = hh[0] * gg[0] + hh[1] * gg[1] + hh[2] * gg[2]
    if made == PSEUDOSCALAR:
        return -dot
    if made == BEAMS:
        return spin_correlation(hh, gg, _into(axis, pair, mass)[1:], tau, max(0.0, 1.0 - 4.0 * m * m / mass2))
    along = (hh[0] * tau[0] + hh[1] * tau[1] + hh[2] * tau[2]) * (gg[0] * tau[0] + gg[1] * tau[1] + gg[2] * tau[2])
    if made == SCALAR:
        return dot - 2.0 * along
    if made == VECTOR_PARENT:
        shrink2 = 4.0 * m * m / mass2
        return dot - 2.0 * (dot - (1.0 - shrink2) * along) / (2.0 + shrink2)
    return 0.0
