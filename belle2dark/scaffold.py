"""``belle2dark new``: the four files of a new search, working from the first minute and full of TODOs.

All come from ``data/scaffold``. :func:`refresh_notebook` keeps title and parameters cell of the notebook those of the module.
"""

from __future__ import annotations

import json
import keyword
import os
import re
from importlib import invalidate_caches
from pathlib import Path

from belle2dark.launch import PACKAGE, notebook_path, notebooks_dir
from belle2dark.search import load_search, search_names

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def new_search(name: str) -> tuple[Path, ...]:
    """Write module, numbers, published results and notebook of a search called ``name``; returns the files.

    Raises ``ValueError`` for a name that is not a lower-case identifier, ``FileExistsError`` if one of the files exists: then
    none is written.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(f"name {name!r}: must be lower-case words joined by underscores, for example zprime_invisible")
    if name in search_names():
        raise FileExistsError(f"there is a search {name!r} already")
    files = {
        "search.py.txt": PACKAGE / "searches" / f"{name}.py",
        "numbers.yaml": PACKAGE / "data" / f"{name}.yaml",
        "published.yaml": PACKAGE / "published" / f"{name}.yaml",
        "notebook.ipynb.txt": notebooks_dir() / f"{name}.ipynb",
    }
    for file in files.values():
        if file.exists():
            raise FileExistsError(f"{file} exists already; nothing was written")
    written: list[Path] = []
    try:
        for model, file in files.items():
            text = (PACKAGE / "data" / "scaffold" / model).read_text(encoding="utf-8")
            written.append(file)
            _write(file, text.replace("new_search", name).replace("New search", title(name)))
        invalidate_caches()  # the module was written a moment ago
        refresh_notebook(name)
    except BaseException:
        for file in written:
            file.unlink(missing_ok=True)
        raise
    return tuple(written)


def refresh_notebook(name: str) -> Path:
    """Bring title and parameters cell of a search's notebook up to date with its module; returns the file.

    Raises ``ValueError`` for an unknown search, ``FileNotFoundError`` if it has no notebook.
    """
    from belle2dark.notebook import parameters_cell

    search, file = load_search(name), notebook_path(name)
    notebook = json.loads(file.read_text(encoding="utf-8"))
    first, *rest = notebook["cells"]
    first["source"] = [f"# {search.title}\n", *(line.replace("CHANNEL", search.channel) for line in first["source"][1:])]
    for cell in rest:
        if "parameters" in cell["metadata"].get("tags", ()):
            cell["source"] = parameters_cell(search).splitlines(keepends=True)
    notebook["metadata"]["title"] = search.title
    _write(file, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    return file


def title(name: str) -> str:
    """``zprime_invisible`` as ``Zprime invisible``."""
    return name.replace("_", " ").capitalize()


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
