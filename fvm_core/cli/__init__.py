"""The command line: `saltflat …` or `python -m fvm_core …`."""

from __future__ import annotations

import sys

from rich.console import Console

from fvm_core.cli import (  # noqa: F401 (they register their commands)
    backup_commands,
    estimator_commands,
    password,
    run_commands,
)
from fvm_core.cli.commands import application
from fvm_core.errors import Cancelled, SaltflatError, words_of_place


def main() -> None:
    """Run a command; what the user can mend is told in words, without a traceback."""
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    try:
        application()
    except SaltflatError as error:
        console.print("Error:", style="bold red", end=" ")
        console.print(str(error), soft_wrap=True)
        sys.exit(1)
    except OSError as error:  # a place that can't be read or written, a full disk
        if error.errno is None:
            raise
        console.print("Error:", style="bold red", end=" ")
        console.print(words_of_place(error), soft_wrap=True)
        sys.exit(1)
    except Cancelled as stopped:
        console.print(str(stopped) or "Stopped.")
        sys.exit(130)
