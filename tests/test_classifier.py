"""The network of the invisible-Z' search: exact gradients, the loss is Punzi's, evaluation, and what it does to tau pairs."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array

from belle2dark.classifier import Network, load_network, preselected
from belle2dark.constants import M_ELECTRON, M_MUON
from belle2dark.detector.dilepton import dilepton_columns
from belle2dark.detector.experiments import BELLE2
from belle2dark.detector.response import reconstruct
from belle2dark.limits.punzi import punzi_events
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.templates import load_template
from belle2dark.training import losses
from belle2dark.training import zprime_invisible as train
from belle2dark.trigger.menu import load_menu

SIZES = (3, 5, 4, 1)


@pytest.fixture(scope="module")
def network():
    return load_network("zprime_invisible")


@pytest.fixture(scope="module")
def toy():
    """Inputs, weights per event, efficiencies and backgrounds of three masses, and parameters of a network."""
    rng = np.random.default_rng(4)
    n = 400
    efficiency = csr_array(rng.random((3, n)) * (rng.random((3, n)) < 0.4) / n)
    background = csr_array(rng.random((3, n)) * (rng.random((3, n)) < 0.6))
    count = sum((a + 1) * b for a, b in pairwise(SIZES))
    return rng.normal(size=(n, 3)), rng.random(n), efficiency, background, rng.normal(size=count)


def slopes(loss, theta, step=1e-6):
    return np.array([(loss(theta + step * e)[0] - loss(theta - step * e)[0]) / (2 * step) for e in np.eye(len(theta))])


def test_gradients_are_those_of_the_losses(toy):
    x, w, efficiency, background, theta = toy
    target = (np.arange(len(w)) % 3 == 0).astype(float)
    for loss in (
        lambda t: losses.punzi_loss(t, SIZES, x, efficiency, background, 1e-3),
        lambda t: losses.cross_entropy(t, SIZES, x, target, w, 1e-3),
    ):
        gradient = loss(theta)[1]
        # central differences are good to step^2 and to rounding / step
        assert gradient == pytest.approx(slopes(loss, theta), abs=1e-7 * np.abs(gradient).max() + 1e-8)


def test_gradient_does_not_depend_on_the_batches(toy, monkeypatch):
    x, _, efficiency, background, theta = toy
    whole = losses.punzi_loss(theta, SIZES, x, efficiency, background)
    monkeypatch.setattr(losses, "_BATCH", 37)
    pieces = losses.punzi_loss(theta, SIZES, x, efficiency, background)
    assert pieces[0] == pytest.approx(whole[0], rel=1e-12)
    assert pieces[1] == pytest.approx(whole[1], rel=1e-9, abs=1e-13)


def test_loss_of_a_decided_network_is_punzi(toy):
    """With scores of 0 and 1 the loss is the mean logarithm of Punzi's events over the efficiency, nothing else."""
    x, _, efficiency, background, theta = toy
    theta = theta.copy()
    theta[-5:] *= 1e6  # the output layer: all scores are decided
    z, _ = losses.forward(losses.unpack(theta, SIZES), x)
    keep = z > 0
    assert 20 < keep.sum() < 380
    needed = punzi_events(background.toarray()[:, keep].sum(axis=1) + losses.FLOOR)
    expected = np.log(needed / efficiency.toarray()[:, keep].sum(axis=1)).mean()
    assert losses.punzi_loss(theta, SIZES, x, efficiency, background)[0] == pytest.approx(expected, rel=1e-6)


def test_training_finds_the_edge_of_a_box():
    """Signal in a band of a flat background: the smallest cross-section of a trained network is that of the band, within 10 %."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1.0, 1.0, size=(6000, 1))
    inside = np.abs(x[:, 0]) < 0.25
    rows = np.zeros(len(x), dtype=int), np.arange(len(x))
    is_signal = (np.arange(len(x)) % 2 == 0) & inside
    efficiency = csr_array((is_signal / is_signal.sum(), rows))
    background = csr_array(((np.arange(len(x)) % 2 == 1) * 0.05, rows))
    sizes = (1, 6, 1)
    theta = losses.first_guess(sizes, 1)
    target, weights = is_signal.astype(float), np.full(len(x), 1.0 / len(x))
    theta = train._minimise(lambda t: losses.cross_entropy(t, sizes, x, target, weights), theta, 200, "band")
    theta = train._minimise(lambda t: losses.punzi_loss(t, sizes, x, efficiency, background), theta, 200, "band")
    best = np.log(punzi_events((background.toarray()[0] * inside).sum() + losses.FLOOR))
    assert losses.punzi_loss(theta, sizes, x, efficiency, background)[0] == pytest.approx(best, abs=0.1)


def test_score_agrees_with_an_explicit_loop(network):
    rng = np.random.default_rng(6)
    columns = {name.rpartition(":")[2]: rng.normal(size=60) * 3.0 for name in network.inputs}
    columns["recoil_mass_squared"] = np.linspace(-1.0, 100.0, 60)
    forms = {"root": lambda v: v / (1.0 + v * v) ** 0.25, "bounded": lambda v: v / math.sqrt(1.0 + v * v), "": lambda v: v}
    seen = set()
    for i, score in enumerate(network.score(columns)):
        mass = math.sqrt(max(0.0, columns["recoil_mass_squared"][i]))
        place = sum(mass >= edge for edge in network.edges)
        seen.add(place)
        values = []
        for name, centre, spread in zip(network.inputs, network.centre, network.spread, strict=True):
            form, _, column = name.rpartition(":")
            values.append((forms[form](columns[column][i]) - centre) / spread)
        layers = network.ranges[place]
        for k, (weights, bias) in enumerate(layers):
            sums = [bias[j] + sum(v * weights[m, j] for m, v in enumerate(values)) for j in range(len(bias))]
            values = [math.tanh(s) for s in sums] if k + 1 < len(layers) else sums
        assert score == pytest.approx(1.0 / (1.0 + math.exp(-values[0])), rel=1e-9, abs=1e-12)
    assert seen == set(range(len(network.ranges)))


def test_scores_are_probabilities_of_any_number_of_events(network):
    rng = np.random.default_rng(7)
    columns = {name.rpartition(":")[2]: rng.normal(size=300_000) * 100.0 for name in network.inputs}
    scores = network.score(columns)
    assert scores.shape == (300_000,)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert network.score({name: values[:0] for name, values in columns.items()}).shape == (0,)
    last = network.score({name: values[-3:] for name, values in columns.items()})
    assert last == pytest.approx(scores[-3:], rel=1e-12)


def test_bad_input_is_named(network):
    with pytest.raises(ValueError, match="unknown network 'zprime_invisibel'; nearest: zprime_invisible"):
        load_network("zprime_invisibel")
    with pytest.raises(ValueError, match="column 'pt_mumu_cms' is missing; nearest of what there is: pt_emu_cms"):
        network.score({"pt_emu_cms": np.ones(3)})
    with pytest.raises(ValueError, match=f"do not take {len(network.inputs) - 1} inputs"):
        replace(network, inputs=network.inputs[1:], centre=network.centre[1:], spread=network.spread[1:])
    with pytest.raises(ValueError, match=r"4 ranges and edges .* must increase"):
        replace(network, edges=network.edges[::-1])
    with pytest.raises(ValueError, match="spreads above 0"):
        replace(network, spread=0.0 * network.spread)
    with pytest.raises(ValueError, match="must be finite"):
        (weights, bias), *others = network.ranges[0]
        replace(network, ranges=(((np.nan * weights, bias), *others), *network.ranges[1:]))


@pytest.mark.parametrize("masses", [(M_MUON, M_MUON), (M_ELECTRON, M_MUON)])
def test_columns_across_the_leptons_agree_with_cross_products(masses):
    tracks = np.random.default_rng(3).normal(size=(300, 2, 3)) * 2.0
    columns = dilepton_columns(tracks, BELLE2.beams, masses)
    momenta = []
    for k, mass in enumerate(masses):
        energy = np.sqrt((tracks[:, k] ** 2).sum(-1) + mass**2)
        momenta.append(to_cms(np.concatenate([energy[:, None], tracks[:, k]], axis=1), BELLE2.beams)[:, 1:])
    size = [np.linalg.norm(p, axis=1) for p in momenta]
    first_is_softer = (size[0] < size[1])[:, None]
    softer, harder = np.where(first_is_softer, *momenta), np.where(first_is_softer, *momenta[::-1])
    recoil = -(momenta[0] + momenta[1])
    for name, p in (("recoil_pt_softer", softer), ("recoil_pt_harder", harder)):
        expected = np.linalg.norm(np.cross(recoil, p), axis=1) / np.linalg.norm(p, axis=1)
        assert columns[name] == pytest.approx(expected, abs=1e-6)
    assert columns["momentum_asymmetry"] == pytest.approx(np.abs(size[0] - size[1]) / (size[0] + size[1]), abs=1e-9)
    assert columns["pt_min_lab"] == pytest.approx(np.hypot(tracks[..., 0], tracks[..., 1]).min(axis=1))


def test_preselection_says_no_at_each_of_its_numbers():
    good = {"pt_min_lab": 1.0, "pt_mumu_cms": 1.0, "recoil_mass_squared": 1.0, "recoil_cos_theta_lab": 0.3}
    backward = math.cos(math.radians(129.0))
    tries = [
        ({}, True),
        ({"pt_min_lab": 0.39}, False),
        ({"pt_mumu_cms": 0.75}, False),
        ({"pt_mumu_cms": 0.75, "recoil_mass_squared": 25.0}, True),
        ({"recoil_cos_theta_lab": backward}, False),
        ({"recoil_cos_theta_lab": backward, "recoil_mass_squared": 4.1}, True),
    ]
    for change, expected in tries:
        columns = {name: np.array([value]) for name, value in (good | change).items()}
        assert preselected(columns, BELLE2)[0] == expected, change


def test_core_width_ignores_a_tail():
    x = np.random.default_rng(1).normal(size=50_000)
    x = np.concatenate([x, np.linspace(10.0, 60.0, 10_000)])
    # cut at three of itself a Gaussian keeps 0.98 of its width
    assert train.core_width(x) == pytest.approx(0.98, abs=0.02)


def test_chain_at_small_scale(tmp_path):
    """Generate, train and write with a thousandth of the events: already better than no selection."""
    made, noise = train.signal(BELLE2, 0.0), train.backgrounds(BELLE2, 0.002)
    trained = train.train(made, noise, steps=(40, 40))
    kept = [
        sample.weights[trained.score(sample.columns) > 0.5].sum() / sample.weights.sum() for sample in (made.sample, noise[1])
    ]
    assert kept[0] > 4 * kept[1] > 0
    file = train.write_network(trained, tmp_path)
    with np.load(file) as arrays:
        assert arrays["weights_3_0"].shape == trained.ranges[3][0][0].shape


def test_tau_pairs_are_suppressed_a_hundredfold_and_signal_is_not(network):
    """In the shipped template (another seed than training) from 1.5 to 7 GeV, for events of the search's two-track line."""
    template, menu = load_template("dimuon_missing", BELLE2), load_menu()
    weights = template.weights * menu.keep_probability(template.bits, ["ffo"]) * preselected(template.columns, BELLE2)
    squared = template.columns["recoil_mass_squared"]
    taus = (template.process == template.processes.index("tautau")) & (squared > 1.5**2) & (squared < 7.0**2)
    passed = taus & (network.score(template.columns) > 0.5)
    assert weights[taus].sum() > 100 * weights[passed].sum() > 0
    # the number behind it is not a fluctuation
    assert weights[passed].sum() ** 2 > 100 * (weights[passed] ** 2).sum()
    for mass in (2.0, 4.0, 6.0):
        events = generate_lepton_pair_x(20_000, 3, BELLE2.beams, mass=mass, coupling=LeptonCoupling(vector=0.1))
        columns = reconstruct(events, BELLE2, 4).columns
        chosen = preselected(columns, BELLE2) & (np.abs(columns["recoil_mass_squared"] - mass**2) < 0.6)
        assert (network.score(columns) > 0.5)[chosen].mean() > 0.1


def test_shipped_network_says_how_it_was_made(network):
    assert isinstance(network, Network)
    assert network.inputs == train.INPUTS
    assert network.about["seed"] == train.SEED
    assert tuple(network.about["lines"]) == train.LINES
