"""Values of other libraries in a small file: `python -m tests.oracles.golden` makes it anew.

The networks and images are stored with the values, so nothing depends on a random generator. Needs
requirements-oracles.txt to write, nothing of it to read.
"""

from __future__ import annotations

import json
import platform
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.oracles.libraries import (
    LIBRARIES,
    Gradients,
    backpack_gradients,
    backpack_square_sum,
    kronfluence_scores,
    opacus_gradients,
)
from tests.oracles.nets import Case, drawn_case, normed_net, plain_net

PATH = Path(__file__).with_name("golden.safetensors")
DAMPING = 0.01
_DATA = ("images", "labels", "val_images", "val_labels")


@dataclass
class Golden:
    """The case and what each library found.

    Attributes:
        kronfluence_scores: (N,) influence in the plain network with absolute damping `DAMPING`.
        backpack_gradients: of the training images in the normed network.
        backpack_square_sum: of the validation images in the normed network.
        opacus_gradients: of the training images in the plain network.
        versions: of Python, torch and every library.
    """

    case: Case
    kronfluence_scores: torch.Tensor
    backpack_gradients: Gradients
    backpack_square_sum: Gradients
    opacus_gradients: Gradients
    versions: dict[str, str]


def compute() -> Golden:
    """Ask every library."""
    case = drawn_case()
    with tempfile.TemporaryDirectory() as folder:
        scores = kronfluence_scores(case, DAMPING, Path(folder))
    return Golden(
        case,
        scores,
        backpack_gradients(case.normed, case.images, case.labels),
        backpack_square_sum(case.normed, case.val_images, case.val_labels),
        opacus_gradients(case.plain, case.images, case.labels),
        {"python": platform.python_version(), **{name: version(name) for name in ("torch", *LIBRARIES)}},
    )


def write(golden: Golden) -> None:
    """Save as tensors named `part/name`, with versions and damping as metadata."""
    parts = {
        "data": {name: getattr(golden.case, name) for name in _DATA},
        "plain": golden.case.plain.state_dict(),
        "normed": golden.case.normed.state_dict(),
        "kronfluence": {"scores": golden.kronfluence_scores},
        "backpack_gradients": golden.backpack_gradients,
        "backpack_square_sum": golden.backpack_square_sum,
        "opacus_gradients": golden.opacus_gradients,
    }
    tensors = {
        f"{part}/{name}": value.contiguous()
        for part, values in parts.items()
        for name, value in values.items()
    }
    save_file(tensors, PATH, {"versions": json.dumps(golden.versions), "damping": str(DAMPING)})


def read() -> Golden:
    """The file's content, networks in evaluation mode."""
    parts: dict[str, Gradients] = {}
    with safe_open(PATH, "pt") as file:
        metadata = file.metadata()
        for key in file.keys():  # noqa: SIM118 - not a dict
            part, name = key.split("/")
            parts.setdefault(part, {})[name] = file.get_tensor(key)
    assert metadata["damping"] == str(DAMPING), "the golden file was made with another damping"
    case = Case(plain_net(), normed_net(), **parts["data"])
    case.plain.load_state_dict(parts["plain"])
    case.normed.load_state_dict(parts["normed"])
    return Golden(
        case,
        parts["kronfluence"]["scores"],
        parts["backpack_gradients"],
        parts["backpack_square_sum"],
        parts["opacus_gradients"],
        json.loads(metadata["versions"]),
    )


if __name__ == "__main__":
    write(compute())
