"""Boxes that wrap: panels side by side on a wide page, below each other on a narrow one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as w
from bokeh.plotting import figure
from jupyter_bokeh import BokehModel


def live(plot: figure, min_width: int = 400) -> BokehModel:
    """A figure as a widget that grows with its place and moves with its data."""
    model = BokehModel(plot, combine_events=True)
    model.layout = w.Layout(flex=f"1 1 {min_width}px", min_width="280px", width="auto")
    return model


def wrapping(children: Sequence[Any], **layout: Any) -> w.Box:
    """Children side by side that wrap to the next line where the page is narrow."""
    return w.Box(list(children), layout=w.Layout(display="flex", flex_flow="row wrap", width="100%", **layout))


def figure_row(figures: Sequence[figure]) -> w.Box:
    """Figures side by side."""
    return wrapping([live(f) for f in figures])
