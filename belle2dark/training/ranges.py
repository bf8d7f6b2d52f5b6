"""Train small networks that tell a signal from backgrounds in ranges of one column, and write them as shipped arrays.

Cross-entropy with signal and background balanced in narrow strata of that column, so that the network learns what an event
looks like and not where it lies. The output is shifted so that a score of one half is the working point asked for: the
share of the background of each range that is rejected. Everything is seeded.
:mod:`belle2dark.training.zprime_invisible` goes on from there to Punzi's figure of merit for the invisible Z'.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from belle2dark.classifier import Layers, Network, evaluate
from belle2dark.training.losses import cross_entropy, first_guess, unpack

Array = NDArray[np.float64]
#: decay of weights: keeps the scores smooth where few events decide
DECAY = 1e-5
#: strata of the range column that are balanced, in each range
STRATA = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Events: ``columns`` (each ``(n,)``) and ``weights`` ``(n,)`` [fb, or efficiency for a signal]."""

    columns: Mapping[str, NDArray[Any]]
    weights: Array

    def select(self, keep: NDArray[np.bool_], weights: Array | None = None) -> Sample:
        """Those events, with new weights if given."""
        new = self.weights if weights is None else weights
        return Sample(columns={name: x[keep] for name, x in self.columns.items()}, weights=new[keep])


def joined(samples: list[Sample]) -> Sample:
    """All events of several samples, in order."""
    columns = {name: np.concatenate([s.columns[name] for s in samples]) for name in samples[0].columns}
    return Sample(columns=columns, weights=np.concatenate([s.weights for s in samples]))


def train_ranges(name: str, inputs: tuple[str, ...], edges: tuple[float, ...], range_column: str, signal: Sample, noise: Sample,
                 *, hidden: tuple[int, ...], steps: int, seed: int, rejection: float | tuple[float, ...] | None = None,
                 margin: float = 0.0, about: Mapping[str, Any] | None = None) -> Network:  # fmt: skip
    """A network of ``hidden`` tanh layers in each range of ``range_column`` between ``edges`` [GeV], trained in ``steps``.

    ``rejection`` is the share of the background weight of each range that fails a score of one half, one number or one per
    range (None: as trained); events up to ``margin`` [GeV] outside a range are in its training too. Raises ``ValueError``
    for a range without signal or background.
    """
    sizes = (len(inputs), *hidden, 1)
    settings = {"inputs": inputs, "edges": edges, "hidden": hidden, "range_column": range_column, "seed": seed, **(about or {})}
    blank = Network(name=name, inputs=inputs, centre=np.zeros(len(inputs)), spread=np.ones(len(inputs)), edges=edges,
                    ranges=(unpack(first_guess(sizes, seed), sizes),) * (len(edges) + 1), about=settings)  # fmt: skip
    raw = blank.standardised(signal.columns)
    blank = replace(blank, centre=raw.mean(axis=0), spread=np.maximum(raw.std(axis=0), 1e-9))
    values = [_mass(sample.columns[range_column], range_column) for sample in (signal, noise)]
    rejections = rejection if isinstance(rejection, tuple) else (rejection,) * (len(edges) + 1)
    ranges = []
    for k, (low, high) in enumerate(pairwise((-math.inf, *edges, math.inf))):
        parts = [s.select((x > low - margin) & (x <= high + margin)) for s, x in zip((signal, noise), values, strict=True)]
        if not all(part.weights.sum() > 0 for part in parts):
            raise ValueError(f"network {name}: no signal or no background for {low:g} < {range_column} < {high:g} GeV")
        layers = _train(blank, parts[0], parts[1], sizes, steps, seed)
        if (wanted := rejections[k]) is not None:
            inside = noise.select((values[1] > low) & (values[1] <= high))
            layers = shifted(layers, evaluate(layers, blank.standardised(inside.columns)), inside.weights, wanted)
        ranges.append(layers)
    return replace(blank, ranges=tuple(ranges))


def _mass(x: Array, column: str) -> Array:
    """A mass [GeV] from a column that is one or its square."""
    return np.asarray(np.sign(x) * np.sqrt(np.abs(x)) if column.endswith("_squared") else x)


def _train(network: Network, signal: Sample, noise: Sample, sizes: tuple[int, ...], steps: int, seed: int) -> Layers:
    """The layers of one range."""
    x = np.concatenate([network.standardised(s.columns) for s in (signal, noise)]).astype(np.float32)
    weights = _balanced(network.range_column, signal, noise)
    target = np.repeat([1.0, 0.0], [len(signal.weights), len(noise.weights)])

    def loss(theta: Array) -> tuple[float, Array]:
        return cross_entropy(theta, sizes, x, target, weights, DECAY)

    found = minimize(loss, first_guess(sizes, seed), jac=True, method="L-BFGS-B",
                     options={"maxiter": steps, "maxcor": 20, "ftol": 0.0})  # fmt: skip
    return unpack(np.asarray(found.x), sizes)


def _balanced(column: str, signal: Sample, noise: Sample) -> Array:
    """Weights of all events, signal first, adding up to 1: signal and background count the same in every stratum."""
    values = [_mass(s.columns[column], column) for s in (signal, noise)]
    edges = np.quantile(values[0], np.linspace(0.0, 1.0, STRATA + 1)[1:-1])
    places: list[NDArray[np.intp]] = [np.searchsorted(edges, x) for x in values]
    totals = [np.bincount(place, s.weights, STRATA) for place, s in zip(places, (signal, noise), strict=True)]
    usable = (totals[0] > 0) & (totals[1] > 0)
    weights = []
    for k, sample in enumerate((signal, noise)):
        share = np.divide(usable, totals[k], out=np.zeros(STRATA), where=totals[k] > 0)
        weights.append(sample.weights * share[places[k]])
    w = np.concatenate(weights)
    return np.asarray(w / w.sum())


def shifted(layers: Layers, scores: Array, weights: Array, rejection: float) -> Layers:
    """The layers with their output moved so that a share ``rejection`` of the ``weights`` of ``scores`` falls below one half."""
    order = np.argsort(scores)
    running = np.cumsum(weights[order]) / weights.sum()
    place = min(int(np.searchsorted(running, rejection)), len(order) - 1)
    cut = float(np.clip(scores[order[place]], 1e-12, 1.0 - 1e-12))
    last, bias = layers[-1]
    return (*layers[:-1], (last, bias - math.log(cut / (1.0 - cut))))


def write_network(network: Network, folder: Path) -> Path:
    """Write the arrays of a network as ``network_<name>.npz``, whole or not at all."""
    about = {"inputs": network.inputs, "edges": network.edges} | dict(network.about)
    arrays: dict[str, Any] = {"centre": network.centre, "spread": network.spread, "about": np.array(json.dumps(about))}
    for r, layers in enumerate(network.ranges):
        for k, (weights, bias) in enumerate(layers):
            arrays |= {f"weights_{r}_{k}": weights, f"bias_{r}_{k}": bias}
    target, temporary = folder / f"network_{network.name}.npz", folder / f".network_{network.name}.npz"
    np.savez_compressed(temporary, **arrays)
    os.replace(temporary, target)
    return target
