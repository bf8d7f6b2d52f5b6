"""What rare processes leave of the flavour-changing couplings of a Z': curves to draw under the limits of a search.

Our own calculation (:mod:`.lepton_flavour`); only the experimental limits are from elsewhere (data/lepton_flavour.yaml). All take
a real Z' with vector couplings and nothing else in the loops.

* :func:`pair_bounds`: on one coupling alone, as a search for e+e- -> l l' Z' has it;
* :func:`plane_bounds`: on g_emu at a given g_mumu, where products count, for L_mu - L_tau charges (g_tautau = -g_mumu).

| name | on | how | for |
|---|---|---|---|
| ``muonium`` | g_emu | tree level; a complex Z' that carries flavour has no such transition | M > m_mu |
| ``g_minus_2`` | g_emu, g_mutau | one loop, electron or tau inside, difference of 2025 within 2 sigma | M > m_mu, M > 0 |
| ``invisible_decay`` | all pairs | l -> l' Z' with the Z' unseen; weakest limit of the published range | M < 0.08, 1.6 GeV |
| ``mu_to_e_gamma`` | g_emu g_mumu | one loop, exact in M / m_mu | M > 0 |
| ``mu_to_3e`` | g_emu g_mumu | tree level, loop-induced coupling to electrons; a factor of 2 | M > m_mu |
| ``conversion_gold`` | g_emu g_mumu | tree level, loop-induced coupling to protons; a factor of 2 | M > 0 |

Confidence levels are 90 % (taus 95 %). Not included: g - 2 of the electron, whose prediction is in dispute; LEP; beam dumps.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_TAU
from belle2dark.sourced import load_numbers
from belle2dark.theory.g_minus_2 import coupling_band, vector
from belle2dark.theory.lepton_flavour import conversion_gold, decay_to_zprime, flavours, mu_to_3e, mu_to_e_gamma
from belle2dark.theory.zprime import kinetic_mixing

Array = NDArray[np.float64]

_NUMBERS = load_numbers("lepton_flavour")


def muonium_bound(mass: ArrayLike) -> Array:
    """Largest |g_emu| without too many muonium-antimuonium transitions, shape of ``mass`` [GeV]; inf up to the muon mass.

    The limit is quoted for (V-A) x (V-A), which moves spin 0 and spin 1 alike. With 4 G_C / sqrt 2 = g^2 / 2 M^2 the vector
    current moves them -1 and 3 times as strongly; between the two Breit-Rabi states that the field leaves degenerate the
    probability is then (8 + 2 C^2) / 2 C^2 times larger, C^2 = 1 / (1 + X^2). Corrections of order (m_mu/M)^2 are left out.
    Raises ``ValueError`` for a bad mass.
    Source: own matrix elements; field: Hou and Wong, hep-ph/9505300; limit: Willmann et al., hep-ex/9807011.
    """
    m = _mass(mass)
    x = float(_NUMBERS["muonium_field"]) / float(_NUMBERS["breit_rabi_field"])
    strength = float(_NUMBERS["muonium"]) * float(_NUMBERS["fermi_constant"]) / np.sqrt(5 + 4 * x**2)
    return np.where(m > M_MUON, m * np.sqrt(4 * np.sqrt(2) * strength), np.inf)


def g_minus_2_bound(pair: str, mass: ArrayLike, given: str | tuple[float, float] = "wp25", n_sigma: float = 2.0) -> Array:
    """Largest coupling of "emu" or "mutau" that leaves g - 2 of the muon within ``n_sigma``, shape of ``mass`` [GeV].

    ``given`` as in :func:`belle2dark.theory.g_minus_2.coupling_band`. inf where the Z' could be on shell (emu up to the muon
    mass); 0 where no coupling agrees. Raises ``ValueError`` for another pair or bad input.
    """
    if flavours(pair) == ("e", "tau"):
        raise ValueError(f"pair {pair!r}: does not contribute to g - 2 of the muon; must be emu | mutau")
    m = _mass(mass)
    allowed = (m > M_MUON) | (pair == "mutau")
    loop = partial(vector, m_internal=M_ELECTRON if pair == "emu" else M_TAU)
    _, high = coupling_band(np.where(allowed, m, 1.0), given, n_sigma, loop)
    return np.where(allowed, 0.0 if high is None else high, np.inf)


def pair_bounds(pair: str, mass: ArrayLike) -> dict[str, Array]:
    """Largest coupling of a mixed ``pair`` ("emu", "etau", "mutau") allowed by each process, shape of ``mass`` [GeV]; inf: none.

    Raises ``ValueError`` for an unknown pair or a bad mass.
    """
    child, parent = flavours(pair)
    m = _mass(mass)
    seen = m < float(_NUMBERS[f"{parent}_to_{child}_invisible_end"])
    rate = np.where(seen, decay_to_zprime(pair, m, 1.0), 0.0)
    out = {"invisible_decay": _saturate(f"{parent}_to_{child}_invisible", rate)}
    if pair != "etau":
        out["g_minus_2"] = g_minus_2_bound(pair, m)
    if pair == "emu":
        out["muonium"] = muonium_bound(m)
    return out


def plane_bounds(mass: ArrayLike, g_mumu: ArrayLike) -> dict[str, Array]:
    """Largest |g_emu| allowed by each process for ``mass`` [GeV] and g_mumu, broadcast shape; inf: no bound.

    Those of :func:`pair_bounds` are among them. Raises ``ValueError`` for a bad mass or coupling.
    """
    g = np.asarray(g_mumu, dtype=float)
    if not np.all(np.isfinite(g)):
        raise ValueError(f"g_mumu = {g}: must be finite")
    m, g = np.broadcast_arrays(_mass(mass), g)
    heavy = m > M_MUON
    induced = np.sqrt(4 * np.pi * ALPHA["thomson"]) * np.abs(kinetic_mixing(0.0, g))
    rates = {
        "mu_to_e_gamma": mu_to_e_gamma(m, 1.0, g),
        "mu_to_3e": np.where(heavy, mu_to_3e(np.where(heavy, m, 1.0), 1.0, induced), 0.0),
        "conversion_gold": conversion_gold(m, 1.0, g),
    }
    return pair_bounds("emu", m) | {name: _saturate(name, rate) for name, rate in rates.items()}


def _saturate(name: str, rate: Array) -> Array:
    """The coupling where a rate, given at coupling 1 and going with its square, reaches its limit; inf without a rate."""
    return np.sqrt(float(_NUMBERS[name]) / np.where(rate > 0, rate, 1.0), where=rate > 0, out=np.full(np.shape(rate), np.inf))


def _mass(mass: ArrayLike) -> Array:
    m = np.asarray(mass, dtype=float)
    if not np.all((m > 0) & np.isfinite(m)):
        raise ValueError(f"mass = {m} GeV: must be finite and positive")
    return m
