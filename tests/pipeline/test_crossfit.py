"""Scores of models that have not seen the label, on the pixels of digits as features."""

import numpy as np
import pytest
from scipy.special import log_softmax

from fvm_core.comparison.calibration import calibrated_loss, temperature
from fvm_core.comparison.choice import choice_of, read_scores
from fvm_core.comparison.collect import against_truth, collect
from fvm_core.data import load_dataset
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.pipeline.runner import start
from fvm_core.runs.run_folder import RunFolder
from tests.pipeline.test_resume import StopsAt

OPTIONS = {"epochs": 8, "steps": 30, "saved_steps": 2, "embed": False, "crossfit_folds": 3, "planted": 0}


def pixels(data):
    return np.stack(
        [np.asarray(data.images.image(row), dtype=np.float32).ravel() for row in range(len(data))]
    )


@pytest.fixture(scope="module")
def sets():
    train = load_dataset("digits", limit=300)
    val = load_dataset("digits", split="val", limit=90)
    return train, val, (pixels(train), pixels(val))


def run(sets, out, progress=None, given=None, trusted=None, **options):
    train, val, features = sets
    train = train if given is None else changed(train, given)
    val = val if trusted is None else changed(val, trusted)
    return start(train, val, out=out, features=features, progress=progress, **{**OPTIONS, **options})


def changed(data, given):
    from dataclasses import replace

    return replace(data, given=given, spec=None)


@pytest.fixture(scope="module")
def finished(sets, tmp_path_factory):
    return run(sets, tmp_path_factory.mktemp("crossfit") / "run")


def stored(run):
    return np.array(run.crossfit_probabilities()), np.load(run.path / "crossfit" / "trusted.npy")


def test_it_ranks_better_than_models_that_have_seen_the_label(finished):
    found = {one.about.name: against_truth(finished, one) for one in collect(finished)}
    best = found["crossfit_wrong"]
    assert best["roc_auc"] > found["crossfit_loss"]["roc_auc"] - 0.01
    assert best["roc_auc"] > 0.95
    assert best["roc_auc"] > found["loss"]["roc_auc"] + 0.01
    assert best["roc_auc"] > found["fvm"]["roc_auc"]
    assert best["relabel_accuracy_mislabelled"] > 0.85
    assert found["crossfit_margin"]["roc_auc"] > 0.95


def test_probabilities_are_whole_and_fit_the_trusted_labels(finished, sets):
    p, trusted = stored(finished)
    assert p.shape == (300, 10) and trusted.shape == (90, 10)
    assert np.allclose(p.sum(1), 1, atol=1e-5)
    details = finished.info["stages"]["crossfit"]
    assert details["accuracy"] == pytest.approx((trusted.argmax(1) == sets[1].given).mean(), abs=1e-4)
    loss = -np.log(trusted[np.arange(90), sets[1].given]).mean()
    assert details["loss"] == pytest.approx(loss, abs=1e-4)
    assert temperature(np.log(trusted), sets[1].given) == pytest.approx(1, abs=0.02)
    assert details["loss"] == min(one["loss"] for one in details["tried"])
    assert [one["round"] for one in details["tried"]] == [1] * 5 + [2] * 5


def test_a_label_does_not_reach_its_own_sample(sets, tmp_path):
    options = {"crossfit_rounds": 1, "proximity": 1.0}
    given = sets[0].given.copy()
    before = run(sets, tmp_path / "one", given=given, **options)
    given[7] = (given[7] + 1) % 10
    after = run(sets, tmp_path / "two", given=given, **options)
    one, two = np.log(stored(before)[0]), np.log(stored(after)[0])
    # The scale is that of all trusted images, which other samples' models decide.
    scale = np.polyfit(one[7] - one[7].mean(), two[7] - two[7].mean(), 1)[0]
    assert np.allclose(two[7] - two[7].mean(), scale * (one[7] - one[7].mean()), atol=1e-4)
    others = np.arange(300) != 7
    assert np.abs(two[others] - one[others]).max() > 1e-3


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_trusted_label_does_not_reach_its_own_image(sets, tmp_path, rounds):
    trusted = sets[1].given.copy()
    options = {"crossfit_rounds": rounds, "proximity": 0.2}
    before = run(sets, tmp_path / "one", trusted=trusted, **options)
    trusted[5] = (trusted[5] + 1) % 10
    after = run(sets, tmp_path / "two", trusted=trusted, **options)
    if before.info["stages"]["crossfit"]["round"] != after.info["stages"]["crossfit"]["round"]:
        pytest.fail("the two runs kept different rounds, so that their probabilities can't be compared")
    one, two = (np.log(stored(run)[1][5]) for run in (before, after))
    scale = np.polyfit(one - one.mean(), two - two.mean(), 1)[0]
    assert np.allclose(two - two.mean(), scale * (one - one.mean()), atol=1e-4)


def test_the_review_ranks_by_it_with_its_own_suggestions(finished):
    found = choice_of(finished)
    assert (found.name, found.by_person) == ("crossfit_wrong", False)
    assert "the default: no wrong labels were planted" in found.reason
    table, own = read_scores(finished), finished.read_scores()
    p, _trusted = stored(finished)
    classes = np.array(finished.info["classes"], dtype=object)
    suggested = np.array([list(classes).index(label) for label in table["suggested_label"]])
    assert (suggested == p.argmax(1)).mean() > 0.9
    given = np.array([list(classes).index(label) for label in table["given_label"]])
    assert np.allclose(table["p_given"], p[np.arange(300), given])
    assert np.allclose(table["p_suggested"], p[np.arange(300), suggested])
    assert table["influence"].equals(own["influence"])
    first = table["alternatives"].iloc[0]
    assert [entry["label"] for entry in first] == classes[np.argsort(-p[0])[:3]].tolist()


@pytest.mark.fault("a run is stopped in a stage and resumed (every stage)")
@pytest.mark.parametrize("count", [1, 40, 200, 300])
def test_stopped_and_resumed(sets, finished, tmp_path, count):
    with pytest.raises(Cancelled):
        run(sets, tmp_path / "run", progress=StopsAt("crossfit", count))
    again = run(sets, tmp_path / "run", resume=True)
    for ours, theirs in zip(stored(again), stored(finished), strict=True):
        assert np.array_equal(ours, theirs)


def test_whole_networks_can_be_cross_fitted(tmp_path):
    found = start(
        "digits", "digits", out=tmp_path / "run", limit=300, val_limit=60, epochs=30, steps=10, saved_steps=2,
        crossfit_rounds=2, crossfit_folds=2, embed=False,
    )  # fmt: skip
    details = found.info["stages"]["crossfit"]
    assert [(one["round"], one["proximity"]) for one in details["tried"]] == [
        (1, 0.2), (1, None), (2, 0.2), (2, None),
    ]  # fmt: skip
    measured = {one.about.name: against_truth(found, one) for one in collect(found)}
    assert measured["crossfit_loss"]["roc_auc"] > 0.85


def test_without_it_its_scores_are_refused(tmp_path):
    with pytest.raises(SaltflatError, match="--crossfit-rounds 2"):
        start(
            "digits", "digits", out=tmp_path / "run", limit=60, val_limit=40, epochs=1, steps=2,
            estimator=["crossfit_loss"], crossfit_rounds=0,
        )  # fmt: skip
    assert not RunFolder(tmp_path / "run").exists()


def test_the_scale_of_logits_does_not_count():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 400)
    logits = rng.normal(size=(400, 4)) + 1.5 * np.eye(4)[labels]
    best = temperature(logits, labels)
    grid = [-log_softmax(best * f * logits, 1)[np.arange(400), labels].mean() for f in (0.9, 1.0, 1.1)]
    assert grid[1] == min(grid)
    assert calibrated_loss(logits, labels) == pytest.approx(grid[1])
    assert calibrated_loss(7 * logits, labels) == pytest.approx(grid[1], abs=1e-6)
