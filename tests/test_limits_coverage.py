"""Coverage by exact sums: the fast version of docs/studies/coverage.py. Also checks the sums themselves with toys."""

from __future__ import annotations

import numpy as np
import pytest

from belle2dark import limits

SIGNALS = np.arange(0.0, 15.01, 0.1)
ROUNDING = 1e-6  # ends of intervals are solved to 1e-7


@pytest.mark.parametrize("background", [0.0, 0.7, 3.0, 8.3, 20.0])
@pytest.mark.parametrize("two_sided", [True, False])
def test_feldman_cousins_never_below_nominal(background: float, two_sided: bool) -> None:
    result = limits.coverage(SIGNALS, background, two_sided=two_sided)
    assert result.probability.min() >= 0.9 - ROUNDING
    assert result.probability.min() < 0.95  # and not by being useless


@pytest.mark.parametrize("background", [0.0, 3.0, 20.0])
@pytest.mark.parametrize("cl", [0.68, 0.95])
def test_other_confidence_levels(background: float, cl: float) -> None:
    assert limits.coverage(SIGNALS, background, cl=cl, two_sided=True).probability.min() >= cl - ROUNDING


@pytest.mark.parametrize("method", ["cls", "bayesian"])
@pytest.mark.parametrize("background", [0.0, 3.0, 20.0])
def test_cls_and_the_flat_prior_never_below_nominal(method: str, background: float) -> None:
    assert limits.coverage(SIGNALS, background, method=method).probability.min() >= 0.9 - ROUNDING


def test_clsb_covers_and_square_root_priors_do_not() -> None:
    assert limits.coverage(SIGNALS, 3.0, method="clsb").probability.min() >= 0.9 - ROUNDING
    # limits below 2.30 at n = 0 cannot cover signals between them and 2.30: P(0) = exp(-1.4) is a quarter
    assert limits.coverage(1.4, 0.0, method="bayesian", prior="sqrt").probability[0] == pytest.approx(1 - np.exp(-1.4), abs=1e-9)


@pytest.mark.parametrize("draw", ["truth", "measurement"])
@pytest.mark.parametrize(("method", "two_sided"), [("feldman_cousins", True), ("cls", False), ("bayesian", False)])
def test_uncertain_background_within_one_percent(draw: str, method: str, two_sided: bool) -> None:
    few = np.arange(0.0, 7.1, 0.5)
    result = limits.coverage(few, 2.0, method=method, two_sided=two_sided, background_uncertainty=0.3, draw=draw)
    assert result.probability.min() >= 0.89  # nominal less one per cent absolute


def test_ignoring_the_uncertainty_under_covers() -> None:
    # the study can fail: a background off by its 50 % error, taken for certain (by hand, from the limits with b = 10)
    n = np.arange(60)
    limit = limits.upper_limit(n, 15.0, method="clsb")
    mean = 10.0 + 3.0
    p = np.exp(n * np.log(mean) - mean - np.array([float(np.sum(np.log(np.arange(1, k + 1)))) for k in n]))
    assert p[limit >= 3.0].sum() < 0.6


def test_sums_agree_with_toys() -> None:
    rng = np.random.default_rng(5)
    b, sigma, s, toys = 3.0, 0.3, 4.2, 20_000
    truth = b * (1 + sigma * rng.standard_normal(toys))
    n = rng.poisson(s + np.maximum(truth, 0))
    distinct, which = np.unique(n, return_inverse=True)
    low, high = limits.interval(distinct, b, method="feldman_cousins", background_uncertainty=sigma)
    inside = ((low <= s) & (s <= high))[which].mean()
    exact = limits.coverage(s, b, two_sided=True, background_uncertainty=sigma).probability[0]
    assert inside == pytest.approx(exact, abs=4 * np.sqrt(0.07 / toys))  # four standard errors of the toys, coverage 0.93


@pytest.mark.parametrize(("settings", "name"), [
    ({"signal": -1.0}, "signal"), ({"background": np.nan}, "background"), ({"draw": "both"}, "draw"), ({"cl": 1.0}, "cl"),
    ({"background_uncertainty": 2.0}, "background_uncertainty")])  # fmt: skip
def test_bad_input_names_the_argument(settings: dict, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        limits.coverage(**{"signal": 1.0, "background": 3.0, **settings})
