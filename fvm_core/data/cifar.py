"""CIFAR-10 and CIFAR-100 through torchvision, with the human labels of CIFAR-N."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path

import numpy as np

from fvm_core.data.dataset import UNKNOWN, ImageDataset, missing_labels
from fvm_core.data.sources import RawImages
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError

_HUMAN = {"cifar10": "CIFAR-10_human.pt", "cifar100": "CIFAR-100_human.pt"}
_KEY = re.compile(r"[A-Za-z0-9_-]+")


def read_cifar(
    kind: str, root: Path, *, split: str = "train", label: str | None = None, true_label: str | None = None
) -> ImageDataset:
    """Open CIFAR from torchvision's folder, downloading it there where it is absent.

    Args:
        kind: `cifar10` or `cifar100`.
        root: folder that holds `cifar-10-batches-py` or `cifar-100-python`.
        split: `train` for the 50,000 training images; `val` and `test` for the 10,000 test images.
        label: given labels of the train split: a key of `CIFAR-10_human.pt` or `CIFAR-100_human.pt`
            (such as `worse_label`), or the name of a `.npy` file with N whole numbers. These files
            lie in `root` or `root/data`. None: CIFAR's own labels.
        true_label: likewise; None: CIFAR's own labels where `label` is set, else nothing.

    Raises:
        SaltflatError: files are absent and can't be downloaded, or labels don't fit.

    Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images"; Wei et al. 2022,
    "Learning with noisy labels revisited: a study using real-world human annotations".
    """
    if split not in ("train", "val", "test"):
        raise SaltflatError(f"CIFAR has no split {split!r}; choose train, val or test.")
    train = split == "train"
    if not train and (label or true_label):
        raise SaltflatError(
            f"Other labels exist for CIFAR's train split only; leave them out for the split {split!r}."
        )
    data = _open(kind, root, train)
    own = np.asarray(data.targets, dtype=np.int64)
    human = _HumanLabels(kind, root, len(own), len(data.classes))
    given = own if label is None else human.read(label)
    true = own if label is not None else None
    if true_label is not None:
        true = human.read(true_label)
    prefix = "train" if train else "test"
    return ImageDataset(
        name=kind,
        ids=[f"{prefix}/{row:05d}" for row in range(len(own))],
        given=given,
        classes=tuple(data.classes),
        images=RawImages(data.data),
        true=true,
        problems=missing_labels(given),
    )


def _open(kind: str, root: Path, train: bool):
    from torchvision.datasets import CIFAR10, CIFAR100  # takes seconds, and few datasets need it

    reader = {"cifar10": CIFAR10, "cifar100": CIFAR100}[kind]
    # torchvision checks the MD5 sums before it unpickles a file, so only the known files get that far.
    try:
        return reader(root, train=train)
    except (RuntimeError, FileNotFoundError):
        pass
    try:
        return reader(root, train=train, download=True)
    except (RuntimeError, OSError, urllib.error.URLError, EOFError) as error:
        raise SaltflatError(
            f"{root} doesn't hold complete {kind.upper()} files, and {reader.url} can't be downloaded "
            f"({error}). Download that file elsewhere and put it at {root / reader.filename}, "
            f"or its unpacked folder at {root / reader.base_folder}."
        ) from error


class _HumanLabels:
    """The label files that lie beside CIFAR."""

    def __init__(self, kind: str, root: Path, rows: int, classes: int) -> None:
        self._root = root
        self._file_name = _HUMAN[kind]
        self._rows = rows
        self._classes = classes

    def read(self, key: str) -> np.ndarray:
        """N class indices, from `KEY.npy` or from the file of CIFAR-N."""
        if not _KEY.fullmatch(key) or "coarse" in key:
            raise SaltflatError(f"{key!r} is no name of labels for CIFAR's classes; try 'worse_label'.")
        array_file = self._find(f"{key}.npy")
        if array_file is not None:
            return self._checked(_load_array(array_file), f"{array_file}")
        file = self._find(self._file_name)
        if file is None:
            raise SaltflatError(
                f"The labels {key!r} need {self._file_name} or {key}.npy in {self._root} or its folder data. "
                f"{self._file_name} comes from https://github.com/UCSC-REAL/cifar-10-100n."
            )
        tables = _load_tables(file)
        if key not in tables:
            raise SaltflatError(f"{file} has no labels {key!r}. It has {listing(sorted(tables), 30)}.")
        return self._checked(np.asarray(tables[key]), f"{key!r} in {file}")

    def _find(self, name: str) -> Path | None:
        return next((f for f in (self._root / name, self._root / "data" / name) if f.is_file()), None)

    def _checked(self, values: np.ndarray, where: str) -> np.ndarray:
        if values.dtype.kind not in "iu" or values.shape != (self._rows,):
            raise SaltflatError(
                f"{where} has shape {values.shape} and type {values.dtype}; "
                f"needed is one whole number for each of the {self._rows:,} images."
            )
        values = values.astype(np.int64)
        wrong = (values < UNKNOWN) | (values >= self._classes)
        if wrong.any():
            raise SaltflatError(
                f"{where} holds {values[wrong][0]} at row {np.flatnonzero(wrong)[0] + 1:,}; "
                f"classes go from 0 to {self._classes - 1}."
            )
        return values


def _load_array(file: Path) -> np.ndarray:
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SaltflatError(
            f"{file} can't be read as a plain array of whole numbers ({error}). "
            "Save it with np.save(file, np.array(labels, dtype=int))."
        ) from error


def _load_tables(file: Path) -> dict:
    """CIFAR-N's dictionary of arrays; nothing but arrays of whole numbers can come out of the file."""
    import pickle

    import torch

    rebuild = np.zeros(0).__reduce__()[0]
    whole = [type(np.dtype(name)) for name in ("int8", "int16", "int32", "int64", "uint8")]
    # The second name is the one that NumPy 1 wrote into its files.
    allowed = [np.ndarray, np.dtype, rebuild, (rebuild, "numpy.core.multiarray._reconstruct"), *whole]
    try:
        with torch.serialization.safe_globals(allowed):
            tables = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise SaltflatError(f"{file} can't be read safely: {str(error).splitlines()[0]}") from error
    if not isinstance(tables, dict):
        raise SaltflatError(f"{file} holds no table of labels.")
    return {key: values for key, values in tables.items() if isinstance(key, str)}
