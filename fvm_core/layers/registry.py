"""Kernels by layer type: how one layer contributes to `gᵀDg` and to the diagonal Fisher."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import reduce
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from fvm_core.layers.sums import weighted_sums

Gradients = dict[str, torch.Tensor]
"""Parameter name within the layer to per-sample gradients (B, *parameter.shape)."""


Inputs = torch.Tensor | tuple[torch.Tensor, ...]
"""What a layer is given: mostly one tensor (B, …)."""


REFUSALS = (
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    AssertionError,
)
"""What torch raises where it can't run a layer or a model in one way; another way is tried then."""


Layer = TypeVar("Layer", bound=nn.Module, contravariant=True)
"""The type of the modules that a kernel serves."""

Given = TypeVar("Given", bound=Inputs)
"""What those modules are given: one tensor or several."""


class Kernel(ABC, Generic[Layer, Given]):
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

    def serves(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether it can tell the gradients of a layer that is called in this way."""
        return bool(args)

    def inputs(self, args: tuple[Any, ...]) -> Given:
        """What `gradients` needs of the arguments that the layer was called with, detached."""
        found: Given = args[0].detach()
        return found

    @abstractmethod
    def gradients(self, module: Layer, inputs: Given, delta: torch.Tensor) -> Gradients:
        """Gradient of every sample's loss with respect to the layer's own parameters."""

    def quadratic(
        self, module: Layer, inputs: Given, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """`Σ_p D_p g_p²` (B,) over this layer's parameters named in `weights` (their D)."""
        gradients = self.gradients(module, inputs, delta)
        rows = {name: squared(gradients[name]).reshape(len(delta), -1) for name in weights}
        return reduce(operator.add, (weighted_sums(rows[name], w.flatten()) for name, w in weights.items()))

    def shares(self, module: Layer, inputs: Given, delta: torch.Tensor) -> bool:
        """Whether `quadratic_many` is worth holding L gradients of a sample for."""
        return False

    def quadratic_many(
        self, module: Layer, inputs: Given, deltas: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """`quadratic` (B, L) for L gradients of each sample (B, L, …), such as those of L labels."""
        found = [self.quadratic(module, inputs, deltas[:, n], weights) for n in range(deltas.shape[1])]
        return torch.stack(found, 1)

    def square_sum(self, module: Layer, inputs: Given, delta: torch.Tensor) -> Gradients:
        """`Σ_n g_n ⊙ g_n`, shaped like each parameter."""
        found = self.gradients(module, inputs, delta)
        return {name: squared(gradient).sum(0) for name, gradient in found.items()}

    def channel_quadratic(
        self, module: Layer, inputs: Given, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """`quadratic` before its sum over output channels (B, C), for layers whose parameters are
        (C, …).
        """
        gradients = self.gradients(module, inputs, delta)
        channels = (len(delta), len(next(iter(weights.values()))), -1)
        terms = ((squared(gradients[name]) * w).reshape(channels).sum(2) for name, w in weights.items())
        return reduce(operator.add, terms)


def summing(dtype: torch.dtype) -> torch.dtype:
    """In what squares of values of a type are added up: float32 for lower precisions."""
    return torch.promote_types(dtype, torch.float32)


def exact(values: torch.Tensor) -> torch.Tensor:
    """The values in float64, on the CPU where their device lacks it."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def squared(values: torch.Tensor) -> torch.Tensor:
    """`values²`, in float32 where they are of lower precision."""
    return values.to(summing(values.dtype)).square()


def summed(values: torch.Tensor, axis: int) -> torch.Tensor:
    """Sum over an axis, in float32 where the values are of lower precision."""
    return values.sum(axis, dtype=summing(values.dtype))


def first(inputs: Inputs) -> torch.Tensor:
    """The tensor that a layer is given, or the first of several."""
    return inputs if isinstance(inputs, torch.Tensor) else inputs[0]


AnyKernel = Kernel[Any, Any]
"""A kernel that is met with the module for which it was chosen, whatever that module's type is."""

_kernels: dict[type[nn.Module], AnyKernel] = {}


def register(*types: type[Layer]) -> Callable[[type[Kernel[Layer, Given]]], type[Kernel[Layer, Given]]]:
    """Class decorator: this kernel serves modules of exactly these types."""

    def add(kernel: type[Kernel[Layer, Given]]) -> type[Kernel[Layer, Given]]:
        for kind in types:
            _kernels[kind] = kernel()
        return kernel

    return add


def kernel_for(module: nn.Module) -> AnyKernel | None:
    """The kernel of a module; None for subclasses too, whose forward pass may be another."""
    return _kernels.get(type(module))
