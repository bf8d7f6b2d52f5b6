"""e+e- -> e mu, e tau, mu tau, with an invisible new vector Z' beside the pair or with nothing missing, seen as e and mu.

A tau decays to the lepton that makes the final state e mu: to mu in e tau, to e in mu tau, so that one selection and one
background sample serve all pairs. The coupling is Z'_alpha (l-bar gamma^alpha l') + h.c.; being a vector's, it leaves taus of
unpolarised beams unpolarised. Photons off the beams, the leptons and the daughter of the tau are included.

* :func:`generate_with_zprime`: the tree-level amplitude of :mod:`.lepton_pair_x`. The Z' comes off either lepton and, where
  an electron is in the pair, off the beam it came from.
* :func:`generate_without`: the Z' is what the beams annihilate to and, for pairs with an electron, what they exchange; the angle
  is that at the energy of the collision, the rate point-like in the mass of the pair (photons off the beams take it
  to no resonance).

Not included: the width of a tau beside a Z' (masses below m_tau - m_l are refused: there tau -> l Z' is the process), and
leptons closer to the beams than ``CONE``, which leave no track.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.beams import Beams, cms_to_lab
from belle2dark.simulation.decays.tau import decay_taus
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.isr import COLUMNS, MAX_PHOTONS
from belle2dark.simulation.kinematics import around, boost
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.simulation.lepton_pair_x_rate import cross_section as quadrature
from belle2dark.simulation.pair import check_request, pair_settings, radiated_pair, write_photons
from belle2dark.simulation.phase_space import two_body
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import BLOCK, make_key, seed_block, uniform
from belle2dark.sourced import nearest

#: names of the leptons of each pair, the one that decays (if any) last
PAIRS = MappingProxyType({"emu": ("e", "mu"), "etau": ("e", "tau"), "mutau": ("mu", "tau")})
#: what the tau of a pair decays to
DAUGHTERS = MappingProxyType({"etau": "mu", "mutau": "e"})
#: lepton masses [GeV]
MASSES = MappingProxyType({"e": M_ELECTRON, "mu": M_MUON, "tau": M_TAU})
_CODES = MappingProxyType({"e": 11, "mu": 13})
#: smallest angle [rad] of an electron to its beam in the CMS: 17 degrees in the lab, where tracks begin, are 0.39
CONE = 0.2
#: fractions of events of the pair without Z' made with 0, 1, 2, 3 hard initial-state photons
SHARES = (0.55, 0.30, 0.12, 0.03)
SLOTS = 4
_PHOTONS = 6
#: steps of the distribution function of the angle
_NODES = 1001


def threshold(pair: str) -> float:
    """Sum of the lepton masses [GeV]; raises ``ValueError`` for an unknown pair."""
    return sum(MASSES[name] for name in _leptons(pair))


def lightest(pair: str) -> float:
    """Mass [GeV] below which the heavier lepton of the pair decays to the lighter one and the Z'."""
    first, second = (MASSES[name] for name in _leptons(pair))
    return abs(first - second)


def cross_section(pair: str, mass: float, key: int, beams: Beams, n: int = 1_000_000, alpha: str = "physical") -> float:
    """Cross-section [fb] of e+e- -> l l' Z' at unit coupling, both charges, electrons outside ``CONE``, with radiation.

    By quadrature for mu tau, from n events otherwise. Raises ``ValueError`` for an unknown pair or closed kinematics.
    """
    first, second = _leptons(pair)
    coupling = LeptonCoupling(vector=1.0)
    if "e" not in (first, second):
        return 2.0 * quadrature(mass, coupling, beams.sqrt_s, leptons=(first, second), alpha=alpha)
    samples = (generate_lepton_pair_x(n // 2, key, beams, mass=mass, coupling=coupling, leptons=leptons, alpha=alpha,
                                      electron_cone=CONE) for leptons in ((first, second), (second, first)))  # fmt: skip
    return float(sum(events.weights.sum() for events in samples))


def _leptons(pair: str) -> tuple[str, str]:
    if pair not in PAIRS:
        raise ValueError(f"pair = {pair!r}: must be one of {', '.join(PAIRS)}; nearest: {nearest(pair, PAIRS)}")
    return PAIRS[pair]


def generate_with_zprime(
    n: int, key: int, beams: Beams, *, pair: str, mass: float, radiation: bool = True, alpha: str = "physical"
) -> Events:
    """n weighted events of e+e- -> l l' Z' with a stable Z': ``lepton_1`` (e), ``lepton_2`` (mu), ``x``, photons, in the lab.

    Half of the events have either charge (a boosted detector tells them apart). Weights [fb] add up to the cross-section of
    both charges at unit coupling, times the branching fraction of the tau decay; ``radiation`` makes photons off beams
    and leptons. Raises ``ValueError`` for an unknown pair, fewer than 2 events, or closed kinematics.
    """

    def make(count: int, own: int, minus: str, plus: str) -> Events:
        return generate_lepton_pair_x(count, own, beams, mass=mass, coupling=LeptonCoupling(vector=1.0), leptons=(minus, plus),
                                      isr=radiation, alpha=alpha, electron_cone=CONE)  # fmt: skip

    return _both_charges(n, key, pair, radiation, make)


def generate_without(n: int, key: int, beams: Beams, *, pair: str, mass: float, radiation: bool = True) -> Events:
    """n weighted events of e+e- -> l l' by exchange of a Z' of ``mass`` [GeV]: slots as :func:`generate_with_zprime`, no ``x``.

    Weights add up to 1 fb times the branching fraction of the tau decay, for leptons at least ``CONE`` off the beams.
    Raises ``ValueError`` for an unknown pair, fewer than 2 events, a key outside 64 bits or a mass that is not positive.
    """
    if not (math.isfinite(mass) and mass > 0.0):
        raise ValueError(f"mass = {mass} GeV: must be positive")
    cosines = _cosines(mass, "e" in _leptons(pair), beams.sqrt_s)

    def make(count: int, own: int, minus: str, plus: str) -> Events:
        check_request(count, own)
        masses = MASSES[minus], MASSES[plus]
        out, weights = np.zeros((2 + SLOTS, count, 4)), np.empty(count)
        settings = pair_settings(0.5 * sum(masses), beams.sqrt_s, SHARES)
        # a positron that follows its beam leaves the negative lepton along the electron beam: one angle for both charges
        _kernel(np.uint64(own), count, beams.kernel, *settings, radiation, masses, cosines, out, weights)
        photons = {f"gamma_{i + 1}": out[2 + i] for i in range(SLOTS)} if radiation else {}
        return Events(momenta_lab={f"{minus}-": out[0], f"{plus}+": out[1]} | photons, weights=0.5 * weights / weights.sum())

    return _both_charges(n, key, pair, radiation, make)


def _both_charges(n: int, key: int, pair: str, radiation: bool, make: Callable[[int, int, str, str], Events]) -> Events:
    """Half of n events of ``make(n, key, minus, plus)`` for either charge of the pair, seen as e and mu."""
    first, second = _leptons(pair)
    if n < 2:
        raise ValueError(f"n = {n}: at least 2, one event of either charge")
    parts = []
    for j, (minus, plus) in enumerate(((first, second), (second, first))):
        own = make_key(key, "charge", str(j))
        events = make((n + 1 - j) // 2, own, minus, plus)
        parts.append(_as_e_mu(events, own, pair, (f"{minus}-", f"{plus}+"), radiation))
    return _join(parts)


def angular_density(cosine: Array, mass: float, exchange: bool, sqrt_s: float) -> Array:
    """Density (any norm) of the angle between the electron of the pair and the beam of its charge, shape of ``cosine``.

    A Z' of ``mass`` [GeV] in the s channel, 1 + cos^2, and with ``exchange`` also between the beams, both with the same
    product of couplings; leptons massless. Source: helicity amplitudes of Bhabha scattering with a massive boson.
    """
    s, t = sqrt_s**2, -0.5 * sqrt_s**2 * (1.0 - cosine)
    if not exchange:
        return np.asarray((s + t) ** 2 + t**2)
    annihilation, swap = 1.0 / (s - mass**2), -1.0 / (mass**2 - t)
    return np.asarray((s + t) ** 2 * (annihilation + swap) ** 2 + t**2 * annihilation**2 + s**2 * swap**2)


def _cosines(mass: float, exchange: bool, sqrt_s: float) -> Array:
    """Cosines (_NODES,) at equal steps of the distribution function of :func:`angular_density` outside the cone."""
    edge = math.cos(CONE)
    # crowded where the exchange peaks
    cosine = 1.0 - np.geomspace(1.0 - edge, 1.0 + edge, 4 * _NODES)[::-1]
    density = angular_density(cosine, mass, exchange, sqrt_s)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(cosine))])
    return np.asarray(np.interp(np.linspace(0.0, 1.0, _NODES), total / total[-1], cosine))


def _as_e_mu(events: Events, key: int, pair: str, names: tuple[str, str], radiation: bool) -> Events:
    """The events with photons off the leptons, taus decayed and the slots renamed to those of e mu."""
    missing = tuple(name for name in ("x",) if name in events.momenta_lab)
    if radiation:
        events = radiate_final(events, key, (*names, *missing))
    momenta, vertices, species = dict(events.momenta_lab), {}, {}
    if pair in DAUGHTERS:
        tau = next(name for name in names if name.startswith("tau"))
        side = 1 if tau == "tau-" else 2
        events = decay_taus(events, key, DAUGHTERS[pair], DAUGHTERS[pair], photons=_PHOTONS)
        prong, nu = f"prong_{3 * side - 2}", f"nu_{side}"
        if radiation:
            events = radiate_final(events, key ^ 1, (prong, nu))
        momenta = {name: p for name, p in events.momenta_lab.items() if p[:, 0].any()}
        vertices = {name: v for name, v in events.vertices_cm.items() if name in momenta}
        for table in (momenta, vertices):
            table[_slot(DAUGHTERS[pair])] = table.pop(prong)
        momenta["nu_1"] = momenta.pop(nu)
        species[_slot(DAUGHTERS[pair])] = events.species[prong]
        names = tuple(name for name in names if name != tau)  # type: ignore[assignment]
    for name in names:
        slot = _slot(name[:-1])
        momenta[slot] = momenta.pop(name)
        species[slot] = np.full(len(events), _CODES[name[:-1]] * (1 if name[-1] == "-" else -1), dtype=np.int32)
    return Events(momenta_lab=momenta, weights=events.weights, vertices_cm=vertices, species=species)


def _slot(lepton: str) -> str:
    return "lepton_1" if lepton == "e" else "lepton_2"


def _join(parts: list[Events]) -> Events:
    """One sample of several with different slots, empty ones filled with zeros, in a fixed order."""
    slots = sorted({name for part in parts for name in part.momenta_lab}, key=lambda name: (name.startswith("gamma"), name))
    placed = sorted({name for part in parts for name in part.vertices_cm})

    def column(tables: list[dict[str, Array]], name: str, width: int) -> Array:
        return np.concatenate([t.get(name, np.zeros((len(p), width))) for t, p in zip(tables, parts, strict=True)])

    return Events(
        momenta_lab={name: column([dict(p.momenta_lab) for p in parts], name, 4) for name in slots},
        weights=np.concatenate([p.weights for p in parts]),
        vertices_cm={name: column([dict(p.vertices_cm) for p in parts], name, 3) for name in placed},
        species={name: np.concatenate([p.species[name] for p in parts]) for name in ("lepton_1", "lepton_2")},
    )


@jit(parallel=True)
def _kernel(key, n, beam, rad, rate, radiation, masses, cosines, out, weights):
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(key, block, n, beam, rad, rate, radiation, masses, cosines, out, weights)


@jit()
def _block(key, block, n, beam, rad, rate, radiation, masses, cosines, out, weights):
    s0, s1 = seed_block(key, block)
    photons = np.zeros((MAX_PHOTONS + 1, COLUMNS))
    last = len(cosines) - 1
    for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
        s0, s1, frame, k, weight, (e, x, y, z, root), axis = radiated_pair(s0, s1, beam, rad, rate, photons)
        if not radiation:
            e, x, y, z, root, k, weight, axis = frame[0], 0.0, 0.0, 0.0, frame[0], 0, 1.0, (0.0, 0.0, 1.0)
        s0, s1, u = uniform(s0, s1)
        cell = min(int(u * last), last - 1)
        cosine = cosines[cell] + (u * last - cell) * (cosines[cell + 1] - cosines[cell])
        s0, s1, u = uniform(s0, s1)
        nx, ny, nz = around(axis[0], axis[1], axis[2], cosine, 2.0 * math.pi * u)
        p = two_body(root, masses[0], masses[1])
        first = math.sqrt(p * p + masses[0] * masses[0])
        a, b, c, d = boost(first, p * nx, p * ny, p * nz, e, x, y, z, root)
        out[0, i, :] = cms_to_lab(frame, a, b, c, d)
        a, b, c, d = boost(root - first, -p * nx, -p * ny, -p * nz, e, x, y, z, root)
        out[1, i, :] = cms_to_lab(frame, a, b, c, d)
        weights[i] = weight
        write_photons(photons, k, frame, out, 2, i)
