"""Many points: scans over declared parameters, and the whole plane of mass windows against observed events."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from belle2dark.contract import package_version
from belle2dark.limits.counting import Method
from belle2dark.observed import Array
from belle2dark.point import N_EVENTS, SEED, Point, point
from belle2dark.point_limits import is_narrow
from belle2dark.scaling import Systematics, check_systematics
from belle2dark.search import Search, load_search

if TYPE_CHECKING:
    import pandas as pd

#: values of one axis at most
LARGEST_AXIS = 1_000_000
BAND = ("minus2", "minus1", "median", "plus1", "plus2")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LimitCurve:
    """Limits at many points: a tidy table, one row per point, with the search, seed and version that made it.

    Columns: the parameters, ``efficiency``, ``background``, ``n_observed``, ``limit_minus2`` ... ``limit_plus2`` and
    ``limit_observed`` (in ``unit``), ``seen_median`` (the median times the share that is kept [fb]), the limits per coupling
    (``<coupling>_median`` ...; ``<coupling>_narrow``: whether the median is perturbative and its width below half of the
    resolution), ``narrow_width``, ``limited_by``
    and ``reason``; the table of a plane has ``n_effective`` and ``p_value`` instead of the last three. A closed point has
    empty limits and says why.
    """

    search: str
    quantity: str
    unit: str
    cl: float
    method: str
    seed: int
    version: str
    frame: pd.DataFrame
    systematics: Systematics = "constant"

    @property
    def about(self) -> dict[str, Any]:
        """Everything but the table."""
        return {
            name: getattr(self, name) for name in ("search", "quantity", "unit", "cl", "method", "seed", "version", "systematics")
        }

    def write(self, path: str | Path) -> Path:
        """Write to ``.csv``, ``.parquet`` or ``.json``, whole or not at all; raises ``ValueError`` for another suffix."""
        file = Path(path)
        writers: dict[str, Callable[[Path], None]] = {
            ".csv": self._write_csv,
            ".parquet": self._write_parquet,
            ".json": self._write_json,
        }
        if file.suffix not in writers:
            raise ValueError(f"{file.name}: unknown suffix {file.suffix!r}; allowed: {', '.join(writers)}")
        temporary = file.with_name(f".{os.getpid()}.{file.name}")
        try:
            writers[file.suffix](temporary)
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
        return file

    def _write_csv(self, file: Path) -> None:
        head = f"# {json.dumps(self.about)}\n"
        file.write_text(head + self.frame.to_csv(index=False), encoding="utf-8")

    def _write_parquet(self, file: Path) -> None:
        require_parquet()
        frame = self.frame.copy()
        frame.attrs.update(self.about)
        frame.to_parquet(file, index=False)

    def _write_json(self, file: Path) -> None:
        rows = json.loads(self.frame.to_json(orient="records", double_precision=15))
        file.write_text(json.dumps(self.about | {"rows": rows}, indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> LimitCurve:
        """Read back what :meth:`write` wrote."""
        import pandas as pd

        file = Path(path)
        if file.suffix == ".csv":
            with file.open(encoding="utf-8") as text:
                about = json.loads(text.readline().removeprefix("#"))
            frame = pd.read_csv(file, skiprows=1, float_precision="round_trip")
            return cls(**about, frame=frame.fillna({"reason": ""}))  # CSV cannot tell an empty text from a missing one
        if file.suffix == ".parquet":
            frame = pd.read_parquet(file)
            about, frame.attrs = dict(frame.attrs), {}
            return cls(**about, frame=frame)
        if file.suffix == ".json":
            content = json.loads(file.read_text(encoding="utf-8"))
            return cls(**{name: value for name, value in content.items() if name != "rows"}, frame=as_table(content["rows"]))
        raise ValueError(f"{file.name}: unknown suffix {file.suffix!r}; allowed: .csv, .parquet, .json")


def require_parquet() -> None:
    """Raise ``ValueError`` if this installation cannot write Parquet files."""
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise ValueError("Parquet files need pyarrow: pip install 'belle2dark[io]', or write .csv or .json")


def as_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a table in which every column is of one kind: a missing number is NaN, never ``None``."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    for name in frame:
        if frame[name].dtype == object and not any(isinstance(value, str) for value in frame[name]):
            frame[name] = pd.to_numeric(frame[name])
    return frame


def parse_axis(text: str) -> tuple[str, tuple[Any, ...]]:
    """``name=a,b,c`` (values), ``name=lo:hi:n`` (linear) or ``name=lo:hi:n:log`` as (name, values).

    Raises ``ValueError`` saying what is wrong with the text.
    """
    name, _, spec = text.partition("=")
    if not name.strip() or not spec.strip():
        raise ValueError(f"{text!r}: expected name=value, name=a,b,c or name=lo:hi:n[:log]")
    parts = spec.split(":")
    if len(parts) == 1:
        return name.strip(), tuple(part.strip() for part in spec.split(","))
    if parts[2:] and parts[2].strip().isdigit() and int(parts[2]) > LARGEST_AXIS:
        raise ValueError(f"{text!r}: {parts[2]} values; expected at most {LARGEST_AXIS}")
    try:
        low, high, n = float(parts[0]), float(parts[1]), int(parts[2])
        if len(parts) > 4 or (len(parts) == 4 and parts[3] != "log") or n < 1 or not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError
        if len(parts) == 4 and not (low > 0 and high > 0):
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(
            f"{text!r}: expected {name}=lo:hi:n or {name}=lo:hi:n:log with n >= 1 (and lo, hi > 0 for log)"
        ) from None
    values = np.geomspace(low, high, n) if len(parts) == 4 else np.linspace(low, high, n)
    return name.strip(), tuple(float(v) for v in values)


def row(answer: Point) -> dict[str, Any]:
    """One line of a :class:`LimitCurve`."""
    out: dict[str, Any] = dict(answer.values)
    out |= {
        "cross_section_fb": answer.cross_section_fb,
        "branching_fraction": answer.branching_fraction,
        "efficiency": answer.efficiency,
        "efficiency_uncertainty": answer.efficiency_uncertainty,
        "background": answer.background_events,
        "n_observed": answer.counting.n_observed if answer.counting else None,
    }
    for k, name in enumerate(BAND):
        out[f"limit_{name}"] = answer.limit[k] if answer.limit else None
    out["limit_observed"] = answer.observed
    out["seen_median"] = answer.seen_fb[2] if answer.seen_fb else None
    for coupling in answer.search.couplings:
        found = next((c for c in answer.couplings if c.name == coupling.name), None)
        for k, name in enumerate(BAND):
            out[f"{coupling.name}_{name}"] = found.expected[k] if found and np.isfinite(found.expected[k]) else None
        out[f"{coupling.name}_observed"] = found.observed if found else None
        out[f"{coupling.name}_narrow"] = found is not None and is_narrow(answer, coupling, found.expected[2])
    return out | {"narrow_width": answer.narrow_width, "limited_by": answer.limited_by, "reason": answer.reason}


def _row_of(values: Mapping[str, Any], *, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return row(point(load_search(name), values, **options))


def scan(
    search: Search,
    axes: Mapping[str, Sequence[Any]],
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
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> LimitCurve:
    """Every combination of the ``axes`` (parameter name -> values), the others as ``given`` or at their defaults.

    The answers do not depend on order or ``workers`` (processes). ``progress(done, total)`` is called after each point.
    Raises ``ValueError`` for bad names or values before anything is simulated.
    """

    fixed = dict(given or {})
    grid = [fixed | dict(zip(axes, combination, strict=True)) for combination in product(*axes.values())]
    if not grid:
        raise ValueError("scan: an axis has no values")
    parsed = [search.parse(values) for values in grid]
    dataset = search.at(parsed[0]).datasets[str(parsed[0]["dataset"])]
    options: dict[str, Any] = {"lines": lines, "cl": cl, "method": method, "seed": seed, "n_events": n_events}
    options |= {"observed": observed, "systematics": check_systematics(systematics)}
    work = partial(_row_of, name=search.name, options=options)
    rows: list[dict[str, Any]] = []
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for done, line in enumerate(pool.map(work, grid, chunksize=max(1, len(grid) // (8 * workers)))):
                rows.append(line)
                if progress:
                    progress(done + 1, len(grid))
    else:
        for done, values in enumerate(grid):
            rows.append(row(point(search, values, **options)))
            if progress:
                progress(done + 1, len(grid))
    return LimitCurve(
        search=search.name,
        quantity=search.quoted(parsed[0]),
        unit=search.unit_at(parsed[0]),
        cl=search.cl_at(parsed[0]) if cl is None else cl,
        method=method or dataset.method,
        seed=seed,
        version=package_version(),
        frame=as_table(rows),
        systematics=systematics,
    )
