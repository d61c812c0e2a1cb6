"""Multi-head attention with its four projections, which torch applies as one function."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.layers.registry import Gradients, Kernel, register


@register(nn.MultiheadAttention)
class AttentionKernel(Kernel[nn.MultiheadAttention, tuple[torch.Tensor, ...]]):
    """`o = W_o c + b_o` with `c = concat_h softmax(q_h k_hᵀ / √d_h) v_h` and q, k, v linear in the inputs.

    `inputs` is (query, key, value), each (B, L, E) with the batch first; `delta` is the gradient with
    respect to the first output (B, L, E). Attention is computed anew to carry δ back to q, k and v; each
    projection is then a linear layer. Masks are left to the fallback.
    """

    owns_children = True
    """Serves `out_proj` too, a module that torch never calls."""

    def serves(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Query, key and value by position, and no mask."""
        masked = (kwargs.get("attn_mask"), kwargs.get("key_padding_mask"))
        return len(args) == 3 and all(mask is None for mask in masked)

    def inputs(self, args: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
        """Query, key and value."""
        return tuple(values.detach() for values in args[:3])

    def gradients(
        self, module: nn.MultiheadAttention, inputs: tuple[torch.Tensor, ...], delta: torch.Tensor
    ) -> Gradients:
        """Per-sample gradients of the packed or separate input projections and of `out_proj`.

        Raises:
            NotImplementedError: the batch is not the first axis, or `bias_k`, `bias_v` or
                `add_zero_attn` extend keys and values.
        """
        if not module.batch_first or delta.dim() != 3:
            raise NotImplementedError("attention whose batch is not the first axis")
        if module.bias_k is not None or module.bias_v is not None or module.add_zero_attn:
            raise NotImplementedError("attention with extended keys and values")
        context, deltas = _attend(module, inputs, delta @ module.out_proj.weight.detach().to(delta.dtype))
        own = [d.transpose(1, 2) @ a for d, a in zip(deltas, inputs, strict=True)]
        if module.in_proj_weight is None:
            found = dict(zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), own, strict=True))
        else:
            found = {"in_proj_weight": torch.cat(own, 1)}
        found["out_proj.weight"] = delta.transpose(1, 2) @ context
        if module.in_proj_bias is not None:
            found["in_proj_bias"] = torch.cat([d.sum(1) for d in deltas], 1)
            found["out_proj.bias"] = delta.sum(1)
        return found


def _attend(
    module: nn.MultiheadAttention, inputs: tuple[torch.Tensor, ...], delta: torch.Tensor
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The heads' joined output c (B, L, E), and δ at q, k and v for `delta` at c."""
    if module.in_proj_weight is None:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    else:
        weights = module.in_proj_weight.chunk(3)
    biases = (None, None, None) if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    projected = [
        F.linear(values, weight.to(delta.dtype), None if bias is None else bias.to(delta.dtype))
        for values, weight, bias in zip(inputs, weights, biases, strict=True)
    ]
    projected = [values.detach().requires_grad_() for values in projected]
    with torch.enable_grad():
        heads = [p.unflatten(2, (module.num_heads, -1)).transpose(1, 2) for p in projected]
        context = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    return context.detach(), torch.autograd.grad(context, projected, delta)
