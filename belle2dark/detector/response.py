"""From true events to what the tracks and the calorimeter show.

:func:`reconstruct` smears the two leptons of an event, weights it with the probabilities that both are found and
identified and that nothing else is seen in the calorimeter, and keeps these factors apart so that a cutflow can show
them. Probabilities are weights, not draws: no event is wasted, and changing an efficiency needs no new random numbers.
For other final states, displaced vertices and other detectors' cracks see :func:`belle2dark.detector.observed.observe`.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.constants import M_MUON
from belle2dark.detector.dilepton import dilepton_columns
from belle2dark.detector.experiments import Detector
from belle2dark.detector.smearing import smear_track, turn_on
from belle2dark.simulation.events import Events
from belle2dark.simulation.rng import BLOCK, make_key, normal, seed_block

Array = NDArray[np.float64]
#: the factor that counts the ways to give tracks their roles, which is the only one that exceeds 1
EVERY_ASSIGNMENT = "every assignment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """n reconstructed events with two charged tracks.

    ``tracks_lab`` is ``(n, 2, 3)``: smeared momenta [GeV] of the negative and the positive track; ``weights`` ``(n,)``
    are the generator's; ``factors[stage]`` ``(n,)`` are the probabilities in [0, 1] of each detector stage, in order;
    ``columns[name]`` ``(n,)`` are the derived quantities that cuts and windows use, see :mod:`belle2dark.detector.dilepton`.
    ``clusters_lab`` ``(n, k, 4)`` are photons and electrons inside the calorimeter above the veto threshold, for L1.
    ``alternative`` ``(n,)`` counts the sets of hypotheses, where a final state has several.
    """

    tracks_lab: Array
    weights: Array
    factors: Mapping[str, Array]
    columns: Mapping[str, Array]
    clusters_lab: Array
    alternative: NDArray[np.signedinteger[Any]] = field(default_factory=lambda: np.zeros(0, dtype=np.int8))

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Events ``(n,)`` inside the acceptance, which is the first of the factors."""
        return np.asarray(next(iter(self.factors.values())) > 0.0)


@jit(inline=True)
def in_calorimeter(cos_theta, ecl):
    """Whether a polar angle is covered by the backward, barrel or forward ECL (pairs of cosines in ``ecl``)."""
    return (ecl[0] < cos_theta < ecl[1]) or (ecl[2] < cos_theta < ecl[3]) or (ecl[4] < cos_theta < ecl[5])


@jit(inline=True)
def _smear(s0, s1, px, py, pz, r):
    """One track: (px, py, pz) -> smeared momentum with the true transverse momentum, momentum and cosine."""
    s0, s1, g1 = normal(s0, s1)
    s0, s1, g2 = normal(s0, s1)
    s0, s1, g3 = normal(s0, s1)
    pt2 = px * px + py * py + 1e-24
    p2 = pt2 + pz * pz
    pt, p = math.sqrt(pt2), math.sqrt(p2)
    shared = 1.0 / (pt * p)  # one division for 1/pT and 1/p
    inverse_pt, inverse_p = p * shared, pt * shared
    multiple = r.pt_constant * r.pt_constant * (1.0 + M_MUON * M_MUON * inverse_p * inverse_p)
    relative = math.sqrt(r.pt_slope * r.pt_slope * pt2 + multiple) * g1
    x, y, z = smear_track(px, py, pz, pt, inverse_pt, relative, r.angle * g2, r.angle * g3)
    return s0, s1, x, y, z, pt, p, pz * inverse_p


@jit(parallel=True, fastmath=True)
def _reconstruct(minus, plus, key, r, tracks, acceptance, tracking, identification):
    n = minus.shape[0]
    tracking_slope = 1.0 / (r.tracking_high - r.tracking_low)
    muon_id_slope = 1.0 / (r.muon_id_high - r.muon_id_low)
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            s0, s1, x1, y1, z1, pt1, p1, c1 = _smear(s0, s1, minus[i, 1], minus[i, 2], minus[i, 3], r)
            s0, s1, x2, y2, z2, pt2, p2, c2 = _smear(s0, s1, plus[i, 1], plus[i, 2], plus[i, 3], r)
            tracks[i, 0, 0], tracks[i, 0, 1], tracks[i, 0, 2] = x1, y1, z1
            tracks[i, 1, 0], tracks[i, 1, 1], tracks[i, 1, 2] = x2, y2, z2
            # & instead of "and": no branch to mispredict
            inside = (c1 > r.cdc_cos_low) & (c1 < r.cdc_cos_high) & (c2 > r.cdc_cos_low) & (c2 < r.cdc_cos_high)
            reach = (c1 > r.klm_cos_low) & (c1 < r.klm_cos_high) & (c2 > r.klm_cos_low) & (c2 < r.klm_cos_high)
            acceptance[i] = 1.0 if inside else 0.0
            found = turn_on(pt1, r.tracking_low, tracking_slope) * turn_on(pt2, r.tracking_low, tracking_slope)
            tracking[i] = r.tracking * r.tracking * found
            known = turn_on(p1, r.muon_id_low, muon_id_slope) * turn_on(p2, r.muon_id_low, muon_id_slope)
            identification[i] = r.muon_id * r.muon_id * known if reach else 0.0


@jit()
def _veto(extra, ecl, threshold, inefficiency, kept, factor):
    """Keep the particles the calorimeter can see and multiply the inefficiency per visible particle; ``extra`` (n, k, 4)."""
    n, k, _ = extra.shape
    for i in range(n):
        slot, weight = 0, 1.0
        for j in range(k):
            energy, z = extra[i, j, 0], extra[i, j, 3]
            if energy > threshold:
                p = math.sqrt(extra[i, j, 1] ** 2 + extra[i, j, 2] ** 2 + z * z)
                if in_calorimeter(z / p, ecl):
                    weight *= inefficiency
                    kept[i, slot] = extra[i, j]
                    slot += 1
        factor[i] = weight


@jit()
def _track_veto(electron, r, factor):
    """Multiply the probability that an electron beside the muon pair leaves no track, ``electron`` (n, 4)."""
    slope = 1.0 / (r.tracking_high - r.tracking_low)
    for i in range(electron.shape[0]):
        pt, z = math.sqrt(electron[i, 1] ** 2 + electron[i, 2] ** 2), electron[i, 3]
        cosine = z / math.sqrt(pt * pt + z * z + 1e-300)
        if r.cdc_cos_low < cosine < r.cdc_cos_high:
            factor[i] *= 1.0 - r.tracking * turn_on(pt, r.tracking_low, slope)


def reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    """What the detector sees of ``events`` with the particles "mu-" and "mu+"; random numbers from ``key``.

    Photons, and electrons beside the muon pair, are vetoed with the calorimeter's inefficiency if they are inside it, and
    electrons inside the drift chamber by their track, also behind a gap of the calorimeter.
    Raises ``ValueError`` if the events have no muon pair.
    """
    if not {"mu-", "mu+"} <= set(events.momenta_lab):
        raise ValueError(f"events need 'mu-' and 'mu+'; they have {', '.join(events.momenta_lab)}")
    n, response = len(events), detector.response()
    tracks = np.empty((n, 2, 3))
    acceptance, tracking, identification, veto = (np.empty(n) for _ in range(4))
    _reconstruct(events.momenta_lab["mu-"], events.momenta_lab["mu+"], np.uint64(make_key(key, "detector")), response, tracks,
                 acceptance, tracking, identification)  # fmt: skip
    others = [events.momenta_lab[name] for name in (*events.photons, "e-", "e+") if name in events.momenta_lab]
    seen = np.zeros((n, len(others), 4))
    if others:
        _veto(np.stack(others, axis=1), detector.calorimeter(), detector.number("photon_veto_threshold"),
              detector.number("photon_veto_inefficiency"), seen, veto)  # fmt: skip
    else:
        veto.fill(1.0)
    for name in ("e-", "e+"):
        if name in events.momenta_lab:
            _track_veto(events.momenta_lab[name], response, veto)
    factors = {"track acceptance": acceptance, "tracking": tracking, "muon identification": identification, "photon veto": veto}
    columns = dilepton_columns(tracks, detector.beams)
    return Reconstruction(tracks_lab=tracks, weights=events.weights, factors=factors, columns=columns, clusters_lab=seen)
