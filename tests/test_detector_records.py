"""Records of the three experiments, particle identification, and what holds for all of a detector's answer."""

from dataclasses import replace

import numpy as np
import pytest

from belle2dark.constants import M_KAON, M_PION
from belle2dark.detector.dilepton import dilepton_columns
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2, KEYS, Detector
from belle2dark.detector.observed import final_state, observe
from belle2dark.detector.particle_id import HYPOTHESES, identification, index
from belle2dark.detector.response import reconstruct
from belle2dark.simulation.events import Events
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.sourced import Numbers

DETECTORS = pytest.mark.parametrize("detector", [BELLE2, BELLE, BABAR], ids=lambda d: d.name)
CODE = {"electron": 11, "muon": 13, "pion": 211, "kaon": 321}


def probability(detector, true, hypothesis, point="standard", p=2.0, theta=90.0):
    t = np.radians(theta)
    momenta = p * np.array([[[np.sin(t), 0.0, np.cos(t)]]])
    out = identification(momenta, np.array([[CODE[true]]], dtype=np.int32), detector)
    return float(out[(0, 0, *index(hypothesis, point))])


@DETECTORS
def test_records_have_the_same_keys_and_units(detector):
    assert set(KEYS) <= set(detector.numbers)
    for key in KEYS:
        assert detector.numbers[key].unit == BELLE2.numbers[key].unit, key
        assert len(detector.numbers[key].values) == len(BELLE2.numbers[key].values) or key == "silicon_radii", key


def test_a_missing_number_is_named():
    entries = {name: entry for name, entry in BELLE.numbers.items() if name != "ecl_radius"}
    with pytest.raises(ValueError, match=r"X: numbers of 'belle' lack 'ecl_radius'; nearest"):
        Detector(name="X", beams=BELLE.beams, numbers=Numbers("belle", entries, {}))


@DETECTORS
def test_every_number_can_be_varied(detector):
    for name, entry in detector.numbers.items():
        value = entry.values if isinstance(entry.value, tuple) else entry.value
        varied = detector.vary(**{name: value})
        assert varied.numbers[name].values == entry.values
        assert varied.numbers[name].confidence == "choice"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"tracking_efficiency": 1.2}, "tracking_efficiency = 1.2 : must be between 0 and 1"),
     ({"cdc_radius": (20.0, 10.0)}, "must be strictly increasing"), ({"cdc_radius": 3.0}, "1 numbers, expected 2"),
     ({"cdc_theta": (17.0, 190.0)}, "between 0 and 180 deg"), ({"silicon_radii": (1.0, 2.0)}, "2 numbers, expected 6"),
     ({"merge_angle": -0.1}, "rad: must be not negative"), ({"ecl_radus": 1.0}, "nearest: ecl_radius")],
)  # fmt: skip
def test_bad_variations(change, message):
    with pytest.raises(ValueError, match=message):
        BELLE2.vary(**change)


# working points of the collaboration's talks: efficiency and pion misidentification
TALKS = [("muon", "standard", 0.90, 0.07), ("electron", "standard", 0.86, 0.004), ("kaon", "standard", 0.90, 0.06),
         ("muon", "optimistic", 0.95, 0.02), ("electron", "optimistic", 0.95, 0.01),
         ("kaon", "optimistic", 0.95, 0.018)]  # fmt: skip


@pytest.mark.parametrize(("kind", "point", "efficiency", "fake"), TALKS)
def test_identification_at_the_quoted_working_points(kind, point, efficiency, fake):
    assert probability(BELLE2, kind, kind, point) == pytest.approx(efficiency, abs=1e-9)
    assert probability(BELLE2, "pion", kind, point) == pytest.approx(fake, abs=1e-9)


@DETECTORS
def test_identification_needs_what_it_is_made_of(detector):
    assert probability(detector, "muon", "muon", p=0.4) == 0.0
    assert probability(detector, "muon", "muon", theta=16.0) == 0.0
    rising = [probability(detector, "muon", "muon", p=p) for p in (0.55, 0.65, 0.75, 0.9, 4.0)]
    assert rising == sorted(rising) and rising[-1] == detector.number("muon_id_efficiency")
    low, high = detector.numbers["ecl_forward_theta"].values[1], detector.numbers["ecl_barrel_theta"].values[0]
    gap = probability(detector, "electron", "electron", theta=0.5 * (low + high))
    assert gap == pytest.approx(0.5 * probability(detector, "electron", "electron"))


@DETECTORS
def test_kaons_and_pions_grow_alike_at_high_momentum(detector):
    quality = [
        probability(detector, "kaon", "kaon", p=p) - probability(detector, "pion", "kaon", p=p) for p in (2.0, 3.5, 5.0, 7.0)
    ]
    assert quality == sorted(quality, reverse=True)
    for kind in CODE:
        assert probability(detector, kind, "pion") + probability(detector, kind, "kaon") == pytest.approx(1.0)


def test_ionisation_is_blind_where_its_curves_cross():
    """Beyond the Cherenkov counters only dE/dx is left: good below 0.7 GeV, nothing near 1 GeV."""
    outside = 140.0
    assert probability(BELLE2, "kaon", "kaon", p=0.5, theta=outside) > 0.9
    crossing = [probability(BELLE2, "kaon", "kaon", p=p, theta=outside) for p in np.linspace(0.7, 1.6, 40)]
    assert min(crossing) < 0.55
    assert probability(BELLE2, "kaon", "kaon", p=1.0, theta=90.0) > 0.85


def test_unknown_hypotheses_and_working_points_are_named():
    with pytest.raises(ValueError, match="hypothesis 'muons': not one of electron, muon, pion, kaon; nearest: muon"):
        index("muons")
    with pytest.raises(ValueError, match="working_point 'tight'"):
        index("muon", "tight")
    assert len(HYPOTHESES) == 4


def two(kind_a, kind_b, mass, n=3, p=2.0):
    energy = np.full(n, np.hypot(p, mass))
    zero = np.zeros(n)
    return {kind_a: np.stack([energy, zero + p, zero, zero], axis=1), kind_b: np.stack([energy, zero - p, zero, zero], axis=1)}


def test_observed_slots_weights_and_probabilities():
    momenta = {"nu_1": np.zeros((3, 4)), **two("K+", "pi-", M_KAON), "x": np.ones((3, 4))}
    seen = observe(Events(momenta_lab=momenta, weights=np.array([1.0, 2.0, 3.0])), BELLE2, 1)
    assert seen.slots == ("K+", "pi-") and len(seen) == 3
    assert list(seen.weights) == [1.0, 2.0, 3.0]
    expected = BELLE2.number("tracking_efficiency") * probability(BELLE2, "kaon", "kaon")
    assert np.allclose(seen.passes("K+", "kaon"), expected, rtol=1e-3)
    assert (seen.tracks.charge == [1, -1]).all()


@pytest.mark.parametrize("name", ["pi0", "tau-"])
def test_particles_that_should_have_decayed_are_refused(name):
    events = Events(momenta_lab=two(name, "mu-", 0.5), weights=np.ones(3))
    with pytest.raises(ValueError, match=f"slot '{name}': PDG code .* decay it first"):
        observe(events, BELLE2, 1)


def test_species_may_vary_from_event_to_event():
    momenta = two("prong_1", "mu-", M_PION)
    events = Events(momenta_lab=momenta, weights=np.ones(3), species={"prong_1": np.array([11, -211, 22], dtype=np.int32)})
    seen = observe(events, BELLE2, 1)
    assert list(seen.tracks.charge[:, 0]) == [-1, -1, 0]
    assert list(seen.pdg[:, 0]) == [11, -211, 22]
    assert seen.clusters.momenta_lab[2, 0, 0] == pytest.approx(2.0, rel=0.2)


def test_no_events_and_no_particles():
    empty = observe(Events(momenta_lab={"mu-": np.zeros((0, 4))}, weights=np.zeros(0)), BELLE2, 1)
    assert len(empty) == 0 and empty.tracks.efficiency.shape == (0, 1)
    dark = observe(Events(momenta_lab={"x": np.ones((2, 4))}, weights=np.ones(2)), BELLE2, 1)
    assert dark.slots == () and dark.clusters.momenta_lab.shape == (2, 0, 4)


def test_two_muons_and_nothing_else_agree_with_the_fast_path():
    n = 6000
    events = generate_mumu_gamma(n, 2, BELLE2.beams)
    smooth = BELLE2.vary(photon_veto_edge_inefficiency=0.0, photon_veto_soft_energy=0.0, photon_veto_endcap_factor=1.0,
                         klm_photon_efficiency=0.0)  # fmt: skip
    seen = observe(events, smooth, 1)
    columns = dilepton_columns(seen.momenta("mu-", "mu+"), BELLE2.beams)
    general = final_state(seen, columns, {"mu-": "muon", "mu+": "muon"})
    fast = reconstruct(events, BELLE2, 1)
    for part, (names, names_fast) in {
        "tracks": (("track acceptance", "tracking"), ("track acceptance", "tracking")),
        "identification": (("identification",), ("muon identification",)),
        "veto": (("nothing else",), ("photon veto",)),
    }.items():
        a, b = (np.prod([r.factors[name] for name in chosen], axis=0) for r, chosen in ((general, names), (fast, names_fast)))
        # layers at the edge of the chamber, smearing across thresholds and overlapping photons: a few events differ
        assert np.average(a, weights=events.weights) == pytest.approx(np.average(b, weights=events.weights), rel=0.02), part
    inside = (fast.factors["track acceptance"] > 0) & (general.factors["tracking"] > 0)
    widths = [np.diff(np.quantile(r.columns["m_mumu"][inside], [0.3, 0.7])) for r in (general, fast)]
    assert widths[0] == pytest.approx(widths[1], rel=0.02)
    with pytest.raises(ValueError, match="slot 'e-'"):
        final_state(seen, columns, {"e-": "electron"})


def test_varying_an_efficiency_keeps_the_random_numbers():
    events = generate_mumu_gamma(3000, 2, BELLE2.beams)
    plain, worse = (observe(events, d, 7) for d in (BELLE2, BELLE2.vary(tracking_efficiency=0.5, photon_veto_inefficiency=0.1)))
    assert np.array_equal(plain.tracks.momenta_lab, worse.tracks.momenta_lab)
    assert np.array_equal(plain.clusters.momenta_lab, worse.clusters.momenta_lab)
    found = plain.tracks.efficiency > 0
    assert np.allclose(
        worse.tracks.efficiency[found] / plain.tracks.efficiency[found], 0.5 / BELLE2.number("tracking_efficiency")
    )


@DETECTORS
def test_all_answers_are_finite_probabilities(detector):
    seen = observe(generate_mumu_gamma(4000, 3, detector.beams), detector, 5)
    for values in (seen.tracks.efficiency, seen.clusters.efficiency, seen.clusters.unseen, seen.identified, seen.klm):
        assert np.all((values >= 0.0) & (values <= 1.0))
    for values in (seen.tracks.momenta_lab, seen.tracks.impact, seen.clusters.momenta_lab):
        assert np.all(np.isfinite(values))
    # the same events in a detector without spread of the interaction point give the same tracks
    still = replace(detector, beams=replace(detector.beams, luminous=(0.0, 0.0, 0.0)))
    assert np.abs(observe(generate_mumu_gamma(100, 3, detector.beams), still, 5).points_cm).max() == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    momenta = two("mu-", "mu+", 0.1057)
    momenta["mu+"][1, 3] = bad
    with pytest.raises(ValueError, match=r"slot 'mu\+': .* GeV in event 1: must be finite"):
        observe(Events(momenta_lab=momenta, weights=np.ones(3)), BELLE2, 1)
    points = {"mu-": np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, bad, 0.0]])}
    with pytest.raises(ValueError, match=r"slot 'mu-': .* cm in event 2: must be finite"):
        observe(Events(momenta_lab=two("mu-", "mu+", 0.1057), weights=np.ones(3), vertices_cm=points), BELLE2, 1)


@DETECTORS
def test_odd_particles_do_no_harm(detector):
    """At rest, along the beam, far outside, extremely soft or hard: finite answers, and no track from nowhere."""
    rng = np.random.default_rng(3)
    n = 4000
    codes = rng.choice([11, -11, 13, -13, 22, 211, -211, 321, 2212, -2212, 130, 310, 2112], n).astype(np.int32)
    p = rng.normal(size=(n, 3)) * 10.0 ** rng.uniform(-4, 2, (n, 1))
    p[:200, :2] = 0.0
    p[200:400] = 0.0
    vertices = rng.normal(size=(n, 3)) * 10.0 ** rng.uniform(-4, 3, (n, 1))
    momenta = np.concatenate([np.sqrt((p**2).sum(1, keepdims=True) + np.where(codes == 22, 1e-6, 0.1)[:, None] ** 2), p], axis=1)
    events = Events(momenta_lab={"any": momenta}, weights=np.ones(n), vertices_cm={"any": vertices}, species={"any": codes})
    seen = observe(events, detector, 1)
    tracks, clusters = seen.tracks, seen.clusters
    for values in (tracks.momenta_lab, tracks.errors, tracks.impact, clusters.momenta_lab, seen.klm, seen.identified):
        assert np.all(np.isfinite(values))
    far = np.hypot(vertices[:, 0], vertices[:, 1]) > detector.numbers["cdc_radius"].values[1] + 1
    outward = far & ((vertices[:, :2] * p[:, :2]).sum(axis=1) > 0)
    assert seen.tracks.efficiency[outward].max() == 0.0
    assert seen.tracks.efficiency[far & ~outward].max() > 0.0  # those that fly inwards, like cosmic rays, may be found
