"""Events as arrays: what every generator returns and every detector takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """n events: true four-momenta in the lab by particle name, and weights.

    ``momenta_lab[name]`` is ``(n, 4)`` as (E, px, py, pz) [GeV], z along the detector axis; a particle that an event
    does not have is four zeros (``gamma_1``, ``gamma_2``, ... are filled from the front). ``weights`` is ``(n,)``: the
    cross-section each event stands for [fb], so their sum is the cross-section of the sample; ``vertices_cm[name]``
    ``(n, 3)`` are production points of particles that start away from the origin.
    """

    momenta_lab: Mapping[str, Array]
    weights: Array
    vertices_cm: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.weights)
        for name, momenta in self.momenta_lab.items():
            if momenta.shape != (n, 4):
                raise ValueError(f"momenta_lab[{name!r}] has shape {momenta.shape}, expected ({n}, 4)")

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def photons(self) -> tuple[str, ...]:
        """Names of the photon slots."""
        return tuple(name for name in self.momenta_lab if name.startswith("gamma"))
