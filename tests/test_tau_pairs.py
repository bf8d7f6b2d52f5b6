"""Tau pairs of e+e-: rates, spin correlation through the whole chain, what decides tau searches, and Pythia's spectra."""

import math

import numpy as np
import pytest

from belle2dark.constants import M_ELECTRON, M_MUON, M_PION, M_TAU
from belle2dark.simulation import tau_pairs
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.decays import tau_modes, tau_spin
from belle2dark.simulation.decays.tau import decay_taus
from belle2dark.simulation.decays.tau_modes import GROUPS, MODES, Alpha
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import make_key
from belle2dark.simulation.tau_pairs import generate_tau_pairs, generate_taus
from belle2dark.sourced import load_numbers
from tests.test_tau_decays import along, into, mass2, off

FIXED = belle2_beams(spread=False)
SIGMA = float(load_numbers("backgrounds")["tautau_cross_section"])
B = {name: float(load_numbers("tau_decays")[name]) for name in MODES}
N = 100_000


def rest(events, taus, first, sign):
    """Sum of the prongs from ``first`` in the helicity frame of its tau, and the flight direction of that tau in the pair."""
    pair = taus.momenta_lab["tau-"] + taus.momenta_lab["tau+"]
    tau = into(taus.momenta_lab["tau-" if sign < 0 else "tau+"], pair)
    prongs = sum(events.momenta_lab[f"prong_{i}"] for i in range(first, first + 3))
    return into(into(prongs, pair), tau), along(into(taus.momenta_lab["tau-"], pair))


@pytest.mark.parametrize(("minus", "plus"), [("all", "all"), ("mu", "1prong"), ("mu_alpha", "3pi"), (("pi", "rho"), "e")])
def test_weights_add_up_to_rate_times_branching_fractions(minus, plus):
    events = generate_tau_pairs(N, make_key(1, "rate"), FIXED, minus, plus)
    fractions = [sum(B[name] for item in ((m,) if isinstance(m, str) else m) for name in GROUPS.get(item, (item,)))
                 if m != "mu_alpha" else 1.0 for m in (minus, plus)]  # fmt: skip
    expected = SIGMA * fractions[0] * fractions[1]
    error = math.sqrt((events.weights**2).sum())
    assert error < 0.02 * expected
    assert abs(events.weights.sum() - expected) < 4 * error + 2e-3 * expected  # 0.2 %: precision of the stored normalisation


def test_four_momentum_is_conserved_with_beam_spread():
    """Up to the photons that found no slot: with sixteen slots that is a few in ten thousand events."""
    beams = belle2_beams()
    key = make_key(2, "p")
    events, taus = generate_tau_pairs(20_000, key, beams, photons=16), generate_taus(20_000, key, beams)
    difference = sum(events.momenta_lab.values()) - sum(taus.momenta_lab.values())
    full = events.momenta_lab["gamma_16"][:, 0] > 0
    assert np.abs(difference[~full]).max() < 1e-12
    assert full.mean() < 1e-3
    spread = np.sqrt(mass2(sum(taus.momenta_lab.values())))
    few = ~(taus.momenta_lab["gamma_4"][:, 0] > 0)  # all photons have a slot: the pair and they are the whole event
    assert spread[few].std() == pytest.approx(4.99e-3, rel=0.03)
    energies = np.array([events.momenta_lab[name][:, 0] for name in events.photons])
    assert (np.diff(energies, axis=0) <= 0).all()


def test_taus_are_not_polarised_but_correlated():
    """Pions in the helicity frames, near full energy: flat in each cosine, (1 + R c c')/4 together,
    R = (2 - 1/gamma^2)/(2 + 1/gamma^2)."""
    key = make_key(3, "pi")
    events, taus = generate_tau_pairs(N, key, FIXED, "pi", "pi"), generate_taus(N, key, FIXED)
    s = mass2(taus.momenta_lab["tau-"] + taus.momenta_lab["tau+"])
    w = np.where(s > 105.0, events.weights, 0.0)
    (p, z), (q, _) = rest(events, taus, 1, -1), rest(events, taus, 4, 1)
    c, d = (along(p) * z).sum(axis=1), -(along(q) * z).sum(axis=1)
    for x in (c, d):
        assert off(x, 0.0, weights=w) < 1
        assert off(x**2, 1 / 3, weights=w) < 1
    r = (2 - 4 * M_TAU**2 / s) / (2 + 4 * M_TAU**2 / s)
    assert off(c * d, np.average(r / 9, weights=w), weights=w) < 1
    edges = np.linspace(-1, 1, 5)
    middle = 0.5 * (edges[1:] + edges[:-1])
    counts = np.histogram2d(c, d, bins=edges, weights=w)[0] / w.sum()
    errors = np.sqrt(np.histogram2d(c, d, bins=edges, weights=w**2)[0]) / w.sum()
    expected = (1 + np.average(r, weights=w) * np.outer(middle, middle)) / 16
    assert (((counts - expected) / errors) ** 2).sum() < 16 + 4 * math.sqrt(2 * 16)


def test_transverse_correlation_keeps_the_beam_axis():
    """Spin weight from lab vectors equals the one written in the pair's own frame, for photon radiation at any angle."""
    events, axis = tau_pairs._pairs(50, make_key(4, "axis"), belle2_beams())
    rng = np.random.default_rng(1)
    minus, plus = events.momenta_lab["tau-"], events.momenta_lab["tau+"]
    pair = minus + plus
    n = into(axis, pair)
    assert np.abs(n[:, 0]).max() < 1e-12
    assert np.linalg.norm(n[:, 1:], axis=1) == pytest.approx(1.0, rel=1e-12)
    first, second = into(minus, pair), into(plus, pair)
    for i in np.flatnonzero(events.weights)[:20]:
        h, g = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        # the same spins seen from the rest frames reached from the pair: a rotation, so carry the four-vectors over
        beta2 = 1 - M_TAU**2 / first[i, 0] ** 2
        expected = tau_spin.spin_correlation(tuple(h), tuple(g), tuple(n[i, 1:]), tuple(along(first)[i]), beta2)
        spins = []
        for v, tau, lab in ((h, first, minus), (g, second, plus)):
            four = -into(-np.array([[0.0, *v]]), tau[i : i + 1] * np.array([1, -1, -1, -1]))  # tau frame -> pair
            four = into(four, pair[i : i + 1] * np.array([1, -1, -1, -1]))  # pair -> lab
            spins.append(into(four, lab[i : i + 1])[0, 1:])
        got = tau_spin.pair_correlation(
            tau_spin.BEAMS, tuple(spins[0]), tuple(spins[1]), tuple(minus[i]), tuple(plus[i]), tuple(axis[i]), M_TAU
        )
        assert got == pytest.approx(expected, abs=1e-10)


def test_lepton_pairs_agree_with_the_dedicated_generator():
    """Two codes, two sets of random numbers: energies, opening angle, and the energy correlation of mu mu."""
    ours, theirs = generate_tau_pairs(N, 5, FIXED, "mu", "mu"), tau_pairs.generate_tautau(N, 6, FIXED)

    def observables(events, a, b):
        a, b = to_cms(events.momenta_lab[a], FIXED), to_cms(events.momenta_lab[b], FIXED)
        c = (along(a) * along(b)).sum(axis=1)
        return [a[:, 0], b[:, 0], a[:, 0] * b[:, 0], c, along(a)[:, 2] ** 2, mass2(a + b), a[:, 0] * c]

    for x, y in zip(observables(ours, "prong_1", "prong_4"), observables(theirs, "mu-", "mu+"), strict=True):
        mean = np.average(y, weights=theirs.weights)
        error = math.sqrt((theirs.weights**2 * (y - mean) ** 2).sum()) / theirs.weights.sum()
        assert off(x, mean, floor=4 * error, weights=ours.weights) < 1


def test_angle_between_tau_and_three_pions():
    """What smears the pseudo-rest frame of tau -> l alpha: median 0.124 rad with radiation at 10.58 GeV."""
    key = make_key(7, "3pi")
    events, taus = generate_tau_pairs(N, key, FIXED, "3pi", "e"), generate_taus(N, key, FIXED)
    three = to_cms(sum(events.momenta_lab[f"prong_{i}"] for i in (1, 2, 3)), FIXED)
    angle = np.arccos((along(three) * along(to_cms(taus.momenta_lab["tau-"], FIXED))).sum(axis=1))
    order = np.argsort(angle)
    cumulative = np.cumsum(events.weights[order])
    assert angle[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])] == pytest.approx(0.124, abs=0.001)


def test_lepton_alpha_is_a_line_in_the_tau_frame():
    key = make_key(8, "alpha")
    alpha = Alpha(mass=1.0)
    events = generate_tau_pairs(5000, key, FIXED, "mu_alpha", "3pi", alpha=alpha)
    taus = generate_taus(5000, key, FIXED)
    muon = into(events.momenta_lab["prong_1"], taus.momenta_lab["tau-"])
    assert muon[:, 0] == pytest.approx((M_TAU**2 + M_MUON**2 - 1.0) / (2 * M_TAU), rel=1e-9)
    assert mass2(events.momenta_lab["nu_1"]) == pytest.approx(1.0, rel=1e-9)


def test_alpha_chirality_shows_against_a_pion():
    """V-A muon with a pion on the other side: the pair weight 1 + R h g changes sign with the chirality."""
    means = []
    for axial in (-1.0, 1.0):
        key = make_key(9, "chirality")
        events = generate_tau_pairs(N, key, FIXED, "e_alpha", "pi", alpha=Alpha(vector=1.0, axial=axial))
        taus = generate_taus(N, key, FIXED)
        s = mass2(taus.momenta_lab["tau-"] + taus.momenta_lab["tau+"])
        (p, z), (q, _) = rest(events, taus, 1, -1), rest(events, taus, 4, 1)
        product = -(along(p) * z).sum(axis=1) * (along(q) * z).sum(axis=1)
        w = events.weights
        r = np.average((2 - 4 * M_TAU**2 / s) / (2 + 4 * M_TAU**2 / s), weights=w)
        asymmetry = Alpha(vector=1.0, axial=axial).asymmetry(M_ELECTRON)
        assert off(product, asymmetry * r / 9, weights=w) < 1
        means.append(asymmetry)
    assert means == pytest.approx([-1.0, 1.0], abs=1e-5)


@pytest.mark.parametrize(("lepton", "published"), [("mu", 3.67e-3 / 0.1739), ("e", 1.83e-2 / 0.1782)])
def test_photons_of_leptonic_decays(lepton, published):
    """Rate of l nu nu gamma with E > 10 MeV in the tau frame (PDG: 0.0210 and 0.103 of l nu nu); everything conserved.

    8 %: the photons are made without the decay's own matrix element, and the published rate for e has 3 % uncertainty.
    """
    key = make_key(12, "fsr")
    events = generate_tau_pairs(10_000, key, FIXED, lepton, "pi", final_photons=True, photons=16)
    taus = generate_taus(N, key, FIXED)
    assert np.abs(sum(events.momenta_lab.values()) - sum(taus.momenta_lab.values())[:10_000]).max() < 1e-9
    assert events.particles().momenta_lab.shape == (10_000, 6 + 2 + 16, 4)
    energies = np.array([events.momenta_lab[name][:, 0] for name in events.photons])
    assert (np.diff(energies, axis=0) <= 0).all()
    decayed = radiate_final(decay_taus(taus, key, lepton, "pi"), key, ("prong_1", "nu_1"))
    photon = taus.momenta_lab["tau-"] - decayed.momenta_lab["prong_1"] - decayed.momenta_lab["nu_1"]
    energy = into(photon, taus.momenta_lab["tau-"])[:, 0]
    assert off((energy > 0.010) * 1.0, published, floor=0.08 * published, weights=taus.weights) < 1


def test_topologies():
    """1x1, 1x3, 3x3 from the slots: prongs from K_S0 start away from the tau vertex and are not counted."""
    events = generate_tau_pairs(N, 10, FIXED)
    counts = []
    for first in (1, 4):
        vertex = events.vertices_cm[f"prong_{first}"]
        counts.append(sum((events.species[f"prong_{i}"] != 0) & (events.vertices_cm[f"prong_{i}"] == vertex).all(axis=1)
                          for i in range(first, first + 3)))  # fmt: skip
    total = sum(B.values())
    one = sum(B[name] for name in GROUPS["1prong"]) / total
    assert off((counts[0] == 1) * 1.0, one, weights=events.weights) < 1
    assert off((counts[0] + counts[1] == 4) * 1.0, 2 * one * (1 - one), weights=events.weights) < 1


@pytest.mark.parametrize(("n", "key", "name"), [(0, 1, "n"), (10, -1, "key"), (10, 2**64, "key")])
def test_bad_requests(n, key, name):
    with pytest.raises(ValueError, match=f"{name} = "):
        generate_tau_pairs(n, key, FIXED)


@pytest.mark.slow
def test_spectra_against_pythia():
    """Hadronic mass and energy fraction of pi, rho, 3pi in tau pairs without radiation.

    Pythia fits the three pions to CLEO data (more than rho pi) and has another rho': the mean masses may differ by 3 %.
    """
    pythia8 = pytest.importorskip("pythia8mc")
    pythia = pythia8.Pythia("", False)
    for line in ("Print:quiet = on", "Beams:idA = 11", "Beams:idB = -11", "Beams:eCM = 10.58", "PDF:lepton = off",
                 "WeakSingleBoson:ffbar2gmZ = on", "WeakZ0:gmZmode = 1", "23:onMode = off", "23:onIfAny = 15",
                 "PartonLevel:ISR = off", "PartonLevel:FSR = off", "111:mayDecay = off", "Random:setSeed = on",
                 "Random:seed = 3", "15:onMode = off", "15:onIfMatch = 16 211", "15:onIfMatch = 16 111 211",
                 "15:onIfMatch = 16 211 211 211", "15:onIfMatch = 16 111 111 211"):  # fmt: skip
        assert pythia.readString(line)
    pythia.init()
    found = {}
    for _ in range(2500):
        pythia.next()
        event = pythia.event
        for i in range(event.size()):
            particle = event[i]
            if abs(particle.id()) == 15 and abs(event[particle.daughter1()].id()) != 15:
                daughters = [event[j] for j in range(particle.daughter1(), particle.daughter2() + 1)]
                seen = [d for d in daughters if abs(d.id()) != 16]
                kind = (sum(abs(d.id()) == 211 for d in seen), sum(d.id() == 111 for d in seen))
                found.setdefault(kind, []).append(np.sum([[d.e(), d.px(), d.py(), d.pz()] for d in seen], axis=0))
    key = make_key(11, "pythia")
    for kind, name in {(1, 0): "pi", (1, 1): "rho", (3, 0): "3pi", (1, 2): "pi_2pi0"}.items():
        theirs = np.array(found[kind])
        assert len(theirs) > 500
        events, taus = generate_tau_pairs(N, key, FIXED, name, "e"), generate_taus(N, key, FIXED)
        pair = taus.momenta_lab["tau-"] + taus.momenta_lab["tau+"]
        hadrons = into(taus.momenta_lab["tau-"] - events.momenta_lab["nu_1"], pair)
        x, y = hadrons[:, 0] / np.sqrt(mass2(pair)), theirs[:, 0] / 10.58
        error = y.std() / math.sqrt(len(y))
        assert off(x, y.mean(), floor=4 * error + (0 if name == "pi" else 0.01 * y.mean()), weights=events.weights) < 1
        if name != "pi":
            ours, m = (np.average(np.sqrt(mass2(p))) for p in (hadrons, theirs))
            assert ours == pytest.approx(m, rel=0.03)


def test_modes_and_their_masses_are_what_the_tables_say():
    modes = tau_modes.kernel_modes(Alpha())
    assert modes.masses[list(MODES).index("3pi"), :3] == pytest.approx(M_PION)
    assert (np.diff(modes.cumulative, axis=1) >= 0).all()
