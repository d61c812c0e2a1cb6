import numpy as np

from fvm_core.percentiles import percentiles


def test_a_percentile_is_the_share_below():
    found = percentiles(np.array([0.1, 5.0, np.nan, -2.0, 3.0]))
    np.testing.assert_allclose(found, [25, 75, np.nan, 0, 50])


def test_equal_ones_share_their_mean_and_none_reaches_a_hundred():
    np.testing.assert_allclose(percentiles(np.array([1.0, 1.0, 1.0, 2.0])), [25, 25, 25, 75])
    found = percentiles(np.random.default_rng(0).normal(size=1200))
    assert found.max() < 100
    assert found.max() == 100 * 1199 / 1200
    assert np.isnan(percentiles(np.array([np.nan]))).all()
