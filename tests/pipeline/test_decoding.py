"""Every image is decoded once in a run, whatever is made of it, and the values are those of a decoding alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from fvm_core.data import load_dataset
from fvm_core.data.pixels import Pixels
from fvm_core.data.thumbnails import SMALLEST, Thumbnails
from fvm_core.errors import Cancelled
from fvm_core.features.extract import extract
from fvm_core.features.store import FeatureStore
from fvm_core.pipeline.backbone import body_of
from fvm_core.pipeline.feature_stage import view_of
from fvm_core.pipeline.inputs import InputSpec
from fvm_core.pipeline.runner import execute, start
from fvm_core.pipeline.thumbnail_folders import thumbnail_folder
from fvm_core.runs.run_folder import RunFolder
from tests.pipeline.test_resume import StopsAt

COUNTS = {"train": 70, "val": 20}
BROKEN = 51
"""Row of 033.jpg, which follows all of class a."""
OPTIONS = {
    "epochs": 1, "steps": 2, "saved_steps": 2, "embed": False, "budget": 0, "crossfit_rounds": 0, "size": 24,
}  # fmt: skip
WAYS = {"pixels": {"model": "small_cnn"}, "features": {}}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Photographs of 500 × 400 px as JPEG files, of which one of the training set can't be read."""
    rng, found = np.random.default_rng(0), []
    for part, count in COUNTS.items():
        folder = tmp_path_factory.mktemp(part)
        for row in range(count):
            values = rng.integers(0, 256, (10, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(values).resize((400, 500), Image.Resampling.BICUBIC)
            file, place = io.BytesIO(), folder / ("ab"[row % 2])
            picture.save(file, "JPEG", quality=90)
            place.mkdir(exist_ok=True)
            (place / f"{row:03d}.jpg").write_bytes(file.getvalue() if row != 33 else b"no picture")
        found.append(load_dataset(folder))
    return found


@pytest.fixture
def decoded(sets, monkeypatch):
    """Rows that are decoded for more than a look at their size, by set."""
    found = {id(one.images): [] for one in sets}
    kind = type(sets[0].images)
    original = kind.image

    def image(self, row, smallest=0):
        if smallest > 1:
            found[id(self)].append(row)
        return original(self, row, smallest)

    monkeypatch.setattr(kind, "image", image)
    return [found[id(one.images)] for one in sets]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_decodes_every_image_once(sets, decoded, tmp_path, monkeypatch, way):
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "home"))
    first = start(*sets, out=tmp_path / "first", **OPTIONS, **WAYS[way])
    assert [sorted(rows) for rows in decoded] == [list(range(count)) for count in COUNTS.values()]
    assert not (first.path / "work").exists()
    for rows in decoded:
        rows.clear()
    second = start(*sets, out=tmp_path / "second", **OPTIONS, **WAYS[way])
    assert [len(rows) for rows in decoded] == list(COUNTS.values())
    assert second.scores["influence"].equals(first.scores["influence"])
    if way == "features":
        assert first.info["stages"]["features"]["computed"] == sum(COUNTS.values())
        assert second.info["stages"]["features"]["computed"] == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [3, 6])
def test_a_run_that_was_stopped_goes_on(sets, tmp_path, monkeypatch, way, count):
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "home"))
    whole = start(*sets, out=tmp_path / "whole", **OPTIONS, **WAYS[way])
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "other home"))
    with pytest.raises(Cancelled):
        start(*sets, out=tmp_path / "run", progress=StopsAt("prepare", count), **OPTIONS, **WAYS[way])
    again = execute(RunFolder(tmp_path / "run"), data=tuple(sets))
    assert again.scores["influence"].equals(whole.scores["influence"])
    assert again.unscored().to_dict() == {BROKEN: "image can't be read"}


def test_pixels_and_features_are_those_of_a_decoding_of_their_own(sets, tmp_path, monkeypatch):
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "home"))
    seen = {}
    for way, options in WAYS.items():
        run = RunFolder(tmp_path / way)
        with pytest.raises(Cancelled):
            start(*sets, out=run.path, progress=StopsAt("train", 1), **OPTIONS, **options)
        seen[way] = run
    train = sets[0]
    alone = Pixels.build(train, 24, 24, 3, tmp_path / "alone", 2**30)
    beside = np.load(seen["pixels"].path / "work" / "pixels_train" / "pixels.npy")
    assert np.array_equal(beside, alone.tensor().numpy())
    on_demand = Pixels.build(train, 24, 24, 3, None, 0, readable=alone.readable)
    assert torch.equal(on_demand.batch(range(70)), alone.tensor())

    settings = seen["features"].config.model
    backbone = body_of(settings, 24)
    spec = InputSpec(**{key: tuple(value) if isinstance(value, list) else value
                        for key, value in seen["features"].info["input"].items()})  # fmt: skip
    store = FeatureStore(tmp_path / "store", {}, 70, backbone.shape)
    extract(
        train.images, alone.readable, backbone.body, view_of(settings, spec), store, "cpu", lambda *_: None
    )
    (kept,) = (
        path
        for path in (tmp_path / "home" / "cache" / "features").glob("*/features.npy")
        if len(np.load(path)) == 70
    )
    assert np.array_equal(np.load(kept), store.values, equal_nan=True)
    assert np.isnan(np.load(kept)[BROKEN]).all()


def test_thumbnails_are_the_same_with_or_without_others(sets, tmp_path, monkeypatch):
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "home"))
    run = start(*sets, out=tmp_path / "run", **OPTIONS, model="small_cnn")
    alone = Thumbnails.build(sets[0], tmp_path / "alone")
    beside = Thumbnails(thumbnail_folder(run.path, "train"))
    assert SMALLEST > 2 * 64  # so that both were decoded at the same size
    assert np.array_equal(alone.hashes, beside.hashes)
    assert all(alone.encoded(row) == beside.encoded(row) for row in range(70))


def test_images_at_another_place_are_known_by_some_of_their_content(sets, tmp_path, monkeypatch):
    import shutil
    from pathlib import Path

    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "home"))
    start(*sets, out=tmp_path / "first", **OPTIONS)
    moved = tmp_path / "moved"
    shutil.copytree(Path(sets[0].spec.source), moved)
    again = start(load_dataset(moved), sets[1], out=tmp_path / "second", **OPTIONS)
    assert again.info["stages"]["features"]["computed"] == 0
