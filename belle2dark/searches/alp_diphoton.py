"""Axion-like particle (ALP) beside a photon: e+e- -> gamma a with a -> gamma gamma, or a that leaves nothing.

a couples to two photons (g_agg). Where it decays at once and its photons are apart, three photons have all of the collision's
energy: a peak in the squared mass of a pair of them or, from 6.85 GeV on, in the squared recoil mass of the third
("three_photons"; Belle II, PRL 125, 161806, arXiv:2007.13071: 445 pb-1, 500 sliding fits). Where it flies out of the detector,
or decays to dark matter, one photon remains ("single_photon"; arXiv:1709.00009). Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, lru_cache, partial

import numpy as np
from scipy.interpolate import PchipInterpolator

from belle2dark.detector.alp_regimes import single_photon_share, three_photon_share
from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.fitting import TemplateFit
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.peak_fit import PeakFit
from belle2dark.search import (
    Calibration,
    Coupling,
    Dataset,
    Fit,
    Overlay,
    Search,
    common_parameters,
    select_systematics,
    with_variants,
)
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.alp import generate_gamma_alp
from belle2dark.simulation.events import Array, Events
from belle2dark.sourced import load_numbers
from belle2dark.theory.alp import PHOTON_ALP
from belle2dark.theory.gamma_x import gamma_alp
from belle2dark.window import IntervalWindow

NUMBERS = load_numbers("alp_diphoton")
SEPARATION = load_numbers("alp")["separation"]
THREE, SINGLE = "three_photons", "single_photon"
#: logarithms of decay lengths [cm] of the tables of shares, in steps of a tenth of a power of ten, and a share that is none
LOG_CTAU, NOTHING = np.log(10) * np.linspace(-4, 10, 141), 1e-200

APPROXIMATIONS = (
    "Declared, not simulated (calibration = declared): one constant on the efficiency of three photons, a choice fitted to the "
    "published observed limits. Without it our expected limits are 0.6 to 1.2 of them on the rate, 0.75 in the median: what "
    "early data, beam background, shower tails and conversions cost is not in the simulation. It holds for the "
    "projections as well, and is no statement on the efficiency alone: without it ours is 18 % at 0.2 GeV and 22 % at 5 GeV, "
    "where 20 % and 34 % are recalled.",
    "The published selection is recalled; two cuts on the energies at 4 GeV and two variables at 6.85 GeV make steps there.",
    "Photons are Gaussian clusters without shower tails; two within 0.06 rad are one and are not looked into, so that three "
    "photons say nothing below 0.14 GeV. Photons that convert are lost.",
    "Background: three photons exactly at tree level with radiation, and e e gamma with two lost tracks. Nothing peaks: no "
    "pi0, eta or eta' gamma, whose rates are below what 445 pb-1 shows; at 50 ab-1 they would.",
    "Displaced decays count as lost beyond 10 cm (three photons) and as invisible beyond 3 m (single photon): choices; photons "
    "from in between point wrongly and are vetoed by either selection.",
    "L1: a cluster of 2 GeV in the barrel or 1 GeV in all, alike at all luminosities and in all years; prescales of later years "
    "are not included, nor that the lines for single photons came after the pilot run.",
    "Single photon: a fit of one peak over simulated lost photons and electrons, known to 10 % (a choice), all masses alike.",
    "Production by two photons, 2 to 25 times the rate, leaves two soft photons and nothing else: not looked for.",
)


def _fit() -> PeakFit:
    degree, bins = (int(float(NUMBERS[name])) for name in ("fit_degree", "fit_bins"))
    return PeakFit(degree=degree, span=float(NUMBERS["fit_span"]), bins=bins, smooth=True)


def _single_fit() -> TemplateFit:
    bins, span = int(float(NUMBERS["single_bins"])), float(NUMBERS["single_span"])
    return TemplateFit(bins=bins, span=span, y_edges=_cosines("single_angles"))


def _cosines(name: str) -> tuple[float, float]:
    """Cosines of a range of polar angles [deg], in ascending order."""
    low, high = NUMBERS[name].values
    return math.cos(math.radians(high)), math.cos(math.radians(low))


def _datasets(lines: tuple[str, ...], fit: Fit) -> dict[str, Dataset]:
    titles = {"belle2_pilot": "2018", "belle2_135": "projection to 135 fb-1", "belle2_50000": "projection to 50 ab-1"}
    return {
        name: Dataset(name=name, title=f"Belle II, {title}", detector=BELLE2, luminosity=NUMBERS[f"luminosity_{name}"],
                      sqrt_s=float(NUMBERS["sqrt_s"]), lines=lines, cl=float(NUMBERS["cl"]), method="cls", alpha="thomson",
                      fit=fit)
        for name, title in titles.items()
    }  # fmt: skip


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at these parameters, or ""."""
    m, root = float(values["m_alp"]), dataset.sqrt_s
    top = math.sqrt(root**2 - 2.0 * root * float(NUMBERS["single_energy"]))
    if values["signature"] == THREE:
        least, top = math.sqrt(float(NUMBERS["pair_edge"])), float(NUMBERS["heaviest"])
        if values["decay"] == "dark_matter":
            return "closed: a decay to dark matter leaves no photons; signature = single_photon sees it"
        if m <= least:
            return f"closed: m_alp = {m:.4g} GeV is not above {least:.4g} GeV, where two photons are two clusters"
    return f"closed: m_alp = {m:.4g} GeV is not below {top:.5g} GeV, where the photon is hard enough" if m > top else ""


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """Signal events at this mass; decays at the origin, the couplings' part is :func:`kept`."""
    invisible = values["signature"] == SINGLE
    return generate_gamma_alp(n, key, dataset.detector.beams, mass=float(values["m_alp"]), isr=isr,
                              decay="invisible" if invisible else "photons")  # fmt: skip


@cache
def _radiation() -> PchipInterpolator:
    return PchipInterpolator(NUMBERS["rate_mass"].values, NUMBERS["rate_radiation"].values)


def unit_rate(values: Values, dataset: Dataset) -> float:
    """Cross-section [fb] of gamma a with photons off the beams at g_agg = 1/GeV, whatever a decays to.

    Source: :func:`belle2dark.theory.gamma_x.gamma_alp` times a table of what radiation changes.
    """
    mass = float(values["m_alp"])
    return float(gamma_alp(dataset.sqrt_s, mass)) * float(_radiation()(mass))


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section [fb] of gamma a at the coupling given."""
    return float(values["g_agg"]) ** 2 * unit_rate(values, dataset)


def branching_fraction(values: Values) -> float:
    """1: a decays to two photons alone or, by choice, to dark matter alone."""
    return 1.0


def width(values: Values) -> float:
    """Natural width [GeV] to two photons; that to dark matter is taken as smaller than the resolution."""
    return float(PHOTON_ALP.total_width(float(values["m_alp"]), {"g_agg": float(values["g_agg"])}))


def kept(values: Values, dataset: Dataset) -> float:
    """Share of decays that the signature can see: near the collision for three photons, outside for a single one."""
    if values["decay"] == "dark_matter":
        return 1.0
    ctau, logs = _shares(str(values["signature"]), float(values["m_alp"]), dataset.detector)
    return math.exp(np.interp(math.log(ctau) - 2.0 * math.log(float(values["g_agg"])), LOG_CTAU, logs))


@lru_cache(maxsize=4096)
def _shares(signature: str, mass: float, detector: Detector) -> tuple[float, Array]:
    """c tau [cm] at g_agg = 1/GeV, and logarithms of the share at LOG_CTAU: one table per mass serves all couplings."""
    share = three_photon_share if signature == THREE else single_photon_share
    with np.errstate(under="ignore"):
        seen = share(mass, np.exp(LOG_CTAU), detector)
    return float(PHOTON_ALP.ctau(mass, {"g_agg": 1.0})), np.log(np.maximum(seen, NOTHING))


def calibration(values: Values, dataset: Dataset) -> Calibration | None:
    """The declared efficiency of three photons, if asked for."""
    if values["calibration"] != "declared" or values["signature"] != THREE:
        return None
    return Calibration(name="declared", efficiency=float(NUMBERS["declared_efficiency"]))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the signature at this mass."""
    region = int(float(values["m_alp"]) > float(NUMBERS["energy_switch"]))
    every = select_systematics(NUMBERS, str(values["dataset"]), region)
    return tuple(s for s in every if values["signature"] == SINGLE or s.acts_on == ("signal",))


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: the squared mass [GeV^2], as a pair's and as a recoil's."""
    return float(values["m_alp"]) ** 2, float(values["m_alp"]) ** 2


def physical(mass_squared: Array, _other: Array, dataset: Dataset) -> Array:
    """Whether pairs of photons of these squared masses [GeV^2] are seen as two, bool like the input."""
    return np.asarray((mass_squared > float(NUMBERS["pair_edge"])) & (mass_squared < dataset.sqrt_s**2))


def hard(mass_squared: Array, _other: Array, dataset: Dataset) -> Array:
    """Whether photons with these squared recoil masses [GeV^2] pass the selection at most angles, bool like the input."""
    return np.asarray((mass_squared > 0.0) & (mass_squared < float(NUMBERS["recoil_edge"])))


def measured(mass_squared: Array, _other: Array, dataset: Dataset) -> Array:
    """Whether a single photon can have these squared recoil masses [GeV^2], which may be negative, bool like the input."""
    return np.asarray(mass_squared < dataset.sqrt_s**2)


def _inside(columns: Columns, names: tuple[str, ...], low: float, high: float) -> Mask:
    return np.all([(columns[name] > low) & (columns[name] < high) for name in names], axis=0)


def _apart(columns: Columns) -> Mask:
    return np.asarray(columns["dtheta_close"] > SEPARATION.values[0])


def _no_pair(columns: Columns) -> Mask:
    return np.asarray(columns["gamma_gamma_veto"] < 0.5)


def cuts(choices: Values, dataset: Dataset, energy: str) -> tuple[Cut, ...]:
    """The published selection with the least photon energy of that name and, if switched on, the veto."""
    return _cuts(energy, str(choices["veto"]), dataset.sqrt_s)


@cache
def _cuts(energy: str, veto: str, root: float) -> tuple[Cut, ...]:
    low, high = _cosines("angles")
    cosines = tuple(f"cos_theta_lab_{k}" for k in (1, 2, 3))
    least, most = (share * root for share in NUMBERS["total_mass"].values)
    steps = (
        Cut(name="angles", keep=partial(_inside, names=cosines, low=low, high=high), reason="all photons well inside the barrel"),
        Cut(name="energies", keep=partial(_inside, names=("energy_min_lab",), low=float(NUMBERS[energy]), high=math.inf),
            reason="soft photons are beam background"),
        Cut(name="three-photon mass", keep=partial(_inside, names=("m_total",), low=least, high=most),
            reason="nothing is missing"),
        Cut(name="separation", keep=_apart, reason="a converted photon looks like two at one polar angle"),
    )  # fmt: skip
    pair = Cut(name="gamma gamma veto", keep=_no_pair, reason="two photons back to back: what a trigger may have to throw away")
    return (*steps, pair) if veto == "on" else steps


def _no_klm(columns: Columns) -> Mask:
    return np.asarray(columns["klm_seen"] < 0.5)


def single_cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection of a single photon."""
    low, high = _cosines("single_angles")
    return (
        Cut(name="angle", keep=partial(_inside, names=("cos_theta_lab",), low=low, high=high),
            reason="a photon opposite to it would meet the barrel"),
        Cut(name="energy", keep=partial(_inside, names=("energy_cms",), low=float(NUMBERS["single_energy"]), high=math.inf),
            reason="the single-photon line without further clusters"),
        Cut(name="KLM veto", keep=_no_klm, reason="a photon lost in a gap may be seen behind it"),
    )  # fmt: skip


def overlays(values: Values) -> tuple[Overlay, ...]:
    """Constraints on g_agg by others, and what was projected for 50 ab-1."""
    if values["decay"] == "dark_matter":
        return ()
    invisible = NUMBERS["invisible_projection_mass"].values
    lines = (
        ("LEP", "lep_mass", "lep_g_agg", None),
        ("BESIII 2024", "besiii_mass", "besiii_g_agg", None),
        ("NA64", "na64_mass", "na64_high", NUMBERS["na64_low"].values),
        ("50 ab⁻¹ projected in 2017: three photons", "projection_mass", "projection_g_agg", None),
        ("50 ab⁻¹ projected in 2017: single photon", "invisible_projection_mass", "invisible_projection_high",
         (float(NUMBERS["invisible_projection_low"]),) * len(invisible)),
    )  # fmt: skip
    return tuple(
        Overlay(label=label, quantity="g_agg", masses=NUMBERS[mass].values, high=NUMBERS[high].values, low=low,
                source=NUMBERS[high].source)
        for label, mass, high, low in lines
    )  # fmt: skip


def _window(x: str, y: str, possible: object) -> IntervalWindow:
    return IntervalWindow(x=x, y=y, n_sigma=float(NUMBERS["window_widths"]), y_range=(0.0, float(NUMBERS["sqrt_s"]) ** 2),
                          centre=centre, physical=possible)  # type: ignore[arg-type]  # fmt: skip


def variant(values: Values) -> str:
    """In which way a is looked for: hard photons, softer photons, the recoil, or one photon."""
    if values["signature"] == SINGLE:
        return "single"
    mass = float(values["m_alp"])
    if mass <= float(NUMBERS["energy_switch"]):
        return "low"
    return "middle" if mass < float(NUMBERS["variable_switch"]) else "high"


THREE_DATASETS = _datasets(("hie", "lml1"), _fit())
BASE = Search(
    name="alp_diphoton",
    title="Axion-like particle to two photons",
    channel=r"e^+e^- \to \gamma a,\quad a \to \gamma\gamma",
    model="alp_photon",
    summary="Three photons: a peak in the mass of two of them or in the recoil of the third.",
    parameters=(
        Parameter(name="m_alp", symbol="m_a", unit="GeV", default=1.0, low=0.005, high=10.4, scale="log", simulates=True,
                  help="mass of a"),
        Parameter(name="g_agg", symbol=r"g_{a\gamma\gamma}", unit="GeV^-1", default=1e-3, low=1e-7, high=1.0, scale="log",
                  help="coupling of a to two photons"),
        Parameter(name="signature", symbol="", unit="", default=THREE, choices=(THREE, SINGLE), simulates=True,
                  help="what is looked for: three photons, or one and nothing else"),
        Parameter(name="decay", symbol="", unit="", default="photons", choices=("photons", "dark_matter"), simulates=True,
                  help="what a decays to"),
        Parameter(name="veto", symbol="", unit="", default="off", choices=("off", "on"), simulates=True,
                  help="whether events with a pair of photons like e+e- to gamma gamma are thrown away"),
        Parameter(name="calibration", symbol="", unit="", default="declared", choices=("declared", "simulated"),
                  help="one constant that describes the published limits, or simulation alone"),
        *common_parameters(THREE_DATASETS),
    ),
    datasets=THREE_DATASETS,
    numbers=NUMBERS,
    template=THREE,
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=partial(cuts, energy="energy_low"),
    window=_window("mass_squared", "recoil_mass_squared", physical),
    systematics=systematics,
    couplings=(
        Coupling(name="g_agg", symbol=r"g_{a\gamma\gamma}", unit="GeV^-1", power=2.0, high=float(NUMBERS["perturbative_limit"]),
                 rate=unit_rate),
    ),
    quantity="sigma(e+ e- -> gamma a) x BR",
    unit="fb",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("BelleII:2020jti", "Dolan:2017osp")),
    overlays=overlays,
    calibration=calibration,
    kept=kept,
)  # fmt: skip
SEARCH = with_variants(BASE, variant, {
    "low": {},
    "middle": {"cuts": partial(cuts, energy="energy_high")},
    "high": {"cuts": partial(cuts, energy="energy_high"), "window": _window("recoil_mass_squared", "mass_squared", hard)},
    "single": {"template": SINGLE, "cuts": single_cuts, "datasets": _datasets(("lml1", "lml6"), _single_fit()),
               "window": replace(_window("recoil_mass_squared", "cos_theta_lab", measured), y_range=_cosines("single_angles"))},
})  # fmt: skip
