"""``belle2dark new``: in a copy of the package, a new search is there at once and keeps the contract."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from numba.core.caching import _CacheLocator

from belle2dark._jit import CACHE, _digest
from belle2dark.scaffold import new_search, title
from tests.forks import Forks, forks

ROOT = Path(__file__).resolve().parent.parent
NAME = "zprime_copy"


@pytest.fixture(scope="module")
def made(copy: Path) -> Iterator[Forks]:
    """Runs commands in the copy."""
    with forks(copy, NUMBA_CACHE_DIR=str(copy / ".numba")) as running:
        yield running


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for name in ("belle2dark", "notebooks", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", folder)
    take_kernels(ROOT / "belle2dark", folder / "belle2dark", folder / ".numba")
    return folder


def take_kernels(package: Path, other: Path, cache: Path) -> None:
    """Let the copy ``other`` of ``package`` find what is compiled: numba's folders are named after where a module is."""
    place = _CacheLocator.get_suitable_cache_subpath
    for module in package.rglob("*.py") if CACHE else ():
        digest = _digest(module)
        made = CACHE / digest / place(str(module))
        if made.is_dir():
            shutil.copytree(made, cache / digest / place(str(other / module.relative_to(package))), dirs_exist_ok=True)


def files(folder: Path) -> set[str]:
    return {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and ".numba" not in p.parts
    }


@pytest.mark.slow
def test_a_new_search_is_there_at_once_and_keeps_the_contract(copy: Path, made: Forks):
    before = files(copy)
    done = made.run("belle2dark", "new", NAME)
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

    listed = made.run("belle2dark", "list")
    assert NAME in listed.stdout and title(NAME) in listed.stdout, listed.stderr
    again = made.run("belle2dark", "new", NAME)
    assert again.returncode == 2 and again.stdout == "" and "already" in again.stderr
    checked = made.run("belle2dark", "check", NAME)
    assert checked.returncode == 0 and "not a target: choice" in checked.stdout, checked.stderr

    contract = made.run(
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_contract.py",
        "tests/test_layers.py",
        "-k",
        f"{NAME} or searches_never or names_a_search",
    )
    assert contract.returncode == 0, contract.stdout[-3000:]
    assert NAME in made.run("pytest", "--collect-only", "-q", "tests/test_contract.py").stdout
    lint = subprocess.run([sys.executable, "-m", "ruff", "check", copy / f"belle2dark/searches/{NAME}.py"],
                          capture_output=True, text=True, cwd=copy)  # fmt: skip
    assert lint.returncode == 0 or "No module named ruff" in lint.stderr, lint.stdout


@pytest.mark.slow
def test_its_notebook_runs(copy: Path, made: Forks):
    if not (copy / "notebooks" / f"{NAME}.ipynb").is_file():
        assert made.run("belle2dark", "new", NAME).returncode == 0
    done = made.run("belle2dark", "run", NAME, "--n-events", "2000", "--no-html", "--out", "out", "-p", "m_x=5")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (copy / "out").iterdir()} == {f"{NAME}.ipynb", f"{NAME}.json"}


@pytest.mark.slow
def test_its_notebook_follows_the_module(copy: Path, made: Forks):
    """A changed title and parameter: found out by the contract, and brought up to date with the rest left as it was."""
    module, notebook = copy / "belle2dark" / "searches" / f"{NAME}.py", copy / "notebooks" / f"{NAME}.ipynb"
    if not module.is_file():
        assert made.run("belle2dark", "new", NAME).returncode == 0
    keep = module.read_text(encoding="utf-8"), notebook.read_text(encoding="utf-8")
    try:
        module.write_text(keep[0].replace("mass of the X", "mass of the Y").replace(title(NAME), "Axial Y"), encoding="utf-8")
        notebook.write_text(keep[1].replace("TODO: the physics", "Once upon a time"), encoding="utf-8")
        test = ("pytest", "-q", "-p", "no:cacheprovider", "tests/test_notebooks.py", "-k", f"test_skeleton and {NAME}")
        stale = made.run(*test)
        assert stale.returncode == 1 and f"belle2dark new {NAME} --notebook" in stale.stdout, stale.stdout[-3000:]
        done = made.run("belle2dark", "new", NAME, "--notebook")
        assert (done.returncode, done.stdout.strip()) == (0, str(notebook)), done.stderr
        text = notebook.read_text(encoding="utf-8")
        assert "mass of the Y" in text and '"# Axial Y' in text and '"title": "Axial Y"' in text and "Once upon a time" in text
        assert made.run(*test).returncode == 0
    finally:
        module.write_text(keep[0], encoding="utf-8")
        notebook.write_text(keep[1], encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("searches", 'columns["pt_mumu_cms"]', 'columns["pt_mumu"]', "no column 'pt_mumu'; nearest: pt_mumu_cms"),
        ("searches", 'x="recoil_mass_squared"', 'x="recoil_mass_square"', "nearest: recoil_mass_squared"),
        ("searches", "SEARCH = Search", "SERCH = Search", "must define SEARCH = Search(name="),
        ("searches", f'name="{NAME}"', 'name="other"', "must define SEARCH = Search(name="),
        ("searches", '["m_x"]) ** 2, 0.0', '["m_x"]) - 50.0, 0.0', "left after: signal window"),
        ("data", "value: 0.25", "value: 25e-2", "needs a decimal point"),
        ("data", "size: uncertainty_background", "size: uncertainty_backgrond", "nearest: uncertainty_background"),
    ],
)
def test_usual_mistakes_are_answered_with_what_to_do(copy: Path, made: Forks, file: str, old: str, new: str, message: str):
    path = copy / "belle2dark" / file / (f"{NAME}.py" if file == "searches" else f"{NAME}.yaml")
    if not path.is_file():
        assert made.run("belle2dark", "new", NAME).returncode == 0
    keep = path.read_text(encoding="utf-8")
    assert old in keep
    try:
        path.write_text(keep.replace(old, new), encoding="utf-8")
        done = made.run("belle2dark", "point", NAME, "--json", "--n-events", "1000")
        assert message in done.stdout + done.stderr, done.stderr
    finally:
        path.write_text(keep, encoding="utf-8")


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
