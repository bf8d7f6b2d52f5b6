"""Mass scans: peaks are found where they are, every window is the single fit, failures stay alone, expected limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belle2dark._jit import threads
from belle2dark.limits.background_shapes import Chebyshev, Exponential, Polynomial, Templates
from belle2dark.limits.mass_scan import ScanResult, expected_limits, mass_grid, scan
from belle2dark.limits.scan_windows import make_windows
from belle2dark.limits.shape_fit import fit
from belle2dark.limits.shape_limit import shape_limit
from belle2dark.limits.shapes import CrystalBall, Gaussian, fractions

EDGES = np.linspace(0.0, 10.0, 1001)
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])
SIGMA = 0.04
MEAN = 80 * np.exp(-0.15 * CENTRES)
DATA = np.random.default_rng(3).poisson(MEAN + 150 * fractions(Gaussian(mean=5.0, sigma=SIGMA), EDGES)).astype(float)
MASSES = mass_grid(0.5, 9.5, SIGMA)


@pytest.fixture(scope="module")
def result() -> ScanResult:
    return scan(DATA, EDGES, MASSES, SIGMA)


def test_steps_are_half_a_resolution() -> None:
    assert np.diff(MASSES) == pytest.approx(0.02, abs=1e-12)
    growing = mass_grid(1.0, 9.0, lambda m: 0.01 * m)
    assert np.diff(growing) / growing[:-1] == pytest.approx(0.005, rel=1e-9)
    assert growing[0] == 1.0 and 8.9 < growing[-1] <= 9.0


def test_the_peak_is_found(result: ScanResult) -> None:
    best = int(np.argmax(result.z))
    assert result.masses[best] == pytest.approx(5.0, abs=SIGMA)
    assert result.signal_yield[best] == pytest.approx(150, abs=3.5 * result.error[best])
    assert result.z[best] > 5
    assert result.p_value[best] == pytest.approx(0.5 * math.erfc(result.z[best] / math.sqrt(2)), rel=1e-9)


def test_away_from_the_peak_z_is_standard_normal(result: ScanResult) -> None:
    away = np.abs(result.masses - 5.0) > 0.6
    # 390 hypotheses in steps of half a resolution are about 100 independent ones: widths to 7 %, 3 sigma
    assert abs(result.z[away].std() - 1) < 0.21
    assert abs(result.z[away].mean()) < 0.3


@pytest.mark.parametrize("index", [0, 37, 225, 449])
def test_every_window_is_the_single_fit(result: ScanResult, index: int) -> None:
    windows = make_windows(EDGES, MASSES, SIGMA, Gaussian(), Chebyshev(degree=3))
    low = windows.first[index]
    high = low + windows.size[index]
    arguments = (DATA[low:high], EDGES[low : high + 1], Gaussian(mean=MASSES[index], sigma=SIGMA), Chebyshev(degree=3))
    one, limit = fit(*arguments), shape_limit(*arguments)
    assert result.signal_yield[index] == pytest.approx(one.signal_yield, abs=1e-4 * one.error)
    assert result.error[index] == pytest.approx(one.error, rel=1e-4)
    assert result.observed[index] == pytest.approx(limit.observed, rel=1e-5)
    assert result.expected[index] == pytest.approx(limit.expected, rel=1e-5)
    assert result.events[index] == DATA[low:high].sum()


def test_the_slow_road_gives_the_same(result: ScanResult) -> None:
    some = MASSES[::90]
    slow = scan(DATA, EDGES, some, SIGMA, signal=lambda m: Gaussian(mean=m, sigma=SIGMA))
    assert slow.signal_yield == pytest.approx(result.signal_yield[::90], abs=1e-2)  # of errors of 25
    assert slow.z == pytest.approx(result.z[::90], abs=1e-4)
    assert slow.observed == pytest.approx(result.observed[::90], rel=1e-5)
    uncertain = scan(DATA, EDGES, some, SIGMA, signal_uncertainty=0.1)
    slowly = scan(DATA, EDGES, some, SIGMA, signal=lambda m: Gaussian(mean=m, sigma=SIGMA), signal_uncertainty=0.1)
    assert uncertain.observed == pytest.approx(slowly.observed, rel=1e-4)
    assert (uncertain.observed > result.observed[::90]).all()


def test_other_backgrounds_and_tails() -> None:
    some = MASSES[20:430:60]
    exponential = scan(DATA, EDGES, some, SIGMA, background=Exponential())
    template = scan(DATA, EDGES, some, SIGMA, background=Templates(contents=MEAN[None, :], uncertainties=(math.inf,)))
    tail = scan(DATA, EDGES, some, SIGMA, signal=CrystalBall(alpha=1.0, n=3.0, mirrored=True))
    for other in (exponential, template, tail):
        assert other.converged.all()
        assert (other.observed > 0).all() and (np.diff(other.expected, axis=1) > 0).all()
    # The template knows the slope and the exponential finds it: both beat a cubic, and agree.
    cubic = scan(DATA, EDGES, some, SIGMA)
    assert (template.error < cubic.error).all() and (exponential.error < cubic.error).all()
    assert exponential.error == pytest.approx(template.error, rel=0.02)


def test_one_failure_is_reported_and_the_rest_survive() -> None:
    found = scan(DATA, EDGES, [-3.0, 0.0, 5.0, 10.0, 12.0], [SIGMA, 0.001, SIGMA, SIGMA, SIGMA])
    assert found.converged.tolist() == [False, False, True, True, False]
    assert "outside" in found.reasons[0] and "bins" in found.reasons[1] and found.reasons[2] == ""
    for array in (found.signal_yield, found.error, found.z, found.p_value, found.observed, found.expected):
        assert np.isfinite(array).all()
    assert found.signal_yield[0] == 0 and found.p_value[0] == 0.5
    assert found.z[2] > 5


def test_a_failing_shape_is_reported_too() -> None:
    def shape(mass: float) -> Gaussian:
        return Gaussian(mean=mass, sigma=SIGMA if mass < 6 else -1.0)

    found = scan(DATA, EDGES, [5.0, 7.0], SIGMA, signal=shape)
    assert found.converged.tolist() == [True, False]
    assert "sigma" in found.reasons[1]


def test_empty_windows_have_a_limit() -> None:
    found = scan(np.zeros(1000), EDGES, MASSES[::50], SIGMA, background=Chebyshev(degree=1))
    assert found.converged.all()
    assert ((found.observed > 0.5) & (found.observed < 5)).all()


def test_the_same_on_any_number_of_threads(result: ScanResult) -> None:
    with threads(1):
        again = scan(DATA, EDGES, MASSES, SIGMA)
    for name in ("signal_yield", "error", "z", "observed", "expected"):
        assert (getattr(again, name) == getattr(result, name)).all()


def test_expected_limits_follow_the_luminosity() -> None:
    windows = make_windows(EDGES, MASSES[::10], SIGMA, Gaussian(), Chebyshev(degree=3))
    one, good = expected_limits(MEAN * 100, windows)
    four, _ = expected_limits(MEAN * 400, windows)
    assert good.all()
    assert four == pytest.approx(2 * one, rel=0.01)  # 1/sqrt(events) of 5e4 per window is below 1 %
    band, _ = expected_limits(MEAN * 100, windows, sigmas=(-1.0, 0.0, 1.0))
    assert band[:, 1] == pytest.approx(one[:, 0], rel=1e-6)
    assert (np.diff(band, axis=1) > 0).all()
    # 1.645 sigma at 90 %: the median CLs limit of a flat prior and a Gaussian likelihood
    errors = scan(MEAN * 100, EDGES, MASSES[::10], SIGMA, limits=False).error
    assert one[:, 0] == pytest.approx(1.6449 * errors, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(degree=st.integers(0, 4), window=st.floats(5.0, 25.0), seed=st.integers(0, 1000))
def test_any_window_works_and_the_basis_does_not_matter(degree: int, window: float, seed: int) -> None:
    n = np.random.default_rng(seed).poisson(MEAN)
    some = MASSES[30:400:120]
    one = scan(n, EDGES, some, SIGMA, background=Chebyshev(degree=degree), window=window, limits=False)
    two = scan(n, EDGES, some, SIGMA, background=Polynomial(degree=degree), window=window, limits=False)
    assert one.converged.all() and two.converged.all()
    assert one.z == pytest.approx(two.z, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"counts": DATA[:-1]}, "counts"),
        ({"counts": -DATA}, "counts"),
        ({"edges": EDGES[::-1]}, "edges"),
        ({"masses": [math.nan]}, "masses"),
        ({"masses": []}, "masses"),
        ({"resolution": 0.0}, "resolution"),
        ({"resolution": [0.1, 0.2, 0.3]}, "resolution"),
        ({"window": 0.1}, "window"),
        ({"cl": 1.5}, "cl"),
        ({"signal_uncertainty": 2.0}, "signal_uncertainty"),
    ],
)
def test_bad_input_is_refused(change: dict, name: str) -> None:
    arguments = {"counts": DATA, "edges": EDGES, "masses": MASSES, "resolution": SIGMA, **change}
    with pytest.raises(ValueError, match=name):
        scan(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"), [((2.0, 1.0, 0.1), "low"), ((1.0, 2.0, 0.0), "resolution"), ((0.0, 1e9, 1e-3), "resolution")]
)
def test_bad_grids_are_refused(arguments: tuple, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        mass_grid(*arguments)
    with pytest.raises(ValueError, match="step"):
        mass_grid(1.0, 2.0, 0.1, step=0.0)
