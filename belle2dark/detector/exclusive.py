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
from belle2dark.detector.response import Reconstruction
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import make_key

#: derived quantities of an event from its measured tracks (n, k, 3) and photons (n, m, 4) [GeV]
Columns = Callable[[Array, Array], dict[str, Array]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The tracks of a final state by ``hypothesis`` and ``charge``, and its number of ``photons``.

    ``conjugate`` allows all charges turned round as well. A photon has at least ``energy_min`` [GeV] in the lab; softer
    ones count as something else unless they are below the veto threshold.
    """

    hypotheses: tuple[str, ...] = ()
    charges: tuple[int, ...] = ()
    photons: int = 0
    conjugate: bool = False
    energy_min: float = 0.2

    def __post_init__(self) -> None:
        if len(self.hypotheses) != len(self.charges) or not set(self.charges) <= {-1, 1}:
            raise ValueError(f"charges = {self.charges}: need -1 or 1 for each of the {len(self.hypotheses)} hypotheses")
        if self.photons < 0 or len(self.hypotheses) + self.photons < 1:
            raise ValueError(f"photons = {self.photons}: must not be negative, nor 0 without tracks")
        for name in self.hypotheses:
            index(name)


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

    The factors are those of the way that was drawn with random numbers from ``key``; "nothing else" carries the ratio of
    the sum of all ways to it, which can exceed 1 for a single event. Events that cannot be this final state have a factor
    0. ``clusters_lab`` holds the photons and nothing else.
    """
    n, ways = len(observed), _ways(observed, wanted.energy_min)
    rng = np.random.default_rng(make_key(key, "way"))
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
    return Reconstruction(tracks_lab=tracks, weights=observed.weights, factors=factors, columns=columns(tracks, photons),
                          clusters_lab=photons)  # fmt: skip
