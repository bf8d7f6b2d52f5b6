"""Decays of taus: spectra and polarimeters against traces and quadratures, spins of pairs, flights, bookkeeping."""

import math

import numba
import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import CTAU_KSHORT, CTAU_TAU, M_ELECTRON, M_KAON, M_KSHORT, M_MUON, M_PION, M_PION0, M_TAU
from belle2dark.simulation.decays import tau_modes, tau_spectra, tau_spin
from belle2dark.simulation.decays.tau import decay_taus
from belle2dark.simulation.decays.tau_kernels import decay
from belle2dark.simulation.decays.tau_modes import ALPHA_MODES, GROUPS, MODES, Alpha
from belle2dark.simulation.events import Events
from belle2dark.simulation.rng import make_key, seed_block
from belle2dark.sourced import load_numbers

NUMBERS = load_numbers("tau_decays")
N = 40_000
MASS = {11: M_ELECTRON, 13: M_MUON, 211: M_PION, 321: M_KAON, 0: 0.0, 22: 0.0, 130: M_KSHORT, 310: M_KSHORT}


@numba.njit
def _sample(key, n, m, modes, bodies, h):
    s0, s1 = seed_block(key, 0)
    work = np.zeros(5)
    for i in range(n):
        s0, s1, h[i, 0], h[i, 1], h[i, 2] = decay(s0, s1, m, modes, bodies[i], work)


def sample(name, n=N, alpha=None, seed=1):
    """Bodies (n, k, 4) and polarimeters (n, 3) of one mode in the tau rest frame."""
    alpha = alpha or Alpha()
    modes = tau_modes.kernel_modes(alpha)
    m = [*MODES, *ALPHA_MODES].index(name)
    bodies, h = np.zeros((n, 5, 4)), np.zeros((n, 3))
    _sample(np.uint64(make_key(seed, name)), n, m, modes, bodies, h)
    return bodies[:, : modes.bodies[m]], h


def mass2(p):
    return p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1)


def along(p):
    return p[..., 1:] / np.linalg.norm(p[..., 1:], axis=-1)[..., None]


def off(values, expected, sigmas=4.0, floor=0.0, weights=None):
    """How far the mean is from ``expected``, in units of what Monte Carlo errors and a ``floor`` allow."""
    w = np.ones(len(values)) if weights is None else weights
    mean = np.average(values, weights=w)
    error = math.sqrt((w**2 * (values - mean) ** 2).sum()) / w.sum()
    return abs(mean - expected) / (sigmas * error + floor)


def close(values, expected, **options):
    """Whether the mean agrees with ``expected`` within Monte Carlo errors."""
    return off(values, expected, **options) < 1.0


def boost(p, b):
    """Four-vectors p (n, 4), given in the rest frames of b (n, 4), in the frame where b is given; numpy, for the tests."""
    m = np.sqrt(mass2(b))
    e = (p[:, 0] * b[:, 0] + (p[:, 1:] * b[:, 1:]).sum(axis=1)) / m
    f = (e + p[:, 0]) / (b[:, 0] + m)
    return np.column_stack([e, p[:, 1:] + f[:, None] * b[:, 1:]])


def into(p, b):
    return boost(p, b * np.array([1.0, -1.0, -1.0, -1.0]))


# -- Dirac matrices -----------------------------------------------------------------------------------------------------

PAULI = [np.array([[0, 1], [1, 0]], complex), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1]).astype(complex)]
GAMMA = [np.kron(PAULI[2], np.eye(2)), *(np.kron(1j * PAULI[1], s) for s in PAULI)]
GAMMA5 = 1j * GAMMA[0] @ GAMMA[1] @ GAMMA[2] @ GAMMA[3]
METRIC = np.array([1.0, -1.0, -1.0, -1.0])


def slash(p):
    return sum(METRIC[i] * p[i] * GAMMA[i] for i in range(4))


def test_polarimeter_of_a_current_from_dirac_matrices():
    """Trace of nubar J (1 - gamma5) tau with spin s, for complex currents."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        n = rng.normal(size=3)
        n = np.array([np.linalg.norm(n), *n])
        r, i = rng.normal(size=(2, 4))

        def rate(s, n=n, j=r + 1j * i):
            spin = slash(np.array([0.0, *s]))
            tau = 0.5 * M_TAU * (GAMMA[0] + np.eye(4)) @ (np.eye(4) + GAMMA5 @ spin)
            left, right = slash(j) @ (np.eye(4) - GAMMA5), (np.eye(4) + GAMMA5) @ slash(j.conj())
            return np.trace(slash(n) @ left @ tau @ right).real

        zero = rate(np.zeros(3))
        w, *h = tau_spin.polarimeter.py_func(n, r, i)
        assert [rate(s) / zero - 1 for s in np.eye(3)] == pytest.approx(h, abs=1e-12)
        assert w == pytest.approx(zero / (4 * M_TAU), rel=1e-12)
        assert np.linalg.norm(h) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("vector", "axial"), [(1, 0), (0, 1), (1, -1), (1, 1), (0.3, -2.0)])
@pytest.mark.parametrize(("m", "mass"), [(M_MUON, 1.2), (M_ELECTRON, 0.0), (M_MUON, 1.6)])
def test_lepton_alpha_asymmetry_from_dirac_matrices(vector, axial, m, mass):
    energy = (M_TAU**2 + m**2 - mass**2) / (2 * M_TAU)
    p = math.sqrt(energy**2 - m**2)
    lepton, alpha = np.array([energy, 0, 0, p]), np.array([M_TAU - energy, 0, 0, -p])
    vertex = slash(alpha) @ (vector * np.eye(4) + axial * GAMMA5)
    bar = GAMMA[0] @ vertex.conj().T @ GAMMA[0]
    spin = slash(np.array([0, 0, 0, 1.0]))

    def rate(sign):
        tau = (M_TAU * GAMMA[0] + M_TAU * np.eye(4)) @ (np.eye(4) + sign * GAMMA5 @ spin)
        return np.trace((slash(lepton) + m * np.eye(4)) @ vertex @ tau @ bar).real

    expected = (rate(1) - rate(-1)) / (rate(1) + rate(-1))
    assert Alpha(mass=mass, vector=vector, axial=axial).asymmetry(m) == pytest.approx(expected, abs=1e-9)


def test_chiral_alpha_decays_like_the_weak_current():
    """Massless limit: V-A sends the lepton against the spin, V+A along it, V and A alone nowhere."""
    for (v, a), expected in {(1, -1): -1.0, (1, 1): 1.0, (1, 0): 0.0, (0, 1): 0.0}.items():
        bodies, h = sample("e_alpha", 100, Alpha(mass=0.5, vector=v, axial=a))
        assert np.abs(h - expected * along(bodies[:, 0])).max() < 1e-5
        assert bodies[:, 0, 0] == pytest.approx((M_TAU**2 + M_ELECTRON**2 - 0.25) / (2 * M_TAU), rel=1e-12)


# -- spectra ------------------------------------------------------------------------------------------------------------


def test_branching_fractions_add_up():
    """To 1 but for what is declared missing, and to the measured topological sums within three of their errors (0.105 %)."""
    total = {group: sum(float(NUMBERS[name]) for name in names) for group, names in GROUPS.items()}
    assert 0.996 < total["all"] < 1.0
    assert total["1prong"] == pytest.approx(float(NUMBERS["one_prong"]), abs=0.0032)
    assert total["3prong"] == pytest.approx(float(NUMBERS["three_prong"]), abs=0.0032)
    for mode in MODES.values():
        charge = sum({"e": -1, "mu": -1}.get(d, d.count("+") - d.count("-")) for d in mode.daughters)
        assert charge == -1


@pytest.mark.parametrize("name", MODES)
def test_daughters_fit_into_the_tau(name):
    """Daughters on their mass shells; what is left to neutrinos has a mass of zero (one) or more (two)."""
    bodies, h = sample(name, 2000)
    modes = tau_modes.kernel_modes(Alpha())
    assert np.abs(mass2(bodies) - modes.masses[list(MODES).index(name), : bodies.shape[1]] ** 2).max() < 1e-12
    left = np.array([M_TAU, 0, 0, 0]) - bodies.sum(axis=1)
    if name in ("e", "mu"):
        assert mass2(left).min() > -1e-10
        assert (np.linalg.norm(h, axis=1) < 1 + 1e-12).all()
    else:
        assert np.abs(mass2(left)).max() < 1e-10
        q2 = mass2(bodies.sum(axis=1))
        length = np.abs((M_TAU**2 - 2 * q2) / (M_TAU**2 + 2 * q2)) if MODES[name].kind == tau_modes.FLAT else 1.0
        assert np.linalg.norm(h, axis=1) == pytest.approx(length, abs=1e-9)
    for c in range(1, 4):  # isotropic
        assert close(along(bodies[:, 0])[:, c - 1], 0.0)


@pytest.mark.parametrize(("name", "mass"), [("e", M_ELECTRON), ("mu", M_MUON)])
def test_michel_spectrum_and_asymmetry(name, mass):
    """Moments of x and of h along the lepton; massless: <x> = 7/10, <h.p> = -1/3."""
    bodies, h = sample(name)
    top = (M_TAU**2 + mass**2) / (2 * M_TAU)
    x, power = bodies[:, 0, 0] / top, (h * along(bodies[:, 0])).sum(axis=1)
    x0 = mass / top

    def flat(x):
        return math.sqrt(x * x - x0 * x0) * (x * (1 - x) + (4 * x * x - 3 * x - x0 * x0) / 6)

    def polarised(x):
        return (x * x - x0 * x0) / 3 * (1 - x + 0.5 * (4 * x - 4 + math.sqrt(1 - x0 * x0)))

    norm = quad(flat, x0, 1)[0]
    for k in (1, 2, 3):
        assert close(x**k, quad(lambda x, k=k: x**k * flat(x), x0, 1)[0] / norm)
        assert close(x**k * power, -quad(lambda x, k=k: x**k * polarised(x), x0, 1)[0] / norm)
    if name == "e":
        assert close(x, 0.7)
        assert close(power, -1 / 3)


def test_one_meson_is_a_full_polarimeter():
    bodies, h = sample("pi", 1000)
    assert np.abs(h - along(bodies[:, 0])).max() < 1e-12
    assert bodies[:, 0, 0] == pytest.approx((M_TAU**2 + M_PION**2) / (2 * M_TAU), rel=1e-12)


@pytest.mark.parametrize("name", ["rho", "pi_K0", "3pi", "pi_2pi0", "3pi_pi0"])
def test_polarisation_seen_in_the_hadron_direction(name):
    """<h.n> at given Q is (M^2 - 2 Q^2)/(M^2 + 2 Q^2) for any spin-1 current: one half for a rho at rest mass."""
    bodies, h = sample(name)
    hadrons = bodies.sum(axis=1)
    q2 = mass2(hadrons)
    seen = (h * along(hadrons)).sum(axis=1)
    for low, high in zip(*(np.quantile(q2, f) for f in ((0, 0.25, 0.5, 0.75), (0.25, 0.5, 0.75, 1.0))), strict=True):
        cut = (q2 > low) & (q2 < high)
        assert close((seen - (M_TAU**2 - 2 * q2) / (M_TAU**2 + 2 * q2))[cut], 0.0, floor=1e-12)


def test_rho_mass_spectrum_and_angle():
    """Mean mass against quadrature of the published line shape; <cos^2> of the pion at given Q in closed form."""
    m, w, m2, w2, share = (float(NUMBERS[f"rho_{k}"]) for k in ("mass", "width", "prime_mass", "prime_width", "prime_share"))

    def p(q):
        return math.sqrt((q * q - (M_PION + M_PION0) ** 2) * (q * q - (M_PION - M_PION0) ** 2)) / (2 * q)

    def pole(q, m, w):
        return m * m / (m * m - q * q - 1j * q * w * (m / q) ** 2 * (p(q) / p(m)) ** 3)

    def density(q):
        x = (q / M_TAU) ** 2
        return q * (1 - x) ** 2 * (1 + 2 * x) * (p(q) / q) ** 3 * abs(pole(q, m, w) + share * pole(q, m2, w2)) ** 2

    low = M_PION + M_PION0 + 1e-9
    norm = quad(density, low, M_TAU, limit=200)[0]
    bodies, _ = sample("rho")
    hadrons = bodies.sum(axis=1)
    q = np.sqrt(mass2(hadrons))
    for k in (1, 2, 4):
        assert close(q**k, quad(lambda x, k=k: x**k * density(x), low, M_TAU, limit=200)[0] / norm, floor=1e-5)
    # cos^2 from (M^2 - Q^2) cos^2 + Q^2: (1/3 Q^2 + 1/5 (M^2 - Q^2)) / (Q^2 + (M^2 - Q^2)/3)
    c2 = (along(into(bodies[:, 0], hadrons)) * along(hadrons)).sum(axis=1) ** 2
    assert close(c2 - (q**2 / 3 + (M_TAU**2 - q**2) / 5) / (q**2 + (M_TAU**2 - q**2) / 3), 0.0)


def test_a1_width_is_the_published_one():
    """Own Dalitz integral against the parametrisation of Kuehn and Santamaria (a fit, good to 0.3 % above 0.8 GeV)."""
    m2 = 0.1396**2

    def published(s):
        below = 4.1 * (s - 9 * m2) ** 3 * (1 - 3.3 * (s - 9 * m2) + 5.8 * (s - 9 * m2) ** 2)
        return np.where(s < (0.773 + 0.1396) ** 2, below, s * (1.623 + 10.38 / s - 9.32 / s**2 + 0.65 / s**3))

    q = np.array([0.8, 0.85, 0.95, 1.05, 1.15, 1.35, 1.5, 1.7])
    ratio = tau_spectra.a1_width(q) / tau_spectra.a1_width(np.array(1.23)) / (published(q**2) / published(1.23**2))
    assert ratio == pytest.approx(1.0, abs=5e-3)


def test_a1_mass_spectrum():
    q = np.linspace(2 * M_PION + M_PION + 1e-6, M_TAU, 4000)
    density, bound = tau_spectra.spectrum(tau_modes.AXIAL, (M_PION,) * 3, "a1", q)
    got = np.sqrt(mass2(sample("3pi")[0].sum(axis=1)))
    for k in (1, 2, 4):
        assert close(got**k, np.trapezoid(q**k * density, q) / np.trapezoid(density, q), floor=2e-4)
    # accept-reject never meets a current above its bound
    rng = np.random.default_rng(1)
    for mass in (0.7, 1.0, 1.3, 1.7):
        s = rng.uniform((2 * M_PION) ** 2, (mass - M_PION) ** 2, size=(2, 50_000))
        square = tau_spectra.current_squared(mass, s[0], s[1], M_PION, M_PION)
        assert square.max() < np.interp(mass, q, bound)


@pytest.mark.parametrize(("name", "like", "odd"), [("3pi", M_PION, M_PION), ("pi_2pi0", M_PION0, M_PION)])
def test_three_pions_against_weighted_phase_space(name, like, odd):
    """Energies, masses and polarimeters against flat 4-body phase space times the trace with explicit four-vectors."""
    rng, n = np.random.default_rng(5), 400_000
    masses = np.array([like, like, odd])

    def two(mother, m1, m2):
        m = np.sqrt(mass2(mother))
        p = np.asarray(tau_spectra.momentum(m, m1, m2))
        d = rng.normal(size=(n, 3))
        d *= (p / np.linalg.norm(d, axis=1))[:, None]
        return boost(np.column_stack([np.sqrt(p * p + m1 * m1), d]), mother), boost(
            np.column_stack([np.sqrt(p * p + m2 * m2), -d]), mother), p  # fmt: skip

    q = rng.uniform(masses.sum(), M_TAU, n)
    m12 = rng.uniform(2 * like, q - odd)
    tau = np.zeros((n, 4))
    tau[:, 0] = M_TAU
    hadrons, nu, p0 = two(tau, q, 0.0)
    pair, q3, p1 = two(hadrons, m12, odd)
    q1, q2, p2 = two(pair, like, like)
    f = [tau_spectra.form_factor(mass2(x + q3), "rho", like, odd)[:, None] for x in (q1, q2)]
    j = f[0] * (q1 - q3) + f[1] * (q2 - q3)
    j = j - hadrons * ((j * hadrons * METRIC).sum(axis=1) / q**2)[:, None]
    m, w = float(NUMBERS["a1_mass"]), float(NUMBERS["a1_width"])
    pole = 1 / (m * m - q**2 - 1j * m * w * tau_spectra.a1_width(q) / tau_spectra.a1_width(np.array(m)))
    k0, *h = tau_spin.polarimeter.py_func(nu.T, j.real.T, j.imag.T)
    weight = k0 * np.abs(pole) ** 2 * p0 * p1 * p2 * (q - odd - 2 * like)
    h = np.array(h).T

    def observables(q1, q2, q3, h):
        s1, s2 = mass2(q1 + q3), mass2(q2 + q3)
        first = (s1 > s2)[:, None]
        a, b = np.where(first, q1, q2), np.where(first, q2, q1)
        normal = np.cross(a[:, 1:], b[:, 1:])
        normal /= np.linalg.norm(normal, axis=1)[:, None]
        return [mass2(q1 + q2 + q3), q3[:, 0], a[:, 0], np.maximum(s1, s2), np.minimum(s1, s2), mass2(q1 + q2),
                (h * along(q3)).sum(axis=1), (h * along(a)).sum(axis=1), (h * along(b)).sum(axis=1),
                (h * normal).sum(axis=1)]  # fmt: skip

    bodies, hh = sample(name)
    for ours, theirs in zip(observables(*bodies.transpose(1, 0, 2), hh), observables(q1, q2, q3, h), strict=True):
        mean = np.average(theirs, weights=weight)
        error = math.sqrt((weight**2 * (theirs - mean) ** 2).sum()) / weight.sum()
        assert close(ours, mean, floor=4 * error)
        assert error < 0.02 * theirs.std()


def test_phase_space_volume_in_closed_form():
    """Massless bodies: Q^2/8 for three, Q^4/96 for four in units where two have 1/2 (masses of 1 keV)."""
    q = np.array([0.5, 1.0, 1.6])
    assert tau_spectra.phase_space(q, (1e-6,) * 2) == pytest.approx(0.5)
    assert tau_spectra.phase_space(q, (1e-6,) * 3) == pytest.approx(q**2 / 8, rel=1e-3)
    assert tau_spectra.phase_space(q, (1e-6,) * 4) == pytest.approx(q**4 / 96, rel=1e-3)


@pytest.mark.parametrize("name", ["pi_3pi0", "3pi_2pi0", "K_2pi"])
def test_flat_modes(name):
    """Mass spectrum against quadrature; invariant masses of pairs flat in phase space (three bodies: a flat Dalitz plot)."""
    bodies, _ = sample(name, 20_000)
    masses = tuple(np.sqrt(np.maximum(mass2(bodies), 0)).mean(axis=0).round(9))
    q = np.linspace(sum(masses), M_TAU, 3000)
    density, _ = tau_spectra.spectrum(tau_modes.FLAT, masses, MODES[name].resonance, q)
    got = np.sqrt(mass2(bodies.sum(axis=1)))
    assert close(got, np.trapezoid(q * density, q) / np.trapezoid(density, q), floor=2e-4)
    if name == "pi_3pi0":  # the three like pions share energy alike
        for k in (2, 3):
            assert close(bodies[:, k, 0] - bodies[:, 1, 0], 0.0)
    if len(masses) == 3:
        # <s12> over a flat Dalitz plot at given Q, by quadrature at the quartiles' mean
        cut = np.abs(got - 1.4) < 0.01

        def width(s, mass):
            m1, m2, m3 = masses
            return float(tau_spectra.momentum(math.sqrt(s), m1, m2) * tau_spectra.momentum(mass, math.sqrt(s), m3)) / math.sqrt(s)

        low, high = (masses[0] + masses[1]) ** 2, (1.4 - masses[2]) ** 2
        expected = quad(lambda s: s * width(s, 1.4), low, high)[0] / quad(width, low, high, args=(1.4,))[0]
        assert close(mass2(bodies[:, 0] + bodies[:, 1])[cut], expected, floor=2e-3)


# -- pairs --------------------------------------------------------------------------------------------------------------


def taus(n=N, mass=4.0, seed=2, **extra):
    """Pairs from a resonance of ``mass`` [GeV] flying with some momentum, isotropic."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 4))
    x[:, 1:] = rng.normal(size=(n, 3)) * 1.5
    x[:, 0] = np.sqrt(mass**2 + (x[:, 1:] ** 2).sum(axis=1))
    d = rng.normal(size=(n, 3))
    d *= math.sqrt(mass**2 / 4 - M_TAU**2) / np.linalg.norm(d, axis=1)[:, None]
    minus, plus = (np.column_stack([np.full(n, mass / 2), s * d]) for s in (1, -1))
    return Events(momenta_lab={"tau-": boost(minus, x), "tau+": boost(plus, x)}, weights=np.ones(n), **extra)


def correlation(events, out):
    """9 <(h.i)(g.j)> of pion directions, i, j = along the tau- and two directions across, in the helicity frames."""
    pair = events.momenta_lab["tau-"] + events.momenta_lab["tau+"]
    first = into(events.momenta_lab["tau-"], pair)
    z = along(first)
    x = np.cross(z, np.roll(z, 1, axis=1))
    x /= np.linalg.norm(x, axis=1)[:, None]
    axes = np.stack([x, np.cross(z, x), z], axis=1)
    h = along(into(into(out.momenta_lab["prong_1"], pair), first))
    g = -along(into(into(out.momenta_lab["prong_4"], pair), into(events.momenta_lab["tau+"], pair)))
    return 9 * np.einsum("nij,nj,nkl,nl->ik", axes, h, axes, g) / len(h)


@pytest.mark.parametrize("parent", ["none", "scalar", "pseudoscalar", "vector"])
def test_pion_pairs_show_the_spin_of_the_parent(parent):
    """1/16 pi^2 (1 + h.R.g): scalar diag(1, 1, -1), pseudoscalar -1, vector from the sum over its spin states."""
    events = taus()
    out = decay_taus(events, 7, "pi", "pi", parent=parent)
    r2 = 4 * M_TAU**2 / 16
    vector = np.diag([1 - 2 / (2 + r2)] * 2 + [1 - 2 * r2 / (2 + r2)])
    expected = {"none": np.zeros((3, 3)), "scalar": np.diag([1, 1, -1]), "pseudoscalar": -np.eye(3), "vector": vector}[parent]
    # <(h.i)^2 (g.j)^2> = 1/9: the error of each entry is 9/3/sqrt(N)
    assert np.abs(correlation(events, out) - expected).max() < 4 * 3 / math.sqrt(N)


@pytest.mark.parametrize("made", ["scalar", "pseudoscalar", "vector"])
def test_pair_correlations_from_dirac_matrices(made):
    """Traces of the couplings 1, gamma5 and gamma^mu (summed over spin states), in a boosted frame."""
    rng = np.random.default_rng(8)
    events = taus(4, mass=5.0)
    for i in range(4):
        h, g = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        p1, p2 = events.momenta_lab["tau-"][i], events.momenta_lab["tau+"][i]
        s1, s2 = (boost(np.array([[0.0, *v]]), p[None])[0] for v, p in ((h, p1), (g, p2)))
        total = p1 + p2
        if made == "vector":
            vertices = [(GAMMA[a], GAMMA[b], -float(a == b) * METRIC[a] + total[a] * total[b] * METRIC[a] * METRIC[b] / 25.0)
                        for a in range(4) for b in range(4)]  # fmt: skip
        else:
            vertices = [(np.eye(4), np.eye(4), 1.0) if made == "scalar" else (GAMMA5, -GAMMA5, 1.0)]

        def rate(on, s1=s1, s2=s2, p1=p1, p2=p2, vertices=vertices):
            minus = (slash(p1) + M_TAU * np.eye(4)) @ (np.eye(4) + on * GAMMA5 @ slash(s1))
            plus = (slash(p2) - M_TAU * np.eye(4)) @ (np.eye(4) + on * GAMMA5 @ slash(s2))
            return sum(f * np.trace(minus @ a @ plus @ b).real for a, b, f in vertices)

        number = {"scalar": tau_spin.SCALAR, "pseudoscalar": tau_spin.PSEUDOSCALAR, "vector": tau_spin.VECTOR_PARENT}[made]
        got = tau_spin.pair_correlation(number, tuple(h), tuple(g), tuple(p1), tuple(p2), (0.0,) * 4, M_TAU)
        assert got == pytest.approx(rate(1.0) / rate(0.0) - 1, abs=1e-9)


def test_turning_keeps_every_spectrum():
    """Spins move directions only: energies in the tau frames are the same with and without correlation."""
    events = taus(5000)
    for name in ("mu", "rho", "3pi"):
        one, two = (decay_taus(events, 3, name, name, parent=parent) for parent in ("none", "pseudoscalar"))
        rest = [into(out.momenta_lab["prong_1"], events.momenta_lab["tau-"])[:, 0] for out in (one, two)]
        turned = ~np.isclose(one.momenta_lab["prong_1"], two.momenta_lab["prong_1"]).all(axis=1)
        # the correlation draws one number per event, so from the second event on the decays differ
        assert turned[1:].mean() > 0.9
        assert rest[0].mean() == pytest.approx(rest[1].mean(), abs=5 * rest[0].std() * math.sqrt(2 / 5000))


def test_momentum_charge_and_kinds():
    events = taus(20_000)
    out = decay_taus(events, 4, parent="vector", photons=16)
    missing = sum(events.momenta_lab.values()) - sum(out.momenta_lab.values())
    assert np.abs(missing).max() < 1e-12
    assert out.weights == pytest.approx(sum(float(NUMBERS[name]) for name in MODES) ** 2)
    for first, sign in ((1, -1), (4, 1)):
        codes = np.array([out.species[f"prong_{i}"] for i in range(first, first + 3)])
        assert set(np.unique(np.abs(codes))) == {0, 11, 13, 211, 321}
        assert (np.sign(np.where(np.abs(codes) < 20, -codes, codes)).sum(axis=0) == sign).all()
        for i in range(first, first + 3):
            p, code = out.momenta_lab[f"prong_{i}"], out.species[f"prong_{i}"]
            expected = np.array([MASS[abs(c)] for c in code])
            assert np.abs(mass2(p) - expected**2).max() < 1e-11
            assert ((p[:, 0] == 0) == (code == 0)).all()
    energies = np.array([out.momenta_lab[name][:, 0] for name in out.photons])
    assert (np.diff(energies, axis=0) <= 0).all()
    assert set(np.unique(out.species["neutral_1"])) <= {0, 130, 310}
    assert (out.momenta_lab["nu_1"][:, 0] > 0).all()


def test_photons_pair_up_to_pi0():
    out = decay_taus(taus(500), 4, "rho", "e")
    assert mass2(out.momenta_lab["gamma_1"] + out.momenta_lab["gamma_2"]) == pytest.approx(M_PION0**2, rel=1e-9)
    assert not out.momenta_lab["gamma_3"].any()
    assert close(into(out.momenta_lab["gamma_1"], out.momenta_lab["gamma_1"] + out.momenta_lab["gamma_2"])[:, 0], M_PION0 / 2)


def test_modes_are_chosen_by_branching_fraction():
    out = decay_taus(taus(), 5, "leptons", ("pi", "K"))
    is_mu = out.species["prong_1"] == 13
    b = {name: float(NUMBERS[name]) for name in ("e", "mu", "pi", "K")}
    assert close(is_mu.astype(float), b["mu"] / (b["mu"] + b["e"]))
    assert close((out.species["prong_4"] == 321).astype(float), b["K"] / (b["pi"] + b["K"]))
    assert out.weights == pytest.approx((b["mu"] + b["e"]) * (b["pi"] + b["K"]))


def test_flights_are_exponential():
    """Proper decay length of the tau from its start, and of the K_S0 from there: mean c tau and mean square 2 (c tau)^2."""
    n = 20_000
    start = np.random.default_rng(1).normal(size=(n, 3))
    events = taus(n, vertices_cm={"tau-": start})
    out = decay_taus(events, 6, "3pi", "pi_K0")
    tau = events.momenta_lab["tau-"]
    flight = out.vertices_cm["prong_1"] - start
    assert (out.vertices_cm["prong_3"] == out.vertices_cm["prong_1"]).all()
    proper = np.linalg.norm(flight, axis=1) * M_TAU / np.linalg.norm(tau[:, 1:], axis=1)
    assert np.abs(np.cross(flight, along(tau))).max() < 1e-9
    assert close(proper, CTAU_TAU)
    assert close(proper**2, 2 * CTAU_TAU**2)
    pions = out.species["prong_5"] != 0
    assert close(pions.astype(float), 0.5 * float(NUMBERS["kshort_to_charged"]))
    kaon = (out.momenta_lab["prong_5"] + out.momenta_lab["prong_6"])[pions]
    assert mass2(kaon) == pytest.approx(M_KSHORT**2, rel=1e-9)
    flight = (out.vertices_cm["prong_5"] - out.vertices_cm["prong_4"])[pions]
    assert close(np.linalg.norm(flight, axis=1) * M_KSHORT / np.linalg.norm(kaon[:, 1:], axis=1), CTAU_KSHORT)
    assert close((out.species["neutral_2"] == 130).astype(float), 0.5)


def test_other_particles_and_single_taus_pass_through():
    events = taus(100)
    photon = np.tile([3.0, 0.0, 0.0, 3.0], (100, 1))
    more = Events(momenta_lab={**events.momenta_lab, "mu-": photon * 2, "gamma_1": photon}, weights=events.weights)
    out = decay_taus(more, 1, "rho", "e")
    assert (out.momenta_lab["mu-"] == photon * 2).all()
    assert sum((out.momenta_lab[name] == photon).all(axis=1) for name in out.photons).min() == 1
    single = Events(momenta_lab={"tau+": events.momenta_lab["tau+"], "e-": photon}, weights=events.weights)
    out = decay_taus(single, 1, plus="mu")
    slots = {"e-", "prong_4", "prong_5", "prong_6", "neutral_2", "nu_2"}
    assert set(out.momenta_lab) == slots | {f"gamma_{i}" for i in range(1, 9)}
    assert out.weights == pytest.approx(float(NUMBERS["mu"]))
    assert (out.species["prong_4"] == -13).all()


def test_threads_and_length_do_not_matter():
    events = taus(9000)
    short = Events(momenta_lab={k: v[:5000] for k, v in events.momenta_lab.items()}, weights=events.weights[:5000])
    long, part = decay_taus(events, 9, parent="scalar"), decay_taus(short, 9, parent="scalar")
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = decay_taus(events, 9, parent="scalar")
    finally:
        numba.set_num_threads(before)
    for name in long.momenta_lab:
        assert np.array_equal(long.momenta_lab[name], one.momenta_lab[name])
        assert np.array_equal(long.momenta_lab[name][:5000], part.momenta_lab[name])


def test_bad_input():
    events = taus(10)
    with pytest.raises(ValueError, match=r"tau mode 'rhoo': not known, nearest: rho;"):
        decay_taus(events, 1, "rhoo")
    with pytest.raises(ValueError, match="must be alone"):
        decay_taus(events, 1, ("e_alpha", "mu"))
    with pytest.raises(ValueError, match="alpha lighter than"):
        decay_taus(events, 1, "mu_alpha", alpha=Alpha(mass=1.7))
    with pytest.raises(ValueError, match="only once"):
        decay_taus(events, 1, ("e", "leptons"))
    with pytest.raises(ValueError, match="parent = 'higgs'"):
        decay_taus(events, 1, parent="higgs")
    with pytest.raises(ValueError, match="axis_lab"):
        decay_taus(events, 1, parent="scalar", axis_lab=np.zeros((10, 4)))
    with pytest.raises(ValueError, match="photons = 0"):
        decay_taus(events, 1, photons=0)
    with pytest.raises(ValueError, match="no slot 'tau-'"):
        decay_taus(Events(momenta_lab={"mu-": np.zeros((10, 4))}, weights=np.ones(10)), 1)
    with pytest.raises(ValueError, match="needs both taus"):
        decay_taus(Events(momenta_lab={"tau-": events.momenta_lab["tau-"]}, weights=np.ones(10)), 1, parent="scalar")
    with pytest.raises(ValueError, match="slot 'nu_1'"):
        decay_taus(Events(momenta_lab={**events.momenta_lab, "nu_1": np.zeros((10, 4))}, weights=np.ones(10)), 1)
    for mass in (-0.1, 1.78, math.nan):
        with pytest.raises(ValueError, match=r"mass = .* allowed 0 to"):
            Alpha(mass=mass)
    with pytest.raises(ValueError, match="at least one"):
        Alpha(vector=0.0, axial=0.0)
