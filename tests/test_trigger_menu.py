"""L1 lines and menus: the logic of every line, patterns, prescales, periods, lines of one's own."""

import numpy as np
import pytest

from belle2dark.detector.experiments import BELLE2
from belle2dark.recipes import RECIPES
from belle2dark.templates import build, load_template
from belle2dark.trigger.menu import Line, Menu, load_menu
from belle2dark.trigger.objects import OBJECTS

MENU = load_menu()
BELLE2_LINES = MENU.names_of("Belle II")

#: what each line must see (one case that fires), and changes of it that must not fire
TWO, OPEN = {"tracks_2d": 2}, {"tracks_2d": 2, "open90": 1}
THREE = {"tracks_2d": 3}
TRUTH = {
    "fff": (THREE, [{"tracks_2d": 2}]),
    "ffy": ({**THREE, "tracks_nn": 1}, [{"tracks_nn": 0}, {"tracks_2d": 2}]),
    "fyy": ({**THREE, "tracks_nn": 2}, [{"tracks_nn": 1}]),
    "yyy": ({"tracks_nn": 3}, [{"tracks_nn": 2}]),
    "ffyo": ({**THREE, "tracks_nn": 1, "open90": 1}, [{"open90": 0}]),
    "ff": (TWO, [{"tracks_2d": 1}]),
    "ffo": (OPEN, [{"open90": 0}, {"tracks_2d": 1}]),
    "fy": ({**TWO, "tracks_nn": 1}, [{"tracks_nn": 0}]),
    "fyo": ({**OPEN, "tracks_nn": 1}, [{"tracks_nn": 0}, {"open90": 0}]),
    "yy": ({"tracks_nn": 2}, [{"tracks_nn": 1}]),
    "ff30": ({**TWO, "open30": 1}, [{"open30": 0}]),
    "fy30": ({**TWO, "open30": 1, "tracks_nn": 1}, [{"open30": 0}, {"tracks_nn": 0}]),
    "syo": ({"tracks_short": 1, "tracks_nn": 1, "open90_fs": 1}, [{"tracks_short": 0}, {"tracks_nn": 0}, {"open90_fs": 0}]),
    "fso": ({"tracks_short": 1, "tracks_2d": 1, "open90_fs": 1}, [{"tracks_2d": 0}, {"open90_fs": 0}]),
    "sso": ({"tracks_short": 2, "open90_ss": 1}, [{"open90_ss": 0}, {"tracks_short": 1}]),
    "bffo": (OPEN, [{"open90": 0}]),
    "cdcbb": ({**TWO, "back_to_back": 1}, [{"back_to_back": 0}]),
    "stt": ({"single_nn": 1}, [{"single_nn": 0}]),
    "sttecl": ({"single_nn": 1, "cdcecl": 1}, [{"cdcecl": 0}]),
    "fp": ({"tracks_2d": 1, "track_cluster": 1}, [{"tracks_2d": 2}, {"track_cluster": 0}]),
    "yp": ({"tracks_nn": 1, "track_cluster": 1}, [{"tracks_nn": 2}, {"tracks_nn": 0}]),
    "hie": ({"ehigh": 1}, [{"ehigh": 0}]),
    "lowe": ({"elow": 1}, [{"elow": 0}]),
    "lume": ({"elum": 1}, [{"elum": 0}]),
    "hade": ({"elum": 1}, [{"elum": 0}]),
    "bhie": ({"ehigh": 1}, [{"ehigh": 0}]),
    "c2": ({"clusters": 2}, [{"clusters": 1}]),
    "c3": ({"clusters": 3}, [{"clusters": 2}]),
    "c4": ({"clusters": 4}, [{"clusters": 3}]),
    "cdcklm1": ({"cdcklm": 1}, [{"cdcklm": 0}, {"cdcklm": 2}]),
    "cdcklm2": ({"cdcklm": 2}, [{"cdcklm": 1}]),
    "mu_b2b": ({"klm_back_to_back": 1}, [{"klm_back_to_back": 0}]),
    "mu_pair": ({"klm": 1, "tracks_2d": 2}, [{"klm": 0}, {"tracks_2d": 1}]),
    "klm2": ({"klm": 2}, [{"klm": 1}]),
    "eklm2": ({"eklm": 2}, [{"eklm": 1}]),
    "beklm": ({"klm": 1, "eklm": 1}, [{"klm": 2}, {"eklm": 2}, {"klm": 0}]),
    "seklm1": ({"seklm": 1}, [{"seklm": 0}, {"seklm": 2}]),
    "eclmumu": ({"ecl_mumu": 1}, [{"ecl_mumu": 0}]),
    "bha3d": ({"bhabha": 1}, [{"bhabha": 0}]),
    "lml0": ({"clusters": 3, "lab300": 1}, [{"clusters": 2}, {"lab300": 0}]),
    "lml1": ({"cms2_4_14": 1}, [{"cms2_4_14": 0}]),
    "lml2": ({"cms2_2_3_15_16": 1}, [{"cms2_2_3_15_16": 0}]),
    "lml3": ({"cms2_2_3_15_16": 1, "bhabha": 1}, [{"bhabha": 0}]),
    "lml4": ({"cms2_1_17": 1}, [{"cms2_1_17": 0}]),
    "lml5": ({"cms2_1_17": 1, "bhabha": 1}, [{"bhabha": 0}]),
    "lml6": ({"cms1_4_15": 1, "lab300": 1}, [{"cms1_4_15": 2}, {"lab300": 2}, {"cms1_4_15": 0}]),
    "lml7": ({"cms1_2_3_16": 1, "lab300": 1}, [{"cms1_2_3_16": 2}, {"lab300": 2}, {"cms1_2_3_16": 0}]),
    "lml8": ({"pairs_high": 1}, [{"cms2": 1}, {"pairs_high": 0}]),
    "lml9": ({"pairs_low": 1}, [{"cms2": 1}, {"pairs_low": 0}]),
    "lml10": ({"pairs_3d": 1}, [{"cms2": 1}, {"pairs_3d": 0}]),
    "lml11": ({"clusters": 1}, [{"cms2": 1}]),
    "lml12": ({"clusters_2_16": 3, "lab500_2_16": 1}, [{"clusters_2_16": 2}, {"lab500_2_16": 0}]),
    "lml13": ({"cms05_6_11": 1, "lab300": 1}, [{"cms05_6_11": 2}, {"lab300": 2}, {"cms05_6_11": 0}]),
    "bb": ({"b_mesons": 1}, [{"b_mesons": 0}]),
    "dv": ({"displaced_vertex": 1}, [{"displaced_vertex": 0}]),
}
#: lines that Bhabha events may fire (menu 0036: no bha_veto in their logic)
UNVETOED = {"fff", "ffy", "fyy", "yyy", "ffyo", "bffo", "lume", "bhie", "mu_b2b", "mu_pair", "bha3d", "lml1", "lml3", "lml5",
            "lml6", "lml7", "lml8", "lml9", "lml10", "lml11", "lml13", "bb"}  # fmt: skip


def objects(**values):
    """One event: these objects, all others 0."""
    return {name: np.array([values.get(name, 0)], dtype=np.int8) for name in OBJECTS}


@pytest.mark.parametrize("name", BELLE2_LINES)
def test_logic_of_every_line(name):
    fires, changes = TRUTH[name]
    line = MENU[name]
    assert line.fires(objects(**fires))[0]
    for change in changes:
        assert not line.fires(objects(**{**fires, **change}))[0], change
    assert line.fires(objects(**{**fires, "bhabha": 1}))[0] == (name in UNVETOED)
    assert line.source.startswith("choice" if name == "dv" else "basf2")


def test_every_line_asked_for_is_there():
    assert set(TRUTH) == set(BELLE2_LINES) and MENU.names[: len(BELLE2_LINES)] == BELLE2_LINES
    assert {f"lml{k}" for k in range(14)} <= set(MENU.names)


def test_pattern_has_a_bit_per_line():
    for k, name in enumerate(BELLE2_LINES):
        fires = TRUTH[name][0]
        bits = MENU.evaluate(objects(**fires))
        assert bits.dtype == np.uint64 and int(bits[0]) >> k & 1
        lines = enumerate(MENU[name] for name in MENU.names_of("Belle II"))
        assert int(bits[0]) == sum(1 << j for j, line in lines if line.fires(objects(**fires))[0])


def test_patterns_of_many_events_are_those_of_each():
    rng = np.random.default_rng(1)
    many = {name: rng.integers(0, 3, 40_000).astype(np.int8) for name in OBJECTS}  # more than one piece
    bits = MENU.evaluate(many)
    for i in (0, 16_383, 16_384, 39_999):
        assert bits[i] == MENU.evaluate({name: v[i : i + 1] for name, v in many.items()})[0]


def test_single_muon_lines_together_do_not_depend_on_exactly_one():
    """Whether cdcklm1 is "exactly" or "at least one" match makes no difference to the two lines together."""
    bits = MENU.evaluate({**objects(), "cdcklm": np.array([0, 1, 2, 3], dtype=np.int8)} | {
        name: np.zeros(4, dtype=np.int8) for name in OBJECTS if name != "cdcklm"})  # fmt: skip
    assert MENU.fired(bits, ["cdcklm1", "cdcklm2"]).tolist() == [False, True, True, True]


def test_lines_together_keep_at_least_what_each_keeps():
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2**54, 2000, dtype=np.uint64) & rng.integers(0, 2**54, 2000, dtype=np.uint64)
    menu = MENU.with_prescales({"fff": 3.0, "hie": 1.5})
    single = [menu.keep_probability(bits, [name]).sum() for name in menu.names]
    everything = menu.keep_probability(bits, menu.names)
    assert max(single) <= everything.sum() <= sum(single) and everything.max() <= 1.0
    assert not menu.keep_probability(bits, []).any()


def test_prescale_and_efficiency_are_independent_chances():
    line = Line(name="a", title="", at_least={"tracks_2d": 1}, prescale=4, efficiency=0.8, source="choice")
    other = Line(name="b", title="", at_least={"tracks_2d": 1}, prescale=2, source="choice")
    sure = Line(name="c", title="", at_least={"tracks_2d": 2}, source="choice")
    menu = Menu(lines=(line, other, sure))
    bits = menu.evaluate({"tracks_2d": np.array([1, 0, 2], dtype=np.int8)})
    assert menu.keep_probability(bits, ["a"]) == pytest.approx([0.2, 0.0, 0.2])
    assert menu.keep_probability(bits, ["a", "b"]) == pytest.approx([1 - 0.8 * 0.5, 0.0, 1 - 0.8 * 0.5])
    assert menu.keep_probability(bits, ["a", "c"]) == pytest.approx([0.2, 0.0, 1.0])
    assert menu.with_prescales({"a": 1})["a"].prescale == 1


def test_a_line_of_ones_own():
    def quiet_track(found):
        return (found["tracks_2d"] == 1) & (found["clusters"] <= 1)

    menu = MENU.with_line("quiet", quiet_track, prescale=2.0)
    assert menu.names == (*MENU.names, "quiet") and "quiet" not in MENU.names
    bits = menu.evaluate(objects(tracks_2d=1))
    assert menu.keep_probability(bits, ["quiet"]) == pytest.approx([0.5])
    assert not menu.fired(menu.evaluate(objects(tracks_2d=1, clusters=2)), ["quiet"])[0]
    # bits of the other lines stay where they are, and it is there for any experiment
    assert all(menu.fired(menu.evaluate(objects(tracks_2d=1, experiment=k)), ["quiet"])[0] for k in range(3))
    assert (bits[0] & np.uint64(2 ** menu.bit["quiet"] - 1)) == MENU.evaluate(objects(tracks_2d=1))[0]


def test_periods_hold_known_lines_and_only_ever_grow():
    runs = [MENU.of_period(name) for name in ("phase2_2018", "phase3_2019", "phase3_2020", "phase3_2021")]
    assert runs[-1].names == BELLE2_LINES
    for line in ("ffo", "hie", "lml6"):
        assert all(line in run.names for run in runs)
    assert "cdcklm1" not in runs[1].names and "cdcklm1" in runs[2].names, "single-muon lines from 2020 (talk)"
    assert "stt" not in runs[2].names, "neural tracks come last"
    assert runs[0]["lml7"].prescale == 1 and runs[1]["lml7"].prescale == 5, "15th of the lists for phase 2 and phase 3"
    assert runs[0]["bha3d"].prescale == 100 and runs[0]["lml4"].prescale == 10 and runs[0]["lml2"].prescale == 1
    assert all(period.confidence == "choice" and period.note for period in MENU.periods.values())


def test_patterns_of_older_files_are_translated_by_name():
    """Four lines in an order of their own, in 8 bits, as the first template file has them."""
    names = ("hie", "ffo", "stt")
    old = np.array([0b001, 0b010, 0b110], dtype=np.uint8)
    new = MENU.translate(old, names)
    for k, fired in enumerate((["hie"], ["ffo"], ["ffo", "stt"])):
        assert [n for n in BELLE2_LINES if MENU.fired(new[k : k + 1], [n])[0]] == fired
    assert np.array_equal(MENU.translate(new, MENU.names_of("Belle II")), new)
    # a line of another experiment has no bit in these events
    assert not MENU.translate(old, ("belle_energy", "ffo", "bb_babar"))[0] and MENU.translate(old, ("hie",), "Belle")[0] == 0
    with pytest.raises(ValueError, match="unknown L1 line 'hi'"):
        MENU.translate(old, ("hi", "ffo", "stt"))


def test_template_knows_its_lines():
    shipped = load_template("dimuon_missing", BELLE2)
    assert shipped.bits.dtype == np.uint64 and len(shipped.bits) == len(shipped)
    for name in ("ffo", "cdcklm1", "cdcklm2"):
        assert name in shipped.lines and 0.05 < MENU.fired(shipped.bits, [name]).mean() < 0.95
    made = build(RECIPES["dimuon_missing"], BELLE2, scale=2e-4)
    patterns = made["patterns"][made["bits"]]
    assert f'"lines": ["{MENU.names[0]}", "{MENU.names[1]}"' in made["about"] and len(patterns) == len(made["weights"])
    assert (
        MENU.fired(patterns, ["ffo"]).any() and not (MENU.fired(patterns, ["cdcklm1"]) & MENU.fired(patterns, ["cdcklm2"])).any()
    )


def test_bad_lines_are_refused():
    with pytest.raises(ValueError, match="nearest: cdcklm2"):
        MENU.check(["cdcklm"])
    with pytest.raises(ValueError, match="nearest: phase2_2018"):
        MENU.of_period("phase2_218")
    with pytest.raises(ValueError, match="unknown object 'track_2d'; nearest: tracks_2d"):
        Line(name="x", title="", at_least={"track_2d": 1}, source="choice")
    with pytest.raises(ValueError, match="prescale"):
        Line(name="x", title="", at_least={"tracks_2d": 1}, prescale=0.5, source="choice")
    with pytest.raises(ValueError, match="no condition"):
        Line(name="x", title="", source="choice")
    with pytest.raises(ValueError, match="returned int8"):
        MENU.with_line("x", lambda found: found["clusters"]).evaluate(objects())
    with pytest.raises(ValueError, match="asked for 'cluster'; nearest object: clusters"):
        MENU.with_line("x", lambda found: found["cluster"] > 0).evaluate(objects())
    with pytest.raises(ValueError, match="named twice: ffo"):
        MENU.with_line("ffo", lambda found: found["clusters"] > 0)
    with pytest.raises(ValueError, match="at most 64"):
        Menu(lines=tuple(Line(name=f"l{k}", title="", at_least={"clusters": 1}, source="choice") for k in range(65)))


def test_pages_offer_the_lines_of_their_final_state():
    names = [line.name for line in MENU.offered("dimuon_missing", ("fff",))]
    assert set(names) == {*MENU.selections["dimuon_missing"], "fff"} & set(BELLE2_LINES)
    assert names == sorted(names, key=MENU.names.index)
    assert tuple(line.name for line in MENU.offered("something_new")) == BELLE2_LINES
