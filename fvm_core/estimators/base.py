"""What every estimator beside the diagonal influence declares and answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.estimators.standard.batches import Batches, Progress
from fvm_core.estimators.standard.values import refuse_training_mode

Need = Literal[
    "theta_star", "tuned", "checkpoints", "training_set", "validation_set", "ensemble", "out_of_fold"
]
"""What has to be there: the trained model θ*, the tuned model θ̃, checkpoints of training, batches of either
set for `fit`, an ensemble of tuned models, or out-of-fold probabilities."""


class Estimator(ABC):
    """A score for samples with their labels, whose suspicious end it declares.

    Attributes:
        name: as settings and files call it; title: as people read it.
        suspicious: the end of the raw value at which wrong labels are expected, `high` or `low`.
        needs: see `Need`.
        cost: in words, how many passes it takes.
        relabels: whether `score_labels` answers.
    """

    name: str
    title: str
    suspicious: Literal["high", "low"]
    needs: frozenset[Need]
    cost: str
    relabels: bool = False

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> Estimator:
        """Compute what all samples share; estimators that need neither set take none.

        Args:
            training: batches of (images, labels), the labels as given; iterated several times.
            validation: the same of clean samples.
            progress: told what is being done, and how far; may raise to stop.

        Raises:
            SaltflatError: a set that `needs` names is missing, empty, or can be iterated only once.
        """
        return self

    @abstractmethod
    def score(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Raw values (B,) of samples with their labels; they do not depend on the batch."""

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Raw values (B, K) of samples with every candidate label (22).

        Raises:
            SaltflatError: this estimator does not relabel.
        """
        raise SaltflatError(f"{self.title} gives no values for other labels, so it can't suggest one.")

    def judge(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Raw values (B,) of samples with their labels, and the label (B,) that it suggests for each.

        None in the second place from an estimator that does not relabel.
        """
        return self.score(images, labels), None

    def suspicion(self, raw: torch.Tensor) -> torch.Tensor:
        """The raw values with the sign that makes large suspicious; the best label has the smallest."""
        return raw if self.suspicious == "high" else -raw

    def state(self) -> dict[str, torch.Tensor]:
        """What `fit` has computed, to be stored."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:  # noqa: B027 (many have no state)
        """Take the place of `fit`."""


class RelabellingEstimator(Estimator):
    """One that knows all K values of a sample at the price of one."""

    relabels = True

    @abstractmethod
    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Raw values (B, K) of samples with every candidate label (22)."""

    def score(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Raw values (B,) of samples with their labels."""
        return self.score_labels(images).gather(1, labels[:, None])[:, 0]

    def judge(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw values (B,), and the label (B,) with the smallest suspicion (22)."""
        values = self.score_labels(images)
        return values.gather(1, labels[:, None])[:, 0], self.suspicion(values).argmin(1)


class LogitEstimator(RelabellingEstimator):
    """One that needs no more of a model than its logits, so that several share one forward pass.

    Args:
        model: logits (B, K); in evaluation mode; never changed.

    Raises:
        SaltflatError: the model is in training mode.
    """

    cost = "1 forward pass a sample"

    def __init__(self, model: nn.Module):
        refuse_training_mode(model)
        self.model = model

    @staticmethod
    @abstractmethod
    def of_logits(logits: torch.Tensor) -> torch.Tensor:
        """Raw values (B, K) with every label, in the logits' precision."""

    @torch.no_grad()
    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Raw values (B, K) with every label."""
        return self.of_logits(self.model(images))
