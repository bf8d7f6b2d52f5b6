"""Small neural networks as shipped arrays: loaded from ``data/network_<name>.npz``, evaluated with numpy, no framework.

A network, or rather one in each range of the recoil mass, turns columns of a final state into a score between 0 and 1; a
search cuts on it like on any other quantity, and templates keep more of the events that pass. :mod:`belle2dark.training`
makes the files. Not included: any training, and networks with anything but tanh layers and one logistic output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.experiments import Detector
from belle2dark.sourced import Numbers, data_file, load_numbers, nearest

Array = NDArray[np.float64]
#: layers as (weights (inputs, outputs), bias (outputs,))
Layers = tuple[tuple[Array, Array], ...]

#: forms of an input, written before the name of its column: of squared masses the signed root beyond 1 GeV^2, and what
#: happens below it, where resolution and not the particle's mass makes the sign
FORMS: Mapping[str, Callable[[Array], Array]] = {
    "": lambda x: x,
    "root:": lambda x: x / (1.0 + x * x) ** 0.25,
    "bounded:": lambda x: x / np.sqrt(1.0 + x * x),
}
#: events evaluated at a time: what stays in the cache
_CHUNK = 65536
#: the networks that are shipped
NETWORKS = ("zprime_invisible", "leptophilic_scalar", "ditau_resonance", "dimuon_resonance")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """Networks in ranges of a mass (``range_column``, or its square), between ``edges`` [GeV].

    ``ranges`` holds the layers of one network more than there are edges; all take the same ``inputs``, of which ``centre`` and
    ``spread`` ``(k,)`` are subtracted and divided out. ``about`` says how they were made. Raises ``ValueError`` if these do not
    fit together.
    """

    name: str
    inputs: tuple[str, ...]
    centre: Array
    spread: Array
    edges: tuple[float, ...]
    ranges: tuple[Layers, ...]
    about: Mapping[str, Any]

    def __post_init__(self) -> None:
        if len(self.ranges) != len(self.edges) + 1 or list(self.edges) != sorted(self.edges):
            raise ValueError(f"network {self.name}: {len(self.ranges)} ranges and edges {self.edges} GeV, which must increase")
        for layers in self.ranges:
            shapes, biases = [weights.shape for weights, _ in layers], [bias.shape for _, bias in layers]
            ends = [len(self.inputs), *(shape[1] for shape in shapes)]
            if [shape[0] for shape in shapes] != ends[:-1] or ends[-1] != 1 or biases != [(k,) for k in ends[1:]]:
                raise ValueError(f"network {self.name}: layers {shapes} do not take {len(self.inputs)} inputs to one score")
            if not all(np.isfinite(array).all() for pair in layers for array in pair):
                raise ValueError(f"network {self.name}: weights must be finite")
        if not (self.centre.shape == self.spread.shape == (len(self.inputs),) and (self.spread > 0).all()):
            raise ValueError(f"network {self.name}: centre and spread must be one number per input, spreads above 0")

    @property
    def range_column(self) -> str:
        """The column whose ranges have networks of their own: ``range_column`` of ``about``, or the squared recoil mass."""
        return str(self.about.get("range_column", "recoil_mass_squared"))

    def standardised(self, columns: Mapping[str, Array]) -> Array:
        """The inputs ``(n, k)`` as the first layer takes them. Raises ``ValueError`` if ``columns`` lack one."""
        x = np.empty((len(next(iter(columns.values()))), len(self.inputs)))
        for k, name in enumerate(self.inputs):
            form, colon, column = name.rpartition(":")
            if column not in columns:
                close = nearest(column, columns)
                raise ValueError(f"network {self.name}: column {column!r} is missing; nearest of what there is: {close}")
            x[:, k] = FORMS[form + colon](columns[column])
        return (x - self.centre) / self.spread

    def place(self, columns: Mapping[str, Array]) -> NDArray[np.intp]:
        """Which of the ranges each event belongs to, ``(n,)``."""
        column = self.range_column
        edges = np.square(self.edges) if column.endswith("_squared") else np.asarray(self.edges)
        return np.searchsorted(edges, columns[column], side="right")

    def score(self, columns: Mapping[str, Array]) -> Array:
        """Between 0 (background) and 1 (signal) for each event, ``(n,)``; selections keep scores above one half."""
        x, place = self.standardised(columns), self.place(columns)
        scores = np.empty(len(x))
        for k, layers in enumerate(self.ranges):
            events = np.flatnonzero(place == k)
            for first in range(0, len(events), _CHUNK):
                chosen = events[first : first + _CHUNK]
                scores[chosen] = evaluate(layers, x[chosen])
        return scores


def evaluate(layers: Layers, x: Array) -> Array:
    """Scores ``(n,)`` of standardised inputs ``(n, k)``: tanh layers and a logistic output."""
    for weights, bias in layers[:-1]:
        x = np.tanh(x @ weights + bias)
    weights, bias = layers[-1]
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * (x @ weights + bias)[:, 0]))


def lepton_pt(columns: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Whether both leptons are hard enough to be found and identified, ``(n,)``; number in ``network_zprime_invisible.yaml``."""
    return np.asarray(columns["pt_min_lab"] > float(_numbers()["pt_min_lab_min"]))


def recoil_pt(columns: Mapping[str, Array], detector: Detector) -> NDArray[np.bool_]:
    """Whether the recoil has transverse momentum enough for its mass, ``(n,)``; number as above."""
    share = 1.0 - np.clip(columns["recoil_mass_squared"], 0.0, None) / detector.beams.sqrt_s**2
    return np.asarray(columns["pt_mumu_cms"] > float(_numbers()["recoil_pt_min"]) * share)


def recoil_in_barrel(columns: Mapping[str, Array], detector: Detector) -> NDArray[np.bool_]:
    """Whether a light recoil points into the barrel of the calorimeter, ``(n,)``; heavy ones may go anywhere; number as above."""
    low, high = detector.cosines("ecl_barrel_theta")
    cosine, heavy = columns["recoil_cos_theta_lab"], columns["recoil_mass_squared"] > float(_numbers()["barrel_recoil_mass"]) ** 2
    return np.asarray(heavy | ((cosine > low) & (cosine < high)))


def preselected(columns: Mapping[str, Array], detector: Detector) -> NDArray[np.bool_]:
    """Events ``(n,)`` in front of the network of the invisible Z': the three cuts above."""
    return lepton_pt(columns) & recoil_pt(columns, detector) & recoil_in_barrel(columns, detector)


@cache
def _numbers() -> Numbers:
    return load_numbers("network_zprime_invisible")


@cache
def load_network(name: str) -> Network:
    """The shipped network of that name; ``ValueError`` names the nearest."""
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; nearest: {nearest(name, NETWORKS)}; known: {', '.join(NETWORKS)}")
    with as_file(data_file(f"network_{name}.npz")) as path, np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    about = json.loads(str(arrays["about"]))
    ranges = tuple(
        tuple((arrays[f"weights_{r}_{k}"], arrays[f"bias_{r}_{k}"]) for k in range(len(about["hidden"]) + 1))
        for r in range(len(about["edges"]) + 1)
    )
    return Network(name=name, inputs=tuple(about["inputs"]), centre=arrays["centre"], spread=arrays["spread"],
                   edges=tuple(about["edges"]), ranges=ranges, about=about)  # fmt: skip
