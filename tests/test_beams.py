"""The beams: energies, boost, and the way between centre of mass and lab."""

import dataclasses
import math

import numba
import numpy as np
import pytest

from belle2dark._jit import threads
from belle2dark.constants import M_ELECTRON
from belle2dark.simulation.beams import (
    Beams,
    belle2_beams,
    cms_to_lab,
    collider_beams,
    event_frame,
    interaction_points,
    settings,
    to_cms,
    to_lab,
)
from belle2dark.simulation.rng import seed_block
from belle2dark.sourced import load_numbers

BEAMS = belle2_beams()


@numba.njit(error_model="numpy")  # not cached: numba does not see changes in the functions it calls
def frames(beam, n):
    s0, s1 = seed_block(np.uint64(7), 0)
    out = np.empty((n, 4))
    roots = np.empty(n)
    for i in range(n):
        s0, s1, frame = event_frame(beam, s0, s1)
        roots[i] = frame[0]
        out[i, :] = cms_to_lab(frame, 0.5 * frame[0], 0.0, 0.0, math.sqrt(0.25 * frame[0] ** 2 - M_ELECTRON**2))
    return roots, out


def test_energy_and_boost_are_those_of_superkekb():
    # closed form for massless beams that cross at the angle phi: s = 2 E1 E2 (1 + cos phi)
    assert math.sqrt(2 * 7.004 * 4.002 * (1 + math.cos(0.083))) == pytest.approx(BEAMS.sqrt_s, rel=1e-7)
    beta = np.linalg.norm(BEAMS.boost)
    assert beta / math.sqrt(1 - beta**2) == pytest.approx(0.2868, abs=5e-5)  # published boost of these beams, 4 digits


def test_axes_are_orthonormal_and_beams_collinear_in_the_cms():
    metric = np.diag([1.0, -1, -1, -1])
    assert np.allclose(BEAMS.axes @ metric @ BEAMS.axes.T, metric, atol=1e-14)
    half = 0.5 * BEAMS.sqrt_s
    p = math.sqrt(half**2 - M_ELECTRON**2)
    assert np.allclose(to_cms(np.stack([BEAMS.electron, BEAMS.positron]), BEAMS), [[half, 0, 0, p], [half, 0, 0, -p]], atol=1e-13)


def test_to_lab_inverts_to_cms():
    p = np.random.default_rng(1).normal(size=(100, 4))
    assert np.allclose(to_lab(to_cms(p, BEAMS), BEAMS), p, atol=1e-13)


def test_kernel_frame_agrees_with_arrays_and_puts_the_electron_on_the_beam():
    roots, electrons = frames(belle2_beams(spread=False).kernel, 3)
    assert np.allclose(roots, BEAMS.sqrt_s, rtol=1e-14)
    assert np.allclose(electrons, BEAMS.electron, atol=1e-13)


def test_spread_of_the_centre_of_mass_energy():
    roots, electrons = frames(BEAMS.kernel, 40_000)
    expected = 0.5 * BEAMS.sqrt_s * math.hypot(5.13e-3 / 7.004, 2.375e-3 / 4.002)
    assert roots.std() == pytest.approx(expected, rel=0.02)  # 4 sigma of 1/sqrt(2 n)
    assert electrons[:, 0].std() == pytest.approx(5.13e-3, rel=0.02)
    assert np.allclose(electrons[:, 1] / electrons[:, 3], math.tan(0.0415), rtol=1e-9)  # the spread does not turn the beam


@pytest.mark.parametrize(
    "change", [{"electron_energy": -1.0}, {"positron_energy": math.nan}, {"crossing_angle": 2.0}, {"electron_spread": 1.0}]
)
def test_bad_values_name_themselves_and_the_range(change):
    with pytest.raises(ValueError, match=rf"{next(iter(change))} = .* allowed range"):
        dataclasses.replace(BEAMS, **change)


def test_beams_are_frozen_and_hashable():
    assert hash(BEAMS) == hash(Beams(**{f.name: getattr(BEAMS, f.name) for f in dataclasses.fields(BEAMS)}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        BEAMS.spread = False


# centre-of-mass energies [GeV] that the official presets are made for
PRESETS = {"1s": 9.460, "2s": 10.023, "3s": 10.355, "4s": 10.579, "5s": 10.876, "4s_off": 10.519}


@pytest.mark.parametrize("setting", PRESETS)
def test_superkekb_presets_have_the_energies_they_are_made_for(setting):
    assert collider_beams("superkekb", setting).sqrt_s == pytest.approx(
        PRESETS[setting], abs=1.5e-3
    )  # energies are given to 1 MeV


@pytest.mark.parametrize("collider", ["superkekb", "kekb", "pep2"])
def test_every_setting_of_every_collider_is_near_its_resonance(collider):
    for setting in settings(collider):
        target = PRESETS[setting.removesuffix("_off")] - (0.05 if setting.endswith("off") else 0.0)
        assert collider_beams(collider, setting).sqrt_s == pytest.approx(target, abs=0.012)


@pytest.mark.parametrize("collider", ["kekb", "pep2"])
def test_boost_of_nearly_head_on_beams(collider):
    beams = collider_beams(collider)
    beta = np.linalg.norm(beams.boost)
    assert beta / math.sqrt(1 - beta**2) == pytest.approx(
        (beams.electron_energy - beams.positron_energy) / beams.sqrt_s, rel=0.002
    )


def test_design_luminous_region_is_the_overlap_of_the_bunches():
    numbers = load_numbers("beams")
    inverse = np.zeros((3, 3))
    for name, angle in (("electron", 0.0415), ("positron", -0.0415)):
        c, s = math.cos(angle), math.sin(angle)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        inverse += turn @ np.diag(1.0 / np.array(numbers[f"superkekb_bunch_{name}"].values) ** 2) @ turn.T
    sizes = np.sqrt(np.diag(np.linalg.inv(inverse)))
    assert np.allclose(collider_beams("superkekb", luminous="design").luminous, sizes, rtol=1e-3)
    assert sizes[2] == pytest.approx(0.0154, rel=0.01)


def test_interaction_points_fill_the_luminous_region():
    beams, n = collider_beams("pep2"), 40_000
    points = interaction_points(beams, n, 3)
    assert np.allclose(points.std(axis=0), beams.luminous, rtol=3 / math.sqrt(2 * n))
    assert np.all(np.abs(points.mean(axis=0)) < 3 * np.array(beams.luminous) / math.sqrt(n) * 1.3)
    assert np.array_equal(interaction_points(beams, 100, 3), points[:100])
    with threads(1):
        assert np.array_equal(interaction_points(beams, n, 3), points)
    with pytest.raises(ValueError, match="n = -1"):
        interaction_points(beams, -1, 3)


def test_unknown_colliders_settings_and_regions_are_named():
    with pytest.raises(ValueError, match="collider 'pep': not one of superkekb, kekb, pep2; nearest: pep2"):
        collider_beams("pep")
    with pytest.raises(ValueError, match="setting '6s' of superkekb"):
        collider_beams("superkekb", "6s")
    with pytest.raises(ValueError, match="luminous 'design' of kekb"):
        collider_beams("kekb", luminous="design")
    with pytest.raises(ValueError, match=r"luminous = .* allowed range"):
        dataclasses.replace(BEAMS, luminous=(0.0, 0.0, -1.0))
