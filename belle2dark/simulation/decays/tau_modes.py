"""The decay modes of the tau: daughters, branching fractions, and the mass spectra of the hadrons.

A mode is chosen by name (``MODES``), by group (``GROUPS``: "1prong", "3prong", "leptons", "hadrons", "all") or as a tuple
of names. Prongs are charged particles from the tau vertex; pions of a K_S0 do not count. Modes with up to three pions or a
kaon and a pion have hadronic currents; the others (FLAT) have a spectral function of phase space times a resonance, and
of the spin only what the direction of all hadrons together shows, which is the same for every spin-1 current. Not
included: five-prong modes and others that add up to 0.3 %, omega and other resonances inside the FLAT modes.

Source: branching fractions from the PDG; form factors and a1 width of Kuehn and Santamaria, Z. Phys. C 48 (1990) 445.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np

from belle2dark.constants import M_ELECTRON, M_ETA, M_KAON, M_KSHORT, M_MUON, M_PION, M_PION0, M_TAU
from belle2dark.simulation.decays.tau_kernels import AXIAL, FLAT, LEPTON, MAX_BODIES, TWO_BODY, VECTOR, Modes
from belle2dark.simulation.decays.tau_spectra import parameters, spectrum
from belle2dark.simulation.events import Array
from belle2dark.sourced import load_numbers, nearest

CELLS = 1024  #: cells of the hadronic-mass tables
_CODES = {"e": 11, "mu": 13, "pi-": -211, "pi+": 211, "K-": -321, "K+": 321, "pi0": 111, "eta": 221, "K0": 311, "gamma": 22}
_MASSES = {11: M_ELECTRON, 13: M_MUON, 211: M_PION, 321: M_KAON, 111: M_PION0, 221: M_ETA, 311: M_KSHORT, 22: 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One mode of the tau-: kind of matrix element, visible daughters, and the resonance of its spectrum (or "")."""

    kind: int
    daughters: tuple[str, ...]
    resonance: str = ""

    @property
    def prongs(self) -> int:
        """Charged particles from the tau vertex."""
        return sum(name in ("e", "mu") or name[-1] in "+-" for name in self.daughters)

    @property
    def photons(self) -> int:
        """Photons of pi0, eta and radiative decays, and of both pi0 of every K_S0, at most."""
        return sum({"pi0": 2, "eta": 2, "gamma": 1, "K0": 4}.get(name, 0) for name in self.daughters)


def _mode(kind: int, daughters: str, resonance: str = "") -> Mode:
    return Mode(kind=kind, daughters=tuple(daughters.split()), resonance=resonance)


#: name -> mode of the tau-, in the order of the branching fractions in ``data/tau_decays.yaml``. Three-pion modes end
#: with the odd pion.
MODES = MappingProxyType({
    "e": _mode(LEPTON, "e"),
    "mu": _mode(LEPTON, "mu"),
    "pi": _mode(TWO_BODY, "pi-"),
    "K": _mode(TWO_BODY, "K-"),
    "rho": _mode(VECTOR, "pi- pi0", "rho"),
    "K_pi0": _mode(VECTOR, "K- pi0", "kstar"),
    "pi_K0": _mode(VECTOR, "pi- K0", "kstar"),
    "K_K0": _mode(VECTOR, "K- K0", "rho"),
    "3pi": _mode(AXIAL, "pi- pi- pi+", "a1"),
    "pi_2pi0": _mode(AXIAL, "pi0 pi0 pi-", "a1"),
    "pi_3pi0": _mode(FLAT, "pi- pi0 pi0 pi0", "rho_prime"),
    "pi_4pi0": _mode(FLAT, "pi- pi0 pi0 pi0 pi0"),
    "3pi_pi0": _mode(FLAT, "pi- pi- pi+ pi0", "rho_prime"),
    "3pi_2pi0": _mode(FLAT, "pi- pi- pi+ pi0 pi0"),
    "pi_pi0_gamma": _mode(FLAT, "pi- pi0 gamma", "rho_prime"),
    "pi_pi0_eta": _mode(FLAT, "pi- pi0 eta"),
    "K_2pi0": _mode(FLAT, "K- pi0 pi0", "k1"),
    "K_3pi0": _mode(FLAT, "K- pi0 pi0 pi0"),
    "pi_K0_pi0": _mode(FLAT, "pi- K0 pi0", "k1"),
    "K_K0_pi0": _mode(FLAT, "K- K0 pi0"),
    "pi_K0_2pi0": _mode(FLAT, "pi- K0 pi0 pi0"),
    "pi_2K0": _mode(FLAT, "pi- K0 K0"),
    "pi_2K0_pi0": _mode(FLAT, "pi- K0 K0 pi0"),
    "K_2pi": _mode(FLAT, "K- pi- pi+", "k1"),
    "2K_pi": _mode(FLAT, "K- K+ pi-"),
    "K_2pi_pi0": _mode(FLAT, "K- pi- pi+ pi0"),
    "3pi_K0": _mode(FLAT, "pi- pi- pi+ K0"),
})  # fmt: skip
#: decays to a lepton and an invisible particle, only made when asked for by name; branching fraction 1
ALPHA_MODES = MappingProxyType({"e_alpha": _mode(TWO_BODY, "e"), "mu_alpha": _mode(TWO_BODY, "mu")})
_ORDER = (*MODES, *ALPHA_MODES)
GROUPS = MappingProxyType({
    "all": tuple(MODES),
    "leptons": ("e", "mu"),
    "hadrons": tuple(name for name in MODES if name not in ("e", "mu")),
    "1prong": tuple(name for name, mode in MODES.items() if mode.prongs == 1),
    "3prong": tuple(name for name, mode in MODES.items() if mode.prongs == 3),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Alpha:
    """The invisible particle of tau -> l alpha: ``mass`` [GeV] and its vector and axial couplings (relative numbers).

    The coupling is d_mu alpha times (lepton gamma^mu (vector + axial gamma5) tau): (1, 0) and (0, 1) decay isotropically,
    (1, -1) like V-A, (1, 1) like V+A. Raises ``ValueError`` for a mass outside 0 to 1.776 GeV or without any coupling.
    """

    mass: float = 0.0
    vector: float = 1.0
    axial: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.mass <= 1.776:
            raise ValueError(f"mass = {self.mass} GeV: allowed 0 to 1.776 GeV, below the tau")
        if not (math.isfinite(self.vector) and math.isfinite(self.axial)) or self.vector == self.axial == 0.0:
            raise ValueError(f"vector = {self.vector}, axial = {self.axial}: at least one must be a number other than 0")

    def asymmetry(self, m_lepton: float) -> float:
        """Polarimeter along the lepton of mass ``m_lepton`` [GeV], from the S and P waves; 0 for a closed decay."""
        energy = 0.5 * (M_TAU**2 + m_lepton**2 - self.mass**2) / M_TAU
        if energy <= m_lepton:
            return 0.0
        s = self.vector * (M_TAU - m_lepton)
        p = self.axial * (M_TAU + m_lepton) * math.sqrt((energy - m_lepton) / (energy + m_lepton))
        return 2.0 * s * p / (s * s + p * p)


def choose(modes: str | tuple[str, ...], alpha: Alpha) -> Array:
    """Branching fractions of all modes in the order of :func:`kernel_modes`: 0 if not chosen, 1 for l alpha.

    Raises ``ValueError`` for an unknown name, and for a decay to alpha that is closed or mixed with others.
    """
    names = tuple(name for item in ((modes,) if isinstance(modes, str) else modes) for name in GROUPS.get(item, (item,)))
    for name in names:
        if name not in _ORDER:
            known = (*_ORDER, *GROUPS)
            raise ValueError(f"tau mode {name!r}: not known, nearest: {nearest(name, known)}; allowed: {', '.join(known)}")
        if name in ALPHA_MODES:
            mass = _MASSES[_CODES[ALPHA_MODES[name].daughters[0]]]
            if len(names) > 1 or mass + alpha.mass >= M_TAU:
                raise ValueError(f"tau mode {name!r}: must be alone and alpha lighter than {M_TAU - mass:.4f} GeV")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"tau modes {modes!r}: need at least one, each only once")
    numbers = load_numbers("tau_decays")
    return np.array([0.0 if name not in names else 1.0 if name in ALPHA_MODES else float(numbers[name]) for name in _ORDER])


@cache
def kernel_modes(alpha: Alpha) -> Modes:
    """All modes as arrays for kernels; ``alpha`` sets the last two."""
    table = [*MODES.values(), *ALPHA_MODES.values()]
    codes, masses = np.zeros((len(table), MAX_BODIES), dtype=np.int32), np.zeros((len(table), MAX_BODIES))
    invisible, asymmetry = np.zeros(len(table)), np.ones(len(table))
    for i, mode in enumerate(table):
        codes[i, : len(mode.daughters)] = [_CODES[name] for name in mode.daughters]
        masses[i, : len(mode.daughters)] = [_MASSES[abs(_CODES[name])] for name in mode.daughters]
        if i >= len(MODES):
            invisible[i], asymmetry[i] = alpha.mass, alpha.asymmetry(masses[i, 0])
    low, step, cumulative, bound, rho = _spectra()
    bodies = np.array([len(mode.daughters) for mode in table])
    kinds = np.array([mode.kind for mode in table])
    return Modes(kinds, bodies, codes, masses, low, step, cumulative, bound, invisible, asymmetry, rho)


@cache
def _spectra() -> tuple[Array, Array, Array, Array, Array]:
    """Grids, cumulative mass distributions and bounds on |J|^2 of all modes, and the rho parameters."""
    low, step = np.zeros(len(_ORDER)), np.zeros(len(_ORDER))
    cumulative, bound = np.zeros((len(_ORDER), CELLS + 1)), np.zeros((len(_ORDER), CELLS + 1))
    for i, mode in enumerate(MODES.values()):
        if mode.kind in (VECTOR, AXIAL, FLAT):
            masses = [_MASSES[abs(_CODES[name])] for name in mode.daughters]
            low[i], step[i] = sum(masses), (M_TAU - sum(masses)) / CELLS
            density, bound[i] = spectrum(mode.kind, tuple(masses), mode.resonance, low[i] + step[i] * np.arange(CELLS + 1))
            cells = 0.5 * (density[1:] + density[:-1])
            cumulative[i, 1:] = np.cumsum(cells) / cells.sum()
    return low, step, cumulative, bound, np.array(parameters("rho"))
