import numpy as np
import pytest

from fvm_core.data import UNKNOWN, DatasetSpec, load_dataset, open_spec
from fvm_core.data.part_names import part_names
from fvm_core.data.table_columns import column_names
from fvm_core.errors import SaltflatError

from .images import raw_dataset, write


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        write(tmp_path / "pets" / "ab"[number % 2] / f"{number:02d}.png", number)
    return tmp_path / "pets"


def test_spec_opens_the_same_dataset_from_anywhere(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    data = load_dataset("pets", limit=5, seed=4)
    assert data.spec.source == str(folder)
    monkeypatch.chdir("/")
    again = open_spec(DatasetSpec(**data.spec.to_dict()))
    assert again.fingerprint() == data.fingerprint()
    assert again.spec == data.spec


def test_limit_keeps_order_and_classes(folder):
    whole = load_dataset(folder)
    part = load_dataset(folder, limit=5)
    assert len(part) == 5
    places = [list(whole.ids).index(text) for text in part.ids]
    assert places == sorted(set(places))
    assert part.classes == whole.classes
    assert list(load_dataset(folder, limit=5, seed=1).ids) != list(part.ids)
    assert len(load_dataset(folder, limit=99)) == 12
    with pytest.raises(SaltflatError, match="limit is 0"):
        load_dataset(folder, limit=0)


@pytest.mark.parametrize("source", ["nowhere", "cifar10:", "notes.doc", "digit"])
def test_unknown_sources_name_what_is_possible(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.doc").write_text("x")
    with pytest.raises(SaltflatError, match=rf"{source}.*Possible are: digits, cifar10:FOLDER.*\.npz file"):
        load_dataset(source)


@pytest.mark.parametrize("source", ["a" * 5000, "*" * 5000, "\0", "a\0b.csv", "[", "**", "~no such person/x"])
def test_sources_that_can_be_no_path(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SaltflatError):
        load_dataset(source)
    assert column_names(source) == part_names(source) == []
    (tmp_path / "t.csv").write_text("path,label\na,b\n")
    with pytest.raises(SaltflatError):
        load_dataset(tmp_path / "t.csv", image_root=source)


def test_take_counts_missing_labels_anew():
    data = raw_dataset([0, UNKNOWN, 1, UNKNOWN], ("a", "b"))
    part = data.take(np.array([3, 0]))
    assert [problem.rows for problem in part.problems] == [(0,)]
    assert part.problems[0].message.startswith("1 row has no label.")
    assert data.take(np.array([0, 2])).problems == []


def test_fingerprint_sees_labels_names_ids_and_images():
    one = raw_dataset([0, 1], ("a", "b"))
    others = [
        raw_dataset([1, 1], ("a", "b")),
        raw_dataset([0, 1], ("a", "c")),
        raw_dataset([0, 1], ("a", "b"), seeds=[5, 6]),
        one.take(np.array([1, 0])),
    ]
    prints = {data.fingerprint() for data in [one, *others]}
    assert len(prints) == 5
    assert one.fingerprint() == raw_dataset([0, 1], ("a", "b")).fingerprint()
