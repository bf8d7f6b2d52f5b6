"""Time the counting of events in tilted ellipses against one ``np.histogram2d`` of the same events.

Run with ``python benchmarks/bench_windows.py``; one line per job with the ratio inside this run and the target.
"""

from __future__ import annotations

import numpy as np

from belle2dark.limits.windows import CellIndex, Ellipses, contains, count
from benchmarks.timing import best


def main() -> None:
    """1e6 events, 9011 tilted ellipses over the plane of dimuon mass and squared recoil mass."""
    rng = np.random.default_rng(1)
    n, m = 1_000_000, 9011
    for label, top in (("recoil 0-110 GeV^2", 110.0), ("recoil 0-10 GeV^2", 10.0)):
        x, y, weights = rng.uniform(0, 10.5, n), rng.uniform(0, top, n), rng.exponential(1.0, n)
        sx, sy, rho = rng.uniform(0.01, 0.05, m), rng.uniform(0.05, 0.3, m), rng.uniform(-0.9, 0.9, m)
        covariance = np.stack([np.stack([sx**2, rho * sx * sy], 1), np.stack([rho * sx * sy, sy**2], 1)], 1)
        ellipses = Ellipses.from_covariance(np.stack([rng.uniform(0, 10.5, m), rng.uniform(0, top, m)], 1), covariance)
        counts, _ = count(x, y, ellipses)
        for k in range(0, m, m // 50):
            brute = contains(x, y, ellipses.centres[k], covariance[k]).sum()
            assert brute == counts[k], (k, brute, counts[k])
        index = CellIndex(x, y)
        peer = best(lambda x=x, y=y: np.histogram2d(x, y, bins=100), 3)
        jobs = (("sort and count", lambda x=x, y=y, e=ellipses: count(x, y, e), 0.5),
                ("sort and sum weights", lambda x=x, y=y, e=ellipses, w=weights: count(x, y, e, w), None),
                ("sort only", lambda x=x, y=y: CellIndex(x, y), None),
                ("count again", lambda i=index, e=ellipses: i.count(e), None),
                ("sum weights again", lambda i=index, e=ellipses, w=weights: i.count(e, w), None))  # fmt: skip
        for name, job, target in jobs:
            seconds = best(job)
            verdict = "" if target is None else f"  target <= {target}: {'reached' if seconds <= target * peer else 'MISSED'}"
            print(f"windows, {label}, {name}: {seconds * 1e3:.1f} ms = {seconds / peer:.3f} x np.histogram2d "
                  f"({peer * 1e3:.0f} ms){verdict}")  # fmt: skip


if __name__ == "__main__":
    main()
