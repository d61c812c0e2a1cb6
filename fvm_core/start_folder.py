"""What a relative path means: the folder in which the person started the program, wherever it works."""

from __future__ import annotations

import os
from pathlib import Path

from fvm_core.errors import SaltflatError

VARIABLE = "SALTFLAT_STARTED_IN"
"""Set by `saltflat app`, which has to work in the folder of the program."""

IN_NAMES = ("cifar10", "cifar100")
"""What may stand before a folder and a colon in the source of a dataset."""


def start_folder() -> Path:
    """The folder in which the person started the program."""
    return Path(os.environ.get(VARIABLE) or Path.cwd())


def absolute(path: str | Path) -> Path:
    """The whole path that a person means: `~` is their home, a relative path begins where they started.

    Raises:
        SaltflatError: no path can be written like that.
    """
    try:
        return (start_folder() / Path(path).expanduser()).resolve()
    except (RuntimeError, ValueError, OSError) as error:  # a home that is not known, a null byte, a loop
        raise SaltflatError(f"{str(path)!r} is no path that can be used ({error}).") from None


def absolute_source(source: str) -> str:
    """Likewise for the source of a dataset, which may also be `digits` or `cifar10:FOLDER`."""
    kind, colon, folder = source.partition(":")
    if kind in IN_NAMES and folder:
        return f"{kind}{colon}{absolute(folder)}"
    source = own_digits(source)
    return source if source == "digits" or not source else str(absolute(source))


def own_digits(source: str) -> str:
    """The whole path of somebody's own folder `digits`, which the demo of that name must not hide."""
    return str(absolute(source)) if source == "digits" and absolute(source).exists() else source
