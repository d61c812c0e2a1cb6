"""The result picture on the start screen: real tiles of a real run, kept as a small JSON file.

Made new with `python -m ui.showcase RUN_FOLDER`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from fvm_core.atomic import write_json
from fvm_core.data.thumbnails import Thumbnails
from fvm_core.runs.run_folder import RunFolder
from ui import wording

FILE = Path(__file__).resolve().parents[1] / "assets" / "showcase.json"
TILES = 15


def picture() -> str:
    """The tiles as HTML."""
    tiles = json.loads(FILE.read_text(encoding="utf-8"))
    parts = []
    for tile in tiles:
        given, suggested = wording.in_html(tile["given"]), wording.in_html(tile["suggested"])
        parts.append(
            f'<figure><img src="{wording.in_html(tile["image"])}" alt="digit with given label {given}">'
            f"<figcaption><s>{given}</s> → <b>{suggested}</b></figcaption>"
            f'<i style="width:{tile["percentile"]:.1f}%"></i></figure>'
        )
    return f'<div class="sf-showcase">{"".join(parts)}</div>'


def make(run: RunFolder) -> list[dict]:
    """Tiles of suspicious samples, a few of each given class, most suspicious first."""
    scores = run.read_scores(["given_label", "suggested_label", "suspicion", "percentile"])
    thumbnails = Thumbnails(run.path / "thumbnails")
    changed = scores[scores["given_label"] != scores["suggested_label"]]
    ranked = changed.sort_values("suspicion", ascending=False)
    spread = ranked.groupby("given_label", sort=False).head(-(-TILES // 10)).head(TILES)
    return [
        {
            "image": thumbnails.data_uri(int(row)),
            "given": sample["given_label"],
            "suggested": sample["suggested_label"],
            "percentile": float(np.floor(sample["percentile"] * 10) / 10),
        }
        for row, sample in spread.iterrows()
    ]


if __name__ == "__main__":
    write_json(FILE, make(RunFolder.open(sys.argv[1])))
