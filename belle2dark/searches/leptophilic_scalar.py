"""Leptophilic scalar: e+e- -> tau+ tau- phi with phi -> e+ e- below twice the muon mass and phi -> mu+ mu- above.

A scalar that couples to leptons in proportion to their masses (xi m_l / v) leaves the heaviest: two taus, each seen as one
charged track, and a peak in the mass of the pair of leptons beside them. Belle, PRD 109, 032002 (arXiv:2207.07476): 626 fb-1;
BaBar, PRL 125, 181801 (arXiv:2005.01885): 514 fb-1; 90 % limits on xi. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache, partial

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from belle2dark.classifier import load_network
from belle2dark.constants import HBAR_C, HIGGS_VEV, M_MUON, M_TAU
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2, Detector
from belle2dark.final_states import final_state
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import Calibration, Coupling, Dataset, Overlay, Search, common_parameters, select_systematics
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.backgrounds_tautau_dilepton import ELECTRON_PAIRS
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.tautau_phi import generate_tautau_phi, share_inside
from belle2dark.sourced import load_numbers
from belle2dark.theory.g_minus_2 import PRESETS, coupling_band, scalar
from belle2dark.theory.leptophilic import LEPTOPHILIC
from belle2dark.trigger.menu import load_menu
from belle2dark.window import IntervalWindow

NUMBERS, RATES = load_numbers("leptophilic_scalar"), load_numbers("leptophilic_scalar_rate")
#: the final state: two taus of one track each and a pair of leptons
TEMPLATE = "tautau_dilepton"
#: mass [GeV] where the search goes from electrons to muons
THRESHOLD = 2.0 * M_MUON
#: missing energies [GeV] that plots show
MISSING = (NUMBERS["missing_shown"].values[0], NUMBERS["missing_shown"].values[1])
#: lifetimes at which the share of near decays is tabulated, over the decay radius: from GUARD^4 to GUARD^-4
GUARD, _NODES = 1e-3, 161

APPROXIMATIONS = (
    "Detector response is parametrised: no showers, no beam background; photons and pi0 of tau decays are not used.",
    "The published selection, its efficiency and its backgrounds are not public: the network is our own, trained on our "
    "simulation. For muon pairs, with calibration = declared, constants take its place: an efficiency and a flat background, the "
    "same at all masses, fitted to the published limits of Belle. First principles are shown beside them; electron pairs are "
    "always from first principles.",
    "Decays count inside a fixed transverse radius, with the efficiency and the mass resolution of prompt ones.",
    "Photons that convert in the silicon detector look like pairs of up to 80 MeV where tracks are taken at the interaction "
    "point; they are not simulated, and the limit on the lightest scalars is too strong, by more than a factor of two at 40 MeV.",
    "Fit ranges across twice the muon mass see the step from electron to muon pairs, which a polynomial does not follow.",
    "Electron pairs are searched below twice the muon mass, muon pairs above: within 10 MeV of it part of the peak is on the "
    "other side and lost. The published windows around J/psi and psi(2S) are not left out, and mesons that decay to two leptons "
    "are not simulated.",
    "Above twice the tau mass the coupling limits stand for widths of up to half a GeV; the peak is taken as narrow.",
    "Published tables of systematic uncertainties were not available: the ones here are choices. That the published limits are "
    "CLs is an assumption.",
    "The projection is our selection at 50 ab-1 with Belle II's detector and the constants declared for Belle; the published one "
    "is drawn as it is, its luminosity is not stated.",
)


def _dataset(name: str, title: str, lines: tuple[str, ...], detector: Detector) -> Dataset:
    degree, bins = (int(float(NUMBERS[key])) for key in ("fit_degree", "fit_bins"))
    return Dataset(
        name=name,
        title=title,
        detector=detector,
        luminosity=NUMBERS[f"luminosity_{name}"],
        sqrt_s=float(NUMBERS["sqrt_s"]),
        lines=lines,
        cl=float(NUMBERS["cl"]),
        method="cls",
        alpha="physical",
        fit=PeakFit(degree=degree, span=float(NUMBERS["fit_span"]), bins=bins),
    )


LINES = load_menu().selections
DATASETS = {
    d.name: d
    for d in (
        _dataset("belle_626", "Belle, near the Y(4S)", LINES["belle"], BELLE),
        _dataset("babar_514", "BaBar, near the Y(4S)", LINES["babar"], BABAR),
        _dataset("belle2_50ab", "Belle II, a projection to 50 ab-1", load_menu().check((*LINES["belle2"], "fff")), BELLE2),
    )
}


def muons(values: Values) -> bool:
    """Whether this mass is searched in muon pairs; electron pairs otherwise."""
    return float(values["m_phi"]) > THRESHOLD


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    m, top = float(values["m_phi"]), dataset.sqrt_s - 2.0 * M_TAU - float(NUMBERS["least_energy"])
    return f"closed: m_phi = {m:.4g} GeV is not below {top:.5g} GeV, where two taus still get energy" if m >= top else ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass with prompt decays; how many are near enough is in :func:`kept`."""
    return generate_tautau_phi(n, key, dataset.detector.beams, mass=float(values["m_phi"]), decay="mu" if muons(values) else "e",
                               isr=isr, alpha=dataset.alpha)  # fmt: skip


def unit_cross_section(mass: Array) -> Array:
    """Cross-section [fb] of tau+ tau- phi at xi = 1 for masses [GeV], same shape; interpolated in the table of the data file.

    Source: :func:`belle2dark.simulation.tautau_phi.cross_section`, with photons off the beams.
    """
    return np.exp(_log_rate()(np.log(mass)))


@cache
def _log_rate() -> CubicSpline:
    return CubicSpline(np.log(RATES["rate_mass"].values), np.log(RATES["rate"].values))


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section of tau+ tau- phi at the coupling given [fb]."""
    return float(values["xi"]) ** 2 * float(unit_cross_section(np.array(float(values["m_phi"]))))


def branching_fraction(values: Values) -> float:
    """BR of the scalar to the pair that is searched: electrons below twice the muon mass, muons above."""
    return float(LEPTOPHILIC.branching_fraction("mumu" if muons(values) else "ee", float(values["m_phi"])))


def unit_rate(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction at xi = 1 [fb]."""
    return float(unit_cross_section(np.array(float(values["m_phi"])))) * branching_fraction(values)


def width(values: Values) -> float:
    """Natural width [GeV] at the coupling given."""
    return float(values["xi"]) ** 2 * _unit_width(float(values["m_phi"]))


@lru_cache(maxsize=64)
def _unit_width(mass: float) -> float:
    """Width [GeV] at xi = 1, with which it goes as xi^2."""
    return float(LEPTOPHILIC.total_width(mass, {"xi": 1.0}))


def kept(values: Values, dataset: Dataset) -> float:
    """Share of the scalars that decay near enough at the coupling given: the smaller xi, the longer they live."""
    share = _log_share(float(values["m_phi"]), dataset.detector.beams)
    return min(1.0, math.exp(float(share(math.log(HBAR_C / width(values))))))


@lru_cache(maxsize=64)
def _log_share(mass: float, beams: Beams) -> PchipInterpolator:
    """Logarithm of the share inside the radius over that of c tau [cm], from micrometres to kilometres and beyond."""
    radius = float(NUMBERS["decay_radius"])
    ctau = radius * np.geomspace(GUARD**4, GUARD**-4, _NODES)
    return PchipInterpolator(np.log(ctau), np.log([share_inside(radius, mass, float(c), beams) for c in ctau]))


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: mass of the pair [GeV] and missing energy (anywhere)."""
    return float(values["m_phi"]), 0.0


def physical(m_pair: Array, _other: Array, dataset: Dataset) -> Array:
    """Whether pairs of this mass are looked at, bool like the input: from where the template of electron pairs begins."""
    return np.asarray((m_pair > ELECTRON_PAIRS[0]) & (m_pair < dataset.sqrt_s))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def _missing(columns: Columns, detector: Detector) -> Mask:
    return final_state(TEMPLATE).loose(columns, detector)


def _flavour(columns: Columns) -> Mask:
    return np.asarray((columns["is_muon"] > 0.5) | (columns["m_pair"] < THRESHOLD))


def _network(columns: Columns, electrons_only: bool) -> Mask:
    passed = np.asarray(load_network("leptophilic_scalar").score(columns) > 0.5)
    return passed | (columns["is_muon"] > 0.5) if electrons_only else passed


def declared(values: Values) -> bool:
    """Whether constants may take the place of the network: with calibration "declared" and the published selection."""
    return values["calibration"] == "declared" and values["selection"] == "as_published"


def calibration(values: Values, dataset: Dataset) -> Calibration | None:
    """The declared efficiency and background of muon pairs, the same at all masses; nothing is declared for electrons."""
    if not declared(values) or not muons(values):
        return None
    return Calibration(name="constants fitted to the published limits", efficiency=float(NUMBERS["declared_efficiency"]),
                       background=float(NUMBERS["declared_background"]))  # fmt: skip


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection: one flavour at each mass and, unless constants stand for it or it is switched off, the network."""
    before = (
        Cut(name="missing energy", keep=partial(_missing, detector=dataset.detector),
            reason="radiative Bhabha events and four leptons miss nothing, or a photon along a beam or a track"),
        Cut(name="flavour", keep=_flavour, reason="electron pairs below twice the muon mass, muon pairs above"),
    )  # fmt: skip
    if choices["selection"] == "preselection":
        return before
    network = partial(_network, electrons_only=declared(choices))
    return *before, Cut(name="network", keep=network, reason="against tau pairs with other tracks, Bhabha events, four leptons")


def overlays(values: Values) -> tuple[Overlay, ...]:
    """Couplings that bring the muon's g - 2 within two standard deviations of its measurement; the published projection."""
    projection = Overlay(label="Belle II, published projection", quantity="xi", masses=NUMBERS["projection_mass"].values,
                         high=NUMBERS["projection_xi"].values, source="luminosity not stated")  # fmt: skip
    first, last = NUMBERS["band_masses"].values
    masses = np.geomspace(first, last, 60)
    preset = str(values["g_minus_2"])
    low, high = coupling_band(masses, preset, contribution=scalar)
    if high is None:
        return (projection,)
    to_xi = HIGGS_VEV / M_MUON
    band = Overlay(label=f"(g-2) of the muon, 2σ, {preset}", quantity="xi", masses=tuple(masses), high=tuple(to_xi * high),
                   low=None if low is None else tuple(to_xi * low), source="one loop, muon and scalar")  # fmt: skip
    return band, projection


SEARCH = Search(
    name="leptophilic_scalar",
    title="Leptophilic scalar",
    channel=r"e^+e^- \to \tau^+\tau^- \phi_L,\quad \phi_L \to e^+e^-,\ \mu^+\mu^-",
    model=LEPTOPHILIC.name,
    summary="Two taus and a pair of electrons or muons: a peak in the mass of the pair.",
    parameters=(
        Parameter(name="m_phi", symbol=r"m_{\phi}", unit="GeV", default=1.0, low=0.04, high=7.1, scale="log", simulates=True,
                  help="mass of the scalar; electron pairs below twice the muon mass, muon pairs above"),
        Parameter(name="xi", symbol=r"\xi", unit="", default=0.5, low=1e-3, high=1e3, scale="log",
                  help="coupling to leptons over that of the Higgs boson"),
        Parameter(name="selection", symbol="", unit="", default="as_published", choices=("as_published", "preselection"),
                  simulates=True, help="a network against tau pairs and four leptons, or nothing"),
        Parameter(name="calibration", symbol="", unit="", default="declared", choices=("declared", "simulated"), simulates=True,
                  help="constants fitted to the published limits in place of the network, or first principles"),
        Parameter(name="g_minus_2", symbol="", unit="", default=PRESETS[-1], choices=PRESETS,
                  help="prediction of the muon's g - 2 that the band is drawn for"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template=TEMPLATE,
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=IntervalWindow(x="m_pair", y="missing_energy_cms", n_sigma=float(NUMBERS["window_widths"]), y_range=MISSING,
                          centre=centre, physical=physical),
    systematics=systematics,
    couplings=(
        Coupling(name="xi", symbol=r"\xi", unit="", power=2.0, rate=unit_rate,
                 high=float(NUMBERS["perturbative_yukawa"]) * HIGGS_VEV / M_TAU),
    ),
    quantity="sigma x BR(phi -> l+ l-)",
    unit="fb",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("Belle:2022gbl", "BaBar:2020jma", "Batell:2016ove")),
    overlays=overlays,
    calibration=calibration,
    kept=kept,
)  # fmt: skip
