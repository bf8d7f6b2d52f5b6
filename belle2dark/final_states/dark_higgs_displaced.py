"""The final state "an electron pair, another pair, at least one of them away from the beams, and something missing".

For e+e- -> h' chi1 chi2 with chi2 -> chi1 e+ e- and h' to muons, pions or kaons: the two electrons start together, and so do
the other two tracks; both vertices are fitted. The other pair is identified as muons, kaons or neither, which counts as pions: a
draw per event, the flag of templates. No fifth track is seen; energy beside the tracks is a column. ``tracks`` carry five rows
more than tracks: both vertices [dm], the :attr:`.displaced_photon.Pair.quality` of both, and the energy beside the tracks [GeV].

The h' goes to nothing else, so its pair points back to the beams and recoils against the A'; the electrons do neither.

Not included: more than one way to pair tracks of one event (the likeliest is taken), and what :mod:`.displaced_photon` lacks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_ELECTRON, M_KAON, M_MUON, M_PION
from belle2dark.detector.exclusive import Wanted
from belle2dark.detector.experiments import Detector
from belle2dark.detector.observed import Observed, observe
from belle2dark.detector.particle_id import index
from belle2dark.detector.response import Reconstruction
from belle2dark.detector.vertexing import pair_mass
from belle2dark.final_states.displaced_photon import DECIMETRE, LARGEST, Pair, find_pair, vertex_columns, without
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, cos_theta, square
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers

#: kinds of the pair that is not the electrons, by the flag
KINDS = {"mumu": M_MUON, "pipi": M_PION, "kk": M_KAON}
_MASSES = np.array(list(KINDS.values()))
#: columns of each pair
_EACH = {
    "radius": (r"R_{xy}", "cm"), "radius_significance": (r"R_{xy}/\sigma", ""), "radius_error": (r"\sigma(R_{xy})", "cm"),
    "log10_radius": (r"\log_{10} R_{xy}/\mathrm{cm}", ""), "pointing_angle": (r"\angle(\vec p, \vec r)", "rad"),
    "impact_min": (r"\min |d_0|", "cm"), "vertex_chi2": (r"\chi^2_\mathrm{vertex}", ""), "opening_angle": (r"\angle", "rad"),
    "pt_min_lab": (r"\min p_T", "GeV"), "kshort": (r"K_S^0\mathrm{-like}", ""), "conversion": (r"\mathrm{conversion}", ""),
    "material_distance": (r"|R_{xy} - R_\mathrm{material}|", "cm"), "m_ee": (r"M_{ee}", "GeV"),
}  # fmt: skip
_MEANINGS = {
    "m_hprime": (r"M_{h'}", "GeV"),
    "kind": (r"\mathrm{kind\ of\ pair}", ""),
    "recoil_mass_squared": (r"M^2_{\mathrm{recoil},h'}", "GeV^2"),
    "missing_mass_squared": (r"M^2_\mathrm{miss}", "GeV^2"),
    "missing_energy_cms": (r"E^*_\mathrm{miss}", "GeV"),
    "missing_cos_theta_lab": (r"\cos\theta_\mathrm{miss}", ""),
    "extra_energy": (r"E_\mathrm{extra}", "GeV"),
    "distance_max": (r"\max L", "cm"),
    "significance_max": (r"\max R_{xy}/\sigma", ""),
    # of the pair whose radius is more significant
    "impact_displaced": (r"\min |d_0|", "cm"),
    **{f"ee_{name}": (f"{symbol}^{{ee}}", unit) for name, (symbol, unit) in _EACH.items()},
    **{f"h_{name}": (f"{symbol}^{{h'}}", unit) for name, (symbol, unit) in _EACH.items()},
}


def _columns(tracks: Array, _clusters: Array, detector: Detector, kind: NDArray[np.int8]) -> dict[str, Array]:
    beams, points = detector.beams, tracks[:, 4:6] / DECIMETRE
    pairs = {name: vertex_columns(tracks[:, 2 * k : 2 * k + 2], points[:, k], tracks[:, 6 + k], detector)
             for k, name in enumerate(("ee", "h"))}  # fmt: skip
    significance = np.stack([pairs[name]["radius_significance"] for name in ("ee", "h")])
    light, heavy = (_sum(tracks[:, 2 * k : 2 * k + 2], m) for k, m in enumerate((np.full(len(kind), M_ELECTRON), _MASSES[kind])))
    rest = beams.nominal - heavy
    missing = rest - light
    return {
        "m_hprime": np.choose(kind, [pair_mass(tracks[:, 2:4], m, m) for m in KINDS.values()]),
        "kind": kind.astype(float),
        "recoil_mass_squared": square(rest),
        "missing_mass_squared": square(missing),
        "missing_energy_cms": to_cms(missing, beams)[:, 0],
        "missing_cos_theta_lab": cos_theta(missing),
        "extra_energy": tracks[:, 8, 0],
        "distance_max": np.linalg.norm(points, axis=-1).max(axis=1),
        "significance_max": significance.max(axis=0),
        "impact_displaced": np.choose(significance.argmax(axis=0), [pairs[name]["impact_min"] for name in ("ee", "h")]),
        **{f"{pair}_{name}": found[name] for pair, found in pairs.items() for name in _EACH},
    }


def _sum(momenta: Array, mass: Array) -> Array:
    """Four-momenta (n, 4) of pairs of tracks (n, 2, 3) [GeV] of one ``mass`` (n,) [GeV]."""
    return np.column_stack([np.sqrt((momenta**2).sum(axis=-1) + mass[:, None] ** 2).sum(axis=1), momenta.sum(axis=1)])


def _probability(seen: Observed, pair: Pair, hypothesis: str) -> Array:
    """Probability (n,) that both tracks of a pair are identified as ``hypothesis``."""
    rows = np.arange(len(seen))
    each = [seen.identified[(rows, pair.slots[:, k], *index(hypothesis))] for k in (0, 1)]
    return np.asarray(np.prod(each, axis=0))


def _reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    """Both pairs, the electrons first; nothing but tracks is asked for or vetoed."""
    seen = observe(events, detector, key)
    electron = seen.identified[(slice(None), slice(None), *index("electron"))]
    light = find_pair(seen, make_key(key, "electrons"), odds=electron)
    heavy = find_pair(seen, make_key(key, "higgs"), odds=np.ones_like(electron), taken=light.slots)
    both = [_probability(seen, heavy, name) for name in ("muon", "kaon")]
    u = np.random.default_rng(make_key(key, "kind")).random(len(seen))
    kind = np.where(u < both[0], 0, np.where(u < both[0] + both[1], 2, 1)).astype(np.int8)
    others = without(without(seen, light.slots), heavy.slots)
    extra = (others.clusters.momenta_lab[..., 0] * others.clusters.efficiency).sum(axis=1)
    rows = [DECIMETRE * light.position_cm, DECIMETRE * heavy.position_cm, light.quality, heavy.quality,
            np.column_stack([extra, np.zeros((len(seen), 2))]).clip(0.0, LARGEST)]  # fmt: skip
    tracks = np.concatenate([light.momenta_lab, heavy.momenta_lab, np.stack(rows, axis=1)], axis=1)
    tracking = light.efficiency * heavy.efficiency
    factors = {
        "acceptance": (tracking > 0.0).astype(float),
        "tracking": tracking,
        "identification": _probability(seen, light, "electron"),
        "no fifth track": (1.0 - others.tracks.efficiency).prod(axis=1),
    }
    none = np.zeros((len(seen), 0, 4))
    return Reconstruction(tracks_lab=tracks, weights=seen.weights, factors=factors, clusters_lab=none, alternative=kind,
                          columns=_columns(tracks, none, detector, kind))  # fmt: skip


def _loose(c: Columns, _detector: Detector) -> Mask:
    numbers = load_numbers("inelastic_sample")
    momentum = np.minimum(c["ee_pt_min_lab"], c["h_pt_min_lab"]) > float(numbers["track_pt"])
    good = np.maximum(c["ee_vertex_chi2"], c["h_vertex_chi2"]) < float(numbers["vertex_chi2"])
    return np.asarray(momentum & good & (c["distance_max"] > float(numbers["higgs_distance"])) & (c["missing_energy_cms"] > 0.5))


def _displaced(c: Columns, detector: Detector) -> Mask:
    """Where searches look: a vertex clearly away from the beams, no K_S, no conversion, little energy beside the tracks."""
    numbers = load_numbers("inelastic_sample")
    away, extra = float(numbers["radius_significance"]), float(numbers["higgs_extra_energy"])
    heavy = np.minimum(c["ee_m_ee"], c["h_m_ee"]) > detector.number("conversion_mass")
    kshort = np.maximum(c["ee_kshort"], c["h_kshort"]) > 0.5
    return np.asarray(heavy & ~kshort & (c["significance_max"] > away) & (c["extra_energy"] < extra))


def _not_prompt(c: Columns, detector: Detector) -> Mask:
    """What is left of it if the tracks of the displaced pair miss the beam line and enough is missing."""
    numbers = load_numbers("inelastic_sample")
    missing = c["missing_energy_cms"] > float(numbers["higgs_missing_energy"])
    return np.asarray(_displaced(c, detector) & missing & (c["impact_displaced"] > float(numbers["impact"])))


STATE = FinalState(
    name="dark_higgs_displaced", title="an electron pair, another pair, one of them displaced, and something missing",
    wanted=Wanted(hypotheses=("electron", "electron", "muon", "muon"), charges=(-1, 1, -1, 1)), columns=_columns,
    meanings=_MEANINGS, loose=_loose,
    axes=(Axis(column="m_hprime", low=0.0, high=5.0, bins=20), Axis(column="kind", low=-0.5, high=2.5, bins=3)),
    dense=_displaced, rare=_not_prompt, fast=_reconstruct, flags=True, rows=9,
)  # fmt: skip
