import hashlib
import pickle
import urllib.error

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from fvm_core.data import UNKNOWN, load_dataset
from fvm_core.errors import SaltflatError

TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)


def put(folder, name, entry):
    folder.mkdir(parents=True, exist_ok=True)
    data = pickle.dumps(entry)
    (folder / name).write_bytes(data)
    return [name, hashlib.md5(data).hexdigest()]


@pytest.fixture
def ten(tmp_path, monkeypatch):
    """Two train batches of two images and a test batch, known to torchvision as the right files."""
    folder = tmp_path / CIFAR10.base_folder
    train = [
        put(folder, "data_batch_1", {"data": PIXELS[:2], "labels": [3, 0]}),
        put(folder, "data_batch_2", {"data": PIXELS[2:4], "labels": [9, 1]}),
    ]
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(
        CIFAR10, "test_list", [put(folder, "test_batch", {"data": PIXELS[4:], "labels": [5, 6]})]
    )
    name, md5 = put(folder, "batches.meta", {"label_names": TEN})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return tmp_path


@pytest.fixture
def hundred(tmp_path, monkeypatch):
    folder = tmp_path / CIFAR100.base_folder
    monkeypatch.setattr(
        CIFAR100, "train_list", [put(folder, "train", {"data": PIXELS[:4], "fine_labels": [99, 0, 1, 2]})]
    )
    monkeypatch.setattr(
        CIFAR100, "test_list", [put(folder, "test", {"data": PIXELS[4:], "fine_labels": [5, 6]})]
    )
    name, md5 = put(folder, "meta", {"fine_label_names": [f"class {k}" for k in range(100)]})
    monkeypatch.setattr(CIFAR100, "meta", {"filename": name, "key": "fine_label_names", "md5": md5})
    return tmp_path


def test_own_labels(ten):
    data = load_dataset(f"cifar10:{ten}")
    assert data.classes == tuple(TEN)
    assert data.given.tolist() == [3, 0, 9, 1]
    assert data.true is None
    assert list(data.ids) == ["train/00000", "train/00001", "train/00002", "train/00003"]
    for row in range(4):
        expected = PIXELS[row].reshape(3, 32, 32).transpose(1, 2, 0)
        assert np.array_equal(np.asarray(data.images.image(row)), expected)
    for split in ("val", "test"):
        assert load_dataset(f"cifar10:{ten}", split=split).given.tolist() == [5, 6]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("where", [".", "data"])
def test_human_labels_from_the_file_of_cifar_n(ten, zipped, where):
    (ten / where).mkdir(exist_ok=True)
    tables = {"clean_label": np.array([3, 0, 9, 1]), "worse_label": np.array([2, 0, -1, 1], dtype=np.int32)}
    torch.save(tables, ten / where / "CIFAR-10_human.pt", _use_new_zipfile_serialization=zipped)
    data = load_dataset(f"cifar10:{ten}", label="worse_label")
    assert data.given.tolist() == [2, 0, UNKNOWN, 1]
    assert data.true.tolist() == [3, 0, 9, 1]
    assert [problem.rows for problem in data.problems] == [(2,)]
    swapped = load_dataset(f"cifar10:{ten}", label="clean_label", true_label="worse_label")
    assert swapped.true.tolist() == [2, 0, UNKNOWN, 1]
    with pytest.raises(SaltflatError, match=r"has no labels 'aggre_label'. It has clean_label, worse_label"):
        load_dataset(f"cifar10:{ten}", label="aggre_label")


def test_human_labels_of_cifar100(hundred):
    torch.save({"noisy_label": np.array([98, 0, 1, 3])}, hundred / "CIFAR-100_human.pt")
    data = load_dataset(f"cifar100:{hundred}", label="noisy_label")
    assert data.given.tolist() == [98, 0, 1, 3]
    assert data.true.tolist() == [99, 0, 1, 2]
    assert data.classes[98] == "class 98"
    with pytest.raises(SaltflatError, match="no name of labels for CIFAR's classes"):
        load_dataset(f"cifar100:{hundred}", label="noisy_coarse_label")


def test_labels_from_a_plain_array(ten):
    np.save(ten / "mine.npy", np.array([0, 1, 2, 3], dtype=np.int16))
    assert load_dataset(f"cifar10:{ten}", label="mine").given.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.array([0, 1, 2]), "one whole number for each of the 4 images"),
        (np.array([0, 1, 2, 10]), "holds 10 at row 4; classes go from 0 to 9"),
        (np.array([0.0, 1, 2, 3]), "type float64"),
        (np.array([{"a": 1}]), "can't be read as a plain array"),
    ],
)
def test_label_arrays_that_do_not_fit(ten, values, text):
    np.save(ten / "mine.npy", values, allow_pickle=True)
    with pytest.raises(SaltflatError, match=text):
        load_dataset(f"cifar10:{ten}", label="mine")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the trap ran')",))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("trap", [Trap(), {"worse_label": np.array([Trap()] * 4, dtype=object)}])
def test_a_label_file_runs_no_code(ten, zipped, trap):
    torch.save(trap, ten / "CIFAR-10_human.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(SaltflatError, match="can't be read safely"):
        load_dataset(f"cifar10:{ten}", label="worse_label")


def test_missing_label_file_and_wrong_splits(ten):
    with pytest.raises(SaltflatError, match=r"'worse_label' need CIFAR-10_human\.pt or worse_label\.npy in"):
        load_dataset(f"cifar10:{ten}", label="worse_label")
    with pytest.raises(SaltflatError, match="train split only"):
        load_dataset(f"cifar10:{ten}", split="test", label="worse_label")
    with pytest.raises(SaltflatError, match="no split 'valid'"):
        load_dataset(f"cifar10:{ten}", split="valid")
    with pytest.raises(SaltflatError, match="leave out image='x'"):
        load_dataset(f"cifar10:{ten}", image="x")


def test_a_changed_file_is_never_unpickled(ten, monkeypatch):
    (ten / CIFAR10.base_folder / "data_batch_1").write_bytes(pickle.dumps(Trap()))
    offline(monkeypatch)
    with pytest.raises(SaltflatError, match="doesn't hold complete CIFAR10 files"):
        load_dataset(f"cifar10:{ten}")


def test_offline_says_which_file_goes_where(tmp_path, monkeypatch):
    offline(monkeypatch)
    expected = (
        rf"can't be downloaded.*put it at {tmp_path}/cifar-10-python\.tar\.gz.*{tmp_path}/cifar-10-batches-py"
    )
    with pytest.raises(SaltflatError, match=expected):
        load_dataset(f"cifar10:{tmp_path}")


def offline(monkeypatch):
    def fail(*_args, **_options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
