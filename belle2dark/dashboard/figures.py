"""The dashboard's figures: made once, then only their data, titles and ranges move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from belle2dark.plots.limits import (
    RATE,
    draw_limit,
    fits,
    here_data,
    limit_data,
    limit_title,
    mass_axis,
    move_overlays,
    of_quantity,
    overlays_of,
    quantity_label,
    segments,
    show_published,
    y_limits,
)
from belle2dark.plots.spectrum import (
    NAMES,
    all_processes,
    axis_text,
    density_range,
    plane,
    plane_data,
    plane_title,
    process_names,
    spectrum,
    spectrum_data,
    spectrum_shapes,
)
from belle2dark.plots.style import luminosity_text, named, named_source
from belle2dark.point import Point
from belle2dark.published import load_published
from belle2dark.scan import row
from belle2dark.search import Search, always


class LiveFigures:
    """Limit on the rate, limit on the first coupling, spectrum in both window variables, and the mass plane."""

    def __init__(self, search: Search, answer: Point, curve: Sequence[Point]) -> None:
        self.search, self.axis = search, mass_axis(search)
        several = any(c.applies is not always for c in search.couplings)
        self.quantities = (RATE, *(c.name for c in (search.couplings if several else search.couplings[:1])))
        self.published = {q: of_quantity(load_published(search.name), search, q) for q in self.quantities}
        rows = [row(p) for p in curve]
        title = limit_title(answer.cl, answer.method, answer.luminosity)
        self.limits = {
            q: draw_limit(
                search,
                limit_data(rows, self.axis, q),
                self.published[q],
                q,
                title,
                400,
                overlays_of(search, answer.values, q),
                answer.values,
            )
            for q in self.quantities
        }
        self._show_couplings(answer)
        self.names = all_processes(search, answer)
        self.spectra: tuple[Any, ...] = tuple(spectrum(answer, along, names=self.names) for along in (0, 1))
        self.plane: Any = plane(answer)
        self._shapes: list[dict[str, Any]] = []
        self._drawn: list[tuple[float, float]] = [(0.0, 0.0)] * len(self.spectra)
        self._plane_luminosity = 0.0
        self._density = np.zeros((2, 2))
        self.masses_changed(answer)

    @property
    def all(self) -> tuple[Any, ...]:
        """All figures, the limits first."""
        return (*self.limits.values(), *self.spectra, self.plane)

    def move_here(self, answer: Point, quantities: Sequence[str] | None = None) -> None:
        """The current point on the limit plots (of some quantities only)."""
        for quantity in quantities or self.quantities:
            plot = self.limits[quantity]
            bounds = (float(plot.y_range.start), float(plot.y_range.end))
            named_source(plot, "here").data = here_data(answer, self.axis, quantity, bounds)

    def show_curve(self, curve: Sequence[Point], answer: Point) -> None:
        """New limit curves."""
        rows = [row(p) for p in curve]
        for quantity, plot in self.limits.items():
            data = limit_data(rows, self.axis, quantity)
            plot.y_range.start, plot.y_range.end = y_limits(data, [r for r in self.published[quantity] if fits(r, answer.values)])
            named_source(plot, "narrow").data = segments(data, True)
            named_source(plot, "wide").data = segments(data, False)
            named_source(plot, "band").data = {name: values for name, values in data.items() if name != "narrow"}
            plot.title.text = limit_title(answer.cl, answer.method, answer.luminosity)
            plot.yaxis.axis_label = quantity_label(self.search, quantity, answer.values)
            move_overlays(plot, overlays_of(self.search, answer.values, quantity))
            show_published(plot, self.published[quantity], answer.values)
        self._show_couplings(answer)
        self.move_here(answer)

    def _show_couplings(self, answer: Point) -> None:
        """Only the limits on couplings of the model that is chosen."""
        names = {RATE, *(c.name for c in self.search.couplings_for(answer.values))}
        for quantity, plot in self.limits.items():
            plot.visible = quantity in names

    def masses_changed(self, answer: Point) -> None:
        """Shapes of signal and background after a change of masses, dataset or L1 lines."""
        self._shapes = [spectrum_shapes(answer, along) for along in (0, 1)]
        parts = plane_data(answer)
        self._density = parts["density"]["image"][0]
        for name in ("ellipse", "events"):
            named_source(self.plane, name).data = parts[name]
        corner = parts["density"]
        for axis, low, span in ((self.plane.x_range, "x", "dw"), (self.plane.y_range, "y", "dh")):
            axis.start, axis.end = corner[low][0], corner[low][0] + corner[span][0]
        self._corner = corner
        present = {NAMES.get(name, name) for name in process_names(answer)}
        absent = {NAMES.get(name, name) for name in self.names} - present
        labels = [axis_text(answer, along)[0] for along in (0, 1)]
        self.plane.xaxis.axis_label, self.plane.yaxis.axis_label = labels
        for plot, shapes, label in zip(self.spectra, self._shapes, labels, strict=True):
            plot.xaxis.axis_label = label
            for item in plot.legend[0].items:
                item.visible = item.label.value not in absent
            plot.x_range.start, plot.x_range.end = float(shapes["edges"][0]), float(shapes["edges"][-1])
            start, end = shapes["window"]
            named_source(plot, "window").data = {"left": [start], "right": [end], "bottom": [1e-12], "top": [1e12]}
        self._drawn, self._plane_luminosity = [(0.0, 0.0)] * len(self.spectra), 0.0
        self.rescale(answer)
        self.details(answer)

    def rescale(self, answer: Point) -> None:
        """What the eye follows while a coupling or the luminosity is dragged: the point and the first spectrum."""
        self.move_here(answer, self.quantities[:1])
        self._scale_spectrum(answer, 0)

    def _scale_spectrum(self, answer: Point, k: int) -> None:
        plot = self.spectra[k]
        bars, steps, (low, high) = spectrum_data(answer, self._shapes[k], self.names)
        if (plot.y_range.start, plot.y_range.end) != (low, high):
            plot.y_range.start, plot.y_range.end = low, high
        # The bars stand on the axis: they are sent again only if the axis or they have moved.
        if self._drawn[k] != (answer.luminosity, low):
            self._drawn[k] = (answer.luminosity, low)
            named_source(plot, "bars").data = bars
            plot.title.text = f"After L1 and selection, {luminosity_text(answer.luminosity)}"
        named_source(plot, "signal").data = steps

    def details(self, answer: Point) -> None:
        """The rest of what :meth:`rescale` leaves: the other limits and spectrum, and the mass plane."""
        self._scale_spectrum(answer, 1)
        self.move_here(answer, self.quantities[1:])
        self.plane.title.text = plane_title(answer)
        if self._plane_luminosity != answer.luminosity:
            self._plane_luminosity = answer.luminosity
            image = self._density * answer.luminosity
            mapper = named(self.plane, "density").glyph.color_mapper
            mapper.low, mapper.high = density_range(image)
            named_source(self.plane, "density").data = {**self._corner, "image": [image]}
