"""e+e- -> e+e- l+l- for all leptons."""

import math

import numpy as np
import pytest
from scipy.integrate import dblquad

from belle2dark.constants import ALPHA, M_ELECTRON, M_TAU
from belle2dark.simulation import two_photon
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.two_photon import MASSES, generate_ee_pair, generate_eemumu, generate_unnormalised
from tests.independent import assert_reproducible, dot, fb, total

FIXED = belle2_beams(spread=False)
N = 200_000
every = pytest.mark.parametrize("lepton", MASSES)


def pair(events):
    """Momenta of the pair, the first two slots."""
    return list(events.momenta_lab.values())[:2]


@pytest.mark.parametrize(("lepton", "low", "high"), [("e", 2, 6), ("mu", 1, 5), ("tau", 3.7, 7)])
def test_rate_at_small_angles_is_the_equivalent_photon_luminosity(lepton, low, high):
    """Q^2 < 0.01 GeV^2 on both sides against quadrature with W^2 = x1 x2 s (1 % for Q^2 in W^2)."""
    events = generate_unnormalised(600_000, 5, FIXED, lepton=lepton)
    w = dot(sum(pair(events)), sum(pair(events)))
    inside = (w > low**2) & (w < high**2)
    for scattered, beam in zip(list(events.momenta_lab.values())[2:], (FIXED.electron, FIXED.positron), strict=True):
        inside &= -dot(beam - scattered, beam - scattered) < 0.01
    s, alpha = FIXED.sqrt_s**2, ALPHA["thomson"]

    def flux(x):
        least = M_ELECTRON**2 * x * x / (1 - x)
        return alpha / (2 * math.pi) * ((1 + (1 - x) ** 2) * math.log(0.01 / least) - 2 * (1 - x) * (1 - least / 0.01))

    def integrand(y, log_tau):
        tau = math.exp(log_tau)
        photons = flux(math.sqrt(tau) * math.exp(y)) * flux(math.sqrt(tau) * math.exp(-y))
        return photons * two_photon.gamma_gamma_to_pair.py_func(tau * s, MASSES[lepton])

    limits = (math.log(low**2 / s), math.log(high**2 / s), lambda t: 0.5 * t + 1e-3, lambda t: -0.5 * t - 1e-3)
    expected = fb(dblquad(integrand, *limits, epsrel=1e-4)[0])
    got, error = total(events.weights, inside)
    assert error < 0.02 * expected
    assert abs(got - expected) < 3 * error + 0.01 * expected


def test_electrons_and_muons_agree_at_large_angles():
    """Both leptons with more than 0.9 GeV across the beams: the mass does not matter (terms of m^2/pT^2 = 1 %)."""
    rates = []
    for lepton in ("e", "mu"):
        events = generate_ee_pair(2 * N, 6, FIXED, lepton, 1.8)
        central = np.all([np.hypot(*to_cms(q, FIXED)[:, 1:3].T) > 0.9 for q in pair(events)], axis=0)
        rates.append(total(events.weights, central))
    (a, ea), (b, eb) = rates
    assert math.hypot(ea, eb) < 0.03 * a
    assert abs(a - b) < 3 * math.hypot(ea, eb) + 0.01 * a


def test_a_lower_edge_only_adds_events_below_the_higher_one():
    rates = []
    for edge in (1.0, 2.0):
        events = generate_ee_pair(N, 7, FIXED, "mu", edge)
        w = dot(sum(pair(events)), sum(pair(events)))
        assert w[events.weights > 0].min() >= edge**2 * (1 - 1e-9)
        rates.append(total(events.weights, w > 4))
    (a, ea), (b, eb) = rates
    assert abs(a - b) < 3 * math.hypot(ea, eb)


def test_taus_start_at_their_threshold():
    events = generate_ee_pair(N, 8, FIXED, "tau")
    w = dot(sum(pair(events)), sum(pair(events)))
    assert w.min() >= 4 * M_TAU**2 * (1 - 1e-9)
    assert events.weights.sum() < 2e-3 * generate_eemumu(N, 8, FIXED).weights.sum()


@every
def test_on_shell_and_conserved(lepton):
    events = generate_ee_pair(20_000, 9, FIXED, lepton)
    masses = np.array([MASSES[lepton], MASSES[lepton], M_ELECTRON, M_ELECTRON])
    lab = np.stack(list(events.momenta_lab.values()), axis=1)
    assert np.isfinite(lab).all() and (events.weights >= 0).all()
    assert np.abs(dot(lab, lab) - masses**2).max() < 1e-12 * 100
    assert np.abs(lab.sum(axis=1) - FIXED.nominal).max() < 1e-9


def test_slots():
    assert list(generate_ee_pair(10, 1, FIXED, "e").momenta_lab) == ["e-_1", "e+_1", "e-_2", "e+_2"]
    assert list(generate_ee_pair(10, 1, FIXED, "tau").momenta_lab) == ["tau-", "tau+", "e-", "e+"]
    muons, same = generate_eemumu(100, 1, FIXED), generate_ee_pair(100, 1, FIXED, "mu")
    assert np.array_equal(muons.weights, same.weights)


@every
def test_any_number_of_threads_and_events_gives_the_same(lepton):
    assert_reproducible(lambda n: generate_ee_pair(n, 4, belle2_beams(), lepton))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"n": 0}, "n = 0"), ({"lepton": "nu"}, "lepton = 'nu'"), ({"w_min": 0.0}, "w_min = 0"), ({"w_min": 9.0}, "w_min = 9")],
)
def test_bad_requests(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_ee_pair(**({"n": 10, "key": 1, "beams": FIXED, "lepton": "mu"} | arguments))
