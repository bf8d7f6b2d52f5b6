"""Limits on a regular grid of two masses: for maps and slices, in seconds.

Use it to look; :func:`belle2dark.plane.plane` has every mass window of a search, as an analysis scans them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from belle2dark.point import SEED
from belle2dark.scan import LimitCurve, scan
from belle2dark.search import Search

#: distance of neighbours [GeV]
STEP = 0.3


def mass_grid(search: Search, given: Mapping[str, Any] | None = None, /, *, step: float | tuple[float, float] = STEP,
              n_events: int = 8000, seed: int = SEED) -> LimitCurve:  # fmt: skip
    """Limits at the centres of cells over all masses of a search, the rest as ``given``.

    ``step`` [GeV] is the side of the cells, or one per mass.

    Points where the search is closed have empty limits. Raises ``ValueError`` unless the search has two masses and the
    step lies between 0.1 and 2 GeV.
    """
    if len(search.mass_names) != 2:
        raise ValueError(f"{search.name} has {len(search.mass_names)} mass parameters; a grid needs two")
    steps = dict(zip(search.mass_names, np.broadcast_to(step, 2).tolist(), strict=True))
    for side in steps.values():
        if not 0.1 <= side <= 2.0:
            raise ValueError(f"step = {side:g} GeV: allowed: 0.1 to 2")
    ranges = [(p.name, p.low, p.high) for p in search.parameters if p.name in search.mass_names]
    axes = {name: [float(x) for x in np.arange(0.5 * steps[name], high, steps[name]) if x >= low] for name, low, high in ranges}
    return scan(search, axes, given, n_events=n_events, seed=seed)
