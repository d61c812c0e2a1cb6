"""The commands and their options."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fvm_core.config import (
    DEVICES,
    ESTIMATOR_NAMES,
    LISSA_MATRICES,
    OPTIONS,
    PRECISIONS,
    SOLVERS,
    STEMS,
    ModelConfig,
    RunConfig,
    TrainConfig,
    TuneConfig,
)
from fvm_core.data.dataset import DatasetSpec
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.wording import duration
from fvm_core.workspace import Workspace

application = typer.Typer(
    help="Find and fix wrong labels in image datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Console()

Source = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="`digits`, `cifar10:ROOT`, `cifar100:ROOT`, or a path: folder of class folders, .csv, .tsv, "
        ".parquet, .npz.",
    ),
]


def _listed(values: tuple[str, ...]) -> str:
    return " | ".join(values)


@application.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Run folder; by default a new one in the workspace.")
    ] = None,
) -> None:
    """Clean 1,200 handwritten digits with planted noise, end to end, in about a minute on two cores."""
    from fvm_core.cli.tables import metrics_table, run_rows
    from fvm_core.demo import demo_config
    from fvm_core.pipeline.run_folder import RunFolder

    begun = time.monotonic()
    out = out or Workspace.default().new_run_folder("digits-demo")
    config = demo_config()
    run = RunFolder.create(out, config)
    _execute(run)
    # VM from the same θ*, for comparison: only the solver differs.
    checkpoint = str((run.checkpoints / "theta_star.safetensors").resolve())
    vm_config = replace(
        config,
        name="digits-demo-vm",
        model=ModelConfig(checkpoint=checkpoint),
        train=TrainConfig(epochs=0),
        tune=TuneConfig(solver="sgd"),
        embed=False,
    )
    vm = RunFolder.create(out / "vm", vm_config)
    _execute(vm)
    rows = run_rows(run, run.metrics)
    vm_rows = run_rows(vm, vm.metrics)
    wrong, samples = run.metrics["wrong_labels"], run.metrics["samples"]
    title = f"Handwritten digits, {wrong:,} of {samples:,} labels planted wrong"
    console.print(metrics_table(title, [*rows[:2], *vm_rows[2:], *rows[2:]]))
    console.print(f"Done in {duration(time.monotonic() - begun)}. The run is in {out}.")
    console.print("Look at it with `saltflat app`.")


@application.command()
def run(
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    train: Source = None,
    val: Source = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings; options win over it.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, with its settings.")
    ] = False,
    label_column: Annotated[str | None, typer.Option(help="Column of the given labels.")] = None,
    true_label_column: Annotated[str | None, typer.Option(help="Column of true labels, to measure.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Column of images or their paths.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of ids.")] = None,
    val_label_column: Annotated[str | None, typer.Option(help="Label column of the validation set.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Train on N rows drawn at random.")] = None,
    val_limit: Annotated[int | None, typer.Option(min=1, help="Validate on N rows drawn at random.")] = None,
    noise: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of planted noise (digits).")
    ] = None,
    noise_kind: Annotated[str | None, typer.Option(help="symmetric | class_dependent (digits).")] = None,
    model: Annotated[
        str | None, typer.Option(help="`small_cnn` or a torchvision classification model.")
    ] = None,
    stem: Annotated[str | None, typer.Option(help=_listed(STEMS))] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Height and width images are brought to.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights of θ*: .pt, .pth, .safetensors.")] = None,
    pretrained: Annotated[bool | None, typer.Option(help="Start from ImageNet weights.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Training epochs; 0 takes the checkpoint.")
    ] = None,
    train_lr: Annotated[float | None, typer.Option(help="Learning rate of training.")] = None,
    augment: Annotated[bool | None, typer.Option(help="Random crop and flip while training.")] = None,
    solver: Annotated[
        str | None, typer.Option(help=f"{_listed(SOLVERS)}; sgd is VM, sam the default.")
    ] = None,
    gamma: Annotated[float | None, typer.Option(min=0, help="Radius of flatness; SAM: 0.05.")] = None,
    steps: Annotated[int | None, typer.Option(min=0, help="Tuning steps; the paper takes 1000.")] = None,
    saved_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps at which influence is computed.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of tuning; the paper takes 0.01.")] = None,
    estimator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What ranks the samples: fvm, or vm (plain SGD). Give it again for others beside it: "
            f"{', '.join(ESTIMATOR_NAMES)}.",
        ),
    ] = None,
    keep_checkpoints: Annotated[
        int | None,
        typer.Option(min=0, help="Checkpoints that training keeps; 5 where an estimator needs them."),
    ] = None,
    best_epoch: Annotated[
        int | None,
        typer.Option(min=1, help="Kept epoch for lissa_best & co.; else that of best validation accuracy."),
    ] = None,
    members: Annotated[int | None, typer.Option(min=2, help="Of GEX's ensemble; the paper takes 32.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Trainings for `confident`; 5.")] = None,
    lissa_depth: Annotated[int | None, typer.Option(min=1, help="Steps of LiSSA's recursion; 1000.")] = None,
    lissa_damping: Annotated[float | None, typer.Option(min=0, max=1, help="Of the recursion; 0.01.")] = None,
    lissa_matrix: Annotated[str | None, typer.Option(help=_listed(LISSA_MATRICES))] = None,
    planted: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            help="Share of the validation set held back to measure scores by planted wrong labels; 0.1 where "
            "no true labels are known.",
        ),
    ] = None,
    figures: Annotated[
        bool | None,
        typer.Option(
            "--figures",
            help="Also score at kept checkpoints and saved steps, for the paper's figures 2 and 3.",
        ),
    ] = None,
    damping: Annotated[float | None, typer.Option(min=0, help="Added to the Fisher information.")] = None,
    damping_kind: Annotated[
        str | None, typer.Option(help="relative (to the mean Fisher) | per_tensor | absolute.")
    ] = None,
    score_precision: Annotated[
        str | None, typer.Option(help="Of scoring: fp32 | bf16, which is taken where it ranks as fp32.")
    ] = None,
    batch_size: Annotated[str | None, typer.Option(help="auto, or samples per scoring pass.")] = None,
    device: Annotated[str | None, typer.Option(help=_listed(DEVICES))] = None,
    precision: Annotated[str | None, typer.Option(help=f"Of training: {_listed(PRECISIONS)}.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the run repeatable.")] = None,
    embed: Annotated[bool | None, typer.Option(help="Make the map (UMAP).")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
) -> None:
    """Train, tune to a flat validation minimum, score every training sample and suggest labels."""
    given = dict(locals())
    from fvm_core.pipeline.run_folder import RunFolder

    folder = RunFolder(out)
    if resume and folder.exists():
        _execute(folder)
    else:
        folder = RunFolder.create(out, _settings(given))
        _execute(folder)
    _tell(folder)


@application.command()
def evaluate(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")]) -> None:
    """Measure a run where true labels are known; prints a table and writes DIR/metrics.json."""
    from fvm_core.cli.tables import metrics_table, run_rows
    from fvm_core.pipeline.evaluate import evaluate as measure
    from fvm_core.pipeline.run_folder import RunFolder

    found = RunFolder.open(folder)
    metrics = measure(found)
    title = f"{found.name}: {metrics['wrong_labels']:,} of {metrics['samples']:,} labels are wrong"
    console.print(metrics_table(title, run_rows(found, metrics)))


@application.command()
def compare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    estimator: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Compute this one too; may be given again. See `saltflat run`."),
    ] = None,
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
) -> None:
    """Put estimators and scores of other tools side by side, and say which one the review ranks by."""
    from fvm_core.cli.tables import comparison_table
    from fvm_core.comparison import choice, external
    from fvm_core.pipeline.run_folder import RunFolder

    found = RunFolder.open(folder)
    if scores is not None:
        joined = external.read_external(
            found, scores, id_column=id_column, score_column=score_column, suspicious=suspicious
        )
        external.add_external(found, name or scores.stem, joined, scores.name)
        console.print(
            f"{scores.name}: {joined.column}, {joined.suspicious} = suspicious; {joined.missing:,} samples "
            f"have no value, {joined.extra:,} ids are not in the run.",
            highlight=False,
        )
    if remove is not None:
        external.remove_external(found, remove)
    if estimator or figures:
        found.add_estimators(estimator or [], figures=figures)
        _execute(found)
    if review_by is not None:
        choice.choose(found, review_by)
    for part in comparison_table(found):
        console.print(part, highlight=False)


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
    decisions_only: Annotated[
        bool, typer.Option("--decisions-only", help="Only rows that were decided.")
    ] = False,
) -> None:
    """Write the cleaned labels, every row in the input's order, with what was decided by whom."""
    from fvm_core.pipeline.run_folder import RunFolder
    from fvm_core.review.decisions import DecisionStore
    from fvm_core.review.export import export as write

    found = RunFolder.open(folder)
    store = DecisionStore(Workspace.default().database)
    done = write(found, store, out, accept_above=accept_suggestions_above, decisions_only=decisions_only)
    counts = ", ".join(f"{number:,} {status}" for status, number in done.counts.items() if number)
    console.print(f"{done.rows:,} rows ({counts}) are in {out}.", highlight=False)


@application.command()
def app(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
) -> None:
    """Open the dashboard."""
    from fvm_core.cli.serve import serve

    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::1", "::") else host
    console.print(f"Saltflat is at http://{shown}:{port}  (Ctrl-C stops it; running jobs go on)")
    serve(host, port)


@application.command()
def doctor() -> None:
    """Tell what this machine has and what is missing."""
    from fvm_core.cli.doctor import findings

    missing = 0
    for right, sentence in findings():
        mark = "[green]✓[/green]" if right else "[bold red]✕[/bold red]"
        console.print(mark, sentence, highlight=False)
        missing += not right
    console.print("Everything is there." if not missing else f"{missing} to mend, see ✕ above.")
    if missing:
        raise typer.Exit(1)


def _settings(given: dict) -> RunConfig:
    """The settings from `--config`, with the options that were given in front."""
    base = RunConfig.read(given["config"]).to_dict() if given["config"] else {}
    specs = {
        "train_data": {
            "source": given["train"],
            "label": given["label_column"],
            "true_label": given["true_label_column"],
            "image": given["image_column"],
            "id": given["id_column"],
            "limit": given["limit"],
            "noise": given["noise"],
            "noise_kind": given["noise_kind"],
        },
        "val_data": {
            "source": given["val"],
            "split": "val",
            "label": given["val_label_column"],
            "image": given["image_column"],
            "limit": given["val_limit"],
        },
    }
    merged = {}
    for key, values in specs.items():
        stored = base.pop(key, {})
        own = {name: value for name, value in values.items() if value is not None}
        if "source" not in {**stored, **own}:
            raise SaltflatError(f"Say where the images are: --{key.split('_')[0]} SPEC (or --config FILE).")
        merged[key] = DatasetSpec(**{**stored, **own})
    options = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in given.items()
        if key in _RUN_OPTIONS
    }
    options["batch_size"] = _batch_size(given["batch_size"])
    return RunConfig.from_options(merged["train_data"], merged["val_data"], options, base)


_RUN_OPTIONS = tuple(name for name in OPTIONS if name not in ("batch_size", "alternatives"))


def _batch_size(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "auto":
        return 0
    if not text.isdigit() or int(text) == 0:
        raise SaltflatError(f"--batch-size is {text!r}; give `auto` or a number of samples.")
    return int(text)


def _execute(run) -> None:
    from fvm_core.cli.progress import TerminalProgress
    from fvm_core.pipeline.runner import execute

    with TerminalProgress(console, run) as progress:
        try:
            execute(run, progress)
            progress.finish()
        except Cancelled:
            command = f"saltflat run --out {run.path} --resume"
            raise Cancelled(f"Stopped. Finished stages are kept; go on with: {command}") from None


def _tell(run) -> None:
    from fvm_core.cli.tables import metrics_table, run_rows

    summary = run.info["summary"]
    seconds = sum(stage["seconds"] for stage in run.info["stages"].values())
    console.print(
        f"{run.name}: {run.info['samples']:,} samples in {duration(seconds)}. {summary['flagged']:,} are "
        f"above the default threshold, {summary['suggested_relabels']:,} have another suggested label.",
        highlight=False,
    )
    for problem in run.info["problems"]:
        console.print(f"{problem['where']}: {problem['message']}", highlight=False, markup=False)
    if run.metrics:
        console.print(metrics_table("Against the true labels", run_rows(run, run.metrics)))
    console.print(f"Review it with `saltflat app`, or export {run.path} with `saltflat export`.")
