"""What a file of published results may contain; loaded only when one is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from belle2dark._schema import List, ReferenceIn, Strict
from belle2dark.sourced import Confidence

Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class ResultIn(Strict):
    """One result: a curve (masses with observed, expected) or a range over a region; ``parameters`` are fixed choices."""

    search: str
    dataset: str
    luminosity: Annotated[float, Field(gt=0)] | None = None
    sqrt_s: Annotated[float, Field(gt=0)]
    cl: Annotated[float, Field(gt=0, lt=1)]
    method: str
    quantity: str
    unit: str
    parameters: dict[str, str | float] = Field(default_factory=dict)
    masses: dict[str, List] = Field(default_factory=dict)
    observed: List | None = None
    expected: List | None = None
    range: Pair | None = None
    region: dict[str, Pair] = Field(default_factory=dict)
    ascending: list[str] = Field(default_factory=list)
    factors: Pair | None = None
    compare: str = "limits"
    observed_extremes: bool = False
    source: str
    confidence: Confidence
    notes: str = ""


class PaperIn(Strict):
    """One file: the paper, its references and its results."""

    paper: str
    references: dict[str, ReferenceIn]
    results: Annotated[list[ResultIn], Field(min_length=1)]
