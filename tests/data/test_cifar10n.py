"""The real CIFAR-10N files, where they are."""

import os
from pathlib import Path

import numpy as np
import pytest

from fvm_core.data import load_dataset
from fvm_core.data.pixels import Pixels
from fvm_core.errors import SaltflatError

FOLDER = Path(os.environ.get("SALTFLAT_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (FOLDER / "cifar10n_train.parquet").exists(),
    reason=f"no cifar10n_train.parquet in {FOLDER}; SALTFLAT_DATA names another folder",
)
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.mark.parametrize(
    ("label", "percent"), [("worse_label", 40.2), ("random_label1", 17.2), ("aggre_label", 9.0)]
)
def test_noise_rates(label, percent):
    data = load_dataset(FOLDER / "cifar10n_train.parquet", label=label, true_label="clean_label")
    assert len(data) == 50_000
    assert data.classes == NAMES
    assert 100 * np.mean(data.given != data.true) == pytest.approx(percent, abs=0.1)
    assert np.bincount(data.true).tolist() == [5000] * 10
    assert data.ids[0] == "train/00000"
    assert data.ids[49_999] == "train/49999"
    assert data.problems == []


def test_the_label_column_has_to_be_named():
    with pytest.raises(SaltflatError, match="worse_label, aggre_label, random_label1, clean_label"):
        load_dataset(FOLDER / "cifar10n_train.parquet")


def test_photographs():
    data = load_dataset(FOLDER / "cifar10_test.parquet", limit=500)
    pixels = Pixels.build(data, 32, 32, 3, None, 1 << 30)
    assert pixels.readable.all()
    mean, std = pixels.mean_std()
    # the well-known statistics of CIFAR-10
    assert mean == pytest.approx([0.491, 0.482, 0.447], abs=0.02)
    assert std == pytest.approx([0.247, 0.243, 0.262], abs=0.02)
