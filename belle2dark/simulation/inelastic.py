"""e+e- -> gamma A' and h' A', A' -> chi1 chi2, chi2 -> chi1 and a charged pair away from the beams: inelastic dark matter.

The A' is made like a dark photon (:mod:`.gamma_x`) or beside a dark Higgs boson, whose own decay is displaced as well, and
decays with the spin it has to the two states of dark matter; the chi2 (and the h') decay at a distance that serves any lifetime
(``Events.flights``), by all channels (:mod:`.decays.inelastic`) or to electrons. Weights carry the full rate of the A' and no
lifetime: give each event :func:`.decays.chain.lifetime_factor`.

Not included: an A' below the threshold of chi1 chi2, visible decays of the A', the spin of the chi2, photons off its leptons,
interference; beside the h' more than one photon off the beams, and its angle.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from belle2dark.constants import M_KAON, M_MUON, M_PION
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.decays.chain import decay_two_body, fly_broadly, mass, uniforms
from belle2dark.simulation.decays.inelastic import decay_chi2, decay_chi2_any
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.gamma_dilepton import production_axis
from belle2dark.simulation.gamma_x import generate_gamma_x
from belle2dark.simulation.isr import beta_isr, radiator
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import nearest
from belle2dark.theory import dark_higgsstrahlung
from belle2dark.theory.dark_matter import DarkMatter
from belle2dark.theory.inelastic import check_decay

#: epsilon^2 alpha_D of the weights of :func:`generate_dark_higgs_inelastic`
REFERENCE = 1e-7
#: final states of the h': slots and mass [GeV]
HIGGS_DECAYS = {"mumu": (("mu-", "mu+"), M_MUON), "pipi": (("pi-", "pi+"), M_PION), "kk": (("K-", "K+"), M_KAON)}


def _check_masses(m_aprime: float, m_chi1: float, m_chi2: float) -> None:
    check_decay(m_chi1, m_chi2, m_aprime, 0.0)
    if not m_chi1 + m_chi2 < m_aprime:
        raise ValueError(f"m_aprime = {m_aprime} GeV: must be above m_chi1 + m_chi2 = {m_chi1 + m_chi2:g} GeV, so that it decays")


def generate_gamma_inelastic(
    n: int, key: int, beams: Beams, *, m_aprime: float, m_chi1: float, m_chi2: float, isr: bool = True, alpha_d: float = 0.0,
    near_cm: float = 0.1, far_cm: float = 300.0,
) -> Events:  # fmt: skip
    """n weighted events of e+e- -> gamma A' (n gamma), A' -> chi1 chi2, chi2 -> chi1 and anything charged.

    Slots: gamma_1 .. gamma_4, x_1 (chi1 of the A'), x_3 (chi1 of the chi2), prong_1 (-) and prong_2 (+) of any species, gamma_5
    and gamma_6 of a pi0; masses in GeV, ``flights["chi2"]`` (n, 2). Weights add up to the cross-section of
    :func:`.generate_gamma_x` for epsilon = 1e-3, all A' decaying to dark matter; ``alpha_d`` above 0 gives the A' its width.
    ``near_cm`` and ``far_cm`` [cm] are those of :func:`.fly_broadly`. Raises ``ValueError`` for an A' that does not decay
    to chi1 chi2, a closed decay of the chi2, and as :func:`.generate_gamma_x` and :func:`.fly_broadly`.
    """
    _check_masses(m_aprime, m_chi1, m_chi2)
    # the line shape of two equal masses has the threshold of these two
    dark = DarkMatter(alpha_d=alpha_d, mass_ratio=0.5 * (m_chi1 + m_chi2) / m_aprime, kind="pseudo_dirac")
    made = generate_gamma_x(n, key, beams, m_aprime, "dark_photon", isr=isr, dark=dark if alpha_d > 0.0 else None)
    parent = made.momenta_lab["x"]
    across, along = 1.0, (m_chi1 + m_chi2) ** 2 / np.maximum(mass(parent) ** 2, (m_chi1 + m_chi2) ** 2)
    # unpolarised beams: transverse chi currents go as 1 + c^2, longitudinal ones as 1 - c^2
    slope, constant = across - along, across + along
    chi1, chi2 = decay_two_body(parent, m_chi1, m_chi2, make_key(key, "dark matter"), alignment=slope / (3.0 * constant + slope),
                                about=production_axis(made, beams, key))  # fmt: skip
    where, flight = fly_broadly(chi2, None, make_key(key, "chi2 flight"), near_cm=near_cm, far_cm=far_cm)
    decay = decay_chi2_any(chi2, m_chi1, m_chi2, m_aprime, make_key(key, "chi2"))
    own = {"prong_1": decay.minus, "prong_2": decay.plus, "gamma_5": decay.photons[:, 0], "gamma_6": decay.photons[:, 1]}
    photons = {name: made.momenta_lab[name] for name in made.photons}
    species = {"prong_1": decay.species[:, 0], "prong_2": decay.species[:, 1]}
    return replace(made, momenta_lab={**photons, "x_1": chi1, "x_3": decay.chi1, **own}, species=species,
                   vertices_cm=dict.fromkeys(own, where), flights={"chi2": flight})  # fmt: skip


def generate_dark_higgs_inelastic(
    n: int, key: int, beams: Beams, *, m_aprime: float, m_hprime: float, m_chi1: float, m_chi2: float, final_state: str = "mumu",
    isr: bool = True, near_cm: float = 0.1, far_cm: float = 300.0,
) -> Events:  # fmt: skip
    """n weighted events of e+e- -> h' A', A' -> chi1 chi2, chi2 -> chi1 e+ e-, h' -> a pair of ``final_state``.

    Slots: e-, e+, the h' pair (mu, pi or K, - and +), x_1, x_3, gamma_1 (the photon off a beam, along it); masses in GeV,
    ``flights["chi2"]`` and ``flights["hprime"]`` (n, 2). Weights add up to the cross-section at epsilon^2 alpha_D =
    :data:`REFERENCE` [fb] for branching fractions of 1. Raises ``ValueError`` for an unknown final state, a closed
    production or decay, n < 1 or a bad key. Source of the rate: :mod:`belle2dark.theory.dark_higgsstrahlung`.
    """
    check_request(n, key)
    if final_state not in HIGGS_DECAYS:
        raise ValueError(f"final_state = {final_state!r}: must be one of {', '.join(HIGGS_DECAYS)}; "
                         f"nearest: {nearest(final_state, HIGGS_DECAYS)}")  # fmt: skip
    (minus, plus), m = HIGGS_DECAYS[final_state]
    _check_masses(m_aprime, m_chi1, m_chi2)
    if not (2.0 * m < m_hprime < beams.sqrt_s - m_aprime):
        raise ValueError(f"m_hprime = {m_hprime} GeV: must lie between {2.0 * m:.4g} and {beams.sqrt_s - m_aprime:.4g} GeV")
    photon, collision, weights = _collisions(n, key, beams, m_aprime, m_hprime, isr)
    aprime, hprime = _higgsstrahlung(collision, beams, m_aprime, m_hprime, key)
    chi1, chi2 = _dark_matter(aprime, beams, m_chi1, m_chi2, key)
    points, flights = {}, {}
    for name, parent in (("chi2", chi2), ("hprime", hprime)):
        points[name], flights[name] = fly_broadly(parent, None, make_key(key, name), near_cm=near_cm, far_cm=far_cm)
    other, electron, positron = decay_chi2(chi2, m_chi1, m_chi2, m_aprime, make_key(key, "decay"))
    first, second = decay_two_body(hprime, m, m, make_key(key, "hprime decay"))
    momenta = {"e-": electron, "e+": positron, minus: first, plus: second, "x_1": chi1, "x_3": other, "gamma_1": photon}
    vertices = {"e-": points["chi2"], "e+": points["chi2"], minus: points["hprime"], plus: points["hprime"]}
    return Events(momenta_lab=momenta, weights=weights, vertices_cm=vertices, flights=flights)


def _collisions(n: int, key: int, beams: Beams, m_aprime: float, m_hprime: float, isr: bool) -> tuple[Array, Array, Array]:
    """Photon off a beam (n, 4), four-momentum left (n, 4) [GeV] and weights (n,) [fb] of h' A'.

    Radiation that takes more than half of the energy above threshold is left out, as in :mod:`.higgsstrahlung`.
    """
    rng = np.random.default_rng(make_key(key, "collisions"))
    energy = np.array([beams.electron_energy, beams.positron_energy])
    spread = np.array([beams.electron_spread, beams.positron_spread]) * beams.spread
    scale = 1.0 + rng.standard_normal((n, 2)) * spread / energy
    electron, positron = scale[:, :1] * beams.electron, scale[:, 1:] * beams.positron
    photon, ratio = np.zeros((n, 4)), np.ones(n)
    if isr:
        b = beta_isr(beams.sqrt_s)
        v = np.clip(rng.random(n) ** (1.0 / b), 1e-30, 1.0 - 1e-9)
        ratio = radiator(v, beams.sqrt_s) / (b * v ** (b - 1.0))
        photon = v[:, None] * np.where((rng.random(n) < 0.5)[:, None], electron, positron)
        photon[:, 0] = np.sqrt((photon[:, 1:] ** 2).sum(axis=1))
    left = electron + positron - photon
    open_ = mass(left) > (0.5 * (beams.sqrt_s + m_aprime + m_hprime) if isr else m_aprime + m_hprime)
    left = np.where(open_[:, None], left, beams.nominal)
    photon[~open_] = 0.0
    rate = dark_higgsstrahlung.cross_section(m_aprime, m_hprime, REFERENCE, mass(left))
    return photon, left, np.where(open_, ratio * rate, 0.0) / n


def _higgsstrahlung(collision: Array, beams: Beams, m_aprime: float, m_hprime: float, key: int) -> tuple[Array, Array]:
    """A' and h' (n, 4) [GeV] with the angle of the A' about the beams: 1 + c^2 + gamma^2 (1 - c^2)."""
    root = mass(collision)
    square = ((root**2 + m_aprime**2 - m_hprime**2) / (2.0 * root * m_aprime)) ** 2
    slope, constant = 1.0 - square, 1.0 + square
    about = np.broadcast_to(beams.electron, collision.shape)
    return decay_two_body(collision, m_aprime, m_hprime, make_key(key, "production"), alignment=slope / (3.0 * constant + slope),
                          about=about)  # fmt: skip


def _dark_matter(aprime: Array, beams: Beams, m_chi1: float, m_chi2: float, key: int) -> tuple[Array, Array]:
    """chi1 and chi2 (n, 4) [GeV] of an A' that has the polarisation of the beams' current, one of two across the beams.

    At rest of the A' a current has the length of its part orthogonal to the A', and chi1 goes as T + (L - T) c^2 about it.
    """
    metric = np.array([1.0, -1.0, -1.0, -1.0])
    square = mass(aprime) ** 2
    lengths = [1.0 + (aprime @ (metric * beams.axes[k])) ** 2 / square for k in (1, 2)]
    first = uniforms(len(aprime), make_key(key, "current")) * (lengths[0] + lengths[1]) < lengths[0]
    about = np.where(first[:, None], beams.axes[1], beams.axes[2])
    slope = (m_chi1 + m_chi2) ** 2 / square - 1.0
    return decay_two_body(aprime, m_chi1, m_chi2, make_key(key, "dark matter"), alignment=slope / (3.0 + slope), about=about)
