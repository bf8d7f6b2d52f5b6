"""e+e- -> e+e- (gamma): amplitude, phase space, equivalent photons, Born, cut independence, single photons."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import ALPHA, M_ELECTRON
from belle2dark.simulation import bhabha
from belle2dark.simulation.amplitudes.ee_gamma import matrix_element
from belle2dark.simulation.beams import belle2_beams, to_cms, to_lab
from belle2dark.simulation.bhabha import bhabha_cross_section, generate_bhabha, generate_ee_gamma
from belle2dark.theory.vacuum_polarisation import delta_alpha
from tests.independent import angle, assert_reproducible, dot, ee_gamma, fb, flat_three_body, in_selection, total

FIXED = belle2_beams(spread=False)
S = FIXED.sqrt_s**2
HALF = 0.5 * FIXED.sqrt_s
MOMENTUM = math.sqrt(HALF**2 - M_ELECTRON**2)
BEAMS = np.array([HALF, 0, 0, MOMENTUM]), np.array([HALF, 0, 0, -MOMENTUM])
NAMES = ("e-", "e+", "gamma_1")


def cms(events):
    """Momenta (n, 3, 4) of e-, e+, gamma in the CMS."""
    return to_cms(np.stack([events.momenta_lab[name] for name in NAMES], axis=1), FIXED)


def transfer(q, sign):
    """-t of an electron off the beam along ``sign`` z, without cancellation."""
    p, pt2 = np.linalg.norm(q[1:]), q[1] ** 2 + q[2] ** 2
    least = 2 * M_ELECTRON**2 * (HALF - q[0]) ** 2 / (HALF * q[0] + MOMENTUM * p - M_ELECTRON**2)
    return least + 2 * MOMENTUM * p * (pt2 / (p * (p + abs(q[3]))) if sign * q[3] > 0 else 1 - sign * q[3] / p)


def evaluated(q1, q2, k):
    """The tested matrix element for CMS momenta."""
    near = (k[1] ** 2 + k[2] ** 2) / (k[0] * (k[0] + abs(k[3])))
    pole = np.array([transfer(q1, 1), transfer(q2, -1), 2 * dot(k, q1), 2 * dot(k, q2)])
    return matrix_element(S, S * (1 - k[0] / HALF), k[0] / HALF, near, math.copysign(1, k[3]), np.array([q1, q2]), pole)


def lost(events):
    """Both electrons in the beam holes, below 12.4 or above 155.1 degrees in the lab."""
    theta = [angle(events.momenta_lab[name]) for name in ("e-", "e+")]
    return np.all([(t < 12.4) | (t > 155.1) for t in theta], axis=0)


@pytest.fixture(scope="module")
def anywhere():
    return generate_ee_gamma(300_000, 1, FIXED)


@pytest.fixture(scope="module")
def wide():
    return generate_bhabha(400_000, 2, FIXED)


@pytest.mark.parametrize("region", ["anywhere", "one photon", "wide", "collinear"])
def test_matrix_element_from_dirac_matrices(region, anywhere, wide):
    """Against all eight massive graphs, at points drawn like the cross-section of each region."""
    events = {"wide": wide}.get(region, anywhere)
    weights = events.weights * (events.momenta_lab["gamma_1"][:, 0] > 0)
    if region == "one photon":
        weights = weights * (lost(events) & (np.abs(angle(events.momenta_lab["gamma_1"]) - 80) < 48))
    if region == "collinear":
        events = generate_ee_gamma(20_000, 3, FIXED, 0.2, (0.0, 0.01), (0.3, 2.8))
        weights = events.weights
    chosen = np.random.default_rng(4).choice(len(weights), 40, p=weights / weights.sum())
    ratios = []
    for momenta in cms(events)[chosen]:
        q1, q2, k = momenta
        for q in (q1, q2):  # exactly on shell again after the boosts
            q[0] = math.sqrt(q[1:] @ q[1:] + M_ELECTRON**2)
        k[0] = math.sqrt(k[1:] @ k[1:])
        ratios.append(evaluated(q1, q2, k) / ee_gamma(*BEAMS, q1, q2, k))
    assert np.abs(np.array(ratios) - 1).max() < 5e-3
    assert abs(np.mean(ratios) - 1) < 5e-4


def test_phase_space_against_a_flat_one():
    """Electrons and photon in the three-photon selection and 0.2 rad apart, massless matrix element from the same routine."""
    momenta, volume = flat_three_body(200_000, FIXED.sqrt_s, 5)
    apart = [(2, 0), (2, 1)]

    def keep(p_cms):
        good = in_selection(to_lab(p_cms, FIXED), 1.0)
        for i, j in apart:
            cosine = (p_cms[:, i, 1:] * p_cms[:, j, 1:]).sum(axis=1) / (p_cms[:, i, 0] * p_cms[:, j, 0])
            good &= cosine < math.cos(0.2)
        return good

    chosen = momenta[keep(momenta)]
    squared = np.array([evaluated(*p) for p in chosen])
    expected, expected_error = total(fb(squared / (2 * S) * volume) / len(momenta))
    events = generate_ee_gamma(300_000, 6, FIXED, 0.3, (0.4, 2.9), (0.3, 2.9), running=False)
    got, error = total(events.weights, keep(cms(events)))
    assert math.hypot(error, expected_error) < 0.025 * expected
    assert abs(got - expected) < 3 * math.hypot(error, expected_error)


def test_nearly_real_photon_of_the_positron():
    """Q^2 < 1e-3 GeV^2 on the positron: equivalent photons times the massless Compton cross-section."""
    top, s = 1e-3, S
    rng, n, low = np.random.default_rng(7), 400_000, 0.02
    y = low ** rng.random(n)
    c = np.tanh(rng.uniform(-4, 4, n))  # of the photon against the electron in the Compton frame
    least = M_ELECTRON**2 * y**2 / (1 - y)
    alpha = ALPHA["thomson"]
    flux = alpha / (2 * math.pi) * ((1 + (1 - y) ** 2) * np.log(top / least) - 2 * (1 - y) * (1 - least / top))
    u = -0.5 * y * s * (1 - c)
    compton = math.pi * alpha**2 / (y * s) * (-u / (y * s) - y * s / u)
    weights = fb(flux * compton * -math.log(low) * (1 - c * c) * 8 / n)
    minus, plus = -u / (2 * HALF), (y * s + u) / (2 * y * HALF)  # omega (1 - cos), omega (1 + cos) in the CMS
    energy, cosine = 0.5 * (minus + plus), (plus - minus) / (minus + plus)
    keep = (energy > 1) & (np.abs(cosine) < 0.8)
    expected, expected_error = total(weights, keep)
    events = generate_ee_gamma(300_000, 8, FIXED, 0.9, (0.4, 2.7), running=False)
    p = cms(events)
    q2 = np.array([transfer(q, -1) for q in p[:, 1]])
    got, error = total(events.weights, (q2 < top) & (p[:, 2, 0] > 1) & (np.abs(p[:, 2, 3]) < 0.8 * p[:, 2, 0]))
    assert math.hypot(error, expected_error) < 0.03 * expected
    assert abs(got - expected) < 3 * math.hypot(error, expected_error) + 0.01 * expected  # 1 %: Q^2 kicks over the cuts


def test_born_cross_section_in_its_textbook_form():
    def density(c):
        h, k = 0.5 * (1 + c), 0.5 * (1 - c)  # squared cosine and sine of half the angle
        return 0.5 * ALPHA["thomson"] ** 2 / S * ((1 + h * h) / (k * k) - 2 * h * h / k + 0.5 * (1 + c * c)) * 2 * math.pi

    for low, high in ((-0.98, 0.98), (-0.5, 0.3)):
        assert bhabha_cross_section(S, low, high) == pytest.approx(fb(quad(density, low, high)[0]), rel=1e-8)
    assert bhabha_cross_section(4 * S, -0.5, 0.5) == pytest.approx(bhabha_cross_section(S, -0.5, 0.5) / 4)


def test_events_without_photon_are_born_times_the_correction():
    events = generate_bhabha(100_000, 9, FIXED, 0.3, math.pi - 0.3, running=False)
    got, error = total(events.weights, events.momenta_lab["gamma_1"][:, 0] == 0)

    def density(c):
        y = 0.5 * (1 - c)
        born = 2 * math.pi * ALPHA["thomson"] ** 2 / S * (1 - y - 1 / y) ** 2
        return born * (1 + bhabha._soft.py_func(S, y, 0.1 / HALF))

    expected = fb(quad(density, -math.cos(0.3), math.cos(0.3))[0])
    assert error < 0.01 * expected
    assert abs(got - expected) < 3 * error


def test_photon_energy_cut_does_not_matter():
    """Soft plus hard is the same for cuts of 0.1 and 0.25 GeV: the soft factor is the integral of the matrix element."""
    (a, ea), (b, eb) = (
        total(generate_bhabha(500_000, 10, FIXED, 0.4, math.pi - 0.4, cut, running=False).weights) for cut in (0.1, 0.25)
    )
    assert math.hypot(ea, eb) < 0.01 * a
    # 0.5 %: the soft factor leaves out terms linear in the cut
    assert abs(a - b) < 3 * math.hypot(ea, eb) + 0.005 * a
    assert a == pytest.approx(bhabha_cross_section(S, -math.cos(0.4), math.cos(0.4)), rel=0.1)  # radiation is a correction


def test_running_coupling_multiplies_elastic_events():
    run, fixed = (generate_bhabha(2000, 11, FIXED, running=on) for on in (True, False))
    elastic = (run.momenta_lab["gamma_1"][:, 0] == 0) & (fixed.weights > 0)
    minus_t = np.array([transfer(q, 1) for q in cms(run)[elastic, 0]])
    expected = (1 - delta_alpha(-minus_t).real) ** -2.0
    assert np.allclose(run.weights[elastic] / fixed.weights[elastic], expected, rtol=1e-4)
    assert (expected > 1.01).all()


def test_a_wider_veto_leaves_fewer_and_softer_single_photons(anywhere):
    """Transverse momentum: both electrons below theta leave at most about 2 E sin(theta) to the photon."""
    p = cms(anywhere)
    electron = np.maximum(*(np.minimum(angle(p[:, i]), 180 - angle(p[:, i])) for i in (0, 1)))
    photon = np.hypot(p[:, 2, 1], p[:, 2, 2])
    for limit in (8.0, 12.0, 20.0):
        inside = (electron < limit) & (anywhere.weights > 0)
        assert photon[inside].max() < 2 * HALF * math.sin(math.radians(limit))
    barrel = np.abs(p[:, 2, 3]) < 0.6 * p[:, 2, 0]
    rates = [total(anywhere.weights, barrel & (p[:, 2, 0] > 1.5) & (electron < limit))[0] for limit in (12, 16, 20)]
    assert rates[0] < 0.7 * rates[1] < 0.49 * rates[2]


def test_charge_and_direction_symmetry(anywhere):
    """CP: e- and e+ exchanged with z reversed."""
    p = cms(anywhere)
    difference = (p[:, 0, 0] > p[:, 1, 0]) * 1.0 - (p[:, 0, 0] < p[:, 1, 0])
    sign = np.sign(p[:, 2, 3])
    even = (anywhere.weights * difference).sum()
    odd = (anywhere.weights * sign).sum()
    for value in (even, odd):
        assert abs(value) < 3 * total(anywhere.weights)[1]


def test_on_shell_and_conserved(anywhere, wide):
    for events in (anywhere, wide):
        lab = np.stack([events.momenta_lab[name] for name in NAMES], axis=1)
        assert np.isfinite(lab).all() and np.isfinite(events.weights).all() and (events.weights >= 0).all()
        assert np.abs(dot(lab, lab) - np.array([M_ELECTRON**2, M_ELECTRON**2, 0])).max() < 1e-12 * 100
        assert np.abs(lab.sum(axis=1) - FIXED.nominal).max() < 1e-9


def test_cuts_hold():
    events = generate_ee_gamma(20_000, 12, FIXED, 1.0, (0.5, 1.5), (0.2, 2.0))
    p = cms(events)[events.weights > 0]
    assert p[:, 2, 0].min() > 1.0 - 1e-9
    for i, low, high in ((0, 0.2, 2.0), (1, 0.2, 2.0), (2, 0.5, 1.5)):
        theta = np.radians(angle(p[:, i]))
        assert low - 1e-9 < theta.min() and theta.max() < high + 1e-9


@pytest.mark.parametrize("generate", [generate_ee_gamma, generate_bhabha])
def test_any_number_of_threads_and_events_gives_the_same(generate):
    assert_reproducible(lambda n: generate(n, 4, belle2_beams()))


@pytest.mark.parametrize(
    ("generate", "arguments", "name"),
    [(generate_ee_gamma, {"n": 0}, "n"), (generate_ee_gamma, {"key": -1}, "key"),
     (generate_ee_gamma, {"energy_min": 6.0}, "energy_min"), (generate_ee_gamma, {"theta_photon": (1.0, 0.5)}, "theta_photon"),
     (generate_ee_gamma, {"theta_photon": (0.0, math.pi)}, "theta_photon"),
     (generate_bhabha, {"theta_min": 0.0}, "theta_min"), (generate_bhabha, {"energy_min": 0.01}, "energy_min")],
)  # fmt: skip
def test_bad_requests(generate, arguments, name):
    with pytest.raises(ValueError, match=f"{name} = "):
        generate(**({"n": 10, "key": 1, "beams": FIXED} | arguments))
    with pytest.raises(ValueError, match="low = "):
        bhabha_cross_section(S, 0.5, 1.0)
