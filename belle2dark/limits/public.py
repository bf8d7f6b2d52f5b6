"""The public functions for counting searches: vectorised over n, background and uncertainties, floats in and floats out.

Gaussian constraints and a flat prior take the compiled kernels (a microsecond per limit without a background error, ten with
everything); other constraints and priors and two-sided classical intervals take explicit nodes (1-10 ms per limit, seconds
for Feldman-Cousins). See :mod:`belle2dark.limits` for which method to use when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.limits import checks, discovery, unified
from belle2dark.limits import counting as fast
from belle2dark.limits.bands import outcome_quantiles
from belle2dark.limits.constraints import LARGEST_GAMMA_EFFICIENCY, Constraint, check_constraint
from belle2dark.limits.nodes import flatten
from belle2dark.limits.nuisance import Uncertainties, cumulative_table
from belle2dark.limits.punzi import punzi_events
from belle2dark.limits.solve import PRIORS, Prior, interval_of_nodes, upper_of_nodes
from belle2dark.limits.systematics import BACKGROUND, SIGNAL, Channel, Systematic, nuisances

Array = NDArray[np.float64]
Method = Literal["bayesian", "cls", "clsb", "feldman_cousins"]
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided interval on the signal events: floats, or arrays of the shape of the arguments."""

    low: Any
    high: Any
    cl: float
    method: Method

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Unpack as (low, high)."""
        return iter((self.low, self.high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Expected upper limits at -2, -1, 0, +1, +2 sigma; ``seed`` is None where no toys were thrown."""

    minus2: Any
    minus1: Any
    median: Any
    plus1: Any
    plus2: Any
    cl: float
    method: str
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Upper limits on a cross-section [fb]: ``value`` is inf exactly where ``infinite`` is true (efficiency 0)."""

    value: Any
    infinite: Any
    cl: float
    method: Method
    unit: str = "fb"


@dataclass(frozen=True, slots=True)
class _Request:
    """Checked arguments of m windows, one-dimensional, and the shape to give back."""

    shape: tuple[int, ...]
    n: NDArray[np.int64]
    b: Array
    sk: Array
    se: Array
    sf: Array
    mc: Array
    cl: float
    method: Method
    prior: Prior
    constraint: Constraint
    exact: bool

    @property
    def compiled(self) -> bool:
        """Whether the kernels for Gaussian constraints and a flat prior apply."""
        gaussian = self.constraint == "gaussian" or not (self.sk.any() or self.se.any() or self.sf.any() or self.mc.any())
        return gaussian and self.method != "clsb" and (self.method != "bayesian" or self.prior == "flat")


def _request(n: ArrayLike, background: ArrayLike, cl: float, method: Method, prior: Prior, constraint: Constraint,
             uncertainties: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], exact: bool = True) -> _Request:  # fmt: skip
    """Check and broadcast."""
    background_uncertainty, efficiency_uncertainty, correlated, background_mc = uncertainties
    checks.one_of("method", method, METHODS)
    checks.one_of("prior", prior, PRIORS)
    check_constraint("constraint", constraint)
    largest = LARGEST_GAMMA_EFFICIENCY if constraint == "gamma" else 1.0
    arrays = np.broadcast_arrays(
        checks.counts("n", n),
        checks.between("background", background, 0.0, checks.LARGEST, "expected events"),
        checks.between("background_uncertainty", background_uncertainty, 0.0, 1.0, "relative uncertainty"),
        checks.between("efficiency_uncertainty", efficiency_uncertainty, 0.0, largest, "relative uncertainty"),
        checks.between("correlated", correlated, 0.0, largest, "relative uncertainty"),
        checks.between("background_mc", background_mc, 0.0, 10.0, "relative error of the template"),
    )
    flat = [np.ascontiguousarray(array.reshape(-1)) for array in arrays]
    n_, b, sk, se, sf, mc = flat
    return _Request(arrays[0].shape, n_.astype(np.int64), b, sk, se, sf, mc, checks.confidence(cl), method, prior, constraint,
                    exact)  # fmt: skip


def _by_efficiency(request: _Request, job: Callable[[NDArray[np.int64], Uncertainties], Array], columns: int) -> Array:
    """Call ``job`` once per distinct pair of efficiency uncertainties; (m, columns)."""
    out = np.empty((len(request.b), columns))
    if not len(out):
        return out
    if np.ptp(request.se) == 0 and np.ptp(request.sf) == 0:
        return job(np.arange(len(out)), Uncertainties(signal=float(request.se[0]), correlated=float(request.sf[0])))
    pairs, which = np.unique(np.stack([request.se, request.sf], axis=1), axis=0, return_inverse=True)
    for k, (se, sf) in enumerate(pairs):
        rows = np.flatnonzero(which.reshape(-1) == k)
        out[rows] = job(rows, Uncertainties(signal=float(se), correlated=float(sf)))
    return out


def _compiled(request: _Request, outcomes: NDArray[np.int64], cl: float) -> Array:
    """Upper limits (m, q) by the kernels."""
    sigma = np.hypot(request.sk, request.mc)
    method: Any = request.method

    def job(rows: NDArray[np.int64], u: Uncertainties) -> Array:
        counts = np.ascontiguousarray(outcomes[rows])
        return fast.limits_of_outcomes(counts, request.b[rows], sigma[rows], cl, method, u, request.exact)

    return _by_efficiency(request, job, outcomes.shape[1])


def _unified_lower(request: _Request) -> Array:
    """Lower ends of the Feldman-Cousins intervals (m,)."""
    sigma = np.hypot(request.sk, request.mc)

    def job(rows: NDArray[np.int64], u: Uncertainties) -> Array:
        tables = np.stack([cumulative_table(u.correlated, False), cumulative_table(u.signal, False)])
        return unified.lowers(request.n[rows], request.b[rows], sigma[rows], u.signal, u.correlated, request.cl, tables)[:, None]

    return _by_efficiency(request, job, 1)[:, 0]


def window_channel(n: int, b: float, sk: float, se: float, sf: float, mc: float, constraint: Constraint) -> Channel:
    """One window with the four standard uncertainties as a channel with one component."""
    total = float(np.hypot(sk, mc))
    if constraint == "gaussian" and total <= 1.0:
        sk, mc = total, 0.0
    sizes = (("background", sk, (BACKGROUND,)), ("efficiency", se, (SIGNAL,)), ("correlated", sf, (SIGNAL, BACKGROUND)))
    systematics = tuple(Systematic(name=name, size=size, acts_on=acts_on, constraint=constraint)
                        for name, size, acts_on in sizes if size > 0)  # fmt: skip
    return Channel(name="window", background={BACKGROUND: b}, n=n, systematics=systematics, template_error={BACKGROUND: mc})


@lru_cache(maxsize=4096)
def _general(two_sided: bool, n: int, b: float, sk: float, se: float, sf: float, mc: float, cl: float, method: Method,
             prior: Prior, constraint: Constraint) -> tuple[float, float]:  # fmt: skip
    """Interval (low, high) of one window from explicit nodes; low is 0 unless ``two_sided``."""
    channel = window_channel(n, b, sk, se, sf, mc, constraint)
    nodes = flatten(channel, n, nuisances((channel,)), 0)
    if two_sided:
        return interval_of_nodes(n, *nodes, cl, method, prior)
    return 0.0, upper_of_nodes(n, *nodes, cl, method, prior)


def _ends(request: _Request, outcomes: NDArray[np.int64], two_sided: bool) -> Array:
    """(low, high) of every window and outcome from explicit nodes: (m, q, 2)."""
    r = request
    rows = zip(outcomes.tolist(), r.b.tolist(), r.sk.tolist(), r.se.tolist(), r.sf.tolist(), r.mc.tolist(), strict=True)
    out = [[_general(two_sided, n, b, sk, se, sf, mc, r.cl, r.method, r.prior, r.constraint) for n in counts]
           for counts, b, sk, se, sf, mc in rows]  # fmt: skip
    return np.array(out, dtype=float).reshape(*outcomes.shape, 2)


def _uppers(request: _Request, outcomes: NDArray[np.int64]) -> Array:
    """Upper limits (m, q)."""
    if request.compiled:
        return _compiled(request, outcomes, request.cl)
    return _ends(request, outcomes, False)[:, :, 1]


def upper_limit(n: ArrayLike, background: ArrayLike, *, cl: float = 0.90, method: Method = "bayesian", prior: Prior = "flat",
                background_uncertainty: ArrayLike = 0.0, efficiency_uncertainty: ArrayLike = 0.0, correlated: ArrayLike = 0.0,
                background_mc: ArrayLike = 0.0, constraint: Constraint = "gaussian", exact: bool = True) -> Any:  # fmt: skip
    """Upper limit on the signal events for ``n`` observed and ``background`` expected events: a float, or an array.

    Uncertainties are relative: of the background, of the signal efficiency, ``correlated`` of both together, and
    ``background_mc`` the statistical error of the background template; all arguments broadcast. ``prior`` concerns the
    Bayesian method; ``exact=False`` takes Feldman-Cousins limits from tables where they reach. With ``clsb`` the limit is 0
    where data fall so low that every signal is excluded. Raises ``ValueError`` naming the argument that is out of range.
    """
    request = _request(n, background, cl, method, prior, constraint,
                       (background_uncertainty, efficiency_uncertainty, correlated, background_mc), exact)  # fmt: skip
    return checks.shaped(_uppers(request, request.n[:, None])[:, 0], request.shape)


def interval(n: ArrayLike, background: ArrayLike, *, cl: float = 0.90, method: Method = "bayesian", prior: Prior = "flat",
             background_uncertainty: ArrayLike = 0.0, efficiency_uncertainty: ArrayLike = 0.0, correlated: ArrayLike = 0.0,
             background_mc: ArrayLike = 0.0, constraint: Constraint = "gaussian") -> Interval:  # fmt: skip
    """Two-sided interval on the signal events, arguments as :func:`upper_limit`.

    ``bayesian``: equal posterior tails; ``feldman_cousins``: unified, the lower end is 0 unless data exclude it; ``clsb``:
    central classical, both ends cut at 0; ``cls``: (0, upper limit), as it has no lower end.
    Raises ``ValueError`` naming the argument that is out of range.
    """
    request = _request(n, background, cl, method, prior, constraint,
                       (background_uncertainty, efficiency_uncertainty, correlated, background_mc))  # fmt: skip
    outcomes = request.n[:, None]
    if not request.compiled:
        low, high = _ends(request, outcomes, True)[:, 0].T
    elif method == "bayesian":
        low, high = (_compiled(request, outcomes, 0.5 * (1.0 + sign * cl))[:, 0] for sign in (-1.0, 1.0))
    else:
        low = _unified_lower(request) if method == "feldman_cousins" else np.zeros(len(request.b))
        high = _compiled(request, outcomes, cl)[:, 0]
    return Interval(low=checks.shaped(low, request.shape), high=checks.shaped(high, request.shape), cl=request.cl, method=method)


def expected(background: ArrayLike, *, cl: float = 0.90, method: Method = "bayesian", prior: Prior = "flat",
             background_uncertainty: ArrayLike = 0.0, efficiency_uncertainty: ArrayLike = 0.0, correlated: ArrayLike = 0.0,
             background_mc: ArrayLike = 0.0, constraint: Constraint = "gaussian", exact: bool = True) -> Expected:  # fmt: skip
    """Expected upper limits on the signal events, arguments as :func:`upper_limit`.

    A limit rises with n, so that its quantiles are the limits at the Poisson quantiles of n: exact at any background,
    without toys. Raises ``ValueError`` naming the argument that is out of range.
    """
    request = _request(0, background, cl, method, prior, constraint,
                       (background_uncertainty, efficiency_uncertainty, correlated, background_mc), exact)  # fmt: skip
    values = _uppers(request, outcome_quantiles(request.b)) if len(request.b) else np.empty((0, 5))
    names = ("minus2", "minus1", "median", "plus1", "plus2")
    columns: dict[str, Any] = {name: checks.shaped(values[:, k], request.shape) for k, name in enumerate(names)}
    return Expected(**columns, cl=request.cl, method=method)


def rate_limit(n: ArrayLike, background: ArrayLike, efficiency: ArrayLike, luminosity: ArrayLike, **settings: Any) -> RateLimit:
    """Upper limit on a cross-section [fb] for an ``efficiency`` (0 to 1) and a ``luminosity`` [fb-1].

    ``settings`` are those of :func:`upper_limit`. Where the efficiency is 0 the limit is inf and flagged. Raises
    ``ValueError`` naming the argument that is out of range.
    """
    eff = checks.between("efficiency", efficiency, 0.0, 1.0, "efficiency")
    lumi = checks.between("luminosity", luminosity, 1e-12, 1e12, "luminosity [fb-1]")
    events, eff, lumi = np.broadcast_arrays(np.asarray(upper_limit(n, background, **settings), float), eff, lumi)
    infinite = eff == 0
    value = np.where(infinite, np.inf, events / np.where(infinite, 1.0, eff * lumi))
    flag: Any = bool(infinite) if infinite.shape == () else infinite
    return RateLimit(value=checks.shaped(value, value.shape), infinite=flag, cl=settings.get("cl", 0.90),
                     method=settings.get("method", "bayesian"))  # fmt: skip


def p_value(n: ArrayLike, background: ArrayLike, *, background_uncertainty: ArrayLike = 0.0) -> Any:
    """Probability that the background alone gives ``n`` events or more: a float, or an array.

    ``background_uncertainty`` is relative, with a gamma constraint (Z_Bi). Raises ``ValueError`` naming the argument.
    """
    value = np.asarray(discovery.p_value(n, background, background_uncertainty=background_uncertainty))
    return checks.shaped(value, value.shape)


def significance(p: ArrayLike) -> Any:
    """One-sided significance Z of a p-value, from -8.2 to 38.4 (the range of double precision): a float, or an array.

    Raises ``ValueError`` for a p-value outside [0, 1].
    """
    value = np.asarray(discovery.significance(np.clip(checks.between("p", p, 0.0, 1.0, "p-value"), 5e-324, 1.0 - 1.2e-16)))
    return checks.shaped(value, value.shape)


def punzi(background: ArrayLike, efficiency: ArrayLike, luminosity: ArrayLike, *, a: float = 3.0, b: float = 1.28155) -> Any:
    """Punzi's smallest cross-section [fb] for ``background`` events, ``efficiency`` (0 to 1), ``luminosity`` [fb-1].

    inf where the efficiency is 0. Raises ``ValueError`` naming the argument that is out of range.
    """
    eff = checks.between("efficiency", efficiency, 0.0, 1.0, "efficiency")
    lumi = checks.between("luminosity", luminosity, 1e-12, 1e12, "luminosity [fb-1]")
    events, eff, lumi = np.broadcast_arrays(punzi_events(background, a=a, b=b), eff, lumi)
    value = np.where(eff == 0, np.inf, events / np.where(eff == 0, 1.0, eff * lumi))
    return checks.shaped(value, value.shape)
