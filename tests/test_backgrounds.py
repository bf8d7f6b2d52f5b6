"""Standard Model backgrounds: the rates of all records; conservation, symmetries, spectra of two muons and nothing else."""

import math

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from belle2dark.constants import ALPHA, GEV2_FB, M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation import backgrounds, mumu_gamma, tau_pairs, two_photon
from belle2dark.simulation.backgrounds import DIMUON_MISSING, EEMUMU, MUMU_GAMMA, TAUTAU, Background
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.decays.tau_modes import Alpha, choose
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers
from tests.dirac import GAMMA, GAMMA5, ONE, slash
from tests.independent import assert_reproducible

FIXED = belle2_beams(spread=False)
N = 200_000
NUMBERS = load_numbers("backgrounds")
RECORDS = {name: value for name, value in vars(backgrounds).items() if isinstance(value, Background)}
TO_E, TO_MU = (float(NUMBERS[f"tau_to_{lepton}_branching_fraction"]) for lepton in ("e", "mu"))
#: branching fraction of what a record makes of its pair of taus
DECAYS = {"TAUTAU": TO_MU**2, "TAUTAU_INCLUSIVE": float(choose("all", Alpha()).sum()) ** 2, "TAUTAU_EMU": 2 * TO_E * TO_MU,
          "TAUTAU_EPI": 2 * TO_E * float(choose(("pi", "K", "rho"), Alpha()).sum())}  # fmt: skip
DECAYS["MUMUTAUTAU"] = DECAYS["TAUTAU_INCLUSIVE"]
#: a part of another record, with its rate
PARTS = {
    "EE_GAMMA_WIDE": "EE_GAMMA",
    "EE_GAMMA_PAIR": "EE_GAMMA",
    "MUMU_GAMMA_HARD": "MUMU_GAMMA",
    "GAMMA_GAMMA_CONVERTED": "GAMMA_GAMMA",
}
#: the same with other weights
WEIGHTED = {"EE_GAMMA_LOST": "EE_GAMMA_WIDE"}
every = pytest.mark.parametrize("background", DIMUON_MISSING, ids=lambda b: b.name)


def generate(background, n=N, beams=FIXED, seed=1):
    return background.generate(n, make_key(seed, background.name), beams)


@pytest.fixture(scope="module")
def samples():
    return {b.name: generate(b) for b in DIMUON_MISSING}


def mass2(p):
    return p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1)


def weighted_mean(values, weights):
    """Mean and its Monte Carlo error."""
    m = np.average(values, weights=weights)
    return m, math.sqrt((weights**2 * (values - m) ** 2).sum()) / weights.sum()


@pytest.mark.parametrize("name", sorted(set(RECORDS) - set(PARTS) - set(WEIGHTED)))
def test_weights_add_up_to_the_cross_section(name, samples):
    background = RECORDS[name]
    w = samples[background.name].weights if background in DIMUON_MISSING else generate(background, N // 2).weights
    assert np.isfinite(w).all() and (w >= 0).all()
    expected = float(background.cross_section) * DECAYS.get(name, 1.0)
    error = math.sqrt((w**2).sum())
    assert error < 0.03 * expected
    assert abs(w.sum() - expected) < 3 * error + 5e-3 * expected  # 0.5 %: precision of the stored number


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_smaller_than_the_whole(name):
    part, whole = (generate(RECORDS[record], N // 2).weights.sum() for record in (name, PARTS[name]))
    assert 0.01 * whole < part < 0.9 * whole


def test_records_say_what_they_lack_and_where_they_are_from():
    for background in RECORDS.values():
        assert background.approximations and background.source
        assert 0 < float(background.relative_uncertainty) <= 1


@every
def test_particles_are_on_shell_and_finite(background, samples):
    masses = {"mu-": M_MUON, "mu+": M_MUON, "e-": M_ELECTRON, "e+": M_ELECTRON}
    for name, p in samples[background.name].momenta_lab.items():
        assert np.isfinite(p).all()
        # rounding grows with the square of the energy
        assert np.abs(mass2(p) - masses.get(name, 0.0) ** 2).max() < 1e-12 * 100


@pytest.mark.parametrize("name", ["mumu_gamma", "eemumu"])
def test_four_momentum_is_conserved(name, samples):
    events = samples[name]
    missing = FIXED.nominal - sum(events.momenta_lab.values())
    if name == "mumu_gamma":
        full = events.momenta_lab["gamma_4"][:, 0] > 0  # a fifth, softer photon may have been dropped
        assert full.mean() < 0.2
        # at most five more photons, each softer than the fourth one in the CMS: twice as much in the lab
        assert (missing[full, 0] < 10 * to_cms(events.momenta_lab["gamma_4"], FIXED)[full, 0] + 1e-9).all()
        missing = missing[~full]
    assert np.abs(missing).max() < 1e-9


def test_neutrinos_carry_away_a_possible_momentum(samples):
    events = samples["tautau"]
    missing = FIXED.nominal - sum(events.momenta_lab.values())
    assert (missing[:, 0] > 0).all()
    assert mass2(missing).min() > 0


@every
def test_photons_are_ordered_and_filled_from_the_front(background, samples):
    events = samples[background.name]
    energies = np.array([to_cms(events.momenta_lab[name], FIXED)[:, 0] for name in events.photons])
    assert (len(events.photons) == 0) == (background is EEMUMU)
    assert (np.diff(energies, axis=0) <= 1e-12).all()


@every
def test_any_number_of_threads_and_events_gives_the_same(background):
    assert_reproducible(lambda n: generate(background, n))


@every
def test_muon_charges_are_symmetric(background, samples):
    """No interference of odd charge parity is modelled: mu- and mu+ have the same angles."""
    events = samples[background.name]
    cosines = []
    for name in ("mu-", "mu+"):
        p = to_cms(events.momenta_lab[name], FIXED)
        cosines.append(p[:, 3] / np.linalg.norm(p[:, 1:], axis=1))
    difference, error = weighted_mean(cosines[0] - cosines[1], events.weights)
    assert error < 0.02
    assert abs(difference) < 4 * error


@every
def test_azimuth_is_flat_in_the_cms(background, samples):
    events = samples[background.name]
    p = to_cms(events.momenta_lab["mu-"], FIXED)
    for component in (1, 2):
        m, error = weighted_mean(p[:, component] / np.linalg.norm(p[:, 1:], axis=1), events.weights)
        assert abs(m) < 4 * error


def test_spread_smears_the_total_energy():
    beams = belle2_beams()
    events = generate(EEMUMU, 20_000, beams)
    totals = sum(events.momenta_lab.values())
    assert np.sqrt(mass2(totals)).std() == pytest.approx(4.99e-3, rel=0.03)
    # common random numbers: switching the spread off moves nearly every muon (not those at a threshold) by a few spreads
    difference = np.abs(generate(EEMUMU, 20_000).momenta_lab["mu-"] - events.momenta_lab["mu-"])
    assert np.quantile(difference, 0.99) < 0.03


@pytest.mark.parametrize("cut", [{"x_soft": 1e-3}, {"x_soft": 1e-5}, {"x_fsr": 1e-2}])
def test_photon_cuts_of_mumu_do_not_matter(cut):
    """Rate with 4 < M(mu mu) < 9.5 GeV: hard radiation only, so independent of what is not generated."""

    def rate(**cuts):
        events = mumu_gamma.generate_unnormalised(N, make_key(2, *cuts), FIXED, 1.0, **cuts)
        m = np.sqrt(mass2(events.momenta_lab["mu-"] + events.momenta_lab["mu+"]))
        w = np.where((m > 4) & (m < 9.5), events.weights, 0.0)
        return w.sum(), math.sqrt((w**2).sum())

    (a, ea), (b, eb) = rate(), rate(**cut)
    assert math.hypot(ea, eb) < 0.02 * a
    assert abs(a - b) < 4 * math.hypot(ea, eb) + 0.003 * a  # 0.3 %: events that soft photons carry over the edges


def test_mumu_angle_is_one_plus_cos_squared():
    """Against the beam in the rest frame of muons with little radiation: <cos^2> = 2/5 for massless muons."""
    events = generate(MUMU_GAMMA)
    minus, plus = (to_cms(events.momenta_lab[name], FIXED) for name in ("mu-", "mu+"))
    m = np.sqrt(mass2(minus + plus))
    soft = m > 10.3
    axis = minus[soft, 1:] / np.linalg.norm(minus[soft, 1:], axis=1)[:, None]
    got, error = weighted_mean(axis[:, 2] ** 2, events.weights[soft])
    assert abs(got - 0.4) < 4 * error + 0.003  # 0.3 %: boosts by photons of up to 0.3 GeV
    assert error < 0.01


def tau_rest_energies(samples):
    """Muon energies in the tau-pair frame over sqrt(s')/2: (z of mu-, z of mu+, gamma^2 of the tau, weights)."""
    events = samples["tautau"]
    pair = FIXED.nominal - sum(events.momenta_lab[name] for name in events.photons)
    s_prime = mass2(pair)
    z = [2 * (p[:, 0] * pair[:, 0] - (p[:, 1:] * pair[:, 1:]).sum(axis=1)) / s_prime
         for p in (events.momenta_lab["mu-"], events.momenta_lab["mu+"])]  # fmt: skip
    return *z, s_prime / (4 * M_TAU**2), events.weights


def test_tau_muons_have_the_michel_spectrum(samples):
    """Unpolarised taus: the mean muon energy in the pair frame over E_tau is the mean in the tau frame over m_tau."""
    x0 = 2 * M_TAU * M_MUON / (M_TAU**2 + M_MUON**2)

    def density(x):
        return math.sqrt(x * x - x0 * x0) * (x * (1 - x) + (4 * x * x - 3 * x - x0 * x0) / 6)

    top = (M_TAU**2 + M_MUON**2) / (2 * M_TAU**2)
    expected = top * quad(lambda x: x * density(x), x0, 1)[0] / quad(density, x0, 1)[0]
    for z in tau_rest_energies(samples)[:2]:
        got, error = weighted_mean(z, samples["tautau"].weights)
        assert abs(got - expected) < 4 * error
        assert error < 0.002 * expected


def test_tau_spins_are_correlated(samples):
    """Covariance of the two energies = R beta^2 a^2: a = -1/20 from the massless Michel spectrum, R the spin correlation."""
    z1, z2, gamma2, w = tau_rest_energies(samples)
    near = gamma2 > 0.97 * gamma2.max()
    z1, z2, w = z1[near], z2[near], w[near]
    got, error = weighted_mean((z1 - np.average(z1, weights=w)) * (z2 - np.average(z2, weights=w)), w)
    g = gamma2.max()
    expected = (2 - 1 / g) / (2 + 1 / g) * (1 - 1 / g) / 400
    assert error < 0.12 * expected
    assert abs(got - expected) < 3 * error + 0.06 * expected  # 6 %: muon mass in the Michel spectrum


def test_tau_spin_correlation_from_dirac_matrices():
    """Trace of gamma* -> tau- tau+ with both spins, contracted with the tensor 1 - n n of the beams."""
    rng = np.random.default_rng(6)

    def spin(s, p):
        return np.array([s @ p[1:] / M_TAU, *(s + p[1:] * (s @ p[1:]) / (M_TAU * (p[0] + M_TAU)))])

    for _ in range(6):
        tau, axis, h, g = (v / np.linalg.norm(v) for v in rng.normal(size=(4, 3)))
        energy = rng.uniform(1.9, 5.3)
        p = math.sqrt(energy**2 - M_TAU**2)
        p1, p2 = np.array([energy, *(p * tau)]), np.array([energy, *(-p * tau)])

        def rate(s1, s2, p1=p1, p2=p2, axis=axis):
            minus = (slash(p1) + M_TAU * ONE) @ (ONE + GAMMA5 @ slash(spin(s1, p1)))
            plus = (slash(p2) - M_TAU * ONE) @ (ONE + GAMMA5 @ slash(spin(s2, p2)))
            beams = np.eye(3) - np.outer(axis, axis)
            return sum(
                beams[i, j] * np.trace(minus @ GAMMA[i + 1] @ plus @ GAMMA[j + 1]).real for i in range(3) for j in range(3)
            )

        expected = rate(h, g) / rate(0 * h, 0 * g) - 1
        got = tau_pairs.spin_correlation(tuple(h), tuple(g), tuple(axis), tuple(tau), (p / energy) ** 2)
        assert got == pytest.approx(expected, abs=1e-10)


def test_electron_muon_pairs_have_the_same_rate_up_to_branching_fractions():
    key = make_key(3, "tau")
    mixed, muons = tau_pairs.generate_tau_leptons(2000, key, FIXED, "e", "mu"), tau_pairs.generate_tautau(2000, key, FIXED)
    assert {"e-", "mu+"} < set(mixed.momenta_lab)
    assert np.abs(mass2(mixed.momenta_lab["e-"]) - M_ELECTRON**2).max() < 1e-11
    ratio = float(NUMBERS["tau_to_e_branching_fraction"]) / float(NUMBERS["tau_to_mu_branching_fraction"])
    assert mixed.weights.sum() == pytest.approx(ratio * muons.weights.sum(), rel=0.1)  # different events of one block
    with pytest.raises(ValueError, match="lepton = 'pi'"):
        tau_pairs.generate_tau_leptons(10, 1, FIXED, "pi", "mu")


def test_two_photon_rate_at_small_angles_is_the_equivalent_photon_luminosity():
    """Q^2 < 0.01 GeV^2 on both sides, 2 < W < 6 GeV, against quadrature with W^2 = x1 x2 s (1 % for Q^2 in W^2)."""
    events = two_photon.generate_unnormalised(400_000, 5, FIXED)
    w = mass2(events.momenta_lab["mu-"] + events.momenta_lab["mu+"])
    inside = (w > 4) & (w < 36)
    for name, beam in (("e-", FIXED.electron), ("e+", FIXED.positron)):
        inside &= -mass2(beam - events.momenta_lab[name]) < 0.01
    w_i = np.where(inside, events.weights, 0.0)
    s, alpha = FIXED.sqrt_s**2, ALPHA["thomson"]

    def flux(x):
        low = M_ELECTRON**2 * x * x / (1 - x)
        return alpha / (2 * math.pi) * ((1 + (1 - x) ** 2) * math.log(0.01 / low) - 2 * (1 - x) * (1 - low / 0.01))

    def integrand(y, log_tau):
        tau = math.exp(log_tau)
        return (
            flux(math.sqrt(tau) * math.exp(y))
            * flux(math.sqrt(tau) * math.exp(-y))
            * two_photon.gamma_gamma_to_pair.py_func(tau * s, M_MUON)
        )

    expected = (
        GEV2_FB * dblquad(integrand, math.log(4 / s), math.log(36 / s), lambda t: 0.5 * t + 1e-3, lambda t: -0.5 * t - 1e-3)[0]
    )
    error = math.sqrt((w_i**2).sum())
    assert error < 0.02 * expected
    assert abs(w_i.sum() - expected) < 4 * error + 0.01 * expected


@pytest.mark.parametrize("w", [0.25, 0.6, 3.0])
def test_two_photon_cross_section_is_the_integral_of_its_angle(w):
    beta2 = 1 - 4 * M_MUON**2 / w**2

    def angle(c):
        b = beta2 * (1 - c * c)
        return (1 - beta2**2 + 2 * b - b * b) / (1 - beta2 * c * c) ** 2

    expected = 2 * math.pi * ALPHA["thomson"] ** 2 * math.sqrt(beta2) / w**2 * quad(angle, -1, 1, limit=200)[0]
    assert two_photon.gamma_gamma_to_pair.py_func(w * w, M_MUON) == pytest.approx(expected, rel=1e-8)


def test_lost_photons_leave_enough_events():
    """The region a search counts in: 4 < M < 9.7, recoil 0 to 6 GeV, nothing above 0.1 GeV in the calorimeter."""
    edges = np.radians([12.4, 31.4, 32.2, 128.7, 130.7, 155.1])
    for background, least in ((MUMU_GAMMA, 3000), (TAUTAU, 20_000), (EEMUMU, 1500)):
        events = generate(background, N, belle2_beams())
        pair = events.momenta_lab["mu-"] + events.momenta_lab["mu+"]
        recoil2 = mass2(FIXED.nominal - pair)
        keep = (mass2(pair) > 16) & (mass2(pair) < 9.7**2) & (recoil2 > 0) & (recoil2 < 36)
        for name, p in events.momenta_lab.items():
            if not name.startswith("mu"):
                inside = np.searchsorted(edges, np.arctan2(np.hypot(p[:, 1], p[:, 2]), p[:, 3])) % 2 == 1
                keep &= ~(inside & (p[:, 0] > 0.1))
        w = events.weights[keep]
        assert w.sum() ** 2 / (w**2).sum() > least, background.name


@every
@pytest.mark.parametrize(("n", "key", "name"), [(0, 1, "n"), (10, -1, "key"), (10, 2**64, "key")])
def test_bad_requests(background, n, key, name):
    with pytest.raises(ValueError, match=f"{name} = "):
        background.generate(n, key, FIXED)


@pytest.mark.parametrize("name", ["TAUTAU_INCLUSIVE", "MUMUTAUTAU"])
def test_decayed_taus_keep_their_photons(name):
    """Up to eight photons from pi0 and some from radiation: what does not fit into the slots is soft, and rare."""
    events = generate(RECORDS[name], 20_000)
    missing = (FIXED.nominal - sum(events.momenta_lab.values()))[events.weights > 0, 0]
    assert missing.min() > -1e-9
    assert (missing > 0.1).mean() < 1e-3
