"""A small search for a peak over a smooth background, built for tests from the invisible Z' between 1.5 and 6.5 GeV."""

from __future__ import annotations

from dataclasses import replace

from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import Calibration, Dataset, Search, load_search

#: declared background [fb per resolution] and share of the efficiency
BACKGROUND, SHARE = 2.0, 0.5
#: half the distance of two simulated masses at least, and resolutions of the fit
SPAN, BINS = 8.0, 48


def declared(values: Values, dataset: Dataset) -> Calibration | None:
    if values["calibration"] == "declared":
        return Calibration(name="test", efficiency=SHARE, background=BACKGROUND)
    return None


def peak_search() -> Search:
    """One mass, a fit of a peak, no systematic uncertainties; ``calibration`` is ``simulated`` unless asked for."""
    base = load_search("zprime_invisible")
    fit = PeakFit(degree=2, span=SPAN, bins=BINS)
    datasets = {"belle2_80": replace(base.datasets["belle2_80"], fit=fit)}
    mass, *others = base.parameters
    assert mass.name == "m_zprime"
    constants = Parameter(name="calibration", symbol="", unit="", default="simulated", choices=("declared", "simulated"), help="")
    fixed = tuple(replace(p, choices=("belle2_80",)) if p.name == "dataset" else p for p in others)
    return replace(
        base,
        datasets=datasets,
        parameters=(replace(mass, low=1.5, high=6.5), *fixed, constants),
        calibration=declared,
        systematics=lambda values: (),
        overlays=lambda values: (),
    )
