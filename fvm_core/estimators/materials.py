"""What a run has from which estimators are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.config import RunConfig


@dataclass(frozen=True)
class Checkpoint:
    """The model at one moment of training.

    Attributes:
        state: its state dict; lr: the learning rate at that moment; epoch: its number, where one is known.
    """

    state: dict[str, torch.Tensor]
    lr: float
    epoch: int = 0


class Materials(Protocol):
    """A run at work, as `Estimator.make` sees it. Models are in evaluation mode, on the run's device.

    What takes long is kept in the run's folder while the estimator is at work, told of as progress, and may
    be stopped.
    """

    @property
    def config(self) -> RunConfig:
        """Complete settings of the run."""
        ...

    def theta_star(self) -> nn.Module:
        """The trained model θ*."""
        ...

    def tuned(self) -> nn.Module:
        """The model θ̃ after the run's own tuning."""
        ...

    def best_checkpoint(self) -> tuple[int, nn.Module]:
        """The kept epoch with the best validation accuracy, or that of the settings, and its model."""
        ...

    def checkpoints(self) -> list[Checkpoint]:
        """The kept moments of training, in their order."""
        ...

    def tuned_with(self, solver: str) -> tuple[float, nn.Module]:
        """γ and θ* after a tuning of its own, that of the run with another solver."""
        ...

    def ensemble(self, count: int, start: str) -> list[dict[str, torch.Tensor]]:
        """State dicts of models tuned by SGD, each from the one before (`previous`) or from `theta_star`."""
        ...
