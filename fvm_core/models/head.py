"""The last layer of a classifier: find it, replace it, do without it."""

from __future__ import annotations

from torch import nn

from fvm_core.errors import SaltflatError


def find_head(model: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d] | None:
    """Name and module of the layer that gives the logits: a Linear, or a 1×1 convolution (SqueezeNet).

    None where it is no single layer, or where the model has none and gives features.
    """
    if hasattr(model, "get_classifier"):
        head = model.get_classifier()
        if not isinstance(head, nn.Linear | nn.Conv2d):
            return None
        return next((name, head) for name, module in model.named_modules() if module is head)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and not name.startswith(("AuxLogits", "aux"))
    ]
    return found[-1] if found else None


def replace_head(model: nn.Module, num_classes: int) -> None:
    """Put a new, random last layer with `num_classes` outputs in place of the model's."""
    if hasattr(model, "reset_classifier"):
        model.reset_classifier(num_classes)
        return
    found = find_head(model)
    if found is None:
        raise SaltflatError(f"This model ({type(model).__name__}) has no last layer that could be replaced.")
    name, head = found
    if isinstance(head, nn.Linear):
        new: nn.Module = nn.Linear(head.in_features, num_classes, bias=head.bias is not None)
    else:
        new = nn.Conv2d(head.in_channels, num_classes, head.kernel_size, head.stride, head.padding)
    put(model, name, new)


def without_head(model: nn.Module) -> tuple[nn.Module, int]:
    """The same model, whose last Linear is taken away: it gives the pooled features (B, D) that layer saw.

    Args:
        model: a classifier; it is changed.

    Returns:
        The model, and D.

    Raises:
        SaltflatError: the logits come from something else than one Linear.
    """
    if getattr(model, "num_classes", None) == 0:  # of timm, and without a head from the start
        return model, int(getattr(model, "head_hidden_size", None) or model.num_features)
    found = find_head(model)
    if found is None or not isinstance(found[1], nn.Linear):
        raise SaltflatError(
            f"This model ({type(model).__name__}) does not end with one Linear layer, so it gives no "
            "features on which a head could be trained. Choose another, such as timm:tf_efficientnet_lite0."
        )
    name, head = found
    put(model, name, nn.Identity())
    return model, head.in_features


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of that name."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
