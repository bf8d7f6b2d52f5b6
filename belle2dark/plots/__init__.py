"""Bokeh figures and HTML tables: each function takes a result and returns a figure (or text), nothing is drawn by itself.

    limit_plot(curve, published)   expected limit against a mass, next to what was published
    reach_plot(answer)             limit and discovery reach against luminosity
    spectrum(answer), plane(answer)  signal over backgrounds around the window
    trigger_plot(points)           L1 lines against a mass
    search_card(search), cutflow_table(answer), trigger_table(answer)   HTML

``show(figure)`` of :mod:`belle2dark.notebook` puts a figure on the page.
"""

from belle2dark.plots.limits import limit_plot
from belle2dark.plots.reach import reach_plot
from belle2dark.plots.spectrum import plane, spectrum
from belle2dark.plots.tables import card_html, cutflow_table, search_card, trigger_table
from belle2dark.plots.trigger import trigger_plot

__all__ = [
    "card_html",
    "cutflow_table",
    "limit_plot",
    "plane",
    "reach_plot",
    "search_card",
    "spectrum",
    "trigger_plot",
    "trigger_table",
]
