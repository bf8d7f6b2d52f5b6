"""Lines and menus: which L1 lines fired, and with which probability a choice of lines keeps an event.

The menu is data (``data/l1_menu.yaml``). :meth:`Menu.evaluate` gives one bit per line and event, for all lines;
:func:`keep_probability` then answers for any choice of lines, so that switching a line costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from belle2dark.sourced import Reference, data_file, nearest, read_yaml
from belle2dark.trigger.objects import OBJECTS

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One L1 line: the least (and greatest) number of each object, vetoes, prescale (keeps 1 in ``prescale``) and efficiency."""

    name: str
    title: str
    at_least: Mapping[str, int]
    at_most: Mapping[str, int] = field(default_factory=dict)
    vetoes: tuple[str, ...] = ()
    prescale: float = 1.0
    efficiency: float = 1.0
    source: str

    def __post_init__(self) -> None:
        for name in (*self.at_least, *self.at_most, *self.vetoes):
            if name not in OBJECTS:
                raise ValueError(f"L1 line {self.name}: unknown object {name!r}; nearest: {nearest(name, OBJECTS)}")
        if self.prescale < 1 or not 0 <= self.efficiency <= 1:
            raise ValueError(
                f"L1 line {self.name}: prescale {self.prescale} must be >= 1, efficiency {self.efficiency} in [0, 1]"
            )

    def fires(self, objects: Mapping[str, NDArray[np.int8]]) -> NDArray[np.bool_]:
        """Whether the line's condition holds, ``(n,)`` bool."""
        fired = np.ones(len(next(iter(objects.values()))), dtype=bool)
        for name, count in self.at_least.items():
            fired &= objects[name] >= count
        for name, count in self.at_most.items():
            fired &= objects[name] <= count
        for name in self.vetoes:
            fired &= objects[name] == 0
        return fired


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """All lines that are simulated, in the order of their bits, and named selections of them."""

    lines: tuple[Line, ...]
    selections: Mapping[str, tuple[str, ...]]
    references: tuple[Reference, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Line names, bit 0 first."""
        return tuple(line.name for line in self.lines)

    def evaluate(self, objects: Mapping[str, NDArray[np.int8]]) -> Bits:
        """One bit per line, ``(n,)`` uint8, bit k for line k."""
        bits = np.zeros(len(next(iter(objects.values()))), dtype=np.uint8)
        for k, line in enumerate(self.lines):
            bits |= line.fires(objects).astype(np.uint8) << np.uint8(k)
        return bits

    def check(self, names: Iterable[str]) -> tuple[str, ...]:
        """The given line names in menu order; ``ValueError`` names the nearest valid one for a name that is not a line."""
        asked = tuple(names)
        for name in asked:
            if name not in self.names:
                raise ValueError(
                    f"unknown L1 line {name!r}; nearest: {nearest(name, self.names)}; known: {', '.join(self.names)}"
                )
        return tuple(name for name in self.names if name in asked)

    def keep_probability(self, bits: Bits, names: Iterable[str]) -> NDArray[np.float64]:
        """Probability ``(n,)`` that at least one of the named lines keeps each event: 1 - prod(1 - efficiency/prescale)."""
        chosen = self.check(names)
        table = np.ones(256)
        patterns = np.arange(256, dtype=np.uint8)
        for k, line in enumerate(self.lines):
            if line.name in chosen:
                table[(patterns >> np.uint8(k)) & 1 == 1] *= 1.0 - line.efficiency / line.prescale
        return (1.0 - table)[bits]


@cache
def load_menu() -> Menu:
    """The L1 lines of ``data/l1_menu.yaml``."""
    raw = read_yaml(data_file("l1_menu.yaml"))
    references = tuple(Reference(key=key, **entry) for key, entry in raw["references"].items())
    lines = tuple(Line(name=name, **{**entry, "vetoes": tuple(entry.get("vetoes", ()))}) for name, entry in raw["lines"].items())
    if len(lines) > 8:
        raise ValueError(f"l1_menu.yaml: {len(lines)} lines, at most 8 fit the bit mask")
    menu = Menu(lines=lines, selections={name: tuple(s) for name, s in raw["menus"].items()}, references=references)
    for selection in menu.selections.values():
        menu.check(selection)
    return menu
