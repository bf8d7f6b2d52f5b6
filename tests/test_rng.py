"""Random numbers: the right distributions, the same bits however they are drawn."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import stats

from belle2dark._jit import jit
from belle2dark.simulation import rng

N = 2_000_000  # statistical errors of 7e-4 on a mean; fixed key, so no test is flaky


@jit(parallel=True)
def fill(key, out):  # type: ignore[no-untyped-def]
    """Columns: uniform, normal, direction x, y, z; block by block as every event kernel does it."""
    for block in numba.prange((out.shape[0] + rng.BLOCK - 1) // rng.BLOCK):
        s0, s1 = rng.seed_block(key, block)
        for i in range(block * rng.BLOCK, min((block + 1) * rng.BLOCK, out.shape[0])):
            s0, s1, out[i, 0] = rng.uniform(s0, s1)
            s0, s1, out[i, 1] = rng.normal(s0, s1)
            s0, s1, out[i, 2], out[i, 3], out[i, 4] = rng.direction(s0, s1)


@jit()
def uniform_of(s0, s1):  # type: ignore[no-untyped-def]
    return rng.uniform(s0, s1)[2]


@jit()
def tail_of(key, n, cut, out):  # type: ignore[no-untyped-def]
    """Those of n normal numbers beyond +-cut, into ``out``; returns how many."""
    s0, s1 = rng.seed_block(key, 0)
    found = 0
    for _ in range(n):
        s0, s1, g = rng.normal(s0, s1)
        if abs(g) > cut and found < len(out):
            out[found] = g
            found += 1
    return found


def draw(n: int, seed: int = 1, *names: str) -> np.ndarray:
    out = np.empty((n, 5))
    fill(np.uint64(rng.make_key(seed, *names)), out)
    return out


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return draw(N, 7, "test")


def p_value(statistic: float, n: int) -> float:
    return float(stats.kstwobign.sf(statistic * np.sqrt(n)))


def test_uniform_is_flat_and_open(sample: np.ndarray) -> None:
    u = sample[:, 0]
    assert 0 < u.min() < 1e-5
    assert 1 - 1e-5 < u.max() < 1
    assert p_value(stats.kstest(u, "uniform").statistic, N) > 1e-3
    for k in (1, 2, 4):  # error of the k-th moment of n numbers
        assert np.mean(u**k) == pytest.approx(1 / (k + 1), abs=5 / np.sqrt(N) * np.sqrt(1 / (2 * k + 1) - 1 / (k + 1) ** 2))


def test_uniform_never_reaches_its_ends() -> None:
    largest, zero = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    assert uniform_of(largest, zero) == 1 - 2.0**-53
    assert uniform_of(zero, zero) == 2.0**-53


def test_normal_moments(sample: np.ndarray) -> None:
    g = sample[:, 1]
    # Variances of the sample mean, variance, third and fourth moment of a normal: 1, 2, 15, 96 over n; five sigma.
    for k, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert np.mean(g**k) == pytest.approx(moment, abs=5 * np.sqrt(variance / N))


def test_normal_follows_its_distribution(sample: np.ndarray) -> None:
    assert p_value(stats.kstest(sample[:, 1], "norm").statistic, N) > 1e-3


def test_normal_tails_beyond_the_ziggurat() -> None:
    n, cut, out = 40_000_000, 3.6541528853610088, np.empty(20_000)  # the tail has its own code beyond this cut
    tail = out[: tail_of(np.uint64(rng.make_key(11)), n, cut, out)]
    for side in (tail[tail > 0], -tail[tail < 0]):
        expected = n * stats.norm.sf(cut)  # 5160 a side
        assert len(side) == pytest.approx(expected, abs=5 * np.sqrt(expected))
        assert stats.kstest(side, lambda x: 1 - stats.norm.sf(x) / stats.norm.sf(cut)).pvalue > 1e-3


def test_normal_has_no_layer_structure(sample: np.ndarray) -> None:
    # Equal-probability bins finer than the 256 layers would show a wrong wedge.
    counts = np.histogram(stats.norm.cdf(sample[:, 1]), bins=1000, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_ziggurat_closes() -> None:
    x, f = rng._ZX, rng._ZF
    areas = x[1:256] * (f[2:257] - f[1:256])
    assert areas == pytest.approx(np.full(255, x[0] * f[1]), rel=1e-10)  # all layers hold the same area, the top one too


def test_directions_are_isotropic_unit_vectors(sample: np.ndarray) -> None:
    d = sample[:, 2:]
    assert np.max(np.abs(np.sum(d**2, axis=1) - 1)) < 1e-12
    for axis in range(3):  # each component of an isotropic direction is uniform
        assert p_value(stats.kstest(d[:, axis], "uniform", args=(-1, 2)).statistic, N) > 1e-3
    phi = np.arctan2(d[:, 1], d[:, 0])
    assert p_value(stats.kstest(phi, "uniform", args=(-np.pi, 2 * np.pi)).statistic, N) > 1e-3
    assert d.T @ d / N == pytest.approx(np.eye(3) / 3, abs=5 * np.sqrt(0.09 / N))  # variance of z^2 is 4/45


def test_columns_and_neighbours_are_uncorrelated(sample: np.ndarray) -> None:
    shifted = np.column_stack([sample[:-1], sample[1:]])
    correlation = np.corrcoef(shifted, rowvar=False) - np.eye(10)
    assert np.max(np.abs(correlation)) < 5.5 / np.sqrt(N)  # 45 numbers of 1/sqrt(n) each


def test_blocks_are_independent() -> None:
    first = np.stack([draw(2 * rng.BLOCK, seed)[:: rng.BLOCK, 0] for seed in range(50)])
    assert len(np.unique(first)) == 100
    starts = draw(3000 * rng.BLOCK // 8, 3)[:: rng.BLOCK, 0]  # first number of consecutive blocks
    assert stats.kstest(starts, "uniform").pvalue > 1e-3
    blocks = draw(2 * rng.BLOCK)[:, 0].reshape(2, -1)
    assert abs(np.corrcoef(blocks)[0, 1]) < 5 / np.sqrt(rng.BLOCK)


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    long = draw(3 * rng.BLOCK + 17)
    for n in (1, rng.BLOCK, rng.BLOCK + 1, 3 * rng.BLOCK):
        assert np.array_equal(draw(n), long[:n])


def test_same_bits_on_any_number_of_threads() -> None:
    most = numba.config.NUMBA_NUM_THREADS
    if most < 2:
        pytest.skip("numba was started with one thread")
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = draw(20 * rng.BLOCK)
        numba.set_num_threads(most)
        assert np.array_equal(draw(20 * rng.BLOCK), one)
    finally:
        numba.set_num_threads(before)


def test_key_depends_on_seed_and_names_in_order() -> None:
    keys = [
        rng.make_key(1), rng.make_key(2), rng.make_key(1, "a"), rng.make_key(1, "b"), rng.make_key(1, "a", "b"),
        rng.make_key(1, "b", "a"), rng.make_key(1, "ab"),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**64 for key in keys)
    assert rng.make_key(1, "dark_higgsstrahlung", "signal") == rng.make_key(1, "dark_higgsstrahlung", "signal")


def test_key_takes_no_mass_and_no_negative_seed() -> None:
    with pytest.raises(AttributeError):
        rng.make_key(1, 6.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed = -1"):
        rng.make_key(-1)


def test_streams_of_different_keys_differ() -> None:
    a, b = draw(rng.BLOCK, 1, "signal"), draw(rng.BLOCK, 1, "background")
    assert not np.any(a[:, 0] == b[:, 0])
    assert abs(np.corrcoef(a[:, 0], b[:, 0])[0, 1]) < 5 / np.sqrt(rng.BLOCK)
