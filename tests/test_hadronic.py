"""Shipped hadronic lists: rates against the cited cross-sections, what is in them, and how they are made."""

from __future__ import annotations

import json

import numpy as np
import pytest

from belle2dark.constants import M_KAON, M_KSHORT, M_LAMBDA, M_PION, M_PROTON
from belle2dark.simulation import hadronic
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.decays.chain import mass
from belle2dark.simulation.decays.mesons import beam_constrained
from belle2dark.sourced import data_file, load_numbers

LOW = hadronic.load_hadronic("low_multiplicity")
K_V0 = hadronic.load_hadronic("k_v0")
KSTAR_V0 = hadronic.load_hadronic("kstar_v0")


def prongs(events):
    names = [name for name in events.momenta_lab if name.startswith("prong")]
    return np.stack([events.momenta_lab[n] for n in names], axis=1), np.stack([events.pdg(n) for n in names], axis=1)


def charge(pdg):
    return np.where(np.abs(pdg) < 20, -np.sign(pdg), np.sign(pdg))


def test_flavours_add_up_to_the_published_cross_section():
    sigma = hadronic.cross_sections()
    published = float(load_numbers("mesons")["qq_cross_section"])
    # "about 3.7 nb": half of the last digit
    assert sigma["uds"] + sigma["charm"] == pytest.approx(published, abs=5e4)
    assert sigma["bb"] == 1.1e6


@pytest.mark.parametrize("process", hadronic.PROCESSES)
def test_weights_are_the_cross_section_over_what_was_generated(process):
    about = json.loads(str(hadronic._read("low_multiplicity")["about"]))
    unit = hadronic.cross_sections()[process] / about["generated"][process]
    weights = hadronic.load_hadronic("low_multiplicity", process).weights
    assert {round(w / unit, 3) for w in weights} <= {1.0, 8.0, 64.0}
    assert hadronic.equivalent_luminosity()[process] == pytest.approx(1 / unit)


def test_processes_are_the_parts_of_a_list():
    for name, whole in (("low_multiplicity", LOW), ("k_v0", K_V0), ("kstar_v0", KSTAR_V0)):
        parts = [hadronic.load_hadronic(name, process) for process in hadronic.PROCESSES]
        assert sum(len(part) for part in parts) == len(whole)
        assert sum(part.weights.sum() for part in parts) == pytest.approx(whole.weights.sum())
    some = np.flatnonzero(hadronic._read("k_v0")["process"] == 1)
    part = hadronic.load_hadronic("k_v0", "charm")
    for slot in ("prong_1", "prong_2", "prong_3"):
        assert np.array_equal(K_V0.momenta_lab[slot][some], part.momenta_lab[slot])
        assert np.array_equal(K_V0.vertices_cm[slot][some], part.vertices_cm[slot])


def test_low_multiplicity_events_are_what_they_say():
    p, pdg = prongs(LOW)
    there = p[..., 0] > 0
    assert set(there.sum(axis=1)) == {2, 4}
    assert np.all(charge(pdg).sum(axis=1) == 0)
    assert set(np.abs(pdg[there])) == {11, 13, 211, 321, 2212}
    # rounding of momenta to 0.25 MeV moves the edges by as much
    assert np.hypot(p[..., 1], p[..., 2])[there].min() > 0.0995
    theta = np.degrees(np.arccos(p[..., 3][there] / np.linalg.norm(p[..., 1:], axis=-1)[there]))
    assert 11.9 < theta.min() < theta.max() < 155.1
    photons = np.stack([LOW.momenta_lab[name] for name in LOW.photons], axis=1)
    assert np.all(np.diff(photons[..., 0], axis=1) < 1e-3)  # filled from the front by energy
    assert photons[..., 0][photons[..., 0] > 0].min() > 0.0495


def test_no_event_has_more_energy_than_the_beams():
    total = sum(LOW.momenta_lab.values())
    cms = to_cms(total, belle2_beams())
    # the beam remnants of radiation and neutrinos are missing; rounding adds at most 0.25 MeV per particle
    assert cms[:, 0].max() < 10.5796 + 0.005
    assert mass(total).max() < 10.5796 + 0.005
    assert 0.5 < np.average(cms[:, 0], weights=LOW.weights) / 10.58 < 0.95


def test_rate_of_few_track_events_is_a_tenth_of_the_continuum():
    """2 and 4 tracks are the tail of a distribution with mean 7 inside the acceptance: 10 to 20 % of uds events."""
    uds = hadronic.load_hadronic("low_multiplicity", "uds").weights.sum() / hadronic.cross_sections()["uds"]
    bb = hadronic.load_hadronic("low_multiplicity", "bb").weights.sum() / hadronic.cross_sections()["bb"]
    assert 0.1 < uds < 0.25
    assert bb < 0.2 * uds


def test_displaced_prongs_come_in_pairs_of_known_mass():
    points = np.stack([LOW.vertices_cm[f"prong_{k}"] for k in range(1, 5)], axis=1)
    momenta, pdg = prongs(LOW)
    far = np.hypot(points[..., 0], points[..., 1]) > 0.3
    rows = np.flatnonzero(far.sum(axis=1) == 2)
    assert len(rows) > 100
    pairs = np.array([np.flatnonzero(far[row]) for row in rows])
    same = np.linalg.norm(points[rows, pairs[:, 0]] - points[rows, pairs[:, 1]], axis=1) < 1e-6
    first, second = pairs[same].T
    rows = rows[same]
    m = mass(momenta[rows, first] + momenta[rows, second])
    kinds = np.sort(np.abs(np.stack([pdg[rows, first], pdg[rows, second]])), axis=0)
    pions, proton = (kinds == 211).all(axis=0), (kinds[0] == 211) & (kinds[1] == 2212)
    # momenta are rounded to 0.25 MeV
    assert np.median(np.abs(m[pions] - M_KSHORT)) < 1e-3
    assert np.median(np.abs(m[proton] - M_LAMBDA)) < 1e-3
    assert pions.sum() + proton.sum() > 0.9 * len(rows)


@pytest.mark.parametrize(("events", "size"), [(K_V0, 3), (KSTAR_V0, 4)])
def test_candidates_look_like_b_mesons(events, size):
    p, pdg = prongs(events)
    assert p.shape[1] == size and np.all(charge(pdg[:, 1]) > 0) and np.all(charge(pdg[:, 2]) < 0)
    points = np.stack([events.vertices_cm[f"prong_{k}"] for k in range(1, size + 1)], axis=1)
    assert np.abs(points[:, 1] - points[:, 2]).max() < 2 * hadronic.VERTEX_STEP
    radius = np.hypot(points[..., 0], points[..., 1])
    assert radius[:, 1].min() > 0.05 - 2 * hadronic.VERTEX_STEP and np.delete(radius, (1, 2), axis=1).max() < 0.51
    beams, best = belle2_beams(), np.full(len(p), np.inf)
    for m in (0.000511, 0.10566, M_PION, M_KAON):
        masses = np.array([M_KAON, m, m, M_PION][:size])
        energy = np.sqrt((p[..., 1:] ** 2).sum(axis=-1) + masses**2)
        candidate = to_cms(np.concatenate([energy[..., None], p[..., 1:]], axis=-1).sum(axis=1), beams)
        mbc, delta_e = beam_constrained(candidate, beams.sqrt_s)
        best = np.minimum(best, np.abs(delta_e))
        # the boost of each mass hypothesis differs from the truth, so M_bc moves a little beyond its cut of 5.18 GeV
        assert np.median(mbc) > 5.18
    assert np.median(best) < 0.3
    assert np.quantile(best, 0.95) < 0.4


def test_kstar_side_is_neutral_and_in_its_mass_range():
    p, pdg = prongs(KSTAR_V0)
    assert np.all(charge(pdg[:, 0]) == -charge(pdg[:, 3]))
    energy = np.sqrt((p[:, [0, 3], 1:] ** 2).sum(axis=-1) + np.array([M_KAON, M_PION]) ** 2)
    m = mass(np.concatenate([energy[..., None], p[:, [0, 3], 1:]], axis=-1).sum(axis=1))
    right = (np.abs(pdg[:, 0]) == 321) & (np.abs(pdg[:, 3]) == 211)
    assert 0.749 < m[right].min() < m[right].max() < 1.051
    # the cut was made in the centre of mass: of other particles taken as K and pi, a few leave the range in the lab
    assert np.mean((m[~right] > 0.75) & (m[~right] < 1.05)) > 0.9


def test_continuum_is_jet_like_and_b_pairs_are_round():
    for name in ("k_v0", "kstar_v0"):
        r2 = hadronic.fox_wolfram(name)
        assert len(r2) == len(hadronic.load_hadronic(name)) and 0.0 <= r2.min() < r2.max() <= 1.0
        assert np.median(hadronic.fox_wolfram(name, "uds")) > 1.5 * np.median(hadronic.fox_wolfram(name, "bb"))


def test_continuum_is_the_larger_background_of_b_to_k_v0():
    sums = {process: hadronic.load_hadronic("k_v0", process).weights.sum() for process in hadronic.PROCESSES}
    assert sums["uds"] + sums["charm"] > 5 * sums["bb"]


def test_files_are_small():
    assert sum(len(data_file(f"hadronic_{name}.npz").read_bytes()) for name in hadronic.LISTS) < 4e6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hadronic.load_hadronic("low_multiplicty"), "nearest: low_multiplicity"),
        (lambda: hadronic.load_hadronic("k_v0", "cham"), "nearest: charm"),
        (lambda: hadronic.fox_wolfram("k_v0", "b"), "nearest: bb"),
        (lambda: hadronic.fox_wolfram("low_multiplicity"), "holds no event shapes"),
        (lambda: hadronic.kshort_spectrum("qq"), "not one of continuum, bb"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rebuilding_gives_the_shipped_rates(tmp_path):
    pytest.importorskip("pythia8mc")
    from belle2dark.produce.hadronic import make_hadronic

    for path in make_hadronic(tmp_path, scale=0.001):
        with np.load(path) as made:
            shipped = hadronic._read(path.stem.removeprefix("hadronic_"))
            assert set(made.files) == set(shipped)
            if "kshort" in made.files:
                # numbers of K_S per event, about 0.5, scatter like Poisson numbers
                n = made["generated"][:2].sum()
                assert made["kshort"][0].sum() == pytest.approx(shipped["kshort"][0].sum(), abs=4 * np.sqrt(0.5 / n))
            for process in (0, 1):
                new, old = ((a["process"] == process, a["share"], a["generated"][process]) for a in (made, shipped))
                rate, known = ((1 / share[mine]).sum() / n for mine, share, n in (new, old))
                error = np.sqrt((1 / new[1][new[0]] ** 2).sum()) / new[2]
                assert rate == pytest.approx(known, abs=4 * error + 1e-4)


def test_kaons_and_protons_have_their_energy():
    p, pdg = prongs(LOW)
    for code, m in ((321, M_KAON), (2212, M_PROTON)):
        chosen = np.abs(pdg) == code
        assert mass(p[chosen]) == pytest.approx(np.full(chosen.sum(), m), abs=1e-6)
