"""How long one image takes in networks that give features, in both memory formats.

Weights are random: they make no difference to the time. Prints one table, milliseconds an image: the fastest
of a few batches in evaluation mode.
"""

from __future__ import annotations

import time
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from fvm_core.device import resolve
from fvm_core.models.architecture import architecture
from fvm_core.models.head import without_head

CANDIDATES = (
    "timm:tf_efficientnet_lite0@128",
    "timm:tf_efficientnet_lite0@160",
    "timm:tf_efficientnet_lite0@224",
    "timm:mobilenetv3_large_100@160",
    "timm:mobilenetv3_large_100@224",
    "resnet18@224",
    "resnet50@224",
    "timm:convnext_tiny@224",
    "timm:vit_small_patch16_224@224",
)


def main(
    model: Annotated[
        list[str] | None, typer.Option(help="NAME@SIZE; give it again for others. A short list without.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="Batches that are timed.")] = 3,
    threads: Annotated[int, typer.Option(min=0, help="Of the CPU; 0 leaves it to torch.")] = 0,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | mps")] = "cpu",
) -> None:
    """Time backbones on this machine."""
    if threads:
        torch.set_num_threads(threads)
    device = resolve(device)
    table = Table(title=f"Milliseconds an image on {device}, batches of {batch_size}")
    for column in ("model", "pixels", "parameters", "features", "contiguous", "channels last"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for one in model or CANDIDATES:
        name, _, pixels = one.partition("@")
        size = int(pixels or 224)
        body, width = without_head(architecture(name, size).eval().to(device))
        parameters = sum(p.numel() for p in body.parameters())
        times = [
            _milliseconds(body, size, batch_size, repeats, device, memory)
            for memory in (torch.contiguous_format, torch.channels_last)
        ]
        row = (f"{parameters / 1e6:.1f} M", str(width), *(f"{value:.2f}" for value in times))
        table.add_row(name, str(size), *row)
    Console().print(table)


def _milliseconds(
    body: torch.nn.Module, size: int, batch_size: int, repeats: int, device: str, memory: torch.memory_format
) -> float:
    body.to(memory_format=memory)
    images = torch.randn(batch_size, 3, size, size, device=device).to(memory_format=memory)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(repeats + 1):  # the first one warms up
            start = time.perf_counter()
            # What comes back has been computed, on a GPU too.
            body(images).sum().item()
            best = min(best, time.perf_counter() - start)
    return 1000 * best / batch_size


if __name__ == "__main__":
    typer.run(main)
