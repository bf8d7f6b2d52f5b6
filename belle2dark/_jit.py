"""The one way this package compiles with numba.

Every kernel is decorated with :func:`jit`. It caches compiled code where the current user can write, and compiles
without a cache where nobody can: numba's own ``cache=True`` raises at import when neither the package folder nor the
home directory is writable (a read-only container, a shared installation). The cache belongs to one state of the
sources: numba itself only watches the file of a kernel, not the files of the helpers inlined into it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def _sources() -> str:
    """A digest of the modules that hold kernels or their constants."""
    package = Path(__file__).parent
    folders = (package / name for name in ("simulation", "detector", "trigger", "limits"))
    kernels = [
        package / "_jit.py",
        package / "constants.py",
        *(file for folder in folders for file in sorted(folder.glob("*.py"))),
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in kernels)).hexdigest()[:12]


def _choose_cache() -> bool:
    """Point numba at a per-user cache folder and say whether caching is possible; ``NUMBA_CACHE_DIR`` is honoured."""
    state = _sources()
    if os.environ.get("NUMBA_CACHE_DIR"):
        folder = Path(os.environ["NUMBA_CACHE_DIR"], state)
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
        return _writable(folder)
    home = os.environ.get("XDG_CACHE_HOME") or (str(Path(os.environ["HOME"], ".cache")) if os.environ.get("HOME") else "")
    user = f"belle2dark-{os.getuid()}" if hasattr(os, "getuid") else "belle2dark"
    for folder in ([Path(home, "belle2dark")] if home else []) + [Path(tempfile.gettempdir(), user)]:
        if _writable(folder / state):
            numba.config.CACHE_DIR = str(folder / state)  # type: ignore[attr-defined]
            return True
    return False


CACHE = _choose_cache()


def jit(*signatures: Any, parallel: bool = False, inline: bool = False, fastmath: bool = False) -> Callable[[Any], Any]:
    """Compile a function with numba in nopython mode, cached where possible.

    ``signatures`` are explicit numba signatures (none: compiled at the first call); ``inline`` marks helpers that are
    only called from other kernels; ``fastmath`` allows re-association, never NaN or inf assumptions.
    """
    flags: Any = {"contract", "reassoc", "arcp", "nsz"} if fastmath else False
    options = {"cache": CACHE, "parallel": parallel, "fastmath": flags, "error_model": "numpy", "nogil": True}
    if inline:
        options["forceinline"] = True
    return numba.njit(list(signatures), **options) if signatures else numba.njit(**options)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run the block with at most ``n`` numba threads; results do not depend on it."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(n, before))
    try:
        yield
    finally:
        numba.set_num_threads(before)
