"""Keep a random share of a dataset's rows."""

from __future__ import annotations

import numpy as np

from fvm_core.data.dataset import ImageDataset
from fvm_core.errors import SaltflatError


def limited(dataset: ImageDataset, limit: int | None, seed: int) -> ImageDataset:
    """At most `limit` rows, drawn with `seed`, in the input's order; the class list stays.

    Raises:
        SaltflatError: a limit below 1.
    """
    if limit is None:
        return dataset
    if limit < 1:
        raise SaltflatError(f"The limit is {limit}; it must be at least 1, or left out to use every row.")
    if limit >= len(dataset):
        return dataset
    rows = np.random.default_rng(seed).choice(len(dataset), size=limit, replace=False)
    return dataset.take(np.sort(rows))
