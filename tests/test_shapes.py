"""Shapes: normalised, bin contents equal to integrals, equal to scipy and numba-stats, bad input refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from belle2dark.limits.background_shapes import (
    Chebyshev,
    Exponential,
    Polynomial,
    Templates,
    columns,
    exponential_columns,
    polynomial_columns,
)
from belle2dark.limits.shapes import (
    CrystalBall,
    DoubleCrystalBall,
    DoubleGaussian,
    Gaussian,
    Shape,
    Template,
    cdf,
    density,
    fractions,
    widened,
)

SHAPES: tuple[Shape, ...] = (
    Gaussian(mean=1.2, sigma=0.3),
    DoubleGaussian(mean=1.2, sigma=0.3, fraction=0.7, ratio=2.0),
    CrystalBall(mean=1.2, sigma=0.3, alpha=1.1, n=2.5),
    CrystalBall(mean=1.2, sigma=0.3, alpha=1.1, n=2.5, mirrored=True),
    DoubleCrystalBall(mean=1.2, sigma=0.3, alpha_low=0.9, n_low=4.0, alpha_high=1.6, n_high=2.0),
    Template(edges=(-1.0, 0.0, 0.5, 2.0), contents=(1.0, 4.0, 3.0), mean=1.2, sigma=0.3),
)
EDGES = np.linspace(-1.0, 3.5, 24)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: type(s).__name__)
def test_bins_hold_the_integral_of_the_density(shape: Shape) -> None:
    breaks = [1.2 + 0.3 * u for u in (-1.1, -1.0, -0.9, 0.0, 0.5, 1.1, 1.6, 2.0)]
    for low, high, value in zip(EDGES[:-1], EDGES[1:], fractions(shape, EDGES), strict=True):
        inside = [b for b in breaks if low < b < high] or None
        expected, _ = integrate.quad(lambda x: float(density(shape, x)), low, high, points=inside, epsabs=1e-12)
        assert value == pytest.approx(expected, abs=1e-9)  # of the quadrature


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: type(s).__name__)
def test_everything_adds_up_to_one(shape: Shape) -> None:
    assert float(cdf(shape, 1e12)) == pytest.approx(1.0, abs=1e-9)  # the n = 2 tail is 1e-12 there
    assert float(cdf(shape, -1e12)) == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(cdf(shape, np.linspace(-5, 8, 500))) >= 0).all()


def test_scipy_agrees() -> None:
    x = np.linspace(-2, 4, 61)
    assert cdf(SHAPES[0], x) == pytest.approx(stats.norm.cdf(x, 1.2, 0.3), abs=1e-14)
    reference = stats.crystalball(1.1, 2.5, 1.2, 0.3)
    assert cdf(SHAPES[2], x) == pytest.approx(reference.cdf(x), abs=1e-12)
    assert density(SHAPES[2], x) == pytest.approx(reference.pdf(x), abs=1e-12)


def test_scipy_agrees_with_two_tails() -> None:
    """Half of one Crystal Ball and half of another, mirrored: as high as each other where they meet, and of area 1 together."""
    x, middle = np.linspace(-2, 4, 61), 1.2
    low, high = stats.crystalball(0.9, 4.0, middle, 0.3), stats.crystalball(1.6, 2.0, middle, 0.3)
    areas = [part.cdf(middle) / part.pdf(middle) for part in (low, high)]
    heights = [1.0 / (sum(areas) * part.pdf(middle)) for part in (low, high)]
    back = 2 * middle - x
    assert cdf(SHAPES[4], x) == pytest.approx(
        np.where(x < middle, heights[0] * low.cdf(x), 1.0 - heights[1] * high.cdf(back)), abs=1e-10
    )
    assert density(SHAPES[4], x) == pytest.approx(
        np.where(x < middle, heights[0] * low.pdf(x), heights[1] * high.pdf(back)), abs=1e-10
    )


def test_a_mirrored_tail_is_the_mirror_image() -> None:
    plain, mirrored = CrystalBall(alpha=1.3, n=2.2), CrystalBall(alpha=1.3, n=2.2, mirrored=True)
    u = np.linspace(-6, 6, 50)
    assert density(mirrored, u) == pytest.approx(density(plain, -u), rel=1e-12)
    assert cdf(mirrored, u) == pytest.approx(1 - cdf(plain, -u), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(alpha=st.floats(0.3, 4.0), n=st.floats(1.1, 30.0), factor=st.floats(0.2, 4.0))
def test_density_is_continuous_and_width_scales(alpha: float, n: float, factor: float) -> None:
    shape = DoubleCrystalBall(alpha_low=alpha, n_low=n)
    around = density(shape, np.array([-alpha - 1e-9, -alpha + 1e-9]))
    assert around[0] == pytest.approx(around[1], rel=1e-6)
    assert float(density(widened(shape, factor), 0.0)) == pytest.approx(float(density(shape, 0.0)) / factor, rel=1e-12)


@pytest.mark.parametrize("chebyshev", [False, True])
def test_polynomial_columns_are_integrals(chebyshev: bool) -> None:
    edges = np.array([-1.0, -0.7, 0.1, 0.4, 1.0])
    value = polynomial_columns(edges, 5, chebyshev)
    for k in range(6):
        basis = np.polynomial.Chebyshev.basis(k) if chebyshev else np.polynomial.Polynomial.basis(k)
        whole = basis.integ()
        assert value[k] == pytest.approx(0.5 * np.diff(whole(edges)), abs=1e-14)


def test_first_column_is_positive_and_normalised() -> None:
    for background in (Polynomial(degree=3), Chebyshev(degree=3), Exponential(slope=3.0)):
        first = columns(background, [0.0, 0.5, 2.0, 5.0])[0]
        assert (first > 0).all()
        assert first.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("slope", [-30.0, -1.0, 0.0, 2.5, 40.0])
def test_exponential_and_its_derivatives(slope: float) -> None:
    u = np.linspace(0, 1, 41)
    value, first, second = exponential_columns(u, slope)
    expected = np.diff(np.exp(-slope * u)) / (math.exp(-slope) - 1) if slope else np.diff(u)
    assert value == pytest.approx(expected, rel=1e-9)  # eight-point quadrature of an exponential over one bin
    h = 1e-4
    up, down = exponential_columns(u, slope + h), exponential_columns(u, slope - h)
    assert first == pytest.approx((up[0] - down[0]) / (2 * h), abs=1e-8)  # h^2 of the difference
    assert second == pytest.approx((up[1] - down[1]) / (2 * h), abs=1e-8)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Gaussian(sigma=0.0), "sigma"),
        (lambda: Gaussian(mean=math.nan), "mean"),
        (lambda: DoubleGaussian(fraction=1.2), "fraction"),
        (lambda: CrystalBall(n=1.0), "n"),
        (lambda: DoubleCrystalBall(alpha_high=-1.0), "alpha_high"),
        (lambda: Template(edges=(0.0, 1.0), contents=(1.0, 2.0)), "contents"),
        (lambda: Template(edges=(1.0, 0.0), contents=(1.0,)), "edges"),
        (lambda: Template(edges=(0.0, 1.0), contents=(-1.0,)), "contents"),
        (lambda: Chebyshev(degree=9), "degree"),
        (lambda: Polynomial(degree=-1), "degree"),
        (lambda: Exponential(slope=99.0), "slope"),
        (lambda: Templates(contents=np.ones((2, 3)), uncertainties=(0.1,)), "uncertainties"),
        (lambda: Templates(contents=np.ones((1, 3)), uncertainties=(1.5,)), "uncertainties"),
        (lambda: Templates(contents=-np.ones((1, 3)), uncertainties=(0.5,)), "contents"),
        (lambda: Templates(contents=np.ones((1, 3)), uncertainties=(0.5,), statistical=np.ones(2)), "statistical"),
        (lambda: fractions(Gaussian(), [0.0]), "edges"),
        (lambda: fractions(Gaussian(), [0.0, math.inf]), "edges"),
    ],
)
def test_bad_shapes_are_refused(make, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        make()
