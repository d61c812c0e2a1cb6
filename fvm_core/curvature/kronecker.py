"""One layer's curvature as a Kronecker product with corrected eigenvalues."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.curvature.per_sample import gradient_slices, slices
from fvm_core.curvature.vectors import Vector
from fvm_core.layers.passes import Tap


def is_factored(tap: Tap) -> bool:
    """Whether a layer's gradient is a sum of `δ aᵀ`: Linear, and Conv2d without groups, weight not frozen."""
    if "weight" not in tap.parameters:
        return False
    module = tap.module
    return type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)


class KroneckerLayer:
    """`G = Σ_t δ_t a_tᵀ` (out, in), a with a 1 appended for the bias; its curvature in the basis of K-FAC.

    `A = E[a aᵀ] = Q_A · Q_Aᵀ`, `S = E[δ δᵀ] = Q_S · Q_Sᵀ` over samples and positions t, and
    `Λ_ij = E_n[(Q_Sᵀ G_n Q_A)²_ij]` (George et al. 2018). Use in three steps: `add_factors` for all
    batches, `turn`, `add_eigenvalues` for all batches.

    Args:
        tap: a layer for which `is_factored` holds.

    Attributes:
        eigenvalues: Λ (out, in), a sum over samples until it is divided.
    """

    def __init__(self, tap: Tap):
        self.tap = tap
        self.weight = tap.parameters["weight"]
        self.bias = tap.parameters.get("bias")
        weight = tap.module.get_parameter("weight")
        rows, columns = len(weight), weight[0].numel() + (self.bias is not None)
        self._a = weight.new_zeros(columns, columns)
        self._s = weight.new_zeros(rows, rows)
        self.eigenvalues = weight.new_zeros(rows, columns)

    def add_factors(self, inputs: torch.Tensor, delta: torch.Tensor) -> None:
        """Add a batch to A and S; their scale does not matter, only their eigenvectors are used."""
        for part in slices(len(delta), delta[0].numel() // len(self._s) * len(self._a)):
            a, d = _rows(self.tap.module, inputs[part], delta[part])
            if self.bias is not None:
                a = F.pad(a, (0, 1), value=1.0)
            self._a += a.T @ a
            self._s += d.T @ d

    def turn(self) -> None:
        """A and S become their eigenvectors."""
        self._a, self._s = _eigenvectors(self._a), _eigenvectors(self._s)

    def add_eigenvalues(self, inputs: torch.Tensor, delta: torch.Tensor) -> None:
        """Add a batch to Λ."""
        for gradients in gradient_slices(self.tap, inputs, delta):
            self.eigenvalues += (self._s.T @ self._matrix(gradients, batch=True) @ self._a).square_().sum(0)

    def solve(self, vector: Vector, damping: float) -> Vector:
        """`Q_S ((Q_Sᵀ V Q_A) / (Λ + λ)) Q_Aᵀ` by parameter name; 0 where `Λ + λ` is 0."""
        turned = self._s.T @ self._matrix(vector, batch=False) @ self._a
        curvature = self.eigenvalues + damping
        solved = self._s @ torch.where(curvature > 0, turned / curvature, 0.0) @ self._a.T
        if self.bias is None:
            return {self.weight: solved.reshape(vector[self.weight].shape)}
        return {
            self.weight: solved[:, :-1].reshape(vector[self.weight].shape),
            self.bias: solved[:, -1].contiguous(),
        }

    def _matrix(self, values: Vector, batch: bool) -> torch.Tensor:
        """([B,] out, in) of tensors by parameter name."""
        weight = values[self.weight].flatten(2 if batch else 1)
        return weight if self.bias is None else torch.cat([weight, values[self.bias][..., None]], -1)


def _rows(module: nn.Module, inputs: torch.Tensor, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of all samples, a (positions, in) and δ (positions, out)."""
    if not isinstance(module, nn.Conv2d):
        return inputs.reshape(-1, inputs.shape[-1]), delta.reshape(-1, delta.shape[-1])
    # Torch keeps the padding of all modes, "same" included, in this form for F.pad.
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    values = F.pad(inputs, module._reversed_padding_repeated_twice, mode=mode)
    patches = F.unfold(values, module.kernel_size, module.dilation, 0, module.stride)
    return patches.transpose(1, 2).flatten(0, 1), delta.flatten(2).transpose(1, 2).flatten(0, 1)


def _eigenvectors(matrix: torch.Tensor) -> torch.Tensor:
    """In float64; on a device that lacks it, on the CPU."""
    exact = matrix.cpu().double() if matrix.device.type == "mps" else matrix.double()
    found: torch.Tensor = torch.linalg.eigh((exact + exact.T) / 2).eigenvectors
    return found.to(matrix)
