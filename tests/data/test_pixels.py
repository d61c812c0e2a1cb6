import numpy as np
import pytest
import torch
from PIL import Image

from fvm_core.data import load_dataset
from fvm_core.data.pixels import FITS, Pixels, fit
from fvm_core.errors import Cancelled, SaltflatError

from .images import encoded, encoded_dataset, picture

LOTS = 1 << 30


@pytest.fixture
def mixed():
    """Photographs of several sizes and kinds, two of them unreadable."""
    blobs = [
        encoded(picture(0, 32, 24)),
        encoded(picture(1, 24, 32, 1)),
        b"junk",
        encoded(picture(2, 400, 300), "JPEG"),
        None,
        encoded(picture(3, 5, 90)),
        encoded(picture(4, 32, 32)),
    ]
    return encoded_dataset(blobs)


READABLE = [True, True, False, True, False, True, True]


@pytest.mark.parametrize("shape", [(32, 32, 3), (20, 28, 1), (1, 1, 3)])
def test_every_way_gives_the_same_pixels(mixed, tmp_path, shape):
    ways = [
        Pixels.build(mixed, *shape, tmp_path, LOTS),
        Pixels.build(mixed, *shape, tmp_path, LOTS),
        Pixels.build(mixed, *shape, None, LOTS),
        Pixels.build(mixed, *shape, None, 1),
        Pixels.build(mixed, *shape, None, 1, readable=np.array(READABLE)),
    ]
    assert [way.cached for way in ways] == [True, True, True, False, False]
    rows = np.array([6, 0, 2, 0, 3, 5, 1, 4])
    for way in ways:
        assert len(way) == 7
        assert way.readable.tolist() == READABLE
        assert torch.equal(way.batch(rows), ways[0].batch(rows))
        assert torch.equal(way.batch(torch.tensor(rows)), ways[0].batch(rows.tolist()))
        assert np.array_equal(way.mean_std(), ways[0].mean_std())
    batch = ways[0].batch(rows)
    assert batch.shape == (8, shape[2], shape[0], shape[1])
    assert batch.dtype == torch.uint8
    assert not batch[2].any()
    assert not batch[7].any()
    assert torch.equal(ways[0].tensor()[rows], batch)
    with pytest.raises(SaltflatError, match="ask for batches"):
        ways[3].tensor()


def test_an_image_of_the_right_size_keeps_its_pixels(mixed):
    pixels = Pixels.build(mixed, 32, 32, 3, None, LOTS)
    assert np.array_equal(pixels.batch([6])[0].permute(1, 2, 0).numpy(), np.asarray(picture(4, 32, 32)))


def test_digits_are_exact():
    data = load_dataset("digits")
    pixels = Pixels.build(data, 8, 8, 1, None, LOTS)
    for row in (0, 500, 1199):
        assert np.array_equal(pixels.batch([row])[0, 0].numpy(), np.asarray(data.images.image(row)))
    everything = pixels.tensor().numpy() / 255
    mean, std = pixels.mean_std()
    assert mean == pytest.approx([everything.mean()], abs=1e-12)
    assert std == pytest.approx([everything.std()], abs=1e-12)
    rows = np.arange(100, 200)
    assert pixels.mean_std(rows)[0] == pytest.approx([everything[rows].mean()], abs=1e-12)
    assert abs(pixels.mean_std(sample=300)[0] - mean) < 0.01


def test_fit_cuts_out_the_middle():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = [10, 20, 30]
    assert (fit(Image.fromarray(wide), 10, 10, 3) == np.array([10, 20, 30])[:, None, None]).all()
    tall = np.zeros((30, 10), np.uint8)
    tall[10:20] = 200
    assert (fit(Image.fromarray(tall), 10, 10, 1) == 200).all()


def test_fit_averages_when_it_shrinks():
    checks = np.kron(np.indices((64, 64)).sum(axis=0) % 2, np.ones((1, 1))).astype(np.uint8) * 255
    small = fit(Image.fromarray(checks), 8, 8, 1).astype(float)
    assert np.abs(small - 127.5).max() < 12


def test_fit_of_extreme_shapes_and_channels():
    for size in [(1, 1), (1, 500), (500, 1), (7, 3)]:
        assert fit(picture(0, *size), 8, 12, 3).shape == (3, 8, 12)
        assert fit(picture(0, *size, 1), 8, 12, 3).shape == (3, 8, 12)
        assert fit(picture(0, *size), 8, 12, 1).shape == (1, 8, 12)


def test_padding_keeps_the_whole_image_and_its_ground():
    wide = np.full((10, 30, 3), [200, 210, 220], np.uint8)
    wide[2:8, 2:28] = [10, 20, 30]
    padded = fit(Image.fromarray(wide), 30, 30, 3, "pad")
    assert (padded[:, :10] == np.array([200, 210, 220])[:, None, None]).all()
    assert (padded[:, 20:] == np.array([200, 210, 220])[:, None, None]).all()
    assert np.array_equal(padded[:, 10:20].transpose(1, 2, 0), wide)
    tall = np.full((40, 10), 7, np.uint8)
    tall[0] = 255
    assert (fit(Image.fromarray(tall), 20, 20, 1, "pad")[0, :, :7] == 7).all()


def test_stretching_keeps_everything_and_no_shape():
    halves = np.zeros((10, 40), np.uint8)
    halves[:, 20:] = 200
    stretched = fit(Image.fromarray(halves), 20, 20, 1, "stretch")[0]
    assert (stretched[:, :9] == 0).all() and (stretched[:, 11:] == 200).all()
    assert (fit(Image.fromarray(halves), 10, 10, 1, "crop")[0] == np.repeat([0, 200], 5)).all()


@pytest.mark.parametrize("how", FITS)
def test_a_fit_is_the_same_from_disk_and_on_demand(mixed, tmp_path, how):
    built = Pixels.build(mixed, 20, 20, 3, tmp_path, LOTS, how=how)
    again = Pixels.build(mixed, 20, 20, 3, tmp_path, LOTS, how=how)
    lazy = Pixels.build(mixed, 20, 20, 3, None, 1, how=how)
    rows = np.arange(7)
    assert torch.equal(built.batch(rows), lazy.batch(rows))
    assert torch.equal(built.batch(rows), again.batch(rows))
    for other in FITS:
        if other != how:
            rebuilt = Pixels.build(mixed, 20, 20, 3, tmp_path, LOTS, how=other)
            assert not torch.equal(built.batch(rows), rebuilt.batch(rows))
    with pytest.raises(SaltflatError, match="choose one of: crop, pad, stretch"):
        Pixels.build(mixed, 20, 20, 3, None, 1, how="squeeze")


def test_files_are_reused_only_for_the_same_images_and_shape(mixed, tmp_path):
    def decoded(dataset, *shape):
        told = []
        Pixels.build(dataset, *shape, tmp_path, LOTS, progress=lambda *numbers: told.append(numbers))
        return bool(told)

    assert decoded(mixed, 8, 8, 3)
    assert not decoded(mixed, 8, 8, 3)
    assert decoded(mixed, 8, 8, 1)
    assert decoded(mixed.take(np.array([1, 0])), 8, 8, 1)


def test_writing_to_a_batch_or_the_tensor_leaves_the_file(mixed, tmp_path):
    pixels = Pixels.build(mixed, 8, 8, 3, tmp_path, LOTS)
    before = pixels.batch([0])
    pixels.tensor().zero_()
    again = Pixels.build(mixed, 8, 8, 3, tmp_path, LOTS)
    assert torch.equal(again.batch([0]), before)


def test_stopping_leaves_nothing(mixed, tmp_path):
    with pytest.raises(Cancelled):
        Pixels.build(mixed, 8, 8, 3, tmp_path, LOTS, cancelled=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_errors(mixed):
    with pytest.raises(SaltflatError, match="channels must be 1"):
        Pixels.build(mixed, 8, 8, 2, None, LOTS)
    nothing = Pixels.build(encoded_dataset([b"a", b"b"]), 8, 8, 3, None, LOTS)
    with pytest.raises(SaltflatError, match="None of the images can be read"):
        nothing.mean_std()


def test_from_array():
    pixels = Pixels.from_array(np.full((2, 3, 4, 5), 51, np.uint8))
    assert pixels.shape == (3, 4, 5)
    assert pixels.readable.tolist() == [True, True]
    mean, std = pixels.mean_std()
    assert mean == pytest.approx([0.2] * 3)
    assert std == pytest.approx([0] * 3)
