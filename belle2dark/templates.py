"""Background templates: weighted event lists after a loose pre-selection, one file per final state.

A template is made once (:func:`build`, ``make templates``), shipped as ``data/template_<name>.npz`` and loaded by every
search of its final state (:func:`load_template`). It holds the two measured tracks, the L1 bits, the process and the
weight [fb] of each event; masses and angles are derived when it is loaded, by the code that also serves the signal.

Events are thinned by threshold sampling, cell by cell of the mass plane: an event of weight w survives with probability
w / threshold and then carries max(w, threshold). Sums of weights stay unbiased, rare corners keep all they have, and no
cell is crowded. Track momenta are stored in steps of 0.25 MeV, a tenth of the best resolution.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.dilepton import dilepton_columns
from belle2dark.detector.experiments import Detector
from belle2dark.detector.response import reconstruct
from belle2dark.simulation.backgrounds import DIMUON_MISSING, Background
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file
from belle2dark.trigger.menu import Bits, load_menu
from belle2dark.trigger.objects import l1_objects

Array = NDArray[np.float64]


#: step of the stored momenta [GeV]: 16 bits reach 8.19 GeV, above any muon at these beam energies
_STEP = 0.00025
#: lines of a file that does not name them
_FIRST_LINES = ("ffo", "cdcklm1", "cdcklm2", "hie")
#: strata of the thinning in dimuon and recoil mass
CELLS = (60, 60)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """A background sample: ``columns`` (each ``(n,)``), L1 ``bits``, index of the ``processes`` and ``weights`` [fb].

    ``bits`` are in the order of the menu; those of lines that are not in ``lines`` were not simulated.
    """

    name: str
    columns: Mapping[str, Array]
    bits: Bits
    process: NDArray[np.uint8]
    weights: Array
    processes: tuple[str, ...]
    lines: tuple[str, ...]
    about: Mapping[str, object]

    def __len__(self) -> int:
        return len(self.weights)


@cache
def load_template(name: str, detector: Detector) -> Template:
    """The shipped template of that final state; raises ``FileNotFoundError`` if there is none."""
    with as_file(data_file(f"template_{name}.npz")) as path, np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    about = json.loads(str(arrays["about"]))
    lines = tuple(about.get("lines", _FIRST_LINES))
    patterns = arrays["patterns"] if "patterns" in arrays else np.arange(256, dtype=np.uint8)
    return Template(
        name=name,
        columns=dilepton_columns(arrays["tracks"] * _STEP, detector.beams),
        bits=load_menu().translate(patterns, lines)[arrays["bits"]],
        process=arrays["process"],
        weights=arrays["weights"].astype(float),
        processes=tuple(about["processes"]),
        lines=lines,
        about=about,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a template is made: processes, events generated per process, events kept per cell.

    Cells with the recoil in the barrel, where searches look, keep ``per_cell`` events, the others ``per_other_cell``.
    """

    name: str
    processes: tuple[Background, ...]
    events: Mapping[str, int]
    per_cell: Mapping[str, float]
    per_other_cell: float
    chunk: int = 1_000_000


def _chunk(background: Background, n: int, index: int, detector: Detector, seed: int, share: float) -> dict[str, NDArray[Any]]:
    """One chunk of a process after the loose pre-selection; ``share`` is its part of the process's events."""
    key = make_key(seed, "template", background.name, str(index))
    events = background.generate(n, key, detector.beams)
    reco = reconstruct(events, detector, key)
    weights = reco.weights * share
    for factor in reco.factors.values():
        weights = weights * factor
    columns = reco.columns
    keep = (weights > 0) & (columns["pt_mumu_cms"] > 0.05) & (columns["recoil_mass_squared"] > -4.0)
    bits = load_menu().evaluate(l1_objects(events.select(keep), detector, key))
    fired = bits > 0
    keep[keep] = fired
    tracks = np.clip(np.round(reco.tracks_lab[keep] / _STEP), -32767, 32767).astype(np.int16)
    return {
        "tracks": tracks,
        "bits": bits[fired],
        "weights": weights[keep],
        "cell": _cells(columns, detector)[keep],
        "generated_fb": np.array([events.weights.sum() * share]),
    }


def _cells(columns: Mapping[str, Array], detector: Detector) -> NDArray[np.int32]:
    """Stratum of each event: dimuon mass, recoil mass (windows are narrow where it is large), recoil in the barrel or not."""
    nx, ny = CELLS
    root = detector.beams.sqrt_s
    recoil = columns["recoil_mass_squared"]
    x = np.clip(columns["m_mumu"] / root * nx, 0, nx - 1).astype(np.int32)
    y = np.clip((np.sign(recoil) * np.sqrt(np.abs(recoil)) + 2.0) / (root + 2.0) * ny, 0, ny - 1).astype(np.int32)
    low, high = detector.cosines("ecl_barrel_theta")
    barrel = (columns["recoil_cos_theta_lab"] > low) & (columns["recoil_cos_theta_lab"] < high)
    return np.asarray((x * ny + y) * 2 + barrel, dtype=np.int32)


def thin(
    weights: Array, cells: NDArray[np.int32], per_cell: tuple[float, float], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], Array]:
    """Threshold sampling: about ``per_cell`` events stay in each (even, odd) cell; returns who stays and all new weights."""
    new, keep = weights.copy(), np.ones(len(weights), dtype=bool)
    order = np.argsort(cells, kind="stable")
    edges = np.flatnonzero(np.diff(cells[order], prepend=-1, append=np.iinfo(np.int64).max))
    draws = rng.random(len(weights))
    for low, high in pairwise(edges):
        members = order[low:high]
        wanted = per_cell[int(cells[members[0]]) % 2]
        if len(members) <= wanted:
            continue
        w = np.sort(weights[members])
        # the threshold t with sum(min(1, w/t)) = wanted lies between w[k] and w[k + 1]
        below = np.cumsum(w)
        above = len(w) - 1 - np.arange(len(w))
        k = int(np.searchsorted(-(below / w + above), -wanted, side="right")) - 1
        threshold = below[k] / (wanted - above[k])
        keep[members] = draws[members] < weights[members] / threshold
        new[members] = np.maximum(weights[members], threshold)
    return keep, new


def build(recipe: Recipe, detector: Detector, seed: int = 1, scale: float = 1.0) -> dict[str, Any]:
    """Generate, reconstruct and thin every process; the arrays of the template file. ``scale`` shrinks the statistics."""
    parts: list[dict[str, NDArray[Any]]] = []
    about: dict[str, Any] = {
        "processes": [p.name for p in recipe.processes],
        "seed": seed,
        "detector": detector.name,
        "lines": list(load_menu().names),
        "made": {},
    }
    rng = np.random.default_rng(make_key(seed, "thin", recipe.name))
    for index, background in enumerate(recipe.processes):
        total = int(recipe.events[background.name] * scale)
        chunks = max(1, round(total / recipe.chunk))
        made = [_chunk(background, total // chunks, c, detector, seed, 1.0 / chunks) for c in range(chunks)]
        part = {name: np.concatenate([c[name] for c in made]) for name in made[0]}
        keep, weights = thin(part["weights"], part["cell"], (recipe.per_other_cell, recipe.per_cell[background.name]), rng)
        parts.append(
            {
                "tracks": part["tracks"][keep],
                "bits": part["bits"][keep],
                "process": np.full(int(keep.sum()), index, dtype=np.uint8),
                "weights": weights[keep].astype(np.float32),
            }
        )
        record = {
            "generated": total,
            "selected_fb": float(part["weights"].sum()),
            "preselected": len(keep),
            "kept": int(keep.sum()),
            "equivalent_luminosity_fb": total / float(part["generated_fb"].sum()),
        }
        about["made"][background.name] = record
    arrays: dict[str, Any] = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    # few patterns occur: a table of them and an index per event are a quarter of the size
    arrays["patterns"], which = np.unique(arrays["bits"], return_inverse=True)
    arrays["bits"] = which.astype(np.min_scalar_type(len(arrays["patterns"])))
    return arrays | {"about": json.dumps(about)}


RECIPES = {
    "dimuon_missing": Recipe(
        name="dimuon_missing",
        processes=DIMUON_MISSING,
        events={"mumu_gamma": 100_000_000, "tautau": 20_000_000, "eemumu": 60_000_000},
        per_cell={"mumu_gamma": 220, "tautau": 320, "eemumu": 60},
        per_other_cell=8,
    ),
}
