"""Masses, angles and energies of the final state "two leptons and nothing else", from two measured tracks.

All centre-of-mass quantities are computed from invariants with the nominal beams, as an analysis does: no boost, and the
beam-energy spread of the event stays in as the smearing it is.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from belle2dark._jit import jit
from belle2dark.constants import M_MUON
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.rng import BLOCK

Array = NDArray[np.float64]

#: name -> (LaTeX symbol, unit) of every column, for tables and plots.
COLUMNS = {
    "m_mumu": (r"M_{\mu\mu}", "GeV"),
    "recoil_mass_squared": (r"M^2_\mathrm{recoil}", "GeV^2"),
    "recoil_cos_theta_lab": (r"\cos\theta_\mathrm{recoil}", ""),
    "pt_mumu_cms": (r"p^*_{T,\mu\mu}", "GeV"),
    "cos_helicity": (r"\cos\theta_\mathrm{hel}", ""),
    "energy_minus_cms": (r"E^*_{\mu^-}", "GeV"),
    "energy_plus_cms": (r"E^*_{\mu^+}", "GeV"),
    "pt_min_lab": (r"\min p_T", "GeV"),
    "recoil_pt_softer": (r"p^*_{\mathrm{recoil}\perp\mathrm{softer}}", "GeV"),
    "recoil_pt_harder": (r"p^*_{\mathrm{recoil}\perp\mathrm{harder}}", "GeV"),
    "momentum_asymmetry": (r"(p^*_1 - p^*_2)/(p^*_1 + p^*_2)", ""),
    "recoil_cos_theta_cms": (r"\cos\theta^*_\mathrm{recoil}", ""),
}


@jit(parallel=True, fastmath=True)
def _columns(tracks, beam_minus, beam_plus, mass_minus, mass_plus, out):
    e, px, py, pz = beam_minus[0] + beam_plus[0], beam_minus[1] + beam_plus[1], 0.0, beam_minus[3] + beam_plus[3]
    s = e * e - px * px - py * py - pz * pz
    root = math.sqrt(s)
    # (k+ - k-)/sqrt(s) projects a four-momentum on the electron direction of the centre-of-mass frame
    de, dx, dz = (
        (beam_plus[0] - beam_minus[0]) / root,
        (beam_plus[1] - beam_minus[1]) / root,
        (beam_plus[3] - beam_minus[3]) / root,
    )
    n, inverse = tracks.shape[0], 1.0 / root
    total, difference = mass_minus + mass_plus, mass_minus - mass_plus
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            x1, y1, z1 = tracks[i, 0, 0], tracks[i, 0, 1], tracks[i, 0, 2]
            x2, y2, z2 = tracks[i, 1, 0], tracks[i, 1, 1], tracks[i, 1, 2]
            e1 = math.sqrt(x1 * x1 + y1 * y1 + z1 * z1 + mass_minus * mass_minus)
            e2 = math.sqrt(x2 * x2 + y2 * y2 + z2 * z2 + mass_plus * mass_plus)
            qe, qx, qy, qz = e1 + e2, x1 + x2, y1 + y2, z1 + z2
            m2 = qe * qe - qx * qx - qy * qy - qz * qz
            energy = (qe * e - qx * px - qz * pz) * inverse
            first = (e1 * e - x1 * px - z1 * pz) * inverse
            along = qe * de - qx * dx - qz * dz
            p2 = max(energy * energy - m2, 0.0)
            # the pair's momentum times the daughters' in its rest frame turns the energy difference into a cosine
            swing = p2 * max((m2 - total * total) * (m2 - difference * difference), 0.0)
            rx, ry, rz = px - qx, -qy, pz - qz
            out[0, i] = math.sqrt(max(m2, 0.0))
            out[1, i] = s - 2.0 * root * energy + m2
            out[2, i] = rz / math.sqrt(rx * rx + ry * ry + rz * rz + 1e-30)
            out[3, i] = math.sqrt(max(p2 - along * along, 0.0))
            cos = (2.0 * first * m2 - energy * (m2 + total * difference)) / math.sqrt(swing + 1e-30)
            out[4, i] = min(1.0, max(-1.0, cos))
            second = energy - first
            out[5, i] = first
            out[6, i] = second
            out[7, i] = math.sqrt(min(x1 * x1 + y1 * y1, x2 * x2 + y2 * y2))
            # the recoil is minus the pair, so its part across one lepton is |p1 x p2| over that lepton's momentum
            a2, b2 = max(first * first - mass_minus * mass_minus, 0.0), max(second * second - mass_plus * mass_plus, 0.0)
            product = first * second - 0.5 * (m2 - mass_minus * mass_minus - mass_plus * mass_plus)
            cross, a, b = math.sqrt(max(a2 * b2 - product * product, 0.0)), math.sqrt(a2), math.sqrt(b2)
            shared = 1.0 / (a * b * (a + b) + 1e-30)  # one division for the three that follow
            across = cross * (a + b) * shared
            out[8, i] = across * max(a, b)
            out[9, i] = across * min(a, b)
            out[10, i] = abs(a - b) * a * b * shared
            out[11, i] = -along / math.sqrt(p2 + 1e-30)


def dilepton_columns(tracks_lab: Array, beams: Beams, masses: tuple[float, float] = (M_MUON, M_MUON)) -> dict[str, Array]:
    """The columns :data:`COLUMNS` of ``tracks_lab`` ``(n, 2, 3)`` [GeV], each ``(n,)``; ``masses`` of the two leptons [GeV].

    ``recoil_mass_squared`` may be negative through resolution; ``cos_helicity`` is the direction of the negative lepton
    in the pair's rest frame against the pair's flight direction in the centre-of-mass frame. ``recoil_pt_softer`` and
    ``recoil_pt_harder`` are the recoil momentum across the direction of the lepton with the smaller and the larger momentum
    (1 is the harder one in ``momentum_asymmetry``), all in the centre-of-mass frame: small if the leptons are collinear.
    ``recoil_cos_theta_cms`` is the recoil's direction there, against that of the electron beam.
    """
    out = np.empty((len(COLUMNS), len(tracks_lab)))
    _columns(np.ascontiguousarray(tracks_lab, dtype=np.float64), beams.electron, beams.positron, *masses, out)
    return dict(zip(COLUMNS, out, strict=True))


def photon_cos_theta_lab(cos_theta_cms: Array, beams: Beams) -> Array:
    """Cosine of the lab angle at which a photon flies whose direction in the centre of mass has this cosine, same shape.

    The crossing angle is neglected: 0.01 in the cosine.
    """
    speed = math.sqrt(1.0 - (beams.sqrt_s / float(beams.nominal[0])) ** 2)
    return np.asarray((cos_theta_cms + speed) / (1.0 + speed * cos_theta_cms))
