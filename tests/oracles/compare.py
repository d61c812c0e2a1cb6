"""Our values against another library's, on the case of `nets`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.layers.tapped import TappedModel
from tests.oracles.libraries import Gradients
from tests.oracles.nets import Case


def estimator(case: Case, model: nn.Module, damping: float) -> DiagonalInfluence:
    """Fitted on the validation images in two batches."""
    batches = zip(case.val_images.split(7), case.val_labels.split(7), strict=True)
    return DiagonalInfluence(model, case.val_images, damping=damping, damping_kind="absolute").fit(batches)


def check_scores(case: Case, model: nn.Module, damping: float, wanted: torch.Tensor) -> None:
    """Influence (N,) of the training images."""
    found, _loss = estimator(case, model, damping).score(case.images, case.labels)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=0)


def check_square_sum(case: Case, model: nn.Module, wanted: Gradients) -> None:
    """`Σ_m g_m ⊙ g_m` of the validation images."""
    fisher = estimator(case, model, 1.0).fisher
    check_tensors({name: value * len(case.val_images) for name, value in fisher.items()}, wanted)


def check_gradients(case: Case, model: nn.Module, wanted: Gradients) -> None:
    """Per-sample gradients of the training images, as the kernels give them."""
    tapped = TappedModel(model, case.images)
    assert tapped.leftover == []
    found: Gradients = {}

    def keep(tap, inputs, delta):
        for local, gradient in tap.kernel.gradients(tap.module, inputs, delta).items():
            found[tap.parameters[local]] = gradient

    with tapped.frozen():
        run = tapped.forward(case.images)
        logits = run.logits.detach()
        run.backward(logits.softmax(1) - F.one_hot(case.labels, logits.shape[1]), keep)
    check_tensors(found, wanted)


def check_tensors(found: Gradients, wanted: Gradients) -> None:
    """To relative 1e-5; where sums over positions cancel, relative to the largest entry."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        largest = float(value.abs().max())
        torch.testing.assert_close(
            found[name], value, rtol=1e-5, atol=1e-6 * largest, msg=lambda m, n=name: f"{n}: {m}"
        )
