"""A ResNet that learnt CIFAR-10N's noisy labels and was then tuned on clean images: for benchmarks.

Trained on small copies of the images first, which cost a quarter, then on the full size, and last tuned
by SAM on the 10,000 test images. Every part is cached, so a second call loads it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from safetensors.torch import load_file, save_file
from torch import nn

from fvm_core.data import load_dataset
from fvm_core.data.pixels import Pixels
from fvm_core.models.build import build_model
from fvm_core.pipeline.inputs import augmented
from fvm_core.solvers.sam import SAM

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.262)
LABELS = ("worse_label", "aggre_label", "random_label1")
DATA = Path(os.environ.get("SALTFLAT_DATA", "../shared/data"))


def cifar(labels: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images (N, 3, 32, 32) and labels (N,) of `train` (CIFAR-10N) or `test`."""
    file, column = ("cifar10n_train", labels) if split == "train" else ("cifar10_test", "label")
    data = load_dataset(str(DATA / f"{file}.parquet"), label=column)
    raw = Pixels.build(data, 32, 32, 3, None, 2**31).batch(np.arange(len(data)))
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (raw.float() / 255 - mean) / std, torch.from_numpy(data.given.astype(np.int64))


def tuned(
    labels: str, folder: Path, *, name: str = "resnet18", base: str | None = None, device: str = "cpu"
) -> nn.Module:
    """The tuned model in evaluation mode, from `folder` or made now.

    Args:
        labels: label column of CIFAR-10N that it learnt.
        folder: where states are kept.
        name: `resnet18`, `resnet34` or a deeper one.
        base: start from the model that learnt this column instead of from scratch.
        device: where to train.
    """
    path = folder / f"{name}_{labels}_tuned.safetensors"
    model = build_model(name, 10, size=32).to(device)
    if not path.exists():
        before = folder / f"{name}_{base}.safetensors" if base else None
        _learn(model, labels, folder / f"{name}_{labels}.safetensors", before, device)
        _tune(model, device)
        save_file({name: value.cpu() for name, value in model.state_dict().items()}, path)
    model.load_state_dict(load_file(path))
    return model.eval()


def _learn(model: nn.Module, labels: str, path: Path, before: Path | None, device: str) -> None:
    if path.exists():
        model.load_state_dict(load_file(path))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    images, targets = cifar(labels, "train")
    torch.manual_seed(0)
    if before is None:
        _phase(model, images, targets, device, epochs=4, size=16, peak=0.1)
    else:
        model.load_state_dict(load_file(before))
    _phase(model, images, targets, device, epochs=0.3, size=32, peak=0.03)
    save_file({name: value.cpu() for name, value in model.state_dict().items()}, path)


def _phase(model, images, targets, device: str, epochs: float, size: int, peak: float) -> None:
    batch = 128
    steps = int(epochs * len(images) / batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.2)
    generator = torch.Generator().manual_seed(size)
    order = torch.cat([torch.randperm(len(images), generator=generator) for _ in range(int(epochs) + 1)])
    model.train()

    def step(number: int) -> float:
        rows = order[number * batch : (number + 1) * batch]
        inputs = augmented(images[rows], generator).to(device)
        if size != 32:
            inputs = F.interpolate(inputs, size=(size, size), mode="area")
        with torch.autocast(device, torch.bfloat16):
            loss = F.cross_entropy(model(inputs), targets[rows].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return float(loss.detach())

    _steps(f"{size} px", steps, step)


def _tune(model: nn.Module, device: str, steps: int = 100) -> None:
    images, targets = cifar("label", "test")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    solver = SAM(model, optimizer, 0.05)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    order = torch.cat([order] * (1 + steps * 128 // len(images)))
    model.train()

    def step(number: int) -> float:
        rows = order[number * 128 : (number + 1) * 128]
        inputs, labels = images[rows].to(device), targets[rows].to(device)
        done = solver.step(lambda: F.cross_entropy(model(inputs), labels))
        schedule.step()
        return done.loss

    _steps("tuning", steps, step)


def _steps(name: str, steps: int, step: Callable[[int], float]) -> None:
    start, losses = time.perf_counter(), []
    for number in range(steps):
        losses.append(step(number))
        if (number + 1) % 50 == 0 or number + 1 == steps:
            seconds = time.perf_counter() - start
            print(
                f"{name}: step {number + 1}/{steps}, loss {np.mean(losses[-50:]):.3f}, {seconds:.0f} s",
                flush=True,
            )


def main(
    labels: Annotated[str, typer.Option(help=f"One of {', '.join(LABELS)}.")] = "worse_label",
    out: Annotated[Path, typer.Option(help="Folder for the weights.")] = Path("benchmarks/weights"),
    base: Annotated[str | None, typer.Option(help="Start from the model that learnt this column.")] = None,
    name: Annotated[str, typer.Option(help="resnet18, resnet34, …")] = "resnet18",
    device: Annotated[str, typer.Option()] = "cpu",
) -> None:
    """Train and tune, and print the accuracy on the training images under their clean labels."""
    model = tuned(labels, out, name=name, base=base, device=device)
    images, truth = cifar("clean_label", "train")
    with torch.no_grad():
        rows = range(0, 5000, 250)
        right = sum(
            int((model(images[i : i + 250].to(device)).argmax(1).cpu() == truth[i : i + 250]).sum())
            for i in rows
        )
    print(f"right on {right / 50:.1f} % of the first 5,000 training images")


if __name__ == "__main__":
    typer.run(main)
