"""Make ``data/zprime_lfv_cut.yaml``: what the search for flavour-violating Z' computes once from simulation.

    python -m belle2dark.produce --only cuts

Cross-sections of e+e- -> l l' Z' at unit coupling; where the recoil mass of the visible pair lies when a tau loses
neutrinos; and the cuts against tau pairs, optimised with Punzi's figure of merit at nodes in the recoil mass. No
published limit enters.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.final_states import final_state
from belle2dark.limits.optimise import optimise_cut
from belle2dark.produce.cuts import entry, smoothed
from belle2dark.simulation.flavour_violating import (
    DAUGHTERS,
    PAIRS,
    cross_section,
    generate_with_zprime,
    lightest,
    threshold,
)
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers
from belle2dark.templates import load_template
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

Array = NDArray[np.float64]
Sample = tuple[dict[str, Array], Array]

#: recoil masses where the cuts are optimised [GeV]
MASSES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5)
#: what is cut on, from below, and the values tried [GeV]
VARIABLES = ("pt_emu_cms", "recoil_pt_softer", "recoil_pt_harder")
TRIED = np.round(np.arange(0.0, 3.001, 0.05), 2)
#: window in widths, and how much wider the background of a node is counted
WIDTHS, WIDER = 2.0, 4.0
LINES = ("hie",)
#: effective background events that must be left in that wider window: what is not simulated cannot be optimised
ENOUGH = 30.0
#: nodes of the tables of cross-sections and of medians
RATE_NODES, MEDIAN_NODES = 20, 8
TEMPLATE = "emu_missing"


def mass_nodes(pair: str, sqrt_s: float, n: int) -> Array:
    """Masses (n,) [GeV] between the decay of the heavier lepton and the threshold, crowded at both ends."""
    low, high = lightest(pair), sqrt_s - threshold(pair)
    return np.asarray(np.round(low + (high - low) / (1.0 + np.exp(np.linspace(5.0, -4.6, n))), 4))


def cross_sections(pair: str, masses: Array, detector: Detector) -> Array:
    """Cross-section [fb] of e+e- -> l l' Z' at unit coupling, both charges, for ``masses`` [GeV], same shape."""
    key = make_key(1, "zprime_lfv", "rate")
    return np.array([cross_section(pair, float(m), key, detector.beams) for m in masses])


def medians(pair: str, masses: Array, detector: Detector) -> Array:
    """Median squared recoil mass [GeV^2] of the visible pair where a tau loses neutrinos, for ``masses`` [GeV], same shape."""
    state, key, out = final_state(TEMPLATE), make_key(1, "zprime_lfv", "median"), []
    for m in masses:
        reco = state.reconstruct(generate_with_zprime(40_000, key, detector.beams, pair=pair, mass=float(m)), detector, key)
        weights = reco.weights * np.prod(list(reco.factors.values()), axis=0)
        order = np.argsort(reco.columns["recoil_mass_squared"])
        middle = np.searchsorted(np.cumsum(weights[order]), 0.5 * weights.sum())
        out.append(float(reco.columns["recoil_mass_squared"][order][middle]))
    return np.array(out)


def signal_sample(mass: float, detector: Detector) -> tuple[Sample, float]:
    """Columns and weights of a signal of unit rate after detector and L1, and the width of its peak [GeV^2]."""
    state, menu = final_state(TEMPLATE), load_menu()
    key = make_key(1, "zprime_lfv", "cuts")
    events = generate_with_zprime(60_000, key, detector.beams, pair="emu", mass=mass)
    reco = state.reconstruct(events, detector, key)
    weights = reco.weights / reco.weights.sum() * np.prod(list(reco.factors.values()), axis=0)
    weights *= menu.keep_probability(menu.evaluate(l1_objects(events, detector, key)), LINES)
    plain = state.reconstruct(generate_with_zprime(15_000, key, detector.beams, pair="emu", mass=mass, radiation=False),
                              detector, key)  # fmt: skip
    x = plain.columns["recoil_mass_squared"][plain.accepted]
    for _ in range(6):
        x = x[np.abs(x - np.median(x)) < 3.0 * x.std()]
    return (dict(reco.columns), weights), float(x.std())


def best_cuts(mass: float, detector: Detector, luminosity: float) -> Array:
    """The cuts (3,) [GeV] of :data:`VARIABLES` with the best Punzi sensitivity at one mass, one after the other until stable."""
    (columns, weights), width = signal_sample(mass, detector)
    template = load_template(TEMPLATE, detector)
    noise = template.weights * load_menu().keep_probability(template.bits, LINES)
    low, high = np.cos(np.radians(load_numbers("zprime_lfv")["recoil_theta"].values[::-1]))
    samples = []
    for table, w, half in ((columns, weights, WIDTHS * width), (template.columns, noise, WIDER * WIDTHS * width)):
        c = table["recoil_cos_theta_lab"]
        keep = (np.abs(table["recoil_mass_squared"] - mass**2) < half) & (c > low) & (c < high) & (w > 0)
        samples.append((np.stack([table[name][keep] for name in VARIABLES]), w[keep]))
    (signal, signal_weights), (background, background_weights) = samples
    cuts = np.full(len(VARIABLES), TRIED[0])
    for _ in range(4):
        for i in range(len(VARIABLES)):
            others = np.arange(len(VARIABLES)) != i
            passing = [(x[others] > cuts[others, None]).all(axis=0) for x in (signal, background)]
            scan = optimise_cut(signal[i, passing[0]], background[i, passing[1]], TRIED, keep="above", generated=1.0,
                                signal_weights=signal_weights[passing[0]], background_weights=background_weights[passing[1]],
                                scale=luminosity / WIDER, min_effective=ENOUGH)  # fmt: skip
            cuts[i] = scan.best
    return cuts


def optimise(detector: Detector) -> Array:
    """The cuts (nodes, 3) [GeV] at :data:`MASSES`, smoothed with their neighbours."""
    numbers = load_numbers("zprime_lfv")
    luminosity = math.prod(float(numbers[name]) for name in ("luminosity_belle2_pilot", "l1_factor", "validation_factor"))
    return smoothed(np.array([best_cuts(m, detector, luminosity) for m in MASSES]))


def write(folder: Path, detector: Detector = BELLE2) -> Path:
    """Compute everything and write the YAML file."""
    text = "# Computed from simulation by `python -m belle2dark.produce --only cuts`, see README.md.\nnumbers:\n"
    root = detector.beams.sqrt_s
    for pair in PAIRS:
        masses = mass_nodes(pair, root, RATE_NODES)
        text += entry(f"rate_mass_{pair}", masses, "GeV", "Z' masses of the next list")
        text += entry(f"rate_{pair}", cross_sections(pair, masses, detector), "fb",
                      "e+e- -> l l' Z' at unit coupling, both charges, electrons 0.2 rad off their beam; 0.4 %")  # fmt: skip
        if pair in DAUGHTERS:
            # next to the threshold nothing is seen
            some = np.linspace(lightest(pair) + 0.05, root - threshold(pair) - 0.6, MEDIAN_NODES).round(3)
            text += entry(f"median_mass_{pair}", some, "GeV", "Z' masses of the next list")
            text += entry(f"median_{pair}", medians(pair, some, detector), "GeV^2", "median squared recoil mass of e and mu")
    cuts = optimise(detector)
    text += entry("cut_mass", MASSES, "GeV", "recoil masses of the next lists")
    for name, values in zip(VARIABLES, cuts.T, strict=True):
        text += entry(
            f"{name}_min", values, "GeV", "best Punzi sensitivity (a = 3, b = 1.28) at the pilot run's luminosity, smoothed"
        )
    target = folder / "zprime_lfv_cut.yaml"
    target.write_text(text, encoding="utf-8")
    return target
