"""One declaration of a parameter validates every way in."""

from __future__ import annotations

import ast
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belle2dark.parameters import Parameter, parse_values

MASS = Parameter(name="m_aprime", symbol="M_{A'}", unit="GeV", default=6.0, low=1.65, high=10.51, help="mass of the dark photon")
EPSILON = Parameter(name="epsilon", symbol=r"\epsilon", unit="", default=1e-3, low=1e-6, high=1, scale="log", help="mixing")
PAIR = Parameter(name="pair", symbol="", unit="", default="emu", choices=("emu", "etau", "mutau"), help="flavours")
MISSING = Parameter(name="missing", symbol="", unit="", default=True, help="with missing energy")


@given(st.floats(1.65, 10.51))
def test_numbers_in_range_survive_text(value: float) -> None:
    assert MASS.parse(value) == value
    assert MASS.parse(repr(value)) == value


@pytest.mark.parametrize("value", [1.64, 10.52, math.nan, math.inf, "nan", "-inf", 10.5100001])
def test_out_of_range_names_value_unit_and_range(value: object) -> None:
    with pytest.raises(ValueError, match=r"m_aprime = .* GeV: outside the allowed range 1\.65 to 10\.51 GeV") as caught:
        MASS.parse(value)
    assert "= 10.51 GeV" not in str(caught.value)  # a value just outside must not be printed as the limit itself


@pytest.mark.parametrize("value", ["six", "", None, True, [6.0], "6 GeV"])
def test_what_is_not_a_number_is_said_to_be_none(value: object) -> None:
    with pytest.raises(ValueError, match=r"m_aprime = .*not a number; allowed: 1\.65 to 10\.51 GeV"):
        MASS.parse(value)


def test_ends_of_the_range_are_allowed() -> None:
    assert (MASS.parse(1.65), MASS.parse("10.51")) == (1.65, 10.51)


def test_choices() -> None:
    assert PAIR.kind is str
    assert PAIR.parse("etau") == "etau"
    with pytest.raises(ValueError, match=r"pair = 'mutua': must be one of emu \| etau \| mutau; nearest: mutau"):
        PAIR.parse("mutua")


@pytest.mark.parametrize(("text", "value"), [(True, True), ("true", True), ("False", False), (0, False), ("1", True)])
def test_switches(text: object, value: bool) -> None:
    assert MISSING.parse(text) is value


@pytest.mark.parametrize("text", ["yes", "", None, 2, 0.5])
def test_switches_take_nothing_else(text: object) -> None:
    with pytest.raises(ValueError, match=r"missing = .*must be true or false"):
        MISSING.parse(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"low": 0.0, "scale": "log"},
        {"low": -math.inf, "scale": "log"},
        {"default": 11.0},
        {"default": "six"},
        {"low": 7.0, "high": 5.0},
        {"low": math.nan},
        {"name": "M_A"},
        {"name": "m-a"},
    ],
)
def test_a_wrong_declaration_is_refused(changes: dict) -> None:
    given = {"name": "m_aprime", "symbol": "m", "unit": "GeV", "default": 6.0, "low": 1.0, "high": 10.0, "help": "h"}
    with pytest.raises(ValueError):
        Parameter(**{**given, **changes})


@pytest.mark.parametrize("parameter", [MASS, EPSILON, PAIR, MISSING], ids=lambda p: p.name)
def test_notebook_cell_declares_the_default(parameter: Parameter) -> None:
    line = parameter.cell()
    (statement,) = ast.parse(line).body
    assert isinstance(statement, ast.AnnAssign)
    assert ast.unparse(statement.target) == parameter.name
    assert ast.unparse(statement.annotation) == parameter.kind.__name__
    assert ast.literal_eval(statement.value) == parameter.default  # type: ignore[arg-type]
    assert line.count("=") == 1  # papermill misreads a second one
    assert line.endswith(parameter.help)


def test_cell_with_an_equal_sign_in_its_help() -> None:
    assert Parameter(name="x", symbol="x", unit="", default=1.0, low=0, high=2, help="x = 1").cell().count("=") == 1


def test_values_are_completed_with_defaults() -> None:
    values = parse_values([MASS, PAIR, MISSING], {"m_aprime": "7"})
    assert values == {"m_aprime": 7.0, "pair": "emu", "missing": True}


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown parameter 'm_aprme'; nearest: m_aprime; known: m_aprime, pair"):
        parse_values([MASS, PAIR], {"m_aprme": 6})
