"""Vector mediators by their charges: dark photon, B - L, differences of lepton numbers, and your own.

A :class:`Vector` is a list of charges and the name of its coupling; :func:`vector_model` turns it into a
:class:`belle2dark.theory.models.Model`, with decays to dark matter (:class:`DarkMatter`) if there is any, and
:func:`rate_factor` says how often electrons make it, relative to a dark photon. With those two every limit on one vector is
a limit on all of them:

    mine = Vector(name="mine", title="Mine", coupling="g", symbol="g", charges=Charges(e=1.0, mu=-2.0, nu_e=1.0, nu_mu=-2.0))
    vector_model(mine).branching_fraction("mumu", 4.0), rate_factor(mine)

Hadrons: R of e+e- is split into parts like the rho, the omega and the phi, each scaled with the charges of its quarks
(U(3) flavour symmetry). Exact for charges proportional to the electric ones. For others approximate: below
1.1 GeV the parts are three resonances without interference, above 1.8 GeV they are quark counting, in between straight
lines; charm and bottom count from their thresholds. Right to about a factor of two between 1 and 2 GeV, 20 % above.

Not included: kinetic mixing from loops, right-handed neutrinos, anomalies and what cancels them, axial couplings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import (
    ALPHA,
    M_B0,
    M_D0,
    M_ELECTRON,
    M_KAON,
    M_MUON,
    M_OMEGA,
    M_PHI,
    M_PION,
    M_RHO,
    M_TAU,
    WIDTH_OMEGA,
    WIDTH_PHI,
    WIDTH_RHO,
)
from belle2dark.sourced import load_numbers, nearest
from belle2dark.theory.dark_matter import DarkMatter
from belle2dark.theory.models import Channel, Couplings, Model, vector_to_fermions
from belle2dark.theory.r_ratio import r_ratio

Array = NDArray[np.float64]

#: coupling of a unit charge at epsilon = 1
ELECTRIC = float(np.sqrt(4.0 * np.pi * ALPHA["thomson"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """Vector charges of leptons (neutrinos: left-handed ones only) and quarks, 0 where not given.

    Raises ``ValueError`` for a charge that is not finite or if all are 0.
    """

    e: float = 0.0
    mu: float = 0.0
    tau: float = 0.0
    nu_e: float = 0.0
    nu_mu: float = 0.0
    nu_tau: float = 0.0
    u: float = 0.0
    d: float = 0.0
    s: float = 0.0
    c: float = 0.0
    b: float = 0.0

    def __post_init__(self) -> None:
        values = [getattr(self, field.name) for field in fields(self)]
        if not np.all(np.isfinite(values)) or not np.any(values):
            raise ValueError(f"{self}: charges must be finite, and one of them not 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A vector mediator: its ``charges``, and its ``coupling``'s name and LaTeX ``symbol``.

    ``unit`` is the coupling of a unit charge where the coupling is 1: 1 for a gauge coupling, e for epsilon.
    """

    name: str
    title: str
    coupling: str
    symbol: str
    charges: Charges
    unit: float = 1.0

    def squared(self, couplings: Couplings) -> Array:
        """g^2 of a unit charge."""
        return np.asarray(couplings[self.coupling], dtype=float) ** 2 * self.unit**2


def _baryons_minus_leptons() -> Charges:
    leptons = dict.fromkeys(("e", "mu", "tau", "nu_e", "nu_mu", "nu_tau"), -1.0)
    return Charges(**leptons, **dict.fromkeys(("u", "d", "s", "c", "b"), 1.0 / 3.0))


DARK_PHOTON = Vector(
    name="dark_photon", title="Dark photon, kinetic mixing", coupling="epsilon", symbol=r"\varepsilon", unit=ELECTRIC,
    charges=Charges(e=-1.0, mu=-1.0, tau=-1.0, u=2 / 3, d=-1 / 3, s=-1 / 3, c=2 / 3, b=-1 / 3),
)  # fmt: skip
B_MINUS_L = Vector(name="b_minus_l", title="Gauged B - L", coupling="g_bl", symbol="g_{B-L}", charges=_baryons_minus_leptons())
LE_LMU = Vector(name="le_lmu", title="Gauged L_e - L_mu", coupling="g_le_lmu", symbol=r"g_{L_e-L_\mu}",
                charges=Charges(e=1.0, nu_e=1.0, mu=-1.0, nu_mu=-1.0))  # fmt: skip
LE_LTAU = Vector(name="le_ltau", title="Gauged L_e - L_tau", coupling="g_le_ltau", symbol=r"g_{L_e-L_\tau}",
                 charges=Charges(e=1.0, nu_e=1.0, tau=-1.0, nu_tau=-1.0))  # fmt: skip
#: the built-in vectors by name
VECTORS: Mapping[str, Vector] = MappingProxyType({v.name: v for v in (DARK_PHOTON, B_MINUS_L, LE_LMU, LE_LTAU)})


def vector(name: str) -> Vector:
    """The built-in vector of that name; ``ValueError`` names the nearest."""
    if name not in VECTORS:
        raise ValueError(f"unknown vector model {name!r}; nearest: {nearest(name, VECTORS)}; known: {', '.join(VECTORS)}")
    return VECTORS[name]


def rate_factor(mediator: Vector) -> float:
    """Rate of e+e- -> gamma X at coupling 1 over that of a dark photon at epsilon = 1: (g_e / e)^2; 0 without electrons."""
    return (mediator.unit * mediator.charges.e / ELECTRIC) ** 2


def hadron_shares(mass: ArrayLike) -> dict[str, Array]:
    """Parts of R like "rho", "omega", "phi", "charm" and "bottom" at ``mass`` [GeV], each of its shape.

    They add up to 1 above two pions. Source: vector-meson dominance in U(3), Ilten et al., arXiv:1801.04847, section 2; where the
    resonances end and quark counting begins is a choice (``data/vector_models.yaml``).
    """
    m = np.asarray(mass, dtype=float)
    low, high = load_numbers("vector_models")["resonances_end"].values
    resonant = _resonances(m)
    total = np.maximum(sum(resonant.values()), 1e-300)
    weight = np.clip((m - low) / (high - low), 0.0, 1.0)
    # quark counting: 3 (q_u - q_d)^2 / 2, 3 (q_u + q_d)^2 / 2 and 3 q_s^2 for electric charges
    counted = {"rho": 3 / 2, "omega": 1 / 6, "phi": 1 / 3}
    light = {name: (1 - weight) * resonant[name] / total + weight * counted[name] / 2 for name in counted}
    heavy = {"charm": 4 / 3 * _open(m, M_D0), "bottom": 1 / 3 * _open(m, M_B0)}
    every = 2.0 + heavy["charm"] + heavy["bottom"]
    return {name: part * 2.0 / every for name, part in light.items()} | {name: part / every for name, part in heavy.items()}


def _open(m: Array, m_meson: float) -> Array:
    """Phase space v (3 - v^2)/2 of a pair that is open above two mesons."""
    v = np.sqrt(np.clip(1 - (2 * m_meson / m) ** 2, 0.0, 1.0))
    return np.asarray(v * (3 - v**2) / 2)


def _resonances(m: Array) -> dict[str, Array]:
    """R of rho, omega and phi as Breit-Wigner peaks: 9 s Gamma_ee Gamma / (alpha^2 ((s - M^2)^2 + M^2 Gamma^2)).

    rho and phi open in a P wave of two mesons, the omega at three pions.
    """
    electrons = load_numbers("vector_models")["electron_fractions"].values
    peaks: dict[str, Array] = {}
    for (name, peak, width, meson), electron in zip((("rho", M_RHO, WIDTH_RHO, M_PION), ("omega", M_OMEGA, WIDTH_OMEGA, None),
                                                      ("phi", M_PHI, WIDTH_PHI, M_KAON)), electrons, strict=True):  # fmt: skip
        s = m**2
        opened = np.where(m > 3 * M_PION, 1.0, 0.0) if meson is None else np.clip(
            (1 - (2 * meson / m) ** 2) / (1 - (2 * meson / peak) ** 2), 0.0, None) ** 1.5  # fmt: skip
        line = (s - peak**2) ** 2 + (peak * width) ** 2
        peaks[name] = 9 * s * electron * width**2 * opened / (ALPHA["thomson"] ** 2 * line)
    return peaks


def hadron_ratio(mass: ArrayLike, charges: Charges) -> Array:
    """Width into hadrons over that into massless leptons of charge 1 at ``mass`` [GeV], same shape.

    Raises ``ValueError`` beyond the table of R, unless no quark has a charge.
    """
    m = np.asarray(mass, dtype=float)
    q = charges
    # relative to the electric charges, for which all five are 1
    scale = {"rho": (q.u - q.d) ** 2, "omega": 9 * (q.u + q.d) ** 2, "phi": 9 * q.s**2, "charm": 9 / 4 * q.c**2,
             "bottom": 9 * q.b**2}  # fmt: skip
    if not any(scale.values()):
        return np.zeros_like(m)
    shares = hadron_shares(m)
    return np.asarray(r_ratio(m) * sum(scale[name] * shares[name] for name in scale))


def _lepton(mass: Array, couplings: Couplings, mediator: Vector, m_lepton: float, charge: float) -> Array:
    return vector_to_fermions(mass, m_lepton, charge**2 * mediator.squared(couplings))


def _hadrons(mass: Array, couplings: Couplings, mediator: Vector) -> Array:
    return vector_to_fermions(mass, 0.0, mediator.squared(couplings)) * hadron_ratio(mass, mediator.charges)


def _invisible(mass: Array, couplings: Couplings, mediator: Vector, dark: DarkMatter | None) -> Array:
    q = mediator.charges
    # one chirality: half of a massless charged lepton, for each flavour
    neutrinos = 0.5 * (q.nu_e**2 + q.nu_mu**2 + q.nu_tau**2) * vector_to_fermions(mass, 0.0, mediator.squared(couplings))
    return neutrinos + (dark.width(mass) if dark else 0.0)


def vector_model(mediator: Vector, dark: DarkMatter | None = None) -> Model:
    """The model of a vector: channels "ee", "mumu", "tautau", "hadrons" and "invisible" (neutrinos and ``dark`` matter).

    ``production`` is the square of its coupling; multiply by :func:`rate_factor` for gamma X.
    Source: widths into fermions are standard; hadrons as :func:`hadron_shares`.
    """
    q = mediator.charges
    leptons = (("ee", r"e^+e^-", M_ELECTRON, q.e), ("mumu", r"\mu^+\mu^-", M_MUON, q.mu),
               ("tautau", r"\tau^+\tau^-", M_TAU, q.tau))  # fmt: skip
    channels = [Channel(name=name, symbol=symbol, width=partial(_lepton, mediator=mediator, m_lepton=m, charge=charge))
                for name, symbol, m, charge in leptons]  # fmt: skip
    channels.append(Channel(name="hadrons", symbol=r"\mathrm{hadrons}", width=partial(_hadrons, mediator=mediator)))
    symbol = r"\nu\bar\nu, \chi\bar\chi" if dark else r"\nu\bar\nu"
    channels.append(Channel(name="invisible", symbol=symbol, width=partial(_invisible, mediator=mediator, dark=dark)))
    return Model(
        name=mediator.name,
        title=mediator.title,
        mass="m_aprime",
        reference_couplings=((mediator.coupling, 1.0),),
        channels=tuple(channels),
        production_scale=partial(_square, name=mediator.coupling),
        references=(load_numbers("r_ratio").references["Ilten:2018crw"],),
    )


def _square(couplings: Couplings, name: str) -> Array:
    return np.asarray(couplings[name], dtype=float) ** 2
