"""Smaller files for weighted event lists: order, differences, bytes and logarithms that compress well.

Events are a set, so their order is free: sorted along one momentum component, that component costs next to nothing as
differences. Numbers of two bytes are stored as two rows of bytes, because high bytes repeat and low bytes do not. Weights
become powers of a common factor, some the next below and some the next above, such that sums stay: weighted events
fluctuate by their whole weight anyway. Everything but the weights comes back exactly. Use :func:`pack` before
``np.savez_compressed`` and :func:`unpack` after ``np.load``; arrays that were not packed pass through :func:`unpack` untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: steps of a weight per factor of two, of 9 %; and of files that do not say
_OCTAVE, _FIRST_OCTAVE = 8, 256
_PACKED = "packed_"
_MOMENTA = ("tracks", "photons")


def pack(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a template in the form of the file; weights below 1e-300 fb become that.

    Raises ``ValueError`` for a weight that is not positive and finite.
    """
    weights = np.asarray(arrays["weights"], dtype=float)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights: must be positive and finite to be packed")
    momenta = [name for name in _MOMENTA if name in arrays and arrays[name][0].size]
    along = arrays[momenta[0]][:, -1, -1] if momenta else weights
    order = np.lexsort((along, arrays["process"]))
    packed: dict[str, Any] = {}
    for name, array in arrays.items():
        if name in momenta:
            rows = array[order].reshape(len(order), -1).T.copy()
            if name == momenta[0]:
                rows[-1] = np.diff(rows[-1], prepend=np.zeros(1, dtype=rows.dtype))  # wraps between processes, and back
            packed[_PACKED + name] = _bytes(rows)
        elif name == "weights":
            packed[_PACKED + name] = _bytes(_steps(weights[order])[None])
            packed[_PACKED + "octave"] = np.array(_OCTAVE)
        elif name == "bits":
            packed[_PACKED + name] = _bytes(array[order].astype(np.uint16)[None])
        else:
            packed[name] = array[order] if name in ("process", "alternative") else array
    return packed


def unpack(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays that were given to :func:`pack`, in another order of events and with rounded weights."""
    plain = {name: array for name, array in arrays.items() if not name.startswith(_PACKED)}
    first = True
    for name in _MOMENTA:
        if _PACKED + name in arrays:
            rows = _numbers(arrays[_PACKED + name], np.int16)
            if first:
                rows[-1] = np.cumsum(rows[-1], dtype=np.int16)
                first = False
            plain[name] = np.ascontiguousarray(rows.T).reshape(rows.shape[1], -1, 3)
    if _PACKED + "weights" in arrays:
        octave = float(arrays.get(_PACKED + "octave", _FIRST_OCTAVE))
        plain["weights"] = np.exp2(_numbers(arrays[_PACKED + "weights"], np.int16)[0] / octave)
    if _PACKED + "bits" in arrays:
        plain["bits"] = _numbers(arrays[_PACKED + "bits"], np.uint16)[0]
    return plain


def _steps(weights: NDArray[np.float64]) -> NDArray[np.int16]:
    """Weights (n,) as powers of 2^(1/octave): below and above in turn, so that sums over neighbours stay within a step."""
    steps = np.floor(np.maximum(np.log2(weights), -996.0) * _OCTAVE)
    low, high = np.exp2(steps / _OCTAVE), np.exp2((steps + 1.0) / _OCTAVE)
    above = np.diff(np.floor(np.cumsum(np.clip((weights - low) / (high - low), 0.0, 1.0)) + 0.5), prepend=0.0)
    return np.asarray((steps + above).astype(np.int16))


def _bytes(rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers (k, n) of two bytes as (k, 2, n) bytes, low ones first on every machine."""
    unsigned = np.ascontiguousarray(rows).view(np.uint16)
    return np.stack([unsigned & 255, unsigned >> 8], axis=1).astype(np.uint8)


def _numbers(planes: NDArray[np.uint8], kind: type[np.integer[Any]]) -> NDArray[Any]:
    """The numbers (k, n) of :func:`_bytes`."""
    wide = planes.astype(np.uint16)
    return np.asarray((wide[:, 0] | wide[:, 1] << np.uint16(8)).view(kind))
