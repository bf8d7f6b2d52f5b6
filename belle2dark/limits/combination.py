"""One limit from several windows or datasets, and what each systematic costs it.

The channels share the signal strength s: channel i expects s x ``signal``_i times its efficiency factors plus its background.
Systematics of the same name move together in every channel that has them, all others are independent.

* ``bayesian``: the product of the averaged likelihoods, integrated over s with the prior ``flat``, ``sqrt`` or ``reference``
  (Jeffreys' for the nominal backgrounds).
* ``cls``: ordered by the log of the likelihood ratio, sum_i n_i ln(1 + s_i / b_i), the optimal weighting of channels; its
  distribution is summed over all outcomes where there are at most 2 million, and thrown with toys beyond (the result carries
  their number and seed). One channel gives the hybrid CLs limit of :mod:`.counting`. The nuisances keep their constraints:
  unlike the Bayesian limit this one does not learn a common background from the other channels, and is weaker for it.
* Feldman-Cousins and CLs+b are not offered for several channels: the unified ordering would need a construction in all
  counts at once. For one channel all methods work.

Source: T. Junk, Nucl. Instrum. Meth. A 434 (1999) 435; A. L. Read, J. Phys. G 28 (2002) 2693.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.limits import checks
from belle2dark.limits.bands import outcome_quantiles
from belle2dark.limits.joint import Joint, cls_upper, joint, posterior_upper
from belle2dark.limits.nodes import flatten
from belle2dark.limits.public import METHODS, Expected, Method
from belle2dark.limits.solve import PRIORS, Prior, upper_of_nodes
from belle2dark.limits.systematics import Channel, nuisances

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedLimit:
    """Upper limit on the common signal strength; ``toys`` and ``seed`` are None where none were thrown.

    ``infinite`` is true (and ``upper`` inf) if no channel expects signal.
    """

    upper: float
    infinite: bool
    cl: float
    method: Method
    prior: Prior
    channels: tuple[str, ...]
    toys: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """What systematics cost: the limit with all, with none, and without each one; ``cost`` is limit / without - 1."""

    limit: float
    statistical: float
    without: dict[str, float]
    cost: dict[str, float]
    cl: float
    method: Method


def _checked(channels: Sequence[Channel] | Channel, method: str, prior: str, cl: float) -> tuple[Channel, ...]:
    items = (channels,) if isinstance(channels, Channel) else tuple(channels)
    if not items:
        raise ValueError("channels: at least one is needed")
    checks.one_of("method", method, METHODS)
    checks.one_of("prior", prior, PRIORS)
    checks.confidence(cl)
    if len(items) > 1 and method not in ("bayesian", "cls"):
        raise ValueError(f"method = {method!r}: several channels need bayesian or cls")
    names = [channel.name for channel in items]
    if len(set(names)) < len(names):
        raise ValueError(f"channels: names must differ, got {', '.join(names)}")
    return items


def _counts(channels: tuple[Channel, ...]) -> tuple[int, ...]:
    for channel in channels:
        if channel.n is None:
            raise ValueError(f"n of channel {channel.name!r}: an observed limit needs it; see combined_expected")
    return tuple(int(channel.n) for channel in channels if channel.n is not None)


def _upper(channels: tuple[Channel, ...], counts: tuple[int, ...], cl: float, method: Method, prior: Prior, n_toys: int,
           seed: int) -> tuple[float, bool]:  # fmt: skip
    """The limit, and whether toys were thrown."""
    if not any(channel.signal > 0 for channel in channels):
        return math.inf, False
    if len(channels) == 1:
        nodes = flatten(channels[0], counts[0], nuisances(channels))
        return upper_of_nodes(counts[0], *nodes, cl, method, prior) / channels[0].signal, False
    model: Joint = joint(channels, counts)
    if method == "bayesian":
        return posterior_upper(model, cl, prior), False
    return cls_upper(model, cl, n_toys, seed)


def combined_limit(channels: Sequence[Channel] | Channel, *, cl: float = 0.90, method: Method = "bayesian", prior: Prior = "flat",
                   n_toys: int = 40_000, seed: int = 1) -> CombinedLimit:  # fmt: skip
    """Observed upper limit on the signal strength common to ``channels``.

    Raises ``ValueError`` naming the argument that is out of range, and for a channel without ``n``.
    """
    items = _checked(channels, method, prior, cl)
    upper, thrown = _upper(items, _counts(items), cl, method, prior, n_toys, seed)
    return CombinedLimit(upper=upper, infinite=math.isinf(upper), cl=cl, method=method, prior=prior,
                         channels=tuple(channel.name for channel in items), toys=n_toys if thrown else None,
                         seed=seed if thrown else None)  # fmt: skip


def combined_expected(channels: Sequence[Channel] | Channel, *, cl: float = 0.90, method: Method = "bayesian",
                      prior: Prior = "flat", n_experiments: int = 400, seed: int = 1) -> Expected:  # fmt: skip
    """Expected upper limits on the common signal strength, from ``n_experiments`` background-only experiments.

    One channel needs no toys (its limits at the quantiles of n are exact). Each distinct outcome is computed once. Raises
    ``ValueError`` as :func:`combined_limit`.
    """
    items = _checked(channels, method, prior, cl)
    names = ("minus2", "minus1", "median", "plus1", "plus2")
    if len(items) == 1:
        counts = outcome_quantiles(items[0].total)[0]
        values: list[Any] = [_upper(items, (int(n),), cl, method, prior, 0, seed)[0] for n in counts]
        return Expected(**dict(zip(names, values, strict=True)), cl=cl, method=method)
    rng = np.random.default_rng(seed)
    outcomes = rng.poisson([channel.total for channel in items], (n_experiments, len(items)))
    distinct, which = np.unique(outcomes, axis=0, return_inverse=True)
    limits = np.array([_upper(items, tuple(int(n) for n in row), cl, method, prior, 10_000, seed)[0] for row in distinct])
    bands: list[Any] = np.quantile(limits[which.reshape(-1)], [0.02275013, 0.15865525, 0.5, 0.84134475, 0.97724987]).tolist()
    return Expected(**dict(zip(names, bands, strict=True)), cl=cl, method=method, seed=seed)


def breakdown(channels: Sequence[Channel] | Channel, *, cl: float = 0.90, method: Method = "bayesian",
              prior: Prior = "flat") -> Breakdown:  # fmt: skip
    """What each systematic costs the limit: all of them, none, and all but one in turn.

    Observed limits if every channel has ``n``, otherwise limits at the median background count of each channel. Systematics
    of one name (or tied together) are removed together; the error of the templates is listed as "template statistics".
    Raises ``ValueError`` as :func:`combined_limit`.
    """
    items = _checked(channels, method, prior, cl)
    if all(channel.n is not None for channel in items):
        counts = _counts(items)
    else:
        counts = tuple(int(outcome_quantiles(channel.total)[0, 2]) for channel in items)
    groups: dict[str, tuple[str, ...]] = {" + ".join(item.names): item.names for item in nuisances(items)}
    bare = tuple(replace(channel, systematics=(), template_error={}) for channel in items)

    def limit(changed: tuple[Channel, ...]) -> float:
        return _upper(changed, counts, cl, method, prior, 40_000, 1)[0]

    total, without = limit(items), {}
    for label, names in groups.items():
        without[label] = limit(tuple(
            replace(channel, systematics=tuple(item for item in channel.systematics if item.name not in names))
            for channel in items))  # fmt: skip
    if any(itertools.chain.from_iterable(channel.template_error.values() for channel in items)):
        without["template statistics"] = limit(tuple(replace(channel, template_error={}) for channel in items))
    cost = {label: total / value - 1.0 for label, value in without.items()}
    ordered = dict(sorted(cost.items(), key=lambda pair: -pair[1]))
    return Breakdown(limit=total, statistical=limit(bare), without={label: without[label] for label in ordered}, cost=ordered,
                     cl=cl, method=method)  # fmt: skip
