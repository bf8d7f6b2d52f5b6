"""Background templates: unbiased thinning, rebuild at reduced size, effective statistics where windows are."""

import json
from dataclasses import replace
from importlib.resources import as_file
from itertools import pairwise

import numpy as np
import pytest

from belle2dark.detector.experiments import BELLE2
from belle2dark.final_states import FINAL_STATES
from belle2dark.final_states.record import Axis
from belle2dark.recipes import OTHER_RECIPES, RECIPES
from belle2dark.sample import background, steps_of, summarise, window_background
from belle2dark.search import load_search
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.sourced import data_file
from belle2dark.templates import build, derive, load_template, thin


@pytest.fixture(scope="module")
def shipped():
    return load_template("dimuon_missing", BELLE2)


def test_thinning_keeps_sums_unbiased_and_cells_small():
    rng = np.random.default_rng(5)
    weights = rng.exponential(size=20_000) ** 3
    cells = rng.integers(0, 10, size=20_000).astype(np.int32)
    sums = []
    for seed in range(40):
        keep, new = thin(weights, cells, (100, 100), np.random.default_rng(seed))
        sums.append(new[keep].sum())
        counts = np.bincount(cells[keep], minlength=10)
        assert counts.max() < 100 + 5 * 10  # Poisson-like scatter about 100
    assert np.mean(sums) == pytest.approx(weights.sum(), abs=4 * np.std(sums) / np.sqrt(40))


def test_strata_of_a_power_are_narrow_where_the_mass_is_small():
    """With the square root of the mass, strata around 1 and 4 GeV are 2 and 4 times as wide in mass as around 1/4 GeV."""
    axis = Axis(column="x", low=-4.0, high=9.0, bins=5000, root=True, power=0.5)
    mass = np.linspace(-4.5, 9.5, 200_001)
    place = axis.place({"x": np.sign(mass) * mass**2}, BELLE2)
    assert (np.diff(place) >= 0).all() and place[0] == 0 and place[-1] == 4999

    def strata(low, high):
        return np.ptp(place[(mass > low) & (mass < high)])

    assert strata(0.9, 1.1) == pytest.approx(strata(0.2, 0.3), rel=0.03)  # 0.2 wide at 1, 0.1 at 1/4
    assert strata(3.8, 4.2) == pytest.approx(strata(0.2, 0.3), rel=0.03)  # 0.4 wide at 4
    # the square roots of -4, 0 and 9 lie like 0, 2 and 5
    assert place[np.searchsorted(mass, 0.0)] == pytest.approx(2000, abs=30)


def test_thinning_leaves_small_cells_alone():
    weights = np.array([1.0, 2.0, 3.0])
    keep, new = thin(weights, np.zeros(3, dtype=np.int32), (10, 10), np.random.default_rng(1))
    assert keep.all()
    assert np.array_equal(new, weights)


def test_reduced_rebuild_agrees_with_the_shipped_template(shipped):
    """Rates per process in coarse regions, within four Monte Carlo errors of the two samples."""
    recipe = RECIPES["dimuon_missing"]
    arrays = build(recipe, BELLE2, seed=4, scale=0.02)
    assert recipe.coarse > 1 and (arrays["tracks"] % recipe.coarse == 0).all()
    from belle2dark.detector.dilepton import dilepton_columns
    from belle2dark.templates import _STEP

    columns = dilepton_columns(arrays["tracks"] * _STEP, BELLE2.beams)
    edges = [1.0, 4.0, 6.0, 8.0, 9.5, 10.5]
    low, high = BELLE2.cosines("ecl_barrel_theta")
    for process in range(len(recipe.processes)):
        for a, b in pairwise(edges):
            totals, variances = [], []
            for c, p, w in (
                (columns, arrays["process"], arrays["weights"].astype(float)),
                (shipped.columns, shipped.process, shipped.weights),
            ):
                barrel = (c["recoil_cos_theta_lab"] > low) & (c["recoil_cos_theta_lab"] < high)
                use = (p == process) & (c["m_mumu"] > a) & (c["m_mumu"] < b) & barrel & (c["pt_mumu_cms"] > 0.1)
                totals.append(w[use].sum())
                variances.append((w[use] ** 2).sum())
            # a small sample of heavy weights underestimates its own error: ask for 20 effective events
            if totals[0] ** 2 > 20 * variances[0]:
                assert totals[0] == pytest.approx(totals[1], abs=4 * np.sqrt(sum(variances)))


def test_template_says_how_it_was_made(shipped):
    with as_file(data_file("README.md")) as readme:
        assert sum(file.stat().st_size for file in readme.parent.glob("*.npz")) < 25e6
    assert shipped.processes == tuple(p.name for p in RECIPES["dimuon_missing"].processes)
    for name, record in shipped.about["made"].items():
        assert record["kept"] <= record["preselected"] <= record["generated"] == RECIPES["dimuon_missing"].events[name]
        assert record["equivalent_luminosity_fb"] > 0
    json.dumps(shipped.about)


def test_background_is_mostly_radiative_dimuons_after_the_pair_pt_cut(shipped):
    """The collaboration quotes mumu 79 %, tautau 18 %, eemumu 3 % for its sample; our mix is near it, within 10 points."""
    from belle2dark.trigger.menu import load_menu

    search = load_search("dark_higgsstrahlung")
    m, recoil = shipped.columns["m_mumu"], shipped.columns["recoil_mass_squared"]
    plane = (
        (m > 1.65) & (m < 10.51) & (recoil > 0) & (recoil < m**2) & search.selection(search.parse({}))[0].keep(shipped.columns)
    )
    weights = shipped.weights * load_menu().keep_probability(shipped.bits, ["ffo"]) * plane
    share = np.bincount(shipped.process, weights) / weights.sum()
    assert share == pytest.approx([0.79, 0.18, 0.03], abs=0.10)


def test_windows_that_matter_have_enough_effective_events():
    """Wherever the background matters (1 event at 8.34 fb-1), at least 25 effective events stand behind it."""
    search = load_search("dark_higgsstrahlung")
    dataset = search.default_dataset
    centres, covariances = [], []
    for m in np.arange(4.0, 9.8, 0.35):
        for fraction in (0.05, 0.3, 0.6, 0.9):
            h = fraction * min(m, dataset.detector.beams.sqrt_s - m)
            centres.append((m, h * h))
            covariances.append([[0.015**2, -0.9 * 0.015 * 0.25], [-0.9 * 0.015 * 0.25, 0.25**2]])
    fb, effective = window_background(search, dataset, (dataset.name,), dataset.lines, np.array(centres), np.array(covariances))
    variance = np.divide(fb**2, effective, out=np.zeros_like(fb), where=effective > 0).sum(axis=0)
    total = fb.sum(axis=0)
    matters = total * 8.34 > 1.0
    assert matters.sum() > 5
    assert (total[matters] ** 2 / variance[matters] >= 25).all()


#: the other final states
#: B decays, displaced pairs and six tracks: few of the events that are generated pass
RARE = ("b_", "displaced_", "dark_higgs_", "six_tracks")
others = pytest.mark.parametrize("name", [name for name in RECIPES if name != "dimuon_missing"])
#: backgrounds of far less than an event, or from a few decays of a list that no thinning makes more
QUIET = ("displaced_photon", "dark_higgs_displaced", "b_to_proton", "b_to_lambda_c")
#: one rebuild of each kind; the others take as long and say the same
KINDS = ("b_kplus_mumu", "b_to_kstar_missing", "b_to_lambda", "displaced_photon", "six_tracks")
rebuilt = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.study) if n.startswith(RARE) and n not in KINDS else n
             for n in RECIPES if n != "dimuon_missing"])  # fmt: skip


def effective(weights):
    return weights.sum() ** 2 / (weights**2).sum() if len(weights) else 0.0


def test_every_final_state_has_a_recipe():
    """At Belle II, or at the experiment that can see it (the Upsilon(2S) was taken by Belle)."""
    others = {name: recipe for recipes in OTHER_RECIPES.values() for name, recipe in recipes.items()}
    assert set(RECIPES) | set(others) == set(FINAL_STATES)
    for name, recipe in (others | RECIPES).items():
        assert recipe.name == name
        assert set(recipe.events) == set(recipe.per_cell) == {p.name for p in recipe.processes}


@rebuilt
def test_rebuild_of_the_others_agrees_with_the_shipped_template(name):
    """Rates per process where searches look and elsewhere, within four Monte Carlo errors of the two samples."""
    shipped, state = load_template(name, BELLE2), FINAL_STATES[name]
    arrays = build(RECIPES[name], BELLE2, seed=4, scale=min(0.04, 600_000 / max(RECIPES[name].events.values())))
    columns = derive(state, arrays, BELLE2)
    compared = 0
    for process in range(len(shipped.processes)):
        for dense in (True, False):
            totals, variances = [], []
            for c, p, w in (
                (columns, arrays["process"], arrays["weights"].astype(float)),
                (shipped.columns, shipped.process, shipped.weights),
            ):
                use = (p == process) & (state.dense(c, BELLE2) == dense)
                totals.append(w[use].sum())
                variances.append((w[use] ** 2).sum())
            # electrons that pass as photons have weights over orders of magnitude, and too few of them underestimate
            # their own error: ask for 100 effective events
            if totals[0] ** 2 > 100 * variances[0]:
                compared += 1
                assert totals[0] == pytest.approx(totals[1], abs=4 * np.sqrt(sum(variances)))
    assert compared >= (1 if name.startswith(RARE) else min(2, len(shipped.processes)))


@others
def test_the_others_load_whole(name):
    template, state, recipe = load_template(name, BELLE2), FINAL_STATES[name], RECIPES[name]
    assert template.processes == tuple(p.name for p in recipe.processes)
    assert (500 if name.startswith(RARE) else 15_000) <= len(template) <= 100_000
    assert set(template.columns) == set(state.meanings)
    assert all(np.isfinite(values).all() for values in template.columns.values())
    assert (template.weights > 0).all() and (template.bits > 0).all()
    for record in template.about["made"].values():
        assert record["kept"] <= record["preselected"] <= record["generated"]
    with as_file(data_file(f"template_{name}.npz")) as path, np.load(path) as file:
        for key in {"tracks", "photons"} & set(file.files):
            assert np.abs(file[key]).max() < 32767  # nothing beyond the range of the steps


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("dimuon_missing", *QUIET)])
def test_the_others_have_effective_events_where_searches_look(name):
    """Twenty windows along the first mass: those with more than 1 % of the rate have at least 25 effective events.

    Where next to nothing is simulated each limit has the error of the few events that there are.
    """
    template, state = load_template(name, BELLE2), FINAL_STATES[name]
    dense = state.dense(template.columns, BELLE2)
    window = state.axes[0].place(template.columns, BELLE2) * 20 // state.axes[0].bins
    weights = np.where(dense, template.weights, 0.0)
    rates = np.bincount(window, weights, minlength=20)
    matter = np.flatnonzero(rates > 0.01 * rates.sum())
    assert len(matter) >= 5
    for k in matter:
        assert effective(weights[dense & (window == k)]) >= 25


def test_single_photons_that_nobody_can_lose_are_neutrinos():
    """The irreducible rate in the barrel is that of nu nu gamma: a few fb, far below what photons and electrons leave."""
    template = load_template("single_photon", BELLE2)
    dense = FINAL_STATES["single_photon"].dense(template.columns, BELLE2)
    rates = dict(zip(template.processes, np.bincount(template.process[dense], template.weights[dense]), strict=True))
    assert 0.5 < rates["nunu_gamma"] < 4.0
    assert rates["ee_gamma"] > rates["gamma_gamma"] > 100 * rates["nunu_gamma"]


def test_bad_names():
    with pytest.raises(ValueError, match="nearest: emu_missing"):
        load_template("emu_mising", BELLE2)


def test_a_search_with_another_final_state_only_names_its_template():
    """gamma X against the single-photon template: signal and background from the code that serves the dimuon search."""
    base = load_search("dark_higgsstrahlung")
    window = replace(
        base.window,
        x="recoil_mass_squared",
        y="cos_theta_lab",
        centre=lambda values: (values["m_aprime"] ** 2, 0.3),
        physical=lambda x, y, dataset: np.ones(x.shape, dtype=bool),
    )
    search = replace(
        base,
        name="any",
        template="single_photon",
        cuts=lambda choices, dataset: (),
        window=window,
        generate=lambda values, n, key, dataset, isr: generate_gamma_x(
            n, key, dataset.detector.beams, float(values["m_aprime"]), "dark_photon", isr=isr
        ),
    )
    dataset = search.default_dataset
    masses = tuple({"m_aprime": 6.0}.get(name, dataset.name) for name in search.masses)
    lines = ("lml1", "lml6", "hie")
    summary = summarise(search, dataset, masses, 10_000, 1, lines)
    assert 0.01 < summary.parts.efficiency < summary.parts.acceptance < 1
    assert [step.name for step in steps_of(search, summary.simulated, masses, lines)][1] == "acceptance"
    rates = background(search, dataset, masses, 10_000, 1, lines)
    assert [p.name for p in rates] == ["ee_gamma", "gamma_gamma", "nunu_gamma", "cosmic_photon"]
    assert sum(p.fb for p in rates) > 0
