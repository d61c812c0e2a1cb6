"""Rows that can't be ranked: each says why, in the scores, the review and the export, in order and complete."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fvm_core.comparison import choice
from fvm_core.comparison.collect import collect
from fvm_core.config import CompareConfig
from fvm_core.data import DatasetSpec, load_dataset
from fvm_core.errors import DamagedFile
from fvm_core.pipeline.runner import execute
from fvm_core.review.decisions import DecisionStore
from fvm_core.review.export import export_table
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.cases import tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """120 digits of which the nines have no trusted image, one has no label, one no image."""
    folder = tmp_path_factory.mktemp("data")
    train, val = load_dataset("digits", limit=120, noise=0.2), load_dataset("digits", split="val", limit=120)
    lines = ["path,label"]
    for row in range(len(train)):
        train.images.image(row).save(folder / f"{row}.png")
        lines.append(f"{row}.png,{'' if row == 3 else train.classes[train.given[row]]}")
    (folder / "5.png").write_bytes(b"no picture")
    (folder / "train.csv").write_text("\n".join(lines), encoding="utf-8")
    for row in np.flatnonzero(val.given != val.classes.index("9")):
        place = folder / "val" / val.classes[val.given[row]]
        place.mkdir(parents=True, exist_ok=True)
        val.images.image(row).save(place / f"{row}.png")
    config = replace(
        tiny_config(),
        train_data=DatasetSpec(str(folder / "train.csv")),
        val_data=DatasetSpec(str(folder / "val")),
        compare=CompareConfig(estimators=("tuned_margin",)),
    )
    return execute(RunFolder.create(folder / "run", config))


def test_rows_without_a_percentile_say_why(run):
    scores, why = run.scores, run.unscored()
    nines = set(np.flatnonzero(scores["given_label"] == "9")) - {3, 5}
    assert len(nines) > 5
    expected = {
        **dict.fromkeys(nines, "no trusted image of this class"),
        3: "no label",
        5: "image can't be read",
    }
    assert why.to_dict() == expected
    assert set(np.flatnonzero(scores["percentile"].isna())) == set(expected)
    assert set(np.flatnonzero(scores["suspicion"].isna())) == set(expected)
    rows = list(nines)
    assert scores["suggested_label"].iloc[rows].isna().all() and scores["influence"].iloc[rows].notna().all()
    assert all(len(one) == 0 for one in scores["alternatives"].iloc[rows])
    others = scores.drop(index=list(expected))
    assert others["suggested_label"].notna().all()
    assert others["percentile"].min() == 0 and others["percentile"].max() < 100
    (problem,) = [one for one in run.info["problems"] if one["kind"] == "train_class_not_in_val"]
    assert "get no percentile and no suggestion" in problem["message"]


@pytest.mark.parametrize(
    "table",
    [
        {"row": [120], "reason": ["no label"]},
        {"row": [-1], "reason": ["no label"]},
        {"row": ["3"], "reason": ["no label"]},
        {"rows": [3], "why": ["no label"]},
    ],
)
def test_a_file_that_names_other_rows_is_damaged(run, tmp_path, table):
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "run"))
    pd.DataFrame(table).to_parquet(copy.path / "unscored.parquet")
    for use in (copy.unscored, lambda: export_table(copy, DecisionStore(Workspace(tmp_path).database))):
        with pytest.raises(DamagedFile, match=r"unscored\.parquet.*doctor"):
            use()


def test_no_other_score_ranks_them_either(run):
    choice.choose(run, "tuned_margin")
    try:
        found = choice.read_scores(run)
        assert set(np.flatnonzero(found["percentile"].isna())) == set(run.unscored().index)
    finally:
        choice.choose(run, choice.OWN)
    rows = run.unscored().index.to_numpy()
    side_by_side = {one.about.name: one for one in collect(run)}
    assert {"fvm", "tuned_loss", "tuned_margin"} <= side_by_side.keys()
    for one in side_by_side.values():
        assert set(np.flatnonzero(np.isnan(one.percentile))) == set(rows), one.about.name
        assert one.suggested is None or (one.suggested[rows] == -1).all()


def test_the_export_has_every_row_in_order_with_the_reason(run, tmp_path):
    table = export_table(run, DecisionStore(Workspace(tmp_path).database), accept_above=0)
    assert table["id"].tolist() == run.scores["id"].tolist() and len(table) == 120
    assert {row: text for row, text in enumerate(table["note"]) if text} == run.unscored().to_dict()
    left = table.loc[table["note"] == "no trusted image of this class"]
    assert (left["clean_label"] == left["given_label"]).all() and (left["status"] == "unreviewed").all()
    assert (table["status"] == "auto_relabelled").any()
