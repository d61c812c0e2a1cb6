import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from fvm_core.data import UNKNOWN, load_dataset, npy_header
from fvm_core.data.npz import mapped_member
from fvm_core.errors import SaltflatError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)


def save(path, compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_images_and_labels(tmp_path, compressed, order):
    images = np.asarray(IMAGES, order=order)
    data = load_dataset(save(tmp_path / "t.npz", compressed, labels=[2, 10, -1, 2], images=images))
    assert data.classes == ("2", "10")
    assert data.given.tolist() == [0, 1, UNKNOWN, 0]
    assert [problem.rows for problem in data.problems] == [(2,)]
    assert list(data.ids) == ["1", "2", "3", "4"]
    for row in range(4):
        assert np.array_equal(np.asarray(data.images.image(row)), IMAGES[row])


def test_uncompressed_images_are_mapped(tmp_path):
    file = save(tmp_path / "t.npz", labels=[0] * 4, images=IMAGES)
    mapped = mapped_member(file, "images.npy")
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    assert np.array_equal(mapped, IMAGES)
    assert mapped_member(file, "gone.npy") is None
    assert mapped_member(save(tmp_path / "c.npz", True, images=IMAGES), "images.npy") is None


def test_everything_else_that_may_be_there(tmp_path):
    file = save(
        tmp_path / "t.npz",
        images=IMAGES[..., 0],
        labels=np.array([1, 0, 5, 1], dtype=np.uint8),
        true_labels=np.array([[1], [1], [0], [1]]),
        ids=np.array(["a", "b", "c", "é"]),
        class_names=np.array(["dog", "cat", "ant"]),
    )
    data = load_dataset(file)
    assert data.classes == ("dog", "cat", "ant")
    assert data.given.tolist() == [1, 0, UNKNOWN, 1]
    assert data.true.tolist() == [1, 1, 0, 1]
    assert list(data.ids) == ["a", "b", "c", "é"]
    assert data.images.image(0).mode == "L"


def test_text_labels_and_other_names(tmp_path):
    file = save(tmp_path / "t.npz", x=IMAGES, y=np.array(["b", "a", "", "NA"]), y0=np.array([b"a"] * 4))
    data = load_dataset(file, image="x", label="y", true_label="y0")
    assert data.classes == ("NA", "a", "b")
    assert data.given.tolist() == [2, 1, UNKNOWN, 0]
    assert data.true.tolist() == [1] * 4


def test_arrays_by_split(tmp_path):
    file = save(
        tmp_path / "t.npz",
        train_images=IMAGES,
        train_labels=[0, 1, 0, 1],
        val_images=IMAGES[:2],
        val_labels=[1, 1],
    )
    assert len(load_dataset(file)) == 4
    assert load_dataset(file, split="val").given.tolist() == [0, 0]
    assert load_dataset(file, split="val").classes == ("1",)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": IMAGES, "labels": [0] * 4}, r"no array 'images'. Its arrays are x, labels"),
        ({"images": IMAGES}, "no array 'labels'"),
        (
            {"images": IMAGES * 1j, "labels": [0] * 4},
            r"'images' has shape 4×6×5×3 and type complex128.*np\.abs",
        ),
        ({"images": IMAGES.transpose(0, 3, 1, 2), "labels": [0] * 4}, "transpose"),
        (
            {"images": IMAGES, "labels": [0] * 3},
            "'labels' has shape 3; needed is one value for each of 4 images",
        ),
        ({"images": IMAGES, "labels": np.zeros((4, 10), int)}, "'labels' has shape 4×10"),
        (
            {"images": IMAGES, "labels": np.full(4, 0.5)},
            "'labels' holds fractions, such as 0.5 in row 1; labels must be",
        ),
        (
            {"images": IMAGES, "labels": np.full(4, 1j)},
            "'labels' has type complex128; it must be whole numbers or",
        ),
        ({"images": IMAGES, "labels": np.array(["a", "b", "c", None])}, r"'labels' can't be read.*dtype=str"),
        ({"images": np.array([None] * 4), "labels": [0] * 4}, "'images' can't be read"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, text):
    with pytest.raises(SaltflatError, match=text):
        load_dataset(save(tmp_path / "t.npz", **arrays))


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "t.npz").write_bytes(b"hello")
    with pytest.raises(SaltflatError, match=r"t\.npz is no \.npz file"):
        load_dataset(tmp_path / "t.npz")
    with (tmp_path / "t.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(SaltflatError, match="holds a single array"):
        load_dataset(tmp_path / "t.npz")


def header(shape: str, kind: str = "|u1") -> bytes:
    """The header of an array of any claimed shape."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(path, compression, **members: bytes):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


LABELS = header("(4,)", "<i8") + np.arange(4).tobytes()
PIXELS = header("(4, 8, 8)") + bytes(256)
GIANT = "(1000000000, 1000, 1000)"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("broken", "content"),
    [
        ("images", header(GIANT) + bytes(100)),
        ("images", header("(4, 8, 9)") + bytes(256)),
        ("images", header("(4, 8, 7)") + bytes(256)),
        ("labels", header(GIANT, "<i8") + bytes(32)),
        ("ids", header("(4,)", "<U500000000") + bytes(32)),
        ("class_names", header("(99999999999999999999,)", "<U9") + bytes(32)),
        ("true_labels", header("(5,)", "<i8") + bytes(32)),
    ],
)
def test_an_array_that_claims_another_size_than_it_has(tmp_path, compression, broken, content):
    members = {"images": PIXELS, "labels": LABELS} | {broken: content}
    file = archive(tmp_path / "t.npz", compression, **members)
    with pytest.raises(SaltflatError, match=f"'{broken}' claims to be .* and holds .* write it again"):
        load_dataset(file)


@pytest.mark.parametrize(
    "content",
    [
        header("(-1, 8, 8)") + bytes(64),
        header("'x'"),
        header("()" * 2000),
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"",
        b"abc",
    ],
)
def test_an_array_without_a_header(tmp_path, content):
    file = archive(tmp_path / "t.npz", zipfile.ZIP_STORED, images=content, labels=LABELS)
    with pytest.raises(SaltflatError, match=r"t\.npz"):
        load_dataset(file)


def test_an_archive_that_lies_about_its_members(tmp_path):
    file = archive(tmp_path / "t.npz", zipfile.ZIP_DEFLATED, images=PIXELS, labels=LABELS)
    data = bytearray(file.read_bytes())
    place = data.index(b"PK\x01\x02") + 24  # the size in the directory
    data[place : place + 4] = (3 * 2**30).to_bytes(4, "little")
    file.write_bytes(data)
    with pytest.raises(SaltflatError, match=r"'images' claims 3\.2 GB and holds"):
        load_dataset(file)


def test_more_than_memory_holds_is_told_before_it_is_read(tmp_path, monkeypatch):
    file = save(tmp_path / "t.npz", True, labels=[0] * 4, images=IMAGES)
    monkeypatch.setattr(npy_header.psutil, "virtual_memory", lambda: SimpleNamespace(available=100))
    with pytest.raises(SaltflatError, match="100 bytes of memory are free"):
        load_dataset(file)


@pytest.mark.parametrize("content", [b"", b"text", PIXELS, header(GIANT), b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_archive(tmp_path, content):
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(SaltflatError, match=r"t\.npz (holds a single array|is no \.npz file)"):
        load_dataset(tmp_path / "t.npz")


def test_damage_anywhere_is_told(tmp_path):
    whole = save(tmp_path / "t.npz", True, labels=[0] * 4, images=IMAGES).read_bytes()
    random = np.random.default_rng(1)
    for number in range(150):
        data = bytearray(whole)
        for _ in range(3):
            data[random.integers(len(data))] = random.integers(256)
        (tmp_path / "t.npz").write_bytes(data[: len(data) - number] if number % 2 else data)
        try:
            load_dataset(tmp_path / "t.npz")
        except SaltflatError as error:
            assert "t.npz" in str(error)
