"""Train the network of the invisible-Z' search and write ``data/network_zprime_invisible.npz`` (``make networks``).

    python -m belle2dark.training.zprime_invisible [--folder DIR] [--scale 0.02]

Signal of all masses and backgrounds are generated here, with random numbers other than those of the templates, so that
yields quoted with a template are not those the network was trained on. A short training that tells signal from background
at the same recoil mass (cross-entropy) is followed by one on what counts: the mean over masses of the logarithm of Punzi's
smallest cross-section. The network sees columns of the event only, so that one network serves all masses. Everything is
seeded; the minimiser takes a fixed number of steps. Not included: systematic uncertainties, the shape of the window.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import as_file
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

from belle2dark.classifier import Layers, Network, evaluate, preselected
from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.detector.response import reconstruct
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.backgrounds import DIMUON_MISSING
from belle2dark.simulation.events import Events
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file, load_numbers
from belle2dark.templates import thin
from belle2dark.training.losses import cross_entropy, first_guess, punzi_loss, unpack
from belle2dark.training.ranges import Sample, joined, write_network
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

Array = NDArray[np.float64]
Loss = Callable[[Array], tuple[float, Array]]

NAME = "zprime_invisible"
NUMBERS = load_numbers(f"network_{NAME}")
INPUTS = ("pt_mumu_cms", "recoil_pt_softer", "recoil_pt_harder", "momentum_asymmetry", "recoil_cos_theta_lab", "m_mumu",
          "pt_min_lab", "root:recoil_mass_squared", "bounded:recoil_mass_squared")  # fmt: skip
#: the columns behind them
_COLUMNS = tuple(dict.fromkeys(name.rpartition(":")[2] for name in INPUTS))
LINES = ("ffo",)
SEED = 20
EVENTS = {"mumu_gamma": 40_000_000, "tautau": 4_000_000, "eemumu": 40_000_000}
SIGNAL_EVENTS = 8_000  # per mass
CHUNK = 500_000
#: steps of the minimiser: cross-entropy, Punzi
STEPS = (250, 700)
#: events per stratum of the recoil mass and process that training uses: cross-entropy; Punzi, far from and near the decision
KEPT, KEPT_PUNZI, NEAR = 200, (150, 2500), 0.5
#: masses this far outside a range are in its training [GeV]
MARGIN = 0.15
STRATA, STRATUM = 125, 0.1  # number and width [GeV] of those strata, from -2 GeV
#: decay of weights: keeps the scores smooth where few events decide
DECAY = 1e-5


def candidates(events: Events, detector: Detector, key: int) -> Sample:
    """Events after reconstruction, pre-selection and L1, with all probabilities in the weights."""
    reco, menu = reconstruct(events, detector, key), load_menu()
    weights = reco.weights * np.prod(list(reco.factors.values()), axis=0)
    keep = (weights > 0) & preselected(reco.columns, detector)
    fired = menu.keep_probability(menu.evaluate(l1_objects(events.select(keep), detector, key)), LINES)
    found = Sample(columns={name: reco.columns[name][keep] for name in _COLUMNS}, weights=weights[keep] * fired)
    return found.select(found.weights > 0)


def backgrounds(detector: Detector, scale: float) -> list[Sample]:
    """Background samples [fb], one per process."""
    samples = []
    for background in DIMUON_MISSING:
        chunks, parts = max(1, round(EVENTS[background.name] * scale / CHUNK)), []
        n = min(CHUNK, round(EVENTS[background.name] * scale))
        for chunk in range(chunks):
            key = make_key(SEED, "network", background.name, str(chunk))
            part = candidates(background.generate(n, key, detector.beams), detector, key)
            columns = {name: x.astype(np.float32) for name, x in part.columns.items()}  # half the memory
            parts.append(Sample(columns=columns, weights=part.weights / chunks))
        samples.append(joined(parts))
    return samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Signal events inside their windows (weights are efficiencies), the index of their ``mass``, masses and resolutions."""

    sample: Sample
    index: NDArray[np.intp]
    masses: Array
    sigma: Array


def signal(detector: Detector, scale: float) -> Signal:
    """Signal of all masses; ``sigma`` is the resolution of the squared recoil mass [GeV^2] without radiation."""
    first, last, step = NUMBERS["masses"].values
    masses = np.round(np.arange(first, last + 0.5 * step, step), 6)
    n, sigma, parts, index = max(500, round(SIGNAL_EVENTS * scale)), np.empty(len(masses)), [], []
    for k, mass in enumerate(masses):
        made = [generate_lepton_pair_x(n, make_key(SEED, "network", f"signal {mass}"), detector.beams, mass=float(mass),
                                       coupling=LeptonCoupling(vector=0.1), isr=isr) for isr in (True, False)]  # fmt: skip
        plain = reconstruct(made[1], detector, SEED)
        sigma[k] = core_width(plain.columns["recoil_mass_squared"][plain.accepted])
        found = candidates(made[0], detector, make_key(SEED, "network", f"reconstruction {mass}"))
        near = np.abs(found.columns["recoil_mass_squared"] - mass**2) < float(NUMBERS["window_widths"]) * sigma[k]
        parts.append(found.select(near, found.weights / made[0].weights.sum()))
        index.append(np.full(int(near.sum()), k))
    return Signal(sample=joined(parts), index=np.concatenate(index), masses=masses, sigma=sigma)


def core_width(x: Array) -> float:
    """RMS [unit of x] of the events within three of it around their mean, iterated."""
    inside = x
    for _ in range(30):
        mean, sigma = inside.mean(), inside.std()
        inside = x[np.abs(x - mean) < 3.0 * sigma]
    return float(inside.std())


def _strata(sample: Sample) -> NDArray[np.int32]:
    """Stratum of the recoil mass of each event."""
    x = sample.columns["recoil_mass_squared"]
    place = (np.sign(x) * np.sqrt(np.abs(x)) + 2.0) / STRATUM
    return np.asarray(np.clip(place, 0, STRATA - 1), dtype=np.int32)


def _thinned(samples: list[Sample], kept: tuple[float, float], near: list[NDArray[np.bool_]], seed: int) -> list[Sample]:
    """The samples thinned stratum by stratum to about ``kept`` events (far from, near the decision)."""
    rng, thinned = np.random.default_rng(seed), []
    for sample, close in zip(samples, near, strict=True):
        keep, weights = thin(sample.weights, _strata(sample) * 2 + close, kept, rng)
        thinned.append(sample.select(keep, weights))
    return thinned


def _balanced(made: Signal, noise: Sample) -> tuple[Array, Array]:
    """Targets and weights of the cross-entropy: signal and background count the same in every stratum."""
    weights = []
    for sample in (made.sample, noise):
        strata = _strata(sample)
        total = np.bincount(strata, sample.weights, STRATA)
        weights.append(sample.weights / total[strata])
    present = np.bincount(_strata(made.sample), minlength=STRATA) > 0
    weights[1] *= present[_strata(noise)]
    w = np.concatenate(weights)
    return np.repeat([1.0, 0.0], [len(x) for x in weights]), w / w.sum()


def _matrices(made: Signal, noise: Sample) -> tuple[csr_array, csr_array]:
    """Per mass what each event (signal first, then background) adds to the efficiency and to the background in its window."""
    n, x, width = len(made.index), noise.columns["recoil_mass_squared"], float(NUMBERS["window_widths"])
    shape = (len(made.masses), n + len(x))
    low, high = NUMBERS["neighbourhood_widths"].values
    order = np.argsort(x, kind="stable")
    rows, events, weights = [], [], []
    for k, (mass, sigma) in enumerate(zip(made.masses, made.sigma, strict=True)):
        reach = low if mass < float(NUMBERS["neighbourhood_mass"]) else high
        first, last = np.searchsorted(x[order], [mass**2 - reach * sigma, mass**2 + reach * sigma])
        inside = order[first:last]
        rows.append(np.full(len(inside), k))
        events.append(n + inside)
        weights.append(noise.weights[inside] * float(NUMBERS["luminosity"]) * width / reach)
    counts = csr_array((np.concatenate(weights), (np.concatenate(rows), np.concatenate(events))), shape=shape)
    return csr_array((made.sample.weights, (made.index, np.arange(n))), shape=shape), counts


def _minimise(loss: Loss, theta: Array, steps: int, label: str) -> Array:
    start = time.perf_counter()
    found = minimize(loss, theta, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 20, "ftol": 0.0})
    print(f"{label}: loss {found.fun:.4f} after {found.nit} steps, {time.perf_counter() - start:.0f} s", flush=True)
    return np.asarray(found.x)


def _part(made: Signal, noise: list[Sample], low: float, high: float) -> tuple[Signal, list[Sample]]:
    """Masses between ``low`` and ``high`` [GeV], MARGIN included, and the background that their windows may hold."""
    use = (made.masses > low - MARGIN) & (made.masses < high + MARGIN)
    keep, masses, sigma = use[made.index], made.masses[use], made.sigma[use]
    reach = NUMBERS["neighbourhood_widths"].values[1] * sigma
    floor, top = (masses**2 - reach).min(), (masses**2 + reach).max()
    events = [s.columns["recoil_mass_squared"] for s in noise]
    part = Signal(sample=made.sample.select(keep), index=np.cumsum(use)[made.index[keep]] - 1, masses=masses, sigma=sigma)
    return part, [s.select((x > floor) & (x < top)) for s, x in zip(noise, events, strict=True)]


def train(made: Signal, noise: list[Sample], steps: tuple[int, int] = STEPS, seed: int = SEED) -> Network:
    """The network of the smallest mean Punzi sensitivity for this signal and these backgrounds, range by range."""
    hidden = tuple(int(k) for k in NUMBERS["hidden"].values)
    sizes, edges = (len(INPUTS), *hidden, 1), NUMBERS["edges"].values
    start = unpack(first_guess(sizes, seed), sizes)
    about = {"inputs": INPUTS, "edges": edges, "seed": SEED, "lines": LINES, "detector": BELLE2.name, "hidden": hidden}
    blank = Network(name=NAME, inputs=INPUTS, centre=np.zeros(len(INPUTS)), spread=np.ones(len(INPUTS)), edges=edges,
                    ranges=(start,) * (len(edges) + 1), about=about)  # fmt: skip
    raw = blank.standardised(made.sample.columns)
    blank = replace(blank, centre=raw.mean(axis=0), spread=raw.std(axis=0))
    bounds = pairwise((-math.inf, *edges, math.inf))
    ranges = tuple(_train_range(blank, *_part(made, noise, *bound), sizes, steps, seed) for bound in bounds)
    return replace(blank, ranges=ranges)


def _train_range(network: Network, made: Signal, noise: list[Sample], sizes: tuple[int, ...], steps: tuple[int, int],
                 seed: int) -> Layers:  # fmt: skip
    """The layers of one range: first tell signal from background, then what counts."""

    def inputs(sample: Sample) -> NDArray[np.floating]:
        return np.concatenate([network.standardised(s.columns) for s in (made.sample, sample)]).astype(np.float32)

    label, theta = f"{made.masses[0]:g} to {made.masses[-1]:g} GeV", first_guess(sizes, seed)
    few = joined(_thinned(noise, (KEPT, KEPT), [np.zeros(len(s.weights), dtype=bool) for s in noise], seed))
    x, (target, weights) = inputs(few), _balanced(made, few)
    theta = _minimise(lambda t: cross_entropy(t, sizes, x, target, weights, DECAY), theta, steps[0], f"{label}, cross-entropy")
    near = [evaluate(unpack(theta, sizes), network.standardised(s.columns)) > NEAR for s in noise]
    few = joined(_thinned(noise, KEPT_PUNZI, near, seed + 1))
    x, (efficiency, counts), punzi = inputs(few), _matrices(made, few), [float(NUMBERS[f"punzi_{k}"]) for k in "ab"]
    theta = _minimise(lambda t: punzi_loss(t, sizes, x, efficiency, counts, DECAY, *punzi), theta, steps[1], f"{label}, Punzi")
    return unpack(theta, sizes)


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
