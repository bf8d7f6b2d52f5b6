"""What a newcomer installs: dependency lists that agree, plain pins, and a wheel that carries all it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normalised(requirement: str) -> str:
    """The name in a requirement, as package indexes compare it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def specifier(requirement: str) -> str:
    """The version range in a requirement, without spaces."""
    return re.sub(r"^[A-Za-z0-9._-]+(\[.*\])?", "", requirement.strip()).replace(" ", "")


def conda_dependencies() -> list[str]:
    yaml = pytest.importorskip("yaml")
    return [d for d in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"] if isinstance(d, str)]


def test_binder_has_the_same_environment():
    assert (ROOT / "binder" / "environment.yml").read_bytes() == (ROOT / "environment.yml").read_bytes()


def test_conda_and_pip_ask_for_the_same_packages_and_versions():
    conda = {normalised(d): specifier(d) for d in conda_dependencies()}
    assert conda.pop("python").startswith("=3.11")
    conda.pop("pip")
    assert conda == {normalised(d): specifier(d) for d in PROJECT["dependencies"]}


def test_conda_names_are_simple():
    for dependency in conda_dependencies():
        assert re.fullmatch(r"[a-z0-9_-]+([<>=]=?[\d.]+(,[<>=]=?[\d.]+)*)?", dependency), dependency


def test_constraints_are_plain_pins_of_everything_we_ask_for():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[\w.!+]+( ; .+)?", line), f"not a plain pin: {line!r}"
        pins[normalised(line)] = line
    extras = PROJECT["optional-dependencies"]
    wanted = [
        d for extra in (PROJECT["dependencies"], *(extras[e] for e in ("test", "fit", "io", "cluster", "dev"))) for d in extra
    ]
    missing = {normalised(d) for d in wanted} - set(pins) - {"belle2dark"}
    assert not missing, f"run `make lock`: no pin for {sorted(missing)}"


def test_pins_are_inside_the_declared_ranges():
    from packaging.requirements import Requirement

    pins = dict(line.split(" ;")[0].split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    pins = {normalised(name): version for name, version in pins.items()}
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[normalised(requirement.name)]), text


def test_scripts_are_executable_and_valid_shell():
    for path in (".ci/run", "binder/postBuild", "binder/start"):
        script = ROOT / path
        assert script.stat().st_mode & 0o111, f"{path} is not executable"
        subprocess.run(["bash", "-n", str(script)], check=True)


def test_package_imports_without_the_heavy_libraries():
    heavy = ("bokeh", "voila", "pyhf", "dask", "papermill", "ipywidgets", "pandas")
    code = f"import sys, belle2dark, belle2dark.launch; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_carries_all_data_and_notebooks_and_nothing_else(wheel: zipfile.ZipFile):
    inside = {name for name in wheel.namelist() if not name.startswith("belle2dark-")}
    data = (p for p in (ROOT / "belle2dark").rglob("*") if p.is_file() and p.suffix not in (".pyc", ".nbi", ".nbc"))
    expected = {p.relative_to(ROOT).as_posix() for p in data}
    expected |= {f"belle2dark/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert expected - inside == set()
    strangers = {name for name in inside - expected if not name.startswith("belle2dark/notebooks/")}
    assert strangers == set()


def test_wheel_is_small(wheel: zipfile.ZipFile):
    size = sum(entry.compress_size for entry in wheel.infolist())
    assert size < 30e6, f"{size / 1e6:.1f} MB: templates alone may take 25 MB"
