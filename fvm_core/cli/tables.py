"""What the commands print."""

from __future__ import annotations

from rich.table import Table

from fvm_core.pipeline.run_folder import RunFolder

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
