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


def photograph(width=320, height=240):
    """Smooth, with some grain, so that its bytes are spread over the picture as a photograph's are."""
    random = np.random.default_rng(0)
    rough = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((width, height), 3)
    grain = random.integers(-12, 12, (height, width, 3))
    return Image.fromarray((np.asarray(rough) + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("smallest", [0, 20])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 92}], ids=str)
def test_a_jpeg_that_lacks_its_last_bytes_is_used(options, smallest):
    whole = encoded(photograph(), "JPEG", **options)
    expected = np.asarray(decode(io.BytesIO(whole), "x"), dtype=int)
    for lacking in (2, 40, 200, len(whole) // 33):
        image = decode(io.BytesIO(whole[:-lacking]), "x", smallest)
        assert image.size == image.info["size"] == (320, 240)
        assert 0 <= image.info["missing"] <= 0.1
        assert np.abs(np.asarray(image) - expected)[: int(240 * 0.89)].mean() < 0.5
    assert "missing" not in decode(io.BytesIO(whole), "x").info
    for share in (0.85, 0.5, 0.2, 0.02):
        with pytest.raises(UnreadableImage, match=r"cat\.jpg is damaged \(.*[Tt]runcated"):
            decode(io.BytesIO(whole[: int(len(whole) * share)]), "cat.jpg", smallest)


def test_a_cut_off_picture_is_turned_like_a_whole_one():
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encoded(photograph(), "JPEG", exif=exif)
    image = decode(io.BytesIO(whole[:-40]), "x")
    assert image.size == (240, 320)
    assert image.info["missing"] < 0.1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(("big", "start"), [("<", b"II*\0"), (">", b"MM\0*")])
def test_bands_that_are_not_read_are_counted(big, start):
    def tiff(bands, bits, kind):
        tags = [(256, 4), (257, 4), (258, bits), (259, 1), (262, 1), (277, bands), (339, kind)]
        entries = b"".join(struct.pack(f"{big}HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
        return start + struct.pack(f"{big}IH", 8, len(tags)) + entries + bytes(4000)

    with pytest.raises(
        UnreadableImage, match=r"s2\.tif has 13 bands of 16 bits; images of 1 .* or 3 .* bands"
    ):
        decode(io.BytesIO(tiff(13, 16, 1)), "s2.tif")
    with pytest.raises(
        UnreadableImage, match=r"x has 3 bands of 32 bits float, which is not read\. Save it as"
    ):
        decode(io.BytesIO(tiff(3, 32, 3)), "x")
    with pytest.raises(UnreadableImage, match=r"isn't an image|is damaged"):
        decode(io.BytesIO(start + b"\xff" * 20), "x")


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
