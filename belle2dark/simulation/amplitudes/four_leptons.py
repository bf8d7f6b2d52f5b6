"""e+e- -> l- l+ l'- l'+ at tree level: every QED graph, and the same with a new boson in place of the photon inside.

Two lepton lines come out of the beams' photon and share a second boson (annihilation: the boson leaves one line and makes
the other pair), or both pairs come from photons off the beam line (conversion). Identical leptons (4 mu) have the graphs with
the two l- exchanged subtracted: 12 QED graphs. With a :func:`vector_boson` or :func:`scalar_boson` in place of the photon this is
e+e- -> l- l+ X, X -> l'- l'+ with the spins of everything correlated; ``(PHOTON, x)`` as bosons has the interference as well.

Final leptons are massive, the beams massless: valid for l other than the electron, and while the squared momentum transfer
to a pair stays above m_e^2, (2 m_l)^4 / s >> m_e^2 (a factor 70 for muons at 10.58 GeV). Not included: the Z, a new boson
between the beams and the pairs (far off its mass there), loops.

Source: the Feynman rules; helicity method as in :mod:`.spinors`.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.constants import ALPHA
from belle2dark.simulation.amplitudes.spinors import (
    add,
    bar,
    chiral,
    current,
    dot,
    get,
    product,
    propagate,
    propagate_bar,
    scalar_pseudoscalar,
    scale,
    slash,
    slash_bar,
    subtract,
    u_spinor,
    v_spinor,
    vector_axial,
)
from belle2dark.simulation.events import Array

Complex = NDArray[np.complex128]
Pair = tuple[complex, complex]
_NO_COUPLING: Pair = (0.0, 0.0)


class Boson(NamedTuple):
    """A boson between two lepton lines: mass, width [GeV], couplings (left, right) to l, l' and the beams, in e if massless."""

    scalar: bool
    mass: float
    width: float
    first: Pair
    second: Pair
    electron: Pair = _NO_COUPLING


PHOTON = Boson(False, 0.0, 0.0, (1.0, 1.0), (1.0, 1.0), (1.0, 1.0))


def vector_boson(mass: float, width: float, first: Pair, second: Pair, electron: Pair = _NO_COUPLING) -> Boson:
    """A spin-1 boson of ``mass``, ``width`` [GeV]; each coupling gamma^mu (vector + axial gamma_5) is a pair of real numbers.

    ``first`` and ``second`` are to the leptons of the first and second pair (the same if those are), ``electron`` lets the
    beams emit it. Raises ``ValueError`` for an impossible mass or width.
    """
    _check(mass, width)
    return Boson(False, mass, width, vector_axial(*first), vector_axial(*second), vector_axial(*electron))


def scalar_boson(mass: float, width: float, first: Pair, second: Pair, electron: Pair = _NO_COUPLING) -> Boson:
    """A spin-0 boson; each coupling scalar + i pseudoscalar gamma_5 is a pair of real numbers; as :func:`vector_boson`."""
    _check(mass, width)
    return Boson(True, mass, width, *(scalar_pseudoscalar(*pair) for pair in (first, second, electron)))


def _check(mass: float, width: float) -> None:
    if not 0.0 < mass < math.inf or not 0.0 <= width < math.inf:
        raise ValueError(f"mass = {mass} GeV, width = {width} GeV: need a positive mass and a width of at least 0")


def model(bosons: Sequence[Boson], alpha: float = ALPHA["thomson"]) -> Complex:
    """The kernels' table of bosons, one a row: spin-0 flag, mass, width, the three couplings (left, right) in units of e."""
    e = math.sqrt(4.0 * math.pi * alpha)
    rows = [[*b[:3], *(c / (e if b.mass > 0.0 else 1.0) for pair in b[3:] for c in pair)] for b in bosons]
    return np.array(rows, dtype=np.complex128)


def four_leptons_squared(
    momenta: Array, masses: tuple[float, float], identical: bool, bosons: Sequence[Boson], alpha: float = ALPHA["thomson"]
) -> Array:
    """|M|^2 (n,) [GeV^-4], mean over beam and sum over final spins, for momenta (n, 4, 4) of l-, l+, l'-, l'+ [GeV].

    In the centre of mass with the electron along +z; amplitudes of all ``bosons`` are added. ``identical`` antisymmetrises,
    the factor 1/4 of two identical pairs in phase space is the caller's. Raises ``ValueError`` for a wrong shape.
    """
    momenta = np.ascontiguousarray(momenta, dtype=np.float64)
    if momenta.ndim != 3 or momenta.shape[1:] != (4, 4):
        raise ValueError(f"momenta has shape {momenta.shape}, expected (n, 4, 4)")
    out = np.empty(len(momenta))
    _many(momenta, np.array(masses, dtype=np.float64), identical, model(bosons, alpha), out)
    return out * (4.0 * math.pi * alpha) ** 4


@jit()
def _many(momenta, masses, identical, bosons, out):
    work = workspace()
    for i in range(len(out)):
        out[i] = squared(momenta[i], masses, identical, bosons, work)


@jit()
def workspace():
    """Scratch space of :func:`squared`, made once per block of events."""
    spinors = np.empty((8, 2, 4), dtype=np.complex128)  # u-bars, v's, and both after the beams' current, of each line
    currents = np.empty((6, 2, 2, 4), dtype=np.complex128)
    beam_line = np.empty((8, 4, 4), dtype=np.complex128)
    return spinors, currents, beam_line, np.empty((2, 2, 2, 2), dtype=np.complex128)


@jit()
def squared(momenta, masses, identical, bosons, work):
    """|M|^2 / e^8 [GeV^-4] as :func:`four_leptons_squared`, for one event (4, 4)."""
    spinors, _, _, amplitude = work
    energy = momenta[0, 0] + momenta[1, 0] + momenta[2, 0] + momenta[3, 0]
    p1, p2 = (0.5 * energy, 0.0, 0.0, 0.5 * energy), (0.5 * energy, 0.0, 0.0, -0.5 * energy)
    for line in range(2):
        for h in range(2):
            minus, plus = get(momenta, 2 * line), get(momenta, 2 * line + 1)
            _write(spinors[line, h], bar(u_spinor(minus, masses[line], 2 * h - 1)))
            _write(spinors[2 + line, h], v_spinor(plus, masses[line], 2 * h - 1))
    # QED does not know left from right: one beam helicity stands for both
    pure_qed, flips = len(bosons) == 1 and bosons[0, 1] == 0.0, False
    for boson in bosons:
        flips |= boson[0] != 0.0 and (boson[7] != 0.0 or boson[8] != 0.0)
    total = 0.0
    for combination in range(1 if pure_qed else 4 if flips else 2):
        electron = 1 if combination % 2 == 0 else -1
        positron = -electron if combination < 2 else electron
        u, v = u_spinor(p1, 0.0, electron), bar(v_spinor(p2, 0.0, positron))
        for j in range(16):
            amplitude.flat[j] = 0.0
        if combination < 2:
            _attach(momenta, masses, energy, scale(1.0 / (energy * energy), current(v, u)), spinors)
        for exchange in range(2 if identical else 1):
            _pairing(momenta, exchange, bosons, (p1, u, v), combination < 2, work)
        for a in amplitude.flat:
            total += a.real * a.real + a.imag * a.imag
    return (0.5 if pure_qed else 0.25) * total


@jit(inline=True)
def _write(row, values):
    row[0], row[1], row[2], row[3] = values


@jit()
def _attach(momenta, masses, energy, beams, spinors):
    """The beams' current on either end of both lines, with the propagator behind it: rows 4, 5 (l-) and 6, 7 (l+)."""
    whole = (energy, 0.0, 0.0, 0.0)
    for line in range(2):
        minus, plus, m = get(momenta, 2 * line), get(momenta, 2 * line + 1), masses[line]
        for h in range(2):
            row, ket = slash_bar(get(spinors[line], h), beams), slash(beams, get(spinors[2 + line], h))
            _write(spinors[4 + line, h], propagate_bar(row, subtract(minus, whole), m))
            _write(spinors[6 + line, h], propagate(subtract(whole, plus), m, ket))


@jit()
def _pairing(momenta, exchange, bosons, beam, annihilation, work):
    """Add all graphs with lines (l-, l+) and (l'-, l'+), or with the two l- exchanged (1) and a minus sign."""
    spinors, currents, beam_line, amplitude = work
    first, second, exchanged = exchange, 1 - exchange, exchange == 1
    qa = add(get(momenta, 2 * first), get(momenta, 1))
    qb = add(get(momenta, 2 * second), get(momenta, 3))
    photon_a, photon_b = currents[0], currents[1]
    emission_a, emission_b = currents[4], currents[5]
    sign = -1.0 if exchanged else 1.0
    # also the photon is a boson of the kernel's table, so that one compiled function serves all
    unity, vector = (1.0 + 0.0j, 1.0 + 0.0j), bosons[0, 0] != bosons[0, 0]
    _field(spinors[first], spinors[2], qa, unity, vector, 0.0, 0.0, photon_a)
    _field(spinors[second], spinors[3], qb, unity, vector, 0.0, 0.0, photon_b)
    for boson in bosons:
        scalar, mass, width = boson[0] != 0.0, boson[1].real, boson[2].real
        to_a, to_b, to_e = (boson[3], boson[4]), (boson[5], boson[6]), (boson[7], boson[8])
        if mass > 0.0:
            field_a, field_b = currents[2], currents[3]
            _field(spinors[first], spinors[2], qa, to_a, scalar, mass, width, field_a)
            _field(spinors[second], spinors[3], qb, to_b, scalar, mass, width, field_b)
        else:
            field_a, field_b = photon_a, photon_b
        if annihilation:
            _emission(spinors[first], spinors[6], spinors[4 + first], spinors[2], to_a, scalar, emission_a)
            _emission(spinors[second], spinors[7], spinors[4 + second], spinors[3], to_b, scalar, emission_b)
            _contract(emission_a, field_b, sign, exchanged, amplitude)
            _contract(field_a, emission_b, sign, exchanged, amplitude)
        if to_e[0] != 0.0 or to_e[1] != 0.0:
            _beam_emission(beam, qa, photon_a, unity, vector, beam_line[0:2])
            _beam_emission(beam, qb, field_b, to_e, scalar, beam_line[2:4])
            _conversion(beam_line[0:2], beam_line[2:4], sign, exchanged, amplitude)
            if mass > 0.0:
                _beam_emission(beam, qa, field_a, to_e, scalar, beam_line[4:6])
                _beam_emission(beam, qb, photon_b, unity, vector, beam_line[6:8])
                _conversion(beam_line[4:6], beam_line[6:8], sign, exchanged, amplitude)


@jit(inline=True)
def _vertex_current(row, ket, scalar):
    """row gamma^mu ket: a vector; for spin 0 row ket, a number in the place of its time component."""
    if scalar:
        return product(row, ket), 0.0j, 0.0j, 0.0j
    return current(row, ket)


@jit()
def _field(rows, kets, q, coupling, scalar, mass, width, out):
    """Field (2, 2, 4) that a pair of momentum ``q`` makes, by helicities: its current times the boson's propagator."""
    f = 1.0 / complex(dot(q, q) - mass * mass, mass * width)
    if scalar:
        f = -f  # i / (q^2 - m^2) against -i g / q^2
    for j in range(2):
        ket = chiral(coupling, get(kets, j))
        for i in range(2):
            c = _vertex_current(get(rows, i), ket, scalar)
            if mass > 0.0 and not scalar:
                c = subtract(c, scale(dot(c, q) / (mass * mass), q))
            _write(out[i, j], scale(f, c))


@jit()
def _emission(rows, attached_kets, attached_rows, kets, coupling, scalar, out):
    """Current (2, 2, 4) of a line that takes up the beams' photon and emits the boson, in either order."""
    for j in range(2):
        attached, free = chiral(coupling, get(attached_kets, j)), chiral(coupling, get(kets, j))
        for i in range(2):
            before = _vertex_current(get(rows, i), attached, scalar)
            _write(out[i, j], add(before, _vertex_current(get(attached_rows, i), free, scalar)))


@jit()
def _contract(a, b, sign, exchanged, amplitude):
    """Add sign a.b of line a (2, 2, 4) and line b (2, 2, 4) to the amplitude, by helicities of l-, l+, l'-, l'+."""
    for i in range(2):
        for j in range(2):
            left = scale(sign, get(a[i], j))
            for k in range(2):
                for m in range(2):
                    if exchanged:
                        amplitude[k, j, i, m] += dot(left, get(b[k], m))
                    else:
                        amplitude[i, j, k, m] += dot(left, get(b[k], m))


@jit()
def _beam_emission(beam, q, field, coupling, scalar, out):
    """Electron after (out[0], with propagator) and positron before (out[1]) emitting the field of momentum q, (2, 4, 4)."""
    p1, u, v = beam
    if scalar:
        u, v = chiral(coupling, u), chiral(coupling, v)
    else:  # a slash between spinor and projector turns left into right
        u, v = chiral(coupling, u), chiral((coupling[1], coupling[0]), v)
    p = subtract(p1, q)
    for i in range(2):
        for j in range(2):
            f = get(field[i], j)
            _write(out[0, 2 * i + j], propagate(p, 0.0, scale(f[0], u) if scalar else slash(f, u)))
            _write(out[1, 2 * i + j], scale(f[0], v) if scalar else slash_bar(v, f))


@jit()
def _conversion(a, b, sign, exchanged, amplitude):
    """Add both orders of two emissions (2, 4, 4) off the beam line."""
    for i in range(4):
        for k in range(4):
            value = sign * (product(get(b[1], k), get(a[0], i)) + product(get(a[1], i), get(b[0], k)))
            if exchanged:
                amplitude[k // 2, i % 2, i // 2, k % 2] += value
            else:
                amplitude[i // 2, i % 2, k // 2, k % 2] += value
