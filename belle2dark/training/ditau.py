"""Train the network of the ditau search and write ``data/network_ditau_resonance.npz`` (part of ``make networks``).

    python -m belle2dark.training.ditau [--folder DIR] [--scale 0.1]

Signal is the Z' of all masses, background every process of the template, both with random numbers other than the
template's, and hadronic events from the half of the shipped list that the template does not use. The network sees columns of
the event only; its cut keeps the published share of the background in each range of the recoil mass. The cut is set with the
hadronic events of the template's half: there are too few for a third part, and yields after it are that much less
independent. Not included: other models in the training (their efficiency is measured with the same network), systematics.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from importlib.resources import as_file
from pathlib import Path

import numpy as np

from belle2dark.classifier import Network, evaluate
from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.final_states.ditau import STATE
from belle2dark.simulation.ditau_backgrounds import DITAU, generate_four_prong_hadrons
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.mumu_x_tautau import generate_mumu_x_tautau
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file, load_numbers
from belle2dark.templates import thin
from belle2dark.training.ranges import Sample, joined, shifted, train_ranges, write_network
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

NAME = "ditau_resonance"
NUMBERS = load_numbers("network_ditau_resonance")
#: what the network sees: the muons and the recoil, the other two in its rest frame, three and four tracks, what is missing
INPUTS = ("log_room", "m_mumu", "momentum_asymmetry", "recoil_pt_softer", "recoil_pt_harder", "m_others", "x_harder", "x_softer",
          "cos_others", "m_total", "m_three_low", "m_three_high", "m_mixed_low", "m_mixed_high", "thrust", "missing_mass",
          "missing_pt_cms")  # fmt: skip
COLUMNS = (*INPUTS, "recoil_mass")
#: three tracks or a single muon
LINES = ("fff", "cdcklm1", "cdcklm2")
SEED = 23
#: events generated per process, as many for the training and for the cut
EVENTS = {"hadrons": 300_000, "tautau_inclusive": 600_000, "eemumu": 200_000, "four_muons": 120_000, "mumutautau": 40_000,
          "eetautau": 100_000}  # fmt: skip
CHUNK = 100_000


def candidates(events: Events, detector: Detector, key: int) -> Sample:
    """Events after reconstruction, pre-selection and L1, with all probabilities in the weights."""
    reco, menu = STATE.reconstruct(events, detector, key), load_menu()
    weights = reco.weights * np.prod(list(reco.factors.values()), axis=0)
    keep = (weights > 0) & STATE.loose(reco.columns, detector)
    fired = menu.keep_probability(menu.evaluate(l1_objects(events.select(keep), detector, key)), LINES)
    found = Sample(columns={name: reco.columns[name][keep].astype(np.float32) for name in COLUMNS}, weights=weights[keep] * fired)
    return found.select(found.weights > 0)


def backgrounds(detector: Detector, scale: float, half: int) -> Sample:
    """Background of all processes [fb], thinned in each range; 0 is what the network is trained on, 1 what sets its cut."""
    edges, kept, rng = NUMBERS["edges"].values, float(NUMBERS["kept"]), np.random.default_rng(SEED + half)
    samples = []
    for process in DITAU:
        generate = partial(generate_four_prong_hadrons, half=half) if process.name == "hadrons" else process.generate
        total = max(1000, round(EVENTS[process.name] * scale))
        chunks, parts = max(1, round(total / CHUNK)), []
        for chunk in range(chunks):
            key = make_key(SEED, "network", process.name, f"{half} {chunk}")
            part = candidates(generate(total // chunks, key, detector.beams), detector, key)
            parts.append(part.select(part.weights > 0, part.weights / chunks))
        sample = joined(parts)
        keep, weights = thin(sample.weights, np.searchsorted(edges, sample.columns["recoil_mass"]).astype(np.int32), (kept,), rng)
        samples.append(sample.select(keep, weights))
    return joined(samples)


def signal(detector: Detector, scale: float) -> Sample:
    """Signal of all masses near its mass; weights are efficiencies."""
    first, last, step = NUMBERS["masses"].values
    n, parts = max(500, round(float(NUMBERS["signal_events"]) * scale)), []
    for mass in np.round(np.arange(first, last + 0.5 * step, step), 6):
        events = generate_mumu_x_tautau(n, make_key(SEED, "network", f"signal {mass}"), detector.beams, mass=float(mass))
        found = candidates(events, detector, make_key(SEED, "network", f"reconstruction {mass}"))
        near = np.abs(found.columns["recoil_mass"] - mass) < float(NUMBERS["peak"])
        parts.append(found.select(near, found.weights / events.weights.sum()))
    return joined(parts)


def train(made: Sample, noise: Sample, test: Sample) -> Network:
    """The network that tells the signal from ``noise``, with its cut set by ``test``.

    Few hadronic events weigh most: their weights are tempered for the training, else it learns those events by heart. Its
    numbers are rounded to four bytes, which halves the file.
    """
    tempered = noise.select(noise.weights > 0, noise.weights ** float(NUMBERS["temper"]))
    network = train_ranges(NAME, INPUTS, NUMBERS["edges"].values, "recoil_mass", made, tempered,
                           hidden=tuple(int(k) for k in NUMBERS["hidden"].values), steps=int(float(NUMBERS["steps"])), seed=SEED,
                           margin=float(NUMBERS["margin"]), about={"lines": LINES, "detector": BELLE2.name})  # fmt: skip
    place, ranges = network.place(test.columns), []
    for k, layers in enumerate(network.ranges):
        inside = test.select(place == k)
        scores = evaluate(layers, network.standardised(inside.columns))
        cut = shifted(layers, scores, inside.weights, float(NUMBERS["rejection"]))
        ranges.append(tuple((_rounded(w), _rounded(b)) for w, b in cut))
    return replace(network, ranges=tuple(ranges))


def _rounded(x: Array) -> Array:
    return x.astype(np.float32).astype(np.float64)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="statistics relative to the shipped network")
    parser.add_argument("--folder", type=Path, help="where to write (default: the package's data folder)")
    options = parser.parse_args()
    with as_file(data_file("README.md")) as readme:
        folder = options.folder or readme.parent
    noise, test = (backgrounds(BELLE2, options.scale, half) for half in (0, 1))
    print(write_network(train(signal(BELLE2, options.scale), noise, test), folder))


if __name__ == "__main__":
    main()
