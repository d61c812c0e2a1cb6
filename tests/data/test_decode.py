import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fvm_core.data.decode import FORMATS, MAX_PIXELS, decode
from fvm_core.errors import UnreadableImage

from .images import encoded, picture


def again(image, kind="PNG", **options):
    return decode(io.BytesIO(encoded(image, kind, **options)), "x")


def values(image):
    return np.asarray(image).tolist()


def test_rgb_and_grey_keep_their_pixels():
    for channels in (1, 3):
        image = picture(0, channels=channels)
        result = again(image)
        assert result.mode == image.mode
        assert np.array_equal(np.asarray(result), np.asarray(image))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_opens(kind):
    assert again(picture(0, 16, 16), kind).size == (16, 16)


def test_transparency_is_laid_on_white():
    rgba = Image.new("RGBA", (2, 1))
    rgba.putdata([(10, 20, 30, 255), (0, 0, 0, 0)])
    assert values(again(rgba)) == [[[10, 20, 30], [255, 255, 255]]]
    grey = Image.new("LA", (2, 1))
    grey.putdata([(10, 255), (0, 0)])
    assert again(grey).mode == "L"
    assert values(again(grey)) == [[10, 255]]


def test_palette_with_and_without_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    assert values(again(image)) == [[[255, 0, 0], [0, 255, 0]]]
    assert values(again(image, transparency=1)) == [[[255, 0, 0], [255, 255, 255]]]


def test_16_bit_and_float_images_become_8_bit():
    deep = Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16))
    assert values(again(deep)) == [[0, 1, 255]]
    floats = Image.fromarray(np.array([[0, 0.5, 1]], dtype=np.float32))
    assert values(again(floats, "TIFF")) == [[0, 128, 255]]
    nothing = Image.fromarray(np.array([[np.nan, 300, -1]], dtype=np.float32))
    assert values(again(nothing, "TIFF")) == [[0, 255, 0]]


def test_cmyk_becomes_rgb():
    image = again(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    assert image.mode == "RGB"
    assert image.getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_pillow_turns_it(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(0), exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    result = decode(io.BytesIO(data), "x")
    assert np.array_equal(np.asarray(result), np.asarray(expected))
    assert result.size == ((10, 12) if orientation > 4 else (12, 10))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_keeps_the_image():
    data = encoded(picture(0, 16, 16), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert decode(io.BytesIO(data), "x").size == (16, 16)


def test_smallest_leaves_both_sides_large_enough():
    data = encoded(picture(0, 400, 160), "JPEG")
    assert decode(io.BytesIO(data), "x").size == (400, 160)
    assert decode(io.BytesIO(data), "x", smallest=40).size == (100, 40)
    assert decode(io.BytesIO(data), "x", smallest=41).size == (200, 80)
    assert decode(io.BytesIO(data), "x", smallest=500).size == (400, 160)


@pytest.mark.parametrize("smallest", [0, 1, 40])
def test_truncated_file_is_damaged_at_every_scale(smallest):
    data = encoded(picture(0, 160, 160), "JPEG")
    with pytest.raises(UnreadableImage, match=r"cat\.jpg is damaged"):
        decode(io.BytesIO(data[: len(data) // 2]), "cat.jpg", smallest)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width, height):
    """A hundred bytes that claim to be an image of any size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_too_many_pixels_are_refused_before_decoding(side):
    assert side * side > MAX_PIXELS
    with pytest.raises(UnreadableImage, match=r"80 million.*Save it smaller"):
        decode(io.BytesIO(png_bomb(side, side)), "bomb.png")


def test_other_files_say_so():
    with pytest.raises(UnreadableImage, match="x isn't an image"):
        decode(io.BytesIO(b"hello"), "x")
    with pytest.raises(UnreadableImage, match=r"x is empty \(0 bytes\)"):
        decode(io.BytesIO(b""), "x")


def test_postscript_is_never_started():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(UnreadableImage, match="isn't an image"):
        decode(io.BytesIO(eps), "x")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_raise_nothing_else(kind):
    random = np.random.default_rng(0)
    whole = np.frombuffer(encoded(picture(0, 20, 20), kind), dtype=np.uint8)
    refused = 0
    for _ in range(150):
        data = whole.copy()
        data[random.integers(0, min(len(data), 300), size=4)] = random.integers(0, 256, size=4)
        try:
            decode(io.BytesIO(data[: random.integers(1, len(data) + 1)].tobytes()), "x")
        except UnreadableImage:
            refused += 1
    assert refused
