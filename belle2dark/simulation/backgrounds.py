"""Standard Model processes that imitate a signal, as records a search composes.

Add a process here when its generator exists; rates and their uncertainties are in ``data/backgrounds.yaml``. Some samples
overlap and must not be added: three_photons is the part of gamma_gamma with three photons at wide angles, ee_gamma and
bhabha share the events with an electron pair and a photon at wide angles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from belle2dark.simulation.beams import Beams
from belle2dark.simulation.bhabha import generate_bhabha, generate_ee_gamma
from belle2dark.simulation.cosmics import generate_cosmic_muons, generate_cosmic_photons
from belle2dark.simulation.events import Events
from belle2dark.simulation.gamma_gamma import generate_gamma_gamma, generate_three_photons
from belle2dark.simulation.mumu_gamma import generate_mumu_gamma
from belle2dark.simulation.nunu_gamma import generate_nunu_gamma
from belle2dark.simulation.tau_pairs import generate_tautau
from belle2dark.simulation.two_photon import generate_eeee, generate_eemumu, generate_eetautau
from belle2dark.sourced import Sourced, load_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """One process: ``generate(n, key, beams)`` gives weighted events [fb] that add up to ``cross_section`` [fb] times the
    branching fractions of the final state; ``relative_uncertainty`` is on the rate, ``approximations`` says in one
    sentence what the events lack."""

    name: str
    generate: Callable[[int, int, Beams], Events]
    cross_section: Sourced
    relative_uncertainty: Sourced
    approximations: str = ""

    @property
    def source(self) -> str:
        """Where the rate is from."""
        return self.cross_section.source


def _background(name: str, generate: Callable[[int, int, Beams], Events], approximations: str) -> Background:
    numbers = load_numbers("backgrounds")
    return Background(name=name, generate=generate, cross_section=numbers[f"{name}_cross_section"],
                      relative_uncertainty=numbers[f"{name}_uncertainty"], approximations=approximations)  # fmt: skip


MUMU_GAMMA = _background(
    "mumu_gamma", generate_mumu_gamma, "no interference of radiation off beams and muons, no psi and Upsilon peaks in the pair"
)
TAUTAU = _background("tautau", generate_tautau, "weak bosons are left out; see tau_pairs for radiation off the taus")
_EQUIVALENT = "equivalent photons: no pair radiated off one electron, no annihilation, no initial-state radiation"
EEMUMU = _background("eemumu", generate_eemumu, _EQUIVALENT)
EEEE = _background("eeee", generate_eeee, _EQUIVALENT + ", no exchange of identical electrons")
EETAUTAU = _background("eetautau", generate_eetautau, _EQUIVALENT + ", taus do not decay")
GAMMA_GAMMA = _background(
    "gamma_gamma", generate_gamma_gamma, "four and more photons at wide angles are factorised; virtual part leading logarithm"
)
THREE_PHOTONS = _background(
    "three_photons", generate_three_photons, "four and more photons at wide angles are factorised; virtual part leading logarithm"
)
BHABHA = _background("bhabha", generate_bhabha, "at most one photon, none softer than 0.1 GeV; no Z")
EE_GAMMA = _background("ee_gamma", generate_ee_gamma, "tree level with one photon; no further radiation")
NUNU_GAMMA = _background("nunu_gamma", generate_nunu_gamma, "contact interaction, no photons off the W")
COSMIC_PHOTON = _background("cosmic_photon", generate_cosmic_photons, "rate and spectrum are choices, not measurements")
COSMIC_MUON = _background("cosmic_muon", generate_cosmic_muons, "rate and spectrum are choices, not measurements")
DIMUON_MISSING = (MUMU_GAMMA, TAUTAU, EEMUMU)
SINGLE_PHOTON = (EE_GAMMA, GAMMA_GAMMA, NUNU_GAMMA, COSMIC_PHOTON)
