"""Dark matter behind a dark photon: widths, the variable y of relic-density planes, and thermal targets.

y = epsilon^2 alpha_D (m_chi / m_A')^4 is what the annihilation of chi chi -> A'* -> SM depends on where the A' is heavy, so a
relic target in the (m_chi, y) plane does not depend on alpha_D, and little on the mass ratio; the epsilon that gives it does.
:func:`y_of` and :func:`epsilon_of` convert, :func:`relic_target` and :func:`relic_epsilon` give the targets.

Not included: annihilation through the width of the A' near m_A' = 2 m_chi, A' lighter than chi (secluded), other cosmologies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.sourced import load_numbers, nearest

Array = NDArray[np.float64]


def _beta(r: Array) -> Array:
    return np.sqrt(np.clip(1.0 - 4.0 * r, 0.0, None))


#: width over (alpha_D m) by kind of dark matter, as a function of r = (m_chi / m)^2. Source: standard two-body widths; a
#: complex scalar is a twelfth, a Majorana fermion (axial current) half a Dirac fermion's P wave. A pseudo-Dirac pair has the
#: width of the Dirac fermion as long as its splitting is small.
_WIDTHS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "dirac": lambda r: (1.0 + 2.0 * r) * _beta(r) / 3.0,
        "pseudo_dirac": lambda r: (1.0 + 2.0 * r) * _beta(r) / 3.0,
        "majorana": lambda r: _beta(r) ** 3 / 6.0,
        "scalar": lambda r: _beta(r) ** 3 / 12.0,
    }
)
KINDS = tuple(_WIDTHS)
#: kinds with a thermal target
TARGETS = ("pseudo_dirac", "majorana", "scalar")


def _check_kind(kind: str, allowed: tuple[str, ...]) -> None:
    if kind not in allowed:
        raise ValueError(f"kind = {kind!r}: allowed {', '.join(allowed)}; nearest: {nearest(kind, allowed)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkMatter:
    """Dark matter of a ``kind`` (:data:`KINDS`) with coupling ``alpha_d`` and mass ``mass_ratio`` times the mediator's.

    Raises ``ValueError`` for an unknown kind, a negative ``alpha_d``, or a ratio below 0.
    """

    alpha_d: float
    mass_ratio: float
    kind: str = "dirac"

    def __post_init__(self) -> None:
        _check_kind(self.kind, KINDS)
        if not (0.0 <= self.alpha_d < np.inf and 0.0 <= self.mass_ratio < np.inf):
            raise ValueError(f"alpha_d = {self.alpha_d}, mass_ratio = {self.mass_ratio}: must be finite and not negative")

    @property
    def width_fraction(self) -> float:
        """Width into dark matter over the mediator's mass; 0 for a mass ratio of 1/2 and more."""
        return self.alpha_d * float(_WIDTHS[self.kind](np.array(self.mass_ratio**2)))

    def width(self, mass: ArrayLike) -> Array:
        """Width [GeV] of a mediator of ``mass`` [GeV], same shape; dark matter at the same ratio to every mass."""
        return self.width_fraction * np.asarray(mass, dtype=float)

    def running_width(self, energy: ArrayLike, mass: float) -> Array:
        """Width [GeV] at the invariant mass ``energy`` [GeV] of a mediator of ``mass`` [GeV]; 0 below the threshold.

        The imaginary part of its propagator: what a line shape needs.
        """
        m = np.asarray(energy, dtype=float)
        r = (self.mass_ratio * mass / np.maximum(m, 1e-12)) ** 2
        return np.asarray(self.alpha_d * m * _WIDTHS[self.kind](r))


def line_shape(energy: ArrayLike, mass: float, dark: DarkMatter) -> Array:
    """Density [GeV^-2] of the squared invariant mass at ``energy`` [GeV] of a mediator of ``mass`` [GeV], shape of ``energy``.

    q Gamma(q) / pi / ((q^2 - M^2)^2 + q^2 Gamma(q)^2), the imaginary part of the propagator with a running width into ``dark``
    matter; its integral goes to 1 for a narrow one.
    """
    q = np.asarray(energy, dtype=float)
    imaginary = q * dark.running_width(q, mass)
    return np.asarray(imaginary / (np.pi * ((q**2 - mass**2) ** 2 + np.maximum(imaginary, 1e-300) ** 2)))


def _check_ratio(mass_ratio: ArrayLike) -> Array:
    ratio = np.asarray(mass_ratio, dtype=float)
    if not np.all((ratio > 0) & (ratio < 0.5)):
        raise ValueError(f"mass_ratio = {ratio}: must be above 0 and below 0.5, so that the mediator decays to dark matter")
    return ratio


def y_of(epsilon: ArrayLike, alpha_d: ArrayLike, mass_ratio: ArrayLike) -> Array:
    """y = epsilon^2 alpha_D (m_chi / m_A')^4, broadcast shape.

    Raises ``ValueError`` for a mass ratio outside 0 to 0.5. Source: Izaguirre et al., arXiv:1505.00011.
    """
    return np.asarray(epsilon, dtype=float) ** 2 * np.asarray(alpha_d, dtype=float) * _check_ratio(mass_ratio) ** 4


def epsilon_of(y: ArrayLike, alpha_d: ArrayLike, mass_ratio: ArrayLike) -> Array:
    """The epsilon that gives ``y``, broadcast shape. Raises ``ValueError`` for alpha_d = 0 or a ratio outside 0 to 0.5."""
    alpha = np.asarray(alpha_d, dtype=float)
    if not np.all(alpha > 0):
        raise ValueError(f"alpha_d = {alpha}: must be above 0")
    return np.sqrt(np.asarray(y, dtype=float) / (alpha * _check_ratio(mass_ratio) ** 4))


def relic_target(kind: str, mass_ratio: float = 1.0 / 3.0) -> tuple[Array, Array]:
    """Masses m_chi [GeV] and y at which thermal freeze-out gives all dark matter, for one of :data:`TARGETS`.

    The tables are for m_A' = 3 m_chi. For another ratio the propagator at the annihilation threshold, 1/(m_A'^2 - 4 m_chi^2)^2,
    rescales them; alpha_D does not enter. Raises ``ValueError`` for another kind or a ratio outside 0 to 0.5.
    """
    _check_kind(kind, TARGETS)
    numbers, ratio = load_numbers("dark_matter"), float(_check_ratio(mass_ratio))
    masses, y = (np.array(numbers[f"relic_{kind}_{what}"].values) for what in ("masses", "y"))
    tabulated = float(numbers["relic_mass_ratio"])
    return masses, y * ((1.0 - 4.0 * ratio**2) / (1.0 - 4.0 * tabulated**2)) ** 2


def relic_epsilon(kind: str, alpha_d: float, mass_ratio: float = 1.0 / 3.0) -> tuple[Array, Array]:
    """The same target as masses m_A' [GeV] and epsilon. Raises as :func:`relic_target` and :func:`epsilon_of`."""
    m_chi, y = relic_target(kind, mass_ratio)
    return m_chi / mass_ratio, epsilon_of(y, alpha_d, mass_ratio)
