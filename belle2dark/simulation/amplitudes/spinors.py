"""Massive helicity spinors, currents and polarisation vectors: small numba helpers on tuples, to build amplitudes from.

Chiral basis, metric (+ - - -). A spinor (ket) is a tuple of four complex numbers, two left-handed and two right-handed
components; a row (bar) spinor is a tuple of four as well, so that ``product(bar, ket)`` is their plain sum of products. A
vector is a tuple (E, px, py, pz) with upper index, real or complex. Helicities are +1 and -1. A coupling is a pair
(left, right): gamma^mu (left P_L + right P_R) for vectors, left P_L + right P_R for scalars; :func:`vector_axial` and
:func:`scalar_pseudoscalar` make the pair. Factors i of vertices and propagators are left to the caller (a tree amplitude
needs none of them: each added emission is one vertex and one propagator, a common phase).

    a, b = bar(u_spinor(p1, m, +1)), v_spinor(p2, m, -1)      # outgoing lepton and antilepton
    j = current(a, b)                                         # ubar gamma^mu v
    left = propagate_bar(slash_bar(a, eps), add(p1, k), m)    # ubar eps-slash (p1-slash + k-slash + m) / ((p1 + k)^2 - m^2)
    amplitude = product(slash_bar(left, j_e), b)              # ... contracted with another current j_e

Everything is exact on the z axis, at rest (spin along z) and for massless particles. The phase of a spinor jumps at
p_z = 0; amplitudes squared do not depend on it.

Source: Hagiwara and Zeppenfeld, Nucl. Phys. B 274 (1986) 1 (two-component helicity spinors).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

from belle2dark._jit import jit


@jit(inline=True)
def get(table, i):
    """Row i of a table (k, 4) as a tuple."""
    return table[i, 0], table[i, 1], table[i, 2], table[i, 3]


@jit(inline=True)
def put(table, i, value):
    """Write a tuple to row i of a table (k, 4)."""
    table[i, 0], table[i, 1], table[i, 2], table[i, 3] = value


@jit(inline=True, fastmath=True)
def _chi(x, y, z):
    """Two-component spinor of helicity + along (x, y, z) and the length of the vector: (up, down, length)."""
    p = math.sqrt(x * x + y * y + z * z)
    if p <= 0.0:
        return 1.0 + 0.0j, 0.0 + 0.0j, 0.0
    if z >= 0.0:
        f = 1.0 / math.sqrt(2.0 * p * (p + z))
        return f * (p + z) + 0.0j, f * complex(x, y), p
    f = 1.0 / math.sqrt(2.0 * p * (p - z))
    return f * complex(x, -y), f * (p - z) + 0.0j, p


@jit(inline=True, fastmath=True)
def u_spinor(p, mass, helicity):
    """u(p) of a fermion with four-momentum ``p`` and ``mass`` [GeV]: normalised to u-bar u = 2 m [GeV]."""
    up, down, length = _chi(p[1], p[2], p[3])
    big = math.sqrt(p[0] + length)
    small = mass / big  # sqrt(E - |p|) without cancellation
    if helicity > 0:
        return small * up, small * down, big * up, big * down
    up, down = -down.conjugate(), up.conjugate()
    return big * up, big * down, small * up, small * down


@jit(inline=True, fastmath=True)
def v_spinor(p, mass, helicity):
    """v(p) of an antifermion with four-momentum ``p``, ``mass`` [GeV] and (physical) ``helicity``: v-bar v = -2 m [GeV]."""
    up, down, length = _chi(p[1], p[2], p[3])
    big = math.sqrt(p[0] + length)
    small = mass / big
    if helicity < 0:
        return small * up, small * down, -big * up, -big * down
    up, down = -down.conjugate(), up.conjugate()
    return big * up, big * down, -small * up, -small * down


@jit(inline=True, fastmath=True)
def bar(psi):
    """The row spinor psi^dagger gamma^0."""
    return psi[2].conjugate(), psi[3].conjugate(), psi[0].conjugate(), psi[1].conjugate()


@jit(inline=True, fastmath=True)
def product(row, ket):
    """row . ket, a complex number."""
    return row[0] * ket[0] + row[1] * ket[1] + row[2] * ket[2] + row[3] * ket[3]


@jit(inline=True, fastmath=True)
def _raise(x, y):
    """x + i y of real or complex numbers, without a multiplication."""
    return complex(x.real - y.imag, x.imag + y.real)


@jit(inline=True, fastmath=True)
def _lower(x, y):
    """x - i y of real or complex numbers, without a multiplication."""
    return complex(x.real + y.imag, x.imag - y.real)


@jit(inline=True, fastmath=True)
def slash(v, ket):
    """v-slash ket for a real or complex vector v."""
    plus, minus, a, b = v[0] + v[3], v[0] - v[3], _lower(v[1], v[2]), _raise(v[1], v[2])
    return (
        minus * ket[2] - a * ket[3],
        plus * ket[3] - b * ket[2],
        plus * ket[0] + a * ket[1],
        minus * ket[1] + b * ket[0],
    )


@jit(inline=True, fastmath=True)
def slash_bar(row, v):
    """row v-slash for a real or complex vector v."""
    plus, minus, a, b = v[0] + v[3], v[0] - v[3], _lower(v[1], v[2]), _raise(v[1], v[2])
    return (
        plus * row[2] + b * row[3],
        minus * row[3] + a * row[2],
        minus * row[0] - b * row[1],
        plus * row[1] - a * row[0],
    )


@jit(inline=True, fastmath=True)
def chiral(coupling, psi):
    """(left P_L + right P_R) psi for a ket; the same components are psi (left P_L + right P_R) for a row."""
    return coupling[0] * psi[0], coupling[0] * psi[1], coupling[1] * psi[2], coupling[1] * psi[3]


@jit(inline=True, fastmath=True)
def propagate(q, mass, ket):
    """(q-slash + m) ket / (q^2 - m^2) for a line of ``mass`` with momentum ``q`` [GeV] along the fermion flow."""
    s = slash(q, ket)
    f = 1.0 / (dot(q, q) - mass * mass)
    return f * (s[0] + mass * ket[0]), f * (s[1] + mass * ket[1]), f * (s[2] + mass * ket[2]), f * (s[3] + mass * ket[3])


@jit(inline=True, fastmath=True)
def propagate_bar(row, q, mass):
    """row (q-slash + m) / (q^2 - m^2), like :func:`propagate` from the right."""
    s = slash_bar(row, q)
    f = 1.0 / (dot(q, q) - mass * mass)
    return f * (s[0] + mass * row[0]), f * (s[1] + mass * row[1]), f * (s[2] + mass * row[2]), f * (s[3] + mass * row[3])


@jit(inline=True, fastmath=True)
def current(row, ket):
    """row gamma^mu ket, a complex vector; for other couplings use ``current(row, chiral(coupling, ket))``."""
    a, b, c, d = row[0] * ket[2], row[0] * ket[3], row[1] * ket[2], row[1] * ket[3]
    e, f, g, h = row[2] * ket[0], row[2] * ket[1], row[3] * ket[0], row[3] * ket[1]
    y = b - c - f + g
    return a + d + e + h, b + c - f - g, complex(y.imag, -y.real), a - d - e + h


@jit(inline=True, fastmath=True)
def vector_axial(vector, axial):
    """The pair (left, right) of gamma^mu (vector + axial gamma_5)."""
    return vector - axial, vector + axial


@jit(inline=True, fastmath=True)
def scalar_pseudoscalar(scalar, pseudoscalar):
    """The pair (left, right) of scalar + i pseudoscalar gamma_5."""
    return scalar - 1j * pseudoscalar, scalar + 1j * pseudoscalar


@jit(inline=True, fastmath=True)
def dot(a, b):
    """Minkowski product of two vectors, without complex conjugation."""
    return a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]


@jit(inline=True, fastmath=True)
def add(a, b):
    """a + b."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


@jit(inline=True, fastmath=True)
def subtract(a, b):
    """a - b."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]


@jit(inline=True, fastmath=True)
def scale(f, a):
    """f times a vector or a spinor."""
    return f * a[0], f * a[1], f * a[2], f * a[3]


@jit(inline=True, fastmath=True)
def transverse(k):
    """Two real unit polarisation vectors across the vector ``k``, right-handed with its direction (the z axis at rest)."""
    p = math.sqrt(k[1] * k[1] + k[2] * k[2] + k[3] * k[3])
    x, y, z = (k[1] / p, k[2] / p, k[3] / p) if p > 0.0 else (0.0, 0.0, 1.0)
    sign = 1.0 if z >= 0.0 else -1.0
    a = -1.0 / (sign + z)
    b = x * y * a
    return (0.0, 1.0 + sign * x * x * a, sign * b, -sign * x), (0.0, b, sign + y * y * a, -y)


@jit(inline=True, fastmath=True)
def longitudinal(k, mass):
    """The real longitudinal polarisation vector (|k|, E n) / m of a massive particle, n = z at rest."""
    p = math.sqrt(k[1] * k[1] + k[2] * k[2] + k[3] * k[3])
    if p <= 0.0:
        return 0.0, 0.0, 0.0, 1.0
    f = k[0] / (p * mass)
    return p / mass, f * k[1], f * k[2], f * k[3]
