"""Millions of squares are added without losing their digits, whatever the machine's BLAS does."""

import pytest
import torch

from fvm_core.layers.sums import PIECE, weighted_sums


def squares(*shape):
    """As of a layer's gradients: some are a million times as large as most."""
    torch.manual_seed(0)
    return torch.randn(shape).exp().square()


def test_millions_of_terms_keep_their_digits():
    values, weights = squares(3, 2_359_296), squares(2_359_296).sqrt()
    exact = values.double() @ weights.double()
    error = ((weighted_sums(values, weights).double() - exact) / exact).abs().max()
    # Each running sum of at most PIECE terms is rounded at random: √PIECE times half a unit in the last place.
    assert float(error) < PIECE**0.5 * 2.0**-24


@pytest.mark.parametrize("count", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_pieces_add_up(count):
    values, weights = squares(2, 3, count).double(), squares(count).double()
    torch.testing.assert_close(weighted_sums(values, weights), values @ weights, rtol=1e-12, atol=0)
    many = squares(2, count, 1).double()
    if count:
        torch.testing.assert_close(weighted_sums(values, many), values @ many, rtol=1e-12, atol=0)


def test_a_few_terms_are_one_product():
    values, weights = squares(4, PIECE), squares(PIECE)
    assert torch.equal(weighted_sums(values, weights), values @ weights)
