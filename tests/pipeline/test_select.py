"""`auto` tries several classifiers and goes on with the one that trusted images favour."""

import numpy as np
import pytest
from scipy.special import log_softmax
from typer.testing import CliRunner

from fvm_core.cli.commands import application
from fvm_core.comparison.calibration import temperature
from fvm_core.comparison.reasons import classifier_reason, reasons
from fvm_core.data import load_dataset
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.pipeline.runner import execute, start
from fvm_core.runs.run_folder import RunFolder
from tests.pipeline.test_resume import StopsAt, same_results

OPTIONS = {
    "size": 24, "augment": False, "epochs": 12, "steps": 4, "saved_steps": 2, "embed": False, "crossfit_folds": 2, "budget": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def sets():
    """Where a spot is, in which quarter: what a mean over all positions, as the backbone takes it, forgets."""
    rng, found = np.random.default_rng(0), []
    for count in (240, 60):
        quarter = np.arange(count) % 4
        images = rng.integers(0, 20, (count, 24, 24, 3), dtype=np.uint8)
        for image, place in zip(images, quarter, strict=True):
            top, left = rng.integers(0, 8, 2) + 12 * np.array([place // 2, place % 2])
            image[top : top + 5, left : left + 5] += 180
        labels = quarter.copy()
        if not found:  # a tenth of the training labels is wrong
            labels[::10] = (labels[::10] + 1) % 4
        found.append(load_dataset({"images": images, "labels": labels}))
    return found


@pytest.fixture(scope="module")
def finished(sets, started):
    return started(sets, **OPTIONS)


@pytest.fixture(autouse=True)
def same_home(home, monkeypatch):
    monkeypatch.setenv("SALTFLAT_HOME", str(home))


def test_three_are_tried_and_the_best_is_kept(finished):
    details = finished.info["stages"]["select"]
    titles = [one["title"] for one in details["tried"]]
    assert titles == [
        "a head on the features of tf_efficientnet_lite0",
        "small_cnn on images of 24 px",
        "the last block of tf_efficientnet_lite0",
    ]
    assert details["kept"] in titles
    assert details["trusted"] == 60
    assert details["kept"] == "small_cnn on images of 24 px"
    accuracies = [one["accuracy"] for one in details["tried"]]
    assert accuracies[1] > 0.9
    assert accuracies[1] == max(accuracies)


def test_the_run_goes_on_with_it(finished):
    model = finished.config.model
    assert (model.name, model.train_part, model.size, model.pretrained) == ("small_cnn", "all", 24, False)
    assert finished.info["input"]["size"] == 24
    assert finished.config.crossfit.rounds == 1
    assert np.isfinite(finished.scores["influence"]).all()
    details = finished.info["stages"]
    assert details["crossfit"]["loss"] == details["select"]["tried"][1]["loss"]
    assert details["features"]["computed"] == 300
    text = classifier_reason(finished)
    assert text.startswith("The classifier is small_cnn on images of 24 px: ")
    assert "60 trusted images" in text


def test_the_export_says_it_too(finished, tmp_path):
    found = CliRunner().invoke(
        application, ["export", str(finished.path), "--out", str(tmp_path / "out.csv")]
    )
    assert found.exit_code == 0
    assert classifier_reason(finished) in found.output
    assert all(reason in found.output for reason in reasons(finished))


def test_stopped_in_the_middle_it_ends_the_same(sets, finished, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Cancelled):
        start(*sets, out=out, progress=StopsAt("select", 40), **OPTIONS)
    again = execute(RunFolder(out), data=tuple(sets))
    same_results(again, finished)
    assert np.array_equal(again.crossfit_probabilities(), finished.crossfit_probabilities())
    assert again.info["stages"]["select"]["tried"] == finished.info["stages"]["select"]["tried"]


def test_an_average_is_that_of_both_and_can_be_made_again(sets, finished, tmp_path, monkeypatch):
    import fvm_core.pipeline.select as stage

    fits, real, choose = [], stage.cross_fit, stage.select

    def seen(context):
        fits.append(real(context))
        return fits[-1]

    def half(logits, labels):
        return choose(logits, labels).__class__(1, (0.5,) * 3, (1.0,) * 3, 0, 0.5, 0.9, 0.6)

    monkeypatch.setattr(stage, "cross_fit", seen)
    monkeypatch.setattr(stage, "select", half)
    found = start(*sets, out=tmp_path / "run", **OPTIONS)
    assert "an average with a head on the features" in classifier_reason(found)
    labels = sets[1].given

    def scaled(one, values):
        return log_softmax(temperature(one.trusted, labels) * values, axis=1)

    first, second = fits[1].best, fits[0].best
    mean, trusted = (
        np.log(
            (np.exp(scaled(first, getattr(first, name))) + np.exp(scaled(second, getattr(second, name)))) / 2
        )
        for name in ("logits", "trusted")
    )
    expected = np.exp(log_softmax(temperature(trusted, labels) * mean, axis=1))
    assert np.allclose(found.crossfit_probabilities(), expected, atol=1e-4)
    before = np.array(found.crossfit_probabilities())
    RunFolder(found.path).reopen("crossfit", "compare")
    again = execute(RunFolder(found.path), data=tuple(sets))
    assert np.allclose(again.crossfit_probabilities(), before, atol=1e-5)


def test_without_time_only_the_first_is_taken(sets, tmp_path):
    found = start(*sets, out=tmp_path / "run", **{**OPTIONS, "budget": 0})
    assert found.info["stages"]["select"]["state"] == "skipped"
    assert found.config.model.train_part == "head"
    assert classifier_reason(found) == ""


@pytest.mark.parametrize(
    "named",
    [
        {"model": "small_cnn"},
        {"train_part": "head"},
        {"train_part": "last:2"},
        {"pretrained": True},
        {"features": "own.npy"},
        {"checkpoint": "own.pt"},
        {"crossfit_rounds": 0},
    ],
)
def test_a_budget_where_there_is_no_choice_is_refused(sets, tmp_path, named):
    with pytest.raises(SaltflatError, match="leave out --budget"):
        start(*sets, out=tmp_path / "run", **{**OPTIONS, **named})
    assert not (tmp_path / "run").exists()


def test_a_budget_below_nothing_is_refused(sets, tmp_path):
    with pytest.raises(SaltflatError, match=r"budget.* at least 0"):
        start(*sets, out=tmp_path / "run", **{**OPTIONS, "budget": -1})
    assert not (tmp_path / "run").exists()
