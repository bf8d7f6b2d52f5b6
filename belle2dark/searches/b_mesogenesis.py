"""B-mesogenesis: B0 -> Lambda psi, B+ -> p psi, B+ -> Lambda_c+ psi with a dark antibaryon psi that no detector sees.

One B meson is reconstructed in hadronic modes; of the other nothing is seen but the baryon. Both together leave a missing mass
that peaks at the mass of psi. Belle, PRD 105, L051101 (arXiv:2110.14086, Lambda) and BaBar, PRD 107, 092001 (arXiv:2302.00208,
Lambda), PRL 131, 201801 (arXiv:2306.08490, proton), arXiv:2412.06950 (Lambda_c): events in windows of missing mass, 90 % limits
on the branching fraction. Option: B0 -> Lambda_c+ pi- psi, three bodies. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from belle2dark.constants import M_B0, M_BPLUS, M_LAMBDA, M_LAMBDA_C, M_PION, M_PROTON
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2, Detector
from belle2dark.limits.counting import Method
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.search import (
    Coupling,
    Dataset,
    Overlay,
    Quantity,
    Search,
    common_parameters,
    select_systematics,
    with_variants,
)
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.backgrounds_mesogenesis import generate_signal
from belle2dark.simulation.events import Array, Events
from belle2dark.sourced import load_numbers
from belle2dark.window import IntervalWindow

NUMBERS, MESONS = load_numbers("b_mesogenesis"), load_numbers("mesons")
#: what is seen: masses of B and of all that is seen [GeV], charge of the B, branching fraction that the baryon is seen in
SEEN = {
    "lambda": (M_B0, M_LAMBDA, "neutral", "lambda_to_p_piminus"),
    "proton": (M_BPLUS, M_PROTON, "charged", ""),
    "lambda_c": (M_BPLUS, M_LAMBDA_C, "charged", "lambda_c_to_p_kminus_piplus"),
    "lambda_c_pi": (M_B0, M_LAMBDA_C + M_PION, "neutral", "lambda_c_to_p_kminus_piplus"),
}
#: order of the lists of systematic uncertainties
_REGIONS = ("proton", "lambda", "lambda_c", "lambda_c_pi")

APPROXIMATIONS = (
    "Detector response is parametrised; clusters of the beams in the extra energy, proton identification and the displaced "
    "vertex of the Lambda are choices.",
    "The published selections, efficiencies and limits by mass are not public. The tag efficiency is that published for generic "
    "events (Belle, BaBar; Belle II: simulation with its calibration): networks that tag better beside a single baryon, and "
    "what their selection costs, are not known.",
    "Backgrounds are decays of the other B from the tables of Pythia, which are rough for rare decays with baryons, and the same "
    "decays opposite to wrong tags, which stand for continuum and mixed-up B pairs; how many there are is a choice. The list is "
    "of some million decays of either charge and few pass, so that one more, flat in missing mass, is added: projections to "
    "50 ab-1 rest on it below 2.5 GeV.",
    "Limits are counts in windows of three resolutions, without a fit of the spectrum; the resolution of the tag is a choice.",
    "psi does not decay or interact. Baryons are not polarised; three bodies are flat in phase space.",
    "Published tables of systematic uncertainties were not available: the ones here are choices.",
)  # fmt: skip


def _dataset(name: str, title: str, detector: Detector, line: str, method: Method) -> Dataset:
    return Dataset(name=name, title=title, detector=detector, luminosity=NUMBERS[f"luminosity_{name}"],
                   sqrt_s=detector.beams.sqrt_s, lines=(line,), cl=float(NUMBERS["cl"]), method=method,
                   alpha="physical")  # fmt: skip


DATASETS = {
    "belle_711": _dataset("belle_711", "Belle, 772 million B pairs", BELLE, "bb_belle", "feldman_cousins"),
    "babar_398": _dataset("babar_398", "BaBar, with which three baryons were looked for", BABAR, "bb_babar", "bayesian"),
    "belle2_50ab": _dataset("belle2_50ab", "Belle II, all data: a projection of the same selection", BELLE2, "bb", "bayesian"),
}


def heaviest(baryon: str) -> float:
    """The largest mass [GeV] of psi: that of the B without what is seen."""
    m_b, seen, _, _ = SEEN[baryon]
    return m_b - seen


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    m, high = float(values["m_psi"]), heaviest(str(values["baryon"]))
    return "" if m < high else f"closed: m_psi = {m:.4g} GeV is not below {high:.5g} GeV, the B without what is seen"


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass; ``isr`` does nothing: at the threshold of B pairs photons off the beams are soft."""
    return generate_signal(n, key, dataset.detector.beams, float(values["m_psi"]), baryon=str(values["baryon"]))


def b_mesons(values: Values, dataset: Dataset) -> float:
    """Cross-section [fb] of B mesons of the charge that decays to this baryon: two per pair."""
    _, _, charge, _ = SEEN[str(values["baryon"])]
    return 2.0 * float(NUMBERS[f"pairs_{dataset.name}"]) * float(MESONS[f"{charge}_b_fraction"])


def branching_fraction(values: Values) -> float:
    """Branching fraction of the baryon to the tracks that it is seen in."""
    name = SEEN[str(values["baryon"])][3]
    return float(MESONS[name]) if name else 1.0


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section of B -> baryon psi at the branching fraction given [fb]."""
    return b_mesons(values, dataset) * float(values["br_psi"])


def per_branching_fraction(values: Values, dataset: Dataset) -> float:
    """Rate [fb] at B(B -> baryon psi) = 1, with the baryon's own branching fraction."""
    return b_mesons(values, dataset) * branching_fraction(values)


def width(values: Values) -> float:
    """Width of psi [GeV]: it is stable."""
    return 0.0


def centre(values: Values, baryon: str) -> tuple[float, float]:
    """Where the signal peaks: squared missing mass [GeV^2], and momentum of what is seen in the B [GeV] (of two bodies)."""
    m, (m_b, seen, _, _) = float(values["m_psi"]), SEEN[baryon]
    square = (m_b**2 - (m + seen) ** 2) * (m_b**2 - (m - seen) ** 2)
    return m * m, float(np.sqrt(max(square, 0.0))) / (2.0 * m_b)


def physical(x: Array, _momentum: Array, dataset: Dataset, baryon: str) -> Array:
    """Whether a squared missing mass [GeV^2] is below what the B leaves, bool like the input."""
    return np.asarray(x < heaviest(baryon) ** 2)


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset for what is seen."""
    return select_systematics(NUMBERS, str(values["dataset"]), _REGIONS.index(str(values["baryon"])))


def _quiet(columns: Columns) -> Mask:
    return np.asarray(columns["extra_energy"] < float(NUMBERS["extra_energy"]))


def _baryon(columns: Columns, baryon: str) -> Mask:
    nominal = M_LAMBDA if baryon == "lambda" else M_LAMBDA_C
    return np.asarray(np.abs(columns["m_baryon"] - nominal) < float(NUMBERS[f"mass_{baryon}"]))


def cuts(choices: Values, dataset: Dataset, baryon: str) -> tuple[Cut, ...]:
    """The selection for a baryon."""
    quiet = Cut(name="extra energy", keep=_quiet, reason="nothing is left in the calorimeter")
    if baryon == "proton":
        return (quiet,)
    return (Cut(name="mass of the baryon", keep=partial(_baryon, baryon=baryon), reason="the tracks come from the baryon"), quiet)


def overlays(values: Values) -> tuple[Overlay, ...]:
    """What mesogenesis needs of all decays to a baryon and psi together, and of protons what would be a decisive limit."""
    if values["quantity"] != "branching_fraction":
        return ()
    baryon, need = str(values["baryon"]), NUMBERS["inclusive_requirement"]
    masses, level = (M_PROTON, heaviest(baryon)), float(need)
    every = Overlay(label="mesogenesis needs, all baryons together", quantity="limit", masses=masses, high=(level, level),
                    source=need.source, computed=True)  # fmt: skip
    if baryon != "proton":
        return (every,)
    low, high = NUMBERS["decisive_proton"].values
    return every, Overlay(label="decisive for mesogenesis", quantity="limit", masses=masses, low=(low, low), high=(high, high),
                          source=NUMBERS["decisive_proton"].source, computed=True)  # fmt: skip


def _window(baryon: str) -> IntervalWindow:
    low, high = NUMBERS["momentum_shown"].values
    return IntervalWindow(x="missing_mass_squared", y="p_baryon", n_sigma=float(NUMBERS["window_widths"]), y_range=(low, high),
                          centre=partial(centre, baryon=baryon), physical=partial(physical, baryon=baryon))  # fmt: skip


_BASE = Search(
    name="b_mesogenesis",
    title="B-mesogenesis",
    channel=r"\Upsilon(4S) \to B\bar B,\quad B \to \mathcal{B}\,\psi,\quad \mathcal{B} = \Lambda,\ p,\ \Lambda_c^+",
    model="b_mesogenesis",
    summary="A baryon opposite to a fully reconstructed B and nothing else: a peak in the missing mass.",
    parameters=(
        Parameter(name="m_psi", symbol=r"m_\psi", unit="GeV", default=1.5, low=0.1, high=4.4, simulates=True,
                  help="mass of the dark antibaryon"),
        Parameter(name="baryon", symbol=r"\mathcal{B}", unit="", default="lambda", choices=tuple(SEEN), simulates=True,
                  help="what is seen of the B"),
        Parameter(name="br_psi", symbol=r"\mathcal{B}(B\to\mathcal{B}\psi)", unit="", default=1e-5, low=1e-9, high=1e-2,
                  scale="log", help="branching fraction of the signal that is shown"),
        Parameter(name="quantity", symbol="", unit="", default="branching_fraction", choices=("branching_fraction", "product"),
                  help="what the limit is on: B(B -> baryon psi) or that times the branching fraction of the baryon"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template="b_to_lambda",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=partial(cuts, baryon="lambda"),
    window=_window("lambda"),
    systematics=systematics,
    couplings=(Coupling(name="br_psi", symbol=r"\mathcal{B}(B\to\mathcal{B}\psi)", unit="", power=1.0,
                        high=float(NUMBERS["br_high"]), rate=per_branching_fraction),),
    quantity="B(B -> baryon psi)",
    unit="",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("Belle:2021gmc", "BaBar:2023rer", "BaBar:2023dtq", "BaBar:2024lam",
                                                         "Elor:2018twp")),
    overlays=overlays,
    quantities={
        "branching_fraction": Quantity(name="branching_fraction", text="B(B -> baryon psi)", unit="", cl=float(NUMBERS["cl"]),
                                       rate=per_branching_fraction),
        "product": Quantity(name="product", text="B(B -> baryon psi) B(baryon -> tracks)", unit="", cl=float(NUMBERS["cl"]),
                            rate=b_mesons),
    },
)  # fmt: skip


def variant(values: Values) -> str:
    """What is seen."""
    return str(values["baryon"])


SEARCH = with_variants(
    _BASE,
    variant,
    {name: {"template": f"b_to_{name}", "cuts": partial(cuts, baryon=name), "window": _window(name)} for name in SEEN},
)
