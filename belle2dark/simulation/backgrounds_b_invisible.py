"""What looks like B -> K(*) X with an unseen X opposite to a hadronic tag.

``b_decays``: decays of the other B with a kaon (or what is taken for one), neutrinos, K_L, and particles that are lost, from the
shipped list of decays of one B (:mod:`belle2dark.simulation.b_side`). ``wrong_tags``: the same opposite to a tag whose direction
has nothing to do with them; it stands for continuum and for mixed-up B pairs. ``neutrinos``: B -> K(*) nu nubar of the
standard model, which no selection removes. The tag efficiency is not in the weights: it is a factor of the final state
(:mod:`belle2dark.final_states.b_to_k_invisible`).

Not included: continuum from a simulation of its own, tags of the wrong charge.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from belle2dark.constants import M_B0, M_KAON, M_KSTAR0, M_PION
from belle2dark.simulation.backgrounds import Background
from belle2dark.simulation.backgrounds_mesogenesis import generate_b_decays, generate_wrong_tags
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.decays.chain import decay_two_body, draw, two_body_momentum
from belle2dark.simulation.decays.mesons import TAG, b_pairs, collect, generate_b_to_k_neutrinos, kstar_masses
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers

#: numbers of this search, and those of all searches with B mesons
_NUMBERS, _MESONS = load_numbers("b_to_k_invisible"), load_numbers("mesons")


def kstar_neutrino_density(q2: Array) -> Array:
    """dGamma/dq^2 of B0 -> K*0 nu nubar at squared neutrino-pair masses ``q2`` [GeV^2], not normalised: p (q^2 + offset).

    Transverse K*0 give the part with q^2, longitudinal ones the offset; form factors are taken as constant.
    """
    q2 = np.asarray(q2, dtype=np.float64)
    return np.asarray(two_body_momentum(M_B0, M_KSTAR0, np.sqrt(q2)) * (q2 + float(_NUMBERS["kstar_neutrinos_offset"])))


def generate_kstar_neutrinos(n: int, key: int, beams: Beams) -> Events:
    """n events of B0 -> K*0 nu nubar, K*0 -> K+ pi-, in the standard model: "K+", "pi-", "x" (the pair) and the tag ``x_2``.

    Weights [fb] include the branching fractions. The K*0 is unpolarised.
    """
    signal, tag, point, weights = b_pairs(n, key, beams, charged=False)
    q = np.linspace(0.0, M_B0 - M_KSTAR0, 4001)
    pair_mass = draw(n, make_key(key, "neutrino pair"), q, kstar_neutrino_density(q * q) * q)
    masses = np.minimum(kstar_masses(n, make_key(key, "kstar mass"), 0.0), M_B0 - pair_mass - 1e-6)
    kstar, pair = decay_two_body(signal, masses, pair_mass, make_key(key, "b decay"))
    kaon, pion = decay_two_body(kstar, M_KAON, M_PION, make_key(key, "kstar decay"))
    fraction = float(_NUMBERS["b_to_kstar_neutrinos"]) * float(_MESONS["kstar0_to_kplus_piminus"])
    particles = [("K+", kaon, point), ("pi-", pion, point), ("x", pair, point), (TAG, tag, np.zeros((n, 3)))]
    return collect(particles, weights * fraction)


def _processes(charge: str) -> tuple[Background, ...]:
    rate = _MESONS["bb_cross_section"]
    neutrinos = generate_b_to_k_neutrinos if charge == "charged" else generate_kstar_neutrinos
    return (
        Background(name="b_decays", generate=partial(generate_b_decays, charge=charge), cross_section=rate,
                   relative_uncertainty=_NUMBERS["b_decays_uncertainty"],
                   approximations="tables of Pythia 8: rare decays with a kaon and K_L or neutrinos are good to a factor of two"),
        Background(name="wrong_tags", cross_section=rate, relative_uncertainty=_NUMBERS["wrong_tags_uncertainty"],
                   generate=partial(generate_wrong_tags, charge=charge, share=float(_NUMBERS["wrong_tags"])),
                   approximations="B decays stand for continuum; their number is a choice"),
        Background(name="neutrinos", generate=neutrinos, cross_section=rate,
                   relative_uncertainty=_NUMBERS["neutrinos_uncertainty"],
                   approximations="no tau contribution; K*0 with constant form factors"),
    )  # fmt: skip


#: processes by charge of the B: with a K+ and with a K*0
KPLUS, KSTAR0 = _processes("charged"), _processes("neutral")
