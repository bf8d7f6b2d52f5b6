"""Vectors by charges, and dark matter behind them: widths, rates, thermal targets."""

import numpy as np
import pytest

from belle2dark.constants import M_MUON, M_OMEGA, M_PHI, M_RHO
from belle2dark.theory import dark_photon, zprime
from belle2dark.theory.dark_matter import (
    KINDS,
    TARGETS,
    DarkMatter,
    epsilon_of,
    line_shape,
    relic_epsilon,
    relic_target,
    y_of,
)
from belle2dark.theory.models import vector_to_fermions
from belle2dark.theory.r_ratio import r_ratio
from belle2dark.theory.vector_models import (
    B_MINUS_L,
    DARK_PHOTON,
    ELECTRIC,
    LE_LMU,
    LE_LTAU,
    VECTORS,
    Charges,
    Vector,
    hadron_ratio,
    hadron_shares,
    rate_factor,
    vector,
    vector_model,
)

MASSES = np.array([0.005, 0.1, 0.25, 0.5, 0.7826, 1.02, 1.4, 2.0, 3.0, 5.0, 9.0, 10.3])


@pytest.mark.parametrize("channel", ["ee", "mumu", "tautau", "hadrons"])
def test_electric_charges_are_the_dark_photon(channel):
    """Own charges equal to the electric ones give what the model with R alone gives."""
    mine = Vector(name="mine", title="mine", coupling="g", symbol="g", charges=DARK_PHOTON.charges)
    expected = dark_photon.DARK_PHOTON.partial_width(channel, MASSES, {"epsilon": 1e-3})
    assert np.allclose(vector_model(DARK_PHOTON).partial_width(channel, MASSES, {"epsilon": 1e-3}), expected, rtol=1e-12, atol=0)
    assert np.allclose(vector_model(mine).partial_width(channel, MASSES, {"g": 1e-3 * ELECTRIC}), expected, rtol=1e-12, atol=0)
    assert rate_factor(DARK_PHOTON) == 1.0
    assert rate_factor(mine) * ELECTRIC**2 == pytest.approx(1.0)


@pytest.mark.parametrize("channel", ["ee", "mumu", "tautau", "invisible"])
def test_lepton_numbers_agree_with_the_models_of_muon_searches(channel):
    ours = vector_model(LE_LMU).partial_width(channel, MASSES, {"g_le_lmu": 0.01})
    if channel == "tautau":
        assert not ours.any()
    else:
        assert np.allclose(ours, zprime.L_E_MU.partial_width(channel, MASSES, {"g_prime": 0.01}), rtol=1e-12)


def test_lepton_numbers_have_no_hadrons_at_any_mass():
    far = np.array([0.5, 3.0, 50.0])  # beyond the table of R, which nobody asks
    for mediator in (LE_LMU, LE_LTAU):
        assert not vector_model(mediator).partial_width("hadrons", far).any()
        model = vector_model(mediator)
        # two charged leptons and two left-handed neutrinos, all massless: a third each
        assert float(model.branching_fraction("invisible", 50.0)) == pytest.approx(1 / 3, rel=1e-3)


def test_b_minus_l_far_above_thresholds_counts_particles():
    """e, mu, tau: 3; three half neutrinos: 1.5; hadrons: R times (4 flavours of 3/9) over the electric 10/3."""
    hadrons = float(r_ratio(10.0)) * (4 / 3) / (10 / 3)
    model = vector_model(B_MINUS_L)
    assert float(model.branching_fraction("ee", 10.0)) == pytest.approx(1 / (4.5 + hadrons), rel=0.01)
    assert float(model.branching_fraction("invisible", 10.0)) == pytest.approx(1.5 / (4.5 + hadrons), rel=0.01)
    # below the muons nothing but electrons and neutrinos
    assert float(model.branching_fraction("invisible", 0.1)) == pytest.approx(0.6, rel=1e-3)


@pytest.mark.parametrize(("mass", "counted"), [(0.1, 1 / 0.4), (10.0, None)])
def test_limits_on_b_minus_l_follow_from_charges(mass, counted):
    """The same number of e+e- pairs: g^2 = epsilon^2 e^2 BR(A' -> ee) / BR(B-L -> ee), both counted by hand."""
    old, new = vector_model(DARK_PHOTON), vector_model(B_MINUS_L)
    if counted is None:
        r = float(r_ratio(mass))
        counted = (4.5 + 0.4 * r) / (3 + r)
    epsilon = 5e-4
    events = old.production({"epsilon": epsilon}) * old.branching_fraction("ee", mass)
    g = epsilon * np.sqrt(4 * np.pi / 137.036 * counted)
    same = rate_factor(B_MINUS_L) * new.production({"g_bl": g}) * new.branching_fraction("ee", mass)
    assert float(same) == pytest.approx(float(events), rel=0.01)


def test_charges_enter_squared():
    twice = Vector(name="t", title="t", coupling="g", symbol="g", charges=Charges(e=2.0, mu=-2.0, nu_e=2.0, nu_mu=-2.0))
    one, two = vector_model(LE_LMU).total_width(MASSES), vector_model(twice).total_width(MASSES)
    assert np.allclose(two, 4.0 * one)
    assert rate_factor(twice) == pytest.approx(4.0 * rate_factor(LE_LMU))
    blind = Vector(name="b", title="b", coupling="g", symbol="g", charges=Charges(mu=1.0, tau=-1.0))
    assert rate_factor(blind) == 0.0


def test_parts_of_r_are_where_the_mesons_are():
    shares = hadron_shares(MASSES[MASSES > 0.3])
    assert np.allclose(sum(shares.values()), 1.0)
    for mass, name in ((M_RHO - 0.1, "rho"), (M_OMEGA, "omega"), (M_PHI, "phi")):
        found = {key: float(value) for key, value in hadron_shares(mass).items()}
        assert max(found, key=found.__getitem__) == name
    quarks = {name: float(value) for name, value in hadron_shares(3.0).items()}
    assert quarks["rho"] == pytest.approx(0.75)  # 3/2 of R = 2
    assert quarks["omega"] == pytest.approx(1 / 12)
    assert quarks["phi"] == pytest.approx(1 / 6)


def test_isospin_decides_the_light_hadrons():
    """A vector with the charge of baryons has no rho, one with that of isospin nothing else."""
    baryons, isospin = Charges(u=1 / 3, d=1 / 3, s=1 / 3), Charges(u=0.5, d=-0.5)
    assert float(hadron_ratio(0.6, baryons)) < 0.1 * float(r_ratio(0.6))
    assert float(hadron_ratio(0.6, isospin)) == pytest.approx(float(r_ratio(0.6)), rel=0.02)
    assert float(hadron_ratio(M_OMEGA, baryons)) > 2 * float(r_ratio(M_OMEGA))  # four times the electric omega
    assert float(hadron_ratio(M_PHI, isospin)) < 0.1 * float(r_ratio(M_PHI))


@pytest.mark.parametrize("ratio", [0.01, 1 / 3, 0.45])
def test_dark_widths_are_those_of_fermions(ratio):
    mass, alpha_d = 5.0, 0.2
    expected = vector_to_fermions(mass, ratio * mass, 4 * np.pi * alpha_d)
    for kind in ("dirac", "pseudo_dirac"):
        assert float(DarkMatter(alpha_d=alpha_d, mass_ratio=ratio, kind=kind).width(mass)) == pytest.approx(float(expected))


def test_kinds_of_dark_matter_without_mass():
    """A Majorana fermion has half the width of a Dirac fermion, a complex scalar a quarter."""
    dirac, _, majorana, scalar = (DarkMatter(alpha_d=0.1, mass_ratio=0.0, kind=kind).width_fraction for kind in KINDS)
    assert (majorana / dirac, scalar / dirac) == pytest.approx((0.5, 0.25))


def test_broad_at_large_coupling():
    dark = DarkMatter(alpha_d=0.5, mass_ratio=1 / 3)
    assert dark.width_fraction == pytest.approx(0.15, abs=0.005)
    assert float(dark.running_width(4.0, 4.0)) == pytest.approx(float(dark.width(4.0)))
    assert float(dark.running_width(2.6, 4.0)) == 0.0  # two chi of 1.33 GeV
    assert DarkMatter(alpha_d=0.5, mass_ratio=0.6).width_fraction == 0.0


@pytest.mark.parametrize("mediator", VECTORS.values(), ids=lambda v: v.name)
def test_dark_matter_takes_all_decays(mediator):
    model = vector_model(mediator, DarkMatter(alpha_d=0.1, mass_ratio=1 / 3))
    assert float(model.branching_fraction("invisible", 2.0, {mediator.coupling: 1e-3})) > 0.999
    plain = vector_model(mediator).total_width(2.0, {mediator.coupling: 1e-3})
    more = float(model.total_width(2.0, {mediator.coupling: 1e-3}) - plain)
    assert more == pytest.approx(0.1 * 2.0 / 3 * np.sqrt(5 / 9) * 11 / 9)


def test_narrow_line_shape_is_a_peak_of_one():
    dark = DarkMatter(alpha_d=1e-3, mass_ratio=1 / 3)
    scale = 4.0 * float(dark.width(4.0))
    squared = 16.0 + scale * np.tan(np.linspace(-1.57, 1.57, 20_001))
    assert np.trapezoid(line_shape(np.sqrt(squared), 4.0, dark), squared) == pytest.approx(1.0, abs=2e-3)


def test_y_and_epsilon():
    # a reach of y = 2.2e-12 at alpha_D = 0.1 and m_A' = 3 m_chi is epsilon = 4.2e-5
    assert float(epsilon_of(2.2e-12, 0.1, 1 / 3)) == pytest.approx(4.22e-5, rel=0.01)
    assert float(y_of(epsilon_of(1e-11, 0.3, 0.2), 0.3, 0.2)) == pytest.approx(1e-11)
    # the same target is reached with less epsilon at larger alpha_D
    assert float(epsilon_of(1e-11, 0.1, 1 / 3) / epsilon_of(1e-11, 0.5, 1 / 3)) == pytest.approx(np.sqrt(5))


@pytest.mark.parametrize(("m_chi", "y"), [(4.8e-3, 1.2e-13), (34e-3, 6.9e-12), (96e-3, 4.5e-11), (0.189, 9.6e-11),
                                          (0.362, 8.2e-11), (0.948, 1.2e-9)])  # fmt: skip
def test_thermal_target_of_pseudo_dirac_dark_matter(m_chi, y):
    """Points of the full table; ours is thinned, so the dip at the rho (0.362 GeV) is shallower."""
    masses, targets = relic_target("pseudo_dirac")
    found = np.exp(np.interp(np.log(m_chi), np.log(masses), np.log(targets)))
    assert found == pytest.approx(y, rel=0.6 if m_chi == 0.362 else 0.12)


@pytest.mark.parametrize("kind", TARGETS)
def test_targets_do_not_depend_on_alpha_d_but_epsilon_does(kind):
    m_chi, y = relic_target(kind)
    assert (np.diff(m_chi) > 0).all()
    (m_one, one), (m_two, two) = (relic_epsilon(kind, alpha) for alpha in (0.1, 0.5))
    assert np.allclose(m_one, 3.0 * m_chi, rtol=1e-6) and np.array_equal(m_one, m_two)
    assert np.allclose(one / two, np.sqrt(5.0))
    assert np.allclose(y_of(one, 0.1, 1 / 3), y)


def test_targets_at_another_mass_ratio():
    """Annihilation at threshold goes as y / (1 - 4 r^2)^2: lighter mediators need less y, heavy ones a constant."""
    y = {ratio: relic_target("scalar", ratio)[1][5] for ratio in (0.01, 0.1, 1 / 3, 0.45)}
    assert y[0.45] < y[1 / 3] < y[0.1] < y[0.01]
    assert y[0.01] / y[1 / 3] == pytest.approx((9 / 5) ** 2, rel=1e-3)


def test_bad_input():
    with pytest.raises(ValueError, match="nearest: b_minus_l"):
        vector("b_minus_1")
    with pytest.raises(ValueError, match="charges"):
        Charges()
    with pytest.raises(ValueError, match="charges"):
        Charges(e=np.nan)
    with pytest.raises(ValueError, match="nearest: dirac"):
        DarkMatter(alpha_d=0.1, mass_ratio=0.3, kind="dirack")
    with pytest.raises(ValueError, match="alpha_d"):
        DarkMatter(alpha_d=-0.1, mass_ratio=0.3)
    with pytest.raises(ValueError, match="mass_ratio"):
        y_of(1e-3, 0.1, 0.5)
    with pytest.raises(ValueError, match="alpha_d"):
        epsilon_of(1e-12, 0.0, 0.3)
    with pytest.raises(ValueError, match="nearest: majorana"):
        relic_target("majoranna")
    with pytest.raises(ValueError, match="no coupling 'epsilon'"):
        vector_model(B_MINUS_L).total_width(1.0, {"epsilon": 1.0})
    assert float(vector_model(B_MINUS_L).partial_width("mumu", 2 * M_MUON)) == 0.0
