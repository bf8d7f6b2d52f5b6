"""Belle in the final state of two muons and nothing else: L1 geometry and lines, muon identification, the background template."""

import json
from importlib.resources import as_file

import numpy as np
import pytest

from belle2dark.constants import M_MUON
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2
from belle2dark.final_states import final_state
from belle2dark.recipes import OTHER_RECIPES, RECIPES, recipe_of
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.beams import to_lab
from belle2dark.simulation.events import Events
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.sourced import data_file
from belle2dark.templates import build, derive, load_template
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import OBJECTS, l1_objects
from belle2dark.trigger.rates import rates
from belle2dark.trigger.response import L1, l1_response
from tests.test_detector_records import probability

MENU = load_menu()
LINES = MENU.selections["belle"]
SURE = BELLE.vary(l1_track_efficiency=1.0, l1_klm_efficiency=1.0)
N = 4000


def muons(theta, phi, p=3.0):
    """Pairs of muons from the origin: polar angles [deg], azimuths [deg] and momenta [GeV], each one number or (n,) per muon."""
    slots = {}
    for name, t, f, momentum in zip(("mu-", "mu+"), theta, phi, np.broadcast_to(p, 2), strict=True):
        t, f, momentum = np.broadcast_arrays(np.radians(t), np.radians(f), momentum)
        x, y, z = np.sin(t) * np.cos(f), np.sin(t) * np.sin(f), np.cos(t)
        slots[name] = np.atleast_2d(np.stack([np.hypot(momentum, M_MUON), momentum * x, momentum * y, momentum * z], axis=-1))
    return Events(momenta_lab=slots, weights=np.ones(len(slots["mu-"])))


def turned(opening, theta=(70.0, 90.0), p=3.0):
    """N pairs ``opening`` degrees apart in azimuth, at any azimuth."""
    phi = np.random.default_rng(1).uniform(0.0, 360.0, N)
    return muons(theta, (phi, phi + opening), p)


# --- lines ---

#: what each line must see, and changes of it that must not fire
TRUTH = {
    "belle_two_track": ({"tracks_2d": 2, "open135": 1, "tsc": 2, "clusters": 1},
                        [{"tracks_2d": 1}, {"open135": 0}, {"tsc": 1}, {"clusters": 0}]),
    "belle_full_short": ({"tracks_2d": 1, "open135": 1, "elow": 1},
                         [{"tracks_2d": 0}, {"open135": 0}, {"elow": 0}, {"bhabha": 1}]),
    "belle_klm_open": ({"klm": 1, "open135": 1}, [{"klm": 0}, {"open135": 0}]),
    "belle_eklm_open": ({"eklm": 1, "open135": 1}, [{"eklm": 0}, {"open135": 0}]),
    "belle_energy": ({"ehigh": 1}, [{"ehigh": 0}, {"bhabha": 1}]),
    "bb_belle": ({"b_mesons": 1}, [{"b_mesons": 0}]),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUTH)
def test_logic_of_every_line(name):
    fires, changes = TRUTH[name]
    for case, expected in ((fires, True), *(({**fires, **change}, False) for change in changes)):
        objects = {key: np.array([case.get(key, 0)], dtype=np.int8) for key in OBJECTS}
        assert MENU[name].fires(objects)[0] == expected, case


def test_lines_of_belle_stand_behind_those_of_belle2_and_are_offered_to_belle_only():
    first = MENU.names.index(LINES[0])
    assert tuple(TRUTH)[:-1] == LINES and tuple(TRUTH) == MENU.names_of("Belle") == MENU.names[first : first + len(TRUTH)]
    assert MENU.names[:first] == MENU.names_of("Belle II") and MENU.names[first + len(TRUTH) :] == MENU.names_of("BaBar")
    assert MENU.bit[LINES[0]] == MENU.bit["ffo"] == MENU.bit["babar_three_long"] == 0, "numbered in each experiment"
    assert not set(LINES) & set(MENU.names_of("Belle II"))
    pages = {name: {line.name for line in MENU.offered("dimuon_missing", experiment=name)} for name in ("Belle II", "Belle")}
    assert pages["Belle"] == set(LINES) and "ffo" in pages["Belle II"] and not pages["Belle II"] & set(LINES)
    assert {"ffo", "belle_energy"} <= {line.name for line in MENU.offered("dimuon_missing", ("belle_energy",))}
    assert all(line.source.startswith("recalled") for line in MENU.lines if line.experiment == "Belle")
    mine = MENU.with_line("mine", lambda objects: objects["open135"] == 1)
    assert "mine" in mine.names_of("Belle") and "mine" in mine.names_of("Belle II")


# --- L1 objects of Belle ---


def test_belle2_sees_what_it_saw():
    assert l1_response(BELLE2) is L1 and l1_response(BELLE2.vary(l1_track_efficiency=0.5)) is L1
    assert l1_response(BELLE).values("axial_outer")[-1] == BELLE.numbers["cdc_radius"].values[1]
    assert not l1_objects(turned(180.0), BELLE2, 1)["tsc"].any(), "Belle II has no trigger scintillators"


@pytest.mark.parametrize(("opening", "share"), [(120.0, 0.0), (135.0 - 360 / 128, 0.5), (150.0, 1.0), (180.0, 1.0), (210.0, 1.0)])
def test_opening_angle_in_wedges(opening, share):
    """24 of 64 wedges: none 15 degrees below 135, all 15 degrees above, half of the pairs half a wedge below."""
    found = l1_objects(turned(opening), SURE, 3)
    assert (found["tracks_2d"] == 2).all() and found["tsc"].min() == 2 and not found["tracks_nn"].any()
    assert found["open135"].mean() == pytest.approx(share, abs=3 * np.sqrt(share * (1 - share) / N))


def test_full_tracks_are_where_the_outermost_layer_is():
    """Straight lines from the origin: 86.3 cm before z = 160 or -77 cm; short tracks reach to the edges of the chamber."""
    forward, backward = np.degrees(np.arctan2(86.3, [160.0, -77.0]))
    quiet = l1_response(BELLE).vary(short_track_efficiency=1.0)
    for theta, full in ((forward - 0.3, 0), (forward + 0.3, 1), (backward - 0.3, 1), (backward + 0.3, 0), (17.5, 0), (149.5, 0)):
        found = l1_objects(muons((theta, 90.0), (0.0, 180.0)), SURE, 1, quiet)
        assert (found["tracks_2d"][0], found["tracks_short"][0]) == (1 + full, 1 - full), theta
        assert found["open135"][0] == 1, "short tracks count for the opening angle"


def test_track_and_klm_efficiencies_and_thresholds():
    found = l1_objects(turned(180.0), BELLE, 5)
    for name, each in (("tracks_2d", BELLE.number("l1_track_efficiency")), ("klm", BELLE.number("l1_klm_efficiency"))):
        assert found[name].mean() == pytest.approx(2 * each, abs=3 * np.sqrt(2 * each * (1 - each) / N))
    slow = l1_objects(turned(180.0, p=0.55), SURE, 5)
    assert (slow["tracks_2d"] == 2).all() and not slow["klm"].any(), "stopped before the layers of the trigger"
    ends = l1_objects(turned(180.0, theta=(25.0, 140.0)), SURE, 5)
    assert (ends["eklm"] == 2).all() and not ends["klm"].any() and not ends["tsc"].any()


def test_calorimeter_trigger_thinks_in_the_frame_of_kekb():
    """Photons of 2.4 GeV in the centre of mass pass 2 GeV wherever they go, those of 1.6 GeV do not, with Belle's boost."""
    cos = np.linspace(-0.75, 0.75, 200)
    for energy, passes in ((2.4, 1), (1.6, 0)):
        cms = energy * np.stack([np.ones_like(cos), np.sqrt(1 - cos**2), np.zeros_like(cos), cos], axis=1)
        events = Events(momenta_lab={"gamma_1": to_lab(cms, BELLE.beams)}, weights=np.ones(len(cos)))
        sharp = l1_response(BELLE).vary(cluster_efficiency=1.0, cluster_resolution=[0.0, 0.0, 0.0])
        found = l1_objects(events, BELLE, 1, sharp)
        seen = found["clusters"] == 1
        assert seen.mean() > 0.9 and (found["cms2"][seen] == passes).mean() > 0.97


def direction(p):
    return np.degrees(np.arctan2(np.hypot(p[:, 1], p[:, 2]), p[:, 3])), np.degrees(np.arctan2(p[:, 2], p[:, 1]))


@pytest.mark.parametrize("mass", [1.0, 6.0, 8.0])
def test_two_track_line_against_true_angles(mass):
    """Two muons of more than 0.4 GeV transverse momentum in the scintillators (at the chamber's edges they bend by less than
    a degree) and apart by 135 degrees, each found in 95 %: wedges blur the angle by half of one, so both edges bracket."""
    events = generate_lepton_pair_x(20_000, 7, BELLE.beams, mass=mass, coupling=LeptonCoupling(vector=0.1))
    pair = events.momenta_lab["mu-"], events.momenta_lab["mu+"]
    (t1, f1), (t2, f2) = map(direction, pair)
    hard = np.all([np.hypot(p[:, 1], p[:, 2]) > 0.4 for p in pair], axis=0)
    inside = hard & (np.minimum(t1, t2) > 33.0) & (np.maximum(t1, t2) < 121.0)
    apart = np.abs((f1 - f2 + 180.0) % 360.0 - 180.0)
    events, apart = events.select(inside), apart[inside]
    fired = MENU.fired(MENU.evaluate(l1_objects(events, BELLE, 9)), ["belle_two_track"])
    share = events.weights @ fired / events.weights.sum()
    low, high = (0.95**2 * (events.weights @ (apart > edge)) / events.weights.sum() for edge in (138.0, 132.0 - 360 / 64))
    error = 3.0 / np.sqrt(len(apart))
    assert low - error < share < high + error and high - low < 0.2


def test_a_heavier_invisible_boson_leaves_muons_closer_together():
    """From back to back to the 25 % of unrelated azimuths: the wide opening angle costs Belle its heavy masses."""
    found = []
    for mass in (1.0, 3.0, 6.0, 8.0):
        events = generate_lepton_pair_x(8000, 7, BELLE.beams, mass=mass, coupling=LeptonCoupling(vector=0.1))
        bits = MENU.evaluate(l1_objects(events, BELLE, 9))
        found.append(events.weights @ MENU.keep_probability(bits, LINES) / events.weights.sum())
    assert found == sorted(found, reverse=True) and found[-1] < 0.5 * found[0]


def test_rates_take_the_lines_and_the_response_of_the_experiment():
    found = rates(MENU, [RECIPES["dimuon_missing"].processes[0]], 2.1e34, detector=BELLE, n=20_000)
    assert found.lines == LINES
    # sigma(mumu(gamma)) = 1.15 nb at the peak luminosity of KEKB, both muons within 20 to 155 degrees mostly
    assert 5.0 < found.total[0] < 2.1e34 * 1.15e-33


# --- offline ---


@pytest.mark.parametrize(("p", "expected"), [(0.59, 0.0), (1.0, 0.89), (2.5, 0.89)])
def test_muons_are_identified_as_published(p, expected):
    """Threshold 0.6 GeV, constant from 1 GeV; 89 % with 1.4 % of the pions (Belle, Nucl. Instrum. Meth. A 491, 69)."""
    assert probability(BELLE, "muon", "muon", p=p) == pytest.approx(expected, abs=1e-9)
    if expected:
        assert probability(BELLE, "pion", "muon", p=p) == pytest.approx(0.014, abs=1e-9)


# --- template ---


@pytest.fixture(scope="module")
def shipped():
    return load_template("dimuon_missing", BELLE)


def test_template_is_that_of_belle(shipped):
    recipe = recipe_of("dimuon_missing", "Belle")
    assert recipe.file == "template_dimuon_missing_belle.npz" != recipe_of("dimuon_missing").file
    assert recipe.detector is BELLE and set(OTHER_RECIPES) == {"Belle", "BaBar"}
    assert shipped.about["detector"] == "Belle" and set(LINES) <= set(shipped.lines)
    assert shipped.processes == tuple(p.name for p in recipe.processes)
    with as_file(data_file(recipe.file)) as path:
        assert path.stat().st_size < 2.5e6
    assert set(shipped.columns) == set(final_state("dimuon_missing").meanings)
    assert all(np.isfinite(values).all() for values in shipped.columns.values()) and (shipped.weights > 0).all()
    for name, record in shipped.about["made"].items():
        assert record["kept"] <= record["preselected"] <= record["generated"] == recipe.events[name]
    json.dumps(shipped.about)
    for name in LINES:
        assert name in shipped.lines and 0.0005 < MENU.fired(shipped.bits, [name]).mean() < 0.95


def test_cross_sections_do_not_know_the_detector(shipped):
    """Generated events over the luminosity they stand for: the same at KEKB and SuperKEKB (10.58 GeV both) within 1 %."""
    other = load_template("dimuon_missing", BELLE2)
    for name in shipped.processes:
        here, there = (t.about["made"][name] for t in (shipped, other))
        sigma = [record["generated"] / record["equivalent_luminosity_fb"] for record in (here, there)]
        assert sigma[0] == pytest.approx(sigma[1], rel=0.01), name


def test_reduced_rebuild_agrees_with_the_shipped_template(shipped):
    """Rates per process in the barrel and elsewhere, within four Monte Carlo errors of the two samples."""
    recipe, state = recipe_of("dimuon_missing", "Belle"), final_state("dimuon_missing")
    arrays = build(recipe, BELLE, seed=4, scale=0.02)
    columns, compared = derive(state, arrays, BELLE), 0
    bits = MENU.translate(arrays["patterns"], MENU.names_of("Belle"), "Belle")[arrays["bits"]]
    samples = ((columns, arrays["process"], arrays["weights"].astype(float), bits),
               (shipped.columns, shipped.process, shipped.weights, shipped.bits))  # fmt: skip
    for process in range(len(recipe.processes)):
        for dense in (True, False):
            for lines in (LINES[:1], LINES):
                totals, variances = [], []
                for c, p, w, b in samples:
                    use = (p == process) & (state.dense(c, BELLE) == dense) & (c["pt_mumu_cms"] > 0.1)
                    kept = w[use] * MENU.keep_probability(b[use], lines)
                    totals.append(kept.sum())
                    variances.append((kept**2).sum())
                # a small sample of heavy weights underestimates its own error: ask for 50 effective events
                if totals[0] ** 2 > 50 * variances[0]:
                    compared += 1
                    assert totals[0] == pytest.approx(totals[1], abs=4 * np.sqrt(sum(variances)))
    assert compared >= 6


def test_experiments_without_a_template_are_named():
    with pytest.raises(ValueError, match="no background template 'emu_missing' for Belle; there is one for: Belle II"):
        load_template("emu_missing", BELLE)
    with pytest.raises(ValueError, match="'dimuon_missing' for BaBar; there is one for: Belle II, Belle"):
        load_template("dimuon_missing", BABAR)
    with pytest.raises(ValueError, match="nearest: emu_missing"):
        load_template("emu_mising", BELLE)
