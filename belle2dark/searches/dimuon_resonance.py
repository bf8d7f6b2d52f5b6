"""Resonance of two muons: e+e- -> mu+mu- X with X -> mu+mu-.

A boson that couples to muons is radiated off one and decays to two: four muons and nothing else, a peak in the reduced mass
sqrt(m^2 - 4 m_mu^2) of one of the four opposite pairs. X is the Z' of gauged L_mu - L_tau ("zprime", coupling g_prime) or a
muonphilic scalar ("muonphilic", g_s). Belle II, PRD 109, 112015 (arXiv:2403.02841): 178 fb-1, a neural network against QED;
BaBar, PRD 94, 011102 (arXiv:1606.03501): 514 fb-1; Belle, PRD 106, 012003 (arXiv:2109.08596): 643 fb-1. All fit a peak over a
smooth background at some two thousand masses. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from scipy.interpolate import CubicSpline

from belle2dark.classifier import load_network
from belle2dark.constants import M_MUON
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2, Detector
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import Coupling, Dataset, Overlay, Search, common_parameters, of_model, select_systematics
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.mumu_x_mumu import generate_mumu_x_mumu
from belle2dark.sourced import load_numbers
from belle2dark.theory import g_minus_2
from belle2dark.theory.models import Model
from belle2dark.theory.muonphilic import MUONPHILIC
from belle2dark.theory.zprime import L_MU_TAU
from belle2dark.trigger.menu import load_menu
from belle2dark.window import IntervalWindow

NUMBERS = load_numbers("dimuon_resonance")
RATES = load_numbers("dimuon_resonance_rate")
TRAINED_ON = load_numbers("network_dimuon_resonance")

#: model -> its widths and the name of its coupling
MODELS: dict[str, tuple[Model, str]] = {"zprime": (L_MU_TAU, "g_prime"), "muonphilic": (MUONPHILIC, "g_s")}
#: model -> its contribution to g - 2
ANOMALY = {"zprime": g_minus_2.vector, "muonphilic": g_minus_2.scalar}

APPROXIMATIONS = (
    "Detector response is parametrised: no beam background, no showers, no fake tracks, no fit of a vertex.",
    "BaBar and Belle II: one constant each (a choice) brings the simulated efficiency to what published limits imply; cuts and "
    "identification of muons are not the published ones, and BaBar's mass resolution below 2 GeV is a quarter wider than the "
    "steps of its scan.",
    "Below 0.25 GeV the muons of X are slow and collinear: identification and fakes there make the published limits up to 2.8 "
    "times weaker on the rate than these. Nothing is tuned to that.",
    "Background: four muons at tree level with photons off the beams, and peaks of rho, J/psi, psi(2S) and Upsilon; no other "
    "hadrons taken for muons, no taus.",
    "The background of a fit is a polynomial: next to J/psi, psi(2S) and Upsilon, where a search leaves masses out, it does not "
    "describe what is there, and limits mean little.",
    "The network is our own, trained on our simulation; inputs and weights of the published one are not public.",
    "L1: three tracks or a single muon for Belle II, as recalled; the lines of Belle and BaBar are recalled or choices.",
    "Belle and BaBar: all data as if taken at 10.58 GeV. The limits of Belle are not public as numbers: no target.",
    "Systematic uncertainties are one choice for all masses; no table is public. Limits are CLs, those of BaBar are recalled as "
    "Bayesian.",
)


#: experiment -> the constant on its efficiency
CONSTANTS = {BELLE2.name: "efficiency_belle2", BABAR.name: "efficiency_babar"}


def _dataset(name: str, title: str, detector: Detector, lines: tuple[str, ...]) -> Dataset:
    fit = PeakFit(degree=int(float(NUMBERS["fit_degree"])), span=float(NUMBERS["fit_span"]), bins=int(float(NUMBERS["fit_bins"])))
    constants = {key: NUMBERS[key] for experiment, key in CONSTANTS.items() if experiment == detector.name}
    return Dataset(name=name, title=title, detector=detector, luminosity=NUMBERS[f"luminosity_{name}"],
                   sqrt_s=float(NUMBERS["sqrt_s"]), lines=lines, cl=float(NUMBERS["cl"]), method="cls", alpha="madgraph",
                   corrections=constants, fit=fit)  # fmt: skip


LINES = load_menu().selections
MUON_LINES = ("fff", "cdcklm1", "cdcklm2")
DATASETS = {
    d.name: d
    for d in (
        _dataset("belle2_178", "Belle II 2019-2021", BELLE2, MUON_LINES),
        _dataset("babar_514", "BaBar, all data, as if at 10.58 GeV", BABAR, LINES["babar"]),
        _dataset("belle_643", "Belle, Upsilon(1S) to Upsilon(5S), as if at 10.58 GeV", BELLE, LINES["belle"]),
        _dataset("belle2_run1", "Belle II Run 1", BELLE2, MUON_LINES),
    )
}


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    m = float(values["m_x"])
    top = dataset.detector.beams.sqrt_s - 2.0 * M_MUON - float(NUMBERS["least_energy"])
    return f"closed: m_x = {m:.4g} GeV is not below {top:.5g} GeV, where two muons still get energy" if m >= top else ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass, of the chosen model."""
    return generate_mumu_x_mumu(n, key, dataset.detector.beams, mass=float(values["m_x"]), model=str(values["model"]), isr=isr,
                                alpha=dataset.alpha)  # fmt: skip


def cross_section_at_unit_coupling(mass: Array, model: str) -> Array:
    """Cross-section [fb] of mu+ mu- X at coupling 1 for masses [GeV], same shape; interpolated in the table of rates.

    Source: :func:`belle2dark.simulation.lepton_pair_x_rate.cross_section`, with radiation, alpha as in the publications.
    """
    return np.exp(_log_rate(model)(mass))


@cache
def _log_rate(model: str) -> CubicSpline:
    return CubicSpline(RATES["rate_mass"].values, np.log(RATES[f"rate_{model}"].values))


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section of mu+ mu- X at the coupling of the chosen model [fb]."""
    model = str(values["model"])
    coupling = float(values[MODELS[model][1]])
    return coupling**2 * float(cross_section_at_unit_coupling(np.array(float(values["m_x"])), model))


def branching_fraction(values: Values) -> float:
    """BR(X -> mu+ mu-) in the chosen model."""
    return _branching_fraction(values, str(values["model"]))


def _branching_fraction(values: Values, model: str) -> float:
    return float(MODELS[model][0].branching_fraction("mumu", float(values["m_x"])))


def unit_rate(values: Values, dataset: Dataset, model: str) -> float:
    """Cross-section times branching fraction of a model at unit coupling [fb]."""
    return float(cross_section_at_unit_coupling(np.array(float(values["m_x"])), model)) * _branching_fraction(values, model)


def width(values: Values) -> float:
    """Natural width [GeV] in the chosen model at its coupling."""
    model, name = MODELS[str(values["model"])]
    return float(model.total_width(float(values["m_x"]), {name: float(values[name])}))


def reduced_mass(mass: float) -> float:
    """sqrt(m^2 - 4 m_mu^2) [GeV], in which the QED background is flat down to the threshold; 0 below."""
    return float(np.sqrt(max(mass**2 - 4.0 * M_MUON**2, 0.0)))


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: reduced mass [GeV] and mass of the other pair (anywhere)."""
    return reduced_mass(float(values["m_x"])), 0.0


def physical(x: Array, _other: Array, dataset: Dataset) -> Array:
    """Whether reduced masses [GeV] are kinematically possible, bool like the input."""
    return np.asarray((x > 0.0) & (x < dataset.detector.beams.sqrt_s - 2.0 * M_MUON))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def _energy(columns: Columns, least: float) -> Mask:
    return np.asarray(columns["m_total"] > least)


def _balance(columns: Columns) -> Mask:
    return np.asarray(columns["chi2"] < float(TRAINED_ON["chi2_max"]))


def _network(columns: Columns) -> Mask:
    return np.asarray(load_network("dimuon_resonance").score(columns) > 0.5)


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection: as published, the network for Belle II and the balance of energies for the others."""
    chosen = str(choices["selection"])
    if chosen == "as_published":
        chosen = "classifier" if dataset.detector.name == BELLE2.name else "cuts"
    return _cuts(chosen, dataset.sqrt_s - float(NUMBERS["energy_gap"]))


@cache
def _cuts(chosen: str, least: float) -> tuple[Cut, ...]:
    energy = Cut(name="four-muon mass", keep=partial(_energy, least=least), reason="nothing but four muons in the event")
    balance = Cut(name="four momenta", keep=_balance, reason="what the network was trained on: no photon lost along the beams")
    network = Cut(name="network", keep=_network, reason="a radiated boson and QED share energy and angles differently")
    return {"preselection": (), "cuts": (energy,), "classifier": (energy, balance, network)}[chosen]


def overlays(values: Values) -> tuple[Overlay, ...]:
    """The couplings that would bring the muon's g - 2 within two standard deviations of its measurement."""
    masses = np.geomspace(SEARCH.parameters[0].low, DATASETS["belle2_178"].sqrt_s, 60)
    preset, out = str(values["g_minus_2"]), []
    for model, (_, coupling) in MODELS.items():
        low, high = g_minus_2.coupling_band(masses, preset, contribution=ANOMALY[model])
        if high is not None:
            out.append(
                Overlay(
                    label=f"(g-2) of the muon, 2σ, {preset}",
                    quantity=coupling,
                    masses=tuple(masses),
                    high=tuple(high),
                    low=None if low is None else tuple(low),
                    source="one loop, muon and X",
                )
            )
    return tuple(out)


SEARCH = Search(
    name="dimuon_resonance",
    title="Dimuon resonance",
    channel=r"e^+e^- \to \mu^+\mu^- X,\quad X \to \mu^+\mu^-",
    model="muon_force",
    summary="Four muons: a peak in the reduced mass of one of the four opposite pairs.",
    parameters=(
        Parameter(name="m_x", symbol="m_X", unit="GeV", default=2.0, low=0.212, high=10.4, simulates=True, help="mass of X"),
        Parameter(name="model", symbol="", unit="", default="zprime", choices=tuple(MODELS), simulates=True,
                  help="Z' of L_mu - L_tau, or a scalar that couples to muons alone"),
        Parameter(name="g_prime", symbol="g'", unit="", default=0.003, low=1e-5, high=3.0, scale="log",
                  help="gauge coupling of the Z'"),
        Parameter(name="g_s", symbol="g_S", unit="", default=0.005, low=1e-5, high=3.0, scale="log",
                  help="Yukawa coupling of the muonphilic scalar"),
        Parameter(name="selection", symbol="", unit="", default="as_published", simulates=True,
                  choices=("as_published", "classifier", "cuts", "preselection"),
                  help="against four muons of QED: a neural network (Belle II), a balance of energies or nothing"),
        Parameter(name="g_minus_2", symbol="", unit="", default=g_minus_2.PRESETS[-1], choices=g_minus_2.PRESETS,
                  help="prediction of the muon's g - 2 that the band is drawn for"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template="four_muons",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=IntervalWindow(x="reduced_mass", y="m_other", n_sigma=float(NUMBERS["window_widths"]),
                          y_range=(0.0, float(NUMBERS["sqrt_s"])), centre=centre, physical=physical),
    systematics=systematics,
    couplings=(
        Coupling(name="g_prime", symbol="g'", unit="", power=2.0, high=float(NUMBERS["perturbative_limit"]),
                 rate=partial(unit_rate, model="zprime"), applies=partial(of_model, model="zprime")),
        Coupling(name="g_s", symbol="g_S", unit="", power=2.0, high=float(NUMBERS["perturbative_limit"]),
                 rate=partial(unit_rate, model="muonphilic"), applies=partial(of_model, model="muonphilic")),
    ),
    quantity="sigma x BR(X -> mu mu)",
    unit="fb",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("BelleII:2024wtd", "BaBar:2016sci", "Belle:2021feg")),
    overlays=overlays,
)  # fmt: skip
