import base64
import io

import numpy as np
import pytest
from PIL import Image

from fvm_core.data import load_dataset
from fvm_core.data.sources import FileImages
from fvm_core.data.thumbnails import MAX_BYTES, MAX_SIDE, Thumbnails, content_hash, encode_thumbnail
from fvm_core.errors import Cancelled

from .images import encoded, encoded_dataset, picture


def opened(data):
    return Image.open(io.BytesIO(data))


def test_digits_stay_crisp(tmp_path):
    data = load_dataset("digits", split="val")
    thumbnails = Thumbnails.build(data, tmp_path)
    assert len(thumbnails) == 300
    assert thumbnails.readable.all()
    for row in range(300):
        assert np.array_equal(np.asarray(opened(thumbnails.encoded(row))), np.asarray(data.images.image(row)))
    assert thumbnails.mime(0) == "image/png"


@pytest.mark.parametrize(
    "size", [(1, 1), (32, 32), (33, 20), (96, 96), (500, 300), (300, 500), (4000, 3), (3, 4000), (2, 1)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_of_any_size_fits(size, channels):
    image = picture(0, *size, channels)
    data = encode_thumbnail(image)
    small = opened(data)
    assert len(data) <= MAX_BYTES
    assert max(small.size) <= MAX_SIDE
    assert small.mode == image.mode
    if max(size) <= 32:
        assert small.format == "PNG"
        assert np.array_equal(np.asarray(small), np.asarray(image))
    else:
        assert small.format == "JPEG"
        assert (
            small.width / small.height == pytest.approx(size[0] / size[1], rel=0.05) or min(small.size) == 1
        )


def test_a_smooth_photograph_keeps_96_pixels_and_its_colour():
    ramp = np.linspace(0, 255, 400, dtype=np.uint8)
    image = Image.fromarray(
        np.stack([np.tile(ramp, (300, 1))] * 2 + [np.full((300, 400), 90, np.uint8)], axis=2)
    )
    small = opened(encode_thumbnail(image))
    assert small.size == (96, 72)
    assert np.abs(np.asarray(small, dtype=int)[36, 48] - [128, 128, 90]).max() < 8


def test_unreadable_rows_and_addresses(tmp_path):
    blobs = [encoded(picture(0)), None, b"junk", encoded(picture(1, 200, 100), "JPEG")]
    thumbnails = Thumbnails.build(encoded_dataset(blobs), tmp_path)
    assert thumbnails.readable.tolist() == [True, False, False, True]
    assert [thumbnails.mime(row) for row in range(4)] == ["image/png", None, None, "image/jpeg"]
    assert thumbnails.encoded(1) is thumbnails.data_uri(2) is None
    assert thumbnails.hashes.shape == (4, 16)
    assert thumbnails.hashes[0].tobytes() == content_hash(blobs[0])
    assert not thumbnails.hashes[1:3].any()
    start, text = thumbnails.data_uri(3).split(",")
    assert start == "data:image/jpeg;base64"
    assert base64.b64decode(text) == thumbnails.encoded(3)


def test_nothing_readable_at_all(tmp_path):
    thumbnails = Thumbnails.build(encoded_dataset([b"a", b"b"]), tmp_path)
    assert thumbnails.readable.tolist() == [False, False]
    assert Thumbnails(tmp_path).encoded(0) is None


def test_every_image_is_decoded_once_and_then_kept(tmp_path, monkeypatch):
    data = encoded_dataset([encoded(picture(seed)) for seed in range(5)])
    decoded = []
    original = type(data.images).image
    monkeypatch.setattr(
        type(data.images),
        "image",
        lambda self, row, smallest=0: decoded.append(row) or original(self, row, smallest),
    )
    Thumbnails.build(data, tmp_path)
    again = Thumbnails.build(data, tmp_path)
    assert sorted(decoded) == [0, 1, 2, 3, 4]
    assert len(again) == 5
    part = data.take(np.array([4, 3]))
    assert Thumbnails.build(part, tmp_path).encoded(0) == encode_thumbnail(picture(4))
    assert len(decoded) == 7


def test_stopping_leaves_nothing_and_starting_over_works(tmp_path):
    data = encoded_dataset([encoded(picture(seed)) for seed in range(5)])
    with pytest.raises(Cancelled):
        Thumbnails.build(data, tmp_path, cancelled=lambda: True)
    assert list(tmp_path.iterdir()) == []
    told = []
    Thumbnails.build(data, tmp_path, progress=lambda *numbers: told.append(numbers))
    assert told == [(0, 5), (5, 5)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "hashes.npy",
        "measures.npy",
        "offsets.npy",
        "reasons.json",
        "thumbnails.bin",
        "thumbnails.json",
    ]


def test_missing_files_are_unreadable(tmp_path):
    data = encoded_dataset([b"", b""])
    data.images = FileImages([str(tmp_path / "gone.png"), ""])
    assert not Thumbnails.build(data, tmp_path / "t").readable.any()


def test_what_no_quality_makes_fit_becomes_smaller(monkeypatch):
    monkeypatch.setattr("fvm_core.data.thumbnails.MAX_BYTES", 1500)
    data = encode_thumbnail(picture(0, 96, 96))
    assert len(data) <= 1500
    assert 10 < opened(data).width < 96
    assert opened(encode_thumbnail(picture(0, 32, 32))).format == "JPEG"  # a PNG of noise is too large
