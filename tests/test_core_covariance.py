"""The width of a peak does not depend on how many wrong combinations lie under and around it."""

import numpy as np
import pytest

from belle2dark.sample import core_covariance


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("width", [0.02, 0.5, 1.2])
def test_width_of_a_peak_among_wrong_combinations(wrong, width):
    """Peaks up to a hundredth of the range wide, each right combination with up to two wrong ones anywhere."""
    rng = np.random.default_rng(7)
    right = 50.0 + width * rng.standard_normal(20_000)
    x = np.concatenate([right, rng.uniform(0.0, 110.0, wrong * len(right))])
    y = rng.standard_normal(len(x))
    # 20,000 events give 0.5 %; cut at 3 widths, a Gaussian keeps 0.987 of its width
    assert core_covariance(x, y, np.ones(len(x), dtype=bool))[0, 0] ** 0.5 == pytest.approx(width, rel=0.05)


def test_too_few_events():
    with pytest.raises(ValueError, match="49 events are too few"):
        core_covariance(np.zeros(49), np.zeros(49), np.ones(49, dtype=bool))
