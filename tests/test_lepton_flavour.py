"""A Z' that changes flavour: loops and trees against explicit Dirac algebra, closed limits, scaling, decoupling."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from belle2dark.constants import ALPHA, CTAU_TAU, GEV2_FB, HBAR_C, M_ELECTRON, M_MUON, M_TAU, WIDTH_MUON
from belle2dark.sourced import load_numbers
from belle2dark.theory.g_minus_2 import vector
from belle2dark.theory.lepton_flavour import (
    MIXED,
    conversion_gold,
    cross_section,
    decay_to_zprime,
    dipole,
    mu_to_3e,
    mu_to_e_gamma,
    width,
)
from belle2dark.theory.lepton_flavour_bounds import g_minus_2_bound, muonium_bound, pair_bounds, plane_bounds
from belle2dark.theory.models import vector_to_fermions
from belle2dark.theory.zprime import kinetic_mixing
from tests.dirac import GAMMA, GAMMA5, METRIC, ONE, bar, slash, u_spinors, v_spinors

SIGNS = np.diag(METRIC)
FERMI = float(load_numbers("lepton_flavour")["fermi_constant"])
S = 10.58**2


# mu -> e gamma


@pytest.mark.parametrize("internal", ["mu", "e"])
def test_loop_numerator_is_the_dirac_algebra(internal: str) -> None:
    """Coefficients of p and p' in the loop, fitted to explicit matrices, integrate to the function."""
    m, m_in = 1.0, 1.0 if internal == "mu" else 0.0
    p = np.array([m, 0.0, 0.0, 0.0])
    out = np.array([m / 2, m / 2 * 0.6, 0.0, m / 2 * 0.8])  # massless
    lines = [(bar(a), b) for a in u_spinors(out, 0.0) for b in u_spinors(p, m)]

    def coefficient(x: float, y: float) -> float:
        after, before = (1 - y) * out - x * p, (1 - x) * p - y * out
        rows, right = [], []
        for mu in range(4):
            inner = (slash(after) + m_in * ONE) @ GAMMA[mu] @ (slash(before) + m_in * ONE)
            loop = sum(SIGNS[a] * GAMMA[a] @ inner @ GAMMA[a] for a in range(4))
            for left, u in lines:
                rows.append([left @ GAMMA[mu] @ u, p[mu] * (left @ u), out[mu] * (left @ u)])
                right.append(left @ loop @ u)
        fit, *_ = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)
        assert np.array(rows) @ fit == pytest.approx(np.array(right), abs=1e-12), "three structures are all there is"
        return float((fit[1] + fit[2]).real)  # p' = p up to the photon momentum, which polarisations do not see

    # bilinear in x and y with x^2: six values fix it, a seventh checks
    points = [(0, 0), (1, 0), (0, 1), (0.5, 0), (0, 0.5), (0.5, 0.5)]
    table = np.array([[1, x, y, x * x, y * y, x * y] for x, y in points])
    c = np.linalg.solve(table, [coefficient(x, y) for x, y in points])
    assert coefficient(0.2, 0.3) == pytest.approx(np.dot(c, [1, 0.2, 0.3, 0.04, 0.09, 0.06]))
    r = 2.7  # (M/m)^2

    def integrand(y: float, x: float) -> float:
        denominator = m**2 * (x * x + x * y) - x * (m**2 - m_in**2) + y * m_in**2 + (1 - x - y) * r
        return np.dot(c, [1, x, y, x * x, y * y, x * y]) / denominator

    # magnetic moment: twice the coefficient of (p + p') over 2 m, with g - 2 as the normalisation: 2 z (1 - z) there
    total, _ = dblquad(integrand, 0, 1, 0, lambda x: 1 - x)
    assert dipole(np.sqrt(r) * M_MUON, internal) == pytest.approx(total / 2, rel=1e-7)


def test_dipole_limits() -> None:
    assert dipole(1e-6) == pytest.approx(np.pi**2 / 3 - 1, rel=1e-4)  # corrections of order M/m_mu
    heavy, small = 300.0, (M_MUON / 300.0) ** 2
    # g - 2 of a heavy boson: +1 for a mass flip inside, -1/3 for one at each of two outer legs; here only one leg is massive
    assert dipole(heavy) == pytest.approx(2 * (1 - 1 / 3) * small, rel=2e-5)
    assert dipole(heavy, "e") == pytest.approx(-2 / 3 * small, rel=1e-5)


@pytest.mark.parametrize("mass", [0.003, 0.08, M_MUON, 0.15, 1.0, 10.0])
def test_dipole_against_adaptive_quadrature(mass: float) -> None:
    r = (mass / M_MUON) ** 2
    f = dblquad(
        lambda y, x: 2 * (1 - y - x * x - x * y) / (x * x + x * y + y + (1 - x - y) * r), 0, 1, 0, lambda x: 1 - x, epsrel=1e-8
    )[0]
    assert dipole(mass) == pytest.approx(f, rel=1e-6)


def test_mu_to_e_gamma_scales_and_decouples() -> None:
    rate = mu_to_e_gamma(1.0, 1e-4, 1e-3)
    assert mu_to_e_gamma(1.0, 3e-4, 2e-3) == pytest.approx(36 * rate)
    assert mu_to_e_gamma([100.0, 200.0], 1e-4, 1e-3) @ [1, -16] == pytest.approx(0.0, abs=1e-3 * mu_to_e_gamma(100.0, 1e-4, 1e-3))
    # a flavour-universal heavy Z' has the muon loop less half as much again from the electron: (4/3 - 2/3)^2
    both = mu_to_e_gamma(500.0, 1e-4, 1e-3, 1e-3) / mu_to_e_gamma(500.0, 1e-4, 1e-3)
    assert both == pytest.approx(1 / 4, rel=1e-3)


def test_mu_to_e_gamma_in_the_units_of_the_reviews() -> None:
    # B = 384 pi^2 (|A_L|^2 + |A_R|^2) with L = -(4 G_F / sqrt 2) m A mu-bar sigma F e; e a / 4 m is that coefficient
    g = 1e-5
    a = g * dipole(1.0) / (8 * np.pi**2)
    coefficient = np.sqrt(4 * np.pi * ALPHA["thomson"]) * a / (4 * M_MUON**2) * np.sqrt(2) / (4 * FERMI)
    # 0.5 %: radiative corrections (-0.42 %) and m_e in the measured lifetime
    assert mu_to_e_gamma(1.0, 1.0, g) == pytest.approx(384 * np.pi**2 * 2 * coefficient**2, rel=5e-3)


# trees


def spin_sum_mu_to_3e(s12: float, s13: float, m_z: float) -> float:
    """Sum over spins of |M|^2 of mu -> e(1) e(2) e+(3), massless electrons, unit couplings, by explicit spinors."""
    m, s23 = M_MUON, M_MUON**2 - s12 - s13
    e1, e2, e3 = ((m * m - s) / (2 * m) for s in (s23, s13, s12))
    cos12 = 1 - s12 / (2 * e1 * e2)
    sin12 = np.sqrt(max(0.0, 1 - cos12**2))
    p, q1, q2 = np.array([m, 0, 0, 0.0]), np.array([e1, 0, 0, e1]), np.array([e2, e2 * sin12, 0, e2 * cos12])
    q3 = p - q1 - q2
    assert q3[0] == pytest.approx(e3)
    total = 0.0
    spins = (u_spinors(p, m), map(bar, u_spinors(q1, 0.0)), map(bar, u_spinors(q2, 0.0)), v_spinors(q3, 0.0))
    for u, a, b, v in product(*map(list, spins)):
        direct = sum(SIGNS[i] * (a @ GAMMA[i] @ u) * (b @ GAMMA[i] @ v) for i in range(4)) / (s23 - m_z**2)
        crossed = sum(SIGNS[i] * (b @ GAMMA[i] @ u) * (a @ GAMMA[i] @ v) for i in range(4)) / (s13 - m_z**2)
        total += abs(direct - crossed) ** 2
    return total


@pytest.mark.parametrize("mass", [0.15, 2.0])
def test_mu_to_3e_is_the_dirac_algebra(mass: float) -> None:
    # the part of the propagator along its momentum is conserved at the massless pair
    x, w = np.polynomial.legendre.leggauss(8)
    x, w = 0.5 * (x + 1), 0.5 * w
    dalitz = sum(
        wi * wj * (1 - a) * spin_sum_mu_to_3e(a * M_MUON**2, b * (1 - a) * M_MUON**2, mass)
        for a, wi in zip(x, w, strict=True)
        for b, wj in zip(x, w, strict=True)
    )
    # dGamma = ds12 ds13 |M|^2 / (256 pi^3 m^3), half for the muon's spin, half for equal electrons
    rate = dalitz * M_MUON**4 / (256 * np.pi**3 * M_MUON**3) / 4
    assert mu_to_3e(mass, 1.0, 1.0) == pytest.approx(rate / WIDTH_MUON, rel=1e-4)  # 8 nodes near the pole at 0.15 GeV


def test_mu_to_3e_contact_limit_scaling_and_pole() -> None:
    # 2 (g3^2 + g4^2) + g5^2 + g6^2 with all four equal g g / M^2 sqrt 2 / 4 G_F: 3/4 (g g / G_F M^2)^2; 0.5 % as above
    assert mu_to_3e(500.0, 1e-2, 1e-2) == pytest.approx(0.75 * (1e-4 / (FERMI * 500.0**2)) ** 2, rel=5e-3)
    assert mu_to_3e(1.0, 2e-3, 3e-3) == pytest.approx(36 * mu_to_3e(1.0, 1e-3, 1e-3))
    # towards M = m_mu the pair can come close to the pole: rates beyond the contact interaction, without bound
    excess = mu_to_3e([5.0, 0.2, 0.12, 0.1060], 1.0, 1.0) * np.array([5.0, 0.2, 0.12, 0.1060]) ** 4
    assert np.all(np.diff(excess) > 0)
    with pytest.raises(ValueError, match="above"):
        mu_to_3e(0.1, 1e-3, 1e-3)


@pytest.mark.parametrize(
    ("pair", "child", "parent"), [("emu", M_ELECTRON, M_MUON), ("etau", M_ELECTRON, M_TAU), ("mutau", M_MUON, M_TAU)]
)
def test_decay_to_zprime(pair: str, child: float, parent: float) -> None:
    total = WIDTH_MUON if pair == "emu" else HBAR_C / CTAU_TAU
    # the mode along the momentum of a light Z' is a scalar coupled with g (parent - child) / M
    light, gap = 1e-4 * parent, parent - child
    k, energy = (parent**2 - child**2) / (2 * parent), (parent**2 + child**2) / (2 * parent)
    yukawa = (gap / light) ** 2 * 2 * (energy + child) * parent  # half of tr (p' + m')(p + m)
    assert decay_to_zprime(pair, light, 1.0) == pytest.approx(yukawa * k / (8 * np.pi * parent**2) / total, rel=1e-6)
    assert decay_to_zprime(pair, [parent - child, 2 * parent], 1.0) == pytest.approx([0.0, 0.0])
    # spin sum of l'-bar epsilon-slash l over the three polarisations
    m_z = 0.5 * parent
    k = np.sqrt((parent**2 - (m_z + child) ** 2) * (parent**2 - (m_z - child) ** 2)) / (2 * parent)
    p, out = np.array([parent, 0, 0, 0.0]), np.array([np.hypot(k, child), 0, 0, k])
    z = p - out
    tensor = -METRIC + np.outer(z, z) / m_z**2  # upper indices
    total_spin = 0.0
    for a, b in product(u_spinors(out, child), u_spinors(p, parent)):
        current = SIGNS * np.array([bar(a) @ g @ b for g in GAMMA])
        total_spin += (current @ tensor @ current.conj()).real
    assert decay_to_zprime(pair, m_z, 0.3) == pytest.approx(0.09 * total_spin / 2 * k / (8 * np.pi * parent**2) / total)


def test_conversion_is_coherent_exchange() -> None:
    rate = conversion_gold(1.0, 1e-6, 1e-3)
    assert conversion_gold(1.0, 2e-6, 3e-3) == pytest.approx(36 * rate)
    # space-like momentum of the muon mass
    assert conversion_gold(M_MUON, 1.0, 1.0) * 4 == pytest.approx(conversion_gold(1e-6, 1.0, 1.0), rel=1e-6)
    # four-fermion strength in units of G_F: 2 G_F^2 |g V|^2 m^5 for each helicity
    numbers = load_numbers("lepton_flavour")
    e = np.sqrt(4 * np.pi * ALPHA["thomson"])
    g_lv = 1e-9 * abs(kinetic_mixing(-(M_MUON**2))) * e / (1 + M_MUON**2) * np.sqrt(2) / FERMI
    omega = 2 * 2 * FERMI**2 * (g_lv * float(numbers["overlap_gold"])) ** 2 * M_MUON**5
    capture = float(numbers["capture_gold"]) * 6.582119569e-25
    assert conversion_gold(1.0, 1e-6, 1e-3) == pytest.approx(omega / capture, rel=1e-6)


# muonium


def muonium_elements(vertex: np.ndarray, conjugate: np.ndarray) -> tuple[float, float]:
    """Elements of (mu-bar G e)(mu-bar G' e) between muonium and antimuonium at rest, spin 0 and spin 1 (m = 0)."""
    rest = np.array([1.0, 0, 0, 0])
    up, down = np.array([1, 0, 0, 0.0]), np.array([0, 1, 0, 0.0])
    particle = {+1: up, -1: down}
    # charge conjugate of a particle with the same spin
    anti = {s: 1j * GAMMA[2] @ particle[s].conj() for s in (+1, -1)}
    assert all(np.allclose(slash(rest) @ v, -v) for v in anti.values())

    def element(e: int, mu_plus: int, mu: int, e_plus: int) -> complex:
        a, b = bar(anti[mu_plus]), bar(particle[mu])
        u, v = particle[e], anti[e_plus]
        total = 0.0
        for i in range(4):
            one, two = GAMMA[i] @ vertex, GAMMA[i] @ conjugate
            for left, right in ((one, two), (two, one)):
                total += SIGNS[i] * ((a @ left @ u) * (b @ right @ v) - (b @ left @ u) * (a @ right @ v))
        return total

    states = {0: {(1, -1): 1 / np.sqrt(2), (-1, 1): -1 / np.sqrt(2)}, 1: {(1, -1): 1 / np.sqrt(2), (-1, 1): 1 / np.sqrt(2)}}
    out = []
    for spin in (0, 1):
        # the antiatom has the heavy particle negative: (e+, mu-) in the places of (e-, mu+)
        total = sum(
            c * d * element(e, mu_plus, mu, e_plus)
            for (e, mu_plus), c in states[spin].items()
            for (e_plus, mu), d in states[spin].items()
        )
        out.append(float(np.real(total)))
    return out[0], out[1]


def test_muonium_elements() -> None:
    left, right = 0.5 * (ONE - GAMMA5), 0.5 * (ONE + GAMMA5)
    zero, one = muonium_elements(left, left)
    assert zero == pytest.approx(one) and abs(zero) > 0.1
    assert muonium_elements(right, right) == pytest.approx((zero, zero))
    # (V-A) x (V+A) prefers spin 0 by -3: what makes its conversion lose a third in a strong field (hep-ph/9504218)
    assert np.divide(muonium_elements(left, right), zero) == pytest.approx([-3 / 2, 1 / 2])
    assert np.divide(muonium_elements(ONE, ONE), zero) == pytest.approx([-1.0, 3.0])


def test_muonium_in_the_field() -> None:
    """Breit-Rabi states, whose mixing changes sign for the antiatom, give the published weakening and our bound."""
    left, right = 0.5 * (ONE - GAMMA5), 0.5 * (ONE + GAMMA5)

    def probability(elements: tuple[float, float], x: float, polarised: float = 0.0) -> float:
        # of four equal populations two have a magnetic quantum number and convert only without a field (``polarised``)
        theta = 0.5 * np.arctan(x)
        atom, anti = (np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]) for t in (theta, -theta))
        zero, one = elements
        mixed = np.diag(anti @ np.diag([one, zero]) @ atom.T)  # only transitions at equal energy count
        return float(0.25 * (np.sum(mixed**2) + 2 * polarised * one**2))

    vector, like, unlike = muonium_elements(ONE, ONE), muonium_elements(left, left), muonium_elements(left, right)
    x = 0.1 / 0.1585
    assert probability(like, x) / probability(like, 0, 1) == pytest.approx(0.35, abs=0.01)  # published at 0.1 T
    assert probability(unlike, 1e6) / probability(unlike, 0, 1) == pytest.approx(2 / 3)  # published for strong fields
    numbers = load_numbers("lepton_flavour")
    strength = muonium_bound(1.0) ** 2 / (4 * np.sqrt(2) * FERMI)  # G_C / G_F that the bound on the coupling stands for
    gain = probability(vector, x) / probability(like, x)
    assert strength == pytest.approx(float(numbers["muonium"]) / np.sqrt(gain), rel=1e-6)
    assert muonium_bound([1.0, 5.0]) @ [5.0, -1.0] == pytest.approx(0.0, abs=1e-12)
    assert muonium_bound(0.05) == np.inf


# the plane


def test_bounds_saturate_the_limits() -> None:
    numbers, g, mass = load_numbers("lepton_flavour"), 0.01, np.array([0.3, 2.0])
    found = plane_bounds(mass, g)
    assert mu_to_e_gamma(mass, found["mu_to_e_gamma"], g) == pytest.approx(np.full(2, float(numbers["mu_to_e_gamma"])))
    assert conversion_gold(mass, found["conversion_gold"], g) == pytest.approx(np.full(2, float(numbers["conversion_gold"])))
    induced = np.sqrt(4 * np.pi * ALPHA["thomson"]) * g / 69.285
    assert mu_to_3e(mass, found["mu_to_3e"], induced) == pytest.approx(np.full(2, float(numbers["mu_to_3e"])), rel=1e-4)
    for pair, mass, name in (("emu", 0.02, "mu_to_e"), ("etau", 1.0, "tau_to_e"), ("mutau", 1.0, "tau_to_mu")):
        bound = pair_bounds(pair, mass)["invisible_decay"]
        assert decay_to_zprime(pair, mass, bound) == pytest.approx(float(numbers[f"{name}_invisible"]))
    # 38 + 2 * 63 for the positive contribution of taus, 38 - 2 * 63 for the negative one of electrons, in 1e-11
    assert vector(5.0, g_minus_2_bound("mutau", 5.0), M_MUON, M_TAU) == pytest.approx(164e-11)
    assert vector(5.0, g_minus_2_bound("emu", 5.0), M_MUON, M_ELECTRON) == pytest.approx(-88e-11)


def test_bounds_on_products_and_on_one_coupling() -> None:
    g = np.array([0.0, 1e-3, 1e-2])
    found = plane_bounds(1.0, g)
    for name in ("mu_to_e_gamma", "mu_to_3e", "conversion_gold"):
        assert found[name][0] == np.inf, "no coupling to muons, no bound"
        assert found[name][1] == pytest.approx(10 * found[name][2])
    alone = pair_bounds("emu", 1.0)
    assert set(alone) < set(found)
    for name, bound in alone.items():
        assert found[name] == pytest.approx(np.full(3, bound)), name
    assert plane_bounds(1.0, -0.01)["mu_to_e_gamma"] == plane_bounds(1.0, 0.01)["mu_to_e_gamma"]
    assert plane_bounds([[1.0], [2.0]], g)["mu_to_3e"].shape == (2, 3)


def test_bounds_end_where_their_process_does() -> None:
    light, heavy = pair_bounds("emu", 0.05), pair_bounds("emu", 0.2)
    assert light["muonium"] == light["g_minus_2"] == plane_bounds(0.05, 0.1)["mu_to_3e"] == np.inf
    assert heavy["invisible_decay"] == np.inf and heavy["muonium"] < heavy["g_minus_2"] < np.inf
    assert pair_bounds("mutau", 1.7)["invisible_decay"] == np.inf
    assert list(pair_bounds("etau", 1.0)) == ["invisible_decay"]
    # decoupling: all tree-level and loop bounds of a heavy Z' go with its mass
    far = {name: bound[1] / bound[0] for name, bound in pair_bounds("mutau", [50.0, 100.0]).items() if np.isfinite(bound).all()}
    assert far == {"g_minus_2": pytest.approx(2.0, rel=0.02)}
    # the difference of 2020 cannot come from electrons inside: wrong sign
    assert g_minus_2_bound("emu", [1.0, 2.0], "wp20") == pytest.approx([0.0, 0.0])


# e+e- -> l l'


def test_s_channel_closed_form() -> None:
    g = {"ee": 0.02, "mutau": 0.05}
    for mass in (3.0, 15.0):
        gamma = float(width(mass, g))
        closed = 2 * (0.02 * 0.05) ** 2 * S / (12 * np.pi) / ((S - mass**2) ** 2 + (mass * gamma) ** 2) * GEV2_FB
        assert cross_section("mutau", mass, g) == pytest.approx(closed, rel=1e-10)


def test_peak_is_the_unitarity_limit_times_branching_fractions() -> None:
    g, root = {"ee": 0.02, "mutau": 0.05}, 10.58
    massless = {"ee": 0.02**2, "mutau": 2 * 0.05**2}
    gamma = float(width(root, g))
    parts = {name: value * root / (12 * np.pi) for name, value in massless.items()}  # massless, as the cross-section
    peak = 12 * np.pi / S * parts["ee"] * parts["mutau"] / gamma**2 * GEV2_FB
    assert cross_section("mutau", root, g) == pytest.approx(peak, rel=1e-9)
    assert cross_section("mutau", root, g, other_width=gamma) == pytest.approx(peak / 4, rel=1e-9)


def test_t_channel_closed_form() -> None:
    # no coupling to electron pairs: mu and tau are exchanged for the beams, g_emu g_etau / (t - M^2)
    mass, g = 2.0, {"emu": 0.03, "etau": 0.04}

    def part(c: float) -> float:
        t = -S * (1 - c) / 2
        return (S**2 + (S + t) ** 2) / (t - mass**2) ** 2

    integral = quad(part, -1, 1, epsrel=1e-10)[0]
    assert cross_section("mutau", mass, g) == pytest.approx(
        2 * (0.03 * 0.04) ** 2 * integral / (16 * np.pi * S) * GEV2_FB, rel=1e-8
    )


def test_light_boson_is_bhabha_scattering() -> None:
    # d sigma / d Omega = alpha^2 / 2 s [u^2 (1/s + 1/t)^2 + (t/s)^2 + (s/t)^2], one charge combination
    coupling, edge = 0.1, 0.8

    def bhabha(c: float) -> float:
        t, u = -S * (1 - c) / 2, -S * (1 + c) / 2
        return u**2 * (1 / S + 1 / t) ** 2 + (t / S) ** 2 + (S / t) ** 2

    alpha = coupling**2 / (4 * np.pi)
    expected = 2 * np.pi * alpha**2 / (2 * S) * quad(bhabha, -edge, edge)[0] * GEV2_FB
    found = cross_section("emu", 1e-5, {"ee": coupling, "emu": coupling}, cos_max=edge)
    assert found / 2 == pytest.approx(expected, rel=1e-6)


def test_heavy_boson_is_a_contact_interaction() -> None:
    # all propagators 1/M^2: (4 u^2 + t^2 + s^2) / M^4, integral 16/3 s^2
    mass = np.array([2000.0, 4000.0])
    closed = 2 * (0.3 * 0.2) ** 2 * S / (3 * np.pi * mass**4) * GEV2_FB
    assert cross_section("emu", mass, {"ee": 0.3, "emu": 0.2}) == pytest.approx(closed, rel=1e-3)  # s/M^2 is 3e-5, width/M 2e-3
    assert cross_section("etau", mass, {"ee": 0.3, "etau": 0.2}) == pytest.approx(closed, rel=1e-3)


def test_which_couplings_are_needed() -> None:
    assert cross_section("emu", 1.0, {"emu": 0.1, "mumu": 0.1}) == 0, "no coupling to electrons"
    assert cross_section("etau", 1.0, {"ee": 0.1, "emu": 0.1}) == 0
    both = cross_section("mutau", 1.0, {"ee": 0.1, "mutau": 0.1, "emu": 0.1, "etau": 0.1})
    apart = cross_section("mutau", 1.0, {"ee": 0.1, "mutau": 0.1}) + cross_section("mutau", 1.0, {"emu": 0.1, "etau": 0.1})
    assert both != pytest.approx(apart, rel=1e-4), "channels interfere"
    assert abs(both / apart - 1) < 0.5


def test_width() -> None:
    assert width(5.0, {"tautau": 0.1}) == pytest.approx(vector_to_fermions(5.0, M_TAU, 0.01))
    assert width(1000.0, {"mutau": 0.1}) == pytest.approx(2 * 0.01 * 1000 / (12 * np.pi), rel=1e-5)
    assert width([1.0, M_MUON + M_TAU - 1e-6], {"mutau": 0.1}) == pytest.approx([0.0, 0.0])
    # spin sum of the decay at rest, by traces
    mass = 2.5
    k = np.sqrt((mass**2 - (M_MUON + M_TAU) ** 2) * (mass**2 - (M_MUON - M_TAU) ** 2)) / (2 * mass)
    a, b = np.array([np.hypot(k, M_MUON), 0, 0, k]), np.array([np.hypot(k, M_TAU), 0, 0, -k])
    square = -sum(
        SIGNS[i] * np.trace((slash(a) + M_MUON * ONE) @ GAMMA[i] @ (slash(b) - M_TAU * ONE) @ GAMMA[i]).real for i in range(4)
    )
    # the part along the momentum, (m1 - m2)^2 / M^2 times the scalar sum
    square += np.trace((slash(a) + M_MUON * ONE) @ (slash(b) - M_TAU * ONE)).real * (M_MUON - M_TAU) ** 2 / mass**2
    assert width(mass, {"mutau": 1.0}) == pytest.approx(2 * square / 3 * k / (8 * np.pi * mass**2))
    assert width(0.05, {"ee": 0.1}) == pytest.approx(vector_to_fermions(0.05, M_ELECTRON, 0.01))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dipole(1.0, "tau"), "internal"),
        (lambda: dipole(0.1, "e"), "above"),
        (lambda: mu_to_e_gamma(-1.0, 1.0, 1.0), "mass"),
        (lambda: cross_section("mue", 1.0, {}), f"nearest: {next(iter(MIXED))}"),
        (lambda: cross_section("emu", 1.0, {"eμ": 1.0}), "coupling"),
        (lambda: cross_section("emu", 1.0, {"emu": np.nan}), "coupling 'emu'"),
        (lambda: cross_section("emu", 1.0, {"emu": 0.1}, cos_max=1.5), "cos_max"),
        (lambda: cross_section("emu", 10.58, {"tautau": 0.0}), "without a width"),
        (lambda: width(0.0, {"emu": 0.1}), "mass"),
        (lambda: decay_to_zprime("mutua", 1.0, 1.0), "nearest: mutau"),
        (lambda: pair_bounds("emu", -1.0), "mass"),
        (lambda: plane_bounds(1.0, np.nan), "g_mumu"),
        (lambda: g_minus_2_bound("etau", 1.0), "emu | mutau"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
