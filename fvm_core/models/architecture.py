"""Networks by name, with random weights: torchvision's, and timm's as `timm:NAME`."""

from __future__ import annotations

import difflib

import torch
import torchvision
from torch import nn

from fvm_core.errors import SaltflatError

TIMM = "timm:"
"""Stands before the names of timm's models, many of which torchvision has too, with other weights."""

_NORMALISED_INSIDE = ("googlenet", "inception_v3")


def model_names() -> list[str]:
    """`small_cnn`, every torchvision classification model, and `timm:NAME` for every one of timm's."""
    import timm

    return ["small_cnn", *_torchvision_names(), *(TIMM + name for name in timm.list_models())]


def check_name(name: str) -> None:
    """Raise a `SaltflatError` with similar names where there is no such model.

    Names of timm may end with the tag of certain weights: `timm:resnet50.a1_in1k`.
    """
    if name == "small_cnn" or name in _torchvision_names():
        return
    if name.startswith(TIMM):
        import timm

        bare = name.removeprefix(TIMM)
        if bare in timm.list_models() or bare in timm.list_pretrained():
            return
    known = model_names()
    close = [TIMM + name] if TIMM + name in known else difflib.get_close_matches(name, known, 4)
    meant = f" Do you mean {' or '.join(close)}?" if close else ""
    if name.startswith(TIMM):
        raise SaltflatError(
            f"There is no model `{name}`.{meant} What timm has is listed by: "
            "python -c \"import timm; print(*timm.list_models('*resnet*'))\"."
        )
    raise SaltflatError(
        f"There is no model `{name}`.{meant} Known: small_cnn, {', '.join(_torchvision_names())}; and all of "
        "timm's as timm:NAME."
    )


def architecture(name: str, size: int = 0, num_classes: int | None = None) -> nn.Module:
    """A torchvision or timm model with random weights.

    Args:
        name: one of `model_names()` but `small_cnn`, see `check_name`.
        size: height and width of the images for models that are made for one size; 0 takes their own.
        num_classes: outputs; None takes those that the library's weights have.

    Raises:
        SaltflatError: it can't be made for this size.
    """
    if name.startswith(TIMM):
        return _from_timm(name, size, num_classes)
    options: dict = {} if num_classes is None else {"num_classes": num_classes}
    if name in _NORMALISED_INSIDE:
        # Their auxiliary heads return several outputs and train towards another loss.
        options |= {"aux_logits": False, "init_weights": True}
    elif size and name.startswith("vit_"):
        options |= {"image_size": size}
    elif size and name.startswith("maxvit_"):
        options |= {"input_size": (size, size)}
    try:
        return torchvision.models.get_model(name, **options)
    except (AssertionError, ValueError) as error:
        raise SaltflatError(_wrong_size(name, size, error)) from None


def resized(model: nn.Module, name: str, size: int) -> nn.Module:
    """The model with its position embeddings interpolated to another image size, where it has such.

    Raises:
        SaltflatError: the model can't take images of this size.
    """
    if hasattr(model, "set_input_size") and model.pretrained_cfg.get("fixed_input_size"):
        try:
            model.set_input_size(img_size=size)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise SaltflatError(_wrong_size(name, size, error)) from None
    return model


def try_size(model: nn.Module, name: str, size: int, num_classes: int | None = None) -> None:
    """Refuse what can't work before anything is trained; leaves the model in evaluation mode.

    Raises:
        SaltflatError: a size that leaves nothing of the image somewhere inside, or a model whose output is
            not one row of numbers an image, as many as `num_classes` where that is given.
    """
    weight = next(model.parameters())
    model.eval()
    try:
        with torch.no_grad():
            found = model(torch.zeros(1, 3, size, size, device=weight.device))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise SaltflatError(_wrong_size(name, size, error)) from None
    if (
        not isinstance(found, torch.Tensor)
        or found.dim() != 2
        or len(found) != 1
        or found.shape[1] != (num_classes or found.shape[1])
    ):
        shape = f"shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise SaltflatError(
            f"`{name}` gives {shape} for one image and not one number a class. Choose a model that "
            "classifies images."
        )


def _torchvision_names() -> list[str]:
    return torchvision.models.list_models(module=torchvision.models)


def _from_timm(name: str, size: int, num_classes: int | None) -> nn.Module:
    import timm

    bare = name.removeprefix(TIMM)
    config = timm.get_pretrained_cfg(bare)
    options: dict = {} if num_classes is None else {"num_classes": num_classes}
    try:
        if size and config is not None and config.fixed_input_size and size != config.input_size[-1]:
            try:
                return timm.create_model(bare, img_size=size, **options)
            except TypeError:  # it has no such argument: whether it takes the size will show
                pass
        return timm.create_model(bare, **options)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise SaltflatError(_wrong_size(name, size, error)) from None


def _wrong_size(name: str, size: int, error: Exception) -> str:
    reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    return (
        f"`{name}` can't take images of {size} × {size} pixels ({reason}). "
        "Choose another size, 224 suits most models, or another model."
    )
