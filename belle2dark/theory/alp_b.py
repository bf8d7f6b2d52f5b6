"""An axion-like particle with equal couplings to all fermions: B -> K a and B -> K* a, decay widths, lifetime.

The coupling is (C / 2 Lambda) d_mu a f gamma^mu gamma_5 f for every quark and lepton f at the scale ``uv_scale``, which for
decays is a Yukawa coupling C m_f / Lambda, as in :mod:`.leptophilic`; there are none to gauge bosons. b -> s a is one loop of
top quarks and W bosons with its logarithm of the scale, not resummed. Hadrons are approximate: gluons and quarks as soon as the
lightest three mesons are open, nothing below; between 0.8 and 2 GeV that is an order of magnitude and no more.

Not included: mixing with pi0, eta and eta', light quarks in the loop to photons, decays to baryons, couplings that differ.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import ALPHA, HBAR_C, HIGGS_VEV, M_ELECTRON, M_MUON, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory.dark_higgs import MODES, form_factor, meson_momentum, running_mass, top_mass
from belle2dark.theory.leptophilic import TEV, axion_loop, pseudoscalar_to_fermions
from belle2dark.theory.models import Channel, Couplings, Model
from belle2dark.theory.r_ratio import alpha_s

Array = NDArray[np.float64]
NUMBERS = load_numbers("dark_higgs")
#: below this scale [GeV] the strong coupling is held
_HELD = 1.0
_HEAVY = (("charm", 2.0 / 3.0), ("bottom", -1.0 / 3.0))
_LEPTONS = {"ee": (M_ELECTRON, "e^+e^-"), "mumu": (M_MUON, r"\mu^+\mu^-"), "tautau": (M_TAU, r"\tau^+\tau^-")}


def _scale(couplings: Couplings) -> Array:
    """(C / Lambda)^2 [GeV^-2]."""
    return (np.asarray(couplings["c_over_lambda"], dtype=float) / TEV) ** 2


def flavour_coupling(scheme: str = "on_shell") -> float:
    """Coupling of d_mu a s_L gamma^mu b_L over C / Lambda, a pure number. Raises ``ValueError`` for an unknown scheme.

    Source: Bauer et al., arXiv:2012.12272, section 5: top quarks and W bosons, equal and opposite couplings of both chiralities.
    """
    m_t = top_mass(scheme)
    x = (m_t / float(NUMBERS["w_mass"])) ** 2
    box = (1.0 - x + np.log(x)) / (1.0 - x) ** 2
    loop = 0.5 * np.log((float(NUMBERS["uv_scale"]) / m_t) ** 2) - 0.25 - 1.5 * box
    yukawa_squared = 2.0 * (m_t / HIGGS_VEV) ** 2
    return float(yukawa_squared / (16.0 * np.pi**2) * loop * float(NUMBERS["v_tb"]) * float(NUMBERS["v_ts"]))


def production_branching_fraction(mass: ArrayLike, mode: str = "kplus", scheme: str = "on_shell") -> Array:
    """B(B+ -> K+ a) or B(B0 -> K*0 a) at C / Lambda = 1 / TeV, ``mass`` [GeV], shape of it; all decays of the K*0.

    Raises ``ValueError`` for an unknown mode or scheme. Source: Izaguirre, Lin, Shuve, arXiv:1611.09355, eqs. (5) and (6).
    """
    p = meson_momentum(mass, mode)
    m_b, m_k, ctau = MODES[mode]
    factor = form_factor(mode, np.minimum(np.asarray(mass, dtype=float), m_b - m_k) ** 2)
    root = 2.0 * p / m_b
    phase_space = root * (1.0 - (m_k / m_b) ** 2) ** 2 if mode == "kplus" else root**3
    width = m_b**3 * (flavour_coupling(scheme) / TEV) ** 2 / (64.0 * np.pi) * factor**2 * phase_space
    return np.asarray(width * ctau / HBAR_C)


def _to_leptons(mass: Array, couplings: Couplings, m_lepton: float) -> Array:
    return pseudoscalar_to_fermions(mass, m_lepton, m_lepton**2 * _scale(couplings))


def _to_photons(mass: Array, couplings: Couplings) -> Array:
    """Source: Bauer, Neubert, Thamm, arXiv:1708.00443, with leptons and heavy quarks in the loop."""
    charged = [(m, 1.0) for m, _ in _LEPTONS.values()] + [(float(NUMBERS[f"{n}_pole_mass"]), 3.0 * q**2) for n, q in _HEAVY]
    loops = sum(weight * axion_loop((mass / (2.0 * m)) ** 2) for m, weight in charged)
    return np.asarray(ALPHA["thomson"] ** 2 * mass**3 / (64.0 * np.pi**3) * _scale(couplings) * np.abs(loops) ** 2)


def _to_gluons(mass: Array, couplings: Couplings) -> Array:
    """Width to gluons as soon as eta pi pi is open, squared phase space there.

    Source: Bauer, Neubert, Thamm, arXiv:1708.00443, with three light quarks, charm and bottom in the loop.
    """
    mass = np.asarray(mass, dtype=float)
    a = alpha_s(np.maximum(mass, _HELD))
    loops = 3.0 + sum(axion_loop((mass / (2.0 * float(NUMBERS[f"{n}_pole_mass"]))) ** 2) for n, _ in _HEAVY)
    opening = np.clip(1.0 - (float(NUMBERS["gluons_open"]) / mass) ** 2, 0.0, None) ** 2
    full = a**2 * mass**3 / (32.0 * np.pi**3) * np.abs(loops) ** 2 * (1.0 + 83.0 / 4.0 * a / np.pi)
    return np.asarray(full * opening * _scale(couplings))


def _to_quarks(mass: Array, couplings: Couplings, flavour: str) -> Array:
    name = {"s": "strange", "c": "charm"}[flavour]
    running = running_mass(np.maximum(mass, _HELD), flavour)
    opens = 0.5 * float(NUMBERS[f"{name}_mesons_open"])
    return 3.0 * pseudoscalar_to_fermions(mass, opens, running**2 * _scale(couplings))


def _production(couplings: Couplings) -> Array:
    return np.asarray(couplings["c_over_lambda"], dtype=float) ** 2


FERMION_ALP = Model(
    name="alp_fermion",
    title="Axion-like particle with equal couplings to fermions",
    mass="m_s",
    reference_couplings=(("c_over_lambda", 1.0),),
    channels=(
        *(Channel(name=n, symbol=s, width=partial(_to_leptons, m_lepton=m)) for n, (m, s) in _LEPTONS.items()),
        Channel(name="gammagamma", symbol=r"\gamma\gamma", width=_to_photons),
        Channel(name="gg", symbol="gg", width=_to_gluons),
        *(Channel(name=2 * q, symbol=rf"{q}\bar {q}", width=partial(_to_quarks, flavour=q)) for q in ("s", "c")),
    ),
    production_scale=_production,
    references=tuple(NUMBERS.references[key] for key in ("Izaguirre:2016dfi", "Bauer:2020jbp", "Bauer:2017ris")),
)
