"""Time mass scans, their toys and expected limits against iminuit with numba-stats, and one shape limit against pyhf.

Run with ``python benchmarks/bench_fit.py``; one line per job with the ratio inside this run and the target. The peer is used
as a user would: a binned extended cost function of numba-stats shapes, one Minuit per hypothesis, migrad and hesse. All on one
thread.
"""

from __future__ import annotations

import numpy as np

from belle2dark._jit import threads
from belle2dark.limits.background_shapes import Chebyshev, Templates
from belle2dark.limits.look_elsewhere import toy_scans
from belle2dark.limits.mass_scan import expected_limits, scan
from belle2dark.limits.scan_windows import Windows, make_windows
from belle2dark.limits.shape_limit import shape_limit
from belle2dark.limits.shapes import Gaussian, fractions
from benchmarks.timing import best

EDGES = np.linspace(0.0, 10.0, 2001)
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])
SIGMA = 0.02
MEAN = 80.0 * np.exp(-0.15 * CENTRES)
MASSES = np.linspace(0.5, 9.5, 500)
CURVE = Chebyshev(degree=3)
PEER_MASSES = 20  # of the 500, the rest is extrapolated
TOYS = 500  # of 10^4, likewise


def iminuit_seconds(n: np.ndarray, windows: Windows) -> float | None:
    """Seconds of 500 x 2 fits by iminuit with numba-stats; None without them."""
    try:
        from iminuit import Minuit
        from iminuit.cost import ExtendedBinnedNLL
        from numba_stats import bernstein, norm
    except ImportError:
        return None

    def fits(j: int) -> float:
        low, size, mass = int(windows.first[j]), int(windows.size[j]), MASSES[j]
        x = EDGES[low : low + size + 1]

        def model(e, s, b0, b1, b2, b3):  # type: ignore[no-untyped-def]
            return s * norm.cdf(e, mass, SIGMA) + bernstein.integral(e, (b0, b1, b2, b3), x[0], x[-1])

        counts = n[low : low + size]
        level = counts.sum() / (x[-1] - x[0])
        minuit = Minuit(ExtendedBinnedNLL(counts, x, model), s=0.0, b0=level, b1=level, b2=level, b3=level)
        minuit.fixed["s"] = True
        minuit.migrad()
        minuit.fixed["s"] = False
        minuit.migrad()
        minuit.hesse()
        return float(minuit.values["s"])

    some = range(0, len(MASSES), len(MASSES) // PEER_MASSES)
    return best(lambda: [fits(j) for j in some], 2) * len(MASSES) / len(some)


def pyhf_seconds(n: np.ndarray, signal: np.ndarray, background: np.ndarray) -> float | None:
    """Seconds of one asymptotic 90 % CLs limit of a 20-bin fit by pyhf; None without it."""
    try:
        import pyhf
        from pyhf.infer.intervals.upper_limits import toms748_scan
    except ImportError:
        return None
    factors = [{"name": "norm", "type": "normsys", "data": {"hi": 1.1, "lo": 1 / 1.1}}]
    samples = [{"name": "s", "data": list(signal), "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
               {"name": "b", "data": list(background), "modifiers": factors}]  # fmt: skip
    model = pyhf.Model({"channels": [{"name": "c", "samples": samples}]}, poi_name="mu")
    data = [*map(float, n), *model.config.auxdata]
    return best(lambda: toms748_scan(data, model, 0.01, 10.0, level=0.1), 2)


def report(name: str, seconds: float, text: str, target: str = "", reached: bool | None = None) -> None:
    """Print one line."""
    verdict = "" if reached is None else f"  target {target}: {'reached' if reached else 'MISSED'}"
    print(f"fits, {name}: {seconds * 1e3:.3g} ms = {text}{verdict}", flush=True)


def main() -> None:
    """A falling spectrum of 2000 bins, windows of +- 10 resolutions (80 bins), a cubic background."""
    n = np.random.default_rng(1).poisson(MEAN).astype(float)
    windows = make_windows(EDGES, MASSES, SIGMA, Gaussian(), CURVE)
    if not scan(n, EDGES, MASSES, SIGMA).converged.all():
        raise SystemExit("fits failed: the times would mean nothing")
    with threads(1):
        hunt = best(lambda: scan(n, EDGES, MASSES, SIGMA, limits=False), 30)
        toys = best(lambda: toy_scans(MEAN, windows, n_toys=TOYS), 3) * 1e4 / TOYS
    peer = iminuit_seconds(n, windows)
    report("500 masses x 2", hunt, f"{hunt * 1e3:.1f} us per fit")
    if peer is not None:
        ratio = peer / hunt
        report("iminuit with numba-stats, the same", peer, f"{ratio:.0f} x ours", ">= 200 x", ratio >= 200)
        ratio = 2.0 * peer * 1e4 / toys  # toys are independent: two threads halve the time
        report("10^4 look-elsewhere toys on two threads", toys / 2, f"1/{ratio:.0f} of the peer", ">= 1000 x", ratio >= 1000)
    with threads(1):
        limits = best(lambda: scan(n, EDGES, MASSES, SIGMA), 10)
    report("500 masses with limits and bands", limits, f"{limits / hunt:.1f} x the fits")
    masses = np.linspace(0.5, 9.5, 1000)
    many = make_windows(EDGES, masses, SIGMA, Gaussian(), CURVE)
    with threads(1):
        slider = best(lambda: expected_limits(2.0 * MEAN, many), 30)
    report("1000 expected limits, one slider step", slider, f"{slider / 0.016:.2f} x one frame of 16 ms", "<= 1", slider <= 0.016)
    edges = np.linspace(0.0, 1.0, 21)
    signal, background = 20.0 * fractions(Gaussian(mean=0.5, sigma=0.08), edges), np.linspace(30.0, 15.0, 20)
    data = np.random.default_rng(2).poisson(background).astype(float)
    templates = Templates(contents=background[None, :], uncertainties=(0.1,))
    one = best(lambda: shape_limit(data, None, signal, templates))
    other = pyhf_seconds(data, signal, background)
    report("one template limit with band", one, "user level")
    if other is not None:
        report("pyhf, the same", other, f"{other / one:.0f} x ours")


if __name__ == "__main__":
    main()
