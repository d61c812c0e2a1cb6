"""A model as a graph of plain torch layers, with the parameters and the names that it had."""

from __future__ import annotations

import copy
import inspect

import torch
import torch.nn.functional as F
from torch import fx, nn
from torchvision.models.convnext import LayerNorm2d

from fvm_core.layers.registry import REFUSALS
from fvm_core.models.blocks import block_names
from fvm_core.out_of_memory import keep_out_of_memory

BLOCKS = "blocks"
"""Entry of a traced model's `meta`: names of its blocks, which the graph itself no longer tells."""

_PLAIN: dict[str, type[nn.Module]] = {
    "BatchNormAct2d": nn.BatchNorm2d,
    "Conv2dSame": nn.Conv2d,
    "LayerNorm": nn.LayerNorm,
    "LayerNorm2d": LayerNorm2d,
    "GroupNorm": nn.GroupNorm,
    "GroupNorm1": nn.GroupNorm,
    "Linear": nn.Linear,
}
"""Subclasses of timm's to the layers for which there are kernels (`fvm_core.layers`)."""


class _Tracer(fx.Tracer):
    """Calls layers as they are; what joins them becomes a graph."""

    proxy_buffer_attributes = True  # under their names, not as constants

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        childless = next(m.children(), None) is None
        return childless or _plain_type(m) is not None or super().is_leaf_module(m, module_qualified_name)


def traced(model: nn.Module, example: torch.Tensor) -> fx.GraphModule:
    """The model in evaluation mode as a graph that shares its parameters.

    Layers of timm that are a plain layer and something more (an activation after BatchNorm, TensorFlow's
    padding before a convolution) become the plain layer and an operation beside it: per-sample gradients are
    told at the outputs of plain layers. Names of parameters and buffers stay. The padding is that for
    images of the example's size.

    Args:
        model: any module; it is put into evaluation mode.
        example: images (B, C, H, W).

    Raises:
        fx.proxy.TraceError: Python code that looks at values; another of `REFUSALS` may come as well.
        ValueError: a parameter has no place in the graph.
    """
    if isinstance(model, fx.GraphModule) and BLOCKS in model.meta:
        return model
    model.eval()
    found = fx.GraphModule(model, _graph(model))
    found.meta[BLOCKS] = block_names(model)
    _make_plain(found, example)
    keep_buffers(found, model)
    kept = dict(found.named_parameters(remove_duplicate=False))
    if lost := [name for name, _ in model.named_parameters() if name not in kept]:
        raise ValueError(f"its parameter {lost[0]} is read in a way that can't be followed")
    return found.eval()


def keep_buffers(part: nn.Module, model: nn.Module) -> None:
    """Leave out of a part's state dict the buffers that are left out of the model's."""
    saved = model.state_dict().keys()
    for name, _ in part.named_buffers():
        if name not in saved:
            parent, _, last = name.rpartition(".")
            part.get_submodule(parent)._non_persistent_buffers_set.add(last)


def plain(model: nn.Module, example: torch.Tensor) -> nn.Module:
    """`traced`, or the model itself where it can't be traced to the very same outputs.

    Args:
        model: any module; it is put into evaluation mode.
        example: images (B, C, H, W).
    """
    try:
        found = traced(model, example)
        # Shapes that tracing has frozen show at another batch size.
        batches = (example, torch.cat([example, example[:1]]))
        with torch.no_grad():
            same = all(torch.equal(found(batch), model(batch)) for batch in batches)
        same = same and found.state_dict().keys() == model.state_dict().keys()
    except (fx.proxy.TraceError, *REFUSALS) as error:
        keep_out_of_memory(error)
        return model
    return found if same else model


def _graph(model: nn.Module) -> fx.Graph:
    """All that `model(images)` does; what its forward pass may be given besides has its default."""
    _, *options = inspect.signature(model.forward).parameters.values()
    defaults = {one.name: one.default for one in options if one.kind is one.POSITIONAL_OR_KEYWORD}
    graph = _Tracer().trace(model, defaults)
    _, *rest = [node for node in graph.nodes if node.op == "placeholder"]
    for node in rest:  # only checks of the defaults read them
        _erase(graph, node)
    return graph


def _erase(graph: fx.Graph, node: fx.Node) -> None:
    for user in list(node.users):
        _erase(graph, user)
    graph.erase_node(node)


def _plain_type(module: nn.Module) -> type[nn.Module] | None:
    kind = type(module)
    return _PLAIN.get(kind.__name__) if kind.__module__.startswith("timm.layers.") else None


class _Sizes(fx.Interpreter):
    """Runs the graph and notes height and width of what each node gives."""

    def __init__(self, module: fx.GraphModule):
        super().__init__(module)
        self.found: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.found[n] = value.shape[-2:]
        return value


def _make_plain(model: fx.GraphModule, example: torch.Tensor) -> None:
    nodes = [node for node in model.graph.nodes if node.op == "call_module"]
    nodes = [node for node in nodes if _plain_type(model.get_submodule(node.target)) is not None]
    if not nodes:
        return
    sizes = _Sizes(model)
    with torch.no_grad():
        sizes.run(example[:1])
    # Inputs change as operations are put before and after layers.
    given = {node: sizes.found[node.all_input_nodes[0]] for node in nodes}
    for node in nodes:
        module = model.get_submodule(node.target)
        kind = _plain_type(module)
        if kind is None:  # called twice, and plain since the first time
            continue
        if type(module).__name__ == "Conv2dSame":
            _pad_before(model.graph, node, _same_padding(module, given[node]))
        if type(module).__name__ == "BatchNormAct2d":
            _call_after(model.graph, node, "act")
            _call_after(model.graph, node, "drop")
        layer = copy.copy(module)  # shares the tensors
        layer.__class__ = kind
        parent, _, last = node.target.rpartition(".")
        setattr(model.get_submodule(parent), last, layer)
    model.recompile()


def _same_padding(module: nn.Conv2d, size: torch.Size) -> tuple[int, ...]:
    """Left, right, top, bottom, of which an odd one stands at the end of a side.

    A side of n pixels gets `max(0, (⌈n / s⌉ − 1) s + (k − 1) d + 1 − n)` at stride s, kernel k, dilation d.
    """
    found: list[int] = []
    for n, k, s, d in zip(size, module.kernel_size, module.stride, module.dilation, strict=True):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        found = [total // 2, total - total // 2, *found]
    return tuple(found)


def _pad_before(graph: fx.Graph, node: fx.Node, padding: tuple[int, ...]) -> None:
    if any(padding):
        with graph.inserting_before(node):
            added = graph.call_function(F.pad, (node.args[0], padding))
        added.meta = dict(node.meta)
        node.replace_input_with(node.args[0], added)


def _call_after(graph: fx.Graph, node: fx.Node, child: str) -> None:
    """Call a child of the node's module on what the node gives."""
    with graph.inserting_after(node):
        added = graph.call_module(f"{node.target}.{child}", (node,))
    added.meta = dict(node.meta)
    node.replace_all_uses_with(added, delete_user_cb=lambda user: user is not added)
