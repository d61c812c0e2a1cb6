import pytest

from fvm_core import start_folder
from fvm_core.access import places, rules
from fvm_core.access.passwords import set_password
from fvm_core.access.places import allowed, allowed_source, check_files
from fvm_core.access.rules import Rules
from fvm_core.errors import SaltflatError


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The folder where the app was started, with a file and a link that leads out."""
    folder = tmp_path / "started"
    (folder / "photos").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.png").write_bytes(b"1")
    (folder / "photos" / "a.png").write_bytes(b"1")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "photos" / "link.png").symlink_to(tmp_path / "secret" / "x.png")
    monkeypatch.setenv(start_folder.VARIABLE, str(folder))
    return folder


@pytest.fixture
def reachable(monkeypatch):
    monkeypatch.setenv(places.REACHABLE, "1")


OUTSIDE = [
    "{top}/secret",
    "{top}/secret/x.png",
    "../secret",
    "photos/../../secret",
    "out",
    "out/x.png",
    "out/new.csv",
    "photos/link.png",
    "{top}/started-too",
    "/etc/passwd",
    "/proc/self/environ",
    "~/x",
    "/",
    "{home}/access.toml",
    "{home}/sessions.json",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_that_lead_out_are_refused(started, reachable, workspace, path):
    path = path.format(top=started.parent, home=workspace.path)
    for form in (path, path + "/") if not path.endswith("/") else (path,):
        with pytest.raises(SaltflatError, match="outside of the folders"):
            allowed(form)
    with pytest.raises(SaltflatError, match="outside of the folders"):
        allowed_source(f"cifar10:{path}")


@pytest.mark.parametrize(
    "path", ["", ".", "photos", "photos/a.png", "photos/new/export.csv", "photos/../photos"]
)
def test_paths_within_are_resolved_from_the_start_folder(started, reachable, path):
    assert allowed(path) == (started / path).resolve()
    assert allowed(started / path) == (started / path).resolve()


def test_the_workspace_is_allowed(started, reachable, workspace):
    assert allowed(workspace.datasets / "x.csv") == workspace.datasets / "x.csv"


@pytest.mark.parametrize("path", ["a\x00b", "~nobody-of-that-name/x"])
def test_what_is_no_path_is_an_error_in_words(started, reachable, path):
    with pytest.raises(SaltflatError):
        allowed(path)


def test_named_roots_stand_instead_of_the_start_folder(started, reachable, workspace):
    rules.write(workspace, Rules(roots=(started.parent / "secret",)))
    assert allowed(started.parent / "secret" / "x.png").name == "x.png"
    assert allowed(started / "out" / "x.png") == started.parent / "secret" / "x.png"
    with pytest.raises(SaltflatError, match="outside"):
        allowed("photos")


def test_started_at_the_top_nothing_but_the_workspace_is_allowed(reachable, workspace, monkeypatch):
    monkeypatch.setenv(start_folder.VARIABLE, "/")
    with pytest.raises(SaltflatError, match="outside"):
        allowed("/etc/passwd")
    rules.write(workspace, Rules(roots=("/",)))
    assert str(allowed("/etc/passwd")) == "/etc/passwd"


def test_alone_on_this_machine_everything_is_allowed(started):
    assert allowed("../secret") == started.parent / "secret"
    assert allowed_source("digits") == "digits"
    check_files([started / "photos" / "link.png"])


def test_a_sign_in_confines_paths_on_this_machine_too(started, workspace):
    set_password(workspace, "owner", "correct horse battery")
    with pytest.raises(SaltflatError, match="outside"):
        allowed("/etc/passwd")


@pytest.mark.parametrize(
    "file", ["{top}/secret/x.png", "out/x.png", "photos/link.png", "photos/../../secret/x.png"]
)
def test_images_that_a_table_names_elsewhere_are_refused(started, reachable, file):
    file = file.format(top=started.parent)
    check_files([started / "photos" / "a.png"])
    with pytest.raises(SaltflatError, match="outside"):
        check_files([started / "photos" / "a.png", started / file])
