"""How well B -> K nu nubar is measured with what the search for B -> K X simulates and declares, next to the publication."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from belle2dark.plots.style import number
from belle2dark.plots.tables import _html, table
from belle2dark.process_rate import rate_uncertainty
from belle2dark.search import Search, load_search
from belle2dark.sourced import load_numbers

if TYPE_CHECKING:
    from IPython.display import HTML

NAME, PROCESS = "b_to_k_invisible", "neutrinos"
#: processes whose rates are known beforehand
KNOWN = ("b_decays", "wrong_tags")
#: rows: mode and tag
WAYS = (("kplus", "hadronic"), ("kplus", "inclusive"), ("kstar0", "hadronic"))
#: luminosities [fb-1]: what was measured, and projections
LUMINOSITIES = (362.0, 5e3, 5e4)


def three_body_uncertainty(given: Mapping[str, Any], *, systematics: bool = True) -> float:
    """Uncertainty of B(B -> K(*) nu nubar) expected at the parameters ``given`` of the search, for the standard model's rate.

    Raises ``ValueError`` for parameters out of range.
    """
    search: Search = load_search(NAME)
    values = search.parse(given)
    numbers = load_numbers("mesons") if values["mode"] == "kplus" else load_numbers(NAME)
    predicted = float(numbers["b_to_k_neutrinos" if values["mode"] == "kplus" else "b_to_kstar_neutrinos"])
    known = {name: float(load_numbers(NAME)[f"{name}_uncertainty"]) for name in KNOWN}
    return predicted * rate_uncertainty(search, given, PROCESS, known, systematics=systematics)


def measured_uncertainty(tag: str) -> float | None:
    """Half the interval, statistical and systematic, of B(B+ -> K+ nu nubar) published for a tag; None if there is none."""
    numbers = load_numbers(NAME)
    if f"measured_{tag}" not in numbers:
        return None
    _, down, up, systematic_down, systematic_up = numbers[f"measured_{tag}"].values
    return 0.5 * (math.hypot(down, systematic_down) + math.hypot(up, systematic_up))


def three_body_table() -> HTML:
    """Expected uncertainty of B(B -> K(*) nu nubar) by tag and luminosity, and the published one at 362 fb-1."""
    rows = []
    for mode, tag in WAYS:
        published = measured_uncertainty(tag) if mode == "kplus" else None
        expected = [number(three_body_uncertainty({"mode": mode, "tag": tag, "luminosity": at})) for at in LUMINOSITIES]
        rows.append([mode, tag, *expected, "-" if published is None else number(published)])
    head = ["mode", "tag", *(f"{at:g} fb<sup>-1</sup>" for at in LUMINOSITIES), "published, 362 fb<sup>-1</sup>"]
    caption = "Uncertainty of B(B → K ν ν): simulated for hadronic tags, fitted to the publication for the inclusive one"
    return _html(table(head, rows, caption))
