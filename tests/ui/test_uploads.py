import io
import zipfile

import pytest

from fvm_core.errors import SaltflatError
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
