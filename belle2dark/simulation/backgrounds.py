"""Standard Model processes that imitate "two muons and nothing else", as records a search composes.

Add a process here when its generator exists; rates and their uncertainties are in ``data/backgrounds.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from belle2dark.simulation.beams import Beams
from belle2dark.simulation.events import Events
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.simulation.tau_pairs import generate_tautau
from belle2dark.simulation.two_photon import generate_eemumu
from belle2dark.sourced import Sourced, load_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """One process: ``generate(n, key, beams)`` gives weighted events [fb] that add up to ``cross_section`` [fb] times the
    branching fractions of the final state; ``relative_uncertainty`` is on the rate."""

    name: str
    generate: Callable[[int, int, Beams], Events]
    cross_section: Sourced
    relative_uncertainty: Sourced

    @property
    def source(self) -> str:
        """Where the rate is from."""
        return self.cross_section.source


def _background(name: str, generate: Callable[[int, int, Beams], Events]) -> Background:
    numbers = load_numbers("backgrounds")
    return Background(name=name, generate=generate, cross_section=numbers[f"{name}_cross_section"],
                      relative_uncertainty=numbers[f"{name}_uncertainty"])  # fmt: skip


MUMU_GAMMA = _background("mumu_gamma", generate_mumu_gamma)
TAUTAU = _background("tautau", generate_tautau)
EEMUMU = _background("eemumu", generate_eemumu)
DIMUON_MISSING = (MUMU_GAMMA, TAUTAU, EEMUMU)
