"""Notebooks run by papermill in this process, with fewer points on their curves: what a kernel does, without starting one."""

from __future__ import annotations

import ast
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import papermill
from IPython.core.formatters import DisplayFormatter
from IPython.display import display
from numpy.typing import NDArray
from papermill.engines import Engine, papermill_engines

from belle2dark import mass_scan, notebook
from belle2dark.launch import BOKEHJS_ENV

#: masses of a curve at most, signal events of the dashboard's points, and how much coarser scans of thousands of masses are
MASSES, LIVE, COARSER = 5, 2000, 10.0

#: the package has a function of that name
dashboard = import_module("belle2dark.dashboard")
_open_masses, _default_masses = notebook.open_masses, mass_scan.default_masses


def _few_masses(*args: Any, n: int = MASSES, **options: Any) -> tuple[float, ...]:
    return _open_masses(*args[:3], n=min(n, *args[3:], MASSES), **options)


def _coarse_masses(frame: Any, step: float) -> NDArray[Any]:
    return _default_masses(frame, COARSER * step)


@contextmanager
def coarse() -> Iterator[None]:
    """Curves of a few masses and scans of some hundred: the code is the same, the time is not."""
    with (
        patch.object(notebook, "open_masses", _few_masses),
        patch.object(dashboard, "open_masses", _few_masses),
        patch.object(dashboard, "N_LIVE", LIVE),
        patch.object(dashboard, "N_CURVE", LIVE),
        patch.object(mass_scan, "default_masses", _coarse_masses),
        patch.dict(os.environ, {BOKEHJS_ENV: "report"}),
    ):
        yield


class Cells(Engine):
    """A papermill engine that runs code cells in this process and formats the last expression of each as a notebook shows it."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_options: Any) -> None:
        """Run all cells of a notebook in one namespace."""
        names: dict[str, Any] = {"__name__": "__main__", "display": display}
        for index, cell in enumerate(nb_man.nb.cells):
            nb_man.cell_start(cell, index)
            if cell.cell_type == "code":
                _run(cell.source, f"code cell {index}", names)
            nb_man.cell_complete(cell, index)


def _run(source: str, where: str, names: dict[str, Any]) -> None:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with redirect_stdout(io.StringIO()):
        exec(compile(tree, where, "exec"), names)
        if last is not None:
            assert isinstance(last, ast.Expr)
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
            assert value is None or DisplayFormatter().format(value)[0], f"nothing to show for {where}"


papermill_engines.register("cells", Cells)


def run_cells(path: Path, written: Path, given: Mapping[str, Any]) -> None:
    """Run a notebook with papermill, the parameters ``given``, in this process, and write it to ``written``."""
    papermill.execute_notebook(path, written, dict(given), engine_name="cells", progress_bar=False)
