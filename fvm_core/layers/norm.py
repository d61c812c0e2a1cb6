"""Normalisation layers with an affine part; batch statistics are those of evaluation mode."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torchvision.models.convnext import LayerNorm2d

from fvm_core.layers.registry import Gradients, Kernel, Layer, register, summed

_LastAxes = TypeVar("_LastAxes", bound=nn.LayerNorm | nn.RMSNorm, contravariant=True)


class _ChannelNorm(Kernel[Layer, torch.Tensor]):
    """`y = w x̂ + b` per channel (axis 1): `∂ℓ/∂w = Σ_t δ_t x̂_t`, `∂ℓ/∂b = Σ_t δ_t`."""

    @abstractmethod
    def normalised(self, module: Layer, inputs: torch.Tensor) -> torch.Tensor:
        """x̂, shaped like the input."""

    def gradients(self, module: Layer, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients of `weight` and `bias` (B, channels)."""
        channels = (*delta.shape[:2], -1)
        d, x = delta.reshape(channels), self.normalised(module, inputs).reshape(channels)
        return {"weight": summed(d * x, 2), "bias": summed(d, 2)}


@register(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
class BatchNormKernel(_ChannelNorm[_BatchNorm]):
    """x̂ from the running mean and variance."""

    def normalised(self, module: _BatchNorm, inputs: torch.Tensor) -> torch.Tensor:
        """x̂, shaped like the input."""
        return F.batch_norm(inputs, module.running_mean, module.running_var, eps=module.eps)


@register(nn.GroupNorm)
class GroupNormKernel(_ChannelNorm[nn.GroupNorm]):
    """x̂ from the sample's own groups of channels."""

    def normalised(self, module: nn.GroupNorm, inputs: torch.Tensor) -> torch.Tensor:
        """x̂, shaped like the input."""
        return F.group_norm(inputs, module.num_groups, eps=module.eps)


@register(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
class InstanceNormKernel(_ChannelNorm[_InstanceNorm]):
    """x̂ from the sample's own channels, or from running statistics where they are kept."""

    def normalised(self, module: _InstanceNorm, inputs: torch.Tensor) -> torch.Tensor:
        """x̂, shaped like the input."""
        own = module.running_mean is None
        return F.instance_norm(
            inputs, module.running_mean, module.running_var, use_input_stats=own, eps=module.eps
        )


class _LastAxesNorm(Kernel[_LastAxes, torch.Tensor]):
    """`y = w ⊙ x̂ (+ b)` over the last axes, summed over all positions before them."""

    channel_axis = -1

    @abstractmethod
    def normalised(self, module: _LastAxes, inputs: torch.Tensor) -> torch.Tensor:
        """x̂, shaped like the input."""

    def gradients(self, module: _LastAxes, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients of `weight` and, where there is one, `bias` (B, *normalized_shape)."""
        shape = (len(delta), -1, *module.normalized_shape)
        d, x = delta.reshape(shape), self.normalised(module, inputs).reshape(shape)
        found = {"weight": summed(d * x, 1)}
        if getattr(module, "bias", None) is not None:
            found["bias"] = summed(d, 1)
        return found


@register(nn.LayerNorm)
class LayerNormKernel(_LastAxesNorm[nn.LayerNorm]):
    """x̂ from mean and variance over the last axes."""

    def normalised(self, module: nn.LayerNorm, inputs: torch.Tensor) -> torch.Tensor:
        """x̂, shaped like the input."""
        return F.layer_norm(inputs, module.normalized_shape, eps=module.eps)


@register(LayerNorm2d)
class LayerNorm2dKernel(_ChannelNorm[LayerNorm2d]):
    """x̂ over the channels of each pixel (B, C, H, W), as in ConvNeXt."""

    def normalised(self, module: LayerNorm2d, inputs: torch.Tensor) -> torch.Tensor:
        """x̂, shaped like the input."""
        last = inputs.permute(0, 2, 3, 1)
        return F.layer_norm(last, module.normalized_shape, eps=module.eps).permute(0, 3, 1, 2)


@register(nn.RMSNorm)
class RMSNormKernel(_LastAxesNorm[nn.RMSNorm]):
    """x̂ from the root mean square over the last axes."""

    def normalised(self, module: nn.RMSNorm, inputs: torch.Tensor) -> torch.Tensor:
        """x̂, shaped like the input."""
        return F.rms_norm(inputs, module.normalized_shape, eps=module.eps)
