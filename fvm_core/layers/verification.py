"""Whether every kind of pass through a tapped model gives what plain autograd gives, on a probe's inputs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from fvm_core.layers.passes import Tap
from fvm_core.layers.probe import Probe
from fvm_core.layers.registry import Gradients, Inputs, exact

if TYPE_CHECKING:
    from fvm_core.layers.tapped import TappedModel


def fault(tapped: TappedModel, probe: Probe) -> str | None:
    """What is wrong with the way in which a model is taken, None where nothing is.

    Every layer has to be heard once in every pass: in that of the given label and the Fisher information, on
    the way down through the segments with several labels at once, and in the product that all labels share.
    What is heard has to make up the `Σ D g²` of autograd, layer by layer.

    Args:
        tapped: set up in one way.
        probe: its inputs, directions and reference.
    """
    return _backward(tapped, probe) or _descent(tapped, probe) or _head(tapped, probe)


def _backward(tapped: TappedModel, probe: Probe) -> str | None:
    sums = _Sums(tapped, probe)
    squares: Gradients = {}

    def visit(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
        sums.add(tap, tap.kernel.quadratic(tap.module, inputs, delta, _weights(tap, probe)))
        found = tap.kernel.square_sum(tap.module, inputs, delta)
        squares.update({name: found[local] for local, name in tap.parameters.items()})

    tapped.forward(probe.images).backward(probe.directions[0], visit)
    return sums.wrong(0) or _wrong_squares(probe, squares)


def _wrong_squares(probe: Probe, squares: Gradients) -> str | None:
    for name, value in squares.items():
        expected = probe.reference.values[name][0].sum()
        got = (exact(value) * exact(probe.reference.weights[name])).sum()
        if not abs(got - expected) <= probe.close * expected + probe.room([name], 0).sum():
            return f"the Fisher information of `{name}` is not that of autograd"
    return None


def _descent(tapped: TappedModel, probe: Probe) -> str | None:
    run = tapped.forward(probe.images)
    run.release()
    deltas = probe.directions.transpose(0, 1)
    sums = [_Sums(tapped, probe) for _ in probe.directions]

    def visit(tap: Tap, inputs: Inputs, delta: torch.Tensor, part: slice) -> None:
        found = tap.kernel.quadratic_many(tap.module, inputs, delta, _weights(tap, probe))
        for place, own in enumerate(sums[part]):
            own.add(tap, found[:, place])

    for index in reversed(range(tapped.lowest, len(tapped.segments))):
        below = tapped.descend(index, run.boundaries[index], deltas, visit)
        if below is not None:
            deltas = below
    return next((wrong for line, own in enumerate(sums) if (wrong := own.wrong(line))), None)


def _head(tapped: TappedModel, probe: Probe) -> str | None:
    """The logits from the head's input, and what layers give that all labels share."""
    if tapped.head is None:
        return None
    run, head = tapped.forward(probe.images), tapped.head.module
    again = F.linear(run.head_inputs.detach(), head.weight, head.bias)
    if not (again - run.logits.detach()).norm() <= probe.close * run.logits.detach().norm():
        return "the logits are not the output of the last layer"
    for tap, inputs, m in run.aligned():
        shared = tap.kernel.channel_quadratic(tap.module, inputs, m, _weights(tap, probe))
        for line, direction in enumerate(probe.directions):
            v = (direction @ head.weight.detach()).square()
            if not probe.agrees(tap.parameters.values(), line, (v * shared).sum(1)):
                return f"what all labels share in `{tap.name}` is not what autograd gives"
    return None


def _weights(tap: Tap, probe: Probe) -> Gradients:
    return {local: probe.reference.weights[name] for local, name in tap.parameters.items()}


class _Sums:
    """`Σ D g²` by tap as it comes in, and how often each parameter came."""

    def __init__(self, tapped: TappedModel, probe: Probe):
        self._probe = probe
        self._expected = [name for name in tapped.parameters if name not in probe.unused]
        self._values: list[tuple[Tap, torch.Tensor]] = []
        self._times: Counter[str] = Counter()

    def add(self, tap: Tap, values: torch.Tensor) -> None:
        self._values.append((tap, values.detach()))
        self._times.update(tap.parameters.values())

    def wrong(self, line: int) -> str | None:
        for name in self._expected:
            if self._times[name] != 1:
                return f"`{name}` is met {self._times[name]} times on the way back"
        for tap, values in self._values:
            names = list(tap.parameters.values())
            if not self._probe.agrees(names, line, values):
                others = f" and {len(names) - 1} more" if len(names) > 1 else ""
                return f"the gradient of `{names[0]}`{others} is not that of autograd"
        return None
