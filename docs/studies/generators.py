"""mu mu (gamma) and tau tau -> mu mu 4 nu against Pythia 8: rates and four spectrums; prints the tables of generators.md
and draws generators.svg.

Run with ``python docs/studies/generators.py`` (needs the ``gen`` extra, pythia8mc); four minutes on one core. Everything is
in the centre-of-mass frame, without beam-energy spread.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from belle2dark.constants import M_MUON, M_TAU
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.events import Events
from belle2dark.simulation.mumu_gamma import generate_unnormalised as mumu
from belle2dark.simulation.pair import dressed_cross_section
from belle2dark.simulation.radiation import radiated_cross_section
from belle2dark.simulation.tau_pairs import generate_unnormalised as tautau
from belle2dark.sourced import load_numbers

Array = NDArray[np.float64]
SEED = 2026
BEAMS = belle2_beams(spread=False)
SQRT_S = BEAMS.sqrt_s
MASSES = (M_MUON, M_MUON)
#: photon exchange only; one structure function per beam, at the scale of the beams instead of Pythia's default s'
PYTHIA = ("Print:quiet = on", "Beams:idA = 11", "Beams:idB = -11", f"Beams:eCM = {SQRT_S:.6f}", "WeakSingleBoson:ffbar2gmZ = on",
          "WeakZ0:gmZmode = 1", "PDF:lepton = on", "23:onMode = off", "Random:setSeed = on", f"Random:seed = {SEED}",
          "Next:numberCount = 0")  # fmt: skip
AT_S = ("SigmaProcess:factorScale1 = 2", f"SigmaProcess:factorFixScale = {SQRT_S**2:.4f}")
BINS = {
    "M(mu mu) [GeV]": np.linspace(0.0, 10.6, 27),
    "recoil mass squared [GeV^2]": np.linspace(0.0, 110.0, 23),
    "cos theta* of the recoil": np.linspace(-1.0, 1.0, 21),
    "E* of the hardest photon [GeV]": np.linspace(0.1, 5.3, 27),
}


class Sample(NamedTuple):
    """Muons and photons in the centre of mass, weights [pb]."""

    minus: Array
    plus: Array
    photons: Array
    weights: Array


def quadrature(mass: float) -> float:
    """Born with running coupling times radiator [nb]."""

    def born(s: Array) -> Array:
        return np.array([dressed_cross_section(float(value), mass) for value in s])

    return radiated_cross_section(born, SQRT_S, 2.0 * mass) * 1e-6


def ours(events: Events, total_nb: float) -> Sample:
    """A sample of our own events, normalised to ``total_nb``."""
    photons = np.stack([to_cms(events.momenta_lab[name], BEAMS) for name in events.photons], axis=1)
    minus, plus = (to_cms(events.momenta_lab[name], BEAMS) for name in ("mu-", "mu+"))
    return Sample(minus, plus, photons, events.weights * total_nb * 1e3 / events.weights.sum())


def pythia(lepton: int, n: int, settings: tuple[str, ...]) -> tuple[Sample, float, float]:
    """n events of e+e- -> gamma* -> a pair of leptons (13, or 15 decayed to muons): sample, cross-section, its error [nb]."""
    import pythia8mc

    generator = pythia8mc.Pythia("", False)
    threshold = 2.0 * (M_TAU if lepton == 15 else M_MUON)
    own = (f"23:onIfAny = {lepton}", f"23:mMin = {1.001 * threshold}", f"PhaseSpace:mHatMin = {1.001 * threshold}")
    tau = ("15:onMode = off", "15:onIfAny = 13", "13:mayDecay = off") if lepton == 15 else ("HadronLevel:all = off",)
    for line in (*PYTHIA, *own, *tau, *settings):
        if not generator.readString(line):
            raise ValueError(f"Pythia does not know {line!r}")
    generator.init()
    pairs, photons = np.zeros((2, n, 4)), np.zeros((n, 6, 4))
    made = 0
    while made < n:
        if not generator.next():
            continue
        found = []
        for particle in generator.event:
            if not particle.isFinal():
                continue
            code = particle.id()
            if abs(code) == 13:
                pairs[0 if code > 0 else 1, made] = particle.e(), particle.px(), particle.py(), particle.pz()
            elif code == 22:
                found.append((particle.e(), particle.px(), particle.py(), particle.pz()))
        found.sort(reverse=True)
        photons[made, : min(6, len(found))] = np.array(found[:6]).reshape(-1, 4)
        made += 1
    info = generator.infoPython()
    weights = np.full(n, info.sigmaGen() * 1e9 / n)
    return Sample(*pairs, photons, weights), info.sigmaGen() * 1e6, info.sigmaErr() * 1e6


def select(sample: Sample) -> Sample:
    """Both muons at |cos theta*| < 0.9 with more than 0.3 GeV: roughly what a detector sees."""
    good = np.ones(len(sample.weights), dtype=bool)
    for p in (sample.minus, sample.plus):
        length = np.linalg.norm(p[:, 1:], axis=1)
        good &= (length > 0.3) & (np.abs(p[:, 3]) < 0.9 * length)
    return Sample(*(values[good] for values in sample))


def variables(sample: Sample) -> list[tuple[Array, Array]]:
    """Values and weights of the four spectrums."""
    pair = sample.minus + sample.plus
    recoil = np.array([SQRT_S, 0.0, 0.0, 0.0]) - pair
    mass2, recoil2 = (p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1) for p in (pair, recoil))
    length = np.linalg.norm(recoil[:, 1:], axis=1)
    heavy = (recoil2 > 1.0) & (length > 0.1)
    energy = sample.photons[..., 0]
    wide = np.abs(sample.photons[..., 3]) < 0.9 * np.maximum(energy, 1e-9)
    hardest = np.where(wide, energy, 0.0).max(axis=1)
    w = sample.weights
    return [
        (np.sqrt(np.maximum(mass2, 0.0)), w),
        (recoil2, w),
        ((recoil[:, 3] / np.maximum(length, 1e-9))[heavy], w[heavy]),
        (hardest, w),
    ]


def histogram(values: Array, weights: Array, edges: Array) -> tuple[Array, Array]:
    """Cross-section per bin [pb] and its Monte Carlo error."""
    return np.histogram(values, edges, weights=weights)[0], np.sqrt(np.histogram(values, edges, weights=weights**2)[0])


def rates() -> None:
    """Table of total cross-sections [nb]."""
    cited = load_numbers("backgrounds")
    print("| | Born x radiator, quadrature | generated | Pythia 8, scale s | Pythia 8, default scale s' | cited |")
    print("|---|---|---|---|---|---|")
    made = {"mu mu": mumu(2_000_000, SEED, BEAMS), "tau tau": tautau(1_000_000, SEED, BEAMS, ("mu-", "mu+"), MASSES)}
    for (name, events), mass, lepton in zip(made.items(), (M_MUON, M_TAU), (13, 15), strict=True):
        total, error = events.weights.sum() * 1e-6, math.sqrt((events.weights**2).sum()) * 1e-6
        decays = ("HadronLevel:all = off",)
        at_s, e_s = pythia(lepton, 40_000, AT_S + decays)[1:]
        default, e_d = pythia(lepton, 40_000, decays)[1:]
        target = float(cited["mumu_gamma_cross_section" if lepton == 13 else "tautau_cross_section"]) * 1e-6
        print(f"| {name} | {quadrature(mass):.4f} | {total:.4f} +- {error:.4f} | {at_s:.4f} +- {e_s:.4f} "
              f"| {default:.4f} +- {e_d:.4f} | {target:.3f} |", flush=True)  # fmt: skip


def panel(x0: float, y0: float, title: str, edges: Array, curves: list[tuple[Array, Array]]) -> list[str]:
    """One spectrum (logarithmic) with the ratio Pythia / ours below it, as SVG."""
    width, height, ratio = 250.0, 150.0, 60.0
    (a, ea), (b, eb) = curves
    top, low = 1.6 * max(a.max(), b.max()), 0.4 * min(a[a > 0].min(), b[b > 0].min())

    def x(value: float) -> float:
        return x0 + width * (value - edges[0]) / (edges[-1] - edges[0])

    def y(value: float) -> float:
        return y0 + height * (1.0 - math.log(max(value, low) / low) / math.log(top / low))

    def z(value: float) -> float:
        return y0 + height + 8 + ratio * (1.0 - min(max(value - 0.5, 0.0), 1.0))

    out = [f'<rect x="{x0}" y="{y0}" width="{width}" height="{height}" fill="none" stroke="#444"/>',
           f'<rect x="{x0}" y="{y0 + height + 8}" width="{width}" height="{ratio}" fill="none" stroke="#444"/>',
           f'<line x1="{x0}" x2="{x0 + width}" y1="{z(1):.1f}" y2="{z(1):.1f}" stroke="#999" stroke-dasharray="4"/>',
           f'<text x="{x0 + width / 2}" y="{y0 + height + ratio + 38}" text-anchor="middle">{title}</text>']  # fmt: skip
    for value, place in ((top, y0 + 10), (low, y0 + height)):
        out.append(f'<text x="{x0 - 4}" y="{place}" text-anchor="end">{value:.2g}</text>')
    for value in (0.5, 1.0, 1.5):
        out.append(f'<text x="{x0 - 4}" y="{z(value) + 4:.1f}" text-anchor="end">{value}</text>')
    for value in (edges[0], edges[-1]):
        out.append(f'<text x="{x(value):.1f}" y="{y0 + height + ratio + 22}" text-anchor="middle">{value:g}</text>')
    steps = " ".join(f"{x(e):.1f},{y(v):.1f} {x(f):.1f},{y(v):.1f}" for e, f, v in zip(edges, edges[1:], a, strict=False))
    out.append(f'<polyline points="{steps}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>')
    for k, centre in enumerate(0.5 * (edges[1:] + edges[:-1])):
        if b[k] <= 0.0 or a[k] <= 0.0:
            continue
        c, r = x(centre), b[k] / a[k]
        e = r * math.hypot(ea[k] / a[k], eb[k] / b[k])
        out.append(f'<circle cx="{c:.1f}" cy="{y(b[k]):.1f}" r="2" fill="#c33"/>')
        above = f"M{c:.1f} {y(max(b[k] - eb[k], low)):.1f}V{y(b[k] + eb[k]):.1f}"
        out.append(f'<path d="{above}M{c:.1f} {z(r - e):.1f}V{z(r + e):.1f}" stroke="#c33"/>')
        if 0.5 <= r <= 1.5:
            out.append(f'<circle cx="{c:.1f}" cy="{z(r):.1f}" r="2" fill="#c33"/>')
    return out


def main() -> None:
    """Tables and figure."""
    rates()
    samples = {
        "mu mu (gamma)": (ours(mumu(2_000_000, SEED, BEAMS), quadrature(M_MUON)), pythia(13, 400_000, AT_S)[0]),
        "tau tau to mu mu": (
            ours(tautau(1_000_000, SEED, BEAMS, ("mu-", "mu+"), MASSES), quadrature(M_TAU)),
            pythia(15, 30_000, AT_S)[0],
        ),
    }
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1260 640" font-family="sans-serif" font-size="12">']
    print("\n| | selected, ours [pb] | Pythia [pb] |\n|---|---|---|")
    for row, (name, pair) in enumerate(samples.items()):
        a, b = (select(sample) for sample in pair)
        errors = [math.sqrt((s.weights**2).sum()) for s in (a, b)]
        print(f"| {name} | {a.weights.sum():.2f} +- {errors[0]:.2f} | {b.weights.sum():.2f} +- {errors[1]:.2f} |", flush=True)
        y0 = 40 + 310 * row
        caption = f"{name}: pb per bin, ours (line), Pythia 8 (points); below: Pythia / ours"
        out.append(f'<text x="50" y="{y0 - 10}" font-size="15">{caption}</text>')
        for column, ((title, edges), u, v) in enumerate(zip(BINS.items(), variables(a), variables(b), strict=True)):
            curves = [histogram(*u, edges), histogram(*v, edges)]
            out += panel(55 + 305 * column, y0, title, edges, curves)
    out.append("</svg>")
    Path(__file__).with_suffix(".svg").write_text("\n".join(out) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
