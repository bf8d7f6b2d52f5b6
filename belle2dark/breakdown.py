"""A point as a channel of a combination, and what each systematic uncertainty costs its limit.

Where the limit comes from a fit, this is the count in the window.
"""

from __future__ import annotations

from dataclasses import replace

from belle2dark.answer import Point, scale_of
from belle2dark.limits.combination import Breakdown, breakdown
from belle2dark.limits.systematics import Channel, Systematic


def channel(answer: Point) -> Channel:
    """The point as a channel of a combination: counts by process, signal per fb, systematics and template errors.

    Raises ``ValueError`` for a closed point.
    """
    if answer.limit is None:
        raise ValueError(f"{answer.search.name}: no channel where there is no limit: {answer.reason}")
    simulated = Systematic(name="signal simulation", size=min(1.0, answer.efficiency_uncertainty / answer.efficiency))
    scale = scale_of(answer, answer.luminosity)
    return Channel(
        name=answer.search.name,
        background={p.name: p.fb * answer.luminosity for p in answer.processes},
        n=answer.counting.n_observed if answer.counting else None,
        signal=answer.efficiency * answer.luminosity,
        systematics=(*(replace(s, size=scale * s.size) for s in answer.search.systematics(answer.values)), simulated),
        template_error={p.name: scale * p.n_effective**-0.5 for p in answer.processes if p.n_effective > 0},
    )


def systematics_breakdown(answer: Point) -> Breakdown:
    """What each systematic uncertainty, and the finite simulation, cost the limit [fb] of this point; takes up to a second."""
    return breakdown(channel(answer), cl=answer.cl, method=answer.method)
