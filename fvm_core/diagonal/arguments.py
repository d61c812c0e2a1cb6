"""Checks of what estimators are given: labels, dampings and numbers of labels."""

from __future__ import annotations

import math

import torch

from fvm_core.errors import SaltflatError


def class_labels(labels: torch.Tensor, count: int, classes: int) -> torch.Tensor:
    """Labels (B,) as int64 class indices.

    Args:
        labels: of any integer type.
        count: B.
        classes: K.

    Raises:
        SaltflatError: as many labels as samples are not there, they are no class indices (one-hot rows,
            probabilities), or one is not among 0 … K − 1.
    """
    if labels.dim() != 1 or len(labels) != count:
        raise SaltflatError(
            f"There are labels of shape {tuple(labels.shape)} for {count} samples; give a class index each, "
            f"({count},). One-hot rows become class indices by argmax(1)."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise SaltflatError(f"The labels are {labels.dtype}; give class indices as integers.")
    labels = labels.long()
    outside = (labels < 0) | (labels >= classes)
    if bool(outside.any()):
        row = int(outside.nonzero()[0, 0])
        raise SaltflatError(
            f"Sample {row} of a batch has label {int(labels[row])}, and the model has {classes} classes, 0 "
            f"to {classes - 1}. Leave samples without a label out."
        )
    return labels


def check_damping(damping: float, *, above_zero: bool = False, below: float = math.inf) -> None:
    """Refuse a damping that is negative, too large, or no number.

    Args:
        damping: its value.
        above_zero: 0 is refused too.
        below: it has to be smaller than this.

    Raises:
        SaltflatError: it is one of these.
    """
    if not (math.isfinite(damping) and damping >= 0 and damping < below) or (above_zero and damping == 0):
        least = "above 0" if above_zero else "at least 0"
        most = f" and below {below:g}" if below < math.inf else ""
        raise SaltflatError(f"The damping is {damping}; it has to be a number {least}{most}.")
