"""The run folder: what a run leaves behind and every screen reads. Layout in the README."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from fvm_core.atomic import replacing, write_json, write_text
from fvm_core.config import RunConfig
from fvm_core.errors import DamagedFile, SaltflatError
from fvm_core.estimators import registry
from fvm_core.estimators.setting import Value
from fvm_core.runs import checksums, metrics_json, run_json
from fvm_core.runs.stage_files import STAGES, done_stages
from fvm_core.shapes import amount, fault, finite
from fvm_core.stored import count_rows, read_schema, read_table

__all__ = ["STAGES", "RunFolder"]

BACKED_UP = (run_json.FILE, "config.toml")
"""Files that no stage can make again: beside each stands a copy with `.bak` behind its name."""

_TUNED = {"step": amount, "val_loss": finite, "sharpness": (finite, type(None)), "val_accuracy": finite}
_POINTS = {
    "train": {
        "epoch": amount,
        "loss": finite,
        "accuracy": finite,
        "val_loss": finite,
        "val_accuracy": finite,
    },
    "tune": _TUNED,
    "saved": _TUNED,
    "compare": {"estimator": str, "title": str},
}
"""What a live point of each stage holds."""


class RunFolder:
    """A run on disk.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def create(
        cls, path: str | Path, config: RunConfig, *, estimate: dict[str, float] | None = None
    ) -> RunFolder:
        """Make the folder with `config.toml` and `run.json`, all or nothing.

        Args:
            path: of the folder.
            config: the settings.
            estimate: seconds by stage, from which the Run screen tells the time left.

        Raises:
            SaltflatError: it holds a run, or the place can't be written.
        """
        run = cls(path)
        run.refuse_used()
        config = config if config.name else config.named(run.path.resolve().name)
        info = {"id": uuid.uuid4().hex[:12], "name": config.name, "created": time.time(), "stages": {}}
        info |= {"estimate": estimate} if estimate else {}
        part = run.path.with_name(f".{run.path.name}.{os.getpid()}.new")
        try:
            part.mkdir(parents=True)
            write_text(part / "config.toml", config.to_toml())
            write_json(part / run_json.FILE, info)
            cls(part).back_up()
            if run.path.is_dir():  # somebody has made it already, for example to mount a disk there
                for file in part.iterdir():
                    file.replace(run.path / file.name)
            else:
                part.rename(run.path)
        except OSError as error:
            raise SaltflatError(
                f"The run folder {run.path} can't be made ({error.strerror or error}). "
                "Choose another place, or make room there."
            ) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return run

    def refuse_used(self) -> None:
        """Raise `SaltflatError` if no new run can be made here: there is one, or a file has the name."""
        left = next((name for name in BACKED_UP if (self.path / f"{name}.bak").is_file()), None)
        if self.exists() or left:
            raise SaltflatError(f"{self.path} already holds a run. Resume it, or choose another folder.")
        if self.path.exists() and not self.path.is_dir():
            raise SaltflatError(f"{self.path} is a file. Choose a folder for the run, or a new name.")

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run; raises `SaltflatError` if there is none."""
        run = cls(path)
        if not run.exists():
            if (run.path / f"{run_json.FILE}.bak").is_file():
                raise SaltflatError(
                    f"{run.path} has lost its run.json. `saltflat doctor {run.path} --redo` puts it back."
                )
            raise SaltflatError(f"{run.path} is not a run folder: it has no run.json.")
        return run

    def exists(self) -> bool:
        """Whether there is a run here."""
        return (self.path / run_json.FILE).is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who works on the run.

        Raises:
            SaltflatError: another process does, or the folder can't be written.
        """
        try:
            with FileLock(self.path / ".lock", timeout=0):
                yield
        except Timeout:
            raise SaltflatError(
                f"Another process is working on {self.path}. Wait for it or cancel it."
            ) from None

    # What is known about the run

    @property
    def info(self) -> dict:
        """`run.json`: id, name, created, versions, data, timings, peak memory, stages.

        Raises:
            DamagedFile: it can't be read, or lacks something.
        """
        return run_json.read(self.path / run_json.FILE)

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
        """The settings it runs with.

        A file that ends between two lines is good TOML, and what is missing would become defaults: its copy,
        which goes on, tells.

        Raises:
            SaltflatError: the file can't be read, or was cut off.
        """
        path = self.path / "config.toml"
        found = RunConfig.read(path)
        copy = path.with_name(f"{path.name}.bak")
        try:
            content, whole = path.read_bytes(), copy.read_bytes()
        except OSError:  # no copy yet
            return found
        if len(content) < len(whole) and whole.startswith(content):
            raise SaltflatError(f"{path}: it was cut off after {len(content):,} of {len(whole):,} bytes.")
        return found

    def update(self, **values: object) -> None:
        """Set top-level fields of `run.json`."""
        write_json(self.path / run_json.FILE, {**self.info, **values})

    def back_up(self) -> None:
        """Keep copies of `run.json` and `config.toml`, from which they can be put back."""
        for name in BACKED_UP:
            with replacing(self.path / f"{name}.bak") as temporary:
                shutil.copyfile(self.path / name, temporary)

    def finish(self, stage: str, seconds: float, **details: object) -> None:
        """Mark a stage as done; call it after its files are in place."""
        stages = {**self.info["stages"], stage: {"state": "done", "seconds": round(seconds, 3), **details}}
        self.update(stages=stages)
        self.back_up()

    def add_estimators(
        self, names: Sequence[str], *, figures: bool = False, settings: Mapping[str, Value] | None = None
    ) -> None:
        """Ask for further estimators: the compare stage is to be done again, for these alone.

        One that is there already is computed again where a setting of it is given another value. Others
        keep the values with which they were computed; their descriptions name these.

        Args:
            names: see `saltflat run --help`.
            figures: also ask for the scores over training and tuning.
            settings: of these estimators, as they declare them.

        Raises:
            SaltflatError: there is no such estimator or setting, or it can't be loaded; nothing is changed
                then.
        """
        config = self.config
        names = [registry.plain(name) for name in names]
        kinds = [registry.find(name) for name in names]
        given = registry.settings_of(kinds, settings or {})
        had = config.compare.settings
        changed = {
            one.name
            for kind in kinds
            for one in kind.settings
            if one.name in given and given[one.name] != had.get(one.name, one.default)
        }
        asked = tuple(dict.fromkeys([*config.compare.estimators, *names]))
        both = {
            "estimators": asked,
            "figures": figures or config.compare.figures,
            "settings": {**had, **given},
        }
        config = replace(config, compare=replace(config.compare, **both)).check()
        write_text(self.path / "config.toml", config.to_toml())
        for kind in kinds:
            if changed & {one.name for one in kind.settings}:
                self._forget_estimator(kind.name)
        self.reopen("compare")

    def _forget_estimator(self, name: str) -> None:
        """Remove its values, the description first, and what an attempt that was stopped has left."""
        files = [f"estimators/{name}{suffix}" for suffix in (".json", ".parquet")]
        checksums.forget(self.path, *files)
        for file in files:
            (self.path / file).unlink(missing_ok=True)
        shutil.rmtree(self.path / "work" / "compare" / name, ignore_errors=True)

    def reopen(self, *stages: str) -> None:
        """Have stages done again by the next `execute`."""
        self.update(stages={name: value for name, value in self.info["stages"].items() if name not in stages})

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
        return done_stages(self.info["stages"]) == list(STAGES)

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

    def unscored(self) -> pd.Series:
        """Why samples have no percentile, by row number; empty where all have one, and for older runs.

        Raises:
            DamagedFile: the file can't be read.
        """
        if not (self.path / "unscored.parquet").exists():
            return pd.Series([], index=pd.Index([], dtype=np.int64), dtype=object)
        table, count = self._frame("unscored.parquet"), len(self.score_columns(["id"]))
        fits = list(table.columns) == ["row", "reason"] and table["row"].dtype == np.int64
        if not fits or not table["row"].between(0, count - 1).all():
            raise DamagedFile(
                self.path / "unscored.parquet", "it doesn't name rows of scores.parquet", self._redo
            )
        return table.set_index("row")["reason"]

    def has_column(self, name: str) -> bool:
        """Whether `scores.parquet` has a column; raises `DamagedFile`."""
        return name in read_schema(self.path / "scores.parquet", self._redo).names

    def score_columns(self, columns: list[str]) -> pa.Table:
        """Columns of `scores.parquet` as they are stored; raises `DamagedFile`."""
        return self._table("scores.parquet", columns)

    def figure(self, name: str) -> pd.DataFrame | None:
        """A table of `figures/`, None where it was not computed; raises `DamagedFile`."""
        return self._frame(f"figures/{name}") if (self.path / "figures" / name).exists() else None

    def trajectory(self) -> tuple[np.ndarray, np.ndarray]:
        """Saved steps (S,) and the influence (S, N) of every training sample at each."""
        return self._per_step("trajectory.parquet")

    def planted_trajectory(self) -> np.ndarray | None:
        """The influence (S, Q) of the planted samples at each saved step, None where there are none."""
        name = "planted_trajectory.parquet"
        return self._per_step(name)[1] if (self.path / name).exists() else None

    def planted_wrong(self) -> np.ndarray:
        """(Q,) which planted samples have a wrong label; empty where none are planted."""
        if not (self.path / "planted.parquet").exists():
            return np.zeros(0, dtype=bool)
        return self._frame("planted.parquet", ["wrong"])["wrong"].to_numpy()

    def planted(self) -> pd.DataFrame | None:
        """`id, true_label, planted_label, wrong` of the Q planted samples, None where there are none."""
        if not (self.path / "planted.parquet").exists():
            return None
        return self._frame("planted.parquet", ["id", "true_label", "planted_label", "wrong"])

    def planted_suggestions(self) -> pd.Series | None:
        """(Q,) the labels that the influence suggests for the planted samples.

        None where none are planted, and in runs of older versions.

        Raises:
            DamagedFile: the file can't be read, or is not of this run's planted samples.
        """
        name = "planted_suggestions.parquet"
        if not (self.path / name).exists():
            return None
        found = self._frame(name, ["suggested_label"])["suggested_label"]
        if len(found) != len(self.planted_wrong()):
            raise DamagedFile(self.path / name, "it is not of the run's planted samples", self._redo)
        return found

    def crossfit_probabilities(self) -> np.ndarray | None:
        """(N + Q, K) float32 probabilities of models that have not seen the sample's label, memory-mapped.

        Rows of the training samples, then of the planted ones; NaN where a sample was not usable. None
        where the run was not cross-fitted.

        Raises:
            DamagedFile: the file can't be read, or is not of this run's samples and classes.
        """
        return self._probabilities("probabilities.npy", self._count() + len(self.planted_wrong()))

    def crossfit_trusted(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The same of M' trusted images by models that did not see them: (M', K), and class indices (M',).

        None where the run was not cross-fitted.

        Raises:
            DamagedFile: a file can't be read, or the two don't belong together.
        """
        if not (self.path / "crossfit" / "trusted.npy").exists():
            return None
        table = self._frame("crossfit/trusted.parquet", ["row", "label"])
        found = self._probabilities("trusted.npy", len(table))
        labels = table["label"].to_numpy()
        whole = np.issubdtype(labels.dtype, np.integer)
        if not whole or (len(labels) and not 0 <= labels.min() <= labels.max() < found.shape[1]):
            path = self.path / "crossfit" / "trusted.parquet"
            raise DamagedFile(path, "its labels are not the run's classes", self._redo)
        return found, labels.astype(np.int64)

    def _count(self) -> int:
        return count_rows(self.path / "scores.parquet", self._redo)

    def _probabilities(self, name: str, rows: int) -> np.ndarray | None:
        path = self.path / "crossfit" / name
        if not path.exists():
            return None
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DamagedFile(path, f"it can't be read ({error})", self._redo) from None
        wanted = (rows, len(self.info.get("classes", [])))
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != wanted:
            reason = f"it doesn't hold {wanted[0]:,} × {wanted[1]:,} float32 numbers"
            raise DamagedFile(path, reason, self._redo)
        return found

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
        """`metrics.json`, or None where true labels are not known; raises `DamagedFile`."""
        path = self.path / metrics_json.FILE
        return metrics_json.read(path) if path.exists() else None

    def history(self, stage: str) -> list[dict]:
        """Live points of `train` (one an epoch) or `tune` (one every few steps), also while running.

        Lines that are no points of that stage are left out, also the one that is being written just now.
        """
        path = self.path / "live" / f"{stage}.jsonl"
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        points = []
        for line in lines:
            try:
                point = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if fault(point, _POINTS[stage]) is None:
                points.append(point)
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
        """The last lines of `log.txt`, empty where there is none."""
        try:
            text = (self.path / "log.txt").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-last:])

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
        try:
            values = table.column("influence").combine_chunks()
            steps = table.column("step").to_numpy()
            return steps, values.flatten().to_numpy(zero_copy_only=False).reshape(len(steps), -1)
        except (pa.ArrowException, KeyError, ValueError, AttributeError) as error:
            raise DamagedFile(
                self.path / name, f"its columns are not as they should be ({error})", self._redo
            ) from None

    def _table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        path = self.path / name
        if not path.exists():
            raise SaltflatError(f"{path} is not there yet: the run has not come that far. Resume it first.")
        return read_table(path, self._redo, columns)

    def _frame(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        return self._table(name, columns).to_pandas()

    @property
    def _redo(self) -> str:
        return f"Run `saltflat doctor {self.path} --redo` to have it made again."
