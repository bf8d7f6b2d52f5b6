"""Events as arrays: what every generator returns and what the detector and the L1 trigger take.

A particle has a slot, named after its kind: ``mu-``, or ``mu-_1``, ``mu-_2`` if there are several. Where the kind differs
from event to event (the prongs of a tau), the slot has a neutral name like ``prong_1`` and ``species`` says what it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from belle2dark.sourced import nearest

Array = NDArray[np.float64]
Codes = NDArray[np.int32]

#: PDG codes by slot name (without ``_1``, ``_2``); 0 is a new particle that no detector sees.
PDG = MappingProxyType(
    {"e-": 11, "e+": -11, "mu-": 13, "mu+": -13, "tau-": 15, "tau+": -15, "nu": 12, "gamma": 22, "x": 0,
     "pi+": 211, "pi-": -211, "pi0": 111, "K+": 321, "K-": -321, "K_S0": 310, "K_L0": 130,
     "p": 2212, "pbar": -2212, "n": 2112, "nbar": -2112}
)  # fmt: skip
#: the slot of what is there and not simulated: the other B of a pair
REST = "x_2"


class Particles(NamedTuple):
    """All slots side by side: momenta (n, k, 4) in the lab [GeV], PDG codes (n, k), production points (n, k, 3) [cm].

    An empty slot (the event has no such particle) has zero momentum.
    """

    momenta_lab: Array
    pdg: Codes
    vertices_cm: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """n events: true four-momenta in the lab by particle name, and weights.

    ``momenta_lab[name]`` is ``(n, 4)`` as (E, px, py, pz) [GeV], z along the detector axis; a particle that an event
    does not have is four zeros (``gamma_1``, ``gamma_2``, ... are filled from the front). ``weights`` is ``(n,)``: the
    cross-section each event stands for [fb], so their sum is the cross-section of the sample; ``vertices_cm[name]``
    ``(n, 3)`` are production points of particles that start away from the origin; ``species[name]`` ``(n,)`` are PDG
    codes of slots whose kind varies. ``flights[name]`` ``(n, 2)``, for long-lived particles whose decays serve any lifetime:
    proper length [cm] and the density [1/cm] it was drawn with (:func:`belle2dark.simulation.decays.chain.fly_broadly`).
    Raises ``ValueError`` for wrong shapes and for a slot whose kind is not known.
    """

    momenta_lab: Mapping[str, Array]
    weights: Array
    vertices_cm: Mapping[str, Array] = field(default_factory=dict)
    species: Mapping[str, Codes] = field(default_factory=dict)
    flights: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.weights)
        for name, momenta in self.momenta_lab.items():
            if momenta.shape != (n, 4):
                raise ValueError(f"momenta_lab[{name!r}] has shape {momenta.shape}, expected ({n}, 4)")
            if name not in self.species and _kind(name) not in PDG:
                raise ValueError(f"slot {name!r}: no such particle; nearest: {nearest(_kind(name), PDG)}; or give its species")
        for what, table, shape in (("vertices_cm", self.vertices_cm, (n, 3)), ("species", self.species, (n,))):
            for name, values in table.items():
                if name not in self.momenta_lab:
                    raise ValueError(f"{what}[{name!r}]: no such slot; nearest: {nearest(name, self.momenta_lab)}")
                if values.shape != shape:
                    raise ValueError(f"{what}[{name!r}] has shape {values.shape}, expected {shape}")
        for name, values in self.flights.items():
            if values.shape != (n, 2):
                raise ValueError(f"flights[{name!r}] has shape {values.shape}, expected ({n}, 2)")

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def photons(self) -> tuple[str, ...]:
        """Names of the photon slots."""
        return tuple(name for name in self.momenta_lab if _kind(name) == "gamma")

    def pdg(self, name: str) -> Codes:
        """PDG code of a slot in every event, ``(n,)``."""
        if name in self.species:
            return self.species[name]
        return np.full(len(self), PDG[_kind(name)], dtype=np.int32)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Events:
        """The events that a mask ``(n,)`` or a list of indices picks."""
        return Events(
            momenta_lab={name: p[keep] for name, p in self.momenta_lab.items()},
            weights=self.weights[keep],
            vertices_cm={name: v[keep] for name, v in self.vertices_cm.items()},
            species={name: code[keep] for name, code in self.species.items()},
            flights={name: flight[keep] for name, flight in self.flights.items()},
        )

    @property
    def visible(self) -> tuple[str, ...]:
        """Names of the slots that a detector may see, in the order of ``momenta_lab``: no neutrinos, no new particles."""
        return tuple(name for name in self.momenta_lab if name in self.species or PDG[_kind(name)] not in (0, 12))

    def particles(self) -> Particles:
        """The slots of :attr:`visible` side by side; raises ``ValueError`` for a momentum or point that is not finite."""
        names = self.visible
        n, k = len(self), len(names)
        found = Particles(np.empty((n, k, 4)), np.empty((n, k), dtype=np.int32), np.zeros((n, k, 3)))
        for column, name in enumerate(names):
            found.momenta_lab[:, column] = self.momenta_lab[name]
            found.pdg[:, column] = self.species[name] if name in self.species else PDG[_kind(name)]
            if name in self.vertices_cm:
                found.vertices_cm[:, column] = self.vertices_cm[name]
        if not math.isfinite(found.momenta_lab.sum() + found.vertices_cm.sum()):
            self._name_what_is_not_finite(found)
        return found

    def _name_what_is_not_finite(self, found: Particles) -> None:
        for column, name in enumerate(self.visible):
            for values, unit in ((found.momenta_lab[:, column], "GeV"), (found.vertices_cm[:, column], "cm")):
                wrong = ~np.isfinite(values).all(axis=1)
                if wrong.any():
                    raise ValueError(f"slot {name!r}: {values[wrong][0]} {unit} in event {wrong.argmax()}: must be finite")


def _kind(name: str) -> str:
    """The particle of a slot: its name without the number."""
    head, _, tail = name.rpartition("_")
    return head if head and tail.isdigit() else name
