"""Inelastic dark matter: e+e- -> gamma A', A' -> chi1 chi2, chi2 -> chi1 l+ l- away from the beams.

The mixing that makes the A' also makes the chi2 decay, through the A' off its mass shell: c tau goes as m_A'^4 / (epsilon^2
alpha_D Delta^5), so that at each mass only a range of couplings leaves vertices inside the detector. ``signature`` = "displaced"
counts a photon and a displaced pair at the recoil mass of the A', inside the beam pipe or in the drift chamber
(arXiv:1911.03176); "monophoton" is the complement, a photon and nothing else, where the chi2 decays outside. ``production`` =
"dark_higgs" has a dark Higgs boson with a displaced vertex of its own in the place of the photon, as in arXiv:2505.09705.
Not modelled: see ``APPROXIMATIONS``.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from belle2dark.constants import M_ELECTRON
from belle2dark.detector.experiments import BELLE2
from belle2dark.final_states.dark_higgs_displaced import KINDS
from belle2dark.limits.systematics import Systematic
from belle2dark.parameters import Parameter, Values
from belle2dark.search import (
    Coupling,
    Dataset,
    Fit,
    Overlay,
    Search,
    common_parameters,
    load_search,
    prompt,
    select_systematics,
    with_variants,
)
from belle2dark.selection import Columns, Cut, Mask
from belle2dark.simulation.decays.chain import decay_two_body
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.simulation.inelastic import HIGGS_DECAYS, generate_dark_higgs_inelastic, generate_gamma_inelastic
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_higgsstrahlung import cross_section as higgsstrahlung
from belle2dark.theory.inelastic import relic_epsilon
from belle2dark.theory.inelastic_rates import (
    HIGGS,
    PHOTON,
    branching_fraction,
    ctau_chi2,
    ctau_hprime,
    epsilon,
    masses,
    squared_epsilon_per_y,
    width,
)
from belle2dark.vector_search import unit_cross_section
from belle2dark.window import IntervalWindow

NUMBERS = load_numbers("inelastic_dark_matter")
#: the search whose selection, windows and fits are those of signature = monophoton
SINGLE = load_search("dark_photon_invisible")
DISPLACED, MONOPHOTON = "displaced", "monophoton"
#: largest distance of a vertex from the beams [cm]
_FARTHEST = load_numbers("inelastic_sample")["outer_radius"].values[1]
#: choice -> numbers in the column ``region``
REGIONS = {"both": (1.0, 2.0), "inner": (1.0,), "outer": (2.0,)}
DISPLACED_LINES = ("lml1", "lml6", "lml12", "hie")
HIGGS_LINES = ("lml12", "hie", "ffo", "fyo", "ff30", "fff", "c4")
#: logarithms of distances that plots show
_DECADES = (-4.0, 2.0)

APPROXIMATIONS = (
    "A projection: beside a photon no result is published. That of arXiv:2505.09705, beside a dark Higgs boson, is known to us "
    "as orders of magnitude only.",
    "All A' go to chi1 chi2, less what the mixing sends to visible particles. The chi2 decays through the A' off its mass shell "
    "with all masses kept; hadrons are R times muons, of which two pions are simulated and the rest is a rate that is not seen.",
    "The natural width of the A' is not in the recoil mass: at alpha_d = 0.5 it is 15 % of the mass, and fewer events are in the "
    "window; curves are dashed where it is more than half of the resolution.",
    "Displaced pairs: backgrounds come out at a few events in 50 ab-1, which rests on vetoes that nobody has tried on data, and "
    "on a chosen rate of tracks that cross by chance.",
    "The L1 line dv, two tracks that meet away from the beams, does not exist: it is off unless named (--lines), and its "
    "efficiency is a choice.",
    "The thermal target is for a small splitting: at larger ones fewer chi2 are left to annihilate with, and more coupling is "
    "needed.",
    "Systematic uncertainties are choices. Limits are CLs; without background they are those of 2.3 events.",
)
ESCAPED = (
    *APPROXIMATIONS,
    "Monophoton: selection, backgrounds and fits are those of dark_photon_invisible at another luminosity. A chi2 that decays "
    "before the end of the iron vetoes the event, however soft what it leaves; one that decays beyond is not seen.",
)
BESIDE_HIGGS = (
    *APPROXIMATIONS,
    "production = dark_higgs: limits are on sigma(h' A') x BR(A' -> chi1 chi2) x BR(chi2 -> chi1 e e) x BR(h' -> the pair), the "
    "h' with the widths of a mixed scalar (Winkler), the rate at tree level.",
)


def variant(values: Values) -> str:
    """Displaced pairs, those beside a dark Higgs boson, or single photons of low, middle and high masses."""
    if values["signature"] == MONOPHOTON:
        return f"{MONOPHOTON}_{_single_part(values)}"
    return HIGGS if values["production"] == HIGGS else DISPLACED


def _single_part(values: Values) -> str:
    return SINGLE.variant({"m_aprime": values["m_aprime"], "dataset": SINGLE.default_dataset.name})


def idle(values: Values) -> tuple[str, ...]:
    """Single photons do not know what dark matter is, and only the dark Higgs boson has a mass of its own."""
    if values["signature"] == MONOPHOTON:
        return ("m_chi1", "splitting", "region", "m_hprime", "hprime_decay")
    return () if values["production"] == HIGGS else ("m_hprime", "hprime_decay")


def closed(values: Values, dataset: Dataset) -> str:
    """Why there is no signal at these masses, or ""."""
    m1, m2, m = masses(values)
    root = dataset.detector.beams.sqrt_s
    if m1 + m2 >= m:
        return f"closed: m_aprime = {m:.4g} GeV is not above m_chi1 + m_chi2 = {m1 + m2:.4g} GeV"
    if values["production"] == HIGGS:
        return _closed_beside_higgs(values, root)
    if values["signature"] == MONOPHOTON:
        return SINGLE.closed(SINGLE.parse({"m_aprime": m}), dataset)
    if _without_pair(values):
        return f"closed: m_chi2 - m_chi1 = {m2 - m1:.4g} GeV is not above two electron masses: no pair to see"
    least = float(NUMBERS["energy_margin"]) * float(NUMBERS["photon_energy"])
    top = math.sqrt(root * (root - 2.0 * least))
    return "" if m < top else f"closed: m_aprime = {m:.4g} GeV is not below {top:.4g} GeV, where the photon has {least:.3g} GeV"


def _without_pair(values: Values) -> bool:
    m1, m2, _ = masses(values)
    return m2 - m1 <= 2.0 * M_ELECTRON


def _closed_beside_higgs(values: Values, root: float) -> str:
    """The same where a dark Higgs boson is in the place of the photon."""
    mass, m1 = float(values["m_hprime"]), float(values["m_chi1"])
    least = 2.0 * HIGGS_DECAYS[str(values["hprime_decay"])][1] + float(NUMBERS["hprime_threshold"])
    if values["signature"] == MONOPHOTON:
        return "signature = monophoton: there is no photon with production = dark_higgs"
    if _without_pair(values):
        return "closed: m_chi2 - m_chi1 is not above two electron masses: no pair to see"
    if not least < mass < 2.0 * m1:
        return f"closed: m_hprime = {mass:.4g} GeV is not between {least:.4g} GeV and 2 m_chi1 = {2.0 * m1:.4g} GeV"
    total = mass + float(values["m_aprime"])
    return "" if total < root else f"closed: m_aprime + m_hprime = {total:.4g} GeV is not below {root:.4g} GeV"


# signal


def generate(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """A photon and inelastic dark matter."""
    m1, m2, m = masses(values)
    return generate_gamma_inelastic(n, key, dataset.detector.beams, m_aprime=m, m_chi1=m1, m_chi2=m2, isr=isr)


def generate_beside_higgs(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """A dark Higgs boson and inelastic dark matter."""
    m1, m2, m = masses(values)
    return generate_dark_higgs_inelastic(n, key, dataset.detector.beams, m_aprime=m, m_chi1=m1, m_chi2=m2, isr=isr,
                                         m_hprime=float(values["m_hprime"]), final_state=str(values["hprime_decay"]),
                                         near_cm=float(NUMBERS["near_higgs"]))  # fmt: skip


def generate_photon(values: Values, n: int, key: int, dataset: Dataset, isr: bool) -> Events:
    """A photon and an A' of which nothing is seen."""
    return generate_gamma_x(n, key, dataset.detector.beams, float(values["m_aprime"]), "dark_photon", 1.0, isr)


def unit_production(values: Values, dataset: Dataset) -> float:
    """Cross-section [fb] at epsilon = 1: of gamma A' with radiation, or of h' A' at tree level."""
    m = float(values["m_aprime"])
    if values["production"] == HIGGS:
        return float(values["alpha_d"]) * _per_alpha_d(m, float(values["m_hprime"]), dataset.sqrt_s)
    return unit_cross_section(m, dataset.sqrt_s)


@lru_cache(maxsize=256)
def _per_alpha_d(m_aprime: float, m_hprime: float, sqrt_s: float) -> float:
    return float(higgsstrahlung(m_aprime, m_hprime, 1.0, sqrt_s))


def signal_cross_section(values: Values, dataset: Dataset) -> float:
    """Cross-section [fb] of what is produced at the coupling given."""
    return epsilon(values) ** 2 * unit_production(values, dataset)


def unit_rate(values: Values, dataset: Dataset) -> float:
    """Cross-section times branching fraction [fb] over epsilon squared, the fraction being that at the coupling given."""
    return unit_production(values, dataset) * branching_fraction(values)


def unit_rate_of_y(values: Values, dataset: Dataset) -> float:
    """The same over y."""
    return unit_rate(values, dataset) * squared_epsilon_per_y(values)


def _known(ctau: float) -> float:
    return min(max(ctau, float(NUMBERS["shortest"])), float(NUMBERS["longest"]))


def lifetimes(values: Values, dataset: Dataset) -> tuple[float, ...]:
    """c tau [cm] of the chi2."""
    return (_known(ctau_chi2(values)),)


def lifetimes_beside_higgs(values: Values, dataset: Dataset) -> tuple[float, ...]:
    """c tau [cm] of the chi2 and of the dark Higgs boson."""
    return _known(ctau_chi2(values)), _known(ctau_hprime(values))


def escaping(values: Values, dataset: Dataset) -> float:
    """Share of the events with a photon in the barrel whose chi2 decays outside of everything."""
    exits, weights = _exits(*masses(values))
    return float(weights @ np.exp(-exits / max(ctau_chi2(values), 1e-300)))


@lru_cache(maxsize=256)
def _exits(m_chi1: float, m_chi2: float, m_aprime: float) -> tuple[Array, Array]:
    """Proper length [cm] at which each of n simulated chi2 leaves the detector, (n,), and its share of the rate."""
    n, key = int(float(NUMBERS["escape_events"])), make_key(1, "inelastic_dark_matter", "escape")
    events = generate_gamma_x(n, key, BELLE2.beams, m_aprime, "dark_photon", 1.0)
    _, chi2 = decay_two_body(events.momenta_lab["x"], m_chi1, m_chi2, key)
    photon = events.momenta_lab["gamma_1"]
    low, high, _ = load_numbers(SINGLE.name)["region_barrel"].values
    cosine = photon[:, 3] / np.maximum(photon[:, 0], 1e-300)
    use = (cosine > math.cos(math.radians(high))) & (cosine < math.cos(math.radians(low))) & (events.weights > 0.0)
    p = chi2[use, 1:]
    back, front = NUMBERS["escape_z"].values
    across = float(NUMBERS["escape_radius"]) / np.maximum(np.hypot(p[:, 0], p[:, 1]), 1e-300)
    along = np.where(p[:, 2] > 0.0, front, back) / np.where(p[:, 2] == 0.0, 1e-300, p[:, 2])
    weights = events.weights[use]
    return m_chi2 * np.minimum(across, along), weights / weights.sum()


# selection


def _above(columns: Columns, name: str, least: float) -> Mask:
    return np.asarray(columns[name] > least)


def _below(columns: Columns, name: str, most: float) -> Mask:
    return np.asarray(columns[name] < most)


def _in_regions(columns: Columns, numbers: tuple[float, ...]) -> Mask:
    return np.asarray(np.isin(columns["region"], numbers))


def _hard(columns: Columns, barrel: tuple[float, float], least: tuple[float, float]) -> Mask:
    inside = (columns["photon_cos_theta_lab"] > barrel[0]) & (columns["photon_cos_theta_lab"] < barrel[1])
    return np.asarray(columns["photon_energy_cms"] > np.where(inside, *least))


@cache
def _photon_cut() -> Cut:
    least = float(NUMBERS["photon_energy"]), float(NUMBERS["photon_energy_end"])
    return Cut(name="photon energy", keep=partial(_hard, barrel=BELLE2.cosines("ecl_barrel_theta"), least=least),
               reason="beam background, and radiation along the beams")  # fmt: skip


def _least(name: str, column: str, number: str, reason: str) -> Cut:
    return Cut(name=name, keep=partial(_above, name=column, least=float(NUMBERS[number])), reason=reason)


def _veto(name: str, column: str, reason: str) -> Cut:
    return Cut(name=name, keep=partial(_below, name=column, most=0.5), reason=reason)


@cache
def _pair_cuts(region: str) -> tuple[Cut, ...]:
    """What is asked of a displaced pair."""
    return (
        Cut(
            name="vertex",
            keep=partial(_in_regions, numbers=REGIONS[region]),
            reason="inside the beam pipe, or in the drift chamber",
        ),
        _least("impact parameters", "impact_min", "impact", "two tracks from the beams that happen to cross"),
        _least("transverse momenta", "pt_min_lab", "track_pt", "tracks that curl up"),
        _least(
            "distance over its error", "radius_significance", "significance", "pairs from the beams with a badly known vertex"
        ),
        _least("away from material", "material_significance", "significance_material", "conversions, hadrons that interact"),
        _least("opening angle", "opening_angle", "opening_angle", "photons that convert"),
        Cut(
            name="pair in one direction",
            keep=partial(_below, name="opening_angle", most=float(NUMBERS["opening_angle_most"])),
            reason="tracks of two taus that fly apart and seem to meet",
        ),
        _veto("no K_S", "kshort", "K_S to two pions"),
        _veto("no conversion", "conversion", "photons in material"),
    )


def cuts(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection of a photon and a displaced pair."""
    return _photon_cut(), *_pair_cuts(str(choices["region"]))


def _kind(columns: Columns, number: float) -> Mask:
    return np.asarray(columns["kind"] == number)


def cuts_beside_higgs(choices: Values, dataset: Dataset) -> tuple[Cut, ...]:
    """The selection of two vertices, at least one of them displaced, and something missing."""
    return _higgs_cuts(float(list(KINDS).index(str(choices["hprime_decay"]))))


@cache
def _higgs_cuts(number: float) -> tuple[Cut, ...]:
    extra = float(NUMBERS["extra_energy"])
    return (
        Cut(name="kind of pair", keep=partial(_kind, number=number), reason="what the dark Higgs boson decays to"),
        _least("distance over its error", "significance_max", "significance", "vertices at the beams that are badly known"),
        _least("impact parameters", "impact_displaced", "impact", "two tracks from the beams that happen to cross"),
        Cut(name="extra energy", keep=partial(_below, name="extra_energy", most=extra), reason="hadrons and radiation"),
        _least("missing energy", "missing_energy_cms", "missing_energy", "four tracks and nothing else"),
        _least("mass of the electrons", "ee_m_ee", "least_pair_mass", "photons that convert"),
        _least("mass of the other pair", "h_m_ee", "least_pair_mass", "photons that convert"),
        _veto("no K_S", "h_kshort", "K_S to two pions"),
        _veto("no K_S among electrons", "ee_kshort", "K_S to two pions, both taken for electrons"),
    )


def centre_beside_higgs(values: Values) -> tuple[float, float]:
    """Where the signal peaks: mass of the dark Higgs boson [GeV]; the distance from the beams can be any."""
    return float(values["m_hprime"]), 0.0


def anywhere(mass: Array, _distance: Array, dataset: Dataset) -> Array:
    """Whether a pair can have this mass [GeV], bool like the input."""
    return np.asarray((mass > 0.0) & (mass < dataset.detector.beams.sqrt_s))


def single_cuts(choices: Values, dataset: Dataset, part: str) -> tuple[Cut, ...]:
    """The selection of a photon and nothing else: that of the search for an invisible dark photon."""
    return SINGLE.variants[part].cuts({"klm_veto": "on", "calibration": "simulated"}, dataset)


def centre(values: Values) -> tuple[float, float]:
    """Where the signal peaks: squared recoil mass [GeV^2]; the distance from the beams [cm] can be any."""
    return float(values["m_aprime"]) ** 2, 0.0


def physical(recoil_mass_squared: Array, _radius: Array, dataset: Dataset) -> Array:
    """Whether a photon that is selected can have this squared recoil mass [GeV^2], bool like the input."""
    root = dataset.detector.beams.sqrt_s
    return np.asarray(recoil_mass_squared < root * (root - 2.0 * float(NUMBERS["photon_energy"])))


def systematics(values: Values) -> tuple[Systematic, ...]:
    """Systematic uncertainties of the signature."""
    return select_systematics(NUMBERS, str(values["signature"]))


def overlays(values: Values) -> tuple[Overlay, ...]:
    """The thermal target of a pseudo-Dirac pair with a small splitting, on epsilon, for the mass and coupling chosen."""
    m1, m2, _ = masses(values)
    x = np.geomspace(m1 + m2, float(NUMBERS["sqrt_s"]), 60)
    found = relic_epsilon(x, m1, float(values["alpha_d"]))
    if not np.isfinite(found).all():
        return ()
    return (Overlay(label="thermal target, small splitting", quantity="epsilon", masses=tuple(x), high=tuple(found),
                    source="pseudo-Dirac, rescaled with the propagator"),)  # fmt: skip


def _dataset(name: str, title: str, lines: tuple[str, ...], fit: Fit | None = None) -> Dataset:
    return Dataset(name=name, title=title, detector=BELLE2, luminosity=NUMBERS[f"luminosity_{name}"], lines=lines, fit=fit,
                   sqrt_s=float(NUMBERS["sqrt_s"]), cl=float(NUMBERS["cl"]), method="cls", alpha="thomson")  # fmt: skip


def _datasets(lines: tuple[str, ...], fit: Fit | None = None) -> dict[str, Dataset]:
    both = (
        _dataset("belle2_365", "Belle II Run 1", lines, fit),
        _dataset("belle2_50000", "Belle II, a projection to 50 ab-1", lines, fit),
    )
    return {dataset.name: dataset for dataset in both}


def _beside_higgs() -> dict[str, Any]:
    """A dark Higgs boson in the place of the photon."""
    window = IntervalWindow(x="m_hprime", y="h_log10_radius", n_sigma=float(NUMBERS["window_widths_higgs"]), y_range=_DECADES,
                            centre=centre_beside_higgs, physical=anywhere)  # fmt: skip
    return {"template": "dark_higgs_displaced", "window": window, "cuts": cuts_beside_higgs, "generate": generate_beside_higgs,
            "datasets": _datasets(HIGGS_LINES), "lifetimes": lifetimes_beside_higgs, "approximations": BESIDE_HIGGS}  # fmt: skip


def _single_variants() -> dict[str, dict[str, Any]]:
    """Single photons of low, middle and high masses, from the search for them."""
    found: dict[str, dict[str, Any]] = {}
    for part, other in SINGLE.variants.items():
        model = other.default_dataset
        found[f"{MONOPHOTON}_{part}"] = {
            "template": other.template, "window": other.window, "cuts": partial(single_cuts, part=part),
            "generate": generate_photon, "datasets": _datasets(model.lines, model.fit), "kept": escaping, "lifetimes": prompt,
            "approximations": ESCAPED,
        }  # fmt: skip
    return found


_BASE = Search(
    name="inelastic_dark_matter",
    title="Inelastic dark matter",
    channel=r"e^+e^- \to \gamma A',\quad A' \to \chi_1\chi_2,\quad \chi_2 \to \chi_1 \ell^+\ell^-",
    model="inelastic_dark_matter",
    summary="A photon, a pair of tracks from a displaced vertex, and missing energy; or a photon alone.",
    parameters=(
        Parameter(name="m_aprime", symbol="m_{A'}", unit="GeV", default=3.0, low=0.03, high=10.2, simulates=True,
                  help="mass of the dark photon"),
        Parameter(name="m_chi1", symbol=r"m_{\chi_1}", unit="GeV", default=1.0, low=0.01, high=5.1, simulates=True,
                  help="mass of the lighter state, the dark matter"),
        Parameter(name="splitting", symbol=r"\Delta/m_{\chi_1}", unit="", default=0.4, low=0.01, high=1.0, simulates=True,
                  help="mass difference of the two states over the mass of the lighter one"),
        Parameter(name="epsilon", symbol=r"\varepsilon", unit="", default=1e-3, low=1e-7, high=1.0, scale="log",
                  help="kinetic mixing: production, and decay of the heavier state"),
        Parameter(name="alpha_d", symbol=r"\alpha_D", unit="", default=0.1, low=1e-6, high=1.0, scale="log",
                  help="coupling to dark matter"),
        Parameter(name="signature", symbol="", unit="", default=DISPLACED, choices=(DISPLACED, MONOPHOTON), simulates=True,
                  help="a displaced pair beside the photon, or nothing beside it"),
        Parameter(name="region", symbol="", unit="", default="both", choices=tuple(REGIONS), simulates=True,
                  help="vertices inside the beam pipe (inner), in the drift chamber (outer), or both"),
        Parameter(name="production", symbol="", unit="", default=PHOTON, choices=(PHOTON, HIGGS), simulates=True,
                  help="what is made beside the dark photon: a photon, or a dark Higgs boson that is seen as well"),
        Parameter(name="m_hprime", symbol="m_{h'}", unit="GeV", default=1.0, low=0.01, high=10.0, simulates=True,
                  help="mass of the dark Higgs boson"),
        Parameter(name="hprime_decay", symbol="", unit="", default="mumu", choices=tuple(HIGGS_DECAYS), simulates=True,
                  help="pair that the dark Higgs boson is seen in"),
        Parameter(name="sin_theta", symbol=r"\sin\theta", unit="", default=1e-4, low=1e-8, high=1.0, scale="log",
                  help="mixing of the dark Higgs boson: its lifetime"),
        *common_parameters(_datasets(DISPLACED_LINES)),
    ),
    datasets=_datasets(DISPLACED_LINES),
    numbers=NUMBERS,
    template="displaced_photon",
    generate=generate,
    closed=closed,
    cross_section=signal_cross_section,
    branching_fraction=branching_fraction,
    width=width,
    cuts=cuts,
    window=IntervalWindow(x="recoil_mass_squared", y="radius", n_sigma=float(NUMBERS["window_widths"]), y_range=(0.0, _FARTHEST),
                          centre=centre, physical=physical),
    systematics=systematics,
    couplings=(
        Coupling(name="epsilon", symbol=r"\varepsilon", unit="", power=2.0, rate=unit_rate, competes=True,
                 high=float(NUMBERS["perturbative_limit"])),
        Coupling(name="y", symbol="y", unit="", power=1.0, rate=unit_rate_of_y, competes=True,
                 high=float(NUMBERS["perturbative_limit_y"])),
    ),
    quantity="sigma x BR",
    unit="fb",
    approximations=APPROXIMATIONS,
    references=tuple(NUMBERS.references[key] for key in ("Duerr:2019dmv", "BelleII:2025idm", "Duerr:2020muu")),
    overlays=overlays,
    idle=idle,
    lifetimes=lifetimes,
)  # fmt: skip

SEARCH = with_variants(_BASE, variant, {DISPLACED: {}, HIGGS: _beside_higgs(), **_single_variants()})
