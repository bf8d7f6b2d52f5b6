"""Published results: what is stored is what the papers say, files are read strictly, user tables are read safely."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from belle2dark.published import Published, inside, load_published, parse_paper, read_hepdata_csv, read_paper
from belle2dark.theory.dark_higgsstrahlung import cross_section
from belle2dark.theory.dark_photon import DARK_PHOTON

REFERENCE = {"title": "t", "authors": "a", "year": 2020}
CURVE = {
    "search": "s", "dataset": "d", "sqrt_s": 10.58, "cl": 0.9, "method": "cls", "quantity": "g_prime", "unit": "",
    "masses": {"m_zprime": [1.0, 2.0]}, "observed": [1e-3, 2e-3], "source": "A:2020: fig. 3", "confidence": "digitised",
}  # fmt: skip


def paper(**changes: object) -> dict:
    """A valid document with one curve, changed; a change to ``None`` removes the field."""
    entry = {k: v for k, v in {**copy.deepcopy(CURVE), **changes}.items() if v is not None}
    return {"paper": "A:2020", "references": {"A:2020": REFERENCE}, "results": [entry]}


def test_dark_higgsstrahlung_is_what_the_abstract_says() -> None:
    sigma, coupling = load_published("dark_higgsstrahlung")
    for result in (sigma, coupling):
        assert (result.luminosity, result.sqrt_s, result.cl, result.method) == (8.34, 10.58, 0.90, "bayesian")
        assert dict(result.region) == {"m_aprime": (4.0, 9.7)}
        assert result.reference.doi == "10.1103/PhysRevLett.130.071804"
        assert result.reference.eprint == "2207.00509"
    assert (sigma.range, sigma.unit) == ((1.7, 5.0), "fb")
    assert (coupling.range, coupling.unit) == ((1.7e-8, 200e-8), "")


def test_both_published_ranges_fit_together_through_theory() -> None:
    # The lowest cross-section limit, divided by BR(A' -> mumu) and the rate per coupling, must reach down to the lowest
    # coupling limit somewhere in the region and not far below it; without BR it would be a factor 6.6 away.
    sigma, coupling = load_published("dark_higgsstrahlung")
    assert sigma.range is not None
    assert coupling.range is not None
    rate = cross_section(9.0, 1.0, 1.0, alpha="thomson") * DARK_PHOTON.branching_fraction("mumu", 9.0)
    assert sigma.range[0] / rate == pytest.approx(coupling.range[0], rel=0.05)  # two digits quoted


def test_region_is_open_and_needs_a_lighter_dark_higgs() -> None:
    sigma, _ = load_published("dark_higgsstrahlung")
    masses = {"m_aprime": [4.0, 5.0, 6.0, 9.8, 6.0], "m_hprime": [1.0, 6.0, 1.0, 1.0, 6.0]}
    assert inside(sigma, masses).tolist() == [False, False, True, False, False]
    with pytest.raises(ValueError, match="m_hprime"):
        inside(sigma, {"m_aprime": 5.0})


def test_curve_region_is_its_span() -> None:
    (curve,) = parse_paper(paper(), "f.yaml")
    assert curve.masses["m_zprime"] == (1.0, 2.0)
    assert inside(curve, {"m_zprime": [0.9, 1.0, 2.0, 2.1]}).tolist() == [False, True, True, False]


def test_every_shipped_file_is_valid_citable_and_picklable() -> None:
    results = load_published()
    assert {r.search for r in results} >= {"dark_higgsstrahlung"}
    for result in results:
        assert result.reference.doi or result.reference.eprint
        assert result.reference.key in result.reference.bibtex()
        assert result.notes, "say which figure, curve or factor"
    assert pickle.loads(pickle.dumps(results)) == results


def test_unknown_search_has_no_results() -> None:
    assert load_published("no_such_search") == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observde": [1.0, 2.0]}, "observde: unknown field"),
        ({"observed": [1.0]}, "equally long"),
        ({"observed": [1.0, float("nan")]}, r"observed\.1"),
        ({"observed": [1.0, -2.0]}, "positive"),
        ({"observed": None}, "equally long"),
        ({"masses": None}, "either masses"),
        ({"region": {"m_zprime": [1.0, 2.0]}}, "either masses"),
        ({"masses": None, "region": {"m_zprime": [1.0, 2.0]}}, "goes with a range"),
        ({"masses": None, "observed": None, "region": {"m_zprime": [2.0, 1.0]}, "range": [1.0, 2.0]}, "must ascend"),
        ({"cl": 90}, r"results\.0\.cl"),
        ({"cl": "0.9"}, r"results\.0\.cl"),
        ({"method": "bayes"}, "bayesian"),
        ({"confidence": "sure"}, "confidence"),
        ({"source": "B:2021: fig. 1"}, "does not start with"),
        ({"unit": None}, "unit"),
    ],
)
def test_a_wrong_file_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_paper(paper(**changes), "f.yaml")
    assert str(caught.value).startswith("f.yaml")


def test_paper_must_be_one_of_its_references() -> None:
    with pytest.raises(ValueError, match="not one of the references"):
        parse_paper({**paper(), "paper": "B:2021"}, "f.yaml")


def test_a_user_file_is_read_like_a_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "paper: A:2020\nreferences: {'A:2020': {title: t, authors: a, year: 2020}}\n"
        "results:\n- {search: s, dataset: d, sqrt_s: 10.58, cl: 0.9, method: cls, quantity: q, unit: fb,\n"
        "   masses: {m_x: [1.0, 2.0]}, observed: [3.0, 4.0], expected: [3.5, 4.5], source: 'A:2020', confidence: digitised}\n"
    )
    (result,) = read_paper(file)
    assert isinstance(result, Published)
    assert result.expected == (3.5, 4.5)
    assert result.luminosity is None


def test_hepdata_table(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(
        "#: table_doi: 10.17182/hepdata.0.v1/t1\n#: name: Limits\nm [GEV],Observed limit [FB],Expected limit [FB]\n"
        '1.0,2.5,"3.0"\n2.0,2.6,3.1\n\nm [GEV],Other\n1,7\n'
    )
    table = read_hepdata_csv(file)
    assert list(table) == ["m [GEV]", "Observed limit [FB]", "Expected limit [FB]"]
    assert table["Observed limit [FB]"] == (2.5, 2.6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m,x\n1.0,two\n", "line 2"),
        ("m,x\n1.0\n", "line 2"),
        ("m,x\n1.0,nan\n", "finite"),
        ("m,x\n", "no table"),
        ("", "no table"),
        ("m,m\n1,2\n", "not unique"),
    ],
)
def test_broken_hepdata_table_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_hepdata_csv(file)
