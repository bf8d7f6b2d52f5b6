"""Packed event lists come back whole: the same events with the same momenta and patterns, weights to a tenth of a percent."""

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
    # half a step of 1/256 of a factor of two
    assert np.abs(np.log2(rounded / weights)).max() <= 0.5 / 256 + 1e-12
    np.testing.assert_array_equal(back["patterns"], arrays["patterns"])
    assert str(back["about"]) == "{}"


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
