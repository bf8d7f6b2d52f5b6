"""e+e- -> gamma gamma (gamma): amplitude, limits, rates against flat phase space and collinear radiation, cut independence."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.simulation import gamma_gamma
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.gamma_gamma import (
    gamma_gamma_cross_section,
    generate_gamma_gamma,
    generate_three_photons,
    generate_unnormalised,
)
from belle2dark.simulation.isr import radiator
from tests.independent import (
    E2,
    angle,
    assert_reproducible,
    boosted,
    collinear,
    dot,
    fb,
    flat_three_body,
    in_selection,
    photons_only,
    selected,
    total,
)

FIXED = belle2_beams(spread=False)
S = FIXED.sqrt_s**2
HALF = 0.5 * FIXED.sqrt_s
BEAMS = np.array([HALF, 0, 0, HALF]), np.array([HALF, 0, 0, -HALF])


def squared(momenta):
    """The tested matrix element for momenta (..., 3, 4)."""
    a, b = 2 * dot(momenta, BEAMS[0]), 2 * dot(momenta, BEAMS[1])
    shape = gamma_gamma.three_photons.py_func
    return 4 * E2**3 * S * shape(*(x for i in range(3) for x in (a[..., i], b[..., i])))


def stacked(events):
    return np.stack([events.momenta_lab[name] for name in events.photons], axis=1)


def three_photon_rate(events, energy_min):
    """Rate [fb] of exactly three photons in the selection with 0.88 sqrt_s < M < 1.03 sqrt_s."""
    lab = stacked(events)
    theta = angle(lab)
    good = (theta > 37.3) & (theta < 123.7) & (lab[..., 0] > energy_min)
    visible = (lab * good[..., None]).sum(axis=1)
    mass = np.sqrt(np.maximum(dot(visible, visible), 0)) / FIXED.sqrt_s
    return total(events.weights, (good.sum(axis=1) == 3) & (mass > 0.88) & (mass < 1.03))


@pytest.fixture(scope="module")
def inclusive():
    return generate_gamma_gamma(600_000, 1, FIXED)


@pytest.fixture(scope="module")
def dense():
    return generate_three_photons(400_000, 2, FIXED)


def test_closed_form_of_two_photons():
    """4.52 nb at 10 to 170 degrees; and the integral of the differential cross-section from Dirac matrices."""
    c = math.cos(math.radians(10))
    assert gamma_gamma_cross_section(10.58**2, c) == pytest.approx(4.52e6, rel=2e-3)

    def density(cosine):
        k = HALF * np.array([1, math.sqrt(1 - cosine**2), 0, cosine])
        return photons_only(*BEAMS, [k, sum(BEAMS) - k]) / (32 * math.pi * S)

    assert fb(0.5 * quad(density, -c, c, epsrel=1e-6)[0]) == pytest.approx(gamma_gamma_cross_section(S, c), rel=1e-5)


def test_three_photon_matrix_element_from_dirac_matrices():
    for momenta in flat_three_body(20, FIXED.sqrt_s, 3)[0]:
        assert squared(momenta) == pytest.approx(photons_only(*BEAMS, list(momenta)), rel=1e-9)


def test_soft_photon_limit():
    """|M|^2 -> e^2 s/(p.k p'.k) |M_2|^2 for k -> 0, with corrections of the order of k."""
    for cosine, direction in ((0.3, 0.7), (-0.8, 0.1)):
        k = 1e-4 * np.array([1, math.sqrt(1 - direction**2), 0, direction])
        rest = sum(BEAMS) - k
        mass2 = dot(rest, rest)
        n = np.array([0, math.sqrt(1 - cosine**2), cosine])
        # two photons of the rest, back to back in its frame, which moves with k/sqrt(s): neglected against the tolerance
        a = 0.5 * math.sqrt(mass2) * np.array([1, *n])
        momenta = np.array([k, a, sum(BEAMS) - k - a])
        born = 2 * E2**2 * (1 + cosine**2) / (1 - cosine**2) * 2
        eikonal = E2 * S / (dot(BEAMS[0], k) * dot(BEAMS[1], k))
        assert squared(momenta) == pytest.approx(eikonal * born, rel=2e-3)


def test_collinear_photon_limit():
    """k -> x p: e^2 (1 + (1 - x)^2)/(x (1 - x)) / p.k times the two-photon matrix element at (1 - x) s."""
    for x in (0.1, 0.6):
        theta, cosine = 1e-3, 0.4
        k = x * HALF * np.array([1, math.sin(theta), 0, math.cos(theta)])
        n = np.array([0, math.sqrt(1 - cosine**2), cosine])
        mass = math.sqrt((1 - x) * S)
        a = boosted(0.5 * mass * np.array([[[1, *n]]]), np.array([-x / (2 - x)]))[0, 0]
        momenta = np.array([k, a, sum(BEAMS) - k - a])
        born = 4 * E2**2 * (1 + cosine**2) / (1 - cosine**2)
        expected = E2 * (1 + (1 - x) ** 2) / (x * (1 - x)) / dot(BEAMS[0], k) * born
        assert squared(momenta) == pytest.approx(expected, rel=5e-3)


def test_two_photon_rate_near_full_energy(inclusive):
    """M^2 > 0.9 s, |cos theta| < 0.8 in the frame of the pair (which collinear radiation keeps): Born times the radiator."""
    cms = to_cms(stacked(inclusive)[:, :2], FIXED)
    mass2 = dot(cms.sum(axis=1), cms.sum(axis=1))
    cosine = np.tanh(0.5 * np.diff(np.arctanh(np.clip(cms[..., 3] / cms[..., 0], -1 + 1e-15, 1 - 1e-15)), axis=1)[:, 0])
    got, error = total(inclusive.weights, (mass2 > 0.9 * S) & (np.abs(cosine) < 0.8))
    beta = 0.08  # takes the singularity at v = 0 out of the quadrature
    integral = quad(
        lambda y: radiator(y ** (1 / beta), FIXED.sqrt_s) / (1 - y ** (1 / beta)) * y ** (1 / beta - 1) / beta, 0, 0.1**beta
    )
    expected = gamma_gamma_cross_section(S, 0.8) * integral[0]
    assert error < 0.006 * expected
    assert abs(got - expected) < 3 * error + 0.005 * expected  # 0.5 %: photons with angles instead of collinear ones


@pytest.mark.parametrize("energy_min", [1.0, 0.65])
def test_three_photon_rate_is_tree_level_with_collinear_radiation(dense, energy_min):
    """Flat phase space at the reduced energy, boosted along the beam, weighted with the radiator."""
    momenta, volume = flat_three_body(600_000, FIXED.sqrt_s, 5)
    weights = fb(squared(momenta) / 6 / (2 * S) * volume) / len(momenta)
    v, velocity, radiated = collinear(len(momenta), FIXED.sqrt_s, 6)
    moved = boosted(momenta * np.sqrt(1 - v)[:, None, None], velocity)
    keep = selected(moved, FIXED, energy_min) & (v < 1 - 0.88**2)
    expected, expected_error = total(weights / (1 - v) * radiated, keep)
    got, error = three_photon_rate(dense, energy_min)
    assert math.hypot(error, expected_error) < 0.013 * expected
    assert abs(got - expected) < 3 * math.hypot(error, expected_error) + 0.01 * expected  # 1 %: angles of the radiation


@pytest.mark.parametrize("energy_min", [1.0, 0.65])
def test_dense_sample_is_part_of_the_inclusive_one(inclusive, dense, energy_min):
    (a, ea), (b, eb) = three_photon_rate(inclusive, energy_min), three_photon_rate(dense, energy_min)
    assert math.hypot(ea, eb) < 0.05 * b
    assert abs(a - b) < 3 * math.hypot(ea, eb)


def test_dense_sample_does_not_depend_on_its_borders(dense):
    (a, ea), (b, eb) = (
        three_photon_rate(events, 1.0) for events in (dense, generate_three_photons(400_000, 7, FIXED, 0.15, 0.4))
    )
    assert abs(a - b) < 3 * math.hypot(ea, eb)


def two_photon_rate(events):
    """At least two photons at 10 to 170 degrees with E* > 0.15 GeV."""
    cms = to_cms(stacked(events), FIXED)
    theta = angle(cms)
    return total(events.weights, ((theta > 10) & (theta < 170) & (cms[..., 0] > 0.15)).sum(axis=1) > 1)


@pytest.mark.parametrize("cut", [{"x_hard": 0.003}, {"x_hard": 0.03}, {"x_soft": 1e-5}])
def test_photon_energy_cuts_do_not_matter(inclusive, cut):
    """No double counting and no gap between soft and hard radiation, for two photons and for one plus a loss."""
    (a, ea), (b, eb) = two_photon_rate(inclusive), two_photon_rate(generate_unnormalised(600_000, 3, FIXED, **cut))
    assert math.hypot(ea, eb) < 0.005 * a
    assert abs(a - b) < 3 * math.hypot(ea, eb)


def test_photons_are_massless_ordered_and_conserve_momentum(inclusive, dense):
    for events in (inclusive, dense):
        lab = stacked(events)
        assert np.isfinite(lab).all() and np.isfinite(events.weights).all() and (events.weights >= 0).all()
        assert np.abs(dot(lab, lab)).max() < 1e-12 * 100  # rounding grows with the square of the energy
        assert (np.diff(to_cms(lab, FIXED)[..., 0], axis=1) <= 1e-12).all()
        complete = lab[:, -1, 0] == 0
        assert complete.mean() > 0.8
        assert np.abs(lab.sum(axis=1) - FIXED.nominal)[complete].max() < 1e-9


def test_forward_and_backward_are_the_same(inclusive):
    cosine = np.sign(to_cms(stacked(inclusive)[:, 0], FIXED)[:, 3])
    assert abs((inclusive.weights * cosine).sum()) < 3 * total(inclusive.weights)[1]


@pytest.mark.parametrize("generate", [generate_gamma_gamma, generate_three_photons])
def test_any_number_of_threads_and_events_gives_the_same(generate):
    assert_reproducible(lambda n: generate(n, 4, belle2_beams()))


@pytest.mark.parametrize(
    ("n", "key", "more", "name"),
    [(0, 1, {}, "n"), (10, -1, {}, "key"), (10, 1, {"energy_min": 0.0}, "energy_min"), (10, 1, {"energy_min": 4.0}, "energy_min"),
     (10, 1, {"theta_min": 0.0}, "theta_min"), (10, 1, {"theta_min": 2.0}, "theta_min")],
)  # fmt: skip
def test_bad_requests(n, key, more, name):
    with pytest.raises(ValueError, match=f"{name} = "):
        generate_three_photons(n, key, FIXED, **more)
    with pytest.raises(ValueError, match="cos_max = 1"):
        gamma_gamma_cross_section(S, 1.0)


def test_selection_helper_sees_the_lab():
    assert in_selection(np.array([[[2.0, 2.0, 0, 0]] * 3, [[2.0, 0, 0, 2.0]] * 3]), 1.0).tolist() == [True, False]
