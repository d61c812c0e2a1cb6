"""The command line: `saltflat …` or `python -m fvm_core …`."""

from __future__ import annotations

import sys

from rich.console import Console

from fvm_core.cli.commands import application
from fvm_core.errors import Cancelled, SaltflatError


def main() -> None:
    """Run a command; what the user can mend is told in words, without a traceback."""
    console = Console(stderr=True)
    try:
        application()
    except SaltflatError as error:
        console.print("Error:", style="bold red", end=" ")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except Cancelled as stopped:
        console.print(str(stopped) or "Stopped.", markup=False)
        sys.exit(130)
