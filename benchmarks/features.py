"""Wrong labels of CIFAR-10N found on features of a pretrained backbone: how well, and how fast.

Runs go through the pipeline as anybody's do, with the settings that `auto` makes; no choice sees a true
label. The baselines get the same features. A call that was stopped is gone on with by the same command:
features stay in the workspace of --work, and a finished run is read.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from paper_runs import data_folder
from rich.console import Console
from rich.table import Table

PAPER = {"worse": (96.46, 94.97), "aggre": (96.14, 79.53), "random1": (96.63, 88.82)}
"""FVM (SAM) with a ResNet-34 and 10,000 trusted images, ROC AUC and AP (tables 1, 10)."""
COLUMNS = {"worse": "worse_label", "aggre": "aggre_label", "random1": "random_label1"}
SHOWN = {
    "crossfit_wrong": "probability of a wrong label, cross-fitted (default)",
    "crossfit_loss": "loss, cross-fitted",
    "fvm": "the paper's recipe on the features: FVM influence",
    "tuned_loss": "the same model's loss",
}
CLEANLAB = {
    "cleanlab": "cleanlab, out-of-fold LogisticRegression",
    "cleanlab_best": "the same, C chosen out-of-fold on the given labels",
}
STEPS = ("train", "tune", "curvature", "score", "relabel", "crossfit", "compare")

console = Console()


def main(
    labels: Annotated[list[str], typer.Option(help=", ".join(COLUMNS))] = ["worse", "aggre", "random1"],  # noqa: B006
    trusted: Annotated[list[int], typer.Option(help="Trusted images, of the test set.")] = [200, 1000, 10000],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="Draws of trusted images, and seeds.")] = 3,
    limit: Annotated[int, typer.Option(help="Training images; 0 takes all 50,000.")] = 0,
    rate: Annotated[
        bool, typer.Option(help="Also time the feature stage against a bare forward loop.")
    ] = True,
    baselines: Annotated[bool, typer.Option(help="Also cleanlab, on the same features.")] = True,
    work: Annotated[Path, typer.Option(help="Where runs and features are kept.")] = Path(
        "benchmarks/work/features"
    ),
    out: Annotated[Path | None, typer.Option(help="Also write the tables there, as Markdown.")] = None,
) -> None:
    """Print the tables."""
    work = work.resolve()
    os.environ["SALTFLAT_HOME"] = str(work / "home")
    texts = [rate_text()] if rate else []
    found = []
    for name in labels:
        for count in trusted:
            for seed in range(seeds):
                found.append(
                    {"labels": name, "trusted": count, "seed": seed, **one(work, name, count, seed, limit)}
                )
                console.print(found[-1])
        if baselines:
            found.append({"labels": name, "trusted": 0, "seed": 0, **cleanlab(work, name, limit)})
            console.print(found[-1])
    rows = table(found, labels, trusted)
    shown = Table(*rows[0], title="ROC AUC / AP of wrong labels, %")
    for row in rows[1:]:
        shown.add_row(*row)
    console.print(shown)
    for text in texts:
        console.print(text)
    if out is not None:
        lines = [" | ".join(row) for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])]
        out.write_text("\n".join([*(f"| {line} |" for line in lines), "", *texts, ""]), encoding="utf-8")


def one(work: Path, name: str, count: int, seed: int, limit: int) -> dict:
    """ROC AUC and AP of the scores of one run, the one that it chose itself, and seconds and memory."""
    import fvm_core as fvm
    from fvm_core.comparison.choice import choice_of
    from fvm_core.comparison.collect import against_truth, collect
    from fvm_core.runs.run_folder import RunFolder

    path = work / "runs" / f"{name}-{limit or 50000}-{count}-{seed}"
    if not (path / "seconds.json").exists():
        begun = time.monotonic()
        folder = data_folder()
        fvm.run(
            folder / "cifar10n_train.parquet",
            fvm.load_dataset(folder / "cifar10_test.parquet", label="label", limit=count, seed=seed),
            label_column=COLUMNS[name],
            true_label_column="clean_label",
            out=path,
            resume=RunFolder(path).exists(),
            limit=limit or None,
            seed=seed,
            embed=False,
        )
        (path / "seconds.json").write_text(json.dumps(time.monotonic() - begun), encoding="utf-8")
    run = RunFolder.open(path)
    scores = {score.about.name: against_truth(run, score) for score in collect(run)}
    stages = {stage: entry.get("seconds", 0.0) for stage, entry in run.info["stages"].items()}
    details = run.info["stages"]["crossfit"]
    return {
        **{key: measured(scores[key]) for key in SHOWN},
        "chosen": choice_of(run).name,
        "relabel": round(100 * scores["crossfit_wrong"]["relabel_accuracy_mislabelled"], 1),
        "round": details["round"],
        "proximity": details["proximity"],
        "trusted accuracy": round(100 * details["accuracy"], 1),
        "embedded": run.info["stages"]["features"]["computed"],
        "features s": round(stages["features"], 1),
        "after s": round(sum(stages[stage] for stage in STEPS), 1),
        "whole s": round(json.loads((path / "seconds.json").read_text(encoding="utf-8")), 1),
        "memory GiB": round(run.info["peak_memory_bytes"] / 2**30, 2),
    }


def measured(found: dict) -> tuple[float, float]:
    """In percent, to two decimals."""
    return round(100 * found["roc_auc"], 2), round(100 * found["average_precision"], 2)


def cleanlab(work: Path, name: str, limit: int) -> dict:
    """Self-confidence of scikit-learn's logistic regression, five folds, on standardised features.

    C is 1, its default; and that of three which fits the given labels out-of-fold best, as somebody without
    trusted images would choose it.
    """
    from cleanlab.rank import get_label_quality_scores
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from fvm_core.metrics import detection

    place = work / f"cleanlab-{name}-{limit or 50000}.json"
    if not place.exists():
        features, given, true = stored(limit, name)
        losses, found = {}, {}
        for c in (1.0, 1e-2, 1e-4):
            begun = time.monotonic()
            head = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300))
            p = cross_val_predict(head, features, given, cv=5, method="predict_proba")
            quality = get_label_quality_scores(given, p, method="self_confidence")
            losses[c], found[c] = log_loss(given, p), measured(detection(-quality, given != true))
            console.print(f"cleanlab {name} C={c:g}: {found[c]}, {time.monotonic() - begun:.0f} s")
        best = min(losses, key=lambda c: losses[c])
        result = {"cleanlab": found[1.0], "cleanlab_best": found[best], "C": best}
        place.write_text(json.dumps(result), encoding="utf-8")
    return json.loads(place.read_text(encoding="utf-8"))


def stored(limit: int, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of the training images as the runs have them, given and true labels."""
    import fvm_core as fvm

    data = fvm.load_dataset(
        data_folder() / "cifar10n_train.parquet",
        label=COLUMNS[name],
        true_label="clean_label",
        limit=limit or None,
    )
    for folder in (Path(os.environ["SALTFLAT_HOME"]) / "cache" / "features").glob("*"):
        stamps = folder / "stamps.json"
        if stamps.exists() and data.images.stamp() in json.loads(stamps.read_text(encoding="utf-8")):
            values = np.load(folder / "features.npy", mmap_mode="r")
            return np.asarray(values, dtype=np.float32), data.given, data.true
    raise SystemExit("The features are not there; run it without --no-baselines after the runs.")


def rate_text(images: int = 3000) -> str:
    """Images a second of the feature stage, beside a bare forward loop at its batch size and threads."""
    import tempfile

    import fvm_core as fvm
    from fvm_core.config import ModelConfig
    from fvm_core.features.extract import BATCH, View, extract
    from fvm_core.features.store import FeatureStore
    from fvm_core.pipeline.backbone import body_of
    from fvm_core.pipeline.defaults import DEFAULT_BACKBONE

    settings = ModelConfig(name=DEFAULT_BACKBONE, pretrained=True, train_part="head", fit="crop")
    backbone = body_of(settings, 160)
    body = backbone.body.to(memory_format=torch.channels_last)
    batch = torch.randn(BATCH["cpu"], 3, 160, 160).contiguous(memory_format=torch.channels_last)
    data = fvm.load_dataset(data_folder() / "cifar10n_train.parquet", label="worse_label", limit=images)
    view = View(160, 1.0, "bicubic", "crop", (0.5,) * 3, (0.5,) * 3)
    ratios, bare, stage = [], 0.0, 0.0
    for _ in range(3):
        begun = time.perf_counter()
        with torch.inference_mode():
            for _number in range(-(-images // len(batch))):
                body(batch)
        bare = images / (time.perf_counter() - begun)
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(Path(folder), {}, images, backbone.shape)
            begun = time.perf_counter()
            extract(
                data.images, np.ones(images, dtype=bool), body, view, store, "cpu", lambda done, total: None
            )
            stage = images / (time.perf_counter() - begun)
        ratios.append(stage / bare)
    return (
        f"Feature stage against a bare forward loop in batches of {len(batch)} on "
        f"{torch.get_num_threads()} threads: {np.median(ratios):.2f} (last: {stage:.0f} and {bare:.0f} "
        "images a second)."
    )


def table(found: list[dict], labels: list[str], trusted: list[int]) -> list[list[str]]:
    """Head and rows: means over seeds, ROC AUC / AP."""
    rows = [["score", *(f"{name}, {count:,}" for name in labels for count in trusted)]]
    for key, words in {**CLEANLAB, **SHOWN}.items():
        cells = []
        for name in labels:
            for count in trusted:
                wanted = 0 if key in CLEANLAB else count
                own = [
                    one[key]
                    for one in found
                    if (one["labels"], one["trusted"]) == (name, wanted) and key in one
                ]
                cells.append(" / ".join(f"{value:.2f}" for value in np.mean(own, axis=0)) if own else "–")
        rows.append([words, *cells])
    paper = [
        f"{PAPER[name][0]} / {PAPER[name][1]}" if count == 10000 else "–"
        for name in labels
        for count in trusted
    ]
    rows.append(["the paper's FVM, ResNet-34", *paper])
    return rows


if __name__ == "__main__":
    typer.run(main)
