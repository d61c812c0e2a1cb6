"""Jobs in real worker processes."""

import os
import subprocess
import sys
import time

import psutil
import pyarrow.parquet as pq
import pytest

from fvm_core.config import TuneConfig
from fvm_core.errors import SaltflatError
from fvm_core.jobs import processes
from fvm_core.jobs import queue as queue_module
from fvm_core.jobs.queue import JobQueue
from fvm_core.runs.run_folder import RunFolder
from fvm_core.runs.stage_files import STAGES
from tests.cases import tiny_config


@pytest.fixture
def queue(workspace):
    queue = JobQueue(workspace)
    yield queue
    for job in queue.all():
        if job.state == "running" and psutil.pid_exists(job.pid):
            processes.kill(job.pid)


def new_run(workspace, name="run", **changes):
    return RunFolder.create(workspace.runs / name, tiny_config(name=name, **changes))


def wait(queue, job_id, until, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        queue.reconcile()
        job = queue.get(job_id)
        if until(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"{job} did not get there; log: {RunFolder(job.run_path).log_text()}")


LONG = TuneConfig(steps=20_000, saved_steps=3)


def test_a_job_runs_and_the_next_on_the_device_waits(queue, workspace, finished_run):
    first, second = new_run(workspace, "first"), new_run(workspace, "second")
    one, two = queue.submit(first, "cpu"), queue.submit(second, "cpu")
    assert queue.get(one).state == "running"
    assert queue.get(two).state == "queued"
    assert queue.waiting_before(queue.get(two)) == 1
    with pytest.raises(SaltflatError, match="already running"):
        queue.submit(first, "cpu")
    seen = wait(queue, one, lambda job: job.phase == "train" and job.done > 0)
    assert 0 < seen.done < seen.total
    assert wait(queue, one, lambda job: job.state != "running").state == "done"
    assert wait(queue, two, lambda job: job.state not in ("queued", "running")).state == "done"
    assert pq.read_table(first.path / "scores.parquet").equals(
        pq.read_table(finished_run.path / "scores.parquet")
    )
    assert "Stage relabel is done" in first.log_text()


@pytest.mark.fault("a run is cancelled and resumed")
def test_cancel_keeps_what_is_done_and_resume_goes_on(queue, workspace):
    run = new_run(workspace, tune=LONG)
    waiting = new_run(workspace, "waiting")
    job, other = queue.submit(run, "cpu"), queue.submit(waiting, "cpu")
    queue.cancel(other)
    assert queue.get(other).state == "cancelled"
    wait(queue, job, lambda job: job.phase == "tune" and job.done > 5)
    queue.cancel(job)
    ended = wait(queue, job, lambda job: job.state != "running", seconds=queue_module.GRACE_SECONDS)
    assert ended.state == "cancelled"
    assert run.done("train") and not run.done("tune")
    again = queue.submit(run, "cpu")
    assert again != job
    wait(queue, again, lambda job: job.phase == "tune")
    assert "Stage train starts" not in run.log_text().split("Cancelled.")[1]


def test_a_worker_that_no_signal_reaches_hears_of_a_cancellation_too(queue, workspace, monkeypatch):
    """As on Windows."""
    monkeypatch.setattr(queue_module, "ask_to_end", lambda pid: None)
    job = queue.submit(new_run(workspace, tune=LONG), "cpu")
    wait(queue, job, lambda job: job.phase == "tune" and job.done > 5)
    queue.cancel(job)
    ended = wait(queue, job, lambda job: job.state != "running", seconds=queue_module.GRACE_SECONDS)
    assert ended.state == "cancelled"


def test_a_kill_takes_what_the_process_has_started():
    child = "import time; time.sleep(99)"
    script = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(99)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], **processes.detached())
    end = time.monotonic() + 20
    while not (children := psutil.Process(parent.pid).children()):
        assert time.monotonic() < end
        time.sleep(0.05)
    started = psutil.Process(parent.pid).create_time()
    assert processes.alive(parent.pid, started) and not processes.alive(parent.pid, started - 60)
    processes.kill(parent.pid)
    parent.wait(timeout=10)
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert not processes.alive(parent.pid, started)
    processes.kill(parent.pid)
    processes.ask_to_end(parent.pid)


@pytest.mark.fault("SIGKILL of a worker")
def test_a_killed_worker_is_noticed_and_resumed_to_the_same_result(queue, workspace, finished_run):
    run = new_run(workspace)
    job = queue.submit(run, "cpu")
    wait(queue, job, lambda job: job.phase == "train" and job.done > 20)
    processes.kill(queue.get(job).pid)
    # Another process than the one that started the worker finds out as well.
    ended = wait(JobQueue(workspace), job, lambda job: job.state != "running")
    assert ended.state == "interrupted"
    assert ended.error == "The worker process ended without a word."
    again = queue.submit(run, "cpu")
    assert wait(queue, again, lambda job: job.state != "running").state == "done"
    assert pq.read_table(run.path / "scores.parquet").equals(
        pq.read_table(finished_run.path / "scores.parquet")
    )


def test_a_reused_process_number_is_not_taken_for_the_worker(queue, workspace):
    run = new_run(workspace, tune=LONG)
    job = queue.submit(run, "cpu")
    real = queue.get(job)
    queue.write(job, pid=os.getpid(), pid_started=psutil.Process().create_time() - 3600)
    queue.reconcile()
    assert queue.get(job).state == "interrupted"
    processes.kill(real.pid)


def test_bad_data_fails_with_words(queue, workspace, tmp_path):
    config = tiny_config()
    (tmp_path / "empty").mkdir()
    gone = config.to_dict() | {"train_data": {"source": str(tmp_path / "not there")}}
    run = RunFolder.create(workspace.runs / "bad", config.from_dict(gone))
    job = queue.submit(run, "cpu")
    ended = wait(queue, job, lambda job: job.state != "running")
    assert ended.state == "failed"
    assert "not there" in ended.error
    assert "Traceback" not in ended.error


def test_progress_survives_the_process_that_asked(workspace):
    """The table is all that a new app process needs to find the run again."""
    run = new_run(workspace)
    job = JobQueue(workspace).submit(run, "cpu")
    later = JobQueue(workspace)
    assert later.latest(run.path).id == job
    assert wait(later, job, lambda job: job.state != "running").state == "done"
    assert later.latest(run.path).phase in STAGES  # which of the last ones was told depends on the time
    with pytest.raises(SaltflatError, match="no job 99"):
        later.get(99)
