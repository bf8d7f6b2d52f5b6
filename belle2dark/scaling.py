"""How systematic uncertainties go with luminosity."""

from __future__ import annotations

from typing import Literal, get_args

from belle2dark.sourced import nearest

#: how systematic uncertainties go with luminosity, and what share of today's is left where they stop to shrink (a choice)
Systematics = Literal["constant", "improving", "floor"]
SYSTEMATICS: tuple[Systematics, ...] = get_args(Systematics)
FLOOR = 1 / 3


def check_systematics(name: str) -> Systematics:
    """The assumption of that name; ``ValueError`` names the nearest."""
    for known in SYSTEMATICS:
        if name == known:
            return known
    raise ValueError(f"systematics = {name!r}; nearest: {nearest(name, SYSTEMATICS)}; allowed: {' | '.join(SYSTEMATICS)}")


def scaling(systematics: Systematics, luminosity: float, published: float) -> float:
    """Factor on today's systematic uncertainties at ``luminosity``, ``published`` being that of their dataset [fb-1].

    ``constant``: 1; ``improving``: they shrink like statistics, 1/sqrt(L); ``floor``: the same, but not below FLOOR.
    """
    shrunk = min(1.0, (published / luminosity) ** 0.5)
    return {"constant": 1.0, "improving": shrunk, "floor": max(shrunk, FLOOR)}[systematics]
