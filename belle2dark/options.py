"""What is typed after ``point`` and ``scan``: texts into checked values, before anything is simulated."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from belle2dark.scan import LimitCurve
    from belle2dark.search import Search


def parse_given(texts: Sequence[str] | None) -> dict[str, str]:
    """``name=value`` texts as a mapping; raises ``ValueError`` for one without "=" or a name given twice."""
    given: dict[str, str] = {}
    for text in texts or ():
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign and value):
            raise ValueError(f"-p {text!r}: expected name=value")
        if name in given:
            raise ValueError(f"-p {text!r}: {name} is given twice")
        given[name] = value
    return given


def parse_axes(texts: Sequence[str] | None) -> tuple[dict[str, tuple[Any, ...]], dict[str, Any]]:
    """Scan texts as (axes with several values, parameters with one); raises ``ValueError`` like :func:`parse_given`."""
    from belle2dark.scan import parse_axis

    parsed: dict[str, tuple[Any, ...]] = {}
    for text in texts or ():
        name, values = parse_axis(text)
        if name in parsed:
            raise ValueError(f"-p {text!r}: {name} is given twice")
        parsed[name] = values
    several = {name: values for name, values in parsed.items() if len(values) > 1}
    return several, {name: values[0] for name, values in parsed.items() if name not in several}


def with_quantity(search: Search, given: Mapping[str, Any], quantity: str | None) -> dict[str, Any]:
    """The parameters ``given`` with what the limit is to be quoted on, where the search has a choice."""
    return {**given, **({"quantity": quantity} if quantity in search.quantities else {})}


def analysis(
    search: Search,
    given: Mapping[str, Any],
    *,
    lines: str | None,
    cl: float | None,
    method: str | None,
    quantity: str | None,
    systematics: str,
    observed: str | None,
    signal_strength: float | None,
    seed: int,
    n_events: int,
    axes: Collection[str] = (),
    fine: bool = False,
) -> dict[str, Any]:
    """The options of ``point`` and ``scan`` checked and as :func:`belle2dark.point.point` takes them.

    ``axes`` are the parameters that a scan varies: one set of events cannot stand for several datasets or luminosities, nor
    pseudo-data for several signals. Raises ``ValueError`` for a value that is not allowed, naming what is.
    """
    from belle2dark.limits.counting import METHODS, check_method
    from belle2dark.scaling import check_systematics
    from belle2dark.trigger.menu import load_menu

    search.parse(given)
    check_method(method or METHODS[0], 0.9 if cl is None else cl)
    assumed = check_systematics(systematics)
    if quantity not in (None, search.quantity, *search.quantities):
        known = ", ".join(map(repr, search.quantities or (search.quantity,)))
        raise ValueError(f"quantity = {quantity!r}: {search.name} has only {known}")
    names = None if lines is None else load_menu().check(filter(None, (name.strip() for name in lines.split(","))))
    if signal_strength is not None and observed != "pseudo":
        raise ValueError(f"signal-strength = {signal_strength:g}: needs --observed pseudo")
    if signal_strength is not None and not (signal_strength >= 0 and math.isfinite(signal_strength)):
        raise ValueError(f"signal-strength = {signal_strength:g}: allowed: 0 or more")
    events: Any = None
    if observed is not None:
        fixed = {"dataset", "luminosity"} | ({p.name for p in search.parameters} if signal_strength else set())
        if varied := sorted(fixed & set(axes)):
            raise ValueError(f"observed events belong to one {varied[0]}: it cannot be an axis of the scan")
        from belle2dark.observed import pseudo_data, read_events
        from belle2dark.peak_fit import PeakFit

        here = search.at(search.parse(given))
        dataset = here.datasets[str(search.parse(given)["dataset"])]
        moving = sorted({*search.mass_names} & set(axes)) if isinstance(dataset.fit, PeakFit) else []
        if observed == "pseudo" and moving and (not fine or signal_strength):
            raise ValueError(f"pseudo-data of a search that fits a peak are made around one mass: {moving[0]} cannot be an axis; "
                             "use --fine (without --signal-strength)")  # fmt: skip
        if observed == "pseudo" and fine and not signal_strength:
            events = "pseudo"  # the scan draws its own, over all masses
        elif observed == "pseudo":
            events = pseudo_data(search, given, signal_strength or 0.0, seed=seed, lines=names, n_events=n_events)
        else:
            events = read_events(observed, here)
    return {"lines": names, "cl": cl, "method": method, "seed": seed, "n_events": n_events, "observed": events,
            "systematics": assumed}  # fmt: skip


def fine_scan(search: Search, axes: Mapping[str, Sequence[Any]], given: Mapping[str, Any],
              options: Mapping[str, Any]) -> LimitCurve:  # fmt: skip
    """A scan of all masses (or those of the only axis) by :func:`belle2dark.mass_scan.scan_masses`.

    Raises ``ValueError`` for an axis that is not the mass.
    """
    from belle2dark.mass_scan import scan_masses

    name, given, masses = search.mass_names[0], dict(given), axes.get(search.mass_names[0])
    if others := sorted(set(axes) - {name}):
        raise ValueError(f"--fine: {others[0]} has several values; only {name} can be an axis")
    if name in given:
        masses = (given.pop(name),)
    return scan_masses(search, given, masses, **{key: value for key, value in options.items() if value is not None})
