"""Physical constants in the units of this package: GeV, cm, ns, fb.

Particle masses and lifetimes are the PDG values shipped by ``particle`` (which speaks MeV and mm); they are converted
here, once, and nowhere else. The fine-structure constant has three named conventions, because published theory curves
differ in it by 15 %: :data:`ALPHA`.
"""

from __future__ import annotations

from types import MappingProxyType

from particle import Particle
from particle import literals as _pdg


def _gev(particle: Particle) -> float:
    """Mass [GeV]."""
    if particle.mass is None:
        raise ValueError(f"{particle}: no mass in this version of the particle package")
    return particle.mass * 1e-3


def _cm(particle: Particle) -> float:
    """Proper decay length c tau [cm]."""
    if particle.ctau is None:
        raise ValueError(f"{particle}: no lifetime in this version of the particle package")
    return particle.ctau * 0.1


def _width(particle: Particle) -> float:
    """Total width [GeV]."""
    if particle.width is None:
        raise ValueError(f"{particle}: no width in this version of the particle package")
    return particle.width * 1e-3


# Masses [GeV], Source: PDG via the particle package.
M_ELECTRON = _gev(_pdg.e_minus)
M_MUON = _gev(_pdg.mu_minus)
M_TAU = _gev(_pdg.tau_minus)
M_PION = _gev(_pdg.pi_plus)
M_PION0 = _gev(_pdg.pi_0)
M_KAON = _gev(_pdg.K_plus)
M_RHO = _gev(_pdg.rho_770_plus)
M_OMEGA = _gev(_pdg.omega_782)
M_PHI = _gev(_pdg.phi_1020)
M_A1 = _gev(_pdg.a_1_1260_plus)
M_D0 = _gev(_pdg.D_0)
M_JPSI = _gev(_pdg.Jpsi_1S)
M_PSI2S = _gev(_pdg.psi_2S)
M_B0 = _gev(_pdg.B_0)
M_BPLUS = _gev(_pdg.B_plus)
M_KSTAR0 = _gev(_pdg.Kst_892_0)
M_KSHORT = _gev(_pdg.K_S_0)
M_ETA = _gev(_pdg.eta)
M_PROTON = _gev(_pdg.p)
M_NEUTRON = _gev(_pdg.n)
M_LAMBDA = _gev(_pdg.Lambda)
M_LAMBDA_C = _gev(_pdg.Lambda_c_plus)
M_UPSILON_1S = _gev(_pdg.Upsilon_1S)
M_UPSILON_2S = _gev(_pdg.Upsilon_2S)

# Proper decay lengths c tau [cm] and widths [GeV], Source: PDG via the particle package.
CTAU_B0 = _cm(_pdg.B_0)
CTAU_BPLUS = _cm(_pdg.B_plus)
CTAU_D0 = _cm(_pdg.D_0)
CTAU_KSHORT = _cm(_pdg.K_S_0)
CTAU_TAU = _cm(_pdg.tau_minus)
CTAU_LAMBDA = _cm(_pdg.Lambda)
CTAU_LAMBDA_C = _cm(_pdg.Lambda_c_plus)
WIDTH_RHO = _width(_pdg.rho_770_0)
WIDTH_OMEGA = _width(_pdg.omega_782)
WIDTH_PHI = _width(_pdg.phi_1020)
WIDTH_KSTAR0 = _width(_pdg.Kst_892_0)
WIDTH_MUON = _width(_pdg.mu_minus)

#: Fine-structure constant by convention. ``thomson``: q^2 = 0 (CODATA); ``physical``: running to s = (10.58 GeV)^2,
#: the default of new predictions; ``madgraph``: the value of the L_mu-L_tau model file used for published theory
#: (aEWM1 in generators/madgraph/models of basf2).
ALPHA = MappingProxyType({"thomson": 1 / 137.035999, "physical": 1 / 133.05, "madgraph": 1 / 127.9})

#: Electroweak scale in the convention y = xi m / v of the leptophilic-scalar searches [GeV].
HIGGS_VEV = 246.0

#: (hbar c)^2 in fb GeV^2 and hbar c in GeV cm. Source: CODATA 2018.
GEV2_FB = 0.389_379_372_1e12
HBAR_C = 1.973_269_804e-14
#: Speed of light [cm / ns].
C_LIGHT = 29.979_245_8
