"""Convolutions in one, two and three dimensions, with stride, padding, dilation and groups."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.layers.registry import Gradients, Kernel, register


@register(nn.Conv1d, nn.Conv2d, nn.Conv3d)
class ConvKernel(Kernel):
    """`∂ℓ/∂W = Σ_t δ_t u_tᵀ` with `u_t` the unfolded input patch of output position t, per group."""

    def gradients(self, module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients of `weight` (B, out, in/groups, *kernel) and `bias` (B, out)."""
        batch, groups = len(inputs), module.groups
        patches = _patches(module, inputs)
        patches = patches.reshape(batch * groups, -1, patches.shape[-1])
        d = delta.reshape(batch * groups, module.out_channels // groups, -1)
        found = {"weight": torch.bmm(d, patches.transpose(1, 2)).reshape(batch, *module.weight.shape)}
        if module.bias is not None:
            found["bias"] = delta.flatten(2).sum(2)
        return found


def _patches(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Input patches (B, in · kernel positions, output positions), channels slowest."""
    # Torch keeps the padding of all modes, "same" included, in this form for F.pad.
    padding = list(module._reversed_padding_repeated_twice)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    if module.weight.dim() == 4 and mode == "constant" and padding[::2] == padding[1::2]:
        pad = (padding[2], padding[0])
        return F.unfold(inputs, module.kernel_size, module.dilation, pad, module.stride)
    values = F.pad(inputs, padding, mode=mode) if any(padding) else inputs
    dimensions = len(module.kernel_size)
    for axis in range(dimensions):
        size, step, gap = module.kernel_size[axis], module.stride[axis], module.dilation[axis]
        values = values.unfold(2 + axis, gap * (size - 1) + 1, step)[..., ::gap]
    # Now (B, C, *output, *kernel); the kernel's axes go before the output's.
    order = (0, 1, *range(2 + dimensions, 2 + 2 * dimensions), *range(2, 2 + dimensions))
    return values.permute(order).reshape(len(inputs), inputs.shape[1] * module.weight[0, 0].numel(), -1)
