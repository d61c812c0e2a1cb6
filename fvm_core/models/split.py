"""Cut a network into a body that stays as it is and a tail that is trained, tuned and rated."""

from __future__ import annotations

import torch
from torch import fx, nn

from fvm_core.errors import SaltflatError
from fvm_core.layers.registry import REFUSALS
from fvm_core.models.blocks import block_names
from fvm_core.models.plain import BLOCKS, keep_buffers, traced
from fvm_core.out_of_memory import keep_out_of_memory


def count_blocks(model: nn.Module) -> int:
    """How many blocks the model has: the largest N of `--train-part last:N`; 0 where it has none."""
    return len(_blocks(model))


def split(model: nn.Module, blocks: int, example: torch.Tensor) -> tuple[nn.Module, nn.Module]:
    """Cut a model before its last blocks, so that `tail(body(images)) == model(images)` in every bit.

    Both parts share the model's parameters, under the model's names, and are in evaluation mode. The tail's
    modules are torch's plain layers (see `plain`), so that kernels serve them.

    Args:
        model: logits (B, K) for images (B, C, H, W); it is put into evaluation mode.
        blocks: N ≥ 1, how many blocks of the end (residual, inverted residual, transformer blocks) belong to
            the tail, with all that comes after them.
        example: a few images, for their size and for the comparison.

    Returns:
        The body, from images to an activation (B, …), and the tail, from that to logits.

    Raises:
        SaltflatError: the model has not so many blocks, or it can't be cut there.
    """
    model.eval()
    names = _blocks(model)
    if not names:
        raise SaltflatError(
            f"This model ({type(model).__name__}) has no blocks that could be counted, so its last ones "
            "can't be trained alone. Train its head (--train-part head) or all of it (--train-part all)."
        )
    if not 1 <= blocks <= len(names):
        raise SaltflatError(
            f"The last {blocks} blocks can't be trained: this model has {len(names)}. Choose 1 to "
            f"{len(names)} (--train-part last:N)."
        )
    try:
        whole = traced(model, example)
        body, tail = _cut(whole, names[-blocks])
        _compare(model, body, tail, example)
    except (fx.proxy.TraceError, *REFUSALS) as error:
        keep_out_of_memory(error)
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise SaltflatError(
            f"This model can't be cut before its last {blocks} blocks ({reason}). Train its head "
            "(--train-part head) or all of it (--train-part all), or choose another model."
        ) from None
    return body, tail


def _blocks(model: nn.Module) -> list[str]:
    known: list[str] | None = getattr(model, "meta", {}).get(BLOCKS)
    return block_names(model) if known is None else known


def _cut(whole: fx.GraphModule, block: str) -> tuple[nn.Module, nn.Module]:
    """Body and tail of a traced model; the tail begins with the first operation of the block."""
    nodes = list(whole.graph.nodes)
    fixed = _fixed(nodes)
    steps = [node for node in nodes if node not in fixed]
    start = next((n for n, node in enumerate(steps) if block in node.meta.get("nn_module_stack", {})), None)
    if not start:
        raise ValueError(f"its block {block} does not run by itself")
    below, above = set(steps[:start]), steps[start:]
    given = {one for node in above for one in node.all_input_nodes if one in below}
    if len(given) != 1:
        raise ValueError(f"{len(given)} values go into block {block} and what follows")
    entry = given.pop()
    body, tail = fx.Graph(), fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    for node in steps[:start]:
        _take(body, node, copied, fixed)
    body.output(copied[entry])
    copied = {entry: tail.placeholder("activation")}
    for node in above:
        _take(tail, node, copied, fixed)
    parts = fx.GraphModule(whole, body), fx.GraphModule(whole, tail)
    for part in parts:
        keep_buffers(part, whole)
    return parts[0].eval(), parts[1].eval()


def _take(graph: fx.Graph, node: fx.Node, copied: dict[fx.Node, fx.Node], fixed: set[fx.Node]) -> fx.Node:
    """The node in the new graph, with those that depend on no image where it needs them."""
    if node in copied:
        return copied[node]
    for one in node.all_input_nodes:
        if one in fixed:
            _take(graph, one, copied, fixed)
    copied[node] = graph.node_copy(node, copied.__getitem__)
    return copied[node]


def _fixed(nodes: list[fx.Node]) -> set[fx.Node]:
    """Parameters, buffers and what is computed from them alone: a part that needs them has its own."""
    found: set[fx.Node] = set()
    for node in nodes:
        inputs = node.all_input_nodes
        if node.op == "get_attr" or (node.op.startswith("call") and all(one in found for one in inputs)):
            found.add(node)
    return found


def _compare(model: nn.Module, body: nn.Module, tail: nn.Module, example: torch.Tensor) -> None:
    # Shapes that tracing has frozen show at another batch size.
    for batch in (example, torch.cat([example, example[:1]])):
        with torch.no_grad():
            activation = body(batch)
            if not isinstance(activation, torch.Tensor) or len(activation) != len(batch):
                raise ValueError("what goes into the block is no tensor with one row an image")
            version = activation._version
            if not torch.equal(tail(activation), model(batch)):
                raise ValueError("the two parts together give other logits")
            if activation._version != version:
                raise ValueError("it writes into what goes into the block")
