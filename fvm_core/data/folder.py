"""A folder with one folder of images for each class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fvm_core.data.dataset import ImageDataset, Problem
from fvm_core.data.decode import EXTENSIONS
from fvm_core.data.labels import natural_key
from fvm_core.data.sources import FileImages
from fvm_core.data.wording import count, listing
from fvm_core.errors import SaltflatError

_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})

_MOST_STRANGE = 500_000
"""Files that are no images, above which the folder can't be the one that was meant."""


def read_folder(folder: Path) -> ImageDataset:
    """Open `folder/CLASS/**/image`; no image is opened, only names are read.

    The class is the name of the first-level folder. Names that start with a dot are skipped. Files
    that aren't images and images beside the class folders become problems; an empty class folder is
    a class without samples.

    Raises:
        SaltflatError: no class folders, or they are named train, val, test; or the folder is, or a link
            in it leads to, a whole file system.
    """
    folder = folder.resolve()
    _place(folder)
    entries = _entries(folder)
    class_folders = sorted((e for e in entries if _is_dir(e)), key=lambda e: natural_key(e.name))
    _check_class_folders(folder, class_folders)
    relative: list[str] = []
    given: list[int] = []
    other: list[str] = []
    for index, entry in enumerate(class_folders):
        for name in sorted(_files(entry)):
            if _is_image(name):
                relative.append(f"{entry.name}/{name}")
                given.append(index)
            else:
                other.append(f"{entry.name}/{name}")
    if not relative:
        raise SaltflatError(
            f"The class folders in {folder} hold no images. Image files end in .jpg, .png, .webp, …"
        )
    shown = [_printable(name) for name in relative]
    classes = tuple(_printable(entry.name) for entry in class_folders)
    codes = np.array(given, dtype=np.int64)
    return ImageDataset(
        name=folder.name,
        ids=shown,
        given=codes,
        classes=classes,
        images=FileImages([f"{folder}/{name}" for name in relative]),
        paths=shown,
        problems=_problems(entries, other),
    )


def _check_class_folders(folder: Path, class_folders: list[os.DirEntry]) -> None:
    if not class_folders:
        raise SaltflatError(
            f"{folder} has no class folders. Put the images of each class into a folder that has "
            f"the class's name, such as {folder}/cat/1.jpg."
        )
    names = [entry.name for entry in class_folders]
    if all(name.lower() in _SPLIT_NAMES for name in names):
        raise SaltflatError(
            f"{folder} holds {listing(names)}, which are parts of a dataset and not classes. "
            f"Choose one part, such as {folder}/{names[0]}."
        )


def _problems(entries: list[os.DirEntry], other: list[str]) -> list[Problem]:
    problems = []
    if other:
        names = listing([_printable(name) for name in other], 3)
        text = f"{count(len(other), 'file')} skipped, not images by their endings: {names}."
        problems.append(Problem("not_an_image", text))
    loose = sorted(_printable(e.name) for e in entries if not _is_dir(e) and _is_image(e.name))
    if loose:
        text = f"{count(len(loose), 'image')} outside the class folders skipped: {listing(loose, 3)}."
        problems.append(Problem("outside_class_folders", text))
    return problems


def _files(entry: os.DirEntry) -> list[str]:
    """Names below `entry`, relative to it, with `/` between the parts."""
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [(entry.path, "")]
    strange = 0
    while waiting:
        path, prefix = waiting.pop()
        place = _place(path)
        if place in seen:  # a link back up would never end
            continue
        seen.add(place)
        for child in _entries(path):
            if _is_dir(child):
                waiting.append((child.path, f"{prefix}{child.name}/"))
            else:
                found.append(prefix + child.name)
                strange += not _is_image(child.name)
        if strange > _MOST_STRANGE:
            raise SaltflatError(
                f"{entry.path} holds more than {_MOST_STRANGE:,} files that are no images. Choose the folder "
                "that holds the class folders."
            )
    return found


def _place(path: str | Path) -> tuple[int, int]:
    """Which folder it really is; raises `SaltflatError` for a whole file system, which nobody means."""
    try:
        status = os.stat(path)  # noqa: PTH116 (100,000 folders)
    except OSError as error:
        raise SaltflatError(f"The folder {path} can't be read ({error.strerror}).") from error
    real = os.path.realpath(path)
    if os.path.dirname(real) == real:  # noqa: PTH120
        raise SaltflatError(
            f"{path} is the whole file system. Choose the folder that holds the class folders."
        )
    return status.st_dev, status.st_ino


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        raise SaltflatError(f"{entry.path} can't be read ({error.strerror}).") from error


def _entries(path: str | Path) -> list[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise SaltflatError(f"The folder {path} can't be read ({error.strerror}).") from error


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 (100,000 names)


def _printable(name: str) -> str:
    """File names that aren't UTF-8 come with surrogates, which no table or page can hold."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
