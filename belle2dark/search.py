"""The record that composes a search out of theory, simulation, detector, trigger, selection and statistics.

A search is data and a handful of functions; :mod:`belle2dark.point` evaluates any of them at one parameter point and
:mod:`belle2dark.scan` at many, without ever asking for its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol

from belle2dark.detector.experiments import Detector
from belle2dark.limits.counting import Method, Uncertainties
from belle2dark.limits.systematics import Systematic, systematics_from
from belle2dark.parameters import Parameter, Values, parse_values
from belle2dark.selection import Cut
from belle2dark.simulation.events import Events
from belle2dark.sourced import Numbers, Reference, Sourced, nearest
from belle2dark.window import EllipseWindow, IntervalWindow


def never(values: Values, dataset: Any) -> bool:
    """No, whatever the parameters."""
    return False


def of_model(values: Values, model: str) -> bool:
    """Whether the parameter ``model`` is that one."""
    return str(values["model"]) == model


def always(values: Values) -> bool:
    """Yes, whatever the parameters."""
    return True


class Fit(Protocol):
    """A way to limits from more than one count: fits of templates, of a peak over a smooth background, of a spectrum.

    ``prepare`` makes the histograms of a mass point (:class:`belle2dark.fitting.Histograms`), ``limit`` the expected limits
    (-2 .. +2 sigma) and the observed one on the rate [fb]. It serves the ``methods`` named. Where it ``counts``, backgrounds are
    predicted, so that other methods may count in the window; else there is no answer by them.
    """

    @property
    def counts(self) -> bool:
        """Whether a count over the simulated background is an answer, too."""
        ...

    @property
    def methods(self) -> tuple[Method, ...]:
        """Methods that are served."""
        ...

    def prepare(self, search: Search, dataset: Dataset, masses: tuple[Any, ...], n_events: int, seed: int,
                lines: tuple[str, ...]) -> Any:  # fmt: skip
        """The histograms of one mass point."""
        ...

    def limit(self, found: Any, luminosity: float, *, cl: float, method: Method, uncertainties: Uncertainties,
              observed: tuple[Any, Any] | None = None) -> tuple[tuple[float, ...], float | None]:  # fmt: skip
        """Expected limits and the observed one [fb] at ``luminosity`` [fb-1]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """One published sample: experiment, luminosity [fb-1], energy [GeV], L1 lines and how its limits are quoted.

    ``alpha`` names the fine-structure convention of its published theory (:data:`belle2dark.constants.ALPHA`).
    ``corrections`` are efficiency factors that data showed against simulation: name -> number, on signal and background.
    With a ``fit`` the limits come from histograms, for the methods that can, instead of one count in the window.
    """

    name: str
    title: str
    detector: Detector
    luminosity: Sourced
    sqrt_s: float
    lines: tuple[str, ...]
    cl: float
    method: Method
    alpha: str
    corrections: Mapping[str, Sourced] = field(default_factory=dict)
    fit: Fit | None = None

    @property
    def correction(self) -> float:
        """The product of the corrections."""
        return math.prod(float(factor) for factor in self.corrections.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupling:
    """A coupling that a rate limit translates into: rate [fb] = ``rate(values)`` * coupling ** ``power``.

    ``rate(values, dataset)`` is the cross-section times branching fraction at unit coupling [fb]; ``high`` the largest
    value that makes sense (perturbativity), where excluded intervals end; ``applies(values)`` whether it is a coupling of the
    model that is chosen. ``lifetimes(values, dataset)`` are the c tau's that go with it, where they are not those of the search
    (whose rate limit is for a lifetime that is a parameter of its own). With ``competes`` the rate at unit coupling depends on
    the coupling, because decays compete with others that do not know it, and limits are solved for with it.
    """

    name: str
    symbol: str
    unit: str
    power: float
    high: float
    rate: Callable[[Values, Dataset], float]
    applies: Callable[[Values], bool] = always
    lifetimes: Callable[[Values, Dataset], tuple[float, ...]] | None = None
    competes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What a limit may be quoted on instead of a rate: a branching fraction, a ratio of two.

    ``rate(values, dataset)`` is the rate [fb] where the quantity is 1, ``cl`` the confidence level it is quoted at and
    ``text`` how it reads.
    """

    name: str
    text: str
    unit: str
    cl: float
    rate: Callable[[Values, Dataset], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Declared constants where the simulation does not predict what a publication had.

    ``efficiency`` multiplies that of the signal; ``background`` [fb per resolution of the window's x, flat] takes the place
    of the simulated one, unless it is None. ``name`` is what tables and cutflows say.
    """

    name: str
    efficiency: float = 1.0
    background: float | None = None


def uncalibrated(values: Values, dataset: Dataset) -> Calibration | None:
    """Nothing declared: everything is simulated."""
    return None


def all_kept(values: Values, dataset: Dataset) -> float:
    """All of the efficiency, whatever the couplings."""
    return 1.0


def prompt(values: Values, dataset: Dataset) -> tuple[float, ...]:
    """Nothing lives long."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Something to draw beside a limit on ``quantity`` (a coupling, or "limit"): a band, or with ``low`` None a line.

    ``masses`` (n,) [GeV] are along the search's first mass; ``source`` says whose numbers they are. What is read off at a few
    masses is drawn as markers, what is ``computed`` as a line.
    """

    label: str
    quantity: str
    masses: tuple[float, ...]
    high: tuple[float, ...]
    low: tuple[float, ...] | None = None
    source: str = ""
    computed: bool = False


def only(values: Values) -> str:
    """The search as it is: it has no variants."""
    return ""


def none_idle(values: Values) -> tuple[str, ...]:
    """All parameters that simulate make a difference."""
    return ()


def no_overlays(values: Values) -> tuple[Overlay, ...]:
    """None."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Search:
    """One search, whole. Functions take ``values`` (parameter name -> value) and, where it matters, the dataset.

    ``generate(values, n, key, dataset, isr)`` gives signal events, ``closed(values, dataset)`` the reason why there are
    none ("" if there are), ``cross_section(values, dataset)`` [fb] and ``branching_fraction(values)`` the rate,
    ``width(values)`` [GeV] the natural width, ``systematics(values)`` the systematic uncertainties, ``cuts(values, dataset)``
    the selection, which may depend on parameters with ``choices`` (all that it is given) but not on masses. ``quantity`` and
    ``unit`` say what the limit is quoted on; where ``visible(values, dataset)``, it is quoted on what is seen of it,
    efficiency x ``quantity``; with ``quantities`` a parameter ``quantity`` chooses one of them instead.
    ``calibration(values, dataset)`` may declare constants, ``kept(values, dataset)`` is the share of the efficiency that
    couplings leave (decays that are not too far away). Where ``generate`` makes ``flights`` that serve any lifetime,
    ``lifetimes(values, dataset)`` are the c tau's [cm] of their particles, positive for all values: they re-weight the sample.
    ``overlays(values)`` are other constraints to draw beside the
    limits. ``template`` is the final state (:mod:`belle2dark.final_states`) and with it the background sample.
    ``idle(values)`` names parameters that simulate and make no difference at these values: no new sample is made for them.
    Where window, template or cuts depend on masses or choices, ``variant(values)`` names the one of ``variants`` that
    applies (:func:`with_variants`), and :meth:`at` gives it.
    """

    name: str
    title: str
    channel: str
    model: str
    summary: str
    parameters: tuple[Parameter, ...]
    datasets: Mapping[str, Dataset]
    numbers: Numbers
    template: str
    generate: Callable[[Values, int, int, Dataset, bool], Events]
    closed: Callable[[Values, Dataset], str]
    cross_section: Callable[[Values, Dataset], float]
    branching_fraction: Callable[[Values], float]
    width: Callable[[Values], float]
    cuts: Callable[[Values, Dataset], tuple[Cut, ...]]
    window: EllipseWindow | IntervalWindow
    systematics: Callable[[Values], tuple[Systematic, ...]]
    couplings: tuple[Coupling, ...]
    quantity: str
    unit: str
    approximations: tuple[str, ...]
    references: tuple[Reference, ...]
    visible: Callable[[Values, Dataset], bool] = never
    overlays: Callable[[Values], tuple[Overlay, ...]] = no_overlays
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    calibration: Callable[[Values, Dataset], Calibration | None] = uncalibrated
    kept: Callable[[Values, Dataset], float] = all_kept
    lifetimes: Callable[[Values, Dataset], tuple[float, ...]] = prompt
    idle: Callable[[Values], tuple[str, ...]] = none_idle
    variant: Callable[[Values], str] = only
    variants: Mapping[str, Search] = field(default_factory=dict)

    def at(self, values: Values) -> Search:
        """The record that applies at these parameters: one of the variants, or the search itself."""
        return self.variants[self.variant(values)] if self.variants else self

    def sample_of(
        self, values: Values, lifetimes: Callable[[Values, Dataset], tuple[float, ...]] | None = None
    ) -> tuple[Any, ...]:
        """What decides the sample at these parameters: the values of :attr:`masses`, idle ones at their defaults, and c tau's.

        ``lifetimes`` replaces those of the search.
        """
        idle = self.idle(values)
        ctaus = (lifetimes or self.lifetimes)(values, self.datasets[str(values["dataset"])])
        return (*(p.default if p.name in idle else values[p.name] for p in self.parameters if p.simulates), *ctaus)

    def simulated(self, sample: tuple[Any, ...]) -> dict[str, Any]:
        """The simulating parameters by name of a sample (:meth:`sample_of`)."""
        return dict(zip(self.masses, sample, strict=False))

    @property
    def parts(self) -> tuple[Search, ...]:
        """All records that apply somewhere: the variants, or the search itself."""
        return tuple(self.variants.values()) or (self,)

    def uncertainties(self, values: Values) -> Uncertainties:
        """The systematic uncertainties by what they act on."""
        return combined_uncertainties(self.systematics(values))

    @property
    def mass_names(self) -> tuple[str, ...]:
        """The parameters that are masses: numbers in GeV whose change needs a new simulation."""
        return tuple(p.name for p in self.parameters if p.simulates and p.kind is float and p.unit == "GeV")

    @property
    def choices(self) -> tuple[str, ...]:
        """The parameters that the selection may depend on: those with choices, which simulate."""
        return tuple(p.name for p in self.parameters if p.simulates and p.kind is not float)

    def couplings_for(self, values: Values) -> tuple[Coupling, ...]:
        """The couplings of the model that is chosen."""
        return tuple(c for c in self.couplings if c.applies(values))

    def chosen(self, values: Values) -> Quantity | None:
        """Which of the ``quantities`` the limit is quoted on; None: the rate."""
        return self.quantities.get(str(values.get("quantity", "")))

    def unit_at(self, values: Values) -> str:
        """Unit of the limit at these parameters."""
        chosen = self.chosen(values)
        return chosen.unit if chosen else self.unit

    def cl_at(self, values: Values) -> float:
        """Confidence level that is usual at these parameters: the quantity's or the dataset's."""
        chosen = self.chosen(values)
        return chosen.cl if chosen else self.datasets[str(values["dataset"])].cl

    def per_rate(self, values: Values, efficiency: float) -> float:
        """The factor from a limit on the rate [fb] to one on what is quoted, ``efficiency`` being that of the signal."""
        dataset = self.datasets[str(values["dataset"])]
        if chosen := self.chosen(values):
            return 1.0 / chosen.rate(values, dataset)
        return efficiency if self.visible(values, dataset) else 1.0

    def quoted(self, values: Values) -> str:
        """What the limit is quoted on at these parameters: ``quantity``, efficiency times it, or one of ``quantities``."""
        if chosen := self.chosen(values):
            return chosen.text
        seen = self.visible(values, self.datasets[str(values["dataset"])])
        return f"efficiency x {self.quantity}" if seen else self.quantity

    def selection(self, values: Values) -> tuple[Cut, ...]:
        """The selection at these parameters."""
        here = self.at(values)
        dataset = here.datasets[str(values["dataset"])]
        return here.cuts({name: values[name] for name in here.choices}, dataset)

    @property
    def masses(self) -> tuple[str, ...]:
        """Names of the parameters whose change needs a new simulation."""
        return tuple(p.name for p in self.parameters if p.simulates)

    @property
    def default_dataset(self) -> Dataset:
        """The first dataset."""
        return next(iter(self.datasets.values()))

    def parse(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters with ``given`` ones parsed; the luminosity defaults to the dataset's.

        Raises ``ValueError`` for an unknown name or a value out of range.
        """
        values = parse_values(self.parameters, given)
        if "luminosity" not in given:
            values["luminosity"] = float(self.datasets[str(values["dataset"])].luminosity)
        return values


def _closed_elsewhere(values: Values, dataset: Dataset, *, closed: Callable[[Values, Dataset], str],
                      variant: Callable[[Values], str], name: str) -> str:  # fmt: skip
    reason = closed(values, dataset)
    if reason or (there := variant(values)) == name:
        return reason
    return f"seen in another way here ({there.replace('_', ' ')})"


def with_variants(base: Search, variant: Callable[[Values], str], changes: Mapping[str, Mapping[str, Any]]) -> Search:
    """``base`` with other fields (window, template, cuts, datasets, approximations) in some mass regions or for some choices.

    ``variant(values)`` is one of the names in ``changes``, which say what each of them replaces; it may look at parameters that
    simulate only. Name, parameters, couplings
    and quantities are those of ``base`` everywhere; a variant alone is closed where another one applies.
    Raises ``ValueError`` for a change of what must be the same.
    """
    same = {"name", "parameters", "couplings", "quantities", "quantity", "unit", "variant", "variants"}
    for name, fields in changes.items():
        if wrong := sorted(same & set(fields)):
            raise ValueError(f"{base.name}: variant {name!r} changes {wrong[0]}, which must be the same in all")
    closed = {name: partial(_closed_elsewhere, closed=fields.get("closed", base.closed), variant=variant, name=name)
              for name, fields in changes.items()}  # fmt: skip
    variants = {name: replace(base, **{**fields, "closed": closed[name]}) for name, fields in changes.items()}
    return replace(base, variant=variant, variants=variants)


def select_systematics(numbers: Numbers, dataset: str, region: int = 0) -> tuple[Systematic, ...]:
    """The systematic uncertainties in the YAML file of a search that are for ``dataset``, sizes those of ``region``.

    A size is one number or one per region, counted from 0. Raises ``ValueError`` for a region that is not there.
    """
    chosen = []
    for entry in numbers.systematics:
        record = dict(entry)
        datasets, size = record.pop("datasets"), record["size"]
        if isinstance(size, tuple) and not 0 <= region < len(size):
            raise ValueError(f"{numbers.name}: systematic {record['name']!r} has {len(size)} regions, not one number {region}")
        if not datasets or dataset in datasets:
            chosen.append({**record, "size": size[region] if isinstance(size, tuple) else size})
    return systematics_from(chosen)


@lru_cache(maxsize=256)
def combined_uncertainties(systematics: tuple[Systematic, ...]) -> Uncertainties:
    """The records added in quadrature by what they act on: signal alone, background as a whole, or both together.

    Raises ``ValueError`` for one that acts on a single background component, which only a combination can hold apart.
    """
    sums = {frozenset({"signal"}): 0.0, frozenset({"background"}): 0.0, frozenset({"signal", "background"}): 0.0}
    for item in systematics:
        target = frozenset(item.acts_on)
        if target not in sums:
            raise ValueError(f"systematic {item.name!r} acts on {', '.join(item.acts_on)}: needs signal, background or both")
        sums[target] += item.size**2
    signal, background, both = (value**0.5 for value in sums.values())
    return Uncertainties(signal=signal, background=background, correlated=both)


def search_names() -> tuple[str, ...]:
    """Names of all searches, in alphabetical order: the modules of :mod:`belle2dark.searches`."""
    return tuple(
        sorted(m.name for m in iter_modules(import_module("belle2dark.searches").__path__) if not m.name.startswith("_"))
    )


@cache
def load_search(name: str) -> Search:
    """The search of that name; ``ValueError`` names the nearest one if there is none, or says what its module lacks."""
    if name not in search_names():
        raise ValueError(f"unknown search {name!r}; nearest: {nearest(name, search_names())}; known: {', '.join(search_names())}")
    search = getattr(import_module(f"belle2dark.searches.{name}"), "SEARCH", None)
    if not isinstance(search, Search) or search.name != name:
        raise ValueError(f"belle2dark/searches/{name}.py: must define SEARCH = Search(name={name!r}, ...)")
    return search


def common_parameters(datasets: Mapping[str, Dataset]) -> tuple[Parameter, Parameter]:
    """The two parameters that every search has: dataset and luminosity [fb-1]."""
    first = next(iter(datasets.values()))
    return (
        Parameter(name="dataset", symbol="", unit="", default=first.name, choices=tuple(datasets), simulates=True,
                  help="experiment, energy, trigger menu and confidence level"),
        Parameter(name="luminosity", symbol=r"\mathcal{L}", unit="fb-1", default=float(first.luminosity), low=1e-3, high=1e5,
                  scale="log", help="integrated luminosity"),
    )  # fmt: skip
