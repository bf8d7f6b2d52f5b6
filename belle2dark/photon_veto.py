"""What "a photon and nothing else" depends on: backgrounds against the angles of the veto and the gaps of the calorimeter.

Templates are made for a detector as it is. Here a detector is changed (:func:`with_veto_angles`, :func:`without_gaps`,
:meth:`belle2dark.detector.experiments.Detector.vary`) and the backgrounds are simulated again, a few seconds each:

    worse = recoil_spectrum(with_veto_angles(BELLE2, 16.0, 152.0), np.arange(0.0, 100.0, 4.0))
    worse.fb["ee_gamma"] / recoil_spectrum(BELLE2, worse.edges).fb["ee_gamma"]

Use it for studies; a search takes the template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from belle2dark.detector.experiments import Detector
from belle2dark.final_states.record import Columns, Mask
from belle2dark.final_states.single_photon import STATE
from belle2dark.simulation.backgrounds import SINGLE_PHOTON, Background
from belle2dark.simulation.events import Array
from belle2dark.simulation.rng import make_key


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecoilSpectrum:
    """Backgrounds against the squared recoil mass: ``edges`` ``(k + 1,)`` [GeV^2], and by process ``fb`` and its Monte Carlo
    ``error``, each ``(k,)`` [fb/GeV^2]."""

    edges: Array
    fb: Mapping[str, Array]
    error: Mapping[str, Array]


def everything(columns: Columns) -> Mask:
    """No selection."""
    return np.ones(len(columns["recoil_mass_squared"]), dtype=bool)


def recoil_spectrum(
    detector: Detector,
    edges: Array,
    processes: Iterable[Background] = SINGLE_PHOTON,
    keep: Callable[[Columns], Mask] = everything,
    n: int = 100_000,
    seed: int = 1,
) -> RecoilSpectrum:
    """Spectrum of ``n`` events per process in bins with these ``edges`` [GeV^2], after the loose selection and ``keep``.

    ``keep(columns)`` selects by the columns of the final state, among them ``klm_seen``. Raises ``ValueError`` for edges that
    do not increase or no events.
    """
    edges = np.asarray(edges, dtype=float)
    if len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise ValueError(f"edges = {edges} GeV^2: must be two or more, increasing")
    fb, error = {}, {}
    for process in processes:
        key = make_key(seed, "photon_veto", process.name)
        reco = STATE.reconstruct(process.generate(n, key, detector.beams), detector, key)
        weights = reco.weights * np.prod(list(reco.factors.values()), axis=0)
        weights = np.where(STATE.loose(reco.columns, detector) & keep(reco.columns), weights, 0.0)
        x = reco.columns["recoil_mass_squared"]
        fb[process.name] = np.histogram(x, edges, weights=weights)[0] / np.diff(edges)
        error[process.name] = np.sqrt(np.histogram(x, edges, weights=weights**2)[0]) / np.diff(edges)
    return RecoilSpectrum(edges=edges, fb=fb, error=error)


def with_veto_angles(detector: Detector, forward: float, backward: float) -> Detector:
    """The detector with calorimeter and tracker from ``forward`` to ``backward`` [deg, lab] at most.

    Raises ``ValueError`` for angles outside the forward and backward parts of its calorimeter.
    """
    tracker = detector.numbers["cdc_theta"].values
    ends = {part: detector.numbers[f"ecl_{part}_theta"].values for part in ("forward", "barrel", "backward")}
    last = "backward" if ends["backward"][1] > ends["backward"][0] else "barrel"
    if not (ends["forward"][0] <= forward < ends["forward"][1] and ends[last][0] < backward <= ends[last][1]):
        raise ValueError(f"forward = {forward}, backward = {backward} deg: allowed {ends['forward'][0]} to "
                         f"{ends['forward'][1]} and {ends[last][0]} to {ends[last][1]}")  # fmt: skip
    changed = {"ecl_forward_theta": (forward, ends["forward"][1]), f"ecl_{last}_theta": (ends[last][0], backward),
               "cdc_theta": (max(tracker[0], forward), min(tracker[1], backward))}  # fmt: skip
    if last == "barrel":
        changed["ecl_backward_theta"] = (backward, backward)
    return detector.vary(**changed)


def without_gaps(detector: Detector) -> Detector:
    """The detector with its barrel calorimeter extended to the end caps, no cracks, and nothing lost at the edges of parts."""
    forward, backward = (detector.numbers[f"ecl_{part}_theta"].values for part in ("forward", "backward"))
    return detector.vary(ecl_barrel_theta=(forward[1], backward[0]), crack_inefficiency=0.0, photon_veto_edge_inefficiency=0.0)
