"""Candidates of B -> K (K pi) and a pair of tracks in hadronic events: the halves of listed ones, and new ones made of them.

Hadronic lists hold thousands of candidates, a search needs millions. A candidate is a kaon side and a pair that happen to add
up to a B meson, so its halves are smooth in the momentum of the side: each pair is used many times with sides drawn anew in the
list's window of M_bc and Delta E (:func:`new_side`), even in phase space at the pair's momentum, times
exp(-a Delta E - c p_B^2) with the two slopes of that list. M_bc then has its edge where it is. K_S and Lambda decay and fly
anew, other pairs get another angle and a mass some per cent away (:func:`new_pairs`).

Not included: correlations of the side's kind with its momentum, resonances in K pi beyond the list's masses, peaks in M_bc of B
decays in the lists (they are spread over the window with a steep slope).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from belle2dark.constants import CTAU_KSHORT, CTAU_LAMBDA, M_D0, M_KAON, M_KSHORT, M_LAMBDA, M_PHI, M_PION
from belle2dark.simulation.beams import Beams, to_cms, to_lab
from belle2dark.simulation.decays.chain import decay_two_body, mass
from belle2dark.simulation.decays.mesons import KAON_MODES
from belle2dark.simulation.events import Array, Codes, Events
from belle2dark.simulation.hadronic import PROCESSES, cross_sections, fox_wolfram, load_hadronic
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers, nearest

#: smallest M_bc and largest |Delta E| [GeV] of the lists, and of the candidates made here
_WIDE, _NARROW = (5.18, 0.30), (5.24, 0.20)
#: masses this near [GeV] to that of a known particle are its
_NEAR = 0.004
#: kaon pairs this near to the phi are left as they are
_PHI = 0.015
#: relative width of the masses of pairs that are none, and of their distances beyond the least one [cm]
_JITTER, LEAST_RADIUS = 0.05, 0.05
#: middles of equal parts of -1 to 1
_STEPS = (np.arange(24) + 0.5) / 24 * 2.0 - 1.0


class Candidates(NamedTuple):
    """Halves of candidates in the centre of mass: kaon (and pion) of the side and the pair (m, 4) with their true masses and
    kinds (m, k), decay points (m, 3) in the lab, weights [fb] and R2 (m,)."""

    side: tuple[Array, ...]
    pair: tuple[Array, ...]
    kinds: Codes
    points: Array
    weights: Array
    shape: Array


def with_mass(p: Array, m: Array | float) -> Array:
    """Four-momenta (n, 4) of the three-momenta of ``p`` and a mass [GeV]."""
    return np.column_stack([np.sqrt((p[:, 1:] ** 2).sum(axis=1) + np.asarray(m) ** 2), p[:, 1:]])


def _side_masses(candidates: Candidates) -> tuple[float, ...]:
    return (M_KAON, M_PION)[: len(candidates.side)]


def kaon_side(candidates: Candidates) -> Array:
    """The kaon side with the masses of its hypothesis, (m, 4)."""
    return np.sum([with_mass(p, m) for p, m in zip(candidates.side, _side_masses(candidates), strict=True)], axis=0)


def inside(candidates: Candidates, m_daughter: float, sqrt_s: float) -> NDArray[np.bool_]:
    """Whether candidates lie in the lists' window with this mass of both daughters, (m,)."""
    side, pair = kaon_side(candidates), np.sum([with_mass(p, m_daughter) for p in candidates.pair], axis=0)
    p2 = ((side + pair)[:, 1:] ** 2).sum(axis=1)
    like = 0.25 * sqrt_s**2 - p2 > _WIDE[0] ** 2
    return np.asarray(like & (np.abs(side[:, 0] + pair[:, 0] - 0.5 * sqrt_s) < _WIDE[1]))


def selected(c: Candidates, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
    """The candidates that a mask (m,) or a list of rows picks."""
    return Candidates(tuple(p[keep] for p in c.side), tuple(p[keep] for p in c.pair), c.kinds[keep], c.points[keep],
                      c.weights[keep], c.shape[keep])  # fmt: skip


def joined(parts: Sequence[Candidates]) -> Candidates:
    """The candidates of all ``parts``, one after the other."""
    side, pair = (
        tuple(np.concatenate(p) for p in zip(*halves, strict=True)) for halves in zip(*(c[:2] for c in parts), strict=True)
    )
    kinds, points, weights, shape = (np.concatenate(column) for column in zip(*(c[2:] for c in parts), strict=True))
    return Candidates(side, pair, kinds, points, weights, shape)


def drawn(c: Candidates, n: int, key: int) -> Candidates:
    """n candidates, each with the odds of its weight; all weigh the same then, and together what they did.

    Raises ``ValueError`` for n or a key out of range.
    """
    check_request(n, key)
    steps = (np.arange(n) + np.random.default_rng(make_key(key, "offset")).random()) / n
    rows = np.searchsorted(np.cumsum(c.weights) / c.weights.sum(), steps)
    rows = np.random.default_rng(make_key(key, "order")).permutation(np.minimum(rows, len(c.weights) - 1))
    return selected(c, rows)._replace(weights=np.full(n, c.weights.sum() / n))


def _check_mode(mode: str) -> None:
    if mode not in KAON_MODES:
        raise ValueError(f"mode = {mode!r}: not one of {', '.join(KAON_MODES)}; nearest: {nearest(mode, KAON_MODES)}")


@cache
def listed_candidates(mode: str, process: str, beams: Beams) -> Candidates:
    """The candidates of a list, the daughter with the charge opposite to the kaon's first.

    Raises ``ValueError`` for an unknown mode or process.
    """
    _check_mode(mode)
    name = "kstar_v0" if mode == "kstar0" else "k_v0"
    events = load_hadronic(name, process)
    columns = ["prong_1", *(["prong_4"] if mode == "kstar0" else []), "prong_2", "prong_3"]
    momenta = [to_cms(events.momenta_lab[c], beams) for c in columns]
    kinds = np.stack([events.species[c] for c in columns], axis=1)
    swap = (kinds[:, 0] > 0) ^ (np.abs(kinds[:, 0]) < 20)  # the first of the pair is positive, as this kaon is
    first, second = momenta[-2:]
    pair = (np.where(swap[:, None], second, first), np.where(swap[:, None], first, second))
    kinds[swap, -2:] = kinds[swap][:, [-1, -2]]
    points = events.vertices_cm["prong_2"]
    return Candidates(tuple(momenta[:-2]), pair, kinds, points, events.weights, fox_wolfram(name, process))


def volume(energy: Array, pair: Array, m_side: Array, p_max2: float, half: float, slopes: tuple[float, float]) -> Array:
    """Rate of sides per Delta E at ``energy``: phase space E_side d(p_B^2) / 2 times exp(-a Delta E - c p_B^2), (...,).

    ``p_max2`` [GeV^2] is the largest p_B^2, ``half`` [GeV] half the collision energy, ``slopes`` are (a, c).
    """
    e_side = half + energy - pair[..., 0]
    p_side = np.sqrt(np.maximum(e_side**2 - m_side**2, 0.0))
    least = np.minimum((p_side - np.sqrt((pair[..., 1:] ** 2).sum(axis=-1))) ** 2, p_max2)
    a, c = slopes
    part = np.exp(-a * energy) * (np.exp(-c * least) - np.exp(-c * p_max2)) / c
    return np.where(e_side > m_side, e_side * part, 0.0)


@cache
def slopes_of(mode: str, process: str, beams: Beams) -> tuple[float, float]:
    """How the density of sides falls with Delta E and with p_B^2 beyond phase space, [1/GeV, 1/GeV^2]: a fit to the list."""
    listed, half = listed_candidates(mode, process, beams), 0.5 * beams.sqrt_s
    c = selected(listed, inside(listed, M_PION, beams.sqrt_s))
    side, pair = kaon_side(c), np.sum([with_mass(p, M_PION) for p in c.pair], axis=0)
    m_side, energy, p2 = mass(side), (side + pair)[:, 0] - half, ((side + pair)[:, 1:] ** 2).sum(axis=1)

    def minus_log_likelihood(slopes: Array) -> float:
        whole = volume(_WIDE[1] * _STEPS[:, None], pair[None], m_side, half**2 - _WIDE[0] ** 2, half, (slopes[0], slopes[1]))
        return float((slopes[0] * energy + slopes[1] * p2 + np.log(whole.mean(axis=0))).mean())

    a, c_fit = minimize(minus_log_likelihood, (1.0, 1.0), bounds=((-5.0, 5.0), (0.1, 6.0))).x
    return float(a), float(c_fit)


def new_side(pair: Array, m_side: Array, sqrt_s: float, slopes: tuple[float, float], key: int) -> tuple[Array, Array]:
    """Sides (n, 4) for pairs (n, 4) drawn anew, and the factors (n,) of the narrow window over the wide one."""
    rng, n, half = np.random.default_rng(key), len(pair), 0.5 * sqrt_s
    wide2, narrow2 = (half**2 - m**2 for m, _ in (_WIDE, _NARROW))
    whole = volume(_WIDE[1] * _STEPS[:, None], pair[None], m_side, wide2, half, slopes).mean(axis=0) * _WIDE[1]
    energy = _NARROW[1] * (2.0 * rng.random(n) - 1.0)
    part = volume(energy, pair, m_side, narrow2, half, slopes) * _NARROW[1]
    e_side = half + energy - pair[:, 0]
    p_side = np.sqrt(np.maximum(e_side**2 - m_side**2, 1e-12))
    p_pair = np.maximum(np.linalg.norm(pair[:, 1:], axis=1), 1e-9)
    least = (p_side - p_pair) ** 2
    within = -np.expm1(-slopes[1] * np.maximum(narrow2 - least, 0.0))
    p_b2 = least - np.log1p(-rng.random(n) * within) / slopes[1]
    cosine = np.clip((p_b2 - p_side**2 - p_pair**2) / (2.0 * p_side * p_pair), -1.0, 1.0)
    axis = pair[:, 1:] / p_pair[:, None]
    helper = np.where(np.abs(axis[:, 2:]) < 0.9, np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 0.0]]))
    u = np.cross(axis, helper)
    u /= np.linalg.norm(u, axis=1)[:, None]
    phi = 2.0 * np.pi * rng.random(n)
    across = np.cos(phi)[:, None] * u + np.sin(phi)[:, None] * np.cross(axis, u)
    direction = cosine[:, None] * axis + np.sqrt(1.0 - cosine**2)[:, None] * across
    return with_mass(np.column_stack([np.zeros(n), p_side[:, None] * direction]), m_side), part / np.maximum(whole, 1e-300)


def new_pairs(c: Candidates, beams: Beams, key: int) -> tuple[tuple[Array, Array], Array]:
    """The same pairs (n, 4) with new decays, in the centre of mass, and their points (n, 3) [cm]."""
    rng, n = np.random.default_rng(make_key(key, "pairs")), len(c.weights)
    masses = [np.sqrt(np.maximum(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), 0.0)) for p in c.pair]
    parent = c.pair[0] + c.pair[1]
    m = mass(parent)
    kinds = np.abs(c.kinds[:, -2:])
    known = [(np.abs(m - at) < _NEAR) & (kinds.max(axis=1) == largest) & (kinds.min(axis=1) == 211)
             for at, largest in ((M_KSHORT, 211), (M_LAMBDA, 2212), (M_D0, 321))]  # fmt: skip
    jittered = np.maximum(m * (1.0 + _JITTER * rng.standard_normal(n)), masses[0] + masses[1] + 1e-4)
    phi = (np.abs(m - M_PHI) < _PHI) & (kinds.min(axis=1) == 321)
    m = np.select([*known, phi], [M_KSHORT, M_LAMBDA, M_D0, m], jittered)
    parent = with_mass(parent, m)
    pair = decay_two_body(parent, masses[0], masses[1], make_key(key, "pair"))
    lab = to_lab(parent, beams)
    direction = lab[:, 1:] / np.maximum(np.hypot(lab[:, 1], lab[:, 2]), 1e-9)[:, None]
    ctau = np.select(known[:2], [CTAU_KSHORT, CTAU_LAMBDA], 1.0)
    pt = np.maximum(np.hypot(lab[:, 1], lab[:, 2]), 1e-9)
    flown = direction * (LEAST_RADIUS + ctau * pt / m * rng.standard_exponential(n))[:, None]
    radius = np.hypot(c.points[:, 0], c.points[:, 1])
    spread = np.maximum(radius - LEAST_RADIUS, 0.0) * (0.5 + rng.random(n))
    moved = c.points * ((LEAST_RADIUS + spread) / np.maximum(radius, 1e-9))[:, None]
    return pair, np.where((known[0] | known[1])[:, None], flown, moved)


def _few_tracks(
    events: Events, mode: str, *, photon: bool
) -> Iterator[tuple[NDArray[np.intp], tuple[str, ...], tuple[str, ...]]]:
    """Ways to take tracks from the beam line as a side and as a pair (or a photon): rows, slots of the side and of the pair."""
    names = [name for name in events.momenta_lab if name.startswith("prong")]
    near = {name: (np.hypot(*events.vertices_cm[name][:, :2].T) < LEAST_RADIUS) & (events.momenta_lab[name][:, 0] > 0.0)
            for name in names}  # fmt: skip
    charge = {name: np.where(np.abs(events.species[name]) < 20, -1, 1) * np.sign(events.species[name]) for name in names}
    signs = (1, -1) if mode == "kstar0" else (1,)
    wanted = signs if photon else (*signs, -1, 1)
    for tracks in permutations(names, len(wanted)):
        good = np.all([near[name] & (charge[name] == sign * charge[tracks[0]])
                       for name, sign in zip(tracks, wanted, strict=True)], axis=0)  # fmt: skip
        if not photon:
            yield np.flatnonzero(good), tracks[: len(signs)], tracks[len(signs) :]
        for other in events.photons if photon else ():
            yield np.flatnonzero(good & (events.momenta_lab[other][:, 0] > 1.0)), tracks, (other,)


@cache
def _prompt(mode: str, process: str, beams: Beams, *, photon: bool) -> Candidates:
    """Candidates of tracks from the beam line in events of few tracks, or of tracks and a photon; weights add up to 1."""
    events, found = load_hadronic("low_multiplicity", process), []
    low, high = load_numbers("mesons")["kstar_list_range"].values
    for rows, side, rest in _few_tracks(events, mode, photon=photon):
        first, second = (tuple(to_cms(events.momenta_lab[name][rows], beams) for name in half) for half in (side, rest))
        kinds = np.stack([events.species[name][rows] for name in (side if photon else (*side, *rest))], axis=1)
        c = Candidates(first, second, kinds, np.zeros((len(rows), 3)), events.weights[rows], np.zeros(len(rows)))
        m_side = mass(kaon_side(c))
        keep = inside(c, 0.0 if photon else M_PION, beams.sqrt_s)
        found.append(selected(c, keep & ((len(side) == 1) | (m_side > low) & (m_side < high))))
    all_ways = joined(found)
    return all_ways._replace(weights=all_ways.weights / max(all_ways.weights.sum(), 1e-300))


def prompt_candidates(n: int, key: int, beams: Beams, *, mode: str, m_daughter: float | None) -> Candidates:
    """n candidates of tracks from the beam line, or of tracks and a photon (without ``m_daughter`` [GeV]).

    Rates [fb] are those of all hadronic events, kinematics those of events with few tracks, event shapes those of the lists.
    Raises ``ValueError`` for n or a key out of range and for an unknown mode.
    """
    check_request(n, key)
    _check_mode(mode)
    photon, found = m_daughter is None, {}
    per_event = load_numbers("mesons")[f"{mode}_and_{'photon' if photon else 'pair'}_per_event"].values
    rates = {process: cross_sections()[process] * share for process, share in zip(PROCESSES, per_event, strict=True)}
    for process, rate in rates.items():
        c = _prompt(mode, process, beams, photon=photon)
        # of B pairs, a few per cent of the rate, there may be none with few tracks
        if len(c.weights):
            c = c._replace(weights=rate * c.weights)
            found[process] = c if m_daughter is None else selected(c, inside(c, m_daughter, beams.sqrt_s))
    scale = sum(rates.values()) / sum(rates[process] for process in found)
    shares = np.cumsum([0.0, *(c.weights.sum() for c in found.values())])
    sizes = np.diff(np.rint(n * shares / shares[-1]).astype(int))
    rng, parts = np.random.default_rng(make_key(key, "shape")), []
    for (process, c), size in zip(found.items(), sizes, strict=True):
        if size:
            part = drawn(c, int(size), make_key(key, process))
            shape = rng.choice(listed_candidates(mode, process, beams).shape, size)
            parts.append(part._replace(weights=scale * part.weights, shape=shape))
    return joined(parts)
