"""A scalar S that mixes with the Higgs boson: production in B -> K S and B -> K* S, decay widths, lifetime.

:func:`production_branching_fraction` is one top loop at zero external momenta; the ``scheme`` of the top mass moves it by a
fifth, and with it what two publications quote. :data:`DARK_HIGGS` holds two sets of decay widths, whose difference is the
theory's uncertainty: ``winkler`` (dispersive tables for two pions and kaons below 2 GeV, lowest order for gluons above) and
``chiral`` (chiral perturbation theory to 1 GeV, gluons with their first correction above 2 GeV, straight lines in logarithms
between). Use ``DARK_HIGGS[widths].ctau(mass, {"sin_theta": ...})``.

Not included: two photons (less than 1e-3 but below two electron masses), bound states of charm, decays to exclusive pairs of
mesons above 2 GeV (there widths are those of quarks and gluons), other final states of b -> s S.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from belle2dark.constants import (
    CTAU_B0,
    CTAU_BPLUS,
    HBAR_C,
    HIGGS_VEV,
    M_B0,
    M_BPLUS,
    M_D0,
    M_ELECTRON,
    M_KAON,
    M_KSHORT,
    M_KSTAR0,
    M_MUON,
    M_PION,
    M_TAU,
)
from belle2dark.sourced import load_numbers, nearest
from belle2dark.theory.leptophilic import scalar_loop, scalar_to_fermions
from belle2dark.theory.models import Channel, Couplings, Model
from belle2dark.theory.r_ratio import alpha_s

Array = NDArray[np.float64]
NUMBERS = load_numbers("dark_higgs")
#: kaon side: masses of B and kaon [GeV], proper decay length of the B [cm]
MODES = MappingProxyType({"kplus": (M_BPLUS, M_KAON, CTAU_BPLUS), "kstar0": (M_B0, M_KSTAR0, CTAU_B0)})
#: which top mass: the pole's, or the running one at its own scale
SCHEMES = ("on_shell", "running")
WIDTHS = ("winkler", "chiral")
#: where quarks and gluons begin [GeV]
PERTURBATIVE = float(NUMBERS["perturbative_from"])
_FLAVOURS = 4
_PIONS, _KAONS = ("pipi", "pi0pi0"), ("kk", "k0k0")


def _known(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name} = {value!r}: allowed: {', '.join(known)}; nearest: {nearest(value, known)}")
    return value


def top_mass(scheme: str) -> float:
    """Top mass [GeV] of a scheme; raises ``ValueError`` for an unknown one."""
    return float(NUMBERS[f"top_mass_{_known('scheme', scheme, SCHEMES)}"])


def loop_coupling(scheme: str) -> float:
    """Coupling xi of S to b and s (L = xi m_b/v S s_L b_R at sin(theta) = 1), a pure number.

    Source: 3 sqrt(2) G_F m_t^2 |V_tb V_ts| / (16 pi^2), Boiarska et al., arXiv:1904.10447, eq. (2.12).
    """
    ckm = float(NUMBERS["v_tb"]) * float(NUMBERS["v_ts"])
    return 3.0 * np.sqrt(2.0) * float(NUMBERS["fermi_constant"]) * top_mass(scheme) ** 2 * ckm / (16.0 * np.pi**2)


def form_factor(mode: str, q2: ArrayLike) -> Array:
    """f_0 (``kplus``) or A_0 (``kstar0``) at q^2 [GeV^2], shape of ``q2``."""
    q2 = np.asarray(q2, dtype=float)
    if _known("mode", mode, tuple(MODES)) == "kplus":
        return float(NUMBERS["f0_at_0"]) / (1.0 - q2 / float(NUMBERS["f0_pole"]))
    first, second = NUMBERS["a0_residues"].values
    return first / (1.0 - q2 / M_BPLUS**2) + second / (1.0 - q2 / float(NUMBERS["a0_pole"]))


def meson_momentum(mass: ArrayLike, mode: str) -> Array:
    """Momentum [GeV] of a particle of ``mass`` [GeV] in B -> K(*) at rest of the B, 0 where it is too heavy."""
    m_b, m_k, _ = MODES[_known("mode", mode, tuple(MODES))]
    m = np.asarray(mass, dtype=float)
    root = (m_b**2 - (m + m_k) ** 2) * (m_b**2 - (m - m_k) ** 2)
    return np.sqrt(np.where(m + m_k < m_b, root, 0.0)) / (2.0 * m_b)


def production_branching_fraction(mass: ArrayLike, mode: str = "kplus", scheme: str = "on_shell") -> Array:
    """B(B+ -> K+ S) or B(B0 -> K*0 S) at sin(theta) = 1, ``mass`` [GeV], shape of it; all decays of the K*0.

    Raises ``ValueError`` for an unknown mode or scheme. Source: Boiarska et al., arXiv:1904.10447, eqs. (2.17) to (2.21).
    """
    m_b, m_k, ctau = MODES[_known("mode", mode, tuple(MODES))]
    m = np.asarray(mass, dtype=float)
    p = meson_momentum(m, mode)
    current = 0.5 * (m_b**2 - m_k**2) if mode == "kplus" else m_b * p
    amplitude = loop_coupling(scheme) / HIGGS_VEV * current * form_factor(mode, np.minimum(m, m_b - m_k) ** 2)
    return np.asarray(amplitude**2 * p / (8.0 * np.pi * m_b**2) * ctau / HBAR_C)


def _mixing(couplings: Couplings) -> Array:
    return np.asarray(couplings["sin_theta"], dtype=float) ** 2


def _to_leptons(mass: Array, couplings: Couplings, m_lepton: float) -> Array:
    """Source: sin^2(theta) m_l^2 m_S beta^3 / (8 pi v^2), standard."""
    return scalar_to_fermions(mass, m_lepton, _mixing(couplings) * (m_lepton / HIGGS_VEV) ** 2)


def _velocity(mass: Array, m_daughter: float) -> Array:
    return np.sqrt(np.clip(1.0 - (2.0 * m_daughter / mass) ** 2, 0.0, None))


@cache
def _table(pair: str) -> PchipInterpolator:
    """Logarithm of the width [GeV] over the velocity at sin(theta) = 1 in that of the mass [GeV]."""
    m = np.array(NUMBERS[f"{pair}_mass"].values)
    daughter = {"pipi": M_PION, "kk": M_KAON}[pair]
    return PchipInterpolator(np.log(m), np.log(np.array(NUMBERS[f"{pair}_width"].values) / _velocity(m, daughter)))


def _dispersive(mass: Array, pair: str) -> Array:
    """Width [GeV] at sin(theta) = 1 of the table, all charges: beyond its ends the last value times the velocity."""
    table = _table(pair)
    inside = np.exp(table(np.clip(np.log(mass), table.x[0], table.x[-1])))
    return np.asarray(inside * _velocity(mass, {"pipi": M_PION, "kk": M_KAON}[pair]))


def _chiral(mass: Array, pair: str) -> Array:
    """Width [GeV] at sin(theta) = 1 at leading order of chiral perturbation theory, all charges.

    Source: Donoghue, Gasser, Leutwyler, Nucl. Phys. B 343 (1990) 341, as in Winkler, arXiv:1809.01876, eqs. (13) to (18).
    """
    m, factor = (M_PION, 3.0 / 32.0) if pair == "pipi" else (M_KAON, 1.0 / 8.0)
    amplitude = 2.0 / 9.0 * mass**2 + 11.0 / 9.0 * m**2
    return np.asarray(factor / (np.pi * HIGGS_VEV**2 * mass) * _velocity(mass, m) * amplitude**2)


def gluon_width(mass: ArrayLike, corrected: bool = False) -> Array:
    """Width [GeV] to two gluons at sin(theta) = 1, ``mass`` [GeV] of 1 or more; ``corrected`` at the next order.

    Source: Djouadi, hep-ph/0503172, eqs. (2.45) and (2.53), top, bottom and charm in the loop with pole masses.
    """
    m = np.asarray(mass, dtype=float)
    quarks = (float(NUMBERS["charm_pole_mass"]), float(NUMBERS["bottom_pole_mass"]), top_mass("on_shell"))
    loops = sum(scalar_loop((m / (2.0 * q)) ** 2) for q in quarks)
    a = alpha_s(m)
    more = 1.0 + (95.0 / 4.0 - 7.0 / 6.0 * _FLAVOURS) * a / np.pi if corrected else 1.0
    return np.asarray(more * np.abs(loops) ** 2 * (a / (4.0 * np.pi)) ** 2 * m**3 / (8.0 * np.pi * HIGGS_VEV**2))


def running_mass(scale: ArrayLike, flavour: str) -> Array:
    """MS-bar mass [GeV] of the strange (``s``) or charm (``c``) quark at ``scale`` [GeV] of 1 or more, four flavours.

    Source: Djouadi, hep-ph/0503172, eq. (1.88).
    """
    start, at = (float(NUMBERS["strange_mass"]), 2.0) if flavour == "s" else (float(load_numbers("r_ratio")["m_charm"]),) * 2

    def evolution(mu: ArrayLike) -> Array:
        x = alpha_s(mu) / np.pi
        return np.asarray((25.0 / 6.0 * x) ** (12.0 / 25.0) * (1.0 + 1.014 * x + 1.389 * x**2))

    return start * evolution(scale) / evolution(at)


def quark_width(mass: ArrayLike, flavour: str) -> Array:
    """Width [GeV] to a pair of strange (``s``) or charm (``c``) quarks at sin(theta) = 1, ``mass`` [GeV] of 1 or more.

    Thresholds are those of the lightest mesons. Source: Djouadi, hep-ph/0503172, eqs. (2.11) to (2.13).
    """
    m = np.asarray(mass, dtype=float)
    m_q, x, meson = running_mass(m, flavour), alpha_s(m) / np.pi, {"s": M_KAON, "c": M_D0}[flavour]
    strong = 5.67 * x + (35.94 - 1.36 * _FLAVOURS) * x**2 + (164.14 - 25.77 * _FLAVOURS + 0.259 * _FLAVOURS**2) * x**3
    top = x**2 * (1.57 - 4.0 / 3.0 * np.log(m / top_mass("on_shell")) + 4.0 / 9.0 * np.log(m_q / m) ** 2)
    return np.asarray(3.0 * m * (m_q / HIGGS_VEV) ** 2 / (8.0 * np.pi) * _velocity(m, meson) ** 3 * (1.0 + strong + top))


def _above(mass: Array, width: Callable[[Array], Array]) -> Array:
    """A width at the masses from PERTURBATIVE on, 0 below."""
    return np.asarray(np.where(mass >= PERTURBATIVE, width(np.maximum(mass, PERTURBATIVE)), 0.0))


@cache
def _hadrons_at_match(corrected: bool) -> float:
    """Hadronic width [GeV] at PERTURBATIVE from quarks and gluons."""
    return float(gluon_width(PERTURBATIVE, corrected) + quark_width(PERTURBATIVE, "s"))


@cache
def _many_coefficient() -> float:
    """Coefficient [1/GeV^2] of more than two mesons that makes the width continuous at PERTURBATIVE."""
    two = sum(float(_dispersive(np.array(PERTURBATIVE), pair)) for pair in ("pipi", "kk"))
    return (_hadrons_at_match(False) - two) / float(PERTURBATIVE**3 * _velocity(np.array(PERTURBATIVE), 2.0 * M_PION))


def _mesons_winkler(mass: Array) -> dict[str, Array]:
    """Widths [GeV] to two pions, two kaons and more mesons below PERTURBATIVE.

    Source: Winkler, arXiv:1809.01876, eq. (22) for more mesons: C m^3 and the velocity of two pairs of pions.
    """
    more = _many_coefficient() * mass**3 * _velocity(mass, 2.0 * M_PION)
    return {"pipi": _dispersive(mass, "pipi"), "kk": _dispersive(mass, "kk"), "mesons": more}


def _mesons_chiral(mass: Array) -> dict[str, Array]:
    """The same from chiral perturbation theory, from its end to PERTURBATIVE a straight line in logarithms."""
    top = float(NUMBERS["chiral_to"])
    two = {pair: _chiral(mass, pair) for pair in ("pipi", "kk")}
    low = float(sum(_chiral(np.array(top), pair) for pair in two))
    along = np.clip(np.log(mass / top) / np.log(PERTURBATIVE / top), 0.0, 1.0)
    total = np.where(mass <= top, two["pipi"] + two["kk"], low * (_hadrons_at_match(True) / low) ** along)
    pairs = (1.0 - along * (1.0 - float(NUMBERS["two_body_share"]))) * total
    shares = np.maximum(two["pipi"] + two["kk"], 1e-300)
    return {name: pairs * width / shares for name, width in two.items()} | {"mesons": total - pairs}


_MESONS = {"winkler": _mesons_winkler, "chiral": _mesons_chiral}


def _to_mesons(mass: Array, couplings: Couplings, widths: str, channel: str) -> Array:
    """Width [GeV] of one charge state below PERTURBATIVE: two of three pion pairs are charged, kaon pairs as velocities are."""
    mass = np.asarray(mass, dtype=float)
    pair = "pipi" if channel in _PIONS else "kk" if channel in _KAONS else "mesons"
    charged, neutral = _velocity(mass, M_KAON), _velocity(mass, M_KSHORT)
    of_kaons = charged / np.maximum(charged + neutral, 1e-300)
    shares = {"pipi": 2.0 / 3.0, "pi0pi0": 1.0 / 3.0, "kk": of_kaons, "k0k0": 1.0 - of_kaons, "mesons": 1.0}
    found = _MESONS[widths](np.minimum(mass, PERTURBATIVE))[pair]
    return np.asarray(_mixing(couplings) * np.asarray(shares[channel]) * np.where(mass < PERTURBATIVE, found, 0.0))


def _to_gluons(mass: Array, couplings: Couplings, corrected: bool) -> Array:
    return _mixing(couplings) * _above(mass, partial(gluon_width, corrected=corrected))


def _to_quarks(mass: Array, couplings: Couplings, flavour: str) -> Array:
    return _mixing(couplings) * _above(mass, partial(quark_width, flavour=flavour))


def _model(widths: str) -> Model:
    leptons = {"ee": (M_ELECTRON, "e^+e^-"), "mumu": (M_MUON, r"\mu^+\mu^-"), "tautau": (M_TAU, r"\tau^+\tau^-")}
    mesons = {"pipi": r"\pi^+\pi^-", "pi0pi0": r"\pi^0\pi^0", "kk": "K^+K^-", "k0k0": r"K^0\bar K^0", "mesons": "4\\pi, ..."}
    return Model(
        name="dark_higgs",
        title="Dark Higgs boson",
        mass="m_s",
        reference_couplings=(("sin_theta", 1.0),),
        channels=(
            *(Channel(name=n, symbol=s, width=partial(_to_leptons, m_lepton=m)) for n, (m, s) in leptons.items()),
            *(Channel(name=n, symbol=s, width=partial(_to_mesons, widths=widths, channel=n)) for n, s in mesons.items()),
            Channel(name="gg", symbol="gg", width=partial(_to_gluons, corrected=widths == "chiral")),
            *(Channel(name=2 * q, symbol=rf"{q}\bar {q}", width=partial(_to_quarks, flavour=q)) for q in ("s", "c")),
        ),
        production_scale=_mixing,
        references=tuple(NUMBERS.references[key] for key in ("Winkler:2018qyg", "Boiarska:2019jym")),
    )


#: the model with each set of widths
DARK_HIGGS = MappingProxyType({widths: _model(widths) for widths in WIDTHS})
