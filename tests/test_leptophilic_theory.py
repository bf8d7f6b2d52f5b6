"""Scalar and axion-like particle with couplings in proportion to lepton masses: widths, loops, branching fractions, lifetime."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from scipy.integrate import dblquad

from belle2dark.constants import ALPHA, HBAR_C, HIGGS_VEV, M_ELECTRON, M_MUON, M_TAU
from belle2dark.theory.leptophilic import (
    LEPTON_ALP,
    LEPTOPHILIC,
    axion_loop,
    pseudoscalar_to_fermions,
    scalar_loop,
    scalar_to_fermions,
)


def feynman(t: float, numerator: float) -> float:
    """The loop below threshold as an integral over Feynman parameters: int (1 - numerator x y) / (1 - 4 t x y), x + y < 1."""
    value, _ = dblquad(lambda y, x: (1 - numerator * x * y) / (1 - 4 * t * x * y), 0, 1, 0, lambda x: 1 - x, epsabs=1e-10)
    return float(value)


@pytest.mark.parametrize("t", [1e-5, 9.9e-4, 1.01e-3, 0.1, 0.5, 0.97])
def test_loops_are_their_feynman_integrals(t: float) -> None:
    """The scalar has 1 - 4 x y in the numerator, the pseudoscalar 1; both are normalised to their integral."""
    assert complex(scalar_loop(t)) == pytest.approx(4 * feynman(t, 4.0), rel=1e-6)
    # without the anomaly, which cancels half of the amplitude of a heavy fermion: 1 - 2 x the integral
    assert complex(axion_loop(t)) == pytest.approx(1 - 2 * feynman(t, 0.0), rel=1e-6, abs=1e-8)


def test_loops_have_the_known_limits() -> None:
    assert complex(scalar_loop(0.0)) == pytest.approx(4 / 3) and complex(axion_loop(0.0)) == 0.0
    assert complex(scalar_loop(1.0)) == pytest.approx(2.0) and complex(axion_loop(1.0)) == pytest.approx(1 - math.pi**2 / 4)
    for loop in (scalar_loop, axion_loop):
        assert complex(loop(1 - 1e-10)) == pytest.approx(complex(loop(1 + 1e-10)), rel=1e-3)
        # light fermions: a squared logarithm over t is left
        assert abs(complex(loop(1e8)) - (loop is axion_loop)) < 1e-5
    # unitarity: the imaginary part is that of real leptons turning into photons, it opens at threshold
    assert scalar_loop(0.9).imag == 0.0 and scalar_loop(1.1).imag > 0.0
    t = 50.0
    root = math.sqrt(1 - 1 / t)
    cut = math.pi * math.log((1 + root) / (1 - root)) / t
    assert scalar_loop(t).imag == pytest.approx((t - 1) / t * cut, rel=1e-10)
    assert axion_loop(t).imag == pytest.approx(-cut / 2, rel=1e-10)


def test_scalar_photon_width_is_that_of_the_higgs_boson() -> None:
    """G_F alpha^2 m^3 / (128 sqrt2 pi^3) |sum A|^2 with G_F = 1 / sqrt2 v^2, and xi = 1."""
    for mass in (0.05, 0.2, 1.0, 5.0):
        loops = sum(complex(scalar_loop((mass / 2 / m) ** 2)) for m in (M_ELECTRON, M_MUON, M_TAU))
        fermi = 1 / (math.sqrt(2) * HIGGS_VEV**2)
        width = fermi * ALPHA["thomson"] ** 2 * mass**3 / (128 * math.sqrt(2) * math.pi**3) * abs(loops) ** 2
        assert LEPTOPHILIC.partial_width("gammagamma", mass) == pytest.approx(width, rel=1e-12)


@pytest.mark.parametrize("model", [LEPTOPHILIC, LEPTON_ALP])
def test_widths_scale_add_up_and_close(model) -> None:
    ((coupling, _),) = model.reference_couplings
    mass = np.geomspace(0.04, 10, 80)
    parts = model.partial_widths(mass, {coupling: 2.0})
    assert sum(parts.values()) == pytest.approx(model.total_width(mass, {coupling: 2.0}))
    assert 9 * model.total_width(mass, {coupling: 2.0}) == pytest.approx(model.total_width(mass, {coupling: 6.0}))
    assert sum(model.branching_fraction(c, mass) for c in parts) == pytest.approx(np.ones(80))
    for channel, m in (("mumu", M_MUON), ("tautau", M_TAU)):
        assert np.all(parts[channel][mass < 2 * m] == 0) and np.all(parts[channel][mass > 2 * m] > 0)
    assert model.ctau(1.0, {coupling: 1e-3}) == pytest.approx(1e6 * model.ctau(1.0))
    assert model.production({coupling: 3.0}) == pytest.approx(9.0)
    assert pickle.loads(pickle.dumps(model)).total_width(1.0) == model.total_width(1.0)


def test_decays_go_with_the_squared_lepton_mass_far_above_threshold() -> None:
    for model in (LEPTOPHILIC, LEPTON_ALP):
        parts = model.partial_widths(1e4)
        assert parts["tautau"] / parts["mumu"] == pytest.approx((M_TAU / M_MUON) ** 2, rel=1e-5)
        assert parts["mumu"] / parts["ee"] == pytest.approx((M_MUON / M_ELECTRON) ** 2, rel=1e-5)


def test_threshold_p_wave_of_the_scalar_and_s_wave_of_the_pseudoscalar() -> None:
    beta = 0.01
    near = 2 * M_TAU / math.sqrt(1 - beta**2)
    assert scalar_to_fermions(near, M_TAU, 1.0) == pytest.approx(near / (8 * math.pi) * beta**3, rel=1e-9)
    assert pseudoscalar_to_fermions(near, M_TAU, 1.0) == pytest.approx(near / (8 * math.pi) * beta, rel=1e-9)


def test_muon_fraction_of_the_scalar_collapses_when_taus_open() -> None:
    """1 below 2 m_tau, 0.23 within 100 MeV of it: why searches with muon pairs end there."""
    assert LEPTOPHILIC.branching_fraction("mumu", 2 * M_TAU - 1e-4) > 0.999
    masses = 2 * M_TAU + np.linspace(0.0, 0.1, 200)
    share = LEPTOPHILIC.branching_fraction("mumu", masses)
    assert np.all(np.diff(share) < 0) and share[-1] < 0.23
    beta = np.sqrt(1 - (2 * M_TAU / masses) ** 2)
    assert share == pytest.approx(1 / (1 + (M_TAU / M_MUON) ** 2 * beta**3 / (1 - (2 * M_MUON / masses) ** 2) ** 1.5), rel=1e-3)


def test_photons_take_up_to_a_fifth_below_twice_the_muon_mass() -> None:
    share = LEPTOPHILIC.branching_fraction("gammagamma", np.array([0.05, 0.1, 0.2, 2 * M_MUON - 1e-5]))
    assert np.all(np.diff(share) > 0) and 0.005 < share[0] < 0.02 and share[2] == pytest.approx(0.20, abs=0.01)
    # and next to nothing above
    for model in (LEPTOPHILIC, LEPTON_ALP):
        assert np.all(model.branching_fraction("gammagamma", np.linspace(0.3, 10.0, 50)) < 2e-3)


def test_decay_length_at_the_published_couplings() -> None:
    """Centimetres below twice the muon mass, a micrometre above; photons shorten the life by their share."""
    for mass, xi in ((0.10, 0.45), (0.16, 0.321)):
        electrons = HBAR_C * 8 * math.pi * HIGGS_VEV**2 / (xi**2 * M_ELECTRON**2 * mass)
        photons = float(LEPTOPHILIC.branching_fraction("gammagamma", mass))
        assert LEPTOPHILIC.ctau(mass, {"xi": xi}) == pytest.approx(electrons * (1 - photons), rel=1e-3)
        assert 3.0 < electrons < 9.0
        assert LEPTOPHILIC.ctau(0.25, {"xi": xi}) < 1e-3


def test_bad_input_names_coupling_and_range() -> None:
    with pytest.raises(ValueError, match="nearest: xi"):
        LEPTOPHILIC.total_width(1.0, {"x": 1.0})
    with pytest.raises(ValueError, match="positive"):
        LEPTON_ALP.total_width(-1.0)
    with pytest.raises(ValueError, match="nearest: tautau"):
        LEPTON_ALP.branching_fraction("tau", 5.0)
