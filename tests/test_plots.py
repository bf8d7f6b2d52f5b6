"""Figures hold what the results hold: limits, yields and published numbers where they belong, units on every axis."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pytest
from bokeh.models import Line, Quad, Scatter

from belle2dark.limits.discovery import expected_significance
from belle2dark.notebook import curve, mass_points
from belle2dark.plots import cutflow_table, limit_plot, plane, reach_plot, search_card, spectrum, trigger_plot, trigger_table
from belle2dark.plots.limits import limit_data, segments, value_at
from belle2dark.plots.reach import discovery_events, reach_data
from belle2dark.plots.spectrum import process_names, spectrum_data, spectrum_shapes
from belle2dark.plots.style import luminosity_text, named, named_source, number, unit_tex
from belle2dark.point import point
from belle2dark.published import load_published
from belle2dark.search import load_search
from belle2dark.trigger.menu import load_menu

SEARCH = load_search("dark_higgsstrahlung")
EVENTS = 4000


@pytest.fixture(scope="module")
def answer():
    return point(SEARCH, {"m_aprime": 6.0, "m_hprime": 1.0}, n_events=EVENTS)


@pytest.fixture(scope="module")
def closed():
    return point(SEARCH, {"m_aprime": 3.0, "m_hprime": 4.0}, n_events=EVENTS)


@pytest.fixture(scope="module")
def points():
    return mass_points(SEARCH, {"m_hprime": 1.0}, n=6, n_events=EVENTS)


def finite(figure) -> bool:
    columns = [v for r in figure.renderers for v in r.data_source.data.values()]
    return all(
        np.isfinite(np.concatenate([np.ravel(x) for x in (c if isinstance(c, list) else [c])])).all() for c in columns if len(c)
    )


def test_every_axis_has_a_label_with_its_unit(answer, points):
    figures = [limit_plot(curve(points)), limit_plot(curve(points), quantity="eps2_alpha_d"), reach_plot(answer),
               spectrum(answer), spectrum(answer, 1), plane(answer), trigger_plot(points)]  # fmt: skip
    for figure in figures:
        assert figure.xaxis[0].axis_label and figure.yaxis[0].axis_label
        assert "mathrm" in figure.xaxis[0].axis_label, "a mass or luminosity axis without unit"
        assert figure.sizing_mode == "stretch_width" and figure.toolbar.logo is None
        assert finite(figure)
    assert r"\mathrm{fb}" in figures[0].yaxis[0].axis_label


def test_the_drawn_band_is_the_limit_and_is_ordered(points):
    figure = limit_plot(curve(points))
    data = named_source(figure, "band").data
    open_points = [p for p in points if p.limit]
    assert np.allclose(data["median"], [p.limit[2] for p in open_points])
    names = ("minus2", "minus1", "median", "plus1", "plus2")
    assert all(np.all(data[a] <= data[b]) for a, b in pairwise(names))
    assert "90 % Bayesian" in figure.title.text and "8.34 fb" in figure.title.text


def test_the_current_point_lies_where_its_couplings_are(answer, points):
    figure = limit_plot(curve(points), quantity="eps2_alpha_d", here=answer)
    here = named_source(figure, "here").data
    assert here["x"] == [6.0]
    assert math.isclose(here["value"][0], 1e-3**2 * 0.5, rel_tol=1e-9)  # epsilon^2 alpha_D of the defaults
    assert math.isclose(value_at(answer, "epsilon"), 1e-3, rel_tol=1e-9)


def test_a_published_range_is_a_box_over_its_region_not_a_line(points):
    figure = limit_plot(curve(points), load_published(SEARCH.name))
    box = named(figure, "published")
    assert isinstance(box.glyph, Quad)
    data = box.data_source.data
    assert (data["left"][0], data["right"][0], data["bottom"][0], data["top"][0]) == (4.0, 9.7, 1.7, 5.0)


@pytest.mark.parametrize(("n", "line"), [(29, False), (30, True)])
def test_fewer_than_thirty_published_points_are_markers(points, n, line):
    values = tuple(float(v) for v in np.linspace(2, 3, n))
    result = replace(load_published(SEARCH.name)[0], region=MappingProxyType({}), range=None, observed=values, ascending=(),
                     masses=MappingProxyType({"m_aprime": tuple(float(m) for m in np.linspace(4, 9, n))}))  # fmt: skip
    figure = limit_plot(curve(points), (result,))
    assert isinstance(named(figure, "published").glyph, Scatter)
    assert any(isinstance(r.glyph, Line) for r in figure.renderers) is line


def test_a_wide_resonance_is_dashed_where_it_is_wide_only():
    data = {"x": np.arange(6.0), "median": np.arange(1.0, 7.0), "narrow": np.array([True, True, False, False, True, True])}
    narrow, wide = segments(data, True), segments(data, False)
    assert [list(x) for x in narrow["xs"]] == [[0, 1], [4, 5]]
    assert [list(x) for x in wide["xs"]] == [[1, 2, 3, 4]]


def test_closed_masses_leave_no_hole_of_nan(points, closed):
    rows = curve([*points, closed]).frame.to_dict("records")
    data = limit_data(rows, "m_aprime", "limit")
    assert len(data["x"]) == sum(p.limit is not None for p in points)
    assert np.isfinite(data["median"]).all()


def test_stacked_background_adds_up_to_the_template_and_scales_with_luminosity(answer):
    names, shapes = process_names(answer), spectrum_shapes(answer, 0)
    bars, steps, _ = spectrum_data(answer, shapes, names)
    top = bars[names[-1]]
    assert np.allclose(steps["background"], answer.luminosity * sum(shapes[n] for n in names))
    assert np.all(top >= steps["background"])
    double = point(SEARCH, {**answer.values, "luminosity": 2 * answer.luminosity}, n_events=EVENTS)
    assert np.allclose(spectrum_data(double, shapes, names)[1]["background"], 2 * steps["background"])


def test_signal_histogram_peaks_at_the_mass_and_holds_the_window_yield(answer):
    shapes = spectrum_shapes(answer, 0)
    peak = shapes["edges"][np.argmax(shapes["signal"])]
    assert abs(peak - 6.0) < 2 * answer.resolution["m_mumu"][1]
    # The window is an ellipse inside the band that the histogram takes: it holds less, but not by much.
    inside = answer.efficiency
    assert inside < shapes["signal"].sum() < 1.6 * inside


def test_plane_counts_the_window(answer):
    assert f"{answer.signal_events:.3g} signal" in plane(answer).title.text


def test_reach_is_the_point_at_its_own_luminosity_and_gains_with_more(answer):
    data = reach_data(answer, answer.luminosity, 1e4, 12)
    assert np.isclose(data["median"][0], answer.limit[2], rtol=1e-6)
    assert np.isclose(data["plus2"][0], answer.limit[4], rtol=1e-6)
    assert np.all(np.diff(data["discovery5"]) < 0)
    assert np.all(data["discovery5"] > data["discovery3"])


@pytest.mark.parametrize("z", [3.0, 5.0])
def test_discovery_events_invert_the_significance(z):
    background = np.array([1.0, 30.0, 1e4])
    events = discovery_events(background, 0.05, z)
    assert np.allclose(expected_significance(events, background, background_uncertainty=0.05), z, atol=1e-6)


def test_without_background_discovery_needs_an_event():
    assert np.allclose(discovery_events(np.array([0.0]), 0.0, 5.0), math.log(2), rtol=1e-6)


def test_a_closed_point_draws_empty_figures_and_says_why(closed):
    for figure in (spectrum(closed), plane(closed), reach_plot(closed)):
        assert finite(figure)
    assert "not below m_aprime" in cutflow_table(closed).data
    assert "not below m_aprime" in trigger_table(closed).data


def test_l1_plot_shows_the_efficiencies_of_the_points(points):
    figure = trigger_plot(points)
    data = named_source(figure, "ffo").data
    assert np.allclose(data["y"], [p.line_efficiencies["ffo"][0] for p in points if p.line_efficiencies])


def test_card_shows_every_number_with_its_source_and_confidence():
    html = search_card(SEARCH).data
    for name, entry in SEARCH.numbers.items():
        assert f"<code>{name}</code>" in html
        assert f">{entry.confidence}</span>" in html
    assert f"${SEARCH.channel}$" in html
    assert all(r.title.split("'")[0][:40] in html for r in SEARCH.references)
    assert html.count("<li>") >= len(SEARCH.approximations) + len(SEARCH.references)


def test_tables_list_every_step_and_line(answer):
    assert all(step.name in cutflow_table(answer).data for step in answer.cutflow)
    lines = load_menu().names_of(answer.dataset.detector.name)
    assert all(f"<b>{line}</b>" in trigger_table(answer).data for line in lines)


@pytest.mark.parametrize(("value", "text"), [(8.34, "8.34 fb⁻¹"), (999.0, "999 fb⁻¹"), (1000.0, "1 ab⁻¹"), (5e4, "50 ab⁻¹")])
def test_luminosity_in_words(value, text):
    assert luminosity_text(value) == text


def test_units_and_numbers_for_people():
    assert unit_tex("GeV^2") == r"\ [\mathrm{GeV^{2}}]"
    assert unit_tex("") == ""
    assert number(1.234e-8) == "1.23 &times; 10<sup>-8</sup>"
    assert number(0.0123) == "0.0123"
