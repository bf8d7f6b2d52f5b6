"""Shape fits and their limits: pulls, independent minimisers, pyhf, counting limits, toys, invariants and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belle2dark._jit import threads
from belle2dark.limits.background_shapes import Background, Chebyshev, Exponential, Polynomial, Templates, columns
from belle2dark.limits.counting import upper_limit
from belle2dark.limits.fit_model import Nuisance, build
from belle2dark.limits.nuisance import Uncertainties
from belle2dark.limits.shape_fit import fit, fit_templates
from belle2dark.limits.shape_limit import ShapeLimit, band_targets, limit_of_model, shape_limit
from belle2dark.limits.shapes import CrystalBall, Gaussian, fractions

EDGES = np.linspace(0.0, 1.0, 41)
PEAK = Gaussian(mean=0.45, sigma=0.03)
CURVE = Chebyshev(degree=3)
BASIS = columns(CURVE, EDGES)
MEAN = 2000 * BASIS[0] - 600 * BASIS[1] + 150 * BASIS[2]
DATA = np.random.default_rng(1).poisson(MEAN + 60 * fractions(PEAK, EDGES)).astype(float)


def poisson_nll(mu: np.ndarray, n: np.ndarray) -> float:
    """Half the deviance, written out."""
    safe = np.maximum(n, 1)
    return float(np.sum(mu - n + np.where(n > 0, n * np.log(safe / mu), 0.0)))


def test_the_truth_fits_itself() -> None:
    truth = MEAN + 60 * fractions(PEAK, EDGES)
    result = fit(truth, EDGES, PEAK, CURVE)
    assert result.converged
    assert result.signal_yield == pytest.approx(60.0, abs=1e-6)
    assert result.nll == pytest.approx(0.0, abs=1e-10)
    assert result.parameters["background_1"] == pytest.approx(-600.0, abs=1e-4)


def test_iminuit_and_numba_stats_find_the_same_minimum() -> None:
    iminuit = pytest.importorskip("iminuit")
    norm = pytest.importorskip("numba_stats.norm")
    peak = np.diff(norm.cdf(EDGES, 0.45, 0.03))

    def function(p: np.ndarray) -> float:
        return poisson_nll(p[0] * peak + p[1:] @ BASIS, DATA)

    minuit = iminuit.Minuit(function, [0.0, 2000.0, 0.0, 0.0, 0.0])
    minuit.errordef, minuit.strategy, minuit.tol = 0.5, 2, 1e-5
    minuit.migrad()
    minuit.hesse()
    result = fit(DATA, EDGES, PEAK, CURVE)
    assert result.nll == pytest.approx(minuit.fval, rel=1e-6)
    assert result.nll <= minuit.fval + 1e-9
    assert result.signal_yield == pytest.approx(minuit.values[0], abs=1e-3 * result.error)  # Minuit stops at EDM 1e-8
    assert result.error == pytest.approx(minuit.errors[0], rel=1e-4)  # of Minuit's numerical derivatives
    assert result.covariance == pytest.approx(np.array(minuit.covariance), rel=5e-3, abs=1e-2)


def test_iminuit_agrees_with_nuisances_and_an_exponential() -> None:
    iminuit = pytest.importorskip("iminuit")
    u = np.linspace(0, 1, 41)

    def function(s: float, b: float, slope: float, width: float, efficiency: float) -> float:
        peak, up, down = (fractions(Gaussian(mean=0.45, sigma=0.03 * (1 + k * 0.1)), EDGES) for k in (0, 1, -1))
        morphed = peak + width * 0.5 * (up - down) + 0.5 * width**2 * (up - 2 * peak + down)
        curve = np.diff(np.exp(-slope * u)) / math.expm1(-slope)
        return poisson_nll(s * 1.1**efficiency * morphed + b * curve, DATA) + 0.5 * (width**2 + efficiency**2)

    minuit = iminuit.Minuit(function, s=50, b=2000, slope=0.6, width=0, efficiency=0)
    minuit.errordef, minuit.strategy, minuit.tol = 0.5, 2, 1e-5
    minuit.migrad()
    minuit.hesse()
    result = fit(
        DATA, EDGES, PEAK, Exponential(), resolution_uncertainty=0.1, nuisances=[Nuisance(name="efficiency", signal=0.1)]
    )
    assert result.nll == pytest.approx(minuit.fval, rel=1e-6)
    assert result.signal_yield == pytest.approx(minuit.values["s"], abs=2e-3 * result.error)
    assert result.error == pytest.approx(minuit.errors["s"], rel=1e-3)
    assert result.parameters["slope"] == pytest.approx(minuit.values["slope"], abs=1e-3)


def test_pulls_are_standard_normal() -> None:
    rng, signal, pulls = np.random.default_rng(5), 60.0, []
    for n in rng.poisson(MEAN + signal * fractions(PEAK, EDGES), (600, 40)):
        result = fit(n, EDGES, PEAK, CURVE)
        assert result.converged and not result.at_boundary
        pulls.append((result.signal_yield - signal) / result.error)
    # 3.5 standard errors, and 0.05 for the skewness of a Poisson peak of 60 events over 190
    assert abs(np.mean(pulls)) < 3.5 / math.sqrt(600) + 0.05
    assert abs(np.std(pulls) - 1) < 3.5 / math.sqrt(1200) + 0.02


def test_a_dip_gives_a_negative_yield() -> None:
    result = fit(MEAN - 40 * fractions(PEAK, EDGES), EDGES, PEAK, CURVE)
    assert result.signal_yield == pytest.approx(-40, abs=1e-6)


def test_polynomial_and_chebyshev_are_the_same_curve() -> None:
    one, two = fit(DATA, EDGES, PEAK, CURVE), fit(DATA, EDGES, PEAK, Polynomial(degree=3))
    assert two.signal_yield == pytest.approx(one.signal_yield, rel=1e-8)
    assert two.error == pytest.approx(one.error, rel=1e-6)


def test_a_known_background_in_one_bin_is_a_subtraction() -> None:
    result = fit_templates([25.0], [1.0], [[16.0]], [0.0])
    assert (result.signal_yield, result.error) == pytest.approx((9.0, 5.0), abs=1e-8)


def test_an_empty_bin_stops_the_fit_at_no_events() -> None:
    result = fit_templates([0.0], [1.0], [[3.0]], [0.0])
    assert result.converged and result.at_boundary
    assert result.signal_yield == pytest.approx(-3.0, abs=1e-4)  # barrier 1e-6
    assert result.error == pytest.approx(0.5, abs=1e-3)  # the function rises by one half per half event


@pytest.mark.parametrize("mean", [0.1, 0.3, 0.5, 0.9])
def test_hardly_any_events_still_fit(mean: float) -> None:
    n = np.zeros(40)
    n[[3, 12, 30]] = 1
    result = fit(n, EDGES, Gaussian(mean=mean, sigma=0.03), CURVE)
    assert result.converged and math.isfinite(result.error)
    assert (result.expected > 0).all()
    limit = shape_limit(n, EDGES, Gaussian(mean=mean, sigma=0.03), Chebyshev(degree=1))
    assert limit.converged and limit.observed is not None and 1.5 < limit.observed < 10


@pytest.mark.parametrize("shift", [0.0, 7.0])
def test_events_outside_a_pulled_normalisation(shift: float) -> None:
    """Side bins measure the background better than its constraint; a constraint of 1 % pulls the yield."""
    n, flat, peak = np.full(10, 100.0 + shift), np.full((1, 10), 100.0), np.eye(10)[4]
    free, tight = fit_templates(n, peak, flat, [math.inf]), fit_templates(n, peak, flat, [0.0])
    assert free.signal_yield == pytest.approx(0.0, abs=1e-6)
    assert tight.signal_yield == pytest.approx(shift, abs=1e-6)
    middle = fit_templates(n, peak, flat, [0.01]).signal_yield
    assert min(0, shift) - 1e-6 <= middle <= shift + 1e-6
    assert shift == 0 or 0.5 < middle < shift


def test_two_dimensions_see_a_correlation_that_projections_do_not() -> None:
    x = np.linspace(-1, 1, 12)
    plane = np.exp(-0.5 * ((x[:, None] - x[None, :]) / 0.2) ** 2)
    background = np.ones((1, 12, 12)) * 3.0
    signal = plane / plane.sum()
    n = np.random.default_rng(2).poisson(background[0] + 80 * signal)
    two = fit_templates(n, signal, background, [math.inf])
    assert two.signal_yield == pytest.approx(80, abs=3.5 * two.error)
    one = fit_templates(n.sum(axis=1), signal.sum(axis=1), background.sum(axis=2), [math.inf])
    assert two.error < 0.3 * one.error
    assert two.expected.size == 144


def reference_limit(spec: dict, data: list[float]) -> tuple[float, list[float]]:
    """pyhf's asymptotic 90 % CLs limit and band."""
    pyhf = pytest.importorskip("pyhf")
    from pyhf.infer.intervals.upper_limits import toms748_scan

    model = pyhf.Model(spec, poi_name="mu")
    observed, expected = toms748_scan(data + model.config.auxdata, model, 0.02, 10.0, level=0.1, rtol=1e-5)
    return float(observed), [float(value) for value in expected]


EXPECTED_LIKE, EXCESS, DEFICIT = [22, 17, 17, 12, 10], [22, 24, 27, 16, 9], [17, 14, 9, 8, 12]


@pytest.mark.parametrize(
    ("data", "statistical"),
    [(EXPECTED_LIKE, 0.0), (EXCESS, 0.0), (DEFICIT, 0.0), (EXPECTED_LIKE, 0.1)]
    + [pytest.param(data, 0.1, marks=pytest.mark.study) for data in (EXCESS, DEFICIT)],
)
def test_pyhf_agrees(data: list[float], statistical: float) -> None:
    signal, background = np.array([0.5, 2, 4, 2.5, 1.0]), np.array([20.0, 18, 15, 13, 11])
    factors = [{"name": "norm", "type": "normsys", "data": {"hi": 1.1, "lo": 1 / 1.1}}]
    if statistical:
        factors.append({"name": "mc", "type": "staterror", "data": list(statistical * background)})
    signal_factors = [{"name": "mu", "type": "normfactor", "data": None},
                      {"name": "efficiency", "type": "normsys", "data": {"hi": 1.1, "lo": 1 / 1.1}}]  # fmt: skip
    samples = [{"name": "s", "data": list(signal), "modifiers": signal_factors},
               {"name": "b", "data": list(background), "modifiers": factors}]  # fmt: skip
    observed, expected = reference_limit({"channels": [{"name": "c", "samples": samples}]}, list(map(float, data)))
    templates = Templates(contents=background[None], uncertainties=(0.1,), statistical=np.full(5, statistical))
    limit = shape_limit(data, None, signal, templates, nuisances=[Nuisance(name="efficiency", signal=0.1)])
    assert limit.observed == pytest.approx(observed, rel=1e-3)  # ten times better than asked
    assert limit.expected == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n", "b"), [(0, 1.0), (3, 3.0), (12, 10.0), (100, 90.0)])
def test_one_bin_is_the_bayesian_counting_limit(n: int, b: float) -> None:
    background = Templates(contents=np.array([[b]]), uncertainties=(0.1,), gaussian=True)
    nuisance = Nuisance(name="efficiency", signal=0.1, constraint="gaussian")
    limit = shape_limit([n], None, [1.0], background, nuisances=[nuisance], method="bayesian", n_toys=20)
    exact = upper_limit(n, b, uncertainties=Uncertainties(signal=0.1, background=0.1))
    assert limit.observed == pytest.approx(exact, rel=2e-3)  # Laplace's integral of 10 % systematics


@pytest.mark.parametrize(("events", "tolerance"), [(5, 0.15), (20, 0.10), (200, 0.05)])
def test_asymptotic_against_toys(events: float, tolerance: float) -> None:
    """The asymptotic formula is short of events below about ten; tolerances include 3 % of toy error."""
    shape = np.array([0.05, 0.2, 0.5, 0.2, 0.05])
    model = build([round(events / 5 * f) for f in (1.2, 0.8, 1.0, 1.2, 0.8)], None, shape,
                  Templates(contents=np.full((1, 5), events / 5), uncertainties=(0.1,)))  # fmt: skip
    asymptotic, toys = limit_of_model(model), limit_of_model(model, calculator="toys", n_toys=1500, seed=4)
    assert asymptotic.observed is not None and toys.observed is not None
    assert toys.toy_error < 0.03 * toys.observed
    assert asymptotic.observed == pytest.approx(toys.observed, rel=tolerance)


def test_toys_are_the_same_on_any_number_of_threads() -> None:
    model = build([12, 15, 9], None, [0.2, 0.6, 0.2], Templates(contents=np.full((1, 3), 11.0), uncertainties=(0.2,)))
    found = []
    for count in (1, 2):
        with threads(count):
            found.append(limit_of_model(model, calculator="toys", n_toys=100, seed=9))
    assert found[0].observed == found[1].observed and found[0].expected == found[1].expected
    assert limit_of_model(model, calculator="toys", n_toys=100, seed=10).observed != found[0].observed
    assert (found[0].seed, found[0].n_toys, found[0].cl, found[0].method) == (9, 100, 0.90, "cls")


def test_marginalised_limits_are_above_profiled_ones() -> None:
    background = Templates(contents=np.full((1, 4), 5.0), uncertainties=(0.3,))
    model = build([6, 5, 8, 4], None, [0.1, 0.4, 0.4, 0.1], background)
    both = [limit_of_model(model, method="bayesian", n_toys=20, marginalise=m).observed for m in (True, False)]
    assert both[0] is not None and both[1] is not None
    assert both[1] < both[0] < 1.2 * both[1]


@settings(max_examples=40, deadline=None)
@given(extra=st.integers(1, 40), where=st.integers(16, 19), seed=st.integers(0, 1000))
def test_adding_signal_events_raises_the_yield(extra: int, where: int, seed: int) -> None:
    n = np.random.default_rng(seed).poisson(MEAN).astype(float)
    more = n.copy()
    more[where] += extra
    low, high = fit(n, EDGES, PEAK, CURVE), fit(more, EDGES, PEAK, CURVE)
    assert high.signal_yield > low.signal_yield


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1.5, 50.0), degree=st.integers(0, 3))
def test_expected_limits_scale_with_the_root_of_the_background(scale: float, degree: int) -> None:
    curve = Chebyshev(degree=degree)
    small, large = (shape_limit(MEAN * 20 * f, EDGES, PEAK, curve).expected for f in (1.0, scale))
    assert small is not None and large is not None
    # exact for infinitely many events; 750 under the peak leave a few percent
    assert large[2] == pytest.approx(small[2] * math.sqrt(scale), rel=0.04)


@settings(max_examples=30, deadline=None)
@given(relative=st.floats(0.02, 0.5))
def test_uncertainties_never_help(relative: float) -> None:
    plain = shape_limit(DATA, EDGES, PEAK, CURVE).observed
    blurred = shape_limit(DATA, EDGES, PEAK, CURVE, nuisances=[Nuisance(name="efficiency", signal=relative)]).observed
    assert plain is not None and blurred is not None and blurred >= plain * (1 - 1e-6)


def test_band_and_confidence_are_ordered() -> None:
    limits: list[ShapeLimit] = [shape_limit(DATA, EDGES, PEAK, CURVE, cl=cl) for cl in (0.68, 0.90, 0.95, 0.99)]
    for limit in limits:
        assert limit.expected is not None and list(limit.expected) == sorted(limit.expected)
    observed = [limit.observed for limit in limits]
    assert observed == sorted(observed)  # type: ignore[type-var]
    assert band_targets(0.95)[2] == pytest.approx(1.959964, abs=1e-6)  # the median one-sided CLs limit is 1.96 sigma


def test_radiative_tail_moves_the_yield_up() -> None:
    tail = CrystalBall(mean=0.45, sigma=0.03, alpha=0.8, n=2.0, mirrored=True)
    n = MEAN + 200 * fractions(tail, EDGES)
    with_tail, without = fit(n, EDGES, tail, CURVE), fit(n, EDGES, PEAK, CURVE)
    assert with_tail.signal_yield == pytest.approx(200, abs=1e-5)
    assert without.signal_yield < 190


def test_an_impossible_fit_is_a_result_with_a_reason() -> None:
    # A background that cannot float and a signal elsewhere: the yield is not determined without its own bins.
    limit = shape_limit(np.zeros(3), None, [1.0, 0.0, 0.0], Templates(contents=np.ones((1, 3)), uncertainties=(0.0,)))
    assert limit.converged  # empty data are fine
    assert (
        limit.observed is not None and 1.0 < limit.observed < 2.303
    )  # the exact limit; the asymptotic one is too strong without events


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"counts": -DATA}, "counts"),
        ({"counts": np.full(40, math.nan)}, "counts"),
        ({"counts": DATA[:-1]}, "counts"),
        ({"edges": EDGES[::-1]}, "edges"),
        ({"edges": None}, "edges"),
        ({"signal": Gaussian(mean=99.0)}, "signal"),
        ({"signal": np.ones(3)}, "signal"),
        ({"signal": -np.ones(40)}, "signal"),
        ({"background": Templates(contents=np.ones((1, 3)), uncertainties=(0.1,))}, "background"),
        ({"resolution_uncertainty": 0.9}, "resolution_uncertainty"),
        ({"signal": np.ones(40), "resolution_uncertainty": 0.1}, "resolution_uncertainty"),
        ({"nuisances": [Nuisance(name="a", signal=0.1), Nuisance(name="a", signal=0.2)]}, "nuisances"),
        ({"nuisances": [Nuisance(name="a", background=(0.1, 0.2))]}, "a"),
        ({"cl": 1.0}, "cl"),
        ({"cl": math.nan}, "cl"),
        ({"method": "feldman_cousins"}, "method"),
        ({"calculator": "exact"}, "calculator"),
        ({"seed": -1}, "seed"),
        ({"n_toys": 1}, "n_toys"),
    ],
)
def test_bad_input_is_refused(change: dict, name: str) -> None:
    arguments = {"counts": DATA, "edges": EDGES, "signal": PEAK, "background": CURVE, **change}
    with pytest.raises(ValueError, match=name):
        shape_limit(**arguments)


@pytest.mark.parametrize("size", [1.5, -0.7, math.nan])
def test_bad_nuisances_are_refused(size: float) -> None:
    with pytest.raises(ValueError, match="efficiency"):
        Nuisance(name="efficiency", signal=size)
    with pytest.raises(ValueError, match="constraint"):
        Nuisance(name="efficiency", constraint="flat")  # type: ignore[arg-type]


def test_events_where_nothing_is_expected_are_refused() -> None:
    background: Background = Templates(contents=np.array([[1.0, 0.0]]), uncertainties=(0.1,))
    with pytest.raises(ValueError, match="counts"):
        fit([1, 1], None, [1.0, 0.0], background)
