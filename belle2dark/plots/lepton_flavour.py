"""The plane of a Z' that couples to e mu and to mu mu: a search for e mu and missing energy next to rare muon processes.

Rare processes need the product of both couplings (or are tied to one), e+e- -> e mu Z' needs one alone: in this plane it is a
horizontal line. Everything drawn but the search is our own calculation (:mod:`belle2dark.theory.lepton_flavour_bounds`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import HoverTool

from belle2dark.plots.style import BAND_1, BAND_2, INK, PALETTE, limit_text, new_figure, style_legend
from belle2dark.point import Point
from belle2dark.theory.lepton_flavour_bounds import plane_bounds

#: range of both axes and how finely bounds are drawn
LOW, HIGH, STEPS = 1e-7, 1.0, 81
_COLOURS = (*PALETTE, "#882255")


def coupling_plane(answer: Point, also: Point | None = None) -> Any:
    """Figure of g_emu against g_mumu at the mass of ``answer``, a point of ``zprime_lfv`` with e mu and missing energy.

    ``also`` is a point of ``zprime_invisible`` at the same mass: its limit on g_mumu is drawn as a vertical line. Where
    there is no limit only the bounds are drawn. Raises ``ValueError`` for another search, pair or mass.
    """
    values = answer.values
    if answer.search.name != "zprime_lfv" or values["pair"] != "emu" or not values["missing"]:
        raise ValueError(f"{answer.search.name}: this plane is for zprime_lfv with pair = 'emu' and missing = true")
    if also is not None and (also.search.name != "zprime_invisible" or also.values["m_zprime"] != values["m_zprime"]):
        raise ValueError(f"also = {also.search.name} at {also.values['m_zprime']} GeV: must be zprime_invisible at the same mass")
    mass = float(values["m_zprime"])
    plot = new_figure(f"Flavour-violating Z' of {mass:g} GeV", "$$g_{\\mu\\mu}$$", "$$g_{e\\mu}$$", x_axis_type="log",
                      y_axis_type="log", x_range=(LOW, HIGH), y_range=(LOW, HIGH))  # fmt: skip
    g_mumu = np.geomspace(LOW, HIGH, STEPS)
    if answer.limit is not None:
        ours = answer.couplings[0].expected
        for low, high, colour in ((ours[0], ours[4], BAND_2), (ours[1], ours[3], BAND_1)):
            plot.varea([LOW, HIGH], [low] * 2, [high] * 2, color=colour, alpha=0.7)
        label = f"e mu Z', {limit_text(answer.cl, answer.method)}, expected"
        plot.line([LOW, HIGH], [ours[2]] * 2, color=INK, line_width=2, legend_label=label, name="search")
    if also is not None and also.limit is not None:
        plot.line([also.couplings[0].expected[2]] * 2, [LOW, HIGH], color=INK, line_width=2, line_dash="dashed",
                  legend_label=f"mu mu Z', {limit_text(also.cl, also.method)}, expected", name="also")  # fmt: skip
    for colour, (name, bound) in zip(_COLOURS, plane_bounds(mass, g_mumu).items(), strict=False):
        if np.isfinite(bound).any() and (bound > 0).any():
            text = f"{name.replace('_', ' ')}, own calculation"
            plot.line(g_mumu, np.broadcast_to(bound, g_mumu.shape), color=colour, line_width=1.5, legend_label=text, name=name)
    plot.add_tools(HoverTool(tooltips=[("g_mumu", "@x"), ("g_emu", "@y")]))
    style_legend(plot, columns=2)
    return plot
