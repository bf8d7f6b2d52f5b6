"""A tau pair beside a muon pair: e+e- -> mu+mu- X with X -> tau+tau-.

X is a Z' of gauged L_mu - L_tau, a leptophilic scalar or an axion-like particle (ALP), radiated off a muon or, if it couples
to them, off the beams. Two muons, one charged particle from each tau and missing momentum: a peak in the recoil mass of the
muons, a few MeV wide at high masses. Belle II, PRL 131, 121802 (arXiv:2306.12294): 62.8 fb-1, classifiers in eight ranges of
the recoil mass, then a fit of a peak over a background that floats. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
from scipy.interpolate import CubicSpline

from belle2dark.classifier import load_network
from belle2dark.constants import ALPHA, HIGGS_VEV, M_TAU
from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import Calibration, Coupling, Dataset, Search, common_parameters, of_model, select_systematics
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.beams import belle2_beams
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.mumu_x_tautau import generate_mumu_x_tautau
from belle2dark.sourced import load_numbers
from belle2dark.theory.leptophilic import LEPTON_ALP, LEPTOPHILIC, TEV
from belle2dark.theory.models import Model
from belle2dark.theory.zprime import L_MU_TAU
from belle2dark.window import IntervalWindow

NUMBERS = load_numbers("ditau_resonance")
RATES = load_numbers("ditau_resonance_rate")
PRESELECTION = load_numbers("final_state_ditau")

APPROXIMATIONS = (
    "Declared, not simulated (calibration = declared): 0.45 of the pre-selected signal is kept and 22 background events lie in "
    "+-1.5 resolutions at 62.8 fb-1, at all masses: two choices, fitted to the published expected limits. calibration = "
    "simulated has simulated backgrounds and our own networks instead: for the Z' the same in the median, up to 2.2 off at one "
    "mass; for scalar and ALP 1.6 in the median and up to 6 above 7 GeV, where the cut of the networks rests on a few hadronic "
    "events, those of the template itself.",
    "Not simulated: mu+mu-pi+pi- and e+e- X_had (nor were they for the publication), events that lose some of five tracks.",
    "The networks are trained on our simulation for a rejection of 99 %; published inputs, ranges and weights are not used.",
    "The publication uses the efficiency of the Z' for all models; here each has its own. They differ above 7 GeV, where scalar "
    "and ALP come off the beams beside soft muons: the limits on their rates are then up to 1.8 times weaker.",
    "Muons too soft for the muon detector are identified with a probability that is a choice; it decides limits above 9.5 GeV.",
    "Taus keep the spin correlations of an unpolarised parent; 0.6 % of their decays are not made.",
    "A resonance is taken as narrow. At the published limits on xi (above 4.5 GeV) and C/Lambda (above 4 GeV) its width would "
    "exceed the resolution: a quarter of a GeV at 6 GeV. The published limits ignore that; curves are dashed where it is so.",
    "The background of the fit is a polynomial; the published function is not known.",
    "Systematic uncertainties are on the signal alone; how identification goes through its range of 3.9 to 6.2 % is a choice.",
    "Beam energies do not spread in belle2_63, as in the published resolutions; they do in the projection to Run 1, which keeps "
    "the declared constants at more luminosity.",
)

#: model -> its widths and the coupling that it is at unit of
THEORY: dict[str, tuple[Model, str]] = {
    "zprime": (L_MU_TAU, "g_prime"),
    "leptophilic": (LEPTOPHILIC, "xi"),
    "alp": (LEPTON_ALP, "c_over_lambda"),
}
LINES = ("fff", "cdcklm1", "cdcklm2")
#: as the published signal simulation had it: the resolution of its table is that of beams without spread
WITHOUT_SPREAD = replace(BELLE2, beams=belle2_beams(spread=False))


def _dataset(name: str, title: str, detector: Detector) -> Dataset:
    return Dataset(
        name=name,
        title=title,
        detector=detector,
        luminosity=NUMBERS[f"luminosity_{name}"],
        sqrt_s=float(NUMBERS["sqrt_s"]),
        lines=LINES,
        cl=float(NUMBERS["cl"]),
        method="cls",
        alpha="madgraph",
        fit=PeakFit(
            degree=int(float(NUMBERS["fit_degree"])), span=float(NUMBERS["fit_span"]), bins=int(float(NUMBERS["fit_bins"]))
        ),
    )


DATASETS = {
    d.name: d
    for d in (
        _dataset("belle2_63", "Belle II 2019-2020, three-track and single-muon lines", WITHOUT_SPREAD),
        _dataset("belle2_run1", "Belle II Run 1, projection, with the spread of the beam energies", BELLE2),
    )
}


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    m, least = float(values["m_x"]), 2.0 * M_TAU
    top = dataset.detector.beams.sqrt_s - float(NUMBERS["least_energy"])
    if m <= least:
        return f"closed: m_x = {m:.4g} GeV is not above {least:.5g} GeV, two taus"
    return f"closed: m_x = {m:.4g} GeV is not below {top:.5g} GeV, where two muons still get energy" if m >= top else ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events of the model at this mass, in the narrow-width approximation."""
    return generate_mumu_x_tautau(n, key, dataset.detector.beams, mass=float(values["m_x"]), model=str(values["model"]), isr=isr,
                                  alpha=dataset.alpha)  # fmt: skip


@cache
def _log_rate(table: str) -> CubicSpline:
    return CubicSpline(RATES["mass"].values, np.log(RATES[table].values))


def unit_cross_section(mass: Array, model: str, alpha: str = "madgraph") -> Array:
    """Cross-section [fb] of mu+ mu- X at g' = 1, xi = 1 or C/Lambda = 1/TeV for masses [GeV], same shape; from a table.

    Source: :func:`belle2dark.simulation.lepton_pair_x_rate.cross_section`, radiation included, ``alpha`` as there.
    """
    return np.asarray(np.exp(_log_rate(f"rate_{model}")(mass)) * (ALPHA[alpha] / ALPHA["madgraph"]) ** 2)


def beam_share(mass: Array, model: str) -> Array:
    """Share of the cross-section with X off the beams rather than off a muon, for masses [GeV], same shape: 0 for the Z'."""
    if f"muons_{model}" not in RATES:
        return np.zeros_like(np.asarray(mass, dtype=float))
    return np.asarray(1.0 - np.exp(_log_rate(f"muons_{model}")(mass) - _log_rate(f"rate_{model}")(mass)))


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section of mu+ mu- X of the chosen model at the coupling given [fb]."""
    model = str(values["model"])
    return float(values[THEORY[model][1]]) ** 2 * float(unit_cross_section(np.array(float(values["m_x"])), model, dataset.alpha))


def branching_fraction(values: Values) -> float:
    """BR(X -> tau tau) of the chosen model."""
    return float(THEORY[str(values["model"])][0].branching_fraction("tautau", float(values["m_x"])))


def unit_rate(values: Values, dataset: Dataset, model: str) -> float:
    """Cross-section times branching fraction [fb] of a model at its unit coupling, whichever is chosen."""
    mass = float(values["m_x"])
    rate = float(unit_cross_section(np.array(mass), model, dataset.alpha))
    return rate * float(THEORY[model][0].branching_fraction("tautau", mass))


def width(values: Values) -> float:
    """Natural width [GeV] of the chosen model at the coupling given."""
    theory, coupling = THEORY[str(values["model"])]
    return float(theory.total_width(float(values["m_x"]), {coupling: float(values[coupling])}))


def calibration(values: Values, dataset: Dataset) -> Calibration | None:
    """The declared efficiency and background [fb per resolution], if asked for and the selection is the published one."""
    if values["calibration"] != "declared" or values["selection"] != "as_published":
        return None
    window = 2.0 * float(NUMBERS["window_widths"]) * float(NUMBERS["declared_luminosity"])
    return Calibration(name="declared", efficiency=float(NUMBERS["declared_efficiency"]),
                       background=float(NUMBERS["declared_background"]) / window)  # fmt: skip


def region(values: Values) -> int:
    """Low, medium or high recoil mass: 0, 1 or 2."""
    return int(np.searchsorted(NUMBERS["region_masses"].values, float(values["m_x"]), side="right"))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset at this mass."""
    return select_systematics(NUMBERS, str(values["dataset"]), region(values))


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: recoil mass [GeV] and smallest mass of a muon with the other two (anywhere)."""
    return float(values["m_x"]), 0.0


def physical(recoil_mass: Array, _second: Array, _dataset: Dataset) -> Array:
    """Whether events of these recoil masses [GeV] are looked at, bool like the input."""
    low, high = PRESELECTION["recoil_mass"].values
    return np.asarray((recoil_mass > low) & (recoil_mass < high))


def _four_tracks(columns: Columns) -> Mask:
    return np.asarray(columns["m_total"] < float(PRESELECTION["m_total_max"]))


def _network(columns: Columns) -> Mask:
    return np.asarray(load_network("ditau_resonance").score(columns) > 0.5)


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection: with the network, unless constants are declared in its place or only the pre-selection is wanted."""
    before = Cut(
        name="four tracks", keep=_four_tracks, reason="neutrinos of the taus are missing; with all of the energy there are none"
    )
    if choices["selection"] == "preselection" or choices["calibration"] == "declared":
        return (before,)
    return before, Cut(name="network", keep=_network, reason="tau pairs, quark pairs and two-photon events look alike without it")


SEARCH = Search(
    name="ditau_resonance",
    title="Tau-pair resonance",
    channel=r"e^+e^- \to \mu^+\mu^- X,\quad X \to \tau^+\tau^-",
    model="l_mu_tau, leptophilic or lepton_alp",
    summary="Two muons and two taus: a peak in the recoil mass of the muons.",
    parameters=(
        Parameter(name="m_x", symbol="m_X", unit="GeV", default=6.0, low=3.6, high=10.6, simulates=True,
                  help="mass of the resonance"),
        Parameter(name="model", symbol="", unit="", default="zprime", choices=tuple(THEORY), simulates=True,
                  help="Z' of L_mu - L_tau, leptophilic scalar or axion-like particle"),
        Parameter(name="g_prime", symbol="g'", unit="", default=0.1, low=1e-4, high=100.0, scale="log",
                  help="gauge coupling of the Z'"),
        Parameter(name="xi", symbol=r"\xi", unit="", default=200.0, low=0.1, high=1e5, scale="log",
                  help="coupling of the scalar to leptons: Yukawa coupling xi m/v"),
        Parameter(name="c_over_lambda", symbol=r"|C_{\ell\ell}|/\Lambda", unit="TeV^-1", default=800.0, low=1.0, high=1e6,
                  scale="log", help="coupling of the ALP to charged leptons"),
        Parameter(name="selection", symbol="", unit="", default="as_published", choices=("as_published", "preselection"),
                  simulates=True, help="with what removes backgrounds, or the four tracks alone"),
        Parameter(name="calibration", symbol="", unit="", default="declared", choices=("declared", "simulated"), simulates=True,
                  help="constants that describe the published limits, or simulated backgrounds and our own network"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template="ditau",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=IntervalWindow(x="recoil_mass", y="m_three_low", n_sigma=float(NUMBERS["window_widths"]),
                          y_range=(0.0, float(PRESELECTION["m_total_max"])), centre=centre, physical=physical),
    systematics=systematics,
    couplings=(
        Coupling(name="g_prime", symbol="g'", unit="", power=2.0, high=float(NUMBERS["perturbative_limit"]),
                 rate=partial(unit_rate, model="zprime"), applies=partial(of_model, model="zprime")),
        Coupling(name="xi", symbol=r"\xi", unit="", power=2.0, high=float(NUMBERS["perturbative_limit"]) * HIGGS_VEV / M_TAU,
                 rate=partial(unit_rate, model="leptophilic"), applies=partial(of_model, model="leptophilic")),
        Coupling(name="c_over_lambda", symbol=r"|C_{\ell\ell}|/\Lambda", unit="TeV^-1", power=2.0,
                 high=float(NUMBERS["perturbative_limit"]) * TEV / M_TAU, rate=partial(unit_rate, model="alp"),
                 applies=partial(of_model, model="alp")),
    ),
    quantity="sigma x BR(X -> tau tau)",
    unit="fb",
    approximations=APPROXIMATIONS,
    references=(NUMBERS.references["BelleII:2023ydz"], NUMBERS.references["Branchini:2023"]),
    calibration=calibration,
)  # fmt: skip
