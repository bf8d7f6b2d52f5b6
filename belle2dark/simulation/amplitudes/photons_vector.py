"""Squared amplitude of e+e- -> gamma gamma V at tree level: a vector of any mass that couples to electrons as a photon does.

Massless electrons, six graphs. The vector's polarisations are summed with -g, so its mass only enters through the momenta.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

from belle2dark._jit import jit
from belle2dark.simulation.amplitudes.spinors import (
    add,
    bar,
    current,
    propagate,
    propagate_bar,
    slash,
    slash_bar,
    subtract,
    transverse,
    u_spinor,
    v_spinor,
)


@jit()
def photons_vector(p1, p2, k1, k2):
    """Spin-averaged |M|^2 over e^6 [GeV^-2] for electron, positron and photon momenta (tuples, massless) [GeV]."""
    # one helicity of the electron: the other one gives the same by parity, the positron's is opposite
    u, v = u_spinor(p1, 0.0, 1), bar(v_spinor(p2, 0.0, -1))
    q1, q2, both = subtract(p1, k1), subtract(p1, k2), subtract(subtract(p1, k1), k2)
    r1, r2, left = subtract(k1, p2), subtract(k2, p2), subtract(add(k1, k2), p2)
    total = 0.0
    for i in range(2):
        e1 = transverse(k1)[i]
        a1, b1 = propagate(q1, 0.0, slash(e1, u)), propagate_bar(slash_bar(v, e1), r1, 0.0)
        for j in range(2):
            e2 = transverse(k2)[j]
            a2, b2 = propagate(q2, 0.0, slash(e2, u)), propagate_bar(slash_bar(v, e2), r2, 0.0)
            last = propagate(both, 0.0, add(slash(e2, a1), slash(e1, a2)))
            first = propagate_bar(add(slash_bar(b1, e2), slash_bar(b2, e1)), left, 0.0)
            amplitude = add(add(current(v, last), current(first, u)), add(current(b1, a2), current(b2, a1)))
            for mu in range(4):
                square = amplitude[mu].real ** 2 + amplitude[mu].imag ** 2
                total += -square if mu == 0 else square
    return 0.5 * total
