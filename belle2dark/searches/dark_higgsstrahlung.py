"""Dark Higgsstrahlung: e+e- -> A' h' with A' -> mu+mu- and an invisible h'.

A dark photon A' radiates the dark Higgs h' that gives it mass. If the h' is lighter than the A' it lives too long to be
seen: two muons and missing energy, a peak in the muon-pair mass at m_aprime and in the recoil mass at m_hprime.
Belle II, PRL 130, 071804 (arXiv:2207.00509): 8.34 fb-1, 90 % Bayesian limits on sigma x BR(A' -> mumu) and
epsilon^2 alpha_D. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math

import numpy as np

from belle2dark.detector.dilepton import photon_cos_theta_lab
from belle2dark.detector.experiments import BELLE2
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.search import Coupling, Dataset, Overlay, Search, common_parameters, select_systematics
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.higgsstrahlung import generate_higgsstrahlung
from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_higgsstrahlung import cross_section
from belle2dark.theory.dark_photon import DARK_PHOTON
from belle2dark.trigger.menu import load_menu
from belle2dark.window import EllipseWindow

NUMBERS = load_numbers("dark_higgsstrahlung")


APPROXIMATIONS = (
    "The rate is the tree-level closed form, as in the publication; initial-state radiation would change it by +8 % (light "
    "h') to -30 % (near threshold); it does enter the efficiency.",
    "The signal has one collinear photon off the beams and up to two off the muons, any of which may veto the event; "
    "backgrounds have photons at angles, Michel decays without photons off the taus, and equivalent photons.",
    "Detector response is parametrised: no beam background, no showers, no energy left by beam background in the photon veto.",
    "The L1 efficiency of the 2019 run is not published: two full 2D tracks in the CDC, 95 % each, more than 90 degrees apart.",
    "The window is an ellipse of two widths in M_mumu and the squared recoil mass; the published one uses the recoil mass.",
    "The helicity cut is our own optimum of the mean expected limit, not the published table.",
    "The edges of the barrel that the recoil must point to are those recalled of the pilot-run search; its direction is that of "
    "a photon, because the lab angle of a heavy recoil would leave no signal near the kinematic edge.",
    "BR(A' -> mumu) rests on a smooth R ratio: charm structure at 3.8-4.5 GeV (10 %) and narrow resonances are averaged.",
    "Where a window holds few simulated events, its background is the density of up to four times its width around it; a process "
    "without any event there counts as none. Above 9 GeV this fills the valley between two ridges of mu mu (gamma) by up to 1.5.",
    "No hadrons taken for muons: tau pairs with a pion (7 % misidentification would add about a tenth), two-photon pion pairs.",
    "Data-driven corrections from the mu mu gamma and e mu control samples enter as uncertainties only.",
)

_HELICITY = load_numbers("dark_higgsstrahlung_cut")


def _dataset(name: str, title: str, menu: str) -> Dataset:
    return Dataset(
        name=name,
        title=title,
        detector=BELLE2,
        luminosity=NUMBERS[f"luminosity_{name}"],
        sqrt_s=float(NUMBERS["sqrt_s"]),
        lines=load_menu().selections[menu],
        cl=float(NUMBERS["cl"]),
        method="bayesian",
        alpha="thomson",
    )


DATASETS = {
    "belle2_8": _dataset("belle2_8", "Belle II 2019, two-track trigger", "belle2_2019"),
    "belle2_run1": _dataset("belle2_run1", "Belle II Run 1, with the single-muon lines", "belle2"),
}


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at these masses, or ""."""
    m, h = float(values["m_aprime"]), float(values["m_hprime"])
    if m + h >= dataset.detector.beams.sqrt_s:
        return f"closed: m_aprime + m_hprime = {m + h:.4g} GeV is not below sqrt s = {dataset.detector.beams.sqrt_s:.5g} GeV"
    if h >= m:
        return f"the h' is not invisible: m_hprime = {h:g} GeV is not below m_aprime = {m:g} GeV, it decays through A' pairs"
    return ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events of this mass point, with photons off beams and muons or without any."""
    m, h = float(values["m_aprime"]), float(values["m_hprime"])
    return generate_higgsstrahlung(m, h, n, key, dataset.detector.beams, isr=isr, fsr=isr)


def unit_rate(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction at epsilon^2 alpha_D = 1 [fb]."""
    return float(cross_section(values["m_aprime"], values["m_hprime"], 1.0, dataset.sqrt_s, dataset.alpha)) * branching_fraction(
        values
    )


def rate_of_epsilon(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction at epsilon = 1 and the alpha_D given [fb]."""
    return unit_rate(values, dataset) * float(values["alpha_d"])


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: M_mumu [GeV] and squared recoil mass [GeV^2]."""
    return float(values["m_aprime"]), float(values["m_hprime"]) ** 2


def physical(m_mumu: Array, recoil_mass_squared: Array, dataset: Dataset) -> Array:
    """Whether masses are kinematically possible (up to the resolution), bool like the input."""
    return np.asarray(recoil_mass_squared < (dataset.detector.beams.sqrt_s - m_mumu) ** 2)


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Production cross-section at the couplings given [fb]."""
    strength = float(values["epsilon"]) ** 2 * float(values["alpha_d"])
    return float(cross_section(values["m_aprime"], values["m_hprime"], strength, dataset.sqrt_s, dataset.alpha))


def branching_fraction(values: Values) -> float:
    """BR(A' -> mumu)."""
    return float(DARK_PHOTON.branching_fraction("mumu", float(values["m_aprime"])))


def width(values: Values) -> float:
    """Natural width of the A' [GeV]."""
    return float(DARK_PHOTON.total_width(float(values["m_aprime"]), {"epsilon": float(values["epsilon"])}))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties, the same over the plane."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def overlays(values: Values) -> tuple[Overlay, ...]:
    """The limit on the kinetic mixing alone, from visible decays of the A', on either coupling."""
    masses, epsilon = NUMBERS["visible_masses"].values, np.array(NUMBERS["visible_epsilon"].values)
    alpha_d = float(NUMBERS["visible_alpha_d"])
    on = {"eps2_alpha_d": (f", alpha_D = {alpha_d:g}", alpha_d * epsilon**2), "epsilon": ("", epsilon)}
    return tuple(
        Overlay(label=f"BaBar 2014, visible A'{text}", quantity=name, masses=masses, high=tuple(map(float, high)),
                source=NUMBERS["visible_epsilon"].source)
        for name, (text, high) in on.items()
    )  # fmt: skip


def _pair_pt(columns: Columns) -> Mask:
    return np.asarray(columns["pt_mumu_cms"] > float(NUMBERS["pt_mumu_min"]))


def _recoil_in_barrel(columns: Columns) -> Mask:
    high, low = np.cos(np.radians(NUMBERS["recoil_theta"].values))
    direction = photon_cos_theta_lab(columns["recoil_cos_theta_cms"], BELLE2.beams)
    return np.asarray((direction > low) & (direction < high))


def helicity_limit(columns: Columns) -> Array:
    """Largest |cos(helicity angle)| kept at each event's place in the plane, bilinear between the optimised nodes, (n,)."""
    m_nodes, f_nodes = _HELICITY["m_mumu_nodes"].values, _HELICITY["fraction_nodes"].values
    table = np.reshape(_HELICITY["cos_helicity_max"].values, (len(m_nodes), len(f_nodes)))
    recoil = np.sqrt(np.clip(columns["recoil_mass_squared"], 0.0, None))
    fraction = np.clip(recoil / np.maximum(BELLE2.beams.sqrt_s - columns["m_mumu"], 1e-3), 0.0, 1.0)
    x = np.interp(columns["m_mumu"], m_nodes, np.arange(len(m_nodes)))
    y = np.interp(fraction, f_nodes, np.arange(len(f_nodes)))
    i, j = np.minimum(x.astype(int), len(m_nodes) - 2), np.minimum(y.astype(int), len(f_nodes) - 2)
    u, v = x - i, y - j
    return (1 - u) * ((1 - v) * table[i, j] + v * table[i, j + 1]) + u * ((1 - v) * table[i + 1, j] + v * table[i + 1, j + 1])


def _helicity(columns: Columns) -> Mask:
    return np.asarray(np.abs(columns["cos_helicity"]) < helicity_limit(columns))


CUTS = (
    Cut(name="pT(mumu)", keep=_pair_pt, reason="radiative dimuons with nothing missing balance in pT"),
    Cut(name="recoil in barrel ECL", keep=_recoil_in_barrel, reason="a lost photon is seen where the calorimeter has no gaps"),
    Cut(name="helicity angle", keep=_helicity, reason="a longitudinal A' decays sideways, the backgrounds along its flight"),
)


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection, the same for every dataset."""
    return CUTS


SEARCH = Search(
    name="dark_higgsstrahlung",
    title="Dark Higgsstrahlung",
    channel=r"e^+e^- \to A'\,h',\quad A' \to \mu^+\mu^-,\quad h' \to \text{invisible}",
    model="dark_photon_dark_higgs",
    summary="Two muons and missing energy: a peak in the muon-pair mass (A') and in the recoil mass (h').",
    parameters=(
        Parameter(
            name="m_aprime",
            symbol="m_{A'}",
            unit="GeV",
            default=6.0,
            low=0.25,
            high=10.55,
            simulates=True,
            help="dark photon mass",
        ),
        Parameter(
            name="m_hprime", symbol="m_{h'}", unit="GeV", default=1.0, low=0.0, high=10.3, simulates=True, help="dark Higgs mass"
        ),
        Parameter(
            name="epsilon", symbol=r"\varepsilon", unit="", default=1e-3, low=1e-6, high=1.0, scale="log", help="kinetic mixing"
        ),
        Parameter(
            name="alpha_d",
            symbol=r"\alpha_D",
            unit="",
            default=0.5,
            low=1e-4,
            high=4 * math.pi,
            scale="log",
            help="dark fine-structure constant",
        ),
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
    window=EllipseWindow(
        x="m_mumu", y="recoil_mass_squared", n_sigma=float(NUMBERS["window_widths"]), centre=centre, physical=physical
    ),
    systematics=systematics,
    overlays=overlays,
    couplings=(
        Coupling(
            name="eps2_alpha_d",
            symbol=r"\varepsilon^2\alpha_D",
            unit="",
            power=1.0,
            high=float(NUMBERS["perturbative_limit"]),
            rate=unit_rate,
        ),
        Coupling(name="epsilon", symbol=r"\varepsilon", unit="", power=2.0, high=1.0, rate=rate_of_epsilon),
    ),
    quantity="sigma x BR(A' -> mumu)",
    unit="fb",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("BelleII:2022jyy", "Batell:2009yf")),
)
