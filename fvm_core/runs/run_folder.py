"""The run folder: what a run leaves behind and every screen reads. Layout in the README."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fvm_core.atomic import replacing, write_json, write_text
from fvm_core.config import RunConfig
from fvm_core.errors import SaltflatError

STAGES = ("prepare", "train", "tune", "curvature", "score", "relabel", "compare", "embed")
"""The stages in their order; each is either done or not, nothing in between is read by others."""


class RunFolder:
    """A run on disk.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, config: RunConfig) -> RunFolder:
        """Make the folder, `config.toml` and `run.json`; raises `SaltflatError` if it holds a run."""
        run = cls(path)
        if run.exists():
            raise SaltflatError(f"{run.path} already holds a run. Resume it, or choose another folder.")
        run.path.mkdir(parents=True, exist_ok=True)
        config = config if config.name else config.named(run.path.resolve().name)
        write_text(run.path / "config.toml", config.to_toml())
        info = {"id": uuid.uuid4().hex[:12], "name": config.name, "created": time.time(), "stages": {}}
        write_json(run.path / "run.json", info)
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run; raises `SaltflatError` if there is none."""
        run = cls(path)
        if not run.exists():
            raise SaltflatError(f"{run.path} is not a run folder: it has no run.json.")
        return run

    def exists(self) -> bool:
        """Whether there is a run here."""
        return (self.path / "run.json").is_file()

    # What is known about the run

    @property
    def info(self) -> dict:
        """`run.json`: id, name, created, versions, data, timings, peak memory, stages."""
        try:
            return json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError) as error:
            raise SaltflatError(f"{self.path / 'run.json'} can't be read: {error}.") from None

    @property
    def id(self) -> str:
        """Names the run in the decisions, also after the folder was moved."""
        return self.info["id"]

    @property
    def name(self) -> str:
        """The name for people."""
        return self.info["name"]

    @property
    def config(self) -> RunConfig:
        """The settings it runs with."""
        return RunConfig.read(self.path / "config.toml")

    def update(self, **values: object) -> None:
        """Set top-level fields of `run.json`."""
        write_json(self.path / "run.json", {**self.info, **values})

    def finish(self, stage: str, seconds: float, **details: object) -> None:
        """Mark a stage as done; call it after its files are in place."""
        stages = {**self.info["stages"], stage: {"state": "done", "seconds": round(seconds, 3), **details}}
        self.update(stages=stages)

    def add_estimators(self, names: Sequence[str], *, figures: bool = False) -> None:
        """Ask for further estimators: the compare stage is to be done again, for these alone.

        Args:
            names: see `saltflat run --help`.
            figures: also ask for the scores over training and tuning.

        Raises:
            SaltflatError: there is no such estimator.
        """
        config = self.config
        asked = tuple(dict.fromkeys([*config.compare.estimators, *names]))
        both = {"estimators": asked, "figures": figures or config.compare.figures}
        config = replace(config, compare=replace(config.compare, **both)).check()
        write_text(self.path / "config.toml", config.to_toml())
        self.reopen("compare")

    def reopen(self, stage: str) -> None:
        """Have a stage done again by the next `execute`."""
        self.update(stages={name: value for name, value in self.info["stages"].items() if name != stage})

    def spent(self, stage: str) -> float:
        """Seconds that all attempts at a stage have taken so far."""
        return self.info.get("spent", {}).get(stage, 0.0)

    def spend(self, stage: str, seconds: float) -> None:
        """Note the seconds of all attempts at a stage."""
        self.update(spent={**self.info.get("spent", {}), stage: round(seconds, 3)})

    def done(self, stage: str) -> bool:
        """Whether a stage is finished (or was left out with a reason)."""
        return self.info["stages"].get(stage, {}).get("state") in {"done", "skipped"}

    @property
    def finished(self) -> bool:
        """Whether every stage is finished."""
        return all(self.done(stage) for stage in STAGES)

    @property
    def has_scores(self) -> bool:
        """Whether there is something to review."""
        return self.done("relabel")

    # Results

    @property
    def scores(self) -> pd.DataFrame:
        """All columns of `read_scores`."""
        return self.read_scores()

    def read_scores(self, columns: list[str] | None = None) -> pd.DataFrame:
        """`scores.parquet`, one row a training sample in the input's order.

        Columns: `id, path, given_label, influence, suspicion, percentile, suggested_label,
        suggested_influence, alternatives, loss, p_given, p_suggested, loss_before` and `true_label`
        where known. `influence = gᵀ(F + damping)⁻¹g ≥ 0` at the last saved step, large = suspicious;
        `percentile` is that of the suspicion, 0 to 100; `loss_before` is the loss under θ*. Rows that
        could not be scored hold NaN.
        """
        return self._frame("scores.parquet", columns)

    def trajectory(self) -> tuple[np.ndarray, np.ndarray]:
        """Saved steps (S,) and the influence (S, N) of every training sample at each."""
        return self._per_step("trajectory.parquet")

    def planted_trajectory(self) -> np.ndarray | None:
        """The influence (S, Q) of the planted samples at each saved step, None where there are none."""
        name = "planted_trajectory.parquet"
        return self._per_step(name)[1] if (self.path / name).exists() else None

    def tuning(self) -> pd.DataFrame:
        """`tuning.parquet`: `step, val_loss, sharpness, val_accuracy` at each saved step."""
        return self._frame("tuning.parquet")

    def training(self) -> pd.DataFrame:
        """`training.parquet`: `epoch, loss, accuracy, val_loss, val_accuracy, lr`; empty without training."""
        if not (self.path / "training.parquet").exists():
            return pd.DataFrame(columns=["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr"])
        return self._frame("training.parquet")

    def embedding(self) -> np.ndarray | None:
        """(N, 2) map coordinates, NaN for rows without an image, or None if the stage was left out."""
        if not (self.path / "embedding.parquet").exists():
            return None
        return self._frame("embedding.parquet")[["x", "y"]].to_numpy()

    @property
    def metrics(self) -> dict | None:
        """`metrics.json`, or None where true labels are not known."""
        path = self.path / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def history(self, stage: str) -> list[dict]:
        """Live points of `train` (one an epoch) or `tune` (one every few steps), also while running."""
        path = self.path / "live" / f"{stage}.jsonl"
        if not path.exists():
            return []
        points = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                points.append(json.loads(line))
            except json.JSONDecodeError:
                break  # the line that is being written just now
        return points

    def restart_history(self, stage: str, points: list[dict]) -> None:
        """Set the live points to what a resumed stage has already done."""
        (self.path / "live").mkdir(exist_ok=True)
        write_text(self.path / "live" / f"{stage}.jsonl", "".join(json.dumps(p) + "\n" for p in points))

    def add_history(self, stage: str, point: dict) -> None:
        """Append one live point."""
        (self.path / "live").mkdir(exist_ok=True)
        with (self.path / "live" / f"{stage}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")

    def log_text(self, last: int = 200) -> str:
        """The last lines of `log.txt`."""
        path = self.path / "log.txt"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-last:])

    def log(self, text: str) -> None:
        """Add a line with the time to `log.txt`."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{stamp}  {text}\n")

    @property
    def checkpoints(self) -> Path:
        """Folder of `theta_star.safetensors` and `step_000123.safetensors`."""
        return self.path / "checkpoints"

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a Parquet file atomically."""
        with replacing(self.path / name) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def _per_step(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        table = self._table(name)
        values = table.column("influence").combine_chunks()
        steps = table.column("step").to_numpy()
        return steps, values.flatten().to_numpy(zero_copy_only=False).reshape(len(steps), -1)

    def _table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        path = self.path / name
        if not path.exists():
            raise SaltflatError(f"{path} is not there yet: the run has not come that far. Resume it first.")
        try:
            return pq.read_table(path, columns=columns)
        except pa.ArrowInvalid as error:
            raise SaltflatError(f"{path} is damaged: {error}.") from None

    def _frame(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        return self._table(name, columns).to_pandas()
