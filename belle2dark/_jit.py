"""The one way this package compiles with numba.

Every kernel is decorated with :func:`jit`. It caches compiled code where the current user can write, and compiles
without a cache where nobody can: numba's own ``cache=True`` raises at import when neither the package folder nor the
home directory is writable (a read-only container, a shared installation). The cache of a kernel belongs to one state of
its module and of every module that one imports: numba itself only watches the file of a kernel, not the files of the
helpers inlined into it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba


def _writable(folder: Path) -> bool:
    """Whether a file can be made in ``folder`` (created if missing)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@cache
def _digest(file: Path) -> str:
    """A digest of one module and of all modules of this package that it imports, at any depth."""
    package = Path(__file__).parent
    seen: dict[Path, bytes] = {}
    todo = [file]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen[module] = text = module.read_bytes()
        for name in re.findall(rb"^from belle2dark\.([\w.]+) import", text, re.MULTILINE):
            path = package.joinpath(*name.decode().split("."))
            todo += [found for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file()]
    return hashlib.sha256(b"".join(seen[module] for module in sorted(seen))).hexdigest()[:12]


def _choose_cache() -> Path | None:
    """A folder for compiled code where the current user can write, or None; ``NUMBA_CACHE_DIR`` is honoured."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        folder = Path(os.environ["NUMBA_CACHE_DIR"])
        return folder if _writable(folder) else None
    home = os.environ.get("XDG_CACHE_HOME") or (str(Path(os.environ["HOME"], ".cache")) if os.environ.get("HOME") else "")
    user = f"belle2dark-{os.getuid()}" if hasattr(os, "getuid") else "belle2dark"
    for folder in ([Path(home, "belle2dark")] if home else []) + [Path(tempfile.gettempdir(), user)]:
        if _writable(folder):
            return folder
    return None


CACHE = _choose_cache()


def jit(*signatures: Any, parallel: bool = False, inline: bool = False, fastmath: bool = False) -> Callable[[Any], Any]:
    """Compile a function with numba in nopython mode, cached where possible.

    ``signatures`` are explicit numba signatures (none: compiled at the first call); ``inline`` marks helpers that are
    only called from other kernels; ``fastmath`` allows re-association, never NaN or inf assumptions.
    """
    flags: Any = {"contract", "reassoc", "arcp", "nsz"} if fastmath else False
    options = {"cache": CACHE is not None, "parallel": parallel, "fastmath": flags, "error_model": "numpy", "nogil": True}
    if inline:
        options["forceinline"] = True

    def compiled(function: Any) -> Any:
        if CACHE is not None:
            numba.config.CACHE_DIR = str(CACHE / _digest(Path(function.__code__.co_filename)))  # type: ignore[attr-defined]
        return (numba.njit(list(signatures), **options) if signatures else numba.njit(**options))(function)

    return compiled


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run the block with at most ``n`` numba threads; results do not depend on it."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(n, before))
    try:
        yield
    finally:
        numba.set_num_threads(before)
