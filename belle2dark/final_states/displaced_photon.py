"""The final state "a photon, two tracks from a point away from the beams, and something missing".

Two opposite tracks of an event that start together are its pair: their vertex is fitted (:mod:`belle2dark.detector.vertexing`),
with the efficiency of displaced tracks in the weights; of several pairs the likeliest is taken. The pair is identified as
electrons, muons or neither, which counts as pions: a draw per event, the flag of templates. Everything else must stay unseen but
one photon. ``tracks`` carry two rows more than tracks: the vertex [dm], and the error of its distance from the beam line [cm],
the chi-squared of the fit, and how far the nearer track misses the beam line [cm] (each at most 8).

Vetoes are columns: ``kshort`` (mass as two pions), ``conversion`` (small mass at material), ``impact_min`` (prompt tracks, those
of taus, and tracks that cross by chance), ``radius_significance`` (prompt pairs), ``pointing_angle`` between the momentum of the
pair and the line from the beams to the vertex, which is small for whatever decays to nothing else.
:func:`study_weights` is what a published study takes in the place of all this.

Not included: pairs whose tracks share a hit-sized opening, vertices of one track with a wrong one (crossing tracks are a process
of the background), energy lost by the tracks before the chamber.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_ELECTRON, M_MUON, M_PION
from belle2dark.detector import photons
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.observed import Observed, observe
from belle2dark.detector.particle_id import index
from belle2dark.detector.response import Reconstruction
from belle2dark.detector.vertexing import pair_mass, two_track_vertex
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask, cos_theta, in_tracker, square
from belle2dark.simulation.beams import to_cms
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers

#: kinds of pair by the flag
KINDS = {"ee": M_ELECTRON, "mumu": M_MUON, "pipi": M_PION}
_MASSES = np.array(list(KINDS.values()))
#: lengths are stored like momenta, in steps of 0.25 of a thousandth: vertices in dm
DECIMETRE, LARGEST = 0.1, 8.0
#: what is asked of everything but the pair
_PHOTON = Wanted(photons=1, energy_min=0.3)
_MEANINGS = {
    "m_pair": (r"M_{\ell\ell}", "GeV"),
    "m_ee": (r"M_{ee}", "GeV"),
    "m_mumu": (r"M_{\mu\mu}", "GeV"),
    "m_pipi": (r"M_{\pi\pi}", "GeV"),
    "lepton": (r"\mathrm{kind\ of\ pair}", ""),
    "opening_angle": (r"\angle(\ell^-, \ell^+)", "rad"),
    "pt_min_lab": (r"\min p_T", "GeV"),
    "pt_pair_lab": (r"p_{T,\ell\ell}", "GeV"),
    "cos_theta_lab_minus": (r"\cos\theta_{\ell^-}", ""),
    "cos_theta_lab_plus": (r"\cos\theta_{\ell^+}", ""),
    "radius": (r"R_{xy}", "cm"),
    "log10_radius": (r"\log_{10} R_{xy}/\mathrm{cm}", ""),
    "radius_error": (r"\sigma(R_{xy})", "cm"),
    "radius_significance": (r"R_{xy}/\sigma", ""),
    "z_vertex": (r"z", "cm"),
    "vertex_chi2": (r"\chi^2_\mathrm{vertex}", ""),
    "material_distance": (r"|R_{xy} - R_\mathrm{material}|", "cm"),
    "material_significance": (r"|R_{xy} - R_\mathrm{material}|/\sigma", ""),
    "impact_min": (r"\min |d_0|", "cm"),
    "pointing_angle": (r"\angle(\vec p_{\ell\ell}, \vec r)", "rad"),
    "region": (r"\mathrm{region}", ""),
    "kshort": (r"K_S^0\mathrm{-like}", ""),
    "conversion": (r"\mathrm{conversion}", ""),
    "photon_energy_cms": (r"E^*_\gamma", "GeV"),
    "photon_cos_theta_lab": (r"\cos\theta_\gamma", ""),
    "recoil_mass_squared": (r"M^2_{\mathrm{recoil},\gamma}", "GeV^2"),
    "missing_mass_squared": (r"M^2_\mathrm{miss}", "GeV^2"),
    "missing_energy_cms": (r"E^*_\mathrm{miss}", "GeV"),
    "missing_cos_theta_lab": (r"\cos\theta_\mathrm{miss}", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The pair of tracks of n events: ``slots`` (n, 2) and ``momenta_lab`` (n, 2, 3) [GeV], negative first.

    ``position_cm`` (n, 3), ``radius_error`` (n,) [cm] and ``chi2`` (n,) are those of the vertex, ``impact`` (n,) [cm] is the
    smaller distance of the tracks from the beam line, 0 if it is none within its error; ``efficiency`` (n,) is 0 without a pair.
    """

    slots: NDArray[np.intp]
    momenta_lab: Array
    position_cm: Array
    radius_error: Array
    chi2: Array
    impact: Array
    efficiency: Array

    @property
    def quality(self) -> Array:
        """Error of the radius [cm], chi-squared and impact [cm] side by side, (n, 3), as they are stored."""
        return np.column_stack([self.radius_error, self.chi2, self.impact]).clip(0.0, LARGEST)


def find_pair(seen: Observed, key: int, odds: Array | None = None, taken: NDArray[np.intp] | None = None) -> Pair:
    """The pair of opposite tracks from about one point that is most likely seen without the other tracks, in each of n events.

    With ``odds`` (n, k) of each slot to be right, the one that is found and right most likely, whatever else there is; slots in
    ``taken`` (n, 2) are left out.
    """
    n, charge = len(seen), seen.tracks.charge
    found = seen.tracks.efficiency.copy()
    if taken is not None:
        np.put_along_axis(found, taken, 0.0, axis=1)
    each = found if odds is None else found * odds
    hidden = 1.0 - found if odds is None else np.ones_like(found)
    numbers = load_numbers("inelastic_sample")
    near = float(numbers["start_distance"])
    slots, best = np.zeros((n, 2), dtype=np.intp), np.zeros(n)
    momenta, position, error, chi2, efficiency = np.zeros((n, 2, 3)), np.zeros((n, 3)), np.zeros(n), np.zeros(n), np.zeros(n)
    charged = [j for j in range(charge.shape[1]) if charge[:, j].any()]
    for a, b in combinations(charged, 2):
        together = np.abs(seen.vertices_cm[:, a] - seen.vertices_cm[:, b]).max(axis=1) < near
        others = [j for j in charged if j not in (a, b)]
        likely = each[:, a] * each[:, b] * (charge[:, a] * charge[:, b] < 0) * together * hidden[:, others].prod(axis=1)
        take = likely > best
        if not take.any():
            continue
        vertices = two_track_vertex(seen, seen.slots[a], seen.slots[b], make_key(key, str(a), str(b)))
        order = np.where(charge[take, a, None] < 0, [[0, 1]], [[1, 0]])
        best[take], slots[take] = likely[take], np.array([a, b])[order]
        momenta[take] = np.take_along_axis(vertices.momenta_lab[take], order[:, :, None], axis=1)
        position[take], error[take] = vertices.positions_cm[take], vertices.radius_error[take]
        chi2[take], efficiency[take] = vertices.chi2[take], found[take, a] * found[take, b]
    d0, error_d0 = (np.take_along_axis(x[..., 0], slots, axis=1) for x in (np.abs(seen.tracks.impact), seen.tracks.impact_error))
    impact = np.where(d0 > float(numbers["impact_deviations"]) * error_d0, d0, 0.0).min(axis=1)
    return Pair(slots=slots, momenta_lab=momenta, position_cm=position, radius_error=error, chi2=chi2, impact=impact,
                efficiency=efficiency)  # fmt: skip


def without(seen: Observed, slots: NDArray[np.intp]) -> Observed:
    """The same events as if nothing had been in ``slots`` (n, k)."""
    tracks, clusters, klm = seen.tracks, seen.clusters, seen.klm.copy()
    found, clear = tracks.efficiency.copy(), clusters.unseen.copy()
    looks, energy = clusters.efficiency.copy(), clusters.momenta_lab.copy()
    for table, value in ((found, 0.0), (clear, 1.0), (looks, 0.0), (klm, 0.0)):
        np.put_along_axis(table, slots, value, axis=1)
    np.put_along_axis(energy, slots[:, :, None], 0.0, axis=1)
    return replace(seen, tracks=replace(tracks, efficiency=found), klm=klm,
                   clusters=replace(clusters, unseen=clear, efficiency=looks, momenta_lab=energy))  # fmt: skip


def kind_of_pair(seen: Observed, pair: Pair, key: int) -> NDArray[np.int8]:
    """Number of :data:`KINDS` (n,) that each pair is identified as, drawn with random numbers from ``key``."""
    rows = np.arange(len(seen))
    both = [np.prod([seen.identified[(rows, pair.slots[:, k], *index(name))] for k in (0, 1)], axis=0)
            for name in ("electron", "muon")]  # fmt: skip
    dice = np.random.default_rng(make_key(key, "kind of pair")).random(len(seen))
    return np.where(dice < both[0], 0, np.where(dice < both[0] + both[1], 1, 2)).astype(np.int8)


def vertex_columns(momenta: Array, position: Array, quality: Array, detector: Detector) -> dict[str, Array]:
    """Columns (n,) of a pair: ``momenta`` (n, 2, 3) [GeV], vertex ``position`` (n, 3) [cm] and :attr:`Pair.quality` (n, 3)."""
    numbers, pair = load_numbers("inelastic_sample"), momenta.sum(axis=1)
    radius, sizes = np.hypot(position[:, 0], position[:, 1]), np.linalg.norm(momenta, axis=-1)
    layers = (detector.number("beam_pipe_radius"), *detector.numbers["silicon_radii"].values, float(numbers["material_wall"]))
    distance, error = np.abs(radius[:, None] - np.array(layers)).min(axis=1), np.maximum(quality[:, 0], 1e-4)
    (low, high), (inner, outer) = numbers["vertex_z"].values, (numbers[f"{name}_radius"].values for name in ("inner", "outer"))
    inside = (position[:, 2] > low) & (position[:, 2] < high)
    region = np.select([(radius > low) & (radius < high) & inside for low, high in (inner, outer)], [1.0, 2.0])
    masses = {name: pair_mass(momenta, m, m) for name, m in KINDS.items()}
    ks_low, ks_high = detector.numbers["ks_veto_window"].values
    width, deviations = detector.numbers["conversion_width"].values
    near = distance < np.hypot(width, deviations * error)
    return {
        **{f"m_{name}": values for name, values in masses.items()},
        "opening_angle": _angle(momenta[:, 0], momenta[:, 1]),
        "pt_min_lab": np.hypot(momenta[..., 0], momenta[..., 1]).min(axis=1),
        "pt_pair_lab": np.hypot(pair[:, 0], pair[:, 1]),
        "cos_theta_lab_minus": momenta[:, 0, 2] / np.maximum(sizes[:, 0], 1e-300),
        "cos_theta_lab_plus": momenta[:, 1, 2] / np.maximum(sizes[:, 1], 1e-300),
        "radius": radius,
        "log10_radius": np.log10(np.maximum(radius, 1e-4)),
        "radius_error": error,
        "radius_significance": radius / error,
        "z_vertex": position[:, 2],
        "vertex_chi2": quality[:, 1],
        "impact_min": quality[:, 2],
        "material_distance": distance,
        "material_significance": distance / error,
        "pointing_angle": _angle(pair, position),
        "region": region,
        "kshort": ((masses["pipi"] > ks_low) & (masses["pipi"] < ks_high)).astype(float),
        "conversion": (near & (masses["ee"] < detector.number("conversion_mass"))).astype(float),
    }


def _angle(a: Array, b: Array) -> Array:
    """Angle (n,) [rad] between vectors (n, 3), exact for small ones."""
    return np.asarray(np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(axis=1)))


def _columns(tracks: Array, clusters: Array, detector: Detector, kind: NDArray[np.int8]) -> dict[str, Array]:
    beams, photon, momenta = detector.beams, clusters[:, 0], tracks[:, :2]
    found = vertex_columns(momenta, tracks[:, 2] / DECIMETRE, tracks[:, 3], detector)
    energy = np.sqrt((momenta**2).sum(axis=-1) + _MASSES[kind][:, None] ** 2).sum(axis=1)
    missing = beams.nominal - np.column_stack([energy, momenta.sum(axis=1)]) - photon
    return found | {
        "m_pair": np.choose(kind, [found[f"m_{name}"] for name in KINDS]),
        "lepton": kind.astype(float),
        "photon_energy_cms": to_cms(photon, beams)[:, 0],
        "photon_cos_theta_lab": cos_theta(photon),
        "recoil_mass_squared": photons.recoil_mass_squared(photon, beams),
        "missing_mass_squared": square(missing),
        "missing_energy_cms": to_cms(missing, beams)[:, 0],
        "missing_cos_theta_lab": cos_theta(missing),
    }


def _reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    """The pair and the photon; stages are those of :func:`.exclusive.exclusive` with the tracks' efficiency in "tracking"."""
    seen = observe(events, detector, key)
    pair = find_pair(seen, key)
    rest = exclusive(without(seen, pair.slots), _PHOTON, lambda _tracks, _photons, _which: {}, detector.beams, key)
    kind = kind_of_pair(seen, pair, key)
    tracks = np.concatenate([pair.momenta_lab, DECIMETRE * pair.position_cm[:, None], pair.quality[:, None]], axis=1)
    factors = dict(rest.factors) | {"tracking": pair.efficiency}
    factors["acceptance"] = factors["acceptance"] * (pair.efficiency > 0.0)
    return replace(rest, tracks_lab=tracks, factors=factors, alternative=kind,
                   columns=_columns(tracks, rest.clusters_lab, detector, kind))  # fmt: skip


def study_weights(events: Events, detector: Detector) -> Array:
    """Efficiency (n,) of the pair prong_1, prong_2 of true ``events`` as in the theory study: two regions, each with one number.

    Both tracks are inside the drift chamber and above the least transverse momentum, open enough, from a vertex in the inner or
    outer region, outside the K_S window with the mass they have; nothing is asked of the photon or of anything else.
    Source: arXiv:1911.03176.
    """
    numbers = load_numbers("inelastic_sample")
    momenta = np.stack([events.momenta_lab[name] for name in ("prong_1", "prong_2")], axis=1)
    where = events.vertices_cm["prong_1"]
    found = vertex_columns(momenta[..., 1:], where, np.zeros((len(events), 3)), detector)
    low, high = detector.cosines("cdc_theta")
    mass = np.sqrt(np.maximum(square(momenta.sum(axis=1)), 0.0))
    window = detector.numbers["ks_veto_window"].values
    use = (found["pt_min_lab"] > float(numbers["track_pt"])) & (found["opening_angle"] > float(numbers["opening_angle"]))
    use &= (mass < window[0]) | (mass > window[1])
    for name in ("cos_theta_lab_minus", "cos_theta_lab_plus"):
        use &= (found[name] > low) & (found[name] < high)
    return np.where(use, np.array([0.0, *numbers["study_efficiency"].values])[found["region"].astype(int)], 0.0)


def _near_region(c: Columns, _detector: Detector) -> Mask:
    """Whether the vertex is in a region or close to one."""
    numbers = load_numbers("inelastic_sample")
    close = np.zeros(len(c["radius"]), dtype=bool)
    for name, margin in zip(("inner", "outer"), numbers["loose_margin"].values, strict=True):
        low, high = numbers[f"{name}_radius"].values
        close |= (c["radius"] > low - margin) & (c["radius"] < high + margin)
    return close


def _loose(c: Columns, detector: Detector) -> Mask:
    numbers = load_numbers("inelastic_sample")
    photon = (c["photon_energy_cms"] > float(numbers["loose_photon_energy"])) & in_tracker("photon_cos_theta_lab")(c, detector)
    pair = (c["pt_min_lab"] > float(numbers["track_pt"])) & (c["vertex_chi2"] < float(numbers["vertex_chi2"]))
    return np.asarray(photon & pair & _near_region(c, detector))


def _vetoed(c: Columns, _detector: Detector) -> Mask:
    """Where searches look: open pairs that are neither prompt nor K_S nor conversions."""
    numbers = load_numbers("inelastic_sample")
    open_ = c["opening_angle"] > float(numbers["opening_angle"])
    away = c["radius_significance"] > float(numbers["radius_significance"])
    return np.asarray((c["region"] > 0.0) & open_ & away & (c["kshort"] < 0.5) & (c["conversion"] < 0.5))


def _not_prompt(c: Columns, detector: Detector) -> Mask:
    """What is left of it without prompt tracks."""
    return np.asarray(_vetoed(c, detector) & (c["impact_min"] > float(load_numbers("inelastic_sample")["impact"])))


STATE = FinalState(
    name="displaced_photon", title="a photon, a displaced pair and something missing", columns=_columns,
    wanted=Wanted(hypotheses=("pion", "pion"), charges=(-1, 1), photons=1), meanings=_MEANINGS, loose=_loose,
    axes=(Axis(column="recoil_mass_squared", low=-2.0, high=None, bins=24, root=True),
          Axis(column="region", low=-0.5, high=2.5, bins=3), Axis(column="lepton", low=-0.5, high=2.5, bins=3)),
    dense=_vetoed, rare=_not_prompt, fast=_reconstruct, flags=True, rows=4,
)  # fmt: skip
