"""What every approximation of the inverse curvature looks like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from fvm_core.curvature.batches import Batches, Progress, checked
from fvm_core.curvature.vectors import Vector
from fvm_core.errors import SaltflatError
from fvm_core.layers.conditions import refuse_training_mode
from fvm_core.layers.eager import unwrapped


class InverseCurvature(ABC):
    """`(C + λ)⁻¹ v` for vectors v, with a curvature C of the mean loss over a set of samples.

    Args:
        model: logits (B, K); in evaluation mode; its trainable parameters count; never changed.
    """

    def __init__(self, model: nn.Module):
        self.model = unwrapped(model)
        self._batches: Batches | None = None

    def fit(self, batches: Batches, *, progress: Progress | None = None) -> InverseCurvature:
        """Take the samples (images, labels) whose curvature it is, and compute what all vectors share.

        Raises:
            SaltflatError: there are none, they can be iterated only once, or the model is in training mode.
        """
        refuse_training_mode(self.model)
        batches = checked(batches, "curvature")
        self._batches = None  # a fit that fails leaves no half of the one before
        self._prepare(batches, progress)
        self._batches = batches
        return self

    @abstractmethod
    def times(self, vectors: Sequence[Vector], *, progress: Progress | None = None) -> list[Vector]:
        """`(C + λ)⁻¹ v` of every vector, which share the passes over the samples.

        Raises:
            SaltflatError: `fit` has not been called.
        """

    @abstractmethod
    def effective_damping(self) -> float | dict[str, float]:
        """λ as it is added to C: one number, or one for each tensor or layer by name."""

    def _prepare(self, batches: Batches, progress: Progress | None) -> None:  # noqa: B027
        """Compute what all vectors share."""

    def _fitted(self) -> Batches:
        if self._batches is None:
            raise SaltflatError("There is no curvature yet: call fit() with the samples first.")
        return self._batches

    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _example(self, batches: Batches) -> torch.Tensor:
        """The first batch of images, on the model's device."""
        images, _labels = next(iter(batches))
        if not len(images):
            raise SaltflatError("The first batch of the set whose curvature is wanted is empty.")
        return images.to(self._device())
