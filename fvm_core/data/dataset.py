"""The dataset that every reader makes and every later stage uses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

import numpy as np
from PIL import Image

from fvm_core.data.conversion import PLAIN, Conversion

UNKNOWN = -1
"""Class index of a label that is missing or that no class name matches."""

MISSING_LABEL = "missing_label"
"""Kind of the problem that `missing_labels` finds."""


class ImageSource(Protocol):
    """Images by row number, compressed or memory-mapped until one is asked for."""

    def __len__(self) -> int: ...

    def image(self, index: int, smallest: int = 0) -> Image.Image:
        """Decode one image as mode "L" or "RGB"; raises `UnreadableImage`.

        With `smallest` above 0 the image may come smaller than it is, where that saves time, as long
        as both sides keep at least that many pixels. Safe to call from several threads.
        """
        ...

    def content(self, index: int) -> bytes:
        """The bytes that identify the image (file content or raw pixels); raises `UnreadableImage`."""
        ...

    def take(self, indices: np.ndarray) -> ImageSource:
        """The same images at `indices`, nothing copied or decoded."""
        ...

    def stamp(self) -> str:
        """A short text that changes when the images may have changed; no image is read for it."""
        ...


@dataclass(frozen=True)
class Problem:
    """Something wrong with the data, told with the rows it concerns.

    Attributes:
        kind: stable name, such as `unreadable_image`.
        message: one sentence for people: what, where, and what to do.
        rows: row numbers in the dataset that `where` names, in order, or those that belong together in a row.
        where: `train` or `val`.
        severity: `error` stops a run, `warning` does not, `notice` tells what was done with the data.
        notes: a few words on each of the rows, such as the reason; empty where the message says it all.
    """

    kind: str
    message: str
    rows: tuple[int, ...] = ()
    where: str = "train"
    severity: str = "warning"
    notes: tuple[str, ...] = ()


def missing_labels(given: np.ndarray, where: str = "train") -> list[Problem]:
    """The problem of rows without a label, as a list of one or none."""
    rows = tuple(np.flatnonzero(np.asarray(given) == UNKNOWN).tolist())
    if not rows:
        return []
    have = "1 row has" if len(rows) == 1 else f"{len(rows):,} rows have"
    return [Problem(MISSING_LABEL, f"{have} no label. Add labels, or leave such rows out.", rows, where)]


@dataclass(frozen=True)
class DatasetSpec:
    """Everything that is needed to open a dataset again.

    Attributes:
        source: `digits`, `cifar10:ROOT`, `cifar100:ROOT`, or the path of a folder of class folders,
            `.csv`/`.tsv`/`.jsonl`, `.parquet` or `.npz`, or a folder or a pattern of tables.
        split: which part to take of a source that holds several: `train`, `val` or `test` for the one that
            means it, or its name.
        label / true_label / image / id: column names; None means: find the usual ones.
        limit: keep this many rows, drawn with `seed`, in the input's order.
        noise: share of labels to move (digits only), `noise_kind` symmetric or class_dependent.
        image_root: folder of the images that a table names; None means that of the table.
        window: values that become black and white, of pictures with more than 8 bits; `background`: what
            transparent pictures are laid on. See `Conversion`; None: chosen when a run begins.
    """

    source: str
    split: str = "train"
    label: str | None = None
    true_label: str | None = None
    image: str | None = None
    id: str | None = None
    limit: int | None = None
    noise: float = 0.3
    noise_kind: str = "symmetric"
    seed: int = 0
    image_root: str | None = None
    window: tuple[float, float] | None = None
    background: str | None = None

    @property
    def conversion(self) -> Conversion:
        """What is named, and for the rest what runs of versions did that knew no choice."""
        return Conversion(self.window, self.background or PLAIN.background)

    def to_dict(self) -> dict:
        """The fields that are set, for a file; `DatasetSpec(**d)` goes back."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass
class ImageDataset:
    """N images with given labels.

    Attributes:
        name: short name for people.
        ids: N texts that identify the rows.
        given: N class indices as given, `UNKNOWN` where there is none.
        classes: K class names; `classes[given[i]]` is the given label of row i.
        images: the N images.
        true: N true class indices where known (`UNKNOWN` for single rows), else None.
        paths: N file paths as the input wrote them, else None.
        problems: what the reader itself found wrong.
        spec: how to open it again, None for datasets made in Python.
        files: the files of the table that it was read from, where it was one.
    """

    name: str
    ids: Sequence[str]
    given: np.ndarray
    classes: tuple[str, ...]
    images: ImageSource
    true: np.ndarray | None = None
    paths: Sequence[str] | None = None
    problems: list[Problem] = field(default_factory=list)
    spec: DatasetSpec | None = None
    files: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.given)

    def take(self, indices: np.ndarray) -> ImageDataset:
        """The rows at `indices`, in that order; missing labels are counted anew."""
        indices = np.asarray(indices)
        # Messages hold counts, so a problem with rows can't follow them; readers name none but this.
        problems = [problem for problem in self.problems if not problem.rows]
        problems += missing_labels(self.given[indices])
        return replace(
            self,
            ids=[self.ids[i] for i in indices],
            given=self.given[indices],
            images=self.images.take(indices),
            true=None if self.true is None else self.true[indices],
            paths=None if self.paths is None else [self.paths[i] for i in indices],
            problems=problems,
        )

    def with_classes(self, classes: Sequence[str]) -> ImageDataset:
        """The same rows with class indices that refer to `classes`; others become `UNKNOWN`."""
        index = {name: k for k, name in enumerate(classes)}
        table = np.array([index.get(name, UNKNOWN) for name in self.classes] + [UNKNOWN], dtype=np.int64)
        return replace(
            self,
            given=table[self.given],
            true=None if self.true is None else table[self.true],
            classes=tuple(classes),
        )

    def fingerprint(self) -> str:
        """32 hex digits over ids, labels, class names and the images' stamp."""
        digest = hashlib.blake2b(digest_size=16)
        for text in self.classes:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        digest.update(np.ascontiguousarray(self.given, dtype=np.int64).tobytes())
        if self.true is not None:
            digest.update(np.ascontiguousarray(self.true, dtype=np.int64).tobytes())
        for text in self.ids:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        digest.update(self.images.stamp().encode())
        return digest.hexdigest()
