"""Exports: pyhf reads the workspaces and finds our limits; HEPData tables; nothing half-written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from belle2dark.export import CountingChannel, counting_workspace, hepdata_table, save, shape_workspace
from belle2dark.limits.background_shapes import Chebyshev, Exponential, Templates, columns
from belle2dark.limits.fit_model import Nuisance
from belle2dark.limits.mass_scan import mass_grid, scan
from belle2dark.limits.shape_limit import shape_limit
from belle2dark.limits.shapes import Gaussian, fractions

EDGES = np.linspace(0.0, 1.0, 21)
PEAK = Gaussian(mean=0.5, sigma=0.06)
BASIS = columns(Chebyshev(degree=2), EDGES)
DATA = np.random.default_rng(3).poisson(900 * BASIS[0] - 250 * BASIS[1] + 20 * fractions(PEAK, EDGES)).astype(float)


def pyhf_limit(document: dict[str, Any]) -> tuple[float, list[float]]:
    """Observed and expected asymptotic 90 % CLs limit on mu, by pyhf from the written document."""
    pyhf = pytest.importorskip("pyhf")
    from pyhf.infer.intervals.upper_limits import toms748_scan

    workspace = pyhf.Workspace(json.loads(json.dumps(document, allow_nan=False)))  # the schema is checked here
    model = workspace.model()
    observed, expected = toms748_scan(workspace.data(model), model, 0.05, 12.0, level=0.1, rtol=1e-4)
    return float(observed), [float(value) for value in expected]


def test_one_counting_window() -> None:
    """Against the shape code with one bin, itself the asymptotic limit."""
    channel = CountingChannel(name="window", observed=12, signal=5.0, backgrounds={"qed": 7.0, "tau": 3.0}, background_mc=0.1,
                              uncertainties={"efficiency": {"signal": 0.1}, "rate": {"qed": 0.2},
                                             "luminosity": {"signal": 0.05, "qed": 0.05, "tau": 0.05}})  # fmt: skip
    observed, expected = pyhf_limit(counting_workspace([channel]))
    background = Templates(contents=np.array([[7.0], [3.0]]), uncertainties=(0.2, 0.0), statistical=np.array([0.1]))
    nuisances = [Nuisance(name="efficiency", signal=0.1), Nuisance(name="luminosity", signal=0.05, background=0.05)]
    own = shape_limit([12], None, [5.0], background, nuisances=nuisances)
    assert own.observed == pytest.approx(observed, rel=1e-2)
    assert own.expected == pytest.approx(expected, rel=1e-2)


def test_two_channels_share_their_nuisances() -> None:
    both = {"efficiency": {"signal": 0.15}, "rate": {"qed": 0.3}}
    channels = [CountingChannel(name="a", observed=12, signal=5.0, backgrounds={"qed": 8.0}, uncertainties=both),
                CountingChannel(name="b", observed=3, signal=2.0, backgrounds={"qed": 4.0}, uncertainties=both)]  # fmt: skip
    observed, expected = pyhf_limit(counting_workspace(channels))
    background = Templates(contents=np.array([[8.0, 4.0]]), uncertainties=(0.3,))
    own = shape_limit([12, 3], None, [5.0, 2.0], background, nuisances=[Nuisance(name="efficiency", signal=0.15)])
    assert own.observed == pytest.approx(observed, rel=1e-2)
    assert own.expected == pytest.approx(expected, rel=1e-2)


SYSTEMATICS = {"nuisances": [Nuisance(name="efficiency", signal=0.1)], "resolution_uncertainty": 0.1}


@pytest.mark.parametrize(
    "background",
    [
        Chebyshev(degree=1),
        Templates(contents=np.array([700 * BASIS[0] - 250 * BASIS[1]]), uncertainties=(math.inf,)),
        Templates(contents=np.array([700 * BASIS[0] - 250 * BASIS[1], 200 * BASIS[0]]), uncertainties=(0.2, 0.1), gaussian=True),
    ],
    ids=["polynomial", "floating", "constrained"],
)
def test_a_shape_fit(background) -> None:
    observed, expected = pyhf_limit(shape_workspace(DATA, EDGES, PEAK, background, signal_events=20.0, **SYSTEMATICS))
    own = shape_limit(DATA, EDGES, PEAK, background, **SYSTEMATICS)
    assert own.observed == pytest.approx(20 * observed, rel=1e-2)
    assert own.expected == pytest.approx([20 * value for value in expected], rel=1e-2)


def test_template_statistics_and_two_dimensions() -> None:
    signal = np.array([[1.0, 2.0], [4.0, 2.0]])
    contents = np.array([[[20.0, 18.0], [9.0, 7.0]]])
    background = Templates(contents=contents, uncertainties=(0.1,), statistical=np.full((2, 2), 0.1))
    n = [[22, 16], [11, 8]]
    observed, expected = pyhf_limit(shape_workspace(n, None, signal, background))
    own = shape_limit(n, None, signal, background)
    assert own.observed == pytest.approx(observed, rel=1e-2)
    assert own.expected == pytest.approx(expected, rel=1e-2)


def test_hepdata_table() -> None:
    mean = 50 * np.exp(-np.linspace(0, 1, 400))
    edges = np.linspace(0, 4, 401)
    masses = np.append(mass_grid(1.0, 3.0, 0.04)[::10], 99.0)
    result = scan(mean.round(), edges, masses, 0.04)
    table = hepdata_table(
        result, name="Table 1", variable="m_X", unit="GEV", quantity="cross section", quantity_unit="fb", scale=0.1
    )
    x, (observed, expected) = table["independent_variables"][0], table["dependent_variables"]
    assert len(x["values"]) == len(observed["values"]) == len(expected["values"]) == len(masses) - 1  # 99 failed
    assert observed["values"][0]["value"] == pytest.approx(0.1 * result.observed[0])
    errors = expected["values"][0]["errors"][0]["asymerror"]
    assert errors["minus"] < 0 < errors["plus"]
    assert expected["values"][0]["value"] + errors["plus"] == pytest.approx(0.1 * result.expected[0, 3])
    assert {"name": "CL", "value": 0.90} in observed["qualifiers"]
    with pytest.raises(ValueError, match="result"):
        hepdata_table(scan(mean.round(), edges, [99.0], 0.04), name="t", variable="m", unit="GEV")


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    document = counting_workspace([CountingChannel(name="a", observed=1, signal=1.0, backgrounds={"b": 1.0})])
    assert json.loads(save(document, tmp_path / "w.json").read_text()) == document
    assert yaml.safe_load(save(document, tmp_path / "w.yaml").read_text()) == document
    with pytest.raises(ValueError, match="path"):
        save(document, tmp_path / "w.txt")
    with pytest.raises(ValueError):
        save({"limit": math.nan}, tmp_path / "n.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.json", "w.yaml"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"observed": -1}, "observed"),
        ({"observed": 1.5}, "observed"),
        ({"signal": 0.0}, "signal"),
        ({"backgrounds": {}}, "backgrounds"),
        ({"backgrounds": {"b": math.nan}}, "backgrounds"),
        ({"uncertainties": {"u": {"other": 0.1}}}, "uncertainties"),
        ({"uncertainties": {"u": {"b": 3.0}}}, "uncertainties"),
        ({"background_mc": 2.0}, "background_mc"),
    ],
)
def test_bad_channels_are_refused(change: dict, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        CountingChannel(**{"name": "a", "observed": 1, "signal": 1.0, "backgrounds": {"b": 1.0}, **change})


def test_what_cannot_be_exported_says_so() -> None:
    with pytest.raises(ValueError, match="background"):
        shape_workspace(DATA, EDGES, PEAK, Exponential())
    with pytest.raises(ValueError, match="signal_events"):
        shape_workspace(DATA, EDGES, PEAK, Chebyshev(degree=1), signal_events=0.0)
    with pytest.raises(ValueError, match="channels"):
        counting_workspace([])
    with pytest.raises(ValueError, match="counts"):
        shape_workspace(DATA[:-1], EDGES, PEAK, Chebyshev(degree=1))
