"""What a search for inelastic dark matter asks of the model: masses, branching fractions and lifetimes from its parameters.

``settings`` hold the masses ``m_aprime`` and ``m_chi1`` [GeV], the ``splitting`` (fraction of m_chi1), ``epsilon`` and
``alpha_d``; with "y" among them epsilon is that of y = epsilon^2 alpha_D (m_chi1 / m_A')^4. Where ``production`` is "dark_higgs"
a dark Higgs boson of ``m_hprime`` [GeV] and ``sin_theta`` is made beside the A' and seen in the pair ``hprime_decay``. Formulas
are those of :mod:`belle2dark.theory.inelastic` and :mod:`belle2dark.theory.dark_higgs`, the latter with the widths named WIDTHS.

Not included: decays of a dark Higgs boson to dark matter or to two A', loops that mix masses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from belle2dark.theory.dark_higgs import DARK_HIGGS
from belle2dark.theory.dark_photon import DARK_PHOTON
from belle2dark.theory.inelastic import branching_fractions, ctau_cm, mediator_width

Settings = Mapping[str, Any]

#: productions: what is made beside the A'
PHOTON, HIGGS = "photon", "dark_higgs"
#: which widths the dark Higgs boson has
WIDTHS = "winkler"


def masses(settings: Settings) -> tuple[float, float, float]:
    """Masses of chi1, chi2 and A' [GeV]."""
    m_chi1 = float(settings["m_chi1"])
    return m_chi1, m_chi1 * (1.0 + float(settings["splitting"])), float(settings["m_aprime"])


def squared_epsilon_per_y(settings: Settings) -> float:
    """epsilon^2 over y."""
    m_chi1, _, m_aprime = masses(settings)
    return (m_aprime / m_chi1) ** 4 / float(settings["alpha_d"])


def epsilon(settings: Settings) -> float:
    """The mixing, from y where that is given."""
    if "y" in settings:
        return math.sqrt(float(settings["y"]) * squared_epsilon_per_y(settings))
    return float(settings["epsilon"])


def width(settings: Settings) -> float:
    """Natural width of the A' [GeV]: to dark matter, and by the mixing to visible particles."""
    return _dark_width(settings) + epsilon(settings) ** 2 * _unit_visible(float(settings["m_aprime"]))


def _dark_width(settings: Settings) -> float:
    return float(settings["alpha_d"]) * _unit_dark(*masses(settings))


@lru_cache(maxsize=4096)
def _unit_dark(m_chi1: float, m_chi2: float, m_aprime: float) -> float:
    """Width [GeV] of the A' into dark matter at alpha_D = 1."""
    return mediator_width(m_chi1, m_chi2, m_aprime, 1.0)


@lru_cache(maxsize=4096)
def _unit_visible(m_aprime: float) -> float:
    """Width [GeV] of the A' into visible particles at epsilon = 1."""
    return float(DARK_PHOTON.total_width(m_aprime))


def branching_fraction(settings: Settings) -> float:
    """BR(A' -> chi1 chi2); beside a dark Higgs boson times those of chi2 -> chi1 e e and h' -> the pair chosen."""
    dark = _dark_width(settings)
    if dark <= 0.0:
        return 0.0
    share = dark / width(settings)
    if settings["production"] != HIGGS:
        return share
    pair = _of_hprime(str(settings["hprime_decay"]), float(settings["m_hprime"]))
    return share * branching_fractions(*masses(settings))["ee"] * pair


@lru_cache(maxsize=4096)
def _of_hprime(pair: str, mass: float) -> float:
    return float(DARK_HIGGS[WIDTHS].branching_fraction(pair, mass))


@lru_cache(maxsize=4096)
def _unit_ctau_hprime(mass: float) -> float:
    return float(DARK_HIGGS[WIDTHS].ctau(mass))


def ctau_chi2(settings: Settings) -> float:
    """c tau of the chi2 [cm], infinite where no decay is open."""
    return ctau_cm(*masses(settings), epsilon(settings), float(settings["alpha_d"]))


def ctau_hprime(settings: Settings) -> float:
    """c tau of the dark Higgs boson [cm], infinite where no decay is open."""
    return _unit_ctau_hprime(float(settings["m_hprime"])) / float(settings["sin_theta"]) ** 2
