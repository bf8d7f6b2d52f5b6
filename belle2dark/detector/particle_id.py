"""Particle identification: the probability that a track of a given kind passes a selection for e, mu, pi or K.

One response stands for dE/dx, Cherenkov counters, calorimeter and KLM together. What a detector quotes (efficiency and
fake rates) holds on the plateau of each selection; away from it

- electrons need to reach the calorimeter: efficiency and fakes turn on with momentum, and halve in its gaps;
- muons need to reach the KLM: efficiency and fakes turn on with momentum, 0 outside its polar range;
- kaons and pions are told apart by a separation in standard deviations, the Cherenkov counters' (constant, then falling
  as 1/p^2 above ``cherenkov_momentum``; 0 outside their polar ranges) in quadrature with that of dE/dx (Bethe formula over
  its resolution, up to 1 GeV where the curves cross: the small difference on the relativistic rise is left to the quoted
  numbers). Efficiency and fake rate are Gaussian quantiles that scale with it: at zero separation both are one half.

A selection for pions is "not a kaon". Two working points: ``standard`` are averages in data, ``optimistic`` what else was
shown. They disagree, which is the size of what is not known. Probabilities multiply over tracks; they are weights, no
draws. Not included: correlations between tracks and between selections, charge asymmetries, protons (as kaons for e and
mu, as pions for K).
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import M_ELECTRON, M_KAON, M_PION
from belle2dark.detector.calorimeter import CalorimeterNumbers, calorimeter_numbers, region_of
from belle2dark.detector.experiments import Detector
from belle2dark.detector.smearing import turn_on
from belle2dark.simulation.events import Array, Codes
from belle2dark.simulation.rng import BLOCK
from belle2dark.sourced import nearest

HYPOTHESES = ("electron", "muon", "pion", "kaon")
WORKING_POINTS = ("standard", "optimistic")


class IdNumbers(NamedTuple):
    """What the kernel needs of a detector [GeV, cosines]; separations in standard deviations."""

    klm_low: float
    klm_high: float
    barrel_low: float
    barrel_high: float
    endcap_low: float
    endcap_high: float
    momentum: float
    dedx: float
    best: float
    electron_low: float
    electron_high: float
    muon_low: float
    muon_high: float


def _points(detector: Detector) -> Array:
    """Plateau probabilities [working point, hypothesis (e, mu, K), true kind (e, mu, pi, K)], (2, 3, 4)."""
    out = np.empty((len(WORKING_POINTS), 3, 4))
    for w, suffix in enumerate(("", "_optimistic")):
        for h, (name, kind) in enumerate((("electron", 0), ("muon", 1), ("kaon", 3))):
            fakes = list(detector.numbers[f"{name}_id_fakes{suffix}"].values)
            out[w, h] = [*fakes[:kind], detector.number(f"{name}_id_efficiency{suffix}"), *fakes[kind:]]
    return out


def _quantiles(points: Array) -> Array:
    """Normal quantiles of the kaon selection [working point, true kind], (2, 4)."""
    clipped = np.clip(points[:, 2], 1e-9, 1.0 - 1e-9)
    return np.array([[NormalDist().inv_cdf(x) for x in row] for row in clipped])


@jit()
def _ionisation(p, mass):
    """Bethe formula without its constant: 1/beta^2 (log(2 m_e (beta gamma)^2 / 50 eV) - beta^2)."""
    square = (p / mass) ** 2
    beta2 = square / (1.0 + square)
    return (math.log(2.0 * M_ELECTRON / 5.0e-8 * square) - beta2) / beta2


@jit()
def separation(p, cos_theta, quoted, d):
    """Kaon-pion separation at momentum ``p`` [GeV] over the quoted one (``quoted`` standard deviations)."""
    kaon, pion = _ionisation(p, M_KAON), _ionisation(p, M_PION)
    dedx = 2.0 * max(0.0, kaon - pion) / ((kaon + pion) * d.dedx)
    seen = d.barrel_low < cos_theta < d.barrel_high or d.endcap_low < cos_theta < d.endcap_high
    cherenkov = quoted * min(1.0, (d.momentum / p) ** 2) if seen else 0.0
    return min(d.best, math.sqrt(dedx * dedx + cherenkov * cherenkov) / quoted)


@jit(inline=True)
def _below(x):
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@jit(parallel=True)
def _identify(momenta, pdg, d, c, points, quantiles, out):
    n, k = pdg.shape
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            for j in range(k):
                code = abs(pdg[i, j])
                kind = 0 if code == 11 else 1 if code == 13 else 2 if code == 211 else 3 if code in (321, 2212) else -1
                p = math.sqrt(momenta[i, j, 0] ** 2 + momenta[i, j, 1] ** 2 + momenta[i, j, 2] ** 2)
                if kind < 0 or p <= 0.0:
                    continue
                cos = momenta[i, j, 2] / p
                region, _ = region_of(math.acos(cos), c)
                cluster = 0.0 if region == 0 else 0.5 if region == 4 else 1.0
                cluster *= turn_on(p, d.electron_low, 1.0 / (d.electron_high - d.electron_low))
                iron = turn_on(p, d.muon_low, 1.0 / (d.muon_high - d.muon_low)) if d.klm_low < cos < d.klm_high else 0.0
                like = 2 if code == 2212 else kind
                for w in range(points.shape[0]):
                    apart = separation(p, cos, quantiles[w, 3] - quantiles[w, 2], d)
                    kaon = _below(quantiles[w, like] * apart)
                    out[i, j, w, 0] = points[w, 0, kind] * cluster
                    out[i, j, w, 1] = points[w, 1, kind] * iron
                    out[i, j, w, 2] = 1.0 - kaon
                    out[i, j, w, 3] = kaon


def _numbers(detector: Detector) -> tuple[IdNumbers, CalorimeterNumbers]:
    cosines = [x for name in ("klm_theta", "cherenkov_barrel_theta", "cherenkov_endcap_theta") for x in detector.cosines(name)]
    steps = [x for name in ("electron_id_turn_on", "muon_id_turn_on") for x in detector.numbers[name].values]
    one = detector.number
    numbers = IdNumbers._make([*cosines, one("cherenkov_momentum"), one("dedx_resolution"), one("kaon_id_best"), *steps])
    return numbers, calorimeter_numbers(detector)


def identification(momenta_lab: Array, pdg: Codes, detector: Detector) -> Array:
    """Probabilities ``(n, k, 2, 4)`` [working point, hypothesis] of tracks ``(n, k, 3)`` [GeV] of true kind ``pdg`` ``(n, k)``.

    The order is that of :data:`WORKING_POINTS` and :data:`HYPOTHESES`; neutral particles have 0.
    """
    points = _points(detector)
    out = np.zeros((*pdg.shape, len(WORKING_POINTS), len(HYPOTHESES)))
    _identify(momenta_lab, pdg, *_numbers(detector), points, _quantiles(points), out)
    return out


def index(hypothesis: str, working_point: str = "standard") -> tuple[int, int]:
    """Place of a hypothesis and working point in :func:`identification`; raises ``ValueError`` for unknown names."""
    for what, name, known in (("hypothesis", hypothesis, HYPOTHESES), ("working_point", working_point, WORKING_POINTS)):
        if name not in known:
            raise ValueError(f"{what} {name!r}: not one of {', '.join(known)}; nearest: {nearest(name, known)}")
    return WORKING_POINTS.index(working_point), HYPOTHESES.index(hypothesis)
