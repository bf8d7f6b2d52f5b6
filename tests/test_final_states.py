"""Final states: ways to see an event add up, columns have the kinematics they claim, one row per event."""

import numpy as np
import pytest

from belle2dark.constants import M_ELECTRON, M_MUON, M_PION
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.observed import final_state as fixed
from belle2dark.detector.observed import observe
from belle2dark.detector.particle_id import index
from belle2dark.detector.response import EVERY_ASSIGNMENT
from belle2dark.final_states import FINAL_STATES, final_state
from belle2dark.simulation.backgrounds import EMU_MISSING, TAUTAU_EMU
from belle2dark.simulation.beams import to_cms, to_lab
from belle2dark.simulation.events import Events
from belle2dark.simulation.four_leptons import generate_four_muons
from belle2dark.simulation.gamma_gamma import generate_gamma_gamma
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.simulation.tau_pairs import generate_tau_leptons

BEAMS = BELLE2.beams
N = 4000


def probability(reco):
    return np.prod(list(reco.factors.values()), axis=0)


def rate(reco):
    w = reco.weights * probability(reco)
    return w.sum(), np.sqrt((w**2).sum())


def at(energy_cms, cosine, phi, mass, n=N):
    """n times the lab four-momentum with that CMS energy, polar angle and azimuth."""
    p, sine = np.sqrt(energy_cms**2 - mass**2), np.sqrt(1.0 - cosine**2)
    cms = np.array([energy_cms, p * sine * np.cos(phi), p * sine * np.sin(phi), p * cosine])
    return np.tile(to_lab(cms, BEAMS), (n, 1))


def events(n=N, **slots):
    return Events(
        momenta_lab={name.replace("minus", "-").replace("plus", "+"): p for name, p in slots.items()}, weights=np.ones(n)
    )


def nothing(tracks, photons, alternative):
    return {"none": np.zeros(len(tracks))}


def test_one_way_is_the_final_state_of_fixed_slots():
    """Muons of opposite charge can be the two tracks in one way, so both reconstructions have the same probabilities."""
    seen = observe(generate_mumu_gamma(20_000, 3, BEAMS), BELLE2, 3)
    ways = exclusive(seen, Wanted(hypotheses=("muon", "muon"), charges=(-1, 1)), nothing, BEAMS, 3)
    known = fixed(seen, {}, {"mu-": "muon", "mu+": "muon"})
    np.testing.assert_allclose(probability(ways), probability(known), rtol=1e-12)
    assert probability(ways).max() > 0.5
    use = probability(ways) > 0
    np.testing.assert_array_equal(ways.tracks_lab[use], known.tracks_lab[use])


def four_tracks(kinds):
    """Two negative and two positive barrel tracks, with names that say what they are."""
    places = ((1.5, 0.1, 0.3), (2.0, -0.3, 2.0), (2.5, 0.3, 4.0), (3.0, -0.1, 5.5))
    masses = {"mu": M_MUON, "e": M_ELECTRON, "pi": M_PION}
    return events(
        **{kind: at(*place, masses[kind.split("minus")[0].split("plus")[0]]) for kind, place in zip(kinds, places, strict=True)}
    )


MUONS = ("muminus_1", "muminus_2", "muplus_1", "muplus_2")
ALL_MUONS = {"hypotheses": ("muon",) * 4, "charges": (-1, 1, -1, 1)}


def test_four_interchangeable_muons_are_one_way_and_four_with_roles():
    seen = observe(four_tracks(MUONS), BELLE2, 5)
    one = probability(exclusive(seen, Wanted(**ALL_MUONS), nothing, BEAMS, 1))
    four = probability(exclusive(seen, Wanted(**ALL_MUONS, ordered=True), nothing, BEAMS, 1))
    expected = np.prod([seen.passes(name, "muon") for name in seen.slots], axis=0)
    np.testing.assert_allclose(one, expected, rtol=1e-12)
    np.testing.assert_allclose(four, 4.0 * expected, rtol=1e-12)


def test_every_pair_of_muons_is_drawn_as_often():
    seen = observe(four_tracks(MUONS), BELLE2, 5)
    reco = exclusive(seen, Wanted(**ALL_MUONS, ordered=True), nothing, BEAMS, 1)
    assert EVERY_ASSIGNMENT in reco.factors
    for slot in (0, 1):
        is_first = (reco.tracks_lab[:, 0] == seen.tracks.momenta_lab[:, slot]).all(axis=1)
        assert is_first.mean() == pytest.approx(0.5, abs=3 * np.sqrt(0.25 / N))


def test_three_of_four_identified_is_more_than_four():
    """P(at least 3 of 4) = product + sum over the one that is not identified."""
    seen = observe(four_tracks(MUONS), BELLE2, 5)
    found = probability(exclusive(seen, Wanted(**ALL_MUONS, least=3), nothing, BEAMS, 1))
    each = [seen.identified[(slice(None), k, *index("muon"))] for k in range(4)]
    known = np.prod(each, axis=0)
    known += sum((1 - each[k]) * np.prod([p for j, p in enumerate(each) if j != k], axis=0) for k in range(4))
    np.testing.assert_allclose(found, seen.tracks.efficiency.prod(axis=1) * known, rtol=1e-12)


def test_photons_may_be_there_where_neutrals_are_allowed():
    photon = {"gamma_1": at(2.0, 0.2, 1.0, 0.0)}
    alone = four_tracks(MUONS)
    seen = observe(Events(momenta_lab={**alone.momenta_lab, **photon}, weights=alone.weights), BELLE2, 5)
    strict, open_ = (probability(exclusive(seen, Wanted(**ALL_MUONS, neutrals=n), nothing, BEAMS, 1)) for n in (False, True))
    assert strict.mean() < 0.05 * open_.mean()


def test_alternatives_add_up_and_say_which_they_are():
    """e e and mu mu beside two tracks of any kind: electrons are seen as the first alternative, muons as the second."""
    wanted = Wanted(hypotheses=("electron", "electron", "any", "any"), charges=(-1, 1, -1, 1),
                    alternatives=(("muon", "muon", "any", "any"),))  # fmt: skip
    for kinds, which in ((("eminus", "piminus", "eplus", "piplus"), 0), (("muminus", "piminus", "muplus", "piplus"), 1)):
        reco = exclusive(observe(four_tracks(kinds), BELLE2, 5), wanted, nothing, BEAMS, 1)
        assert probability(reco).mean() > 0.3
        assert np.average(reco.alternative == which, weights=probability(reco)) > 0.9


def test_a_fifth_track_is_not_four_tracks():
    more = {"pi+": at(1.0, 0.0, 1.0, M_PION)}
    alone = four_tracks(MUONS)
    seen = observe(Events(momenta_lab={**alone.momenta_lab, **more}, weights=alone.weights), BELLE2, 5)
    reco = exclusive(seen, Wanted(**ALL_MUONS, neutrals=True), nothing, BEAMS, 1)
    assert probability(reco).mean() < 0.1


@pytest.mark.parametrize(
    ("options", "what"),
    [({"least": 5}, "least = 5"), ({"alternatives": (("muon",),)}, "alternatives"),
     ({"hypotheses": ("muon", "any"), "charges": (1, -1)}, "3 tracks"),
     ({"photons": 1, "neutrals": True}, "no photons")],
)  # fmt: skip
def test_impossible_wishes_are_refused(options, what):
    with pytest.raises(ValueError, match=what):
        Wanted(**{**ALL_MUONS, **options})


def test_either_of_two_photons_may_be_the_lost_one():
    """Two barrel photons as "one photon": one found times the other unseen, both ways added, for every event."""
    pair = events(gamma_1=at(5.0, 0.1, 0.3, 0.0), gamma_2=at(3.0, -0.3, 0.3 + np.pi, 0.0))
    seen = observe(pair, BELLE2, 5)
    reco = exclusive(seen, Wanted(photons=1), nothing, BEAMS, 5)
    found, unseen = seen.clusters.efficiency, seen.clusters.unseen * (1.0 - seen.klm)
    expected = found[:, 0] * unseen[:, 1] + found[:, 1] * unseen[:, 0]
    np.testing.assert_allclose(probability(reco), expected, rtol=1e-12)
    # the momenta are those of the first as often as its way is likely
    first = (reco.clusters_lab[:, 0] == seen.clusters.momenta_lab[:, 0]).all(axis=1)
    odds = (found[:, 0] * unseen[:, 1] / expected).mean()
    assert first.mean() == pytest.approx(odds, abs=3 * np.sqrt(odds * (1 - odds) / N))


def test_photon_counts_are_exclusive():
    """Probabilities to see one, two or no photon of gamma gamma add up to at most 1, event by event."""
    seen = observe(generate_gamma_gamma(20_000, 4, BEAMS), BELLE2, 4)
    low = BELLE2.number("photon_veto_threshold")
    total = seen.unseen(seen.slots)
    for k in (1, 2, 3):
        total += probability(exclusive(seen, Wanted(photons=k, energy_min=low), nothing, BEAMS, 4))
    # measured and true energy disagree at the threshold: a tenth of a photon too much for those few
    assert np.mean(total > 1.0 + 1e-9) < 0.02
    assert (total > 0.5).any()


def test_misidentified_muons_are_the_product_of_efficiency_and_fake_rate():
    """mu mu as e mu: either muon fakes the electron."""
    pair = events(**{"muminus": at(4.0, 0.2, 0.0, M_MUON), "muplus": at(4.0, -0.2, np.pi, M_MUON)})
    seen = observe(pair, BELLE2, 6)
    reco = FINAL_STATES["emu_missing"].reconstruct(pair, BELLE2, 6)
    fake, good = seen.identified[:, :, 0, 0], seen.identified[:, :, 0, 1]
    expected = seen.tracks.efficiency.prod(axis=1) * (fake[:, 0] * good[:, 1] + fake[:, 1] * good[:, 0])
    np.testing.assert_allclose(probability(reco), expected, rtol=1e-12)
    assert 0 < probability(reco).max() < 0.01


def test_misidentified_electrons_are_the_product_of_efficiency_and_fake_rate():
    """e e as e mu: either electron fakes the muon, at the small rate of the identification."""
    pair = events(**{"eminus": at(4.0, 0.2, 0.0, M_ELECTRON), "eplus": at(4.0, -0.2, np.pi, M_ELECTRON)})
    seen = observe(pair, BELLE2, 6)
    reco = FINAL_STATES["emu_missing"].reconstruct(pair, BELLE2, 6)
    good, fake = seen.identified[:, :, 0, 0], seen.identified[:, :, 0, 1]
    expected = seen.tracks.efficiency.prod(axis=1) * (good[:, 0] * fake[:, 1] + good[:, 1] * fake[:, 0])
    np.testing.assert_allclose(probability(reco), expected, rtol=1e-12)
    assert 0 < probability(reco).max() < 0.01


def test_balanced_e_mu_pairs_pass_the_pre_selection():
    """An electron and a muon of half the energy each, with nothing missing, are kept where they are looked for."""
    half = BEAMS.sqrt_s / 2
    emu = np.stack([at(half, 0.3, 0.5, M_ELECTRON, 1)[0], at(half, -0.3, 0.5 + np.pi, M_MUON, 1)[0]])[None, :, 1:]
    state, columns = FINAL_STATES["emu_missing"], exact("emu_missing", emu, np.zeros((1, 0, 4)))
    assert columns["m_emu"][0] == pytest.approx(BEAMS.sqrt_s, abs=1e-3)
    assert columns["pt_emu_cms"][0] < 0.01
    assert state.loose(columns, BELLE2).all() and state.dense(columns, BELLE2).all()


def test_charges_matter_unless_conjugate():
    pair = events(**{"muminus": at(4.0, 0.2, 0.0, M_MUON), "eplus": at(4.0, -0.2, np.pi, M_ELECTRON)})
    seen = observe(pair, BELLE2, 7)
    one = Wanted(hypotheses=("electron", "muon"), charges=(-1, 1))
    both = Wanted(hypotheses=("electron", "muon"), charges=(-1, 1), conjugate=True)
    # with charges as they are only the double fake is left: the muon as electron and the electron as muon
    assert probability(exclusive(seen, one, nothing, BEAMS, 7)).max() < 1e-4
    assert probability(exclusive(seen, both, nothing, BEAMS, 7)).mean() > 0.5


def test_electron_without_track_is_a_photon():
    """Backward of the chamber an electron is a cluster without a track; inside its track vetoes a single photon."""
    low = BELLE2.numbers["cdc_theta"].values[1]
    theta = np.radians([low + 2.0, 90.0])
    for angle, seen in zip(theta, (True, False), strict=True):
        p = 2.0 * np.array([1.0, np.sin(angle), 0.0, np.cos(angle)])
        reco = FINAL_STATES["single_photon"].reconstruct(events(**{"eminus": np.tile(p, (N, 1))}), BELLE2, 8)
        assert (probability(reco).mean() > 0.5) == seen
        assert probability(reco).mean() < 1.0


def test_two_tau_charges_have_one_rate():
    """What lets one charge combination stand for both: 3 standard deviations of the two samples."""
    state = FINAL_STATES["emu_missing"]
    parts = [
        rate(state.reconstruct(generate_tau_leptons(100_000, 9, BEAMS, *pair), BELLE2, 9)) for pair in (("e", "mu"), ("mu", "e"))
    ]
    assert parts[0][0] == pytest.approx(parts[1][0], abs=3 * np.hypot(parts[0][1], parts[1][1]))
    doubled = rate(state.reconstruct(TAUTAU_EMU.generate(100_000, 9, BEAMS), BELLE2, 9))
    assert doubled[0] == pytest.approx(parts[0][0] + parts[1][0], abs=3 * np.hypot(doubled[1], parts[1][1]))


def test_recoil_of_a_photon_peaks_at_the_mass():
    reco = FINAL_STATES["single_photon"].reconstruct(generate_gamma_x(20_000, 2, BEAMS, 6.0, "dark_photon", isr=False), BELLE2, 2)
    use = probability(reco) > 0
    recoil = reco.columns["recoil_mass_squared"][use]
    assert np.median(recoil) == pytest.approx(36.0, abs=3 * 1.25 * recoil.std() / np.sqrt(use.sum()) + 0.1)
    assert (np.abs(reco.columns["cos_theta_cms"]) <= 1).all()


def exact(state, tracks, photons):
    return FINAL_STATES[state].derive(tracks, photons, np.zeros(len(tracks), dtype=np.int8), BELLE2)


def test_columns_of_exact_momenta():
    """Closed kinematics: an event without losses recoils against nothing and has the collision's mass."""
    s = BEAMS.sqrt_s**2
    photon = at(3.0, 0.4, 1.0, 0.0, 1)
    rest = BEAMS.nominal - photon[0]
    m = np.sqrt(rest[0] ** 2 - (rest[1:] ** 2).sum())
    assert exact("single_photon", np.zeros((1, 0, 3)), photon[:, None])["recoil_mass_squared"][0] == pytest.approx(m * m)
    # three photons at 120 degrees
    three = np.stack([at(BEAMS.sqrt_s / 3, 0.0, 2 * np.pi * k / 3, 0.0, 1)[0] for k in range(3)])[None]
    columns = exact("three_photons", np.zeros((1, 0, 3)), three)
    assert columns["mass_squared"][0] == pytest.approx(s / 3)
    assert columns["recoil_mass_squared"][0] == pytest.approx(s / 3)
    assert columns["energy_recoil_cms"][0] == pytest.approx(BEAMS.sqrt_s / 3)
    # back-to-back muons of half the energy each, then with a photon of no energy
    pair = np.stack([at(BEAMS.sqrt_s / 2, 0.3, 0.5, M_MUON, 1)[0], at(BEAMS.sqrt_s / 2, -0.3, 0.5 + np.pi, M_MUON, 1)[0]])[
        None, :, 1:
    ]
    columns = exact("dimuon_photon", pair, 1e-9 * photon[:, None])
    assert columns["m_total"][0] == pytest.approx(BEAMS.sqrt_s)
    assert columns["recoil_mass_squared_total"][0] == pytest.approx(0.0, abs=1e-6)
    emu = np.stack([at(4.0, 0.3, 0.5, M_ELECTRON, 1)[0], at(4.0, -0.3, 0.5 + np.pi, M_MUON, 1)[0]])[None, :, 1:]
    columns = exact("emu_missing", emu, np.zeros((1, 0, 4)))
    assert columns["energy_electron_cms"][0] == pytest.approx(4.0)
    assert columns["energy_muon_cms"][0] == pytest.approx(4.0)


def test_photon_of_radiative_dimuons_points_along_the_recoil():
    """mu mu gamma without further radiation balances: the photon is where the pair recoils, within the resolution."""
    reco = FINAL_STATES["dimuon_photon"].reconstruct(generate_mumu_gamma(40_000, 6, BEAMS), BELLE2, 6)
    use = (probability(reco) > 0.5) & (reco.columns["photon_energy_cms"] > 3.0)
    assert use.sum() > 200
    assert np.median(reco.columns["photon_angle"][use]) < 0.03
    assert np.median(reco.columns["m_total"][use]) == pytest.approx(BEAMS.sqrt_s, abs=0.1)


def test_four_muons_add_up_to_the_collision():
    sample = generate_four_muons(20_000, 6, BEAMS, isr=False)
    reco = FINAL_STATES["four_muons"].reconstruct(sample, BELLE2, 6)
    use = probability(reco) > 0
    assert use.mean() > 0.1
    assert np.median(reco.columns["m_total"][use]) == pytest.approx(BEAMS.sqrt_s, abs=0.02)
    assert (reco.columns["m_lowest"] <= np.minimum(reco.columns["m_pair"], reco.columns["m_other"])).all()
    assert len(reco) == len(sample)


@pytest.mark.parametrize("name", FINAL_STATES)
def test_columns_are_those_declared(name):
    state = FINAL_STATES[name]
    rng = np.random.default_rng(1)
    rows = len(state.wanted.hypotheses) if state.rows is None else state.rows
    tracks, photons = rng.normal(size=(5, rows, 3)), rng.normal(size=(5, state.wanted.photons, 3))
    photons = np.concatenate([np.linalg.norm(photons, axis=-1, keepdims=True), photons], axis=-1)
    columns = state.derive(tracks, photons, np.zeros(5, dtype=np.int8), BELLE2)
    assert set(columns) == set(state.meanings)
    assert all(values.shape == (5,) and np.isfinite(values).all() for values in columns.values())
    cells = state.cells(columns, BELLE2)
    assert (cells >= 0).all()
    assert cells.max() < 3 * np.prod([axis.bins for axis in state.axes])


def test_every_photon_recoils_as_often_as_the_others():
    """Three photons stand for three assignments: the pair is in order of energy, the recoil photon is any of them."""
    reco = FINAL_STATES["three_photons"].reconstruct(generate_gamma_gamma(60_000, 2, BEAMS), BELLE2, 2)
    use = probability(reco) > 0
    energies = to_cms(reco.clusters_lab[use], BEAMS)[..., 0]
    assert (energies[:, 1] >= energies[:, 2]).all()
    assert (reco.factors["every assignment"] == 3.0).all()
    rank = (energies[:, :1] < energies[:, 1:]).sum(axis=1)
    n = use.sum()
    assert n > 300
    for place in range(3):
        assert (rank == place).mean() == pytest.approx(1 / 3, abs=3 * np.sqrt(2 / 9 / n))


def test_same_numbers_again():
    state, sample = FINAL_STATES["single_photon"], generate_gamma_gamma(2000, 2, BEAMS)
    first, second = (state.reconstruct(sample, BELLE2, 3) for _ in range(2))
    np.testing.assert_array_equal(first.clusters_lab, second.clusters_lab)


def test_backgrounds_of_one_template_have_different_names():
    names = [b.name for b in EMU_MISSING]
    assert len(names) == len(set(names))


def test_bad_input():
    with pytest.raises(ValueError, match="nearest: single_photon"):
        final_state("single_foton")
    with pytest.raises(ValueError, match="charges"):
        Wanted(hypotheses=("muon",), charges=(0,))
    with pytest.raises(ValueError, match="charges"):
        Wanted(hypotheses=("muon", "muon"), charges=(1,))
    with pytest.raises(ValueError, match="nearest: muon"):
        Wanted(hypotheses=("muom",), charges=(1,))
    with pytest.raises(ValueError, match="photons"):
        Wanted(photons=-1)
    with pytest.raises(ValueError, match="photons"):
        Wanted()
