from dataclasses import replace

import pytest
from PIL import Image

from fvm_core.data import DatasetSpec
from fvm_core.errors import SaltflatError
from tests.ui import runs
from ui import results


def test_the_evidence_shows_the_photo_only_while_it_is_the_same_sample(workspace, tmp_path):
    run = runs.finished_run(workspace, limit=60)
    folder = tmp_path / "photos" / "cat"
    folder.mkdir(parents=True)
    for number in range(60):
        Image.new("RGB", (400, 300), (number, 0, 0)).save(folder / f"{number:02d}.png")
    elsewhere = replace(run.config, train_data=DatasetSpec(str(folder.parent)))
    (run.path / "config.toml").write_text(elsewhere.to_toml())
    assert results.picture(run, 3) is None  # other ids than those of the scores


def test_tiny_images_need_no_bigger_picture(workspace):
    assert results.picture(runs.finished_run(workspace, limit=60), 3) is None


def test_a_run_that_is_gone_is_told(workspace):
    with pytest.raises(SaltflatError, match="is gone"):
        results.version(runs.new_run(workspace))


def test_the_default_threshold_flags_what_the_run_flags(workspace):
    run = runs.finished_run(workspace)
    above = results.default_above(run)
    assert results.threshold(run, above)[1] == run.info["summary"]["flagged"]
