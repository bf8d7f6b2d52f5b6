"""A bench for dark-sector searches at e+e- B factories: simulation, L1 trigger, selection and limits.

    import belle2dark as b2d
    search = b2d.load_search("dark_higgsstrahlung")
    answer = b2d.point(search, {"m_aprime": 6.0, "luminosity": 427.0})

The names below are loaded when they are first used: importing the package costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_HOME = {
    "LimitCurve": "scan",
    "Point": "point",
    "Search": "search",
    "bin_limits": "mass_bins",
    "check_parameters": "notebook",
    "compare": "projection",
    "curve": "notebook",
    "dashboard": "dashboard",
    "enable": "notebook",
    "gallery": "notebook",
    "line_study": "line_study",
    "load_published": "published",
    "load_search": "search",
    "macro_regions": "macro_regions",
    "mass_grid": "mass_grid",
    "mass_points": "notebook",
    "mass_regions": "mass_regions",
    "pion_control": "pion_control",
    "plots": "",
    "point": "point",
    "pseudo_data": "observed",
    "pseudo_scans": "mass_scan",
    "scan": "scan",
    "scan_masses": "mass_scan",
    "search_names": "search",
    "show": "notebook",
    "thumbnails": "notebook",
    "write_result": "notebook",
}

__all__ = sorted(_HOME)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # Importing belle2dark.point would put that module in the place of the function point: keep the function.
        if not (_HOME.get(name) and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'belle2dark' has no attribute {name!r}")
    module = import_module(f"belle2dark.{_HOME[name] or name}")
    return globals().setdefault(name, getattr(module, name) if _HOME[name] else module)


def __dir__() -> list[str]:
    return sorted(_HOME)
