"""A folder with one folder of images for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fvm_core.data.dataset import ImageDataset, Problem, missing_labels
from fvm_core.data.decode import EXTENSIONS
from fvm_core.data.labels import from_texts, is_missing, natural_key, said_missing
from fvm_core.data.leftovers import is_leftover, left_out
from fvm_core.data.sources import FileImages
from fvm_core.data.splits import ROLES, TRAIN, are_parts, choose, not_split, role
from fvm_core.data.wording import count, listing
from fvm_core.errors import SaltflatError

_MOST_NESTED = 10
"""Folders in one another that are stepped into."""

_MOST_STRANGE = 500_000
"""Files that are no images, above which the folder can't be the one that was meant."""


def read_folder(folder: Path, split: str = TRAIN) -> ImageDataset:
    """Open `folder/CLASS/**/image`; no image is opened, only names are read.

    The class is the name of the first-level folder. What systems leave behind is left out at any depth
    (`leftovers.py`). Files that aren't images and images beside the class folders become problems; an
    empty class folder is a class without samples. A folder of the same name inside a folder, and nothing
    else, is stepped into.

    Args:
        folder: it holds the class folders, or the parts of a dataset (`train`, `Testing`, `seg_pred`, …)
            that hold them.
        split: which part to take; see `splits.choose`.

    Raises:
        SaltflatError: no class folders, no such part; or the folder is, or a link in it leads to, a whole
            file system.
    """
    folder = folder.resolve()
    _place(folder)
    top = _stepped_into(folder)
    names = _parts(top)
    if names:
        part, notices = choose(names, split, str(folder))
        top = _stepped_into(top / part)
    else:
        notices = not_split(split, str(folder))
    _place(top)
    leftovers: list[str] = []
    entries = _entries(top, leftovers)
    class_folders = sorted((e for e in entries if _is_dir(e)), key=lambda e: natural_key(e.name))
    if not class_folders:
        raise SaltflatError(_no_classes(top, entries))
    classes = [_printable(entry.name) for entry in class_folders]
    relative: list[str] = []
    given: list[str] = []
    other: list[str] = []
    for label, entry in zip(classes, class_folders, strict=True):
        for name in sorted(_files(entry, leftovers)):
            if _is_image(name):
                relative.append(f"{entry.name}/{name}")
                given.append(label)
            else:
                other.append(f"{entry.name}/{name}")
    if not relative:
        raise SaltflatError(
            f"The class folders in {top} hold no images. Image files end in .jpg, .png, .webp, …"
            + _seen_instead(other)
        )
    shown = [_printable(name) for name in relative]
    labels = from_texts(given)
    named = tuple(name for name in classes if not is_missing(name))
    codes = labels.recode(named)
    return ImageDataset(
        name=folder.name,
        ids=shown,
        given=codes,
        classes=named,
        images=FileImages([f"{top}/{name}" for name in relative]),
        paths=shown,
        problems=[
            *notices,
            *_problems(entries, other),
            *left_out([_printable(name) for name in leftovers]),
            *said_missing(labels, str(top)),
            *missing_labels(codes),
        ],
    )


def parts(folder: Path) -> list[str]:
    """The parts among which there is a choice in a folder of images."""
    names = _parts(_stepped_into(folder.resolve()))
    return names if len(names) > 1 else []


def _parts(folder: Path) -> list[str]:
    """Names of the folders in `folder` that are parts of a dataset; none where they are classes."""
    folders = [entry for entry in _entries(folder) if _is_dir(entry)]
    names = sorted((entry.name for entry in folders), key=natural_key)
    if are_parts(names):
        return names
    # One part beside folders of other things; a class could be called that too, but would hold images.
    single = [entry for entry in folders if role(entry.name) in ROLES]
    if len(single) != 1 or not _holds_folders_only(single[0].path):
        return []
    others = [entry for entry in folders if entry is not single[0]]
    return [] if any(_holds_images(entry.path) for entry in others) else [single[0].name]


def _stepped_into(folder: Path) -> Path:
    """Down through folders that hold nothing but one of the same name, or one that holds the parts."""
    for _ in range(_MOST_NESTED):
        entries = _entries(folder)
        inside = [entry for entry in entries if _is_dir(entry)]
        if len(inside) != 1 or any(_is_image(entry.name) for entry in entries):
            break
        same = inside[0].name.casefold() == folder.name.casefold()
        if not same and not are_parts([e.name for e in _entries(inside[0].path) if _is_dir(e)]):
            break
        if role(inside[0].name) and not same:  # the only part that there is
            break
        folder = folder / inside[0].name
    return folder


def _holds_folders_only(path: str | Path) -> bool:
    entries = _entries(path)
    return any(_is_dir(entry) for entry in entries) and not any(_is_image(entry.name) for entry in entries)


def _holds_images(path: str | Path) -> bool:
    """Whether there are images in a folder or in one right below it."""
    entries = _entries(path)
    below = [inner for entry in entries if _is_dir(entry) for inner in _entries(entry.path)]
    return any(_is_image(entry.name) for entry in [*entries, *below])


def _no_classes(folder: Path, entries: list[os.DirEntry]) -> str:
    text = (
        f"{folder} has no class folders. Put the images of each class into a folder that has "
        f"the class's name, such as {folder}/cat/1.jpg"
    )
    tables = sorted(
        entry.name for entry in entries if entry.name.lower().endswith((".csv", ".tsv", ".jsonl"))
    )
    beside = sorted(_printable(entry.name) for entry in entries if not _is_dir(entry))
    if tables:
        return f"{text}; or name the table of the labels instead: {folder}/{tables[0]}."
    return f"{text}; or name a table of paths and labels.{_seen_instead(beside)}"


def _seen_instead(names: Sequence[str]) -> str:
    return f" There are {listing([_printable(name) for name in names], 3)}." if names else ""


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


def _files(entry: os.DirEntry, leftovers: list[str]) -> list[str]:
    """Names below `entry`, relative to it, with `/` between the parts; adds to `leftovers` what is none."""
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
        for child in _entries(path, leftovers, f"{entry.name}/{prefix}"):
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


def _entries(path: str | Path, leftovers: list[str] | None = None, prefix: str = "") -> list[os.DirEntry]:
    """What a folder holds; what is left out is added to `leftovers`, behind `prefix`."""
    try:
        with os.scandir(path) as entries:
            found = list(entries)
    except OSError as error:
        raise SaltflatError(f"The folder {path} can't be read ({error.strerror}).") from error
    if leftovers is not None:
        leftovers += [prefix + entry.name for entry in found if is_leftover(entry.name)]
    return [entry for entry in found if not is_leftover(entry.name)]


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 (100,000 names)


def _printable(name: str) -> str:
    """File names that aren't UTF-8 come with surrogates, which no table or page can hold."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
