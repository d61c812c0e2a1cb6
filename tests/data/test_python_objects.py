"""What is a dataset in Python already: the same rows, labels and pixels, whoever holds them, with the same checks."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset
from torchvision import transforms
from torchvision.datasets import CIFAR10, DatasetFolder, FakeData, ImageFolder

from fvm_core.data import UNKNOWN, load_dataset
from fvm_core.errors import SaltflatError, UnreadableImage
from fvm_core.runs.run_folder import RunFolder
from tests.cases import tiny_config

hugging_face = pytest.importorskip("datasets", reason="not installed")

NAMES = ("cat", "dog", "eel")
CODES = [0, 1, 2, 0, 1, 2]


def pixels(channels=3):
    shape = (6, 5, 4, 3) if channels == 3 else (6, 5, 4)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


class Pairs(Dataset):
    """A dataset as people write them."""

    def __init__(self, make, label=lambda k: k):
        self.make, self.label = make, label

    def __len__(self):
        return 6

    def __getitem__(self, row):
        if row >= 6:
            raise IndexError(row)
        return self.make(pixels()[row]), self.label(CODES[row])


class Targets(Pairs):
    """One with its labels beside, and the names of its classes."""

    classes = NAMES
    targets = tuple(CODES)

    def __getitem__(self, row):
        return super().__getitem__(row)[0], None  # it is not asked for labels


def folder_of(tmp_path):
    for row, values in enumerate(pixels()):
        place = tmp_path / "folder" / NAMES[CODES[row]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(place / f"{row}.png")
    return tmp_path / "folder"


def by_rows(tmp_path):
    """Paths in the order of `CODES`."""
    folder = folder_of(tmp_path)
    return [str(folder / NAMES[code] / f"{row}.png") for row, code in enumerate(CODES)]


def stored_cifar(tmp_path):
    class Stored(CIFAR10):
        def __init__(self):
            self.data, self.targets, self.classes = pixels(), CODES, list(NAMES)
            self.transform = transforms.Normalize(
                0.5, 0.5
            )  # what is scored are the pixels as they are stored
            self.target_transform = None

    return Stored()


def of_hugging_face(tmp_path, image=None):
    features = hugging_face.Features(
        {"image": hugging_face.Image(), "label": hugging_face.ClassLabel(names=list(NAMES))}
    )
    held = image or [Image.fromarray(values) for values in pixels()]
    return hugging_face.Dataset.from_dict({"image": held, "label": CODES}, features=features)


def tensors():
    return torch.from_numpy(pixels()).permute(0, 3, 1, 2)


MAKERS = {
    "datasets.Dataset": of_hugging_face,
    "datasets.Dataset of paths": lambda p: of_hugging_face(p, by_rows(p)),
    "datasets.Dataset, selected": lambda p: (
        of_hugging_face(p).select([3, 4, 5, 0, 1, 2]).select([3, 4, 5, 0, 1, 2])
    ),
    "DataFrame of paths": lambda p: pd.DataFrame({"path": by_rows(p), "label": [NAMES[k] for k in CODES]}),
    "DataFrame of pictures": lambda p: pd.DataFrame(
        {"image": [Image.fromarray(v) for v in pixels()], "label": pd.Categorical([NAMES[k] for k in CODES])}
    ),
    "DataFrame of arrays": lambda p: pd.DataFrame(
        {"image": list(pixels()), "label": [NAMES[k] for k in CODES]}
    ),
    "arrays": lambda p: (pixels(), np.array(NAMES)[CODES]),
    "lists": lambda p: ([Image.fromarray(v) for v in pixels()], [NAMES[k] for k in CODES]),
    "a dict": lambda p: {"images": pixels(), "labels": CODES, "class_names": NAMES},
    "tensors": lambda p: {"images": tensors(), "labels": torch.tensor(CODES), "class_names": NAMES},
    "ImageFolder": lambda p: ImageFolder(folder_of(p), transform=transforms.ToTensor()),
    "DatasetFolder": lambda p: DatasetFolder(folder_of(p), loader=str, extensions=(".png",)),
    "CIFAR10": stored_cifar,
    "Subset": lambda p: Subset(Subset(stored_cifar(p), [5, 4, 3, 2, 1, 0]), [5, 4, 3, 2, 1, 0]),
    "targets": lambda p: Targets(Image.fromarray),
    "pairs of pictures": lambda p: Pairs(Image.fromarray, lambda k: NAMES[k]),
    "pairs of arrays": lambda p: Pairs(lambda v: v, lambda k: NAMES[k]),
    "pairs of tensors": lambda p: Pairs(lambda v: torch.from_numpy(v).permute(2, 0, 1), lambda k: NAMES[k]),
    "pairs of tensors of 0 to 1": lambda p: Pairs(transforms.ToTensor(), lambda k: NAMES[k]),
    "dicts": lambda p: [{"image": v, "label": NAMES[k]} for v, k in zip(pixels(), CODES, strict=True)],
    "ConcatDataset": lambda p: ConcatDataset(
        [Subset(Pairs(Image.fromarray, lambda k: NAMES[k]), range(n, n + 3)) for n in (0, 3)]
    ),
}
SORTED = ("ImageFolder", "DatasetFolder")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_the_same_rows_labels_and_pixels(make, tmp_path, request):
    dataset = load_dataset(make(tmp_path))
    order = [0, 3, 1, 4, 2, 5] if request.node.callspec.id in SORTED else list(range(6))
    assert dataset.classes == NAMES
    assert dataset.given.tolist() == [CODES[k] for k in order]
    assert len(dataset) == len(set(dataset.ids)) == 6 and dataset.problems == []
    for row, k in enumerate(order):
        image = dataset.images.image(row)
        assert image.mode == "RGB" and np.array_equal(np.asarray(image), pixels()[k])
    contents = {dataset.images.content(row) for row in range(6)}
    assert len(contents) == 6
    part = dataset.take(np.array([4, 1]))
    assert np.array_equal(np.asarray(part.images.image(1)), pixels()[order[1]])
    assert dataset.images.stamp() != part.images.stamp()
    few = load_dataset(make(tmp_path), limit=3, seed=1)
    again = load_dataset(make(tmp_path), limit=3, seed=1)
    assert len(few) == 3 and few.fingerprint() == again.fingerprint()


def test_labels_that_are_missing_are_so_in_every_kind(tmp_path):
    values = list(pixels())
    for source in (
        (values, ["cat", None, "", "nan", "dog", "-1"]),
        (values, np.array([0, np.nan, -1, np.nan, 1, -1])),
        pd.DataFrame({"image": values, "label": ["cat", None, pd.NA, float("nan"), "dog", ""]}),
        pd.DataFrame({"image": values, "label": pd.array([0, None, -1, None, 1, None], dtype="Int64")}),
    ):
        dataset = load_dataset(source)
        assert dataset.given.tolist() == [0, UNKNOWN, UNKNOWN, UNKNOWN, 1, UNKNOWN]
        assert [one.rows for one in dataset.problems if one.kind == "missing_label"] == [(1, 2, 3, 5)]


def test_columns_true_labels_and_ids():
    frame = pd.DataFrame({"pic": list(pixels()), "y": CODES, "was": CODES[::-1], "key": list("abcdef")})
    dataset = load_dataset(frame, image="pic", label="y", true_label="was", id="key")
    assert dataset.ids == list("abcdef")
    assert dataset.classes == ("0", "1", "2") and dataset.true.tolist() == CODES[::-1]
    held = {"images": pixels(1), "labels": CODES, "true_labels": CODES, "ids": [7, 8, 9, 10, 11, 12]}
    dataset = load_dataset(held)
    assert dataset.ids == ["7", "8", "9", "10", "11", "12"] and dataset.images.image(0).mode == "L"


def bad_row(row):
    values = [Image.fromarray(value) for value in pixels()]
    values[2] = row
    return pd.DataFrame({"image": values, "label": CODES})


BAD = {
    "nothing": (None, "Row 3 has no image"),
    "NaN": (float("nan"), "Row 3 has no image"),
    "bytes that are none": (b"junk", "Row 3 isn't an image"),
    "a path that is none": ("/nowhere/x.png", r"/nowhere/x\.png doesn't exist"),
    "one value": (np.float64(3), "Row 3 gave ValueError: a single value"),
    "a batch": (np.zeros((2, 5, 4, 3), np.uint8), "2×5×4×3"),
    "13 bands": (np.zeros((5, 4, 13), np.uint8), "5×4×13"),
    "an object": (object(), "which is no image"),
}


@pytest.mark.parametrize(("value", "message"), BAD.values(), ids=BAD.keys())
def test_one_bad_row_is_that_rows_fault(value, message):
    dataset = load_dataset(bad_row(value))
    with pytest.raises(UnreadableImage, match=message):
        dataset.images.image(2)
    assert np.array_equal(np.asarray(dataset.images.image(3)), pixels()[3])


def test_what_a_dataset_raises_is_told_with_its_row():
    def broken(values):
        raise RuntimeError("no such thing")

    class Broken(Targets):
        pass

    dataset = load_dataset(Broken(broken))
    with pytest.raises(UnreadableImage, match="Row 1 gave RuntimeError: no such thing"):
        dataset.images.image(0)
    with pytest.raises(SaltflatError, match=r"Pairs\[0\] raised RuntimeError: no such thing"):
        load_dataset(Pairs(broken))


REFUSED = {
    "a number": (lambda: 5, "int is no dataset that can be opened; give a path"),
    "a generator": (lambda: iter([1]), "Give it a length and rows by number"),
    "several datasets": (
        lambda: hugging_face.DatasetDict({"train": of_hugging_face(None), "test": of_hugging_face(None)}),
        "holds several datasets .train, test",
    ),
    "a frame without labels": (lambda: pd.DataFrame({"image": list(pixels())}), "no column of labels"),
    "a frame without rows": (lambda: pd.DataFrame({"image": [], "label": []}), "has no rows"),
    "too few labels": (lambda: (pixels(), CODES[:4]), "6 images and 4 labels"),
    "one-hot labels": (lambda: (pixels(), np.eye(6)), r"shape 6×6.*argmax"),
    "fractions": (lambda: (pixels(), np.arange(6) / 4), "holds fractions, such as 0.25 in row 2"),
    "lists as labels": (lambda: (pixels(), [[1], "a", "b", "c", "d", "e"]), "Row 1 of 'labels' holds"),
    "images alone": (lambda: {"images": pixels()}, "no 'labels' among the arrays; there are images"),
    "complex pixels": (lambda: (pixels().astype(complex), CODES), "real numbers"),
    "images without labels": (lambda: TensorDataset(tensors()), r"TensorDataset\[0\] gives|needed is"),
    "text": (lambda: b"digits", "bytes is no dataset"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_opened_is_told(make, message):
    with pytest.raises(SaltflatError, match=message):
        load_dataset(make())


def test_columns_can_not_be_chosen_where_there_are_none():
    with pytest.raises(SaltflatError, match="no columns to choose from; leave out label='x'"):
        load_dataset(FakeData(6, (3, 5, 4), 3), label="x")


def test_a_run_of_data_in_python(tmp_path):
    from fvm_core.pipeline.runner import start

    train, val = load_dataset("digits", limit=120), load_dataset("digits", split="val", limit=80)

    def frame(data):
        pictures = [data.images.image(row) for row in range(len(data))]
        return pd.DataFrame({"image": pictures, "label": [data.classes[k] for k in data.given]})

    config = tiny_config()
    run = start(frame(train), frame(val), out=tmp_path / "run", epochs=2, steps=4, saved_steps=2, embed=False)
    assert isinstance(run, RunFolder) and run.finished and len(run.scores) == 120
    assert run.scores["given_label"].tolist() == [train.classes[k] for k in train.given]
    assert config.train_data.source == "digits" and run.config.train_data.source == "python:DataFrame"
