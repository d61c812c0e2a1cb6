import io
import stat
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
