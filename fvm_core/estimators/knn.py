"""Whether the nearest training samples have the same label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fvm_core.errors import SaltflatError
from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator
from fvm_core.estimators.setting import Setting

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.config import RunConfig
    from fvm_core.curvature.batches import Batches, Progress

_AT_ONCE = 2**25
"""Most similarities held at once (128 MiB)."""


class NeighbourAgreement(RelabellingEstimator):
    """Share of the k nearest training samples that have the label, by cosine; small = suspicious.

    Features are the inputs of the last layer: in a feature run those of the backbone, standardised. The
    nearest sample of all is left out, since of a training sample that is itself.

    Args:
        model: the tuned one, in evaluation mode; never changed.
        neighbours: k.
    """

    name = "knn"
    title = "Agreement of nearest neighbours"
    suspicious = "low"
    needs = frozenset({"tuned", "training_set"})
    cost = "1 forward pass a sample, twice, and a product of each sample's features with all others"
    settings = (
        Setting(
            "neighbours", 50, "Neighbours", "Training samples that each sample is compared with.", least=1
        ),
    )
    place = 85

    def __init__(self, model: nn.Module, neighbours: int = 50):
        from fvm_core.layers.conditions import refuse_training_mode
        from fvm_core.layers.eager import unwrapped

        refuse_training_mode(model)
        self.model = unwrapped(model)
        self.neighbours = neighbours
        self._features: torch.Tensor | None = None
        self._labels: torch.Tensor | None = None
        self._classes = 0

    @classmethod
    def options(cls, config: RunConfig) -> dict[str, Any]:
        """K."""
        return {"neighbours": int(cls.value(config, "neighbours"))}

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """A forward pass of every sample for its features, and again to score it."""
        return {"features": 1.0 * sizes.rated, "scoring": 1.5 * sizes.rated}

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> NeighbourAgreement:
        """Features and labels of all training samples."""
        import torch

        from fvm_core.curvature.batches import checked, placed
        from fvm_core.diagonal.arguments import class_labels

        device = next(self.model.parameters()).device
        features, labels = [], []
        for images, own in placed(checked(training, "training"), device, "features", progress):
            found, self._classes = self._of(images)
            features.append(found)
            labels.append(class_labels(own, len(images), self._classes))
        self._features, self._labels = torch.cat(features), torch.cat(labels)
        return self

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Share (B, K) of the neighbours with every label, each weighted by its cosine (0 below 0)."""
        import torch

        if self._features is None or self._labels is None:
            raise SaltflatError("There are no neighbours yet: call fit() with the training set first.")
        found, classes = self._of(images)
        count = min(self.neighbours + 1, len(self._features))
        votes = torch.zeros(len(images), classes, device=found.device)
        step = max(1, _AT_ONCE // len(self._features))
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            cosine, rows = (found[part] @ self._features.T).topk(count, dim=1)
            weights = cosine[:, 1:].clamp(min=0.0)
            votes[part].scatter_add_(1, self._labels[rows[:, 1:]], weights)
        return votes / votes.sum(1, keepdim=True).clamp(min=torch.finfo(votes.dtype).tiny)

    def state(self) -> dict[str, torch.Tensor]:
        """Features, labels and the number of classes."""
        import torch

        if self._features is None or self._labels is None:
            return {}
        return {"features": self._features, "labels": self._labels, "classes": torch.tensor(self._classes)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take them."""
        device = next(self.model.parameters()).device
        self._features, self._labels = state["features"].to(device), state["labels"].to(device)
        self._classes = int(state["classes"])

    def _of(self, images: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Features (B, D) of length 1, and K."""
        import torch

        from fvm_core.layers.conditions import refuse_training_mode
        from fvm_core.models.penultimate import penultimate

        refuse_training_mode(self.model)
        found = torch.nn.functional.normalize(penultimate(self.model, images).float(), dim=1)
        with torch.no_grad():
            classes = int(self.model(images[:1]).shape[1]) if not self._classes else self._classes
        return found, classes
