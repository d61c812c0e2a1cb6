"""`saltflat backup` and `saltflat restore`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from fvm_core.cli.commands import application, console
from fvm_core.wording import size
from fvm_core.workspace import Workspace


@application.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write, such as saltflat.tar.")],
) -> None:
    """Copy the workspace (decisions, runs, uploads) into one file, also while it is in use."""
    from fvm_core.backup import backup as write

    with _bar("Copying") as progress:
        found = write(Workspace.default(), file, progress)
    console.print(
        f"{found.runs:,} runs and {found.events:,} decision events are in {file} ({size(found.bytes)}), read "
        "back and checked.",
        highlight=False,
        markup=False,
    )


@application.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `saltflat backup`.")],
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Put what the workspace has of these files aside first; without it, what is there stays.",
        ),
    ] = False,
) -> None:
    """Put a backup back into the workspace; what is missing is written, what is there stays."""
    from fvm_core.backup import check
    from fvm_core.backup import restore as put_back

    workspace = Workspace.default()
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(check(file).created))
    with _bar("Restoring") as progress:
        done = put_back(workspace, file, replace=replace, progress=progress)
    lines = [f"{done.written:,} files of {made} are in {workspace.path}."]
    if done.kept:
        lines.append(f"{len(done.kept):,} were there and stayed as they are, such as {done.kept[0]}.")
        lines.append("`saltflat restore --replace` takes those of the backup and puts yours aside.")
    if done.aside:
        lines.append(f"What they replaced is in {done.aside}.")
    for line in lines:
        console.print(line, highlight=False, markup=False)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(title, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
