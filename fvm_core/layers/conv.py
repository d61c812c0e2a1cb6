"""Convolutions in one, two and three dimensions, with stride, padding, dilation and groups."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.conv import _ConvNd

from fvm_core.layers.fused import quadratic_many, weighted_square
from fvm_core.layers.products import channel_quadratic, square_sum
from fvm_core.layers.registry import Gradients, Kernel, register, summed


@register(nn.Conv1d, nn.Conv2d, nn.Conv3d)
class ConvKernel(Kernel[_ConvNd, torch.Tensor]):
    """`∂ℓ/∂W = Σ_t δ_t u_tᵀ` with `u_t` the unfolded input patch of output position t, per group."""

    def gradients(self, module: _ConvNd, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients of `weight` (B, out, in/groups, *kernel) and `bias` (B, out)."""
        batch, groups = len(inputs), module.groups
        if _many_positions(module, delta):
            found = {"weight": _by_convolution(module, inputs, delta)}
        else:
            patches = _patches(module, inputs)
            patches = patches.reshape(batch * groups, -1, patches.shape[-1])
            d = delta.reshape(batch * groups, module.out_channels // groups, -1)
            found = {"weight": torch.bmm(d, patches.transpose(1, 2)).reshape(batch, *module.weight.shape)}
        if module.bias is not None:
            found["bias"] = summed(delta.flatten(2), 2)
        return found

    def quadratic(
        self, module: _ConvNd, inputs: torch.Tensor, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """As for any layer; without groups the gradients of a few samples are held at once."""
        if "weight" not in weights or not _by_product(module, delta):
            return super().quadratic(module, inputs, delta, weights)
        total = weighted_square(delta.flatten(2), _patches(module, inputs), weights["weight"].flatten(1))
        if "bias" in weights:
            total = total + summed(delta.flatten(2), 2).square() @ weights["bias"]
        return total

    def channel_quadratic(
        self, module: _ConvNd, inputs: torch.Tensor, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """As for any layer; without groups the gradients of a few samples are held at once."""
        if "weight" not in weights or not _by_product(module, delta):
            return super().channel_quadratic(module, inputs, delta, weights)
        total = channel_quadratic(delta.flatten(2), _patches(module, inputs), weights["weight"].flatten(1))
        if "bias" in weights:
            total = total + summed(delta.flatten(2), 2).square() * weights["bias"]
        return total

    def shares(self, module: _ConvNd, inputs: torch.Tensor, delta: torch.Tensor) -> bool:
        """Without groups, for then patches are made once."""
        return module.groups == 1

    def quadratic_many(
        self, module: _ConvNd, inputs: torch.Tensor, deltas: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """Input patches, and what else does not depend on δ, are made once for all L."""
        if "weight" not in weights or module.groups > 1 or deltas.shape[1] == 1:
            return super().quadratic_many(module, inputs, deltas, weights)
        patches, d, own = _patches(module, inputs), deltas.flatten(3), weights["weight"].flatten(1)
        total = quadratic_many(d, patches, own)
        if "bias" in weights:
            total = total + summed(d, 3).square() @ weights["bias"]
        return total

    def square_sum(self, module: _ConvNd, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """As for any layer; without groups the gradients of a few samples are held at once."""
        if not _by_product(module, delta):
            return super().square_sum(module, inputs, delta)
        weight = square_sum(delta.flatten(2), _patches(module, inputs))
        found = {"weight": weight.reshape(module.weight.shape)}
        if module.bias is not None:
            found["bias"] = summed(delta.flatten(2), 2).square().sum(0)
        return found


def _by_product(module: _ConvNd, delta: torch.Tensor) -> bool:
    """Whether one gradient is a single product of δ and patches."""
    return module.groups == 1 and not _many_positions(module, delta)


def _many_positions(module: _ConvNd, delta: torch.Tensor) -> bool:
    """Whether unfolding for one gradient would copy more than a convolution that does without.

    On a CPU, per sample: 64 channels at 32×32 1.0 ms unfolded and 0.5 ms convolved, 512 at 4×4 1.0 ms
    and 4.4 ms. On a GPU convolutions with a group for every sample are slow.
    """
    if delta.device.type != "cpu" or delta.dtype.itemsize < 4:
        return False
    outputs = module.out_channels // module.groups
    return delta[0, 0].numel() > outputs and module.weight[0].numel() > outputs


def _by_convolution(module: _ConvNd, inputs: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """All per-sample gradients of the weight as the one gradient of a convolution in groups."""
    values, padding = _padded(module, inputs)
    batch, dimensions = len(inputs), len(module.kernel_size)
    # The gradient does not depend on the weight; only its shape is read.
    shape = (batch * module.out_channels, *module.weight.shape[1:])
    weight = delta.new_zeros(()).expand(shape)
    found: torch.Tensor = torch.ops.aten.convolution_backward(
        delta.reshape(1, -1, *delta.shape[2:]),
        values.reshape(1, -1, *values.shape[2:]),
        weight,
        None,
        list(module.stride),
        padding,
        list(module.dilation),
        False,
        [0] * dimensions,
        batch * module.groups,
        [False, True, False],
    )[1]
    return found.reshape(batch, *module.weight.shape)


def _padded(module: _ConvNd, inputs: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """The input, and the zeros per axis that are still to be put around it."""
    # Torch keeps the padding of all modes, "same" included, in this form for F.pad.
    padding = list(module._reversed_padding_repeated_twice)
    zeros = module.padding_mode == "zeros"
    if zeros and padding[::2] == padding[1::2]:
        return inputs, padding[::-2]
    values = F.pad(inputs, padding, mode="constant" if zeros else module.padding_mode)
    return values, [0] * len(module.kernel_size)


def _patches(module: _ConvNd, inputs: torch.Tensor) -> torch.Tensor:
    """Input patches (B, in · kernel positions, output positions), channels slowest."""
    values, padding = _padded(module, inputs)
    if module.weight.dim() == 4:
        return F.unfold(values, module.kernel_size, module.dilation, tuple(padding), module.stride)
    if any(padding):
        values = F.pad(values, [size for axis in padding[::-1] for size in (axis, axis)])
    dimensions = len(module.kernel_size)
    for axis in range(dimensions):
        size, step, gap = module.kernel_size[axis], module.stride[axis], module.dilation[axis]
        values = values.unfold(2 + axis, gap * (size - 1) + 1, step)[..., ::gap]
    # Now (B, C, *output, *kernel); the kernel's axes go before the output's.
    order = (0, 1, *range(2 + dimensions, 2 + 2 * dimensions), *range(2, 2 + dimensions))
    return values.permute(order).reshape(len(inputs), inputs.shape[1] * module.weight[0, 0].numel(), -1)
