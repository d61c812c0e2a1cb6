"""Which classifier is kept, on logits whose worth is known."""

import numpy as np
import pytest

from fvm_core.comparison.model_selection import averaged, select

M, K = 400, 5


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).integers(0, K, M)


def knows(labels, strength, seed):
    """Logits with `strength` on the right label and noise of deviation 1."""
    found = np.random.default_rng(seed).normal(size=(len(labels), K))
    found[np.arange(len(labels)), labels] += strength
    return found


def test_the_one_that_is_right_more_often_is_kept_in_any_place(labels):
    weak, strong = knows(labels, 1, 1), knows(labels, 4, 2)
    assert select([weak, strong], labels).best == 1
    found = select([strong, weak], labels)
    assert found.best == 0
    assert found.accuracies[0] == np.mean(strong.argmax(1) == labels)
    assert found.losses[0] < found.losses[1]


def test_a_scale_of_the_logits_makes_no_difference(labels):
    weak, strong = knows(labels, 1, 1), knows(labels, 3, 2)
    found = [select([one * weak, other * strong], labels) for one, other in ((1, 1), (7, 0.1))]
    assert found[0].best == found[1].best == 1
    assert np.allclose(found[0].losses, found[1].losses, atol=1e-4)


def test_in_doubt_the_first_one_stays(labels):
    found = [select([knows(labels, 2, 2 * seed), knows(labels, 2, 2 * seed + 1)], labels).best
             for seed in range(40)]  # fmt: skip
    assert np.mean(found) < 0.25  # a half if every difference counted


def test_independent_ones_are_averaged(labels):
    first, second = knows(labels, 2, 1), knows(labels, 2, 2)
    found = select([first, second], labels)
    assert {found.best, found.other} == {0, 1}
    assert found.loss < min(found.losses)
    assert found.accuracy > max(found.accuracies)


def test_the_same_twice_and_one_that_knows_nothing_are_not(labels):
    strong = knows(labels, 3, 1)
    assert select([strong, strong.copy()], labels).other is None
    found = select([strong, knows(labels, -3, 2)], labels)
    assert found.other is None
    assert (found.loss, found.accuracy) == (found.losses[0], found.accuracies[0])


def test_an_average_is_one_of_probabilities():
    first, second = np.log([[0.5, 0.5]]), np.log([[0.9, 0.1]])
    assert np.allclose(np.exp(averaged(first, second, 0.25)), [[0.6, 0.4]])
    nothing = averaged(np.full((1, 2), np.nan), second, 0.25)
    assert np.isnan(nothing).all()
