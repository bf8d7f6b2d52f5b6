"""The Z' of gauged lepton numbers: widths, branching fractions, loop-induced mixing; and what is published of its searches."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from scipy.integrate import quad

from belle2dark.constants import ALPHA, HBAR_C, M_MUON, M_TAU
from belle2dark.published import load_published, parse_paper
from belle2dark.sourced import load_numbers
from belle2dark.theory.g_minus_2 import coupling_band
from belle2dark.theory.models import Model, ModelLike
from belle2dark.theory.zprime import L_E_MU, L_MU_TAU, gauged, kinetic_mixing


def test_invisible_fraction_counts_channels() -> None:
    def invisible(m: float) -> float:
        return float(L_MU_TAU.branching_fraction("invisible", m))

    assert invisible(0.1) == invisible(2 * M_MUON - 1e-6) == 1.0
    # corrections to muons are of order (m_mu/M)^4: 1 + 2r times 1 - 2r
    assert invisible(3.0) == pytest.approx(1 / 2, abs=1e-5)
    assert invisible(1e3) == pytest.approx(1 / 3, abs=1e-9)
    # above the tau threshold, below its full strength
    assert 1 / 3 < invisible(4.0) < 1 / 2


@pytest.mark.parametrize(("mass", "channels"), [(0.1, 1), (3.0, 2), (1000.0, 3)])
def test_width_per_channel(mass: float, channels: int) -> None:
    # g'^2 / 12 pi for every charged lepton and for the pair of neutrinos: 2.65e-4 of the mass at g' = 0.1, in three digits
    width = L_MU_TAU.total_width(mass, {"g_prime": 0.1})
    assert width / mass == pytest.approx(2.65e-4 * channels, rel=2e-3)
    assert width / mass == pytest.approx(0.01 / (12 * math.pi) * channels, rel=2e-5)


def test_widths_add_up_and_scale() -> None:
    mass = np.geomspace(0.05, 10, 50)
    parts = L_MU_TAU.partial_widths(mass, {"g_prime": 0.02})
    assert sum(parts.values()) == pytest.approx(L_MU_TAU.total_width(mass, {"g_prime": 0.02}))
    assert L_MU_TAU.total_width(mass, {"g_prime": 0.06}) == pytest.approx(9 * sum(parts.values()))
    assert sum(L_MU_TAU.branching_fraction(c, mass) for c in parts) == pytest.approx(np.ones(50))
    assert np.all(parts["tautau"][mass < 2 * M_TAU] == 0) and np.all(parts["mumu"][mass > 2 * M_MUON] > 0)
    assert L_MU_TAU.ctau(1.0, {"g_prime": 1e-3}) == pytest.approx(HBAR_C / L_MU_TAU.total_width(1.0, {"g_prime": 1e-3}))
    assert L_MU_TAU.production({"g_prime": np.array([1.0, 0.1])}) == pytest.approx([1.0, 0.01])


def test_neutrinos_are_half_a_massless_dirac_lepton_each() -> None:
    heavy = 1e6
    parts = L_MU_TAU.partial_widths(heavy)
    assert parts["invisible"] / 2 == pytest.approx(parts["mumu"] / 2, rel=1e-9)


def test_other_combinations() -> None:
    assert L_E_MU.branching_fraction("ee", 1.0) > 0 and "tautau" not in L_E_MU.partial_widths(1.0)
    # below the muon threshold: electrons and two flavours of neutrinos share alike
    assert L_E_MU.branching_fraction("invisible", 0.15) == pytest.approx(0.5, abs=1e-9)
    mine = gauged("mine", "charge 2 for taus", {"tau": 2.0})
    assert mine.total_width(1.0) == pytest.approx(4 / (24 * math.pi))
    with pytest.raises(ValueError, match="flavours must be"):
        gauged("bad", "", {"muon": 1.0})
    with pytest.raises(ValueError, match="at least one"):
        gauged("bad", "", {})


def test_models_are_models() -> None:
    model: ModelLike = L_MU_TAU
    assert isinstance(model, Model)
    assert pickle.loads(pickle.dumps(L_MU_TAU)).total_width(1.0) == L_MU_TAU.total_width(1.0)
    with pytest.raises(ValueError, match="nearest: g_prime"):
        L_MU_TAU.total_width(1.0, {"gprime": 0.1})
    with pytest.raises(ValueError, match="m_zprime"):
        L_MU_TAU.total_width(-1.0)


# mixing


def test_mixing_at_rest_is_a_seventieth() -> None:
    # g' / 69.3, the logarithm of m_tau/m_mu alone
    e = math.sqrt(4 * math.pi * ALPHA["thomson"])
    assert kinetic_mixing(0.0, 0.1) == pytest.approx(0.1 / 69.3, rel=1e-3)
    assert kinetic_mixing(0.0) == pytest.approx(e / (6 * math.pi**2) * math.log(M_TAU / M_MUON), rel=1e-12)


def test_mixing_is_its_integral() -> None:
    e = math.sqrt(4 * math.pi * ALPHA["thomson"])
    for q2 in (-100.0, -1.0, -1e-6, 1e-9, 0.01, 0.04):  # space-like and below the muon threshold
        integral, _ = quad(
            lambda x, q2=q2: x * (1 - x) * math.log((M_TAU**2 - x * (1 - x) * q2) / (M_MUON**2 - x * (1 - x) * q2)), 0, 1
        )
        assert kinetic_mixing(q2).real == pytest.approx(e / (2 * math.pi**2) * integral, rel=1e-8)
        assert kinetic_mixing(q2).imag == pytest.approx(0.0, abs=1e-12)


def test_mixing_is_smooth_where_the_series_ends() -> None:
    ends = np.array([-1.0, 1.0])[:, None] * 1e-3 * M_MUON**2 * np.array([1 - 1e-9, 1 + 1e-9])
    assert np.diff(kinetic_mixing(ends).real, axis=1) == pytest.approx(np.zeros((2, 1)), abs=1e-9)


def test_mixing_is_unitary() -> None:
    # between the thresholds the imaginary part is the rate into muons: e g' / 12 pi (1 + 2r) sqrt(1 - 4r)
    q2 = np.array([0.1, 1.0, 9.0])
    r = M_MUON**2 / q2
    expected = math.sqrt(4 * math.pi * ALPHA["thomson"]) / (12 * math.pi) * (1 + 2 * r) * np.sqrt(1 - 4 * r)
    assert kinetic_mixing(q2).imag == pytest.approx(expected, rel=1e-9)


def test_mixing_vanishes_far_above_the_masses() -> None:
    assert abs(kinetic_mixing(-1e8)) < 1e-6
    with pytest.raises(ValueError, match="q_squared"):
        kinetic_mixing(math.nan)


# published results


def test_published_results_of_the_search() -> None:
    results = load_published("zprime_invisible")
    by_key = {(r.dataset, r.quantity, bool(r.range)): r for r in results}
    assert len(by_key) == len(results) == 4
    pilot = by_key["belle2_pilot", "g_prime", False]
    assert (pilot.luminosity, pilot.cl, pilot.method, pilot.confidence) == (0.276, 0.90, "bayesian", "digitised")
    assert pilot.observed == (0.0510, 0.115, 0.381, 0.994)
    abstract = by_key["belle2_pilot", "g_prime", True]
    assert abstract.range is not None and abstract.observed is None
    # curve and abstract are the same result: ends agree to the one digit of the abstract
    assert min(pilot.observed) == pytest.approx(abstract.range[0], rel=0.1)
    assert max(pilot.observed) == pytest.approx(abstract.range[1], rel=0.1)
    assert by_key["belle2_80", "g_prime", False].observed == (3e-3, 1.0)
    punzi = by_key["belle2_study", "punzi_sigma_min_fb", False]
    assert (punzi.luminosity, punzi.unit, punzi.observed, punzi.expected) == (50.0, "fb", None, (10.8, 2.8, 4.2, 48.0))


def test_a_result_says_which_choices_it_holds_for() -> None:
    for result in load_published("zprime_invisible"):
        assert dict(result.parameters) == ({"scenario": "vanilla"} if result.quantity == "g_prime" else {})
        assert pickle.loads(pickle.dumps(result)) == result
    assert not any(r.parameters for r in load_published("dark_higgsstrahlung"))
    document = {
        "paper": "A:2020", "references": {"A:2020": {"title": "t", "authors": "a", "year": 2020}},
        "results": [{"search": "s", "dataset": "d", "sqrt_s": 10.58, "cl": 0.9, "method": "cls", "quantity": "q", "unit": "fb",
                     "parameters": {"pair": "emu", "width_fraction": 0.1}, "masses": {"m_x": [1.0]}, "observed": [1.0],
                     "source": "A:2020", "confidence": "published"}],
    }  # fmt: skip
    (result,) = parse_paper(document, "f.yaml")
    assert dict(result.parameters) == {"pair": "emu", "width_fraction": 0.1}
    document["results"][0]["parameters"] = {"pair": ["emu"]}
    with pytest.raises(ValueError, match="parameters"):
        parse_paper(document, "f.yaml")


def test_published_couplings_meet_the_old_band_where_the_talk_says() -> None:
    # A limit that excludes the band from 0.8 to 5 GeV lies near it there: at 0.8 GeV near the low-mass end of the abstract,
    # at 5 GeV between it and the one at 8 GeV.
    light, heavy = load_numbers("zprime")["g_minus_2_excluded"].values
    low, high = coupling_band([light, heavy], "wp20_2021")
    (result,) = [r for r in load_published("zprime_invisible") if r.dataset == "belle2_80" and r.observed]
    assert low is not None and high is not None and result.observed is not None
    assert low[0] == pytest.approx(result.observed[0], rel=0.2)  # 3e-3 is one digit
    assert result.observed[0] < low[1] < high[1] < result.observed[1]
