"""e+e- -> mu+ mu- X, X -> mu+ mu-: four muons from a new boson that couples to muons.

X is produced on its mass shell by :mod:`.lepton_pair_x` and decays with the spins of everything correlated; muons are
massive, so thresholds are right. The two muons beside X and the two from it keep their names: exchanging equal muons
interferes only within a width of X, which is far below any resolution, so that four pairings with 1/4 of identical
particles are one pairing, exactly in the limit of a narrow X. (:func:`.four_leptons.generate_resonant_four_leptons` has the
exchange and a line shape, at a fifth of the speed; both give the same rate.) Each pair radiates photons by itself: those off
the muons from X take it out of its peak. Not included: interference with QED, the width of X, couplings to electrons,
interference of photons off the two pairs.
"""

from __future__ import annotations

from types import MappingProxyType

from belle2dark.constants import M_MUON
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.events import Events
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.simulation.radiation import radiate_final
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import nearest

#: couplings to muons at which weights are given: g' = 1 of a Z' of L_mu - L_tau, g_S = 1 of a muonphilic scalar
COUPLINGS = MappingProxyType({"zprime": LeptonCoupling(vector=1.0), "muonphilic": LeptonCoupling(scalar=1.0)})


def generate_mumu_x_mumu(n: int, key: int, beams: Beams, *, mass: float, model: str, isr: bool = True, alpha: str = "physical",
                         fsr: bool | None = None) -> Events:  # fmt: skip
    """n weighted events of e+e- -> mu+ mu- X (n gamma), X -> mu+ mu-, at unit coupling of the ``model``.

    Slots ``mu-_1``, ``mu+_1`` (beside X), ``mu-_2``, ``mu+_2`` (from X) and photons ``gamma_1`` .. in the lab [GeV]. Weights [fb]
    add up to the cross-section of mu+ mu- X without branching fraction. ``mass`` in GeV; ``model`` is "zprime" or
    "muonphilic"; ``alpha`` names the fine-structure constant; ``isr`` and ``fsr`` (None: as ``isr``) switch photons off the
    beams and off the muons. Raises ``ValueError`` for an unknown model, a mass at or below two muons or one that is closed.
    """
    coupling = coupling_of(model)
    if mass <= 2.0 * M_MUON:
        raise ValueError(f"mass = {mass} GeV: must be above {2.0 * M_MUON:.6g} GeV for the decay to two muons")
    events = generate_lepton_pair_x(n, key, beams, mass=mass, coupling=coupling, decay="mu", isr=isr, alpha=alpha)
    if not (isr if fsr is None else fsr):
        return events
    events = radiate_final(
        events, make_key(key, "pair from x"), ("mu-_2", "mu+_2"), parent="vector" if coupling.is_vector else "scalar"
    )
    return radiate_final(events, make_key(key, "pair beside x"), ("mu-_1", "mu+_1"))


def coupling_of(model: str) -> LeptonCoupling:
    """Coupling to muons of ``model`` at unit strength; raises ``ValueError`` naming the nearest model."""
    if model not in COUPLINGS:
        raise ValueError(f"model = {model!r}: must be one of {', '.join(COUPLINGS)}; nearest: {nearest(model, COUPLINGS)}")
    return COUPLINGS[model]
