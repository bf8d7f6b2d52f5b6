"""Tables of regions in one mass: dominant backgrounds, control samples and what is known of the photon veto."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from belle2dark.mass_regions import MassRegions, mass_controls, mass_table, veto_controls
from belle2dark.plots.spectrum import NAMES
from belle2dark.plots.style import luminosity_text, number
from belle2dark.plots.tables import percent, table

if TYPE_CHECKING:
    from IPython.display import HTML

#: fewer effective simulated events than this are marked: what they say may be off by more than 30 %
FEW = 10.0
#: control samples in words
TITLES = {"dimuon_photon": "μμγ", "emu_missing": "eμ"}


def control_tables(regions: MassRegions, *, veto: bool = True) -> HTML:
    """Tables of ``regions``: events by process, control samples and, with ``veto``, electron pairs for the photon veto.

    The last takes some seconds of simulation. Results of fewer than FEW effective simulated events are marked with "few".
    """
    from IPython.display import HTML

    text = _events(regions) + _samples(regions)
    return HTML(text + _veto(regions) if veto else text)


def _title(name: str) -> str:
    return escape(NAMES.get(name, name))


def _simulated(events: float) -> str:
    return number(events) if events >= FEW else f"{number(events)} (few)"


def _events(regions: MassRegions) -> str:
    rows = [(escape(r["region"]), f"{r['low']:.3g} to {r['high']:.3g} GeV", _title(r["dominant"]), percent(r["share"]),
             number(r["events"]), *(number(r[name]) for name in regions.processes))
            for r in mass_table(regions).to_dict("records")]  # fmt: skip
    head = ("region", "recoil mass", "dominant", "its share", "events", *map(_title, regions.processes))
    return table(head, rows, f"Backgrounds after L1 and selection, {luminosity_text(regions.luminosity)}")


def _samples(regions: MassRegions) -> str:
    rows = []
    for r in mass_controls(regions).to_dict("records"):
        if r["control"]:
            sample = (TITLES.get(r["control"], escape(r["control"])), number(r["events"]), percent(r["purity"]),
                      percent(r["statistical"]), percent(r["uncertainty"]), _simulated(r["simulated"]))  # fmt: skip
        else:
            sample = ("none: its rate", "", "", "", percent(r["uncertainty"]), "")
        rows.append((escape(r["region"]), _title(r["process"]), percent(r["share"]), *sample))
    head = ("region", "process", "share of the region", "control sample", "its events", "purity", "statistical error",
            "with subtraction", "simulated events")  # fmt: skip
    return table(head, rows, f"Control samples, selected alike, {luminosity_text(regions.luminosity)}")


def _veto(regions: MassRegions) -> str:
    rows = [(escape(r["region"]), number(r["found"]), number(r["lost"]), percent(r["inefficiency"]), percent(r["statistical"]),
             percent(r["purity"]), _simulated(r["simulated"]))
            for r in veto_controls(regions).to_dict("records") if np.isfinite(r["inefficiency"])]  # fmt: skip
    head = (
        "region",
        "photon found",
        "photon lost",
        "lost share",
        "its statistical error",
        "purity of the lost",
        "simulated events",
    )
    return table(head, rows, "Photon veto: two electrons with a photon, found or lost, selected alike")
