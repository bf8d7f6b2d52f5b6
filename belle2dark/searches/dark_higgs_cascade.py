"""Dark Higgsstrahlung cascade: e+e- -> A' h' with h' -> A' A', all three dark photons seen.

A dark Higgs that is heavier than two dark photons decays to them at once: three pairs of e+e-, mu+mu- or pi+pi- with one mass
and nothing missing, or two lepton pairs and a recoil of their mass, and two of the three pairs have the mass of the h'.
Hardly anything else looks like it, except six pions. BaBar, PRL 108, 211801 (arXiv:1202.1313): 516 fb-1; Belle, PRL 114,
211801 (arXiv:1502.00084): 977 fb-1; both 90 % Bayesian limits on the cross-section, on epsilon^2 alpha_D and on epsilon.
Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial
from itertools import combinations_with_replacement

import numpy as np

from belle2dark.constants import ALPHA
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2, Detector
from belle2dark.final_states.six_tracks import INCLUSIVE, MODES
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.search import Coupling, Dataset, Overlay, Quantity, Search, common_parameters, select_systematics
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.cascade import Decays, combined_fraction, generate_cascade
from belle2dark.simulation.events import Array, Events
from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_higgsstrahlung import cross_section
from belle2dark.theory.dark_photon import DARK_PHOTON
from belle2dark.trigger.menu import load_menu
from belle2dark.window import EllipseWindow

NUMBERS = load_numbers("dark_higgs_cascade")

APPROXIMATIONS = (
    "h' -> A'A' with a branching fraction of 1 above twice the A' mass; below it, h' -> A'A'* and loops are not included.",
    "The rate is the tree-level closed form, as in the publications; initial-state radiation enters the efficiency.",
    "The A' decay where they are made: at epsilon = 1e-4 the fastest flies 2 mm at 0.15 GeV, 0.4 mm at 0.25, 0.06 mm at 0.5 "
    "and less than 0.01 mm from 1 GeV on; below 0.25 GeV limits on epsilon beyond 1e-4 are too strong by the loss of "
    "displaced tracks.",
    "Branching fractions of the A': a smooth R ratio, with pi+ pi- from the form factor of the rho alone; omega and phi are "
    "averaged.",
    "A pair of leptons needs two identified ones where there are two pion pairs or only four tracks, one else; "
    "identification is not the published one, nor is the largest difference of the masses (choices). No kinematic fit, no "
    "common vertex, no recovery of photons off electrons: half of the electron triples are lost in their tails.",
    "All pairings and the three assignments of the h' are entries; they share one window, wide enough for muons and pions.",
    '"combined" is one count of all final states but six pions, whose background would spoil it; Belle used six pions as well.',
    "Two lepton pairs and a recoil: four identified leptons, from m_aprime = 1.1 GeV on, for both experiments; what recoils "
    "is not simulated unless it is e+e-, mu+mu- or pi+pi-.",
    "Background: six hadrons of u, d, s, c quarks from Pythia (few events, copied and turned; no B mesons), four muons and "
    "mu mu tau tau. Six leptons of QED, and four leptons with electrons and a recoil, are not simulated: well below one "
    "event.",
    "Where no simulated background is left within four widths of the window it counts as none: BaBar's and Belle's windows hold "
    "some 0.01 events on average; at 50 ab-1 that would be one, and limits there are good to its fluctuations.",
    "All data as if taken at 10.58 GeV. The L1 lines of BaBar and Belle are recalled or choices; six tracks fire them "
    "nearly always.",
    "Systematic uncertainties are choices; no table is public.",
)

PIONS: Decays = ("pipi", "pipi", "pipi")


def _name(mode: Sequence[str]) -> str:
    """Short name of an exclusive final state, such as 4mu2pi."""
    letters = {"ee": "e", "mumu": "mu", "pipi": "pi"}
    return "".join(f"{2 * mode.count(kind)}{letters[kind]}" for kind in letters if mode.count(kind))


#: final state -> its number among the columns' modes
EXCLUSIVE = {_name(mode): number for number, mode in enumerate(MODES[:INCLUSIVE])}
FINAL_STATES = ("combined", "exclusive", "inclusive", *EXCLUSIVE)
_LEPTON_PAIRS = tuple(combinations_with_replacement(("ee", "mumu"), 2))


@cache
def decays_of(final_state: str, inclusive: bool) -> tuple[Decays, ...]:
    """Decays that are generated for a final state; with ``inclusive`` those to two lepton pairs and anything are looked for."""
    if final_state in EXCLUSIVE:
        return (MODES[EXCLUSIVE[final_state]],)  # type: ignore[return-value]
    triples = [mode for mode in MODES[:INCLUSIVE] if mode != PIONS]
    if final_state == "inclusive":
        triples = [mode for mode in triples if mode.count("pipi") < 2]
    if inclusive:
        triples += [(*pairs, "other") for pairs in _LEPTON_PAIRS]
    return tuple(triples)  # type: ignore[arg-type]


def decays(values: Values) -> tuple[Decays, ...]:
    """Decays that are generated at these parameters."""
    state = str(values["final_state"])
    recoil = state == "inclusive" or (state == "combined" and float(values["m_aprime"]) >= float(NUMBERS["inclusive_from"]))
    return decays_of(state, recoil)


def _dataset(name: str, title: str, detector: Detector, lines: tuple[str, ...]) -> Dataset:
    return Dataset(name=name, title=title, detector=detector, luminosity=NUMBERS[f"luminosity_{name}"],
                   sqrt_s=float(NUMBERS["sqrt_s"]), lines=lines, cl=float(NUMBERS["cl"]), method="bayesian",
                   alpha="thomson")  # fmt: skip


LINES = load_menu().selections
DATASETS = {
    d.name: d
    for d in (
        _dataset("babar_516", "BaBar, all data, as if at 10.58 GeV", BABAR, LINES["babar"]),
        _dataset("belle_977", "Belle, Upsilon(1S) to Upsilon(5S), as if at 10.58 GeV", BELLE, LINES["belle"]),
        _dataset("belle2_50000", "Belle II, planned", BELLE2, ("fff", "cdcklm1", "cdcklm2")),
    )
}


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at these masses, or ""."""
    m, h, state = float(values["m_aprime"]), float(values["m_hprime"]), str(values["final_state"])
    root = dataset.detector.beams.sqrt_s
    if m + h >= root:
        return f"closed: m_aprime + m_hprime = {m + h:.4g} GeV is not below sqrt s = {root:.5g} GeV"
    if m + h >= root - float(NUMBERS["least_recoil"]):
        return (
            f"closed: the first A' takes less than {NUMBERS['least_recoil'].value} GeV beside its mass: its tracks are too soft"
        )
    if 3.0 * m >= root - float(NUMBERS["least_kinetic"]):
        return "closed: three A' so slow that any two of them have about the mass of the h'"
    if h <= 2.0 * m:
        return f"closed: m_hprime = {h:g} GeV is not above 2 m_aprime = {2 * m:.4g} GeV, the h' does not decay to two A'"
    if state == "inclusive" and m < float(NUMBERS["inclusive_from"]):
        return f"two lepton pairs and a recoil are looked for from m_aprime = {NUMBERS['inclusive_from'].value} GeV on"
    if branching_fraction(values) <= 0.0:
        return f"closed: an A' of {m:g} GeV does not decay to {state}"
    return ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events of this mass point, decays by their branching fractions; with photons off beams and pairs, or without any."""
    return generate_cascade(float(values["m_aprime"]), float(values["m_hprime"]), n, key, dataset.detector.beams, decays(values),
                            isr=isr, fsr=isr)  # fmt: skip


def branching_fraction(values: Values) -> float:
    """Share of A' triples that decay to the final state, or for "combined" to any of its parts."""
    return combined_fraction(float(values["m_aprime"]), decays(values))


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Production cross-section at the couplings given [fb]."""
    strength = float(values["epsilon"]) ** 2 * float(values["alpha_d"])
    return float(cross_section(values["m_aprime"], values["m_hprime"], strength, dataset.sqrt_s, dataset.alpha))


def unit_rate(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction at epsilon^2 alpha_D = 1 [fb]."""
    sigma = float(cross_section(values["m_aprime"], values["m_hprime"], 1.0, dataset.sqrt_s, dataset.alpha))
    return sigma * branching_fraction(values)


def rate_of_epsilon(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction at epsilon = 1 and the alpha_D given [fb]."""
    return unit_rate(values, dataset) * float(values["alpha_d"])


def decays_seen(values: Values, dataset: Dataset) -> float:
    """Rate [fb] where the cross-section is 1 fb: the branching fraction."""
    return branching_fraction(values)


def one(values: Values, dataset: Dataset) -> float:
    """Rate [fb] where cross-section times branching fraction is 1 fb."""
    return 1.0


def width(values: Values) -> float:
    """Natural width of the A' [GeV]."""
    return float(DARK_PHOTON.total_width(float(values["m_aprime"]), {"epsilon": float(values["epsilon"])}))


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: masses of h' and A' [GeV]."""
    return float(values["m_hprime"]), float(values["m_aprime"])


def physical(m_hprime: Array, m_aprime: Array, dataset: Dataset) -> Array:
    """Whether masses are kinematically possible, bool like the input."""
    return np.asarray((m_hprime < dataset.detector.beams.sqrt_s - m_aprime) & (m_hprime > 2.0 * m_aprime))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties, the same over the plane."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def overlays(values: Values) -> tuple[Overlay, ...]:
    """The limit on the kinetic mixing alone, from visible decays of an A' light enough for six of its tracks."""
    found, heaviest = (
        zip(NUMBERS["visible_masses"].values, NUMBERS["visible_epsilon"].values, strict=True),
        SEARCH.parameters[0].high,
    )
    masses, limits = zip(*((m, limit) for m, limit in found if m < heaviest), strict=True)
    return (Overlay(label="BaBar 2014, visible A'", quantity="epsilon", masses=masses, high=limits,
                    source=NUMBERS["visible_epsilon"].source),)  # fmt: skip


def _wanted(columns: Columns, modes: tuple[int, ...]) -> Mask:
    looked_for = np.isin(columns["mode"], modes)
    return np.asarray(looked_for & ((columns["mode"] != INCLUSIVE) | (columns["m_aprime"] > float(NUMBERS["inclusive_from"]))))


def _equal(columns: Columns) -> Mask:
    largest = float(NUMBERS["spread_constant"]) + float(NUMBERS["spread_slope"]) * columns["m_aprime"]
    return np.asarray(columns["mass_spread"] < largest)


def _nothing_missing(columns: Columns, least: float) -> Mask:
    return np.asarray((columns["mode"] == INCLUSIVE) | (columns["m_total"] > least))


def _recoil(columns: Columns) -> Mask:
    low, high = NUMBERS["recoil_range"].values
    return np.asarray((columns["recoil_difference"] > low) & (columns["recoil_difference"] < high))


@cache
def _cuts(state: str, sqrt_s: float) -> tuple[Cut, ...]:
    several = {"combined": (*range(INCLUSIVE), INCLUSIVE), "exclusive": tuple(range(INCLUSIVE)), "inclusive": (INCLUSIVE,)}
    modes = tuple(k for k in several[state] if k != MODES.index(PIONS)) if state in several else (EXCLUSIVE[state],)
    least = float(NUMBERS["total_mass_share"]) * sqrt_s
    return (
        Cut(name="final state", keep=partial(_wanted, modes=modes), reason="tracks identified as the pairs that are looked for"),
        Cut(name="equal masses", keep=_equal, reason="three dark photons have one mass"),
        Cut(name="nothing missing", keep=partial(_nothing_missing, least=least), reason="six tracks carry all of the energy"),
        Cut(name="recoil mass", keep=_recoil, reason="what recoils against two pairs is the third dark photon"),
    )


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection of a final state."""
    return _cuts(str(choices["final_state"]), dataset.sqrt_s)


SEARCH = Search(
    name="dark_higgs_cascade",
    title="Dark Higgs cascade",
    channel=r"e^+e^- \to A'\,h',\quad h' \to A'A',\quad A' \to e^+e^-,\ \mu^+\mu^-,\ \pi^+\pi^-",
    model="dark_photon_dark_higgs",
    summary="Three pairs of equal mass and nothing missing, or two lepton pairs and a recoil of that mass; two make the h'.",
    parameters=(
        Parameter(name="m_aprime", symbol="m_{A'}", unit="GeV", default=1.0, low=0.1, high=3.5, simulates=True,
                  help="dark photon mass"),
        Parameter(name="m_hprime", symbol="m_{h'}", unit="GeV", default=4.0, low=0.2, high=10.5, simulates=True,
                  help="dark Higgs mass, above twice that of the dark photon"),
        Parameter(name="epsilon", symbol=r"\varepsilon", unit="", default=float(NUMBERS["epsilon_default"]), low=1e-6, high=1.0,
                  scale="log", help="kinetic mixing"),
        Parameter(name="alpha_d", symbol=r"\alpha_D", unit="", default=round(ALPHA["thomson"], 7), low=1e-4, high=4 * math.pi,
                  scale="log", help="dark fine-structure constant; the default is that of QED, as in the publications"),
        Parameter(name="final_state", symbol="", unit="", default="combined", choices=FINAL_STATES, simulates=True,
                  help="a final state, all exclusive ones but six pions, two lepton pairs and a recoil, or both together"),
        Parameter(name="quantity", symbol="", unit="", default="cross_section", choices=("cross_section", "product"),
                  help="limit on the cross-section of A'h', or on that times the branching fraction to the final state"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template="six_tracks",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=EllipseWindow(x="m_hprime", y="m_aprime", n_sigma=float(NUMBERS["window_widths"]), centre=centre, physical=physical),
    systematics=systematics,
    overlays=overlays,
    couplings=(
        Coupling(name="eps2_alpha_d", symbol=r"\varepsilon^2\alpha_D", unit="", power=1.0,
                 high=float(NUMBERS["perturbative_limit"]), rate=unit_rate),
        Coupling(name="epsilon", symbol=r"\varepsilon", unit="", power=2.0, high=1.0, rate=rate_of_epsilon),
    ),
    quantity="sigma(e+e- -> A'h') x BR(h' -> A'A')",
    unit="fb",
    quantities={
        "cross_section": Quantity(name="cross_section", text="sigma(e+e- -> A'h') x BR(h' -> A'A')", unit="fb",
                                  cl=float(NUMBERS["cl"]), rate=decays_seen),
        "product": Quantity(name="product", text="sigma x BR(three A' -> final state)", unit="fb",
                            cl=float(NUMBERS["cl"]), rate=one),
    },
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("BaBar:2012bkw", "Belle:2015kys", "Batell:2009yf")),
)  # fmt: skip
