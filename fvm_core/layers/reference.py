"""What plain autograd says of a few samples, one at a time: the measure of everything faster."""

from __future__ import annotations

import torch
from torch import nn
from torch.autograd.graph import Node, get_gradient_edge

from fvm_core.layers.registry import Gradients, summing


class Reference:
    """`q_pln = Σ D_p (∂⟨d_ln, f(x_n)⟩/∂p)²` for parameters p, directions l and samples n, in float64.

    With D random and positive a wrong gradient gives another q, and neither gradients of all samples nor
    those of all parameters have to be held together.

    Attributes:
        weights: D by parameter name.
        values: by parameter name, q (L, B).
        uses: by parameter name, in how many places of the forward pass it takes part.

    Args:
        model: in evaluation mode.
        parameters: the trainable ones by name, each once; frozen, and left so.
        images: (B, …).
        directions: d (L, B, K).
        generator: of D.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: dict[str, nn.Parameter],
        images: torch.Tensor,
        directions: torch.Tensor,
        generator: torch.Generator,
    ):
        self.weights: Gradients = {
            name: (torch.rand(p.shape, generator=generator) + 0.5).to(p.device, summing(p.dtype))
            for name, p in parameters.items()
        }
        self._roots = {name: weights.sqrt() for name, weights in self.weights.items()}
        shape = directions.shape[:2]
        self.values = {
            name: torch.zeros(shape, dtype=torch.float64, device=_exact(images)) for name in parameters
        }
        self.uses = dict.fromkeys(parameters, 0)
        leaves = list(parameters.values())
        for parameter in leaves:
            parameter.requires_grad_(True)
        try:
            for number in range(len(images)):
                logits = model(images[number : number + 1])
                if not logits.requires_grad:
                    continue
                uses = _uses(logits, parameters)
                self.uses = {name: max(count, uses[name]) for name, count in self.uses.items()}
                for line, direction in enumerate(directions[:, number]):
                    found = torch.autograd.grad(
                        (logits[0] * direction).sum(),
                        leaves,
                        retain_graph=line + 1 < len(directions),
                        allow_unused=True,
                    )
                    for name, gradient in zip(parameters, found, strict=True):
                        if gradient is not None:
                            self.values[name][line, number] = self.weighted(name, gradient[None])[0]
        finally:
            for parameter in leaves:
                parameter.requires_grad_(False)

    def weighted(self, name: str, gradients: torch.Tensor) -> torch.Tensor:
        """`Σ D g²` (B,) float64 of per-sample gradients (B, *shape) of one parameter."""
        # Squares of tiny gradients would vanish in float32, which products with √D do not.
        rows = (gradients.detach() * self._roots[name]).reshape(len(gradients), -1).to(_exact(gradients))
        lengths: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
        return lengths.square()

    @property
    def unused(self) -> set[str]:
        """Parameters that no path leads to from the logits: their gradients are zero."""
        return {name for name, count in self.uses.items() if count == 0}


def _exact(values: torch.Tensor) -> torch.device:
    """Where float64 can be computed with."""
    return torch.device("cpu") if values.device.type == "mps" else values.device


def _uses(logits: torch.Tensor, parameters: dict[str, nn.Parameter]) -> dict[str, int]:
    """How many operations of the graph read each parameter, gates that are closed included."""
    names = {id(p): name for name, p in parameters.items()}
    found = dict.fromkeys(parameters, 0)
    seen: set[Node] = set()
    waiting = [get_gradient_edge(logits).node]
    while waiting:
        node = waiting.pop()
        for below, _number in node.next_functions:
            if below is None:
                continue
            variable = getattr(below, "variable", None)
            if variable is not None and id(variable) in names:
                found[names[id(variable)]] += 1
            if below not in seen:
                seen.add(below)
                waiting.append(below)
    return found
