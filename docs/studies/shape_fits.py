"""Pulls of the fitted yield, coverage of asymptotic CLs limits, asymptotic against toy limits: prints the tables of
shape_fits.md and draws shape_fits.svg.

Run with ``python docs/studies/shape_fits.py``; a few minutes on one core.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from belle2dark.limits.background_shapes import Chebyshev, Templates, columns
from belle2dark.limits.fit_model import Nuisance, build
from belle2dark.limits.shape_fit import fit
from belle2dark.limits.shape_limit import limit_of_model
from belle2dark.limits.shapes import Gaussian, fractions

SEED = 2026
EDGES = np.linspace(-10.0, 10.0, 41)
PEAK = Gaussian()
FLOATING = Chebyshev(degree=1)


def mean_of(events: float) -> np.ndarray:
    """Background contents with ``events`` within two resolutions of the peak."""
    basis = columns(FLOATING, EDGES)
    shape = basis[0] - 0.3 * basis[1]
    return shape * events / shape[np.abs(0.5 * (EDGES[1:] + EDGES[:-1])) < 2].sum()


def pulls(events: float, signal: float, toys: int) -> tuple[float, float, int]:
    """Mean and width of (fitted - true)/error, and how many fits did not converge or stopped at the boundary."""
    rng = np.random.default_rng([SEED, int(events), int(signal)])
    mu = mean_of(events) + signal * fractions(PEAK, EDGES)
    values, lost = [], 0
    for n in rng.poisson(mu, (toys, len(mu))):
        result = fit(n, EDGES, PEAK, FLOATING)
        if result.converged and not result.at_boundary:
            values.append((result.signal_yield - signal) / result.error)
        else:
            lost += 1
    return float(np.mean(values)), float(np.std(values, ddof=1)), lost


def coverage(events: float, signal: float, toys: int, cl: float) -> tuple[float, int]:
    """Fraction of toys whose asymptotic limit is above the true yield, and failed limits (counted as not covering)."""
    rng = np.random.default_rng([SEED, 7, int(events), int(10 * signal)])
    mu = mean_of(events) + signal * fractions(PEAK, EDGES)
    good = failed = 0
    for n in rng.poisson(mu, (toys, len(mu))):
        limit = limit_of_model(build(n, EDGES, PEAK, FLOATING), cl=cl)
        if limit.observed is None:
            failed += 1
        elif limit.observed >= signal:
            good += 1
    return good / toys, failed


def against_toys(events: float, n_toys: int) -> tuple[float, float, float, list[float]]:
    """Asymptotic and toy limit of typical data, the toys' error, and the ratios of the expected bands."""
    mu = mean_of(events)
    n = np.random.default_rng([SEED, 11, int(events)]).poisson(mu)
    background = Templates(contents=mu[None, :], uncertainties=(0.1,))
    model = build(n, EDGES, PEAK, background, nuisances=[Nuisance(name="efficiency", signal=0.05)])
    asymptotic = limit_of_model(model)
    toys = limit_of_model(model, calculator="toys", n_toys=n_toys, seed=SEED)
    assert asymptotic.observed and toys.observed and asymptotic.expected and toys.expected
    ratios = [a / b for a, b in zip(asymptotic.expected, toys.expected, strict=True)]
    return asymptotic.observed, toys.observed, toys.toy_error, ratios


def draw(points: dict[float, list[tuple[float, float]]], toys: int, cl: float, path: Path) -> None:
    """Coverage against true yield over its typical error, one line per background, as SVG."""
    width, height, left, top = 640, 360, 60, 20
    colours = dict(zip(points, ("#0072b2", "#e69f00", "#009e73"), strict=True))

    def x(value: float) -> float:
        return left + (width - left - 20) * value / 3.0

    def y(value: float) -> float:
        return top + (height - top - 50) * (1.0 - value) / 0.2

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<line x1="{left}" x2="{width - 20}" y1="{y(cl)}" y2="{y(cl)}" stroke="#888" stroke-dasharray="5 4"/>']  # fmt: skip
    for tick in (0.80, 0.85, 0.90, 0.95, 1.0):
        out.append(f'<text x="{left - 8}" y="{y(tick) + 4}" text-anchor="end">{tick:.2f}</text>')
    for tick in (0, 1, 2, 3):
        out.append(f'<text x="{x(tick)}" y="{height - 32}" text-anchor="middle">{tick}</text>')
    out.append(f'<text x="{(width + left) / 2}" y="{height - 10}" text-anchor="middle">true yield / expected error</text>')
    for row, (events, curve) in enumerate(points.items()):
        colour = colours[events]
        path_text = " ".join(f"{x(u):.1f},{y(max(v, 0.8)):.1f}" for u, v in curve)
        out.append(f'<polyline points="{path_text}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for u, v in curve:
            e = (max(v * (1 - v), 1e-4) / toys) ** 0.5
            out.append(f'<line x1="{x(u):.1f}" x2="{x(u):.1f}" y1="{y(v - e):.1f}" y2="{y(v + e):.1f}" stroke="{colour}"/>')
            out.append(f'<circle cx="{x(u):.1f}" cy="{y(v):.1f}" r="3.5" fill="{colour}"/>')
        out.append(f'<text x="{width - 200}" y="{height - 120 + 18 * row}" fill="{colour}">{events:g} background events</text>')
    out.append("</svg>")
    path.write_text("\n".join(out) + "\n", encoding="utf-8")


def main() -> None:
    """All tables."""
    print("| events within 2 sigma | true yield | pull mean | pull width | boundary or failed |\n|---|---|---|---|---|")
    for events in (20, 200, 2000):
        for strength in (0.0, 2.0):
            toys, signal = 2000, strength * 2.0 * events**0.5
            mean, width, lost = pulls(events, signal, toys)
            errors = toys**-0.5, (2 * toys) ** -0.5
            print(f"| {events} | {signal:.1f} | {mean:+.3f} +- {errors[0]:.3f} | {width:.3f} +- {errors[1]:.3f} | {lost} |")
    print("\n| events | asymptotic | toys | ratio of expected -2 ... +2 sigma |\n|---|---|---|---|")
    for events in (5, 20, 200):
        a, t, e, ratios = against_toys(events, 4000)
        print(f"| {events} | {a:.2f} | {t:.2f} +- {e:.2f} | {', '.join(f'{r:.2f}' for r in ratios)} |", flush=True)
    print("\n| events | true yield | coverage of 90 % CLs, asymptotic | failed |\n|---|---|---|---|")
    curves: dict[float, list[tuple[float, float]]] = {}
    for events in (5, 20, 200):
        sigma = fit(mean_of(events), EDGES, PEAK, FLOATING).error
        curves[events] = []
        for strength in (0.5, 1.0, 2.0, 3.0):
            value, failed = coverage(events, strength * sigma, 2000, 0.90)
            curves[events].append((strength, value))
            print(
                f"| {events} | {strength * sigma:.1f} | {value:.3f} +- {(value * (1 - value) / 2000) ** 0.5:.3f} | {failed} |",
                flush=True,
            )
    draw(curves, 2000, 0.90, Path(__file__).with_suffix(".svg"))


if __name__ == "__main__":
    main()
