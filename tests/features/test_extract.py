"""What is stored is what the backbone gives for each image, whenever the work was stopped."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fvm_core.data import load_dataset
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.features.extract import View, extract
from fvm_core.features.store import CHUNK, FeatureStore, finished_rows

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


class Body(nn.Module):
    """Means over quarters of the image: (B, 3, H, W) to (B, 12)."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, images):
        self.batches.append(len(images))
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def view(**changes):
    values = {"size": 12, "crop": 1.0, "interpolation": "bicubic", "fit": "crop", "mean": MEAN, "std": STD}
    return View(**{**values, **changes})


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (CHUNK + 90, 20, 26, 3), dtype=np.uint8)
    return load_dataset({"images": images, "labels": np.arange(len(images)) % 2})


def embedded(dataset, folder, readable=None, body=None, tell=lambda done, total: None, **changes):
    store = FeatureStore(folder, {}, len(dataset), (12,))
    readable = np.ones(len(dataset), dtype=bool) if readable is None else readable
    extract(dataset.images, readable, body or Body(), view(**changes), store, "cpu", tell)
    return store


def expected(dataset, row, size=12, crop=1.0, mirror=False):
    image = dataset.images.image(row)
    whole = round(size / crop)
    left = (image.width - image.height) / 2
    box = (left, 0, left + image.height, image.height)
    scaled = image.resize((whole, whole), Image.Resampling.BICUBIC, box=box)
    edge = (whole - size) // 2
    pixels = np.asarray(scaled)[edge : edge + size, edge : edge + size]
    values = (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255 - _column(MEAN)) / _column(STD)
    both = [values, values.flip(2)] if mirror else [values]
    return torch.stack([Body()(one[None])[0] for one in both]).mean(0).numpy()


def _column(values):
    return torch.tensor(values)[:, None, None]


@pytest.mark.parametrize("changes", [{}, {"crop": 0.75}, {"mirror": True}, {"size": 30}])
def test_features_are_those_of_each_image(tmp_path, dataset, changes):
    store = embedded(dataset, tmp_path, **changes)
    for row in (0, 31, 32, CHUNK - 1, CHUNK, len(dataset) - 1):
        assert np.allclose(store.values[row], expected(dataset, row, **changes), atol=2e-3), row
    assert store.complete


def test_a_stop_loses_one_chunk_at_most(tmp_path, dataset):
    def stop(done, total):
        if done > CHUNK:
            raise Cancelled

    with pytest.raises(Cancelled):
        embedded(dataset, tmp_path / "one", tell=stop)
    assert finished_rows(tmp_path / "one", len(dataset)) == CHUNK
    body = Body()
    store = embedded(dataset, tmp_path / "one", body=body)
    assert sum(body.batches) == len(dataset) - CHUNK
    assert np.array_equal(store.values, embedded(dataset, tmp_path / "two").values)


def test_unreadable_images_have_no_features(tmp_path, dataset):
    readable = np.ones(len(dataset), dtype=bool)
    readable[[3, 40, CHUNK + 1]] = False
    store = embedded(dataset, tmp_path, readable)
    assert np.array_equal(np.isnan(store.values).all(1), ~readable)
    assert np.allclose(store.values[4], expected(dataset, 4), atol=2e-3)


class Broken(Body):
    def forward(self, images):
        found = super().forward(images)
        found[5 % len(found)] = 1e6
        return found


def test_features_that_half_precision_cannot_hold_are_refused(tmp_path, dataset):
    with pytest.raises(SaltflatError, match="image 5 features"):
        embedded(dataset, tmp_path, body=Broken())


def test_a_store_of_something_else_is_begun_anew(tmp_path, dataset):
    embedded(dataset, tmp_path)
    assert FeatureStore(tmp_path, {"other": 1}, len(dataset), (12,)).finished_rows == 0


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(SaltflatError, match="magic"):
        view(interpolation="magic")
