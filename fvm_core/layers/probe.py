"""Find out on two inputs which layers a kernel serves, where the head is, and what a sample costs."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Collection
from functools import reduce
from typing import Any

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.layers.conditions import check_alone, different, no_gradient
from fvm_core.layers.passes import LinearTap, Pass, Tap, listening
from fvm_core.layers.reference import Reference
from fvm_core.layers.registry import REFUSALS, Inputs, exact, first, kernel_for
from fvm_core.out_of_memory import keep_out_of_memory

_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Conv3d


_DIRECTIONS = 2
_CLOSE = {torch.float64: 1e-8, torch.float32: 5e-3}
"""Largest relative difference of two ways to the same `Σ D g²`, twice that of the gradients: far above the
rounding of deep models, far below that of a wrong formula. Of lower precisions `_CLOSE_LOW`."""

_CLOSE_LOW = 0.25

_LEFT = 1e-10
"""Of the sum over all parameters, what rounding leaves of one that vanishes and no kernel serves."""

_ROUNDING = 1e-6
"""Relative to the largest value that a gradient could have for its δ and inputs, what rounding leaves of one
that vanishes."""


class Probe:
    """What a few inputs tell about a model whose parameters are frozen.

    Attributes:
        images: the inputs (2, …): one as it was given, and one with a little noise, for equal images or
            zeros would hide faults.
        directions: (2, 2, K) at random, each a gradient of the inputs' logits.
        reference: see `Reference`.
        taps: by module name, the layers whose kernel gives the gradients that autograd gives.
        leftover: names of the parameters that none of them serves; unused: of those without a gradient.
        head: the last Linear layer where its output are the logits and its input is (B, C), else None.
        classes: K.
        activation_floats: values of one sample's layer outputs together.
        slack: by parameter name, the `Σ D g²` (2, 2) that rounding alone may make.
        doubted: autograd had other gradients than a kernel.

    Raises:
        SaltflatError: see `check_logits` and `check_alone`.
    """

    def __init__(self, model: nn.Module, parameters: dict[str, nn.Parameter], example: torch.Tensor):
        self._model, self._parameters = model, parameters
        self._generator = torch.Generator().manual_seed(0)
        self.images = different(example, self._generator)
        self.activation_floats = 0
        self.head: LinearTap | None = None
        self.slack: dict[str, torch.Tensor] = {}
        self.doubted = False
        self._aliases = self._names()
        check_alone(model, self.images)
        self.taps = self._with_kernels()
        logits = self._count_calls()
        self.classes = logits.shape[1]
        shape = (_DIRECTIONS, *logits.shape)
        self.directions = torch.randn(shape, generator=self._generator).to(logits)
        try:
            self.reference = Reference(model, parameters, self.images, self.directions, self._generator)
        except REFUSALS as error:
            keep_out_of_memory(error)
            raise no_gradient(error) from None
        self.unused = self.reference.unused
        if len(self.unused) == len(parameters):
            raise SaltflatError(
                "The model's logits depend on none of its trainable parameters, so there is no influence "
                "to compute. Look for no_grad() or detach() in its forward pass."
            )
        self._keep_right_ones()
        self.sort()
        self._align(logits)

    def sort(self) -> None:
        """`leftover` and `head`, from the taps that there are."""
        served = {name for tap in self.taps.values() for name in tap.parameters.values()} | self.unused
        self.leftover = [name for name in self._parameters if name not in served]
        if self.head is not None and self.head.name not in self.taps:
            self.head = None
        if self.head is None:
            for tap in self.taps.values():
                tap.aligned = False

    def names(self, parameter: str) -> list[str]:
        """Every name of a parameter, those of modules that share it included."""
        return self._aliases[id(self._parameters[parameter])]

    def agrees(self, names: Collection[str], line: int, values: torch.Tensor) -> bool:
        """Whether `Σ D g²` (B,) of some parameters together is what autograd has for direction `line`."""
        expected = reduce(operator.add, (self.reference.values[name][line] for name in names))
        difference = (exact(values) - expected).abs()
        return bool((difference <= self.close * expected + self.room(names, line)).all())

    @property
    def close(self) -> float:
        """Largest relative difference that counts as the same."""
        return _CLOSE.get(self.directions.dtype, _CLOSE_LOW)

    def room(self, names: Collection[str], line: int) -> torch.Tensor:
        """The `Σ D g²` (B,) of some parameters that rounding alone may make."""
        # Where no kernel was asked: what rounding leaves of all gradients together.
        every = _LEFT * reduce(operator.add, (values[line] for values in self.reference.values.values()))
        return reduce(
            operator.add, (self.slack[name][line] if name in self.slack else every for name in names)
        )

    def _names(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            found.setdefault(id(parameter), []).append(name)
        return found

    def _with_kernels(self) -> dict[str, Tap]:
        names = {id(p): name for name, p in self._parameters.items()}
        found: dict[str, Tap] = {}
        for name, module in self._model.named_modules():
            kernel = kernel_for(module)
            if kernel is not None:
                own = module.named_parameters(recurse=kernel.owns_children)
                served = {local: names[id(p)] for local, p in own if id(p) in names}
                if served and isinstance(module, nn.Linear):
                    found[name] = LinearTap(name, module, kernel, served)
                elif served:
                    found[name] = Tap(name, module, kernel, served)
        return found

    def _count_calls(self) -> torch.Tensor:
        """Keep the taps that run once with the batch as first axis; note sizes and the head."""
        calls: Counter[str] = Counter()
        outputs: dict[str, torch.Tensor] = {}
        versions: dict[str, int] = {}

        def note(
            name: str, tap: Tap | None
        ) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], object], None]:
            def hook(
                _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], given: object
            ) -> None:
                output = _first(given)
                if output is None:
                    calls[name] += 2
                    return
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
                versions[name] = _version(output)
                if isinstance(tap, LinearTap) and args and args[0].dim() == 2 and not tap.folded:
                    heads.append(tap)

            return hook

        heads: list[LinearTap] = []
        modules = list(self._model.named_modules())
        compiled = [m for _n, m in modules if isinstance(m, torch.jit.ScriptModule)]  # take no hooks
        leaves = [
            (n, m) for n, m in modules if (not any(m.children()) or n in self.taps) and m not in compiled
        ]
        handles = [m.register_forward_hook(note(n, self.taps.get(n)), with_kwargs=True) for n, m in leaves]
        try:
            logits: torch.Tensor = self._model(self.images)
        finally:
            for handle in handles:
                handle.remove()
        if compiled:
            self.activation_floats += self._saved_floats()
        self.taps = {name: tap for name, tap in self.taps.items() if calls[name] == 1}
        # The same tensor, into which nothing was written since.
        for tap in heads:
            untouched = outputs[tap.name] is logits and versions[tap.name] == _version(logits)
            if untouched and calls[tap.name] == 1:
                self.head = tap
        return logits

    def _saved_floats(self) -> int:
        """Values of one sample that autograd keeps for the way back."""
        count = 0

        def note(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal count
            count += tensor.numel() if len(tensor.shape) and len(tensor) == len(self.images) else 0
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            self._model(self.images.clone().requires_grad_(self.images.is_floating_point()))
        return count // len(self.images)

    def _keep_right_ones(self) -> None:
        right: set[str] = set()

        def compare(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            try:
                got = tap.kernel.gradients(tap.module, inputs, delta)
            except REFUSALS as error:
                keep_out_of_memory(error)
                return
            if not all(local in got for local in tap.parameters):  # a weight that a hook computes
                return
            if any(self._served_elsewhere(tap, name) for name in tap.parameters.values()):
                return
            self._note_slack(tap, inputs, delta)
            weighted = {
                name: self.reference.weighted(name, got[local]) for local, name in tap.parameters.items()
            }
            if not all(self.agrees([name], 0, value) for name, value in weighted.items()):
                self.doubted = True
            else:
                right.add(tap.name)
                tap.shares = tap.kernel.shares(tap.module, inputs, delta)
                tap.floats = first(inputs)[0].numel() * _patch_factor(tap.module)
                if not (tap.shares or isinstance(tap.module, nn.Linear)):
                    tap.floats += sum(got[local][0].numel() for local in tap.parameters)

        try:
            if self.taps:
                self._forward().backward(self.directions[0], compare)
        except REFUSALS as error:  # such as a forward pass that is done again on the way back
            keep_out_of_memory(error)
            right.clear()
        self.taps = {name: tap for name, tap in self.taps.items() if name in right}
        served = [name for tap in self.taps.values() for name in tap.parameters.values()]
        self.slack = {name: self.slack[name] for name in served}

    def _served_elsewhere(self, tap: Tap, name: str) -> bool:
        """Whether the model reads a layer's parameter beside the layer, even behind a closed gate."""
        if len(self.names(name)) > 1 and not self._one_module(name):
            return True
        return self.reference.uses[name] != 1 and not tap.kernel.owns_children

    def _one_module(self, name: str) -> bool:
        """Whether all names of a parameter lead to one attribute of one module, which has several names."""
        owners = {
            (id(self._model.get_submodule(path)), local)
            for path, _dot, local in (other.rpartition(".") for other in self.names(name))
        }
        return len(owners) == 1

    def _note_slack(self, tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
        x, d = first(inputs).reshape(len(delta), -1), exact(delta.reshape(len(delta), -1))
        size = exact(x).square().sum(1) + x.shape[1] if x.is_floating_point() else x.shape[1]
        rounding = (_ROUNDING * torch.finfo(delta.dtype).eps / torch.finfo(torch.float32).eps) ** 2
        values = (rounding * d.square().sum(1) * size).expand(_DIRECTIONS, -1)
        for name in tap.parameters.values():
            self.slack[name] = values

    def _align(self, logits: torch.Tensor) -> None:
        """Mark the taps whose δ is that at the head's input times a factor that no label changes."""
        if self.head is None or len(self.taps) == 1:
            return
        weight = self.head.module.weight.detach()
        found: dict[str, list[torch.Tensor]] = {}
        directions = list(self.directions)
        run = self._forward()
        for direction in directions:

            def collect(tap: Tap, _inputs: Inputs, delta: torch.Tensor) -> None:
                found.setdefault(tap.name, []).append(delta)

            run.backward(direction, collect, keep=True)
        v_one, v_two = (direction @ weight for direction in directions)
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
            left, right = one * v_two.reshape(shape), two * v_one.reshape(shape)
            tap.aligned = bool(left.norm() > 0) and bool((left - right).norm() <= 1e-5 * left.norm())

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


def _patch_factor(module: nn.Module) -> int:
    return module.weight[0, 0].numel() if isinstance(module, _CONVOLUTIONS) else 1


def _version(values: torch.Tensor) -> int:
    """How often something was written into a tensor."""
    return 0 if values.is_inference() else values._version


def _first(output: object) -> torch.Tensor | None:
    """What a layer gives, or the first of what it gives; None where that is no tensor (B, …)."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) and output.dim() else None
