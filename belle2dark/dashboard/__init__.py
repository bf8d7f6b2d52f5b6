"""The live page of any search: controls made from its parameters, bound to figures and numbers.

    dashboard(SEARCH, m_aprime=6.0, epsilon=1e-3)

Couplings, luminosity, confidence level and method answer at once from the simulated point; a mass, a dataset or an L1
line simulates with reduced statistics, and the limit curve follows in the background with a progress bar.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

import ipywidgets as w

from belle2dark.dashboard.controls import (
    control,
    level_control,
    line_switches,
    method_control,
    presets,
    systematics_control,
)
from belle2dark.dashboard.figures import LiveFigures
from belle2dark.dashboard.layout import live, wrapping
from belle2dark.dashboard.panel import downloads_html, message_html, numbers_html
from belle2dark.notebook import curve, mass_points, open_masses
from belle2dark.plots.limits import mass_axis
from belle2dark.point import SEED, Point, point
from belle2dark.scaling import Systematics
from belle2dark.search import Dataset, Search
from belle2dark.trigger.menu import Line, load_menu

#: Signal events simulated per slider move, and per mass of the curve.
N_LIVE, N_CURVE = 8_000, 6_000
#: Seconds without a change before the curve is made again, and before the files are.
PAUSE, SETTLE = 0.05, 0.5
#: systematic uncertainties before anyone asks for others
TODAY: Systematics = "constant"

__all__ = ["Dashboard", "dashboard"]


def dashboard(search: Search, /, **initial: Any) -> w.Widget:
    """The dashboard of ``search`` at the parameters ``initial``; raises ``ValueError`` for bad names or values."""
    return Dashboard(search, initial).box


class Dashboard:
    """State and widgets of one dashboard; use :func:`dashboard`."""

    def __init__(self, search: Search, initial: Mapping[str, Any]) -> None:
        self.search, self.initial = search, dict(initial)
        self.values = search.parse(initial)
        self.lines, self.cl, self.method = self.dataset.lines, search.cl_at(self.values), self.dataset.method
        self.systematics: Systematics = TODAY
        self.answer = self._point()
        self.curve = mass_points(search, self.values, n_events=N_CURVE, lines=self.lines, cl=self.cl, method=self.method)
        self._curve_key = self._key()
        self.figures = LiveFigures(search, self.answer, self.curve)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._build()
        self._show_numbers()
        self._show_files()

    @property
    def dataset(self) -> Dataset:
        """The dataset chosen."""
        return self.search.at(self.values).datasets[str(self.values["dataset"])]

    def _point(self) -> Point:
        return point(self.search, self.values, lines=self.lines, cl=self.cl, method=self.method, systematics=self.systematics,
                     n_events=N_LIVE, seed=SEED)  # fmt: skip

    def _key(self) -> tuple[Any, ...]:
        """What the limit curve depends on: everything but the mass it is drawn against."""
        axis = mass_axis(self.search)
        return (*(v for name, v in self.values.items() if name != axis), self.lines, self.cl, self.method, self.systematics)

    def _build(self) -> None:
        self.message, self.numbers, self.files = w.HTML(), w.HTML(), w.HTML()
        self.progress = w.FloatProgress(
            value=1.0,
            min=0,
            max=1,
            layout=w.Layout(width="100%", height="8px", visibility="hidden"),
            tooltip="simulating the limit curve",
        )
        self.controls = {p.name: control(p, self.values[p.name], self.changed, self._complain) for p in self.search.parameters}
        self.controls["cl"] = level_control(self.cl, self.changed)
        self.controls["method"] = method_control(self.method, self.changed)
        self.controls["systematics"] = systematics_control(self.systematics, self.changed)
        self.switches = line_switches(self.lines, self.changed, self._lines_of_all())
        self._offer_lines()
        reset = w.Button(
            description="Reset", icon="undo", tooltip="all controls back to where they were", layout=w.Layout(width="auto")
        )
        reset.on_click(lambda _: self.reset())
        parts: list[Any] = []
        for name, entry in self.controls.items():
            parts.append(entry.box)
            if name == "luminosity":
                parts.append(presets(self.search, lambda: self.dataset, self.changed))
        left = w.VBox(
            [*parts, w.HTML("<b>L1 lines</b>"), self.switches.box, w.HBox([reset]), self.message, self.progress],
            layout=w.Layout(flex="1 1 420px", min_width="300px", padding="0 12px 0 0"),
        )
        right = w.VBox(
            [live(next(iter(self.figures.limits.values()))), self.numbers, self.files],
            layout=w.Layout(flex="2 1 540px", min_width="300px"),
        )
        rest = [live(plot) for plot in self.figures.all[1:]]
        self.box = w.VBox([wrapping([left, right], align_items="flex-start"), wrapping(rest)], layout=w.Layout(width="100%"))
        self.box.add_class("b2d-dashboard")

    def _lines_of_all(self) -> list[Line]:
        """The L1 lines that any dataset may want."""
        menu = load_menu()
        return list({line.name: line for part in self.search.parts for dataset in part.datasets.values()
                     for line in menu.offered(part.template, dataset.lines, dataset.detector.name)}.values())  # fmt: skip

    def _offer_lines(self) -> None:
        self.switches.offer(load_menu().names_of(self.dataset.detector.name))

    def _complain(self, text: str) -> None:
        self.message.value = message_html(text)

    def changed(self, name: str, value: Any) -> None:
        """A control has a new value: answer at once with what needs little, and start what needs more."""
        before, self.message.value = self._sample(), ""
        try:
            self._take(name, value)
            self.answer = self._point()
        except ValueError as error:
            self._complain(str(error))
            return
        if self._sample() != before:
            self.figures.masses_changed(self.answer)
        else:
            self.figures.rescale(self.answer)
            self._start("details", self._show_details())
        self._show_numbers()
        if self._key() != self._curve_key:
            self._start("curve", self._remake_curve())
        self._start("files", self._remake_files())

    def _sample(self) -> tuple[Any, ...]:
        """What decides which events are shown."""
        return (*self.search.sample_of(self.values), self.values.get("calibration"), self.lines)

    def _take(self, name: str, value: Any) -> None:
        if name == "lines":
            self.lines = value
        elif name == "cl":
            self.cl = value
        elif name == "method":
            self.method = value
        elif name == "systematics":
            self.systematics = value
        else:
            self.values = self.search.parse({**self.values, name: value})
            if name == "dataset":
                self._follow_dataset()
            elif name == "quantity":
                self.cl = self.search.cl_at(self.values)
                self.controls["cl"].set(self.cl)
            self.controls[name].set(self.values[name])

    def _follow_dataset(self) -> None:
        """A dataset brings its luminosity, and how its limits are made: L1 lines, confidence level, method, systematics."""
        self.values["luminosity"] = float(self.dataset.luminosity)
        self.controls["luminosity"].set(self.values["luminosity"])
        self._as_published()

    def _as_published(self) -> None:
        self.lines, self.cl, self.method = self.dataset.lines, self.search.cl_at(self.values), self.dataset.method
        self.systematics = TODAY
        self.switches.set(self.lines)
        self._offer_lines()
        for name in ("cl", "method", "systematics"):
            self.controls[name].set(getattr(self, name))

    def reset(self) -> None:
        """All controls back to where they were at the start."""
        self.values = self.search.parse(self.initial)
        for name, value in self.values.items():
            self.controls[name].set(value)
        self._as_published()
        self.answer = self._point()
        self.message.value = ""
        self.figures.masses_changed(self.answer)
        self._show_numbers()
        self._start("curve", self._remake_curve())
        self._start("files", self._remake_files())

    def _show_numbers(self) -> None:
        self.numbers.value = numbers_html(self.answer)
        self.switches.show(self.answer.line_efficiencies, self.lines)

    def _show_files(self) -> None:
        table = curve(self.curve).frame.to_csv(index=False) if self.curve else ""
        self.files.value = downloads_html(self.answer, table)

    def _start(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` between the user's actions; a newer one of its kind replaces it. Without a loop: at once."""
        if kind in self._tasks:
            self._tasks.pop(kind).cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(work)
            return
        self._tasks[kind] = loop.create_task(work)

    async def _remake_curve(self) -> None:
        await asyncio.sleep(PAUSE)
        values, key = dict(self.values), self._key()
        axis = mass_axis(self.search)
        options: dict[str, Any] = {"lines": self.lines, "cl": self.cl, "method": self.method, "systematics": self.systematics,
                                   "n_events": N_CURVE, "seed": SEED}  # fmt: skip
        made: list[Point] = []
        with suppress(asyncio.CancelledError):
            try:
                masses = open_masses(self.search, values, axis)
                for mass in masses:
                    made.append(point(self.search, {**values, axis: mass}, **options))
                    self.progress.value = len(made) / len(masses)
                    self.progress.layout.visibility = "visible"
                    await asyncio.sleep(0)  # a newer change gets its turn, and cancels this one
            except ValueError as error:
                self._complain(str(error))
            self.curve, self._curve_key = made, key
            self.figures.show_curve(made, self.answer)
        self.progress.layout.visibility = "hidden"

    async def _show_details(self) -> None:
        await asyncio.sleep(PAUSE)
        self.figures.details(self.answer)

    async def _remake_files(self) -> None:
        await asyncio.sleep(SETTLE)
        self._show_files()
