"""Which wrong labels are planted."""

import numpy as np
import pandas as pd
import pytest

from fvm_core.config import CompareConfig
from fvm_core.data import load_dataset
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.planted import class_confusion
from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder
from tests.cases import tiny_config


def clusters(count, rng, mixed=0.0):
    """Three classes; of the first two a share `mixed` lies among the other."""
    labels = np.arange(count) % 3
    lies = labels.copy()
    swapped = (rng.random(count) < mixed) & (labels < 2)
    lies[swapped] = 1 - lies[swapped]
    return np.eye(3)[lies] * 10 + rng.normal(size=(count, 3)), labels


def test_the_confusion_of_the_labels_is_found():
    rng = np.random.default_rng(0)
    features, true = clusters(3000, rng)
    given = true.copy()
    flipped = rng.random(3000) < 0.3
    given[flipped & (true == 0)] = 1  # class 0 is often called 1, class 2 anything, class 1 always right
    other = flipped & (true == 2)
    given[other] = rng.integers(0, 2, other.sum())
    found = class_confusion(features, given, *clusters(300, rng), 3)
    assert np.allclose(found.sum(1), 1) and np.allclose(found.diagonal(), 0)
    assert found[0, 1] > 0.97
    assert found[2, 0] == pytest.approx(0.5, abs=0.06)
    assert found[1, 0] == pytest.approx(0.5, abs=0.1)  # nothing is known: chance


def test_classes_that_look_alike_are_not_taken_for_mislabelled_ones():
    rng = np.random.default_rng(1)
    features, given = clusters(3000, rng, mixed=0.3)
    wrong = rng.random(3000) < 0.3
    given[wrong & (given == 0)] = 2  # the true confusion is 0 with 2, the look-alikes are 0 and 1
    found = class_confusion(features, given, *clusters(900, rng, mixed=0.3), 3)
    assert found[0, 2] > 0.8


def test_a_share_that_is_too_small_is_told(tmp_path):
    run = RunFolder.create(tmp_path / "run", tiny_config(compare=CompareConfig(planted=0.02)))
    with pytest.raises(
        SaltflatError, match=r"that share is 2 of 120 validation samples, and at least 4 are needed"
    ):
        execute(run)


def test_every_class_keeps_a_sample_to_tune_on(tmp_path):
    run = execute(RunFolder.create(tmp_path / "run", tiny_config(compare=CompareConfig(planted=0.9))))
    planted = pd.read_parquet(run.path / "planted.parquet")
    assert len(planted) == 108
    val = load_dataset("digits", split="val", limit=120)
    left = np.delete(val.given, planted["row"])
    assert set(left.tolist()) == set(range(10))
    assert run.finished
