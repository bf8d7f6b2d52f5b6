"""One knob of a search: declared once, used as slider, command-line option, notebook cell, scan axis and table row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from belle2dark.sourced import nearest

ParameterValue = float | str | bool
Values = Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Name, symbol (LaTeX, without dollars), unit, default, range or choices, scale and help of one parameter.

    A parameter with ``choices`` takes one of these strings; a ``bool`` default makes a switch; otherwise it is a
    number in [low, high]. ``simulates`` says that a new value needs new events (masses do; couplings re-weight).
    """

    name: str
    symbol: str
    unit: str
    default: ParameterValue
    help: str
    low: float = -math.inf
    high: float = math.inf
    scale: Literal["linear", "log"] = "linear"
    choices: tuple[str, ...] = ()
    simulates: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise ValueError(f"parameter name {self.name!r}: must be a lower-case identifier")
        if self.scale == "log" and not self.low > 0:
            raise ValueError(f"parameter {self.name}: a log scale needs low > 0, not {self.low}")
        self.parse(self.default)

    @property
    def kind(self) -> type:
        """``float``, ``str`` or ``bool``."""
        return bool if isinstance(self.default, bool) else str if self.choices else float

    @property
    def allowed(self) -> str:
        """The allowed range or choices in words, with the unit."""
        if self.kind is bool:
            return "true or false"
        if self.choices:
            return " | ".join(self.choices)
        return f"{self.low:.12g} to {self.high:.12g}" + (f" {self.unit}" if self.unit else "")

    def parse(self, value: Any) -> ParameterValue:
        """``value`` (a number, a bool or text) as this parameter's type.

        Raises ``ValueError`` naming the parameter, the value, the unit and what is allowed.
        """
        if self.kind is bool:
            known = {"true": True, "1": True, "false": False, "0": False}
            if str(value).lower() not in known:
                raise ValueError(f"{self.name} = {value!r}: must be {self.allowed}")
            return known[str(value).lower()]
        if self.choices:
            if value not in self.choices:
                near = nearest(str(value), self.choices)
                raise ValueError(f"{self.name} = {value!r}: must be one of {self.allowed}; nearest: {near}")
            return str(value)
        unit = f" {self.unit}" if self.unit else ""
        try:
            if isinstance(value, bool):
                raise TypeError
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{self.name} = {value!r}: not a number; allowed: {self.allowed}") from None
        if not (self.low <= number <= self.high) or not math.isfinite(number):
            raise ValueError(f"{self.name} = {number:.12g}{unit}: outside the allowed range {self.allowed}")
        return number

    def cell(self) -> str:
        """The line of a notebook's ``parameters`` cell that declares this parameter."""
        default = repr(float(self.default)) if self.kind is float else repr(self.default)
        help_text = ", ".join(text for text in (self.unit, self.help) if text).replace("=", ":")
        return f"{self.name}: {self.kind.__name__} = {default}  # {help_text}"


def parse_values(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, ParameterValue]:
    """All parameters, given ones parsed and the others at their defaults.

    Raises ``ValueError`` for an unknown name (with the nearest valid one) or a value out of range.
    """
    known = {p.name: p for p in parameters}
    for name in given:
        if name not in known:
            raise ValueError(f"unknown parameter {name!r}; nearest: {nearest(name, known)}; known: {', '.join(known)}")
    return {name: p.parse(given.get(name, p.default)) for name, p in known.items()}
