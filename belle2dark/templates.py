"""Background templates: weighted event lists after a loose pre-selection, one file per final state.

A template is made once (:func:`build`, ``make templates``), shipped as ``data/template_<name>.npz`` (Belle II) or
``data/template_<name>_<experiment>.npz`` and loaded by every search of its final state (:func:`load_template`). It holds the
measured tracks and photons, the L1 bits, the process and the weight [fb] of each event; masses and angles are derived when it
is loaded, by the code that also serves the signal (:mod:`belle2dark.final_states`, whose records also say what the loose
pre-selection is).

Events are thinned by threshold sampling, cell by cell of the plane of masses: an event of weight w survives with
probability w / threshold and then carries max(w, threshold). Sums of weights stay unbiased, rare corners keep all they
have, and no cell is crowded. Momenta are stored in steps of 0.25 MeV, a tenth of the best resolution.
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

from belle2dark.detector.experiments import Detector
from belle2dark.detector.response import Reconstruction
from belle2dark.final_states import final_state
from belle2dark.final_states.lepton_pair_photon import UNIONS, Union
from belle2dark.final_states.record import FinalState
from belle2dark.packing import unpack
from belle2dark.recipes import Recipe, recipe_of
from belle2dark.simulation.backgrounds import Background
from belle2dark.simulation.events import Events
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import data_file
from belle2dark.trigger.menu import Bits, load_menu
from belle2dark.trigger.objects import l1_objects

Array = NDArray[np.float64]


#: step of the stored momenta [GeV]: 16 bits reach 8.19 GeV, above any particle at these beam energies
_STEP = 0.00025
#: lines of a file that does not name them
_FIRST_LINES = ("ffo", "cdcklm1", "cdcklm2", "hie")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """A background sample: L1 ``bits``, index of the ``processes`` and ``weights`` [fb].

    ``columns`` (each ``(n,)``) are those of the final state: ``final_state(name).meanings`` lists them with units.
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
    """The shipped template of that final state for the experiment of ``detector``, which derives its columns.

    Raises ``ValueError`` for an unknown name or an experiment without that template and ``FileNotFoundError`` if the file
    was not made.
    """
    if name in UNIONS:
        return _united(UNIONS[name], detector)
    state = final_state(name)
    with as_file(data_file(recipe_of(name, detector.name).file)) as path, np.load(path, allow_pickle=False) as file:
        arrays = unpack({key: file[key] for key in file.files})
    about = json.loads(str(arrays["about"]))
    lines = tuple(about.get("lines", _FIRST_LINES))
    patterns = arrays["patterns"] if "patterns" in arrays else np.arange(256, dtype=np.uint8)
    return Template(
        name=name,
        columns=derive(state, arrays, detector),
        bits=load_menu().translate(patterns, lines, detector.name)[arrays["bits"]],
        process=arrays["process"],
        weights=arrays["weights"].astype(float),
        processes=tuple(about["processes"]),
        lines=lines,
        about=about,
    )


def _united(union: Union, detector: Detector) -> Template:
    """The templates of the channels of a final state that is made of others, one after the other."""
    parts = [load_template(state.name, detector) for state in union.channels]
    processes = tuple(dict.fromkeys(name for part in parts for name in part.processes))
    found = [union.columns(part.columns, channel) for channel, part in enumerate(parts)]
    return Template(
        name=union.state.name,
        columns={name: np.concatenate([columns[name] for columns in found]) for name in found[0]},
        bits=np.concatenate([part.bits for part in parts]),
        process=np.concatenate([np.array([*map(processes.index, part.processes)], np.uint8)[part.process] for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
        processes=processes,
        lines=tuple(name for name in parts[0].lines if all(name in part.lines for part in parts)),
        about={"processes": list(processes), "made": {part.name: part.about for part in parts}},
    )


def derive(state: FinalState, arrays: Mapping[str, NDArray[Any]], detector: Detector) -> dict[str, Array]:
    """The columns of ``state``, each ``(n,)``, from the stored momenta of a template's ``arrays``."""
    none = np.zeros((len(arrays["weights"]), 0, 3))
    tracks, photons = (arrays.get(name, none) * _STEP for name in ("tracks", "photons"))
    energies = np.sqrt((photons**2).sum(axis=-1, keepdims=True))
    alternative = arrays.get("alternative", np.zeros(len(tracks), dtype=np.int8))
    return state.derive(tracks, np.concatenate([energies, photons], axis=-1), alternative, detector)


def _stored(state: FinalState, reco: Reconstruction, keep: NDArray[np.bool_], coarse: int) -> dict[str, NDArray[Any]]:
    """Measured momenta in steps: tracks and photons, if the final state has any, and which alternative or flag it has."""
    momenta = {}
    if state.wanted.hypotheses:
        momenta["tracks"] = reco.tracks_lab[keep]
    if state.wanted.photons:
        momenta["photons"] = reco.clusters_lab[keep, : state.wanted.photons, 1:]
    stored: dict[str, NDArray[Any]] = {
        name: np.clip(np.round(p / (coarse * _STEP)) * coarse, -32767, 32767).astype(np.int16) for name, p in momenta.items()
    }
    return stored | ({"alternative": reco.alternative[keep]} if state.marked else {})


def _select(state: FinalState, events: Events, detector: Detector, key: int, share: float,
            coarse: int) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Events after the loose pre-selection; ``share`` is their part of the process's events."""
    reco = state.reconstruct(events, detector, key)
    weights = reco.weights * share
    for factor in reco.factors.values():
        weights = weights * factor
    keep = (weights > 0) & state.loose(reco.columns, detector)
    bits = load_menu().evaluate(l1_objects(events.select(keep), detector, key))
    fired = bits > 0
    keep[keep] = fired
    kept: dict[str, NDArray[Any]] = {**_stored(state, reco, keep, coarse), "bits": bits[fired], "weights": weights[keep]}
    # strata by the columns that the loaded template will have, rounded momenta and all
    return kept | {
        "cell": state.cells(derive(state, kept, detector), detector),
        "generated_fb": np.array([events.weights.sum() * share]),
    }


def _chunk(
    recipe: Recipe, background: Background, n: int, index: int, detector: Detector, seed: int, share: float
) -> dict[str, NDArray[Any]]:
    """One chunk of a process of a template."""
    key = make_key(seed, "template", background.name, str(index))
    events = background.generate(n, key, detector.beams)
    return _select(final_state(recipe.name), events, detector, key, share, recipe.coarse)


def thin(
    weights: Array,
    cells: NDArray[np.int32],
    per_cell: tuple[float, ...],
    rng: np.random.Generator,
    along: NDArray[Any] | None = None,
) -> tuple[NDArray[np.bool_], Array]:
    """Threshold sampling, cell by cell: returns who stays and all new weights.

    About ``per_cell[k]`` events stay in a cell whose number modulo the length of ``per_cell`` is k. Events are drawn
    independently or, in the order of ``along`` (n,), at even distances: the sum of weights of a cell, and of each value of
    ``along`` in it, is then kept to less than one event.
    """
    new, keep = weights.copy(), np.ones(len(weights), dtype=bool)
    order = np.argsort(cells, kind="stable")
    edges = np.flatnonzero(np.diff(cells[order], prepend=-1, append=np.iinfo(np.int64).max))
    draws = rng.random(len(weights))
    for low, high in pairwise(edges):
        members = order[low:high]
        wanted = per_cell[int(cells[members[0]]) % len(per_cell)]
        if len(members) <= wanted:
            continue
        w = np.sort(weights[members])
        # the threshold t with sum(min(1, w/t)) = wanted lies between w[k] and w[k + 1]
        below = np.cumsum(w)
        above = len(w) - 1 - np.arange(len(w))
        k = int(np.searchsorted(-(below / w + above), -wanted, side="right")) - 1
        threshold = below[k] / (wanted - above[k])
        if along is None:
            keep[members] = draws[members] < weights[members] / threshold
        else:
            members = members[np.argsort(along[members], kind="stable")]
            steps = np.cumsum(np.minimum(weights[members] / threshold, 1.0)) + draws[members[0]]
            keep[members] = np.diff(np.floor(steps), prepend=0.0) > 0
        new[members] = np.maximum(weights[members], threshold)
    return keep, new


def build(recipe: Recipe, detector: Detector, seed: int = 1, scale: float = 1.0) -> dict[str, Any]:
    """Generate, reconstruct and thin every process; the arrays of the template file. ``scale`` shrinks the statistics."""
    parts: list[dict[str, NDArray[Any]]] = []
    about: dict[str, Any] = {
        "processes": [p.name for p in recipe.processes],
        "seed": seed,
        "detector": detector.name,
        "lines": list(load_menu().names_of(detector.name)),
        "made": {},
    }
    rng = np.random.default_rng(make_key(seed, "thin", recipe.name))
    for index, background in enumerate(recipe.processes):
        total = int(recipe.events[background.name] * scale)
        chunks = max(1, round(total / recipe.chunk))
        made = [_chunk(recipe, background, total // chunks, c, detector, seed, 1.0 / chunks) for c in range(chunks)]
        part = {name: np.concatenate([c[name] for c in made]) for name in made[0]}
        keep, weights = thin(part["weights"], part["cell"], (recipe.per_other_cell, recipe.per_cell[background.name],
                                                                recipe.per_rare_cell), rng,
                             part["bits"] if recipe.even else None)  # fmt: skip
        parts.append(
            {
                **{name: part[name][keep] for name in ("tracks", "photons", "alternative") if name in part},
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
