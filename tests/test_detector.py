"""Detector response: resolution against published tables, acceptance, photon veto, variation."""

from dataclasses import replace

import numpy as np
import pytest

from belle2dark.constants import M_MUON
from belle2dark.detector.dilepton import COLUMNS, dilepton_columns
from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.response import in_calorimeter, reconstruct
from belle2dark.simulation.beams import to_cms, to_lab
from belle2dark.simulation.events import Events
from belle2dark.simulation.higgsstrahlung import generate_higgsstrahlung


def muons_at(theta_minus, theta_plus, p=2.0, **others):
    """Two muons at given lab polar angles [deg], back to back in azimuth, and further particles."""
    out = {}
    for name, theta, sign in (("mu-", theta_minus, 1.0), ("mu+", theta_plus, -1.0)):
        t = np.radians(theta)
        out[name] = np.array([[np.hypot(p, M_MUON), sign * p * np.sin(t), 0.0, p * np.cos(t)]])
    out |= {name: np.array([value]) for name, value in others.items()}
    return Events(momenta_lab=out, weights=np.ones(1))


def photon_at(theta, energy):
    t = np.radians(theta)
    return [energy, energy * np.sin(t), 0.0, energy * np.cos(t)]


def test_columns_agree_with_explicit_boosts():
    rng = np.random.default_rng(3)
    tracks = rng.normal(size=(200, 2, 3)) * 2.0
    columns = dilepton_columns(tracks, BELLE2.beams)
    energies = np.sqrt((tracks**2).sum(-1) + M_MUON**2)
    p = np.concatenate([energies[..., None], tracks], axis=-1)
    pair = p.sum(axis=1)
    cms = to_cms(pair, BELLE2.beams)
    m2 = pair[:, 0] ** 2 - (pair[:, 1:] ** 2).sum(-1)
    recoil = BELLE2.beams.nominal - pair
    assert np.allclose(columns["m_mumu"], np.sqrt(m2))
    assert np.allclose(columns["recoil_mass_squared"], recoil[:, 0] ** 2 - (recoil[:, 1:] ** 2).sum(-1), atol=1e-8)
    assert np.allclose(columns["pt_mumu_cms"], np.hypot(cms[:, 1], cms[:, 2]), atol=1e-5)
    assert np.allclose(columns["energy_minus_cms"], to_cms(p[:, 0], BELLE2.beams)[:, 0])
    assert np.allclose(columns["recoil_cos_theta_lab"], recoil[:, 3] / np.linalg.norm(recoil[:, 1:], axis=1))
    # helicity angle by boosting the negative muon into the pair's rest frame
    direction = cms[:, 1:] / np.linalg.norm(cms[:, 1:], axis=1, keepdims=True)
    mu = to_cms(p[:, 0], BELLE2.beams)
    along = (mu[:, 1:] * direction).sum(-1)
    gamma, gb = cms[:, 0] / np.sqrt(m2), np.linalg.norm(cms[:, 1:], axis=1) / np.sqrt(m2)
    rest = gamma * along - gb * mu[:, 0]
    momentum = np.sqrt(m2 / 4 - M_MUON**2)
    assert np.allclose(columns["cos_helicity"], rest / momentum, atol=1e-6)
    assert set(columns) == set(COLUMNS)


def test_lab_and_centre_of_mass_are_inverse():
    p = np.random.default_rng(1).normal(size=(50, 4))
    assert np.allclose(to_lab(to_cms(p, BELLE2.beams), BELLE2.beams), p)
    assert np.allclose(to_cms(BELLE2.beams.nominal, BELLE2.beams), [BELLE2.beams.sqrt_s, 0, 0, 0], atol=1e-9)


# Belle II full simulation, weighted sigma of the squared recoil mass [GeV^2] (Feichtinger et al., EPJC 82, 121)
PUBLISHED = {1.0: 0.287, 3.0: 0.271, 5.0: 0.243, 7.0: 0.158}


def test_recoil_resolution_near_the_published_table():
    """The table is for mu mu Z' with radiation, which widens it: ours is 13 to 22 % narrower, within 25 % is asked for."""
    beams = replace(BELLE2.beams, spread=False)
    for mass, published in PUBLISHED.items():
        m_pair = (beams.sqrt_s - mass) * 0.75
        reco = reconstruct(generate_higgsstrahlung(m_pair, mass, 40_000, 2, beams, isr=False), BELLE2, 2)
        use = reco.factors["track acceptance"] > 0
        low, high = np.quantile(reco.columns["recoil_mass_squared"][use], [0.16, 0.84])
        assert (high - low) / 2 == pytest.approx(published, rel=0.25)


def test_acceptance_is_the_declared_polar_range():
    low, high = BELLE2.numbers["cdc_theta"].values
    inside = reconstruct(muons_at(low + 1, high - 1), BELLE2, 1)
    outside = reconstruct(muons_at(low - 1, 90.0), BELLE2, 1)
    assert inside.factors["track acceptance"][0] == 1.0
    assert outside.factors["track acceptance"][0] == 0.0


@pytest.mark.parametrize(
    ("theta", "seen"), [(12.0, False), (20.0, True), (31.8, False), (90.0, True), (129.7, False), (140.0, True), (156.0, False)]
)
def test_calorimeter_gaps(theta, seen):
    assert in_calorimeter(np.cos(np.radians(theta)), BELLE2.calorimeter()) == seen


def test_photon_veto_counts_visible_photons_and_electrons():
    p = BELLE2.number("photon_veto_inefficiency")
    two = reconstruct(
        muons_at(60, 120, gamma_1=photon_at(90, 1.0), gamma_2=photon_at(50, 0.2), gamma_3=photon_at(5, 3.0)), BELLE2, 1
    )
    assert two.factors["photon veto"][0] == pytest.approx(p**2)
    soft = reconstruct(muons_at(60, 120, gamma_1=photon_at(90, 0.05)), BELLE2, 1)
    assert soft.factors["photon veto"][0] == 1.0
    electron = reconstruct(muons_at(60, 120, **{"e-": photon_at(90, 2.0), "e+": photon_at(3, 2.0)}), BELLE2, 1)
    lost = 1.0 - BELLE2.number("tracking_efficiency")
    assert electron.factors["photon veto"][0] == pytest.approx(p * lost)
    # a gap of the calorimeter hides a photon, but not the track of an electron
    gap = reconstruct(muons_at(60, 120, **{"e-": photon_at(129.7, 2.0)}, gamma_1=photon_at(129.7, 2.0)), BELLE2, 1)
    assert gap.factors["photon veto"][0] == pytest.approx(lost)


def test_efficiency_turns_on_with_momentum():
    weights = [
        float(np.prod([f[0] for f in reconstruct(muons_at(80, 100, p=p), BELLE2, 1).factors.values()]))
        for p in (0.4, 0.6, 0.8, 3.0)
    ]
    assert weights == sorted(weights)
    assert weights[0] == 0.0
    plateau = (BELLE2.number("tracking_efficiency") * BELLE2.number("muon_id_efficiency")) ** 2
    assert weights[-1] == pytest.approx(plateau)


def test_resolution_scales_with_the_number_behind_it():
    events = generate_higgsstrahlung(6.0, 1.0, 20_000, 2, replace(BELLE2.beams, spread=False), isr=False)
    worse = BELLE2.vary(pt_resolution_slope=0.0024, pt_resolution_constant=0.004, angle_resolution=0.0016)
    narrow, wide = (np.std(reconstruct(events, d, 1).columns["m_mumu"]) for d in (BELLE2, worse))
    assert wide == pytest.approx(2 * narrow, rel=0.02)  # linear error propagation; second order is below a per cent


def test_bad_variation_names_the_nearest_number():
    with pytest.raises(ValueError, match="nearest: angle_resolution"):
        BELLE2.vary(angel_resolution=1.0)
    with pytest.raises(ValueError, match="must be finite"):
        BELLE2.vary(angle_resolution=float("nan"))


def test_events_without_muons_are_refused():
    with pytest.raises(ValueError, match=r"need 'mu-' and 'mu\+'"):
        reconstruct(Events(momenta_lab={"e-": np.zeros((1, 4))}, weights=np.ones(1)), BELLE2, 1)
