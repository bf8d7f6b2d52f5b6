"""What looks like B -> K (K pi) and a pair of tracks from a displaced vertex: hadronic events, and known decays of B mesons.

:func:`displaced_pairs` has real displaced pairs (K_S, Lambda, charm) beside a kaon side, :func:`converted_photons` and
:func:`crossing` photons that convert and prompt tracks that seem to cross far from the beams; see :mod:`.b_candidates`
for how many are made of few. :func:`d_mesons` and :func:`charmonium` are decays of B mesons that reach a B's mass under a wrong
hypothesis or with a vertex measured wrongly. Events have the slots ``prong_1`` ... (kaon, pion of the K*0, daughter of the charge
opposite to the kaon's, the other), the other B ``x_2``, and the shape of the event in :data:`.mesons.EVENT_SHAPE`.

Not included: hadronic interactions in material, decays in flight other than by the quoted misidentification, charmless
decays with a K_S (inside the K_S veto), prompt pairs whose vertex is badly measured (ask for a significance of its distance).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from belle2dark.constants import CTAU_D0, M_D0, M_JPSI, M_KAON, M_PION, M_PSI2S
from belle2dark.simulation.b_candidates import (
    LEAST_RADIUS,
    Candidates,
    drawn,
    inside,
    kaon_side,
    listed_candidates,
    new_pairs,
    new_side,
    prompt_candidates,
    selected,
    slopes_of,
    with_mass,
)
from belle2dark.simulation.backgrounds import Background
from belle2dark.simulation.beams import Beams, to_lab
from belle2dark.simulation.decays.chain import decay_two_body, fly, mass
from belle2dark.simulation.decays.mesons import EVENT_SHAPE, FINAL_STATES, b_pairs, generate_b_to_k_llp, kstar_masses
from belle2dark.simulation.displaced import convert, crossing_tracks
from belle2dark.simulation.events import REST, Array, Events
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers


def displaced_pairs(n: int, key: int, beams: Beams, *, mode: str, process: str, m_daughter: float) -> Events:
    """n candidates of ``mode`` with real displaced pairs of a hadronic ``process``, for daughters taken as ``m_daughter`` [GeV].

    Raises ``ValueError`` for an unknown mode or process.
    """
    listed = listed_candidates(mode, process, beams)
    listed = selected(listed, inside(listed, m_daughter, beams.sqrt_s))
    c = drawn(listed, n, make_key(key, "rows"))
    pair, points = new_pairs(c, beams, key)
    return _with_new_sides(c, pair, points, key, beams, m_daughter, slopes_of(mode, process, beams))


def _with_new_sides(c: Candidates, pair: tuple[Array, ...], points: Array, key: int, beams: Beams, m_daughter: float,
                    slopes: tuple[float, float]) -> Events:  # fmt: skip
    """Events of pairs, taken as daughters of ``m_daughter`` [GeV], with sides like those of the candidates."""
    taken = np.sum([with_mass(p, m_daughter) for p in pair], axis=0)
    side, factor = new_side(taken, mass(kaon_side(c)), beams.sqrt_s, slopes, make_key(key, "new side"))
    return _events(c, side, pair, points, c.weights * factor, beams, key)


def _events(c: Candidates, side: Array, pair: tuple[Array, ...], points: Array, weights: Array, beams: Beams,
            key: int) -> Events:  # fmt: skip
    """Events of sides (n, 4) that decay again and pairs, all in the centre of mass."""
    parts = (side,) if len(c.side) == 1 else decay_two_body(side, M_KAON, M_PION, make_key(key, "side"))
    true = [mass(p) for p in c.side]
    tracks = [*(with_mass(p, m) for p, m in zip(parts, true, strict=True)), *pair]
    names = [f"prong_{k + 1}" for k in range(len(tracks))]
    momenta = {name: to_lab(p, beams) for name, p in zip(names, tracks, strict=True)}
    species = {name: np.ascontiguousarray(c.kinds[:, k]) for k, name in enumerate(names)}
    return Events(momenta_lab=momenta | _rest(c.shape), weights=weights, species=species,
                  vertices_cm=dict.fromkeys(names[-2:], points))  # fmt: skip


def _rest(shape: Array) -> dict[str, Array]:
    """The slots that no detector sees: the rest of the event, and its shape."""
    return {REST: np.zeros((len(shape), 4)), EVENT_SHAPE: np.column_stack([shape, np.zeros((len(shape), 3))])}


def crossing(n: int, key: int, beams: Beams, *, mode: str, m_daughter: float) -> Events:
    """n candidates whose pair are tracks from the beam line that seem to cross elsewhere (:func:`.displaced.crossing_tracks`)."""
    c = prompt_candidates(n, make_key(key, "candidates"), beams, mode=mode, m_daughter=m_daughter)
    events = _with_new_sides(c, c.pair, c.points, key, beams, m_daughter, slopes_of(mode, "uds", beams))
    first, second = [name for name in events.momenta_lab if name.startswith("prong")][-2:]
    return crossing_tracks(events, first, second, make_key(key, "crossing"))


def converted_photons(n: int, key: int, beams: Beams, *, mode: str) -> Events:
    """n candidates whose pair is a photon that converts in the material of Belle II."""
    c = prompt_candidates(n, make_key(key, "candidates"), beams, mode=mode, m_daughter=None)
    side, factor = new_side(c.pair[0], mass(kaon_side(c)), beams.sqrt_s, slopes_of(mode, "uds", beams), make_key(key, "new side"))
    events = _events(c, side, (), np.zeros((n, 3)), c.weights * factor, beams, key)
    events = replace(events, momenta_lab={**events.momenta_lab, "gamma_1": to_lab(c.pair[0], beams)})
    made = convert(events, "gamma_1", make_key(key, "convert"))
    positive = (c.kinds[:, 0] > 0)[:, None]
    pair = [made.momenta_lab[name] for name in ("e-_1", "e+_1")]
    names = [f"prong_{len(c.side) + k}" for k in (1, 2)]
    momenta = {name: made.momenta_lab[name] for name in events.momenta_lab if name.startswith("prong")}
    momenta |= {names[0]: np.where(positive, *pair), names[1]: np.where(positive, *reversed(pair))}
    kinds = np.where(positive[:, 0], 11, -11).astype(np.int32)
    return Events(momenta_lab=momenta | _rest(c.shape), weights=made.weights,
                  species={**events.species, names[0]: kinds, names[1]: -kinds},
                  vertices_cm=dict.fromkeys(names, made.vertices_cm["e-_1"]))  # fmt: skip


def d_mesons(n: int, key: int, beams: Beams, *, mode: str) -> Events:
    """n decays B+ -> anti-D0 pi+ (the pion taken as the kaon) or B0 -> anti-D0 K*0 with anti-D0 -> K+ pi- far from the beams."""
    charged, numbers = mode == "kplus", load_numbers("mesons")
    signal, rest, point, weights = b_pairs(n, key, beams, charged)
    m_side = M_PION if charged else kstar_masses(n, make_key(key, "kstar mass"), M_D0)
    side, meson = decay_two_body(signal, m_side, M_D0, make_key(key, "b decay"))
    parts = (side,) if charged else decay_two_body(side, M_KAON, M_PION, make_key(key, "side"), alignment=1.0, about=signal)
    reach = CTAU_D0 / M_D0 * np.hypot(meson[:, 1], meson[:, 2])
    weights = weights * np.exp(-0.8 * LEAST_RADIUS / np.maximum(reach, 1e-9))
    start = point + meson[:, 1:] * (0.8 * LEAST_RADIUS / np.maximum(np.hypot(meson[:, 1], meson[:, 2]), 1e-9))[:, None]
    where = fly(meson, start, CTAU_D0, make_key(key, "flight"))
    kaon, pion = decay_two_body(meson, M_KAON, M_PION, make_key(key, "d decay"))
    tracks = [*parts, pion, kaon]
    kinds = [211] if charged else [321, -211]
    names = [f"prong_{k + 1}" for k in range(len(tracks))]
    species = {name: np.full(n, kind, dtype=np.int32) for name, kind in zip(names, [*kinds, -211, 321], strict=True)}
    rate = numbers["b_to_d0_pi_to_kpi"] if charged else numbers["b_to_d0_kstar0_to_kpi"]
    share = 1.0 if charged else float(numbers["kstar0_to_kplus_piminus"])
    points = {**dict.fromkeys(names[:-2], point), **dict.fromkeys(names[-2:], where)}
    return Events(momenta_lab=dict(zip(names, tracks, strict=True)) | {REST: rest}, weights=weights * float(rate) * share,
                  species=species, vertices_cm=points)  # fmt: skip


def charmonium(n: int, key: int, beams: Beams, *, mode: str, pair: str) -> Events:
    """n decays B -> K (K*0) J/psi or psi(2S) -> l+ l- (half each) whose vertex is measured far from the beams by mistake."""
    numbers, parts = load_numbers("mesons"), []
    for size, name, m in ((n - n // 2, "jpsi", M_JPSI), (n // 2, "psi2s", M_PSI2S)):
        events = generate_b_to_k_llp(size, make_key(key, name), beams, m, 1e-6, mode=mode, final_state=pair)
        crossed = crossing_tracks(events, events.visible[-2], events.visible[-1], make_key(key, name, "crossing"))
        rate = float(numbers[f"b_to_{name}_{mode}"]) * float(numbers[f"{name}_to_leptons"])
        parts.append(replace(crossed, weights=crossed.weights * rate))
    first, second = parts
    return Events(weights=np.concatenate([first.weights, second.weights]),
                  momenta_lab={k: np.concatenate([p, second.momenta_lab[k]]) for k, p in first.momenta_lab.items()},
                  vertices_cm={k: np.concatenate([p, second.vertices_cm[k]]) for k, p in first.vertices_cm.items()})  # fmt: skip


def b_backgrounds(mode: str, pair: str) -> tuple[Background, ...]:
    """The processes of a final state: ``mode`` "kplus" or "kstar0", ``pair`` "ee", "mumu", "pipi" or "kk"."""
    m = FINAL_STATES[pair][2]
    made = {name: partial(displaced_pairs, mode=mode, process=process, m_daughter=m)
            for name, process in (("displaced_light", "uds"), ("displaced_charm", "charm"), ("displaced_b", "bb"))}  # fmt: skip
    made["crossing_tracks"] = partial(crossing, mode=mode, m_daughter=m)
    made["b_to_d0"] = partial(d_mesons, mode=mode)
    if pair in ("ee", "pipi"):
        made["b_conversions"] = partial(converted_photons, mode=mode)
    if pair in ("ee", "mumu"):
        made["b_to_charmonium"] = partial(charmonium, mode=mode, pair=pair)
    numbers = load_numbers("backgrounds")
    lacks = "default tune of Pythia, kaon side drawn anew in phase space"
    return tuple(Background(name=name, generate=generate, cross_section=numbers[f"{name}_cross_section"],
                            relative_uncertainty=numbers[f"{name}_uncertainty"],
                            approximations="" if name.startswith("b_to") else lacks)
                 for name, generate in made.items())  # fmt: skip
