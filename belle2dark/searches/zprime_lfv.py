"""Flavour-violating Z': e+e- -> l l' Z' with an invisible Z', or e+e- -> l l' with nothing missing, seen as e and mu.

With ``missing`` the Z' leaves the detector: an electron, a muon and a peak in the mass recoiling against them; for pairs
with a tau, which decays to the lepton that makes e mu, a broad distribution of the same mass. Without, the Z' is exchanged and
``m_zprime`` matters only through the angle of the leptons and the rate: e mu at the energy of the collision, or a prompt lepton
of fixed energy against a tau. Belle II, PRL 124, 141801 (arXiv:1912.11276): 0.276 fb-1, 90 % Bayesian limits on efficiency x
sigma of e mu and missing energy in windows of the recoil mass. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial

import numpy as np
from scipy.interpolate import CubicSpline

from belle2dark.constants import M_TAU
from belle2dark.detector.experiments import BELLE2
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.search import Coupling, Dataset, Overlay, Search, common_parameters, select_systematics
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.flavour_violating import (
    CONE,
    DAUGHTERS,
    MASSES,
    PAIRS,
    generate_with_zprime,
    generate_without,
    lightest,
    threshold,
)
from belle2dark.sourced import load_numbers
from belle2dark.theory import lepton_flavour
from belle2dark.theory.lepton_flavour_bounds import pair_bounds, plane_bounds
from belle2dark.trigger.menu import load_menu
from belle2dark.window import IntervalWindow

NUMBERS, COMPUTED, BACKGROUNDS = load_numbers("zprime_lfv"), load_numbers("zprime_lfv_cut"), load_numbers("backgrounds")
#: next to the threshold [GeV] nothing is left to sample; also a coupling so small that its Z' is narrow
GUARD = 1e-3

APPROXIMATIONS = (
    "The cuts against tau pairs of the publication are not public: ours use the same variables, optimised with Punzi's figure of "
    "merit on simulation at the pilot run's luminosity, and stay the same for other datasets.",
    "The L1 line is simulated (energy threshold, Bhabha veto); the efficiency and the yield that data showed multiply signal and "
    "background of the pilot run, not of the projection, which uses the two-track and single-muon lines as well.",
    "Misidentification does not depend on what is left in the calorimeter: muons taken for electrons rarely fire the "
    "calorimeter line here and would in reality. Electrons taken for muons have a chosen rate of 0.2 %, which makes the "
    "radiative Bhabha background of light Z' and all that of e mu with nothing missing. Bhabha events have at most one photon; "
    "hadrons only come from tau decays.",
    "Pairs with a tau are searched in the final state e mu alone: tau -> mu in e tau, tau -> e in mu tau; the limit is on the "
    "rate times that branching fraction. With a Z' their recoil mass is broad, and the window counts nearly all of it.",
    "Cross-sections with an electron are for electrons at least 0.2 rad off their beam in the centre-of-mass frame; the coupling "
    "is a vector's, X l-bar gamma l' + h.c., and all Z' decays are invisible.",
    "Nothing missing: tree-level exchange of a narrow Z' that couples to e e and to the pair (no photons off the beams in the "
    "rate, no return to the resonance); the coupling limit is for the g_ee given. A tau of unpolarised beams is unpolarised.",
    "Windows of 2 widths around a mass instead of fixed bins; the background of a window with few simulated events is the "
    "density of up to four times its width around it. For e mu with nothing missing, whose background peaks as the signal does, "
    "that and the few events that L1 does not veto leave a factor of two in the background.",
    "The observed limits of the publication are known as a figure only: there is no comparison with them.",
)


def _dataset(name: str, title: str, lines: tuple[str, ...], corrected: bool) -> Dataset:
    factors = {"L1 in data": NUMBERS["l1_factor"], "yield in data": NUMBERS["validation_factor"]}
    return Dataset(
        name=name,
        title=title,
        detector=BELLE2,
        luminosity=NUMBERS[f"luminosity_{name}"],
        sqrt_s=float(NUMBERS["sqrt_s"]),
        lines=lines,
        cl=float(NUMBERS["cl"]),
        method="bayesian",
        alpha="physical",
        corrections=factors if corrected else {},
    )


DATASETS = {
    "belle2_pilot": _dataset("belle2_pilot", "Belle II 2018 pilot run, calorimeter trigger", ("hie",), corrected=True),
    "belle2_run1": _dataset("belle2_run1", "Belle II Run 1, a projection of the same selection",
                            load_menu().check((*load_menu().selections["belle2"], "hie")), corrected=False),
}  # fmt: skip


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""; without missing energy there always is."""
    pair, m, root = str(values["pair"]), float(values["m_zprime"]), dataset.detector.beams.sqrt_s
    if not values["missing"]:
        return ""
    if m <= lightest(pair):
        heavy = PAIRS[pair][1]
        return f"m_zprime = {m:g} GeV is not above {lightest(pair):.4g} GeV: {heavy} -> {PAIRS[pair][0]} Z' is another search"
    if m + threshold(pair) >= root - GUARD:
        return f"closed: m_zprime = {m:.4g} GeV is not below sqrt s - leptons = {root - threshold(pair):.5g} GeV"
    return ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events of this point, with photons off beams and leptons or without any."""
    make = generate_with_zprime if values["missing"] else generate_without
    return make(n, key, dataset.detector.beams, pair=str(values["pair"]), mass=float(values["m_zprime"]), radiation=isr)


@lru_cache(maxsize=8)
def _rate_table(pair: str, root: float) -> CubicSpline:
    """Logarithm of the cross-section at unit coupling over a stretched mass."""
    masses = COMPUTED[f"rate_mass_{pair}"].values
    return CubicSpline([_stretched(pair, m, root) for m in masses][::-1], np.log(COMPUTED[f"rate_{pair}"].values)[::-1])


def _stretched(pair: str, mass: float, root: float) -> float:
    """log of the distances to the highest and to the lowest mass: what the cross-section is smooth in."""
    return math.log((root - threshold(pair) - mass) / (mass - lightest(pair)))


def unit_rate(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction at g_emu = 1 [fb]."""
    pair, m, root = str(values["pair"]), float(values["m_zprime"]), dataset.detector.beams.sqrt_s
    if values["missing"]:
        rate = math.exp(float(_rate_table(pair, root)(_stretched(pair, m, root))))
    else:  # small couplings: a narrow Z'
        small = {"ee": GUARD, pair: GUARD}
        rate = float(lepton_flavour.cross_section(pair, m, small, dataset.sqrt_s, cos_max=math.cos(CONE)))
        rate *= (float(values["g_ee"]) / GUARD**2) ** 2
    return rate * branching_fraction(values)


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Production cross-section at the couplings given, both charges [fb]."""
    return unit_rate(values, dataset) / branching_fraction(values) * float(values["g_emu"]) ** 2


def branching_fraction(values: Values) -> float:
    """Branching fraction of the tau decay that makes the final state e mu; 1 without a tau."""
    pair = str(values["pair"])
    return float(BACKGROUNDS[f"tau_to_{DAUGHTERS[pair]}_branching_fraction"]) if pair in DAUGHTERS else 1.0


def width(values: Values) -> float:
    """Width of the Z' to the pair [GeV]: what it is at least."""
    pair = str(values["pair"])
    return float(lepton_flavour.width(float(values["m_zprime"]), {pair: float(values["g_emu"])}))


def centre(values: Values) -> tuple[float, float]:
    """Where the signal lies: squared recoil mass [GeV^2], and a mass of the pair to look at [GeV]."""
    pair, m, root = str(values["pair"]), float(values["m_zprime"]), BELLE2.beams.sqrt_s
    if not values["missing"]:
        return (float(NUMBERS["neutrino_mass_squared"]), root / 2.0) if pair in DAUGHTERS else (0.0, root)
    if pair in DAUGHTERS:
        return float(np.interp(m, COMPUTED[f"median_mass_{pair}"].values, COMPUTED[f"median_{pair}"].values)), (root - m) / 2.0
    return m**2, (root - m) / 2.0


def physical(recoil_mass_squared: Array, m_emu: Array, dataset: Dataset) -> Array:
    """Whether masses are kinematically possible (up to the resolution), bool like the input."""
    root = dataset.detector.beams.sqrt_s
    return np.asarray((recoil_mass_squared > -0.5) & (recoil_mass_squared < root**2))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties, the same for all masses and pairs."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def visible(values: Values, dataset: Dataset) -> bool:
    """The pilot run quotes efficiency x sigma where energy is missing."""
    return bool(values["missing"]) and dataset.name == "belle2_pilot"


def _recoil_in_barrel(columns: Columns) -> Mask:
    high, low = np.cos(np.radians(NUMBERS["recoil_theta"].values))
    return np.asarray((columns["recoil_cos_theta_lab"] > low) & (columns["recoil_cos_theta_lab"] < high))


def cut_value(name: str, columns: Columns) -> Array:
    """Least value of the column ``name`` [GeV] at the recoil mass of each event, linear between the optimised nodes, (n,)."""
    recoil = np.sqrt(np.clip(columns["recoil_mass_squared"], 0.0, None))
    return np.asarray(np.interp(recoil, COMPUTED["cut_mass"].values, COMPUTED[f"{name}_min"].values))


def _above(name: str, columns: Columns) -> Mask:
    return np.asarray(columns[name] > cut_value(name, columns))


def _balanced(columns: Columns) -> Mask:
    missing = BELLE2.beams.sqrt_s - columns["m_emu"]
    return np.asarray(
        (np.abs(missing) < float(NUMBERS["balance_energy"])) & (columns["pt_emu_cms"] < float(NUMBERS["balance_pt"]))
    )


def _wide(columns: Columns) -> Mask:
    return np.asarray(columns["pt_min_lab"] > float(NUMBERS["wide_pt"]))


def _unbalanced(columns: Columns) -> Mask:
    return np.asarray(columns["pt_emu_cms"] > float(NUMBERS["line_pt"]))


def _line(pair: str, columns: Columns) -> Mask:
    root, prompt = BELLE2.beams.sqrt_s, PAIRS[pair][0]
    expected = (root**2 + MASSES[prompt] ** 2 - M_TAU**2) / (2.0 * root)
    low, high = NUMBERS["line_energy"].values
    beyond = columns["energy_electron_cms" if prompt == "e" else "energy_muon_cms"] - expected
    return np.asarray((beyond > low) & (beyond < high))


_BARREL = Cut(name="recoil in barrel ECL", keep=_recoil_in_barrel, reason="photons are seen where the calorimeter has no gaps")
_MISSING = (
    _BARREL,
    Cut(name="pT(e mu)", keep=partial(_above, "pt_emu_cms"), reason="radiative pairs with nothing missing balance in pT"),
    Cut(name="recoil across softer lepton", keep=partial(_above, "recoil_pt_softer"),
        reason="the neutrinos of tau pairs fly along the leptons, a Z' does not"),
    Cut(name="recoil across harder lepton", keep=partial(_above, "recoil_pt_harder"), reason="the same for the other lepton"),
)  # fmt: skip
_BALANCED = (
    Cut(name="balance", keep=_balanced, reason="e and mu have the energy of the collision and nothing else"),
    Cut(name="pT of both", keep=_wide, reason="Bhabha scattering with an electron taken for a muon goes forward"),
)


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection: by whether energy is missing and, if not, by the pair."""
    pair = str(choices["pair"])
    if choices["missing"]:
        return _MISSING
    if pair not in DAUGHTERS:
        return _BALANCED
    return (
        Cut(name="energy of the prompt lepton", keep=partial(_line, pair), reason="it recoils against the mass of a tau"),
        Cut(name="pT(e mu)", keep=_unbalanced, reason="Bhabha scattering with a lost photon balances in pT"),
        _BARREL,
    )


#: other constraints that are drawn, in this order for every pair (a figure keeps its curves when the pair changes)
_BOUNDS = ("invisible_decay", "g_minus_2", "muonium", "mu_to_e_gamma")


def overlays(values: Values) -> tuple[Overlay, ...]:
    """Our own calculation of what rare processes and g - 2 say about the coupling; empty where they say nothing.

    mu -> e gamma bounds a product of couplings: the line is for one chosen g_mumu.
    """
    pair, g_mumu = str(values["pair"]), float(NUMBERS["overlay_g_mumu"])
    masses = np.array([m for m in NUMBERS["overlay_masses"].values if m > lightest(pair)])
    found = plane_bounds(masses, g_mumu) if pair == "emu" else pair_bounds(pair, masses)
    lines = []
    for name in _BOUNDS:
        high = found.get(name, np.zeros(len(masses)))
        good = np.isfinite(high) & (high > 0)
        label = f"{name.replace('_', ' ')}, own calculation" + (f", g_mumu {g_mumu:g}" if name == "mu_to_e_gamma" else "")
        lines.append(Overlay(label=label, quantity="g_emu", masses=tuple(map(float, masses[good])),
                             high=tuple(map(float, high[good])), source="data/lepton_flavour.yaml", computed=True))  # fmt: skip
    return tuple(lines)


SEARCH = Search(
    name="zprime_lfv",
    title="Flavour-violating Z'",
    channel=r"e^+e^- \to \ell\,\ell'\,Z',\quad Z' \to \text{invisible}\qquad\text{or}\qquad e^+e^- \to \ell\,\ell'",
    model="lfv_zprime",
    summary="Two leptons of different flavour: a peak in the mass recoiling against them, or nothing missing.",
    parameters=(
        Parameter(name="m_zprime", symbol="m_{Z'}", unit="GeV", default=3.0, low=0.11, high=10.55, simulates=True,
                  help="Z' mass (that of the exchanged particle if nothing is missing)"),
        Parameter(name="pair", symbol="", unit="", default="emu", choices=tuple(PAIRS), simulates=True,
                  help="flavours of the two leptons, seen as e and mu"),
        Parameter(name="missing", symbol=r"E_\text{miss}", unit="", default=True, simulates=True,
                  help="an invisible Z' beside the leptons, or nothing missing"),
        Parameter(name="g_emu", symbol=r"g_{\ell\ell'}", unit="", default=1e-3, low=1e-7, high=3.5, scale="log",
                  help="coupling of the Z' to the pair chosen"),
        Parameter(name="g_ee", symbol="g_{ee}", unit="", default=1e-2, low=1e-6, high=1.0, scale="log",
                  help="coupling of the Z' to electrons, used where nothing is missing"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template="emu_missing",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=IntervalWindow(x="recoil_mass_squared", y="m_emu", n_sigma=float(NUMBERS["window_widths"]),
                          y_range=(0.0, BELLE2.beams.sqrt_s), centre=centre, physical=physical),
    systematics=systematics,
    couplings=(Coupling(name="g_emu", symbol=r"g_{\ell\ell'}", unit="", power=2.0, high=float(NUMBERS["perturbative_limit"]),
                        rate=unit_rate),),
    quantity="sigma(e+e- -> l l' (Z')) x B(tau)",
    unit="fb",
    approximations=APPROXIMATIONS,
    references=(NUMBERS.references["BelleII:2019qfb"],),
    visible=visible,
    overlays=overlays,
)  # fmt: skip
