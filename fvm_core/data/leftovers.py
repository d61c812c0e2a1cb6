"""What systems and programs leave behind in folders of images, and nobody means."""

from __future__ import annotations

from collections.abc import Sequence

from fvm_core.data.dataset import Problem
from fvm_core.data.wording import count, listing

# Besides names that begin with a dot: of macOS, Windows, the stores of Synology and QNAP, and Python.
_NAMES = frozenset(
    {
        "__macosx",
        "icon\r",
        "thumbs.db",
        "thumbs.db:encryptable",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "lost+found",
        "__pycache__",
    }
)


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name (without its folder) is left out wherever it lies."""
    return name.startswith(".") or name.lower() in _NAMES


def left_out(names: Sequence[str]) -> list[Problem]:
    """The notice that files and folders of these names were left out, as a list of one or none."""
    if not names:
        return []
    what = count(len(names), "hidden file or folder", "hidden files or folders")
    return [Problem("left_out", f"{what} of other programs left out: {listing(names, 3)}.")]
