"""One forward pass of a model, and who is told of the gradients on the way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, overload

import torch
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from fvm_core.layers.registry import AnyKernel, Inputs, first


@dataclass
class Tap:
    """A layer whose gradients a kernel gives, or a segment's parameters that no layer kernel serves.

    Attributes:
        name: module name; `parameters` maps its own parameter names to those in the model.
        folded: its first axis is batch × something (Swin's windows); it is unfolded before the kernel.
        aligned: its δ is that of the head's input, channel by channel, times something that is the same
            for every label: `δ_ct = v_c m_ct`.
        floats: values that one sample takes in its kernel, for choosing the batch size: its input's patches
            and, where the kernel does not take a few samples at a time, its gradient.
        cost: multiplications of one sample's gradient.
        outputs: values of one sample's output.
        shares: several gradients of one sample are cheaper together.
    """

    name: str
    module: nn.Module
    kernel: AnyKernel
    parameters: dict[str, str]
    folded: bool = False
    aligned: bool = False
    floats: int = 0
    cost: int = 0
    outputs: int = 0
    shares: bool = False


@dataclass
class LinearTap(Tap):
    """The tap of a Linear layer, which may be the model's head."""

    module: nn.Linear


Output = torch.Tensor | tuple[Any, ...]
"""What a layer gives: a tensor, or one and something else."""

Visit = Callable[[Tap, Inputs, torch.Tensor], None]
VisitMany = Callable[[Tap, Inputs, torch.Tensor, slice], None]


class _Ear:
    """Where the hooks of one pass look whom to tell.

    Hooks live in the graph, and Python can't collect a cycle through it: were they to hold the pass
    itself, no activation would ever be freed.
    """

    visit: Visit | None = None


@dataclass
class Pass:
    """One forward pass with its graph kept for backward passes.

    Attributes:
        batch: B; logits: (B, K), part of the graph until `release`, there once the model has run.
        boundaries: input (B, …) of each segment, the images first.
        heard: by name of a layer, how many times it ran.
        rooted: the pass's own input requires a gradient, so that the graph begins there.
    """

    batch: int
    logits: torch.Tensor = field(init=False, repr=False)
    boundaries: list[torch.Tensor] = field(default_factory=list)
    heard: Counter[str] = field(repr=False, default_factory=Counter)
    rooted: bool = False
    _head_inputs: torch.Tensor | None = field(repr=False, default=None)
    _aligned: list[tuple[Tap, Inputs, GradientEdge]] = field(repr=False, default_factory=list)
    _roots: list[torch.Tensor] = field(repr=False, default_factory=list)
    _ear: _Ear = field(repr=False, default_factory=_Ear)

    @property
    def head_inputs(self) -> torch.Tensor:
        """Input of the last Linear layer (B, C), part of the graph.

        Raises:
            RuntimeError: the model does not end in one, or the graph is no longer there.
        """
        if self._head_inputs is None:
            raise RuntimeError("The input of the last Linear layer is not known.")
        return self._head_inputs

    @overload
    def backward(
        self, delta: torch.Tensor, visit: Visit, *, keep: bool = False, towards: None = None
    ) -> None: ...

    @overload
    def backward(
        self, delta: torch.Tensor, visit: Visit, *, keep: bool = False, towards: torch.Tensor
    ) -> torch.Tensor: ...

    def backward(
        self, delta: torch.Tensor, visit: Visit, *, keep: bool = False, towards: torch.Tensor | None = None
    ) -> torch.Tensor | None:
        """Call `visit(tap, inputs, δ)` for every tap, from the head to the input.

        Args:
            delta: gradient of each sample's loss with respect to its logits (B, K).
            visit: δ is the gradient with respect to the tap's output; nothing of it is kept here.
            keep: keep the graph for another call.
            towards: a tensor at the bottom of the graph, to whose gradient to go on and give it back.
        """
        ends = self._roots if towards is None else [towards]
        if not ends:
            return None
        self._ear.visit = visit
        try:
            below = torch.autograd.grad(
                self.logits, ends, delta.to(self.logits.dtype), retain_graph=keep, allow_unused=True
            )
        finally:
            self._ear.visit = None
        return None if towards is None else below[0]

    def aligned(self) -> Iterator[tuple[Tap, Inputs, torch.Tensor]]:
        """Every aligned tap with its inputs and m, which is δ for a gradient of ones at the head's input."""
        if self._aligned:
            edges = [edge for _tap, _inputs, edge in self._aligned]
            found = torch.autograd.grad(
                self.head_inputs, edges, torch.ones_like(self.head_inputs), retain_graph=True
            )
            for (tap, inputs, _edge), m in zip(self._aligned, found, strict=True):
                yield tap, _like(m, inputs), m

    def release(self) -> None:
        """Free the graph; the boundaries stay."""
        self.logits = self.logits.detach()
        self._head_inputs = None
        self._aligned, self._roots = [], []


@contextmanager
def listening(taps: Iterable[Tap], found: Pass, head: Tap | None = None) -> Iterator[None]:
    """While the model runs inside, its layers named by `taps` take part in `found`."""
    handles = [tap.module.register_forward_hook(_hook(tap, found, tap is head)) for tap in taps]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(tap: Tap, found: Pass, is_head: bool) -> Callable[[nn.Module, tuple[Any, ...], Output], Output]:
    def hook(_module: nn.Module, args: tuple[Any, ...], output: Output) -> Output:
        found.heard[tap.name] += 1
        if not torch.is_grad_enabled():  # a backbone under no_grad, whose gradients are zero
            return output
        heard = listen(tap, tap.kernel.inputs(args), first(output), found)
        if is_head:
            found._head_inputs = args[0]
        return heard if isinstance(output, torch.Tensor) else (heard, *output[1:])

    return hook


def listen(tap: Tap, inputs: Inputs, output: torch.Tensor, found: Pass) -> torch.Tensor:
    """Have `tap` told of the gradient at `output`; the tensor that the model has to go on with."""
    if not (output.requires_grad and (found.rooted or found._roots)):
        # Weights are frozen, so the graph begins at the first tap. The copy, because layers such
        # as ReLU(inplace=True) may not write into the leaf itself.
        root = output.detach().requires_grad_()
        found._roots.append(root)
        output = root.clone()
    batch, ear = found.batch, found._ear
    if tap.aligned:
        found._aligned.append((tap, inputs, get_gradient_edge(output)))

    def heard(delta: torch.Tensor) -> None:
        if ear.visit is None:
            return
        own = _like(delta, inputs)
        if tap.folded:
            ear.visit(tap, unfolded(first(own), batch), unfolded(delta, batch))
        else:
            ear.visit(tap, own, delta)

    output.register_hook(heard)
    return output


def unfolded(values: torch.Tensor, batch: int) -> torch.Tensor:
    """(batch · windows, …) as (batch, windows, …)."""
    return values.reshape(batch, -1, *values.shape[1:])


def _like(delta: torch.Tensor, inputs: Inputs) -> Inputs:
    """Under autocast a layer's inputs may be of higher precision than its output."""
    if isinstance(inputs, tuple):
        return tuple(_typed_like(delta, values) for values in inputs)
    return _typed_like(delta, inputs)


def _typed_like(delta: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return values.to(delta.dtype) if values.is_floating_point() else values
