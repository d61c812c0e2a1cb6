"""Whatever a person types or has on disk: words that say what to do, no traceback, nothing left behind."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from fvm_core.cli.commands import application
from fvm_core.errors import SaltflatError
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.cases import tiny_config

DIGITS = ["--train", "digits", "--val", "digits"]


def call(*words):
    result = CliRunner().invoke(application, [str(word) for word in words], env={"COLUMNS": "300"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def told(*words, home=None, **environment):
    """What the program prints in a process of its own; it must fail without a traceback."""
    environment = {**os.environ, **({"SALTFLAT_HOME": str(home)} if home else {}), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "fvm_core", *map(str, words)], capture_output=True, text=True, env=environment
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
    return done.stdout + done.stderr


def single_images(folder, classes):
    """One image of each class, all different."""
    from PIL import Image

    for number in range(classes):
        place = folder / f"class {number:03d}"
        place.mkdir(parents=True)
        Image.new("L", (8, 8), number % 256).save(place / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train", "nowhere.csv", "--val", "digits"], "nowhere.csv"),
        (["--train", "", "--val", "digits"], "source of the data is empty"),
        (["--train", "digits", "--val", "none.npz"], "none.npz"),
        ([*DIGITS, "--solver", "adam"], "tune.solver"),
        ([*DIGITS, "--device", "tpu"], "device"),
        ([*DIGITS, "--model", "resnet"], "There is no model `resnet`"),
        ([*DIGITS, "--model", "alexnet"], "can't take images of 8 × 8"),
        ([*DIGITS, "--checkpoint", "none.pt"], "There is no checkpoint"),
        ([*DIGITS, "--limit", "5"], "at least 10 are needed"),
        ([*DIGITS, "--planted", "0.001"], "compare.planted"),
        ([*DIGITS, "--epochs", "0", "--estimator", "tracin"], "does not train"),
        ([*DIGITS, "--epochs", "0", "--estimator", "confident"], "does not train"),
        ([*DIGITS, "--seed", str(2**40)], "`seed` is 1099511627776; it must be at most"),
        ([*DIGITS, "--batch-size", "-1"], "--batch-size"),
        ([*DIGITS, "--label-column", "x"], "has no such columns"),
    ],
)
def test_nothing_is_left_of_a_run_that_cannot_be(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SaltflatError) as fault:
        call("run", "--out", tmp_path / "run", *words)
    assert message in str(fault.value)
    assert not (tmp_path / "run").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


def test_a_default_that_cannot_hold_stops_no_run(tmp_path):
    train = single_images(tmp_path / "train", 210)
    for number in range(210):  # two of each, so that there is something to learn from
        place = train / f"class {number:03d}"
        shutil.copy(place / f"{number}.png", place / "again.png")
    val = single_images(tmp_path / "val", 210)
    fast = ["--epochs", 1, "--steps", 2, "--saved-steps", 2, "--no-embed"]
    printed = call("run", "--train", train, "--val", val, "--out", tmp_path / "run", *fast).output
    run = RunFolder.open(tmp_path / "run")
    assert run.finished and run.config.compare.planted == 0
    assert "No wrong labels were planted" in printed
    assert "planted_left_out" in {problem["kind"] for problem in run.info["problems"]}
    assert "No wrong labels were planted" in run.log_text()
    with pytest.raises(SaltflatError, match="every class keeps a validation sample to tune on"):
        call("run", "--train", train, "--val", val, "--out", tmp_path / "other", *fast, "--planted", "0.1")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train_data = 5\n", "Setting `train_data` is 5"),
        ('train_data = ["x"]\n', "Setting `train_data` is"),
        ("[train_data]\nsource = 5\n", "train_data.source"),
        ('[train_data]\nsource = "digits"\nsplt = "x"\n', "Unknown setting `train_data.splt`"),
        ('[train_data]\nsource = "digits"\nlimit = -1\n', "train_data.limit"),
        ('[train_data]\nsource = "digits"\nnoise = 7\n', "train_data.noise"),
        ("train = 3\n", "Setting `train` is 3"),
        ('[train]\nepochs = "many"\n', "train.epochs"),
        ("[tune]\nsteps = 1.5\n", "tune.steps"),
        ("[score]\ndamping = nan\n", "score.damping"),
        ("[model]\nname = []\n", "model.name"),
        ("[compare]\nestimators = 5\n", "compare.estimators"),
        ("colour = 1\n", "Unknown setting `colour`"),
        ("seed = true\n", "`seed`"),
        ("= 5\n", "is not a TOML file"),
        ("x = " + "[" * 3000, "is not a TOML file"),
        (b"\x00\xff\xfe", "is not a TOML file"),
    ],
)
def test_settings_that_cannot_be_name_file_and_setting(tmp_path, content, message):
    path = tmp_path / "settings.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    given = [] if b"train_data" in path.read_bytes() else ["--train", "digits"]
    with pytest.raises(SaltflatError) as fault:
        call("run", "--config", path, "--out", tmp_path / "run", *given, "--val", "digits")
    assert message in str(fault.value) and str(path) in str(fault.value)
    assert not (tmp_path / "run").exists()


def test_sources_of_the_options_complete_a_file_without(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[train]\nepochs = 1\n[tune]\nsteps = 2\nsaved_steps = 2\n")
    words = ["--limit", 60, "--val-limit", 30, "--no-embed"]
    call("run", "--config", path, "--out", tmp_path / "run", *DIGITS, *words)
    assert RunFolder.open(tmp_path / "run").config.train.epochs == 1


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none/run"])
def test_out_where_no_folder_can_be(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SaltflatError) as fault:
        call("run", *DIGITS, "--limit", 60, "--out", tmp_path / place)
    assert str(tmp_path / place) in str(fault.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_told_and_leaves_no_folder(tmp_path, monkeypatch):
    from fvm_core.runs import run_folder

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder, "write_json", full)
    with pytest.raises(SaltflatError, match="No space left on device"):
        call("run", *DIGITS, "--limit", 60, "--out", tmp_path / "runs" / "run")
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("port", ["99999", "-1", "0", "x", "70000", "1e3", ""])
def test_ports_that_cannot_be(port):
    result = call("app", "--port", port)
    assert result.exit_code == 2 and "--port" in result.output


@pytest.mark.parametrize("kind", ["text", "folder", "damaged"])
@pytest.mark.parametrize(
    "words", [["app", "--port", "8599"], ["doctor"], ["export", "{run}", "--out", "x.csv"]]
)
def test_a_database_that_is_none(tmp_path, kind, words, finished_run):
    workspace = Workspace(tmp_path / "there").made()
    file = workspace.path / "saltflat.db"
    if kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"hello" * 500 if kind == "text" else b"SQLite format 3\0" + os.urandom(5000))
    text = told(*[word.format(run=finished_run.path) for word in words], home=workspace.path)
    assert "saltflat.db" in text.replace("\n", "")
    if words == ["doctor"]:
        assert "torch and torchvision fit together" in text


def test_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for words in (["app", "--port", "8599"], ["doctor"], ["demo"]):
        text = told(*words, home=tmp_path / "file" / "below")
        assert "SALTFLAT_HOME" in text, words
        if words == ["doctor"]:
            assert "torch and torchvision fit together" in text


def test_a_run_works_without_a_home(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "file"))
    fast = ["--limit", 60, "--val-limit", 30, "--epochs", 1, "--steps", 2, "--saved-steps", 2, "--no-embed"]
    printed = call("run", *DIGITS, "--out", tmp_path / "run", *fast).output
    assert RunFolder.open(tmp_path / "run").finished
    assert "The run is not in the app's list" in printed


def test_runs_of_the_command_line_are_in_the_apps_list_and_tell_what_they_take(tmp_path):
    from fvm_core.remembered import read

    fast = ["--limit", 60, "--val-limit", 30, "--epochs", 1, "--steps", 2, "--saved-steps", 2, "--no-embed"]
    printed = call("run", *DIGITS, "--out", tmp_path / "run", *fast).output
    assert read(Workspace.default())["opened"] == [str(tmp_path / "run")]
    assert "60 training and 30 validation samples, small_cnn" in printed
    assert "Takes about" in printed and "of memory and" in printed and "of disk" in printed
    assert RunFolder.open(tmp_path / "run").info["estimate"]["train"] > 0


NAMES = ["[red]x[/red]", "[/]", "[bold", ":smile:", "[link=http://x]y[/link]", "\\[x]"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_printed_as_they_are(tmp_path, name):
    from dataclasses import replace

    from fvm_core.pipeline.runner import execute

    run = RunFolder.create(tmp_path / "run", replace(tiny_config(), name=name))
    run.update(name=name)
    execute(run)
    info = run.info
    info["problems"] = [{"kind": "x", "message": f"{name} is odd", "where": "train"}]
    run.update(problems=info["problems"])
    for words in (["evaluate", run.path], ["compare", run.path], ["run", "--out", run.path, "--resume"]):
        assert name in call(*words).output, words
    out = tmp_path / f"{name.replace('/', '_')}.csv"
    assert out.name in call("export", run.path, "--out", out).output
    folder = tmp_path / name.replace("/", "_")
    shutil.copytree(run.path, folder)
    (folder / "scores.parquet").write_bytes(b"")
    assert str(folder / "scores.parquet") in call("doctor", folder).output


def test_doctor_checks_a_run_and_does_it_again(tmp_path, finished_run):
    folder = shutil.copytree(finished_run.path, tmp_path / "run")
    printed = call("doctor", folder).output
    assert "Nothing is damaged." in printed and "result files have checksums" in printed
    before = (folder / "scores.parquet").read_bytes()
    data = bytearray(before)
    data[len(data) // 2] ^= 1
    (folder / "scores.parquet").write_bytes(data)
    result = call("doctor", folder)
    assert result.exit_code == 1
    assert f"{folder / 'scores.parquet'}: its content is not what was written" in result.output
    assert "Repairing does again: score, relabel, compare." in result.output
    result = call("doctor", folder, "--redo")
    assert result.exit_code == 0 and "Nothing is damaged." in result.output
    assert (folder / "scores.parquet").read_bytes() == before


def test_doctor_says_that_older_runs_have_no_checksums(tmp_path, finished_run):
    folder = shutil.copytree(finished_run.path, tmp_path / "run")
    (folder / "checksums.json").unlink()
    result = call("doctor", folder)
    assert result.exit_code == 0 and "no checksums" in result.output


def test_doctor_puts_run_json_back(tmp_path, finished_run):
    folder = shutil.copytree(finished_run.path, tmp_path / "run")
    before = json.loads((folder / "run.json").read_text())
    (folder / "run.json").unlink()
    assert "run.json: it is missing" in call("doctor", folder).output
    assert "run.json was put back from its copy." in call("doctor", folder, "--redo").output
    assert json.loads((folder / "run.json").read_text()) == before


def test_doctor_at_what_is_no_run(tmp_path):
    for words, message in (
        (["doctor", tmp_path], "is not a run folder"),
        (["doctor", tmp_path, "--redo"], "is not a run folder"),
        (["doctor", tmp_path / "none"], "is not a run folder"),
    ):
        with pytest.raises(SaltflatError, match=message):
            call(*words)
    assert list(tmp_path.iterdir()) == []


def test_doctor_makes_the_states_of_samples_anew(tmp_path):
    assert "0 states of samples were not what the decisions say" in call("doctor", "--redo").output
