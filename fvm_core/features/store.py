"""Features of a whole dataset on disk, in half precision, filled chunk by chunk."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fvm_core.atomic import write_json
from fvm_core.chunks import ChunkedArrays
from fvm_core.data.built import is_built
from fvm_core.errors import DamagedFile

CHUNK = 512
"""Rows that are lost at most when the work is stopped."""

_VALUES, _ABOUT = "features", "about.json"


class FeatureStore:
    """N feature tensors of one shape.

    Args:
        folder: holds `features.npy`, `done.npy` and `about.json`; made if it is not there.
        about: what they are features of, see `key_of`; a folder of something else is begun anew.
        rows: N.
        shape: of one sample's features, (D,) for vectors.

    Raises:
        DamagedFile: the files are there and can't be read.
    """

    def __init__(self, folder: Path, about: dict, rows: int, shape: tuple[int, ...]):
        self.folder, self.rows, self.shape = Path(folder), rows, tuple(shape)
        about = {**about, "rows": rows, "shape": list(shape)}
        if not is_built(self.folder / _ABOUT, about):
            for name in (_VALUES, "done"):
                (self.folder / f"{name}.npy").unlink(missing_ok=True)
        try:
            self._arrays = ChunkedArrays(self.folder, rows, {_VALUES: ("float16", self.shape)}, CHUNK)
        except (OSError, ValueError, EOFError) as error:
            remedy = f"Delete the folder {self.folder}; the features are computed again."
            raise DamagedFile(self.folder / f"{_VALUES}.npy", str(error).rstrip("."), remedy) from None
        write_json(self.folder / _ABOUT, about)

    @staticmethod
    def move(source: Path, folder: Path, about: dict, rows: int, shape: tuple[int, ...]) -> None:
        """Have the files of a finished store in another folder, as features of `about`."""
        (folder / _ABOUT).unlink(missing_ok=True)
        for name in (_VALUES, "done"):
            shutil.move(source / f"{name}.npy", folder / f"{name}.npy")
        write_json(folder / _ABOUT, {**about, "rows": rows, "shape": list(shape)})
        shutil.rmtree(source, ignore_errors=True)

    @property
    def values(self) -> np.ndarray:
        """(N, …) float16, memory-mapped; NaN where nothing was computed."""
        return self._arrays[_VALUES]

    @property
    def complete(self) -> bool:
        """Whether every chunk is there."""
        return self._arrays.finished_rows() >= self.rows

    @property
    def finished_rows(self) -> int:
        """Rows in finished chunks."""
        return self._arrays.finished_rows()

    def pending(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number and rows of every chunk that is not done."""
        return self._arrays.pending()

    def write(self, number: int, values: np.ndarray) -> None:
        """Store a chunk's values and mark it done."""
        self._arrays.write(number, **{_VALUES: values})


def key_of(about: dict) -> str:
    """32 hex digits that differ wherever one of the values does."""
    text = json.dumps(about, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def finished_rows(folder: Path, rows: int) -> int:
    """Rows that a store in the folder has, without opening it; 0 where there is none."""
    try:
        done = np.load(Path(folder) / "done.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return 0
    return min(rows, int(done.sum()) * CHUNK)
