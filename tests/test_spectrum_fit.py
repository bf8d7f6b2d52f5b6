"""A fit of a spectrum: closed forms of Gaussian measurements, what each uncertainty costs, and what the fit cannot do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from belle2dark.fitting import Histograms
from belle2dark.limits.counting import Uncertainties
from belle2dark.spectrum_fit import SpectrumFit, strength, upper

EDGES = tuple(np.linspace(0.0, 1.6, 41))
X = 0.5 * (np.array(EDGES)[1:] + np.array(EDGES)[:-1])
FIT = SpectrumFit(x_edges=EDGES, y_edges=(0.0, 1.0, 2.0, 4.0), correlation_length=0.1, line="line", line_factor=2.0)
NOTHING = Uncertainties()


def spectra(events=1e5, peak=1.0, sigma=0.1):
    """A broad background in three rows that share it unevenly along x, a line in it, and a signal peak."""
    shape = X**2 * np.exp(-((X / 0.8) ** 3))
    rows = np.stack([np.exp(-X), 0.5 + 0.0 * X, X], axis=1)
    background = events * (shape / shape.sum())[:, None] * rows / rows.sum(axis=1, keepdims=True)
    bump = np.exp(-0.5 * ((X - peak) / sigma) ** 2)
    signal = (bump / bump.sum())[:, None] * rows / rows.sum(axis=1, keepdims=True)
    line = 0.05 * events * signal
    return Histograms(x_edges=np.array(EDGES), y_edges=np.array(FIT.y_edges), signal=signal,
                      background={"smooth": background, "line": line}, error=np.zeros_like(signal))  # fmt: skip


def limit(found=None, luminosity=1.0, cl=0.9, uncertainties=NOTHING, observed=None, fit=FIT):
    return fit.limit(found or spectra(), luminosity, cl=cl, method="cls", uncertainties=uncertainties, observed=observed)


def test_statistics_alone_is_the_weighted_least_squares_error():
    """One signal and a free normalisation: the error of a least-squares fit, found here by minimising chi squared."""
    found = spectra()
    total = sum(found.background.values()).sum(axis=1)
    signal = found.signal.sum(axis=1)
    design = np.stack([signal, total], axis=1) / np.sqrt(total)[:, None]
    sigma = math.sqrt(np.linalg.inv(design.T @ design)[0, 0])
    assert limit()[0][2] == pytest.approx(ndtri(0.95) * sigma, rel=1e-6)
    assert ndtri(0.95) == pytest.approx(1.6449, abs=1e-4)


@pytest.mark.parametrize("cl", [0.9, 0.95])
@pytest.mark.parametrize("best", [-1.3, 0.0, 0.7, 2.5])
def test_limits_are_cls_and_flat_prior_limits_at_once(cl, best):
    """Tail over power: (1 - Phi(u - b)) / Phi(b) = 1 - cl, which is the posterior tail of a flat prior as well."""
    u = float(upper(np.array([best]), 0.0, cl)[0])
    assert (1.0 - ndtr(u - best)) / ndtr(best) == pytest.approx(1.0 - cl, rel=1e-9)
    mu = np.linspace(0.0, 12.0, 400_001)
    posterior = np.exp(-0.5 * (mu - best) ** 2)
    assert posterior[mu > u].sum() / posterior.sum() == pytest.approx(1.0 - cl, rel=1e-3)  # steps of the grid


def test_an_uncertain_scale_weakens_limits_and_too_uncertain_a_scale_has_none():
    sharp, blurred = (float(upper(np.array([0.0]), delta, 0.9)[0]) for delta in (0.0, 0.2))
    # u = t sqrt(1 + delta^2 u^2) with t = 1.645
    assert blurred == pytest.approx(sharp / math.sqrt(1.0 - (0.2 * sharp) ** 2), rel=1e-9)
    with pytest.raises(ValueError, match=r"uncertain by 0\.7"):
        upper(np.array([0.0]), 0.7, 0.9)


def test_the_free_normalisation_takes_what_looks_like_the_background():
    """A signal with the spectrum of the background cannot be told from it; counts scaled by any factor are no signal."""
    found = spectra()
    total, signal = sum(found.background.values()).sum(axis=1), found.signal.sum(axis=1)
    covariance = np.diag(total)
    with pytest.raises(ValueError, match="spectra are the same"):
        strength(total.copy(), total, covariance, total)
    sigma, best = strength(signal, total, covariance, 1.07 * total)
    assert abs(best) < 1e-6 * sigma
    assert strength(signal, total, covariance, total + 50.0 * signal)[1] == pytest.approx(50.0, rel=1e-9)


def test_generalised_least_squares_by_minimisation():
    """The closed form against a minimiser that floats the strength, the normalisation and every deformation of the template."""
    found, uncertainties = spectra(2e4), Uncertainties(background=0.01, correlated=0.02)
    covariance = FIT.covariance(dict(found.background), uncertainties)
    total, signal = sum(found.background.values()).sum(axis=1), found.signal.sum(axis=1)
    rng = np.random.default_rng(4)
    counts = total + np.linalg.cholesky(covariance) @ rng.standard_normal(len(total))
    inverse = np.linalg.inv(covariance)

    def chi2(p):
        residual = counts - 1e3 * p[0] * signal - p[1] * total
        return residual @ inverse @ residual

    best = minimize(chi2, [0.0, 1.0], tol=1e-12)
    assert strength(signal, total, covariance, counts)[1] == pytest.approx(1e3 * best.x[0], rel=1e-3, abs=0.5)


def test_covariance_is_made_of_what_it_says():
    found, sizes = spectra(), Uncertainties(background=0.003, correlated=0.01)
    parts = dict(found.background)
    contents = sum(parts.values())
    total = contents.sum(axis=1)
    none = FIT.covariance(parts, NOTHING)
    assert np.allclose(none, np.diag(total), rtol=1e-12)
    smooth = FIT.covariance(parts, Uncertainties(background=0.003)) - none
    near, far = smooth[10, 12] / (total[10] * total[12]), smooth[10, 35] / (total[10] * total[35])
    assert smooth[10, 10] == pytest.approx((0.003 * total[10]) ** 2, rel=1e-9)
    # a Gaussian correlation: two bins of 0.04 apart exp(-0.32), a whole unit apart nothing
    assert near / 0.003**2 == pytest.approx(math.exp(-0.5 * 0.8**2), rel=1e-9) and far < 1e-20
    known = FIT.covariance(parts, Uncertainties(correlated=0.01)) - none
    rows = sum(0.01**2 * contents[:, k, None] * contents[None, :, k] for k in range(3))
    line = parts["line"].sum(axis=1)
    assert np.allclose(known, rows + 0.02**2 * np.outer(line, line), rtol=1e-9)
    both = FIT.covariance(parts, sizes)
    assert np.linalg.eigvalsh(both).min() > 0


def test_each_uncertainty_costs_something_and_one_bin_of_momentum_costs_nothing():
    """Moving the whole template is what the free normalisation allows anyway; unequal rows deform the spectrum."""
    alone = limit()[0][2]
    for uncertainties in (Uncertainties(background=0.003), Uncertainties(correlated=0.01), Uncertainties(signal=0.1)):
        assert limit(uncertainties=uncertainties)[0][2] > 1.005 * alone
    one = SpectrumFit(x_edges=EDGES, y_edges=(0.0, 4.0), correlation_length=0.1)
    found = spectra()
    merged = Histograms(x_edges=found.x_edges, y_edges=np.array(one.y_edges), signal=found.signal.sum(axis=1, keepdims=True),
                        background={k: v.sum(axis=1, keepdims=True) for k, v in found.background.items()},
                        error=np.zeros((40, 1)))  # fmt: skip
    assert limit(merged, uncertainties=Uncertainties(correlated=1e-4), fit=one)[0][2] == pytest.approx(alone, rel=1e-6)
    stiff = SpectrumFit(x_edges=EDGES, y_edges=(0.0, 4.0), correlation_length=100.0)
    assert limit(merged, uncertainties=Uncertainties(background=0.05), fit=stiff)[0][2] == pytest.approx(alone, rel=1e-3)


def test_luminosity_helps_until_the_template_decides():
    """1/sqrt(L) with statistics alone, then flat: the rate at which the template's shape is known."""
    sizes = Uncertainties(background=0.003, correlated=0.01)
    assert limit(luminosity=4.0)[0][2] == pytest.approx(limit()[0][2] / 2.0, rel=1e-6)
    many = [limit(luminosity=x, uncertainties=sizes)[0][2] for x in (1.0, 100.0, 10_000.0)]
    assert many[0] > many[1] > many[2] and many[1] / many[2] < 3.0


def test_pseudo_experiments_cover_and_their_median_is_the_expected_limit():
    """Without signal observed limits scatter as the band says; with one, at most 10 % of them lie below it (CLs over-covers)."""
    found, sizes = spectra(3e4), Uncertainties(correlated=0.005, background=0.002)
    contents = sum(found.background.values())
    expected = limit(found, uncertainties=sizes)[0]
    rng = np.random.default_rng(8)
    covariance = FIT.covariance(dict(found.background), sizes) - np.diag(contents.sum(axis=1))
    root = np.linalg.cholesky(covariance + 1e-9 * np.diag(contents.sum(axis=1)))
    centres = np.array(EDGES)[:-1] + 0.02

    def toys(mu, n):
        out = []
        for _ in range(n):
            shape = np.maximum(contents.sum(axis=1) + root @ rng.standard_normal(40), 0.0) + mu * found.signal.sum(axis=1)
            x = np.repeat(centres, rng.poisson(shape))
            out.append(limit(found, uncertainties=sizes, observed=(x, np.full(len(x), 1.5)))[1])
        return np.array(out)

    blank = toys(0.0, 300)
    # a median of 300: 1.25 sigma / sqrt(300), 7 % of a standard deviation, which is 0.6 of the median limit
    assert np.median(blank) == pytest.approx(expected[2], rel=3 * 0.072 * 0.6)
    inside = np.mean((blank > expected[1]) & (blank < expected[3]))
    assert inside == pytest.approx(0.683, abs=3 * math.sqrt(0.683 * 0.317 / 300))
    true = expected[2]
    assert np.mean(toys(true, 300) < true) < 0.1 + 3 * math.sqrt(0.09 / 300)


def test_bad_input():
    with pytest.raises(ValueError, match="method = 'feldman_cousins'"):
        FIT.limit(spectra(), 1.0, cl=0.9, method="feldman_cousins", uncertainties=NOTHING)
    empty = spectra()
    nothing = Histograms(x_edges=empty.x_edges, y_edges=empty.y_edges, signal=0.0 * empty.signal, background=empty.background,
                         error=empty.error)  # fmt: skip
    with pytest.raises(ValueError, match="no signal"):
        limit(nothing)
