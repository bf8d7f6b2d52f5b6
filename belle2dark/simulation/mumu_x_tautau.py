"""e+e- -> mu+ mu- X, X -> tau+ tau-, the taus decayed: the signal of searches for a ditau resonance.

X is the Z' of L_mu - L_tau, a leptophilic scalar or an axion-like particle (ALP). The last two couple to leptons by their
mass, so electrons radiate them too: the pair of muons then comes from a virtual photon, soft and along the beams. That is 4 %
of the rate at 6, half at 8 and nearly all of it at 9 GeV, with an acceptance of its own. X decays by the amplitude, which
gives the directions of the taus exactly; the taus then know of each other's spin as from an (unpolarised) parent of that spin.

Not included: the polarisation of the Z' in the spins of the taus, exchange of muons from taus with those beside X
(suppressed by the width of the tau), photons off muons and taus (see :mod:`.radiation`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from belle2dark.constants import HIGGS_VEV, M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation.amplitudes.couplings import NONE, LeptonCoupling
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.decays.tau import decay_taus
from belle2dark.simulation.events import Events
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.sourced import nearest

#: photons kept of an event: four pi0 of the taus and four off the beams
PHOTONS = 12
_TEV = 1000.0


class Mediator(NamedTuple):
    """Couplings of X to muons, electrons and taus at unit coupling of the model, and its spin as ``decay_taus`` names it."""

    muon: LeptonCoupling
    electron: LeptonCoupling
    tau: LeptonCoupling
    parent: str


def _by_mass(kind: str, scale: float, parent: str) -> Mediator:
    """Couplings m_l / ``scale`` [GeV] to all charged leptons."""
    muon, electron, tau = (LeptonCoupling(**{kind: mass / scale}) for mass in (M_MUON, M_ELECTRON, M_TAU))
    return Mediator(muon, electron, tau, parent)


#: mediators by the name of their model, at g' = 1, xi = 1 and C / Lambda = 1 / TeV
MODELS = MappingProxyType(
    {
        "zprime": Mediator(LeptonCoupling(vector=1.0), NONE, LeptonCoupling(vector=-1.0), "vector"),
        "leptophilic": _by_mass("scalar", HIGGS_VEV, "scalar"),
        "alp": _by_mass("pseudoscalar", _TEV, "pseudoscalar"),
    }
)


def mediator(model: str) -> Mediator:
    """The couplings of a model at unit coupling; ``ValueError`` names the nearest."""
    if model not in MODELS:
        raise ValueError(f"model {model!r}: must be one of {', '.join(MODELS)}; nearest: {nearest(model, MODELS)}")
    return MODELS[model]


def generate_mumu_x_tautau(
    n: int, key: int, beams: Beams, *, mass: float, model: str = "zprime", isr: bool = True, alpha: str = "madgraph",
    width: float = 0.0,
) -> Events:  # fmt: skip
    """n weighted events: mu-, mu+, all that the taus decay to (slots of ``decay_taus``) and photons, in the lab [GeV].

    ``mass`` and ``width`` of X in GeV; ``model`` is one of :data:`MODELS`. Weights [fb] add up to the cross-section of
    mu mu X at g' = 1, xi = 1 or C / Lambda = 1 / TeV, without the branching fraction of X, times 0.997, the share of tau
    decays that are made, squared. Raises ``ValueError`` for unknown models, masses not above two taus and closed kinematics.
    """
    made = mediator(model)
    if not mass > 2.0 * M_TAU:
        raise ValueError(f"mass = {mass:g} GeV: must be above {2.0 * M_TAU:.5g} GeV, two taus")
    events = generate_lepton_pair_x(n, key, beams, mass=mass, coupling=made.muon, electron_coupling=made.electron, decay="tau",
                                    decay_coupling=made.tau, width=width, isr=isr, alpha=alpha)  # fmt: skip
    return decay_taus(events, key, parent=made.parent, photons=PHOTONS)
