"""A run with every file that a run can have, and the ways in which each of them gets damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fvm_core.comparison.choice import choose
from fvm_core.runs import checksums
from fvm_core.runs.run_folder import STAGES, RunFolder
from fvm_core.workspace import Workspace
from tests.ui import runs


def whole_run(workspace: Workspace, name: str = "victim") -> RunFolder:
    """A finished run with a map, problems, planted samples, further scores, a choice and checksums."""
    run = runs.with_planted(runs.finished_run(workspace, name, limit=60))
    count = run.info["samples"]
    run.write_table("embedding.parquet", pa.table({"x": np.zeros(count), "y": np.arange(count) / count}))
    problem = {"kind": "x", "message": "One row.", "rows": [0], "where": "train", "severity": "warning"}
    (run.path / "problems.json").write_text(json.dumps([problem]))
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / "theta_star.safetensors").write_bytes(os.urandom(500))
    choose(run, "tuned_loss")
    for stage in STAGES:
        if not run.done(stage):
            run.finish(stage, 0.1)
        checksums.note(run.path, stage)
    run.back_up()
    return run


RESULTS = (
    "scores.parquet",
    "trajectory.parquet",
    "tuning.parquet",
    "training.parquet",
    "embedding.parquet",
    "planted.parquet",
    "planted_suggestions.parquet",
    "metrics.json",
    "problems.json",
    "thumbnails/thumbnails.bin",
    "thumbnails/offsets.npy",
    "thumbnails/hashes.npy",
    "estimators/fvm.json",
    "estimators/fvm.parquet",
    "estimators/lissa.json",
    "estimators/lissa.parquet",
    "checkpoints/theta_star.safetensors",
)
"""Written by stages, so a missing one is noticed by its checksum."""
OTHERS = ("run.json", "config.toml", "choice.json", "checksums.json")
LIVE = ("live/train.jsonl", "live/tune.jsonl", "log.txt")
"""They tell the progress and nothing else: what is left of them is shown."""


def _truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _wrong_type(path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"something": ["else"]}), path)
    elif path.suffix == ".npy":
        np.save(path, np.array(["a", "b"]))
    elif path.suffix == ".toml":
        path.write_text('name = 5\ntrain_data = "here"\n')
    elif path.suffix == ".jsonl":
        path.write_text('[1, 2]\n"text"\n{"epoch": "one", "step": null}\nnull\n')
    else:
        path.write_text("[1, 2, 3]")


KINDS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": _truncated,
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 8),
    "wrong type": _wrong_type,
    "missing": lambda path: path.unlink(),
    "a folder": _folder,
}


def damage(run: RunFolder, file: str, kind: str) -> None:
    """Damage one file of a run."""
    KINDS[kind](run.path / file)


def copied(run: RunFolder, workspace: Workspace, name: str) -> RunFolder:
    """The run under another name in a workspace."""
    return RunFolder(shutil.copytree(run.path, workspace.runs / name))
