"""Invisible Z': e+e- -> mu+mu- Z' with Z' -> invisible.

A Z' radiated off a muon decays to neutrinos (gauged L_mu - L_tau, "vanilla") or, if it can, to dark matter
("fully_invisible"): two muons and nothing else, a peak in the squared recoil mass at m_zprime^2. Belle II,
PRL 130, 231801 (arXiv:2212.03066): 79.7 fb-1, a fit of the recoil mass against its polar angle after a neural network;
PRL 124, 141801 (arXiv:1912.11276): pilot run of 276 pb-1, counting in windows of the recoil mass. Not modelled: see
``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np
from scipy.interpolate import CubicSpline

from belle2dark.classifier import lepton_pt, load_network, recoil_in_barrel, recoil_pt
from belle2dark.constants import M_MUON
from belle2dark.detector.experiments import BELLE, BELLE2, Detector
from belle2dark.fitting import TemplateFit
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.search import Coupling, Dataset, Overlay, Search, common_parameters, select_systematics
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.lepton_pair_x import LOWEST, WIDTHS, generate_lepton_pair_x
from belle2dark.sourced import load_numbers
from belle2dark.theory.g_minus_2 import PRESETS, coupling_band
from belle2dark.theory.zprime import L_MU_TAU
from belle2dark.trigger.menu import load_menu
from belle2dark.window import IntervalWindow

NUMBERS = load_numbers("zprime_invisible")
CUTS = load_numbers("zprime_invisible_cut")
NETWORK = load_numbers("network_zprime_invisible")
#: what the cut-based selection cuts on, from below, by recoil mass
CUT_ON = ("pt_mumu_cms", "recoil_pt_softer", "recoil_pt_harder")

APPROXIMATIONS = (
    "Detector response is parametrised: no beam background, no showers, no energy left by beam background in the photon veto.",
    "A photon inside the calorimeter escapes the veto with a fixed probability, a choice; below 1.5 GeV it decides the limit.",
    "Backgrounds: radiative dimuons with any number of photons off the beams and one off the muons, tau pairs (Michel decays), "
    "two-photon muon pairs by equivalent photons; no hadrons taken for muons, no cosmics.",
    "The network is our own, trained on our simulation with the Punzi loss; the published inputs and weights are not used.",
    "Cuts of the pilot run and its tau suppression are not published: ours are optimised on simulation.",
    "Pilot run: the published bins are replaced by windows of two widths around each mass.",
    "The polar-angle bins of the fit and its range are choices; uncertainties of shapes move whole backgrounds.",
    "The simulation study of the network applied a flat trigger efficiency of 0.9; its dataset here has all L1 lines for two "
    "muons, which keep 0.86 to 0.93.",
    "Belle: its L1 logic is partly recalled, prescales and later trigger levels are unknown; uncertainties as for Belle II.",
    "A width is a Breit-Wigner in the generated mass: its low tail carries more of the rate the heavier the Z'.",
    "Where a window holds few simulated events, its background is the density of up to four times its width around it.",
)

#: nodes of the average over a line shape
_NODES = 48


def _dataset(name: str, title: str, lines: tuple[str, ...], method: str, *, corrections: tuple[str, ...] = (), fit: bool = False,
             detector: Detector = BELLE2) -> Dataset:  # fmt: skip
    edges = np.sort(np.cos(np.radians(NUMBERS["fit_theta"].values)))
    shapes = TemplateFit(bins=int(float(NUMBERS["fit_bins"])), span=float(NUMBERS["fit_span"]), y_edges=tuple(map(float, edges)))
    return Dataset(
        name=name,
        title=title,
        detector=detector,
        luminosity=NUMBERS[f"luminosity_{name}"],
        sqrt_s=float(NUMBERS["sqrt_s"]),
        lines=lines,
        cl=float(NUMBERS["cl"]),
        method=method,  # type: ignore[arg-type]
        alpha="madgraph",
        corrections={key: NUMBERS[key] for key in corrections},
        fit=shapes if fit else None,
    )


LINES = load_menu().selections
DATASETS = {
    d.name: d
    for d in (
        _dataset("belle2_80", "Belle II 2019-2020, two-track line", LINES["belle2_2019"], "cls", fit=True),
        _dataset("belle2_pilot", "Belle II 2018, pilot run", LINES["belle2_2019"], "bayesian",
                 corrections=("l1_2018", "validation_2018")),
        _dataset("belle_977", "Belle, all data, as if at 10.58 GeV", LINES["belle"], "cls", fit=True, detector=BELLE),
        _dataset("belle2_run1", "Belle II Run 1, with the single-muon lines", LINES["belle2"], "cls", fit=True),
        _dataset("belle2_study", "Belle II simulation study, every L1 line for two muons",
                 tuple(line.name for line in load_menu().offered("dimuon_missing")), "cls", fit=True),
    )
}  # fmt: skip


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    m, root = float(values["m_zprime"]), dataset.detector.beams.sqrt_s
    top = root - float(NUMBERS["least_energy"])
    return f"closed: m_zprime = {m:.4g} GeV is not below {top:.5g} GeV, where two muons still get energy" if m >= top else ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass and width."""
    m = float(values["m_zprime"])
    return generate_lepton_pair_x(n, key, dataset.detector.beams, mass=m, coupling=LeptonCoupling(vector=1.0), isr=isr,
                                  width=float(values["width_fraction"]) * m, alpha=dataset.alpha)  # fmt: skip


def _unit_cross_section(mass: float, fraction: float, dataset: Dataset) -> float:
    """Cross-section [fb] at g' = 1, averaged over the line shape that is generated."""
    if fraction == 0.0:
        return float(narrow_cross_section(np.array(mass)))
    width_gev = fraction * mass
    low, high = max(mass - WIDTHS * width_gev, LOWEST * mass), min(mass + WIDTHS * width_gev, dataset.sqrt_s - 2.0 * M_MUON)
    first, last = (math.atan((m * m - mass * mass) / (mass * width_gev)) for m in (low, high))
    x, weights = np.polynomial.legendre.leggauss(_NODES)
    angle = first + 0.5 * (last - first) * (x + 1.0)
    masses = np.sqrt(mass * mass + mass * width_gev * np.tan(angle))
    return float(narrow_cross_section(masses) @ weights * 0.5 * (last - first) / math.pi)


def narrow_cross_section(mass: Array) -> Array:
    """Cross-section [fb] of mu+ mu- Z' at g' = 1 for masses [GeV], same shape; interpolated in the table of the cut file.

    Source: :func:`belle2dark.simulation.lepton_pair_x_rate.cross_section`, with radiation, alpha as in the publications.
    """
    return np.exp(_log_rate()(mass))


@cache
def _log_rate() -> CubicSpline:
    return CubicSpline(CUTS["rate_mass"].values, np.log(CUTS["rate"].values))


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section of mu+ mu- Z' at the coupling given [fb]."""
    g = float(values["g_prime"])
    return g * g * _unit_cross_section(float(values["m_zprime"]), float(values["width_fraction"]), dataset)


def branching_fraction(values: Values) -> float:
    """BR(Z' -> invisible): that of L_mu - L_tau, or 1."""
    if values["scenario"] == "fully_invisible":
        return 1.0
    return float(L_MU_TAU.branching_fraction("invisible", float(values["m_zprime"])))


def unit_rate(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction at g' = 1 [fb]."""
    mass, fraction = float(values["m_zprime"]), float(values["width_fraction"])
    return _unit_cross_section(mass, fraction, dataset) * branching_fraction(values)


def width(values: Values) -> float:
    """Natural width [GeV]: the one asked for, or else that of L_mu - L_tau at the coupling given."""
    m, fraction = float(values["m_zprime"]), float(values["width_fraction"])
    return fraction * m if fraction > 0 else float(L_MU_TAU.total_width(m, {"g_prime": float(values["g_prime"])}))


def region(values: Values) -> int:
    """Low, medium or high recoil mass: 0, 1 or 2."""
    return int(np.searchsorted(NUMBERS["region_masses"].values, float(values["m_zprime"]), side="right"))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset in this region of masses."""
    return select_systematics(NUMBERS, str(values["dataset"]), region(values))


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: squared recoil mass [GeV^2] and cosine of the recoil's polar angle (anywhere)."""
    return float(values["m_zprime"]) ** 2, 0.0


def physical(recoil_mass_squared: Array, _cosine: Array, dataset: Dataset) -> Array:
    """Whether masses are kinematically possible, bool like the input."""
    return np.asarray(recoil_mass_squared < dataset.detector.beams.sqrt_s**2)


def _network(columns: Columns) -> Mask:
    return np.asarray(load_network("zprime_invisible").score(columns) > float(NETWORK["score_min"]))


def _tau_suppression(columns: Columns, which: str) -> Mask:
    nodes, mass = CUTS["cut_mass"].values, np.sqrt(np.clip(columns["recoil_mass_squared"], 0.0, None))
    least = {name: np.interp(mass, nodes, CUTS[f"{name}_min_{which}"].values) for name in CUT_ON}
    return np.asarray(np.all([columns[name] > least[name] for name in CUT_ON], axis=0))


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection: as published, the network for the datasets that are fitted and cuts for the pilot run."""
    chosen = str(choices["selection"])
    if chosen == "as_published":
        chosen = "classifier" if dataset.fit else "cuts"
    return _cuts(chosen, dataset)


@cache
def _cuts(chosen: str, dataset: Dataset) -> tuple[Cut, ...]:
    detector, tuned = dataset.detector, dataset.name if dataset.name == "belle2_pilot" else "belle2_80"
    before = (
        Cut(name="muon pT", keep=lepton_pt, reason="softer tracks are lost or not identified"),
        Cut(name="recoil pT", keep=partial(recoil_pt, detector=detector), reason="one photon along the beam balances dimuons"),
        Cut(name="recoil in barrel", keep=partial(recoil_in_barrel, detector=detector),
            reason="at low recoil mass a lost photon is seen where the ECL has no gaps"),
    )  # fmt: skip
    suppression = {
        "classifier": Cut(name="network", keep=_network, reason="trained for the best Punzi sensitivity over all masses"),
        "cuts": Cut(name="tau suppression", keep=partial(_tau_suppression, which=tuned),
                    reason="neutrinos fly along the leptons of tau pairs, a Z' does not"),
    }  # fmt: skip
    return (*before, suppression[chosen]) if chosen in suppression else before


def overlays(values: Values) -> tuple[Overlay, ...]:
    """The couplings that would bring the muon's g - 2 within two standard deviations of its measurement."""
    masses = np.geomspace(float(NUMBERS["least_mass"]), DATASETS["belle2_80"].sqrt_s, 60)
    preset = str(values["g_minus_2"])
    low, high = coupling_band(masses, preset)
    if high is None:
        return ()
    return (
        Overlay(
            label=f"(g-2) of the muon, 2σ, {preset}",
            quantity="g_prime",
            masses=tuple(masses),
            high=tuple(high),
            low=None if low is None else tuple(low),
            source="one loop, muon and Z'",
        ),
    )


SEARCH = Search(
    name="zprime_invisible",
    title="Invisible Z'",
    channel=r"e^+e^- \to \mu^+\mu^- Z',\quad Z' \to \text{invisible}",
    model="l_mu_tau",
    summary="Two muons and missing energy: a peak in the recoil mass of the pair.",
    parameters=(
        Parameter(name="m_zprime", symbol="m_{Z'}", unit="GeV", default=3.0, low=0.01, high=10.6, simulates=True, help="Z' mass"),
        Parameter(name="g_prime", symbol="g'", unit="", default=0.01, low=1e-5, high=3.0, scale="log", help="gauge coupling"),
        Parameter(name="scenario", symbol="", unit="", default="vanilla", choices=("vanilla", "fully_invisible"),
                  help="decays of L_mu - L_tau, or all of them into dark matter"),
        Parameter(name="width_fraction", symbol=r"\Gamma/m", unit="", default=0.0, low=0.0, high=0.15, simulates=True,
                  help="natural width over mass, for strong couplings to dark matter (0: narrow)"),
        Parameter(name="selection", symbol="", unit="", default="as_published", simulates=True,
                  choices=("as_published", "classifier", "cuts", "preselection"),
                  help="against tau pairs: a neural network, rectangular cuts or nothing"),
        Parameter(name="g_minus_2", symbol="", unit="", default=PRESETS[-1], choices=PRESETS,
                  help="prediction of the muon's g - 2 that the band is drawn for"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template="dimuon_missing",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=IntervalWindow(x="recoil_mass_squared", y="recoil_cos_theta_lab", n_sigma=float(NUMBERS["window_widths"]),
                          y_range=(-1.0, 1.0), centre=centre, physical=physical),
    systematics=systematics,
    couplings=(
        Coupling(name="g_prime", symbol="g'", unit="", power=2.0, high=float(NUMBERS["perturbative_limit"]), rate=unit_rate),
    ),
    quantity="sigma x BR(Z' -> invisible)",
    unit="fb",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("BelleII:2022yaw", "BelleII:2019qfb", "Feichtinger:2021uff")),
    overlays=overlays,
)  # fmt: skip
