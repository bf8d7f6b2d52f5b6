"""Final state "a pair of muons and two other tracks": X -> tau tau with a track from each tau, beside the muons X recoils from.

The peak is in the recoil mass of the muon pair. The other two tracks are anything but an identified kaon (e, mu, pi), any
neutrals may be there, a further track may not. Every pair of muons of an event counts. All columns follow from the four
stored tracks and the nominal beams; the other two have the mass of a pion. At high mass both muons are too soft for the KLM:
what the other detectors can do about them is a choice here (``data/final_state_ditau.yaml``), and only for this final state.
Not included: photons and pi0 of the taus, a veto of pairs from K_S0 and converted photons.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from dataclasses import replace

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.classifier import load_network
from belle2dark.constants import M_MUON, M_PION, M_TAU
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.observed import Observed, observe
from belle2dark.detector.particle_id import HYPOTHESES
from belle2dark.detector.response import Reconstruction
from belle2dark.final_states.record import Axis, Columns, FinalState, Mask
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.kinematics import boost
from belle2dark.simulation.rng import BLOCK
from belle2dark.sourced import load_numbers

_NUMBERS = load_numbers("final_state_ditau")
#: below this recoil mass [GeV] there is no frame of the recoil: the one of a recoil this heavy is taken
_LEAST = 1.0
#: least share of the collision energy squared that ``log_room`` can show
_ROOM = 1e-3

#: name -> (LaTeX symbol, unit) of every column, in the order of the kernel's rows
COLUMNS = {
    # the muons and what recoils against them
    "recoil_mass": (r"M_\mathrm{recoil}", "GeV"),
    "recoil_mass_squared": (r"M^2_\mathrm{recoil}", "GeV^2"),
    "log_room": (r"\ln(1 - M^2_\mathrm{recoil}/s)", ""),
    "recoil_cos_theta_lab": (r"\cos\theta_\mathrm{recoil}", ""),
    "recoil_cos_theta_cms": (r"\cos\theta^*_\mathrm{recoil}", ""),
    "m_mumu": (r"M_{\mu\mu}", "GeV"),
    "pt_mumu_cms": (r"p^*_{T,\mu\mu}", "GeV"),
    "momentum_asymmetry": (r"(p^*_1 - p^*_2)/(p^*_1 + p^*_2)", ""),
    "energy_softer_cms": (r"E^*_{\mu,2}", "GeV"),
    "recoil_pt_softer": (r"p^*_{\mathrm{recoil}\perp\mathrm{softer}}", "GeV"),
    "recoil_pt_harder": (r"p^*_{\mathrm{recoil}\perp\mathrm{harder}}", "GeV"),
    # the other two, in the rest frame of the recoil
    "m_others": (r"M_{34}", "GeV"),
    "x_harder": (r"x_3 = 2E_3/M_\mathrm{recoil}", ""),
    "x_softer": (r"x_4", ""),
    "cos_others": (r"\cos\angle_{34}", ""),
    # three and four tracks
    "m_total": (r"M_{4}", "GeV"),
    "m_three_low": (r"\min M(\mu\,34)", "GeV"),
    "m_three_high": (r"\max M(\mu\,34)", "GeV"),
    "m_mixed_low": (r"\min M(\mu^\pm t^\mp)", "GeV"),
    "m_mixed_high": (r"\max M(\mu^\pm t^\mp)", "GeV"),
    "thrust": (r"T", ""),
    # what is missing
    "missing_mass": (r"M_\mathrm{miss}", "GeV"),
    "missing_energy_cms": (r"E^*_\mathrm{miss}", "GeV"),
    "missing_pt_cms": (r"p^*_{T,\mathrm{miss}}", "GeV"),
    "missing_cos_theta_cms": (r"\cos\theta^*_\mathrm{miss}", ""),
    # lab, for acceptance
    "pt_min_muons_lab": (r"\min p_{T,\mu}", "GeV"),
    "pt_min_others_lab": (r"\min p_{T,34}", "GeV"),
}  # fmt: skip


@jit(inline=True)
def _dot(p, q):
    return p[1] * q[1] + p[2] * q[2] + p[3] * q[3]


@jit(inline=True)
def _mass2(e, x, y, z):
    return e * e - x * x - y * y - z * z


@jit(inline=True)
def _root(square):
    """Signed square root: resolution makes squared masses negative."""
    return math.copysign(math.sqrt(abs(square)), square)


@jit(inline=True)
def _mass(p, i, j):
    return math.sqrt(max(0.0, _mass2(p[i, 0] + p[j, 0], p[i, 1] + p[j, 1], p[i, 2] + p[j, 2], p[i, 3] + p[j, 3])))


@jit()
def _muons(p, r, root, axis, out, i):
    """Columns of the muons, rows 0 and 1 of ``p`` (CMS), and of the recoil ``r`` against them."""
    square, s = _mass2(r[0], r[1], r[2], r[3]), root * root
    out[0, i], out[1, i] = _root(square), square
    out[2, i] = math.log(max(_ROOM, 1.0 - square / s))
    size = math.sqrt(_dot(r, r)) + 1e-30
    along = r[1] * axis[1] + r[2] * axis[2] + r[3] * axis[3]
    out[4, i] = along / size
    out[5, i] = _mass(p, 0, 1)
    out[6, i] = math.sqrt(max(0.0, size * size - along * along))
    a, b = math.sqrt(_dot(p[0], p[0])), math.sqrt(_dot(p[1], p[1]))
    out[7, i] = abs(a - b) / (a + b)
    out[8, i] = min(p[0, 0], p[1, 0])
    # the recoil is minus the sum, so its part across one muon is |p1 x p2| over that muon's momentum
    cross = math.sqrt(max(0.0, a * a * b * b - _dot(p[0], p[1]) ** 2))
    out[9, i], out[10, i] = cross / (min(a, b) + 1e-30), cross / (max(a, b) + 1e-30)


@jit()
def _others(p, r, out, i):
    """Columns of the other two, rows 2 and 3 of ``p`` (CMS), in the rest frame of the recoil ``r``."""
    out[11, i] = _mass(p, 2, 3)
    mass = math.sqrt(max(_mass2(r[0], r[1], r[2], r[3]), _LEAST * _LEAST))
    energy = math.sqrt(_dot(r, r) + mass * mass)
    a = boost(p[2, 0], p[2, 1], p[2, 2], p[2, 3], energy, -r[1], -r[2], -r[3], mass)
    b = boost(p[3, 0], p[3, 1], p[3, 2], p[3, 3], energy, -r[1], -r[2], -r[3], mass)
    out[12, i], out[13, i] = 2.0 * max(a[0], b[0]) / mass, 2.0 * min(a[0], b[0]) / mass
    out[14, i] = _dot(a, b) / math.sqrt(_dot(a, a) * _dot(b, b) + 1e-30)


@jit(inline=True)
def _without(p, total, j):
    """Mass of all but one track."""
    square = _mass2(total[0] - p[j, 0], total[1] - p[j, 1], total[2] - p[j, 2], total[3] - p[j, 3])
    return math.sqrt(max(0.0, square))


@jit()
def _together(p, total, out, i):
    """Columns of three and four tracks."""
    out[15, i] = math.sqrt(max(0.0, _mass2(total[0], total[1], total[2], total[3])))
    first, second = _without(p, total, 1), _without(p, total, 0)
    out[16, i], out[17, i] = min(first, second), max(first, second)
    first, second = _mass(p, 0, 3), _mass(p, 1, 2)
    out[18, i], out[19, i] = min(first, second), max(first, second)
    # the thrust axis of few tracks is the sum of those on one side: try all eight ways to split them
    best, size = 0.0, 0.0
    for j in range(4):
        size += math.sqrt(_dot(p[j], p[j]))
    for ways in range(8):
        square = 0.0
        for c in range(1, 4):
            x = p[3, c]
            for j in range(3):
                x += p[j, c] if ways >> j & 1 else -p[j, c]
            square += x * x
        best = max(best, square)
    out[20, i] = math.sqrt(best) / (size + 1e-30)


@jit()
def _missing(total, root, axis, out, i):
    """Columns of what is missing beside the four tracks."""
    e, x, y, z = root - total[0], -total[1], -total[2], -total[3]
    out[21, i], out[22, i] = _root(_mass2(e, x, y, z)), e
    along, square = x * axis[1] + y * axis[2] + z * axis[3], x * x + y * y + z * z
    out[23, i] = math.sqrt(max(0.0, square - along * along))
    out[24, i] = along / math.sqrt(square + 1e-30)


@jit(parallel=True)
def _kernel(tracks, beam, root, axis, out):
    n = tracks.shape[0]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        _block(tracks, beam, root, axis, out, block * BLOCK, min(n, (block + 1) * BLOCK))


@jit()
def _block(tracks, beam, root, axis, out, first, last):
    p, total = np.zeros((4, 4)), np.zeros(4)
    for i in range(first, last):
        total[:] = 0.0
        out[25, i], out[26, i] = 1e9, 1e9
        for j in range(4):
            x, y, z, m = tracks[i, j, 0], tracks[i, j, 1], tracks[i, j, 2], M_MUON if j < 2 else M_PION
            row = 25 if j < 2 else 26
            out[row, i] = min(out[row, i], math.sqrt(x * x + y * y))
            energy = math.sqrt(x * x + y * y + z * z + m * m)
            p[j, 0], p[j, 1], p[j, 2], p[j, 3] = boost(energy, x, y, z, beam[0], -beam[1], -beam[2], -beam[3], root)
            for c in range(4):
                total[c] += p[j, c]
        r = (root - p[0, 0] - p[1, 0], -p[0, 1] - p[1, 1], -p[0, 2] - p[1, 2], -p[0, 3] - p[1, 3])
        x, y = beam[1] - tracks[i, 0, 0] - tracks[i, 1, 0], beam[2] - tracks[i, 0, 1] - tracks[i, 1, 1]
        z = beam[3] - tracks[i, 0, 2] - tracks[i, 1, 2]
        out[3, i] = z / math.sqrt(x * x + y * y + z * z + 1e-30)
        _muons(p, r, root, axis, out, i)
        _others(p, r, out, i)
        _together(p, total, out, i)
        _missing(total, root, axis, out, i)


def ditau_columns(tracks_lab: Array, detector: Detector) -> dict[str, Array]:
    """The columns :data:`COLUMNS`, each ``(n,)``, of tracks ``(n, 4, 3)`` [GeV] in the order mu-, mu+, and the other - and +.

    ``recoil_mass`` is the signed root of its square. ``recoil_pt_softer`` and ``recoil_pt_harder`` are the recoil momentum
    across the muon with the smaller and the larger momentum in the centre of mass: small if X was radiated along it. ``thrust``
    is that of the four tracks. Raises ``ValueError`` for another number of tracks.
    """
    if tracks_lab.shape[1:] != (4, 3):
        raise ValueError(f"tracks_lab has shape {tracks_lab.shape}, expected (n, 4, 3)")
    beams, nominal = detector.beams, detector.beams.nominal
    # the frame of the kernel is boosted and not turned: the electron flies nearly along z
    axis = np.array(boost(*beams.electron, nominal[0], *(-nominal[1:]), beams.sqrt_s))
    axis /= np.linalg.norm(axis[1:])
    out = np.empty((len(COLUMNS), len(tracks_lab)))
    _kernel(np.ascontiguousarray(tracks_lab, dtype=np.float64), nominal, beams.sqrt_s, axis, out)
    return dict(zip(COLUMNS, out, strict=True))


def _columns(tracks: Array, _photons: Array, detector: Detector) -> dict[str, Array]:
    return ditau_columns(tracks, detector)


def _loose(columns: Columns, _detector: Detector) -> Mask:
    """Something is missing, and the recoil is heavy enough for two taus (with a margin for its shape)."""
    low, high = _NUMBERS["recoil_mass"].values
    recoil = columns["recoil_mass"]
    return np.asarray((columns["m_total"] < float(_NUMBERS["m_total_max"])) & (recoil > low) & (recoil < high))


def _selected(columns: Columns, _detector: Detector) -> Mask:
    """What the network of the ditau search keeps: one event in a hundred."""
    return np.asarray(load_network("ditau_resonance").score(columns) > 0.5)


def with_soft_muons(observed: Observed, detector: Detector) -> Observed:
    """The same with muons identified also where they stop before the KLM, with the numbers of ``final_state_ditau.yaml``."""
    kinds = (11, 13, 211, 321)
    electrons, pions, kaons = _NUMBERS["soft_muon_fakes"].values
    passing = (electrons, float(_NUMBERS["soft_muon_efficiency"]), pions, kaons)
    low, high = detector.numbers["muon_id_turn_on"].values
    p = np.sqrt((observed.tracks.momenta_lab**2).sum(axis=-1))
    reach = np.clip((p - low) / (high - low), 0.0, 1.0)
    soft = 1.0 - reach**2 * (3.0 - 2.0 * reach)  # the turn-on of the KLM, turned round
    code, identified = np.abs(observed.pdg), observed.identified.copy()
    for kind, probability in zip(kinds, passing, strict=True):
        identified[..., HYPOTHESES.index("muon")] += ((code == kind) * soft * probability)[..., None]
    return replace(observed, identified=identified)


def _reconstruct(events: Events, detector: Detector, key: int) -> Reconstruction:
    seen = with_soft_muons(observe(events, detector, key), detector)
    return exclusive(seen, _WANTED, lambda t, p, _: _columns(t, p, detector), detector.beams, key)


_WANTED = Wanted(hypotheses=("muon", "muon", "pion", "pion"), charges=(-1, 1, -1, 1), neutrals=True)
STATE = FinalState(
    name="ditau", title="two muons and two other tracks, with any neutrals",
    wanted=_WANTED, columns=_columns, meanings=COLUMNS, loose=_loose, fast=_reconstruct,
    # windows of 1.5 standard deviations are all equally wide in this variable
    axes=(Axis(column="log_room", low=-2.2, high=-0.1, bins=200),),
    dense=lambda c, _detector: c["m_three_low"] > M_TAU, rare=_selected,
)  # fmt: skip
