"""What the commands print."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from fvm_core.comparison.choice import choice_of, scores_of
from fvm_core.comparison.collect import against_truth, collect, planted_wrong
from fvm_core.comparison.evidence import NOTHING, recommend, roc_auc_interval
from fvm_core.runs.run_folder import RunFolder
from fvm_core.wording import size

_COLUMNS = ("roc_auc", "average_precision", "relabel_accuracy_all", "relabel_accuracy_mislabelled")
_TITLES = ("ROC AUC", "AP", "relabel\nacc., all", "relabel acc.,\nmislabelled")


def metrics_table(title: str, rows: list[tuple[str, dict]]) -> Table:
    """Detection and relabelling figures in percent, one method a row; a dash where there is none."""
    table = Table(title=title, title_justify="left")
    table.add_column("score, large = suspicious", no_wrap=True)
    for name in _TITLES:
        table.add_column(name, justify="right")
    for name, values in rows:
        cells = [f"{100 * values[key]:.2f} %" if key in values else "–" for key in _COLUMNS]
        table.add_row(name, *cells)
    return table


def comparison_table(run: RunFolder) -> Iterator[Table | str]:
    """All scores of a run with their evidence, then which one the review uses and which is recommended."""
    scores, wrong = collect(run), planted_wrong(run)
    table = Table(title=f"{run.name}: scores side by side", title_justify="left")
    table.add_column("score")
    table.add_column("suspicious")
    measured = [against_truth(run, one) for one in scores]
    titles = _TITLES if any(measured) else ()
    for title in titles:
        table.add_column(title, justify="right")
    if len(wrong):
        table.add_column("ROC AUC,\nplanted", justify="right")
        table.add_column("95 %", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("peak\nmemory", justify="right")
    for one, found in zip(scores, measured, strict=True):
        cells = [f"{100 * found[key]:.2f} %" if key in found else "–" for key in _COLUMNS] if titles else []
        if len(wrong):
            area = roc_auc_interval(one.planted, wrong) if len(one.planted) == len(wrong) else NOTHING
            cells += [f"{area.value:.3f}", f"{area.low:.3f} to {area.high:.3f}"] if area.known else ["–", "–"]
        about = one.about
        cells.append("–" if about.seconds is None else f"{about.seconds:.1f}")
        cells.append("–" if about.peak_memory_bytes is None else size(about.peak_memory_bytes))
        table.add_row(f"{about.title} ({about.name})", about.suspicious, *cells)
    yield table
    for name, reason in run.info["stages"].get("compare", {}).get("failed", {}).items():
        yield f"{name} could not be computed: {reason}"
    found = choice_of(run)
    yield found.reason or f"The review ranks by {scores_of(run)[found.name]} ({found.name})."
    yield recommend(scores, wrong, run.info.get("planted", {}).get("in_training", True)).reason


def method_name(run: RunFolder) -> str:
    """`VM`, or `FVM (SAM, γ = 0.05)`."""
    tune = run.config.tune
    return "VM (SGD)" if tune.solver == "sgd" else f"FVM ({tune.solver.upper()}, γ = {tune.gamma:g})"


def run_rows(run: RunFolder, metrics: dict) -> list[tuple[str, dict]]:
    """Rows of `metrics_table` for one run: its baselines, then its own score."""
    found = metrics["baselines"]
    name = method_name(run)
    return [
        ("loss, trained model θ*", found["loss_trained"]),
        ("influence, trained model θ*", found["influence_trained"]),
        (f"loss, {name}", found["loss_tuned"]),
        (f"influence, {name}", metrics),
    ]
