"""Rates of L1 lines at an instantaneous luminosity, from the generators of physics processes, against the budgets.

Only what is generated counts: no beam background, no cosmic rays, no noise, which in the running experiment are much of
the rate of the loose lines. A process is anything with a ``name`` and ``generate(n, key, beams)`` that returns weighted
events, such as :class:`belle2dark.simulation.backgrounds.Background`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from belle2dark.detector.experiments import BELLE2, Detector
from belle2dark.simulation.beams import Beams, to_cms
from belle2dark.simulation.bhabha import generate_bhabha, generate_ee_gamma
from belle2dark.simulation.events import Events
from belle2dark.simulation.gamma_gamma import generate_gamma_gamma
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.simulation.rng import make_key
from belle2dark.simulation.two_photon import generate_eeee, generate_eemumu
from belle2dark.trigger.menu import Menu
from belle2dark.trigger.objects import l1_objects
from belle2dark.trigger.response import L1Response, l1_response

Array = NDArray[np.float64]

#: events per second of 1 fb at 1 cm-2 s-1
HZ_PER_FB = 1e-39
_CHUNK = 200_000
#: polar angles [rad, centre of mass] of both electrons in the Bhabha sample; with one outside it is a lost electron
WIDE = (0.17, 2.97)


class Process(Protocol):
    """What :func:`rates` needs of a process."""

    @property
    def name(self) -> str: ...

    @property
    def generate(self) -> Generator: ...


class Generator(Protocol):
    """``generate(n, key, beams)``: weighted events [fb]."""

    def __call__(self, n: int, key: int, beams: Beams, /) -> Events: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rates:
    """Rates in Hz after prescales, with Monte Carlo errors: ``hz`` and ``error`` are (lines, processes).

    ``union_hz`` and ``union_error`` (processes,) are those of all lines together, ``produced_hz`` (processes,) the rate at
    which the generated events happen; ``l1_limit`` and ``hlt_limit`` are the budgets [Hz].
    """

    luminosity: float
    lines: tuple[str, ...]
    processes: tuple[str, ...]
    hz: Array
    error: Array
    union_hz: Array
    union_error: Array
    produced_hz: Array
    l1_limit: float
    hlt_limit: float

    def of(self, line: str) -> tuple[float, float]:
        """Rate of one line over all processes and its error [Hz]; raises ``ValueError`` for a line that was not asked for."""
        if line not in self.lines:
            raise ValueError(f"no rate of L1 line {line!r}; there are {', '.join(self.lines)}")
        k = self.lines.index(line)
        return float(self.hz[k].sum()), float(np.sqrt((self.error[k] ** 2).sum()))

    @property
    def total(self) -> tuple[float, float]:
        """Rate of all lines together over all processes and its error [Hz]."""
        return float(self.union_hz.sum()), float(np.sqrt((self.union_error**2).sum()))

    @property
    def l1_share(self) -> float:
        """Part of the L1 budget that is used: above 1 it is exceeded."""
        return self.total[0] / self.l1_limit

    @property
    def hlt_reduction(self) -> float:
        """Factor by which the HLT has to reduce the rate to meet its budget, at least 1."""
        return max(1.0, self.total[0] / self.hlt_limit)


def rates(menu: Menu, processes: Iterable[Process], luminosity: float, *, lines: Sequence[str] | None = None,
          detector: Detector = BELLE2, l1: L1Response | None = None, n: int = 200_000, seed: int = 1) -> Rates:  # fmt: skip
    """Rate of each of ``lines`` (default: all of the detector's experiment) at ``luminosity`` [cm-2 s-1], ``n`` events a process.

    Raises ``ValueError`` for a luminosity that is not positive, an unknown line, or no events.
    """
    if not 0 < luminosity < 1e40:
        raise ValueError(f"luminosity = {luminosity} cm-2 s-1: must be above 0 and below 1e40")
    if n < 1:
        raise ValueError(f"n = {n}: at least 1 event per process")
    l1 = l1 or l1_response(detector)
    # which lines keep B mesons, one of which is not there, is not simulated
    every = (name for name in menu.names_of(detector.name) if "b_mesons" not in menu[name].at_least)
    chosen = menu.check(every if lines is None else lines)
    sums = [_sums(menu, process, chosen, detector, l1, n, seed) for process in processes]
    to_hz = luminosity * HZ_PER_FB
    table, squares = (np.array([s[k] for s in sums]).reshape(len(sums), len(chosen) + 2).T for k in (1, 2))
    return Rates(
        luminosity=luminosity,
        lines=chosen,
        processes=tuple(s[0] for s in sums),
        hz=table[:-2] * to_hz,
        error=np.sqrt(squares[:-2]) * to_hz,
        union_hz=table[-2] * to_hz,
        union_error=np.sqrt(squares[-2]) * to_hz,
        produced_hz=table[-1] * to_hz,
        l1_limit=1e3 * l1.number("l1_limit"),
        hlt_limit=1e3 * l1.number("hlt_limit"),
    )


def _sums(menu: Menu, process: Process, lines: tuple[str, ...], detector: Detector, l1: L1Response, n: int,
          seed: int) -> tuple[str, Array, Array]:  # fmt: skip
    """Name, sum of kept weights and of their squares [fb] per line, for all lines together, and of everything."""
    kept, squares = np.zeros(len(lines) + 2), np.zeros(len(lines) + 2)
    chunks = -(-n // _CHUNK)
    for chunk in range(chunks):
        key = make_key(seed, "rates", process.name, str(chunk))
        events = process.generate(-(-n // chunks), key, detector.beams)
        bits = menu.evaluate(l1_objects(events, detector, key, l1))
        weights = events.weights / chunks
        choices = [menu.keep_probability(bits, names) for names in (*([name] for name in lines), lines)]
        for k, probability in enumerate((*choices, np.ones(len(bits)))):
            kept[k] += weights @ probability
            squares[k] += (weights**2) @ probability
    return process.name, kept, squares


class Generated(NamedTuple):
    """A process by name and generator."""

    name: str
    generate: Generator


def bhabha(n: int, key: int, beams: Beams) -> Events:
    """Both electrons between the angles :data:`WIDE`, with or without a photon: e-, e+, gamma_1 in the lab [GeV]."""
    return generate_bhabha(n, key, beams, theta_min=WIDE[0], theta_max=WIDE[1])


def lost_electron(n: int, key: int, beams: Beams) -> Events:
    """The rest: a photon above 0.2 GeV (centre of mass) and at least one electron outside :data:`WIDE`."""
    events = generate_ee_gamma(n, key, beams, energy_min=0.2)
    inside = np.ones(n, dtype=bool)
    for name in ("e-", "e+"):
        p = to_cms(events.momenta_lab[name], beams)
        theta = np.arctan2(np.hypot(p[:, 1], p[:, 2]), p[:, 3])
        inside &= (theta > WIDE[0]) & (theta < WIDE[1])
    return replace(events, weights=np.where(inside, 0.0, events.weights))


#: what makes most of the physics rate; no two of them hold the same event
PHYSICS = (
    Generated("bhabha", bhabha),
    Generated("lost_electron", lost_electron),
    Generated("gamma_gamma", generate_gamma_gamma),
    Generated("eeee", generate_eeee),
    Generated("eemumu", generate_eemumu),
    Generated("mumu_gamma", generate_mumu_gamma),
)
