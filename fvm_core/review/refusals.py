"""Why a command was not carried out, in words for the person who gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fvm_core.review.decisions import Decision, SampleState


def changed_since(changed: list[tuple[Decision, SampleState | None]]) -> str:
    """For decisions on samples that are something else by now; None is a sample that nobody has touched."""
    decision, now = changed[0]
    if now is None:
        return (
            f"Not recorded: the decision on {decision.sample!r} before this one is not in the database. "
            "Look at it again."
        )
    found = {"state": now.state, "reviewer": now.reviewer, "new_label": now.new_label}
    return f"Not recorded: {who_changed(decision.sample, found, len(changed))}"


def who_changed(sample: str, now: Mapping, count: int) -> str:
    """Who made the first of `count` samples what it is; `now` has its `state`, `new_label`, `reviewer`."""
    word = f"{now['state']} as {now['new_label']!r}" if now["state"] == "relabelled" else now["state"]
    more = f" ({count:,} samples were changed)" if count > 1 else ""
    if now["state"] == "unreviewed":
        return f"the decision on {sample!r} was taken back since you looked{more}. Look at it again."
    return f"{sample!r} was changed since you looked: {word} by {now['reviewer']}{more}. Look at it again."
