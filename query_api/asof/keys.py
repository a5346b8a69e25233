"""The keys of the assets of some pairs: of each the pair's number and the id, in one number."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

BITS = 24
"""Of an id in a key: `LARGEST_ID` fits."""
IDS = (1 << BITS) - 1

Keys = NDArray[np.int64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


def places_within(owners: Counts) -> Counts:
    """The place of each row among those of its owner, from 0. The owners ascend."""
    counts = np.bincount(owners)
    return np.arange(len(owners)) - (np.cumsum(counts) - counts)[owners]


def ids_of(keys: Keys) -> Collection[int]:
    """The ids of some keys, each once."""
    ids: list[int] = np.unique(keys & IDS).tolist()
    return ids


def among(own: Keys, keys: Keys) -> Mask:
    """A mask of those that are among these ascending keys."""
    places = np.searchsorted(keys, own)
    mask = places < len(keys)
    mask[mask] = keys[places[mask]] == own[mask]
    return mask
