"""Reading a TOML file that a person may have written."""

from __future__ import annotations

import tomllib
from pathlib import Path

from fvm_core.errors import SaltflatError


def read_toml(path: str | Path) -> dict:
    """The tables of a TOML file; raises `SaltflatError` naming the file and the fault."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SaltflatError(f"There is no settings file {path}.") from None
    except OSError as error:
        raise SaltflatError(f"{path} can't be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SaltflatError(f"{path} is not a TOML file: {error}.") from None
