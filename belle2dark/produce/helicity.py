"""Optimise the helicity cut of dark Higgsstrahlung over the plane of masses and write its file (part of ``make templates``).

At each node of the plane the cut on |cos(helicity angle)| is varied after everything else; signal and background in the
window give the mean expected limit of the published method. Its median would move in steps of one event and so would the
best cut. The curves of limit against cut are averaged over neighbouring nodes *before* the best value is chosen, which
tames the Monte Carlo error without moving an optimum that changes fast; a cut is not credited with rejecting what a few
simulated events stand for. Nodes crowd towards the kinematic edge: there the
pair is at rest, its helicity angle says nothing, and a cut that helps elsewhere would only lose signal.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from belle2dark.limits.counting import Uncertainties, upper_limits
from belle2dark.limits.optimise import kept
from belle2dark.limits.windows import contains
from belle2dark.sample import WIDENING, signal_weights, simulate
from belle2dark.search import Dataset, Search, load_search
from belle2dark.selection import passes
from belle2dark.templates import load_template
from belle2dark.trigger.menu import load_menu

Array = NDArray[np.float64]

#: nodes: M_mumu [GeV] and M_recoil / (sqrt s - M_mumu)
M_NODES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.7, 10.2)
F_NODES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.92, 0.96, 0.985)
CUT_VALUES = np.round(np.arange(0.3, 1.001, 0.02), 2)
CUT = "helicity angle"
#: effective events wanted behind the background of a process before the cut, which takes up to four fifths of them
ENOUGH = 150.0
#: values within this share of the best limit are as good; the middle of them is taken
FLAT = 0.01


@cache
def _mean_limits(cl: float, uncertainties: Uncertainties) -> tuple[Array, Array]:
    """Backgrounds [events] and the Bayesian limits [events] expected on average there."""
    b = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 121)])
    means = np.empty(len(b))
    for i, expected in enumerate(b):
        n = np.arange(int(expected + 8.0 * np.sqrt(expected) + 12.0))
        limits = upper_limits(n, np.full(len(n), expected), cl=cl, method="bayesian", uncertainties=uncertainties)
        means[i] = poisson.pmf(n, expected) @ limits
    return b, means


def mean_limit(b: Array, cl: float, uncertainties: Uncertainties) -> Array:
    """Mean expected Bayesian upper limit [events] for ``b`` background events, the shape of ``b``: smooth in b."""
    return np.asarray(np.interp(b, *_mean_limits(cl, uncertainties)))


def _background(search: Search, dataset: Dataset, centre: tuple[float, float], covariance: Array) -> tuple[Array, Array]:
    """|cos(helicity angle)| of background events around a window and their weights [events in the window]."""
    template, window = load_template(search.template, dataset.detector), search.window
    x, y = (template.columns[name] for name in (window.x, window.y))
    others = passes(tuple(cut for cut in search.cuts({}, dataset) if cut.name != CUT), template.columns)
    keep = load_menu().keep_probability(template.bits, dataset.lines) * others * float(dataset.luminosity)
    values, weights = [], []
    here = np.array([centre]), covariance[None]
    for process in range(len(template.processes)):
        for widen in WIDENING:
            near = contains(x, y, centre, covariance, widen * window.n_sigma) & (template.process == process)
            w = template.weights[near] * keep[near]
            if w.sum() ** 2 > ENOUGH * (w**2).sum():
                break
        scale = float((window.area(*here, dataset) / window.area(*here, dataset, widen))[0])
        values.append(np.abs(template.columns["cos_helicity"][near]))
        weights.append(scale * w)
    return np.concatenate(values), np.concatenate(weights)


def limit_curve(search: Search, m_aprime: float, m_hprime: float) -> Array:
    """Mean expected limit [fb] for each of CUT_VALUES at one mass point; infinite where no signal is left."""
    dataset = search.default_dataset
    values = search.parse({"m_aprime": m_aprime, "m_hprime": m_hprime})
    signal = simulate(search, dataset, tuple(values[name] for name in search.masses), 30_000, 1)
    columns = signal.reco.columns
    others = tuple(cut for cut in search.selection(values) if cut.name != CUT)
    passing = signal_weights(signal, dataset.lines) * (passes(others, columns) & signal.in_window)
    efficiency = kept(np.abs(columns["cos_helicity"]), passing, CUT_VALUES, "below")[0]
    background, squares = kept(*_background(search, dataset, signal.centre, signal.covariance), CUT_VALUES, "below")
    # credited with what it rejects less the Monte Carlo error of that, lest it be made to miss a few heavy events
    cautious = background + np.sqrt(np.maximum(squares[-1] - squares, 0.0))
    events = mean_limit(cautious, dataset.cl, search.uncertainties(values))
    fb = float(dataset.luminosity) * efficiency
    return np.divide(events, fb, out=np.full(len(events), np.inf), where=fb > 0)


def best_cuts(curves: Array) -> Array:
    """The best cut (m, f) of limits (m, f, values): each curve averaged with its neighbours, then the middle of the best.

    The loosest value where there is no signal.
    """
    lowest = curves.min(axis=2, keepdims=True)
    known = np.isfinite(lowest)
    relative = np.where(known, curves / np.where(known, lowest, 1.0), 0.0)
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16.0
    smooth, weight = _neighbours(relative, kernel), _neighbours(known.astype(float), kernel)
    smooth = np.where(known, smooth / np.where(weight > 0, weight, 1.0), np.where(CUT_VALUES[-1] == CUT_VALUES, 0.0, 1.0))
    good = smooth <= smooth.min(axis=2, keepdims=True) * (1.0 + FLAT)
    return np.asarray((good * CUT_VALUES).sum(axis=2) / good.sum(axis=2))


def _neighbours(values: Array, kernel: Array) -> Array:
    """``values`` (m, f, k) averaged over the first two axes with a 3 x 3 kernel; beyond the edge is a copy of the edge."""
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows, columns = values.shape[:2]
    return np.asarray(sum(kernel[a, b] * padded[a : a + rows, b : b + columns] for a in range(3) for b in range(3)))


def optimise_helicity(search: Search) -> Array:
    """The helicity cut at every node: rows M_NODES, columns F_NODES."""
    root = search.default_dataset.detector.beams.sqrt_s
    return best_cuts(np.array([[limit_curve(search, m, f * (root - m)) for f in F_NODES] for m in M_NODES]))


def write_helicity(folder: Path) -> Path:
    """Optimise the helicity cut with the template in the package and write its YAML file."""
    table = optimise_helicity(load_search("dark_higgsstrahlung"))
    rows = ",\n      ".join(", ".join(f"{x:.3f}" for x in row) for row in table)
    numbers = f"""# The helicity cut, optimised over the plane: written by `make templates`, see README.md.
numbers:
  m_mumu_nodes:
    {{value: {list(M_NODES)}, unit: GeV, source: choice, confidence: choice, note: "rows of the table"}}
  fraction_nodes:
    {{value: {list(F_NODES)}, unit: "", source: choice, confidence: choice, note: "columns: M_recoil / (sqrt s - M_mumu)"}}
  cos_helicity_max:
    value: [
      {rows}]
    unit: ""
    source: computed
    confidence: computed
    note: "largest |cos(helicity angle)| kept: best mean expected 90 % Bayesian limit at the published luminosity"
"""
    target = folder / "dark_higgsstrahlung_cut.yaml"
    target.write_text(numbers, encoding="utf-8")
    return target
