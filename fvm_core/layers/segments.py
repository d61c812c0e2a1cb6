"""A model as a chain of segments, each a function of the tensor that the one before it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import fx, nn

from fvm_core.layers.registry import REFUSALS, kernel_for
from fvm_core.out_of_memory import keep_out_of_memory


@dataclass
class Segment:
    """A part of the model between two tensors (B, …) that all its paths go through.

    Attributes:
        forward: from the tensor below to the tensor above; shares its modules with the model.
        modules: names of the modules that it calls; parameters: names of those that it reads itself.
    """

    forward: nn.Module
    modules: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)

    @classmethod
    def whole(cls, model: nn.Module) -> Segment:
        """The model itself."""
        modules = {name for name, _ in model.named_modules()}
        return cls(model, modules, {name for name, _ in model.named_parameters()})

    def has(self, module: str) -> bool:
        """Whether the module of that name runs in it, by itself or within one that is called as a whole."""
        return any(not name or module == name or module.startswith(f"{name}.") for name in self.modules)

    def uses(self, parameter: str) -> bool:
        """Whether the parameter of that name is part of it."""
        return parameter in self.parameters or self.has(parameter.rpartition(".")[0])


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return kernel_for(m) is not None or super().is_leaf_module(m, module_qualified_name)


def segments_of(model: nn.Module, example: torch.Tensor, cost: dict[str, int]) -> list[Segment]:
    """Cut the model, from input to logits; a single segment where it can't be traced.

    Segments are short near the head, where most labels are dropped, and at most about a sixteenth of the
    whole cost each.

    Args:
        model: in evaluation mode.
        example: a few inputs; the segments have to give the model's own logits on them.
        cost: module name to multiplications of one sample's gradient.
    """
    whole = [Segment.whole(model)]
    try:
        graph = _Tracer().trace(model)
        traced = fx.GraphModule(model, graph)
        cuts = _cuts(traced, example)
        segments = [_segment(traced, nodes) for nodes in _parts(traced, _chosen(traced, cuts, cost))]
        # Shapes that tracing has frozen show at another batch size.
        for batch in (example, torch.cat([example, example[:1]])):
            if not torch.equal(_run(segments, batch), model(batch)):
                return whole
    except (fx.proxy.TraceError, *REFUSALS) as error:  # Python code that looks at values, torch.jit
        keep_out_of_memory(error)
        return whole
    return segments


def _run(segments: list[Segment], values: torch.Tensor) -> torch.Tensor:
    for segment in segments:
        values = segment.forward(values)
    return values


class _Watcher(fx.Interpreter):
    """Runs the graph once and notes which nodes give a tensor (B, …) that nothing writes into."""

    def __init__(self, traced: fx.GraphModule, batch: int):
        super().__init__(traced)
        self.batch = batch
        self.versions: dict[fx.Node, tuple[torch.Tensor, int]] = {}

    def run_node(self, n: fx.Node) -> object:
        value: object = super().run_node(n)
        if isinstance(value, torch.Tensor) and value.dim() > 1 and len(value) == self.batch:
            self.versions[n] = (value, value._version)
        return value

    def untouched(self) -> set[fx.Node]:
        return {node for node, (value, version) in self.versions.items() if value._version == version}


def _cuts(traced: fx.GraphModule, example: torch.Tensor) -> list[fx.Node]:
    """Nodes that every path from input to logits goes through."""
    watcher = _Watcher(traced, len(example))
    watcher.run(example)
    usable = watcher.untouched()
    nodes = [node for node in traced.graph.nodes if node.op != "get_attr"]
    position = {node: number for number, node in enumerate(nodes)}
    found, reach = [], 0
    for number, node in enumerate(nodes):
        # `reach`: the last reader of anything before this node.
        if reach <= number and node in usable and node.op not in ("placeholder", "output"):
            found.append(node)
        readers = [position[user] for user in node.users if user in position]
        reach = max([reach, *readers])
    return [node for node in found if not all(user.op == "output" for user in node.users)]


def _chosen(traced: fx.GraphModule, cuts: list[fx.Node], cost: dict[str, int]) -> list[fx.Node]:
    total, above, own = sum(cost.values()), 0, 0
    wanted, chosen = set(cuts), []
    for node in reversed(list(traced.graph.nodes)):
        if node in wanted and own and own >= min(total / 16, above / 2):
            chosen.append(node)
            above, own = above + own, 0
        own += cost.get(str(node.target), 0) if node.op == "call_module" else 0
    if chosen and not own:
        chosen.pop()  # nothing below it has parameters
    return chosen[::-1]


def _parts(traced: fx.GraphModule, cuts: list[fx.Node]) -> list[list[fx.Node]]:
    ends = set(cuts)
    parts: list[list[fx.Node]] = [[]]
    for node in traced.graph.nodes:
        if node.op == "get_attr":
            continue
        parts[-1].append(node)
        if node in ends:
            parts.append([])
    return parts


def _segment(traced: fx.GraphModule, nodes: list[fx.Node]) -> Segment:
    graph, segment = fx.Graph(), Segment(nn.Identity())
    entry = graph.placeholder("values")
    copied: dict[fx.Node, fx.Node] = {}

    def take(node: fx.Node) -> fx.Node:
        """The node in the new graph: a parameter, one of this segment, or else what comes from below."""
        if node not in copied and node.op == "get_attr":
            copied[node] = graph.node_copy(node)
            segment.parameters.add(str(node.target))
        return copied.get(node, entry)

    result = entry
    for node in nodes:
        if node.op == "output":
            result = take(node.all_input_nodes[0])
        elif node.op != "placeholder":
            copied[node] = result = graph.node_copy(node, take)
            if node.op == "call_module":
                segment.modules.add(str(node.target))
    graph.output(result)
    segment.forward = fx.GraphModule(traced, graph)
    return segment
