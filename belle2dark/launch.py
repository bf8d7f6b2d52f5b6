"""Serving and running the notebooks: what is behind ``belle2dark app`` and ``belle2dark run``.

:func:`serve` shows the notebooks as web pages (Voila, own template, no request to another host); :func:`run_notebook`
executes one of them with checked parameters and leaves the executed notebook, an HTML report and a result file.
Neither knows any physics: a search's parameters are handed in.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belle2dark.parameters import Parameter, parse_values
from belle2dark.sourced import nearest

PACKAGE = Path(__file__).resolve().parent
ASSETS = PACKAGE / "data" / "jupyter"
TEMPLATE = "belle2dark"
#: Tells a kernel how BokehJS gets into its page: "page" (Voila's template loads it) or "report" (nothing is live).
BOKEHJS_ENV = "BELLE2DARK_BOKEHJS"
#: Pages that keep a started kernel in reserve.
PREHEAT = ("index", "dark_higgsstrahlung")
BOKEHJS = ("bokeh.min.js", "bokeh-mathjax.min.js")


def notebooks_dir() -> Path:
    """The folder of the notebooks: inside an installed package, beside it in a checkout.

    Raises ``FileNotFoundError`` if neither is there.
    """
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if (folder / "index.ipynb").is_file():
            return folder
    raise FileNotFoundError(f"no notebooks in {PACKAGE / 'notebooks'} nor in {PACKAGE.parent / 'notebooks'}")


def notebook_path(name: str, folder: Path | None = None) -> Path:
    """The notebook of a search.

    Raises ``FileNotFoundError`` naming the nearest one that exists.
    """
    folder = folder or notebooks_dir()
    path = folder / f"{name}.ipynb"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.ipynb"))
        raise FileNotFoundError(f"no notebook {name!r} in {folder}; nearest: {nearest(name, known)}; known: {', '.join(known)}")
    return path


def serve(
    *,
    port: int = 8866,
    ip: str = "localhost",
    notebooks: Path | None = None,
    preheat: tuple[str, ...] = PREHEAT,
    max_kernels: int = 16,
    idle_minutes: float = 10.0,
    base_url: str = "/",
    open_browser: bool = False,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve the notebooks until Ctrl-C or SIGTERM, then end all kernels; the address is printed once it answers.

    ``preheat`` names the notebooks that keep one started kernel (140 MB each) in reserve; a kernel nobody is connected
    to ends after ``idle_minutes``; ``announce`` replaces printing. Raises ``OSError`` if the port is taken.
    """
    _check_port(ip, port)
    from belle2dark._server import DashboardServer, server_config

    folder = (notebooks or notebooks_dir()).resolve()
    config = server_config(folder, port=port, ip=ip, base_url=base_url, preheat=preheat, max_kernels=max_kernels,
                           idle_minutes=idle_minutes, bokehjs=BOKEHJS, transport=_transport())  # fmt: skip
    address = f"http://{ip}:{port}{base_url}"
    with _kernel_environment(bokehjs="page"):
        app = DashboardServer(config=config)
        app.initialize([])
        ready = (address, announce or _print_address, open_browser)
        threading.Thread(target=_announce_when_ready, args=ready, daemon=True).start()
        app.start()


@contextmanager
def _kernel_environment(*, bokehjs: str) -> Iterator[None]:
    """Kernels and templates come from our own folder first: a user's ``python3`` kernel may be another Python."""
    path = os.pathsep.join(filter(None, (str(ASSETS), os.environ.get("JUPYTER_PATH"))))
    with tempfile.TemporaryDirectory(prefix="b2d-") as runtime:  # not under HOME, which may be read-only
        changed = {"JUPYTER_PATH": path, "JUPYTER_RUNTIME_DIR": runtime, BOKEHJS_ENV: bokehjs}
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _transport() -> str:
    # Sockets in a folder of one's own: other users of the machine cannot listen, as they could on loopback. A socket's
    # path has at most 107 characters, and Windows has none.
    return "ipc" if os.name == "posix" and len(tempfile.gettempdir()) < 40 else "tcp"


def _check_port(ip: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError as error:
            raise OSError(error.errno, f"port {port} on {ip} cannot be used ({error.strerror}); choose another port") from None


def _print_address(address: str) -> None:
    print(f"belle2dark answers at {address} (Ctrl-C ends it)", flush=True)


def _announce_when_ready(address: str, announce: Callable[[str], None], open_browser: bool) -> None:
    # Asks for a file, not for a page: a page would use up the kernel kept for the first visitor.
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}voila/templates/{TEMPLATE}/static/belle2dark.css", timeout=5):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    else:
        return
    announce(address)
    if open_browser:
        import webbrowser

        webbrowser.open(address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The files a notebook run has left; ``html`` is ``None`` if no report was asked for."""

    notebook: Path
    result: Path
    html: Path | None


def run_notebook(
    name: str,
    parameters: Sequence[Parameter],
    given: Mapping[str, Any],
    out_dir: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    html: bool = True,
    notebooks: Path | None = None,
    progress: bool = True,
) -> Run:
    """Run a search's notebook at one parameter point and write ``<name>.ipynb``, ``.json`` and ``.html`` to ``out_dir``.

    ``parameters`` are the search's own, ``given`` the values to change; ``settings`` are further names of the notebook's
    ``parameters`` cell (``n_events``, ``seed``). All names and ranges are checked before a kernel starts. Raises
    ``ValueError`` for a bad name or value, ``FileNotFoundError`` for an unknown notebook and ``RuntimeError`` naming
    cell and message if a cell fails (what ran is then kept as ``<name>-failed.ipynb``).
    """
    source = notebook_path(name, notebooks)
    values = {**parse_values(parameters, given), **(settings or {})}
    from belle2dark import _report

    declared = _report.parameter_names(source)
    for key in (*values, "result_file"):
        if key not in declared:
            raise ValueError(f"{source.name} has no parameter {key!r}; nearest: {nearest(key, declared)}")
    out_dir = Path(out_dir).resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".running-") as folder, _kernel_environment(bokehjs="report"):
        work = Path(folder)
        result, executed, page = work / "result.json", work / "executed.ipynb", work / "report.html"
        try:
            notebook = _report.execute(source, executed, {**values, "result_file": str(result)}, title=name, cwd=work,
                                       progress=progress, transport=_transport())  # fmt: skip
        except RuntimeError as error:
            kept = out_dir / f"{name}-failed.ipynb"
            _report.write(_report.read(executed), executed)
            os.replace(executed, kept)
            raise RuntimeError(f"{error}; the notebook up to there: {kept}") from None
        if not result.is_file():
            raise RuntimeError(f"{source.name} ran but did not write its result file")
        if html:
            page.write_text(_report.html_report(notebook, ASSETS), encoding="utf-8")
        _report.write(notebook, executed)
        run = Run(
            notebook=out_dir / f"{name}.ipynb", result=out_dir / f"{name}.json", html=out_dir / f"{name}.html" if html else None
        )
        for made, final in ((executed, run.notebook), (result, run.result), (page, run.html)):
            if final is not None:
                os.replace(made, final)
    return run
