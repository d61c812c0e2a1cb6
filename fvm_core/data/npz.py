"""A NumPy .npz file with arrays of images and labels."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fvm_core.data.dataset import ImageDataset, Problem, missing_labels
from fvm_core.data.labels import Labels, from_floats, from_numbers, from_texts, merge, said_missing
from fvm_core.data.npy_header import HEADER_ERRORS, check_claim, read_header
from fvm_core.data.sources import RawImages, check_pixels, file_stamp
from fvm_core.data.splits import choose, not_split, role
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError
from fvm_core.wording import size

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and of the extra field
_ENCRYPTED = 1
_DEFLATE_MOST = 1032
"""Bytes that one compressed byte can stand for."""

# What zipfile, zlib and numpy raise for damaged, foreign and encrypted files, by feeding them noise.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    *HEADER_ERRORS,
)


def read_npz(
    file: Path,
    *,
    split: str = "train",
    label: str | None = None,
    true_label: str | None = None,
    image: str | None = None,
    id: str | None = None,
) -> ImageDataset:
    """Open arrays `images`, `labels` and, where they exist, `true_labels`, `ids` and `class_names`.

    Images that were saved with `np.savez` are memory-mapped; those of `np.savez_compressed` are
    loaded. Nothing is unpickled.

    Args:
        file: the .npz file.
        split: where there is no array `images` but `train_images`, `val_images`, …, the one to take; see
            `splits.choose`.
        label: name of the array of given labels (N whole numbers or texts), None for `labels`.
        true_label: name of the array of true labels, None for `true_labels`.
        image: name of the array of images (N×H×W or N×H×W×C uint8), None for `images`.
        id: name of the array of ids (N), None for `ids`.

    Raises:
        SaltflatError: names the array that is missing or of a wrong type or shape, and what to do.
    """
    file = file.resolve()
    try:
        if not zipfile.is_zipfile(file):
            _refuse_single(file)
        with np.load(file, allow_pickle=False) as arrays:
            return _read(_Arrays(file, arrays, split, image), label, true_label, image, id)
    except _DAMAGED as error:
        raise SaltflatError(f"{file} can't be read as .npz: {error or type(error).__name__}.") from error


def parts(file: Path) -> list[str]:
    """The parts among which there is a choice; none where the file holds no archive."""
    with zipfile.ZipFile(file) as archive:
        names = _parts([name.removesuffix(".npy") for name in archive.namelist()])
    return names if len(names) > 1 else []


def _parts(arrays: Sequence[str], asked: str = "") -> list[str]:
    """What stands before `_images` in the names of arrays; nothing where one is called so."""
    ends = [name[: -len("_images")] for name in arrays if name.endswith("_images")]
    return [] if "images" in arrays else [name for name in ends if role(name) or name == asked]


def _refuse_single(file: Path) -> None:
    """Say what a file is that holds no archive; it is not loaded for that."""
    with file.open("rb") as data:
        single = data.read(6) == b"\x93NUMPY"
    if single:
        raise SaltflatError(f"{file} holds a single array; save images and labels with np.savez.")
    raise SaltflatError(f"{file} is no .npz file. Save images and labels with np.savez.")


class _Arrays:
    """The arrays of one file by name, with errors that name file and array."""

    def __init__(self, file: Path, arrays: np.lib.npyio.NpzFile, split: str, image: str | None) -> None:
        self.file = file
        self._arrays = arrays
        self._part, self.notices = (split, []) if image else self._chosen(split)

    def _chosen(self, split: str) -> tuple[str, list[Problem]]:
        """What the names of the part's arrays begin with."""
        names = _parts(self._arrays.files, split)
        if not names:
            return split, not_split(split, str(self.file))
        return choose(names, split, str(self.file))

    def name(self, asked: str | None, usual: str, needed: bool = False) -> str | None:
        """The array `asked`, else `usual`, else `PART_usual`; None where there is none."""
        names = self._arrays.files
        if asked is None:
            found = [name for name in (usual, f"{self._part}_{usual}") if name in names]
            if found or not needed:
                return found[0] if found else None
        elif asked in names:
            return asked
        raise SaltflatError(
            f"{self.file} has no array {asked or usual!r}. Its arrays are {listing(names, 30) or 'none'}."
        )

    def load(self, name: str) -> np.ndarray:
        self._check_claim(name)
        try:
            return self._arrays[name]
        except ValueError as error:  # numpy refuses arrays of Python objects without pickle
            raise SaltflatError(
                f"{self.file}: {name!r} can't be read ({error}). Save texts as np.array(values, dtype=str) "
                f"and numbers as np.array(values, dtype=int)."
            ) from error

    def _check_claim(self, name: str) -> None:
        """A zip's directory and an array's header only say how large they are; neither is trusted."""
        archive = self._arrays.zip
        about = archive.getinfo(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name)
        with archive.open(about) as member:
            try:
                header = read_header(member)
            except ValueError as error:
                raise SaltflatError(f"{self.file}: {name!r} can't be read: {error}.") from None
        most = about.compress_size * (1 if about.compress_type == zipfile.ZIP_STORED else _DEFLATE_MOST)
        if about.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and about.file_size > most:
            raise SaltflatError(
                f"{self.file}: {name!r} claims {size(about.file_size)} and holds "
                f"{size(about.compress_size)}. The file is damaged: write it again."
            )
        if header is not None:
            check_claim(header, about.file_size, f"{self.file}: {name!r}")

    def column(self, name: str, rows: int) -> np.ndarray:
        """One value a row."""
        values = self.load(name)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.shape != (rows,):
            shape = "×".join(map(str, values.shape)) or "()"
            raise SaltflatError(
                f"{self.file}: {name!r} has shape {shape}; needed is one value for each of {rows:,} images."
            )
        return values

    def pixels(self, name: str) -> np.ndarray:
        """The images, memory-mapped where the file holds them uncompressed."""
        mapped = mapped_member(self.file, f"{name}.npy")
        array = self.load(name) if mapped is None else mapped
        check_pixels(array, f"{self.file}: {name!r}")
        return array


def _read(
    arrays: _Arrays, label: str | None, true_label: str | None, image: str | None, id: str | None
) -> ImageDataset:
    pixels = arrays.pixels(arrays.name(image, "images", needed=True))
    rows = len(pixels)
    names_name = arrays.name(None, "class_names")
    names = None if names_name is None else _texts(arrays.load(names_name).ravel(), names_name, arrays.file)
    given = _labels(arrays, arrays.name(label, "labels", needed=True), rows, names)
    true_name = arrays.name(true_label, "true_labels")
    true = None if true_name is None else _labels(arrays, true_name, rows, names)
    codes, true_codes, classes = merge(given, true)
    id_name = arrays.name(id, "ids")
    if id_name is None:
        ids = [str(row + 1) for row in range(rows)]
    else:
        ids = _texts(arrays.column(id_name, rows), id_name, arrays.file)
    return ImageDataset(
        name=arrays.file.stem,
        ids=ids,
        given=codes,
        classes=classes,
        images=RawImages(pixels, file_stamp(arrays.file)),
        true=true_codes,
        problems=[*arrays.notices, *said_missing(given, arrays.file.name), *missing_labels(codes)],
    )


def _labels(arrays: _Arrays, name: str, rows: int, names: list[str] | None) -> Labels:
    values = arrays.column(name, rows)
    if values.dtype.kind in "iub":
        return from_numbers(values.astype(np.int64), names)
    if values.dtype.kind == "f":
        return from_floats(values, f"{arrays.file}: {name!r}", names)
    labels = from_texts(_texts(values, name, arrays.file))
    if names is None:
        return labels
    both = tuple(dict.fromkeys([*names, *labels.names]))
    return Labels(labels.recode(both), both, ordered=True, missing=labels.missing)


def _texts(values: np.ndarray, name: str, file: Path) -> list[str]:
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind not in "UTiu":
        raise SaltflatError(
            f"{file}: {name!r} has type {values.dtype}; it must be whole numbers or texts. "
            "Use np.array(values, dtype=int) or np.array(values, dtype=str)."
        )
    return [str(value) for value in values.tolist()]


def mapped_member(file: Path, member: str) -> np.memmap | None:
    """Memory-map one array inside a .npz file.

    Args:
        file: the .npz file, a zip archive.
        member: the array's file name in it, with `.npy`.

    Returns:
        The array, read-only; None where it is compressed, encrypted, empty, of Python objects or absent.
    """
    with zipfile.ZipFile(file) as archive:
        if member not in archive.namelist():
            return None
        about = archive.getinfo(member)
    if about.compress_type != zipfile.ZIP_STORED or about.flag_bits & _ENCRYPTED:
        return None
    with file.open("rb") as data:
        data.seek(about.header_offset)
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(data.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            return None
        data.seek(name_length + extra_length, 1)
        header = read_header(data)
        offset = data.tell()
    if header is None or header.dtype.hasobject or not header.value_bytes:
        return None
    if header.header_bytes + header.value_bytes != about.file_size:  # then loading it tells what is wrong
        return None
    if offset + header.value_bytes > file.stat().st_size:
        return None
    order = "F" if header.by_column else "C"
    return np.memmap(file, header.dtype, mode="r", offset=offset, shape=header.shape, order=order)
