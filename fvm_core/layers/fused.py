"""`Σ_p D_p g_p²` of products `G = δ Uᵀ` without writing G: a Triton kernel, where it is the faster one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch

from fvm_core.layers.products import (
    by_position_pairs,
    pairs_are_cheaper,
    plain_quadratic,
    plain_quadratic_many,
)

try:
    import triton
    import triton.language as tl
except ImportError:  # Comes with torch for CUDA only.
    triton = None

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_REPEATS = 3
_AGREEMENT = 1e-4
"""Largest relative difference of the two ways at which the fused one may be taken."""


class Tile(NamedTuple):
    """Rows o and columns m of G that one program holds in registers, and its warps of 32 threads."""

    o: int
    m: int
    warps: int


TILES = (Tile(32, 32, 4), Tile(64, 64, 4), Tile(128, 64, 8))

_chosen: dict[tuple[object, ...], Tile | None] = {}


def available() -> bool:
    """Whether Triton can be imported."""
    return triton is not None


def weighted_square(delta: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`Σ_om D_om (Σ_t δ_bot u_bmt)²` (B,), in the type of `weights`, by whichever way is faster.

    Args:
        delta: δ (B, O, T), gradients with respect to a layer's output at T positions.
        patches: U (B, M, T), what the layer's weight is multiplied with at those positions.
        weights: D (O, M).
    """
    tile = choose(delta, patches, weights)
    if tile is None:
        return plain_quadratic(delta, patches, weights)
    return fused_quadratic(delta, patches, weights, tile)


def quadratic_many(deltas: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`weighted_square` (B, L) for L gradients (B, L, O, T) of each sample.

    Where there are many of them for few positions, `Σ_o δ_oᵀ S_o δ_o` with `S_o = Σ_m D_om u_m u_mᵀ`
    (T, T), which all share, takes less.
    """
    labels, positions = deltas.shape[1], deltas.shape[3]
    if deltas.dtype.itemsize >= 4 and pairs_are_cheaper(labels, positions, patches.shape[1]):
        return by_position_pairs(deltas, patches, weights)
    if deltas.device.type == "cpu":
        return plain_quadratic_many(deltas, patches, weights)
    return torch.stack([weighted_square(deltas[:, n], patches, weights) for n in range(labels)], 1)


def fused_quadratic(
    delta: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor, tile: Tile = TILES[1]
) -> torch.Tensor:
    """As `weighted_square` (B,) float32, each tile of G squared, weighted and summed in registers.

    Every program writes its own partial sum, so a sample's value does not depend on the order in which
    programs run. Sums are taken in float32 whatever the type of the inputs.

    Args:
        delta: (B, O, T) float32, bfloat16 or float16, with any strides.
        patches: (B, M, T) of the same type.
        weights: (O, M) float32.
        tile: changes speed and rounding only.

    Raises:
        RuntimeError: Triton is not installed.
    """
    if triton is None:
        raise RuntimeError("The fused kernel needs Triton.")
    (batch, outputs, positions), columns = delta.shape, patches.shape[1]
    tiles = triton.cdiv(outputs, tile.o) * triton.cdiv(columns, tile.m)
    shares = delta.new_empty(batch, tiles, dtype=torch.float32)
    # Triton launches on the current device, not on that of its arguments.
    with torch.cuda.device(delta.device) if delta.is_cuda else nullcontext():
        _fused_kernel[(batch * tiles,)](
            delta,
            patches,
            weights,
            shares,
            batch,
            outputs,
            columns,
            positions,
            *delta.stride(),
            *patches.stride(),
            *weights.stride(),
            TILE_O=tile.o,
            TILE_M=tile.m,
            TILE_T=min(32, max(16, triton.next_power_of_2(positions))),
            num_warps=tile.warps,
        )
    return shares.sum(1)


def choose(delta: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> Tile | None:
    """The tile with which the fused kernel beats the plain way for inputs like these; None for plain.

    Both are timed the first time that a shape is seen on a device, B up to the next power of two. The
    plain way stays wherever the fused one fails or gives other values.
    """
    if not available() or not delta.is_cuda or weights.dtype != torch.float32:
        return None
    if delta.dtype != patches.dtype or delta.dtype not in _DTYPES or not delta.numel():
        return None
    key = (delta.device, delta.dtype, (len(delta) - 1).bit_length(), *delta.shape[1:], patches.shape[1])
    if key not in _chosen:
        with torch.cuda.device(delta.device):
            _chosen[key] = _fastest(delta, patches, weights)
    return _chosen[key]


def _fastest(delta: torch.Tensor, patches: torch.Tensor, weights: torch.Tensor) -> Tile | None:
    # In float32, since the plain way rounds a G of half precision before it is squared.
    wanted = plain_quadratic(delta.float(), patches.float(), weights)
    best, shortest = None, _milliseconds(lambda: plain_quadratic(delta, patches, weights))
    for tile in TILES:
        try:
            found = fused_quadratic(delta, patches, weights, tile)
            took = _milliseconds(partial(fused_quadratic, delta, patches, weights, tile))
        except Exception:  # No C compiler, an old GPU or too little shared memory, each with its own type.
            continue
        # Zeros everywhere would agree with a kernel that does nothing.
        agree = wanted.any() and (found - wanted).norm() <= _AGREEMENT * wanted.norm()
        if agree and took < shortest:
            best, shortest = tile, took
    return best


def _milliseconds(call: Callable[[], torch.Tensor]) -> float:
    """The shortest of a few runs on the current device and stream."""
    call()
    times: list[float] = []
    for _ in range(_REPEATS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return min(times)


if triton is not None:

    @triton.jit
    def _fused_kernel(  # type: ignore[no-untyped-def]  # Triton compiles it and reads annotations itself
        delta,
        patches,
        weights,
        shares,
        batch,
        outputs,
        columns,
        positions,
        delta_b,
        delta_o,
        delta_t,
        patches_b,
        patches_m,
        patches_t,
        weights_o,
        weights_m,
        TILE_O: tl.constexpr,
        TILE_M: tl.constexpr,
        TILE_T: tl.constexpr,
    ):
        """`shares[b, tile] = Σ_{(o, m) in tile} D_om (Σ_t δ_bot u_bmt)²`; strides count elements."""
        # Neighbours differ in the sample alone, so the tile of D stays in the cache between them.
        program = tl.program_id(0)
        tile = program // batch
        across = tl.cdiv(columns, TILE_M)
        # 64 bits: a batch of patches can hold more than 2³¹ values.
        b = (program % batch).to(tl.int64)
        o = (tile // across).to(tl.int64) * TILE_O + tl.arange(0, TILE_O)
        m = (tile % across).to(tl.int64) * TILE_M + tl.arange(0, TILE_M)
        rows = delta + b * delta_b + o[:, None] * delta_o
        cols = patches + b * patches_b + m[None, :] * patches_m

        gradient = tl.zeros((TILE_O, TILE_M), tl.float32)
        for start in range(0, positions, TILE_T):
            t = (start + tl.arange(0, TILE_T)).to(tl.int64)
            d = tl.load(
                rows + t[None, :] * delta_t, (o[:, None] < outputs) & (t[None, :] < positions), other=0.0
            )
            u = tl.load(
                cols + t[:, None] * patches_t, (m[None, :] < columns) & (t[:, None] < positions), other=0.0
            )
            gradient = tl.dot(d, u, gradient, input_precision="ieee")
        inside = (o[:, None] < outputs) & (m[None, :] < columns)
        weight = tl.load(weights + o[:, None] * weights_o + m[None, :] * weights_m, inside, other=0.0)
        across *= tl.cdiv(outputs, TILE_O)
        tl.store(shares + b * across + tile, tl.sum(gradient * gradient * weight))
