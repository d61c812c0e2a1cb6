"""Samples of which everything is known: classes as shifted Gaussians, so that the right probabilities are too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fvm_core.acceptance.belief import Belief, believe
from fvm_core.acceptance.planted_trial import PlantedTrial
from fvm_core.percentiles import percentiles
from fvm_core.runs.run_folder import RunFolder
from tests.review.cases import scored_run


@dataclass(frozen=True)
class Simulated:
    probabilities: np.ndarray
    true: np.ndarray
    given: np.ndarray
    trusted: np.ndarray
    trusted_labels: np.ndarray
    transition: np.ndarray

    @property
    def suggested(self) -> np.ndarray:
        return self.probabilities.argmax(1)

    @property
    def wrong(self) -> int:
        return int((self.given != self.true).sum())

    def right(self, accepted: np.ndarray) -> int:
        return int((self.suggested == self.true)[accepted].sum())

    def wrong_after(self, accepted: np.ndarray) -> int:
        return int((np.where(accepted, self.suggested, self.given) != self.true).sum())

    def believe(self, **options) -> Belief:
        return believe(
            self.probabilities, self.given, self.suggested, self.trusted, self.trusted_labels, **options
        )


def noisy(share: float, classes: int) -> np.ndarray:
    """A transition with classes from half to one and a half times as noisy; half of it goes to the next class."""
    wrong = share * np.linspace(0.5, 1.5, classes)[:, None]
    found = np.repeat(wrong / 2 / max(classes - 1, 1), classes, axis=1)
    rows = np.arange(classes)
    found[rows, (rows + 1) % classes] += wrong[:, 0] / 2
    found[rows, rows] = 0
    found[rows, rows] = 1 - found.sum(1)
    return found


def simulate(
    seed: int,
    *,
    samples: int = 3000,
    trusted: int = 200,
    classes: int = 5,
    noise: float = 0.2,
    shift: float = 3.0,
    power: float = 1.0,
) -> Simulated:
    """Labels with class-dependent noise, and probabilities `∝ p^power` of the right ones p.

    `shift` is the distance of the classes; 0 makes the probabilities uninformative. `power` above 1 makes them
    over-confident.
    """
    rng = np.random.default_rng(seed)
    total = samples + trusted
    true = rng.integers(classes, size=total)
    values = rng.standard_normal((total, classes))
    values[np.arange(total), true] += shift
    logits = power * max(shift, 1.0) * values if shift == 0 else power * shift * values
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = (probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32)
    transition = noisy(noise, classes)
    given = (transition[true].cumsum(1) > rng.random((total, 1))).argmax(1)
    return Simulated(
        probabilities[:samples],
        true[:samples],
        given[:samples],
        probabilities[samples:],
        true[samples:],
        transition,
    )


@dataclass(frozen=True)
class Tried:
    """A trial, and what it has to find: which labels of the run are wrong, which suggestions are right, (N,)."""

    trial: PlantedTrial
    wrong: np.ndarray
    found: np.ndarray

    def right(self, accepted: np.ndarray) -> int:
        return int((self.found & accepted).sum())

    def gain(self, accepted: np.ndarray) -> int:
        return self.right(accepted) - int((~self.wrong & accepted).sum())


def tried(
    seed: int,
    *,
    samples: int = 1000,
    planted: int = 100,
    share: float = 0.2,
    shift: float = 3.0,
    skill: float = 0.9,
) -> Tried:
    """Suspicions as Gaussians, those of wrong labels higher by `shift`; of the suggestions for these a share
    `skill` is right. Half of the planted samples are wrong, of the run's a share `share`.
    """
    rng = np.random.default_rng([seed, samples, planted])

    def some(wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        suspicion = rng.standard_normal(len(wrong)) + shift * wrong
        differs = rng.random(len(wrong)) < 1 / (1 + np.exp(shift - 2 * suspicion))
        return suspicion, differs, wrong & differs & (rng.random(len(wrong)) < skill)

    wrong, played = rng.random(samples) < share, np.arange(planted) < planted // 2
    suspicion, differs, found = some(wrong)
    on_planted, planted_differs, planted_found = some(played)
    trial = PlantedTrial(
        suspicion, differs, on_planted, played, planted_differs, planted_found, trusted=10 * planted
    )
    return Tried(trial, wrong, found)


def names(classes: int) -> list[str]:
    return [f"class {k}" for k in range(classes)]


def write_crossfit(
    run: RunFolder, probabilities: np.ndarray, trusted: np.ndarray, trusted_labels: np.ndarray
) -> None:
    """The files that a cross-fitted run leaves."""
    (run.path / "crossfit").mkdir(exist_ok=True)
    np.save(run.path / "crossfit" / "probabilities.npy", probabilities.astype(np.float32))
    np.save(run.path / "crossfit" / "trusted.npy", trusted.astype(np.float32))
    rows = np.arange(len(trusted_labels), dtype=np.int32)
    table = {"row": rows, "label": trusted_labels.astype(np.int32)}
    run.write_table("crossfit/trusted.parquet", pa.table(table))


def run_of(case: Simulated, path: Path, *, crossfit: bool = True) -> RunFolder:
    """A run folder with the scores of a simulated set: suspicion is 1 − p(given)."""
    classes = case.probabilities.shape[1]
    labels = names(classes)
    suspicion = 1 - case.probabilities[np.arange(len(case.given)), case.given]
    run = scored_run(
        path,
        [labels[k] for k in case.given],
        [labels[k] for k in case.suggested],
        influence=suspicion,
        percentile=percentiles(suspicion),
    )
    run.update(classes=labels)
    if crossfit:
        write_crossfit(run, case.probabilities, case.trusted, case.trusted_labels)
    return run
