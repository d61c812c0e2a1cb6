"""Confident learning: cleanlab's own values, in our shapes."""

import sys

import numpy as np
import pytest
import torch

from fvm_core.errors import SaltflatError
from fvm_core.estimators.confident import ConfidentLearning, TunedConfidentLearning


def probabilities(count=60, classes=4):
    torch.manual_seed(0)
    labels = torch.arange(count) % classes
    logits = torch.randn(count, classes)
    logits[torch.arange(count), labels] += 3
    given = labels.clone()
    given[:6] = (given[:6] + 1) % classes
    return logits.softmax(1), given


def test_a_missing_cleanlab_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.rank", None)
    with pytest.raises(SaltflatError, match="pip install cleanlab"):
        ConfidentLearning()


def test_self_confidence_and_margin_by_hand():
    p, given = probabilities()
    own = p.gather(1, given[:, None])[:, 0]
    torch.testing.assert_close(ConfidentLearning().score(p, given), own)
    others = p.scatter(1, given[:, None], -1).max(1).values
    found = TunedConfidentLearning("normalized_margin").score(p, given)
    torch.testing.assert_close(found, (own - others + 1) / 2)


@pytest.mark.parametrize("method", ["self_confidence", "normalized_margin", "confidence_weighted_entropy"])
def test_every_label_and_batches_of_any_size(method):
    p, given = probabilities()
    estimator = ConfidentLearning(method)
    found = estimator.score_labels(p)
    assert found.shape == p.shape
    own = estimator.score(p, given)
    torch.testing.assert_close(found.gather(1, given[:, None])[:, 0], own)
    single = torch.cat([estimator.score(p[n : n + 1], given[n : n + 1]) for n in range(len(p))])
    torch.testing.assert_close(single, own)
    assert torch.equal(estimator.suspicion(found).argmin(1), p.argmax(1))


def test_issues_are_those_of_cleanlab():
    from cleanlab.filter import find_label_issues

    p, given = probabilities()
    found = ConfidentLearning().issues(p, given)
    wanted = find_label_issues(given.numpy(), p.double().numpy(), n_jobs=1)
    assert found.dtype == torch.bool
    assert np.array_equal(found.numpy(), wanted)
    assert found[:6].any()


def test_after_fit_the_thresholds_are_those_of_cleanlab():
    from cleanlab.rank import get_label_quality_scores

    p, given = probabilities()
    estimator = ConfidentLearning().fit([(p[:25], given[:25]), (p[25:], given[25:])])
    wanted = get_label_quality_scores(given.numpy(), p.double().numpy(), adjust_pred_probs=True)
    torch.testing.assert_close(
        estimator.score(p, given).double(), torch.from_numpy(wanted), rtol=1e-5, atol=0
    )
    other = ConfidentLearning()
    other.restore(estimator.state())
    assert torch.equal(other.score(p, given), estimator.score(p, given))
