"""What the paper reports: mean over three seeds, in percent."""

from __future__ import annotations

DATASETS = {
    "aggre": "CIFAR-10N Aggre",
    "random1": "CIFAR-10N Random 1",
    "worst": "CIFAR-10N Worst",
    "noisy": "CIFAR-100N Noisy",
}

_ALL = ("aggre", "random1", "worst", "noisy")

DETECTION: dict[str, dict[str, tuple[float, float]]] = {
    name: dict(zip(_ALL, values, strict=True))
    for name, values in {
        "lissa": ((59.74, 33.45), (59.78, 45.01), (65.75, 68.35), (57.48, 51.28)),
        "lissa_best": ((63.70, 49.58), (73.48, 67.81), (78.96, 81.31), (53.95, 56.54)),
        "tracin": ((53.91, 28.94), (61.61, 43.83), (65.74, 62.91), (56.13, 52.34)),
        "gex": ((87.38, 78.01), (91.11, 87.57), (93.28, 94.16), (90.17, 89.05)),
        "datainf": ((58.50, 30.53), (54.50, 38.15), (55.49, 57.14), (53.69, 48.73)),
        "datainf_best": ((63.31, 49.98), (73.85, 68.57), (81.36, 83.99), (50.95, 53.74)),
        "ekfac": ((57.03, 39.71), (69.85, 57.70), (72.18, 72.81), (60.30, 59.37)),
        "ekfac_best": ((70.02, 60.51), (81.55, 76.58), (80.24, 81.72), (62.72, 64.86)),
        "vm": ((95.18, 76.31), (95.92, 87.35), (95.88, 94.27), (89.77, 83.81)),
        "fvm": ((96.14, 79.53), (96.63, 88.82), (96.46, 94.97), (90.80, 85.41)),
    }.items()
}
"""ROC AUC and average precision (tables 1 and 10)."""

RELABELLING: dict[str, dict[str, float]] = {
    "lissa": {"aggre": 5.28, "random1": 9.04, "worst": 19.32, "noisy": 0.28},
    "lissa_best": {"aggre": 31.33, "random1": 75.87, "worst": 71.47, "noisy": 2.55},
    "tracin": {"aggre": 37.08, "random1": 53.28, "worst": 50.66, "noisy": 20.11},
    "gex": {"aggre": 30.19, "random1": 54.03, "worst": 80.35, "noisy": 22.41},
    "datainf": {"aggre": 5.59, "random1": 22.24, "worst": 21.25, "noisy": 1.24},
    "datainf_best": {"aggre": 40.58, "random1": 81.57, "worst": 76.19, "noisy": 5.81},
    "vm": {"aggre": 94.17, "random1": 91.94, "worst": 85.01, "noisy": 58.13},
    "fvm": {"aggre": 94.63, "random1": 92.46, "worst": 86.09, "noisy": 70.61},
}
"""Top-1 relabelling accuracy (tables 2 and 3); the paper does not say over which samples."""

ABLATION = {
    "ablation_ss": (41.52, 55.40),
    "ablation_so": (33.38, 47.64),
    "ablation_os": (95.93, 91.38),
    "fvm": (96.46, 94.97),
}
"""ROC AUC and AP on Worst (table 6)."""

VALIDATION_SIZES: dict[str, dict[int, tuple[float, float]]] = {
    "lissa": {10000: (65.75, 68.35), 5000: (65.84, 68.35), 2000: (65.60, 67.75), 1000: (64.79, 66.54)},
    "vm": {10000: (95.88, 94.27), 5000: (95.31, 93.44), 2000: (94.37, 92.11), 1000: (93.07, 90.26)},
    "fvm": {10000: (96.46, 94.97), 5000: (95.68, 93.71), 2000: (94.86, 92.60), 1000: (93.72, 90.94)},
}
"""ROC AUC and AP on Worst (table 11)."""

SOLVERS = {
    "fvm": {"worst": (96.46, 94.97), "noisy": (90.80, 85.41)},
    "fvm_asam": {"worst": (96.71, 95.11), "noisy": (90.83, 85.25)},
    "fvm_fsam": {"worst": (96.76, 95.29), "noisy": (91.25, 86.06)},
}
"""ROC AUC and AP (table 12)."""

INVERSES: dict[tuple[str, str], dict[str, tuple[float, float]]] = {
    (method, inverse): dict(zip(_ALL, values, strict=True))
    for method, inverse, values in (
        ("vm", "probed_lissa", ((95.22, 67.36), (95.67, 78.90), (95.00, 89.26), (88.88, 80.89))),
        ("vm", "probed_datainf", ((95.37, 72.09), (95.98, 83.26), (95.57, 91.09), (89.58, 82.81))),
        ("vm", "fvm", ((95.18, 76.31), (95.92, 87.35), (95.88, 94.27), (89.77, 83.81))),
        ("fvm", "probed_lissa", ((95.95, 70.71), (96.17, 80.16), (95.33, 89.56), (89.48, 81.81))),
        ("fvm", "probed_datainf", ((96.18, 76.15), (96.58, 84.85), (96.02, 91.54), (90.24, 83.81))),
        # The paper repeats Random's figures under Aggre here; table 1 has Aggre's own.
        ("fvm", "fvm", ((96.14, 79.53), (96.63, 88.82), (96.46, 94.97), (90.80, 85.41))),
    )
}
"""ROC AUC and AP by tuning and inverse curvature, `fvm` standing for the diagonal (table 13)."""
