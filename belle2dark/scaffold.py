"""``belle2dark new``: the four files of a new search, working from the first minute and full of TODOs.

Module, numbers and published results come from ``data/scaffold``; the notebook is the skeleton of an existing one with the
parameters cell of the new search.
"""

from __future__ import annotations

import json
import keyword
import os
import re
from pathlib import Path

from belle2dark.launch import PACKAGE, notebook_path
from belle2dark.search import search_names

#: The notebook whose skeleton is copied.
MODEL = "dark_higgsstrahlung"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_INTRODUCTION = "TODO: the physics in five sentences.\n\n$$CHANNEL$$"


def new_search(name: str) -> tuple[Path, ...]:
    """Write module, numbers, published results and notebook of a search called ``name``; returns the files.

    Raises ``ValueError`` for a name that is not a lower-case identifier, ``FileExistsError`` if one of the files exists: then
    none is written.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(f"name {name!r}: must be lower-case words joined by underscores, for example zprime_invisible")
    if name in search_names():
        raise FileExistsError(f"there is a search {name!r} already")
    model = notebook_path(MODEL)
    scaffold = PACKAGE / "data" / "scaffold"
    module = _named((scaffold / "search.py.txt").read_text(encoding="utf-8"), name)
    texts = {
        PACKAGE / "searches" / f"{name}.py": module,
        PACKAGE / "data" / f"{name}.yaml": (scaffold / "numbers.yaml").read_text(encoding="utf-8"),
        PACKAGE / "published" / f"{name}.yaml": _named((scaffold / "published.yaml").read_text(encoding="utf-8"), name),
        model.parent / f"{name}.ipynb": "",
    }
    for file in texts:
        if file.exists():
            raise FileExistsError(f"{file} exists already; nothing was written")
    notebook = model.parent / f"{name}.ipynb"
    written: list[Path] = []
    try:
        for file, text in texts.items():
            written.append(file)
            _write(file, text if file != notebook else _notebook(name, model))
    except BaseException:
        for file in written:
            file.unlink(missing_ok=True)
        raise
    return tuple(texts)


def title(name: str) -> str:
    """``zprime_invisible`` as ``Zprime invisible``."""
    return name.replace("_", " ").capitalize()


def _named(text: str, name: str) -> str:
    return text.replace("new_search", name).replace("New search", title(name))


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _notebook(name: str, model: Path) -> str:
    """The model's notebook with name, parameters cell and introduction of the new search, as JSON text."""
    from importlib import import_module, invalidate_caches

    from belle2dark.notebook import parameters_cell

    invalidate_caches()  # the module was written a moment ago
    search = import_module(f"belle2dark.searches.{name}").SEARCH
    old = import_module(f"belle2dark.searches.{MODEL}").SEARCH
    coupling = f'quantity="{search.couplings[0].name}"'
    notebook = json.loads(model.read_text(encoding="utf-8"))
    introduction = f"# {search.title}\n\n{_INTRODUCTION.replace('CHANNEL', search.channel)}"
    for k, cell in enumerate(notebook["cells"]):
        text = "".join(cell["source"])
        if "parameters" in cell["metadata"].get("tags", ()):
            text = parameters_cell(search)
        elif k == 0:
            text = introduction
        text = text.replace(f'"{MODEL}"', f'"{name}"').replace(f'quantity="{old.couplings[0].name}"', coupling)
        cell["source"] = text.splitlines(keepends=True)
    if "title" in notebook["metadata"]:
        notebook["metadata"]["title"] = search.title
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
