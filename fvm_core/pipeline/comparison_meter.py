"""How far all estimators of a run are."""

from __future__ import annotations

from fvm_core.estimators import Estimator
from fvm_core.estimators.costs import Sizes
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.estimator_costs import figure_phases, phases_of
from fvm_core.pipeline.figures import FIGURES


class Meter:
    """How much of all estimators' work is done, in forward passes of a sample."""

    def __init__(self, context: Context, kinds: list[type[Estimator]]):
        sizes = Sizes(len(context.rated), len(context.val_inputs.usable()), context.config)
        self._progress = context.progress
        self._costs = {kind.name: phases_of(kind, sizes) for kind in kinds}
        if context.config.compare.figures:
            self._costs[FIGURES] = figure_phases(sizes)
        self._total = sum(sum(costs.values()) for costs in self._costs.values())
        self._done, self._now, self._reached = 0.0, {}, {}
        self.tell("", 0, 1)

    def begin(self, *names: str) -> None:
        """The next estimators start; those before are done."""
        self._done += sum(self._now.values())
        self._now, self._reached = {}, {}
        for name in names:
            for phase, cost in self._costs[name].items():
                self._now[phase] = self._now.get(phase, 0.0) + cost

    def tell(self, phase: str, done: int, total: int) -> None:
        """Note how far a phase is; a phase that comes again counts once, as far as it got."""
        if total:
            self._reached[phase] = max(self._reached.get(phase, 0.0), done / total)
        within = sum(cost * self._reached.get(name, 0.0) for name, cost in self._now.items())
        self._progress.update("compare", int(self._done + within), int(self._total))

    def end(self) -> None:
        """Everything is done."""
        self._progress.update("compare", int(self._total), int(self._total))
