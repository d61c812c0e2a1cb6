"""Networks that learn wrong labels of real scans: what their planted samples promise is what happens."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import fvm_core as fvm
from fvm_core.acceptance.of_run import Outlook, outlook
from fvm_core.comparison.results import descriptions
from fvm_core.data.dataset import ImageDataset
from fvm_core.runs.run_folder import RunFolder

TRAINING, TRUSTED = 600, 300
OPTIONS = {"model": "small_cnn", "saved_steps": 2, "embed": False, "device": "cpu"}


def scans(rng: np.random.Generator, noise: float) -> tuple[ImageDataset, ImageDataset, np.ndarray]:
    """Training set with a share of its labels moved to another class, trusted set, and the right labels."""
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    rows = rng.permutation(len(labels))[: TRAINING + TRUSTED]
    images, labels = images[rows], labels[rows]
    given = labels[:TRAINING].copy()
    wrong = rng.random(TRAINING) < noise
    given[wrong] = (given[wrong] + rng.integers(1, 10, wrong.sum())) % 10
    train = fvm.load_dataset((images[:TRAINING], given))
    return train, fvm.load_dataset((images[TRAINING:], labels[TRAINING:])), labels[:TRAINING]


def known(path, seed: int, noise: float) -> tuple[RunFolder, Outlook, np.ndarray]:
    """A run, what it lets one expect, and the right class indices (N,)."""
    train, val, true = scans(np.random.default_rng(seed), noise)
    run = fvm.run(
        train,
        val,
        out=path,
        **OPTIONS,
        epochs=12,
        steps=100,
        planted=0.5,
        seed=seed,
    )
    classes = run.info["classes"]
    return run, outlook(run), np.array([classes.index(str(label)) for label in true])


@pytest.mark.parametrize(("noise", "seed"), [(0.0, 0), (0.05, 1), (0.2, 2), (0.3, 3), (0.4, 4)])
def test_what_is_promised_happens(tmp_path, noise, seed):
    run, found, true = known(tmp_path / "run", seed, noise)
    assert found.trial is not None and sum(found.trial.sizes) == 150
    assert len(run.planted_suggestions()) == 150 and len(run.scores) == TRAINING
    everyone = np.ones(TRAINING, dtype=bool)
    right, wrong = found.suggested == true, found.given != true
    for share in (0.0, 0.5, 0.8, 0.9):
        accepted = found.differs & (found.suspicion >= np.quantile(found.suspicion, share))
        expected = found.expect(accepted, everyone)
        gain = int(wrong.sum()) - int((np.where(accepted, found.suggested, found.given) != true).sum())
        assert expected.right.low <= (right & accepted).sum() <= expected.right.high
        assert expected.gain.low <= gain <= expected.gain.high
        assert expected.before.low <= wrong.sum() <= expected.before.high
    for target in (0.5, 0.7, 0.95):
        accepted = found.accept(target, everyone).accepted
        assert (right & accepted).sum() >= target * accepted.sum()
        assert (right & accepted).sum() >= (~wrong & accepted).sum()
    if noise >= 0.2:
        assert found.accept(0.5, everyone).accepted.sum() > 0.8 * noise * TRAINING


def test_a_score_that_relabels_keeps_what_it_suggests_for_planted_samples(tmp_path):
    train, val, _true = scans(np.random.default_rng(0), 0.2)
    run = fvm.run(
        train,
        val,
        out=tmp_path / "run",
        **OPTIONS,
        epochs=8,
        steps=60,
        planted=0.2,
        estimator=("tuned_margin", "tuned_gradient_norm"),
    )
    about = {one.name: one for one in descriptions(run.path)}
    own = run.planted_suggestions().tolist()
    # The margin suggests what the model predicts, which the influence does for nearly all once it is trained.
    for name in ("tuned_margin", "tuned_gradient_norm"):
        told = about[name].planted_suggested
        assert len(told) == 60 and set(told) <= set(run.info["classes"])
        assert np.mean([one == other for one, other in zip(told, own, strict=True)]) > 0.9
    assert list(about["tuned_loss"].planted_suggested) == []
