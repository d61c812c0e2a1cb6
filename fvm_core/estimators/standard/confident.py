"""Confident learning (Northcutt et al. 2021) by cleanlab, on given probabilities."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

from fvm_core.errors import SaltflatError
from fvm_core.estimators.standard.base import RelabellingEstimator


class ConfidentLearning(RelabellingEstimator):
    """cleanlab's label quality in 0…1, small = suspicious, from out-of-fold probabilities.

    What the other estimators take as images are rows of `pred_probs` (B, K) here: of models that have
    not seen the sample. No model is needed.

    Args:
        method: `self_confidence` (p_k), `normalized_margin` or `confidence_weighted_entropy`.

    Raises:
        SaltflatError: cleanlab is not installed.
    """

    name = "confident"
    title = "Confident learning, out-of-fold"
    suspicious = "low"
    needs = frozenset({"out_of_fold"})
    cost = "one training for every fold, then nothing"

    def __init__(self, method: str = "self_confidence"):
        self.method = method
        self._rank = _cleanlab("rank")
        self._filter = _cleanlab("filter")

    def score(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Label quality (B,) by `cleanlab.rank.get_label_quality_scores`.

        Args:
            images: probabilities (B, K).
            labels: (B,).
        """
        found = self._rank.get_label_quality_scores(
            labels.cpu().numpy(), images.cpu().double().numpy(), method=self.method
        )
        return torch.from_numpy(found).to(images)

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Label quality (B, K) of probabilities (B, K) with every label."""
        labels = [torch.full((len(images),), k) for k in range(images.shape[1])]
        return torch.stack([self.score(images, label) for label in labels], 1)

    def issues(self, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Which samples (N,) `cleanlab.filter.find_label_issues` holds for mislabelled; of the whole set.

        Args:
            probabilities: (N, K).
            labels: (N,).
        """
        found = self._filter.find_label_issues(
            labels.cpu().numpy(), probabilities.cpu().double().numpy(), n_jobs=1
        )
        return torch.from_numpy(found)


class TunedConfidentLearning(ConfidentLearning):
    """The same on the probabilities of the tuned model, whose training set the samples once were."""

    name = "tuned_confident"
    title = "Confident learning, tuned model"
    needs = frozenset({"tuned"})
    cost = "1 forward pass a sample"


def _cleanlab(part: str) -> ModuleType:
    try:
        return importlib.import_module(f"cleanlab.{part}")
    except ImportError:
        raise SaltflatError(
            "Confident learning needs cleanlab, which is not installed. Run pip install cleanlab."
        ) from None
