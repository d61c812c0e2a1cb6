"""Our values against stored ones of kronfluence, BackPACK and opacus, which need not be installed."""

import pytest

from tests.oracles import golden
from tests.oracles.compare import check_gradients, check_scores, check_square_sum
from tests.oracles.libraries import LIBRARIES


@pytest.fixture(scope="module")
def stored():
    return golden.read()


def test_the_file_is_small_and_tells_its_versions(stored):
    assert golden.PATH.stat().st_size < 200_000
    assert set(stored.versions) == {"python", "torch", *LIBRARIES}


def test_influence_is_that_of_kronfluence(stored):
    check_scores(stored.case, stored.case.plain, golden.DAMPING, stored.kronfluence_scores)


def test_gradients_are_those_of_opacus(stored):
    check_gradients(stored.case, stored.case.plain, stored.opacus_gradients)


def test_gradients_with_batch_norm_are_those_of_backpack(stored):
    check_gradients(stored.case, stored.case.normed, stored.backpack_gradients)


def test_fisher_with_batch_norm_is_that_of_backpack(stored):
    check_square_sum(stored.case, stored.case.normed, stored.backpack_square_sum)


def test_influence_with_batch_norm_follows_from_backpack(stored):
    count = len(stored.case.val_images)
    wanted = sum(
        (g.square() / (stored.backpack_square_sum[name] / count + golden.DAMPING)).flatten(1).sum(1)
        for name, g in stored.backpack_gradients.items()
    )
    check_scores(stored.case, stored.case.normed, golden.DAMPING, wanted)
