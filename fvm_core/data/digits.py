"""scikit-learn's handwritten digits with planted label noise: a demo with known truth, no download."""

from __future__ import annotations

import numpy as np

from fvm_core.data.dataset import ImageDataset
from fvm_core.data.sources import RawImages
from fvm_core.errors import SaltflatError

_SPLITS = {"train": slice(0, 1200), "val": slice(1200, 1500), "test": slice(1500, 1797)}
_SPLIT_SEED = 1797  # fixed, so that another noise seed never moves a row from one split to another

LOOKALIKE = (6, 7, 7, 8, 9, 6, 5, 1, 3, 4)
"""`LOOKALIKE[k]` is the digit that class-dependent noise turns k into."""


def read_digits(
    split: str = "train", *, noise: float = 0.3, noise_kind: str = "symmetric", seed: int = 0
) -> ImageDataset:
    """1,797 scans, 8×8 grey: 1,200 train with moved labels, 300 clean val, 297 clean test.

    Args:
        split: `train`, `val` or `test`.
        noise: share of the train labels to move, 0 to 1.
        noise_kind: `symmetric` (to a random other digit) or `class_dependent` (to its `LOOKALIKE`).
        seed: draws which labels move and where to.

    Raises:
        SaltflatError: an unknown split or noise kind, or a share outside 0 to 1.
    """
    if split not in _SPLITS:
        raise SaltflatError(f"The digits have no split {split!r}; choose train, val or test.")
    from sklearn.datasets import load_digits  # takes a second, and other datasets don't need it

    scans = load_digits()
    rows = np.random.default_rng(_SPLIT_SEED).permutation(len(scans.target))[_SPLITS[split]]
    true = scans.target[rows].astype(np.int64)
    given = with_noise(true, noise, noise_kind, seed) if split == "train" else true.copy()
    pixels = np.rint(scans.images[rows] * (255 / 16)).astype(np.uint8)
    return ImageDataset(
        name="digits",
        ids=[f"digits/{row:04d}" for row in rows],
        given=given,
        classes=tuple("0123456789"),
        images=RawImages(pixels),
        true=true,
    )


def with_noise(true: np.ndarray, noise: float, noise_kind: str, seed: int) -> np.ndarray:
    """Digits with exactly round(noise · N) labels moved to another digit.

    Args:
        true: N digits, 0 to 9.
        noise: share to move, 0 to 1.
        noise_kind: `symmetric` or `class_dependent`, as for `read_digits`.
        seed: of the random numbers.
    """
    if not 0 <= noise <= 1:
        raise SaltflatError(f"The noise is {noise}; it is a share, from 0 to 1.")
    if noise_kind not in ("symmetric", "class_dependent"):
        raise SaltflatError(f"There is no noise kind {noise_kind!r}; choose symmetric or class_dependent.")
    random = np.random.default_rng(seed)
    moved = random.choice(len(true), size=round(noise * len(true)), replace=False)
    given = true.copy()
    if noise_kind == "symmetric":
        given[moved] = (true[moved] + random.integers(1, 10, size=len(moved))) % 10
    else:
        given[moved] = np.array(LOOKALIKE)[true[moved]]
    return given
