"""What a spin-0 particle in B -> K(*) S does at unit coupling, whichever the model: dark Higgs boson or axion-like particle.

Cached, because searches ask for the same mass at many couplings; rates and widths go with the square of the coupling.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType

from belle2dark.theory import alp_b, dark_higgs
from belle2dark.theory.models import Model

#: the coupling of each model
COUPLINGS = MappingProxyType({"dark_higgs": "sin_theta", "alp": "c_over_lambda"})


def model_of(model: str, widths: str) -> Model:
    """The model of that name, a dark Higgs boson with that set of ``widths``. Raises ``KeyError`` for an unknown one."""
    return {"alp": alp_b.FERMION_ALP}.get(model) or {"dark_higgs": dark_higgs.DARK_HIGGS}[model][widths]


@lru_cache(maxsize=1024)
def unit_width(mass: float, model: str, widths: str) -> float:
    """Total width [GeV] at ``mass`` [GeV]."""
    return float(model_of(model, widths).total_width(mass))


@lru_cache(maxsize=1024)
def unit_share(mass: float, model: str, widths: str, final_state: str) -> float:
    """Branching fraction to a final state (``ee``, ``mumu``, ``pipi``, ``kk``), 0 where the model says nothing."""
    found = model_of(model, widths)
    known = final_state in {channel.name for channel in found.channels}
    return float(found.branching_fraction(final_state, mass)) if known else 0.0


@lru_cache(maxsize=1024)
def unit_production(mass: float, model: str, scheme: str, mode: str) -> float:
    """B(B -> K(*) S) at ``mass`` [GeV] with all decays of the K*0."""
    return float((alp_b if model == "alp" else dark_higgs).production_branching_fraction(mass, mode, scheme))
