"""Light CP-odd Higgs boson: Upsilon(2S) -> pi+ pi- Upsilon(1S), Upsilon(1S) -> gamma A0, A0 -> mu+ mu- or tau+ tau-.

The two pions tag the Upsilon(1S); its photon and A0 go back to back. For muons the peak is in the reduced mass of the pair,
everything fitted to the beams; for taus, which lose neutrinos, it is in the mass that the photon recoils against. Belle, PRL 128,
081804 (arXiv:2112.11852): 158 million Upsilon(2S), 90 % credibility limits on B(Upsilon(1S) -> gamma A0) B(A0 -> l l), from which
follow the Yukawa coupling f_Upsilon (Wilczek) and the mixing sin(theta_A0). Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from belle2dark.constants import ALPHA, HIGGS_VEV, M_MUON, M_TAU, M_UPSILON_1S
from belle2dark.detector.experiments import BELLE_2S
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import (
    Calibration,
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
from belle2dark.simulation.backgrounds_upsilon import generate_signal
from belle2dark.simulation.decays.upsilon import upsilon_2s_cross_section
from belle2dark.simulation.events import Array, Events
from belle2dark.sourced import load_numbers
from belle2dark.trigger.menu import load_menu
from belle2dark.window import IntervalWindow

NUMBERS, MESONS = load_numbers("cp_odd_higgs"), load_numbers("mesons")
#: masses of the dipion [GeV] that plots show
SHOWN = (NUMBERS["dipion_shown"].values[0], NUMBERS["dipion_shown"].values[1])
#: highest mass [GeV], where the photon gets too soft
HIGHEST = math.sqrt(M_UPSILON_1S * (M_UPSILON_1S - 2.0 * float(NUMBERS["softest_photon"])))
#: mass of the leptons of a final state [GeV]
LEPTONS = {"mumu": M_MUON, "tautau": M_TAU}

APPROXIMATIONS = (
    "Detector response is parametrised: no showers, no beam background; Belle's efficiency for soft pions and its L1 lines are "
    "recalled.",
    "The published selection, efficiencies and resolutions are not public: cuts are our own. Muon pairs are from first "
    "principles; for tau pairs, with calibration = declared, one constant on the efficiency, the same at all masses, brings the "
    "limits to the published ones. First principles are shown beside it.",
    "Backgrounds are Upsilon(1S) -> l l with a photon behind a real dipion. Left out: e e -> mu mu pi pi off resonance (a tenth "
    "of an event), hadrons off resonance (about ten events of tau pairs, most of soft photons), hadronic decays of the "
    "Upsilon(1S) with two tracks and a hard photon (a few, near twice the tau mass). From 2.5 to 4 GeV the published limits on "
    "muon pairs are weaker by 1.4 to 1.7 than photons off muons explain.",
    "Taus decay to one prong each; a pi0 must be lost but for the photon that is taken for that of the signal.",
    "Limits are CLs from fits of a peak over a polynomial; the published ones are Bayesian at 90 % credibility, which for as "
    "many events as here is the same to a few percent.",
    "The A0 is prompt and narrow. B(A0 -> l l) is a parameter: couplings are those at its value, limits on f_Upsilon and "
    "sin(theta) go as one over its square root. No corrections of the strong interaction to Wilczek's formula, which are of "
    "order one half at small masses and larger near the Upsilon(1S); the mixing with eta_b there is not modelled.",
    "Published tables of systematic uncertainties were not available: the ones here are choices.",
)


LINES = load_menu().selections["belle"]


def _dataset(final_state: str) -> Dataset:
    degree, span, bins = NUMBERS[f"fit_{final_state}"].values
    return Dataset(name="belle_y2s", title="Belle at the Upsilon(2S), 158 million", detector=BELLE_2S,
                   luminosity=NUMBERS["luminosity_belle_y2s"], sqrt_s=BELLE_2S.beams.sqrt_s, lines=LINES,
                   cl=float(NUMBERS["cl"]), method="cls", alpha="thomson",
                   fit=PeakFit(degree=int(degree), span=float(span), bins=int(bins), smooth=True))  # fmt: skip


DATASETS = {final_state: {"belle_y2s": _dataset(final_state)} for final_state in LEPTONS}


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    m, least = float(values["m_a0"]), 2.0 * LEPTONS[str(values["final_state"])]
    if m <= least:
        return f"closed: m_a0 = {m:.4g} GeV is not above {least:.5g} GeV, twice the mass of the leptons"
    return f"closed: m_a0 = {m:.4g} GeV is not below {HIGHEST:.5g} GeV, where the photon gets too soft" if m >= HIGHEST else ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass; ``isr`` switches photons off the leptons: on a resonance there are none off the beams."""
    return generate_signal(
        n, key, dataset.detector.beams, float(values["m_a0"]), final_state=str(values["final_state"]), photons=isr
    )


def tagged_upsilons() -> float:
    """Cross-section [fb] of Upsilon(2S) -> pi+ pi- Upsilon(1S) at Belle."""
    return upsilon_2s_cross_section() * float(MESONS["upsilon_2s_to_pipi_upsilon_1s"])


def photon_branching_fraction(mass: float, f_upsilon: float) -> float:
    """B(Upsilon(1S) -> gamma A0) for a mass [GeV] and the Yukawa coupling; 0 above the Upsilon(1S).

    Source: Wilczek, Phys. Rev. Lett. 39 (1977) 1304: f^2 / (2 pi alpha) (1 - m^2 / m_Upsilon^2) times B(Upsilon(1S) -> l l),
    without corrections of the strong interaction.
    """
    phase_space = max(0.0, 1.0 - (mass / M_UPSILON_1S) ** 2)
    return float(MESONS["upsilon_1s_to_leptons"]) * f_upsilon**2 / (2.0 * math.pi * ALPHA["thomson"]) * phase_space


def f_of_mixing() -> float:
    """Yukawa coupling f_Upsilon at sin(theta_A0) = 1: that of the b quark to a Higgs boson, m_b / v."""
    return float(NUMBERS["b_quark_mass"]) / HIGGS_VEV


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section of pi+ pi- gamma A0 at the coupling given [fb]."""
    return tagged_upsilons() * photon_branching_fraction(float(values["m_a0"]), float(values["f_upsilon"]))


def branching_fraction(values: Values) -> float:
    """B(A0 -> l+ l-), which is a parameter: it depends on the other couplings of the A0."""
    return float(values["b_leptons"])


def unit_rate(values: Values, dataset: Dataset, f_upsilon: float) -> float:
    """Cross-section times branching fraction at this coupling [fb]."""
    return tagged_upsilons() * photon_branching_fraction(float(values["m_a0"]), f_upsilon) * branching_fraction(values)


def width(values: Values) -> float:
    """Natural width [GeV]: taken as narrow whatever the coupling."""
    return 0.0


def per_product(values: Values, dataset: Dataset) -> float:
    """Rate [fb] where the product of branching fractions is 1."""
    return tagged_upsilons()


def per_ratio(values: Values, dataset: Dataset) -> float:
    """Rate [fb] where the product is B(Upsilon(1S) -> l+ l-)."""
    return tagged_upsilons() * float(MESONS["upsilon_1s_to_leptons"])


def centre_dimuon(values: Values) -> tuple[float, float]:
    """Where muon pairs peak: reduced mass [GeV] and mass of the dipion (anywhere)."""
    return math.sqrt(max(float(values["m_a0"]) ** 2 - 4.0 * M_MUON**2, 0.0)), 0.0


def centre_ditau(values: Values) -> tuple[float, float]:
    """Where tau pairs peak: squared mass that the photon recoils against [GeV^2] and mass of the dipion (anywhere)."""
    return float(values["m_a0"]) ** 2, 0.0


def physical(x: Array, _other: Array, dataset: Dataset, squared: bool) -> Array:
    """Whether masses (or, ``squared``, their squares) leave the photon its least energy in the lab and are positive."""
    highest = M_UPSILON_1S * (M_UPSILON_1S - 2.0 * float(NUMBERS["photon_energy"]))
    return np.asarray((x > 0.0) & (x < (highest if squared else math.sqrt(highest))))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def _dipion(columns: Columns) -> Mask:
    return np.asarray(np.abs(columns["dipion_recoil_mass"] - M_UPSILON_1S) < float(NUMBERS["recoil_window"]))


def _photon(columns: Columns) -> Mask:
    return np.asarray(columns["photon_energy"] > float(NUMBERS["photon_energy"]))


def _balance(columns: Columns) -> Mask:
    return np.asarray(columns["chi2"] < float(NUMBERS["chi2"]))


def _missing(columns: Columns) -> Mask:
    return np.asarray(columns["missing_energy"] > float(NUMBERS["missing_energy"]))


def _isolated(columns: Columns) -> Mask:
    return np.asarray(columns["photon_track_angle"] > float(NUMBERS["photon_track_angle"]))


def cuts(choices: Values, dataset: Dataset, final_state: str) -> tuple[Cut, ...]:
    """The selection of a final state."""
    tag = (Cut(name="dipion recoil", keep=_dipion, reason="the pions come with an Upsilon(1S)"),
           Cut(name="photon", keep=_photon, reason="softer ones are of taus, hadrons and the beams"))  # fmt: skip
    if final_state == "mumu":
        return *tag, Cut(name="four momenta", keep=_balance, reason="nothing but two pions, two muons and a photon")
    return (*tag, Cut(name="missing energy", keep=_missing, reason="pairs of muons and electrons miss nothing"),
            Cut(name="isolated photon", keep=_isolated, reason="photons off electrons and of pi0 are near tracks"))  # fmt: skip


def calibration(values: Values, dataset: Dataset) -> Calibration | None:
    """The declared efficiency of tau pairs, the same at all masses; nothing is declared for muon pairs."""
    if values["calibration"] != "declared" or values["final_state"] != "tautau":
        return None
    return Calibration(name="efficiency fitted to the published limits", efficiency=float(NUMBERS["declared_efficiency"]))


def overlays(values: Values) -> tuple[Overlay, ...]:
    """The limits of BaBar on the product, for muon pairs."""
    if values["final_state"] != "mumu" or values["quantity"] != "product":
        return ()
    return (Overlay(label="BaBar, Upsilon(2S, 3S)", quantity="limit", masses=NUMBERS["babar_mass"].values,
                    high=NUMBERS["babar_product"].values, source="medians of the observed limits, 90 %"),)  # fmt: skip


_BASE = Search(
    name="cp_odd_higgs",
    title="Light CP-odd Higgs boson",
    channel=r"\Upsilon(2S) \to \pi^+\pi^-\Upsilon(1S),\quad \Upsilon(1S) \to \gamma A^0,\quad A^0 \to \ell^+\ell^-",
    model="cp_odd_higgs",
    summary="A dipion tags the Upsilon(1S): a peak in the mass of two muons, or in what its photon recoils against.",
    parameters=(
        Parameter(name="m_a0", symbol=r"m_{A^0}", unit="GeV", default=5.0, low=0.22, high=9.46, simulates=True,
                  help="mass of the A0"),
        Parameter(name="final_state", symbol="", unit="", default="mumu", choices=tuple(LEPTONS), simulates=True,
                  help="leptons that the A0 decays to"),
        Parameter(name="f_upsilon", symbol=r"f_\Upsilon", unit="", default=2e-3, low=1e-5, high=10.0, scale="log",
                  help="Yukawa coupling of the A0 to b quarks"),
        Parameter(name="b_leptons", symbol=r"\mathcal{B}(A^0\to\ell\ell)", unit="", default=1.0, low=1e-6, high=1.0, scale="log",
                  help="branching fraction of the A0 to the leptons of the final state"),
        Parameter(name="calibration", symbol="", unit="", default="declared", choices=("declared", "simulated"),
                  help="for tau pairs an efficiency fitted to the published limits, or first principles"),
        Parameter(name="quantity", symbol="", unit="", default="product", choices=("product", "ratio"),
                  help="what the limit is on: B(Upsilon(1S) -> gamma A0) B(A0 -> l l), or that over B(Upsilon(1S) -> l l)"),
        *common_parameters(DATASETS["mumu"]),
    ),
    datasets=DATASETS["mumu"],
    numbers=NUMBERS,
    template="upsilon_dimuon",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=partial(cuts, final_state="mumu"),
    window=IntervalWindow(x="reduced_mass", y="dipion_mass", n_sigma=float(NUMBERS["window_widths"]), y_range=SHOWN,
                          centre=centre_dimuon, physical=partial(physical, squared=False)),
    systematics=systematics,
    couplings=(
        Coupling(name="f_upsilon", symbol=r"f_\Upsilon", unit="", power=2.0, high=float(NUMBERS["perturbative_yukawa"]),
                 rate=partial(unit_rate, f_upsilon=1.0)),
        Coupling(name="sin_theta", symbol=r"\sin\theta_{A^0}", unit="", power=2.0, high=1.0,
                 rate=partial(unit_rate, f_upsilon=f_of_mixing())),
    ),
    quantity="B(Upsilon(1S) -> gamma A0) B(A0 -> l l)",
    unit="",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("Belle:2021rcl", "BaBar:2012wey", "Wilczek:1977zn")),
    overlays=overlays,
    calibration=calibration,
    quantities={
        "product": Quantity(name="product", text="B(Upsilon(1S) -> gamma A0) B(A0 -> l l)", unit="", cl=float(NUMBERS["cl"]),
                            rate=per_product),
        "ratio": Quantity(name="ratio", text="B(Upsilon(1S) -> gamma A0) B(A0 -> l l) / B(Upsilon(1S) -> l l)", unit="",
                          cl=float(NUMBERS["cl"]), rate=per_ratio),
    },
)  # fmt: skip


def variant(values: Values) -> str:
    """The final state."""
    return str(values["final_state"])


SEARCH = with_variants(
    _BASE,
    variant,
    {
        "mumu": {},
        "tautau": {
            "template": "upsilon_ditau",
            "datasets": DATASETS["tautau"],
            "cuts": partial(cuts, final_state="tautau"),
            "window": IntervalWindow(x="photon_recoil_mass_squared", y="dipion_mass", n_sigma=float(NUMBERS["window_widths"]),
                                     y_range=SHOWN, centre=centre_ditau, physical=partial(physical, squared=True)),
        },
    },
)  # fmt: skip
