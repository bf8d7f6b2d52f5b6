"""Make the list of decays of single B mesons that the package ships, with Pythia 8 (extra ``gen``; nothing else needs it).

    python -m belle2dark.produce.b_side [--scale 0.01] [--folder DIR]

One file, read by :mod:`belle2dark.simulation.b_side`: ``b_side.npz``, what is left of a B meson when the other one of the
pair is reconstructed, thinned to decays that can look like a kaon or a baryon and nothing else. B mesons decay with
Pythia's tables, in the centre of mass; a decay is kept for what it looks like at any of three boosts (SuperKEKB, KEKB,
PEP-II). Not simulated: the detector (the probabilities below only decide how many decays of a kind are stored), the
beam-energy spread and mixing.

Source: Bierlich et al., SciPost Phys. Codebases 8 (2022) (Pythia 8.3).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_B0, M_BPLUS, M_KAON, M_LAMBDA, M_LAMBDA_C, M_PION, M_PROTON
from belle2dark.simulation.b_side import ANGLE_STEP, CANDIDATES, MAX_NEUTRALS, MAX_PHOTONS, MAX_TRACKS, MOMENTUM_STEP, VERTEX_STEP
from belle2dark.simulation.beams import collider_beams, to_lab
from belle2dark.simulation.events import Array

#: decays at scale 1 of each charge, how many parts they are made in, and decays per batch
EVENTS, PARTS, BATCH = 2_500_000, 10, 20_000
#: decays stored per kind of candidate
STORED = {"kaon": 7500, "kstar": 6000, "proton": 3500, "lambda": 2500, "lambda_c": 2000}
#: ranges of masses of candidates with more than one track [GeV]
_RANGES = {
    "kstar": (0.75, 1.05),
    "lambda": (M_LAMBDA - 0.02, M_LAMBDA + 0.02),
    "lambda_c": (M_LAMBDA_C - 0.06, M_LAMBDA_C + 0.06),
}
#: what could be seen: polar angles [degrees] of tracks and of photons, least pT of tracks and energy of photons [GeV]
THETA, PHOTON_THETA, TRACK_PT, PHOTON_ENERGY = (17.0, 150.0), (12.0, 155.0), 0.1, 0.05
#: for the thinning only: a seen track is lost with the first probability, all are up to the first pT [GeV] and no more than
#: that above the second; |PDG code| -> it passes for a kaon, a proton; scale [GeV] of the energy of photons beside it, and the
#: least share kept of any energy; cosine of the polar angle between which something missing would have been seen, share else
_LOST, _CURLS, _QUIET, _LEAST, _INSIDE, _OUTSIDE = 0.015, (0.1, 0.3), 0.4, 0.003, (-0.86, 0.93), 0.3
_AS_KAON = {321: 0.9, 211: 0.04, 2212: 0.1, 13: 0.12, 11: 0.01}
_AS_PROTON = {2212: 0.9, 321: 0.04, 211: 0.02, 13: 0.01, 11: 0.005}
#: decays with a track of this momentum [GeV] in the centre of mass are stored as before, with faster ones more often
_FAST = 1.2
_CHARGED, _NEUTRAL = (11, 13, 211, 321, 2212), (130, 2112)
#: with more charged particles a decay never passes
_FEW = 5
_OPTIONS = ("ProcessLevel:all=off", "13:mayDecay=off", "211:mayDecay=off", "321:mayDecay=off", "130:mayDecay=off",
            "310:mayDecay=on", "ParticleDecays:limitCylinder=on", "ParticleDecays:xyMax=600.", "ParticleDecays:zMax=600.",
            "Print:quiet=on", "Random:setSeed=on")  # fmt: skip


class Decays(NamedTuple):
    """Final particles of many decays, one after the other: decay (m,), PDG code (m,), four-momentum (m, 4) [GeV] and
    production point (m, 4) as (t, x, y, z) [cm] in the centre of mass; momentum (decays, 3) [GeV] and charge
    (decays,) of each B."""

    decay: NDArray[np.int64]
    pdg: NDArray[np.int32]
    momenta: Array
    vertices: Array
    b: Array
    charged: NDArray[np.bool_]


def b_decays(n: int, sqrt_s: float, seed: int) -> Iterator[Decays]:
    """n decays of B+ and as many of B0 (sin^2 about the beam, momenta of pairs) in batches; many tracks are left out."""
    try:
        import pythia8mc
    except ImportError:
        raise ImportError("the list of B decays is made with Pythia 8: install the extra 'gen' (wheels only)") from None
    pythia, random = pythia8mc.Pythia("", False), np.random.default_rng(seed)
    if not all(pythia.readString(option) for option in (*_OPTIONS, f"Random:seed={seed}")) or not pythia.init():
        raise RuntimeError("Pythia refused its settings")
    event, done = pythia.event, 0
    while done < 2 * n:
        size = min(BATCH, 2 * n - done)
        done += size
        rows: list[tuple[float, ...]] = []
        charged = np.arange(size) % 2 == 1
        # median of three uniforms: density 1 - cos^2
        cosine, phi = 2.0 * np.median(random.random((3, size)), axis=0) - 1.0, 2.0 * np.pi * random.random(size)
        size_p = np.sqrt(0.25 * sqrt_s**2 - np.where(charged, M_BPLUS, M_B0) ** 2)
        sine = np.sqrt(1.0 - cosine**2)
        b = size_p[:, None] * np.stack([sine * np.cos(phi), sine * np.sin(phi), cosine], axis=1)
        life = random.exponential(size=size)
        for i, (px, py, pz) in enumerate(b.tolist()):
            event.reset()
            mass, code = (M_BPLUS, 521) if charged[i] else (M_B0, 511)
            at = event.append(code, 1, 0, 0, 0, 0, 0, 0, px, py, pz, 0.5 * sqrt_s, mass)
            event[at].tau(event[at].tau0() * life[i])
            if pythia.next():
                final = [a for a in event if a.isFinal()]
                if sum(abs(a.id()) in _CHARGED for a in final) <= _FEW:
                    rows += [
                        (i, a.id(), a.e(), a.px(), a.py(), a.pz(), a.tProd(), a.xProd(), a.yProd(), a.zProd()) for a in final
                    ]
        table = np.array(rows)
        yield Decays(table[:, 0].astype(np.int64), table[:, 1].astype(np.int32), table[:, 2:6], table[:, 6:] * 0.1, b, charged)


def _boosts() -> list[Any]:
    """The beams at whose boost decays are looked at."""
    return [collider_beams(name, spread=False) for name in ("superkekb", "kekb", "pep2")]


def _padded(values: Array, event: NDArray[np.int64], n: int, width: int) -> Array:
    """Values (m, ...) of particles as one row (width, ...) per decay, filled with zeros; more than ``width`` are dropped."""
    place = np.arange(len(event)) - np.searchsorted(event, event)
    out = np.zeros((n, width, *values.shape[1:]))
    fits = place < width
    out[event[fits], place[fits]] = values[fits]
    return out


def _mass(p: Array, masses: tuple[float, ...]) -> Array:
    """Mass (n,) [GeV] of tracks (n, k, 3) with these masses."""
    energy = np.sqrt((p**2).sum(axis=-1) + np.array(masses) ** 2).sum(axis=1)
    return np.sqrt(np.maximum(energy**2 - (p.sum(axis=1) ** 2).sum(axis=-1), 0.0))


def likeness(p: Array, pdg: Array, quiet: Array, charged: NDArray[np.bool_]) -> dict[str, Array]:
    """How likely decays with seen tracks (n, k, 3) [GeV] of some codes (n, k; 0 for none) look like each candidate, (n,).

    ``quiet`` (n,) is the factor for what else is seen. Kaons and protons are wanted of ``charged`` B mesons (n,), K*0 and Lambda
    of neutral ones. Rough: it decides what is stored, and weights correct for it.
    """
    kind, charge = np.abs(pdg), np.where(np.abs(pdg) < 20, -np.sign(pdg), np.sign(pdg))
    as_kaon, as_proton = (sum(odds * (kind == code) for code, odds in table.items()) for table in (_AS_KAON, _AS_PROTON))
    pt, seen = np.hypot(p[..., 0], p[..., 1]), (kind > 0).astype(float)
    curls = np.clip((_CURLS[1] - pt) / (_CURLS[1] - _CURLS[0]), _LOST, 1.0)
    lost, hadron = np.where(kind > 0, curls, 1.0), seen
    out = {name: np.zeros(len(p)) for name in CANDIDATES}
    k = p.shape[1]
    for a in range(k):
        rest = np.delete(lost, a, axis=1).prod(axis=1)
        out["kaon"] += (as_kaon * seen * (charge > 0))[:, a] * rest * charged
        out["proton"] += (as_proton * seen)[:, a] * rest * charged
    for a, b in permutations(range(k), 2):
        rest = np.delete(lost, (a, b), axis=1).prod(axis=1) * (charge[:, a] * charge[:, b] < 0) * hadron[:, b]
        for name, table, masses in (("kstar", as_kaon, (M_KAON, M_PION)), ("lambda", as_proton, (M_PROTON, M_PION))):
            m = _mass(p[:, [a, b]], masses)
            out[name] += (table * seen)[:, a] * rest * (m > _RANGES[name][0]) * (m < _RANGES[name][1]) * ~charged
    for a, b, c in permutations(range(k), 3):
        m = _mass(p[:, [a, b, c]], (M_PROTON, M_KAON, M_PION))
        right = (charge[:, a] * charge[:, b] < 0) & (charge[:, a] == charge[:, c]) & (charge[:, a] != 0)
        near = right & (m > _RANGES["lambda_c"][0]) & (m < _RANGES["lambda_c"][1])
        rest = np.delete(lost, (a, b, c), axis=1).prod(axis=1) * hadron[:, c]
        out["lambda_c"] += (as_proton * seen)[:, a] * (as_kaon * seen)[:, b] * rest * near
    return {name: value * quiet for name, value in out.items()}


def _visible(momenta: Array, pdg: NDArray[np.int32]) -> tuple[Any, Any]:
    """Which particles (lab, (m, 4) [GeV]) are tracks that could be seen, and which are photons that could."""
    p = np.linalg.norm(momenta[:, 1:], axis=1)
    theta = np.degrees(np.arccos(np.clip(momenta[:, 3] / np.maximum(p, 1e-12), -1.0, 1.0)))
    pt = np.hypot(momenta[:, 1], momenta[:, 2])
    track = np.isin(np.abs(pdg), _CHARGED) & (pt > TRACK_PT) & (theta > THETA[0]) & (theta < THETA[1])
    photon = (pdg == 22) & (p > PHOTON_ENERGY) & (theta > PHOTON_THETA[0]) & (theta < PHOTON_THETA[1])
    return track, photon


def _inside(batch: Decays, lab: Array, seen: Any, beam: Any) -> Array:
    """1 where the missing momentum points to the detector, a smaller share where it does not, (n,)."""
    energy = np.full((len(batch.b), 1), 0.5 * beam.sqrt_s)
    missing = to_lab(np.hstack([energy, batch.b]), beam)
    for k in range(4):
        missing[:, k] -= np.bincount(batch.decay[seen], weights=lab[seen, k], minlength=len(batch.b))
    cosine = missing[:, 3] / np.maximum(np.linalg.norm(missing[:, 1:], axis=1), 1e-12)
    return np.where((cosine > _INSIDE[0]) & (cosine < _INSIDE[1]), 1.0, _OUTSIDE)


def _select(batch: Decays, beams: list[Any]) -> tuple[dict[str, Array], Any, Any, Any]:
    """For every decay how likely it looks like each candidate anywhere, and which particles are tracks, photons, neutrals."""
    n = len(batch.b)
    # what flew beyond the cylinder without decaying acts like another neutral hadron
    kind = np.abs(batch.pdg)
    neutral = np.isin(kind, (*_NEUTRAL, 310, 3122, 3322))
    best = {name: np.zeros(n) for name in CANDIDATES}
    tracks, photons = np.zeros(len(kind), bool), np.zeros(len(kind), bool)
    for beam in beams:
        lab = to_lab(batch.momenta, beam)
        track, photon = _visible(lab, batch.pdg)
        energy = np.bincount(batch.decay[photon], weights=lab[photon, 0], minlength=n)
        quiet = np.maximum(1.0 / (1.0 + (energy / _QUIET) ** 4), _LEAST) * _inside(batch, lab, track | photon, beam)
        row = _padded(np.column_stack([lab[track, 1:], batch.pdg[track]]), batch.decay[track], n, _FEW)
        found = likeness(row[..., :3], row[..., 3], quiet, batch.charged)
        best = {name: np.maximum(best[name], value) for name, value in found.items()}
        tracks, photons = tracks | track, photons | photon
    return best, tracks, photons, neutral


def _packed(batch: Decays, kept: Any, kinds: tuple[Any, Any, Any]) -> dict[str, NDArray[Any]]:
    """The decays ``kept`` as integers in the steps of the file: tracks, photons and neutral hadrons, hardest first."""
    kind = np.select(kinds, (0, 1, 2), default=3)
    rows = np.flatnonzero((kind < 3) & kept[batch.decay])
    rows = rows[np.lexsort((-batch.momenta[rows, 0], kind[rows], batch.decay[rows]))]
    group = batch.decay[rows] * 3 + kind[rows]
    place = np.arange(len(rows)) - np.searchsorted(group, group)
    rows = rows[place < np.array([MAX_TRACKS, MAX_PHOTONS, MAX_NEUTRALS])[kind[rows]]]
    limit, n, pdg = np.iinfo(np.int16).max, len(batch.b), batch.pdg[rows]
    pdg = np.where(pdg == 310, 130, np.where(np.isin(np.abs(pdg), (3122, 3322)), np.sign(pdg) * 2112, pdg))
    counts = np.stack([np.bincount(batch.decay[rows][kind[rows] == k], minlength=n)[kept] for k in range(3)], axis=1)
    points = np.rint(batch.vertices[rows[kind[rows] == 0]] / VERTEX_STEP)
    b = batch.b[kept]
    cosine = b[:, 2] / np.linalg.norm(b, axis=1)
    return {
        "counts": counts.astype(np.uint8),
        "pdg": pdg.astype(np.int16),
        "momenta": np.rint(batch.momenta[rows, 1:] / MOMENTUM_STEP).astype(np.int16),
        "vertices": np.clip(points, -limit, limit).astype(np.int16),
        "direction": np.rint(np.stack([cosine, np.arctan2(b[:, 1], b[:, 0]) / np.pi], axis=1) / ANGLE_STEP).astype(np.int16),
        "charged": batch.charged[kept],
    }


def _part(n: int, seed: int) -> list[dict[str, NDArray[Any]]]:
    """One part of the decays, thinned to several times what is stored."""
    beams, random, parts = _boosts(), np.random.default_rng(seed + 1000), []
    for batch in b_decays(n, beams[0].sqrt_s, seed):
        best, *kinds = _select(batch, beams)
        likely = np.stack([best[name] for name in CANDIDATES], axis=1).astype(np.float32)
        # decays that are not much like anything are stored so rarely that most can go at once
        odds = np.minimum(1.0, (likely / 0.02).max(axis=1))
        kept = random.random(len(odds)) < odds
        parts.append({**_packed(batch, kept, tuple(kinds)), "likely": likely[kept], "odds": odds[kept].astype(np.float32)})
    return parts


def _hardest(counts: NDArray[np.int64], momenta: Array) -> Array:
    """Momentum (n,) [GeV] of the hardest track of decays whose particles ``momenta`` (m, 3) are one after the other."""
    first = np.cumsum(counts.sum(axis=1)) - counts.sum(axis=1)
    tracks = counts[:, 0]
    size = np.zeros(len(counts))
    for k in range(MAX_TRACKS):
        has = tracks > k
        size[has] = np.maximum(size[has], np.linalg.norm(momenta[first[has] + k], axis=1))
    return size


def _shares(likely: Array, odds: Array) -> Array:
    """The probability (n,) to store decays of which ``odds`` (n,) have come so far: those wanted of every candidate."""
    shares = np.zeros(len(likely))
    for column, name in enumerate(CANDIDATES):
        low, high = 1e-6, 1e6
        for _ in range(60):
            threshold = np.sqrt(low * high)
            # of decays already thinned no more than all can be kept
            stored = np.minimum(likely[:, column] / threshold, odds) / odds
            low, high = (threshold, high) if stored.sum() > STORED[name] else (low, threshold)
        shares = np.maximum(shares, np.minimum(likely[:, column] / low, odds))
    return shares


def make_b_side(folder: Path, scale: float = 1.0, workers: int = 2) -> Path:
    """Write the list into ``folder``, whole or not at all; ``scale`` multiplies the numbers of decays, not what is stored."""
    each = max(1000, int(EVENTS * scale) // PARTS)
    with ProcessPoolExecutor(workers) as pool:
        made = [p for part in pool.map(_part, [each] * PARTS, [30001 + k for k in range(PARTS)]) for p in part]
    return write(folder, made, each * PARTS)


def write(folder: Path, made: list[dict[str, NDArray[Any]]], generated: int) -> Path:
    """Thin the packed decays ``made`` of ``generated`` B mesons of each charge and write the file."""
    arrays = {name: np.concatenate([p[name] for p in made]) for name in made[0]}
    likely, odds = arrays.pop("likely").astype(float), arrays.pop("odds").astype(float)
    counts = arrays["counts"].astype(np.int64)
    # fast kaons and baryons (light X) are rare, and wanted as much as slow ones
    fast = np.clip(_hardest(counts, arrays["momenta"] * MOMENTUM_STEP) / _FAST, 0.3, 3.0) ** 3
    shares = _shares(likely * fast[:, None], odds)
    kept = np.random.default_rng(30000).random(len(odds)) < shares / odds
    particle, track = np.repeat(kept, counts.sum(axis=1)), np.repeat(kept, counts[:, 0])
    flat = {"pdg": particle, "momenta": particle, "vertices": track}
    arrays = {name: values[flat.get(name, kept)] for name, values in arrays.items()}
    arrays["share"] = shares[kept].astype(np.float32)
    arrays["about"] = np.array(json.dumps({"generated": generated, "stored": int(kept.sum())}))
    target = folder / "b_side.npz"
    temporary = target.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, allow_pickle=False, **arrays)
    temporary.replace(target)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the numbers of decays")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "data")
    options = parser.parse_args()
    print(make_b_side(options.folder, options.scale))
