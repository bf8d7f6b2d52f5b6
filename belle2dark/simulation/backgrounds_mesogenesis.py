"""What looks like B -> baryon psi opposite to a hadronic tag, and the three-body signal B0 -> Lambda_c+ pi- psi.

``b_decays``: the other B decays to a baryon (or to what is taken for one), neutrinos, neutrons and K_L, and particles that are
lost; from the shipped list of decays of one B (:mod:`belle2dark.simulation.b_side`). ``wrong_tags``: the same decays opposite to
a tag whose direction has nothing to do with them, as often per right tag as a number of each experiment says: it stands for
continuum and for B pairs whose particles are mixed up, which have no sharp missing mass. ``list_floor``: the baryon and nothing
else, flat in missing mass, as often as one decay of the list: that none of its decays looks so does not say that there are none.
The tag efficiency is not in weights, it is a factor of the final state (:mod:`belle2dark.final_states.b_mesogenesis`).

Not included: particles that a wrong tag takes away or leaves over; continuum from a simulation of its own. In 400 000 events of
Pythia all that is visible but a proton has the charge, energy and momentum of a B in 7 of 10^5, and any of 230 subsets of an
event has them: if all wrong tags of BaBar were such subsets, protons beside them, as hard as those of ``list_floor``, would be a
third of it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from belle2dark.constants import CTAU_LAMBDA, CTAU_LAMBDA_C, M_B0, M_BPLUS, M_KAON, M_LAMBDA_C, M_PION, M_PROTON
from belle2dark.simulation.b_side import generated, load_b_side
from belle2dark.simulation.backgrounds import Background
from belle2dark.simulation.beams import Beams, to_cms, to_lab
from belle2dark.simulation.decays.chain import decay_three_body, decay_two_body, fly
from belle2dark.simulation.decays.mesons import BARYONS, TAG, b_pairs, collect, generate_b_to_baryon
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers, nearest

#: baryons, the last one with a pion
MODES = (*BARYONS, "lambda_c_pi")
#: charge of the B that decays to them
CHARGES = {"lambda": "neutral", "proton": "charged", "lambda_c": "charged", "lambda_c_pi": "neutral"}


def generate_signal(n: int, key: int, beams: Beams, m_psi: float, *, baryon: str = "lambda") -> Events:
    """n events of B -> ``baryon`` psi: two bodies as :func:`.decays.mesons.generate_b_to_baryon`, or B0 -> Lambda_c+ pi- psi.

    The three-body decay is flat in phase space, its slots are "p", "K-", "pi+", "pi-", "x" and the tag ``x_2``. Weights [fb] add
    up to the rate of B mesons times the branching fractions of the baryon. Raises ``ValueError`` for an unknown baryon or closed
    kinematics.
    """
    if baryon not in MODES:
        raise ValueError(f"baryon = {baryon!r}: not one of {', '.join(MODES)}; nearest: {nearest(baryon, MODES)}")
    if baryon != "lambda_c_pi":
        return generate_b_to_baryon(n, key, beams, m_psi, baryon=baryon)
    high = M_B0 - M_LAMBDA_C - M_PION
    if not 0.0 <= m_psi < high:
        raise ValueError(f"m_psi = {m_psi} GeV: closed; allowed 0 to {high:.4g} GeV")
    signal, tag, point, weights = b_pairs(n, key, beams, charged=False)
    three = decay_three_body(signal, (M_LAMBDA_C, M_PION, m_psi), make_key(key, "b decay"))
    seen = _tracks(three.first, point, "lambda_c", key)
    particles = [*seen, ("pi-", three.second, point), ("x", three.third, point), (TAG, tag, np.zeros((n, 3)))]
    return collect(particles, weights * float(load_numbers("mesons")["lambda_c_to_p_kminus_piplus"]))


def _tracks(baryon: Array, point: Array, kind: str, key: int) -> list[tuple[str, Array, Array]]:
    """Names, four-momenta (n, 4) [GeV] and production points (n, 3) [cm] of what a baryon made at ``point`` is seen in."""
    flight, decay = make_key(key, "baryon flight"), make_key(key, "baryon decay")
    if kind == "proton":
        return [("p", baryon, point)]
    if kind == "lambda":
        where = fly(baryon, point, CTAU_LAMBDA, flight)
        proton, pion = decay_two_body(baryon, M_PROTON, M_PION, decay)
        return [("p", proton, where), ("pi-", pion, where)]
    where = fly(baryon, point, CTAU_LAMBDA_C, flight)
    three = decay_three_body(baryon, (M_PROTON, M_KAON, M_PION), decay)
    return [("p", three.first, where), ("K-", three.second, where), ("pi+", three.third, where)]


def generate_list_floor(n: int, key: int, beams: Beams, *, baryon: str) -> Events:
    """n events of B -> ``baryon`` and something unseen of any mass, as often [fb] as one decay of the list of B decays.

    Slots as those of the signal; all of the baryons are seen in their tracks. Raises ``ValueError`` for n or a key out of range.
    """
    charged, rng = CHARGES[baryon] == "charged", np.random.default_rng(make_key(key, "floor"))
    signal, tag, point, weights = b_pairs(n, key, beams, charged)
    kind = baryon.removesuffix("_pi")
    lightest = BARYONS[kind] + (M_PION if kind != baryon else 0.0)
    missing = rng.random(n) * ((M_BPLUS if charged else M_B0) - lightest)
    mass = np.full(n, lightest)
    if kind != baryon:
        mass += rng.random(n) * (M_B0 - missing - lightest)
    found, x = decay_two_body(signal, mass, missing, make_key(key, "b decay"))
    rest = [("x", x, point), (TAG, tag, np.zeros((n, 3)))]
    if kind != baryon:
        found, pion = decay_two_body(found, M_LAMBDA_C, M_PION, make_key(key, "pair"))
        rest = [("pi-", pion, point), *rest]
    return collect([*_tracks(found, point, kind, key), *rest], weights / generated())


def generate_b_decays(n: int, key: int, beams: Beams, *, charge: str) -> Events:
    """n events of the list of decays of "charged" or "neutral" B mesons, each repeated as often as n needs; weights [fb].

    Raises ``ValueError`` for n or a key out of range, or another charge.
    """
    check_request(n, key)
    events = load_b_side(beams, charge)
    # a random start, so that parts of a sample with other keys have other events where n is small
    which = (np.random.default_rng(make_key(key, "which")).integers(len(events)) + np.arange(n)) % len(events)
    chosen = events.select(which)
    return replace(chosen, weights=chosen.weights * (len(events) / n))


def generate_wrong_tags(n: int, key: int, beams: Beams, *, charge: str, share: float) -> Events:
    """n of the same events with tags of any direction, weights [fb] times ``share``, the wrong tags per right one."""
    events = generate_b_decays(n, key, beams, charge=charge)
    rng = np.random.default_rng(make_key(key, "wrong tag"))
    cms = to_cms(events.momenta_lab[TAG], beams)
    direction = rng.standard_normal((n, 3))
    size = np.sqrt((cms[:, 1:] ** 2).sum(axis=1)) / np.sqrt((direction**2).sum(axis=1))
    tags = to_lab(np.concatenate([cms[:, :1], direction * size[:, None]], axis=1), beams)
    return replace(events, momenta_lab={**events.momenta_lab, TAG: tags}, weights=events.weights * share)


def processes(baryon: str, experiment: str) -> tuple[Background, ...]:
    """What is behind a tag and ``baryon`` at "belle", "belle2" or "babar"."""
    own, rate = load_numbers("b_mesogenesis"), load_numbers("mesons")["bb_cross_section"]
    charge, share = CHARGES[baryon], float(own[f"wrong_tags_{experiment}"])
    kinds = (
        ("b_decays", partial(generate_b_decays, charge=charge), "tables of Pythia 8; antineutrons shower as neutrons do"),
        ("wrong_tags", partial(generate_wrong_tags, charge=charge, share=share), "B decays stand for continuum, a chosen number"),
        ("list_floor", partial(generate_list_floor, baryon=baryon), "what the list cannot exclude, flat in missing mass"),
    )
    return tuple(Background(name=name, generate=generate, cross_section=rate, relative_uncertainty=own["background_level"],
                            approximations=approximations) for name, generate, approximations in kinds)  # fmt: skip
