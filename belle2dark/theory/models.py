"""Models: couplings in, widths, branching fractions and lifetimes out.

A :class:`Model` is a mediator with a list of decay channels, each with a partial width. Built-in ones live beside this
module (:mod:`belle2dark.theory.dark_photon`). Your own can be a ``Model`` with your channels, or any object with
the callables of :class:`ModelLike`: nothing checks for the class.

    mine = Model(name="mine", ..., channels=(Channel(name="mumu", width=my_function, ...),))
    mine.branching_fraction("mumu", mass=[4.0, 6.0], couplings={"g": 1e-3})

Everything is vectorised over mass and couplings together and free of randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import HBAR_C
from belle2dark.sourced import Reference, nearest

Array = NDArray[np.float64]
Couplings = Mapping[str, ArrayLike]


class ModelLike(Protocol):
    """What a search asks of a model; any object that has these will do."""

    @property
    def name(self) -> str: ...
    def partial_width(self, channel: str, mass: ArrayLike, couplings: Couplings | None = None) -> Array: ...
    def total_width(self, mass: ArrayLike, couplings: Couplings | None = None) -> Array: ...
    def branching_fraction(self, channel: str, mass: ArrayLike, couplings: Couplings | None = None) -> Array: ...
    def ctau(self, mass: ArrayLike, couplings: Couplings | None = None) -> Array: ...
    def production(self, couplings: Couplings) -> Array: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One decay channel: ``width(mass, couplings)`` is its partial width [GeV], 0 where it is closed."""

    name: str
    symbol: str
    width: Callable[[Array, Couplings], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A mediator: its mass parameter, couplings (name and reference value), decay channels and production.

    ``reference_couplings`` are used where no couplings are given: branching fractions that do not depend on a single
    overall coupling need none. ``production_scale(couplings)`` is the cross-section relative to unit couplings.
    """

    name: str
    title: str
    mass: str
    reference_couplings: tuple[tuple[str, float], ...]
    channels: tuple[Channel, ...]
    production_scale: Callable[[Couplings], Array]
    references: tuple[Reference, ...] = ()

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"model {self.name}: needs decay channels with different names, not {names}")

    def partial_width(self, channel: str, mass: ArrayLike, couplings: Couplings | None = None) -> Array:
        """Partial width [GeV] of one channel at ``mass`` [GeV], broadcast shape.

        Raises ``ValueError`` for an unknown channel or coupling, a mass that is not positive or a bad coupling.
        """
        known = {c.name: c for c in self.channels}
        if channel not in known:
            near = nearest(channel, known)
            raise ValueError(f"{self.name}: no channel {channel!r}; nearest: {near}; known: {', '.join(known)}")
        return np.asarray(known[channel].width(self._mass(mass), self._couplings(couplings)), dtype=float)

    def partial_widths(self, mass: ArrayLike, couplings: Couplings | None = None) -> dict[str, Array]:
        """Partial widths [GeV] by channel name, each of broadcast shape. Raises as :meth:`partial_width`."""
        return {c.name: self.partial_width(c.name, mass, couplings) for c in self.channels}

    def total_width(self, mass: ArrayLike, couplings: Couplings | None = None) -> Array:
        """Total width [GeV] at ``mass`` [GeV], broadcast shape. Raises as :meth:`partial_width`."""
        return np.asarray(sum(self.partial_widths(mass, couplings).values()), dtype=float)

    def branching_fraction(self, channel: str, mass: ArrayLike, couplings: Couplings | None = None) -> Array:
        """Fraction of decays into ``channel`` at ``mass`` [GeV], broadcast shape; 0 where nothing is open.

        Raises as :meth:`partial_width`.
        """
        total = self.total_width(mass, couplings)
        return self.partial_width(channel, mass, couplings) / np.where(total > 0, total, np.inf)

    def ctau(self, mass: ArrayLike, couplings: Couplings | None = None) -> Array:
        """Proper decay length [cm] at ``mass`` [GeV], broadcast shape; inf where nothing is open.

        Raises as :meth:`partial_width`.
        """
        total = self.total_width(mass, couplings)
        return np.where(total > 0, HBAR_C / np.where(total > 0, total, 1.0), np.inf)

    def production(self, couplings: Couplings) -> Array:
        """Cross-section relative to unit couplings, shape of the couplings. Raises ``ValueError`` for a bad coupling."""
        return np.asarray(self.production_scale(self._couplings(couplings)), dtype=float)

    def _mass(self, mass: ArrayLike) -> Array:
        m = np.asarray(mass, dtype=float)
        if not np.all((m > 0) & np.isfinite(m)):
            raise ValueError(f"{self.mass} = {m} GeV: must be finite and positive")
        return m

    def _couplings(self, couplings: Couplings | None) -> Couplings:
        known = dict(self.reference_couplings)
        for name, value in (couplings or {}).items():
            if name not in known:
                raise ValueError(f"{self.name}: no coupling {name!r}; nearest: {nearest(name, known)}; known: {', '.join(known)}")
            number = np.asarray(value, dtype=float)
            if not np.all(np.isfinite(number)):
                raise ValueError(f"{self.name}: {name} = {number}: must be finite")
        return {**known, **(couplings or {})}


def vector_to_fermions(mass: ArrayLike, m_fermion: float, coupling_squared: ArrayLike) -> Array:
    """Width [GeV] of a vector of ``mass`` [GeV] with vector coupling g into a Dirac pair, g^2 given; 0 below threshold.

    Source: Gamma = g^2 m/(12 pi) (1 + 2 m_f^2/m^2) sqrt(1 - 4 m_f^2/m^2), standard.
    """
    m = np.asarray(mass, dtype=float)
    r = (m_fermion / m) ** 2
    return np.asarray(coupling_squared) * m / (12 * np.pi) * (1 + 2 * r) * np.sqrt(np.clip(1 - 4 * r, 0, None))
