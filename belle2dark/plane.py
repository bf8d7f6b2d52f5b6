"""The whole plane of mass windows at once: thousands of overlapping ellipses, counted in one pass.

For a search whose signal peaks in two masses. Width, tilt and efficiency are simulated at the nodes of a coarse grid and
interpolated; background and observed events are sorted into cells once and counted in all windows. Use
:func:`windows` for the list of hypotheses, :func:`plane` for limits and p-values in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from belle2dark._jit import threads
from belle2dark.contract import package_version
from belle2dark.limits.bands import expected_upper_limits
from belle2dark.limits.counting import Method, upper_limits
from belle2dark.limits.discovery import p_value
from belle2dark.limits.windows import CellIndex, Ellipses
from belle2dark.point import SEED
from belle2dark.sample import choices_of, summarise, window_background
from belle2dark.scan import BAND, LimitCurve
from belle2dark.search import Dataset, Search
from belle2dark.trigger.menu import load_menu

Array = NDArray[np.float64]

#: neighbouring windows are this many widths apart, so that there are about as many as the published 9,011
STEP = 2.95
#: least energy above threshold [GeV] and number of nodes from there, in its logarithm, to a massless second particle
_CLOSEST, _NODES = 0.03, 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """m mass hypotheses: ``masses`` (m, 2) [GeV] and the signal ``efficiency`` (m,).

    ``ellipses`` are what they are counted in, ``covariances`` (m, 2, 2) the resolutions behind these.
    """

    masses: Array
    covariances: Array
    ellipses: Ellipses
    efficiency: Array

    def __len__(self) -> int:
        return len(self.masses)


def _nodes(
    search: Search,
    dataset: Dataset,
    given: Mapping[str, Any],
    lines: tuple[str, ...],
    seed: int,
    n_events: int,
    low: float,
    high: float,
) -> tuple[Array, Array]:
    """Mass nodes (k,) and, at each of them and each energy above threshold, the simulated quantities (k, _NODES, 4).

    Nodes also lie where the second mass is the larger one: there is no search there, but the interpolation needs them.
    """
    root = dataset.detector.beams.sqrt_s
    m_nodes = np.linspace(low, high, max(4, round((high - low) / 0.4) + 1))
    values = np.empty((len(m_nodes), _NODES, 4))
    with threads(1):
        for i, m in enumerate(m_nodes):
            for j, above in enumerate(np.geomspace(root - m, _CLOSEST, _NODES)):
                here = {**given, search.mass_names[0]: float(m), search.mass_names[1]: float(root - m - above)}
                answer = summarise(search, dataset, search.sample_of(here), n_events, seed, lines)
                c = answer.simulated.covariance
                tilt = c[0, 1] / np.sqrt(c[0, 0] * c[1, 1])
                values[i, j] = 0.5 * np.log(c[0, 0]), 0.5 * np.log(c[1, 1]), np.arctanh(tilt), answer.parts.efficiency
    return m_nodes, values


def windows(
    search: Search,
    given: Mapping[str, Any] | None = None,
    /,
    *,
    low: float = 1.65,
    high: float = 10.51,
    lines: Sequence[str] | None = None,
    seed: int = SEED,
    n_events: int = 8000,
    step: float = STEP,
) -> Windows:
    """All mass hypotheses with the first mass between ``low`` and ``high`` [GeV] and the second below the first.

    Neighbours are ``step`` widths apart. Raises ``ValueError`` for a search with fewer than two masses.
    """
    if len(search.mass_names) != 2:
        raise ValueError(f"{search.name} has {len(search.mass_names)} mass parameters; a plane needs two")
    given = search.parse(given or {})
    dataset = search.datasets[str(given["dataset"])]
    root = dataset.detector.beams.sqrt_s
    used = load_menu().check(dataset.lines if lines is None else lines)
    m_nodes, values = _nodes(search, dataset, given, used, seed, n_events, low, min(high, root - 0.05))
    look_up = RegularGridInterpolator((m_nodes, np.linspace(0, 1, _NODES)), values, bounds_error=False, fill_value=None)
    masses, shapes = [], []
    m = low
    while m <= m_nodes[-1]:
        top = min(m, root - m - _CLOSEST) ** 2
        recoil, column = 0.0, []
        while recoil < top:
            above = np.log((root - m) / (root - m - np.sqrt(recoil))) / np.log((root - m) / _CLOSEST)
            shape = look_up([[m, above]])[0]
            column.append(shape)
            masses.append((m, np.sqrt(recoil)))
            shapes.append(shape)
            recoil += step * np.exp(shape[1]) / np.cosh(shape[2])  # width at fixed first mass: sigma sqrt(1 - tilt^2)
        m += step * float(np.exp(np.median([s[0] for s in column])))
    shape = np.array(shapes)
    s1, s2, tilt = np.exp(shape[:, 0]), np.exp(shape[:, 1]), np.tanh(shape[:, 2])
    covariance = np.stack([np.stack([s1**2, tilt * s1 * s2], -1), np.stack([tilt * s1 * s2, s2**2], -1)], -2)
    where = np.array(masses)
    centres = np.stack([where[:, 0], where[:, 1] ** 2], -1)
    return Windows(
        masses=where,
        covariances=covariance,
        ellipses=Ellipses.from_covariance(centres, covariance, search.window.n_sigma),
        efficiency=np.clip(shape[:, 3], 0, 1),
    )


def plane(
    search: Search,
    given: Mapping[str, Any] | None = None,
    /,
    *,
    observed: tuple[Array, Array] | None = None,
    lines: Sequence[str] | None = None,
    cl: float | None = None,
    method: Method | None = None,
    seed: int = SEED,
    where: Windows | None = None,
) -> LimitCurve:
    """Limits and local p-values in every window of the plane, as a :class:`belle2dark.scan.LimitCurve`.

    ``observed`` are the events of a dataset as the window's two variables; ``where`` the windows (default: all of them).
    """
    import pandas as pd

    values = search.parse(given or {})
    dataset = search.datasets[str(values["dataset"])]
    cl, method = dataset.cl if cl is None else cl, method or dataset.method
    where = where or windows(search, given, lines=lines, seed=seed)
    used = load_menu().check(dataset.lines if lines is None else lines)
    fb, effective = window_background(
        search, dataset, choices_of(search, values), used, where.ellipses.centres, where.covariances
    )
    variance = np.divide(fb**2, effective, out=np.zeros_like(fb), where=effective > 0).sum(axis=0)
    fb = fb.sum(axis=0)
    luminosity = float(values["luminosity"])
    relative = np.divide(np.sqrt(variance), fb, out=np.zeros_like(fb), where=fb > 0)
    background = luminosity * fb
    first, second = search.mass_names
    frame = pd.DataFrame(
        {
            first: where.masses[:, 0],
            second: where.masses[:, 1],
            "luminosity": luminosity,
            "efficiency": where.efficiency,
            "background": background,
            "n_effective": np.divide(1.0, relative**2, out=np.zeros_like(fb), where=relative > 0),
        }
    )
    points = [{first: float(a), second: float(b)} for a, b in where.masses]
    systematics = [search.uncertainties({**values, **p}) for p in points]
    limits = np.empty((len(where), 6))
    n = np.zeros(len(where), dtype=np.int64)
    if observed is not None:
        n = np.asarray(CellIndex(*observed).count(where.ellipses)[0]).astype(np.int64)
    for kind in set(systematics):
        rows = np.array([s == kind for s in systematics])
        options = {"cl": cl, "method": method, "uncertainties": kind, "background_mc": relative[rows]}
        limits[rows, :5] = expected_upper_limits(background[rows], **options)
        limits[rows, 5] = upper_limits(n[rows], background[rows], **options) if observed is not None else np.nan
    to_fb = 1.0 / (luminosity * np.maximum(where.efficiency, 1e-12))
    for k, name in enumerate((*BAND, "observed")):
        frame[f"limit_{name}"] = limits[:, k] * to_fb
    for c in search.couplings:
        rate = np.array([c.rate({**values, **p}, dataset) for p in points])
        for name in (*BAND, "observed"):
            frame[f"{c.name}_{name}"] = (frame[f"limit_{name}"] / rate) ** (1 / c.power)
    if observed is not None:
        frame["n_observed"] = n
        known = np.array([np.hypot(s.background, s.correlated) for s in systematics])
        frame["p_value"] = p_value(n, background, background_uncertainty=np.hypot(relative, known))
    return LimitCurve(
        search=search.name,
        quantity=search.quantity,
        unit=search.unit,
        cl=cl,
        method=method,
        seed=seed,
        version=package_version(),
        frame=frame[where.efficiency > 0].reset_index(drop=True),
    )
