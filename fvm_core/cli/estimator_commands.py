"""`saltflat estimators`."""

from __future__ import annotations

from typing import Annotated

import typer

from fvm_core.cli.commands import application, console
from fvm_core.estimators import catalogue


@application.command()
def estimators(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the README shows them.")] = False,
) -> None:
    """List all scores that can stand beside a run's own, with what they need and cost."""
    if markdown:
        typer.echo(catalogue.markdown())
    else:
        for line in catalogue.lines():
            console.print(line, soft_wrap=True)
