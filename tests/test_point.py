"""One parameter point: physics of the answer, what it is limited by, and bad input."""

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest

from belle2dark.constants import M_MUON
from belle2dark.coupling_limits import coupling_limit
from belle2dark.limited_by import limited_by
from belle2dark.point import point
from belle2dark.point_limits import mass_resolution
from belle2dark.sample import core_covariance
from belle2dark.search import load_search

SEARCH = load_search("dark_higgsstrahlung")


def median(**values):
    answer = point(SEARCH, values)
    assert answer.limit is not None
    return answer.limit[2]


def test_limit_is_the_event_limit_over_luminosity_and_efficiency():
    answer = point(SEARCH, {"m_aprime": 6.0, "m_hprime": 1.0})
    assert answer.limit[2] == pytest.approx(answer.counting.expected[2] / (8.34 * answer.efficiency))
    product = answer.acceptance * answer.trigger_efficiency * answer.selection_efficiency
    assert answer.efficiency == pytest.approx(product)
    assert 0.10 < answer.efficiency < 0.25  # the collaboration quotes more than 10 % above 4 GeV


def test_published_order_of_magnitude_of_the_best_limit():
    """With no event and no background 90 % Bayesian is 2.3 events; the published best limit is 1.7 fb."""
    # below ln 2 background events the median experiment sees none
    quiet = point(SEARCH, {"m_aprime": 8.0, "m_hprime": 1.0})
    assert quiet.background_events < np.log(2)
    assert quiet.limit[2] == pytest.approx(1.7, rel=0.5)


def test_limits_scale_as_statistics_says():
    """Without background the limit falls as 1/L, with much of it as 1/sqrt(L) until systematics stop it."""
    free = {"m_aprime": 5.0, "m_hprime": 3.0}
    b = point(SEARCH, free).background_events
    assert b < 0.05
    assert median(**free, luminosity=4.0) / median(**free, luminosity=8.0) == pytest.approx(2.0, rel=1e-3)
    busy = {"m_aprime": 9.5, "m_hprime": 0.3}
    ratio = median(**busy, luminosity=1e4) / median(**busy, luminosity=4e4)
    assert 1.0 <= ratio < 2.0  # four times the data gain less than sqrt(4): the background is known to 20 %


def test_limit_falls_with_luminosity_everywhere():
    limits = [median(m_aprime=7.0, m_hprime=2.0, luminosity=x) for x in np.geomspace(1, 5e4, 12)]
    assert all(a > b for a, b in pairwise(limits))


def test_systematics_matter_where_the_collaboration_says_they_do():
    """Effect on the limits: about 1 % (5 % is asked for) at low background, about 25 % (10 to 60 %) above 9 GeV."""
    from belle2dark.limits.bands import expected_median

    effects = []
    for values in ({"m_aprime": 6.0, "m_hprime": 2.5}, {"m_aprime": 9.6, "m_hprime": 0.2}):
        answer = point(SEARCH, values)
        plain = expected_median([answer.background_events])[0]
        effects.append(answer.counting.expected[2] / plain - 1.0)
    assert 0.0 < effects[0] < 0.05
    assert 0.10 < effects[1] < 0.60


def test_single_muon_lines_recover_light_dark_photons():
    values = {"m_aprime": 2.9, "m_hprime": 0.1}
    ffo = point(SEARCH, values, lines=["ffo"])
    both = point(SEARCH, values, lines=["ffo", "cdcklm1", "cdcklm2"])
    assert both.efficiency > 3 * ffo.efficiency
    assert ffo.limited_by == "trigger"
    fires, unique = both.line_efficiencies["ffo"]
    assert 0 <= unique <= fires <= 1


def test_no_line_no_limit():
    answer = point(SEARCH, {}, lines=[])
    assert (answer.limit, answer.limited_by) == (None, "trigger")
    assert "no L1 line" in answer.reason


@pytest.mark.parametrize(("m", "h", "why"), [(9.0, 5.0, "closed"), (3.0, 3.0, "not invisible"), (3.0, 4.0, "not invisible")])
def test_closed_points_say_why(m, h, why):
    answer = point(SEARCH, {"m_aprime": m, "m_hprime": h})
    assert answer.limit is None
    assert answer.efficiency == 0
    assert answer.narrow_width
    assert why in answer.reason
    assert not point(SEARCH, {"m_aprime": m, "m_hprime": h, "epsilon": 1.0}).narrow_width


def test_couplings_translate_the_rate():
    answer = point(SEARCH, {"m_aprime": 9.0, "m_hprime": 1.0, "alpha_d": 0.1})
    rate, epsilon = answer.couplings
    assert epsilon.expected[2] ** 2 * 0.1 == pytest.approx(rate.expected[2])
    # at that coupling the expected rate is the limit itself
    strength = {"epsilon": epsilon.expected[2], "alpha_d": 0.1, "m_aprime": 9.0, "m_hprime": 1.0}
    there = point(SEARCH, strength)
    assert there.cross_section_fb * there.branching_fraction == pytest.approx(answer.limit[2])
    # the published abstract's best value is reached at these masses
    assert rate.expected[2] == pytest.approx(1.7e-8, rel=0.8)


def test_a_coupling_limit_beyond_perturbativity_excludes_nothing():
    coupling = SEARCH.couplings[0]
    assert coupling_limit(coupling, 1e-3, [1.0] * 5, None).excluded == ()
    assert coupling_limit(coupling, 1.0, [1.0] * 5, 2.0).excluded == ((2.0, coupling.high),)


def test_observed_events_are_counted_in_the_window():
    values = {"m_aprime": 6.0, "m_hprime": 1.0}
    inside = (np.array([6.0, 6.0, 7.0]), np.array([1.0, 1.1, 1.0]))
    answer = point(SEARCH, values, observed=inside)
    assert answer.counting.n_observed == 2
    assert answer.observed > answer.limit[2]


def test_same_seed_same_answer_and_masses_share_random_numbers():
    a, b = point(SEARCH, {"m_aprime": 6.0}, seed=3), point(SEARCH, {"m_aprime": 6.0}, seed=3)
    assert a.limit == b.limit
    other = point(SEARCH, {"m_aprime": 6.0}, seed=4)
    assert other.efficiency != a.efficiency
    error = math.hypot(a.efficiency_uncertainty, other.efficiency_uncertainty)
    assert other.efficiency == pytest.approx(a.efficiency, abs=5 * error)
    near = point(SEARCH, {"m_aprime": 6.001}, seed=3)
    # independent samples would scatter by the Monte Carlo error; shared ones move by a fraction of it
    assert abs(near.efficiency - a.efficiency) < a.efficiency_uncertainty


def test_search_survives_pickling():
    copy = pickle.loads(pickle.dumps(SEARCH))
    assert point(copy, {"m_aprime": 6.0}).limit == point(SEARCH, {"m_aprime": 6.0}).limit


def test_limited_by_names_the_largest_gain():
    assert limited_by({"acceptance": 1.2, "trigger": 1.1, "": 1.3}, {"Monte Carlo": 1.3}) == "statistics"
    assert limited_by({"acceptance": 1.2, "trigger": 3.0, "": 1.3}, {"Monte Carlo": 1.3}) == "trigger"
    assert limited_by({"acceptance": 1.2, "trigger": 3.0, "": 5.0}, {"background systematics": 1.4, "Monte Carlo": 1.3}) == (
        "background systematics"
    )


def test_with_much_data_uncertainties_limit_not_the_trigger():
    """Several uncertainties that cost little one by one may cost much together."""
    answer = point(SEARCH, {"m_aprime": 6.0, "luminosity": 5e4})
    assert answer.limited_by in ("background systematics", "Monte Carlo")


def test_core_covariance_ignores_tails():
    rng = np.random.default_rng(2)
    core = rng.multivariate_normal([0, 0], [[1, -0.8], [-0.8, 1]], size=8000)
    tail = rng.normal(size=(800, 2)) * 30
    x, y = np.concatenate([core, tail]).T
    found = core_covariance(x, y, np.ones(len(x), dtype=bool))
    # cutting at 3 widths narrows a Gaussian by 3 %, what is left of the tail widens it by about as much
    assert np.allclose(found, [[1, -0.8], [-0.8, 1]], atol=0.1)
    with pytest.raises(ValueError, match="too few"):
        core_covariance(x[:10], y[:10], np.ones(10, dtype=bool))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"m_aprme": 6}, {}, "nearest: m_aprime"),
        ({"m_aprime": 60}, {}, "0.25 to 10.55 GeV"),
        ({"m_aprime": float("nan")}, {}, "outside the allowed range"),
        ({"dataset": "belle2_9"}, {}, "nearest: belle2_8"),
        ({}, {"lines": ["ffx"]}, "nearest: ff"),
        ({}, {"cl": 1.5}, "cl"),
        ({}, {"method": "bayes"}, "bayesian"),
        ({}, {"n_events": 10}, "1000 or more"),
        ({}, {"seed": -1}, "seed"),
    ],
)
def test_bad_input_names_what_is_wrong(values, options, message):
    with pytest.raises(ValueError, match=message):
        point(SEARCH, values, **options)


def test_bibliography_holds_the_paper():
    text = point(SEARCH, {}).bibliography()
    assert "2207.00509" in text
    assert text.count("@") == len({line for line in text.splitlines() if line.startswith("@")})


def test_an_efficiency_that_simulation_cannot_tell_from_zero_gives_a_reason():
    """Near threshold a handful of events passes: no limit is better than one that rests on two of them."""
    answer = point(SEARCH, {"m_aprime": 1.0, "m_hprime": 0.1}, n_events=2000)
    assert answer.limit is None
    assert answer.limited_by in ("Monte Carlo", "acceptance")
    assert "simulated" in answer.reason


def test_breakdown_of_systematics_agrees_with_the_limit_and_names_the_largest():
    from belle2dark.breakdown import systematics_breakdown

    answer = point(SEARCH, {"m_aprime": 8.0, "m_hprime": 0.3})
    parts = systematics_breakdown(answer)
    # the fast limit takes the Monte Carlo error as a Gaussian factor on the sum, the breakdown as a gamma per process
    assert parts.limit == pytest.approx(answer.limit[2], rel=0.02)
    assert parts.statistical < min(parts.without.values()) <= parts.limit
    largest = max(parts.cost, key=parts.cost.__getitem__)
    assert parts.without[largest] == min(parts.without.values())


@pytest.mark.parametrize("name, mass", [("zprime_invisible", 5.0), ("dimuon_resonance", 0.215), ("dimuon_resonance", 5.0)])
def test_resolution_of_the_mass_is_error_propagation(name, mass):
    """From m^2, dm = d(m^2) / 2m; from the reduced mass, dm = (m_R / m) dm_R, which vanishes at the threshold."""
    search = load_search(name)
    values, sigma = search.parse({search.mass_names[0]: mass}), 1e-5
    reduced = math.sqrt(mass**2 - 4.0 * M_MUON**2)
    expected = sigma * (0.5 / mass if name == "zprime_invisible" else reduced / mass)
    assert mass_resolution(search, values, sigma) == pytest.approx(expected, rel=2e-3)
