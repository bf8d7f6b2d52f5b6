"""One record per experiment: beams, geometry, resolution and efficiency, every number from its YAML file.

Belle II, Belle and BaBar differ in numbers only. :data:`KEYS` lists what the general response needs of every detector
and what it may be; a file may hold more (the L1 numbers of Belle II). Other beams: ``replace(BABAR,
beams=collider_beams("pep2", "3s"))``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from belle2dark.simulation.beams import Beams, collider_beams
from belle2dark.sourced import Numbers, Sourced, load_numbers, nearest

#: What a number may be: description and test of its values.
_KINDS = {
    "probability": ("between 0 and 1", lambda v: all(0.0 <= x <= 1.0 for x in v)),
    "size": ("not negative", lambda v: all(x >= 0.0 for x in v)),
    "positive": ("above 0", lambda v: all(x > 0.0 for x in v)),
    "range": ("increasing", lambda v: all(a <= b for a, b in pairwise(v))),
    "steps": ("strictly increasing", lambda v: all(a < b for a, b in pairwise(v))),
    "polar": ("increasing, between 0 and 180 deg", lambda v: 0.0 <= v[0] <= v[1] <= 180.0),
}

#: Numbers every detector has: name -> (kind, how many; 0 for any number).
KEYS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {**dict.fromkeys(("cdc_theta", "ecl_forward_theta", "ecl_barrel_theta", "ecl_backward_theta", "klm_theta", "klm_barrel_theta",
                      "cherenkov_barrel_theta", "cherenkov_endcap_theta"), ("polar", 2)),
     **dict.fromkeys(("tracking_efficiency", "muon_id_efficiency", "photon_veto_inefficiency", "photon_efficiency",
                      "photon_veto_edge_inefficiency", "crack_inefficiency", "klm_neutral_efficiency", "klm_photon_efficiency",
                      "electron_id_efficiency", "kaon_id_efficiency", "electron_id_efficiency_optimistic",
                      "muon_id_efficiency_optimistic", "kaon_id_efficiency_optimistic", "photon_tail_fraction"),
                     ("probability", 1)),
     **dict.fromkeys(("electron_id_fakes", "muon_id_fakes", "kaon_id_fakes", "electron_id_fakes_optimistic",
                      "muon_id_fakes_optimistic", "kaon_id_fakes_optimistic"), ("probability", 3)),
     **dict.fromkeys(("pt_resolution_slope", "pt_resolution_constant", "angle_resolution", "angle_scattering",
                      "impact_resolution_cdc", "photon_energy_stochastic", "photon_energy_power", "photon_energy_constant",
                      "photon_angle_constant", "photon_angle_stochastic", "photon_veto_threshold", "photon_veto_soft_energy",
                      "photon_veto_edge_width", "photon_veto_endcap_factor", "crack_width", "merge_angle", "muon_ecl_energy",
                      "ecl_interaction_lengths", "klm_interaction_lengths", "klm_photon_threshold",
                      "cherenkov_momentum", "kaon_id_best", "tracker_material", "photon_tail_slope",
                      "klm_sectors", "klm_sector_gap"), ("size", 1)),
     **dict.fromkeys(("impact_resolution", "impact_resolution_z", "crack_count", "conversion_width"), ("size", 2)),
     **dict.fromkeys(("magnetic_field", "cdc_layers", "track_impact_scale", "ecl_radius", "dedx_resolution",
                      "beam_pipe_radius", "conversion_mass"), ("positive", 1)),
     **dict.fromkeys(("tracking_turn_on", "muon_id_turn_on", "electron_id_turn_on", "photon_turn_on", "cdc_radius", "cdc_z",
                      "ecl_z", "track_layers_turn_on", "ks_veto_window"), ("steps", 2)),
     "silicon_radii": ("steps", 0)}
)  # fmt: skip


class Response(NamedTuple):
    """The numbers a response kernel needs, in radians and GeV; a tuple because numba takes it as it is."""

    cdc_cos_low: float
    cdc_cos_high: float
    klm_cos_low: float
    klm_cos_high: float
    pt_slope: float
    pt_constant: float
    angle: float
    tracking: float
    muon_id: float
    tracking_low: float
    tracking_high: float
    muon_id_low: float
    muon_id_high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detector:
    """Response of one experiment: its name, beams and sourced numbers.

    Raises ``ValueError`` if one of :data:`KEYS` is missing or is not what it may be.
    """

    name: str
    beams: Beams
    numbers: Numbers

    def __post_init__(self) -> None:
        for key in KEYS:
            if key not in self.numbers.entries:
                close = nearest(key, self.numbers.entries)
                raise ValueError(f"{self.name}: numbers of {self.numbers.name!r} lack {key!r}; nearest name there: {close}")
        for name, entry in self.numbers.entries.items():
            _check(self.name, name, entry)

    def number(self, name: str) -> float:
        """One number in its own unit."""
        return float(self.numbers[name])

    def cosines(self, name: str) -> tuple[float, float]:
        """Cosine range (low, high) of a polar-angle range given in degrees."""
        low, high = self.numbers[name].values
        return math.cos(math.radians(high)), math.cos(math.radians(low))

    def response(self) -> Response:
        """The kernel's view of this detector."""
        names = ("pt_resolution_slope", "pt_resolution_constant", "angle_resolution", "tracking_efficiency", "muon_id_efficiency")
        return Response(*self.cosines("cdc_theta"), *self.cosines("klm_theta"), *(self.number(name) for name in names),
                        *self.numbers["tracking_turn_on"].values, *self.numbers["muon_id_turn_on"].values)  # fmt: skip

    def calorimeter(self) -> tuple[float, ...]:
        """Cosine ranges of the ECL: backward, barrel, forward, low and high each (6 numbers)."""
        parts = (self.cosines(f"ecl_{part}_theta") for part in ("backward", "barrel", "forward"))
        return tuple(edge for part in parts for edge in part)

    def vary(self, **changes: float | Sequence[float]) -> Detector:
        """The same detector with some numbers (or short lists of numbers) replaced, for systematic studies.

        Raises ``ValueError`` for a name this detector does not have, a number that is not finite or out of its range, and
        a list of another length.
        """
        entries = dict(self.numbers.entries)
        for name, value in changes.items():
            if name not in entries:
                raise ValueError(f"{self.name} has no number {name!r}; nearest: {nearest(name, entries)}")
            new = tuple(float(x) for x in value) if isinstance(value, Sequence) else float(value)
            entries[name] = replace(entries[name], value=new, source="choice", confidence="choice", note="varied by hand")
            _check(self.name, name, entries[name], len(self.numbers[name].values))
        return replace(self, numbers=Numbers(self.numbers.name, entries, self.numbers.references))


def _check(detector: str, name: str, entry: Sourced, count: int = 0) -> None:
    """Raise ``ValueError`` if a number is not finite, out of the range of its kind or not as many as it should be."""
    if not all(math.isfinite(x) for x in entry.values):
        raise ValueError(f"{name} = {entry.value}: must be finite")
    kind, known = KEYS.get(name, ("", 0))
    wanted = count if name == "silicon_radii" else (known or count)
    if wanted and len(entry.values) != wanted:
        raise ValueError(f"{detector}: {name} = {entry.value}: {len(entry.values)} numbers, expected {wanted}")
    if kind and not _KINDS[kind][1](entry.values):
        raise ValueError(f"{detector}: {name} = {entry.value} {entry.unit}: must be {_KINDS[kind][0]}")


BELLE2 = Detector(name="Belle II", beams=collider_beams("superkekb"), numbers=load_numbers("belle2"))
BELLE = Detector(name="Belle", beams=collider_beams("kekb"), numbers=load_numbers("belle"))
BABAR = Detector(name="BaBar", beams=collider_beams("pep2"), numbers=load_numbers("babar"))
#: Belle at the Upsilon(2S), with the soft tracks that its dipions need
BELLE_2S = replace(BELLE, beams=collider_beams("kekb", "2s")).vary(tracking_turn_on=BELLE.numbers["soft_tracking_turn_on"].values)
