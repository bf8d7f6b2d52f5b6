"""Time counting limits of 9011 windows against pyhf (one asymptotic limit) and against each other.

Run with ``python benchmarks/bench_limits.py``; one line per job with the ratio inside this run and the target.
"""

from __future__ import annotations

import numpy as np

from belle2dark import limits
from belle2dark.limits.bands import expected_median, expected_upper_limits
from belle2dark.limits.counting import upper_limits
from belle2dark.limits.nuisance import Uncertainties
from benchmarks.timing import best

WINDOWS = 9011


def pyhf_seconds() -> float | None:
    """Seconds of one asymptotic 90 % CLs limit by pyhf with 15 % on b; None without pyhf."""
    try:
        import pyhf
        from pyhf.infer.intervals.upper_limits import toms748_scan
    except ImportError:
        return None
    model = pyhf.simplemodels.uncorrelated_background([1.0], [0.8], [0.12])
    data = [2.0, *model.config.auxdata]
    return best(lambda: toms748_scan(data, model, 0.0, 10.0, level=0.1), 2)  # upper_limit(..., level) ignores the level


def general_limits() -> None:
    """A hundred different limits that the compiled kernels do not do."""
    from belle2dark.limits import public

    public._general.cache_clear()
    limits.upper_limit(np.arange(100) % 10, np.linspace(0.1, 3.0, 100), background_uncertainty=0.15, efficiency_uncertainty=0.10,
                       constraint="lognormal")  # fmt: skip


def report(name: str, seconds: float, ratio: float, unit: str, target: str, reached: bool | None) -> None:
    """Print one line."""
    verdict = "" if reached is None else f"  target {target}: {'reached' if reached else 'MISSED'}"
    print(f"limits, {name}: {seconds * 1e3:.2f} ms = {ratio:.3g} {unit}{verdict}")


def main() -> None:
    """Small backgrounds as in the search, then the same plane at fifty times the luminosity."""
    rng = np.random.default_rng(1)
    b = rng.uniform(0.05, 3.0, WINDOWS)
    n, mc = rng.poisson(b), rng.uniform(0.02, 0.2, WINDOWS)
    independent = Uncertainties(signal=0.10, background=0.15)
    realistic = Uncertainties(background=0.2, correlated=0.1)
    bayes = best(lambda: upper_limits(n, b, uncertainties=independent))
    peer = pyhf_seconds()
    if peer is not None:
        ratio = peer * WINDOWS / bayes
        report("Bayesian, 10 % and 15 %", bayes, ratio, f"x pyhf ({peer * 1e3:.0f} ms per limit)", ">= 1e5", ratio >= 1e5)
    full = {"uncertainties": realistic, "background_mc": mc}
    jobs = (
        ("Bayesian, 10 % correlated, 20 % and template error", lambda: upper_limits(n, b, **full), None),
        ("CLs, 10 % and 15 %", lambda: upper_limits(n, b, method="cls", uncertainties=independent), 2.0),
        ("CLs without systematics", lambda: upper_limits(n, b, method="cls"), None),
        ("Feldman-Cousins from the table", lambda: upper_limits(n, b, method="feldman_cousins", exact=False), 0.3),
        ("Feldman-Cousins exact", lambda: upper_limits(n, b, method="feldman_cousins"), None),
        ("Feldman-Cousins table with systematics", lambda: upper_limits(n, b, method="feldman_cousins", uncertainties=independent,
                                                                         exact=False), None),
        ("Feldman-Cousins tables, template error per window", lambda: upper_limits(n, b, method="feldman_cousins", exact=False,
                                                                                   **full), None),
        ("public upper_limit, 10 % and 15 %", lambda: limits.upper_limit(n, b, background_uncertainty=0.15,
                                                                         efficiency_uncertainty=0.10), 1.5),
        ("expected band, 10 % correlated, 20 %", lambda: expected_upper_limits(b, **full), None),
        ("expected band, 50 x luminosity", lambda: expected_upper_limits(50 * b, **full), None),
        ("expected median, 5000 x luminosity", lambda: expected_median(5000 * b, **full), None),
    )  # fmt: skip
    for name, job, target in jobs:
        seconds = best(job, 3)
        reached = None if target is None else seconds <= target * bayes
        report(name, seconds, seconds / bayes, "x Bayesian", f"<= {target}", reached)
    general = best(general_limits, 3)
    report("log-normal constraints, 100 limits", general, general / 100 / (bayes / WINDOWS), "x Bayesian, per limit", "", None)
    slider = best(lambda: expected_median(b[:1000], uncertainties=realistic, background_mc=mc[:1000]))
    report("1000 expected limits, one slider step", slider, slider / 0.016, "x one frame of 16 ms", "<= 1", slider <= 0.016)


if __name__ == "__main__":
    main()
