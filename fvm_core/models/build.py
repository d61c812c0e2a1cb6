"""Make a classifier by name."""

from __future__ import annotations

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.models.architecture import TIMM, architecture, check_name, model_names, try_size
from fvm_core.models.head import replace_head
from fvm_core.models.plain import plain
from fvm_core.models.pretrained import open_pretrained, starts_pretrained
from fvm_core.models.small_cnn import SmallCNN

__all__ = ["build_model", "model_names"]


def build_model(
    name: str,
    num_classes: int,
    *,
    channels: int = 3,
    size: int = 32,
    stem: str = "auto",
    pretrained: bool | None = False,
    backbone_weights: str = "",
) -> nn.Module:
    """A classifier whose last layer has `num_classes` outputs.

    timm's models are traced to plain torch layers (see `plain`), for images of this size.

    Args:
        name: one of `model_names()`.
        num_classes: K.
        channels: channels of the images; torchvision's and timm's models take 3.
        size: height and width of the images in pixels.
        stem: for torchvision's ResNets: `cifar` replaces the 7×7 stride-2 convolution and the max-pooling
            by one 3×3 convolution (paper, appendix B.1), `imagenet` keeps them, `auto` takes `cifar` up to
            64 px.
        pretrained: with ImageNet weights, see `open_pretrained`; None goes by `starts_pretrained`.
        backbone_weights: file with these.

    Raises:
        SaltflatError: no such model, it can't take images of this size, or its weights cannot be had.
    """
    start = starts_pretrained(name, pretrained, backbone_weights)
    if name == "small_cnn" and not start:
        return SmallCNN(num_classes, channels, size)
    check_name(name)
    if channels != 3:
        raise SaltflatError(f"`{name}` takes images with 3 channels, not {channels}.")
    if start:
        model = open_pretrained(name, backbone_weights, size).model
        replace_head(model, num_classes)
    elif name.startswith(TIMM):
        model = architecture(name, size, num_classes)
    else:
        model = architecture(name, size)
        replace_head(model, num_classes)
    if name.startswith(("resnet", "resnext", "wide_resnet")) and (
        stem == "cifar" or (stem == "auto" and size <= 64)
    ):
        old = model.conv1
        model.conv1 = nn.Conv2d(3, old.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    try_size(model, name, size, num_classes)
    if name.startswith(TIMM):
        model = plain(model, torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)))
    return model.train()
