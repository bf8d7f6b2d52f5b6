"""Make the reduced lists of hadronic events that the package ships, with Pythia 8 (extra ``gen``; nothing else needs it).

    python -m belle2dark.produce --only hadronic [--scale 0.01] [--folder DIR]

Three files, read by :mod:`belle2dark.simulation.hadronic`: ``hadronic_low_multiplicity.npz`` (what can fake two or four
tracks), ``hadronic_k_v0.npz`` and ``hadronic_kstar_v0.npz`` (a kaon or K* side and a displaced pair that together look
like a B meson). Continuum events carry initial-state radiation; B mesons decay with Pythia's tables. Not simulated: the
detector (no conversions, no nuclear interactions), beam-energy spread, mixing, and hadron production below 4 GeV after
radiation.

Source: Bierlich et al., SciPost Phys. Codebases 8 (2022) (Pythia 8.3).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_B0, M_BPLUS, M_ELECTRON, M_KAON, M_MUON, M_PION
from belle2dark.simulation.beams import Beams, collider_beams, to_lab
from belle2dark.simulation.events import Array
from belle2dark.simulation.hadronic import KSHORT_COSINE, KSHORT_MOMENTUM, LISTS, MOMENTUM_STEP, PROCESSES, VERTEX_STEP

#: events generated per process group at scale 1, and per batch
EVENTS = {"continuum": 2_600_000, "bb": 500_000}
BATCH = 20_000
#: thinning of the low-multiplicity list: limits on the photon energy in the calorimeter [GeV], and the shares kept
QUIET, KEPT = (0.5, 2.0), (1.0, 1 / 8, 1 / 64)
#: what a detector could see: polar angles [degrees], transverse momentum of tracks, energy or momentum of the rest [GeV]
THETA, TRACK_PT, PHOTON_ENERGY, NEUTRAL_MOMENTUM = (12.0, 155.0), 0.1, 0.05, 0.1
MAX_PHOTONS = 10
#: B candidates: smallest M_bc and largest |Delta E| [GeV], smallest transverse displacement of the pair and largest of the
#: kaon side [cm], range of K* masses [GeV]
WINDOW = (5.18, 0.3, 0.05, 0.5, 0.75, 1.05)
_CHARGED, _NEUTRAL = (11, 13, 211, 321, 2212), (130, 2112)
_STABLE = ("13:mayDecay=off", "211:mayDecay=off", "321:mayDecay=off", "130:mayDecay=off", "310:mayDecay=on",
           "ParticleDecays:limitCylinder=on", "ParticleDecays:xyMax=600.", "ParticleDecays:zMax=600.",
           "Print:quiet=on", "Random:setSeed=on", "Random:seed=20001")  # fmt: skip
_CONTINUUM = ("Beams:idA=11", "Beams:idB=-11", "PDF:lepton=on", "WeakSingleBoson:ffbar2gmZ=on", "23:onMode=off",
              "23:onIfAny=1 2 3 4", "23:mMin=4.", "PhaseSpace:mHatMin=4.")  # fmt: skip


class Batch(NamedTuple):
    """Final particles of many events, one after the other: event (m,), PDG code (m,), four-momentum (m, 4) [GeV] and
    production point (m, 4) as (t, x, y, z) [cm], both in the centre of mass; process of each event (events,), and the
    four-momenta of all K_S."""

    event: Any
    pdg: Any
    momenta: Array
    vertices: Array
    process: Any
    kshort: Array


def _pythia(options: tuple[str, ...]) -> Any:
    """An initialised generator; raises ``ImportError`` naming the extra, ``RuntimeError`` for refused settings."""
    try:
        import pythia8mc
    except ImportError:
        raise ImportError("the hadronic lists are made with Pythia 8: install the extra 'gen' (wheels only)") from None
    pythia = pythia8mc.Pythia("", False)
    if not all(pythia.readString(option) for option in (*_STABLE, *options)) or not pythia.init():
        raise RuntimeError("Pythia refused its settings")
    return pythia


def continuum(n: int, sqrt_s: float) -> Iterator[Batch]:
    """n events of e+e- -> q qbar (u, d, s, c) in batches."""
    import awkward as ak

    pythia = _pythia((*_CONTINUUM, f"Beams:eCM={sqrt_s!r}"))

    def flat(column: Any) -> Any:
        return ak.to_numpy(ak.flatten(ak.fill_none(column, 0.0)))

    def vectors(column: Any) -> Array:
        return np.stack([flat(getattr(column, c)) for c in ("e", "px", "py", "pz")], axis=1)

    while n > 0:
        particles = pythia.nextBatch(min(BATCH, n)).prt
        n -= len(particles)
        quark = ak.to_numpy(abs(ak.firsts(particles.id[(abs(particles.id) > 0) & (abs(particles.id) < 5)])))
        final = particles[particles.status > 0]
        event = np.repeat(np.arange(len(final)), ak.to_numpy(ak.num(final.id)))
        process = np.where(quark == 4, PROCESSES.index("charm"), PROCESSES.index("uds"))
        yield Batch(event, flat(final.id).astype(np.int32), vectors(final.p), vectors(final.vProd) * 0.1, process,
                    vectors(particles[particles.id == 310].p))  # fmt: skip


def b_pairs(n: int, sqrt_s: float) -> Iterator[Batch]:
    """n events of e+e- -> B Bbar (half charged, half neutral, sin^2 about the beam) in batches."""
    pythia = _pythia(("ProcessLevel:all=off",))
    random = np.random.default_rng(20002)
    while n > 0:
        size = min(BATCH, n)
        n -= size
        rows: list[tuple[float, ...]] = []
        kshort: list[tuple[float, ...]] = []
        for i in range(size):
            pythia.event.reset()
            mass, code = (M_BPLUS, 521) if i % 2 else (M_B0, 511)
            # median of three uniforms: density 1 - cos^2
            cosine, phi = 2.0 * np.median(random.random(3)) - 1.0, 2.0 * np.pi * random.random()
            p = np.sqrt(0.25 * sqrt_s**2 - mass**2) * np.array(
                [np.sqrt(1 - cosine**2) * np.cos(phi), np.sqrt(1 - cosine**2) * np.sin(phi), cosine]
            )
            for sign in (1, -1):
                at = pythia.event.append(sign * code, 1, 0, 0, 0, 0, 0, 0, *(sign * p), 0.5 * sqrt_s, mass)
                pythia.event[at].tau(pythia.event[at].tau0() * random.exponential())
            if pythia.next():
                rows += [(i, a.id(), a.e(), a.px(), a.py(), a.pz(), a.tProd(), a.xProd(), a.yProd(), a.zProd())
                         for a in pythia.event if a.isFinal()]  # fmt: skip
                kshort += [(a.e(), a.px(), a.py(), a.pz()) for a in pythia.event if a.id() == 310]
        table = np.array(rows)
        yield Batch(table[:, 0].astype(np.int64), table[:, 1].astype(np.int32), table[:, 2:6], table[:, 6:] * 0.1,
                    np.full(size, PROCESSES.index("bb")), np.array(kshort))  # fmt: skip


def _seen(batch: Batch, beams: Beams) -> tuple[Any, Array, Array, Any, Any, Any]:
    """PDG codes, momenta and vertices in the lab, and which particles are visible tracks, photons and neutral hadrons."""
    # what flew beyond the cylinder without decaying acts like another neutral hadron
    pdg = np.where(batch.pdg == 310, 130, np.where(np.isin(abs(batch.pdg), (3122, 3322)), 2112, batch.pdg)).astype(np.int32)
    momenta, vertices = to_lab(batch.momenta, beams), to_lab(batch.vertices, beams)[:, 1:]
    pt, p = np.hypot(momenta[:, 1], momenta[:, 2]), np.linalg.norm(momenta[:, 1:], axis=1)
    high, low = np.cos(np.radians(THETA))
    inside = (momenta[:, 3] < high * p) & (momenta[:, 3] > low * p)
    track = inside & np.isin(abs(pdg), _CHARGED) & (pt > TRACK_PT)
    photon = inside & (pdg == 22) & (p > PHOTON_ENERGY)
    neutral = inside & np.isin(abs(pdg), _NEUTRAL) & (p > NEUTRAL_MOMENTUM)
    return pdg, momenta, vertices, track, photon, neutral


def _sign(pdg: Any) -> Any:
    """Charge of charged stable particles (leptons have positive codes for negative charge)."""
    return np.where(np.abs(pdg) < 20, -np.sign(pdg), np.sign(pdg))


def low_multiplicity(batch: Batch, beams: Beams, random: np.random.Generator) -> dict[str, Array]:
    """The events with two or four visible tracks of zero total charge, thinned by their photon energy."""
    pdg, momenta, vertices, track, photon, neutral = _seen(batch, beams)
    n = len(batch.process)
    tracks = np.bincount(batch.event[track], minlength=n)
    charge = np.bincount(batch.event[track], weights=_sign(pdg[track]), minlength=n)
    energy = np.bincount(batch.event[photon], weights=momenta[photon, 0], minlength=n)
    stratum = np.searchsorted(QUIET, energy)
    keep = ((tracks == 2) | (tracks == 4)) & (charge == 0) & (random.random(n) < np.array(KEPT)[stratum])
    kind = np.where(track, 0, np.where(photon, 1, 2))
    rows = np.flatnonzero((track | photon | neutral) & keep[batch.event])
    rows = rows[np.lexsort((-momenta[rows, 0], kind[rows], batch.event[rows]))]
    # cap the photons, which are sorted by energy
    group = batch.event[rows] * 3 + kind[rows]
    rows = rows[(kind[rows] != 1) | (np.arange(len(rows)) - np.searchsorted(group, group) < MAX_PHOTONS)]
    counts = np.stack([np.bincount(batch.event[rows][kind[rows] == k], minlength=n)[keep] for k in range(3)], axis=1)
    return {**_packed(pdg[rows], momenta[rows], vertices[rows]), "counts": counts.astype(np.uint8),
            "process": batch.process[keep].astype(np.uint8), "share": np.array(KEPT, np.float32)[stratum[keep]]}  # fmt: skip


def _packed(pdg: Any, momenta: Array, vertices: Array) -> dict[str, Any]:
    """Momenta and vertices as integers in the steps of the files."""
    limit = np.iinfo(np.int16).max
    points = np.clip(np.rint(vertices / VERTEX_STEP), -limit, limit).astype(np.int16)
    return {"pdg": pdg.astype(np.int16), "momenta": np.rint(momenta[:, 1:] / MOMENTUM_STEP).astype(np.int16), "vertices": points}


@jit()
def _like_b(momentum, energy, first, second, masses, window, sqrt_s):
    """Whether a kaon side and a pair, with ``momentum`` together and the ``energy`` of the side, fit a B for any pair mass."""
    if 0.25 * sqrt_s**2 - (momentum * momentum).sum() < window[0] ** 2:
        return False
    for mass in masses:
        pair = np.sqrt(mass**2 + (first * first).sum()) + np.sqrt(mass**2 + (second * second).sum())
        if abs(energy + pair - 0.5 * sqrt_s) < window[1]:
            return True
    return False


@jit()
def _candidates(event, cms, charge, point, masses, window, star, sqrt_s, out):
    """Rows (kaon, plus, minus, pion) of tracks that look like B -> K (pair), or K* (pair) with ``star``; no pion otherwise.

    ``window`` is (smallest M_bc, largest |Delta E|, smallest transverse displacement of the pair, largest of the kaon
    side, lowest and highest K* mass); ``masses`` are those of the pair, pion and kaon last.
    """
    found, start, m = 0, 0, len(event)
    prompt, far = np.hypot(point[:, 0], point[:, 1]) < window[3], np.hypot(point[:, 0], point[:, 1]) > window[2]
    kaon, pion = np.sqrt(masses[-1] ** 2 + (cms**2).sum(axis=1)), np.sqrt(masses[-2] ** 2 + (cms**2).sum(axis=1))
    while start < m:
        stop = start
        while stop < m and event[stop] == event[start]:
            stop += 1
        for a in range(start, stop):
            for b in range(start, stop):
                if not far[a] or charge[a] < 0 or charge[b] > 0 or np.abs(point[a] - point[b]).max() > 1e-4:
                    continue
                for k in range(start, stop):
                    if k in (a, b) or not prompt[k]:
                        continue
                    for j in range(start, stop) if star else range(k, k + 1):
                        side, energy = cms[k], kaon[k]
                        if star:
                            if j in (a, b) or not prompt[j] or charge[j] == charge[k]:
                                continue
                            side, energy = cms[k] + cms[j], kaon[k] + pion[j]
                            square = energy**2 - (side * side).sum()
                            if not window[4] ** 2 < square < window[5] ** 2:
                                continue
                        if found < len(out) and _like_b(cms[a] + cms[b] + side, energy, cms[a], cms[b], masses, window, sqrt_s):
                            out[found, 0], out[found, 1], out[found, 2], out[found, 3] = k, a, b, j
                            found += 1
        start = stop
    return found


def _fox_wolfram(batch: Batch, rows: Any) -> Array:
    """Fox-Wolfram ratio H2/H0 of all final particles but neutrinos, in the events of ``rows``."""
    out = np.empty(len(rows))
    for i, row in enumerate(rows):
        first, last = np.searchsorted(batch.event, (batch.event[row], batch.event[row] + 1))
        p = batch.momenta[first:last, 1:][~np.isin(abs(batch.pdg[first:last]), (12, 14, 16))]
        size = np.linalg.norm(p, axis=1)
        product = np.outer(size, size)
        cosine = (p @ p.T) / np.maximum(product, 1e-12)
        out[i] = float((product * (1.5 * cosine**2 - 0.5)).sum() / product.sum())
    return out


def k_v0(batch: Batch, beams: Beams, star: bool) -> dict[str, Array]:
    """Candidates of B -> K (displaced pair), several per event if there are: a track taken as a kaon, then plus and minus.

    With ``star`` it is K*0 -> K pi instead, the pion last.
    """
    pdg, momenta, vertices, track, _, _ = _seen(batch, beams)
    rows = np.flatnonzero(track)
    out = np.empty((10 * len(batch.process), 4), dtype=np.int64)
    masses = np.array([M_ELECTRON, M_MUON, M_PION, M_KAON])
    found = _candidates(batch.event[rows], batch.momenta[rows, 1:], _sign(pdg[rows]), vertices[rows], masses, WINDOW, star,
                        beams.sqrt_s, out)  # fmt: skip
    chosen = rows[out[:found, : 4 if star else 3]]
    flat, process = chosen.reshape(-1), batch.process[batch.event[chosen[:, 0]]].astype(np.uint8)
    counts = np.tile(np.array([chosen.shape[1], 0, 0], np.uint8), (found, 1))
    return {**_packed(pdg[flat], momenta[flat], vertices[flat]), "process": process, "counts": counts,
            "share": np.ones(found, np.float32), "r2": _fox_wolfram(batch, chosen[:, 0]).astype(np.float16)}  # fmt: skip


def make_hadronic(folder: Path, scale: float = 1.0) -> list[Path]:
    """Write all lists into ``folder``, whole or not at all; ``scale`` multiplies the numbers of events."""
    beams, random = collider_beams("superkekb", spread=False), np.random.default_rng(20003)
    lists: dict[str, list[dict[str, Array]]] = {name: [] for name in LISTS}
    generated = np.zeros(len(PROCESSES), dtype=np.int64)
    kshort = np.zeros((2, len(KSHORT_MOMENTUM) - 1, len(KSHORT_COSINE) - 1))
    for at, (group, make) in enumerate((("continuum", continuum), ("bb", b_pairs))):
        for batch in make(max(1000, int(EVENTS[group] * scale)), beams.sqrt_s):
            generated += np.bincount(batch.process, minlength=len(PROCESSES))
            p = np.linalg.norm(batch.kshort[:, 1:], axis=1)
            kshort[at] += np.histogram2d(p, np.abs(batch.kshort[:, 3]) / p, (KSHORT_MOMENTUM, KSHORT_COSINE))[0]
            lists["low_multiplicity"].append(low_multiplicity(batch, beams, random))
            lists["k_v0"].append(k_v0(batch, beams, star=False))
            lists["kstar_v0"].append(k_v0(batch, beams, star=True))
    kshort /= np.array([generated[:-1].sum(), generated[-1]])[:, None, None]
    about = json.dumps({"generated": dict(zip(PROCESSES, generated.tolist(), strict=True)), "sqrt_s": beams.sqrt_s})
    written = []
    for name, made in lists.items():
        arrays: dict[str, Any] = {column: np.concatenate([part[column] for part in made]) for column in made[0]}
        arrays |= {"about": about, "generated": generated} | ({"kshort": kshort} if name == "k_v0" else {})
        target, temporary = folder / f"hadronic_{name}.npz", folder / f".hadronic_{name}.npz"
        np.savez_compressed(temporary, **arrays)
        os.replace(temporary, target)
        written.append(target)
    return written
