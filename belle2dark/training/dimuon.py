"""Train the network of the four-muon search and write ``data/network_dimuon_resonance.npz`` (part of ``make networks``).

    python -m belle2dark.training.dimuon [--folder DIR] [--scale 0.1]

Signal is the right pair of X -> mu mu, of a vector and a scalar in equal parts, background every pair of every process of the
template, with random numbers other than the template's. Besides angles, energies and masses the network sees two ratios of
matrix elements (:mod:`belle2dark.final_states.four_muons`), so that there is little left to learn but the detector. Each range
is cut where efficiency over a / 2 + sqrt(background) is largest. Not included: systematic uncertainties, photons in the ratios.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.resources import as_file
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from belle2dark.classifier import Network
from belle2dark.constants import M_MUON
from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.final_states.four_muons import STATE
from belle2dark.simulation.backgrounds import FOUR_MUONS_ALL
from belle2dark.simulation.events import Events
from belle2dark.simulation.mumu_x_mumu import COUPLINGS, generate_mumu_x_mumu
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file, load_numbers
from belle2dark.templates import thin
from belle2dark.training.ranges import Sample, joined, shifted, train_ranges, write_network

Array = NDArray[np.float64]
NAME = "dimuon_resonance"
NUMBERS = load_numbers(f"network_{NAME}")
INPUTS = ("reduced_mass", "likeness_vector", "likeness_scalar", "m_other", "m_cross_minus", "m_cross_plus", "m_lowest",
          "energy_other_minus_cms", "energy_other_plus_cms", "pair_cos_theta_cms", "helicity", "other_helicity",
          "pt_min_lab")  # fmt: skip
SEED = 29
EVENTS = {"four_muons": 600_000, "mumu_onium": 60_000, "mumu_pipi": 240_000}
CHUNK = 200_000
#: signal peaks are no wider than this [GeV]: where the iteration that finds their width starts
_WIDEST = 0.03


def candidates(events: Events, detector: Detector, key: int) -> Sample:
    """Pairs of events that close, with all probabilities in the weights."""
    reco = STATE.reconstruct(events, detector, key)
    weights, c = reco.weights * np.prod(list(reco.factors.values()), axis=0), reco.columns
    closed = np.abs(c["m_total"] - detector.beams.sqrt_s) < float(NUMBERS["energy_gap_max"])
    found = Sample(columns={name: c[name].astype(np.float32) for name in INPUTS}, weights=weights)
    return found.select((weights > 0) & closed & (c["chi2"] < float(NUMBERS["chi2_max"])))


def backgrounds(detector: Detector, scale: float) -> Sample:
    """Background of all processes [fb], thinned to what training uses in each range."""
    edges, kept, rng = NUMBERS["edges"].values, float(NUMBERS["kept"]), np.random.default_rng(SEED)
    samples = []
    for process in FOUR_MUONS_ALL:
        total = max(2000, round(EVENTS[process.name] * scale))
        chunks, parts = max(1, round(total / CHUNK)), []
        for chunk in range(chunks):
            key = make_key(SEED, "network", process.name, str(chunk))
            part = candidates(process.generate(total // chunks, key, detector.beams), detector, key)
            parts.append(part.select(part.weights > 0, part.weights / chunks))
        sample = joined(parts)
        keep, weights = thin(
            sample.weights, np.searchsorted(edges, sample.columns["reduced_mass"]).astype(np.int32), (kept,), rng
        )
        samples.append(sample.select(keep, weights))
    return joined(samples)


def signal(detector: Detector, scale: float) -> Sample:
    """The right pairs of both models at all masses; weights are efficiencies."""
    first, last, count = NUMBERS["masses"].values
    n, parts = max(1000, round(float(NUMBERS["signal_events"]) * scale)), []
    for place in np.linspace(np.sqrt(first), np.sqrt(last), int(count)) ** 2:
        mass = float(np.hypot(place, 2.0 * M_MUON))
        for model in COUPLINGS:
            key = make_key(SEED, "network", f"{model} {mass:.6f}")
            events = generate_mumu_x_mumu(n, key, detector.beams, mass=mass, model=model)
            found = candidates(events, detector, key)
            parts.append(found.select(in_peak(found, place), found.weights / events.weights.sum()))
    return joined(parts)


def in_peak(found: Sample, centre: float) -> NDArray[np.bool_]:
    """Events within some widths of the peak at ``centre`` [GeV], ``(n,)``; the width is that of the events themselves."""
    distance, most = np.abs(found.columns["reduced_mass"] - centre), _WIDEST
    for _ in range(20):
        near = distance < most
        most = min(
            most, float(NUMBERS["peak_widths"]) * float(np.sqrt(np.average(distance[near] ** 2, weights=found.weights[near])))
        )
    return np.asarray(distance < most)


def at_working_points(network: Network, made: Sample, noise: Sample) -> Network:
    """The network with a score of one half where efficiency over a / 2 + sqrt(background of a window) is largest."""
    shares, ranges = np.linspace(0.0, 0.98, 50), []
    luminosity, a = float(NUMBERS["luminosity"]), float(NUMBERS["punzi_a"])
    samples = [(s.columns["reduced_mass"], network.score(s.columns), s.weights) for s in (made, noise)]
    for layers, (low, high) in zip(network.ranges, pairwise((0.0, *network.edges, BELLE2.beams.sqrt_s)), strict=True):
        (signal_scores, efficiency), (scores, weights) = ((z[(x > low) & (x <= high)], w[(x > low) & (x <= high)])
                                                          for x, z, w in samples)  # fmt: skip
        cuts = np.quantile(scores, shares, weights=weights, method="inverted_cdf")
        kept = np.array([efficiency[signal_scores > cut].sum() for cut in cuts])
        window = float(NUMBERS["window"]) / (high - low) * luminosity * weights.sum() * (1.0 - shares)
        best = float(shares[np.argmax(kept / (0.5 * a + np.sqrt(window)))])
        ranges.append(shifted(layers, scores, weights, best))
    return replace(network, ranges=tuple(ranges))


def train(made: Sample, noise: Sample) -> Network:
    """The network of this signal and these backgrounds, at its working points."""
    plain = train_ranges(NAME, INPUTS, NUMBERS["edges"].values, "reduced_mass", made, noise,
                         hidden=tuple(int(k) for k in NUMBERS["hidden"].values), steps=int(float(NUMBERS["steps"])), seed=SEED,
                         about={"detector": BELLE2.name})  # fmt: skip
    return at_working_points(plain, made, noise)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="statistics relative to the shipped network")
    parser.add_argument("--folder", type=Path, help="where to write (default: the package's data folder)")
    options = parser.parse_args()
    with as_file(data_file("README.md")) as readme:
        folder = options.folder or readme.parent
    print(write_network(train(signal(BELLE2, options.scale), backgrounds(BELLE2, options.scale)), folder))


if __name__ == "__main__":
    main()
