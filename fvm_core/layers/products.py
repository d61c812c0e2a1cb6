"""Per-sample gradients that are matrix products `G_b = δ_b U_bᵀ`, a few samples at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from fvm_core.layers.sums import weighted_sums

_FLOATS = 2**23
"""Most values of G held at once (32 MiB): it is read again while it is still in the cache."""


def plain_quadratic(delta: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`Σ_om D_om (Σ_t δ_bot u_bmt)²` (B,), in the type of `weights`.

    Args:
        delta: δ (B, O, T), gradients with respect to a layer's output at T positions.
        patches: U (B, M, T), what the layer's weight is multiplied with at those positions.
        weights: D (O, M).
    """
    flat = weights.flatten()
    products = _products(delta, patches, weights.dtype)
    found = [weighted_sums(g.square_().flatten(1), flat) for g in products]
    return torch.cat(found) if found else weights.new_zeros(0)


def plain_quadratic_many(deltas: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`plain_quadratic` (B, L) for L gradients (B, L, O, T) of each sample, in one product."""
    labels, flat = deltas.shape[1], weights.flatten()
    products = _products(deltas.flatten(1, 2), patches, weights.dtype)
    return torch.cat([weighted_sums(g.square_().reshape(len(g), labels, -1), flat) for g in products])


def channel_quadratic(delta: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`plain_quadratic` before its sum over o (B, O)."""
    found = [g.square_().mul_(weights).sum(2) for g in _products(delta, patches, weights.dtype)]
    return torch.cat(found) if found else weights.new_zeros(0, len(weights))


def pairs_are_cheaper(labels: int, positions: int, columns: int) -> bool:
    """Whether `by_position_pairs` takes less than a product for each of L labels.

    Measured on a CPU, for one o: a pair of positions takes as long as 1/48 of a column of a label's
    product, and as 240 columns of S for each label.
    """
    return positions * (positions + 1) // 2 * (columns + 240 * labels) < 48 * labels * columns


def by_position_pairs(deltas: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`Σ_o δ_oᵀ S_o δ_o` (B, L) with `S_o = Σ_m D_om u_m u_mᵀ`, arguments as above but δ (B, L, O, T)."""
    positions, columns = deltas.shape[3], patches.shape[1]
    i, j = torch.triu_indices(positions, positions, device=deltas.device)
    both = torch.where(i == j, 1.0, 2.0).to(weights)[:, None]
    found = []
    size = max(1, _FLOATS // (len(i) * max(columns, deltas.shape[1] * len(weights))))
    for start in range(0, len(deltas), size):
        # Positions before channels, so that whole rows are picked.
        u = patches[start : start + size].transpose(1, 2).contiguous()
        d = deltas[start : start + size].transpose(2, 3).contiguous()
        shared = (u.index_select(1, i).mul_(u.index_select(1, j)) @ weights.T).mul_(both)
        products = d.index_select(2, i).mul_(d.index_select(2, j))
        found.append(weighted_sums(products.flatten(2), shared.flatten(1)[:, :, None])[..., 0])
    return torch.cat(found)


def square_sum(delta: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
    """`Σ_b G_b ⊙ G_b` (O, M), in float32 where δ is of lower precision; arguments as above."""
    dtype = torch.float32 if delta.dtype.itemsize < 4 else delta.dtype
    total = delta.new_zeros(delta.shape[1], patches.shape[1], dtype=dtype)
    for gradients in _products(delta, patches, dtype):
        total += gradients.square_().sum(0)
    return total


def _products(delta: torch.Tensor, patches: torch.Tensor, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    """G of a few samples at a time, in memory that the next ones overwrite."""
    batch, outputs, columns = len(delta), delta.shape[1], patches.shape[1]
    size = min(batch, max(1, _FLOATS // max(1, outputs * columns)))
    patches = patches.transpose(1, 2)
    room = delta.new_empty(size, outputs, columns)
    for start in range(0, batch, max(1, size)):
        part = slice(start, min(start + size, batch))
        gradients = torch.bmm(delta[part], patches[part], out=room[: part.stop - start])
        yield gradients.to(dtype)
