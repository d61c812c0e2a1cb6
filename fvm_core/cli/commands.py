"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fvm_core.cli.estimator_options import SetOption, given_settings, with_estimator_settings
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.workspace import Workspace

application = typer.Typer(
    help="Find and fix wrong labels in image datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Console(markup=False, highlight=False, emoji=False)
"""What it prints is data (names, paths, labels, errors): none of it may be taken for markup."""


def execute_shown(run, data=None) -> None:
    """Do what is left of a run, with a bar for each stage; Ctrl-C stops it where it can be resumed."""
    from fvm_core.cli.progress import TerminalProgress
    from fvm_core.pipeline.runner import execute

    with TerminalProgress(console, run) as progress:
        try:
            execute(run, progress, data=data)
            progress.finish()
        except Cancelled:
            command = f"saltflat run --out {run.path} --resume"
            raise Cancelled(f"Stopped. Finished stages are kept; go on with: {command}") from None


@application.command()
def evaluate(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")]) -> None:
    """Measure a run where true labels are known; prints a table and writes DIR/metrics.json."""
    from fvm_core.cli.tables import metrics_table, run_rows
    from fvm_core.pipeline.evaluate import evaluate as measure
    from fvm_core.runs.run_folder import RunFolder

    found = RunFolder.open(folder)
    metrics = measure(found)
    title = f"{found.name}: {metrics['wrong_labels']:,} of {metrics['samples']:,} labels are wrong"
    console.print(metrics_table(title, run_rows(found, metrics)))


@application.command()
@with_estimator_settings
def compare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    estimator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Compute this one too; may be given again. See `saltflat estimators`."
        ),
    ] = None,
    set_: SetOption = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="Scores or pred_probs of another tool: .csv, .tsv, .parquet with ids, or .npy."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call them; the file's name by default.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of ids in --scores; `id`.")] = None,
    score_column: Annotated[str | None, typer.Option(help="Column of scores in --scores.")] = None,
    suspicious: Annotated[
        str | None, typer.Option(help="Which end of these scores is suspicious: high | low.")
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also score at kept checkpoints and saved steps.")
    ] = False,
    remove: Annotated[str | None, typer.Option(help="Take scores from a file out again.")] = None,
    review_by: Annotated[
        str | None, typer.Option(help="Have the review and the export rank by this.")
    ] = None,
    **estimator_settings: object,
) -> None:
    """Put estimators and scores of other tools side by side, and say which one the review ranks by."""
    from fvm_core.cli.tables import comparison_table
    from fvm_core.comparison import choice, external
    from fvm_core.runs.run_folder import RunFolder

    found = RunFolder.open(folder)
    settings = given_settings(set_, estimator_settings)
    if settings and not estimator:
        raise SaltflatError(
            f"Say which estimators the settings are of: --estimator NAME ({', '.join(settings)})."
        )
    if scores is not None:
        joined = external.read_external(
            found, scores, id_column=id_column, score_column=score_column, suspicious=suspicious
        )
        external.add_external(found, name or scores.stem, joined, scores.name)
        console.print(
            f"{scores.name}: {joined.column}, {joined.suspicious} = suspicious; {joined.missing:,} samples "
            f"have no value, {joined.extra:,} ids are not in the run.",
        )
    if remove is not None:
        external.remove_external(found, remove)
    if estimator or figures:
        found.add_estimators(estimator or [], figures=figures, settings=settings)
        execute_shown(found)
    if review_by is not None:
        choice.choose(found, review_by)
    for part in comparison_table(found):
        console.print(part)


@application.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    out: Annotated[
        Path, typer.Option(help=".csv, .jsonl or .parquet file, or a new folder for class folders.")
    ],
    accept_suggestions_above: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Take over suggestions of unreviewed samples above this suspicion percentile.",
        ),
    ] = None,
    accept_precision: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="Take over those suggestions of unreviewed samples of which at least so many are right, for "
            "example 95; none where that is not known, or where too few planted samples tell it.",
        ),
    ] = None,
    decisions_only: Annotated[
        bool, typer.Option("--decisions-only", help="Only rows that were decided.")
    ] = False,
    spreadsheet_safe: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe",
            help="Put an apostrophe before texts that a spreadsheet would run as formulas (.csv, .tsv).",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")] = False,
) -> None:
    """Write the cleaned labels, every row in the input's order, with what was decided by whom.

    Where suggestions are accepted without review, it first tells what that is expected to do.
    """
    from fvm_core.comparison.reasons import reasons
    from fvm_core.review.decisions import DecisionStore
    from fvm_core.review.export import acceptance
    from fvm_core.review.export import export as write
    from fvm_core.runs.run_folder import RunFolder

    found = RunFolder.open(folder)
    store = DecisionStore(Workspace.default().database)
    accept = {"accept_above": accept_suggestions_above, "accept_precision": accept_precision}
    known = None
    if accept_suggestions_above is not None or accept_precision is not None:
        expected = acceptance(found, store, **accept)
        known = expected.outlook
        console.print(expected.sentence, soft_wrap=True)
        if expected.warning:
            console.print(f"Mind: {expected.warning}", soft_wrap=True)
    done = write(
        found,
        store,
        out,
        **accept,
        known=known,
        decisions_only=decisions_only,
        for_spreadsheets=spreadsheet_safe,
        overwrite=force,
    )
    counts = ", ".join(f"{number:,} {status}" for status, number in done.counts.items() if number)
    console.print(f"{done.rows:,} rows ({counts}) are in {out}.")
    for reason in reasons(found):
        console.print(reason, soft_wrap=True)
    if done.notice:
        console.print(f"Mind: {done.notice}", soft_wrap=True)


@application.command()
def app(
    host: Annotated[
        str, typer.Option(help="Address to listen on; for any other a sign-in has to be set up.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    cert: Annotated[Path | None, typer.Option(help="Certificate for https, a PEM file.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key of the certificate, a PEM file.")] = None,
) -> None:
    """Open the dashboard."""
    from fvm_core.access.network import is_loopback
    from fvm_core.cli.serve import checked, serve
    from fvm_core.database import connect

    checked(host)
    connect(Workspace.default().database)  # what can't be used is told here, not by a server that gives up
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::1", "::") else host
    scheme = "https" if cert else "http"
    console.print(f"Saltflat is at {scheme}://{shown}:{port}  (Ctrl-C stops it; running jobs go on)")
    if cert is None and not is_loopback(host):
        console.print(
            "Passwords and images travel unencrypted: give --cert and --key, or put a proxy with https "
            "in front."
        )
    serve(host, port, cert, key)


@application.command()
def doctor(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Run folder to check; without one, this machine.")
    ] = None,
    redo: Annotated[
        bool,
        typer.Option(
            "--redo",
            help="Do the damaged stages of DIR again, and those that build on them; without DIR, make the "
            "kept states of all samples anew from the decisions.",
        ),
    ] = False,
) -> None:
    """Tell what this machine has and what is missing, or what is damaged in a run."""
    from fvm_core.cli.doctor import findings, need_run, run_findings
    from fvm_core.pipeline.repair import repair
    from fvm_core.review import consistency
    from fvm_core.runs.run_folder import RunFolder

    if folder is None and redo:
        wrong = consistency.rebuild(Workspace.default().database)
        console.print(f"{wrong:,} states of samples were not what the decisions say, and are now.")
    if folder is not None and redo:
        need_run(folder)
        for sentence in repair(folder):
            console.print(sentence, soft_wrap=True)
        run = RunFolder.open(folder)
        if not run.finished:
            execute_shown(run)
    missing = 0
    for right, sentence in findings() if folder is None else run_findings(folder):
        console.print("✓" if right else "✕", style="green" if right else "bold red", end=" ")
        console.print(sentence, soft_wrap=True)
        missing += not right
    if missing and folder is not None:
        console.print(f"{missing} damaged, see ✕ above. `saltflat doctor {folder} --redo` mends what can be.")
    else:
        whole = "Everything is there." if folder is None else "Nothing is damaged."
        console.print(whole if not missing else f"{missing} to mend, see ✕ above.")
    if missing:
        raise typer.Exit(1)
