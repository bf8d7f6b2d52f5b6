"""The public functions of the limits package: published tables, closed forms, quadrature, shapes and bad input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

from belle2dark import limits
from belle2dark.limits import counting, public
from belle2dark.limits.constraints import factor
from belle2dark.limits.nuisance import Uncertainties
from belle2dark.limits.public import METHODS

# Feldman and Cousins, Phys. Rev. D 57 (1998) 3873, table IV (90 %): (n, b, low, high); None where only one end is at hand.
# The first eleven rows are also the Review of Particle Physics' table of unified intervals.
TABLE_90 = [
    (0, 0.0, 0.0, 2.44), (1, 0.0, 0.11, 4.36), (2, 0.0, 0.53, 5.91), (3, 0.0, 1.10, 7.42), (4, 0.0, 1.47, 8.60),
    (5, 0.0, 1.84, 9.99), (6, 0.0, 2.21, 11.47), (7, 0.0, 3.56, 12.53), (8, 0.0, 3.96, 13.99), (9, 0.0, 4.36, 15.30),
    (10, 0.0, 5.50, 16.50), (0, 0.5, 0.0, 1.94), (0, 1.0, 0.0, 1.61), (1, 1.0, None, 3.36), (2, 1.0, None, 4.91),
    (3, 1.0, None, 6.42), (4, 1.0, None, 7.60), (0, 2.0, 0.0, 1.26), (5, 2.0, None, 7.99), (0, 3.0, 0.0, 1.08),
    (1, 3.0, None, 1.88), (3, 3.0, None, 4.42), (10, 3.0, None, 13.50), (0, 4.0, 0.0, 1.01), (1, 4.0, 0.0, 1.39),
    (0, 5.0, 0.0, 0.98), (1, 5.0, 0.0, 1.22)]  # fmt: skip
TABLE_95 = [(0, 0.0, 3.09), (0, 2.5, 1.78), (0, 3.5, 1.63), (0, 4.0, 1.57), (0, 5.0, 1.54), (1, 4.0, 2.08), (2, 5.0, 2.49)]
ROUNDING = 0.0101  # printed to 0.01, found on a grid of signals 0.005 apart


@pytest.mark.parametrize(("n", "b", "low", "high"), TABLE_90)
def test_feldman_cousins_table_at_90(n: int, b: float, low: float | None, high: float) -> None:
    ours = limits.interval(n, b, method="feldman_cousins")
    assert ours.high == pytest.approx(high, abs=ROUNDING)
    if low is not None:
        assert ours.low == pytest.approx(low, abs=ROUNDING)


@pytest.mark.parametrize(("n", "b", "high"), TABLE_95)
def test_feldman_cousins_table_at_95(n: int, b: float, high: float) -> None:
    assert limits.upper_limit(n, b, cl=0.95, method="feldman_cousins") == pytest.approx(high, abs=ROUNDING)


def plain_construction(n: int, b: float, cl: float = 0.9) -> float:
    """Upper end of the construction at one b, straight from its definition (numpy on a grid, independent of the kernels)."""
    k, s = np.arange(25), np.arange(0.8, 1.2, 1e-5)[:, None]
    rank = stats.poisson.logpmf(k, s + b) - stats.poisson.logpmf(k, np.maximum(k, b))
    before = np.where(rank > rank[:, [n]] + 1e-12, stats.poisson.pmf(k, s + b), 0.0).sum(axis=1)
    return float(s[before < cl].max(initial=0.0))


def test_zero_events_three_background_is_the_published_108() -> None:
    # At b = 3 itself the end is 0.953; it jumps to 1.0783 at b = 3.4535, which the rule b' >= b carries back to b = 3.
    # A grid of b that misses the jump finds less: 1.067 where its next point is 3.48.
    assert plain_construction(0, 3.0) == pytest.approx(0.9530, abs=1e-4)
    jump = optimize.bisect(lambda b: plain_construction(0, b) - 0.9, 3.44, 3.47, xtol=1e-6)
    assert jump == pytest.approx(3.4535, abs=1e-3)
    assert limits.upper_limit(0, 3.0, method="feldman_cousins") == pytest.approx(plain_construction(0, jump + 1e-6), abs=1e-4)
    assert plain_construction(0, 3.48) == pytest.approx(1.067, abs=1e-3)


@pytest.mark.parametrize(("n", "b"), [(4, 1.5), (9, 6.0), (40, 22.0)])
def test_unified_ends_against_explicit_nodes(n: int, b: float) -> None:
    # two constructions of our own: compiled with Gauss nodes, and numpy with a fine grid (ends good to 1 % of sqrt(n))
    ours = limits.interval(n, b, method="feldman_cousins", background_uncertainty=0.2, efficiency_uncertainty=0.1)
    other = public._general(True, n, b, 0.2, 0.1, 0.0, 0.0, 0.9, "feldman_cousins", "flat", "gaussian")
    assert tuple(ours) == pytest.approx(other, abs=0.01 * math.sqrt(n))


def test_lower_ends_far_above_the_background() -> None:
    n = np.array([200, 10**4, 10**6])
    low = limits.interval(n, 0.0, method="feldman_cousins").low
    assert low == pytest.approx(n - 1.645 * np.sqrt(n), abs=1.2)  # Gaussian; the Poisson skewness adds about (z^2 + 2)/6 events


@pytest.mark.parametrize("prior", ["sqrt", "reference"])
@pytest.mark.parametrize(("n", "b"), [(0, 0.0), (0, 3.0), (3, 1.5), (30, 22.0), (5, 30.0)])
def test_priors_against_quadrature(prior: str, n: int, b: float) -> None:
    b0 = b if prior == "reference" else 0.0
    top = n + 14 * math.sqrt(n + 1) + 40

    def area(low: float, high: float) -> float:  # in u = sqrt(s + b0)
        edges = np.linspace(math.sqrt(low + b0), math.sqrt(high + b0), 12)
        return sum(integrate.quad(lambda u: stats.poisson.pmf(n, u * u - b0 + b), p, q, epsrel=1e-12)[0]
                   for p, q in itertools.pairwise(edges))  # fmt: skip

    limit = limits.upper_limit(n, b, prior=prior)  # type: ignore[arg-type]
    assert area(0, limit) / area(0, top) == pytest.approx(0.9, abs=1e-8)
    if n == 0 and b == 0:  # closed form: sqrt(s) exp(-s) is a gamma distribution of one half
        assert limit == pytest.approx(special.gammaincinv(0.5, 0.9), rel=1e-9)


def test_priors_are_ordered() -> None:
    for n, b in ((0, 2.0), (4, 2.0), (20, 25.0)):
        values = [limits.upper_limit(n, b, prior=prior) for prior in ("sqrt", "reference", "flat")]  # type: ignore[arg-type]
        assert values == sorted(values)  # the more weight at small s, the stronger


@pytest.mark.parametrize("constraint", ["lognormal", "gamma"])
@pytest.mark.parametrize(("n", "b"), [(2, 0.8), (12, 10.0), (90, 80.0)])
@pytest.mark.parametrize("method", ["bayesian", "cls"])
def test_constraints_against_quadrature(constraint: str, n: int, b: float, method: str) -> None:
    sigma_b, sigma_e = 0.3, 0.1
    u = (np.arange(400) + 0.5) / 400  # equal-probability points are too coarse: Gauss-Legendre in the quantile's z instead
    z, wz = np.polynomial.legendre.leggauss(300)
    z, u = 8.5 * z, special.ndtr(8.5 * z)
    weight = wz * np.exp(-z * z / 2)
    weight /= weight.sum()

    def variable(size: float) -> np.ndarray:
        if constraint == "lognormal":
            return np.exp(z * math.log(1 + size))
        return stats.gamma.ppf(np.clip(u, 1e-300, 1 - 1e-16), 1 / size**2) * size**2

    e, k = variable(sigma_e)[:, None], variable(sigma_b)[None, :]
    w = weight[:, None] * weight / (e if method == "bayesian" else 1.0)

    def tail(s: float) -> float:
        return float((w * special.gammaincc(n + 1, e * s + b * k)).sum())

    expected = optimize.brentq(lambda s: tail(s) / tail(0) - 0.1, 0, n + b + 60, xtol=1e-10)
    ours = limits.upper_limit(n, b, method=method, constraint=constraint, background_uncertainty=sigma_b,  # type: ignore[arg-type]
                              efficiency_uncertainty=sigma_e)  # fmt: skip
    assert ours == pytest.approx(expected, rel=1e-6)  # the reference's gamma quantiles are the limit


@pytest.mark.parametrize("constraint", ["gaussian", "lognormal", "gamma"])
@pytest.mark.parametrize("shift", [0.05, 0.4, 1.0, 5.0])
def test_nodes_have_the_moments_of_their_distribution(constraint: str, shift: float) -> None:
    size = 0.2
    x, w = factor(constraint, size, 0.0 if constraint != "gaussian" else -10.0, shift)
    mean = math.exp(0.5 * math.log1p(size) ** 2) if constraint == "lognormal" else 1.0
    deviation = mean * math.sqrt(math.expm1(math.log1p(size) ** 2)) if constraint == "lognormal" else size
    assert w @ x == pytest.approx(mean, rel=1e-9)
    assert math.sqrt(w @ (x - w @ x) ** 2) == pytest.approx(deviation, rel=1e-8)


@pytest.mark.parametrize(("n", "b", "se", "sk", "sf"), [
    (2, 0.8, 0.1, 0.15, 0.0), (12, 10.0, 0.05, 0.12, 0.1), (5, 20.0, 0.0, 0.2, 0.1), (400, 420.0, 0.1, 0.05, 0.0),
    (3000, 2900.0, 0.0, 0.2, 0.1), (10**4, 1e4, 0.1, 0.2, 0.1)])  # fmt: skip
@pytest.mark.parametrize("method", ["bayesian", "cls"])
def test_explicit_nodes_agree_with_the_kernels(method: str, n: int, b: float, se: float, sk: float, sf: float) -> None:
    u = Uncertainties(signal=se, background=sk, correlated=sf)
    kernel = counting.upper_limit(n, b, method=method, uncertainties=u)  # type: ignore[arg-type]
    nodes = public._general(False, n, b, sk, se, sf, 0.0, 0.9, method, "flat", "gaussian")[1]  # type: ignore[arg-type]
    assert nodes == pytest.approx(kernel, rel=5e-4 if n >= 10**4 else 1e-5)  # the last from Sobol points


def test_small_uncertainties_do_not_depend_on_the_constraint() -> None:
    values = [limits.upper_limit(6, 5.0, constraint=c, background_uncertainty=0.02, efficiency_uncertainty=0.02)
              for c in ("gaussian", "lognormal", "gamma")]  # type: ignore[arg-type]  # fmt: skip
    assert values == pytest.approx([values[0]] * 3, rel=2e-3)  # third moments, of the order of the size squared


def test_clsb_is_the_classical_limit() -> None:
    for n, b in ((0, 0.0), (3, 1.0), (20, 12.0)):
        classical = stats.chi2.isf(0.1, 2 * n + 2) / 2 - b
        assert limits.upper_limit(n, b, method="clsb") == pytest.approx(classical, rel=1e-8)
        low, high = limits.interval(n, b, method="clsb")
        assert high == pytest.approx(stats.chi2.isf(0.05, 2 * n + 2) / 2 - b, rel=1e-8)
        assert low == pytest.approx(max(stats.chi2.ppf(0.05, 2 * n) / 2 - b, 0) if n else 0.0, abs=1e-8)
    assert limits.upper_limit(0, 5.0, method="clsb") == 0.0  # everything excluded
    assert limits.upper_limit(0, 5.0, method="cls") == pytest.approx(2.302585, abs=1e-6)


def test_central_bayesian_interval_has_equal_tails() -> None:
    n, b = 7, 3.0
    low, high = limits.interval(n, b)
    start = special.gammaincc(n + 1, b)
    assert special.gammaincc(n + 1, b + high) / start == pytest.approx(0.05, rel=1e-8)
    assert special.gammaincc(n + 1, b + low) / start == pytest.approx(0.95, rel=1e-8)
    with_errors = limits.interval(n, b, background_uncertainty=0.3, efficiency_uncertainty=0.1)
    assert with_errors.low < low < high < with_errors.high


@settings(max_examples=40, deadline=None, derandomize=True)
@given(n=st.integers(0, 10**6), b=st.floats(0, 1e6), cl=st.floats(0.05, 0.999),
       options=st.sampled_from([
           {"method": "clsb"}, {"prior": "sqrt"}, {"prior": "reference"}, {"method": "feldman_cousins"},
           {"background_uncertainty": 0.2, "constraint": "lognormal"},
           {"method": "cls", "correlated": 0.1, "constraint": "gamma"},
           {"background_uncertainty": 0.1, "prior": "reference", "constraint": "gamma"},
           {"background_uncertainty": 0.1, "efficiency_uncertainty": 0.05}]))  # fmt: skip
def test_always_finite_from_nothing_to_a_million_events(n: int, b: float, cl: float, options: dict) -> None:
    value = limits.upper_limit(n, b, cl=cl, **options)
    assert 0 <= value < 1e8
    more = limits.upper_limit(n + 1, b, cl=cl, **options)
    assert more >= value * (1 - 1e-5) - 1e-6  # quadrature of the compiled path is good to 1e-5


@pytest.mark.parametrize("options", [{}, {"method": "cls"}, {"method": "clsb"}, {"prior": "sqrt"}, {"prior": "reference"},
                                     {"background_uncertainty": 0.05, "efficiency_uncertainty": 0.05},
                                     {"background_uncertainty": 0.05, "constraint": "lognormal"}])  # fmt: skip
@pytest.mark.parametrize(("n", "b"), [(20, 18.0), (60, 55.0), (100, 95.0), (500, 500.0), (10**5, 1e5)])
def test_no_jump_at_internal_switches(options: dict, n: int, b: float) -> None:
    # second differences of a limit in n are of the order of 1 / Poisson error of its slope, which is below one
    around = limits.upper_limit(n + np.arange(-3, 4), b, **options)
    assert np.abs(np.diff(around, 2)).max() < 0.6 / math.sqrt(n) + 3e-5 * around[3]
    # and in b, across b = 500 (another form of the sums) and the nodes that depend on b
    across = limits.upper_limit(n, b * (1 + 1e-3 * np.arange(-3, 4)), **options)
    step = 1e-3 * b
    assert np.abs(np.diff(across, 2)).max() < 0.6 * step**2 / math.sqrt(n) + 3e-5 * across[3]


def test_shapes() -> None:
    one = limits.upper_limit(3, 1.0, background_uncertainty=0.1)
    assert isinstance(one, float)
    grid = limits.upper_limit(np.arange(4)[:, None], np.array([0.5, 1.0]), background_uncertainty=[0.0, 0.1])
    assert grid.shape == (4, 2)
    assert grid[3, 1] == one
    many = limits.upper_limit(3, 1.0, efficiency_uncertainty=[0.0, 0.1, 0.2], correlated=[0.0, 0.0, 0.1])
    assert many.shape == (3,)
    assert (np.diff(many) > 0).all()
    assert limits.upper_limit([], []).shape == (0,)
    assert limits.expected([]).median.shape == (0,)
    assert isinstance(limits.expected(2.0).median, float)
    assert limits.expected([1.0, 2.0], cl=0.95, method="cls").plus2.shape == (2,)
    assert isinstance(limits.p_value(3, 1.0), float)
    assert isinstance(limits.punzi(3.0, 0.1, 8.0), float)
    assert isinstance(limits.significance(1e-3), float)


@pytest.mark.parametrize("method", METHODS)
def test_expected_band_is_made_of_limits(method: str) -> None:
    options = {"background_uncertainty": 0.2, "constraint": "lognormal" if method == "cls" else "gaussian"}
    band = limits.expected(4.0, method=method, **options)
    values = [band.minus2, band.minus1, band.median, band.plus1, band.plus2]
    assert values == sorted(values)
    assert (band.method, band.cl, band.seed) == (method, 0.90, None)
    n = int(stats.poisson.ppf(0.5, 4.0))
    assert band.median == limits.upper_limit(n, 4.0, method=method, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{}, {"constraint": "lognormal", "background_uncertainty": 0.3}, {"prior": "reference"}])
def test_rises_with_n_and_with_cl(method: str, options: dict) -> None:
    limit = limits.upper_limit(np.arange(7), 2.5, method=method, **options)
    assert (np.diff(limit) >= 0).all()
    assert limit[-1] > limit[0]
    levels = [limits.upper_limit(3, 2.5, cl=cl, method=method, **options) for cl in (0.3, 0.5, 0.9, 0.99)]
    assert levels == sorted(levels)


def test_known_background_limits_fall_with_b() -> None:
    b = np.linspace(0, 20, 41)
    for method in METHODS:
        assert (np.diff(limits.upper_limit(6, b, method=method)) <= 1e-3).all()  # teeth of Feldman-Cousins: 0.02 / 2^8
    assert (np.diff(limits.upper_limit(6, b, background_uncertainty=0.05)) < 0).all()
    turned = limits.upper_limit(10, np.linspace(30.0, 50.0, 21), background_uncertainty=0.3)
    assert (np.diff(turned) > 0).any()  # a relative error grows with b and turns the limit round where it dominates
    relative = np.minimum(0.5 / np.maximum(b, 0.5), 1.0)
    assert (np.diff(limits.upper_limit(6, b[2:], background_uncertainty=relative[2:])) < 0).all()


def test_tables_with_systematics_and_window_errors() -> None:
    rng = np.random.default_rng(2)
    b, mc = rng.uniform(0.05, 2.9, 40), rng.uniform(0.02, 0.2, 40)
    n = rng.poisson(b)
    options = {"method": "feldman_cousins", "efficiency_uncertainty": 0.1, "background_uncertainty": 0.15, "background_mc": mc}
    exact = limits.upper_limit(n, b, **options)
    assert limits.upper_limit(n, b, exact=False, **options) == pytest.approx(exact, abs=0.1)  # steps of 0.1 in b, 0.05 in error


def test_rate_limit_flags_zero_efficiency() -> None:
    result = limits.rate_limit(0, 0.0, [0.0, 0.5], 10.0)
    assert result.infinite.tolist() == [True, False]
    assert result.value[1] == pytest.approx(math.log(10) / 5)
    assert math.isinf(result.value[0])
    one = limits.rate_limit(0, 0.0, 0.0, 10.0, cl=0.95, method="cls")
    assert one.infinite is True
    assert (one.cl, one.method) == (0.95, "cls")
    # exactly inverse to the efficiency: twice the efficiency, half the limit
    assert limits.rate_limit(4, 2.0, 0.2, 8.0).value == pytest.approx(limits.rate_limit(4, 2.0, 0.1, 8.0).value / 2, rel=1e-12)


@pytest.mark.parametrize(("call", "name"), [
    (lambda: limits.upper_limit(-1, 1.0), "n"), (lambda: limits.upper_limit(1.5, 1.0), "n"),
    (lambda: limits.upper_limit([1, math.nan], 1.0), "n"), (lambda: limits.upper_limit(1, -0.1), "background"),
    (lambda: limits.upper_limit(1, math.inf), "background"), (lambda: limits.interval(1, math.nan), "background"),
    (lambda: limits.upper_limit(1, 1.0, cl=0.0), "cl"), (lambda: limits.upper_limit(1, 1.0, cl=1.0), "cl"),
    (lambda: limits.upper_limit(1, 1.0, cl=90), "cl"), (lambda: limits.upper_limit(1, 1.0, cl=math.nan), "cl"),
    (lambda: limits.upper_limit(1, 1.0, method="fc"), "method"),  # type: ignore[arg-type]
    (lambda: limits.upper_limit(1, 1.0, prior="jeffreys"), "prior"),  # type: ignore[arg-type]
    (lambda: limits.upper_limit(1, 1.0, constraint="normal"), "constraint"),  # type: ignore[arg-type]
    (lambda: limits.upper_limit(1, 1.0, background_uncertainty=1.2), "background_uncertainty"),
    (lambda: limits.expected(1.0, efficiency_uncertainty=-0.1), "efficiency_uncertainty"),
    (lambda: limits.upper_limit(1, 1.0, efficiency_uncertainty=0.8, constraint="gamma"), "efficiency_uncertainty"),
    (lambda: limits.upper_limit(1, 1.0, correlated=math.nan), "correlated"),
    (lambda: limits.upper_limit(1, 1.0, background_mc=11.0), "background_mc"),
    (lambda: limits.rate_limit(1, 1.0, 1.01, 8.0), "efficiency"), (lambda: limits.rate_limit(1, 1.0, 0.1, 0.0), "luminosity"),
    (lambda: limits.punzi(1.0, 1.2, 8.0), "efficiency"), (lambda: limits.punzi(1.0, 0.2, -8.0), "luminosity"),
    (lambda: limits.p_value(1.5, 1.0), "n"), (lambda: limits.p_value(1, -1.0), "background"),
    (lambda: limits.significance(1.2), "p")])  # fmt: skip
def test_bad_input_names_the_argument(call, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


def test_significance_stays_finite() -> None:
    z = limits.significance([0.0, 1.0, 0.5])
    assert np.isfinite(z).all()
    assert z[2] == pytest.approx(0.0, abs=1e-15)
    assert limits.punzi(2.0, 0.0, 8.0) == math.inf


def test_names_of_the_package() -> None:
    import belle2dark.limits.punzi  # noqa: F401  (a module of the same name must not hide the function)

    assert callable(limits.punzi)
    for name in limits.__all__:
        assert callable(getattr(limits, name)), name
    with pytest.raises(AttributeError, match="nothing"):
        _ = limits.nothing
