"""Running coupling against closed forms, the optical theorem and the published value at the Z mass."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory.r_ratio import r_ratio
from belle2dark.theory.vacuum_polarisation import delta_alpha, hadronic, leptonic, running_factor

ALPHA0 = ALPHA["thomson"]
NUMBERS = load_numbers("vacuum_polarisation")


def test_leptons_far_above_threshold():
    """alpha/3 pi (ln |s|/m^2 - 5/3) per lepton, space-like and real there; terms of order m^2/s are 1e-3 for the tau."""
    s = -(100.0**2)
    expected = ALPHA0 / (3 * math.pi) * sum(math.log(-s / m**2) - 5 / 3 for m in (M_ELECTRON, M_MUON, M_TAU))
    assert complex(leptonic(s)).imag == 0.0
    assert complex(leptonic(s)).real == pytest.approx(expected, rel=1e-3)


def test_leptons_far_below_threshold():
    """alpha s/(15 pi m^2) per lepton: decoupling."""
    s = -((1e-3 * M_ELECTRON) ** 2)
    expected = -ALPHA0 * s / (15 * math.pi) * sum(m**-2 for m in (M_ELECTRON, M_MUON, M_TAU))
    assert complex(leptonic(s)).real == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ratio", [1e-6, 0.999e-3, 1.001e-3, 0.3, 40.0])
def test_leptons_are_the_parameter_integral(ratio):
    """2 alpha/pi Int dx x (1 - x) ln(1 - x (1 - x) s/m^2), at s = - ratio m_mu^2: below, across and above every threshold."""
    s = -ratio * M_MUON**2
    expected = sum(
        quad(lambda x, m=m: x * (1 - x) * math.log1p(-x * (1 - x) * s / m**2), 0, 0.5, epsabs=1e-14, epsrel=1e-10)[0]
        for m in (M_ELECTRON, M_MUON, M_TAU)
    )
    assert complex(leptonic(s)).real == pytest.approx(4 * ALPHA0 / math.pi * expected, rel=1e-7)


def test_imaginary_part_is_the_rate():
    """Im = - alpha/3 R, with R = 1 (1 + m^2 2/s) v per lepton and the table's for hadrons, away from poles and steps."""
    energy = 7.0
    lepton = sum(math.sqrt(1 - 4 * m**2 / energy**2) * (1 + 2 * m**2 / energy**2) for m in (M_ELECTRON, M_MUON, M_TAU))
    # 1 %: the average over 0.1 GeV, and the trapezoidal rule
    assert complex(leptonic(energy**2)).imag == pytest.approx(-ALPHA0 / 3 * lepton, rel=0.01)
    assert complex(hadronic(energy**2)).imag == pytest.approx(-ALPHA0 / 3 * float(r_ratio(energy)), rel=0.02)


@pytest.mark.parametrize("sign", [-1, 1])
def test_hadrons_at_the_z_mass(sign):
    """Five flavours, 0.0277: 2 % because R below 2 GeV is a digitised table (0.06 % of mumu at 10.58 GeV)."""
    got = complex(hadronic(sign * float(NUMBERS["z_mass"]) ** 2)).real
    assert got == pytest.approx(float(NUMBERS["hadronic_at_mz"]), rel=0.02)


def test_coupling_rises_from_one():
    factor = running_factor(np.array([1e-8, 1.0, 16.0, 64.0, 111.9]))
    assert factor[0] == pytest.approx(1.0, abs=0.006)
    assert (np.diff(factor) > 0).all()
    assert running_factor(111.9) == pytest.approx(1 / abs(1 - complex(delta_alpha(111.9))) ** 2)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_bad_input(bad):
    with pytest.raises(ValueError, match="s ="):
        delta_alpha(bad)
