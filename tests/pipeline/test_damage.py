"""Damage is found, named and mended: every file, every kind."""

import shutil

import pytest

from fvm_core.errors import SaltflatError
from fvm_core.pipeline.damage import examine, look
from fvm_core.pipeline.repair import repair
from fvm_core.pipeline.runner import execute
from fvm_core.runs import checksums
from fvm_core.runs.run_folder import STAGES, RunFolder
from fvm_core.workspace import Workspace
from tests.ui import damage

CASES = [
    (file, kind)
    for file in (*damage.RESULTS, *damage.OTHERS)
    for kind in damage.KINDS
    if (file, kind) not in {("choice.json", "missing"), ("checksums.json", "missing")}
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return damage.whole_run(Workspace(tmp_path_factory.mktemp("template")).made())


@pytest.fixture
def run(template, tmp_path):
    return RunFolder(shutil.copytree(template.path, tmp_path / "run"))


@pytest.fixture
def finished(finished_run, tmp_path):
    return RunFolder(shutil.copytree(finished_run.path, tmp_path / "tiny"))


def content(run, leave_out=()):
    names = [name for stage in STAGES for name in checksums.files_of(run.path, stage)]
    return {name: (run.path / name).read_bytes() for name in names if name not in leave_out}


def test_a_sound_run_has_no_damage(run, finished):
    assert look(run.path) == examine(run.path) == []
    assert look(finished.path) == examine(finished.path) == []
    assert set(checksums.read(finished.path)) == set(content(finished)) >= {"scores.parquet"}


@pytest.mark.fault("a result file is damaged (every file: empty, cut, binary, of another kind, missing)")
@pytest.mark.parametrize(("file", "kind"), CASES)
def test_damage_is_named_without_reading_files_whole(run, file, kind):
    damage.damage(run, file, kind)
    found = {one.file: one for one in look(run.path)}
    # Two files that belong together may both be named.
    assert any(file.startswith(name) for name in found)
    assert all(one.reason and one.remedy.endswith(".") for one in found.values())


@pytest.mark.fault("settings cut off between two lines")
def test_settings_that_end_anywhere_are_named(run):
    path = run.path / "config.toml"
    content = path.read_bytes()
    for at in [number + 1 for number, byte in enumerate(content[:-1]) if byte == 10]:
        path.write_bytes(content[:at])
        assert [one.file for one in look(run.path)] == ["config.toml"], content[:at][-40:]
    path.write_bytes(content)
    assert look(run.path) == []


@pytest.mark.fault("one wrong byte in a result file")
@pytest.mark.parametrize(
    "file", ["scores.parquet", "checkpoints/theta_star.safetensors", "thumbnails/thumbnails.bin"]
)
def test_one_wrong_byte_is_found_by_the_checksum(run, file):
    data = bytearray((run.path / file).read_bytes())
    data[len(data) // 2] ^= 1
    (run.path / file).write_bytes(data)
    assert look(run.path) == []
    (one,) = examine(run.path)
    assert (one.file, one.reason) == (file, "its content is not what was written")


@pytest.mark.fault("run.json has wrong content")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stages": []}, "`stages` is [], not an object"),
        ({"stages": {"prepare": None}}, "`stages.prepare` is None, not an object"),
        ({"stages": {"prepare": {"state": 1}}}, "`stages.prepare.state` is 1, not a text that is not empty"),
        ({"id": None}, "`id` is None, not a text that is not empty"),
        ({"id": ""}, "`id` is '', not a text that is not empty"),
        ({"name": 5}, "`name` is 5, not a text"),
        ({"created": "yesterday"}, "`created` is 'yesterday', not a time in seconds since 1970"),
        ({"created": 1e300}, "`created` is 1e+300, not a time in seconds since 1970"),
        ({"classes": "0123"}, "`classes` is '0123', not a list"),
        ({"classes": [1]}, "`classes[0]` is 1, not a text"),
        ({"samples": "many"}, "`samples` is 'many', not a whole number from 0 on"),
        ({"samples": True}, "`samples` is True, not a whole number from 0 on"),
        ({"summary": {"flagged": 1}}, "it has no `summary.threshold`"),
        ({"problems": [[]]}, "`problems[0]` is [], not an object"),
        ({"planted": 3}, "`planted` is 3, not an object"),
        ({"estimate": {"train": "long"}}, "`estimate.train` is 'long', not a number from 0 on"),
    ],
)
def test_run_json_is_looked_at_part_by_part(run, change, reason):
    run.update(**change)
    (one,) = look(run.path)
    assert (one.file, one.reason) == ("run.json", reason)


@pytest.mark.fault("run.json lacks something")
@pytest.mark.parametrize("key", ["id", "name", "created", "stages", "samples", "classes"])
def test_run_json_that_lacks_something(run, key):
    info = {name: value for name, value in run.info.items() if name != key}
    checksums.write_json(run.path / "run.json", info)
    (one,) = look(run.path)
    assert (one.file, one.reason) == ("run.json", f"it has no `{key}`")


@pytest.mark.fault("a damaged stage is done again (doctor --redo)")
@pytest.mark.parametrize(
    ("file", "redone"),
    [
        ("thumbnails/offsets.npy", ["prepare"]),
        ("problems.json", ["prepare"]),
        ("tuning.parquet", ["tune"]),
        (
            "checkpoints/step_000060.safetensors",
            ["tune", "curvature", "score", "relabel", "crossfit", "compare", "embed"],
        ),
        (
            "curvature/step_000000.safetensors",
            ["curvature", "score", "relabel", "crossfit", "compare", "embed"],
        ),
        ("scores.parquet", ["score", "relabel", "compare"]),
        ("estimators/fvm.parquet", ["score", "relabel", "compare"]),
    ],
)
def test_what_is_repaired_is_what_it_was(finished, file, redone):
    before = content(finished)
    (finished.path / file).write_bytes(b"damaged")
    assert repair(finished.path) == [f"To be done again: {', '.join(redone)}."]
    assert [stage for stage in STAGES if not finished.done(stage)] == redone
    execute(finished)
    timed = {name for name in before if name.startswith("estimators/") and name.endswith(".json")}
    assert content(finished, timed) == {name: data for name, data in before.items() if name not in timed}
    assert examine(finished.path) == []


def test_metrics_are_measured_again(finished):
    before = (finished.path / "metrics.json").read_bytes()
    (finished.path / "metrics.json").write_text("[]")
    assert repair(finished.path) == ["metrics.json was computed again."]
    assert (finished.path / "metrics.json").read_bytes() == before
    assert finished.finished and examine(finished.path) == []


def test_nothing_is_undone_when_the_data_has_changed(finished):
    finished.update(data={**finished.info["data"], "train": {"samples": 299, "fingerprint": "other"}})
    (finished.path / "scores.parquet").write_bytes(b"damaged")
    with pytest.raises(SaltflatError, match="299 samples then, 300 now"):
        repair(finished.path)
    assert finished.finished


@pytest.mark.parametrize("name", ["run.json", "config.toml"])
def test_settings_and_state_are_put_back_from_their_copies(finished, name):
    before = (finished.path / name).read_bytes()
    (finished.path / name).unlink()
    assert look(finished.path)[0].file == name
    assert repair(finished.path) == [f"{name} was put back from its copy."]
    assert (finished.path / name).read_bytes() == before
    (finished.path / name).write_text("[]")
    (finished.path / f"{name}.bak").write_text("[]")
    with pytest.raises(SaltflatError, match=f"and so is its copy {name}.bak"):
        repair(finished.path)
