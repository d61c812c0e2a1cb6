"""The paper's tables from tiny runs: figures come from the run folders, and a stop loses nothing."""

import importlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fvm_core.comparison.results import read_result
from fvm_core.config import CompareConfig, ModelConfig, TrainConfig, TuneConfig
from fvm_core.data import load_dataset
from fvm_core.metrics import detection
from fvm_core.runs.run_folder import RunFolder

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("paper_reference", "paper_runs", "paper_report", "paper_tables")
    for name in names:
        sys.modules.pop(name, None)
    found = [importlib.import_module(name) for name in names]
    scale = replace(
        found[1].SCALES["small"],
        limit=None,
        validation=80,
        sizes=(80, 60, 40, 20),
        model=ModelConfig(name="small_cnn", size=8),
        train=TrainConfig(epochs=6, lr=0.05, batch_size=64, augment=False),
        tune=TuneConfig(solver="sam", steps=20, saved_steps=2, batch_size=32),
        compare=CompareConfig(
            checkpoints=2, planted=0.0, settings={"members": 2, "folds": 2, "lissa_depth": 5}
        ),
    )
    monkeypatch.setitem(found[1].SCALES, "small", scale)
    return found


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Digits in the layout of the CIFAR-10N files."""
    for name, split, count in (("cifar10n_train", "train", 200), ("cifar10_test", "val", 80)):
        digits = load_dataset("digits", split=split, limit=count)
        images = []
        for row in range(count):
            file = io.BytesIO()
            digits.images.image(row).save(file, "PNG")
            images.append({"bytes": file.getvalue(), "path": None})
        labels = {"worse_label": digits.given, "clean_label": digits.true, "label": digits.given}
        columns = labels if split == "train" else {"label": labels["label"]}
        table = {"id": list(digits.ids), "image": images}
        for column, codes in columns.items():
            table[column] = pa.array([digits.classes[code] for code in codes]).dictionary_encode()
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    monkeypatch.setenv("SALTFLAT_DATA", str(tmp_path))
    return tmp_path


def call(modules, folder, *words):
    import typer

    app = typer.Typer()
    app.command()(modules[-1].main)
    places = ["--work", folder / "work", "--results", folder / "results", "--device", "cpu"]
    return CliRunner().invoke(app, [str(word) for word in (*words, *places)])


def test_tables_hold_what_the_runs_hold_and_share_them(modules, data):
    done = call(modules, data, "--table", 10)
    assert done.exit_code == 0, done.output
    record = json.loads((data / "results" / "paper_table_10_small.json").read_text())
    assert [row["key"] for row in record["rows"]] == ["ekfac", "ekfac_best", "vm", "fvm"]
    run = RunFolder.open(data / "work" / "small" / "worst-0")
    scores = run.scores
    wrong = (scores["given_label"] != scores["true_label"]).to_numpy()
    for row in record["rows"]:
        wanted = detection(read_result(run.path, row["key"])["suspicion"].to_numpy(), wrong)
        assert row["found"]["CIFAR-10N Worst, ROC AUC"] == [pytest.approx(100 * wanted["roc_auc"])]
        assert row["reference"]["CIFAR-10N Worst, ROC AUC"] > 70
    text = (data / "results" / "paper_table_10_small.md").read_text()
    assert f"| {record['rows'][3]['found']['CIFAR-10N Worst, AP'][0]:.2f} | 94.97 |" in text
    before = (run.checkpoints / "theta_star.safetensors").stat().st_mtime_ns
    assert call(modules, data, "--table", 11).exit_code == 0
    assert (run.checkpoints / "theta_star.safetensors").stat().st_mtime_ns == before
    text = (data / "results" / "paper_table_11_small.md").read_text()
    assert "20 samples (paper 1,000), ROC AUC" in text
    smaller = RunFolder.open(data / "work" / "small" / "worst-0-val40")
    assert smaller.config.train.epochs == 0 and smaller.info["validation_samples"] == 40


def stopping_at(kind, stage):
    """The progress of the benchmark, out of time when a stage begins."""

    class Stopping(kind):
        def update(self, current, done, total):
            if current == stage:
                self._until = 0
            super().update(current, done, total)

    return Stopping


def test_a_deadline_stops_and_the_same_call_goes_on_to_the_same_figures(modules, data, monkeypatch):
    stopped = call(modules, data, "--table", 6, "--minutes", 0.0001)
    assert stopped.exit_code == 3
    assert "the same command goes on from here" in stopped.output
    with monkeypatch.context() as patch:
        for stage in ("tune", "compare"):
            patch.setattr(modules[1], "Deadline", stopping_at(modules[1].Deadline, stage))
            assert call(modules, data, "--table", 6).exit_code == 3
            assert not (data / "results").exists()
    assert call(modules, data, "--table", 6).exit_code == 0
    whole = data / "whole"
    assert call(modules, whole, "--table", 6).exit_code == 0
    tables = [json.loads((at / "results" / "paper_table_6_small.json").read_text()) for at in (data, whole)]
    assert len(tables[0]["rows"]) == 4
    assert tables[0]["rows"] == tables[1]["rows"]
    assert "stopped in between" in tables[0]["facts"]["seconds"]
    assert "stopped in between" not in tables[1]["facts"]["seconds"]


def test_what_is_above_what_is_said_in_words(modules):
    report = modules[2]
    values = {"lissa": 60, "ekfac": 71, "gex": 75, "vm": 70, "fvm": 72}
    rows = [report.Row(key.upper(), key, {"Worst": [value - 1, value + 1]}) for key, value in values.items()]
    assert report.findings(rows) == [
        "Worst: FVM is above VM (72.00 and 70.00); VM is above LISSA, not above EKFAC. Above FVM: GEX (75.00)."
    ]


def test_missing_data_and_unknown_names_are_told(modules, data):
    missing = call(modules, data, "--table", 3)
    assert missing.exit_code == 1
    told = " ".join(missing.output.split())
    assert "CIFAR-100N is not in" in told and "--cifar ROOT" in told and "CIFAR-100_human.pt" in told
    assert call(modules, data, "--table", 4).exit_code == 2
    assert call(modules, data, "--table", 6, "--datasets", "aggre").exit_code == 2
    assert "No data set 'best'" in call(modules, data, "--table", 1, "--datasets", "best").output


def test_reference_figures(modules):
    paper = modules[0]
    assert paper.DETECTION["fvm"]["worst"] == (96.46, 94.97)
    assert paper.DETECTION["gex"]["noisy"] == (90.17, 89.05)
    assert paper.RELABELLING["fvm"]["aggre"] == 94.63
    assert paper.ABLATION["ablation_so"] == (33.38, 47.64)
    assert paper.INVERSES["fvm", "fvm"] == paper.DETECTION["fvm"]
    assert paper.VALIDATION_SIZES["fvm"][1000][0] == 93.72
