"""Executing one notebook and turning it into files: the machinery under :func:`belle2dark.launch.run_notebook`.

Papermill does the work, with an engine that moves a rich progress bar; the HTML comes from nbconvert with our own
template, which needs no other host.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from traitlets.config import Config

ENGINE = "belle2dark"
WIDGET = "application/vnd.jupyter.widget-view+json"
SCRIPT = "application/javascript"


class _Bar:
    """What papermill expects of a tqdm bar, drawn by rich."""

    def __init__(self, title: str, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("cells"), TimeElapsedColumn())
        self.n = 0
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(title, total=total)
        self._progress.start()

    def update(self, cells: int) -> None:
        self._progress.advance(self._task, cells)

    def set_description(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def refresh(self) -> None:
        self._progress.refresh()

    def close(self) -> None:
        self._progress.stop()


class _Engine(NBClientEngine):  # type: ignore[misc]  # papermill's only way to be told of finished cells
    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, title: str = "", show: bool = True, **kwargs: Any) -> Any:
        if show:
            nb_man.pbar = _Bar(title, len(nb_man.nb.cells))
        return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)


def execute(
    source: Path, target: Path, parameters: dict[str, Any], *, title: str, cwd: Path, progress: bool, transport: str
) -> nbformat.NotebookNode:
    """Run ``source`` with ``parameters``, write ``target`` and return the executed notebook.

    Raises ``RuntimeError`` naming the cell and the message if a cell fails; ``target`` then holds what ran.
    """
    papermill_engines.register(ENGINE, _Engine)
    try:
        return execute_notebook(
            source, target, parameters, engine_name=ENGINE, kernel_name="python3", language="python", progress_bar=False, cwd=cwd,
            request_save_on_cell_execute=False, title=title, show=progress,
            config=Config({"KernelManager": {"transport": transport}}),
        )  # fmt: skip
    except PapermillExecutionError as error:
        first = next(iter(str(error.source).strip().splitlines()), "")
        raise RuntimeError(
            f"{source.name}: cell {error.cell_index} ({first!r}) failed: {error.ename}: {_plain(error.evalue)}"
        ) from None


def parameter_names(notebook: Path) -> frozenset[str]:
    """The names declared in the notebook's cell tagged ``parameters``; empty if there is none."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if "parameters" in cell.metadata.get("tags", ()):
            return frozenset(re.findall(r"^([A-Za-z_]\w*)\s*[:=]", cell.source, re.MULTILINE))
    return frozenset()


def html_report(notebook: nbformat.NotebookNode, assets: Path) -> str:
    """One self-contained HTML page of an executed notebook, without code and without live widgets."""
    from nbconvert.exporters import HTMLExporter

    page = nbformat.from_dict(notebook)
    page.metadata.pop("widgets", None)
    for cell in page.cells:
        for output in cell.get("outputs", ()):
            if WIDGET in output.get("data", {}):
                output["data"] = {"text/html": "<p><em>Interactive in JupyterLab and in <code>belle2dark app</code>.</em></p>"}
    exporter = HTMLExporter(template_name="belle2dark", extra_template_basedirs=[str(assets / "nbconvert" / "templates")],
                            exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True)  # fmt: skip
    body, _ = exporter.from_notebook_node(page)
    return str(body)


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook in ``path``."""
    return nbformat.read(path, as_version=4)


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the executed notebook without embedded BokehJS (3 MB that JupyterLab publishes again when it is run)."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if SCRIPT not in o.get("data", {})]
    nbformat.write(notebook, path)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", str(text))
