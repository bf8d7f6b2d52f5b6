"""e+e- -> l+ l- gamma at tree level, exact in every mass: photons off the beams, off the leptons, and their interference.

The reference for the approximate radiation of :mod:`..isr` (one photon off the beams) and :mod:`..fsr` (one photon off
the leptons). For electrons the exchange graphs are in (radiative Bhabha scattering, eight graphs). Not included: the Z,
vacuum polarisation.

The photon is the massless vector X of :mod:`.lepton_pair_x` with the electric charge as its coupling to everything.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import ALPHA
from belle2dark.simulation.amplitudes.couplings import NONE, LeptonCoupling
from belle2dark.simulation.amplitudes.lepton_pair_x import Process, process, squared, workspace
from belle2dark.simulation.amplitudes.spinors import get, transverse
from belle2dark.simulation.events import Array


def photon_process(
    lepton: str = "mu", *, off_beams: bool = True, off_final: bool = True, polarisation: tuple[float, float] = (0.0, 0.0),
    alpha: str = "thomson",
) -> Process:  # fmt: skip
    """The process e+e- -> l+ l- gamma; without ``off_beams`` or ``off_final`` the graphs of one kind alone.

    Raises ``ValueError`` for impossible values, among them half of the graphs for electrons (they need each other).
    """
    if lepton == "e" and not (off_beams and off_final):
        raise ValueError("off_beams, off_final: both must be on for electrons, their graphs are gauge invariant only together")
    if alpha not in ALPHA:
        raise ValueError(f"alpha = {alpha!r}: must be one of {', '.join(ALPHA)}")
    charge = LeptonCoupling(vector=math.sqrt(4.0 * math.pi * ALPHA[alpha]))
    beam = charge if off_beams and lepton != "e" else NONE
    made = process(1.0, charge if off_final else NONE, leptons=(lepton, lepton), electron_coupling=beam,
                   polarisation=polarisation, alpha=alpha)  # fmt: skip
    return made._replace(m_x=0.0)


@jit()
def photon_polarisations(k, out):
    """Fill ``out`` with the two transverse polarisations of a photon ``k`` and return their number."""
    a, b = transverse(k)
    for i in range(4):
        out[0, i], out[1, i] = a[i], b[i]
    return 2


@jit()
def _many(proc, momenta, out):
    work = workspace()
    for i in range(len(out)):
        p, k = momenta[i], get(momenta[i], 4)
        n = photon_polarisations(k, work[3])
        out[i] = squared(proc, get(p, 0), get(p, 1), get(p, 2), get(p, 3), k, n, work[3], work)


def radiative_pair_squared(proc: Process, momenta: Array) -> Array:
    """|M|^2 [GeV^-2], (n,), at ``momenta`` (n, 5, 4) [GeV] of e-, e+, negative lepton, positive lepton and photon."""
    out = np.empty(len(momenta))
    _many(proc, np.ascontiguousarray(momenta, dtype=np.float64), out)
    return out
