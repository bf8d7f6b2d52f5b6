"""How the background templates are made: one recipe per final state and experiment.

A recipe says which processes are generated, how many events of each, and how many are kept per cell of the plane of masses;
:mod:`belle2dark.templates` follows it (``make templates``). A new final state gets a record here. Not here: what a final state
measures and its loose pre-selection (:mod:`belle2dark.final_states`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from belle2dark.detector.experiments import BABAR, BELLE, BELLE2, BELLE_2S, Detector
from belle2dark.final_states import final_state
from belle2dark.final_states.b_mesogenesis import short_name
from belle2dark.final_states.b_to_k_llp import STATES as B_TO_K_LLP
from belle2dark.simulation.backgrounds import (
    DIELECTRON_PHOTON,
    DIMUON_MISSING,
    DIMUON_PHOTON,
    EE_GAMMA_LOST,
    EMU_MISSING,
    FOUR_MUONS_ALL,
    SINGLE_PHOTON,
    TAU_1X3,
    THREE_PHOTONS,
    Background,
)
from belle2dark.simulation.backgrounds_b import b_backgrounds
from belle2dark.simulation.backgrounds_b_invisible import KPLUS, KSTAR0
from belle2dark.simulation.backgrounds_displaced import DARK_HIGGS_DISPLACED, DISPLACED_PHOTON
from belle2dark.simulation.backgrounds_mesogenesis import processes
from belle2dark.simulation.backgrounds_six_tracks import SIX_TRACKS
from belle2dark.simulation.backgrounds_tautau_dilepton import TAUTAU_DILEPTON
from belle2dark.simulation.backgrounds_upsilon import UPSILON_DIMUON, UPSILON_DITAU
from belle2dark.simulation.ditau_backgrounds import DITAU


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the template of the final state ``name`` is made: processes, events generated per process, events kept per cell.

    Cells where searches look (``FinalState.dense``) keep ``per_cell`` events, those of rare events (``FinalState.rare``)
    ``per_rare_cell``, the others ``per_other_cell``. With ``even`` a cell keeps its rate to less than one event. Momenta are
    stored as multiples of ``coarse`` steps, which makes files smaller where the resolution allows it.
    """

    name: str
    processes: tuple[Background, ...]
    events: Mapping[str, int]
    per_cell: Mapping[str, float]
    per_other_cell: float
    per_rare_cell: float = 0.0
    even: bool = False
    coarse: int = 1
    chunk: int = 1_000_000
    detector: Detector = BELLE2

    @property
    def file(self) -> str:
        """Name of the shipped file."""
        experiment = self.detector.name.lower().replace(" ", "")
        return f"template_{self.name}.npz" if self.detector.name == BELLE2.name else f"template_{self.name}_{experiment}.npz"


def _four_muons(detector: Detector, dense: float, rare: float) -> Recipe:
    """Four muons: pairs for every window of a fine scan, ``dense`` and ``rare`` per cell that the network rejects and keeps."""
    return Recipe(
        name="four_muons",
        processes=FOUR_MUONS_ALL,
        events={"four_muons": 2_000_000, "mumu_onium": 8_000, "mumu_pipi": 100_000},
        per_cell={"four_muons": dense, "mumu_onium": 12, "mumu_pipi": 4},
        per_rare_cell=rare,
        per_other_cell=1,
        even=True,
        chunk=200_000,
        detector=detector,
    )


def _dimuon_photon(detector: Detector, dense: float, rare: float) -> Recipe:
    """Two muons and a photon: ``dense`` per cell where nothing is missing, ``rare`` where something is (control samples)."""
    return Recipe(
        name="dimuon_photon",
        processes=DIMUON_PHOTON,
        events={"mumu_gamma": 6_000_000, "tautau": 1_000_000, "eemumu": 1_000_000},
        per_cell={"mumu_gamma": dense, "tautau": 4, "eemumu": 4},
        per_rare_cell=rare,
        per_other_cell=0.2 * rare,
        chunk=200_000,
        detector=detector,
    )


def _dielectron_photon(detector: Detector) -> Recipe:
    """Two electrons and a photon: pairs for every window of a fine scan."""
    return Recipe(
        name="dielectron_photon",
        processes=DIELECTRON_PHOTON,
        events={"ee_gamma": 6_000_000, "gamma_gamma_converted": 400_000},
        per_cell={"ee_gamma": 60, "gamma_gamma_converted": 40},
        per_rare_cell=2,
        per_other_cell=1,
        chunk=200_000,
        detector=detector,
    )


def _b_to_k_invisible(name: str, processes: tuple[Background, ...], few: float) -> Recipe:
    """A kaon or K*0 opposite to a tag: each decay of the list is seen four times, about ``few`` stay per bin of q^2."""
    return Recipe(
        name=name,
        processes=processes,
        events={"b_decays": 40_000, "wrong_tags": 40_000, "neutrinos": 20_000},
        per_cell={"b_decays": 3 * few, "wrong_tags": few, "neutrinos": few},
        per_other_cell=0.3 * few,
        even=True,
        chunk=60_000,
    )


def _tautau_dilepton(detector: Detector) -> Recipe:
    """Two leptons and two tracks: most of what is kept has passed the network."""
    return Recipe(
        name="tautau_dilepton",
        processes=TAUTAU_DILEPTON,
        events={
            "tautau_1x3": 450_000,
            "tautau_dalitz": 100_000,
            "tautau_ee": 120_000,
            "mumutautau": 60_000,
            "bhabha_ee": 800_000,
            "bhabha_mumu": 600_000,
            "mumu_ee": 80_000,
            "four_muons": 50_000,
            "eemumu_wide": 60_000,
            "hadrons_four": 240_000,
            "hadrons_dalitz": 60_000,
        },
        per_cell=dict.fromkeys((process.name for process in TAUTAU_DILEPTON), 5),
        per_other_cell=0.5,
        per_rare_cell=30,
        chunk=200_000,
        detector=detector,
    )


def _six_tracks(detector: Detector) -> Recipe:
    """Three pairs of equal mass: most of what is kept has a pair of leptons."""
    return Recipe(
        name="six_tracks",
        processes=SIX_TRACKS,
        events={"hadrons_six": 1_800_000, "hadrons_pairs": 60_000, "four_muons": 400_000, "mumutautau": 60_000},
        per_cell={"hadrons_six": 13, "hadrons_pairs": 0.7, "four_muons": 1.5, "mumutautau": 0.7},
        per_other_cell=2.5,
        per_rare_cell=5,
        coarse=4,
        chunk=100_000,
        detector=detector,
    )


def _single_photon(detector: Detector, share: float) -> Recipe:
    """A photon and nothing else; ``share`` scales the events kept per cell."""
    dense = {"ee_gamma": 6, "gamma_gamma": 6, "nunu_gamma": 1, "cosmic_photon": 1}
    return Recipe(
        name="single_photon",
        processes=SINGLE_PHOTON,
        events={"ee_gamma": 12_000_000, "gamma_gamma": 12_000_000, "nunu_gamma": 50_000, "cosmic_photon": 40_000},
        per_cell={name: share * n for name, n in dense.items()},
        per_rare_cell=12 * share,
        per_other_cell=2 * share,
        chunk=200_000,
        detector=detector,
    )


def _mesogenesis(detector: Detector) -> dict[str, Recipe]:
    """A baryon opposite to a tag: single B decays from a list, which is used some ten times over."""
    dense = {"proton": 130, "lambda": 60, "lambda_c": 80, "lambda_c_pi": 25}
    return {
        f"b_to_{baryon}": Recipe(
            name=f"b_to_{baryon}",
            processes=processes(baryon, short_name(detector)),
            events={"b_decays": 500_000, "wrong_tags": 150_000, "list_floor": 60_000},
            per_cell={"b_decays": kept, "wrong_tags": 0.7 * kept, "list_floor": 25},
            per_other_cell=6,
            even=True,
            coarse=2,
            chunk=50_000,
            detector=detector,
        )
        for baryon, kept in dense.items()
    }


def _b_to_k_llp() -> dict[str, Recipe]:
    """A kaon side and a displaced pair: most of what is kept is in the box of a B and outside the vetoes."""
    events = {"displaced_light": 500_000, "displaced_charm": 1_000_000, "displaced_b": 80_000, "crossing_tracks": 80_000,
              "b_to_d0": 60_000, "b_conversions": 300_000, "b_to_charmonium": 20_000}  # fmt: skip
    # few are identified as muons, and few photons look like heavy pairs
    more = {"mumu": {"displaced_charm": 2_000_000}, "ee": {"b_conversions": 1_000_000}}
    dense = {"displaced_charm": 32.0, "displaced_b": 14.0, "crossing_tracks": 12.0, "b_to_charmonium": 36.0}
    recipes = {}
    for state in B_TO_K_LLP:
        _, mode, pair = state.name.split("_")
        processes = b_backgrounds(mode, pair)
        made = events | more.get(pair, {})
        recipes[state.name] = Recipe(
            name=state.name,
            processes=processes,
            events={process.name: made[process.name] for process in processes},
            per_cell={process.name: dense.get(process.name, 26.0) for process in processes},
            per_rare_cell=8,
            per_other_cell=2,
            even=True,
            coarse=2 if pair == "ee" else 4,
            chunk=200_000,
        )
    return recipes


RECIPES = {
    **_b_to_k_llp(),
    "six_tracks": _six_tracks(BELLE2),
    "b_to_k_missing": _b_to_k_invisible("b_to_k_missing", KPLUS, 150),
    "b_to_kstar_missing": _b_to_k_invisible("b_to_kstar_missing", KSTAR0, 150),
    "tautau_dilepton": _tautau_dilepton(BELLE2),
    "ditau": Recipe(
        name="ditau",
        processes=DITAU,
        events={
            "hadrons": 1_000_000,
            "tautau_inclusive": 1_800_000,
            "eemumu": 400_000,
            "four_muons": 400_000,
            "mumutautau": 160_000,
            "eetautau": 400_000,
        },
        per_cell={"hadrons": 40, "tautau_inclusive": 44, "eemumu": 6, "four_muons": 6, "mumutautau": 6, "eetautau": 6},
        per_other_cell=24,
        per_rare_cell=64,
        chunk=200_000,
    ),
    "dimuon_missing": Recipe(
        name="dimuon_missing",
        processes=DIMUON_MISSING,
        events={"mumu_gamma": 150_000_000, "tautau": 20_000_000, "eemumu": 80_000_000},
        per_cell={"mumu_gamma": 120, "tautau": 138, "eemumu": 40},
        per_other_cell=4,
        per_rare_cell=42,
        even=True,
        coarse=4,
    ),
    "emu_missing": Recipe(
        name="emu_missing",
        processes=EMU_MISSING,
        events={
            "tautau": 20_000_000,
            "tautau_epi": 2_000_000,
            "eemumu": 12_000_000,
            "mumu_gamma": 1_000_000,
            "bhabha": 6_000_000,
        },
        per_cell={"tautau": 34, "tautau_epi": 6, "eemumu": 8, "mumu_gamma": 2, "bhabha": 6},
        per_rare_cell=700,
        per_other_cell=2,
        chunk=200_000,
    ),
    "dimuon_photon": _dimuon_photon(BELLE2, 45, 20),
    "dielectron_photon": _dielectron_photon(BELLE2),
    "three_photons": Recipe(
        name="three_photons",
        processes=(THREE_PHOTONS, EE_GAMMA_LOST),
        events={"three_photons": 24_000_000, "ee_gamma": 12_000_000},
        per_cell={"three_photons": 560, "ee_gamma": 90},
        per_rare_cell=1100,
        per_other_cell=50,
        chunk=200_000,
    ),
    "single_photon": _single_photon(BELLE2, 1.0),
    "tau_1x3": Recipe(
        name="tau_1x3",
        processes=TAU_1X3,
        events={"tautau_michel": 3_000_000, "tautau_line": 300_000, "tautau_hadrons": 500_000, "hadrons_low": 100_000},
        per_cell={"tautau_michel": 340, "tautau_line": 30, "tautau_hadrons": 10, "hadrons_low": 20},
        per_other_cell=2,
        even=True,
        chunk=200_000,
    ),
    "four_muons": _four_muons(BELLE2, 32, 24),
    "displaced_photon": Recipe(
        name="displaced_photon",
        processes=DISPLACED_PHOTON,
        events={
            "gamma_kshort": 500_000,
            "gamma_gamma_converted": 400_000,
            "ee_gamma": 400_000,
            "hadrons_low": 100_000,
            "tautau_prongs": 800_000,
            "tautau_crossing": 200_000,
            "hadrons_crossing": 100_000,
        },
        per_cell=dict.fromkeys((process.name for process in DISPLACED_PHOTON), 60),
        per_other_cell=12,
        per_rare_cell=100,
        chunk=100_000,
    ),
    "dark_higgs_displaced": Recipe(
        name="dark_higgs_displaced",
        processes=DARK_HIGGS_DISPLACED,
        events={
            "tautau_converted": 300_000,
            "mumu_gamma_converted": 300_000,
            "hadrons_converted": 300_000,
            "hadrons_low": 150_000,
        },
        per_cell=dict.fromkeys((process.name for process in DARK_HIGGS_DISPLACED), 20),
        per_other_cell=6,
        per_rare_cell=60,
        chunk=100_000,
    ),
    **_mesogenesis(BELLE2),
}


#: recipes of other experiments, by the name of the detector and of the final state
OTHER_RECIPES: Mapping[str, Mapping[str, Recipe]] = {
    BELLE.name: {
        "tautau_dilepton": _tautau_dilepton(BELLE),
        "dimuon_missing": Recipe(
            name="dimuon_missing",
            processes=DIMUON_MISSING,
            events={"mumu_gamma": 100_000_000, "tautau": 20_000_000, "eemumu": 80_000_000},
            per_cell={"mumu_gamma": 18, "tautau": 24, "eemumu": 5},
            per_rare_cell=26,
            per_other_cell=2,
            even=True,
            coarse=4,
            detector=BELLE,
        ),
        "four_muons": _four_muons(BELLE, 44, 12),
        "six_tracks": _six_tracks(BELLE),
        **_mesogenesis(BELLE),
        "upsilon_dimuon": Recipe(
            name="upsilon_dimuon",
            processes=UPSILON_DIMUON,
            events={"upsilon_mumu": 1_500_000},
            per_cell={"upsilon_mumu": 42},
            per_other_cell=2,
            even=True,
            chunk=100_000,
            detector=BELLE_2S,
        ),
        "upsilon_ditau": Recipe(
            name="upsilon_ditau",
            processes=UPSILON_DITAU,
            events={"upsilon_tautau": 4_000_000, "upsilon_mumu": 200_000, "upsilon_ee": 600_000},
            per_cell={"upsilon_tautau": 44, "upsilon_mumu": 3, "upsilon_ee": 12},
            per_other_cell=2,
            even=True,
            chunk=100_000,
            detector=BELLE_2S,
        ),
    },
    BABAR.name: {
        "four_muons": _four_muons(BABAR, 44, 12),
        "six_tracks": _six_tracks(BABAR),
        "tautau_dilepton": _tautau_dilepton(BABAR),
        "single_photon": _single_photon(BABAR, 0.5),
        "dimuon_photon": _dimuon_photon(BABAR, 60, 2),
        "dielectron_photon": _dielectron_photon(BABAR),
        **_mesogenesis(BABAR),
    },
}


def recipe_of(name: str, experiment: str = BELLE2.name) -> Recipe:
    """The recipe of the final state ``name`` for an experiment (a detector's name); ``ValueError`` if it has none."""
    final_state(name)
    known = {BELLE2.name: RECIPES, **OTHER_RECIPES}
    if name not in known.get(experiment, {}):
        having = ", ".join(other for other, recipes in known.items() if name in recipes)
        raise ValueError(f"no background template {name!r} for {experiment}; there is one for: {having or 'no experiment'}")
    return known[experiment][name]
