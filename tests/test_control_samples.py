"""Regions of one mass and their control samples: what dominates where, purities, errors, the photon veto."""

from __future__ import annotations

import math

import numpy as np
import pytest

from belle2dark import plots
from belle2dark.control import control_sample, controlled, measured, veto_sample
from belle2dark.mass_regions import mass_controls, mass_regions, mass_table, merged, veto_controls
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import load_search
from belle2dark.sourced import load_numbers

SEARCH = load_search("zprime_invisible")
DATASET = SEARCH.default_dataset


def controls(**given):
    return mass_controls(mass_regions(SEARCH, given)).set_index(["region", "process"])


@pytest.fixture(scope="module")
def network():
    return mass_regions(SEARCH)


@pytest.fixture(scope="module")
def veto(network):
    return veto_controls(network).set_index("region")


# --- regions


def test_regions_add_up_to_everything_that_is_selected(network):
    choices = choices_of(SEARCH, SEARCH.parse({}))
    template, weights = selected_template(SEARCH, DATASET, choices, DATASET.lines)
    total = [float(DATASET.luminosity) * weights[template.process == k].sum() for k in range(len(template.processes))]
    assert network.yields.sum(axis=1) == pytest.approx(total, rel=1e-9)
    finer = mass_regions(SEARCH, edges=np.linspace(0.0, DATASET.detector.beams.sqrt_s, 23))
    assert finer.yields.sum(axis=1) == pytest.approx(total, rel=1e-9)
    for process in ("mumu_gamma", "tautau"):
        sample = control_sample(SEARCH, DATASET, choices, DATASET.lines, process)
        rows = mass_controls(network).set_index("process").loc[process]
        assert rows["events"].sum() == pytest.approx(float(DATASET.luminosity) * sample.weights.sum(), rel=1e-9)


def test_the_network_turns_medium_masses_from_taus_to_lost_photons(network):
    """As published: taus are all but gone, dimuons with lost photons dominate up to 7 GeV and two-photon events above."""
    before = mass_table(mass_regions(SEARCH, {"selection": "preselection"})).set_index("region")
    after = mass_table(network).set_index("region")
    assert list(before["dominant"]) == ["mumu_gamma", "tautau", "eemumu"]
    assert list(after["dominant"]) == ["mumu_gamma", "mumu_gamma", "eemumu"]
    assert after.loc["medium", "tautau"] < 1e-3 * before.loc["medium", "tautau"]


def test_merged_neighbours_differ_and_nothing_is_lost(network):
    fine = mass_regions(SEARCH, edges=np.arange(0.0, 10.6, 0.5))
    joined = merged(fine)
    assert all(a != b for a, b in zip(joined.dominant, joined.dominant[1:], strict=False))
    assert 1 < len(joined.names) < len(fine.names) and set(joined.edges) <= set(fine.edges)
    assert np.allclose(joined.yields.sum(axis=1), fine.yields.sum(axis=1), rtol=1e-12)
    assert joined.dominant == merged(joined).dominant


# --- control samples


@pytest.mark.parametrize(("given", "purity"), [({"selection": "preselection"}, 0.8), ({"dataset": "belle2_pilot"}, 0.5)])
def test_taus_dominate_medium_masses_of_the_electron_muon_sample(given, purity):
    """Simulated events tell it from 0.8 at the preselection; the pilot run's cuts leave too few for more than a majority."""
    row = controls(**given).loc[("medium", "tautau")]
    error = math.sqrt(row["purity"] * (1 - row["purity"]) / row["simulated"])
    assert row["control"] == "emu_missing" and row["purity"] - 3 * error > purity


def test_after_the_network_the_electron_muon_sample_is_still_taus_where_they_are_many():
    row = controls().loc[("high", "tautau")]
    assert row["purity"] > 0.8 and row["statistical"] < 0.01


@pytest.mark.parametrize("selection", ["preselection", "cuts", "classifier"])
def test_a_found_photon_makes_a_pure_sample_of_radiative_dimuons(selection):
    table = controls(selection=selection)
    low = table.loc[("low", "mumu_gamma")]
    assert low["control"] == "dimuon_photon" and low["purity"] > 0.99 and low["simulated"] > 1000
    if selection == "classifier":  # rectangular cuts leave 1 % taus, at high masses, and the preselection alone 2 %
        rows = table.xs("mumu_gamma", level="process")
        assert (rows["purity"] * rows["events"]).sum() > 0.99 * rows["events"].sum()


def test_tau_pairs_make_electron_muon_as_often_as_their_branching_fractions_say():
    """2 B(e) B(mu) against B(mu)^2: the same events but for how electrons and muons are found, some 10 %."""
    numbers = load_numbers("backgrounds")
    ratio = 2 * float(numbers["tau_to_e_branching_fraction"]) / float(numbers["tau_to_mu_branching_fraction"])
    regions = mass_regions(SEARCH, {"selection": "preselection"})
    row = mass_controls(regions).set_index(["region", "process"]).loc[("medium", "tautau")]
    dimuon = mass_table(regions).set_index("region").loc["medium", "tautau"]
    error = 3 / math.sqrt(row["simulated"])
    assert row["events"] * row["purity"] / dimuon == pytest.approx(ratio, rel=0.1 + error)


def test_errors_fall_with_the_root_of_luminosity_down_to_what_other_rates_leave():
    now, more = controls(), controls(luminosity=100 * float(DATASET.luminosity))
    pairs = [("low", "mumu_gamma"), ("medium", "mumu_gamma"), ("medium", "tautau"), ("high", "tautau")]
    assert np.allclose(now.loc[pairs, "statistical"], 10 * more.loc[pairs, "statistical"], rtol=1e-9)
    assert np.allclose(now.loc[pairs, "purity"], more.loc[pairs, "purity"], rtol=1e-9)
    # pure: the root of the count, and all of it; impure: the subtracted processes stay as uncertain as they are
    low = now.loc[("low", "mumu_gamma")]
    assert low["statistical"] == pytest.approx(low["events"] ** -0.5, rel=1e-3)
    assert more.loc[("medium", "tautau"), "uncertainty"] > 0.5 * now.loc[("medium", "tautau"), "uncertainty"]


def test_errors_of_a_count_by_hand():
    sample = control_sample(SEARCH, DATASET, choices_of(SEARCH, SEARCH.parse({})), DATASET.lines, "mumu_gamma")
    assert sample.processes == ("mumu_gamma", "tautau", "eemumu")
    row = measured(sample, np.array([81.0, 0.0, 19.0]), "mumu_gamma")
    assert row["purity"] == pytest.approx(0.81) and row["statistical"] == pytest.approx(10 / 81)
    assert row["uncertainty"] == pytest.approx(math.hypot(10, 19 * sample.rate["eemumu"]) / 81)
    assert measured(sample, np.zeros(3), "mumu_gamma")["uncertainty"] == 1.0


def test_corrections_of_a_dataset_act_on_its_control_samples_as_on_its_backgrounds():
    pilot = SEARCH.datasets["belle2_pilot"]
    choices = choices_of(SEARCH, SEARCH.parse({"selection": "preselection"}))
    one, two = (control_sample(SEARCH, d, choices, DATASET.lines, "tautau").weights for d in (DATASET, pilot))
    assert pilot.correction < 0.6 and np.allclose(two, pilot.correction * one)


# --- photon veto


def test_electron_pairs_lose_as_many_photons_as_the_calorimeter_and_its_gaps(veto, network):
    """At least its inefficiency, not many times it, and like muon pairs: their lost over found, other gaps and angles."""
    low = veto.loc["low"]
    floor, error = DATASET.detector.number("photon_veto_inefficiency"), 3 / math.sqrt(low["simulated"])
    assert floor * (1 - error) < low["inefficiency"] < 3 * floor
    found = mass_controls(network).set_index(["region", "process"]).loc[("low", "mumu_gamma")]
    muons = mass_table(network).set_index("region").loc["low", "mumu_gamma"] / (found["events"] * found["purity"])
    assert 0.5 < low["inefficiency"] / muons < 2.0


def test_the_veto_is_known_far_better_than_its_published_uncertainty_from_counting_alone(veto):
    """34 % at low masses cannot be the statistics of this sample: it is the extrapolation, which is not modelled."""
    low = veto.loc["low"]
    assert low["purity"] > 0.95
    assert low["statistical"] == pytest.approx(math.sqrt((1 - low["inefficiency"]) / low["lost"]), rel=0.05)
    assert low["statistical"] < 0.1 * SEARCH.numbers["photon_veto"].values[0]


# --- what is not there, bad input, tables


def test_belle_has_no_control_samples_and_keeps_the_uncertainties_of_rates():
    belle = SEARCH.datasets["belle_977"]
    assert controlled(SEARCH, belle) == () and controlled(SEARCH, DATASET) == ("mumu_gamma", "tautau")
    table = controls(dataset="belle_977")
    rate = float(load_numbers("backgrounds")["mumu_gamma_uncertainty"])
    assert set(table["control"]) == {""} and (table.xs("mumu_gamma", level="process")["uncertainty"] == rate).all()


def test_bad_input_is_refused():
    plane, flavour = load_search("dark_higgsstrahlung"), load_search("zprime_lfv")
    choices = choices_of(SEARCH, SEARCH.parse({}))
    with pytest.raises(ValueError, match="one mass"):
        mass_regions(plane)
    with pytest.raises(ValueError, match="increase from 0"):
        mass_regions(SEARCH, edges=[3.0, 1.0])
    with pytest.raises(ValueError, match="no region_masses: give edges"):
        mass_regions(flavour)
    with pytest.raises(ValueError, match=r"'eemumu' has no control sample .*known: mumu_gamma, tautau"):
        control_sample(SEARCH, DATASET, choices, DATASET.lines, "eemumu")
    with pytest.raises(ValueError, match="n_events = -1"):
        veto_sample(SEARCH, DATASET, choices, DATASET.lines, -1)
    with pytest.raises(ValueError, match="two muons and nothing else"):
        veto_sample(flavour, flavour.default_dataset, (), flavour.default_dataset.lines)


def test_tables_name_regions_samples_and_what_is_poorly_simulated(network, veto):
    text = plots.control_tables(network, veto=False).data
    assert all(word in text for word in ("low", "medium", "high", "μμγ", "eμ", "none: its rate"))
    table = controls()
    assert text.count("(few)") == ((table["simulated"] < 10) & (table["control"] != "")).sum()
    with_veto = plots.control_tables(network).data
    assert with_veto.startswith(text) and with_veto.count("<table") == 3
    assert plots.tables.percent(veto.loc["low", "inefficiency"]) in with_veto
