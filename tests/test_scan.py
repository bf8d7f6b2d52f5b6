"""Scans, their files, observed events and the whole plane of windows."""

import numpy as np
import pandas as pd
import pytest

from belle2dark.observed import pseudo_data, read_events
from belle2dark.plane import plane, windows
from belle2dark.point import point
from belle2dark.scan import LimitCurve, parse_axis, scan
from belle2dark.search import load_search

SEARCH = load_search("dark_higgsstrahlung")
AXES = {"m_aprime": [5.0, 7.0, 9.0], "m_hprime": [0.5, 3.0]}


@pytest.fixture(scope="module")
def curve():
    return scan(SEARCH, AXES, n_events=4000)


@pytest.fixture(scope="module")
def hypotheses():
    return windows(SEARCH, n_events=4000)


def test_scan_equals_its_points_in_any_order_and_with_workers(curve):
    backwards = scan(SEARCH, {"m_hprime": [3.0, 0.5], "m_aprime": [9.0, 7.0, 5.0]}, n_events=4000, workers=2)
    key = ["m_aprime", "m_hprime"]
    a, b = (c.frame.sort_values(key).reset_index(drop=True)[sorted(curve.frame)] for c in (curve, backwards))
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    single = point(SEARCH, {"m_aprime": 7.0, "m_hprime": 0.5}, n_events=4000)
    row = a[(a.m_aprime == 7.0) & (a.m_hprime == 0.5)].iloc[0]
    assert row.limit_median == single.limit[2]


def test_closed_points_stay_in_the_table_with_their_reason(curve):
    closed = curve.frame[(curve.frame.m_aprime == 9.0) & (curve.frame.m_hprime == 3.0)].iloc[0]
    assert np.isnan(closed.limit_median)
    assert "closed" in closed.reason


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_files_read_back_as_written(curve, tmp_path, suffix):
    file = curve.write(tmp_path / f"curve{suffix}")
    back = LimitCurve.read(file)
    assert back.about == curve.about
    pd.testing.assert_frame_equal(back.frame, curve.frame, check_dtype=False, rtol=1e-14)
    assert file.stat().st_mode & 0o044  # not for the owner alone
    assert not [f for f in tmp_path.iterdir() if f != file]  # no temporary file is left


def test_unknown_suffix_is_refused(curve, tmp_path):
    with pytest.raises(ValueError, match=r"allowed: \.csv"):
        curve.write(tmp_path / "curve.xlsx")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m=1,2", ("m", ("1", "2"))),
        ("m=1:3:3", ("m", (1.0, 2.0, 3.0))),
        ("m=1:100:3:log", ("m", (1.0, 10.0, 100.0))),
        ("mode=emu", ("mode", ("emu",))),
    ],
)
def test_axes_parse(text, expected):
    name, values = parse_axis(text)
    assert name == expected[0]
    assert values == pytest.approx(expected[1]) if isinstance(expected[1][0], float) else values == expected[1]


@pytest.mark.parametrize(
    "text", ["m", "=1", "m=", "m=1:2", "m=1:2:0", "m=0:2:3:log", "m=1:2:3:lin", "m=a:2:3", "m=1:2:100000000000"]
)
def test_bad_axes_say_what_is_expected(text):
    with pytest.raises(ValueError, match="expected"):
        parse_axis(text)


def test_user_events_from_every_kind_of_file(tmp_path):
    uproot = pytest.importorskip("uproot")
    m, recoil = np.array([6.0, 6.5]), np.array([1.0, -0.5])
    frame = pd.DataFrame({"M_mumu": m, "M_recoil": recoil})
    frame.to_csv(tmp_path / "e.csv", index=False)
    frame.to_parquet(tmp_path / "e.parquet")
    with uproot.recreate(tmp_path / "e.root") as file:
        file["tree"] = {"M_mumu": m, "M_recoil": recoil}
    for kind in ("csv", "parquet", "root"):
        x, y = read_events(tmp_path / f"e.{kind}", SEARCH)
        assert x == pytest.approx(m)
        assert y == pytest.approx([1.0, -0.25])  # a negative recoil mass stands for a negative square


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("M_mumu,x\n6,1\n", "no column M_recoil.*columns found: M_mumu, x"),
        ("M_mumu,M_recoil\n6,nan\n", "not finite"),
        ("M_mumu,M_recoil\n6,a\n", "text"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, message):
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_events(file, SEARCH)
    with pytest.raises(ValueError, match="no file"):
        read_events(tmp_path / "missing.csv", SEARCH)


def test_pseudo_data_hold_background_and_injected_signal():
    values = {"m_aprime": 7.0, "m_hprime": 1.5, "epsilon": 1e-3, "alpha_d": 0.5}
    answer = point(SEARCH, values)
    plain, with_signal = (pseudo_data(SEARCH, values, strength, seed=7) for strength in (0.0, 1.0))
    n = point(SEARCH, values, observed=with_signal).counting.n_observed
    assert n == pytest.approx(answer.signal_events + answer.background_events, abs=5 * np.sqrt(answer.signal_events + 1))
    assert len(with_signal[0]) > len(plain[0])
    with pytest.raises(ValueError, match="strength"):
        pseudo_data(SEARCH, values, -1.0)


def test_plane_has_the_published_number_of_windows(hypotheses):
    """9,011 were published. The step was chosen to have about as many, so this only guards against drifting widths."""
    assert len(hypotheses) == pytest.approx(9011, rel=0.15)
    assert (hypotheses.masses[:, 1] < hypotheses.masses[:, 0]).all()


def test_plane_agrees_with_its_points(hypotheses):
    frame = plane(SEARCH, where=hypotheses).frame
    # near threshold the efficiency falls to nothing within 100 MeV, which nodes follow only roughly
    rows = frame[(frame.m_aprime > 5) & (frame.m_aprime < 9) & (frame.efficiency > 0.09)].iloc[::400]
    for _, row in rows.iterrows():
        answer = point(SEARCH, {"m_aprime": row.m_aprime, "m_hprime": row.m_hprime})
        # the plane interpolates efficiency and widths between nodes simulated with a tenth of the events
        assert row.efficiency == pytest.approx(answer.efficiency, rel=0.10)


def test_injected_signal_is_found_where_it_was_put(hypotheses):
    values = {"m_aprime": 7.0, "m_hprime": 1.5, "epsilon": 1e-3, "alpha_d": 0.5}
    frame = plane(SEARCH, where=hypotheses, observed=pseudo_data(SEARCH, values, 1.0, seed=3)).frame
    best = frame.loc[frame.p_value.idxmin()]
    assert best.m_aprime == pytest.approx(7.0, abs=0.06)
    assert best.m_hprime == pytest.approx(1.5, abs=0.2)
    assert best.p_value < 1e-6
