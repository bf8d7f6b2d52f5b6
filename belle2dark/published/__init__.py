"""Published results: one YAML file per paper in this folder, and tables that a user adds.

    load_published("dark_higgsstrahlung")   # every published result of that search
    load_published()                        # all of them
    read_hepdata_csv("table.csv")           # columns of a HEPData (or plain) CSV table

A :class:`Published` is either a curve (``masses`` with ``observed`` and perhaps ``expected``) or, where a paper's numbers
are only known from its abstract, a ``range`` that the limits span over a ``region`` of masses. To add a paper, add a file:
nothing else changes.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.sourced import Confidence, Reference, check_source, read_yaml

if TYPE_CHECKING:
    from belle2dark.published._schema import ResultIn

METHODS = ("bayesian", "feldman_cousins", "cls")
#: the quantity of a published Punzi sensitivity [fb], which is no limit
PUNZI = "punzi_sigma_min_fb"
#: what is compared: limits with limits, published observed limits as pulls in our expected band, or limits that our declared
#: background was fitted to, which prove nothing, or all our limits with the range of published ones
COMPARISONS = ("limits", "pulls", "described", "within")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published result with everything needed to compare with it.

    ``masses`` maps a mass parameter to its values [GeV]; ``observed`` and ``expected`` have the same length (``expected``
    is ``None`` where the paper gives none) and are in ``unit``. ``range`` is (lowest, highest) observed limit anywhere in
    ``region`` (mass parameter -> (low, high) [GeV]) with the masses of ``ascending`` in that order. ``luminosity`` is in
    fb-1 (``None`` for samples counted otherwise), ``sqrt_s`` in GeV. ``parameters`` are choices of the search that the result
    holds for, beside dataset and luminosity (``scenario: vanilla``). ``notes`` say which figure, curve and factor.

    How it is compared: ``factors`` are the allowed ratios of rates in the median and for a single point (default: what the
    search allows); with ``compare: pulls`` the observed curve is placed in our expected band; with ``compare: within`` all our
    limits of a region are to lie inside the published range, widened by the factor; with ``compare: described`` ratios
    are reported without a target, because declared constants were fitted to this very curve; the ends of a range with
    ``observed_extremes`` are those of an observed curve over all masses and compared with pseudo-experiments.
    """

    paper: str
    search: str
    dataset: str
    luminosity: float | None
    sqrt_s: float
    cl: float
    method: str
    quantity: str
    unit: str
    source: str
    confidence: Confidence
    reference: Reference
    parameters: Mapping[str, str | float] = field(default_factory=lambda: MappingProxyType({}))
    masses: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    observed: tuple[float, ...] | None = None
    expected: tuple[float, ...] | None = None
    range: tuple[float, float] | None = None
    region: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    ascending: tuple[str, ...] = ()
    factors: tuple[float, float] | None = None
    compare: str = "limits"
    observed_extremes: bool = False
    notes: str = ""

    def __post_init__(self) -> None:
        where = f"{self.paper}, {self.search}, {self.quantity}"
        if self.method not in METHODS:
            raise ValueError(f"{where}: method {self.method!r}: must be one of {' | '.join(METHODS)}")
        if bool(self.masses) == bool(self.region):
            raise ValueError(f"{where}: needs either masses (a curve) or a region (a range)")
        if self.masses:
            curves = [c for c in (self.observed, self.expected) if c is not None]
            if not curves or len({len(c) for c in [*self.masses.values(), *curves]}) != 1 or self.range is not None:
                raise ValueError(f"{where}: masses, observed and expected of a curve must be equally long, without a range")
            if min(min(c) for c in curves) <= 0:
                raise ValueError(f"{where}: limits must be positive")
        elif self.range is None or self.observed is not None or self.expected is not None:
            raise ValueError(f"{where}: a region goes with a range, without observed or expected")
        if self.compare not in COMPARISONS:
            raise ValueError(f"{where}: compare {self.compare!r}: must be one of {' | '.join(COMPARISONS)}")
        if self.compare == "pulls" and self.observed is None:
            raise ValueError(f"{where}: pulls need a curve of observed limits")
        if self.observed_extremes and self.range is None:
            raise ValueError(f"{where}: observed_extremes belong to a range")
        if self.factors is not None and not 1.0 <= self.factors[0] <= self.factors[1]:
            raise ValueError(f"{where}: factors = {list(self.factors)}: must be 1 or more, the median's first")
        for name, (low, high) in [*self.region.items(), *([("range", self.range)] if self.range else [])]:
            if not 0 <= low <= high:
                raise ValueError(f"{where}: {name} = [{low}, {high}]: must ascend and not be negative")

    def __reduce__(self) -> tuple[Any, ...]:  # mapping proxies do not pickle
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return _published, ({k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()},)


def _published(values: dict[str, Any]) -> Published:
    proxied: dict[str, Any] = {k: MappingProxyType(v) if isinstance(v, dict) else v for k, v in values.items()}
    return Published(**proxied)


def inside(result: Published, masses: Mapping[str, ArrayLike]) -> NDArray[np.bool_]:
    """Whether points (mass parameter -> values [GeV], broadcast together) lie strictly inside the region of ``result``.

    A curve's region spans its own mass values. Raises ``ValueError`` where a mass of the region is not given.
    """
    region = dict(result.region) or {name: (min(v), max(v)) for name, v in result.masses.items()}
    missing = [name for name in [*region, *result.ascending] if name not in masses]
    if missing:
        raise ValueError(f"{result.paper}: mass {missing[0]!r} is needed to compare with this result")
    ok: NDArray[np.bool_] = np.asarray(True)
    for name, (low, high) in region.items():
        value = np.asarray(masses[name], dtype=float)
        ok = ok & ((value > low) & (value < high) if result.region else (value >= low) & (value <= high))
    for lighter, heavier in zip(result.ascending, result.ascending[1:], strict=False):
        ok = ok & (np.asarray(masses[lighter]) < np.asarray(masses[heavier]))
    return ok


def load_published(search: str | None = None) -> tuple[Published, ...]:
    """All published results of one search (by its ``search`` field; none is an empty tuple), or of all searches.

    Raises ``ValueError`` naming file, entry and field if a file is not what it should be.
    """
    results = _load_all()
    return results if search is None else tuple(r for r in results if r.search == search)


@cache
def _load_all() -> tuple[Published, ...]:
    paths = sorted((p for p in files(__name__).iterdir() if p.name.endswith(".yaml")), key=lambda p: p.name)
    return tuple(result for path in paths for result in read_paper(path))


def read_paper(path: Traversable | Path) -> tuple[Published, ...]:
    """The results in one paper's YAML file, strictly read. Raises ``ValueError`` naming file, entry and field."""
    return parse_paper(read_yaml(path), path.name)


def parse_paper(raw: Any, name: str) -> tuple[Published, ...]:
    """The results in a parsed YAML document; ``name`` is used in messages. Raises ``ValueError``."""
    from belle2dark import _schema as base
    from belle2dark.published import _schema

    document = base.validate(_schema.PaperIn, raw, name)
    references = base.references(document.references)
    if document.paper not in references:
        raise ValueError(f"{name}: paper {document.paper!r} is not one of the references ({', '.join(references)})")
    for i, entry in enumerate(document.results):
        check_source(entry.source, entry.confidence, references, f"{name}: results.{i}")
    return tuple(_record(entry, references[document.paper], name) for entry in document.results)


def _record(entry: ResultIn, reference: Reference, name: str) -> Published:
    """The record of one validated entry."""
    values = entry.model_dump()
    for key, value in values.items():
        if isinstance(value, dict):
            values[key] = MappingProxyType({k: tuple(map(float, v)) if isinstance(v, list) else v for k, v in value.items()})
        elif isinstance(value, list):
            values[key] = tuple(value)
    try:
        return Published(paper=reference.key, reference=reference, **values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def read_hepdata_csv(path: str | Path) -> dict[str, tuple[float, ...]]:
    """Columns of the first table of a CSV file as HEPData exports it: '#' comments, one header row, numbers.

    The user says which column is what; a second header (HEPData repeats tables) ends the table. Raises ``ValueError``
    naming file and line for a row that is not numbers, ``FileNotFoundError`` for a missing file.
    """
    header: list[str] = []
    rows: list[list[float]] = []
    with open(path, newline="", encoding="utf-8-sig") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#"):
                if rows:  # a blank line or a comment ends the table
                    break
                continue
            cells = [cell.strip() for cell in row]
            if not header:
                header = cells
                continue
            try:
                rows.append([float(cell) for cell in cells])
            except ValueError:
                raise ValueError(f"{path}, line {number}: {row} is not a row of numbers") from None
            if len(cells) != len(header) or not np.all(np.isfinite(rows[-1])):
                raise ValueError(f"{path}, line {number}: needs {len(header)} finite numbers, one per column {header}")
    if not rows:
        raise ValueError(f"{path}: no table of numbers with a header row")
    if len(set(header)) != len(header):
        raise ValueError(f"{path}: column names are not unique: {header}")
    return {name: tuple(column) for name, column in zip(header, zip(*rows, strict=True), strict=True)}
