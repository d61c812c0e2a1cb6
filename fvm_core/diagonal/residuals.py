"""`∂ℓ/∂logits = softmax − e_k`, without losing the digits of confident samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from fvm_core.layers.passes import Pass
from fvm_core.layers.tapped import TappedModel


def logits_of(tapped: TappedModel, run: Pass) -> torch.Tensor:
    """(B, K) at least in float32: the head of a pass of lower precision is computed again."""
    logits = run.logits.detach()
    if logits.dtype.itemsize >= 4:
        return logits
    if tapped.head is None:
        return logits.float()
    head = tapped.head.module
    bias = None if head.bias is None else head.bias.float()
    return F.linear(run.head_inputs.detach().float(), head.weight.float(), bias)


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Softmax (B, K) in float64, where the device has it."""
    return (logits if logits.device.type == "mps" else logits.double()).softmax(1)


def residual(p: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`p − e_k` (B, K). `p_k − 1` is taken as minus the sum of the others: 1 − 1e-9 is 1 in float32."""
    own = labels[:, None]
    d = p.scatter(1, own, 0.0)
    return d.scatter_(1, own, -d.sum(1, keepdim=True))
