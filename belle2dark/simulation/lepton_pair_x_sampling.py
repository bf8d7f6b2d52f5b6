"""Random momenta of l1- l2+ X in the rest frame of the collision (electron along z), four ways, each with its density.

``FINAL`` follows X off the final leptons (soft vectors, hard scalars, a mixture for scalars lighter than the leptons; both
lepton propagators flat), ``BEAMS`` X off the beams (light lepton pair, X along either beam), ``MINUS`` and ``PLUS`` an electron
or positron scattered by the exchange of a photon. Events drawn from a mixture of them have a bounded weight wherever one of
the graphs is large; densities are per unit of three-body phase space.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON
from belle2dark.simulation.amplitudes.spinors import add, dot
from belle2dark.simulation.kinematics import around, boost
from belle2dark.simulation.phase_space import flatten, flatten_density, two_body
from belle2dark.simulation.rng import direction, uniform

FINAL, BEAMS, MINUS, PLUS = range(4)


@jit()
def sample(s0, s1, channel, proc, m, root, cone):
    """Momenta drawn in one of the channels: (s0, s1, negative lepton, positive lepton, X), each (E, px, py, pz) [GeV].

    ``m`` is the mass of X [GeV], ``root`` the energy in the rest frame [GeV], ``cone`` the smallest 1 - cos of a
    scattered electron to its beam.
    """
    if channel in (FINAL, BEAMS):
        return _sample_pair(s0, s1, channel == BEAMS, proc, m, root)
    if channel == MINUS:
        return _sample_exchange(s0, s1, proc.m_minus, proc.m_plus, m, root, cone)
    s0, s1, p, q, k = _sample_exchange(s0, s1, proc.m_plus, proc.m_minus, m, root, cone)
    return s0, s1, _mirror(q), _mirror(p), _mirror(k)


@jit()
def density(channel, proc, m, root, cone, minus, plus, k):
    """Probability density of a channel at given momenta, per unit of three-body phase space [GeV^-2]."""
    if channel in (FINAL, BEAMS):
        return _pair_density(channel == BEAMS, proc, m, root, minus, plus, k)
    if channel == MINUS:
        return _exchange_density(proc.m_minus, proc.m_plus, m, root, cone, minus, plus, k)
    return _exchange_density(proc.m_plus, proc.m_minus, m, root, cone, _mirror(plus), _mirror(minus), _mirror(k))


@jit(inline=True)
def _mirror(p):
    """A vector with the beams exchanged."""
    return p[0], p[1], p[2], -p[3]


@jit(inline=True)
def _ends(proc, m, root):
    """Largest energy of X, and log ranges of its energy and of the squared pair mass."""
    pair = proc.m_minus + proc.m_plus
    e_max = 0.5 * (root * root + m * m - pair * pair) / root
    return e_max, math.log(e_max / m), 2.0 * math.log((root - m) / pair)


@jit(inline=True)
def _beam_parts(m, root, e, momentum):
    """Parts a, b of the propagators a -+ b cos of X off the beams."""
    pe = math.sqrt(0.25 * root * root - M_ELECTRON * M_ELECTRON)
    return root * e - m * m, 2.0 * pe * momentum


@jit(inline=True)
def _lepton_parts(proc, m, root, q, momentum):
    """In the rest frame of the pair (mass q): lepton momentum, energies, parts a1, a2, b of the lepton propagators."""
    m1, m2 = proc.m_minus, proc.m_plus
    p, k = two_body(q, m1, m2), momentum * root / q
    e, e1, e2 = math.sqrt(k * k + m * m), math.sqrt(p * p + m1 * m1), math.sqrt(p * p + m2 * m2)
    a1, a2 = m * m + m1 * m1 - m2 * m2 + 2.0 * e1 * e, m * m + m2 * m2 - m1 * m1 + 2.0 * e2 * e
    return p, e1, e2, a1, a2, 2.0 * p * k


@jit(inline=True)
def _soft(proc, m):
    """Whether X is a scalar lighter than the leptons: leptons that keep their helicity then emit it like a soft photon."""
    return not proc.vector and m < min(proc.m_minus, proc.m_plus)


@jit()
def _sample_pair(s0, s1, beams, proc, m, root):
    e_max, log_e, log_q = _ends(proc, m, root)
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    if beams and not (proc.vector and v < 0.5):
        q = (proc.m_minus + proc.m_plus) * math.exp(0.5 * u * log_q)
        momentum = two_body(root, m, q)
        e = math.sqrt(momentum * momentum + m * m)
    else:
        log = proc.vector or (v < 0.5 and _soft(proc, m))
        e = m * math.exp(u * log_e) if log else math.sqrt(m * m + u * (e_max * e_max - m * m))
        q = math.sqrt(max(root * root + m * m - 2.0 * root * e, (proc.m_minus + proc.m_plus) ** 2))
        momentum = two_body(root, m, q)
        e = math.sqrt(momentum * momentum + m * m)
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    a, b = _beam_parts(m, root, e, momentum)
    nx, ny, nz = around(0.0, 0.0, 1.0, flatten(u, a, a, b) if beams else 2.0 * u - 1.0, 2.0 * math.pi * v)
    p, e1, e2, a1, a2, b = _lepton_parts(proc, m, root, q, momentum)
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    lx, ly, lz = around(nx, ny, nz, 2.0 * u - 1.0 if beams else flatten(u, a1, a2, b), 2.0 * math.pi * v)
    x, y, z = -momentum * nx, -momentum * ny, -momentum * nz
    return (s0, s1, boost(e1, p * lx, p * ly, p * lz, root - e, x, y, z, q),
            boost(e2, -p * lx, -p * ly, -p * lz, root - e, x, y, z, q), (e, -x, -y, -z))  # fmt: skip


@jit()
def _pair_density(beams, proc, m, root, minus, plus, k):
    e_max, log_e, log_q = _ends(proc, m, root)
    pair = add(minus, plus)
    q2 = dot(pair, pair)
    q, momentum = math.sqrt(q2), math.sqrt(k[1] * k[1] + k[2] * k[2] + k[3] * k[3])
    by_energy = 0.5 / (root * k[0] * log_e) if proc.vector else k[0] / (root * (e_max * e_max - m * m))
    if _soft(proc, m):
        by_energy = 0.5 * (by_energy + 0.5 / (root * k[0] * log_e))
    by_mass = 1.0 / (q2 * log_q)
    p, _, _, a1, a2, b = _lepton_parts(proc, m, root, q, momentum)
    if beams:
        a, b = _beam_parts(m, root, k[0], momentum)
        density_q2 = 0.5 * (by_energy + by_mass) if proc.vector else by_mass
        angles = 2.0 * flatten_density(k[3] / momentum, a, a, b)
    else:
        density_q2 = by_energy
        cosine = (a1 - m * m - proc.m_minus**2 + proc.m_plus**2 - 2.0 * dot(minus, k)) / b
        angles = 2.0 * flatten_density(min(1.0, max(-1.0, cosine)), a1, a2, b)
    return density_q2 * angles * 2.0 * math.pi * (4.0 * math.pi) ** 2 * root * q / (momentum * p)


@jit(inline=True)
def _scatter_parts(m1, w, root):
    """Momentum and energy of the scattered lepton beside a system of mass w; parts a, b of a - b cos = -t."""
    p = two_body(root, m1, w)
    e = math.sqrt(p * p + m1 * m1)
    pe = math.sqrt(0.25 * root * root - M_ELECTRON * M_ELECTRON)
    return p, e, root * e - M_ELECTRON * M_ELECTRON - m1 * m1, 2.0 * pe * p


@jit(inline=True)
def _system_parts(m2, m, w, root, px, py, pz):
    """In the system of mass w recoiling against (px, py, pz): direction of the other beam, lepton and X momentum, a and b.

    -a + b cos is the propagator of the lepton exchanged between the other beam and X.
    """
    pe = math.sqrt(0.25 * root * root - M_ELECTRON * M_ELECTRON)
    energy = math.sqrt(px * px + py * py + pz * pz + w * w)
    e, x, y, z = boost(0.5 * root, 0.0, 0.0, -pe, energy, -px, -py, -pz, w)
    beam, k = math.sqrt(x * x + y * y + z * z), two_body(w, m2, m)
    a = 2.0 * e * math.sqrt(k * k + m * m) - m * m - M_ELECTRON * M_ELECTRON + m2 * m2
    return x / beam, y / beam, z / beam, energy, k, a, 2.0 * beam * k


@jit()
def _sample_exchange(s0, s1, m1, m2, m, root, cone):
    s0, s1, u = uniform(s0, s1)
    low = m2 + m
    w = low * math.exp(u * math.log((root - m1) / low))
    p, e, a, b = _scatter_parts(m1, w, root)
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    nearest = a - b + b * cone
    cosine = (a - nearest * math.exp(u * math.log((a + b) / nearest))) / b
    nx, ny, nz = around(0.0, 0.0, 1.0, max(-1.0, cosine), 2.0 * math.pi * v)
    x, y, z, energy, k, a, b = _system_parts(m2, m, w, root, -p * nx, -p * ny, -p * nz)
    s0, s1, u = uniform(s0, s1)
    s0, s1, v = uniform(s0, s1)
    x, y, z = around(x, y, z, flatten(u, a, a, b), 2.0 * math.pi * v)
    return (s0, s1, (e, p * nx, p * ny, p * nz),
            boost(math.sqrt(k * k + m2 * m2), -k * x, -k * y, -k * z, energy, -p * nx, -p * ny, -p * nz, w),
            boost(math.sqrt(k * k + m * m), k * x, k * y, k * z, energy, -p * nx, -p * ny, -p * nz, w))  # fmt: skip


@jit()
def _exchange_density(m1, m2, m, root, cone, scattered, other, k):
    system = add(other, k)
    w2 = dot(system, system)
    w = math.sqrt(w2)
    p, _, a, b = _scatter_parts(m1, w, root)
    nearest = a - b + b * cone
    cosine = scattered[3] / p
    if cosine > 1.0 - cone:
        return 0.0
    angles = 2.0 * b / ((a - b * cosine) * math.log((a + b) / nearest))
    x, y, z, energy, momentum, a, b = _system_parts(m2, m, w, root, system[1], system[2], system[3])
    back = boost(k[0], k[1], k[2], k[3], energy, -system[1], -system[2], -system[3], w)
    cosine = (x * back[1] + y * back[2] + z * back[3]) / momentum
    angles *= 2.0 * flatten_density(min(1.0, max(-1.0, cosine)), a, a, b)
    by_mass = 0.5 / (w2 * math.log((root - m1) / (m2 + m)))
    return by_mass * angles * 2.0 * math.pi * (4.0 * math.pi) ** 2 * root * w / (p * momentum)


@jit(inline=True)
def isotropic_decay(s0, s1, k, mass, m_decay):
    """Two particles of equal mass from the decay of ``k``, at random: (s0, s1, first, second)."""
    p = two_body(mass, m_decay, m_decay)
    s0, s1, x, y, z = direction(s0, s1)
    h = 0.5 * mass
    return (s0, s1, boost(h, p * x, p * y, p * z, k[0], k[1], k[2], k[3], mass),
            boost(h, -p * x, -p * y, -p * z, k[0], k[1], k[2], k[3], mass))  # fmt: skip
