"""The command line: results on stdout, everything else on stderr, a user's mistake is one line and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from belle2dark import cli, launch, terminal
from belle2dark.contract import package_version
from belle2dark.options import parse_axes, parse_given
from belle2dark.scan import LimitCurve, scan
from belle2dark.search import load_search
from belle2dark.terminal import plain

NAME = "dark_higgsstrahlung"
MASS = next(p.allowed for p in load_search(NAME).parameters if p.name == "m_aprime")
FEW = ("--n-events", "4000")


class Shell:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        code = cli.main(list(argv))
        out = self.capsys.readouterr()
        return code, out.out, out.err

    def good(self, *argv: str) -> str:
        code, out, err = self(*argv)
        assert code == 0, err
        return out

    def bad(self, *argv: str) -> str:
        code, out, err = self(*argv)
        assert (code, out) == (2, ""), (code, out)
        assert err.count("\n") == 1 and err.startswith("belle2dark: "), err
        return err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


# what it prints


def test_json_goes_to_stdout_alone_also_in_a_fresh_process():
    command = [sys.executable, "-m", "belle2dark", "point", NAME, "-p", "m_aprime=7", "--json", *FEW]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(cli.__file__).parent.parent)
    assert done.returncode == 0 and done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer["parameters"]["m_aprime"] == 7.0 and answer["limit"]["expected"][2] > 0


def test_version_and_help(shell: Shell):
    assert shell.good("--version").strip() == package_version()
    for argv in (("--help",), ()):
        text = shell.good(*argv)
        assert all(command in text for command in ("list", "show", "point", "scan", "run", "app", "check", "new", "published"))


def test_list_and_show_say_what_a_search_is(shell: Shell):
    text = shell.good("list")
    assert NAME in text and "μ⁺μ⁻" in text and "belle2_8" in text and "m_aprime" in text and "\\" not in text
    card = shell.good("show", NAME)
    for needed in (
        MASS,
        "8.34",
        "90 % bayesian",
        "BelleII:2022jyy: abstract",
        "published",
        "Not modelled",
        "2207.00509",
    ):
        assert needed in card, needed


def test_bibtex_has_papers_detector_and_trigger(shell: Shell):
    text = shell.good("show", NAME, "--bibtex")
    assert text.startswith("@") and text.count("@article{BelleII:2022jyy") == 1 and "{basf2" in text


def test_point_report_names_confidence_level_lines_and_limit(shell: Shell):
    text = shell.good("point", NAME, *FEW)
    for needed in ("Cutflow", "[fb]", "ffo", "cdcklm1", "mumu_gamma", "90 % bayesian", "eps2_alpha_d", "no data", "Limited by"):
        assert needed in text, needed
    assert "No limit: closed" in shell.good("point", NAME, "-p", "m_aprime=10", "-p", "m_hprime=3")


def test_options_reach_the_answer(shell: Shell):
    argv = ("point", NAME, "--json", *FEW)
    base = json.loads(shell.good(*argv))
    other = json.loads(shell.good(*argv, "--cl", "0.95", "--method", "cls", "--lines", "cdcklm1, ffo", "--seed", "7"))
    assert (other["cl"], other["method"], other["lines"], other["seed"]) == (0.95, "cls", ["ffo", "cdcklm1"], 7)
    assert base["limit"]["observed"] is None and other["limit"]["expected"] != base["limit"]["expected"]
    run1 = json.loads(shell.good(*argv, "-p", "dataset=belle2_run1"))
    assert run1["parameters"]["luminosity"] > 400, "the luminosity follows the dataset"
    seen = json.loads(shell.good(*argv, "--observed", "pseudo", "--signal-strength", "2"))
    blank = json.loads(shell.good(*argv, "--observed", "pseudo"))
    assert seen["limit"]["observed"] > blank["limit"]["observed"] > 0


def test_own_events_are_counted(shell: Shell, tmp_path: Path):
    file = tmp_path / "events.csv"
    pd.DataFrame({"M_mumu": [6.0, 6.0, 3.0], "M_recoil": [1.0, 1.0, 1.0]}).to_csv(file, index=False)
    argv = ("point", NAME, "--json", *FEW)
    two = json.loads(shell.good(*argv, "--observed", str(file)))["limit"]["observed"]
    pd.DataFrame({"M_mumu": [3.0], "M_recoil": [1.0]}).to_csv(file, index=False)
    none = json.loads(shell.good(*argv, "--observed", str(file)))["limit"]["observed"]
    assert 1.5 < two / none < 2.6  # 5.32 / 2.30 without background, less with


def test_scan_writes_files_that_read_back(shell: Shell, tmp_path: Path):
    argv = ("scan", NAME, "-p", "m_aprime=5:7:2", "-p", "m_hprime=0.5,4.5", "-p", "alpha_d=0.1", *FEW)
    for suffix in (".csv", ".json", ".parquet"):
        file = tmp_path / f"curve{suffix}"
        assert shell.good(*argv, "--out", str(file)).strip() == str(file)
        curve = LimitCurve.read(file)
        assert len(curve.frame) == 4 and set(curve.frame["m_aprime"]) == {5.0, 7.0} and curve.cl == 0.9
        assert curve.frame["reason"].astype(str).str.contains("closed").sum() == 1  # 7 + 4.5 GeV
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.csv", "curve.json", "curve.parquet"]


def test_scan_without_a_file_prints_csv_into_a_pipe(shell: Shell):
    lines = shell.good("scan", NAME, "-p", "m_aprime=5,6", *FEW).splitlines()
    assert len(lines) == 3 and lines[0].startswith("m_aprime,")


def test_scan_on_a_terminal_is_a_table(shell: Shell):
    curve = scan(load_search(NAME), {"m_aprime": [5.0, 7.0], "m_hprime": [1.0, 4.0]}, n_events=4000)
    terminal.show(terminal.scan_table(curve, ("m_aprime", "m_hprime")))
    text = shell.capsys.readouterr().out
    assert "sigma x BR(A' -> mumu) [fb], 90 % bayesian" in text and "expected" in text and "closed" in text


def test_published_lists_quantities_and_ranges(shell: Shell):
    text = shell.good("published", NAME)
    assert "1.7 to 5 fb" in text and "1.7e-08 to 2e-06" in text and "2207.00509" in text
    assert "2207.00509" in shell.good("published"), "all searches, this one among them"


def test_latex_as_plain_text():
    assert plain(r"e^+e^- \to \tau^+\tau^-\,X,\quad X \to \text{invisible}") == "e⁺e⁻ → τ⁺τ⁻ X, X → invisible"
    assert plain(r"B \to K^{*}\,S") == "B → K* S"


# what it hands on


def test_run_hands_over_checked_parameters(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[Any, ...]] = []

    def fake(name: str, parameters: Any, given: Any, out: Path, **options: Any) -> Any:
        calls.append((name, given, out, options))
        return SimpleNamespace(notebook=out / "a.ipynb", html=None, result=out / "a.json")

    monkeypatch.setattr(launch, "run_notebook", fake)
    text = shell.good(
        "run", NAME, "-p", "dataset=belle2_run1", "--out", str(tmp_path), "--no-html", "--seed", "4", "--n-events", "2000"
    )
    assert text.split() == [str(tmp_path / "a.ipynb"), str(tmp_path / "a.json")]
    ((name, given, out, options),) = calls
    assert name == NAME and out == tmp_path and options == {"settings": {"seed": 4, "n_events": 2000}, "html": False}
    assert given["luminosity"] > 400 and given["m_aprime"] == 6.0, "all parameters, the luminosity of the dataset"
    assert "nearest: m_aprime" in shell.bad("run", NAME, "-p", "m_aprme=6") and len(calls) == 1


def test_a_failing_notebook_is_exit_code_1(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("cell 3 failed:\n no beam")

    monkeypatch.setattr(launch, "run_notebook", fail)
    assert shell("run", NAME) == (1, "", "belle2dark: cell 3 failed: no beam\n")


def test_app_serves(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(launch, "serve", lambda **options: calls.append(options))
    shell.good("app", "--port", "9000", "--no-browser")
    assert calls == [{"port": 9000, "open_browser": False}]
    assert "65535" in shell.bad("app", "--port", "70000")


def test_ctrl_c_is_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    def stop(**options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "serve", stop)
    assert shell("app") == (130, "", "belle2dark: stopped\n")


# mistakes


@pytest.mark.parametrize(
    ("argv", "needed"),
    [
        (("point", "dark_higstrahlung"), "nearest: dark_higgsstrahlung"),
        (("point", NAME, "-p", "m_aprme=6"), "nearest: m_aprime"),
        (("point", NAME, "-p", "m_aprime=60"), MASS),
        (("point", NAME, "-p", "m_aprime=6GeV"), MASS),
        (("point", NAME, "-p", "m_aprime=nan"), MASS),
        (("point", NAME, "-p", "epsilon=inf"), "1e-06 to 1"),
        (("point", NAME, "-p", "m_aprime=4:8:3"), "not a number"),
        (("point", NAME, "-p", "foo"), "name=value"),
        (("point", NAME, "-p", "m_aprime="), "name=value"),
        (("point", NAME, "-p", "m_aprime=6", "-p", "m_aprime=7"), "given twice"),
        (("point", NAME, "-p", "dataset=belle3"), "belle2_8 | belle2_run1"),
        (("point", NAME, "--cl", "1"), "between 0.5 and 1"),
        (("point", NAME, "--cl", "nan"), "between 0.5 and 1"),
        (("point", NAME, "--cl", "high"), "--cl"),
        (("point", NAME, "--method", "bayes"), "bayesian"),
        (("point", NAME, "--lines", "ffo,cdcklm"), "nearest: cdcklm"),
        (("point", NAME, "--quantity", "ratio"), "sigma x BR(A' -> mumu)"),
        (("point", NAME, "--observed", "no_such_file.csv"), "no_such_file.csv"),
        (("point", NAME, "--observed", "pseudo", "--signal-strength", "-1"), "0 or more"),
        (("point", NAME, "--observed", "pseudo", "--signal-strength", "nan"), "0 or more"),
        (("point", NAME, "--signal-strength", "1"), "--observed pseudo"),
        (("point", NAME, "--seed", "-1"), "--seed"),
        (("point", NAME, "--n-events", "10"), "--n-events"),
        (("point", NAME, "--jsn"), "--json"),
        (("point",), "SEARCH"),
        (("pint", NAME), "point"),
        (("scan", NAME, "-p", "m_aprime=4:8"), "lo:hi:n"),
        (("scan", NAME, "-p", "m_hprime=0:8:3:log"), "log"),
        (("scan", NAME, "-p", "m_aprime=4,99"), MASS),
        (("scan", NAME, "-p", "m_aprime=4,5", "-p", "m_aprime=6"), "given twice"),
        (("scan", NAME, "--out", "curve.xls"), ".parquet"),
        (("scan", NAME, "--out", "no/such/folder/curve.csv"), "folder"),
        (("show", "dark_higgsstralung"), "nearest: dark_higgsstrahlung"),
        (("published", "dark_higgsstralung"), "nearest: dark_higgsstrahlung"),
        (("check", "dark_higgsstralung"), "nearest: dark_higgsstrahlung"),
        (("check", NAME, "--margin", "nan"), "margin"),
        (("new", "Dark-Higgs"), "lower-case"),
        (("new", NAME), "already"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_helps(shell: Shell, argv: tuple[str, ...], needed: str):
    assert needed in shell.bad(*argv)


def test_texts_become_values():
    assert parse_given(["a=1", " b = x=y "]) == {"a": "1", "b": "x=y"}
    assert parse_axes(["m=1:3:3", "g=1:100:3:log", "d=x,y", "e=4"]) == (
        {"m": (1.0, 2.0, 3.0), "g": pytest.approx((1.0, 10.0, 100.0)), "d": ("x", "y")},
        {"e": "4"},
    )
