"""Long-lived scalars in B decays: B+ -> K+ S or B0 -> K*0 S, S -> e+ e-, mu+ mu-, pi+ pi- or K+ K- from a displaced vertex.

A kaon side from the collision point and two tracks with a vertex of their own close to a B meson in beam-constrained mass and
energy; the signal peaks in the reduced mass of the pair, sqrt(m^2 - 4 m_x^2). Belle II, PRD 108, L111104 (arXiv:2306.02830): 189
fb-1, 95 % CLs limits on B(B -> K S) B(S -> x x) for lifetimes from 10 um to a metre, which a dark Higgs boson or an
axion-like particle with its own lifetime turns into an excluded island. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from belle2dark.constants import HBAR_C, M_D0, M_ELECTRON, M_KAON, M_KSHORT, M_KSTAR0, M_LAMBDA, M_MUON, M_PION
from belle2dark.detector.experiments import BELLE2
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import (
    Coupling,
    Dataset,
    Overlay,
    Quantity,
    Search,
    common_parameters,
    of_model,
    select_systematics,
    with_variants,
)
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.decays.mesons import generate_b_to_k_llp
from belle2dark.simulation.events import Array, Events
from belle2dark.sourced import load_numbers
from belle2dark.theory.b_to_k_scalar import COUPLINGS, unit_production, unit_share, unit_width
from belle2dark.theory.dark_higgs import MODES, SCHEMES, WIDTHS
from belle2dark.window import IntervalWindow

NUMBERS, MESONS = load_numbers("b_to_k_llp"), load_numbers("mesons")
#: radii of the vertex [cm] that plots show
SHOWN = (NUMBERS["vertex_radius"].values[0], NUMBERS["vertex_radius"].values[1])
#: mass of the particles [GeV] that S decays to
PAIRS = {"ee": M_ELECTRON, "mumu": M_MUON, "pipi": M_PION, "kk": M_KAON}
#: places in the list ``resonances`` that are left out: charmonia of hadrons too, and the phi of kaons
_LEFT_OUT = {"ee": (2, 4), "mumu": (2, 4), "pipi": (1, 2, 3, 4), "kk": (0, 1, 2, 3, 4)}
_RESONANCES = ("phi", "eta_c", "J/psi", "chi_c1", "psi(2S)")

APPROXIMATIONS = (
    "Detector response is parametrised; how efficiency and resolution fall with the radius of the vertex comes from hits and "
    "geometry, without beam background, material interactions of the daughters or a fit of the whole decay chain.",
    "Backgrounds are B pairs and light quarks with K_S, Lambda, converted photons and crossing tracks; of the other B only the "
    "shape of the event is used. Published efficiencies, yields and the table of systematic uncertainties were not available.",
    "Which resonances are left out is recalled of the publication; how wide each veto is, is a choice.",
    "A rate limit is at the lifetime ctau (or, with lifetime = model, at that of the couplings given); limits on couplings are "
    "always at the lifetime of the model, so that both edges of the excluded island come out.",
    "Dark Higgs boson: one loop with the top mass of the scheme, decay widths of either set (widths); below 2 GeV they differ by "
    "up to a factor of ten near 1 GeV. Above 2 GeV nothing is said about pairs of pions or kaons: only leptons limit couplings.",
    "Axion-like particle: equal couplings to fermions at 1 TeV; its hadronic width is an order of magnitude below 2 GeV; it "
    "does not decay to two pions or kaons.",
    "Asymptotic CLs of a fit, corrected where few events are expected; the background is a polynomial in the reduced mass.",
)


def _dataset(name: str, title: str) -> Dataset:
    degree, span, bins = (NUMBERS[f"fit_{key}"] for key in ("degree", "span", "bins"))
    return Dataset(name=name, title=title, detector=BELLE2, luminosity=NUMBERS[f"luminosity_{name}"],
                   sqrt_s=float(NUMBERS["sqrt_s"]), lines=("bb",), cl=float(NUMBERS["cl"]), method="cls", alpha="physical",
                   fit=PeakFit(degree=int(float(degree)), span=float(span), bins=int(float(bins)), smooth=True))  # fmt: skip


DATASETS = {
    d.name: d
    for d in (
        _dataset("belle2_189", "Belle II, 189 fb-1 of Run 1"),
        _dataset("belle2_362", "Belle II, all of Run 1 at the Y(4S)"),
        _dataset("belle2_50ab", "Belle II, a projection to 50 ab-1"),
    )
}


def mass_as(m_s: float, m_true: float, m_other: float) -> float:
    """Mass [GeV] of a pair of ``m_s`` if its particles of ``m_true`` are taken for such of ``m_other``, at rest of the pair."""
    return math.sqrt(max(m_s**2 - 4.0 * m_true**2 + 4.0 * m_other**2, 0.0))


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    m, final_state, mode = float(values["m_s"]), str(values["final_state"]), str(values["mode"])
    daughter, (m_b, m_kaon, _) = PAIRS[final_state], MODES[mode]
    if m <= 2.0 * daughter:
        return f"closed: m_s = {m:.4g} GeV is not above {2.0 * daughter:.5g} GeV, twice the mass of its daughters"
    if m >= m_b - m_kaon:
        return f"closed: m_s = {m:.4g} GeV is not below {m_b - m_kaon:.5g} GeV, what the B meson leaves"
    if final_state in ("pipi", "mumu") and abs(mass_as(m, daughter, M_PION) - M_KSHORT) < float(NUMBERS["kshort_veto"]):
        return f"closed: m_s = {m:.4g} GeV is left out, as pi+ pi- that is the mass of the K_S"
    for k in _LEFT_OUT[final_state]:
        centre, half = NUMBERS["resonances"].values[k], NUMBERS["resonance_half_width"].values[k]
        if abs(m - centre) < half:
            return f"closed: m_s = {m:.4g} GeV is left out, within {half:g} GeV of the {_RESONANCES[k]}"
    if values.get("quantity") == "production" and not branching_fraction(values) > 0.0:
        return f"closed: nothing is known of {final_state} at m_s = {m:.4g} GeV in this model; quantity = product needs no model"
    return ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass, with decays in every decade of the path; there is no radiation off the beams."""
    return generate_b_to_k_llp(n, key, dataset.detector.beams, float(values["m_s"]), mode=str(values["mode"]),
                               final_state=str(values["final_state"]))  # fmt: skip


def b_rate(mode: str) -> float:
    """Cross-section [fb] of B mesons of the charge of a ``mode``, and of K*0 -> K+ pi- in it: rate of S at B(B -> K S) = 1."""
    charged = mode == "kplus"
    share = float(MESONS["charged_b_fraction" if charged else "neutral_b_fraction"])
    kaons = 1.0 if charged else float(MESONS["kstar0_to_kplus_piminus"])
    return 2.0 * float(MESONS["bb_cross_section"]) * share * kaons


def coupling_of(values: Values) -> float:
    """The coupling of the model that is chosen."""
    return float(values[COUPLINGS[str(values["model"])]])


def model_ctau(values: Values) -> float:
    """c tau [cm] of the model at the coupling given."""
    return HBAR_C / (coupling_of(values) ** 2 * unit_width(float(values["m_s"]), str(values["model"]), str(values["widths"])))


def model_lifetimes(values: Values, dataset: Dataset) -> tuple[float, ...]:
    """c tau [cm] of S in the model that is chosen."""
    return (model_ctau(values),)


def lifetimes(values: Values, dataset: Dataset) -> tuple[float, ...]:
    """c tau [cm] of S: the parameter, or that of the model."""
    return (float(values["ctau"]),) if values["lifetime"] == "free" else model_lifetimes(values, dataset)


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section of B -> K(*) S at the coupling given [fb], with K*0 -> K+ pi-."""
    return coupling_of(values) ** 2 * _unit_rate(values)


def _unit_rate(values: Values) -> float:
    mode = str(values["mode"])
    return b_rate(mode) * unit_production(float(values["m_s"]), str(values["model"]), str(values["scheme"]), mode)


def branching_fraction(values: Values) -> float:
    """B(S -> x x) of the model that is chosen."""
    return unit_share(float(values["m_s"]), str(values["model"]), str(values["widths"]), str(values["final_state"]))


def unit_rate(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction at unit coupling [fb]."""
    return _unit_rate(values) * branching_fraction(values)


def of_coupling(values: Values, model: str) -> bool:
    """Whether that model is chosen and decays to the final state."""
    return of_model(values, model) and branching_fraction(values) > 0.0


def width(values: Values) -> float:
    """Natural width [GeV]: as narrow as the lifetime says."""
    return HBAR_C / lifetimes(values, DATASETS[str(values["dataset"])])[0]


def per_product(values: Values, dataset: Dataset) -> float:
    """Rate [fb] where B(B -> K S) B(S -> x x) is 1; for the K*0 that includes B(K*0 -> K+ pi-), as published."""
    mode = str(values["mode"])
    return b_rate(mode) / (1.0 if mode == "kplus" else float(MESONS["kstar0_to_kplus_piminus"]))


def per_production(values: Values, dataset: Dataset) -> float:
    """Rate [fb] where B(B -> K S) is 1 and S decays as in the model."""
    return b_rate(str(values["mode"])) * branching_fraction(values)


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: reduced mass [GeV], and radius of the vertex (anywhere)."""
    return mass_as(float(values["m_s"]), PAIRS[str(values["final_state"])], 0.0), 0.0


def physical(reduced: Array, _other: Array, dataset: Dataset) -> Array:
    """Whether a B meson has room for a pair of this reduced mass, bool like the input."""
    return np.asarray((reduced > 0.0) & (reduced < MODES["kplus"][0] - M_KAON))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def _above(columns: Columns, column: str, number: str, mass: float) -> Mask:
    return np.asarray(columns[column] - mass > float(NUMBERS[number]))


def _near(columns: Columns, column: str, number: str, mass: float) -> Mask:
    return np.asarray(np.abs(columns[column] - mass) < float(NUMBERS[number]))


def _far(columns: Columns, column: str, number: str, mass: float) -> Mask:
    return ~_near(columns, column, number, mass)


#: name, test, column, number, what is taken off the column, reason; the last three are vetoes of final states
_SELECTION = (
    ("displaced vertex", _above, "dr", "displacement", 0.0, "of the pair: prompt ones are many"),
    ("significance", _above, "dr_significance", "significance", 0.0, "the vertex of a pair that hardly opens is not sharp"),
    ("beam-constrained mass", _above, "m_bc", "m_bc", 0.0, "that of a B meson"),
    ("energy difference", _near, "delta_e", "delta_e", 0.0, "half of the energy of the beams"),
    ("pointing", _near, "pointing", "pointing", 0.0, "the pair flies along its momentum"),
    ("event shape", _near, "r2", "event_shape", 0.0, "light quarks make jets"),
    ("K*0", _near, "m_kstar", "kstar_window", M_KSTAR0, "mass of K+ pi-"),
    ("K_S veto", _far, "m_pipi", "kshort_veto", M_KSHORT, "K_S -> pi+ pi-"),
    ("Lambda veto", _far, "m_lambda", "lambda_veto", M_LAMBDA, "Lambda -> p pi"),
    ("D0 veto", _far, "m_d0", "d0_veto", M_D0, "D0 -> K pi"),
)  # fmt: skip
_VETOES = {"K_S veto": ("pipi", "mumu"), "Lambda veto": ("pipi", "kk"), "D0 veto": ("pipi",)}


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection of a kaon side and a final state."""
    chosen = []
    for name, test, column, number, mass, reason in _SELECTION:
        if choices["final_state"] not in _VETOES.get(name, tuple(PAIRS)) or (name == "K*0" and choices["mode"] != "kstar0"):
            continue
        chosen.append(Cut(name=name, keep=partial(test, column=column, number=number, mass=mass), reason=reason))
    return tuple(chosen)


def overlays(values: Values) -> tuple[Overlay, ...]:
    """What others exclude of a dark Higgs boson: lower edges, local medians of their limits."""
    curves = {"lhcb_kplus": "LHCb B⁺→K⁺μμ", "lhcb_kstar0": "LHCb B⁰→K*⁰μμ", "charm": "CHARM", "na62": "NA62", "e949": "E949"}
    if values["model"] != "dark_higgs":
        return ()
    return tuple(Overlay(label=label, quantity="sin_theta", masses=NUMBERS[f"{name}_mass"].values,
                         high=NUMBERS[f"{name}_sin_theta"].values, source=NUMBERS[f"{name}_mass"].source)
                 for name, label in curves.items())  # fmt: skip


_PRODUCT = "B(B -> K S) B(S -> x x)"
_BASE = Search(
    name="b_to_k_llp",
    title="Long-lived scalar in B decays",
    channel=r"B^+ \to K^+ S,\ B^0 \to K^{*0} S,\quad S \to e^+e^-,\ \mu^+\mu^-,\ \pi^+\pi^-,\ K^+K^-",
    model="dark_higgs",
    summary="A kaon and two tracks from a displaced vertex that add up to a B meson: a peak in the reduced mass of the pair.",
    parameters=(
        Parameter(name="m_s", symbol="m_S", unit="GeV", default=0.5, low=0.02, high=4.79, scale="log", simulates=True,
                  help="mass of the long-lived particle"),
        Parameter(name="ctau", symbol=r"c\tau", unit="cm", default=1.0, low=1e-4, high=1e4, scale="log",
                  help="proper decay length, where lifetime is free"),
        Parameter(name="lifetime", symbol="", unit="", default="free", choices=("free", "model"),
                  help="of the limit on a rate: ctau as given, or that of the model at its coupling"),
        Parameter(name="sin_theta", symbol=r"\sin\theta", unit="", default=1e-3, low=1e-7, high=1.0, scale="log",
                  help="mixing of a dark Higgs boson with the Higgs boson"),
        Parameter(name="c_over_lambda", symbol=r"C/\Lambda", unit="TeV^-1", default=1e-2, low=1e-6, high=3.0, scale="log",
                  help="coupling of an axion-like particle to fermions"),
        Parameter(name="mode", symbol="", unit="", default="kplus", choices=tuple(MODES), simulates=True,
                  help="kaon side: B+ -> K+ S, or B0 -> K*0 S with K*0 -> K+ pi-"),
        Parameter(name="final_state", symbol="", unit="", default="mumu", choices=tuple(PAIRS), simulates=True,
                  help="particles that S decays to"),
        Parameter(name="model", symbol="", unit="", default="dark_higgs", choices=tuple(COUPLINGS),
                  help="what couplings are of: scalar that mixes with the Higgs boson, or axion-like particle"),
        Parameter(name="widths", symbol="", unit="", default=WIDTHS[0], choices=WIDTHS,
                  help="decay widths of the dark Higgs boson: dispersive tables, or chiral perturbation theory"),
        Parameter(name="scheme", symbol="", unit="", default=SCHEMES[0], choices=SCHEMES,
                  help="top mass in the loop of b -> s: on shell, or running"),
        Parameter(name="quantity", symbol="", unit="", default="product", choices=("product", "production"),
                  help="what the limit is on: the product of branching fractions, or B(B -> K S) with the model's decays"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template="b_kplus_mumu",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=IntervalWindow(x="reduced_mass", y="dr", n_sigma=float(NUMBERS["window_widths"]), y_range=SHOWN,
                          centre=centre, physical=physical),
    systematics=systematics,
    couplings=(
        Coupling(name="sin_theta", symbol=r"\sin\theta", unit="", power=2.0, high=float(NUMBERS["perturbative_limit"]),
                 rate=unit_rate, applies=partial(of_coupling, model="dark_higgs"), lifetimes=model_lifetimes),
        Coupling(name="c_over_lambda", symbol=r"C/\Lambda", unit="TeV^-1", power=2.0, high=float(NUMBERS["largest_alp_coupling"]),
                 rate=unit_rate, applies=partial(of_coupling, model="alp"), lifetimes=model_lifetimes),
    ),
    quantity=_PRODUCT,
    unit="",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("BelleII:2023ueh", "LHCb:2016awg", "Winkler:2018qyg")),
    overlays=overlays,
    lifetimes=lifetimes,
    quantities={
        "product": Quantity(name="product", text=_PRODUCT, unit="", cl=float(NUMBERS["cl"]), rate=per_product),
        "production": Quantity(name="production", text="B(B -> K S)", unit="", cl=float(NUMBERS["cl"]), rate=per_production),
    },
)  # fmt: skip


def variant(values: Values) -> str:
    """Kaon side and final state."""
    return f"{values['mode']}_{values['final_state']}"


SEARCH = with_variants(_BASE, variant, {f"{mode}_{pair}": {"template": f"b_{mode}_{pair}"} for mode in MODES for pair in PAIRS})
