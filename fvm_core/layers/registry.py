"""Kernels by layer type: how one layer contributes to `gᵀDg` and to the diagonal Fisher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn

Gradients = dict[str, torch.Tensor]
"""Parameter name within the layer to per-sample gradients (B, *parameter.shape)."""


Inputs = torch.Tensor | tuple[torch.Tensor, ...]
"""What a layer is given: mostly one tensor (B, …)."""


class Kernel(ABC):
    """What one layer type knows about its per-sample gradients.

    `inputs` is what the method of that name keeps, mostly the layer's input (B, …), `delta` the gradient
    of each sample's loss with respect to the layer's output (B, …). Samples do not mix in the batch. Only
    `gradients` has to be written; the others are overridden where they can do without per-sample
    gradients.
    """

    owns_children = False
    """Whether it serves the parameters of the module's children too."""

    channel_axis = 1
    """Axis of the output along which the first axis of the parameters runs."""

    def serves(self, args: tuple, kwargs: dict) -> bool:
        """Whether it can tell the gradients of a layer that is called in this way."""
        return bool(args)

    def inputs(self, args: tuple) -> Inputs:
        """What `gradients` needs of the arguments that the layer was called with, detached."""
        return args[0].detach()

    @abstractmethod
    def gradients(self, module: nn.Module, inputs: Inputs, delta: torch.Tensor) -> Gradients:
        """Gradient of every sample's loss with respect to the layer's own parameters."""

    def quadratic(
        self, module: nn.Module, inputs: Inputs, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """`Σ_p D_p g_p²` (B,) over this layer's parameters named in `weights` (their D)."""
        gradients = self.gradients(module, inputs, delta)
        return sum(squared(gradients[name]).flatten(1) @ w.flatten() for name, w in weights.items())

    def shares(self, module: nn.Module, inputs: Inputs, delta: torch.Tensor) -> bool:
        """Whether `quadratic_many` is worth holding L gradients of a sample for."""
        return False

    def quadratic_many(
        self, module: nn.Module, inputs: Inputs, deltas: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """`quadratic` (B, L) for L gradients of each sample (B, L, …), such as those of L labels."""
        found = [self.quadratic(module, inputs, deltas[:, n], weights) for n in range(deltas.shape[1])]
        return torch.stack(found, 1)

    def square_sum(self, module: nn.Module, inputs: Inputs, delta: torch.Tensor) -> Gradients:
        """`Σ_n g_n ⊙ g_n`, shaped like each parameter."""
        found = self.gradients(module, inputs, delta)
        return {name: squared(gradient).sum(0) for name, gradient in found.items()}

    def channel_quadratic(
        self, module: nn.Module, inputs: Inputs, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """`quadratic` before its sum over output channels (B, C), for layers whose parameters are
        (C, …).
        """
        gradients = self.gradients(module, inputs, delta)
        channels = (len(delta), len(next(iter(weights.values()))), -1)
        return sum((squared(gradients[name]) * w).reshape(channels).sum(2) for name, w in weights.items())


def squared(values: torch.Tensor) -> torch.Tensor:
    """`values²`, in float32 where they are of lower precision."""
    return (values.float() if values.dtype.itemsize < 4 else values).square()


def summed(values: torch.Tensor, axis: int) -> torch.Tensor:
    """Sum over an axis, in float32 where the values are of lower precision."""
    return values.sum(axis, dtype=torch.promote_types(values.dtype, torch.float32))


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
