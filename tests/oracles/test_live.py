"""Our values against kronfluence, BackPACK and opacus themselves, where they are installed."""

import pytest
import torch

from tests.oracles import golden, libraries
from tests.oracles.compare import check_gradients, check_scores, check_square_sum, check_tensors

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def stored():
    return golden.read()


def test_kronfluence(stored, tmp_path):
    pytest.importorskip("kronfluence")
    found = libraries.kronfluence_scores(stored.case, golden.DAMPING, tmp_path)
    check_scores(stored.case, stored.case.plain, golden.DAMPING, found)
    torch.testing.assert_close(found, stored.kronfluence_scores, rtol=1e-5, atol=0)


def test_opacus(stored):
    pytest.importorskip("opacus")
    case = stored.case
    found = libraries.opacus_gradients(case.plain, case.images, case.labels)
    check_gradients(case, case.plain, found)
    check_tensors(found, stored.opacus_gradients)


def test_backpack_gradients(stored):
    pytest.importorskip("backpack")
    case = stored.case
    found = libraries.backpack_gradients(case.normed, case.images, case.labels)
    check_gradients(case, case.normed, found)
    check_tensors(found, stored.backpack_gradients)


def test_backpack_square_sum(stored):
    pytest.importorskip("backpack")
    case = stored.case
    found = libraries.backpack_square_sum(case.normed, case.val_images, case.val_labels)
    check_square_sum(case, case.normed, found)
    check_tensors(found, stored.backpack_square_sum)
