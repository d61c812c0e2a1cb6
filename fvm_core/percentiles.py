"""The place of a sample among all, in percent."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def percentiles(suspicion: np.ndarray) -> np.ndarray:
    """(N,) share of the scored samples below each, 0 to below 100; equal ones share their mean, NaN stay NaN.

    So 99.2 is above 99.2 % of the samples, and the first of 1,200 has 99.92, not 100.
    """
    found = np.full(len(suspicion), np.nan)
    rated = np.isfinite(suspicion)
    found[rated] = 100 * (rankdata(suspicion[rated]) - 1) / max(1, rated.sum())
    return found
