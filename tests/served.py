"""A small notebook folder and a running server for the tests of pages and runs."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from belle2dark.parameters import Parameter

MASS = Parameter(name="mass", symbol="m", unit="GeV", default=1.0, low=0.1, high=10.0, help="mass of the thing")

ENABLE = """
import os
from IPython.display import HTML, display
if os.environ.get("BELLE2DARK_BOKEHJS") != "page":
    from bokeh.resources import Resources
    js = "\\n".join(Resources(mode="inline", components=["bokeh", "bokeh-mathjax"]).js_raw)
    display({"application/javascript": "(function() {" + js + "\\n}).call(window);"}, raw=True)
"""
PLOT = """
import ipywidgets, numpy
from bokeh.embed import components
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure
from jupyter_bokeh import BokehModel
x = numpy.linspace(1, 10, 100)
source = ColumnDataSource({"x": x, "y": mass * x})
plot = figure(width=500, height=300, x_axis_label=r"$$m_{A^\\prime}\\\\ [\\\\mathrm{GeV}]$$")
plot.line("x", "y", source=source)
slider = ipywidgets.FloatSlider(min=0.1, max=5, value=1, description="slope")
slider.observe(lambda change: source.data.update(y=change["new"] * x**2), "value")
ipywidgets.VBox([slider, BokehModel(plot, combine_events=True)])
"""
RESULT = """
import json
if mass > 9:
    raise ArithmeticError("too heavy for the test")
if os.environ.get("BELLE2DARK_BOKEHJS") == "report":
    display(HTML("".join(components(plot))))
if result_file:
    with open(result_file, "w") as file:
        json.dump({"mass": mass}, file)
"""


def write_notebooks(folder: Path) -> Path:
    """An index and a page ``demo`` with a slider, a live figure and a result file."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    parameters = new_code_cell('mass: float = 1.0  # GeV, mass\nresult_file: str = ""', metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# Demo\n\nwith $m_{A'}^2$"), parameters, *map(new_code_cell, (ENABLE, PLOT, RESULT))]
    index = [new_markdown_cell("# Index\n\n[demo](demo.ipynb)")]
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"title": "A demo", "kernelspec": kernel}), folder / "demo.ipynb")
    nbformat.write(new_notebook(cells=index, metadata={"title": "Index", "kernelspec": kernel}), folder / "index.ipynb")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(notebooks: Path, **options: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server process and its address; asks it to stop at the end, as Ctrl-C or a service manager would."""
    port = free_port()
    arguments = ", ".join(f"{name}={value!r}" for name, value in options.items())
    call = f"serve(port={port}, notebooks=Path({str(notebooks)!r}), {arguments})"
    code = f"from pathlib import Path; from belle2dark.launch import serve; {call}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert f"http://localhost:{port}/" in line, line
        yield f"http://localhost:{port}/", process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def status(url: str) -> int:
    """The status a GET of ``url`` answers with."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def kernels(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The running kernels of a server."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if alive(child) and "ipykernel_launcher" in " ".join(child.cmdline())]


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether ``condition`` came true within ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False
