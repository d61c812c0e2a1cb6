"""What every solver for the validation risk looks like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

Parameters = dict[str, nn.Parameter]
Perturbation = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Step:
    """What one step saw.

    Attributes:
        loss: minibatch loss at the parameters before the step.
        sharpness: loss at the perturbed parameters minus `loss`; None for plain SGD.
    """

    loss: float
    sharpness: float | None


class Solver(ABC):
    """One step towards a (flat) minimum: gradients as the method asks for, then a step of SGD.

    Args:
        model: the network; its trainable parameters are tuned in place.
        optimizer: SGD over them.
        gamma: radius of the perturbation, in the method's own norm.
    """

    default_gamma = 0.0

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, gamma: float | None = None):
        self.model = model
        self.optimizer = optimizer
        self.gamma = self.default_gamma if gamma is None else gamma
        self.parameters: Parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}

    @abstractmethod
    def step(self, loss: Callable[[], torch.Tensor]) -> Step:
        """Do one step; `loss` runs the minibatch and returns its mean loss."""

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors that a resumed run needs besides those of the optimizer."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:  # noqa: B027 (most solvers have no state)
        """The opposite of `state`."""

    def gradient(self, loss: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Put the gradient of `loss()` into `.grad`; returns the loss, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        return value.detach()

    @contextmanager
    def moved(self, perturbation: Perturbation) -> Iterator[None]:
        """Parameters are `θ + perturbation` inside, exactly θ again after it.

        BatchNorm normalises with the batch inside but leaves its running statistics alone: the second
        pass of a step must not count the batch twice.
        """
        kept = {name: self.parameters[name].detach().clone() for name in perturbation}
        layers = [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        tracking = [layer.track_running_stats for layer in layers]
        with torch.no_grad():
            for name, value in perturbation.items():
                self.parameters[name].add_(value)
        # In evaluation mode the running statistics are what normalises; then they have to stay in use.
        for layer in layers:
            layer.track_running_stats = layer.track_running_stats and not layer.training
        try:
            yield
        finally:
            for layer, was in zip(layers, tracking, strict=True):
                layer.track_running_stats = was
            with torch.no_grad():
                for name, value in kept.items():
                    self.parameters[name].copy_(value)

    def two_pass_step(
        self, loss: Callable[[], torch.Tensor], first: torch.Tensor, move: Perturbation
    ) -> Step:
        """Gradient at `θ + move`, applied at θ."""
        with self.moved(move):
            second = self.gradient(loss)
        self.optimizer.step()
        return Step(float(first), float(second - first))


def norm(values: Perturbation) -> torch.Tensor:
    """Euclidean norm over all tensors together."""
    length: torch.Tensor = torch.stack([value.norm() for value in values.values()]).norm()
    return length
