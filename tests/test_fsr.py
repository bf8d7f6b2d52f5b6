"""Photons off final states: explicit Dirac matrices, quadrature of the exact density, measured radiative decays."""

import math
from functools import cache

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from belle2dark.constants import ALPHA, M_ELECTRON, M_KAON, M_MUON, M_PION, M_TAU
from belle2dark.simulation import fsr
from belle2dark.simulation.beams import belle2_beams
from belle2dark.simulation.events import Events
from belle2dark.simulation.higgsstrahlung import generate_higgsstrahlung
from belle2dark.simulation.radiation import radiate_final
from tests.dirac import GAMMA, slash
from tests.independent import SIGNS, dot

ALPHA0 = ALPHA["thomson"]
M_K0 = 0.497611  # PDG, GeV
MASS = {"e": M_ELECTRON, "mu": M_MUON, "tau": M_TAU, "pi": M_PION, "K": M_KAON}


def mass2(p):
    return p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1)


def isotropic(rng, n):
    v = rng.normal(size=(n, 3))
    return v / np.linalg.norm(v, axis=1)[:, None]


def boosted(p, to):
    """p (n, 4), given in the rest frame of ``to`` (n, 4)."""
    m = np.sqrt(mass2(to))
    e = (p * to * [1, 1, 1, 1]).sum(axis=1) / m
    return np.column_stack([e, p[:, 1:] + ((p[:, 0] + e) / (to[:, 0] + m))[:, None] * to[:, 1:]])


def pairs(n, mass, name, total=(10.58, 0.0, 0.0, 0.0), seed=1):
    """n decays of the four-momentum ``total`` to name- name+, isotropic in its rest frame."""
    total = np.tile(total, (n, 1))
    m = np.sqrt(mass2(total))
    p = np.sqrt(m**2 / 4 - mass**2)
    direction = p[:, None] * isotropic(np.random.default_rng(seed), n)
    minus = boosted(np.column_stack([0.5 * m, direction]), total)
    plus = boosted(np.column_stack([0.5 * m, -direction]), total)
    return Events(momenta_lab={f"{name}-": minus, f"{name}+": plus}, weights=np.full(n, 1.0 / n))


@cache
def hard_photons(mass, sqrt_s, x_cut, y_low=0.0, y_high=1.0):
    """Mean number of photons above x_cut from the exact density, with 2 p.k/(x M^2) of the l- between y_low and y_high."""
    rho = 4 * mass**2 / sqrt_s**2
    born = math.sqrt(1 - rho) * (1 + rho / 2)

    def inner(log_x):
        x = math.exp(log_x)
        edge = math.sqrt(1 - rho / (1 - x))
        # the substitution y = x/2 (1 - tanh t) spreads the two collinear peaks; the limits are those of Dalitz
        low, high = (max(-edge, min(edge, 1 - 2 * y)) for y in (y_high, y_low))

        def f(t):
            y = 0.5 * x * (1 - math.tanh(t))
            return fsr.spectrum.py_func(1 - y, 1 - x + y, rho) * 0.5 * x / math.cosh(t) ** 2

        return x * quad(f, math.atanh(low), math.atanh(high), limit=200, epsabs=1e-9, epsrel=1e-6)[0]

    return ALPHA0 / (2 * math.pi) * quad(inner, math.log(x_cut), math.log(1 - rho) - 1e-9, epsabs=0, epsrel=1e-5)[0] / born


def fractions(events, system):
    """Photon energies 2 E/M in the rest frame of the system with its photons, (n, k)."""
    total = sum(events.momenta_lab[name] for name in (*system, *events.photons))
    gamma = np.stack([events.momenta_lab[name] for name in events.photons], axis=1)
    return 2 * dot(gamma, total[:, None, :]) / mass2(total)[:, None]


def test_final_state_spectrum_from_dirac_matrices():
    rng, ratios = np.random.default_rng(5), []
    while len(ratios) < 10:
        x1, x2, rho = *rng.uniform(0.3, 1, 2), rng.uniform(0.001, 0.3)
        photon, a, b = 2 - x1 - x2, x1 * x1 - rho, x2 * x2 - rho
        if min(a, b) <= 0 or photon > 1:
            continue
        cosine = (photon**2 - a - b) / (2 * math.sqrt(a * b))
        if abs(cosine) >= 1:
            continue
        m, sine = math.sqrt(rho) / 2, math.sqrt(1 - cosine**2)
        q1 = 0.5 * np.array([x1, 0, 0, math.sqrt(a)])
        q2 = 0.5 * np.array([x2, math.sqrt(b) * sine, 0, math.sqrt(b) * cosine])
        k, one = np.array([1.0, 0, 0, 0]) - q1 - q2, np.eye(4)
        total = 0.0
        for mu in range(4):
            for nu in range(4):
                g, h = GAMMA[mu], GAMMA[nu]
                amp = h @ (slash(q1 + k) + m * one) @ g / (2 * dot(q1, k)) + g @ (m * one - slash(q2 + k)) @ h / (2 * dot(q2, k))
                bar = GAMMA[0] @ amp.conj().T @ GAMMA[0]
                total += SIGNS[mu] * SIGNS[nu] * np.trace((slash(q1) + m * one) @ amp @ (slash(q2) - m * one) @ bar).real
        ratios.append(total / fsr.spectrum.py_func(x1, x2, rho))
    assert np.allclose(ratios, ratios[0], rtol=1e-9)


def test_soft_photon_number_is_the_textbook_one():
    """2 alpha/pi (ln s/m^2 - 1) (ln 1/x - 3/4) for light leptons; 3 %: terms of order m^2/s and x."""
    for mass in (M_ELECTRON, M_MUON):
        expected = 2 * ALPHA0 / math.pi * (2 * math.log(10 / mass) - 1) * (math.log(1e3) - 0.75)
        assert hard_photons(mass, 10.0, 1e-3) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("name", "sqrt_s"), [("mu", 10.58), ("e", 10.58), ("tau", 10.58), ("mu", 0.5)])
def test_hardest_photon_of_a_pair_follows_the_exact_density(name, sqrt_s):
    """No photon above x with probability exp(-N(x)), N from quadrature; none of this depends on the energy cut."""
    events = radiate_final(pairs(400_000, MASS[name], name, (sqrt_s, 0, 0, 0)), 3, (f"{name}-", f"{name}+"), parent="vector",
                           x_min=2e-3, max_photons=6)  # fmt: skip
    x = fractions(events, (f"{name}-", f"{name}+")).max(axis=1)
    for cut in (0.005, 0.05, 0.3, 0.6):
        expected = math.exp(-hard_photons(MASS[name], sqrt_s, cut))
        got = (x < cut).mean()
        assert abs(got - expected) < 4 * math.sqrt(expected * (1 - expected) / len(x)) + 1e-5


def test_photon_angles_of_a_pair_follow_the_exact_density():
    """Wide-angle and collinear photons of more than 0.2 in the ratio of the exact ones (the Sudakov factor cancels to 1e-3)."""
    events = radiate_final(pairs(1_000_000, M_MUON, "mu"), 4, ("mu-", "mu+"), parent="vector", x_min=0.1)
    total = sum(events.momenta_lab.values())
    k = events.momenta_lab["gamma_1"]
    x = 2 * dot(k, total) / mass2(total)
    y = 2 * dot(k, events.momenta_lab["mu-"]) / mass2(total)
    hard = x > 0.2
    share = (y[hard] / x[hard] > 0.2) & (y[hard] / x[hard] < 0.8)
    expected = hard_photons(M_MUON, 10.58, 0.2, 0.2, 0.8) / hard_photons(M_MUON, 10.58, 0.2)
    assert abs(share.mean() - expected) < 4 * math.sqrt(expected / hard.sum())
    assert (y[hard] < 0.5 * x[hard]).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(hard.sum()))


def test_scalar_parent_gives_the_closed_form():
    """Massless limit 1 + (1 - x)^2 over y1 y2 (electrons), against the vector's x1^2 + x2^2, in the hard region."""

    def number(parent):
        events = radiate_final(pairs(1_000_000, M_ELECTRON, "e"), 5, ("e-", "e+"), parent=parent, x_min=0.3)
        total = sum(events.momenta_lab.values())
        k, p = events.momenta_lab["gamma_1"], events.momenta_lab["e-"]
        x, y = 2 * dot(k, total) / mass2(total), 2 * dot(k, p) / mass2(total)
        return ((x > 0.5) & (y > 0.2 * x) & (y < 0.8 * x)).sum()

    def density(top):
        return dblquad(lambda z, x: top(1 - z * x, 1 - x + z * x, x) / (z * (1 - z) * x), 0.5, 1, 0.2, 0.8)[0]

    scalar, vector = density(lambda x1, x2, x: 1 + (1 - x) ** 2), density(lambda x1, x2, x: x1**2 + x2**2)
    a, b = number("scalar"), number("vector")
    assert a / b == pytest.approx(scalar / vector, abs=4 * a / b * math.sqrt(1 / a + 1 / b))
    assert scalar / vector > 1.2  # the test can tell them apart
    assert 4 * math.sqrt(1 / a + 1 / b) < 0.15


def test_mass_spectrum_does_not_depend_on_the_cut():
    """Share of pairs below 0.8 and 0.95 of the full mass; 0.1 %: what photons below 1 % move across the edge."""

    def below(x_min, key):
        events = radiate_final(pairs(400_000, M_MUON, "mu"), key, ("mu-", "mu+"), parent="vector", x_min=x_min, max_photons=6)
        m = np.sqrt(mass2(events.momenta_lab["mu-"] + events.momenta_lab["mu+"])) / 10.58
        return np.array([(m < 0.8).mean(), (m < 0.95).mean()])

    a, b = below(1e-2, 6), below(1e-5, 7)
    assert (np.abs(a - b) < 4 * np.sqrt((a + b) / 400_000) + 0.001).all()


@pytest.mark.parametrize("total", [(10.58, 0.0, 0.0, 0.0), (7.0, 1.0, -2.0, 5.0)])
def test_momentum_masses_and_untouched_events(total):
    before = pairs(20_000, M_MUON, "mu", total)
    after = radiate_final(before, 8, ("mu-", "mu+"), parent="vector", x_min=1e-4, max_photons=3)
    # the angle of a soft photon comes from a cosine next to -1: 1e-16 there is M^2 1e-16 / E_photon in energy
    assert np.abs(sum(after.momenta_lab.values()) - np.array(total)).max() < 1e-10
    for name, mass in (("mu-", M_MUON), ("mu+", M_MUON), ("gamma_1", 0.0), ("gamma_2", 0.0)):
        assert np.abs(mass2(after.momenta_lab[name]) - mass**2).max() < 1e-11
    none = after.momenta_lab["gamma_1"][:, 0] == 0
    assert 0.3 < none.mean() < 0.9
    assert (after.momenta_lab["mu-"][none] == before.momenta_lab["mu-"][none]).all()
    assert (after.weights == before.weights).all()


def test_dark_photons_that_radiate_out_of_their_peak():
    """A' of 4 GeV with the option on: M(mumu) below 0.98 m with the exact probability 1 - exp(-N), as the photons take it."""
    beams = belle2_beams(spread=False)
    plain, events = (generate_higgsstrahlung(4.0, 1.0, 200_000, 16, beams, isr=False, fsr=on) for on in (False, True))
    assert plain.photons == ()
    assert (events.weights == plain.weights).all()
    m = np.sqrt(mass2(events.momenta_lab["mu-"] + events.momenta_lab["mu+"]))
    # (M/m)^2 = 1 - x for one photon; a second one below the edge adds 1 %
    expected = 1 - math.exp(-hard_photons(M_MUON, 4.0, 1 - 0.98**2))
    assert (m < 0.98 * 4).mean() == pytest.approx(expected, rel=0.02, abs=4 * math.sqrt(expected / len(m)))
    full = sum(events.momenta_lab[name] for name in ("mu-", "mu+", *events.photons))
    assert np.abs(mass2(full) - 16).max() < 1e-9
    with pytest.raises(ValueError, match="m_lepton"):
        generate_higgsstrahlung(4.0, 1.0, 10, 1, beams, m_lepton=M_ELECTRON, fsr=True)


def lepton_decays(n, lepton, seed):
    """n decays tau- -> l- nu nu of an unpolarised tau at rest, |M|^2 ~ (p_tau.p_antinu)(p_l.p_nu), by rejection."""
    rng = np.random.default_rng(seed)
    chosen = []
    while sum(map(len, chosen)) < n:
        q2 = rng.uniform(0, (M_TAU - MASS[lepton]) ** 2, 4 * n)
        p = np.sqrt(np.maximum(((M_TAU**2 - MASS[lepton] ** 2 - q2) / 2) ** 2 - MASS[lepton] ** 2 * q2, 0)) / M_TAU
        v = p[:, None] * isotropic(rng, 4 * n)
        charged = np.column_stack([np.sqrt(p**2 + MASS[lepton] ** 2), v])
        both = np.column_stack([M_TAU - charged[:, 0], -v])
        half = 0.5 * np.sqrt(q2)
        w = half[:, None] * isotropic(rng, 4 * n)
        nu, anti = boosted(np.column_stack([half, w]), both), boosted(np.column_stack([half, -w]), both)
        weight = p * anti[:, 0] * dot(charged, nu)
        keep = rng.uniform(0, 0.35, len(q2)) < weight
        assert weight.max() < 0.35
        chosen.append(np.stack([charged[keep], nu[keep], anti[keep]], axis=1))
    out = np.concatenate(chosen)[:n]
    return Events(momenta_lab={f"{lepton}-": out[:, 0], "nu_1": out[:, 1], "nu_2": out[:, 2]}, weights=np.full(n, 1.0 / n))


@pytest.mark.parametrize(
    ("lepton", "leptonic", "measured", "error"), [("mu", 0.1739, 3.69e-3, 0.104e-3), ("e", 0.1782, 1.847e-2, 0.054e-2)]
)
def test_radiative_tau_decays_have_the_measured_rate(lepton, leptonic, measured, error):
    """tau -> l nu nu gamma with E > 10 MeV, BaBar, Phys. Rev. D 91 (2015) 051103; 3 sigma of the measurement (3 %).

    The number of photons is compared (the tree-level rate, which the measurement's own simulation normalises to).
    """
    system = (f"{lepton}-", "nu_1", "nu_2")
    events = radiate_final(lepton_decays(300_000, lepton, 9), 10, system, x_min=0.01, max_photons=3)
    made = sum((events.momenta_lab[name][:, 0] > 0.010).sum() for name in events.photons)
    assert abs(made / 300_000 * leptonic - measured) < 3 * error


def test_radiative_kaon_decays_have_the_measured_rate():
    """K_S -> pi pi gamma with E > 50 MeV over pi pi: (1.79 +- 0.05)e-3 over 0.692 (PDG), pure bremsstrahlung of spin 0."""
    events = radiate_final(pairs(1_000_000, M_PION, "pi", (M_K0, 0, 0, 0)), 11, ("pi-", "pi+"), x_min=0.15)
    made = (events.momenta_lab["gamma_1"][:, 0] > 0.050).sum()
    assert abs(made / 1e6 - 1.79e-3 / 0.692) < 3 * math.hypot(0.05e-3 / 0.692, math.sqrt(made) / 1e6)


def test_soft_photons_of_many_charges_follow_the_coherent_current():
    """B+ -> K+ mu+ mu- at one configuration: photons of 5 to 10 MeV against -alpha/4 pi^2 Int J^2 over all directions."""
    n, total = 300_000, np.array([5.279, 0, 0, 0])
    kaon = np.array([math.hypot(1.5, M_KAON), 0, 0, 1.5])
    rest = np.tile(total - kaon, (n, 1))
    muons = [np.tile(p, (1, 1)) for p in pairs(1, M_MUON, "mu", rest[0], seed=12).momenta_lab.values()]
    momenta = {"K+": np.tile(kaon, (n, 1)), "mu-": np.repeat(muons[0], n, 0), "mu+": np.repeat(muons[1], n, 0)}
    events = radiate_final(Events(momenta_lab=momenta, weights=np.full(n, 1.0)), 13, tuple(momenta), x_min=0.001)
    energies = np.stack([events.momenta_lab[name][:, 0] for name in events.photons])
    got = (((energies > 0.005) & (energies < 0.010)).sum(axis=0) * events.weights).sum() / n
    direction = isotropic(np.random.default_rng(14), 400_000)
    k = np.column_stack([np.ones(len(direction)), direction])
    particles = [(1.0, kaon), (-1.0, muons[0][0]), (1.0, muons[1][0])]
    current = total / dot(total, k)[:, None] - sum(q * p / dot(p, k)[:, None] for q, p in particles)
    values = -ALPHA0 / (4 * math.pi**2) * mass2(current) * 4 * math.pi * math.log(2)
    expected, error = values.mean(), values.std() / math.sqrt(len(values))
    # 2 %: energies of 0.4 % of the mass are not quite soft
    assert abs(got - expected) < 4 * math.hypot(error, math.sqrt(got / n)) + 0.02 * expected
    assert error < 0.01 * expected


def test_photons_take_the_first_empty_slots_and_the_vertex_of_their_emitters():
    n = 5000
    base = pairs(n, M_ELECTRON, "e", (3.0, 0, 0, 2.0))
    first = np.zeros((n, 4))
    first[: n // 2] = [1.0, 0, 0, 1.0]
    place = np.full((n, 3), 2.5)
    base = Events(momenta_lab={**base.momenta_lab, "gamma_1": first}, weights=base.weights,
                  vertices_cm={"e-": place, "e+": place})  # fmt: skip
    after = radiate_final(base, 15, ("e-", "e+"), parent="vector")
    assert after.photons == ("gamma_1", "gamma_2", "gamma_3")
    assert (after.momenta_lab["gamma_1"][: n // 2] == first[: n // 2]).all()
    filled = np.stack([after.momenta_lab[name][:, 0] > 0 for name in after.photons])
    assert (np.diff(filled.astype(int), axis=0) <= 0).all()
    new = filled[0, n // 2 :]
    assert new.any()
    assert (after.vertices_cm["gamma_1"][n // 2 :][new] == 2.5).all()
    assert (after.vertices_cm["gamma_1"][: n // 2] == 0).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"system": ("mu-", "mu")}, "mu"),
        ({"system": ("mu-",)}, "two different"),
        ({"parent": "tensor"}, "vector"),
        ({"x_min": 0.7}, "x_min"),
        ({"max_photons": 0}, "max_photons"),
        ({"key": -1}, "key"),
    ],
)
def test_bad_input(change, word):
    arguments = {"events": pairs(10, M_MUON, "mu"), "key": 1, "system": ("mu-", "mu+"), **change}
    with pytest.raises(ValueError, match=word):
        radiate_final(**arguments)
