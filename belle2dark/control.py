"""Control samples: other final states in which the background processes of a search are seen.

A photon found instead of lost, an electron instead of a muon, electrons instead of muons beside a lost photon: selected like
the signal sample, network and L1 lines included, they say how well data alone would know a background.
:mod:`belle2dark.macro_regions` (two masses) and :mod:`belle2dark.mass_regions` (one) ask for them region by region.

Not included: extrapolation from control to signal sample (efficiency of the photon veto, of electron against muon), which an
analysis adds to the statistical error; e e gamma as a background template (its events are generated when asked for, with one
photon, without bremsstrahlung in the detector and without e e e e); experiments without templates of the other final states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_ELECTRON
from belle2dark.detector.dilepton import dilepton_columns
from belle2dark.detector.exclusive import Wanted, exclusive
from belle2dark.detector.experiments import Detector
from belle2dark.detector.observed import observe
from belle2dark.detector.response import Reconstruction
from belle2dark.final_states import final_state
from belle2dark.recipes import OTHER_RECIPES, RECIPES, recipe_of
from belle2dark.search import Dataset, Search
from belle2dark.selection import Columns, passes
from belle2dark.simulation.backgrounds import EE_GAMMA_WIDE, Background
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers
from belle2dark.templates import load_template
from belle2dark.trigger.menu import load_menu
from belle2dark.trigger.objects import l1_objects

Array = NDArray[np.float64]
#: final state of a search -> process -> the template it is measured with, and how that names the columns of the search's own
CONTROL: Mapping[str, Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "dimuon_missing": {
        "mumu_gamma": ("dimuon_photon", {}),
        "tautau": ("emu_missing", {"m_mumu": "m_emu", "pt_mumu_cms": "pt_emu_cms", "energy_minus_cms": "energy_electron_cms",
                                   "energy_plus_cms": "energy_muon_cms"}),
    },
}  # fmt: skip
#: events of the photon veto's sample made at a time
_CHUNK = 200_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlSample:
    """Events of a control sample: ``columns`` under the names of the search's own, ``process`` (n,) as an index of
    ``processes``, ``weights`` (n,) [fb] after L1 and selection; ``rate`` has the relative uncertainties of the processes."""

    name: str
    columns: Columns
    process: NDArray[np.integer[Any]]
    processes: tuple[str, ...]
    weights: Array
    rate: Mapping[str, float]


def controlled(search: Search, dataset: Dataset) -> tuple[str, ...]:
    """The background processes of ``search`` that have a control sample at the experiment of ``dataset``."""
    name = dataset.detector.name
    recipes = OTHER_RECIPES.get(name, RECIPES)
    return tuple(process for process, (template, _) in CONTROL.get(search.template, {}).items() if template in recipes)


@lru_cache(maxsize=8)
def control_sample(search: Search, dataset: Dataset, choices: tuple[Any, ...], lines: tuple[str, ...],
                   process: str) -> ControlSample:  # fmt: skip
    """The sample that measures ``process``, after the L1 ``lines`` and the selection of ``choices`` (of ``search.choices``).

    Raises ``ValueError`` for a process without one, see :func:`controlled`.
    """
    if process not in (known := controlled(search, dataset)):
        raise ValueError(f"process = {process!r} has no control sample for {search.name} at {dataset.detector.name}; "
                         f"known: {', '.join(known) or 'none'}")  # fmt: skip
    name, renamed = CONTROL[search.template][process]
    template = load_template(name, dataset.detector)
    own = [c for c in final_state(search.template).meanings if renamed.get(c, c) in template.columns]
    columns = {column: template.columns[renamed.get(column, column)] for column in own}
    keep = load_menu().keep_probability(template.bits, lines)
    cuts = search.cuts(dict(zip(search.choices, choices, strict=True)), dataset)
    return ControlSample(name=name, columns=columns, process=template.process, processes=template.processes,
                         weights=template.weights * keep * dataset.correction * passes(cuts, columns),
                         rate=rate_uncertainties(name, dataset))  # fmt: skip


def rate_uncertainties(template: str, dataset: Dataset) -> dict[str, float]:
    """Relative uncertainty of the rate of each process of a template."""
    processes: tuple[Background, ...] = recipe_of(template, dataset.detector.name).processes
    return {p.name: float(p.relative_uncertainty) for p in processes}


def measured(sample: ControlSample, events: Array, process: str) -> dict[str, Any]:
    """What ``events`` (expected, by process of ``sample``) say about ``process``.

    ``statistical`` is the relative error of its normalisation from the count alone, ``uncertainty`` that with the
    subtraction of the other processes, whose rates are uncertain; neither is more than 1.
    """
    own, total = float(events[sample.processes.index(process)]), float(events.sum())
    others = sum((sample.rate[n] * e) ** 2 for n, e in zip(sample.processes, events, strict=True) if n != process)
    errors = np.sqrt([total, total + others])
    statistical, uncertainty = np.minimum(errors / own, 1.0) if own > 0 else np.ones(2)
    return {
        "control": sample.name,
        "events": total,
        "purity": own / total if total > 0 else 0.0,
        "statistical": float(statistical),
        "uncertainty": float(uncertainty),
    }


def control_rows(region: str, expected: Mapping[str, float], seen: Mapping[str, tuple[ControlSample, Array]],
                 rate: Mapping[str, float]) -> list[dict[str, Any]]:  # fmt: skip
    """One row per process of a region: ``share`` of the ``expected`` events, what its control sample says, ``contribution``.

    ``seen`` has the sample of a process and its events in the region; without one a process is known as well as its ``rate``.
    """
    rows, total = [], sum(expected.values())
    for name, events in expected.items():
        share = events / total if total > 0 else 0.0
        nothing: dict[str, Any] = {"control": "", "events": 0.0, "purity": 0.0, "statistical": np.nan, "uncertainty": rate[name]}
        known = measured(*seen[name], name) if name in seen else nothing
        own = {"region": region, "process": name, "share": share}
        rows.append({**own, **known, "contribution": share * known["uncertainty"]})
    return rows


@lru_cache(maxsize=4)
def veto_sample(search: Search, dataset: Dataset, choices: tuple[Any, ...], lines: tuple[str, ...], n_events: int = 0,
                seed: int = 1) -> ControlSample:  # fmt: skip
    """e e gamma, selected like the muons: its ``processes`` are photons that were "found" and that were "lost".

    Electrons are identified; recoils closer to an electron than ``veto_isolation`` are left out. ``n_events`` 0 is the number
    in ``data/control.yaml``. Raises ``ValueError`` for a search of anything but two muons and nothing else, or n_events < 0.
    """
    if search.template != "dimuon_missing":
        raise ValueError(f"{search.name}: the photon veto's control sample is for searches with two muons and nothing else")
    if n_events < 0:
        raise ValueError(f"n_events = {n_events}: must not be negative")
    n = n_events or int(float(load_numbers("control")["veto_events"]))
    chunks = max(1, round(n / _CHUNK))
    cuts = search.cuts(dict(zip(search.choices, choices, strict=True)), dataset)
    x, parts = search.window.x, []
    for chunk in range(chunks):
        key = make_key(seed, search.name, "photon veto", str(chunk))
        for found, (columns, weights) in enumerate(_two_electrons(n // chunks, key, dataset.detector, lines)):
            kept = weights * passes(cuts, columns)
            use = kept > 0
            parts.append((columns[x][use], np.full(int(use.sum()), 1 - found), kept[use]))
    values, process, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return ControlSample(name="ee_gamma", columns={x: values}, process=process, processes=("found", "lost"),
                         weights=weights * dataset.correction / chunks,
                         rate=dict.fromkeys(("found", "lost"), float(EE_GAMMA_WIDE.relative_uncertainty)))  # fmt: skip


def _two_electrons(n: int, key: int, detector: Detector, lines: tuple[str, ...]) -> list[tuple[Columns, Array]]:
    """Columns and weights [fb] after L1 of e e gamma as two electrons, the photon lost or found."""
    events = EE_GAMMA_WIDE.generate(n, key, detector.beams)
    seen = observe(events, detector, key)
    keep = load_menu().keep_probability(load_menu().evaluate(l1_objects(events, detector, key)), lines)
    out = []
    for photons in (0, 1):
        wanted = Wanted(hypotheses=("electron", "electron"), charges=(-1, 1), photons=photons)
        reco = exclusive(seen, wanted, lambda t, *_: dilepton_columns(t, detector.beams, (M_ELECTRON,) * 2), detector.beams, key)
        weights = reco.weights * keep * _isolated(reco, detector)
        for factor in reco.factors.values():
            weights = weights * factor
        out.append((reco.columns, weights))
    return out


def _isolated(reco: Reconstruction, detector: Detector) -> NDArray[np.bool_]:
    """Whether the recoil is far from both tracks in the lab, (n,)."""
    tracks = reco.tracks_lab
    recoil = (detector.beams.nominal[1:] - tracks.sum(axis=1))[:, None, :]
    size = np.linalg.norm(tracks, axis=-1) * np.linalg.norm(recoil, axis=-1)
    cosine = (tracks * recoil).sum(axis=-1) / np.maximum(size, 1e-300)
    return np.asarray((cosine < np.cos(float(load_numbers("control")["veto_isolation"]))).all(axis=1))
