"""Per-sample gradients of a whole model, one layer at a time, by listening to its forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from fvm_core.errors import SaltflatError
from fvm_core.layers.registry import Gradients, Kernel, kernel_for

_RANDOM = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
_FALLBACK_FLOATS = 2**25
"""Most per-sample gradient values that the fallback holds at once (128 MiB)."""


@dataclass
class Tap:
    """A layer whose gradients a kernel gives.

    Attributes:
        name: module name; `parameters` maps its own parameter names to those in the model.
        folded: its first axis is batch × something (Swin's windows); it is unfolded before the kernel.
        floats: values that one sample's gradient and input take, for choosing the batch size.
    """

    name: str
    module: nn.Module
    kernel: Kernel
    parameters: dict[str, str]
    folded: bool = False
    floats: int = 0


Visit = Callable[[Tap, torch.Tensor, torch.Tensor], None]


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
        images: the batch (B, …); logits: (B, K), part of the graph.
        head_inputs: input of the last Linear layer (B, d), None where the model does not end in one.
    """

    images: torch.Tensor
    logits: torch.Tensor
    head_inputs: torch.Tensor | None
    _roots: list[torch.Tensor] = field(repr=False, default_factory=list)
    _ear: _Ear = field(repr=False, default_factory=_Ear)

    def backward(self, delta: torch.Tensor, visit: Visit, *, keep: bool = False) -> None:
        """Call `visit(tap, inputs, δ)` for every tap, from the head to the input.

        Args:
            delta: gradient of each sample's loss with respect to its logits (B, K).
            visit: δ is the gradient with respect to the tap's output; nothing of it is kept here.
            keep: keep the graph for another call.
        """
        self._ear.visit = visit
        try:
            torch.autograd.grad(self.logits, self._roots, delta, retain_graph=keep, allow_unused=True)
        finally:
            self._ear.visit = None


class TappedModel:
    """A classifier in evaluation mode whose per-sample gradients can be visited layer by layer.

    Every trainable parameter is counted exactly once. Which layers a kernel can serve is not guessed:
    on two random inputs each kernel's per-sample gradients are compared with plain autograd. Layers that
    are used twice, tied weights, raw parameters and unknown layers fail that and go to `leftover`, whose
    gradients come from `vmap(grad)`.

    Args:
        model: logits (B, K) for inputs (B, …); its weights are not changed.
        example: a few inputs, for their shape, type and device.

    Raises:
        SaltflatError: Dropout or BatchNorm is in training mode, the model gives other values for the
            same input twice, or it has no trainable parameter.
    """

    def __init__(self, model: nn.Module, example: torch.Tensor):
        noisy = [name for name, part in model.named_modules() if isinstance(part, _RANDOM) and part.training]
        if noisy:
            raise SaltflatError(
                f"The model's layer `{noisy[0]}` is in training mode, where samples of a batch mix or values "
                f"are random. Call model.eval() first."
            )
        self.model = model
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not self.parameters:
            raise SaltflatError("The model has no trainable parameters, so there is no influence to compute.")
        self.taps: dict[str, Tap] = {}
        self.leftover: list[str] = list(self.parameters)
        self.head: Tap | None = None
        self.activation_floats = 0
        with self.frozen():
            self._probe(example[:2] if len(example) > 1 else example.expand(2, *example.shape[1:]))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No parameter collects a gradient inside; the passes below have to run in it."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters.values():
                parameter.requires_grad_(True)

    def forward(self, images: torch.Tensor) -> Pass:
        """Run the model on a batch, ready for `Pass.backward`."""
        found = Pass(images, torch.empty(0), None)
        handles = [tap.module.register_forward_hook(self._listener(tap, found)) for tap in self.taps.values()]
        try:
            found.logits = self.model(images)
        finally:
            for handle in handles:
                handle.remove()
        return found

    def leftover_gradients(
        self, images: torch.Tensor, delta: torch.Tensor
    ) -> Iterator[tuple[slice, Gradients]]:
        """Per-sample gradients of the parameters in `leftover`, in slices of the batch that fit in memory."""
        names = self.leftover
        values = {name: self.parameters[name].detach() for name in names}
        size = max(1, _FALLBACK_FLOATS // max(1, sum(value.numel() for value in values.values())))

        def weighted(own: Gradients, image: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
            return (functional_call(self.model, own, (image[None],))[0] * direction).sum()

        for start in range(0, len(images), size):
            part = slice(start, start + size)
            yield part, vmap(grad(weighted), in_dims=(None, 0, 0))(values, images[part], delta[part])

    def _listener(self, tap: Tap, found: Pass):
        def listen(_module, args, output):
            inputs = args[0].detach()
            if not output.requires_grad:
                # Weights are frozen, so the graph begins at the first tap. The copy, because layers such
                # as ReLU(inplace=True) may not write into the leaf itself.
                root = output.detach().requires_grad_()
                found._roots.append(root)
                output = root.clone()
            if tap is self.head:
                found.head_inputs = inputs
            batch, ear = len(found.images), found._ear

            def heard(delta: torch.Tensor) -> None:
                if ear.visit is None:
                    return
                if tap.folded:
                    ear.visit(tap, _unfolded(inputs, batch), _unfolded(delta, batch))
                else:
                    ear.visit(tap, inputs, delta)

            output.register_hook(heard)
            return output

        return listen

    def _probe(self, example: torch.Tensor) -> None:
        # Other values than the example's own: zeros or equal images would hide faults.
        generator = torch.Generator().manual_seed(0)
        images = example + 0.1 * torch.randn(example.shape, generator=generator).to(example)
        names = {id(p): name for name, p in self.parameters.items()}
        for name, module in self.model.named_modules():
            own = {
                local: names[id(p)] for local, p in module.named_parameters(recurse=False) if id(p) in names
            }
            kernel = kernel_for(module)
            if own and kernel:
                self.taps[name] = Tap(name, module, kernel, own)
        used = self._called_once(images)
        self.taps = {name: tap for name, tap in self.taps.items() if name in used}

        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        logits = self.model(images)
        if not torch.equal(logits, self.model(images)):
            raise SaltflatError(
                "The model gives different values for the same input twice, so its gradients can't be "
                "compared between samples. Make its forward pass deterministic."
            )
        direction = torch.randn(logits.shape, generator=generator).to(logits)
        expected = []
        for sample in range(2):
            own = torch.autograd.grad(
                (logits[sample] * direction[sample]).sum(),
                list(self.parameters.values()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            expected.append(dict(zip(self.parameters, own, strict=True)))
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)

        right: set[str] = set()

        def compare(tap: Tap, inputs: torch.Tensor, delta: torch.Tensor) -> None:
            got = tap.kernel.gradients(tap.module, inputs, delta)
            if all(_agree(got[local], expected, name) for local, name in tap.parameters.items()):
                right.add(tap.name)
                tap.floats = inputs[0].numel() * _patch_factor(tap.module) + sum(
                    got[local][0].numel() for local in tap.parameters
                )

        if self.taps:
            self.forward(images).backward(direction, compare)
        self.taps = {name: tap for name, tap in self.taps.items() if name in right}
        served = {name for tap in self.taps.values() for name in tap.parameters.values()}
        self.leftover = [name for name in self.parameters if name not in served]
        self.head = self.taps.get(self._head_name) if self._head_name else None

    def _called_once(self, images: torch.Tensor) -> set[str]:
        """Modules that run once with the batch as first axis; also notes the head and the activations."""
        calls: dict[str, int] = {}
        outputs: dict[str, torch.Tensor] = {}

        def count(name: str, tap: Tap | None):
            def hook(_module, args, output):
                if not isinstance(output, torch.Tensor):
                    return
                self.activation_floats += output.numel() // len(images)
                if tap is None or not args or not isinstance(args[0], torch.Tensor):
                    return
                calls[name] = calls.get(name, 0) + 1
                outputs[name] = output
                if len(output) != len(images):
                    tap.folded = len(output) % len(images) == 0 and isinstance(
                        tap.module, nn.Linear | nn.LayerNorm
                    )
                    calls[name] += 0 if tap.folded else 2
                elif isinstance(tap.module, nn.Linear) and args[0].dim() == 2:
                    tap.floats = -1  # may be the head

            return hook

        leaves = [(n, m) for n, m in self.model.named_modules() if not any(m.children()) or n in self.taps]
        handles = [m.register_forward_hook(count(n, self.taps.get(n))) for n, m in leaves]
        try:
            logits = self.model(images)
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(images):
            shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise SaltflatError(
                f"The model gives {shape} for {len(images)} inputs; logits (B, K) are needed."
            )
        self._head_name = next(
            (
                n
                for n, out in outputs.items()
                if out is logits and calls[n] == 1 and self.taps[n].floats == -1
            ),
            None,
        )
        return {name for name, number in calls.items() if number == 1}


def _unfolded(values: torch.Tensor, batch: int) -> torch.Tensor:
    """(batch · windows, …, d) as (batch, positions, d)."""
    return values.reshape(batch, -1, values.shape[-1])


def _agree(got: torch.Tensor, expected: list[Gradients], name: str) -> bool:
    wanted = torch.stack([gradients[name] for gradients in expected])
    if got.shape != wanted.shape:
        return False
    return bool((got - wanted).norm() <= 1e-3 * wanted.norm() + 1e-7)


def _patch_factor(module: nn.Module) -> int:
    return module.weight[0, 0].numel() if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) else 1
