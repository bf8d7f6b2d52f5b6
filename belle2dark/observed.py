"""Observed events of a search: a user's own file, or pseudo-data with an injected signal.

Both are two arrays, the variables of the search's window, of events that have passed the selection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.fitting import declared
from belle2dark.peak_fit import PeakFit
from belle2dark.point import N_EVENTS, SEED, Point, point
from belle2dark.sample import choices_of, selected_template
from belle2dark.search import Search
from belle2dark.simulation.rng import make_key

Array = NDArray[np.float64]

#: file columns understood for each window variable, and how they become it
_COLUMNS = {
    "m_mumu": {"M_mumu": lambda m: m, "m_mumu": lambda m: m},
    "recoil_mass_squared": {
        "M_recoil": lambda m: np.sign(m) * m**2,
        "m_recoil": lambda m: np.sign(m) * m**2,
        "recoil_mass": lambda m: np.sign(m) * m**2,
        "recoil_mass_squared": lambda m: m,
    },
}


def read_events(path: str | Path, search: Search) -> tuple[Array, Array]:
    """Events of a CSV, Parquet or ROOT file as the window's variables, two arrays ``(n,)``.

    The dimuon mass is the column ``M_mumu`` (or ``m_mumu``) [GeV]; the recoil mass ``M_recoil`` (``m_recoil``,
    ``recoil_mass``) [GeV], where a negative value stands for a negative square, or ``recoil_mass_squared`` [GeV^2]. From a
    ROOT file the first tree with these branches is read. The events must have passed the selection already.
    Raises ``ValueError`` for a missing column, a value that is not finite or an unknown kind of file.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(
            f"observed events: {file} is a folder, not a file" if file.is_dir() else f"observed events: there is no file {file}"
        )
    try:
        columns = _read_table(file, (search.window.x, search.window.y))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{file.name}: cannot be read as {file.suffix or 'a table'}: {str(error).splitlines()[0]}") from None
    return _column(columns, search.window.x, file), _column(columns, search.window.y, file)


def _read_table(file: Path, variables: tuple[str, ...]) -> Mapping[str, Array]:
    import pandas as pd

    kind = file.suffix.lower()
    if kind == ".csv":
        frame = pd.read_csv(file, comment="#", skipinitialspace=True)
        return {str(name): frame[name].to_numpy() for name in frame}
    if kind in (".parquet", ".pq"):
        frame = pd.read_parquet(file)
        return {str(name): frame[name].to_numpy() for name in frame}
    if kind == ".root":
        import uproot

        wanted = {name for names in _COLUMNS.values() for name in names} | set(variables)
        with uproot.open(file) as root:
            for key in root.keys(filter_classname=["TTree", "ROOT::RNTuple"]):
                branches = wanted & set(root[key].keys())
                if branches:
                    return {name: np.asarray(root[key][name].array(library="np")) for name in branches}
        return {}
    raise ValueError(f"{file.name}: unknown kind of file {kind or 'without suffix'!r}; allowed: .csv, .parquet, .root")


def _column(columns: Mapping[str, Array], variable: str, file: Path) -> Array:
    known = _COLUMNS.get(variable, {variable: np.asarray})
    for name, convert in known.items():
        if name in columns:
            try:
                values = np.asarray(convert(np.asarray(columns[name], dtype=float)), dtype=float)
            except ValueError:
                raise ValueError(f"{file.name}: column {name} holds text, not numbers") from None
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{file.name}: column {name} has {np.sum(~np.isfinite(values))} values that are not finite numbers"
                )
            return values
    wanted = " or ".join(known)
    raise ValueError(f"{file.name}: no column {wanted}; columns found: {', '.join(columns) or 'none'}")


def pseudo_data(search: Search, given: Mapping[str, Any] | None = None, /, strength: float = 0.0, *, seed: int = SEED,
                lines: Sequence[str] | None = None, n_events: int = N_EVENTS) -> tuple[Array, Array]:  # fmt: skip
    """One pseudo-experiment at the luminosity, masses and couplings ``given``: background plus ``strength`` x signal.

    Each template event appears a Poisson number of times; where the luminosity makes copies likely, several copies share
    their place. Where a peak is fitted or the background is declared, events are drawn from the smooth background of that fit
    and nowhere else: copies of single events would be narrow peaks themselves. Raises ``ValueError`` for a negative strength.
    """
    if not 0 <= strength < float("inf"):
        raise ValueError(f"signal strength = {strength}: allowed: 0 or more")
    answer = point(search, given, lines=lines, seed=seed, n_events=n_events)
    search = answer.search
    rng = np.random.default_rng(make_key(seed, search.name, "pseudo-data"))
    template, weights = selected_template(search, answer.dataset, choices_of(search, answer.values), answer.lines)
    window = search.window
    x, y = (template.columns[name] for name in (window.x, window.y))
    flat = answer.calibration is not None and answer.calibration.background is not None and answer.shapes is not None
    if (flat or isinstance(answer.dataset.fit, PeakFit)) and answer.simulated is not None:
        x, y = _smooth_events(answer, rng)
    else:
        copies = rng.poisson(weights * answer.luminosity)
        x, y = np.repeat(x, copies), np.repeat(y, copies)
    if strength > 0 and answer.simulated is not None:
        reco, selected = answer.simulated.reco, answer.simulated.selected
        share = answer.signal_weights()
        share = np.where(selected, share, 0.0)
        rate = strength * answer.luminosity * answer.cross_section_fb * answer.branching_fraction
        copies = rng.poisson(rate * share)
        x, y = (np.concatenate([old, np.repeat(reco.columns[name], copies)]) for old, name in ((x, window.x), (y, window.y)))
    return x, y


def _smooth_events(answer: Point, rng: np.random.Generator) -> tuple[Array, Array]:
    """Events of the smooth background that a fit is made over, evenly in its bins, and in y in what is shown of it."""
    fit, signal, shapes = answer.dataset.fit, answer.simulated, answer.shapes
    assert fit is not None and signal is not None
    if shapes is None:  # a method that counts: the same histogram
        made = fit.prepare(answer.search, answer.dataset, answer.sample, answer.n_events, answer.seed, answer.lines)
        sigma = float(np.sqrt(signal.covariance[0, 0]))
        shapes = declared(made, answer.unsimulated, answer.calibration, sigma)
    expected = answer.luminosity * np.sum(list(shapes.background.values()), axis=0)
    copies = rng.poisson(expected).ravel()
    bin_, row = (np.repeat(index, copies) for index in np.indices(expected.shape).reshape(2, -1))
    x = shapes.x_edges[bin_] + np.diff(shapes.x_edges)[bin_] * rng.random(len(bin_))
    span = 0.5 * (shapes.x_edges[-1] - shapes.x_edges[0]) / float(np.sqrt(signal.covariance[0, 0]))
    bottom, top = (corner[1] for corner in answer.search.window.shown(signal.centre, signal.covariance, span))
    edges = np.clip(shapes.y_edges, bottom, top)
    return x, rng.uniform(edges[row], edges[row + 1])
