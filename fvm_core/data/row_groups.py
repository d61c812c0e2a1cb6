"""A column of encoded images in Parquet files, of which a few row groups are in memory at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fvm_core.data.sources import file_stamp
from fvm_core.errors import SaltflatError, UnreadableImage

DAMAGED = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises for damaged files, seen by feeding it noise; ValueError where names are no UTF-8."""

_ROWS_AT_A_TIME = 1024  # keeps every piece of a binary column far below Arrow's limit of 2 GiB
_LEAST_KEPT = 2  # rows that follow each other across the end of a group don't read it anew
_MEMORY_SHARE = 4
_SMALL = 256_000_000


class ParquetColumn:
    """The values of one binary column, by row over all files; like an Arrow array, but on disk.

    A row group is read when one of its rows is asked for, once, and stays in memory until others need the
    room. Safe to use from several threads; copies and pickles open the files themselves.

    Args:
        files: M Parquet files whose rows follow each other.
        column: a binary column, or `NAME.bytes` for the field of a struct.
        budget_bytes: memory for row groups, at least two of which are kept; None: a quarter of what is
            free, and at least 256 MB.

    Raises:
        one of `DAMAGED`: a file can't be read as Parquet.
    """

    def __init__(self, files: Sequence[Path], column: str, budget_bytes: int | None = None) -> None:
        self._files = [str(file) for file in files]
        self._column = column
        self._stamps = [file_stamp(file) for file in files]
        rows, self._group_of = [], []
        firsts, before = [], 0
        self._metadata: list[pq.FileMetaData] | None = [pq.read_metadata(file) for file in files]
        for place, metadata in enumerate(self._metadata):
            rows += [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
            self._group_of += [(place, k) for k in range(metadata.num_row_groups)]
            firsts.append(before)
            before += metadata.num_rows
        self._starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)]).astype(np.int64)
        self._firsts = np.array(firsts, dtype=np.int64)
        free = psutil.virtual_memory().available
        self._budget = max(free // _MEMORY_SHARE, _SMALL) if budget_bytes is None else budget_bytes
        self._forget()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: int) -> pa.Scalar:
        """The value of one row; raises `UnreadableImage` where its row group is damaged."""
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        values = self._group(group)
        if isinstance(values, str):
            raise UnreadableImage(f"{self.where(row)} can't be read ({values}).")
        return values[row - int(self._starts[group])]

    def where(self, row: int) -> str:
        """`Row 3 of t.parquet`, for texts."""
        place = int(np.searchsorted(self._firsts, row, side="right")) - 1
        return f"Row {row - int(self._firsts[place]) + 1:,} of {Path(self._files[place]).name}"

    def any_value(self) -> bool:
        """Whether a row has a value; reads up to the first that has, or up to what is damaged."""
        try:
            for place, group in self._group_of:
                with pq.ParquetFile(self._files[place], metadata=self._known(place)) as table:
                    pieces = self._pieces(table, group, rows=64)
                    if any(piece.null_count < len(piece) for piece in pieces):
                        return True
        except DAMAGED:
            return True
        return False

    def stamp(self) -> str:
        """Changes when one of the files may have changed."""
        return "|".join(self._stamps)

    def __getstate__(self) -> dict:
        state = {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_kept")}
        return state | {"_metadata": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[int, _Group] = OrderedDict()

    def _group(self, number: int) -> pa.ChunkedArray | str:
        with self._lock:
            group = self._kept.setdefault(number, _Group())
            self._kept.move_to_end(number)
        with group.lock:  # others that want the same rows wait here, those that want others don't
            if group.values is None:
                group.values = self._read(number)
        with self._lock:
            while len(self._kept) > _LEAST_KEPT and self._held() > self._budget:
                self._kept.popitem(last=False)
        return group.values

    def _held(self) -> int:
        return sum(group.size() for group in self._kept.values())

    def _read(self, number: int) -> pa.ChunkedArray | str:
        """The values of a row group, or what is wrong with it."""
        place, group = self._group_of[number]
        file = self._files[place]
        if file_stamp(file) != self._stamps[place]:
            raise SaltflatError(f"{file} has changed since it was opened. Open it again.")
        try:
            with pq.ParquetFile(file, metadata=self._known(place)) as table:
                return pa.chunked_array(list(self._pieces(table, group, _ROWS_AT_A_TIME)))
        except DAMAGED as error:
            return str(error) or type(error).__name__

    def _known(self, place: int) -> pq.FileMetaData:
        """What stands at the end of a file: with many row groups it takes as long to read as one of them."""
        if self._metadata is None:
            self._metadata = [pq.read_metadata(file) for file in self._files]
        return self._metadata[place]

    def _pieces(self, table: pq.ParquetFile, group: int, rows: int) -> Iterator[pa.Array]:
        for batch in table.iter_batches(rows, row_groups=[group], columns=[self._column]):
            yield _field(batch.column(0))


class _Group:
    """One row group: nothing yet, its values, or what is wrong with it."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.values: pa.ChunkedArray | str | None = None

    def size(self) -> int:
        return self.values.nbytes if isinstance(self.values, pa.ChunkedArray) else 0


def _field(values: pa.Array) -> pa.Array:
    return pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values
