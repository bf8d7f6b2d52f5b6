"""Lines and menus: which L1 lines fired, and with which probability a choice of lines keeps an event.

The menu is data: the lines of Belle II (``data/l1_menu.yaml``), Belle (``data/l1_menu_belle.yaml``) and BaBar
(``data/l1_menu_babar.yaml``). :meth:`Menu.evaluate` gives one bit per event and line of the experiment that saw it;
:meth:`Menu.keep_probability` then answers for any choice of lines, so that switching a line costs nothing. Bits are numbered
from 0 in each experiment, lines of your own follow behind. Such a line is a function of the objects:

    menu = load_menu().with_line("one_mip", lambda objects: (objects["clusters"] == 1) & (objects["lab300"] == 0))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from belle2dark.sourced import Confidence, Reference, data_file, nearest, read_yaml
from belle2dark.trigger.objects import EXPERIMENTS, OBJECTS
from belle2dark.trigger.response import L1

Bits = NDArray[np.uint64]
Objects = Mapping[str, NDArray[np.int8]]

#: bits of a pattern
MOST_LINES = 64
_CHUNK = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One L1 line: the least (and greatest) number of each object, vetoes, prescale (keeps 1 in ``prescale``) and efficiency.

    ``condition``, if given, is a further requirement: a function of the objects that returns ``(n,)`` bool.
    ``experiment`` (a detector's name) is the one whose trigger had the line, "" for any.
    """

    name: str
    title: str
    at_least: Mapping[str, int] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)
    vetoes: tuple[str, ...] = ()
    prescale: float = 1.0
    efficiency: float = 1.0
    source: str
    experiment: str = ""
    condition: Callable[[Objects], NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        for name in (*self.at_least, *self.at_most, *self.vetoes):
            if name not in OBJECTS:
                raise ValueError(f"L1 line {self.name}: unknown object {name!r}; nearest: {nearest(name, OBJECTS)}")
        if not self.prescale >= 1 or not 0 <= self.efficiency <= 1:
            raise ValueError(
                f"L1 line {self.name}: prescale {self.prescale} must be >= 1, efficiency {self.efficiency} in [0, 1]"
            )
        if not (self.at_least or self.at_most or self.vetoes or self.condition):
            raise ValueError(f"L1 line {self.name}: no condition; it would fire on every event")

    def fires(self, objects: Objects) -> NDArray[np.bool_]:
        """Whether the line's condition holds, ``(n,)`` bool; prescale and efficiency do not enter.

        Raises ``ValueError`` if ``condition`` asks for an unknown object or does not return one truth value per event.
        """
        n = len(next(iter(objects.values())))
        fired = np.ones(n, dtype=bool)
        for name, count in self.at_least.items():
            fired &= objects[name] >= count
        for name, count in self.at_most.items():
            fired &= objects[name] <= count
        for name in self.vetoes:
            fired &= objects[name] == 0
        if self.condition:
            try:
                answer = np.asarray(self.condition(objects))
            except KeyError as error:
                close = nearest(str(error.args[0]), objects)
                raise ValueError(f"L1 line {self.name}: its function asked for {error}; nearest object: {close}") from error
            if answer.shape != (n,) or answer.dtype != np.bool_:
                raise ValueError(
                    f"L1 line {self.name}: its function returned {answer.dtype} {answer.shape}, expected bool ({n},)"
                )
            fired &= answer
        return fired


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What ran when: the lines that existed and their prescales (1 where not given)."""

    name: str
    title: str
    lines: tuple[str, ...]
    prescales: Mapping[str, float]
    confidence: Confidence
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """All lines that are simulated; named ``selections`` of them and ``periods`` of running; the bit of each line by name."""

    lines: tuple[Line, ...]
    selections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    periods: Mapping[str, Period] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    bit: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        counts = Counter(line.experiment for line in self.lines)
        most = max((n for experiment, n in counts.items() if experiment), default=0)
        if most + counts[""] > MOST_LINES:
            raise ValueError(f"a menu of {most + counts['']} L1 lines: at most {MOST_LINES} fit the bit pattern")
        free = Counter({"": most})  # lines of any experiment are behind those of each
        bit = {}
        for line in self.lines:
            bit[line.name] = free[line.experiment]
            free[line.experiment] += 1
        object.__setattr__(self, "bit", bit)
        if double := {name for name in self.names if self.names.count(name) > 1}:
            raise ValueError(f"L1 lines named twice: {', '.join(sorted(double))}")

    @property
    def names(self) -> tuple[str, ...]:
        """Line names, experiment by experiment, bit 0 first."""
        return tuple(line.name for line in self.lines)

    def names_of(self, experiment: str) -> tuple[str, ...]:
        """Names of the lines of one experiment (a detector's name), and of those that belong to any."""
        return tuple(line.name for line in self.lines if line.experiment in ("", experiment))

    def __getitem__(self, name: str) -> Line:
        """The line of that name; ``ValueError`` names the nearest valid one."""
        return self.lines[self.names.index(self.check([name])[0])]

    def evaluate(self, objects: Objects) -> Bits:
        """The pattern of every event, ``(n,)`` uint64: the bit of each line that fired.

        ``objects["experiment"]``, one for all events, says whose lines there are; without it those of Belle II.
        """
        n = len(next(iter(objects.values())))
        experiment = EXPERIMENTS[int(objects["experiment"][0])] if n and "experiment" in objects else EXPERIMENTS[0]
        own = [line for line in self.lines if line.experiment in ("", experiment)]
        bits = np.zeros((n, 8), dtype=np.uint8)  # eight lines to a byte
        for first in range(0, n, _CHUNK):  # pieces that stay in the cache
            part = {name: values[first : first + _CHUNK] for name, values in objects.items()}
            for line in own:
                byte, place = divmod(self.bit[line.name], 8)
                bits[first : first + _CHUNK, byte] |= line.fires(part).view(np.uint8) << np.uint8(place)
        return bits.view("<u8")[:, 0].astype(np.uint64, copy=False)

    def check(self, names: Iterable[str]) -> tuple[str, ...]:
        """The given line names in menu order; ``ValueError`` names the nearest valid one for a name that is not a line."""
        asked = tuple(names)
        for name in asked:
            if name not in self.names:
                raise ValueError(
                    f"unknown L1 line {name!r}; nearest: {nearest(name, self.names)}; known: {', '.join(self.names)}"
                )
        return tuple(name for name in self.names if name in asked)

    def offered(self, final_state: str, also: Iterable[str] = (), experiment: str = "Belle II") -> tuple[Line, ...]:
        """An experiment's lines that matter for a final state (a name of ``selections``; all if there is none) and ``also``."""
        own = self.names_of(experiment)
        names = {*(name for name in self.selections.get(final_state, own) if name in own), *self.check(also)}
        return tuple(line for line in self.lines if line.name in names)

    def mask(self, names: Iterable[str]) -> np.uint64:
        """The pattern with the bits of the named lines set."""
        return np.uint64(sum(1 << self.bit[name] for name in self.check(names)))

    def fired(self, bits: Bits, names: Iterable[str]) -> NDArray[np.bool_]:
        """Whether any of the named lines fired before prescale, ``(n,)`` bool."""
        return np.asarray((bits & self.mask(names)) != 0)

    def keep_probability(self, bits: Bits, names: Iterable[str]) -> NDArray[np.float64]:
        """Probability ``(n,)`` that at least one of the named lines keeps each event: 1 - prod(1 - efficiency/prescale)."""
        chosen = [self[name] for name in self.check(names)]
        sure = [line.name for line in chosen if line.efficiency / line.prescale == 1.0]
        lost = 1.0 - self.fired(bits, sure).astype(np.float64)
        for line in chosen:
            if line.name not in sure:
                lost[self.fired(bits, [line.name])] *= 1.0 - line.efficiency / line.prescale
        return 1.0 - lost

    def translate(self, bits: NDArray[np.unsignedinteger], names: Sequence[str], experiment: str = EXPERIMENTS[0]) -> Bits:
        """Patterns written for lines ``names`` (bit 0 first) of an ``experiment`` as those of this menu, ``(n,)``.

        Lines of other experiments are left out. Raises ``ValueError`` for unknown names.
        """
        self.check(names)
        out = np.zeros(len(bits), dtype=np.uint64)
        own = self.names_of(experiment)
        for k, name in enumerate(names):
            if name in own:
                out |= ((bits.astype(np.uint64) >> np.uint64(k)) & np.uint64(1)) << np.uint64(self.bit[name])
        return out

    def with_line(self, name: str, condition: Callable[[Objects], NDArray[np.bool_]], *, title: str = "", prescale: float = 1.0,
                  efficiency: float = 1.0, source: str = "choice") -> Menu:  # fmt: skip
        """This menu with one more line, for any experiment: ``condition`` takes the objects and returns ``(n,)`` bool."""
        new = Line(name=name, title=title or name, condition=condition, prescale=prescale, efficiency=efficiency, source=source)
        return replace(self, lines=(*self.lines, new))

    def with_prescales(self, prescales: Mapping[str, float]) -> Menu:
        """The same lines with some prescales changed; raises ``ValueError`` for an unknown line or a prescale below 1."""
        self.check(prescales)
        return replace(self, lines=tuple(replace(x, prescale=prescales.get(x.name, x.prescale)) for x in self.lines))

    def of_period(self, name: str) -> Menu:
        """The lines and prescales of one of ``periods``; bits are numbered anew. Raises ``ValueError`` for an unknown name."""
        if name not in self.periods:
            raise ValueError(f"unknown period {name!r}; nearest: {nearest(name, self.periods)}; known: {', '.join(self.periods)}")
        period = self.periods[name]
        kept = replace(self, lines=tuple(line for line in self.lines if line.name in period.lines))
        return kept.with_prescales(period.prescales)


def _period(name: str, entry: Mapping[str, object], every: tuple[str, ...]) -> Period:
    fields = dict(entry)
    fields["lines"] = every if fields["lines"] == "all" else tuple(fields["lines"])  # type: ignore[arg-type]
    return Period(name=name, **fields)  # type: ignore[arg-type]


@cache
def load_menu() -> Menu:
    """The L1 lines of ``data/l1_menu.yaml`` (Belle II), then ``data/l1_menu_belle.yaml``, then ``data/l1_menu_babar.yaml``."""
    lines: list[Line] = []
    selections: dict[str, tuple[str, ...]] = {}
    periods: dict[str, Period] = {}
    references: dict[str, Reference] = {}
    files = (("Belle II", "l1_menu.yaml"), ("Belle", "l1_menu_belle.yaml"), ("BaBar", "l1_menu_babar.yaml"))
    for experiment, file in files:
        raw = read_yaml(data_file(file))
        references |= {key: Reference(key=key, **entry) for key, entry in raw["references"].items()}
        own = [Line(name=name, experiment=experiment, **{**entry, "vetoes": tuple(entry.get("vetoes", ()))})
               for name, entry in raw["lines"].items()]  # fmt: skip
        lines += own
        for name, chosen in raw["menus"].items():
            selections[name] = (*selections.get(name, ()), *chosen)
        every = tuple(line.name for line in own)
        periods |= {name: _period(name, entry, every) for name, entry in raw.get("periods", {}).items()}
    others = (r for r in L1.numbers.references.values() if r.key not in references)
    menu = Menu(lines=tuple(lines), selections=selections, periods=periods, references=(*references.values(), *others))
    for selection in menu.selections.values():
        menu.check(selection)
    for name in menu.periods:
        menu.of_period(name)
    return menu
