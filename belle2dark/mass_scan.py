"""Thousands of mass hypotheses at once, for a search with one mass whose dataset is fitted with a peak over a polynomial.

A few dozen masses are simulated (:mod:`belle2dark.mass_frame`); between them resolution, efficiency and the shape of the
peak are interpolated, and every fit is a window of one histogram. Use :func:`scan_masses` for limits, observed yields and
local p-values, :func:`pseudo_scans` for the same of pseudo-experiments without signal. At any mass both agree with
:func:`belle2dark.point.point`, which simulates it, within the error of that simulation.

Not included: natural widths (where one exceeds the resolution the mass is marked) and uncertainties of the background, which
floats. Pseudo-experiments follow the smooth curve that the fits see: narrow peaks of the background are not in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from belle2dark.contract import package_version
from belle2dark.coupling_limits import coupling_limit
from belle2dark.fitting import few_events
from belle2dark.limits.counting import Method, check_method
from belle2dark.limits.pseudo_windows import global_p_values, own_background, pseudo_windows
from belle2dark.limits.scan_windows import scan_windows
from belle2dark.limits.shape_limit import SIGMAS, band_targets
from belle2dark.mass_frame import DENSE, default_masses, frame_of, peak_fit
from belle2dark.mass_hypotheses import Hypotheses, make_hypotheses
from belle2dark.peak_fit import PeakFit
from belle2dark.point import SEED, check_lines
from belle2dark.scaling import Systematics, check_systematics, scaling
from belle2dark.scan import BAND, LimitCurve
from belle2dark.search import Coupling, Search, all_kept, prompt
from belle2dark.trigger.menu import load_menu

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
N_EVENTS = 20_000
#: steps of the default masses [resolutions]: nothing is lost between them
STEP = 0.5
#: what is said where no limit was found
FAILED = "the fit found no minimum"
#: where rows without an end are taken to end
FAR = 1e6
#: entries of the table of corrections for few events
ENTRIES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Checked arguments: all parameters, what a limit is made with, and the masses asked for (None: the default grid)."""

    search: Search
    values: Mapping[str, Any]
    masses: tuple[float, ...] | None
    lines: tuple[str, ...]
    cl: float
    method: Method
    seed: int
    n_events: int
    systematics: Systematics = "constant"
    step: float = STEP


def scan_masses(search: Search, given: Mapping[str, Any] | None = None, /, masses: ArrayLike | None = None, *,
                observed: tuple[Array, Array] | Literal["pseudo"] | None = None, lines: Sequence[str] | None = None,
                cl: float | None = None, method: Method | None = None, seed: int = SEED, n_events: int = N_EVENTS,
                systematics: Systematics = "constant", toys: int = 0) -> LimitCurve:  # fmt: skip
    """Limits at ``masses`` [GeV] (default: the whole range in steps of half a resolution), the other parameters ``given``.

    The table has the columns of a scan (:class:`LimitCurve`) and ``resolution`` of the window's variable; with ``observed``
    events (the window's two variables, or "pseudo": what is expected without signal, its peaks and declared constants
    included) also ``signal_yield``, ``yield_error``, ``z`` and ``p_value`` (local, one-sided), and with ``toys``
    pseudo-experiments ``p_global``. Closed masses that were asked for say why. ``n_events`` are simulated at a
    few dozen masses and kept, so that luminosity and couplings need no new ones; ``systematics`` as in
    :func:`belle2dark.point.point`.
    A search that looks in several ways along its mass is scanned piece by piece. Raises ``ValueError`` for bad names, values,
    lines or methods, a search without one mass or a fit of a peak, and real events for more than one piece.
    """
    if search.variants:
        pieces = _pieces(search, given, masses)
        if len(pieces) > 1 and (toys or not (observed is None or isinstance(observed, str))):
            raise ValueError(f"{search.name}: observed events and a global significance need masses that are seen in one way")
        return _joined(search, [
            scan_masses(part, given, own, observed=observed, lines=lines, cl=cl, method=method, seed=seed, n_events=n_events,
                        systematics=systematics, toys=toys)
            for part, own in pieces
        ])  # fmt: skip
    asked = replace(_check(search, given, masses, lines, cl, method, seed, n_events), systematics=check_systematics(systematics))
    if isinstance(observed, str) and observed != "pseudo":
        raise ValueError(f"observed = {observed!r}: must be two arrays of events, 'pseudo' or None")
    if toys and observed is None:
        raise ValueError(f"toys = {toys}: a global significance needs observed events")
    where = _hypotheses(asked)
    expected, factors = _expected(where, asked.cl)
    frame = _table(where, expected)
    if observed is not None:
        seen = _seen(where, observed, seed, asked.cl, factors)
        frame = _with_observed(where, frame, seen)
        if toys:
            frame["p_global"] = global_p_values(seen.z, np.array([toy.z for toy in _pseudo(where, toys, seed, asked.cl, None)]))
    return _curve(asked, _with_closed(asked, where, frame))


def pseudo_scans(search: Search, given: Mapping[str, Any] | None = None, /, masses: ArrayLike | None = None, *, toys: int = 10,
                 step: float = STEP, lines: Sequence[str] | None = None, cl: float | None = None, method: Method | None = None,
                 seed: int = SEED, n_events: int = N_EVENTS) -> Iterator[LimitCurve]:  # fmt: skip
    """The observed limits of ``toys`` pseudo-experiments without signal, one table each.

    ``step`` is that of the default masses in resolutions; the other arguments are those of :func:`scan_masses`.
    """
    if search.variants:
        scans = [pseudo_scans(part, given, own, toys=toys, step=step, lines=lines, cl=cl, method=method, seed=seed,
                              n_events=n_events) for part, own in _pieces(search, given, masses)]  # fmt: skip
        yield from (_joined(search, parts) for parts in zip(*scans, strict=True))
        return
    asked = replace(_check(search, given, masses, lines, cl, method, seed, n_events), step=step)
    where = _hypotheses(asked)
    expected, factors = _expected(where, asked.cl)
    frame = _table(where, expected)
    for seen in _pseudo(where, toys, seed, asked.cl, factors):
        yield _curve(asked, _with_observed(where, frame, seen))


def _pieces(search: Search, given: Mapping[str, Any] | None,
            masses: ArrayLike | None) -> list[tuple[Search, tuple[float, ...] | None]]:  # fmt: skip
    """The variants that apply somewhere and the masses asked for that are theirs (None: all of them).

    Of all masses those whose dataset has another fit than that of a peak are left out, unless there are no others.
    """
    values = search.parse(given or {})
    name = search.mass_names[0]
    declared = next(p for p in search.parameters if p.name == name)
    wanted = np.linspace(declared.low, declared.high, DENSE) if masses is None else np.atleast_1d(np.asarray(masses, dtype=float))
    own: dict[str, list[float]] = {}
    for m in map(float, wanted):
        here = search.parse({**values, name: m})
        if masses is not None or not search.closed(here, search.datasets[str(here["dataset"])]):
            own.setdefault(search.variant(here), []).append(m)
    if not own:
        raise ValueError(f"{search.name}: none of the masses is open at these parameters")
    if masses is not None:
        return [(search.variants[key], tuple(found)) for key, found in own.items()]
    parts = [search.variants[key] for key in own]
    fitted = [part for part in parts if isinstance(part.datasets[str(values["dataset"])].fit, PeakFit)]
    return [(part, None) for part in fitted or parts]


def _joined(search: Search, curves: Sequence[LimitCurve]) -> LimitCurve:
    """The pieces of one scan as one table in the order of the masses."""
    import pandas as pd

    frame = pd.concat([curve.frame for curve in curves]).sort_values(search.mass_names[0], ignore_index=True)
    return replace(curves[0], frame=frame)


def _seen(where: Hypotheses, observed: tuple[Array, Array] | str, seed: int, cl: float, factors: Array) -> Observed:
    """What real events or, without any, one pseudo-experiment with the expected background show."""
    if isinstance(observed, str) and peak_fit(where.search, where.dataset).smooth:
        return next(_pseudo(where, 1, seed, cl, factors))
    x, y = _events(where, seed) if isinstance(observed, str) else (np.asarray(v, dtype=float) for v in observed)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        window = where.search.window
        raise ValueError(f"observed: {window.x} and {window.y} must be finite numbers; found NaN or inf")
    values, half = np.sort(x), where.search.window.n_sigma * where.sigma
    inside = np.searchsorted(values, where.place + half, "right") - np.searchsorted(values, where.place - half)
    return replace(_observed(where, where.filled(x, y), cl, factors), inside=inside.astype(float))


def _events(where: Hypotheses, seed: int) -> tuple[Array, Array]:
    """One pseudo-experiment with the expected background: the window's variable, spread evenly over bins, and y in its row."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xDA7A]))
    rows = len(where.rows) - 1
    which = np.repeat(np.arange(len(where.counts)), rng.poisson(where.counts))
    low, width = where.edges[:-1][which // rows], np.diff(where.edges)[which // rows]
    ends = np.clip(where.rows, -FAR, FAR)
    return low + width * rng.random(len(low)), 0.5 * (ends[1:] + ends[:-1])[which % rows]


def _pseudo(where: Hypotheses, toys: int, seed: int, cl: float, factors: Array | None) -> Iterator[Observed]:
    """What ``toys`` pseudo-experiments without signal show at each mass; without ``factors`` no limits."""
    background = own_background(where.counts, where.windows)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5CA]))
    for _ in range(toys):
        counts, windows = pseudo_windows(background, where.windows, rng)
        seen = _observed(replace(where, windows=windows), counts, cl, factors)
        yield replace(seen, inside=(counts.reshape(where.near.shape) * where.near).sum(axis=1))


def _check(search: Search, given: Mapping[str, Any] | None, masses: ArrayLike | None, lines: Sequence[str] | None,
           cl: float | None, method: Method | None, seed: int, n_events: int) -> Settings:  # fmt: skip
    """The arguments of a scan, checked."""
    values = search.parse(given or {})
    dataset = search.datasets[str(values["dataset"])]
    fit = peak_fit(search, dataset)
    used = load_menu().check(dataset.lines if lines is None else lines)
    check_lines(used, dataset)
    cl, method = search.cl_at(values) if cl is None else cl, method or dataset.method
    check_method(method, cl)
    if method not in fit.methods:
        raise ValueError(f"method = {method!r}: a fast scan of dataset {dataset.name} serves {', '.join(fit.methods)}")
    if not used:
        raise ValueError("lines: no L1 line is switched on")
    if n_events < 1000:
        raise ValueError(f"n_events = {n_events}: allowed: 1000 or more")
    name = search.mass_names[0]
    wanted = None if masses is None else tuple(map(float, np.atleast_1d(np.asarray(masses, dtype=float))))
    for m in wanted or ():
        search.parse({name: m})
    return Settings(search=search, values=values, masses=wanted, lines=used, cl=cl, method=method, seed=seed, n_events=n_events)


def _hypotheses(asked: Settings) -> Hypotheses:
    """The masses asked for that are open, ready to be fitted. Raises ``ValueError`` if there are none."""
    search, values = asked.search, asked.values
    dataset, name = search.datasets[str(values["dataset"])], search.mass_names[0]
    # where lifetimes matter, everything they may depend on
    deciding = search.simulated(search.sample_of(values)) if search.lifetimes is prompt else values
    fixed = tuple((key, value) for key, value in deciding.items() if key not in (name, "luminosity"))
    frame = frame_of(search, dataset, fixed, asked.n_events, asked.seed, asked.lines)
    wanted = default_masses(frame, asked.step) if asked.masses is None else np.array(asked.masses)
    inside = (wanted >= frame.masses[0]) & (wanted <= frame.masses[-1])
    points = [{**values, name: float(m)} for m in wanted[inside]]
    open_points = tuple(p for p in points if not search.closed(p, dataset))
    if not open_points:
        reason = next((why for p in points if (why := search.closed(p, dataset))), "they are beyond those that can be seen")
        raise ValueError(f"{search.name}: none of the masses is open: {reason}")
    scale = scaling(asked.systematics, float(values["luminosity"]), float(dataset.luminosity))
    return make_hypotheses(search, dataset, frame, open_points, scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """Fits of one set of data at m masses: ``limits``, ``yields`` with ``errors`` [events], signed local significances ``z``.

    ``inside`` are the events in the window, if they were counted.
    """

    limits: Array
    yields: Array
    errors: Array
    z: Array
    inside: Array | None = None


def _fits(where: Hypotheses, counts: Array, cl: float, sigmas: Sequence[float], observed: bool) -> tuple[Array, Array]:
    """Fits (m, 5) and limits (m, 1 + sigmas) as :func:`.scan_windows` gives them; NaN where they fail.

    Where next to nothing is expected and no fit is found, the polynomial is of a lower degree, as for a single mass.
    """
    windows, targets = where.windows, band_targets(cl, sigmas)
    m, rows = len(where.masses), len(where.rows) - 1
    basis = windows.basis.reshape(m, rows, -1, windows.basis.shape[2])
    out, limits = np.full((m, 5), np.nan), np.full((m, 1 + len(targets)), np.nan)
    todo = np.ones(m, dtype=bool)
    for terms in range(basis.shape[2], 0, -1):
        for relative in np.unique(where.relative[todo]):
            use = np.flatnonzero(todo & (where.relative == relative))
            background = np.ascontiguousarray(basis[use, :, :terms].reshape(len(use), rows * terms, -1))
            out[use], limits[use] = scan_windows(counts, windows.first[use], windows.size[use], windows.signal[use],
                                                 background, float(relative), 1.0 - cl, targets, observed)  # fmt: skip
        todo = (out[:, 4] >= 2) | ~np.isfinite(limits[:, 0 if observed else 1 :] if targets.size else out).all(axis=1)
        if not todo.any():
            break
    out[todo], limits[todo] = np.nan, np.nan
    return out, limits


def _expected(where: Hypotheses, cl: float) -> tuple[Array, Array]:
    """Expected limits (m, 5) [events] and the corrections (m, 5) for few events that are in them."""
    limits = _fits(where, where.counts, cl, tuple(SIGMAS), False)[1][:, 1:]
    medians = limits[:, 2]
    good = np.isfinite(medians)
    factors = np.ones_like(limits)
    if good.any():  # the correction is a function of the median alone
        nodes = np.geomspace(medians[good].min(), medians[good].max() * (1 + 1e-9), ENTRIES)
        table = np.array([few_events(np.full(len(SIGMAS), m), cl) for m in nodes])
        factors = np.stack([np.interp(np.log(medians), np.log(nodes), column) for column in table.T], axis=1)
    return factors * limits, factors


def _observed(where: Hypotheses, counts: Array, cl: float, factors: Array | None) -> Observed:
    """Yields, significances and, corrected like the median by ``factors`` (m, 5), limits for data ``counts`` in the bins.

    An uncertainty of the signal changes no significance: without limits it is left out.
    """
    exact = where if factors is not None else replace(where, relative=np.zeros_like(where.relative))
    out, limits = _fits(exact, counts, cl, () if factors is None else (0.0,), True)
    z = np.sign(out[:, 0]) * np.sqrt(np.maximum(2.0 * (out[:, 3] - out[:, 2]), 0.0))
    seen = np.full(len(z), np.nan) if factors is None else limits[:, 0] * factors[:, 2]
    return Observed(limits=seen, yields=out[:, 0], errors=out[:, 1], z=z)


def _table(where: Hypotheses, expected: Array) -> pd.DataFrame:
    """One row per open mass in their order, columns as in :class:`LimitCurve`; nothing observed."""
    import pandas as pd

    search = where.search
    columns: dict[str, Any] = {key: [p[key] for p in where.points] for key in where.points[0]}
    columns |= {"resolution": where.sigma, "efficiency": where.efficiency, "background": where.background}
    columns |= _limits(where, expected, BAND) | {"limit_observed": np.nan}
    for coupling in search.couplings:
        columns[f"{coupling.name}_observed"] = np.nan
        columns[f"{coupling.name}_narrow"] = [
            bool(value < coupling.high and search.width({**p, coupling.name: value}) < 0.5 * resolution)
            for p, value, resolution in zip(where.points, columns[f"{coupling.name}_median"], where.resolution, strict=True)
        ]
    narrow = [search.width(p) < 0.5 * resolution for p, resolution in zip(where.points, where.resolution, strict=True)]
    columns |= {"narrow_width": narrow, "reason": np.where(np.isfinite(expected[:, 2]), "", FAILED)}
    return pd.DataFrame(columns)


def _with_observed(where: Hypotheses, frame: pd.DataFrame, seen: Observed) -> pd.DataFrame:
    """The table with what one set of data shows."""
    limits = _limits(where, seen.limits[:, None], ("observed",))
    found = frame.assign(**limits, signal_yield=seen.yields, yield_error=seen.errors, z=seen.z, p_value=ndtr(-seen.z))
    return found if seen.inside is None else found.assign(n_observed=seen.inside.astype(int))


def _limits(where: Hypotheses, events: Array, parts: Sequence[str]) -> dict[str, Array]:
    """Columns of limits on the quantity and on each coupling, from limits (m, parts) [events] in the fit."""
    rates = events * where.to_fb[:, None]
    columns = {f"limit_{part}": _over(rates[:, k] * where.to_quoted, where.kept) for k, part in enumerate(parts)}
    for coupling in where.search.couplings:
        found = _coupling(where, coupling, rates)
        columns |= {f"{coupling.name}_{part}": found[:, k] for k, part in enumerate(parts)}
    return columns


def _over(a: Array, b: Array) -> Array:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)


def _coupling(where: Hypotheses, coupling: Coupling, rates: Array) -> Array:
    """Limits (m, parts) on a coupling from those on the rate that is seen [fb]; NaN where the model has no such coupling.

    Also NaN where it decides lifetimes: that takes a point at each mass.
    """
    out = np.full_like(rates, np.nan)
    if not coupling.applies(where.points[0]) or coupling.lifetimes or where.search.lifetimes is not prompt:
        return out
    unit = where.unit_rates[coupling.name]
    if where.search.kept is all_kept:
        return _over(rates, unit[:, None]) ** (1.0 / coupling.power)
    for j, (point, row) in enumerate(zip(where.points, rates, strict=True)):
        use = np.isfinite(row)
        if unit[j] > 0 and use.any():

            def kept(values: Array, point: Mapping[str, Any] = point) -> Array:
                return np.array([where.search.kept({**point, coupling.name: float(c)}, where.dataset) for c in values])

            out[j, use] = coupling_limit(coupling, unit[j], row[use], None, kept).expected
    return out


def _with_closed(asked: Settings, where: Hypotheses, frame: pd.DataFrame) -> pd.DataFrame:
    """The table with a row for every mass that was asked for and is closed, saying why."""
    import pandas as pd

    name, known = asked.search.mass_names[0], set(where.masses)
    missing = [m for m in asked.masses or () if m not in known]
    if not missing:
        return frame.sort_values(name, ignore_index=True)
    points = [{**asked.values, name: m} for m in missing]
    why = [
        asked.search.closed(p, where.dataset) or "too few signal events are seen, or it is beyond the masses that are simulated"
        for p in points
    ]
    closed = pd.DataFrame(points).assign(efficiency=0.0, background=0.0, narrow_width=False, reason=why)
    return pd.concat([frame, closed]).sort_values(name, ignore_index=True)


def _curve(asked: Settings, frame: pd.DataFrame) -> LimitCurve:
    search = asked.search
    return LimitCurve(search=search.name, quantity=search.quoted(asked.values), unit=search.unit_at(asked.values), cl=asked.cl,
                      method=asked.method, seed=asked.seed, version=package_version(), systematics=asked.systematics,
                      frame=frame)  # fmt: skip
