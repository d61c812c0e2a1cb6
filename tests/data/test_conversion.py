"""Pictures of more than 8 bits and transparent ones: one window, one background for a whole dataset."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fvm_core.data import DatasetSpec, ImageDataset, load_dataset
from fvm_core.data.conversion import PLAIN, Conversion, to_8_bits
from fvm_core.data.conversion_choice import choose, with_conversion
from fvm_core.data.decode import decode, decode_convertible
from fvm_core.data.sources import EncodedImages, FileImages, RawImages
from fvm_core.errors import SaltflatError

from .images import encoded, encoded_dataset, picture


def ramp(low, high, dtype, count=6, side=20):
    """Images whose values go evenly from low to high, each a part of the range."""
    values = np.linspace(low, high, count * side * side).astype(dtype)
    return values.reshape(count, side, side)


def raw(array, spec=None):
    labels = np.arange(len(array)) % 2
    return ImageDataset(
        "raw", [str(i) for i in range(len(array))], labels, ("a", "b"), RawImages(array), spec=spec
    )


@pytest.mark.parametrize(
    ("array", "window"),
    [
        (ramp(7000, 9000, np.uint16), (7009, 8991)),  # thermal, 14 bits
        (ramp(0, 1023, np.uint16), (5, 1018)),
        (ramp(-1024, 3071, np.int16), (-1004, 3051)),  # CT
        (ramp(-3.5, 2.5, np.float32), (-3.47, 2.47)),
        (ramp(0.30, 0.35, np.float32), (0.30025, 0.34975)),
        (ramp(0, 1, np.float64), (0, 1)),
        (ramp(0, 255, np.int64), (0, 255)),
        (ramp(3, 60000, np.uint16), (0, 65535)),
    ],
)
def test_the_window_goes_by_the_values(array, window):
    found = choose(RawImages(array))
    assert found.window == pytest.approx(window, abs=2 if array.dtype.kind in "iu" else 1e-3)
    assert found.notices[0].kind == "window"
    assert "--window LOW HIGH" in found.notices[0].message
    data, _ = with_conversion(raw(array, DatasetSpec("x.npz")))
    shown = np.stack([np.asarray(data.images.image(row)) for row in range(len(data))])
    assert shown.min() <= 3
    assert shown.max() >= (233 if window == (0, 65535) else 252)
    assert data.spec.window == found.window


def test_outliers_and_no_data_take_no_contrast():
    array = ramp(100, 200, np.int16, count=100)
    array[0, 0, 0] = 30_000
    array[:, :4] = np.iinfo(np.int16).min
    low, high = choose(RawImages(array)).window
    assert 99 <= low <= 121 and 198 <= high <= 200
    floats = ramp(10, 20, np.float32)
    floats[:, 0] = np.nan
    floats[:, 1] = np.inf
    floats[:, 2] = np.finfo(np.float32).min
    low, high = choose(RawImages(floats)).window
    assert 10 <= low <= 12 and 19 <= high <= 20


def test_values_that_are_all_the_same_say_so():
    found = choose(RawImages(np.full((4, 8, 8), 7, np.uint16)))
    assert found.window is None
    assert "all the same" in found.notices[0].message


def test_brightness_is_comparable_over_images_and_sets():
    dark, bright = np.full((4, 8, 8), 1000, np.uint16), np.full((4, 8, 8), 2000, np.uint16)
    train, val = with_conversion(raw(np.concatenate([dark, bright])), raw(bright))
    shown = [np.asarray(train.images.image(row)).mean() for row in (0, 7)]
    assert shown == [0, 255]
    assert np.asarray(val.images.image(0)).mean() == 255
    assert [problem.kind for problem in train.problems] == ["window"]
    assert val.problems == []


def test_what_is_set_is_kept():
    spec = DatasetSpec("x.npz", window=(0.0, 100.0))
    train, val = with_conversion(raw(ramp(0, 1000, np.uint16), spec), raw(ramp(0, 1000, np.uint16)))
    assert train.images.conversion.window == val.images.conversion.window == (0.0, 100.0)
    assert train.problems == val.problems == []


def test_8_bit_pictures_keep_their_bytes_in_any_window(tmp_path):
    conversion = Conversion((7000.0, 9000.0), "black")
    for image in (picture(0), picture(1, channels=1)):
        shown = decode(io.BytesIO(encoded(image)), "x", conversion=conversion)
        assert np.array_equal(np.asarray(shown), np.asarray(image))
    data, _ = with_conversion(encoded_dataset([encoded(picture(seed)) for seed in range(4)]))
    assert data.images.conversion == PLAIN
    assert data.problems == []


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_files_of_16_bits(kind):
    arrays = ramp(7000, 9000, np.uint16)
    blobs = [encoded(Image.fromarray(array), kind) for array in arrays]
    data, _ = with_conversion(encoded_dataset(blobs))
    shown = [np.asarray(data.images.image(row)) for row in range(6)]
    assert shown[0].min() == 0 and shown[5].max() == 255
    assert 118 < shown[2].max() < 138
    assert np.asarray(data.take(np.array([5])).images.image(0)).max() == 255


def png_16(values):
    """Pillow can't write colour of 16 bits."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def tiff_16(values, order="<"):
    """Likewise, uncompressed."""
    height, width, channels = values.shape
    tags = [(256, 3, width), (257, 3, height), (259, 3, 1), (262, 3, 2), (277, 3, channels), (278, 3, height)]
    bits_at = 8 + 2 + 12 * 9 + 4
    tags += [(258, 3, bits_at), (273, 4, bits_at + 2 * channels), (279, 4, values.size * 2)]
    counts = {258: channels}
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, counts.get(tag, 1))
        + (
            struct.pack(f"{order}I", value)
            if kind == 4 or tag == 258
            else struct.pack(f"{order}HH", value, 0)
        )
        for tag, kind, value in sorted(tags)
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    return start + entries + bytes(4) + bits + values.astype(f"{order}u2").tobytes()


@pytest.mark.parametrize(
    "write", [png_16, tiff_16, lambda values: tiff_16(values, ">")], ids=["PNG", "TIFF", "TIFF MM"]
)
def test_colour_of_12_bits_in_16(write):
    values = np.zeros((4, 4, 3), np.uint16)
    values[..., 0], values[..., 2] = np.linspace(0, 4095, 16).reshape(4, 4), 2048
    blob = write(values)
    assert np.asarray(decode(io.BytesIO(blob), "x")).max() == 15  # what versions without a window made of it
    assert np.array_equal(decode_convertible(io.BytesIO(blob), "x"), values)
    shown = np.asarray(decode(io.BytesIO(blob), "x", conversion=Conversion((0.0, 4095.0))))
    assert shown[3, 3].tolist() == [255, 0, 128]
    assert choose(encoded_dataset([blob, blob]).images).window == pytest.approx((0, 4095), abs=40)


def drawing(colour, size=24):
    image = Image.new("RGBA", (size, size))
    image.paste((*colour, 255), (6, 6, 18, 18))
    return encoded(image)


@pytest.mark.parametrize(
    ("colours", "background", "pixels"),
    [
        ([(0, 0, 0)] * 4, "white", (255, 0)),
        ([(255, 255, 255)] * 4, "black", (0, 255)),
        ([(0, 0, 0), (255, 255, 255)] * 2, "grey", (128, 0)),
        ([(200, 30, 30)] * 4, "white", (255, 200)),
    ],
)
def test_drawings_stay_visible_on_their_background(colours, background, pixels):
    data, _ = with_conversion(encoded_dataset([drawing(colour) for colour in colours]))
    assert data.images.conversion.background == background
    shown = np.asarray(data.images.image(0))
    assert (shown[0, 0, 0], shown[12, 12, 0]) == pixels
    assert [one.kind for one in data.problems] == ([] if background == "white" else ["background"])


def test_grey_with_opacity_and_opaque_rgba():
    grey = Image.new("LA", (8, 8))
    grey.paste((255, 255), (2, 2, 6, 6))
    opaque = encoded(Image.new("RGBA", (8, 8), (255, 255, 255, 255)))
    assert choose(encoded_dataset([encoded(grey)] * 2).images).background == "black"
    assert choose(encoded_dataset([opaque] * 2).images).background is None


def test_every_source_keeps_its_conversion(tmp_path):
    array = ramp(0, 4095, np.uint16)
    paths = []
    for row, values in enumerate(array):
        Image.fromarray(values).save(tmp_path / f"{row}.png")
        paths.append(str(tmp_path / f"{row}.png"))
    conversion = Conversion((0.0, 4095.0))
    blobs = encoded_dataset([encoded(Image.fromarray(values)) for values in array]).images
    assert isinstance(blobs, EncodedImages)
    expected = to_8_bits(array[3], conversion.window)
    for source in (RawImages(array), FileImages(paths), blobs):
        taken = source.converted(conversion).take(np.array([3]))
        assert np.array_equal(np.asarray(taken.image(0)), expected)
        assert source.converted(conversion).stamp() == source.stamp()  # the data is the same


def test_a_spec_opens_in_its_window(tmp_path):
    array = ramp(0, 4095, np.uint16, count=10)
    np.savez(tmp_path / "ct.npz", images=array, labels=np.arange(10) % 2)
    data = load_dataset(tmp_path / "ct.npz", window=(0.0, 2047.0))
    assert np.asarray(data.images.image(9)).min() == 255
    assert data.spec.to_dict()["window"] == (0.0, 2047.0)
    chosen, _ = with_conversion(load_dataset(tmp_path / "ct.npz"))
    assert chosen.spec == replace(load_dataset(tmp_path / "ct.npz").spec, window=chosen.spec.window)


@pytest.mark.parametrize("kind", [np.int8, np.uint32, np.float16, np.bool_])
def test_arrays_of_any_real_numbers(kind):
    array = np.zeros((4, 6, 6), kind)
    array[:, 2:4] = 1
    data, _ = with_conversion(raw(array))
    assert np.unique(np.asarray(data.images.image(0))).tolist() == [0, 255]


def test_settings_that_are_no_window():
    from fvm_core.config import RunConfig

    for window in ([5, 5], [3], "wide", [2, 1], [0, float("nan")]):
        with pytest.raises(SaltflatError, match=r"train_data\.window"):
            RunConfig.from_dict(
                {"train_data": {"source": "a", "window": window}, "val_data": {"source": "b"}}
            )
    with pytest.raises(SaltflatError, match="choose one of: white, black, grey"):
        RunConfig.from_dict({"train_data": {"source": "a", "background": "red"}, "val_data": {"source": "b"}})
