"""Local to global significance: toys, upcrossings, their agreement, closed forms, shifted binnings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from belle2dark._jit import threads
from belle2dark.limits.background_shapes import Chebyshev
from belle2dark.limits.look_elsewhere import (
    count_upcrossings,
    global_p_value,
    scan_both_binnings,
    shifted_edges,
    toy_scans,
    upcrossings,
    windows_of,
)
from belle2dark.limits.mass_scan import mass_grid, scan

EDGES = np.linspace(0.0, 4.0, 401)
SIGMA = 0.04
MEAN = np.full(400, 60.0)
MASSES = mass_grid(0.5, 3.5, SIGMA)
CURVE = Chebyshev(degree=2)
WINDOWS = windows_of(EDGES, MASSES, SIGMA, background=CURVE)


@pytest.fixture(scope="module")
def curves() -> np.ndarray:
    return toy_scans(MEAN, WINDOWS, n_toys=2000, seed=1)


def test_toys_are_scans() -> None:
    z = toy_scans(MEAN, WINDOWS, n_toys=10, seed=5)
    n = np.random.default_rng(np.random.SeedSequence([5, 0x1EE])).poisson(MEAN, (10, 400))
    found = scan(n[3], EDGES, MASSES, SIGMA, background=CURVE, limits=False)
    assert z[3] == pytest.approx(found.z, abs=1e-3)  # single precision, and other starting points


def test_local_z_is_standard_normal(curves: np.ndarray) -> None:
    middle = curves[:, 75]
    assert middle.mean() == pytest.approx(0.0, abs=3.5 / math.sqrt(2000) + 0.02)  # 0.02: skewness of 700 events
    assert middle.std() == pytest.approx(1.0, abs=3.5 / math.sqrt(4000))


def test_toys_and_upcrossings_agree(curves: np.ndarray) -> None:
    for z in (2.5, 3.0):
        by_toys, by_crossings = global_p_value(z, curves), upcrossings(z, curves)
        error = math.hypot(by_toys.p_error, by_crossings.p_error)
        # The upcrossing formula counts excesses, not scans that have one: above the truth by about p^2/2.
        assert by_toys.p_global == pytest.approx(by_crossings.p_global, abs=3.5 * error + by_crossings.p_global**2)
        assert by_toys.p_local == pytest.approx(float(special.ndtr(-z)), rel=1e-12)
        assert by_toys.p_global > 5 * by_toys.p_local
        assert by_crossings.z_global < z


def test_reference_level_does_not_matter(curves: np.ndarray) -> None:
    values = [upcrossings(4.0, curves, reference=u) for u in (0.3, 0.6, 1.0)]
    for one in values[1:]:
        assert one.p_global == pytest.approx(values[0].p_global, rel=0.10)  # steps of half a resolution miss some wiggles


def test_global_p_value_of_independent_places() -> None:
    """m independent normal hypotheses: p_global = 1 - (1 - p)^m."""
    z = np.random.default_rng(0).standard_normal((20000, 30))
    found = global_p_value(2.5, z)
    expected = 1 - (1 - float(special.ndtr(-2.5))) ** 30
    assert found.p_global == pytest.approx(expected, abs=3.5 * found.p_error)
    assert found.z_global == pytest.approx(float(-special.ndtri(found.p_global)), rel=1e-9)


def test_upcrossings_of_a_smooth_gaussian_process() -> None:
    """Rice: a process of correlation length l crosses u upwards exp(-u^2/2)/(2 pi l) times per unit length."""
    rng = np.random.default_rng(4)
    t = np.linspace(0, 50, 1001)
    waves = rng.normal(0, 1.0, (400, 300))  # frequencies of a squared-exponential correlation with l = 1
    turning, step = np.exp(1j * rng.uniform(0, 2 * np.pi, (400, 300))), np.exp(1j * waves * (t[1] - t[0]))
    curves = np.empty((400, len(t)))
    for k in range(len(t)):
        curves[:, k] = math.sqrt(2 / 300) * turning.real.sum(axis=1)
        turning *= step
    mean = count_upcrossings(curves, 0.5).mean()
    expected = 50 / (2 * math.pi) * math.exp(-0.125)
    assert mean == pytest.approx(expected, rel=0.06)  # 400 toys of 7 crossings: 1.5 %, steps and few waves the rest


def test_no_toy_beyond_is_a_bound(curves: np.ndarray) -> None:
    found = global_p_value(9.0, curves)
    assert found.upper_bound and found.p_global == pytest.approx(1 / 2000)
    assert not global_p_value(1.0, curves).upper_bound
    assert upcrossings(9.0, curves).p_global < 1e-14


def test_toys_do_not_depend_on_threads_or_number() -> None:
    with threads(1):
        one = toy_scans(MEAN, WINDOWS, n_toys=20, seed=3)
    with threads(2):
        two = toy_scans(MEAN, WINDOWS, n_toys=40, seed=3)
    assert (one == two[:20]).all()
    assert not (one == toy_scans(MEAN, WINDOWS, n_toys=20, seed=4)).all()


def test_half_shifted_bins() -> None:
    assert shifted_edges([0.0, 1.0, 3.0]) == pytest.approx([0.5, 2.0])
    rng = np.random.default_rng(8)
    values = np.concatenate([rng.uniform(0, 4, 24000), rng.normal(2.0, SIGMA, 260)])
    plain, shifted = scan_both_binnings(values, EDGES, MASSES, SIGMA, background=CURVE)
    assert plain.converged.all() and shifted.converged.all()
    for found in (plain, shifted):
        assert found.masses[int(np.argmax(found.z))] == pytest.approx(2.0, abs=SIGMA)
    # bins of a quarter resolution: the binning moves z by a fraction of its unit only
    assert np.abs(plain.z - shifted.z).max() < 1.0
    assert np.abs(plain.z - shifted.z).max() > 0.0


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: toy_scans(-MEAN, WINDOWS), "counts"),
        (lambda: toy_scans(MEAN[:10], WINDOWS), "expected"),
        (lambda: toy_scans(MEAN, WINDOWS, n_toys=0), "n_toys"),
        (lambda: toy_scans(MEAN, WINDOWS, seed=-1), "seed"),
        (lambda: global_p_value(math.inf, np.zeros((20, 3))), "z"),
        (lambda: global_p_value(1.0, np.zeros((2, 3))), "toys"),
        (lambda: upcrossings(1.0, np.zeros((20, 3)), reference=2.0), "reference"),
        (lambda: shifted_edges([0.0, 1.0]), "edges"),
        (lambda: scan_both_binnings([math.nan], EDGES, MASSES, SIGMA), "values"),
    ],
)
def test_bad_input_is_refused(call, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        call()
