"""Whether files in a folder were built from the same images as now."""

from __future__ import annotations

import json
from pathlib import Path


def is_built(about_file: Path, about: dict) -> bool:
    """Whether `about_file`, which a build writes last, holds `about`."""
    try:
        return json.loads(about_file.read_text(encoding="utf-8")) == about
    except (OSError, ValueError):
        return False
