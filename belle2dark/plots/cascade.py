"""Where a dark Higgs cascade is seen: the final states of three pairs that a simulated point ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.plotting import figure

from belle2dark.final_states.six_tracks import INCLUSIVE, MODES
from belle2dark.plots.style import SIGNAL, new_figure
from belle2dark.plots.tables import _html, percent, table
from belle2dark.simulation.cascade import branching_fractions

if TYPE_CHECKING:
    from IPython.display import HTML

    from belle2dark.point import Point

_LETTERS = {"ee": "e", "mumu": "μ", "pipi": "π"}


def mode_names() -> tuple[str, ...]:
    """The final states in the order of the column ``mode``, in field notation: 6e ... 6π, and 2(ll) X."""
    names = (
        "".join(f"{2 * mode.count(kind)}{_LETTERS[kind]}" for kind in _LETTERS if kind in mode) for mode in MODES[:INCLUSIVE]
    )
    return (*names, "2(ℓℓ) X")


def mode_shares(answer: Point) -> dict[str, float]:
    """Efficiency times branching fraction of the point's selected signal by final state, those without any left out."""
    if answer.simulated is None:
        return {}
    signal = answer.simulated
    weights = answer.branching_fraction * answer.signal_weights() * (signal.selected & signal.in_window)
    modes = signal.reco.columns["mode"]
    found = {name: float(weights[modes == k].sum()) for k, name in enumerate(mode_names())}
    return {name: share for name, share in found.items() if share > 0.0}


def final_states_plot(answer: Point, *, height: int = 320) -> figure:
    """What the signal of a point is seen as: efficiency times branching fraction of each final state in its selection."""
    shares = mode_shares(answer)
    names = sorted(shares, key=lambda name: shares[name])
    plot = new_figure("Final states of the selected signal", "efficiency x branching fraction", "", height=height,
                      y_range=names or ["none"], x_range=(0.0, 1.05 * max(shares.values(), default=1.0)))  # fmt: skip
    plot.hbar(y=names, right=[shares[name] for name in names], height=0.7, color=SIGNAL)
    return plot


def cascade_table(answer: Point) -> HTML:
    """Decays of the dark photon at the point's mass, and each final state's part of the selected signal."""
    found, shares = branching_fractions(float(answer.values["m_aprime"])), mode_shares(answer)
    whole = sum(shares.values())
    decays = ", ".join(f"{name} {percent(found[kind])}" for kind, name in
                       {"ee": "ee", "mumu": "μμ", "pipi": "ππ", "other": "other"}.items())  # fmt: skip
    rows = [(name, percent(share), percent(share / whole), f"{answer.luminosity * answer.cross_section_fb * share:.3g}")
            for name, share in sorted(shares.items(), key=lambda item: -item[1])]  # fmt: skip
    head = ("final state", "efficiency x BR", "of all", "events at the couplings given")
    return _html(table(head, rows, f"Dark photon: {decays}") if rows else f"<p>{answer.reason}; dark photon: {decays}</p>")
