"""B mesons from e+e- -> Upsilon(4S) -> B Bbar and their decays to kaons or baryons with a new particle.

One B of each pair decays to the signal, the other is a bookkeeping entry: the slot ``x_2`` holds its four-momentum (the
tag, which no detector sees here), and :func:`tag_efficiency` says how often it is reconstructed. Charge conjugates are one
sample: the signal is always B+ or B0. Signal B, Lambda and Lambda_c fly their lifetimes. Weights [fb] add up to the
cross-section of either B decaying to the signal at a branching fraction of 1, times those of the known particles named in
each function; multiply with B(B -> signal) x B(S -> final state).

Not included: initial-state radiation and the line shape of the Upsilon(4S) (the energy spread moves sqrt s only), baryon
polarisation, form factors (two-body decays have none), mixing, and what the tag leaves in the detector.
"""

# numba infers the types of kernels:
# mypy: allow-untyped-defs

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numba
import numpy as np

from belle2dark._jit import jit
from belle2dark.constants import (
    CTAU_B0,
    CTAU_BPLUS,
    CTAU_LAMBDA,
    CTAU_LAMBDA_C,
    M_B0,
    M_BPLUS,
    M_ELECTRON,
    M_KAON,
    M_KSTAR0,
    M_LAMBDA,
    M_LAMBDA_C,
    M_MUON,
    M_PION,
    M_PROTON,
    WIDTH_KSTAR0,
)
from belle2dark.simulation.beams import Beams, event_frame
from belle2dark.simulation.decays.chain import decay_three_body, decay_two_body, draw, fly, fly_broadly, two_body_momentum
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import BLOCK, make_key, seed_block
from belle2dark.sourced import load_numbers, nearest

#: the slot of the other B
TAG = "x_2"
#: the slot whose energy is the Fox-Wolfram ratio R2 of the whole event, in events made of hadronic lists
EVENT_SHAPE = "x_3"
#: how the kaon side looks, and what a scalar may decay to: slots and mass [GeV]
KAON_MODES = ("kplus", "kstar0")
FINAL_STATES = MappingProxyType({"ee": ("e-", "e+", M_ELECTRON), "mumu": ("mu-", "mu+", M_MUON), "pipi": ("pi-", "pi+", M_PION),
                                 "kk": ("K-", "K+", M_KAON)})  # fmt: skip
BARYONS = MappingProxyType({"lambda": M_LAMBDA, "proton": M_PROTON, "lambda_c": M_LAMBDA_C})
#: name, four-momenta (n, 4), production points (n, 3) of one particle
_Particle = tuple[str, Array, Array]


def collisions(n: int, key: int, beams: Beams, lowest: float = 0.0, fixed: float = 0.0) -> tuple[Array, Array]:
    """Total and electron four-momenta in the lab, (n, 4) each [GeV], of n collisions with beam-energy spread.

    Collisions below ``lowest`` [GeV] are drawn again; with ``fixed`` [GeV] > 0 both beam energies of each are scaled to
    that centre-of-mass energy (a resonance narrower than the spread). Raises ``ValueError`` for n or a key out of range,
    and for beams far below ``lowest``.
    """
    check_request(n, key)
    if beams.sqrt_s < lowest:
        raise ValueError(f"beams: sqrt(s) = {beams.sqrt_s:.4f} GeV, needs at least {lowest:.4f} GeV")
    scale = fixed / beams.sqrt_s if fixed > 0.0 else 1.0
    kernel = (beams.electron_energy * scale, beams.positron_energy * scale, *beams.kernel[2:])
    total, electron = np.empty((n, 4)), np.empty((n, 4))
    _collisions(np.uint64(key), kernel, lowest, fixed, total, electron)
    return total, electron


@jit(parallel=True)
def _collisions(key, beam, lowest, fixed, total, electron):
    n = total.shape[0]
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        s0, s1 = seed_block(key, block)
        for i in range(block * BLOCK, min(n, (block + 1) * BLOCK)):
            while True:
                s0, s1, frame = event_frame(beam, s0, s1)
                if frame[0] >= lowest:
                    break
            root = fixed if fixed > 0.0 else frame[0]
            # frame holds the unit axes of the centre of mass: time (1-3) and electron direction (7-9)
            total[i, 0], total[i, 1], total[i, 2], total[i, 3] = root * frame[1], root * frame[2], 0.0, root * frame[3]
            electron[i, 0], electron[i, 1], electron[i, 2], electron[i, 3] = (
                0.5 * root * (frame[1] + frame[7]), 0.5 * root * (frame[2] + frame[8]), 0.0, 0.5 * root * (frame[3] + frame[9])
            )  # fmt: skip


def collect(particles: Iterable[_Particle], weights: Array, flights: Mapping[str, Array] | None = None) -> Events:
    """Events of named particles: a name that occurs more than once is numbered in the order given ("pi-_1", "pi-_2")."""
    particles = tuple(particles)
    several = Counter(name for name, _, _ in particles)
    seen: Counter[str] = Counter()
    momenta, vertices = {}, {}
    for name, p, vertex in particles:
        seen[name] += 1
        slot = f"{name}_{seen[name]}" if several[name] > 1 else name
        momenta[slot], vertices[slot] = p, vertex
    return Events(momenta_lab=momenta, weights=weights, vertices_cm=vertices, flights=flights or {})


def b_pairs(n: int, key: int, beams: Beams, charged: bool) -> tuple[Array, Array, Array, Array]:
    """Signal B and tag B (n, 4) [GeV] in the lab, decay point of the signal B (n, 3) [cm], weights (n,) [fb].

    The B mesons follow sin^2 about the beam in the centre of mass. Weights add up to 2 sigma(B Bbar) f, the rate of
    B mesons of that charge. Raises ``ValueError`` for n or a key out of range, or beams below the threshold.
    """
    m, ctau, kind = (M_BPLUS, CTAU_BPLUS, "charged") if charged else (M_B0, CTAU_B0, "neutral")
    total, electron = collisions(n, key, beams, lowest=2.0 * m)
    signal, tag = decay_two_body(total, m, m, make_key(key, "b pair"), alignment=-0.5, about=electron)
    numbers = load_numbers("mesons")
    rate = 2.0 * float(numbers["bb_cross_section"]) * float(numbers[f"{kind}_b_fraction"])
    return signal, tag, fly(signal, None, ctau, make_key(key, "b flight")), np.full(n, rate / n)


def _mode(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} = {value!r}: not one of {', '.join(known)}; nearest: {nearest(value, known)}")


def _new_mass(name: str, value: float, low: float, high: float) -> None:
    if not low < value < high and not (value == low == 0.0):
        raise ValueError(f"{name} = {value} GeV: closed; allowed {low:.4g} to {high:.4g} GeV")


def kstar_masses(n: int, key: int, m_x: float) -> Array:
    """Masses (n,) [GeV] of K*0 in B0 -> K*0 X: relativistic Breit-Wigner, P waves in both decays.

    A longitudinal K* with a scalar has the amplitude p m_B / m_K*, so the density carries p^3 / m^2.
    """
    low, high = load_numbers("mesons")["kstar_mass_range"].values
    m = np.linspace(low, min(high, M_B0 - m_x), 4001)
    q, q0 = two_body_momentum(m, M_KAON, M_PION), float(two_body_momentum(M_KSTAR0, M_KAON, M_PION))
    width = WIDTH_KSTAR0 * (q / q0) ** 3 * M_KSTAR0 / m
    line = m * m * width / ((m * m - M_KSTAR0**2) ** 2 + (M_KSTAR0 * width) ** 2)
    return draw(n, key, m, line * two_body_momentum(M_B0, m, m_x) ** 3 / m**2)


def _kaon_side(n: int, key: int, beams: Beams, mode: str, m_x: float) -> tuple[list[_Particle], Array, Array, Array, Array]:
    """The particles of the kaon side, the new particle and its production point, the tag and the weights."""
    _mode("mode", mode, KAON_MODES)
    if mode == "kplus":
        _new_mass("m_x", m_x, 0.0, M_BPLUS - M_KAON)
        signal, tag, point, weights = b_pairs(n, key, beams, charged=True)
        kaon, x = decay_two_body(signal, M_KAON, m_x, make_key(key, "b decay"))
        return [("K+", kaon, point)], x, point, tag, weights
    _new_mass("m_x", m_x, 0.0, M_B0 - M_KSTAR0)
    signal, tag, point, weights = b_pairs(n, key, beams, charged=False)
    masses = kstar_masses(n, make_key(key, "kstar mass"), m_x)
    kstar, x = decay_two_body(signal, masses, m_x, make_key(key, "b decay"))
    # helicity 0: the K* has the spin direction of its flight in the B, where only the scalar recoils
    kaon, pion = decay_two_body(kstar, M_KAON, M_PION, make_key(key, "kstar decay"), alignment=1.0, about=signal)
    weights = weights * float(load_numbers("mesons")["kstar0_to_kplus_piminus"])
    return [("K+", kaon, point), ("pi-", pion, point)], x, point, tag, weights


def generate_b_to_k_llp(
    n: int,
    key: int,
    beams: Beams,
    m_s: float,
    ctau_cm: float | None = None,
    *,
    mode: str = "kplus",
    final_state: str = "mumu",
) -> Events:
    """n events of B+ -> K+ S or B0 -> K*0 S (K*0 -> K+ pi-), S -> two particles after a flight.

    Slots: the kaon side ("K+", and "pi-" for the K*0), the daughters of S, and the tag ``x_2``; names that occur twice
    are numbered, kaon side first. ``m_s`` in GeV; ``final_state`` "ee", "mumu", "pipi" or "kk". Weights for the K*0
    include B(K*0 -> K+ pi-). Without ``ctau_cm`` [cm] the flights of S serve any lifetime (``flights["s"]``, see
    :func:`.chain.fly_broadly`). Raises ``ValueError`` for an unknown mode or final state, closed kinematics, or a c tau
    that is not positive.
    """
    _mode("final_state", final_state, FINAL_STATES)
    minus, plus, m_daughter = FINAL_STATES[final_state]
    if not m_s > 2.0 * m_daughter:
        raise ValueError(f"m_s = {m_s} GeV: closed; S -> {final_state} needs more than {2.0 * m_daughter:.4g} GeV")
    side, scalar, point, tag, weights = _kaon_side(n, key, beams, mode, m_s)
    flight = make_key(key, "llp flight")
    flights: dict[str, Array] = {}
    if ctau_cm is None:
        decay_point, flights["s"] = fly_broadly(scalar, point, flight, near_cm=float(load_numbers("mesons")["near_flight"]))
    else:
        decay_point = fly(scalar, point, ctau_cm, flight)
    first, second = decay_two_body(scalar, m_daughter, m_daughter, make_key(key, "llp decay"))
    daughters = [(minus, first, decay_point), (plus, second, decay_point)]
    return collect([*side, *daughters, (TAG, tag, np.zeros((n, 3)))], weights, flights)


def generate_b_to_k_invisible(n: int, key: int, beams: Beams, m_x: float, *, mode: str = "kplus") -> Events:
    """n events of B+ -> K+ X or B0 -> K*0 X (K*0 -> K+ pi-) with X unseen: "K+", ("pi-"), "x" and the tag ``x_2``.

    ``m_x`` in GeV. A vector X would leave the K*0 less polarised than the scalar assumed. Raises ``ValueError`` for an
    unknown mode or closed kinematics.
    """
    side, x, point, tag, weights = _kaon_side(n, key, beams, mode, m_x)
    return collect([*side, ("x", x, point), (TAG, tag, np.zeros((n, 3)))], weights)


def neutrino_density(q2: Array) -> Array:
    """dGamma/dq^2 of B+ -> K+ nu nubar at squared neutrino-pair masses ``q2`` [GeV^2], not normalised: p^3 f_+^2.

    Source: Bourrely, Caprini and Lellouch, Phys. Rev. D 79 (2009) 013008 (series of the form factor).
    """
    numbers, q2 = load_numbers("mesons"), np.asarray(q2, dtype=np.float64)
    a0, a1, a2 = numbers["b_to_k_plus_form_factor"].values
    top = (M_BPLUS + M_KAON) ** 2
    start = (M_BPLUS + M_KAON) * (math.sqrt(M_BPLUS) - math.sqrt(M_KAON)) ** 2
    z = (np.sqrt(top - q2) - math.sqrt(top - start)) / (np.sqrt(top - q2) + math.sqrt(top - start))
    series = a0 + a1 * (z - z**3 / 3.0) + a2 * (z**2 + 2.0 / 3.0 * z**3)
    factor = series / (1.0 - q2 / float(numbers["b_to_k_pole_mass"]) ** 2)
    return two_body_momentum(M_BPLUS, M_KAON, np.sqrt(q2)) ** 3 * factor**2


def generate_b_to_k_neutrinos(n: int, key: int, beams: Beams) -> Events:
    """n events of B+ -> K+ nu nubar in the standard model: "K+", "nu_1", "nu_2" and the tag ``x_2``, three flavours together.

    The irreducible background of B+ -> K+ X; weights include its branching fraction.
    """
    signal, tag, point, weights = b_pairs(n, key, beams, charged=True)
    # equal steps in the pair mass, so density per q^2 times 2 q; the root at the upper end is the kaon momentum
    q = np.linspace(0.0, M_BPLUS - M_KAON, 4001)
    pair_mass = draw(n, make_key(key, "neutrino pair"), q, neutrino_density(q * q) * q)
    kaon, pair = decay_two_body(signal, M_KAON, pair_mass, make_key(key, "b decay"))
    # helicity 0: the pair recoils against a scalar, and massless neutrinos of opposite helicity give sin^2
    first, second = decay_two_body(pair, 0.0, 0.0, make_key(key, "neutrinos"), alignment=-0.5, about=signal)
    weights = weights * float(load_numbers("mesons")["b_to_k_neutrinos"])
    particles = [("K+", kaon, point), ("nu", first, point), ("nu", second, point), (TAG, tag, np.zeros((n, 3)))]
    return collect(particles, weights)


def generate_b_to_baryon(n: int, key: int, beams: Beams, m_psi: float, *, baryon: str = "lambda") -> Events:
    """n events of B0 -> Lambda psi, B+ -> p psi or B+ -> Lambda_c+ psi with a dark antibaryon psi of ``m_psi`` [GeV].

    Slots "p", the other daughters of the baryon ("pi-"; "K-" and "pi+"), "x" for psi and the tag ``x_2``. Weights include
    B(Lambda -> p pi-) or B(Lambda_c -> p K- pi+). Raises ``ValueError`` for an unknown baryon or closed kinematics.
    """
    _mode("baryon", baryon, BARYONS)
    charged = baryon != "lambda"
    _new_mass("m_psi", m_psi, 0.0, (M_BPLUS if charged else M_B0) - BARYONS[baryon])
    signal, tag, point, weights = b_pairs(n, key, beams, charged)
    first, psi = decay_two_body(signal, BARYONS[baryon], m_psi, make_key(key, "b decay"))
    rest: list[_Particle] = [("x", psi, point), (TAG, tag, np.zeros((n, 3)))]
    numbers, flight, decay = load_numbers("mesons"), make_key(key, "baryon flight"), make_key(key, "baryon decay")
    if baryon == "proton":
        return collect([("p", first, point), *rest], weights)
    if baryon == "lambda":
        where = fly(first, point, CTAU_LAMBDA, flight)
        proton, pion = decay_two_body(first, M_PROTON, M_PION, decay)
        return collect([("p", proton, where), ("pi-", pion, where), *rest], weights * float(numbers["lambda_to_p_piminus"]))
    where = fly(first, point, CTAU_LAMBDA_C, flight)
    three = decay_three_body(first, (M_PROTON, M_KAON, M_PION), decay)
    daughters = [("p", three.first, where), ("K-", three.second, where), ("pi+", three.third, where)]
    return collect([*daughters, *rest], weights * float(numbers["lambda_c_to_p_kminus_piplus"]))


def tag_efficiency(charged: bool) -> float:
    """Probability to reconstruct the other B in a hadronic mode: simulated efficiency times its calibration with data."""
    kind, numbers = "charged" if charged else "neutral", load_numbers("mesons")
    return float(numbers[f"hadronic_tag_{kind}"]) * float(numbers[f"hadronic_tag_calibration_{kind}"])


def beam_constrained(candidate_cms: Array, sqrt_s: float) -> tuple[Array, Array]:
    """M_bc and Delta E (n,) [GeV] of B candidates with four-momenta (n, 4) in the centre of mass."""
    p2 = np.sum(np.asarray(candidate_cms)[:, 1:] ** 2, axis=1)
    return np.sqrt(np.maximum(0.25 * sqrt_s**2 - p2, 0.0)), np.asarray(candidate_cms)[:, 0] - 0.5 * sqrt_s


def missing_mass_squared(seen: Iterable[Array], tag: Array, beams: Beams) -> Array:
    """Squared mass (n,) [GeV^2] of what is missing beside the ``seen`` particles and the tag, all (n, 4) in the lab."""
    missing = beams.nominal - tag - sum(seen)
    return missing[:, 0] ** 2 - np.sum(missing[:, 1:] ** 2, axis=1)
