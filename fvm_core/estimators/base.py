"""What every estimator beside the diagonal influence declares and answers.

This module and those of the estimators import torch only where they compute: the command line and the app
ask them for names, costs and settings long before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from fvm_core.errors import SaltflatError
from fvm_core.estimators.costs import Phases, Sizes
from fvm_core.estimators.materials import Materials
from fvm_core.estimators.setting import Setting, Value

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.config import RunConfig
    from fvm_core.curvature.batches import Batches, Progress

Need = Literal[
    "theta_star",
    "tuned",
    "best_checkpoint",
    "checkpoints",
    "training_set",
    "validation_set",
    "own_tuning",
    "ensemble",
    "out_of_fold",
    "cross_fitted",
    "epochs",
]
"""What has to be there: the trained model θ*, the tuned model θ̃, one or all checkpoints of training, batches
of either set for `fit`, a tuning of its own, an ensemble of tuned models, out-of-fold
probabilities of trained models, those of the stage `crossfit`, or means over the epochs of training."""

_TRAINED: frozenset[Need] = frozenset(
    {"theta_star", "best_checkpoint", "checkpoints", "out_of_fold", "epochs"}
)
_CHECKPOINTS: frozenset[Need] = frozenset({"best_checkpoint", "checkpoints"})


class Estimator(ABC):
    """A score for samples with their labels, whose suspicious end it declares.

    A class that declares a `name` in a module of this package is one that runs can have: settings, command
    line, app, estimate and the README's table know it from here. One that does not is a base of others.

    Attributes:
        name: as settings and files call it; title: as people read it.
        suspicious: the end of the raw value at which wrong labels are expected, `high` or `low`.
        needs: see `Need`.
        cost: in words, how many passes it takes.
        relabels: whether `score_labels` answers.
        inputs: what it is given for samples: `images`, or `probabilities` (B, K) by models that have not
            seen them (`needs` has `out_of_fold` or `cross_fitted`), by the tuned one, or means over epochs.
        settings: what people can set for it, beside what all runs have.
        aliases: other names that settings take for it.
        solver: of a tuning of its own.
        place: where lists show it, the smallest first; equal ones by name.
    """

    name: str
    title: str
    suspicious: Literal["high", "low"]
    needs: frozenset[Need]
    cost: str
    relabels: bool = False
    inputs: Literal["images", "probabilities"] = "images"
    settings: tuple[Setting, ...] = ()
    aliases: tuple[str, ...] = ()
    solver: str = ""
    place: int = 1000

    @classmethod
    def value(cls, config: RunConfig, name: str) -> Value:
        """What a run has for one of `settings`."""
        declared = {one.name: one for one in cls.settings}[name]
        return declared.checked(config.compare.settings.get(name, declared.default))

    @classmethod
    def options(cls, config: RunConfig) -> dict[str, Any]:
        """Keyword arguments of the constructor, from the settings of a run."""
        return {}

    @classmethod
    def phases(cls, sizes: Sizes) -> Phases:
        """Forward passes of one sample that it takes, by phase."""
        return {"scoring": 1.0 * sizes.rated}

    @classmethod
    def vectors(cls, config: RunConfig) -> int:
        """Memory while it works, in multiples of the model's parameters."""
        return 2

    @classmethod
    def models(cls, config: RunConfig) -> int:
        """Models that it keeps on disk while it works."""
        return 0

    @classmethod
    def trained_only(cls) -> bool:
        """Whether it looks at the model as it was trained, not as it was tuned."""
        return bool(cls.needs & _TRAINED)

    @classmethod
    def needs_checkpoints(cls) -> bool:
        """Whether training has to keep checkpoints for it."""
        return bool(cls.needs & _CHECKPOINTS)

    @classmethod
    def is_own(cls, config: RunConfig) -> bool:
        """Whether it is the run's own score by another name."""
        return False

    @classmethod
    def why_not(cls, config: RunConfig, *, checkpoints: bool) -> str:
        """Why a run can't have it, in words; empty where it can.

        Args:
            config: complete settings of the run.
            checkpoints: whether training has kept, or will keep, some.
        """
        if cls.needs_checkpoints() and not config.train.epochs:
            return (
                f"{cls.title} looks at earlier moments of training, and this run does not train: leave it "
                "out, or start a run with epochs above 0."
            )
        if cls.needs_checkpoints() and not checkpoints:
            return (
                f"{cls.title} needs checkpoints of training and this run has none. Start a run with "
                "--keep-checkpoints 5, or with this estimator named from the start."
            )
        if "out_of_fold" in cls.needs and not config.train.epochs:
            return (
                f"{cls.title} trains a model for every fold, and this run does not train: use "
                "tuned_confident, or start a run with epochs above 0."
            )
        return ""

    @classmethod
    def make(cls, run: Materials) -> tuple[Estimator, dict[str, object]]:
        """The estimator before `fit`, and what it is computed with, for people.

        Without a word of its own: the constructor with the tuned model where `needs` has it, else a
        checkpoint or θ*, and with `options`; with no model where it is given probabilities.

        Raises:
            SaltflatError: the run lacks what it needs.
        """
        build: Callable[..., Estimator] = cls
        options, about = cls.options(run.config), dict[str, object]()
        if cls.inputs == "probabilities":
            return build(**options), about | options
        if "best_checkpoint" in cls.needs:
            about["epoch"], model = run.best_checkpoint()
        elif "own_tuning" in cls.needs:
            about["gamma"], model = run.tuned_with(cls.solver)
        else:
            model = run.tuned() if "tuned" in cls.needs else run.theta_star()
        return build(model, **options), about | options

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> Estimator:
        """Compute what all samples share; estimators that need neither set take none.

        Args:
            training: batches of (images, labels), the labels as given; iterated several times.
            validation: the same of clean samples.
            progress: told what is being done, and how far; may raise to stop.

        Raises:
            SaltflatError: a set that `needs` names is missing, empty, or can be iterated only once.
        """
        return self

    @abstractmethod
    def score(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Raw values (B,) of samples with their labels; they do not depend on the batch."""

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Raw values (B, K) of samples with every candidate label (22).

        Raises:
            SaltflatError: this estimator does not relabel.
        """
        raise SaltflatError(f"{self.title} gives no values for other labels, so it can't suggest one.")

    def judge(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Raw values (B,) of samples with their labels, and the label (B,) that it suggests for each.

        None in the second place from an estimator that does not relabel.
        """
        return self.score(images, labels), None

    def suspicion(self, raw: torch.Tensor) -> torch.Tensor:
        """The raw values with the sign that makes large suspicious; the best label has the smallest."""
        return raw if self.suspicious == "high" else -raw

    def trace(self) -> list[tuple[int, float]]:
        """How `fit` converged, points of (step, relative change); empty where there is nothing to tell."""
        return []

    def state(self) -> dict[str, torch.Tensor]:
        """What `fit` has computed, to be stored."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:  # noqa: B027 (many have no state)
        """Take the place of `fit`."""


class RelabellingEstimator(Estimator):
    """One that knows all K values of a sample at the price of one."""

    relabels = True

    @abstractmethod
    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Raw values (B, K) of samples with every candidate label (22)."""

    def score(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Raw values (B,) of samples with their labels."""
        return _picked(self.score_labels(images), labels)

    def judge(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw values (B,), and the label (B,) with the smallest suspicion (22)."""
        values = self.score_labels(images)
        return _picked(values, labels), self.suspicion(values).argmin(1)


class LogitEstimator(RelabellingEstimator):
    """One that needs no more of a model than its logits, so that several share one forward pass.

    Args:
        model: logits (B, K); in evaluation mode; never changed.

    Raises:
        SaltflatError: the model is in training mode; when it scores, see `check_alone`.
    """

    cost = "1 forward pass a sample"

    def __init__(self, model: nn.Module):
        from fvm_core.layers.conditions import Acceptance, refuse_training_mode
        from fvm_core.layers.eager import unwrapped

        refuse_training_mode(model)
        self.model = unwrapped(model)
        self._accept = Acceptance(self.model)

    @staticmethod
    @abstractmethod
    def of_logits(logits: torch.Tensor) -> torch.Tensor:
        """Raw values (B, K) with every label, in the logits' precision."""

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Raw values (B, K) with every label."""
        import torch

        with torch.no_grad():
            self._accept(images)
            return self.of_logits(self.model(images))


def _picked(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    from fvm_core.diagonal.arguments import class_labels

    labels = class_labels(labels, *values.shape)
    return values.gather(1, labels[:, None])[:, 0]
