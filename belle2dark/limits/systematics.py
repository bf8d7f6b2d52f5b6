"""Bookkeeping of systematic uncertainties: one small record each, and the channels they act on.

A :class:`Systematic` has a name, a relative size and a list of what it acts on: ``"signal"`` (the efficiency),
``"background"`` (every component) or the name of one component. Systematics of the same name, in one channel or in several,
are the same nuisance parameter and move together; ``correlated_with`` ties different names together. In YAML::

    systematics:
      - {name: luminosity, size: 0.01, acts_on: [signal, background]}
      - {name: muon identification, size: 0.02, acts_on: [signal]}
      - {name: tautau cross section, size: 0.10, acts_on: [tautau], constraint: lognormal}

read by :func:`systematics_from`. A :class:`Channel` is one window or one dataset: the count, the expected background by
component with the statistical error of each template, the signal events per unit of signal strength, and its systematics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.limits.constraints import (
    LARGEST_GAMMA_EFFICIENCY,
    Constraint,
    check_constraint,
)

Array = NDArray[np.float64]

SIGNAL, BACKGROUND = "signal", "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class Systematic:
    """One relative uncertainty: name, size (0 to 1), what it acts on, names it is fully correlated with, constraint.

    Raises ``ValueError`` naming the field that is out of range.
    """

    name: str
    size: float
    acts_on: tuple[str, ...] = (SIGNAL,)
    correlated_with: tuple[str, ...] = ()
    constraint: Constraint = "gaussian"

    def __post_init__(self) -> None:
        if not 0.0 <= self.size <= 1.0:
            raise ValueError(f"size = {self.size} of systematic {self.name!r}: relative uncertainty must lie in [0, 1]")
        if isinstance(self.acts_on, str) or not self.acts_on:
            raise ValueError(f"acts_on of systematic {self.name!r}: must be a list of 'signal', 'background' or components")
        check_constraint("constraint", self.constraint)
        if self.constraint == "gamma" and SIGNAL in self.acts_on and self.size > LARGEST_GAMMA_EFFICIENCY:
            raise ValueError(f"size = {self.size} of systematic {self.name!r}: with a gamma constraint on the signal it must lie "
                             f"in [0, {LARGEST_GAMMA_EFFICIENCY}], or the posterior has no mean")  # fmt: skip


def systematics_from(entries: Iterable[Mapping[str, Any]]) -> tuple[Systematic, ...]:
    """Systematics from the mappings of a YAML list; raises ``ValueError`` for unknown or missing keys."""
    known = {item.name for item in fields(Systematic)}
    out = []
    for entry in entries:
        unknown = set(entry) - known
        if unknown or not {"name", "size"} <= set(entry):
            problem = f"unknown key {sorted(unknown)[0]!r}" if unknown else "name and size are required"
            raise ValueError(f"systematics: {problem} in {dict(entry)}; keys are {', '.join(sorted(known))}")
        lists = {key: tuple(entry[key]) for key in ("acts_on", "correlated_with") if key in entry}
        out.append(Systematic(**{**entry, "size": float(entry["size"]), **lists}))
    return tuple(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One window or dataset that a combination is made of.

    ``background`` is the expected events by component and ``template_error`` the relative statistical error of each
    component's template (gamma constraint); ``signal`` is the signal events per unit of the common signal strength, for
    example efficiency x luminosity [fb-1] for a strength in fb. ``n`` is None before there are data.
    Raises ``ValueError`` naming the field that is out of range.
    """

    name: str
    background: Mapping[str, float]
    n: int | None = None
    signal: float = 1.0
    systematics: tuple[Systematic, ...] = ()
    template_error: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.n is not None and not (0 <= self.n <= 1e9 and self.n == math.floor(self.n)):
            raise ValueError(f"n = {self.n} of channel {self.name!r}: must be a whole number from 0 to 1e9")
        for component, value in self.background.items():
            if not 0.0 <= value <= 1e9:
                raise ValueError(f"background {component!r} = {value} of channel {self.name!r}: must lie in [0, 1e9] events")
        if not 0.0 <= self.signal < math.inf:
            raise ValueError(f"signal = {self.signal} of channel {self.name!r}: must be finite and not negative")
        for component, value in self.template_error.items():
            if component not in self.background or not 0.0 <= value <= 10.0:
                raise ValueError(f"template_error {component!r} = {value} of channel {self.name!r}: must belong to a component "
                                 "and lie in [0, 10]")  # fmt: skip
        for item in self.systematics:
            for target in item.acts_on:
                if target not in (SIGNAL, BACKGROUND, *self.background):
                    choices = ", ".join((SIGNAL, BACKGROUND, *self.background))
                    raise ValueError(f"acts_on {target!r} of systematic {item.name!r}: channel {self.name!r} has {choices}")

    @property
    def total(self) -> float:
        """Expected background events."""
        return float(sum(self.background.values()))


@dataclass(frozen=True, slots=True)
class Nuisance:
    """One nuisance parameter: per channel the sizes on (signal, component, component, ...)."""

    names: tuple[str, ...]
    constraint: Constraint
    sizes: tuple[Array, ...]

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels that it moves."""
        return tuple(i for i, sizes in enumerate(self.sizes) if sizes.any())


def _joined(channels: tuple[Channel, ...]) -> dict[str, str]:
    """Systematic name -> representative of the names it is tied to."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            name = parent[name]
        return name

    for channel in channels:
        for item in channel.systematics:
            for other in (item.name, *item.correlated_with):
                parent[root(other)] = root(item.name)
    return {name: root(name) for name in parent}


def nuisances(channels: tuple[Channel, ...]) -> tuple[Nuisance, ...]:
    """The nuisance parameters of a set of channels; raises ``ValueError`` if tied systematics differ in constraint."""
    home = _joined(channels)
    names: dict[str, list[str]] = {}
    shapes: dict[str, Constraint] = {}
    sizes: dict[str, list[Array]] = {}
    for i, channel in enumerate(channels):
        components = list(channel.background)
        for item in channel.systematics:
            key = home[item.name]
            if shapes.setdefault(key, item.constraint) != item.constraint:
                raise ValueError(f"constraint of systematic {item.name!r}: correlated ones must have the same")
            blank = [np.zeros(1 + len(c.background)) for c in channels]
            moved, known = sizes.setdefault(key, blank)[i], names.setdefault(key, [])
            if item.name not in known:
                known.append(item.name)
            for target in item.acts_on:
                if target == SIGNAL:
                    moved[0] += item.size
                elif target == BACKGROUND:
                    moved[1:] += item.size
                else:
                    moved[1 + components.index(target)] += item.size
    return tuple(Nuisance(tuple(names[key]), shapes[key], tuple(sizes[key])) for key in sizes if any(s.any() for s in sizes[key]))
