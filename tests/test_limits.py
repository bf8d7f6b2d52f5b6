"""Counting limits: published values, closed forms, quadrature, coverage, monotonicity and bad input."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from belle2dark.limits.bands import expected_median, expected_upper_limits, outcome_quantiles
from belle2dark.limits.counting import METHODS, CountingLimit, counting_limit, upper_limit, upper_limits
from belle2dark.limits.nuisance import EFFICIENCY_FLOOR, Uncertainties, cumulative_table, gamma_nodes
from belle2dark.limits.special import poisson_cdf, poisson_quantile

SYSTEMATICS = Uncertainties(signal=0.05, background=0.12, correlated=0.1)


def factor(sigma: float, floor: float, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Dense Gauss-Legendre nodes of a cut-off Gaussian factor around one: the independent average of these tests."""
    if sigma == 0:
        return np.ones(1), np.ones(1)
    low = max((floor - 1) / sigma, -8.5)
    x, w = np.polynomial.legendre.leggauss(points)
    g = low + (8.5 - low) * (x + 1) / 2
    weight = w * np.exp(-g * g / 2)
    return 1 + sigma * g, weight / weight.sum()


def reference(n: int, b: float, cl: float, u: Uncertainties, mc: float = 0.0, method: str = "bayesian") -> float:
    """The limit from scipy's incomplete gamma function on a dense grid of all three factors."""
    sigma_b = math.hypot(u.background, mc)
    # steps well below the Poisson error
    points = [max(50, int(30 * sigma * math.sqrt(n + b))) for sigma in (0.3 * u.signal, u.correlated, sigma_b)]
    (e, we), (f, wf) = factor(u.signal, EFFICIENCY_FLOOR, points[0]), factor(u.correlated, EFFICIENCY_FLOOR, points[1])
    k, wk = factor(sigma_b, 0.0, points[2])
    e, f, k = e[:, None, None], f[None, :, None], k[None, None, :]
    weight = we[:, None, None] * wf[None, :, None] * wk
    if method == "bayesian":
        weight = weight / (e * f)

    def tail(s: float) -> float:
        return float((weight * special.gammaincc(n + 1, f * (e * s + b * k))).sum())

    start = tail(0.0)
    width = math.sqrt(n + 1 + (sigma_b * b) ** 2 + (u.correlated * n) ** 2)
    return optimize.brentq(lambda s: math.log(tail(s) / start / (1 - cl)), 0, max(n - b, 0) + 4 * width + 4, xtol=1e-9)


@pytest.mark.parametrize(("n", "b", "expected"), [(0, 0.0, 2.302585), (0, 7.0, 2.302585), (1, 0.0, 3.889720), (3, 3.0, 4.3624)])
def test_bayesian_closed_values(n: int, b: float, expected: float) -> None:
    assert upper_limit(n, b) == pytest.approx(expected, abs=5e-5 if n == 3 else 5e-7)  # digits of the reference


def test_bayesian_with_independent_systematics() -> None:
    value = upper_limit(2, 0.8, uncertainties=Uncertainties(signal=0.10, background=0.15))
    assert value == pytest.approx(4.717753, abs=5e-7)


# Published table IV of the 1998 paper, 90 % CL, rounded to 0.01 on a grid of signals 0.005 apart.
@pytest.mark.parametrize(("n", "b", "expected"), [
    (0, 0.0, 2.44), (1, 0.0, 4.36), (2, 0.0, 5.91), (3, 3.0, 4.42), (0, 1.0, 1.61), (5, 2.0, 7.99), (1, 3.0, 1.88),
    (10, 3.0, 13.50), (0, 3.0, 1.08), (0, 4.0, 1.01)])  # fmt: skip
def test_feldman_cousins_published_table(n: int, b: float, expected: float) -> None:
    assert upper_limit(n, b, method="feldman_cousins") == pytest.approx(expected, abs=0.0101)


@pytest.mark.parametrize(("n", "b"), [
    (0, 0.0), (0, 5.0), (3, 3.0), (12, 4.5), (60, 55.0), (61, 55.0), (900, 1000.0), (10**6, 10.0)])  # fmt: skip
def test_cls_equals_bayes_without_systematics(n: int, b: float) -> None:
    # an identity: both solve Q(n + 1, s + b) = (1 - cl) Q(n + 1, b); 1e-8 is the solver's tolerance
    assert upper_limit(n, b, method="cls") == pytest.approx(upper_limit(n, b), rel=1e-8)
    if n < 10**6:
        assert upper_limit(n, b) == pytest.approx(reference(n, b, 0.9, Uncertainties()), rel=1e-7)


@pytest.mark.parametrize("method", ["bayesian", "cls"])
@pytest.mark.parametrize(("n", "b", "u", "mc"), [
    (2, 0.8, Uncertainties(correlated=0.1, background=0.15), 0.0),
    (2, 0.8, SYSTEMATICS, 0.2),
    (0, 5.0, Uncertainties(correlated=0.1, background=0.5), 0.0),
    (12, 10.0, SYSTEMATICS, 0.1),
    (5, 20.0, Uncertainties(correlated=0.1, background=0.2), 0.0),
    (60, 50.0, Uncertainties(correlated=0.1, background=0.2), 0.1),
    (61, 50.0, Uncertainties(correlated=0.1, background=0.2), 0.1),
    (400, 420.0, Uncertainties(correlated=0.1), 0.0),
    (400, 420.0, Uncertainties(signal=0.1, background=0.05), 0.0),
    (3000, 2900.0, Uncertainties(correlated=0.1, background=0.2), 0.0)])  # fmt: skip
def test_against_quadrature(n: int, b: float, u: Uncertainties, mc: float, method: str) -> None:
    value = upper_limit(n, b, method=method, uncertainties=u, background_mc=mc)  # type: ignore[arg-type]
    # Gauss nodes are chosen for 1e-7 of a probability; a limit moves ten times as far
    assert value == pytest.approx(reference(n, b, 0.9, u, mc, method), rel=1e-5 if n > 60 else 1e-6)


def test_correlation_matters_in_the_right_direction() -> None:
    # moving signal and background together is worse for n > b than moving the background alone, if the efficiency is sure
    alone = upper_limit(5, 3.0, uncertainties=Uncertainties(background=0.2))
    together = upper_limit(5, 3.0, uncertainties=Uncertainties(correlated=0.2))
    both = upper_limit(5, 3.0, uncertainties=Uncertainties(signal=0.2, background=0.2))
    assert alone < together
    assert together != pytest.approx(both, rel=1e-3)


def test_template_statistics_are_a_background_uncertainty() -> None:
    u = Uncertainties(background=0.4)
    split = upper_limit(3, 4.0, uncertainties=Uncertainties(background=0.24), background_mc=0.32)
    assert split == pytest.approx(upper_limit(3, 4.0, uncertainties=u), rel=1e-9)  # 0.24 and 0.32 add to 0.4


def test_feldman_cousins_with_tiny_systematics_is_the_exact_one() -> None:
    tiny = Uncertainties(signal=1e-4, background=1e-4, correlated=1e-4)
    for n, b in ((0, 0.5), (4, 2.0), (30, 33.0)):
        # the tip of a tooth in b is found to 0.1 / 2^8 events
        assert upper_limit(n, b, method="feldman_cousins", uncertainties=tiny) == pytest.approx(
            upper_limit(n, b, method="feldman_cousins"), abs=2e-3)  # fmt: skip


def test_feldman_cousins_many_events_is_the_bounded_gaussian() -> None:
    # At n = b the 90 % limit of a Gaussian measurement at the boundary is 1.645 sigma; skewness is 1/sqrt(b) = 0.1 %
    assert upper_limit(10**6, 1e6, method="feldman_cousins") == pytest.approx(1645.0, rel=3e-3)
    u = Uncertainties(background=0.1)
    sigma = math.hypot(100.0, 1000.0)
    assert upper_limit(10**4, 1e4, method="feldman_cousins", uncertainties=u) == pytest.approx(1.645 * sigma, rel=0.01)


def test_feldman_cousins_upper_limits_cover() -> None:
    """P(limit >= s) >= 90 % exactly, by summing over the outcomes."""
    n = np.arange(60)
    for b in (0.0, 0.7, 3.0, 6.3):
        limits = upper_limits(n, np.full(60, b), method="feldman_cousins")
        for s in np.linspace(0.05, 12, 60):
            assert stats.poisson.pmf(n, s + b)[limits >= s].sum() >= 0.9 - 1e-9


def test_bayesian_limits_over_cover() -> None:
    """A flat prior with known background never under-covers: it equals CLs, which is conservative by construction."""
    n = np.arange(60)
    for b in (0.0, 1.5, 6.0):
        limits = upper_limits(n, np.full(60, b))
        for s in np.linspace(0.05, 12, 60):
            assert stats.poisson.pmf(n, s + b)[limits >= s].sum() >= 0.9 - 1e-9


def test_feldman_cousins_never_rises_when_background_falls() -> None:
    b = np.arange(0.0, 6.0, 0.13)
    for n in (0, 1, 4):
        limits = upper_limits(np.full(len(b), n), b, method="feldman_cousins")
        assert (np.diff(limits) <= 1e-3).all()  # tips of the teeth are found to 0.02 / 2^8 events


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("u", [Uncertainties(), SYSTEMATICS])
def test_monotonic_in_n_and_b(method: str, u: Uncertainties) -> None:
    n = np.arange(56, 66) if method != "feldman_cousins" else np.arange(8)
    b = 58.0 if method != "feldman_cousins" else 4.0
    rising = upper_limits(n, np.full(len(n), b), method=method, uncertainties=u)  # type: ignore[arg-type]
    steps = np.diff(rising)
    assert (steps > 0).all()
    if method != "feldman_cousins":  # smooth across the switch of methods at n = 60: second differences stay small
        assert np.abs(np.diff(steps)).max() < 0.1
        b_grid = np.linspace(0, 120, 25)
        assert (np.diff(upper_limits(np.full(25, 40), b_grid, method=method, uncertainties=u)) < 0).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["signal", "background", "correlated"])
def test_every_uncertainty_weakens_the_limit(name: str) -> None:
    limits = [upper_limit(6, 5.0, uncertainties=Uncertainties(**{name: value})) for value in (0.0, 0.05, 0.15, 0.3, 0.5)]
    assert (np.diff(limits) > 0).all()


def test_scaling_laws() -> None:
    # without background the limit in rate falls as 1/L (constant in events); with much of it as L^-1/2: 100 x b is 10 x s
    assert upper_limit(0, 0.0) == upper_limit(0, 3.0)
    assert upper_limit(10**6, 1e6) / upper_limit(10**4, 1e4) == pytest.approx(10.0, rel=0.01)  # skewness at 1e4 is 1 %
    # a background error dominates in the end: the limit follows b
    u = Uncertainties(background=0.2)
    assert upper_limit(10**6, 1e6, uncertainties=u) / upper_limit(10**5, 1e5, uncertainties=u) == pytest.approx(10.0, rel=0.01)


@settings(max_examples=150, deadline=None)
@given(n=st.integers(0, 10**6), b=st.floats(0, 1e6), cl=st.floats(0.51, 0.9999),
       u=st.sampled_from([Uncertainties(), SYSTEMATICS, Uncertainties(background=1.0, correlated=0.5),
                          Uncertainties(signal=0.3)]),
       method=st.sampled_from(["bayesian", "cls"]))  # fmt: skip
def test_always_finite_and_positive(n: int, b: float, cl: float, u: Uncertainties, method: str) -> None:
    value = upper_limit(n, b, cl=cl, uncertainties=u, method=method)  # type: ignore[arg-type]
    assert 0 < value < 1e10
    assert math.isfinite(value)


@pytest.mark.parametrize(("n", "b"), [(0, 0.0), (0, 1e6), (10**6, 0.0), (10**6, 10.0), (3, 1e4), (150, 100.0)])
def test_feldman_cousins_extremes(n: int, b: float) -> None:
    value = upper_limit(n, b, method="feldman_cousins")
    assert 0 < value < 2e6
    assert value > n - b


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 2000), b=st.floats(0, 2000), u=st.sampled_from([Uncertainties(), SYSTEMATICS]))
def test_one_more_event_weakens_the_limit(n: int, b: float, u: Uncertainties) -> None:
    low, high = upper_limits([n, n + 1], [b, b], uncertainties=u)
    assert high >= low * (1 - 1e-6)  # equal only where a deep deficit is capped; the rest is quadrature


def test_higher_confidence_is_a_weaker_limit() -> None:
    for method in METHODS:
        limits = [upper_limit(2, 1.0, cl=cl, method=method) for cl in (0.68, 0.9, 0.95, 0.99)]  # type: ignore[arg-type]
        assert (np.diff(limits) > 0).all()
    assert upper_limit(0, 0.0, cl=0.95) == pytest.approx(-math.log(0.05), rel=1e-9)


def test_band_is_the_quantiles_of_the_sum_over_outcomes() -> None:
    b, n = 4.3, np.arange(40)
    limits = upper_limits(n, np.full(40, b), uncertainties=SYSTEMATICS)
    cumulative = np.cumsum(stats.poisson.pmf(n, b))
    band = expected_upper_limits(b, uncertainties=SYSTEMATICS)[0]
    for value, z in zip(band, (-2, -1, 0, 1, 2), strict=True):
        assert value == pytest.approx(limits[np.searchsorted(cumulative, stats.norm.cdf(z))], rel=1e-9)


@pytest.mark.parametrize("b", [0.0, 0.3, 29.9, 30.1, 517.0, 1e6])
def test_outcome_quantiles_are_those_of_scipy(b: float) -> None:
    expected = stats.poisson.ppf(stats.norm.cdf([-2, -1, 0, 1, 2]), b) if b > 0 else np.zeros(5)
    assert outcome_quantiles(b)[0].tolist() == expected.tolist()


def test_band_without_background_is_one_number() -> None:
    assert expected_upper_limits(0.0)[0] == pytest.approx(-math.log(0.1), rel=1e-9)


def test_band_of_many_events_is_gaussian() -> None:
    # asymptotically CLs has median 1.645 sigma at 90 % and band Phi^-1(1 - 0.1 Phi(k)) + k (Cowan et al.); b = 1e6
    k = np.array([-2, -1, 0, 1, 2])
    expected = 1e3 * (stats.norm.ppf(1 - 0.1 * stats.norm.cdf(k)) + k)
    assert expected_upper_limits(1e6, method="cls")[0] == pytest.approx(expected, rel=3e-3)  # one event is 0.1 % of sigma


def test_expected_median_is_the_middle_of_the_band() -> None:
    b = np.linspace(0, 40, 7)
    band = expected_upper_limits(b, uncertainties=SYSTEMATICS)
    assert expected_median(b, uncertainties=SYSTEMATICS).tolist() == band[:, 2].tolist()


def test_table_agrees_with_exact_feldman_cousins() -> None:
    b = np.linspace(0.05, 20, 12)
    n = np.random.default_rng(3).poisson(b)
    exact = upper_limits(n, b, method="feldman_cousins")
    assert upper_limits(n, b, method="feldman_cousins", exact=False) == pytest.approx(exact, abs=0.012)  # grid of 0.02 in b


def test_pyhf_asymptotic_limit_at_large_background() -> None:
    pyhf = pytest.importorskip("pyhf")
    from pyhf.infer.intervals.upper_limits import toms748_scan

    b, relative, n = 2000.0, 0.05, 2040
    model = pyhf.simplemodels.uncorrelated_background([100.0], [b], [b * relative])
    data = [float(n), *model.config.auxdata]
    observed, expected = toms748_scan(data, model, 0.0, 9.0, level=0.1)
    u = Uncertainties(background=relative)
    # both are Gaussian there up to the skewness of the Poisson and of pyhf's constraint (a Poisson of 1/0.05^2 = 400)
    assert upper_limit(n, b, method="cls", uncertainties=u) == pytest.approx(100 * float(observed), rel=0.02)
    assert expected_median(b, method="cls", uncertainties=u)[0] == pytest.approx(100 * float(expected[2]), rel=0.02)


def test_counting_limit_record() -> None:
    u = Uncertainties(background=0.3)
    point = counting_limit(2.5, n=4, cl=0.95, method="cls", uncertainties=u, background_mc=0.4)
    assert point.background_uncertainty == pytest.approx(0.5)
    assert point.observed == upper_limit(4, 2.5, cl=0.95, method="cls", uncertainties=u, background_mc=0.4)
    assert list(point.expected) == sorted(point.expected)
    assert counting_limit(2.5).observed is None
    assert pickle.loads(pickle.dumps(point)) == point
    assert isinstance(point, CountingLimit)


@pytest.mark.parametrize(("call", "name"), [
    (lambda: upper_limit(-1, 1.0), "n"), (lambda: upper_limit(1.5, 1.0), "n"),  # type: ignore[arg-type]
    (lambda: upper_limit(1, -0.1), "b"), (lambda: upper_limit(1, math.nan), "b"), (lambda: upper_limit(1, math.inf), "b"),
    (lambda: upper_limit(1, 1.0, cl=0.5), "cl"), (lambda: upper_limit(1, 1.0, cl=90), "cl"),
    (lambda: upper_limit(1, 1.0, method="bayes"), "method"),  # type: ignore[arg-type]
    (lambda: upper_limit(1, 1.0, background_mc=-0.1), "background_mc"), (lambda: upper_limits([[1]], [[1.0]]), "b"),
    (lambda: Uncertainties(signal=-0.1), "signal"), (lambda: Uncertainties(correlated=1.1), "correlated"),
    (lambda: Uncertainties(background=math.nan), "background")])  # fmt: skip
def test_bad_input_names_the_argument(call, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


@pytest.mark.parametrize("n", [0, 3, 99, 100, 101, 150, 1000, 10**5])
def test_poisson_sum_against_scipy(n: int) -> None:
    x = np.maximum(n + 1 + np.linspace(-4, 8, 25) * math.sqrt(n + 1), 0.0)  # further down scipy itself loses digits at 1e6
    assert [poisson_cdf(n, v) for v in x] == pytest.approx(special.gammaincc(n + 1, x).tolist(), rel=1e-10)


def test_poisson_quantile_at_certainty_of_nothing() -> None:
    assert poisson_quantile(0.5, 0.0) == 0


def test_gamma_nodes_have_the_right_moments() -> None:
    x, w = np.zeros(48), np.zeros(48)
    for a in (1.0, 7.3, 400.0, 1e6):
        size = gamma_nodes(a, 0.2, x, w)
        mean, variance = (w * x)[:size].sum(), (w * (x - a) ** 2)[:size].sum()
        assert mean == pytest.approx(a, rel=1e-6)  # tabulated nodes, cubic interpolation
        assert variance == pytest.approx(a, rel=1e-5)


def test_cumulative_table_is_the_truncated_gaussian() -> None:
    table = cumulative_table(0.4, False)
    assert table[0, -1] == pytest.approx(1.0, abs=1e-10)
    expected = stats.norm.expect(lambda g: 1 / (1 + 0.1 * g), lb=-8, ub=8)
    assert cumulative_table(0.1, True)[0, -1] == pytest.approx(expected, rel=1e-9)
