import io
import stat
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fvm_core.data import DatasetSpec, load_dataset, open_spec
from fvm_core.errors import SaltflatError
from tests.ui.app import opened
from ui import uploads


def zipped(files: dict[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    file.seek(0)
    return file


def test_the_name_is_made_safe_and_the_same_content_is_kept_once(tmp_path):
    first = uploads.keep(io.BytesIO(b"a,b"), "../../My labels (1).CSV", tmp_path)
    again = uploads.keep(io.BytesIO(b"a,b"), "../../My labels (1).CSV", tmp_path)
    assert first == again
    assert first.parent == tmp_path
    assert first.name.startswith("My-labels-1-")
    assert first.suffix == ".csv"
    assert first.read_bytes() == b"a,b"


def test_a_zip_becomes_its_class_folders(tmp_path):
    file = zipped(
        {"set/cat/1.png": b"1", "set/dog/2.png": b"2", "set/dog/.x.png": b"", "set/readme.md": b"x"}
    )
    folder = uploads.keep(file, "set.zip", tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["cat", "dog"]
    assert (folder / "dog" / "2.png").read_bytes() == b"2"
    assert len(list(folder.rglob("*.*"))) == 2


def test_a_zip_writes_nothing_beside_its_folder(tmp_path):
    with pytest.raises(SaltflatError, match="outside"):
        uploads.keep(zipped({"../evil.png": b"1"}), "x.zip", tmp_path / "datasets")
    assert not list(tmp_path.rglob("evil.png"))


@pytest.mark.parametrize("name", ["x.exe", "x"])
def test_other_kinds_are_refused(tmp_path, name):
    with pytest.raises(SaltflatError, match="can't be opened"):
        uploads.keep(io.BytesIO(b"1"), name, tmp_path)


def test_a_damaged_zip_is_told(tmp_path):
    with pytest.raises(SaltflatError, match="damaged"):
        uploads.keep(io.BytesIO(b"not a zip"), "x.zip", tmp_path)


def member(name: str, mode: int = stat.S_IFREG | 0o644, **values: object) -> zipfile.ZipInfo:
    item = zipfile.ZipInfo(name)
    item.external_attr = mode << 16
    for field, value in values.items():
        setattr(item, field, value)
    return item


def zipped_members(*members: tuple[zipfile.ZipInfo, bytes], packed: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", packed) as archive:
        warnings.simplefilter("ignore")  # it warns of names that are there twice
        for item, data in members:
            item.compress_type = packed
            archive.writestr(item, data)
    file.seek(0)
    return file


def refused(folder, file: io.BytesIO, message: str, name: str = "x.zip") -> None:
    """The upload is refused in words, and nothing of it stays."""
    with pytest.raises(SaltflatError, match=message):
        uploads.keep(file, name, folder / "datasets")
    assert not list((folder / "datasets").glob("*")) and not list(folder.rglob("*.png"))


OUTSIDE = [
    "../x.png",
    "a/../../x.png",
    "/x.png",
    "//h/x.png",
    "C:\\x.png",
    "C:x.png",
    "..\\x.png",
    "a\\..\\..\\x.png",
]


@pytest.mark.fault("a zip that leads outside its folder is uploaded")
@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_point_outside(tmp_path, name):
    refused(tmp_path, zipped_members((member(name), b"1")), "outside of it|no images")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices(tmp_path, mode):
    refused(tmp_path, zipped_members((member("a/x.png", mode | 0o777), b"/etc/passwd")), "is a link")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/x.png", "a/x.png"], "twice"),
        (["x.png", "x.png/y.png"], "can't be unpacked"),
        (["a/" * 30 + "x.png"], "too many folders"),
        (["a/" + "x" * 300 + ".png"], "can't be unpacked"),
        (["readme.md"], "no images"),
    ],
)
def test_names_that_can_not_be_kept(tmp_path, names, message):
    refused(tmp_path, zipped_members(*[(member(name), b"1") for name in names]), message)


@pytest.mark.fault("a zip bomb is uploaded")
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "_copy", lambda *_given: pytest.fail("it was unpacked"))
    bomb = zipped_members(*[(member(f"a/{k}.png"), bytes(30_000_000)) for k in range(8)])
    assert len(bomb.getvalue()) < 400_000
    refused(tmp_path, bomb, "would be 240")


def test_many_small_files_are_refused_before_they_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_FILES", 50)
    monkeypatch.setattr(uploads.zipfile, "ZipFile", lambda *_given: pytest.fail("it was opened"))
    data = io.BytesIO(b"PK\x01\x02" * 51)
    refused(tmp_path, data, "more than 50 files")


@pytest.mark.fault("a zip lies about its sizes")
@pytest.mark.parametrize("claim", [1, 100])
def test_what_a_zip_says_of_itself_is_not_believed(tmp_path, claim):
    """The size in the directory is smaller than what comes out."""
    file = zipped_members((member("a/x.png"), bytes(1_000_000)))
    data = bytearray(file.getvalue())
    for mark, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.index(mark) + place
        data[at : at + 4] = claim.to_bytes(4, "little")
    refused(tmp_path, io.BytesIO(bytes(data)), "damaged|more than it says")


def test_bytes_are_counted_while_they_are_written(tmp_path, monkeypatch):
    file = zipped_members((member("a/x.png"), bytes(3_000_000)))
    monkeypatch.setattr(uploads, "_check", lambda *_given: None)
    monkeypatch.setattr(uploads, "MOST_UNPACKED", 2_000_000)
    refused(tmp_path, file, "more than it says")


def test_a_nearly_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _path: SimpleNamespace(free=uploads.KEPT_FREE))
    refused(tmp_path, zipped_members((member("a/x.png"), b"1")), "nearly full")


def test_a_password_and_another_way_of_packing(tmp_path):
    for place, value in ((8, 1), (10, 97)):  # the flag for encryption, an unknown method
        data = bytearray(zipped_members((member("a/x.png"), b"1")).getvalue())
        for mark, shift in ((b"PK\x01\x02", 0), (b"PK\x03\x04", -2)):
            at = data.index(mark) + place + shift
            data[at : at + 2] = value.to_bytes(2, "little")
        refused(tmp_path, io.BytesIO(bytes(data)), "locked by a password or packed")


def marked(data: bytes, *, flag: int = 0, method: int | None = None) -> io.BytesIO:
    """A zip file whose entries claim a flag or a way of packing."""
    found = bytearray(data)
    for mark, shift in ((b"PK\x01\x02", 0), (b"PK\x03\x04", -2)):
        at = found.index(mark) + shift
        found[at + 8] |= flag
        if method is not None:
            found[at + 10 : at + 12] = method.to_bytes(2, "little")
    return io.BytesIO(bytes(found))


@pytest.mark.parametrize(
    ("flag", "method", "words"),
    [
        (1, None, "it has a password"),
        (0, 9, "packed as Deflate64"),
        (1, 99, "it has a password and packed as AES"),
        (0, 93, "packed as Zstandard"),
        (0, 98, "packed as PPMd"),
    ],
)
def test_a_zip_that_can_not_be_read_names_its_file_and_why(tmp_path, flag, method, words):
    data = zipped_members((member("a/x.png"), b"1")).getvalue()
    refused(tmp_path, marked(data, flag=flag, method=method), rf"'a/x\.png': {words}\)\. Make it again")


def test_a_file_and_a_folder_of_one_name_are_told(tmp_path):
    file = zipped({"a/x.png": b"1", "a/x.png/y.png": b"2"})
    refused(tmp_path, file, r"'a/x\.png' is a file and a folder in it\. Rename")


def test_what_a_zip_holds_besides_is_left_out_and_said(tmp_path):
    long = "x" * 252 + ".png"
    files = {"cat/1.png": b"1", "dog/2.png": b"2", f"dog/{long}": b"3", "readme.md": b"", "a/notes.docx": b""}
    files |= {"__MACOSX/cat/._1.png": b"", "cat/@eaDir/1.png": b"", "cat/Thumbs.db": b""}
    for again in range(2):  # the second time nothing is unpacked, and the same is said
        told = []
        folder = uploads.keep(zipped(files), "set.zip", tmp_path, told)
        assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == [
            "cat/1.png",
            "dog/2.png",
        ], again
        (sentence,) = told
        assert sentence.startswith("6 files of the zip were left out: ")
        assert "2 no image and no table ('readme.md', 'a/notes.docx')" in sentence
        assert "1 whose name is too long ('dog/xxx" in sentence
        assert "3 of the computer that packed it" in sentence
    told = []
    uploads.keep(zipped({"cat/1.png": b"1", "dog/2.png": b"2"}), "clean.zip", tmp_path, told)
    assert told == []


def test_a_zip_of_windows(tmp_path):
    folder = uploads.keep(zipped({"set\\cat\\1.png": b"1", "set\\dog\\2.png": b"2"}), "x.zip", tmp_path)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == [
        "cat/1.png",
        "dog/2.png",
    ]


def picture(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), grey).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("path,label\nimages/1.png,cat\nimages/2.png,dog\n", "labels.csv"),
        ("path;label\nimages/1.png;cat\nimages/2.png;dog\n", "all/labels.csv"),
        ("path\tlabel\nimages\\1.png\tcat\n2.png\tdog\n", "meta/train.tsv"),
    ],
)
def test_a_zip_with_a_table_is_read_as_that(tmp_path, table, name):
    files = {name: table.encode(), "images/1.png": picture(9), "images/2.png": picture(90)}
    found = uploads.keep(zipped(files), "shop.zip", tmp_path)
    assert found.name == name.rpartition("/")[2]
    root = uploads.image_root(str(found), tmp_path)
    assert root == str(found.parents[name.count("/")])
    dataset = open_spec(DatasetSpec(str(found), image_root=root))
    assert [dataset.classes[k] for k in dataset.given] == ["cat", "dog"]
    assert [dataset.images.image(k).getpixel((0, 0)) for k in (0, 1)] == [9, 90]


def test_a_table_that_names_no_images_does_not_stand_in_the_way_and_two_that_do_are_told(tmp_path):
    images = {"cat/1.png": picture(9), "dog/2.png": picture(90)}
    folder = uploads.keep(zipped({**images, "about.csv": b"license,author\nMIT,me\n"}), "x.zip", tmp_path)
    assert folder.is_dir() and load_dataset(folder).classes == ("cat", "dog")
    table = b"path,label\ncat/1.png,cat\ndog/2.png,dog\n"
    with pytest.raises(SaltflatError, match=r"2 tables of images: a\.csv, b\.csv"):
        uploads.keep(zipped({**images, "a.csv": table, "b.csv": table}), "y.zip", tmp_path)
    flat = {"1.png": picture(9), "labels.csv": b"path,label\nother.png,cat\nmore.png,dog\n"}
    with pytest.raises(SaltflatError, match=r"The table of the zip file can't be used: .*other\.png"):
        uploads.keep(zipped(flat), "z.zip", tmp_path)


def test_damaged_content(tmp_path):
    data = bytearray(zipped_members((member("a/x.png"), bytes(range(256)) * 40)).getvalue())
    at = data.index(b"a/x.png") + 20
    data[at : at + 8] = b"\xff" * 8
    refused(tmp_path, io.BytesIO(bytes(data)), "damaged")


def test_arrays_and_tables_are_bounded_too(tmp_path, monkeypatch):
    arrays, table = io.BytesIO(), io.BytesIO()
    np.savez_compressed(arrays, images=np.zeros((1000, 100, 100, 3), np.uint8), labels=np.zeros(1000, int))
    pq.write_table(
        pa.table({"image": [bytes(30_000)] * 1000}), table, use_dictionary=False, compression="zstd"
    )
    monkeypatch.setattr(uploads, "ALWAYS", 1_000_000)
    for file, name in ((arrays, "x.npz"), (table, "x.parquet")):
        file.seek(0)
        refused(tmp_path, file, "too large for an upload", name)
    monkeypatch.setattr(uploads, "ALWAYS", 100_000_000)
    for file, name in ((arrays, "x.npz"), (table, "x.parquet")):
        file.seek(0)
        assert uploads.keep(file, name, tmp_path).read_bytes() == file.getvalue()


def test_the_limits_are_said_before(workspace):
    app = opened(workspace, "data_and_model", train_kind="Upload")
    assert "4.0" in uploads.LIMITS and "200,000 files" in uploads.LIMITS
    assert any(uploads.LIMITS in one.proto.help for one in app.get("file_uploader"))


def test_a_table_of_a_zip_is_opened_once(tmp_path, monkeypatch):
    table = b"path,label\n1.png,cat\n2.png,dog\n"
    file = zipped({"labels.csv": table, "1.png": picture(9), "2.png": picture(90)})
    first = uploads.keep(file, "shop.zip", tmp_path)
    monkeypatch.setattr(uploads, "open_spec", lambda *_given: pytest.fail("it was opened again"))
    assert uploads.keep(file, "shop.zip", tmp_path) == first
