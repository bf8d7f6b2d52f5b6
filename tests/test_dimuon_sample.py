"""Four muons: rates against quadrature and other kernels, the kinematic fit, matrix elements, peaks, templates, network."""

import math
from functools import cache

import numpy as np
import pytest

from belle2dark.classifier import load_network
from belle2dark.constants import ALPHA, M_MUON
from belle2dark.detector.experiments import BABAR, BELLE, BELLE2
from belle2dark.detector.kinematic_fit import fit_to_beams
from belle2dark.detector.observed import observe
from belle2dark.detector.track_fit import OPEN, fit_tracks, prompt_errors
from belle2dark.final_states import four_muons as four
from belle2dark.recipes import recipe_of
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.amplitudes.four_leptons import scalar_boson, vector_boson
from belle2dark.simulation.backgrounds import FOUR_MUONS_ALL
from belle2dark.simulation.beams import Beams, belle2_beams, to_lab
from belle2dark.simulation.four_leptons import generate_four_muons, generate_resonant_four_leptons
from belle2dark.simulation.lepton_pair_x_rate import cross_section
from belle2dark.simulation.mumu_mesons import generate_mumu_onium, generate_mumu_pipi, pion_spectrum
from belle2dark.simulation.mumu_x_mumu import COUPLINGS, generate_mumu_x_mumu
from belle2dark.sourced import data_file
from belle2dark.templates import load_template

FIXED = belle2_beams(spread=False)
REST = Beams(electron_energy=5.29, positron_energy=5.29, crossing_angle=0.0, spread=False)
OF_X, BESIDE = ("mu-_2", "mu+_2"), ("mu-_1", "mu+_1")
MODELS = pytest.mark.parametrize("model", COUPLINGS)


def total(events):
    """Sum of weights and its Monte Carlo error [fb]."""
    return events.weights.sum(), math.sqrt((events.weights**2).sum())


def mass(*momenta):
    p = sum(momenta)
    return np.sqrt(np.maximum(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), 0.0))


def probability(reco):
    return np.prod(list(reco.factors.values()), axis=0)


@cache
def reconstructed(name, m, isr=True, n=20_000):
    detector = {"BaBar": BABAR, "Belle II": BELLE2}[name]
    events = generate_mumu_x_mumu(n, 7, detector.beams, mass=m, model="zprime", isr=isr)
    return detector, events, four.STATE.reconstruct(events, detector, 8)


# --- signal ---


@MODELS
@pytest.mark.parametrize(("m", "isr"), [(0.2125, False), (0.5, True), (4.0, False), (8.0, True)])
def test_weights_are_the_cross_section_by_quadrature(model, m, isr):
    value, error = total(generate_mumu_x_mumu(40_000, 3, FIXED, mass=m, model=model, isr=isr))
    expected = cross_section(m, COUPLINGS[model], FIXED.sqrt_s, isr=isr)
    assert value == pytest.approx(expected, abs=3 * error + 6e-3 * expected * isr)  # 0.6 %: radiators differ by as much


@MODELS
@pytest.mark.parametrize("m", (0.2125, 3.0))
def test_exchange_of_equal_muons_changes_nothing_for_a_narrow_x(model, m):
    """The twelve graphs with a resonance of finite width, which is made in 300 of its widths: all but 0.1 % of it."""
    g, beta = 0.01, math.sqrt(1.0 - 4.0 * M_MUON**2 / m**2)
    if model == "zprime":
        boson = vector_boson(m, g * g * m / (12 * math.pi) * (1 + 2 * M_MUON**2 / m**2) * beta, (g, 0.0), (g, 0.0))
    else:
        boson = scalar_boson(m, g * g * m / (8 * math.pi) * beta**3, (g, 0.0), (g, 0.0))
    value, error = total(generate_resonant_four_leptons(100_000, 11, REST, boson, isr=False))
    narrow, own = total(generate_mumu_x_mumu(100_000, 12, REST, mass=m, model=model, isr=False, alpha="thomson"))
    assert value / g**2 == pytest.approx(0.999 * narrow, abs=3 * math.hypot(error / g**2, own))


def test_momentum_is_conserved_and_particles_are_on_their_mass_shell():
    events = generate_mumu_x_mumu(5000, 4, belle2_beams(spread=False), mass=1.5, model="zprime")
    off = np.abs(sum(events.momenta_lab.values()) - FIXED.nominal).max(axis=1)
    assert np.quantile(off, 0.995) < 1e-9, "only a fifth photon off the beams, which has no slot, may be missing"
    for name in (*OF_X, *BESIDE):
        np.testing.assert_allclose(mass(events.momenta_lab[name]), M_MUON, atol=1e-5)
    plain = generate_mumu_x_mumu(5000, 4, FIXED, mass=1.5, model="zprime", fsr=False)
    np.testing.assert_allclose(mass(*(plain.momenta_lab[name] for name in OF_X)), 1.5, atol=1e-8)


def test_photons_off_muons_take_x_below_its_mass_and_leave_the_rate():
    plain, bright = (generate_mumu_x_mumu(20_000, 4, FIXED, mass=3.0, model="zprime", fsr=fsr) for fsr in (False, True))
    assert bright.weights.sum() == pytest.approx(plain.weights.sum(), rel=1e-12)
    m = mass(*(bright.momenta_lab[name] for name in OF_X))
    below = np.average(m < 3.0 * (1.0 - 0.01), weights=bright.weights)
    # leading logarithm: mean number of photons above 1 % of the mass, 2 alpha/pi (ln m^2/m_mu^2 - 1) ln(1/0.02) - ...
    b = 2.0 * ALPHA["thomson"] / math.pi * (math.log(9.0 / M_MUON**2) - 1.0)
    assert 0.6 * b * math.log(1 / 0.02) < below < 1.2 * b * math.log(1 / 0.02)
    assert not any(
        name.startswith("gamma") for name in generate_mumu_x_mumu(10, 1, FIXED, mass=1.0, model="zprime", isr=False).momenta_lab
    )


def test_scalar_decays_evenly():
    events = generate_mumu_x_mumu(40_000, 5, REST, mass=2.0, model="muonphilic", isr=False)
    minus, plus = (events.momenta_lab[name] for name in OF_X)
    pair, half = minus + plus, math.sqrt(1.0 - M_MUON**2)
    p = np.sqrt((pair[:, 1:] ** 2).sum(axis=1))
    cosine = (minus[:, 0] - pair[:, 0] / 2) * 2.0 / (p * half)
    mean = np.average(cosine**2, weights=events.weights)
    assert mean == pytest.approx(1 / 3, abs=3 * 0.3 / math.sqrt(len(events)) * 1.5)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="model = 'zprim': must be one of zprime, muonphilic; nearest: zprime"):
        generate_mumu_x_mumu(10, 1, FIXED, mass=1.0, model="zprim")
    for m in (0.2, 2 * M_MUON, 10.5):
        with pytest.raises(ValueError, match="mass"):
            generate_mumu_x_mumu(10, 1, FIXED, mass=m, model="zprime")
    with pytest.raises(ValueError, match="n = 3"):
        generate_mumu_onium(3, 1, FIXED)


# --- backgrounds ---


def test_four_muons_inside_an_acceptance():
    """111 fb with all four muons at 18 to 145 degrees in the lab of BaBar and pT > 0.1 GeV: an independent calculation."""
    events = generate_four_muons(60_000, 6, BABAR.beams, isr=False)
    inside = np.ones(len(events), dtype=bool)
    for p in events.momenta_lab.values():
        if p.any():
            pt = np.hypot(p[:, 1], p[:, 2])
            theta = np.degrees(np.arctan2(pt, p[:, 3]))
            inside &= (theta > 18.0) & (theta < 145.0) & (pt > 0.1)
    value, error = total(events.select(inside))
    assert value == pytest.approx(111.0, abs=3 * error + 1.0)


def test_mesons_are_photons_of_their_mass():
    """J/psi: the rate of a vector of that mass, by quadrature, with the coupling of its width to electrons."""
    coupling = LeptonCoupling(vector=math.sqrt(12.0 * math.pi * 5.53e-6 / 3.0969))
    events = generate_mumu_onium(20_000, 5, FIXED, isr=False)
    value, error = total(events.select(np.abs(mass(*(events.momenta_lab[name] for name in OF_X)) - 3.0969) < 1e-3))
    expected = 0.05961 * cross_section(3.0969, coupling, FIXED.sqrt_s, electron_coupling=coupling, alpha="thomson", isr=False)
    assert value == pytest.approx(expected, abs=3 * error)


def test_pions_have_the_spectrum_of_the_form_factor():
    """The mean of the generated masses is that of cross-section times spectral function, over 0.5 to 1.1 GeV."""
    events = generate_mumu_pipi(60_000, 5, FIXED, isr=False)
    m = mass(events.momenta_lab["pi-"], events.momenta_lab["pi+"])
    inside = (m > 0.5) & (m < 1.1)
    value, error = total(events.select(inside))
    unit = LeptonCoupling(vector=math.sqrt(4 * math.pi * ALPHA["thomson"]))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    at = 0.8 + 0.3 * nodes
    rates = [cross_section(x, unit, FIXED.sqrt_s, electron_coupling=unit, alpha="thomson", isr=False) for x in at[::4]]
    smooth = np.exp(np.interp(np.log(at), np.log(at[::4]), np.log(rates)))
    expected = float(np.sum(0.3 * weights * 2 * at * pion_spectrum(at**2) * smooth))
    assert value == pytest.approx(expected, abs=3 * error + 5e-3 * expected)
    open_ = events.select(events.weights > 0)
    assert len(open_) > 0.9 * len(events)
    np.testing.assert_allclose(sum(open_.momenta_lab.values()) - FIXED.nominal, 0.0, atol=1e-8)


# --- the fit ---


def test_compiled_fit_is_the_reference():
    detector, _, reco = reconstructed("BaBar", 3.0)
    tracks = reco.tracks_lab[probability(reco) > 0][:2000]
    ours, errors = fit_tracks(tracks, M_MUON, detector), prompt_errors(tracks, M_MUON, detector)
    reference = fit_to_beams(tracks, errors, (M_MUON,) * 4, detector.beams)
    closed = reference.chi2 < 100
    np.testing.assert_allclose(ours.tracks_lab[closed], reference.tracks_lab[closed], atol=1e-9)
    np.testing.assert_allclose(ours.chi2[closed], reference.chi2[closed], rtol=1e-6)


def test_fitted_events_close_and_chi2_has_four_degrees_of_freedom():
    _, _, reco = reconstructed("Belle II", 3.0, isr=False)
    c = {name: values[probability(reco) > 0] for name, values in reco.columns.items()}
    assert c["chi2"].mean() == pytest.approx(4.0, abs=3 * math.sqrt(8 / len(c["chi2"])) + 0.05)
    energies = sum(c[f"energy_{role}_cms"] for role in ("minus", "plus", "other_minus", "other_plus"))
    # pulled to the nominal energy, from a spread of 5 MeV and 30 MeV of resolution
    assert width(energies) < 0.005 and np.median(energies) == pytest.approx(BELLE2.beams.sqrt_s, abs=5e-4)
    assert (c["m_lowest"] <= np.minimum(c["m_pair"], c["m_other"])).all()


#: steps of the published scan, which are the resolution of the mass [MeV]; from 1 GeV down they are finer than ours
STEPS = {3.0: 6.0, 5.0: 9.0, 6.4: 9.0, 7.5: 8.0}


def width(x):
    """Half of the central 68 %."""
    return float(np.diff(np.quantile(x, [0.16, 0.84]))[0]) / 2


@pytest.mark.parametrize("m", STEPS)
def test_resolution_is_the_published_step_of_the_scan(m):
    """A quarter either way: most of the detector's numbers are recalled ones."""
    _, _, reco = reconstructed("BaBar", m)
    near = (probability(reco) > 0) & (reco.columns["chi2"] < 20) & (np.abs(reco.columns["m_pair"] - m) < 0.035)
    assert 1e3 * width(reco.columns["m_pair"][near]) == pytest.approx(STEPS[m], rel=0.25)
    assert width(reco.columns["m_pair_raw"][near]) > 1.6 * width(reco.columns["m_pair"][near])


# --- the final state ---


def test_every_pair_of_every_event_counts():
    """Four assignments with equal probabilities; a quarter of the pairs is the right one."""
    _, _, reco = reconstructed("Belle II", 3.0, isr=False)
    use = probability(reco) > 0
    assert np.median(reco.factors["every assignment"][use]) == pytest.approx(4.0)
    right = np.abs(reco.columns["m_pair"] - 3.0) < 0.05
    w = (reco.weights * probability(reco))[use]
    share, n = w[right[use]].sum() / w.sum(), w.sum() ** 2 / (w**2).sum()
    # wrong pairs within 50 MeV add a few per cent
    assert 0.25 - 3 * 0.44 / math.sqrt(n) < share < 0.25 + 3 * 0.44 / math.sqrt(n) + 0.02


def test_three_identified_muons_are_enough():
    events = generate_mumu_x_mumu(4000, 7, BELLE2.beams, mass=3.0, model="zprime", isr=False)
    seen = observe(events, BELLE2, 8)
    each = np.stack([seen.identified[:, seen.slot(name), 0, 1] for name in (*OF_X, *BESIDE)], axis=1)
    three = sum(np.prod(np.where(np.arange(4) == j, 1.0 - each, each), axis=1) for j in range(4))
    reco = four.STATE.reconstruct(events, BELLE2, 8)
    use = probability(reco) > 0
    np.testing.assert_allclose(reco.factors["identification"][use], (each.prod(axis=1) + three)[use], rtol=1e-12)


@cache
def ideal():
    """Columns of all four assignments of true momenta of QED events, and their weights."""
    events = generate_four_muons(20_000, 9, FIXED, isr=False)
    p = {name: events.momenta_lab[name][:, 1:] for name in (*OF_X, *BESIDE)}
    ways = [(a, b) for a in (0, 1) for b in (0, 1)]
    tracks = [np.stack([p[f"mu-_{1 + a}"], p[f"mu+_{1 + b}"], p[f"mu-_{2 - a}"], p[f"mu+_{2 - b}"]], axis=1) for a, b in ways]
    perfect = BELLE2.vary(angle_resolution=1e-6)
    columns = [four.columns(t, np.zeros((len(t), 0, 4)), perfect) for t in tracks]
    return {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}, np.tile(events.weights, 4)


@pytest.mark.parametrize(("kind", "low", "high"), [("vector", 0.6, 0.7), ("vector", 3.0, 3.3), ("scalar", 5.0, 5.4)])
def test_likeness_turns_qed_into_photons_off_muons(kind, low, high):
    """Weighted with the ratio, pairs of QED events have the rate of mu mu X with X's spectral function of muons.

    sigma(mu mu X; m) alpha/(3 pi m^2) (1 + 2 m_mu^2/m^2) beta dm^2 for a vector coupled like the photon, and
    alpha/(2 pi m^2) beta^3 / 2 for a scalar: no step of the ratio's own code is in it but the amplitudes.
    """
    columns, weights = ideal()
    m, e = columns["m_pair"], math.sqrt(4 * math.pi * ALPHA["thomson"])
    inside = (m > low) & (m < high) & (columns["chi2"] < OPEN)
    # four assignments of an event to roles, two pairs of equal muons: each pair of roles once
    w = weights[inside] * np.exp(columns[f"likeness_{kind}"][inside])
    at = np.linspace(low, high, 5)
    coupling = LeptonCoupling(vector=e) if kind == "vector" else LeptonCoupling(scalar=e)
    rate = np.array([cross_section(x, coupling, FIXED.sqrt_s, alpha="thomson", isr=False) for x in at])
    beta = np.sqrt(1 - 4 * M_MUON**2 / at**2)
    width_over_mass = (
        ALPHA["thomson"] / 3 * (1 + 2 * M_MUON**2 / at**2) * beta if kind == "vector" else ALPHA["thomson"] / 2 * beta**3
    )
    expected = np.trapezoid(rate * width_over_mass / (math.pi * at**2) * 2 * at, at)
    assert w.sum() == pytest.approx(expected, abs=3 * math.sqrt((w**2).sum()) + 0.01 * expected)


# --- templates and network ---


@pytest.mark.parametrize("detector", [BELLE2, BABAR, BELLE], ids=lambda d: d.name)
def test_templates_fill_every_window_and_stay_small(detector):
    """Two widths either side of any reduced mass hold at least 25 effective pairs, or twice that width where muons end."""
    with data_file(recipe_of("four_muons", detector.name).file).open("rb") as file:
        assert len(file.read()) < 900_000
    template = load_template("four_muons", detector)
    c, w = template.columns, template.weights
    use = (np.abs(c["m_total"] - detector.beams.sqrt_s) < 0.5) & (c["chi2"] < 30.0)
    order = np.argsort(c["reduced_mass"][use])
    x, w = c["reduced_mass"][use][order], w[use][order]
    centres = np.arange(0.1, 9.0, 0.01)
    sigma = np.interp(
        centres, [0.0, 0.5, 1, 3, 5, 9], np.array([1.3, 1.8, 2.2, 4.2, 6.3, 7.3]) * 1e-3 * (1.0 if detector is BELLE2 else 1.3)
    )
    first, last = np.searchsorted(x, centres - 4 * sigma), np.searchsorted(x, centres + 4 * sigma)
    sums, squares = (np.concatenate([[0.0], np.cumsum(v)]) for v in (w, w**2))
    effective = (sums[last] - sums[first]) ** 2 / (squares[last] - squares[first])
    assert effective.min() > 25 and np.median(effective) > 40
    assert {line for line in template.lines if line.startswith("babar")} == {"babar_three_long", "babar_two_long_short"}
    assert set(template.processes) == {b.name for b in FOUR_MUONS_ALL}


def spectrum(template, low, high, keep):
    c = template.columns
    use = (
        (np.abs(c["m_total"] - BELLE2.beams.sqrt_s) < 0.5)
        & (c["chi2"] < 30.0)
        & keep
        & (c["m_pair"] > low)
        & (c["m_pair"] < high)
    )
    return template.weights[use].sum() / (high - low)


def test_peaks_stand_on_the_continuum_and_the_network_lowers_them():
    template = load_template("four_muons", BELLE2)
    every = np.ones(len(template), dtype=bool)
    passed = load_network("dimuon_resonance").score(template.columns) > 0.5
    qed, onium, pions = (template.process == template.processes.index(b.name) for b in FOUR_MUONS_ALL)
    # a narrow meson counts as 9 pi Gamma_ee B / (2 alpha^2) of continuum: 87 MeV and 9 MeV, of the pairs that are photons
    for low, high, least, most in ((3.085, 3.109, 0.5, 3.6), (9.448, 9.472, 0.1, 0.5)):
        assert least < spectrum(template, low, high, onium) / spectrum(template, low, high, qed) < most
        sides = [spectrum(template, low + away, high + away, onium) for away in (-0.1, 0.1)]
        assert spectrum(template, low, high, onium) > 5 * max(sides)
    rho, above = (
        spectrum(template, low, high, pions) / spectrum(template, low, high, qed) for low, high in ((0.7, 0.8), (1.0, 1.1))
    )
    assert rho > 0.15 and rho > 2 * above
    for low, high in ((0.7, 0.8), (3.085, 3.109), (9.45, 9.47)):
        assert spectrum(template, low, high, passed) < 0.6 * spectrum(template, low, high, every)


@pytest.mark.parametrize(("m", "low", "high"), [(0.5, 1.15, 1.9), (5.0, 1.8, 3.3)])
def test_network_gains_what_matrix_elements_can(m, low, high):
    """Efficiency over root background on events it was not trained on: 1.3 at low mass to 3 at 4 to 7 GeV is possible."""
    _, _, reco = reconstructed("Belle II", m)
    network, template = load_network("dimuon_resonance"), load_template("four_muons", BELLE2)
    closed = (np.abs(reco.columns["m_total"] - BELLE2.beams.sqrt_s) < 0.5) & (np.abs(reco.columns["m_pair"] - m) < 0.02)
    w = reco.weights * probability(reco) * closed
    efficiency = w[network.score(reco.columns) > 0.5].sum() / w.sum()
    every = np.ones(len(template), dtype=bool)
    passed = network.score(template.columns) > 0.5
    share = spectrum(template, m - 0.1, m + 0.1, passed) / spectrum(template, m - 0.1, m + 0.1, every)
    assert low < efficiency / math.sqrt(share) < high


def test_the_lab_does_not_matter_to_the_likeness():
    events = generate_four_muons(200, 3, REST, isr=False)
    boosted = {name: to_lab(p, FIXED) for name, p in events.momenta_lab.items()}
    tracks = np.stack([boosted[name][:, 1:] for name in ("mu-_1", "mu+_1", "mu-_2", "mu+_2")], axis=1)
    turned = tracks[:, [2, 3, 0, 1]]
    one, other = (four.columns(t, np.zeros((200, 0, 4)), BELLE2) for t in (tracks, turned))
    np.testing.assert_allclose(one["m_pair"], other["m_other"], atol=1e-9)
    np.testing.assert_allclose(one["helicity"], other["other_helicity"], atol=1e-9)
