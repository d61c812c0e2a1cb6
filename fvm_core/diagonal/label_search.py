"""The labels with the smallest influence, exact, by bounds that grow from the head down (22)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fvm_core.diagonal.residuals import logits_of, probabilities, residual
from fvm_core.errors import SaltflatError
from fvm_core.layers.passes import Tap, Visit, VisitMany
from fvm_core.layers.registry import Gradients, Inputs
from fvm_core.layers.tapped import TappedModel

_CAUTION = 1e-5
"""Bounds are lowered by this share, since they are summed in another order than the exact values."""

_LABELS = 16
"""Most labels of a sample that go down together."""

_PAIRS = 2**26
"""Most values of δ between segments (256 MiB)."""

_TOGETHER = 8
"""Samples that go down together whatever their numbers of labels: smaller batches are slow."""

_FLOATS = 2**26
"""Most values of δ that one segment holds at once (256 MiB)."""

HELD_BYTES = 4 * (_PAIRS + _FLOATS)
"""Most memory that labels on their way down take beside a batch."""


@dataclass
class LabelInfluence:
    """Influence of every candidate label of some samples.

    Attributes:
        values: (B, K), `I((x, k))` where `exact`, else a lower bound of it.
        exact: (B, K) bool.
        probabilities: (B, K), softmax of the logits.
        work: (B,), backward passes spent, in full ones; parts of the way down count by their share of the
            multiplications.
    """

    values: torch.Tensor
    exact: torch.Tensor
    probabilities: torch.Tensor
    work: torch.Tensor

    @classmethod
    def joined(cls, parts: list[LabelInfluence]) -> LabelInfluence:
        """Those of several batches as one."""
        names = ("values", "exact", "probabilities", "work")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    @classmethod
    def empty(cls, classes: int, device: torch.device) -> LabelInfluence:
        """That of no samples."""
        values = torch.zeros(0, classes, device=device)
        return cls(values, values.bool(), values, torch.zeros(0, device=device))

    @property
    def evaluations(self) -> torch.Tensor:
        """(B,) labels whose influence is exact."""
        return self.exact.sum(1)

    def smallest(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Influence and labels (B, count) of the exact ones, smallest first."""
        found = self.values.masked_fill(~self.exact, torch.inf).topk(count, dim=1, largest=False)
        return found.values, found.indices

    @property
    def best(self) -> torch.Tensor:
        """(B,) the label with the smallest influence."""
        return self.smallest(1)[1][:, 0]

    @property
    def margin(self) -> torch.Tensor:
        """(B,) influence of the second smallest label minus that of the smallest.

        Raises:
            SaltflatError: of some sample fewer than two labels are exact.
        """
        if bool((self.evaluations < 2).any()):
            raise SaltflatError(
                "The margin is the distance of the two smallest values, and only one is known: use exact=2."
            )
        values = self.smallest(2)[0]
        return values[:, 1] - values[:, 0]


class LabelSearch:
    """Finds the smallest of `I_k = d_kᵀ A d_k`, `d_k = p − e_k`, of one batch without all K backward passes.

    Every parameter tensor adds a non-negative term, so any partial sum bounds I_k from below, and a label
    whose bound exceeds the smallest full values is dropped. Three bounds, each exact by construction:

    1. The head's term is known for all K from the forward pass.
    2. Where `δ_ct = v_c m_ct` with `v = Wᵀd` at the head's input and m the same for every label (the last
       convolution before average pooling, the layer before a ReLU and the head), a layer's term is
       `Σ_c v_kc² q_c`, and one product `q_c = Σ D G(m)²` serves all K.
    3. Labels that are left walk down segment by segment in one batch of (sample, label) pairs.

    Where the head is all that is trained, as on features, the first bound is the influence itself: all K are
    exact at once, by two matrix products.

    Args:
        tapped: the model; weights: D = 1/(F + λ) by parameter name; images: the batch (B, …).
    """

    def __init__(self, tapped: TappedModel, weights: Gradients, images: torch.Tensor):
        self._tapped = tapped
        self._weights = weights
        self._run = tapped.forward(images)
        logits = logits_of(tapped, self._run)
        self._p = probabilities(logits)
        self._shares = tapped.segment_cost()
        # Terms of aligned taps, by channel of the head's input: (B, C), zeros where there is none.
        self._channels = self._channel_terms()
        whole = tapped.head_alone
        bounds = self._head_values() if whole else self._bounds()
        # Most promising labels first, by the bounds, or by probability where there is no head to give them.
        self._order = (-self._p if tapped.head is None else bounds).argsort(1)
        self.values = bounds.to(logits.dtype)
        self.exact = torch.full_like(self.values, whole, dtype=torch.bool)
        self.work = torch.full((len(images),), float(whole), device=images.device)
        self._batch = len(images)

    @classmethod
    def joined(cls, searches: list[LabelSearch]) -> LabelSearch:
        """Go on with several batches together: the lower the segment, the fewer labels of each are left."""
        first = searches[0]
        if len(searches) > 1:
            for name in ("_p", "_order", "values", "exact", "work", "_channels"):
                found = [getattr(search, name) for search in searches]
                setattr(first, name, None if found[0] is None else torch.cat(found))
            boundaries = zip(*(search._run.boundaries for search in searches), strict=True)
            first._run.boundaries = [torch.cat(values) for values in boundaries]
        return first

    def tell(self, labels: torch.Tensor, values: torch.Tensor) -> None:
        """Use influence (B,) that is known already; labels (B,) below 0 and NaNs are passed over."""
        rows = torch.nonzero((labels >= 0) & values.isfinite()).flatten()
        self.values[rows, labels[rows]] = values[rows].to(self.values)
        self.exact[rows, labels[rows]] = True

    def everything(self) -> LabelInfluence:
        """All K exact."""
        self._run.release()
        if self._tapped.head_alone:
            return self._result()
        size, count = self.values.shape
        for start in range(0, count, _LABELS):
            labels = torch.arange(start, min(start + _LABELS, count), device=self.values.device)
            rows = torch.arange(size, device=labels.device)
            self._walk(rows.repeat_interleave(len(labels)), labels.repeat(size), None)
        return self._result()

    def begin(self, count: int) -> None:
        """The `count` most promising labels, each for the whole batch where at least half of it needs it."""
        for label in self._order[:, :count].T:
            if not self.exact.gather(1, label[:, None]).float().mean() > 0.5:
                self._evaluate(label, keep=True)
        self._run.release()

    def smallest(self, count: int) -> LabelInfluence:
        """The `count` smallest exact, the others at least bounded; after `begin`."""
        # The promising ones alone first: what was told may be a high value, which drops nothing.
        first = torch.zeros_like(self.exact).scatter_(1, self._order[:, :count], True)
        while True:
            for wanted in (first, torch.ones_like(first)):
                rows, labels = self._candidates(count, wanted)
                if len(rows):
                    self._walk(rows, labels, count)
                    break
            else:
                return self._result()

    def _result(self) -> LabelInfluence:
        return LabelInfluence(self.values, self.exact, self._p.to(self.values.dtype), self.work)

    def _residual(self, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return residual(self._p[rows], labels).to(self.values.dtype)

    def _channel_terms(self) -> torch.Tensor | None:
        total = None
        for tap, inputs, m in self._run.aligned():
            term = tap.kernel.channel_quadratic(tap.module, inputs, m, self._of(tap))
            total = term if total is None else total + term
        return total

    def _head_weights(self) -> torch.Tensor:
        """(B, K) `h` with the head's term of label k being `Σ_i d_ki² h_i`."""
        head, p = self._tapped.head, self._p
        h = torch.zeros_like(p)
        if head is None:
            return h
        weights = {local: value.to(p.dtype) for local, value in self._of(head).items()}
        if "weight" in weights:
            h = h + self._run.head_inputs.detach().to(p.dtype).square() @ weights["weight"].T
        if "bias" in weights:
            h = h + weights["bias"]
        return h

    def _head_values(self) -> torch.Tensor:
        """(B, K) `Σ_i (p_i − [i = k])² h_i`, with all digits where one class has nearly all of p."""
        p, h = self._p, self._head_weights()
        top = p.argmax(1, keepdim=True)
        terms = (p.square() * h).scatter(1, top, 0.0)
        rest = terms.sum(1, keepdim=True)
        p_top, h_top = p.gather(1, top), h.gather(1, top)
        others = p.scatter(1, top, 0.0).sum(1, keepdim=True)  # 1 − p_top, not rounded to 0
        found = (rest - terms).clamp(min=0) + p_top.square() * h_top + (1 - p).square() * h
        return found.scatter(1, top, rest + others.square() * h_top)

    def _bounds(self) -> torch.Tensor:
        """(B, K) the terms of the head and the aligned taps, a little lowered."""
        head, p = self._tapped.head, self._p
        bound = torch.zeros_like(p)
        if head is None:
            return bound
        h = self._head_weights()
        # Σ_i (p_i − [i = k])² h_i; the last two terms replace p_k² by (1 − p_k)².
        bound += (p.square() * h).sum(1, keepdim=True) + (1 - 2 * p) * h
        if self._channels is not None:
            w, q = head.module.weight.detach().to(p.dtype), self._channels.to(p.dtype)
            mean = p @ w
            # Σ_c (mean_c − W_kc)² q_c
            bound += (mean.square() * q).sum(1, keepdim=True) - 2 * (mean * q) @ w.T + q @ w.square().T
        return (bound * (1 - _CAUTION)).clamp(min=0)

    def _aligned_term(self, rows: torch.Tensor | slice, d: torch.Tensor) -> torch.Tensor:
        head = self._tapped.head
        if head is None or self._channels is None:
            return torch.zeros(len(d), device=d.device, dtype=d.dtype)
        v = d @ head.module.weight.detach().to(d.dtype)
        return (v.square() * self._channels[rows]).sum(1)

    def _evaluate(self, labels: torch.Tensor, keep: bool) -> None:
        """One label (B,) of every sample, down to the input."""
        rows = torch.arange(len(labels), device=labels.device)
        d = self._residual(rows, labels)
        total = self._aligned_term(slice(None), d)
        self._run.backward(d, self._adding(total), keep=keep)
        self.values[rows, labels] = total
        self.exact[rows, labels] = True
        self.work += 1

    def _candidates(self, count: int, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pairs (sample, label) among `wanted` (B, K) to walk down next, smallest bounds first."""
        bound = self.values.masked_fill(self.exact, torch.inf)
        worst = self.values.masked_fill(~self.exact, torch.inf).kthvalue(count, 1).values[:, None]
        alive = (bound < worst) & wanted
        ordered = bound.argsort(1)
        rank = torch.empty_like(ordered).scatter_(
            1, ordered, torch.arange(ordered.shape[1], device=ordered.device).expand_as(ordered)
        )
        # Where nothing bounds from above yet, the most promising labels alone.
        missing = (count - self.exact.sum(1, keepdim=True)).clamp(min=0)
        alive &= worst.isfinite() | (rank < missing)
        pairs = torch.nonzero(alive)
        most = max(len(bound), _PAIRS // max(b[0].numel() for b in self._run.boundaries))
        if len(pairs) > most:
            first = rank[pairs[:, 0], pairs[:, 1]].argsort(stable=True)[:most]
            pairs = pairs[first.sort().values]
        return pairs[:, 0], pairs[:, 1]

    def _walk(self, rows: torch.Tensor, labels: torch.Tensor, count: int | None) -> None:
        """Carry pairs, sorted by sample, down until a bound is too high or the input is reached.

        Args:
            rows: samples (R,), sorted.
            labels: candidate labels (R,).
            count: drop a pair once its bound exceeds the `count`-th smallest exact value; None for never.
        """
        tapped, deltas = self._tapped, self._residual(rows, labels)
        partial = self._aligned_term(rows, deltas)
        worst = None
        if count is not None:
            worst = self.values.masked_fill(~self.exact, torch.inf).kthvalue(count, 1).values
        for index in reversed(range(tapped.lowest, len(tapped.segments))):
            below = self._descend(index, rows, deltas, partial)
            share = torch.full((len(rows),), self._shares[index], device=rows.device)
            self.work.index_add_(0, rows, share)
            if below is None:
                break
            deltas = below
            if worst is None:
                continue
            bound = partial * (1 - _CAUTION)
            over = bound > worst[rows]
            if over.any():
                self.values[rows[over], labels[over]] = bound[over]
                rest = ~over
                rows, labels, partial, deltas = rows[rest], labels[rest], partial[rest], deltas[rest]
            if not len(rows):
                return
        self.values[rows, labels] = partial
        self.exact[rows, labels] = True

    def _descend(
        self, index: int, rows: torch.Tensor, deltas: torch.Tensor, partial: torch.Tensor
    ) -> torch.Tensor | None:
        """One segment for all pairs; adds its terms to `partial` (R,) and gives δ (R, …) at its input.

        None in the lowest segment with parameters. Samples with about as many labels go together, so that
        they share forward pass and patches.
        """
        samples, first, own = _grouped(rows)
        even = bool((own == own[0]).all())
        limit = max(1, _FLOATS // max(1, self._tapped.label_floats(index)))
        places: list[torch.Tensor] = []
        found: list[torch.Tensor] = []
        for part in _alike(own.tolist(), max(self._batch, 1), limit):
            wide = int(own[part].max())
            # Where a sample has fewer labels than the widest one, its last is done again.
            place = torch.arange(wide, device=rows.device)[None].minimum(own[part][:, None] - 1)
            places.append(first[part][:, None] + place)
            # With equal numbers all pairs are in order: a view does, without a copy.
            pairs = slice(part.start * wide, part.stop * wide) if even else places[-1]
            given = deltas[pairs].unflatten(0, (-1, wide)) if even else deltas[pairs]
            total = partial.new_zeros(place.shape)
            inputs = self._run.boundaries[index][samples[part]]
            carried = self._tapped.descend(index, inputs, given, self._adding_many(total))
            if carried is not None:
                found.append(carried)
            partial[places[-1]] = partial[places[-1]] + total
        if not found:
            return None
        if even and len(found) == 1:
            return found[0].flatten(0, 1)
        below = found[0].new_empty(len(rows), *found[0].shape[2:])
        for place, values in zip(places, found, strict=True):
            below[place] = values
        return below

    def _adding(self, total: torch.Tensor) -> Visit:
        def add(tap: Tap, inputs: Inputs, delta: torch.Tensor) -> None:
            if not tap.aligned:
                total.add_(tap.kernel.quadratic(tap.module, inputs, delta, self._of(tap)))

        return add

    def _adding_many(self, total: torch.Tensor) -> VisitMany:
        def add(tap: Tap, inputs: Inputs, deltas: torch.Tensor, part: slice) -> None:
            if not tap.aligned:
                total[:, part] += tap.kernel.quadratic_many(tap.module, inputs, deltas, self._of(tap))

        return add

    def _of(self, tap: Tap) -> Gradients:
        return {local: self._weights[name] for local, name in tap.parameters.items()}


def _grouped(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of sorted rows: each one's value, first place and number, those with the most first."""
    samples, number = rows.unique_consecutive(return_counts=True)
    first = number.cumsum(0) - number
    order = number.argsort(descending=True, stable=True)
    return samples[order], first[order], number[order]


def _alike(number: list[int], most: int, limit: int) -> list[slice]:
    """Slices of numbers that fall, none below three quarters of its slice's first, none too large.

    Args:
        number: labels of each sample.
        most: most samples in a slice.
        limit: most samples × labels in a slice, where there is more than one sample.
    """
    found, start = [], 0
    for place, own in enumerate(number):
        widest, size = number[start], place - start
        if size and (
            size >= most or (size + 1) * widest > limit or (4 * own < 3 * widest and size >= _TOGETHER)
        ):
            found.append(slice(start, place))
            start = place
    return [*found, slice(start, len(number))] if number else found
