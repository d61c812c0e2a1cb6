"""Make a classifier by name."""

from __future__ import annotations

from urllib.error import URLError

import torch
import torchvision
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.models.small_cnn import SmallCNN


def model_names() -> list[str]:
    """`small_cnn` and every torchvision classification model."""
    return ["small_cnn", *torchvision.models.list_models(module=torchvision.models)]


def build_model(
    name: str,
    num_classes: int,
    *,
    channels: int = 3,
    size: int = 32,
    stem: str = "auto",
    pretrained: bool = False,
) -> nn.Module:
    """A classifier whose last layer has `num_classes` outputs.

    Args:
        name: one of `model_names()`.
        num_classes: K.
        channels: channels of the images; torchvision's models take 3.
        size: height and width of the images in pixels.
        stem: for ResNets: `cifar` replaces the 7×7 stride-2 convolution and the max-pooling by one 3×3
            convolution (paper, appendix B.1), `imagenet` keeps them, `auto` takes `cifar` up to 64 px.
        pretrained: ImageNet weights, downloaded by torchvision.

    Raises:
        SaltflatError: no such model, it can't take images of this size, or its weights cannot be had.
    """
    if name == "small_cnn":
        if pretrained:
            raise SaltflatError("`small_cnn` has no ImageNet weights; choose a torchvision model.")
        return SmallCNN(num_classes, channels, size)
    if name not in model_names():
        raise SaltflatError(f"There is no model `{name}`. Known: {', '.join(model_names())}.")
    if channels != 3:
        raise SaltflatError(f"`{name}` takes images with 3 channels, not {channels}.")
    model = _pretrained(name) if pretrained else _fresh(name, size)
    _replace_head(model, num_classes)
    if name.startswith(("resnet", "resnext", "wide_resnet")) and (
        stem == "cifar" or (stem == "auto" and size <= 64)
    ):
        old = model.conv1
        model.conv1 = nn.Conv2d(3, old.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    _try_size(model, name, size)
    return model


def _fresh(name: str, size: int) -> nn.Module:
    options: dict = {}
    if name in ("googlenet", "inception_v3"):
        # Their auxiliary heads return several outputs and train towards another loss.
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": size}
    elif name.startswith("maxvit_"):
        options = {"input_size": (size, size)}
    try:
        return torchvision.models.get_model(name, **options)
    except (AssertionError, ValueError) as error:
        raise SaltflatError(_wrong_size(name, size, error)) from None


def _try_size(model: nn.Module, name: str, size: int) -> None:
    """Refuse a size that leaves nothing of the image somewhere inside, before anything is trained."""
    weight = next(model.parameters())
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, size, size, device=weight.device))
    except (AssertionError, RuntimeError) as error:
        raise SaltflatError(_wrong_size(name, size, error)) from None
    finally:
        model.train()


def _wrong_size(name: str, size: int, error: Exception) -> str:
    reason = str(error).strip().split("\n")[0].rstrip(".")
    return (
        f"`{name}` can't take images of {size} × {size} pixels ({reason}). "
        "Choose another size, 224 suits most models, or another model."
    )


def _pretrained(name: str) -> nn.Module:
    try:
        model = torchvision.models.get_model(name, weights="DEFAULT")
    except (URLError, OSError, RuntimeError) as error:
        raise SaltflatError(
            f"The ImageNet weights of `{name}` can't be downloaded ({error}). Go online once, put the file "
            f"that torchvision names into {torch.hub.get_dir()}/checkpoints, or train without them."
        ) from None
    if hasattr(model, "aux_logits"):
        model.aux_logits = False
        for part in ("aux1", "aux2", "AuxLogits"):
            if hasattr(model, part):
                setattr(model, part, None)
    return model


def _replace_head(model: nn.Module, num_classes: int) -> None:
    """Put a new last layer in place of the model's last Linear (or 1×1 convolution in SqueezeNet)."""
    name, head = [
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)
    ][-1]
    if name.startswith(("AuxLogits", "aux")):
        name, head = "fc", model.fc
    if isinstance(head, nn.Linear):
        new: nn.Module = nn.Linear(head.in_features, num_classes, bias=head.bias is not None)
    else:
        new = nn.Conv2d(head.in_channels, num_classes, head.kernel_size, head.stride, head.padding)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)
