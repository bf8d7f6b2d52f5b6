"""The plane of dark Higgsstrahlung: selection near the edge, optimised cut, macro-regions, control samples, maps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from belle2dark import plots
from belle2dark.constants import M_MUON
from belle2dark.detector.dilepton import photon_cos_theta_lab
from belle2dark.limits.counting import Uncertainties, upper_limit
from belle2dark.macro_regions import control_samples, macro_regions, masses, normalisation, region_table
from belle2dark.mass_grid import mass_grid
from belle2dark.plots.mass_plane import clipped, coverage
from belle2dark.plots.style import named, named_source
from belle2dark.point import point
from belle2dark.produce.helicity import CUT_VALUES, F_NODES, M_NODES, best_cuts, limit_curve, mean_limit
from belle2dark.published import load_published
from belle2dark.sample import simulate
from belle2dark.search import Search, load_search
from belle2dark.searches.dark_higgsstrahlung import helicity_limit
from belle2dark.selection import passes
from belle2dark.simulation.beams import to_cms
from belle2dark.templates import load_template
from belle2dark.trigger.menu import load_menu

SEARCH = load_search("dark_higgsstrahlung")
DATASET = SEARCH.default_dataset
BEAMS = DATASET.detector.beams
ROOT = BEAMS.sqrt_s


def signal(m_aprime: float, m_hprime: float, n: int = 8000):
    values = SEARCH.parse({"m_aprime": m_aprime, "m_hprime": m_hprime})
    return simulate(SEARCH, DATASET, tuple(values[name] for name in SEARCH.masses), n, 1)


def recoil_lab(reco) -> np.ndarray:
    """Four-momentum of what is missing, (n, 4), from the measured tracks."""
    p = reco.tracks_lab
    energy = np.sqrt((p**2).sum(axis=-1) + M_MUON**2)
    return BEAMS.nominal - np.concatenate([energy[..., None], p], axis=-1).sum(axis=1)


# --- selection near the kinematic edge


@pytest.mark.parametrize("masses", [(6.0, 1.0), (6.0, 4.3), (5.4, 5.1)])
def test_the_photon_direction_is_the_recoil_boosted_without_its_mass(masses):
    """Independently: the recoil's direction in the centre of mass, given to a photon that is boosted to the lab."""
    reco = signal(*masses).reco
    use = reco.accepted
    recoil = to_cms(recoil_lab(reco), BEAMS)[use, 1:]
    electron = to_cms(np.array([BEAMS.electron]), BEAMS)[0, 1:]
    along = recoil @ electron / np.linalg.norm(recoil, axis=1) / np.linalg.norm(electron)
    speed = np.linalg.norm(BEAMS.nominal[1:]) / BEAMS.nominal[0]
    expected = (along + speed) / (1 + speed * along)
    found = photon_cos_theta_lab(reco.columns["recoil_cos_theta_cms"][use], BEAMS)
    # the boost leaves out the crossing angle, an angle of 0.04 at most; energies come from invariants
    assert np.allclose(found, expected, atol=2e-3)


def test_for_a_massless_recoil_it_is_the_angle_in_the_lab():
    columns = signal(6.0, 0.0).reco.columns
    near = np.abs(columns["recoil_mass_squared"]) < 0.2
    photon = photon_cos_theta_lab(columns["recoil_cos_theta_cms"], BEAMS)
    assert np.median(np.abs(photon - columns["recoil_cos_theta_lab"])[near]) < 0.02


def test_published_maxima_reach_within_80_mev_of_the_edge_and_so_does_the_selection():
    """Where the coupling limit is largest, the rate limit is no larger than the largest: that bounds the rate from above.

    The lab angle of the recoil, with the same limits, leaves nothing there, so that it cannot be what was cut on.
    """
    sigma, coupling = load_published(SEARCH.name)
    highest = sigma.range[1] / coupling.range[1]
    needed = upper_limit(0, 0.0) / (sigma.range[1] * DATASET.luminosity.value)  # events at least / (limit x luminosity)
    high, low = np.cos(np.radians(SEARCH.numbers["recoil_theta"].values))
    for m_aprime in (5.3, 5.5, 5.7):

        def excess(h: float, m: float = m_aprime) -> float:
            values = SEARCH.parse({"m_aprime": m, "m_hprime": h})
            return SEARCH.couplings[0].rate(values, DATASET) - highest

        m_hprime = brentq(excess, 4.0, min(m_aprime, DATASET.sqrt_s - m_aprime - 1e-4))
        assert DATASET.sqrt_s - m_aprime - m_hprime < 0.08
        answer = point(SEARCH, {"m_aprime": m_aprime, "m_hprime": m_hprime}, n_events=8000)
        assert answer.efficiency > 2 * needed
        cosine = answer.simulated.reco.columns["recoil_cos_theta_lab"]
        weights = answer.signal_weights() * answer.simulated.selected * answer.simulated.in_window
        assert weights[(cosine > low) & (cosine < high)].sum() < 0.2 * needed


# --- the helicity cut


def test_the_mean_limit_is_the_closed_form_without_background_and_smooth():
    exact = Uncertainties()
    assert mean_limit(np.array([0.0]), 0.9, exact)[0] == pytest.approx(math.log(10), rel=1e-6)
    b = np.linspace(0.0, 12.0, 200)
    limits = mean_limit(b, 0.9, exact)
    assert np.all(np.diff(limits) > 0) and np.diff(limits).max() < 2 * b[1]  # its median jumps by more than an event
    n, p = np.arange(60), np.exp(-4.0 + np.arange(60) * math.log(4.0) - np.array([math.lgamma(k + 1) for k in range(60)]))
    by_hand = sum(p[k] * upper_limit(int(k), 4.0) for k in n)
    assert mean_limit(np.array([4.0]), 0.9, exact)[0] == pytest.approx(by_hand, rel=2e-3)


def test_best_cuts_finds_a_smooth_minimum_and_leaves_cells_without_signal_open():
    truth = np.full((5, 4), 0.6)
    curves = 1.0 + (CUT_VALUES - truth[..., None]) ** 2
    noisy = curves * (1 + 0.002 * np.random.default_rng(1).standard_normal(curves.shape))
    noisy[0, 0] = np.inf
    best = best_cuts(noisy)
    assert best[0, 0] == CUT_VALUES[-1]
    best[0, 0] = 0.6
    assert np.allclose(best, 0.6, atol=0.05)


def test_the_cut_helps_inside_the_plane_and_not_where_the_pair_is_at_rest():
    inside, edge = limit_curve(SEARCH, 6.0, 0.6 * (ROOT - 6.0)), limit_curve(SEARCH, 7.0, ROOT - 7.0 - 0.11)
    assert inside[-1] > 1.15 * inside.min() and CUT_VALUES[inside.argmin()] < 0.92
    assert edge[-1] < 1.05 * edge.min()


def test_the_table_has_the_shape_of_its_nodes_and_fades_out_at_the_edge():
    m, f = np.meshgrid(M_NODES, F_NODES, indexing="ij")
    columns = {"m_mumu": m.ravel(), "recoil_mass_squared": (f * (ROOT - m)).ravel() ** 2}
    table = helicity_limit(columns).reshape(m.shape)
    assert np.all((table >= CUT_VALUES[0]) & (table <= 1.0))
    rows = [M_NODES.index(x) for x in (6.0, 7.0, 8.0)]
    assert np.all(table[rows, -1] > 0.95) and np.all(table[rows].min(axis=1) < 0.85)


# --- macro-regions and control samples


@pytest.fixture(scope="module")
def regions():
    return macro_regions(SEARCH)


def test_regions_are_orthogonal_and_hold_every_selected_event_of_the_plane(regions):
    cells = np.array([regions.cells(name) for name in regions.regions])
    assert cells.sum(axis=0).max() == 1
    template = load_template(SEARCH.template, DATASET.detector)
    weights = template.weights * load_menu().keep_probability(template.bits, DATASET.lines)
    weights = weights * passes(SEARCH.cuts({}, DATASET), template.columns)
    places = masses(template.columns, ("m_mumu", "recoil_mass_squared"), ("GeV", "GeV^2"))
    i, j = (np.minimum((places / 0.5).astype(int), regions.dominant.shape[0] - 1)).T
    expected = float(DATASET.luminosity) * weights[cells.any(axis=0)[i, j]].sum()
    assert region_table(regions)["events"].sum() == pytest.approx(expected, rel=1e-9)


def test_the_dominant_process_is_the_largest_of_its_region_and_cells(regions):
    for name in regions.regions:
        own = regions.yields[regions.processes.index(name)][regions.cells(name)]
        assert np.all(own >= regions.yields[:, regions.cells(name)].max(axis=0))
    table = region_table(regions).set_index("region")
    assert all(table.loc[name, name] == max(table.loc[name, list(regions.processes)]) for name in regions.regions)
    # one lost photon leaves no mass behind; taus fill the edge, where the neutrinos take what the muons leave
    centre = 0.5 * (regions.edges[0][1:] + regions.edges[0][:-1])
    first, second = np.meshgrid(centre, centre, indexing="ij")
    recoil = {name: second[regions.cells(name)].mean() for name in ("mumu_gamma", "tautau")}
    left = {name: (ROOT - first - second)[regions.cells(name)].mean() for name in ("mumu_gamma", "tautau")}
    assert recoil["mumu_gamma"] < recoil["tautau"] and left["tautau"] < 0.5 * left["mumu_gamma"]


def test_yields_go_with_the_luminosity_and_control_errors_with_its_root(regions):
    more = macro_regions(SEARCH, {"luminosity": 4 * regions.luminosity})
    assert np.allclose(more.yields, 4 * regions.yields) and np.array_equal(more.dominant, regions.dominant)
    now, later = (control_samples(r).set_index(["region", "process"]) for r in (regions, more))
    pure = ("mumu_gamma", "mumu_gamma")  # nothing but its process, whose error is then that of the count
    assert now.loc[pure, "uncertainty"] == pytest.approx(now.loc[pure, "events"] ** -0.5, rel=0.02)
    assert later.loc[pure, "uncertainty"] == pytest.approx(0.5 * now.loc[pure, "uncertainty"], rel=0.02)


def test_control_samples_are_pure_where_they_matter(regions):
    samples = control_samples(regions).set_index(["region", "process"])
    assert samples.loc[("mumu_gamma", "mumu_gamma"), "control"] == "dimuon_photon"
    assert samples.loc[("tautau", "tautau"), "control"] == "emu_missing"
    assert samples.loc[("mumu_gamma", "mumu_gamma"), "purity"] > 0.95 and samples.loc[("tautau", "tautau"), "purity"] > 0.7
    assert set(samples.xs("eemumu", level="process")["control"]) == {""}
    shares = samples["share"].groupby("region").sum()
    assert np.allclose(shares, 1.0)


def test_regions_dominated_by_a_controlled_process_are_known_better_than_the_systematic_uncertainty(regions):
    """What the sensitivity study assumes for the background, 20 %, is more than the control samples leave open."""
    known = normalisation(control_samples(regions))
    assumed = float(SEARCH.numbers["uncertainty_background"])
    assert known["mumu_gamma"] < assumed and known["tautau"] < assumed


def test_regions_refuse_bad_input():
    with pytest.raises(ValueError, match=r"cell = 0\.01 GeV: allowed: 0\.1 to 2"):
        macro_regions(SEARCH, cell=0.01)
    with pytest.raises(ValueError, match="two masses"):
        macro_regions(one_mass(SEARCH))


def one_mass(search: Search) -> Search:
    return replace(search, parameters=tuple(p for p in search.parameters if p.name != "m_hprime"))


# --- other experiments, grids and figures


def area(corners) -> float:
    x, y = np.array(corners).T
    return 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def test_clipping_a_polygon():
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert area(clipped(square, (1.0, 1.0, 1.0))) == pytest.approx(0.5)
    assert clipped(square, (1.0, 0.0, -1.0)) == ()
    assert clipped(square, (1.0, 0.0, 2.0)) == square


def test_outlines_keep_to_kinematics_and_do_not_overlap_this_search():
    outlines = {o.label.split(",")[0].split(":")[0]: np.array(o.corners) for o in coverage(SEARCH)}
    babar, belle, kloe, strip = (outlines[name] for name in ("BaBar 2012", "Belle 2015", "KLOE-2", "no search"))
    root = DATASET.sqrt_s
    for cascade in (babar, belle):
        assert np.all(cascade[:, 1] >= 2 * cascade[:, 0] - 1e-9) and np.all(cascade.sum(axis=1) <= root + 1e-9)
    phi, low = float(SEARCH.numbers["kloe_sqrt_s"]), SEARCH.parameters[0].low
    assert area(kloe) == pytest.approx(phi**2 / 4 - low**2 / 2)
    assert area(strip) == pytest.approx(root**2 / 12)  # between the lines of slope 1 and 2, below root
    middle = strip.mean(axis=0)
    assert "not below m_aprime" in SEARCH.closed(SEARCH.parse({"m_aprime": middle[0], "m_hprime": middle[1]}), DATASET)


@pytest.fixture(scope="module")
def grid():
    return mass_grid(SEARCH, {}, step=1.5, n_events=2000)


def test_a_grid_has_the_numbers_of_single_points(grid):
    rows = grid.frame[grid.frame["limit_median"].notna()]
    assert len(rows) >= 10
    one = rows.iloc[len(rows) // 2]
    answer = point(SEARCH, {"m_aprime": one["m_aprime"], "m_hprime": one["m_hprime"]}, n_events=2000)
    assert one["limit_median"] == answer.limit[2] and one["eps2_alpha_d_median"] == answer.couplings[0].expected[2]
    closed = grid.frame[grid.frame["m_hprime"] >= grid.frame["m_aprime"]]
    assert closed["limit_median"].isna().all() and closed["reason"].str.len().min() > 0
    with pytest.raises(ValueError, match=r"step = 0 GeV: allowed: 0\.1 to 2"):
        mass_grid(SEARCH, step=0.0)
    with pytest.raises(ValueError, match="1 mass parameters"):
        mass_grid(one_mass(SEARCH))


def test_maps_draw_every_open_point_and_slices_the_rows(grid):
    rows = grid.frame[grid.frame["limit_median"].notna()]
    drawn = named_source(plots.limit_map(grid, quantity="eps2_alpha_d", others=True), "limits").data
    assert list(drawn["limit"]) == list(rows["eps2_alpha_d_median"])
    figure = plots.slice_plot(grid, quantity="eps2_alpha_d", n=2)
    lowest = rows[rows["m_hprime"] == rows["m_hprime"].min()].sort_values("m_aprime")
    line = figure.renderers[0].data_source.data
    assert list(line["x"]) == list(lowest["m_aprime"]) and list(line["y"]) == list(lowest["eps2_alpha_d_median"])
    # squared, because the coupling is epsilon squared: BaBar's at 4 GeV and alpha_D = 1
    assert dict(zip(*(named_source(figure, "overlay").data[k] for k in "xy"), strict=True))[4.0] == pytest.approx(9.1e-4**2)
    with pytest.raises(ValueError, match=r"along = 'mass': allowed: m_aprime \| m_hprime"):
        plots.slice_plot(grid, quantity="limit", along="mass")


def test_region_and_cut_figures(regions):
    figure = plots.region_map(regions)
    for name in regions.regions:
        assert len(named(figure, name).data_source.data["left"]) == regions.cells(name).sum()
    text = plots.region_tables(regions).data
    assert "Macro-regions" in text and "emu_missing" in text and "none: its rate" in text
    cuts = named_source(plots.cut_map(SEARCH), "cuts").data
    assert len(cuts["cut"]) == len(M_NODES) * len(F_NODES)
    # cells of the map tile the plane: each ends at the kinematic edge, none beyond
    assert max(x + y for xs, ys in zip(cuts["xs"], cuts["ys"], strict=True) for x, y in zip(xs, ys, strict=True)) <= ROOT + 1e-9
    assert plots.branching_plot(SEARCH).renderers[0].data_source.data["y"][-1] == pytest.approx(
        SEARCH.branching_fraction(SEARCH.parse({"m_aprime": 10.55}))
    )
