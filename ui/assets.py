"""Files of `assets/` as text; a script names what it needs by a line `//#include name.js`."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "assets"
_INCLUDE = re.compile(r"^//#include (\S+)$", re.MULTILINE)


def text(name: str) -> str:
    """The content of a file, what it includes in its place."""
    content = (FOLDER / name).read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: text(found[1]), content)
