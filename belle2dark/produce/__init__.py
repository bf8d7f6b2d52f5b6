"""Make the data files that the package ships: templates, hadronic lists, optimised cuts, limit curves (``make templates``).

    python -m belle2dark.produce [--only templates|hadronic|helicity|curves] [--template NAME] [--experiment NAME]
                                 [--search NAME] [--scale 0.01] [--folder DIR]

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

from belle2dark.detector.experiments import BELLE2
from belle2dark.notebook import curve, mass_points
from belle2dark.packing import pack
from belle2dark.produce import cuts, dimuon, ditau, emu, gamma_vector, leptophilic
from belle2dark.produce.hadronic import make_hadronic
from belle2dark.produce.helicity import write_helicity
from belle2dark.recipes import OTHER_RECIPES, RECIPES, Recipe
from belle2dark.search import load_search, search_names
from belle2dark.sourced import data_file
from belle2dark.templates import build


def write_template(recipe: Recipe, folder: Path, scale: float) -> Path:
    """Build one template and write it whole or not at all."""
    arrays: dict[str, Any] = build(recipe, recipe.detector, scale=scale)
    target, temporary = folder / recipe.file, folder / f".{recipe.file}"
    np.savez_compressed(temporary, **pack(arrays))
    os.replace(temporary, target)
    return target


def write_curve(name: str, folder: Path) -> Path:
    """The expected limit of a search along its first mass, at its defaults: the thumbnail of the index page."""
    return curve(mass_points(load_search(name), n=45, n_events=40_000)).write(folder / f"curve_{name}.csv")


def main() -> None:
    """Command line of this module."""
    recipes = [*RECIPES.values(), *(recipe for others in OTHER_RECIPES.values() for recipe in others.values())]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="statistics relative to the shipped files")
    parser.add_argument("--folder", type=Path, help="where to write (default: the package's data folder)")
    parser.add_argument("--only", choices=["templates", "hadronic", "helicity", "cuts", "curves"])
    names = sorted({recipe.name for recipe in recipes})
    parser.add_argument("--template", choices=names, help="make this template and nothing else")
    parser.add_argument("--experiment", choices=[BELLE2.name, *OTHER_RECIPES], help="only the templates of this experiment")
    parser.add_argument("--search", action="append", choices=search_names(), help="only the limit curves of this search")
    options = parser.parse_args()
    chosen = bool(options.template or options.experiment)
    if chosen and options.only not in (None, "templates"):
        parser.error(f"--template and --experiment make no {options.only}")
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
    if only in (None, "cuts"):
        for module in (cuts, emu, ditau, dimuon, leptophilic, gamma_vector):
            print(module.write(folder))
    if only in (None, "curves"):
        for name in options.search or search_names():
            print(write_curve(name, folder))
