"""The event record: shapes, kinds of particles, and the view that detector and trigger take."""

import numpy as np
import pytest

from belle2dark.simulation.events import PDG, Events


def sample(**changes):
    momenta = {"mu-": np.ones((3, 4)), "nu_1": np.ones((3, 4)), "gamma_1": np.zeros((3, 4)), "prong_1": np.ones((3, 4))}
    record = {
        "momenta_lab": momenta,
        "weights": np.ones(3),
        "species": {"prong_1": np.array([211, 13, -11], dtype=np.int32)},
        "vertices_cm": {"prong_1": np.full((3, 3), 2.0)},
    }
    return Events(**{**record, **changes})


def test_detector_view_leaves_out_what_cannot_be_seen():
    events = sample()
    momenta, pdg, vertices = events.particles()
    assert momenta.shape == (3, 3, 4) and vertices.shape == (3, 3, 3)
    assert pdg.tolist() == [[13, 22, 211], [13, 22, 13], [13, 22, -11]]
    assert vertices[:, 2].min() == 2.0 and vertices[:, :2].max() == 0.0
    assert events.photons == ("gamma_1",)


def test_charge_conjugates_have_opposite_codes():
    assert PDG["mu-"] == -PDG["mu+"] == 13 and PDG["pi+"] == -PDG["pi-"] and PDG["K_S0"] != PDG["K_L0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.ones(2)}, r"expected \(2, 4\)"),
        ({"momenta_lab": {"moun-": np.ones((3, 4))}, "species": {}, "vertices_cm": {}}, "nearest: mu"),
        ({"vertices_cm": {"prong_2": np.ones((3, 3))}}, "no such slot; nearest: prong_1"),
        ({"species": {"prong_1": np.ones(2, dtype=np.int32)}}, r"expected \(3,\)"),
    ],
)
def test_bad_records_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        sample(**changes)


def test_selection_keeps_every_column_in_step():
    events = sample()
    kept = events.select(np.array([True, False, True]))
    assert len(kept) == 2 and kept.species["prong_1"].tolist() == [211, -11] and kept.vertices_cm["prong_1"].shape == (2, 3)
    assert events.select(np.array([1])).species["prong_1"].tolist() == [13]
