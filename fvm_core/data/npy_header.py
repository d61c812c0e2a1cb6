"""What the header of a NumPy array claims, looked at before any memory is asked for."""

from __future__ import annotations

import math
import tokenize
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import psutil

from fvm_core.errors import SaltflatError
from fvm_core.wording import size

HEADER_ERRORS = (ValueError, TypeError, KeyError, EOFError, SyntaxError, RecursionError, tokenize.TokenError)
"""What numpy raises for headers that are none, seen by feeding it noise."""

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class NpyHeader:
    """Shape, type and order of an array, and the bytes that header and values take."""

    shape: tuple[int, ...]
    dtype: np.dtype
    by_column: bool
    header_bytes: int

    @property
    def value_bytes(self) -> int:
        """Bytes of the values, exact however large the shape is."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BinaryIO) -> NpyHeader | None:
    """The header at the start of a file; None for versions that only texts as field names need.

    Raises:
        ValueError: there is no header, or its shape can be no array's.
    """
    begun = file.tell()
    try:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            return None
        shape, by_column, dtype = _READERS[version](file)
    except HEADER_ERRORS as error:
        raise ValueError(f"it has no header of an array ({error})") from None
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    return NpyHeader(shape, dtype, by_column, file.tell() - begun)


def check_claim(header: NpyHeader, available: int, name: str) -> None:
    """Refuse an array whose header claims more than there is, or more than memory holds.

    Args:
        header: what the array claims.
        available: bytes that the array, header included, really has.
        name: of file and array, for the error.

    Raises:
        SaltflatError: it claims another size than it has, or too much to be loaded.
    """
    if header.dtype.hasobject:
        return  # refused when it is read
    shape = "×".join(map(str, header.shape)) or "()"
    if header.value_bytes + header.header_bytes != available:
        raise SaltflatError(
            f"{name} claims to be {shape} of {header.dtype}, which is {size(header.value_bytes)}, and holds "
            f"{size(max(available - header.header_bytes, 0))}. The file is damaged: write it again."
        )
    free = psutil.virtual_memory().available
    if header.value_bytes > _MEMORY_SHARE * free:
        raise SaltflatError(
            f"{name} is {shape} of {header.dtype}: {size(header.value_bytes)}, and {size(free)} of memory "
            "are free. Save images with np.savez, uncompressed, so that they need not be loaded."
        )
