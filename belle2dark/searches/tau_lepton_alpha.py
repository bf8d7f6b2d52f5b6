"""tau -> l alpha with an invisible alpha: a lepton of fixed energy among those of tau -> l nu nu, in tau pairs.

Four tracks: a lepton against three pions of the other tau, and no photon. The lepton's energy in the rest frame of the tau
would be a line; the direction of the tau is taken opposite to the three pions, which smears it over tens of per cent.
The spectrum of x = 2 E / m_tau up to 1.6 is fitted with the template of tau -> l nu nu, whose normalisation is free.
Belle II, PRL 130, 181803 (arXiv:2212.03634): 62.8 fb-1, limits on B(tau -> l alpha) / B(tau -> l nu nu) at 95 % and on
B(tau -> l alpha) at 90 %. Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from belle2dark.constants import M_TAU
from belle2dark.detector.experiments import BELLE2
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.search import Coupling, Dataset, Overlay, Quantity, Search, common_parameters, select_systematics
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.backgrounds import PHOTONS
from belle2dark.simulation.decays.tau_modes import Alpha
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.tau_pairs import generate_tau_pairs
from belle2dark.sourced import load_numbers
from belle2dark.spectrum_fit import SpectrumFit
from belle2dark.theory import tau_lepton_alpha as theory
from belle2dark.window import IntervalWindow

NUMBERS, DECAYS, BACKGROUNDS = (load_numbers(name) for name in ("tau_lepton_alpha", "tau_decays", "backgrounds"))
#: decays of the other tau that the efficiency is relative to: three charged hadrons and nothing else
TAGS = ("3pi", "K_2pi", "2K_pi")
CHIRALITIES = {"v": (1.0, 0.0), "a": (0.0, 1.0), "v+a": (1.0, 1.0), "v-a": (1.0, -1.0)}
LEPTONS = ("e", "mu")
#: mass [GeV] that a massless alpha is simulated with
MASSLESS = 1e-4

APPROXIMATIONS = (
    "Cuts of the publication are not public: four tracks, a lepton alone in its thrust hemisphere, thrust, mass of the pions "
    "and no cluster above the veto threshold are ours.",
    "Efficiencies are relative to three charged hadrons of the other tau. A twentieth of the selected events has a pi0 there "
    "whose photons were lost: it is in the template, not in the signal.",
    "Charged pions leave clusters beside their tracks, which fire the veto of photons in data and not here: a declared factor "
    "of 0.64 on signal and background stands for them. Without it expected limits are 8 to 18 % lower.",
    "The template is a shape: its statistical error is not in the fit, though in bins of x its rates are those of three "
    "million generated events. Do not fit real data with it.",
    "Sizes of uncertainties are choices that describe the published sensitivity: 1 % per momentum bin for identification, a "
    "smooth 0.3 % of the template, 2 % of the pions taken for leptons. With statistics alone limits are 0.61 to 0.94 of what "
    "they are.",
    "Taus are unpolarised one by one and correlated in pairs: chirality moves spectra only through that correlation. The "
    "alpha is stable, whatever its coupling.",
    "Muons are identified in the KLM, from 0.5 GeV on: at 1.6 GeV the muon efficiency is less than half of the electron's.",
    "The width of the window contains photons off the beams: tau pairs have no generator without them.",
    "The published limits are observed ones; each may be off by the fluctuation of its data.",
)


def _dataset(name: str, title: str) -> Dataset:
    low, high = NUMBERS["fit_range"].values
    edges = np.linspace(low, high, int(float(NUMBERS["fit_bins"])) + 1)
    return Dataset(
        name=name,
        title=title,
        detector=BELLE2,
        luminosity=NUMBERS[f"luminosity_{name}"],
        sqrt_s=float(NUMBERS["sqrt_s"]),
        lines=("fff", "ffo", "hie", "c4", "cdcklm1", "cdcklm2"),
        cl=float(NUMBERS["cl_branching_fraction"]),
        method="cls",
        alpha="physical",
        corrections={"clusters beside pions": NUMBERS["veto_factor"]},
        fit=SpectrumFit(
            x_edges=tuple(map(float, edges)),
            y_edges=tuple(map(float, NUMBERS["momentum_edges"].values)),
            correlation_length=float(NUMBERS["correlation_length"]),
            line="tautau_line",
            line_factor=float(NUMBERS["line_factor"]),
        ),
    )


DATASETS = {
    "belle2_63": _dataset("belle2_63", "Belle II 2019-2020"),
    "belle2_run1": _dataset("belle2_run1", "Belle II Run 1, a projection of the same selection"),
}


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or ""."""
    highest = M_TAU - theory.MASSES[str(values["lepton"])] - float(NUMBERS["mass_guard"])
    m = float(values["m_alpha"])
    return "" if m < highest else f"closed: m_alpha = {m:.5g} GeV is not below m_tau - m_lepton = {highest:.5g} GeV"


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Tau pairs with tau- -> l- alpha and tau+ -> three hadrons; without ``isr`` no photons off taus and daughters."""
    vector, axial = CHIRALITIES[str(values["chirality"])]
    # next to nothing instead of nothing: photons off the lepton need a rest frame of what recoils against it
    alpha = Alpha(mass=max(float(values["m_alpha"]), MASSLESS), vector=vector, axial=axial)
    return generate_tau_pairs(n, key, dataset.detector.beams, f"{values['lepton']}_alpha", TAGS, alpha=alpha,
                              final_photons=isr, photons=PHOTONS)  # fmt: skip


def branching_fraction(values: Values) -> float:
    """Branching fraction of the other tau to three charged hadrons."""
    return float(sum(float(DECAYS[name]) for name in TAGS))


def per_branching_fraction(values: Values, dataset: Dataset) -> float:
    """Rate [fb] at B(tau -> l alpha) = 1: either tau may be the one."""
    return 2.0 * float(BACKGROUNDS["tautau_cross_section"]) * branching_fraction(values)


def per_ratio(values: Values, dataset: Dataset) -> float:
    """Rate [fb] at B(tau -> l alpha) = B(tau -> l nu nu)."""
    return per_branching_fraction(values, dataset) * float(DECAYS[str(values["lepton"])])


def per_coupling(values: Values, dataset: Dataset) -> float:
    """Rate [fb] at c/f = 1 TeV^-1, c the coupling that the chirality names (both, if both)."""
    vector, axial = CHIRALITIES[str(values["chirality"])]
    fraction = theory.branching_fraction(float(values["m_alpha"]), str(values["lepton"]), vector, axial)
    return per_branching_fraction(values, dataset) * float(fraction)


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section of tau pairs with a tau -> l alpha [fb]."""
    return per_branching_fraction(values, dataset) / branching_fraction(values) * float(values["b_alpha"])


def width(values: Values) -> float:
    """Width of the alpha [GeV]: it is stable."""
    return 0.0


def centre(values: Values) -> tuple[float, float]:
    """Where the signal lies: x without smearing, and the lepton's mean momentum in the lab, roughly [GeV]."""
    energy = float(theory.lepton_energy(float(values["m_alpha"]), str(values["lepton"])))
    return 2.0 * energy / M_TAU, energy * BELLE2.beams.sqrt_s / (2.0 * M_TAU)


def physical(x: Array, p_lab: Array, dataset: Dataset) -> Array:
    """Whether a lepton can have this energy, bool like the input."""
    return np.asarray((x > 0.0) & (x < NUMBERS["fit_range"].values[1]))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties, the same for all masses."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def _lepton(name: str, columns: Columns) -> Mask:
    return np.asarray((columns["is_muon"] > 0) == (name == "mu"))


def _alone(columns: Columns) -> Mask:
    return np.asarray(columns["lepton_alone"] > 0)


def _thrust(columns: Columns) -> Mask:
    return np.asarray(columns["thrust"] > float(NUMBERS["thrust_min"]))


def _tag(columns: Columns) -> Mask:
    return np.asarray(columns["m_tag"] < float(NUMBERS["m_tag_max"]))


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection: which lepton, and the topology of a tau pair."""
    name = str(choices["lepton"])
    return (
        Cut(name="electron" if name == "e" else "muon", keep=partial(_lepton, name), reason="the lepton of this channel"),
        Cut(name="1 x 3", keep=_alone, reason="the thrust axis has the lepton alone on one side"),
        Cut(name="thrust", keep=_thrust, reason="hadrons of quark pairs are less collimated"),
        Cut(name="M(3 pi)", keep=_tag, reason="the pions come from a tau"),
    )


def overlays(values: Values) -> tuple[Overlay, ...]:
    """The ranges of other 95 % limits, on what is quoted: the full ranges over all masses, not curves."""
    lepton, chosen = str(values["lepton"]), SEARCH.chosen(values)
    to_ratio = 1.0 / float(DECAYS[lepton])
    scale = to_ratio if chosen and chosen.name == "ratio" else 1.0
    masses, reference = NUMBERS["overlay_masses"].values, SEARCH.numbers

    def band(label: str, entry: str, factor: float) -> Overlay:
        low, high = (factor * x for x in reference[entry].values)
        return Overlay(label=label, quantity="limit", masses=tuple(masses), low=(low, low), high=(high, high),
                       source=reference[entry].source)  # fmt: skip

    return (
        band("range of Belle 2025, 95 %", f"belle_range_{lepton}", scale),
        band("range of ARGUS 1995, 95 %, recalled", "argus_range", scale / to_ratio),
    )


SEARCH = Search(
    name="tau_lepton_alpha",
    title="Tau to a lepton and an invisible particle",
    channel=r"e^+e^- \to \tau^+\tau^-,\quad \tau^- \to \ell^-\alpha,\quad \tau^+ \to \pi^+\pi^+\pi^-\bar\nu",
    model="lfv_alp",
    summary="A line in the lepton energy, smeared by the unknown direction of the tau, over the spectrum of tau -> l nu nu.",
    parameters=(
        Parameter(name="m_alpha", symbol=r"m_\alpha", unit="GeV", default=1.0, low=0.0, high=1.776, simulates=True,
                  help="mass of the invisible particle"),
        Parameter(name="lepton", symbol=r"\ell", unit="", default="mu", choices=LEPTONS, simulates=True,
                  help="the lepton that the tau decays to"),
        Parameter(name="chirality", symbol="", unit="", default="v", choices=tuple(CHIRALITIES), simulates=True,
                  help="vector or axial coupling of the tau to lepton and alpha, or both"),
        Parameter(name="b_alpha", symbol=r"\mathcal{B}(\tau\to\ell\alpha)", unit="", default=1e-3, low=1e-8, high=0.1,
                  scale="log", help="branching fraction of the signal that is shown"),
        Parameter(name="quantity", symbol="", unit="", default="branching_fraction", choices=("branching_fraction", "ratio"),
                  help="what the limit is on: B(tau -> l alpha) at 90 % or its ratio to B(tau -> l nu nu) at 95 %"),
        *common_parameters(DATASETS),
    ),
    datasets=DATASETS,
    numbers=NUMBERS,
    template="tau_1x3",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=IntervalWindow(x="x", y="p_lab", n_sigma=float(NUMBERS["window_widths"]),
                          y_range=(0.0, float(NUMBERS["momentum_edges"].values[-1])), centre=centre, physical=physical),
    systematics=systematics,
    couplings=(Coupling(name="c_over_f", symbol=r"c_{\tau\ell}/f", unit="TeV^-1", power=2.0,
                        high=float(NUMBERS["coupling_high"]), rate=per_coupling),),
    quantity="B(tau -> l alpha)",
    unit="",
    approximations=APPROXIMATIONS,
    references=(NUMBERS.references["BelleII:2022heu"],),
    overlays=overlays,
    quantities={
        "branching_fraction": Quantity(name="branching_fraction", text="B(tau -> l alpha)", unit="",
                                       cl=float(NUMBERS["cl_branching_fraction"]), rate=per_branching_fraction),
        "ratio": Quantity(name="ratio", text="B(tau -> l alpha) / B(tau -> l nu nu)", unit="",
                          cl=float(NUMBERS["cl_ratio"]), rate=per_ratio),
    },
)  # fmt: skip
