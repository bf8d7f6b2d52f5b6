"""Serving and running notebooks: checked before a kernel starts, nothing half-written, no kernel left behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

from belle2dark import launch
from belle2dark.parameters import Parameter
from tests.served import MASS, alive, kernels, server, status, wait_for, write_notebooks


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notebooks(tmp_path_factory.mktemp("notebooks"))


def run(notebooks: Path, out: Path, **options: object) -> launch.Run:
    given = options.pop("given", {"mass": "2.5"})
    return launch.run_notebook("demo", (MASS,), given, out, notebooks=notebooks, progress=False, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> launch.Run:
    return run(notebooks, tmp_path_factory.mktemp("out"))


def test_run_leaves_result_report_and_notebook_and_nothing_else(finished: launch.Run):
    assert json.loads(finished.result.read_text()) == {"mass": 2.5}
    assert finished.html is not None
    assert sorted(p.name for p in finished.result.parent.iterdir()) == ["demo.html", "demo.ipynb", "demo.json"]


def test_executed_notebook_does_not_carry_bokehjs(finished: launch.Run):
    assert finished.notebook.stat().st_size < 200_000  # BokehJS alone is 3 MB


def test_report_shows_figure_but_no_code_and_asks_no_other_host(finished: launch.Run):
    assert finished.html is not None
    page = finished.html.read_text()
    assert "docs_json" in page, "the figure is missing"
    assert "ArithmeticError" not in page, "the code is shown"
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=[\"'](?!data:)[^\"']+", page)


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*args: object, **kwargs: object) -> None:
        raise AssertionError("a kernel was started")

    from belle2dark import _report

    monkeypatch.setattr(_report, "execute", started)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mas": 2}, "unknown parameter 'mas'.*mass"),
        ({"mass": 11}, "mass = 11 GeV.*0.1 to 10 GeV"),
        ({"mass": "x"}, "not a number"),
    ],
)
def test_bad_values_are_refused_before_a_kernel_starts(notebooks, tmp_path, no_kernel, given, message):
    with pytest.raises(ValueError, match=message):
        run(notebooks, tmp_path, given=given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("settings", [{"n_event": 10}, {"seed": 1}])
def test_a_setting_the_notebook_does_not_declare_is_refused(notebooks, tmp_path, no_kernel, settings):
    with pytest.raises(ValueError, match=f"has no parameter '{next(iter(settings))}'"):
        run(notebooks, tmp_path, settings=settings)


def test_a_parameter_missing_in_the_notebook_is_refused(notebooks, tmp_path, no_kernel):
    other = Parameter(name="width", symbol="w", unit="GeV", default=1.0, low=0.0, high=2.0, help="width")
    with pytest.raises(ValueError, match=r"demo\.ipynb has no parameter 'width'"):
        launch.run_notebook("demo", (MASS, other), {}, tmp_path, notebooks=notebooks, progress=False)


def test_unknown_notebook_names_the_nearest(notebooks: Path):
    with pytest.raises(FileNotFoundError, match=r"no notebook 'deom'.*nearest: demo"):
        launch.notebook_path("deom", notebooks)


def test_a_failing_cell_is_named_and_what_ran_is_kept(notebooks: Path, tmp_path: Path):
    with pytest.raises(RuntimeError, match=r"demo.ipynb: cell \d+ .*ArithmeticError: too heavy for the test"):
        run(notebooks, tmp_path, given={"mass": 9.5})
    assert [p.name for p in tmp_path.iterdir()] == ["demo-failed.ipynb"]
    nbformat.validate(nbformat.read(tmp_path / "demo-failed.ipynb", as_version=4))


@pytest.fixture(scope="module")
def site(notebooks: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with server(notebooks, preheat=(), max_kernels=3, idle_minutes=0.05) as running:
        yield running


@pytest.mark.parametrize("path", ["", "index.ipynb", "voila/render/index.ipynb", "bokehjs/bokeh.min.js"])
def test_pages_are_served(site, path):
    assert status(site[0] + path) == 200


@pytest.mark.parametrize(
    "path",
    ["voila/tree", "voila/files/demo.ipynb", "voila/api/contents", "api/contents", "api/kernels", "api/terminals", "lab",
     "nothing.ipynb", "../pyproject.toml", "bokehjs/../../server.py"],
)  # fmt: skip
def test_files_sources_and_apis_are_not(site, path):
    assert status(site[0] + path) in (403, 404)


def test_a_kernel_too_many_is_503_and_idle_kernels_end(site):
    address, process = site
    assert wait_for(lambda: not kernels(process), 30), "idle kernels were not ended"
    with ThreadPoolExecutor(4) as visitors:
        answers = list(visitors.map(status, [address] * 4))
    assert set(answers) == {200, 503}
    assert answers.count(200) <= 3  # fewer if a kernel of the page before is still ending
    assert wait_for(lambda: not kernels(process), 30), "idle kernels were not ended"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_stopping_ends_all_kernels_at_once(notebooks: Path, ending: signal.Signals):
    with server(notebooks, preheat=("demo",)) as (_, process):
        assert wait_for(lambda: len(kernels(process)) == 1, 20), "exactly the named page is preheated"
        started = kernels(process)
        process.send_signal(ending)
        assert process.wait(timeout=60) == 0  # a kernel that is just starting is waited for
        assert wait_for(lambda: not any(alive(kernel) for kernel in started), 5)


def test_a_taken_port_is_said():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} on localhost cannot be used"):
            launch.serve(port=port)
