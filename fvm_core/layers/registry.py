"""Kernels by layer type: how one layer contributes to `gᵀDg` and to the diagonal Fisher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn

Gradients = dict[str, torch.Tensor]
"""Parameter name within the layer to per-sample gradients (B, *parameter.shape)."""


class Kernel(ABC):
    """What one layer type knows about its per-sample gradients.

    `inputs` is the layer's input (B, …), `delta` the gradient of each sample's loss with respect to the
    layer's output (B, …). Samples do not mix in the batch. Only `gradients` has to be written; the other
    two are overridden where they can do without per-sample gradients.
    """

    @abstractmethod
    def gradients(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Gradient of every sample's loss with respect to the layer's own parameters."""

    def quadratic(
        self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """`Σ_p D_p g_p²` (B,) over this layer's parameters named in `weights` (their D)."""
        gradients = self.gradients(module, inputs, delta)
        total = delta.new_zeros(len(delta))
        for name, weight in weights.items():
            total += gradients[name].square().flatten(1) @ weight.flatten()
        return total

    def square_sum(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """`Σ_n g_n ⊙ g_n`, shaped like each parameter."""
        found = self.gradients(module, inputs, delta)
        return {name: gradient.square().sum(0) for name, gradient in found.items()}


_kernels: dict[type[nn.Module], Kernel] = {}


def register(*types: type[nn.Module]) -> Callable[[type[Kernel]], type[Kernel]]:
    """Class decorator: this kernel serves modules of exactly these types."""

    def add(kernel: type[Kernel]) -> type[Kernel]:
        for kind in types:
            _kernels[kind] = kernel()
        return kernel

    return add


def kernel_for(module: nn.Module) -> Kernel | None:
    """The kernel of a module; None for subclasses too, whose forward pass may be another."""
    return _kernels.get(type(module))
