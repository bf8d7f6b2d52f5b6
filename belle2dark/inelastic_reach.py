"""What of the plane of mass and coupling the search for inelastic dark matter excludes: closed islands, fast.

At a few masses one sample each is simulated; it serves every lifetime, and with it every coupling and choice of L1 lines.
In between, the share that is seen is interpolated at equal lifetimes, which change by ten orders of magnitude over the plane
while rates, lifetimes and branching fractions are those of each mass. Masses move together, m_A' = m_chi1 / ``ratio`` with the
splitting fixed, as is usual for this model:

    islands = region(search, {"splitting": 0.4, "alpha_d": 0.1}, lines=("lml1",))
    islands.height > 0          # excluded, at islands.masses x islands.couplings

:func:`seen_share` is one mass against the lifetime, :func:`trigger_reach` one mass for several choices of L1 lines,
:func:`mixing_reach` one with a dark Higgs boson against the mixing that this one decays by.

Not included: the Monte Carlo error of the share, and that of limits between the masses simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.experiments import BELLE2
from belle2dark.point import SEED, point
from belle2dark.sample import signal_weights, simulate
from belle2dark.search import Dataset, Search, prompt
from belle2dark.simulation.decays.chain import lifetime_factor
from belle2dark.theory.inelastic_rates import ctau_chi2, ctau_hprime

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
#: lifetimes [cm] at which shares are known, and the least of them that is told from nothing, as a logarithm
CTAUS, NOTHING = np.geomspace(1e-6, 1e13, 381), -200.0
#: couplings of a plane, its points along mass and coupling, and steps to where something begins to be seen
COUPLINGS, GRID, BISECTIONS = (1e-6, 0.3), (120, 160), 4
#: mixings of a dark Higgs boson that are looked at
MIXINGS = (1e-6, 1e-2)
#: so many times the events where something is selected, but too little for a limit, if they were fewer than
MORE, FEW = 5, 10_000
#: L1 lines that are compared; the last does not exist
TRIGGERS: Mapping[str, tuple[str, ...]] = {
    "single photon, 2 GeV (lml1)": ("lml1",),
    "three clusters (lml12)": ("lml12",),
    "displaced vertex (dv, not in the menu)": ("dv",),
    "all three": ("lml1", "lml12", "dv"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """What is seen at one mass against the c tau of the chi2 [cm] in :data:`CTAUS`: ``log_share`` (k,) of what is produced.

    ``seen_fb`` is the median limit on the rate that is seen [fb], at the lifetime where most is.
    """

    mass: float
    log_share: Array
    seen_fb: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """Logarithm of the rate that is seen over its limit, ``height`` (m, k), at ``masses`` (m,) of the chi1 [GeV] and values (k,)
    of epsilon; above 0 is excluded."""

    masses: Array
    couplings: Array
    height: Array

    @property
    def intervals(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        """Excluded intervals of epsilon at each mass, crossings interpolated in logarithms."""
        return tuple(_intervals(np.log(self.couplings), row) for row in self.height)


def _intervals(y: Array, height: Array) -> tuple[tuple[float, float], ...]:
    above = height > 0.0
    k = np.flatnonzero(above[1:] != above[:-1])
    ends = list(y[k] - height[k] * (y[k + 1] - y[k]) / (height[k + 1] - height[k]))
    ends = [y[0]] * bool(above[0]) + ends + [y[-1]] * bool(above[-1])
    return tuple((float(np.exp(a)), float(np.exp(b))) for a, b in zip(ends[::2], ends[1::2], strict=True))


def at_mass(given: Mapping[str, Any], m_chi1: float, ratio: float) -> dict[str, Any]:
    """Parameters for a chi1 of ``m_chi1`` [GeV] and an A' of m_chi1 / ``ratio``."""
    return {**given, "m_chi1": float(m_chi1), "m_aprime": float(m_chi1 / ratio)}


def open_masses(search: Search, given: Mapping[str, Any], ratio: float, n: int, span: tuple[float, float] | None = None) -> Array:
    """``n`` masses of the chi1 [GeV], even in their logarithm, where the search is open at this mass ratio, inside ``span``.

    Raises ``ValueError`` where it is closed for all of them.
    """
    limits = {p.name: (p.low, p.high) for p in search.parameters if p.name in ("m_chi1", "m_aprime")}
    low = max(limits["m_chi1"][0], ratio * limits["m_aprime"][0])
    high = min(limits["m_chi1"][1], ratio * limits["m_aprime"][1])
    if span is not None:
        low, high = max(low, span[0]), min(high, span[1])
    values = search.parse(dict(given))
    dataset = search.datasets[str(values["dataset"])]
    steps = np.geomspace(low * 1.0001, high * 0.9999, 1200)
    usable = steps[[not search.closed(at_mass(values, m, ratio), dataset) for m in steps]]
    if not low < high or len(usable) == 0:
        raise ValueError(f"{search.name}: closed for all m_chi1 at m_chi1 / m_aprime = {ratio:g}")
    return np.geomspace(usable[0], usable[-1], n)


def seen_share(search: Search, given: Mapping[str, Any], *, lines: Sequence[str] | None = None, n_events: int = 6000,
               seed: int = SEED) -> Share:  # fmt: skip
    """What is seen at one mass for every lifetime. Raises ``ValueError`` for bad parameters or lines, where the search is closed,
    or if nothing ever is seen."""
    values = search.parse(dict(given))
    if reason := search.closed(values, search.datasets[str(values["dataset"])]):
        raise ValueError(f"{search.name}: {reason}")
    found = _share(search, _frozen(values), None if lines is None else tuple(lines), n_events, seed)
    if found is None:
        raise ValueError(f"{search.name}: nothing is seen at {values['m_aprime']:g} GeV for any lifetime")
    return found


def _frozen(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The values without the coupling, which no share depends on."""
    return tuple(sorted((name, value) for name, value in values.items() if name != "epsilon"))


@lru_cache(maxsize=512)
def _share(search: Search, frozen: tuple[tuple[str, Any], ...], lines: tuple[str, ...] | None, n_events: int,
           seed: int) -> Share | None:  # fmt: skip
    values = {**dict(frozen), "epsilon": 1.0}
    here = search.at(values)
    dataset = here.datasets[str(values["dataset"])]
    unit = ctau_chi2(values)
    if here.lifetimes is prompt:
        share = np.array([here.kept({**values, "epsilon": float(np.sqrt(unit / c))}, dataset) for c in CTAUS])
    else:
        share = _of_sample(here, dataset, values, dataset.lines if lines is None else lines, n_events, seed)
    log_share = np.maximum(np.log(np.maximum(share, 1e-300)), NOTHING)
    best = float(np.sqrt(unit / CTAUS[share.argmax()])) if np.isfinite(unit) else 1.0
    knob = next(p for p in search.parameters if p.name == "epsilon")
    answer = point(search, {**values, "epsilon": min(max(best, knob.low), knob.high)}, lines=lines, n_events=n_events, seed=seed)
    if answer.rate_limit is None or not share.max() > 0.0:
        return _share(search, frozen, lines, MORE * n_events, seed) if share.max() > 0.0 and n_events < FEW else None
    left = answer.kept if here.lifetimes is prompt else answer.efficiency
    return Share(mass=float(values["m_chi1"]), log_share=log_share, seen_fb=answer.rate_limit[2] * left)


def _of_sample(search: Search, dataset: Dataset, values: Mapping[str, Any], lines: tuple[str, ...], n_events: int,
               seed: int) -> Array:  # fmt: skip
    """Efficiency (k,) of the sample at each lifetime of the chi2; other particles live as ``values`` say."""
    whole = search.sample_of(values)
    signal = simulate(search, dataset, whole[: len(search.masses)], n_events, seed)
    weights = np.where(signal.selected & signal.in_window, signal_weights(signal, lines), 0.0)
    use = weights > 0.0
    first, *others = (flight[use] for flight in signal.flights.values())
    for flight, ctau in zip(others, whole[len(search.masses) + 1 :], strict=True):
        weights[use] *= lifetime_factor(flight, float(ctau))
    return np.array([float(weights[use] @ lifetime_factor(first, float(ctau))) for ctau in CTAUS])


def region(search: Search, given: Mapping[str, Any], *, lines: Sequence[str] | None = None, nodes: int = 12, n_events: int = 8000,
           seed: int = SEED, span: tuple[float, float] | None = None) -> Region:  # fmt: skip
    """The excluded islands along m_chi1 (within ``span`` [GeV]) at the mass ratio of ``given``, everything else as given.

    At upper edges a millionth of the decays is far enough from the beams, and a handful of simulated ones stand for it: edges are
    known to tens of percent, while :func:`belle2dark.point.point` gives no limit there.
    Raises ``ValueError`` for bad parameters or lines, and where the search is closed or blind for all masses.
    """
    values = search.parse(dict(given))
    ratio = float(values["m_chi1"]) / float(values["m_aprime"])
    at = open_masses(search, values, ratio, nodes, span)
    used = None if lines is None else tuple(lines)

    def at_node(m: float) -> Share | None:
        return _share(search, _frozen(at_mass(values, m, ratio)), used, n_events, seed)

    shares = _refined({float(m): at_node(float(m)) for m in at}, at_node)
    if not any(share.seen_fb > 0.0 for share in shares):
        raise ValueError(f"{search.name}: nothing is seen at any of {nodes} masses")
    masses, couplings = np.geomspace(shares[0].mass, shares[-1].mass, GRID[0]), np.geomspace(*COUPLINGS, GRID[1])
    height = np.array([_heights(search, at_mass(values, m, ratio), shares, couplings) for m in masses])
    return Region(masses=masses, couplings=couplings, height=height)


def _refined(found: dict[float, Share | None], at_node: Callable[[float], Share | None]) -> list[Share]:
    """All shares in order of mass, more of them where something begins to be seen, and nothing where nothing is seen."""
    for _ in range(BISECTIONS):
        order = sorted(found)
        for a, b in pairwise(order):
            if (found[a] is None) != (found[b] is None):
                middle = float(np.sqrt(a * b))
                found[middle] = at_node(middle)
    nothing = np.full(len(CTAUS), NOTHING)
    return [found[m] or Share(mass=m, log_share=nothing, seen_fb=0.0) for m in sorted(found)]


def _heights(search: Search, values: dict[str, Any], shares: Sequence[Share], couplings: Array) -> Array:
    """Logarithm (k,) of rate seen over limit at one mass between those simulated."""
    dataset = search.datasets[str(values["dataset"])]
    nodes, x = np.log([share.mass for share in shares]), np.log(values["m_chi1"])
    j = min(max(int(np.searchsorted(nodes, x)) - 1, 0), len(nodes) - 2)
    t = (x - nodes[j]) / (nodes[j + 1] - nodes[j])
    unit = next(c.rate for c in search.couplings if c.name == "epsilon")
    rate = np.array([unit({**values, "epsilon": float(c)}, dataset) for c in couplings])
    log_ctau = np.log(ctau_chi2({**values, "epsilon": 1.0}) / couplings**2)
    # at lifetimes that go as far: the slower the chi2 the longer they are
    ends = [np.interp(log_ctau + np.log(_stretch(values, m) / _stretch(values, share.mass)), np.log(CTAUS), share.log_share)
            for m, share in ((values["m_chi1"], share) for share in shares[j : j + 2])]  # fmt: skip
    first, second = (share.seen_fb for share in shares[j : j + 2])
    first, second = first or second or 1.0, second or first or 1.0  # where nothing is seen its share says so
    seen = float(np.exp((1.0 - t) * np.log(first) + t * np.log(second)))
    return np.asarray(np.log(rate * couplings**2 / seen) + (1.0 - t) * ends[0] + t * ends[1])


def _stretch(values: Mapping[str, Any], m_chi1: float) -> float:
    """Energy over mass of the A' beside a photon in the centre of mass, for a chi1 of ``m_chi1`` [GeV] at this mass ratio."""
    m, root = m_chi1 * values["m_aprime"] / values["m_chi1"], BELLE2.beams.sqrt_s
    return float((root**2 + m**2) / (2.0 * root * m))


def mixing_reach(
    search: Search, given: Mapping[str, Any], *, n: int = 60, n_events: int = 10_000, seed: int = SEED
) -> pd.DataFrame:
    """Beside a dark Higgs boson: the limit on the rate [fb] against its mixing, and its c tau [cm]; NaN where nothing is seen.

    ``rate_fb`` is the rate at the couplings given, which the mixing leaves alone: excluded is where it is above ``limit_fb``.
    One sample serves all lifetimes. Raises ``ValueError`` for bad parameters, and where the search is closed.
    """
    import pandas as pd

    values = search.parse({**given, "production": "dark_higgs", "signature": "displaced"})
    if reason := search.closed(values, search.datasets[str(values["dataset"])]):
        raise ValueError(f"{search.name}: {reason}")
    rows = []
    for mixing in np.geomspace(*MIXINGS, n):
        answer = point(search, {**values, "sin_theta": float(mixing)}, n_events=n_events, seed=seed)
        median = np.nan if answer.limit is None else answer.limit[2]
        rate = answer.cross_section_fb * answer.branching_fraction
        rows.append((mixing, ctau_hprime(answer.values), answer.efficiency, median, rate))
    return pd.DataFrame(rows, columns=["sin_theta", "ctau_cm", "efficiency", "limit_fb", "rate_fb"])


def trigger_reach(search: Search, given: Mapping[str, Any], *, triggers: Mapping[str, Sequence[str]] = TRIGGERS,
                  n_events: int = 20_000, seed: int = SEED) -> pd.DataFrame:  # fmt: skip
    """One point for several choices of L1 lines: efficiency and limit [fb] at the lifetime given, and the island in epsilon.

    NaN where there is none. Raises ``ValueError`` for bad parameters or lines.
    """
    import pandas as pd

    rows = {}
    for name, lines in triggers.items():
        answer = point(search, given, lines=list(lines), n_events=n_events, seed=seed)
        island = next((c.excluded for c in answer.couplings if c.name == "epsilon" and c.excluded), ((np.nan, np.nan),))
        median = np.nan if answer.limit is None else answer.limit[2]
        rows[name] = (", ".join(lines), answer.efficiency, answer.efficiency_uncertainty, median, island[0][0], island[-1][1])
    columns = ["lines", "efficiency", "efficiency_error", "limit_fb", "epsilon_from", "epsilon_to"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
