"""The search for a leptophilic scalar: rates, lifetimes, flavours, the declared constants and what was published."""

from __future__ import annotations

import numpy as np
import pytest

from belle2dark.constants import HBAR_C, HIGGS_VEV, M_ELECTRON, M_MUON, M_TAU
from belle2dark.plots import background_table, kept_plot
from belle2dark.point import point
from belle2dark.published import load_published
from belle2dark.search import load_search
from belle2dark.searches.leptophilic_scalar import NUMBERS, cuts, kept, overlays, unit_cross_section
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.simulation.tautau_phi import COUPLING, cross_section
from belle2dark.theory.g_minus_2 import scalar

SEARCH = load_search("leptophilic_scalar")
BELLE_SET = SEARCH.default_dataset
N = 10_000


def at(**values):
    return point(SEARCH, values, n_events=N)


# rates and branching fractions


def test_table_of_cross_sections_is_the_quadrature():
    """Between the nodes, from below 40 MeV to next to the threshold; half a per cent is a hundredth of any limit's error."""
    for mass in (0.041, 0.123, 0.77, 1.9, 3.33, 5.5, 6.44, 6.8, 7.0):
        assert unit_cross_section(np.array(mass)) == pytest.approx(cross_section(mass, 10.58), rel=5e-4), mass


def test_cross_section_without_radiation():
    """Tree level with alpha(0) against numbers of an independent computation, three digits."""
    found = {0.1: 5.72, 0.325: 3.25, 1.0: 1.384, 2.0: 0.571, 3.0: 0.245, 4.0: 0.0951, 5.0: 0.0292, 6.0: 0.00501}
    for mass, fb in found.items():
        assert cross_section(mass, 10.58, isr=False, alpha="thomson") == pytest.approx(fb, rel=3e-3), mass


def test_tau_pairs_take_the_decays_above_their_threshold():
    """All muons below 2 m_tau, 23 % of them less than 0.1 GeV above; ratios of squared masses and phase space far above."""
    share = {m: SEARCH.branching_fraction(SEARCH.parse({"m_phi": m})) for m in (3.5, 3.65, 6.5)}
    assert share[3.5] > 0.998 and share[3.65] == pytest.approx(0.23, abs=0.005)
    beta = [1 - (2 * m / 6.5) ** 2 for m in (M_MUON, M_TAU)]
    ratio = (M_MUON / M_TAU) ** 2 * (beta[0] / beta[1]) ** 1.5
    assert share[6.5] == pytest.approx(ratio / (1 + ratio), rel=1e-3)


def test_photons_take_a_share_below_twice_the_muon_mass():
    """phi -> gamma gamma by lepton loops: a per cent at 50 MeV, a fifth next to the threshold."""
    light, heavy = (1 - SEARCH.branching_fraction(SEARCH.parse({"m_phi": m})) for m in (0.05, 0.21))
    assert 0.005 < light < 0.02 and 0.12 < heavy < 0.25


# decays that are near enough


def test_kept_share_is_the_exponential_of_the_flight():
    """Against the same law on events of another random stream, with the width of the decay to electrons by hand."""
    m, xi, radius = 0.1, 0.5, float(NUMBERS["decay_radius"])
    events = generate_lepton_pair_x(20_000, 99, BELLE_SET.detector.beams, mass=m, coupling=COUPLING, leptons=("tau", "tau"))
    x = events.momenta_lab["x"]
    to_electrons = (xi * M_ELECTRON / HIGGS_VEV) ** 2 * m / (8 * np.pi) * (1 - (2 * M_ELECTRON / m) ** 2) ** 1.5
    values = SEARCH.parse({"m_phi": m, "xi": xi})
    flight = np.hypot(x[:, 1], x[:, 2]) / m * HBAR_C / to_electrons * SEARCH.branching_fraction(values)
    share = -np.expm1(-radius / flight) @ events.weights / events.weights.sum()
    assert kept(values, BELLE_SET) == pytest.approx(share, rel=0.03)  # 3 sigma of both samples


def test_long_lived_scalars_are_lost_and_short_lived_ones_not():
    """In proportion to xi^2 where the flight is long, all of them where it is short: a muon pair's is a micrometre."""
    shares = [kept(SEARCH.parse({"m_phi": 0.1, "xi": xi}), BELLE_SET) for xi in (0.002, 0.004, 0.3, 3.0, 30.0)]
    assert shares[1] / shares[0] == pytest.approx(4.0, rel=0.02)
    assert shares == sorted(shares) and shares[-1] > 0.999
    assert kept(SEARCH.parse({"m_phi": 1.0, "xi": 0.5}), BELLE_SET) == pytest.approx(1.0, abs=1e-6)


def test_coupling_limit_is_solved_for_with_the_lifetime():
    """It does not depend on the coupling given, though the efficiency there does, and the rate that is seen is the limit."""
    first, second = (at(m_phi=0.1, xi=xi) for xi in (0.05, 2.0))
    assert first.efficiency < 0.5 * second.efficiency
    found = [a.couplings[0].expected[2] for a in (first, second)]
    assert found[0] == pytest.approx(found[1], rel=5e-3)  # interpolated between 241 couplings
    again = at(m_phi=0.1, xi=found[1])
    rate = again.cross_section_fb * again.branching_fraction
    assert again.limit is not None and rate == pytest.approx(again.limit[2], rel=0.01)
    # without the losses, xi would be smaller
    lossless = (second.limit[2] * second.kept * found[1] ** 2 / rate) ** 0.5
    assert lossless < 0.95 * found[1]


def test_excluded_interval_ends_where_the_theory_does():
    (low, high), = at(m_phi=1.0).couplings[0].excluded  # fmt: skip
    assert high * M_TAU / HIGGS_VEV == pytest.approx((4 * np.pi) ** 0.5, rel=1e-4) and low < high


# selection and extraction


def test_one_flavour_at_each_mass():
    """Electron pairs are kept below twice the muon mass and muon pairs anywhere, which is above."""
    cut = next(c for c in cuts({"selection": "preselection", "calibration": "simulated"}, BELLE_SET) if c.name == "flavour")
    columns = {"m_pair": np.array([0.1, 0.25, 0.3, 2.0]), "is_muon": np.array([0.0, 0.0, 1.0, 1.0])}
    assert cut.keep(columns).tolist() == [True, False, True, True]


def test_resolution_of_the_pair():
    """MeV: of muons against the momentum resolution, sigma_m/m about sigma_p/p/sqrt2; wrong pairs do not count."""
    for mass, low, high in ((0.1, 1.0, 5.0), (0.5, 1.5, 4.0), (3.0, 7.0, 13.0), (6.0, 17.0, 30.0)):
        unit, sigma = at(m_phi=mass, calibration="simulated", selection="preselection").resolution["m_pair"]
        assert unit == "GeV" and low < 1e3 * sigma < high, mass


def test_declared_constants_are_one_limit_on_seen_events():
    """The same number of events after the preselection at all masses, as 1/sqrt(L) with much background."""
    seen = []
    for mass in (0.5, 1.0, 3.0, 6.0):
        answer = at(m_phi=mass)
        assert answer.limit is not None and answer.shapes is not None
        seen.append(answer.limit[2] * answer.luminosity * answer.shapes.efficiency)
    assert max(seen) / min(seen) < 1.06  # shares of the peak and of wrong pairs in the fit range
    more = at(m_phi=1.0, luminosity=100 * 626.0)
    assert seen[1] / (more.limit[2] * 626.0 * more.shapes.efficiency) == pytest.approx(10.0, rel=0.1)


def test_declared_and_simulated_differ_in_constants_only():
    declared, simulated = at(m_phi=1.0), at(m_phi=1.0, calibration="simulated")
    assert [p.name for p in declared.processes] != [p.name for p in simulated.processes]
    assert declared.acceptance == simulated.acceptance
    assert declared.cross_section_fb == simulated.cross_section_fb
    assert any("declared" in step.name for step in declared.cutflow)
    assert any(step.name == "network" for step in simulated.cutflow)


def test_network_removes_background_at_all_masses():
    edges = (0.04, 2 * M_MUON, 1.0, 2.0, 3.5, 6.5)
    before, after = (background_table(SEARCH, {"calibration": "simulated", "selection": s}, edges).sum(axis=1)
                     for s in ("preselection", "as_published"))  # fmt: skip
    assert (after < 0.3 * before).all()
    for mass in (0.1, 1.0, 4.0):
        plain, kept_by = (at(m_phi=mass, calibration="simulated", selection=s) for s in ("preselection", "as_published"))
        assert plain.limit is not None and kept_by.limit is not None and kept_by.limit[2] < plain.limit[2]


def test_closed_next_to_the_threshold():
    assert at(m_phi=7.05).limit is None and "taus" in at(m_phi=7.05).reason
    assert at(m_phi=6.9).cross_section_fb > 0


def test_bad_input():
    with pytest.raises(ValueError, match=r"m_phi.*0\.04"):
        SEARCH.parse({"m_phi": 0.01})
    with pytest.raises(ValueError, match="declared"):
        SEARCH.parse({"calibration": "delcared"})
    with pytest.raises(ValueError, match=r"coupling.*xi"):
        kept_plot(SEARCH, {}, "x", (0.1,))


# what others say


def test_band_of_g_minus_2():
    """The middle of the band of 2020 gives the difference of 2020, with the coupling xi m_mu / v."""
    band, projection = overlays(SEARCH.parse({"g_minus_2": "wp20"}))
    assert band.low is not None
    y_low, y_high = (np.array(x) * M_MUON / HIGGS_VEV for x in (band.low, band.high))
    masses = np.array(band.masses)
    assert scalar(masses, y_low) == pytest.approx((249 - 2 * 48) * 1e-11, rel=1e-6)
    assert scalar(masses, y_high) == pytest.approx((249 + 2 * 48) * 1e-11, rel=1e-6)
    (new, _) = overlays(SEARCH.parse({"g_minus_2": "wp25"}))
    assert new.low is None
    assert len(projection.masses) == len(projection.high) and projection.quantity == "xi"


def test_published_limits_exclude_the_band_of_2020_below_4_gev():
    """What the abstract says, from the numbers of the transcription: it is the right curve in the right units."""
    band, _ = overlays(SEARCH.parse({"g_minus_2": "wp20"}))
    for result in load_published("leptophilic_scalar"):
        masses, seen = np.array(result.masses["m_phi"]), np.array(result.observed)
        favoured = np.exp(np.interp(np.log(masses), np.log(band.masses), np.log(band.high)))
        assert (seen < favoured)[(masses > 0.1) & (masses < 3.6)].all()


def test_published_limits_in_the_muon_mode():
    """Observed: five neighbours scatter by 1.2, hence 1.6 for their mean at single masses; the curve as a whole is for check."""
    published = {m: x for r in load_published("leptophilic_scalar") for m, x in zip(r.masses["m_phi"], r.observed, strict=True)}
    masses = np.array(list(published))
    ratios = []
    for mass in (0.5, 1.0, 2.025, 2.5, 3.4, 4.3, 5.0, 6.0):
        near = np.argsort(np.abs(masses - mass))[:7]
        seen = np.median([published[m] for m in masses[near]])
        ratios.append((at(m_phi=mass).couplings[0].expected[2] / seen) ** 2)
    assert 1 / 1.3 < np.median(ratios) < 1.3 and min(ratios) > 0.5 and max(ratios) < 2.0
