"""Argument checks of the public functions: arrays in, arrays of one shape out, ``ValueError`` naming the argument."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LARGEST = 1e9  # events: beyond, neighbouring whole numbers and the Poisson error lose meaning
_EDGE = 1e-6


def between(name: str, value: ArrayLike, low: float, high: float, unit: str) -> Array:
    """``value`` as an array of floats in [low, high]."""
    array = np.asarray(value, dtype=float)
    good = (array >= low) & (array <= high)
    if not good.all():
        worst = array[~good].flat[0]
        raise ValueError(f"{name} = {worst:g}: {unit} must lie in [{low:g}, {high:g}]")
    return array


def counts(name: str, value: ArrayLike) -> NDArray[np.int64]:
    """Observed events as integers."""
    array = between(name, value, 0.0, LARGEST, "observed events")
    if (array != np.floor(array)).any():
        raise ValueError(f"{name} = {array[array != np.floor(array)].flat[0]:g}: observed events must be whole numbers")
    return array.astype(np.int64)


def confidence(cl: float) -> float:
    """A confidence level strictly between 0 and 1 (by a millionth: tails are computed to 1e-9)."""
    if not _EDGE <= cl <= 1.0 - _EDGE:
        raise ValueError(f"cl = {cl}: confidence level must lie between 0 and 1, for example 0.90")
    return float(cl)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name} = {value!r}: must be one of {', '.join(choices)}")


def shaped(value: Array, shape: tuple[int, ...]) -> float | Array:
    """A float for scalar arguments, otherwise an array of ``shape``."""
    return float(value.reshape(-1)[0]) if shape == () else value.reshape(shape)
