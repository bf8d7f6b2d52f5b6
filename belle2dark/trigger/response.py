"""The numbers of the L1 trigger's own response (``data/l1.yaml``), with the ones of an experiment replaceable one by one.

``l1.yaml`` is Belle II's. Another experiment puts what differs into its detector file as ``l1_<name>``: :func:`l1_response`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from belle2dark.detector.experiments import Detector
from belle2dark.sourced import Numbers, load_numbers, nearest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class L1Response:
    """Trigger cells, track finding, matching and thresholds of one L1 trigger, as sourced numbers."""

    numbers: Numbers

    def number(self, name: str) -> float:
        """One number in its own unit."""
        return float(self.numbers[name])

    def values(self, name: str) -> tuple[float, ...]:
        """A list of numbers in their own unit."""
        return self.numbers[name].values

    def vary(self, **changes: float | Sequence[float]) -> L1Response:
        """The same response with some numbers replaced, for studies.

        Raises ``ValueError`` for a name it does not have, a number that is not finite or a list of another length.
        """
        entries = dict(self.numbers.entries)
        for name, value in changes.items():
            if name not in entries:
                raise ValueError(f"the L1 response has no number {name!r}; nearest: {nearest(name, entries)}")
            new = tuple(float(x) for x in value) if isinstance(value, Sequence) else (float(value),)
            if not all(math.isfinite(x) for x in new) or len(new) != len(entries[name].values):
                raise ValueError(f"{name} = {value}: expected {len(entries[name].values)} finite number(s)")
            plain = new if isinstance(entries[name].value, tuple) else new[0]
            entries[name] = replace(entries[name], value=plain, source="choice", confidence="choice", note="varied by hand")
        return replace(self, numbers=Numbers(self.numbers.name, entries, self.numbers.references))


#: Belle II
L1 = L1Response(numbers=load_numbers("l1"))


@lru_cache(maxsize=16)
def l1_response(detector: Detector) -> L1Response:
    """The L1 response of an experiment: :data:`L1` with the numbers that ``detector`` has as ``l1_<name>`` in their place."""
    own = {name: detector.numbers[f"l1_{name}"] for name in L1.numbers if f"l1_{name}" in detector.numbers}
    return replace(L1, numbers=Numbers(L1.numbers.name, {**L1.numbers.entries, **own}, L1.numbers.references)) if own else L1
