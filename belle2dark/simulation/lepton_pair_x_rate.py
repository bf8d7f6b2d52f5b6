"""Total cross-sections of e+e- -> l1- l2+ X by quadrature: no random numbers, smooth in every argument.

The same helicity amplitudes as the generator, with the spin of the virtual photon averaged over all directions, which
leaves two integrals; radiation by the collinear radiator. X off the final leptons and X off the beams add up without
interference (one has the pair in a C-even state, the other in a C-odd one; for scalars the helicities of the beams
differ), up to m_e / sqrt(s). Not included: the photon exchanged between the beams when an electron is in the final
state; add up the weights of the generator for those.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

from belle2dark._jit import jit
from belle2dark.constants import GEV2_FB, M_ELECTRON
from belle2dark.simulation.amplitudes.couplings import NONE, LeptonCoupling
from belle2dark.simulation.amplitudes.lepton_pair_x import (
    Process,
    attach,
    contract,
    helicity_weight,
    polarisations,
    process,
    workspace,
)
from belle2dark.simulation.amplitudes.spinors import bar, longitudinal, put, scale, transverse, u_spinor, v_spinor
from belle2dark.simulation.events import Array
from belle2dark.simulation.isr import beta_isr, radiator
from belle2dark.simulation.kinematics import boost
from belle2dark.simulation.phase_space import flatten, flatten_density, two_body

#: nodes in the energy of X (or mass of the pair) and in its angle: 1e-5 of the cross-section for masses above 10 MeV
_ENERGIES, _ANGLES = 48, 24
#: nodes of the table of the tree-level cross-section in log(sqrt(s') - threshold), down to this fraction of its range
_TABLE, _LOWEST = 40, 1e-4


@jit()
def _final_rate(proc, root, y, wy, t, wt):
    """X off the final leptons: cross-section [GeV^-2] at sqrt(s) = ``root`` [GeV]; y, t are nodes in (0, 1)."""
    spinors, rows_x, kets_x, eps, amplitudes = workspace()
    m, m1, m2, final = proc.m_x, proc.m_minus, proc.m_plus, (proc.final_left, proc.final_right)
    length = math.log(0.5 * (root * root + m * m - (m1 + m2) ** 2) / (root * m))
    total = 0.0
    for i in range(len(y)):
        e = m * math.exp(length * y[i])
        q = math.sqrt(max(root * root + m * m - 2.0 * root * e, (m1 + m2) ** 2))
        p, momentum = two_body(q, m1, m2), math.sqrt((e - m) * (e + m))
        k, k_q = (e, 0.0, 0.0, momentum), momentum * root / q
        e_q = math.sqrt(k_q * k_q + m * m)
        e1, e2 = math.sqrt(p * p + m1 * m1), math.sqrt(p * p + m2 * m2)
        a1, a2, b = m * m + m1 * m1 - m2 * m2 + 2.0 * e1 * e_q, m * m + m2 * m2 - m1 * m1 + 2.0 * e2 * e_q, 2.0 * p * k_q
        n = polarisations(proc.vector, k, m, eps)
        inner = 0.0
        for j in range(len(t)):
            c = flatten(t[j], a1, a2, b)
            s = math.sqrt(1.0 - c * c)
            minus = boost(e1, p * s, 0.0, p * c, root - e, 0.0, 0.0, -momentum, q)
            plus = boost(e2, -p * s, 0.0, -p * c, root - e, 0.0, 0.0, -momentum, q)
            for h in range(2):
                put(spinors[2], h, bar(u_spinor(minus, m1, 1 - 2 * h)))
                put(spinors[3], h, v_spinor(plus, m2, 1 - 2 * h))
            attach(proc.vector, final, n, eps, k, spinors[2], minus, m1, spinors[3], scale(-1.0, plus), m2, rows_x, kets_x)
            square = 0.0
            for photon in ((0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)):
                amplitudes[:] = 0.0
                contract(n, photon, spinors[2], spinors[3], rows_x, kets_x, 0, 8, 4, amplitudes)
                for z in amplitudes[:16]:
                    square += z.real * z.real + z.imag * z.imag
            inner += wt[j] * 0.5 / flatten_density(c, a1, a2, b) * square
        # dq^2 = 2 root dE and dE = E length dy
        total += wy[i] * length * e * 2.0 * root / (2.0 * math.pi) * momentum * p / q * inner
    beams = (
        (helicity_weight(proc, 0, 1) + helicity_weight(proc, 1, 0)) * 2.0 * root * root / 3.0
    )  # |current|^2 of opposite helicities, shared by three directions
    return proc.charge4 * beams * total / ((4.0 * math.pi) ** 2 * root * 2.0 * root**6)


@jit()
def _beam_rate(proc, root, y, wy, t, wt):
    """X off the beams, then gamma* -> l+ l-: cross-section [GeV^-2], as for :func:`_final_rate`."""
    spinors, rows_x, kets_x, eps, amplitudes = workspace()
    m, ml, me, beam = proc.m_x, proc.m_minus, M_ELECTRON, (proc.beam_left, proc.beam_right)
    pe = math.sqrt(0.25 * root * root - me * me)
    electron, positron = (0.5 * root, 0.0, 0.0, pe), (0.5 * root, 0.0, 0.0, -pe)
    flow = scale(-1.0, positron)
    for h in range(2):
        put(spinors[0], h, u_spinor(electron, me, 1 - 2 * h))
        put(spinors[1], h, bar(v_spinor(positron, me, 1 - 2 * h)))
    length = math.log((root - m) / (2.0 * ml))
    total = 0.0
    for i in range(len(y)):
        q = 2.0 * ml * math.exp(length * y[i])
        momentum = two_body(root, m, q)
        e = math.sqrt(momentum * momentum + m * m)
        a, b = root * e - m * m, 2.0 * pe * momentum
        inner = 0.0
        for j in range(len(t)):
            c = flatten(t[j], a, a, b)
            s = math.sqrt(1.0 - c * c)
            k = (e, momentum * s, 0.0, momentum * c)
            pair = (root - e, -momentum * s, 0.0, -momentum * c)
            n = polarisations(proc.vector, k, m, eps)
            attach(proc.vector, beam, n, eps, k, spinors[1], flow, me, spinors[0], electron, me, rows_x, kets_x)
            first, second = transverse(pair)
            square = 0.0
            for photon in (first, second, longitudinal(pair, q)):
                amplitudes[:] = 0.0
                contract(n, photon, spinors[1], spinors[0], rows_x, kets_x, 0, 4, 8, amplitudes)
                for h in range(4):
                    weight = helicity_weight(proc, h // 2, h % 2)
                    for z in amplitudes[4 * h : 4 * h + 4]:
                        square += weight * (z.real * z.real + z.imag * z.imag)
            inner += wt[j] * 0.5 / flatten_density(c, a, a, b) * square
        rho = 4.0 * ml * ml / (q * q)
        # gamma* -> l+ l- summed over spins: q^2 (4/3) (1 + rho/2) per polarisation; dq^2 = 2 q^2 length dy
        leptons = 4.0 / 3.0 * (1.0 + 0.5 * rho) * math.sqrt(max(0.0, 1.0 - rho)) / (8.0 * math.pi)
        total += wy[i] * 2.0 * length / (2.0 * math.pi) * leptons * momentum * inner
    return proc.charge4 * total / (4.0 * math.pi * root * 2.0 * root * root)


@cache
def _nodes(n: int) -> tuple[Array, Array]:
    """Gauss nodes and weights on (0, 1)."""
    x, w = np.polynomial.legendre.leggauss(n)
    return 0.5 * (x + 1.0), 0.5 * w


def tree_level(proc: Process, sqrt_s: float) -> tuple[float, float]:
    """Tree-level cross-sections [fb] at ``sqrt_s`` [GeV]: X off the final leptons, X off the beams."""
    if sqrt_s <= proc.m_x + proc.m_minus + proc.m_plus:
        return 0.0, 0.0
    x, w = _nodes(_ENERGIES)
    # square-root ends of the phase space become smooth
    y, wy = x * x * (3.0 - 2.0 * x), 6.0 * x * (1.0 - x) * w
    t, wt = _nodes(_ANGLES)
    final = _final_rate(proc, sqrt_s, y, wy, t, wt) * GEV2_FB if proc.off_final else 0.0
    return final, _beam_rate(proc, sqrt_s, y, wy, t, wt) * GEV2_FB if proc.off_beams else 0.0


def cross_section(
    mass: float, coupling: LeptonCoupling, sqrt_s: float, *, leptons: tuple[str, str] = ("mu", "mu"),
    electron_coupling: LeptonCoupling = NONE, polarisation: tuple[float, float] = (0.0, 0.0), alpha: str = "physical",
    isr: bool = True,
) -> float:  # fmt: skip
    """Cross-section [fb] of e+e- -> l1- l2+ X for X of ``mass`` [GeV] at ``sqrt_s`` [GeV]; 0 where closed.

    ``alpha`` is the convention of the photon's couplings to leptons ("physical", "madgraph", "thomson"), ``isr``
    switches radiation off the beams. Raises ``ValueError`` for impossible values and for electrons in the final state.
    """
    if "e" in leptons:
        raise ValueError(f"leptons = {leptons}: no quadrature with an electron in the final state; sum up generated weights")
    proc = process(mass, coupling, leptons=leptons, electron_coupling=electron_coupling, polarisation=polarisation, alpha=alpha)
    threshold = mass + proc.m_minus + proc.m_plus
    if not isr or sqrt_s <= threshold:
        return sum(tree_level(proc, sqrt_s))
    above = np.linspace(math.log(_LOWEST), 0.0, _TABLE) + math.log(sqrt_s - threshold)
    table = CubicSpline(above, np.log([sum(tree_level(proc, threshold + math.exp(a))) for a in above]))
    # v = u^(1/beta) takes away the soft peak, the cubic map gathers nodes at the threshold
    beta = beta_isr(sqrt_s)
    x, w = _nodes(400)
    left = threshold + math.exp(above[0])
    top = -math.expm1(2.0 * math.log(left / sqrt_s))
    u = top**beta * (1.0 - (1.0 - x) ** 3)
    v = np.maximum(u ** (1.0 / beta), 1e-300)
    weight = w * top**beta * 3.0 * (1.0 - x) ** 2 * radiator(v, sqrt_s) * v ** (1.0 - beta) / beta
    return float(weight @ np.exp(table(np.log(sqrt_s * np.sqrt(1.0 - v) - threshold))))
