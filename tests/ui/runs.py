"""Runs for screen tests: real digits, scored by a small classifier, written through `RunFolder`."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
from sqlalchemy import insert

from fvm_core.comparison.results import Description, write_result
from fvm_core.config import RunConfig
from fvm_core.data import DatasetSpec, open_spec
from fvm_core.data.thumbnails import Thumbnails
from fvm_core.database import connect
from fvm_core.jobs.queue import jobs
from fvm_core.percentiles import percentiles
from fvm_core.review.summary import roc_and_pr_curves
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace

STEPS = np.array([0, 60, 120, 180, 240, 300])


def config(name: str = "digits-demo", limit: int | None = None) -> RunConfig:
    """The settings of a digits run."""
    return RunConfig(
        train_data=DatasetSpec("digits", limit=limit), val_data=DatasetSpec("digits", split="val"), name=name
    )


def new_run(workspace: Workspace, name: str = "digits-demo", limit: int | None = None) -> RunFolder:
    """A run that nobody has started."""
    return RunFolder.create(workspace.new_run_folder(name), config(name, limit))


def finished_run(
    workspace: Workspace,
    name: str = "digits-demo",
    limit: int | None = 300,
    truth: bool = True,
    rename: dict[str, str] | None = None,
    exact: int = 3,
    side: int | None = None,
) -> RunFolder:
    """A run with every file of the contract; `rename` gives classes other names, and of three alternatives
    the `exact` best have an influence, as where there are many classes. With `side` its images are that
    wide, in a folder, where those of the demo are as small as their thumbnails.
    """
    if side:
        run = RunFolder.create(workspace.new_run_folder(name), _photographs(workspace, name, limit, side))
    else:
        run = new_run(workspace, name, limit)
    spec = run.config.train_data
    train, val = open_spec(spec), open_spec(run.config.val_data)
    classes = [(rename or {}).get(label, label) for label in train.classes]
    Thumbnails.build(train, run.path / "thumbnails")
    run.update(samples=len(train), classes=classes, data=_data(train, val), problems=[])
    run.finish("prepare", 0.4)
    probabilities = _probabilities(train, val)
    influence = _influence(probabilities, train.given)
    _write_training(run)
    _write_tuning(run)
    run.finish("curvature", 0.8)
    _write_trajectory(run, influence)
    run.finish("score", 2.5)
    _write_scores(run, train, classes, probabilities[-1], influence[-1], truth, exact)
    run.log("relabel: done")
    run.finish("relabel", 0.7)
    run.finish("embed", 3.0)
    return run


def _data(train, val) -> dict:
    return {
        where: {"name": data.name, "samples": len(data), "fingerprint": data.fingerprint()}
        for where, data in (("train", train), ("val", val))
    }


def _photographs(workspace: Workspace, name: str, limit: int | None, side: int) -> RunConfig:
    settings = config(name, limit)
    digits = open_spec(settings.train_data)
    folder = workspace.path / f"images-{name}"
    for row, given in enumerate(digits.given):
        file = folder / digits.classes[given] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        digits.images.image(row).resize((side, side)).save(file)
    return replace(settings, train_data=DatasetSpec(str(folder)))


def with_planted(run: RunFolder) -> RunFolder:
    """The run with 40 planted samples, on which the loss of the tuned model is best, and with LiSSA."""
    wrong = np.arange(40) < 20
    table = {
        "row": np.arange(40),
        "id": [f"p{n}" for n in range(40)],
        "true_label": ["1"] * 40,
        "planted_label": np.where(wrong, "7", "1").tolist(),
        "wrong": wrong,
    }
    run.write_table("planted.parquet", pa.table(table))
    run.write_table("planted_suggestions.parquet", pa.table({"suggested_label": ["1"] * 40}))
    run.update(planted={"samples": 40, "wrong": 20, "in_training": True})
    scores = run.scores
    best = -np.arange(40.0)
    good = np.where(np.arange(40) % 4 == 0, 0.0, best)
    for order, (name, title, values, planted) in enumerate(
        [
            ("fvm", "FVM (SAM, γ = 0.05)", scores["influence"], good),
            ("tuned_loss", "Loss of the tuned model", scores["loss"], best),
            ("lissa", "LiSSA", -scores["influence"], np.zeros(40)),
        ]
    ):
        about = Description(
            name,
            title,
            "low" if name == "lissa" else "high",
            seconds=1.5,
            peak_memory_bytes=2**30,
            order=order,
            trace=[(10, 0.1), (20, 0.01)] if name == "lissa" else (),
            planted=planted.tolist(),
        )
        write_result(run.path, about, values.to_numpy())
    return run


def add_job(workspace: Workspace, run: RunFolder, state: str, **values: object) -> int:
    """A row of the queue in a given state, made on another machine so that nobody starts or ends it."""
    now = time.time()
    row = {
        "run_path": str(run.path.resolve()),
        "device": "cpu",
        "host": "elsewhere",
        "state": state,
        "created": now - 60,
        "started": now - 50,
        "heartbeat": now,
        **values,
    }
    with connect(workspace.database).begin() as connection:
        return connection.execute(insert(jobs).values(row)).inserted_primary_key[0]


def running_run(workspace: Workspace, name: str = "under-way") -> RunFolder:
    """A run that is tuning now."""
    run = new_run(workspace, name)
    run.update(samples=1200, classes=list("0123456789"), problems=[])
    run.finish("prepare", 0.4)
    _write_training(run)
    for point in _tuning_points()[:14]:
        run.add_history("tune", point)
    run.log("tune: started")
    add_job(workspace, run, "running", phase="tune", done=140, total=300, rate=20.0)
    return run


def failed_run(workspace: Workspace, name: str = "broken") -> RunFolder:
    """A run whose worker stopped with an error while training."""
    run = new_run(workspace, name)
    run.update(samples=1200, classes=list("0123456789"), problems=[])
    run.finish("prepare", 0.4)
    run.log("train: started")
    add_job(
        workspace,
        run,
        "failed",
        phase="train",
        error="weights.pt lacks 3 tensors: head.*; choose another file.",
    )
    return run


def _probabilities(train, val) -> np.ndarray:
    """(S, N, K): a linear classifier that knows the validation set better at every step."""
    from sklearn.linear_model import LogisticRegression

    pixels, clean = _pixels(train), _pixels(val)
    found = []
    for scale in (0.0003, 0.002, 0.01, 0.05, 0.2, 0.5):
        model = LogisticRegression(C=scale, max_iter=60).fit(clean, val.given)
        found.append(model.predict_proba(pixels))
    return np.stack(found)


def _pixels(dataset) -> np.ndarray:
    images = (dataset.images.image(i).convert("L").resize((8, 8)) for i in range(len(dataset)))
    return np.stack([np.asarray(image).ravel() / 255 for image in images])


def _influence(probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(S, N): squared length of the gradient at the logits, stretched over some decades."""
    residual = probabilities.copy()
    residual[:, np.arange(len(given)), given] -= 1
    scale = np.array([3.0, 6, 12, 20, 26, 30])[:, None]
    return (residual**2).sum(axis=2) ** 1.5 * scale + 1e-3


def _write_training(run: RunFolder) -> None:
    epochs = np.arange(1, 41)
    table = {
        "epoch": epochs,
        "loss": 2.1 * np.exp(-epochs / 18) + 0.25,
        "accuracy": 0.95 - 0.65 * np.exp(-epochs / 15),
        "val_loss": 1.9 * np.exp(-epochs / 9) + 0.45 + epochs * 0.004,
        "val_accuracy": 0.88 - 0.5 * np.exp(-epochs / 6),
        "lr": np.where(epochs < 20, 0.05, 0.005),
    }
    run.write_table("training.parquet", pa.table(table))
    for k in range(len(epochs)):
        run.add_history("train", {key: float(column[k]) for key, column in table.items()})
    run.finish("train", 14.2)


def _tuning_points() -> list[dict]:
    return [
        {
            "step": step,
            "val_loss": 0.55 * float(np.exp(-step / 70)) + 0.05,
            "sharpness": 0.3 * float(np.exp(-step / 110)) + 0.02,
            "val_accuracy": 0.99 - 0.15 * float(np.exp(-step / 60)),
        }
        for step in range(0, 301, 10)
    ]


def _write_tuning(run: RunFolder) -> None:
    points = _tuning_points()
    for point in points:
        run.add_history("tune", point)
    saved = [point for point in points if point["step"] in STEPS]
    run.write_table("tuning.parquet", pa.Table.from_pylist(saved))
    run.finish("tune", 6.1)


def _write_trajectory(run: RunFolder, influence: np.ndarray) -> None:
    values = pa.FixedSizeListArray.from_arrays(
        pa.array(influence.astype(np.float32).ravel()), influence.shape[1]
    )
    run.write_table("trajectory.parquet", pa.table({"step": STEPS, "influence": values}))


def _write_scores(run, train, classes, probabilities, influence, truth: bool, exact: int) -> None:
    rows = np.arange(len(train))
    best = np.argsort(-probabilities, axis=1)[:, :3]
    suspicion = influence
    columns = {
        "id": list(train.ids),
        "path": pa.nulls(len(train), pa.string()),
        "given_label": [classes[k] for k in train.given],
        "influence": influence,
        "suspicion": suspicion,
        "percentile": percentiles(suspicion),
        "suggested_label": [classes[k] for k in best[:, 0]],
        "suggested_influence": influence * 0.02,
        "alternatives": [
            [
                {
                    "label": classes[k],
                    "influence": float(influence[i] * (0.02 + 0.3 * n)) if n < exact else None,
                    "probability": float(probabilities[i, k]),
                }
                for n, k in enumerate(best[i])
            ]
            for i in rows
        ],
        "loss": -np.log(np.maximum(probabilities[rows, train.given], 1e-9)),
        "p_given": probabilities[rows, train.given],
        "p_suggested": probabilities[rows, best[:, 0]],
        "loss_before": -np.log(np.maximum(probabilities[rows, train.given], 1e-3)),
    }
    flagged = best[:, 0] != train.given
    threshold = float(np.sort(suspicion)[::-1][int(flagged.sum())])
    if truth:
        columns["true_label"] = [classes[k] for k in train.true]
        wrong = train.true != train.given
        curves = roc_and_pr_curves(suspicion, wrong)
        right = best[:, 0] == train.true
        metrics = {
            "roc_auc": curves.roc_auc,
            "average_precision": curves.average_precision,
            "relabel_accuracy_all": float(right.mean()),
            "relabel_accuracy_mislabelled": float(right[wrong].mean()),
            "baselines": {"loss of θ*": {"roc_auc": 0.812, "average_precision": 0.71}},
        }
        (run.path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    run.write_table("scores.parquet", pa.table(columns))
    run.update(
        summary={
            "threshold": threshold,
            "flagged": int((suspicion > threshold).sum()),
            "suggested_relabels": int(flagged.sum()),
            "estimated_wrong": float((1 - probabilities[rows, train.given]).sum()),
        }
    )
