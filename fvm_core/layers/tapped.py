"""Per-sample gradients of a whole model, one layer at a time, by listening to its forward and backward."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from fvm_core.config import SCORE_PRECISIONS
from fvm_core.errors import SaltflatError, one_of
from fvm_core.layers.conditions import first_line, refuse_training_mode
from fvm_core.layers.eager import eager, unwrapped
from fvm_core.layers.fallback import FallbackKernel, LoopKernel
from fvm_core.layers.passes import Pass, Tap, VisitMany, listen, listening
from fvm_core.layers.probe import Probe
from fvm_core.layers.registry import REFUSALS, Inputs
from fvm_core.layers.segments import Segment, segments_of
from fvm_core.layers.verification import fault
from fvm_core.out_of_memory import keep_out_of_memory

_BESIDE = 1e-3
"""Noise of inputs beside the example, of their size: far more than rounding moves a ReLU's input."""


class TappedModel:
    """A classifier in evaluation mode whose per-sample gradients can be visited layer by layer.

    Every trainable parameter is counted exactly once. Which layers a kernel can serve is not guessed: on a
    sample of the user's and a changed one each kernel's per-sample gradients are compared with plain
    autograd. Layers that are used twice, tied weights, raw parameters and unknown layers fail that and go to
    `leftover`, whose gradients come from `vmap(grad)` over the segment that they are in, or sample by sample
    where torch can't do that. Then every kind of pass is carried out on these samples and compared too (see
    `verification`); a model that is not right in one way is taken in the next slower one, and one that is
    right in none is refused.

    Attributes:
        model: the model itself, without wrappers of `torch.compile` or data parallelism.
        parameters: the trainable ones by name; `leftover`: names of those that no layer kernel serves;
            `unused`: of those that the logits do not depend on.
        segments: the model as a chain, so that a backward pass can go on for a part of the batch.
        classes: K.
        lowest: index of the lowest segment with parameters.

    Args:
        model: logits (B, K) for inputs (B, …); its weights are not changed.
        example: a few inputs, for their shape, type and device.
        precision: `fp32` (the model's own) or `bf16` for forward and backward passes.

    Raises:
        SaltflatError: a part of the model is in training mode; samples mix in the batch; values are random or
            not finite; they are no logits of two or more classes; it has no trainable parameter that they
            depend on; or no way to its gradients agrees with plain autograd.
    """

    def __init__(self, model: nn.Module, example: torch.Tensor, *, precision: str = "fp32"):
        one_of(precision, SCORE_PRECISIONS, "precision")
        refuse_training_mode(model)
        self.model = unwrapped(model)
        self.precision = precision
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if not self.parameters:
            raise SaltflatError("The model has no trainable parameters, so there is no influence to compute.")
        self._strays = _strays(self.model)
        with self.frozen():
            probe = Probe(self.model, self.parameters, example)
            self.classes = probe.classes
            self.activation_floats = probe.activation_floats
            self.unused = probe.unused
            if not self._choose(probe) and not self._is_a_kink(example):
                self._choose(Probe(self.model, self.parameters, example))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No parameter collects a gradient inside; the passes below have to run in it."""
        held = [*self.parameters.values(), *self._strays]
        for tensor in held:
            tensor.requires_grad_(False)
        try:
            with torch.enable_grad(), eager(self.model):
                yield
        finally:
            for tensor in held:
                tensor.requires_grad_(True)

    def forward(self, images: torch.Tensor) -> Pass:
        """Run the model on a batch, ready for `Pass.backward`.

        Raises:
            SaltflatError: the model runs other layers for these images than for the example.
        """
        found = Pass(len(images))
        values = images.detach()
        with listening(self.taps.values(), found, self.head), self._autocast(images):
            for segment, fallback in zip(self.segments, self._fallbacks, strict=True):
                found.boundaries.append(values.detach())
                values = segment.forward(values)
                if fallback is not None:
                    values = listen(fallback, found.boundaries[-1], values, found)
        found.logits = values
        self._check_heard(found, self.taps)
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
        found.rooted = not bottom
        with listening(self._inside[index], found), self._autocast(inputs):
            found.logits = self.segments[index].forward(start)
        self._check_heard(found, [tap.name for tap in self._inside[index]])
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
            keep = number + 1 < count
            if below is None:
                found.backward(deltas[:, number], hear, keep=keep)
            else:
                below[:, number] = found.backward(deltas[:, number], hear, keep=keep, towards=start)
        for tap, own, delta in held.values():
            visit(tap, own, delta, slice(None))
        return below

    @property
    def head_alone(self) -> bool:
        """Whether the head is all that has gradients."""
        return self.head is not None and not self.leftover and list(self.taps) == [self.head.name]

    def label_floats(self, index: int) -> int:
        """Values that `descend` holds for one label of one sample, with its input's gradient."""
        return self._label_floats[index]

    def segment_cost(self) -> list[float]:
        """Share of each segment in the multiplications of a whole per-sample gradient."""
        costs = [sum(tap.cost for tap in inside) for inside in self._inside]
        return [cost / max(1, sum(costs)) for cost in costs]

    def _is_a_kink(self, example: torch.Tensor) -> bool:
        """Whether inputs beside the example's are right in the fastest way, in which the model is then taken.

        A ReLU whose input is 0 but for rounding is open in one way of computing it and closed in another.
        What is wrong in the model or a kernel, is so for neighbouring inputs as well.
        """
        if not example.is_floating_point():
            return False
        for seed in (1, 2):
            generator = torch.Generator().manual_seed(seed)
            ends = torch.cat([example[:1], example[-1:]]).detach()
            noise = (
                _BESIDE * ends.square().mean().sqrt() * torch.randn(ends.shape, generator=generator).to(ends)
            )
            try:
                beside = Probe(self.model, self.parameters, ends + noise)
                if beside.unused != self.unused or not self._choose(beside):
                    return False
            except SaltflatError:
                return False
        return True

    def _choose(self, probe: Probe) -> bool:
        """Take the model in the fastest way that gives what autograd gives.

        Returns:
            Whether autograd agreed with every kernel, and with the first way that could be carried out.

        Raises:
            SaltflatError: in no way.
        """
        self._disagrees = probe.doubted
        costs = {name: tap.cost for name, tap in probe.taps.items()}
        whole = [Segment.whole(self.model)]
        cut = segments_of(self.model, probe.images, costs)
        found: str | None = "nothing was tried"
        for segments in (cut, whole) if len(cut) > 1 else (whole,):
            for kind in (FallbackKernel, LoopKernel):
                found = self._try(probe, segments, kind)
                if found is None:
                    return not self._disagrees
                if not probe.leftover:
                    break  # nothing is left to the kind of kernel
        probe.taps = {}
        probe.sort()
        for kind in (FallbackKernel, LoopKernel):
            found = self._try(probe, whole, kind)
            if found is None:
                return not self._disagrees
        raise SaltflatError(
            f"The gradients of this model's samples can't be computed rightly ({found}), so it has no "
            "influence that could be relied on. Write its forward pass with the usual layers of torch.nn, or "
            "train a head on its features."
        )

    def _try(self, probe: Probe, segments: list[Segment], kind: type[FallbackKernel]) -> str | None:
        """Set the model up in one way; why that is wrong, or None where it is right."""
        self.taps, self.leftover, self.head = dict(probe.taps), list(probe.leftover), probe.head
        self.segments = segments
        precision, self.precision = self.precision, "fp32"
        try:
            self._place(probe, kind)
            found = fault(self, probe)
            self._disagrees = self._disagrees or found is not None
            return found
        except REFUSALS as error:
            keep_out_of_memory(error)
            return first_line(error)
        finally:
            self.precision = precision

    def _place(self, probe: Probe, kind: type[FallbackKernel]) -> None:
        """Which taps lie in which segment, and each segment's leftover parameters as a tap of its own."""
        owners = {
            name: [s for s in self.segments if any(s.uses(other) for other in probe.names(name))]
            for name in self.leftover
        }
        if any(len(found) > 1 for found in owners.values()):
            self.segments = [Segment.whole(self.model)]
        self._inside = [
            [tap for tap in self.taps.values() if segment.has(tap.name)] for segment in self.segments
        ]
        self._fallbacks: list[Tap | None] = []
        for segment in self.segments:
            # By the name that the segment knows: of tied parameters it may hold only one.
            known = dict(segment.forward.named_parameters(remove_duplicate=False))
            names = {
                local: name
                for name in self.leftover
                for local in _first_of(probe.names(name), segment, known)
            }
            tap = None
            if names:
                kernel = kind(list(names))
                floats = sum(self.parameters[name].numel() for name in names.values())
                tap = Tap("", segment.forward, kernel, names, floats=floats + probe.images[0].numel())
            self._fallbacks.append(tap)
        self._label_floats = [sum(tap.outputs for tap in inside if tap.shares) for inside in self._inside]
        occupied = [bool(a) or b is not None for a, b in zip(self._inside, self._fallbacks, strict=True)]
        self.lowest = occupied.index(True)

    def _check_heard(self, found: Pass, expected: Iterable[str]) -> None:
        wrong = next((name for name in expected if found.heard[name] != 1), None)
        if wrong is not None:
            raise SaltflatError(
                f"The model's layer `{wrong}` runs {found.heard[wrong]} times for these images and once for "
                "the example: its forward pass looks at values. Such a model's influence can't be computed."
            )

    def _autocast(self, like: torch.Tensor) -> torch.autocast:
        return torch.autocast(like.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def _first_of(names: list[str], segment: Segment, known: dict[str, nn.Parameter]) -> list[str]:
    return [name for name in names if segment.uses(name) and name in known][:1]


def _strays(model: nn.Module) -> list[torch.Tensor]:
    """Tensors that require a gradient and are no parameters: they would begin a graph of their own."""
    parameters = {id(p) for p in model.parameters()}
    found = {
        id(value): value
        for module in model.modules()
        for value in (*vars(module).values(), *module._buffers.values())
        if isinstance(value, torch.Tensor) and value.requires_grad and value.is_leaf
    }
    return [value for identity, value in found.items() if identity not in parameters]
