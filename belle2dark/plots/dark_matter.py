"""The plane of dark matter behind a dark photon: y = epsilon^2 alpha_D (m_chi / m_A')^4 against m_chi, with thermal targets.

Limits on epsilon against m_A' are moved to the coupling and mass ratio asked for, as are those of others; a thermal target does
not depend on alpha_D, and on the mass ratio only by the propagator (:mod:`belle2dark.theory.dark_matter`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import HoverTool
from bokeh.models.annotations import Label
from numpy.typing import NDArray

from belle2dark.plots.style import INK, PALETTE, PUBLISHED, SIGNAL, limit_text, luminosity_text, new_figure, style_legend
from belle2dark.published import Published
from belle2dark.scan import LimitCurve
from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_matter import TARGETS, epsilon_of, relic_target, y_of

Array = NDArray[np.float64]

#: ranges of the axes: m_chi [GeV] and y
X_RANGE, Y_RANGE = (1e-3, 5.0), (1e-15, 1e-5)
_COLOURS = (INK, SIGNAL, PALETTE[2], PALETTE[3])
_TARGET_COLOUR = "#555555"
#: masses m_chi [GeV] at which curves are labelled
LABELS = (0.003, 0.003, 0.012, 0.05)
_TARGET_LABELS = {"pseudo_dirac": 0.008, "majorana": 0.6, "scalar": 0.35}
_TARGET_NAMES = {"pseudo_dirac": "pseudo-Dirac", "majorana": "Majorana", "scalar": "scalar"}
_DASHES = {"pseudo_dirac": "solid", "majorana": "dashed", "scalar": "dotted"}


def dark_matter_plane(curves: Sequence[LimitCurve], published: Sequence[Published] = (), *, alpha_d: float | None = None,
                      mass_ratio: float | None = None, height: int = 480) -> Any:  # fmt: skip
    """Expected limits on epsilon (scans of ``dark_photon_invisible``) in the plane of m_chi [GeV] and y, next to others.

    ``alpha_d`` and ``mass_ratio`` default to those of the first curve. Raises ``ValueError`` without a curve, for curves without
    limits on epsilon, and for an alpha_d or a mass ratio that is not possible.
    """
    if not curves:
        raise ValueError("curves: at least one scan is needed")
    first = curves[0].frame
    coupling = float(first["alpha_d"].iloc[0]) if alpha_d is None else alpha_d
    ratio = float(first["mass_ratio"].iloc[0]) if mass_ratio is None else mass_ratio
    if not 0 < coupling < np.inf:
        raise ValueError(f"alpha_d = {coupling}: must be above 0 and finite")
    plot = new_figure(f"Dark matter through a dark photon: α_D = {coupling:.3g}, m_χ/m_A' = {ratio:.3g}",
                      r"$$m_\chi\ [\mathrm{GeV}]$$", r"$$y = \varepsilon^2 \alpha_D (m_\chi/m_{A'})^4$$", height=height,
                      x_axis_type="log", y_axis_type="log", x_range=X_RANGE, y_range=Y_RANGE)  # fmt: skip
    _draw_targets(plot, ratio)
    _draw_others(plot, coupling, ratio)
    for k, curve in enumerate(curves):
        colour = _COLOURS[k % len(_COLOURS)]
        masses, y = excluded_edge(curve, coupling, ratio)
        dataset = str(curve.frame["dataset"].iloc[0]).split("_")[0].replace("belle2", "Belle II").replace("babar", "BaBar")
        where = f"{dataset}, {luminosity_text(float(curve.frame['luminosity'].iloc[0]))}"
        _area(plot, masses, y, colour, f"{where}, expected, {limit_text(curve.cl, curve.method)}", "limit")
        _label(plot, masses, y, where, colour, at=LABELS[k % len(LABELS)], below=k % 2 == 0)
    for result in published:
        if result.quantity == "epsilon" and result.observed:
            m = ratio * np.array(result.masses["m_aprime"])
            text = f"{result.reference.authors.replace(' Collaboration', '')} {result.reference.year}, observed"
            plot.scatter(m, y_of(np.array(result.observed), coupling, ratio), size=8, marker="triangle", color=PUBLISHED,
                         legend_label=text, name="published")  # fmt: skip
    style_legend(plot, columns=2)
    return plot


def excluded_edge(curve: LimitCurve, alpha_d: float, mass_ratio: float) -> tuple[Array, Array]:
    """Masses m_chi [GeV] and y (n,) along the expected limit on epsilon, in order, closed masses left out.

    Raises ``ValueError`` if the curve has no limit on epsilon.
    """
    frame = curve.frame
    if "epsilon_median" not in frame or not np.isfinite(frame["epsilon_median"].to_numpy(dtype=float)).any():
        raise ValueError(f"{curve.search}: the curve has no limits on epsilon")
    m, epsilon = (frame[name].to_numpy(dtype=float) for name in ("m_aprime", "epsilon_median"))
    use = np.isfinite(epsilon) & (m > 0.0)
    order = np.argsort(m[use])
    return mass_ratio * m[use][order], y_of(epsilon[use][order], alpha_d, mass_ratio)


def _area(plot: Any, masses: Array, y: Array, colour: str, text: str, name: str) -> None:
    """What is excluded above a limit: closed at both ends of its masses and at the top, where the plot is cut off."""
    x, top = np.concatenate([masses, masses[::-1]]), np.full(len(y), Y_RANGE[1])
    plot.patch(x, np.concatenate([y, top]), color=colour, fill_alpha=0.10, line_alpha=0.0, name=f"{name}_area")
    edge = plot.line(np.concatenate([masses[:1], masses, masses[-1:]]), np.concatenate([Y_RANGE[1:], y, Y_RANGE[1:]]),
                     color=colour, line_width=2, legend_label=text, name=name)  # fmt: skip
    plot.add_tools(HoverTool(renderers=[edge], tooltips=[(text, "m_χ = @x{%.3g} GeV, y = @y{%.3g}")], visible=False,
                             formatters={"@x": "printf", "@y": "printf"}))  # fmt: skip


def _label(plot: Any, masses: Array, y: Array, text: str, colour: str, at: float, below: bool = False) -> None:
    """Text beside a curve at the mass ``at`` [GeV], above it or below; nothing where the curve is not seen there."""
    if not masses[0] <= at <= masses[-1]:
        at = float(masses[len(masses) // 2])
    height = float(np.exp(np.interp(np.log(at), np.log(masses), np.log(y))))
    if X_RANGE[0] <= at <= X_RANGE[1] and Y_RANGE[0] <= height <= Y_RANGE[1]:
        plot.add_layout(Label(x=at, y=height, text=text, text_color=colour, text_font_size="11px", y_offset=-17 if below else 3))


def _draw_targets(plot: Any, mass_ratio: float) -> None:
    """Where freeze-out gives the dark matter there is, by kind."""
    for kind in TARGETS:
        m, y = relic_target(kind, mass_ratio)
        text = _TARGET_NAMES[kind]
        plot.line(m, y, color=_TARGET_COLOUR, line_width=2, line_dash=_DASHES[kind], legend_label=f"thermal target, {text}",
                  name=f"target_{kind}")  # fmt: skip
        _label(plot, m, y, text, _TARGET_COLOUR, at=_TARGET_LABELS[kind], below=kind != "scalar")


def _draw_others(plot: Any, alpha_d: float, mass_ratio: float) -> None:
    """Limit of NA64, and what Belle II may reach by others, converted."""
    numbers = load_numbers("dark_photon_invisible")
    m = mass_ratio * np.array(numbers["na64_masses"].values)
    y = y_of(np.array(numbers["na64_epsilon"].values), alpha_d, mass_ratio)
    _area(plot, m, y, PALETTE[1], "NA64 2023, 90 %", "na64")
    _label(plot, m, y, "NA64", PALETTE[1], at=0.004 * 3 * mass_ratio)
    reach = epsilon_of(np.array(numbers["reach_y"].values), float(numbers["reach_alpha_d"]), float(numbers["reach_mass_ratio"]))
    masses = mass_ratio / float(numbers["reach_mass_ratio"]) * np.array(numbers["reach_masses"].values)
    plot.scatter(masses, y_of(reach, alpha_d, mass_ratio), size=8, marker="inverted_triangle", color=PALETTE[2],
                 legend_label="Belle II reach (1911.03176), luminosity not stated", name="reach")  # fmt: skip
