"""Dark Higgsstrahlung events: kinematics, spin, radiation, reproducibility."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import M_MUON
from belle2dark.detector.experiments import BELLE2
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.higgsstrahlung import generate_higgsstrahlung
from belle2dark.simulation.isr import beta_isr, radiator
from belle2dark.theory.dark_higgsstrahlung import cross_section

BEAMS = replace(BELLE2.beams, spread=False)
N = 100_000


def mass_squared(p):
    return p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1)


@pytest.fixture(scope="module")
def tree():
    """Events without radiation and spread at m_A' = 4, m_h' = 3 GeV."""
    return generate_higgsstrahlung(4.0, 3.0, N, 7, BEAMS, isr=False)


def test_masses_are_exact_without_radiation(tree):
    pair = tree.momenta_lab["mu-"] + tree.momenta_lab["mu+"]
    assert np.allclose(mass_squared(pair), 16.0, rtol=1e-9)
    # the electron mass is dropped in the frame of the collision, which costs 1e-7 of s
    assert np.allclose(mass_squared(BEAMS.nominal - pair), 9.0, atol=1e-5)
    for name in ("mu-", "mu+"):
        assert np.allclose(mass_squared(tree.momenta_lab[name]), M_MUON**2, atol=1e-9)


def test_production_angle_follows_the_closed_form(tree):
    """dsigma/dcos ~ (1 + c^2) + gamma^2 (1 - c^2): compare <c^2>, statistical error 1e-3."""
    pair = to_cms(tree.momenta_lab["mu-"] + tree.momenta_lab["mu+"], BEAMS)
    c2 = (pair[:, 3] / np.linalg.norm(pair[:, 1:], axis=1)) ** 2
    gamma2 = (pair[0, 0] / 4.0) ** 2
    expected = (2 * (1 / 3 + 1 / 5) + gamma2 * 2 * (1 / 3 - 1 / 5)) / (2 * (1 + 1 / 3) + gamma2 * 2 * (1 - 1 / 3))
    assert c2.mean() == pytest.approx(expected, abs=4 * c2.std() / np.sqrt(N))


def test_lepton_direction_follows_the_spin_density(tree):
    """Helicity angle: longitudinal A' decays as 1 - beta^2 cos^2, transverse ones as 1 + cos^2 (+ mass), in the right mixture."""
    minus, plus = (to_cms(tree.momenta_lab[name], BEAMS) for name in ("mu-", "mu+"))
    pair = minus + plus
    p = np.linalg.norm(pair[:, 1:], axis=1)
    beta2 = 1 - 4 * M_MUON**2 / 16.0
    cos = (minus[:, 0] - plus[:, 0]) / (p * np.sqrt(beta2))
    gamma2 = (pair[0, 0] / 4.0) ** 2
    # integrate |X|^2 + |Y|^2 - beta^2 [(X.d)^2 + (Y.d)^2] over the production angle and the azimuth
    longitudinal, transverse = gamma2 * 4 / 3, 8 / 3  # int (1 - c^2), int (1 + c^2)

    def density(x):
        return longitudinal * (1 - beta2 * x * x) + transverse * (1 - beta2 * (1 - x * x) / 2)

    norm = quad(density, -1, 1)[0]
    expected = quad(lambda x: x * x * density(x), -1, 1)[0] / norm
    assert (cos**2).mean() == pytest.approx(expected, abs=4 * (cos**2).std() / np.sqrt(N))
    assert cos.mean() == pytest.approx(0.0, abs=4 * cos.std() / np.sqrt(N))


def test_a_massless_daughter_frame_is_never_reached():
    with pytest.raises(ValueError, match=r"m_aprime = 0.2 GeV.*closed"):
        generate_higgsstrahlung(0.2, 0.1, 10, 1, BEAMS)
    with pytest.raises(ValueError, match=r"closed"):
        generate_higgsstrahlung(8.0, 3.0, 10, 1, BEAMS)
    with pytest.raises(ValueError, match="n = 0"):
        generate_higgsstrahlung(6.0, 3.0, 0, 1, BEAMS)


def test_radiative_cross_section_agrees_with_quadrature():
    """Mean weight = int rho(v) sigma(s(1 - v)) dv / sigma(s), with the radiator integrated numerically."""
    m, h = 6.0, 1.0
    events = generate_higgsstrahlung(m, h, 400_000, 3, BEAMS)
    root = BEAMS.sqrt_s
    beta = beta_isr(root)
    born = cross_section(m, h, 1.0, root, "thomson")

    def integrand(u):
        v = u ** (1 / beta)  # flattens the soft peak
        return (
            radiator(v, root) * v ** (1 - beta) / beta * float(cross_section(m, h, 1.0, root * np.sqrt(1 - v), "thomson") / born)
        )

    top = 1 - (0.5 * (root + m + h) / root) ** 2  # radiation beyond half of the available energy is not generated
    value = quad(integrand, 1e-9, top**beta, limit=200)[0]
    error = events.weights.std() * np.sqrt(len(events))
    assert events.weights.sum() == pytest.approx(value, abs=4 * error)


def test_beam_spread_moves_the_recoil_mass_only():
    events = generate_higgsstrahlung(6.0, 1.0, 50_000, 5, BELLE2.beams, isr=False)
    pair = events.momenta_lab["mu-"] + events.momenta_lab["mu+"]
    assert np.allclose(mass_squared(pair), 36.0, rtol=1e-9)
    recoil = mass_squared(BELLE2.beams.nominal - pair)
    assert 0.01 < recoil.std() < 0.1  # 5 MeV on sqrt s


def test_first_events_of_a_longer_run_and_any_threads_are_the_same():
    short = generate_higgsstrahlung(6.0, 1.0, 5_000, 11, BELLE2.beams)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        long = generate_higgsstrahlung(6.0, 1.0, 20_000, 11, BELLE2.beams)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(short.momenta_lab["mu-"], long.momenta_lab["mu-"][:5_000])


def test_neighbouring_masses_share_their_random_numbers():
    """Common random numbers: a small change of mass is a small change of every event."""
    a = generate_higgsstrahlung(6.0, 1.0, 2_000, 11, BELLE2.beams).momenta_lab["mu-"]
    b = generate_higgsstrahlung(6.0001, 1.0, 2_000, 11, BELLE2.beams).momenta_lab["mu-"]
    assert np.mean(np.abs(a - b).max(axis=1) < 1e-2) > 0.99
