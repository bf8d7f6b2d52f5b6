"""The JSON form of a point, by ``data/point.schema.json``: the contract that command line, notebooks and users share."""

from __future__ import annotations

import math
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from belle2dark.point import Point

SCHEMA_VERSION = 1


def package_version() -> str:
    """Version of the installed package."""
    try:
        return version("belle2dark")
    except PackageNotFoundError:
        return "0+unknown"


def point_to_json(point: Point) -> dict[str, Any]:
    """Plain data of a point; raises ``ValueError`` if any number in it is not finite."""
    search, counting = point.search, point.counting
    variable = search.window.x
    unit, sigma = point.resolution.get(variable, ("GeV", 0.0))
    out = {
        "schema_version": SCHEMA_VERSION,
        "search": search.name,
        "version": package_version(),
        "seed": point.seed,
        "dataset": point.dataset.name,
        "experiment": point.dataset.detector.name,
        "model": search.model,
        "parameters": dict(point.values),
        "lines": list(point.lines),
        "cl": point.cl,
        "method": point.method,
        "systematics": point.systematics,
        "signal": {
            "cross_section_fb": point.cross_section_fb,
            "branching_fraction": point.branching_fraction,
            "acceptance": point.acceptance,
            "trigger_efficiency": point.trigger_efficiency,
            "selection_efficiency": point.selection_efficiency,
            "efficiency": point.efficiency,
            "efficiency_uncertainty": point.efficiency_uncertainty,
            "resolution": {"variable": variable, "unit": unit, "sigma": sigma},
            "width_gev": point.width_gev,
            "narrow_width": point.narrow_width,
        },
        "background": {
            "total": point.background_events,
            "uncertainty": counting.background_uncertainty * point.background_events if counting else 0.0,
            "processes": {p.name: {"expected": p.fb * point.luminosity, "n_effective": p.n_effective} for p in point.processes},
        },
        "limit": None
        if point.limit is None
        else {"quantity": point.quantity, "unit": point.unit, "expected": list(point.limit), "observed": point.observed},
        "couplings": [
            {
                "name": c.name,
                "unit": c.unit,
                "expected": [None if math.isnan(x) else x for x in c.expected],
                "observed": c.observed,
                "excluded": [list(interval) for interval in c.excluded],
            }
            for c in point.couplings
        ],
        "figures_of_merit": {} if point.punzi_fb is None else {"punzi_sigma_min_fb": point.punzi_fb},
        "limited_by": point.limited_by,
        "reason": point.reason,
        "approximations": list(search.approximations),
    }
    _check_finite(out, search.name)
    return out


def _check_finite(value: Any, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} = {value}: results must be finite numbers")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        _check_finite(item, f"{path}.{key}")
