"""Squared amplitude of e+e- -> e+ e- gamma at tree level: compact, with the electron mass where it counts.

Exact to 1e-3 where the photon or both electrons stay 0.02 rad off the beams; not for all of them along the beams.

Source: Berends, Kleiss, De Causmaecker, Gastmans, Wu, Phys. Lett. B 103 (1981) 124 (massless); the collinear mass terms
are the eikonal ones times the Altarelli-Parisi factor, that of a nearly forward electron is the one of equivalent photons
(Budnev et al., Phys. Rept. 15 (1975) 181), both put together here.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, M_ELECTRON

_E2 = 4.0 * math.pi * ALPHA["thomson"]
_M2 = M_ELECTRON * M_ELECTRON


@jit()
def matrix_element(s, s_prime, x, near, eta, rows, pole):
    """Spin-averaged |M|^2 [GeV^-2] of e+e- -> e+ e- gamma.

    ``x`` is the photon energy over the beam energy, ``near`` its 1 - |cos theta| and ``eta`` its rapidity (only the sign
    counts); ``rows`` (2, 4) are e- and e+ in the CMS [GeV], ``pole`` is -t, -t', 2 k.e-, 2 k.e+ [GeV^2].
    """
    half = 0.5 * math.sqrt(s)
    p0 = math.sqrt(half * half - _M2)
    t, t2 = -pole[0], -pole[1]
    y_minus, y_plus = 0.5 * pole[2], 0.5 * pole[3]
    slow = _M2 / (half * (half + p0))  # 1 - beta
    small = slow + (1.0 - slow) * near
    x_minus, x_plus = (small, 2.0 - small) if eta > 0.0 else (2.0 - small, small)
    x_minus, x_plus = half * half * x * x_minus, half * half * x * x_plus
    u = -2.0 * (half * rows[1, 0] - p0 * rows[1, 3])
    u2 = -2.0 * (half * rows[0, 0] + p0 * rows[0, 3])
    numerator = s * s_prime * (s * s + s_prime * s_prime) + t * t2 * (t * t + t2 * t2) + u * u2 * (u * u + u2 * u2)
    electron, positron = (2.0 * _M2 - t) / (x_minus * y_minus), (2.0 * _M2 - t2) / (x_plus * y_plus)
    eikonal = (s - 2.0 * _M2) / (x_plus * x_minus) + (s_prime - 2.0 * _M2) / (y_plus * y_minus) + electron + positron
    eikonal += u / (x_minus * y_plus) + u2 / (x_plus * y_minus)
    # one of these terms counts at a time: the photon along one leg, which keeps the fraction s'/s of its energy
    mass_minus = _M2 * (1.0 / x_minus**2 + 1.0 / y_minus**2)
    mass_plus = _M2 * (1.0 / x_plus**2 + 1.0 / y_plus**2)
    eikonal -= 2.0 * s * s_prime / (s * s + s_prime * s_prime) * (mass_minus + mass_plus)
    # the line that does not radiate is the one that may be nearly on the exchanged photon
    electron, positron = max(0.0, electron - mass_minus), max(0.0, positron - mass_plus)
    forward = positron * _forward(t, rows[0, 0] / half) + electron * _forward(t2, rows[1, 0] / half)
    forward = forward / (electron + positron) if electron + positron > 0.0 else 1.0
    return _E2**3 * max(0.0, numerator / (s * s_prime * t * t2) * eikonal * forward)


@jit(inline=True)
def _forward(t, z):
    """Mass term of an electron that keeps the energy fraction z at small momentum transfer t [GeV^2]."""
    return 1.0 + 2.0 * _M2 * (1.0 - z) ** 2 / (t * (1.0 + z * z))
