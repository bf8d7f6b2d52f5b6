"""Cross-sections and rectangular cuts of a search over its masses: what ``data/zprime_invisible_cut.yaml`` holds.

    python -m belle2dark.produce --only cuts

At nodes in the mass each cut is moved, one after the other until nothing changes, to the best Punzi sensitivity (a = 3,
b = 1.28) at a dataset's luminosity; tables are smoothed over neighbouring nodes. No published limit enters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_MUON
from belle2dark.limits.optimise import optimise_cut
from belle2dark.sample import choices_of, selected_template, signal_weights, simulate
from belle2dark.search import Search, load_search
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.lepton_pair_x_rate import cross_section

Array = NDArray[np.float64]

#: recoil masses where cuts are optimised [GeV]
MASSES = (0.3, 0.8, 1.3, 1.8, 2.3, 2.8, 3.3, 3.8, 4.3, 4.8, 5.3, 5.8, 6.3, 6.8, 7.3, 7.8, 8.3, 8.8)
#: what is cut on, from below, and the values tried [GeV]
VARIABLES = ("pt_mumu_cms", "recoil_pt_softer", "recoil_pt_harder")
TRIED = np.round(np.arange(0.0, 3.001, 0.05), 2)
#: the background of a node is counted in a window this many times wider
WIDER = 4.0
#: effective background events that must be left there: what is not simulated cannot be optimised
ENOUGH = 30.0
EVENTS = 60_000


def best_cuts(search: Search, given: Mapping[str, Any], variables: Sequence[str], tried: Array) -> Array:
    """The cuts ``(len(variables),)`` with the best Punzi sensitivity at one mass point and the luminosity of ``given``."""
    values = search.parse(given)
    dataset, window = search.datasets[str(values["dataset"])], search.window
    signal = simulate(search, dataset, tuple(values[name] for name in search.masses), EVENTS, 1)
    template, noise = selected_template(search, dataset, choices_of(search, values), dataset.lines)
    inside = signal.selected & signal.in_window
    wide = WIDER**2 * signal.covariance
    near = window.contains(template.columns[window.x], template.columns[window.y], signal.centre, wide) & (noise > 0)
    s = np.stack([signal.reco.columns[name][inside] for name in variables])
    b = np.stack([template.columns[name][near] for name in variables])
    s_weights, b_weights = signal_weights(signal, dataset.lines)[inside], noise[near]
    cuts = np.full(len(variables), tried[0])
    for _ in range(4):
        for i in range(len(variables)):
            others = np.arange(len(variables)) != i
            first, second = ((x[others] > cuts[others, None]).all(axis=0) for x in (s, b))
            if b_weights[second].sum() ** 2 < ENOUGH * (b_weights[second] ** 2).sum():
                continue  # too few simulated events to move this cut
            cuts[i] = optimise_cut(s[i, first], b[i, second], tried, keep="above", generated=1.0, signal_weights=s_weights[first],
                                   background_weights=b_weights[second], scale=float(values["luminosity"]) / WIDER,
                                   min_effective=ENOUGH).best  # fmt: skip
    return cuts


def smoothed(table: Array) -> Array:
    """A table (nodes, k) with each row averaged with its neighbours, a quarter of either."""
    padded = np.pad(table, ((1, 1), (0, 0)), mode="edge")
    return np.asarray(np.round(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 3))


def write(folder: Path) -> Path:
    """Optimise the cuts of ``zprime_invisible`` for its datasets and write the YAML file."""
    search = load_search("zprime_invisible")
    text = "# Computed from simulation by `python -m belle2dark.produce --only cuts`, see README.md.\nnumbers:\n"
    dataset = search.default_dataset
    nodes = rate_masses(dataset.sqrt_s - 2.0 * M_MUON)
    rates = [cross_section(float(m), LeptonCoupling(vector=1.0), dataset.sqrt_s, alpha=dataset.alpha) for m in nodes]
    text += entry("rate_mass", nodes, "GeV", "Z' masses of the next list")
    text += entry("rate", rates, "fb", "e+e- -> mu+ mu- Z' at g' = 1, with radiation; by quadrature")
    text += entry("cut_mass", MASSES, "GeV", "recoil masses of the next lists")
    for name in ("belle2_80", "belle2_pilot"):
        given = {"dataset": name, "selection": "preselection"}
        rows = [best_cuts(search, {**given, "m_zprime": m}, VARIABLES, TRIED) for m in MASSES]
        for variable, column in zip(VARIABLES, smoothed(np.array(rows)).T, strict=True):
            note = "best Punzi sensitivity (a = 3, b = 1.28) at this luminosity, smoothed"
            text += entry(f"{variable}_min_{name}", column, "GeV", note)
    target = folder / "zprime_invisible_cut.yaml"
    target.write_text(text, encoding="utf-8")
    return target


def rate_masses(highest: float) -> Array:
    """Masses [GeV] of the table of cross-sections, from 3 MeV to next to ``highest``, denser at both ends."""
    return np.concatenate([np.geomspace(0.003, 0.9, 24), np.linspace(1.0, 9.4, 43), highest - np.geomspace(0.8, 0.003, 20)])


def entry(name: str, values: Sequence[float] | Array, unit: str, note: str) -> str:
    """One list of numbers as YAML."""
    listed = ", ".join(repr(float(f"{float(x):.8g}")) for x in np.ravel(values))
    return f'  {name}:\n    {{value: [{listed}], unit: {unit}, source: computed, confidence: computed,\n     note: "{note}"}}\n'
