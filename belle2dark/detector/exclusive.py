"""Final states "these tracks and photons and nothing else", whichever particles of the event make them.

:func:`belle2dark.detector.observed.final_state` is told which slots are what; here every way to fill the wanted tracks and
photons with particles of the event is tried: any charged particle may be (mis)identified, any photon may be the lost one,
an electron without a track looks like a photon. The ways exclude each other, so their probabilities add up. One is drawn
for its momenta and the event carries the sum: one row per event, and no way is lost. Use it for templates and for signals
with interchangeable particles. Not included: more than one measured object from a particle, fake tracks and clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.observed import Observed
from belle2dark.detector.particle_id import index
from belle2dark.detector.response import EVERY_ASSIGNMENT, Reconstruction
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import make_key

#: derived quantities of an event from its measured tracks (n, k, 3) and photons (n, m, 4) [GeV], and its alternative (n,)
Columns = Callable[[Array, Array, NDArray[np.int8]], dict[str, Array]]
#: hypothesis of a track that may be anything
ANY = "any"
#: from so many tracks on, ways are sorted by charge before they are tried
MANY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The tracks of a final state by ``hypothesis`` ("any": whatever it is) and ``charge``, and its number of ``photons``.

    ``conjugate`` allows all charges turned round as well. A photon has at least ``energy_min`` [GeV] in the lab; softer
    ones count as something else unless they are below the veto threshold. From three tracks on: with ``neutrals`` any
    photons may be there besides, ``least`` says how many of the tracks must be identified (None: all), ``alternatives`` are
    further sets of hypotheses, and tracks that are ``ordered`` have roles: two of one hypothesis and charge are two ways,
    so that the sum of weights counts every assignment (all four opposite pairs of four muons). Photons alone that are
    ``ordered`` have roles as well: the first recoils against all others, which are hardest first, and each may be it.
    """

    hypotheses: tuple[str, ...] = ()
    charges: tuple[int, ...] = ()
    photons: int = 0
    conjugate: bool = False
    energy_min: float = 0.2
    neutrals: bool = False
    least: int | None = None
    alternatives: tuple[tuple[str, ...], ...] = ()
    ordered: bool = False

    def __post_init__(self) -> None:
        if len(self.hypotheses) != len(self.charges) or not set(self.charges) <= {-1, 1}:
            raise ValueError(f"charges = {self.charges}: need -1 or 1 for each of the {len(self.hypotheses)} hypotheses")
        if self.photons < 0 or len(self.hypotheses) + self.photons < 1:
            raise ValueError(f"photons = {self.photons}: must not be negative, nor 0 without tracks")
        for names in (self.hypotheses, *self.alternatives):
            if len(names) != len(self.charges):
                raise ValueError(f"alternatives: {names} are not hypotheses for {len(self.charges)} tracks")
            for name in names:
                if name != ANY:
                    index(name)
        if self.least is not None and not 0 <= self.least <= len(self.hypotheses):
            raise ValueError(f"least = {self.least}: allowed: 0 to {len(self.hypotheses)} tracks")
        special = self.neutrals or self.least is not None or self.alternatives or ANY in self.hypotheses
        few = self.photons or len(self.hypotheses) < MANY
        if few and (special or (self.ordered and self.hypotheses)):
            raise ValueError(f"neutrals, ordered, least, alternatives and 'any' need {MANY} tracks and no photons")
        if self.ordered and not self.hypotheses and self.photons < MANY:
            raise ValueError(f"photons = {self.photons}: ordered photons have roles from {MANY} photons on")

    @property
    def many(self) -> bool:
        """Whether particles are sorted by charge before ways are tried: many tracks and no photons."""
        return self.photons == 0 and len(self.hypotheses) >= MANY


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """Everything the ways to fill a final state need, per event and slot."""

    found: Array
    identified: Array
    charge: NDArray[np.int8]
    photon: Array
    unseen: Array

    def tracks(self, slots: tuple[int, ...], wanted: Wanted) -> tuple[Array, Array]:
        """Probabilities ``(n,)`` that the particles in ``slots`` are found (0 for wrong charges) and that they are identified."""
        signs = (1, -1) if wanted.conjugate else (1,)
        right = np.zeros(len(self.charge), dtype=bool)
        for sign in signs:
            right |= (self.charge[:, slots] == np.multiply(sign, wanted.charges)).all(axis=1)
        known = np.ones(len(self.charge))
        for slot, name in zip(slots, wanted.hypotheses, strict=True):
            known *= self.identified[(slice(None), slot, *index(name))]
        return self.found[:, slots].prod(axis=1) * right, known

    def rest(self, taken: tuple[int, ...]) -> Array:
        """Probability ``(n,)`` that nothing else is seen."""
        return np.asarray(self.unseen[:, [j for j in range(self.unseen.shape[1]) if j not in taken]].prod(axis=1))

    def candidates(self, wanted: Wanted) -> Iterator[tuple[tuple[int, ...], Array, Array, list[tuple[int, ...]]]]:
        """Ways to fill the tracks, each once, with their probabilities and with the slots that can be its photons."""
        charged = [j for j in range(self.charge.shape[1]) if self.charge[:, j].any()]
        alike = [(a, b) for a, b in combinations(range(len(wanted.charges)), 2)
                 if (wanted.hypotheses[a], wanted.charges[a]) == (wanted.hypotheses[b], wanted.charges[b])]  # fmt: skip
        bright = [j for j in range(self.photon.shape[1]) if self.photon[:, j].any()]
        for slots in permutations(charged, len(wanted.hypotheses)):
            if any(slots[a] > slots[b] for a, b in alike):
                continue
            found, known = self.tracks(slots, wanted)
            if found.any():
                yield slots, found, known, list(combinations([j for j in bright if j not in slots], wanted.photons))


def _ways(observed: Observed, energy_min: float) -> _Ways:
    tracks, clusters = observed.tracks, observed.clusters
    like_photon = np.isin(np.abs(observed.pdg), (11, 22)) & (clusters.momenta_lab[..., 0] > energy_min)
    photon = like_photon * clusters.efficiency * (1.0 - tracks.efficiency)
    unseen = np.stack([observed.unseen((name,)) for name in observed.slots], axis=1)
    return _Ways(tracks.efficiency, observed.identified, tracks.charge, photon, unseen)


def exclusive(observed: Observed, wanted: Wanted, columns: Columns, beams: Beams, key: int) -> Reconstruction:
    """The events as the ``wanted`` tracks (in that order) and photons (hardest in the CMS first) and nothing else.

    Of ``ordered`` photons one assignment is drawn, which stands for all of them.

    The factors are those of the way that was drawn with random numbers from ``key``; "nothing else" carries the ratio of
    the sum of all ways to it, which can exceed 1 for a single event. Events that cannot be this final state have a factor
    0. ``clusters_lab`` holds the photons and nothing else.
    """
    rng = np.random.default_rng(make_key(key, "way"))
    if wanted.many:
        return _many_tracks(observed, wanted, columns, rng)
    n, ways = len(observed), _ways(observed, wanted.energy_min)
    k, m = len(wanted.hypotheses), wanted.photons
    total, drawn = np.zeros(n), np.zeros(n)
    slots = np.zeros((n, k + m), dtype=np.intp)
    factors = {name: np.zeros(n) for name in ("acceptance", "tracking", "identification", "photons", "nothing else")}
    for track_slots, found, known, photon_sets in ways.candidates(wanted):
        for photon_slots in photon_sets:
            taken = (*track_slots, *photon_slots)
            bright = ways.photon[:, photon_slots].prod(axis=1)
            rest = ways.rest(taken)
            probability = found * known * bright * rest
            total += probability
            accepted = (found > 0.0) & (bright > 0.0)
            # with these odds each way is the last one taken as often as its share of the sum
            take = (rng.random(n) * total < probability) | (accepted & (factors["acceptance"] == 0.0))
            drawn[take] = probability[take]
            slots[take] = taken
            for name, values in zip(factors, (accepted, found, known, bright, rest), strict=True):
                factors[name][take] = values[take]
    factors["nothing else"] *= np.divide(total, drawn, out=np.ones(n), where=drawn > 0.0)
    rows = np.arange(n)[:, None]
    tracks = observed.tracks.momenta_lab[rows, slots[:, :k]]
    photons = observed.clusters.momenta_lab[rows, slots[:, k:]]
    if m > 1:
        order = np.argsort(-to_cms(photons, beams)[..., 0], axis=1, kind="stable")
        photons = photons[rows, order]
    if wanted.ordered:
        photons = _recoiling(photons, make_key(key, "recoil"))
        factors[EVERY_ASSIGNMENT] = np.full(n, float(m))
    return Reconstruction(tracks_lab=tracks, weights=observed.weights, factors=factors, clusters_lab=photons,
                          columns=columns(tracks, photons, np.zeros(n, dtype=np.int8)))  # fmt: skip


def _recoiling(photons: Array, key: int) -> Array:
    """The photons ``(n, m, 4)`` with one of each event, drawn with random numbers from ``key``, moved to the front."""
    n, m = photons.shape[:2]
    first = np.random.default_rng(key).integers(m, size=(n, 1))
    others = np.arange(m - 1)
    order = np.concatenate([first, others + (others >= first)], axis=1)
    return photons[np.arange(n)[:, None], order]


def _many_tracks(observed: Observed, wanted: Wanted, columns: Columns, rng: np.random.Generator) -> Reconstruction:
    """The same for three tracks and more without photons.

    In each event only the particles that can be tracks are tried, sorted by charge: few patterns occur, and each has its
    own short list of ways.
    """
    n, k = len(observed), len(wanted.charges)
    found, charge = observed.tracks.efficiency, observed.tracks.charge
    alone = 1.0 - found if wanted.neutrals else np.stack([observed.unseen((name,)) for name in observed.slots], axis=1)
    possible = (found > 0.0) & (charge != 0)
    order = np.argsort(np.where(possible, charge, 2), axis=1, kind="stable")
    hidden = np.where(possible, 1.0, alone).prod(axis=1)
    minus, plus = (((charge == sign) & possible).sum(axis=1) for sign in (-1, 1))
    slots, total, alternative = np.zeros((n, k), dtype=np.intp), np.zeros(n), np.zeros(n, dtype=np.int8)
    factors = {name: np.zeros(n) for name in ("acceptance", "tracking", "identification", "nothing else")}
    dice = rng.random(n)
    for pattern in np.unique(np.stack([minus, plus], axis=1), axis=0):
        rows = np.flatnonzero((minus == pattern[0]) & (plus == pattern[1]))
        charges = np.repeat([-1, 1], pattern)
        places = order[rows, : len(charges)]
        p, u = (np.take_along_axis(a[rows], places, axis=1) for a in (found, alone))
        identified = observed.identified[rows[:, None], places]
        ways = [(way, which, hypotheses) for way in _assignments(charges, wanted)
                for which, hypotheses in enumerate((wanted.hypotheses, *wanted.alternatives))]  # fmt: skip
        if not ways:
            continue
        parts = np.empty((len(ways), 3, len(rows)))
        for part, (way, _, hypotheses) in zip(parts, ways, strict=True):
            part[0] = p[:, way].prod(axis=1)
            part[1] = _identified(identified[:, way], hypotheses, wanted.least)
            part[2] = hidden[rows] * u[:, [j for j in range(len(charges)) if j not in way]].prod(axis=1)
        running = np.cumsum(parts.prod(axis=1), axis=0)
        # each event has its own random number, so that a small change of others does not move it
        chosen = np.minimum((running <= dice[rows] * running[-1]).sum(axis=0), len(ways) - 1)
        drawn = np.concatenate([np.ones((1, len(rows))), parts[chosen, :, np.arange(len(rows))].T])
        slots[rows] = np.take_along_axis(places, np.array([way for way, *_ in ways])[chosen], axis=1)
        alternative[rows] = np.array([which for _, which, _ in ways])[chosen]
        summed = running[-1]
        total[rows] = summed
        for name, values in zip(factors, drawn, strict=True):
            factors[name][rows] = values
    drawn_probability = factors["tracking"] * factors["identification"] * factors["nothing else"]
    several = np.divide(total, drawn_probability, out=np.ones(n), where=drawn_probability > 0.0)
    factors[EVERY_ASSIGNMENT] = several
    tracks = observed.tracks.momenta_lab[np.arange(n)[:, None], slots]
    none = np.zeros((n, 0, 4))
    return Reconstruction(tracks_lab=tracks, weights=observed.weights, factors=factors, clusters_lab=none,
                          columns=columns(tracks, none, alternative), alternative=alternative)  # fmt: skip


def _assignments(charges: NDArray[np.int_], wanted: Wanted) -> list[list[int]]:
    """Places of a pattern of ``charges`` that can fill the wanted tracks, each set of interchangeable ones once."""
    alike = [(a, b) for a, b in combinations(range(len(wanted.charges)), 2)
             if not wanted.ordered and wanted.charges[a] == wanted.charges[b]
             and all(names[a] == names[b] for names in (wanted.hypotheses, *wanted.alternatives))]  # fmt: skip
    signs = (1, -1) if wanted.conjugate else (1,)
    targets = [tuple(np.multiply(sign, wanted.charges)) for sign in signs]
    return [list(way) for way in permutations(range(len(charges)), len(wanted.charges))
            if tuple(charges[list(way)]) in targets and not any(way[a] > way[b] for a, b in alike)]  # fmt: skip


def _identified(identified: Array, hypotheses: tuple[str, ...], least: int | None) -> Array:
    """Probability ``(n,)`` that all tracks, or at least ``least`` of them, are identified as ``hypotheses``."""
    each = [np.ones(len(identified)) if name == ANY else identified[(slice(None), j, *index(name))]
            for j, name in enumerate(hypotheses)]  # fmt: skip
    if least is None:
        return np.asarray(np.prod(each, axis=0))
    counts = np.zeros((len(each) + 1, len(identified)))  # probability that so many are identified
    counts[0] = 1.0
    for p in each:
        counts[1:] = counts[1:] * (1.0 - p) + counts[:-1] * p
        counts[0] *= 1.0 - p
    return np.asarray(counts[least:].sum(axis=0))
