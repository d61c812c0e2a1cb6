"""The command line as a person types it."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from fvm_core.cli.commands import application
from fvm_core.comparison.results import descriptions
from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace

FAST = [
    "--limit",
    "200",
    "--val-limit",
    "100",
    "--epochs",
    "15",
    "--steps",
    "30",
    "--saved-steps",
    "2",
    "--no-embed",
]


def call(*words):
    result = CliRunner().invoke(application, [str(word) for word in words], env={"COLUMNS": "200"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_run_evaluate_export(tmp_path):
    out = tmp_path / "run"
    call("run", "--train", "digits", "--val", "digits", "--out", out, *FAST, "--solver", "sgd")
    run = RunFolder.open(out)
    assert run.finished and run.config.tune.solver == "sgd" and run.config.train_data.limit == 200
    (out / "metrics.json").unlink()
    printed = call("evaluate", out).output
    metrics = json.loads((out / "metrics.json").read_text())
    assert f"{100 * metrics['roc_auc']:.2f} %" in printed
    assert "influence, VM (SGD)" in printed and "loss, trained model" in printed

    DecisionStore(Workspace.default().database).record(
        run.id, [Decision(3, run.scores["id"][3], "relabel", "1", "7")], "ada"
    )
    call("export", out, "--out", tmp_path / "clean.csv")
    table = pd.read_csv(tmp_path / "clean.csv", dtype=str, keep_default_na=False)
    assert table["id"].tolist() == run.scores["id"].tolist()
    assert (
        table["clean_label"][3] == "7"
        and table["status"][3] == "relabelled"
        and table["reviewer"][3] == "ada"
    )
    assert (table["status"].drop(3) == "unreviewed").all()
    assert (table["clean_label"].drop(3) == table["given_label"].drop(3)).all()
    call("export", out, "--out", tmp_path / "auto.csv", "--accept-suggestions-above", "90")
    auto = pd.read_csv(tmp_path / "auto.csv", dtype=str, keep_default_na=False)
    taken = auto["status"] == "auto_relabelled"
    assert taken.any() and (auto["clean_label"][taken] == auto["suggested_label"][taken]).all()
    # Nothing is written over without a word, neither the table nor the audit.
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")}
    for name in ("clean.csv", "clean.tsv"):  # the second has the same audit file
        with pytest.raises(SaltflatError, match=r"clean\.(csv|audit\.csv) is there already.*--force"):
            call("export", out, "--out", tmp_path / name, "--decisions-only")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")} == before
    call("export", out, "--out", tmp_path / "clean.csv", "--decisions-only", "--force")
    assert len(pd.read_csv(tmp_path / "clean.csv", dtype=str)) == 1


def test_config_file_and_options(tmp_path):
    out = tmp_path / "run"
    (tmp_path / "settings.toml").write_text(
        'seed = 4\n[train_data]\nsource = "digits"\nlimit = 150\n[val_data]\nsource = "digits"\nsplit = "val"\n'
        "[train]\nepochs = 1\n[tune]\nsteps = 3\nsaved_steps = 2\n"
    )
    call("run", "--config", tmp_path / "settings.toml", "--out", out, "--no-embed", "--epochs", 2)
    config = RunFolder.open(out).config
    assert (config.seed, config.train.epochs, config.tune.steps, config.train_data.limit) == (4, 2, 3, 150)
    before = (out / "scores.parquet").stat().st_mtime_ns
    call("run", "--out", out, "--resume")
    assert (out / "scores.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--out", "{out}"], "--train SPEC"),
        (["run", "--out", "{out}", "--train", "digits"], "--val SPEC"),
        (["run", "--out", "{out}", "--train", "nowhere.csv", "--val", "digits"], "nowhere.csv"),
        (
            ["run", "--out", "{out}", "--train", "digits", "--val", "digits", "--solver", "adam"],
            "tune.solver",
        ),
        (
            ["run", "--out", "{out}", "--train", "digits", "--val", "digits", "--batch-size", "x"],
            "--batch-size",
        ),
        (["run", "--out", "{out}", "--config", "none.toml"], "no settings file none.toml"),
        (["evaluate", "{out}"], "not a run folder"),
        (["export", "{out}", "--out", "x.csv"], "not a run folder"),
    ],
)
def test_faults_are_named(tmp_path, words, message):
    with pytest.raises(SaltflatError) as fault:
        call(*[word.format(out=tmp_path / "run") for word in words])
    assert message in str(fault.value)


def test_the_module_prints_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fvm_core", "evaluate", str(tmp_path / "none")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "is not a run folder" in done.stderr


def test_doctor_tells_versions_and_workspace(tmp_path):
    printed = call("doctor").output
    assert "torch and torchvision fit together" in printed
    assert str(Workspace.default().path) in printed.replace("\n", "")


def test_estimators_side_by_side(tmp_path):
    out = tmp_path / "run"
    call(
        *["run", "--train", "digits", "--val", "digits", "--out", out, *FAST],
        *["--estimator", "fvm", "--estimator", "vm", "--estimator", "datainf", "--planted", "0.3"],
    )
    run = RunFolder.open(out)
    assert run.config.compare.estimators == ("vm", "datainf")
    ids = run.scores["id"]
    quality = pd.Series(range(200)) / 200
    pd.DataFrame({"name": ids, "label_quality": quality}).to_csv(tmp_path / "other.csv", index=False)
    words = ["--estimator", "tuned_margin", "--scores", tmp_path / "other.csv", "--id-column", "name"]
    printed = call("compare", out, *words, "--name", "mine", "--review-by", "vm").output
    for title in ("VM (vm)", "DataInf (datainf)", "Margin of the tuned model (tuned_margin)", "mine (mine)"):
        assert title in printed
    assert "label_quality, low = suspicious; 0 samples have no value" in printed
    assert "The review ranks by VM (vm)." in printed
    assert "finds the 15 planted wrong labels best" in printed
    call("export", out, "--out", tmp_path / "clean.csv", "--accept-suggestions-above", "90")
    table = pd.read_csv(tmp_path / "clean.csv", dtype=str, keep_default_na=False)
    assert len(table) == 200  # planted samples are none of them
    vm = pd.read_parquet(out / "estimators" / "vm.parquet")["suspicion"]
    assert table["percentile"].astype(float).tolist() == pytest.approx((100 * (vm.rank() - 1) / 200).tolist())
    assert "mine" not in call("compare", out, "--remove", "mine").output
    before = run.scores["influence"]
    call("compare", out, "--estimator", "gex", "--members", "2")
    assert RunFolder.open(out).config.compare.settings["members"] == 2
    assert "gex" in {one.name for one in descriptions(out)} and run.scores["influence"].equals(before)
    with pytest.raises(SaltflatError, match=r"which estimators the settings are of.*members"):
        call("compare", out, "--members", "3")
    with pytest.raises(SaltflatError, match="has the setting `powr`"):
        call("compare", out, "--estimator", "vm", "--set", "powr=2")
