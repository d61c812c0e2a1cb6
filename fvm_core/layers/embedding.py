"""Rows of a table looked up by integer tokens, at one or many positions per sample."""

from __future__ import annotations

import torch
from torch import nn

from fvm_core.layers.registry import Gradients, Kernel, register, squared


@register(nn.Embedding)
class EmbeddingKernel(Kernel[nn.Embedding, torch.Tensor]):
    """`∂ℓ/∂W_v = Σ_{t: i_t = v} δ_t`: only rows of tokens in the sample differ from 0.

    `inputs` are the tokens (B, …), `delta` is (B, …, d).
    """

    def gradients(self, module: nn.Embedding, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Per-sample gradients of `weight` (B, V, d)."""
        samples, tokens, rows = _rows(module, inputs, delta)
        found = delta.new_zeros(len(delta), *module.weight.shape)
        found[samples, tokens] = rows
        return {"weight": found}

    def quadratic(
        self, module: nn.Embedding, inputs: torch.Tensor, delta: torch.Tensor, weights: Gradients
    ) -> torch.Tensor:
        """`Σ_v D_v · (∂ℓ/∂W_v)²` over the tokens v of the sample."""
        samples, tokens, rows = _rows(module, inputs, delta)
        shares = (squared(rows) * weights["weight"][tokens]).sum(1)
        return shares.new_zeros(len(delta)).index_add_(0, samples, shares)

    def square_sum(self, module: nn.Embedding, inputs: torch.Tensor, delta: torch.Tensor) -> Gradients:
        """Squared rows, added up by token."""
        _samples, tokens, rows = _rows(module, inputs, delta)
        squares = squared(rows)
        return {"weight": squares.new_zeros(module.weight.shape).index_add_(0, tokens, squares)}


def _rows(
    module: nn.Embedding, inputs: torch.Tensor, delta: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sample (R,), token (R,) and gradient (R, d) of each row that differs from 0, each row once."""
    tokens = inputs.reshape(len(inputs), -1).long()
    samples = torch.arange(len(inputs), device=inputs.device)[:, None].expand_as(tokens)
    d = delta.reshape(-1, delta.shape[-1])
    keys = (samples * module.num_embeddings + tokens).flatten()
    if module.padding_idx is not None:
        kept = tokens.flatten() != module.padding_idx
        keys, d = keys[kept], d[kept]
    # A token's positions have to be added up before they are squared.
    keys, places = keys.unique(return_inverse=True)
    rows = d.new_zeros(len(keys), d.shape[1]).index_add_(0, places, d)
    return keys // module.num_embeddings, keys % module.num_embeddings, rows
