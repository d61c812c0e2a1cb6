"""Per-sample gradients of a whole model, one layer at a time, by listening to its forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.layers.fallback import FallbackKernel
from fvm_core.layers.passes import Pass, Tap, VisitMany, listen, listening
from fvm_core.layers.probe import Probe
from fvm_core.layers.registry import Inputs
from fvm_core.layers.segments import Segment, segments_of

_RANDOM = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


class TappedModel:
    """A classifier in evaluation mode whose per-sample gradients can be visited layer by layer.

    Every trainable parameter is counted exactly once. Which layers a kernel can serve is not guessed:
    on two random inputs each kernel's per-sample gradients are compared with plain autograd. Layers that
    are used twice, tied weights, raw parameters and unknown layers fail that and go to `leftover`, whose
    gradients come from `vmap(grad)` over the segment that they are in.

    Attributes:
        parameters: the trainable ones by name; `leftover`: names of those that no layer kernel serves.
        segments: the model as a chain, so that a backward pass can go on for a part of the batch.
        classes: K.
        lowest: index of the lowest segment with parameters.

    Args:
        model: logits (B, K) for inputs (B, …); its weights are not changed.
        example: a few inputs, for their shape, type and device.
        precision: `fp32` (the model's own) or `bf16` for forward and backward passes.

    Raises:
        SaltflatError: Dropout or BatchNorm is in training mode, the model gives other values for the
            same input twice, or it has no trainable parameter.
    """

    def __init__(self, model: nn.Module, example: torch.Tensor, *, precision: str = "fp32"):
        noisy = [name for name, part in model.named_modules() if isinstance(part, _RANDOM) and part.training]
        if noisy:
            raise SaltflatError(
                f"The model's layer `{noisy[0]}` is in training mode, where samples of a batch mix or values "
                f"are random. Call model.eval() first."
            )
        self.model = model
        self.precision = precision
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not self.parameters:
            raise SaltflatError("The model has no trainable parameters, so there is no influence to compute.")
        with self.frozen():
            probe = Probe(model, self.parameters, example)
            self.classes = probe.classes
            self.activation_floats = probe.activation_floats
            self.taps, self.leftover, self.head = probe.taps, probe.leftover, probe.head
            costs = {name: tap.cost for name, tap in self.taps.items()}
            self.segments = segments_of(model, probe.images, costs)
            self._place(probe)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No parameter collects a gradient inside; the passes below have to run in it."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        try:
            with torch.enable_grad():
                yield
        finally:
            for parameter in self.parameters.values():
                parameter.requires_grad_(True)

    def forward(self, images: torch.Tensor) -> Pass:
        """Run the model on a batch, ready for `Pass.backward`."""
        found = Pass(len(images))
        values = images
        with listening(self.taps.values(), found, self.head), self._autocast(images):
            for segment, fallback in zip(self.segments, self._fallbacks, strict=True):
                found.boundaries.append(values.detach())
                values = segment.forward(values)
                if fallback is not None:
                    values = listen(fallback, found.boundaries[-1], values, found)
        found.logits = values
        return found

    def descend(
        self, index: int, inputs: torch.Tensor, deltas: torch.Tensor, visit: VisitMany
    ) -> torch.Tensor | None:
        """Carry L gradients of each sample from a segment's output to its input (B, L, …).

        Args:
            index: which of `segments`.
            inputs: the segment's input (B, …), rows of a pass's boundary.
            deltas: gradients with respect to its output (B, L, …).
            visit: called with (tap, inputs, δ (B, l, …), which of the L these are).

        Returns:
            None in the lowest segment with parameters.
        """
        found, fallback = Pass(len(inputs)), self._fallbacks[index]
        bottom, count = index == self.lowest, deltas.shape[1]
        start = inputs if bottom else inputs.detach().requires_grad_()
        with listening(self._inside[index], found), self._autocast(inputs):
            found.logits = self.segments[index].forward(start)
        if fallback is not None:
            visit(fallback, inputs, deltas, slice(None))
        below = None if bottom else start.new_empty(len(start), count, *start.shape[1:])
        held: dict[str, tuple[Tap, Inputs, torch.Tensor]] = {}
        for number in range(count):

            def hear(tap: Tap, own: Inputs, delta: torch.Tensor, number: int = number) -> None:
                if not tap.shares or count == 1:
                    visit(tap, own, delta[:, None], slice(number, number + 1))
                    return
                if tap.name not in held:
                    held[tap.name] = (tap, own, delta.new_empty(len(delta), count, *delta.shape[1:]))
                held[tap.name][2][:, number] = delta

            # All L go through one graph, which the last one frees.
            keep, towards = number + 1 < count, None if bottom else start
            gradient = found.backward(deltas[:, number], hear, keep=keep, towards=towards)
            if below is not None:
                below[:, number] = gradient
        for tap, own, delta in held.values():
            visit(tap, own, delta, slice(None))
        return below

    def label_floats(self, index: int) -> int:
        """Values that `descend` holds for one label of one sample, with its input's gradient."""
        return self._label_floats[index]

    def segment_cost(self) -> list[float]:
        """Share of each segment in the multiplications of a whole per-sample gradient."""
        costs = [sum(tap.cost for tap in inside) for inside in self._inside]
        return [cost / max(1, sum(costs)) for cost in costs]

    def _place(self, probe: Probe) -> None:
        """Which taps lie in which segment, and each segment's leftover parameters as a tap of its own."""
        owners = {name: [s for s in self.segments if s.uses(name)] for name in self.leftover}
        if any(len(found) > 1 for found in owners.values()):
            self.segments = [Segment.whole(self.model)]
        self.leftover = [name for name in self.leftover if owners[name]]
        self._inside = [
            [tap for tap in self.taps.values() if segment.has(tap.name)] for segment in self.segments
        ]
        self._fallbacks: list[Tap | None] = []
        for segment in self.segments:
            names = [name for name in self.leftover if segment.uses(name)]
            tap = None
            if names:
                kernel = FallbackKernel(names)
                floats = sum(self.parameters[name].numel() for name in names) + probe.images[0].numel()
                tap = Tap("", segment.forward, kernel, {name: name for name in names}, floats=floats)
            self._fallbacks.append(tap)
        self._label_floats = [sum(tap.outputs for tap in inside if tap.shares) for inside in self._inside]
        occupied = [bool(a) or b is not None for a, b in zip(self._inside, self._fallbacks, strict=True)]
        self.lowest = occupied.index(True)

    def _autocast(self, like: torch.Tensor):
        return torch.autocast(like.device.type, torch.bfloat16, enabled=self.precision == "bf16")
