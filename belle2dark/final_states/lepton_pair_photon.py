"""Final state "two electrons or two muons, a photon and nothing else": both channels of gamma A', A' -> l+ l-, as one sample.

It has no template of its own: signals and backgrounds are those of "dielectron_photon" and "dimuon_photon", side by side, and
``is_muon`` says which one an event is. The same A' peaks at the same place of both in ``m_pair``.

Not included: events seen in both channels at once (a lepton of each kind, or one that passes as both).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.experiments import Detector
from belle2dark.detector.response import Reconstruction
from belle2dark.final_states.dilepton_photon import DIELECTRON_PHOTON, DIMUON_PHOTON
from belle2dark.final_states.record import FinalState
from belle2dark.simulation.events import Array, Events

#: the channels, in the order of ``is_muon``
CHANNELS = (DIELECTRON_PHOTON, DIMUON_PHOTON)
#: edges in ``is_muon`` of the channels
ROWS = (-0.5, 0.5, 1.5)
#: slots that only one of the channels has
_SLOTS = (("e-", "e+"), ("mu-", "mu+"))
Columns = dict[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Union:
    """A final state made of others: ``state`` is its record, ``columns(columns, channel)`` are those of an event of a channel."""

    state: FinalState
    channels: tuple[FinalState, ...]
    columns: Callable[[Mapping[str, Array], int], Columns]


def _columns(found: Mapping[str, Array], channel: int) -> Columns:
    """Common columns of events of one channel."""
    common = {name: found[name] for name in MEANINGS if name != "is_muon"}
    return common | {"is_muon": np.full(len(found["m_pair"]), float(channel))}


#: what both channels have
MEANINGS = {name: meaning for name, meaning in DIMUON_PHOTON.meanings.items() if name in DIELECTRON_PHOTON.meanings} | {
    "is_muon": (r"\ell = \mu", "")
}


def reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    """The events as one channel or the other, each by the leptons that it has; one row per event, in order."""
    n = len(events)
    muons = events.momenta_lab["mu-"][:, 0] > 0.0 if "mu-" in events.momenta_lab else np.zeros(n, dtype=bool)
    parts = []
    for channel, (state, use) in enumerate(zip(CHANNELS, (~muons, muons), strict=True)):
        where = np.flatnonzero(use)
        if len(where):
            reco = state.reconstruct(_without(events.select(where), _SLOTS[1 - channel]), detector, key)
            parts.append((where, replace(reco, columns=_columns(reco.columns, channel))))
    names = parts[0][1].factors
    return Reconstruction(
        tracks_lab=_together([(where, reco.tracks_lab) for where, reco in parts], n),
        weights=events.weights,
        factors={name: _together([(where, reco.factors[name]) for where, reco in parts], n) for name in names},
        columns={name: _together([(where, reco.columns[name]) for where, reco in parts], n) for name in MEANINGS},
        clusters_lab=_together([(where, reco.clusters_lab) for where, reco in parts], n),
    )


def _without(events: Events, slots: tuple[str, ...]) -> Events:
    return Events(momenta_lab={name: p for name, p in events.momenta_lab.items() if name not in slots}, weights=events.weights,
                  vertices_cm={name: v for name, v in events.vertices_cm.items() if name not in slots})  # fmt: skip


def _together(parts: list[tuple[NDArray[np.intp], Array]], n: int) -> Array:
    """Arrays of events at the places given, as one of ``n`` events."""
    out = np.zeros((n, *parts[0][1].shape[1:]))
    for where, values in parts:
        out[where] = values
    return out


STATE = FinalState(
    name="lepton_pair_photon", title="two electrons or two muons, a photon and nothing else", wanted=DIMUON_PHOTON.wanted,
    columns=DIMUON_PHOTON.columns, meanings=MEANINGS, loose=DIMUON_PHOTON.loose, axes=DIMUON_PHOTON.axes,
    dense=DIMUON_PHOTON.dense, fast=reconstruct,
)  # fmt: skip
#: final states that are made of others, by name
UNIONS: Mapping[str, Union] = MappingProxyType({STATE.name: Union(state=STATE, channels=CHANNELS, columns=_columns)})
