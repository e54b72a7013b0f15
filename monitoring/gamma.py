"""The incomplete gamma function, in numpy: importing SciPy's costs as much CPU as counting a million rows.

Series and continued fraction after Abramowitz and Stegun, 6.5.29 and 6.5.31, the fraction evaluated by the method of
Lentz (1976) as Thompson and Barnett (1986) have it; tests compare both with SciPy.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_STEPS = 100_000  # about 10 times the root of the shape are needed
_ACCURACY = 1e-15
_TINY = 1e-300
_NEWTON = 50

_log_gamma = np.frompyfunc(math.lgamma, 1, 1)


def upper_gamma(shape: ArrayLike, x: ArrayLike) -> Floats:
    """The regularised upper incomplete gamma function Q(shape, x): the tail of a gamma variable of scale 1.

    shape: above 0; x: 0 or more; they broadcast. To 1e-12 of the value for shapes up to a million.

    >>> float(upper_gamma(1.0, 2.0)) == math.exp(-2.0) or abs(float(upper_gamma(1.0, 2.0)) - math.exp(-2.0)) < 1e-15
    True
    """
    a, z = (np.array(one, dtype=np.float64) for one in np.broadcast_arrays(shape, x))
    flat_a, flat_z = a.ravel(), z.ravel()
    log_gamma = np.asarray(_log_gamma(flat_a), dtype=np.float64)
    with np.errstate(divide="ignore"):
        front = np.exp(flat_a * np.log(flat_z) - flat_z - log_gamma)
    below = flat_z < flat_a + 1
    found = np.empty(flat_a.shape)
    found[below] = 1 - front[below] * _series(flat_a[below], flat_z[below])
    found[~below] = front[~below] * _fraction(flat_a[~below], flat_z[~below])
    return found.reshape(a.shape)


def _series(a: Floats, z: Floats) -> Floats:
    term = 1 / a
    total = term.copy()
    for step in range(1, _STEPS):
        term = term * z / (a + step)
        total += term
        if not np.any(term > _ACCURACY * total):
            break
    return total


def _fraction(a: Floats, z: Floats) -> Floats:
    b = z + 1 - a
    c, d = np.full(len(a), 1 / _TINY), 1 / b
    found = d.copy()
    for step in range(1, _STEPS):
        over = -step * (step - a)
        b = b + 2
        d = over * d + b
        d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
        c = b + over / c
        c = np.where(np.abs(c) < _TINY, _TINY, c)
        change = c * d
        found *= change
        if not np.any(np.abs(change - 1) >= _ACCURACY):
            break
    return found


def upper_gamma_inverse(shape: ArrayLike, probability: float) -> Floats:
    """The x beyond which a gamma variable of scale 1 lies with a probability, at most a half.

    By Newton's method on the logarithm of the tail, which is concave, from the approximation of Wilson and Hilferty
    (1931). ValueError for a probability out of (0, 0.5].

    >>> round(float(upper_gamma_inverse(1.0, math.exp(-3.0))), 12)
    3.0
    """
    if not 0 < probability <= 0.5:
        raise ValueError(f"probability = {probability}: expected above 0 and at most 0.5")
    from statistics import NormalDist

    a = np.asarray(shape, dtype=np.float64)
    normal = NormalDist().inv_cdf(1 - probability) if probability > 1e-15 else 8.0
    start = a * np.maximum(1 - 1 / (9 * a) + normal / (3 * np.sqrt(a)), 0.1) ** 3
    x = np.maximum(start, 1e-300)
    log_gamma, wanted = np.asarray(_log_gamma(a), dtype=np.float64), math.log(probability)
    for _ in range(_NEWTON):
        tail = upper_gamma(a, x)
        density = np.exp((a - 1) * np.log(x) - x - log_gamma)
        moved = x + (np.log(tail) - wanted) * tail / density
        moved = np.where(moved > 0, moved, x / 2)
        done = np.all(np.abs(moved - x) <= 1e-13 * moved)
        x = moved
        if done:
            break
    return np.asarray(x, dtype=np.float64)
