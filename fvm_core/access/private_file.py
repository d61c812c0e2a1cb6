"""Files that hold hashes and sessions: written whole, readable by their owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step by a file with mode 0600; raises `OSError` where that can't be done."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    # O_EXCL: nobody else made the file that the text goes into. The mode holds before the first byte.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
