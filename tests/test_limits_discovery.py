"""p-values, significances, discovery luminosity and Punzi's figure of merit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from belle2dark.limits.discovery import discovery_luminosity, expected_significance, p_value, significance
from belle2dark.limits.public import punzi
from belle2dark.limits.punzi import punzi_events


@pytest.mark.parametrize(("n", "b"), [(0, 1.0), (1, 0.3), (5, 1.5), (40, 25.0)])
def test_p_value_is_the_poisson_tail(n: int, b: float) -> None:
    assert float(p_value(n, b)) == pytest.approx(stats.poisson.sf(n - 1, b), rel=1e-12)


def test_p_value_averages_a_gamma_background() -> None:
    b, sigma, n = 4.0, 0.3, 11
    prior = stats.gamma(1 / sigma**2, scale=b * sigma**2)  # mean b, relative error sigma
    expected = integrate.quad(lambda x: prior.pdf(x) * stats.poisson.sf(n - 1, x), 0, 40, epsabs=1e-14)[0]
    assert float(p_value(n, b, background_uncertainty=sigma)) == pytest.approx(expected, rel=1e-7)


def test_on_off_reference_value() -> None:
    # the same test written as a binomial: n_on of n_on + n_off events with odds 1 : tau, tau = 1 / (b sigma^2), n_off = b tau
    n, b, tau = 140, 83.33, 1.2
    sigma = 1 / math.sqrt(b * tau)
    expected = stats.beta.cdf(1 / (1 + tau), n, b * tau)
    assert float(p_value(n, b, background_uncertainty=sigma)) == pytest.approx(expected, rel=1e-9)
    assert float(significance(p_value(n, b, background_uncertainty=sigma))) == pytest.approx(stats.norm.isf(expected), rel=1e-12)


def test_uncertainty_weakens_an_excess_continuously() -> None:
    z = significance(p_value(20, 8.0, background_uncertainty=np.array([0, 1e-7, 1e-3, 0.05, 0.2, 0.5])))
    assert z[0] == z[1]
    assert z[2] == pytest.approx(z[0], rel=1e-4)
    assert (np.diff(z[1:]) < 0).all()


def test_expected_significance_limits() -> None:
    assert float(expected_significance(10.0, 1e6)) == pytest.approx(10 / 1e3, rel=1e-4)  # s / sqrt(b)
    uncertain = float(expected_significance(1e3, 1e6, background_uncertainty=0.01))
    assert uncertain == pytest.approx(1e3 / math.hypot(1e3, 1e4), rel=2e-2)  # the relative signal, 0.1 %, is small
    assert float(expected_significance(0.0, 3.0)) == 0.0
    assert math.isinf(float(expected_significance(1.0, 0.0)))
    # Asimov against the p-value of the median outcome, s + b = 30 over b = 10
    assert float(expected_significance(20.0, 10.0, background_uncertainty=0.2)) == pytest.approx(
        float(significance(p_value(30, 10.0, background_uncertainty=0.2))), rel=0.04)  # one count is 4 %  # fmt: skip


def test_discovery_luminosity_scales() -> None:
    three, five = (discovery_luminosity(0.1, 100.0, z=z) for z in (3.0, 5.0))
    assert three is not None
    assert five is not None
    assert five / three == pytest.approx(25 / 9, rel=1e-3)  # s / sqrt(b) grows as sqrt(L)
    assert float(expected_significance(0.1 * five, 100.0 * five)) == pytest.approx(5.0, rel=1e-9)


def test_discovery_out_of_reach() -> None:
    assert discovery_luminosity(0.1, 1.0, background_relative=0.1) is None  # s/b = 0.1 with 10 % error: one sigma for ever
    assert discovery_luminosity(1.0, 1.0, background_relative=0.1) is not None
    assert discovery_luminosity(0.0, 1.0) is None
    assert discovery_luminosity(1.0, 0.0) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("call", "name"), [
    (lambda: p_value(1.5, 1.0), "n"), (lambda: p_value(1, -1.0), "background"), (lambda: p_value(1, math.nan), "background"),
    (lambda: expected_significance(-1.0, 1.0), "signal"), (lambda: discovery_luminosity(1.0, 1.0, z=0.0), "z"),
    (lambda: punzi_events(-1.0), "background"), (lambda: punzi_events(1.0, a=0.0), "a"),
    (lambda: punzi(1.0, 1.2, 8.0), "efficiency"),
    (lambda: punzi(1.0, 0.2, 0.0), "luminosity")])  # fmt: skip
def test_bad_input_names_the_argument(call, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


def test_punzi_without_and_with_much_background() -> None:
    a, b = 3.0, 1.28155
    assert float(punzi_events(0.0)) == pytest.approx(a * a / 8 + 9 * b * b / 13 + b * b / 2)
    # (a + b) sqrt(B), to the constant terms of order (a + b)^2 / (a + b) / sqrt(B)
    assert float(punzi_events(1e8)) == pytest.approx((a + b) * 1e4, rel=1e-3)
    assert punzi_events(np.array([[0.0, 1.0], [2.0, 3.0]])).shape == (2, 2)


def test_punzi_improves_with_purity_and_statistics() -> None:
    assert (np.diff(punzi_events(np.linspace(0, 10, 20))) > 0).all()
    assert float(punzi(2.0, 0.1, 8.0)) == pytest.approx(float(punzi_events(2.0)) / 0.8)
    assert math.isinf(float(punzi(2.0, 0.0, 8.0)))
