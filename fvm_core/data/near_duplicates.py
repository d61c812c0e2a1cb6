"""Pictures that look nearly the same, by perceptual hashes, also among a million."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

DISTANCE = 7
"""Bits, of 128, in which the hashes of near-duplicates may differ. Of 300 CIFAR images saved again as JPEG of
quality 40, enlarged seven times or made 15 % brighter 95 to 100 % stay within it, and hardly any two of 5,000
come below 20 that do not show the same. Crops of a few per cent lie beyond it."""
COLOUR = 24
"""Steps, of 255, in which a channel of their mean colours may differ: the hashes know no colour."""
NEIGHBOURS = 64
"""Pictures after it, in the order of the hashes, with which each is compared in every bucket."""

# Of hashes within the distance, one of DISTANCE + 1 bands at least agrees in all its bits: here 8 of 16 bits.
_BAND = np.uint16


def near_duplicates(looks: np.ndarray, colours: np.ndarray) -> list[np.ndarray]:
    """Groups of pictures that look nearly the same, directly or over others between them.

    Two hashes that differ in few bits agree in one of their bands, so only pictures with an equal band are
    compared, and of these each with the next `NEIGHBOURS` in the order of the whole hash. Time and memory
    grow with N: some 10 seconds and 150 MB for a million pictures on one core.

    Args:
        looks: N×2 uint64, see `MEASURES`.
        colours: N×3 uint8 mean colours.

    Returns:
        Groups of at least two places each, ascending, in the order of their first.
    """
    looks = np.ascontiguousarray(looks)
    colours = colours.astype(np.int16)
    bands = looks.view(_BAND)
    found = [_pairs(looks, colours, band) for band in bands.T]
    left, right = np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])
    return _groups(left, right, len(looks))


def _pairs(looks: np.ndarray, colours: np.ndarray, band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Near-duplicates among the pictures that have a band in common."""
    order = np.lexsort((looks[:, 1], looks[:, 0], band))
    band, looks, colours = band[order], looks[order], colours[order]
    left, right = [], []
    for offset in range(1, NEIGHBOURS + 1):
        same = np.flatnonzero(band[offset:] == band[:-offset])
        if not len(same):
            break
        differ = np.bitwise_count(looks[same] ^ looks[same + offset]).sum(axis=1, dtype=np.int16)
        same = same[differ <= DISTANCE]
        same = same[np.abs(colours[same] - colours[same + offset]).max(axis=1, initial=0) <= COLOUR]
        left.append(order[same])
        right.append(order[same + offset])
    nothing = np.empty(0, dtype=np.int64)
    return np.concatenate([nothing, *left]), np.concatenate([nothing, *right])


def _groups(left: np.ndarray, right: np.ndarray, count: int) -> list[np.ndarray]:
    graph = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(count, count))
    members = np.unique(np.concatenate([left, right]))
    names = connected_components(graph, directed=False)[1][members]
    order = np.argsort(names, kind="stable")
    groups = np.split(members[order], np.flatnonzero(np.diff(names[order])) + 1) if len(members) else []
    return sorted(groups, key=lambda group: group[0])
