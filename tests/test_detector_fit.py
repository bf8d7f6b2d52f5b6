"""Kinematic fit to the beams: closure, chi-squared, narrower masses, lost photons."""

from dataclasses import replace

import numpy as np
import pytest

from belle2dark.constants import M_MUON
from belle2dark.detector.experiments import BABAR, BELLE2
from belle2dark.detector.kinematic_fit import beam_covariance, fit_to_beams, photon_errors
from belle2dark.detector.multitrack import four_momenta, multitrack_columns
from belle2dark.detector.observed import observe
from belle2dark.detector.photons import from_vertex
from belle2dark.simulation.beams import to_lab
from belle2dark.simulation.events import Events

FIXED = replace(BABAR, beams=replace(BABAR.beams, spread=False))
MUONS = (M_MUON, M_MUON)


def decay(rng, parent, mass, m1, m2):
    """Isotropic two-body decay of four-momenta (n, 4)."""
    n = len(parent)
    v = rng.normal(size=(n, 3))
    q = np.sqrt((mass**2 - (m1 + m2) ** 2) * (mass**2 - (m1 - m2) ** 2)) / (2 * mass)
    d = q * v / np.linalg.norm(v, axis=1, keepdims=True)
    out = []
    for sign, m in ((1, m1), (-1, m2)):
        e0, along = np.hypot(q, m), sign * (parent[:, 1:] * d).sum(1)
        energy = (parent[:, 0] * e0 + along) / mass
        p = sign * d + ((e0 + energy) / (mass + parent[:, 0]))[:, None] * parent[:, 1:]
        out.append(np.concatenate([energy[:, None], p], axis=1))
    return out


def fitted(detector, mass, n=8000, total=None):
    """gamma mu mu of one pair mass: raw and fitted masses and chi-squared of events well inside the detector."""
    rng = np.random.default_rng(2)
    total = np.tile(detector.beams.nominal, (n, 1)) if total is None else total
    root = np.sqrt(total[0, 0] ** 2 - (total[0, 1:] ** 2).sum())
    photon, pair = decay(rng, total, root, 0.0, mass)
    minus, plus = decay(rng, pair, mass, M_MUON, M_MUON)
    events = Events(momenta_lab={"gamma_1": photon, "mu-": minus, "mu+": plus}, weights=np.ones(n))
    seen = observe(events, detector, 3)
    use = (seen.tracks.efficiency[:, 1:].prod(axis=1) > 0.5) & (seen.clusters.efficiency[:, 0] > 0.5)
    use &= (seen.clusters.merged < 0).all(axis=1)
    tracks = seen.momenta("mu-", "mu+")[use]
    photons = from_vertex(seen.photons("gamma_1"), seen.points_cm, detector)[use]
    fit = fit_to_beams(
        tracks, seen.tracks.errors[use, 1:], MUONS, detector.beams, photons, photon_errors(seen.clusters, [0], detector)[use]
    )
    raw, new = (multitrack_columns(t, (-1, 1), MUONS, detector.beams)["m_12"] for t in (tracks, fit.tracks_lab))
    return raw, new, fit


def half_width(x):
    return np.diff(np.quantile(x, [0.15865, 0.84135]))[0] / 2


@pytest.mark.parametrize("detector", [FIXED, replace(BELLE2, beams=replace(BELLE2.beams, spread=False))], ids=lambda d: d.name)
@pytest.mark.parametrize("mass", [0.5, 5.0])
def test_chi_squared_has_four_degrees_of_freedom_and_momentum_closes(detector, mass):
    _, _, fit = fitted(detector, mass)
    assert fit.chi2.mean() == pytest.approx(4.0, abs=3 * np.sqrt(8 / len(fit.chi2)) + 0.05)  # variance 2 x 4; linear steps
    sums = four_momenta(fit.tracks_lab, MUONS).sum(axis=1) + fit.photons_lab.sum(axis=1)
    close = np.abs(sums - detector.beams.nominal).max(axis=1) < 2e-3  # three steps: 2 MeV left at most, but for odd events
    assert close.mean() > 0.99


def test_masses_get_three_to_eight_times_narrower_at_high_mass():
    for mass, low, high in ((0.3, 1.0, 1.3), (5.0, 3.0, 8.0), (8.0, 3.0, 8.0)):
        raw, new, _ = fitted(FIXED, mass)
        assert low < half_width(raw) / half_width(new) < high
        assert np.median(new) == pytest.approx(mass, abs=0.1 * half_width(new) + 1e-4)


def test_pulls_of_the_fitted_mass_do_not_depend_on_the_constraint_when_it_is_weak():
    """A low-mass pair with a hard photon: the photon's energy says nothing new about the mass."""
    raw, new, _ = fitted(FIXED, 0.25)
    assert half_width(new) == pytest.approx(half_width(raw), rel=0.1)


def test_a_photon_lost_along_the_beam_fails_the_fit():
    n = 2000
    lost = to_lab(np.tile([0.5, 0.0, 0.0, 0.5], (n, 1)), FIXED.beams)
    _, _, fit = fitted(FIXED, 2.0, n, np.tile(FIXED.beams.nominal, (n, 1)) - lost)
    assert np.median(fit.chi2) > 50


def test_beam_energy_spread_is_part_of_the_constraint():
    """Projected on the invariant mass, the covariance is the spread of sqrt(s): 4.99 MeV from 5.13 and 2.375 MeV per beam."""
    beams = BELLE2.beams
    slope = np.array([1.0, -1.0, -1.0, -1.0]) * beams.nominal / beams.sqrt_s
    assert np.sqrt(slope @ beam_covariance(beams) @ slope) == pytest.approx(4.99e-3, abs=1e-5)
    assert not beam_covariance(replace(beams, spread=False)).any()


def test_photons_seen_from_their_vertex():
    rng = np.random.default_rng(1)
    n = 500
    quiet = replace(BABAR.vary(photon_angle_stochastic=0.0), beams=replace(BABAR.beams, luminous=(0.05, 0.0, 0.85)))
    p = to_lab(decay(rng, np.tile([10.58, 0, 0, 0], (n, 1)), 10.58, 0.0, 1.0)[0], BABAR.beams)
    seen = observe(Events(momenta_lab={"gamma_1": p}, weights=np.ones(n)), quiet, 3)
    use = seen.clusters.region[:, 0] % 4 > 0
    true = p[use, 1:] / p[use, :1]
    measured = seen.photons("gamma_1")[use, 0]
    moved = from_vertex(seen.photons("gamma_1"), seen.points_cm, quiet)[use, 0]
    off = [np.linalg.norm(q[:, 1:] / q[:, :1] - true, axis=1) for q in (measured, moved)]
    assert np.median(off[0]) > 1e-3
    assert off[1].max() < 1e-9


def test_events_with_an_empty_slot_are_left_alone():
    rng = np.random.default_rng(5)
    minus, plus = decay(rng, np.tile(FIXED.beams.nominal, (4, 1)), FIXED.beams.sqrt_s, *MUONS)
    plus[2] = 0.0
    seen = observe(Events(momenta_lab={"mu-": minus, "mu+": plus}, weights=np.ones(4)), FIXED, 3)
    fit = fit_to_beams(seen.tracks.momenta_lab, seen.tracks.errors, MUONS, FIXED.beams)
    assert list(np.isinf(fit.chi2)) == [False, False, True, False]
    assert np.allclose(fit.tracks_lab[2], seen.tracks.momenta_lab[2], atol=1e-8)


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"masses has shape \(3,\), expected \(2,\)"):
        fit_to_beams(np.ones((5, 2, 3)), np.ones((5, 2, 3)), (0.1, 0.1, 0.1), BELLE2.beams)
    with pytest.raises(ValueError, match="errors_of_photons has shape"):
        fit_to_beams(np.ones((5, 2, 3)), np.ones((5, 2, 3)), (0.1, 0.1), BELLE2.beams, np.ones((5, 1, 4)))
