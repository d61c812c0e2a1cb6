"""What a model has to be for gradients of single samples to have a meaning."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.layers.eager import eager
from fvm_core.layers.registry import REFUSALS, exact
from fvm_core.out_of_memory import keep_out_of_memory

_LEAK = 1e-6
"""Largest gradient of a sample's logits by another sample's input, as a share of that by its own."""

_ALONE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Largest relative difference of the logits of a sample alone and in a batch: kernels of other shapes round
otherwise. Of lower precisions `_ALONE_LOW`."""

_ALONE_LOW = 0.1


def refuse_training_mode(model: nn.Module) -> None:
    """Gradients of single samples have no meaning where samples of a batch mix or values are random.

    Raises:
        SaltflatError: a part of the model is in training mode.
    """
    training = next((name for name, part in model.named_modules() if part.training), None)
    if training is not None:
        what = f"The model's layer `{training}`" if training else "The model"
        raise SaltflatError(
            f"{what} is in training mode, where samples of a batch may mix or values be random. "
            "Call model.eval() first."
        )


def check_logits(logits: object, count: int) -> torch.Tensor:
    """The model's output, where it is logits (B, K) of at least two classes.

    Raises:
        SaltflatError: it is something else, or not all finite.
    """
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != count:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise SaltflatError(f"The model gives {shape} for {count} inputs; logits (B, K) are needed.")
    if logits.shape[1] < 2:
        raise SaltflatError(
            "The model gives one logit. Cross-entropy needs one for each of at least two classes: replace "
            "the last layer by one with an output for each class."
        )
    if not logits.is_floating_point():
        raise SaltflatError(f"The model gives {logits.dtype}; logits have to be floating-point numbers.")
    if not bool(logits.isfinite().all()):
        raise SaltflatError(
            "The model gives values that are not finite (NaN or infinity) for the example. Look for them in "
            "its weights and in the images."
        )
    return logits


def different(example: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Two inputs (2, …): one as it was given and one with a little noise, for equal images hide faults.

    Raises:
        SaltflatError: the example is empty.
    """
    if not len(example):
        raise SaltflatError("The batch that shows the model its input is empty: give one with images.")
    first, second = example[:1].detach(), example[-1:].detach()
    if first.is_floating_point():
        second = second + 0.1 * torch.randn(second.shape, generator=generator).to(second)
    return torch.cat([first, second])


class Acceptance:
    """Refuses a model in training mode, and on the first images one whose samples are not kept apart."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._alone = False

    def __call__(self, images: torch.Tensor) -> None:
        """Raise `SaltflatError` as `refuse_training_mode` does, and on the first call as `check_alone`."""
        refuse_training_mode(self._model)
        if not self._alone and len(images):
            accept(self._model, images)
            self._alone = True


def accept(model: nn.Module, example: torch.Tensor) -> None:
    """Refuse a model whose samples have no gradients of their own, see `check_alone`."""
    with eager(model):
        check_alone(model, different(example, torch.Generator().manual_seed(0)))


@torch.enable_grad()
def check_alone(model: nn.Module, images: torch.Tensor) -> None:
    """Every sample's logits depend on that sample alone, and are the same every time.

    Three ways to find out: random numbers that are drawn, values that differ from one pass to the next or
    between a sample alone and in a batch, and gradients of a sample's logits by another sample's input,
    which are exactly zero in a model that keeps samples apart.

    Args:
        model: in evaluation mode.
        images: (B, …), B at least 2, all different.

    Raises:
        SaltflatError: it is not so, or the model can't take one sample.
    """
    states = _random_states()
    inputs = images.detach()
    if inputs.is_floating_point():
        inputs = inputs.clone().requires_grad_()
    try:
        logits = model(inputs)
    except REFUSALS as error:
        keep_out_of_memory(error)
        raise SaltflatError(
            f"The model can't be run on the example of shape {tuple(images.shape)} ({first_line(error)}). "
            "Look at size, channels, type and device of the images."
        ) from None
    logits = check_logits(logits, len(images))
    if any(not same() for same in states):
        raise SaltflatError(
            "The model draws random numbers in its forward pass, so the influence of a sample would be "
            "another one every time. Switch that off in evaluation mode."
        )
    again = model(inputs).detach()
    if not torch.equal(logits.detach(), again):
        raise SaltflatError(
            "The model gives different values for the same input twice, so its gradients can't be "
            "compared between samples. Make its forward pass deterministic."
        )
    if logits.requires_grad and inputs.requires_grad:
        _check_leaks(logits, inputs)
    _check_single(model, inputs.detach(), again)
    _check_company(model, inputs.detach(), again)


def _check_single(model: nn.Module, images: torch.Tensor, logits: torch.Tensor) -> None:
    for number in range(len(images)):
        with torch.no_grad():
            try:
                alone = model(images[number : number + 1])
            except REFUSALS as error:
                keep_out_of_memory(error)
                raise SaltflatError(
                    f"The model can't take one sample at a time ({first_line(error)}), so gradients of "
                    "single samples can't be had."
                ) from None
        same = isinstance(alone, torch.Tensor) and alone.shape == (1, logits.shape[1])
        if not (same and _close(alone[0], logits[number])):
            _refuse_mixing()


def _check_company(model: nn.Module, images: torch.Tensor, logits: torch.Tensor) -> None:
    """Beside samples of quite another kind too: for branches on what a batch is like."""
    if not images.is_floating_point():
        return
    for other in (-3 * images[:1], 3 * images[:1]):
        with torch.no_grad():
            found = model(torch.cat([images[:1], other]))
        if not _close(found[0], logits[0]):
            _refuse_mixing()


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    allowed = _ALONE.get(other.dtype, _ALONE_LOW)
    return bool((one - other).norm() <= allowed * other.norm() + torch.finfo(other.dtype).tiny)


def _check_leaks(logits: torch.Tensor, inputs: torch.Tensor) -> None:
    # A random direction: the sum of the logits may not depend on anything, as after a log-softmax.
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)
    for number in range(len(inputs)):
        try:
            (gradient,) = torch.autograd.grad(
                (logits[number] * weights[number]).sum(),
                inputs,
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
        except REFUSALS as error:
            keep_out_of_memory(error)
            raise no_gradient(error) from None
        sizes = exact(gradient.detach().flatten(1)).norm(dim=1)
        own, others = sizes[number], sizes.sum() - sizes[number]
        if others > _LEAK * own:
            _refuse_mixing()


def _refuse_mixing() -> None:
    raise SaltflatError(
        "The model's values for one sample depend on the others in the batch, so a sample has no gradient of "
        "its own. Look for statistics that are taken over the batch (BatchNorm without running statistics, a "
        "mean over the first axis)."
    )


def no_gradient(error: Exception) -> SaltflatError:
    """What is said where autograd itself fails."""
    return SaltflatError(
        f"The model's gradients can't be computed ({first_line(error)}). Look for inference_mode() or "
        "operations without a derivative in its forward pass."
    )


def first_line(error: Exception) -> str:
    """What an error says first, without a full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def _random_states() -> list[Callable[[], bool]]:
    """For every global source of random numbers, whether it is as it was."""
    ours, theirs, torchs = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state()  # noqa: NPY002
    found = [
        lambda: random.getstate() == ours,
        lambda: _equal(np.random.get_state(legacy=False), theirs),  # noqa: NPY002
        lambda: torch.equal(torch.get_rng_state(), torchs),
    ]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        before = torch.cuda.get_rng_state()
        found.append(lambda: torch.equal(torch.cuda.get_rng_state(), before))
    return found


def _equal(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return np.array_equal(np.asarray(one), np.asarray(other))
