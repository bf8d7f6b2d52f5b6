"""Results for other programs: pyhf workspaces of counting points and shape fits, HEPData tables of scans.

:func:`counting_workspace` and :func:`shape_workspace` return JSON-able dictionaries that ``pyhf.Workspace`` reads; the signal
strength ``mu`` multiplies the signal given, so that its limit times the signal events is the limit of :mod:`belle2dark.limits`
on the same model. :func:`hepdata_table` returns the tables of a HEPData submission. :func:`save` writes any of them, as JSON
or YAML by suffix, never half a file.

Log-normal uncertainties become ``normsys`` with factors 1 + u and 1/(1 + u), Gaussian ones symmetric ``histosys``, Monte Carlo
errors of templates ``staterror``; equal names are the same nuisance parameter in all channels.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from belle2dark.limits import shapes
from belle2dark.limits.background_shapes import Background, Exponential, Templates, columns
from belle2dark.limits.fit_model import Nuisance
from belle2dark.limits.mass_scan import ScanResult
from belle2dark.limits.shape_fit import fit
from belle2dark.limits.shapes import Array, Shape

Document = dict[str, Any]

_STRENGTH = "mu"
_LARGEST_STRENGTH = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingChannel:
    """One counting window: signal events at mu = 1, background events by process, and relative uncertainties.

    ``uncertainties`` maps the name of a nuisance to its relative effect on ``signal`` or on a process; ``background_mc`` is the
    relative Monte Carlo error of the total background. Raises ``ValueError`` for values that make no model.
    """

    name: str
    observed: int
    signal: float
    backgrounds: Mapping[str, float]
    uncertainties: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    background_mc: float = 0.0

    def __post_init__(self) -> None:
        if self.observed < 0 or self.observed != math.floor(self.observed):
            raise ValueError(f"observed = {self.observed}: must be a whole number of events")
        if not 0 < self.signal < math.inf:
            raise ValueError(f"signal = {self.signal}: events at mu = 1 must be positive and finite")
        if not self.backgrounds or "signal" in self.backgrounds:
            raise ValueError("backgrounds: at least one process is needed, none of them named signal")
        for name, value in self.backgrounds.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"backgrounds: {name} = {value} must be finite and not negative")
        for nuisance, effects in self.uncertainties.items():
            for name, size in effects.items():
                if name != "signal" and name not in self.backgrounds:
                    known = sorted(self.backgrounds)
                    raise ValueError(f"uncertainties: {nuisance} acts on {name!r}, which is not one of {known}")
                if not -0.5 <= size <= 1:
                    raise ValueError(f"uncertainties: {nuisance} of {name} = {size} must lie in [-0.5, 1]")
        if not 0 <= self.background_mc <= 1:
            raise ValueError(f"background_mc = {self.background_mc}: must lie in [0, 1]")


def _normsys(name: str, size: float) -> Document:
    return {"name": name, "type": "normsys", "data": {"hi": 1.0 + size, "lo": 1.0 / (1.0 + size)}}


def _sample(name: str, contents: ArrayLike, modifiers: Sequence[Document]) -> Document:
    return {"name": name, "data": [float(value) for value in np.ravel(np.asarray(contents))], "modifiers": list(modifiers)}


def _workspace(
    channels: list[Document], observed: Mapping[str, ArrayLike], parameters: list[Document], measurement: str
) -> Document:
    strength = {"name": _STRENGTH, "bounds": [[0.0, _LARGEST_STRENGTH]], "inits": [1.0]}
    return {
        "channels": channels,
        "observations": [{"name": name, "data": [float(v) for v in np.ravel(np.asarray(n))]} for name, n in observed.items()],
        "measurements": [{"name": measurement, "config": {"poi": _STRENGTH, "parameters": [strength, *parameters]}}],
        "version": "1.0.0",
    }


def counting_workspace(channels: Sequence[CountingChannel], *, measurement: str = "counting") -> Document:
    """A pyhf workspace of independent counting windows with one signal strength.

    Raises ``ValueError`` without channels and for channels of the same name.
    """
    names = [channel.name for channel in channels]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"channels: names must be given and differ, got {names}")
    documents = []
    for channel in channels:
        acting = {
            process: [_normsys(name, effects[process]) for name, effects in channel.uncertainties.items() if effects.get(process)]
            for process in ("signal", *channel.backgrounds)
        }
        samples = [
            _sample("signal", [channel.signal], [{"name": _STRENGTH, "type": "normfactor", "data": None}, *acting["signal"]])
        ]
        for process, events in channel.backgrounds.items():
            modifiers = acting[process]
            if channel.background_mc > 0 and events > 0:
                # Equal relative errors of all samples would add in quadrature: each carries its share of the total.
                error = channel.background_mc * math.sqrt(events * sum(channel.backgrounds.values()))
                modifiers = [*modifiers, {"name": f"mc_{channel.name}", "type": "staterror", "data": [error]}]
            samples.append(_sample(process, [events], modifiers))
        documents.append({"name": channel.name, "samples": samples})
    return _workspace(documents, {c.name: [c.observed] for c in channels}, [], measurement)


def _acting(nuisances: Sequence[Nuisance], component: int, contents: Array) -> list[Document]:
    """Modifiers of one component: 0 the signal, 1 ... the background."""
    out = []
    for item in nuisances:
        background = np.atleast_1d(np.asarray(item.background, dtype=float))
        size = item.signal if component == 0 else float(background[component - 1 if len(background) > 1 else 0])
        if size == 0:
            continue
        if item.constraint == "log_normal":
            out.append(_normsys(item.name, size))
        else:
            out.append(_histosys(item.name, contents * (1 + size), contents * (1 - size)))
    return out


def _histosys(name: str, high: Array, low: Array) -> Document:
    return {"name": name, "type": "histosys", "data": {"hi_data": high.ravel().tolist(), "lo_data": low.ravel().tolist()}}


def _template_samples(background: Templates, nuisances: Sequence[Nuisance]) -> tuple[list[Document], list[Document]]:
    contents = columns(background, ())
    samples, parameters = [], []
    total = contents.sum(axis=0)
    for k, (row, size) in enumerate(zip(contents, background.uncertainties, strict=True)):
        modifiers = _acting(nuisances, k + 1, row)
        name = f"normalisation_{k}"
        if math.isinf(size):
            modifiers.append({"name": name, "type": "normfactor", "data": None})
            parameters.append({"name": name, "bounds": [[0.0, 100.0]], "inits": [1.0]})
        elif size > 0:
            modifiers.append(_histosys(name, row * (1 + size), row * (1 - size)) if background.gaussian else _normsys(name, size))
        if background.statistical is not None:
            error = np.ravel(background.statistical) * np.sqrt(row * total)  # shares that add in quadrature to the total
            modifiers.append({"name": "mc", "type": "staterror", "data": error.tolist()})
        samples.append(_sample(f"background_{k}", row, modifiers))
    return samples, parameters


def _curve_samples(counts: Array, edges: Array, signal: Shape | ArrayLike, background: Background,
                   nuisances: Sequence[Nuisance]) -> tuple[list[Document], list[Document]]:  # fmt: skip
    """Columns of a polynomial as samples with free factors, scaled so that these are of order one."""
    result = fit(counts, edges, signal, background)
    if not result.converged:
        raise ValueError(f"counts: the fit that scales the background columns failed: {result.reason}")
    samples, parameters = [], []
    spread = np.sqrt(np.maximum(np.diag(result.covariance), 0.0))[1:]
    for k, (row, error) in enumerate(zip(columns(background, edges), spread, strict=True)):
        value = result.parameters[f"background_{k}"]
        scale = max(abs(value), float(error), 1e-6)
        name = f"background_{k}"
        samples.append(_sample(name, row * scale, [{"name": name, "type": "normfactor", "data": None},
                                                   *_acting(nuisances, k + 1, row * scale)]))  # fmt: skip
        parameters.append({"name": name, "bounds": [[-100.0, 100.0]], "inits": [value / scale]})
    return samples, parameters


def shape_workspace(counts: ArrayLike, edges: ArrayLike | None, signal: Shape | ArrayLike, background: Background, *,
                    signal_events: float = 1.0, nuisances: Sequence[Nuisance] = (), resolution_uncertainty: float = 0.0,
                    channel: str = "spectrum", measurement: str = "shape") -> Document:  # fmt: skip
    """A pyhf workspace of a shape fit, arguments as for :func:`belle2dark.limits.shape_fit.fit`; mu = 1 is ``signal_events``.

    Histograms of more than one dimension are flattened. Raises ``ValueError`` for an exponential background, which pyhf
    cannot express, and for bad input.
    """
    if isinstance(background, Exponential):
        raise ValueError("background: pyhf has no exponential; export Chebyshev or Templates")
    if not 0 < signal_events < math.inf:
        raise ValueError(f"signal_events = {signal_events}: must be positive and finite")
    n = np.asarray(counts, dtype=float)
    fit(n, edges, signal, background, nuisances=nuisances, resolution_uncertainty=resolution_uncertainty)  # checks the input
    modifiers: list[Document] = [{"name": _STRENGTH, "type": "normfactor", "data": None}]
    if isinstance(signal, np.ndarray | list | tuple):
        row = np.asarray(signal, dtype=float).ravel() * signal_events
    else:
        shape: Any = signal
        x = shapes.check_edges(() if edges is None else edges)
        row, up, down = (shapes.fractions(shapes.widened(shape, 1 + sign * resolution_uncertainty), x) * signal_events
                         for sign in (0, 1, -1))  # type: ignore[arg-type]  # fmt: skip
        if resolution_uncertainty > 0:
            modifiers.append(_histosys("resolution", up, down))
    modifiers += _acting(nuisances, 0, row)
    if isinstance(background, Templates):
        samples, parameters = _template_samples(background, nuisances)
    else:
        samples, parameters = _curve_samples(n, shapes.check_edges(edges), signal, background, nuisances)  # type: ignore[arg-type]
    document = {"name": channel, "samples": [_sample("signal", row, modifiers), *samples]}
    return _workspace([document], {channel: n}, parameters, measurement)


def hepdata_table(result: ScanResult, *, name: str, variable: str, unit: str, quantity: str = "signal yield",
                  quantity_unit: str = "events", scale: ArrayLike = 1.0) -> Document:  # fmt: skip
    """A HEPData table of the limits of a scan: mass, observed, expected with 1 and 2 sigma; failed hypotheses are left out.

    ``scale`` (number or (m,)) turns events into ``quantity``. Raises ``ValueError`` if no hypothesis has a limit.
    """
    factor = np.broadcast_to(np.asarray(scale, dtype=float), result.masses.shape)
    good = result.converged & (result.observed > 0) & np.isfinite(factor)
    if not good.any():
        raise ValueError("result: no hypothesis has a limit")
    observed, expected = result.observed[good] * factor[good], result.expected[good] * factor[good][:, None]
    qualifiers = [{"name": "CL", "value": result.cl}, {"name": "method", "value": result.method}]
    values = [
        {
            "value": float(row[2]),
            "errors": [
                {"label": f"{k} sigma", "asymerror": {"minus": float(row[2 - k] - row[2]), "plus": float(row[2 + k] - row[2])}}
                for k in (1, 2)
            ],
        }
        for row in expected
    ]
    header = {"units": quantity_unit}
    return {
        "name": name,
        "independent_variables": [
            {"header": {"name": variable, "units": unit}, "values": [{"value": float(m)} for m in result.masses[good]]}
        ],
        "dependent_variables": [
            {"header": {"name": f"observed upper limit on {quantity}", **header}, "qualifiers": qualifiers,
             "values": [{"value": float(v)} for v in observed]},
            {"header": {"name": f"expected upper limit on {quantity}", **header}, "qualifiers": qualifiers, "values": values},
        ],
    }  # fmt: skip


def save(document: Document, path: str | Path) -> Path:
    """Write a document as JSON (.json) or YAML (.yaml, .yml), under a temporary name first; returns the path.

    Raises ``ValueError`` for another suffix and for NaN or infinity.
    """
    target = Path(path)
    text = json.dumps(document, indent=1, allow_nan=False)
    if target.suffix in (".yaml", ".yml"):
        import yaml

        text = yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True)
    elif target.suffix != ".json":
        raise ValueError(f"path = {target}: must end in .json, .yaml or .yml")
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
