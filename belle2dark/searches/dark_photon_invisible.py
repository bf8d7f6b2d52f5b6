"""A photon and nothing else: e+e- -> gamma A' with an A' that decays to dark matter.

The photon has one energy: its recoil mass squared, s - 2 sqrt(s) E*, peaks at the squared mass of what is not seen. The same
photons look for any vector that couples to electrons ("b_minus_l", "le_lmu") and, with another angular law, for an axion-like
particle that leaves no trace ("alp", coupling g_agg). Belle II: a projection to 20 fb-1 (arXiv:1808.10567) with simulated
backgrounds: at low masses a fit of all processes, since gamma gamma with a lost photon peaks at zero mass, at high masses a fit
of a peak over a smooth background, ranges of the photon's angle side by side. BaBar, PRL 119, 131804 (arXiv:1702.03327):
53 fb-1, a declared background.
Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from belle2dark.component_fit import ComponentFit
from belle2dark.detector.experiments import BABAR, BELLE2, Detector
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import (
    Calibration,
    Coupling,
    Dataset,
    Fit,
    Overlay,
    Search,
    common_parameters,
    of_model,
    select_systematics,
    with_variants,
)
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.backgrounds import SINGLE_PHOTON
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.simulation.line_shape import HIGHEST
from belle2dark.sourced import load_numbers
from belle2dark.theory.alp import photon_width
from belle2dark.theory.dark_matter import DarkMatter
from belle2dark.theory.gamma_invisible import broad_cross_section, fiducial_cosine
from belle2dark.theory.vector_models import Vector, rate_factor
from belle2dark.vector_search import LEAST, GammaVector, built_in, unit_cross_section
from belle2dark.window import IntervalWindow

NUMBERS = load_numbers("dark_photon_invisible")

LOW, MIDDLE, HIGH = "low_mass", "middle_mass", "high_mass"
#: the model that is no vector
ALP = "alp"
BABAR_LINES = ("babar_photon_2gev",)
BELLE2_LINES = ("lml1", "lml6", "lml13")

APPROXIMATIONS = (
    "BaBar is described, not predicted: with calibration = declared the background is a density per GeV^2 and the efficiency one "
    "constant, both fitted to its published limits (two selections that meet at 5.5 GeV, never interpolated across), so that "
    "agreement with them proves nothing. calibration = simulated has our own background, whose level is set by how photons of "
    "several GeV get lost in cracks and by a classifier that is not simulated.",
    "Belle II is a projection: no result is published. How often a photon of several GeV leaves nothing in healthy crystals is "
    "computed, what gaps and edges lose is a choice; beam background in the vetoes costs nothing here.",
    "Low masses: how well a control sample fixes the peak of gamma gamma is a choice, and limits below 2 GeV rest on it.",
    "High masses: the background is a polynomial in each fit and each range of angles. Above 8.5 GeV a limit rests on that being "
    "right to a part in a thousand.",
    "line_shape = narrow, as published: the peak has the width of the detector alone, and curves are dashed where alpha_d makes "
    "the natural width more than half of that. line_shape = natural has it, with a running width.",
    "e e gamma at tree level with one photon: it grows by a factor of 3 to 7 for each 4 degrees by which the angle to which "
    "electrons are vetoed is larger; for BaBar it is 2 to 8 times what the published limits imply.",
    "BaBar: all data as if taken at 10.58 GeV, with its 2 GeV line; our resolution is 1.7 times the published one, which is what "
    "the declared background goes with.",
    "alp: the particle decays to dark matter or leaves the detector always; its visible decays are another search.",
    "Rates of vectors are those with a photon at |cos theta*| below 0.95, photons off the beams included; those of alp are at "
    "all angles.",
    "Where alpha_d is so small that visible decays compete, limits of single masses are solved for with the branching fraction "
    "at the coupling they are on; those of scans of thousands of masses have it at the coupling given.",
    "Systematic uncertainties of the signal are choices. Limits are CLs; the method of the publication was not at hand.",
)


def _dataset(name: str, title: str, detector: Detector, lines: tuple[str, ...], fit: Fit) -> Dataset:
    return Dataset(name=name, title=title, detector=detector, luminosity=NUMBERS[f"luminosity_{name}"], lines=lines, fit=fit,
                   sqrt_s=float(NUMBERS["sqrt_s"]), cl=float(NUMBERS["cl"]), method="cls", alpha="thomson")  # fmt: skip


def _datasets(fit: Fit, of_belle2: Fit) -> dict[str, Dataset]:
    both = (
        _dataset("belle2_20", "Belle II, projection", BELLE2, BELLE2_LINES, of_belle2),
        _dataset("babar_53", "BaBar, single-photon data, as if at 10.58 GeV", BABAR, BABAR_LINES, fit),
    )
    return {dataset.name: dataset for dataset in both}


_BINS, _SPAN = int(float(NUMBERS["fit_bins"])), float(NUMBERS["fit_span"])
_KNOWN = tuple((p.name, float(NUMBERS[f"uncertainty_{p.name}"])) for p in SINGLE_PHOTON)
_ALL = ComponentFit(bins=_BINS, span=_SPAN, uncertainties=_KNOWN)
_PEAK = PeakFit(degree=int(float(NUMBERS["fit_degree"])), span=_SPAN, bins=_BINS, smooth=True)
_ANGLES = (-np.inf, *(math.cos(math.radians(theta)) for theta in reversed(NUMBERS["fit_rows"].values)), np.inf)
DATASETS = {LOW: _datasets(_ALL, _ALL), MIDDLE: _datasets(_ALL, _ALL), HIGH: _datasets(_PEAK, replace(_PEAK, rows=_ANGLES))}


def variant(values: Values) -> str:
    """Low, middle or high masses: another selection, and at high masses another fit. BaBar has two selections."""
    mass = float(values["m_aprime"])
    if values["dataset"] == "babar_53":
        return LOW if mass < float(NUMBERS["boundary_babar"]) else HIGH
    return (LOW, MIDDLE, HIGH)[int(np.searchsorted(NUMBERS["boundary_belle2"].values, mass, side="right"))]


def idle(values: Values) -> tuple[str, ...]:
    """What dark matter is does not matter for a peak of the detector's width."""
    return () if is_broad(values) else ("alpha_d", "mass_ratio")


def least_energy(dataset: Dataset) -> float:
    """The smallest photon energy E* [GeV] that is selected anywhere."""
    return NUMBERS["energy_babar"].values[1] if dataset.detector.name == BABAR.name else NUMBERS["region_central"].values[2]


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    m, root = float(values["m_aprime"]), dataset.detector.beams.sqrt_s
    least = float(NUMBERS["energy_margin"]) * least_energy(dataset)
    top = math.sqrt(root * (root - 2.0 * least))
    if dataset.detector.name == BABAR.name and m > (last := float(NUMBERS["published_resolution_mass"])):
        return f"closed: m_aprime = {m:.4g} GeV is above {last:.3g} GeV, where the published limits and the 2 GeV line end"
    return "" if m < top else f"closed: m_aprime = {m:.4g} GeV is not below {top:.4g} GeV, where the photon has {least:.3g} GeV"


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass; of a vector those whose photon is inside the fiducial angle."""
    m, beams = float(values["m_aprime"]), dataset.detector.beams
    if values["model"] == ALP:
        return generate_gamma_x(n, key, beams, m, "alp", 1.0, isr)
    # without radiation for the window: as wide as the detector makes it, so that a broad signal is fitted where a narrow one is
    dark = dark_matter(values) if isr and is_broad(values) else None
    events = generate_gamma_x(n, key, beams, m, "dark_photon", 1.0, isr, dark)
    photon = to_cms(events.momenta_lab["gamma_1"], beams)
    return events.select(np.abs(photon[:, 3]) < fiducial_cosine() * photon[:, 0])


# rates


def dark_matter(values: Values) -> DarkMatter:
    """The dark matter that the vector decays to."""
    return DarkMatter(alpha_d=float(values["alpha_d"]), mass_ratio=float(values["mass_ratio"]))


def is_broad(values: Values) -> bool:
    """Whether the line shape is that of the natural width; below 10 MeV it does not matter."""
    return values["line_shape"] == "natural" and float(values["m_aprime"]) > float(NUMBERS["broad_from"])


def fiducial(values: Values, dataset: Dataset) -> float:
    """Cross-section [fb] of a dark photon at epsilon = 1 with the photon in the fiducial angle, as events are made."""
    mass, root = float(values["m_aprime"]), dataset.detector.beams.sqrt_s
    if is_broad(values):
        return broad_cross_section(mass, dark_matter(values), root, HIGHEST)
    return unit_cross_section(mass, root, "fiducial")


def looked_at(values: Values) -> tuple[str, ...]:
    """Decays that leave no trace."""
    return ("invisible",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates of the vectors, and of an axion-like particle that never decays visibly."""

    vectors: GammaVector

    def alp_rate(self, values: Values, dataset: Dataset) -> float:
        """Cross-section [fb] of the axion-like particle at g_agg = 1 per GeV."""
        return unit_cross_section(float(values["m_aprime"]), dataset.detector.beams.sqrt_s, "alp")

    def cross_section(self, values: Values, dataset: Dataset) -> float:
        """Cross-section of gamma X [fb] of the chosen model at its coupling."""
        if values["model"] == ALP:
            return float(values["g_agg"]) ** 2 * self.alp_rate(values, dataset)
        return self.vectors.cross_section(values, dataset)

    def branching_fraction(self, values: Values) -> float:
        """BR(X -> invisible) of the chosen model at the couplings given: dark matter, and neutrinos where they couple."""
        return 1.0 if values["model"] == ALP else self.vectors.branching_fraction(values)

    def width(self, values: Values) -> float:
        """Natural width [GeV] of the chosen model at its coupling; of an axion-like particle that to two photons."""
        if values["model"] == ALP:
            return float(photon_width(np.array(max(float(values["m_aprime"]), LEAST)), {"g_agg": float(values["g_agg"])}))
        return self.vectors.width(values)

    def couplings(self) -> tuple[Coupling, ...]:
        """Those of the vectors and, where the search knows it, of the axion-like particle."""
        alp = Coupling(name="g_agg", symbol=r"g_{a\gamma\gamma}", unit="GeV^-1", power=2.0,
                       high=float(NUMBERS["perturbative_limit_g_agg"]), rate=self.alp_rate,
                       applies=partial(of_model, model=ALP))  # fmt: skip
        return *self.vectors.couplings(float(NUMBERS["perturbative_limit"])), alp


# what is declared


def declared_background(mass: float) -> float:
    """Declared events per resolution at BaBar in 53 fb-1 for ``mass`` [GeV]: those per GeV^2 times the published resolution.

    Between the masses of one selection the logarithm is interpolated, beyond them the last one holds; never across the boundary.
    """
    part = "low" if mass < float(NUMBERS["boundary_babar"]) else "high"
    masses, density = (NUMBERS[f"declared_{what}_{part}"].values for what in ("masses", "background"))
    per_gev2 = float(NUMBERS["declared_fit"]) * math.exp(float(np.interp(mass, masses, np.log(density))))
    return per_gev2 * published_resolution(mass)


def published_resolution(mass: float) -> float:
    """Resolution of the squared recoil mass [GeV^2] at BaBar: linear in the squared mass between the two that are known."""
    first, last, top = (float(NUMBERS[f"published_resolution{end}"]) for end in ("", "_end", "_mass"))
    return first + (last - first) * min(mass / top, 1.0) ** 2


def calibration(values: Values, dataset: Dataset) -> Calibration | None:
    """Declared efficiency and background [fb per resolution] of BaBar; nothing for Belle II."""
    if values["calibration"] != "declared" or dataset.detector.name != BABAR.name:
        return None
    background = declared_background(float(values["m_aprime"])) / float(NUMBERS["luminosity_babar_53"])
    return Calibration(name="declared", efficiency=float(NUMBERS["declared_efficiency"]), background=background)


# selection


def _angle(columns: Columns, cosine: float) -> Mask:
    return np.asarray(np.abs(columns["cos_theta_cms"]) < cosine)


def _energy(columns: Columns, least: float) -> Mask:
    return np.asarray(columns["energy_cms"] > least)


def _regions(columns: Columns, names: tuple[str, ...]) -> Mask:
    """Whether the photon is in one of the regions of those names: polar angles in the lab, and energies above a least one."""
    theta = np.degrees(np.arccos(np.clip(columns["cos_theta_lab"], -1.0, 1.0)))
    inside = np.zeros(len(theta), dtype=bool)
    for name in names:
        low, high, least = NUMBERS[name].values
        inside |= (theta > low) & (theta < high) & (columns["energy_cms"] > least)
    return inside


def _recoil(columns: Columns, least: float) -> Mask:
    return np.asarray(columns["recoil_edge"] > least)


def _klm(columns: Columns) -> Mask:
    return np.asarray(columns["klm_seen"] == 0.0)


def cuts(choices: Values, dataset: Dataset, part: str) -> tuple[Cut, ...]:
    """The selection at low, middle or high masses (``part``)."""
    babar = dataset.detector.name == BABAR.name
    described = babar and choices["calibration"] == "declared"
    return _cuts(babar, part, str(choices["klm_veto"]) == "on" and not described, part != HIGH and not described)


#: regions of the photon by part
REGIONS = {LOW: ("region_central",), MIDDLE: ("region_middle",), HIGH: ("region_central", "region_barrel")}


@cache
def _cuts(babar: bool, part: str, klm: bool, edges: bool) -> tuple[Cut, ...]:
    if babar:
        least, cosine = NUMBERS["energy_babar"].values[part == HIGH], float(NUMBERS["cosine_babar"])
        chosen = [
            Cut(name="photon energy", keep=partial(_energy, least=least), reason="two selections, of low and of high masses"),
            Cut(name="photon angle", keep=partial(_angle, cosine=cosine), reason="lost electrons leave photons along the beams"),
        ]
    else:
        keep = partial(_regions, names=REGIONS[part])
        chosen = [Cut(name="photon region", keep=keep, reason="where few photons are left over from gamma gamma and e e gamma")]
    if edges:
        edge = float(NUMBERS["recoil_edge_babar" if babar else "recoil_edge"])
        chosen.append(Cut(name="recoil away from gaps", keep=partial(_recoil, least=edge),
                          reason="a second photon that flew there would have been seen"))  # fmt: skip
    if klm:
        chosen.append(Cut(name="KLM veto", keep=_klm, reason="photons that left nothing in the calorimeter shower in the iron"))
    return tuple(chosen)


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: squared recoil mass [GeV^2] and cosine of the photon's angle (anywhere)."""
    return float(values["m_aprime"]) ** 2, 0.0


def physical(recoil_mass_squared: Array, _cosine: Array, dataset: Dataset) -> Array:
    """Whether photons are selected at these squared recoil masses [GeV^2] at all, bool like the input."""
    root = dataset.detector.beams.sqrt_s
    low = float(NUMBERS["least_recoil"])
    return np.asarray((recoil_mass_squared > low) & (recoil_mass_squared < root * (root - 2.0 * least_energy(dataset))))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the signal."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def overlays(values: Values, *, rates: GammaVector) -> tuple[Overlay, ...]:
    """Limits of NA64 on the coupling of the chosen vector to electrons."""
    if values["model"] == ALP:
        return ()
    chosen = rates.vector(values)
    factor = rate_factor(chosen) ** -0.5
    epsilon = np.array(NUMBERS["na64_epsilon"].values)
    return (Overlay(label="NA64 2023, 90 %", quantity=chosen.coupling, masses=NUMBERS["na64_masses"].values,
                    high=tuple(factor * epsilon), source=NUMBERS["na64_epsilon"].source),)  # fmt: skip


#: parameters of couplings whose ranges are known
KNOWN = (
    Parameter(name="epsilon", symbol=r"\varepsilon", unit="", default=1e-3, low=1e-6, high=1.0, scale="log",
              help="kinetic mixing (model dark_photon)"),
    Parameter(name="g_bl", symbol="g_{B-L}", unit="", default=3e-4, low=1e-7, high=1.0, scale="log",
              help="gauge coupling (model b_minus_l)"),
    Parameter(name="g_le_lmu", symbol=r"g_{L_e-L_\mu}", unit="", default=3e-4, low=1e-7, high=1.0, scale="log",
              help="gauge coupling (model le_lmu)"),
)  # fmt: skip


def for_vectors(vectors: Mapping[str, Vector]) -> Search:
    """The search for these vectors, the first the default, and for the axion-like particle.

    Raises ``ValueError`` for a vector that is named like that one.
    """
    if ALP in vectors:
        raise ValueError(f"vector {ALP!r}: this is the name of the axion-like particle; take another one")
    rates = Rates(vectors=GammaVector(vectors=vectors, channels=looked_at, dark=dark_matter, unit=fiducial))
    names, known = (*vectors, ALP), {p.name: p for p in KNOWN}
    couplings = [known.get(p.name, p) for p in rates.vectors.parameters()[1:]]
    base = Search(
        name="dark_photon_invisible",
        title="Invisible dark photon",
        channel=r"e^+e^- \to \gamma A',\quad A' \to \chi\bar\chi",
        model="dark_photon, b_minus_l or le_lmu",
        summary="A photon and nothing else: a peak in its recoil mass squared.",
        parameters=(
            Parameter(name="m_aprime", symbol="m_{A'}", unit="GeV", default=5.0, low=0.0, high=10.2, simulates=True,
                      help="mass of the dark photon, or of what the photon recoils against"),
            *couplings,
            Parameter(name="g_agg", symbol=r"g_{a\gamma\gamma}", unit="GeV^-1", default=1e-3, low=1e-7, high=1.0, scale="log",
                      help="coupling to two photons (model alp)"),
            Parameter(name="alpha_d", symbol=r"\alpha_D", unit="", default=0.1, low=1e-8, high=1.0, scale="log", simulates=True,
                      help="coupling to dark matter: width and branching fractions"),
            Parameter(name="mass_ratio", symbol=r"m_\chi/m_{A'}", unit="", default=1 / 3, low=0.01, high=0.49, simulates=True,
                      help="mass of dark matter over that of the mediator"),
            Parameter(name="model", symbol="", unit="", default=names[0], choices=names, simulates=True,
                      help="dark photon, gauged B - L or L_e - L_mu, or an axion-like particle that is not seen"),
            Parameter(name="line_shape", symbol="", unit="", default="narrow", choices=("narrow", "natural"), simulates=True,
                      help="peak of the detector's width alone, or with the natural width of alpha_d"),
            Parameter(name="klm_veto", symbol="", unit="", default="on", choices=("on", "off"), simulates=True,
                      help="photons lost in the calorimeter are looked for in the iron behind it"),
            Parameter(name="calibration", symbol="", unit="", default="declared", choices=("declared", "simulated"),
                      simulates=True, help="BaBar: a background that describes the published limits, or our simulated one"),
            *common_parameters(DATASETS[LOW]),
        ),
        datasets=DATASETS[HIGH],
        numbers=NUMBERS,
        template="single_photon",
        generate=generate,
        closed=closed,
        cross_section=rates.cross_section,
        branching_fraction=rates.branching_fraction,
        width=rates.width,
        cuts=partial(cuts, part=HIGH),
        window=IntervalWindow(x="recoil_mass_squared", y="cos_theta_lab", n_sigma=float(NUMBERS["window_widths"]),
                              y_range=(-1.0, 1.0), centre=centre, physical=physical),
        systematics=systematics,
        couplings=rates.couplings(),
        quantity="sigma x BR(X -> invisible)",
        unit="fb",
        approximations=APPROXIMATIONS,
        references=tuple(NUMBERS.references[key] for key in ("BaBar:2017tiz", "BelleII:2018jsg")),
        calibration=calibration,
        overlays=partial(overlays, rates=rates.vectors),
        idle=idle,
    )  # fmt: skip
    parts = {part: {"cuts": partial(cuts, part=part), "datasets": DATASETS[part]} for part in (LOW, MIDDLE, HIGH)}
    return with_variants(base, variant, parts)


SEARCH = for_vectors(built_in("dark_photon", "b_minus_l", "le_lmu"))
