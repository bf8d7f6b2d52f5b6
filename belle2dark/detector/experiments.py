"""One record per experiment: beams, acceptance, resolution and efficiency, every number from its YAML file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from belle2dark.simulation.beams import Beams, belle2_beams
from belle2dark.sourced import Numbers, load_numbers, nearest


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
    """Response of one experiment: its name, beams and sourced numbers."""

    name: str
    beams: Beams
    numbers: Numbers

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

    def vary(self, **changes: float) -> Detector:
        """The same detector with some numbers replaced, for systematic studies.

        Raises ``ValueError`` for a name this detector does not have or a number that is not finite.
        """
        entries = dict(self.numbers.entries)
        for name, value in changes.items():
            if name not in entries:
                raise ValueError(f"{self.name} has no number {name!r}; nearest: {nearest(name, entries)}")
            if not math.isfinite(value):
                raise ValueError(f"{name} = {value}: must be finite")
            entries[name] = replace(
                entries[name], value=float(value), source="choice", confidence="choice", note="varied by hand"
            )
        return replace(self, numbers=Numbers(self.numbers.name, entries, self.numbers.references))


BELLE2 = Detector(name="Belle II", beams=belle2_beams(), numbers=load_numbers("belle2"))
