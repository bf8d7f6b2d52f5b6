"""e+e- -> l1- l2+ X at tree level for a new vector or scalar X, every lepton massive, through one virtual photon.

X has vector and axial couplings, or scalar and pseudoscalar ones, to the two final leptons (which may differ in flavour)
and, separately, to electrons. Graphs: X off the final leptons, X off the beams, and, when an electron is in the final
state, the photon exchanged between the beams (e+e- -> e+e- X has all eight, e+e- -> e- mu+ X four). Beams may be
polarised. X may be replaced by the pair of fermions it decays to, with all spin correlations. Not included: the Z, a
width of X or of an intermediate lepton (a tau that decays to mu X on its mass shell).

Kernels use :func:`squared`; arrays go through :func:`matrix_element_squared`.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA, M_ELECTRON
from belle2dark.simulation.amplitudes.couplings import MASSES, NONE, LeptonCoupling
from belle2dark.simulation.amplitudes.spinors import (
    add,
    bar,
    chiral,
    current,
    dot,
    get,
    longitudinal,
    product,
    propagate,
    propagate_bar,
    put,
    scale,
    slash,
    slash_bar,
    subtract,
    transverse,
    u_spinor,
    v_spinor,
)
from belle2dark.simulation.events import Array
from belle2dark.sourced import nearest


class Process(NamedTuple):
    """What :func:`squared` needs, made by :func:`process`.

    ``opposite_only`` drops beams of equal helicity where only graphs suppressed by m_e^2/s (1e-8) need them.
    """

    vector: bool
    m_x: float
    m_minus: float
    m_plus: float
    final_left: complex
    final_right: complex
    beam_left: complex
    beam_right: complex
    off_final: bool
    off_beams: bool
    exchange_minus: bool
    exchange_plus: bool
    opposite_only: bool
    polarisation_minus: float
    polarisation_plus: float
    charge4: float


def process(
    mass: float, coupling: LeptonCoupling, *, leptons: tuple[str, str] = ("mu", "mu"), electron_coupling: LeptonCoupling = NONE,
    polarisation: tuple[float, float] = (0.0, 0.0), alpha: str = "physical",
) -> Process:  # fmt: skip
    """The process e+e- -> l1- l2+ X with X of ``mass`` [GeV]; ``polarisation`` is that of electron and positron beam.

    ``coupling`` is that to ``leptons`` (negative, positive); ``electron_coupling`` that to beam electrons, which follows
    from ``coupling`` when both leptons are electrons. Raises ``ValueError`` for impossible values.
    """
    if not (math.isfinite(mass) and mass > 0.0):
        raise ValueError(f"mass = {mass} GeV: must be positive")
    for name in leptons:
        if name not in MASSES:
            raise ValueError(f"lepton = {name!r}: must be one of {', '.join(MASSES)}; nearest: {nearest(name, MASSES)}")
    if alpha not in ALPHA:
        raise ValueError(f"alpha = {alpha!r}: must be one of {', '.join(ALPHA)}; nearest: {nearest(alpha, ALPHA)}")
    if not all(abs(p) <= 1.0 for p in polarisation):
        raise ValueError(f"polarisation = {polarisation}: each beam's must lie between -1 and 1")
    if leptons == ("e", "e"):
        if electron_coupling not in (NONE, coupling):
            raise ValueError(f"electron_coupling = {electron_coupling}: for two electrons it is the coupling itself")
        electron_coupling = coupling
    elif leptons[0] != leptons[1] and not electron_coupling.is_zero:
        raise ValueError("electron_coupling: a flavour-violating pair has no graph with X off the beams alone")
    if coupling.is_zero and electron_coupling.is_zero:
        raise ValueError("coupling: X couples to nothing")
    if not coupling.is_zero and not electron_coupling.is_zero and coupling.is_vector != electron_coupling.is_vector:
        raise ValueError("electron_coupling: must be of the same kind (vector or scalar) as coupling")
    m1, m2 = MASSES[leptons[0]], MASSES[leptons[1]]
    if mass <= abs(m1 - m2):
        raise ValueError(f"mass = {mass} GeV: below {abs(m1 - m2):g} GeV the heavier lepton decays to X; generate pairs of it")
    return Process(
        coupling.is_vector or electron_coupling.is_vector, mass, m1, m2, *coupling.chiral, *electron_coupling.chiral,
        not coupling.is_zero, not electron_coupling.is_zero, leptons[0] == "e", leptons[1] == "e",
        electron_coupling.is_zero and "e" not in leptons, *polarisation, (4.0 * math.pi * ALPHA[alpha]) ** 2,
    )  # fmt: skip


#: distance in the table of amplitudes from helicity + to - of each lepton; the four polarisations of X lie side by side
_ELECTRON, _POSITRON, _MINUS, _PLUS = 32, 16, 8, 4


@jit()
def workspace():
    """Scratch arrays of :func:`squared`: spinors, rows and kets with X attached, polarisations of X, amplitudes."""
    return (np.zeros((4, 2, 4), np.complex128), np.zeros((2, 4, 4), np.complex128), np.zeros((2, 4, 4), np.complex128),
            np.zeros((4, 4), np.complex128), np.zeros(64, np.complex128))  # fmt: skip


@jit(inline=True)
def helicity_weight(proc, a, b):
    """Share of beams with the helicities of electron and positron, 0 for + and 1 for -."""
    return 0.25 * (1.0 + (1 - 2 * a) * proc.polarisation_minus) * (1.0 + (1 - 2 * b) * proc.polarisation_plus)


@jit()
def polarisations(vector, k, mass, out):
    """Fill ``out`` with the polarisation vectors of an undecayed X and return their number (1, unused, for a scalar)."""
    if not vector:
        return 1
    a, b = transverse(k)
    c = longitudinal(k, mass)
    for i in range(4):
        out[0, i], out[1, i], out[2, i] = a[i], b[i], c[i]
    return 3


@jit()
def decay_currents(vector, coupling, k, mass, minus, plus, m_decay, out):
    """Fill ``out`` with the currents of X -> f- f+ in place of polarisations and return their number.

    They are normalised to a unit average over decay angles, so that the cross-section stays that of the undecayed X.
    """
    if not vector:
        return 1
    total = 0.0
    for i in range(2):
        row = bar(u_spinor(minus, m_decay, 1 - 2 * i))
        for j in range(2):
            c = current(row, chiral(coupling, v_spinor(plus, m_decay, 1 - 2 * j)))
            c = subtract(c, scale(dot(c, k) / (mass * mass), k))
            for a in range(4):
                out[2 * i + j, a] = c[a]
                size = c[a].real * c[a].real + c[a].imag * c[a].imag
                total += size if a > 0 else -size
    norm = math.sqrt(3.0 / total)
    for i in range(4):
        for a in range(4):
            out[i, a] *= norm
    return 4


@jit()
def attach(vector, coupling, n, eps, k, rows, out_flow, m_row, kets, in_flow, m_ket, rows_x, kets_x):
    """Attach X to both ends of a fermion line: rows_x[h, j], kets_x[h, j] for helicity h and polarisation j of X.

    Momenta are along the fermion flow. The vertex turns the flavour of the ket into that of the row, so the line has
    ``m_ket`` before X is attached on the row's side and ``m_row`` after it on the ket's side.
    """
    after, before = add(out_flow, k), subtract(in_flow, k)
    for h in range(2):
        row, ket = get(rows, h), chiral(coupling, get(kets, h))
        for j in range(n):
            if vector:
                e = get(eps, j)
                left, right = chiral(coupling, slash_bar(row, e)), slash(e, ket)
            else:
                left, right = chiral(coupling, row), ket
            put(rows_x[h], j, propagate_bar(left, after, m_ket))
            put(kets_x[h], j, propagate(before, m_row, right))


@jit()
def contract(n, photon, rows, kets, rows_x, kets_x, start, row_step, ket_step, out):
    """Add a line with X attached that absorbs the vector ``photon`` to ``out[start + r row_step + c ket_step + j]``.

    r, c are the helicities of row and ket, j the polarisation of X.
    """
    for r in range(2):
        row = slash_bar(get(rows, r), photon)
        for c in range(2):
            ket = slash(photon, get(kets, c))
            first = start + r * row_step + c * ket_step
            for j in range(n):
                out[first + j] += product(get(rows_x[r], j), ket) + product(row, get(kets_x[c], j))


@jit()
def _graphs(factor, n, plain_rows, plain_kets, rows, kets, rows_x, kets_x, steps, amplitudes, opposite_only):
    """Add the two graphs with X on one line and none on the other; ``steps``: plain row, plain ket, row, ket."""
    for a in range(2):
        for b in range(2):
            if opposite_only and a == b:
                continue
            photon = scale(factor, current(get(plain_rows, a), get(plain_kets, b)))
            contract(n, photon, rows, kets, rows_x, kets_x, a * steps[0] + b * steps[1], steps[2], steps[3], amplitudes)


@jit()
def _beams_and_leptons(proc, electron, positron, minus, plus, spinors):
    """Fill the spinors of both helicities: electron, positron (row), negative lepton (row), positive lepton."""
    for h in range(2):
        helicity = 1 - 2 * h
        put(spinors[0], h, u_spinor(electron, M_ELECTRON, helicity))
        put(spinors[1], h, bar(v_spinor(positron, M_ELECTRON, helicity)))
        put(spinors[2], h, bar(u_spinor(minus, proc.m_minus, helicity)))
        put(spinors[3], h, v_spinor(plus, proc.m_plus, helicity))


@jit()
def _sum(proc, amplitudes):
    """Sum of squares over helicities, weighted with the polarisation of the beams."""
    total = 0.0
    for a in range(2):
        for b in range(2):
            part = 0.0
            for i in range(a * _ELECTRON + b * _POSITRON, a * _ELECTRON + b * _POSITRON + _POSITRON):
                part += amplitudes[i].real * amplitudes[i].real + amplitudes[i].imag * amplitudes[i].imag
            total += helicity_weight(proc, a, b) * part
    return total


@jit()
def squared(proc, electron, positron, minus, plus, k, n, eps, work):
    """|M|^2 [GeV^-2], averaged over the beams as polarised and summed over the rest.

    The arguments are the process, the five four-momenta [GeV], number and table of polarisation vectors of X (from
    :func:`polarisations` or :func:`decay_currents`), and a :func:`workspace`.
    """
    spinors, rows_x, kets_x, _, amplitudes = work
    _beams_and_leptons(proc, electron, positron, minus, plus, spinors)
    amplitudes[:] = 0.0
    final, m_minus, m_plus = (proc.final_left, proc.final_right), proc.m_minus, proc.m_plus
    beam_in, beam_out, lepton_out, lepton_in = spinors[0], spinors[1], spinors[2], spinors[3]
    p_flow, l_flow = scale(-1.0, positron), scale(-1.0, plus)
    if proc.off_final:
        q = add(electron, positron)
        attach(proc.vector, final, n, eps, k, lepton_out, minus, m_minus, lepton_in, l_flow, m_plus, rows_x, kets_x)
        _graphs(1.0 / dot(q, q), n, beam_out, beam_in, lepton_out, lepton_in, rows_x, kets_x,
                (_POSITRON, _ELECTRON, _MINUS, _PLUS), amplitudes, proc.opposite_only)  # fmt: skip
    if proc.off_beams:
        q = add(minus, plus)
        beam = (proc.beam_left, proc.beam_right)
        attach(proc.vector, beam, n, eps, k, beam_out, p_flow, M_ELECTRON, beam_in, electron, M_ELECTRON, rows_x, kets_x)
        _graphs(1.0 / dot(q, q), n, lepton_out, lepton_in, beam_out, beam_in, rows_x, kets_x,
                (_MINUS, _PLUS, _POSITRON, _ELECTRON), amplitudes, False)  # fmt: skip
    if proc.exchange_minus:  # the electron is scattered, X off the positron's line
        q = subtract(electron, minus)
        attach(proc.vector, final, n, eps, k, beam_out, p_flow, M_ELECTRON, lepton_in, l_flow, m_plus, rows_x, kets_x)
        _graphs(-1.0 / dot(q, q), n, lepton_out, beam_in, beam_out, lepton_in, rows_x, kets_x,
                (_MINUS, _ELECTRON, _POSITRON, _PLUS), amplitudes, False)  # fmt: skip
    if proc.exchange_plus:  # the positron is scattered, X off the electron's line
        q = subtract(plus, positron)
        attach(proc.vector, final, n, eps, k, lepton_out, minus, m_minus, beam_in, electron, M_ELECTRON, rows_x, kets_x)
        _graphs(-1.0 / dot(q, q), n, beam_out, lepton_in, lepton_out, beam_in, rows_x, kets_x,
                (_POSITRON, _PLUS, _MINUS, _ELECTRON), amplitudes, False)  # fmt: skip
    return proc.charge4 * _sum(proc, amplitudes)


@jit()
def _many(proc, momenta, out):
    work = workspace()
    for i in range(len(out)):
        p, k = momenta[i], get(momenta[i], 4)
        n = polarisations(proc.vector, k, proc.m_x, work[3])
        out[i] = squared(proc, get(p, 0), get(p, 1), get(p, 2), get(p, 3), k, n, work[3], work)


def matrix_element_squared(proc: Process, momenta: Array) -> Array:
    """|M|^2 [GeV^-2], (n,), at ``momenta`` (n, 5, 4) [GeV] of e-, e+, negative lepton, positive lepton and X."""
    out = np.empty(len(momenta))
    _many(proc, np.ascontiguousarray(momenta, dtype=np.float64), out)
    return out
