"""Several channels, components and systematics; what each costs; cuts and windows; p-value scans."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml
from scipy import integrate, stats

from belle2dark import limits
from belle2dark.limits import Channel, Systematic, breakdown, combined_expected, combined_limit, systematics_from
from belle2dark.limits.constraints import gauss_of_measure, sum_of
from belle2dark.limits.counting import upper_limit
from belle2dark.limits.nodes import flatten
from belle2dark.limits.nuisance import Uncertainties
from belle2dark.limits.systematics import nuisances

LUMINOSITY = Systematic(name="luminosity", size=0.1, acts_on=("signal", "background"))
RATE = Systematic(name="background rate", size=0.2, acts_on=("background",))


def channel(name: str, n: int | None, b: float, signal: float = 1.0, *systematics: Systematic) -> Channel:
    return Channel(name=name, n=n, background={"b": b}, signal=signal, systematics=systematics)


@pytest.mark.parametrize("method", ["bayesian", "cls"])
@pytest.mark.parametrize("systematics", [(), (LUMINOSITY,), (LUMINOSITY, RATE)])
def test_two_halves_make_a_whole(method: str, systematics: tuple) -> None:
    # same signal-to-background ratio and shared nuisances: the split carries no information
    u = Uncertainties(correlated=0.1 if systematics else 0.0, background=0.2 if len(systematics) > 1 else 0.0)
    whole = upper_limit(4, 2.5, method=method, uncertainties=u)  # type: ignore[arg-type]
    halves = combined_limit([channel("x", 1, 1.0, 0.4, *systematics), channel("y", 3, 1.5, 0.6, *systematics)], method=method)  # type: ignore[arg-type]
    assert halves.upper == pytest.approx(whole, rel=1e-7)
    assert combined_limit(channel("z", 4, 2.5, 1.0, *systematics), method=method).upper == pytest.approx(whole, rel=1e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize("prior", ["flat", "sqrt", "reference"])
def test_combination_against_quadrature(prior: str) -> None:
    items = [(2, 1.1, 0.3), (0, 0.4, 0.5), (5, 4.0, 0.9)]

    def posterior(t: float) -> float:  # in t = sqrt(s)
        s = t * t
        value = math.prod(stats.poisson.pmf(n, a * s + b) for n, b, a in items)
        information = math.sqrt(sum(a * a / (a * s + b) for _, b, a in items))
        return value * {"flat": 2 * t, "sqrt": 2.0, "reference": 2 * t * information}[prior]

    ours = combined_limit([channel(str(i), n, b, a) for i, (n, b, a) in enumerate(items)], prior=prior).upper  # type: ignore[arg-type]
    inside = integrate.quad(posterior, 0, math.sqrt(ours), epsrel=1e-11)[0]
    assert inside / integrate.quad(posterior, 0, 9, epsrel=1e-11, limit=200)[0] == pytest.approx(0.9, abs=1e-8)


def test_a_useless_channel_changes_nothing_and_a_good_one_helps() -> None:
    one = combined_limit(channel("x", 1, 1.0)).upper
    assert combined_limit([channel("x", 1, 1.0), channel("blind", 7, 7.0, 0.0)]).upper == pytest.approx(one, rel=1e-8)
    for method in ("bayesian", "cls"):
        both = combined_limit([channel("x", 1, 1.0), channel("y", 0, 0.1)], method=method).upper  # type: ignore[arg-type]
        assert both < 0.8 * one
    nothing = combined_limit([channel("x", 1, 1.0, 0.0)])
    assert nothing.infinite
    assert math.isinf(nothing.upper)


def test_correlation_between_channels_costs() -> None:
    def limit(same: bool, method: str) -> float:
        errors = [Systematic(name="rate" if same else f"rate {k}", size=0.4, acts_on=("background",)) for k in range(2)]
        return combined_limit([channel("x", 9, 9.0, 1.0, errors[0]), channel("y", 9, 9.0, 1.0, errors[1])], method=method).upper  # type: ignore[arg-type]

    assert limit(True, "cls") > 1.1 * limit(False, "cls")


def test_toys_agree_with_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    from belle2dark.limits import joint

    items = [channel("x", 1, 1.0, 0.4, RATE), channel("y", 3, 1.5, 0.6), channel("z", 2, 2.0, 0.1)]
    exact = combined_limit(items, method="cls")
    assert (exact.toys, exact.seed) == (None, None)
    monkeypatch.setattr(joint, "_OUTCOMES", 1)
    thrown = combined_limit(items, method="cls", n_toys=4000, seed=3)
    assert (thrown.toys, thrown.seed) == (4000, 3)
    # CLs = 0.1 is known to sqrt(0.1 / 4000) = 0.005, 5 %, and the limit to about half of that
    assert thrown.upper == pytest.approx(exact.upper, rel=0.08)
    assert thrown == combined_limit(items, method="cls", n_toys=4000, seed=3)


def test_expected_of_a_combination() -> None:
    band = combined_expected([channel("x", None, 1.0, 0.4), channel("y", None, 1.5, 0.6)])
    whole = limits.expected(2.5)
    assert band.seed == 1
    # 400 experiments: the quantiles are outcomes of the same list, the outer ones may be a neighbour
    assert band.median == pytest.approx(whole.median, rel=1e-6)
    assert band.minus2 <= band.minus1 <= band.median <= band.plus1 <= band.plus2
    assert combined_expected(channel("z", None, 2.5)).plus1 == pytest.approx(whole.plus1, rel=1e-9)


def test_components_add_in_quadrature() -> None:
    parts = (Systematic(name="a", size=0.12, acts_on=("a",)), Systematic(name="c", size=0.16, acts_on=("c",)))
    split = Channel(name="w", n=40, background={"a": 20.0, "c": 20.0}, systematics=parts)
    whole = upper_limit(40, 40.0, uncertainties=Uncertainties(background=math.hypot(0.12 * 20, 0.16 * 20) / 40))
    assert combined_limit(split).upper == pytest.approx(whole, rel=1e-6)
    tied = Channel(name="w", n=40, background={"a": 20.0, "c": 20.0},
                   systematics=(parts[0], Systematic(name="c", size=0.16, acts_on=("c",), correlated_with=("a",))))  # fmt: skip
    linear = upper_limit(40, 40.0, uncertainties=Uncertainties(background=0.14))
    assert combined_limit(tied).upper == pytest.approx(linear, rel=1e-6)  # tied ones add linearly


def test_template_statistics_of_a_component() -> None:
    bare = Channel(name="w", n=4, background={"a": 2.0, "c": 1.0})
    poor = Channel(name="w", n=4, background={"a": 2.0, "c": 1.0}, template_error={"a": 0.5})
    # 0.5 of two events from a template of four effective events: a gamma distribution
    x = stats.gamma(4, scale=0.5)

    def tail(s: float) -> float:
        return integrate.quad(lambda b: x.pdf(b) * stats.poisson.cdf(4, s + b + 1.0), 0, 30, epsrel=1e-11)[0]

    assert tail(combined_limit(poor).upper) / tail(0.0) == pytest.approx(0.1, abs=1e-6)
    assert combined_limit(poor).upper > combined_limit(bare).upper


def test_many_components_stay_small_and_right() -> None:
    names = [f"c{k}" for k in range(8)]
    item = Channel(name="w", n=30, background={name: 3.0 + k for k, name in enumerate(names)},
                   systematics=tuple(Systematic(name=name, size=0.2, acts_on=(name,), constraint="lognormal")
                                     for name in names))  # fmt: skip
    a, b, w = flatten(item, 30, nuisances((item,)))
    assert len(w) < 1000
    mean = sum(3.0 + k for k in range(8)) * math.exp(0.5 * math.log(1.2) ** 2)
    variance = sum((3.0 + k) ** 2 for k in range(8)) * math.exp(math.log(1.2) ** 2) * math.expm1(math.log(1.2) ** 2)
    assert w @ b == pytest.approx(mean, rel=1e-9)
    assert w @ (b - mean) ** 2 == pytest.approx(variance, rel=1e-7)
    assert (a == 1).all()


def test_compression_keeps_moments() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.gamma(3.0, 1.0, 500), rng.uniform(size=500)
    w /= w.sum()
    nodes, weights = gauss_of_measure(x, w, 8)
    for power in range(1, 12):
        assert weights @ nodes**power == pytest.approx(w @ x**power, rel=1e-9)
    wide = [(np.linspace(50, 300, 200), np.full(200, 1 / 200))] * 2
    nodes, weights = sum_of(wide, 10.0)
    assert weights @ nodes == pytest.approx(350.0, rel=1e-9)
    assert len(nodes) < 400


def test_breakdown_adds_up() -> None:
    systematics = (LUMINOSITY, RATE, Systematic(name="identification", size=0.05), Systematic(name="nothing", size=0.0))
    item = Channel(name="w", n=6, background={"a": 2.0, "c": 2.0}, systematics=systematics, template_error={"a": 0.3})
    table = breakdown(item)
    assert set(table.cost) == {"luminosity", "background rate", "identification", "template statistics"}
    assert list(table.cost.values()) == sorted(table.cost.values(), reverse=True)
    assert table.statistical < min(table.without.values()) < table.limit
    assert table.limit == combined_limit(item).upper
    without = Channel(name="w", n=6, background={"a": 2.0, "c": 2.0}, systematics=(LUMINOSITY, RATE), template_error={"a": 0.3})
    assert table.without["identification"] == pytest.approx(combined_limit(without).upper, rel=1e-12)
    assert table.cost["identification"] == pytest.approx(table.limit / table.without["identification"] - 1)
    assert breakdown(channel("x", None, 4.2, 1.0, RATE)).statistical == pytest.approx(limits.expected(4.2).median, rel=1e-9)


def test_systematics_from_yaml() -> None:
    text = """
    - {name: luminosity, size: 0.01, acts_on: [signal, background]}
    - {name: muon identification, size: 0.02}
    - {name: tautau cross section, size: 0.10, acts_on: [tautau], constraint: lognormal, correlated_with: [luminosity]}
    """
    items = systematics_from(yaml.safe_load(text))
    assert [item.name for item in items] == ["luminosity", "muon identification", "tautau cross section"]
    assert items[1].acts_on == ("signal",)
    assert items[2].correlated_with == ("luminosity",)
    for wrong in ([{"name": "x"}], [{"name": "x", "size": 0.1, "sizes": 0.2}]):
        with pytest.raises(ValueError, match="systematics"):
            systematics_from(wrong)


@pytest.mark.parametrize(("call", "name"), [
    (lambda: Systematic(name="x", size=1.5), "size"), (lambda: Systematic(name="x", size=math.nan), "size"),
    (lambda: Systematic(name="x", size=0.1, acts_on="signal"), "acts_on"),  # type: ignore[arg-type]
    (lambda: Systematic(name="x", size=0.9, constraint="gamma"), "size"),
    (lambda: Systematic(name="x", size=0.1, constraint="flat"), "constraint"),  # type: ignore[arg-type]
    (lambda: channel("c", 2, -1.0), "background"), (lambda: channel("c", 2, math.nan), "background"),
    (lambda: Channel(name="c", n=2.5, background={}), "n"),  # type: ignore[arg-type]
    (lambda: channel("c", 2, 1.0, -1.0), "signal"),
    (lambda: channel("c", 2, 1.0, 1.0, Systematic(name="x", size=0.1, acts_on=("other",))), "acts_on"),
    (lambda: Channel(name="c", background={"b": 1.0}, template_error={"a": 0.1}), "template_error"),
    (lambda: combined_limit([]), "channels"), (lambda: combined_limit([channel("x", 1, 1.0), channel("x", 1, 1.0)]), "channels"),
    (lambda: combined_limit(channel("x", None, 1.0)), "n"), (lambda: combined_limit(channel("x", 1, 1.0), cl=1.0), "cl"),
    (lambda: combined_limit([channel("x", 1, 1.0), channel("y", 1, 1.0)], method="feldman_cousins"), "method"),
    (lambda: limits.optimise_cut([0.1], [0.2], []), "values"),
    (lambda: limits.optimise_cut([0.1], [0.2], [0.5], objective="best"), "objective"),  # type: ignore[arg-type]
    (lambda: limits.optimise_cut([0.1], [0.2], [0.5], keep="left"), "keep"),  # type: ignore[arg-type]
    (lambda: limits.optimise_cut([0.1], [0.2], [0.5], signal_weights=[1.0, 2.0]), "weights"),
    (lambda: limits.optimise_cut([0.9], [0.2], [0.5]), "values"),
    (lambda: limits.p_value_scan([0.1], lambda a, b: b - a), "edges"),
    (lambda: limits.p_value_scan([0.1], lambda a, b: b - a, edges=[0, 0]), "edges"),
    (lambda: limits.p_value_scan([0.1], lambda a, b: b - a, centres=[0.5], widths=[-1]), "widths"),
    (lambda: limits.p_value_scan([math.nan], lambda a, b: b - a, edges=[0, 1]), "events"),
    (lambda: limits.p_value_scan([0.1], lambda a, b: a - b, edges=[0, 1]), "background")])  # fmt: skip
def test_bad_input_names_the_argument(call, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()


def test_optimal_cut_of_an_exponential() -> None:
    # signal flat and background linear in x, cut below: with much background Punzi ~ sqrt(x^2) / x is flat, S/sqrt(B) too;
    # background ~ x^3 makes x^1.5 / x: the lower the better until the constant terms of Punzi take over
    x = (np.arange(200_000) + 0.5) / 200_000
    values = np.linspace(0.02, 1.0, 50)
    scan = limits.optimise_cut(x, x ** (1 / 3), values, scale=1e-1)
    curve = limits.punzi(2e4 * values**3, values, 1.0)
    assert scan.objective[3:] == pytest.approx(curve[3:], rel=5e-3)  # ten background events or more, in whole numbers
    assert scan.index == int(np.argmin(curve))
    assert abs(scan.best - values[scan.index]) < 0.05
    wide = limits.optimise_cut(x, x ** (1 / 3), values, scale=1e-1, keep="above")
    assert wide.efficiency == pytest.approx(1 - values, abs=1e-5)


def test_best_cut_is_the_middle_of_the_plateau() -> None:
    # as a search writes it out: Punzi's cross-section per value, then the mean of all within one per cent of the smallest
    rng = np.random.default_rng(8)
    x, y, wx, wy = rng.beta(1, 2, 5000), rng.beta(3, 1, 9000), rng.uniform(0.5, 1, 5000), rng.uniform(0, 0.02, 9000)
    values, generated, luminosity, wider = np.linspace(0.05, 1.0, 20), 9000.0, 8.34, 4.0
    signal = np.array([wx[x < v].sum() for v in values]) / generated
    background = np.array([wy[y < v].sum() for v in values]) / wider * luminosity
    merit = limits.punzi(background, signal, luminosity)
    scan = limits.optimise_cut(x, y, values, signal_weights=wx, background_weights=wy, generated=generated,
                               scale=luminosity / wider)  # fmt: skip
    assert scan.objective / luminosity == pytest.approx(merit, rel=1e-9)
    assert scan.best == pytest.approx(values[merit <= 1.01 * merit.min()].mean(), rel=1e-12)


def test_objectives_agree_where_they_should() -> None:
    rng = np.random.default_rng(4)
    signal, background = rng.normal(0, 1, 20_000), rng.uniform(-20, 20, 100_000)
    widths = np.linspace(0.3, 4.0, 38)
    best = {name: limits.optimise_window(signal, background, widths, centre=0.0, objective=name, scale=s).best  # type: ignore[arg-type]
            for name, s in (("punzi", 1.0), ("expected_limit", 1.0), ("s_over_sqrt_b", 1.0))}  # fmt: skip
    # a Gaussian over a flat and large background: 1.40 sigma whatever the question; the optimum is flat to 1 % within 0.3
    for value in best.values():
        assert value == pytest.approx(1.40, abs=0.2)
    few = limits.optimise_window(signal, background, widths, centre=0.0, scale=1e-5)
    assert few.best > 1.8  # without background to fear the window opens


def test_cut_with_too_few_background_events_is_not_chosen() -> None:
    values = np.array([0.1, 0.5, 1.0])
    scan = limits.optimise_cut(np.full(10, 0.05), np.linspace(0.2, 0.9, 30), values, min_effective=5.0)
    assert scan.objective[0] < scan.objective[1]
    assert scan.index == 1


def test_scan_finds_an_excess_on_a_bin_edge() -> None:
    events = np.concatenate([(np.arange(200) + 0.5) / 200 * 10, np.full(12, 4.999), np.full(12, 5.001)])
    scan = limits.p_value_scan(events, lambda a, b: 20.0 * (b - a), edges=np.arange(0.0, 11.0))
    assert (scan.low[scan.best], scan.high[scan.best]) == (4.5, 5.5)
    assert scan.shifted[scan.best]
    assert scan.n[scan.best] == 44
    plain = limits.p_value_scan(events, lambda a, b: 20.0 * (b - a), edges=np.arange(0.0, 11.0), shifted=False)
    assert plain.z.max() < scan.z[scan.best] - 1.5
    assert len(plain.n) == 10
    assert plain.n.sum() == len(events)
    assert scan.p[scan.best] == pytest.approx(stats.poisson.sf(43, 20.0), rel=1e-9)
    same = limits.p_value_scan(events, lambda a, b: 20.0 * (b - a), centres=np.arange(0.5, 10.0), widths=1.0)
    assert same.n[~same.shifted].tolist() == plain.n.tolist()
    uncertain = limits.p_value_scan(events, lambda a, b: 20.0 * (b - a), edges=np.arange(0.0, 11.0), background_uncertainty=0.2)
    assert uncertain.z[scan.best] < scan.z[scan.best]
