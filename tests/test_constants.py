"""Constants in GeV, cm, ns and fb, against values written down here from the PDG and CODATA."""

from __future__ import annotations

import pytest

from belle2dark import constants as c

# PDG 2024 averages [GeV] with their errors; a later edition may move a mass by a few of them.
PDG = {
    "M_ELECTRON": (0.000_510_998_950, 1e-12), "M_MUON": (0.105_658_3755, 2.3e-9), "M_TAU": (1.776_93, 9e-5),
    "M_PION": (0.139_570_39, 1.8e-7), "M_PION0": (0.134_976_8, 5e-7), "M_KAON": (0.493_677, 1.5e-5),
    "M_RHO": (0.775_11, 3.4e-4), "M_A1": (1.230, 0.040), "M_D0": (1.864_84, 5e-5), "M_B0": (5.279_72, 8e-5),
}  # fmt: skip


@pytest.mark.parametrize("name", PDG)
def test_masses(name: str) -> None:
    value, error = PDG[name]
    assert getattr(c, name) == pytest.approx(value, abs=5 * error)


def test_fine_structure_conventions() -> None:
    assert 1 / c.ALPHA["thomson"] == pytest.approx(137.035999, abs=1e-6)
    # It grows with energy: q^2 = 0, then s = (10.58 GeV)^2, then the Z mass of the generator's model file.
    assert c.ALPHA["thomson"] < c.ALPHA["physical"] < c.ALPHA["madgraph"]
    with pytest.raises(TypeError):
        c.ALPHA["mine"] = 1.0  # type: ignore[index]


def test_units_belong_together() -> None:
    area = c.HBAR_C**2 * 1e39  # 1 cm^2 = 1e39 fb
    assert area == pytest.approx(c.GEV2_FB, rel=1e-8)  # nine digits given
    # hbar in GeV s is 6.582119569e-25 (CODATA): hbar c / c with c in cm/ns.
    hbar = c.HBAR_C / (c.C_LIGHT * 1e9)
    assert hbar == pytest.approx(6.582_119_569e-25, rel=1e-9)


def test_muon_pair_cross_section() -> None:
    # 86.8 nb / s [GeV^2], the textbook value to three digits.
    assert 4 * 3.141592653589793 * c.ALPHA["thomson"] ** 2 / 3 * c.GEV2_FB == pytest.approx(86.8e6, rel=1e-3)
