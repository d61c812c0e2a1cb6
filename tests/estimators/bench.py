"""A small problem with planted wrong labels from which every estimator can be made in a moment."""

import copy
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.config import CompareConfig, RunConfig, TrainConfig, TuneConfig
from fvm_core.data.dataset import DatasetSpec
from fvm_core.estimators.materials import Checkpoint
from tests.curvature.cases import batched

CLASSES, FEATURES, WRONG = 3, 6, 24


def config(settings):
    """Complete settings of a run with these of the estimators."""
    return RunConfig(
        DatasetSpec("digits"),
        DatasetSpec("digits", split="val"),
        train=TrainConfig(epochs=12, lr=0.2, batch_size=32, augment=False),
        tune=TuneConfig(solver="sam", gamma=0.05, steps=60, batch_size=32),
        compare=CompareConfig(checkpoints=3, settings=settings),
    )


def samples(count, seed):
    """Points around one centre for each class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centres = 1.6 * torch.eye(CLASSES, FEATURES)
    return centres[labels] + 0.6 * torch.randn(count, FEATURES, generator=generator), labels


def descended(model, images, labels, steps, rate=0.2):
    """The model after some steps of gradient descent."""
    model = copy.deepcopy(model)
    for _ in range(steps):
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= rate * parameter.grad
    model.zero_grad()
    return model.eval()


class Bench:
    """The `Materials` of a run on this problem; models are copied, so that each estimator has its own.

    Attributes:
        training: images and given labels (N,), the first `WRONG` of them wrong; validation: clean ones.
    """

    def __init__(self, settings):
        self.config = config(settings)
        images, true = samples(120, 1)
        self.wrong = torch.arange(120) < WRONG
        self.training = images, torch.where(self.wrong, (true + 1) % CLASSES, true)
        self.validation = samples(60, 2)
        self._at, self._tuned, self._unseen = _models()

    def theta_star(self):
        return copy.deepcopy(self._at[-1])

    def tuned(self):
        return copy.deepcopy(self._tuned)

    def best_checkpoint(self):
        return 4, copy.deepcopy(self._at[0])

    def checkpoints(self):
        return [Checkpoint(model.state_dict(), 0.2, 4 * n) for n, model in enumerate(self._at, 1)]

    def tuned_with(self, solver):
        return 0.05, self.tuned()

    def ensemble(self, count, start):
        return [descended(self._at[-1], *self.validation, 10 * n).state_dict() for n in range(1, count + 1)]

    def inputs(self, kind):
        """What an estimator is given for the training samples."""
        images = self.training[0]
        if kind.inputs == "images":
            return images
        with torch.no_grad():
            return self._unseen(images).softmax(1)

    def made(self, kind):
        """The estimator before `fit`."""
        return kind.make(self)[0]

    def sets(self, kind, size=16):
        """What `fit` takes of what the estimator says that it needs."""
        given = self.inputs(kind), self.training[1]
        wants_training = "training_set" in kind.needs or kind.inputs == "probabilities"
        return (
            batched(given, size) if wants_training else None,
            batched(self.validation, size) if "validation_set" in kind.needs else None,
        )

    def fitted(self, kind, size=16):
        """The estimator after `fit`."""
        return self.made(kind).fit(*self.sets(kind, size))


@cache
def _models():
    """At three moments of training; tuned on the validation set; trained on other data of the same kind."""
    torch.manual_seed(0)
    start = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    bench_images, true = samples(120, 1)
    given = torch.where(torch.arange(120) < WRONG, (true + 1) % CLASSES, true)
    at = [descended(start, bench_images, given, steps) for steps in (20, 60, 120)]
    tuned = descended(at[-1], *samples(60, 2), 60)
    return at, tuned, descended(start, *samples(90, 3), 120)
