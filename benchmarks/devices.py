"""The same model on CPU and GPU: do the scores agree, and how much faster is it?

Trains and tunes once on the CPU, then computes curvature, scores and relabelling on each device from the
same parameters. Prints one table: seconds per stage, the ratio, the largest relative difference of the
influence and its rank correlation.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

import fvm_core as fvm
from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder

STAGES = ("curvature", "score", "relabel")


def main(
    train: Annotated[str, typer.Option(help="Training data, as for `saltflat run`.")] = "digits",
    val: Annotated[str, typer.Option(help="Validation data.")] = "digits",
    label_column: Annotated[str | None, typer.Option()] = None,
    model: Annotated[str, typer.Option()] = "small_cnn",
    limit: Annotated[int | None, typer.Option(help="Training rows.")] = None,
    epochs: Annotated[int, typer.Option()] = 5,
    steps: Annotated[int, typer.Option()] = 100,
) -> None:
    """Compare CPU with every other device that is here."""
    devices = [name for name, there in _devices().items() if there]
    with tempfile.TemporaryDirectory() as folder:
        data = (
            fvm.load_dataset(train, label=label_column, limit=limit),
            fvm.load_dataset(val, split="val"),
        )
        options = {"model": model, "epochs": epochs, "steps": steps, "embed": False, "saved_steps": 2}
        base = fvm.run(*data, out=Path(folder) / "cpu", device="cpu", **options)
        runs = {"cpu": base}
        for device in devices:
            runs[device] = _repeated(base, Path(folder) / device, device)
        _print(runs)


def _devices() -> dict[str, bool]:
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def _repeated(base: RunFolder, out: Path, device: str) -> RunFolder:
    """A copy of a run whose curvature and everything after it is computed again on another device."""
    shutil.copytree(base.path, out)
    run = RunFolder(out)
    shutil.rmtree(out / "curvature")
    (out / "config.toml").write_text(replace(base.config, device=device).to_toml(), encoding="utf-8")
    stages = {name: state for name, state in run.info["stages"].items() if name not in (*STAGES, "embed")}
    run.update(stages=stages)
    start = time.perf_counter()
    execute(run)
    print(f"{device}: {time.perf_counter() - start:.1f} s")
    return run


def _print(runs: dict[str, RunFolder]) -> None:
    table = Table(title=f"torch {torch.__version__}")
    for title in ("device", *(f"{stage} s" for stage in STAGES), "largest rel. diff.", "rank corr."):
        table.add_column(title, justify="right")
    reference = runs["cpu"].scores["influence"].to_numpy()
    for device, run in runs.items():
        found = run.scores["influence"].to_numpy()
        seconds = [f"{run.info['stages'][stage]['seconds']:.2f}" for stage in STAGES]
        difference = np.nanmax(np.abs(found - reference) / reference)
        table.add_row(device, *seconds, f"{difference:.1e}", f"{spearmanr(found, reference).statistic:.6f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
