"""Hadronic events e+e- -> u, d, s, c quarks and B Bbar that can fake a dark-sector signature, as shipped weighted lists.

``low_multiplicity``: two or four tracks of zero total charge between 12 and 155 degrees with pT > 0.1 GeV, and all
photons and neutral hadrons there, for searches with few tracks. ``k_v0``: a track (taken as a kaon) and two opposite
tracks from one displaced point, with M_bc > 5.18 GeV and |Delta E| < 0.3 GeV for some mass hypothesis, for B -> K S.
``kstar_v0``: the same with a K pi pair between 0.75 and 1.05 GeV instead of the kaon. All were made once with Pythia 8 by
:mod:`belle2dark.produce.hadronic` for SuperKEKB at the Upsilon(4S); reading them needs only numpy.

Not in them: detector effects (conversions, nuclear interactions, K_L showers), beam-energy spread, tracks and photons
outside the calorimeter, photons after the tenth, exclusive low-mass final states (below 4 GeV after radiation), and pairs
from tracks that cross by chance (see :mod:`.displaced`). Pythia's default tune is not fitted to B-factory data: rates of
a low-multiplicity corner are good to a factor of about 1.5 (``choice``).
"""

from __future__ import annotations

import io
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_ELECTRON, M_KAON, M_KSHORT, M_MUON, M_NEUTRON, M_PION, M_PROTON
from belle2dark.simulation.events import Array, Codes, Events
from belle2dark.sourced import data_file, load_numbers, nearest

LISTS = ("low_multiplicity", "k_v0", "kstar_v0")
PROCESSES = ("uds", "charm", "bb")
#: steps of the stored integers [GeV, cm]
MOMENTUM_STEP, VERTEX_STEP = 2.5e-4, 2e-3
#: bins of the K_S spectrum: momentum in the centre of mass [GeV] and |cos theta| about the beam
KSHORT_MOMENTUM, KSHORT_COSINE = np.linspace(0.0, 5.2, 53), np.linspace(0.0, 1.0, 6)
_MASS = MappingProxyType({11: M_ELECTRON, 13: M_MUON, 22: 0.0, 211: M_PION, 321: M_KAON, 2212: M_PROTON, 130: M_KSHORT,
                          2112: M_NEUTRON})  # fmt: skip
_SLOTS = ("prong", "gamma", "neutral")


def cross_sections() -> dict[str, float]:
    """Cross-sections of :data:`PROCESSES` at the Upsilon(4S) [fb]."""
    numbers = load_numbers("mesons")
    light = sum(float(numbers[f"{q}{q}_cross_section"]) for q in "uds")
    return {"uds": light, "charm": float(numbers["cc_cross_section"]), "bb": float(numbers["bb_cross_section"])}


@cache
def _read(name: str) -> dict[str, NDArray]:
    if name not in LISTS:
        raise ValueError(f"hadronic list {name!r}: not one of {', '.join(LISTS)}; nearest: {nearest(name, LISTS)}")
    with np.load(io.BytesIO(data_file(f"hadronic_{name}.npz").read_bytes())) as arrays:
        return {column: arrays[column] for column in arrays.files}


def equivalent_luminosity() -> dict[str, float]:
    """Luminosity that each process was generated for [fb^-1], before thinning."""
    sigma, generated = cross_sections(), _read("low_multiplicity")["generated"]
    return {name: float(n) / sigma[name] for name, n in zip(PROCESSES, generated, strict=True)}


def _chosen(arrays: dict[str, NDArray], process: str | None) -> NDArray[np.bool_]:
    """Which events of a list belong to ``process``."""
    if process is None:
        return np.ones(len(arrays["process"]), dtype=bool)
    if process not in PROCESSES:
        raise ValueError(f"process {process!r}: not one of {', '.join(PROCESSES)}; nearest: {nearest(process, PROCESSES)}")
    return arrays["process"] == PROCESSES.index(process)


def load_hadronic(name: str, process: str | None = None) -> Events:
    """A shipped list, all processes or one of :data:`PROCESSES`, in the lab of SuperKEKB, weights in fb.

    Slots ``prong_1`` ... (charged, hardest first; in ``k_v0`` and ``kstar_v0`` one row per candidate: kaon, plus and minus
    track of the pair, and the pion of the K*), ``gamma_1`` ... (by energy) and ``neutral_1`` ... (K_L or neutron), with
    ``species`` and production points. Momenta are rounded to 0.25 MeV and points to 20 um. ``low_multiplicity`` was
    thinned by photon energy: kept events with much of it weigh 8 and 64 times more. Raises ``ValueError`` for an unknown
    list or process.
    """
    arrays = _read(name)
    chosen = _chosen(arrays, process)
    counts = arrays["counts"].astype(np.int64)
    per_event = counts.sum(axis=1)
    event = np.repeat(np.arange(len(counts)), per_event)
    place = np.arange(len(event)) - np.repeat(np.cumsum(per_event) - per_event, per_event)
    momenta, species, vertices = _unpacked(arrays)
    slots: dict[str, Array] = {}
    codes: dict[str, Codes] = {}
    points: dict[str, Array] = {}
    before = np.zeros(len(counts), dtype=np.int64)
    for kind, slot in enumerate(_SLOTS):
        for k in range(int(counts[chosen, kind].max(initial=0))):
            rows = np.flatnonzero((place == before[event] + k) & (k < counts[event, kind]) & chosen[event])
            at = (np.cumsum(chosen) - 1)[event[rows]]
            label, n = f"{slot}_{k + 1}", int(chosen.sum())
            slots[label], points[label] = np.zeros((n, 4)), np.zeros((n, 3))
            slots[label][at], points[label][at] = momenta[rows], vertices[rows]
            if slot != "gamma":
                codes[label] = np.zeros(n, dtype=np.int32)
                codes[label][at] = species[rows]
        before += counts[:, kind]
    weights = np.array([cross_sections()[p] for p in PROCESSES]) / np.maximum(arrays["generated"], 1)
    return Events(momenta_lab=slots, weights=(weights[arrays["process"]] / arrays["share"])[chosen].astype(np.float64),
                  vertices_cm=points, species=codes)  # fmt: skip


def _unpacked(arrays: dict[str, NDArray]) -> tuple[Array, Codes, Array]:
    """Four-momenta (m, 4) [GeV], codes (m,) and production points (m, 3) [cm] of all particles of a list."""
    species = arrays["pdg"].astype(np.int32)
    p = arrays["momenta"] * MOMENTUM_STEP
    mass = np.array([_MASS[code] for code in np.abs(species).tolist()])
    energy = np.sqrt(mass**2 + (p**2).sum(axis=1))
    return np.column_stack([energy, p]), species, arrays["vertices"] * VERTEX_STEP


def fox_wolfram(name: str, process: str | None = None) -> Array:
    """H2/H0 of the whole event (visible particles, truth) for every candidate of ``k_v0`` or ``kstar_v0``, in their order.

    Raises ``ValueError`` for an unknown list or process, or a list without it.
    """
    arrays = _read(name)
    if "r2" not in arrays:
        raise ValueError(f"hadronic list {name!r}: holds no event shapes; use k_v0 or kstar_v0")
    return arrays["r2"][_chosen(arrays, process)].astype(np.float64)


def kshort_spectrum(process: str = "continuum") -> Array:
    """Mean number of K_S per "continuum" or "bb" event in the bins :data:`KSHORT_MOMENTUM` x :data:`KSHORT_COSINE`.

    Raises ``ValueError`` for another process.
    """
    known = ("continuum", "bb")
    if process not in known:
        raise ValueError(f"process {process!r}: not one of {', '.join(known)}; nearest: {nearest(process, known)}")
    return _read("k_v0")["kshort"][known.index(process)].astype(np.float64)
