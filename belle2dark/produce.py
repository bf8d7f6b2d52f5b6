"""Make the data files that the package ships: templates, hadronic lists, optimised cuts, limit curves (``make templates``).

    python -m belle2dark.produce [--only templates|hadronic|helicity|curves] [--template NAME] [--experiment NAME]
                                 [--scale 0.01] [--folder DIR]

Everything is seeded, so that a rerun on any machine gives the same files up to rounding. ``data/README.md`` says what
each file holds.
"""

from __future__ import annotations

import argparse
import os
import time
from importlib.resources import as_file
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.experiments import BELLE2
from belle2dark.final_states import final_state
from belle2dark.limits.optimise import optimise_cut
from belle2dark.limits.windows import contains
from belle2dark.notebook import curve, mass_points
from belle2dark.produce_hadronic import make_hadronic
from belle2dark.sample import core_covariance
from belle2dark.search import Dataset, Search, load_search, search_names
from belle2dark.selection import passes
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file
from belle2dark.templates import OTHER_RECIPES, RECIPES, Recipe, build, load_template
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

Array = NDArray[np.float64]

#: nodes of the helicity cut: M_mumu [GeV] and M_recoil / (sqrt s - M_mumu)
M_NODES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.7, 10.2)
F_NODES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
CUT_VALUES = np.round(np.arange(0.3, 1.001, 0.05), 2)
#: the background of a node is counted in an ellipse this many times wider than the window
WIDER = 4.0


def write_template(recipe: Recipe, folder: Path, scale: float) -> Path:
    """Build one template and write it whole or not at all."""
    arrays: dict[str, Any] = build(recipe, recipe.detector, scale=scale)
    target, temporary = folder / recipe.file, folder / f".{recipe.file}"
    np.savez_compressed(temporary, **arrays)
    os.replace(temporary, target)
    return target


def best_helicity(search: Search, dataset: Dataset, values: dict[str, float]) -> float:
    """The cut on |cos(helicity angle)| with the best Punzi sensitivity at one mass point."""
    detector, window, reconstruct = dataset.detector, search.window, final_state(search.template).reconstruct
    template = load_template(search.template, detector)
    others = tuple(cut for cut in search.cuts({"dataset": dataset.name}, dataset) if cut.name != "helicity angle")
    key = make_key(1, search.name, "helicity")
    plain = reconstruct(search.generate(values, 8000, key, dataset, False), detector, key)
    covariance = core_covariance(plain.columns[window.x], plain.columns[window.y], plain.accepted)
    events = search.generate(values, 30_000, key, dataset, True)
    reco = reconstruct(events, detector, key)
    menu = load_menu()
    weights = reco.weights * menu.keep_probability(menu.evaluate(l1_objects(events, detector, key)), dataset.lines)
    for factor in reco.factors.values():
        weights = weights * factor
    centre = window.centre(values)
    weights *= passes(others, reco.columns) & contains(
        reco.columns[window.x], reco.columns[window.y], centre, covariance, window.n_sigma
    )
    near = contains(template.columns[window.x], template.columns[window.y], centre, covariance, WIDER * window.n_sigma)
    near &= passes(others, template.columns)
    noise = template.weights[near] * menu.keep_probability(template.bits[near], dataset.lines)
    if not weights.any():
        return float(CUT_VALUES[-1])  # no signal passes the rest, so there is nothing to optimise
    return optimise_cut(
        np.abs(reco.columns["cos_helicity"]),
        np.abs(template.columns["cos_helicity"][near]),
        CUT_VALUES,
        signal_weights=weights,
        background_weights=noise,
        generated=float(reco.weights.sum()),
        scale=float(dataset.luminosity) / WIDER**2,
    ).best


def optimise_helicity(search: Search) -> Array:
    """The helicity cut at every node (rows M_NODES, columns F_NODES), smoothed over neighbours."""
    dataset = search.default_dataset
    root = dataset.detector.beams.sqrt_s
    table = np.empty((len(M_NODES), len(F_NODES)))
    for i, m in enumerate(M_NODES):
        for j, f in enumerate(F_NODES):
            table[i, j] = best_helicity(search, dataset, {"m_aprime": m, "m_hprime": f * (root - m)})
    padded = np.pad(table, 1, mode="edge")
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16.0
    smooth = sum(kernel[a, b] * padded[a : a + table.shape[0], b : b + table.shape[1]] for a in range(3) for b in range(3))
    return np.round(smooth, 3)


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
    note: "largest |cos(helicity angle)| kept: best Punzi sensitivity (a = 3, b = 1.28) at the published luminosity, smoothed"
"""
    target = folder / "dark_higgsstrahlung_cut.yaml"
    target.write_text(numbers, encoding="utf-8")
    return target


def write_curve(name: str, folder: Path) -> Path:
    """The expected limit of a search along its first mass, at its defaults: the thumbnail of the index page."""
    return curve(mass_points(load_search(name), n=45, n_events=40_000)).write(folder / f"curve_{name}.csv")


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="statistics relative to the shipped files")
    parser.add_argument("--folder", type=Path, help="where to write (default: the package's data folder)")
    parser.add_argument("--only", choices=["templates", "hadronic", "helicity", "curves"])
    parser.add_argument("--template", choices=list(RECIPES), help="make this template and nothing else")
    parser.add_argument("--experiment", choices=[BELLE2.name, *OTHER_RECIPES], help="only the templates of this experiment")
    options = parser.parse_args()
    chosen = bool(options.template or options.experiment)
    if chosen and options.only not in (None, "templates"):
        parser.error(f"--template and --experiment make no {options.only}")
    recipes = [*RECIPES.values(), *(recipe for others in OTHER_RECIPES.values() for recipe in others.values())]
    recipes = [r for r in recipes if options.template in (None, r.name) and options.experiment in (None, r.detector.name)]
    if not recipes:
        parser.error(f"no template {options.template!r} for {options.experiment}")
    with as_file(data_file("README.md")) as readme:
        folder = options.folder or readme.parent
    only = "templates" if chosen else options.only
    if only in (None, "templates"):
        for recipe in recipes:
            start = time.perf_counter()
            print(f"{write_template(recipe, folder, options.scale)}: {time.perf_counter() - start:.0f} s")
    if only == "hadronic":  # by request only: it needs Pythia (extra "gen") and its files rarely change
        for path in make_hadronic(folder, options.scale):
            print(path)
    if only in (None, "helicity"):
        print(write_helicity(folder))
    if only in (None, "curves"):
        for name in search_names():
            print(write_curve(name, folder))


if __name__ == "__main__":
    main()
