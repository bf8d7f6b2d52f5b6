"""The answer at one parameter point: efficiency, background, limit and couplings.

:func:`point` is the straight line of the package. Only masses simulate; the simulated sample of a point, and the
background that its window contains, are kept for the next call, so that couplings, luminosity, L1 lines, confidence
level and method answer in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import threads
from belle2dark.answer import N_EVENTS, SEED, Point
from belle2dark.limits.counting import Method, check_method
from belle2dark.point_limits import at_sample, couplings_at, with_limit
from belle2dark.scaling import Systematics, check_systematics
from belle2dark.search import Dataset, Search
from belle2dark.sourced import nearest
from belle2dark.trigger.menu import load_menu

__all__ = ["N_EVENTS", "SEED", "Point", "check_lines", "point"]

Array = NDArray[np.float64]
#: natural width over mass that counts as narrow where no resolution is simulated (a choice: half of a typical resolution)
NARROW = 0.0015
#: a share of the signal below which nothing is kept: limits on couplings are still finite
LEAST_KEPT = 1e-30


def point(
    search: Search,
    given: Mapping[str, Any] | None = None,
    /,
    *,
    lines: Sequence[str] | None = None,
    cl: float | None = None,
    method: Method | None = None,
    seed: int = SEED,
    n_events: int = N_EVENTS,
    observed: tuple[Array, Array] | None = None,
    systematics: Systematics = "constant",
) -> Point:
    """Evaluate ``search`` at the parameters ``given`` (the others at their defaults).

    ``lines`` are the L1 lines in use, ``cl`` and ``method`` those of the limit (default: the dataset's); ``observed`` are
    the events of a real or pseudo dataset as two arrays, the window's variables, already selected; ``systematics`` says how
    uncertainties go with luminosity (:func:`scaling`). Raises ``ValueError`` for bad names, values, lines, methods or
    confidence levels.
    """
    values = search.parse(given or {})
    closed = search.closed(values, search.datasets[str(values["dataset"])])
    search = search.at(values)
    dataset = search.datasets[str(values["dataset"])]
    used = load_menu().check(dataset.lines if lines is None else lines)
    check_lines(used, dataset)
    cl, method = search.cl_at(values) if cl is None else cl, method or dataset.method
    check_method(method, cl)
    check_served(method, dataset)
    check_systematics(systematics)
    if n_events < 1000:
        raise ValueError(f"n_events = {n_events}: allowed: 1000 or more")
    answer = Point(
        search=search,
        dataset=dataset,
        values=values,
        seed=seed,
        lines=used,
        cl=cl,
        method=method,
        systematics=systematics,
        n_events=n_events,
        cross_section_fb=0.0 if closed else search.cross_section(values, dataset),
        branching_fraction=search.branching_fraction(values),
        width_gev=search.width(values),
        calibration=search.calibration(values, dataset),
        kept=1.0 if closed else max(search.kept(values, dataset), LEAST_KEPT),
        narrow_width=search.width(values) < NARROW * float(values[search.mass_names[0]]),
        limited_by="kinematics" if closed else "trigger",
        reason=closed or ("" if used else "no L1 line is switched on"),
    )
    if answer.reason:
        return answer
    with threads(1):  # a point is milliseconds of work: waking other threads costs more, and scans run one per process
        answer = with_limit(at_sample(answer, search.sample_of(values)), observed)
        return replace(answer, couplings=couplings_at(answer))


def check_lines(lines: Sequence[str], dataset: Dataset) -> None:
    """Raise ``ValueError`` for an L1 line that the dataset's experiment does not have."""
    experiment = dataset.detector.name
    own = load_menu().names_of(experiment)
    if foreign := [name for name in lines if name not in own]:
        raise ValueError(f"L1 line {foreign[0]!r}: {experiment} (dataset {dataset.name}) has no such line; nearest: "
                         f"{nearest(foreign[0], own)}")  # fmt: skip


def check_served(method: Method, dataset: Dataset) -> None:
    """Raise ``ValueError`` for a method that the dataset's fit does not serve, unless a count means something there."""
    fit = dataset.fit
    if fit is not None and method not in fit.methods and not fit.counts:
        raise ValueError(f"method = {method!r}: the fit of dataset {dataset.name} serves {', '.join(fit.methods)}; a count "
                         "in the window needs a background that is predicted, and here it floats in the fit")  # fmt: skip
