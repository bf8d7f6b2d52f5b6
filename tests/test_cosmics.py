"""The declared floor of cosmic rays: rates, spectra, geometry."""

import numpy as np
import pytest

from belle2dark.constants import M_MUON
from belle2dark.simulation.backgrounds import COSMIC_MUON, COSMIC_PHOTON, SINGLE_PHOTON
from belle2dark.simulation.beams import belle2_beams
from tests.independent import angle, dot

N = 50_000
BEAMS = belle2_beams()


@pytest.mark.parametrize("background", [COSMIC_PHOTON, COSMIC_MUON], ids=lambda b: b.name)
def test_rates_are_declared_choices(background):
    events = background.generate(N, 1, BEAMS)
    assert events.weights.sum() == pytest.approx(float(background.cross_section))
    assert background.cross_section.confidence == "choice"
    with pytest.raises(ValueError, match="n = 0"):
        background.generate(0, 1, BEAMS)


def test_clusters_fall_with_energy_and_stay_in_the_calorimeter():
    p = COSMIC_PHOTON.generate(N, 2, BEAMS).momenta_lab["gamma_1"]
    assert np.abs(dot(p, p)).max() < 1e-12 * 100
    assert (angle(p) > 12.39).all() and (angle(p) < 155.11).all()
    # density E^-2 from 0.2 to 10 GeV: the share above 1 GeV is (1 - 0.1)/(5 - 0.1)
    share = (p[:, 0] > 1).mean()
    assert abs(share - 0.9 / 4.9) < 3 * np.sqrt(share * (1 - share) / N)


def test_muons_cross_the_detector_from_above():
    events = COSMIC_MUON.generate(N, 3, BEAMS)
    minus, plus = events.momenta_lab["mu-"], events.momenta_lab["mu+"]
    assert np.array_equal(minus[:, 1:], -plus[:, 1:])
    assert np.abs(dot(minus, minus) - M_MUON**2).max() < 1e-12 * 1e4
    up = np.abs(minus[:, 2]) / np.linalg.norm(minus[:, 1:], axis=1)
    assert abs(up.mean() - 0.75) < 3 * up.std() / np.sqrt(N)  # <cos> of cos^2 dcos
    assert abs((minus[:, 2] > 0).mean() - 0.5) < 0.01
    assert np.array_equal(events.vertices_cm["mu-"], events.vertices_cm["mu+"])


def test_single_photon_backgrounds_say_what_they_lack():
    for background in SINGLE_PHOTON:
        assert background.approximations and background.source
