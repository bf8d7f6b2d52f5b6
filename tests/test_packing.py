"""Packed event lists come back whole: the same events with the same momenta and patterns, weights in steps with their sums."""

import numpy as np
import pytest

from belle2dark.packing import pack, unpack


def event_list(slots, seed=1, n=5000):
    rng = np.random.default_rng(seed)
    arrays = {name: rng.integers(-32767, 32768, size=(n, k, 3)).astype(np.int16) for name, k in slots.items()}
    return arrays | {
        "bits": rng.integers(0, 60_000, size=n).astype(np.uint16),
        "process": rng.integers(0, 3, size=n).astype(np.uint8),
        "weights": rng.exponential(size=n) ** 6 + 1e-12,
        "patterns": np.arange(10, dtype=np.uint64),
        "about": "{}",
    }


def sorted_rows(arrays, slots):
    """Everything but the weights as one table in a fixed order, and the weights in that order."""
    parts = [arrays[name].reshape(len(arrays["weights"]), -1).astype(int) for name in slots if slots[name]]
    table = np.column_stack([*parts, arrays["bits"].astype(int), arrays["process"].astype(int)])
    order = np.lexsort(table.T)
    return table[order], np.asarray(arrays["weights"])[order]


@pytest.mark.parametrize("slots", [{"tracks": 2}, {"photons": 3}, {"tracks": 2, "photons": 1}, {"tracks": 4, "photons": 0}])
def test_round_trip(slots, tmp_path):
    arrays = event_list(slots)
    np.savez_compressed(tmp_path / "file.npz", **pack(arrays))
    with np.load(tmp_path / "file.npz") as file:
        back = unpack({name: file[name] for name in file.files})
    before, weights = sorted_rows(arrays, slots)
    after, rounded = sorted_rows(back, slots)
    np.testing.assert_array_equal(before, after)
    # to the next step of 1/8 of a factor of two, below or above
    assert np.abs(np.log2(rounded / weights)).max() <= 1 / 8 + 1e-12
    np.testing.assert_array_equal(back["patterns"], arrays["patterns"])
    assert str(back["about"]) == "{}"


def test_rounded_weights_keep_their_sums_and_their_statistics():
    """Events next to each other in the file share what rounding takes and gives: the sum of equal weights stays within a step."""
    arrays = event_list({"tracks": 2})
    arrays["process"][:] = 0
    for weight in (1e-9, 0.3, 1.0, 7.7):
        arrays["weights"] = np.full(5000, weight)
        rounded = unpack(pack(arrays))["weights"]
        assert len(np.unique(rounded)) <= 2 and rounded.sum() == pytest.approx(5000 * weight, abs=0.1 * weight)
        for first in range(0, 5000, 500):  # also of events in a range of the momentum that the file is sorted along
            assert rounded[first : first + 500].sum() == pytest.approx(500 * weight, abs=0.1 * weight)
        # steps of 9 % have a variance of at most (4.5 %)^2
        assert rounded.sum() ** 2 / (rounded**2).sum() > 5000 * (1 - 0.045**2)


def test_packing_again_changes_nothing():
    once = unpack(pack(event_list({"tracks": 2})))
    np.testing.assert_allclose(np.sort(unpack(pack(once))["weights"]), np.sort(once["weights"]), rtol=1e-12)


def test_files_that_do_not_say_their_steps_have_finer_ones():
    packed = pack(event_list({"tracks": 2}))
    coarse, plain = unpack(packed)["weights"], {name: a for name, a in packed.items() if name != "packed_octave"}
    np.testing.assert_allclose(np.log2(unpack(plain)["weights"]), np.log2(coarse) * 8 / 256, atol=1e-12)


def test_lists_that_were_not_packed_pass():
    arrays = event_list({"tracks": 2})
    assert unpack(arrays) == arrays


def test_packing_makes_files_smaller(tmp_path):
    arrays = event_list({"tracks": 2}, n=20_000)
    for name, content in (("plain", arrays), ("packed", pack(arrays))):
        np.savez_compressed(tmp_path / f"{name}.npz", **content)
    assert (tmp_path / "packed.npz").stat().st_size < 0.85 * (tmp_path / "plain.npz").stat().st_size


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_weights_must_be_positive(bad):
    arrays = event_list({"tracks": 2})
    arrays["weights"][3] = bad
    with pytest.raises(ValueError, match="weights: must be positive and finite"):
        pack(arrays)
