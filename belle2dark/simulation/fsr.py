"""One photon off a lepton pair: the exact massive matrix element of gamma* -> l+ l- gamma.

The emission probability above the energy cut is tabulated, so "no photon" and "a photon" add up to one: the total
cross-section is unchanged (the true correction is 3 alpha/4 pi = 0.2 %), and hard-photon rates do not depend on the cut.

Source: derived here from the traces with -g_munu for the virtual photon and checked against explicit Dirac matrices in
the tests; equal to the massive-quark gluon spectrum of Ioffe, Phys. Lett. B 78 (1978) 277, with alpha for C_F alpha_s.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import uniform

_SCALE = ALPHA["thomson"] / (2.0 * math.pi)


class Emission(NamedTuple):
    """What :func:`emit` needs, made once by :func:`emission`: table of the probability over log(s'), cut and share."""

    low: float
    step: float
    probability: Array
    x_min: float
    share: float


@jit(inline=True)
def spectrum(x1, x2, rho):
    """d^2 sigma/dx1 dx2 over (alpha/2 pi) sigma_massless, for lepton fractions x = 2 E/sqrt(s') and rho = 4 m^2/s'."""
    i1, i2 = 1.0 / (1.0 - x1), 1.0 / (1.0 - x2)
    double = 0.5 * rho * (1.0 + 0.5 * rho) * (i1 * i1 + i2 * i2)
    return (x1 * x1 + x2 * x2 - 0.5 * rho * rho) * i1 * i2 - rho * (i1 + i2) - double


@jit(inline=True)
def _weighted(x, t, rho):
    """Fractions x1, x2 and emission density per unit log x and per unit t in (-1, 1) for the photon fraction x.

    t is the rapidity-like variable that flattens the collinear peaks of both leptons.
    """
    beta = math.sqrt(1.0 - rho / (1.0 - x))
    eta = math.atanh(beta)
    y1 = 0.5 * x * (1.0 - math.tanh(eta * t))
    x1, x2 = 1.0 - y1, 1.0 - x + y1
    born = math.sqrt(1.0 - rho) * (1.0 + 0.5 * rho)
    return x1, x2, _SCALE * spectrum(x1, x2, rho) * 2.0 * y1 * (x - y1) * eta / born


@cache
def emission(mass: float, sqrt_s: float, x_min: float = 1e-3, share: float = 0.3) -> Emission:
    """Settings for leptons of ``mass`` [GeV] from s' up to just above sqrt_s^2 [GeV^2].

    ``x_min`` is the smallest photon energy in units of sqrt(s')/2, ``share`` the fraction of events that get a photon.
    Raises ``ValueError`` for values outside (0, 0.5).
    """
    if not (0.0 < x_min < 0.5 and 0.0 < share < 1.0):
        raise ValueError(f"x_min = {x_min}, share = {share}: allowed 0 < x_min < 0.5 and 0 < share < 1")
    low, high = math.log(4.0 * mass * mass), 2.0 * math.log(1.05 * sqrt_s)
    grid = np.linspace(low, high, 100)
    u, wu = np.polynomial.legendre.leggauss(48)
    density = _weighted.py_func
    table = np.zeros(len(grid))
    for i, log_s in enumerate(grid):
        rho = math.exp(low - log_s)
        length = math.log((1.0 - rho) / x_min) if rho < 1.0 - x_min else 0.0
        if length > 0.0:
            xs = x_min * np.exp(0.5 * length * (u + 1.0) * (1.0 - 1e-12))
            inner = [sum(w * density(float(x), float(t), rho)[2] for t, w in zip(u, wu, strict=True)) for x in xs]
            table[i] = 0.5 * length * float(wu @ np.array(inner))
    return Emission(low, grid[1] - grid[0], table, x_min, share)


@jit(inline=True)
def emit(s0, s1, settings, s_prime, rho):
    """Decide on a photon at s' [GeV^2]: (s0, s1, x1, x2, weight); no photon when x1 = x2 = 1."""
    i = (math.log(s_prime) - settings.low) / settings.step
    k = min(max(int(i), 0), len(settings.probability) - 2)
    f = min(max(i - k, 0.0), 1.0)
    probability = (1.0 - f) * settings.probability[k] + f * settings.probability[k + 1]
    s0, s1, choose = uniform(s0, s1)
    s0, s1, u = uniform(s0, s1)
    s0, s1, t = uniform(s0, s1)
    if settings.x_min >= 1.0 - rho:
        return s0, s1, 1.0, 1.0, 1.0
    if choose > settings.share:
        return s0, s1, 1.0, 1.0, (1.0 - probability) / (1.0 - settings.share)
    length = math.log((1.0 - rho) / settings.x_min)
    x = settings.x_min * math.exp(u * length)
    x1, x2, density = _weighted(x, 2.0 * t - 1.0, rho)
    return s0, s1, x1, x2, max(0.0, density) * 2.0 * length / settings.share
