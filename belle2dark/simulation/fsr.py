"""Photons off the charged particles of a final state: any number, with angles, every event of weight one.

:func:`shower` is the engine, for event kernels; :func:`belle2dark.simulation.radiation.radiate_final` applies it to the
:class:`Events` of any generator. Candidates are a Poisson process over an envelope, taken from the most energetic one
down, each accepted with the ratio of true density to envelope at the momenta the earlier ones have left. So the number of
photons has its exact Sudakov form, "no photon" and "photons" add up to one, and nothing depends on the energy cut.

The density of one photon is exact for a pair of equal spin-1/2 particles from a vector (mumu, ee, tautau) and, without
mass terms beyond the eikonal ones, from a scalar. For anything else it is the coherent eikonal current of all charged
particles and the decaying one, with the magnetic term that makes the collinear limit of spin-1/2 particles right: good to
a few percent for hard photons at wide angle. Not included: the first-order correction to the total rate (3 alpha/4 pi =
0.2 % for light pairs; see :func:`belle2dark.simulation.pair.pair_cross_section`), photon splitting to e+e-, and any
change of the decay's own matrix element by the recoil.

Source: pair from a vector derived here from the traces and checked against explicit Dirac matrices in the tests, equal to
the massive-quark gluon spectrum of Ioffe, Phys. Lett. B 78 (1978) 277, with alpha for C_F alpha_s; the construction on
top of finished decays follows the idea of Barberio, van Eijk and Was, Comput. Phys. Commun. 66 (1991) 115.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

from belle2dark._jit import jit
from belle2dark.constants import ALPHA
from belle2dark.simulation.kinematics import around, boost, unit
from belle2dark.simulation.rng import uniform

_ALPHA = ALPHA["thomson"]
MAX_FINAL = 8  #: candidates at most per event; more have a probability below 1e-6
#: what decays, for the hard part of the density: a vector or a scalar to a pair, or anything
VECTOR, SCALAR, OTHER = 1, 0, -1


@jit(inline=True)
def spectrum(x1, x2, rho):
    """d^2 sigma/dx1 dx2 over (alpha/2 pi) sigma_massless, for lepton fractions x = 2 E/sqrt(s') and rho = 4 m^2/s'."""
    i1, i2 = 1.0 / (1.0 - x1), 1.0 / (1.0 - x2)
    double = 0.5 * rho * (1.0 + 0.5 * rho) * (i1 * i1 + i2 * i2)
    return (x1 * x1 + x2 * x2 - 0.5 * rho * rho) * i1 * i2 - rho * (i1 + i2) - double


@jit(inline=True)
def _dot(p, a, b):
    """Product of rows a and b of the table of four-momenta."""
    return p[a, 0] * p[b, 0] - p[a, 1] * p[b, 1] - p[a, 2] * p[b, 2] - p[a, 3] * p[b, 3]


@jit(inline=True)
def _rest(p, i):
    """Sum of all rows of the table but row i: (E, px, py, pz)."""
    e, x, y, z = 0.0, 0.0, 0.0, 0.0
    for j in range(len(p)):
        if j != i:
            e, x, y, z = e + p[j, 0], x + p[j, 1], y + p[j, 2], z + p[j, 3]
    return e, x, y, z


@jit(inline=True)
def _rest_mass2(p, mass, i):
    """Squared mass of everything but particle i, exact where it is one particle [GeV^2]."""
    if len(p) == 2:
        return mass[1 - i] ** 2
    e, x, y, z = _rest(p, i)
    return max(0.0, e * e - x * x - y * y - z * z)


@jit()
def density(p, mass, charge, half, i, x, y, m2, parent):
    """M^2 |M_with photon|^2 / (16 pi alpha |M_without|^2) after emission, times the share of emitter i among the charged ones.

    ``p`` holds the momenta after emission and the photon in its last row; x = 2 E_photon/M and y = 2 p_i.k/M^2, and
    ``m2`` is M^2 before it [GeV^2]. In a density of 1/(x y) this is at most 1 for one or two charged particles.
    """
    last = len(mass)
    total, share, norm = 0.0, 0.0, 0.0
    q, neutral = 0.0, 0
    for a in range(last):
        q += charge[a]
        if charge[a] == 0.0:
            neutral += 1
            continue
        ak = 0.5 * m2 * y if a == i else _dot(p, a, last)
        norm += 1.0 / ak
        share = share + (1.0 / ak if a == i else 0.0)
        total -= charge[a] ** 2 * mass[a] ** 2 / (ak * ak)
        for b in range(a):
            if charge[b] != 0.0:
                bk = 0.5 * m2 * y if b == i else _dot(p, b, last)
                total -= 2.0 * charge[a] * charge[b] * _dot(p, a, b) / (ak * bk)
    share /= norm
    if last == 2 and neutral == 0 and q == 0.0 and half[0] and half[1] and parent == VECTOR:
        rho = 4.0 * mass[0] ** 2 / m2
        # the emitter has 1 - x_other = y
        return share * max(0.0, spectrum(1.0 - y, 1.0 - x + y, rho)) / (2.0 + rho)
    pk = 0.5 * m2 * x
    if q != 0.0:
        total -= q * q * m2 / (pk * pk)
    for a in range(last):
        if charge[a] != 0.0:
            ak = 0.5 * m2 * y if a == i else _dot(p, a, last)
            e, px, py, pz = p[a, 0], p[a, 1], p[a, 2], p[a, 3]
            ke, kx, ky, kz = 0.0, 0.0, 0.0, 0.0
            for b in range(last + 1):
                ke, kx, ky, kz = ke + p[b, 0], kx + p[b, 1], ky + p[b, 2], kz + p[b, 3]
            pa = e * ke - px * kx - py * ky - pz * kz
            if q != 0.0:
                total += 2.0 * q * charge[a] * pa / (pk * ak)
            if half[a]:
                # 2 (p_rest.k) / ((M^2 - m_rest^2) p.k), with M^2 - m_rest^2 = 2 P'.p - m^2 + 2 P.k
                gap = 2.0 * (pa - ak) - mass[a] ** 2 + 2.0 * pk
                total += 2.0 * charge[a] ** 2 * (pk - ak) / (gap * ak)
    extra = 1.0 if parent == SCALAR and last == 2 and neutral == 0 and half[0] and half[1] else 0.0
    return share * max(0.0, 0.25 * m2 * total + extra)


@jit(inline=True)
def _velocity(m2, mi2, my2):
    """sqrt(lambda)/M^2 of M -> i Y, and velocity and energy fraction E/M of i there."""
    a = 1.0 + (mi2 - my2) / m2
    root = math.sqrt(max(0.0, a * a - 4.0 * mi2 / m2))
    return root, root / a, 0.5 * a


@jit()
def _place(s0, s1, p, mass, i, x, y, my2, new):
    """Write the momenta after emission of a photon (x, y) by i to ``new``, the photon in its last row: (s0, s1).

    Particle i or the rest of the system keeps its direction, with the probability of its squared momentum (for a pair
    from a vector this is exact). Source: Kleiss, Nucl. Phys. B 241 (1984) 61.
    """
    ye, yx, yy, yz = _rest(p, i)
    e, px, py, pz = ye + p[i, 0], yx + p[i, 1], yy + p[i, 2], yz + p[i, 3]
    m2 = e * e - px * px - py * py - pz * pz
    m = math.sqrt(m2)
    _, nx, ny, nz = boost(p[i, 0], p[i, 1], p[i, 2], p[i, 3], e, -px, -py, -pz, m)
    nx, ny, nz = unit(nx, ny, nz)
    mi2 = mass[i] ** 2
    xi, xy = 1.0 - x + y + (mi2 - my2) / m2, 1.0 - y + (my2 - mi2) / m2
    pi, pr = math.sqrt(max(1e-30, xi * xi - 4.0 * mi2 / m2)), math.sqrt(max(1e-30, xy * xy - 4.0 * my2 / m2))
    between = min(1.0, max(-1.0, (x * x - pi * pi - pr * pr) / (2.0 * pi * pr)))
    s0, s1, u = uniform(s0, s1)
    s0, s1, phi = uniform(s0, s1)
    ox, oy, oz = around(nx, ny, nz, between, 2.0 * math.pi * phi)
    h = 0.5 * m
    if u * (pi * pi + pr * pr) < pi * pi:
        ix, iy, iz, rx, ry, rz = pi * nx, pi * ny, pi * nz, pr * ox, pr * oy, pr * oz
    else:
        ix, iy, iz, rx, ry, rz = -pi * ox, -pi * oy, -pi * oz, -pr * nx, -pr * ny, -pr * nz
    new[i, 0], new[i, 1], new[i, 2], new[i, 3] = boost(h * xi, h * ix, h * iy, h * iz, e, px, py, pz, m)
    re, rx, ry, rz = boost(h * xy, h * rx, h * ry, h * rz, e, px, py, pz, m)
    last = len(mass)
    if last == 2:
        j = 1 - i
        new[j, 0], new[j, 1], new[j, 2], new[j, 3] = re, rx, ry, rz
    elif my2 < 1e-10 * m2:  # a rest of no mass cannot be boosted: a neutrino, or parallel ones, keep their shares
        for j in range(last):
            if j != i:
                share = p[j, 0] / ye
                new[j, 0], new[j, 1], new[j, 2], new[j, 3] = share * re, share * rx, share * ry, share * rz
    else:
        my = math.sqrt(my2)
        for j in range(last):
            if j != i:
                a, b, c, d = boost(p[j, 0], p[j, 1], p[j, 2], p[j, 3], ye, -yx, -yy, -yz, my)
                new[j, 0], new[j, 1], new[j, 2], new[j, 3] = boost(a, b, c, d, re, rx, ry, rz, my)
    kx, ky, kz = px - new[i, 1] - rx, py - new[i, 2] - ry, pz - new[i, 3] - rz
    new[last, 0], new[last, 1], new[last, 2], new[last, 3] = math.sqrt(kx * kx + ky * ky + kz * kz), kx, ky, kz
    return s0, s1


@jit()
def _candidates(s0, s1, p, mass, charge, m2, x_min, out):
    """Photons of the envelope, hardest first, as rows (x, emitter, envelope per unit ln x): (s0, s1, number)."""
    n, charged = 0, 0
    for i in range(len(mass)):
        charged += 1 if charge[i] != 0.0 else 0
    safety = 1.0 if charged <= 2 else 2.0
    for i in range(len(mass)):
        my2 = _rest_mass2(p, mass, i)
        x_max = 1.0 - (mass[i] + math.sqrt(my2)) ** 2 / m2
        if charge[i] == 0.0 or x_max <= x_min:
            continue
        root, beta, _ = _velocity(m2, mass[i] ** 2, my2)
        envelope = safety * charge[i] ** 2 * _ALPHA / (math.pi * root) * 2.0 * math.atanh(beta)
        length = math.log(x_max / x_min)
        limit = math.exp(-envelope * length)
        s0, s1, product = uniform(s0, s1)
        while product > limit and n < len(out):
            s0, s1, u = uniform(s0, s1)
            x = x_min * math.exp(u * length)
            j = n
            while j > 0 and out[j - 1, 0] < x:
                out[j, 0], out[j, 1], out[j, 2] = out[j - 1, 0], out[j - 1, 1], out[j - 1, 2]
                j -= 1
            out[j, 0], out[j, 1], out[j, 2] = x, float(i), envelope
            n += 1
            s0, s1, u = uniform(s0, s1)
            product *= u
    return s0, s1, n


@jit()
def shower(s0, s1, p, mass, charge, half, parent, x_min, work, photons, k):
    """Photons off the particles ``p`` (m, 4), one decaying system in any frame, changed in place: (s0, s1, k, weight).

    ``mass`` (m,) [GeV], ``charge`` (m,) and ``half`` (m,, spin 1/2 or not) describe them, ``parent`` is VECTOR, SCALAR or
    OTHER; photons above ``x_min`` M/2 in the system's rest frame go to rows k, k + 1, ... of ``photons`` (E, px, py, pz
    first) as far as it has rows. ``work`` is a pair of scratch tables (m + 1, 4) and (MAX_FINAL, 3). The weight is 1
    except where three or more charged particles exceed the envelope.
    """
    new, table = work
    e, px, py, pz = _rest(p, -1)
    m2 = e * e - px * px - py * py - pz * pz
    if m2 <= 0.0:
        return s0, s1, k, 1.0
    s0, s1, n = _candidates(s0, s1, p, mass, charge, m2, x_min, table)
    weight = 1.0
    for c in range(n):
        x, i = table[c, 0], int(table[c, 1])
        my2 = _rest_mass2(p, mass, i)
        left = m2 * (1.0 - x)
        if k >= len(photons) or left <= (mass[i] + math.sqrt(my2)) ** 2:
            continue
        root, _, _ = _velocity(m2, mass[i] ** 2, my2)
        _, beta, fraction = _velocity(left, mass[i] ** 2, my2)
        s0, s1, u = uniform(s0, s1)
        log_range = 2.0 * math.atanh(beta)
        # 1 - beta cos is log-uniform between 1 - beta and 1 + beta
        y = x * fraction * (1.0 + beta) * math.exp(-u * log_range)
        s0, s1 = _place(s0, s1, p, mass, i, x, y, my2, new)
        true = _ALPHA / (math.pi * root) * log_range * x * y * density(new, mass, charge, half, i, x, y, m2, parent)
        s0, s1, u = uniform(s0, s1)
        if u * table[c, 2] >= true:
            continue
        weight *= max(1.0, true / table[c, 2])
        for j in range(len(mass)):
            for d in range(4):
                p[j, d] = new[j, d]
        for d in range(4):
            photons[k, d] = new[len(mass), d]
        k += 1
        m2 = left
    return s0, s1, k, weight
