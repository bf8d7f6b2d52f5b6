"""Visible dark photon: e+e- -> gamma A' with A' -> e+e- or mu+mu-.

A vector boson that mixes with the photon is made beside one, and its decay to two leptons is a narrow peak in their mass on
the continuum of QED. The fit of all three particles to the beams makes it 2 to 12 MeV wide, the reduced mass
sqrt(m^2 - 4 m_l^2) keeps the background smooth at threshold; thousands of masses are fitted one by one. BaBar, PRL 113, 201801
(arXiv:1406.2980): 514 fb-1, 90 % limits on epsilon. Belle II is a projection, and so is its search for decays away from the
beams (``signature`` = "displaced"). ``model`` reads the same data as other vectors, :func:`for_vectors` as your own.
Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from belle2dark.constants import HBAR_C, M_ELECTRON, M_MUON
from belle2dark.detector.displaced_pair import kept as share_displaced
from belle2dark.detector.experiments import BABAR, BELLE2, Detector
from belle2dark.final_states.lepton_pair_photon import ROWS
from belle2dark.final_states.lepton_pair_photon import STATE as BOTH
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import Calibration, Dataset, Overlay, Search, common_parameters, select_systematics, with_variants
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.gamma_dilepton import generate_gamma_dilepton
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers
from belle2dark.theory.vector_models import Vector
from belle2dark.vector_search import GammaVector, built_in
from belle2dark.window import IntervalWindow

NUMBERS = load_numbers("dark_photon_visible")
#: channel -> lepton, its mass [GeV] and final state; "both" is electron pairs and muon pairs in one fit
LEPTON = {"ee": ("e", M_ELECTRON, "dielectron_photon"), "mumu": ("mu", M_MUON, "dimuon_photon")}
#: above this mass [GeV] there are muon pairs
THRESHOLD = 2.0 * M_MUON + float(NUMBERS["above_threshold"])
RESONANCES = tuple(zip(("omega", "phi", "J/psi", "psi(2S)", "Upsilon(1S)", "Upsilon(2S)"), NUMBERS["resonance_mass"].values,
                       NUMBERS["resonance_half_width"].values, strict=True))  # fmt: skip
#: least share of displaced decays, instead of none: rates stay finite
NONE = 1e-30

APPROXIMATIONS = (
    "Detector response is parametrised: no beam background, no fake tracks, no vertex fit; electrons keep the tail of what they "
    "radiate in the tracker, and no photon is put back to them.",
    "BaBar: which cuts, identification and triggers were used is not public. With calibration = declared one constant for both "
    "channels and all masses brings the efficiency of the signal to what the published limits imply over the simulated "
    "background; with simulated it is 1.",
    "Backgrounds: mu mu and e e with photons, exact to one photon; photon pairs of which one converts; two-photon and tau pairs. "
    "No hadrons: the resonances' masses are left out, the rho and pions taken for muons below 1 GeV are not in it.",
    "final_state = combined is one likelihood of both channels, each over its own polynomial, with the shares of the dark "
    "photon's branching fractions; below the threshold of muons it is electrons alone. Counts in its window add both.",
    "All data as if taken at 10.58 GeV; A' is narrow and decays at once unless signature = displaced: at the published couplings "
    "of BaBar this leaves out up to a few millimetres of flight below 30 MeV, and at smaller couplings more: prompt limits below "
    "50 MeV at 50 ab-1 count decays that a vertex would tell apart.",
    "Rates are those with a photon at more than 0.05 rad from the beams in the centre of mass, photons off the beams included.",
    "Displaced pairs are taken to fire L1 like prompt ones.",
    "Systematic uncertainties are choices. Limits are CLs; those published are Bayesian as far as is recalled, and an observed "
    "curve that scatters from mass to mass: local medians of it are compared.",
    "Belle II: no result is published. The projections take the selection of this simulation as it is, and L1 with tracks and "
    "clusters. There are fewer simulated events than expected ones: curves scatter by 5 to 10 % of the rate, and pseudo-data "
    "follow the fitted polynomials.",
    "Other vectors: rates and branching fractions from charges; into hadrons good to a factor of two between 1 and 2 GeV unless "
    "charges go with the electric ones.",
)
DISPLACED = (
    *APPROXIMATIONS,
    "Displaced decays: the prompt efficiency times the share of decays in two ranges of radius, away from material and from K_S, "
    "with the tracks and vertices found there; the mass is as sharp as for prompt ones. No simulated background passes; one "
    "event in each window at 50 ab-1 is a choice.",
)


def _dataset(name: str, title: str, detector: Detector, lines: tuple[str, ...]) -> Dataset:
    return Dataset(name=name, title=title, detector=detector, luminosity=NUMBERS[f"luminosity_{name}"],
                   sqrt_s=float(NUMBERS["sqrt_s"]), lines=lines, cl=float(NUMBERS["cl"]), method="cls", alpha="physical",
                   fit=_fit())  # fmt: skip


def _fit() -> PeakFit:
    degree, bins = (int(float(NUMBERS[key])) for key in ("fit_degree", "fit_bins"))
    return PeakFit(degree=degree, span=float(NUMBERS["fit_span"]), bins=bins, smooth=True)


BELLE2_LINES = ("ffo", "fyo", "ff30", "stt", "hie", "lml1", "cdcklm1", "cdcklm2")
DATASETS = {
    d.name: d
    for d in (
        _dataset("babar_514", "BaBar, all data, as if at 10.58 GeV", BABAR, ("babar_track_clusters",)),
        _dataset("belle2_365", "Belle II Run 1, a projection", BELLE2, BELLE2_LINES),
        _dataset("belle2_50000", "Belle II, a projection to 50 ab-1", BELLE2, BELLE2_LINES),
    )
}


def channel(values: Values) -> str:
    """Which pairs are looked at: "ee", "mumu" or "both"; electrons alone below the threshold of muons."""
    chosen = str(values["final_state"])
    if chosen == "combined":
        return "both" if float(values["m_aprime"]) > THRESHOLD else "ee"
    return chosen


def channels(values: Values) -> tuple[str, ...]:
    """The decays that are looked at."""
    chosen = channel(values)
    return ("ee", "mumu") if chosen == "both" else (chosen,)


def variant(values: Values) -> str:
    """Channel, and whether decays are displaced."""
    return f"{channel(values)}_displaced" if values["signature"] == "displaced" else channel(values)


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at this mass, or "": no pair of muons, a resonance, or too little energy for the photon."""
    m = float(values["m_aprime"])
    if values["signature"] == "displaced" and dataset.detector.name != BELLE2.name:
        return f"signature = displaced: for the datasets of Belle II, not for {dataset.name}"
    if channel(values) == "mumu" and m <= THRESHOLD:
        return f"closed: m_aprime = {m:.4g} GeV is not above {THRESHOLD:.4g} GeV, where it decays to two muons"
    for name, mass, half in RESONANCES:
        if abs(m - mass) < half:
            return f"left out: m_aprime = {m:.4g} GeV is within {half:.3g} GeV of the {name}, which decays to two leptons"
    top = float(NUMBERS["highest_mass"])
    return f"closed: m_aprime = {m:.4g} GeV is above {top:.4g} GeV, where the spectrum of photons ends" if m > top else ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool, *, vectors: Mapping[str, Vector]) -> Events:
    """Signal events of the channels looked at; both: half of the events each, weighted with their shares."""
    mass, beams = float(values["m_aprime"]), dataset.detector.beams
    names = channels(values)
    if len(names) == 1:
        return generate_gamma_dilepton(n, key, beams, mass=mass, lepton=LEPTON[names[0]][0], isr=isr)
    rates = GammaVector(vectors=vectors, channels=channels)
    mediator = next(iter(vectors.values()))
    widths = rates.widths(values, mediator, 1.0)
    total = sum(widths[name] for name in names)
    numbers = (n - n // 2, n // 2)
    made = [generate_gamma_dilepton(number, make_key(key, name), beams, mass=mass, lepton=LEPTON[name][0], isr=isr)
            for name, number in zip(names, numbers, strict=True)]  # fmt: skip
    return _joined(made, [widths[name] / total for name in names])


def _joined(parts: list[Events], shares: list[float]) -> Events:
    """Events one after the other, weighted with ``shares``; slots that a part does not have are empty."""
    slots = dict.fromkeys(name for part in parts for name in part.momenta_lab)
    momenta = {name: np.concatenate([part.momenta_lab.get(name, np.zeros((len(part), 4))) for part in parts]) for name in slots}
    weights = np.concatenate([share * part.weights for share, part in zip(shares, parts, strict=True)])
    return Events(momenta_lab=momenta, weights=weights)


def centre(values: Values, lepton: float) -> tuple[float, float]:
    """Where the signal peaks: reduced mass [GeV] (for no lepton mass: the mass), and the other column (anywhere)."""
    return math.sqrt(max(float(values["m_aprime"]) ** 2 - 4.0 * lepton**2, 0.0)), 0.0


def physical(x: Array, _other: Array, dataset: Dataset, *, lowest: float) -> Array:
    """Whether masses [GeV] are possible and above the ``lowest`` that is fitted, bool like the input."""
    return np.asarray((x > lowest) & (x < dataset.detector.beams.sqrt_s))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the dataset."""
    return select_systematics(NUMBERS, str(values["dataset"]))


def _inside(columns: Columns, names: tuple[str, ...], low: float, high: float) -> Mask:
    least, most = math.cos(math.radians(high)), math.cos(math.radians(low))
    return np.all([(columns[name] > least) & (columns[name] < most) for name in names], axis=0)


def _above(columns: Columns, name: str, least: float) -> Mask:
    return np.asarray(columns[name] > least)


def _below(columns: Columns, name: str, most: float) -> Mask:
    return np.asarray(columns[name] < most)


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection: photon and tracks well inside, and a sum of momenta that is that of the beams."""
    photon = Cut(name="photon energy", keep=partial(_above, name="photon_energy_cms", least=float(NUMBERS["photon_energy"])),
                 reason="beam background and soft radiation")  # fmt: skip
    balance = Cut(name="four momenta", keep=partial(_below, name="chi2", most=float(NUMBERS["chi2_max"])),
                  reason="two leptons and a photon, and nothing lost along the beams")  # fmt: skip
    if dataset.detector.name != BABAR.name:
        return photon, balance
    low, high = NUMBERS["photon_angles"].values
    seen = Cut(name="photon angle", keep=partial(_inside, names=("photon_cos_theta_lab",), low=low, high=high),
               reason="inside the calorimeter")  # fmt: skip
    low, high = NUMBERS["track_angles"].values
    angles = ("cos_theta_lab_minus", "cos_theta_lab_plus")
    tracks = Cut(name="track angles", keep=partial(_inside, names=angles, low=low, high=high), reason="inside the drift chamber")
    return photon, seen, tracks, balance


#: curves of others: label, names of masses and limits, key of the paper
OTHERS = (("KLOE e+e-", "kloe_ee", "KLOE:2015ee"), ("KLOE μ+μ-, π+π-", "kloe_mumu", "KLOE:2018combined"),
          ("KLOE φ → η e+e-", "kloe_phi", "KLOE:2012phi"), ("BESIII", "besiii", "BESIII:2017isr"),
          ("LHCb, prompt", "lhcb", "LHCb:2019dimuon"))  # fmt: skip


def overlays(values: Values) -> tuple[Overlay, ...]:
    """Limits of other experiments on epsilon."""
    return tuple(
        Overlay(label=label, quantity="epsilon", masses=NUMBERS[f"{name}_mass"].values, high=NUMBERS[f"{name}_epsilon"].values,
                source=f"arXiv:{NUMBERS.references[key].eprint}, 90 %")
        for label, name, key in OTHERS
    )  # fmt: skip


def calibration(values: Values, dataset: Dataset) -> Calibration | None:
    """The constant on the efficiency that BaBar's published limits imply; for displaced decays the background."""
    if values["signature"] == "displaced":
        resolutions = 2.0 * float(NUMBERS["window_widths"])
        per_resolution = float(NUMBERS["displaced_background"]) / (resolutions * float(NUMBERS["luminosity_belle2_50000"]))
        return Calibration(name="displaced background", background=per_resolution)
    if values["calibration"] != "declared" or dataset.detector.name != BABAR.name:
        return None
    return Calibration(name="efficiency implied by the published limits", efficiency=float(NUMBERS["declared_efficiency"]))


def kept(values: Values, dataset: Dataset, *, rates: GammaVector) -> float:
    """Share of the prompt efficiency of decays that are seen as displaced at the coupling given."""
    mass, width = float(values["m_aprime"]), rates.width(values)
    widths = rates.widths(values, rates.vector(values), 1.0)
    names = channels(values)
    total = sum(widths[name] for name in names)
    near = [float(share_displaced(mass, HBAR_C / width, LEPTON[name][0], dataset.detector)) for name in names]
    return max(sum(widths[name] * share for name, share in zip(names, near, strict=True)) / total, NONE) if total > 0 else NONE


def _variants(rates: GammaVector) -> dict[str, dict[str, Any]]:
    """What each channel changes, and with each of them displaced decays."""
    prompt: dict[str, dict[str, Any]] = {
        name: {
            "template": template,
            "window": replace(WINDOW, centre=partial(centre, lepton=mass), physical=partial(physical, lowest=low)),
        }
        for (name, (_, mass, template)), low in zip(LEPTON.items(), (float(NUMBERS["lowest_fitted"]), 0.0), strict=True)
    }
    together = replace(_fit(), rows=ROWS, opens=(2.0 * M_ELECTRON, 2.0 * M_MUON))
    plane = replace(WINDOW, x="m_pair", y="is_muon", y_range=(ROWS[0], ROWS[-1]), centre=partial(centre, lepton=0.0))
    prompt["both"] = {"window": plane, "datasets": {key: replace(d, fit=together) for key, d in DATASETS.items()}}
    counted = {"datasets": {key: replace(d, fit=None) for key, d in DATASETS.items()}, "kept": partial(kept, rates=rates),
               "approximations": DISPLACED}  # fmt: skip
    return prompt | {f"{name}_displaced": fields | counted for name, fields in prompt.items()}


WINDOW = IntervalWindow(x="reduced_mass", y="photon_cos_theta_lab", n_sigma=float(NUMBERS["window_widths"]), y_range=(-1.0, 1.0),
                        centre=partial(centre, lepton=M_MUON), physical=partial(physical, lowest=0.0))  # fmt: skip


def for_vectors(vectors: Mapping[str, Vector]) -> Search:
    """The search for these vectors, the first the default; the shares of the channels in "combined" are those of the first."""
    rates = GammaVector(vectors=vectors, channels=channels)
    base = Search(
        name="dark_photon_visible",
        title="Visible dark photon",
        channel=r"e^+e^- \to \gamma A',\quad A' \to e^+e^-,\ \mu^+\mu^-",
        model="vector",
        summary="A photon and two leptons: a narrow peak in their mass on the continuum of QED.",
        parameters=(
            Parameter(name="m_aprime", symbol="m_{A'}", unit="GeV", default=1.0, low=0.02, high=10.4, scale="log", simulates=True,
                      help="mass of the dark photon"),
            *rates.parameters(),
            Parameter(name="final_state", symbol="", unit="", default="combined", choices=("combined", "ee", "mumu"),
                      simulates=True, help="electron pairs, muon pairs, or both in one fit"),
            Parameter(name="signature", symbol="", unit="", default="prompt", choices=("prompt", "displaced"), simulates=True,
                      help="decays at the beams, or away from them (Belle II)"),
            Parameter(name="calibration", symbol="", unit="", default="declared", choices=("declared", "simulated"),
                      help="efficiency: the constant that describes what is published, or first principles"),
            *common_parameters(DATASETS),
        ),
        datasets=DATASETS,
        numbers=NUMBERS,
        template=BOTH.name,
        generate=partial(generate, vectors=vectors),
        closed=closed,
        cross_section=rates.cross_section,
        branching_fraction=rates.branching_fraction,
        width=rates.width,
        cuts=cuts,
        window=WINDOW,
        systematics=systematics,
        couplings=rates.couplings(float(NUMBERS["perturbative_limit"])),
        quantity="sigma x BR(A' -> l l)",
        unit="fb",
        approximations=APPROXIMATIONS,
        references=tuple(NUMBERS.references[key] for key in ("BaBar:2014zli", "BelleII:2018jsg")),
        overlays=overlays,
        calibration=calibration,
    )  # fmt: skip
    return with_variants(base, variant, _variants(rates))


SEARCH = for_vectors(built_in("dark_photon", "b_minus_l", "le_lmu"))
