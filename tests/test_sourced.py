"""Numbers know where they are from, and a file that does not say so is refused."""

from __future__ import annotations

import dataclasses
import pickle
from importlib.resources import files
from pathlib import Path

import pytest

from belle2dark.sourced import Reference, Sourced, bibtex, cited, load_numbers, nearest, parse_numbers, read_yaml

REFERENCES = {"A:2020": {"title": "On numbers", "authors": "Doe, J.", "year": 2020, "eprint": "2001.00001"}}
GOOD = {"value": 1.5, "unit": "GeV", "source": "A:2020: table 2", "confidence": "published", "note": "n"}


def document(**changes: object) -> dict:
    """A valid document with one number ``x``, changed; a change to ``None`` removes the field."""
    entry = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    return {"references": REFERENCES, "numbers": {"x": entry}}


def test_a_number_keeps_everything_said_about_it() -> None:
    numbers = parse_numbers(document(), "f")
    x = numbers["x"]
    assert (float(x), x.values, x.unit, x.source, x.confidence, x.note) == (
        1.5, (1.5,), "GeV", "A:2020: table 2", "published", "n")  # fmt: skip
    reference = cited(x, numbers.references)
    assert reference is not None
    assert reference.eprint == "2001.00001"
    with pytest.raises(dataclasses.FrozenInstanceError):
        x.value = 2.0  # type: ignore[misc]


def test_a_list_is_not_one_number() -> None:
    x = parse_numbers(document(value=[1.0, 2]), "f")["x"]
    assert x.values == (1.0, 2.0)
    with pytest.raises(TypeError, match="2 numbers"):
        float(x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valeu": 2.0}, r"numbers\.x\.valeu: unknown field"),
        ({"value": None, "valeu": 2.0}, r"numbers\.x\.valeu: unknown field"),
        ({"value": None}, r"numbers\.x\.value"),
        ({"value": float("nan")}, r"numbers\.x\.value.*finite"),
        ({"value": [1.0, float("inf")]}, r"numbers\.x\.value.*finite"),
        ({"value": []}, r"numbers\.x\.value"),
        ({"value": True}, r"numbers\.x\.value"),
        ({"value": "1e-8"}, r"numbers\.x\.value.*'1e-8'"),  # what YAML makes of 1e-8 without a point
        ({"confidence": "certain"}, r"numbers\.x\.confidence"),
        ({"confidence": None}, r"numbers\.x\.confidence"),
        ({"unit": None}, r"numbers\.x\.unit"),
        ({"source": None}, r"numbers\.x\.source"),
        ({"source": " "}, r"numbers\.x\.source"),
        ({"source": " ", "confidence": "choice"}, r"numbers\.x\.source"),
        ({"source": "B:2021: table 1"}, r"numbers\.x\.source.*A:2020"),
        ({"source": "A:2020x: table 1"}, r"numbers\.x\.source"),
    ],
)
def test_a_wrong_entry_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_numbers(document(**changes), "f")
    assert str(caught.value).startswith("f: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", [None, [], {"numbers": {}, "extra": 1}, {"references": REFERENCES}, "text"])
def test_a_wrong_document_is_named(raw: object) -> None:
    with pytest.raises(ValueError, match=r"^f: "):
        parse_numbers(raw, "f")


@pytest.mark.parametrize("confidence", ["choice", "computed", "recalled"])
def test_own_numbers_need_no_paper_but_a_reason(confidence: str) -> None:
    x = parse_numbers(document(confidence=confidence, source="because"), "f")["x"]
    assert x.source == "because"


def test_repeated_key_and_broken_yaml_are_errors(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("numbers:\n  x: {value: 1.0}\n  x: {value: 2.0}\n")
    with pytest.raises(ValueError, match="'x' appears twice"):
        read_yaml(file)
    file.write_text("numbers: [1.0")
    with pytest.raises(ValueError, match="not valid YAML"):
        read_yaml(file)


def test_unknown_number_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="nearest: x"):
        parse_numbers(document(), "f")["xx"]


def test_numbers_pickle_and_cannot_be_changed() -> None:
    numbers = parse_numbers(document(), "f")
    again = pickle.loads(pickle.dumps(numbers))
    assert dict(again) == dict(numbers)
    assert again.references == numbers.references
    with pytest.raises(TypeError):
        numbers.entries["y"] = numbers["x"]  # type: ignore[index]


def test_bibtex_is_sorted_unique_and_complete() -> None:
    one = Reference(key="B:2021", title="Two", authors="Roe, R.", year=2021, journal="PRL 1, 1", doi="10.1/2")
    two = Reference(key="A:2020", title="One", authors="Doe, J.", year=2020, eprint="2001.00001")
    text = bibtex([one, two, one])
    assert text.index("@misc{A:2020") < text.index("@article{B:2021")
    assert text.count("@") == 2
    assert "archivePrefix = {arXiv}" in text
    assert "doi = {10.1/2}" in text
    assert text.count("{") == text.count("}")


def test_nearest_always_answers() -> None:
    assert nearest("m_aprme", ["m_aprime", "m_hprime"]) == "m_aprime"
    assert nearest("zzz", ["a"]) == "a"
    assert nearest("zzz", []) == "none"


def _number_files() -> list[str]:
    folder = files("belle2dark") / "data"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".yaml") and "numbers" in read_yaml(p))


@pytest.mark.parametrize("name", _number_files())
def test_every_shipped_file_is_strictly_valid(name: str) -> None:
    numbers = load_numbers(name)
    assert len(numbers) > 0 or numbers.references, "a file of papers alone needs no numbers"
    assert all(isinstance(number, Sourced) for number in numbers.values())
