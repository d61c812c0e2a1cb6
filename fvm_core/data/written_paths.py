"""What a path that somebody wrote into a table can mean on this machine; no file is looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # one letter and a colon is a drive
_FILE = re.compile(r"file:(?=[/\\]|[A-Za-z]:)", re.IGNORECASE)
_DRIVE = re.compile(r"/*[A-Za-z]:(?=/|$)")
_LABEL_STUDIO_LOCAL = re.compile(r"(?:^|/)data/local-files/?$")
_LABEL_STUDIO_UPLOAD = re.compile(r"(?:^|/)data/upload/")
_LABEL_STUDIO_PREFIX = re.compile(r"[0-9A-Za-z]+-(?=.)")
_MOST_FOLDERS = 12
"""Folders of a path that are looked for below another folder."""


@dataclass(frozen=True)
class WrittenPath:
    """The readings of one written path, best first.

    Attributes:
        same: the path itself in the spelling of this machine: from the folders on, or from the root.
        moved: its last parts, from many to two, for files that lie in another folder now.
        names: its file name, as the last resort.
        web: it is an address on the web.
    """

    same: tuple[str, ...]
    moved: tuple[str, ...]
    names: tuple[str, ...]
    web: bool = False


def read(text: str) -> WrittenPath:
    r"""The readings of a path as Windows, browsers and Label Studio write it.

    `C:\data\a.png` means `C:/data/a.png`, and below another folder `data/a.png` or `a.png`;
    `file:///data/a%20b.png` means `/data/a b.png`; `/data/local-files/?d=pets/a.png` and
    `/data/upload/3/1f2e3d4c-a.png` are Label Studio's, which puts a prefix before the names of what is
    uploaded. Addresses on the web can only be found by their last parts.
    """
    plain = text.strip().replace("\\", "/")
    same: list[str] = []
    web = False
    if found := _FILE.match(plain):
        plain = _of_file_address(plain[found.end() :])
        same.append(plain)
    elif found := _SCHEME.match(plain):
        web = True
        plain = plain[found.end() :].partition("/")[2]
    path, mark, query = plain.partition("?")
    uploaded = False
    if mark and _LABEL_STUDIO_LOCAL.search(path):
        plain = next(iter(parse_qs(query).get("d", [])), "").replace("\\", "/")
        same += [plain, f"/{plain.lstrip('/')}"]
        web = False
    elif web or _LABEL_STUDIO_UPLOAD.search(path):
        plain = unquote(path.partition("#")[0])
        uploaded = bool(_LABEL_STUDIO_UPLOAD.search(plain))
        web = web and not uploaded
    else:
        same += [plain, unquote(plain)] if "%" in plain else [plain]
        plain = same[-1]
    parts = _parts(plain)
    names = tuple(parts[-1:])
    moved = ["/".join(parts[first:]) for first in range(max(len(parts) - _MOST_FOLDERS, 0), len(parts) - 1)]
    if uploaded and names:
        names = (*names, *filter(None, [_LABEL_STUDIO_PREFIX.sub("", names[0], count=1)]))
    known = dict.fromkeys(one for one in same if one and one != text)
    return WrittenPath(tuple(known), tuple(dict.fromkeys(moved)), tuple(dict.fromkeys(names)), web)


def is_web(text: str) -> bool:
    """Whether a text is an address on the web."""
    return "://" in text and read(text).web


def _of_file_address(rest: str) -> str:
    """The path in what stands behind `file:`."""
    path = unquote(rest)
    if not path.startswith("//"):
        return _without_slash_before_drive(path)
    host, slash, tail = path[2:].partition("/")
    if _DRIVE.fullmatch(host):  # file://C:/a.png, which many programs write
        return f"{host}/{tail}"
    if host in ("", "localhost"):
        return _without_slash_before_drive(slash + tail)
    return f"//{host}/{tail}"


def _without_slash_before_drive(path: str) -> str:
    return path.lstrip("/") if _DRIVE.match(path) else path


def _parts(path: str) -> list[str]:
    """Names behind the drive and the last `..`, which leads out of what is known."""
    parts = [part for part in _DRIVE.sub("", path, count=1).split("/") if part not in ("", ".", "~")]
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    return parts
