"""Couplings of a new particle to leptons, as the amplitudes take them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from belle2dark.constants import M_ELECTRON, M_MUON, M_TAU

MASSES = {"e": M_ELECTRON, "mu": M_MUON, "tau": M_TAU}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeptonCoupling:
    """Lagrangian X_mu l-bar gamma^mu (vector + axial gamma_5) l, or X l-bar (scalar + i pseudoscalar gamma_5) l.

    For two flavours it is l1-bar ... l2 with l1 the negative lepton. Raises ``ValueError`` if a number is not finite or
    both kinds are given.
    """

    vector: float = 0.0
    axial: float = 0.0
    scalar: float = 0.0
    pseudoscalar: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vector", "axial", "scalar", "pseudoscalar"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} = {getattr(self, name)}: a coupling must be a finite number")
        if self.is_vector and (self.scalar or self.pseudoscalar):
            raise ValueError(f"{self}: X is a vector (vector, axial) or a scalar (scalar, pseudoscalar), not both")

    @property
    def is_vector(self) -> bool:
        """Whether X couples as a vector."""
        return bool(self.vector or self.axial)

    @property
    def is_zero(self) -> bool:
        """Whether X does not couple."""
        return not (self.is_vector or self.scalar or self.pseudoscalar)

    @property
    def chiral(self) -> tuple[complex, complex]:
        """Factors of the left- and right-handed projectors."""
        if self.is_vector:
            return complex(self.vector - self.axial), complex(self.vector + self.axial)
        return complex(self.scalar, -self.pseudoscalar), complex(self.scalar, self.pseudoscalar)


NONE = LeptonCoupling()
