"""Single photons left over against the recoil mass, for calorimeters that see less or have no gaps."""

from __future__ import annotations

from typing import Any

import numpy as np

from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.photon_veto import recoil_spectrum, with_veto_angles, without_gaps
from belle2dark.plots.style import PALETTE, luminosity_text, new_figure, style_legend
from belle2dark.selection import Columns, Mask
from belle2dark.simulation.backgrounds import EE_GAMMA, GAMMA_GAMMA
from belle2dark.sourced import load_numbers

#: bins of the recoil mass, even in the mass, and the last of them [GeV]
BINS, LAST = 24, 9.6
#: where calorimeters end that are compared [deg]: as it is, and 4 and 8 deg less to either side
ANGLES = ((12.4, 155.1), (16.4, 151.1), (20.4, 147.1))


def _central(columns: Columns) -> Mask:
    """Whether the photon is in the central region of the search for an invisible dark photon and the KLM saw nothing."""
    low, high, least = load_numbers("dark_photon_invisible")["region_central"].values
    theta = np.degrees(np.arccos(np.clip(columns["cos_theta_lab"], -1.0, 1.0)))
    return np.asarray((theta > low) & (theta < high) & (columns["energy_cms"] > least) & (columns["klm_seen"] == 0.0))


def veto_plot(angles: tuple[tuple[float, float], ...] = ANGLES, *, luminosity: float = 20.0, detector: Detector = BELLE2,
              n: int = 40_000, seed: int = 1, height: int = 360) -> Any:  # fmt: skip
    """Events per GeV^2 in ``luminosity`` [fb-1] against the recoil mass, photons in the central region, KLM veto on.

    e e gamma for calorimeters that end at ``angles`` [deg, lab: forward, backward], gamma gamma for the calorimeter as it is and
    without gaps; ``n`` events are simulated for each. Raises ``ValueError`` for angles the calorimeter does not have.
    """
    edges = np.linspace(0.0, LAST, BINS + 1) ** 2
    title, label = f"Central photons, {luminosity_text(luminosity)}", r"$$M_\mathrm{recoil}\ [\mathrm{GeV}]$$"
    plot = new_figure(title, label, "events per GeV²", height=height, y_axis_type="log", y_range=(1e-3, 1e6))
    changed = [(EE_GAMMA, with_veto_angles(detector, *pair), f"eeγ, veto from {pair[0]:g}° to {pair[1]:g}°") for pair in angles]
    changed += [(GAMMA_GAMMA, detector, "γγ(γ)"), (GAMMA_GAMMA, without_gaps(detector), "γγ(γ), no gaps")]
    for k, (process, used, text) in enumerate(changed):
        found = recoil_spectrum(used, edges, (process,), _central, n, seed).fb[process.name] * luminosity
        dash = "solid" if process is EE_GAMMA else ("dashed" if used is detector else "dotted")
        x, y = np.repeat(np.sqrt(edges), 2)[1:-1], np.repeat(np.maximum(found, 1e-6), 2)
        plot.line(x, y, color=PALETTE[k % len(PALETTE)], line_width=2, line_dash=dash, legend_label=text, name=text)
    style_legend(plot, 2)
    return plot
