"""An import only goes to a lower layer, searches never import each other, and importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Container
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "belle2dark"

#: Lowest first; a module belongs to the longest name that fits. Modules of one group may import each other (without
#: cycles), groups only lower ones.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("_jit", "_schema", "constants", "sourced", "parameters"),
    ("theory",),
    ("simulation",),
    ("detector",),
    ("trigger",),
    ("selection",),
    (
        "classifier",
        "final_states",
        "packing",
        "photon_veto",
        "recipes",
        "templates",
    ),
    ("window",),
    ("search",),
    (
        "contract",
        "sample",
        "fitting",
        "peak_fit",
        "component_fit",
        "spectrum_fit",
        "coupling_limits",
        "lifetime_path",
        "inelastic_reach",
        "process_rate",
        "breakdown",
        "limited_by",
        "scaling",
        "mass_frame",
        "mass_hypotheses",
        "mass_scan",
        "pion_control",
        "answer",
        "point",
        "point_limits",
        "observed",
        "scan",
        "projection",
        "line_study",
        "plane",
        "vector_search",
        "mass_bins",
        "mass_grid",
        "control",
        "macro_regions",
        "mass_regions",
    ),
    ("searches",),
    ("plots",),
    (
        "launch",
        "_report",
        "_server",
        "produce",
        "training",
        "region",
        "comparison",
        "check_observed",
        "check",
        "dashboard",
        "notebook",
        "scaffold",
        "options",
        "cluster",
        "export",
    ),
    ("terminal",),
    ("cli", "__main__"),
)
#: Level 2 beside the chain above: physics-free statistics and published results import only the foundations.
ASIDE = ("limits", "published")
FOUNDATIONS = {"_jit", "_schema", "constants", "sourced", "parameters"}
LEVEL_OF = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    """Dotted name below the package -> file."""
    out = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        out[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return out


MODULES = modules()


def top(name: str) -> str:
    return name.split(".")[0]


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imports(name: str, skip: Container[int] = ()) -> tuple[set[str], set[str]]:
    """Modules of the package that ``name`` imports: (anywhere at run time, only for type checking)."""
    tree = tree_of(name)
    typing_nodes = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    runtime: set[str] = set()
    typed: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            # `from belle2dark.x import y`: y may itself be a module
            found = [f"{node.module}.{a.name}" for a in node.names]
        else:
            continue
        if id(node) in skip:
            continue
        for text in found:
            package, _, inner = text.partition(".")
            if package != "belle2dark":
                continue
            while inner and inner not in MODULES:
                inner = inner.rpartition(".")[0]
            (typed if id(node) in typing_nodes else runtime).add(inner)
    return runtime - {name}, typed - {name}


def at_import(name: str) -> set[str]:
    """Modules of the package that importing ``name`` imports: what is not inside a function."""
    tree = tree_of(name)
    inner = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(f)}
    runtime, _ = imports(name, skip=inner)
    return runtime


def names() -> list[str]:
    return [name for name in MODULES if name]


def test_every_module_has_a_layer():
    homeless = {top(name) for name in names()} - set(LEVEL_OF) - set(ASIDE)
    assert not homeless, f"say in tests/test_layers.py which layer {sorted(homeless)} belongs to"


@pytest.mark.parametrize("name", names())
def test_imports_go_down(name: str):
    runtime, typed = imports(name)
    for other in sorted((runtime | typed) - {""}):
        here, there = top(name), top(other)
        if here == there:
            continue
        if here in ASIDE:
            assert there in FOUNDATIONS, f"{name} imports {other}: {here} knows nothing of physics or searches"
        elif there in ASIDE:
            assert LEVEL_OF[here] >= LEVEL_OF["templates"], f"{name} imports {other}"
        elif other in runtime:
            assert LEVEL_OF[there] <= LEVEL_OF[here], f"{name} imports {other}, which is above it"
        else:  # annotations may look sideways and one level up: the JSON of a point is apart from the point
            assert LEVEL_OF[there] <= LEVEL_OF[here] + 1, f"{name} imports {other} for its types, which is above it"


def test_searches_never_import_each_other():
    for name in names():
        if name.startswith("searches."):
            runtime, typed = imports(name)
            assert not {other for other in runtime | typed if other.startswith("searches.")}, name


def test_nothing_but_the_loader_names_a_search():
    """A search is found, never listed: only the list of kept kernels and the model of new notebooks name one."""
    searches = {name.removeprefix("searches.") for name in names() if name.startswith("searches.")}
    for name in names():
        if name.startswith("searches.") or name in ("launch", "scaffold", "produce"):
            continue
        runtime, typed = imports(name)
        named = {
            other for other in runtime | typed if other.removeprefix("searches.") in searches and other.startswith("searches.")
        }
        assert not named, f"{name} imports {named}"


def test_no_cycles():
    """Of imports that happen on import; an import inside a function still has to go down or stay in its layer."""
    graph = {name: {other for other in at_import(name) if other} for name in names()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_importing_the_package_is_cheap():
    heavy = ("bokeh", "numba", "pyhf", "dask", "pandas", "scipy", "numpy", "ipywidgets", "typer", "pydantic")
    code = f"import sys, belle2dark; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]"


def test_public_names_are_a_list_and_all_load():
    code = "import belle2dark as b; assert b.__all__ == sorted(b.__all__); print([n for n in b.__all__ if not hasattr(b, n)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]", done.stderr
