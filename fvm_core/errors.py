"""The one exception type whose text is written for the person at the screen."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

PLACES = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Numbers of an OSError that says of a place that nothing can be written there, and not of Saltflat."""


class SaltflatError(Exception):
    """Something the user can act on: the text names the file, row or field and what to do.

    The command line and the screens print it as it is, without a traceback.
    """


class UnreadableImage(SaltflatError):
    """One image could not be decoded; the row is kept, without a score."""


class Cancelled(Exception):
    """The person asked the run to stop. Finished stages stay, `--resume` goes on from there."""


class DamagedFile(SaltflatError):
    """A file that Saltflat wrote itself can't be used any more.

    Attributes:
        path: the file.
        reason: what is wrong with it, without a full stop.
        remedy: what to do, a whole sentence.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str):
        self.path, self.reason, self.remedy = Path(path), reason, remedy
        super().__init__(f"{path} is damaged: {reason}. {remedy}")


def words_of_place(error: OSError) -> str:
    """What an error of the file system says, and what to do."""
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror}. Make room, or choose another place."


def one_of(value: str, values: Sequence[str], what: str) -> str:
    """The value, where it is one of those that there are; else a `SaltflatError` that names them."""
    if value not in values:
        raise SaltflatError(f"There is no {what} `{value}`; there are {' and '.join(values)}.")
    return value
