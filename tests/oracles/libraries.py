"""What other libraries compute, in our terms. Each function imports its library itself."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from tests.oracles.nets import Case

Gradients = dict[str, torch.Tensor]
LIBRARIES = ("kronfluence", "backpack-for-pytorch", "opacus")


def kronfluence_analyzer(model: nn.Module, strategy: str, data: TensorDataset, folder: Path):
    """kronfluence's analyzer of a copy of the model, with the empirical Fisher of the data fitted."""
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments
    from kronfluence.task import Task

    class Classification(Task):
        def compute_train_loss(self, batch, model, sample=False):
            assert not sample, "the empirical Fisher uses the given labels"
            return F.cross_entropy(model(batch[0]), batch[1], reduction="sum")

        def compute_measurement(self, batch, model):
            return self.compute_train_loss(batch, model)

    task = Classification()
    analyzer = Analyzer(
        "oracle",
        prepare_model(copy.deepcopy(model), task),
        task,
        cpu=True,
        disable_tqdm=True,
        log_level=logging.ERROR,
        output_dir=str(folder),
    )
    analyzer.fit_all_factors(
        strategy,
        data,
        per_device_batch_size=4,
        factor_args=FactorArguments(strategy=strategy, use_empirical_fisher=True),
    )
    return analyzer


def kronfluence_scores(case: Case, damping: float, folder: Path) -> torch.Tensor:
    """`gᵀ(F + λ)⁻¹g` (N,) of the training images in the plain network, F over the validation set."""
    from kronfluence.arguments import ScoreArguments

    val = TensorDataset(case.val_images, case.val_labels)
    analyzer = kronfluence_analyzer(case.plain, "diagonal", val, folder)
    analyzer.compute_self_scores(
        "self",
        "diagonal",
        TensorDataset(case.images, case.labels),
        per_device_train_batch_size=4,
        score_args=ScoreArguments(damping_factor=damping),
    )
    return analyzer.load_self_scores("self")["all_modules"]


def backpack_gradients(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Gradients:
    """Per-sample gradients (N, *parameter.shape)."""
    from backpack.extensions import BatchGrad

    return _backpack(model, images, labels, BatchGrad(), "grad_batch")


def backpack_square_sum(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Gradients:
    """`Σ_n g_n ⊙ g_n`."""
    from backpack.extensions import SumGradSquared

    return _backpack(model, images, labels, SumGradSquared(), "sum_grad_squared")


def _backpack(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, extension, field: str
) -> Gradients:
    from backpack import backpack, extend

    model = extend(copy.deepcopy(model))
    loss = extend(nn.CrossEntropyLoss(reduction="sum"))(model(images), labels)
    with backpack(extension):
        loss.backward()
    return {name: getattr(p, field).detach() for name, p in model.named_parameters()}


def opacus_gradients(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Gradients:
    """Per-sample gradients (N, *parameter.shape) of a model that is the same in both modes."""
    from opacus.grad_sample import GradSampleModule

    # It listens in training mode only.
    model = GradSampleModule(copy.deepcopy(model).train(), loss_reduction="sum")
    F.cross_entropy(model(images), labels, reduction="sum").backward()
    return {name: p.grad_sample.detach() for name, p in model._module.named_parameters()}
