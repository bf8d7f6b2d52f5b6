"""Statistics of searches: numbers in, limits out; knows no physics.

    from belle2dark import limits
    limits.upper_limit(2, 0.8, background_uncertainty=0.15, efficiency_uncertainty=0.10)   # 4.72 signal events at 90 %
    limits.expected(0.8, cl=0.95, method="cls").median
    limits.interval([0, 3, 9], 3.0, method="feldman_cousins").low

Which method. Quote what the collaboration's paper quotes, and say it with the confidence level. Without a precedent take
``bayesian`` (or ``cls``, the same number without systematics); ``feldman_cousins`` where an excess should turn into an
interval by itself; ``clsb`` only to reproduce old results.

``bayesian``: posterior of the signal, systematics averaged over their constraints, prior flat in the rate by default.
    Always defined; never below the limit at n = 0; covers at least nominally with a known background (it then equals CLs).
    ``prior="sqrt"`` (1/sqrt(s)) and ``"reference"`` (1/sqrt(s + b)) are less conservative: they under-cover at some signals.
    Helene, Nucl. Instrum. Meth. 212 (1983) 319; Demortier, Jain and Prosper, Phys. Rev. D 82 (2010) 034002.

``cls``: P(N <= n | s + b) / P(N <= n | b) = 1 - cl, both averaged over the systematics (hybrid) before dividing.
    Never excludes a signal to which the search has no sensitivity, at the price of over-coverage where n is below b.
    Exact in the counts; the asymptotic formula is off by 16 % at n = 2, b = 0.8 and is not offered for counting.
    Read, J. Phys. G 28 (2002) 2693; Junk, Nucl. Instrum. Meth. A 434 (1999) 435.

``clsb``: P(N <= n | s + b) = 1 - cl alone, the classical one-sided limit (``interval``: the central one).
    Covers exactly up to discreteness, but gives 0, excluding every signal, where n falls far below b.

``feldman_cousins``: counts ranked by P(n | s) / P(n | best s) and accepted in that order until they hold cl.
    Unified: an upper limit without and a two-sided interval with an excess; never empty; covers by construction.
    As published, the upper end may not rise when b falls: it is the largest over all b' >= b, found exactly and not on a
    grid of b. Systematics are averaged before ranking; coverage then holds on average over the constraint.
    Feldman and Cousins, Phys. Rev. D 57 (1998) 3873; Conrad et al., Phys. Rev. D 67 (2003) 012002.

Systematics are relative: of the background, of the efficiency, ``correlated`` of both. ``constraint``: ``gaussian`` (cut off
above 0), ``lognormal`` or ``gamma``, see :mod:`.constraints`. Several components, correlations, windows or datasets:
:class:`Channel` with :class:`Systematic` records, :func:`combined_limit`, :func:`breakdown`. Measured coverage: docs/coverage.md.

========================  ==========================================================================================
:mod:`.public`            the functions above: vectorised, floats in and floats out
:mod:`.counting`          compiled upper limits of thousands of windows, with the ``Uncertainties`` record
:mod:`.bands`             expected limits with -2 .. +2 sigma band of thousands of windows
:mod:`.systematics`       records of systematics and channels, YAML in
:mod:`.combination`       one limit from several channels; what each systematic costs
:mod:`.coverage`          how often a limit is right, by exact sums
:mod:`.discovery`         p-values, significances, luminosity for a discovery
:mod:`.p_scan`            p-values along a variable, with half-bin-shifted windows
:mod:`.punzi`             figure of merit for choosing a selection
:mod:`.optimise`          best cut or window by Punzi, expected limit or S/sqrt(B)
:mod:`.shape_fit`         signal over background in a histogram; shapes in :mod:`.shapes`, :mod:`.background_shapes`
:mod:`.shape_limit`       upper limits of such a fit: CLs asymptotic and with toys, Bayesian
:mod:`.mass_scan`         sliding windows over many masses
:mod:`.look_elsewhere`    local to global p-values
:mod:`.windows`           counting events in thousands of overlapping ellipses
========================  ==========================================================================================

``averaged``, ``flat_prior``, ``feldman_cousins``, ``special`` and ``nuisance`` hold the compiled kernels; ``constraints``,
``nodes``, ``general``, ``solve``, ``unified`` and ``joint`` what is more general and slower. Names are loaded when first used:
importing this package loads none of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_HOME = {
    "Breakdown": "combination",
    "Channel": "systematics",
    "Chebyshev": "background_shapes",
    "CombinedLimit": "combination",
    "Coverage": "coverage",
    "CrystalBall": "shapes",
    "CutScan": "optimise",
    "DoubleCrystalBall": "shapes",
    "DoubleGaussian": "shapes",
    "Expected": "public",
    "Exponential": "background_shapes",
    "FitResult": "shape_fit",
    "Gaussian": "shapes",
    "GlobalSignificance": "look_elsewhere",
    "Interval": "public",
    "Nuisance": "fit_model",
    "PScan": "p_scan",
    "Polynomial": "background_shapes",
    "RateLimit": "public",
    "ScanResult": "mass_scan",
    "ShapeLimit": "shape_limit",
    "Systematic": "systematics",
    "Template": "shapes",
    "Templates": "background_shapes",
    "Uncertainties": "nuisance",
    "breakdown": "combination",
    "combined_expected": "combination",
    "combined_limit": "combination",
    "coverage": "coverage",
    "discovery_luminosity": "discovery",
    "expected": "public",
    "expected_limits": "mass_scan",
    "expected_significance": "discovery",
    "fit": "shape_fit",
    "fit_templates": "shape_fit",
    "global_p_value": "look_elsewhere",
    "interval": "public",
    "make_windows": "scan_windows",
    "mass_grid": "mass_scan",
    "optimise_cut": "optimise",
    "optimise_window": "optimise",
    "p_value": "public",
    "p_value_scan": "p_scan",
    "punzi": "public",
    "rate_limit": "public",
    "scan": "mass_scan",
    "scan_both_binnings": "look_elsewhere",
    "shape_limit": "shape_limit",
    "significance": "public",
    "systematics_from": "systematics",
    "toy_scans": "look_elsewhere",
    "upcrossings": "look_elsewhere",
    "upper_limit": "public",
}

__all__ = sorted(_HOME)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # Importing belle2dark.limits.punzi would put that module in the place of the function punzi: keep the function.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'belle2dark.limits' has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(f"{__name__}.{_HOME[name]}"), name))


def __dir__() -> list[str]:
    return sorted(_HOME)
