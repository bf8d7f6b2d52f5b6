"""What a YAML file of numbers may contain: the strict pydantic side of :mod:`belle2dark.sourced`.

Apart from the records because pydantic takes 0.2 s to import and only reading a file needs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from belle2dark.sourced import Confidence, Reference

List = Annotated[list[float], Field(min_length=1)]
Schema = TypeVar("Schema", bound=BaseModel)


class Strict(BaseModel):
    """Base of every schema: no unknown field, no conversion, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ReferenceIn(Strict):
    """One entry of ``references``."""

    title: str
    authors: str
    year: int
    journal: str = ""
    doi: str = ""
    eprint: str = ""
    url: str = ""


class NumberIn(Strict):
    """One entry of ``numbers``."""

    value: float | List
    unit: str
    source: str
    confidence: Confidence
    note: str = ""


class SystematicIn(Strict):
    """One entry of ``systematics``: its size is one of the file's numbers, which carries the source.

    The number may have a value per region of a search; without ``datasets`` it is for all of them.
    """

    name: str
    size: str
    acts_on: Annotated[list[str], Field(min_length=1)] = ["signal"]
    datasets: list[str] = []
    correlated_with: list[str] = []
    constraint: Literal["gaussian", "lognormal", "gamma"] = "gaussian"


class NumbersIn(Strict):
    """A whole file of numbers."""

    references: dict[str, ReferenceIn] = {}
    numbers: dict[str, NumberIn]
    systematics: list[SystematicIn] = []


def validate(schema: type[Schema], raw: Any, name: str) -> Schema:
    """``raw`` checked by ``schema``; raises a one-line ``ValueError`` naming file, entry and field."""
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        # A misspelt field is reported twice, as unknown and as missing: the unknown name is what helps.
        # Otherwise the deepest: an element of a list says more than "the list is not a number".
        first = min(error.errors(), key=lambda e: (e["type"] != "extra_forbidden", -len(e["loc"])))
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        what = "unknown field" if first["type"] == "extra_forbidden" else f"{first['msg']}, not {first['input']!r:.60}"
        if re.fullmatch(r"[+-]?\d+e[+-]?\d+", str(first["input"]), re.IGNORECASE):
            what += "; in YAML a power of ten needs a decimal point: 1.0e-8"
        raise ValueError(f"{name}: {where}: {what}") from None


def references(block: Mapping[str, ReferenceIn]) -> dict[str, Reference]:
    """The references of a validated file by key."""
    return {key: Reference(key=key, **entry.model_dump()) for key, entry in block.items()}
