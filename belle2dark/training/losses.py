"""Losses of a small network and their gradients in its weights, for a minimiser that wants both.

A network is one vector of all its weights and biases. Not included: the search for the minimum, see
:mod:`belle2dark.training.zprime_invisible`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from belle2dark.classifier import Layers
from belle2dark.limits.punzi import punzi_events

Array = NDArray[np.float64]
#: values of all layers, batch by batch
Values = list[list[NDArray[np.floating]]]

#: events added to every background, so that a window emptied by chance is worth nothing
FLOOR = 0.3
_BATCH = 16384  # events that pass the network together: what stays in the cache


def unpack(theta: Array, sizes: tuple[int, ...]) -> Layers:
    """Layers from one vector of all weights and biases; ``sizes`` are the nodes from input to output."""
    layers, at = [], 0
    for a, b in pairwise(sizes):
        layers.append((theta[at : at + a * b].reshape(a, b), theta[at + a * b : at + a * b + b]))
        at += a * b + b
    return tuple(layers)


def forward(layers: Layers, x: NDArray[np.floating]) -> tuple[Array, Values]:
    """Output before the logistic function ``(n,)``, and the values of all layers, batch by batch."""
    layers = tuple((w.astype(x.dtype), b.astype(x.dtype)) for w, b in layers)
    z, kept = np.empty(len(x)), []
    for first in range(0, len(x), _BATCH):
        values = [x[first : first + _BATCH]]
        for w, b in layers[:-1]:
            values.append(np.tanh(values[-1] @ w + b))
        z[first : first + _BATCH] = (values[-1] @ layers[-1][0] + layers[-1][1])[:, 0]
        kept.append(values)
    return z, kept


def backward(layers: Layers, kept: Values, slope: Array) -> Array:
    """Gradient of a loss in all weights and biases, from its ``slope`` ``(n,)`` in the output of each event."""
    total = np.zeros(sum(w.size + b.size for w, b in layers))
    for batch, values in enumerate(kept):
        d = slope[batch * _BATCH : (batch + 1) * _BATCH, None].astype(values[0].dtype)
        parts = []
        for k in reversed(range(len(layers))):
            parts.append(np.concatenate([(values[k].T @ d).ravel(), d.sum(axis=0)]))
            if k:
                d = (d @ layers[k][0].T.astype(d.dtype)) * (1 - values[k] ** 2)
        total += np.concatenate(parts[::-1])
    return total


def logistic(z: Array) -> Array:
    """1 / (1 + exp(-z)) without overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * z))


def cross_entropy(theta: Array, sizes: tuple[int, ...], x: NDArray[np.floating], target: Array, weights: Array,
                  decay: float = 0.0) -> tuple[float, Array]:  # fmt: skip
    """Weighted cross-entropy of the scores against ``target`` (0 or 1) and its gradient in ``theta``."""
    layers = unpack(theta, sizes)
    z, kept = forward(layers, x)
    loss = float((weights * (np.logaddexp(0.0, z) - target * z)).sum() + decay * (theta**2).sum())
    return loss, backward(layers, kept, weights * (logistic(z) - target)) + 2.0 * decay * theta


def punzi_loss(theta: Array, sizes: tuple[int, ...], x: NDArray[np.floating], efficiency: csr_array, background: csr_array,
               decay: float = 0.0, a: float = 3.0, b: float = 1.28155) -> tuple[float, Array]:  # fmt: skip
    """Mean over masses of ln(Punzi's events / efficiency) and its gradient in ``theta``, with scores as soft decisions.

    The sparse matrices (masses, events) hold what each event adds to efficiency and background of each mass if selected.
    Source: Feichtinger et al., Eur. Phys. J. C 82, 121 (loss); the gradient is that of :func:`.limits.punzi.punzi_events`.
    """
    layers = unpack(theta, sizes)
    z, kept = forward(layers, x)
    score = logistic(z)
    found, count = efficiency @ score + 1e-12, background @ score + FLOOR
    needed, root = punzi_events(count, a=a, b=b), np.sqrt(count)
    by_count = a / (2.0 * root) + b * (a / root + 2.0) / (2.0 * np.sqrt(b * b + 4.0 * a * root + 4.0 * count))
    slope = (background.T @ (by_count / needed) - efficiency.T @ (1.0 / found)) / len(found) * score * (1.0 - score)
    loss = float(np.log(needed / found).mean() + decay * (theta**2).sum())
    return loss, backward(layers, kept, slope) + 2.0 * decay * theta


def first_guess(sizes: tuple[int, ...], seed: int) -> Array:
    """Random weights of the size that keeps values near 1, no biases."""
    rng = np.random.default_rng(seed)
    parts = [np.concatenate([rng.normal(size=a * b) / np.sqrt(a), np.zeros(b)]) for a, b in pairwise(sizes)]
    return np.concatenate(parts)
