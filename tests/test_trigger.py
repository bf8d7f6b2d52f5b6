"""L1: bit definitions, menu algebra, and what the single-muon lines are worth."""

import numpy as np
import pytest

from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.response import reconstruct
from belle2dark.simulation.higgsstrahlung import generate_higgsstrahlung
from belle2dark.trigger.menu import Line, Menu, load_menu
from belle2dark.trigger.objects import l1_objects
from tests.test_detector import muons_at, photon_at

MENU = load_menu()
PERFECT = BELLE2.vary(l1_track_efficiency=1.0, l1_klm_efficiency=1.0)


def objects_of(events, detector=PERFECT):
    return {name: int(values[0]) for name, values in l1_objects(reconstruct(events, detector, 1), detector, 1).items()}


def test_two_central_muons_make_all_objects():
    assert objects_of(muons_at(70, 110)) == {"tracks_2d": 2, "open90": 1, "cdcklm": 2, "ehigh": 0, "bhabha": 0}


def test_endcap_tracks_are_not_full_tracks():
    found = objects_of(muons_at(22, 110))
    assert found["tracks_2d"] == 1
    assert found["open90"] == 0


def test_slow_muon_has_no_klm_match():
    assert objects_of(muons_at(70, 110, p=0.6))["cdcklm"] == 0


def test_bhabha_pair_vetoes_every_line():
    # two clusters back to back in the centre of mass, one above 4.5 and one above 3 GeV there
    p = 5.2
    from belle2dark.simulation.beams import to_lab

    directions = [[p, 0.0, p * np.sin(1.2), p * np.cos(1.2)], [p, 0.0, -p * np.sin(1.2), -p * np.cos(1.2)]]
    minus, plus = (to_lab(np.array(d), BELLE2.beams).tolist() for d in directions)
    found = objects_of(muons_at(70, 110, **{"e-": minus, "e+": plus}))
    assert found["bhabha"] == 1
    bits = MENU.evaluate({name: np.array([value], dtype=np.int8) for name, value in found.items()})
    assert bits[0] == 0


def test_energy_sum_line():
    assert objects_of(muons_at(70, 110, gamma_1=photon_at(80, 0.9)))["ehigh"] == 1
    assert objects_of(muons_at(70, 110, gamma_1=photon_at(80, 0.4)))["ehigh"] == 0


def signal(m_aprime, m_hprime=0.1, detector=BELLE2):
    reco = reconstruct(generate_higgsstrahlung(m_aprime, m_hprime, 60_000, 4, detector.beams), detector, 4)
    weights = reco.weights.copy()
    for factor in reco.factors.values():
        weights *= factor
    return reco, weights, MENU.evaluate(l1_objects(reco, detector, 4))


def test_two_track_line_is_inefficient_for_light_dark_photons():
    """Below M_A' = 4 GeV the muons of a boosted A' fly together; the talks call the loss large."""
    efficiency = {}
    for m in (2.0, 2.9, 6.0, 9.0):
        _, weights, bits = signal(m)
        efficiency[m] = weights @ MENU.keep_probability(bits, ["ffo"]) / weights.sum()
    assert efficiency[2.0] < efficiency[2.9] < 0.25 * efficiency[6.0]
    assert efficiency[9.0] > 0.6


def test_geometric_gain_of_the_single_muon_lines():
    """With a light h', geometry alone gives about 4x at 2.9 and 20x at 2.0 GeV; asked for within a factor 2."""
    for m, gain in ((2.9, 4.0), (2.0, 20.0)):
        reco, _, _ = signal(m)
        low, high = BELLE2.cosines("ecl_barrel_theta")
        cos = reco.columns["recoil_cos_theta_lab"]
        weights = reco.weights * reco.factors["track acceptance"] * ((cos > low) & (cos < high))
        tracks = reco.tracks_lab
        p = np.linalg.norm(tracks, axis=2)
        phi = np.arctan2(tracks[..., 1], tracks[..., 0])
        apart = np.abs(np.angle(np.exp(1j * (phi[:, 0] - phi[:, 1])))) > np.pi / 2
        theta = np.degrees(np.arccos(tracks[..., 2] / p))
        muon = ((p > 0.8) & (theta > 47) & (theta < 122)).any(axis=1)
        assert gain / 2 < weights @ (muon | apart) / (weights @ apart) < gain * 2


def test_lines_together_keep_at_least_what_each_keeps():
    _, weights, bits = signal(4.0)
    single = [weights @ MENU.keep_probability(bits, [name]) for name in MENU.names]
    everything = weights @ MENU.keep_probability(bits, MENU.names)
    assert everything >= max(single)
    assert everything <= sum(single)
    assert not MENU.keep_probability(bits, []).any()


def test_prescale_and_efficiency_are_independent_chances():
    line = Line(name="a", title="", at_least={"tracks_2d": 1}, prescale=4, efficiency=0.8, source="choice")
    other = Line(name="b", title="", at_least={"tracks_2d": 1}, prescale=2, source="choice")
    menu = Menu(lines=(line, other), selections={}, references=())
    bits = menu.evaluate({"tracks_2d": np.array([1, 0], dtype=np.int8)})
    assert menu.keep_probability(bits, ["a"]) == pytest.approx([0.2, 0.0])
    assert menu.keep_probability(bits, ["a", "b"]) == pytest.approx([1 - 0.8 * 0.5, 0.0])


def test_bad_lines_are_refused():
    with pytest.raises(ValueError, match="nearest: ffo"):
        MENU.check(["ff0"])
    with pytest.raises(ValueError, match="unknown object 'track_2d'; nearest: tracks_2d"):
        Line(name="x", title="", at_least={"track_2d": 1}, source="choice")
    with pytest.raises(ValueError, match="prescale"):
        Line(name="x", title="", at_least={"tracks_2d": 1}, prescale=0.5, source="choice")
