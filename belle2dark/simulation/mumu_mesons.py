"""e+e- -> mu+ mu- V with a vector meson V for a photon: the peaks in the pair masses of four-muon events.

J/psi, psi(2S), Upsilon(1S) and Upsilon(2S) go to mu+ mu- with the spins of everything correlated; pi+ pi- (one may pass as a
muon) have the spectrum of the pion form factor. V leaves a muon or the beams, with the strength that its width to electrons
fixes, or, for pions, as a photon of their mass. Use it beside :func:`.four_leptons.generate_four_muons`, which has the
continuum. Not included: interference with that, omega and phi (a hundredth of a window's continuum), kaons, the
polarisation of the pion pair (pions are even in its rest frame).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np

from belle2dark.constants import ALPHA, M_PION
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.beams import Beams
from belle2dark.simulation.decays.tau_spectra import form_factor, parameters
from belle2dark.simulation.events import Array, Events
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from belle2dark.simulation.pair import check_request
from belle2dark.simulation.phase_space import phase_space
from belle2dark.simulation.rng import make_key
from belle2dark.sourced import load_numbers

_ALPHA = ALPHA["thomson"]
#: shares of events of J/psi, psi(2S), Upsilon(1S), Upsilon(2S): a choice of statistics
_SHARES = (0.4, 0.15, 0.3, 0.15)


def generate_mumu_onium(n: int, key: int, beams: Beams, *, isr: bool = True) -> Events:
    """n weighted events of e+e- -> mu+ mu- V, V -> mu+ mu- for the four narrow mesons together.

    ``mu-_1``, ``mu+_1`` (beside V), ``mu-_2``, ``mu+_2`` and ``gamma_1`` .. ``gamma_4`` in the lab [GeV]; weights [fb] add up to
    the cross-section times branching fractions. Raises ``ValueError`` for n below 4 and for beams below a threshold.
    """
    check_request(n, key)
    if n < len(_SHARES):
        raise ValueError(f"n = {n}: need at least {len(_SHARES)} events, one for each meson")
    edges = np.round(np.cumsum((0.0, *_SHARES)) * (n - len(_SHARES))).astype(int) + np.arange(len(_SHARES) + 1)
    parts = []
    for k, (mass, width, fraction) in enumerate(zip(*_onia(), strict=True)):
        coupling = LeptonCoupling(vector=math.sqrt(12.0 * math.pi * width / mass))
        part, own = int(edges[k + 1] - edges[k]), make_key(key, "onium", str(k))
        made = generate_lepton_pair_x(part, own, beams, mass=mass, coupling=coupling, electron_coupling=coupling, decay="mu",
                                      isr=isr, alpha="thomson")  # fmt: skip
        parts.append(replace(made, weights=made.weights * fraction))
    names = parts[0].momenta_lab
    return Events(momenta_lab={name: np.concatenate([part.momenta_lab[name] for part in parts]) for name in names},
                  weights=np.concatenate([part.weights for part in parts]))  # fmt: skip


@cache
def _onia() -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Masses, widths to e+e- [GeV] and branching fractions to mu+ mu- of the four mesons."""
    numbers, fractions = load_numbers("vacuum_polarisation"), load_numbers("backgrounds")["onium_to_muons"].values
    masses, widths = (numbers[name].values[: len(_SHARES)] for name in ("masses", "electron_widths"))
    return masses, widths, tuple(fractions)


def generate_mumu_pipi(n: int, key: int, beams: Beams, *, isr: bool = True) -> Events:
    """n weighted events of e+e- -> mu+ mu- pi+ pi-: mu-, mu+, pi-, pi+, gamma_1 .. gamma_4 in the lab [GeV].

    Weights [fb] add up to the cross-section. Raises ``ValueError`` for n < 1 or beams below threshold.
    """
    mass, width, *_ = parameters("rho")
    coupling = LeptonCoupling(vector=math.sqrt(4.0 * math.pi * _ALPHA))
    made = generate_lepton_pair_x(n, key, beams, mass=mass, width=width, coupling=coupling, electron_coupling=coupling, isr=isr,
                                  alpha="thomson")  # fmt: skip
    momenta = dict(made.momenta_lab)
    pair = momenta.pop("x")
    s = np.maximum(pair[:, 0] ** 2 - (pair[:, 1:] ** 2).sum(axis=1), 0.0)
    shape = mass * width / ((s - mass**2) ** 2 + (mass * width) ** 2) / math.pi  # what the masses were drawn from
    open_ = s > (2.0 * M_PION) ** 2 * (1.0 + 1e-9)
    weights = np.zeros(n)
    weights[open_] = made.weights[open_] * pion_spectrum(s[open_]) / shape[open_]
    root = np.where(open_, np.sqrt(s), 2.001 * M_PION)
    # unit vectors of two massless particles give even directions; the momentum follows from each event's mass
    even = phase_space(n, make_key(key, "pions"), 1.0, (0.0, 0.0)).momenta[:, 0, 1:] * 2.0
    p = even * np.sqrt(0.25 * root**2 - M_PION**2)[:, None]
    half = 0.5 * root
    slots = {name: _boosted(np.column_stack([half, sign * p]), pair, root) for name, sign in (("pi-", 1.0), ("pi+", -1.0))}
    leptons = {name: momenta.pop(name) for name in ("mu-", "mu+")}
    for name in slots:
        slots[name][~open_] = 0.0
    return Events(momenta_lab=leptons | slots | momenta, weights=weights)


def pion_spectrum(s: Array) -> Array:
    """d(sigma)/ds of a photon of mass squared ``s`` [GeV^2] to pi+ pi- over the cross-section for it [GeV^-2]: same shape.

    alpha / (3 pi s) R(s) with R = beta^3 |F|^2 / 4. Source: spectral decomposition of the photon; form factor of
    :mod:`.decays.tau_spectra`.
    """
    beta = np.sqrt(1.0 - 4.0 * M_PION**2 / s)
    return np.asarray(_ALPHA / (3.0 * math.pi * s) * 0.25 * beta**3 * np.abs(form_factor(s, "rho", M_PION, M_PION)) ** 2)


def _boosted(p: Array, frame: Array, mass: Array) -> Array:
    """Momenta (n, 4) of the rest frame of ``frame`` (n, 4), of ``mass`` (n,) [GeV], in the frame where that is given."""
    along = (p[:, 1:] * frame[:, 1:]).sum(axis=1)
    energy = (frame[:, 0] * p[:, 0] + along) / mass
    f = (p[:, 0] + energy) / (frame[:, 0] + mass)
    return np.column_stack([energy, p[:, 1:] + f[:, None] * frame[:, 1:]])
