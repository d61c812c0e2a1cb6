"""The paper's tables from this project's own runs, beside the paper's figures.

Every table goes into benchmarks/results as Markdown and JSON. Runs are kept under --work and shared: θ* is
trained once for each data set and seed, and every estimator, solver and validation size starts from it. A
call that was stopped, by Ctrl-C or after --minutes, is gone on with by the same command.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import paper_reference as paper
import typer
from paper_report import Row, facts, findings, show, write
from paper_runs import ABLATION, OURS, PROBED, SCALES, SOLVERS, STANDARD, TABLE_1, Place, Runs, data_folder
from rich.console import Console

from fvm_core.comparison.results import read_result
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.estimators import registry
from fvm_core.metrics import detection, relabelling
from fvm_core.runs.run_folder import RunFolder

CIFAR_10N = ("aggre", "random1", "worst")


@dataclass(frozen=True)
class Task:
    """What a table is made from: `runs`, the data sets and the seeds."""

    runs: Runs
    datasets: tuple[str, ...]
    seeds: range


def detected(run: RunFolder, name: str) -> tuple[float, float]:
    """ROC AUC and AP in percent of an estimator against the true labels."""
    scores = run.read_scores(["given_label", "true_label"])
    wrong = (scores["given_label"] != scores["true_label"]).to_numpy()
    found = detection(read_result(run.path, name)["suspicion"].to_numpy(), wrong)
    return 100 * found["roc_auc"], 100 * found["average_precision"]


def relabelled(run: RunFolder, name: str) -> tuple[float, float]:
    """Relabelling accuracy in percent over all and over the mislabelled samples."""
    scores = run.read_scores(["given_label", "true_label"])
    codes = {label: code for code, label in enumerate(run.info["classes"])}
    given, true = (scores[column].map(codes).to_numpy() for column in ("given_label", "true_label"))
    suggested = read_result(run.path, name)["suggested_label"].map(codes).to_numpy()
    found = relabelling(suggested, given, true)
    return 100 * found["relabel_accuracy_all"], 100 * found["relabel_accuracy_mislabelled"]


def title(name: str) -> str:
    """Of an estimator of a run that is tuned by SAM."""
    return "FVM (SAM)" if name == "fvm" else registry.find(name).title


def _detection(task: Task, names: tuple[str, ...]) -> list[Row]:
    wanted = tuple(name for name in names if name != "fvm")
    rows = {name: Row(title(name), name, added=name not in paper.DETECTION) for name in names}
    for dataset in task.datasets:
        shown = paper.DATASETS[dataset]
        for seed in task.seeds:
            run = task.runs.base(dataset, seed, wanted)
            for name, row in rows.items():
                row.take(_pair(shown, detected(run, name)))
        for name, row in rows.items():
            if name in paper.DETECTION:
                row.reference |= _pair(shown, paper.DETECTION[name][dataset])
    return list(rows.values())


def table_1(task: Task) -> list[Row]:
    """Detection by all estimators."""
    return _detection(task, (*(n for n in STANDARD if "ekfac" not in n), "gex", "vm", "fvm", *OURS))


def table_10(task: Task) -> list[Row]:
    """Detection by EK-FAC."""
    return _detection(task, ("ekfac", "ekfac_best", "vm", "fvm"))


def table_2(task: Task) -> list[Row]:
    """Top-1 relabelling accuracy."""
    names = (*(n for n in STANDARD if "ekfac" not in n), "gex", "vm", "fvm", "ekfac", "ekfac_best", *OURS)
    rows = {name: Row(title(name), name, added=name not in paper.RELABELLING) for name in names}
    for dataset in task.datasets:
        shown = paper.DATASETS[dataset]
        for seed in task.seeds:
            run = task.runs.base(dataset, seed, TABLE_1)
            for name, row in rows.items():
                everywhere, mislabelled = relabelled(run, name)
                row.take({f"{shown}, all": everywhere, f"{shown}, mislabelled": mislabelled})
        for name, row in rows.items():
            if name in paper.RELABELLING:
                row.reference[f"{shown}, all"] = paper.RELABELLING[name][dataset]
    return list(rows.values())


def table_6(task: Task) -> list[Row]:
    """What each half of the new function does."""
    words = {
        "ablation_ss": "loss change standard, parameter change standard",
        "ablation_so": "loss change standard, parameter change ours",
        "ablation_os": "loss change ours, parameter change standard",
        "fvm": "loss change ours, parameter change ours",
    }
    rows = [Row(text, name) for name, text in words.items()]
    for row in rows:
        row.reference = _pair("Worst", paper.ABLATION[row.key])
        for seed in task.seeds:
            row.take(_pair("Worst", detected(task.runs.base("worst", seed, ABLATION), row.key)))
    return rows


def table_11(task: Task) -> list[Row]:
    """How large a validation set is needed."""
    rows = {name: Row(title(name), name) for name in ("lissa", "vm", "fvm")}
    sizes = SCALES[task.runs.place.scale].sizes
    for size, paper_size in zip(sizes, (10_000, 5000, 2000, 1000), strict=True):
        shown = f"{size:,} samples" + (f" (paper {paper_size:,})" if size != paper_size else "")
        for name, row in rows.items():
            row.reference |= _pair(shown, paper.VALIDATION_SIZES[name][paper_size])
        for seed in task.seeds:
            if size == sizes[0]:
                run = task.runs.base("worst", seed, ("lissa", "vm"))
            else:
                run = task.runs.derived("worst", seed, f"val{size}", ("lissa", "vm"), validation=size)
            for name, row in rows.items():
                row.take(_pair(shown, detected(run, name)))
    return list(rows.values())


def table_12(task: Task) -> list[Row]:
    """Other solvers for the flat minimum."""
    rows = {name: Row(title(name), name, added=name not in paper.SOLVERS) for name in ("fvm", *SOLVERS, "vm")}
    for dataset in task.datasets:
        shown = paper.DATASETS[dataset]
        for name, row in rows.items():
            if dataset in paper.SOLVERS.get(name, {}):
                row.reference |= _pair(shown, paper.SOLVERS[name][dataset])
            for seed in task.seeds:
                row.take(_pair(shown, detected(task.runs.base(dataset, seed, (*SOLVERS, "vm")), name)))
    return list(rows.values())


def table_13(task: Task) -> list[Row]:
    """Other inverse curvatures in the new function, at both minima."""
    names = {"probed_lissa": "LiSSA", "probed_datainf": "DataInf", "fvm": "diagonal"}
    rows = {
        (method, name): Row(f"{method.upper()}, {words}", f"{method} {name}")
        for method in ("vm", "fvm")
        for name, words in names.items()
    }
    for dataset in task.datasets:
        shown = paper.DATASETS[dataset]
        for seed in task.seeds:
            runs = {
                "fvm": task.runs.base(dataset, seed, PROBED),
                "vm": task.runs.derived(dataset, seed, "vm", PROBED, solver="sgd"),
            }
            for (method, name), row in rows.items():
                row.take(_pair(shown, detected(runs[method], name)))
        for key, row in rows.items():
            row.reference |= _pair(shown, paper.INVERSES[key][dataset])
    return list(rows.values())


@dataclass(frozen=True)
class Kind:
    """What is known of a table before it is made: how, of which data sets, what it shows, and a remark."""

    make: Callable[[Task], list[Row]]
    datasets: tuple[str, ...]
    what: str
    note: str = ""


_OVER = "The paper does not say over which samples it averages; its figure stands beside the one over all."
_STARRED = (
    "The paper takes * at the epoch with the best AP, which needs the true labels; here it is taken by "
    "validation accuracy."
)

TABLES = {
    1: Kind(table_1, CIFAR_10N, "Detection of wrong labels", _STARRED),
    2: Kind(table_2, CIFAR_10N, "Relabelling accuracy", f"{_OVER} {_STARRED}"),
    3: Kind(table_2, ("noisy",), "Relabelling accuracy on CIFAR-100N", f"{_OVER} {_STARRED}"),
    6: Kind(
        table_6,
        ("worst",),
        "Ablation: loss change and parameter change",
        "Both curvatures are diagonal Fisher information, of the training and of the validation set.",
    ),
    10: Kind(table_10, CIFAR_10N, "Detection by EK-FAC", _STARRED),
    11: Kind(table_11, ("worst",), "Validation size"),
    12: Kind(table_12, ("worst",), "Solver", "Every solver with its own paper's radius, see below."),
    13: Kind(
        table_13,
        ("worst",),
        "Inverse curvature",
        "VM is a run of its own here, whose minibatches come in another order than in table 1. For FVM with "
        "the diagonal on Aggre the paper repeats Random's figures; those of its table 1 stand here.",
    ),
}


def _pair(column: str, values: tuple[float, float]) -> dict[str, float]:
    return {f"{column}, ROC AUC": values[0], f"{column}, AP": values[1]}


def main(
    table: Annotated[int, typer.Option(help=f"One of {', '.join(map(str, TABLES))}.")],
    scale: Annotated[
        str, typer.Option(help="small (two cores) | full (the paper's setting, one GPU).")
    ] = "small",
    datasets: Annotated[
        str | None, typer.Option(help=f"Of {', '.join(paper.DATASETS)}, separated by commas.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="1 for small, 3 for full as in the paper.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long; the same call goes on.")] = None,
    work: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path("benchmarks/work"),
    results: Annotated[Path, typer.Option(help="Where the tables go.")] = Path("benchmarks/results"),
    cifar: Annotated[
        Path | None, typer.Option(help="Folder of torchvision's CIFAR with CIFAR-N's label files.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | mps")] = "auto",
) -> None:
    """Make one of the paper's tables."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    if table not in TABLES or scale not in SCALES:
        console.print(
            f"[bold red]✕[/bold red] Tables: {', '.join(map(str, TABLES))}; scales: {', '.join(SCALES)}."
        )
        raise typer.Exit(2)
    kind = TABLES[table]
    chosen = (
        tuple(datasets.split(","))
        if datasets
        else (("worst",) if scale == "small" and table in (1, 2, 10) else kind.datasets)
    )
    unknown = [name for name in chosen if name not in paper.DATASETS]
    if unknown:
        console.print(
            f"[bold red]✕[/bold red] No data set {unknown[0]!r}; choose from {', '.join(paper.DATASETS)}."
        )
        raise typer.Exit(2)
    if table in (6, 11) and chosen != kind.datasets:
        console.print(f"[bold red]✕[/bold red] Table {table} is on worst alone.")
        raise typer.Exit(2)
    until = time.monotonic() + 60 * minutes if minutes else float("inf")
    place = Place(scale, work, data_folder(), cifar, device)
    task = Task(Runs(place, console, until), chosen, range(seeds or (1 if scale == "small" else 3)))
    try:
        rows = kind.make(task)
    except Cancelled:
        console.print("Stopped. What is done is kept; the same command goes on from here.")
        raise typer.Exit(3) from None
    except SaltflatError as error:
        console.print(f"[bold red]✕[/bold red] {error}", highlight=False)
        raise typer.Exit(1) from None
    title = f"Table {table}: {kind.what}, scale `{scale}`"
    show(console, title, rows)
    told = findings(rows) if table in (1, 10) else []
    known = facts(task.runs, chosen, task.seeds, table)
    path = results / f"paper_table_{table}_{scale}"
    write(path, title, rows, [kind.note, *told], known)
    for line in told:
        console.print(line, highlight=False)
    console.print(f"Written to {path}.md and .json")


if __name__ == "__main__":
    typer.run(main)
