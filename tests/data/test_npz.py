import numpy as np
import pytest

from fvm_core.data import UNKNOWN, load_dataset
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
        ({"images": IMAGES / 255, "labels": [0] * 4}, r"'images' has shape 4×6×5×3 and type float64.*\* 255"),
        ({"images": IMAGES.transpose(0, 3, 1, 2), "labels": [0] * 4}, "transpose"),
        (
            {"images": IMAGES, "labels": [0] * 3},
            "'labels' has shape 3; needed is one value for each of 4 images",
        ),
        ({"images": IMAGES, "labels": np.zeros((4, 10), int)}, "'labels' has shape 4×10"),
        ({"images": IMAGES, "labels": np.zeros(4)}, "'labels' has type float64; it must be whole numbers or"),
        ({"images": IMAGES, "labels": np.array(["a", "b", "c", None])}, r"'labels' can't be read.*dtype=str"),
        ({"images": np.array([None] * 4), "labels": [0] * 4}, "'images' can't be read"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, text):
    with pytest.raises(SaltflatError, match=text):
        load_dataset(save(tmp_path / "t.npz", **arrays))


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "t.npz").write_bytes(b"hello")
    with pytest.raises(SaltflatError, match=r"t\.npz can't be read as \.npz"):
        load_dataset(tmp_path / "t.npz")
    with (tmp_path / "t.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(SaltflatError, match="holds a single array"):
        load_dataset(tmp_path / "t.npz")
