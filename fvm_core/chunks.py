"""Arrays that are filled chunk by chunk and survive an interruption at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fvm_core.atomic import replacing


class ChunkedArrays:
    """Memory-mapped arrays of N rows with a flag for every finished chunk.

    A chunk's values reach the disk before its flag does, so a flag that is set can be trusted. Chunk
    borders are fixed, so a resumed stage computes just what the uninterrupted one would have.

    Args:
        folder: holds one `.npy` a name and `done.npy`; made if it is not there.
        rows: N.
        columns: name to (dtype, trailing shape).
        chunk: rows per chunk.
    """

    def __init__(self, folder: Path, rows: int, columns: dict[str, tuple[str, tuple[int, ...]]], chunk: int):
        self.rows, self.chunk = rows, chunk
        self._arrays = {
            name: _open(folder / f"{name}.npy", dtype, (rows, *shape))
            for name, (dtype, shape) in columns.items()
        }
        self._done = _open(folder / "done.npy", "bool", (-(-rows // chunk),))

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def pending(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number and rows of every chunk that is not done."""
        for number in np.flatnonzero(~self._done):
            start = int(number) * self.chunk
            yield int(number), np.arange(start, min(start + self.chunk, self.rows))

    def finished_rows(self) -> int:
        """Rows in finished chunks."""
        return min(self.rows, int(self._done.sum()) * self.chunk)

    def write(self, number: int, **values: np.ndarray) -> None:
        """Store a chunk's values and mark it done."""
        start = number * self.chunk
        for name, value in values.items():
            self._arrays[name][start : start + len(value)] = value
            self._arrays[name].flush()
        self._done[number] = True
        self._done.flush()


def _open(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if not path.exists():
        with replacing(path) as temporary:
            array = np.lib.format.open_memmap(temporary, "w+", dtype=np.dtype(dtype), shape=shape)
            array[...] = False if dtype == "bool" else (np.nan if np.dtype(dtype).kind == "f" else -1)
            array.flush()
    return np.lib.format.open_memmap(path, "r+")
