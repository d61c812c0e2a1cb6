import os
import pickle

import numpy as np
import pyarrow as pa
import pytest

from fvm_core.data.sources import EncodedImages, FileImages, RawImages
from fvm_core.errors import SaltflatError, UnreadableImage

from .images import encoded, picture, write


@pytest.fixture
def three_sources(tmp_path):
    pictures = [picture(seed) for seed in range(3)]
    blobs = [encoded(image) for image in pictures]
    paths = [write(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    return [
        FileImages([str(path) for path in paths]),
        EncodedImages(pa.chunked_array([blobs[:2], blobs[2:]]), "t", "s"),
        RawImages(np.stack([np.asarray(image) for image in pictures])),
    ]


def test_every_source_gives_the_same_pixels(three_sources):
    for source in three_sources:
        assert len(source) == 3
        for seed in range(3):
            assert np.array_equal(np.asarray(source.image(seed)), np.asarray(picture(seed)))


def test_take_reorders_and_repeats(three_sources):
    for source in three_sources:
        taken = source.take(np.array([2, 0, 2])).take(np.array([1, 2]))
        assert len(taken) == 2
        assert np.array_equal(np.asarray(taken.image(0)), np.asarray(picture(0)))
        assert np.array_equal(np.asarray(taken.image(1)), np.asarray(picture(2)))
        assert taken.content(0) == source.content(0)


def test_stamp_depends_on_rows_only_where_nothing_changed(three_sources):
    for source in three_sources:
        assert source.stamp() == source.take(np.arange(3)).stamp()
        assert source.stamp() != source.take(np.array([1, 0, 2])).stamp()
        assert source.stamp() != source.take(np.array([0, 1])).stamp()


def test_sources_pickle(three_sources):
    for source in three_sources:
        copy = pickle.loads(pickle.dumps(source))
        assert copy.content(1) == source.content(1)
        assert copy.stamp() == source.stamp()


def test_file_stamp_changes_with_the_file(tmp_path):
    path = write(tmp_path / "a.png")
    source = FileImages([str(path)])
    before = source.stamp()
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    changed = source.stamp()
    path.unlink()
    assert len({before, changed, source.stamp()}) == 3


def test_taking_rows_of_a_table_copies_no_blob():
    blobs = pa.chunked_array([[b"x" * 1_000_000]])
    before = pa.total_allocated_bytes()
    taken = EncodedImages(blobs, "t", "s").take(np.zeros(1000, dtype=np.int64))
    assert len(taken) == 1000
    assert pa.total_allocated_bytes() - before < 100_000


def test_files_that_cannot_be_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    source = FileImages(["", str(tmp_path / "gone.png"), str(tmp_path), f"{tmp_path}/pipe.png", "a\0b"])
    for row, text in enumerate(
        [
            "Row 1 names no image",
            "doesn't exist",
            "is a folder",
            "isn't a file",
            r"'a\\x00b' doesn't exist: .*null",
        ]
    ):
        with pytest.raises(UnreadableImage, match=text):
            source.image(row)
        with pytest.raises(UnreadableImage, match=text):
            source.content(row)


def test_names_and_rights_that_the_system_refuses(tmp_path, monkeypatch):
    source = FileImages([f"{tmp_path}/{'x' * 3000}.png", str(write(tmp_path / "locked.png")), "\udcff.png"])
    with pytest.raises(UnreadableImage, match=r"can't be opened \(File name too long\)") as caught:
        source.image(0)
    assert len(str(caught.value)) < 400

    # Root may read everything, so the refusal is played.
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(UnreadableImage, match=r"locked\.png can't be opened \(Permission denied\)"):
        source.content(1)
    with pytest.raises(UnreadableImage, match="doesn't exist"):
        source.image(2)


def test_a_cell_of_text_is_one_bad_row():
    source = EncodedImages(pa.chunked_array([["no image"]]), "t.parquet", "s")
    with pytest.raises(UnreadableImage, match=r"Row 1 of t\.parquet holds 'no image' and not the bytes"):
        source.image(0)


def test_null_blob_names_its_row_in_the_table():
    source = EncodedImages(pa.chunked_array([[None, b"", b"abc"]], type=pa.binary()), "cats.parquet", "s")
    taken = source.take(np.array([2, 1, 0]))
    with pytest.raises(UnreadableImage, match=r"Row 1 of cats\.parquet has no image"):
        taken.image(2)
    with pytest.raises(UnreadableImage, match=r"Row 2 of cats\.parquet is empty"):
        taken.image(1)
    with pytest.raises(UnreadableImage, match=r"Row 3 of cats\.parquet isn't an image"):
        taken.image(0)


@pytest.mark.parametrize(
    ("shape", "mode"), [((2, 4, 5), "L"), ((2, 4, 5, 1), "L"), ((2, 4, 5, 3), "RGB"), ((2, 4, 5, 4), "RGB")]
)
def test_raw_shapes(shape, mode):
    array = np.full(shape, 255, dtype=np.uint8)
    array[1] = 7
    image = RawImages(array).image(0)
    assert image.mode == mode
    assert image.size == (5, 4)
    assert np.asarray(image).min() == 255


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((2, 4, 4), np.complex64), r"complex64; images are real numbers\. Use np\.abs"),
        (np.full((2, 4, 4), "a"), "images must be numbers, such as uint8"),
        (np.zeros((2, 8, 8, 13), np.uint16), r"it has 13 channels.*images\[\.\.\., \[2, 1, 0\]\]"),
        (np.zeros((2, 4, 4, 4), np.uint16), r"Leave the fourth out: images\[\.\.\., :3\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"channels come last\. Use images\.transpose"),
        (np.zeros((2, 8, 8, 2), np.uint8), "1, 3 or 4 channels"),
        (np.zeros((2, 8), np.uint8), "must be N×H×W"),
        (np.zeros((2, 0, 8), np.uint8), "no pixels"),
    ],
)
def test_raw_arrays_that_do_not_fit(array, text):
    with pytest.raises(SaltflatError, match=text):
        RawImages(array)
