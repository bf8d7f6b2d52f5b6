"""Four-lepton amplitudes against explicit Dirac matrices; generators against rates, closed forms, limits and symmetries."""

import math

import numba
import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.interpolate import CubicSpline

from belle2dark._jit import threads
from belle2dark.constants import ALPHA, GEV2_FB, M_MUON, M_TAU
from belle2dark.simulation import four_lepton_channels as channels
from belle2dark.simulation import four_leptons as generators
from belle2dark.simulation.amplitudes import four_leptons as amplitudes
from belle2dark.simulation.amplitudes.four_leptons import PHOTON, four_leptons_squared, model, scalar_boson, vector_boson
from belle2dark.simulation.beams import Beams, belle2_beams
from belle2dark.simulation.four_leptons import generate_four_muons, generate_mumutautau, generate_resonant_four_leptons
from belle2dark.simulation.phase_space import integrate, phase_space
from belle2dark.simulation.radiation import radiated_cross_section
from belle2dark.simulation.rng import seed_block
from tests.dirac import GAMMA, GAMMA5, METRIC, ONE, bar, propagator, slash, square, u_spinors, v_spinors

SQRT_S = 10.58
MUONS, MUTAU = (M_MUON, M_MUON), (M_MUON, M_TAU)
#: head on, like the beams of PEP-II; 10.56 GeV
BABAR = Beams(electron_energy=9.0, positron_energy=3.1, crossing_angle=0.0)
SYMMETRIC = Beams(electron_energy=SQRT_S / 2, positron_energy=SQRT_S / 2, crossing_angle=0.0)
E = math.sqrt(4.0 * math.pi * ALPHA["thomson"])
TABLE = model((PHOTON,))


def events(masses, n=20, key=1):
    return phase_space(n, key, SQRT_S, (masses[0], masses[0], masses[1], masses[1])).momenta


def vertices(kind, first, second):
    """Vertex matrices with one index each (four for a vector, one for a scalar), in units of e."""
    if kind == "vector":
        return [np.array([g @ (c[0] * ONE + c[1] * GAMMA5) / E for g in GAMMA]) for c in (first, second)]
    return [np.array([(c[0] * ONE + 1j * c[1] * GAMMA5) / E]) for c in (first, second)]


PHOTON_VERTICES = [GAMMA, GAMMA]


class Explicit:
    """All graphs of one event written out with four by four matrices: for a photon or one other boson in the middle."""

    def __init__(
        self, momenta, masses, kind="photon", mass=0.0, width=0.0, first=(1.0, 0.0), second=(1.0, 0.0), electron=(0.0, 0.0)
    ):
        self.k, self.m = momenta, (masses[0], masses[0], masses[1], masses[1])
        half = momenta[:, 0].sum() / 2
        self.p1, self.p2 = np.array([half, 0, 0, half]), np.array([half, 0, 0, -half])
        self.kind, self.mass, self.width = kind, mass, width
        self.to = PHOTON_VERTICES if kind == "photon" else vertices(kind, first, second)
        self.to_e = GAMMA if kind == "photon" else vertices(kind, electron, electron)[0]

    def inner(self, q, photon=False):
        """Propagator numerator and denominator with two upper indices lowered onto the vertices."""
        if self.kind == "photon" or photon:
            return METRIC / square(q)
        d = square(q) - self.mass**2 + 1j * self.mass * self.width
        if self.kind == "scalar":
            return -np.ones((1, 1)) / d
        low = METRIC @ q
        return (METRIC - np.outer(low, low) / self.mass**2) / d

    def line(self, rows, kets, index, at_beams, at_boson):
        """Annihilation: line of l- and l+ with rows i, j of the event, between beams and boson vertices."""
        i, j = index
        whole = self.p1 + self.p2
        after, before = propagator(whole - self.k[j], self.m[j]), propagator(self.k[i] - whole, self.m[i])
        return sum(
            np.einsum("a,xab,bc,cd,d->x", rows[i], at_boson, s, at_beams, kets[j]) if n == 0
            else np.einsum("a,ab,bc,xcd,d->x", rows[i], at_beams, s, at_boson, kets[j])
            for n, s in enumerate((after, before))
        )  # fmt: skip

    def assigned(self, rows, kets, u1, v2, lines):
        (i, j), (k, n) = lines
        qa, qb = self.k[i] + self.k[j], self.k[k] + self.k[n]
        electrons = np.einsum("a,mab,b->m", v2, GAMMA, u1) / square(self.p1 + self.p2)
        beams = slash(electrons)
        current_a = np.einsum("a,xab,b->x", rows[i], self.to[0], kets[j])
        current_b = np.einsum("a,xab,b->x", rows[k], self.to[1], kets[n])
        total = self.line(rows, kets, (i, j), beams, self.to[0]) @ self.inner(qb) @ current_b
        total += self.line(rows, kets, (k, n), beams, self.to[1]) @ self.inner(qa) @ current_a
        photon_a = np.einsum("a,xab,b->x", rows[i], GAMMA, kets[j]) @ self.inner(qa, True)
        photon_b = np.einsum("a,xab,b->x", rows[k], GAMMA, kets[n]) @ self.inner(qb, True)
        pairs = [(photon_a, GAMMA, self.inner(qb) @ current_b, self.to_e)]
        if self.kind != "photon":
            pairs.append((self.inner(qa) @ current_a, self.to_e, photon_b, GAMMA))
        for a, vertex_a, b, vertex_b in pairs:
            va, vb = np.einsum("x,xab->ab", a, vertex_a), np.einsum("x,xab->ab", b, vertex_b)
            total += v2 @ (vb @ propagator(self.p1 - qa, 0.0) @ va + va @ propagator(self.p1 - qb, 0.0) @ vb) @ u1
        return total

    def amplitudes(self, identical):
        """Amplitude in every spin configuration of the four leptons and the beams, (64,), in units of e^4."""
        out = []
        for spins in np.ndindex(2, 2, 2, 2, 2, 2):
            rows = {i: bar(u_spinors(self.k[i], self.m[i])[spins[i]]) for i in (0, 2)}
            kets = {i: v_spinors(self.k[i], self.m[i])[spins[i]] for i in (1, 3)}
            u1, v2 = u_spinors(self.p1, 0.0)[spins[4]], bar(v_spinors(self.p2, 0.0)[spins[5]])
            total = self.assigned(rows, kets, u1, v2, ((0, 1), (2, 3)))
            if identical:
                total -= self.assigned(rows, kets, u1, v2, ((2, 1), (0, 3)))
            out.append(total)
        return np.array(out)


def mean_square(amplitudes):
    """Sum over final and mean over beam spins (beams of equal helicity included) of amplitudes (n, 64)."""
    return 0.25 * np.sum(np.abs(np.array(amplitudes)) ** 2, axis=1) * E**8


MODELS = {
    "photon": {},
    "vector": {"mass": 1.3, "width": 0.2, "first": (0.3, 0.0), "second": (-0.2, 0.0)},
    "chiral": {"mass": 1.3, "width": 0.2, "first": (0.3, 0.4), "second": (-0.2, 0.1), "electron": (0.1, -0.3)},
    "scalar": {"mass": 4.0, "width": 0.1, "first": (0.3, 0.0), "second": (0.1, 0.0)},
    "mixed": {"mass": 4.0, "width": 0.1, "first": (0.3, 0.2), "second": (0.1, -0.4), "electron": (0.5, 0.3)},
}


@pytest.mark.parametrize("identical", (False, True))
@pytest.mark.parametrize("name", MODELS)
def test_amplitudes_are_those_of_explicit_matrices(name, identical):
    masses, options = MUONS if identical else MUTAU, dict(MODELS[name])
    if identical and options:
        options["second"] = options["first"]
    kind = {"photon": "photon", "vector": "vector", "chiral": "vector"}.get(name, "scalar")
    momenta = events(masses, 4)
    boson = PHOTON if kind == "photon" else (vector_boson if kind == "vector" else scalar_boson)(**options)
    ours = four_leptons_squared(momenta, masses, identical, (boson,))
    explicit = [Explicit(k, masses, kind, **options).amplitudes(identical) for k in momenta]
    np.testing.assert_allclose(ours, mean_square(explicit), rtol=1e-11)


@pytest.mark.parametrize("name", ("chiral", "mixed"))
def test_interference_with_qed_is_that_of_explicit_matrices(name):
    momenta, options = events(MUTAU, 4, key=2), MODELS[name]
    boson = (vector_boson if name == "chiral" else scalar_boson)(**options)
    kind = "vector" if name == "chiral" else "scalar"
    explicit = [Explicit(k, MUTAU).amplitudes(False) + Explicit(k, MUTAU, kind, **options).amplitudes(False) for k in momenta]
    np.testing.assert_allclose(four_leptons_squared(momenta, MUTAU, False, (PHOTON, boson)), mean_square(explicit), rtol=1e-11)


def test_current_of_a_line_that_took_up_the_beams_photon_is_conserved():
    # replacing the inner photon by its momentum gives zero: gauge invariance of the annihilation graphs
    table = model((PHOTON._replace(electron=(0.0, 0.0)),))
    for k in events(MUTAU, 50):
        work = amplitudes.workspace()
        amplitudes.squared(k, np.array(MUTAU), False, table, work)
        for line in range(2):
            emission, q = work[1][4 + line], METRIC @ (k[2 - 2 * line] + k[3 - 2 * line])
            assert np.all(np.abs(emission @ q) < 1e-12 * (np.abs(emission) @ np.abs(q)))


def test_conversion_is_gauge_invariant():
    # an axial X would not be; a vector X off the beams: its longitudinal part q q / M^2 must not matter, however light it is
    momenta = events(MUTAU, 50)
    couplings = {"first": (E, 0.0), "second": (E, 0.0), "electron": (E, 0.0)}
    light = four_leptons_squared(momenta, MUTAU, False, (vector_boson(1e-3, 0.0, **couplings),))
    lighter = four_leptons_squared(momenta, MUTAU, False, (vector_boson(1e-4, 0.0, **couplings),))
    np.testing.assert_allclose(light, lighter, rtol=1e-4)  # (1e-3 GeV)^2 / (2 m_mu)^2 is 2e-5


@pytest.mark.parametrize("rows", ([2, 1, 0, 3], [0, 3, 2, 1], [2, 3, 0, 1]))
def test_equal_leptons_can_be_exchanged(rows):
    momenta = events(MUONS, 50)
    np.testing.assert_allclose(
        four_leptons_squared(momenta[:, rows], MUONS, True, (PHOTON,)),
        four_leptons_squared(momenta, MUONS, True, (PHOTON,)), rtol=1e-11,
    )  # fmt: skip


def test_two_equal_muons_cannot_be_in_one_state():
    # both mu- with the same momentum, the mu+ behind: equal helicities vanish, opposite ones only change sign
    p, q = np.array([0.7, -1.2, 1.4]), np.array([0.3, 0.9, 0.2])
    momenta = np.array([[math.sqrt(k @ k + M_MUON**2), *k] for k in (p, q - p, p, -q - p)])
    work = amplitudes.workspace()
    size = math.sqrt(amplitudes.squared(momenta, np.array(MUONS), True, TABLE, work))
    amplitude = work[3]
    assert max(abs(amplitude[0, :, 0, :]).max(), abs(amplitude[1, :, 1, :]).max()) < 1e-12 * size
    np.testing.assert_allclose(amplitude[0, :, 1, :], -amplitude[1, :, 0, :], atol=1e-12 * size)
    assert abs(amplitude[0, :, 1, :]).max() > 1e-3 * size


@numba.njit(error_model="numpy")
def inverse_densities(key, n, energy, process):
    """1 / density of n drawn events: they average to the volume of four-body phase space."""
    s0, s1 = seed_block(np.uint64(key), 0)
    leptons, out = np.empty((4, 4)), np.empty(n)
    for i in range(n):
        s0, s1, made = channels.draw(s0, s1, energy, process, leptons)
        out[i] = 1.0 / channels.density(leptons, energy, process) if made else 0.0
    return out


@pytest.mark.parametrize("energy", (4.0, SQRT_S))
@pytest.mark.parametrize("case", ("four muons", "mumutautau", "resonance", "both pairs resonant"))
def test_channels_cover_phase_space_with_the_density_they_claim(case, energy):
    leptons = ("mu", "mu") if case in ("four muons", "both pairs resonant") else ("mu", "tau")
    wide = PHOTON if case in ("four muons", "mumutautau") else vector_boson(1.5, 1.0, (0.1, 0.0), (0.1, 0.0))
    shares = {"four muons": generators._FOUR_MUONS, "mumutautau": generators._MUMUTAUTAU}.get(case, generators._OFF_BOTH)
    process = generators._process(leptons, wide, shares)
    found = inverse_densities(3, 60_000, energy, process)
    a, b = process.masses
    volume = phase_space(60_000, 4, energy, (a, a, b, b)).weights
    error = math.hypot(found.std(), volume.std()) / math.sqrt(60_000)
    assert error < 0.03 * volume.mean()
    assert abs(found.mean() - volume.mean()) < 3.0 * error


def total(events):
    """Sum of the weights and its statistical error."""
    w = events.weights
    return w.sum(), w.std() * math.sqrt(len(w))


def invariant_mass(*momenta):
    p = sum(momenta)
    return np.sqrt(np.maximum(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), 0.0))


def test_four_muon_rate_and_acceptance():
    sample = generate_four_muons(60_000, 5, BABAR, isr=False)
    value, error = total(sample)
    assert abs(value - 336.6) < 3.0 * error  # fb, of an independent calculation at alpha(0)
    seen = np.ones(len(sample), dtype=bool)
    for i in (1, 2):
        for charge in "-+":
            p = sample.momenta_lab[f"mu{charge}_{i}"]
            pt = np.hypot(p[:, 1], p[:, 2])
            theta = np.degrees(np.arctan2(pt, p[:, 3]))
            seen &= (theta > 18.0) & (theta < 145.0) & (pt > 0.1)
    inside = (sample.weights * seen).sum()
    error = (sample.weights * seen).std() * math.sqrt(len(sample))
    assert abs(inside - 111.0) < 3.0 * error + 0.5  # the value is rounded to 1 fb
    # both pairs off the beams: 60 to 75 % of what is seen
    annihilation = PHOTON._replace(electron=(0.0, 0.0))
    line = generators._generate(60_000, 5, BABAR, ("mu", "mu"), annihilation, generators._FOUR_MUONS, False, "thomson")
    assert 0.60 < 1.0 - (line.weights * seen).sum() / inside < 0.75


#: e+e- -> mu mu X [fb] at 10.58 GeV, coupling 0.1 to muons, alpha(0), tree level, by another program: value and error
RATES = {
    ("zprime", 0.5): (2023.86, 0.70),
    ("zprime", 1.0): (995.78, 0.32),
    ("zprime", 4.0): (54.396, 0.015),
    ("zprime", 8.0): (0.3081, 0.0001),
    ("scalar", 1.0): (134.28, 0.17),
    ("scalar", 6.0): (2.5780, 0.0019),
    ("pseudoscalar", 0.5): (197.53, 0.29),
    ("pseudoscalar", 4.0): (16.306, 0.014),
}


def partial_width(kind, mass, lepton, g):
    """Textbook widths to a lepton pair [GeV]."""
    beta = math.sqrt(1.0 - 4.0 * lepton**2 / mass**2)
    if kind == "zprime":
        return g**2 * mass / (12.0 * math.pi) * (1.0 + 2.0 * lepton**2 / mass**2) * beta
    return g**2 * mass / (8.0 * math.pi) * beta ** (3 if kind == "scalar" else 1)


def x_boson(kind, mass, width, first, second, electron=0.0):
    pair = (lambda g: (0.0, g)) if kind == "pseudoscalar" else (lambda g: (g, 0.0))
    return (vector_boson if kind == "zprime" else scalar_boson)(mass, width, pair(first), pair(second), pair(electron))


@pytest.mark.parametrize(("kind", "mass"), RATES)
def test_narrow_resonance_is_production_times_branching_fraction(kind, mass):
    width = 1e-4 * mass
    sample = generate_resonant_four_leptons(40_000, 6, SYMMETRIC, x_boson(kind, mass, width, 0.1, 0.1), isr=False)
    value, error = np.array(total(sample)) * width / partial_width(kind, mass, M_MUON, 0.1)
    expected, expected_error = RATES[kind, mass]
    # 1e-3: the four ways to pair the muons interfere and overlap at the order of width / mass
    assert abs(value - expected) < 3.0 * math.hypot(error, expected_error) + 1e-3 * expected


@pytest.mark.parametrize(("mass", "expected"), [(0.325, 3.25), (1.0, 1.384), (3.0, 0.245), (5.0, 0.0292)])
def test_leptophilic_scalar_off_taus(mass, expected):
    # sigma / xi^2 [fb] of e+e- -> tau tau phi with y = xi m / v, given to three digits
    coupling, width = 1.0 / 246.0, 1e-5 * mass
    boson = x_boson("scalar", mass, width, M_TAU * coupling, M_MUON * coupling)
    sample = generate_resonant_four_leptons(40_000, 7, SYMMETRIC, boson, ("tau", "mu"), isr=False)
    # above 2 m_tau there are also muons with phi -> tau tau: count muon pairs at the mass
    peak = np.abs(invariant_mass(sample.momenta_lab["mu-"], sample.momenta_lab["mu+"]) - mass) < 0.01 * mass
    weights = sample.weights * peak * width / partial_width("scalar", mass, M_MUON, M_MUON * coupling)
    error = weights.std() * math.sqrt(len(weights))
    assert abs(weights.sum() - expected) < 3.0 * error + 0.003 * expected


@pytest.mark.parametrize("mass", (1.0, 8.0))
def test_scalar_off_the_beams_is_the_closed_form(mass):
    s, y, alpha = SQRT_S**2, 0.1, ALPHA["thomson"]

    def integrand(y_t, log_q2):
        q2 = math.exp(log_q2)
        a, b = 0.5 * (s - mass**2 - q2), 0.5 * math.sqrt((s - mass**2 - q2) ** 2 - 4.0 * mass**2 * q2)
        x = math.atanh(b / a) * y_t  # b cos = a tanh x takes both poles out
        t, w = -a * (1.0 - math.tanh(x)), -a * (1.0 + math.tanh(x))
        pole = ((t - mass**2) * (w - mass**2) - mass**2 * s) * (1 / t**2 + 1 / w**2) + 2 * (t - mass**2) * (w - mass**2) / (t * w)
        muons = alpha / (3 * math.pi) * (1 + 2 * M_MUON**2 / q2) * math.sqrt(1 - 4 * M_MUON**2 / q2)
        return alpha * y**2 / (4 * s**2) * pole * muons * a / math.cosh(x) ** 2 * math.atanh(b / a)

    limits = math.log(4 * M_MUON**2) + 1e-9, 2.0 * math.log(SQRT_S - mass) - 1e-9
    expected = dblquad(integrand, *limits, -1.0, 1.0, epsrel=1e-4, epsabs=0.0)[0] * GEV2_FB
    width = 1e-4 * mass
    boson = x_boson("scalar", mass, width, 1e-6, 1e-6, y)  # to muons only for the decay
    sample = generate_resonant_four_leptons(60_000, 8, SYMMETRIC, boson, isr=False)
    value, error = np.array(total(sample)) * width / partial_width("scalar", mass, M_MUON, 1e-6)
    assert abs(value - expected) < 3.0 * error


def test_rate_does_not_depend_on_a_width_far_below_the_resolution():
    rates = []
    for width in (1e-3, 1e-6, 1e-12):
        sample = generate_resonant_four_leptons(20_000, 9, SYMMETRIC, x_boson("zprime", 1.0, width, 0.1, 0.1), isr=False)
        rates.append(sample.weights.sum() * width)
    np.testing.assert_allclose(rates, rates[0], rtol=5e-3)  # common random numbers; width / mass is 1e-3 at most


def rest_frame_cosine(momentum, parent):
    """cos of a decay product with the parent's direction of flight, in the parent's rest frame."""
    mass = invariant_mass(parent)
    p = np.linalg.norm(parent[:, 1:], axis=1)
    star = (momentum[:, 0] * parent[:, 0] - (momentum[:, 1:] * parent[:, 1:]).sum(axis=1)) / mass
    product_mass = np.sqrt(momentum[0, 0] ** 2 - (momentum[0, 1:] ** 2).sum())
    return (momentum[:, 0] * mass - parent[:, 0] * star) / (p * np.sqrt(star**2 - product_mass**2))


def test_a_scalar_decays_evenly_and_a_vector_does_not():
    moments = {}
    for kind in ("scalar", "zprime"):
        boson = x_boson(kind, 2.0, 1e-4, 0.1, 0.1)
        sample = generate_resonant_four_leptons(40_000, 10, SYMMETRIC, boson, ("tau", "mu"), isr=False)
        minus, plus = sample.momenta_lab["mu-"], sample.momenta_lab["mu+"]
        peak = np.abs(invariant_mass(minus, plus) - 2.0) < 0.1
        cosine, w = rest_frame_cosine(minus, minus + plus)[peak], sample.weights[peak]
        mean = np.average(cosine**2, weights=w)
        moments[kind] = mean - 1 / 3, math.sqrt(np.sum((w * (cosine**2 - mean)) ** 2)) / w.sum()
    assert abs(moments["scalar"][0]) < 3.0 * moments["scalar"][1]
    assert abs(moments["zprime"][0]) > 5.0 * moments["zprime"][1]


def test_opposite_charges_mirror_each_other():
    sample = generate_four_muons(40_000, 11, SYMMETRIC, isr=False)
    forward = []
    for charge in "-+":
        for i in (1, 2):
            p = sample.momenta_lab[f"mu{charge}_{i}"]
            forward.append(p[:, 3] / np.linalg.norm(p[:, 1:], axis=1))
    w, mirrored = sample.weights, sum(forward)
    assert abs((w * mirrored).sum()) < 3.0 * math.sqrt(np.sum((w * mirrored) ** 2))


def test_radiation_changes_the_rate_like_the_collinear_radiator():
    energies = np.array([0.6, 1.0, 2.0, 4.0, 7.0, SQRT_S])
    born = [
        generate_four_muons(20_000, 12, Beams(electron_energy=e / 2, positron_energy=e / 2, crossing_angle=0.0), isr=False)
        for e in energies
    ]
    shape = CubicSpline(np.log(energies), np.log([sample.weights.sum() for sample in born]))
    expected = radiated_cross_section(lambda s: np.exp(shape(0.5 * np.log(s))), SQRT_S, energies[0])
    value, error = total(generate_four_muons(60_000, 12, SYMMETRIC))
    born_error = 0.01 * expected  # 1 % per point of the spline
    assert abs(value - expected) < 3.0 * math.hypot(error, born_error)
    assert value > total(born[-1])[0]  # rates grow towards lower energies: radiation adds more than it takes


@pytest.mark.parametrize("make", (generate_four_muons, generate_mumutautau))
def test_events_conserve_momentum_and_sit_on_their_mass_shells(make):
    beams = belle2_beams()
    sample = make(20_000, 13, beams)
    whole = sum(sample.momenta_lab.values())
    kept = sample.momenta_lab["gamma_4"][:, 0] == 0.0  # with a fifth photon the record is not complete
    head_on = make(20_000, 13, Beams(electron_energy=5.29, positron_energy=5.29, crossing_angle=0.0))
    np.testing.assert_allclose(sum(head_on.momenta_lab.values())[kept][:, 0], SQRT_S, rtol=1e-10)
    np.testing.assert_allclose(sum(head_on.momenta_lab.values())[kept][:, 1:], 0.0, atol=1e-10)
    energy = invariant_mass(whole[kept])
    assert abs(energy.mean() - beams.sqrt_s) < 3.0 * energy.std() / math.sqrt(kept.sum())
    for name, p in sample.momenta_lab.items():
        mass = 0.0 if name.startswith("gamma") else M_TAU if name.startswith("tau") else M_MUON
        np.testing.assert_allclose(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), mass**2, atol=1e-11)
    assert np.all(np.isfinite(sample.weights)) and np.all(sample.weights >= 0.0)


def test_events_do_not_depend_on_threads_or_on_how_many_are_made():
    with threads(1):
        one = generate_four_muons(10_000, 14, belle2_beams())
    many = generate_four_muons(10_000, 14, belle2_beams())
    few = generate_four_muons(5000, 14, belle2_beams())
    np.testing.assert_array_equal(one.weights, many.weights)
    for name, p in one.momenta_lab.items():
        np.testing.assert_array_equal(p, many.momenta_lab[name])
        np.testing.assert_array_equal(p[:5000], few.momenta_lab[name])
    np.testing.assert_allclose(one.weights[:5000] * 2.0, few.weights, rtol=1e-12)


def test_weights_are_even_enough():
    # standard deviation over mean; measured 1.0, 1.35 and 0.5
    z = x_boson("zprime", 1.0, 1e-4, 0.1, 0.1)
    for sample, spread in (
        (generate_four_muons(30_000, 15, BABAR, isr=False), 1.2),
        (generate_mumutautau(30_000, 15, BABAR, isr=False), 1.6),
        (generate_resonant_four_leptons(30_000, 15, BABAR, z, isr=False), 0.7),
    ):
        assert sample.weights.std() < spread * sample.weights.mean()


def test_alpha_enters_to_the_fourth_power():
    thomson, physical = (generate_four_muons(1000, 16, BABAR, isr=False, alpha=name).weights for name in ("thomson", "physical"))
    np.testing.assert_allclose(physical / thomson, (ALPHA["physical"] / ALPHA["thomson"]) ** 4, rtol=1e-12)


def test_bad_requests_say_what_is_allowed():
    boson = x_boson("zprime", 1.0, 1e-3, 0.1, 0.1)
    with pytest.raises(ValueError, match="n = 0"):
        generate_four_muons(0, 1, BABAR)
    with pytest.raises(ValueError, match="nearest: physical"):
        generate_four_muons(10, 1, BABAR, alpha="fysical")
    with pytest.raises(ValueError, match="threshold"):
        generate_mumutautau(10, 1, Beams(electron_energy=1.5, positron_energy=1.5, crossing_angle=0.0))
    with pytest.raises(ValueError, match="must be mu or tau"):
        generate_resonant_four_leptons(10, 1, BABAR, boson, ("mu", "e"))
    with pytest.raises(ValueError, match=r"mass = 11 GeV: must lie between 0.211317 and 10.3528 GeV"):
        generate_resonant_four_leptons(10, 1, BABAR, boson._replace(mass=11))
    with pytest.raises(ValueError, match="width = 0"):
        generate_resonant_four_leptons(10, 1, BABAR, boson._replace(width=0.0))
    with pytest.raises(ValueError, match="must be the same"):
        generate_resonant_four_leptons(10, 1, BABAR, x_boson("zprime", 1.0, 1e-3, 0.1, 0.2))
    with pytest.raises(ValueError, match="mass = 0"):
        vector_boson(0.0, 0.1, (1.0, 0.0), (1.0, 0.0))
    with pytest.raises(ValueError, match=r"expected \(n, 4, 4\)"):
        four_leptons_squared(np.zeros((4, 4)), MUONS, True, (PHOTON,))


def boosted(p, frame):
    """Momenta (n, 4) given in the rest frames of ``frame`` (n, 4), in the frame of the latter."""
    mass = invariant_mass(frame)
    energy = (p * frame).sum(axis=1) / mass
    f = (p[:, 0] + energy) / (frame[:, 0] + mass)
    return np.column_stack([energy, p[:, 1:] + f[:, None] * frame[:, 1:]])


def decay(frame, m1, m2, cosine, phi):
    """Two-body decay of ``frame`` (n, 4) to masses (n,), angles in its rest frame: momenta and phase space p / (4 pi W)."""
    w = invariant_mass(frame)
    p = np.sqrt((w - m1 - m2) * (w + m1 + m2) * (w - m1 + m2) * (w + m1 - m2)) / (2.0 * w)
    sine = np.sqrt(1.0 - cosine**2)
    n = np.column_stack([sine * np.cos(phi), sine * np.sin(phi), cosine]) * p[:, None]
    one, two = (np.column_stack([np.hypot(p, m), s * n]) for m, s in ((m1, 1.0), (m2, -1.0)))
    return boosted(one, frame), boosted(two, frame), p / (4.0 * math.pi * w)


def test_generator_finds_the_cross_section_of_an_adaptive_integrator():
    s = SQRT_S**2

    def integrand(x):
        low, high = 4.0 * M_MUON**2, (SQRT_S - 2.0 * M_TAU) ** 2
        qa2 = low * (high / low) ** x[:, 0]
        jacobian = qa2 * math.log(high / low)
        low, high = 4.0 * M_TAU**2, (SQRT_S - np.sqrt(qa2)) ** 2
        qb2 = low + (high - low) * x[:, 1]
        jacobian *= high - low
        a, b = 0.5 * (s - qa2 - qb2), 0.5 * np.sqrt((s - qa2 - qb2) ** 2 - 4.0 * qa2 * qb2)
        steep = np.arctanh(b / a)
        y = steep * (2.0 * x[:, 2] - 1.0)
        jacobian *= steep * a / (b * np.cosh(y) ** 2)  # of cos / 2
        whole = np.tile([SQRT_S, 0.0, 0.0, 0.0], (len(x), 1))
        pair_a, pair_b, space = decay(whole, np.sqrt(qa2), np.sqrt(qb2), a / b * np.tanh(y), np.zeros(len(x)))
        k1, k2, space_a = decay(pair_a, M_MUON, M_MUON, 2.0 * x[:, 3] - 1.0, 2.0 * math.pi * x[:, 4])
        k3, k4, space_b = decay(pair_b, M_TAU, M_TAU, 2.0 * x[:, 5] - 1.0, 2.0 * math.pi * x[:, 6])
        square = four_leptons_squared(np.stack([k1, k2, k3, k4], axis=1), MUTAU, False, (PHOTON,))
        return square * jacobian * space * space_a * space_b / (2.0 * math.pi) ** 2 / (2.0 * s) * GEV2_FB

    expected = integrate(integrand, 7, 17, n=20_000, iterations=6)
    value, error = total(generate_mumutautau(40_000, 18, SYMMETRIC, isr=False))
    assert expected.error < 0.02 * expected.value
    assert abs(value - expected.value) < 3.0 * math.hypot(error, expected.error)
