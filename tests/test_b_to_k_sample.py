"""B -> K S with a displaced S: lifetimes, efficiencies, mass shapes and what looks like it."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from belle2dark.constants import CTAU_D0, CTAU_KSHORT, M_D0, M_JPSI, M_KAON, M_KSHORT, M_LAMBDA, M_MUON, M_PION, M_PSI2S
from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.vertexing import Vertices, with_loss_added_back
from belle2dark.final_states import b_to_k_llp as states
from belle2dark.final_states import final_state
from belle2dark.simulation import b_candidates, backgrounds_b
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.decays.chain import lifetime_factor, mass
from belle2dark.simulation.decays.mesons import EVENT_SHAPE, generate_b_to_k_llp
from belle2dark.simulation.events import REST
from belle2dark.simulation.hadronic import cross_sections, fox_wolfram, load_hadronic
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers
from belle2dark.templates import load_template

BEAMS, N = BELLE2.beams, 20_000
HALF = 0.5 * BEAMS.sqrt_s
MODES, PAIRS = ("kplus", "kstar0"), tuple(states.PAIRS)
RADII = np.array([0.05, 0.2, 1.0, 3.9, 13.5, 30.0, 60.0])
#: observed limits at 95 % on B(B+ -> K+ S) B(S -> mu mu) of arXiv:2306.02830, by mass [GeV] and c tau [cm]
PUBLISHED = {
    (0.5, 0.1): 0.52e-7, (0.5, 1.0): 0.51e-7, (0.5, 10.0): 1.21e-7,
    (2.0, 0.1): 0.78e-7, (2.0, 1.0): 0.50e-7, (2.0, 10.0): 0.74e-7,
    (4.0, 0.1): 2.44e-7, (4.0, 1.0): 0.37e-7, (4.0, 10.0): 0.33e-7,
}  # fmt: skip


@cache
def sample(mode: str, pair: str, m: float, ctau: float | None = None, n: int = N):
    """Events, columns and the probability of each to be selected."""
    events = generate_b_to_k_llp(n, make_key(3, f"{ctau}"), BEAMS, m, ctau, mode=mode, final_state=pair)
    reco = final_state(f"b_{mode}_{pair}").reconstruct(events, BELLE2, make_key(4, f"{ctau}"))
    c = reco.columns
    box = (c["m_bc"] > 5.27) & (np.abs(c["delta_e"]) < 0.05) & (c["dr"] > 0.05) & (c["dr_significance"] > 3.0) & (c["r2"] < 0.4)
    return events, c, np.prod(list(reco.factors.values()), axis=0) * box


def efficiency(m: float, ctau: float) -> float:
    events, _, kept = sample("kplus", "mumu", m)
    return float((kept * lifetime_factor(events.flights["s"], ctau)).mean())


# lifetimes


@pytest.mark.parametrize("ctau", [1e-3, 1.0, 1e3])
def test_decay_lengths_follow_the_closed_form(ctau):
    events, _, _ = sample("kplus", "mumu", 2.0)
    scalar = events.momenta_lab["mu-"] + events.momenta_lab["mu+"]
    path = np.linalg.norm(events.vertices_cm["mu-"] - events.vertices_cm["K+"], axis=1)
    reach = np.linalg.norm(scalar[:, 1:], axis=1) / 2.0 * ctau
    factor = lifetime_factor(events.flights["s"], ctau)
    for x in np.median(reach) * np.array([0.1, 0.5, 1.0, 3.0]):
        if x < 250.0:  # flights end at 300 cm
            inside = factor * (path < x)
            # 4 standard deviations: a dozen comparisons
            assert inside.mean() == pytest.approx((-np.expm1(-x / reach)).mean(), abs=4.0 * inside.std() / math.sqrt(N))


@pytest.mark.parametrize("m", [0.5, 2.0])
@pytest.mark.parametrize("ctau", [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3])
def test_one_simulation_serves_every_lifetime(m, ctau):
    events, c, kept = sample("kplus", "mumu", m)
    weights = kept * lifetime_factor(events.flights["s"], ctau) / N
    _, fresh_c, fresh = sample("kplus", "mumu", m, ctau)
    for low, high in [(0.05, 1e3), *pairwise(RADII)]:
        here, there = (w[(x["dr"] > low) & (x["dr"] < high)] for w, x in ((weights, c), (fresh / N, fresh_c)))
        # an event more in the fresh sample is the least error of an empty bin
        error = math.sqrt((here**2).sum() + (there**2).sum() + (fresh.max() / N) ** 2)
        assert here.sum() == pytest.approx(there.sum(), abs=3.0 * error)


@pytest.mark.parametrize("m", [0.5, 2.0, 4.0])
def test_efficiency_has_the_lifetime_dependence_of_the_published_limits(m):
    for ctau in (0.1, 10.0):
        here = efficiency(m, 1.0) / efficiency(m, ctau)
        assert here == pytest.approx(PUBLISHED[m, ctau] / PUBLISHED[m, 1.0], rel=0.25)
    # few events expected and none or one seen: 3.0 events at 95 %
    events = 2.0 * 189.0 * 1.1e6 * 0.514
    for ctau in (0.1, 1.0, 10.0):
        limit = 3.0 / (events * efficiency(m, ctau))
        assert 1.0 / 1.6 < limit / PUBLISHED[m, ctau] < 1.6


def test_both_turn_overs_are_where_they_belong():
    ctau = np.geomspace(1e-3, 1e3, 61)
    best = {m: ctau[np.argmax([efficiency(m, x) for x in ctau])] for m in (0.5, 2.0, 4.0)}
    # the mean transverse path is p / m c tau: heavier ones are slower
    assert 0.05 < best[0.5] < 1.0 < best[4.0] < 20.0
    assert best[0.5] < best[2.0] < best[4.0]


def test_pairs_are_lost_over_tens_of_centimetres_heavier_ones_sooner():
    lengths = {}
    for m in (0.5, 2.0):
        events, _, kept = sample("kplus", "mumu", m)
        radius = np.hypot(*events.vertices_cm["mu-"][:, :2].T)
        edges = np.array([17.0, 25.0, 35.0, 50.0])
        found, made = (np.histogram(radius, edges, weights=w)[0] for w in (kept, np.ones(N)))
        lengths[m] = -1.0 / np.polyfit(0.5 * (edges[1:] + edges[:-1]), np.log(found / made), 1)[0]
    # of order 10 to 25 cm in what published limits ask for; some 10 % is the error of each
    assert 8.0 < lengths[2.0] < lengths[0.5] < 30.0


# the shape of the mass


def test_fit_adds_back_the_energy_of_layers_that_were_not_crossed():
    numbers = load_numbers("mesons")
    momenta = np.tile([[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]], (2, 1, 1))
    vertices = Vertices(positions_cm=np.array([[0.5, 0.0, 0.0], [50.0, 0.0, 0.0]]), covariance=np.zeros((2, 3, 3)),
                        chi2=np.zeros(2), efficiency=np.ones(2), momenta_lab=momenta)  # fmt: skip
    added = np.linalg.norm(with_loss_added_back(vertices, (1e-6, 1e-6)), axis=-1) - np.array([1.0, 2.0])
    whole = 0.036 * sum(numbers["material_thickness"].values)
    assert added == pytest.approx(np.array([[0.0, 0.0], [whole, whole]]), abs=1e-9)


def test_mass_shape_turns_asymmetric_at_long_lifetimes():
    events, c, kept = sample("kplus", "kk", 2.0)
    shift = c["m_s"] - 2.0
    tails = {}
    for ctau in (0.1, 100.0):
        w = kept * lifetime_factor(events.flights["s"], ctau)
        order = np.argsort(shift)
        low, middle, high = np.interp([0.025, 0.5, 0.975], np.cumsum(w[order]) / w.sum(), shift[order])
        tails[ctau] = (high - middle) / (middle - low)
        if ctau == 0.1:
            assert abs(middle) < 1e-3
    assert tails[0.1] == pytest.approx(1.0, abs=0.2) and tails[100.0] > 1.3


def test_light_pairs_have_the_published_resolution():
    # 2 to 10 MeV over the range of masses
    for m, low, high in ((0.3, 0.5e-3, 3e-3), (4.0, 6e-3, 12e-3)):
        _, c, kept = sample("kplus", "mumu", m)
        shift = np.sort(c["m_s"][kept > 0] - m)
        assert low < 0.5 * (shift[int(0.84 * len(shift))] - shift[int(0.16 * len(shift))]) < high


# what looks like it


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("process", ["uds", "charm"])
def test_sides_drawn_anew_are_distributed_like_those_of_the_list(mode, process):
    listed = b_candidates.listed_candidates(mode, process, BEAMS)
    listed = b_candidates.selected(listed, b_candidates.inside(listed, M_PION, BEAMS.sqrt_s))
    total = b_candidates.kaon_side(listed) + sum(b_candidates.with_mass(p, M_PION) for p in listed.pair)
    m_bc, delta_e = np.sqrt(HALF**2 - (total[:, 1:] ** 2).sum(axis=1)), total[:, 0] - HALF
    events = backgrounds_b.displaced_pairs(60_000, 5, BEAMS, mode=mode, process=process, m_daughter=M_PION)
    names = [name for name in events.momenta_lab if name.startswith("prong")]
    masses = (M_KAON, M_PION, M_PION, M_PION) if mode == "kstar0" else (M_KAON, M_PION, M_PION)
    candidate = sum(b_candidates.with_mass(to_cms(events.momenta_lab[name], BEAMS), m)
                    for name, m in zip(names, masses, strict=True))  # fmt: skip
    new_bc, new_e = np.sqrt(np.maximum(HALF**2 - (candidate[:, 1:] ** 2).sum(axis=1), 0.0)), candidate[:, 0] - HALF
    weight = listed.weights[0]
    for low, high in ((5.24, 5.255), (5.255, 5.27), (5.27, 5.2895)):
        for sign in (-1.0, 1.0):
            real = ((m_bc > low) & (m_bc < high) & (sign * delta_e > 0.0) & (np.abs(delta_e) < 0.2)).sum()
            made = events.weights[(new_bc > low) & (new_bc < high) & (sign * new_e > 0.0)].sum() / weight
            # the list's Poisson error, and 10 % for a density of two slopes
            assert made == pytest.approx(real, abs=3.0 * math.sqrt(real) + 0.1 * real)


@pytest.mark.parametrize("mode", MODES)
def test_kshort_pairs_decay_and_fly_anew(mode):
    events = backgrounds_b.displaced_pairs(20_000, 6, BEAMS, mode=mode, process="uds", m_daughter=M_MUON)
    first, second = [name for name in events.momenta_lab if name.startswith("prong")][-2:]
    pair = events.momenta_lab[first] + events.momenta_lab[second]
    kinds = np.abs(np.stack([events.species[first], events.species[second]]))
    m = mass(pair)
    kshort = (kinds == 211).all(axis=0) & (np.abs(m - M_KSHORT) < 1e-6)
    lambdas = (kinds.max(axis=0) == 2212) & (np.abs(m - M_LAMBDA) < 1e-6)
    assert (kshort | lambdas).mean() > 0.95 and kshort.mean() > 0.5
    radius = np.hypot(*events.vertices_cm[first][:, :2].T)
    assert radius.min() > 0.05 - 1e-9
    proper = ((radius - 0.05) * M_KSHORT / np.hypot(pair[:, 1], pair[:, 2]))[kshort]
    assert proper.mean() == pytest.approx(CTAU_KSHORT, abs=3.0 * CTAU_KSHORT / math.sqrt(kshort.sum()))
    # the daughter of the charge opposite to the kaon's comes first
    hadrons = kshort & (np.abs(events.species["prong_1"]) > 20)
    assert (np.sign(events.species["prong_1"]) == -np.sign(events.species[first]))[hadrons].all()
    assert (events.momenta_lab[REST] == 0.0).all()


def test_event_shapes_tell_b_pairs_from_light_quarks():
    light, pairs = (fox_wolfram("k_v0", process) for process in ("uds", "bb"))
    drawn = states.event_shape(N, 1)
    assert np.mean(drawn < 0.4) > 0.85 and np.mean(light < 0.4) < 0.2
    assert pairs.min() * 0.5 < drawn.min() and drawn.max() < 0.8
    events = backgrounds_b.displaced_pairs(2_000, 6, BEAMS, mode="kplus", process="uds", m_daughter=M_PION)
    assert set(events.momenta_lab[EVENT_SHAPE][:, 0]) <= set(light)


def test_b_decays_have_their_masses_flights_and_rates():
    numbers = load_numbers("mesons")
    rate = 2.0 * 1.1e6 * float(numbers["charged_b_fraction"])
    jpsi = backgrounds_b.charmonium(4_000, 7, BEAMS, mode="kplus", pair="mumu")
    m = mass(jpsi.momenta_lab["mu-"] + jpsi.momenta_lab["mu+"])
    assert (np.minimum(np.abs(m - M_JPSI), np.abs(m - M_PSI2S)) < 1e-5).all()
    expected = rate * (1.02e-3 * 0.0597 + 6.24e-4 * 0.0079) * float(numbers["fake_vertex_probability"])
    assert jpsi.weights.sum() == pytest.approx(expected, rel=1e-6)
    d = backgrounds_b.d_mesons(N, 7, BEAMS, mode="kplus")
    meson = d.momenta_lab["prong_2"] + d.momenta_lab["prong_3"]
    assert mass(meson) == pytest.approx(np.full(N, M_D0), abs=1e-6)
    reach = CTAU_D0 / M_D0 * np.hypot(meson[:, 1], meson[:, 2])
    assert d.weights == pytest.approx(rate / N * 1.82e-4 * np.exp(-0.04 / reach), rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_prompt_candidates_have_the_rate_of_all_events(mode):
    sigma = cross_sections()
    for what, m in (("pair", M_PION), ("photon", None)):
        shares = load_numbers("mesons")[f"{mode}_and_{what}_per_event"].values
        made = b_candidates.prompt_candidates(5_000, 1, BEAMS, mode=mode, m_daughter=m)
        expected = sum(sigma[p] * share for p, share in zip(("uds", "charm", "bb"), shares, strict=True))
        assert made.weights.sum() == pytest.approx(expected, rel=1e-6) and len(made.weights) == 5_000


def test_converted_photons_start_in_the_material():
    events = backgrounds_b.converted_photons(4_000, 8, BEAMS, mode="kplus")
    radius = np.hypot(*events.vertices_cm["prong_2"][:, :2].T)[events.weights > 0]
    layers = np.array(load_numbers("mesons")["material_radius"].values)
    assert np.abs(radius[:, None] - layers).min(axis=1).max() < 1e-6
    assert mass(events.momenta_lab["prong_2"] + events.momenta_lab["prong_3"])[events.weights > 0].max() < 0.3


# stored numbers and templates


def test_stored_steps_keep_distance_and_significance_and_have_the_cuts_as_edges():
    rng = np.random.default_rng(1)
    values = {"dr": np.geomspace(0.02, 90.0, 4_000), "dr_significance": np.geomspace(0.6, 600.0, 4_000),
              "pointing": rng.uniform(0.0, math.pi, 4_000), "r2": rng.random(4_000)}  # fmt: skip
    loaded = states._unflag(states._flag(values))
    assert loaded["dr"] == pytest.approx(values["dr"], rel=0.011)
    assert loaded["r2"] == pytest.approx(values["r2"], abs=1 / 64 + 1e-9)
    for name, cut in (("dr", 0.05), ("dr_significance", 3.0)):
        assert np.array_equal(loaded[name] > cut, values[name] > cut)


def chosen(name: str) -> tuple:
    template = load_template(name, BELLE2)
    return template, states.clear(template.columns, BELLE2) & (template.columns["r2"] < 0.4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pair", PAIRS)
def test_templates_are_smooth_and_small(mode, pair):
    template, keep = chosen(f"b_{mode}_{pair}")
    c, w = template.columns, template.weights
    # stored momenta are rounded to 1 MeV
    assert (c["dr"] > 0.05).all() and (c["m_bc"] > 5.248).all() and len(template) < 12_000
    total, compared = w[keep].sum(), 0
    for low in np.arange(0.0, 4.8, 0.2):
        here = w[keep & (c["m_s"] > low) & (c["m_s"] < low + 0.2)]
        # where there is background to speak of: an event in 189 fb-1, and one in twenty of all
        if 189.0 * here.sum() > 1.0 and here.sum() > 0.05 * total:
            compared += 1
            assert here.sum() ** 2 / (here**2).sum() > 25.0
    assert compared >= {"ee": 1, "mumu": 0, "pipi": 6, "kk": 4}[pair]


def test_muon_pairs_have_next_to_no_background():
    template, keep = chosen("b_kplus_mumu")
    per_bin = 189.0 * np.histogram(template.columns["m_s"][keep], np.arange(0.22, 4.78, 0.04), weights=template.weights[keep])[0]
    # the K_S window apart, two muons from one point beside a kaon are D -> K mu nu with the kaon taken for a muon, and few
    assert per_bin.max() < 0.5 and per_bin.sum() < 10.0


def test_pions_are_those_of_kshort_outside_the_veto_next_to_none_are():
    events = backgrounds_b.displaced_pairs(N, 3, BEAMS, mode="kplus", process="uds", m_daughter=M_PION)
    state = final_state("b_kplus_pipi")
    reco = state.reconstruct(events, BELLE2, 4)
    weights = reco.weights * np.prod(list(reco.factors.values()), axis=0) * state.loose(reco.columns, BELLE2)
    near, beside = (np.abs(reco.columns["m_pipi"] - M_KSHORT) < width for width in (0.01, 0.1))
    lambdas = np.abs(reco.columns["m_lambda"] - M_LAMBDA) < 0.005
    assert weights[near].sum() > 0.7 * weights[~lambdas].sum()
    assert weights[beside & ~near & ~lambdas].sum() < 0.1 * weights[near].sum()
    assert weights[lambdas].sum() > 0.1 * weights[near].sum()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: backgrounds_b.displaced_pairs(10, 1, BEAMS, mode="kstar", process="uds", m_daughter=0.1), "nearest: kstar0"),
        (lambda: backgrounds_b.displaced_pairs(10, 1, BEAMS, mode="kplus", process="charms", m_daughter=0.1), "nearest: charm"),
        (lambda: backgrounds_b.displaced_pairs(0, 1, BEAMS, mode="kplus", process="uds", m_daughter=0.1), "n = 0"),
        (lambda: backgrounds_b.crossing(-1, 1, BEAMS, mode="kplus", m_daughter=0.1), "n = -1"),
        (lambda: backgrounds_b.converted_photons(10, 1, BEAMS, mode="kplu"), "nearest: kplus"),
        (lambda: load_hadronic("k_v"), "nearest: k_v0"),
        (lambda: generate_b_to_k_llp(10, 1, BEAMS, 0.2), "S -> mumu needs more than 0.2113 GeV"),
        (lambda: final_state("b_kplus_mum"), "nearest: b_kplus_mumu"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
