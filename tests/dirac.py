"""Explicit Dirac matrices in the standard (Dirac) basis, in numpy: a second way to every spinor sum, for the tests.

Nothing here is shared with the package: spin sums are traces of projectors, not products of spinors.
"""

from __future__ import annotations

import numpy as np

I2 = np.eye(2)
PAULI = (np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.array([[1, 0], [0, -1]]))
GAMMA = np.array(
    [np.kron(PAULI[2], I2).astype(complex), *(np.kron(1j * PAULI[1], s) for s in PAULI)],
)
GAMMA5 = 1j * GAMMA[0] @ GAMMA[1] @ GAMMA[2] @ GAMMA[3]
ONE = np.eye(4)
METRIC = np.diag([1.0, -1.0, -1.0, -1.0])


def slash(p):
    """p-slash of a vector (..., 4) with upper index, (..., 4, 4)."""
    return np.einsum("...m,mij->...ij", np.asarray(p) @ METRIC, GAMMA)


def square(p):
    """p.p, (...)."""
    return np.einsum("...m,mn,...n->...", p, METRIC, p)


def adjoint(matrix):
    """gamma0 matrix^dagger gamma0: what stands in the conjugate amplitude."""
    return GAMMA[0] @ np.swapaxes(matrix.conj(), -1, -2) @ GAMMA[0]


def propagator(q, mass):
    """(q-slash + m) / (q^2 - m^2), (..., 4, 4)."""
    return (slash(q) + mass * ONE) / (square(q) - mass**2)[..., None, None]


def u_spinors(p, mass):
    """u spinors of momentum p (4,), spin up and down along z at rest."""
    return [(slash(p) + mass * ONE) @ ONE[i] / np.sqrt(p[0] + mass) for i in (0, 1)]


def v_spinors(p, mass):
    """v spinors of momentum p (4,), as :func:`u_spinors`."""
    return [(slash(p) - mass * ONE) @ ONE[i] / np.sqrt(p[0] + mass) for i in (2, 3)]


def bar(psi):
    """psi^dagger gamma0."""
    return psi.conj() @ GAMMA[0]


def trace(*matrices):
    """Trace of a product of (..., 4, 4) matrices."""
    out = matrices[0]
    for matrix in matrices[1:]:
        out = out @ matrix
    return np.trace(out, axis1=-2, axis2=-1)


def vector_sum(k, mass):
    """Sum over polarisations of a massive vector, -g + k k / m^2 with upper indices, (..., 4, 4)."""
    return -METRIC + np.einsum("...m,...n->...mn", k, k) / mass**2


def _line(row_momentum, ket_momentum, k, m_row, m_ket, vertex):
    """Amputated line with a photon (index mu) and X, both orders, (n, 4, 4, 4); momenta along the fermion flow."""
    after, before = row_momentum + k, ket_momentum - k
    left = np.einsum("...ij,mjk->...mik", vertex @ propagator(after, m_ket), GAMMA)
    right = np.einsum("mij,...jk->...mik", GAMMA, propagator(before, m_row) @ vertex)
    return left + right


def lepton_pair_squared(momenta, masses, final, beam=None, exchange=(False, False), vector=True, m_x=1.0, pols=None, beams=None):
    """Sum over spins of |M|^2 / e^4 for e+e- -> l- l+ X, (n,), from the amputated amplitude between projectors.

    ``final`` and ``beam`` are (c, c5) of c + c5 gamma5 (times gamma^a for vectors), ``masses`` those of e, l-, l+.
    ``pols`` (m, n, 4) replaces the polarisation sum of a massive vector; ``beams`` are chiral projectors of e- and e+.
    """
    pa, pb, p1, p2, k = (momenta[:, i] for i in range(5))
    m_e, m1, m2 = masses
    if vector and pols is None:
        values, vectors = np.linalg.eigh(vector_sum(k, m_x))
        pols = [np.sqrt(values[:, i])[:, None] * vectors[:, :, i] for i in range(1, 4)]
    total = 0.0
    lower = np.diag(METRIC)
    for pol in pols if vector else [None]:
        tensor = 0.0
        for graph, couplings in (("final", final), ("beam", beam), ("minus", final), ("plus", final)):
            if couplings is None or (graph == "minus" and not exchange[0]) or (graph == "plus" and not exchange[1]):
                continue
            vertex = couplings[0] * ONE + couplings[1] * GAMMA5
            vertex = slash(pol) @ vertex if vector else np.broadcast_to(vertex, (len(momenta), 4, 4))
            # indices: i row of the positron, j ket of the electron, k row of l-, l ket of l+
            if graph == "final":
                part = np.einsum("m,mij,nmkl->nijkl", lower, GAMMA, _line(p1, -p2, k, m1, m2, vertex))
                part = part / square(pa + pb)[:, None, None, None, None]
            elif graph == "beam":
                part = np.einsum("m,nmij,mkl->nijkl", lower, _line(-pb, pa, k, m_e, m_e, vertex), GAMMA)
                part = part / square(p1 + p2)[:, None, None, None, None]
            elif graph == "minus":
                part = np.einsum("m,mkj,nmil->nijkl", lower, GAMMA, _line(-pb, -p2, k, m_e, m2, vertex))
                part = -part / square(pa - p1)[:, None, None, None, None]
            else:
                part = np.einsum("m,mil,nmkj->nijkl", lower, GAMMA, _line(p1, pa, k, m1, m_e, vertex))
                part = -part / square(pb - p2)[:, None, None, None, None]
            tensor = tensor + part
        project = (ONE, ONE) if beams is None else beams
        kets = [project[0] @ (slash(pa) + m_e * ONE) @ GAMMA[0], (slash(p2) - m2 * ONE) @ GAMMA[0]]
        rows = [GAMMA[0] @ project[1] @ (slash(pb) - m_e * ONE), GAMMA[0] @ (slash(p1) + m1 * ONE)]
        closed = np.einsum("nijkl,njb->nibkl", tensor, kets[0])
        closed = np.einsum("nibkl,nld->nibkd", closed, kets[1])
        closed = np.einsum("nibkd,nai->nabkd", closed, rows[0])
        closed = np.einsum("nabkd,nck->nabcd", closed, rows[1])
        total = total + np.einsum("nabcd,nabcd->n", closed, tensor.conj()).real
    return total


def trace_squared(momenta, mass, vector, axial, m_x):
    """Sum over spins of |M|^2 / e^4 for X off two leptons of ``mass``, massless beams, as traces L_mn H^mn, (n,)."""
    pa, pb, p1, p2, k = (momenta[:, i] for i in range(5))
    lower = np.diag(METRIC)
    beams = np.stack([np.stack([trace(slash(pb), a, slash(pa), b) for b in GAMMA], -1) for a in GAMMA], -2)
    couple = vector * ONE + axial * GAMMA5
    lines = np.stack([_line(p1, -p2, k, mass, mass, g @ couple) for g in GAMMA], axis=1)  # (n, a, m, 4, 4)
    spins = vector_sum(k, m_x) * lower[:, None] * lower[None, :]
    plus, minus = slash(p1) + mass * ONE, slash(p2) - mass * ONE
    total = 0.0
    for m in range(4):
        for n in range(4):
            for a in range(4):
                for b in range(4):
                    leptons = trace(plus, lines[:, a, m], minus, adjoint(lines[:, b, n]))
                    total = total + lower[m] * lower[n] * beams[:, m, n] * spins[:, a, b] * leptons
    return total.real / square(pa + pb) ** 2
