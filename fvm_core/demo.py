"""The demo: real handwritten digits, 30 % of the labels moved to a random other class."""

from __future__ import annotations

from fvm_core.config import RunConfig, TuneConfig
from fvm_core.data.dataset import DatasetSpec


def demo_config() -> RunConfig:
    """1,200 training scans with planted noise, 300 clean ones for validation, FVM with γ = 0.5.

    γ is larger than the paper's 0.05: on these digits it finds more of the true labels (relabel accuracy
    on the mislabelled 0.91 to 0.93 over three seeds, 0.83 to 0.88 with γ = 0.2). That was seen with the
    planted truth at hand, which users do not have.
    """
    return RunConfig(
        train_data=DatasetSpec(source="digits", split="train", noise=0.3),
        val_data=DatasetSpec(source="digits", split="val"),
        tune=TuneConfig(solver="sam", gamma=0.5),
        name="digits-demo",
    )
