"""Train the network of the leptophilic-scalar search and write ``data/network_leptophilic_scalar.npz`` (``make networks``).

    python -m belle2dark.training.leptophilic [--folder DIR] [--scale 0.1]

Signals of all masses and all backgrounds of the final state are made here for Belle, with random numbers other than those of
the templates; one half trains, the other sets the cut of each range of the pair's mass where Punzi's figure of merit, averaged
over the masses in the range, is best. The hadronic events of the templates are not those of the training, but those that set
the cuts: a network knows the few heavy ones by heart (those of its training pass four times less often). Pairs below the first
edge are of electrons, above of muons. The mass itself is no input: signal and background are balanced in it. Inputs are of the
centre of mass, so that the network serves Belle II and BaBar too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file
from itertools import pairwise
from pathlib import Path

import numpy as np

from belle2dark.classifier import Network
from belle2dark.detector.experiments import BELLE, Detector
from belle2dark.final_states.tautau_dilepton import INPUTS, STATE
from belle2dark.simulation.backgrounds_tautau_dilepton import records
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key
from belle2dark.simulation.tautau_phi import generate_tautau_phi
from belle2dark.sourced import data_file, load_numbers
from belle2dark.training.ranges import Sample, joined, shifted, train_ranges, write_network
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

NAME = "leptophilic_scalar"
NUMBERS = load_numbers(f"network_{NAME}")
SEED, CHUNK = 31, 200_000
#: events generated per process
EVENTS: Mapping[str, int] = {
    "tautau_1x3": 240_000, "tautau_dalitz": 60_000, "tautau_ee": 100_000, "mumutautau": 30_000, "bhabha_ee": 400_000,
    "bhabha_mumu": 400_000, "mumu_ee": 50_000, "four_muons": 40_000, "eemumu_wide": 60_000, "hadrons_four": 160_000,
    "hadrons_dalitz": 40_000,
}  # fmt: skip
#: pairs this near to the mass (share of it) show its resolution: the others have a track of a tau
_CORE = 0.15
_COLUMNS = ("m_pair", "is_muon", *dict.fromkeys(name.rpartition(":")[2] for name in INPUTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Signal events (weights are efficiencies), the index of their mass ``(n,)``, the masses and resolutions [GeV]."""

    sample: Sample
    index: np.ndarray
    masses: Array
    sigma: Array


def candidates(events: Events, detector: Detector, key: int) -> Sample:
    """Events after reconstruction, pre-selection and L1, with all probabilities in the weights."""
    reco, menu = STATE.reconstruct(events, detector, key), load_menu()
    weights = reco.weights * np.prod(list(reco.factors.values()), axis=0)
    keep = (weights > 0) & STATE.loose(reco.columns, detector) & STATE.dense(reco.columns, detector)
    bits = menu.evaluate(l1_objects(events.select(keep), detector, key))
    fired = menu.keep_probability(bits, menu.names_of(detector.name))
    return Sample(columns={name: reco.columns[name][keep].astype(np.float32) for name in _COLUMNS}, weights=weights[keep] * fired)


def backgrounds(detector: Detector, scale: float, half: int) -> Sample:
    """All backgrounds [fb] with one half of the hadronic events; the column ``process`` counts them."""
    parts = []
    for index, background in enumerate(records(half)):
        total = max(2000, round(EVENTS[background.name] * scale))
        chunks = max(1, total // CHUNK)
        for chunk in range(chunks):
            key = make_key(SEED, "network", background.name, str(chunk), str(half))
            found = candidates(background.generate(total // chunks, key, detector.beams), detector, key)
            which = {"process": np.full(len(found.weights), index)}
            parts.append(Sample(columns={**found.columns, **which}, weights=found.weights / chunks).select(found.weights > 0))
    return joined(parts)


def signal(detector: Detector, scale: float) -> Signal:
    """Signal of all masses."""
    masses, parts, index, sigma = [], [], [], []
    for lepton, name in (("e", "electron"), ("mu", "muon")):
        low, high, number = NUMBERS[f"masses_{name}"].values
        masses += [(lepton, m) for m in np.geomspace(low, high, int(number))]
    n = max(1500, round(float(NUMBERS["signal_events"]) * scale))
    for k, (lepton, mass) in enumerate(masses):
        key = make_key(SEED, "network", f"signal {mass}")
        events = generate_tautau_phi(n, key, detector.beams, mass=mass, decay=lepton)
        found = candidates(events, detector, key)
        off = found.columns["m_pair"] - mass
        core = np.abs(off) < _CORE * mass
        middle, sigma_k = half_width(off[core], found.weights[core])
        near = np.abs(off - middle) < float(NUMBERS["window_widths"]) * sigma_k
        parts.append(found.select(near, found.weights / events.weights.sum()))
        index.append(np.full(int(near.sum()), k))
        sigma.append(sigma_k)
    return Signal(sample=joined(parts), index=np.concatenate(index), masses=np.array([mass for _, mass in masses]),
                  sigma=np.array(sigma))  # fmt: skip


def half_width(x: Array, weights: Array) -> tuple[float, float]:
    """Median and half of the central 68 % of weighted values: a resolution that tails do not decide."""
    order = np.argsort(x)
    share = np.cumsum(weights[order]) / weights.sum()
    low, middle, high = (float(x[order[np.searchsorted(share, s)]]) for s in (0.1587, 0.5, 0.8413))
    return middle, 0.5 * (high - low)


def cut(network: Network, made: Signal, noise: Sample) -> Network:
    """The network with its output moved so that one half is the best cut of each range (all samples not trained on)."""
    scores = [network.score(sample.columns) for sample in (made.sample, noise)]
    spacing = np.linspace(0.0, 1.0, 200)
    ranges = []
    for k, (low, high) in enumerate(pairwise((0.0, *network.edges, float(NUMBERS["masses_muon"].values[1])))):
        there = network.place(noise.columns) == k
        x, w = scores[1][there], noise.weights[there]
        order = np.argsort(x)
        cuts = np.interp(spacing**0.5, np.cumsum(w[order]) / w.sum(), x[order])  # even in the rejected share, dense at 1
        left = np.array([w[x > c].sum() for c in cuts]) / (high - low)
        merit = np.zeros(len(cuts))
        for j in np.flatnonzero((made.masses > low) & (made.masses < high)):
            mine = made.index == j
            kept = np.array([made.sample.weights[mine & (scores[0] > c)].sum() for c in cuts])
            window = 2.0 * float(NUMBERS["window_widths"]) * made.sigma[j] * float(NUMBERS["luminosity"])
            merit += np.log(np.maximum(kept, 1e-9) / (0.5 * float(NUMBERS["punzi_sigmas"]) + np.sqrt(left * window)))
        best = int(np.argmax(merit))
        ranges.append(shifted(network.ranges[k], x, w, float(w[x <= cuts[best]].sum() / w.sum())))
    return replace(network, ranges=tuple(ranges))


def train(detector: Detector, scale: float) -> tuple[Network, Signal, Sample]:
    """The network, and the samples that set its cuts."""
    made, (noise, other) = signal(detector, scale), (backgrounds(detector, scale, half) for half in (0, 1))
    odd = np.arange(len(made.index)) % 2 == 1
    edges, hidden = tuple(NUMBERS["edges"].values), tuple(int(h) for h in NUMBERS["hidden"].values)
    network = train_ranges(NAME, INPUTS, edges, "m_pair", made.sample.select(odd), noise, hidden=hidden,
                           steps=int(float(NUMBERS["steps"])), seed=SEED)  # fmt: skip
    kept = replace(made, sample=made.sample.select(~odd, 2.0 * made.sample.weights), index=made.index[~odd])
    return cut(network, kept, other), kept, other


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="statistics relative to the shipped network")
    parser.add_argument("--folder", type=Path, help="where to write (default: the package's data folder)")
    options = parser.parse_args()
    start = time.perf_counter()
    network, _, _ = train(BELLE, options.scale)
    with as_file(data_file("README.md")) as readme:
        print(f"{write_network(network, options.folder or readme.parent)}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
