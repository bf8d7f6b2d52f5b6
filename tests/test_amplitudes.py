"""Helicity amplitudes against explicit Dirac matrices in another basis, symmetries, limits and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belle2dark.constants import ALPHA, M_ELECTRON, M_MUON, M_TAU
from belle2dark.simulation.amplitudes import spinors
from belle2dark.simulation.amplitudes.couplings import MASSES, NONE, LeptonCoupling
from belle2dark.simulation.amplitudes.lepton_pair_gamma import photon_process, radiative_pair_squared
from belle2dark.simulation.amplitudes.lepton_pair_x import (
    decay_currents,
    matrix_element_squared,
    polarisations,
    process,
    squared,
    workspace,
)
from belle2dark.simulation.fsr import spectrum
from tests import dirac

ROOT = 10.58
VECTOR, SCALAR = LeptonCoupling(vector=0.3, axial=0.7), LeptonCoupling(scalar=0.4, pseudoscalar=-0.9)
PAIRS = [("mu", "mu"), ("e", "mu"), ("mu", "e"), ("e", "e"), ("mu", "tau"), ("tau", "tau")]


def on_shell(mass, p):
    """Four-momenta (..., 4) of the given mass."""
    p = np.asarray(p, dtype=float)
    return np.concatenate([np.sqrt(mass**2 + (p**2).sum(-1, keepdims=True)), p], axis=-1)


def boosted(p, frame):
    """Momenta (n, 4), given in the rest frame of ``frame`` (n, 4), where that moves."""
    m = np.sqrt(dirac.square(frame))
    e = (p[:, 0] * frame[:, 0] + (p[:, 1:] * frame[:, 1:]).sum(1)) / m
    return np.column_stack([e, p[:, 1:] + ((p[:, 0] + e) / (frame[:, 0] + m))[:, None] * frame[:, 1:]])


def events(m, m1, m2, n=40, root=ROOT, seed=1):
    """(n, 5, 4) momenta of e-, e+, l-, l+ and X, spread over all of phase space."""
    rng = np.random.default_rng(seed)

    def direction():
        v = rng.normal(size=(n, 3))
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    def momentum(total, a, b):
        return np.sqrt((total - a - b) * (total + a + b) * (total - a + b) * (total + a - b)) / (2 * total)

    q = m1 + m2 + (root - m - m1 - m2) * rng.uniform(0.001, 0.999, n)
    x = on_shell(m, momentum(root, m, q)[:, None] * direction())
    pair = np.column_stack([root - x[:, 0], -x[:, 1:]])
    d = momentum(q, m1, m2)[:, None] * direction()
    beam = math.sqrt(root**2 / 4 - M_ELECTRON**2)
    electron, positron = (on_shell(M_ELECTRON, np.tile([0, 0, s * beam], (n, 1))) for s in (1, -1))
    return np.stack([electron, positron, boosted(on_shell(m1, d), pair), boosted(on_shell(m2, -d), pair), x], axis=1)


def numbers(coupling):
    """(c, c5) of the vertex c + c5 gamma5, None if there is none."""
    if coupling.is_zero:
        return None
    return (coupling.vector, coupling.axial) if coupling.is_vector else (coupling.scalar, 1j * coupling.pseudoscalar)


def explicit(momenta, m, coupling, leptons, electron_coupling=NONE, beams=None):
    """The same |M|^2 (sum over all helicities, alpha = 1/4 pi) from traces."""
    same = leptons == ("e", "e")
    return dirac.lepton_pair_squared(
        momenta, (M_ELECTRON, MASSES[leptons[0]], MASSES[leptons[1]]), numbers(coupling),
        numbers(coupling if same else electron_coupling), (leptons[0] == "e", leptons[1] == "e"),
        vector=coupling.is_vector or electron_coupling.is_vector, m_x=m, beams=beams,
    )  # fmt: skip


def plain(*args, **kwargs):
    """A process without the photon's charges, no helicity dropped."""
    return process(*args, **kwargs)._replace(charge4=4.0, opposite_only=False)


# --- spinors ---


def matrix(v):
    """v-slash of the package as a matrix."""
    unit = np.eye(4, dtype=complex)
    return np.array([spinors.slash(tuple(complex(x) for x in v), tuple(column)) for column in unit]).T


@settings(max_examples=60, deadline=None)
@given(
    p=st.tuples(*[st.floats(-20, 20).map(lambda x: round(x, 12))] * 3),  # the square of 1e-160 GeV is 0
    mass=st.sampled_from([0.0, 1e-6, M_ELECTRON, M_MUON, M_TAU, 10.0]),
)
def test_spin_sums_are_the_projectors(p, mass):
    """sum u ubar = p-slash + m and sum v vbar = p-slash - m, anywhere: along the axis, at rest, massless."""
    p = on_shell(mass, p)
    if p[0] < 1e-3:
        return
    vector = tuple(float(x) for x in p)
    for make, sign in ((spinors.u_spinor, 1), (spinors.v_spinor, -1)):
        total = sum(np.outer(psi, spinors.bar(psi)) for psi in (make(vector, mass, h) for h in (1, -1)))
        assert np.allclose(total, matrix(p) + sign * mass * np.eye(4), rtol=0, atol=1e-12 * p[0])


@pytest.mark.parametrize("p", [(0.3, -0.2, 0.9), (0.3, -0.2, -0.9), (0, 0, -2), (0, 0, 2)])
def test_helicities_are_those_of_the_particle(p):
    """sigma.p/|p| is h for u and -h for v, in both chiral halves; massless u of h = +1 is right-handed."""
    length = np.linalg.norm(p)
    sigma = sum(c / length * s for c, s in zip(p, dirac.PAULI, strict=True))
    vector = tuple(float(x) for x in on_shell(M_MUON, p))
    for h in (1, -1):
        for make, sign in ((spinors.u_spinor, h), (spinors.v_spinor, -h)):
            psi = np.array(make(vector, M_MUON, h))
            assert np.allclose(sigma @ psi[:2], sign * psi[:2], atol=1e-14)
            assert np.allclose(sigma @ psi[2:], sign * psi[2:], atol=1e-14)
    left = np.array(spinors.u_spinor((length, *(float(x) for x in p)), 0.0, 1))[:2]
    assert np.all(left == 0.0)


def test_algebra_of_rows_kets_and_currents():
    """(a-slash)^2 = a.a; rows and kets associate; the current contracted with a vector is the slash; Dirac equation."""
    rng = np.random.default_rng(2)

    def vector():
        return tuple(complex(x) for x in rng.normal(size=4) + 1j * rng.normal(size=4))

    row, ket, v = vector(), vector(), vector()
    twice = spinors.slash(v, spinors.slash(v, ket))
    assert np.allclose(twice, np.array(ket) * spinors.dot(v, v), rtol=1e-13)
    middle = spinors.product(row, spinors.slash(v, ket))
    assert spinors.product(spinors.slash_bar(row, v), ket) == pytest.approx(middle, rel=1e-13)
    assert spinors.dot(spinors.current(row, ket), v) == pytest.approx(middle, rel=1e-13)
    q = (5.0, 1.0, -2.0, 0.3)
    back = spinors.propagate(q, 1.5, ket)
    applied = np.array(spinors.slash(q, back)) - 1.5 * np.array(back)
    assert np.allclose(applied, ket, rtol=1e-13)
    assert spinors.product(spinors.propagate_bar(row, q, 1.5), ket) == pytest.approx(spinors.product(row, back), rel=1e-13)


@pytest.mark.parametrize("p", [(0.3, -0.2, 0.9), (0.0, 0.0, -2.0), (0.0, 0.0, 0.0)])
def test_polarisation_sums(p):
    """Three vectors sum to -g + kk/m^2."""
    k = tuple(float(x) for x in on_shell(2.0, p))
    a, b = (np.array(e) for e in spinors.transverse(k))
    total = sum(np.outer(e, e) for e in (a, b, np.array(spinors.longitudinal(k, 2.0))))
    assert np.allclose(total, dirac.vector_sum(np.array(k), 2.0), atol=1e-14)


# --- e+e- -> l l X against traces ---


@pytest.mark.parametrize("leptons", PAIRS, ids="-".join)
@pytest.mark.parametrize("coupling", [VECTOR, SCALAR], ids=["vector", "scalar"])
def test_every_graph_against_dirac_matrices(leptons, coupling):
    """All eight graphs with their interference, relative 1e-11 (the scattering graphs have t of 1e-5 s)."""
    momenta = events(2.0, MASSES[leptons[0]], MASSES[leptons[1]])
    ours = matrix_element_squared(plain(2.0, coupling, leptons=leptons), momenta)
    assert np.allclose(ours, explicit(momenta, 2.0, coupling, leptons), rtol=1e-11, atol=0)


@pytest.mark.parametrize("coupling", [NONE, VECTOR, SCALAR])
@pytest.mark.parametrize("electron", [VECTOR, SCALAR, LeptonCoupling(vector=0.2), LeptonCoupling(pseudoscalar=0.3)])
def test_x_off_the_beams_against_dirac_matrices(coupling, electron):
    if not coupling.is_zero and coupling.is_vector != electron.is_vector:
        with pytest.raises(ValueError, match=r"electron_coupling"):
            process(2.0, coupling, electron_coupling=electron)
        return
    momenta = events(0.5, M_MUON, M_MUON)
    ours = matrix_element_squared(plain(0.5, coupling, electron_coupling=electron), momenta)
    assert np.allclose(ours, explicit(momenta, 0.5, coupling, ("mu", "mu"), electron), rtol=1e-11, atol=0)


def test_traces_of_beams_and_leptons():
    """The textbook way, L_mn H^mn with massless beams: the numpy peer of the benchmark says the same to m_e^2/s."""
    momenta = events(2.0, M_MUON, M_MUON)
    ours = matrix_element_squared(process(2.0, VECTOR)._replace(charge4=4.0), momenta)
    assert np.allclose(ours, dirac.trace_squared(momenta, M_MUON, VECTOR.vector, VECTOR.axial, 2.0), rtol=1e-6, atol=0)


def test_what_dropping_equal_beam_helicities_costs():
    """m_e^2 / s, 1e-8."""
    momenta = events(2.0, M_MUON, M_MUON)
    for coupling in (VECTOR, SCALAR):
        fast = matrix_element_squared(process(2.0, coupling), momenta)
        full = matrix_element_squared(process(2.0, coupling)._replace(opposite_only=False), momenta)
        assert np.allclose(fast, full, rtol=1e-7, atol=0)
        assert not np.allclose(fast, full, rtol=1e-12, atol=0)


@pytest.mark.parametrize("mu_coupling", [VECTOR, SCALAR], ids=["vector", "scalar"])
def test_polarised_beams(mu_coupling):
    """Helicities (+, -) from traces with chiral projectors; an unpolarised beam is the mean; one polarised beam too."""
    momenta = events(2.0, M_MUON, M_MUON)

    def at(p, q):
        return matrix_element_squared(process(2.0, mu_coupling, polarisation=(p, q))._replace(charge4=1.0), momenta)

    right = (dirac.ONE + dirac.GAMMA5) / 2
    expected = explicit(momenta, 2.0, mu_coupling, ("mu", "mu"), beams=(right, right))
    assert np.allclose(at(1, -1), expected, rtol=1e-6)  # chirality is helicity up to m_e^2/s
    assert np.allclose(at(0, 0), 0.25 * (at(1, -1) + at(-1, 1)), rtol=1e-13)
    assert np.allclose(at(0.7, 0), 0.85 * at(1, 0) + 0.15 * at(-1, 0), rtol=1e-12)
    assert np.all(at(1, 1) < 1e-7 * at(0, 0))


def test_lorentz_invariance():
    """The same number in any frame: a boost of gamma 3 along an odd axis after a rotation."""
    rotation = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    for coupling, leptons in ((VECTOR, ("mu", "mu")), (SCALAR, ("mu", "mu")), (VECTOR, ("e", "mu"))):
        momenta = events(1.0, MASSES[leptons[0]], MASSES[leptons[1]])
        frame = np.tile(on_shell(1.0, [2.0, -1.5, 1.3]), (len(momenta), 1))
        turned = np.concatenate([momenta[..., :1], momenta[..., 1:] @ rotation.T], axis=-1)
        moved = np.stack([boosted(turned[:, i], frame) for i in range(5)], axis=1)
        proc = plain(1.0, coupling, leptons=leptons)
        assert np.allclose(matrix_element_squared(proc, momenta), matrix_element_squared(proc, moved), rtol=1e-9, atol=0)


def contracted(proc, momenta, vectors):
    """|M|^2 with the given table of polarisation vectors of each event."""
    work = workspace()
    out = []
    for p, table in zip(momenta, vectors, strict=True):
        eps = np.zeros((4, 4), complex)
        eps[: len(table)] = table
        out.append(squared(proc, *(tuple(v) for v in p), len(table), eps, work))
    return np.array(out)


@pytest.mark.parametrize("leptons", [("mu", "mu"), ("e", "e"), ("tau", "tau")], ids="-".join)
def test_gauge_invariance(leptons):
    """A conserved current: the polarisation replaced by the momentum gives nothing (< 1e-20 of the physical rate)."""
    momenta = events(1.0, MASSES[leptons[0]], MASSES[leptons[1]])
    charge = LeptonCoupling(vector=1.0)
    proc = plain(1.0, charge, leptons=leptons, electron_coupling=NONE if leptons[0] == "e" else charge)
    physical = matrix_element_squared(proc, momenta)
    assert np.all(contracted(proc, momenta, momenta[:, 4][:, None, :]) < 1e-20 * physical)


def test_axial_currents_are_not_conserved_by_the_lepton_mass_only():
    """k.M of an axial X is -2 m of the pseudoscalar amplitude: the longitudinal rate is (2 m/M)^2 that of a pseudoscalar."""
    momenta = events(1.0, M_MUON, M_MUON)
    divergence = contracted(plain(1.0, LeptonCoupling(axial=1.0)), momenta, momenta[:, 4][:, None, :])
    pseudoscalar = matrix_element_squared(plain(1.0, LeptonCoupling(pseudoscalar=1.0)), momenta)
    assert np.allclose(divergence, 4.0 * M_MUON**2 * pseudoscalar, rtol=1e-9)


@pytest.mark.parametrize("m_decay", [M_MUON, M_TAU])
@pytest.mark.parametrize("coupling", [VECTOR, LeptonCoupling(vector=0.1), SCALAR])
def test_the_decay_of_x_averages_to_the_undecayed_x(coupling, m_decay):
    """|M|^2 is quadratic in the decay direction, so 3 x 4 directions integrate it exactly; a vector does depend on it."""
    m = 4.0
    momenta = events(m, M_MUON, M_MUON, n=5)
    proc = plain(m, coupling)
    cosines, weights = np.polynomial.legendre.leggauss(3)
    p = math.sqrt(m * m / 4 - m_decay**2)
    work = workspace()
    for event, expected in zip(momenta, matrix_element_squared(proc, momenta), strict=True):
        k = tuple(event[4])
        values, total = [], 0.0
        for c, w in zip(cosines, weights, strict=True):
            for phi in (0.1, 0.1 + math.pi / 2, 0.1 + math.pi, 0.1 + 3 * math.pi / 2):
                s = math.sqrt(1 - c * c)
                d = p * np.array([[s * math.cos(phi), s * math.sin(phi), c]])
                daughters = [tuple(boosted(on_shell(m_decay, x), event[None, 4])[0]) for x in (d, -d)]
                n = decay_currents(proc.vector, (proc.final_left, proc.final_right), k, m, *daughters, m_decay, work[3])
                values.append(squared(proc, *(tuple(v) for v in event[:4]), k, n, work[3], work))
                total += w / 8 * values[-1]
        assert total == pytest.approx(expected, rel=1e-11)
        assert (np.ptp(values) > 0.01 * expected) == coupling.is_vector


@settings(max_examples=40, deadline=None)
@given(
    room=st.floats(1e-6, 1.0),
    leptons=st.sampled_from(PAIRS),
    share=st.floats(0.0, 1.0),
    scalar=st.booleans(),
)
def test_finite_and_positive_up_to_the_ends_of_phase_space(room, leptons, share, scalar):
    """Thresholds: sqrt(s) just above the masses, X light or heavy."""
    m1, m2 = MASSES[leptons[0]], MASSES[leptons[1]]
    lowest = abs(m1 - m2) + 1e-3
    m = lowest + share * (ROOT - m1 - m2 - lowest) * 0.999
    root = m + m1 + m2 + room * (ROOT - m - m1 - m2)
    values = matrix_element_squared(process(m, SCALAR if scalar else VECTOR, leptons=leptons), events(m, m1, m2, 10, root))
    assert np.all(np.isfinite(values))
    assert np.all(values >= 0.0)


@pytest.mark.parametrize("vector", [True, False])
def test_massless_leptons_follow_the_published_closed_form(vector):
    """Averaged over all directions, |M|^2 at (x1, x2) is that of the massive-gluon formula, for leptons of 1 MeV to 1e-5.

    The average over directions of the event is done exactly by 3 x 4 rotations of the beams (spin one: quadratic).
    """
    m, g, light = 4.0, 0.3, 1e-3
    momenta = events(m, light, light, n=30)
    x1, x2 = (2.0 * momenta[:, i, 0] / ROOT for i in (2, 3))
    hard = (1 - x1 > 0.2) & (1 - x2 > 0.2)
    momenta, x1, x2, r = momenta[hard], x1[hard], x2[hard], m * m / ROOT**2
    proc = process(m, LeptonCoupling(vector=g) if vector else LeptonCoupling(scalar=g), alpha="thomson")
    proc = proc._replace(m_minus=light, m_plus=light)
    mean = 0.0
    for c, w in zip(*np.polynomial.legendre.leggauss(3), strict=True):
        for phi in np.arange(4) * math.pi / 2 + 0.1:
            n = np.array([math.sqrt(1 - c * c) * math.cos(phi), math.sqrt(1 - c * c) * math.sin(phi), c])
            turned = momenta.copy()
            for i, sign in ((0, 1), (1, -1)):
                turned[:, i, 1:] = sign * math.sqrt(ROOT**2 / 4 - M_ELECTRON**2) * n
            mean = mean + w / 8 * matrix_element_squared(proc, turned)
    # dsigma = |M|^2 / (2 s) dPhi_3 and dPhi_3 = s/(128 pi^3) dx1 dx2
    density = mean / (2 * ROOT**2) * ROOT**2 / (128 * math.pi**3)
    point = 4 * math.pi * ALPHA["thomson"] ** 2 / (3 * ROOT**2)
    y1, y2 = 1 - x1, 1 - x2
    if vector:
        formula = g**2 / (8 * math.pi**2) * (((x1 + r) ** 2 + (x2 + r) ** 2) / (y1 * y2) - r * (1 / y1**2 + 1 / y2**2))
    else:
        a, b, c = y2 - r, y1 - r, x1 + x2 - 1 + r
        formula = g**2 / (16 * math.pi**2) * ((a * b - r * c) * (1 / y1**2 + 1 / y2**2) + 2 * a * b / (y1 * y2))
    assert len(x1) > 5
    assert np.allclose(density / (point * formula), 1.0, atol=1e-5)


# --- e+e- -> l l gamma ---


def photons(n=40, share=(0.01, 0.9), lepton=M_MUON, seed=3):
    """Momenta with a photon of a fraction of the beam energy."""
    rng = np.random.default_rng(seed)
    momenta = []
    for x in rng.uniform(*share, n):
        root, k = ROOT, x * ROOT / 2
        q = math.sqrt(root * root - 2 * root * k)
        c, phi = rng.uniform(-0.98, 0.98), rng.uniform(0, 2 * math.pi)
        s = math.sqrt(1 - c * c)
        photon = k * np.array([1, s * math.cos(phi), s * math.sin(phi), c])
        d = rng.normal(size=3)
        d *= math.sqrt(q * q / 4 - lepton**2) / np.linalg.norm(d)
        pair = np.array([[root - k, *-photon[1:]]])
        minus, plus = (boosted(on_shell(lepton, v[None]), pair)[0] for v in (d, -d))
        beam = math.sqrt(root**2 / 4 - M_ELECTRON**2)
        momenta.append([on_shell(M_ELECTRON, [0, 0, beam]), on_shell(M_ELECTRON, [0, 0, -beam]), minus, plus, photon])
    return np.array(momenta)


def mandelstam(momenta):
    """s, s', t, t', u, u' of massless two-to-three scattering."""
    pa, pb, p1, p2, _ = (momenta[:, i] for i in range(5))
    return tuple(dirac.square(v) for v in (pa + pb, p1 + p2, pa - p1, pb - p2, pa - p2, pb - p1))


def eikonal(momenta, lines):
    """-(sum of charge p/(p.k))^2 over the given lines (index, sign)."""
    k = momenta[:, 4]
    total = sum(sign * momenta[:, i] / (momenta[:, i] @ dirac.METRIC * k).sum(1)[:, None] for i, sign in lines)
    return -dirac.square(total)


ALL, INITIAL, FINAL = [(0, 1), (1, -1), (2, -1), (3, 1)], [(0, 1), (1, -1)], [(2, -1), (3, 1)]


@pytest.mark.parametrize(("beams", "final", "lines"), [(True, True, ALL), (True, False, INITIAL), (False, True, FINAL)])
def test_radiative_muon_pairs_follow_the_massless_closed_form(beams, final, lines):
    """e^6 (t^2 + t'^2 + u^2 + u'^2)/(s s') times the eikonal of all lines: Berends et al., Nucl. Phys. B 206 (1982) 61.

    Initial and final radiation have the same factor, so interference is the difference of the three cases.
    """
    momenta = photons()
    s, s1, t, t1, u, u1 = mandelstam(momenta)
    d = [(momenta[:, 4] @ dirac.METRIC * momenta[:, i]).sum(1) for i in range(4)]
    wide = (np.min(d, axis=0) > 0.2) & (np.min([-t, -t1, -u, -u1], axis=0) > 3.0)
    e2 = 4 * math.pi * ALPHA["thomson"]
    expected = e2**3 * (t**2 + t1**2 + u**2 + u1**2) / (s * s1) * eikonal(momenta, lines)
    ours = radiative_pair_squared(photon_process(off_beams=beams, off_final=final), momenta)
    assert wide.sum() > 10
    assert np.allclose((ours / expected)[wide], 1.0, atol=0.02)  # muon masses: m^2 / (p.k)


def test_soft_photons_factorise():
    """|M|^2 -> |M_0|^2 e^2 eikonal for a soft photon, charges and interference included, exact in the masses."""
    momenta = photons(share=(1e-4, 1.1e-4))
    ours = radiative_pair_squared(photon_process(), momenta)
    pa, pb, p1, p2, _ = (momenta[:, i] for i in range(5))
    s = dirac.square(pa + pb)
    cross = [(a @ dirac.METRIC * b).sum(1) for a, b in ((pa, p1), (pb, p2), (pa, p2), (pb, p1))]
    e2 = 4 * math.pi * ALPHA["thomson"]
    born = 8 * e2**2 / s**2 * (cross[0] * cross[1] + cross[2] * cross[3] + M_MUON**2 * s / 2)
    assert np.allclose(ours / (born * e2 * eikonal(momenta, ALL)), 1.0, atol=5e-4)


@pytest.mark.parametrize("lepton", ["mu", "tau", "e"])
def test_photon_gauge_invariance(lepton):
    momenta = photons(lepton=MASSES[lepton], share=(0.1, 0.5))
    proc = photon_process(lepton)
    physical = radiative_pair_squared(proc, momenta)
    assert np.all(contracted(proc, momenta, momenta[:, 4][:, None, :]) < 1e-20 * physical)


def test_final_state_radiation_is_that_of_the_shower_module():
    """Averaged over directions, the photon off a lepton follows fsr.spectrum, mass terms included."""
    m, proc = M_TAU, photon_process("tau", off_beams=False)
    momenta = photons(lepton=m, n=6)
    x1, x2 = (2.0 * momenta[:, i, 0] / ROOT for i in (2, 3))
    mean = 0.0
    for c, w in zip(*np.polynomial.legendre.leggauss(3), strict=True):
        for phi in np.arange(4) * math.pi / 2 + 0.1:
            n = np.array([math.sqrt(1 - c * c) * math.cos(phi), math.sqrt(1 - c * c) * math.sin(phi), c])
            turned = momenta.copy()
            for i, sign in ((0, 1), (1, -1)):
                turned[:, i, 1:] = sign * math.sqrt(ROOT**2 / 4 - M_ELECTRON**2) * n
            mean = mean + w / 8 * radiative_pair_squared(proc, turned)
    density = mean / (256 * math.pi**3)
    point = 4 * math.pi * ALPHA["thomson"] ** 2 / (3 * ROOT**2)
    shape = np.array([spectrum(a, b, 4 * m * m / ROOT**2) for a, b in zip(x1, x2, strict=True)])
    expected = ALPHA["thomson"] / (2 * math.pi) * point * shape
    assert np.allclose(density / expected, 1.0, rtol=1e-6)


def test_initial_state_radiation_has_the_pattern_of_the_isr_module():
    """The hard-photon pattern 2 h/(a b) - mass term of isr.py is exact for one photon once the leptons are averaged."""
    m, proc = M_MUON, photon_process("mu", off_final=False)
    rng = np.random.default_rng(5)
    for x, cosine in ((0.3, 0.4), (0.7, -0.8), (0.5, 0.9999), (0.9, 1 - 1e-7)):
        k = x * ROOT / 2
        s = math.sqrt((1 - cosine) * (1 + cosine))
        photon = k * np.array([1, s, 0.0, cosine])
        q = math.sqrt(ROOT**2 * (1 - x))
        pair = np.array([[ROOT - k, *-photon[1:]]])
        beam = math.sqrt(ROOT**2 / 4 - M_ELECTRON**2)
        total, turns = 0.0, np.linalg.qr(rng.normal(size=(3, 3)))[0]
        for c, w in zip(*np.polynomial.legendre.leggauss(3), strict=True):
            for phi in np.arange(4) * math.pi / 2:
                n = turns @ [math.sqrt(1 - c * c) * math.cos(phi), math.sqrt(1 - c * c) * math.sin(phi), c]
                d = math.sqrt(q * q / 4 - m * m) * n
                minus, plus = (boosted(on_shell(m, v[None]), pair)[0] for v in (d, -d))
                event = np.array([on_shell(M_ELECTRON, [0, 0, beam]), on_shell(M_ELECTRON, [0, 0, -beam]), minus, plus, photon])
                total += w / 8 * radiative_pair_squared(proc, event[None])[0]
        # |M|^2 = e^2 |M_0(s')|^2-like: 64 pi^2 alpha^2 (4/3)(1 + 2 m^2/s') s/s' times the pattern / omega^2
        delta = M_ELECTRON**2 / (ROOT / 2) ** 2 / (1 + math.sqrt(1 - M_ELECTRON**2 / (ROOT / 2) ** 2))
        a, b = 1 - cosine + delta * cosine, 1 + cosine - delta * cosine
        y1, y2 = 0.5 * x * a, 0.5 * x * b
        pattern = ((1 - y1) ** 2 + (1 - y2) ** 2) / (a * b) - delta * (1 - x) * (1 / (a * a) + 1 / (b * b))
        e2 = 4 * math.pi * ALPHA["thomson"]
        born = e2**2 * 4.0 / 3.0 * (1 + 2 * m * m / q**2)
        assert total / (born * e2 / k**2 * pattern * 2.0 / (1 - x)) == pytest.approx(1.0, rel=2e-3)


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LeptonCoupling(vector=1.0, scalar=1.0), "not both"),
        (lambda: LeptonCoupling(vector=math.nan), "finite"),
        (lambda: process(-1.0, VECTOR), "mass = -1.0 GeV"),
        (lambda: process(1.0, VECTOR, leptons=("mu", "muon")), "nearest: mu"),
        (lambda: process(1.0, VECTOR, alpha="thompson"), "nearest: thomson"),
        (lambda: process(1.0, VECTOR, polarisation=(0.0, 1.2)), "polarisation"),
        (lambda: process(1.0, NONE), "couples to nothing"),
        (lambda: process(1.0, VECTOR, leptons=("mu", "tau")), "below 1.67"),
        (lambda: process(2.0, VECTOR, leptons=("e", "mu"), electron_coupling=VECTOR), "flavour-violating"),
        (lambda: process(2.0, VECTOR, leptons=("e", "e"), electron_coupling=LeptonCoupling(vector=1.0)), "the coupling itself"),
        (lambda: photon_process("e", off_beams=False), "electrons"),
        (lambda: photon_process("mu", alpha="x"), "alpha"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_undecayed_scalar_has_one_state():
    assert polarisations(False, (1.0, 0.0, 0.0, 0.0), 1.0, np.zeros((4, 4), complex)) == 1
