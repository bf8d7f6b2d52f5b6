"""An unseen particle in B decays: B+ -> K+ X or B0 -> K*0 X, X invisible, at Belle II.

What is missing beside the kaon has a mass: a narrow X is a peak in q^2 over B+ -> K+ nu nubar, B decays that lose K_L, neutrinos
and tracks, and wrong tags. Belle II, PRD 109, 112006 (arXiv:2311.14647), has measured the three-body decay in 362 fb-1 and
published its likelihood for reinterpretation (arXiv:2507.12393, HEPData 166082); limits on two bodies from it are in
arXiv:2602.09666. With ``tag`` = hadronic everything is simulated; ``tag`` = inclusive has the kinematics of the publication's
more sensitive method, with efficiency and background declared. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from belle2dark.component_fit import ComponentFit
from belle2dark.constants import M_B0, M_BPLUS, M_KAON, M_KSTAR0
from belle2dark.detector.experiments import BELLE2
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import (
    Calibration,
    Coupling,
    Dataset,
    Fit,
    Overlay,
    Quantity,
    Search,
    common_parameters,
    select_systematics,
    with_variants,
)
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.decays.chain import two_body_momentum
from belle2dark.simulation.decays.mesons import generate_b_to_k_invisible, tag_efficiency
from belle2dark.simulation.events import Array, Events
from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_higgs import production_branching_fraction
from belle2dark.window import IntervalWindow

NUMBERS, MESONS = load_numbers("b_to_k_invisible"), load_numbers("mesons")
#: masses of B and kaon side [GeV], charge of the B, part of the kaon side that is made
MODES = {"kplus": (M_BPLUS, M_KAON, "charged", 1.0),
         "kstar0": (M_B0, M_KSTAR0, "neutral", float(MESONS["kstar0_to_kplus_piminus"]))}  # fmt: skip
TAGS = ("hadronic", "inclusive")
#: extra energy [GeV] that plots show
SHOWN = (NUMBERS["energy_shown"].values[0], NUMBERS["energy_shown"].values[1])

APPROXIMATIONS = (
    "B decays are those of Pythia 8's tables, not fitted to decays with K_L or neutrinos: the background of hadronic tags is "
    "good to a factor of two. Wrong tags (continuum) are the same decays opposite to a tag of any direction, in a chosen number.",
    "The selection is our own cuts instead of the publication's classifiers; detector response is parametrised, clusters of the "
    "beams and of the tag are one exponential.",
    "tag = inclusive: efficiency and an even background in q^2 are declared so that B+ -> K+ nu nubar is measured as well as the "
    "publication does; resolution and shape are simulated. The efficiency is that of all q^2 together, at small masses the "
    "real one is higher, at large ones lower. K*0 have hadronic tags only.",
    "Limits are CLs from a fit of q^2 around the peak over a polynomial (hadronic tags) or an even background (inclusive tag); "
    "B -> K nu nubar is a smooth part of it. X is narrow and never decays to what is seen.",
    "sin(theta): a dark Higgs boson that decays to dark matter in the share b_invisible; below two muon masses it also escapes "
    "by its lifetime. One top loop, on-shell top mass: a fifth of uncertainty in the rate.",
    "Published tables of systematic uncertainties were not available: the ones here are choices.",
)


def _dataset(name: str, title: str, tag: str) -> Dataset:
    bins, span, degree = NUMBERS[f"fit_{tag}"].values
    # the narrow peak is over whatever is smooth; what is declared is flat and floats
    fit: Fit = PeakFit(degree=int(degree), span=span, bins=int(bins), smooth=True)
    if tag == "inclusive":
        fit = ComponentFit(bins=int(bins), span=span)
    return Dataset(name=name, title=title, detector=BELLE2, luminosity=NUMBERS[f"luminosity_{name}"],
                   sqrt_s=BELLE2.beams.sqrt_s, lines=("bb",), cl=float(NUMBERS["cl"]), method="cls", alpha="thomson",
                   fit=fit)  # fmt: skip


def _datasets(tag: str) -> dict[str, Dataset]:
    return {"belle2_362": _dataset("belle2_362", "Belle II run 1", tag),
            "belle2_5ab": _dataset("belle2_5ab", "Belle II, 5 ab-1", tag),
            "belle2_50ab": _dataset("belle2_50ab", "Belle II, 50 ab-1", tag)}  # fmt: skip


DATASETS = {tag: _datasets(tag) for tag in TAGS}


def highest(values: Values) -> float:
    """Mass [GeV] at which the kaon side is left at rest."""
    m_b, m_k, _, _ = MODES[str(values["mode"])]
    return m_b - m_k


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at these parameters, or ""."""
    m, high = float(values["m_x"]), highest(values)
    if m >= high:
        return f"closed: m_x = {m:.4g} GeV is not below {high:.4g} GeV, the B mass without the kaon side"
    if values["mode"] != "kplus" and values["tag"] == "inclusive":
        return "closed: the inclusive tag is declared for mode = kplus only"
    return ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass; there is no initial-state radiation at the Upsilon(4S), ``isr`` changes nothing."""
    return generate_b_to_k_invisible(n, key, dataset.detector.beams, float(values["m_x"]), mode=str(values["mode"]))


def b_mesons(values: Values, dataset: Dataset) -> float:
    """Rate [fb] of B mesons of the right charge times the part of the kaon side that is made."""
    _, _, charge, made = MODES[str(values["mode"])]
    return 2.0 * float(MESONS["bb_cross_section"]) * float(MESONS[f"{charge}_b_fraction"]) * made


def per_neutrinos(values: Values, dataset: Dataset) -> float:
    """Rate [fb] where B -> K(*) X is as frequent as B -> K(*) nu nubar in the standard model."""
    neutrinos = MESONS["b_to_k_neutrinos"] if values["mode"] == "kplus" else NUMBERS["b_to_kstar_neutrinos"]
    return b_mesons(values, dataset) * float(neutrinos)


def branching_fraction(values: Values) -> float:
    """B(B -> K(*) X) B(X -> invisible) of a dark Higgs boson at the mixing given."""
    per_square = float(production_branching_fraction(float(values["m_x"]), str(values["mode"])))
    return min(1.0, per_square * float(values["sin_theta"]) ** 2) * float(values["b_invisible"])


def mixing_rate(values: Values, dataset: Dataset) -> float:
    """Rate [fb] at sin(theta) = 1, by its square: more than there is, as the branching fraction would exceed 1."""
    per_square = float(production_branching_fraction(float(values["m_x"]), str(values["mode"])))
    return b_mesons(values, dataset) * per_square * float(values["b_invisible"])


def width(values: Values) -> float:
    """Natural width [GeV]: taken as narrow."""
    return 0.0


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: q^2 [GeV^2], any extra energy."""
    return float(values["m_x"]) ** 2, 0.0


def physical(x: Array, _other: Array, dataset: Dataset) -> Array:
    """Whether a q^2 [GeV^2] can be measured."""
    return np.asarray((x > -3.0) & (x < (M_BPLUS - M_KAON) ** 2 + 1.0))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def _extra(columns: Columns) -> Mask:
    return np.asarray(columns["extra_energy"] < float(NUMBERS["extra_energy"]))


def _direction(columns: Columns) -> Mask:
    low, high = NUMBERS["missing_cosine"].values
    return np.asarray((columns["missing_cos_theta_lab"] > low) & (columns["missing_cos_theta_lab"] < high))


def _kstar(columns: Columns) -> Mask:
    return np.asarray(np.abs(columns["m_kpi"] - M_KSTAR0) < float(NUMBERS["kstar_mass"]))


def cuts(choices: Values, dataset: Dataset, mode: str) -> tuple[Cut, ...]:
    """The selection of a mode."""
    common = (Cut(name="extra energy", keep=_extra, reason="photons and K_L of other decays leave clusters"),
              Cut(name="missing direction", keep=_direction, reason="other decays lose particles along the beams"))  # fmt: skip
    return common if mode == "kplus" else (*common, Cut(name="K* mass", keep=_kstar, reason="a kaon and a pion from a K*0"))


def inclusive_resolution(mass: float) -> float:
    """Standard deviation [GeV^2] of q^2 from the kaon's energy alone: the B moves in the centre of mass.

    The kaon's energy there is flat in the cosine of its direction about that of the B.
    """
    sqrt_s = BELLE2.beams.sqrt_s
    boost = math.sqrt((sqrt_s / 2.0) ** 2 - M_BPLUS**2) / M_BPLUS
    return sqrt_s * boost * float(two_body_momentum(M_BPLUS, M_KAON, mass)) / math.sqrt(3.0)


def calibration(values: Values, dataset: Dataset) -> Calibration | None:
    """Declared efficiency and background of the inclusive tag; nothing is declared for hadronic tags."""
    if values["tag"] != "inclusive":
        return None
    # the efficiency of the publication takes the place of tag, tracking, identification and selection
    replaced = tag_efficiency(charged=True) * float(NUMBERS["hadronic_selection"])
    spread = float(NUMBERS["inclusive_background"]) * inclusive_resolution(float(values["m_x"]))
    return Calibration(name="inclusive tag", efficiency=float(NUMBERS["inclusive_efficiency"]) / replaced, background=spread)


def overlays(values: Values) -> tuple[Overlay, ...]:
    """The branching fraction that the published likelihood prefers, at the mass where it does."""
    if values["mode"] != "kplus" or values["quantity"] != "product":
        return ()
    masses, (_, low, high) = NUMBERS["preferred_mass"].values, NUMBERS["preferred_branching"].values
    return (Overlay(label="preferred by the Belle II likelihood, 68 %", quantity="limit", masses=masses, low=(low,) * len(masses),
                    high=(high,) * len(masses), source="Gaertner et al., arXiv:2602.09666"),)  # fmt: skip


_BASE = Search(
    name="b_to_k_invisible",
    title="Unseen particle in B decays",
    channel=r"B^+ \to K^+ X \ \mathrm{or}\ B^0 \to K^{*0} X,\quad X\ \mathrm{invisible}",
    model="dark_higgs",
    summary="The other B is reconstructed: a peak in the squared mass of what is missing beside a kaon.",
    parameters=(
        Parameter(name="m_x", symbol=r"m_X", unit="GeV", default=1.0, low=0.0, high=4.8, simulates=True, help="mass of X"),
        Parameter(name="mode", symbol="", unit="", default="kplus", choices=tuple(MODES), simulates=True,
                  help="B+ -> K+ X or B0 -> K*0 X"),
        Parameter(name="tag", symbol="", unit="", default="hadronic", choices=TAGS, simulates=True,
                  help="other B in hadronic modes (simulated) or whatever it does (declared)"),
        Parameter(name="sin_theta", symbol=r"\sin\theta", unit="", default=3e-3, low=1e-6, high=1.0, scale="log",
                  help="mixing of a dark Higgs boson"),
        Parameter(name="b_invisible", symbol=r"\mathcal{B}(X\to\mathrm{inv.})", unit="", default=1.0, low=1e-6, high=1.0,
                  scale="log", help="share of X that stays unseen"),
        Parameter(name="quantity", symbol="", unit="", default="product", choices=("product", "ratio"),
                  help="what the limit is on: B(B -> K X) B(X -> invisible), or that over B(B -> K nu nubar)"),
        *common_parameters(DATASETS["hadronic"]),
    ),
    datasets=DATASETS["hadronic"],
    numbers=NUMBERS,
    template="b_to_k_missing",
    generate=generate,
    closed=closed,
    cross_section=b_mesons,
    branching_fraction=branching_fraction,
    width=width,
    cuts=partial(cuts, mode="kplus"),
    window=IntervalWindow(x="q2_tagged", y="extra_energy", n_sigma=float(NUMBERS["window_widths"]), y_range=SHOWN,
                          centre=centre, physical=physical),
    systematics=systematics,
    couplings=(Coupling(name="sin_theta", symbol=r"\sin\theta", unit="", power=2.0, high=1.0, rate=mixing_rate),),
    quantity="B(B -> K X) B(X -> invisible)",
    unit="",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("BelleII:2023esi", "BelleII:2025likelihood", "Gaertner:2026")),
    overlays=overlays,
    calibration=calibration,
    quantities={
        "product": Quantity(name="product", text="B(B -> K X) B(X -> invisible)", unit="", cl=float(NUMBERS["cl"]),
                            rate=b_mesons),
        "ratio": Quantity(name="ratio", text="B(B -> K X) B(X -> invisible) / B(B -> K nu nubar)", unit="",
                          cl=float(NUMBERS["cl"]), rate=per_neutrinos),
    },
)  # fmt: skip


def variant(values: Values) -> str:
    """The tag, and the mode where it is the hadronic one."""
    return "inclusive" if values["tag"] == "inclusive" else str(values["mode"])


SEARCH = with_variants(
    _BASE,
    variant,
    {
        "kplus": {},
        "kstar0": {"template": "b_to_kstar_missing", "cuts": partial(cuts, mode="kstar0")},
        "inclusive": {
            "datasets": DATASETS["inclusive"],
            "window": IntervalWindow(x="q2_inclusive", y="extra_energy", n_sigma=float(NUMBERS["window_widths"]), y_range=SHOWN,
                                     centre=centre, physical=physical),
        },
    },
)  # fmt: skip
