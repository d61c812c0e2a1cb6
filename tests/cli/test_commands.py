"""The command line as a person types it."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fvm_core.cli.commands import application
from fvm_core.comparison.results import descriptions
from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.acceptance.cases import run_of, simulate

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


def test_export_says_what_accepting_is_expected_to_do(tmp_path):
    case = simulate(0, samples=1500, trusted=500, noise=0.03, shift=2.0)
    run = run_of(case, tmp_path / "run")
    printed = call("export", run.path, "--out", tmp_path / "a.csv", "--accept-suggestions-above", "50").output
    assert "suggestions about" in printed and "wrong labels: about" in printed
    assert "Mind: This makes the labels worse, not better" in printed
    table = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    assert (table["status"] == "auto_relabelled").any()  # it is done all the same
    case = simulate(0, samples=1500, trusted=500, noise=0.2, shift=3.5)
    run = run_of(case, tmp_path / "better")
    printed = call("export", run.path, "--out", tmp_path / "b.csv", "--accept-precision", "95").output
    assert "suggestions about" in printed and "Mind" not in printed
    table = pd.read_csv(tmp_path / "b.csv", dtype=str, keep_default_na=False)
    assert (table["status"] == "auto_relabelled").sum() > 100
    for wrong in ("0", "101", "nan"):
        with pytest.raises(SaltflatError, match="above 0 and at most 100"):
            call("export", run.path, "--out", tmp_path / "c.csv", "--accept-precision", wrong)
    with pytest.raises(SaltflatError, match="not both"):
        both = ("--accept-precision", "95", "--accept-suggestions-above", "95")
        call("export", run.path, "--out", tmp_path / "c.csv", *both)
    assert not (tmp_path / "c.csv").exists()


def test_export_without_probabilities_accepts_nothing_by_precision_and_says_why(tmp_path):
    case = simulate(0, samples=300)
    run = run_of(case, tmp_path / "run", crossfit=False)
    printed = call("export", run.path, "--out", tmp_path / "a.csv", "--accept-precision", "95").output
    assert "is not known" in printed and "trusted images" in printed
    table = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    assert (table["status"] == "unreviewed").all()


def test_export_says_what_planted_samples_tell_of_a_network_trained_whole(tmp_path):
    out = tmp_path / "run"
    with_options = ("--planted", "0.5", "--epochs", "15", "--steps", "60", "--saved-steps", "2", "--no-embed")
    data = ("--train", "digits", "--val", "digits", "--limit", "300", "--model", "small_cnn")
    call("run", *data, "--out", out, *with_options)
    printed = call("export", out, "--out", tmp_path / "a.csv", "--accept-suggestions-above", "80").output
    assert " suggestions about " in printed and "wrong labels: about" in printed and "→" in printed
    printed = call("export", out, "--out", tmp_path / "b.csv", "--accept-precision", "99.5").output
    assert "sure enough that 99.5 % are right" in printed and "planted wrong labels" in printed
    printed = call("export", out, "--out", tmp_path / "c.csv", "--accept-precision", "30").output
    assert "auto_relabelled" in printed


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


def elsewhere(folder):
    """Images, and tables of them that were written on a Windows machine, with columns of other names."""
    labels = [number % 2 for number in range(24)]
    for number, label in enumerate(labels):
        path = folder / "photos" / "ab"[label] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 40 + 150 * label + number).save(path)
    paths = [f"C:\\data\\{'ab'[label]}\\{number:02d}.png" for number, label in enumerate(labels)]
    frame = pd.DataFrame({"picture": paths, "label": labels, "key": [f"k{n}" for n in range(24)]})
    (folder / "tables").mkdir()
    frame[:16].to_csv(folder / "tables" / "train.csv", index=False)
    frame[16:].to_csv(folder / "tables" / "same.csv", index=False)
    other = {"picture": "shot", "key": "number"}
    frame[16:].rename(columns=other).to_csv(folder / "tables" / "other.csv", index=False)
    frame[16:].rename(columns={"picture": "path", "key": "id"}).to_csv(
        folder / "tables" / "usual.csv", index=False
    )
    return folder / "tables"


QUICK = ["--epochs", 1, "--steps", 2, "--saved-steps", 1, "--no-embed"]


@pytest.mark.parametrize(
    ("val", "words", "image", "id"),
    [
        ("same.csv", [], "picture", "key"),
        ("usual.csv", [], None, None),
        ("other.csv", ["--val-image-column", "shot", "--val-id-column", "number"], "shot", "number"),
    ],
)
def test_tables_of_another_machine_after_typos(tmp_path, val, words, image, id):
    tables, out = elsewhere(tmp_path), tmp_path / "run"
    photos = tmp_path / "photos"
    right = ["--train", tables / "train.csv", "--val", tables / val, "--image-column", "picture"]
    right += ["--id-column", "key", "--image-root", photos, "--val-image-root", photos, *words]
    for wrong, message in [
        (["--image-root", tmp_path / "phtos"], "no folder"),
        (["--val-image-root", tables], "None of the images that"),
        (["--val-image-column", "imge"], "no column 'imge'"),
        (["--label-column", "lable"], "no column 'lable'"),
        (["--split", "seg_pred"], "has no parts"),
        (["--solver", "adam"], "tune.solver"),
    ]:
        with pytest.raises(SaltflatError, match=message):
            call("run", "--out", out, *right, *wrong, *QUICK)
        assert not out.exists()
    call("run", "--out", out, *right, *QUICK)
    run = RunFolder.open(out)
    assert run.scores["id"].tolist() == [f"k{number}" for number in range(16)]
    assert (run.config.val_data.image, run.config.val_data.id) == (image, id)
    assert run.config.train_data.image_root == str(photos)
    told = {(problem["where"], problem["kind"]) for problem in run.info["problems"]}
    assert {("train", "found_by_last_parts"), ("val", "found_by_last_parts")} <= told
    call(
        "run", "--out", tmp_path / "again", "--config", out / "config.toml", *QUICK
    )  # the file holds all of it
    assert RunFolder.open(tmp_path / "again").config.val_data == run.config.val_data


@pytest.mark.parametrize(
    ("words", "train", "val"),
    [
        ([], "Training", "Testing"),
        (["--split", "testing", "--val-split", "seg_pred"], "Testing", "seg_pred"),
    ],
)
def test_parts_of_one_folder(tmp_path, words, train, val):
    for k, part in enumerate(["Training", "Testing", "seg_pred"]):
        for number in range(10):
            path = tmp_path / "all" / part / "ab"[number % 2] / f"{part}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 20 * number + k).save(path)
    both = ["--train", tmp_path / "all", "--val", tmp_path / "all", *words]
    printed = call("run", "--out", tmp_path / "run", *both, *QUICK).output
    run = RunFolder.open(tmp_path / "run")
    assert all(train in id for id in run.scores["id"])
    assert run.info["classes"] == ["a", "b"]
    if not words:
        assert f"{train} was taken" in printed and f"no validation set; {val} was taken" in printed


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
