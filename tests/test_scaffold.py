"""``belle2dark new``: in a copy of the package, a new search is there at once and keeps the contract."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from belle2dark.scaffold import new_search, title

ROOT = Path(__file__).resolve().parent.parent
NAME = "zprime_copy"


def python(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / ".numba")}
    return subprocess.run([sys.executable, *argv], capture_output=True, text=True, cwd=folder, env=environment)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for name in ("belle2dark", "notebooks", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def files(folder: Path) -> set[str]:
    return {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and ".numba" not in p.parts
    }


@pytest.mark.slow
def test_a_new_search_is_there_at_once_and_keeps_the_contract(copy: Path):
    before = files(copy)
    done = python(copy, "-m", "belle2dark", "new", NAME)
    assert done.returncode == 0, done.stderr
    four = {
        f"belle2dark/searches/{NAME}.py",
        f"belle2dark/data/{NAME}.yaml",
        f"belle2dark/published/{NAME}.yaml",
        f"notebooks/{NAME}.ipynb",
    }
    assert files(copy) - before == four
    assert {Path(line).relative_to(copy).as_posix() for line in done.stdout.split()} == four
    text = "".join((copy / file).read_text() for file in four)
    assert "new_search" not in text and "New search" not in text and "TODO" in text

    listed = python(copy, "-m", "belle2dark", "list")
    assert NAME in listed.stdout and title(NAME) in listed.stdout, listed.stderr
    again = python(copy, "-m", "belle2dark", "new", NAME)
    assert again.returncode == 2 and again.stdout == "" and "already" in again.stderr
    checked = python(copy, "-m", "belle2dark", "check", NAME)
    assert checked.returncode == 0 and "not a target: choice" in checked.stdout, checked.stderr

    contract = python(
        copy,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_contract.py",
        "tests/test_layers.py",
        "-k",
        f"{NAME} or search",
    )
    assert contract.returncode == 0, contract.stdout[-3000:]
    assert NAME in python(copy, "-m", "pytest", "--collect-only", "-q", "tests/test_contract.py").stdout
    lint = python(copy, "-m", "ruff", "check", f"belle2dark/searches/{NAME}.py")
    assert lint.returncode == 0 or "No module named ruff" in lint.stderr, lint.stdout


@pytest.mark.slow
def test_its_notebook_runs(copy: Path):
    if not (copy / "notebooks" / f"{NAME}.ipynb").is_file():
        assert python(copy, "-m", "belle2dark", "new", NAME).returncode == 0
    done = python(copy, "-m", "belle2dark", "run", NAME, "--n-events", "2000", "--no-html", "--out", "out", "-p", "m_x=5")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (copy / "out").iterdir()} == {f"{NAME}.ipynb", f"{NAME}.json"}


@pytest.mark.parametrize("name", ["Zprime", "zprime-inv", "2photon", "_x", "class", "a b", "../x", "", "x_", "zé"])
def test_bad_names(name: str):
    with pytest.raises(ValueError, match="lower-case"):
        new_search(name)


def test_an_existing_file_is_never_overwritten_and_nothing_is_left():
    """A name that only a data file has taken: refused before anything is written."""
    before = files(ROOT / "belle2dark")
    with pytest.raises(FileExistsError, match="belle2"):
        new_search("belle2")
    with pytest.raises(FileExistsError, match="dark_higgsstrahlung"):
        new_search("dark_higgsstrahlung")
    assert files(ROOT / "belle2dark") == before
