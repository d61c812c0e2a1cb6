"""What all stages of a run share: data, model, device, progress."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from fvm_core.config import RunConfig
from fvm_core.data.dataset import ImageDataset
from fvm_core.errors import SaltflatError
from fvm_core.models.build import build_model
from fvm_core.models.checkpoint import load_weights
from fvm_core.models.memory_format import channels_last
from fvm_core.pipeline.backbone import empty_part, trained_part
from fvm_core.pipeline.inputs import Features, Inputs, InputSpec, Samples
from fvm_core.pipeline.progress import Progress
from fvm_core.pipeline.weights import load_tensors
from fvm_core.runs.run_folder import RunFolder


@dataclass
class Context:
    """A run at work.

    Attributes:
        run: its folder; config: complete settings; train, val: the data, with the same class list.
        device: `cpu`, `cuda` or `mps`; progress: whom to tell.
        given_model: a module from Python that takes the place of a model by name.
        given_features: those of both sets from Python, in place of a backbone's.
        own_spec: input of a classifier that is only tried, in place of the run's.
        train_inputs, val_inputs: set once the images are prepared, or embedded; held-back validation samples
            are not usable.
        rated: the training samples and after them the planted ones: what is learnt and scored.
    """

    run: RunFolder
    config: RunConfig
    train: ImageDataset
    val: ImageDataset
    device: str
    progress: Progress
    given_model: nn.Module | None = None
    given_features: tuple[np.ndarray, np.ndarray] | None = None
    own_spec: InputSpec | None = None
    train_inputs: Inputs | Features = field(init=False)
    val_inputs: Inputs | Features = field(init=False)
    rated: Samples = field(init=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; their order is that of the logits."""
        return self.train.classes

    def new_model(self) -> nn.Module:
        """The model before training: given, from a checkpoint, pretrained or fresh from the seed."""
        torch.manual_seed(self.config.seed)
        settings, spec = self.config.model, self.input_spec
        if self.given_model is not None:
            model = copy.deepcopy(self.given_model)
        elif isinstance(self.train_inputs, Features):
            model = trained_part(settings, len(self.classes), spec.size, self.train_inputs)
        else:
            model = build_model(
                settings.name,
                len(self.classes),
                channels=spec.channels,
                size=spec.size,
                stem=settings.stem,
                pretrained=bool(settings.pretrained),
                backbone_weights=settings.backbone_weights,
            )
        if settings.checkpoint:
            load_weights(model, settings.checkpoint)
        return self._placed(model)

    def model_at(self, checkpoint: str) -> nn.Module:
        """The model with `checkpoints/<checkpoint>.safetensors`, in evaluation mode."""
        path = self.run.checkpoints / f"{checkpoint}.safetensors"
        if not path.exists():
            raise SaltflatError(f"{path} is missing although its stage is done. Start a new run.")
        settings, spec = self.config.model, self.input_spec
        if self.given_model is not None:
            model = copy.deepcopy(self.given_model)
        elif isinstance(self.train_inputs, Features):
            model = empty_part(settings, len(self.classes), spec.size, self.train_inputs)
        else:
            model = build_model(
                settings.name,
                len(self.classes),
                channels=spec.channels,
                size=spec.size,
                stem=settings.stem,
                pretrained=False,
            )
        model.load_state_dict(load_tensors(path))
        return self._placed(model).eval()

    @property
    def input_spec(self) -> InputSpec:
        """Input size and normalisation, decided in the prepare stage, or with the classifier."""
        if self.own_spec is not None:
            return self.own_spec
        values = self.run.info["input"]
        return InputSpec(
            values["channels"],
            values["size"],
            tuple(values["mean"]),
            tuple(values["std"]),
            values.get("crop", 1.0),
            values.get("interpolation", "bilinear"),
        )

    def saved_steps(self) -> list[int]:
        """The tuning steps at which influence is computed: evenly spaced, first and last included."""
        wanted = np.linspace(0, self.config.tune.steps, self.config.tune.saved_steps)
        return sorted({round(step) for step in wanted} | {self.config.tune.steps})

    def _placed(self, model: nn.Module) -> nn.Module:
        model = model.to(self.device)
        return channels_last(model) if self.device == "cuda" else model


def step_name(step: int) -> str:
    """File name of a saved tuning step."""
    return f"step_{step:06d}"


def seed_step(seed: int, stage: int, step: int) -> torch.Generator:
    """Seed all of torch's random numbers for one step and return a CPU generator for it.

    Every step has its own seed, so that a resumed stage draws what the uninterrupted one would have.
    """
    value = int(np.random.SeedSequence([seed, stage, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        torch.manual_seed(value)
    else:  # on a machine without a GPU that call notes a stack trace for a later one: 0.7 ms, and never freed
        torch.default_generator.manual_seed(value)
    return torch.Generator().manual_seed(value)


class Throttle:
    """True at most every `seconds`."""

    def __init__(self, seconds: float):
        self.seconds, self._last = seconds, 0.0

    def __call__(self) -> bool:
        """Whether it is time again."""
        now = time.monotonic()
        if now - self._last < self.seconds:
            return False
        self._last = now
        return True
