"""Networks with ImageNet weights: from a file, from a package, or downloaded by their library."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torchvision
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.models.architecture import TIMM, architecture, check_name, resized, try_size
from fvm_core.models.packaged import packaged
from fvm_core.models.weights_file import load_backbone
from fvm_core.out_of_memory import keep_out_of_memory

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_REACH_SECONDS = 10
_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Preprocessing:
    """What images have to become before a network with ImageNet weights sees them.

    Attributes:
        size: height and width in pixels.
        mean, std: by channel, of pixels / 255.
        interpolation: `bilinear`, `bicubic`, …
        crop: share of the side that is kept after resizing, 0 to 1.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop: float


@dataclass(frozen=True)
class Pretrained:
    """A network with the weights that it comes with.

    Attributes:
        model: with its original head, in evaluation mode.
        preprocessing: of its images.
        digest: 32 hex digits of the weights' names, types, shapes and bytes.
        source: where they come from, in words.
    """

    model: nn.Module
    preprocessing: Preprocessing
    digest: str
    source: str


def starts_pretrained(
    name: str, pretrained: bool | None, backbone_weights: str = "", checkpoint: str = ""
) -> bool:
    """Whether a run starts with ImageNet weights: as was said, else with timm's models and given weights.

    Args:
        name: of the model.
        pretrained: the setting; None leaves it open.
        backbone_weights: file with weights.
        checkpoint: file with the weights of the whole model, which makes others needless.

    Raises:
        SaltflatError: a file is given and no weights are wanted.
    """
    if backbone_weights and pretrained is False:
        raise SaltflatError(
            "--backbone-weights gives ImageNet weights and --no-pretrained wants none: drop one."
        )
    if pretrained is None:
        return bool(backbone_weights) or (name.startswith(TIMM) and not checkpoint)
    return pretrained


def open_pretrained(name: str, weights_file: str = "", size: int = 0) -> Pretrained:
    """A network with ImageNet weights.

    Args:
        name: a torchvision model or `timm:NAME`.
        weights_file: file with the weights: safetensors or a state dict, see `load_backbone`. Without one
            they come from a package where there is one for the model, else the library downloads them.
        size: height and width of the images; 0 takes the size of the weights.

    Raises:
        SaltflatError: no such model, it can't take this size, or its weights can't be had.
    """
    if name == "small_cnn":
        raise SaltflatError("`small_cnn` has no ImageNet weights; choose a torchvision or timm model.")
    check_name(name)
    asked = preprocessing(name, size)
    package = packaged(name)
    path = None if weights_file or package is None else package.path()
    if weights_file or path is not None:
        model = architecture(name)
        source = load_backbone(model, weights_file or str(path))
        if path is not None and package is not None:
            source = f"the package {package.package}"
    else:
        model, source = _download(name)
    model = resized(model.eval(), name, asked.size)
    if size:
        try_size(model, name, size)
    return Pretrained(model.eval(), asked, weights_digest(model), source)


def preprocessing(name: str, size: int = 0) -> Preprocessing:
    """What images have to become for a model's ImageNet weights; these are not needed for it.

    Args:
        name: a torchvision model or `timm:NAME`.
        size: height and width in place of the weights' own; 0 takes these.

    Raises:
        SaltflatError: there is no such model, or torchvision has no weights for it.
    """
    check_name(name)
    found = _of_timm(name) if name.startswith(TIMM) else _of_torchvision(name)
    return replace(found, size=size) if size else found


def weights_digest(model: nn.Module) -> str:
    """32 hex digits: blake2b over names, types, shapes and bytes of the state dict."""
    found = hashlib.blake2b(digest_size=16)
    for name, value in model.state_dict().items():
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def _of_timm(name: str) -> Preprocessing:
    import timm
    from timm.data import resolve_data_config

    config = timm.get_pretrained_cfg(name.removeprefix(TIMM))
    values = resolve_data_config(pretrained_cfg=config.to_dict() if config else {})
    return Preprocessing(
        values["input_size"][-1],
        tuple(values["mean"]),
        tuple(values["std"]),
        values["interpolation"],
        values["crop_pct"],
    )


def _of_torchvision(name: str) -> Preprocessing:
    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    size, before = transforms.crop_size[0], transforms.resize_size[0]
    # These two convert inputs to mean and deviation 0.5 within, which a fresh one does not.
    inside = name in ("googlenet", "inception_v3")
    return Preprocessing(
        size,
        _HALF if inside else tuple(transforms.mean),
        _HALF if inside else tuple(transforms.std),
        transforms.interpolation.value,
        min(1.0, size / before),
    )


def _download(name: str) -> tuple[nn.Module, str]:
    try:
        return _timm_weights(name) if name.startswith(TIMM) else _torchvision_weights(name)
    except SaltflatError:
        raise
    except Exception as error:  # of urllib, requests or httpx, by the version of the library
        keep_out_of_memory(error)
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        ways = [
            "Go online once",
            *([] if name.startswith(TIMM) else [f"put the file that torchvision names into {_hub()}"]),
            "give a file with --backbone-weights FILE",
            "take timm:tf_efficientnet_lite0, whose weights are installed with Saltflat",
            "or train without (--model small_cnn, or resnet18 with --no-pretrained)",
        ]
        raise SaltflatError(
            f"The ImageNet weights of `{name}` can't be downloaded ({reason}). {', '.join(ways)}."
        ) from None


def _hub() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _torchvision_weights(name: str) -> tuple[nn.Module, str]:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    model = torchvision.models.get_model(name, weights=weights)
    if hasattr(model, "aux_logits"):
        model.aux_logits = False
        for part in ("aux1", "aux2", "AuxLogits"):
            if hasattr(model, part):
                setattr(model, part, None)
    if hasattr(model, "transform_input"):
        model.transform_input = False
    return model, f"torchvision, {weights}"


def _timm_weights(name: str) -> tuple[nn.Module, str]:
    import timm

    bare = name.removeprefix(TIMM)
    config = timm.get_pretrained_cfg(bare)
    if config is None or not config.has_weights:
        raise SaltflatError(
            f"timm has no ImageNet weights for `{name}`. Give a file with --backbone-weights FILE, train "
            "without (--no-pretrained), or choose one of timm.list_models(pretrained=True)."
        )
    place = str(config.hf_hub_id or config.url or config.file)
    there = _in_cache(config)
    if there is not None:
        # The hub's client asks the hub first, for minutes where it can't be reached.
        model = timm.create_model(bare, pretrained=True, pretrained_cfg_overlay={"file": there})
        return model, f"timm, {place}"
    if config.hf_hub_id:
        _reach_hub()
    return timm.create_model(bare, pretrained=True), f"timm, {place}"


def _in_cache(config: PretrainedCfg) -> str | None:
    """Path of the weights, where they were downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    if not config.hf_hub_id or config.custom_load:
        return None
    for file in filter(None, (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin")):
        found = try_to_load_from_cache(config.hf_hub_id, file)
        if isinstance(found, str):
            return found
    return None


def _reach_hub() -> None:
    """Raise at once where the hub can't be reached; its client tries for minutes."""
    from huggingface_hub import constants, get_session

    get_session().head(constants.ENDPOINT, timeout=_REACH_SECONDS)
