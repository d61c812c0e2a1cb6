"""The expectation in sentences, for the command line and the screens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fvm_core.acceptance.expected import Expectation
from fvm_core.acceptance.of_run import Outlook
from fvm_core.comparison.evidence import Interval


def sentence(expected: Expectation) -> str:
    """`Of 125 suggestions about 104 are right (96 to 112); wrong labels: about 253 → 168, 85 fewer (…)`.

    How many labels are wrong in all is told without an interval: where people mislabel what is hard to tell
    apart there are more than the estimates can see, while the difference holds.
    """
    if not expected.accepted:
        return f"No suggestion is accepted; about {spoken(expected.before)} labels are wrong."
    one = expected.accepted == 1
    start = "Of 1 suggestion" if one else f"Of {expected.accepted:,} suggestions"
    verb = "is" if round(expected.right.value) == 1 else "are"
    return (
        f"{start} about {expected.right.value:,.0f} {verb} right ({expected.right.low:,.0f} to "
        f"{expected.right.high:,.0f}); wrong labels: about {expected.before.value:,.0f} → "
        f"{expected.after.value:,.0f}, {_difference(expected.gain)}."
    )


def _difference(gain: Interval) -> str:
    """`85 fewer (70 to 95)`, `12 more (−3 to 20)`."""
    if gain.value >= 0:
        low, high = (f"{value:,.0f}".replace("-", "−") for value in (gain.low, gain.high))
        return f"{gain.value:,.0f} fewer ({low} to {high})"
    low, high = (f"{value:,.0f}".replace("-", "−") for value in (-gain.high, -gain.low))
    return f"{-gain.value:,.0f} more ({low} to {high})"


def spoken(number: Interval) -> str:
    """`168 (150 to 190)`."""
    return f"{number.value:,.0f} ({number.low:,.0f} to {number.high:,.0f})"


def warning(expected: Expectation) -> str | None:
    """What to mind before accepting: more wrong labels than before, or perhaps; None if there are fewer."""
    if not expected.accepted or expected.gain.low > 0:
        return None
    remedy = "Accept only where suggestions are right often enough, or review them."
    if expected.gain.value <= 0:
        more = -expected.gain.value
        what = f"about {more:,.0f} more labels would be wrong" if round(more) else "no fewer would be wrong"
        return f"This makes the labels worse, not better: {what} than before. {remedy}"
    return f"This may make the labels worse: up to {-expected.gain.low:,.0f} more could be wrong. {remedy}"


def told(
    outlook: Outlook, accepted: NDArray[np.bool_], undecided: NDArray[np.bool_]
) -> tuple[str, str | None]:
    """What is expected of accepting some samples' suggestions, in words, and a warning or None.

    Args:
        outlook: of the run.
        accepted: (N,).
        undecided: (N,) samples that nobody has decided on.
    """
    expected = outlook.expect(accepted, undecided)
    if expected is not None:
        return sentence(expected), warning(expected)
    wrong = outlook.flagged_wrong(accepted)
    if wrong is None:
        return outlook.reason, None
    number = int(accepted.sum())
    shown = (
        f"Of {number:,} labels that would be replaced about {number * wrong.value:,.0f} are wrong "
        f"({number * wrong.low:,.0f} to {number * wrong.high:,.0f}), by what was planted; no more "
        f"suggestions than that are right. {outlook.reason}"
    )
    if wrong.value < 0.5:
        return shown, "This makes the labels worse: most labels that would be replaced are right."
    return shown, "This may make the labels worse." if wrong.low < 0.5 else None
