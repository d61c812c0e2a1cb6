"""What the first stage settles: the window of deep pictures, kept in the run."""

import re

import numpy as np
import pytest
from PIL import Image

import fvm_core as fvm
from fvm_core.config import RunConfig
from fvm_core.data import DatasetSpec, ImageDataset
from fvm_core.data.sources import RawImages
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.defaults import image_kind
from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder
from tests.cases import tiny_config

QUICK = {"epochs": 1, "steps": 2, "saved_steps": 2, "embed": False}


def thermal(count, seed):
    """14-bit pictures of a warm bar, upright or lying."""
    draw = np.random.default_rng(seed)
    array = draw.integers(7000, 7200, (count, 12, 12)).astype(np.uint16)
    array[::2, 4:8] += 1500
    array[1::2, :, 4:8] += 1500
    return array


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 24), ("val", 8)):
        for row, values in enumerate(thermal(count, len(split))):
            place = tmp_path / split / ("lying", "upright")[row % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(place / f"{row}.png")
    return tmp_path


def test_the_window_stands_in_the_config_and_is_told(folder):
    told = []

    class Told:
        def update(self, stage, done, total):
            pass

        def log(self, text):
            told.append(text)

    run = fvm.run(folder / "train", folder / "val", out=folder / "run", progress=Told(), **QUICK)
    low, high = run.config.train_data.window
    assert 7000 <= low < 7100 and 8600 < high <= 8700
    assert run.config.val_data.window == (low, high)
    assert [one["kind"] for one in run.info["problems"]].count("window") == 1
    assert run.info["input"]["std"][0] > 0.3
    assert any("from 7,000 to 8,6" in text for text in told)


def test_a_resumed_run_keeps_its_window(folder, monkeypatch):
    class StopsInTraining:
        def update(self, stage, done, total):
            if stage == "train":
                raise KeyboardInterrupt

        def log(self, text):
            pass

    config = RunConfig.from_options(
        DatasetSpec(str(folder / "train")), DatasetSpec(str(folder / "val")), QUICK
    )
    run = RunFolder.create(folder / "run", config)
    with pytest.raises(KeyboardInterrupt):
        execute(run, StopsInTraining())
    window = run.config.train_data.window
    whole = fvm.run(folder / "train", folder / "val", out=folder / "whole", window=window, **QUICK)
    monkeypatch.setattr("fvm_core.pipeline.prepare.with_conversion", None)  # choosing again would fail
    execute(run)
    assert run.config.train_data.window == window
    np.testing.assert_array_equal(run.scores["influence"], whole.scores["influence"])


def test_a_run_that_knew_no_window_keeps_its_pixels(folder):
    """Settings of earlier versions name none; what they have prepared stays as it was."""
    run = RunFolder.create(
        folder / "run",
        RunConfig.from_options(
            DatasetSpec(str(folder / "train"), window=(0.0, 65535.0)),
            DatasetSpec(str(folder / "val"), window=(0.0, 65535.0)),
            QUICK,
        ),
    )
    execute(run)
    before = run.scores
    config = (run.path / "config.toml").read_text(encoding="utf-8")
    old = config.replace("window = [\n    0.0,\n    65535.0,\n]\n", "")
    assert "window =" not in old
    for name in ("config.toml", "config.toml.bak"):
        (run.path / name).write_text(old, encoding="utf-8")
    run.reopen("prepare", "score", "relabel", "compare")
    execute(run)
    assert run.config.train_data.window is None
    np.testing.assert_array_equal(run.scores["influence"], before["influence"])


def test_data_from_python_goes_the_same_way(tmp_path):
    def dataset(count, seed):
        given = np.arange(count) % 2
        return ImageDataset(
            "t", [str(i) for i in range(count)], given, ("a", "b"), RawImages(thermal(count, seed))
        )

    data = dataset(24, 5), dataset(8, 3)
    run = fvm.run(*data, out=tmp_path / "run", **QUICK)
    window = run.config.train_data.window
    assert 7000 <= window[0] < 7100
    before = run.scores["influence"]
    run.reopen("score", "relabel", "compare")
    execute(run, data=data)
    np.testing.assert_array_equal(run.scores["influence"], before)


def test_ordinary_runs_name_no_window(tmp_path):
    run = RunFolder.create(tmp_path / "run", tiny_config(train=tiny_config().train))
    execute(run)
    assert "window =" not in (run.path / "config.toml").read_text(encoding="utf-8")
    assert run.info["problems"] == []


def shaped(tmp_path, width, height):
    """Pictures of one shape whose label stands in the outer quarter."""
    for split, count in (("train", 24), ("val", 8)):
        for row in range(count):
            values = np.random.default_rng(row).integers(0, 60, (height, width)).astype(np.uint8)
            values[: height // 4, : width // 4] += 150 * (row % 2)
            place = tmp_path / split / ("dark", "light")[row % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(place / f"{row}.png")
    return tmp_path / "train", tmp_path / "val"


@pytest.mark.parametrize(
    ("width", "height", "fit", "text"),
    [
        (16, 16, "crop", None),
        (
            18,
            16,
            "crop",
            r"cropped to a square, which cuts 11 % of the median image off\..*--fit pad or stretch",
        ),
        (32, 16, "pad", r"padded to a square; cropping would cut 50 % of the median image off"),
        (16, 48, "pad", r"padded to a square; cropping would cut 67 % of the median image off"),
    ],
)
def test_wide_and_tall_images_are_padded_where_cropping_costs_much(tmp_path, width, height, fit, text):
    run = fvm.run(*shaped(tmp_path, width, height), out=tmp_path / "run", size=16, **QUICK)
    assert run.config.model.fit == fit
    told = [problem for problem in run.info["problems"] if problem["kind"] == "fit"]
    assert len(told) == (text is not None)
    assert not told or re.search(text, told[0]["message"])


def test_the_fit_that_is_asked_for_is_taken(tmp_path):
    data = shaped(tmp_path, 48, 16)
    run = fvm.run(*data, out=tmp_path / "run", size=16, fit="crop", **QUICK)
    (told,) = [problem for problem in run.info["problems"] if problem["kind"] == "fit"]
    assert (run.config.model.fit, told["severity"]) == ("crop", "warning")
    with pytest.raises(
        SaltflatError, match=r"`model\.fit` is 'wide'; choose one of: auto, crop, pad, stretch"
    ):
        fvm.run(*data, out=tmp_path / "other", fit="wide", **QUICK)


def test_a_run_that_knew_no_fit_goes_on_cropping(tmp_path):
    run = fvm.run(*shaped(tmp_path, 48, 16), out=tmp_path / "run", size=16, fit="crop", **QUICK)
    before = run.scores["influence"]
    old = (run.path / "config.toml").read_text(encoding="utf-8").replace('fit = "crop"\n', "")
    for stages in (("score", "relabel", "compare"), ("prepare", "score", "relabel", "compare")):
        for name in ("config.toml", "config.toml.bak"):
            (run.path / name).write_text(old, encoding="utf-8")
        run.reopen(*stages)
        execute(run)
        np.testing.assert_array_equal(run.scores["influence"], before)
    assert run.config.model.fit == "crop"


def test_images_of_a_source_that_has_no_hash_are_looked_at_too(monkeypatch):
    data = fvm.load_dataset("digits", limit=20)
    kind = image_kind(data)
    source = type("Own", (type(data.images),), {"__hash__": None})
    monkeypatch.setattr(data.images, "__class__", source)
    assert image_kind(data) == kind == (8, 1, 0.0)
