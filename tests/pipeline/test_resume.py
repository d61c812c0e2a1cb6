"""A run that was interrupted anywhere gives the same files as one that was not."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from safetensors.numpy import load_file

from fvm_core.chunks import ChunkedArrays
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder
from tests.cases import tiny_config

TABLES = ("scores.parquet", "trajectory.parquet", "tuning.parquet", "training.parquet")


class StopsAt:
    """Raises `Cancelled` at the n-th progress report of a stage."""

    def __init__(self, stage, count):
        self.stage, self.left = stage, count

    def update(self, stage, done, total):
        if stage == self.stage:
            self.left -= 1
            if self.left == 0:
                raise Cancelled

    def log(self, text):
        pass


def same_results(one: RunFolder, other: RunFolder) -> None:
    for name in TABLES:
        assert pq.read_table(one.path / name).equals(pq.read_table(other.path / name)), name
    names = sorted(path.name for path in one.checkpoints.iterdir())
    assert names == sorted(path.name for path in other.checkpoints.iterdir())
    for folder in ("checkpoints", "curvature"):
        for path in (one.path / folder).iterdir():
            ours, theirs = load_file(path), load_file(other.path / folder / path.name)
            assert all(np.array_equal(ours[key], theirs[key]) for key in ours), path.name
    assert one.metrics == other.metrics
    assert one.history("train") == other.history("train")
    assert one.history("tune") == other.history("tune")


@pytest.mark.fault("a run is stopped in a stage and resumed (every stage)")
@pytest.mark.parametrize(
    ("stage", "count"),
    [
        ("prepare", 3),
        ("train", 2),
        ("train", 80),
        ("tune", 10),
        ("tune", 50),
        ("curvature", 2),
        ("score", 3),
        ("relabel", 2),
        ("embed", 1),
    ],
)
def test_cancelled_and_resumed(finished_run, tmp_path, stage, count):
    run = RunFolder.create(tmp_path / "run", tiny_config())
    with pytest.raises(Cancelled):
        execute(run, StopsAt(stage, count))
    assert not run.done(stage)
    assert not run.finished
    execute(RunFolder.open(run.path))
    assert run.finished
    same_results(run, finished_run)


@pytest.mark.fault("a run is stopped again and again")
def test_interrupted_again_and_again(finished_run, tmp_path):
    run = RunFolder.create(tmp_path / "run", tiny_config())
    for stage, count in (("train", 2), ("tune", 3), ("score", 4), ("relabel", 2)):
        with pytest.raises(Cancelled):
            execute(run, StopsAt(stage, count))
    before = run.spent("relabel")
    execute(run)
    same_results(run, finished_run)
    assert run.info["stages"]["relabel"]["seconds"] > before > 0


def test_finished_stages_are_not_done_again(finished_run, tmp_path):
    run = RunFolder.create(tmp_path / "run", tiny_config())
    with pytest.raises(Cancelled):
        execute(run, StopsAt("score", 2))
    before = {path: path.stat().st_mtime_ns for path in run.checkpoints.iterdir()}
    execute(run)
    assert {path: path.stat().st_mtime_ns for path in run.checkpoints.iterdir()} == before


def test_two_processes_do_not_work_on_one_folder(tmp_path):
    run = RunFolder.create(tmp_path / "run", tiny_config())
    with FileLock(run.path / ".lock"), pytest.raises(SaltflatError, match="Another process"):
        execute(run)


def test_chunked_arrays_remember_what_is_done(tmp_path):
    columns = {"a": ("float32", ()), "b": ("int32", (2,))}
    arrays = ChunkedArrays(tmp_path / "x", 10, columns, chunk=4)
    assert [rows.tolist() for _, rows in arrays.pending()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    arrays.write(1, a=np.ones(4), b=np.full((4, 2), 7))
    again = ChunkedArrays(tmp_path / "x", 10, columns, chunk=4)
    assert [number for number, _ in again.pending()] == [0, 2]
    assert again.finished_rows() == 4
    assert again["a"][4:8].tolist() == [1] * 4 and np.isnan(again["a"][:4]).all()
    assert again["b"][4:8].tolist() == [[7, 7]] * 4 and (again["b"][8:] == -1).all()


@pytest.mark.fault("what a stopped stage left behind is damaged")
@pytest.mark.parametrize(
    ("stage", "count", "live"), [("train", 80, "train"), ("tune", 50, "saved"), ("tune", 50, "tune")]
)
@pytest.mark.parametrize("kind", ["one line", "all"])
def test_progress_that_is_damaged_changes_no_result(tmp_path, finished_run, stage, count, live, kind):
    run = RunFolder.create(tmp_path / "run", tiny_config())
    with pytest.raises(Cancelled):
        execute(run, StopsAt(stage, count))
    path = run.path / "live" / f"{live}.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["[1]", *lines[1:]]) + "\n" if kind == "one line" else "\x00 nothing \x01")
    execute(run)
    for name in TABLES:
        assert pq.read_table(run.path / name).equals(pq.read_table(finished_run.path / name)), name
