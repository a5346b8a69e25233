"""Stateless random numbers: the same seed, ids and salt always give the same numbers."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Keys = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def keys(seed: int, ids: Ids) -> Keys:
    """One well mixed key per id; `uniform` draws from it."""
    return _mixed(ids.astype(np.uint64) + _mixed(np.array([seed % 2**64], dtype=np.uint64)))


def uniform(of: Keys, salt: int) -> Floats:
    """A number in [0, 1) per key, different for every salt."""
    step = np.array([salt % 2**64], dtype=np.uint64) * _GOLDEN
    return (_mixed(of + step) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def signed(of: Keys, salt: int) -> Floats:
    """A number in [-1, 1) per key, different for every salt."""
    return uniform(of, salt) * 2 - 1


def _mixed(values: Keys) -> Keys:
    """The finaliser of splitmix64."""
    mixed = (values ^ (values >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
