"""Dark Higgs cascade: decays and spins of the generator, three pairs counted once, hadrons that look like them, the search."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from belle2dark.constants import M_ELECTRON, M_MUON, M_PION
from belle2dark.detector.experiments import BABAR
from belle2dark.final_states.six_tracks import INCLUSIVE, MODES, STATE, columns, kinds_of, reconstruct
from belle2dark.point import point
from belle2dark.search import load_search
from belle2dark.simulation.backgrounds_six_tracks import generate_hadron_tracks, load_tracks, smallest_spread, turned
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.cascade import KINDS, branching_fractions, combined_fraction, generate_cascade, mean_flight
from belle2dark.theory.dark_higgsstrahlung import angular_weights, cross_section
from belle2dark.theory.dark_photon import DARK_PHOTON

N = 20_000
QUIET = replace(BABAR.beams, spread=False)
MUONS, PIONS = ("mumu", "mumu", "mumu"), ("pipi", "pipi", "pipi")


def square(p):
    return p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(axis=-1)


def rest(p, frame):
    """Momenta p (n, 4) in the rest frame of ``frame`` (n, 4): the textbook boost, component by component."""
    beta = frame[:, 1:] / frame[:, :1]
    b2 = (beta**2).sum(axis=1)
    gamma = 1.0 / np.sqrt(1.0 - b2)
    along = (beta * p[:, 1:]).sum(axis=1)
    space = p[:, 1:] + (((gamma - 1.0) / b2 * along) - gamma * p[:, 0])[:, None] * beta
    return np.column_stack([gamma * (p[:, 0] - along), space])


def unit(v):
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def tracks_of(events):
    return {name: p for name, p in events.momenta_lab.items() if name[:4] in ("minu", "plus")}


# theory


@pytest.mark.parametrize(("m_hprime", "m_aprime", "sigma"), [(1.0, 0.3, 0.26), (4.0, 1.0, 0.19), (8.0, 1.0, 0.028)])
def test_closed_form_at_eps2_alpha_d_of_1e_8(m_hprime, m_aprime, sigma):
    """Values of the formula to two digits, computed independently of this code."""
    assert float(cross_section(m_aprime, m_hprime, 1e-8, alpha="thomson")) == pytest.approx(sigma, abs=0.6 * 10 ** (
        math.floor(math.log10(sigma)) - 1))  # fmt: skip


@pytest.mark.parametrize(("sqrt_s", "sigma"), [(10.0, 21.7), (10.58, 19.40)])
def test_closed_form_at_zero_masses_is_the_quoted_20_fb(sqrt_s, sigma):
    """pi alpha^2 eps^2 / 3 s for alpha_D = alpha and eps^2 = 1e-4; the quoted 21.7 fb are those of 10 GeV."""
    alpha = 1 / 137.036
    found = float(cross_section(1e-4, 1e-4, 1e-4 * alpha, sqrt_s=sqrt_s, alpha="thomson"))
    assert found == pytest.approx(sigma, rel=0.003)
    assert found == pytest.approx(math.pi * alpha**2 * 1e-4 / (3 * sqrt_s**2) * 3.8938e11, rel=1e-4)


@pytest.mark.parametrize("mass", [0.15, 0.25, 0.5, 0.77, 1.0, 2.0, 3.5])
def test_branching_fractions_add_up(mass):
    found = branching_fractions(mass)
    assert set(found) == set(KINDS) and min(found.values()) >= 0.0
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-12)
    hadrons = float(DARK_PHOTON.branching_fraction("hadrons", mass))
    assert found["pipi"] <= hadrons * (1.0 + 1e-12)


def test_thresholds_of_the_decays():
    assert branching_fractions(2 * M_MUON * 0.999)["mumu"] == 0.0 < branching_fractions(2 * M_MUON * 1.01)["mumu"]
    assert branching_fractions(2 * M_PION * 0.999)["pipi"] == 0.0 < branching_fractions(2 * M_PION * 1.05)["pipi"]
    assert branching_fractions(0.77)["pipi"] > 0.5, "the rho dominates at its mass"


def test_all_triples_together_are_all_decays():
    triples = list(itertools.combinations_with_replacement(KINDS, 3))
    assert combined_fraction(1.2, triples) == pytest.approx(1.0, abs=1e-12)
    f = branching_fractions(1.2)
    assert combined_fraction(1.2, [("mumu", "pipi", "mumu")]) == pytest.approx(3 * f["mumu"] ** 2 * f["pipi"], rel=1e-12)
    assert combined_fraction(1.2, [("ee", "mumu", "pipi")]) == pytest.approx(6 * f["ee"] * f["mumu"] * f["pipi"], rel=1e-12)
    same = [("ee", "mumu", "pipi"), ("pipi", "ee", "mumu")]
    assert combined_fraction(1.2, same) == combined_fraction(1.2, same[:1]), "the same triple in another order counts once"


def test_dark_photons_are_prompt_in_the_range_of_the_searches():
    """c tau = 3 hbar c / (alpha eps^2 m) with electrons alone; a few 0.01 mm at eps = 1e-4 from 0.5 GeV on."""
    assert mean_flight(0.15, 4.0, 1e-4, 10.58) * 1e-8 == pytest.approx(mean_flight(0.15, 4.0, 1.0, 10.58), rel=1e-9)
    only_electrons = 3 * 1.97327e-14 / (0.0072973525 * 1e-8 * 0.15)
    momentum = math.sqrt(((10.58**2 + 0.15**2 - 4.0**2) / (2 * 10.58)) ** 2 - 0.15**2)
    assert mean_flight(0.15, 4.0, 1e-4, 10.58) == pytest.approx(only_electrons * momentum / 0.15, rel=1e-3)
    assert mean_flight(0.5, 1.25, 1e-4, 10.58) < 0.01


# generator


@pytest.fixture(scope="module")
def muons():
    return generate_cascade(1.0, 4.0, N, 11, QUIET, [MUONS], isr=False)


def test_masses_and_four_momentum(muons):
    pairs = [muons.momenta_lab[f"minus_{k}"] + muons.momenta_lab[f"plus_{k}"] for k in (1, 2, 3)]
    for pair in pairs:
        assert np.sqrt(square(pair)) == pytest.approx(1.0, abs=1e-7)
    assert np.sqrt(square(pairs[1] + pairs[2])) == pytest.approx(4.0, abs=1e-7)
    for p in tracks_of(muons).values():
        assert square(p) == pytest.approx(M_MUON**2, abs=1e-7)
    # massless beams: 1e-8 of the energy
    assert sum(pairs) == pytest.approx(np.tile(QUIET.nominal, (N, 1)), abs=1e-6)
    assert muons.weights.sum() == pytest.approx(1.0, rel=1e-9)


def test_conservation_with_radiation_and_an_unseen_dark_photon():
    events = generate_cascade(1.2, 4.0, 5000, 3, QUIET, [("ee", "mumu", "other"), ("mumu", "pipi", "pipi")], isr=True, fsr=True)
    total = sum(events.momenta_lab.values())
    assert total == pytest.approx(np.tile(QUIET.nominal, (5000, 1)), abs=2e-6)
    unseen = events.momenta_lab["x"][:, 0] > 0.0
    assert np.sqrt(square(events.momenta_lab["x"][unseen])) == pytest.approx(1.2, abs=1e-7)
    # who decayed how: shares of the two final states are those of their branching fractions
    f = branching_fractions(1.2)
    a, b = 6 * f["ee"] * f["mumu"] * f["other"], 3 * f["mumu"] * f["pipi"] ** 2
    share = a / (a + b)
    assert unseen.mean() == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / 5000))


def test_polar_angle_of_the_first_dark_photon(muons):
    """<cos^2> of w_T (1 + c^2) + w_L (1 - c^2)."""
    first = to_cms(muons.momenta_lab["minus_1"] + muons.momenta_lab["plus_1"], QUIET)
    cosine = unit(first[:, 1:])[:, 2]
    w_t, w_l = (float(w) for w in angular_weights(1.0, 4.0, QUIET.sqrt_s))
    mean = w_t * (2 / 3 + 2 / 5) + w_l * (2 / 3 - 2 / 5)
    assert (cosine**2).mean() == pytest.approx(mean, abs=3 * (cosine**2).std() / math.sqrt(N))


@pytest.mark.parametrize("kind", ["mumu", "pipi"])
def test_helicities_of_the_first_dark_photon(kind):
    """Longitudinal share L = 4 w_L / 3; pairs go as 1 - b c^2 (L) and 2 - b + b c^2 (T), pions as c^2 and 1 - c^2."""
    events = generate_cascade(1.0, 4.0, N, 5, QUIET, [(kind,) * 3], isr=False)
    minus, pair = events.momenta_lab["minus_1"], events.momenta_lab["minus_1"] + events.momenta_lab["plus_1"]
    flight = to_cms(pair, QUIET)
    cosine = (unit(rest(to_cms(minus, QUIET), flight)[:, 1:]) * unit(flight[:, 1:])).sum(axis=1)
    _, w_l = (float(w) for w in angular_weights(1.0, 4.0, QUIET.sqrt_s))
    assert (cosine**2).mean() == pytest.approx(mean_square(kind, 4 * w_l / 3), abs=3 * (cosine**2).std() / math.sqrt(N))


def mean_square(kind, longitudinal):
    """<cos^2> of the decay angle in an A' of 1 GeV that is ``longitudinal`` with that probability."""
    if kind == "pipi":
        return longitudinal * 3 / 5 + (1 - longitudinal) / 5
    b = 1 - 4 * M_MUON**2
    along = (1 / 3 - b / 5) / (1 - b / 3)  # 1 - b c^2
    across = ((2 - b) / 3 + b / 5) / ((2 - b) + b / 3)  # 2 - b + b c^2
    return longitudinal * along + (1 - longitudinal) * across


@pytest.mark.parametrize(("m_hprime", "kind"), [(2.02, "pipi"), (4.0, "pipi"), (4.0, "mumu"), (8.0, "mumu")])
def test_helicities_in_the_decay_of_the_dark_higgs(m_hprime, kind):
    """A scalar gives transverse and longitudinal vectors as 2 to (m_h'^2 / 2 m_A'^2 - 1)^2, and h' itself isotropically."""
    events = generate_cascade(1.0, m_hprime, N, 7, QUIET, [(kind,) * 3], isr=False)
    pairs = [events.momenta_lab[f"minus_{k}"] + events.momenta_lab[f"plus_{k}"] for k in (2, 3)]
    higgs = pairs[0] + pairs[1]
    kappa = m_hprime**2 / 2 - 1
    expected = mean_square(kind, kappa**2 / (2 + kappa**2))
    for k, pair in zip((2, 3), pairs, strict=True):
        flight = rest(pair, higgs)
        minus = rest(events.momenta_lab[f"minus_{k}"], higgs)
        cosine = (unit(rest(minus, flight)[:, 1:]) * unit(flight[:, 1:])).sum(axis=1)
        assert (cosine**2).mean() == pytest.approx(expected, abs=3.5 * (cosine**2).std() / math.sqrt(N))
    flight = unit(rest(pairs[0], higgs)[:, 1:])
    assert np.abs(flight.mean(axis=0)).max() < 3.5 / math.sqrt(3 * N)


def test_planes_of_the_dark_higgs_know_of_each_other():
    """Pions: weight (e.K.e')^2, so that <cos 2 phi> of the planes is (1/4) (2 <sin^2>)... computed by quadrature here."""
    m_hprime = 2.3
    events = generate_cascade(1.0, m_hprime, 4 * N, 9, QUIET, [PIONS], isr=False)
    pairs = [events.momenta_lab[f"minus_{k}"] + events.momenta_lab[f"plus_{k}"] for k in (2, 3)]
    higgs = pairs[0] + pairs[1]
    axis = unit(rest(pairs[0], higgs)[:, 1:])
    across = []
    for k in (2, 3):
        p = rest(events.momenta_lab[f"minus_{k}"], higgs)[:, 1:]
        across.append(unit(p - (p * axis).sum(axis=1, keepdims=True) * axis))
    cosine = (across[0] * across[1]).sum(axis=1)
    # weight (s s' cos phi + kappa c c')^2 on a grid
    kappa = m_hprime**2 / 2 - 1
    c = (np.arange(200) + 0.5) / 100 - 1
    phi = (np.arange(200) + 0.5) * 2 * np.pi / 200
    a, b = c[:, None, None], c[None, :, None]
    weight = (np.sqrt((1 - a**2) * (1 - b**2)) * np.cos(phi) + kappa * a * b) ** 2
    expected = (weight * np.cos(2 * phi)).sum() / weight.sum()
    value = 2 * cosine**2 - 1
    assert expected > 0.2, "the test would see nothing"
    assert value.mean() == pytest.approx(expected, abs=3 * value.std() / math.sqrt(len(value)))


def test_same_events_on_any_number_of_threads(muons):
    from belle2dark._jit import threads

    with threads(1):
        again = generate_cascade(1.0, 4.0, N, 11, QUIET, [MUONS], isr=False)
    assert all(np.array_equal(again.momenta_lab[name], p) for name, p in muons.momenta_lab.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"m_hprime": 2.0}, "closed; needs 2 m_aprime < m_hprime"), ({"m_hprime": 9.7}, "m_aprime \\+ m_hprime <"),
     ({"decays": [("ee", "mumu", "pion")]}, "kind 'pion'.*nearest: pipi"), ({"n": 0}, "n = 0"),
     ({"m_aprime": 0.25, "decays": [PIONS]}, "closed for m_aprime = 0.25")],
)  # fmt: skip
def test_bad_requests(change, message):
    request = {"m_aprime": 1.0, "m_hprime": 4.0, "n": 10, "decays": [MUONS]} | change
    with pytest.raises(ValueError, match=message):
        generate_cascade(request["m_aprime"], request["m_hprime"], request["n"], 1, QUIET, request["decays"])


# three pairs


def seen(events, detector=BABAR):
    reco = reconstruct(events, detector, 2)
    weights = reco.weights.copy()
    for factor in reco.factors.values():
        weights = weights * factor
    return reco, weights


def perfect():
    """BaBar with nearly perfect tracks that are always found and identified."""
    ideal = {"pt_resolution_slope": 1e-9, "pt_resolution_constant": 1e-9, "angle_resolution": 1e-9, "angle_scattering": 1e-9,
             "tracker_material": 0.0, "tracking_efficiency": 1.0, "muon_id_efficiency": 1.0, "muon_id_turn_on": [1e-4, 2e-4],
             "tracking_turn_on": [1e-5, 2e-5], "cdc_theta": [0.1, 179.9], "klm_theta": [0.0, 180.0],
             "track_layers_turn_on": [-2.0, -1.0]}  # fmt: skip
    return BABAR.vary(**ideal)


def test_every_pairing_and_assignment_counts_once(muons):
    """Perfect tracks: one right pairing times three assignments of the h', and pairs of others where masses happen to agree."""
    reco, weights = seen(muons, perfect())
    c, n = reco.columns, len(muons)
    assert (reco.factors["four tracks"] == 1.0).all()
    right = (np.abs(c["m_aprime"] - 1.0) < 1e-4) & (c["mass_spread"] < 1e-4) & (c["mode"] == MODES.index(MUONS))
    assert weights[right].sum() == pytest.approx(3.0, abs=3 * 3 / math.sqrt(n))
    higgs = right & (np.abs(c["m_hprime"] - 4.0) < 1e-3)
    # one of three, and some of the others by chance: |m - 4| < 0.001 GeV
    assert weights[higgs].sum() == pytest.approx(1.0, abs=3 * math.sqrt(2.0 / n) + 0.003)


def test_the_other_assignments_have_the_other_masses(muons):
    """The entry of an event says which pair stands beside the h': masses of the six stored tracks agree with the truth."""
    reco, weights = seen(muons, perfect())
    c = reco.columns
    pairs = [muons.momenta_lab[f"minus_{k}"] + muons.momenta_lab[f"plus_{k}"] for k in (1, 2, 3)]
    true = np.stack([np.sqrt(square(pairs[i] + pairs[j])) for i, j in ((1, 2), (0, 2), (0, 1))], axis=1)
    right = (weights > 0) & (c["mass_spread"] < 1e-4) & (np.abs(c["m_aprime"] - 1.0) < 1e-4)
    assert np.abs(c["m_hprime"][right, None] - true[right]).min(axis=1).max() < 2e-3


def test_two_lepton_pairs_and_a_recoil():
    events = generate_cascade(1.2, 4.0, N, 4, QUIET, [("mumu", "mumu", "other")], isr=False)
    reco, weights = seen(events, perfect())
    c = reco.columns
    assert set(np.unique(c["mode"][weights > 0])) == {INCLUSIVE}
    good = (np.abs(c["recoil_difference"]) < 0.01) & (c["mass_spread"] < 1e-4) & (np.abs(c["m_aprime"] - 1.2) < 1e-4)
    assert weights[good].sum() == pytest.approx(3.0, abs=0.1)
    peak = good & (np.abs(c["m_hprime"] - 4.0) < 2e-3)
    assert weights[peak].sum() == pytest.approx(1.0, abs=3 * math.sqrt(2.0 / N) + 0.01)


def test_classes_exclude_each_other():
    """Six identified muons are no four muons with something else, and a lost track makes six tracks four and a recoil."""
    events = generate_cascade(1.2, 4.0, N, 4, QUIET, [MUONS], isr=False)
    _, all_found = seen(events, perfect())
    modes = seen(events, perfect())[0].columns["mode"]
    # a track of less than 5 MeV/c transverse momentum may be lost even here
    assert all_found[modes == INCLUSIVE].sum() < 0.02 * all_found.sum()
    reco, weights = seen(events)
    assert 0.03 < weights[reco.columns["mode"] == INCLUSIVE].sum() / weights.sum() < 0.5


def test_columns_of_a_constructed_event():
    """Three pairs at rest and back to back whose masses are known by hand."""
    tracks = np.zeros((1, 6, 3))
    for k, p in enumerate((0.5, 0.6, 0.7)):
        tracks[0, 2 * k, k], tracks[0, 2 * k + 1, k] = p, -p
    found = columns(tracks, np.zeros((1, 0, 4)), BABAR, np.array([16 * 0 + 4 * 1 + 2], dtype=np.int8))
    masses = [2 * math.hypot(p, m) for p, m in ((0.5, M_ELECTRON), (0.6, M_MUON), (0.7, M_PION))]
    assert found["m_aprime"][0] == pytest.approx(np.mean(masses))
    assert found["mass_spread"][0] == pytest.approx(masses[2] - masses[0])
    assert found["m_hprime"][0] == pytest.approx(masses[1] + masses[2])
    assert found["m_total"][0] == pytest.approx(sum(masses))
    assert MODES[int(found["mode"][0])] == ("ee", "mumu", "pipi")
    assert kinds_of(np.array([6], dtype=np.int8)).tolist() == [[0, 1, 2]]
    assert set(found) == set(STATE.meanings)


# hadrons


def test_turned_events_keep_their_mass_momentum_and_particles():
    momenta, _, _ = load_tracks("six")
    new = turned(momenta[:300], np.random.default_rng(1))
    assert new.sum(axis=1) == pytest.approx(momenta[:300].sum(axis=1), abs=1e-6)
    assert square(new) == pytest.approx(square(momenta[:300]), abs=1e-6)
    assert not np.allclose(new, momenta[:300], atol=0.01)


def test_copies_of_hadrons_stand_for_the_list():
    """Those of "six" whose pairs have nearly one mass, before they are turned; turning moves about as many in as out."""
    momenta, _, weights = load_tracks("six")
    for name, total in (("six", weights[smallest_spread(momenta) < 0.2].sum()), ("four", load_tracks("four")[2].sum())):
        events = generate_hadron_tracks(name, 4000, 3, BABAR.beams)
        error = 3 * events.weights.std() / events.weights.mean() / math.sqrt(4000)
        assert events.weights.sum() == pytest.approx(total, rel=error + (0.08 if name == "six" else 0.01))
    charges = sum(np.sign(events.pdg(slot)) * np.where(np.abs(events.pdg(slot)) < 20, -1, 1) for slot in events.momenta_lab)
    assert (charges == 0).all()
    with pytest.raises(ValueError, match=r"list 'five'.*nearest"):
        load_tracks("five")


# search


@pytest.fixture(scope="module")
def search():
    return load_search("dark_higgs_cascade")


def test_limits_of_babar_are_tens_of_attobarns(search):
    """The abstract: typically 10 to 100 ab; no point of the plane away from its edges is twice as far."""
    for m, h in ((0.25, 0.9), (0.4, 5.0), (1.3, 3.0), (2.0, 7.0)):
        found = point(search, {"m_aprime": m, "m_hprime": h}, n_events=4000)
        assert found.limit is not None and 0.005 < found.limit[2] < 0.2, (m, h)
        assert found.background_events < 0.1, "near zero"


def test_belle_excludes_epsilon_above_8e_4(search):
    """The weakest limit on epsilon for m_h' < 8 and m_A' < 1 GeV is 8e-4 (abstract), but for the rho, where pions take all.

    A factor of 1.5: twice the rate, as efficiencies are not public.
    """
    found = {}
    for m in (0.3, 0.6, 0.9, 0.77):
        given = {"dataset": "belle_977", "m_aprime": m, "m_hprime": 7.9, "alpha_d": 1 / 137.036}
        found[m] = next(c for c in point(search, given, n_events=4000).couplings if c.name == "epsilon").expected[2]
    rho = found.pop(0.77)
    assert 8e-4 / 1.5 < max(found.values()) < 8e-4 * 1.5
    assert rho > 1.5 * max(found.values())


def test_without_background_limits_fall_as_one_over_luminosity(search):
    near, far = (point(search, {"m_aprime": 0.3, "luminosity": x}, n_events=2000) for x in (100.0, 1000.0))
    assert near.background_events < 1e-2
    assert near.limit[2] == pytest.approx(10 * far.limit[2], rel=0.02)


def test_limit_on_the_cross_section_is_that_on_the_product_over_the_branching_fraction(search):
    one, other = (point(search, {"quantity": q, "final_state": "6mu"}, n_events=4000) for q in ("cross_section", "product"))
    f = branching_fractions(1.0)["mumu"] ** 3
    assert one.limit[2] * f == pytest.approx(other.limit[2], rel=1e-9)
    assert one.branching_fraction == pytest.approx(f, rel=1e-12)
    assert one.couplings[0].expected[2] == pytest.approx(other.couplings[0].expected[2], rel=1e-9)


def test_more_final_states_see_more(search):
    limits = {s: point(search, {"final_state": s, "m_aprime": 1.5}, n_events=4000).limit[2]
              for s in ("6mu", "exclusive", "inclusive", "combined")}  # fmt: skip
    assert limits["combined"] < min(limits["exclusive"], limits["inclusive"]) < limits["6mu"]


def test_epsilon_and_its_square_times_alpha_d(search):
    found = {c.name: c.expected[2] for c in point(search, {"alpha_d": 0.1}, n_events=2000).couplings}
    assert found["epsilon"] ** 2 * 0.1 == pytest.approx(found["eps2_alpha_d"], rel=1e-9)


@pytest.mark.parametrize(
    ("given", "reason"),
    [({"m_aprime": 2.1}, "not above 2 m_aprime"), ({"m_aprime": 3.0, "m_hprime": 8.0}, "closed: m_aprime"),
     ({"final_state": "inclusive"}, "from m_aprime = 1.1"), ({"m_aprime": 0.2, "final_state": "6mu"}, "does not decay to 6mu")],
)  # fmt: skip
def test_closed(search, given, reason):
    found = point(search, given, n_events=1000)
    assert found.limit is None and reason in found.reason


@pytest.mark.parametrize(("m", "h"), [(3.4, 6.9), (3.34, 7.0), (0.1, 10.4), (0.15, 10.4)])
def test_the_ends_of_phase_space_are_closed_with_a_reason(m, h):
    """Slow A', any two of which look like the h', would count three times; tracks of an A' almost at rest are not found."""
    answer = point(load_search("dark_higgs_cascade"), {"m_aprime": m, "m_hprime": h, "dataset": "belle_977"}, n_events=1000)
    assert answer.limit is None and answer.efficiency == 0 and "closed" in answer.reason


@pytest.mark.parametrize("h", [6.52, 6.7, 6.9, 7.1])
def test_no_event_counts_more_than_once_next_to_that_end(h):
    """The resolution is that of the right pairs, and the efficiency below that of six tracks."""
    answer = point(load_search("dark_higgs_cascade"), {"m_aprime": 3.25, "m_hprime": h}, n_events=4000)
    assert answer.resolution["m_hprime"][1] < 0.03 and answer.efficiency < 0.35
