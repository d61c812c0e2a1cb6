"""Find out on two inputs which layers a kernel serves, where the head is, and what a sample costs."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.layers.passes import Pass, Tap, listening
from fvm_core.layers.registry import Gradients, Inputs, kernel_for

_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Conv3d


class Probe:
    """What two random inputs tell about a model whose parameters are frozen.

    Attributes:
        images: the inputs (2, …): the example with a little noise, for zeros or equal images would hide
            faults.
        taps: by module name, the layers whose kernel gives the gradients that autograd gives.
        leftover: names of the parameters that none of them serves.
        head: the last Linear layer where its output are the logits and its input is (B, C), else None.
        classes: K.
        activation_floats: values of one sample's layer outputs together.

    Raises:
        SaltflatError: the model gives no logits (B, K), or other ones for the same inputs.
    """

    def __init__(self, model: nn.Module, parameters: dict[str, nn.Parameter], example: torch.Tensor):
        self._model, self._parameters = model, parameters
        self._generator = torch.Generator().manual_seed(0)
        self.images = example[:2] if len(example) > 1 else example.expand(2, *example.shape[1:])
        if self.images.is_floating_point():
            noise = torch.randn(self.images.shape, generator=self._generator)
            self.images = self.images + 0.1 * noise.to(self.images)
        self.activation_floats = 0
        self.head: Tap | None = None
        self.taps = self._with_kernels()
        logits = self._count_calls()
        self.classes = logits.shape[1]
        self._keep_right_ones(logits)
        served = {name for tap in self.taps.values() for name in tap.parameters.values()}
        self.leftover = [name for name in parameters if name not in served]
        self._align(logits)

    def _with_kernels(self) -> dict[str, Tap]:
        names = {id(p): name for name, p in self._parameters.items()}
        found = {}
        for name, module in self._model.named_modules():
            kernel = kernel_for(module)
            if kernel is not None:
                own = module.named_parameters(recurse=kernel.owns_children)
                served = {local: names[id(p)] for local, p in own if id(p) in names}
                if served:
                    found[name] = Tap(name, module, kernel, served)
        return found

    def _count_calls(self) -> torch.Tensor:
        """Keep the taps that run once with the batch as first axis; note sizes and the head."""
        calls: Counter[str] = Counter()
        outputs: dict[str, torch.Tensor] = {}

        def note(name: str, tap: Tap | None):
            def hook(_module, args, kwargs, output):
                output = output if isinstance(output, torch.Tensor) else output[0]
                self.activation_floats += output.numel() // len(self.images)
                if tap is None:
                    return
                calls[name] += 1 if tap.kernel.serves(args, kwargs) else 2
                outputs[name] = output
                tap.outputs = output.numel() // len(self.images)
                tap.cost = _cost(tap.module, tap.outputs)
                if len(output) != len(self.images):
                    folds = isinstance(tap.module, nn.Linear | nn.LayerNorm)
                    tap.folded = folds and len(output) % len(self.images) == 0
                    calls[name] += 0 if tap.folded else 2
                if isinstance(tap.module, nn.Linear) and args and args[0].dim() == 2 and not tap.folded:
                    heads.append(tap)

            return hook

        heads: list[Tap] = []
        leaves = [(n, m) for n, m in self._model.named_modules() if not any(m.children()) or n in self.taps]
        handles = [m.register_forward_hook(note(n, self.taps.get(n)), with_kwargs=True) for n, m in leaves]
        try:
            logits = self._model(self.images)
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(self.images):
            shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise SaltflatError(
                f"The model gives {shape} for {len(self.images)} inputs; logits (B, K) are needed."
            )
        self.taps = {name: tap for name, tap in self.taps.items() if calls[name] == 1}
        self.head = next((tap for tap in heads if outputs[tap.name] is logits and calls[tap.name] == 1), None)
        return logits

    def _keep_right_ones(self, logits: torch.Tensor) -> None:
        direction = self._direction(logits)
        expected = self._by_autograd(direction)
        right: set[str] = set()

        def compare(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            try:
                got = tap.kernel.gradients(tap.module, inputs, delta)
            except NotImplementedError:
                return
            if all(_agree(got[local], expected, name) for local, name in tap.parameters.items()):
                right.add(tap.name)
                tap.shares = tap.kernel.shares(tap.module, inputs, delta)
                first = inputs if isinstance(inputs, torch.Tensor) else inputs[0]
                tap.floats = first[0].numel() * _patch_factor(tap.module)
                if not (tap.shares or isinstance(tap.module, nn.Linear)):
                    tap.floats += sum(got[local][0].numel() for local in tap.parameters)

        if self.taps:
            self._forward().backward(direction, compare)
        self.taps = {name: tap for name, tap in self.taps.items() if name in right}
        if self.head is not None and self.head.name not in self.taps:
            self.head = None

    def _by_autograd(self, direction: torch.Tensor) -> list[Gradients]:
        """Gradients of `⟨direction, logits⟩` of each input alone."""
        for parameter in self._parameters.values():
            parameter.requires_grad_(True)
        try:
            logits = self._model(self.images)
            if not torch.equal(logits, self._model(self.images)):
                raise SaltflatError(
                    "The model gives different values for the same input twice, so its gradients can't be "
                    "compared between samples. Make its forward pass deterministic."
                )
            found = []
            for sample in range(len(self.images)):
                own = torch.autograd.grad(
                    (logits[sample] * direction[sample]).sum(),
                    list(self._parameters.values()),
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
                found.append(dict(zip(self._parameters, own, strict=True)))
        finally:
            for parameter in self._parameters.values():
                parameter.requires_grad_(False)
        return found

    def _align(self, logits: torch.Tensor) -> None:
        """Mark the taps whose δ is that at the head's input times a factor that no label changes."""
        if self.head is None or len(self.taps) == 1:
            return
        weight = self.head.module.weight.detach()
        found: dict[str, list[torch.Tensor]] = {}
        directions = [self._direction(logits), self._direction(logits)]
        run = self._forward()
        for direction in directions:

            def collect(tap: Tap, _inputs: Inputs, delta: torch.Tensor) -> None:
                found.setdefault(tap.name, []).append(delta)

            run.backward(direction, collect, keep=True)
        first, second = (direction @ weight for direction in directions)
        for name, (one, two) in found.items():
            tap = self.taps[name]
            axis = tap.kernel.channel_axis % one.dim()
            if (
                tap is self.head
                or tap.folded
                or tap.kernel.owns_children
                or one.shape[axis] != weight.shape[1]
            ):
                continue
            shape = [len(one) if d == 0 else weight.shape[1] if d == axis else 1 for d in range(one.dim())]
            left, right = one * second.reshape(shape), two * first.reshape(shape)
            tap.aligned = bool(left.norm() > 0) and bool((left - right).norm() <= 1e-5 * left.norm())

    def _direction(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.randn(logits.shape, generator=self._generator).to(logits)

    def _forward(self) -> Pass:
        run = Pass(len(self.images))
        with listening(self.taps.values(), run):
            run.logits = self._model(self.images)
        return run


def _cost(module: nn.Module, outputs: int) -> int:
    """Multiplications of one sample's gradient, from the number of its output values."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.dim() < 2:
        return sum(p.numel() for p in module.parameters()) + outputs
    return outputs * weight[0].numel()


def _agree(got: torch.Tensor, expected: list[Gradients], name: str) -> bool:
    wanted = torch.stack([gradients[name] for gradients in expected])
    if got.shape != wanted.shape:
        return False
    return bool((got - wanted).norm() <= 1e-3 * wanted.norm() + 1e-7)


def _patch_factor(module: nn.Module) -> int:
    return module.weight[0, 0].numel() if isinstance(module, _CONVOLUTIONS) else 1
