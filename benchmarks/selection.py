"""What `auto` keeps, beside each of its candidates alone, on data whose true labels are known.

`python benchmarks/selection.py --train flipped.parquet --val checked.parquet`: both as `saltflat run` takes
them, the training set with a column `true_label`. No choice sees it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

CANDIDATES = {
    "a head on features": {"budget": 0.0},
    "a small network": {"model": "small_cnn", "crossfit_rounds": 1, "size": 32},
    "the last block": {"model": "timm:tf_efficientnet_lite0", "train_part": "last:1", "crossfit_rounds": 1},
}
SCORE = "crossfit_loss"

console = Console()


def main(
    train: Annotated[str, typer.Option(help="Training set with a column true_label.")],
    val: Annotated[str, typer.Option(help="Trusted images.")],
    budget: Annotated[float, typer.Option(help="Minutes for auto.")] = 20.0,
    alone: Annotated[bool, typer.Option(help="Also each candidate alone.")] = True,
    seed: int = 0,
) -> None:
    """Print ROC AUC and AP of the cross-fitted loss, trusted accuracy, and what acceptance does."""
    import fvm_core as fvm
    from fvm_core.comparison.collect import against_truth, collect
    from fvm_core.comparison.reasons import classifier_reason

    shown = Table("way", "ROC AUC", "AP", "trusted right", "seconds", title=SCORE)
    ways = {**(CANDIDATES if alone else {}), "auto": {"budget": budget}}
    with tempfile.TemporaryDirectory() as folder:
        for number, (title, options) in enumerate(ways.items()):
            run = fvm.run(train, val, out=Path(folder) / str(number), seed=seed, embed=False, **options)
            found = next(one for one in collect(run) if one.about.name == SCORE)
            measured = against_truth(run, found)
            stages = run.info["stages"]
            selected = stages.get("select", {})
            right = next(
                (one["accuracy"] for one in selected.get("tried", []) if one["title"] == selected["kept"]),
                stages["crossfit"]["accuracy"],
            )
            shown.add_row(
                title,
                f"{100 * measured['roc_auc']:.2f}",
                f"{100 * measured['average_precision']:.2f}",
                f"{100 * right:.1f} %",
                f"{sum(stage.get('seconds', 0) for stage in stages.values()):.0f}",
            )
        console.print(shown)
        console.print(classifier_reason(run))
        console.print(accepted(run))


def accepted(run) -> str:
    """What accepting at 95 %, and above the 95th percentile, does to the wrong labels."""
    import numpy as np

    from fvm_core.acceptance.of_run import outlook
    from fvm_core.comparison.choice import read_scores
    from fvm_core.pipeline.prepare import open_data

    look, true = outlook(run), open_data(run.config)[0].true
    assert true is not None
    everybody = np.ones(len(true), dtype=bool)
    percentile = read_scores(run, ["percentile"])["percentile"].to_numpy()
    masks = {
        "95 % right": look.accept(0.95, everybody).accepted,
        "above the 95th percentile": look.differs & (percentile >= 95),
    }
    before, lines = int((look.given != true).sum()), []
    for words, mask in masks.items():
        after = int((np.where(mask, look.suggested, look.given) != true).sum())
        lines.append(f"{words}: {int(mask.sum())} accepted, wrong labels {before} → {after}")
    return "; ".join(lines)


if __name__ == "__main__":
    typer.run(main)
