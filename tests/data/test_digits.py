import numpy as np
import pytest
from sklearn.datasets import load_digits

from fvm_core.data import load_dataset
from fvm_core.data.digits import LOOKALIKE
from fvm_core.errors import SaltflatError


def test_splits_cover_the_1797_scans_once():
    parts = [load_dataset("digits", split=split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [1200, 300, 297]
    ids = sorted(text for part in parts for text in part.ids)
    assert ids == [f"digits/{row:04d}" for row in range(1797)]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_ids_name_the_original_scan(split):
    scans = load_digits()
    data = load_dataset("digits", split=split)
    rows = [int(text.removeprefix("digits/")) for text in data.ids]
    assert np.array_equal(data.true, scans.target[rows])
    assert data.classes == tuple("0123456789")
    for place in (0, 7, 100):
        expected = np.rint(scans.images[rows[place]] / 16 * 255)
        assert np.array_equal(np.asarray(data.images.image(place)), expected)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3, 0.4997, 1.0])
@pytest.mark.parametrize("kind", ["symmetric", "class_dependent"])
def test_exactly_the_asked_share_moves(noise, kind):
    data = load_dataset("digits", noise=noise, noise_kind=kind, seed=3)
    assert (data.given != data.true).sum() == round(noise * 1200)
    assert data.given.min() >= 0
    assert data.given.max() <= 9


def test_validation_and_test_are_clean():
    for split in ("val", "test"):
        data = load_dataset("digits", split=split, noise=0.9)
        assert np.array_equal(data.given, data.true)


def test_class_dependent_noise_goes_to_the_lookalike():
    data = load_dataset("digits", noise_kind="class_dependent", noise=0.5)
    moved = data.given != data.true
    assert np.array_equal(data.given[moved], np.array(LOOKALIKE)[data.true[moved]])
    assert all(LOOKALIKE[k] != k for k in range(10))


def test_symmetric_noise_reaches_every_other_class_about_equally():
    data = load_dataset("digits", noise=1.0)
    step = np.bincount((data.given - data.true) % 10, minlength=10)
    assert step[0] == 0
    assert step[1:].min() > 1200 / 9 * 0.7


def test_the_seed_draws_noise_and_never_the_split():
    one, same, other = (load_dataset("digits", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.given, same.given)
    assert not np.array_equal(one.given, other.given)
    assert list(one.ids) == list(other.ids)
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"split": "all"}, "no split 'all'; choose train, val or test"),
        ({"noise": 30}, "noise is 30; it is a share"),
        ({"noise_kind": "x"}, "no noise kind 'x'; choose symmetric or class_dependent"),
        ({"label": "x"}, "leave out label='x'"),
    ],
)
def test_errors(options, text):
    with pytest.raises(SaltflatError, match=text):
        load_dataset("digits", **options)
