"""B -> K X with an unseen X: kinematics, the list of B decays behind a tag, backgrounds, limits, the three-body decay."""

import math
from dataclasses import replace

import numpy as np
import pytest

from belle2dark.constants import CTAU_BPLUS, HBAR_C, M_B0, M_BPLUS, M_KAON, M_KSTAR0, M_LAMBDA, M_PION, M_PROTON
from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.observed import observe
from belle2dark.final_states import final_state
from belle2dark.final_states.b_to_k_invisible import reconstruct
from belle2dark.plots.b_to_k_invisible import measured_uncertainty, three_body_table, three_body_uncertainty
from belle2dark.point import point
from belle2dark.process_rate import rate_uncertainty
from belle2dark.published import load_published
from belle2dark.search import load_search
from belle2dark.searches.b_to_k_invisible import inclusive_resolution
from belle2dark.simulation.b_side import CANDIDATES, CHARGES, MAX_TRACKS, generated, load_b_side
from belle2dark.simulation.backgrounds_b_invisible import KPLUS, KSTAR0, generate_kstar_neutrinos, kstar_neutrino_density
from belle2dark.simulation.beams import collider_beams, to_cms
from belle2dark.simulation.decays.mesons import TAG, generate_b_to_k_invisible, tag_efficiency
from belle2dark.sourced import load_numbers

SEARCH = load_search("b_to_k_invisible")
NUMBERS, MESONS = load_numbers("b_to_k_invisible"), load_numbers("mesons")
N = 4_000


def limit(**given: object) -> float:
    answer = point(SEARCH, given, n_events=N)
    assert answer.limit is not None, answer.reason
    return float(answer.limit[2])


def two_body(m_b: float, m_k: float, m_x: float) -> float:
    return math.sqrt((m_b**2 - (m_k + m_x) ** 2) * (m_b**2 - (m_k - m_x) ** 2)) / (2.0 * m_b)


# the list of decays


@pytest.mark.parametrize("collider", ["superkekb", "kekb", "pep2"])
@pytest.mark.parametrize("charge", CHARGES)
def test_every_decay_conserves_momentum_within_what_it_does_not_show(collider: str, charge: str) -> None:
    beams = collider_beams(collider, spread=False)
    events = load_b_side(beams, charge)
    seen = sum(p for name, p in events.momenta_lab.items() if name != TAG)
    missing = to_cms(beams.nominal - events.momenta_lab[TAG] - seen, beams)
    # neutrinos and what no detector sees: never negative energy, nor more momentum than energy (steps of 0.2 MeV per particle)
    assert np.all(missing[:, 0] > -0.01)
    assert np.all(missing[:, 0] ** 2 - (missing[:, 1:] ** 2).sum(axis=1) > -0.02)
    tag = events.momenta_lab[TAG]
    mass = M_BPLUS if charge == "charged" else M_B0
    np.testing.assert_allclose(np.sqrt(tag[:, 0] ** 2 - (tag[:, 1:] ** 2).sum(axis=1)), mass, rtol=1e-3)


def test_b_mesons_of_the_list_follow_sine_squared_about_the_beam() -> None:
    beams = collider_beams("superkekb", spread=False)
    for charge in CHARGES:
        events = load_b_side(beams, charge)
        cms = to_cms(events.momenta_lab[TAG], beams)
        cosine = cms[:, 3] / np.linalg.norm(cms[:, 1:], axis=1)
        w = np.minimum(events.weights, np.quantile(events.weights, 0.9))
        error = math.sqrt((w**2).sum()) / w.sum()
        # 1 - c^2 has a mean square of 1/5; acceptance moves it a little
        assert np.sum(w * cosine**2) / w.sum() == pytest.approx(0.2, abs=3.0 * error * 0.3 + 0.01)


def test_lambdas_of_the_list_fly_and_have_their_mass() -> None:
    """Protons with a pion from the same displaced point: pairs within the rounding of the Lambda's mass."""
    events = load_b_side(collider_beams("superkekb", spread=False), "neutral")
    best = np.full(len(events), np.inf)
    radius = np.zeros(len(events))
    names = [f"prong_{k + 1}" for k in range(MAX_TRACKS) if f"prong_{k + 1}" in events.momenta_lab]
    for a in names:
        for b in names:
            pair = (np.abs(events.species[a]) == 2212) & (np.abs(events.species[b]) == 211)
            pair &= events.species[a] * events.species[b] < 0
            one_point = np.abs(events.vertices_cm[a] - events.vertices_cm[b]).max(axis=1) < 1e-9
            total = events.momenta_lab[a] + events.momenta_lab[b]
            mass = np.sqrt(np.maximum(total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(axis=1), 0.0))
            off = np.where(pair & one_point, np.abs(mass - M_LAMBDA), np.inf)
            radius = np.where(off < best, np.hypot(*events.vertices_cm[a].T[:2]), radius)
            best = np.minimum(best, off)
    real = best < 1e-3
    assert real.sum() > 100
    # c tau is 7.9 cm and momenta are about 1 GeV
    assert np.median(radius[real]) == pytest.approx(4.0, abs=3.0)
    assert M_PROTON + M_PION < M_LAMBDA


def test_weights_of_the_list_are_the_rate_of_b_mesons_over_the_decays_made() -> None:
    total = 2.0 * float(MESONS["bb_cross_section"]) * float(MESONS["charged_b_fraction"])
    events = load_b_side(collider_beams("superkekb", spread=False), "charged")
    # what is most like a candidate was kept whatever it was: one decay of those made
    assert events.weights.min() == pytest.approx(total / generated(), rel=1e-6)
    # one kaon and nothing else that is seen: a rare part of all decays, known to some percent
    empty = np.ones(len(events), dtype=bool)
    for name, p in events.momenta_lab.items():
        if name not in ("prong_1", TAG):
            empty &= p[:, 0] == 0.0
    alone = events.weights[empty & (events.species["prong_1"] == 321)]
    assert 1e-5 < alone.sum() / total < 1e-3
    assert alone.sum() ** 2 / (alone**2).sum() > 50
    assert len(CANDIDATES) == 5


def test_an_unknown_charge_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"charge 'charge'.*nearest: charged"):
        load_b_side(BELLE2.beams, "charge")


# signal and columns


@pytest.mark.parametrize(("mode", "m_b", "m_k"), [("kplus", M_BPLUS, M_KAON), ("kstar0", M_B0, M_KSTAR0)])
@pytest.mark.parametrize("m_x", [0.0, 1.0, 3.0])
def test_missing_mass_peaks_at_the_mass_of_x(mode: str, m_b: float, m_k: float, m_x: float) -> None:
    events = generate_b_to_k_invisible(N, 3, BELLE2.beams, m_x, mode=mode)
    found = reconstruct(events, BELLE2, 4, mode)
    use = found.accepted & (np.abs(found.columns["m_kpi"] - m_k) < 0.05)
    q2 = found.columns["q2_tagged"][use]
    middle, spread = np.median(q2), 0.5 * float(np.diff(np.quantile(q2, [0.16, 0.84]))[0])
    assert middle == pytest.approx(m_x**2, abs=4.0 * 1.25 * spread / math.sqrt(use.sum()) + 0.02)
    # the tag makes it much sharper than the energy of the kaon alone
    wide = 0.5 * float(np.diff(np.quantile(found.columns["q2_inclusive"][use], [0.16, 0.84]))[0])
    assert spread < 0.3 * wide


@pytest.mark.parametrize("m_x", [0.0, 2.1, 4.0])
def test_width_of_the_inclusive_q2_is_the_motion_of_the_b(m_x: float) -> None:
    """E*_K is flat between gamma (E' -+ beta p'): q^2 has the standard deviation sqrt(s) beta gamma p' / sqrt(3)."""
    p = two_body(M_BPLUS, M_KAON, m_x)
    boost = math.sqrt(BELLE2.beams.sqrt_s**2 / 4.0 - M_BPLUS**2) / M_BPLUS
    assert inclusive_resolution(m_x) == pytest.approx(BELLE2.beams.sqrt_s * boost * p / math.sqrt(3.0), rel=1e-9)
    calm = replace(BELLE2.beams, spread=False)
    events = generate_b_to_k_invisible(N, 5, calm, m_x)
    energy = to_cms(events.momenta_lab["K+"], calm)[:, 0]
    q2 = calm.sqrt_s**2 / 4.0 + M_KAON**2 - calm.sqrt_s * energy
    # the standard deviation of a sample of a flat density is known to 0.45 / sqrt(n)
    assert q2.std() == pytest.approx(inclusive_resolution(m_x), rel=3.0 * 0.45 / math.sqrt(N))


def test_other_tracks_veto_and_photons_add_up() -> None:
    events = generate_b_to_k_invisible(N, 6, BELLE2.beams, 1.0)
    alone = reconstruct(events, BELLE2, 7, "kplus")
    photon = np.tile([0.8, 0.0, 0.8, 0.0], (N, 1))
    with_photon = replace(events, momenta_lab={**events.momenta_lab, "gamma_1": photon})
    lit = reconstruct(with_photon, BELLE2, 7, "kplus")
    assert np.median(lit.columns["extra_energy"]) - np.median(alone.columns["extra_energy"]) == pytest.approx(0.8, abs=0.05)
    muon = np.tile([math.hypot(1.0, 0.10566), 0.0, 1.0, 0.0], (N, 1))
    crowded = reconstruct(replace(events, momenta_lab={**events.momenta_lab, "mu-": muon}), BELLE2, 7, "kplus")

    def passed(found: object) -> float:
        return float(np.prod(list(found.factors.values()), axis=0).sum())  # type: ignore[attr-defined]

    found = observe(replace(events, momenta_lab={**events.momenta_lab, "mu-": muon}), BELLE2, 7)
    lost = 1.0 - found.tracks.efficiency[:, found.slot("mu-")].mean()
    assert passed(crowded) == pytest.approx(lost * passed(alone), rel=0.05)


def test_the_tag_counts_once() -> None:
    events = generate_b_to_k_invisible(100, 6, BELLE2.beams, 1.0)
    assert set(reconstruct(events, BELLE2, 7, "kplus").factors["hadronic tag"]) == {tag_efficiency(True)}
    untagged = replace(events, momenta_lab={k: p for k, p in events.momenta_lab.items() if k != TAG},
                       vertices_cm={k: p for k, p in events.vertices_cm.items() if k != TAG})  # fmt: skip
    with pytest.raises(ValueError, match="events need the slot 'x_2'"):
        reconstruct(untagged, BELLE2, 7, "kplus")


# backgrounds


def test_kstar_neutrinos_have_the_branching_fraction_and_the_spectrum() -> None:
    beams = replace(BELLE2.beams, spread=False)
    events = generate_kstar_neutrinos(N, 8, beams)
    rate = 2.0 * float(MESONS["bb_cross_section"]) * float(MESONS["neutral_b_fraction"])
    expected = rate * float(NUMBERS["b_to_kstar_neutrinos"]) * float(MESONS["kstar0_to_kplus_piminus"])
    assert events.weights.sum() == pytest.approx(expected, rel=1e-9)
    pair = events.momenta_lab["x"]
    q2 = pair[:, 0] ** 2 - (pair[:, 1:] ** 2).sum(axis=1)
    x = np.linspace(0.0, (M_B0 - M_KSTAR0) ** 2, 20_001)
    density = kstar_neutrino_density(x)
    assert q2.mean() == pytest.approx((x * density).sum() / density.sum(), abs=3.0 * q2.std() / math.sqrt(N) + 0.02)
    total = sum(events.momenta_lab.values())
    np.testing.assert_allclose(total, np.broadcast_to(beams.nominal, total.shape), atol=1e-6)


def test_processes_are_those_of_the_templates() -> None:
    for processes, name in ((KPLUS, "b_to_k_missing"), (KSTAR0, "b_to_kstar_missing")):
        assert [p.name for p in processes] == ["b_decays", "wrong_tags", "neutrinos"]
        assert final_state(name).meanings["q2_tagged"][1] == "GeV^2"


# limits


def test_the_measured_three_body_decay_is_as_uncertain_as_published() -> None:
    """Hadronic tags from first principles, within a factor of 1.7: rates of the background are good to 2, its root to 1.4."""
    hadronic, published = three_body_uncertainty({"tag": "hadronic"}), measured_uncertainty("hadronic")
    assert published is not None
    assert 1.0 / 1.7 < hadronic / published < 1.7
    # the inclusive tag is declared to give it
    assert three_body_uncertainty({"tag": "inclusive"}) == pytest.approx(measured_uncertainty("inclusive"), rel=0.03)
    assert three_body_uncertainty({"luminosity": 362.0}) < three_body_uncertainty({"luminosity": 100.0})
    assert measured_uncertainty("semileptonic") is None
    assert "hadronic" in three_body_table().data


def test_uncertainty_of_a_rate_falls_with_the_root_of_the_luminosity() -> None:
    """Where backgrounds are measured in the same fit, what is known of them beforehand does not matter."""
    alone = rate_uncertainty(SEARCH, {"luminosity": 2e4}, "neutrinos", {"b_decays": 0.3, "wrong_tags": 0.5}, systematics=False)
    more = rate_uncertainty(SEARCH, {"luminosity": 8e4}, "neutrinos", {"b_decays": 0.3, "wrong_tags": 0.5}, systematics=False)
    assert more == pytest.approx(alone / 2.0, rel=0.05)
    with pytest.raises(ValueError, match=r"process 'neutrino'.*nearest: neutrinos"):
        rate_uncertainty(SEARCH, {}, "neutrino", {})


def test_limits_fall_with_luminosity_as_they_should() -> None:
    """Between 1/L (no background) and 1/sqrt(L) (much of it): hadronic tags; the inclusive tag has much."""
    for tag, least in (("hadronic", 0.45), ("inclusive", 0.4)):
        ratio = limit(tag=tag, m_x=1.0, luminosity=5e3) / limit(tag=tag, m_x=1.0, luminosity=362.0)
        power = -math.log(ratio) / math.log(5e3 / 362.0)
        assert least < power < 1.01
    assert limit(tag="inclusive", m_x=1.0, luminosity=5e3) == pytest.approx(
        limit(tag="inclusive", m_x=1.0) * math.sqrt(362.0 / 5e3), rel=0.15)  # fmt: skip


def test_the_preferred_branching_fraction_is_within_reach() -> None:
    """The likelihood's interval at 2.1 GeV is as wide as what the inclusive tag can exclude there, to a factor of two."""
    central, low, high = NUMBERS["preferred_branching"].values
    expected = limit(tag="inclusive", m_x=NUMBERS["preferred_mass"].values[1])
    # a 90 % upper limit is 1.64 standard deviations where much is expected
    assert 0.5 < expected / (1.64 * 0.5 * (high - low)) < 2.0
    assert expected < central


def test_a_massless_x_is_published_as_a_scale() -> None:
    """B(B+ -> K+ a) at F_V = 0.9e9 GeV and f_+(0) = 0.335, the value in the published file."""
    rate = M_BPLUS**3 * (1.0 - (M_KAON / M_BPLUS) ** 2) ** 3 * 0.335**2 / (16.0 * math.pi * 0.9e9**2)
    (result,) = load_published("b_to_k_invisible")
    assert result.observed is not None
    assert result.observed[0] == pytest.approx(rate * CTAU_BPLUS / HBAR_C, rel=0.02)
    assert result.compare == "described"


def test_mixing_is_the_root_of_the_branching_fraction() -> None:
    answer = point(SEARCH, {"m_x": 1.0}, n_events=N)
    assert answer.limit is not None
    theta = next(c for c in answer.couplings if c.name == "sin_theta")
    # B(B+ -> K+ S) at sin(theta) = 1 is 0.470 at 1 GeV (reference widths of a public code, on-shell top mass)
    assert theta.expected[2] == pytest.approx(math.sqrt(answer.limit[2] / 0.470), rel=0.03)
    half = point(SEARCH, {"m_x": 1.0, "b_invisible": 0.25}, n_events=N)
    assert next(c for c in half.couplings if c.name == "sin_theta").expected[2] == pytest.approx(
        2.0 * theta.expected[2], rel=1e-3
    )


def test_ratio_is_the_product_over_the_standard_model() -> None:
    product, ratio = limit(quantity="product"), limit(quantity="ratio")
    assert ratio == pytest.approx(product / float(MESONS["b_to_k_neutrinos"]), rel=1e-9)


def test_thresholds_and_bad_input() -> None:
    assert "closed" in point(SEARCH, {"m_x": 4.5, "mode": "kstar0"}, n_events=1000).reason
    assert point(SEARCH, {"m_x": 4.5}, n_events=N).limit is not None
    assert "inclusive" in point(SEARCH, {"mode": "kstar0", "tag": "inclusive"}, n_events=1000).reason
    with pytest.raises(ValueError, match=r"m_x.*4\.8"):
        point(SEARCH, {"m_x": 5.0})
    with pytest.raises(ValueError, match=r"mode.*kplus"):
        point(SEARCH, {"mode": "kpluss"})
    with pytest.raises(ValueError, match="closed"):
        generate_b_to_k_invisible(10, 1, BELLE2.beams, 4.9)
