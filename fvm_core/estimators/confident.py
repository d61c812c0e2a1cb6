"""Confident learning (Northcutt et al. 2021) by cleanlab, on given probabilities."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from fvm_core.errors import SaltflatError
from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator
from fvm_core.estimators.materials import Materials
from fvm_core.estimators.setting import Setting

if TYPE_CHECKING:
    import torch

    from fvm_core.curvature.batches import Batches, Progress


class ConfidentLearning(RelabellingEstimator):
    """cleanlab's label quality in 0…1, small = suspicious, from out-of-fold probabilities.

    What the other estimators take as images are rows of `pred_probs` (B, K) here: of models that have
    not seen the sample. No model is needed. After `fit` the mean self-confidence of each class is taken
    off its probabilities first, as confident learning does for classes that the model finds hard.

    Args:
        method: `self_confidence` (p_k), `normalized_margin` or `confidence_weighted_entropy`.

    Attributes:
        thresholds: (K,) mean p_k of the samples with label k, after `fit`.

    Raises:
        SaltflatError: cleanlab is not installed.
    """

    name = "confident"
    title = "Confident learning, out-of-fold"
    suspicious = "low"
    needs = frozenset({"out_of_fold"})
    cost = "one training for every fold, then nothing"
    inputs = "probabilities"
    settings: tuple[Setting, ...] = (
        Setting(
            "folds", 5, "Folds", "Trainings for out-of-fold probabilities (confident learning).", least=2
        ),
    )
    place = 230

    def __init__(self, method: str = "self_confidence"):
        self.method = method
        self.thresholds: torch.Tensor | None = None
        self._rank, self._filter, self._count = (_cleanlab(part) for part in ("rank", "filter", "count"))

    @classmethod
    def make(cls, run: Materials) -> tuple[ConfidentLearning, dict[str, object]]:
        """By self-confidence."""
        return cls(), {"method": "self-confidence minus class threshold"}

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """The trainings of the folds, then a forward pass."""
        others = sizes.rated * (int(cls.value(sizes.config, "folds")) - 1)
        learnt = others * (sizes.config.train.epochs or 0) * costs.TRAINING
        return {"folds": learnt + sizes.rated, "scoring": 0.01 * sizes.rated}

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> ConfidentLearning:
        """The classes' thresholds, from batches of (probabilities, labels)."""
        import torch

        from fvm_core.curvature.batches import checked
        from fvm_core.diagonal.arguments import class_labels

        batches = list(checked(training, "training"))
        found = torch.cat([part for part, _labels in batches]).cpu().double().numpy()
        labels = torch.cat([class_labels(labels, *part.shape) for part, labels in batches]).cpu().numpy()
        self.thresholds = torch.from_numpy(self._count.get_confident_thresholds(labels, found))
        return self

    def score(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Label quality (B,) by `cleanlab.rank.get_label_quality_scores`.

        Args:
            images: probabilities (B, K).
            labels: (B,).
        """
        import torch

        from fvm_core.diagonal.arguments import class_labels

        labels = class_labels(labels, *images.shape)
        found = self._rank.get_label_quality_scores(
            labels.cpu().numpy(), self._adjusted(images).numpy(), method=self.method
        )
        return torch.from_numpy(found).to(images)

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Label quality (B, K) of probabilities (B, K) with every label."""
        import torch

        labels = [torch.full((len(images),), k) for k in range(images.shape[1])]
        return torch.stack([self.score(images, label) for label in labels], 1)

    def state(self) -> dict[str, torch.Tensor]:
        """The thresholds."""
        return {} if self.thresholds is None else {"thresholds": self.thresholds}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take the thresholds."""
        self.thresholds = state["thresholds"]

    def _adjusted(self, probabilities: torch.Tensor) -> torch.Tensor:
        found = probabilities.cpu().double()
        if self.thresholds is None:
            return found
        found = found - self.thresholds + self.thresholds.max()
        return found / found.sum(1, keepdim=True)

    def issues(self, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Which samples (N,) `cleanlab.filter.find_label_issues` holds for mislabelled; of the whole set.

        Args:
            probabilities: (N, K).
            labels: (N,).

        Raises:
            SaltflatError: labels that are no class indices.
        """
        import torch

        from fvm_core.diagonal.arguments import class_labels

        labels = class_labels(labels, *probabilities.shape)
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
    settings = ()
    place = 80

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """A forward pass."""
        return {"scoring": 1.0 * sizes.rated}


def _cleanlab(part: str) -> ModuleType:
    try:
        return importlib.import_module(f"cleanlab.{part}")
    except ImportError:
        raise SaltflatError(
            "Confident learning needs cleanlab, which is not installed. Run pip install cleanlab."
        ) from None
