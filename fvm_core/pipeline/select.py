"""Stage: cross-fit every classifier that the granted time allows, and keep the one that knows most."""

from __future__ import annotations

from dataclasses import replace

from fvm_core.atomic import write_text
from fvm_core.comparison.model_selection import Selection, select
from fvm_core.pipeline.candidates import Candidate, affordable, left_out_of, not_tried, trial
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.crossfit import CrossFit, cross_fit
from fvm_core.pipeline.estimate import stage_seconds
from fvm_core.pipeline.feature_stage import open_features
from fvm_core.pipeline.prepare import build_pixels_of, input_spec_of, open_inputs
from fvm_core.pipeline.progress import Progress


def select_model(context: Context) -> dict:
    """Try the candidates that stage `prepare` has noted in `run.json`, and go on with one of them.

    Each is cross-fitted; the same trusted images choose, each judged by models that have not seen
    it (see `fvm_core.comparison.model_selection`). The run's settings become those of the one that is kept.

    Returns:
        `tried`: title, accuracy and loss of each; `left_out`: titles and seconds of a run that tries them
        too; `kept`: its title; `trusted`: images that judged; `average`: place in `tried` and share of the
        one whose probabilities are averaged with those of the kept one, else None; `reason`: all in words.
    """
    noted = context.run.info.get("candidates") or {}
    known = [Candidate.from_dict(one) for one in noted.get("all", [])]
    if len(known) < 2 and "tried" not in noted:
        return {"state": "skipped", "reason": "There is one classifier to choose from."}
    tries, left_out = _affordable(context, known, noted["budget"])
    if len(tries) < 2:
        return {"state": "skipped", "reason": not_tried(left_out), "left_out": left_out}
    opened, fits = _trials(context, tries)
    labels = context.val_inputs.labels.numpy()
    judged = [fit for fit in fits if fit is not None]
    if len(judged) < len(fits):
        return {"state": "skipped", "reason": "Choosing a classifier needs at least two trusted images."}
    found = select([fit.best.trusted for fit in judged], labels[judged[0].deal.trusted])
    tried = [
        {"title": one.title, "accuracy": round(accuracy, 5), "loss": round(loss, 5)}
        for (one, _), accuracy, loss in zip(tries, found.accuracies, found.losses, strict=True)
    ]
    _go_on_with(context, opened[found.best])
    reason = _reason(tried, found, len(judged[0].deal.trusted), left_out)
    context.progress.log(reason)
    return {
        "tried": tried,
        "left_out": left_out,
        "kept": tried[found.best]["title"],
        "trusted": len(judged[0].deal.trusted),
        "average": None if found.other is None else [found.other, found.share],
        "reason": reason,
    }


def averaged_with(context: Context) -> tuple[Context, float] | None:
    """The candidate whose probabilities are averaged with those of the kept one, and its share."""
    details = context.run.info["stages"].get("select", {})
    if not details.get("average"):
        return None
    place, share = details["average"]
    title = details["tried"][place]["title"]
    noted = [Candidate.from_dict(one) for one in context.run.info["candidates"]["all"]]
    other = next(one for one in noted if one.title == title)
    # Telling of its inputs would look as if an earlier stage ran again.
    opened = opened_with(context, other, _Part(context.progress, "crossfit", 0.0, 1.0, 0.0))
    opened.progress = context.progress
    return opened, share


def opened_with(context: Context, candidate: Candidate, progress: Progress) -> Context:
    """The same run with another classifier and its inputs."""
    found = replace(context, config=candidate.config, progress=progress)
    if found.config.model.on_features:
        found.own_spec = input_spec_of(found, None)
        open_features(found)
    else:
        pixels = build_pixels_of(found)
        found.own_spec = input_spec_of(found, pixels)
        open_inputs(found, pixels)
    return found


def _affordable(
    context: Context, known: list[Candidate], budget: float
) -> tuple[list[tuple[Candidate, dict[str, float]]], list[dict]]:
    """The candidates to try with their expected seconds, and what is left out.

    Measured once and noted, so that a resumed run tries the same ones.
    """
    noted = context.run.info["candidates"]
    if "tried" not in noted:
        seconds = [stage_seconds(one.config, context.train, context.val, context.device) for one in known]
        tried = affordable(known, seconds, 60 * budget)
        known = [
            replace(one, config=replace(one.config, crossfit=replace(one.config.crossfit, folds=folds)))
            for one, folds in ((known[place], folds) for place, folds, _ in tried)
        ]
        noted = {
            "budget": budget,
            "all": [one.to_dict() for one in known],
            "tried": [own for _, _, own in tried],
            "left_out": left_out_of(known, seconds, tried),
        }
        context.run.update(candidates=noted)
    return list(zip(known, noted["tried"], strict=True)), noted["left_out"]


def _trials(
    context: Context, tries: list[tuple[Candidate, dict[str, float]]]
) -> tuple[list[Context], list[CrossFit | None]]:
    """The candidates' contexts and what cross-fitting found."""
    opened: list[Context] = []
    fits: list[CrossFit | None] = []
    whole = sum(trial(own) + 1 for _, own in tries)
    before = 0.0
    for candidate, own in tries:
        opening = (own["prepare"] + own["features"]) / (trial(own) + 1)
        part = _Part(context.progress, "select", before / whole, (trial(own) + 1) / whole, opening)
        context.progress.log(f"Cross-fitting {candidate.title}.")
        opened.append(opened_with(context, candidate, part))
        fits.append(cross_fit(opened[-1]))
        before += trial(own) + 1
    return opened, fits


def _go_on_with(context: Context, kept: Context) -> None:
    """Make the run one with this classifier."""
    context.config = kept.config
    write_text(context.run.path / "config.toml", kept.config.to_toml())
    context.run.update(input=kept.input_spec.to_dict())
    context.train_inputs, context.val_inputs, context.rated = (
        kept.train_inputs,
        kept.val_inputs,
        kept.rated,
    )


def _reason(tried: list[dict], found: Selection, trusted: int, left_out: list[dict]) -> str:
    best = tried[found.best]
    others = [one for one in tried if one is not best]
    text = (
        f"The classifier is {best['title']}: {100 * best['accuracy']:.1f} % of {trusted:,} trusted images "
        "are right, each judged by models that have not seen it; "
        + ", ".join(f"{100 * one['accuracy']:.1f} % with {one['title']}" for one in others)
        + "."
    )
    if found.other is not None:
        text += (
            f" The cross-fitted probabilities are an average with {tried[found.other]['title']} "
            f"({100 * found.share:.0f} %), which is right on {100 * found.accuracy:.1f} %."
        )
    return f"{text} {not_tried(left_out)}".strip()


class _Part:
    """Progress of one candidate as a part of a stage's."""

    def __init__(self, progress: Progress, stage: str, before: float, share: float, opening: float):
        self._progress, self._stage = progress, stage
        self._before, self._share, self._opening = before, share, opening

    def update(self, stage: str, done: int, total: int) -> None:
        """Its inputs are prepared first, then it is cross-fitted."""
        own = done / max(total, 1)
        own = self._opening + (1 - self._opening) * own if stage == "crossfit" else self._opening * own
        self._progress.update(self._stage, round(1000 * (self._before + self._share * own)), 1000)

    def log(self, text: str) -> None:
        """Pass it on."""
        self._progress.log(text)
