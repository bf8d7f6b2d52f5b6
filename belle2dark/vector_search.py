"""Searches for e+e- -> gamma V with any vector V: rates and couplings from charges, the built-in ones and your own.

A search for the dark photon sees every vector boson of its mass that couples to electrons. :class:`GammaVector` holds the
vectors that a search knows and answers what a :class:`belle2dark.search.Search` asks: cross-section, branching fraction into
the channels that are looked at, width, couplings. Own charges need no new search:

    from belle2dark.theory.vector_models import Charges, Vector
    mine = Vector(name="mine", title="Electrons and muons", coupling="g_mine", symbol="g", charges=Charges(e=1.0, mu=1.0))
    point(search_for("dark_photon_visible", mine), {"m_aprime": 1.0, "g_mine": 1e-3})

Efficiencies and backgrounds are those of the dark photon, as they depend on mass and spin alone.

Not included: axial couplings, vectors that electrons do not make, lifetimes where a search counts prompt decays only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from types import MappingProxyType

from belle2dark.parameters import Parameter, Values
from belle2dark.search import Coupling, Dataset, Search, of_model, search_names
from belle2dark.sourced import nearest
from belle2dark.theory import gamma_invisible
from belle2dark.theory.dark_matter import DarkMatter
from belle2dark.theory.gamma_invisible import Kind
from belle2dark.theory.vector_models import VECTORS, Vector, rate_factor, vector_model

#: range and default of couplings: that of epsilon
LOW, HIGH, DEFAULT = 1e-8, 1.0, 1e-3
#: least mass [GeV] that widths are asked for
LEAST = 1e-6


@lru_cache(maxsize=65536)
def unit_cross_section(mass: float, sqrt_s: float, kind: Kind = "vector") -> float:
    """One number of :func:`belle2dark.theory.gamma_invisible.unit_cross_section`, remembered."""
    return float(gamma_invisible.unit_cross_section(mass, sqrt_s, kind))


@lru_cache(maxsize=65536)
def unit_widths(mediator: Vector, mass: float) -> Mapping[str, float]:
    """Partial widths [GeV] of a vector of ``mass`` [GeV] at coupling 1, by channel, without dark matter."""
    return MappingProxyType({name: float(width) for name, width in vector_model(mediator).partial_widths(mass).items()})


def wide(values: Values, dataset: Dataset, *, mass: str = "m_aprime") -> float:
    """Cross-section [fb] at epsilon = 1 with the photon at more than 0.05 rad from the beams."""
    return unit_cross_section(float(values[mass]), dataset.sqrt_s)


def no_dark_matter(values: Values) -> DarkMatter | None:
    """Nothing lighter to decay to."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaVector:
    """What a search for e+e- -> gamma V asks of the ``vectors`` it knows, one of which the parameter ``model`` names.

    ``channels(values)`` are the decays that are looked at, of those of :func:`belle2dark.theory.vector_models.vector_model`;
    ``dark(values)`` is the dark matter that V decays to, if any, and ``unit(values, dataset)`` the cross-section [fb] of a dark
    photon at epsilon = 1 as events are made. ``mass`` is the name of the parameter.
    """

    vectors: Mapping[str, Vector]
    channels: Callable[[Values], tuple[str, ...]]
    dark: Callable[[Values], DarkMatter | None] = no_dark_matter
    unit: Callable[[Values, Dataset], float] = wide
    mass: str = "m_aprime"

    def vector(self, values: Values) -> Vector:
        """The vector that is chosen."""
        return self.vectors[str(values["model"])]

    def widths(self, values: Values, mediator: Vector, coupling: float) -> dict[str, float]:
        """Partial widths [GeV] at a coupling, by channel; dark matter is part of "invisible"."""
        mass, dark = max(float(values[self.mass]), LEAST), self.dark(values)
        found = {name: coupling**2 * width for name, width in unit_widths(mediator, mass).items()}
        if dark is not None:
            found["invisible"] += float(dark.width(mass))
        return found

    def share(self, values: Values, mediator: Vector, coupling: float) -> float:
        """Branching fraction of a vector into the channels that are looked at, at a coupling."""
        found = self.widths(values, mediator, coupling)
        total = sum(found.values())
        return sum(found[name] for name in self.channels(values)) / total if total > 0 else 0.0

    def cross_section(self, values: Values, dataset: Dataset) -> float:
        """Cross-section [fb] of gamma V at the coupling given."""
        mediator = self.vector(values)
        return self.unit(values, dataset) * rate_factor(mediator) * float(values[mediator.coupling]) ** 2

    def branching_fraction(self, values: Values) -> float:
        """Branching fraction into the channels that are looked at."""
        mediator = self.vector(values)
        return self.share(values, mediator, float(values[mediator.coupling]))

    def width(self, values: Values) -> float:
        """Natural width [GeV] at the coupling given."""
        mediator = self.vector(values)
        return sum(self.widths(values, mediator, float(values[mediator.coupling])).values())

    def unit_rate(self, values: Values, dataset: Dataset, mediator: Vector) -> float:
        """Cross-section times branching fraction [fb] over the coupling squared.

        Without dark matter the branching fraction does not depend on the coupling; with it, limits are solved for with it.
        """
        return self.unit(values, dataset) * rate_factor(mediator) * self.share(values, mediator, float(values[mediator.coupling]))

    def couplings(self, high: float = HIGH) -> tuple[Coupling, ...]:
        """A coupling per vector, each up to ``high``."""
        return tuple(
            Coupling(name=v.coupling, symbol=v.symbol, unit="", power=2.0, high=high, rate=partial(self.unit_rate, mediator=v),
                     applies=partial(of_model, model=name), competes=self.dark is not no_dark_matter)
            for name, v in self.vectors.items()
        )  # fmt: skip

    def parameters(self) -> tuple[Parameter, ...]:
        """The parameter ``model`` and one per coupling."""
        names = tuple(self.vectors)
        model = Parameter(name="model", symbol="", unit="", default=names[0], choices=names,
                          help="vector boson: dark photon, or gauge boson of differences of charges")  # fmt: skip
        return model, *(Parameter(name=v.coupling, symbol=v.symbol, unit="", default=DEFAULT, low=LOW, high=HIGH, scale="log",
                                  help=f"coupling: {v.title}") for v in self.vectors.values())  # fmt: skip


def built_in(*names: str) -> Mapping[str, Vector]:
    """Some of the built-in vectors by name, the first of them the default."""
    return {name: VECTORS[name] for name in names}


def search_for(name: str, mediator: Vector) -> Search:
    """The search ``name`` for a vector of your own, ``model`` and coupling named as in it: the same data, other rates.

    Raises ``ValueError`` for a vector without a coupling to electrons, one whose coupling has the name of a parameter, and a
    search that is not for e+e- -> gamma V (its module has no ``for_vectors``).
    """
    if rate_factor(mediator) == 0:
        raise ValueError(f"vector {mediator.name!r}: electrons have no charge, so e+e- -> gamma V does not make it")
    fitting = [n for n in search_names() if hasattr(import_module(f"belle2dark.searches.{n}"), "for_vectors")]
    if name not in fitting:
        raise ValueError(
            f"search {name!r}: is not for e+e- -> gamma V; nearest: {nearest(name, fitting)}; these are: {', '.join(fitting)}"
        )
    module = import_module(f"belle2dark.searches.{name}")
    taken = {p.name for p in module.SEARCH.parameters} - {v.coupling for v in VECTORS.values()}
    if mediator.coupling in taken:
        raise ValueError(f"vector {mediator.name!r}: its coupling is named like the parameter {mediator.coupling!r} of {name}")
    made: Search = module.for_vectors({mediator.name: mediator})
    return made
