"""How well the rate of one of a search's background processes would be measured: a check of its backgrounds and efficiencies.

A new particle is searched for over standard-model processes, and where one of them was measured by the same experiment, the
uncertainty of that measurement tests what is simulated (or fixes what is declared): :func:`rate_uncertainty` is the relative
uncertainty of the rate of a process in a fit of the window's x over all of its range, from the curvature of the likelihood.

Not included: uncertainties of shapes, the small numbers of events where the likelihood is no parabola, the signal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from belle2dark.limits.counting import Uncertainties
from belle2dark.sample import Array, choices_of, selected_template, simulate
from belle2dark.search import Search
from belle2dark.sourced import nearest

#: bins over the range of x, share of it that is measured (tails of the process are left out), signal events for the resolution
BINS, RANGE, N_EVENTS = 25, (0.001, 0.999), 4_000
#: least share of a bin, of what is expected in all: a bin without simulated events is no empty bin
LEAST = 1e-3


def rate_uncertainty(search: Search, values: Mapping[str, Any], process: str, known: Mapping[str, float], *,
                     systematics: bool = True, seed: int = 1) -> float:  # fmt: skip
    """Relative uncertainty of the rate of ``process`` at the dataset, luminosity and declared constants of ``values``.

    Other processes are ``known`` to these relative uncertainties beforehand and float otherwise. With ``systematics`` those that
    act on a signal are added. Raises ``ValueError`` for an unknown process, or one of which nothing is selected.
    """
    given = search.parse(values)
    shapes = _histograms(search, given, process, seed)
    content = float(given["luminosity"]) * np.array(list(shapes.values()))
    total = content.sum(axis=0)
    total = np.maximum(total, LEAST * total.mean())
    information = (content / total) @ content.T
    for k, name in enumerate(shapes):
        if name != process and name in known:
            information[k, k] += 1.0 / known[name] ** 2
    first = list(shapes).index(process)
    statistical = math.sqrt(float(np.linalg.inv(information)[first, first]))
    of_signal: Uncertainties = search.uncertainties(given)
    return math.hypot(statistical, of_signal.signal, of_signal.correlated) if systematics else statistical


def _histograms(search: Search, values: Mapping[str, Any], process: str, seed: int) -> dict[str, Array]:
    """Spectra (BINS,) [fb] in the window's x over the range of ``process``; a declared background is flat."""
    here = search.at(values)
    dataset = here.datasets[str(values["dataset"])]
    template, w = selected_template(here, dataset, choices_of(here, values), dataset.lines)
    if process not in template.processes:
        raise ValueError(f"process {process!r}: not one of {', '.join(template.processes)}; "
                         f"nearest: {nearest(process, template.processes)}")  # fmt: skip
    x, which = template.columns[here.window.x], template.process
    own = (which == template.processes.index(process)) & (w > 0)
    if not own.any():
        raise ValueError(f"process {process!r}: nothing of it is selected")
    order = np.flatnonzero(own)[np.argsort(x[own])]
    running = np.cumsum(w[order]) / w[order].sum()
    low, high = (float(np.interp(share, running, x[order])) for share in RANGE)
    edges = np.linspace(low, high, BINS + 1)
    shapes = {name: np.histogram(x, edges, weights=np.where(which == k, w, 0.0))[0] for k, name in enumerate(template.processes)}
    constants = here.calibration(values, dataset)
    if constants is None:
        return shapes
    scaled = {process: constants.efficiency * shapes[process]}
    if constants.background is None:
        return {**shapes, **scaled}
    sigma = math.sqrt(float(simulate(here, dataset, here.sample_of(values), N_EVENTS, seed).covariance[0, 0]))
    return {**scaled, constants.name: constants.background / sigma * np.diff(edges)}
