"""A search that looks in one way at low masses and in another at high ones is each of the two where it applies."""

from dataclasses import replace

import pytest

from belle2dark.dashboard.figures import LiveFigures
from belle2dark.point import point
from belle2dark.search import load_search, with_variants

BASE = load_search("zprime_invisible")
OPTIONS = {"n_events": 2000}


def side(values):
    return "low" if float(values["m_zprime"]) < 3.0 else "high"


WIDE = replace(BASE.window, n_sigma=4.0)
SEARCH = with_variants(BASE, side, {"low": {}, "high": {"window": WIDE, "approximations": ("a wider window",)}})


@pytest.mark.parametrize("mass, expected", [(1.0, BASE), (5.0, replace(BASE, window=WIDE))])
def test_a_point_is_that_of_the_variant_that_applies(mass, expected):
    here, alone = point(SEARCH, {"m_zprime": mass}, **OPTIONS), point(expected, {"m_zprime": mass}, **OPTIONS)
    assert here.efficiency == alone.efficiency > 0
    assert here.limit == alone.limit
    assert here.search.name == BASE.name


def test_the_wider_window_keeps_more_signal_only_where_it_applies():
    low, high = ({"m_zprime": m} for m in (1.0, 5.0))
    assert point(SEARCH, low, **OPTIONS).efficiency == point(BASE, low, **OPTIONS).efficiency
    assert point(SEARCH, high, **OPTIONS).efficiency > point(BASE, high, **OPTIONS).efficiency
    assert point(SEARCH, high, **OPTIONS).to_json()["approximations"] == ["a wider window"]


def test_a_variant_alone_is_closed_where_the_other_applies():
    values = SEARCH.parse({"m_zprime": 5.0})
    dataset = SEARCH.default_dataset
    assert SEARCH.closed(values, dataset) == "" == SEARCH.variants["high"].closed(values, dataset)
    assert "high" in SEARCH.variants["low"].closed(values, dataset)
    beyond = SEARCH.parse({"m_zprime": 10.5})
    assert SEARCH.variants["low"].closed(beyond, dataset) == BASE.closed(beyond, dataset) != ""


def test_a_search_without_variants_is_itself_everywhere():
    assert BASE.at(BASE.parse({})) is BASE
    assert BASE.parts == (BASE,)
    assert SEARCH.parts == tuple(SEARCH.variants.values())


def test_what_makes_a_search_one_search_cannot_vary():
    with pytest.raises(ValueError, match="variant 'high' changes parameters"):
        with_variants(BASE, side, {"low": {}, "high": {"parameters": ()}})


def test_figures_follow_the_variant():
    here = replace(BASE.window, x="m_mumu", y="recoil_mass_squared", centre=lambda values: (2.0, 0.0))
    search = with_variants(BASE, side, {"low": {}, "high": {"window": here}})
    low, high = (point(search, {"m_zprime": m}, **OPTIONS) for m in (1.0, 5.0))
    figures = LiveFigures(search, low, [low])
    before = figures.spectra[0].xaxis.axis_label
    figures.masses_changed(high)
    assert figures.spectra[0].xaxis.axis_label != before
    assert figures.spectra[1].xaxis.axis_label == before
