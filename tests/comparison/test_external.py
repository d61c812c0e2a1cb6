"""Scores of other tools: joined by id, and every fault told."""

import numpy as np
import pandas as pd
import pytest

from fvm_core.comparison.collect import collect
from fvm_core.comparison.external import add_external, read_external, remove_external
from fvm_core.errors import SaltflatError
from tests.comparison.cases import copied


@pytest.fixture
def scores(finished_run):
    return finished_run.scores


def shuffled(scores, **columns):
    table = pd.DataFrame({"id": scores["id"], **columns})
    return table.sample(frac=1, random_state=0)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_scores_join_by_id(finished_run, scores, tmp_path, suffix):
    path = tmp_path / f"other{suffix}"
    quality = np.linspace(0, 1, len(scores))
    table = shuffled(scores, label_quality=quality).iloc[:-10]
    table.loc[len(table) + 900] = ["nobody", 0.5]
    if suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    found = read_external(finished_run, path)
    there = np.isfinite(found.values)
    assert np.allclose(found.values[there], quality[there])
    assert (found.suspicious, found.column, found.missing, found.extra) == ("low", "label_quality", 10, 1)
    assert there.sum() == len(scores) - 10 and found.suggested is None


def probabilities(finished_run):
    rng = np.random.default_rng(0)
    drawn = rng.random((300, len(finished_run.info["classes"])))
    return drawn / drawn.sum(1, keepdims=True)


def check_probabilities(finished_run, scores, found, p):
    classes = finished_run.info["classes"]
    given = [classes.index(label) for label in scores["given_label"]]
    assert np.allclose(found.values, p[np.arange(300), given])
    assert found.suggested == [classes[k] for k in p.argmax(1)]
    assert found.suspicious == "low"


def test_probabilities_from_columns_lists_and_arrays(finished_run, scores, tmp_path):
    p, classes = probabilities(finished_run), finished_run.info["classes"]
    named = shuffled(scores, **{name: p[:, k] for k, name in enumerate(classes)})
    named.to_csv(tmp_path / "named.csv", index=False)
    shuffled(scores, pred_probs=list(p)).to_parquet(tmp_path / "lists.parquet")
    np.save(tmp_path / "array.npy", p)
    for name in ("named.csv", "lists.parquet", "array.npy"):
        check_probabilities(finished_run, scores, read_external(finished_run, tmp_path / name), p)


def test_an_array_of_scores(finished_run, tmp_path):
    np.save(tmp_path / "a.npy", np.arange(300))
    found = read_external(finished_run, tmp_path / "a.npy", suspicious="high")
    assert np.array_equal(found.values, np.arange(300))


def test_joined_scores_stand_beside_the_others_and_can_go_again(finished_run, scores, tmp_path):
    run = copied(finished_run, tmp_path)
    shuffled(scores, score=np.arange(300.0)).to_csv(tmp_path / "s.csv", index=False)
    found = read_external(run, tmp_path / "s.csv", suspicious="low")
    add_external(run, "my tool", found, "s.csv")
    (one,) = [one for one in collect(run) if one.about.name == "my tool"]
    assert one.about.external and np.array_equal(one.suspicion, -np.arange(300))
    remove_external(run, "my tool")
    assert "my tool" not in [one.about.name for one in collect(run)]
    with pytest.raises(SaltflatError, match="no score `loss` from a file"):
        remove_external(run, "loss")
    with pytest.raises(SaltflatError, match="has a score `loss` of its own"):
        add_external(run, "loss", found, "s.csv")
    with pytest.raises(SaltflatError, match="can't be the name of a score"):
        add_external(run, "../up", found, "s.csv")


def written(tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"bad\.csv can't be read as a table"),
        ("id,score\n", "has no rows"),
        ("name,score\na,1\n", "no column `id` for the ids; it has `name`, `score`"),
        ("id,x\ntrain/0,1\n", "None of the 1 ids"),
        ("id,quality\n{id},1\n", "no column of scores that is known here"),
        ("id,score\n{id},1\n", "Say which end of column `score`"),
        ("id,loss\n{id},much\n", "row 1 of `loss` is 'much', which is no number"),
        ("id,loss\n{id},1\n{id},2\n", "comes more than once"),
    ],
)
def test_faults_of_tables_are_told(finished_run, scores, tmp_path, text, message):
    path = written(tmp_path, text.replace("{id}", scores["id"][0]))
    with pytest.raises(SaltflatError, match=message):
        read_external(finished_run, path)


def test_faults_of_probabilities_and_arrays_are_told(finished_run, scores, tmp_path):
    p = probabilities(finished_run)
    for name, values, message in [
        ("sum", p * 2, r"of row 1 sum to 2\.000 instead of 1"),
        ("outside", p - 0.5, "probabilities are 0 to 1"),
        ("short", p[:5], r"has the shape \(5, 10\); it must be \(300,\)"),
        ("text", np.array(["a"] * 300), "numbers are needed"),
        ("nan", np.where(np.arange(300)[:, None] == 3, np.nan, p), "row 4 of `array` is no finite number"),
    ]:
        np.save(tmp_path / f"{name}.npy", values)
        with pytest.raises(SaltflatError, match=message):
            read_external(finished_run, tmp_path / f"{name}.npy")
    np.save(tmp_path / "pickled.npy", np.array([{}] * 300), allow_pickle=True)
    with pytest.raises(SaltflatError, match="can't be read as an array of numbers"):
        read_external(finished_run, tmp_path / "pickled.npy")
    np.save(tmp_path / "scores.npy", np.arange(300.0))
    with pytest.raises(SaltflatError, match="which end of the scores"):
        read_external(finished_run, tmp_path / "scores.npy")
    shuffled(scores, pred_probs=list(p[:, :4])).to_parquet(tmp_path / "few.parquet")
    with pytest.raises(SaltflatError, match="is not a list of 10 numbers"):
        read_external(finished_run, tmp_path / "few.parquet")
    with pytest.raises(SaltflatError, match="There is no file"):
        read_external(finished_run, tmp_path / "none.csv")
