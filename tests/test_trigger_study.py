"""Turn-on curves, the reference-trigger recipe, rates against the budgets, and the HLT lines."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom, norm

from belle2dark.constants import M_MUON
from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.observed import observe
from belle2dark.simulation.beams import to_cms, to_lab
from belle2dark.simulation.events import Events
from belle2dark.simulation.two_photon import generate_eemumu
from belle2dark.trigger.efficiency import contributions, efficiency, reference_trigger_efficiency, turn_on
from belle2dark.trigger.hlt import LINES, Clusters, clusters_of, displaced_vertex, hlt_line, pair_veto, single_muon
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects
from belle2dark.trigger.rates import PHYSICS, rates
from belle2dark.trigger.response import L1

MENU = load_menu()
BEAMS = BELLE2.beams


def photons(n, seed, low=0.5, high=3.0):
    """Photons, flat in energy [GeV, centre of mass] and in the barrel."""
    rng = np.random.default_rng(seed)
    energy, cos, phi = rng.uniform(low, high, n), rng.uniform(-0.5, 0.7, n), rng.uniform(-np.pi, np.pi, n)
    sin = np.sqrt(1 - cos**2)
    cms = energy[:, None] * np.stack([np.ones(n), sin * np.cos(phi), sin * np.sin(phi), cos], axis=1)
    return energy, Events(momenta_lab={"gamma_1": to_lab(cms, BEAMS)}, weights=np.full(n, 1.0 / n))


# --- efficiencies ---


def test_turn_on_recovers_a_known_curve():
    rng = np.random.default_rng(1)
    x = rng.uniform(0.0, 2.0, 100_000)
    truth = norm.cdf((x - 1.0) / 0.2)
    curve = turn_on(rng.random(len(x)) < truth, x, np.linspace(0, 2, 21))
    expected = np.array([truth[(x >= a) & (x < b)].mean() for a, b in zip(curve.edges[:-1], curve.edges[1:], strict=True)])
    inside = (curve.low <= expected) & (expected <= curve.high)
    assert inside.sum() >= 10, "68 % intervals of 20 bins: 14 expected, 10 is 2 sigma"
    assert curve.plateau(1.6) == pytest.approx(1.0, abs=0.01)


def test_interval_covers_like_its_level():
    """Wilson intervals of binomial counts: mean coverage 0.68 within its known wiggles."""
    n = 60
    curves = [turn_on(np.arange(n) < k, np.zeros(n), [-1, 1]) for k in range(n + 1)]
    low, high = (np.array([getattr(c, side)[0] for c in curves]) for side in ("low", "high"))
    p = np.linspace(0.05, 0.95, 181)
    covered = [binom.pmf(np.arange(n + 1), n, x)[(low <= x) & (x <= high)].sum() for x in p]
    assert np.mean(covered) == pytest.approx(0.683, abs=0.02)


def test_weights_and_empty_bins():
    curve = turn_on([True, False, True], [0.5, 0.5, 2.5], [0, 1, 2, 3], [3.0, 1.0, 1.0])
    assert curve.efficiency == pytest.approx([0.75, 0.0, 1.0])
    assert (curve.low[1], curve.high[1], curve.n_effective[1]) == (0.0, 1.0, 0.0)
    assert curve.n_effective[0] == pytest.approx(16 / 10)
    assert efficiency([True, False]).value == 0.5


def test_photon_line_turns_on_at_its_threshold():
    energy, events = photons(20_000, 2)
    fired = MENU.fired(MENU.evaluate(l1_objects(events, BELLE2, 2)), ["lml6"])
    curve = turn_on(fired, energy, np.linspace(0.5, 3.0, 26))
    assert curve.efficiency[curve.edges[1:] <= 0.8].max() == 0.0
    middle = np.interp(0.5, curve.efficiency[2:8], curve.centres[2:8])
    assert middle == pytest.approx(1.0, abs=0.06), "cells have thresholds in steps of a tenth"
    assert curve.plateau(1.2) == pytest.approx(L1.number("cluster_efficiency"), abs=0.003)


def test_reference_recipe_is_unbiased_for_independent_lines():
    rng = np.random.default_rng(3)
    n, true = 40_000, 0.73
    bits = np.zeros(n, dtype=np.uint64)
    for name, p in (("ffo", true), ("hie", 0.3), ("c4", 0.1)):
        bits |= (rng.random(n) < p).astype(np.uint64) * MENU.mask([name])
    found = reference_trigger_efficiency(MENU, bits, "ffo", ["hie", "c4"])
    assert found.value == pytest.approx(true, abs=3 * (found.high - found.low) / 2)
    assert found.n_effective == pytest.approx(n * (1 - 0.7 * 0.9), rel=0.03)
    with pytest.raises(ValueError, match="other than 'ffo'"):
        reference_trigger_efficiency(MENU, bits, "ffo", ["ffo", "hie"])
    with pytest.raises(ValueError, match="at least one line"):
        reference_trigger_efficiency(MENU, bits, "ffo", [])


def test_reference_recipe_on_simulated_events():
    """Muons with an unrelated photon: the CDC line measured on hie events agrees with its true efficiency."""
    rng = np.random.default_rng(4)
    n = 20_000
    phi, theta = rng.uniform(-np.pi, np.pi, n), rng.uniform(0.7, 2.0, n)
    slots = {"gamma_1": photons(n, 5, 1.5, 3.0)[1].momenta_lab["gamma_1"]}
    for name, f in (("mu-", phi), ("mu+", phi + 2.5)):
        p = 2.0 * np.stack([np.sin(theta) * np.cos(f), np.sin(theta) * np.sin(f), np.cos(theta)], axis=1)
        slots[name] = np.concatenate([np.full((n, 1), np.hypot(2.0, M_MUON)), p], axis=1)
    bits = MENU.evaluate(l1_objects(Events(momenta_lab=slots, weights=np.ones(n)), BELLE2, 6))
    found = reference_trigger_efficiency(MENU, bits, "ffo", ["hie", "c4"])
    assert found.value == pytest.approx(efficiency(MENU.fired(bits, ["ffo"])).value, abs=3 * (found.high - found.low) / 2)


def test_contributions_add_up():
    rng = np.random.default_rng(6)
    bits = np.zeros(5000, dtype=np.uint64)
    for name, p in (("ffo", 0.5), ("cdcklm1", 0.4), ("stt", 0.6)):
        bits |= (rng.random(5000) < p).astype(np.uint64) * MENU.mask([name])
    weights = rng.random(5000)
    lines = ("ffo", "cdcklm1")
    found = contributions(MENU, bits, weights, lines)
    share = {name: weights @ MENU.fired(bits, [name]) / weights.sum() for name in ("ffo", "cdcklm1", "stt")}
    assert all(found.alone[name] == pytest.approx(value) for name, value in share.items())
    assert found.union == pytest.approx(found.alone["ffo"] + found.unique["cdcklm1"])
    assert found.unique["stt"] == 0.0 and set(found.alone) == set(MENU.names_of("Belle II"))
    assert contributions(MENU, bits, np.zeros(5000), lines).union == 0.0


# --- rates ---


def one_photon(n, key, beams):
    """A process of known rate: photons of 3 GeV in the barrel, 10 pb."""
    _, events = photons(n, key % 1000, 3.0, 3.0001)
    return dataclasses.replace(events, weights=np.full(n, 1e4 / n))


def test_rate_is_cross_section_times_luminosity_times_efficiency():
    process = SimpleNamespace(name="photons", generate=one_photon)
    menu = MENU.with_prescales({"hie": 4.0})
    found = rates(menu, [process], 6e35, lines=["lml1", "lml6", "hie"], n=20_000)
    produced = 1e4 * 1e-39 * 6e35
    assert found.produced_hz[0] == pytest.approx(produced)
    for line, keeps in (("lml1", 1.0), ("lml6", 1.0), ("hie", 0.25)):
        rate, error = found.of(line)
        plateau = keeps * L1.number("cluster_efficiency") * produced
        assert rate == pytest.approx(plateau, abs=4 * error * np.sqrt(0.01) + 0.003 * produced)
    assert found.total[0] == pytest.approx(found.of("lml1")[0], rel=1e-6), "the three lines see the same photon"
    double = rates(menu, [process], 1.2e36, lines=["lml1"], n=20_000)
    assert double.of("lml1")[0] == pytest.approx(2 * found.of("lml1")[0])


def test_rates_of_processes_add_and_meet_the_budgets():
    processes = [SimpleNamespace(name="eemumu", generate=generate_eemumu), SimpleNamespace(name="photons", generate=one_photon)]
    lines = ("ffo", "cdcklm1", "cdcklm2", "lml6")
    found = rates(MENU, processes, 6e35, lines=lines, n=20_000)
    assert found.processes == ("eemumu", "photons") and found.hz.shape == (4, 2)
    assert found.total[0] <= sum(found.of(line)[0] for line in lines) + 1e-9
    assert all(found.total[0] >= found.of(line)[0] - 1e-9 for line in lines)
    assert found.l1_limit == 30e3 and found.hlt_limit == 10e3
    assert found.l1_share == pytest.approx(found.total[0] / 30e3) and found.hlt_reduction >= 1.0
    assert (found.hz[:, 0] <= found.produced_hz[0]).all()
    with pytest.raises(ValueError, match="no rate of L1 line 'hie'"):
        found.of("hie")


@pytest.mark.parametrize("bad", [{"luminosity": 0.0}, {"luminosity": float("nan")}, {"luminosity": 1e35, "n": 0}])
def test_bad_rates_are_refused(bad):
    with pytest.raises(ValueError, match=r"luminosity|n = 0"):
        rates(MENU, [], **bad)


def test_photon_lines_have_the_rates_quoted_for_full_luminosity():
    """The 2019 talk: 4 kHz (barrel) and 7 kHz (endcaps) for one photon of 1 GeV, 5 kHz for 2 GeV in the barrel with Bhabha veto.

    Asked for within a factor 1.6: the generators carry 10 to 15 %, gaps and edges of rings more, and beam background is
    missing.
    """
    menu = MENU.with_line("lml1_vetoed", lambda found: (found["cms2_4_14"] > 0) & (found["bhabha"] == 0))
    found = rates(menu, PHYSICS[:3], L1.number("quoted_luminosity"), lines=["lml6", "lml7", "lml1_vetoed", "bha3d"], n=100_000)
    quoted = {"lml6": "single_photon_barrel", "lml7": "single_photon_endcaps", "lml1_vetoed": "two_gev_barrel"}
    for line, name in quoted.items():
        assert 1 / 1.6 < found.of(line)[0] / (1e3 * L1.number(f"quoted_{name}")) < 1.6
    electrons = found.hz[found.lines.index("bha3d"), 0] / found.produced_hz[0]
    assert 0.1 < electrons < 0.6, "the veto fires on Bhabhas, of which most are near the edges of the calorimeter"


# --- HLT ---


def clusters(neutral, charged=()):
    """One event from lists of (energy in the centre of mass [GeV], lab polar angle [deg], azimuth [deg])."""

    def row(energy, theta, phi):
        t, f = np.radians(theta), np.radians(phi)
        ray = np.array([1.0, np.sin(t) * np.cos(f), np.sin(t) * np.sin(f), np.cos(t)])
        return ray * energy / to_cms(ray, BEAMS)[0]

    return Clusters(neutral_lab=np.array([[row(*x) for x in neutral]]).reshape(1, -1, 4),
                    charged_lab=np.array([[row(*x) for x in charged]]).reshape(1, -1, 4), beams=BEAMS)  # fmt: skip


def test_single_photon_lines_have_their_windows():
    def fired(*neutral, charged=()):
        return {name for name, line in LINES.items() if line.keep(clusters(neutral, charged))[0]}

    everything = {"single_photon_1gev_central", "single_photon_1gev_barrel", "single_photon_05gev_central", "photon_2gev_barrel"}
    assert fired((2.5, 80, 10)) == everything
    assert fired((1.5, 80, 10)) == everything - {"photon_2gev_barrel"}
    assert fired((0.7, 80, 10)) == {"single_photon_05gev_central"} and fired((0.4, 80, 10)) == set()
    assert fired((1.5, 35, 10)) == {"single_photon_1gev_barrel"}
    assert fired((1.5, 110, 10)) == {"single_photon_1gev_barrel", "single_photon_1gev_central"}
    assert fired((2.5, 25, 10)) == {"photon_2gev_endcaps"} and fired((2.5, 15, 10)) == set()
    assert fired((2.5, 80, 10), (0.5, 60, 200)) == {"photon_2gev_barrel"}, "a second cluster above 0.3 GeV"
    assert fired((2.5, 80, 10), (0.2, 60, 200)) == everything
    assert fired((1.5, 80, 10), charged=[(0.5, 60, 200)]) == set()
    with pytest.raises(ValueError, match="nearest: photon_2gev_barrel"):
        hlt_line("photon_2gev_barel")
    with pytest.raises(ValueError, match="expected"):
        Clusters(neutral_lab=np.zeros((2, 3)), charged_lab=np.zeros((2, 1, 4)), beams=BEAMS)


def test_hlt_sees_observed_events():
    """A radiated photon of 3 GeV beside muons fires the hard-photon line; the muons' clusters are charged ones."""
    photon = to_lab(np.array([[3.0, 3.0 * np.sin(1.5), 0.0, 3.0 * np.cos(1.5)]]), BEAMS)
    muon = {name: np.array([[2.0, 0.0, s * np.sqrt(4.0 - M_MUON**2), 0.0]]) for name, s in (("mu-", 1), ("mu+", -1))}
    seen = clusters_of(observe(Events(momenta_lab={**muon, "gamma_1": photon}, weights=np.ones(1)), BELLE2, 1), BEAMS)
    assert list(seen.neutral_lab[0, :, 0] > 0) == [False, False, True]
    assert list(seen.charged_lab[0, :, 0] > 0) == [True, True, False]
    assert LINES["photon_2gev_barrel"].keep(seen)[0]


def test_two_photon_final_states_are_vetoed():
    """gamma gamma at the beam energy in the centre of mass is vetoed, one with a soft partner or an angle is not."""
    e = BEAMS.sqrt_s / 2
    direction = np.array([0.0, np.sin(1.1), 0.0, np.cos(1.1)])
    pair = np.array([[to_lab(e * (np.array([1.0, 0, 0, 0]) + s * direction), BEAMS) for s in (1, -1)]])
    assert pair_veto(pair, BEAMS)[0]
    assert not LINES["photon_2gev_barrel"].keep(Clusters(neutral_lab=pair, charged_lab=np.zeros((1, 0, 4)), beams=BEAMS))[0]
    assert not pair_veto(pair * np.array([1.0, 0.5])[:, None], BEAMS)[0]
    bent = pair.copy()
    bent[0, 1, 2] += 0.3
    assert not pair_veto(bent, BEAMS)[0]


def test_displaced_vertex_line():
    good = {"vertex": (10.0, 0.0, 2.0), "tracks": ((1.0, 0.5, 0.3), (0.8, -0.6, 0.1)), "p": 0.5}

    def keep(**change):
        x = good | change
        return bool(displaced_vertex(np.array([x["vertex"]]), np.array([x["tracks"]]), np.array([x["p"]]))[0])

    assert keep()
    assert not keep(vertex=(2.0, 0.0, 2.0)) and not keep(vertex=(61.0, 0.0, 2.0)), "3 to 60 cm"
    assert not keep(vertex=(10.0, 0.0, 30.0)) and not keep(vertex=(10.0, 0.0, -8.0)), "30 to 120 degrees"
    assert not keep(p=0.001)
    assert not keep(tracks=((1.0, 0.5, 0.3), (-1.0, -0.5, -0.3))), "cosmic: back to back"
    assert keep(tracks=((1.0, 0.5, 0.3), (-1.0, -0.5, 0.8)))


def test_single_muon_line():
    track = np.array([[[4.5, 0.0, 1.0]]])
    assert single_muon(track, M_MUON, np.array([[0.2]]), BEAMS)[0]
    assert not single_muon(track, M_MUON, np.array([[1.5]]), BEAMS)[0]
    assert not single_muon(0.5 * track, M_MUON, np.array([[0.2]]), BEAMS)[0]
